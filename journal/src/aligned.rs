//! A buffer that direct I/O accepts: it starts on a multiple of 4 KiB and never moves.

use protocol::limits::BLOCK_ALIGN;

/// Bytes whose first one lies on a multiple of [`BLOCK_ALIGN`] in memory.
pub struct AlignedBuf {
    // Never grown after it was made, so that its bytes stay where `start` was found.
    storage: Vec<u8>,
    start: usize,
    len: usize,
    capacity: usize,
}

impl AlignedBuf {
    /// Empty, with room for `capacity` bytes, rounded up to a multiple of [`BLOCK_ALIGN`].
    ///
    /// # Panics
    /// If no aligned byte exists in it, which no allocator does.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(BLOCK_ALIGN);
        let storage = vec![0; capacity + BLOCK_ALIGN];
        let start = storage.as_ptr().align_offset(BLOCK_ALIGN);
        assert!(start < BLOCK_ALIGN, "an aligned byte within the first {BLOCK_ALIGN}");
        Self { storage, start, len: 0, capacity }
    }

    /// `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut zeroed = Self::with_capacity(len);
        zeroed.len = len;
        zeroed
    }

    /// Bytes it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets its bytes.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends `bytes`; `false` and unchanged if there is no room.
    #[must_use]
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let at = self.start + self.len;
        if bytes.len() > self.capacity - self.len {
            return false;
        }
        self.storage[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        true
    }

    /// Makes it `len` bytes long; new ones are zero.
    ///
    /// # Panics
    /// If `len` is above [`Self::capacity`].
    pub fn resize(&mut self, len: usize) {
        assert!(len <= self.capacity, "a buffer of {} bytes cannot hold {len}", self.capacity);
        if len > self.len {
            let from = self.start + self.len;
            self.storage[from..self.start + len].fill(0);
        }
        self.len = len;
    }
}

impl std::ops::Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

impl From<&[u8]> for AlignedBuf {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_aligned_when_moved_and_zeroes_what_it_grows_into() {
        let mut buf = AlignedBuf::from(&b"abc"[..]);
        assert_eq!(buf.capacity(), BLOCK_ALIGN);
        buf.clear();
        buf.resize(2);
        let moved = Box::new(buf);
        assert_eq!(&moved[..], [0, 0]);
        assert_eq!(moved.as_ptr().align_offset(BLOCK_ALIGN), 0);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut buf = AlignedBuf::with_capacity(1);
        assert!(buf.extend(&[7; BLOCK_ALIGN]));
        assert!(!buf.extend(&[7]));
        assert_eq!(buf.len(), BLOCK_ALIGN);
    }
}
