//! File descriptors: the node's own come first, clients get what is left.
//!
//! A journal that cannot open its next segment ends the process. So nobody from outside may use up the last descriptor:
//! every listener has a limit, and all of them together stay below the operating system's.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fault::NodeFault;

/// HTTP connections at once.
pub(crate) const HTTP_MAX: usize = 64;
/// For everything but clients: twice 128 for the files of journal and outbox (64 at a time, each opened in up to
/// two ways), [`HTTP_MAX`], operators, the snapshot that is written, listeners, pollers and a margin.
const RESERVE: u64 = 384;

/// Connections of clients, by protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// FIX.
    pub(crate) fix: u64,
    /// The binary protocol.
    pub(crate) binary: u64,
    /// Readers of market data.
    pub(crate) market: u64,
}

/// Raises the limit as far as it goes, and returns how many connections there is room for, of either protocol at most as asked.
///
/// # Errors
/// [`NodeFault::Descriptors`] if there is room for none.
pub(crate) fn connections(asked: Connections) -> Result<Connections, NodeFault> {
    let limit = raise();
    let room =
        room(limit, asked).ok_or(NodeFault::Descriptors { limit: limit.unwrap_or(0), reserve: RESERVE })?;
    if room != asked {
        tracing::warn!(?asked, ?room, "fewer connections than configured: raise the limit of open files");
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

/// Where there is not room for all, either protocol that is asked for gets half of it, or what the other leaves; of it all readers of market
/// data have got a quarter at most before.
fn room(limit: Option<u64>, asked: Connections) -> Option<Connections> {
    let Some(room) = limit.map(|limit| limit.saturating_sub(RESERVE)) else { return Some(asked) };
    let market = asked.market.min(room / 4);
    let room = room - market;
    let fix = asked.fix.min(room.saturating_sub(asked.binary.min(room / 2)));
    let binary = asked.binary.min(room - fix);
    let all_have_some = fix > 0 && (binary > 0 || asked.binary == 0) && (market > 0 || asked.market == 0);
    all_have_some.then_some(Connections { fix, binary, market })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_node_does_not_need() {
        let with_readers = |limit, fix, binary, market| room(limit, Connections { fix, binary, market });
        let room = |limit, fix, binary| {
            let room = with_readers(limit, fix, binary, 0)?;
            assert_eq!(room.market, 0);
            Some((room.fix, room.binary))
        };
        assert_eq!(room(None, 1_024, 64), Some((1_024, 64)));
        assert_eq!(room(Some(1 << 20), 1_024, 1_024), Some((1_024, 1_024)));
        assert_eq!(room(Some(RESERVE + 1_088), 1_024, 64), Some((1_024, 64)));
        assert_eq!(room(Some(RESERVE + 1_000), 1_024, 1_024), Some((500, 500)));
        assert_eq!(room(Some(RESERVE + 1_000), 100, 1_024), Some((100, 900)));
        assert_eq!(room(Some(RESERVE + 1_000), 1_024, 100), Some((900, 100)));
        assert_eq!(room(Some(RESERVE + 1), 1_024, 0), Some((1, 0)));
        assert_eq!(room(Some(RESERVE + 1), 1_024, 1), None);
        assert_eq!(room(Some(RESERVE), 1_024, 0), None);
        assert_eq!(room(Some(40), 1, 0), None);
        let all = Connections { fix: 1_024, binary: 64, market: 256 };
        assert_eq!(with_readers(Some(RESERVE + 1_344), 1_024, 64, 256), Some(all));
        let few = Connections { fix: 236, binary: 64, market: 100 };
        assert_eq!(with_readers(Some(RESERVE + 400), 1_024, 64, 256), Some(few));
        assert_eq!(with_readers(Some(RESERVE + 3), 1, 1, 1), None);
    }
}
