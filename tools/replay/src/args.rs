//! The command line, and which of the four questions it asks.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use protocol::Seq;
use protocol::hash::Hash;

use crate::log::OpenFault;
use crate::out::{Out, OutFault};
use crate::totals::Part;
use crate::{EXIT_CLEAN, EXIT_DAMAGED, EXIT_USAGE, show, state, totals, verify};

/// Verifies, shows and re-runs a journal from its files or from copies of them. Reads only; needs no node.
#[derive(Parser)]
#[command(
    name = "sicil-replay",
    version,
    after_help = "Exit codes: 0 clean or torn tail, 1 damage or doubt, 2 usage."
)]
struct Cli {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// Check structure, checksums, chain and gaps, and re-run the engine against every recorded hash.
    Verify(VerifyArgs),
    /// Print commands with who sent them, when, and what followed.
    Show(ShowArgs),
    /// Print balances, holds, books and hashes as they were after a seq.
    State(StateArgs),
    /// Print sums over all accounts by any slice as they were after a seq, and check those that the engine keeps.
    Totals(TotalsArgs),
}

/// `verify`.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// A node's data folder, or a copy of it; a folder with segments alone will do.
    pub(crate) dir: PathBuf,
    /// Read the Nth of the logs, oldest first, that were set aside when the log began anew behind a peer's snapshot; `verify` tells of
    /// them.
    #[arg(long, value_name = "N")]
    pub(crate) aside: Option<NonZeroUsize>,
    /// SEQ:HASH as an earlier `verify` printed it as `head`: the history up to there must be the same.
    #[arg(long, value_name = "SEQ:HASH")]
    pub(crate) head: Option<Head>,
    /// Re-run the engine from the nearest snapshot before this seq only, and accept that the history before what is here was
    /// dropped. Structure and chain are always checked whole.
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<u64>,
    /// Re-run the engine up to this seq only.
    #[arg(long, value_name = "SEQ")]
    pub(crate) to: Option<u64>,
    /// One JSON object on one line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Rates, on the standard error.
    #[arg(long)]
    pub(crate) timing: bool,
}

/// `show`.
#[derive(Args)]
pub(crate) struct ShowArgs {
    /// A node's data folder, or a copy of it.
    pub(crate) dir: PathBuf,
    /// Read the Nth of the logs, oldest first, that were set aside when the log began anew behind a peer's snapshot; `verify` tells of
    /// them.
    #[arg(long, value_name = "N")]
    pub(crate) aside: Option<NonZeroUsize>,
    /// First seq.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    pub(crate) from: u64,
    /// Last seq.
    #[arg(long, value_name = "SEQ", default_value_t = u64::MAX, hide_default_value = true)]
    pub(crate) to: u64,
    /// Commands of this kind, or with an event of this kind, such as NewOrder or Settled.
    #[arg(long, value_name = "NAME", value_parser = kind)]
    pub(crate) kind: Option<String>,
    /// Commands that name this account or move its money.
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<u128>,
    /// Commands that name this order or change it.
    #[arg(long, value_name = "ID")]
    pub(crate) order: Option<u64>,
    /// Commands of this session, about it, or with an output to it.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<u32>,
    /// Commands that name this client, or whose events do.
    #[arg(long, value_name = "ID")]
    pub(crate) client: Option<u64>,
    /// Commands of this workflow: decimal, or hexadecimal behind 0x.
    #[arg(long, value_name = "ID", value_parser = correlation)]
    pub(crate) correlation: Option<u128>,
    /// Commands that ended so: done, refused, dropped, repeated or skipped.
    #[arg(long, value_name = "WORD", value_parser = ["done", "refused", "dropped", "repeated", "skipped"])]
    pub(crate) outcome: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `state`.
#[derive(Args)]
pub(crate) struct StateArgs {
    /// A node's data folder, or a copy of it.
    pub(crate) dir: PathBuf,
    /// Read the Nth of the logs, oldest first, that were set aside when the log began anew behind a peer's snapshot; `verify` tells of
    /// them.
    #[arg(long, value_name = "N")]
    pub(crate) aside: Option<NonZeroUsize>,
    /// After this seq; the last one if it is not given.
    #[arg(long, value_name = "SEQ")]
    pub(crate) at: Option<u64>,
    /// Leave snapshots alone.
    #[arg(long)]
    pub(crate) from_genesis: bool,
    /// One JSON object on one line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `totals`.
#[derive(Args)]
pub(crate) struct TotalsArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// What else than their ledger tells accounts apart, in this order.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', default_value = "code,class")]
    pub(crate) by: Vec<Part>,
}

/// What an auditor noted earlier: a seq, and the chain of the entry that holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) seq: Seq,
    pub(crate) chain: Hash,
}

impl std::str::FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seq, chain) = text.split_once(':').ok_or("expected SEQ:HASH")?;
        let seq: u64 = seq.parse().map_err(|_| format!("`{seq}` is not a seq"))?;
        if seq == 0 {
            return Err("the first seq is 1".to_owned());
        }
        let chain = chain.parse().map_err(|_| "the hash is not 64 hexadecimal digits".to_owned())?;
        Ok(Self { seq: Seq(seq), chain })
    }
}

fn kind(name: &str) -> Result<String, String> {
    let known =
        protocol::Command::kind_of_name(name).is_some() || protocol::EventBody::kind_of_name(name).is_some();
    if known {
        Ok(name.to_owned())
    } else {
        Err("no command or event has this name (docs/FORMAT.md)".to_owned())
    }
}

fn correlation(text: &str) -> Result<u128, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayFault {
    /// The folder.
    #[error(transparent)]
    Open(#[from] OpenFault),
    /// The files changed or failed while they were read, or do not hold what was asked for.
    #[error("{0}")]
    Unanswered(String),
    /// The output.
    #[error(transparent)]
    Out(#[from] OutFault),
}

/// Runs the program; returns its exit code.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { EXIT_CLEAN };
            // Where nobody listens, the code says it.
            return if error.print().is_ok() { code } else { EXIT_USAGE };
        }
    };
    let mut out = Out::stdout();
    let asked = match &cli.question {
        Question::Verify(args) => verify::run(args, &mut out),
        Question::Show(args) => show::run(args, &mut out),
        Question::State(args) => state::run(args, &mut out),
        Question::Totals(args) => totals::run(args, &mut out),
    };
    let ended = asked.and_then(|code| out.flush().map(|()| code).map_err(ReplayFault::Out));
    match ended {
        Ok(code) => code,
        // Whoever read has read enough.
        Err(ReplayFault::Out(OutFault::Closed(code))) => code,
        Err(fault) => {
            crate::out::complain(&fault.to_string());
            if matches!(fault, ReplayFault::Open(OpenFault::NotAJournal { .. })) {
                EXIT_USAGE
            } else {
                EXIT_DAMAGED
            }
        }
    }
}
