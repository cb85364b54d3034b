//! What a session has done for its orders when it falls silent, or is filled too often: requests U1 and U3, and the reports U2 and U4.
//! FIX has no messages for either; types that begin with U, and tags from 5,000 on, are agreed between two parties.

use protocol::commands::{SetCancelAllAfter, SetMarketMakerProtection};
use protocol::event::Event;
use protocol::events::{CancelAllAfterSet, MarketMakerProtectionSet};
use protocol::time::NANOS_PER_MILLI;
use protocol::{Command, RejectReason};

use super::directory::Directory;
use super::encode::Encoder;
use super::message::Message;
use super::orders::{Refusal, cl_ord_id, market, qty, refusal};
use super::reasons::{business, text};
use super::render::qty_in;

/// A CancelAllAfterRequest(U1).
pub(super) fn cancel_all_after(message: &Message<'_>) -> Result<Command, Refusal> {
    let timeout_ms = count(message, 5_002, "CancelAllAfterMs(5002)")?;
    Ok(SetCancelAllAfter { request_id: cl_ord_id(message, 5_001), timeout_ms }.into())
}

/// A MarketMakerProtectionRequest(U3), for the orders of its own session.
pub(super) fn protection(message: &Message<'_>, directory: &Directory) -> Result<Command, Refusal> {
    let market = market(message, directory)?;
    Ok(SetMarketMakerProtection {
        request_id: cl_ord_id(message, 5_001),
        session: None,
        market: market.id,
        fills_max: count(message, 5_004, "ProtectionFillsMax(5004)")?,
        lots_max: qty(message, market, 5_005, "ProtectionQtyMax(5005)")?,
        window_ms: count(message, 5_006, "ProtectionWindowMs(5006)")?,
    }
    .into())
}

/// 0 if there is none.
fn count(message: &Message<'_>, tag: i32, field: &str) -> Result<u32, Refusal> {
    if message.get(tag).is_none() {
        return Ok(0);
    }
    let count = message.number(tag).and_then(|number| u32::try_from(number).ok());
    count.ok_or_else(|| refusal(business::OTHER, &format!("{field} is a number below 2^32")))
}

/// A CancelAllAfterReport(U2).
pub(super) fn cancel_all_after_report(event: &Event, set: &CancelAllAfterSet, encoder: &mut Encoder) {
    said(event, set.refusal, encoder);
    if set.refusal.is_none() && set.timeout_ms > 0 {
        encoder.time(126, event.time.plus(u64::from(set.timeout_ms) * NANOS_PER_MILLI));
    }
    encoder.text_if_any(5_001, set.request_id.as_bytes());
    encoder.number(5_002, set.timeout_ms);
    result(set.refusal, encoder);
}

/// A MarketMakerProtectionReport(U4).
pub(super) fn protection_report(
    event: &Event,
    set: &MarketMakerProtectionSet,
    directory: &Directory,
    encoder: &mut Encoder,
) {
    let market = directory.market(set.market);
    encoder.text(55, market.map_or(&b"[N/A]"[..], |market| market.symbol.as_bytes()));
    said(event, set.refusal, encoder);
    encoder.text_if_any(5_001, set.request_id.as_bytes());
    result(set.refusal, encoder);
    encoder.number(5_004, set.fills_max);
    if let Some(market) = market.filter(|_| set.lots_max.0 > 0) {
        qty_in(Some(market))(encoder, 5_005, set.lots_max.0);
    }
    encoder.number(5_006, set.window_ms);
}

fn said(event: &Event, refusal: Option<RejectReason>, encoder: &mut Encoder) {
    if let Some(reason) = refusal {
        encoder.text(58, text(reason));
    }
    encoder.time(60, event.time);
}

fn result(refusal: Option<RejectReason>, encoder: &mut Encoder) {
    encoder.text(5_003, if refusal.is_some() { b"1" } else { b"0" });
}
