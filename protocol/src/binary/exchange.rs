//! Messages that carry commands of the exchange: prices from outside, phases, rules and schedules of markets, fees, orders that are
//! cancelled for others, trades that are taken back.
//!
//! Where a command says `None`, its message says 0: no id is 0.

use super::fields::Rows;
use super::macros::{message, rows};
use super::rows::Day;
use crate::events::Settled;
use crate::limits::{FEE_TIERS_MAX, MARKET_SCHEDULE_DATES_MAX, MARKET_SCHEDULE_ENTRIES_MAX};
use crate::rows::{FeeTier, ScheduledPhase};
use crate::{
    AccountId, Amount, ClientId, FeeGroupId, FirmId, MarketId, MarketPhase, OrderId, PriceTicks, QtyLots,
    ReferencePrice, RequestNumber, SelfTradePrevention, Seq, SessionId, Side, Text, TradeGroupId, TradeId,
    commands,
};

message! {
    /// Client: an index price, a fact from outside.
    PublishPrice = 631 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The market.
        market: MarketId,
        /// The price; not 0.
        price_ticks: PriceTicks,
        /// When it was observed, Unix nanoseconds: after the one before, and hardly ahead of now.
        observed_at_ns: u64,
        /// How old it may become; not 0, at most a day.
        valid_for_ms: u32,
    }
}

message! {
    /// Client: puts a market into a phase.
    SetMarketPhase = 632 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The market.
        market: MarketId,
        /// From now on.
        phase: MarketPhase,
    }
}

message! {
    /// Client: sets what a group of clients pays in a market, from a seq on.
    SetFeeSchedule<'a> = 633 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The market.
        market: MarketId,
        /// For whom; 0 = all clients of a group that has none of its own here.
        fee_group: FeeGroupId,
        /// The first seq for whose orders it counts: in the future, or 0 for that of this command.
        effective_seq: Seq,
        /// Tax on fees, in millionths of the fee, beside it.
        tax_ppm: u32,
        ..
        /// By ascending volume, the first from 0. None = the group has no schedule any more.
        tiers: Rows<'a, FeeTier, FEE_TIERS_MAX>,
    }
}

message! {
    /// Client: puts a client into a fee group, in all markets and from the next order on.
    SetFeeGroup = 634 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The client.
        client: ClientId,
        /// The group; 0 = none.
        fee_group: FeeGroupId,
    }
}

message! {
    /// Client: puts a client into a trade group: orders of one group do not trade with each other where they say so.
    SetTradeGroup = 647 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The client.
        client: ClientId,
        /// The group; 0 = none.
        trade_group: TradeGroupId,
    }
}

message! {
    /// Client: sets when a session's orders in a market are pulled, or says that it is ready again behind that.
    SetMarketMakerProtection = 635 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// Whose; 0 = that of the session that sends it.
        session: SessionId,
        /// The market.
        market: MarketId,
        /// Fills of its resting orders in the window; at most 1,024; 0 = no protection.
        fills_max: u32,
        /// Lots of them; 0 = any number.
        lots_max: QtyLots,
        /// How long the window is; at most an hour.
        window_ms: u32,
    }
}

message! {
    /// Client: cancels the live orders that are of everything that is named.
    CancelAll = 636 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// Those that this session entered; 0 = any.
        session: SessionId,
        /// Those of this client; 0 = any.
        client: ClientId,
        /// Those in this market; 0 = any.
        market: MarketId,
        /// Those of this side.
        side: Option<Side>,
        /// Those that sessions of this member firm entered; 0 = any.
        firm: FirmId,
    }
}

message! {
    /// Client: takes a trade back; always proposed.
    BustTrade = 637 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// As it was settled.
        settled: SettledTrade,
        /// Of class house or suspense, in base: advances what the buyer has to give back and has no more. 0 = then it is refused.
        base_receivable: AccountId,
        /// Likewise in quote, for whoever it is.
        quote_receivable: AccountId,
        /// Why: free for the bank; not 0.
        reason: u16,
    }
}

message! {
    /// Client: puts another price, or less, in the place of what was traded; always proposed.
    CorrectTrade = 638 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// As it was settled.
        settled: SettledTrade,
        /// Price from now on, in ticks.
        correct_price_ticks: PriceTicks,
        /// Quantity from now on, in lots: more than 0, and not more than it was.
        correct_qty_lots: QtyLots,
        /// Price × quantity in quote.
        correct_notional: Amount,
        /// From now on; whose is a rebate does not change.
        correct_buyer_fee: Amount,
        /// From now on.
        correct_seller_fee: Amount,
        /// From now on.
        correct_buyer_tax: Amount,
        /// From now on.
        correct_seller_tax: Amount,
        /// As in BustTrade.
        base_receivable: AccountId,
        /// As in BustTrade.
        quote_receivable: AccountId,
        /// Why: free for the bank; not 0.
        reason: u16,
    }
}

message! {
    /// Client: sets what a market demands beside its definition, all of it.
    SetTradingRules = 639 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The market.
        market: MarketId,
        /// Around which price bands and the collar lie.
        reference: ReferencePrice,
        /// How far above the reference price a purchase may be priced, in millionths of it; 0 = anything.
        buy_above_ppm: u32,
        /// How far below it; at most a million; 0 = anything.
        buy_below_ppm: u32,
        /// How far above the reference price a sale may be priced, in millionths of it; 0 = anything.
        sell_above_ppm: u32,
        /// How far below it; at most a million; 0 = anything.
        sell_below_ppm: u32,
        /// How far from the reference price a trade may be, in millionths of it; at most a million; 0 = anything.
        collar_ppm: u32,
        /// For orders that say nothing of it; not None where no order may say that.
        self_trade_prevention: SelfTradePrevention,
        /// Whether an order may say that it trades with its own group.
        may_self_trade: bool,
        /// Orders of one client that wait for a price; 0 = as many as orders.
        client_stops_max: u32,
        /// Orders of one client that show a part of themselves; 0 = as many as orders.
        client_icebergs_max: u32,
        /// What a client may hold of the base asset, with what its live purchases would add; 0 = anything.
        client_position_lots_max: QtyLots,
        /// How often one order may be replaced; 0 = any number of times.
        amendments_max: u32,
        /// How far a trade's price may be from the lowest and the highest of the window before, in millionths of that; beyond it the market
        /// pauses. At most a million; 0 = anything.
        volatility_ppm: u32,
        /// How long the window is: from a second to a day; 0 if nothing is watched.
        volatility_window_ms: u32,
        /// The phase in which the market pauses: Halt or Auction; Halt if nothing is watched.
        volatility_phase: MarketPhase,
        /// How long it pauses; at most a day; 0 = until a command or its schedule ends that.
        volatility_pause_ms: u32,
    }
}

message! {
    /// Client: sets when a market goes into which phase by itself; nothing of the schedule before is left. No phase changes at once.
    SetMarketSchedule<'a> = 644 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// The market.
        market: MarketId,
        /// How far local time is from UTC; at most 50,400; 0 without entries.
        utc_offset_s: u32,
        /// Whether it is behind UTC, as in America, and not ahead of it.
        behind_utc: bool,
        ..
        /// By ascending time and days, at most one at a time. None = the market has no schedule any more.
        entries: Rows<'a, ScheduledPhase, MARKET_SCHEDULE_ENTRIES_MAX>,
        /// Days on which the market is closed, from midnight on, ascending.
        holidays: Rows<'a, Day, MARKET_SCHEDULE_DATES_MAX>,
        /// Days on which entries of short days count and no others, ascending; none of them a holiday.
        short_days: Rows<'a, Day, MARKET_SCHEDULE_DATES_MAX>,
    }
}

rows! {
    /// A trade in the words in which it was settled: the journal's event `Settled`.
    pub struct SettledTrade {
        /// The trade.
        pub trade: TradeId,
        /// The market.
        pub market: MarketId,
        /// At which it was traded.
        pub price_ticks: PriceTicks,
        /// How much of it.
        pub qty_lots: QtyLots,
        /// Price × quantity in quote.
        pub notional: Amount,
        /// Of the resting order; in an auction, of the older one.
        pub maker_order: OrderId,
        /// Of the incoming order, or the younger one.
        pub taker_order: OrderId,
        /// Side of that one.
        pub taker_side: Side,
        /// Paid quote.
        pub buyer: ClientId,
        /// Paid base.
        pub seller: ClientId,
        /// In quote, without tax.
        pub buyer_fee: Amount,
        /// In quote, without tax.
        pub seller_fee: Amount,
        /// Tax on the buyer's fee.
        pub buyer_tax: Amount,
        /// Tax on the seller's fee.
        pub seller_tax: Amount,
        /// Whether the fee of the resting side was a rebate.
        pub maker_is_paid: bool,
    }
}

/// The same fields under the same names.
macro_rules! same_fields {
    ($one:ident, $other:ident { $( $field:ident ),* $(,)? }) => {
        impl From<$one> for $other {
            fn from(one: $one) -> Self {
                Self { $( $field: one.$field, )* }
            }
        }

        impl From<&$other> for $one {
            fn from(other: &$other) -> Self {
                Self { $( $field: other.$field, )* }
            }
        }
    };
}
same_fields! { SettledTrade, Settled {
    trade, market, price_ticks, qty_lots, notional, maker_order, taker_order, taker_side, buyer, seller, buyer_fee, seller_fee,
    buyer_tax, seller_tax, maker_is_paid,
} }

/// An id where there is one, 0 where there is none.
fn named<I: Copy + Default + PartialEq>(id: I) -> Option<I> {
    (id != I::default()).then_some(id)
}

impl From<&SetMarketMakerProtection> for commands::SetMarketMakerProtection {
    fn from(message: &SetMarketMakerProtection) -> Self {
        let &SetMarketMakerProtection { session, market, fills_max, lots_max, window_ms, .. } = message;
        Self { request_id: Text::EMPTY, session: named(session), market, fills_max, lots_max, window_ms }
    }
}

impl SetMarketMakerProtection {
    pub(super) fn of(
        (seq_no, command_no): (RequestNumber, RequestNumber),
        command: &commands::SetMarketMakerProtection,
    ) -> Self {
        let &commands::SetMarketMakerProtection { session, market, fills_max, lots_max, window_ms, .. } =
            command;
        let session = session.unwrap_or_default();
        Self { seq_no, command_no, session, market, fills_max, lots_max, window_ms }
    }
}

impl From<&CancelAll> for commands::CancelAll {
    fn from(message: &CancelAll) -> Self {
        let &CancelAll { session, client, market, side, firm, .. } = message;
        Self {
            session: named(session),
            client: named(client),
            market: named(market),
            side,
            firm: named(firm),
        }
    }
}

impl CancelAll {
    pub(super) fn of(
        (seq_no, command_no): (RequestNumber, RequestNumber),
        command: &commands::CancelAll,
    ) -> Self {
        let &commands::CancelAll { session, client, market, side, firm } = command;
        Self {
            seq_no,
            command_no,
            session: session.unwrap_or_default(),
            client: client.unwrap_or_default(),
            market: market.unwrap_or_default(),
            side,
            firm: firm.unwrap_or_default(),
        }
    }
}

impl From<&BustTrade> for commands::BustTrade {
    fn from(message: &BustTrade) -> Self {
        let &BustTrade { settled, base_receivable, quote_receivable, reason, .. } = message;
        Self { settled: settled.into(), base_receivable, quote_receivable, reason }
    }
}

impl BustTrade {
    pub(super) fn of(
        (seq_no, command_no): (RequestNumber, RequestNumber),
        command: &commands::BustTrade,
    ) -> Self {
        let &commands::BustTrade { ref settled, base_receivable, quote_receivable, reason } = command;
        Self { seq_no, command_no, settled: settled.into(), base_receivable, quote_receivable, reason }
    }
}

impl From<&CorrectTrade> for commands::CorrectTrade {
    fn from(message: &CorrectTrade) -> Self {
        Self {
            settled: message.settled.into(),
            price_ticks: message.correct_price_ticks,
            qty_lots: message.correct_qty_lots,
            notional: message.correct_notional,
            buyer_fee: message.correct_buyer_fee,
            seller_fee: message.correct_seller_fee,
            buyer_tax: message.correct_buyer_tax,
            seller_tax: message.correct_seller_tax,
            base_receivable: message.base_receivable,
            quote_receivable: message.quote_receivable,
            reason: message.reason,
        }
    }
}

impl CorrectTrade {
    pub(super) fn of(
        (seq_no, command_no): (RequestNumber, RequestNumber),
        command: &commands::CorrectTrade,
    ) -> Self {
        Self {
            seq_no,
            command_no,
            settled: (&command.settled).into(),
            correct_price_ticks: command.price_ticks,
            correct_qty_lots: command.qty_lots,
            correct_notional: command.notional,
            correct_buyer_fee: command.buyer_fee,
            correct_seller_fee: command.seller_fee,
            correct_buyer_tax: command.buyer_tax,
            correct_seller_tax: command.seller_tax,
            base_receivable: command.base_receivable,
            quote_receivable: command.quote_receivable,
            reason: command.reason,
        }
    }
}
