//! Finds messages in a stream of bytes. What is garbled is dropped without a trace, as the session protocol demands: it
//! consumes no number, and the gap that it leaves makes the peer send it again.
//!
//! A message is whole if it begins with `8=FIX`, its BodyLength(9) leads to its CheckSum(10), that is right, and no other
//! CheckSum stands before it. After anything else reading goes on at the next `8=FIX`. What a BodyLength covers belongs to
//! its message, right or wrong: a length that is too long takes the message behind with it, as the published cases have it.
//! Nothing here depends on how the stream was cut into reads: a decision is taken as soon as the bytes that settle it are
//! there, and never differently.

use protocol::limits::FIX_MESSAGE_BYTES_MAX;

use super::SOH;

const START: &[u8] = b"8=FIX";
const TRAILER: &[u8] = b"\x0110=";
const TRAILER_BYTES: usize = 7;
/// `8=FIX.4.4` and later relatives (`8=FIXT.1.1`), with room to spare.
const BEGIN_STRING_BYTES_MAX: usize = 16;
/// Messages of up to a million bytes are told apart from noise, though only short ones are taken.
const BODY_LENGTH_DIGITS_MAX: usize = 6;

/// What the bytes at the front of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// More bytes are needed to tell.
    Incomplete,
    /// This many bytes belong to no message.
    Noise(usize),
    /// A message that is garbled and this many bytes long, some of which may be still to come.
    Garbled(usize),
    /// A message of this many bytes with the right length and checksum.
    Whole(usize),
    /// The beginning, [`FIX_MESSAGE_BYTES_MAX`] bytes, of a message that is longer than what is taken; all of it has so many.
    Long(usize),
}

/// Judges the front of `input`.
pub(crate) fn next(input: &[u8]) -> Frame {
    if input.is_empty() || (input.len() < START.len() && START.starts_with(input)) {
        return Frame::Incomplete;
    }
    if !input.starts_with(START) {
        return Frame::Noise(start_of_next(input));
    }
    match judge(input) {
        Verdict::Whole(bytes) => Frame::Whole(bytes),
        Verdict::Garbled => Frame::Garbled(start_of_next(input)),
        Verdict::GarbledUpTo(end) => Frame::Garbled(end),
        Verdict::Incomplete => Frame::Incomplete,
        Verdict::Long(bytes) => Frame::Long(bytes),
    }
}

enum Verdict {
    Whole(usize),
    Garbled,
    /// Garbled, but its BodyLength says how far it goes.
    GarbledUpTo(usize),
    Incomplete,
    Long(usize),
}

fn judge(input: &[u8]) -> Verdict {
    let body = match body(input) {
        Ok(body) => body,
        Err(verdict) => return verdict,
    };
    let end = body.end + TRAILER_BYTES;
    if end > FIX_MESSAGE_BYTES_MAX {
        let head = &input[..input.len().min(FIX_MESSAGE_BYTES_MAX).min(body.end)];
        return match find(head, TRAILER) {
            Some(_) => Verdict::Garbled,
            None if input.len() < FIX_MESSAGE_BYTES_MAX => Verdict::Incomplete,
            None => Verdict::Long(end),
        };
    }
    let Some(message) = input.get(..end) else {
        // A BodyLength that is too long is given away by the CheckSum, without waiting for the bytes of other messages.
        let earlier = find(&input[body.start - 1..], TRAILER).map(|at| body.start - 1 + at + TRAILER.len());
        return match earlier {
            Some(value) if value != body.end + b"10=".len() => Verdict::GarbledUpTo(body.end),
            _ => Verdict::Incomplete,
        };
    };
    let (covered, trailer) = message.split_at(body.end);
    if is_checksum(trailer, checksum(covered))
        && covered.ends_with(&[SOH])
        && find(covered, TRAILER).is_none()
    {
        Verdict::Whole(end)
    } else {
        Verdict::GarbledUpTo(body.end)
    }
}

/// A message that is longer than what is taken, while its bytes pass by: its beginning is kept, to say what was refused.
#[derive(Debug)]
pub(crate) struct Long {
    head: Vec<u8>,
    left: usize,
    sum: u8,
    trailer: Vec<u8>,
    /// Bytes of [`TRAILER`] that the last bytes of the body are.
    matched: usize,
}

/// What became of a long message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Bytes are still to come.
    Incomplete,
    /// Length and checksum were right.
    Whole,
    /// It is garbled: the checksum is wrong, or came too early.
    Garbled,
}

impl Long {
    /// For the message that begins with `head` and has so many bytes.
    pub(crate) fn new(head: &[u8], bytes: usize) -> Self {
        let head = head.iter().take(FIX_MESSAGE_BYTES_MAX).copied().collect();
        Self { head, left: bytes, sum: 0, trailer: Vec::with_capacity(TRAILER_BYTES), matched: 0 }
    }

    /// Lets bytes pass; returns how many of them belong to the message.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> (usize, Passed) {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.left <= TRAILER_BYTES {
                self.trailer.push(byte);
            } else {
                self.sum = self.sum.wrapping_add(byte);
                self.matched =
                    if byte == TRAILER[self.matched] { self.matched + 1 } else { usize::from(byte == SOH) };
            }
            self.left -= 1;
            if self.matched == TRAILER.len() {
                return (at + 1, Passed::Garbled);
            }
            if self.left == 0 {
                // The body ends with a SOH, the first byte of the trailer's pattern.
                let whole = self.matched == 1 && is_checksum(&self.trailer, self.sum);
                return (at + 1, if whole { Passed::Whole } else { Passed::Garbled });
            }
        }
        (bytes.len(), Passed::Incomplete)
    }

    /// The fields that are kept of it: as many of the first as are whole.
    pub(crate) fn fields(&self) -> &[u8] {
        let end = self.head.iter().rposition(|&byte| byte == SOH).map_or(0, |at| at + 1);
        &self.head[..end]
    }
}

/// Where the body lies, from BeginString(8) and BodyLength(9), which have to be the first two fields.
fn body(input: &[u8]) -> Result<core::ops::Range<usize>, Verdict> {
    let Some(begin) = input.iter().take(BEGIN_STRING_BYTES_MAX + 1).position(|&byte| byte == SOH) else {
        let decided = input.len() > BEGIN_STRING_BYTES_MAX;
        return Err(if decided { Verdict::Garbled } else { Verdict::Incomplete });
    };
    let rest = &input[begin + 1..];
    if rest.len() < 2 {
        return Err(if b"9=".starts_with(rest) { Verdict::Incomplete } else { Verdict::Garbled });
    }
    if !rest.starts_with(b"9=") {
        return Err(Verdict::Garbled);
    }
    let mut length = 0_usize;
    for (at, &byte) in rest[2..].iter().enumerate() {
        match byte {
            SOH if at > 0 => {
                let start = begin + 1 + 2 + at + 1;
                return Ok(start..start + length);
            }
            b'0'..=b'9' if at < BODY_LENGTH_DIGITS_MAX => length = length * 10 + usize::from(byte - b'0'),
            _ => return Err(Verdict::Garbled),
        }
    }
    Err(Verdict::Incomplete)
}

/// Sum of all bytes, modulo 256: CheckSum(10).
pub(crate) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
}

fn is_checksum(trailer: &[u8], sum: u8) -> bool {
    let digits = [b'0' + sum / 100, b'0' + sum / 10 % 10, b'0' + sum % 10];
    trailer.len() == TRAILER_BYTES
        && trailer.starts_with(b"10=")
        && trailer[3..6] == digits
        && trailer[6] == SOH
}

/// Bytes before the next place behind the first byte where a message may begin; a start that is cut off counts.
fn start_of_next(input: &[u8]) -> usize {
    if let Some(at) = find(&input[1..], START) {
        return at + 1;
    }
    let tail = (1..START.len()).rev().find(|&len| len < input.len() && input.ends_with(&START[..len]));
    input.len() - tail.unwrap_or(0)
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = pattern[0];
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|&byte| byte == first) {
        if bytes[from + at..].starts_with(pattern) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Vec<u8> {
        text.replace('|', "\x01").into_bytes()
    }

    #[test]
    fn a_whole_message_ends_with_its_checksum() {
        let bytes = message("8=FIX.4.4|9=5|35=0|10=163|");
        assert_eq!(next(&bytes), Frame::Whole(bytes.len()));
        let two = [&bytes[..], &bytes[..9]].concat();
        assert_eq!(next(&two), Frame::Whole(bytes.len()));
        for cut in 0..bytes.len() {
            assert_eq!(next(&bytes[..cut]), Frame::Incomplete, "{cut}");
        }
    }

    /// Bytes before the first whole message, and how many garbled ones lie in them.
    fn before_whole(stream: &[u8]) -> (usize, usize) {
        let (mut at, mut garbled) = (0, 0);
        loop {
            match next(&stream[at.min(stream.len())..]) {
                Frame::Garbled(bytes) => (at, garbled) = (at + bytes, garbled + 1),
                Frame::Noise(bytes) => at += bytes,
                Frame::Incomplete | Frame::Whole(_) | Frame::Long(_) => return (at, garbled),
            }
        }
    }

    #[test]
    fn what_is_garbled_ends_where_the_next_begins() {
        let good = message("8=FIX.4.4|9=5|35=0|10=163|");
        for bad in [
            "8=FIX.4.4|9=5|35=0|10=164|",
            "8=FIX.4.4|9=5|35=0|10=64|",
            "8=FIX.4.4|9=4|35=0|10=163|",
            "8=FIX.4.4|9=12|35=0|10=163|",
            "8=FIX.4.4|35=0|9=5|10=163|",
            "8=FIX.4.4|9=|35=0|10=163|",
            "8=FIX.4.4|9=-5|35=0|10=163|",
            "8=FIX.4.4|9=99999|35=0|10=163|",
            "8=FIX.4.4.4.4.4.4.4.4|9=5|35=0|10=163|",
            "8=FIX.4.4|9=12|35=0|10=1|8=|10=163|",
        ] {
            let bad = message(bad);
            let stream = [&bad[..], &good[..]].concat();
            assert_eq!(before_whole(&stream), (bad.len(), 1), "{}", String::from_utf8_lossy(&bad));
        }
    }

    #[test]
    fn a_length_that_is_too_long_takes_the_next_message_with_it() {
        let good = message("8=FIX.4.4|9=5|35=0|10=163|");
        let bad = message("8=FIX.4.4|9=13|35=0|10=163|");
        let stream = [&bad[..], &good[..], &good[..]].concat();
        assert_eq!(before_whole(&stream), (bad.len() + good.len(), 1));
        let end = b"8=FIX.4.4|9=13|".len() + 13;
        for cut in bad.len()..stream.len() {
            assert_eq!(next(&stream[..cut]), Frame::Garbled(end), "{cut}");
        }
    }

    /// A message of `8=`, `9=` and 35=0 with a text that makes it `bytes` long.
    fn of_length(bytes: usize) -> Vec<u8> {
        let text = bytes - b"8=FIX.4.4|9=000000|35=0|58=|10=000|".len();
        let body = format!("35=0|58={}|", "x".repeat(text));
        let mut message = message(&format!("8=FIX.4.4|9={:06}|{body}", body.len()));
        message.extend(format!("10={:03}\x01", checksum(&message)).as_bytes());
        message
    }

    #[test]
    fn a_long_message_passes_by_in_any_pieces() {
        let longest = of_length(FIX_MESSAGE_BYTES_MAX);
        assert_eq!(next(&longest), Frame::Whole(FIX_MESSAGE_BYTES_MAX));
        for bytes in [FIX_MESSAGE_BYTES_MAX + 1, FIX_MESSAGE_BYTES_MAX + 8, 200_000, 999_999] {
            let good = of_length(bytes);
            assert_eq!(next(&good[..FIX_MESSAGE_BYTES_MAX - 1]), Frame::Incomplete);
            assert_eq!(next(&good), Frame::Long(bytes));
            let mut bad = good.clone();
            bad[bytes - 100.min(bytes / 2)] ^= 1;
            let mut early = good.clone();
            early.splice(FIX_MESSAGE_BYTES_MAX - 20..FIX_MESSAGE_BYTES_MAX - 12, *b"\x01\x0110=000");
            for piece in [1_usize, 7, 4_096, usize::MAX] {
                for (message, expected) in
                    [(&good, Passed::Whole), (&bad, Passed::Garbled), (&early, Passed::Garbled)]
                {
                    let mut long = Long::new(message, bytes);
                    let stream = [&message[..], b"8=FIX"].concat();
                    let (mut at, mut passed) = (0_usize, Passed::Incomplete);
                    while passed == Passed::Incomplete {
                        let end = stream.len().min(at.saturating_add(piece));
                        let (taken, became) = long.pass(&stream[at..end]);
                        (at, passed) = (at + taken, became);
                    }
                    assert_eq!(passed, expected);
                    let end = if message == &early { FIX_MESSAGE_BYTES_MAX - 15 } else { bytes };
                    assert_eq!(at, end);
                    let fields = b"8=FIX.4.4|9=000000|35=0|".len();
                    assert!(long.fields().starts_with(&good[..fields]) && long.fields().ends_with(&[SOH]));
                }
            }
        }
    }

    #[test]
    fn noise_is_skipped_up_to_a_start_that_may_be_cut_off() {
        assert_eq!(next(b"hello 8=FIX.4.4"), Frame::Noise(6));
        assert_eq!(next(b"hello 8=FI"), Frame::Noise(6));
        assert_eq!(next(b"hello"), Frame::Noise(5));
        assert_eq!(next(b"8=FI"), Frame::Incomplete);
    }
}
