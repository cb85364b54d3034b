//! The operator: numbered requests with unknown outcomes. What was not answered is sent again under its number, now and
//! then what was answered too, and now and then another command under a number that is taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::commands::{Deposit, Transfer, Withdraw};
use protocol::events::Replied;
use protocol::limits::REQUEST_WINDOW;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{Amount, AssetId, Command, MonoNanos, RejectReason, RequestNumber, SessionId, TransferId};

use super::setup;
use crate::checkers::{Violation, ensure};
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

/// Requests under way at once.
const WINDOW: usize = 8;
/// Transfers of the workload have ids from here on.
const TRANSFERS_FROM: u128 = 1_000;

/// An answer that does not come for so long is not waited for any more: the request is sent again.
const TIMEOUT_NS: u64 = 400_000_000;

/// A request without an answer.
struct Pending {
    command: Command,
    /// Under whose reign it was sent last: one life of one process as leader. 0: under nobody's yet.
    reign: u64,
    sent_at: MonoNanos,
}

/// The operator's side of its session.
pub struct Operator {
    rng: Rng,
    trace: Trace,
    knobs: Knobs,
    script: VecDeque<Command>,
    next_request: u64,
    next_transfer: u128,
    /// Sent, without an answer yet.
    pending: BTreeMap<u64, Pending>,
    answered: BTreeMap<u64, (Command, Replied)>,
    /// Numbers under which another command was tried.
    altered: BTreeSet<u64>,
    next_at: MonoNanos,
    wants_more: bool,
}

impl Operator {
    pub(crate) fn new(rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        Self {
            rng,
            trace,
            script: setup::commands(knobs.traders).into(),
            knobs,
            next_request: 1,
            next_transfer: TRANSFERS_FROM,
            pending: BTreeMap::new(),
            answered: BTreeMap::new(),
            altered: BTreeSet::new(),
            next_at: MonoNanos(0),
            wants_more: true,
        }
    }

    /// Whether everything that clients need is defined.
    #[must_use]
    pub fn set_up(&self) -> bool {
        self.script.is_empty() && self.pending.is_empty()
            || self.answered.len() >= setup::commands(self.knobs.traders).len()
    }

    /// No new requests; what is open still gets its answer.
    pub(crate) fn stop(&mut self) {
        self.wants_more = false;
    }

    pub(crate) fn open(&self) -> usize {
        self.pending.len() + self.script.len()
    }

    pub(crate) fn next_at(&self) -> MonoNanos {
        self.next_at
    }

    /// Whether somebody has not answered for so long that another should be asked.
    #[must_use]
    pub(crate) fn is_impatient(&self, now: MonoNanos) -> bool {
        self.pending.values().any(|p| p.reign > 0 && now.since(p.sent_at) > TIMEOUT_NS)
    }

    /// What the operator does now, under this `reign`. Returns whether it sent anything.
    pub(crate) fn act(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) -> bool {
        if now < self.next_at {
            return false;
        }
        self.next_at = now.plus(self.rng.within(20..=self.knobs.pause_us_max) * 1_000);
        let is_unknown = |p: &Pending| p.reign != reign || now.since(p.sent_at) > TIMEOUT_NS;
        let unknown: Vec<u64> = self.pending.iter().filter(|(_, p)| is_unknown(p)).map(|(n, _)| *n).collect();
        for request in unknown {
            self.trace.sometimes("request sent again after an unknown outcome");
            self.send(now, reign, request, submit);
        }
        for _ in 0..self.rng.within(1..=self.knobs.burst_max) {
            if self.pending.len() >= WINDOW {
                break;
            }
            let Some(command) = self.next_command() else { break };
            self.pending.insert(self.next_request, Pending { command, reign: 0, sent_at: now });
            self.send(now, reign, self.next_request, submit);
            self.next_request += 1;
        }
        if self.knobs.rough_clients && self.wants_more {
            self.repeat(now, reign, submit);
        }
        true
    }

    fn send(&mut self, now: MonoNanos, reign: u64, request: u64, submit: &mut impl Submit) {
        let Some(pending) = self.pending.get_mut(&request) else { return };
        // A full queue is met again by the next reign or the next repetition: nothing is lost by it.
        if submit.submit(&header(request), now, &pending.command).is_ok() {
            (pending.reign, pending.sent_at) = (reign, now);
            self.trace.note("request", request, reign);
        }
    }

    /// Sends something that is under way or answered once more, or something else under its number.
    fn repeat(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) {
        if self.rng.below(8) == 0
            && let Some((&request, pending)) = self.pending.first_key_value()
            && submit.submit(&header(request), now, &pending.command).is_ok()
        {
            self.trace.sometimes("request sent twice");
        }
        if self.rng.below(8) != 0 || self.answered.is_empty() {
            return;
        }
        let newest = self.next_request;
        let request = newest.saturating_sub(self.rng.within(1..=20)).max(1);
        let Some((command, _)) = self.answered.get(&request) else { return };
        let command = if self.rng.coin() {
            command.clone()
        } else {
            self.altered.insert(request);
            self.trace.sometimes("number used for another command");
            Transfer {
                transfer: TransferId(u128::MAX - u128::from(request)),
                debit: setup::account(0, AssetId(2)),
                credit: setup::external(AssetId(2)),
                amount: Amount(1),
                code: 9,
            }
            .into()
        };
        if submit.submit(&header(request), now, &command).is_ok() {
            self.trace.sometimes("answered request sent again");
            self.trace.note("again", request, reign);
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        if let Some(next) = self.script.pop_front() {
            return Some(next);
        }
        if !self.wants_more || self.next_request > self.knobs.actions_max {
            return None;
        }
        let trader = self.rng.below(self.knobs.traders as u64) as usize;
        let other = self.rng.below(self.knobs.traders as u64) as usize;
        let asset = AssetId(self.rng.within(1..=2) as u32);
        let transfer = TransferId(self.next_transfer);
        self.next_transfer += 1;
        let amount = Amount(u128::from(self.rng.within(1..=50_000)));
        let (account, external) = (setup::account(trader, asset), setup::external(asset));
        Some(match self.rng.below(4) {
            0 => Withdraw { transfer, account, external, amount }.into(),
            1 => {
                let credit = setup::account(other, asset);
                Transfer { transfer, debit: account, credit, amount, code: 1 }.into()
            }
            _ => Deposit { transfer, account, external, amount }.into(),
        })
    }

    /// A result came.
    ///
    /// # Errors
    /// [`Violation`] if it differs from the one before, or if another command under a used number did something.
    pub(crate) fn replied(&mut self, reply: &Replied) -> Result<(), Violation> {
        let request = reply.request.0;
        if request == 0 {
            // A batch's, which nobody waits for.
            return Ok(());
        }
        let what = |text: &str| format!("request {request}: {text}: {reply:?}");
        if let Some(Pending { command, .. }) = self.pending.remove(&request) {
            // A transfer is refused when the money is not there; a definition of the setup is not.
            let is_setup = request <= setup::commands(self.knobs.traders).len() as u64;
            let known = reply.refusal != Some(RejectReason::KeyReused);
            ensure(known && (!is_setup || reply.refusal.is_none()), "at_most_once", || what("unexpected"))?;
            self.answered.insert(request, (command, reply.clone()));
            return Ok(());
        }
        let Some((_, first)) = self.answered.get(&request) else {
            return Err(Violation { invariant: "at_most_once", what: what("never sent") });
        };
        if reply.refusal == Some(RejectReason::KeyReused) && self.altered.contains(&request) {
            self.trace.sometimes("altered request refused");
            return Ok(());
        }
        if reply.refusal == Some(RejectReason::BelowRequestWindow)
            && request + REQUEST_WINDOW <= self.next_request
        {
            return Ok(());
        }
        self.trace.sometimes("first reply given again");
        ensure(first == reply, "at_most_once", || what(&format!("answered before by {first:?}")))
    }
}

fn header(request: u64) -> RecordHeader {
    RecordHeader { session: SessionId::OPERATOR, request: RequestNumber(request), ..RecordHeader::default() }
}
