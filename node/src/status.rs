//! What a node tells of itself: published by the hot thread, read by HTTP and by operators.

use std::fmt;
use std::process;
use std::sync::Arc;

use journal::WriterKind;
use protocol::MonoNanos;
use protocol::commands::Genesis;
use protocol::time::NANOS_PER_MILLI;
use replicas::{ClockStatus, Role, Status};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::fault::NodeFault;
use crate::history::History;
use crate::market::Counts;
use crate::members::{ElectionCounts, Members, REMOVED, REMOVED_LINE};
use crate::metrics::{Counters, Latencies, Stage};

/// The hot thread's latest word.
pub(crate) type Watch = watch::Receiver<Arc<Published>>;

/// A copy of it. The lock is held for no longer than it takes to count a reference: the hot thread publishes through it.
pub(crate) fn latest(watch: &Watch) -> Arc<Published> {
    Arc::clone(&watch.borrow())
}

/// A node at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// When.
    pub(crate) published: MonoNanos,
    /// What never changes while the process runs.
    pub(crate) fixed: Arc<Fixed>,
    /// The replica.
    pub(crate) replica: Status,
    /// The cluster's first record; `None` until it has been read.
    pub(crate) genesis: Option<Genesis>,
    /// Who belongs to the cluster; `None` until the first look.
    pub(crate) members: Option<Members>,
    /// Counts of the hot thread.
    pub(crate) counters: Counters,
    /// Latencies; taken less often than the rest.
    pub(crate) latencies: Arc<Latencies>,
    /// Whether the node stops taking connections and commands.
    pub(crate) stopping: bool,
}

/// What never changes while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    /// Where FIX clients connect.
    pub(crate) fix: String,
    /// Where clients of the ledger connect.
    pub(crate) binary: Option<String>,
    /// Where HTTP is served.
    pub(crate) http: String,
    /// Where readers of market data connect.
    pub(crate) market: Option<String>,
    /// Where they connect with WebSockets.
    pub(crate) websocket: Option<String>,
    /// Where the other nodes of the cluster connect.
    pub(crate) peers: Option<String>,
    /// The writer in use, which may be another than the one asked for.
    pub(crate) writer: WriterKind,
    /// What this start had to have brought back from others, in order.
    pub(crate) repairs: Vec<String>,
    /// The ledger's history.
    pub(crate) history: History,
    /// What there is to tell of market data.
    pub(crate) market_data: Arc<Counts>,
}

impl Fixed {
    /// Whether there is a door for readers of market data.
    pub(crate) const fn publishes(&self) -> bool {
        self.market.is_some() || self.websocket.is_some()
    }
}

/// Answer of `/ready`.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    /// Whether orders are taken.
    pub(crate) ready: bool,
    role: &'static str,
    /// The node that leads, and where it takes FIX clients.
    leader: Option<u64>,
    leader_fix: Option<String>,
    /// Entries of the log that are committed and not applied.
    lag_entries: u64,
    read_only: bool,
    demo: bool,
    /// What it waits for, if it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
}

impl Published {
    /// Whether the cluster is a demonstration.
    pub(crate) fn is_demo(&self) -> bool {
        self.genesis.as_ref().is_some_and(|genesis| genesis.demo)
    }

    /// Whether the disk has no room for more commands.
    pub(crate) fn read_only(&self) -> bool {
        self.replica.read_only.is_some()
    }

    /// Whether orders are taken, and if not, why.
    pub(crate) fn readiness(&self) -> Readiness {
        let replica = &self.replica;
        let waits_for = if self.stopping {
            Some("the process is stopping")
        } else if replica.serving {
            None
        } else if self.is_removed() {
            Some("nothing: the node was removed from the cluster")
        } else if replica.halted.is_some() {
            Some("the engine halted: an operator has to decide")
        } else if self.read_only() {
            Some("room on the disk")
        } else if replica.role != Role::Leader && self.leader().is_some() {
            Some("nothing: another node leads")
        } else if replica.role != Role::Leader {
            Some("recovery, or an election")
        } else {
            Some("the first record of its term")
        };
        Readiness {
            ready: waits_for.is_none(),
            role: self.role(),
            leader: self.leader(),
            leader_fix: self.leader_fix(),
            lag_entries: self.lag_entries(),
            read_only: self.read_only(),
            demo: self.is_demo(),
            waits_for,
        }
    }

    /// Committed entries that are not applied.
    pub(crate) fn lag_entries(&self) -> u64 {
        self.replica.index_committed.0.saturating_sub(self.replica.index_applied.0)
    }

    /// Whether the node is known to be a member no more.
    pub(crate) fn is_removed(&self) -> bool {
        self.members.as_ref().is_some_and(|members| members.removed)
    }

    fn role(&self) -> &'static str {
        if self.is_removed() { REMOVED } else { role_name(self.replica.role) }
    }

    fn leader(&self) -> Option<u64> {
        self.members.as_ref()?.leader
    }

    /// For an operator whose commands are not taken here.
    pub(crate) fn takes_no_commands(&self) -> String {
        let leader = self.members.as_ref().and_then(Members::other_leader);
        let who = leader
            .map_or("no leader is known".to_owned(), |leader| format!("{leader} leads: give them there"));
        format!("the node does not take commands now; {who}")
    }

    /// Where clients find the leader.
    fn leader_fix(&self) -> Option<String> {
        self.members.as_ref()?.leader_fix().map(ToOwned::to_owned)
    }

    /// For `sicil status`.
    pub(crate) fn report(&self) -> Report {
        let replica = &self.replica;
        let microseconds = |nanos: u64| nanos / 1_000;
        let stages = Stage::ALL.into_iter().filter_map(|stage| {
            let histogram = self.latencies.of(stage)?;
            Some(StageReport {
                stage: stage.name().to_owned(),
                count: histogram.len(),
                p50_us: microseconds(histogram.value_at_quantile(0.5)),
                p99_us: microseconds(histogram.value_at_quantile(0.99)),
                p999_us: microseconds(histogram.value_at_quantile(0.999)),
            })
        });
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            demo: self.is_demo(),
            fix: self.fixed.fix.clone(),
            http: self.fixed.http.clone(),
            cluster: format!("{:032x}", replica.cluster.0),
            node: replica.node.0,
            role: self.role().to_owned(),
            serving: replica.serving && !self.stopping,
            leader: self.leader(),
            leader_fix: self.leader_fix(),
            index_last: replica.index_last.0,
            index_committed: replica.index_committed.0,
            index_applied: replica.index_applied.0,
            lag_entries: self.lag_entries(),
            elections: replica.elections.into(),
            term: replica.term.0,
            seq_committed: replica.seq_committed.0,
            seq_applied: replica.seq_applied.0,
            seq_verified: replica.seq_verified.0,
            seq_history: self.fixed.history.seq().map(|seq| seq.0),
            effect_hash: replica.effect_hash.to_string(),
            halted: replica.halted.as_ref().map(ToString::to_string),
            clock: replica.clock.into(),
            queue_records: replica.queue_records,
            orders_accepted: self.counters.orders_accepted,
            orders_refused: self.counters.orders_refused.values().sum(),
            trades: self.counters.trades,
            connections: self.counters.connections_open,
            disk: DiskReport {
                writer: self.fixed.writer.to_string(),
                read_only: replica.read_only.as_ref().map(ToString::to_string),
                spare_segments: replica.spares_ready,
                blocks: replica.journal.blocks,
                bytes: replica.journal.block_bytes,
                snapshot_index: replica.snapshot_index.map(|index| index.0),
                snapshot_fault: replica.snapshot_fault.as_ref().map(ToString::to_string),
                outbox_damage: replica
                    .outbox_damage
                    .iter()
                    .map(|damage| format!("{} from byte {}", damage.file, damage.offset))
                    .collect(),
                outbox_fault: replica.outbox_fault.as_ref().map(ToString::to_string),
                repairs: self.fixed.repairs.clone(),
                outputs_replayed: replica.outputs_were_missing.is_some(),
            },
            latency: stages.collect(),
        }
    }
}

/// As JSON and people have it.
pub(crate) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

/// The node, as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    version: String,
    pid: u32,
    demo: bool,
    fix: String,
    http: String,
    cluster: String,
    node: u64,
    role: String,
    serving: bool,
    /// The node that leads, and where it takes FIX clients; `None` if that is not known.
    leader: Option<u64>,
    leader_fix: Option<String>,
    /// Entries of the log here, those known to be committed, and those applied; the last two differ by the lag.
    index_last: u64,
    index_committed: u64,
    index_applied: u64,
    lag_entries: u64,
    elections: ElectionCounts,
    term: u64,
    seq_committed: u64,
    seq_applied: u64,
    seq_verified: u64,
    /// Up to here the ledger's history is answered; `None` while its file is opened or built anew.
    seq_history: Option<u64>,
    effect_hash: String,
    halted: Option<String>,
    clock: ClockReport,
    queue_records: usize,
    orders_accepted: u64,
    orders_refused: u64,
    trades: u64,
    connections: u64,
    disk: DiskReport,
    latency: Vec<StageReport>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ClockReport {
    /// Whether a majority of the voters' clocks agrees.
    synchronized: bool,
    /// How far this node's clock is ahead of what they agree on, or below zero behind; `None`: nothing is known.
    offset_ms: Option<i64>,
    /// What an operator has to look after.
    alarm: Option<String>,
}

impl From<ClockStatus> for ClockReport {
    fn from(clock: ClockStatus) -> Self {
        Self {
            synchronized: clock.is_synchronized,
            offset_ms: offset_ms(&clock),
            alarm: clock.alarm.map(|alarm| alarm.to_string()),
        }
    }
}

/// How far the node's clock is ahead of what a majority agrees on, in whole milliseconds.
pub(crate) fn offset_ms(clock: &ClockStatus) -> Option<i64> {
    Some(clock.offset_ns? / NANOS_PER_MILLI.cast_signed())
}

impl fmt::Display for ClockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset_ms.map_or("unknown".to_owned(), |offset| format!("{offset:+} ms"));
        match &self.alarm {
            Some(alarm) => writeln!(f, "CLOCK     {alarm}; offset {offset}"),
            None if self.synchronized => writeln!(f, "clock     agrees with a majority's, offset {offset}"),
            None => writeln!(f, "clock     no majority's known yet, offset {offset}"),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DiskReport {
    writer: String,
    /// Why no orders are taken, if it is the disk.
    read_only: Option<String>,
    spare_segments: usize,
    /// Written since the start.
    blocks: u64,
    bytes: u64,
    /// The last entry in the newest durable snapshot.
    snapshot_index: Option<u64>,
    /// Why the last one could not be written.
    snapshot_fault: Option<String>,
    /// What this start found damaged in outbox files.
    outbox_damage: Vec<String>,
    /// Why outputs could not be read when a client or another node asked last: restart the node.
    outbox_fault: Option<String>,
    /// What of the journal was damaged at this start, and what has come from other nodes in its place.
    repairs: Vec<String>,
    /// Whether outputs were gone at the start, so that everything was replayed to have them again.
    outputs_replayed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StageReport {
    stage: String,
    count: u64,
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
}

/// A client session, as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionReport {
    /// Its id.
    pub(crate) session: u32,
    /// The client's CompID.
    pub(crate) client_comp_id: String,
    /// Ours.
    pub(crate) our_comp_id: String,
    /// Whether it is logged on.
    pub(crate) connected: bool,
    /// Its epoch.
    pub(crate) epoch: u32,
    /// The number that it sends next.
    pub(crate) next_in: u64,
    /// The number that we send next.
    pub(crate) next_out: u64,
}

/// Everything that `sicil status` shows.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The node.
    pub(crate) report: Report,
    /// Its sessions.
    pub(crate) sessions: Vec<SessionReport>,
    /// Seq and hash of the whole state, if it was asked for.
    pub(crate) state_hash: Option<(u64, String)>,
}

#[derive(Serialize)]
struct ShownJson<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_hash: Option<&'a str>,
    sessions: &'a [SessionReport],
}

impl Shown {
    /// One line of JSON.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub(crate) fn json(&self) -> Result<String, NodeFault> {
        let shown = ShownJson {
            report: &self.report,
            state_seq: self.state_hash.as_ref().map(|(seq, _)| *seq),
            state_hash: self.state_hash.as_ref().map(|(_, hash)| hash.as_str()),
            sessions: &self.sessions,
        };
        let line = serde_json::to_string(&shown).map_err(|error| NodeFault::Internal(error.to_string()))?;
        Ok(line + "\n")
    }
}

/// What the disk is like, in lines of `sicil status`.
impl fmt::Display for DiskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "disk      writer {}, {} spare segments", self.writer, self.spare_segments)?;
        if let Some(fault) = &self.read_only {
            writeln!(f, "READ_ONLY {fault}")?;
        }
        match (&self.snapshot_fault, self.snapshot_index) {
            (Some(fault), _) => writeln!(f, "snapshot  FAILED: {fault}")?,
            (None, Some(index)) => writeln!(f, "snapshot  behind entry {index}")?,
            (None, None) => writeln!(f, "snapshot  none yet")?,
        }
        for repair in &self.repairs {
            writeln!(f, "repaired  at the start: {repair}")?;
        }
        if let Some(fault) = &self.outbox_fault {
            writeln!(f, "outbox    UNREADABLE: {fault}; a start produces what was sent again")?;
        }
        for damage in &self.outbox_damage {
            let cured = if self.outputs_replayed { "; what was sent was produced again" } else { "" };
            writeln!(f, "outbox    DAMAGED: {damage}{cured}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        if report.demo {
            writeln!(f, "DEMO: made-up clients and money, loopback only")?;
        }
        let serving = if report.serving { "serving" } else { "not serving" };
        writeln!(
            f,
            "node      {} of cluster {}, version {}, pid {}",
            report.node, report.cluster, report.version, report.pid
        )?;
        writeln!(f, "role      {}, term {}, {serving}", report.role, report.term)?;
        if report.role == REMOVED {
            writeln!(f, "REMOVED   {REMOVED_LINE}")?;
        }
        let leader = report.leader.map_or("none known".to_owned(), |leader| format!("node {leader}"));
        let fix = report.leader_fix.as_deref().unwrap_or("not reached from here");
        writeln!(f, "leader    {leader}, fix {fix}")?;
        writeln!(f, "elections {}", report.elections)?;
        if let Some(halted) = &report.halted {
            writeln!(f, "HALTED    {halted}")?;
        }
        writeln!(f, "listens   fix {}, http {}", report.fix, report.http)?;
        writeln!(
            f,
            "seq       {} committed, {} applied, {} verified by a majority",
            report.seq_committed, report.seq_applied, report.seq_verified
        )?;
        match report.seq_history {
            Some(seq) => writeln!(f, "history   answers as of seq {seq}")?,
            None => writeln!(f, "history   opens its file, or builds it anew")?,
        }
        writeln!(
            f,
            "log       {} entries, {} committed, {} applied, lag {}",
            report.index_last, report.index_committed, report.index_applied, report.lag_entries
        )?;
        writeln!(f, "effects   {}", report.effect_hash)?;
        if let Some((seq, hash)) = &self.state_hash {
            writeln!(f, "state     {hash} at seq {seq}")?;
        }
        report.clock.fmt(f)?;
        report.disk.fmt(f)?;
        writeln!(
            f,
            "orders    {} accepted, {} refused, {} trades since the start; {} waiting",
            report.orders_accepted, report.orders_refused, report.trades, report.queue_records
        )?;
        for stage in &report.latency {
            writeln!(
                f,
                "latency   {:<20} p50 {} µs, p99 {} µs, p99.9 {} µs ({})",
                stage.stage, stage.p50_us, stage.p99_us, stage.p999_us, stage.count
            )?;
        }
        for session in &self.sessions {
            let state = if session.connected { "connected" } else { "not connected" };
            writeln!(
                f,
                "session   {:<6} {} -> {}: {state}, epoch {}, next in {}, next out {}",
                session.session,
                session.client_comp_id,
                session.our_comp_id,
                session.epoch,
                session.next_in,
                session.next_out
            )?;
        }
        Ok(())
    }
}
