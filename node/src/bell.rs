//! Wakes the hot thread out of its poller: the journal's writer when a write has ended, the outside thread when an
//! operator asks or a signal came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Poll, Token, Waker};

/// Cheap to ring while the hot thread is awake: then it looks by itself, and no system call is made.
#[derive(Clone)]
pub(crate) struct Bell {
    shared: Arc<Shared>,
}

struct Shared {
    waker: Waker,
    parked: AtomicBool,
}

impl Bell {
    /// A bell that `poll` hears under `token`.
    pub(crate) fn new(poll: &Poll, token: Token) -> io::Result<Self> {
        let waker = Waker::new(poll.registry(), token)?;
        Ok(Self { shared: Arc::new(Shared { waker, parked: AtomicBool::new(false) }) })
    }

    /// Rings, after there is something to be found.
    pub(crate) fn ring(&self) {
        if self.shared.parked.swap(false, Ordering::SeqCst)
            && let Err(error) = self.shared.waker.wake()
        {
            // The hot thread wakes by its next tick anyway, two milliseconds later at most.
            tracing::error!(%error, "the hot thread could not be woken");
        }
    }

    /// The hot thread is about to park. It looks for work once more after this, because whoever came before heard
    /// nothing of it.
    pub(crate) fn park(&self) {
        self.shared.parked.store(true, Ordering::SeqCst);
    }

    /// The hot thread is awake.
    pub(crate) fn unpark(&self) {
        self.shared.parked.store(false, Ordering::SeqCst);
    }
}
