//! `sicil gateway`: the FIX gateway as a process of its own, in front of the cluster. Its clients keep their connections when
//! the leader changes: what they sent waits here until the next one takes it, and what followed comes once.
//!
//! One thread reads clients, hands their commands to [`Uplink`] and writes what the cluster says; another carries the connections
//! to the nodes. The process keeps nothing: it may be killed, and clients log on again, here or elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateways::uplink::{Heard, Uplink};
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{ClusterId, GatewayId, MonoNanos, NodeId};
use replicas::Now;
use serde::Serialize;
use tokio::sync::watch;

use crate::bell::Bell;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::gateway::GatewayConfig;
use crate::descriptors::Connections;
use crate::fault::NodeFault;
use crate::gateway_status::{self, GatewayStatus};
use crate::peers::identity::Party;
use crate::peers::{ClusterLine, Credentials, Dialer, Identity, Line, PeerAddress};
use crate::sockets::{Door, Sockets};
use crate::start::{listen, ringer};
use crate::{descriptors, folder, print};

/// How long an idle thread looks before it parks.
const SPIN_NANOS: u64 = 20_000;
/// Longest park.
const PARK_NANOS_MAX: u64 = 50 * NANOS_PER_MILLI;
/// Between two copies for whoever asks over HTTP.
const STATUS_NANOS: u64 = 50 * NANOS_PER_MILLI;
/// How long a stop waits for logouts and the last bytes.
const DRAIN_NANOS: u64 = 5 * NANOS_PER_SECOND;
/// Messages of one node that are taken in one turn, and sent to it.
const MESSAGES_PER_TURN: usize = 256;
/// A leader answers a sign of life each second: after this silence the connection to it is made anew.
const SILENCE_NANOS: u64 = 5 * NANOS_PER_SECOND;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file: the nodes of the cluster, the gateway's certificate, where clients connect.
    #[arg(long, value_name = "FILE", alias = "config")]
    cluster: PathBuf,
    /// Print the ready line and the log as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// What to log, such as `warn` or `info,sicil=debug`; otherwise RUST_LOG decides.
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// Printed when clients are let in.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    fix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<&'a str>,
    gateway: u32,
    /// The node that leads.
    leader: u64,
}

impl Ready<'_> {
    fn line(&self, json: bool) -> Result<String, NodeFault> {
        if json {
            let line = serde_json::to_string(self).map_err(|error| NodeFault::Internal(error.to_string()))?;
            return Ok(line + "\n");
        }
        let Self { fix, gateway, leader, .. } = self;
        Ok(format!("ready: fix {fix}, gateway {gateway}, the leader is node {leader}\n"))
    }
}

/// Runs the command until the process is told to stop.
///
/// # Errors
/// Everything that keeps a gateway from serving.
pub(crate) fn run(args: &Args) -> Result<(), NodeFault> {
    let clock = Clock::start();
    let config = GatewayConfig::load(&args.cluster)?;
    let connections_max =
        descriptors::connections(Connections { fix: config.connections_max, binary: 0, market: 0 })?.fix;
    let tls = &config.tls;
    let credentials = Credentials::load(&tls.authority, &tls.certificate, &tls.key)?;
    let fix = listen("fix", config.listen_fix)?;
    let address = fix.local_addr().map_err(NodeFault::io("address"))?;
    let (mut sockets, bell) = Sockets::new().map_err(NodeFault::io("poll"))?;
    sockets.open_door(Door::Fix, fix, connections_max).map_err(NodeFault::io("FIX listener"))?;
    sockets.number_from(config.id.connections_from());
    let stopping = Arc::new(AtomicBool::new(false));
    let identity = Identity {
        cluster: config.cluster,
        party: Party::Gateway(config.id),
        credentials: &credentials,
        timing: config.profile.peers(),
    };
    let (status, told) = watch::channel(GatewayStatus { gateway: config.id.0, ..GatewayStatus::default() });
    let (http, beside) = pages(config.listen_http, told, clock)?;
    let wake = Arc::new(ringer(&bell));
    let (file, own) = (args.cluster.clone(), (config.id, config.cluster));
    let reload = move || nodes_of(&file, own);
    let dialer = Dialer::start(&identity, config.nodes, reload, Arc::clone(&stopping), wake, beside)?;
    let mut gateway = Gateway {
        id: config.id,
        clients: Clients::new(sockets),
        uplink: Uplink::new(instance()?),
        dialer,
        lines: BTreeMap::new(),
        heard: MonoNanos(0),
        patience_nanos: u64::try_from(identity.timing.idle.as_nanos()).unwrap_or(SILENCE_NANOS),
        lets_in: false,
        is_told: false,
        status,
        next_status: MonoNanos(0),
        welcomes: 0,
        restarts: 0,
        clock,
        bell,
    };
    gateway.run(&stopping, |leader| {
        print(
            &Ready {
                event: "ready",
                fix: &address.to_string(),
                http: http.as_deref(),
                gateway: config.id.0,
                leader,
            }
            .line(args.json)?,
        )
    })?;
    tracing::info!("stopped");
    Ok(())
}

/// Takes the port of the pages for operators, if there is to be one: its address, and what serves it.
fn pages(
    address: Option<SocketAddr>,
    status: watch::Receiver<GatewayStatus>,
    clock: Clock,
) -> Result<(Option<String>, impl Future<Output = ()> + Send + 'static), NodeFault> {
    let http = address.map(|address| listen("http", address)).transpose()?;
    let address =
        http.as_ref().map(|http| http.local_addr().map_err(NodeFault::io("address"))).transpose()?;
    let serve = async move {
        if let Some(http) = http
            && let Err(error) = gateway_status::serve(http, status, clock).await
        {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    };
    Ok((address.map(|address| address.to_string()), serve))
}

/// The nodes by the file as it stands now. Everything else in it counts from the next start on.
fn nodes_of(file: &Path, own: (GatewayId, ClusterId)) -> Option<Vec<PeerAddress>> {
    match GatewayConfig::load(file) {
        Ok(config) if (config.id, config.cluster) == own => {
            tracing::info!(nodes = config.nodes.len(), "the nodes of the file are dialled from now on");
            Some(config.nodes)
        }
        Ok(_) => {
            tracing::error!(
                "the file is another gateway's, or another cluster's: the nodes stay as they were"
            );
            None
        }
        Err(fault) => {
            tracing::error!(%fault, "the file cannot be read: the nodes stay as they were");
            None
        }
    }
}

/// Tells this process from all that ran under its id before.
fn instance() -> Result<u64, NodeFault> {
    Ok(u64::from_le_bytes(folder::random()?))
}

/// Everything that the hot thread owns.
struct Gateway {
    id: GatewayId,
    clients: Clients,
    uplink: Uplink,
    dialer: Dialer,
    /// To each node that is connected.
    lines: BTreeMap<NodeId, Line>,
    /// When the leader was heard last.
    heard: MonoNanos,
    /// How long the leader may leave a hello unanswered.
    patience_nanos: u64,
    /// The definitions are here: clients can be told from strangers.
    lets_in: bool,
    /// The ready line has been printed.
    is_told: bool,
    /// For whoever asks over HTTP.
    status: watch::Sender<GatewayStatus>,
    next_status: MonoNanos,
    /// Times that a leader took it in.
    welcomes: u64,
    /// Times that it had to begin anew.
    restarts: u64,
    clock: Clock,
    bell: Bell,
}

impl Gateway {
    /// Serves until `stopping` is set and everything is drained; `ready` is called once, with the node that leads.
    fn run(
        &mut self,
        stopping: &AtomicBool,
        ready: impl Fn(u64) -> Result<(), NodeFault>,
    ) -> Result<(), NodeFault> {
        let mut idle_since: Option<MonoNanos> = None;
        let mut drain_until: Option<MonoNanos> = None;
        loop {
            let now = self.clock.now();
            let worked = self.turn(now)?;
            if self.lets_in && !self.is_told {
                self.is_told = true;
                ready(self.uplink.leader().map_or(0, |leader| leader.0))?;
            }
            let stops = stopping.load(Ordering::Acquire);
            self.publish_if_due(now.mono, stops);
            if stops && self.drain(&mut drain_until, now.mono) {
                return Ok(());
            }
            let idle_from = if worked { None } else { Some(*idle_since.get_or_insert(now.mono)) };
            match idle_from {
                Some(since) if now.mono.since(since) >= SPIN_NANOS => self.park()?,
                Some(_) => self.wait(0)?,
                None => {
                    idle_since = None;
                    self.wait(0)?;
                }
            }
        }
    }

    /// One bounded bite of everything. Returns whether there was anything to do.
    fn turn(&mut self, now: Now) -> Result<bool, NodeFault> {
        let mut worked = self.take_lines();
        worked |= self.hear(now)?;
        self.lose_patience(now.mono);
        if self.lets_in {
            worked |= self.clients.read(now, &mut self.uplink);
        }
        self.clients.tick(now, &mut self.uplink);
        while let Some(read) = self.clients.outbox_read() {
            self.uplink.read(read);
            worked = true;
        }
        self.uplink.tick(now.mono);
        worked |= self.tell();
        worked |= self.clients.write(now.mono, &mut self.uplink);
        Ok(worked)
    }

    fn take_lines(&mut self) -> bool {
        let mut worked = false;
        while let Some(ClusterLine { node, line }) = self.dialer.next_line() {
            self.lines.insert(node, line);
            self.uplink.connected(node);
            worked = true;
        }
        worked
    }

    /// Takes what the nodes sent.
    fn hear(&mut self, now: Now) -> Result<bool, NodeFault> {
        let mut worked = false;
        for node in self.lines.keys().copied().collect::<Vec<_>>() {
            for _ in 0..MESSAGES_PER_TURN {
                let Some(line) = self.lines.get_mut(&node) else { break };
                match line.receive() {
                    Ok(None) => break,
                    Ok(Some(bytes)) => self.take(node, &bytes, now)?,
                    Err(_) => {
                        if self.uplink.leader() == Some(node) {
                            tracing::warn!(
                                node = node.0,
                                "the connection to the leader is lost: clients wait for the next"
                            );
                        }
                        self.hang_up(node);
                    }
                }
                worked = true;
            }
        }
        Ok(worked)
    }

    fn take(&mut self, node: NodeId, bytes: &[u8], now: Now) -> Result<(), NodeFault> {
        match self.uplink.receive(node, bytes) {
            Ok(heard) => self.obey(heard, node, now)?,
            Err(fault) => {
                tracing::warn!(node = node.0, %fault, "a node breaks the protocol");
                self.hang_up(node);
            }
        }
        if self.uplink.leader() == Some(node) {
            self.heard = now.mono;
        }
        Ok(())
    }

    fn obey(&mut self, heard: Heard, node: NodeId, now: Now) -> Result<(), NodeFault> {
        match heard {
            Heard::Leads(before) => before.into_iter().for_each(|node| self.hang_up(node)),
            Heard::OutOfDate => tracing::debug!(node = node.0, "a node takes itself for the leader still"),
            Heard::Welcome => {
                self.welcomes += 1;
                tracing::info!(
                    node = node.0,
                    waiting = self.uplink.waiting(),
                    "this node leads, and takes commands"
                );
            }
            Heard::Elsewhere(leader) => {
                let leader = leader.map(|leader| leader.0);
                tracing::debug!(node = node.0, leader, "it does not lead any more");
                self.hang_up(node);
            }
            Heard::Superseded => {
                let gateway = self.id;
                return Err(NodeFault::Locked(format!(
                    "another process runs as gateway {gateway} of this cluster: the id of each has to be its own"
                )));
            }
            Heard::TooFarBehind => {
                let connections = self.clients.drop_all();
                tracing::error!(
                    connections,
                    "the leader does not know any more what followed meanwhile: clients have to log on again"
                );
                self.uplink = Uplink::new(instance()?);
                self.lets_in = false;
                self.restarts += 1;
                // All are made anew, and each node says again whether it leads.
                self.lines.clear();
            }
            Heard::Definitions(events) => {
                events.iter().for_each(|event| self.clients.define(&event.body, now.mono));
            }
            Heard::Events(events) => {
                // They come behind the definitions.
                self.lets_in = true;
                self.clients.deliver(&events, now, &mut self.uplink);
            }
            Heard::Outputs(read, events) => self.clients.outbox_done(&read, &events, now),
            Heard::Unreadable(read) => self.clients.outbox_failed(&read, now.mono, &mut self.uplink),
        }
        Ok(())
    }

    fn publish_if_due(&mut self, now: MonoNanos, stopping: bool) {
        if now < self.next_status {
            return;
        }
        self.next_status = now.plus(STATUS_NANOS);
        let (connections_accepted, connections_refused) = self.clients.counts();
        self.status.send_replace(GatewayStatus {
            ready: self.lets_in && self.uplink.is_open() && !stopping,
            gateway: self.id.0,
            leader: self.uplink.leader().map(|leader| leader.0),
            term: self.uplink.term().0,
            nodes_connected: self.lines.len(),
            commands_waiting: self.uplink.waiting(),
            stopping,
            published: now,
            connections_open: self.clients.open(),
            connections_accepted,
            connections_refused,
            bytes_received: self.clients.bytes_received,
            bytes_sent: self.clients.bytes_sent,
            welcomes: self.welcomes,
            restarts: self.restarts,
        });
    }

    /// A leader that does not answer is asked on another connection.
    fn lose_patience(&mut self, now: MonoNanos) {
        let bears = if self.uplink.is_open() { SILENCE_NANOS } else { self.patience_nanos };
        if let Some(leader) = self.uplink.leader().filter(|_| now.since(self.heard) >= bears) {
            tracing::debug!(node = leader.0, "the leader does not answer");
            self.hang_up(leader);
        }
    }

    fn hang_up(&mut self, node: NodeId) {
        self.lines.remove(&node);
        self.uplink.disconnected(node);
    }

    /// Sends what there is to be told and room for.
    fn tell(&mut self) -> bool {
        let mut worked = false;
        for (node, line) in &self.lines {
            for _ in 0..MESSAGES_PER_TURN {
                let Some(room) = line.room() else { break };
                let Some(bytes) = self.uplink.next_message(*node) else { break };
                room.send(bytes);
                worked = true;
            }
        }
        worked
    }

    /// Sleeps until something comes or is due.
    fn park(&mut self) -> Result<(), NodeFault> {
        self.bell.park();
        // Who finished something before this saw nobody asleep, and did not ring.
        let now = self.clock.now();
        if !self.turn(now)? {
            let due = self.clients.next_deadline().into_iter().chain([self.uplink.next_deadline()]).min();
            self.wait(due.unwrap_or_default().since(now.mono).min(PARK_NANOS_MAX))?;
        }
        self.bell.unpark();
        Ok(())
    }

    fn wait(&mut self, nanos: u64) -> Result<(), NodeFault> {
        self.clients.wait(Duration::from_nanos(nanos)).map_err(NodeFault::io("poll"))
    }

    /// One turn on the way out. Returns whether nothing is left to do, or the time is up.
    fn drain(&mut self, until: &mut Option<MonoNanos>, now: MonoNanos) -> bool {
        if until.is_none() {
            self.clients.stop(now, &mut self.uplink);
        }
        let until = *until.get_or_insert(now.plus(DRAIN_NANOS));
        let drained = self.clients.open() == 0 && self.uplink.waiting() == 0;
        if !drained && now >= until {
            let (connections, waiting) = (self.clients.open(), self.uplink.waiting());
            tracing::warn!(connections, waiting, "stopping before everything was drained");
            return true;
        }
        drained
    }
}
