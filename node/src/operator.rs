//! The hot thread's end of the admin socket: operators' commands enter the sequencer under the operator's session and
//! its request numbers, in order, and each question is answered when its last command has been.
//!
//! A request number belongs to one command for ever. When a term ends before a command is answered, it is submitted
//! again under its number: if it had been executed after all, the engine gives the first reply again, or says that the rows
//! exist.

use std::collections::VecDeque;

use protocol::event::Event;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{Command, MonoNanos, RequestNumber, SessionId, Term};
use tokio::sync::oneshot;

use crate::plan::Outcome;

/// Commands that are submitted and not answered: well inside the window in which the engine knows repetitions.
const UNANSWERED_MAX: u64 = 512;

/// Commands on their way from operators to the engine.
#[derive(Default)]
pub(crate) struct Operator {
    /// Questions whose commands are not all answered, oldest first.
    batches: VecDeque<Batch>,
    /// Of the next command.
    next_request: RequestNumber,
    /// In which the unanswered ones were submitted.
    term: Term,
}

struct Batch {
    first_request: RequestNumber,
    commands: Vec<Command>,
    /// As many as have been submitted in this term.
    submitted: usize,
    /// As many as have been answered, in order.
    outcomes: Vec<Outcome>,
    answer: oneshot::Sender<Vec<Outcome>>,
}

impl Batch {
    /// Number of the first command without an answer.
    fn unanswered(&self) -> u64 {
        self.first_request.0 + u64::try_from(self.outcomes.len()).unwrap_or(u64::MAX)
    }
}

impl Operator {
    /// Continues with the number behind the last that the engine has seen from the operator.
    pub(crate) fn starting_at(next_request: u64) -> Self {
        Self { next_request: RequestNumber(next_request), ..Self::default() }
    }

    /// Takes a question. The admin socket bounds how many there are: each of its few connections has one.
    pub(crate) fn take(&mut self, commands: Vec<Command>, answer: oneshot::Sender<Vec<Outcome>>) {
        let first_request = self.next_request;
        self.next_request =
            RequestNumber(first_request.0 + u64::try_from(commands.len()).unwrap_or(u64::MAX));
        let outcomes = Vec::with_capacity(commands.len());
        self.batches.push_back(Batch { first_request, commands, submitted: 0, outcomes, answer });
        self.finish();
    }

    /// Whether everything that was taken is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.batches.is_empty()
    }

    /// Submits what the sequencer takes. Call only while the replica serves. Returns whether anything was submitted.
    pub(crate) fn submit(&mut self, term: Term, now: MonoNanos, sequencer: &mut impl Submit) -> bool {
        if self.term != term {
            self.term = term;
            for batch in &mut self.batches {
                batch.submitted = batch.outcomes.len();
            }
        }
        let mut any = false;
        let Some(end) = self.batches.front().map(|oldest| oldest.unanswered() + UNANSWERED_MAX) else {
            return false;
        };
        for batch in &mut self.batches {
            while let Some(command) = batch.commands.get(batch.submitted) {
                let request = batch.first_request.0 + u64::try_from(batch.submitted).unwrap_or(u64::MAX);
                if request >= end {
                    return any;
                }
                let header = RecordHeader {
                    session: SessionId::OPERATOR,
                    request: RequestNumber(request),
                    ..RecordHeader::default()
                };
                if sequencer.submit(&header, now, command).is_err() {
                    return any;
                }
                batch.submitted += 1;
                any = true;
            }
        }
        any
    }

    /// Takes the engine's answers out of what followed from committed commands.
    pub(crate) fn deliver(&mut self, event: &Event) {
        let Some((SessionId::OPERATOR, request, outcome)) = Outcome::of(event) else { return };
        let Some(batch) = self.batches.front_mut() else { return };
        if request.0 == batch.unanswered() {
            batch.outcomes.push(outcome);
            self.finish();
        }
    }

    fn finish(&mut self) {
        while let Some(batch) = self.batches.pop_front_if(|b| b.outcomes.len() == b.commands.len()) {
            if batch.answer.send(batch.outcomes).is_err() {
                tracing::info!("an operator left before the answer; what was asked for is done");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::commands::DefineActor;
    use protocol::record::EncodedCommand;
    use protocol::submit::Full;
    use protocol::{ActorId, RejectReason, Seq, Text, UnixNanos, events};

    /// Takes as much as it is told, and remembers the numbers.
    #[derive(Default)]
    struct Queue {
        room: usize,
        taken: Vec<u64>,
    }

    impl Submit for Queue {
        fn submit(&mut self, header: &RecordHeader, _: MonoNanos, _: &Command) -> Result<(), Full> {
            self.room = self.room.checked_sub(1).ok_or(Full)?;
            self.taken.push(header.request.0);
            Ok(())
        }

        fn submit_encoded(
            &mut self,
            _: &RecordHeader,
            _: MonoNanos,
            _: &EncodedCommand<'_>,
        ) -> Result<(), Full> {
            unreachable!("an operator's commands are no bytes yet")
        }
    }

    fn commands(n: u32) -> Vec<Command> {
        (0..n).map(|actor| DefineActor { actor: ActorId(actor), roles: 0 }.into()).collect()
    }

    fn reply(request: u64, refusal: Option<RejectReason>) -> Event {
        let replied = events::Replied {
            session: SessionId::OPERATOR,
            request: RequestNumber(request),
            effective_seq: Seq(1),
            refusal,
            field: Text::EMPTY,
        };
        Event { output: None, seq: Seq(1), time: UnixNanos(1), body: replied.into() }
    }

    #[test]
    fn a_full_queue_and_a_new_term_lose_and_repeat_nothing() {
        let mut operator = Operator::starting_at(41);
        let (answer, mut answered) = oneshot::channel();
        operator.take(commands(3), answer);
        let mut queue = Queue { room: 2, ..Queue::default() };
        operator.submit(Term(1), MonoNanos(0), &mut queue);
        assert_eq!(queue.taken, [41, 42]);
        operator.deliver(&reply(41, None));
        // The term ends: 42 is lost or not, nobody knows; it goes again under its number.
        queue.room = 9;
        operator.submit(Term(2), MonoNanos(0), &mut queue);
        assert_eq!(queue.taken, [41, 42, 42, 43]);
        operator.deliver(&reply(42, Some(RejectReason::Exists)));
        operator.deliver(&reply(42, Some(RejectReason::Exists)));
        assert!(!operator.is_idle());
        operator.deliver(&reply(43, None));
        assert!(operator.is_idle());
        let outcomes = answered.try_recv().unwrap();
        assert_eq!(outcomes.iter().map(|o| o.refusal.is_some()).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn no_more_are_submitted_than_the_engine_remembers() {
        let mut operator = Operator::starting_at(1);
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let (answer, answered) = oneshot::channel();
            operator.take(commands(256), answer);
            waiting.push(answered);
        }
        let mut queue = Queue { room: 1_000, ..Queue::default() };
        assert!(operator.submit(Term(1), MonoNanos(0), &mut queue));
        assert!(!operator.submit(Term(1), MonoNanos(0), &mut queue));
        assert_eq!(queue.taken.len(), 512);
        operator.deliver(&reply(1, None));
        assert!(operator.submit(Term(1), MonoNanos(0), &mut queue));
        assert_eq!(queue.taken.last(), Some(&513));
    }

    #[test]
    fn a_question_without_commands_is_answered_at_once() {
        let mut operator = Operator::default();
        let (answer, mut answered) = oneshot::channel();
        operator.take(Vec::new(), answer);
        assert_eq!(answered.try_recv().unwrap().len(), 0);
        assert!(operator.is_idle());
    }
}
