//! A loss of power leaves a clean journal or a torn tail, never one that cannot be judged or has to be repaired: one write
//! is in flight at a time, and a sector is written whole or not at all. After a stop in good order it is clean.

use journal::classify::Verdict;
use journal::survey::Findings;

use super::{Violation, ensure};

const NAME: &str = "journal_clean";

/// Before a process starts.
pub(crate) fn before_start(findings: &Findings) -> Result<(), Violation> {
    ensure(matches!(findings.verdict, Verdict::Clean | Verdict::Torn), NAME, || describe(findings))
}

/// After a process stopped with nothing under way.
pub(crate) fn after_stop(findings: &Findings) -> Result<(), Violation> {
    ensure(findings.verdict == Verdict::Clean, NAME, || describe(findings))
}

fn describe(findings: &Findings) -> String {
    format!(
        "{:?} ({}) at {}, block {}, watermark {}, damage {:?}",
        findings.verdict,
        findings.row.name,
        findings.end,
        findings.last_block,
        findings.watermark,
        findings.damage.map(|damage| damage.kind)
    )
}
