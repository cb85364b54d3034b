//! `verify`: is this history whole, in order, and does the engine agree with everything that was recorded of it.

mod report;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use journal::classify::Verdict;
use protocol::{ClusterId, EventBody, Index, Seq};

use crate::args::{ReplayFault, VerifyArgs};
use crate::entries::Entry;
use crate::finding::{Finding, Grade};
use crate::log::Log;
use crate::out::Out;
use crate::outcome::Outcome;
use crate::rerun::{Applied, Rerun};
use crate::stopwatch::Stopwatch;
use crate::{EXIT_CLEAN, EXIT_DAMAGED};
use report::Report;

/// What re-running the engine has shown.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) events: u64,
    /// By [`Outcome::name`].
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// Of commands refused or dropped.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// By name of the command.
    pub(crate) kinds: BTreeMap<u16, (&'static str, u64)>,
    /// Snapshots and SNAP_MARK frames whose state was computed again, and agreed.
    pub(crate) states_compared: u64,
    done: u64,
}

pub(crate) fn run(args: &VerifyArgs, out: &mut Out) -> Result<u8, ReplayFault> {
    let mut watch = Stopwatch::start(args.timing);
    let log = Log::open(&args.dir, args.aside, args.head)?;
    watch.lap("structure and chain", log.counts.block_bytes, "bytes");
    let mut findings = log.findings.clone();
    let mut tally = Tally::default();
    findings.extend(without_beginning(&log, args));
    let from = Seq(args.from.unwrap_or(0).saturating_sub(1));
    let rerun = match Rerun::start(&log, from, false) {
        Ok(mut rerun) => {
            let to = Seq(args.to.unwrap_or(u64::MAX));
            rerun_all(&log, &mut rerun, to, &mut tally, &mut findings)?;
            Some(rerun)
        }
        Err(finding) => {
            findings.push(*finding);
            None
        }
    };
    watch.lap("state", tally.commands, "commands");
    let code = if worst(&findings) > Grade::Notice { EXIT_DAMAGED } else { EXIT_CLEAN };
    out.code = code;
    let report =
        Report { dir: &args.dir, log: &log, rerun: rerun.as_ref(), tally: &tally, findings: &findings };
    if args.json {
        out.json(&report.json(code))?
    } else {
        report.print(out)?
    }
    Ok(code)
}

/// Segments whose entries are all in snapshots may be dropped. Files alone cannot tell that from a loss: the auditor says
/// from where on the history should be here.
fn without_beginning(log: &Log, args: &VerifyArgs) -> Option<Finding> {
    let base = log.survey.log.base_index;
    let accepted = args.from.map(Seq) >= log.first_seq && log.first_seq.is_some();
    let what = format!(
        "the history up to entry {base} is not here, dropped or missing; `--from` with a seq that is here accepts that"
    );
    let grade = if accepted { Grade::Notice } else { Grade::Doubt };
    (base > Index(0)).then(|| Finding::new(grade, what).seq(Seq(1)).index(Index(1)))
}

/// The worst that was found.
fn worst(findings: &[Finding]) -> Grade {
    findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Notice)
}

/// The verdict in a word.
pub(crate) fn verdict(log: &Log, findings: &[Finding]) -> &'static str {
    match worst(findings) {
        Grade::Damage => "damaged",
        Grade::Doubt => "in doubt",
        Grade::Notice if log.survey.verdict == Verdict::Torn => "torn tail",
        Grade::Notice => "clean",
    }
}

fn rerun_all(
    log: &Log,
    rerun: &mut Rerun,
    to: Seq,
    tally: &mut Tally,
    findings: &mut Vec<Finding>,
) -> Result<(), ReplayFault> {
    let mut stopped = None;
    log.entries(rerun.index, &mut |entry| {
        if entry.frame.header.first_seq > to {
            return ControlFlow::Break(());
        }
        let applied = rerun.apply(entry, to, &mut |applied, _| {
            tally.count(applied);
            findings.extend(passed_over(applied));
        });
        if let Err(finding) = applied {
            stopped = Some(*finding);
            return ControlFlow::Break(());
        }
        compare_states(log, rerun, entry, tally, findings);
        ControlFlow::Continue(())
    })?;
    tally.outcomes.insert(Outcome::Done.name(), tally.done);
    if let Err(broken) = rerun.engine.check_invariants().map_err(|broken| format!("{:?}", broken.what)) {
        let finding = Finding::damage(format!("the state contradicts itself: {broken}"));
        findings.push(finding.seq(rerun.engine.seq_applied()));
    }
    findings.extend(of_other_cluster(log, rerun));
    findings.extend(rerun.verdicts.findings());
    if let Some(finding) = stopped {
        let what = format!("{}; nothing behind it was re-run", finding.what);
        findings.push(Finding { what, ..finding });
    }
    Ok(())
}

/// What operators passed over is never silent.
fn passed_over(applied: &Applied<'_>) -> Option<Finding> {
    let EventBody::RecordSkipped(skipped) = &applied.events.first()?.body else { return None };
    let reason = skipped.reason.as_bytes().escape_ascii();
    let what =
        format!("passed over by signed decision of the operators, record {}: {reason}", skipped.record_hash);
    Some(Finding::new(Grade::Notice, what).index(applied.entry.frame.header.index).seq(applied.seq))
}

/// Every snapshot and every mark behind `entry`, against the state there.
fn compare_states(
    log: &Log,
    rerun: &Rerun,
    entry: &Entry<'_>,
    tally: &mut Tally,
    findings: &mut Vec<Finding>,
) {
    let index = entry.frame.header.index;
    if rerun.index != index {
        return; // Stopped within the entry.
    }
    let at = log.folder.snapshots.partition_point(|snapshot| snapshot.header.index < index);
    let snapshot = log.folder.snapshots.get(at).filter(|snapshot| snapshot.header.index == index);
    let mut marks = log.marks.iter().filter(|mark| mark.index == index).peekable();
    if snapshot.is_none() && marks.peek().is_none() {
        return;
    }
    let seq = rerun.engine.seq_applied();
    let state_hash = rerun.engine.state_hash();
    let mut compare = |what: &str, place: String, expected: String, found: String| {
        if expected == found {
            return true;
        }
        let finding = Finding::damage(format!("a snapshot's {what} is not what re-running gives")).at(place);
        findings.push(finding.seq(seq).index(index).differs(expected, found));
        false
    };
    if let Some(snapshot) = snapshot {
        let (header, place) = (&snapshot.header, format!("snap/{}", snapshot.name));
        let (state, effects, time) = (header.state_hash, header.effect_hash, header.last_time);
        let agrees = compare("state", place.clone(), state.to_string(), state_hash.to_string())
            & compare("effect hash", place.clone(), effects.to_string(), rerun.effects.1.0.to_string())
            & compare("time", place, time.to_string(), rerun.engine.time().to_string());
        tally.states_compared += u64::from(agrees);
    }
    for mark in marks {
        let (expected, found) = (mark.state_hash.to_string(), state_hash.to_string());
        tally.states_compared += u64::from(compare("mark", mark.place.to_string(), expected, found));
    }
}

/// The first record names the cluster whose segments these are.
fn of_other_cluster(log: &Log, rerun: &Rerun) -> Option<Finding> {
    let cluster = log.survey.segment?.cluster;
    let genesis = rerun.engine.genesis()?.cluster;
    let text = |cluster: ClusterId| format!("{:032x}", cluster.0);
    let finding = Finding::damage("the first record founds another cluster than the segments say");
    (genesis != cluster).then(|| finding.seq(Seq(1)).differs(text(cluster), text(genesis)))
}

impl Tally {
    fn count(&mut self, applied: &Applied<'_>) {
        self.commands += 1;
        self.events += applied.events.len() as u64;
        let kind = self.kinds.entry(applied.record.kind).or_insert_with(|| {
            // Decoded once for its name.
            (applied.record.command().map_or("unknown", |command| command.name()), 0)
        });
        kind.1 += 1;
        let outcome = Outcome::of(applied.seq, applied.events);
        let Some(reason) = outcome.reason() else {
            if outcome == Outcome::Done {
                self.done += 1;
            } else {
                *self.outcomes.entry(outcome.name()).or_default() += 1;
            }
            return;
        };
        *self.outcomes.entry(outcome.name()).or_default() += 1;
        *self.reasons.entry(reason).or_default() += 1;
    }
}
