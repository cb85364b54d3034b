//! What `verify` prints: the same facts as lines and as JSON.

use std::path::Path;

use serde_json::Value;

use super::{Tally, verdict};
use crate::finding::Finding;
use crate::log::{EntryEnd, Log};
use crate::out::{Out, OutFault};
use crate::render::{number, object};
use crate::rerun::Rerun;

pub(super) struct Report<'a> {
    pub(super) dir: &'a Path,
    pub(super) log: &'a Log,
    pub(super) rerun: Option<&'a Rerun>,
    pub(super) tally: &'a Tally,
    pub(super) findings: &'a [Finding],
}

impl Report<'_> {
    pub(super) fn print(&self, out: &mut Out) -> Result<(), OutFault> {
        let (log, survey, counts) = (self.log, &self.log.survey, &self.log.counts);
        let owner = survey.segment.map_or_else(String::new, |segment| {
            format!(", cluster {:032x}, epoch {}, node {}", segment.cluster.0, segment.epoch, segment.node)
        });
        out.line(format_args!("journal    {}{owner}", self.dir.display()))?;
        out.line(format_args!(
            "segments   {} in use, {} spare or unread",
            log.segments.len(),
            self.spares()
        ))?;
        out.line(format_args!(
            "blocks     {}, {} bytes; {} of them frames",
            survey.blocks, counts.block_bytes, counts.frame_bytes
        ))?;
        out.line(format_args!(
            "entries    {}, {} of them void; {} local frames",
            counts.entries, counts.void_entries, counts.local_frames
        ))?;
        out.line(format_args!(
            "commands   {}, seq {} to {}",
            self.commands(),
            self.first_seq(),
            self.last_seq()
        ))?;
        self.print_state(out)?;
        out.line(format_args!(
            "committed  up to entry {}, seq {}; behind it {} entries, {} commands are durable and not recorded as committed",
            survey.commit,
            self.committed_seq(),
            survey.log.last_index.0.saturating_sub(survey.commit.0),
            self.last_seq().saturating_sub(self.committed_seq())
        ))?;
        let end = &survey.log;
        out.line(format_args!(
            "end        entry {}, term {}, chain {}",
            end.last_index, end.last_term, end.chain
        ))?;
        out.line(format_args!("head       {}", head_text(log.head.as_ref()).unwrap_or("-".to_owned())))?;
        for finding in self.findings {
            out.line(format_args!("finding    {finding}"))?;
        }
        out.line(format_args!("verdict    {}", verdict(log, self.findings)))
    }

    fn print_state(&self, out: &mut Out) -> Result<(), OutFault> {
        let Some(rerun) = self.rerun else {
            return out.line("state      not re-run");
        };
        let tally = self.tally;
        out.line(format_args!(
            "state      re-run from {} to seq {}: {} commands, {} events",
            rerun.origin,
            rerun.engine.seq_applied(),
            tally.commands,
            tally.events
        ))?;
        out.line(format_args!("outcomes   {}", list(&tally.outcomes)))?;
        if !tally.reasons.is_empty() {
            out.line(format_args!("refusals   {}", list(&tally.reasons)))?;
        }
        out.line(format_args!(
            "compared   {} recorded effect hashes, up to seq {}; {} states of snapshots and their marks; {} of {} snapshot files whole",
            rerun.compared,
            rerun.recorded_to,
            tally.states_compared,
            self.log.folder.snapshots.len(),
            self.log.folder.snapshot_files
        ))?;
        let (seq, effects) = &rerun.effects;
        out.line(format_args!("effects    {} after seq {seq}", effects.0))?;
        out.line(format_args!(
            "state hash {} after seq {}",
            rerun.engine.state_hash(),
            rerun.engine.seq_applied()
        ))
    }

    pub(super) fn json(&self, code: u8) -> Value {
        let (log, survey, counts) = (self.log, &self.log.survey, &self.log.counts);
        let end = &survey.log;
        let count = |count: u64| number(u128::from(count));
        let head = |entry: Option<&EntryEnd>| head_text(entry).map_or(Value::Null, Value::from);
        object([
            ("verdict", Value::from(verdict(log, self.findings))),
            ("exit", Value::from(code)),
            ("cluster", survey.segment.map_or(Value::Null, |s| Value::from(format!("{:032x}", s.cluster.0)))),
            ("epoch", survey.segment.map_or(Value::Null, |s| count(s.epoch.0))),
            ("node", survey.segment.map_or(Value::Null, |s| count(s.node.0))),
            ("segments", count(log.segments.len() as u64)),
            ("spares", count(self.spares())),
            ("blocks", count(survey.blocks)),
            ("bytes", count(counts.block_bytes)),
            ("frame_bytes", count(counts.frame_bytes)),
            ("entries", count(counts.entries)),
            ("void_entries", count(counts.void_entries)),
            ("local_frames", count(counts.local_frames)),
            ("commands", count(self.commands())),
            ("first_seq", count(self.first_seq())),
            ("last_seq", count(self.last_seq())),
            ("state", self.rerun.map_or(Value::Null, |rerun| self.state_json(rerun))),
            ("committed_index", count(survey.commit.0)),
            ("committed_seq", count(self.committed_seq())),
            ("end_index", count(end.last_index.0)),
            ("end_term", count(end.last_term.0)),
            ("end_chain", Value::from(end.chain.to_string())),
            ("head", head(log.head.as_ref())),
            ("committed_head", head(log.committed_head.as_ref())),
            ("findings", Value::Array(self.findings.iter().map(Finding::json).collect())),
        ])
    }

    fn state_json(&self, rerun: &Rerun) -> Value {
        let tally = self.tally;
        let count = |count: u64| number(u128::from(count));
        let counts = |counts: &std::collections::BTreeMap<&'static str, u64>| {
            object(counts.iter().map(|(name, n)| (*name, count(*n))))
        };
        let (effect_seq, effects) = &rerun.effects;
        object([
            ("origin", Value::from(rerun.origin.as_str())),
            ("seq", count(rerun.engine.seq_applied().0)),
            ("commands", count(tally.commands)),
            ("events", count(tally.events)),
            ("outcomes", counts(&tally.outcomes)),
            ("refusals", counts(&tally.reasons)),
            ("kinds", object(tally.kinds.values().map(|(name, n)| (*name, count(*n))))),
            ("effect_hashes_compared", count(rerun.compared)),
            ("effect_hashes_older", count(rerun.not_compared)),
            ("effects_recorded_to", count(rerun.recorded_to.0)),
            ("states_compared", count(tally.states_compared)),
            ("effect_seq", count(effect_seq.0)),
            ("effect_hash", Value::from(effects.0.to_string())),
            ("state_hash", Value::from(rerun.engine.state_hash().to_string())),
        ])
    }

    fn spares(&self) -> u64 {
        let newest = self.log.segments.last().map(|segment| segment.name);
        self.log.folder.reader.segments().iter().filter(|name| Some(**name) > newest).count() as u64
    }

    fn first_seq(&self) -> u64 {
        self.log.first_seq.map_or(0, |seq| seq.0)
    }

    fn last_seq(&self) -> u64 {
        self.log.last_seq().map_or(0, |seq| seq.0)
    }

    fn committed_seq(&self) -> u64 {
        self.log.committed_head.map_or(self.first_seq().saturating_sub(1), |head| head.last_seq().0)
    }

    fn commands(&self) -> u64 {
        self.log.head.map_or(0, |head| head.last_seq().next().0.saturating_sub(self.first_seq()))
    }
}

/// What `--head` takes.
fn head_text(entry: Option<&EntryEnd>) -> Option<String> {
    entry.map(|entry| format!("{}:{}", entry.last_seq(), entry.chain))
}

fn list(counts: &std::collections::BTreeMap<&'static str, u64>) -> String {
    counts.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}
