//! Commands of orders: D, E, F, G, H, K, M, q and e, of quotes: i and Z, and what guards both: U1 and U3. Decimals become ticks and lots
//! exactly, or the order is refused with a reason.

use protocol::commands::{
    CancelList, CancelOrder, ClOrdId, MassCancel, NewOrder, NewOrderList, ReplaceOrder, RequestListStatus,
    RequestMarketStatus, RequestOrderStatus,
};
use protocol::limits::NOTE_BYTES_MAX;
use protocol::money::parse_decimal;
use protocol::{
    Amount, Command, Contingency, ListRelease, OrderId, OrderType, PriceTicks, QtyLots, Side, Text,
    TimeInForce,
};

use super::dictionary::{self, FIELDS};
use super::directory::{Directory, Market, Step, StepFault};
use super::encode::digits;
use super::message::{Message, number};
use super::order_record::OrderRecord;
use super::quotes;
use super::reasons::business;
use super::safeguards;
use super::terms::terms;

/// Why an order that the dictionary accepts cannot become a command: a BusinessMessageReject(j).
#[derive(Debug)]
pub(crate) struct Refusal {
    /// BusinessRejectReason(380).
    pub(crate) reason: u16,
    /// Text(58); empty = what the specification calls the reason.
    pub(crate) note: Text<NOTE_BYTES_MAX>,
}

/// Fields that would change what an order does and that this exchange does not have. The dictionary knows them, so that
/// their format is checked; an order with one is refused, never executed as if it were not there.
const UNSUPPORTED: [i32; 2] = [167, 386];

/// Fields of a G that name terms of the order which cannot be held against it: a minimum counts on entry alone, and an order that trades leg
/// by leg is not replaced.
const KEPT: [i32; 3] = [110, 847, 848];

/// The command of a valid D, E, F, G, H, K, M, q, e, i, Z, U1 or U3.
pub(crate) fn command(message: &Message<'_>, directory: &Directory) -> Result<Command, Refusal> {
    refuse_any(message, &UNSUPPORTED, "is not supported")?;
    match message.msg_type() {
        b"E" => return order_list(message, directory),
        b"K" => return Ok(CancelList { cl_list_id: cl_ord_id(message, 66) }.into()),
        b"M" => return Ok(RequestListStatus { cl_list_id: cl_ord_id(message, 66) }.into()),
        b"q" => return mass_cancel(message, directory),
        b"i" => return quotes::mass_quote(message, directory),
        b"Z" => return quotes::quote_cancel(message, directory),
        b"U1" => return safeguards::cancel_all_after(message),
        b"U3" => return safeguards::protection(message, directory),
        _ => {}
    }
    let market = market(message, directory)?;
    match message.msg_type() {
        b"D" => Ok(new_order(message, market)?.into()),
        b"e" => Ok(RequestMarketStatus { request_id: cl_ord_id(message, 324), market: market.id }.into()),
        b"F" => Ok(CancelOrder {
            cl_ord_id: cl_ord_id(message, 11),
            orig_cl_ord_id: cl_ord_id(message, 41),
            order: order(message),
            market: market.id,
            side: side(message),
            poss_resend: message.is_yes(97),
        }
        .into()),
        b"G" => replace_order(message, market),
        _ => Ok(RequestOrderStatus {
            cl_ord_id: cl_ord_id(message, 11),
            order: order(message),
            market: market.id,
            side: side(message),
        }
        .into()),
    }
}

/// ClOrdID(11), OrigClOrdID(41), ListID(66), QuoteID(117) or RequestID(5001); the dictionary has checked its length.
pub(crate) fn cl_ord_id(message: &Message<'_>, tag: i32) -> ClOrdId {
    message.get(tag).and_then(|id| ClOrdId::new(id).ok()).unwrap_or_default()
}

/// BusinessRejectRefID(379): a message's ClOrdID, or what stands in its place where it has none.
pub(crate) fn ref_id(message: &Message<'_>) -> ClOrdId {
    [11, 66, 117, 324, 5_001]
        .into_iter()
        .find(|tag| message.get(*tag).is_some())
        .map_or(ClOrdId::EMPTY, |tag| cl_ord_id(message, tag))
}

/// A NewOrderList(E), all of it in one message. Those that wait for the first order enter when it is filled.
fn order_list(message: &Message<'_>, directory: &Directory) -> Result<Command, Refusal> {
    let (contingency, count) = match message.get(1385) {
        Some(b"1") => (Contingency::OneCancelsOther, 2),
        Some(b"2") => (Contingency::OneTriggersOther, 2),
        _ => (Contingency::OneTriggersOneCancelsOther, 3),
    };
    if message.number(73) != Some(count) || message.number(68) != Some(count) {
        let note = format!("TotNoOrders(68) and NoOrders(73) of such a list are {count}");
        return Err(refusal(business::OTHER, &note));
    }
    let orders = message.entries(73, 11).map(|entry| new_order(&entry, market(&entry, directory)?));
    Ok(NewOrderList {
        cl_list_id: cl_ord_id(message, 66),
        contingency,
        release: ListRelease::Filled,
        orders: orders.collect::<Result<_, _>>()?,
    }
    .into())
}

fn mass_cancel(message: &Message<'_>, directory: &Directory) -> Result<Command, Refusal> {
    let of_a_market = message.get(530) == Some(b"1");
    if of_a_market != message.get(55).is_some() {
        let note = "Symbol(55) goes with MassCancelRequestType(530)=1, and with no other";
        return Err(refusal(business::OTHER, note));
    }
    let market = if of_a_market { Some(market(message, directory)?.id) } else { None };
    Ok(MassCancel {
        cl_ord_id: cl_ord_id(message, 11),
        market,
        side: message.get(54).map(|_| side(message)),
        client: None,
    }
    .into())
}

fn new_order(message: &Message<'_>, market: &Market) -> Result<NewOrder, Refusal> {
    let order_type = match message.get(40) {
        Some(b"1" | b"3" | b"J") => OrderType::Market,
        _ => OrderType::Limit,
    };
    let side = side(message);
    let OrderRecord { client, capacity, firm, investment_decision, execution_decision, decision_flags } =
        OrderRecord::read(message)?;
    Ok(NewOrder {
        cl_ord_id: cl_ord_id(message, 11),
        client,
        market: market.id,
        side,
        order_type,
        time_in_force: time_in_force(message, order_type),
        price_ticks: price(message, market, 44, "Price(44)")?,
        qty_lots: qty(message, market, 38, "OrderQty(38)")?,
        budget: budget(message, market)?,
        capacity,
        firm,
        investment_decision,
        execution_decision,
        decision_flags,
        poss_resend: message.is_yes(97),
        terms: terms(message, market, side)?.into(),
    })
}

/// Absent = good till cancel of what can rest, immediate or cancel of what cannot.
fn time_in_force(message: &Message<'_>, order_type: OrderType) -> TimeInForce {
    match (message.get(59), order_type) {
        (Some(b"0"), _) => TimeInForce::Day,
        (Some(b"1"), _) | (None, OrderType::Limit) => TimeInForce::GoodTillCancel,
        (Some(b"2"), _) => TimeInForce::AtTheOpening,
        (Some(b"4"), _) => TimeInForce::FillOrKill,
        (Some(b"6" | b"A"), _) => TimeInForce::GoodTillDate,
        (Some(b"7"), _) => TimeInForce::AtTheClose,
        (Some(_), _) | (None, OrderType::Market) => TimeInForce::ImmediateOrCancel,
    }
}

fn replace_order(message: &Message<'_>, market: &Market) -> Result<Command, Refusal> {
    if !matches!(message.get(40), Some(b"2" | b"4" | b"P")) {
        return Err(refusal(
            business::OTHER,
            "only a limit order can be replaced, by a limit order: OrdType(40)=2, 4 or P, as it was",
        ));
    }
    if matches!(message.get(59), Some(b"3" | b"4")) {
        return Err(refusal(
            business::OTHER,
            "TimeInForce(59) of a live order is never 3 or 4, and cannot be changed",
        ));
    }
    refuse_any(message, &KEPT, "cannot be changed: leave it out, and the order keeps what it has")?;
    let side = side(message);
    Ok(ReplaceOrder {
        cl_ord_id: cl_ord_id(message, 11),
        orig_cl_ord_id: cl_ord_id(message, 41),
        order: order(message),
        market: market.id,
        side,
        price_ticks: price(message, market, 44, "Price(44)")?,
        qty_lots: qty(message, market, 38, "OrderQty(38)")?,
        poss_resend: message.is_yes(97),
        terms: terms(message, market, side)?.into(),
    }
    .into())
}

pub(super) fn refuse_any(message: &Message<'_>, tags: &[i32], why: &str) -> Result<(), Refusal> {
    match message.fields.iter().find(|field| tags.contains(&field.tag)) {
        None => Ok(()),
        Some(field) => {
            let name = dictionary::place(field.tag).map_or("", |place| FIELDS[place].name);
            Err(refusal(business::OTHER, &format!("{name}({}) {why}", field.tag)))
        }
    }
}

pub(super) fn market<'a>(message: &Message<'_>, directory: &'a Directory) -> Result<&'a Market, Refusal> {
    let symbol = message.get(55).unwrap_or_default();
    let Some(market) = directory.market_of(symbol) else {
        return Err(Refusal { reason: business::UNKNOWN_SECURITY, note: Text::EMPTY });
    };
    if market.tick.is_none() {
        let note = "prices of this market are no finite decimals: it does not trade through FIX";
        return Err(refusal(business::UNKNOWN_SECURITY, note));
    }
    Ok(market)
}

/// 0 if there is none: the engine judges whether the order needs it.
pub(super) fn price(
    message: &Message<'_>,
    market: &Market,
    tag: i32,
    field: &str,
) -> Result<PriceTicks, Refusal> {
    let Some(text) = message.get(tag) else { return Ok(PriceTicks(0)) };
    let tick = market.tick.unwrap_or(Step { units: 1, scale: 0 });
    market.price(text).map_err(|fault| step_refusal(field, text, tick, "tick", fault))
}

/// 0 if there is none: the engine judges whether the order needs it.
pub(super) fn qty(message: &Message<'_>, market: &Market, tag: i32, field: &str) -> Result<QtyLots, Refusal> {
    let Some(text) = message.get(tag) else { return Ok(QtyLots(0)) };
    market.qty(text).map_err(|fault| step_refusal(field, text, market.lot, "lot", fault))
}

fn budget(message: &Message<'_>, market: &Market) -> Result<Amount, Refusal> {
    let Some(text) = message.get(152) else { return Ok(Amount::ZERO) };
    let step = Step { units: 1, scale: market.quote_scale };
    parse_decimal(text, market.quote_scale)
        .map(Amount)
        .map_err(|_| step_refusal("CashOrderQty(152)", text, step, "minor unit", StepFault::Between))
}

fn step_refusal(field: &str, text: &[u8], step: Step, unit: &str, fault: StepFault) -> Refusal {
    let text = String::from_utf8_lossy(&text[..text.len().min(40)]);
    let mut size = Vec::new();
    digits(&mut size, step.units, step.scale);
    let size = String::from_utf8_lossy(&size);
    match fault {
        StepFault::Between => {
            refusal(business::OTHER, &format!("{field} {text} is not a multiple of the {unit} {size}"))
        }
        StepFault::Range => refusal(business::OTHER, &format!("{field} {text} is out of range")),
    }
}

fn side(message: &Message<'_>) -> Side {
    if message.get(54) == Some(b"2") { Side::Sell } else { Side::Buy }
}

/// OrderID(37). One that is no number names no order here; the OrigClOrdID or ClOrdID beside it decides.
fn order(message: &Message<'_>) -> Option<OrderId> {
    message.number(37).map(OrderId)
}

pub(super) fn id(text: &[u8], field: &str) -> Result<u64, Refusal> {
    number(text).ok_or_else(|| not_a_number(field))
}

pub(super) fn not_a_number(field: &str) -> Refusal {
    refusal(business::UNKNOWN_ID, &format!("{field} is not a number that we gave out"))
}

pub(super) fn refusal(reason: u16, note: &str) -> Refusal {
    Refusal { reason, note: Text::truncated(note) }
}
