//! Corrections: transfers that take back or adjust others, proposed by one and approved by another; and what corrected a transfer.

use clap::Args;
use client::TransferIds;
use protocol::commands::CorrectTransfers;
use protocol::rows::{TransferRow, transfer_flags};
use protocol::{AccountId, Amount, TransferId};

use super::TransferLine;
use super::access::Access;
use super::proposals::Wish;
use crate::fault::NodeFault;
use crate::folder;

/// Corrections that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

#[derive(Args)]
pub(crate) struct CorrectArgs {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    wish: Wish,
    /// The transfer that is corrected.
    #[arg(long, value_name = "TRANSFER")]
    transfer: u128,
    /// Why: free for the bank.
    #[arg(long, value_name = "CODE")]
    reason: u16,
    /// How much, in minor units; without it all that the transfer moved.
    #[arg(long, value_name = "UNITS")]
    amount: Option<u128>,
    /// Pays, of an adjustment; without both, it is taken back from who was paid.
    #[arg(long, value_name = "ACCOUNT", requires = "credit")]
    debit: Option<u128>,
    /// Is paid, of an adjustment.
    #[arg(long, value_name = "ACCOUNT", requires = "debit")]
    credit: Option<u128>,
    /// Its id, if it was chosen before.
    #[arg(long, value_name = "TRANSFER")]
    id: Option<u128>,
}

/// Proposes a correction of one transfer that the history has.
pub(super) fn propose(args: &CorrectArgs) -> Result<(), NodeFault> {
    let mut client = args.access.client()?;
    let original = TransferId(args.transfer);
    let (_, found) = client.lookup_transfers(&[original], args.access.freshness())?;
    let Some(state) = found.first() else { return Err(NodeFault::NotFound { missing: 1, asked: 1 }) };
    let id = match args.id {
        Some(id) => TransferId(id),
        None => TransferIds::new(u64::from_le_bytes(folder::random()?)).next(client.now()),
    };
    let row = TransferRow {
        id,
        debit_account: args.debit.map_or(state.transfer.credit_account, AccountId),
        credit_account: args.credit.map_or(state.transfer.debit_account, AccountId),
        amount: args.amount.map_or(state.transfer.amount, Amount),
        pending_id: original,
        ledger: state.transfer.ledger,
        code: state.transfer.code,
        flags: transfer_flags::CORRECTION,
        reason: args.reason,
        ..TransferRow::default()
    };
    let command = CorrectTransfers { reason: args.reason, transfers: vec![row] };
    args.wish.make(&args.access, &mut client, command)
}

/// Shows what corrected a transfer.
pub(super) fn show(access: &Access, transfer: u128) -> Result<(), NodeFault> {
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), None);
    loop {
        let page = client.corrections(TransferId(transfer), from, PAGE_ROWS, access.freshness())?;
        lines.extend(page.transfers.iter().map(TransferLine::of));
        from = page.next;
        if from.is_none() {
            return access.show(&lines, TransferLine::HEAD);
        }
    }
}
