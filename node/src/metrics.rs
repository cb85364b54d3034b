//! What the node counts, and the same in Prometheus' text format.
//!
//! The hot thread counts into plain memory of its own; what it publishes is a copy. So a scrape costs the hot thread
//! nothing, and a count costs it an addition. Latencies go into histograms that keep every magnitude, from which both
//! the percentiles of `sicil status` and the buckets of Prometheus are read.

use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;
use protocol::event::Event;
use protocol::{EventBody, ExecType, RejectReason, Seq};
use replicas::{ClockStatus, Elections, LeadEnd, Role, StageLatencies};

use crate::market::Counted;
use crate::members::{MemberLine, Members};
use crate::status::{Published, offset_ms};

/// The way of an order through the node, in the order of its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From its arrival at the gateway to its sequence number.
    GatewayToSequenced,
    /// From the sequence number to the disk.
    SequencedToDurable,
    /// From the disk to its effects.
    DurableToApplied,
    /// From the effects to the socket.
    AppliedToSent,
}

impl Stage {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] =
        [Self::GatewayToSequenced, Self::SequencedToDurable, Self::DurableToApplied, Self::AppliedToSent];

    /// As it is called in metrics and status.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GatewayToSequenced => "gateway_to_sequenced",
            Self::SequencedToDurable => "sequenced_to_durable",
            Self::DurableToApplied => "durable_to_applied",
            Self::AppliedToSent => "applied_to_sent",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::GatewayToSequenced => 0,
            Self::SequencedToDurable => 1,
            Self::DurableToApplied => 2,
            Self::AppliedToSent => 3,
        }
    }
}

/// Longest latency that is told apart; a longer one counts as this.
const LATENCY_NANOS_MAX: u64 = 60_000_000_000;

/// One histogram a stage, in nanoseconds, since the process started.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Vec<Histogram<u64>>);

impl Latencies {
    /// Empty ones. `None` only if the constants above are no bounds of a histogram.
    pub(crate) fn new() -> Option<Self> {
        // Two digits: a value is known to 1 %, in 30 KiB.
        let one = Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, 2).ok()?;
        Some(Self(vec![one; Stage::ALL.len()]))
    }

    /// Counts `count` passages of a stage.
    pub(crate) fn record(&mut self, stage: Stage, nanos: u64, count: u64) {
        if let Some(histogram) = self.0.get_mut(stage.index()) {
            histogram.saturating_record_n(nanos.max(1), count);
        }
    }

    /// Counts what a replica measured.
    pub(crate) fn record_stages(&mut self, samples: &StageLatencies) {
        for (stage, nanos) in [
            (Stage::GatewayToSequenced, &samples.gateway_to_sequenced_ns),
            (Stage::SequencedToDurable, &samples.sequenced_to_durable_ns),
            (Stage::DurableToApplied, &samples.durable_to_applied_ns),
        ] {
            for &nanos in nanos {
                self.record(stage, nanos, 1);
            }
        }
    }

    /// The histogram of a stage.
    pub(crate) fn of(&self, stage: Stage) -> Option<&Histogram<u64>> {
        self.0.get(stage.index())
    }
}

/// Counts since the process started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Orders that the engine accepted.
    pub(crate) orders_accepted: u64,
    /// Orders that it refused, by reason.
    pub(crate) orders_refused: BTreeMap<RejectReason, u64>,
    /// Cancel and replace requests that it refused, by reason.
    pub(crate) cancels_refused: BTreeMap<RejectReason, u64>,
    /// Trades.
    pub(crate) trades: u64,
    /// Messages numbered for sessions.
    pub(crate) outputs: u64,
    /// Bytes read from clients.
    pub(crate) bytes_received: u64,
    /// Bytes written to clients.
    pub(crate) bytes_sent: u64,
    /// Connections taken.
    pub(crate) connections_accepted: u64,
    /// Connections closed at once because there were too many.
    pub(crate) connections_refused: u64,
    /// Open connections of clients.
    pub(crate) connections_open: u64,
    /// Those that are served by the leader, through this node.
    pub(crate) connections_relayed: u64,
    /// Snapshots begun.
    pub(crate) snapshots: u64,
    /// Time for which nothing else was done because one of them began: all of it, and the longest.
    pub(crate) snapshot_pause_ns: u64,
    pub(crate) snapshot_pause_max_ns: u64,
}

impl Counters {
    /// Counts a snapshot whose beginning took so many nanoseconds.
    pub(crate) fn observe_snapshot(&mut self, nanos: u64) {
        self.snapshots += 1;
        self.snapshot_pause_ns += nanos;
        self.snapshot_pause_max_ns = self.snapshot_pause_max_ns.max(nanos);
    }

    /// Counts what follows from an event.
    pub(crate) fn observe(&mut self, event: &Event) {
        self.outputs += u64::from(event.output.is_some());
        if let EventBody::Settled(_) = &event.body {
            self.trades += 1;
        } else if let EventBody::CancelRejected(rejected) = &event.body {
            *self.cancels_refused.entry(rejected.reason).or_default() += 1;
        } else if let EventBody::ExecutionReport(report) = &event.body {
            match (report.exec_type, report.reason) {
                (ExecType::New, _) => self.orders_accepted += 1,
                (ExecType::Rejected, Some(reason)) => *self.orders_refused.entry(reason).or_default() += 1,
                _ => {}
            }
        } else if let EventBody::MassQuoteAcknowledged(quotes) = &event.body {
            self.orders_accepted += u64::from(quotes.entered);
            let reasons = quotes.refused.iter().map(|quote| quote.reason).chain(quotes.refusal);
            reasons.for_each(|reason| *self.orders_refused.entry(reason).or_default() += 1);
        }
    }
}

/// Upper bounds of Prometheus' buckets.
const BUCKET_NANOS: [u64; 16] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// The gauge that tells whether orders are taken.
const SERVING: (&str, &str) = ("sicil_serving", "1 while commands are taken.");

/// The page of a node that is still reading its journal.
pub(crate) fn render_reading() -> String {
    let mut page = Page(String::new());
    page.family(SERVING.0, "gauge", SERVING.1);
    page.sample(SERVING.0, "", 0_u64);
    page.0
}

/// Everything in Prometheus' text format, version 0.0.4.
pub(crate) fn render(published: &Published) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    let (replica, counters) = (&published.replica, &published.counters);
    page.family(
        "sicil_orders_accepted_total",
        "counter",
        "Orders that the engine accepted, sides of quotes too.",
    );
    page.sample("sicil_orders_accepted_total", "", counters.orders_accepted);
    page.by_reason("sicil_orders_refused_total", "Orders that it refused.", &counters.orders_refused);
    page.by_reason("sicil_cancels_refused_total", "Cancels and replaces refused.", &counters.cancels_refused);
    for (name, help, value) in [
        ("sicil_trades_total", "Trades.", counters.trades),
        ("sicil_outputs_total", "Messages numbered for sessions.", counters.outputs),
        ("sicil_received_bytes_total", "Bytes read from clients.", counters.bytes_received),
        ("sicil_sent_bytes_total", "Bytes written to clients.", counters.bytes_sent),
        ("sicil_connections_accepted_total", "Connections taken.", counters.connections_accepted),
        ("sicil_connections_refused_total", "Connections above the limit.", counters.connections_refused),
        ("sicil_journal_blocks_total", "Blocks made durable.", replica.journal.blocks),
        ("sicil_journal_bytes_total", "Their bytes, padding included.", replica.journal.block_bytes),
        ("sicil_journal_frame_bytes_total", "Bytes of frames in them.", replica.journal.frame_bytes),
    ] {
        page.family(name, "counter", help);
        page.sample(name, "", value);
    }
    page.elections(&replica.elections);
    for (name, help, value) in [
        ("sicil_connections", "Open connections of clients.", counters.connections_open),
        (
            "sicil_connections_relayed",
            "Those served by the leader, through this node.",
            counters.connections_relayed,
        ),
        ("sicil_queue_records", "Commands before the sequencer.", count(replica.queue_records)),
        ("sicil_seq_committed", "Last seq that is committed.", replica.seq_committed.0),
        ("sicil_seq_applied", "Last seq whose effects are here.", replica.seq_applied.0),
        ("sicil_index_committed", "Last committed entry of the log.", replica.index_committed.0),
        ("sicil_index_last", "Last entry of the log.", replica.index_last.0),
        ("sicil_lag_entries", "Committed entries that are not applied.", published.lag_entries()),
        ("sicil_index_applied", "Last applied entry of the log.", replica.index_applied.0),
        ("sicil_term", "Raft's term.", replica.term.0),
        ("sicil_leader", "1 on the leader.", u64::from(replica.role == Role::Leader)),
        (SERVING.0, SERVING.1, u64::from(replica.serving)),
        (
            "sicil_engine_halted",
            "1 after a command tripped an invariant.",
            u64::from(replica.halted.is_some()),
        ),
        ("sicil_journal_spare_segments", "Segments ready to be used.", count(replica.spares_ready)),
        ("sicil_read_only", "1 while the disk has no room.", u64::from(published.read_only())),
    ] {
        page.family(name, "gauge", help);
        page.sample(name, "", value);
    }
    page.clock(&replica.clock);
    let writer = format!("{{writer=\"{}\"}}", published.fixed.writer);
    page.family("sicil_journal_writer", "gauge", "1 for the writer in use.");
    page.sample("sicil_journal_writer", &writer, 1);
    if let Some(members) = &published.members {
        page.members(members);
    }
    if published.fixed.publishes() {
        page.market_data(&published.fixed.market_data.look(), replica.seq_applied);
    }
    page.snapshots(counters);
    page.latencies(&published.latencies);
    page.0
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A page of metrics. Writing to a String cannot fail, so the results of `write!` say nothing.
#[derive(Default)]
pub(crate) struct Page(pub(crate) String);

impl Page {
    fn market_data(&mut self, counted: &Counted, applied: Seq) {
        let lag = applied.0.saturating_sub(counted.seq.0);
        for (name, kind, help, value) in [
            ("sicil_market_data_seq", "gauge", "Everything up to here is in market data.", counted.seq.0),
            ("sicil_market_data_lag_records", "gauge", "Applied records that are not in them.", lag),
            ("sicil_market_data_connections", "gauge", "Connections of readers.", counted.connections),
            ("sicil_market_data_subscriptions", "gauge", "Their subscriptions.", counted.subscriptions),
            (
                "sicil_market_data_has_past",
                "gauge",
                "1 if what happened before they began is in them.",
                counted.has_past,
            ),
            ("sicil_market_data_begins_total", "counter", "Times that market data began.", counted.begins),
            (
                "sicil_market_data_refused_total",
                "counter",
                "Readers for whom there was no place.",
                counted.refused,
            ),
            (
                "sicil_market_data_stalled_total",
                "counter",
                "Readers that were cut because they read nothing.",
                counted.stalled,
            ),
            (
                "sicil_market_data_fell_behind_total",
                "counter",
                "Subscriptions that were cut because their readers fell behind.",
                counted.fell_behind,
            ),
        ] {
            self.family(name, kind, help);
            self.sample(name, "", value);
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).unwrap_or_default();
        self.0.push('\n');
    }

    /// Begins a metric.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One value of it.
    pub(crate) fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{name}{labels} {value}"));
    }

    fn by_reason(&mut self, name: &str, help: &str, counts: &BTreeMap<RejectReason, u64>) {
        self.family(name, "counter", help);
        for (reason, count) in counts {
            self.sample(name, &format!("{{reason=\"{}\"}}", reason.name()), *count);
        }
    }

    fn elections(&mut self, elections: &Elections) {
        for (name, help, value) in [
            ("sicil_elections_stood_total", "Times that the node stood for election.", elections.stood),
            ("sicil_elections_won_total", "Times that it won.", elections.won),
            (
                "sicil_leader_changes_total",
                "Times that another leader became known.",
                elections.leader_changes,
            ),
            (
                "sicil_lead_given_away_total",
                "Times that the lead was offered to another, or laid down, unasked.",
                elections.given_away,
            ),
            ("sicil_terms_total", "Terms that have begun.", elections.terms),
        ] {
            self.family(name, "counter", help);
            self.sample(name, "", value);
        }
        let name = "sicil_lead_ends_total";
        self.family(name, "counter", "Times that the node led no more, by why.");
        for (end, count) in LeadEnd::ALL.into_iter().zip(elections.ends) {
            self.sample(name, &format!("{{reason=\"{}\"}}", end.name()), count);
        }
    }

    fn clock(&mut self, clock: &ClockStatus) {
        for (name, help, value) in [
            (
                "sicil_clock_synchronized",
                "1 while a majority of the voters' clocks agrees.",
                Some(i64::from(clock.is_synchronized)),
            ),
            (
                "sicil_clock_alarm",
                "1 while an operator has to look after a clock.",
                Some(i64::from(clock.alarm.is_some())),
            ),
            (
                "sicil_clock_offset_milliseconds",
                "How far the node's clock is ahead of theirs, or below zero behind.",
                offset_ms(clock),
            ),
        ] {
            self.family(name, "gauge", help);
            if let Some(value) = value {
                self.sample(name, "", value);
            }
        }
    }

    /// What is known of the other members; how far they lag, the leader alone knows.
    fn members(&mut self, members: &Members) {
        self.gauge_by_member(
            "sicil_member_lag_entries",
            "Entries that a member lacks of the leader's.",
            members,
            |m| m.lag_entries,
        );
        self.gauge_by_member("sicil_member_connected", "1 while messages can be sent to it.", members, |m| {
            m.connected.map(u64::from)
        });
        self.gauge_by_member("sicil_member_rtt_microseconds", "Round trip to it.", members, |m| m.rtt_us);
    }

    fn gauge_by_member(
        &mut self,
        name: &str,
        help: &str,
        members: &Members,
        value: impl Fn(&MemberLine) -> Option<u64>,
    ) {
        self.family(name, "gauge", help);
        for member in &members.members {
            if let Some(value) = value(member) {
                self.sample(name, &format!("{{node=\"{}\"}}", member.node), value);
            }
        }
    }

    fn snapshots(&mut self, counters: &Counters) {
        let name = "sicil_snapshot_pause_seconds";
        self.family(name, "summary", "Time in which nothing else was done because a snapshot began.");
        self.line(format_args!("{name}_sum {}", Seconds(counters.snapshot_pause_ns)));
        self.line(format_args!("{name}_count {}", counters.snapshots));
        let name = "sicil_snapshot_pause_max_seconds";
        self.family(name, "gauge", "The longest of these times.");
        self.line(format_args!("{name} {}", Seconds(counters.snapshot_pause_max_ns)));
    }

    fn latencies(&mut self, latencies: &Latencies) {
        let name = "sicil_stage_latency_seconds";
        self.family(name, "histogram", "Time of an order in each stage.");
        for stage in Stage::ALL {
            let Some(histogram) = latencies.of(stage) else { continue };
            let stage = stage.name();
            let (mut below, mut from, mut sum) = (0, 0, 0.0);
            for le in BUCKET_NANOS {
                below += histogram.count_between(from, le);
                from = le + 1;
                self.line(format_args!("{name}_bucket{{stage=\"{stage}\",le=\"{}\"}} {below}", Seconds(le)));
            }
            for step in histogram.iter_recorded() {
                #[expect(clippy::cast_precision_loss, reason = "a sum for a dashboard, exact below 2^53 ns")]
                let nanos = step.value_iterated_to() as f64 * step.count_since_last_iteration() as f64;
                sum += nanos / 1e9;
            }
            self.line(format_args!("{name}_bucket{{stage=\"{stage}\",le=\"+Inf\"}} {}", histogram.len()));
            self.line(format_args!("{name}_sum{{stage=\"{stage}\"}} {sum}"));
            self.line(format_args!("{name}_count{{stage=\"{stage}\"}} {}", histogram.len()));
        }
    }
}

/// Nanoseconds as decimal seconds, exactly.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&protocol::money::format_decimal(u128::from(self.0), 9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_which_nothing_is_known_has_no_offset() {
        let mut page = Page(String::new());
        page.clock(&ClockStatus::default());
        assert!(page.0.lines().any(|line| line == "sicil_clock_synchronized 0"));
        assert!(!page.0.lines().any(|line| line.starts_with("sicil_clock_offset_milliseconds ")));
        page.clock(&ClockStatus { offset_ns: Some(-2_500_000_000), ..ClockStatus::default() });
        assert!(page.0.lines().any(|line| line == "sicil_clock_offset_milliseconds -2500"), "{}", page.0);
    }

    #[test]
    fn buckets_are_cumulative_and_complete() {
        let mut latencies = Latencies::new().unwrap();
        for nanos in [3_000, 40_000, 40_000, 700_000, 90_000_000_000] {
            latencies.record(Stage::AppliedToSent, nanos, 1);
        }
        let mut page = Page(String::new());
        page.latencies(&latencies);
        for line in [
            "sicil_stage_latency_seconds_bucket{stage=\"applied_to_sent\",le=\"0.000005\"} 1",
            "sicil_stage_latency_seconds_bucket{stage=\"applied_to_sent\",le=\"0.00005\"} 3",
            "sicil_stage_latency_seconds_bucket{stage=\"applied_to_sent\",le=\"0.001\"} 4",
            "sicil_stage_latency_seconds_bucket{stage=\"applied_to_sent\",le=\"10\"} 4",
            "sicil_stage_latency_seconds_bucket{stage=\"applied_to_sent\",le=\"+Inf\"} 5",
            "sicil_stage_latency_seconds_count{stage=\"applied_to_sent\"} 5",
            "sicil_stage_latency_seconds_count{stage=\"gateway_to_sequenced\"} 0",
        ] {
            assert!(page.0.lines().any(|l| l == line), "{line} is not in\n{}", page.0);
        }
    }
}
