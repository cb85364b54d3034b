//! `sicil recover`: judges the journal of a node that is not running, and carries out what an operator decides about a
//! tail that cannot be judged alone.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use journal::{Adjudication, FileDisk, Journal, OpenReport, Opened};
use replicas::{Replica, StartFault};

use crate::config::Config;
use crate::fault::NodeFault;
use crate::folder::{self, Folder, journal_options, open_disk};
use crate::{RecoverArgs, print, start};

/// How long to wait for one durable write before looking again.
const WAIT: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// [`NodeFault::Recovery`] with the report if the journal stays refused.
pub(crate) fn run(args: &RecoverArgs) -> Result<(), NodeFault> {
    let config = Config::load(args.config.as_deref())?;
    let nothing = || NodeFault::Usage(format!("{}: there is no journal to recover", args.data.display()));
    if folder::look_at(&args.data)? == Folder::Blank && !args.data.join("lock").exists() {
        return Err(nothing());
    }
    let mut disk = open_disk(&args.data, config.writer.value)?;
    // Without `meta` there may be a journal all the same.
    if folder::look_inside(&mut disk)? == Folder::Blank {
        return Err(nothing());
    }
    match args.reason.as_deref().filter(|_| args.adjudicate) {
        None => {
            // What a start would judge.
            let from = Journal::needed_from(&mut disk).map_err(|fault| refused(&args.data, &fault.into()))?;
            let opened = Journal::open_from(disk, journal_options(&config)?, from)
                .map_err(|refusal| refused(&args.data, &refusal.into()))?;
            print(&describe(&opened.report))?;
            judge_start(opened.journal.into_disk(), &config, &args.data)
        }
        Some(reason) => {
            let decided = Journal::adjudicate(disk, journal_options(&config)?, reason);
            let (opened, adjudication) = decided.map_err(|refusal| refused(&args.data, &refusal.into()))?;
            let report = describe(&opened.report);
            settle(opened)?;
            print(&(report + &evidence(&adjudication)))
        }
    }
}

/// A start needs a state as well: where no snapshot serves it reads the journal from its beginning. Nothing is sent or taken,
/// so that nothing follows from it.
fn judge_start(disk: FileDisk, config: &Config, dir: &Path) -> Result<(), NodeFault> {
    let beside = disk.beside();
    let opened = Replica::open(disk, beside, journal_options(config)?, &start::options(config, false));
    opened.map(drop).map_err(|fault| refused(dir, &fault))
}

fn refused(dir: &Path, fault: &StartFault) -> NodeFault {
    let mut report = fault.to_string();
    if fault.is_damage() {
        report.push_str("; in a cluster, start the node: it brings back from the others what is missing");
    }
    NodeFault::Recovery { dir: dir.to_owned(), report }
}

/// Makes durable what the decision has appended.
fn settle(opened: Opened<FileDisk>) -> Result<(), NodeFault> {
    let mut journal = opened.journal;
    while journal.gathered() || journal.in_flight() {
        journal.step().map_err(|fault| NodeFault::Internal(fault.to_string()))?;
        journal.disk_mut().wait(WAIT);
    }
    Ok(())
}

/// The report, a fact a line. Writing to a String cannot fail.
fn describe(report: &OpenReport) -> String {
    let findings = &report.findings;
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<12}{value}").unwrap_or_default();
    line("verdict", format!("{:?} ({})", findings.verdict, findings.row.name));
    let passed = report.segments_passed;
    line("blocks", format!("{} in {} segments; {passed} older not read", findings.blocks, report.segments));
    line("last entry", format!("{} of term {}", findings.log.last_index, findings.log.last_term));
    line("chain", findings.log.chain.to_string());
    line(
        "durable",
        format!("at least block {}; the last whole one is {}", findings.watermark, findings.last_block),
    );
    line("committed", format!("at least entry {}", findings.commit));
    line("torn", format!("{} bytes of an unfinished write", report.torn_bytes));
    line("meta", format!("{} of 4 copies whole", report.meta.copies));
    text
}

fn evidence(adjudication: &Adjudication) -> String {
    let mut text = format!("decided     {}\n", adjudication.record);
    for file in &adjudication.evidence {
        writeln!(text, "set aside   {file}").unwrap_or_default();
    }
    text
}
