//! Market data: a thread of its own, fed by what is applied, which serves readers over the binary protocol and over WebSockets.
//!
//! ```text
//! hot thread: Feeder ─(bounded queue)─> market thread: follow ─> Hall ─> one task a connection
//! ```
//!
//! The hot thread puts what was applied into a queue and never waits. It never fails by what is done there: where the thread is slow, has died or
//! stands still, the queue is emptied and closed. Whoever follows then asks for the engine's resting orders, and begins again.
//! On the thread nothing is queued for a reader either (`views::market`): one that is slow gets less of what came between.

mod doors;
mod feed;
mod follow;
mod hall;
mod json;
mod reader;
#[cfg(test)]
mod tests;
mod websocket;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::Seq;

pub(crate) use self::feed::Feeder;
use self::feed::Shared;
use self::hall::Hall;
pub(crate) use self::reader::{MarketCommand, run as read};
use crate::clock::Clock;
use crate::fault::NodeFault;

/// Where readers come in.
pub(crate) struct Listeners {
    /// The binary protocol.
    pub(crate) binary: Option<TcpListener>,
    /// WebSockets.
    pub(crate) websocket: Option<TcpListener>,
    /// Connections of both together.
    pub(crate) connections_max: usize,
}

/// What there is to tell of market data, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Everything up to here is in them; 0 before they begin.
    seq: AtomicU64,
    /// Times that they began.
    begins: AtomicU64,
    connections: AtomicU64,
    refused: AtomicU64,
    subscriptions: AtomicU64,
    /// Connections that were cut because nothing was read.
    stalled: AtomicU64,
    /// Subscriptions that were cut because their readers fell behind.
    fell_behind: AtomicU64,
}

/// A look at [`Counts`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Everything up to here is in them; 0 before they begin.
    pub(crate) seq: Seq,
    /// Times that they began.
    pub(crate) begins: u64,
    /// Open connections.
    pub(crate) connections: u64,
    /// Connections above the limit.
    pub(crate) refused: u64,
    /// Subscriptions of all connections.
    pub(crate) subscriptions: u64,
    /// Connections that were cut because nothing was read.
    pub(crate) stalled: u64,
    /// Subscriptions that were cut because their readers fell behind.
    pub(crate) fell_behind: u64,
}

impl Counts {
    /// As they are.
    pub(crate) fn look(&self) -> Counted {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            seq: Seq(of(&self.seq)),
            begins: of(&self.begins),
            connections: of(&self.connections),
            refused: of(&self.refused),
            subscriptions: of(&self.subscriptions),
            stalled: of(&self.stalled),
            fell_behind: of(&self.fell_behind),
        }
    }
}

/// Starts the thread. What it has is in memory alone.
///
/// # Errors
/// If there is no thread to be had.
pub(crate) fn start(listeners: Listeners, counts: &Arc<Counts>, clock: Clock) -> Result<Feeder, NodeFault> {
    for listener in [&listeners.binary, &listeners.websocket].into_iter().flatten() {
        listener.set_nonblocking(true).map_err(NodeFault::io("market data listener"))?;
    }
    let counts = Arc::clone(counts);
    Feeder::start(clock, move |shared| {
        if let Err(error) = serve(&listeners, shared, &counts, clock) {
            tracing::error!(%error, "market data are not served");
        }
    })
}

/// One life of the thread.
fn serve(listeners: &Listeners, shared: &Shared, counts: &Arc<Counts>, clock: Clock) -> io::Result<()> {
    let again = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::try_clone).transpose();
    let (binary, websocket) = (again(&listeners.binary)?, again(&listeners.websocket)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let hall = Arc::new(Hall::new(Arc::clone(counts), listeners.connections_max));
        if let Some(binary) = binary {
            tokio::spawn(doors::serve(tokio::net::TcpListener::from_std(binary)?, Arc::clone(&hall)));
        }
        if let Some(websocket) = websocket {
            tokio::spawn(websocket::serve(tokio::net::TcpListener::from_std(websocket)?, Arc::clone(&hall)));
        }
        tokio::spawn(follow::cut_stalled(Arc::clone(&hall), clock));
        follow::follow(shared, &hall).await;
        hall.close().await;
        Ok(())
    })
}
