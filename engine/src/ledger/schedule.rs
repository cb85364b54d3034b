//! The days of a schedule: which dates it names, and to which day each of them moves where the bank is closed.

use protocol::calendar::{date_of, days_since_1970};
use protocol::commands::DefineStandingOrder;
use protocol::time::NANOS_PER_DAY;
use protocol::{DayRule, Schedule, UnixNanos};

use super::calendar::BankCalendar;

/// The last day on which anything is due: later times are left to what is counted from there.
pub(super) const LAST_DAY: u32 = 106_751;
/// Dates of a schedule that may pass one behind the other on which it is not executed; then it is over.
const DATES_PASSED_MAX: u32 = 100;
/// How far an execution is moved to find a business day.
const DAYS_MOVED_MAX: u32 = 4_000;

/// One execution, as it is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// The date that the schedule names.
    pub(super) occurrence: u32,
    /// The day on which it is executed.
    pub(super) day: u32,
}

/// The first execution of an order.
pub(super) fn first(order: &DefineStandingOrder, calendar: &BankCalendar) -> Option<Planned> {
    let from = match order.schedule {
        Schedule::Once | Schedule::Daily | Schedule::Weekly | Schedule::Monthly => Some(order.first_date),
        Schedule::MonthEnd => in_month(order.first_date, 0, 31),
    };
    plan(order, calendar, from)
}

/// The execution behind that of `occurrence`.
pub(super) fn after(
    order: &DefineStandingOrder,
    calendar: &BankCalendar,
    occurrence: u32,
) -> Option<Planned> {
    plan(order, calendar, next_date(order, occurrence))
}

/// The execution of `occurrence`, or of the date that has taken its place since the calendar changed.
pub(super) fn again(
    order: &DefineStandingOrder,
    calendar: &BankCalendar,
    occurrence: u32,
) -> Option<Planned> {
    let from = match order.schedule {
        Schedule::Once | Schedule::Daily | Schedule::Weekly | Schedule::Monthly => Some(occurrence),
        Schedule::MonthEnd => in_month(occurrence, 0, 31),
    };
    plan(order, calendar, from)
}

/// The first date from this one on, in the steps of the schedule, that is executed on some day.
fn plan(order: &DefineStandingOrder, calendar: &BankCalendar, from: Option<u32>) -> Option<Planned> {
    let mut date = from;
    for _ in 0..DATES_PASSED_MAX {
        let named = date.filter(|&date| date <= LAST_DAY)?;
        let occurrence = match order.schedule {
            Schedule::Once | Schedule::Daily | Schedule::Weekly | Schedule::Monthly => Some(named),
            Schedule::MonthEnd => last_business_day(calendar, named).filter(|&day| day >= order.first_date),
        };
        let is_over = order.last_date != 0 && occurrence.unwrap_or(named) > order.last_date;
        if is_over {
            return None;
        }
        let day = occurrence.and_then(|occurrence| moved(order, calendar, occurrence));
        if let (Some(occurrence), Some(day)) = (occurrence, day) {
            return Some(Planned { occurrence, day });
        }
        date = next_date(order, named);
    }
    None
}

/// The date that the schedule names behind this one.
fn next_date(order: &DefineStandingOrder, date: u32) -> Option<u32> {
    match order.schedule {
        Schedule::Once => None,
        Schedule::Daily => date.checked_add(1),
        Schedule::Weekly => date.checked_add(7),
        Schedule::Monthly => in_month(date, 1, date_of(midnight(order.first_date)).2),
        Schedule::MonthEnd => in_month(date, 1, 31),
    }
}

/// The day on which the execution of a date takes place; `None` where it is left out.
fn moved(order: &DefineStandingOrder, calendar: &BankCalendar, date: u32) -> Option<u32> {
    let is_open = |day: &u32| calendar.is_business_day(*day);
    if is_open(&date) {
        return Some(date);
    }
    match order.day_rule {
        DayRule::Execute => Some(date),
        DayRule::Next => (date..date.saturating_add(DAYS_MOVED_MAX)).find(is_open),
        DayRule::Previous => (date.saturating_sub(DAYS_MOVED_MAX)..date).rev().find(is_open),
        DayRule::Skip => None,
    }
}

/// The last business day of the month that ends on `month_end`.
fn last_business_day(calendar: &BankCalendar, month_end: u32) -> Option<u32> {
    let first = in_month(month_end, 0, 1)?;
    (first..=month_end).rev().find(|&day| calendar.is_business_day(day))
}

/// This day, or the last one if there is none such, of the month so many behind that of `date`.
fn in_month(date: u32, months: u64, day: u64) -> Option<u32> {
    let (year, month, _) = date_of(midnight(date));
    // Months counted from 0, over the years.
    let month = year.checked_mul(12)?.checked_add(month)?.checked_add(months)?.checked_sub(1)?;
    let (year, month) = (month.checked_div(12)?, month.checked_rem(12)?.checked_add(1)?);
    let found = (1..=day).rev().find_map(|day| days_since_1970(year, month, day))?;
    u32::try_from(found).ok()
}

fn midnight(date: u32) -> UnixNanos {
    UnixNanos(u64::from(date).saturating_mul(NANOS_PER_DAY))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
