//! The payload of a SKIP entry: operators pass over one record that no replica's engine can take, and say why.
//!
//! ```text
//! seq u64 | record_hash 32 bytes | reason_len u8 | signatures u8 | zeros 6 bytes
//! | reason, zero-padded to a multiple of 8 | signatures times: actor u32 | zeros 4 bytes | Ed25519 64 bytes
//! ```
//! Signed is `SICIL SKIP v1\0\0\0 ‖ cluster u128 ‖ seq u64 ‖ record_hash ‖ reason_len u8 ‖ reason`. The record's hash is
//! BLAKE3 of its bytes; where they cannot be told from what follows, of everything from its place to the end of the
//! frame's payload, and the records that the frame counts behind it are passed over with it.

use crate::bytes::{Field, put};
use crate::hash::Hash;
use crate::limits::{SKIP_REASON_BYTES_MAX, SKIP_SIGNATURES_MAX};
use crate::sign::{PrivateKey, PublicKey, Signature};
use crate::{ActorId, ClusterId, Seq, Text};

/// Why a record is passed over, in an operator's words. Names no person: it is kept for ever.
pub type SkipReason = Text<SKIP_REASON_BYTES_MAX>;

/// An operators' decision to pass over one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Of the record.
    pub seq: Seq,
    /// BLAKE3 of the record's bytes: a decision about these bytes and no others.
    pub record_hash: Hash,
    /// Why.
    pub reason: SkipReason,
    /// Who says so.
    pub signatures: Vec<Signed>,
}

/// One operator's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Whose key it is.
    pub actor: ActorId,
    /// Over what this module's text says.
    pub signature: Signature,
}

/// What is wrong with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipFault {
    /// Another length than its counts say.
    Length {
        /// By its counts.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A reason of no or too many bytes.
    Reason(usize),
    /// No signature, or too many.
    Signatures(usize),
    /// Bytes that have to be zero are not.
    Reserved,
}

impl core::fmt::Display for SkipFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { expected, found } => write!(f, "{found} bytes where {expected} are expected"),
            Self::Reason(found) => {
                write!(f, "a reason of {found} bytes; 1 to {SKIP_REASON_BYTES_MAX} are allowed")
            }
            Self::Signatures(found) => {
                write!(f, "{found} signatures; 1 to {SKIP_SIGNATURES_MAX} are allowed")
            }
            Self::Reserved => write!(f, "bytes that have to be zero are not"),
        }
    }
}

impl core::error::Error for SkipFault {}

const TAG: &[u8; 16] = b"SICIL SKIP v1\0\0\0";
const FIXED_BYTES: usize = 48;
const SIGNED_BYTES: usize = 72;

impl Skip {
    /// A decision that nobody has signed yet.
    #[must_use]
    pub const fn new(seq: Seq, record_hash: Hash, reason: SkipReason) -> Self {
        Self { seq, record_hash, reason, signatures: Vec::new() }
    }

    /// Adds the signature of `actor`'s key.
    pub fn sign(&mut self, cluster: ClusterId, actor: ActorId, key: &PrivateKey) {
        let signature = key.sign(&self.signed_bytes(cluster));
        self.signatures.push(Signed { actor, signature });
    }

    /// Whether `signed` is the signature of `key` over this decision.
    #[must_use]
    pub fn is_signed_by(&self, cluster: ClusterId, key: &PublicKey, signed: &Signed) -> bool {
        key.verifies(&self.signed_bytes(cluster), &signed.signature)
    }

    fn signed_bytes(&self, cluster: ClusterId) -> Vec<u8> {
        let mut bytes = TAG.to_vec();
        bytes.extend_from_slice(&cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.seq.0.to_le_bytes());
        bytes.extend_from_slice(&self.record_hash.0);
        bytes.push(count(self.reason.as_bytes().len()));
        bytes.extend_from_slice(self.reason.as_bytes());
        bytes
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let reason = self.reason.as_bytes();
        let signed_at = FIXED_BYTES.saturating_add(reason.len().next_multiple_of(8));
        out.resize(start.saturating_add(signed_at), 0);
        let bytes = out.get_mut(start..).unwrap_or_default();
        put(bytes, 0, &self.seq.0.to_le_bytes());
        put(bytes, 8, &self.record_hash.0);
        put(bytes, 40, &[count(reason.len()), count(self.signatures.len())]);
        put(bytes, FIXED_BYTES, reason);
        for signed in &self.signatures {
            out.extend_from_slice(&signed.actor.0.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&signed.signature.0);
        }
    }

    /// Reads a payload; whether anybody may decide so is the engine's to say.
    ///
    /// # Errors
    /// [`SkipFault`] for anything that [`Self::write`] does not write of a decision that is signed.
    pub fn read(payload: &[u8]) -> Result<Self, SkipFault> {
        let length = |expected: usize| SkipFault::Length { expected, found: payload.len() };
        let fixed = payload.get(..FIXED_BYTES).ok_or_else(|| length(FIXED_BYTES))?;
        let [reason_len, signatures, zeros @ ..]: [u8; 8] = fixed.array(40);
        let (reason_len, signatures) = (usize::from(reason_len), usize::from(signatures));
        if !(1..=SKIP_REASON_BYTES_MAX).contains(&reason_len) {
            return Err(SkipFault::Reason(reason_len));
        }
        if !(1..=SKIP_SIGNATURES_MAX).contains(&signatures) {
            return Err(SkipFault::Signatures(signatures));
        }
        let signed_at = FIXED_BYTES.saturating_add(reason_len.next_multiple_of(8));
        let expected = signed_at.saturating_add(signatures.saturating_mul(SIGNED_BYTES));
        if payload.len() != expected {
            return Err(length(expected));
        }
        let (head, signed) = payload.split_at(signed_at);
        let (reason, padding) = head.split_at(FIXED_BYTES.saturating_add(reason_len));
        let (signed, _) = signed.as_chunks::<SIGNED_BYTES>();
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if !is_zero(&zeros) || !is_zero(padding) || signed.iter().any(|signed| signed.u32_at(4) != 0) {
            return Err(SkipFault::Reserved);
        }
        let reason = reason.get(FIXED_BYTES..).unwrap_or_default();
        let signatures = signed
            .iter()
            .map(|signed| Signed { actor: ActorId(signed.u32_at(0)), signature: Signature(signed.array(8)) });
        Ok(Self {
            seq: Seq(fixed.u64_at(0)),
            record_hash: Hash(fixed.array(8)),
            reason: Text::new(reason).map_err(|_| SkipFault::Reason(reason.len()))?,
            signatures: signatures.collect(),
        })
    }
}

/// Both counts are bounded far below 256.
fn count(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::blake3;

    const CLUSTER: ClusterId = ClusterId(7);

    fn sample(reason: &str, signers: u8) -> Skip {
        let mut skip = Skip::new(Seq(41), blake3(&[b"record"]), Text::new(reason).unwrap());
        for n in 0..signers {
            skip.sign(CLUSTER, ActorId(u32::from(n) + 1), &PrivateKey::from_seed(&[n; 32]));
        }
        skip
    }

    fn payload(skip: &Skip) -> Vec<u8> {
        let mut bytes = Vec::new();
        skip.write(&mut bytes);
        bytes
    }

    #[test]
    fn is_read_as_it_was_written_and_in_no_other_length() {
        for (reason, signers) in [("x", 1), ("eight by", 2), (&"r".repeat(SKIP_REASON_BYTES_MAX), 4)] {
            let skip = sample(reason, signers);
            let bytes = payload(&skip);
            assert!(bytes.len().is_multiple_of(8), "a frame adds no padding");
            assert_eq!(Skip::read(&bytes).as_ref(), Ok(&skip));
            for len in 0..bytes.len() {
                assert!(Skip::read(&bytes[..len]).is_err(), "cut at {len}");
            }
            let longer = [&bytes[..], &[0; 8]].concat();
            assert_eq!(
                Skip::read(&longer),
                Err(SkipFault::Length { expected: bytes.len(), found: longer.len() })
            );
        }
        assert_eq!(Skip::read(&payload(&sample("nobody", 0))), Err(SkipFault::Signatures(0)));
        assert_eq!(Skip::read(&payload(&sample("crowd", 5))), Err(SkipFault::Signatures(5)));
        assert_eq!(Skip::read(&payload(&sample("", 1))), Err(SkipFault::Reason(0)));
    }

    #[test]
    fn every_changed_byte_is_refused_or_voids_a_signature() {
        let skip = sample("poison", 2);
        let keys: Vec<_> = (0..2).map(|n| PrivateKey::from_seed(&[n; 32]).public()).collect();
        let holds = |skip: &Skip| {
            let signers = skip.signatures.iter().map(|s| s.actor.0).eq([1, 2]);
            signers
                && skip
                    .signatures
                    .iter()
                    .zip(&keys)
                    .all(|(signed, key)| skip.is_signed_by(CLUSTER, key, signed))
        };
        assert!(holds(&skip));
        assert!(!skip.is_signed_by(ClusterId(8), &keys[0], &skip.signatures[0]), "another cluster's");
        let bytes = payload(&skip);
        for at in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[at] ^= 4;
            assert!(Skip::read(&edited).map_or(true, |edited| !holds(&edited)), "byte {at}");
        }
    }
}
