//! Dates of the Gregorian calendar, by counting years from March so that the leap day is the last of its year.

use crate::UnixNanos;
use crate::time::NANOS_PER_DAY;

/// Days from 0000-03-01 to 1970-01-01, in the calendar that starts its years in March.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_PER_400_YEARS: u64 = 146_097;
/// The last year of four digits.
const YEAR_MAX: u64 = 9_999;
/// The last day that has a date, counted from 1970-01-01: the end of the year 9999.
pub const DAY_MAX: u32 = 2_932_896;

/// The day of the week of a day counted from 1970-01-01, which was a Thursday: 0 = Monday.
#[must_use]
pub const fn weekday(day: u32) -> u32 {
    day.wrapping_rem(7).wrapping_add(3).wrapping_rem(7)
}

/// Days from 1970-01-01 to a date; `None` if there is no such day, or it is earlier or later than the year 9999.
#[must_use]
#[expect(clippy::arithmetic_side_effects, reason = "year, month and day are in range")]
pub fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let in_month = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=YEAR_MAX).contains(&year) || day < 1 || day > in_month {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + of_year - EPOCH_DAYS)
}

/// Year, month and day of an instant, UTC.
#[must_use]
pub const fn date_of(time: UnixNanos) -> (u64, u64, u64) {
    // An instant has less than 2^18 days.
    date(time.0.wrapping_div(NANOS_PER_DAY))
}

/// Year, month and day of a day counted from 1970-01-01.
#[must_use]
pub fn date_of_day(day: u32) -> (u64, u64, u64) {
    date(u64::from(day))
}

#[expect(clippy::arithmetic_side_effects, reason = "there are less than 2^33 days")]
const fn date(day: u64) -> (u64, u64, u64) {
    let days = day + EPOCH_DAYS;
    let (era, of_era) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}
