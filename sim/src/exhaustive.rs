//! One script, crashed at every operation of the disk: by the death of the process, and by the loss of power. The only
//! chance in it is which sectors survive, and that follows from the place.

use crate::Failure;
use crate::disk::Crash;
use crate::knobs::Knobs;
use crate::world::World;

/// How long the script's clients begin new things: about 200 commands.
const SCRIPT_NS: u64 = 30_000_000;

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Operations of the script without a crash.
    pub operations: u64,
    /// Places at which a crash was tried, each in both ways.
    pub places: u64,
}

/// A crash that broke an invariant.
#[derive(Clone, Debug)]
pub struct Found {
    /// The operation in which the process died.
    pub operation: u64,
    /// How.
    pub crash: Crash,
    /// What broke.
    pub failure: Box<Failure>,
}

fn script(dies_at: Option<(u64, Crash)>) -> World {
    World::scripted(Knobs { faults_ns: SCRIPT_NS, ..Knobs::scripted() }, dies_at)
}

/// Crashes the script at every `stride`-th operation, from the `first` on; `stride` 1 is all of them.
///
/// # Errors
/// The first crash after which an invariant does not hold.
pub fn run(first: u64, stride: u64) -> Result<Summary, Found> {
    let whole = script(None).run();
    let operations = match whole {
        Ok(report) => report.operations,
        Err(failure) => return Err(Found { operation: 0, crash: Crash::Process, failure }),
    };
    let mut summary = Summary { operations, places: 0 };
    let mut operation = first.max(1);
    while operation <= operations {
        for crash in [Crash::Process, Crash::Power] {
            script(Some((operation, crash))).run().map_err(|failure| Found { operation, crash, failure })?;
        }
        summary.places += 1;
        operation += stride.max(1);
    }
    Ok(summary)
}
