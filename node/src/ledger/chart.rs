//! The chart of accounts, and what the ledger remembers, from the command line.

use clap::Args;
use protocol::binary::AccountCodeState;
use protocol::commands::{SetAccountCode, SetLedgerLimits};
use protocol::limits::{
    ACCOUNT_CODE_NAME_BYTES_MAX, CORRECTED_TRANSFERS_DEFAULT, CORRECTION_WINDOW_DEFAULT_MS,
};
use protocol::limits::{ID_AHEAD_DEFAULT_MS, ID_WINDOW_DEFAULT_MS};
use protocol::limits::{PENDING_TRANSFERS_DEFAULT, TRANSFER_IDS_DEFAULT};
use protocol::{AssetId, Text};
use serde::Serialize;

use super::access::Access;
use super::proposals::Order;
use crate::definitions::chart::{Said, class_words, word};
use crate::fault::NodeFault;

/// Codes that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

#[derive(Args)]
pub(crate) struct AccountCodeArgs {
    #[command(flatten)]
    order: Order,
    /// The code.
    #[arg(long)]
    code: u16,
    /// In this asset alone; without it, in every one.
    #[arg(long, value_name = "ASSET", default_value_t = 0)]
    ledger: u32,
    /// What its accounts are, such as checking, term_deposit or nostro; none = the chart does not have it any more.
    #[arg(long)]
    kind: String,
    /// debit or credit: where the kind leaves it open.
    #[arg(long, value_name = "SIDE")]
    normal_side: Option<String>,
    /// Of which class its accounts may be; may be given for each of them. Without it, of all that the kind allows.
    #[arg(long = "class", value_name = "CLASS")]
    classes: Vec<String>,
    /// What the bank calls it. It is kept for ever: name no person.
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
}

#[derive(Args)]
pub(crate) struct LimitsArgs {
    #[command(flatten)]
    order: Order,
    /// How long a transfer's id is remembered, from the time in it.
    #[arg(long, value_name = "MS", default_value_t = ID_WINDOW_DEFAULT_MS)]
    id_window_ms: u64,
    /// How far ahead of its record the time in an id may lie.
    #[arg(long, value_name = "MS", default_value_t = ID_AHEAD_DEFAULT_MS)]
    id_ahead_ms: u64,
    /// Ids remembered at most.
    #[arg(long, value_name = "N", default_value_t = TRANSFER_IDS_DEFAULT)]
    transfer_ids_max: u32,
    /// Transfers that may be pending at a time.
    #[arg(long, value_name = "N", default_value_t = PENDING_TRANSFERS_DEFAULT)]
    pending_transfers_max: u32,
    /// How long a transfer can be corrected, from the time in its id.
    #[arg(long, value_name = "MS", default_value_t = CORRECTION_WINDOW_DEFAULT_MS)]
    correction_window_ms: u64,
    /// Transfers that were corrected and still can be.
    #[arg(long, value_name = "N", default_value_t = CORRECTED_TRANSFERS_DEFAULT)]
    corrected_transfers_max: u32,
}

/// Shows the chart of accounts: of an asset what counts there, or all of it.
pub(super) fn show(access: &Access, ledger: Option<u32>) -> Result<(), NodeFault> {
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some((0, AssetId(0))));
    while let Some(first) = from {
        let page = client.account_codes(first, PAGE_ROWS, access.freshness())?;
        let counts = |of: &&AccountCodeState| ledger.is_none_or(|ledger| [0, ledger].contains(&of.ledger.0));
        lines.extend(page.codes.iter().filter(counts).map(CodeLine::of));
        from = page.next;
    }
    access.show(&lines, CodeLine::HEAD)
}

/// Sets what a code stands for.
pub(super) fn set(args: &AccountCodeArgs) -> Result<(), NodeFault> {
    let classes = (!args.classes.is_empty()).then_some(args.classes.as_slice());
    let said = Said { kind: &args.kind, normal_side: args.normal_side.as_deref(), classes };
    let entry = said.of(AssetId(args.ledger), args.code).map_err(NodeFault::Usage)?;
    let name = Text::new(&args.name)
        .map_err(|_| NodeFault::Usage(format!("--name has more than {ACCOUNT_CODE_NAME_BYTES_MAX} bytes")))?;
    args.order.give(&mut args.order.access.client()?, SetAccountCode { name, ..entry })
}

/// Sets all that the ledger remembers of transfers: what is not named is as if nobody had ever set it.
pub(super) fn set_limits(args: &LimitsArgs) -> Result<(), NodeFault> {
    let command = SetLedgerLimits {
        id_window_ms: args.id_window_ms,
        id_ahead_ms: args.id_ahead_ms,
        transfer_ids_max: args.transfer_ids_max,
        pending_transfers_max: args.pending_transfers_max,
        correction_window_ms: args.correction_window_ms,
        corrected_transfers_max: args.corrected_transfers_max,
    };
    args.order.give(&mut args.order.access.client()?, command)
}

#[derive(Serialize)]
struct CodeLine {
    code: u16,
    /// 0 = every one.
    ledger: u32,
    kind: String,
    normal_side: String,
    classes: String,
    name: String,
}

impl CodeLine {
    const HEAD: &[&str] = &["code", "ledger", "kind", "normal_side", "classes", "name"];

    fn of(state: &AccountCodeState) -> Self {
        Self {
            code: state.code,
            ledger: state.ledger.0,
            kind: state.kind.map_or(String::new(), |kind| word(kind.name())),
            normal_side: state.normal_side.map_or(String::new(), |side| word(side.name())),
            classes: class_words(state.classes),
            name: state.name.to_string(),
        }
    }
}
