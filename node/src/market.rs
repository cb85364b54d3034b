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
mod past;
mod reader;
#[cfg(test)]
mod tests;
mod websocket;

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use journal::FileDisk;
use protocol::Seq;

pub(crate) use self::feed::Feeder;
use self::feed::Shared;
use self::hall::Hall;
use self::past::Keeper;
pub(crate) use self::reader::{MarketCommand, Units, run as read};
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
    /// Whether what happened before they began is in them: 0 or 1.
    has_past: AtomicU64,
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
    /// Whether what happened before they began is in them: 0 or 1.
    pub(crate) has_past: u64,
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
            has_past: of(&self.has_past),
        }
    }
}

/// Where the past of market data is kept, and run again from.
pub(crate) struct Home {
    /// The data folder.
    pub(crate) dir: PathBuf,
    /// The disk of the journal.
    pub(crate) disk: FileDisk,
}

/// Below the data folder.
const FILE: &str = "views/market.tapes";

/// Starts the thread. What it has is in memory; the past is kept in a file, too.
///
/// # Errors
/// If there is no thread or no folder to be had.
pub(crate) fn start(
    listeners: Listeners,
    counts: &Arc<Counts>,
    home: Home,
    clock: Clock,
) -> Result<Feeder, NodeFault> {
    for listener in [&listeners.binary, &listeners.websocket].into_iter().flatten() {
        listener.set_nonblocking(true).map_err(NodeFault::io("market data listener"))?;
    }
    let path = home.dir.join(FILE);
    let folder = path.parent().unwrap_or(&home.dir);
    std::fs::create_dir_all(folder).map_err(NodeFault::io(folder.display().to_string()))?;
    let (counts, disk) = (Arc::clone(counts), Mutex::new(home.disk));
    Feeder::start(clock, move |shared| {
        let disk = disk.lock().unwrap_or_else(PoisonError::into_inner).beside();
        let life = Life { listeners: &listeners, shared, counts: &counts, clock };
        if let Err(error) = life.serve((path.clone(), disk)) {
            tracing::error!(%error, "market data are not served");
        }
    })
}

/// One life of the thread.
struct Life<'l> {
    listeners: &'l Listeners,
    shared: &'l Arc<Shared>,
    counts: &'l Arc<Counts>,
    clock: Clock,
}

impl Life<'_> {
    fn serve(&self, (path, disk): (PathBuf, FileDisk)) -> io::Result<()> {
        let again =
            |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::try_clone).transpose();
        let Listeners { binary, websocket, connections_max } = self.listeners;
        let (binary, websocket) = (again(binary)?, again(websocket)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let hall = Arc::new(Hall::new(Arc::clone(self.counts), *connections_max));
        let keeper = Keeper::start(path, disk, Arc::clone(self.shared), Arc::clone(&hall))?;
        runtime.block_on(async {
            if let Some(binary) = binary {
                tokio::spawn(doors::serve(tokio::net::TcpListener::from_std(binary)?, Arc::clone(&hall)));
            }
            if let Some(websocket) = websocket {
                let listener = tokio::net::TcpListener::from_std(websocket)?;
                tokio::spawn(websocket::serve(listener, Arc::clone(&hall)));
            }
            tokio::spawn(follow::cut_stalled(Arc::clone(&hall), self.clock));
            follow::follow(self.shared, &hall, &keeper).await;
            keeper.end();
            hall.close().await;
            keeper.wait();
            Ok(())
        })
    }
}
