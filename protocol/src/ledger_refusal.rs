//! Every refusal of a row of a batch, in the order of the checks: the first that applies is the answer.

use crate::wire::codes;

codes! {
    /// Why an account or a transfer of a batch was not created. Declared in the order in which the engine checks, which is not
    /// that of the codes; where TigerBeetle 0.17 has the refusal too, it has this name and this place.
    pub enum LedgerRefusal {
        /// The last row of the batch is linked to a next one.
        LinkedEventChainOpen = 2,
        /// Another row of the linked chain failed.
        LinkedEventFailed = 1,
        /// A reserved field is not 0.
        ReservedField = 3,
        /// A flag that means nothing here.
        ReservedFlag = 4,
        /// `id` is 0.
        IdMustNotBeZero = 5,
        /// `id` is the largest number.
        IdMustNotBeIntMax = 6,
        /// The time in a transfer's id lies below the floor: whether it was executed once is not remembered any more.
        IdTooOld = 7,
        /// The time in a transfer's id lies too far ahead.
        IdTooFarAhead = 8,
        /// Something is corrected, and no second actor has approved it.
        CorrectionNeedsApproval = 9,
        /// Another row has the id, of an account that the session may not debit, or of one that is not remembered any more.
        IdNotEntitled = 94,

        /// The id exists with other flags.
        ExistsWithDifferentFlags = 16,
        /// The id exists with another `pending_id`.
        ExistsWithDifferentPendingId = 17,
        /// The id exists with another `timeout_s`.
        ExistsWithDifferentTimeout = 18,
        /// The id exists with another `debit_account`.
        ExistsWithDifferentDebitAccountId = 19,
        /// The id exists with another `credit_account`.
        ExistsWithDifferentCreditAccountId = 20,
        /// The id exists with another `amount`.
        ExistsWithDifferentAmount = 21,
        /// The id exists with another `owner`.
        ExistsWithDifferentOwner = 22,
        /// The id exists with another `class`.
        ExistsWithDifferentClass = 23,
        /// The id exists with another `user_data_128`.
        ExistsWithDifferentUserData128 = 24,
        /// The id exists with another `user_data_64`.
        ExistsWithDifferentUserData64 = 25,
        /// The id exists with another `user_data_32`.
        ExistsWithDifferentUserData32 = 26,
        /// The id exists with another `ledger`.
        ExistsWithDifferentLedger = 27,
        /// The id exists with another `code`.
        ExistsWithDifferentCode = 28,
        /// The id exists with another `value_date`.
        ExistsWithDifferentValueDate = 30,
        /// The id exists with another `reason`.
        ExistsWithDifferentReason = 31,
        /// The id exists with the same fields: created before, at the seq that is named.
        Exists = 29,

        /// The flags contradict each other.
        FlagsAreMutuallyExclusive = 32,
        /// `value_date` is not 0, and further from the business date than it may be, or there is no business date.
        ValueDateOutOfRange = 33,
        /// `reason` is not 0, and nothing is corrected.
        ReasonReservedForCorrection = 34,
        /// `debit_account` is 0.
        DebitAccountIdMustNotBeZero = 35,
        /// `debit_account` is the largest number.
        DebitAccountIdMustNotBeIntMax = 36,
        /// `credit_account` is 0.
        CreditAccountIdMustNotBeZero = 37,
        /// `credit_account` is the largest number.
        CreditAccountIdMustNotBeIntMax = 38,
        /// Both accounts are the same.
        AccountsMustBeDifferent = 39,
        /// `pending_id` is not 0, and nothing is posted, voided or corrected.
        PendingIdMustBeZero = 40,
        /// Something is posted, voided or corrected, and `pending_id` is 0.
        PendingIdMustNotBeZero = 41,
        /// `pending_id` is the largest number.
        PendingIdMustNotBeIntMax = 42,
        /// `pending_id` is the row's own id.
        PendingIdMustBeDifferent = 43,
        /// `timeout_s` is not 0, and nothing becomes pending.
        TimeoutReservedForPendingTransfer = 44,
        /// A transfer that closes an account is not pending.
        ClosingTransferMustBePending = 45,
        /// A chain is settled in full: `amount` is neither that of all nor left to the chain.
        WholeChainMustBeInFull = 46,
        /// No class has this number.
        ClassNotFound = 47,
        /// An account of a client has an owner, and no other has.
        OwnerMustMatchClass = 48,
        /// `ledger` is 0.
        LedgerMustNotBeZero = 49,
        /// `code` is 0.
        CodeMustNotBeZero = 50,
        /// The time in the id of the transfer that is corrected lies too far back: it cannot be corrected any more.
        CorrectedTransferTooOld = 90,
        /// No transfer has the id of the one that is corrected.
        CorrectedTransferNotFound = 51,
        /// The transfer that is corrected moved nothing itself: it was pending, or voided another.
        CorrectedTransferNotPosted = 52,
        /// `ledger` is not that of the transfer that is corrected.
        CorrectedTransferHasDifferentLedger = 53,
        /// More would be reversed than the transfer that is corrected has moved.
        ExceedsCorrectedTransfer = 54,
        /// As many transfers were corrected, and still can be, as may be.
        TooManyCorrections = 55,

        /// No asset has this number.
        LedgerNotFound = 56,
        /// There is a chart of accounts, and it has no such code in this ledger.
        CodeNotFound = 91,
        /// Accounts of this code are of other classes.
        CodeExcludesClass = 92,
        /// With this limit an account could never stand on the side on which accounts of its code do.
        LimitAgainstNormalSide = 93,
        /// Orders settle through accounts of clients and the house alone, and through one for each owner and ledger.
        SettlementAccountExists = 57,
        /// There are as many accounts as there may be.
        TooManyAccounts = 58,
        /// The debit account does not exist.
        DebitAccountNotFound = 59,
        /// The credit account does not exist.
        CreditAccountNotFound = 60,
        /// The accounts are in different ledgers.
        AccountsMustHaveTheSameLedger = 61,
        /// `ledger` is not that of the accounts.
        TransferMustHaveTheSameLedgerAsAccounts = 62,
        /// No transfer has the id `pending_id`, or none whose debit account the session may debit.
        PendingTransferNotFound = 63,
        /// The transfer `pending_id` was never pending.
        PendingTransferNotPending = 64,
        /// `debit_account` is not 0 and not that of the pending transfer.
        PendingTransferHasDifferentDebitAccountId = 65,
        /// `credit_account` is not 0 and not that of the pending transfer.
        PendingTransferHasDifferentCreditAccountId = 66,
        /// `ledger` is not 0 and not that of the pending transfer.
        PendingTransferHasDifferentLedger = 67,
        /// `code` is not 0 and not that of the pending transfer.
        PendingTransferHasDifferentCode = 68,
        /// More than is pending.
        ExceedsPendingTransferAmount = 69,
        /// A void releases everything: `amount` is neither 0 nor all.
        PendingTransferHasDifferentAmount = 70,
        /// It was posted before.
        PendingTransferAlreadyPosted = 71,
        /// It was voided before.
        PendingTransferAlreadyVoided = 72,
        /// Its time is over.
        PendingTransferExpired = 73,
        /// The chains that the batch settles as a whole have more parts than one batch may look at.
        TooManyChainParts = 89,
        /// The session may not move this account's money.
        DebitAccountNotEntitled = 74,
        /// Flags that only a CASHIER may use: `closing_debit`, `closing_credit`, `balancing_credit`.
        FlagsNotEntitled = 87,
        /// A CASHIER made it pending, and the session's actor is none.
        PendingTransferNotEntitled = 88,
        /// The debit account is closed.
        DebitAccountAlreadyClosed = 75,
        /// The credit account is closed.
        CreditAccountAlreadyClosed = 76,
        /// As many transfers are pending as may be.
        TooManyPendingTransfers = 77,
        /// Pending debits would exceed the largest number.
        OverflowsDebitsPending = 78,
        /// Pending credits would exceed the largest number.
        OverflowsCreditsPending = 79,
        /// Posted debits would exceed the largest number.
        OverflowsDebitsPosted = 80,
        /// Posted credits would exceed the largest number.
        OverflowsCreditsPosted = 81,
        /// Debits, pending and posted, would exceed the most that the account may have.
        OverflowsDebits = 82,
        /// Credits, pending and posted, would exceed the most that the account may have.
        OverflowsCredits = 83,
        /// The time at which it would expire is beyond all times.
        OverflowsTimeout = 84,
        /// The debit account's debits would exceed its credits.
        ExceedsCredits = 85,
        /// The credit account's credits would exceed its debits.
        ExceedsDebits = 86,
    }
}

impl LedgerRefusal {
    /// Whether it depends on a state that may change: the id is remembered with it, and a retry gets the same answer.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::LedgerNotFound
                | Self::DebitAccountNotFound
                | Self::CreditAccountNotFound
                | Self::PendingTransferNotFound
                | Self::DebitAccountNotEntitled
                | Self::FlagsNotEntitled
                | Self::PendingTransferNotEntitled
                | Self::DebitAccountAlreadyClosed
                | Self::CreditAccountAlreadyClosed
                | Self::TooManyPendingTransfers
                | Self::ExceedsCredits
                | Self::ExceedsDebits
        )
    }
}
