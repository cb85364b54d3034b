//! Bytes of events. What is rendered is a committed output and nothing else: its number is the engine's, its time the
//! sequencer's. Fields stand in the order of their tags behind the header.

use protocol::event::Event;
use protocol::events::{
    CancelRejected, ExecutionReport, LogoutSent, MarketStatusReported, MassCancelReported, OrderListChanged,
};
use protocol::money::format_decimal;
use protocol::terms::{ListedOrder, OrderTerms};
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    CancelRejectTo, EventBody, ExecType, Liquidity, ListState, MarketPhase, OrderStatus, OrderType, OutSeq,
    PegTo, PostOnly, PriceTicks, QtyLots, RejectReason, SessionEnd, Side, TimeInForce, TradeId, TrailBy,
    TriggerDirection, UnixNanos,
};

use super::SOH;
use super::directory::{Directory, Market, Step};
use super::encode::Encoder;
use super::reasons::{business_text, cxl_rej_reason, ord_rej_reason, session_text, text};
use super::{quotes, safeguards};

/// An output that waited longer gets the time at which it is sent, or clients' latency checks would refuse it.
const STALE_NANOS: u64 = 2 * NANOS_PER_SECOND;
/// More decimals in AvgPx(6) than in a price.
const AVG_PX_DECIMALS: u8 = 4;

/// Both CompIDs of a session, as its outputs carry them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    pub(crate) sender: &'a [u8],
    pub(crate) target: &'a [u8],
}

/// How an output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// For the first time.
    First,
    /// Again, because the peer asked: with PossDupFlag(43) and OrigSendingTime(122).
    Again,
}

/// Whether an output is sent again on request. The others are administration, which gaps are filled for; a Reject is
/// sent again, as the specification has it, because its news would be lost otherwise.
pub(crate) const fn is_resent(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::ExecutionReport(_)
            | EventBody::CancelRejected(_)
            | EventBody::MassCancelReported(_)
            | EventBody::OrderListChanged(_)
            | EventBody::MarketStatusReported(_)
            | EventBody::MassQuoteAcknowledged(_)
            | EventBody::CancelAllAfterSet(_)
            | EventBody::MarketMakerProtectionSet(_)
            | EventBody::BusinessRejected(_)
            | EventBody::RejectSent(_)
    )
}

/// Appends the message of a numbered output to `out`; an event that is none appends nothing.
pub(crate) fn output(
    event: &Event,
    sending: Sending,
    route: Route<'_>,
    directory: &Directory,
    wall: UnixNanos,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    let (Some(number), Some(msg_type)) = (event.output, msg_type(&event.body)) else { return };
    let time = match sending {
        Sending::First if wall.since(event.time) <= STALE_NANOS => event.time,
        Sending::First | Sending::Again => wall.max(event.time),
    };
    let orig = (sending == Sending::Again).then_some(event.time);
    header(encoder, msg_type, number.out_seq, route, time, orig, routing(&event.body));
    body(event, number.out_seq, directory, encoder);
    encoder.finish(out);
}

/// Appends a SequenceReset-GapFill that stands for the outputs from `from` to before `next`.
pub(crate) fn gap_fill(
    from: OutSeq,
    next: OutSeq,
    route: Route<'_>,
    orig: Option<UnixNanos>,
    wall: UnixNanos,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
) {
    let orig = orig.unwrap_or(wall);
    header(encoder, b"4", from, route, wall.max(orig), Some(orig), b"");
    encoder.number(36, next.0);
    encoder.text(123, b"Y");
    encoder.finish(out);
}

fn header(
    encoder: &mut Encoder,
    msg_type: &[u8],
    number: OutSeq,
    route: Route<'_>,
    time: UnixNanos,
    orig: Option<UnixNanos>,
    routing: &[u8],
) {
    encoder.start(msg_type);
    encoder.number(34, number.0);
    if orig.is_some() {
        encoder.text(43, b"Y");
    }
    encoder.text(49, route.sender);
    encoder.time(52, time);
    encoder.text(56, route.target);
    // Only two of the six tags come before OrigSendingTime(122).
    let before = |field: &[u8]| field.starts_with(b"115=") || field.starts_with(b"116=");
    let fields = || routing.split_inclusive(|&byte| byte == SOH);
    fields().filter(|field| before(field)).for_each(|field| encoder.raw(field));
    if let Some(orig) = orig {
        encoder.time(122, orig);
    }
    fields().filter(|field| !before(field)).for_each(|field| encoder.raw(field));
}

/// Fields of third-party routing that an output carries, each with its SOH.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only refusals of the gateway answer what came through a third party"
)]
fn routing(body: &EventBody) -> &[u8] {
    match body {
        EventBody::RejectSent(reject) => reject.routing.as_bytes(),
        EventBody::BusinessRejected(rejected) => rejected.routing.as_bytes(),
        _ => b"",
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not sent to a session has no type")]
const fn msg_type(body: &EventBody) -> Option<&'static [u8]> {
    match body {
        EventBody::ExecutionReport(_) => Some(b"8"),
        EventBody::CancelRejected(_) => Some(b"9"),
        EventBody::MassCancelReported(_) => Some(b"r"),
        EventBody::OrderListChanged(_) => Some(b"N"),
        EventBody::MarketStatusReported(_) => Some(b"f"),
        EventBody::MassQuoteAcknowledged(_) => Some(b"b"),
        EventBody::CancelAllAfterSet(_) => Some(b"U2"),
        EventBody::MarketMakerProtectionSet(_) => Some(b"U4"),
        EventBody::BusinessRejected(_) => Some(b"j"),
        EventBody::LogonSent(_) => Some(b"A"),
        EventBody::HeartbeatSent(_) => Some(b"0"),
        EventBody::TestRequestSent(_) => Some(b"1"),
        EventBody::ResendRequestSent(_) => Some(b"2"),
        EventBody::RejectSent(_) => Some(b"3"),
        EventBody::LogoutSent(_) => Some(b"5"),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not sent to a session has no body")]
fn body(event: &Event, number: OutSeq, directory: &Directory, encoder: &mut Encoder) {
    match &event.body {
        EventBody::ExecutionReport(report) => execution_report(event, report, number, directory, encoder),
        EventBody::CancelRejected(rejected) => cancel_rejected(event, rejected, encoder),
        EventBody::MassCancelReported(report) => mass_cancel_report(event, report, directory, encoder),
        EventBody::MarketStatusReported(status) => security_status(event, status, directory, encoder),
        EventBody::OrderListChanged(list) => list_status(event, list, directory, encoder),
        EventBody::MassQuoteAcknowledged(acknowledged) => {
            quotes::acknowledgement(event, acknowledged, directory, encoder);
        }
        EventBody::CancelAllAfterSet(set) => safeguards::cancel_all_after_report(event, set, encoder),
        EventBody::MarketMakerProtectionSet(set) => {
            safeguards::protection_report(event, set, directory, encoder);
        }
        EventBody::BusinessRejected(rejected) => {
            encoder.number(45, rejected.ref_seq_num);
            note(encoder, rejected.note.as_bytes(), business_text(rejected.reason));
            encoder.text(372, rejected.ref_msg_type.as_bytes());
            encoder.text_if_any(379, rejected.ref_id.as_bytes());
            encoder.number(380, rejected.reason);
        }
        EventBody::LogonSent(logon) => {
            encoder.number(98, 0_u8);
            encoder.number(108, logon.heartbeat_s);
            if logon.reset {
                encoder.text(141, b"Y");
            }
            if logon.next_expected != 0 {
                encoder.number(789, logon.next_expected);
            }
        }
        EventBody::HeartbeatSent(heartbeat) => encoder.text_if_any(112, heartbeat.test_req_id.as_bytes()),
        // Whatever comes back proves life, so the text does not matter; this is the one that other engines send.
        EventBody::TestRequestSent(_) => encoder.text(112, b"TEST"),
        EventBody::ResendRequestSent(request) => {
            encoder.number(7, request.begin);
            encoder.number(16, request.end);
        }
        EventBody::RejectSent(reject) => {
            encoder.number(45, reject.ref_seq_num);
            note(encoder, reject.note.as_bytes(), session_text(reject.reason));
            ref_tag(encoder, reject.ref_tag, reject.reason);
            encoder.text_if_any(372, reject.ref_msg_type.as_bytes());
            encoder.number(373, reject.reason);
        }
        EventBody::LogoutSent(logout) => logout_text(encoder, logout),
        _ => {}
    }
}

fn note(encoder: &mut Encoder, note: &[u8], standard: &str) {
    encoder.text(58, if note.is_empty() { standard.as_bytes() } else { note });
}

/// RefTagID(371). 0 is "no tag", except where the fault is the tag itself; a negative tag came as its two's complement.
fn ref_tag(encoder: &mut Encoder, tag: u32, reason: u16) {
    let signed = tag.cast_signed();
    if signed < 0 {
        encoder.text(371, format!("{signed}"));
    } else if tag != 0 || reason == super::validate::reason::INVALID_TAG {
        encoder.number(371, tag);
    }
}

fn logout_text(encoder: &mut Encoder, logout: &LogoutSent) {
    let (expected, received) = (logout.expected, logout.received);
    let text = match logout.end {
        SessionEnd::SequenceTooLow if received > expected => {
            format!("NextExpectedMsgSeqNum too high, expecting {expected} but received {received}")
        }
        SessionEnd::SequenceTooLow => {
            format!("MsgSeqNum too low, expecting {expected} but received {received}")
        }
        SessionEnd::BeginString => "Incorrect BeginString".to_owned(),
        SessionEnd::Silent => "Nothing heard in time".to_owned(),
        SessionEnd::NodeStopped => "The node is stopping".to_owned(),
        SessionEnd::Reset => "Session reset by the operator".to_owned(),
        SessionEnd::Logout
        | SessionEnd::Lost
        | SessionEnd::TakenOver
        | SessionEnd::Protocol
        | SessionEnd::AlreadyConnected
        | SessionEnd::HeartbeatRange
        | SessionEnd::ResetNotAllowed => return,
    };
    encoder.text(58, text);
}

fn execution_report(
    event: &Event,
    report: &ExecutionReport,
    number: OutSeq,
    directory: &Directory,
    encoder: &mut Encoder,
) {
    let market = directory.market(report.market);
    let terms = report.details.get().map(|details| &details.terms);
    let qty = qty_in(market);
    if report.client.0 != 0 {
        encoder.number(1, report.client.0);
    }
    avg_px(encoder, market, (report.cum_ticks_lots, report.cum_lots));
    encoder.text(11, report.cl_ord_id.as_bytes());
    if report.trade != TradeId(0) {
        commission(encoder, market, report);
    }
    qty(encoder, 14, report.cum_lots.0);
    exec_id(encoder, event, report, number);
    if let Some(terms) = terms {
        encoder.text_if_any(18, exec_inst(terms, report.side));
    }
    if matches!(report.exec_type, ExecType::TradeCancel | ExecType::TradeCorrect) {
        fill_id(encoder, 19, report.trade, report.side);
    }
    // Of what a group moved between its accounts, too: that is no trade.
    if report.trade != TradeId(0) || report.last_qty_lots.0 > 0 {
        price(encoder, 31, market, report.last_price_ticks);
        qty(encoder, 32, report.last_qty_lots.0);
    }
    order_id(encoder, report.order.0);
    if report.qty_lots.0 != 0 {
        qty(encoder, 38, report.qty_lots.0);
    }
    encoder.text(39, ord_status(report.status));
    encoder.text(40, ord_type(report, terms));
    encoder.text_if_any(41, report.orig_cl_ord_id.as_bytes());
    if report.price_ticks.0 != 0 {
        price(encoder, 44, market, report.price_ticks);
    }
    encoder.text(54, side(report.side));
    encoder.text(55, market.map_or(&b"[N/A]"[..], |market| market.symbol.as_bytes()));
    if let Some(reason) = report.reason {
        encoder.text(58, text(reason));
    }
    encoder.text(59, time_in_force(report.time_in_force));
    encoder.time(60, event.time);
    execution_report_from_66(report, market, encoder);
}

/// The fields of an execution report behind TransactTime(60).
fn execution_report_from_66(report: &ExecutionReport, market: Option<&Market>, encoder: &mut Encoder) {
    let terms = report.details.get().map(|details| &details.terms);
    let qty = qty_in(market);
    if let Some(details) = report.details.get() {
        encoder.text_if_any(66, details.cl_list_id.as_bytes());
    }
    let waits_for = terms.and_then(|terms| terms.trigger.filter(|_| terms.trail.is_none()));
    if let Some(trigger) = waits_for.filter(|trigger| trigger.price_ticks.0 > 0) {
        price(encoder, 99, market, trigger.price_ticks);
    }
    if let (ExecType::Rejected, Some(reason)) = (report.exec_type, report.reason) {
        encoder.number(103, ord_rej_reason(reason));
    }
    if let Some(terms) = terms {
        conditions(encoder, terms, &qty);
    }
    tax(encoder, market, report);
    encoder.text(150, exec_type(report.exec_type));
    qty(encoder, 151, report.leaves_lots.0);
    if let Some(trail) = terms.and_then(|terms| terms.trail) {
        encoder.number(211, trail.offset);
    } else if let Some(peg) = terms.and_then(|terms| terms.peg) {
        encoder.number(211, peg.offset_ticks);
    }
    if report.exec_type == ExecType::Restated {
        encoder.text(378, restatement(report.reason));
    }
    if report.trade != TradeId(0) {
        encoder.number(527, report.trade.0);
    }
    if let Some(terms) = terms {
        strategy(encoder, terms);
    }
    if let Some(liquidity) = report.liquidity {
        encoder.number(
            851,
            match liquidity {
                Liquidity::Maker => 1_u8,
                Liquidity::Taker => 2,
                Liquidity::Auction => 4,
            },
        );
    }
}

/// ExecRestatementReason(378): repricing, partial decline of OrderQty, or the market's doing, where it has fired.
fn restatement(reason: Option<RejectReason>) -> &'static [u8] {
    match reason {
        Some(RejectReason::Repriced) => b"3",
        Some(_) => b"5",
        None => b"8",
    }
}

/// ExecInst(18), in the values of FIX 4.4: what of an order's terms it has none for is not repeated.
fn exec_inst(terms: &OrderTerms, side: Side) -> Vec<u8> {
    let stays: &[u8] = if side == Side::Buy { b"9" } else { b"0" };
    let values = [
        (terms.post_only == Some(PostOnly::Reject), &b"6"[..]),
        (terms.post_only == Some(PostOnly::Slide), stays),
        (terms.trail.is_some(), b"a"),
        (terms.twap.is_some(), b"e"),
        (terms.peg.is_some_and(|peg| peg.to == PegTo::Market), b"P"),
        (terms.peg.is_some_and(|peg| peg.to == PegTo::Primary), b"R"),
    ];
    let said: Vec<&[u8]> =
        values.into_iter().filter(|(is_said, _)| *is_said).map(|(_, value)| value).collect();
    said.join(&b' ')
}

/// MinQty(110), MaxFloor(111), ExpireTime(126).
fn conditions(encoder: &mut Encoder, terms: &OrderTerms, qty: impl Fn(&mut Encoder, u32, u64)) {
    if terms.min_qty_lots.0 > 0 {
        qty(encoder, 110, terms.min_qty_lots.0);
    }
    if terms.display_lots.0 > 0 {
        qty(encoder, 111, terms.display_lots.0);
    }
    if terms.expires_at_ns > 0 {
        encoder.precise_time(126, UnixNanos(terms.expires_at_ns));
    }
}

/// PegOffsetType(836) of what follows the market, TargetStrategyParameters(848) of an order that trades leg by leg.
fn strategy(encoder: &mut Encoder, terms: &OrderTerms) {
    if terms.trail.is_some() || terms.peg.is_some() {
        let is_share = terms.trail.is_some_and(|trail| trail.by == TrailBy::BasisPoints);
        encoder.text(836, if is_share { b"1" } else { b"2" });
    }
    if let Some(twap) = terms.twap {
        encoder.text_of(848, format_args!("LEGS={};INTERVAL_MS={}", twap.legs, twap.interval_ms));
    }
}

/// Commission(12), below zero for a rebate.
fn commission(encoder: &mut Encoder, market: Option<&Market>, report: &ExecutionReport) {
    let scale = market.map_or(0, |market| market.quote_scale);
    if report.fee_is_paid && report.fee.0 > 0 {
        encoder.text(12, format!("-{}", format_decimal(report.fee.0, scale)));
    } else {
        encoder.decimal(12, report.fee.0, scale);
    }
    encoder.text(13, b"3");
}

/// NoMiscFees(136): a tax on the commission, where there is one.
fn tax(encoder: &mut Encoder, market: Option<&Market>, report: &ExecutionReport) {
    if report.tax.0 > 0 {
        encoder.text(136, b"1");
        encoder.decimal(137, report.tax.0, market.map_or(0, |market| market.quote_scale));
        encoder.text(139, b"2");
    }
}

fn cancel_rejected(event: &Event, rejected: &CancelRejected, encoder: &mut Encoder) {
    encoder.text(11, rejected.cl_ord_id.as_bytes());
    order_id(encoder, rejected.order.0);
    encoder.text(39, ord_status(rejected.status));
    let orig = rejected.orig_cl_ord_id.as_bytes();
    encoder.text(41, if orig.is_empty() { b"NONE" } else { orig });
    encoder.text(58, text(rejected.reason));
    encoder.time(60, event.time);
    encoder.number(102, cxl_rej_reason(rejected.reason));
    encoder.text(
        434,
        match rejected.response_to {
            CancelRejectTo::Cancel => b"1",
            CancelRejectTo::Replace => b"2",
        },
    );
}

fn mass_cancel_report(
    event: &Event,
    report: &MassCancelReported,
    directory: &Directory,
    encoder: &mut Encoder,
) {
    let kind: &[u8] = if report.market.is_some() { b"1" } else { b"7" };
    encoder.text(11, report.cl_ord_id.as_bytes());
    order_id(encoder, event.seq.0);
    if let Some(of) = report.side {
        encoder.text(54, side(of));
    }
    if let Some(market) = report.market {
        encoder.text(55, directory.market(market).map_or(&b"[N/A]"[..], |market| market.symbol.as_bytes()));
    }
    if let Some(reason) = report.refusal {
        encoder.text(58, text(reason));
    }
    encoder.time(60, event.time);
    encoder.text(530, kind);
    encoder.text(531, if report.refusal.is_some() { b"0" } else { kind });
    if let Some(reason) = report.refusal {
        encoder.number(532, if reason == RejectReason::UnknownMarket { 1_u8 } else { 99 });
    }
    encoder.number(533, report.orders);
}

/// A SecurityStatus(f). Statuses of FIX are fewer than phases, whose names stand as TradingSessionSubID(625).
fn security_status(
    event: &Event,
    status: &MarketStatusReported,
    directory: &Directory,
    encoder: &mut Encoder,
) {
    let market = directory.market(status.market);
    encoder.text(55, market.map_or(&b"[N/A]"[..], |market| market.symbol.as_bytes()));
    encoder.time(60, event.time);
    encoder.text(324, status.request_id.as_bytes());
    encoder.number(326, trading_status(status.phase));
    encoder.text(625, status.phase.name());
}

const fn trading_status(phase: MarketPhase) -> u8 {
    match phase {
        MarketPhase::CancelOnly | MarketPhase::Halt => 2,
        MarketPhase::Trading => 17,
        MarketPhase::Closed => 18,
        MarketPhase::PreOpen | MarketPhase::PostOnly => 21,
        MarketPhase::Auction => 22,
    }
}

/// A ListStatus(N): all orders of a list in one message.
fn list_status(event: &Event, list: &OrderListChanged, directory: &Directory, encoder: &mut Encoder) {
    let market = directory.market(list.market);
    let qty = qty_in(market);
    encoder.time(60, event.time);
    encoder.text(66, list.cl_list_id.as_bytes());
    encoder.number(68, count(&list.orders));
    encoder.text(82, b"1");
    encoder.text(83, b"1");
    encoder.text(429, list_status_type(list));
    encoder.text(431, if list.state == ListState::Done { b"6" } else { b"3" });
    encoder.number(73, count(&list.orders));
    for order in &list.orders {
        let cancelled = order.qty_lots.0.saturating_sub(order.leaves_lots.0).saturating_sub(order.cum_lots.0);
        // As the specification has them in an entry.
        encoder.text(11, order.cl_ord_id.as_bytes());
        qty(encoder, 14, order.cum_lots.0);
        encoder.text(39, ord_status(order.status));
        qty(encoder, 151, order.leaves_lots.0);
        qty(encoder, 84, cancelled);
        avg_px(encoder, market, (order.cum_ticks_lots, order.cum_lots));
    }
}

fn count(orders: &[ListedOrder]) -> u128 {
    u128::try_from(orders.len()).unwrap_or(0)
}

const fn list_status_type(list: &OrderListChanged) -> &'static [u8] {
    match (list.asked, list.state) {
        (true, _) => b"2",
        (false, ListState::Executing) => b"1",
        (false, ListState::Released) => b"4",
        (false, ListState::Done) => b"5",
    }
}

fn order_id(encoder: &mut Encoder, order: u64) {
    if order == 0 { encoder.text(37, b"NONE") } else { encoder.number(37, order) }
}

/// ExecID(17): of a fill as [`fill_id`] has it; else the command's seq and the output's number, because one command may
/// report to a session more than once.
fn exec_id(encoder: &mut Encoder, event: &Event, report: &ExecutionReport, number: OutSeq) {
    if report.exec_type == ExecType::Trade {
        fill_id(encoder, 17, report.trade, report.side);
    } else {
        encoder.text_of(17, format_args!("{}-{number}", event.seq));
    }
}

/// The id of one side of a trade: who takes the trade back knows it, too.
fn fill_id(encoder: &mut Encoder, tag: u32, trade: TradeId, of: Side) {
    encoder.text_of(tag, format_args!("T{trade}-{}", char::from(side(of)[0])));
}

/// Writes quantities of a market.
pub(super) fn qty_in(market: Option<&Market>) -> impl Fn(&mut Encoder, u32, u64) {
    let lot = market.map_or(Step { units: 1, scale: 0 }, |market| market.lot);
    move |encoder, tag, lots| encoder.decimal(tag, u128::from(lots).saturating_mul(lot.units), lot.scale)
}

fn price(encoder: &mut Encoder, tag: u32, market: Option<&Market>, ticks: PriceTicks) {
    if let Some(tick) = market.and_then(|market| market.tick) {
        encoder.decimal(tag, u128::from(ticks.0).saturating_mul(tick.units), tick.scale);
    }
}

/// AvgPx(6): rounded half up to [`AVG_PX_DECIMALS`] decimals more than the tick has.
fn avg_px(encoder: &mut Encoder, market: Option<&Market>, (sum, lots): (u128, QtyLots)) {
    let (tick, lots) = (market.and_then(|market| market.tick), u128::from(lots.0));
    match tick {
        Some(tick) if lots != 0 => {
            let units = average_units(sum, lots, tick.units);
            encoder.decimal(6, units, tick.scale + AVG_PX_DECIMALS);
        }
        _ => encoder.text(6, b"0"),
    }
}

/// `sum / lots` ticks, in units of the tick's scale and four decimals more, rounded half up. Divides before it
/// multiplies, so that only an average that no price can reach saturates.
fn average_units(sum_ticks_lots: u128, lots: u128, tick_units: u128) -> u128 {
    let fine = 10_u128.pow(u32::from(AVG_PX_DECIMALS));
    let (ticks, rest) = (sum_ticks_lots / lots, sum_ticks_lots % lots);
    let rest_units = rest.saturating_mul(tick_units);
    let (units, rest) = (rest_units / lots, rest_units % lots);
    let decimals = (rest.saturating_mul(2 * fine) + lots) / (2 * lots);
    ticks.saturating_mul(tick_units).saturating_add(units).saturating_mul(fine).saturating_add(decimals)
}

const fn side(side: Side) -> &'static [u8] {
    match side {
        Side::Buy => b"1",
        Side::Sell => b"2",
    }
}

/// What it is, or what it waits to become. A limit order that waits for a price to come towards it has no type of its own.
fn ord_type(report: &ExecutionReport, terms: Option<&OrderTerms>) -> &'static [u8] {
    if terms.is_some_and(|terms| terms.peg.is_some()) {
        return b"P";
    }
    let is_up =
        terms.and_then(|terms| terms.trigger).map(|trigger| trigger.direction == TriggerDirection::Up);
    match (report.order_type, is_up.map(|is_up| is_up == (report.side == Side::Buy))) {
        (OrderType::Market, None) => b"1",
        (OrderType::Limit, None | Some(false)) => b"2",
        (OrderType::Market, Some(true)) => b"3",
        (OrderType::Limit, Some(true)) => b"4",
        (OrderType::Market, Some(false)) => b"J",
    }
}

const fn time_in_force(time_in_force: TimeInForce) -> &'static [u8] {
    match time_in_force {
        TimeInForce::Day => b"0",
        TimeInForce::GoodTillCancel => b"1",
        TimeInForce::AtTheOpening => b"2",
        TimeInForce::ImmediateOrCancel => b"3",
        TimeInForce::FillOrKill => b"4",
        TimeInForce::GoodTillDate => b"6",
        TimeInForce::AtTheClose => b"7",
    }
}

const fn ord_status(status: OrderStatus) -> &'static [u8] {
    match status {
        OrderStatus::New => b"0",
        OrderStatus::PartiallyFilled => b"1",
        OrderStatus::Filled => b"2",
        OrderStatus::Canceled => b"4",
        OrderStatus::Rejected => b"8",
        OrderStatus::Expired | OrderStatus::ExpiredInMatch => b"C",
        OrderStatus::PendingNew => b"A",
    }
}

const fn exec_type(exec_type: ExecType) -> &'static [u8] {
    match exec_type {
        ExecType::New => b"0",
        ExecType::Trade => b"F",
        ExecType::Canceled => b"4",
        ExecType::Replaced => b"5",
        ExecType::Rejected => b"8",
        ExecType::Expired => b"C",
        ExecType::OrderStatus => b"I",
        ExecType::TradeCancel => b"H",
        ExecType::TradeCorrect => b"G",
        ExecType::Restated => b"D",
        ExecType::PendingNew => b"A",
    }
}

#[cfg(test)]
mod tests {
    use protocol::terms::Rare;
    use protocol::{Amount, ClientId, MarketId, OrderId, Seq, Text};

    use super::*;

    #[test]
    fn every_phase_has_a_status_of_the_dictionary() {
        use super::super::dictionary::{FIELDS, place};
        let known = FIELDS[place(326).unwrap()].values;
        for &phase in MarketPhase::ALL {
            let status = trading_status(phase).to_string();
            assert!(known.iter().any(|(value, _)| *value == status), "{phase:?}");
        }
    }

    /// What an order's report says, with `|` between the fields.
    fn said(report: ExecutionReport) -> String {
        let mut encoder = Encoder::default();
        encoder.start(b"8");
        let (seq, time) = (Seq(5), UnixNanos(0));
        let event = Event { output: None, seq, time, body: report.clone().into() };
        execution_report(&event, &report, OutSeq(7), &Directory::default(), &mut encoder);
        let mut out = Vec::new();
        encoder.finish(&mut out);
        String::from_utf8(out).unwrap().replace('\u{1}', "|")
    }

    #[test]
    fn what_changed_its_account_is_told_by_its_quantity_and_is_no_trade() {
        let report = |last_qty_lots| ExecutionReport {
            order: OrderId(4),
            cl_ord_id: Text::truncated("a"),
            orig_cl_ord_id: Text::EMPTY,
            client: ClientId(1),
            market: MarketId(1),
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::GoodTillCancel,
            exec_type: ExecType::Restated,
            status: OrderStatus::New,
            price_ticks: PriceTicks(100),
            qty_lots: QtyLots(3),
            leaves_lots: QtyLots(3),
            cum_lots: QtyLots(0),
            cum_ticks_lots: 0,
            last_price_ticks: PriceTicks(99),
            last_qty_lots,
            trade: TradeId(0),
            liquidity: None,
            fee: Amount::ZERO,
            fee_is_paid: false,
            tax: Amount::ZERO,
            reason: Some(RejectReason::SelfTrade),
            details: Rare::NONE,
        };
        let moved = said(report(QtyLots(2)));
        assert!(moved.contains("|32=2|") && moved.contains("|150=D|"), "{moved}");
        assert!(!moved.contains("|12=") && !moved.contains("|851=") && !moved.contains("|527="), "{moved}");
        assert!(!said(report(QtyLots(0))).contains("|32="));
    }

    #[test]
    fn averages_round_half_up_behind_the_fourth_decimal() {
        // 1 lot at 1 and 2 lots at 2 ticks of 0.01: 5/3 ticks = 0.016666…, written 0.016667.
        assert_eq!(average_units(5, 3, 1), 16_667);
        assert_eq!(average_units(4, 3, 1), 13_333);
        assert_eq!(average_units(1, 2, 5), 25_000);
        // Exactly half of the last decimal goes up.
        assert_eq!(average_units(1, 20_000, 1), 1);
        assert_eq!(average_units(1, 20_001, 1), 0);
        assert_eq!(average_units(u128::MAX, 1, u128::MAX), u128::MAX);
    }
}
