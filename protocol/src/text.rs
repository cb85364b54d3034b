//! Short text of bounded length, held in place: CompIDs, symbols, ClOrdIDs.

use core::fmt;

/// Up to `N` bytes (at most 255), without allocation. Not necessarily UTF-8: FIX strings are bytes.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    len: u8,
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

impl<const N: usize> Text<N> {
    const LEN_FITS: () = assert!(N <= 255);
    /// No text.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; N] };

    /// Takes `text` if it fits.
    ///
    /// # Errors
    /// [`TooLong`] if it is longer than `N` bytes.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, TooLong> {
        let () = Self::LEN_FITS;
        let text = text.as_ref();
        let too_long = TooLong { max: N, found: text.len() };
        let len = u8::try_from(text.len()).map_err(|_| too_long)?;
        let mut bytes = [0; N];
        bytes.get_mut(..text.len()).ok_or(too_long)?.copy_from_slice(text);
        Ok(Self { len, bytes })
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
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
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
    fn longer_than_its_field_is_refused() {
        assert_eq!(Text::<4>::new("abcd").unwrap().as_bytes(), b"abcd");
        assert_eq!(Text::<4>::new("abcde"), Err(TooLong { max: 4, found: 5 }));
        assert_eq!(Text::<255>::new([b'x'; 300]), Err(TooLong { max: 255, found: 300 }));
        assert_eq!(Text::<4>::truncated("aüöä").as_bytes(), "aü".as_bytes());
    }
}
