//! The hot thread's counts, and how others get to see them: a copy now and then, never a question.

use std::sync::Arc;

use protocol::MonoNanos;
use protocol::commands::Genesis;
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use replicas::{StageLatencies, Status};
use tokio::sync::watch;

use crate::members::{Members, REMOVED_LINE};
use crate::metrics::{Counters, Latencies};
use crate::status::{Fixed, Published, Watch};

/// Between two copies.
const INTERVAL_NANOS: u64 = 50 * NANOS_PER_MILLI;
/// Between two copies of the histograms, which are the larger part.
const LATENCIES_INTERVAL_NANOS: u64 = NANOS_PER_SECOND;
/// Between two words on how far recovery has come.
const PROGRESS_INTERVAL_NANOS: u64 = 10 * NANOS_PER_SECOND;

/// Counts, and publishes copies.
pub(crate) struct Publisher {
    to: watch::Sender<Arc<Published>>,
    fixed: Arc<Fixed>,
    copied: Arc<Latencies>,
    copied_at: MonoNanos,
    next: MonoNanos,
    /// When the log is told again how far recovery has come; `None` once the node has served.
    next_progress: Option<MonoNanos>,
    /// Of the hot thread.
    pub(crate) counters: Counters,
    /// Of all stages.
    pub(crate) latencies: Latencies,
    /// When the events that wait to be written were there.
    pub(crate) applied_at: Option<MonoNanos>,
    /// The node is on its way out.
    pub(crate) stopping: bool,
}

impl Publisher {
    /// With `status` as the first word.
    pub(crate) fn new(
        now: MonoNanos,
        fixed: Arc<Fixed>,
        status: Status,
        latencies: Latencies,
    ) -> (Self, Watch) {
        for damage in &status.outbox_damage {
            tracing::warn!(file = %damage.file, offset = damage.offset, "damage in an outbox file");
        }
        if let Some(number) = status.outputs_were_missing {
            tracing::warn!(
                ?number,
                "outputs were gone from the outbox: everything is replayed to have them again"
            );
        }
        let copied = Arc::new(latencies.clone());
        let first = Published {
            published: now,
            fixed: Arc::clone(&fixed),
            replica: status,
            genesis: None,
            members: None,
            counters: Counters::default(),
            latencies: Arc::clone(&copied),
            stopping: false,
        };
        let (to, watch) = watch::channel(Arc::new(first));
        let publisher = Self {
            to,
            fixed,
            copied,
            copied_at: now,
            next: now,
            next_progress: Some(now.plus(PROGRESS_INTERVAL_NANOS)),
            counters: Counters::default(),
            latencies,
            applied_at: None,
            stopping: false,
        };
        (publisher, watch)
    }

    /// Counts what a replica measured.
    pub(crate) fn record(&mut self, samples: &StageLatencies) {
        self.latencies.record_stages(samples);
    }

    /// Where this node takes FIX clients.
    pub(crate) fn fix(&self) -> &str {
        &self.fixed.fix
    }

    /// When the next copy is due.
    pub(crate) fn next_deadline(&self) -> MonoNanos {
        self.next
    }

    /// Publishes a copy.
    pub(crate) fn publish(
        &mut self,
        now: MonoNanos,
        status: Status,
        genesis: Option<Genesis>,
        members: Members,
    ) {
        if now.since(self.copied_at) >= LATENCIES_INTERVAL_NANOS {
            self.copied = Arc::new(self.latencies.clone());
            self.copied_at = now;
        }
        self.next = now.plus(INTERVAL_NANOS);
        {
            let before = self.to.borrow();
            log_changes(&before.replica, &status);
            if members.removed && !before.is_removed() {
                tracing::error!("{REMOVED_LINE}");
            }
        }
        self.log_progress(now, &status);
        self.to.send_replace(Arc::new(Published {
            published: now,
            fixed: Arc::clone(&self.fixed),
            replica: status,
            genesis,
            members: Some(members),
            counters: self.counters.clone(),
            latencies: Arc::clone(&self.copied),
            stopping: self.stopping,
        }));
    }
}

impl Publisher {
    /// Applying a long journal takes minutes.
    fn log_progress(&mut self, now: MonoNanos, status: &Status) {
        // A follower that has applied what there is recovers from nothing.
        let is_waiting = status.index_applied == status.index_last;
        if status.serving || is_waiting {
            self.next_progress = None;
        } else if self.next_progress.is_some_and(|due| now >= due) {
            self.next_progress = Some(now.plus(PROGRESS_INTERVAL_NANOS));
            let (applied, last) = (status.index_applied.0, status.index_last.0);
            tracing::info!(applied, last, "recovering: entries are applied");
        }
    }
}

/// What an operator must not have to ask for.
fn log_changes(before: &Status, now: &Status) {
    match (&before.read_only, &now.read_only) {
        (None, Some(fault)) => {
            tracing::error!(%fault, "READ_ONLY: no orders are taken until the disk has room; nothing is lost");
        }
        (Some(_), None) => tracing::info!("the disk has room again: orders are taken"),
        (None, None) | (Some(_), Some(_)) => {}
    }
    match (&before.clock.alarm, &now.clock.alarm) {
        (Some(before), Some(alarm)) if before.is_like(alarm) => {}
        (_, Some(alarm)) => tracing::error!(%alarm, "CLOCK"),
        (Some(_), None) => tracing::info!("CLOCK: a majority agrees, and this node's clock with it"),
        (None, None) => {}
    }
    if let (None, Some(halt)) = (&before.halted, &now.halted) {
        tracing::error!(%halt, "the engine halted; the log goes on, orders are not taken");
    }
}
