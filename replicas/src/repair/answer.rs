//! What others are told who repair their logs: by a replica whose log is whole, and by one that is damaged itself, of what it
//! can read. Neither keeps anything of whoever asks, but a question that a quorum has to confirm first.

use std::collections::VecDeque;

use journal::{Disk, Journal, ReadFault};
use protocol::hash::Hash;
use protocol::{Index, NodeId, Term};
use raft::{StateRole, Storage};

use super::{QUESTIONS_MAX, Repair};
use crate::message::MessageFault;
use crate::message::repair::{self as wire, AboutRepair, End, NoEntries, Standing};
use crate::peers::{Lane, Outbound};
use crate::reads::ReadTicket;
use crate::replica::Replica;
use crate::transfer::Manifest;

/// Questions answered in one turn …
const ANSWERS_PER_TURN: usize = 4;
/// … with so many bytes of entries each, or a single longer entry.
const ANSWER_BYTES: usize = 512 << 10;

/// Questions of others at a replica that is whole.
#[derive(Default)]
pub(crate) struct Answers {
    questions: VecDeque<(NodeId, AboutRepair)>,
    /// Who is told in which round when a quorum has confirmed that we lead in this term: one for each peer.
    confirming: Vec<Confirming>,
}

struct Confirming {
    asker: NodeId,
    round: u64,
    term: Term,
    ticket: ReadTicket,
}

/// Entries from `from` on, if the log has the entry before with that chain. Nothing where the disk fails: it is asked again.
fn entries<D: Disk>(log: &mut Journal<D>, from: Index, chain_before: Hash) -> Option<AboutRepair> {
    let (before, last) = (Index(from.0 - 1), log.last_index());
    let no = |why, end| Some(AboutRepair::NoEntries { from, why, end });
    if before > last {
        return no(NoEntries::NotHeld, last);
    }
    match log.chain(before) {
        Err(ReadFault::Missing(_)) => return no(NoEntries::Behind, Index(log.first_index().0 - 1)),
        Err(_) => return None,
        Ok(chain) if chain != chain_before => return no(NoEntries::Differs, last),
        Ok(_) => {}
    }
    let mut frames = Vec::new();
    if before < last {
        log.entries(from, last.next(), ANSWER_BYTES)
            .ok()?
            .iter()
            .for_each(|entry| frames.extend_from_slice(entry));
    }
    Some(AboutRepair::Entries { from, frames })
}

/// The ends that `holds` knows, as bits.
fn held(ends: &[End], holds: impl Fn(End) -> bool) -> u64 {
    (0..).zip(ends).filter(|(_, end)| holds(**end)).map(|(bit, _)| 1 << bit).sum()
}

impl<D: Disk> Repair<D> {
    /// Answers some of the questions that wait; returns whether there were any.
    pub(super) fn answer_questions(&mut self) -> bool {
        let count = self.questions.len().min(ANSWERS_PER_TURN);
        for _ in 0..count {
            let Some((asker, question)) = self.questions.pop_front() else { break };
            let answer = match question {
                AboutRepair::AskStanding { round, ends } => {
                    Some(AboutRepair::Standing { round, standing: self.standing(&ends) })
                }
                AboutRepair::AskEntries { from, chain_before } => {
                    entries(self.damaged_mut().readable(), from, chain_before)
                }
                // Somebody whose log is whole has one that is as new.
                AboutRepair::AskSnapshot { .. }
                | AboutRepair::Standing { .. }
                | AboutRepair::Confirmed { .. }
                | AboutRepair::Entries { .. }
                | AboutRepair::Snapshot { .. }
                | AboutRepair::NoEntries { .. } => None,
            };
            if let Some(answer) = answer {
                self.send(asker, &answer);
            }
        }
        count > 0
    }

    fn standing(&self, ends: &[End]) -> Standing {
        let damaged = self.damaged();
        let log = damaged.log_end();
        Standing {
            is_intact: false,
            leads: false,
            is_moving: false,
            term: damaged.hard_state().term,
            first: damaged.first_index(),
            last: (log.last_index, log.last_term),
            lost: self.wanted().filter(|end| end.0.0 > 0),
            held: held(ends, |(index, term)| damaged.term(index) == Some(term)),
            voters: Vec::new(),
        }
    }
}

impl<D: Disk> Replica<D> {
    /// Takes a question about a damaged log that came on a connection of `from`.
    pub(crate) fn take_about_repair(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), MessageFault> {
        let message = wire::decode(self.envelope_from(from), bytes)?;
        // An answer is one to an earlier life of this replica.
        if message.is_question() && self.answers.questions.len() < QUESTIONS_MAX {
            self.answers.questions.push_back((from, message));
        }
        Ok(())
    }

    /// Answers some of the questions that wait; returns whether there were any.
    pub(crate) fn answer_repairs(&mut self) -> bool {
        self.tell_confirmed();
        let count = self.answers.questions.len().min(ANSWERS_PER_TURN);
        for _ in 0..count {
            let Some((asker, question)) = self.answers.questions.pop_front() else { break };
            let answer = match question {
                AboutRepair::AskStanding { round, ends } => {
                    self.ask_confirmation(asker, round);
                    Some(AboutRepair::Standing { round, standing: self.standing(&ends) })
                }
                AboutRepair::AskEntries { from, chain_before } => {
                    entries(&mut self.raft.store().journal(), from, chain_before)
                }
                AboutRepair::AskSnapshot { from } => self.snapshot_for(asker, from),
                AboutRepair::Standing { .. }
                | AboutRepair::Confirmed { .. }
                | AboutRepair::Entries { .. }
                | AboutRepair::Snapshot { .. }
                | AboutRepair::NoEntries { .. } => None,
            };
            if let Some(answer) = answer {
                self.send_about_repair(asker, &answer);
            }
        }
        count > 0
    }

    /// A leader is believed once a quorum has confirmed it after the question.
    fn ask_confirmation(&mut self, asker: NodeId, round: u64) {
        if self.raft.raft.state != StateRole::Leader {
            return;
        }
        self.answers.confirming.retain(|confirming| confirming.asker != asker);
        let term = Term(self.raft.raft.term);
        if let Ok(ticket) = self.ask_read() {
            self.answers.confirming.push(Confirming { asker, round, term, ticket });
        }
    }

    fn tell_confirmed(&mut self) {
        for Confirming { asker, round, term, ticket } in std::mem::take(&mut self.answers.confirming) {
            let leads = self.raft.raft.state == StateRole::Leader && self.raft.raft.term == term.0;
            match self.take_read(ticket) {
                None => self.answers.confirming.push(Confirming { asker, round, term, ticket }),
                Some(Ok(_)) if leads => {
                    let last = self.last_entry();
                    self.send_about_repair(asker, &AboutRepair::Confirmed { round, term, last });
                }
                Some(_) => {}
            }
        }
    }

    /// A snapshot, as a leader offers one to who lags. Where none serves one is due, and it is asked for again.
    fn snapshot_for(&self, asker: NodeId, from: Index) -> Option<AboutRepair> {
        let offer = self.raft.store().snapshot(from.0, asker.0).ok()?;
        let metadata = offer.get_metadata();
        let last = (Index(metadata.index), Term(metadata.term));
        Some(AboutRepair::Snapshot { last, manifest: Manifest::read(&offer.data)? })
    }

    fn last_entry(&self) -> End {
        let log = &self.raft.raft.raft_log;
        (Index(log.last_index()), Term(log.last_term()))
    }

    fn standing(&self, ends: &[End]) -> Standing {
        let raft = &self.raft.raft;
        let conf = self.raft.store().conf_state();
        let mut voters = conf.voters.clone();
        voters.sort_unstable();
        Standing {
            is_intact: true,
            leads: raft.state == StateRole::Leader,
            is_moving: !conf.voters_outgoing.is_empty() || !conf.learners_next.is_empty(),
            term: Term(raft.term),
            first: Index(raft.raft_log.first_index()),
            last: self.last_entry(),
            lost: None,
            held: held(ends, |(index, term)| raft.raft_log.match_term(index.0, term.0)),
            voters,
        }
    }

    fn send_about_repair(&mut self, to: NodeId, message: &AboutRepair) {
        let is_bulky = matches!(message, AboutRepair::Entries { .. });
        let lane = if is_bulky { Lane::Bulk } else { Lane::Control };
        let bytes = wire::encode(self.envelope_to(to), message);
        self.transfers.outbound.push(Outbound { to, lane, bytes });
    }
}
