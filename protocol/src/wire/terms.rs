//! What an order may say beside its price and quantity. Most orders say none of it, so it lies outside of them.

use rkyv::rancor::{Fallible, Source, fail};
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

use super::commands::ClOrdId;
use super::fields::{AsField, FieldValue};
use super::rows::rows;
use crate::{
    OrderId, OrderStatus, PegTo, PostOnly, PriceTicks, QtyLots, SelfTradePrevention, TrailBy,
    TriggerDirection, TriggerPriceType,
};

rows! {
    /// When an armed order enters the book: a stop-loss, or a take-profit, by which side of the market its price lies.
    pub struct Trigger {
        /// TriggerPrice(1102). Of a trailing order: from which price on it follows the market; 0 = at once.
        pub price_ticks: PriceTicks,
        /// TriggerPriceType(1107): which price is watched.
        pub price_type: TriggerPriceType,
        /// TriggerPriceDirection(1109).
        pub direction: TriggerDirection,
    }

    /// How far behind the market a trigger follows it.
    pub struct Trail {
        /// In what `offset` is.
        pub by: TrailBy,
        /// Not 0; of basis points, below 10,000.
        pub offset: u64,
    }

    /// What an order's price follows.
    pub struct Peg {
        /// Which best price.
        pub to: PegTo,
        /// How far from it, away from the other side.
        pub offset_ticks: u32,
    }

    /// An order trades a part of itself at a time.
    pub struct Twap {
        /// How many parts, the first one at once; in [`crate::limits::TWAP_LEGS`].
        pub legs: u16,
        /// From one to the next; in [`crate::limits::TWAP_INTERVAL_MS`].
        pub interval_ms: u32,
    }

    /// Instructions that most orders do without; each `None` or 0 where it is not given.
    #[derive(Default)]
    pub struct OrderTerms {
        /// ExpireTime(126) of an order that is good till a date, Unix nanoseconds.
        pub expires_at_ns: u64,
        /// ExposureDuration(1629) of one that is good for a time instead: so long after the record that says so. Of an order that has entered it
        /// is 0, and `expires_at_ns` what followed from it.
        pub expires_in_s: u32,
        /// What is done where it would take liquidity, which it must not.
        pub post_only: Option<PostOnly>,
        /// MinQty(110): at least so much is filled on entry, or nothing is and it expires.
        pub min_qty_lots: QtyLots,
        /// DisplayQty(1138): so much of it is shown at a time.
        pub display_lots: QtyLots,
        /// What is done where it would trade with an order of the same trade group; `None` = as the market says.
        pub self_trade_prevention: Option<SelfTradePrevention>,
        /// It is armed, and enters the book when this happens.
        pub trigger: Option<Trigger>,
        /// The trigger follows the market.
        pub trail: Option<Trail>,
        /// Its price follows the market.
        pub peg: Option<Peg>,
        /// Whether it is cancelled when the session's connection ends; `None` = as the session says.
        pub cancel_on_disconnect: Option<bool>,
        /// It is refused in a record later than this, Unix nanoseconds.
        pub valid_until_ns: u64,
        /// It trades leg by leg, and is in no book.
        pub twap: Option<Twap>,
    }

    /// An order of a list, as it stands.
    pub struct ListedOrder {
        /// OrderID(37).
        pub order: OrderId,
        /// ClOrdID(11).
        pub cl_ord_id: ClOrdId,
        /// OrdStatus(39).
        pub status: OrderStatus,
        /// OrderQty(38).
        pub qty_lots: QtyLots,
        /// LeavesQty(151).
        pub leaves_lots: QtyLots,
        /// CumQty(14).
        pub cum_lots: QtyLots,
        /// Σ price × quantity of its fills, in ticks × lots.
        pub cum_ticks_lots: u128,
    }

    /// What is in force of an order's terms, and the list that it is of.
    #[derive(Default)]
    pub struct OrderDetails {
        /// The terms, but for self-trade prevention; of one that has fired without its trigger, of one that has entered without its minimum.
        pub terms: OrderTerms,
        /// ListID(66); empty = it is of no list.
        pub cl_list_id: ClOrdId,
    }
}

impl OrderTerms {
    /// Appends their bytes to `out`, as they stand in an order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        super::archive(self, out);
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        rkyv::from_bytes::<Self, rkyv::rancor::Failure>(bytes).ok()
    }
}

impl Trail {
    /// Whether it is a distance: more than nothing, and less than the whole price.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        match self.by {
            TrailBy::Ticks => self.offset > 0,
            TrailBy::BasisPoints => 0 < self.offset && self.offset < 10_000,
        }
    }
}

/// A part of a message that is seldom there. Archived as a list of at most one, so that a message without it pays for its place alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Rare<T>(Option<Box<T>>);

/// The terms of an order, most of which have none.
pub type RareTerms = Rare<OrderTerms>;

impl<T> Rare<T> {
    /// Not there.
    pub const NONE: Self = Self(None);

    /// It, if it is there.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    fn as_slice(&self) -> &[T] {
        self.get().map_or(&[], core::slice::from_ref)
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl<T: Default + PartialEq> From<T> for Rare<T> {
    fn from(part: T) -> Self {
        Self((part != T::default()).then(|| Box::new(part)))
    }
}

impl<T: AsField> AsField for Rare<T> {
    fn as_field(&self) -> FieldValue<'_> {
        self.get().map_or(FieldValue::Absent, AsField::as_field)
    }
}

impl<T: Archive> Archive for Rare<T> {
    type Archived = ArchivedVec<T::Archived>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(self.as_slice(), resolver, out);
    }
}

impl<T: Serialize<S>, S: Fallible + Writer + Allocator + ?Sized> Serialize<S> for Rare<T> {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        ArchivedVec::serialize_from_slice(self.as_slice(), serializer)
    }
}

impl<T, D> Deserialize<Rare<T>, D> for ArchivedVec<T::Archived>
where
    T: Archive,
    T::Archived: Deserialize<T, D>,
    D: Fallible + ?Sized,
    D::Error: Source,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<Rare<T>, D::Error> {
        match self.as_slice() {
            [] => Ok(Rare::NONE),
            [part] => Ok(Rare(Some(Box::new(part.deserialize(deserializer)?)))),
            more => fail!(MoreThanOne(more.len())),
        }
    }
}

#[derive(Debug)]
struct MoreThanOne(usize);

impl core::fmt::Display for MoreThanOne {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a rare part of a message {} times where once is allowed", self.0)
    }
}

impl core::error::Error for MoreThanOne {}
