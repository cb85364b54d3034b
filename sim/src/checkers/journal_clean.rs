//! After a stop in good order a stranger finds a clean journal, and in it exactly the log that was made durable.

use journal::classify::Verdict;

use super::{Violation, ensure};
use crate::disk::SimDisk;
use crate::mirror::Mirror;

/// After a process stopped with nothing under way.
pub(crate) fn after_stop(mirror: &Mirror, disk: &SimDisk) -> Result<(), Violation> {
    let findings = mirror.agrees_with(disk)?;
    // A torn tail that nobody has written behind since stays one.
    ensure(findings.verdict == Verdict::Clean, "journal_clean", || {
        format!(
            "{:?} ({}) at {}, block {}, watermark {}, damage {:?}",
            findings.verdict,
            findings.row.name,
            findings.end,
            findings.last_block,
            findings.watermark,
            findings.damage.map(|damage| damage.kind)
        )
    })
}
