//! What the end of a journal means after a crash: one total table. Pure; [`crate::survey`] gathers the facts.
//!
//! A block that may have been acknowledged is never given up here: only what is provably unfinished is cut off, and
//! what cannot be told is said to be so.

use std::ops::RangeInclusive;

use protocol::{Index, Term};

/// The first 512 bytes at the place where the next block would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderState {
    /// The pattern that the segment was filled with: no block was begun here, or its first sector never arrived.
    Absent,
    /// A block's header with its checksum, written for this place.
    Valid,
    /// Anything else.
    Bad,
}

/// What is known about the place where whole, linked blocks end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Something found elsewhere says that a newer block was durable: the watermark is above the last whole block.
    pub durable_above: bool,
    /// A newer block's header lies where it does not belong.
    pub astray: bool,
    /// Everything from here to the end of the segment is the pattern.
    pub rest_untouched: bool,
    /// What is here.
    pub header: HeaderState,
    /// At least one sector of the block (of its first page, where its length cannot be read) is still the pattern.
    pub unwritten_sector: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on behind the last whole block.
    Clean,
    /// The same, after the rest of the segment was filled with the pattern again: a write that never finished, and so
    /// was never acknowledged.
    Torn,
    /// Blocks that were durable are damaged or gone: bring them back from a peer; never cut.
    Repair,
    /// A block that may or may not have been durable: ask the others, or the operator.
    Suspect,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name, for reports.
    pub name: &'static str,
    durable_above: Option<bool>,
    astray: Option<bool>,
    rest_untouched: Option<bool>,
    header: Option<HeaderState>,
    unwritten_sector: Option<bool>,
    /// What it says.
    pub action: Action,
}

const ANY: Option<bool> = None;
const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
use HeaderState::{Absent, Bad, Valid};

/// Exactly one row matches any facts.
pub const TABLE: [Row; 8] = [
    row("a durable block is damaged or gone", YES, ANY, ANY, None, ANY, Action::Repair),
    row("a newer block lies astray", NO, YES, ANY, None, ANY, Action::Suspect),
    row("nothing behind the last block", NO, NO, YES, None, ANY, Action::Clean),
    row("a block without its first sector", NO, NO, NO, Some(Absent), ANY, Action::Torn),
    row("a block with an unwritten sector", NO, NO, NO, Some(Valid), YES, Action::Torn),
    row("a page with an unwritten sector", NO, NO, NO, Some(Bad), YES, Action::Torn),
    row("a block written to its end, not valid", NO, NO, NO, Some(Valid), NO, Action::Suspect),
    row("no block, no pattern", NO, NO, NO, Some(Bad), NO, Action::Suspect),
];

const fn row(
    name: &'static str,
    durable_above: Option<bool>,
    astray: Option<bool>,
    rest_untouched: Option<bool>,
    header: Option<HeaderState>,
    unwritten_sector: Option<bool>,
    action: Action,
) -> Row {
    Row { name, durable_above, astray, rest_untouched, header, unwritten_sector, action }
}

impl Row {
    fn matches(&self, facts: &Facts) -> bool {
        let is = |wanted: Option<bool>, found: bool| wanted.is_none_or(|wanted| wanted == found);
        is(self.durable_above, facts.durable_above)
            && is(self.astray, facts.astray)
            && is(self.rest_untouched, facts.rest_untouched)
            && self.header.is_none_or(|wanted| wanted == facts.header)
            && is(self.unwritten_sector, facts.unwritten_sector)
    }
}

/// The row that matches `facts`.
#[must_use]
pub fn row_of(facts: &Facts) -> &'static Row {
    // A test proves that one always matches; the last is the careful answer all the same.
    TABLE.iter().find(|row| row.matches(facts)).unwrap_or(&TABLE[TABLE.len() - 1])
}

/// What a set of segments is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Whole.
    Clean,
    /// Whole but for a write that never finished.
    Torn,
    /// These blocks were durable and are damaged or gone.
    Repair(
        /// By [`crate::block::BlockHeader::block_seq`].
        RangeInclusive<u64>,
    ),
    /// It cannot be told whether what follows was durable.
    Suspect {
        /// The first block in doubt.
        from_block: u64,
        /// The end of the log that its header names, where that can be read.
        named: Option<(Index, Term)>,
    },
    /// Blocks are whole, but a repair of earlier damage has not come to its end: entries up to this one are missing.
    Unrepaired {
        /// The entry that the log has to reach.
        reach: Index,
        /// Its term.
        term: Term,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_row_matches_any_facts() {
        for bits in 0..16_u32 {
            for header in [Absent, Valid, Bad] {
                let bit = |n: u32| bits & (1 << n) != 0;
                let facts = Facts {
                    durable_above: bit(0),
                    astray: bit(1),
                    rest_untouched: bit(2),
                    header,
                    unwritten_sector: bit(3),
                };
                let rows: Vec<_> = TABLE.iter().filter(|row| row.matches(&facts)).collect();
                assert_eq!(rows.len(), 1, "{facts:?}: {rows:?}");
                assert_eq!(rows[0].name, row_of(&facts).name);
                let may_cut = matches!(rows[0].action, Action::Clean | Action::Torn);
                assert!(!(may_cut && (facts.durable_above || facts.astray)), "{facts:?} is cut");
            }
        }
    }
}
