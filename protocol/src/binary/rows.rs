//! Rows of groups: those of the ledger's batches, which stand in the journal as they came, and those of reads.

use super::codes::TransferStatus;
use super::macros::{fixed, rows};
use crate::commands::{DefineStandingOrder, QuoteExchange};
use crate::events::CurrencyExchanged;
use crate::limits::RATE_SOURCE_BYTES_MAX;
use crate::rows::{AccountRow, FeeTier, RowAmount, RowResult, ScheduledPhase, TransferRow};
use crate::{
    AccountClass, AccountId, ActorId, Amount, AssetId, ClientId, DayRule, LedgerRefusal, MarketPhase,
    MonitorField, MonitorId, MonitorOperator, ProposalId, QuoteId, Schedule, Seq, StandingOrderId, Text,
    TransferId, UnixNanos,
};

fixed!(TransferRow {
    id: TransferId,
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    pending_id: TransferId,
    user_data_128: u128,
    user_data_64: u64,
    user_data_32: u32,
    timeout_s: u32,
    ledger: AssetId,
    code: u16,
    flags: u16,
    value_date: u32,
    reason: u16,
    reserved: u16,
});

fixed!(AccountRow {
    id: AccountId,
    user_data_128: u128,
    owner: ClientId,
    user_data_64: u64,
    user_data_32: u32,
    ledger: AssetId,
    code: u16,
    flags: u16,
    class: u16,
    reserved: u16,
});

fixed!(RowResult { index: u32, refusal: LedgerRefusal, seq: Seq });

fixed!(FeeTier { volume_min: Amount, maker_ppm: u32, maker_is_paid: bool, taker_ppm: u32 });

fixed!(ScheduledPhase { days: u8, at_ms: u32, phase: MarketPhase });

fixed!(RowAmount { index: u32, amount: Amount });

rows! {
    /// An account that is asked for.
    pub struct AccountKey {
        /// The account.
        pub id: AccountId,
    }

    /// A transfer that is asked for.
    pub struct TransferKey {
        /// The transfer.
        pub id: TransferId,
    }

    /// An account with its sums, in minor units.
    pub struct AccountState {
        /// As created, but for the flags: those are as they are now.
        pub account: AccountRow,
        /// Of pending transfers that debit it.
        pub debits_pending: Amount,
        /// Of all transfers that debited it.
        pub debits_posted: Amount,
        /// Of pending transfers that credit it.
        pub credits_pending: Amount,
        /// Of all transfers that credited it.
        pub credits_posted: Amount,
    }

    /// A day of a calendar.
    pub struct Day {
        /// Days since 1970-01-01.
        pub day: u32,
    }

    /// The kind of a command.
    pub struct Kind {
        /// As the journal numbers it.
        pub kind: u16,
    }

    /// An open proposal.
    pub struct ProposalState {
        /// The seq of the command that made it.
        pub proposal: ProposalId,
        /// Who made it.
        pub actor: ActorId,
        /// The kind of its command.
        pub kind: u16,
        /// Until when it may be approved.
        pub expires_at: UnixNanos,
    }

    /// How far the debits of an account may exceed its credits, as [`SetOverdraft`](super::SetOverdraft) says it; all 0 = not at all.
    pub struct OverdraftState {
        /// The account.
        pub account: AccountId,
        /// For ever.
        pub agreed: Amount,
        /// Beside it, until `temporary_until_ns`.
        pub temporary: Amount,
        /// Unix nanoseconds; 0 = there is none.
        pub temporary_until_ns: u64,
        /// How what is used of it bears interest.
        pub interest_code: u16,
    }

    /// A monitor, as [`DefineMonitor`](super::DefineMonitor) says it.
    pub struct MonitorState {
        /// The monitor.
        pub monitor: MonitorId,
        /// What it watches; 0 = all accounts of `ledger`, `code` and `class`.
        pub account: AccountId,
        /// 0 where it watches an account.
        pub ledger: AssetId,
        /// 0 where it watches an account.
        pub code: u16,
        /// 0 where it watches an account.
        pub class: Option<AccountClass>,
        /// What of it.
        pub field: MonitorField,
        /// Which side of `value` is meant.
        pub operator: MonitorOperator,
        /// In minor units.
        pub value: Amount,
        /// Whether `value` is below zero.
        pub negative: bool,
    }

    /// An exchange quote, as [`QuoteExchange`](super::QuoteExchange) says it.
    pub struct QuoteState {
        /// The quote.
        pub quote: QuoteId,
        /// Whose accounts it is for; 0 = anybody's.
        pub client: ClientId,
        /// What the client sells.
        pub sell_ledger: AssetId,
        /// What the client buys: another.
        pub buy_ledger: AssetId,
        /// A minor unit sold buys mantissa / 10^scale minor units; not 0.
        pub rate_mantissa: u64,
        /// At most 18.
        pub rate_scale: u8,
        /// Receives what is sold: of class liquidity.
        pub sell_liquidity: AccountId,
        /// Pays what is bought: of class liquidity.
        pub buy_liquidity: AccountId,
        /// Receives what rounding leaves: of class liquidity, fee or house, and not who pays.
        pub rounding: AccountId,
        /// What all exchanges on it may sell together.
        pub sell_amount_max: Amount,
        /// When it ends, Unix nanoseconds: in the future, and at most 31 days ahead.
        pub valid_until_ns: u64,
        /// Where the rate is from; not empty.
        pub source: Text<RATE_SOURCE_BYTES_MAX>,
        /// What may still be sold on it; 0 = it is used up.
        pub left: Amount,
    }

    /// A standing order, as [`DefineStandingOrder`](super::DefineStandingOrder) says it.
    pub struct StandingOrderState {
        /// The order.
        pub order: StandingOrderId,
        /// Pays.
        pub debit_account: AccountId,
        /// Is paid.
        pub credit_account: AccountId,
        /// More than 0.
        pub amount: Amount,
        /// The asset of both accounts.
        pub ledger: AssetId,
        /// Code of the transfers; not 0.
        pub code: u16,
        /// On which dates.
        pub schedule: Schedule,
        /// The first one, in days since 1970-01-01: it lies ahead.
        pub first_date: u32,
        /// None is later; 0 = for ever.
        pub last_date: u32,
        /// Seconds behind local midnight, by the bank's calendar: less than 86,400.
        pub time_of_day_s: u32,
        /// What becomes of a date that is no business day.
        pub day_rule: DayRule,
        /// An execution that is refused is attempted again on so many days; at most 31.
        pub retry_days: u8,
        /// Of the transfers: free for the client.
        pub user_data_128: u128,
        /// When it is executed or attempted next.
        pub next_due: UnixNanos,
    }

    /// The sums over all accounts of one ledger, code and class, in minor units; what exceeds the largest number counts as that.
    pub struct TotalState {
        /// Their asset.
        pub ledger: AssetId,
        /// Their code.
        pub code: u16,
        /// Their class.
        pub class: Option<AccountClass>,
        /// How many: one at least.
        pub accounts: u64,
        /// Of pending transfers that debit them.
        pub debits_pending: Amount,
        /// Of all transfers that debited them.
        pub debits_posted: Amount,
        /// Of pending transfers that credit them.
        pub credits_pending: Amount,
        /// Of all transfers that credited them.
        pub credits_posted: Amount,
    }

    /// An exchange of one currency for another, by the transfers named here.
    pub struct ExchangeState {
        /// Behind the record of this seq.
        pub seq: Seq,
        /// The time of that record.
        pub time: UnixNanos,
        /// At this quote.
        pub quote: QuoteId,
        /// Whose accounts they are; 0 = the house.
        pub client: ClientId,
        /// Paid.
        pub sell_account: AccountId,
        /// Was paid.
        pub buy_account: AccountId,
        /// Received what rounding left, if anything was.
        pub rounding_account: AccountId,
        /// What was sold.
        pub sell_amount: Amount,
        /// What was bought: rounded down.
        pub buy_amount: Amount,
        /// What rounding left: 0 or 1.
        pub rounding_amount: Amount,
        /// A minor unit sold bought mantissa / 10^scale minor units.
        pub rate_mantissa: u64,
        /// Its scale.
        pub rate_scale: u8,
        /// Where the rate was from.
        pub source: Text<RATE_SOURCE_BYTES_MAX>,
        /// What was sold.
        pub sell_transfer: TransferId,
        /// What was bought.
        pub buy_transfer: TransferId,
        /// What rounding left; 0 = nothing.
        pub rounding_transfer: TransferId,
    }

    /// An attempt to execute a standing order.
    pub struct AttemptState {
        /// Behind the record of this seq.
        pub seq: Seq,
        /// Its place among those of that seq, of all orders, from 0.
        pub index: u32,
        /// The time of that record.
        pub time: UnixNanos,
        /// The order.
        pub order: StandingOrderId,
        /// Pays.
        pub debit_account: AccountId,
        /// Is paid.
        pub credit_account: AccountId,
        /// The date of its schedule, in days since 1970-01-01.
        pub occurrence: u32,
        /// Which attempt of that date, from 1.
        pub attempt: u8,
        /// The transfer; 0 = it was refused.
        pub transfer: TransferId,
        /// Why; 0 = it was executed.
        pub refusal: Option<LedgerRefusal>,
        /// Whether the same date is attempted again; if not, and it was refused, it is given up.
        pub retried: bool,
        /// When it is attempted or executed next; 0 = never.
        pub next_due: UnixNanos,
    }

    /// A condition of a monitor that became true.
    pub struct TriggerState {
        /// Behind the record of this seq.
        pub seq: Seq,
        /// Its place among those of that seq, from 0.
        pub index: u32,
        /// The time of that record.
        pub time: UnixNanos,
        /// The monitor.
        pub monitor: MonitorId,
        /// What it watches; 0 = all accounts of `ledger`, `code` and `class`.
        pub account: AccountId,
        /// Their asset.
        pub ledger: AssetId,
        /// Their code, or that of the account.
        pub code: u16,
        /// Their class, or that of the account.
        pub class: Option<AccountClass>,
        /// What was found; what exceeds the largest number counts as that.
        pub value: Amount,
        /// Whether `value` is below zero.
        pub negative: bool,
    }

    /// A transfer as it happened.
    pub struct TransferState {
        /// As created, but for the amount: that is what it moved or reserved.
        pub transfer: TransferRow,
        /// Where its batch stands in the journal.
        pub seq: Seq,
        /// Its place in the batch, from 0.
        pub index: u32,
        /// When that was.
        pub time: UnixNanos,
        /// What became of it.
        pub status: TransferStatus,
        /// Where, if it was pending and is not any more; else 0.
        pub settled_seq: Seq,
    }
}

const _: () = {
    use super::Fixed;
    assert!(TransferRow::BYTES == crate::rows::TRANSFER_ROW_BYTES);
    assert!(AccountRow::BYTES == crate::rows::ACCOUNT_ROW_BYTES);
};

impl QuoteState {
    /// Of a quote, and what may still be sold on it.
    #[must_use]
    pub const fn new(definition: &QuoteExchange, left: Amount) -> Self {
        let &QuoteExchange {
            quote,
            client,
            sell_ledger,
            buy_ledger,
            rate_mantissa,
            rate_scale,
            sell_liquidity,
            buy_liquidity,
            rounding,
            sell_amount_max,
            valid_until_ns,
            source,
        } = definition;
        Self {
            quote,
            client,
            sell_ledger,
            buy_ledger,
            rate_mantissa,
            rate_scale,
            sell_liquidity,
            buy_liquidity,
            rounding,
            sell_amount_max,
            valid_until_ns,
            source,
            left,
        }
    }
}

impl ExchangeState {
    /// Of an exchange, and where and when it was.
    #[must_use]
    pub const fn new(seq: Seq, time: UnixNanos, exchanged: &CurrencyExchanged) -> Self {
        let &CurrencyExchanged {
            quote,
            client,
            sell_account,
            buy_account,
            rounding_account,
            sell_amount,
            buy_amount,
            rounding_amount,
            rate_mantissa,
            rate_scale,
            source,
            sell_transfer,
            buy_transfer,
            rounding_transfer,
        } = exchanged;
        Self {
            seq,
            time,
            quote,
            client,
            sell_account,
            buy_account,
            rounding_account,
            sell_amount,
            buy_amount,
            rounding_amount,
            rate_mantissa,
            rate_scale,
            source,
            sell_transfer,
            buy_transfer,
            rounding_transfer,
        }
    }
}

impl StandingOrderState {
    /// Of an order, and when it is executed or attempted next.
    #[must_use]
    pub const fn new(definition: &DefineStandingOrder, next_due: UnixNanos) -> Self {
        let &DefineStandingOrder {
            order,
            debit_account,
            credit_account,
            amount,
            ledger,
            code,
            schedule,
            first_date,
            last_date,
            time_of_day_s,
            day_rule,
            retry_days,
            user_data_128,
        } = definition;
        Self {
            order,
            debit_account,
            credit_account,
            amount,
            ledger,
            code,
            schedule,
            first_date,
            last_date,
            time_of_day_s,
            day_rule,
            retry_days,
            user_data_128,
            next_due,
        }
    }
}
