//! Values for people and for JSON.

use std::fmt::Write;

use protocol::UnixNanos;
use protocol::time::{NANOS_PER_DAY, NANOS_PER_SECOND};
use protocol::wire::fields::FieldValue;
use serde_json::{Map, Value};

/// Up to here every JSON reader keeps integers exact.
const JSON_EXACT_MAX: u128 = 1 << 53;

/// A number; as a string where readers that know only doubles would round it.
pub(crate) fn number(number: u128) -> Value {
    match u64::try_from(number) {
        Ok(exact) if number <= JSON_EXACT_MAX => Value::from(exact),
        _ => Value::String(number.to_string()),
    }
}

/// An object of `fields`, in their order.
pub(crate) fn object<K: Into<String>>(fields: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect::<Map<_, _>>())
}

/// A field's value. Bytes that are not UTF-8 become `{"hex": …}`.
pub(crate) fn json(value: &FieldValue<'_>) -> Value {
    match value {
        FieldValue::Number(n) | FieldValue::Id(_, n) => number(*n),
        FieldValue::Flag(flag) => Value::from(*flag),
        FieldValue::Code(name) => Value::from(*name),
        FieldValue::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => object([("hex", Value::from(hex(bytes)))]),
        },
        FieldValue::Bytes(bytes) => Value::from(hex(bytes)),
        FieldValue::Absent => Value::Null,
        FieldValue::List(values) => Value::Array(values.iter().map(json).collect()),
        FieldValue::Fields(fields) => fields_json(fields),
    }
}

/// A message's fields.
pub(crate) fn fields_json(fields: &[(&'static str, FieldValue<'_>)]) -> Value {
    object(fields.iter().map(|(name, value)| (*name, json(value))))
}

/// `name=value`, each behind a space.
pub(crate) fn fields_text(fields: &[(&'static str, FieldValue<'_>)], out: &mut String) {
    for (name, value) in fields {
        out.push(' ');
        out.push_str(name);
        out.push('=');
        text(value, out);
    }
}

fn text(value: &FieldValue<'_>, out: &mut String) {
    match value {
        FieldValue::Number(n) | FieldValue::Id(_, n) => push(out, n),
        FieldValue::Flag(flag) => push(out, flag),
        FieldValue::Code(name) => out.push_str(name),
        // Quoted and escaped: what a client sent must not steer an auditor's terminal.
        FieldValue::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => out.push_str(&format!("{text:?}")),
            Err(_) => out.push_str(&format!("\"{}\"", bytes.escape_ascii())),
        },
        FieldValue::Bytes(bytes) => out.push_str(&hex(bytes)),
        FieldValue::Absent => out.push('-'),
        FieldValue::List(values) => {
            out.push('[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                text(value, out);
            }
            out.push(']');
        }
        FieldValue::Fields(fields) => {
            out.push('{');
            let start = out.len();
            fields_text(fields, out);
            if out.len() > start {
                out.remove(start);
            }
            out.push('}');
        }
    }
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    // A string takes every text.
    write!(out, "{value}").unwrap_or_default();
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        push(&mut text, format_args!("{byte:02x}"));
        text
    })
}

/// `2026-01-01T09:00:00.000000001Z`.
pub(crate) fn utc(time: UnixNanos) -> String {
    let (days, in_day) = (time.0 / NANOS_PER_DAY, time.0 % NANOS_PER_DAY);
    let (seconds, nanos) = (in_day / NANOS_PER_SECOND, in_day % NANOS_PER_SECOND);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Year, month and day of a day since 1970-01-01; at most the year 2554, as u64 nanoseconds end there.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_calendars_do() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400 * NANOS_PER_SECOND, "2000-02-29T00:00:00.000000000Z"),
            (1_767_225_600 * NANOS_PER_SECOND + 7, "2026-01-01T00:00:00.000000007Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(utc(UnixNanos(nanos)), expected);
        }
    }

    #[test]
    fn numbers_that_a_double_rounds_are_strings_and_terminals_are_not_steered() {
        assert_eq!(number(JSON_EXACT_MAX), Value::from(1_u64 << 53));
        assert_eq!(number(JSON_EXACT_MAX + 1), Value::from("9007199254740993"));
        let mut line = String::new();
        fields_text(&[("a", FieldValue::Text(b"x\x1b[2J")), ("b", FieldValue::Text(b"\xff"))], &mut line);
        assert_eq!(line, " a=\"x\\u{1b}[2J\" b=\"\\xff\"");
        assert_eq!(json(&FieldValue::Text(b"\xff\x00")), object([("hex", Value::from("ff00"))]));
    }
}
