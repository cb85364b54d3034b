//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the eighth bit set where more follow.

/// Bytes that are not what this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Appends a number.
#[inline]
pub(crate) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a number.
#[inline]
pub(crate) fn put_u128(out: &mut Vec<u8>, mut value: u128) {
    while value > u128::from(u64::MAX) {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    put_u64(out, u64::try_from(value).unwrap_or(u64::MAX));
}

/// A difference that may wrap, as a number that is small where the difference is, up or down.
#[inline]
pub(crate) const fn fold_u64(difference: u64) -> u64 {
    (difference << 1) ^ 0_u64.wrapping_sub(difference >> 63)
}

/// What was folded.
#[inline]
pub(crate) const fn unfold_u64(folded: u64) -> u64 {
    (folded >> 1) ^ 0_u64.wrapping_sub(folded & 1)
}

/// A difference that may wrap, as a number that is small where the difference is, up or down.
#[inline]
pub(crate) const fn fold_u128(difference: u128) -> u128 {
    (difference << 1) ^ 0_u128.wrapping_sub(difference >> 127)
}

/// What was folded.
#[inline]
pub(crate) const fn unfold_u128(folded: u128) -> u128 {
    (folded >> 1) ^ 0_u128.wrapping_sub(folded & 1)
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpack<'a> {
    rest: &'a [u8],
}

impl<'a> Unpack<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Damaged> {
        let (&first, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.u8()?);
            let bits = byte & 0x7f;
            if (bits << shift) >> shift != bits {
                return Err(Damaged);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Damaged> {
        let mut value = 0;
        for shift in (0..128).step_by(7) {
            let byte = u128::from(self.u8()?);
            let bits = byte & 0x7f;
            if (bits << shift) >> shift != bits {
                return Err(Damaged);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.u64()?).map_err(|_| Damaged)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damaged> {
        u16::try_from(self.u64()?).map_err(|_| Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_small_ones_are_short() {
        let edges = (0..128).flat_map(|bit| {
            let power = 1_u128 << bit;
            [power - 1, power, power.wrapping_neg(), power + 1]
        });
        for value in edges {
            let mut out = Vec::new();
            put_u128(&mut out, value);
            let bits = 128 - value.leading_zeros();
            assert_eq!(out.len(), usize::try_from(bits.div_ceil(7).max(1)).unwrap(), "{value}");
            let mut unpack = Unpack::new(&out);
            assert_eq!((unpack.u128(), unpack.is_empty()), (Ok(value), true));
            assert_eq!(Unpack::new(&out).u64(), u64::try_from(value).map_err(|_| Damaged));
            assert_eq!(unfold_u128(fold_u128(value)), value);
            let low = u64::try_from(value & u128::from(u64::MAX)).unwrap();
            assert_eq!(unfold_u64(fold_u64(low)), low);
        }
        assert_eq!(
            (fold_u64(1), fold_u64(1_u64.wrapping_neg()), fold_u128(2_u128.wrapping_neg())),
            (2, 1, 3)
        );
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_damaged() {
        assert_eq!(Unpack::new(&[]).u64(), Err(Damaged));
        assert_eq!(Unpack::new(&[0x80]).u64(), Err(Damaged));
        assert_eq!(Unpack::new(&[0xff; 10]).u64(), Err(Damaged));
        assert_eq!(Unpack::new(&[0xff; 19]).u128(), Err(Damaged));
        assert_eq!(Unpack::new(&[0x80, 0x80, 4]).u16(), Err(Damaged));
    }
}
