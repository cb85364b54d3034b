//! One message as a table of slices: split in place, nothing is copied.

use super::SOH;

/// Where a field's value lies in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The tag; negative or 0 if the peer wrote such a one.
    pub(crate) tag: i32,
    start: u32,
    end: u32,
}

/// A message and its fields.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    /// In the order of the bytes; the first three are 8, 9 and 35, the last is 10.
    pub(crate) fields: &'a [Field],
}

/// The bytes do not split into `tag=value` fields, or the first three are not 8, 9 and 35.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

impl<'a> Message<'a> {
    /// Splits `bytes`, which [`super::frame`] found whole, into `fields`.
    pub(crate) fn split(bytes: &'a [u8], fields: &'a mut Vec<Field>) -> Result<Self, Garbled> {
        fields.clear();
        let mut at = 0;
        while at < bytes.len() {
            let (tag, start) = tag(bytes, at).ok_or(Garbled)?;
            let len = bytes[start..].iter().position(|&byte| byte == SOH).ok_or(Garbled)?;
            let offset = |at: usize| u32::try_from(at).map_err(|_| Garbled);
            fields.push(Field { tag, start: offset(start)?, end: offset(start + len)? });
            at = start + len + 1;
        }
        let message = Self { bytes, fields };
        let in_order =
            message.fields.iter().zip([8, 9, 35]).filter(|(field, tag)| field.tag == *tag).count() == 3;
        let msg_type = message.fields.get(2).map_or(&b""[..], |field| message.value(*field));
        if in_order && !msg_type.is_empty() { Ok(message) } else { Err(Garbled) }
    }

    /// The value of a field of this message.
    pub(crate) fn value(&self, field: Field) -> &'a [u8] {
        // Lossless: offsets were made from usize, and u32 fits.
        let range = usize::try_from(field.start).unwrap_or(0)..usize::try_from(field.end).unwrap_or(0);
        self.bytes.get(range).unwrap_or_default()
    }

    /// The value of the first field with this tag.
    pub(crate) fn get(&self, tag: i32) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.tag == tag).map(|field| self.value(*field))
    }

    /// The value of the first field with this tag, if it is a number.
    pub(crate) fn number(&self, tag: i32) -> Option<u64> {
        number(self.get(tag)?)
    }

    /// Whether the field is there and says yes.
    pub(crate) fn is_yes(&self, tag: i32) -> bool {
        self.get(tag) == Some(b"Y")
    }

    /// The entries behind a count, each from its first field on, which has the tag `first`, to the next one. The last one ends where the
    /// message does.
    pub(crate) fn entries(&self, count: i32, first: i32) -> impl Iterator<Item = Message<'a>> {
        let at =
            self.fields.iter().position(|field| field.tag == count).map_or(self.fields.len(), |at| at + 1);
        let bytes = self.bytes;
        let entries = self.fields.get(at..).unwrap_or_default();
        entries.chunk_by(move |_, next| next.tag != first).map(move |fields| Message { bytes, fields })
    }

    /// MsgType(35).
    pub(crate) fn msg_type(&self) -> &'a [u8] {
        self.fields.get(2).map_or(&b""[..], |field| self.value(*field))
    }

    /// BeginString(8).
    pub(crate) fn begin_string(&self) -> &'a [u8] {
        self.fields.first().map_or(&b""[..], |field| self.value(*field))
    }
}

/// Reads `tag=` at `at`: the tag and where its value begins. A tag has no superfluous zeros, but may be negative: such a
/// field is told back to the peer, whereas letters in a tag garble the message.
fn tag(bytes: &[u8], at: usize) -> Option<(i32, usize)> {
    let negative = *bytes.get(at)? == b'-';
    let digits = at + usize::from(negative);
    let mut tag = 0_i32;
    let mut end = digits;
    loop {
        match *bytes.get(end)? {
            digit @ b'0'..=b'9' if end == digits || tag != 0 => {
                tag = tag.checked_mul(10)?.checked_add(i32::from(digit - b'0'))?;
            }
            b'=' if end > digits => return Some((if negative { -tag } else { tag }, end + 1)),
            _ => return None,
        }
        end += 1;
    }
}

/// Digits only, up to u64.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for byte in text {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (!text.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Too simple to be wrong: cut at SOH, cut at the first `=`.
    fn naive(bytes: &[u8]) -> Option<Vec<(i32, Vec<u8>)>> {
        let text = bytes.strip_suffix(&[SOH])?;
        let mut fields = Vec::new();
        for part in text.split(|&byte| byte == SOH) {
            let equals = part.iter().position(|&byte| byte == b'=')?;
            let tag = core::str::from_utf8(&part[..equals]).ok()?;
            let number: i32 = tag.parse().ok()?;
            if tag.starts_with('+')
                || (tag.trim_start_matches('-').starts_with('0') && tag.trim_start_matches('-') != "0")
            {
                return None;
            }
            fields.push((number, part[equals + 1..].to_vec()));
        }
        let first: Vec<i32> = fields.iter().take(3).map(|(tag, _)| *tag).collect();
        (first == [8, 9, 35] && !fields[2].1.is_empty()).then_some(fields)
    }

    #[test]
    fn splitting_agrees_with_the_naive_splitter() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let alphabet = b"0123456789=\x01-8935A=\x01+";
        let mut both = (0, 0);
        for round in 0..20_000 {
            let mut bytes = b"8=FIX.4.4\x019=5\x0135=0\x01".to_vec();
            for _ in 0..next() % 40 {
                bytes.push(alphabet[usize::try_from(next() % alphabet.len() as u64).unwrap()]);
            }
            bytes.push(SOH);
            if next() % 4 == 0 {
                let at = usize::try_from(next() % bytes.len() as u64).unwrap();
                bytes[at] = alphabet[usize::try_from(next() % alphabet.len() as u64).unwrap()];
            }
            let mut fields = Vec::new();
            let found = Message::split(&bytes, &mut fields).ok().map(|message| {
                message
                    .fields
                    .iter()
                    .map(|field| (field.tag, message.value(*field).to_vec()))
                    .collect::<Vec<_>>()
            });
            if found.is_some() {
                both.0 += 1
            } else {
                both.1 += 1
            }
            assert_eq!(found, naive(&bytes), "round {round}: {:?}", String::from_utf8_lossy(&bytes));
        }
        assert!(both.0 > 100 && both.1 > 100, "{both:?}");
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number(b"0012"), Some(12));
        for bad in [&b""[..], b"-1", b"+1", b"1 ", b"99999999999999999999"] {
            assert_eq!(number(bad), None);
        }
    }
}
