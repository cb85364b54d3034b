//! What is set of a market, and the quotes in it.

use super::*;

pub(super) fn set_trading_rules() -> SetTradingRules {
    SetTradingRules {
        market: MarketId(n4(0)),
        reference: ReferencePrice::Index,
        buy_above_ppm: n4(2),
        buy_below_ppm: n4(3),
        sell_above_ppm: n4(4),
        sell_below_ppm: n4(5),
        collar_ppm: n4(6),
        self_trade_prevention: SelfTradePrevention::ExpireBoth,
        may_self_trade: true,
        client_stops_max: n4(9),
        client_icebergs_max: n4(10),
        client_position_lots_max: QtyLots(n8(11)),
        amendments_max: n4(12),
        volatility_ppm: n4(13),
        volatility_window_ms: n4(14),
        volatility_phase: MarketPhase::Auction,
        volatility_pause_ms: n4(15),
    }
}

pub(super) fn set_market_schedule() -> SetMarketSchedule {
    let entry = ScheduledPhase { days: n1(0), at_ms: n4(1), phase: MarketPhase::PreOpen };
    SetMarketSchedule {
        market: MarketId(n4(0)),
        utc_offset_s: n4(1),
        behind_utc: true,
        entries: vec![entry, ScheduledPhase { phase: MarketPhase::Closed, ..entry }],
        holidays: vec![n4(4), n4(5)],
        short_days: vec![n4(6)],
    }
}

pub(super) fn mass_quote() -> MassQuote {
    let entry = QuoteEntry {
        entry: n4(0),
        market: MarketId(n4(1)),
        bid_price_ticks: PriceTicks(n8(2)),
        bid_lots: QtyLots(n8(3)),
        offer_price_ticks: PriceTicks(n8(4)),
        offer_lots: QtyLots(n8(5)),
    };
    MassQuote {
        quote_id: text("quote"),
        client: Some(ClientId(n8(1))),
        post_only: Some(PostOnly::Slide),
        self_trade_prevention: Some(SelfTradePrevention::ExpireMaker),
        capacity: Some(Capacity::RisklessPrincipal),
        firm: Some(FirmId(n4(5))),
        investment_decision: Some(n8(6)),
        execution_decision: Some(n8(7)),
        decision_flags: n1(8),
        withdraws_others: true,
        withdraws_market: Some(MarketId(n4(10))),
        entries: vec![entry, entry],
    }
}

pub(super) fn set_fee_schedule() -> SetFeeSchedule {
    let tier =
        FeeTier { volume_min: Amount(n16(0)), maker_ppm: n4(1), maker_is_paid: true, taker_ppm: n4(3) };
    SetFeeSchedule {
        market: MarketId(n4(0)),
        fee_group: FeeGroupId(n2(1)),
        effective_seq: Seq(n8(2)),
        tiers: vec![tier, tier],
        tax_ppm: n4(4),
    }
}

pub(super) fn mass_quote_acknowledged() -> MassQuoteAcknowledged {
    MassQuoteAcknowledged {
        quote_id: text("quote"),
        client: ClientId(n8(1)),
        entries: n4(2),
        entered: n4(3),
        kept: n4(4),
        withdrawn: n4(5),
        refused: vec![QuoteRefusal {
            entry: n4(0),
            market: MarketId(n4(1)),
            reason: RejectReason::InvalidSpread,
        }],
        refusal: Some(RejectReason::ClientNotEntitled),
    }
}
