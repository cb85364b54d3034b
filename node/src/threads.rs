//! The only place of the node that starts a thread. The hot thread is the process's first; the journal starts its
//! writer itself.

use std::io;
use std::thread::{self, JoinHandle};

use rustix::process::{getpriority_process, setpriority_process};

/// Starts a named thread.
///
/// # Errors
/// If the operating system has none to give.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// By how much less a thread gets of a processor that others want.
const NICE: i32 = 10;

/// As [`start`], but the thread gives way to those that clients wait for, where there are fewer processors than threads with work to do.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_behind<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    start(name, move || {
        // On Linux of this thread alone. Without it everything is as right, and slower.
        let lower = getpriority_process(None).and_then(|nice| setpriority_process(None, nice + NICE));
        if let Err(error) = lower {
            tracing::warn!(%error, "a background thread keeps its priority");
        }
        run()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_behind_is_nicer_than_the_one_that_starts_it() {
        const NICE_MAX: i32 = 19;
        let ours = getpriority_process(None).unwrap();
        let theirs = start_behind("behind", || getpriority_process(None).unwrap()).unwrap();
        assert_eq!(
            (theirs.join().unwrap(), getpriority_process(None).unwrap()),
            (NICE_MAX.min(ours + NICE), ours)
        );
    }
}
