//! State is a function of the journal: re-run on a fresh engine it gives the effects that every proposer recorded (the
//! witness checks each frame) and, at the same index, the same rolling hash and the same state.

use super::{Checker, Served, Violation, ensure};

const NAME: &str = "same_hash";

pub(super) struct SameHash;

impl Checker for SameHash {
    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        let status = served.replica.status();
        ensure(status.halted.is_none(), NAME, || format!("{:?}", status.halted))?;
        let witness = served.witness;
        ensure(status.seq_applied == witness.engine().seq_applied(), NAME, || {
            format!("applied up to {}, journal up to {}", status.seq_applied, witness.engine().seq_applied())
        })?;
        let same = status.effect_hash == witness.effect_hash();
        ensure(same || served.is_corrupt, NAME, || {
            format!(
                "effects {} at seq {}, re-run {}",
                status.effect_hash,
                status.seq_applied,
                witness.effect_hash()
            )
        })?;
        let (here, there) = (served.replica.engine().state_hash(), witness.engine().state_hash());
        ensure(here == there, NAME, || format!("state {here} at seq {}, re-run {there}", status.seq_applied))
    }
}
