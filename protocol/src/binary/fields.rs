//! What can stand in a message: fields of a fixed length, groups of rows, and texts.

use core::marker::PhantomData;

use super::codes::{
    BusinessRejectReason, CandleInterval, EstablishRejectCode, FlowType, MarketChannel, MarketRejectReason,
    NegotiateRejectCode, OrderChangeKind, SubscriptionEnd, TerminationCode, TickerWindow, TradeStatus,
    TransferStatus,
};
use super::messages::{Message, Proposal, Propose};
use super::{BinaryFault, CarriedCommand};
use crate::bytes::Field;
use crate::hash::Hash;
use crate::limits::{
    ASSET_CODE_BYTES_MAX, BINARY_ENCLOSED_BYTES_MAX, BINARY_TEXT_BYTES_MAX, NOTE_BYTES_MAX,
    RATE_SOURCE_BYTES_MAX, SYMBOL_BYTES_MAX,
};
use crate::sign::Signature;
use crate::{
    AccountClass, AccountId, AccountKind, ActorId, Amount, AssetId, ClientId, Command, DayRule, FeeGroupId,
    FirmId, LedgerRefusal, MarketId, MarketPhase, MonitorField, MonitorId, MonitorOperator, NormalSide,
    OrderId, PhaseCause, PriceTicks, ProposalId, QtyLots, QuoteId, ReferencePrice, RejectReason,
    RequestNumber, Schedule, SelfTradePrevention, Seq, SessionId, Side, StandingOrderId, Term, Text,
    TradeGroupId, TradeId, TransferId, UnixNanos,
};

/// Fields as the schema describes them: name, name of the type, bytes.
pub type Fields = &'static [(&'static str, &'static str, usize)];

/// A value of fixed length.
pub trait Fixed: Sized {
    /// Its length.
    const BYTES: usize;
    /// Name of its type in the schema.
    const TYPE: &'static str;
    /// Whether all bytes of that length are a value.
    const ANY: bool;
    /// Its fields, if it has any.
    const FIELDS: Fields = &[];
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes it from the front of `bytes`, which are as many or more.
    ///
    /// # Errors
    /// Name of the type that has no such value.
    fn take(bytes: &mut &[u8]) -> Result<Self, &'static str>;
}

/// What follows behind a message's fixed fields.
pub trait Tail<'a>: Sized {
    /// As the schema describes it.
    const LAYOUT: TailLayout;
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes it from the front of `rest`.
    ///
    /// # Errors
    /// [`BinaryFault`] for what [`Self::put`] does not write.
    fn take(template: u16, rest: &mut &'a [u8]) -> Result<Self, BinaryFault>;
}

/// A tail as the schema describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailLayout {
    /// A group.
    Group {
        /// Bytes of a row.
        row_bytes: usize,
        /// Rows at most.
        rows_max: usize,
        /// Of a row.
        fields: Fields,
    },
    /// [`Words`].
    Text,
    /// [`Enclosed`].
    Enclosed,
}

fn array<const N: usize>(bytes: &mut &[u8], list: &'static str) -> Result<[u8; N], &'static str> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(list)?;
    *bytes = rest;
    Ok(*head)
}

macro_rules! integers {
    ($($type:ty as $name:literal, $bytes:literal;)*) => {$(
        impl Fixed for $type {
            const BYTES: usize = $bytes;
            const TYPE: &'static str = $name;
            const ANY: bool = true;
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            #[inline]
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                array(bytes, $name).map(Self::from_le_bytes)
            }
        }
    )*};
}
integers! { u8 as "u8", 1; u16 as "u16", 2; u32 as "u32", 4; u64 as "u64", 8; u128 as "u128", 16; }

macro_rules! newtypes {
    ($($name:ident($inner:ty) as $type:literal;)*) => {$(
        impl Fixed for $name {
            const BYTES: usize = <$inner as Fixed>::BYTES;
            const TYPE: &'static str = $type;
            const ANY: bool = true;
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            #[inline]
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                <$inner>::take(bytes).map(Self)
            }
        }
    )*};
}
newtypes! {
    SessionId(u32) as "u32";
    RequestNumber(u64) as "u64";
    Seq(u64) as "u64";
    Term(u64) as "u64";
    ClientId(u64) as "u64";
    UnixNanos(u64) as "nanos";
    AssetId(u32) as "u32";
    AccountId(u128) as "u128";
    Amount(u128) as "u128";
    TransferId(u128) as "u128";
    MonitorId(u64) as "u64";
    ProposalId(u64) as "u64";
    ActorId(u32) as "u32";
    QuoteId(u128) as "u128";
    StandingOrderId(u64) as "u64";
    MarketId(u32) as "u32";
    OrderId(u64) as "u64";
    TradeId(u64) as "u64";
    PriceTicks(u64) as "u64";
    QtyLots(u64) as "u64";
    FeeGroupId(u16) as "u16";
    TradeGroupId(u64) as "u64";
    FirmId(u32) as "u32";
}

macro_rules! arrays {
    ($($name:ident[$bytes:literal] as $type:literal;)*) => {$(
        impl Fixed for $name {
            const BYTES: usize = $bytes;
            const TYPE: &'static str = $type;
            const ANY: bool = true;
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                array(bytes, $type).map(Self)
            }
        }
    )*};
}
arrays! { Hash[32] as "bytes32"; Signature[64] as "bytes64"; }

macro_rules! texts {
    ($($max:ident as $type:literal;)*) => {$(
        /// A text in a place of its own length, with zeros behind it.
        impl Fixed for Text<$max> {
            const BYTES: usize = $max;
            const TYPE: &'static str = $type;
            const ANY: bool = false;
            fn put(&self, out: &mut Vec<u8>) {
                let end = out.len().saturating_add($max);
                out.extend_from_slice(self.as_bytes());
                out.resize(end, 0);
            }
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                let all: [u8; $max] = array(bytes, $type)?;
                let text = core::str::from_utf8(&all).map_err(|_| $type)?.trim_end_matches('\0');
                Self::new(text).ok().filter(|_| !text.contains('\0')).ok_or($type)
            }
        }
    )*};
}
texts! { NOTE_BYTES_MAX as "text120"; SYMBOL_BYTES_MAX as "text32"; RATE_SOURCE_BYTES_MAX as "text16"; }

/// An asset's code has the length of a rate's source.
const _: () = assert!(ASSET_CODE_BYTES_MAX == RATE_SOURCE_BYTES_MAX);

/// Whether; any other byte than 0 and 1 is refused.
impl Fixed for bool {
    const BYTES: usize = 1;
    const TYPE: &'static str = "Flag";
    const ANY: bool = false;
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
        match array(bytes, "Flag")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err("Flag"),
        }
    }
}

macro_rules! code_fields {
    ($($name:ident)*) => {$(
        impl Fixed for $name {
            const BYTES: usize = 1;
            const TYPE: &'static str = stringify!($name);
            const ANY: bool = false;
            fn put(&self, out: &mut Vec<u8>) {
                out.push(self.code());
            }
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                let [code] = array(bytes, stringify!($name))?;
                Self::from_code(code).ok_or(stringify!($name))
            }
        }
    )*};
}
code_fields! {
    FlowType NegotiateRejectCode EstablishRejectCode TerminationCode BusinessRejectReason LedgerRefusal TransferStatus
    MonitorField MonitorOperator Schedule DayRule MarketPhase
    Side MarketChannel MarketRejectReason SubscriptionEnd OrderChangeKind TickerWindow CandleInterval
    TradeStatus ReferencePrice SelfTradePrevention
}

macro_rules! optional_codes {
    ($($name:ident as $type:literal;)*) => {$(
        /// A code, or 0 = none: no list has a code 0 of its own where it may be absent.
        impl Fixed for Option<$name> {
            const BYTES: usize = 1;
            const TYPE: &'static str = $type;
            const ANY: bool = false;
            fn put(&self, out: &mut Vec<u8>) {
                out.push(self.map_or(0, $name::code));
            }
            fn take(bytes: &mut &[u8]) -> Result<Self, &'static str> {
                match array(bytes, $type)? {
                    [0] => Ok(None),
                    [code] => $name::from_code(code).map(Some).ok_or($type),
                }
            }
        }
    )*};
}
optional_codes! {
    RejectReason as "RejectReason";
    AccountClass as "AccountClass";
    AccountKind as "AccountKind";
    NormalSide as "NormalSide";
    LedgerRefusal as "LedgerRefusal";
    TickerWindow as "TickerWindow";
    CandleInterval as "CandleInterval";
    Side as "AnySide";
    PhaseCause as "PhaseCause";
}

/// The rows of a group, as they stand in the message.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, R, const MAX: usize> {
    bytes: &'a [u8],
    rows: PhantomData<R>,
}

impl<'a, R: Fixed, const MAX: usize> Rows<'a, R, MAX> {
    /// Of rows that were written one behind the other; `None` if it is no whole number of them, or too many.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let whole = bytes.len().checked_rem(R::BYTES) == Some(0);
        let rows = Self { bytes, rows: PhantomData };
        (whole && rows.len() <= MAX).then_some(rows)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.bytes.len().checked_div(R::BYTES) {
            Some(rows) => rows,
            None => 0,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Their bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = R> + use<'a, R, MAX> {
        // Values were looked at when the message was read.
        self.bytes.chunks_exact(R::BYTES).map_while(|mut row| R::take(&mut row).ok())
    }
}

impl<R, const MAX: usize> Default for Rows<'_, R, MAX> {
    fn default() -> Self {
        Self { bytes: &[], rows: PhantomData }
    }
}

impl<R, const MAX: usize> PartialEq for Rows<'_, R, MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<R, const MAX: usize> Eq for Rows<'_, R, MAX> {}

const GROUP_HEADER_BYTES: usize = 4;

impl<'a, R: Fixed, const MAX: usize> Tail<'a> for Rows<'a, R, MAX> {
    const LAYOUT: TailLayout = TailLayout::Group { row_bytes: R::BYTES, rows_max: MAX, fields: R::FIELDS };

    fn put(&self, out: &mut Vec<u8>) {
        for number in [R::BYTES, self.len()] {
            u16::try_from(number).unwrap_or(u16::MAX).put(out);
        }
        out.extend_from_slice(self.bytes);
    }

    fn take(template: u16, rest: &mut &'a [u8]) -> Result<Self, BinaryFault> {
        let (header, rows) = rest.split_at_checked(GROUP_HEADER_BYTES).ok_or(BinaryFault::Cut(template))?;
        let (row_bytes, count) = (header.u16_at(0), header.u16_at(2));
        if usize::from(row_bytes) != R::BYTES {
            return Err(BinaryFault::Block { template, found: row_bytes });
        }
        if usize::from(count) > MAX {
            return Err(BinaryFault::Count { template, found: count });
        }
        let bytes = R::BYTES.saturating_mul(usize::from(count));
        let (bytes, behind) = rows.split_at_checked(bytes).ok_or(BinaryFault::Cut(template))?;
        if !R::ANY {
            for mut row in bytes.chunks_exact(R::BYTES) {
                R::take(&mut row).map_err(|list| BinaryFault::Value { template, list })?;
            }
        }
        *rest = behind;
        Ok(Self { bytes, rows: PhantomData })
    }
}

/// A text for people: UTF-8, of [`BINARY_TEXT_BYTES_MAX`] bytes at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// What of `text` fits.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let end = text.floor_char_boundary(text.len().min(BINARY_TEXT_BYTES_MAX));
        Self(text.get(..end).unwrap_or_default())
    }

    /// As text.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

impl<'a> Tail<'a> for Words<'a> {
    const LAYOUT: TailLayout = TailLayout::Text;

    fn put(&self, out: &mut Vec<u8>) {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX).put(out);
        out.extend_from_slice(self.0.as_bytes());
    }

    fn take(template: u16, rest: &mut &'a [u8]) -> Result<Self, BinaryFault> {
        let (header, text) = rest.split_at_checked(2).ok_or(BinaryFault::Cut(template))?;
        let count = header.u16_at(0);
        if usize::from(count) > BINARY_TEXT_BYTES_MAX {
            return Err(BinaryFault::Count { template, found: count });
        }
        let (text, behind) = text.split_at_checked(usize::from(count)).ok_or(BinaryFault::Cut(template))?;
        let text = core::str::from_utf8(text).map_err(|_| BinaryFault::Value { template, list: "text" })?;
        *rest = behind;
        Ok(Self(text))
    }
}

/// A command inside a message, as the message that carries it; none where there is none, or no message carries it. Its own numbers mean
/// nothing there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enclosed<'a>(&'a [u8]);

impl<'a> Enclosed<'a> {
    /// Of what [`super::CarriedCommand::write`] wrote; `None` if it is too long.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Option<Self> {
        (message.len() <= BINARY_ENCLOSED_BYTES_MAX).then_some(Self(message))
    }

    /// The command; `None` = there is none.
    #[must_use]
    pub fn command(&self) -> Option<Command> {
        let message = Message::read(self.0).ok()?;
        CarriedCommand::of(&message).map(|carried| carried.command)
    }
}

impl<'a> Tail<'a> for Enclosed<'a> {
    const LAYOUT: TailLayout = TailLayout::Enclosed;

    fn put(&self, out: &mut Vec<u8>) {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX).put(out);
        out.extend_from_slice(self.0);
    }

    fn take(template: u16, rest: &mut &'a [u8]) -> Result<Self, BinaryFault> {
        let (header, message) = rest.split_at_checked(2).ok_or(BinaryFault::Cut(template))?;
        let count = header.u16_at(0);
        if usize::from(count) > BINARY_ENCLOSED_BYTES_MAX {
            return Err(BinaryFault::Count { template, found: count });
        }
        let bytes = usize::from(count);
        let (message, behind) = message.split_at_checked(bytes).ok_or(BinaryFault::Cut(template))?;
        let enclosed = Self(message);
        // A proposal of a proposal is nothing, however deep it goes.
        let nests =
            matches!(super::headers::template_of(message), Some(Propose::TEMPLATE | Proposal::TEMPLATE));
        if !message.is_empty() && (nests || enclosed.command().is_none()) {
            return Err(BinaryFault::Value { template, list: "command" });
        }
        *rest = behind;
        Ok(enclosed)
    }
}
