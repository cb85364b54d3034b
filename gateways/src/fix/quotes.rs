//! Mass quotes: i and Z in, b out. A message has one quote set, so what stands around its quotes are plain fields.

use protocol::commands::MassQuote;
use protocol::event::Event;
use protocol::events::MassQuoteAcknowledged;
use protocol::limits::MASS_QUOTE_ENTRIES_MAX;
use protocol::rows::{QuoteEntry, QuoteRefusal};
use protocol::{Command, RejectReason};

use super::directory::Directory;
use super::encode::Encoder;
use super::message::{Message, number};
use super::order_record::OrderRecord;
use super::orders::{Refusal, cl_ord_id, market, price, qty, refusal};
use super::reasons::{business, text};

/// A MassQuote(i), all of it in one message.
pub(super) fn mass_quote(message: &Message<'_>, directory: &Directory) -> Result<Command, Refusal> {
    if message.is_yes(97) {
        let note =
            "a MassQuote(i) says what stands from then on: it is said anew, not again with PossResend(97)=Y";
        return Err(refusal(business::OTHER, note));
    }
    let count = message.number(295).unwrap_or(0);
    if count > MASS_QUOTE_ENTRIES_MAX as u64 {
        let note = format!("NoQuoteEntries(295) is {count}, at most {MASS_QUOTE_ENTRIES_MAX}");
        return Err(refusal(business::OTHER, &note));
    }
    if count == 0 || message.number(304) != Some(count) {
        let note = "NoQuoteEntries(295) is at least 1, and TotNoQuoteEntries(304) the same: all quotes in one message";
        return Err(refusal(business::OTHER, note));
    }
    let entries = message.entries(295, 299).map(|entry| quote_entry(&entry, directory));
    Ok(MassQuote { entries: entries.collect::<Result<_, _>>()?, ..withdrawal(message)? }.into())
}

/// A QuoteCancel(Z): of one market, or of all.
pub(super) fn quote_cancel(message: &Message<'_>, directory: &Directory) -> Result<Command, Refusal> {
    let of_a_market = message.get(298) == Some(b"1");
    if message.number(295).unwrap_or(0) != u64::from(of_a_market) {
        let note = "one Symbol(55) goes with QuoteCancelType(298)=1, and none with another";
        return Err(refusal(business::OTHER, note));
    }
    let symbol = if of_a_market { message.entries(295, 55).next() } else { None };
    let market = symbol.map(|entry| market(&entry, directory)).transpose()?;
    let withdraws_market = market.map(|market| market.id);
    Ok(MassQuote { withdraws_others: true, withdraws_market, ..withdrawal(message)? }.into())
}

/// What both have in common: no quotes.
fn withdrawal(message: &Message<'_>) -> Result<MassQuote, Refusal> {
    let OrderRecord { client, capacity, firm, investment_decision, execution_decision, decision_flags } =
        OrderRecord::read(message)?;
    let nothing = MassQuote::empty(cl_ord_id(message, 117));
    Ok(MassQuote {
        client,
        capacity,
        firm,
        investment_decision,
        execution_decision,
        decision_flags,
        ..nothing
    })
}

fn quote_entry(entry: &Message<'_>, directory: &Directory) -> Result<QuoteEntry, Refusal> {
    let market = market(entry, directory)?;
    let named = entry.get(299).and_then(number).and_then(|number| u32::try_from(number).ok());
    let note = "QuoteEntryID(299) is a number below 2^32";
    Ok(QuoteEntry {
        entry: named.ok_or_else(|| refusal(business::OTHER, note))?,
        market: market.id,
        bid_price_ticks: price(entry, market, 132, "BidPx(132)")?,
        bid_lots: qty(entry, market, 134, "BidSize(134)")?,
        offer_price_ticks: price(entry, market, 133, "OfferPx(133)")?,
        offer_lots: qty(entry, market, 135, "OfferSize(135)")?,
    })
}

/// A MassQuoteAcknowledgement(b), with the quotes that were refused.
pub(super) fn acknowledgement(
    event: &Event,
    acknowledged: &MassQuoteAcknowledged,
    directory: &Directory,
    encoder: &mut Encoder,
) {
    if acknowledged.client.0 != 0 {
        encoder.number(1, acknowledged.client.0);
    }
    if let Some(reason) = acknowledged.refusal {
        encoder.text(58, text(reason));
    }
    encoder.time(60, event.time);
    encoder.text_if_any(117, acknowledged.quote_id.as_bytes());
    encoder.text(297, if acknowledged.refusal.is_some() { b"5" } else { b"0" });
    if let Some(reason) = acknowledged.refusal {
        encoder.number(300, reject_reason(reason));
    }
    if acknowledged.refused.is_empty() {
        return;
    }
    encoder.text(296, b"1");
    encoder.text(302, b"1");
    encoder.number(304, acknowledged.entries);
    encoder.number(295, u64::try_from(acknowledged.refused.len()).unwrap_or(u64::MAX));
    for &QuoteRefusal { entry, market, reason } in &acknowledged.refused {
        encoder.number(299, entry);
        let symbol = directory.market(market).map_or(&b"[N/A]"[..], |market| market.symbol.as_bytes());
        encoder.text(55, symbol);
        encoder.number(368, reject_reason(reason));
    }
}

/// QuoteRejectReason(300), QuoteEntryRejectReason(368).
#[expect(clippy::wildcard_enum_match_arm, reason = "FIX 4.4 has a code for these only")]
const fn reject_reason(reason: RejectReason) -> u8 {
    match reason {
        RejectReason::UnknownMarket => 1,
        RejectReason::MarketClosed | RejectReason::MarketMakerProtection => 2,
        RejectReason::InsufficientFunds
        | RejectReason::TooManyOrders
        | RejectReason::PositionLimit
        | RejectReason::QtyOutOfRange
        | RejectReason::NotionalOutOfRange => 3,
        RejectReason::InvalidSpread => 7,
        RejectReason::PriceOutOfRange | RejectReason::PriceOutsideBand | RejectReason::WouldTake => 8,
        RejectReason::NotEntitled | RejectReason::ClientNotEntitled | RejectReason::NoSettlementAccount => 9,
        _ => 99,
    }
}
