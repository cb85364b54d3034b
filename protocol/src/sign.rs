//! Signatures: Ed25519 (RFC 8032), verified strictly. What is signed begins with a tag that says what it is, so that a
//! signature for one purpose never serves another.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::hash::{NotAHash, parse_hex, write_hex};

/// A public key. Any 32 bytes; those that are no point of the curve verify nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PublicKey(
    /// As RFC 8032 §5.1.5 encodes it.
    pub [u8; 32],
);

/// A signature as RFC 8032 §5.1.6 encodes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(
    /// R and S.
    pub [u8; 64],
);

/// A private key. It is never written into a journal and never printed.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key that RFC 8032 §5.1.5 derives from 32 bytes, which have to come from a source of true randomness.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl PublicKey {
    /// Whether `signature` is this key's over `message`. Keys and signatures that others would read differently
    /// (small order, not canonical) verify nothing.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl core::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write_hex(&self.0, f)
    }
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write_hex(&self.0, f)
    }
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write_hex(&self.0, f)
    }
}

impl core::str::FromStr for PublicKey {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        parse_hex(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 3.
    #[test]
    fn signs_as_the_standard_does() {
        let seed = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
        let public = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
        let key = PrivateKey::from_seed(&parse_hex(seed).unwrap());
        assert_eq!(key.public().to_string(), public);
        let signature = key.sign(&[0xaf, 0x82]);
        let expected = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                        18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
        assert_eq!(format!("{signature:?}"), expected);
        assert!(key.public().verifies(&[0xaf, 0x82], &signature));
        assert!(!key.public().verifies(&[0xaf, 0x83], &signature));
        for at in 0..64 {
            let mut forged = signature;
            forged.0[at] ^= 1;
            assert!(!key.public().verifies(&[0xaf, 0x82], &forged), "byte {at}");
        }
    }

    #[test]
    fn a_key_of_small_order_verifies_nothing() {
        // The neutral point signs everything with R neutral and S zero, where verification is lax.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey(neutral).verifies(b"anything", &Signature(signature)));
        assert!(!PublicKey([0xff; 32]).verifies(b"anything", &Signature(signature)));
    }
}
