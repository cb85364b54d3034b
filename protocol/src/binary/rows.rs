//! Rows of groups: those of the ledger's batches, which stand in the journal as they came, and those of reads.

use super::macros::{fixed, rows};
use super::messages::TransferStatus;
use crate::rows::{AccountRow, RowAmount, RowResult, TransferRow};
use crate::{AccountId, Amount, AssetId, ClientId, LedgerRefusal, Seq, TransferId, UnixNanos};

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
