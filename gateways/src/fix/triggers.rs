//! Orders that wait for a price, in the words of FIX: stops and orders if touched by OrdType(40), anything else by the
//! triggering instructions of FIX 5.0 SP2, trailing stops as a peg; and orders whose price is pegged.

use protocol::terms::{Peg, Trail, Trigger};
use protocol::{PegTo, PriceTicks, Side, TrailBy, TriggerDirection, TriggerPriceType};

use super::directory::Market;
use super::message::{Message, number};
use super::orders::{Refusal, price, refusal};
use super::reasons::business;

/// Fields that say something of a trigger, and nothing of an order without one.
const OF_A_TRIGGER: [i32; 6] = [99, 1100, 1101, 1102, 1107, 1109];
/// Fields that say how far something is from the market.
const OF_A_PEG: [i32; 2] = [211, 836];

/// What an order waits for, and how that follows the market. `trails`: whether ExecInst(18) says so; `is_pegged`: its price does.
pub(super) fn trigger(
    message: &Message<'_>,
    market: &Market,
    side: Side,
    (trails, is_pegged): (bool, bool),
) -> Result<(Option<Trigger>, Option<Trail>), Refusal> {
    let Some(direction) = direction(message, side)? else {
        if trails {
            return Err(refusal(business::OTHER, "ExecInst(18)=a goes with an order that waits for a price"));
        }
        refuse(message, &OF_A_TRIGGER, "is of an order that waits for a price")?;
        if !is_pegged {
            refuse(message, &OF_A_PEG, "is of an order that follows the market")?;
        }
        return Ok((None, None));
    };
    let trail = if trails {
        Some(trail(message, market)?)
    } else {
        refuse(message, &OF_A_PEG, "is of an order that follows the market")?;
        None
    };
    let price_ticks = trigger_price(message, market, trails)?;
    Ok((Some(Trigger { price_ticks, price_type: price_type(message, side)?, direction }), trail))
}

/// In which direction the price goes that fires it; `None` of an order that waits for none. Of a stop, and of an order if
/// touched, it follows from the side; with TriggerType(1100) it is said.
fn direction(message: &Message<'_>, side: Side) -> Result<Option<TriggerDirection>, Refusal> {
    let (against, towards) = match side {
        Side::Buy => (TriggerDirection::Up, TriggerDirection::Down),
        Side::Sell => (TriggerDirection::Down, TriggerDirection::Up),
    };
    let of_its_type = match message.get(40) {
        Some(b"3" | b"4") => Some(against),
        Some(b"J") => Some(towards),
        _ => None,
    };
    if of_its_type.is_some() {
        refuse(message, &[1100, 1101, 1109], "is of OrdType(40)=1 and 2 only")?;
        return Ok(of_its_type);
    }
    if message.get(1100).is_none() {
        return Ok(None);
    }
    let said = match message.get(1109) {
        Some(b"U") => TriggerDirection::Up,
        Some(_) => TriggerDirection::Down,
        None => return Err(missing("TriggerType(1100) goes with TriggerPriceDirection(1109)")),
    };
    if message.get(1101).is_none() {
        return Err(missing("TriggerType(1100) goes with TriggerAction(1101)"));
    }
    refuse(message, &[99], "is of OrdType(40)=3, 4 and J only")?;
    Ok(Some(said))
}

/// StopPx(99), or TriggerPrice(1102); of an order that follows the market that is where it begins to, 0 = at once.
fn trigger_price(message: &Message<'_>, market: &Market, trails: bool) -> Result<PriceTicks, Refusal> {
    if message.get(1100).is_some() {
        if !trails && message.get(1102).is_none() {
            return Err(missing("TriggerType(1100) goes with TriggerPrice(1102)"));
        }
        return price(message, market, 1102, "TriggerPrice(1102)");
    }
    if !trails {
        refuse(message, &[1102], "goes with TriggerType(1100), or with ExecInst(18)=a")?;
        return price(message, market, 99, "StopPx(99)");
    }
    refuse(
        message,
        &[99],
        "does not go with ExecInst(18)=a: the stop stands where PegOffsetValue(211) puts it",
    )?;
    price(message, market, 1102, "TriggerPrice(1102)")
}

/// TriggerPriceType(1107): the last price, unless it says another one. The best price is that which the order would trade at.
fn price_type(message: &Message<'_>, side: Side) -> Result<TriggerPriceType, Refusal> {
    match (message.get(1107), side) {
        (None | Some(b"2"), _) => Ok(TriggerPriceType::Last),
        (Some(b"1"), Side::Buy) | (Some(b"3"), Side::Sell) => Ok(TriggerPriceType::Best),
        (Some(b"I"), _) => Ok(TriggerPriceType::Index),
        (Some(_), _) => {
            let note = "TriggerPriceType(1107) of a buy is never 3, of a sell never 1: it watches what it would trade at";
            Err(refusal(business::OTHER, note))
        }
    }
}

/// PegOffsetValue(211): how far behind the market, as a distance without a sign, in what PegOffsetType(836) says.
fn trail(message: &Message<'_>, market: &Market) -> Result<Trail, Refusal> {
    let Some(offset) = message.get(211) else {
        return Err(missing("ExecInst(18)=a goes with PegOffsetValue(211)"));
    };
    let whole = |by| {
        let offset = number(offset).ok_or_else(|| {
            let note = "PegOffsetValue(211) of basis points or ticks is a whole number without a sign";
            refusal(business::OTHER, note)
        })?;
        Ok(Trail { by, offset })
    };
    match message.get(836) {
        Some(b"1") => whole(TrailBy::BasisPoints),
        Some(b"2") => whole(TrailBy::Ticks),
        _ => {
            let PriceTicks(offset) = price(message, market, 211, "PegOffsetValue(211)")?;
            Ok(Trail { by: TrailBy::Ticks, offset })
        }
    }
}

/// What the price of OrdType(40)=P follows, and PegOffsetValue(211): how far from it, away from the other side, as a distance without a
/// sign.
pub(super) fn peg(message: &Message<'_>, market: &Market, to: Option<PegTo>) -> Result<Option<Peg>, Refusal> {
    let to = match (message.get(40) == Some(b"P"), to) {
        (false, None) => return Ok(None),
        (true, Some(to)) => to,
        (false, Some(_)) => {
            return Err(refusal(business::OTHER, "ExecInst(18) P and R are of OrdType(40)=P only"));
        }
        (true, None) => return Err(missing("OrdType(40)=P goes with ExecInst(18) P or R")),
    };
    let offset = match (message.get(211), message.get(836)) {
        (_, Some(b"1")) => {
            let note =
                "PegOffsetType(836)=1 is of a trailing stop: a price is pegged by a price, or by ticks";
            return Err(refusal(business::OTHER, note));
        }
        (None, _) => 0,
        (Some(ticks), Some(b"2")) => number(ticks).ok_or_else(|| {
            refusal(business::OTHER, "PegOffsetValue(211) of ticks is a whole number without a sign")
        })?,
        (Some(_), _) => price(message, market, 211, "PegOffsetValue(211)")?.0,
    };
    let offset_ticks =
        u32::try_from(offset).map_err(|_| refusal(business::OTHER, "PegOffsetValue(211) is out of range"))?;
    Ok(Some(Peg { to, offset_ticks }))
}

fn refuse(message: &Message<'_>, tags: &[i32], why: &str) -> Result<(), Refusal> {
    super::orders::refuse_any(message, tags, why)
}

fn missing(note: &str) -> Refusal {
    refusal(business::CONDITIONALLY_REQUIRED, note)
}
