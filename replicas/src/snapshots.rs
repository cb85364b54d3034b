//! Snapshots: when one is due, what goes into it, and how a replica starts from one.
//!
//! Until a follower can take them, the state is copied on the apply thread and everything slow (serialising,
//! compressing, three syncs) happens wherever the caller runs [`SnapshotJob::write`].

use engine::Engine;
use journal::outbox::{self, Damage, Outbox};
use journal::snapshot_file::{self, SnapshotFault, SnapshotHeader};
use journal::{Disk, FileRef, Journal};
use protocol::event::OutputNumber;
use protocol::hash::blake3;
use protocol::{Index, MonoNanos, Seq};
use raft::prelude::ConfState;

use crate::StartFault;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Bytes of journal since the last one …
    pub journal_bytes: u64,
    /// … and at least this long after it.
    pub interval_ms: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { journal_bytes: 1 << 30, interval_ms: 60_000 }
    }
}

/// What has been taken, and since when the next one is counted.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Index of the newest durable snapshot.
    pub(crate) newest: Option<Index>,
    /// Entries up to here were in the journal when this process began: the journal's counters leave them out.
    pub(crate) replayed_to: Index,
    /// Bytes of those that were replayed, because no snapshot holds them.
    pub(crate) replayed_bytes: u64,
    /// Journal bytes when the newest snapshot began.
    pub(crate) counted_bytes: u64,
    /// Journal bytes when the last attempt began.
    pub(crate) attempted_bytes: u64,
    /// When the last attempt began.
    pub(crate) began: MonoNanos,
    pub(crate) writing: bool,
    /// Why the last attempt failed, or what is wrong with a snapshot newer than the one that this process began with.
    pub(crate) fault: Option<SnapshotFault>,
}

/// A state to be written, detached from the replica.
pub struct SnapshotJob {
    pub(crate) engine: Engine,
    /// Complete but for the hash of the state.
    pub(crate) header: SnapshotHeader,
}

/// A snapshot that is durable.
#[derive(Debug)]
pub struct SnapshotWritten {
    pub(crate) header: SnapshotHeader,
}

impl SnapshotJob {
    /// Writes the snapshot through a handle that is not the journal's. Outputs become durable first: replay from this
    /// snapshot will not produce them again.
    ///
    /// # Errors
    /// [`SnapshotFault`]: nothing is lost; it is tried again later.
    pub fn write<D: Disk>(mut self, disk: &mut D) -> Result<SnapshotWritten, SnapshotFault> {
        outbox::sync_all(disk)?;
        let mut state = Vec::new();
        self.engine.snapshot(&mut state);
        self.header.state_hash = blake3(&[&state]);
        snapshot_file::store(disk, &self.header, &state)?;
        Ok(SnapshotWritten { header: self.header })
    }
}

/// Where a replica starts: behind the newest snapshot that is whole, or at the beginning.
pub(crate) struct Base {
    pub(crate) engine: Engine,
    pub(crate) index: Index,
    pub(crate) effect_hash: protocol::hash::Hash,
    /// `None`: the membership of a new cluster.
    pub(crate) conf_state: Option<ConfState>,
    /// What is wrong with the newest snapshot, if this is not it.
    pub(crate) damaged: Option<SnapshotFault>,
    /// The first output below the newest snapshot that is gone: everything is replayed, so that it is there again.
    pub(crate) outputs_were_missing: Option<OutputNumber>,
    /// What the outbox said of its files, before anything was replayed.
    pub(crate) outbox_damage: Vec<Damage>,
}

impl Base {
    /// The state to start from with the outputs below it. A replay from a snapshot does not produce those again, so
    /// that where one is gone the snapshot is passed over, and nobody is told that there was none.
    pub(crate) fn with_outputs<D: Disk>(
        mut beside: D,
        journal: &mut Journal<D>,
    ) -> Result<(Self, Outbox<D>), StartFault> {
        let base = Self::load(&mut beside, journal)?;
        let outbox = Outbox::open(beside, base.engine.seq_applied())?;
        let missing = missing_output(&base.engine, &outbox);
        let outbox_damage = outbox.damaged().to_vec();
        if missing.is_none() || journal.first_index() > Index(1) {
            return Ok((Self { outputs_were_missing: missing, outbox_damage, ..base }, outbox));
        }
        let beginning =
            Self { damaged: base.damaged, outputs_were_missing: missing, outbox_damage, ..Self::beginning() };
        Ok((beginning, Outbox::open(outbox.into_disk(), Seq::ZERO)?))
    }

    fn beginning() -> Self {
        Self {
            engine: Engine::new(),
            index: Index(0),
            effect_hash: protocol::hash::Hash::ZERO,
            conf_state: None,
            damaged: None,
            outputs_were_missing: None,
            outbox_damage: Vec::new(),
        }
    }

    /// Loads it and holds it against the journal.
    pub(crate) fn load<D: Disk>(beside: &mut D, journal: &mut Journal<D>) -> Result<Self, StartFault> {
        let (newest, damaged) = snapshot_file::load_newest(beside)?;
        let Some((header, state)) = newest else {
            let first_index = journal.first_index();
            if first_index > Index(1) {
                return Err(StartFault::NoSnapshot { first_index, damaged });
            }
            return Ok(Self { damaged: first_fault(damaged), ..Self::beginning() });
        };
        let index = header.index;
        let chain = journal.chain(index)?;
        if chain != header.chain {
            return Err(StartFault::SnapshotChain { index, recorded: header.chain, found: chain });
        }
        let engine = Engine::restore(&state).map_err(|fault| StartFault::EngineState { index, fault })?;
        if engine.state_hash() != header.state_hash {
            return Err(StartFault::SnapshotState { index });
        }
        let conf_state = decode_conf_state(&header.conf_state).ok_or(StartFault::SnapshotState { index })?;
        Ok(Self {
            engine,
            index,
            effect_hash: header.effect_hash,
            conf_state: Some(conf_state),
            damaged: first_fault(damaged),
            outputs_were_missing: None,
            outbox_damage: Vec::new(),
        })
    }
}

/// A session's first output that a resend may still ask for and that is not kept.
fn missing_output<D: Disk>(engine: &Engine, outbox: &Outbox<D>) -> Option<OutputNumber> {
    let missing = engine.sessions().find(|s| !outbox.covers(s.session, s.epoch, s.floor, s.next_out))?;
    Some(OutputNumber { session: missing.session, epoch: missing.epoch, out_seq: missing.floor })
}

fn first_fault(damaged: Vec<(FileRef, SnapshotFault)>) -> Option<SnapshotFault> {
    damaged.into_iter().next().map(|(_, fault)| fault)
}

/// Membership as four lists of node ids (voters, learners, outgoing voters, learners to be), each behind its u32 count,
/// then a byte: whether a joint configuration is left automatically.
pub(crate) fn encode_conf_state(state: &ConfState) -> Vec<u8> {
    let mut out = Vec::new();
    for list in [&state.voters, &state.learners, &state.voters_outgoing, &state.learners_next] {
        out.extend_from_slice(&u32::try_from(list.len()).unwrap_or(u32::MAX).to_le_bytes());
        list.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    }
    out.push(u8::from(state.auto_leave));
    out
}

pub(crate) fn decode_conf_state(mut bytes: &[u8]) -> Option<ConfState> {
    let mut list = || {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?;
        let (ids, rest) = rest.split_at_checked(len)?;
        bytes = rest;
        let (ids, _) = ids.as_chunks::<8>();
        Some(ids.iter().map(|id| u64::from_le_bytes(*id)).collect::<Vec<u64>>())
    };
    let mut state = ConfState::default();
    state.set_voters(list()?);
    state.set_learners(list()?);
    state.set_voters_outgoing(list()?);
    state.set_learners_next(list()?);
    state.set_auto_leave(match bytes {
        [0] => false,
        [1] => true,
        _ => return None,
    });
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_round_trips_and_nothing_else_is_taken() {
        let mut state = ConfState::default();
        state.set_voters(vec![1, 2, 3]);
        state.set_learners(vec![9]);
        state.set_voters_outgoing(vec![1, 2]);
        state.set_auto_leave(true);
        let bytes = encode_conf_state(&state);
        assert_eq!(decode_conf_state(&bytes), Some(state));
        for len in 0..bytes.len() {
            assert_eq!(decode_conf_state(&bytes[..len]), None, "cut at {len}");
        }
        let mut huge = bytes.clone();
        huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode_conf_state(&huge), None);
    }
}
