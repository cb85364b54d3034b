//! One of every message, written by hand: what the golden files say.
//!
//! Every optional field is set, no number is zero: in a dump byte `j` of field `i` reads `ij` in hexadecimal (field 10 is `a`),
//! so that a swapped field, a wrong width and a wrong byte order all show.

mod market;

use market::*;
use protocol::commands::*;
use protocol::events::*;
use protocol::hash::Hash;
use protocol::rows::{
    AccountRow, FeeTier, LedgerTotals, QuoteEntry, QuoteRefusal, RowAmount, RowResult, ScheduledPhase,
    TradePosting, TransferRow,
};
use protocol::sign::PublicKey;
use protocol::terms::{ListedOrder, OrderDetails, OrderTerms, Peg, Trail, Trigger, Twap};
use protocol::*;

fn bytes_of<const N: usize>(field: u8) -> [u8; N] {
    core::array::from_fn(|j| (field % 16) * 16 + u8::try_from(j).unwrap())
}
fn n1(field: u8) -> u8 {
    bytes_of::<1>(field)[0]
}
fn n2(field: u8) -> u16 {
    u16::from_le_bytes(bytes_of(field))
}
fn n4(field: u8) -> u32 {
    u32::from_le_bytes(bytes_of(field))
}
fn n8(field: u8) -> u64 {
    u64::from_le_bytes(bytes_of(field))
}
fn n16(field: u8) -> u128 {
    u128::from_le_bytes(bytes_of(field))
}
fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

fn define_actor() -> DefineActor {
    DefineActor { actor: ActorId(n4(0)), roles: n4(1) }
}

fn define_asset() -> DefineAsset {
    DefineAsset { asset: AssetId(n4(0)), code: text("BTC"), scale: n1(2) }
}

fn define_market() -> DefineMarket {
    DefineMarket {
        market: MarketId(n4(0)),
        symbol: text("BTC-TRY"),
        base: AssetId(n4(2)),
        quote: AssetId(n4(3)),
        lot_base_minor: Amount(n16(4)),
        tick_quote_minor: Amount(n16(5)),
        price_ticks_min: PriceTicks(n8(6)),
        price_ticks_max: PriceTicks(n8(7)),
        qty_lots_min: QtyLots(n8(8)),
        qty_lots_max: QtyLots(n8(9)),
        market_qty_lots_max: QtyLots(n8(10)),
        notional_min: Amount(n16(11)),
        notional_max: Amount(n16(12)),
        client_orders_max: n4(13),
        maker_fee_ppm: n4(14),
        taker_fee_ppm: n4(15),
        fee_account: AccountId(n16(16)),
        tax_account: AccountId(n16(17)),
    }
}

fn define_session() -> DefineSession {
    DefineSession {
        session: SessionId(n4(0)),
        actor: ActorId(n4(1)),
        firm: FirmId(n4(2)),
        protocol: SessionProtocol::Request,
        client_comp_id: text("CLIENT1"),
        our_comp_id: text("SICIL"),
        clients: vec![ClientId(7), ClientId(n8(6))],
        reset_on_logon: true,
        heartbeat_s_min: n2(8),
        heartbeat_s_max: n2(9),
        strictness: Strictness::Lenient,
        cancel_on_disconnect: CancelOnDisconnect::OnLossOrLogout,
        cancel_window_ms: n4(12),
    }
}

fn configuration() -> Vec<Command> {
    vec![
        Genesis { cluster: ClusterId(n16(0)), operator: ActorId(n4(1)), operator_uid: n4(2), demo: true }
            .into(),
        TermStart { term: Term(n8(0)), node: NodeId(n8(1)) }.into(),
        Pulse {}.into(),
        GatewayStart { gateway: GatewayId(n4(0)), instance: n8(1) }.into(),
        GatewayDown { gateway: GatewayId(n4(0)), instance: n8(1) }.into(),
        Checkpoint {}.into(),
        define_actor().into(),
        define_asset().into(),
        define_market().into(),
        SetMarketPhase { market: MarketId(n4(0)), phase: MarketPhase::Halt }.into(),
        define_session().into(),
        SetActorKey { actor: ActorId(n4(0)), key: Some(PublicKey(bytes_of(1))) }.into(),
        Propose { command: proposed(), expires_in_s: n4(1), note: text("why") }.into(),
        Approve { proposal: ProposalId(n8(0)) }.into(),
        Reject { proposal: ProposalId(n8(0)), note: text("why not") }.into(),
        SetApprovals { kinds: vec![n2(0), n2(1)] }.into(),
        set_trading_rules().into(),
        set_fee_schedule().into(),
        SetTradeGroup { client: ClientId(n8(0)), trade_group: TradeGroupId(n8(1)) }.into(),
        SetFeeGroup { client: ClientId(n8(0)), fee_group: FeeGroupId(n2(1)) }.into(),
        set_market_schedule().into(),
        PublishPrice {
            market: MarketId(n4(0)),
            price_ticks: PriceTicks(n8(1)),
            observed_at_ns: n8(2),
            valid_for_ms: n4(3),
        }
        .into(),
    ]
}

fn money() -> Vec<Command> {
    vec![
        CreateAccounts { accounts: vec![account_row(), account_row()] }.into(),
        CreateTransfers { transfers: vec![transfer_row(), transfer_row()] }.into(),
        ledger_limits().into(),
        set_calendar().into(),
        CloseDay { business_date: n4(0), next: n4(1) }.into(),
        CorrectTransfers { reason: n2(0), transfers: vec![transfer_row(), transfer_row()] }.into(),
        set_overdraft().into(),
        UpdateAccount {
            account: AccountId(n16(0)),
            code: n2(1),
            user_data_128: n16(2),
            user_data_64: n8(3),
            user_data_32: n4(4),
        }
        .into(),
        quote_exchange().into(),
        ExchangeCurrency {
            quote: QuoteId(n16(0)),
            sell_account: AccountId(n16(1)),
            buy_account: AccountId(n16(2)),
            sell_amount: Amount(n16(3)),
            buy_amount_min: Amount(n16(4)),
            sell_transfer: TransferId(n16(5)),
            buy_transfer: TransferId(n16(6)),
            rounding_transfer: TransferId(n16(7)),
            code: n2(8),
        }
        .into(),
        define_standing_order().into(),
        CancelStandingOrder { order: StandingOrderId(n8(0)) }.into(),
        define_monitor().into(),
        RemoveMonitor { monitor: MonitorId(n8(0)) }.into(),
        set_account_code().into(),
    ]
}

fn set_account_code() -> SetAccountCode {
    SetAccountCode {
        ledger: AssetId(n4(0)),
        code: n2(1),
        kind: Some(AccountKind::InterestExpense),
        normal_side: Some(NormalSide::Credit),
        classes: n1(4),
        name: Text::truncated("1010"),
    }
}

fn quote_exchange() -> QuoteExchange {
    QuoteExchange {
        quote: QuoteId(n16(0)),
        client: ClientId(n8(1)),
        sell_ledger: AssetId(n4(2)),
        buy_ledger: AssetId(n4(3)),
        rate_mantissa: n8(4),
        rate_scale: n1(5),
        sell_liquidity: AccountId(n16(6)),
        buy_liquidity: AccountId(n16(7)),
        rounding: AccountId(n16(8)),
        sell_amount_max: Amount(n16(9)),
        valid_until_ns: n8(10),
        source: text("ECB 14:15"),
    }
}

fn define_standing_order() -> DefineStandingOrder {
    DefineStandingOrder {
        order: StandingOrderId(n8(0)),
        debit_account: AccountId(n16(1)),
        credit_account: AccountId(n16(2)),
        amount: Amount(n16(3)),
        ledger: AssetId(n4(4)),
        code: n2(5),
        schedule: Schedule::MonthEnd,
        first_date: n4(7),
        last_date: n4(8),
        time_of_day_s: n4(9),
        day_rule: DayRule::Previous,
        retry_days: n1(11),
        user_data_128: n16(12),
    }
}

fn define_monitor() -> DefineMonitor {
    DefineMonitor {
        monitor: MonitorId(n8(0)),
        account: AccountId(n16(1)),
        ledger: AssetId(n4(2)),
        code: n2(3),
        class: Some(AccountClass::Liquidity),
        field: MonitorField::Available,
        operator: MonitorOperator::AtLeast,
        value: Amount(n16(7)),
        negative: true,
    }
}

fn proposed() -> ProposedCommand {
    ProposedCommand { kind: n2(0), version: n2(1), body: vec![n1(2), n1(3), n1(4)] }
}

fn ledger_limits() -> SetLedgerLimits {
    SetLedgerLimits {
        id_window_ms: n8(0),
        id_ahead_ms: n8(1),
        transfer_ids_max: n4(2),
        pending_transfers_max: n4(3),
        correction_window_ms: n8(4),
        corrected_transfers_max: n4(5),
    }
}

fn set_calendar() -> SetCalendar {
    SetCalendar {
        business_date: n4(0),
        weekend_days: n1(1),
        holidays: vec![n4(2), n4(3)],
        value_back_days_max: n2(3),
        value_ahead_days_max: n2(4),
        utc_offset_s: n4(5),
        behind_utc: true,
    }
}

fn ledger_totals() -> LedgerTotals {
    LedgerTotals {
        ledger: AssetId(n4(0)),
        debits_pending: Amount(n16(1)),
        debits_posted: Amount(n16(2)),
        credits_pending: Amount(n16(3)),
        credits_posted: Amount(n16(4)),
        accounts: n8(5),
    }
}

fn set_overdraft() -> SetOverdraft {
    SetOverdraft {
        account: AccountId(n16(0)),
        agreed: Amount(n16(1)),
        temporary: Amount(n16(2)),
        temporary_until_ns: n8(3),
        interest_code: n2(4),
    }
}

fn account_row() -> AccountRow {
    AccountRow {
        id: AccountId(n16(0)),
        user_data_128: n16(1),
        owner: ClientId(n8(2)),
        user_data_64: n8(3),
        user_data_32: n4(4),
        ledger: AssetId(n4(5)),
        code: n2(6),
        flags: n2(7),
        class: n2(8),
        reserved: n2(9),
    }
}

pub(crate) fn transfer_row() -> TransferRow {
    TransferRow {
        id: TransferId(n16(0)),
        debit_account: AccountId(n16(1)),
        credit_account: AccountId(n16(2)),
        amount: Amount(n16(3)),
        pending_id: TransferId(n16(4)),
        user_data_128: n16(5),
        user_data_64: n8(6),
        user_data_32: n4(7),
        timeout_s: n4(8),
        ledger: AssetId(n4(9)),
        code: n2(10),
        flags: n2(11),
        value_date: n4(12),
        reason: n2(13),
        reserved: n2(14),
    }
}

fn row_results() -> Vec<RowResult> {
    [LedgerRefusal::ExceedsCredits, LedgerRefusal::Exists]
        .map(|refusal| RowResult { index: n4(0), refusal, seq: Seq(n8(2)) })
        .into()
}

fn order_terms() -> OrderTerms {
    OrderTerms {
        expires_at_ns: n8(0),
        expires_in_s: n4(9),
        post_only: Some(PostOnly::Slide),
        min_qty_lots: QtyLots(n8(2)),
        display_lots: QtyLots(n8(3)),
        self_trade_prevention: Some(SelfTradePrevention::ExpireBoth),
        trigger: Some(Trigger {
            price_ticks: PriceTicks(n8(0)),
            price_type: TriggerPriceType::Index,
            direction: TriggerDirection::Down,
        }),
        trail: Some(Trail { by: TrailBy::BasisPoints, offset: n8(1) }),
        peg: Some(Peg { to: PegTo::Market, offset_ticks: n4(1) }),
        cancel_on_disconnect: Some(true),
        valid_until_ns: n8(9),
        twap: Some(Twap { legs: n2(0), interval_ms: n4(1) }),
    }
}

fn cancel_order() -> CancelOrder {
    CancelOrder {
        cl_ord_id: text("ORDER-2"),
        orig_cl_ord_id: text("ORDER-1"),
        order: Some(OrderId(n8(2))),
        market: MarketId(n4(3)),
        side: Side::Sell,
        poss_resend: true,
    }
}

fn new_order() -> NewOrder {
    NewOrder {
        cl_ord_id: text("ORDER-2"),
        client: Some(ClientId(n8(1))),
        market: MarketId(n4(2)),
        side: Side::Sell,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::ImmediateOrCancel,
        price_ticks: PriceTicks(n8(6)),
        qty_lots: QtyLots(n8(7)),
        budget: Amount(n16(8)),
        capacity: Some(Capacity::Principal),
        firm: Some(FirmId(n4(10))),
        investment_decision: Some(n8(11)),
        execution_decision: Some(n8(12)),
        decision_flags: n1(13),
        poss_resend: true,
        terms: order_terms().into(),
    }
}

fn orders() -> Vec<Command> {
    vec![
        new_order().into(),
        cancel_order().into(),
        ReplaceOrder {
            cl_ord_id: text("ORDER-2"),
            orig_cl_ord_id: text("ORDER-1"),
            order: Some(OrderId(n8(2))),
            market: MarketId(n4(3)),
            side: Side::Sell,
            price_ticks: PriceTicks(n8(5)),
            qty_lots: QtyLots(n8(6)),
            poss_resend: true,
            terms: order_terms().into(),
        }
        .into(),
        RequestOrderStatus {
            cl_ord_id: text("ORDER-2"),
            order: Some(OrderId(n8(1))),
            market: MarketId(n4(2)),
            side: Side::Sell,
        }
        .into(),
        NewOrderList {
            cl_list_id: text("list"),
            contingency: Contingency::OneTriggersOneCancelsOther,
            release: ListRelease::Traded,
            orders: vec![new_order(), new_order()],
        }
        .into(),
        mass_quote().into(),
        SetCancelAllAfter { request_id: text("alive"), timeout_ms: n4(0) }.into(),
        RequestListStatus { cl_list_id: text("list") }.into(),
        CancelList { cl_list_id: text("list") }.into(),
        RequestMarketStatus { request_id: text("status"), market: MarketId(n4(1)) }.into(),
        SetMarketMakerProtection {
            request_id: text("ready"),
            session: Some(SessionId(n4(0))),
            market: MarketId(n4(1)),
            fills_max: n4(2),
            lots_max: QtyLots(n8(3)),
            window_ms: n4(4),
        }
        .into(),
        CancelReplaceOrder {
            cancel: cancel_order(),
            order: new_order(),
            mode: CancelReplaceMode::AllowFailure,
        }
        .into(),
        MassCancel {
            cl_ord_id: text("ORDER-9"),
            market: Some(MarketId(n4(1))),
            side: Some(Side::Sell),
            client: Some(ClientId(n8(3))),
        }
        .into(),
        CancelAll {
            session: Some(SessionId(n4(0))),
            client: Some(ClientId(n8(1))),
            market: Some(MarketId(n4(2))),
            side: Some(Side::Sell),
            firm: Some(FirmId(n4(4))),
        }
        .into(),
    ]
}

fn sessions() -> Vec<Command> {
    vec![
        SessionLogon {
            connection: n8(0),
            msg_seq_num: n8(1),
            heartbeat_s: n4(2),
            reset: true,
            next_expected: n8(4),
        }
        .into(),
        SessionHeartbeat {}.into(),
        SessionTestRequest { test_req_id: text("PING 1") }.into(),
        SessionResendRequest { begin: n8(0), end: n8(1) }.into(),
        SessionRejectReceived { ref_seq_num: n8(0) }.into(),
        SessionSequenceReset { new_seq_no: n8(0), gap_fill: true, msg_seq_num: n8(2) }.into(),
        SessionLogout {}.into(),
        SessionRefuse {
            ref_seq_num: n8(0),
            ref_msg_type: text("AE"),
            ref_tag: n4(2),
            reason: n2(3),
            business: true,
            ref_id: text("ORDER-3"),
            note: text("unknown message"),
            routing: text::<120>("115=HUB\x01116=DESK 3\x01").into(),
        }
        .into(),
    ]
}

fn sessions_unnumbered() -> Vec<Command> {
    vec![
        SessionGap { received: n8(0) }.into(),
        SessionDown { end: SessionEnd::SequenceTooLow }.into(),
        SessionTick { action: SessionAction::TimeOut }.into(),
        SessionTooLow { received: n8(0) }.into(),
        ResetSession { session: SessionId(n4(0)) }.into(),
    ]
}

/// One of every command.
pub(crate) fn commands() -> Vec<Command> {
    [configuration(), money(), orders(), busts(), sessions(), sessions_unnumbered()].concat()
}

fn batches() -> Vec<EventBody> {
    vec![
        AccountsCreated {
            session: SessionId(n4(0)),
            request: RequestNumber(n8(1)),
            count: n4(2),
            created: n4(3),
            exceptions: row_results(),
        }
        .into(),
        TransfersCreated {
            session: SessionId(n4(0)),
            request: RequestNumber(n8(1)),
            count: n4(2),
            created: n4(3),
            exceptions: row_results(),
            amounts: vec![RowAmount { index: n4(0), amount: Amount(n16(1)) }],
            balances: n8(6),
        }
        .into(),
        TransferExpired {
            transfer: TransferId(n16(0)),
            debit_account: AccountId(n16(1)),
            credit_account: AccountId(n16(2)),
            amount: Amount(n16(3)),
        }
        .into(),
        LedgerLimitsSet { limits: ledger_limits() }.into(),
        CalendarSet { calendar: set_calendar() }.into(),
        DayClosed { business_date: n4(0), next: n4(1), totals: vec![ledger_totals(), ledger_totals()] }
            .into(),
        OverdraftSet { overdraft: set_overdraft() }.into(),
        OverdraftLineEnded { account: AccountId(n16(0)), temporary: Amount(n16(1)), agreed: Amount(n16(2)) }
            .into(),
        AccountUpdated {
            account: AccountId(n16(0)),
            code: n2(1),
            user_data_128: n16(2),
            user_data_64: n8(3),
            user_data_32: n4(4),
        }
        .into(),
        TransfersEntered { transfers: vec![transfer_row()] }.into(),
        Proposed {
            proposal: ProposalId(n8(0)),
            actor: ActorId(n4(1)),
            command: proposed(),
            before: Some(proposed()),
            expires_at_ns: n8(4),
            note: text("why"),
        }
        .into(),
        ProposalEnded {
            proposal: ProposalId(n8(0)),
            end: ProposalEnd::Withdrawn,
            actor: ActorId(n4(2)),
            note: text("why not"),
        }
        .into(),
        ApprovalsSet { kinds: vec![n2(0), n2(1)] }.into(),
    ]
}

fn trading_set() -> Vec<EventBody> {
    vec![
        mass_quote_acknowledged().into(),
        QuotesPulled { session: SessionId(n4(0)), market: MarketId(n4(1)), fills: n4(2), lots: n16(3) }
            .into(),
        MarketMakerProtectionSet {
            request_id: text("ready"),
            session: SessionId(n4(0)),
            market: MarketId(n4(1)),
            fills_max: n4(2),
            lots_max: QtyLots(n8(3)),
            window_ms: n4(4),
            refusal: Some(RejectReason::NotEntitled),
        }
        .into(),
        CancelAllAfterSet {
            request_id: text("alive"),
            timeout_ms: n4(0),
            refusal: Some(RejectReason::FieldOutOfRange),
        }
        .into(),
        MassCancelReported {
            cl_ord_id: text("ORDER-9"),
            market: Some(MarketId(n4(1))),
            side: Some(Side::Sell),
            client: Some(ClientId(n8(3))),
            orders: n4(4),
            refusal: Some(RejectReason::UnknownMarket),
        }
        .into(),
        TradingRulesSet { rules: set_trading_rules() }.into(),
        MarketStatusReported {
            request_id: text("status"),
            market: MarketId(n4(1)),
            phase: MarketPhase::Halt,
        }
        .into(),
        OrderListChanged {
            list: OrderListId(n8(0)),
            cl_list_id: text("list"),
            market: MarketId(n4(2)),
            contingency: Contingency::OneCancelsOther,
            state: ListState::Done,
            asked: true,
            orders: vec![ListedOrder {
                order: OrderId(n8(5)),
                cl_ord_id: text("ORDER-1"),
                status: OrderStatus::PartiallyFilled,
                qty_lots: QtyLots(n8(6)),
                leaves_lots: QtyLots(n8(7)),
                cum_lots: QtyLots(n8(8)),
                cum_ticks_lots: n16(9),
            }],
        }
        .into(),
        TradeGroupSet { client: ClientId(n8(0)), trade_group: TradeGroupId(n8(1)) }.into(),
        PricePublished {
            market: MarketId(n4(0)),
            price_ticks: PriceTicks(n8(1)),
            observed_at_ns: n8(2),
            valid_until_ns: n8(3),
        }
        .into(),
    ]
}

fn exchanges() -> Vec<EventBody> {
    vec![
        ExchangeQuoted { definition: quote_exchange() }.into(),
        ExchangeQuoteEnded { quote: QuoteId(n16(0)), end: QuoteEnd::UsedUp, left: Amount(n16(2)) }.into(),
        CurrencyExchanged {
            quote: QuoteId(n16(0)),
            client: ClientId(n8(1)),
            sell_account: AccountId(n16(2)),
            buy_account: AccountId(n16(3)),
            rounding_account: AccountId(n16(4)),
            sell_amount: Amount(n16(5)),
            buy_amount: Amount(n16(6)),
            rounding_amount: Amount(n16(7)),
            rate_mantissa: n8(8),
            rate_scale: n1(9),
            source: text("ECB 14:15"),
            sell_transfer: TransferId(n16(11)),
            buy_transfer: TransferId(n16(12)),
            rounding_transfer: TransferId(n16(13)),
        }
        .into(),
    ]
}

fn standing_orders() -> Vec<EventBody> {
    vec![
        StandingOrderDefined { definition: define_standing_order(), next_due_ns: n8(1) }.into(),
        StandingOrderAttempted {
            order: StandingOrderId(n8(0)),
            debit_account: AccountId(n16(1)),
            credit_account: AccountId(n16(2)),
            occurrence: n4(3),
            attempt: n1(4),
            transfer: TransferId(n16(5)),
            refusal: Some(LedgerRefusal::ExceedsCredits),
            retried: true,
            next_due_ns: n8(8),
        }
        .into(),
        StandingOrderEnded { order: StandingOrderId(n8(0)), end: StandingOrderEnd::Cancelled }.into(),
    ]
}

fn monitors() -> Vec<EventBody> {
    vec![
        MonitorDefined { definition: define_monitor() }.into(),
        AccountCodeSet { entry: set_account_code() }.into(),
        MonitorTriggered {
            monitor: MonitorId(n8(0)),
            account: AccountId(n16(1)),
            ledger: AssetId(n4(2)),
            code: n2(3),
            class: AccountClass::Liquidity,
            value: Amount(n16(5)),
            negative: true,
        }
        .into(),
        MonitorRemoved { monitor: MonitorId(n8(0)) }.into(),
    ]
}

fn trade_posting() -> TradePosting {
    TradePosting {
        part: TradePart::Receivable,
        debit_account: AccountId(n16(1)),
        credit_account: AccountId(n16(2)),
        amount: Amount(n16(3)),
    }
}

fn busts() -> Vec<Command> {
    vec![
        BustTrade {
            settled: settled(),
            base_receivable: AccountId(n16(1)),
            quote_receivable: AccountId(n16(2)),
            reason: n2(3),
        }
        .into(),
        CorrectTrade {
            settled: settled(),
            price_ticks: PriceTicks(n8(1)),
            qty_lots: QtyLots(n8(2)),
            notional: Amount(n16(3)),
            buyer_fee: Amount(n16(4)),
            seller_fee: Amount(n16(5)),
            buyer_tax: Amount(n16(6)),
            seller_tax: Amount(n16(7)),
            base_receivable: AccountId(n16(8)),
            quote_receivable: AccountId(n16(9)),
            reason: n2(10),
        }
        .into(),
    ]
}

fn settled() -> Settled {
    Settled {
        trade: TradeId(n8(0)),
        market: MarketId(n4(1)),
        price_ticks: PriceTicks(n8(2)),
        qty_lots: QtyLots(n8(3)),
        notional: Amount(n16(4)),
        maker_order: OrderId(n8(5)),
        taker_order: OrderId(n8(6)),
        taker_side: Side::Sell,
        buyer: ClientId(n8(8)),
        seller: ClientId(n8(9)),
        buyer_fee: Amount(n16(10)),
        seller_fee: Amount(n16(11)),
        buyer_tax: Amount(n16(12)),
        seller_tax: Amount(n16(13)),
        maker_is_paid: true,
    }
}

fn ledger() -> Vec<EventBody> {
    vec![
        settled().into(),
        BookChanged {
            market: MarketId(n4(0)),
            order: OrderId(n8(1)),
            side: Side::Sell,
            action: BookAction::Refilled,
            price_ticks: PriceTicks(n8(4)),
            qty_lots: QtyLots(n8(5)),
        }
        .into(),
        HoldChanged { order: OrderId(n8(0)), account: AccountId(n16(1)), held: Amount(n16(2)) }.into(),
        ActorDefined { actor: ActorId(n4(0)), roles: n4(1) }.into(),
        AssetDefined { definition: define_asset() }.into(),
        MarketDefined { definition: define_market(), phase: MarketPhase::Halt }.into(),
        SessionDefined { definition: define_session() }.into(),
        TermStarted { term: Term(n8(0)) }.into(),
        ActorKeySet { actor: ActorId(n4(0)), key: Some(PublicKey(bytes_of(1))) }.into(),
        RecordSkipped { record_hash: Hash(bytes_of(0)), reason: text("poison") }.into(),
        CheckpointMarked {}.into(),
        FeeScheduleSet { schedule: set_fee_schedule() }.into(),
        FeeGroupSet { client: ClientId(n8(0)), fee_group: FeeGroupId(n2(1)) }.into(),
        MarketScheduleSet { schedule: set_market_schedule() }.into(),
    ]
}

fn replies() -> Vec<EventBody> {
    vec![
        Replied {
            session: SessionId(n4(0)),
            request: RequestNumber(n8(1)),
            effective_seq: Seq(n8(2)),
            refusal: Some(RejectReason::TooLate),
            field: text("amount"),
        }
        .into(),
        Dropped { session: SessionId(n4(0)), request: RequestNumber(n8(1)), reason: RejectReason::TooLate }
            .into(),
    ]
}

fn phases() -> Vec<EventBody> {
    vec![
        MarketPhaseChanged {
            market: MarketId(n4(0)),
            before: MarketPhase::Trading,
            phase: MarketPhase::Auction,
            cause: PhaseCause::Volatility,
        }
        .into(),
        AuctionIndicated {
            market: MarketId(n4(0)),
            price_ticks: PriceTicks(n8(1)),
            lots: n16(2),
            surplus_lots: n16(3),
            surplus_side: Some(Side::Sell),
        }
        .into(),
        AuctionUncrossed {
            market: MarketId(n4(0)),
            price_ticks: PriceTicks(n8(1)),
            lots: n16(2),
            trades: n4(3),
        }
        .into(),
    ]
}

fn sent_orders() -> Vec<EventBody> {
    vec![
        ExecutionReport {
            order: OrderId(n8(0)),
            cl_ord_id: text("ORDER-2"),
            orig_cl_ord_id: text("ORDER-1"),
            client: ClientId(n8(3)),
            market: MarketId(n4(4)),
            side: Side::Sell,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::ImmediateOrCancel,
            exec_type: ExecType::Trade,
            status: OrderStatus::PartiallyFilled,
            price_ticks: PriceTicks(n8(10)),
            qty_lots: QtyLots(n8(11)),
            leaves_lots: QtyLots(n8(12)),
            cum_lots: QtyLots(n8(13)),
            cum_ticks_lots: n16(14),
            last_price_ticks: PriceTicks(n8(15)),
            last_qty_lots: QtyLots(n8(16)),
            trade: TradeId(n8(17)),
            liquidity: Some(Liquidity::Taker),
            fee: Amount(n16(19)),
            fee_is_paid: true,
            tax: Amount(n16(21)),
            reason: Some(RejectReason::TooLate),
            details: OrderDetails { terms: order_terms(), cl_list_id: text("LIST-1") }.into(),
        }
        .into(),
        CancelRejected {
            order: OrderId(n8(0)),
            cl_ord_id: text("ORDER-2"),
            orig_cl_ord_id: text("ORDER-1"),
            status: OrderStatus::PartiallyFilled,
            response_to: CancelRejectTo::Replace,
            reason: RejectReason::TooLate,
        }
        .into(),
        OrderTriggered { market: MarketId(n4(0)), order: OrderId(n8(1)) }.into(),
        TradePrevented {
            market: MarketId(n4(0)),
            mode: SelfTradePrevention::Transfer,
            maker_order: OrderId(n8(2)),
            taker_order: OrderId(n8(3)),
            price_ticks: PriceTicks(n8(4)),
            maker_qty_lots: QtyLots(n8(5)),
            taker_qty_lots: QtyLots(n8(6)),
            prevented_lots: QtyLots(n8(7)),
        }
        .into(),
        BusinessRejected {
            ref_seq_num: n8(0),
            ref_msg_type: text("AE"),
            reason: n2(2),
            ref_id: text("ORDER-3"),
            note: text("unknown message"),
            routing: text::<120>("115=HUB\x01116=DESK 3\x01").into(),
        }
        .into(),
    ]
}

fn sent_session() -> Vec<EventBody> {
    vec![
        LogonSent { heartbeat_s: n4(0), reset: true, next_expected: n8(2) }.into(),
        HeartbeatSent { test_req_id: text("PING 1") }.into(),
        TestRequestSent {}.into(),
        ResendRequestSent { begin: n8(0), end: n8(1) }.into(),
        RejectSent {
            ref_seq_num: n8(0),
            ref_msg_type: text("AE"),
            ref_tag: n4(2),
            reason: n2(3),
            note: text("unknown message"),
            routing: text::<120>("115=HUB\x01116=DESK 3\x01").into(),
        }
        .into(),
        LogoutSent { end: SessionEnd::SequenceTooLow, expected: n8(1), received: n8(2) }.into(),
        TradeBusted {
            settled: settled(),
            price_ticks: PriceTicks(n8(1)),
            qty_lots: QtyLots(n8(2)),
            notional: Amount(n16(3)),
            buyer_fee: Amount(n16(4)),
            seller_fee: Amount(n16(5)),
            buyer_tax: Amount(n16(6)),
            seller_tax: Amount(n16(7)),
            reason: n2(8),
            postings: vec![trade_posting(), trade_posting()],
        }
        .into(),
    ]
}

fn told_gateways() -> Vec<EventBody> {
    vec![
        SessionOpened {
            session: SessionId(n4(0)),
            connection: n8(1),
            generation: Generation(n4(2)),
            epoch: SessionEpoch(n4(3)),
            next_in: n8(4),
            next_out: OutSeq(n8(5)),
            heartbeat_s: n4(6),
            resend_from: n8(7),
        }
        .into(),
        SessionRefused { session: SessionId(n4(0)), connection: n8(1), end: SessionEnd::SequenceTooLow }
            .into(),
        SessionClosed {
            session: SessionId(n4(0)),
            generation: Generation(n4(1)),
            end: SessionEnd::SequenceTooLow,
        }
        .into(),
        ResendDue { session: SessionId(n4(0)), begin: n8(1), end: n8(2), floor: OutSeq(n8(3)) }.into(),
    ]
}

/// One of every event.
pub(crate) fn events() -> Vec<EventBody> {
    [
        ledger(),
        batches(),
        trading_set(),
        exchanges(),
        standing_orders(),
        monitors(),
        replies(),
        sent_orders(),
        phases(),
        sent_session(),
        told_gateways(),
    ]
    .concat()
}

#[test]
fn what_a_record_names_is_told_before_it_is_decoded() {
    let seq = Seq(77);
    for command in commands() {
        let mut bytes = Vec::new();
        record::RecordHeader::default().write(&command, &mut bytes).unwrap();
        let record = record::Record::read(&bytes).unwrap();
        let expected = if let Command::NewOrder(new) = &command {
            Some((new.market, OrderId(seq.0)))
        } else if let Command::CancelOrder(cancel) = &command {
            cancel.order.map(|order| (cancel.market, order))
        } else if let Command::ReplaceOrder(replace) = &command {
            replace.order.map(|order| (replace.market, order))
        } else {
            None
        };
        assert_eq!(wire::ahead::order_named(seq, &record), expected, "{}", command.name());
        let cut = record::Record { body: &record.body[..record.body.len() / 2], ..record };
        assert_eq!(wire::ahead::order_named(seq, &cut), None, "{}", command.name());
    }
}
