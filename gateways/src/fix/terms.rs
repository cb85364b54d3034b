//! What a D says beside its price and quantity: how long it stands, on what condition it enters, what it must not do. Each
//! word becomes a term of the command or a refusal; none is executed as if it were not there.

use protocol::terms::{OrderTerms, Twap};
use protocol::{PegTo, PostOnly, QtyLots, SelfTradePrevention, Side, UnixNanos};

use super::directory::Market;
use super::message::{Message, number};
use super::orders::{Refusal, qty, refusal};
use super::reasons::business;
use super::timestamp;
use super::triggers::{peg, trigger};

/// The terms of a valid NewOrderSingle(D). Whether they go together, and with the rest of the order, the engine judges.
pub(super) fn terms(message: &Message<'_>, market: &Market, side: Side) -> Result<OrderTerms, Refusal> {
    let said = ExecInst::read(message, side)?;
    let peg = peg(message, market, said.peg_to)?;
    let (trigger, trail) = trigger(message, market, side, (said.trails, peg.is_some()))?;
    let (UnixNanos(expires_at_ns), expires_in_s) = (expires_at(message)?, expires_in_s(message)?);
    Ok(OrderTerms {
        expires_at_ns,
        expires_in_s,
        post_only: said.post_only,
        min_qty_lots: qty(message, market, 110, "MinQty(110)")?,
        display_lots: display(message, market)?,
        self_trade_prevention: self_trade_prevention(message),
        trigger,
        trail,
        peg,
        cancel_on_disconnect: said.cancel_on_disconnect,
        twap: twap(message, said.works_strategy)?,
        ..OrderTerms::default()
    })
}

/// What the values of ExecInst(18) mean.
#[derive(Default)]
struct ExecInst {
    post_only: Option<PostOnly>,
    /// Its trigger follows the market.
    trails: bool,
    /// It trades as TargetStrategy(847) says.
    works_strategy: bool,
    cancel_on_disconnect: Option<bool>,
    /// Its price follows the market.
    peg_to: Option<PegTo>,
}

impl ExecInst {
    /// Each value once, between blanks; what is not known is refused with all of it.
    fn read(message: &Message<'_>, side: Side) -> Result<Self, Refusal> {
        let mut said = Self::default();
        for value in message.get(18).into_iter().flat_map(|text| text.split(|&byte| byte == b' ')) {
            said.take(value, side)?;
        }
        Ok(said)
    }

    fn take(&mut self, value: &[u8], side: Side) -> Result<(), Refusal> {
        let is_again = match (value, side) {
            // 6 is refused rather than taking; to stay on its own side of the market, the price gives way.
            (b"6", _) => self.post_only.replace(PostOnly::Reject).is_some(),
            (b"9", Side::Buy) | (b"0", Side::Sell) => self.post_only.replace(PostOnly::Slide).is_some(),
            (b"a", _) => core::mem::replace(&mut self.trails, true),
            (b"e", _) => core::mem::replace(&mut self.works_strategy, true),
            (b"n", _) => self.cancel_on_disconnect.replace(false).is_some(),
            (b"o", _) => self.cancel_on_disconnect.replace(true).is_some(),
            (b"P", _) => self.peg_to.replace(PegTo::Market).is_some(),
            (b"R", _) => self.peg_to.replace(PegTo::Primary).is_some(),
            _ => {
                let value = String::from_utf8_lossy(value.get(..8).unwrap_or(value));
                let note = format!(
                    "ExecInst(18) {value} is not supported for this side: 6, a, e, n, o, P, R, 9 of a buy, 0 of a sell"
                );
                return Err(refusal(business::OTHER, &note));
            }
        };
        if is_again {
            let note = "values of ExecInst(18) exclude each other, or are there twice";
            return Err(refusal(business::OTHER, note));
        }
        Ok(())
    }
}

/// TargetStrategy(847) and TargetStrategyParameters(848): an order that trades leg by leg.
fn twap(message: &Message<'_>, works_strategy: bool) -> Result<Option<Twap>, Refusal> {
    let parameters = match (message.get(847), message.get(848)) {
        (None, None) if works_strategy => {
            let note = "ExecInst(18)=e goes with TargetStrategy(847)";
            return Err(refusal(business::CONDITIONALLY_REQUIRED, note));
        }
        (None, None) => return Ok(None),
        (Some(_), Some(parameters)) => parameters,
        _ => {
            let note = "TargetStrategy(847) and TargetStrategyParameters(848) go together";
            return Err(refusal(business::CONDITIONALLY_REQUIRED, note));
        }
    };
    let value = |name: &[u8]| {
        let mut found = parameters.split(|&byte| byte == b';').filter_map(|part| part.strip_prefix(name));
        found.next().and_then(number)
    };
    let legs = value(b"LEGS=").and_then(|legs| u16::try_from(legs).ok());
    let interval_ms = value(b"INTERVAL_MS=").and_then(|interval| u32::try_from(interval).ok());
    match (legs, interval_ms, parameters.split(|&byte| byte == b';').count()) {
        (Some(legs), Some(interval_ms), 2) => Ok(Some(Twap { legs, interval_ms })),
        _ => {
            let note = "TargetStrategyParameters(848) are not of the form LEGS=10;INTERVAL_MS=60000";
            Err(refusal(business::OTHER, note))
        }
    }
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

/// ExposureDuration(1629), in seconds; 0 if there is none.
fn expires_in_s(message: &Message<'_>) -> Result<u32, Refusal> {
    let is_good_for_a_time = message.get(59) == Some(b"A");
    if is_good_for_a_time != message.get(1629).is_some() {
        let note = "ExposureDuration(1629) goes with TimeInForce(59)=A, and with no other";
        return Err(refusal(business::CONDITIONALLY_REQUIRED, note));
    }
    if !is_good_for_a_time {
        return Ok(0);
    }
    let seconds = message.number(1629).and_then(|number| u32::try_from(number).ok()).filter(|s| *s > 0);
    let note = "ExposureDuration(1629) is a number of seconds from 1 to below 2^32";
    seconds.ok_or_else(|| refusal(business::OTHER, note))
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
