//! `sicil ledger`: accounts, transfers and balances from the command line, through the client library as any client.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::{At, BatchResult, Client, ClientFault, Credentials, Freshness, Options, Page, TransferIds};
use protocol::binary::{AccountState, Balance, TransferState};
use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::{AccountClass, AccountId, Amount, AssetId, ClientId, Seq, SessionId, TransferId, UnixNanos};
use serde::Serialize;

use crate::fault::NodeFault;
use crate::{folder, instant, print, skip};

/// Where a node of this host takes clients of the ledger, unless it is said otherwise.
const NODE_DEFAULT: &str = "127.0.0.1:9881";

/// Transfers that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

/// As whom, where, and how the answer is shown.
#[derive(Args)]
pub(crate) struct Access {
    /// A node of the cluster; may be given for each of them.
    #[arg(long = "addr", value_name = "HOST:PORT", default_value = NODE_DEFAULT)]
    nodes: Vec<String>,
    /// The session; without it, and without a key, that of a demo.
    #[arg(long, value_name = "ID", requires = "key")]
    session: Option<u32>,
    /// File with the private key of the session's actor, as `sicil key` makes it.
    #[arg(long, value_name = "FILE", requires = "session")]
    key: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Miss nothing that was acknowledged anywhere before: a quorum has to answer.
    #[arg(long)]
    linearizable: bool,
    /// Wait until this seq is applied.
    #[arg(long, value_name = "SEQ")]
    min_seq: Option<u64>,
    /// How long an answer is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout_s: u64,
}

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
        /// Ids of accounts.
        #[arg(value_name = "ACCOUNT", required = true)]
        accounts: Vec<u128>,
    },
    /// Create an account.
    Open(OpenArgs),
    /// Move money, or reserve it.
    Transfer(TransferArgs),
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
        LedgerCommand::Balances { access, at, accounts } => {
            let at = at.as_deref().map_or(Ok(At::Now), when)?;
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
    let named = |class: &&AccountClass| class.name().eq_ignore_ascii_case(&args.class);
    let class = AccountClass::ALL.iter().find(named).ok_or_else(|| {
        let names: Vec<&str> = AccountClass::ALL.iter().map(|class| class.name()).collect();
        NodeFault::Usage(format!(
            "--class {:?} is not one of {}",
            args.class,
            names.join(", ").to_lowercase()
        ))
    })?;
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

impl Access {
    fn client(&self) -> Result<Client, NodeFault> {
        let credentials = match (self.session, &self.key) {
            (Some(session), Some(path)) => {
                Credentials { session: SessionId(session), key: skip::read_key(path)? }
            }
            _ => Credentials::demo(),
        };
        let options = Options::new(self.nodes.clone(), credentials);
        Ok(Client::connect(Options { patience_ms: self.timeout_s.saturating_mul(1_000), ..options })?)
    }

    fn freshness(&self) -> Freshness {
        Freshness { min_seq: Seq(self.min_seq.unwrap_or(0)), linearizable: self.linearizable }
    }

    fn show<L: Serialize>(&self, lines: &[L], head: &[&str]) -> Result<(), NodeFault> {
        let json = |line: &L| serde_json::to_value(line).map_err(|e| NodeFault::Internal(e.to_string()));
        let lines = lines.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        let mut out = String::new();
        if self.json {
            lines.iter().for_each(|line| out += &format!("{line}\n"));
            return print(&out);
        }
        let cell = |line: &serde_json::Value, column: &str| {
            let value = &line[column];
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let rows: Vec<Vec<String>> =
            lines.iter().map(|line| head.iter().map(|column| cell(line, column)).collect()).collect();
        print(&table(head, &rows))
    }
}

/// Columns as wide as their widest cell, numbers to the right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
        cells.chain([head.get(column).map_or(0, |name| name.len())]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, &width)| {
            let is_number = cell.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let text = padded.collect::<Vec<_>>().join("  ");
        out += text.trim_end();
        out.push('\n');
    };
    line(&mut head.iter().copied());
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
    out
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
            class: class.map_or("unknown", AccountClass::name).to_lowercase(),
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
    fn a_table_is_as_wide_as_it_has_to_be() {
        let rows = [["7", "open"], ["1234567890", "x"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&["id", "state"], &rows), "id          state\n         7  open\n1234567890  x\n");
        assert_eq!(table(&["id", "state"], &[]), "id  state\n");
    }

    #[test]
    fn a_moment_is_a_seq_or_an_instant() {
        assert_eq!(when("17").unwrap(), At::Seq(Seq(17)));
        assert_eq!(when("1970-01-01T00:00:01Z").unwrap(), At::Time(UnixNanos(1_000_000_000)));
        for text in ["", "-1", "noon", "1970-01-01"] {
            assert!(matches!(when(text), Err(NodeFault::Usage(_))), "{text}");
        }
    }
}
