//! A client whose payments execute themselves: orders that are due within seconds, whether or not somebody leads then. It asks for each under one
//! number until it is answered, and remembers the answer.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{CancelStandingOrder, DefineStandingOrder};
use protocol::event::Event;
use protocol::events::{Replied, StandingOrderAttempted};
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    Amount, Command, DayRule, EventBody, MonoNanos, RejectReason, RequestNumber, Schedule, Seq,
    StandingOrderId,
};

use super::payments;
use crate::calendar::{Calendar, SECONDS_PER_DAY};
use crate::checkers::{Violation, ensure};
use crate::clock::truth;
use crate::knobs::Knobs;
use crate::rng::Rng;
use crate::trace::Trace;

const NAME: &str = "standing_orders_once";

/// Orders of a world, at most.
const ORDERS_MAX: u64 = 60;
/// Commands without an answer, at most.
const OPEN_MAX: usize = 4;
/// An order is due behind so many seconds at most.
const DUE_S_MAX: u64 = 3;
/// An answer that does not come for so long is not waited for any more.
const ANSWER_NS: u64 = 400_000_000;
/// Executed so much later than it was due: there was nobody to do it.
const LATE_NS: u64 = 300_000_000;
/// The date of an order lies so many days from the present one at most, where a closed bank may move it here.
const DAYS_MAX: u64 = 2;

/// A command without an answer.
struct Open {
    order: StandingOrderId,
    command: Command,
    /// Under whose reign it was sent last; 0 = it found no room.
    reign: u64,
    sent_at: MonoNanos,
}

/// An order that was accepted.
#[derive(Clone, Copy)]
struct Defined {
    /// When it was due then, in nanoseconds since 1970.
    due_ns: u64,
    /// Under whose reign that was answered first.
    reign: u64,
    /// When the calendar of then had been set, and which day was booked on.
    by_calendar: (Seq, u32),
}

/// The client.
pub struct StandingOrders {
    rng: Rng,
    trace: Trace,
    /// Orders that are still to be defined.
    left: u64,
    /// Behind the end of the faults, when the last one is over.
    ends_at: Option<MonoNanos>,
    pause_us_max: u64,
    next_at: MonoNanos,
    next_request: u64,
    open: BTreeMap<u64, Open>,
    defined: BTreeMap<StandingOrderId, Defined>,
    /// What it was told of each definition: where, and whether it was accepted.
    known: BTreeMap<StandingOrderId, (Seq, bool)>,
    /// Attempts that it was told of, by where they were made.
    attempted: BTreeSet<(StandingOrderId, Seq)>,
    calendar: Calendar,
}

impl StandingOrders {
    pub(crate) fn new(mut rng: Rng, knobs: Knobs, trace: Trace) -> Self {
        let left = if knobs.payments { rng.within(8..=ORDERS_MAX) } else { 0 };
        let pause_us_max = (2 * knobs.faults_ns / 1_000 / left.max(1)).max(20);
        Self {
            rng,
            trace,
            left,
            ends_at: (left == 0).then_some(MonoNanos(0)),
            pause_us_max,
            next_at: MonoNanos(0),
            next_request: 0,
            open: BTreeMap::new(),
            defined: BTreeMap::new(),
            known: BTreeMap::new(),
            attempted: BTreeSet::new(),
            calendar: Calendar::default(),
        }
    }

    /// What it was told of its definitions.
    pub(crate) fn known(&self) -> &BTreeMap<StandingOrderId, (Seq, bool)> {
        &self.known
    }

    /// No new orders: those that there are become due.
    pub(crate) fn stop(&mut self, now: MonoNanos) {
        self.left = 0;
        self.ends_at.get_or_insert(now.plus((DUE_S_MAX + 1) * NANOS_PER_SECOND));
    }

    /// Commands that wait for an answer, and one while orders may still become due.
    pub(crate) fn open(&self) -> usize {
        let is_over = self.ends_at.is_some_and(|at| self.next_at >= at);
        self.open.len() + usize::from(!is_over)
    }

    pub(crate) fn next_at(&self) -> Option<MonoNanos> {
        (self.open() > 0).then_some(self.next_at)
    }

    /// Whether somebody has not answered for so long that another should be asked.
    pub(crate) fn is_impatient(&self, now: MonoNanos) -> bool {
        self.open.values().any(|open| open.reign > 0 && now.since(open.sent_at) > ANSWER_NS)
    }

    /// Sends what is due, under this `reign`. Returns whether it sent anything.
    pub(crate) fn act(&mut self, now: MonoNanos, reign: u64, submit: &mut impl Submit) -> bool {
        if self.open() == 0 || now < self.next_at {
            return false;
        }
        let pause_us_max = if self.left > 0 { self.pause_us_max } else { 20_000 };
        self.next_at = now.plus(self.rng.within(20..=pause_us_max) * 1_000);
        let is_unknown = |open: &Open| open.reign != reign || now.since(open.sent_at) > ANSWER_NS;
        let unknown: Vec<u64> =
            self.open.iter().filter(|(_, open)| is_unknown(open)).map(|(request, _)| *request).collect();
        for request in unknown {
            self.send(now, reign, request, submit);
        }
        if self.open.len() < OPEN_MAX && self.left > 0 {
            let (order, command) = self.next_command(now);
            self.next_request += 1;
            self.open.insert(self.next_request, Open { order, command, reign: 0, sent_at: now });
            self.send(now, reign, self.next_request, submit);
        }
        true
    }

    fn send(&mut self, now: MonoNanos, reign: u64, request: u64, submit: &mut impl Submit) {
        let Some(open) = self.open.get_mut(&request) else { return };
        let session = payments::STANDING_ORDERS_SESSION;
        let header = RecordHeader { session, request: RequestNumber(request), ..RecordHeader::default() };
        if submit.submit(&header, now, &open.command).is_ok() {
            (open.reign, open.sent_at) = (reign, now);
            self.trace.note("standing order", request, reign);
        }
    }

    fn next_command(&mut self, now: MonoNanos) -> (StandingOrderId, Command) {
        let defined: Vec<StandingOrderId> = self.defined.keys().rev().take(4).copied().collect();
        if !defined.is_empty() && self.rng.below(8) == 0 {
            let order = self.rng.pick(&defined);
            return (order, CancelStandingOrder { order }.into());
        }
        self.left -= 1;
        let order = StandingOrderId(self.next_request + 1);
        let due_s = self.calendar.local_s(truth(now)) + self.rng.within(1..=DUE_S_MAX);
        let due_date = (due_s / SECONDS_PER_DAY) as u32;
        let day_rule = self.rng.pick(&[
            DayRule::Execute,
            DayRule::Execute,
            DayRule::Next,
            DayRule::Previous,
            DayRule::Skip,
        ]);
        let days = self.rng.within(0..=DAYS_MAX) as u32;
        let first_date = match day_rule {
            DayRule::Next => due_date - days,
            DayRule::Previous => due_date + days,
            DayRule::Execute | DayRule::Skip => due_date,
        };
        let (debit, credit) = payments::two_accounts(&mut self.rng);
        let amount = if self.rng.below(4) == 0 { payments::TOO_MUCH } else { self.rng.within(1..=20) };
        let schedule = if self.rng.below(4) == 0 { Schedule::Daily } else { Schedule::Once };
        let command = DefineStandingOrder {
            order,
            debit_account: debit,
            credit_account: credit,
            amount: Amount(amount.into()),
            ledger: payments::ASSET,
            code: 1,
            schedule,
            first_date,
            last_date: 0,
            time_of_day_s: (due_s % SECONDS_PER_DAY) as u32,
            day_rule,
            retry_days: 0,
            user_data_128: 0,
        };
        (order, command.into())
    }

    /// Something left a process, when there had been so many reigns: perhaps an answer.
    ///
    /// # Errors
    /// [`Violation`] if that contradicts what was said before.
    pub(crate) fn take(&mut self, event: &Event, reigns: u64) -> Result<(), Violation> {
        self.calendar.take(event);
        if let EventBody::Replied(reply) = &event.body {
            self.answered(reply, reigns)
        } else if let EventBody::StandingOrderEnded(ended) = &event.body {
            // Nothing else ends one in the command that sets a calendar.
            if event.seq == self.calendar.set_at() && !self.attempted.contains(&(ended.order, event.seq)) {
                self.trace.sometimes("standing order ended by another calendar");
            }
            Ok(())
        } else if let EventBody::StandingOrderAttempted(attempted) = &event.body {
            self.note_attempt(event, attempted, reigns);
            Ok(())
        } else {
            Ok(())
        }
    }

    fn answered(&mut self, reply: &Replied, reigns: u64) -> Result<(), Violation> {
        if reply.session != payments::STANDING_ORDERS_SESSION {
            return Ok(());
        }
        let Some(Open { order, command, .. }) = self.open.remove(&reply.request.0) else { return Ok(()) };
        let Command::DefineStandingOrder(define) = command else {
            // It may be over.
            let is_expected = matches!(reply.refusal, None | Some(RejectReason::UnknownStandingOrder));
            if reply.refusal.is_none() {
                self.trace.sometimes("standing order cancelled");
            }
            return ensure(is_expected, NAME, || format!("{order:?} is not cancelled: {reply:?}"));
        };
        // Time may have gone on until somebody took it.
        let is_expected = matches!(reply.refusal, None | Some(RejectReason::FieldOutOfRange));
        ensure(is_expected, NAME, || format!("{define:?} is refused: {reply:?}"))?;
        self.known.insert(order, (reply.effective_seq, reply.refusal.is_none()));
        if reply.refusal.is_none() {
            let due_ns = self.calendar.at(define.first_date, define.time_of_day_s).0;
            let by_calendar = (self.calendar.set_at(), self.calendar.business_date());
            self.defined.insert(order, Defined { due_ns, reign: reigns, by_calendar });
        }
        Ok(())
    }

    fn note_attempt(&mut self, event: &Event, attempted: &StandingOrderAttempted, reigns: u64) {
        if !self.attempted.insert((attempted.order, event.seq)) {
            return;
        }
        let is_executed = attempted.refusal.is_none();
        self.trace.sometimes(if is_executed { "standing order executed" } else { "standing order refused" });
        let is_moved = attempted.occurrence != self.calendar.local_day(event.time);
        if is_moved {
            self.trace.sometimes("standing order executed on another day than its date");
        }
        let Some(Defined { due_ns, reign, by_calendar }) = self.defined.get(&attempted.order).copied() else {
            return;
        };
        if reign < reigns {
            self.trace.sometimes("standing order executed under another reign than it was defined");
        }
        if by_calendar.1 != 0 && by_calendar.1 < self.calendar.business_date() {
            self.trace.sometimes("standing order executed on a later day than it was defined");
        }
        if by_calendar.0 < self.calendar.set_at() {
            self.trace.sometimes("standing order executed by another calendar than it was defined");
        } else if event.time.0 > due_ns + LATE_NS && !is_moved {
            self.trace.sometimes("standing order executed when somebody led again");
        }
    }
}
