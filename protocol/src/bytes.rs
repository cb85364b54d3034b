//! Little-endian fields at fixed offsets: the fixed headers of records, events, frames, blocks and segments.

/// Reads little-endian integers at fixed offsets of a header whose length was checked once.
pub trait Field {
    /// The `N` bytes at `at`. Offsets are constants of the format.
    ///
    /// # Panics
    /// If the slice is shorter than `at + N`: the caller checks a header's length before reading its fields.
    fn array<const N: usize>(&self, at: usize) -> [u8; N];
    /// The u16 at `at`.
    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }
    /// The u32 at `at`.
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }
    /// The u64 at `at`.
    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
    /// The u128 at `at`.
    fn u128_at(&self, at: usize) -> u128 {
        u128::from_le_bytes(self.array(at))
    }
}

impl Field for [u8] {
    #[inline]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "offsets are constants of the format, far below usize::MAX"
    )]
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self[at..at + N]);
        out
    }
}

/// Writes `bytes` at `at` of a header buffer.
///
/// # Panics
/// If the buffer is shorter than `at + bytes.len()`.
#[inline]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "offsets are constants of the format, far below usize::MAX"
)]
pub fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}
