//! `sicil gateway`: the FIX gateway as a process of its own, in front of the cluster. Its clients keep their connections when
//! the leader changes: what they sent waits here until the next one takes it, and what followed comes once.
//!
//! One thread reads clients, hands their commands to [`Uplink`] and writes what the cluster says; another carries the connection
//! to the node that leads. The process keeps nothing: it may be killed, and clients log on again, here or elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateways::uplink::{Heard, Uplink};
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{GatewayId, MonoNanos};
use replicas::Now;
use serde::Serialize;

use crate::bell::Bell;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::gateway::GatewayConfig;
use crate::fault::NodeFault;
use crate::peers::identity::Party;
use crate::peers::{ClusterLine, Credentials, Dialer, Identity};
use crate::sockets::Sockets;
use crate::start::{listen, ringer};
use crate::{descriptors, folder, print};

/// How long an idle thread looks before it parks.
const SPIN_NANOS: u64 = 20_000;
/// Longest park.
const PARK_NANOS_MAX: u64 = 50 * NANOS_PER_MILLI;
/// How long a stop waits for logouts and the last bytes.
const DRAIN_NANOS: u64 = 5 * NANOS_PER_SECOND;
/// Messages of the cluster that are taken in one turn, and sent to it.
const MESSAGES_PER_TURN: usize = 256;
/// A leader answers a sign of life each second: after this silence another node is asked.
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
    let connections_max = descriptors::fix_connections(config.connections_max)?;
    let tls = &config.tls;
    let credentials = Credentials::load(&tls.authority, &tls.certificate, &tls.key)?;
    let fix = listen("fix", config.listen_fix)?;
    let address = fix.local_addr().map_err(NodeFault::io("address"))?;
    let (mut sockets, bell) = Sockets::new(fix, connections_max).map_err(NodeFault::io("FIX listener"))?;
    sockets.number_from(config.id.connections_from());
    let stopping = Arc::new(AtomicBool::new(false));
    let identity = Identity {
        cluster: config.cluster,
        party: Party::Gateway(config.id),
        credentials: &credentials,
        timing: config.profile.peers(),
        fix: address,
    };
    let dialer = Dialer::start(&identity, config.nodes, Arc::clone(&stopping), Arc::new(ringer(&bell)))?;
    let mut gateway = Gateway {
        id: config.id,
        clients: Clients::new(sockets),
        uplink: Uplink::new(instance()?),
        dialer,
        line: None,
        heard: MonoNanos(0),
        patience_nanos: u64::try_from(identity.timing.idle.as_nanos()).unwrap_or(SILENCE_NANOS),
        lets_in: false,
        is_told: false,
        clock,
        bell,
    };
    gateway.run(&stopping, |leader| {
        print(
            &Ready { event: "ready", fix: &address.to_string(), gateway: config.id.0, leader }
                .line(args.json)?,
        )
    })?;
    tracing::info!("stopped");
    Ok(())
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
    /// To the node that leads, or is asked.
    line: Option<ClusterLine>,
    /// When the node was heard last, or connected.
    heard: MonoNanos,
    /// How long a node may leave a hello unanswered.
    patience_nanos: u64,
    /// The definitions are here: clients can be told from strangers.
    lets_in: bool,
    /// The ready line has been printed.
    is_told: bool,
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
                ready(self.line.as_ref().map_or(0, |line| line.node.0))?;
            }
            if stopping.load(Ordering::Acquire) && self.drain(&mut drain_until, now.mono) {
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
        let mut worked = self.take_line(now.mono);
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

    fn take_line(&mut self, now: MonoNanos) -> bool {
        let Some(line) = self.dialer.next_line() else { return false };
        self.line = Some(line);
        self.heard = now;
        self.uplink.connected();
        true
    }

    /// Takes what the node sent.
    fn hear(&mut self, now: Now) -> Result<bool, NodeFault> {
        for heard in 0..MESSAGES_PER_TURN {
            let Some(ClusterLine { node, line }) = &mut self.line else { return Ok(heard > 0) };
            let node = *node;
            match line.receive() {
                Ok(None) => return Ok(heard > 0),
                Ok(Some(bytes)) => {
                    self.heard = now.mono;
                    match self.uplink.receive(&bytes) {
                        Ok(heard) => self.obey(heard, node.0, now)?,
                        Err(fault) => {
                            tracing::warn!(node = node.0, %fault, "a node breaks the protocol");
                            self.hang_up();
                        }
                    }
                }
                Err(_) => {
                    tracing::warn!(
                        node = node.0,
                        "the connection to the leader is lost: clients wait for the next"
                    );
                    self.hang_up();
                }
            }
        }
        Ok(true)
    }

    fn obey(&mut self, heard: Heard, node: u64, now: Now) -> Result<(), NodeFault> {
        match heard {
            Heard::Welcome => {
                tracing::info!(node, waiting = self.uplink.waiting(), "this node leads, and takes commands");
            }
            Heard::Elsewhere(leader) => {
                tracing::debug!(node, leader = leader.map(|leader| leader.0), "another node leads");
                self.dialer.look_at(leader);
                self.hang_up();
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
                self.hang_up();
            }
            Heard::Definitions(events) => {
                events.iter().for_each(|event| self.clients.define(&event.body));
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

    /// A node that does not answer is not waited for.
    fn lose_patience(&mut self, now: MonoNanos) {
        let bears = if self.uplink.is_open() { SILENCE_NANOS } else { self.patience_nanos };
        if let Some(line) = self.line.as_ref().filter(|_| now.since(self.heard) >= bears) {
            tracing::debug!(node = line.node.0, "a node does not answer");
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.line = None;
        self.uplink.disconnected();
    }

    /// Sends what there is to be told and room for.
    fn tell(&mut self) -> bool {
        let Some(ClusterLine { line, .. }) = &self.line else { return false };
        for told in 0..MESSAGES_PER_TURN {
            let Some(room) = line.room() else { return told > 0 };
            let Some(bytes) = self.uplink.next_message() else { return told > 0 };
            room.send(bytes);
        }
        true
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
