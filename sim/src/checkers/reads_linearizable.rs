//! A linearizable read misses nothing that anybody knew to be committed when it was asked for, and sees nothing that the
//! replica has not applied: its index lies between the two, and the state that was seen is the committed log's.

use super::{Checker, Served, Violation, ensure};
use crate::workload::reader::Read;

const NAME: &str = "reads_linearizable";

#[derive(Default)]
pub(super) struct ReadsLinearizable {
    /// States that the witness has not come to yet.
    unconfirmed: Vec<Read>,
}

impl Checker for ReadsLinearizable {
    fn read(&mut self, read: &Read) -> Result<(), Violation> {
        ensure(read.floor <= read.index && read.index <= read.applied, NAME, || {
            format!("{read:?}: the index lies outside of what was committed before and applied behind")
        })?;
        self.unconfirmed.push(*read);
        Ok(())
    }

    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        let witness = served.witness;
        for read in self.unconfirmed.extract_if(.., |read| read.applied <= witness.applied()) {
            let (seq, effects) = (witness.seq_at(read.index), witness.effects_at(read.seq));
            ensure(seq.is_some_and(|seq| seq <= read.seq), NAME, || {
                format!("{read:?} saw less than the index says: that entry ends at seq {seq:?}")
            })?;
            ensure(effects == Some(read.effect_hash), NAME, || {
                format!("{read:?} saw another state than the log gives: {effects:?}")
            })?;
        }
        Ok(())
    }
}
