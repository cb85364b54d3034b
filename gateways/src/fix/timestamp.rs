//! UTCTimestamp: `YYYYMMDD-HH:MM:SS` with up to nine decimals. We write three, as FIX 4.4 has it.

use protocol::UnixNanos;
use protocol::calendar::{date_of, days_since_1970};
use protocol::time::{NANOS_PER_DAY, NANOS_PER_MILLI, NANOS_PER_SECOND};

const DAY_S: u64 = 86_400;

/// Bytes of a timestamp with milliseconds.
pub(crate) const MILLIS_BYTES: usize = 21;

/// Reads a timestamp; a leap second counts as the second after it.
pub(crate) fn parse(text: &[u8]) -> Option<UnixNanos> {
    let (whole, decimals) = text.split_at_checked(17)?;
    let number = |from: usize, to: usize| super::message::number(whole.get(from..to)?);
    let separators = [(8, b'-'), (11, b':'), (14, b':')];
    if separators.iter().any(|&(at, byte)| whole[at] != byte) {
        return None;
    }
    let date = days_since_1970(number(0, 4)?, number(4, 6)?, number(6, 8)?)?;
    let (hour, minute, second) = (number(9, 11)?, number(12, 14)?, number(15, 17)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanos = match decimals.split_first() {
        None => 0,
        Some((b'.', digits)) if (1..=9).contains(&digits.len()) => {
            let scale = 10_u64.pow(9 - u32::try_from(digits.len()).ok()?);
            super::message::number(digits)? * scale
        }
        Some(_) => return None,
    };
    let seconds = date * DAY_S + hour * 3_600 + minute * 60 + second;
    Some(UnixNanos(seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)?))
}

/// Whether the text is a date, `YYYYMMDD`.
pub(crate) fn is_date(text: &[u8]) -> bool {
    date(text).is_some()
}

/// The midnight, UTC, that ends a date; `None` if it is no date, or later than what can be counted.
pub(crate) fn end_of_date(text: &[u8]) -> Option<UnixNanos> {
    let days = date(text)?.checked_add(1)?;
    days.checked_mul(NANOS_PER_DAY).map(UnixNanos)
}

/// Days from 1970-01-01.
fn date(text: &[u8]) -> Option<u64> {
    let number = |from: usize, to: usize| super::message::number(text.get(from..to)?);
    if text.len() != 8 {
        return None;
    }
    days_since_1970(number(0, 4)?, number(4, 6)?, number(6, 8)?)
}

/// Writes a timestamp with milliseconds.
pub(crate) fn format(time: UnixNanos) -> [u8; MILLIS_BYTES] {
    let millis = time.0 / NANOS_PER_MILLI;
    let millis_of_day = millis % (DAY_S * 1_000);
    let (year, month, day) = date_of(time);
    let second = millis_of_day / 1_000;
    let mut text = *b"00000000-00:00:00.000";
    let mut put = |at: usize, width: usize, mut value: u64| {
        for digit in text[at..at + width].iter_mut().rev() {
            // Lossless: a remainder of ten.
            *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    put(0, 4, year);
    put(4, 2, month);
    put(6, 2, day);
    put(9, 2, second / 3_600);
    put(12, 2, second / 60 % 60);
    put(15, 2, second % 60);
    put(18, 3, millis_of_day % 1_000);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS_PER_400_YEARS: u64 = 146_097;

    fn read(text: &str) -> Option<u64> {
        parse(text.as_bytes()).map(|time| time.0)
    }

    #[test]
    fn timestamps_read_with_any_precision() {
        assert_eq!(read("19700101-00:00:00"), Some(0));
        assert_eq!(read("20260228-23:59:60.5"), Some(1_772_323_200_500_000_000));
        assert_eq!(read("20240229-00:00:00.123456789"), Some(1_709_164_800_123_456_789));
        for bad in [
            "",
            "20240229",
            "20230229-00:00:00",
            "20240230-00:00:00",
            "20241301-00:00:00",
            "20240101 00:00:00",
            "20240101-24:00:00",
            "20240101-00:60:00",
            "20240101-00:00:61",
            "20240101-00:00:00.",
            "20240101-00:00:00.1x",
            "20240101-00:00:00.1234567890",
            "19691231-23:59:59",
            "2024010a-00:00:00",
            "20240100-00:00:00",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(is_date(b"20240229") && !is_date(b"20230229") && !is_date(b"2024022"));
    }

    #[test]
    fn a_date_ends_at_the_midnight_behind_it() {
        let end = |text: &str| end_of_date(text.as_bytes());
        assert_eq!(end("19700101"), Some(UnixNanos(NANOS_PER_DAY)));
        assert_eq!(end("20240228"), parse(b"20240229-00:00:00"));
        assert_eq!(end("20231231"), parse(b"20240101-00:00:00"));
        // The last whole day that 64 bits of nanoseconds can count, and what is no date.
        assert_eq!(end("25540720"), parse(b"25540721-00:00:00"));
        for bad in ["25540721", "99991231", "20230229", "2024", ""] {
            assert_eq!(end(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_written_and_read_back() {
        for day in 0..DAYS_PER_400_YEARS {
            let time = UnixNanos(day * DAY_S * NANOS_PER_SECOND + day % 1_000 * NANOS_PER_MILLI);
            assert_eq!(parse(&format(time)), Some(time), "{day}");
        }
        assert_eq!(&format(UnixNanos(1_709_164_800_123_456_789)), b"20240229-00:00:00.123");
    }
}
