//! The hot thread: sockets, gateway, sequencer, Raft, journal and engine in one loop, beside the journal's writer.
//!
//! One turn takes a bounded bite of everything, in the order in which an order passes through ([`Core::turn`]). Nothing
//! in it waits. When a turn had nothing to do, the thread looks again for some microseconds, because waking it up costs
//! as much, and then parks in the poller until a socket, the journal's writer, an operator or the next deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::Engine;
use gateways::binary::Leadership;
use gateways::fix::OutboxRead;
use journal::FileDisk;
use protocol::event::Event;
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{EventBody, MonoNanos, RequestNumber, SessionId, SessionProtocol, Term};
use replicas::{HaltCause, Now, Outbound, ReceiveFault, Replica, ReplicaFault, Status};
use tokio::sync::oneshot;

use crate::admin::server::{Question, Questions};
use crate::admin::{AssetLine, HaltLine};
use crate::bell::Bell;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::definitions::{self, Item};
use crate::gateway_lines::GatewayLines;
use crate::history::Historian;
use crate::market;
use crate::members::Members;
use crate::metrics::Stage;
use crate::operator::Operator;
use crate::peers::Peers;
use crate::plan::{Outcome, Standing};
use crate::publisher::Publisher;
use crate::reads::Reads;
use crate::snapshots::Snapshots;
use crate::status::SessionReport;

/// How long an idle thread looks before it parks.
const SPIN_NANOS: u64 = 40_000;
/// Longest park: `/live` has to see that the thread is alive.
const PARK_NANOS_MAX: u64 = 50 * NANOS_PER_MILLI;
/// How long a stop waits for logouts and the last bytes.
const DRAIN_NANOS: u64 = 5 * NANOS_PER_SECOND;
/// Messages of other nodes that are taken in one turn.
const PEER_MESSAGES_PER_TURN: usize = 256;
/// Reads of old outputs, for resends, in one turn …
const RESENDS_PER_TURN: usize = 4;
/// … and bytes of each.
const RESEND_BYTES_MAX: usize = 64 << 10;

/// Why the hot thread ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoreFault {
    /// The replica cannot go on.
    #[error("{0}")]
    Replica(#[from] ReplicaFault),
    /// The log has lost what others count on.
    #[error("{0}")]
    Peer(ReceiveFault),
    /// The poller cannot be asked.
    #[error("poll: {0}")]
    Poll(#[from] io::Error),
}

/// Everything that the hot thread owns.
pub(crate) struct Core {
    replica: Replica<FileDisk>,
    clients: Clients,
    /// Clients of gateway processes.
    gateways: GatewayLines,
    operator: Operator,
    reads: Reads,
    questions: Questions,
    clock: Clock,
    bell: Bell,
    publisher: Publisher,
    snapshots: Snapshots,
    /// Feeds the ledger's history.
    historian: Option<Historian>,
    /// Feeds market data.
    market: Option<market::Feeder>,
    /// To the other nodes of the cluster, if there are any.
    peers: Option<Peers>,
    /// Changes of the membership that the connections to peers have followed.
    followed_changes: Option<u64>,
    /// Clients of a follower are served through it.
    relays: bool,
    /// Where clients of the ledger were told that another node leads.
    told_binary: Option<SocketAddr>,
    /// The term in which clients are served here: gateways belong to the leader.
    serves_term: Option<Term>,
    /// What a demo begins with: whoever leads applies it where it is missing.
    demo: Vec<Item>,
    /// Kept until it comes: nobody has left.
    demo_applied: Option<oneshot::Receiver<Vec<Outcome>>>,
    /// Clients are let in.
    is_open: bool,
    /// Of the turn; kept for their capacity.
    events: Vec<Event>,
}

/// How far the end of the node has come.
struct Drain {
    until: MonoNanos,
    /// Logouts are on their way.
    said_goodbye: bool,
}

impl Core {
    /// Around a recovered replica; clients are not let in yet.
    pub(crate) fn new(
        replica: Replica<FileDisk>,
        clients: Clients,
        bell: Bell,
        questions: Questions,
        clock: Clock,
        publisher: Publisher,
        snapshots: Snapshots,
    ) -> Self {
        Self {
            peers: None,
            followed_changes: None,
            relays: false,
            told_binary: None,
            serves_term: None,
            replica,
            clients,
            gateways: GatewayLines::default(),
            operator: Operator::default(),
            reads: Reads::default(),
            questions,
            clock,
            bell,
            publisher,
            snapshots,
            historian: None,
            market: None,
            demo: Vec::new(),
            demo_applied: None,
            is_open: false,
            events: Vec::new(),
        }
    }

    /// Among others. `relays`: clients are served through this node while another one leads.
    pub(crate) fn connect(&mut self, peers: Peers, relays: bool) {
        self.peers = Some(peers);
        self.relays = relays;
    }

    /// What is applied goes into the ledger's history, too.
    pub(crate) fn keep_history(&mut self, historian: Historian) {
        self.historian = Some(historian);
    }

    /// What is applied goes into market data, too, once clients are let in.
    pub(crate) fn feed_market_data(&mut self, feeder: market::Feeder) {
        self.market = Some(feeder);
    }

    /// The state at the last applied entry.
    pub(crate) fn engine(&self) -> &Engine {
        self.replica.engine()
    }

    /// Whether nothing was ever written to the log.
    pub(crate) fn has_no_log(&self) -> bool {
        self.replica.status().index_last.0 == 0
    }

    /// Lets clients in.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
        // Whoever reads the ready line may ask at once.
        self.publish(self.clock.mono());
    }

    /// Turns until the replica has applied what it recovered, and serves or follows, or is found to be
    /// [cut off](Self::is_cut_off). Returns false if `stopping` was set before.
    ///
    /// # Errors
    /// [`CoreFault`]: the process must end.
    pub(crate) fn wait_until_ready(&mut self, stopping: &AtomicBool) -> Result<bool, CoreFault> {
        while self.serves_term.is_none() && !self.replica.follows() && !self.is_cut_off() {
            if stopping.load(Ordering::Acquire) {
                return Ok(false);
            }
            self.turn_or_park()?;
        }
        Ok(true)
    }

    /// Whether the log says that others belong to the cluster, and there is no way to them.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.peers.is_none() && self.replica.membership().members().count() > 1
    }

    /// Whether clients and operators are served here, and not by another node.
    pub(crate) const fn serves(&self) -> bool {
        self.serves_term.is_some()
    }

    /// Applies what a demo begins with and nobody has applied, if this node leads, and waits for the outcomes. From here on it does so
    /// whenever it begins to lead: the lead may move while the first leader does.
    ///
    /// # Errors
    /// [`CoreFault`]: the process must end.
    pub(crate) fn see_to_demo(&mut self, items: Vec<Item>) -> Result<Vec<Outcome>, CoreFault> {
        self.demo = items;
        if !self.serves() {
            return Ok(Vec::new());
        }
        let missing = definitions::missing(&self.demo, self.replica.engine(), self.clock.now().wall);
        let (answer, mut answered) = oneshot::channel();
        self.operator.take(missing, answer);
        while !self.operator.is_idle() {
            self.turn_or_park()?;
        }
        Ok(answered.try_recv().unwrap_or_default())
    }

    /// Serves until `stopping` is set and everything is drained.
    ///
    /// # Errors
    /// [`CoreFault`]: the process must abort.
    pub(crate) fn run(&mut self, stopping: &AtomicBool) -> Result<(), CoreFault> {
        let mut idle_since: Option<MonoNanos> = None;
        let mut drain: Option<Drain> = None;
        loop {
            let now = self.clock.now();
            let worked = self.turn(now)?;
            if stopping.load(Ordering::Acquire) {
                let until = now.mono.plus(DRAIN_NANOS);
                let drain = drain.get_or_insert(Drain { until, said_goodbye: false });
                if self.drain(drain, now) {
                    return Ok(());
                }
            }
            let idle_from = if worked { None } else { Some(*idle_since.get_or_insert(now.mono)) };
            match idle_from {
                Some(since) if now.mono.since(since) >= SPIN_NANOS => self.park()?,
                Some(_) => self.clients.wait(Duration::ZERO)?,
                None => {
                    idle_since = None;
                    self.clients.wait(Duration::ZERO)?;
                }
            }
        }
    }

    fn turn_or_park(&mut self) -> Result<(), CoreFault> {
        if self.turn(self.clock.now())? { Ok(()) } else { self.park() }
    }

    /// Sleeps until something comes or is due.
    fn park(&mut self) -> Result<(), CoreFault> {
        self.bell.park();
        // Who finished something before this saw nobody asleep, and did not ring.
        let now = self.clock.now();
        if !self.turn(now)? {
            let deadlines = [self.replica.next_deadline(), self.publisher.next_deadline()];
            // What is due to a client waits while nothing may be submitted.
            let client = self.clients.next_deadline().filter(|_| self.replica.serving());
            let due = deadlines.into_iter().chain(client).min().unwrap_or_default();
            let nanos = due.since(now.mono).min(PARK_NANOS_MAX);
            self.clients.wait(Duration::from_nanos(nanos))?;
        }
        self.bell.unpark();
        Ok(())
    }

    /// One bounded bite of everything. Returns whether there was anything to do.
    fn turn(&mut self, now: Now) -> Result<bool, CoreFault> {
        let mut worked = self.answer_operator(now);
        worked |= self.hear_peers(now.mono)?;
        // Clients are served by the cluster's time, which is not this machine's.
        let own = now;
        let now = self.replica.cluster_time(own);
        worked |= self.hear_gateways(now);
        if let Some(term) = self.serves_term.filter(|_| self.replica.serving()) {
            if !self.operator.is_idle() {
                worked |= self.operator.submit(term, now.mono, self.replica.sequencer());
            }
            if self.is_open {
                worked |= self.clients.read(now, self.replica.sequencer());
                worked |= self.clients.read_ledger(now.mono, self.replica.sequencer());
            }
            self.clients.tick(now, self.replica.sequencer());
        } else if self.is_open && !self.serves() {
            worked |= self.serve_through_leader(now);
        }
        worked |= self.replica.step(own, &mut self.events)?;
        self.reads.answer(&mut self.replica, now.mono);
        if let Some(historian) = &mut self.historian {
            historian.step(&mut self.replica);
        }
        if let Some(feeder) = self.market.as_mut().filter(|_| self.is_open) {
            feeder.step(now, &mut self.replica);
        }
        worked |= self.clients.answer(&mut self.replica, now);
        self.tell_peers();
        self.mind_the_lead(now);
        worked |= self.gateways.step(now.mono, &mut self.replica);
        worked |= self.deliver(now);
        worked |= self.read_outbox(now);
        worked |= self.gateways.tell(&mut self.replica);
        self.write_clients(now);
        if let Some(nanos) = self.snapshots.step(&mut self.replica, self.clock) {
            self.publisher.counters.observe_snapshot(nanos);
        }
        self.publisher.record(&self.replica.take_latencies());
        for line in self.replica.take_raft_log() {
            if line.is_warning {
                tracing::warn!("raft: {}", line.text);
            } else {
                tracing::info!("raft: {}", line.text);
            }
        }
        self.publish_if_due(now.mono);
        Ok(worked)
    }

    /// Takes what other nodes sent: a bounded bite.
    fn hear_peers(&mut self, now: MonoNanos) -> Result<bool, CoreFault> {
        let Some(peers) = &mut self.peers else { return Ok(false) };
        let changes = self.replica.membership_changes();
        if self.followed_changes.replace(changes) != Some(changes) {
            peers.follow(self.replica.membership());
        }
        peers.call_back(now);
        for node in peers.take_unreachable() {
            self.replica.report_unreachable(node);
        }
        for heard in 0..PEER_MESSAGES_PER_TURN {
            let Some((from, bytes)) = peers.receive() else { return Ok(heard > 0) };
            match self.replica.receive_from(from, &bytes) {
                Ok(()) => {}
                Err(fault @ ReceiveFault::Regressed { .. }) => return Err(CoreFault::Peer(fault)),
                Err(fault) => {
                    tracing::debug!(%fault, from = from.0, "a message of another node was not taken")
                }
            }
        }
        Ok(true)
    }

    /// Sends what the replica has for others. What finds no room is lost, and Raft says it again.
    fn tell_peers(&mut self) {
        let Some(peers) = &mut self.peers else { return };
        for Outbound { to, lane, bytes } in self.replica.take_outbound() {
            if !peers.send(to, lane, bytes) {
                self.replica.report_unreachable(to);
            }
        }
    }

    /// Clients are served by the leader, in its term: who begins one learns what was defined meanwhile, and who has lost
    /// the lead closes its connections, so that clients look for the next.
    fn mind_the_lead(&mut self, Now { mono: now, wall }: Now) {
        let leads = self.replica.leading_term();
        if self.serves_term.is_some() && self.serves_term != leads {
            self.serves_term = None;
            let connections = self.clients.drop_all();
            self.told_binary = None;
            self.clients.set_leadership(Leadership::Elsewhere(String::new()), now);
            tracing::warn!(connections, "this node does not lead any more: clients have to look elsewhere");
            // Whoever asked is told that nothing is known; a file can be applied again.
            self.operator = Operator::default();
        }
        if self.serves_term.is_none() && leads.is_some() && self.replica.serving() {
            // Those who waited for a leader find it here at their next attempt.
            self.clients.end_relay();
            self.serves_term = leads;
            let engine = self.replica.engine();
            for definition in engine.definitions() {
                self.clients.define(&definition, now);
                if let EventBody::SessionDefined(defined) = &definition
                    && let Some(next) = engine.next_request(defined.definition.session)
                {
                    self.clients.set_next_command_no(defined.definition.session, RequestNumber(next));
                }
            }
            let term = leads.unwrap_or_default();
            self.clients.set_leadership(Leadership::Here(term, engine.seq_applied()), now);
            self.operator = Operator::starting_at(engine.next_request(SessionId::OPERATOR).unwrap_or(1));
            let missing = definitions::missing(&self.demo, engine, wall);
            if !missing.is_empty() {
                let (answer, applied) = oneshot::channel();
                self.operator.take(missing, answer);
                self.demo_applied = Some(applied);
            }
        }
    }

    /// Clients of a follower are served through it. Where the leader is not reached from here, a client finds the line
    /// closed at once, and tries the next node.
    fn serve_through_leader(&mut self, now: Now) -> bool {
        let leader = self.replica.leader();
        let reached =
            leader.and_then(|leader| Some(self.peers.as_ref()?.reached(leader))).unwrap_or_default();
        if std::mem::replace(&mut self.told_binary, reached.binary) != reached.binary {
            let address = reached.binary.map_or(String::new(), |address| address.to_string());
            self.clients.set_leadership(Leadership::Elsewhere(address), now.mono);
        }
        let told = self.clients.read_ledger(now.mono, self.replica.sequencer());
        let fix = reached.fix;
        let leads_elsewhere = leader.is_some_and(|leader| leader != self.replica.node());
        if self.relays && (fix.is_some() || !leads_elsewhere) {
            return self.clients.relay(leader.zip(fix), now.mono) | told;
        }
        self.clients.turn_away(now.mono) | told
    }

    /// Who belongs to the cluster, as this node knows it.
    fn members(&self, status: &Status) -> Members {
        let peers = self.peers.as_ref().map(Peers::report).unwrap_or_default();
        Members::of(&self.replica, status, &peers, self.publisher.fix())
    }

    /// Takes connections of gateway processes, and what came on them.
    fn hear_gateways(&mut self, now: Now) -> bool {
        let Some(peers) = &mut self.peers else { return false };
        self.gateways.hear(now.mono, peers, &mut self.replica)
    }

    /// Hands out what followed from committed commands.
    fn deliver(&mut self, now: Now) -> bool {
        if self.events.is_empty() {
            return false;
        }
        self.publisher.applied_at = Some(self.clock.mono());
        for event in &self.events {
            self.publisher.counters.observe(event);
            self.operator.deliver(event);
        }
        self.clients.deliver(&self.events, now, self.replica.sequencer());
        self.events.clear();
        true
    }

    /// Answers the gateway's wishes for outputs that are no longer at hand.
    fn read_outbox(&mut self, now: Now) -> bool {
        for done in 0..RESENDS_PER_TURN {
            let Some(read) = self.clients.outbox_read() else { return done > 0 };
            let OutboxRead { session, epoch, from, to, .. } = read;
            match self.replica.read_outbox(session, epoch, from, to, RESEND_BYTES_MAX) {
                Ok(events) => self.clients.outbox_done(&read, &events, now),
                Err(fault) => {
                    tracing::error!(%fault, "outbox");
                    self.clients.outbox_failed(&read, now.mono, self.replica.sequencer());
                }
            }
        }
        true
    }

    /// Writes what waits for clients.
    fn write_clients(&mut self, now: Now) {
        let mut wrote = self.clients.write_ledger(now.mono);
        if !self.serves() {
            return;
        }
        wrote |= self.clients.write(now.mono, self.replica.sequencer());
        if let Some(applied) = self.publisher.applied_at.take().filter(|_| wrote) {
            let nanos = self.clock.mono().since(applied);
            self.publisher.latencies.record(Stage::AppliedToSent, nanos, 1);
        }
    }

    /// Answers one question of an operator, if one is waiting.
    fn answer_operator(&mut self, now: Now) -> bool {
        let Ok(question) = self.questions.try_recv() else { return false };
        let takes_commands = self.is_open && self.serves() && self.replica.serving();
        let engine = self.replica.engine();
        let heard = match question {
            // Dropping the sender is an answer too.
            Question::Submit(..) if !takes_commands => true,
            Question::Submit(commands, answer) => {
                self.operator.take(commands, answer);
                true
            }
            Question::Plan(commands, answer) => {
                let standing = Standing::of(engine);
                answer.send(commands.iter().map(|command| standing.effect(command)).collect()).is_ok()
            }
            Question::Assets(answer) => answer.send(assets(engine)).is_ok(),
            Question::Fresh(freshness, answer) => {
                self.reads.take(&mut self.replica, freshness, now.mono, answer)
            }
            Question::StateHash(answer) => {
                answer.send((engine.seq_applied().0, engine.state_hash().to_string())).is_ok()
            }
            Question::Members(answer) => answer.send(Box::new(self.members(&self.replica.status()))).is_ok(),
            Question::Order(order, answer) => {
                let given = order.give(&mut self.replica);
                tracing::warn!(?order, ?given, "an operator's order to the cluster");
                answer.send(given).is_ok()
            }
            Question::Halt(answer) => {
                let status = self.replica.status();
                answer.send((halt_line(&status), status.seq_applied.0)).is_ok()
            }
            Question::Skip(skip, answer) => {
                let proposed = self.replica.propose_skip(&skip);
                if proposed.is_ok() {
                    tracing::warn!(seq = skip.seq.0, reason = %skip.reason, "operators pass over a record");
                }
                answer.send(proposed).is_ok()
            }
            Question::Sessions(answer) => {
                let sessions = sessions(engine);
                // Whoever asks now wants to know how it is now.
                self.publish(now.mono);
                answer.send(sessions).is_ok()
            }
        };
        if !heard {
            tracing::info!("an operator left before the answer");
        }
        true
    }

    fn publish_if_due(&mut self, now: MonoNanos) {
        if now >= self.publisher.next_deadline() {
            self.publish(now);
        }
    }

    fn publish(&mut self, now: MonoNanos) {
        let counters = &mut self.publisher.counters;
        (counters.connections_accepted, counters.connections_refused) = self.clients.counts();
        let (open, relayed) = (self.clients.open(), self.clients.relayed());
        counters.connections_open = u64::try_from(open - relayed).unwrap_or(u64::MAX);
        counters.connections_relayed = u64::try_from(relayed).unwrap_or(u64::MAX);
        (counters.bytes_received, counters.bytes_sent) =
            (self.clients.bytes_received, self.clients.bytes_sent);
        let genesis = self.replica.engine().genesis().cloned();
        let status = self.replica.status();
        let members = self.members(&status);
        self.publisher.publish(now, status, genesis, members);
    }

    /// One turn on the way out. Returns whether nothing is left to do, or the time is up.
    fn drain(&mut self, drain: &mut Drain, now: Now) -> bool {
        if !drain.said_goodbye {
            drain.said_goodbye = true;
            self.publisher.stopping = true;
            self.clients.stop(now.mono, self.replica.sequencer());
            self.publish(now.mono);
        }
        let status = self.replica.status();
        let settled = status.queue_records == 0 && status.index_applied == status.index_last;
        let drained = settled && self.operator.is_idle() && self.clients.open() == 0;
        if !drained && now.mono >= drain.until {
            tracing::warn!(
                connections = self.clients.open(),
                settled,
                "stopping before everything was drained"
            );
            return true;
        }
        drained
    }
}

fn halt_line(status: &Status) -> Option<HaltLine> {
    let halt = status.halted.as_ref()?;
    let record_hash = match &halt.cause {
        HaltCause::Record { record_hash, .. } => Some(record_hash.to_string()),
        HaltCause::Rules { .. } | HaltCause::Differs { .. } | HaltCause::StateDiffers { .. } => None,
    };
    let cluster = format!("{:032x}", status.cluster.0);
    Some(HaltLine { cluster, seq: halt.seq.0, record_hash, why: halt.to_string() })
}

fn assets(engine: &Engine) -> Vec<AssetLine> {
    let definitions = engine.definitions();
    let assets = definitions.iter().filter_map(|definition| {
        let EventBody::AssetDefined(asset) = definition else { return None };
        let asset = &asset.definition;
        Some(AssetLine { code: asset.code.to_string(), id: asset.asset.0, scale: asset.scale })
    });
    assets.collect()
}

fn sessions(engine: &Engine) -> Vec<SessionReport> {
    // Those of the ledger's clients have no numbers, and any number of connections.
    let fix = engine.sessions().filter(|session| session.definition.protocol == SessionProtocol::Fix);
    let reports = fix.map(|session| SessionReport {
        session: session.session.0,
        client_comp_id: session.definition.client_comp_id.to_string(),
        our_comp_id: session.definition.our_comp_id.to_string(),
        connected: session.connected,
        epoch: session.epoch.0,
        next_in: session.next_in,
        next_out: session.next_out.0,
    });
    reports.collect()
}
