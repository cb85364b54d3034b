//! Standing orders, as the committed log tells them, held against a schedule of whole seconds that knows no calendar: each occurrence is attempted
//! once, before the first command that is not earlier than its time, in the order of (time, id), whoever leads and whoever was down.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::DefineStandingOrder;
use protocol::event::Event;
use protocol::limits::STANDING_ORDERS_PER_RECORD_MAX;
use protocol::rows::TransferRow;
use protocol::time::{NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{EventBody, Schedule, Seq, StandingOrderEnd, StandingOrderId, TransferId, UnixNanos, events};

use super::transfers::Moved;
use super::{Violation, ensure};

const NAME: &str = "standing_orders_once";

/// One order, and when it is due next.
struct Order {
    definition: DefineStandingOrder,
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

/// When `occurrence` is due, on a day as any other.
fn due(definition: &DefineStandingOrder, occurrence: u32) -> UnixNanos {
    let time_of_day_ns = u64::from(definition.time_of_day_s) * NANOS_PER_SECOND;
    UnixNanos(u64::from(occurrence) * NANOS_PER_DAY + time_of_day_ns)
}

impl StandingOrders {
    /// What the command at `seq` did, and what was due before it. Returns the money that was moved.
    ///
    /// # Errors
    /// [`Violation`] if it may not.
    pub(super) fn take(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        events: &[Event],
    ) -> Result<Vec<Moved>, Violation> {
        let mut due: Vec<_> = self.orders.iter().map(|(id, order)| (order.due, *id)).collect();
        due.retain(|(at, _)| *at <= time);
        due.sort_unstable();
        due.truncate(STANDING_ORDERS_PER_RECORD_MAX);
        let mut due = due.into_iter().map(|(_, id)| id);
        let (mut moved, mut entered) = (Vec::new(), None);
        for event in events {
            let what = || format!("{:?} at {seq}, {time:?}", event.body);
            if let EventBody::TransfersEntered(rows) = &event.body {
                entered = Some(rows);
            } else if let EventBody::StandingOrderAttempted(attempted) = &event.body {
                ensure(due.next() == Some(attempted.order), NAME, || format!("not its turn: {}", what()))?;
                moved.extend(self.attempt(attempted, entered.take(), time)?);
            } else if let EventBody::StandingOrderDefined(defined) = &event.body {
                self.define(defined, time)?;
            } else if let EventBody::StandingOrderEnded(ended) = &event.body {
                let order = self.orders.remove(&ended.order);
                let is_over = order.is_some_and(|order| order.due == UnixNanos(u64::MAX));
                let was_cancelled = ended.end == StandingOrderEnd::Cancelled;
                ensure(is_over != was_cancelled, NAME, what)?;
            }
        }
        let left: Vec<_> = due.collect();
        ensure(left.is_empty(), NAME, || format!("{left:?} were due at {seq}, {time:?}, and not attempted"))?;
        Ok(moved)
    }

    fn define(&mut self, defined: &events::StandingOrderDefined, time: UnixNanos) -> Result<(), Violation> {
        let definition = &defined.definition;
        let due = due(definition, definition.first_date);
        ensure(defined.next_due_ns == due.0 && due > time, NAME, || format!("{defined:?} at {time:?}"))?;
        let is_new = self.defined.insert(definition.order);
        ensure(is_new, NAME, || format!("{defined:?} for the second time"))?;
        self.orders.insert(definition.order, Order { definition: definition.clone(), due });
        Ok(())
    }

    /// It was due, and here is what became of it.
    fn attempt(
        &mut self,
        attempted: &events::StandingOrderAttempted,
        entered: Option<&events::TransfersEntered>,
        time: UnixNanos,
    ) -> Result<Option<Moved>, Violation> {
        let wrong = || Violation { invariant: NAME, what: format!("{attempted:?} at {time:?}: {entered:?}") };
        let order = self.orders.get_mut(&attempted.order).ok_or_else(wrong)?;
        let definition = &order.definition;
        let next = match definition.schedule {
            Schedule::Daily => due(definition, attempted.occurrence + 1),
            Schedule::Once | Schedule::Weekly | Schedule::Monthly | Schedule::MonthEnd => UnixNanos(u64::MAX),
        };
        let next_ns = if next.0 == u64::MAX { 0 } else { next.0 };
        let is_as_planned = due(definition, attempted.occurrence) == order.due
            && (attempted.attempt, attempted.retried) == (1, false)
            && attempted.next_due_ns == next_ns
            && attempted.refusal.is_none() == entered.is_some();
        if !is_as_planned {
            return Err(wrong());
        }
        order.due = next;
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
    use protocol::{AccountId, Amount, AssetId, DayRule, LedgerRefusal};

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
        let mut orders = StandingOrders::default();
        let mut sum = 0;
        for (seq, (time_of_day_s, bodies)) in (1..).map(Seq).zip(log) {
            let time = at(*time_of_day_s);
            let event = |body: &EventBody| Event { output: None, seq, time, body: body.clone() };
            let events: Vec<Event> = bodies.iter().map(event).collect();
            sum += orders.take(seq, time, &events).ok()?.iter().map(|moved| moved.amount).sum::<u128>();
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
}
