//! `sicil`: one replica of the exchange as a process, and the operator's commands to it.
//!
//! Rule: only here are clocks, sockets, threads, configuration and logs; every decision about money, order or time is
//! made in a library that the simulator runs as well.
//!
//! This file is the command line. `start` is how a node begins and ends, `core` its hot thread; `admin`, `operator`
//! and `plan` are the operator's way in, `http`, `status` and `metrics` what a node tells of itself.
#![forbid(unsafe_code)]

mod admin;
mod apply;
mod bell;
mod clients;
mod clock;
mod config;
mod core;
mod definitions;
mod demo;
mod descriptors;
mod exchange;
mod fault;
mod folder;
mod gateway;
mod gateway_lines;
mod gateway_status;
mod history;
mod history_reads;
mod http;
mod init;
mod instant;
mod introduction;
mod ledger;
mod ledger_clients;
mod ledger_lists;
mod logging;
mod market;
mod members;
mod metrics;
mod operator;
mod outside;
#[cfg_attr(not(test), expect(dead_code, reason = "start and core do not use the transport yet"))]
mod peers;
mod pki;
mod plan;
mod publisher;
mod reads;
mod recover;
mod relay;
mod repair;
mod repair_report;
mod skip;
mod snapshots;
mod sockets;
mod start;
mod status;
mod text_file;
mod threads;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::admin::client::Client;
use crate::admin::{Answer, Request};
use crate::config::Config;
use crate::fault::NodeFault;

/// Sicil: a register of orders and money. Exit codes are listed in docs/OPERATIONS.md.
#[derive(Parser)]
#[command(name = "sicil", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a node on a data folder and serve until Ctrl-C.
    Start(StartArgs),
    /// Make the folder of one node of a cluster, before its first start.
    Init(InitArgs),
    /// Start a FIX gateway of its own in front of a cluster: its clients stay connected when the leader changes.
    Gateway(gateway::Args),
    /// Create or change assets, markets, accounts and sessions, and deposit money, from a file.
    Apply(ApplyArgs),
    /// Show how a running node is.
    Status(StatusArgs),
    /// Look at configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Judge the journal of a node that is not running, and decide what it cannot decide alone.
    Recover(RecoverArgs),
    /// Show who belongs to the cluster, and how far each is.
    Members(MembersArgs),
    /// Move the lead to another voter.
    TransferLeader(TransferArgs),
    /// Add a node that was made with `sicil init --join`: a learner first, a voter when it has caught up.
    AddMember(AddMemberArgs),
    /// Put a new node in the place of another one, also of one that is gone for good.
    ReplaceMember(ReplaceMemberArgs),
    /// Remove a node, also one that is gone for good.
    RemoveMember(RemoveMemberArgs),
    /// Make an operator's key, and print its public half for a definitions file.
    Key(KeyArgs),
    /// Pass over the record at which the engine halted, by an operator's signature.
    Skip(SkipArgs),
    /// Ask the ledger, or move money, as a client.
    #[command(subcommand)]
    Ledger(Box<ledger::LedgerCommand>),
    /// Publish prices, set phases and fees, cancel orders, take trades back, as a client.
    #[command(subcommand)]
    Exchange(Box<exchange::ExchangeCommand>),
    /// Read market data: books, trades, candles, tickers.
    #[command(subcommand)]
    Market(market::MarketCommand),
    /// Make certificates for the nodes and gateways of a cluster.
    #[command(subcommand)]
    Pki(pki::PkiCommand),
    /// Read journals: same as `sicil-replay`.
    #[command(disable_help_flag = true)]
    Replay {
        /// As for `sicil-replay`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// About a minute that shows it all: trading, a kill, the return, and the comparison of everything.
    Demo(demo::Args),
}

#[derive(Args)]
pub(crate) struct StartArgs {
    /// Data folder; created if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Configuration file. Without one, an empty folder becomes a demo.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the ready line and the log as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// What to log, such as `warn` or `info,sicil=debug`; otherwise RUST_LOG decides.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Args)]
pub(crate) struct InitArgs {
    /// Data folder to make.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Configuration file of the node.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The cluster exists, and this node, under an id that was never used, will be added to it.
    #[arg(long)]
    pub(crate) join: bool,
}

#[derive(Args)]
pub(crate) struct ApplyArgs {
    /// Data folder of the running node.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub(crate) plan: bool,
    /// Propose what differs, for another actor's approval (`sicil ledger approve`), and change nothing.
    #[arg(long, conflicts_with = "plan")]
    pub(crate) propose: bool,
    #[command(flatten)]
    pub(crate) wish: ledger::proposals::Wish,
    /// Print one JSON object an item.
    #[arg(long)]
    pub(crate) json: bool,
    /// Definitions file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args)]
struct StatusArgs {
    /// Data folder of the running node.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Also compute the hash of the whole state; the engine stands still for as long as it takes.
    #[arg(long)]
    hash: bool,
    #[command(flatten)]
    freshness: reads::FreshnessArgs,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Validate a configuration and print it with the origin of each value.
    Check {
        /// Configuration file; without one the defaults are printed.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct RecoverArgs {
    /// Data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Configuration file of the node.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Cut off a tail that cannot be judged. What clients were told about it may be lost.
    #[arg(long, requires = "reason")]
    pub(crate) adjudicate: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", requires = "adjudicate")]
    pub(crate) reason: Option<String>,
}

#[derive(Args)]
pub(crate) struct MembersArgs {
    /// Data folder of a running node; of the leader, to change anything.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct TransferArgs {
    #[command(flatten)]
    pub(crate) at: MembersArgs,
    /// Id of the voter that shall lead.
    #[arg(long, value_name = "NODE")]
    pub(crate) to: u64,
    /// Wait so long for it to come about.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) timeout_s: u64,
}

#[derive(Args)]
pub(crate) struct AddMemberArgs {
    #[command(flatten)]
    pub(crate) at: MembersArgs,
    /// Id of the new node, above all that were ever used.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: u64,
    /// Where the other nodes reach it, unless their own files say it: they keep it, also when they are started again.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// It stays a learner: it follows, and does not count.
    #[arg(long)]
    pub(crate) learner: bool,
    /// Wait so long for it to come about.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout_s: u64,
}

#[derive(Args)]
pub(crate) struct ReplaceMemberArgs {
    #[command(flatten)]
    pub(crate) at: MembersArgs,
    /// Id of the voter that goes.
    #[arg(long, value_name = "NODE")]
    pub(crate) old: u64,
    /// Id of the node that was made with `sicil init --join`, above all that were ever used.
    #[arg(long, value_name = "NODE")]
    pub(crate) new: u64,
    /// Where the other nodes reach the new one, unless their own files say it: they keep it, also when they are started again.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Wait so long for it to come about.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout_s: u64,
}

#[derive(Args)]
pub(crate) struct RemoveMemberArgs {
    #[command(flatten)]
    pub(crate) at: MembersArgs,
    /// Id of the node.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: u64,
    /// Wait so long for it to come about.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout_s: u64,
}

#[derive(Args)]
pub(crate) struct KeyArgs {
    /// File to make, readable by its owner alone. It is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct SkipArgs {
    /// Data folder of the running node.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Seq of the record, as `sicil status` shows it.
    #[arg(long, value_name = "SEQ")]
    pub(crate) seq: u64,
    /// Why, for the record. It is kept for ever: name no person.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// File with the operator's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The actor whose key it is; the operator who created the cluster is 1.
    #[arg(long, value_name = "ID", default_value_t = 1)]
    pub(crate) actor: u32,
    /// Wait so long for the engine to be past the record.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout_s: u64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Start(args) => {
            logging::start(args.log.as_deref(), args.json).and_then(|()| start::run(&args))
        }
        Command::Gateway(args) => {
            logging::start(args.log.as_deref(), args.json).and_then(|()| gateway::run(&args))
        }
        Command::Init(args) => init::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Status(args) => show_status(&args),
        Command::Config(ConfigCommand::Check { config }) => check_config(config),
        Command::Recover(args) => logging::start(None, false).and_then(|()| recover::run(&args)),
        Command::Members(args) => members::show(&args),
        Command::TransferLeader(args) => members::transfer(&args),
        Command::AddMember(args) => members::add(&args),
        Command::ReplaceMember(args) => members::replace(&args),
        Command::RemoveMember(args) => members::remove(&args),
        Command::Key(args) => skip::make_key(&args),
        Command::Skip(args) => skip::run(&args),
        Command::Ledger(command) => ledger::run(*command),
        Command::Exchange(command) => exchange::run(*command),
        Command::Market(command) => market::read(command),
        Command::Pki(command) => pki::run(&command),
        Command::Replay { arguments } => {
            let program = OsString::from("sicil replay");
            return replay::main_with_args(std::iter::once(program).chain(arguments));
        }
        Command::Demo(args) => demo::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            logging::say_why(&fault);
            fault.exit_code()
        }
    }
}

fn check_config(config: Option<PathBuf>) -> Result<(), NodeFault> {
    print(&Config::load(config.as_deref())?.to_string())
}

fn show_status(args: &StatusArgs) -> Result<(), NodeFault> {
    let mut client = Client::connect(&args.data).map_err(|fault| quarantined(&args.data).unwrap_or(fault))?;
    args.freshness.wait(&mut client)?;
    let answer = client.ask(&Request::Status)?;
    if let Answer::Repair { report } = &answer {
        return print(&if args.json { report.json()? } else { report.to_string() });
    }
    let Answer::Status { report, sessions } = answer else { return Err(NodeFault::crossed()) };
    let state_hash = match args.hash.then(|| client.ask(&Request::StateHash)).transpose()? {
        Some(Answer::StateHash { seq, hash }) => Some((seq, hash)),
        _ => None,
    };
    let shown = status::Shown { report: *report, sessions, state_hash };
    print(&if args.json { shown.json()? } else { shown.to_string() })
}

/// Why no node runs in `dir`, if it is not allowed to.
fn quarantined(dir: &Path) -> Option<NodeFault> {
    let bytes = std::fs::read(dir.join(&*journal::divergence::file().name)).ok()?;
    let quarantine = journal::divergence::Divergence::read(&bytes)?.quarantine?;
    let report = replicas::StartFault::Quarantined(Box::new(quarantine)).to_string();
    Some(NodeFault::Recovery { dir: dir.to_owned(), report })
}

/// Prints for people or programs; a closed pipe is theirs to close.
pub(crate) fn print(text: &str) -> Result<(), NodeFault> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(NodeFault::io("stdout"))
}
