//! Nobody lives on after a durable write, or a sync of the journal or of `meta`, has failed: what the disk holds is
//! unknown then, and a retry that succeeds proves nothing.

use replicas::Replica;

use super::{Checker, Violation, ensure};
use crate::disk::SimDisk;

pub(super) struct FailedWritesAbort;

impl Checker for FailedWritesAbort {
    fn turned(&mut self, _replica: &Replica<SimDisk>, disk: &SimDisk) -> Result<(), Violation> {
        let failed = disk.fatal_failures();
        ensure(failed == 0, "failed_writes_abort", || format!("{failed} failed, and the process goes on"))
    }
}
