//! A visible book, as far as everybody who keeps one has to agree on it: its levels, and the checksum over them.

use crate::hash::crc32c_append;
use crate::{PriceTicks, put};

/// One price of a side, with what is visible there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookLevel {
    /// The price.
    pub price_ticks: PriceTicks,
    /// Sum of the visible quantities; 0 says that nothing rests there any more.
    pub lots: u128,
    /// How many orders rest there.
    pub orders: u32,
}

/// Bytes that a level puts into the checksum.
const LEVEL_BYTES: usize = 28;

/// CRC-32C over all levels of a book, bids then asks, best price first: of each its price as u64, lots as u128 and orders as u32,
/// little endian. An empty book has 0.
#[must_use]
pub fn book_checksum(bids_then_asks: impl IntoIterator<Item = BookLevel>) -> u32 {
    bids_then_asks.into_iter().fold(0, |crc, level| {
        let mut bytes = [0; LEVEL_BYTES];
        put(&mut bytes, 0, &level.price_ticks.0.to_le_bytes());
        put(&mut bytes, 8, &level.lots.to_le_bytes());
        put(&mut bytes, 24, &level.orders.to_le_bytes());
        crc32c_append(crc, &bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price: u64, lots: u128, orders: u32) -> BookLevel {
        BookLevel { price_ticks: PriceTicks(price), lots, orders }
    }

    #[test]
    fn a_checksum_is_over_the_bytes_as_documented() {
        assert_eq!(book_checksum([]), 0);
        let levels = [level(0x0102, 1 << 100, 3), level(0x0103, 7, 0x0405_0607)];
        let written = "0201000000000000 00000000000000000000000010000000 03000000 \
                       0301000000000000 07000000000000000000000000000000 07060504";
        let digits: Vec<char> = written.chars().filter(|digit| !digit.is_whitespace()).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect();
        assert_eq!(book_checksum(levels), crate::hash::crc32c(&bytes));
        assert_eq!(book_checksum(levels), 0xE9FD_4A9A);
    }
}
