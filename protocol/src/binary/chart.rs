//! The chart of accounts: what its codes stand for, set and asked; and what the ledger remembers.

use super::fields::Rows;
use super::macros::{message, rows};
use crate::commands::SetAccountCode as Entry;
use crate::limits::{ACCOUNT_CODE_NAME_BYTES_MAX, READ_ROWS_MAX};
use crate::{AccountKind, AssetId, NormalSide, RequestNumber, Seq, Text};

message! {
    /// Client: sets what the ledger remembers of transfers.
    SetLedgerLimits = 645 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// How long a transfer's id is remembered, from the time in it: 1 to 2,678,400,000.
        id_window_ms: u64,
        /// How far ahead of the record's time the time in an id may lie: at most 3,600,000.
        id_ahead_ms: u64,
        /// Ids remembered at most: 8,189 to 67,108,864.
        transfer_ids_max: u32,
        /// Transfers that may be pending at a time: at most 67,108,864.
        pending_transfers_max: u32,
        /// How long a transfer can be corrected, from the time in its id: 1 to 315,619,200,000.
        correction_window_ms: u64,
        /// Transfers that were corrected and still can be: at most 4,194,304.
        corrected_transfers_max: u32,
    }
}

message! {
    /// Client: sets what an account's code stands for in the chart of accounts, or that it stands for nothing.
    SetAccountCode = 646 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// Number of the command in its session.
        command_no: RequestNumber,
        /// In this ledger; 0 = in every one.
        ledger: AssetId,
        /// Not 0.
        code: u16,
        /// What its accounts are; 0 = the chart does not have it any more, and the fields behind are empty.
        kind: Option<AccountKind>,
        /// On which side what they are worth stands: as the kind demands; where it leaves it open, on either.
        normal_side: Option<NormalSide>,
        /// Of which classes they may be, of those that the kind allows; 1 = client, 2 = house, 4 = fee, 8 = external, 16 = liquidity,
        /// 32 = suspense.
        classes: u8,
        /// What the bank calls it.
        name: Text<ACCOUNT_CODE_NAME_BYTES_MAX>,
    }
}

message! {
    /// Client: the chart of accounts, a page at a time, by code, then by ledger. For the bank's own sessions.
    GetAccountCodes = 674 {
        /// Number of the request.
        seq_no: RequestNumber,
        /// The answer is as of this seq or later; 0 = of what the node has applied when it takes the question, or later.
        min_seq: Seq,
        /// It misses nothing that was acknowledged anywhere before the question.
        linearizable: bool,
        /// From this code on: 0, or as the page before said …
        from_code: u16,
        /// … and this ledger of it.
        from_ledger: AssetId,
        /// Rows at most; 1 to [`READ_ROWS_MAX`].
        limit: u32,
    }
}

message! {
    /// Server: a page of the chart of accounts.
    AccountCodes<'a> = 675 {
        /// Number of the request.
        client_seq_no: RequestNumber,
        /// As it is behind this seq.
        journal_seq: Seq,
        /// Where the next page begins: the code …
        next_code: u16,
        /// … and the ledger. Code 0 = there is no more.
        next_ledger: AssetId,
        ..
        /// By code, then by ledger.
        codes: Rows<'a, AccountCodeState, READ_ROWS_MAX>,
    }
}

rows! {
    /// What a code stands for, as [`SetAccountCode`] says it.
    pub struct AccountCodeState {
        /// In this ledger; 0 = in every one.
        pub ledger: AssetId,
        /// The code.
        pub code: u16,
        /// What its accounts are.
        pub kind: Option<AccountKind>,
        /// On which side what they are worth stands.
        pub normal_side: Option<NormalSide>,
        /// Of which classes they may be; 1 = client, 2 = house, 4 = fee, 8 = external, 16 = liquidity, 32 = suspense.
        pub classes: u8,
        /// What the bank calls it.
        pub name: Text<ACCOUNT_CODE_NAME_BYTES_MAX>,
    }
}

impl From<&Entry> for AccountCodeState {
    fn from(entry: &Entry) -> Self {
        let &Entry { ledger, code, kind, normal_side, classes, name } = entry;
        Self { ledger, code, kind, normal_side, classes, name }
    }
}
