//! What a majority of the replicas has decided about effects that differed, by the file `divergence`: a recorded hash that was outvoted
//! is no damage, and who was found to be wrong is told of. Neither is silent, and neither is believed where the engine says otherwise.

use journal::divergence::{Divergence, Outvoted, Quarantine};
use protocol::hash::Hash;
use protocol::{Index, Seq};

use crate::finding::{Finding, Grade};

/// What was decided, and what re-running has made of it.
pub(crate) struct Verdicts {
    known: Divergence,
    /// What follows up to the seq of the quarantine, once the run has come there.
    at_quarantine: Option<Hash>,
    /// The first entry with a recorded hash that does not count, and how many there are.
    first: Option<(Index, Seq, Hash, Hash)>,
    count: u64,
}

impl Verdicts {
    pub(crate) fn of(known: &Divergence) -> Self {
        Self { known: known.clone(), at_quarantine: None, first: None, count: 0 }
    }

    /// The run has come to `seq`, where effects have this hash.
    pub(crate) fn reach(&mut self, seq: Seq, computed: Hash) {
        if self.known.quarantine.as_ref().is_some_and(|quarantine| quarantine.seq == seq) {
            self.at_quarantine = Some(computed);
        }
    }

    /// Whether it is known that what entry `index` records of `seq` does not count. What a replica recorded that was found to be
    /// wrong does not, from that place on, if the run agrees with the majority.
    pub(crate) fn is_outvoted(&mut self, index: Index, seq: Seq, recorded: Hash, computed: Hash) -> bool {
        let is_listed = self.known.outvoted.contains(&Outvoted { seq, recorded, computed });
        let is_own = |wrong: &Quarantine| seq >= wrong.seq && self.at_quarantine == Some(wrong.theirs);
        if !is_listed && !self.known.quarantine.as_ref().is_some_and(is_own) {
            return false;
        }
        self.first.get_or_insert((index, seq, recorded, computed));
        self.count += 1;
        true
    }

    /// For the report.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some((index, seq, recorded, computed)) = self.first {
            let what = format!(
                "effects recorded up to seq {seq} were outvoted by a majority of the replicas, which had what follows here; {} such hashes",
                self.count
            );
            findings
                .push(Finding::new(Grade::Notice, what).index(index).seq(seq).differs(computed, recorded));
        }
        if let Some(wrong) = &self.known.quarantine {
            let part = if wrong.part.is_empty() { "" } else { "; what differed first: " };
            let (grade, here) = match self.at_quarantine {
                Some(hash) if hash == wrong.theirs => (
                    Grade::Notice,
                    "what follows here is what the majority had: the replica had gone wrong, and its journal is right",
                ),
                Some(hash) if hash == wrong.ours => (
                    Grade::Doubt,
                    "what follows here is what this replica had: the majority runs another program, or has gone wrong",
                ),
                Some(_) => (Grade::Doubt, "what follows here is neither"),
                None => (Grade::Notice, "it was not re-run up to there"),
            };
            let what =
                format!("this replica was found to be wrong by a majority{part}{}; {here}", wrong.part);
            let finding = Finding::new(grade, what).at(journal::divergence::file()).seq(wrong.seq);
            findings.push(finding.differs(wrong.theirs, wrong.ours));
        }
        findings
    }
}
