//! The layouts of docs/FORMAT.md as tables, written from the document and not from the code that they check.

use protocol::*;

/// Every command as `kind name: field type, …`; all of them in version 1.
const COMMANDS: &str = "
1 Genesis: cluster u128, operator u32, operator_uid u32, demo bool
2 TermStart: term u64, node u64
3 Pulse:
4 GatewayStart: gateway u32, instance u64
5 GatewayDown: gateway u32, instance u64
6 Checkpoint:
16 DefineActor: actor u32, roles u32
17 DefineAsset: asset u32, code text 16, scale u8
18 DefineMarket: market u32, symbol text 32, base u32, quote u32, lot_base_minor u128,
    tick_quote_minor u128, price_ticks_min u64, price_ticks_max u64, qty_lots_min u64,
    qty_lots_max u64, market_qty_lots_max u64, notional_min u128, notional_max u128,
    client_orders_max u32, maker_fee_ppm u32, taker_fee_ppm u32, fee_account u128,
    tax_account u128
19 SetMarketPhase: market u32, phase code MarketPhase
20 DefineSession: session u32, actor u32, firm u32, protocol code SessionProtocol,
    client_comp_id text 32, our_comp_id text 32, clients list u64, reset_on_logon bool,
    heartbeat_s_min u16, heartbeat_s_max u16, strictness code Strictness,
    cancel_on_disconnect code CancelOnDisconnect, cancel_window_ms u32
21 SetActorKey: actor u32, key option bytes 32
22 Propose: command ProposedCommand, expires_in_s u32, note text 120
23 Approve: proposal u64
24 Reject: proposal u64, note text 120
25 SetApprovals: kinds list u16
26 SetTradingRules: market u32, reference code ReferencePrice, buy_above_ppm u32, buy_below_ppm u32,
    sell_above_ppm u32, sell_below_ppm u32, collar_ppm u32, self_trade_prevention code SelfTradePrevention,
    may_self_trade bool, client_stops_max u32, client_icebergs_max u32, client_position_lots_max u64, amendments_max u32,
    volatility_ppm u32, volatility_window_ms u32, volatility_phase code MarketPhase, volatility_pause_ms u32
27 SetFeeSchedule: market u32, fee_group u16, effective_seq u64, tiers list FeeTier, tax_ppm u32
28 SetTradeGroup: client u64, trade_group u64
29 SetFeeGroup: client u64, fee_group u16
30 SetMarketSchedule: market u32, utc_offset_s u32, behind_utc bool, entries list ScheduledPhase, holidays list u32,
    short_days list u32
31 PublishPrice: market u32, price_ticks u64, observed_at_ns u64, valid_for_ms u32
68 CreateAccounts: accounts list AccountRow
69 CreateTransfers: transfers list TransferRow
70 SetLedgerLimits: id_window_ms u64, id_ahead_ms u64, transfer_ids_max u32, pending_transfers_max u32,
    correction_window_ms u64, corrected_transfers_max u32
71 SetOverdraft: account u128, agreed u128, temporary u128, temporary_until_ns u64, interest_code u16
72 UpdateAccount: account u128, code u16, user_data_128 u128, user_data_64 u64, user_data_32 u32
73 SetCalendar: business_date u32, weekend_days u8, holidays list u32, value_back_days_max u16, value_ahead_days_max u16,
    utc_offset_s u32, behind_utc bool
74 CloseDay: business_date u32, next u32
75 CorrectTransfers: reason u16, transfers list TransferRow
76 QuoteExchange: quote u128, client u64, sell_ledger u32, buy_ledger u32, rate_mantissa u64,
    rate_scale u8, sell_liquidity u128, buy_liquidity u128, rounding u128, sell_amount_max u128,
    valid_until_ns u64, source text 16
77 ExchangeCurrency: quote u128, sell_account u128, buy_account u128, sell_amount u128,
    buy_amount_min u128, sell_transfer u128, buy_transfer u128, rounding_transfer u128, code u16
78 DefineStandingOrder: order u64, debit_account u128, credit_account u128, amount u128, ledger u32,
    code u16, schedule code Schedule, first_date u32, last_date u32, time_of_day_s u32,
    day_rule code DayRule, retry_days u8, user_data_128 u128
79 CancelStandingOrder: order u64
80 DefineMonitor: monitor u64, account u128, ledger u32, code u16, class option code AccountClass,
    field code MonitorField, operator code MonitorOperator, value u128, negative bool
81 RemoveMonitor: monitor u64
82 SetAccountCode: ledger u32, code u16, kind option code AccountKind, normal_side option code NormalSide,
    classes u8, name text 32
96 NewOrder: cl_ord_id text 64, client option u64, market u32, side code Side,
    order_type code OrderType, time_in_force code TimeInForce, price_ticks u64, qty_lots u64,
    budget u128, capacity option code Capacity, firm option u32, investment_decision option u64,
    execution_decision option u64, decision_flags u8, poss_resend bool, terms rare OrderTerms
97 CancelOrder: cl_ord_id text 64, orig_cl_ord_id text 64, order option u64, market u32,
    side code Side, poss_resend bool
98 ReplaceOrder: cl_ord_id text 64, orig_cl_ord_id text 64, order option u64, market u32,
    side code Side, price_ticks u64, qty_lots u64, poss_resend bool, terms rare OrderTerms
99 RequestOrderStatus: cl_ord_id text 64, order option u64, market u32, side code Side
100 CancelAll: session option u32, client option u64, market option u32, side option code Side, firm option u32
101 NewOrderList: cl_list_id text 64, contingency code Contingency, release code ListRelease, orders list NewOrder
102 MassQuote: quote_id text 64, client option u64, post_only option code PostOnly,
    self_trade_prevention option code SelfTradePrevention, capacity option code Capacity, firm option u32,
    investment_decision option u64, execution_decision option u64, decision_flags u8, withdraws_others bool,
    withdraws_market option u32, entries list QuoteEntry
103 SetCancelAllAfter: request_id text 64, timeout_ms u32
104 BustTrade: settled Settled, base_receivable u128, quote_receivable u128, reason u16
105 CorrectTrade: settled Settled, price_ticks u64, qty_lots u64, notional u128, buyer_fee u128,
    seller_fee u128, buyer_tax u128, seller_tax u128, base_receivable u128, quote_receivable u128,
    reason u16
106 MassCancel: cl_ord_id text 64, market option u32, side option code Side, client option u64
107 CancelReplaceOrder: cancel CancelOrder, order NewOrder, mode code CancelReplaceMode
108 SetMarketMakerProtection: request_id text 64, session option u32, market u32, fills_max u32, lots_max u64,
    window_ms u32
112 RequestListStatus: cl_list_id text 64
113 CancelList: cl_list_id text 64
114 RequestMarketStatus: request_id text 64, market u32
128 SessionLogon: connection u64, msg_seq_num u64, heartbeat_s u32, reset bool, next_expected u64
129 SessionHeartbeat:
130 SessionTestRequest: test_req_id text 64
131 SessionResendRequest: begin u64, end u64
132 SessionRejectReceived: ref_seq_num u64
133 SessionSequenceReset: new_seq_no u64, gap_fill bool, msg_seq_num u64
134 SessionLogout:
135 SessionRefuse: ref_seq_num u64, ref_msg_type text 8, ref_tag u32, reason u16, business bool,
    ref_id text 64, note text 120, routing text 120
136 SessionGap: received u64
137 SessionDown: end code SessionEnd
138 SessionTick: action code SessionAction
139 SessionTooLow: received u64
140 ResetSession: session u32
";

/// Every event, likewise.
const EVENTS: &str = "
5 Settled: trade u64, market u32, price_ticks u64, qty_lots u64, notional u128, maker_order u64,
    taker_order u64, taker_side code Side, buyer u64, seller u64, buyer_fee u128, seller_fee u128,
    buyer_tax u128, seller_tax u128, maker_is_paid bool
6 HoldChanged: order u64, account u128, held u128
7 AccountsCreated: session u32, request u64, count u32, created u32, exceptions list RowResult
8 TransfersCreated: session u32, request u64, count u32, created u32, exceptions list RowResult, amounts list RowAmount,
    balances u64
9 TransferExpired: transfer u128, debit_account u128, credit_account u128, amount u128
10 LedgerLimitsSet: limits SetLedgerLimits
11 OverdraftSet: overdraft SetOverdraft
12 OverdraftLineEnded: account u128, temporary u128, agreed u128
13 AccountUpdated: account u128, code u16, user_data_128 u128, user_data_64 u64, user_data_32 u32
14 CalendarSet: calendar SetCalendar
15 DayClosed: business_date u32, next u32, totals list LedgerTotals
16 TransfersEntered: transfers list TransferRow
17 ExchangeQuoted: definition QuoteExchange
18 ExchangeQuoteEnded: quote u128, end code QuoteEnd, left u128
19 CurrencyExchanged: quote u128, client u64, sell_account u128, buy_account u128, rounding_account u128,
    sell_amount u128, buy_amount u128, rounding_amount u128, rate_mantissa u64, rate_scale u8, source text 16,
    sell_transfer u128, buy_transfer u128, rounding_transfer u128
20 StandingOrderDefined: definition DefineStandingOrder, next_due_ns u64
21 StandingOrderAttempted: order u64, debit_account u128, credit_account u128, occurrence u32, attempt u8, transfer u128,
    refusal option code LedgerRefusal, retried bool, next_due_ns u64
22 StandingOrderEnded: order u64, end code StandingOrderEnd
23 MonitorDefined: definition DefineMonitor
24 MonitorTriggered: monitor u64, account u128, ledger u32, code u16, class code AccountClass,
    value u128, negative bool
25 MonitorRemoved: monitor u64
26 AccountCodeSet: entry SetAccountCode
32 ActorDefined: actor u32, roles u32
33 AssetDefined: definition DefineAsset
34 MarketDefined: definition DefineMarket, phase code MarketPhase
35 SessionDefined: definition DefineSession
36 TermStarted: term u64
37 ActorKeySet: actor u32, key option bytes 32
38 RecordSkipped: record_hash bytes 32, reason text 200
39 CheckpointMarked:
40 Proposed: proposal u64, actor u32, command ProposedCommand, before option ProposedCommand, expires_at_ns u64, note text 120
41 ProposalEnded: proposal u64, end code ProposalEnd, actor u32, note text 120
42 ApprovalsSet: kinds list u16
43 TradingRulesSet: rules SetTradingRules
44 FeeScheduleSet: schedule SetFeeSchedule
45 TradeGroupSet: client u64, trade_group u64
46 FeeGroupSet: client u64, fee_group u16
47 MarketScheduleSet: schedule SetMarketSchedule
48 PricePublished: market u32, price_ticks u64, observed_at_ns u64, valid_until_ns u64
64 Replied: session u32, request u64, effective_seq u64, refusal option code RejectReason,
    field text 48
65 Dropped: session u32, request u64, reason code RejectReason
96 ExecutionReport: order u64, cl_ord_id text 64, orig_cl_ord_id text 64, client u64, market u32,
    side code Side, order_type code OrderType, time_in_force code TimeInForce,
    exec_type code ExecType, status code OrderStatus, price_ticks u64, qty_lots u64,
    leaves_lots u64, cum_lots u64, cum_ticks_lots u128, last_price_ticks u64, last_qty_lots u64,
    trade u64, liquidity option code Liquidity, fee u128, fee_is_paid bool,
    tax u128, reason option code RejectReason, details rare OrderDetails
97 CancelRejected: order u64, cl_ord_id text 64, orig_cl_ord_id text 64, status code OrderStatus,
    response_to code CancelRejectTo, reason code RejectReason
98 BusinessRejected: ref_seq_num u64, ref_msg_type text 8, reason u16, ref_id text 64, note text 120,
    routing text 120
99 LogonSent: heartbeat_s u32, reset bool, next_expected u64
100 HeartbeatSent: test_req_id text 64
101 TestRequestSent:
102 ResendRequestSent: begin u64, end u64
103 RejectSent: ref_seq_num u64, ref_msg_type text 8, ref_tag u32, reason u16, note text 120,
    routing text 120
104 LogoutSent: end code SessionEnd, expected u64, received u64
105 MarketStatusReported: request_id text 64, market u32, phase code MarketPhase
112 BookChanged: market u32, order u64, side code Side, action code BookAction, price_ticks u64, qty_lots u64
113 OrderTriggered: market u32, order u64
114 OrderListChanged: list u64, cl_list_id text 64, market u32, contingency code Contingency, state code ListState,
    asked bool, orders list ListedOrder
115 TradePrevented: market u32, mode code SelfTradePrevention, maker_order u64, taker_order u64, price_ticks u64,
    maker_qty_lots u64, taker_qty_lots u64, prevented_lots u64
116 MarketPhaseChanged: market u32, before code MarketPhase, phase code MarketPhase, cause code PhaseCause
117 AuctionIndicated: market u32, price_ticks u64, lots u128, surplus_lots u128, surplus_side option code Side
118 AuctionUncrossed: market u32, price_ticks u64, lots u128, trades u32
119 TradeBusted: settled Settled, price_ticks u64, qty_lots u64, notional u128, buyer_fee u128, seller_fee u128,
    buyer_tax u128, seller_tax u128, reason u16, postings list TradePosting
120 QuotesPulled: session u32, market u32, fills u32, lots u128
121 MassCancelReported: cl_ord_id text 64, market option u32, side option code Side, client option u64, orders u32,
    refusal option code RejectReason
122 MarketMakerProtectionSet: request_id text 64, session u32, market u32, fills_max u32, lots_max u64, window_ms u32,
    refusal option code RejectReason
123 MassQuoteAcknowledged: quote_id text 64, client u64, entries u32, entered u32, kept u32, withdrawn u32,
    refused list QuoteRefusal, refusal option code RejectReason
124 CancelAllAfterSet: request_id text 64, timeout_ms u32, refusal option code RejectReason
128 SessionOpened: session u32, connection u64, generation u32, epoch u32, next_in u64,
    next_out u64, heartbeat_s u32, resend_from u64
129 SessionRefused: session u32, connection u64, end code SessionEnd
130 SessionClosed: session u32, generation u32, end code SessionEnd
131 ResendDue: session u32, begin u64, end u64, floor u64
";

/// What lists in messages hold.
const ROWS: &str = "
1 TransferRow: id u128, debit_account u128, credit_account u128, amount u128, pending_id u128, user_data_128 u128,
    user_data_64 u64, user_data_32 u32, timeout_s u32, ledger u32, code u16, flags u16, value_date u32, reason u16, reserved u16
2 AccountRow: id u128, user_data_128 u128, owner u64, user_data_64 u64, user_data_32 u32, ledger u32, code u16, flags u16,
    class u16, reserved u16
3 RowResult: index u32, refusal code LedgerRefusal, seq u64
4 RowAmount: index u32, amount u128
12 QuoteEntry: entry u32, market u32, bid_price_ticks u64, bid_lots u64, offer_price_ticks u64, offer_lots u64
13 QuoteRefusal: entry u32, market u32, reason code RejectReason
6 LedgerTotals: ledger u32, debits_pending u128, debits_posted u128, credits_pending u128, credits_posted u128, accounts u64
8 TradePosting: part code TradePart, debit_account u128, credit_account u128, amount u128
7 FeeTier: volume_min u128, maker_ppm u32, maker_is_paid bool, taker_ppm u32
12 ScheduledPhase: days u8, at_ms u32, phase code MarketPhase
5 ProposedCommand: kind u16, version u16, body list u8
7 Trigger: price_ticks u64, price_type code TriggerPriceType, direction code TriggerDirection
8 Trail: by code TrailBy, offset u64
9 Peg: to code PegTo, offset_ticks u32
11 Twap: legs u16, interval_ms u32
10 OrderTerms: expires_at_ns u64, expires_in_s u32, post_only option code PostOnly, min_qty_lots u64, display_lots u64,
    self_trade_prevention option code SelfTradePrevention, trigger option Trigger, trail option Trail,
    peg option Peg, cancel_on_disconnect option bool, valid_until_ns u64, twap option Twap
12 OrderDetails: terms OrderTerms, cl_list_id text 64
13 ListedOrder: order u64, cl_ord_id text 64, status code OrderStatus, qty_lots u64, leaves_lots u64, cum_lots u64,
    cum_ticks_lots u128
";

/// The fixed headers.
const HEADERS: &str = "
1 record: length u32, kind u16, version u16, session u32, generation u32, request u64, gateway_delay_us u32, flags u32
2 event: length u32, kind u16, version u16, session u32, epoch u32, out_seq u64, seq u64, time_ns u64, crc32c u32,
    reserved u32
3 frame: length u32, kind u8, flags u8, reserved u16, index u64, term u64, time_ns u64, first_seq u64, count u32,
    engine_version u32, applied_seq u64, effect_hash bytes 32, payload_crc32c u32, header_crc32c u32
4 segment: magic bytes 8, format u16, reserved bytes 6, cluster u128, epoch u64, node u64, segno u64, first_index u64,
    prev_term u64, prev_chain bytes 32, nonce u64, segment_bytes u64, created_ns u64, prev_block u64,
    prev_block_crc u32, begins_anew u8, reserved_2 bytes 3, behind_segno u64, given_up_to u64, reach_index u64,
    reach_term u64, zeros bytes 3916, crc32c u32
5 block: magic bytes 4, header_crc u32, len u32, entries u32, segno u64, file_off u64, epoch u64, block_seq u64,
    durable_block u64, first_index u64, last_index u64, last_term u64, prev_last_index u64, prev_last_term u64,
    commit_index u64, prev_block_crc u32, body_crc u32
6 meta: magic bytes 8, format u16, reserved bytes 6, sequence u64, cluster u128, epoch u64, node u64, term u64,
    vote u64, founder_count u8, reserved_2 bytes 7, founders bytes 128, zeros bytes 3884, crc32c u32
7 hint: magic bytes 8, durable_block u64, epoch u64, zeros bytes 484, crc32c u32
8 snapshot: magic bytes 8, format u16, reserved bytes 6, cluster u128, epoch u64, index u64, term u64,
    engine_version u32, conf_bytes u32, next_seq u64, last_time_ns u64, chain bytes 32, effect_hash bytes 32,
    state_hash bytes 32, state_bytes u64, chunks u32, header_crc u32
9 chunk: packed_bytes u32, bytes u32, crc32c u32, reserved u32
10 outbox: magic bytes 8, format u16, reserved bytes 6
";

/// What a field is.
#[derive(Clone, Debug)]
pub(crate) enum Type {
    /// An unsigned integer of so many bytes.
    Number(usize),
    /// One byte, 0 or 1.
    Bool,
    /// One byte: a code of this list.
    Code(&'static str),
    /// So many bytes as they are.
    Bytes(usize),
    /// Place and length; at most so many bytes elsewhere.
    Text(usize),
    /// Place and length; elements elsewhere.
    List(Box<Self>),
    /// A list of at most one.
    Rare(Box<Self>),
    /// One byte 0 or 1, then the value or as many zeros.
    Optional(Box<Self>),
    /// The fields of another message, in place.
    Nested(&'static str, Vec<Field>),
}

/// A field of a message.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
}

/// A message's layout.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) kind: u16,
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<Field>,
}

impl Type {
    fn parse(text: &'static str) -> Self {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("bool", "") => Self::Bool,
            ("code", list) => Self::Code(list),
            ("bytes", size) => Self::Bytes(size.parse().unwrap()),
            ("text", max) => Self::Text(max.parse().unwrap()),
            ("list", element) => Self::List(Box::new(Self::parse(element))),
            ("rare", element) => Self::Rare(Box::new(Self::parse(element))),
            ("option", value) => Self::Optional(Box::new(Self::parse(value))),
            (number, "") if number.starts_with('u') => {
                Self::Number(number[1..].parse::<usize>().unwrap() / 8)
            }
            (row, "")
                if [
                    "TransferRow",
                    "AccountRow",
                    "RowResult",
                    "RowAmount",
                    "QuoteEntry",
                    "QuoteRefusal",
                    "LedgerTotals",
                    "FeeTier",
                    "ScheduledPhase",
                    "TradePosting",
                    "ProposedCommand",
                    "OrderTerms",
                    "OrderDetails",
                    "ListedOrder",
                    "Trigger",
                    "Trail",
                    "Peg",
                    "Twap",
                ]
                .contains(&row) =>
            {
                Self::Nested(row, find(&parse(part_of(ROWS, row)), row).fields)
            }
            ("Settled", "") => {
                Self::Nested("Settled", find(&parse(part_of(EVENTS, "Settled")), "Settled").fields)
            }
            (command, "") => Self::Nested(command, find(&parse(part_of(COMMANDS, command)), command).fields),
            (unknown, _) => panic!("no type {unknown}"),
        }
    }

    /// As the tables name it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Number(bytes) => format!("u{}", bytes * 8),
            Self::Bool => "bool".to_owned(),
            Self::Code(list) => format!("code {list}"),
            Self::Bytes(size) => format!("bytes {size}"),
            Self::Text(max) => format!("text {max}"),
            Self::List(element) => format!("list {}", element.name()),
            Self::Rare(element) => format!("rare {}", element.name()),
            Self::Optional(value) => format!("option {}", value.name()),
            Self::Nested(command, _) => (*command).to_owned(),
        }
    }

    /// Whether anything of it stands outside of its place.
    pub(crate) fn has_parts(&self) -> bool {
        match self {
            Self::Text(_) | Self::List(_) | Self::Rare(_) => true,
            Self::Optional(value) => value.has_parts(),
            Self::Nested(_, fields) => fields.iter().any(|field| field.kind.has_parts()),
            Self::Number(_) | Self::Bool | Self::Code(_) | Self::Bytes(_) => false,
        }
    }

    /// Bytes in place.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Number(bytes) | Self::Bytes(bytes) => *bytes,
            Self::Bool | Self::Code(_) => 1,
            Self::Text(_) | Self::List(_) | Self::Rare(_) => 8,
            Self::Optional(value) => 1 + value.size(),
            Self::Nested(_, fields) => fields.iter().map(|field| field.kind.size()).sum(),
        }
    }
}

impl Layout {
    /// Bytes of the fixed part.
    pub(crate) fn size(&self) -> usize {
        self.fields.iter().map(|field| field.kind.size()).sum()
    }

    /// Each field with its offset in the fixed part.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().scan(0, |next, field| {
            let at = *next;
            *next += field.kind.size();
            Some((at, field))
        })
    }
}

fn parse(table: &'static str) -> Vec<Layout> {
    let mut layouts: Vec<Layout> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        let fields = match line.split_once(':') {
            Some((head, fields)) => {
                let (kind, name) = head.split_once(' ').unwrap();
                layouts.push(Layout { kind: kind.parse().unwrap(), name, fields: Vec::new() });
                fields
            }
            None => line,
        };
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let (name, kind) = field.split_once(' ').unwrap();
            layouts.last_mut().unwrap().fields.push(Field { name, kind: Type::parse(kind) });
        }
    }
    layouts
}

/// The part of a table about one of its layouts, so that layouts may hold others.
fn part_of(table: &'static str, name: &str) -> &'static str {
    let start = table.lines().find(|line| line.contains(&format!(" {name}: "))).unwrap();
    let at = start.as_ptr().addr() - table.as_ptr().addr();
    let continues = |line: &&str| line.starts_with(' ');
    let len = start.len()
        + table[at + start.len() + 1..]
            .lines()
            .take_while(continues)
            .map(|line| line.len() + 1)
            .sum::<usize>();
    &table[at..at + len]
}

/// The layouts of all commands.
pub(crate) fn commands() -> Vec<Layout> {
    parse(COMMANDS)
}

/// The layouts of all events.
pub(crate) fn events() -> Vec<Layout> {
    parse(EVENTS)
}

/// The layouts of rows.
pub(crate) fn rows() -> Vec<Layout> {
    parse(ROWS)
}

/// The layouts of the fixed headers.
pub(crate) fn headers() -> Vec<Layout> {
    parse(HEADERS)
}

/// The layout of this name.
pub(crate) fn find(layouts: &[Layout], name: &str) -> Layout {
    layouts.iter().find(|layout| layout.name == name).unwrap_or_else(|| panic!("no layout of {name}")).clone()
}

/// A list of codes: its name, and the variants with their codes.
pub(crate) type CodeList = (&'static str, Vec<(u8, &'static str)>);

macro_rules! code_lists {
    ($($name:ty),* $(,)?) => {
        vec![$((
            stringify!($name).rsplit(' ').next().unwrap(),
            <$name>::ALL.iter().map(|variant| (variant.code(), variant.name())).collect(),
        ),)*]
    };
}

/// Every list of codes.
pub(crate) fn code_lists() -> Vec<CodeList> {
    use protocol::frame::FrameKind;
    code_lists![
        Side,
        OrderType,
        TimeInForce,
        PostOnly,
        SelfTradePrevention,
        ReferencePrice,
        CancelReplaceMode,
        Contingency,
        ListRelease,
        ListState,
        TriggerPriceType,
        TriggerDirection,
        TrailBy,
        PegTo,
        Capacity,
        AccountClass,
        NormalSide,
        AccountKind,
        MarketPhase,
        PhaseCause,
        SessionProtocol,
        Strictness,
        CancelOnDisconnect,
        ExecType,
        OrderStatus,
        Liquidity,
        TradePart,
        BookAction,
        CancelRejectTo,
        SessionAction,
        SessionEnd,
        ProposalEnd,
        MonitorField,
        MonitorOperator,
        QuoteEnd,
        Schedule,
        DayRule,
        StandingOrderEnd,
        RejectReason,
        LedgerRefusal,
        FrameKind,
    ]
}
