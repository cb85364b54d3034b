//! A gateway process's way to the cluster: it dials one node after the other until it has found the one that leads.

use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use protocol::time::NANOS_PER_SECOND;
use protocol::{MonoNanos, NodeId};
use quinn::{ClientConfig, Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot};

use super::dial::{HOST, jittered, resolve, why};
use super::endpoint::{Complaints, Endpoints};
use super::line::{self, Line, LineFault};
use super::slot::lock;
use super::{FAREWELL, Identity, PeerAddress};
use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::outside::Signals;
use crate::threads;

/// Between two attempts.
const BACKOFF: Duration = Duration::from_millis(20);
/// A node that was lost, or did not answer, is left alone for so long, whoever says that it leads.
const FAILED_NANOS: u64 = NANOS_PER_SECOND;

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
    /// Where to look next.
    leader: Arc<Mutex<Option<NodeId>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A node, and how to dial it.
struct Target {
    node: PeerAddress,
    client: ClientConfig,
    failed: Option<MonoNanos>,
}

impl Dialer {
    /// Starts the thread that dials `nodes`, one at a time, and obeys signals by setting `stopping`. `wake` is called when
    /// something came or the connection was lost.
    ///
    /// # Errors
    /// If the certificates do not fit each other or the settings, or a socket or a thread cannot be had.
    pub(crate) fn start(
        identity: &Identity<'_>,
        nodes: Vec<PeerAddress>,
        stopping: Arc<AtomicBool>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, NodeFault> {
        let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"));
        let socket = socket.map_err(NodeFault::io("socket to the cluster"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(NodeFault::io("tokio runtime"))?;
        let (endpoints, signals) = {
            let _entered = runtime.enter();
            let endpoints = Endpoints::new(identity, socket, 0, Arc::clone(&wake))?;
            (endpoints, Signals::listen().map_err(NodeFault::io("signals"))?)
        };
        let targets = nodes
            .into_iter()
            .map(|node| Ok(Target { client: endpoints.client_for(node.id)?, node, failed: None }));
        let targets = targets.collect::<Result<Vec<_>, NodeFault>>()?;
        let (to_hot, lines) = mpsc::channel(1);
        let leader = Arc::new(Mutex::new(None));
        let (stop, stopped) = oneshot::channel();
        let hint = Arc::clone(&leader);
        let serve = async move {
            tokio::spawn(async move { signals.obey(&stopping, &*wake).await });
            tokio::select! {
                _ = stopped => {}
                () = keep_connected(&endpoints, targets, &to_hot, &hint) => {}
            }
            endpoints.close(FAREWELL).await;
        };
        let thread = threads::start("uplink", move || {
            runtime.block_on(serve);
            // A name that is being looked up would hold the process otherwise.
            runtime.shutdown_background();
        });
        let thread = thread.map_err(NodeFault::io("thread"))?;
        Ok(Self { lines, leader, stop: Some(stop), thread: Some(thread) })
    }

    /// A connection, when there is a new one. The one before has ended then.
    pub(crate) fn next_line(&mut self) -> Option<ClusterLine> {
        self.lines.try_recv().ok()
    }

    /// Who is said to lead, to be dialled next.
    pub(crate) fn look_at(&self, leader: Option<NodeId>) {
        *lock(&self.leader) = leader;
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

/// Dials until the hot thread's end is gone.
async fn keep_connected(
    endpoints: &Endpoints,
    mut targets: Vec<Target>,
    lines: &mpsc::Sender<ClusterLine>,
    leader: &Mutex<Option<NodeId>>,
) {
    let (complaints, clock) = (Complaints::new(), Clock::start());
    let mut turn = 0;
    while !lines.is_closed() {
        let hint = lock(leader).take();
        let at = choose(&targets, hint, turn, clock.mono());
        turn = at + 1;
        let Some(target) = targets.get_mut(at) else { return };
        let id = target.node.id;
        match dial(endpoints, target).await {
            Ok((connection, send, receive)) => {
                let (line, carrier) = line::line();
                if lines.send(ClusterLine { node: id, line }).await.is_err() {
                    return;
                }
                (endpoints.wake)();
                let ended = carrier.carry(&connection, send, receive, &*endpoints.wake).await;
                tracing::debug!(node = id.0, %ended, "a connection to the cluster has ended");
                let let_go = matches!(ended, LineFault::Closed);
                target.failed = (!let_go).then(|| clock.mono());
            }
            Err(fault) => {
                target.failed = Some(clock.mono());
                if complaints.may() {
                    tracing::warn!(node = id.0, address = target.node.address, fault, "cannot connect");
                }
            }
        }
        tokio::time::sleep(jittered(BACKOFF)).await;
    }
}

/// Who is said to lead, or else the next in turn, of those that did not fail just now; or whose failure is the longest ago.
fn choose(targets: &[Target], leader: Option<NodeId>, turn: usize, now: MonoNanos) -> usize {
    let fit = |at: &usize| {
        let failed = targets.get(*at).and_then(|target| target.failed);
        failed.is_none_or(|failed| now.since(failed) >= FAILED_NANOS)
    };
    let named = targets.iter().position(|target| Some(target.node.id) == leader).filter(fit);
    let in_turn = (0..targets.len()).map(|step| (turn + step) % targets.len()).find(fit);
    let oldest = (0..targets.len()).min_by_key(|at| targets.get(*at).and_then(|target| target.failed));
    named.or(in_turn).or(oldest).unwrap_or(0)
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
