//! Whatever the clocks of a minority show, no record has a time that the others would have to wait for.

use replicas::TIME_AHEAD_NANOS_MAX;

use super::{Checker, Turned, Violation, ensure};
use crate::clock::truth;

/// What clocks that nobody sets may be off in a run: half a thousandth of it.
const SKEW_PPM_MAX: u64 = 500;

pub(super) struct TimeNotAhead {
    pub(super) nodes: usize,
}

impl Checker for TimeNotAhead {
    fn turned(&mut self, turned: &Turned<'_>) -> Result<(), Violation> {
        // One machine alone has nothing but its own clock.
        if self.nodes == 1 {
            return Ok(());
        }
        let Turned { now, place, status, .. } = *turned;
        let truth = truth(now);
        let bound = truth.plus(TIME_AHEAD_NANOS_MAX + now.0 / 1_000_000 * SKEW_PPM_MAX);
        ensure(status.time_applied <= bound, "time_not_ahead", || {
            let ahead_ms = status.time_applied.since(truth) / 1_000_000;
            format!("seq {} at replica {place} is {ahead_ms} ms ahead of the truth", status.seq_applied)
        })
    }
}
