//! Writes one message: fields into a buffer that is used again and again, then BodyLength(9) before and CheckSum(10)
//! behind them. Nothing is allocated once the buffer has grown to its size.

use protocol::UnixNanos;
use protocol::time::NANOS_PER_MILLI;

use super::SOH;
use super::frame::checksum;
use super::timestamp;

/// BeginString(8) of everything we send and accept.
pub(crate) const BEGIN_STRING: &[u8] = b"FIX.4.4";
const DIGITS_OF_U128: usize = 39;

/// The message being written.
#[derive(Default)]
pub(crate) struct Encoder {
    body: Vec<u8>,
}

impl Encoder {
    /// Starts a message of this type.
    pub(crate) fn start(&mut self, msg_type: &[u8]) {
        self.body.clear();
        self.text(35, msg_type);
    }

    /// A field with a text.
    pub(crate) fn text(&mut self, tag: u32, value: impl AsRef<[u8]>) {
        digits(&mut self.body, u128::from(tag), 0);
        self.body.push(b'=');
        self.body.extend_from_slice(value.as_ref());
        self.body.push(SOH);
    }

    /// A field with a text that is composed in place.
    pub(crate) fn text_of(&mut self, tag: u32, value: core::fmt::Arguments<'_>) {
        use std::io::Write;
        digits(&mut self.body, u128::from(tag), 0);
        self.body.push(b'=');
        let written = self.body.write_fmt(value);
        debug_assert!(written.is_ok(), "a vector takes whatever is written to it");
        self.body.push(SOH);
    }

    /// Fields as they are, each with its SOH.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.body.extend_from_slice(fields);
    }

    /// A field with a text, unless that is empty.
    pub(crate) fn text_if_any(&mut self, tag: u32, value: impl AsRef<[u8]>) {
        if !value.as_ref().is_empty() {
            self.text(tag, value);
        }
    }

    /// A field with a number.
    pub(crate) fn number(&mut self, tag: u32, value: impl Into<u128>) {
        digits(&mut self.body, u128::from(tag), 0);
        self.body.push(b'=');
        digits(&mut self.body, value.into(), 0);
        self.body.push(SOH);
    }

    /// A field with a count of units of `10^-scale`, as a decimal without superfluous zeros.
    pub(crate) fn decimal(&mut self, tag: u32, units: u128, scale: u8) {
        digits(&mut self.body, u128::from(tag), 0);
        self.body.push(b'=');
        digits(&mut self.body, units, scale);
        self.body.push(SOH);
    }

    /// A field with a time.
    pub(crate) fn time(&mut self, tag: u32, time: UnixNanos) {
        self.text(tag, timestamp::format(time));
    }

    /// A field with a time that may be finer than a millisecond, in nine decimals then.
    pub(crate) fn precise_time(&mut self, tag: u32, time: UnixNanos) {
        let finer = time.0 % NANOS_PER_MILLI;
        if finer == 0 {
            return self.time(tag, time);
        }
        let millis = timestamp::format(time);
        self.text_of(tag, format_args!("{}{finer:06}", String::from_utf8_lossy(&millis)));
    }

    /// Appends the finished message to `out`.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b"8=");
        out.extend_from_slice(BEGIN_STRING);
        out.extend_from_slice(&[SOH, b'9', b'=']);
        // Lossless: usize is at most 64 bits wide.
        digits(out, u128::try_from(self.body.len()).unwrap_or(0), 0);
        out.push(SOH);
        out.extend_from_slice(&self.body);
        let sum = checksum(&out[start..]);
        out.extend_from_slice(&[
            b'1',
            b'0',
            b'=',
            b'0' + sum / 100,
            b'0' + sum / 10 % 10,
            b'0' + sum % 10,
            SOH,
        ]);
    }
}

/// Writes `units` of `10^-scale`. The decimals lose their trailing zeros, the whole part keeps at least one digit.
pub(crate) fn digits(out: &mut Vec<u8>, units: u128, scale: u8) {
    let scale = usize::from(scale).min(DIGITS_OF_U128);
    let mut reversed = [b'0'; DIGITS_OF_U128 + 1];
    let mut len = 0;
    // Most numbers fit 64 bits, where a division costs a tenth.
    let (mut high, mut low) = match u64::try_from(units) {
        Ok(low) => (0, low),
        Err(_) => (units, 0),
    };
    while high != 0 || low != 0 {
        // Lossless: a remainder of ten.
        let digit = if high == 0 { low % 10 } else { u64::try_from(high % 10).unwrap_or(0) };
        reversed[len] = b'0' + u8::try_from(digit).unwrap_or(0);
        len += 1;
        (high, low) = if high == 0 { (0, low / 10) } else { (high / 10, 0) };
        if let (true, Ok(rest)) = (high != 0, u64::try_from(high)) {
            (high, low) = (0, rest);
        }
    }
    let len = len.max(scale + 1);
    out.extend(reversed[scale..len].iter().rev());
    let zeros = reversed[..scale].iter().position(|&digit| digit != b'0').unwrap_or(scale);
    if zeros < scale {
        out.push(b'.');
        out.extend(reversed[zeros..scale].iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_agree_with_the_allocating_ones() {
        let mut units = 1_u128;
        for step in 0..4_000_u128 {
            units = units.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step + 1);
            let units = units >> (step % 128);
            for scale in [0, 1, 2, 8, 18, 22] {
                let mut out = Vec::new();
                digits(&mut out, units, scale);
                assert_eq!(String::from_utf8(out).unwrap(), protocol::money::format_decimal(units, scale));
            }
        }
    }

    #[test]
    fn a_message_has_its_length_and_checksum() {
        let mut encoder = Encoder::default();
        encoder.start(b"0");
        let mut out = Vec::new();
        encoder.finish(&mut out);
        assert_eq!(out, b"8=FIX.4.4\x019=5\x0135=0\x0110=163\x01");
        assert_eq!(super::super::frame::next(&out), super::super::frame::Frame::Whole(out.len()));
    }
}
