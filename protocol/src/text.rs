//! Short text of bounded length, held in place: CompIDs, symbols, ClOrdIDs.

use core::fmt;

/// Up to `N` bytes (at most 255), without allocation. Not necessarily UTF-8: FIX strings are bytes.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    len: u8,
    /// Zeros behind the text.
    bytes: [u8; N],
}

/// The text is longer than its field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Bytes allowed.
    pub max: usize,
    /// Bytes found.
    pub found: usize,
}

/// Most texts have no more bytes than one register.
const SHORT: usize = 16;

/// Up to [`SHORT`] bytes, put together in a register: whoever copies a few bytes and then reads all of the text waits for the copy.
#[inline]
fn short(text: &[u8]) -> [u8; SHORT] {
    let join = |head: u64, tail: u64, tail_bytes: usize| {
        // Both overlap where there are fewer bytes than in two.
        let tail_at = u32::try_from(text.len().saturating_sub(tail_bytes)).unwrap_or(0);
        u128::from(head) | u128::from(tail).wrapping_shl(tail_at.wrapping_mul(u8::BITS))
    };
    let joined = if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        join(u64::from_le_bytes(*head), u64::from_le_bytes(*tail), size_of::<u64>())
    } else if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        join(u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into(), size_of::<u32>())
    } else {
        text.iter().rev().fold(0, |joined, byte| joined << u8::BITS | u128::from(*byte))
    };
    joined.to_le_bytes()
}

impl<const N: usize> Text<N> {
    const LEN_FITS: () = assert!(N <= 255);
    /// No text.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; N] };

    /// Takes `text` if it fits.
    ///
    /// # Errors
    /// [`TooLong`] if it is longer than `N` bytes.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, TooLong> {
        let text = text.as_ref();
        Self::fit(text).ok_or(TooLong { max: N, found: text.len() })
    }

    /// Takes `text` if it fits.
    #[inline]
    pub(crate) fn fit(text: &[u8]) -> Option<Self> {
        let () = Self::LEN_FITS;
        let len = u8::try_from(text.len()).ok()?;
        let mut bytes = [0; N];
        match bytes.first_chunk_mut() {
            Some(head) if text.len() <= SHORT => *head = short(text),
            _ => bytes.get_mut(..text.len())?.copy_from_slice(text),
        }
        Some(Self { len, bytes })
    }

    /// As much of `text` as fits: for messages to people, never for identifiers.
    #[must_use]
    pub fn truncated(text: &str) -> Self {
        let mut end = text.len().min(N).min(255);
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        Self::new(text.get(..end).unwrap_or_default()).unwrap_or(Self::EMPTY)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Compares with what lies behind the texts, too, which are zeros. Most are short: those are compared as numbers, without a call.
    #[inline]
    fn compare_bytes(&self, other: &Self) -> core::cmp::Ordering {
        match (self.bytes.first_chunk(), other.bytes.first_chunk()) {
            (Some(one), Some(two)) if self.len().max(other.len()) <= SHORT => {
                u128::from_be_bytes(*one).cmp(&u128::from_be_bytes(*two))
            }
            _ => self.bytes.cmp(&other.bytes),
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> PartialEq for Text<N> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.compare_bytes(other).is_eq()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    #[inline]
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        // Of two that differ only in their ends, the longer one goes on with zeros.
        self.compare_bytes(other).then(self.len.cmp(&other.len))
    }
}

impl<const N: usize> core::hash::Hash for Text<N> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// A [`Text`] that is seldom there: it lies outside the message that has it, which stays small.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RareText<const N: usize>(Option<Box<Text<N>>>);

impl<const N: usize> RareText<N> {
    /// No text.
    pub const EMPTY: Self = Self(None);

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |text| text.as_bytes())
    }
}

impl<const N: usize> From<Text<N>> for RareText<N> {
    fn from(text: Text<N>) -> Self {
        Self((!text.is_empty()).then(|| Box::new(text)))
    }
}

impl<const N: usize> fmt::Debug for RareText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_as_their_bytes() {
        let bytes: [&[u8]; 9] = [b"", b"\0", b"\0\0", b"\0a", b"a", b"a\0", b"ab", b"b", b"\xff"];
        for one in bytes {
            for two in bytes {
                let (short, long) =
                    (|bytes| Text::<4>::new(bytes).unwrap(), |bytes| Text::<64>::new(bytes).unwrap());
                assert_eq!(short(one).cmp(&short(two)), one.cmp(two), "{one:?} {two:?}");
                assert_eq!(long(one).cmp(&long(two)), one.cmp(two), "{one:?} {two:?}");
                assert_eq!((short(one) == short(two), long(one) == long(two)), (one == two, one == two));
            }
        }
    }

    #[test]
    fn longer_than_its_field_is_refused() {
        for len in 0..=64 {
            let bytes: Vec<u8> = (1..=len).collect();
            assert_eq!(Text::<64>::new(&bytes).unwrap().as_bytes(), bytes);
            assert_eq!(
                Text::<64>::new(&bytes).unwrap().bytes.iter().filter(|byte| **byte == 0).count(),
                64 - bytes.len()
            );
            assert_eq!(Text::<16>::new(&bytes).is_ok(), len <= 16);
        }
        assert_eq!(Text::<4>::new("abcd").unwrap().as_bytes(), b"abcd");
        assert_eq!(Text::<4>::new("abcde"), Err(TooLong { max: 4, found: 5 }));
        assert_eq!(Text::<255>::new([b'x'; 300]), Err(TooLong { max: 255, found: 300 }));
        assert_eq!(Text::<4>::truncated("aüöä").as_bytes(), "aü".as_bytes());
    }
}
