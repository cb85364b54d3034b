//! Standing orders: transfers that execute themselves at the dates of a schedule, by timers of the order of commands.
//!
//! Of an order are kept its next execution, which of the schedule's dates that is, and how often it was attempted. An execution is an
//! ordinary transfer with an id of the record's millisecond. One that is refused is attempted again a day later, as often as the order
//! says, but never past its next date. What was due while nothing was executed is executed when the next record comes, in its order.
//!
//! Of an order that has ended nothing is kept but that its id was taken: the ids of one debit account's orders only rise. So an order that
//! was cancelled, or executed, is not defined once more by a message that comes late, whatever the calendar has become; and it costs one
//! number an account, which nobody can use up but for that account.
//!
//! Another calendar moves what is due, and a full table takes longer to plan than a record may: it is planned anew by id, a portion with
//! the calendar's own record and one before each that follows. Until all of them are, none is executed, for one that has not had its turn
//! may be due before those that have. So an execution is never by a calendar that is no longer in force, nor out of its order.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{CancelStandingOrder, DefineStandingOrder};
use protocol::limits::{
    RETRY_DAYS_MAX, STANDING_ORDER_ID_OF_PAYERS_MAX, STANDING_ORDERS_MAX, STANDING_ORDERS_OF_PAYERS_MAX,
    STANDING_ORDERS_PLANNED_PER_RECORD_MAX,
};
use protocol::rows::TransferRow;
use protocol::time::{NANOS_PER_DAY, NANOS_PER_MILLI};
use protocol::{
    AccountId, LedgerRefusal, RejectReason, StandingOrderEnd, StandingOrderId, TransferId, UnixNanos, events,
};

use super::Ledger;
use super::batch::{Batch, Payers};
use super::calendar::BankCalendar;
use super::entry::EntryStop;
use super::schedule::{self, LAST_DAY, Planned};
use crate::broken::{Broken, Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;
use crate::index::mix_u128;

const SECONDS_PER_DAY: u32 = 86_400;

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StandingOrder {
    pub(crate) definition: DefineStandingOrder,
    /// The date of its schedule whose execution is due next.
    pub(crate) occurrence: u32,
    /// The local day of that.
    pub(crate) day: u32,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u8,
    pub(crate) due: UnixNanos,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandingOrders {
    rows: BTreeMap<StandingOrderId, StandingOrder>,
    deadlines: BTreeSet<(UnixNanos, StandingOrderId)>,
    /// The highest id that an order of each debit account has had.
    taken: BTreeMap<AccountId, StandingOrderId>,
    /// Those from this id on are still planned by a calendar before the present one.
    pub(crate) outdated_from: Option<StandingOrderId>,
}

impl StandingOrder {
    /// What is due of it by a calendar, from its date on; what is attempted again keeps its day. `None` = nothing is any more.
    fn planned_by(&self, calendar: &BankCalendar) -> Option<Planned> {
        if self.attempt > 1 {
            return Some(Planned { occurrence: self.occurrence, day: self.day });
        }
        schedule::again(&self.definition, calendar, self.occurrence)
    }
}

impl StandingOrders {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Those from an id on, by id.
    pub(crate) fn range(&self, first: StandingOrderId) -> impl Iterator<Item = &StandingOrder> {
        self.rows.range(first..).map(|(_, row)| row)
    }

    /// All of them, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &StandingOrder> {
        self.rows.values()
    }

    /// The next one that is due; while the calendar's change is not through with all of them, none is.
    pub(crate) fn next_due(&self) -> Option<(UnixNanos, StandingOrderId)> {
        self.deadlines.first().copied().filter(|_| self.outdated_from.is_none())
    }

    /// The highest id that an order of each debit account has had, by account.
    pub(crate) fn taken(&self) -> impl ExactSizeIterator<Item = (AccountId, StandingOrderId)> {
        self.taken.iter().map(|(account, order)| (*account, *order))
    }

    /// This id, and none below it, is free for an order of this debit account any more.
    pub(crate) fn take_id(&mut self, debit: AccountId, order: StandingOrderId) {
        self.taken.insert(debit, order);
    }

    fn highest_taken(&self, debit: AccountId) -> StandingOrderId {
        self.taken.get(&debit).copied().unwrap_or_default()
    }

    /// Adds one whose id is not there.
    pub(crate) fn add(&mut self, order: StandingOrder) {
        let id = order.definition.order;
        self.deadlines.insert((order.due, id));
        self.rows.insert(id, order);
    }

    fn remove(&mut self, id: StandingOrderId) -> Option<StandingOrder> {
        let order = self.rows.remove(&id)?;
        self.deadlines.remove(&(order.due, id));
        Some(order)
    }

    /// Plans the next portion of what is outdated by the calendar. Returns those of which nothing is due any more.
    fn plan_portion(&mut self, calendar: &BankCalendar) -> Vec<StandingOrderId> {
        let mut over = Vec::new();
        let Some(from) = self.outdated_from else { return over };
        let mut outdated = self.rows.range_mut(from..);
        for (&id, order) in outdated.by_ref().take(STANDING_ORDERS_PLANNED_PER_RECORD_MAX) {
            let Some(Planned { occurrence, day }) = order.planned_by(calendar) else {
                over.push(id);
                continue;
            };
            (order.occurrence, order.day) = (occurrence, day);
            let due = calendar.instant(day, order.definition.time_of_day_s);
            if due != order.due {
                self.deadlines.remove(&(order.due, id));
                self.deadlines.insert((due, id));
                order.due = due;
            }
        }
        self.outdated_from = outdated.next().map(|(id, _)| *id);
        over
    }
}

impl Ledger {
    /// A transfer will execute itself.
    pub(crate) fn define_standing_order(
        &mut self,
        command: &DefineStandingOrder,
        payers: Payers<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(row) = self.row(command.debit_account) {
            ensure(payers.may_debit(self.accounts.at(row)), RejectReason::ClientNotEntitled)?;
        }
        if let Some(StandingOrder { definition, .. }) = self.standing_orders.rows.get(&command.order) {
            return Err(match definition.first_difference(command) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        let id_max = if payers.are_everybody() { u64::MAX } else { STANDING_ORDER_ID_OF_PAYERS_MAX };
        let is_free = command.order > self.standing_orders.highest_taken(command.debit_account);
        ensure_field(is_free && command.order.0 <= id_max, "order")?;
        self.check_standing_order(command)?;
        let planned = schedule::first(command, &self.calendar);
        let planned = planned.ok_or(refuse_field(RejectReason::FieldOutOfRange, "first_date"))?;
        let order = self.planned(command.clone(), planned);
        ensure_field(order.due > effects.time, "first_date")?;
        let max = if payers.are_everybody() { STANDING_ORDERS_MAX } else { STANDING_ORDERS_OF_PAYERS_MAX };
        ensure(self.standing_orders.len() < max, RejectReason::TableFull)?;
        let next_due_ns = order.due.0;
        self.standing_orders.take_id(command.debit_account, command.order);
        self.standing_orders.add(order);
        effects.push(events::StandingOrderDefined { definition: command.clone(), next_due_ns });
        Ok(())
    }

    fn check_standing_order(&self, command: &DefineStandingOrder) -> Result<(), Stop> {
        ensure_field(command.order.0 != 0, "order")?;
        ensure_field(command.amount.0 != 0, "amount")?;
        ensure_field(command.code != 0, "code")?;
        ensure_field((1..=LAST_DAY).contains(&command.first_date), "first_date")?;
        ensure_field(command.last_date == 0 || command.last_date >= command.first_date, "last_date")?;
        ensure_field(command.time_of_day_s < SECONDS_PER_DAY, "time_of_day_s")?;
        ensure_field(command.retry_days <= RETRY_DAYS_MAX, "retry_days")?;
        let accounts = [("debit_account", command.debit_account), ("credit_account", command.credit_account)];
        for (name, account) in accounts {
            let unknown = refuse_field(RejectReason::UnknownAccount, name);
            let row = self.row(account).ok_or(unknown)?;
            if self.accounts.at(row).ledger != command.ledger {
                return Err(refuse_field(RejectReason::AssetMismatch, name));
            }
        }
        ensure_field(command.debit_account != command.credit_account, "credit_account")
    }

    /// Nothing more is executed.
    pub(crate) fn cancel_standing_order(
        &mut self,
        command: &CancelStandingOrder,
        payers: Payers<'_>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &CancelStandingOrder { order } = command;
        let found = self.standing_orders.rows.get(&order).ok_or(RejectReason::UnknownStandingOrder)?;
        let debit = self.row(found.definition.debit_account).ok_or(RejectReason::UnknownAccount)?;
        ensure(payers.may_debit(self.accounts.at(debit)), RejectReason::ClientNotEntitled)?;
        self.standing_orders.remove(order);
        effects.push(events::StandingOrderEnded { order, end: StandingOrderEnd::Cancelled });
        Ok(())
    }

    fn planned(&self, definition: DefineStandingOrder, planned: Planned) -> StandingOrder {
        let Planned { occurrence, day } = planned;
        let due = self.calendar.instant(day, definition.time_of_day_s);
        StandingOrder { definition, occurrence, day, attempt: 1, due }
    }

    /// What is due of an order is attempted; what is due of it next follows from the schedule.
    pub(crate) fn execute_standing_order(
        &mut self,
        id: StandingOrderId,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let order = self.standing_orders.remove(id).ok_or(Broken::Index { what: "standing orders" })?;
        let (transfer, refusal) = self.attempt(&order, effects)?;
        let next = schedule::after(&order.definition, &self.calendar, order.occurrence);
        let next = next.map(|next| self.planned(order.definition.clone(), next));
        let retry = refusal.and_then(|_| self.retry(&order, effects.time));
        let retry = retry.filter(|retry| next.as_ref().is_none_or(|next| retry.due < next.due));
        let retried = retry.is_some();
        let next = retry.or(next);
        effects.push(events::StandingOrderAttempted {
            order: id,
            debit_account: order.definition.debit_account,
            credit_account: order.definition.credit_account,
            occurrence: order.occurrence,
            attempt: order.attempt,
            transfer,
            refusal,
            retried,
            next_due_ns: next.as_ref().map_or(0, |next| next.due.0),
        });
        match next {
            Some(next) => self.standing_orders.add(next),
            None => {
                effects.push(events::StandingOrderEnded { order: id, end: StandingOrderEnd::Finished });
            }
        }
        Ok(())
    }

    /// Moves the money, or says why not.
    fn attempt(
        &mut self,
        order: &StandingOrder,
        effects: &mut Effects<'_>,
    ) -> Result<(TransferId, Option<LedgerRefusal>), Broken> {
        let DefineStandingOrder { order: id, debit_account, credit_account, amount, ledger, .. } =
            order.definition;
        let transfer = self.free_id(id, effects);
        let row = TransferRow {
            id: transfer,
            debit_account,
            credit_account,
            amount,
            user_data_128: order.definition.user_data_128,
            ledger,
            code: order.definition.code,
            ..TransferRow::default()
        };
        let batch = Batch::new(effects.seq, effects.time, Payers::Everybody);
        match self.enter_transfers(&[row], &batch) {
            Ok(entered) => {
                effects.push(entered);
                Ok((transfer, None))
            }
            Err(EntryStop::Refused { refusal, .. }) => Ok((TransferId(0), Some(refusal))),
            Err(EntryStop::Broken(what)) => Err(what),
        }
    }

    /// An id of this millisecond that nobody has used, nor could have taken before: its rest follows from the nanosecond and the seq of a
    /// record that did not exist yet. How many are tried is bounded by the ids that are remembered.
    fn free_id(&self, order: StandingOrderId, effects: &Effects<'_>) -> TransferId {
        let (ms, place) =
            (effects.time.0 / NANOS_PER_MILLI, u128::from(effects.seq.0) << 64 | u128::from(order.0));
        let mut rest = mix_u128(place, effects.time.0);
        loop {
            let id = TransferId::at_ms(ms, rest.into());
            if self.recent.find(id).is_none() {
                return id;
            }
            rest = rest.wrapping_add(1);
        }
    }

    /// The same once more, at the same time of the next day that has not come there yet.
    fn retry(&self, order: &StandingOrder, now: UnixNanos) -> Option<StandingOrder> {
        let attempt = order.attempt.checked_add(1)?;
        if order.attempt > order.definition.retry_days {
            return None;
        }
        let late_ns = now.0.saturating_sub(order.due.0);
        let late_days = u32::try_from(late_ns / NANOS_PER_DAY).unwrap_or(u32::MAX);
        let day = order.day.saturating_add(late_days).saturating_add(1);
        let due = self.calendar.instant(day, order.definition.time_of_day_s);
        Some(StandingOrder { day, attempt, due, ..order.clone() })
    }

    /// The calendar has changed: all orders are outdated, and planned anew a portion at a time.
    pub(super) fn outdate_standing_orders(&mut self, effects: &mut Effects<'_>) {
        self.standing_orders.outdated_from = Some(StandingOrderId(0));
        self.plan_standing_orders(effects);
    }

    /// Plans the next portion of orders that the calendar has outdated, if it has.
    #[inline]
    pub(crate) fn plan_standing_orders(&mut self, effects: &mut Effects<'_>) {
        if self.standing_orders.outdated_from.is_some() {
            self.plan_outdated(effects);
        }
    }

    #[cold]
    fn plan_outdated(&mut self, effects: &mut Effects<'_>) {
        for order in self.standing_orders.plan_portion(&self.calendar) {
            self.standing_orders.remove(order);
            effects.push(events::StandingOrderEnded { order, end: StandingOrderEnd::Finished });
        }
    }

    /// Every order could be commanded, and has its deadline.
    pub(super) fn check_standing_orders(&self) -> Result<(), Broken> {
        let StandingOrders { rows, deadlines, taken, outdated_from: _ } = &self.standing_orders;
        let is_sound = |(id, order): (&StandingOrderId, &StandingOrder)| {
            order.definition.order == *id
                && (1..=order.definition.retry_days.saturating_add(1)).contains(&order.attempt)
                && order.occurrence <= LAST_DAY
                && self.check_standing_order(&order.definition).is_ok()
                && *id <= self.standing_orders.highest_taken(order.definition.debit_account)
                && deadlines.contains(&(order.due, *id))
        };
        let were_defined = taken.iter().all(|(debit, order)| order.0 != 0 && self.row(*debit).is_some());
        let is_sound = rows.len() == deadlines.len() && rows.iter().all(is_sound) && were_defined;
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "standing orders" }) }
    }
}
