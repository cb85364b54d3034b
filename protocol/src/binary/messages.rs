//! Every message.

use super::chart::{AccountCodes, GetAccountCodes, SetAccountCode, SetLedgerLimits};
use super::codes::{
    BusinessRejectReason, EstablishRejectCode, FlowType, NegotiateRejectCode, TerminationCode,
};
use super::exchange::{
    BustTrade, CancelAll, CorrectTrade, PublishPrice, SetFeeGroup, SetFeeSchedule, SetMarketMakerProtection,
    SetMarketPhase, SetMarketSchedule, SetTradeGroup, SetTradingRules,
};
use super::fields::{Enclosed, Fields, Rows, TailLayout, Words};
use super::macros::messages;
use super::rows::{
    AccountKey, AccountState, AttemptState, Day, ExchangeState, Kind, MonitorState, OverdraftState,
    ProposalState, QuoteState, StandingOrderState, TotalState, TransferKey, TransferState, TriggerState,
};
use crate::hash::Hash;
use crate::limits::{
    APPROVAL_KINDS_MAX, CORRECTION_ROWS_MAX, HOLIDAYS_MAX, LEDGER_ROWS_MAX, NOTE_BYTES_MAX,
    RATE_SOURCE_BYTES_MAX, READ_ROWS_MAX,
};
use crate::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use crate::sign::Signature;
use crate::{
    AccountClass, AccountId, ActorId, Amount, AssetId, ClientId, DayRule, MonitorField, MonitorId,
    MonitorOperator, ProposalId, QuoteId, RejectReason, RequestNumber, Schedule, Seq, SessionId,
    StandingOrderId, Term, Text, TransferId, UnixNanos,
};

messages! {
    /// Every message.
    pub enum Message<'a>
    with (
        PublishPrice,
        SetMarketPhase,
        SetFeeSchedule<'a>,
        SetFeeGroup,
        SetMarketMakerProtection,
        CancelAll,
        BustTrade,
        CorrectTrade,
        SetTradingRules,
        SetMarketSchedule<'a>,
        SetLedgerLimits,
        SetAccountCode,
        SetTradeGroup,
        GetAccountCodes,
        AccountCodes<'a>,
    ) {
        /// Client, first: which session, in which version of it.
        Negotiate = 1 {
            /// The session.
            session: SessionId,
            /// The client's number for this life of its session, above 0. It is signed and given back, and nothing is kept of it.
            session_ver_id: u64,
            /// The client's clock; given back.
            timestamp: UnixNanos,
            /// Idempotent.
            client_flow: FlowType,
        }
        /// Server: the session is there, and its client is to prove itself.
        NegotiateResponse = 2 {
            /// As in the Negotiate.
            session: SessionId,
            /// As in the Negotiate.
            session_ver_id: u64,
            /// As in the Negotiate.
            request_timestamp: UnixNanos,
            /// Unsequenced.
            server_flow: FlowType,
            /// For this connection alone.
            challenge: Hash,
        }
        /// Server: no. The connection ends.
        NegotiateReject<'a> = 3 {
            /// As in the Negotiate.
            session: SessionId,
            /// As in the Negotiate.
            session_ver_id: u64,
            /// As in the Negotiate.
            request_timestamp: UnixNanos,
            /// Why.
            reject_code: NegotiateRejectCode,
            ..
            /// For people.
            text: Words<'a>,
        }
        /// Client: its proof, and how it goes on.
        Establish = 4 {
            /// As negotiated.
            session: SessionId,
            /// As negotiated.
            session_ver_id: u64,
            /// The client's clock; signed and given back.
            timestamp: UnixNanos,
            /// The longest that either side is silent, in milliseconds.
            keep_alive_ms: u32,
            /// The number of its first request on this connection.
            next_seq_no: RequestNumber,
            /// Ed25519, by the key of the session's actor: [`super::establish_to_sign`].
            signature: Signature,
        }
        /// Server: requests are taken.
        EstablishAck = 5 {
            /// As in the Establish.
            session: SessionId,
            /// As in the Establish.
            session_ver_id: u64,
            /// As in the Establish.
            request_timestamp: UnixNanos,
            /// As in the Establish.
            keep_alive_ms: u32,
            /// As in the Establish: the number of the request that is expected next.
            next_seq_no: RequestNumber,
            /// The term in which this node leads.
            term: Term,
            /// What is applied here: reads see this and later.
            journal_seq: Seq,
            /// The number of the session's next command, as far as commands were executed.
            next_command_no: RequestNumber,
        }
        /// Server: no. The connection ends.
        EstablishReject<'a> = 6 {
            /// As in the Establish.
            session: SessionId,
            /// As in the Establish.
            session_ver_id: u64,
            /// As in the Establish.
            request_timestamp: UnixNanos,
            /// Why.
            reject_code: EstablishRejectCode,
            ..
            /// For people, or the leader's address.
            text: Words<'a>,
        }
        /// Either: nothing comes behind it. The server answers a client's after all that is unanswered.
        Terminate<'a> = 7 {
            /// The session; 0 before there is one.
            session: SessionId,
            /// Its version.
            session_ver_id: u64,
            /// Why.
            code: TerminationCode,
            ..
            /// For people.
            text: Words<'a>,
        }
        /// Server: requests with these numbers did not come and never will be executed under them.
        NotApplied = 8 {
            /// The first.
            from_seq_no: RequestNumber,
            /// How many.
            count: u64,
        }
        /// Either: it lives. A client may skip numbers with it.
        Sequence = 9 {
            /// The number of the client's next request, as who says this counts it.
            next_seq_no: RequestNumber,
        }
        /// Server: a request was not executed, or a question is not answered.
        BusinessReject<'a> = 207 {
            /// Template of the request.
            ref_template_id: u16,
            /// Its number.
            ref_seq_no: RequestNumber,
            /// Why.
            reason: BusinessRejectReason,
            /// The engine's reason, where it is its refusal; 0 = none.
            refusal: Option<RejectReason>,
            /// When to ask again, in nanoseconds from now; 0 = the same is refused again.
            retry_after_ns: u64,
            ..
            /// The field that is meant, or what else people want to know.
            text: Words<'a>,
        }

        /// Client: a batch of accounts to create. It is one record of the journal, and its rows share a seq and a time.
        CreateAccounts<'a> = 600 {
            /// Number of the request.
            seq_no: RequestNumber,
            ..
            /// As the engine reads them.
            accounts: Rows<'a, AccountRow, LEDGER_ROWS_MAX>,
        }
        /// Client: a batch of transfers to create. It is one record of the journal, and its rows share a seq and a time.
        CreateTransfers<'a> = 601 {
            /// Number of the request.
            seq_no: RequestNumber,
            ..
            /// As the engine reads them.
            transfers: Rows<'a, TransferRow, LEDGER_ROWS_MAX>,
        }
        /// Server: what became of a batch of accounts. Rows that are not named were created.
        AccountsCreated<'a> = 602 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Where the batch stands in the journal.
            journal_seq: Seq,
            /// When that was.
            transact_time: UnixNanos,
            /// Rows of the batch.
            count: u32,
            /// Those that were created by it.
            created: u32,
            ..
            /// The others.
            exceptions: Rows<'a, RowResult, LEDGER_ROWS_MAX>,
        }
        /// Server: what became of a batch of transfers. Rows that are not named were created.
        TransfersCreated<'a> = 603 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Where the batch stands in the journal.
            journal_seq: Seq,
            /// When that was.
            transact_time: UnixNanos,
            /// Rows of the batch.
            count: u32,
            /// Those that were created by it.
            created: u32,
            ..
            /// The others.
            exceptions: Rows<'a, RowResult, LEDGER_ROWS_MAX>,
            /// Those that moved another amount than was sent, now or before.
            amounts: Rows<'a, RowAmount, LEDGER_ROWS_MAX>,
        }

        /// Client: sets how far the debits of an account may exceed its credits. All 0 = not at all.
        SetOverdraft = 620 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// Its debits must not exceed its credits, unless it is said here.
            account: AccountId,
            /// For ever.
            agreed: Amount,
            /// Beside it, until `temporary_until_ns`; both together are a number.
            temporary: Amount,
            /// Unix nanoseconds, in the future; 0 where `temporary` is.
            temporary_until_ns: u64,
            /// How what is used of it bears interest: free for the bank; 0 where there is no line.
            interest_code: u16,
        }
        /// Client: changes what may change of an account; all of these fields are set.
        UpdateAccount = 621 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
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
        /// Client: sets the bank's calendar. Days are counted from 1970-01-01.
        SetCalendar<'a> = 622 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// The day that is booked on: settable while there is none, then the present one.
            business_date: u32,
            /// Days of the week that are no business days: bit 0 = Monday. Not all of them.
            weekend_days: u8,
            /// How many days before the business date a transfer may take value.
            value_back_days_max: u16,
            /// How many days behind it.
            value_ahead_days_max: u16,
            /// How far local time is from UTC; at most 50,400.
            utc_offset_s: u32,
            /// Whether it is behind UTC, as in America, and not ahead of it.
            behind_utc: bool,
            ..
            /// Other days that are no business days, ascending.
            holidays: Rows<'a, Day, HOLIDAYS_MAX>,
        }
        /// Client: closes the business date: what comes behind it is booked on the next one.
        CloseDay = 623 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// The day that is closed: the present one.
            business_date: u32,
            /// The day that is booked on then: later, and a business day.
            next: u32,
        }
        /// Client: corrects transfers by others, all or none. It is refused but inside a Propose.
        CorrectTransfers<'a> = 624 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// Why: free for the bank; not 0.
            reason: u16,
            ..
            /// In one linked chain. Each names the transfer that it corrects in `pending_id`, and the same reason.
            transfers: Rows<'a, TransferRow, CORRECTION_ROWS_MAX>,
        }
        /// Client: offers a rate at which clients' accounts exchange one asset for another.
        QuoteExchange = 625 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// Not 0.
            quote: QuoteId,
            /// Whose accounts it is for; 0 = anybody's.
            client: ClientId,
            /// What the client sells.
            sell_ledger: AssetId,
            /// What the client buys: another.
            buy_ledger: AssetId,
            /// A minor unit sold buys mantissa / 10^scale minor units; not 0.
            rate_mantissa: u64,
            /// At most 18.
            rate_scale: u8,
            /// Receives what is sold: of class liquidity.
            sell_liquidity: AccountId,
            /// Pays what is bought: of class liquidity.
            buy_liquidity: AccountId,
            /// Receives what rounding leaves: of class liquidity, fee or house, and not who pays.
            rounding: AccountId,
            /// What all exchanges on it may sell together.
            sell_amount_max: Amount,
            /// When it ends, Unix nanoseconds: in the future, and at most 31 days ahead.
            valid_until_ns: u64,
            /// Where the rate is from; not empty.
            source: Text<RATE_SOURCE_BYTES_MAX>,
        }
        /// Client: exchanges on a quote: linked transfers from the account to the bank and from the bank to the account.
        ExchangeCurrency = 626 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
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
        /// Client: has a transfer execute itself at the dates of a schedule. It never changes.
        DefineStandingOrder = 627 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// Not 0.
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
            /// The first one, in days since 1970-01-01: it lies ahead.
            first_date: u32,
            /// None is later; 0 = for ever.
            last_date: u32,
            /// Seconds behind local midnight, by the bank's calendar: less than 86,400.
            time_of_day_s: u32,
            /// What becomes of a date that is no business day.
            day_rule: DayRule,
            /// An execution that is refused is attempted again on so many days; at most 31.
            retry_days: u8,
            /// Of the transfers: free for the client.
            user_data_128: u128,
        }
        /// Client: ends a standing order.
        CancelStandingOrder = 628 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// The order.
            order: StandingOrderId,
        }
        /// Client: has an event say when a condition on balances becomes true. It never changes; another one is defined in its place.
        DefineMonitor = 629 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// Not 0.
            monitor: MonitorId,
            /// What it watches; 0 = all accounts of `ledger`, `code` and `class`.
            account: AccountId,
            /// 0 where it watches an account.
            ledger: AssetId,
            /// 0 where it watches an account.
            code: u16,
            /// 0 where it watches an account.
            class: Option<AccountClass>,
            /// What of it; Available of an account alone.
            field: MonitorField,
            /// Which side of `value` is meant.
            operator: MonitorOperator,
            /// In minor units.
            value: Amount,
            /// Whether `value` is below zero.
            negative: bool,
        }
        /// Client: removes a monitor.
        RemoveMonitor = 630 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// The monitor.
            monitor: MonitorId,
        }
        /// Client: asks for a command that another actor has to approve. Where it takes effect in the journal is the proposal's id.
        Propose<'a> = 640 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// How long it may be approved: 1 to 2,678,400.
            expires_in_s: u32,
            /// Why.
            note: Text<NOTE_BYTES_MAX>,
            ..
            /// What is to be executed: any command but this one.
            command: Enclosed<'a>,
        }
        /// Client: executes what another actor proposed.
        Approve = 641 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// The proposal.
            proposal: ProposalId,
        }
        /// Client: ends a proposal without executing it: by whom it was made, or by somebody who could have approved it.
        Reject = 642 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// The proposal.
            proposal: ProposalId,
            /// Why.
            note: Text<NOTE_BYTES_MAX>,
        }
        /// Client: sets which commands are executed only when one actor has proposed and another one approved them.
        SetApprovals<'a> = 643 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            ..
            /// Their kinds, ascending. While there are any, this command is one of them.
            kinds: Rows<'a, Kind, APPROVAL_KINDS_MAX>,
        }
        /// Server: a command was executed, now or when its number came first. What the engine refuses is said by BusinessReject.
        Executed = 649 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Number of the command in its session.
            command_no: RequestNumber,
            /// Where it took effect in the journal.
            journal_seq: Seq,
        }

        /// Client: accounts by id, as they are now.
        LookupAccounts<'a> = 610 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            ..
            /// Which.
            ids: Rows<'a, AccountKey, READ_ROWS_MAX>,
        }
        /// Server: the accounts that exist of those asked for, in that order.
        Accounts<'a> = 611 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            ..
            /// Each once for each time that it was asked for.
            accounts: Rows<'a, AccountState, READ_ROWS_MAX>,
        }
        /// Client: transfers by id.
        LookupTransfers<'a> = 612 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            ..
            /// Which.
            ids: Rows<'a, TransferKey, READ_ROWS_MAX>,
        }
        /// Server: transfers: those that exist of those asked for, in that order, or a page of an account's, in its.
        Transfers<'a> = 613 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page goes on: the seq …
            next_seq: Seq,
            /// … and a place in it, to be handed back as it is. Both 0 = there is no more.
            next_index: u32,
            ..
            /// What was found.
            transfers: Rows<'a, TransferState, READ_ROWS_MAX>,
        }
        /// Client: an account's transfers, a page at a time; answered by Transfers.
        GetAccountTransfers = 614 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Whose.
            account: AccountId,
            /// With this account alone; 0 = with any.
            counterparty: AccountId,
            /// From this instant on; 0 = from the first.
            time_from: UnixNanos,
            /// Up to this instant; 0 = up to the last.
            time_to: UnixNanos,
            /// As the page before said: the seq …
            from_seq: Seq,
            /// … and the place in it. Both 0 = the first page.
            from_index: u32,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
            /// Of this code alone; 0 = of any.
            code: u16,
            /// Whether those that debit the account are wanted.
            debits: bool,
            /// Whether those that credit the account are wanted.
            credits: bool,
            /// The newest first.
            backwards: bool,
        }
        /// Client: what corrected a transfer, a page at a time; answered by Transfers.
        GetCorrections = 615 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// The transfer that was corrected.
            transfer: TransferId,
            /// As the page before said: the seq …
            from_seq: Seq,
            /// … and the place in it. Both 0 = the first page.
            from_index: u32,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Client: an account's sums at a time.
        BalanceAt = 616 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Whose.
            account: AccountId,
            /// Behind this seq; 0 = see the next.
            at_seq: Seq,
            /// At this instant, if no seq is named; both 0 = now.
            at_time: UnixNanos,
        }
        /// Server: an account's sums.
        Balance = 617 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Whose.
            account: AccountId,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Its time; of an earlier one, when money had last moved until then.
            transact_time: UnixNanos,
            /// Sums in minor units: reserved by pending transfers that debit it.
            debits_pending: Amount,
            /// Of all transfers that debited it.
            debits_posted: Amount,
            /// Of pending transfers that credit it.
            credits_pending: Amount,
            /// Of all transfers that credited it.
            credits_posted: Amount,
        }
        /// Client: what of an account's posted sums counts on a day, as it was known at a time.
        ValueBalanceAt = 618 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Whose.
            account: AccountId,
            /// The day, since 1970-01-01.
            value_date: u32,
            /// As it was known behind this seq; 0 = see the next.
            at_seq: Seq,
            /// As it was known at this instant, if no seq is named; both 0 = as it is known now.
            at_time: UnixNanos,
        }
        /// Server: what of an account's posted sums counts on a day.
        ValueBalance = 619 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Whose.
            account: AccountId,
            /// As it is known behind this seq.
            journal_seq: Seq,
            /// The day that was asked for.
            value_date: u32,
            /// The business date there; 0 = there was none, and everything counts on every day.
            business_date: u32,
            /// In minor units: debits posted with a value date of that day or before.
            debits_posted: Amount,
            /// Credits posted with a value date of that day or before.
            credits_posted: Amount,
        }
        /// Client: overdraft lines of accounts by id, as they are now.
        LookupOverdrafts<'a> = 650 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            ..
            /// Which.
            ids: Rows<'a, AccountKey, READ_ROWS_MAX>,
        }
        /// Server: the lines of the accounts that exist of those asked for, in that order.
        Overdrafts<'a> = 651 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            ..
            /// Each once for each time that it was asked for.
            overdrafts: Rows<'a, OverdraftState, READ_ROWS_MAX>,
        }
        /// Client: the bank's calendar and its business date, as they are now.
        GetCalendar = 652 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
        }
        /// Server: the bank's calendar, as SetCalendar says it.
        Calendar<'a> = 653 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As it is behind this seq.
            journal_seq: Seq,
            /// The day that is booked on; 0 = no calendar is set, and all else is 0.
            business_date: u32,
            /// Days of the week that are no business days: bit 0 = Monday.
            weekend_days: u8,
            /// How many days before the business date a transfer may take value.
            value_back_days_max: u16,
            /// How many days behind it.
            value_ahead_days_max: u16,
            /// How far local time is from UTC.
            utc_offset_s: u32,
            /// Whether it is behind UTC, as in America, and not ahead of it.
            behind_utc: bool,
            ..
            /// Other days that are no business days, ascending.
            holidays: Rows<'a, Day, HOLIDAYS_MAX>,
        }
        /// Client: the monitors that are defined, a page at a time, by id.
        GetMonitors = 654 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// From this one on: 0, or as the page before said.
            from_monitor: MonitorId,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of monitors.
        Monitors<'a> = 655 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page begins; 0 = there is no more.
            next_monitor: MonitorId,
            ..
            /// By id.
            monitors: Rows<'a, MonitorState, READ_ROWS_MAX>,
        }
        /// Client: which conditions of monitors became true, a page at a time, in order.
        GetMonitorTriggers = 656 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// From this seq on …
            from_seq: Seq,
            /// … and this place in it: 0, or as the page before said.
            from_index: u32,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of what became true.
        MonitorTriggers<'a> = 657 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Everything up to this seq is known here: what is not listed comes behind it.
            journal_seq: Seq,
            /// Where the next page begins: the seq …
            next_seq: Seq,
            /// … and a place in it. Both 0 = there is no more up to `journal_seq`.
            next_index: u32,
            ..
            /// In order.
            triggers: Rows<'a, TriggerState, READ_ROWS_MAX>,
        }
        /// Client: the proposals that are open, a page at a time, by id.
        GetProposals = 660 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// From this one on: 0, or as the page before said.
            from_proposal: ProposalId,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of open proposals.
        Proposals<'a> = 661 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page begins; 0 = there is no more.
            next_proposal: ProposalId,
            ..
            /// By id.
            proposals: Rows<'a, ProposalState, READ_ROWS_MAX>,
        }
        /// Client: what a proposal would change.
        GetProposal = 662 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Which.
            proposal: ProposalId,
        }
        /// Server: an open proposal.
        Proposal<'a> = 663 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As it is behind this seq.
            journal_seq: Seq,
            /// Which.
            proposal: ProposalId,
            /// Who made it.
            actor: ActorId,
            /// The kind of its command.
            kind: u16,
            /// Until when it may be approved.
            expires_at: UnixNanos,
            /// Why it was made.
            note: Text<NOTE_BYTES_MAX>,
            ..
            /// What would be executed; nothing, where no message carries a command of this kind.
            command: Enclosed<'a>,
            /// The command that would set what was in force when it was made; nothing where that is new, or nothing is set. Once it is not in
            /// force any more, the proposal cannot be approved.
            before: Enclosed<'a>,
        }
        /// Client: exchange quotes whose time is not over, a page at a time, by id.
        GetQuotes = 664 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// From this one on: 0, or as the page before said.
            from_quote: QuoteId,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of quotes.
        Quotes<'a> = 665 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page begins; 0 = there is no more.
            next_quote: QuoteId,
            ..
            /// By id.
            quotes: Rows<'a, QuoteState, READ_ROWS_MAX>,
        }
        /// Client: standing orders, a page at a time, by id.
        GetStandingOrders = 666 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// From this one on: 0, or as the page before said.
            from_order: StandingOrderId,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of standing orders.
        StandingOrders<'a> = 667 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page begins; 0 = there is no more.
            next_order: StandingOrderId,
            ..
            /// By id.
            orders: Rows<'a, StandingOrderState, READ_ROWS_MAX>,
        }
        /// Client: the sums over all accounts of each ledger, code and class, a page at a time, in this order. They are the bank's: any other
        /// session finds none.
        GetTotals = 668 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// Of this asset alone; 0 = of all.
            ledger: AssetId,
            /// From this asset on: 0, or as the page before said …
            from_ledger: AssetId,
            /// … and this code of it …
            from_code: u16,
            /// … and this class of that.
            from_class: Option<AccountClass>,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of totals.
        Totals<'a> = 669 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// As they are behind this seq.
            journal_seq: Seq,
            /// Where the next page begins: the asset …
            next_ledger: AssetId,
            /// … the code …
            next_code: u16,
            /// … and the class. All 0 = there is no more.
            next_class: Option<AccountClass>,
            ..
            /// By ledger, code and class.
            totals: Rows<'a, TotalState, READ_ROWS_MAX>,
        }
        /// Client: what came of a standing order, a page at a time, in order.
        GetStandingOrderAttempts = 670 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            /// The order, whether it still stands or not.
            order: StandingOrderId,
            /// From this seq on …
            from_seq: Seq,
            /// … and this place in it: 0, or as the page before said.
            from_index: u32,
            /// Rows at most; 1 to [`READ_ROWS_MAX`].
            limit: u32,
        }
        /// Server: a page of what came of a standing order.
        StandingOrderAttempts<'a> = 671 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Everything up to this seq is known here: what is not listed comes behind it.
            journal_seq: Seq,
            /// Where the next page begins: the seq …
            next_seq: Seq,
            /// … and a place in it. Both 0 = there is no more up to `journal_seq`.
            next_index: u32,
            ..
            /// In order.
            attempts: Rows<'a, AttemptState, READ_ROWS_MAX>,
        }
        /// Client: which exchanges transfers belong to.
        LookupExchanges<'a> = 672 {
            /// Number of the request.
            seq_no: RequestNumber,
            /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
            min_seq: Seq,
            /// It misses nothing that was acknowledged anywhere before the question.
            linearizable: bool,
            ..
            /// Which.
            ids: Rows<'a, TransferKey, READ_ROWS_MAX>,
        }
        /// Server: exchanges: one for each transfer asked for that belongs to one, in that order.
        Exchanges<'a> = 673 {
            /// Number of the request.
            client_seq_no: RequestNumber,
            /// Everything up to this seq is known here.
            journal_seq: Seq,
            ..
            /// In that order.
            exchanges: Rows<'a, ExchangeState, READ_ROWS_MAX>,
        }
    }
}

/// A message as the schema describes it.
#[derive(Clone, Copy, Debug)]
pub struct MessageLayout {
    /// Its name.
    pub name: &'static str,
    /// Its template id.
    pub template: u16,
    /// Its fixed fields.
    pub fields: Fields,
    /// Name and layout of what follows them.
    pub tails: &'static [(&'static str, TailLayout)],
    /// Name and meaning of each of both.
    pub meanings: &'static [(&'static str, &'static str)],
}

/// What a field of a message means, so that whoever is refused because of it can be told what is expected there. `None`: there is no such
/// field.
#[must_use]
pub fn meaning(template: u16, field: &str) -> Option<&'static str> {
    let layout = Message::LAYOUTS.iter().find(|layout| layout.template == template)?;
    let (_, meaning) = layout.meanings.iter().find(|(name, _)| *name == field)?;
    Some(meaning.trim_start())
}
