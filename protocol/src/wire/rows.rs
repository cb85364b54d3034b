//! Rows of the ledger's batches: integers only, one behind the other, so that a batch goes from a client's socket through the
//! journal to the engine as the same bytes.

use super::fields::{AsField, FieldValue};
use super::{WireFault, commands};
use crate::limits::LEDGER_ROWS_MAX;
use crate::{
    AccountId, Amount, AssetId, ClientId, LedgerRefusal, MarketId, MarketPhase, PriceTicks, QtyLots,
    RejectReason, Seq, TradePart, TransferId,
};

/// A list of fields that is part of messages, frozen as they are.
macro_rules! rows {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$field_doc:meta])* pub $field:ident: $type:ty, )*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        pub struct $name { $( $(#[$field_doc])* pub $field: $type, )* }

        impl AsField for $name {
            fn as_field(&self) -> FieldValue<'_> {
                FieldValue::Fields(vec![ $( (stringify!($field), self.$field.as_field()), )* ])
            }
        }
    )*};
}
pub(super) use rows;

rows! {
    /// A transfer to be created.
    #[derive(Default)]
    pub struct TransferRow {
        /// Never executed twice: Unix milliseconds in the upper 48 bits (RFC 9562, version 7), the rest as the client likes.
        pub id: TransferId,
        /// Pays. Posting or voiding: 0, or that of the pending transfer.
        pub debit_account: AccountId,
        /// Is paid. Posting or voiding: 0, or that of the pending transfer.
        pub credit_account: AccountId,
        /// How much. Balancing: at most. Posting: at most what is pending, or the largest number for all. Voiding: 0, or all.
        pub amount: Amount,
        /// The transfer that is posted, voided or corrected; else 0.
        pub pending_id: TransferId,
        /// Free for the client. Posting or voiding: 0 = that of the pending transfer.
        pub user_data_128: u128,
        /// Likewise.
        pub user_data_64: u64,
        /// Likewise.
        pub user_data_32: u32,
        /// A pending transfer expires so many seconds after its record; 0 = never.
        pub timeout_s: u32,
        /// The asset of both accounts. Posting or voiding: 0, or that of the pending transfer.
        pub ledger: AssetId,
        /// Why; not 0. Posting or voiding: 0, or that of the pending transfer.
        pub code: u16,
        /// Bits of [`transfer_flags`].
        pub flags: u16,
        /// From which day on it bears interest: days since 1970-01-01; 0 = the business date.
        pub value_date: u32,
        /// Why something is corrected; 0 = nothing is.
        pub reason: u16,
        /// 0.
        pub reserved: u16,
    }

    /// An account to be created.
    #[derive(Default)]
    pub struct AccountRow {
        /// The account.
        pub id: AccountId,
        /// Free for the client.
        pub user_data_128: u128,
        /// Whose it is; 0 = the house's.
        pub owner: ClientId,
        /// Free for the client.
        pub user_data_64: u64,
        /// Free for the client.
        pub user_data_32: u32,
        /// Its asset.
        pub ledger: AssetId,
        /// Its place in the chart of accounts; not 0.
        pub code: u16,
        /// Bits of [`account_flags`].
        pub flags: u16,
        /// Code of an [`crate::AccountClass`].
        pub class: u16,
        /// 0.
        pub reserved: u16,
    }

    /// A row that was not created now.
    pub struct RowResult {
        /// Its place in the batch, from 0.
        pub index: u32,
        /// Why.
        pub refusal: LedgerRefusal,
        /// Where that was decided: of a repetition, the seq of the first time.
        pub seq: Seq,
    }

    /// What a row moved or reserved.
    pub struct RowAmount {
        /// Its place in the batch, from 0.
        pub index: u32,
        /// How much.
        pub amount: Amount,
    }

    /// A posting of a trade, or of what changed one.
    pub struct TradePosting {
        /// Which.
        pub part: TradePart,
        /// Pays.
        pub debit_account: AccountId,
        /// Is paid.
        pub credit_account: AccountId,
        /// How much.
        pub amount: Amount,
    }

    /// What a client pays whose volume is not below `volume_min`.
    pub struct FeeTier {
        /// In quote: what the client traded in the market on the 30 UTC days before the day of its order.
        pub volume_min: Amount,
        /// Fee of the resting side, in millionths of the notional.
        pub maker_ppm: u32,
        /// Whether it is paid to that side instead: a rebate.
        pub maker_is_paid: bool,
        /// Fee of the incoming side, in millionths of the notional.
        pub taker_ppm: u32,
    }

    /// When a market goes into which phase.
    pub struct ScheduledPhase {
        /// On which days, as bits of [`schedule_days`]; not 0.
        pub days: u8,
        /// Milliseconds from midnight of the market's local time; less than a day.
        pub at_ms: u32,
        /// From then on.
        pub phase: MarketPhase,
    }

    /// A quote of a mass quote: a bid and an offer.
    pub struct QuoteEntry {
        /// QuoteEntryID(299): names the quote among those of its session, client and market.
        pub entry: u32,
        /// Symbol(55).
        pub market: MarketId,
        /// BidPx(132).
        pub bid_price_ticks: PriceTicks,
        /// BidSize(134): so much is bid for from now on; 0 = nothing.
        pub bid_lots: QtyLots,
        /// OfferPx(133).
        pub offer_price_ticks: PriceTicks,
        /// OfferSize(135): so much is offered from now on; 0 = nothing.
        pub offer_lots: QtyLots,
    }

    /// A quote that was not taken: nothing of it stands.
    pub struct QuoteRefusal {
        /// QuoteEntryID(299).
        pub entry: u32,
        /// Symbol(55).
        pub market: MarketId,
        /// Why; QuoteEntryRejectReason(368).
        pub reason: RejectReason,
    }

    /// Sums over the accounts of a ledger; the largest number = that or more.
    pub struct LedgerTotals {
        /// Their asset.
        pub ledger: AssetId,
        /// Pending debits.
        pub debits_pending: Amount,
        /// Posted debits.
        pub debits_posted: Amount,
        /// Pending credits.
        pub credits_pending: Amount,
        /// Posted credits.
        pub credits_posted: Amount,
        /// How many.
        pub accounts: u64,
    }
}

/// Bits of [`ScheduledPhase::days`].
pub mod schedule_days {
    /// Mondays; the other days of the week are the six bits above.
    pub const MONDAY: u8 = 1;
    /// All days of the week.
    pub const WEEK: u8 = 0x7F;
    /// The days that the schedule calls short, on which no other entries count.
    pub const SHORT_DAYS: u8 = 0x80;
}

/// Bits of [`TransferRow::flags`].
pub mod transfer_flags {
    /// Stands or falls with the next row.
    pub const LINKED: u16 = 1;
    /// Reserves, and moves nothing yet.
    pub const PENDING: u16 = 2;
    /// Moves what is pending, or less; the rest is released.
    pub const POST_PENDING_TRANSFER: u16 = 4;
    /// Releases what is pending.
    pub const VOID_PENDING_TRANSFER: u16 = 8;
    /// Moves at most what brings the debit account's debits up to its credits.
    pub const BALANCING_DEBIT: u16 = 16;
    /// Moves at most what brings the credit account's credits up to its debits.
    pub const BALANCING_CREDIT: u16 = 32;
    /// Closes the debit account as long as it is pending.
    pub const CLOSING_DEBIT: u16 = 64;
    /// Closes the credit account as long as it is pending.
    pub const CLOSING_CREDIT: u16 = 128;
    /// Corrects the transfer `pending_id`, for `reason`; only with two actors' approval.
    pub const CORRECTION: u16 = 256;
    /// Posts or voids everything that became pending in one linked chain with `pending_id`, in full.
    pub const WHOLE_CHAIN: u16 = 512;
    /// All of them.
    pub const ALL: u16 = LINKED
        | PENDING
        | POST_PENDING_TRANSFER
        | VOID_PENDING_TRANSFER
        | BALANCING_DEBIT
        | BALANCING_CREDIT
        | CLOSING_DEBIT
        | CLOSING_CREDIT
        | CORRECTION
        | WHOLE_CHAIN;
}

/// Bits of [`AccountRow::flags`].
pub mod account_flags {
    /// Stands or falls with the next row.
    pub const LINKED: u16 = 1;
    /// Its debits, pending and posted, never exceed its posted credits.
    pub const DEBITS_MUST_NOT_EXCEED_CREDITS: u16 = 2;
    /// Its credits, pending and posted, never exceed its posted debits.
    pub const CREDITS_MUST_NOT_EXCEED_DEBITS: u16 = 4;
    /// Nothing is moved or reserved of it, and no new order pays from it or into it. Live orders are filled.
    pub const CLOSED: u16 = 32;
    /// Orders of its owner settle through it.
    pub const SETTLEMENT: u16 = 64;
    /// All of them.
    pub const ALL: u16 =
        LINKED | DEBITS_MUST_NOT_EXCEED_CREDITS | CREDITS_MUST_NOT_EXCEED_DEBITS | CLOSED | SETTLEMENT;
}

/// Bytes of an [`AccountRow`].
pub const ACCOUNT_ROW_BYTES: usize = 64;
/// Bytes of a [`TransferRow`].
pub const TRANSFER_ROW_BYTES: usize = 128;
/// Bytes behind the rows in the body of a batch: where they begin, and how many they are.
pub const ROWS_END_BYTES: usize = 8;

const _: () = {
    assert!(size_of::<ArchivedTransferRow>() == TRANSFER_ROW_BYTES);
    assert!(size_of::<ArchivedAccountRow>() == ACCOUNT_ROW_BYTES);
    assert!(align_of::<ArchivedTransferRow>() == 1 && align_of::<ArchivedAccountRow>() == 1);
};

impl ArchivedTransferRow {
    /// The row's values.
    #[inline]
    #[must_use]
    pub const fn read(&self) -> TransferRow {
        TransferRow {
            id: TransferId(self.id.0.to_native()),
            debit_account: AccountId(self.debit_account.0.to_native()),
            credit_account: AccountId(self.credit_account.0.to_native()),
            amount: Amount(self.amount.0.to_native()),
            pending_id: TransferId(self.pending_id.0.to_native()),
            user_data_128: self.user_data_128.to_native(),
            user_data_64: self.user_data_64.to_native(),
            user_data_32: self.user_data_32.to_native(),
            timeout_s: self.timeout_s.to_native(),
            ledger: AssetId(self.ledger.0.to_native()),
            code: self.code.to_native(),
            flags: self.flags.to_native(),
            value_date: self.value_date.to_native(),
            reason: self.reason.to_native(),
            reserved: self.reserved.to_native(),
        }
    }
}

impl TransferRow {
    /// Appends the row's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        super::archive(self, out);
    }

    /// The row of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; TRANSFER_ROW_BYTES]) -> Option<Self> {
        rkyv::access::<ArchivedTransferRow, rkyv::rancor::Failure>(bytes).ok().map(ArchivedTransferRow::read)
    }
}

impl AccountRow {
    /// Appends the row's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        super::archive(self, out);
    }
}

/// The rows of the body of a [`commands::CreateTransfers`], in place.
///
/// # Errors
/// [`WireFault::Malformed`] for what that command's encoding does not write, and for more than [`LEDGER_ROWS_MAX`] rows.
pub fn transfers(body: &[u8]) -> Result<&[ArchivedTransferRow], WireFault> {
    let fault = WireFault::Malformed { kind: commands::CreateTransfers::KIND };
    let archived = rkyv::access::<commands::ArchivedCreateTransfers, rkyv::rancor::Failure>(body);
    let rows = archived.map_err(|_| fault)?.transfers.as_slice();
    if rows.len() <= LEDGER_ROWS_MAX { Ok(rows) } else { Err(fault) }
}

/// Appends what stands behind `count` rows of `row_bytes` bytes in the body of a batch.
pub fn end_rows(count: u32, row_bytes: u32, body: &mut Vec<u8>) {
    // rkyv's list: how far it is from here to the first row, and how many they are.
    let back = count.wrapping_mul(row_bytes).wrapping_neg();
    body.extend_from_slice(&back.to_le_bytes());
    body.extend_from_slice(&count.to_le_bytes());
}
