//! What an amount is worth at a rate: exact, in numbers as wide as they have to be.

const LOWER: u128 = 0xFFFF_FFFF_FFFF_FFFF;

/// `amount` × `mantissa` / 10^`scale`, rounded down and rounded up; `None` past the largest number.
pub(super) fn convert(amount: u128, mantissa: u64, scale: u8) -> Option<(u128, u128)> {
    let divisor = u128::from(10_u64.checked_pow(scale.into())?);
    let mantissa = u128::from(mantissa);
    // The product has 192 bits: `upper` above, 64 below.
    let low = (amount & LOWER).checked_mul(mantissa)?;
    let upper = (amount >> 64).checked_mul(mantissa)?.checked_add(low >> 64)?;
    // Divided by hand, 64 bits at a time: what is left of the upper ones is less than the divisor, which has 64.
    let (above, rest) = (upper.checked_div(divisor)?, upper.checked_rem(divisor)?);
    let lower = rest << 64 | low & LOWER;
    let below = lower.checked_div(divisor)?;
    let is_exact = lower.checked_rem(divisor)? == 0;
    let down = if above <= LOWER { above << 64 | below } else { return None };
    let up = if is_exact { down } else { down.checked_add(1)? };
    Some((down, up))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Decimal digits, the lowest first: arithmetic as at school.
    fn digits(number: u128) -> Vec<u8> {
        number.to_string().bytes().rev().map(|digit| digit - b'0').collect()
    }

    fn product(one: &[u8], two: &[u8]) -> Vec<u8> {
        let mut sums = vec![0_u32; one.len() + two.len()];
        for (at, a) in one.iter().enumerate() {
            for (by, b) in two.iter().enumerate() {
                sums[at + by] += u32::from(*a) * u32::from(*b);
            }
        }
        let mut carry = 0;
        sums.into_iter()
            .map(|sum| {
                let sum = sum + carry;
                carry = sum / 10;
                u8::try_from(sum % 10).unwrap()
            })
            .collect()
    }

    /// A division by 10^scale takes so many digits away.
    fn naive(amount: u128, mantissa: u64, scale: u8) -> Option<(u128, u128)> {
        let product = product(&digits(amount), &digits(mantissa.into()));
        let (cut, kept) = product.split_at(usize::from(scale).min(product.len()));
        let mut down = 0_u128;
        for &digit in kept.iter().rev() {
            down = down.checked_mul(10)?.checked_add(digit.into())?;
        }
        let is_exact = cut.iter().all(|&digit| digit == 0);
        Some((down, if is_exact { down } else { down.checked_add(1)? }))
    }

    #[test]
    fn rates_are_exact() {
        // 1 USD = 34.2567 TRY, both in hundredths.
        assert_eq!(convert(10_000, 342_567, 4), Some((342_567, 342_567)));
        assert_eq!(convert(1, 342_567, 4), Some((34, 35)));
        // 1 satoshi in hundredths of TRY, at 2,000,000 TRY a BTC.
        assert_eq!(convert(1, 2, 0), Some((2, 2)));
        assert_eq!(convert(1, 1, 18), Some((0, 1)));
        assert_eq!(convert(u128::MAX, 1, 0), Some((u128::MAX, u128::MAX)));
        assert_eq!(convert(u128::MAX, 2, 0), None);
        assert_eq!(convert(u128::MAX, u64::MAX, 18), None);
        assert_eq!(convert(u128::MAX, 10, 1), Some((u128::MAX, u128::MAX)));
        // Rounded up it is one too many.
        let (amount, mantissa) = (u128::MAX / 10 + 1, 9_999_999_999_999_999_999);
        assert_eq!(naive(amount, mantissa, 18), convert(amount, mantissa, 18));
    }

    #[test]
    fn rates_agree_with_arithmetic_on_digits() {
        let mut seed = 7_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed ^ (seed >> 29)
        };
        let (mut too_much, mut inexact) = (0, 0);
        for _ in 0..200_000 {
            let amount = (u128::from(next()) << 64 | u128::from(next())) >> (next() % 128);
            let mantissa = next() >> (next() % 64);
            let scale = u8::try_from(next() % 19).unwrap();
            let found = convert(amount, mantissa, scale);
            assert_eq!(found, naive(amount, mantissa, scale), "{amount} × {mantissa} / 10^{scale}");
            too_much += u32::from(found.is_none());
            inexact += u32::from(found.is_some_and(|(down, up)| up != down));
        }
        assert!(too_much > 1_000 && inexact > 1_000, "{too_much} {inexact}");
    }

    #[test]
    fn a_scale_that_no_divisor_has_is_refused() {
        assert_eq!(convert(1, 1, 20), None);
    }
}
