//! Nobody lives on after a durable write, or a sync of the journal or of `meta`, has failed: what the disk holds is
//! unknown then, and a retry that succeeds proves nothing.

use super::{Checker, Turned, Violation, ensure};

pub(super) struct FailedWritesAbort;

impl Checker for FailedWritesAbort {
    fn turned(&mut self, turned: &Turned<'_>) -> Result<(), Violation> {
        let failed = turned.disk.fatal_failures();
        ensure(failed == 0, "failed_writes_abort", || format!("{failed} failed, and the process goes on"))
    }
}
