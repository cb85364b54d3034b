//! Standing orders, as the committed log tells them, held against a schedule of whole seconds: each occurrence is attempted once, before the
//! first command that is not earlier than its time by the calendar in force, in the order of (time, id), whoever leads and whoever was down.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::DefineStandingOrder;
use protocol::event::Event;
use protocol::limits::STANDING_ORDERS_PER_RECORD_MAX;
use protocol::rows::TransferRow;
use protocol::time::NANOS_PER_MILLI;
use protocol::{
    DayRule, EventBody, Schedule, Seq, StandingOrderEnd, StandingOrderId, TransferId, UnixNanos, events,
};

use super::transfers::Moved;
use super::{Violation, ensure};
use crate::calendar::Calendar;

const NAME: &str = "standing_orders_once";
/// Nothing is due of an order any more.
const NEVER: UnixNanos = UnixNanos(u64::MAX);
/// Dates on which the bank is closed, one behind the other, behind which a schedule is over.
const DATES_PASSED_MAX: u32 = 100;

/// One order, and what is due of it next.
struct Order {
    definition: DefineStandingOrder,
    occurrence: u32,
    due: UnixNanos,
}

/// All of them.
#[derive(Default)]
pub(super) struct StandingOrders {
    orders: BTreeMap<StandingOrderId, Order>,
    /// Whatever was defined, and is perhaps over.
    defined: BTreeSet<StandingOrderId>,
    transfers: BTreeSet<TransferId>,
}

/// Days from one date of a schedule to the next. No client here defines one by the month.
fn step(schedule: Schedule) -> Option<u32> {
    match schedule {
        Schedule::Daily => Some(1),
        Schedule::Weekly => Some(7),
        Schedule::Once | Schedule::Monthly | Schedule::MonthEnd => None,
    }
}

/// The first date of an order from this one on that is executed, and when.
fn plan(
    definition: &DefineStandingOrder,
    calendar: &Calendar,
    from: Option<u32>,
) -> Option<(u32, UnixNanos)> {
    let mut date = from;
    for _ in 0..DATES_PASSED_MAX {
        let named = date.filter(|date| definition.last_date == 0 || *date <= definition.last_date)?;
        let mut later = named..;
        let day = match definition.day_rule {
            _ if calendar.is_open(named) => Some(named),
            DayRule::Execute => Some(named),
            DayRule::Next => later.find(|day| calendar.is_open(*day)),
            DayRule::Previous => (0..named).rev().find(|day| calendar.is_open(*day)),
            DayRule::Skip => None,
        };
        if let Some(day) = day {
            return Some((named, calendar.at(day, definition.time_of_day_s)));
        }
        date = step(definition.schedule).map(|days| named + days);
    }
    None
}

impl StandingOrders {
    /// What the command at `seq` did, and what was due before it by the `calendar` of then. Returns the money that was moved.
    ///
    /// # Errors
    /// [`Violation`] if it may not.
    pub(super) fn take(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        events: &[Event],
        calendar: &Calendar,
    ) -> Result<Vec<Moved>, Violation> {
        let (mut moved, mut entered) = (Vec::new(), None);
        let mut attempts = 0;
        for event in events {
            let what = || format!("{:?} at {seq}, {time:?}", event.body);
            if let EventBody::TransfersEntered(rows) = &event.body {
                entered = Some(rows);
            } else if let EventBody::StandingOrderAttempted(attempted) = &event.body {
                let is_its_turn = self.next_due(time) == Some(attempted.order);
                attempts += 1;
                ensure(is_its_turn && attempts <= STANDING_ORDERS_PER_RECORD_MAX, NAME, || {
                    format!("not its turn: {}", what())
                })?;
                moved.extend(self.attempt(attempted, entered.take(), time, calendar)?);
            } else if let EventBody::StandingOrderDefined(defined) = &event.body {
                self.define(defined, time, calendar)?;
            } else if let EventBody::CalendarSet(set) = &event.body {
                // What was due by the calendar before was attempted before the command that sets another.
                self.has_attempted_all(attempts, seq, time)?;
                attempts = STANDING_ORDERS_PER_RECORD_MAX;
                self.plan_anew(&Calendar::of(&set.calendar));
            } else if let EventBody::StandingOrderEnded(ended) = &event.body {
                let order = self.orders.remove(&ended.order);
                let is_over = order.is_some_and(|order| order.due == NEVER);
                let was_cancelled = ended.end == StandingOrderEnd::Cancelled;
                ensure(is_over != was_cancelled, NAME, what)?;
            }
        }
        let left = self.orders.iter().find(|(_, order)| order.due == NEVER);
        ensure(left.is_none(), NAME, || {
            format!("{:?} was over at {seq}, and has not ended", left.map(|(id, _)| id))
        })?;
        self.has_attempted_all(attempts, seq, time)?;
        Ok(moved)
    }

    /// What is to be attempted next, before a command of this time.
    fn next_due(&self, time: UnixNanos) -> Option<StandingOrderId> {
        let due = self.orders.iter().map(|(id, order)| (order.due, *id)).min();
        due.filter(|(at, _)| *at <= time).map(|(_, id)| id)
    }

    fn has_attempted_all(&self, attempts: usize, seq: Seq, time: UnixNanos) -> Result<(), Violation> {
        let left = self.next_due(time).filter(|_| attempts < STANDING_ORDERS_PER_RECORD_MAX);
        ensure(left.is_none(), NAME, || format!("{left:?} was due at {seq}, {time:?}, and not attempted"))
    }

    /// Each is due when the new calendar says so, from its date on.
    fn plan_anew(&mut self, calendar: &Calendar) {
        for order in self.orders.values_mut() {
            let planned = plan(&order.definition, calendar, Some(order.occurrence));
            (order.occurrence, order.due) = planned.unwrap_or((order.occurrence, NEVER));
        }
    }

    fn define(
        &mut self,
        defined: &events::StandingOrderDefined,
        time: UnixNanos,
        calendar: &Calendar,
    ) -> Result<(), Violation> {
        let definition = defined.definition.clone();
        let planned = plan(&definition, calendar, Some(definition.first_date));
        let (occurrence, due) = planned.unwrap_or((0, UnixNanos(0)));
        ensure(defined.next_due_ns == due.0 && due > time, NAME, || format!("{defined:?} at {time:?}"))?;
        let is_new = self.defined.insert(definition.order);
        ensure(is_new, NAME, || format!("{defined:?} for the second time"))?;
        self.orders.insert(definition.order, Order { definition, occurrence, due });
        Ok(())
    }

    /// It was due, and here is what became of it.
    fn attempt(
        &mut self,
        attempted: &events::StandingOrderAttempted,
        entered: Option<&events::TransfersEntered>,
        time: UnixNanos,
        calendar: &Calendar,
    ) -> Result<Option<Moved>, Violation> {
        let wrong = || Violation { invariant: NAME, what: format!("{attempted:?} at {time:?}: {entered:?}") };
        let order = self.orders.get_mut(&attempted.order).ok_or_else(wrong)?;
        let definition = &order.definition;
        let next_date = step(definition.schedule).map(|days| order.occurrence + days);
        let next = plan(definition, calendar, next_date);
        let next_ns = next.map_or(0, |(_, due)| due.0);
        let is_as_planned = attempted.occurrence == order.occurrence
            && (attempted.attempt, attempted.retried) == (1, false)
            && attempted.next_due_ns == next_ns
            && attempted.refusal.is_none() == entered.is_some();
        if !is_as_planned {
            return Err(wrong());
        }
        (order.occurrence, order.due) = next.unwrap_or((order.occurrence, NEVER));
        let Some(entered) = entered else { return Ok(None) };
        let [row] = entered.transfers[..] else { return Err(wrong()) };
        let TransferRow { id, debit_account: debit, credit_account: credit, amount, .. } = row;
        let of =
            |row: &TransferRow| (row.debit_account, row.credit_account, row.amount, row.ledger, row.code);
        let as_defined = (
            definition.debit_account,
            definition.credit_account,
            definition.amount,
            definition.ledger,
            definition.code,
        );
        let is_now = id.ms() == time.0 / NANOS_PER_MILLI;
        let is_right = id == attempted.transfer && is_now && of(&row) == as_defined;
        if !is_right || !self.transfers.insert(id) {
            return Err(wrong());
        }
        Ok(Some(Moved { debit, credit, amount: amount.0 }))
    }

    /// What a client was told is so.
    ///
    /// # Errors
    /// [`Violation`] if it is not.
    pub(super) fn agree(
        &self,
        known: &BTreeMap<StandingOrderId, (Seq, bool)>,
        to: Seq,
    ) -> Result<(), Violation> {
        for (order, (seq, accepted)) in known {
            let is_so = self.defined.contains(order) == *accepted || *seq > to;
            ensure(is_so, NAME, || format!("{order:?} was answered at {seq}, accepted: {accepted}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::commands::SetCalendar;
    use protocol::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
    use protocol::{AccountId, Amount, AssetId, LedgerRefusal};

    use super::*;

    const DAY: u32 = 20_454;

    fn at(time_of_day_s: u64) -> UnixNanos {
        UnixNanos(u64::from(DAY) * NANOS_PER_DAY + time_of_day_s * NANOS_PER_SECOND)
    }

    fn definition(order: u64, schedule: Schedule, time_of_day_s: u32) -> DefineStandingOrder {
        DefineStandingOrder {
            order: StandingOrderId(order),
            debit_account: AccountId(1),
            credit_account: AccountId(2),
            amount: Amount(10),
            ledger: AssetId(1),
            code: 1,
            schedule,
            first_date: DAY,
            last_date: 0,
            time_of_day_s,
            day_rule: DayRule::Execute,
            retry_days: 0,
            user_data_128: 0,
        }
    }

    /// An order that executes itself at this time, and never again.
    fn defined(order: u64, time_of_day_s: u32) -> EventBody {
        let next_due_ns = at(time_of_day_s.into()).0;
        let definition = definition(order, Schedule::Once, time_of_day_s);
        events::StandingOrderDefined { definition, next_due_ns }.into()
    }

    /// It is executed then, and over.
    fn executed(order: u64, time: UnixNanos) -> [EventBody; 3] {
        let id = TransferId(u128::from(time.0 / NANOS_PER_MILLI) << 80 | u128::from(order) << 16);
        let (debit_account, credit_account) = (AccountId(1), AccountId(2));
        let (amount, ledger) = (Amount(10), AssetId(1));
        let row = TransferRow {
            id,
            debit_account,
            credit_account,
            amount,
            ledger,
            code: 1,
            ..TransferRow::default()
        };
        let attempted = attempted(order, id, None);
        [events::TransfersEntered { transfers: vec![row] }.into(), attempted, ended(order)]
    }

    fn attempted(order: u64, transfer: TransferId, refusal: Option<LedgerRefusal>) -> EventBody {
        let order = StandingOrderId(order);
        let (occurrence, attempt, retried, next_due_ns) = (DAY, 1, false, 0);
        let (debit_account, credit_account) = (AccountId(1), AccountId(2));
        events::StandingOrderAttempted {
            order,
            debit_account,
            credit_account,
            occurrence,
            attempt,
            transfer,
            refusal,
            retried,
            next_due_ns,
        }
        .into()
    }

    fn ended(order: u64) -> EventBody {
        let order = StandingOrderId(order);
        events::StandingOrderEnded { order, end: StandingOrderEnd::Finished }.into()
    }

    /// How much the commands at these times move, each with what follows from it, unless the log is wrong.
    fn says(log: &[(u64, Vec<EventBody>)]) -> Option<u128> {
        let (mut orders, mut calendar) = (StandingOrders::default(), Calendar::default());
        let mut sum = 0;
        for (seq, (time_of_day_s, bodies)) in (1..).map(Seq).zip(log) {
            let time = at(*time_of_day_s);
            let event = |body: &EventBody| Event { output: None, seq, time, body: body.clone() };
            let events: Vec<Event> = bodies.iter().map(event).collect();
            let moved = orders.take(seq, time, &events, &calendar).ok()?;
            sum += moved.iter().map(|moved| moved.amount).sum::<u128>();
            events.iter().for_each(|event| calendar.take(event));
        }
        Some(sum)
    }

    #[test]
    fn what_is_executed_once_before_the_first_command_that_is_not_earlier_is_right() {
        let both = vec![defined(7, 5), defined(6, 5), defined(5, 9)];
        let in_order = [executed(6, at(8)), executed(7, at(8))].concat();
        let refused = vec![attempted(5, TransferId(0), Some(LedgerRefusal::ExceedsCredits)), ended(5)];
        let log = [(1, both), (4, vec![]), (8, in_order), (9, refused), (30, vec![])];
        assert_eq!(says(&log), Some(20));
    }

    #[test]
    fn what_is_executed_twice_early_late_or_out_of_turn_is_found() {
        let first = || (1, vec![defined(6, 5), defined(7, 5)]);
        let (six, seven) = (|s| executed(6, at(s)).to_vec(), |s| executed(7, at(s)).to_vec());
        let right = [first(), (5, [six(5), seven(5)].concat())];
        assert_eq!(says(&right), Some(20));
        assert_eq!(says(&[right.to_vec(), vec![(6, six(6))]].concat()), None, "twice");
        assert_eq!(says(&[first(), (4, six(4))]), None, "early");
        assert_eq!(says(&[first(), (5, six(5))]), None, "one is left");
        assert_eq!(says(&[first(), (5, [seven(5), six(5)].concat())]), None, "out of turn");
        assert_eq!(says(&[first(), (5, [six(4), seven(5)].concat())]), None, "an id of another time");
        let unpaid = vec![attempted(6, TransferId(1), None), ended(6)];
        assert_eq!(says(&[first(), (5, [unpaid, seven(5)].concat())]), None, "no money has moved");
        assert_eq!(says(&[first(), (2, vec![defined(6, 9)])]), None, "defined twice");
        assert_eq!(says(&[first(), (2, vec![ended(6)])]), None, "it is not over");
    }

    /// The bank is so many seconds ahead of UTC, and closed on this day.
    fn set(utc_offset_s: u32, holiday: u32) -> EventBody {
        let calendar = SetCalendar {
            business_date: DAY,
            weekend_days: 0,
            holidays: vec![holiday],
            value_back_days_max: 0,
            value_ahead_days_max: 0,
            utc_offset_s,
            behind_utc: false,
        };
        events::CalendarSet { calendar }.into()
    }

    #[test]
    fn what_another_calendar_moves_is_executed_by_that_one() {
        let first = || (1, vec![defined(6, 9)]);
        let moved = |at_s| [first(), (2, vec![set(4, DAY + 9)]), (at_s, executed(6, at(at_s)).to_vec())];
        assert_eq!(says(&moved(5)), Some(10));
        assert_eq!(says(&moved(4)), None, "early");
        assert_eq!(says(&[first(), (2, vec![set(4, DAY + 9)]), (5, vec![])]), None, "it was due");
        // What is due by the new calendar already is executed before the next command, and not before.
        let late = [first(), (7, vec![set(4, DAY + 9)]), (7, executed(6, at(7)).to_vec())];
        assert_eq!(says(&late), Some(10));
        let at_once = [vec![set(4, DAY + 9)], executed(6, at(7)).to_vec()].concat();
        assert_eq!(says(&[first(), (7, at_once)]), None, "within the command");
    }

    #[test]
    fn an_order_that_another_calendar_leaves_without_a_date_ends_there() {
        let EventBody::StandingOrderDefined(mut skipped) = defined(6, 5) else { return };
        skipped.definition.day_rule = DayRule::Skip;
        let first = || (1, vec![EventBody::from(skipped.clone())]);
        assert_eq!(says(&[first(), (2, vec![set(0, DAY), ended(6)]), (9, vec![])]), Some(0));
        assert_eq!(says(&[first(), (2, vec![set(0, DAY)]), (3, vec![])]), None, "it has not ended");
        assert_eq!(says(&[first(), (2, vec![set(0, DAY + 1), ended(6)])]), None, "it is not over");
        // On a day that is closed it is executed on the next one, or all the same.
        for day_rule in [DayRule::Execute, DayRule::Next] {
            skipped.definition.day_rule = day_rule;
            let log = [(1, vec![EventBody::from(skipped.clone())]), (2, vec![set(0, DAY)])];
            let executed = says(&[&log[..], &[(5, executed(6, at(5)).to_vec())]].concat());
            assert_eq!(executed.is_some(), day_rule == DayRule::Execute, "{day_rule:?}");
            assert_eq!(says(&[&log[..], &[(5, vec![])]].concat()).is_some(), day_rule == DayRule::Next);
        }
    }
}
