//! Standing orders in the model: the leaves of a calendar are turned one by one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use protocol::commands::{CancelStandingOrder, DefineStandingOrder, SetCalendar};
use protocol::limits::STANDING_ORDERS_PLANNED_PER_RECORD_MAX;
use protocol::rows::TransferRow;
use protocol::{
    DayRule, EventBody, LedgerRefusal, RejectReason, Schedule, StandingOrderEnd, StandingOrderId, TransferId,
    events,
};

use super::bank::{Answer, is_business_day, out_of_range, refused, refused_of};
use super::model::{Model, Payer, may_debit};

const DAY_NS: u64 = 86_400 * 1_000_000_000;
/// The last day on which anything is due.
const LAST_DAY: u32 = 106_751;
/// So many dates in a row on which nothing is executed end a schedule.
const PASSED_MAX: u32 = 100;

/// Month counted from January 1970, and day of the month, of each day from 1970-01-01 on.
static LEAVES: LazyLock<Vec<(u32, u32)>> = LazyLock::new(|| {
    let mut leaves = Vec::new();
    let (mut month, mut day) = (0, 1);
    while leaves.len() <= usize::try_from(LAST_DAY).unwrap() + 31 {
        leaves.push((month, day));
        day += 1;
        if day > days_of(month) {
            (month, day) = (month + 1, 1);
        }
    }
    leaves
});

/// How many days a month has, counted from January 1970.
fn days_of(month: u32) -> u32 {
    let year = 1970 + month / 12;
    match month % 12 + 1 {
        2 if (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn leaf(day: u32) -> (u32, u32) {
    LEAVES[usize::try_from(day).unwrap()]
}

/// An order, and what of it is due next.
#[derive(Clone, Debug)]
pub(crate) struct StandingOrder {
    pub(crate) definition: DefineStandingOrder,
    /// The date of the schedule, and the day on which it is executed.
    occurrence: u32,
    day: u32,
    attempt: u8,
    due: u64,
}

/// By id.
pub(crate) type StandingOrders = BTreeMap<u64, StandingOrder>;

/// Mixes two numbers as the engine does.
fn fold(word: u64, seed: u64) -> u64 {
    let product = u128::from(word ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    u64::try_from(product & u128::from(u64::MAX)).unwrap() ^ u64::try_from(product >> 64).unwrap()
}

impl Model {
    fn is_open(&self, day: u32) -> bool {
        self.bank.calendar.as_ref().is_none_or(|calendar| is_business_day(calendar, day))
    }

    /// When local time of the bank is this.
    fn instant(&self, day: u32, time_of_day_s: u32) -> u64 {
        let utc = u64::from(day) * DAY_NS + u64::from(time_of_day_s) * 1_000_000_000;
        let offset = |calendar: &SetCalendar| u64::from(calendar.utc_offset_s) * 1_000_000_000;
        match &self.bank.calendar {
            Some(calendar) if calendar.behind_utc => utc + offset(calendar),
            Some(calendar) => utc - offset(calendar),
            None => utc,
        }
    }

    /// Whether the schedule has something on this day, business or not; of a month without a business day, on its last day.
    fn is_named(&self, order: &DefineStandingOrder, day: u32) -> bool {
        let (month, of_month) = leaf(day);
        let (_, wanted) = leaf(order.first_date);
        match order.schedule {
            Schedule::Once => day == order.first_date,
            Schedule::Daily => true,
            Schedule::Weekly => day.abs_diff(order.first_date).is_multiple_of(7),
            Schedule::Monthly => of_month == wanted.min(days_of(month)),
            Schedule::MonthEnd => {
                let rest = day + 1..day + 1 + days_of(month) - of_month;
                let none_before = || (day + 1 - of_month..day).all(|day| !self.is_open(day));
                rest.clone().all(|day| !self.is_open(day))
                    && (self.is_open(day) || (rest.is_empty() && none_before()))
            }
        }
    }

    /// The day on which what is named for `date` is executed, if it is.
    fn day_of(&self, order: &DefineStandingOrder, date: u32) -> Option<u32> {
        if self.is_open(date) {
            return Some(date);
        }
        if order.schedule == Schedule::MonthEnd {
            return None;
        }
        let mut day = date;
        match order.day_rule {
            DayRule::Execute => {}
            DayRule::Skip => return None,
            DayRule::Next => {
                while !self.is_open(day) {
                    day += 1;
                }
            }
            DayRule::Previous => {
                while !self.is_open(day) {
                    day -= 1;
                }
            }
        }
        Some(day)
    }

    /// What is executed first of the dates from this one on: its date and its day.
    fn planned(&self, order: &DefineStandingOrder, from: u32) -> Option<(u32, u32)> {
        let mut passed = 0;
        for date in from.max(order.first_date)..=LAST_DAY {
            if (order.last_date != 0 && date > order.last_date) || passed == PASSED_MAX {
                return None;
            }
            if self.is_named(order, date) {
                if let Some(day) = self.day_of(order, date) {
                    return Some((date, day));
                }
                passed += 1;
            }
        }
        None
    }

    fn order_at(&self, definition: &DefineStandingOrder, (occurrence, day): (u32, u32)) -> StandingOrder {
        let due = self.instant(day, definition.time_of_day_s);
        StandingOrder { definition: definition.clone(), occurrence, day, attempt: 1, due }
    }

    pub(crate) fn define_standing_order(&mut self, define: &DefineStandingOrder, payer: &Payer) -> Answer {
        let debit = self.accounts.get(&define.debit_account.0);
        if debit.is_some_and(|debit| !may_debit(payer, debit)) {
            return refused(RejectReason::ClientNotEntitled);
        }
        if let Some(there) = self.bank.standing_orders.get(&define.order.0) {
            return match there.definition.first_difference(define) {
                Some(field) => refused_of(RejectReason::ExistsWithDifferent, field),
                None => refused(RejectReason::Exists),
            };
        }
        let is_taken =
            |(debit, order): &(u128, u64)| *debit == define.debit_account.0 && *order >= define.order.0;
        let is_too_high = matches!(payer, Payer::Of(_)) && define.order.0 >= 1 << 63;
        let wrong = [
            (define.order.0 == 0 || is_too_high || self.bank.defined.iter().any(is_taken), "order"),
            (define.amount.0 == 0, "amount"),
            (define.code == 0, "code"),
            (define.first_date == 0 || define.first_date > LAST_DAY, "first_date"),
            (define.last_date != 0 && define.last_date < define.first_date, "last_date"),
            (define.time_of_day_s >= 86_400, "time_of_day_s"),
            (define.retry_days > 31, "retry_days"),
        ];
        if let Some((_, field)) = wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            return out_of_range(field);
        }
        for (field, id) in
            [("debit_account", define.debit_account), ("credit_account", define.credit_account)]
        {
            let Some(account) = self.accounts.get(&id.0) else {
                return refused_of(RejectReason::UnknownAccount, field);
            };
            if account.row.ledger != define.ledger {
                return refused_of(RejectReason::AssetMismatch, field);
            }
        }
        if define.debit_account == define.credit_account {
            return out_of_range("credit_account");
        }
        let planned = self.planned(define, define.first_date).map(|planned| self.order_at(define, planned));
        let Some(order) = planned.filter(|order| order.due > self.time) else {
            return out_of_range("first_date");
        };
        let next_due_ns = order.due;
        self.bank.defined.push((define.debit_account.0, define.order.0));
        self.bank.standing_orders.insert(define.order.0, order);
        Ok(vec![events::StandingOrderDefined { definition: define.clone(), next_due_ns }.into()])
    }

    pub(crate) fn cancel_standing_order(&mut self, cancel: &CancelStandingOrder, payer: &Payer) -> Answer {
        let Some(order) = self.bank.standing_orders.get(&cancel.order.0) else {
            return refused(RejectReason::UnknownStandingOrder);
        };
        if !may_debit(payer, &self.accounts[&order.definition.debit_account.0]) {
            return refused(RejectReason::ClientNotEntitled);
        }
        self.bank.standing_orders.remove(&cancel.order.0);
        Ok(vec![ended(cancel.order.0, StandingOrderEnd::Cancelled)])
    }

    /// The next execution: when, and of which order.
    pub(crate) fn next_standing_order(&self) -> Option<(u64, u128)> {
        self.bank.standing_orders.iter().map(|(id, order)| (order.due, u128::from(*id))).min()
    }

    /// What is due of an order now.
    pub(crate) fn execute_standing_order(&mut self, id: u64) -> Vec<EventBody> {
        let order = self.bank.standing_orders.remove(&id).unwrap();
        let definition = &order.definition;
        let mut happened = Vec::new();
        let (transfer, refusal) = match self.enter_execution(id, definition) {
            Ok(transfers) => {
                let id = transfers[0].id;
                happened.push(events::TransfersEntered { transfers }.into());
                (id, None)
            }
            Err(refusal) => (TransferId(0), Some(refusal)),
        };
        let from = next_from(definition, order.occurrence);
        let next = if definition.schedule == Schedule::Once { None } else { self.planned(definition, from) };
        let mut next = next.map(|next| self.order_at(definition, next));
        let mut retried = false;
        if refusal.is_some() && order.attempt <= definition.retry_days {
            let mut retry = StandingOrder { attempt: order.attempt + 1, ..order.clone() };
            while retry.due <= self.time || retry.day == order.day {
                retry.day += 1;
                retry.due = self.instant(retry.day, definition.time_of_day_s);
            }
            if next.as_ref().is_none_or(|next| retry.due < next.due) {
                retried = true;
                next = Some(retry);
            }
        }
        happened.push(
            events::StandingOrderAttempted {
                order: StandingOrderId(id),
                debit_account: definition.debit_account,
                credit_account: definition.credit_account,
                occurrence: order.occurrence,
                attempt: order.attempt,
                transfer,
                refusal,
                retried,
                next_due_ns: next.as_ref().map_or(0, |next| next.due),
            }
            .into(),
        );
        match next {
            Some(next) => {
                self.bank.standing_orders.insert(id, next);
            }
            None => happened.push(ended(id, StandingOrderEnd::Finished)),
        }
        happened
    }

    fn enter_execution(
        &mut self,
        id: u64,
        definition: &DefineStandingOrder,
    ) -> Result<Vec<TransferRow>, LedgerRefusal> {
        let ms = u128::from(self.time / 1_000_000) << 80;
        let mut free = ms | u128::from(fold(id, fold(self.seq, self.time)));
        while self.known.contains_key(&free) {
            free = ms | (free + 1) & u128::from(u64::MAX);
        }
        let row = TransferRow {
            id: TransferId(free),
            debit_account: definition.debit_account,
            credit_account: definition.credit_account,
            amount: definition.amount,
            user_data_128: definition.user_data_128,
            ledger: definition.ledger,
            code: definition.code,
            ..TransferRow::default()
        };
        self.enter(&[row], &Payer::Anyone).map_err(|(_, refusal)| refusal)
    }

    /// The calendar has changed: all that is due is planned anew, at once, as there are few.
    pub(crate) fn reschedule(&mut self) -> Vec<EventBody> {
        let (orders, mut happened) = (std::mem::take(&mut self.bank.standing_orders), Vec::new());
        assert!(orders.len() <= STANDING_ORDERS_PLANNED_PER_RECORD_MAX);
        for (id, order) in orders {
            let definition = &order.definition;
            let again = if order.attempt > 1 {
                // What is attempted again keeps its day.
                StandingOrder { due: self.instant(order.day, definition.time_of_day_s), ..order }
            } else {
                match self.planned(definition, month_or_day(definition, order.occurrence)) {
                    Some(planned) => self.order_at(definition, planned),
                    None => {
                        happened.push(ended(id, StandingOrderEnd::Finished));
                        continue;
                    }
                }
            };
            self.bank.standing_orders.insert(id, again);
        }
        happened
    }
}

/// From where a date is planned anew: the end of a month may have moved within it.
fn month_or_day(order: &DefineStandingOrder, date: u32) -> u32 {
    match order.schedule {
        Schedule::MonthEnd => date + 1 - leaf(date).1,
        Schedule::Once | Schedule::Daily | Schedule::Weekly | Schedule::Monthly => date,
    }
}

/// From where the next date is looked for.
fn next_from(order: &DefineStandingOrder, date: u32) -> u32 {
    match order.schedule {
        Schedule::MonthEnd => date + 1 + days_of(leaf(date).0) - leaf(date).1,
        Schedule::Once | Schedule::Daily | Schedule::Weekly | Schedule::Monthly => date + 1,
    }
}

fn ended(order: u64, end: StandingOrderEnd) -> EventBody {
    events::StandingOrderEnded { order: StandingOrderId(order), end }.into()
}
