//! The one thread beside the hot one: HTTP, the admin socket and signals, on a tokio runtime of its own.

use std::io;
use std::net::TcpListener;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::server::{self, Desk};
use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::status::Watch;
use crate::{http, threads};

/// Exit code of a second Ctrl-C, as shells count it.
const EXIT_INTERRUPTED: i32 = 130;

/// What the thread needs.
pub(crate) struct Outside {
    /// For `/live`, `/ready`, `/metrics`.
    pub(crate) http: TcpListener,
    /// The admin socket.
    pub(crate) admin: std::os::unix::net::UnixListener,
    /// Answers operators.
    pub(crate) desk: Desk,
    /// What the hot thread publishes.
    pub(crate) status: Watch,
    /// For `/live`.
    pub(crate) clock: Clock,
    /// Set at the first signal.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Wakes the hot thread.
    pub(crate) wake: Box<dyn Fn() + Send>,
}

impl Outside {
    /// Starts the thread. It ends with the process.
    ///
    /// # Errors
    /// If there is no thread or no runtime to be had.
    pub(crate) fn start(self) -> Result<(), NodeFault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(NodeFault::io("tokio runtime"))?;
        // Registered before the thread starts: from here on no signal kills the process undrained.
        let signals = {
            let _entered = runtime.enter();
            Signals::listen().map_err(NodeFault::io("signals"))?
        };
        threads::start("outside", move || runtime.block_on(self.serve(signals)))
            .map(drop)
            .map_err(NodeFault::io("thread"))
    }

    async fn serve(self, signals: Signals) {
        let Self { http, admin, desk, status, clock, stopping, wake } = self;
        // Should one of the two end, orders go on, and the signals still work.
        tokio::spawn(async move {
            if let Err(error) = http::serve(http, status, clock).await {
                tracing::error!(%error, "health and metrics are no longer served");
            }
        });
        tokio::spawn(async move {
            if let Err(error) = server::serve(admin, desk).await {
                tracing::error!(%error, "the admin socket is no longer served");
            }
        });
        signals.obey(&stopping, &wake).await;
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first signal drains the node, a second one ends it at once.
    async fn obey(mut self, stopping: &AtomicBool, wake: &(dyn Fn() + Send)) {
        self.next().await;
        tracing::info!("stopping: a second signal ends the process at once");
        stopping.store(true, Ordering::Release);
        wake();
        self.next().await;
        process::exit(EXIT_INTERRUPTED);
    }
}
