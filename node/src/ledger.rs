//! `sicil ledger`: accounts, transfers and balances from the command line, through the client library as any client.

pub(crate) mod access;
mod chart;
mod corrections;
mod orders;
pub(crate) mod proposals;
mod settings;
mod totals;

use clap::{Args, Subcommand};
use client::{At, BatchResult, ClientFault, Page, TransferIds};
use protocol::binary::{AccountState, Balance, TransferState};
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::{AccountClass, AccountId, Amount, AssetId, ClientId, Seq, TransferId, UnixNanos};
use serde::Serialize;

use self::access::Access;
use self::chart::{AccountCodeArgs, LimitsArgs};
use self::corrections::CorrectArgs;
use self::orders::{AttemptsArgs, ExchangeArgs, QuoteArgs, StandingOrderArgs};
use self::proposals::Order;
use self::settings::{CalendarArgs, MonitorArgs, MonitorsArgs, OverdraftArgs, TriggersArgs, UpdateArgs};
use crate::fault::NodeFault;
use crate::{folder, instant};

/// Transfers that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

/// What is asked of the ledger.
#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Show accounts with their sums.
    Accounts {
        #[command(flatten)]
        access: Access,
        /// Ids of accounts.
        #[arg(value_name = "ACCOUNT", required = true)]
        accounts: Vec<u128>,
    },
    /// Show transfers by their ids, or those of an account.
    Transfers(TransfersArgs),
    /// Show the sums of accounts, now or at an earlier seq or instant.
    Balances {
        #[command(flatten)]
        access: Access,
        /// Behind this seq, or at this instant, such as 2026-03-01T12:00:00Z.
        #[arg(long, value_name = "SEQ_OR_TIME")]
        at: Option<String>,
        /// What counts on this day, such as 2026-03-01: posted with a value date of it or before, as it was known then.
        #[arg(long, value_name = "DATE")]
        value_date: Option<String>,
        /// Ids of accounts.
        #[arg(value_name = "ACCOUNT", required = true)]
        accounts: Vec<u128>,
    },
    /// Create an account.
    Open(OpenArgs),
    /// Move money, or reserve it.
    Transfer(TransferArgs),
    /// Show what corrected a transfer.
    Corrections {
        #[command(flatten)]
        access: Access,
        /// The transfer that was corrected.
        #[arg(value_name = "TRANSFER")]
        transfer: u128,
    },
    /// Propose a correction, which another actor approves: take a transfer back, or adjust what it did.
    Correct(CorrectArgs),
    /// Show how far accounts may be overdrawn.
    Overdrafts {
        #[command(flatten)]
        access: Access,
        /// Ids of accounts.
        #[arg(value_name = "ACCOUNT", required = true)]
        accounts: Vec<u128>,
    },
    /// Set how far an account may be overdrawn.
    SetOverdraft(OverdraftArgs),
    /// Change code or user data of an account; what is not named stays as it is.
    Update(UpdateArgs),
    /// Show the chart of accounts.
    Chart {
        #[command(flatten)]
        access: Access,
        /// What counts in this asset.
        #[arg(long, value_name = "ASSET")]
        ledger: Option<u32>,
    },
    /// Set what a code of the chart of accounts stands for.
    SetAccountCode(AccountCodeArgs),
    /// Set what the ledger remembers of transfers: all of it, what is not named as if nobody had ever set it.
    SetLimits(LimitsArgs),
    /// Show the bank's calendar and its business date.
    Calendar {
        #[command(flatten)]
        access: Access,
    },
    /// Set the bank's calendar; what is not named stays as it is.
    SetCalendar(CalendarArgs),
    /// Close the business date: everything behind is booked on the next one.
    CloseDay {
        #[command(flatten)]
        order: Order,
        /// The day that is closed, such as 2026-03-01.
        #[arg(long, value_name = "DATE")]
        date: String,
        /// The next business day.
        #[arg(long, value_name = "DATE")]
        next: String,
    },
    /// Show the balance monitors.
    Monitors(MonitorsArgs),
    /// Define a balance monitor.
    DefineMonitor(MonitorArgs),
    /// Show which conditions of monitors became true.
    Triggers(TriggersArgs),
    /// Remove a balance monitor.
    RemoveMonitor {
        #[command(flatten)]
        order: Order,
        /// Its id.
        #[arg(value_name = "MONITOR")]
        monitor: u64,
    },
    /// Offer a rate at which clients' accounts exchange one asset for another.
    Quote(Box<QuoteArgs>),
    /// Show the quotes whose time is not over.
    Quotes {
        #[command(flatten)]
        access: Access,
    },
    /// Exchange one asset for another on a quote.
    Exchange(ExchangeArgs),
    /// Show at which quote and rate transfers exchanged one asset for another.
    Exchanges {
        #[command(flatten)]
        access: Access,
        /// Ids of transfers.
        #[arg(value_name = "TRANSFER", required = true)]
        transfers: Vec<u128>,
    },
    /// Have a transfer execute itself at the dates of a schedule.
    DefineStandingOrder(StandingOrderArgs),
    /// Show the standing orders.
    StandingOrders {
        #[command(flatten)]
        access: Access,
    },
    /// Show when a standing order was executed, and when that was refused and why.
    StandingOrderAttempts(AttemptsArgs),
    /// End a standing order.
    CancelStandingOrder {
        #[command(flatten)]
        access: Access,
        /// Its id.
        #[arg(value_name = "ORDER")]
        order: u64,
    },
    /// Show the sums over all accounts of each ledger, code and class.
    Totals {
        #[command(flatten)]
        access: Access,
        /// Of this asset alone.
        #[arg(long, value_name = "ASSET")]
        ledger: Option<u32>,
    },
    /// Show the proposals that are open.
    Proposals {
        #[command(flatten)]
        access: Access,
    },
    /// Show what a proposal would change.
    Proposal {
        #[command(flatten)]
        access: Access,
        /// Its id.
        #[arg(value_name = "PROPOSAL")]
        proposal: u64,
    },
    /// Execute what another actor proposed.
    Approve {
        #[command(flatten)]
        access: Access,
        /// Its id.
        #[arg(value_name = "PROPOSAL")]
        proposal: u64,
    },
    /// End a proposal without executing it.
    Reject {
        #[command(flatten)]
        access: Access,
        /// Its id.
        #[arg(value_name = "PROPOSAL")]
        proposal: u64,
        /// Why. It is kept for ever: name no person.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Set which commands are executed only when one actor has proposed and another one approved them; none = no command.
    SetApprovals {
        #[command(flatten)]
        order: Order,
        /// Names of commands, such as SetOverdraft.
        #[arg(value_name = "COMMAND")]
        commands: Vec<String>,
    },
}

#[derive(Args)]
pub(crate) struct TransfersArgs {
    #[command(flatten)]
    access: Access,
    /// Of this account.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "ids", required_unless_present = "ids")]
    account: Option<u128>,
    /// With this account alone.
    #[arg(long, value_name = "ACCOUNT", requires = "account")]
    counterparty: Option<u128>,
    /// Of this code alone.
    #[arg(long, requires = "account")]
    code: Option<u16>,
    /// From this instant on.
    #[arg(long, value_name = "TIME", requires = "account")]
    from: Option<String>,
    /// Up to this instant.
    #[arg(long, value_name = "TIME", requires = "account")]
    to: Option<String>,
    /// The newest first.
    #[arg(long, requires = "account")]
    backwards: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Ids of transfers.
    #[arg(value_name = "TRANSFER")]
    ids: Vec<u128>,
}

#[derive(Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    access: Access,
    /// Its id.
    #[arg(long, value_name = "ACCOUNT")]
    id: u128,
    /// Id of its asset.
    #[arg(long, value_name = "ASSET")]
    ledger: u32,
    /// Its place in the chart of accounts.
    #[arg(long)]
    code: u16,
    /// client, house, fee, external, liquidity or suspense.
    #[arg(long, default_value = "client")]
    class: String,
    /// Id of the client whose it is; 0 = the house's.
    #[arg(long, value_name = "CLIENT", default_value_t = 0)]
    owner: u64,
    /// Its debits never exceed its credits.
    #[arg(long)]
    never_overdrawn: bool,
}

#[derive(Args)]
pub(crate) struct TransferArgs {
    #[command(flatten)]
    access: Access,
    /// Its id, if it was chosen before: the same may be sent again and is executed once.
    #[arg(long, value_name = "TRANSFER")]
    id: Option<u128>,
    /// Pays.
    #[arg(long, value_name = "ACCOUNT")]
    debit: u128,
    /// Is paid.
    #[arg(long, value_name = "ACCOUNT")]
    credit: u128,
    /// How much, in minor units.
    #[arg(long, value_name = "UNITS")]
    amount: u128,
    /// Id of the asset.
    #[arg(long, value_name = "ASSET")]
    ledger: u32,
    /// Why.
    #[arg(long, default_value_t = 1)]
    code: u16,
    /// Reserve it; it expires after so many seconds, 0 = never.
    #[arg(long, value_name = "SECONDS")]
    pending: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// [`NodeFault::Ledger`] with what the client library says, and [`NodeFault::Refused`] for a row that was not created.
pub(crate) fn run(command: LedgerCommand) -> Result<(), NodeFault> {
    match command {
        LedgerCommand::Accounts { access, accounts } => {
            let ids: Vec<AccountId> = accounts.into_iter().map(AccountId).collect();
            let (_, found) = access.client()?.lookup_accounts(&ids, access.freshness())?;
            let missing = ids.len() - found.len();
            access.show(&found.iter().map(AccountLine::of).collect::<Vec<_>>(), AccountLine::HEAD)?;
            all_found(missing, ids.len())
        }
        LedgerCommand::Balances { access, at, value_date, accounts } => {
            let at = at.as_deref().map_or(Ok(At::Now), when)?;
            if let Some(day) = value_date {
                return settings::value_balances(&access, &day, at, &accounts);
            }
            let mut client = access.client()?;
            let mut lines = Vec::new();
            for account in accounts {
                let balance = client.balance_at(AccountId(account), at, access.freshness())?;
                lines.push(BalanceLine::of(&balance));
            }
            access.show(&lines, BalanceLine::HEAD)
        }
        LedgerCommand::Transfers(args) => transfers(&args),
        LedgerCommand::Open(args) => open(&args),
        LedgerCommand::Transfer(args) => transfer(&args),
        LedgerCommand::Corrections { access, transfer } => corrections::show(&access, transfer),
        LedgerCommand::Correct(args) => corrections::propose(&args),
        LedgerCommand::Overdrafts { access, accounts } => settings::overdrafts(&access, &accounts),
        LedgerCommand::SetOverdraft(args) => settings::set_overdraft(&args),
        LedgerCommand::Update(args) => settings::update(&args),
        LedgerCommand::Chart { access, ledger } => chart::show(&access, ledger),
        LedgerCommand::SetAccountCode(args) => chart::set(&args),
        LedgerCommand::SetLimits(args) => chart::set_limits(&args),
        LedgerCommand::Calendar { access } => settings::calendar(&access),
        LedgerCommand::SetCalendar(args) => settings::set_calendar(&args),
        LedgerCommand::CloseDay { order, date, next } => settings::close_day(&order, &date, &next),
        LedgerCommand::Monitors(args) => settings::monitors(&args),
        LedgerCommand::DefineMonitor(args) => settings::define_monitor(&args),
        LedgerCommand::Triggers(args) => settings::triggers(&args),
        LedgerCommand::Quote(args) => orders::quote(&args),
        LedgerCommand::Quotes { access } => orders::quotes(&access),
        LedgerCommand::Exchange(args) => orders::exchange(&args),
        LedgerCommand::Exchanges { access, transfers } => orders::exchanges(&access, &transfers),
        LedgerCommand::DefineStandingOrder(args) => orders::define(&args),
        LedgerCommand::StandingOrders { access } => orders::list(&access),
        LedgerCommand::StandingOrderAttempts(args) => orders::attempts(&args),
        LedgerCommand::CancelStandingOrder { access, order } => orders::cancel(&access, order),
        LedgerCommand::Totals { access, ledger } => totals::show(&access, ledger),
        LedgerCommand::Proposals { access } => proposals::list(&access),
        LedgerCommand::Proposal { access, proposal } => proposals::show(&access, proposal),
        LedgerCommand::Approve { access, proposal } => proposals::approve(&access, proposal),
        LedgerCommand::Reject { access, proposal, note } => {
            proposals::reject(&access, proposal, note.as_deref())
        }
        LedgerCommand::SetApprovals { order, commands } => proposals::set_approvals(&order, &commands),
        LedgerCommand::RemoveMonitor { order, monitor } => settings::remove_monitor(&order, monitor),
    }
}

fn transfers(args: &TransfersArgs) -> Result<(), NodeFault> {
    let access = &args.access;
    let mut client = access.client()?;
    let instant = |text: &Option<String>| match text.as_deref().map(when).transpose()? {
        None => Ok(UnixNanos(0)),
        Some(At::Time(time)) => Ok(time),
        Some(At::Now | At::Seq(_)) => Err(NodeFault::Usage("--from and --to are instants".to_owned())),
    };
    let Some(account) = args.account else {
        let ids: Vec<TransferId> = args.ids.iter().copied().map(TransferId).collect();
        let (_, found) = client.lookup_transfers(&ids, access.freshness())?;
        let missing = ids.len() - found.len();
        access.show(&found.iter().map(TransferLine::of).collect::<Vec<_>>(), TransferLine::HEAD)?;
        return all_found(missing, ids.len());
    };
    let page = Page {
        limit: args.limit.clamp(1, PAGE_ROWS),
        counterparty: args.counterparty.map(AccountId),
        time_from: instant(&args.from)?,
        time_to: instant(&args.to)?,
        code: args.code,
        backwards: args.backwards,
        ..Page::of(AccountId(account))
    };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let found = client.all_account_transfers(page, access.freshness()).take(limit);
    let lines = found.map(|found| Ok(TransferLine::of(&found?))).collect::<Result<Vec<_>, ClientFault>>()?;
    access.show(&lines, TransferLine::HEAD)
}

fn open(args: &OpenArgs) -> Result<(), NodeFault> {
    let class = settings::class(&args.class)?;
    let flags = if args.never_overdrawn { account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS } else { 0 };
    let row = AccountRow {
        id: AccountId(args.id),
        owner: ClientId(args.owner),
        ledger: AssetId(args.ledger),
        code: args.code,
        flags,
        class: u16::from(class.code()),
        ..AccountRow::default()
    };
    let result = args.access.client()?.create_accounts(&[row])?;
    outcome(&args.access, args.id, &result)
}

fn transfer(args: &TransferArgs) -> Result<(), NodeFault> {
    let mut client = args.access.client()?;
    let id = match args.id {
        Some(id) => TransferId(id),
        None => TransferIds::new(u64::from_le_bytes(folder::random()?)).next(client.now()),
    };
    let row = TransferRow {
        id,
        debit_account: AccountId(args.debit),
        credit_account: AccountId(args.credit),
        amount: Amount(args.amount),
        timeout_s: args.pending.unwrap_or(0),
        ledger: AssetId(args.ledger),
        code: args.code,
        flags: if args.pending.is_some() { transfer_flags::PENDING } else { 0 },
        ..TransferRow::default()
    };
    let result = client.create_transfers(&[row]).map_err(|fault| NodeFault::Transfer { id: id.0, fault })?;
    outcome(&args.access, id.0, &result)
}

/// What became of the only row of a batch.
#[derive(Serialize)]
struct OutcomeLine {
    id: String,
    result: &'static str,
    seq: u64,
}

fn outcome(access: &Access, id: u128, result: &BatchResult) -> Result<(), NodeFault> {
    let exception = result.exceptions.first();
    let (name, seq) = exception.map_or(("Created", result.seq), |row| (row.refusal.name(), row.seq));
    let line = OutcomeLine { id: id.to_string(), result: name, seq: seq.0 };
    access.show(&[line], &["id", "result", "seq"])?;
    if result.standing() == 1 { Ok(()) } else { Err(NodeFault::Refused { refused: 1, total: 1 }) }
}

fn all_found(missing: usize, asked: usize) -> Result<(), NodeFault> {
    if missing == 0 { Ok(()) } else { Err(NodeFault::NotFound { missing, asked }) }
}

/// An account on a line; amounts and ids as text, because JSON's numbers are too small for them.
#[derive(Serialize)]
struct AccountLine {
    account: String,
    ledger: u32,
    code: u16,
    class: String,
    owner: u64,
    flags: u16,
    debits_pending: String,
    debits_posted: String,
    credits_pending: String,
    credits_posted: String,
}

impl AccountLine {
    const HEAD: &[&str] = &[
        "account",
        "ledger",
        "code",
        "class",
        "owner",
        "flags",
        "debits_pending",
        "debits_posted",
        "credits_pending",
        "credits_posted",
    ];

    fn of(state: &AccountState) -> Self {
        let class = u8::try_from(state.account.class).ok().and_then(AccountClass::from_code);
        Self {
            account: state.account.id.to_string(),
            ledger: state.account.ledger.0,
            code: state.account.code,
            class: class_name(class),
            owner: state.account.owner.0,
            flags: state.account.flags,
            debits_pending: state.debits_pending.0.to_string(),
            debits_posted: state.debits_posted.0.to_string(),
            credits_pending: state.credits_pending.0.to_string(),
            credits_posted: state.credits_posted.0.to_string(),
        }
    }
}

#[derive(Serialize)]
struct BalanceLine {
    account: String,
    seq: u64,
    time: String,
    debits_pending: String,
    debits_posted: String,
    credits_pending: String,
    credits_posted: String,
}

impl BalanceLine {
    const HEAD: &[&str] =
        &["account", "seq", "time", "debits_pending", "debits_posted", "credits_pending", "credits_posted"];

    fn of(balance: &Balance) -> Self {
        Self {
            account: balance.account.to_string(),
            seq: balance.journal_seq.0,
            time: instant::write(balance.transact_time),
            debits_pending: balance.debits_pending.0.to_string(),
            debits_posted: balance.debits_posted.0.to_string(),
            credits_pending: balance.credits_pending.0.to_string(),
            credits_posted: balance.credits_posted.0.to_string(),
        }
    }
}

#[derive(Serialize)]
struct TransferLine {
    transfer: String,
    seq: u64,
    index: u32,
    time: String,
    debit_account: String,
    credit_account: String,
    amount: String,
    ledger: u32,
    code: u16,
    flags: u16,
    status: &'static str,
}

impl TransferLine {
    const HEAD: &[&str] = &[
        "transfer",
        "seq",
        "index",
        "time",
        "debit_account",
        "credit_account",
        "amount",
        "ledger",
        "code",
        "flags",
        "status",
    ];

    fn of(state: &TransferState) -> Self {
        Self {
            transfer: state.transfer.id.to_string(),
            seq: state.seq.0,
            index: state.index,
            time: instant::write(state.time),
            debit_account: state.transfer.debit_account.to_string(),
            credit_account: state.transfer.credit_account.to_string(),
            amount: state.transfer.amount.0.to_string(),
            ledger: state.transfer.ledger.0,
            code: state.transfer.code,
            flags: state.transfer.flags,
            status: state.status.name(),
        }
    }
}

/// A class as accounts are shown with it.
fn class_name(class: Option<AccountClass>) -> String {
    class.map_or("unknown", AccountClass::name).to_lowercase()
}

/// A seq, or an instant.
fn when(text: &str) -> Result<At, NodeFault> {
    let seq = || text.parse().ok().map(|seq| At::Seq(Seq(seq)));
    instant::read(text).map(At::Time).or_else(seq).ok_or_else(|| {
        NodeFault::Usage(format!("{text:?} is no seq and no instant such as 2026-03-01T12:00:00Z"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_seq_or_an_instant() {
        assert_eq!(when("17").unwrap(), At::Seq(Seq(17)));
        assert_eq!(when("1970-01-01T00:00:01Z").unwrap(), At::Time(UnixNanos(1_000_000_000)));
        for text in ["", "-1", "noon", "1970-01-01"] {
            assert!(matches!(when(text), Err(NodeFault::Usage(_))), "{text}");
        }
    }
}
