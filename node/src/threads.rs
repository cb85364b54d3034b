//! The only place of the node that starts a thread. The hot thread is the process's first; the journal starts its
//! writer itself.

use std::io;
use std::thread::{self, JoinHandle};

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
