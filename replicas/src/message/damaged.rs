//! Seeded damage to encoded messages, for the tests of every codec.

use protocol::hash::crc32c;

use super::transfer::HEADER_BYTES;

/// Spoils `originals` again and again: every outcome is a message or a refusal, never a panic, and what `again` reads it writes the
/// same. `mend` makes right what would end every look at the first checksum.
pub(super) fn never_panics(
    seed: u64,
    originals: &[Vec<u8>],
    mend: impl Fn(&mut [u8]),
    again: impl Fn(&[u8]) -> Option<Vec<u8>>,
) {
    let mut state = seed;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    for round in 0..60_000 {
        let mut bytes = originals[round % originals.len()].clone();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            bytes[at] = [0, 1, 0xFF, u8::try_from(below(256)).unwrap()][below(4)];
        }
        if below(4) == 0 {
            bytes.truncate(below(bytes.len() + 1));
        }
        mend(&mut bytes);
        if let Some(written) = again(&bytes) {
            assert_eq!(written, bytes, "seed {seed}, round {round}");
        }
    }
}

/// Makes the checksum of the body right.
pub(super) fn mend_checksum(bytes: &mut [u8]) {
    if let Some(body) = bytes.get(HEADER_BYTES..) {
        let crc = crc32c(body);
        protocol::put(bytes, 4, &crc.to_le_bytes());
    }
}
