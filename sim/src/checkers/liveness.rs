//! Once faults stop, somebody leads and everything that is open is answered, within bounded virtual time.

use replicas::Timing;

use super::{Violation, ensure};

/// From the end of the last fault to a quiet world. A stalled disk, a full segment to re-write and a logon with resends
/// stay far below it.
pub(crate) const QUIET_WITHIN_NS: u64 = 20_000_000_000;

/// Ten times the longest election window.
pub(crate) fn leader_within_ns(nodes: usize) -> u64 {
    let Timing { tick_ms, election_ticks, grace_ticks, stagger_ticks, .. } = Timing::LAN;
    10 * tick_ms * 1_000_000 * (election_ticks + grace_ticks + stagger_ticks * nodes) as u64
}

/// Ten times the pause between two pulses of a leader, and an election timeout: so long a leader proposes nothing where whoever was offered the
/// lead does not take it.
const TIMER_WITHIN_NS: u64 = {
    let Timing { tick_ms, election_ticks, .. } = Timing::LAN;
    100_000_000 + tick_ms * 1_000_000 * election_ticks as u64
};

/// Nothing else is under way, and a timer has been due for so long.
pub(crate) fn check_timer(due_ns: u64, standing: impl FnOnce() -> Vec<String>) -> Result<(), Violation> {
    ensure(due_ns <= TIMER_WITHIN_NS, "liveness", || {
        let standing = standing().join("\n");
        format!("a timer is due for {} ms, and whoever leads does nothing\n{standing}", due_ns / 1_000_000)
    })
}

/// What is still open when the time is over.
pub(crate) fn check(standing: &[String], open: &[String]) -> Result<(), Violation> {
    ensure(false, "liveness", || {
        format!("20 s after the last fault: open: {}\n{}", open.join(", "), standing.join("\n"))
    })
}

/// Nobody leads when the time is over.
pub(crate) fn no_leader(standing: &[String]) -> Result<(), Violation> {
    ensure(false, "liveness", || {
        format!("nobody leads ten election windows after the last fault\n{}", standing.join("\n"))
    })
}
