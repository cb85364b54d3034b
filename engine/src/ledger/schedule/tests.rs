//! Schedules beside somebody who turns the leaves of a calendar, one day after the other.

use protocol::commands::SetCalendar;
use protocol::{AccountId, Amount, AssetId, StandingOrderId};

use super::*;

/// A leaf: the day's number, its date, and whether the bank is open.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    day: u32,
    year: u32,
    month: u32,
    of_month: u32,
    is_open: bool,
}

const fn length(year: u32, month: u32) -> u32 {
    match month {
        2 if (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// So many days from 1970-01-01 on, which was a Thursday.
fn leaves(days: u32, calendar: Option<&SetCalendar>) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let (mut year, mut month, mut of_month, mut weekday) = (1970, 1, 1, 3);
    for day in 0..days {
        let is_open = calendar.is_none_or(|calendar| {
            calendar.weekend_days & (1 << weekday) == 0 && !calendar.holidays.contains(&day)
        });
        leaves.push(Leaf { day, year, month, of_month, is_open });
        weekday = (weekday + 1) % 7;
        of_month += 1;
        if of_month > length(year, month) {
            (month, of_month) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    leaves
}

/// Whether the schedule names this day.
fn names(order: &DefineStandingOrder, leaves: &[Leaf], leaf: &Leaf) -> bool {
    let first = leaves[order.first_date as usize];
    match order.schedule {
        Schedule::Once => leaf.day == order.first_date,
        Schedule::Daily => true,
        Schedule::Weekly => (leaf.day - order.first_date).is_multiple_of(7),
        Schedule::Monthly => leaf.of_month == first.of_month.min(length(leaf.year, leaf.month)),
        Schedule::MonthEnd => {
            let mut rest = leaves[leaf.day as usize + 1..].iter();
            let is_last = rest.by_ref().take_while(|next| next.month == leaf.month).all(|next| !next.is_open);
            leaf.is_open && is_last
        }
    }
}

/// Every execution up to `last_leaf`, in order.
fn naive(order: &DefineStandingOrder, leaves: &[Leaf], last_leaf: u32) -> Vec<Planned> {
    let mut all = Vec::new();
    for leaf in &leaves[order.first_date as usize..last_leaf as usize] {
        if order.last_date != 0 && leaf.day > order.last_date {
            break;
        }
        if !names(order, leaves, leaf) {
            continue;
        }
        let mut day = leaf.day;
        if !leaf.is_open {
            match order.day_rule {
                DayRule::Execute => {}
                DayRule::Next => {
                    while !leaves[day as usize].is_open {
                        day += 1;
                    }
                }
                DayRule::Previous => {
                    while !leaves[day as usize].is_open {
                        day -= 1;
                    }
                }
                DayRule::Skip => continue,
            }
        }
        all.push(Planned { occurrence: leaf.day, day });
    }
    all
}

fn order(schedule: Schedule, day_rule: DayRule, first_date: u32, last_date: u32) -> DefineStandingOrder {
    DefineStandingOrder {
        order: StandingOrderId(1),
        debit_account: AccountId(1),
        credit_account: AccountId(2),
        amount: Amount(1),
        ledger: AssetId(1),
        code: 1,
        schedule,
        first_date,
        last_date,
        time_of_day_s: 0,
        day_rule,
        retry_days: 0,
        user_data_128: 0,
    }
}

fn bank(weekend_days: u8, holidays: Vec<u32>) -> BankCalendar {
    let definition = SetCalendar {
        business_date: 1,
        weekend_days,
        holidays,
        value_back_days_max: 0,
        value_ahead_days_max: 0,
        utc_offset_s: 0,
        behind_utc: false,
    };
    BankCalendar { definition: Some(definition), closed: 0 }
}

fn planned_until(order: &DefineStandingOrder, calendar: &BankCalendar, end: u32) -> Vec<Planned> {
    let next = |before: &Planned| after(order, calendar, before.occurrence);
    let all = core::iter::successors(first(order, calendar), next);
    all.take_while(|planned| planned.occurrence < end).collect()
}

#[test]
fn schedules_name_the_days_that_a_calendar_of_leaves_shows() {
    const DAYS: u32 = 60 * 365;
    let mut seed = 11_u64;
    let mut below = move |bound: u32| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((seed >> 33) % u64::from(bound)).unwrap()
    };
    let mut executions = 0;
    for round in 0..60 {
        let weekend_days = [0, 0x60, 0x50, 0x61][below(4) as usize];
        let mut holidays: Vec<u32> = (0..below(400)).map(|_| 1 + below(DAYS)).collect();
        // A long feast.
        let feast = 1 + below(DAYS);
        holidays.extend(feast..feast + below(12));
        holidays.sort_unstable();
        holidays.dedup();
        let calendar = if round == 0 { BankCalendar::default() } else { bank(weekend_days, holidays) };
        let leaves = leaves(DAYS + 40, calendar.definition.as_ref());
        for &schedule in Schedule::ALL {
            for &day_rule in DayRule::ALL {
                let first_date = 30 + below(DAYS / 2);
                let last_date = if below(3) == 0 { first_date + below(9_000) } else { 0 };
                let order = order(schedule, day_rule, first_date, last_date);
                let found = planned_until(&order, &calendar, DAYS);
                // A single date that is left out, and weeks of holidays, are the only ends before.
                let weekly_on_weekend = schedule == Schedule::Weekly
                    && day_rule == DayRule::Skip
                    && weekend_days & (1 << ((first_date + 3) % 7)) != 0
                    && round != 0;
                if weekly_on_weekend {
                    assert_eq!(found, [], "{order:?}");
                    continue;
                }
                assert_eq!(found, naive(&order, &leaves, DAYS), "round {round}: {order:?}");
                executions += found.len();
            }
        }
    }
    assert!(executions > 1_000_000, "only {executions} executions");
}

#[test]
fn months_end_on_their_last_day() {
    let day = |year, month, day| u32::try_from(days_since_1970(year, month, day).unwrap()).unwrap();
    let none = BankCalendar::default();
    let monthly = order(Schedule::Monthly, DayRule::Execute, day(2027, 12, 31), 0);
    let dates: Vec<u32> = planned_until(&monthly, &none, day(2028, 5, 1)).iter().map(|p| p.day).collect();
    let leap = [day(2027, 12, 31), day(2028, 1, 31), day(2028, 2, 29), day(2028, 3, 31), day(2028, 4, 30)];
    assert_eq!(dates, leap);
    // Saturday and Sunday closed: 2026-01-30 is a Friday, 2026-02-27 as well.
    let weekend = bank(0x60, Vec::new());
    let month_end = order(Schedule::MonthEnd, DayRule::Execute, day(2026, 1, 31), 0);
    let dates: Vec<u32> =
        planned_until(&month_end, &weekend, day(2026, 4, 1)).iter().map(|p| p.day).collect();
    // The last business day of January lies before the first date.
    assert_eq!(dates, [day(2026, 2, 27), day(2026, 3, 31)]);
}

#[test]
fn nothing_is_due_behind_the_last_day() {
    let none = BankCalendar::default();
    let daily = order(Schedule::Daily, DayRule::Execute, LAST_DAY - 1, 0);
    assert_eq!(planned_until(&daily, &none, u32::MAX).len(), 2);
    let end = u64::from(LAST_DAY + 1) * NANOS_PER_DAY;
    assert!(end > u64::MAX / 2 && end - NANOS_PER_DAY <= u64::MAX / 2);
}
