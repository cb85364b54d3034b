//! `sicil start`: from a folder to a node that serves, and back to a folder that nobody holds.
//!
//! The order matters: the folder is locked before anything in it is changed, ports are taken before the journal is read,
//! so that a mistake shows at once, and the ready line comes when orders are taken and not before.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use journal::{FileDisk, Founders, Identity, WriterKind};
use protocol::commands::Genesis;
use protocol::time::NANOS_PER_MILLI;
use protocol::{ActorId, ClusterEpoch, ClusterId, NodeId, RejectReason};
use replicas::{Replica, SnapshotPolicy, StartFault};
use serde::Serialize;

use crate::admin::SocketPath;
use crate::admin::server::{self, Desk};
use crate::bell::Bell;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Core, CoreFault};
use crate::definitions::{self, Assets};
use crate::descriptors::{self, Connections};
use crate::fault::NodeFault;
use crate::folder::{self, Folder};
use crate::history::{Historian, History};
use crate::history_reads::HistoryReads;
use crate::ledger_clients::LedgerClients;
use crate::metrics::Latencies;
use crate::outside::{Outside, Recovered};
use crate::peers::{Credentials, Listeners, PeerSettings, Peers};
use crate::publisher::Publisher;
use crate::repair;
use crate::snapshots::Snapshots;
use crate::sockets::{Door, Sockets};
use crate::status::Fixed;
use crate::{StartArgs, logging, market, print};

/// The actor of the operator, by the genesis record.
const OPERATOR: ActorId = ActorId(1);

/// Printed when orders are taken, here or by the leader that this node follows.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    fix: &'a str,
    /// Where clients of the ledger connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<&'a str>,
    /// Where readers of market data connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    market: Option<&'a str>,
    /// Where they connect with WebSockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    websocket: Option<&'a str>,
    http: &'a str,
    /// Where the other nodes of the cluster connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<&'a str>,
    /// `leader`: orders are taken here; `follower`: by another node.
    role: &'static str,
    data: &'a str,
    demo: bool,
    seq: u64,
    /// Replayed, behind the snapshot that the start began with.
    recovered_commands: u64,
    recovery_ms: u64,
}

impl Ready<'_> {
    fn line(&self, json: bool) -> Result<String, NodeFault> {
        if json {
            let line = serde_json::to_string(self).map_err(|error| NodeFault::Internal(error.to_string()))?;
            return Ok(line + "\n");
        }
        let Self { fix, http, data, seq, recovered_commands, recovery_ms, .. } = self;
        let binary = self.binary.map_or(String::new(), |binary| format!("binary {binary}, "));
        let market = self.market.map_or(String::new(), |market| format!("market {market}, "));
        let demo = if self.demo { " DEMO" } else { "" };
        Ok(format!(
            "ready{demo}: fix {fix}, {binary}{market}http {http}, data {data}, seq {seq}, {recovered_commands} commands recovered in {recovery_ms} ms\n"
        ))
    }
}

/// Runs the command until the node is told to stop.
///
/// # Errors
/// Everything that keeps a node from serving. A fault of the hot thread aborts the process instead.
pub(crate) fn run(args: &StartArgs) -> Result<(), NodeFault> {
    let clock = Clock::start();
    let config = Config::load(args.config.as_deref())?;
    let demo = config.demo.unwrap_or(!config.from_file);
    if folder::look_at(&args.data)? == Folder::Blank && demo {
        refuse_public_demo(&config)?;
    }
    let connections = descriptors::connections(Connections {
        fix: config.connections_max.value,
        binary: config.listen_binary.value.map_or(0, |_| config.binary_connections_max.value),
        market: config
            .listen_market
            .value
            .or(config.listen_websocket.value)
            .map_or(0, |_| config.market_connections_max.value),
    })?;
    let mut disk = folder::open_disk(&args.data, config.writer.value)?;
    let folder = folder::look_inside(&mut disk)?;
    refuse_other_node(&mut disk, &config, &args.data)?;
    if folder == Folder::Blank && demo {
        refuse_public_demo(&config)?;
    }
    let stopping = Arc::new(AtomicBool::new(false));
    let (mut core, fixed) =
        assemble(disk, &config, connections, &args.data, (folder, demo), clock, &stopping)?;
    if folder == Folder::Replica && !config.from_file && core.has_no_log() {
        return Err(never_begun(&args.data));
    }
    let seq_of_snapshot = core.engine().seq_applied().0;
    if !core.wait_until_ready(&stopping).unwrap_or_else(|fault| abort(&fault)) {
        return leave(&args.data);
    }
    if core.is_cut_off() {
        return Err(unconnected(&args.data, "a node of a cluster that others have joined"));
    }
    let recovered_commands = match folder {
        Folder::Blank => 0,
        Folder::Replica => core.engine().seq_applied().0 - seq_of_snapshot,
    };
    let demo = core.engine().genesis().is_some_and(|genesis| genesis.demo);
    let role = if core.serves() { "leader" } else { "follower" };
    settle_demo(&mut core, &config, demo, &args.data)?;
    core.open();
    let ready = Ready {
        event: "ready",
        fix: &fixed.fix,
        binary: fixed.binary.as_deref(),
        market: fixed.market.as_deref(),
        websocket: fixed.websocket.as_deref(),
        http: &fixed.http,
        peers: fixed.peers.as_deref(),
        role,
        data: &args.data.to_string_lossy(),
        demo,
        seq: core.engine().seq_applied().0,
        recovered_commands,
        recovery_ms: clock.mono().0 / NANOS_PER_MILLI,
    };
    print(&ready.line(args.json)?)?;
    if !demo && !core.engine().has_signer() {
        tracing::warn!(
            "no operator's key is on record: should the engine ever halt, nobody could pass over the record"
        );
    }
    if let Err(fault) = core.run(&stopping) {
        abort(&fault);
    }
    tracing::info!("stopped");
    leave(&args.data)
}

/// Takes the ports, starts the outside thread, and opens the journal.
fn assemble(
    mut disk: FileDisk,
    config: &Config,
    connections: Connections,
    dir: &Path,
    (folder, demo): (Folder, bool),
    clock: Clock,
    stopping: &Arc<AtomicBool>,
) -> Result<(Core, Arc<Fixed>), NodeFault> {
    let http = listen("http", config.listen_http.value)?;
    let Doors { mut sockets, bell, listeners } = open_doors(config, connections)?;
    let readers = open_market(config, connections)?;
    let mut peer_socket = config.listen_peers.map(bind_peers).transpose()?;
    let fixed = Arc::new(fixed(&http, listeners, peer_socket.as_ref(), &readers, disk.writer())?);
    disk.set_waker(Arc::new(ringer(&bell)));
    let outside = Outside::start(http, clock)?;
    let snapshots = Snapshots::new(disk.beside());
    let beside = disk.beside();
    let (again, mut peers, mut repairs) = (disk.beside(), None, Vec::new());
    let mut opened = open_replica(disk, config, dir, folder, demo);
    // Entries may be missing, and then the state that they go on from.
    while let Err(NodeFault::Damaged { .. }) = &opened {
        if let Some(socket) = peer_socket.take_if(|_| config.is_clustered()) {
            peers = Some(start_peers(socket, config, listeners, &bell)?);
        }
        let Some(peers) = &mut peers else { break };
        let network = (peers, &mut sockets);
        let (mut disk, outcome) =
            repair::run(again.beside(), dir, config, network, (&outside, &fixed), clock)?;
        repairs.push(outcome);
        disk.set_waker(Arc::new(ringer(&bell)));
        opened = open_replica(disk, config, dir, folder, demo);
    }
    let replica = opened?;
    if let Some(fault) = replica.status().snapshot_fault {
        tracing::warn!(%fault, "the newest snapshot is passed over, and the start goes on from further back");
    }
    let latencies =
        Latencies::new().ok_or_else(|| NodeFault::Internal("bounds of a histogram".to_owned()))?;
    if let Some(socket) = peer_socket {
        peers = Some(start_peers(socket, config, listeners, &bell)?);
    }
    let fixed = Arc::new(Fixed { repairs, ..Fixed::clone(&fixed) });
    let (publisher, status) = Publisher::new(clock.mono(), Arc::clone(&fixed), replica.status(), latencies);
    let (desk, questions) = Desk::new(status.clone(), ringer(&bell));
    let admin = server::bind(dir).map_err(NodeFault::io("admin socket"))?;
    let wake = Box::new(ringer(&bell));
    outside.recovered(Recovered { admin, desk, status, stopping: Arc::clone(stopping), wake })?;
    let mut clients = Clients::new(sockets);
    let history_reads = HistoryReads::start(fixed.history.clone(), clock, ringer(&bell))?;
    clients.serve_ledger(LedgerClients::new(folder::random()?, history_reads));
    let mut core = Core::new(replica, clients, bell, questions, clock, publisher, snapshots);
    let cache_bytes = usize::try_from(config.history_cache_bytes.value).unwrap_or(usize::MAX);
    core.keep_history(Historian::start(fixed.history.clone(), dir, cache_bytes, beside, clock)?);
    if fixed.publishes() {
        let home = market::Home { dir: dir.to_owned(), disk: again };
        core.feed_market_data(market::start(readers, &fixed.market_data, home, clock)?);
    }
    if let Some(peers) = peers {
        core.connect(peers, config.relay.value);
    }
    Ok((core, fixed))
}

/// What never changes, as far as it is known before the journal is read.
fn fixed(
    http: &TcpListener,
    listeners: Listeners,
    peers: Option<&UdpSocket>,
    readers: &market::Listeners,
    writer: WriterKind,
) -> Result<Fixed, NodeFault> {
    let peers = peers.map(UdpSocket::local_addr).transpose().map_err(NodeFault::io("address"))?;
    Ok(Fixed {
        fix: listeners.fix.to_string(),
        binary: listeners.binary.map(|binary| binary.to_string()),
        http: http.local_addr().map_err(NodeFault::io("address"))?.to_string(),
        market: address_of(readers.binary.as_ref())?,
        websocket: address_of(readers.websocket.as_ref())?,
        peers: peers.map(|peers| peers.to_string()),
        writer,
        repairs: Vec::new(),
        history: History::default(),
        market_data: Arc::default(),
    })
}

/// Where clients come in.
struct Doors {
    sockets: Sockets,
    bell: Bell,
    listeners: Listeners,
}

/// Takes the ports of clients; nobody is let in before the hot thread looks.
fn open_doors(config: &Config, connections: Connections) -> Result<Doors, NodeFault> {
    let (mut sockets, bell) = Sockets::new().map_err(NodeFault::io("poll"))?;
    let mut open = |door, name, address, connections_max| {
        let listener = listen(name, address)?;
        let address = listener.local_addr().map_err(NodeFault::io("address"))?;
        sockets.open_door(door, listener, connections_max).map_err(NodeFault::io(name))?;
        Ok::<_, NodeFault>(address)
    };
    let fix = open(Door::Fix, "fix", config.listen_fix.value, connections.fix)?;
    let binary = match config.listen_binary.value {
        Some(address) => Some(open(Door::Binary, "binary", address, connections.binary)?),
        None => None,
    };
    Ok(Doors { sockets, bell, listeners: Listeners { fix, binary } })
}

/// Where readers of market data come in; nobody is let in before their thread is started.
fn open_market(config: &Config, connections: Connections) -> Result<market::Listeners, NodeFault> {
    let open = |name, address: Option<SocketAddr>| address.map(|address| listen(name, address)).transpose();
    Ok(market::Listeners {
        binary: open("market", config.listen_market.value)?,
        websocket: open("websocket", config.listen_websocket.value)?,
        connections_max: usize::try_from(connections.market).unwrap_or(usize::MAX),
    })
}

fn address_of(listener: Option<&TcpListener>) -> Result<Option<String>, NodeFault> {
    let address = listener.map(TcpListener::local_addr).transpose().map_err(NodeFault::io("address"))?;
    Ok(address.map(|address| address.to_string()))
}

/// Wakes the thread of `bell`.
pub(crate) fn ringer(bell: &Bell) -> impl Fn() + Send + Sync + 'static {
    let bell = bell.clone();
    move || bell.ring()
}

/// Takes a port.
pub(crate) fn listen(listener: &'static str, address: SocketAddr) -> Result<TcpListener, NodeFault> {
    TcpListener::bind(address).map_err(|source| NodeFault::Listen { listener, address, source })
}

fn bind_peers(address: SocketAddr) -> Result<UdpSocket, NodeFault> {
    let bound = UdpSocket::bind(address);
    bound.map_err(|source| NodeFault::Listen { listener: "peers", address, source })
}

/// Connects to the other nodes of the cluster.
fn start_peers(
    socket: UdpSocket,
    config: &Config,
    listeners: Listeners,
    bell: &Bell,
) -> Result<Peers, NodeFault> {
    let (Some(cluster), Some(tls)) = (config.cluster, &config.tls) else {
        return Err(NodeFault::Usage("peers without a cluster or certificates".to_owned()));
    };
    let settings = PeerSettings {
        cluster,
        node: NodeId(config.node_id.value),
        peers: config.peers.clone(),
        founders: config.founders(),
        listeners,
        credentials: Credentials::load(&tls.authority, &tls.certificate, &tls.key)?,
        timing: config.profile.value.peers(),
    };
    Peers::start(settings, socket, ringer(bell))
}

/// What a replica is told by `config`.
pub(crate) fn options(config: &Config, demo: bool) -> replicas::Options {
    let operator_uid = rustix::process::geteuid().as_raw();
    replicas::Options {
        timing: config.profile.value.raft(),
        snapshots: SnapshotPolicy {
            journal_bytes: config.snapshot_journal_bytes.value,
            interval_ms: config.snapshot_interval_ms.value,
        },
        genesis: Genesis { cluster: ClusterId(0), operator: OPERATOR, operator_uid, demo },
    }
}

fn open_replica(
    disk: FileDisk,
    config: &Config,
    dir: &Path,
    folder: Folder,
    demo: bool,
) -> Result<Replica<FileDisk>, NodeFault> {
    let node = NodeId(config.node_id.value);
    let options = options(config, demo);
    let beside = disk.beside();
    let journal_options = folder::journal_options(config)?;
    let opened = match folder {
        Folder::Replica => Replica::open(disk, beside, journal_options, &options),
        Folder::Blank if config.is_clustered() => {
            let what = "is blank: `sicil init` makes the folder of a node that founds or joins a cluster";
            return Err(NodeFault::Usage(format!("{} {what}", dir.display())));
        }
        Folder::Blank => {
            let cluster = match config.cluster {
                Some(cluster) => cluster,
                None => ClusterId(u128::from_le_bytes(folder::random()?)),
            };
            let identity = Identity { cluster, epoch: ClusterEpoch(1), node, founders: config.founders() };
            Replica::create(disk, beside, identity, journal_options, &options)
        }
    };
    opened.map_err(|fault| {
        if let StartFault::Raft(_) = fault {
            return NodeFault::Internal(fault.to_string());
        }
        let (is_damage, report) = (fault.is_damage(), fault.to_string());
        if is_damage {
            return NodeFault::Damaged { dir: dir.to_owned(), report };
        }
        NodeFault::Recovery { dir: dir.to_owned(), report }
    })
}

/// Refuses a configuration of another node, or of a cluster that began with others, before anything is done by it: where
/// several nodes have a vote, this one would acknowledge alone what the others do not know.
fn refuse_other_node(disk: &mut FileDisk, config: &Config, dir: &Path) -> Result<(), NodeFault> {
    // What has no whole `meta` is blank, or recovery says what it is.
    let Some(found) = folder::whose(disk)? else { return Ok(()) };
    let Identity { cluster, node, founders, .. } = found;
    let shown = dir.display();
    if !config.is_clustered() && founders != Founders::alone(node) {
        return Err(unconnected(dir, &format!("node {node} of a cluster that began with {founders}")));
    }
    if let Some(asked) = config.cluster.filter(|asked| *asked != cluster) {
        let what =
            format!("cluster.id = {:032x}, but {shown} belongs to cluster {:032x}", asked.0, cluster.0);
        return Err(NodeFault::Usage(what));
    }
    if config.node_id.value != node.0 {
        let what = format!("node.id = {}, but {shown} holds node {node}", config.node_id.value);
        return Err(NodeFault::Usage(what));
    }
    if config.founders() != founders {
        let what = format!(
            "cluster.founders = {}, but the cluster of {shown} began with {founders}",
            config.founders()
        );
        return Err(NodeFault::Usage(what));
    }
    Ok(())
}

/// A member of a cluster was started as if it were alone.
fn unconnected(dir: &Path, what: &str) -> NodeFault {
    let dir = dir.display();
    NodeFault::Usage(format!(
        "{dir} holds {what}, and no listen.peers is configured: give its own file with --config"
    ))
}

/// Without a file a folder becomes a demo: one that `sicil init` has made is meant for something else.
fn never_begun(dir: &Path) -> NodeFault {
    let dir = dir.display();
    NodeFault::Usage(format!(
        "{dir} holds a node that has never begun: give its own file with --config. Only an empty folder becomes a demo; if a demo was \
         killed at its very first start, remove {dir}"
    ))
}

/// A demo is what it says it is, and gets whatever of its file is missing.
fn settle_demo(core: &mut Core, config: &Config, demo: bool, dir: &Path) -> Result<(), NodeFault> {
    if !demo {
        return match config.demo {
            Some(true) => Err(NodeFault::Usage(format!("demo = true, but {} holds no demo", dir.display()))),
            Some(false) | None => Ok(()),
        };
    }
    refuse_public_demo(config)?;
    let items = definitions::translate(Path::new("built-in demo"), definitions::DEMO, Assets::new())?;
    // Where the lead is lost meanwhile, the next leader sees to it.
    let outcomes = core.see_to_demo(items).unwrap_or_else(|fault| abort(&fault));
    for outcome in outcomes {
        // A start that was killed in between has applied a part.
        if let Some(reason) = outcome.refusal.filter(|reason| reason != RejectReason::Exists.name()) {
            return Err(NodeFault::Internal(format!("built-in demo: {reason} ({})", outcome.field)));
        }
    }
    Ok(())
}

fn refuse_public_demo(config: &Config) -> Result<(), NodeFault> {
    match config.public_listener() {
        Some((key, address)) => {
            Err(NodeFault::Usage(format!("{key} = {address}: a demo binds loopback only")))
        }
        None => Ok(()),
    }
}

/// Nothing may be sent or tried again: what was acknowledged is on disk, the rest is recovery's to decide.
fn abort(fault: &CoreFault) -> ! {
    logging::say_why(format_args!("fatal: {fault}"));
    process::abort();
}

/// Leaves the folder as it is found best: without a socket that nobody serves.
fn leave(dir: &Path) -> Result<(), NodeFault> {
    let socket = SocketPath::in_dir(dir).map_err(NodeFault::io("admin socket"))?;
    match fs::remove_file(&socket.path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(NodeFault::io("admin socket")(error)),
        _ => Ok(()),
    }
}
