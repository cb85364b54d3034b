//! Checkpoints: the leader marks an entry, and behind it every replica takes a snapshot. None stops for that: the state that is
//! written is not the engine's, but that of a second run over the replica's own journal, from the snapshot before on, wherever
//! the caller runs [`SnapshotJob::write`]. What it costs is that run, and for as long the memory of a second engine.
//!
//! ```text
//! due on the leader ─> Checkpoint record ─> applied: header ─> durable ─> SnapshotJob ─> written ─> compared (`states`)
//! ```
//! The second run is a check, too: its effects have to be those that the engine has had.

use engine::{Engine, Skips};
use journal::outbox;
use journal::snapshot_file::{self, Kept, SNAPSHOTS_KEPT, SnapshotFault, SnapshotHeader};
use journal::{Disk, EntryAt, Identity, reread};
use protocol::commands::Checkpoint;
use protocol::hash::{Hash, blake3};
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{Index, Seq, Term};

use crate::apply::{Apply, Doubt, Remembered, Subject};
use crate::divergence::NOT_RECORDED;
use crate::message::states::StateAt;
use crate::replica::{Now, Replica};
use crate::snapshots::{Base, Reached};

/// Between a checkpoint and one that a peer needs.
const WANTED_NANOS: u64 = NANOS_PER_SECOND;
/// Between two attempts at the same snapshot, at least.
const RETRY_MS: u64 = 1_000;
/// How long a snapshot that no majority agrees with yet keeps the next checkpoint from being marked, whose snapshot takes its place.
const UNVERIFIED_NANOS: u64 = 60 * NANOS_PER_SECOND;

/// A snapshot to be made, detached from the replica.
pub struct SnapshotJob {
    /// Complete but for the hash of the state.
    header: SnapshotHeader,
    owner: Identity,
    skips: Skips,
    /// The last entry of the newest snapshot that may be handed on: that one is kept.
    marked: Index,
}

/// A snapshot that is durable.
#[derive(Debug)]
pub struct SnapshotWritten {
    header: SnapshotHeader,
    state: StateAt,
}

impl SnapshotJob {
    /// Runs the journal again up to the checkpoint, and writes the state, through a handle that is not the journal's. Outputs
    /// become durable first: replay from this snapshot will not produce them again.
    ///
    /// # Errors
    /// [`SnapshotFault`]: nothing is lost; it is tried again, at the next checkpoint at the latest.
    pub fn write<D: Disk>(mut self, disk: &mut D) -> Result<SnapshotWritten, SnapshotFault> {
        outbox::sync_all(disk)?;
        let engine = self.run_again(disk)?;
        let mut bytes = Vec::new();
        let parts = hashes(engine.snapshot_in_parts(&mut bytes));
        drop(engine);
        self.header.state_hash = blake3(&[&bytes]);
        snapshot_file::store(disk, &self.header, &bytes, self.marked)?;
        let state = StateAt::of(&self.header, parts);
        Ok(SnapshotWritten { header: self.header, state })
    }

    /// The state at the checkpoint, from the newest snapshot before it that serves; from the beginning, if none does and the
    /// files reach back so far.
    fn run_again<D: Disk>(&self, disk: &mut D) -> Result<Engine, SnapshotFault> {
        let mut first_fault = None;
        let kept = snapshot_file::kept(disk, &self.owner)?;
        for Kept { file, .. } in kept.iter().filter(|kept| kept.index < self.header.index) {
            match Base::read(disk, file).and_then(|base| self.run_behind(base, disk)) {
                Ok(engine) => return Ok(engine),
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        self.run_behind(Base::beginning(), disk).map_err(|fault| first_fault.unwrap_or(fault))
    }

    fn run_behind<D: Disk>(&self, base: Base, disk: &mut D) -> Result<Engine, SnapshotFault> {
        let from = EntryAt { index: base.index, chain: base.chain };
        let to = EntryAt { index: self.header.index, chain: self.header.chain };
        let mut again = Apply::again(base, &self.skips);
        reread(disk, from, to, &mut |frame| {
            again.run_alone(frame.header.index, Some(frame), &mut |_| {});
        })?;
        let (seq, ours) = (last_seq(&self.header), self.header.effect_hash);
        if (again.seq(), again.time(), again.effect_hash()) != (seq, self.header.last_time, ours) {
            return Err(SnapshotFault::Effects { seq, again: again.effect_hash(), ours });
        }
        Ok(again.into_engine())
    }
}

/// Of the parts of a state, without their names.
pub(crate) fn hashes(parts: Vec<(&'static str, Hash)>) -> Vec<Hash> {
    parts.into_iter().map(|(_, hash)| hash).collect()
}

/// The last seq in a snapshot.
pub(crate) fn last_seq(header: &SnapshotHeader) -> Seq {
    Seq(header.next_seq.0.saturating_sub(1))
}

impl<D: Disk> Replica<D> {
    /// Marks a checkpoint if one is due: enough was written since the last one and it is long enough ago, or a peer waits for
    /// a snapshot and none serves.
    pub(crate) fn mark_checkpoint(&mut self, now: Now) {
        let progress = &self.snapshots;
        let since = now.mono.since(progress.marked_at);
        let policy = self.snapshot_policy;
        let is_wanted = self.raft.store().wants_snapshot() && since >= WANTED_NANOS;
        let has_grown = self.journal_bytes().saturating_sub(progress.counted_bytes) >= policy.journal_bytes;
        let is_due = has_grown
            && since >= policy.interval_ms * NANOS_PER_MILLI
            && self.apply.seq() > progress.written_seq;
        let waits = progress.is_under_way() || (!progress.unverified.is_empty() && since < UNVERIFIED_NANOS);
        if (is_due || is_wanted) && !waits && self.submit_own(now, Checkpoint {}) {
            (self.snapshots.marking, self.snapshots.marked_at) = (true, now.mono);
        }
    }

    /// The entry that was applied last holds a checkpoint.
    pub(crate) fn reach_checkpoint(&mut self, index: Index, term: Term) {
        self.snapshots.marking = false;
        // What is known of the members is known as of the last entry that was handed out.
        if !self.is_caught_up() {
            return;
        }
        let mut journal = self.raft.store().journal();
        // Where it cannot be read, the next checkpoint is another one.
        let Ok(chain) = journal.chain(index) else { return };
        let identity = journal.identity();
        drop(journal);
        let header = SnapshotHeader {
            cluster: identity.cluster,
            epoch: identity.epoch,
            index,
            term,
            engine_version: engine::ENGINE_VERSION,
            next_seq: self.apply.seq().next(),
            last_time: self.apply.time(),
            chain,
            effect_hash: self.apply.effect_hash(),
            state_hash: Hash::ZERO,
            conf_state: self.raft.store().membership().to_bytes(),
        };
        let journal_bytes = self.journal_bytes();
        (self.snapshots.due, self.snapshots.failed) = (Some(Reached { header, journal_bytes }), None);
        self.raft.mut_store().snapshot_begun();
    }

    /// The snapshot to be made now, if a checkpoint was reached and none is being made. Ends with [`Self::end_snapshot`].
    pub fn begin_snapshot(&mut self) -> Option<SnapshotJob> {
        self.retry_snapshot();
        let index = self.snapshots.due.as_ref()?.header.index;
        let stands = self.apply.halted().is_some() || self.apply.doubt().is_some();
        let journal = self.raft.store().journal();
        if self.snapshots.writing.is_some() || stands || journal.durable_index() < index {
            return None;
        }
        let (owner, marked) = (journal.identity(), journal.marked());
        drop(journal);
        self.outbox.flush();
        if self.outbox.fault().is_some() {
            return None;
        }
        self.snapshots.writing = self.snapshots.due.take();
        let header = self.snapshots.writing.as_ref()?.header.clone();
        Some(SnapshotJob { header, owner, skips: self.apply.skips().clone(), marked })
    }

    /// What could not be made is tried again after a while: others may wait for our word about that state.
    fn retry_snapshot(&mut self) {
        let now = self.transfers.ticks;
        if let Some((reached, _)) = self.snapshots.failed.take_if(|(_, at)| *at <= now) {
            self.snapshots.due.get_or_insert(reached);
        }
    }

    /// A snapshot was written, or could not be: then it is tried again, unless the next checkpoint comes first.
    pub fn end_snapshot(&mut self, result: Result<SnapshotWritten, SnapshotFault>) {
        let attempted = self.snapshots.writing.take();
        match result {
            Ok(SnapshotWritten { header, state }) => {
                self.snapshots.newest = self.snapshots.newest.max(Some(header.index));
                self.snapshots.written_seq = last_seq(&header);
                if let Some(reached) = attempted {
                    self.snapshots.counted_bytes = reached.journal_bytes;
                }
                self.snapshots.fault = None;
                // One that came from a peer meanwhile is newer, and was verified by others.
                if header.index > self.raft.store().journal().marked() {
                    self.raft.mut_store().snapshot_taken(header.index);
                    self.snapshots.unverified.push_back(header);
                    if self.snapshots.unverified.len() > SNAPSHOTS_KEPT {
                        self.snapshots.unverified.pop_front();
                    }
                }
                self.have_state(state);
            }
            Err(fault) => {
                let retry_ms = self.snapshot_policy.interval_ms.max(RETRY_MS);
                let at = self.transfers.ticks + retry_ms / self.timing.tick_ms;
                let is_newest = self.snapshots.due.is_none();
                self.snapshots.failed = attempted.filter(|_| is_newest).map(|reached| (reached, at));
                // What others have had there is remembered as long as by us.
                if let SnapshotFault::Effects { seq, ours, .. } = fault
                    && let Remembered::Known(_) = self.apply.remembered(seq)
                {
                    let subject = Subject::Effects;
                    self.apply.doubt_it(Doubt { subject, seq, recorded: NOT_RECORDED, computed: ours });
                }
                self.snapshots.fault = Some(fault);
            }
        }
    }

    /// Since the snapshot that this process began with, or before it the beginning.
    fn journal_bytes(&self) -> u64 {
        self.snapshots.replayed_bytes + self.raft.store().journal().stats().block_bytes
    }
}
