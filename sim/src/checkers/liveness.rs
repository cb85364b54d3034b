//! Once faults stop, the cluster serves and answers everything that is open, within bounded virtual time.

use super::{Violation, ensure};

/// From the end of the last fault to a quiet world. A stalled disk, a full segment to re-write and a logon with resends
/// stay far below it.
pub(crate) const QUIET_WITHIN_NS: u64 = 20_000_000_000;

/// What is still open when the time is over.
pub(crate) fn check(serving: bool, open: &[String]) -> Result<(), Violation> {
    ensure(serving && open.is_empty(), "liveness", || {
        format!("20 s after the last fault: serving {serving}, open: {}", open.join(", "))
    })
}
