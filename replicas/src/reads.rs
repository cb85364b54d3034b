//! Linearizable reads. Any replica may be asked how far its engine has to be, so that an answer misses nothing that
//! anybody was told before the question: as far as the leader's log was committed when a quorum confirmed, after the
//! question, that it leads. No lease is trusted. Whoever reads waits until the engine is there, and reads in that turn.
//!
//! Questions that come while a round is under way share the next one, as records share a batch: a replica has one round
//! at a time, and a round costs one message and its answer to each member, however many wait for it. A question that
//! cannot be answered is refused, after a bounded time at the latest.

use std::collections::BTreeMap;

use journal::Disk;
use protocol::mutant::{Mutant, planted};
use protocol::{Index, NodeId, put};
use raft::prelude::{Entry, Message, MessageType};
use raft::{ReadState, StateRole};

use crate::replica::Replica;

/// Questions of this replica that are open at once.
const OPEN_READS_MAX: usize = 256;
/// Rounds of other replicas that a leader has open at once; each has one, and those that it has given up.
const REMOTE_ROUNDS_MAX: usize = 64;
/// Election timeouts after which a question is refused, or its answer forgotten if nobody fetches it.
const LEASES_PER_READ: u64 = 10;
/// Heartbeat intervals after which a follower says its question again: a message may be lost.
const BEATS_PER_REPEAT: u64 = 2;
const CONTEXT_BYTES: usize = 24;

/// A question that was asked: for [`Replica::take_read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadTicket(u64);

/// Why a question is not answered. It may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    /// Nobody is known to lead.
    #[error("no leader is known")]
    NoLeader,
    /// The leader has not applied an entry of its own term: it does not know yet what was committed before.
    #[error("the leader has only just begun")]
    LeaderNotReady,
    /// The lead was lost, or moved, before it was confirmed.
    #[error("the lead moved before it was confirmed")]
    LeadMoved,
    /// No quorum confirmed the lead, or the engine did not come so far, in time.
    #[error("a quorum did not confirm the lead in time, or the engine lags")]
    TooLate,
    /// The engine stands still.
    #[error("the engine is halted")]
    Halted,
    /// Too many questions are open.
    #[error("too many reads are open")]
    Busy,
}

/// How far a question has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It waits for the next round.
    Asked,
    /// It is in the round that is under way.
    InRound,
    /// A quorum has confirmed: the engine has to be here.
    Confirmed(Index),
    Refused(ReadRefusal),
}

#[derive(Debug)]
struct Question {
    stage: Stage,
    asked_tick: u64,
}

/// What is said to the leader, and whom it was said to.
#[derive(Debug)]
struct Round {
    context: Vec<u8>,
    leader: u64,
    term: u64,
    said_tick: u64,
}

/// The questions of one replica.
#[derive(Debug)]
pub(crate) struct Reads {
    node: NodeId,
    /// Differs between lives of a process: an answer to the question of an earlier one is none to ours.
    life: u64,
    rounds: u64,
    tickets: u64,
    questions: BTreeMap<ReadTicket, Question>,
    round: Option<Round>,
}

impl Reads {
    pub(crate) fn new(node: NodeId, life: u64) -> Self {
        Self { node, life, rounds: 0, tickets: 0, questions: BTreeMap::new(), round: None }
    }

    /// Raft knows the quorum's answer to a round.
    pub(crate) fn confirm(&mut self, states: &[ReadState]) {
        for state in states {
            if let Some(round) = self.round.take_if(|round| round.context == state.request_ctx) {
                drop(round);
                self.end_round(Stage::Confirmed(Index(state.index)));
            }
        }
    }

    /// All questions of the round come to this.
    fn end_round(&mut self, stage: Stage) {
        self.round = None;
        let in_round = self.questions.values_mut().filter(|q| matches!(q.stage, Stage::InRound));
        in_round.for_each(|question| question.stage = stage);
    }

    /// Refuses what is open for too long, and forgets what nobody fetches.
    fn expire(&mut self, tick: u64, ticks_max: u64) {
        self.questions.retain(|_, question| tick - question.asked_tick < 2 * ticks_max);
        for question in self.questions.values_mut().filter(|q| tick - q.asked_tick >= ticks_max) {
            question.stage = Stage::Refused(ReadRefusal::TooLate);
        }
        if !self.questions.values().any(|question| matches!(question.stage, Stage::InRound)) {
            self.round = None;
        }
    }

    fn begin_round(&mut self, leader: u64, term: u64, said_tick: u64) -> Option<&Round> {
        let mut asked = self.questions.values_mut().filter(|q| matches!(q.stage, Stage::Asked)).peekable();
        asked.peek()?;
        asked.for_each(|question| question.stage = Stage::InRound);
        self.rounds += 1;
        let mut context = vec![0; CONTEXT_BYTES];
        for (number, at) in [self.node.0, self.life, self.rounds].iter().zip((0..).step_by(8)) {
            put(&mut context, at, &number.to_le_bytes());
        }
        Some(self.round.insert(Round { context, leader, term, said_tick }))
    }
}

impl<D: Disk> Replica<D> {
    /// Asks how far the engine has to be for a linearizable read.
    ///
    /// # Errors
    /// [`ReadRefusal`], if it is known already.
    pub fn ask_read(&mut self) -> Result<ReadTicket, ReadRefusal> {
        self.may_ask()?;
        if self.reads.questions.len() >= OPEN_READS_MAX {
            return Err(ReadRefusal::Busy);
        }
        self.reads.tickets += 1;
        let ticket = ReadTicket(self.reads.tickets);
        let question = Question { stage: Stage::Asked, asked_tick: self.transfers.ticks };
        self.reads.questions.insert(ticket, question);
        Ok(ticket)
    }

    /// Whether a question that comes now may share this ticket: no round has begun for it.
    #[must_use]
    pub fn may_share(&self, ticket: ReadTicket) -> bool {
        self.reads.questions.get(&ticket).is_some_and(|question| matches!(question.stage, Stage::Asked))
    }

    /// The answer, once: the last entry that the read may not miss. The engine has applied it, and the state in this turn
    /// is the answer. `None` while it is open.
    pub fn take_read(&mut self, ticket: ReadTicket) -> Option<Result<Index, ReadRefusal>> {
        let answer = match self.reads.questions.get(&ticket).map(|question| question.stage) {
            None => Err(ReadRefusal::TooLate),
            Some(Stage::Refused(refusal)) => Err(refusal),
            Some(Stage::Confirmed(index)) if planted(Mutant::ReadBeforeApplied) => Ok(index),
            Some(Stage::Confirmed(index)) if self.apply.index() >= index && self.apply.doubt().is_none() => {
                Ok(index)
            }
            Some(_) if self.apply.halted().is_some() => Err(ReadRefusal::Halted),
            Some(_) => return None,
        };
        self.reads.questions.remove(&ticket);
        Some(answer)
    }

    fn may_ask(&self) -> Result<(), ReadRefusal> {
        let raft = &self.raft.raft;
        if self.apply.halted().is_some() {
            return Err(ReadRefusal::Halted);
        }
        if raft.leader_id == raft::INVALID_ID {
            return Err(ReadRefusal::NoLeader);
        }
        if raft.state == StateRole::Leader && !raft.apply_to_current_term() {
            return Err(ReadRefusal::LeaderNotReady);
        }
        Ok(())
    }

    /// Ends the round whose leader is one no more, says it again if it is not answered, and begins the next.
    pub(crate) fn step_reads(&mut self) {
        if self.reads.questions.is_empty() {
            return;
        }
        let tick = self.transfers.ticks;
        let (leader, term) = (self.raft.raft.leader_id, self.raft.raft.term);
        let is_over = |round: &Round| (round.leader, round.term) != (leader, term);
        if self.reads.round.as_ref().is_some_and(is_over) {
            self.reads.end_round(Stage::Refused(ReadRefusal::LeadMoved));
        }
        self.reads.expire(tick, LEASES_PER_READ * self.timing.election_ticks as u64);
        let repeat_ticks = BEATS_PER_REPEAT * self.timing.heartbeat_ticks as u64;
        let refusal = self.may_ask().err();
        let reads = &mut self.reads;
        let context = match &mut reads.round {
            // A leader says it with every heartbeat.
            Some(round) if leader != self.raft.raft.id && tick - round.said_tick >= repeat_ticks => {
                round.said_tick = tick;
                Some(round.context.clone())
            }
            Some(_) => None,
            None => reads.begin_round(leader, term, tick).map(|round| round.context.clone()),
        };
        match (context, refusal) {
            (Some(_), Some(refusal)) => self.reads.end_round(Stage::Refused(refusal)),
            (Some(context), None) => self.raft.read_index(context),
            (None, _) => {}
        }
    }

    /// Whether a question of another replica, or an answer to ours, is for Raft. One that it would pass on, or keep silent
    /// about, is refused in its place.
    pub(crate) fn takes_read(&mut self, message: &Message) -> bool {
        let Some(context) = message.entries.first().map(|entry| entry.data.clone()) else { return false };
        if message.get_msg_type() == MessageType::MsgReadIndexResp {
            let is_ours = self.reads.round.as_ref().is_some_and(|round| round.context == context);
            if is_ours && message.reject {
                self.reads.end_round(Stage::Refused(ReadRefusal::LeadMoved));
            }
            return is_ours && !message.reject;
        }
        let raft = &self.raft.raft;
        let leads = raft.state == StateRole::Leader && raft.apply_to_current_term();
        let answers = leads && raft.pending_read_count() < REMOTE_ROUNDS_MAX;
        if !answers {
            let mut refused = Message { reject: true, ..Message::default() };
            refused.set_msg_type(MessageType::MsgReadIndexResp);
            (refused.from, refused.to) = (raft.id, message.from);
            refused.entries.push(Entry { data: context, ..Entry::default() });
            self.messages.push(refused);
        }
        answers
    }
}
