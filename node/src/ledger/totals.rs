//! Totals from the command line.

use client::TotalKey;
use protocol::AssetId;
use protocol::binary::TotalState;
use serde::Serialize;

use super::access::Access;
use super::class_name;
use crate::fault::NodeFault;

/// Totals that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

/// Shows the totals of a ledger, or of all.
pub(super) fn show(access: &Access, ledger: Option<u32>) -> Result<(), NodeFault> {
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some(TotalKey::default()));
    while let Some(first) = from {
        let page = client.totals(ledger.map(AssetId), first, PAGE_ROWS, access.freshness())?;
        lines.extend(page.totals.iter().map(TotalLine::of));
        from = page.next;
    }
    access.show(&lines, TotalLine::HEAD)
}

#[derive(Serialize)]
struct TotalLine {
    ledger: u32,
    code: u16,
    class: String,
    accounts: u64,
    debits_pending: String,
    debits_posted: String,
    credits_pending: String,
    credits_posted: String,
}

impl TotalLine {
    const HEAD: &[&str] = &[
        "ledger",
        "code",
        "class",
        "accounts",
        "debits_pending",
        "debits_posted",
        "credits_pending",
        "credits_posted",
    ];

    fn of(state: &TotalState) -> Self {
        Self {
            ledger: state.ledger.0,
            code: state.code,
            class: class_name(state.class),
            accounts: state.accounts,
            debits_pending: state.debits_pending.0.to_string(),
            debits_posted: state.debits_posted.0.to_string(),
            credits_pending: state.credits_pending.0.to_string(),
            credits_posted: state.credits_posted.0.to_string(),
        }
    }
}
