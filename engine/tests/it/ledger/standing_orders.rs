//! Standing orders beside somebody who looks at the clock, goes through all of them, and takes the one that is due first.

use std::collections::{BTreeMap, BTreeSet};

use engine::Engine;
use protocol::commands::{
    CancelStandingOrder, CreateAccounts, CreateTransfers, DefineStandingOrder, Pulse, SetCalendar,
};
use protocol::event::Event;
use protocol::limits::{STANDING_ORDERS_PER_RECORD_MAX, STANDING_ORDERS_PLANNED_PER_RECORD_MAX};
use protocol::rows::{AccountRow, TransferRow};
use protocol::{
    AccountId, Amount, AssetId, DayRule, EventBody, LedgerRefusal, RejectReason, Schedule, StandingOrderId,
    TransferId, UnixNanos,
};

use crate::definitions;
use crate::numbers::Numbers;
use crate::world::World;

const DAY: u64 = 86_400_000_000_000;
const CASH: u128 = 301;
const ANN: u128 = 302;
const RENT: u128 = 303;

/// Money comes from an account that may be overdrawn; it goes from Ann to the rent.
fn world() -> World {
    let mut world = World::with_genesis();
    world.set_up(definitions::asset(2, "TRY", 2));
    let row = |id: u128| AccountRow {
        flags: if id == ANN { definitions::account_row(1, 2).flags } else { 0 },
        ..definitions::account_row(id, 2)
    };
    world.operator(CreateAccounts { accounts: [CASH, ANN, RENT].map(row).into() });
    world
}

fn order(id: u64, schedule: Schedule, first_date: u64, time_of_day_s: u32) -> DefineStandingOrder {
    DefineStandingOrder {
        order: StandingOrderId(id),
        debit_account: AccountId(ANN),
        credit_account: AccountId(RENT),
        amount: Amount(1),
        ledger: AssetId(2),
        code: 1,
        schedule,
        first_date: u32::try_from(first_date).unwrap(),
        last_date: 0,
        time_of_day_s,
        day_rule: DayRule::Execute,
        retry_days: 0,
        user_data_128: 0,
    }
}

fn fund(world: &mut World, number: u64, amount: u128) {
    let id = definitions::transfer_id(world.time / 1_000_000, number);
    world.operator(CreateTransfers { transfers: vec![definitions::transfer_row(id, CASH, ANN, amount)] });
}

/// Order, date, attempt, and why not.
type Attempt = (u64, u32, u8, Option<LedgerRefusal>);

fn attempts(events: &[Event]) -> Vec<Attempt> {
    let attempt = |event: &Event| {
        let EventBody::StandingOrderAttempted(attempted) = &event.body else { return None };
        Some((attempted.order.0, attempted.occurrence, attempted.attempt, attempted.refusal))
    };
    events.iter().filter_map(attempt).collect()
}

/// When the bank is closed, and what local time is.
#[derive(Clone, Default)]
struct Bank {
    weekend_days: u8,
    holidays: Vec<u32>,
    /// Ahead of UTC.
    offset_s: i64,
}

impl Bank {
    fn any(numbers: &mut Numbers, today: u64) -> Self {
        let holidays = (0..numbers.below(12)).map(|_| today + numbers.below(60));
        let mut holidays: Vec<u32> = holidays.map(|day| u32::try_from(day).unwrap()).collect();
        holidays.sort_unstable();
        holidays.dedup();
        let offset_s = i64::try_from(numbers.below(20)).unwrap() * 3_600 - 10 * 3_600;
        Self { weekend_days: *numbers.pick(&[0, 0x60, 0x50, 0x3E]), holidays, offset_s }
    }

    /// `number` only makes it another one than the calendar before.
    fn command(&self, number: u64) -> SetCalendar {
        SetCalendar {
            business_date: 20_000,
            weekend_days: self.weekend_days,
            holidays: self.holidays.clone(),
            value_back_days_max: u16::try_from(number).unwrap(),
            value_ahead_days_max: 0,
            utc_offset_s: u32::try_from(self.offset_s.abs()).unwrap(),
            behind_utc: self.offset_s < 0,
        }
    }

    /// 1970-01-01 was a Thursday.
    fn is_open(&self, day: u64) -> bool {
        self.weekend_days >> ((day + 3) % 7) & 1 == 0
            && !self.holidays.iter().any(|&closed| day == u64::from(closed))
    }

    fn instant(&self, day: u64, time_of_day_s: u32) -> u64 {
        let local = day * DAY + u64::from(time_of_day_s) * 1_000_000_000;
        local.checked_add_signed(-self.offset_s * 1_000_000_000).unwrap()
    }
}

/// What is due of an order.
#[derive(Clone)]
struct Next {
    order: DefineStandingOrder,
    date: u64,
    day: u64,
    attempt: u8,
    due: u64,
}

impl Next {
    /// The first execution of this date or a later one.
    fn plan(order: &DefineStandingOrder, date: u64, bank: &Bank) -> Option<Self> {
        let mut date = date;
        for _ in 0..100 {
            if order.last_date != 0 && date > u64::from(order.last_date) {
                return None;
            }
            let mut day = date;
            let step = match order.day_rule {
                DayRule::Execute | DayRule::Skip => 0,
                DayRule::Next => 1,
                DayRule::Previous => -1,
            };
            while step != 0 && !bank.is_open(day) {
                day = day.checked_add_signed(step).unwrap();
            }
            if order.day_rule != DayRule::Skip || bank.is_open(day) {
                let due = bank.instant(day, order.time_of_day_s);
                return Some(Self { order: order.clone(), date, day, attempt: 1, due });
            }
            date += days_between(order)?;
        }
        None
    }

    fn after(&self, bank: &Bank) -> Option<Self> {
        Self::plan(&self.order, self.date + days_between(&self.order)?, bank)
    }

    fn again(&self, now: u64) -> Option<Self> {
        let (mut due, mut day) = (self.due + DAY, self.day + 1);
        while due <= now {
            (due, day) = (due + DAY, day + 1);
        }
        let attempt = self.attempt + 1;
        (self.attempt <= self.order.retry_days).then(|| Self { attempt, due, day, ..self.clone() })
    }

    /// Under another calendar.
    fn moved(&self, bank: &Bank) -> Option<Self> {
        if self.attempt > 1 {
            return Some(Self { due: bank.instant(self.day, self.order.time_of_day_s), ..self.clone() });
        }
        Self::plan(&self.order, self.date, bank)
    }
}

/// Between two dates of a schedule by days; the others are tested beside the leaves of a calendar.
fn days_between(order: &DefineStandingOrder) -> Option<u64> {
    match order.schedule {
        Schedule::Daily => Some(1),
        Schedule::Weekly => Some(7),
        Schedule::Once | Schedule::Monthly | Schedule::MonthEnd => None,
    }
}

/// All that is known by hand.
#[derive(Default)]
struct ByHand {
    bank: Bank,
    orders: BTreeMap<u64, Next>,
    /// Whose turn it is to be moved under the calendar that was set last; then that of those behind it.
    turn: Option<u64>,
    /// What Ann has.
    free: u128,
    executed: usize,
    refused: usize,
}

impl ByHand {
    /// Another calendar.
    fn set_bank(&mut self, bank: Bank) {
        (self.bank, self.turn) = (bank, Some(0));
        self.move_some();
    }

    /// As many as are moved at once.
    fn move_some(&mut self) {
        let Some(turn) = self.turn else { return };
        let ids: Vec<u64> = self.orders.keys().copied().filter(|id| *id >= turn).collect();
        for id in ids.iter().take(STANDING_ORDERS_PLANNED_PER_RECORD_MAX) {
            let moved = self.orders.remove(id).and_then(|next| next.moved(&self.bank));
            moved.map(|next| self.orders.insert(*id, next));
        }
        self.turn = ids.get(STANDING_ORDERS_PLANNED_PER_RECORD_MAX).copied();
    }

    /// What becomes of all that is due at `now`, one at a time, once all have been moved.
    fn execute(&mut self, now: u64) -> Vec<Attempt> {
        let mut found = Vec::new();
        self.move_some();
        if self.turn.is_some() {
            return found;
        }
        for _ in 0..STANDING_ORDERS_PER_RECORD_MAX {
            let due = self.orders.values().filter(|next| next.due <= now);
            let due = due.min_by_key(|next| (next.due, next.order.order)).cloned();
            let Some(next) = due else { break };
            let (id, amount) = (next.order.order.0, next.order.amount.0);
            self.orders.remove(&id);
            let is_anns = next.order.debit_account == AccountId(ANN);
            let refusal = (is_anns && amount > self.free).then_some(LedgerRefusal::ExceedsCredits);
            found.push((id, u32::try_from(next.date).unwrap(), next.attempt, refusal));
            let (after, mut again) = (next.after(&self.bank), None);
            if refusal.is_some() {
                let comes_first = |again: &Next| after.as_ref().is_none_or(|after| again.due < after.due);
                again = next.again(now).filter(comes_first);
                self.refused += 1;
            } else {
                self.free -= if is_anns { amount } else { 0 };
                self.executed += 1;
            }
            again.or(after).map(|next| self.orders.insert(id, next));
        }
        found
    }

    /// One command, and what it and its time do.
    fn step(&mut self, world: &mut World, numbers: &mut Numbers, step: u64) {
        let now = world.time + 1_000;
        match numbers.below(9) {
            0..=1 => {
                let order = any_order(numbers, step, now / DAY);
                let expected = self.execute(now);
                let events = world.operator(order.clone());
                assert_eq!(attempts(&events), expected);
                let first = Next::plan(&order, order.first_date.into(), &self.bank);
                self.orders.extend(first.filter(|next| next.due > now).map(|next| (step, next)));
            }
            2 if numbers.below(4) == 0 && !self.orders.is_empty() => {
                let id = *numbers.pick(&self.orders.keys().copied().collect::<Vec<_>>());
                let expected = self.execute(now);
                let events = world.operator(CancelStandingOrder { order: StandingOrderId(id) });
                assert_eq!(attempts(&events), expected);
                self.orders.remove(&id);
            }
            3..=4 => {
                let amount = numbers.below(200).into();
                self.execute(now);
                fund(world, step, amount);
                self.free += amount;
            }
            5 => {
                let bank = Bank::any(numbers, now / DAY);
                let expected = self.execute(now);
                let events = world.operator(bank.command(step));
                assert_eq!(attempts(&events), expected);
                self.set_bank(bank);
            }
            _ => {
                // Sometimes nothing is executed for days.
                let hours = if numbers.below(5) == 0 { numbers.below(24 * 9) } else { numbers.below(30) };
                world.wait_ns(hours * DAY / 24);
                let expected = self.execute(world.time + 1_000);
                assert_eq!(attempts(&world.system(Pulse {})), expected);
            }
        }
    }
}

fn any_order(numbers: &mut Numbers, id: u64, today: u64) -> DefineStandingOrder {
    let schedule = *numbers.pick(&[Schedule::Once, Schedule::Daily, Schedule::Weekly]);
    let first_date = today + numbers.between(1, 5);
    let time_of_day_s = u32::try_from(numbers.below(4) * 21_600).unwrap();
    let days = numbers.below(40);
    DefineStandingOrder {
        amount: Amount(numbers.between(1, 30).into()),
        retry_days: u8::try_from(numbers.below(6)).unwrap(),
        day_rule: *numbers.pick(DayRule::ALL),
        last_date: if days < 10 { 0 } else { u32::try_from(first_date + days).unwrap() },
        ..order(id, schedule, first_date, time_of_day_s)
    }
}

/// Every order, and when it is due, is as by hand; so is when something happens next.
fn compare(world: &World, by_hand: &ByHand, context: &str) {
    let found: Vec<_> = world.engine.standing_orders().map(|(order, due)| (order.order.0, due.0)).collect();
    let expected: Vec<_> = by_hand.orders.iter().map(|(&id, next)| (id, next.due)).collect();
    assert!(found == expected, "{context}: {found:?} for {expected:?}");
    let first = by_hand.orders.values().map(|next| next.due).min();
    let first = by_hand.turn.map_or(first, |_| Some(world.engine.time().0));
    assert_eq!(world.engine.next_timer(), first.map(UnixNanos), "{context}");
}

fn run(seed: u64) -> (usize, usize) {
    let mut numbers = Numbers(seed);
    let mut world = world();
    let mut by_hand = ByHand::default();
    for step in 1..=200_u64 {
        by_hand.step(&mut world, &mut numbers, step);
        compare(&world, &by_hand, &format!("seed {seed} step {step}"));
        if numbers.below(6) == 0 {
            start_again(&mut world);
        }
    }
    (by_hand.executed, by_hand.refused)
}

/// From a snapshot.
fn start_again(world: &mut World) {
    let mut bytes = Vec::new();
    world.engine.snapshot(&mut bytes);
    world.engine = Engine::restore(&bytes).unwrap();
}

#[test]
fn standing_orders_are_attempted_as_by_hand() {
    let (executed, refused) = (0..60).map(run).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(executed > 1_000 && refused > 1_000, "{executed} executed, {refused} refused");
}

/// A table of which several portions are planned anew, while calendars change, orders come and go, and some are due.
#[test]
fn many_orders_are_planned_anew_in_portions() {
    let (mut executed, mut planning) = (0, 0);
    for seed in 100..103 {
        let mut numbers = Numbers(seed);
        let mut world = world();
        let mut by_hand = ByHand::default();
        fund(&mut world, 1, 1_000_000);
        by_hand.free = 1_000_000;
        let count = 3 * u64::try_from(STANDING_ORDERS_PLANNED_PER_RECORD_MAX).unwrap() + numbers.below(3);
        // Others are defined between these later, of Ann's: the ids of each account's orders only rise.
        for id in (1..=count).map(|number| number * 20) {
            let debit_account = AccountId(CASH);
            let order =
                DefineStandingOrder { debit_account, ..any_order(&mut numbers, id, world.time / DAY) };
            world.set_up(order.clone());
            let first = Next::plan(&order, order.first_date.into(), &by_hand.bank);
            by_hand.orders.extend(first.map(|next| (id, next)));
        }
        for step in 1..=60 {
            let context = format!("seed {seed} step {step}");
            by_hand.step(&mut world, &mut numbers, step * 1_000 + 1);
            compare(&world, &by_hand, &context);
            if by_hand.turn.is_some() {
                planning += 1;
                start_again(&mut world);
            }
        }
        executed += by_hand.executed;
    }
    assert!(executed > 2_000 && planning > 20, "{executed} executed, {planning} steps of planning");
}

#[test]
fn more_than_fit_before_one_record_wait_for_the_next_in_their_order() {
    let mut world = world();
    fund(&mut world, 1, 1_000);
    let tomorrow = world.time / DAY + 1;
    let count = u64::try_from(STANDING_ORDERS_PER_RECORD_MAX).unwrap() * 2 + 5;
    (1..=count).for_each(|id| world.set_up(order(id, Schedule::Once, tomorrow, 0)));
    world.time = tomorrow * DAY;
    let mut found = Vec::new();
    for _ in 0..3 {
        let events = world.system(Pulse {});
        let now: Vec<u64> = attempts(&events).iter().map(|(id, ..)| *id).collect();
        assert!(now.len() <= STANDING_ORDERS_PER_RECORD_MAX);
        found.extend(now);
    }
    assert_eq!(found, (1..=count).collect::<Vec<_>>());
    assert_eq!(world.engine.next_timer(), None);
    assert_eq!(world.engine.account(AccountId(RENT)).unwrap().credits, Amount(count.into()));
}

/// A holiday is taken back on the day itself: what was moved to the next day is due at once, but not before all have been planned anew.
#[test]
fn none_is_executed_until_all_are_planned_anew() {
    let mut world = world();
    fund(&mut world, 1, 10_000);
    let tomorrow = world.time / DAY + 1;
    let mut bank = Bank { holidays: vec![u32::try_from(tomorrow).unwrap()], ..Bank::default() };
    world.operator(bank.command(0));
    let portion = u64::try_from(STANDING_ORDERS_PLANNED_PER_RECORD_MAX).unwrap();
    let count = 2 * portion + 1;
    for id in 1..=count {
        world.set_up(DefineStandingOrder {
            day_rule: DayRule::Next,
            ..order(id, Schedule::Once, tomorrow, 0)
        });
    }
    world.time = tomorrow * DAY + DAY / 2;
    assert_eq!(attempts(&world.system(Pulse {})), []);
    assert_eq!(world.engine.next_timer(), Some(UnixNanos((tomorrow + 1) * DAY)));
    bank.holidays.clear();
    let now_at =
        |world: &World| world.engine.standing_orders().filter(|(_, due)| due.0 == tomorrow * DAY).count();
    let events = world.operator(bank.command(1));
    assert_eq!((attempts(&events), now_at(&world)), (vec![], STANDING_ORDERS_PLANNED_PER_RECORD_MAX));
    assert_eq!(attempts(&world.system(Pulse {})), []);
    assert_eq!(now_at(&world), 2 * STANDING_ORDERS_PLANNED_PER_RECORD_MAX);
    assert_eq!(world.engine.next_timer(), Some(world.engine.time()));
    let mut found = Vec::new();
    while world.engine.next_timer().is_some() {
        let now = attempts(&world.system(Pulse {}));
        assert!(!now.is_empty() && now.len() <= STANDING_ORDERS_PER_RECORD_MAX);
        found.extend(now.iter().map(|(id, ..)| *id));
    }
    assert_eq!(found, (1..=count).collect::<Vec<_>>());
    assert_eq!(world.engine.account(AccountId(RENT)).unwrap().credits, Amount(count.into()));
}

/// Ids of what executes itself in this world's next record, which comes at this time.
fn entered_ids(world: &mut World, time: u64) -> Vec<TransferId> {
    world.time = time;
    let events = world.system(Pulse {});
    let entered = events.iter().filter_map(|event| {
        let EventBody::TransfersEntered(entered) = &event.body else { return None };
        Some(entered.transfers[0].id)
    });
    entered.collect()
}

#[test]
fn nobody_takes_the_id_of_an_execution_before_it() {
    let prepare = || {
        let mut world = world();
        fund(&mut world, 1, 1_000);
        let tomorrow = world.time / DAY + 1;
        world.set_up(order(77, Schedule::Once, tomorrow, 0));
        (world, tomorrow * DAY)
    };
    let (mut foretold, due) = prepare();
    let [taken] = entered_ids(&mut foretold, due)[..] else { panic!("it was not due alone") };
    assert_eq!(taken.ms(), due / 1_000_000);
    // Who knew the time to the nanosecond, and took the id, would have made a record of its own by that.
    let (mut world, due) = prepare();
    world.time = due - 1_000_000_000;
    let row = TransferRow { id: taken, ..definitions::transfer_row(taken, CASH, RENT, 5) };
    let events = world.operator(CreateTransfers { transfers: vec![row] });
    let EventBody::TransfersCreated(made) = &events[0].body else { panic!("{events:?}") };
    assert_eq!(made.created, 1);
    let [id] = entered_ids(&mut world, due)[..] else { panic!("it was not executed") };
    assert!(id != taken && id.ms() == taken.ms(), "{id:?}, {taken:?}");
}

#[test]
fn executions_before_one_record_have_ids_of_their_own() {
    let mut world = world();
    fund(&mut world, 1, 1_000);
    let tomorrow = world.time / DAY + 1;
    (76..=78).for_each(|id| world.set_up(order(id, Schedule::Daily, tomorrow, 0)));
    let ids = entered_ids(&mut world, (tomorrow + 10) * DAY);
    assert_eq!(ids.len(), 33);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 33);
}

#[test]
fn an_order_that_has_ended_is_not_defined_again_whatever_the_calendar_becomes() {
    let mut world = world();
    fund(&mut world, 1, 1_000);
    let tomorrow = world.time / DAY + 1;
    let once =
        |id| DefineStandingOrder { day_rule: DayRule::Next, ..order(id, Schedule::Once, tomorrow, 3_600) };
    let cancelled = DefineStandingOrder { schedule: Schedule::Daily, ..once(4) };
    [cancelled.clone(), once(5)].into_iter().for_each(|define| world.set_up(define));
    world.set_up(CancelStandingOrder { order: StandingOrderId(4) });
    let again = |world: &mut World, define: &DefineStandingOrder| {
        let (events, refused) = (world.operator(define.clone()), RejectReason::FieldOutOfRange);
        let EventBody::Replied(reply) = &events[0].body else { panic!("{events:?}") };
        assert_eq!(
            (reply.refusal, reply.field.as_bytes()),
            (Some(refused), b"order".as_slice()),
            "{define:?}"
        );
    };
    again(&mut world, &cancelled);
    assert_eq!(entered_ids(&mut world, tomorrow * DAY + 3_600_000_000_000).len(), 1);
    // The day becomes a holiday behind its time: the first date of either would lie ahead once more.
    let bank = Bank { holidays: vec![u32::try_from(tomorrow).unwrap()], ..Bank::default() };
    world.operator(bank.command(0));
    [cancelled, once(5), once(3)].iter().for_each(|define| again(&mut world, define));
    world.set_up(once(6));
}
