//! How flows differ.

use engine::matching::BookLimits;
use protocol::Side;

use crate::draw::Draw;

/// How a flow draws its prices and quantities, and how large its book may get.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Both sides within a block or two of a drifting mid.
    Tight,
    /// Levels far more than 64 ticks apart.
    Wide,
    /// Prices at the ends of u64 and around powers of two, between ordinary ones.
    Far,
    /// One price a side.
    OneLevel,
    /// Few prices and thousands of orders, so that the index and the slab grow and shrink.
    Deep,
    /// The mid jumps anywhere.
    Jumping,
    /// Room for 40 orders on 8 levels.
    Full,
    /// Quantities near u64::MAX, so that a level holds more than u64 lots.
    Huge,
}

pub(crate) const SHAPES: [Shape; 8] = [
    Shape::Tight,
    Shape::Wide,
    Shape::Far,
    Shape::OneLevel,
    Shape::Deep,
    Shape::Jumping,
    Shape::Full,
    Shape::Huge,
];

impl Shape {
    pub(crate) fn limits(self) -> BookLimits {
        match self {
            Self::Full => BookLimits { orders_max: 40, levels_max: 8 },
            Self::Deep => BookLimits::default(),
            Self::Tight | Self::Wide | Self::Far | Self::OneLevel | Self::Jumping | Self::Huge => {
                BookLimits { orders_max: 400, ..BookLimits::default() }
            }
        }
    }

    pub(crate) fn price(self, draw: &mut Draw, mid: u64, side: Side) -> u64 {
        // Three in four are passive, the rest may cross.
        let passive = draw.below(4) > 0;
        let spread = match self {
            Self::Tight | Self::Huge => 60,
            Self::Wide => 500_000,
            Self::OneLevel => 1,
            Self::Deep => 3,
            Self::Far | Self::Jumping | Self::Full => 200,
        };
        let distance = if passive { draw.below(spread) } else { draw.below(3).wrapping_neg() };
        let near = match side {
            Side::Buy => mid.wrapping_sub(distance),
            Side::Sell => mid.wrapping_add(1).wrapping_add(distance),
        };
        match self {
            Self::Far if draw.below(3) == 0 => {
                let power = 1_u64.wrapping_shl(u32::try_from(draw.below(64)).unwrap());
                let jitter = draw.below(4);
                match draw.below(4) {
                    0 => u64::MAX - draw.below(70),
                    1 => draw.below(10),
                    2 => power.saturating_sub(jitter),
                    _ => power.saturating_add(jitter),
                }
            }
            Self::Tight
            | Self::Wide
            | Self::Far
            | Self::OneLevel
            | Self::Deep
            | Self::Jumping
            | Self::Full
            | Self::Huge => near,
        }
    }

    pub(crate) fn qty(self, draw: &mut Draw) -> u64 {
        match self {
            Self::Huge if draw.below(2) == 0 => u64::MAX - draw.below(3),
            Self::Tight
            | Self::Wide
            | Self::Far
            | Self::OneLevel
            | Self::Deep
            | Self::Jumping
            | Self::Full
            | Self::Huge => draw.below(50),
        }
    }

    /// How much of an iceberg is shown; now and then nothing, more than there is, or too little.
    pub(crate) fn display(self, draw: &mut Draw, qty: u64) -> u64 {
        match draw.below(4) {
            0 => draw.below(3),
            1 => qty.saturating_add(draw.below(2)),
            _ => (qty / (1 + draw.below(12))).saturating_add(draw.below(2)),
        }
    }
}
