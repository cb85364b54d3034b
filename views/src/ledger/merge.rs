//! Runs of about the same size become one, a piece at a time, so that a question asks few of them and no write waits long.

use std::ops::Range;

use redb::{ReadableTable, WriteTransaction};

use super::fault::ViewFault;
use super::run::{Blocks, Entry, Run, RunCursor, RunWriter, table_name};

/// Runs of one size that become one.
pub(crate) const FAN_IN: usize = 8;
/// Merges of one size go on at once with those of the others. Each advances by this much for every entry that was written: it is
/// done before as many runs as it merges have come again.
const ENTRIES_FOR_EACH_WRITTEN: u64 = 2;
/// And by this much at least. Little in tests, so that merges are under way for a while.
const ENTRIES_AT_LEAST: u64 = if cfg!(test) { 10 } else { 4_096 };

/// Merges under way. What they have written so far is in no catalogue yet.
pub(crate) struct Merges<E: Entry> {
    under_way: Vec<Merge<E>>,
}

struct Merge<E: Entry> {
    inputs: Vec<RunCursor<E>>,
    output: u32,
    writer: RunWriter<E>,
}

/// Size as a power of eight.
fn level(run: &Run) -> u32 {
    run.entries.max(1).ilog2() / 3
}

/// Neighbours that have become enough to be merged: a run counts as being of the size of the largest behind it, so that levels
/// only fall from the oldest run to the newest.
fn due(runs: &[Run], is_busy: impl Fn(u32) -> bool) -> Option<Range<usize>> {
    let mut group: Option<(Range<usize>, u32)> = None;
    for (at, run) in runs.iter().enumerate().rev() {
        let own = level(run);
        group = match group.take() {
            Some((range, level)) if own <= level && !is_busy(run.number) => Some((at..range.end, level)),
            Some((range, _)) if range.len() >= FAN_IN => return Some(range),
            _ => (!is_busy(run.number)).then_some((at..at + 1, own)),
        };
    }
    group.filter(|(range, _)| range.len() >= FAN_IN).map(|(range, _)| range)
}

impl<E: Entry> Merges<E> {
    pub(crate) const fn new() -> Self {
        Self { under_way: Vec::new() }
    }

    /// Begins what is due, and advances what is under way, behind `written` new entries.
    pub(crate) fn step(
        &mut self,
        transaction: &WriteTransaction,
        runs: &mut Vec<Run>,
        next_run: &mut u32,
        written: u64,
    ) -> Result<(), ViewFault> {
        while let Some(range) = due(runs, |number| self.is_busy(number)) {
            let inputs = runs.get(range).unwrap_or_default().iter().map(|run| RunCursor::new(run.number));
            self.under_way.push(Merge {
                inputs: inputs.collect(),
                output: *next_run,
                writer: RunWriter::new(),
            });
            *next_run += 1;
        }
        let budget = written * ENTRIES_FOR_EACH_WRITTEN + ENTRIES_AT_LEAST;
        let mut under_way = Vec::with_capacity(self.under_way.len());
        for mut merge in self.under_way.drain(..) {
            if merge.advance(transaction, budget)? {
                merge.finish(transaction, runs)?;
            } else {
                under_way.push(merge);
            }
        }
        self.under_way = under_way;
        Ok(())
    }

    fn is_busy(&self, run: u32) -> bool {
        self.under_way.iter().any(|merge| merge.inputs.iter().any(|input| input.run == run))
    }
}

impl<E: Entry> Merge<E> {
    /// Returns whether nothing is left to be merged.
    fn advance(&mut self, transaction: &WriteTransaction, budget: u64) -> Result<bool, ViewFault> {
        let names: Vec<String> = self.inputs.iter().map(|input| table_name::<E>(input.run)).collect();
        let tables = names.iter().map(|name| transaction.open_table(Blocks::new(name)));
        let tables = tables.collect::<Result<Vec<_>, _>>()?;
        let name = table_name::<E>(self.output);
        let mut output = transaction.open_table(Blocks::new(&name))?;
        let mut put = |key: &[u8], block: &[u8]| {
            output.insert(key, block)?;
            Ok(())
        };
        for _ in 0..budget {
            let Some((at, entry)) = lowest(&mut self.inputs, &tables)? else { return Ok(true) };
            self.writer.push(entry, &mut put)?;
            if let Some(input) = self.inputs.get_mut(at) {
                input.advance();
            }
        }
        Ok(false)
    }

    /// The output takes the place of what it was made from.
    fn finish(mut self, transaction: &WriteTransaction, runs: &mut Vec<Run>) -> Result<(), ViewFault> {
        let lost = ViewFault::Damaged { what: "the list of runs" };
        let Some(oldest) = self.inputs.first().map(|input| input.run) else { return Err(lost) };
        let Some(from) = runs.iter().position(|run| run.number == oldest) else { return Err(lost) };
        let merged = from..from + self.inputs.len();
        let Some(first_seq) = runs.get(from).map(|run| run.first_seq) else { return Err(lost) };
        let name = table_name::<E>(self.output);
        let mut output = transaction.open_table(Blocks::new(&name))?;
        let run = self.writer.end(self.output, first_seq, &mut |key, block| {
            output.insert(key, block)?;
            Ok(())
        })?;
        drop(output);
        let entries: u64 = runs.get(merged.clone()).unwrap_or_default().iter().map(|run| run.entries).sum();
        if entries != run.entries {
            return Err(ViewFault::Damaged { what: "a run" });
        }
        runs.splice(merged, [run]);
        for input in &self.inputs {
            transaction.delete_table(Blocks::new(&table_name::<E>(input.run)))?;
        }
        Ok(())
    }
}

/// The lowest of what comes next, and of which input.
fn lowest<E: Entry>(
    inputs: &mut [RunCursor<E>],
    tables: &[impl ReadableTable<&'static [u8], &'static [u8]>],
) -> Result<Option<(usize, E)>, ViewFault> {
    let mut lowest: Option<(usize, E)> = None;
    for (at, (input, table)) in inputs.iter_mut().zip(tables).enumerate() {
        if let Some(entry) = input.peek(table)?
            && lowest.is_none_or(|(_, found)| entry.key() < found.key())
        {
            lowest = Some((at, entry));
        }
    }
    Ok(lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_few_and_no_entry_is_written_often() {
        for seed in 1..200_u64 {
            let (mut runs, mut number, mut entries, mut rewritten): (Vec<Run>, _, _, _) =
                (Vec::new(), 0, 0_u64, 0_u64);
            let mut state = seed;
            for _ in 0..500 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Of one size, of all sizes, or mostly small.
                let size = match seed % 3 {
                    0 => 100,
                    1 => 1 << (state >> 60),
                    _ if (state >> 33).is_multiple_of(50) => 100_000,
                    _ => 1,
                };
                let run = |number, entries| Run { number, entries, low: 0, high: 0, first_seq: 1 };
                runs.push(run(number, size));
                number += 1;
                entries += size;
                while let Some(range) = due(&runs, |_| false) {
                    assert!(range.len() >= FAN_IN);
                    let merged: u64 = runs[range.clone()].iter().map(|run| run.entries).sum();
                    rewritten += merged;
                    runs.splice(range, [run(number, merged)]);
                    number += 1;
                }
                let levels = usize::try_from(entries.ilog2() / 3 + 1).unwrap();
                assert!(runs.len() <= levels * (FAN_IN - 1), "seed {seed}: {} runs", runs.len());
            }
            let levels = u64::from(entries.ilog2() / 3 + 1);
            let times = rewritten / entries;
            assert!(times <= levels * if seed % 3 == 0 { 1 } else { 4 }, "seed {seed}: {times} times");
            assert_eq!(runs.iter().map(|run| run.entries).sum::<u64>(), entries);
        }
    }

    #[test]
    fn what_is_being_merged_is_left_alone() {
        let run = |number| Run { number, entries: 1, low: 0, high: 0, first_seq: 1 };
        let runs: Vec<Run> = (0..20).map(run).collect();
        assert_eq!(due(&runs, |_| false), Some(0..20));
        assert_eq!(due(&runs, |number| number < 9), Some(9..20));
        assert_eq!(due(&runs, |number| number < 14), None);
        assert_eq!(due(&runs, |number| (10..12).contains(&number)), Some(12..20));
        assert_eq!(due(&runs, |number| number >= 10), Some(0..10));
    }
}
