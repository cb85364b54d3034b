//! Every fact that can follow a command. Events are never read back into state: they are what others learn of it.
//!
//! Kinds: 1–31 ledger, 32–63 configuration, 64–95 orders, 96–111 what a session is sent, 112–127 books and markets,
//! 128–159 what gateways are told.

use super::messages;
use super::proposed::ProposedCommand;
use super::rows::{LedgerTotals, QuoteRefusal, RowAmount, RowResult, TradePosting, TransferRow};
use super::terms::{ListedOrder, OrderDetails, Rare};
use crate::commands::{
    ClOrdId, DefineAsset, DefineMarket, DefineMonitor, DefineSession, DefineStandingOrder, QuoteExchange,
    SetAccountCode, SetCalendar, SetFeeSchedule, SetLedgerLimits, SetMarketSchedule, SetOverdraft,
    SetTradingRules,
};
use crate::hash::Hash;
use crate::limits::{NOTE_BYTES_MAX, RATE_SOURCE_BYTES_MAX, ROUTING_BYTES_MAX, TEST_REQ_ID_BYTES_MAX};
use crate::sign::PublicKey;
use crate::skip::SkipReason;
use crate::text::RareText;
use crate::{
    AccountClass, AccountId, ActorId, Amount, AssetId, BookAction, CancelRejectTo, ClientId, Contingency,
    ExecType, FeeGroupId, Generation, LedgerRefusal, Liquidity, ListState, MarketId, MarketPhase, MonitorId,
    OrderId, OrderListId, OrderStatus, OrderType, OutSeq, PhaseCause, PriceTicks, ProposalEnd, ProposalId,
    QtyLots, QuoteEnd, QuoteId, RejectReason, RequestNumber, SelfTradePrevention, Seq, SessionEnd,
    SessionEpoch, SessionId, Side, StandingOrderEnd, StandingOrderId, Term, Text, TimeInForce, TradeGroupId,
    TradeId, TransferId,
};

messages! {
    /// The body of every event.
    pub enum EventBody {
        /// A trade settled: quote from buyer to seller, base from seller to buyer, each side's fee to the fee account. Trade 0 is none: a
        /// transfer between two accounts of one trade group, which the book does not know.
        Settled = 5 v 1 {
            /// The trade.
            trade: TradeId,
            /// The market.
            market: MarketId,
            /// At the resting order's price.
            price_ticks: PriceTicks,
            /// How much.
            qty_lots: QtyLots,
            /// Price × quantity in quote.
            notional: Amount,
            /// Of the resting order; in an auction, where both rest, of the older one.
            maker_order: OrderId,
            /// Of the incoming order, or the younger one.
            taker_order: OrderId,
            /// Side of that one.
            taker_side: Side,
            /// Pays quote, receives base.
            buyer: ClientId,
            /// Pays base, receives quote.
            seller: ClientId,
            /// In quote, without tax.
            buyer_fee: Amount,
            /// In quote, without tax.
            seller_fee: Amount,
            /// Tax on the buyer's fee, to the tax account.
            buyer_tax: Amount,
            /// Tax on the seller's fee, likewise.
            seller_tax: Amount,
            /// Whether the fee of the resting side is a rebate: paid to it from the fee account.
            maker_is_paid: bool,
        }
        /// The money held for an order changed; 0 = released.
        HoldChanged = 6 v 1 {
            /// The order.
            order: OrderId,
            /// The account.
            account: AccountId,
            /// Held from now on.
            held: Amount,
        }
        /// Accounts were created: the answer to [`crate::commands::CreateAccounts`].
        AccountsCreated = 7 v 1 {
            /// Who asked.
            session: SessionId,
            /// Its request.
            request: RequestNumber,
            /// Rows of the command.
            count: u32,
            /// Rows that were created now.
            created: u32,
            /// The others, in the order of the rows.
            exceptions: Vec<RowResult>,
        }
        /// Transfers were created: the answer to [`crate::commands::CreateTransfers`].
        TransfersCreated = 8 v 1 {
            /// Who asked.
            session: SessionId,
            /// Its request.
            request: RequestNumber,
            /// Rows of the command.
            count: u32,
            /// Rows that were created now.
            created: u32,
            /// The others, in the order of the rows.
            exceptions: Vec<RowResult>,
            /// What was moved or reserved, of rows that were created, now or before, and did not say so themselves.
            amounts: Vec<RowAmount>,
            /// A fold over the balances behind each row: replicas that compute others differ here.
            balances: u64,
        }
        /// A pending transfer's time was over: what it reserved is free again.
        TransferExpired = 9 v 1 {
            /// The transfer.
            transfer: TransferId,
            /// Debits that were pending.
            debit_account: AccountId,
            /// Credits that were pending.
            credit_account: AccountId,
            /// How much.
            amount: Amount,
        }
        /// What the ledger remembers of transfers.
        LedgerLimitsSet = 10 v 1 {
            /// As commanded.
            limits: SetLedgerLimits,
        }
        /// How far an account's debits may exceed its credits from now on.
        OverdraftSet = 11 v 1 {
            /// As commanded.
            overdraft: SetOverdraft,
        }
        /// The time of an account's temporary line is over: new debits are judged by what is left.
        OverdraftLineEnded = 12 v 1 {
            /// The account.
            account: AccountId,
            /// The line that ended.
            temporary: Amount,
            /// The line that is left.
            agreed: Amount,
        }
        /// What may change of an account was changed.
        AccountUpdated = 13 v 1 {
            /// The account.
            account: AccountId,
            /// Its place in the chart of accounts from now on.
            code: u16,
            /// Free for the client.
            user_data_128: u128,
            /// Free for the client.
            user_data_64: u64,
            /// Free for the client.
            user_data_32: u32,
        }
        /// The bank's calendar.
        CalendarSet = 14 v 1 {
            /// As commanded.
            calendar: SetCalendar,
        }
        /// A business date was closed: everything up to the record before is booked on it or an earlier one.
        DayClosed = 15 v 1 {
            /// The day that was closed.
            business_date: u32,
            /// The one that is booked on from the next record on.
            next: u32,
            /// Of every ledger that has an account.
            totals: Vec<LedgerTotals>,
        }
        /// Transfers were created by a command that is no batch of them, or by themselves, in this order.
        TransfersEntered = 16 v 1 {
            /// Each as a client would have sent it; `amount` is what was moved.
            transfers: Vec<TransferRow>,
        }
        /// A rate is offered.
        ExchangeQuoted = 17 v 1 {
            /// As commanded.
            definition: QuoteExchange,
        }
        /// Nothing more is exchanged on a quote.
        ExchangeQuoteEnded = 18 v 1 {
            /// The quote.
            quote: QuoteId,
            /// How.
            end: QuoteEnd,
            /// What could still have been sold.
            left: Amount,
        }
        /// A client exchanged one currency for another, by the transfers named here, which stand in the event before.
        CurrencyExchanged = 19 v 1 {
            /// At this quote.
            quote: QuoteId,
            /// Whose accounts they are; 0 = the house.
            client: ClientId,
            /// Paid.
            sell_account: AccountId,
            /// Was paid.
            buy_account: AccountId,
            /// Received what rounding left, if anything was.
            rounding_account: AccountId,
            /// What was sold.
            sell_amount: Amount,
            /// What was bought: rounded down.
            buy_amount: Amount,
            /// What rounding left: 0 or 1.
            rounding_amount: Amount,
            /// A minor unit sold bought mantissa / 10^scale minor units.
            rate_mantissa: u64,
            /// Its scale.
            rate_scale: u8,
            /// Where the rate was from.
            source: Text<RATE_SOURCE_BYTES_MAX>,
            /// What was sold.
            sell_transfer: TransferId,
            /// What was bought.
            buy_transfer: TransferId,
            /// What rounding left; 0 = nothing.
            rounding_transfer: TransferId,
        }
        /// A transfer will execute itself.
        StandingOrderDefined = 20 v 1 {
            /// As commanded.
            definition: DefineStandingOrder,
            /// When it is executed first, Unix nanoseconds.
            next_due_ns: u64,
        }
        /// A standing order was executed, by the transfer in the event before, or that was refused.
        StandingOrderAttempted = 21 v 1 {
            /// The order.
            order: StandingOrderId,
            /// Pays.
            debit_account: AccountId,
            /// Is paid.
            credit_account: AccountId,
            /// The date of its schedule, in days since 1970-01-01.
            occurrence: u32,
            /// Which attempt of that date, from 1.
            attempt: u8,
            /// The transfer; 0 = it was refused.
            transfer: TransferId,
            /// Why; `None` = it was executed.
            refusal: Option<LedgerRefusal>,
            /// Whether the same date is attempted again; if not, and it was refused, it is given up.
            retried: bool,
            /// When it is attempted or executed next, Unix nanoseconds; 0 = never.
            next_due_ns: u64,
        }
        /// A standing order is executed no more.
        StandingOrderEnded = 22 v 1 {
            /// The order.
            order: StandingOrderId,
            /// How.
            end: StandingOrderEnd,
        }
        /// A balance monitor exists.
        MonitorDefined = 23 v 1 {
            /// As commanded.
            definition: DefineMonitor,
        }
        /// The condition of a monitor has become true.
        MonitorTriggered = 24 v 1 {
            /// The monitor.
            monitor: MonitorId,
            /// What it watches; 0 = all accounts of `ledger`, `code` and `class`.
            account: AccountId,
            /// Their asset.
            ledger: AssetId,
            /// Their code, or that of the account.
            code: u16,
            /// Their class, or that of the account.
            class: AccountClass,
            /// What was found; what exceeds the largest number counts as that.
            value: Amount,
            /// Whether `value` is below zero.
            negative: bool,
        }
        /// A balance monitor is no more.
        MonitorRemoved = 25 v 1 {
            /// The monitor.
            monitor: MonitorId,
        }
        /// What a code stands for in the chart of accounts, or that it stands for nothing any more.
        AccountCodeSet = 26 v 1 {
            /// As commanded.
            entry: SetAccountCode,
        }

        /// An actor's roles.
        ActorDefined = 32 v 1 {
            /// The actor.
            actor: ActorId,
            /// Bits of [`crate::commands::roles`].
            roles: u32,
        }
        /// An asset exists.
        AssetDefined = 33 v 1 {
            /// As commanded.
            definition: DefineAsset,
        }
        /// A market exists or was changed.
        MarketDefined = 34 v 1 {
            /// As commanded.
            definition: DefineMarket,
            /// The phase that it is in.
            phase: MarketPhase,
        }
        /// A session exists or was changed.
        SessionDefined = 35 v 1 {
            /// As commanded.
            definition: DefineSession,
        }
        /// A term began.
        TermStarted = 36 v 1 {
            /// The term.
            term: Term,
        }

        /// An actor's key.
        ActorKeySet = 37 v 1 {
            /// The actor.
            actor: ActorId,
            /// Its public key.
            key: Option<PublicKey>,
        }
        /// Operators passed over the record of this seq: it had no effect but this and an answer to its sender.
        RecordSkipped = 38 v 1 {
            /// BLAKE3 of the record's bytes.
            record_hash: Hash,
            /// Why.
            reason: SkipReason,
        }
        /// Behind this entry every replica takes a snapshot.
        CheckpointMarked = 39 v 1 {}
        /// A command waits for another actor's approval.
        Proposed = 40 v 1 {
            /// The proposal.
            proposal: ProposalId,
            /// Who made it.
            actor: ActorId,
            /// What is to be executed.
            command: ProposedCommand,
            /// The command that would set what is in force now: what differs is what the proposal changes. `None` = it is all new.
            before: Option<ProposedCommand>,
            /// When it expires, Unix nanoseconds.
            expires_at_ns: u64,
            /// Why.
            note: Text<NOTE_BYTES_MAX>,
        }
        /// A proposal is not open any more.
        ProposalEnded = 41 v 1 {
            /// The proposal.
            proposal: ProposalId,
            /// How.
            end: ProposalEnd,
            /// Who ended it; of one that expired, who made it.
            actor: ActorId,
            /// Why.
            note: Text<NOTE_BYTES_MAX>,
        }
        /// Which commands need approval.
        ApprovalsSet = 42 v 1 {
            /// Their kinds, ascending.
            kinds: Vec<u16>,
        }

        /// What a market demands beside its definition.
        TradingRulesSet = 43 v 1 {
            /// All of it.
            rules: SetTradingRules,
        }

        /// What a group of clients pays in a market.
        FeeScheduleSet = 44 v 1 {
            /// As commanded, with the seq from which on it counts.
            schedule: SetFeeSchedule,
        }
        /// A client's trade group.
        TradeGroupSet = 45 v 1 {
            /// The client.
            client: ClientId,
            /// The group; 0 = none.
            trade_group: TradeGroupId,
        }
        /// A client's fee group.
        FeeGroupSet = 46 v 1 {
            /// The client.
            client: ClientId,
            /// The group; 0 = none.
            fee_group: FeeGroupId,
        }
        /// When a market changes its phase by itself.
        MarketScheduleSet = 47 v 1 {
            /// All of it.
            schedule: SetMarketSchedule,
        }

        /// A market's index price.
        PricePublished = 48 v 1 {
            /// The market.
            market: MarketId,
            /// The price.
            price_ticks: PriceTicks,
            /// When it was observed, Unix nanoseconds.
            observed_at_ns: u64,
            /// In records later than this it counts no more, Unix nanoseconds.
            valid_until_ns: u64,
        }

        /// A command of a session without numbers of its own got its result; of a repetition, the first result again.
        Replied = 64 v 1 {
            /// The session.
            session: SessionId,
            /// Its request.
            request: RequestNumber,
            /// The seq at which the command took effect, or was refused.
            effective_seq: Seq,
            /// `None` = done.
            refusal: Option<RejectReason>,
            /// The field that is meant, where one is; of a command that consists of transfers, the place of one from 0, and its refusal.
            field: Text<48>,
        }
        /// A command was dropped: straggler of an old connection, or a number that has been executed.
        Dropped = 65 v 1 {
            /// The session.
            session: SessionId,
            /// Its request.
            request: RequestNumber,
            /// Why.
            reason: RejectReason,
        }

        /// ExecutionReport(8): one step in the life of an order.
        ExecutionReport = 96 v 1 {
            /// OrderID(37); 0 if it was refused before it had one.
            order: OrderId,
            /// ClOrdID(11).
            cl_ord_id: ClOrdId,
            /// OrigClOrdID(41).
            orig_cl_ord_id: ClOrdId,
            /// Account(1).
            client: ClientId,
            /// Symbol(55).
            market: MarketId,
            /// Side(54).
            side: Side,
            /// OrdType(40).
            order_type: OrderType,
            /// TimeInForce(59).
            time_in_force: TimeInForce,
            /// ExecType(150).
            exec_type: ExecType,
            /// OrdStatus(39).
            status: OrderStatus,
            /// Price(44); 0 = none.
            price_ticks: PriceTicks,
            /// OrderQty(38).
            qty_lots: QtyLots,
            /// LeavesQty(151).
            leaves_lots: QtyLots,
            /// CumQty(14).
            cum_lots: QtyLots,
            /// Σ price × quantity of its fills, in ticks × lots: AvgPx(6) is this over CumQty.
            cum_ticks_lots: u128,
            /// LastPx(31); 0 unless a trade, or what a trade group moved between its accounts.
            last_price_ticks: PriceTicks,
            /// LastQty(32); 0 unless a trade, or what a trade group moved between its accounts.
            last_qty_lots: QtyLots,
            /// The trade; 0 = none.
            trade: TradeId,
            /// Which side of it this order was.
            liquidity: Option<Liquidity>,
            /// Commission(12): fee of this fill, in quote, without tax.
            fee: Amount,
            /// Whether it is a rebate, paid to the client: Commission(12) below zero.
            fee_is_paid: bool,
            /// MiscFeeAmt(137): tax on the fee.
            tax: Amount,
            /// Why it was refused, cancelled or expired.
            reason: Option<RejectReason>,
            /// Its terms and its list, at every step but a fill, and while it lives.
            details: Rare<OrderDetails>,
        }
        /// OrderCancelReject(9).
        CancelRejected = 97 v 1 {
            /// OrderID(37); 0 = unknown.
            order: OrderId,
            /// ClOrdID(11) of the request.
            cl_ord_id: ClOrdId,
            /// OrigClOrdID(41).
            orig_cl_ord_id: ClOrdId,
            /// OrdStatus(39); of an unknown order Rejected.
            status: OrderStatus,
            /// Which request.
            response_to: CancelRejectTo,
            /// Why.
            reason: RejectReason,
        }
        /// The price that an armed order waited for was seen: it enters the book now.
        OrderTriggered = 113 v 1 {
            /// The market.
            market: MarketId,
            /// The order.
            order: OrderId,
        }
        /// ListStatus(N), for the session of a list of orders: it was accepted, went on, or was asked for.
        OrderListChanged = 114 v 1 {
            /// Its id: the seq at which it was accepted.
            list: OrderListId,
            /// ListID(66).
            cl_list_id: ClOrdId,
            /// The market.
            market: MarketId,
            /// ContingencyType(1385).
            contingency: Contingency,
            /// ListOrderStatus(431).
            state: ListState,
            /// Whether the session asked for it, and nothing has happened.
            asked: bool,
            /// Its orders as they stand, the first one first.
            orders: Vec<ListedOrder>,
        }
        /// A market went into another phase.
        MarketPhaseChanged = 116 v 1 {
            /// The market.
            market: MarketId,
            /// The phase that it was in.
            before: MarketPhase,
            /// The phase that it is in from now on.
            phase: MarketPhase,
            /// Why.
            cause: PhaseCause,
        }
        /// What an auction would trade if it ended now.
        AuctionIndicated = 117 v 1 {
            /// The market.
            market: MarketId,
            /// At which price; 0 = nothing would trade.
            price_ticks: PriceTicks,
            /// How much.
            lots: u128,
            /// What could trade at this price, and finds nobody.
            surplus_lots: u128,
            /// Whose that is.
            surplus_side: Option<Side>,
        }
        /// An auction was carried out: all its trades are before this.
        AuctionUncrossed = 118 v 1 {
            /// The market.
            market: MarketId,
            /// The one price of its trades.
            price_ticks: PriceTicks,
            /// What has traded.
            lots: u128,
            /// In how many trades.
            trades: u32,
        }
        /// A session's orders in a market are pulled, because too much of them was filled in too short a time.
        QuotesPulled = 120 v 1 {
            /// The session.
            session: SessionId,
            /// The market.
            market: MarketId,
            /// Fills in the window.
            fills: u32,
            /// Lots of them.
            lots: u128,
        }
        /// OrderMassCancelReport(r): how many orders a request cancelled, of a session or of an operator.
        MassCancelReported = 121 v 1 {
            /// ClOrdID(11) of the request; empty of an operator's.
            cl_ord_id: ClOrdId,
            /// Symbol(55), as the request said it.
            market: Option<MarketId>,
            /// Side(54), as the request said it.
            side: Option<Side>,
            /// Account(1), as the request said it.
            client: Option<ClientId>,
            /// TotalAffectedOrders(533).
            orders: u32,
            /// Why it was refused.
            refusal: Option<RejectReason>,
        }
        /// When a session's orders in a market are pulled, as whoever has asked for it is told.
        MarketMakerProtectionSet = 122 v 1 {
            /// Of the request.
            request_id: ClOrdId,
            /// Whose orders.
            session: SessionId,
            /// The market.
            market: MarketId,
            /// Fills of its resting orders in the window; 0 = no protection.
            fills_max: u32,
            /// Lots of them; 0 = any number.
            lots_max: QtyLots,
            /// How long the window is.
            window_ms: u32,
            /// Why it was refused: then what was set before stays.
            refusal: Option<RejectReason>,
        }
        /// MassQuoteAcknowledgement(b): what became of a mass quote, behind all that it brought about at once.
        MassQuoteAcknowledged = 123 v 1 {
            /// QuoteID(117).
            quote_id: ClOrdId,
            /// Account(1); 0 = unknown.
            client: ClientId,
            /// TotNoQuoteEntries(304): how many quotes it had.
            entries: u32,
            /// Orders that entered, those that have traded at once too.
            entered: u32,
            /// Orders that stand where they stood, with as much or less.
            kept: u32,
            /// Orders that were cancelled.
            withdrawn: u32,
            /// The quotes that were not taken.
            refused: Vec<QuoteRefusal>,
            /// Why all of it was refused: nothing has changed.
            refusal: Option<RejectReason>,
        }
        /// When all live orders of the session that has asked for it are cancelled, unless it asks again before.
        CancelAllAfterSet = 124 v 1 {
            /// Of the request.
            request_id: ClOrdId,
            /// How long after this; 0 = never.
            timeout_ms: u32,
            /// Why it was refused: then what was set before stays.
            refusal: Option<RejectReason>,
        }
        /// Two orders of one trade group would have traded. What became of them is told to their sessions.
        TradePrevented = 115 v 1 {
            /// The market.
            market: MarketId,
            /// What the incoming order says.
            mode: SelfTradePrevention,
            /// The resting order.
            maker_order: OrderId,
            /// The incoming order.
            taker_order: OrderId,
            /// The price at which they would have.
            price_ticks: PriceTicks,
            /// What was left of the resting order.
            maker_qty_lots: QtyLots,
            /// What was left of the incoming one.
            taker_qty_lots: QtyLots,
            /// What they would have traded.
            prevented_lots: QtyLots,
        }
        /// BusinessMessageReject(j).
        BusinessRejected = 98 v 1 {
            /// RefSeqNum(45).
            ref_seq_num: u64,
            /// RefMsgType(372).
            ref_msg_type: Text<8>,
            /// BusinessRejectReason(380).
            reason: u16,
            /// BusinessRejectRefID(379).
            ref_id: ClOrdId,
            /// Text(58).
            note: Text<NOTE_BYTES_MAX>,
            /// Fields of third-party routing, as in the refusal.
            routing: RareText<ROUTING_BYTES_MAX>,
        }
        /// SecurityStatus(f): which phase a market is in, for a session that asked.
        MarketStatusReported = 105 v 1 {
            /// SecurityStatusReqID(324).
            request_id: ClOrdId,
            /// Symbol(55).
            market: MarketId,
            /// SecurityTradingStatus(326).
            phase: MarketPhase,
        }
        /// Logon(A), ours.
        LogonSent = 99 v 1 {
            /// HeartBtInt(108).
            heartbeat_s: u32,
            /// ResetSeqNumFlag(141)=Y.
            reset: bool,
            /// NextExpectedMsgSeqNum(789), if the client sent one; 0 = none.
            next_expected: u64,
        }
        /// Heartbeat(0), ours.
        HeartbeatSent = 100 v 1 {
            /// TestReqID(112); empty = none.
            test_req_id: Text<TEST_REQ_ID_BYTES_MAX>,
        }
        /// TestRequest(1), ours. TestReqID(112) is the gateway's choice: any message that follows answers it.
        TestRequestSent = 101 v 1 {}
        /// ResendRequest(2), ours.
        ResendRequestSent = 102 v 1 {
            /// BeginSeqNo(7).
            begin: u64,
            /// EndSeqNo(16); 0 = all.
            end: u64,
        }
        /// Reject(3), ours.
        RejectSent = 103 v 1 {
            /// RefSeqNum(45).
            ref_seq_num: u64,
            /// RefMsgType(372).
            ref_msg_type: Text<8>,
            /// RefTagID(371); 0 = none.
            ref_tag: u32,
            /// SessionRejectReason(373).
            reason: u16,
            /// Text(58).
            note: Text<NOTE_BYTES_MAX>,
            /// Fields of third-party routing, as in the refusal.
            routing: RareText<ROUTING_BYTES_MAX>,
        }
        /// Logout(5), ours.
        LogoutSent = 104 v 1 {
            /// Why.
            end: SessionEnd,
            /// For `SequenceTooLow`: the number expected.
            expected: u64,
            /// For `SequenceTooLow`: the number that came.
            received: u64,
        }
        /// A trade was taken back or corrected, by postings beside its own. Its reports to sessions follow where they are still known.
        TradeBusted = 119 v 1 {
            /// As it was settled.
            settled: Settled,
            /// From now on; 0 = taken back.
            price_ticks: PriceTicks,
            /// From now on; 0 = taken back.
            qty_lots: QtyLots,
            /// From now on, in quote.
            notional: Amount,
            /// From now on.
            buyer_fee: Amount,
            /// From now on.
            seller_fee: Amount,
            /// From now on.
            buyer_tax: Amount,
            /// From now on.
            seller_tax: Amount,
            /// As commanded.
            reason: u16,
            /// What was posted, in this order.
            postings: Vec<TradePosting>,
        }

        /// The visible book changed other than by a trade. With [`Settled`], which takes from the resting order, these are all its
        /// changes: a resting order of which nothing visible is left behind a trade has left, unless it is refilled before the next trade.
        BookChanged = 112 v 1 {
            /// The market.
            market: MarketId,
            /// The resting order.
            order: OrderId,
            /// Its side.
            side: Side,
            /// What became of it.
            action: BookAction,
            /// Its price.
            price_ticks: PriceTicks,
            /// What is visible of it from now on; of one that left, what was visible.
            qty_lots: QtyLots,
        }

        /// A Logon was accepted: the gateway binds the connection. Comes before the Logon that answers it.
        SessionOpened = 128 v 1 {
            /// The session.
            session: SessionId,
            /// As in the Logon.
            connection: u64,
            /// For what comes from this connection.
            generation: Generation,
            /// Current epoch.
            epoch: SessionEpoch,
            /// The number expected next.
            next_in: u64,
            /// The number sent next, that of the answering Logon.
            next_out: OutSeq,
            /// HeartBtInt(108).
            heartbeat_s: u32,
            /// The client expects our numbers from here (789): what lies between is sent again; 0 = it did not say.
            resend_from: u64,
        }
        /// A Logon was refused: the gateway closes the connection, after the Logout if one was sent.
        SessionRefused = 129 v 1 {
            /// The session.
            session: SessionId,
            /// As in the Logon.
            connection: u64,
            /// Why.
            end: SessionEnd,
        }
        /// A session's connection ended; a gateway that still holds it closes it.
        SessionClosed = 130 v 1 {
            /// The session.
            session: SessionId,
            /// Of the connection that ended.
            generation: Generation,
            /// How.
            end: SessionEnd,
        }
        /// The peer asked for a resend: the gateway answers it from the outbox.
        ResendDue = 131 v 1 {
            /// The session.
            session: SessionId,
            /// First number.
            begin: u64,
            /// Last number, at most the last one sent before this.
            end: u64,
            /// Below this, gaps are filled.
            floor: OutSeq,
        }
    }
}

// Events are built by the million: what is seldom and long lies outside ([`RareText`]).
const _: () = assert!(size_of::<EventBody>() <= 288);
