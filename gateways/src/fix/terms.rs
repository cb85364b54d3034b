//! What a D says beside its price and quantity: how long it stands, on what condition it enters, what it must not do. Each
//! word becomes a term of the command or a refusal; none is executed as if it were not there.

use protocol::terms::{OrderTerms, Trigger};
use protocol::{
    PostOnly, PriceTicks, QtyLots, SelfTradePrevention, Side, TriggerDirection, TriggerPriceType, UnixNanos,
};

use super::directory::Market;
use super::message::Message;
use super::orders::{Refusal, price, qty, refusal};
use super::reasons::business;
use super::timestamp;

/// The terms of a valid NewOrderSingle(D). Whether they go together, and with the rest of the order, the engine judges.
pub(super) fn terms(message: &Message<'_>, market: &Market, side: Side) -> Result<OrderTerms, Refusal> {
    Ok(OrderTerms {
        expires_at_ns: expires_at(message)?.0,
        post_only: post_only(message, side)?,
        min_qty_lots: qty(message, market, 110, "MinQty(110)")?,
        display_lots: display(message, market)?,
        self_trade_prevention: self_trade_prevention(message),
        trigger: trigger(message, market, side)?,
        ..OrderTerms::default()
    })
}

/// ExpireTime(126), or the end of ExpireDate(432), UTC; 0 if there is neither.
fn expires_at(message: &Message<'_>) -> Result<UnixNanos, Refusal> {
    let (end, field) = match (message.get(126), message.get(432)) {
        (None, None) => return Ok(UnixNanos(0)),
        (Some(time), None) => (timestamp::parse(time), "ExpireTime(126)"),
        (None, Some(date)) => (timestamp::end_of_date(date), "ExpireDate(432)"),
        (Some(_), Some(_)) => {
            let note = "ExpireTime(126) and ExpireDate(432) exclude each other";
            return Err(refusal(business::OTHER, note));
        }
    };
    let end = end.ok_or_else(|| refusal(business::OTHER, &format!("{field} is out of range")))?;
    // The first instant of 1970 would read as no end at all; the next one is as much over.
    Ok(end.max(UnixNanos(1)))
}

/// ExecInst(18): 6 is refused rather than taking; to stay on its own side of the market, the price gives way.
fn post_only(message: &Message<'_>, side: Side) -> Result<Option<PostOnly>, Refusal> {
    match (message.get(18), side) {
        (None, _) => Ok(None),
        (Some(b"6"), _) => Ok(Some(PostOnly::Reject)),
        (Some(b"9"), Side::Buy) | (Some(b"0"), Side::Sell) => Ok(Some(PostOnly::Slide)),
        (Some(_), _) => {
            let note = "this ExecInst(18) is not supported: send 6, or 9 with a buy, or 0 with a sell";
            Err(refusal(business::OTHER, note))
        }
    }
}

/// MaxFloor(111). 0, which hides an order wholly, must not become one that is wholly shown.
fn display(message: &Message<'_>, market: &Market) -> Result<QtyLots, Refusal> {
    let shown = qty(message, market, 111, "MaxFloor(111)")?;
    if message.get(111).is_some() && shown == QtyLots(0) {
        return Err(refusal(
            business::OTHER,
            "MaxFloor(111)=0 is not supported: an order cannot be hidden wholly",
        ));
    }
    Ok(shown)
}

/// SelfMatchPreventionInstruction(2964); from 100 on values are ours.
fn self_trade_prevention(message: &Message<'_>) -> Option<SelfTradePrevention> {
    match message.get(2964)? {
        b"1" => Some(SelfTradePrevention::ExpireTaker),
        b"2" => Some(SelfTradePrevention::ExpireMaker),
        b"3" => Some(SelfTradePrevention::ExpireBoth),
        b"100" => Some(SelfTradePrevention::None),
        b"101" => Some(SelfTradePrevention::Decrement),
        b"102" => Some(SelfTradePrevention::Transfer),
        _ => None,
    }
}

/// StopPx(99) of a stop order: a buy waits for the last price to rise to it, a sell for it to fall.
fn trigger(message: &Message<'_>, market: &Market, side: Side) -> Result<Option<Trigger>, Refusal> {
    let price_ticks: PriceTicks = price(message, market, 99, "StopPx(99)")?;
    if matches!(message.get(40), Some(b"3" | b"4")) {
        let direction = match side {
            Side::Buy => TriggerDirection::Up,
            Side::Sell => TriggerDirection::Down,
        };
        return Ok(Some(Trigger { price_ticks, price_type: TriggerPriceType::Last, direction }));
    }
    match message.get(99) {
        None => Ok(None),
        Some(_) => Err(refusal(business::OTHER, "StopPx(99) is of OrdType(40)=3 and 4 only")),
    }
}
