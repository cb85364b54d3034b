//! Money: integers only. An amount counts the asset's minor units (its scale says how many make one), a price counts
//! ticks, a quantity counts lots; what a tick and a lot are worth is the market's definition.

use core::fmt;

/// An amount in minor units of its asset.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct Amount(
    /// Minor units.
    pub u128,
);

/// A price in ticks of its market; never 0 in an accepted order.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct PriceTicks(
    /// Ticks.
    pub u64,
);

/// A quantity in lots of its market.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct QtyLots(
    /// Lots.
    pub u64,
);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` past u128.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }
}

impl PriceTicks {
    /// Ticks × lots, exact.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "a product of two u64 always fits u128")]
    pub const fn times(self, qty: QtyLots) -> u128 {
        widen(self.0) * widen(qty.0)
    }
}

#[expect(clippy::as_conversions, reason = "u64 to u128 loses nothing; `From` is not const")]
const fn widen(value: u64) -> u128 {
    value as u128
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PriceTicks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for QtyLots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a decimal number could not be read as a count of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalFault {
    /// Empty, or a character other than digits and one point.
    NotADecimal,
    /// More decimals than the unit has, other than zeros: the number lies between two units.
    TooFine,
    /// More than u128 can count.
    TooLarge,
}

/// Reads an unsigned decimal number (`12.5`) as a count of units of `10^-scale`, exactly.
///
/// # Errors
/// [`DecimalFault`] for anything but digits with at most one point, for a remainder, and past u128.
pub fn parse_decimal(text: &[u8], scale: u8) -> Result<u128, DecimalFault> {
    let mut units: u128 = 0;
    let mut decimals_left: Option<u8> = None;
    let mut digits = 0_usize;
    for &byte in text {
        match (byte, decimals_left) {
            (b'.', None) => decimals_left = Some(scale),
            (b'0', Some(0)) => digits = digits.saturating_add(1),
            (b'1'..=b'9', Some(0)) => return Err(DecimalFault::TooFine),
            (b'0'..=b'9', left) => {
                let digit = u128::from(byte.wrapping_sub(b'0'));
                units =
                    units.checked_mul(10).and_then(|u| u.checked_add(digit)).ok_or(DecimalFault::TooLarge)?;
                decimals_left = left.map(|l| l.saturating_sub(1));
                digits = digits.saturating_add(1);
            }
            _ => return Err(DecimalFault::NotADecimal),
        }
    }
    if digits == 0 {
        return Err(DecimalFault::NotADecimal);
    }
    let missing = u32::from(decimals_left.unwrap_or(scale));
    let factor = 10_u128.checked_pow(missing).ok_or(DecimalFault::TooLarge)?;
    units.checked_mul(factor).ok_or(DecimalFault::TooLarge)
}

/// Writes a count of units of `10^-scale` as a decimal number without superfluous zeros (`12.5`).
#[must_use]
pub fn format_decimal(units: u128, scale: u8) -> String {
    let digits = format!("{units:0>width$}", width = usize::from(scale).saturating_add(1));
    let (whole, decimals) = digits.split_at(digits.len().saturating_sub(usize::from(scale)));
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() { whole.to_owned() } else { format!("{whole}.{decimals}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(parse_decimal(b"12.5", 2), Ok(1250));
        assert_eq!(parse_decimal(b"12.50", 2), Ok(1250));
        assert_eq!(parse_decimal(b"12.500", 2), Ok(1250));
        assert_eq!(parse_decimal(b"12.505", 2), Err(DecimalFault::TooFine));
        assert_eq!(parse_decimal(b"0.1", 0), Err(DecimalFault::TooFine));
        assert_eq!(parse_decimal(b"7", 0), Ok(7));
        assert_eq!(parse_decimal(b".5", 1), Ok(5));
        for bad in [&b""[..], b".", b"-1", b"1.2.3", b"1e3", b" 1"] {
            assert_eq!(parse_decimal(bad, 2), Err(DecimalFault::NotADecimal), "{bad:?}");
        }
        assert_eq!(parse_decimal(&[b'9'; 39], 0), Err(DecimalFault::TooLarge));
    }

    #[test]
    fn decimals_round_trip() {
        for (units, scale, text) in
            [(1250, 2, "12.5"), (5, 2, "0.05"), (0, 8, "0"), (100, 2, "1"), (7, 0, "7")]
        {
            assert_eq!(format_decimal(units, scale), text);
            assert_eq!(parse_decimal(text.as_bytes(), scale), Ok(units));
        }
    }
}
