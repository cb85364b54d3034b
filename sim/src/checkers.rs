//! The invariants, one file each. A checker sees what left a process, every turn, and every life once it serves, together
//! with the [`crate::witness::Witness`]: the committed log, re-run from its first record on an engine of its own.

mod acked_survives;
mod at_most_once;
mod consensus;
mod days;
mod failed_writes_abort;
pub(crate) mod journal_clean;
pub(crate) mod liveness;
mod money_conserved;
mod outputs_gapless;
mod reads_linearizable;
mod same_hash;
pub(crate) mod snapshots_survive;
mod standing_orders;
mod time_not_ahead;
mod transfers;

use protocol::MonoNanos;
use protocol::event::Event;
use protocol::rows::RowResult;
use replicas::{Replica, Status};

use crate::disk::SimDisk;
use crate::network::Carried;
use crate::witness::Witness;
use crate::workload::Workload;
use crate::workload::reader::Read;

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file in `checkers/`.
    pub invariant: &'static str,
    /// What was expected, and what was found.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Fails with `what` unless `holds`.
pub(crate) fn ensure(
    holds: bool,
    invariant: &'static str,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

/// The rows of a batch that were created.
pub(crate) fn created<'a, R>(rows: &'a [R], exceptions: &'a [RowResult]) -> impl Iterator<Item = &'a R> {
    let mut exceptions = exceptions.iter().peekable();
    let mut is_created = move |index| exceptions.next_if(|exception| exception.index == index).is_none();
    (0..).zip(rows).filter_map(move |(index, row)| is_created(index).then_some(row))
}

/// A process that has everything, and what the outside knows about it.
pub(crate) struct Served<'a> {
    pub(crate) replica: &'a mut Replica<SimDisk>,
    pub(crate) disk: &'a SimDisk,
    /// It is known to be wrong about its effects.
    pub(crate) is_corrupt: bool,
    pub(crate) witness: &'a Witness,
    pub(crate) workload: &'a Workload,
}

/// A process behind a turn.
pub(crate) struct Turned<'a> {
    pub(crate) now: MonoNanos,
    pub(crate) place: usize,
    /// It is known to be wrong about its effects.
    pub(crate) is_corrupt: bool,
    pub(crate) status: &'a Status,
    pub(crate) disk: &'a SimDisk,
}

/// One invariant.
pub(crate) trait Checker {
    /// A process begins its life.
    fn started(&mut self, _place: usize) {}
    /// `event` left a process.
    fn sent(&mut self, _event: &Event) -> Result<(), Violation> {
        Ok(())
    }
    /// `message` left a process.
    fn carried(&mut self, _message: &Carried) -> Result<(), Violation> {
        Ok(())
    }
    /// A linearizable read was answered.
    fn read(&mut self, _read: &Read) -> Result<(), Violation> {
        Ok(())
    }
    /// A process made a turn and lives.
    fn turned(&mut self, _turned: &Turned<'_>) -> Result<(), Violation> {
        Ok(())
    }
    /// A process serves for the first time in its life or its term, or has everything at the end of the run. The witness
    /// has run as far as it has.
    fn served(&mut self, _served: &mut Served<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// All of them, for a world of so many replicas.
pub(crate) fn all(nodes: usize) -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(consensus::Consensus::default()),
        Box::new(acked_survives::AckedSurvives::default()),
        Box::new(same_hash::SameHash),
        Box::new(money_conserved::MoneyConserved::default()),
        Box::new(at_most_once::AtMostOnce::default()),
        Box::new(outputs_gapless::OutputsGapless),
        Box::new(failed_writes_abort::FailedWritesAbort),
        Box::new(reads_linearizable::ReadsLinearizable::default()),
        Box::new(time_not_ahead::TimeNotAhead { nodes }),
    ]
}
