//! Instants as people write them: RFC 3339 in UTC.

use protocol::UnixNanos;
use protocol::calendar::{date_of, date_of_day, days_since_1970};
use protocol::time::NANOS_PER_SECOND;

use crate::fault::NodeFault;

const DAY_S: u64 = 86_400;
/// The days of a week, in the order of their bits.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `2026-03-01T12:00:00Z`, with a fraction of up to nine digits where there is one.
pub(crate) fn write(time: UnixNanos) -> String {
    let (seconds, nanos) = (time.0 / NANOS_PER_SECOND, time.0 % NANOS_PER_SECOND);
    let (year, month, day) = date_of(time);
    let of_day = seconds % DAY_S;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let fraction = format!("{nanos:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{point}{fraction}Z")
}

/// Reads the value of an option.
pub(crate) fn of_option(name: &str, text: &str) -> Result<UnixNanos, NodeFault> {
    read(text).ok_or_else(|| NodeFault::Usage(format!("{name} {text:?} is no instant")))
}

/// Reads what [`write`] writes. `None`: it is no instant, or lies before 1970 or after 2554.
pub(crate) fn read(text: &str) -> Option<UnixNanos> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if hour > 23 || minute > 59 || second > 59 || !is_fraction {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = days_since_1970(year, month, day)? * DAY_S + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos).map(UnixNanos)
}

/// `2026-03-01` of days since 1970-01-01.
pub(crate) fn write_date(day: u32) -> String {
    let (year, month, day) = date_of_day(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads what [`write_date`] writes. `None`: it is no day from 1970 to 9999.
pub(crate) fn read_date(text: &str) -> Option<u32> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    u32::try_from(days_since_1970(year, month, day)?).ok()
}

/// Reads an offset from UTC such as `+03:00`: seconds, and whether behind it.
pub(crate) fn read_offset(text: &str) -> Option<(u32, bool)> {
    let (sign, rest) = text.split_at_checked(1).filter(|(sign, _)| matches!(*sign, "+" | "-"))?;
    let (hours, minutes) = rest.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let minutes: u32 = minutes.parse().ok().filter(|minutes| *minutes < 60)?;
    let seconds = hours.parse::<u32>().ok()? * 3_600 + minutes * 60;
    Some((seconds, sign == "-" && seconds > 0))
}

/// Writes what [`read_offset`] reads.
pub(crate) fn write_offset(utc_offset_s: u32, behind_utc: bool) -> String {
    let (sign, minutes) = (if behind_utc { '-' } else { '+' }, utc_offset_s / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::calendar::DAY_MAX;

    #[test]
    fn every_date_is_written_and_read_again() {
        for day in (0..100_000).chain([DAY_MAX]) {
            assert_eq!(read_date(&write_date(day)), Some(day));
        }
        assert_eq!(
            (write_date(20_787), write_date(DAY_MAX)),
            ("2026-11-30".to_owned(), "9999-12-31".to_owned())
        );
        for text in ["", "2026-02-29", "2026-3-01", "2026-03-01T", "10000-01-01", "1969-12-31"] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_is_written_and_read_again() {
        let mut before = String::new();
        for day in 0..213_000 {
            let time = UnixNanos(day * DAY_S * NANOS_PER_SECOND + day);
            let text = write(time);
            assert!(text > before, "{text} behind {before}");
            assert_eq!(read(&text), Some(time), "{text}");
            before = text;
        }
        assert_eq!(write(UnixNanos(951_782_400 * NANOS_PER_SECOND)), "2000-02-29T00:00:00Z");
        assert_eq!(read("2026-11-30T02:10:07.5Z"), Some(UnixNanos(1_796_004_607_500_000_000)));
    }

    #[test]
    fn what_is_no_instant_is_not_read() {
        for text in [
            "",
            "Z",
            "2026-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-1-01T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+00Z",
            "9999-01-01T00:00:00Z",
            "2026-01-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
