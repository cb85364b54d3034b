//! Outputs for whoever lacks them, of a replica that repairs its log: it may be the only one that has them, and wait itself for
//! those who cannot go on without them.
//!
//! It gives what its next start would take from its outbox as it is: outputs up to its newest snapshot that can be read, which were
//! durable before that was, and followed from effects that were computed twice. Those behind it are produced again by that start, and
//! given then: what this process computed last may have been wrong, and nobody had agreed to it yet. Nothing is written.

use std::collections::VecDeque;

use journal::outbox::FoundOutputs;
use journal::snapshot_file;
use journal::{Disk, Identity};
use protocol::NodeId;

use super::Repair;
use crate::divergence;
use crate::message::transfer::{OutputRange, Transfer};
use crate::snapshots::Base;
use crate::transfer::{SessionOutputs, answer_outputs};

/// Questions that wait, at most; what comes above that is asked again.
const QUESTIONS_MAX: usize = 64;

/// Outputs that others lack.
#[derive(Default)]
pub(super) struct OutputsGiven {
    questions: VecDeque<(NodeId, OutputRange)>,
    /// Looked for when somebody asks first.
    found: Option<Found>,
}

/// What this replica has of them.
struct Found {
    sessions: Vec<SessionOutputs>,
    outputs: FoundOutputs,
}

impl Found {
    /// Nothing where no snapshot can be read, or where effects of this replica were found to be wrong.
    fn look<D: Disk>(disk: &mut D, owner: &Identity) -> Option<Self> {
        divergence::load(disk).ok()?;
        let kept = snapshot_file::kept(disk, owner).ok()?;
        let base = kept.iter().find_map(|kept| Base::read(disk, &kept.file).ok())?;
        let outputs = FoundOutputs::look(disk, base.engine.seq_applied()).ok()?;
        Some(Self { sessions: SessionOutputs::of(&base.engine), outputs })
    }
}

impl<D: Disk> Repair<D> {
    pub(super) fn take_outputs_question(&mut self, from: NodeId, range: OutputRange) {
        if self.outputs.questions.len() < QUESTIONS_MAX {
            self.outputs.questions.push_back((from, range));
        }
    }

    /// Answers a question that waits; returns whether there was any.
    pub(super) fn give_outputs(&mut self) -> bool {
        let Some((from, asked)) = self.outputs.questions.pop_front() else { return false };
        if let Some(answer) = self.outputs_of(asked) {
            self.send_transfer(from, &answer);
        }
        true
    }

    /// Nothing where the disk fails, or it is not here: others are asked, and we are asked again.
    fn outputs_of(&mut self, asked: OutputRange) -> Option<Transfer> {
        let owner = self.damaged().identity();
        let Some(damaged) = &mut self.damaged else { unreachable!("taken only to be opened again") };
        let disk = damaged.disk_mut();
        if self.outputs.found.is_none() {
            self.outputs.found = Found::look(disk, &owner);
        }
        let Found { sessions, outputs } = self.outputs.found.as_ref()?;
        let session = sessions.iter().find(|of| of.session == asked.session)?;
        let read =
            |key, from, to, bytes_max, out: &mut Vec<u8>| outputs.read(disk, key, from, to, bytes_max, out);
        answer_outputs(session, asked, read).ok().flatten()
    }
}
