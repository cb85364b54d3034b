//! The only place of the node that starts a thread. The hot thread is the process's first; the journal starts its
//! writer itself.

use std::cell::Cell;
use std::io;
use std::panic;
use std::sync::Once;
use std::sync::mpsc::{self, Receiver, Sender};
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

/// How a thread of [`start_expendable`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It had done what it was to do.
    Returned,
    /// It panicked.
    Panicked,
}

thread_local! {
    /// Of a thread that the process can do without: whom to tell that it ends.
    static ENDS: Cell<Option<Sender<Ending>>> = const { Cell::new(None) };
}

/// As [`start_behind`], but the process lives on if the thread panics, and is told. In the release build a panic ends the process once its
/// hook returns; on such a thread it does not. So nothing that another thread waits for may be held where it could panic. Where a panic
/// unwinds, as in tests, the thread ends.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_expendable(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<Receiver<Ending>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            before(info);
            if let Some(ends) = ENDS.take() {
                ends.send(Ending::Panicked).unwrap_or_default();
                // While it is here nobody can set another hook, which the harness of tests does at their end.
                while cfg!(panic = "abort") {
                    thread::park();
                }
            }
        }));
    });
    let (ends, ended) = mpsc::channel();
    start_behind(name, move || {
        ENDS.set(Some(ends));
        run();
        if let Some(ends) = ENDS.take() {
            ends.send(Ending::Returned).unwrap_or_default();
        }
    })?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_an_expendable_thread_is_told_and_goes_no_further() {
        let ended = start_expendable("fine", || {}).unwrap();
        assert_eq!(ended.recv(), Ok(Ending::Returned));
        let ended = start_expendable("dies", || panic!("as if there were a mistake")).unwrap();
        assert_eq!(ended.recv(), Ok(Ending::Panicked));
        // Others panic as ever.
        assert!(start("others", || panic!("as ever")).unwrap().join().is_err());
    }

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
