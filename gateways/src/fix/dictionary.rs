//! The one data dictionary: every field and message that we accept or send. docs/fix/FIX44-sicil.xml says the same in
//! the form that QuickFIX reads; a test compares the two, field by field.

/// Format of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Char,
    MultipleValueString,
    Currency,
    Exchange,
    Data,
    Int,
    Length,
    SeqNum,
    NumInGroup,
    Boolean,
    Price,
    Qty,
    Amt,
    Float,
    UtcTimestamp,
    LocalMktDate,
}

/// A field.
#[derive(Debug)]
pub(crate) struct FieldDef {
    pub(crate) tag: u16,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Value and name; empty = anything of the kind.
    pub(crate) values: &'static [(&'static str, &'static str)],
}

/// A field in a message, header, trailer or group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) tag: u16,
    pub(crate) required: bool,
    /// Of a count: what each entry holds, first the field that begins an entry.
    pub(crate) group: &'static [Member],
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
    Both,
}

/// A message.
#[derive(Debug)]
pub(crate) struct MessageDef {
    pub(crate) msg_type: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "part of the table that the XML is compared with"))]
    pub(crate) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "part of the table that the XML is compared with"))]
    pub(crate) admin: bool,
    pub(crate) direction: Direction,
    pub(crate) members: &'static [Member],
    /// One bit for each field of the body, by its place in [`FIELDS`]; entries of groups not counted.
    pub(crate) mask: Mask,
}

/// A set of fields, by their places in [`FIELDS`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mask([u128; 2]);

impl Mask {
    const NONE: Self = Self([0; 2]);

    pub(crate) const fn has(self, place: usize) -> bool {
        self.0[place / 128] & 1 << (place % 128) != 0
    }

    pub(crate) const fn with(mut self, place: usize) -> Self {
        self.0[place / 128] |= 1 << (place % 128);
        self
    }
}

use Direction::{Both, In, Out};
use Kind::{
    Amt, Boolean, Char, Currency, Data, Exchange, Float, Int, Length, LocalMktDate, MultipleValueString,
    NumInGroup, Price, Qty, SeqNum, String, UtcTimestamp,
};

const fn any(tag: u16, name: &'static str, kind: Kind) -> FieldDef {
    FieldDef { tag, name, kind, values: &[] }
}

const fn of(
    tag: u16,
    name: &'static str,
    kind: Kind,
    values: &'static [(&'static str, &'static str)],
) -> FieldDef {
    FieldDef { tag, name, kind, values }
}

const fn req(tag: u16) -> Member {
    Member { tag, required: true, group: &[] }
}

const fn opt(tag: u16) -> Member {
    Member { tag, required: false, group: &[] }
}

const fn group(tag: u16, group: &'static [Member]) -> Member {
    Member { tag, required: false, group }
}

const fn message(
    msg_type: &'static str,
    name: &'static str,
    admin: bool,
    direction: Direction,
    members: &'static [Member],
) -> MessageDef {
    MessageDef { msg_type, name, admin, direction, members, mask: mask(members) }
}

/// Of a MassQuoteAcknowledgement and of each quote in it.
const QUOTE_REJECT_REASONS: &[(&str, &str)] = &[
    ("1", "UNKNOWN_SYMBOL"),
    ("2", "EXCHANGE_CLOSED"),
    ("3", "EXCEEDS_LIMIT"),
    ("7", "INVALID_BID_ASK_SPREAD"),
    ("8", "INVALID_PRICE"),
    ("9", "NOT_AUTHORIZED"),
    ("99", "OTHER"),
];

/// Every field, by tag.
pub(crate) const FIELDS: &[FieldDef] = &[
    any(1, "Account", String),
    any(6, "AvgPx", Price),
    any(7, "BeginSeqNo", SeqNum),
    any(8, "BeginString", String),
    any(9, "BodyLength", Length),
    any(10, "CheckSum", String),
    any(11, "ClOrdID", String),
    any(12, "Commission", Amt),
    of(13, "CommType", Char, &[("3", "ABSOLUTE")]),
    any(14, "CumQty", Qty),
    any(15, "Currency", Currency),
    any(16, "EndSeqNo", SeqNum),
    any(17, "ExecID", String),
    any(18, "ExecInst", MultipleValueString),
    any(19, "ExecRefID", String),
    of(21, "HandlInst", Char, &[("1", "AUTOMATED_PRIVATE"), ("2", "AUTOMATED_PUBLIC"), ("3", "MANUAL")]),
    any(22, "SecurityIDSource", String),
    any(31, "LastPx", Price),
    any(32, "LastQty", Qty),
    any(34, "MsgSeqNum", SeqNum),
    any(35, "MsgType", String),
    any(36, "NewSeqNo", SeqNum),
    any(37, "OrderID", String),
    any(38, "OrderQty", Qty),
    of(
        39,
        "OrdStatus",
        Char,
        &[
            ("0", "NEW"),
            ("1", "PARTIALLY_FILLED"),
            ("2", "FILLED"),
            ("4", "CANCELED"),
            ("8", "REJECTED"),
            ("A", "PENDING_NEW"),
            ("C", "EXPIRED"),
        ],
    ),
    of(
        40,
        "OrdType",
        Char,
        &[
            ("1", "MARKET"),
            ("2", "LIMIT"),
            ("3", "STOP"),
            ("4", "STOP_LIMIT"),
            ("J", "MARKET_IF_TOUCHED"),
            ("P", "PEGGED"),
        ],
    ),
    any(41, "OrigClOrdID", String),
    any(43, "PossDupFlag", Boolean),
    any(44, "Price", Price),
    any(45, "RefSeqNum", SeqNum),
    any(48, "SecurityID", String),
    any(49, "SenderCompID", String),
    any(50, "SenderSubID", String),
    any(52, "SendingTime", UtcTimestamp),
    of(54, "Side", Char, &[("1", "BUY"), ("2", "SELL")]),
    any(55, "Symbol", String),
    any(56, "TargetCompID", String),
    any(57, "TargetSubID", String),
    any(58, "Text", String),
    of(
        59,
        "TimeInForce",
        Char,
        &[
            ("0", "DAY"),
            ("1", "GOOD_TILL_CANCEL"),
            ("2", "AT_THE_OPENING"),
            ("3", "IMMEDIATE_OR_CANCEL"),
            ("4", "FILL_OR_KILL"),
            ("6", "GOOD_TILL_DATE"),
            ("7", "AT_THE_CLOSE"),
            // Of a later version.
            ("A", "GOOD_FOR_TIME"),
        ],
    ),
    any(60, "TransactTime", UtcTimestamp),
    any(66, "ListID", String),
    any(67, "ListSeqNo", Int),
    any(68, "TotNoOrders", Int),
    any(73, "NoOrders", NumInGroup),
    any(82, "NoRpts", Int),
    any(83, "RptSeq", Int),
    any(84, "CxlQty", Qty),
    any(95, "RawDataLength", Length),
    any(96, "RawData", Data),
    any(97, "PossResend", Boolean),
    of(98, "EncryptMethod", Int, &[("0", "NONE")]),
    any(99, "StopPx", Price),
    of(
        102,
        "CxlRejReason",
        Int,
        &[
            ("0", "TOO_LATE_TO_CANCEL"),
            ("1", "UNKNOWN_ORDER"),
            ("2", "BROKER_EXCHANGE_OPTION"),
            ("6", "DUPLICATE_CLORDID_RECEIVED"),
            ("99", "OTHER"),
        ],
    ),
    of(
        103,
        "OrdRejReason",
        Int,
        &[
            ("0", "BROKER_EXCHANGE_OPTION"),
            ("1", "UNKNOWN_SYMBOL"),
            ("2", "EXCHANGE_CLOSED"),
            ("3", "ORDER_EXCEEDS_LIMIT"),
            ("4", "TOO_LATE_TO_ENTER"),
            ("5", "UNKNOWN_ORDER"),
            ("6", "DUPLICATE_ORDER"),
            ("11", "UNSUPPORTED_ORDER_CHARACTERISTIC"),
            ("13", "INCORRECT_QUANTITY"),
            ("15", "UNKNOWN_ACCOUNT"),
            ("99", "OTHER"),
        ],
    ),
    any(108, "HeartBtInt", Int),
    any(110, "MinQty", Qty),
    any(111, "MaxFloor", Qty),
    any(112, "TestReqID", String),
    any(115, "OnBehalfOfCompID", String),
    any(116, "OnBehalfOfSubID", String),
    any(117, "QuoteID", String),
    any(122, "OrigSendingTime", UtcTimestamp),
    any(123, "GapFillFlag", Boolean),
    any(126, "ExpireTime", UtcTimestamp),
    any(128, "DeliverToCompID", String),
    any(129, "DeliverToSubID", String),
    any(132, "BidPx", Price),
    any(133, "OfferPx", Price),
    any(134, "BidSize", Qty),
    any(135, "OfferSize", Qty),
    any(136, "NoMiscFees", NumInGroup),
    any(137, "MiscFeeAmt", Amt),
    of(139, "MiscFeeType", String, &[("2", "TAX")]),
    any(141, "ResetSeqNumFlag", Boolean),
    any(142, "SenderLocationID", String),
    any(143, "TargetLocationID", String),
    any(144, "OnBehalfOfLocationID", String),
    any(145, "DeliverToLocationID", String),
    of(
        150,
        "ExecType",
        Char,
        &[
            ("0", "NEW"),
            ("4", "CANCELED"),
            ("5", "REPLACE"),
            ("8", "REJECTED"),
            ("A", "PENDING_NEW"),
            ("C", "EXPIRED"),
            ("D", "RESTATED"),
            ("F", "TRADE"),
            ("G", "TRADE_CORRECT"),
            ("H", "TRADE_CANCEL"),
            ("I", "ORDER_STATUS"),
        ],
    ),
    any(151, "LeavesQty", Qty),
    any(152, "CashOrderQty", Qty),
    of(
        167,
        "SecurityType",
        String,
        &[
            ("CS", "COMMON_STOCK"),
            ("FOR", "FOREIGN_EXCHANGE_CONTRACT"),
            ("FUT", "FUTURE"),
            ("NONE", "NO_SECURITY_TYPE"),
            ("OPT", "OPTION"),
        ],
    ),
    any(207, "SecurityExchange", Exchange),
    any(211, "PegOffsetValue", Float),
    // Snapshots alone: what changes is told by market data.
    of(263, "SubscriptionRequestType", Char, &[("0", "SNAPSHOT")]),
    any(295, "NoQuoteEntries", NumInGroup),
    of(296, "NoQuoteSets", Int, &[("1", "ONE")]),
    of(297, "QuoteStatus", Int, &[("0", "ACCEPTED"), ("5", "REJECTED")]),
    of(298, "QuoteCancelType", Int, &[("1", "CANCEL_FOR_SYMBOL"), ("4", "CANCEL_ALL_QUOTES")]),
    any(299, "QuoteEntryID", String),
    of(300, "QuoteRejectReason", Int, QUOTE_REJECT_REASONS),
    of(302, "QuoteSetID", String, &[("1", "FIRST")]),
    any(304, "TotNoQuoteEntries", Int),
    any(324, "SecurityStatusReqID", String),
    of(
        326,
        "SecurityTradingStatus",
        Int,
        &[
            ("2", "TRADING_HALT"),
            ("17", "READY_TO_TRADE"),
            ("18", "NOT_AVAILABLE_FOR_TRADING"),
            ("21", "PRE_OPEN"),
            ("22", "OPENING_ROTATION"),
        ],
    ),
    any(336, "TradingSessionID", String),
    of(368, "QuoteEntryRejectReason", Int, QUOTE_REJECT_REASONS),
    any(369, "LastMsgSeqNumProcessed", SeqNum),
    any(371, "RefTagID", Int),
    any(372, "RefMsgType", String),
    any(373, "SessionRejectReason", Int),
    of(
        378,
        "ExecRestatementReason",
        Int,
        &[("3", "REPRICING_OF_ORDER"), ("5", "PARTIAL_DECLINE_OF_ORDERQTY"), ("8", "MARKET")],
    ),
    any(379, "BusinessRejectRefID", String),
    any(380, "BusinessRejectReason", Int),
    any(383, "MaxMessageSize", Length),
    any(386, "NoTradingSessions", NumInGroup),
    of(394, "BidType", Int, &[("3", "NO_BIDDING_PROCESS")]),
    of(
        429,
        "ListStatusType",
        Int,
        &[("1", "ACK"), ("2", "RESPONSE"), ("4", "EXEC_STARTED"), ("5", "ALL_DONE")],
    ),
    of(431, "ListOrderStatus", Int, &[("3", "EXECUTING"), ("6", "ALL_DONE")]),
    any(432, "ExpireDate", LocalMktDate),
    of(
        434,
        "CxlRejResponseTo",
        Char,
        &[("1", "ORDER_CANCEL_REQUEST"), ("2", "ORDER_CANCEL_REPLACE_REQUEST")],
    ),
    any(447, "PartyIDSource", Char),
    any(448, "PartyID", String),
    any(452, "PartyRole", Int),
    any(453, "NoPartyIDs", NumInGroup),
    any(464, "TestMessageIndicator", Boolean),
    any(526, "SecondaryClOrdID", String),
    any(527, "SecondaryExecID", String),
    of(528, "OrderCapacity", Char, &[("A", "AGENCY"), ("P", "PRINCIPAL"), ("R", "RISKLESS_PRINCIPAL")]),
    of(
        530,
        "MassCancelRequestType",
        Char,
        &[("1", "CANCEL_ORDERS_FOR_A_SECURITY"), ("7", "CANCEL_ALL_ORDERS")],
    ),
    of(
        531,
        "MassCancelResponse",
        Char,
        &[
            ("0", "CANCEL_REQUEST_REJECTED"),
            ("1", "CANCEL_ORDERS_FOR_A_SECURITY"),
            ("7", "CANCEL_ALL_ORDERS"),
        ],
    ),
    of(532, "MassCancelRejectReason", Int, &[("1", "INVALID_OR_UNKNOWN_SECURITY"), ("99", "OTHER")]),
    any(533, "TotalAffectedOrders", Int),
    any(553, "Username", String),
    any(554, "Password", String),
    any(582, "CustOrderCapacity", Int),
    any(583, "ClOrdLinkID", String),
    any(625, "TradingSessionSubID", String),
    any(660, "AcctIDSource", Int),
    any(789, "NextExpectedMsgSeqNum", SeqNum),
    of(836, "PegOffsetType", Int, &[("0", "PRICE"), ("1", "BASIS_POINTS"), ("2", "TICKS")]),
    of(847, "TargetStrategy", Int, &[("1000", "TWAP")]),
    any(848, "TargetStrategyParameters", String),
    of(
        851,
        "LastLiquidityInd",
        Int,
        &[("1", "ADDED_LIQUIDITY"), ("2", "REMOVED_LIQUIDITY"), ("4", "AUCTION")],
    ),
    // Of a later version; from 100 on, and letters, values are agreed between two parties.
    of(1100, "TriggerType", Char, &[("4", "PRICE_MOVEMENT")]),
    of(1101, "TriggerAction", Char, &[("1", "ACTIVATE")]),
    any(1102, "TriggerPrice", Price),
    of(
        1107,
        "TriggerPriceType",
        Char,
        &[("1", "BEST_OFFER"), ("2", "LAST_TRADE"), ("3", "BEST_BID"), ("I", "INDEX")],
    ),
    of(1109, "TriggerPriceDirection", Char, &[("D", "DOWN"), ("U", "UP")]),
    of(
        1385,
        "ContingencyType",
        Int,
        &[
            ("1", "ONE_CANCELS_THE_OTHER"),
            ("2", "ONE_TRIGGERS_THE_OTHER"),
            ("100", "ONE_TRIGGERS_ONE_CANCELS_THE_OTHER"),
        ],
    ),
    any(1629, "ExposureDuration", Int),
    any(1724, "OrderOrigination", Int),
    any(2376, "PartyRoleQualifier", Int),
    any(2593, "NoOrderAttributes", NumInGroup),
    any(2594, "OrderAttributeType", Int),
    any(2595, "OrderAttributeValue", String),
    of(
        2964,
        "SelfMatchPreventionInstruction",
        Int,
        &[
            ("1", "CANCEL_AGGRESSIVE"),
            ("2", "CANCEL_PASSIVE"),
            ("3", "CANCEL_AGGRESSIVE_PASSIVE"),
            ("100", "NONE"),
            ("101", "DECREMENT"),
            ("102", "TRANSFER"),
        ],
    ),
    // Agreed between two parties.
    any(5001, "RequestID", String),
    any(5002, "CancelAllAfterMs", Int),
    of(5003, "RequestResult", Int, &[("0", "ACCEPTED"), ("1", "REFUSED")]),
    any(5004, "ProtectionFillsMax", Int),
    any(5005, "ProtectionQtyMax", Qty),
    any(5006, "ProtectionWindowMs", Int),
];

/// The standard header.
pub(crate) const HEADER: &[Member] = &[
    req(8),
    req(9),
    req(35),
    req(49),
    req(56),
    opt(115),
    opt(128),
    req(34),
    opt(50),
    opt(142),
    opt(57),
    opt(143),
    opt(116),
    opt(144),
    opt(129),
    opt(145),
    opt(43),
    opt(97),
    req(52),
    opt(122),
    opt(369),
];

/// The standard trailer.
pub(crate) const TRAILER: &[Member] = &[req(10)];

const PARTIES: Member = group(453, &[req(448), opt(447), opt(452), opt(2376)]);
const ORDER_ATTRIBUTES: Member = group(2593, &[req(2594), opt(2595)]);
/// Of a message with one quote set.
const QUOTE_ENTRIES: Member =
    group(295, &[req(299), req(55), opt(132), opt(133), opt(134), opt(135), opt(60)]);
/// The orders of a list. Parties are not: their group would lie within this one.
const LIST_ORDERS: Member = group(
    73,
    &[
        req(11),
        opt(67),
        opt(1),
        opt(21),
        opt(18),
        opt(110),
        opt(111),
        opt(2964),
        req(55),
        req(54),
        opt(60),
        opt(38),
        opt(152),
        req(40),
        opt(44),
        opt(99),
        opt(1100),
        opt(1101),
        opt(1102),
        opt(1107),
        opt(1109),
        opt(59),
        opt(432),
        opt(126),
        opt(1629),
        opt(528),
        opt(211),
        opt(836),
        opt(847),
        opt(848),
    ],
);
/// The orders of a list as they stand.
const LISTED_ORDERS: Member =
    Member { tag: 73, required: true, group: &[req(11), req(14), req(39), req(151), req(84), req(6)] };
const TRADING_SESSIONS: Member = group(386, &[req(336), opt(625)]);

/// Every message that we accept or send.
pub(crate) const MESSAGES: &[MessageDef] = &[
    message("0", "Heartbeat", true, Both, &[opt(112)]),
    message("1", "TestRequest", true, Both, &[req(112)]),
    message("2", "ResendRequest", true, Both, &[req(7), req(16)]),
    message("3", "Reject", true, Both, &[req(45), opt(371), opt(372), opt(373), opt(58)]),
    message("4", "SequenceReset", true, Both, &[opt(123), req(36)]),
    message("5", "Logout", true, Both, &[opt(58)]),
    message(
        "8",
        "ExecutionReport",
        false,
        Out,
        &[
            req(37),
            opt(11),
            opt(41),
            req(17),
            opt(19),
            opt(527),
            req(150),
            req(39),
            opt(378),
            opt(103),
            opt(66),
            opt(1),
            req(55),
            req(54),
            opt(38),
            opt(40),
            opt(44),
            opt(99),
            opt(211),
            opt(836),
            opt(848),
            opt(59),
            opt(126),
            opt(18),
            opt(110),
            opt(111),
            opt(32),
            opt(31),
            req(151),
            req(14),
            req(6),
            opt(60),
            opt(12),
            opt(13),
            group(136, &[req(137), opt(139)]),
            opt(851),
            opt(58),
        ],
    ),
    message(
        "9",
        "OrderCancelReject",
        false,
        Out,
        &[req(37), req(11), req(41), req(39), opt(60), req(434), opt(102), opt(58)],
    ),
    message(
        "A",
        "Logon",
        true,
        Both,
        &[req(98), req(108), opt(95), opt(96), opt(141), opt(789), opt(383), opt(464), opt(553), opt(554)],
    ),
    message(
        "D",
        "NewOrderSingle",
        false,
        In,
        &[
            req(11),
            opt(526),
            opt(583),
            PARTIES,
            opt(1),
            opt(660),
            opt(21),
            opt(18),
            opt(110),
            opt(111),
            opt(2964),
            TRADING_SESSIONS,
            req(55),
            opt(48),
            opt(22),
            opt(167),
            opt(207),
            req(54),
            req(60),
            opt(38),
            opt(152),
            req(40),
            opt(44),
            opt(99),
            opt(1100),
            opt(1101),
            opt(1102),
            opt(1107),
            opt(1109),
            opt(15),
            opt(59),
            opt(432),
            opt(126),
            opt(1629),
            opt(528),
            opt(1724),
            ORDER_ATTRIBUTES,
            opt(582),
            opt(211),
            opt(836),
            opt(847),
            opt(848),
            opt(58),
        ],
    ),
    message("E", "NewOrderList", false, In, &[req(66), req(1385), opt(394), req(68), LIST_ORDERS, opt(58)]),
    message(
        "F",
        "OrderCancelRequest",
        false,
        In,
        &[
            req(41),
            opt(37),
            req(11),
            opt(526),
            opt(583),
            opt(1),
            PARTIES,
            req(55),
            opt(48),
            opt(22),
            opt(207),
            req(54),
            req(60),
            opt(38),
            opt(58),
        ],
    ),
    message(
        "G",
        "OrderCancelReplaceRequest",
        false,
        In,
        &[
            opt(37),
            PARTIES,
            req(41),
            req(11),
            opt(526),
            opt(583),
            opt(1),
            opt(660),
            opt(21),
            opt(18),
            opt(110),
            opt(111),
            opt(2964),
            req(55),
            opt(48),
            opt(22),
            opt(207),
            req(54),
            req(60),
            opt(38),
            req(40),
            opt(44),
            opt(99),
            opt(1100),
            opt(1101),
            opt(1102),
            opt(1107),
            opt(1109),
            opt(15),
            opt(59),
            opt(432),
            opt(126),
            opt(1629),
            opt(528),
            opt(582),
            opt(211),
            opt(836),
            opt(847),
            opt(848),
            opt(58),
        ],
    ),
    message("H", "OrderStatusRequest", false, In, &[opt(37), req(11), opt(1), PARTIES, req(55), req(54)]),
    message("K", "ListCancelRequest", false, In, &[req(66), req(60), opt(58)]),
    message("M", "ListStatusRequest", false, In, &[req(66), opt(58)]),
    message(
        "N",
        "ListStatus",
        false,
        Out,
        &[req(66), req(429), req(82), req(431), req(83), opt(60), req(68), LISTED_ORDERS],
    ),
    message(
        "q",
        "OrderMassCancelRequest",
        false,
        In,
        &[req(11), req(530), opt(55), opt(48), opt(22), opt(207), opt(54), req(60), opt(58)],
    ),
    message(
        "r",
        "OrderMassCancelReport",
        false,
        Out,
        &[opt(11), req(37), req(530), req(531), opt(532), opt(533), opt(55), opt(54), opt(60), opt(58)],
    ),
    message(
        "e",
        "SecurityStatusRequest",
        false,
        In,
        &[req(324), req(55), opt(48), opt(22), opt(207), req(263)],
    ),
    message("f", "SecurityStatus", false, Out, &[opt(324), req(55), opt(625), opt(326), opt(60)]),
    message(
        "i",
        "MassQuote",
        false,
        In,
        &[
            req(117),
            PARTIES,
            opt(1),
            opt(528),
            opt(1724),
            ORDER_ATTRIBUTES,
            req(296),
            req(302),
            req(304),
            QUOTE_ENTRIES,
            opt(58),
        ],
    ),
    message(
        "b",
        "MassQuoteAcknowledgement",
        false,
        Out,
        &[
            opt(117),
            req(297),
            opt(300),
            opt(1),
            opt(58),
            opt(60),
            opt(296),
            opt(302),
            opt(304),
            group(295, &[req(299), opt(55), opt(368)]),
        ],
    ),
    message("Z", "QuoteCancel", false, In, &[req(117), req(298), opt(1), group(295, &[req(55)]), opt(58)]),
    message("U1", "CancelAllAfterRequest", false, In, &[req(5001), req(5002), opt(58)]),
    message(
        "U2",
        "CancelAllAfterReport",
        false,
        Out,
        &[opt(5001), req(5002), req(5003), opt(126), opt(60), opt(58)],
    ),
    message(
        "U3",
        "MarketMakerProtectionRequest",
        false,
        In,
        &[req(5001), req(55), opt(48), opt(22), opt(207), req(5004), opt(5005), opt(5006), opt(58)],
    ),
    message(
        "U4",
        "MarketMakerProtectionReport",
        false,
        Out,
        &[opt(5001), req(55), req(5003), req(5004), opt(5005), req(5006), opt(60), opt(58)],
    ),
    message("j", "BusinessMessageReject", false, Both, &[opt(45), req(372), opt(379), req(380), opt(58)]),
];

/// Tags that FIX 4.4 gives out: a field among them that a message does not have is defined, but not for it.
pub(crate) const TAG_MAX: i32 = 956;

const NONE: u8 = u8::MAX;
/// Above every tag of [`FIELDS`].
const TAGS: usize = 5_120;
const INDEX: [u8; TAGS] = index();
const _: () = assert!(FIELDS.len() < 255, "an index of one byte, and masks of 256 bits");

/// Bits of [`HEADER`].
pub(crate) const HEADER_MASK: Mask = mask(HEADER);
/// Bits of [`TRAILER`].
pub(crate) const TRAILER_MASK: Mask = mask(TRAILER);

/// The place of a tag in [`FIELDS`].
pub(crate) fn place(tag: i32) -> Option<usize> {
    let place = *INDEX.get(usize::try_from(tag).ok()?)?;
    (place != NONE).then_some(usize::from(place))
}

/// The definition of a message that we accept, or send.
pub(crate) fn find(msg_type: &[u8]) -> Option<&'static MessageDef> {
    MESSAGES.iter().find(|message| message.msg_type.as_bytes() == msg_type)
}

/// Whether FIX 4.4 has a message of this type, or leaves it to two parties: one that we do not take is unsupported, any other is invalid.
pub(crate) fn is_msg_type(msg_type: &[u8]) -> bool {
    match msg_type {
        [one] => one.is_ascii_alphanumeric(),
        [b'A', two] => two.is_ascii_uppercase(),
        [b'B', two] => (b'A'..=b'H').contains(two),
        [b'U', two] => two.is_ascii_alphanumeric(),
        _ => false,
    }
}

#[expect(clippy::as_conversions, reason = "u16 to usize and a checked u8; conversions are not const")]
#[expect(clippy::cast_possible_truncation, reason = "asserted: fewer than 255 fields")]
const fn index() -> [u8; TAGS] {
    let mut index = [NONE; TAGS];
    let mut place = 0;
    while place < FIELDS.len() {
        index[FIELDS[place].tag as usize] = place as u8;
        place += 1;
    }
    index
}

#[expect(clippy::as_conversions, reason = "u16 and u8 to usize; conversions are not const")]
const fn mask(members: &[Member]) -> Mask {
    let mut mask = Mask::NONE;
    let mut at = 0;
    while at < members.len() {
        let place = INDEX[members[at].tag as usize];
        assert!(place != NONE, "a member that is no field");
        mask = mask.with(place as usize);
        at += 1;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// An element: its name, its attributes, and where it stands (names of its parents, with their `name`).
    struct Element {
        path: std::string::String,
        attributes: BTreeMap<std::string::String, std::string::String>,
    }

    impl Element {
        fn get(&self, name: &str) -> &str {
            self.attributes.get(name).map_or("", |value| value.as_str())
        }
    }

    /// Elements and attributes in order; the file has no text, entities or namespaces.
    fn elements(xml: &str) -> Vec<Element> {
        let mut elements = Vec::new();
        let mut open: Vec<std::string::String> = Vec::new();
        for tag in xml.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            if tag.starts_with('!') || tag.starts_with('?') {
                continue;
            }
            if tag.starts_with('/') {
                open.pop();
                continue;
            }
            let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
            let mut attributes = BTreeMap::new();
            let mut parts = rest.trim_end_matches('/').split('\'');
            while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                attributes.insert(key.trim().trim_end_matches('=').to_owned(), value.to_owned());
            }
            let element = Element { path: open.join("/"), attributes };
            let label = element.get("name");
            let label = format!("{}:{label}", name.trim_end_matches('/'));
            elements.push(Element { path: format!("{}/{label}", element.path), ..element });
            if !tag.ends_with('/') {
                open.push(label);
            }
        }
        elements
    }

    fn kind_name(kind: Kind) -> std::string::String {
        format!("{kind:?}").to_uppercase()
    }

    fn field_name(tag: u16) -> &'static str {
        FIELDS[place(i32::from(tag)).unwrap()].name
    }

    /// The dictionary as the paths and attributes that the XML has to have, in order.
    fn expected() -> Vec<std::string::String> {
        fn members(out: &mut Vec<std::string::String>, path: &str, list: &[Member]) {
            for member in list {
                let required = if member.required { "Y" } else { "N" };
                let element = if member.group.is_empty() { "field" } else { "group" };
                let path = format!("{path}/{element}:{}", field_name(member.tag));
                out.push(format!("{path} required={required}"));
                members(out, &path, member.group);
            }
        }
        let root = "fix:";
        let mut out =
            vec![format!("/{root} major=4 minor=4 servicepack=0 type=FIX"), format!("{root}/header:")];
        members(&mut out, &format!("{root}/header:"), HEADER);
        out.push(format!("{root}/messages:"));
        for message in MESSAGES {
            let path = format!("{root}/messages:/message:{}", message.name);
            let category = if message.admin { "admin" } else { "app" };
            out.push(format!("{path} msgcat={category} msgtype={}", message.msg_type));
            members(&mut out, &path, message.members);
        }
        out.push(format!("{root}/trailer:"));
        members(&mut out, &format!("{root}/trailer:"), TRAILER);
        out.push(format!("{root}/components:"));
        out.push(format!("{root}/fields:"));
        for field in FIELDS {
            let path = format!("{root}/fields:/field:{}", field.name);
            out.push(format!("{path} number={} type={}", field.tag, kind_name(field.kind)));
            for (value, name) in field.values {
                out.push(format!("{path}/value: description={name} enum={value}"));
            }
        }
        out
    }

    #[test]
    fn the_xml_and_the_table_agree() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fix/FIX44-sicil.xml");
        let xml = std::fs::read_to_string(path).unwrap();
        let found: Vec<std::string::String> = elements(&xml)
            .into_iter()
            .map(|element| {
                let attributes = element.attributes.iter().filter(|(key, _)| *key != "name");
                let attributes: std::string::String = attributes.map(|(k, v)| format!(" {k}={v}")).collect();
                element.path + &attributes
            })
            .collect();
        for (found, expected) in found.iter().zip(&expected()) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected().len());
    }

    #[test]
    fn fields_are_in_order_and_messages_are_known_to_fix() {
        assert!(FIELDS.windows(2).all(|pair| pair[0].tag < pair[1].tag));
        let later: Vec<u16> =
            FIELDS.iter().map(|field| field.tag).filter(|tag| i32::from(*tag) > TAG_MAX).collect();
        assert_eq!(
            later,
            [
                1100, 1101, 1102, 1107, 1109, 1385, 1629, 1724, 2376, 2593, 2594, 2595, 2964, 5001, 5002,
                5003, 5004, 5005, 5006
            ],
            "what a stock dictionary of FIX 4.4 does not have"
        );
        let is_answer_to_its_own = |message: &&MessageDef| message.msg_type.starts_with('U');
        let sent =
            MESSAGES.iter().filter(|message| message.direction != In && !is_answer_to_its_own(message));
        let sent = sent.flat_map(|message| message.members);
        assert!(sent.chain(HEADER).all(|member| !later.contains(&member.tag)), "and never hears unasked");
        assert!(MESSAGES.iter().all(|message| is_msg_type(message.msg_type.as_bytes())));
        for unknown in [&b""[..], b"*", b"ZZ", b"BI", b"AAA", b"Aa"] {
            assert!(!is_msg_type(unknown));
        }
    }
}
