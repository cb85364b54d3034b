//! The side of a snapshot's way that has it. It keeps nothing of whoever asks: each question is answered from the files, a few
//! a turn, so that one who stops asking costs nothing and one who asks for much stops nobody.

use journal::snapshot_file;
use journal::{Dir, Disk, DiskFault, ReadFrom};
use protocol::{Index, NodeId};
use raft::{ProgressState, SnapshotStatus, StateRole};

use crate::message::MessageFault;
use crate::message::transfer::{self, OutputRange, PIECE_BYTES, Transfer};
use crate::peers::{Lane, Outbound};
use crate::replica::Replica;
use crate::transfer::{SessionOutputs, answer_outputs};

/// Questions answered in one turn: each reads at most one piece.
const ANSWERS_PER_TURN: usize = 4;
/// Questions that wait, at most; what comes above that is asked again.
const QUESTIONS_MAX: usize = 64;
/// Election timeouts without a question after which a peer is taken to have given up on its snapshot.
const SILENT_TIMEOUTS: u64 = 4;

impl<D: Disk> Replica<D> {
    /// Takes a message of a transfer that came on a connection of `from`.
    pub(crate) fn take_transfer(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), MessageFault> {
        let message = transfer::decode(self.envelope_from(from), bytes)?;
        match message {
            Transfer::AskPiece { .. } | Transfer::AskOutputs(_) => {
                let now = self.transfers.ticks;
                if let Transfer::AskPiece { .. } = message {
                    self.transfers.heard.entry(from.0).and_modify(|heard| *heard = now);
                }
                if self.transfers.questions.len() < QUESTIONS_MAX {
                    self.transfers.questions.push_back((from, message));
                }
            }
            Transfer::Unfit { index } => self.offer_no_more(from, index),
            Transfer::Piece { .. } | Transfer::Gone { .. } | Transfer::Outputs { .. } => {
                self.take_answer(from, message);
            }
        }
        Ok(())
    }

    /// Answers some of the questions that wait; returns whether there were any.
    pub(crate) fn serve_transfers(&mut self) -> bool {
        let count = self.transfers.questions.len().min(ANSWERS_PER_TURN);
        for _ in 0..count {
            let Some((from, question)) = self.transfers.questions.pop_front() else { break };
            if let Some(answer) = self.answer(from, &question) {
                self.send_transfer(from, &answer);
            }
        }
        count > 0
    }

    /// Nothing where the disk fails: it is asked again, here or elsewhere.
    fn answer(&mut self, from: NodeId, question: &Transfer) -> Option<Transfer> {
        match *question {
            Transfer::AskPiece { index, offset } => match self.piece(index, offset).ok()? {
                Some(bytes) => Some(Transfer::Piece { index, offset, bytes }),
                None => {
                    // A newer one is there: Raft offers that as soon as it knows that this one fails.
                    self.raft.report_snapshot(from.0, SnapshotStatus::Failure);
                    Some(Transfer::Gone { index })
                }
            },
            Transfer::AskOutputs(range) => self.outputs(range),
            Transfer::Piece { .. }
            | Transfer::Gone { .. }
            | Transfer::Unfit { .. }
            | Transfer::Outputs { .. } => None,
        }
    }

    /// The file of a snapshot has decayed on the way to `from`, or here: another takes its place, of a later
    /// entry. Whoever says so wrongly costs a checkpoint a second.
    fn offer_no_more(&mut self, from: NodeId, index: Index) {
        self.raft.mut_store().offer_no_more(index);
        if self.raft.raft.state == StateRole::Leader {
            self.raft.report_snapshot(from.0, SnapshotStatus::Failure);
        }
    }

    fn piece(&mut self, index: Index, offset: u64) -> Result<Option<Vec<u8>>, DiskFault> {
        let epoch = self.raft.store().journal().identity().epoch;
        let file = snapshot_file::file(epoch, index);
        let disk = self.outbox.disk_mut();
        if !disk.list(Dir::Snapshots)?.iter().any(|name| **name == *file.name) {
            return Ok(None);
        }
        let mut bytes = vec![0; PIECE_BYTES];
        let read = disk.read(&file, offset, &mut bytes, ReadFrom::Cache)?;
        bytes.truncate(read);
        Ok((read > 0).then_some(bytes))
    }

    /// Nothing where this replica cannot read what it should have: others may, and after a start it can again.
    fn outputs(&mut self, asked: OutputRange) -> Option<Transfer> {
        if self.apply.doubt().is_some() {
            return None;
        }
        let view = self.apply.engine().sessions().find(|view| view.session == asked.session)?;
        let read = |(session, epoch), from, to, bytes_max, out: &mut Vec<u8>| {
            self.outbox.read(session, epoch, from, to, bytes_max, out)
        };
        answer_outputs(&SessionOutputs::from(view), asked, read).unwrap_or_else(|fault| {
            self.note_unreadable(fault);
            None
        })
    }

    pub(crate) fn send_transfer(&mut self, to: NodeId, message: &Transfer) {
        let bytes = transfer::encode(self.envelope_to(to), message);
        self.transfers.outbound.push(Outbound { to, lane: Lane::Bulk, bytes });
    }

    /// A leader sends nothing to a peer that it waits for to have a snapshot. One that is installed says so by Raft's own
    /// answer; of one that has fallen silent it is assumed that it has not, and the newest is offered to it.
    pub(crate) fn watch_receivers(&mut self) {
        let now = self.transfers.ticks;
        if self.raft.raft.state != StateRole::Leader {
            self.transfers.heard.clear();
            return;
        }
        let progress = self.raft.raft.prs().iter();
        let waiting: Vec<u64> = progress
            .filter(|(_, progress)| progress.state == ProgressState::Snapshot)
            .map(|(id, _)| *id)
            .collect();
        self.transfers.heard.retain(|id, _| waiting.contains(id));
        for id in waiting {
            let heard = *self.transfers.heard.entry(id).or_insert(now);
            if now - heard > self.silent_ticks() {
                self.transfers.heard.remove(&id);
                self.raft.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }

    pub(crate) fn silent_ticks(&self) -> u64 {
        SILENT_TIMEOUTS * self.timing.election_ticks as u64
    }
}
