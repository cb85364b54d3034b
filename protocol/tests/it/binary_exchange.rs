//! Messages that carry commands of the exchange: an example of each.

use protocol::events::Settled;
use protocol::rows::{FeeTier, ScheduledPhase};
use protocol::*;

use crate::binary::{ID, SEQ, VERSION};

/// One of every command of the exchange that has a message.
pub(crate) fn commands() -> Vec<Command> {
    let (market, amount) = (MarketId(0x0403_0201), |n: u128| Amount(ID + n));
    let (client, session) = (ClientId(VERSION), SessionId(0x1413_1211));
    let tier = FeeTier { volume_min: amount(1), maker_ppm: 0x2423_2221, maker_is_paid: true, taker_ppm: 9 };
    let (base_receivable, quote_receivable, reason) = (AccountId(ID), AccountId(ID + 1), 0x0201);
    vec![
        commands::PublishPrice {
            market,
            price_ticks: PriceTicks(VERSION),
            observed_at_ns: VERSION + 1,
            valid_for_ms: 0x2423_2221,
        }
        .into(),
        commands::SetMarketPhase { market, phase: MarketPhase::Auction }.into(),
        commands::SetFeeSchedule {
            market,
            fee_group: FeeGroupId(0x0201),
            effective_seq: SEQ,
            tiers: vec![tier, FeeTier { maker_is_paid: false, ..tier }],
            tax_ppm: 0x3433_3231,
        }
        .into(),
        commands::SetFeeGroup { client, fee_group: FeeGroupId(0x0201) }.into(),
        commands::SetTradeGroup { client, trade_group: TradeGroupId(VERSION) }.into(),
        commands::SetMarketMakerProtection {
            request_id: Text::EMPTY,
            session: Some(session),
            market,
            fills_max: 0x2423_2221,
            lots_max: QtyLots(VERSION),
            window_ms: 0x3433_3231,
        }
        .into(),
        commands::CancelAll {
            session: Some(session),
            client: Some(client),
            market: Some(market),
            side: Some(Side::Sell),
            firm: Some(FirmId(0x2423_2221)),
        }
        .into(),
        commands::BustTrade { settled: settled(), base_receivable, quote_receivable, reason }.into(),
        commands::CorrectTrade {
            settled: settled(),
            price_ticks: PriceTicks(VERSION + 3),
            qty_lots: QtyLots(VERSION + 4),
            notional: amount(4),
            buyer_fee: amount(5),
            seller_fee: amount(6),
            buyer_tax: amount(7),
            seller_tax: amount(8),
            base_receivable,
            quote_receivable,
            reason,
        }
        .into(),
        trading_rules().into(),
        market_schedule().into(),
    ]
}

fn settled() -> Settled {
    Settled {
        trade: TradeId(VERSION),
        market: MarketId(0x0403_0201),
        price_ticks: PriceTicks(VERSION + 1),
        qty_lots: QtyLots(VERSION + 2),
        notional: Amount(ID),
        maker_order: OrderId(VERSION + 3),
        taker_order: OrderId(VERSION + 4),
        taker_side: Side::Buy,
        buyer: ClientId(VERSION + 5),
        seller: ClientId(VERSION + 6),
        buyer_fee: Amount(ID + 1),
        seller_fee: Amount(ID + 2),
        buyer_tax: Amount(ID + 3),
        seller_tax: Amount(ID + 4),
        maker_is_paid: true,
    }
}

fn trading_rules() -> commands::SetTradingRules {
    commands::SetTradingRules {
        market: MarketId(0x0403_0201),
        reference: ReferencePrice::Index,
        buy_above_ppm: 0x1413_1211,
        buy_below_ppm: 0x2423_2221,
        sell_above_ppm: 0x3433_3231,
        sell_below_ppm: 0x4443_4241,
        collar_ppm: 0x5453_5251,
        self_trade_prevention: SelfTradePrevention::Decrement,
        may_self_trade: true,
        client_stops_max: 0x6463_6261,
        client_icebergs_max: 0x7473_7271,
        client_position_lots_max: QtyLots(VERSION),
        amendments_max: 0x8483_8281,
        volatility_ppm: 0x9493_9291,
        volatility_window_ms: 0xA4A3_A2A1,
        volatility_phase: MarketPhase::Auction,
        volatility_pause_ms: 0xB4B3_B2B1,
    }
}

pub(crate) fn market_schedule() -> commands::SetMarketSchedule {
    let entry = |days, at_ms, phase| ScheduledPhase { days, at_ms, phase };
    commands::SetMarketSchedule {
        market: MarketId(0x0403_0201),
        utc_offset_s: 0x1413_1211,
        behind_utc: true,
        entries: vec![
            entry(0x9F, 0x2423_2221, MarketPhase::PreOpen),
            entry(0x1F, 0x3433_3231, MarketPhase::Closed),
        ],
        holidays: vec![0x4443_4241, 0x5453_5251],
        short_days: vec![0x6463_6261],
    }
}

/// As much as a market's schedule can say.
pub(crate) fn longest_market_schedule() -> commands::SetMarketSchedule {
    let schedule = market_schedule();
    let dates = limits::MARKET_SCHEDULE_DATES_MAX.try_into().unwrap();
    commands::SetMarketSchedule {
        entries: vec![schedule.entries[0]; limits::MARKET_SCHEDULE_ENTRIES_MAX],
        holidays: (1..=dates).collect(),
        short_days: (dates + 1..=2 * dates).collect(),
        ..schedule
    }
}
