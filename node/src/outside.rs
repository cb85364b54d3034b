//! The one thread beside the hot one: HTTP, the admin socket and signals, on a tokio runtime of its own.
//!
//! It starts before the journal is read, which may take minutes, so that who looks sees a node that recovers and not one
//! that is down. Operators and signals wait until there is a replica: until then a signal ends the process at once.

use std::io;
use std::net::TcpListener;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protocol::time::NANOS_PER_SECOND;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::admin::server::{self, Desk};
use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::status::Watch;
use crate::{http, threads};

/// Exit code of a second Ctrl-C, as shells count it.
const EXIT_INTERRUPTED: i32 = 130;
/// How often the log says that the journal is still being read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What there is to serve once the journal has been read.
pub(crate) struct Recovered {
    /// The admin socket.
    pub(crate) admin: std::os::unix::net::UnixListener,
    /// Answers operators.
    pub(crate) desk: Desk,
    /// What the hot thread publishes.
    pub(crate) status: Watch,
    /// Set at the first signal.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Wakes the hot thread.
    pub(crate) wake: Box<dyn Fn() + Send + Sync>,
}

/// The thread, from the hot thread's side.
pub(crate) struct Outside {
    runtime: Handle,
    /// What the start is about.
    starting: watch::Sender<String>,
    recovered: oneshot::Sender<(Recovered, Signals)>,
}

impl Outside {
    /// Starts the thread, which serves `/live`, `/ready` and `/metrics`. It ends with the process.
    ///
    /// # Errors
    /// If there is no thread or no runtime to be had.
    pub(crate) fn start(http: TcpListener, clock: Clock) -> Result<Self, NodeFault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(NodeFault::io("tokio runtime"))?;
        let handle = runtime.handle().clone();
        let (recovered, told) = oneshot::channel();
        let (starting, what) = watch::channel("the journal is being read".to_owned());
        threads::start("outside", move || runtime.block_on(serve(http, clock, what, told)))
            .map_err(NodeFault::io("thread"))?;
        Ok(Self { runtime: handle, starting, recovered })
    }

    /// What the start is about now: for whoever asks, and for the log.
    pub(crate) fn say(&self, what: &str) {
        self.starting.send_replace(what.to_owned());
    }

    /// Answers operators at `desk` before there is a replica, until the handle ends it.
    pub(crate) fn answer_meanwhile(
        &self,
        admin: std::os::unix::net::UnixListener,
        desk: Desk,
    ) -> tokio::task::AbortHandle {
        let serve = async move {
            if let Err(error) = server::serve(admin, desk).await {
                tracing::error!(%error, "the admin socket is not served");
            }
        };
        self.runtime.spawn(serve).abort_handle()
    }

    /// Lets operators in, and obeys signals: from here on none kills the process undrained.
    ///
    /// # Errors
    /// If signals cannot be listened to, or the thread is gone.
    pub(crate) fn recovered(self, recovered: Recovered) -> Result<(), NodeFault> {
        let signals = {
            let _entered = self.runtime.enter();
            Signals::listen().map_err(NodeFault::io("signals"))?
        };
        let gone = |_| NodeFault::Internal("the outside thread has ended".to_owned());
        self.recovered.send((recovered, signals)).map_err(gone)
    }
}

async fn serve(
    http: TcpListener,
    clock: Clock,
    starting: watch::Receiver<String>,
    recovered: oneshot::Receiver<(Recovered, Signals)>,
) {
    let (tell, status) = watch::channel(None);
    // Should one of the two end, orders go on, and the signals still work.
    let what = starting.clone();
    tokio::spawn(async move {
        if let Err(error) = http::serve(http, status, what, clock).await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    });
    // The sender is dropped when the start fails, and then the process ends.
    let Ok((recovered, signals)) = patiently(recovered, &starting, clock).await else { return };
    let Recovered { admin, desk, status, stopping, wake } = recovered;
    tell.send_replace(Some(status));
    tokio::spawn(async move {
        if let Err(error) = server::serve(admin, desk).await {
            tracing::error!(%error, "the admin socket is no longer served");
        }
    });
    signals.obey(&stopping, &wake).await;
}

/// Waits, and says so now and then.
async fn patiently<T>(
    mut told: oneshot::Receiver<T>,
    starting: &watch::Receiver<String>,
    clock: Clock,
) -> Result<T, oneshot::error::RecvError> {
    loop {
        match tokio::time::timeout(PATIENCE, &mut told).await {
            Ok(told) => return told,
            Err(_) => {
                let seconds = clock.mono().0 / NANOS_PER_SECOND;
                let what = starting.borrow().clone();
                tracing::info!(seconds, "{what}");
            }
        }
    }
}

/// The signals that end the process.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// In the context of a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first signal drains the process, a second one ends it at once.
    pub(crate) async fn obey(mut self, stopping: &AtomicBool, wake: &(dyn Fn() + Send + Sync)) {
        self.next().await;
        tracing::info!("stopping: a second signal ends the process at once");
        stopping.store(true, Ordering::Release);
        wake();
        self.next().await;
        process::exit(EXIT_INTERRUPTED);
    }
}
