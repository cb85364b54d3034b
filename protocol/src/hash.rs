//! The two checksums and what each is for: CRC-32C finds accidents in one place, BLAKE3 proves order and completeness.

/// A BLAKE3 hash.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Hash(
    /// The 32 bytes.
    pub [u8; 32],
);

impl Hash {
    /// Before the first link of a chain.
    pub const ZERO: Self = Self([0; 32]);
}

/// Two lower-case hexadecimal digits a byte.
pub(crate) fn write_hex(bytes: &[u8], f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// 32 bytes from 64 hexadecimal digits.
///
/// # Errors
/// [`NotAHash`] for anything else.
pub fn parse_hex(text: &str) -> Result<[u8; 32], NotAHash> {
    let digits = text.as_bytes();
    // `from_str_radix` would take a sign.
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(NotAHash);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = core::str::from_utf8(pair).map_err(|_| NotAHash)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAHash)?;
    }
    Ok(bytes)
}

impl core::fmt::Display for Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write_hex(&self.0, f)
    }
}

impl core::fmt::Debug for Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        parse_hex(text).map(Self)
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAHash;

/// CRC-32C (Castagnoli, RFC 3720 §12.1) of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32C of what `crc` covers followed by `bytes`.
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// BLAKE3 of the concatenation of `parts`.
#[must_use]
pub fn blake3(parts: &[&[u8]]) -> Hash {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// An incremental BLAKE3.
#[derive(Clone, Debug, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Hashes `bytes` behind what was hashed before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// The hash of everything so far.
    #[must_use]
    pub fn finish(&self) -> Hash {
        Hash(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_digits_are_a_hash() {
        let hash = blake3(&[b"state"]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(blake3(&[b"st", b"", b"ate"]), hash, "parts are joined");
        let signed = hash.to_string().replacen(char::is_alphanumeric, "+", 1);
        for bad in ["", "ab", signed.as_str(), &format!("{hash}00")] {
            assert_eq!(bad.parse::<Hash>(), Err(NotAHash), "{bad}");
        }
    }
}
