//! A gateway process's way to the cluster: it keeps connected to every node, because whoever leads next is to be heard at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use protocol::NodeId;
use quinn::{ClientConfig, Connection, RecvStream, SendStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::dial::{HOST, jittered, resolve, why};
use super::endpoint::{Complaints, Endpoints};
use super::line::{self, Line};
use super::{FAREWELL, Identity, PeerAddress};
use crate::fault::NodeFault;
use crate::outside::Signals;
use crate::threads;

/// Before the next attempt, if the last one succeeded.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Between attempts, however many failed.
const BACKOFF_MAX: Duration = Duration::from_millis(200);
/// Connections that were made and not taken.
const LINES_WAITING_MAX: usize = 16;

/// A connection to a node.
pub(crate) struct ClusterLine {
    /// The node.
    pub(crate) node: NodeId,
    /// To it.
    pub(crate) line: Line,
}

/// The hot thread's end.
pub(crate) struct Dialer {
    lines: mpsc::Receiver<ClusterLine>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The nodes that are dialled.
struct Dialling {
    endpoints: Arc<Endpoints>,
    lines: mpsc::Sender<ClusterLine>,
    /// Each with its address, and the task that keeps it connected.
    nodes: BTreeMap<NodeId, (String, AbortHandle)>,
}

impl Dialling {
    /// Dials these nodes from now on, and no others. In the context of the runtime.
    fn follow(&mut self, nodes: Vec<PeerAddress>) -> Result<(), NodeFault> {
        let ids: BTreeSet<NodeId> = nodes.iter().map(|node| node.id).collect();
        for (_, (_, task)) in self.nodes.extract_if(.., |node, _| !ids.contains(node)) {
            task.abort();
        }
        for PeerAddress { id, address } in nodes {
            if self.nodes.get(&id).is_some_and(|(known, _)| *known == address) {
                continue;
            }
            let client = self.endpoints.client_for(id)?;
            let target = Target { node: PeerAddress { id, address: address.clone() }, client };
            let task = keep_connected(Arc::clone(&self.endpoints), target, self.lines.clone());
            let task = tokio::spawn(task).abort_handle();
            if let Some((_, before)) = self.nodes.insert(id, (address, task)) {
                before.abort();
            }
        }
        Ok(())
    }
}

/// A node, and how to dial it.
struct Target {
    node: PeerAddress,
    client: ClientConfig,
}

impl Dialer {
    /// Starts the thread that keeps connected to `nodes`, and obeys signals by setting `stopping`; at a hangup, `reload` says
    /// which nodes there are from now on, if it knows. `wake` is called when something came or a connection was lost.
    /// `beside` runs on the same thread.
    ///
    /// # Errors
    /// If the certificates do not fit each other or the settings, or a socket or a thread cannot be had.
    pub(crate) fn start(
        identity: &Identity<'_>,
        nodes: Vec<PeerAddress>,
        reload: impl Fn() -> Option<Vec<PeerAddress>> + Send + 'static,
        stopping: Arc<AtomicBool>,
        wake: Arc<dyn Fn() + Send + Sync>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, NodeFault> {
        let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"));
        let socket = socket.map_err(NodeFault::io("socket to the cluster"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(NodeFault::io("tokio runtime"))?;
        let (to_hot, lines) = mpsc::channel(LINES_WAITING_MAX);
        let (stop, mut stopped) = oneshot::channel();
        let (mut dialling, signals, mut hangup) = {
            let _entered = runtime.enter();
            let endpoints = Arc::new(Endpoints::new(identity, socket, Arc::clone(&wake))?);
            let mut dialling = Dialling { endpoints, lines: to_hot, nodes: BTreeMap::new() };
            dialling.follow(nodes)?;
            let hangup = signal(SignalKind::hangup()).map_err(NodeFault::io("signals"))?;
            (dialling, Signals::listen().map_err(NodeFault::io("signals"))?, hangup)
        };
        let serve = async move {
            tokio::spawn(async move { signals.obey(&stopping, &*wake).await });
            tokio::spawn(beside);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = hangup.recv() => {
                        if let Some(Err(fault)) = reload().map(|nodes| dialling.follow(nodes)) {
                            tracing::error!(%fault, "a node cannot be dialled");
                        }
                    }
                }
            }
            dialling.nodes.values().for_each(|(_, task)| task.abort());
            dialling.endpoints.close(FAREWELL).await;
        };
        let thread = threads::start("uplink", move || {
            runtime.block_on(serve);
            // A name that is being looked up would hold the process otherwise.
            runtime.shutdown_background();
        });
        let thread = thread.map_err(NodeFault::io("thread"))?;
        Ok(Self { lines, stop: Some(stop), thread: Some(thread) })
    }

    /// A connection, when there is a new one. The one before to that node has ended then, or is to be let go of.
    pub(crate) fn next_line(&mut self) -> Option<ClusterLine> {
        self.lines.try_recv().ok()
    }
}

impl Drop for Dialer {
    /// Says goodbye, so that the node need not wait for silence to know.
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the uplink panicked");
        }
    }
}

/// Keeps connected to one node until the hot thread's end is gone.
async fn keep_connected(endpoints: Arc<Endpoints>, target: Target, lines: mpsc::Sender<ClusterLine>) {
    let complaints = Complaints::new();
    let id = target.node.id;
    let mut backoff = BACKOFF_MIN;
    while !lines.is_closed() {
        match dial(&endpoints, &target).await {
            Ok((connection, send, receive)) => {
                let (line, carrier) = line::line();
                if lines.send(ClusterLine { node: id, line }).await.is_err() {
                    return;
                }
                (endpoints.wake)();
                let ended = carrier.carry(&connection, send, receive, &*endpoints.wake).await;
                tracing::debug!(node = id.0, %ended, "a connection to the cluster has ended");
                backoff = BACKOFF_MIN;
            }
            Err(fault) => {
                if complaints.may() {
                    tracing::warn!(node = id.0, address = target.node.address, fault, "cannot connect");
                }
            }
        }
        tokio::time::sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

async fn dial(
    endpoints: &Endpoints,
    target: &Target,
) -> Result<(Connection, SendStream, RecvStream), String> {
    let local = endpoints.endpoint.local_addr().map_err(|error| error.to_string())?;
    let address = resolve(&target.node.address, local.ip()).await?;
    let attempt = async {
        let connecting = endpoints.endpoint.connect_with(target.client.clone(), address, HOST);
        let connection = connecting.map_err(|error| error.to_string())?.await.map_err(|error| why(&error))?;
        let (send, receive) = connection.open_bi().await.map_err(|error| why(&error))?;
        Ok((connection, send, receive))
    };
    let time_max = endpoints.handshake_time();
    let timed_out = |_| Err(format!("no answer within {} ms", time_max.as_millis()));
    tokio::time::timeout(time_max, attempt).await.unwrap_or_else(timed_out)
}
