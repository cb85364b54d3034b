//! File descriptors: the node's own come first, clients get what is left.
//!
//! A journal that cannot open its next segment ends the process. So nobody from outside may use up the last descriptor:
//! every listener has a limit, and all of them together stay below the operating system's.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fault::NodeFault;

/// HTTP connections at once.
pub(crate) const HTTP_MAX: usize = 64;
/// For everything but FIX clients: twice 128 for the files of journal and outbox (64 at a time, each opened in up to
/// two ways), [`HTTP_MAX`], operators, the snapshot that is written, listeners, pollers and a margin.
const RESERVE: u64 = 384;

/// Raises the limit as far as it goes, and returns how many FIX connections there is room for, at most `asked`.
///
/// # Errors
/// [`NodeFault::Descriptors`] if there is room for none.
pub(crate) fn fix_connections(asked: u64) -> Result<u64, NodeFault> {
    let limit = raise();
    let room =
        room(limit, asked).ok_or(NodeFault::Descriptors { limit: limit.unwrap_or(0), reserve: RESERVE })?;
    if room < asked {
        tracing::warn!(asked, room, "fewer FIX connections than configured: raise the limit of open files");
    }
    Ok(room)
}

/// The limit in effect afterwards; `None` is none.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(errno) => {
            tracing::info!(error = %io::Error::from(errno), "the limit of open files stays as it is");
            current
        }
    }
}

fn room(limit: Option<u64>, asked: u64) -> Option<u64> {
    let room = limit.map_or(asked, |limit| limit.saturating_sub(RESERVE).min(asked));
    (room > 0).then_some(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_node_does_not_need() {
        assert_eq!(room(None, 1_024), Some(1_024));
        assert_eq!(room(Some(1 << 20), 1_024), Some(1_024));
        assert_eq!(room(Some(RESERVE + 1_024), 1_024), Some(1_024));
        assert_eq!(room(Some(RESERVE + 1), 1_024), Some(1));
        assert_eq!(room(Some(RESERVE), 1_024), None);
        assert_eq!(room(Some(40), 1), None);
    }
}
