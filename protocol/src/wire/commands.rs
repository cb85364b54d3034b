//! Every way to change state. What is not a command does not happen.
//!
//! Kinds: 1–15 the system, 16–63 configuration, 64–95 money, 96–127 orders, 128–159 sessions.

use super::messages;
use super::proposed::ProposedCommand;
use super::rows::{AccountRow, FeeTier, QuoteEntry, ScheduledPhase, TransferRow};
use super::terms::RareTerms;
use crate::events::Settled;
use crate::limits::{
    ACCOUNT_CODE_NAME_BYTES_MAX, ASSET_CODE_BYTES_MAX, CL_ORD_ID_BYTES_MAX, COMP_ID_BYTES_MAX,
    NOTE_BYTES_MAX, RATE_SOURCE_BYTES_MAX, ROUTING_BYTES_MAX, SYMBOL_BYTES_MAX, TEST_REQ_ID_BYTES_MAX,
};
use crate::sign::PublicKey;
use crate::text::RareText;
use crate::{
    AccountClass, AccountId, AccountKind, ActorId, Amount, AssetId, CancelOnDisconnect, CancelReplaceMode,
    Capacity, ClientId, ClusterId, Contingency, DayRule, FeeGroupId, FirmId, GatewayId, ListRelease,
    MarketId, MarketPhase, MonitorField, MonitorId, MonitorOperator, NodeId, NormalSide, OrderId, OrderType,
    PostOnly, PriceTicks, ProposalId, QtyLots, QuoteId, ReferencePrice, Schedule, SelfTradePrevention, Seq,
    SessionAction, SessionEnd, SessionId, SessionProtocol, Side, StandingOrderId, Strictness, Term, Text,
    TimeInForce, TradeGroupId, TransferId,
};

/// A ClOrdID(11).
pub type ClOrdId = Text<CL_ORD_ID_BYTES_MAX>;

/// Roles of an actor, as bits of [`DefineActor::roles`].
pub mod roles {
    /// May change configuration, markets, accounts, sessions and actors.
    pub const ADMIN: u32 = 1;
    /// May open accounts, and move money from every account.
    pub const CASHIER: u32 = 2;
    /// May enter orders for the clients of its session.
    pub const TRADER: u32 = 4;
    /// May move the money of the clients of its session; of what is pending, post and void what a PAYER made.
    pub const PAYER: u32 = 8;
    /// May publish index prices.
    pub const PRICE_SOURCE: u32 = 16;
}

/// AlgorithmFlags of an order: who decided, person or algorithm (RTS 24 fields 4 and 5).
pub mod decision_flags {
    /// `investment_decision` names an algorithm.
    pub const INVESTMENT_BY_ALGORITHM: u8 = 1;
    /// `execution_decision` names an algorithm.
    pub const EXECUTION_BY_ALGORITHM: u8 = 2;
    /// The order came by direct electronic access.
    pub const DIRECT_ELECTRONIC_ACCESS: u8 = 4;
    /// The order is part of market making.
    pub const LIQUIDITY_PROVISION: u8 = 8;
}

messages! {
    /// Every command.
    pub enum Command {
        /// The first record of a cluster, and only that.
        Genesis = 1 v 1 {
            /// The cluster.
            cluster: ClusterId,
            /// The operator's actor: holds every role.
            operator: ActorId,
            /// The operating system's user that the admin socket takes for the operator.
            operator_uid: u32,
            /// Whether this is a demonstration, which `status` says for ever.
            demo: bool,
        }
        /// A leader's first record: connections of gateways inside nodes ended with the term before.
        TermStart = 2 v 1 {
            /// The term.
            term: Term,
            /// The leader.
            node: NodeId,
        }
        /// Nothing but its time: timers are due and no other record comes.
        Pulse = 3 v 1 {}
        /// A gateway process began, or took over from another one of the same id: its numbers start at 1, and the sessions of the
        /// one before are taken down. Repeated for the same instance it changes nothing.
        GatewayStart = 4 v 1 {
            /// The gateway.
            gateway: GatewayId,
            /// Drawn by its process.
            instance: u64,
        }
        /// A leader has not heard from a gateway process for the time of its lease: its sessions are taken down.
        GatewayDown = 5 v 1 {
            /// The gateway.
            gateway: GatewayId,
            /// The process that was not heard.
            instance: u64,
        }
        /// Every replica takes a snapshot of the state behind the entry that holds this record. It changes nothing.
        Checkpoint = 6 v 1 {}

        /// Creates an actor or changes its roles.
        DefineActor = 16 v 1 {
            /// The actor.
            actor: ActorId,
            /// Bits of [`roles`].
            roles: u32,
        }
        /// Creates an asset. Code and scale never change.
        DefineAsset = 17 v 1 {
            /// The asset.
            asset: AssetId,
            /// Such as `BTC`.
            code: Text<ASSET_CODE_BYTES_MAX>,
            /// Minor units in one are 10^scale.
            scale: u8,
        }
        /// Creates a market or changes its filters and fees. Symbol, assets, lot and tick never change.
        DefineMarket = 18 v 1 {
            /// The market.
            market: MarketId,
            /// Symbol(55), such as `BTC-TRY`.
            symbol: Text<SYMBOL_BYTES_MAX>,
            /// Bought and sold.
            base: AssetId,
            /// Paid with.
            quote: AssetId,
            /// Minor units of base in a lot.
            lot_base_minor: Amount,
            /// Minor units of quote that a lot costs at a price of one tick.
            tick_quote_minor: Amount,
            /// Lowest price of a limit order.
            price_ticks_min: PriceTicks,
            /// Highest price of a limit order.
            price_ticks_max: PriceTicks,
            /// Smallest quantity of an order.
            qty_lots_min: QtyLots,
            /// Largest quantity of a limit order.
            qty_lots_max: QtyLots,
            /// Largest quantity of a market order.
            market_qty_lots_max: QtyLots,
            /// Smallest price × quantity of a limit order, in quote.
            notional_min: Amount,
            /// Largest price × quantity of a limit order, in quote.
            notional_max: Amount,
            /// Live orders of one client.
            client_orders_max: u32,
            /// Fee of the resting side, in millionths of the notional, for whom no schedule is set.
            maker_fee_ppm: u32,
            /// Fee of the incoming side, likewise.
            taker_fee_ppm: u32,
            /// Where fees go, and rebates come from: an account of class fee in quote.
            fee_account: AccountId,
            /// Where the tax on fees goes: an account of class suspense in quote. 0 = no fee is taxed; once set it is never 0 again.
            tax_account: AccountId,
        }
        /// Puts a market into a phase. A new market trades.
        SetMarketPhase = 19 v 1 {
            /// The market.
            market: MarketId,
            /// From now on.
            phase: MarketPhase,
        }
        /// Creates a client session or changes its options; identity and protocol never change.
        DefineSession = 20 v 1 {
            /// The session; [`SessionId::CLIENTS_FROM`] or above.
            session: SessionId,
            /// Who acts through it.
            actor: ActorId,
            /// The member firm.
            firm: FirmId,
            /// How it numbers its messages.
            protocol: SessionProtocol,
            /// The client's CompID: SenderCompID(49) of what it sends.
            client_comp_id: Text<COMP_ID_BYTES_MAX>,
            /// Our CompID: TargetCompID(56) of what it sends.
            our_comp_id: Text<COMP_ID_BYTES_MAX>,
            /// Clients for whom it may trade; the first is meant where an order names none.
            clients: Vec<ClientId>,
            /// Whether ResetSeqNumFlag(141)=Y is allowed.
            reset_on_logon: bool,
            /// Smallest HeartBtInt(108), seconds.
            heartbeat_s_min: u16,
            /// Largest HeartBtInt(108), seconds.
            heartbeat_s_max: u16,
            /// How strictly messages are checked.
            strictness: Strictness,
            /// Whether live orders are cancelled when the connection ends.
            cancel_on_disconnect: CancelOnDisconnect,
            /// How long after.
            cancel_window_ms: u32,
        }

        /// Sets the key by whose signatures an actor decides outside the order of commands.
        SetActorKey = 21 v 1 {
            /// The actor.
            actor: ActorId,
            /// Its public key; the one before counts no more. `None` = it has none.
            key: Option<PublicKey>,
        }
        /// Asks for a command that another actor has to approve. The seq of this command is the proposal's id.
        Propose = 22 v 1 {
            /// What is to be executed.
            command: ProposedCommand,
            /// How long it may be approved.
            expires_in_s: u32,
            /// Why.
            note: Text<NOTE_BYTES_MAX>,
        }
        /// Executes what another actor proposed.
        Approve = 23 v 1 {
            /// The proposal.
            proposal: ProposalId,
        }
        /// Ends a proposal without executing it: by whom it was made, or by somebody who could have approved it.
        Reject = 24 v 1 {
            /// The proposal.
            proposal: ProposalId,
            /// Why.
            note: Text<NOTE_BYTES_MAX>,
        }
        /// Sets which commands are executed only when one actor has proposed and another one approved them.
        SetApprovals = 25 v 1 {
            /// Their kinds, ascending. While there are any, this command is one of them.
            kinds: Vec<u16>,
        }

        /// Sets what a market demands beside its definition. Before the first time there is nothing of it.
        SetTradingRules = 26 v 1 {
            /// The market.
            market: MarketId,
            /// Around which price bands and the collar lie. Without a last trade they bound nothing; without a valid index
            /// orders are refused.
            reference: ReferencePrice,
            /// How far above the reference price a purchase may be priced, in millionths of it; 0 = anything.
            buy_above_ppm: u32,
            /// How far below it; at most a million; 0 = anything.
            buy_below_ppm: u32,
            /// How far above the reference price a sale may be priced, in millionths of it; 0 = anything.
            sell_above_ppm: u32,
            /// How far below it; at most a million; 0 = anything.
            sell_below_ppm: u32,
            /// How far from the reference price a trade may be, in millionths of it; what is left of the order that would trade
            /// beyond expires. At most a million; 0 = anything.
            collar_ppm: u32,
            /// For orders that say nothing of it.
            self_trade_prevention: SelfTradePrevention,
            /// Whether an order may say that it trades with its own group.
            may_self_trade: bool,
            /// Orders of one client that wait for a price; 0 = as many as orders.
            client_stops_max: u32,
            /// Orders of one client that show a part of themselves; 0 = as many as orders.
            client_icebergs_max: u32,
            /// What a client may hold of the base asset, with what its live purchases would add; 0 = anything.
            client_position_lots_max: QtyLots,
            /// How often one order may be replaced; 0 = any number of times.
            amendments_max: u32,
            /// How far a trade's price may be from the lowest and the highest of the window before, in millionths of that; beyond it
            /// the market pauses. At most a million; 0 = anything.
            volatility_ppm: u32,
            /// How long the window is; in [`crate::limits::VOLATILITY_WINDOW_MS`], or 0 if nothing is watched.
            volatility_window_ms: u32,
            /// The phase in which the market pauses: Halt or Auction; Halt if nothing is watched.
            volatility_phase: MarketPhase,
            /// How long it pauses, at most [`crate::limits::VOLATILITY_PAUSE_MAX_MS`]; 0 = until a command or its schedule ends that.
            volatility_pause_ms: u32,
        }
        /// Sets what a group of clients pays in a market from a seq on. An order keeps what was in force at its acceptance.
        SetFeeSchedule = 27 v 1 {
            /// The market.
            market: MarketId,
            /// For whom; 0 = all clients of a group that has none of its own here.
            fee_group: FeeGroupId,
            /// The first seq for whose orders it counts: in the future, or 0 for the seq of this command.
            effective_seq: Seq,
            /// By ascending volume, the first from 0; at most [`crate::limits::FEE_TIERS_MAX`]. None = the group has no schedule any more.
            tiers: Vec<FeeTier>,
            /// Tax on fees, in millionths of the fee, beside it. Rebates bear none.
            tax_ppm: u32,
        }
        /// Puts a client into a trade group: orders of one group do not trade with each other where they say so.
        SetTradeGroup = 28 v 1 {
            /// The client.
            client: ClientId,
            /// The group; 0 = none.
            trade_group: TradeGroupId,
        }
        /// Puts a client into a fee group, in all markets and from the next order on.
        SetFeeGroup = 29 v 1 {
            /// The client.
            client: ClientId,
            /// The group; 0 = none.
            fee_group: FeeGroupId,
        }

        /// Sets when a market goes into which phase by itself, in its local time; nothing of the schedule before is left. No phase changes
        /// at once.
        SetMarketSchedule = 30 v 1 {
            /// The market.
            market: MarketId,
            /// How far local time is from UTC; at most [`crate::limits::UTC_OFFSET_MAX_S`].
            utc_offset_s: u32,
            /// Whether it is behind UTC, as in America, and not ahead of it.
            behind_utc: bool,
            /// By ascending time and days, at most one at a time; at most [`crate::limits::MARKET_SCHEDULE_ENTRIES_MAX`]. None = the market
            /// has no schedule any more.
            entries: Vec<ScheduledPhase>,
            /// Days on which the market is closed, from midnight on, ascending, since 1970-01-01; at most
            /// [`crate::limits::MARKET_SCHEDULE_DATES_MAX`].
            holidays: Vec<u32>,
            /// Days on which entries of short days count and no others, likewise; none of them a holiday.
            short_days: Vec<u32>,
        }
        /// An index price, a fact from outside: it counts from its record until it is too old.
        PublishPrice = 31 v 1 {
            /// The market.
            market: MarketId,
            /// The price; not 0.
            price_ticks: PriceTicks,
            /// When it was observed, Unix nanoseconds: after the one before, and hardly ahead of the record's time.
            observed_at_ns: u64,
            /// How old it may become; not 0, at most [`crate::limits::PRICE_VALID_MAX_MS`].
            valid_for_ms: u32,
        }

        /// Creates accounts, one by one or in linked chains. They are never deleted. The body is rows as a client sent them.
        CreateAccounts = 68 v 1 {
            /// At most [`crate::limits::LEDGER_ROWS_MAX`].
            accounts: Vec<AccountRow>,
        }
        /// Creates transfers, one by one or in linked chains: each moves money between two accounts, reserves it, or settles what was
        /// reserved. The body is rows as a client sent them.
        CreateTransfers = 69 v 1 {
            /// At most [`crate::limits::LEDGER_ROWS_MAX`].
            transfers: Vec<TransferRow>,
        }
        /// Sets what the ledger remembers of transfers.
        SetLedgerLimits = 70 v 1 {
            /// How long a transfer's id is remembered, from the time in it.
            id_window_ms: u64,
            /// How far ahead of the record's time the time in an id may lie.
            id_ahead_ms: u64,
            /// Ids remembered at most; above, those with the oldest times are forgotten and refused from then on.
            transfer_ids_max: u32,
            /// Transfers that may be pending at a time.
            pending_transfers_max: u32,
            /// How long a transfer can be corrected, from the time in its id.
            correction_window_ms: u64,
            /// Transfers that were corrected and still can be; above, no other one is.
            corrected_transfers_max: u32,
        }
        /// Sets how far the debits of an account may exceed its credits. All 0 = not at all.
        SetOverdraft = 71 v 1 {
            /// Its debits must not exceed its credits, unless it is said here.
            account: AccountId,
            /// For ever.
            agreed: Amount,
            /// Beside it, until `temporary_until_ns`.
            temporary: Amount,
            /// Unix nanoseconds; 0 = there is none.
            temporary_until_ns: u64,
            /// How what is used of it bears interest: free for the bank.
            interest_code: u16,
        }
        /// Changes what may change of an account: all of these fields are set.
        UpdateAccount = 72 v 1 {
            /// The account.
            account: AccountId,
            /// Its place in the chart of accounts; not 0. Its balances move with it.
            code: u16,
            /// Free for the client.
            user_data_128: u128,
            /// Free for the client.
            user_data_64: u64,
            /// Free for the client.
            user_data_32: u32,
        }
        /// Sets the bank's calendar. Days are counted from 1970-01-01.
        SetCalendar = 73 v 1 {
            /// The day that is booked on: settable while there is none, then the present one.
            business_date: u32,
            /// Days of the week that are no business days: bit 0 = Monday.
            weekend_days: u8,
            /// Other days that are none, ascending; at most [`crate::limits::HOLIDAYS_MAX`].
            holidays: Vec<u32>,
            /// How many days before the business date a transfer may take value.
            value_back_days_max: u16,
            /// How many days behind it.
            value_ahead_days_max: u16,
            /// How far local time is from UTC; at most [`crate::limits::UTC_OFFSET_MAX_S`].
            utc_offset_s: u32,
            /// Whether it is behind UTC, as in America, and not ahead of it.
            behind_utc: bool,
        }
        /// Closes the business date: what comes behind this record is booked on the next one.
        CloseDay = 74 v 1 {
            /// The day that is closed: the present one.
            business_date: u32,
            /// The day that is booked on then: later, and a business day.
            next: u32,
        }
        /// Corrects transfers by others, all or none; executed only when one actor has proposed and another one approved it.
        CorrectTransfers = 75 v 1 {
            /// Why: free for the bank; not 0.
            reason: u16,
            /// In one linked chain. Each names the transfer that it corrects in `pending_id`, and the same reason.
            transfers: Vec<TransferRow>,
        }
        /// Offers a rate at which clients may exchange one currency for another.
        QuoteExchange = 76 v 1 {
            /// Not 0.
            quote: QuoteId,
            /// Whose accounts it is for; 0 = anybody's.
            client: ClientId,
            /// What the client sells.
            sell_ledger: AssetId,
            /// What the client buys.
            buy_ledger: AssetId,
            /// A minor unit sold buys mantissa / 10^scale minor units.
            rate_mantissa: u64,
            /// At most [`crate::limits::RATE_SCALE_MAX`].
            rate_scale: u8,
            /// Receives what is sold: of class liquidity.
            sell_liquidity: AccountId,
            /// Pays what is bought: of class liquidity.
            buy_liquidity: AccountId,
            /// Receives what rounding leaves: of class liquidity, fee or house.
            rounding: AccountId,
            /// What all exchanges on it may sell together.
            sell_amount_max: Amount,
            /// When it ends, Unix nanoseconds.
            valid_until_ns: u64,
            /// Where the rate is from.
            source: Text<RATE_SOURCE_BYTES_MAX>,
        }
        /// Exchanges on a quote: linked transfers from the account to the bank and from the bank to the account.
        ExchangeCurrency = 77 v 1 {
            /// An open quote.
            quote: QuoteId,
            /// Pays.
            sell_account: AccountId,
            /// Is paid: of the same owner.
            buy_account: AccountId,
            /// More than 0.
            sell_amount: Amount,
            /// Less is refused.
            buy_amount_min: Amount,
            /// Id of the transfer of what is sold.
            sell_transfer: TransferId,
            /// Id of the transfer of what is bought.
            buy_transfer: TransferId,
            /// Id of the transfer of what rounding leaves, if it leaves anything.
            rounding_transfer: TransferId,
            /// Code of these transfers.
            code: u16,
        }
        /// Has a transfer execute itself at the dates of a schedule. It never changes.
        DefineStandingOrder = 78 v 1 {
            /// Higher than that of every order that the debit account has had; a PAYER's at most `STANDING_ORDER_ID_OF_PAYERS_MAX`.
            order: StandingOrderId,
            /// Pays.
            debit_account: AccountId,
            /// Is paid.
            credit_account: AccountId,
            /// More than 0.
            amount: Amount,
            /// The asset of both accounts.
            ledger: AssetId,
            /// Code of the transfers; not 0.
            code: u16,
            /// On which dates.
            schedule: Schedule,
            /// The first one, in days since 1970-01-01.
            first_date: u32,
            /// None is later; 0 = for ever.
            last_date: u32,
            /// Seconds behind local midnight, by the bank's calendar.
            time_of_day_s: u32,
            /// What becomes of a date that is no business day.
            day_rule: DayRule,
            /// An execution that is refused is attempted again on so many days; at most [`crate::limits::RETRY_DAYS_MAX`].
            retry_days: u8,
            /// Of the transfers: free for the client.
            user_data_128: u128,
        }
        /// Ends a standing order.
        CancelStandingOrder = 79 v 1 {
            /// The order.
            order: StandingOrderId,
        }
        /// Has an event say when a condition on balances becomes true. It never changes; another one is defined in its place.
        DefineMonitor = 80 v 1 {
            /// Not 0.
            monitor: MonitorId,
            /// What it watches; 0 = all accounts of `ledger`, `code` and `class`.
            account: AccountId,
            /// 0 where it watches an account.
            ledger: AssetId,
            /// 0 where it watches an account.
            code: u16,
            /// `None` where it watches an account.
            class: Option<AccountClass>,
            /// What of it.
            field: MonitorField,
            /// Which side of `value` is meant.
            operator: MonitorOperator,
            /// In minor units.
            value: Amount,
            /// Whether `value` is below zero.
            negative: bool,
        }
        /// Removes a monitor.
        RemoveMonitor = 81 v 1 {
            /// The monitor.
            monitor: MonitorId,
        }
        /// Sets what an account's code stands for in the chart of accounts, or that it stands for nothing.
        SetAccountCode = 82 v 1 {
            /// In this ledger; 0 = in every one.
            ledger: AssetId,
            /// Not 0.
            code: u16,
            /// What its accounts are; `None` = the chart does not have it any more, and the fields behind are empty.
            kind: Option<AccountKind>,
            /// On which side what they are worth stands: where the kind leaves it open, on either.
            normal_side: Option<NormalSide>,
            /// Of which classes they may be, of those that the kind allows: 1 = client, 2 = house, 4 = fee, 8 = external, 16 = liquidity,
            /// 32 = suspense.
            classes: u8,
            /// What the bank calls it: for people.
            name: Text<ACCOUNT_CODE_NAME_BYTES_MAX>,
        }

        /// NewOrderSingle(D).
        NewOrder = 96 v 1 {
            /// ClOrdID(11).
            cl_ord_id: ClOrdId,
            /// Account(1): for whom; `None` = the session's first client.
            client: Option<ClientId>,
            /// Symbol(55).
            market: MarketId,
            /// Side(54).
            side: Side,
            /// OrdType(40).
            order_type: OrderType,
            /// TimeInForce(59).
            time_in_force: TimeInForce,
            /// Price(44) of a limit order; for a market order the worst price, 0 = none.
            price_ticks: PriceTicks,
            /// OrderQty(38); 0 if `budget` counts instead.
            qty_lots: QtyLots,
            /// CashOrderQty(152): a market buy's budget in quote, fee included; 0 = none.
            budget: Amount,
            /// OrderCapacity(528).
            capacity: Option<Capacity>,
            /// Member firm on whose behalf, where it is not the session's.
            firm: Option<FirmId>,
            /// Person or algorithm that decided to invest.
            investment_decision: Option<u64>,
            /// Person or algorithm that decided to execute.
            execution_decision: Option<u64>,
            /// Bits of [`decision_flags`].
            decision_flags: u8,
            /// PossResend(97)=Y: perhaps sent before under another MsgSeqNum; deduplicated through the ClOrdID.
            poss_resend: bool,
            /// What most orders do not say.
            terms: RareTerms,
        }
        /// OrderCancelRequest(F).
        CancelOrder = 97 v 1 {
            /// ClOrdID(11) of the request.
            cl_ord_id: ClOrdId,
            /// OrigClOrdID(41); may be empty if `order` is given.
            orig_cl_ord_id: ClOrdId,
            /// OrderID(37).
            order: Option<OrderId>,
            /// Symbol(55): must be the order's.
            market: MarketId,
            /// Side(54): must be the order's.
            side: Side,
            /// PossResend(97)=Y.
            poss_resend: bool,
        }
        /// OrderCancelReplaceRequest(G). The same price and a smaller quantity keeps the order's place; all else loses it.
        ReplaceOrder = 98 v 1 {
            /// ClOrdID(11) of the request, and of the order from then on.
            cl_ord_id: ClOrdId,
            /// OrigClOrdID(41); may be empty if `order` is given.
            orig_cl_ord_id: ClOrdId,
            /// OrderID(37).
            order: Option<OrderId>,
            /// Symbol(55): must be the order's.
            market: MarketId,
            /// Side(54): must be the order's.
            side: Side,
            /// Price(44).
            price_ticks: PriceTicks,
            /// OrderQty(38): the whole order, what is filled included.
            qty_lots: QtyLots,
            /// PossResend(97)=Y.
            poss_resend: bool,
            /// What is said of the order's terms: its end and the price that it waits for are as here from then on, all else is as it was.
            terms: RareTerms,
        }
        /// OrderStatusRequest(H).
        RequestOrderStatus = 99 v 1 {
            /// ClOrdID(11) of the order; may be empty if `order` is given.
            cl_ord_id: ClOrdId,
            /// OrderID(37).
            order: Option<OrderId>,
            /// Symbol(55).
            market: MarketId,
            /// Side(54).
            side: Side,
        }
        /// Cancels all live orders that are of everything that it names.
        CancelAll = 100 v 1 {
            /// Those that this session entered.
            session: Option<SessionId>,
            /// Those of this client.
            client: Option<ClientId>,
            /// Those in this market.
            market: Option<MarketId>,
            /// Those of this side.
            side: Option<Side>,
            /// Those that sessions of this member firm entered.
            firm: Option<FirmId>,
        }
        /// Takes a trade back; executed only when one actor has proposed and another one approved it.
        BustTrade = 104 v 1 {
            /// As it was settled.
            settled: Settled,
            /// Of class house or suspense, in base: advances what the buyer has to give back and has no more. 0 = then it is refused.
            base_receivable: AccountId,
            /// Likewise in quote, for whoever it is.
            quote_receivable: AccountId,
            /// Why: free for the operator; not 0.
            reason: u16,
        }
        /// Puts another price, or less, in the place of what was traded; executed only when one actor has proposed and another one approved it.
        CorrectTrade = 105 v 1 {
            /// As it was settled.
            settled: Settled,
            /// From now on.
            price_ticks: PriceTicks,
            /// From now on: more than 0, and not more than it was.
            qty_lots: QtyLots,
            /// Price × quantity in quote.
            notional: Amount,
            /// From now on; whose is a rebate does not change.
            buyer_fee: Amount,
            /// From now on.
            seller_fee: Amount,
            /// From now on.
            buyer_tax: Amount,
            /// From now on.
            seller_tax: Amount,
            /// As in [`BustTrade`].
            base_receivable: AccountId,
            /// As in [`BustTrade`].
            quote_receivable: AccountId,
            /// Why: free for the operator; not 0.
            reason: u16,
        }

        /// NewOrderList(E): orders that hang together, accepted all or none. They are of one client in one market.
        NewOrderList = 101 v 1 {
            /// ListID(66).
            cl_list_id: ClOrdId,
            /// ContingencyType(1385).
            contingency: Contingency,
            /// When those enter that wait for the first one.
            release: ListRelease,
            /// As many as the contingency has, the first one first.
            orders: Vec<NewOrder>,
        }

        /// MassQuote(i): quotes of one client, each a bid and an offer that rest until they are withdrawn. Each takes the place of the
        /// one before it of the same session, client, market and entry.
        MassQuote = 102 v 1 {
            /// QuoteID(117): given back, and the ClOrdID(11) of reports on its orders. It is not remembered.
            quote_id: ClOrdId,
            /// Account(1): for whom; `None` = the session's first client, or all of them if there are no entries.
            client: Option<ClientId>,
            /// What is done where a quote would take liquidity; `None` = it takes.
            post_only: Option<PostOnly>,
            /// What is done where one would trade with an order of the same trade group; `None` = as the market says.
            self_trade_prevention: Option<SelfTradePrevention>,
            /// OrderCapacity(528) of each quote; for the order record, like the four behind it.
            capacity: Option<Capacity>,
            /// Member firm on whose behalf, where it is not the session's.
            firm: Option<FirmId>,
            /// Person or algorithm that decided to invest.
            investment_decision: Option<u64>,
            /// Person or algorithm that decided to execute.
            execution_decision: Option<u64>,
            /// Bits of [`decision_flags`].
            decision_flags: u8,
            /// Whether the client's quotes that it does not name are withdrawn.
            withdraws_others: bool,
            /// Those of which market; `None` = of all, or none are.
            withdraws_market: Option<MarketId>,
            /// At most [`crate::limits::MASS_QUOTE_ENTRIES_MAX`], each of another entry or market.
            entries: Vec<QuoteEntry>,
        }

        /// Cancels all live orders of the session that sends it after a time, unless it sends it again before.
        SetCancelAllAfter = 103 v 1 {
            /// By which the answer names it; empty where that needs no name.
            request_id: ClOrdId,
            /// How long; 0 = never. In [`crate::limits::CANCEL_ALL_AFTER_MS`].
            timeout_ms: u32,
        }

        /// OrderMassCancelRequest(q): cancels the live orders of the session that sends it which are of everything that it names.
        MassCancel = 106 v 1 {
            /// ClOrdID(11) of the request.
            cl_ord_id: ClOrdId,
            /// Symbol(55).
            market: Option<MarketId>,
            /// Side(54).
            side: Option<Side>,
            /// Account(1).
            client: Option<ClientId>,
        }
        /// Cancels an order and enters another one, which may differ in everything, in one step.
        CancelReplaceOrder = 107 v 1 {
            /// The one that is cancelled.
            cancel: CancelOrder,
            /// The one that enters.
            order: NewOrder,
            /// What becomes of it if the other cannot be cancelled.
            mode: CancelReplaceMode,
        }
        /// Sets when a session's orders in a market are pulled, or says that it is ready again behind that.
        SetMarketMakerProtection = 108 v 1 {
            /// By which the answer names it; empty where that needs no name.
            request_id: ClOrdId,
            /// Whose; `None` = that of the session that sends it. Another one's is set by an ADMIN.
            session: Option<SessionId>,
            /// The market.
            market: MarketId,
            /// Fills of its resting orders in the window; at most [`crate::limits::PROTECTION_FILLS_MAX`]; 0 = no protection.
            fills_max: u32,
            /// Lots of them; 0 = any number.
            lots_max: QtyLots,
            /// How long the window is; at most [`crate::limits::PROTECTION_WINDOW_MAX_MS`].
            window_ms: u32,
        }

        /// ListStatusRequest(M): how a list of the session that sends it stands.
        RequestListStatus = 112 v 1 {
            /// ListID(66).
            cl_list_id: ClOrdId,
        }
        /// ListCancelRequest(K): cancels the live orders of a list of the session that sends it.
        CancelList = 113 v 1 {
            /// ListID(66).
            cl_list_id: ClOrdId,
        }

        /// SecurityStatusRequest(e): which phase a market is in.
        RequestMarketStatus = 114 v 1 {
            /// SecurityStatusReqID(324).
            request_id: ClOrdId,
            /// Symbol(55).
            market: MarketId,
        }

        /// Logon(A). Unnumbered in the header: its MsgSeqNum is judged here.
        SessionLogon = 128 v 1 {
            /// The gateway's number of the connection, given back in the answer; that of a gateway process has its id in the
            /// upper 16 bits.
            connection: u64,
            /// MsgSeqNum(34).
            msg_seq_num: u64,
            /// HeartBtInt(108), seconds.
            heartbeat_s: u32,
            /// ResetSeqNumFlag(141)=Y.
            reset: bool,
            /// NextExpectedMsgSeqNum(789); 0 = absent.
            next_expected: u64,
        }
        /// Heartbeat(0).
        SessionHeartbeat = 129 v 1 {}
        /// TestRequest(1): answered by a Heartbeat with the same id.
        SessionTestRequest = 130 v 1 {
            /// TestReqID(112).
            test_req_id: Text<TEST_REQ_ID_BYTES_MAX>,
        }
        /// ResendRequest(2).
        SessionResendRequest = 131 v 1 {
            /// BeginSeqNo(7).
            begin: u64,
            /// EndSeqNo(16); 0 = all.
            end: u64,
        }
        /// Reject(3) from the peer: counted, nothing follows.
        SessionRejectReceived = 132 v 1 {
            /// RefSeqNum(45).
            ref_seq_num: u64,
        }
        /// SequenceReset(4). Gap fill: numbered. Reset mode: unnumbered, only `new_seq_no` counts.
        SessionSequenceReset = 133 v 1 {
            /// NewSeqNo(36).
            new_seq_no: u64,
            /// GapFillFlag(123)=Y.
            gap_fill: bool,
            /// MsgSeqNum(34), for the Reject of a reset that goes back.
            msg_seq_num: u64,
        }
        /// Logout(5): answered by a Logout, unless it answers ours.
        SessionLogout = 134 v 1 {}
        /// A message with a good number that the gateway refuses: answered by Reject(3) or BusinessMessageReject(j).
        SessionRefuse = 135 v 1 {
            /// MsgSeqNum(34), answered as RefSeqNum(45).
            ref_seq_num: u64,
            /// RefMsgType(372).
            ref_msg_type: Text<8>,
            /// RefTagID(371); 0 = none.
            ref_tag: u32,
            /// SessionRejectReason(373), or BusinessRejectReason(380) if `business`.
            reason: u16,
            /// BusinessMessageReject(j) rather than Reject(3).
            business: bool,
            /// BusinessRejectRefID(379): the ClOrdID, if there is one.
            ref_id: ClOrdId,
            /// Text(58).
            note: Text<NOTE_BYTES_MAX>,
            /// Header fields of the answer, by tag, each as `tag=value` and SOH: 115, 116, 128, 129, 144, 145 turned round.
            routing: RareText<ROUTING_BYTES_MAX>,
        }
        /// A number above the expected one came: answered by a ResendRequest. Unnumbered.
        SessionGap = 136 v 1 {
            /// The number that came.
            received: u64,
        }
        /// The connection ended. Unnumbered.
        SessionDown = 137 v 1 {
            /// How.
            end: SessionEnd,
        }
        /// The gateway's clock says that something is due. Unnumbered.
        SessionTick = 138 v 1 {
            /// What.
            action: SessionAction,
        }
        /// A number below the expected one came without PossDupFlag: answered by a Logout. Unnumbered.
        SessionTooLow = 139 v 1 {
            /// The number that came.
            received: u64,
        }
        /// An operator sets a session's numbers back to 1 in a new epoch and closes its connection.
        ResetSession = 140 v 1 {
            /// The session.
            session: SessionId,
        }
    }
}

impl NewOrder {
    /// A limit order, good till cancelled, for the session's first client, that says nothing else.
    #[must_use]
    pub const fn limit(
        cl_ord_id: ClOrdId,
        market: MarketId,
        side: Side,
        price_ticks: PriceTicks,
        qty_lots: QtyLots,
    ) -> Self {
        Self {
            cl_ord_id,
            client: None,
            market,
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::GoodTillCancel,
            price_ticks,
            qty_lots,
            budget: Amount::ZERO,
            capacity: None,
            firm: None,
            investment_decision: None,
            execution_decision: None,
            decision_flags: 0,
            poss_resend: false,
            terms: RareTerms::NONE,
        }
    }
}

impl MassQuote {
    /// For the session's first client, without a quote.
    #[must_use]
    pub const fn empty(quote_id: ClOrdId) -> Self {
        Self {
            quote_id,
            client: None,
            post_only: None,
            self_trade_prevention: None,
            capacity: None,
            firm: None,
            investment_decision: None,
            execution_decision: None,
            decision_flags: 0,
            withdraws_others: false,
            withdraws_market: None,
            entries: Vec::new(),
        }
    }
}

impl SetMarketSchedule {
    /// That a market has no schedule.
    #[must_use]
    pub const fn none(market: MarketId) -> Self {
        Self {
            market,
            utc_offset_s: 0,
            behind_utc: false,
            entries: Vec::new(),
            holidays: Vec::new(),
            short_days: Vec::new(),
        }
    }
}

impl SetTradingRules {
    /// What a market demands before anything is said: nothing.
    #[must_use]
    pub const fn none(market: MarketId) -> Self {
        Self {
            market,
            reference: ReferencePrice::LastTrade,
            buy_above_ppm: 0,
            buy_below_ppm: 0,
            sell_above_ppm: 0,
            sell_below_ppm: 0,
            collar_ppm: 0,
            self_trade_prevention: SelfTradePrevention::None,
            may_self_trade: true,
            client_stops_max: 0,
            client_icebergs_max: 0,
            client_position_lots_max: QtyLots(0),
            amendments_max: 0,
            volatility_ppm: 0,
            volatility_window_ms: 0,
            volatility_phase: MarketPhase::Halt,
            volatility_pause_ms: 0,
        }
    }
}

impl Command {
    /// Whether the reserved part of a full queue takes it: cancels, sessions' administration, operators' commands.
    #[must_use]
    pub const fn has_reserved_room(&self) -> bool {
        if let Self::MassQuote(quotes) = self {
            return quotes.entries.is_empty();
        }
        !matches!(
            self,
            Self::NewOrder(_)
                | Self::NewOrderList(_)
                | Self::CancelReplaceOrder(_)
                | Self::ReplaceOrder(_)
                | Self::CreateAccounts(_)
                | Self::CreateTransfers(_)
                | Self::ExchangeCurrency(_)
                | Self::DefineStandingOrder(_)
                | Self::UpdateAccount(_)
                | Self::PublishPrice(_)
        )
    }
}
