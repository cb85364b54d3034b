//! `perf berka`: the transactions of a real bank (PKDD'99, `trans_test.csv`) through the ledger, day by day.
//!
//! A row is one transfer: a credit comes from outside, everything else goes there. The file rounds amounts to 0.10 and does not say
//! in which order the rows of a day happened; so at the end of each day the balance of each account that moved must stand within
//! 1.00 of the balance that one of its rows of that day names.
//!
//! The engine alone is asked after each day. A node is asked when all is done, for the balances of the past.

mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use protocol::calendar::days_since_1970;
use protocol::money::parse_decimal;
use protocol::rows::{AccountRow, TransferRow};
use protocol::time::{NANOS_PER_DAY, NANOS_PER_MILLI};
use protocol::{AccountClass, AccountId, AssetId, ClientId, TransferId, UnixNanos};

use crate::bank::{Bank, LEDGER, account, transfer};
use crate::fault::Fault;

/// Crowns have two decimals.
const SCALE: u8 = 2;
/// The most, in hundredths, by which a balance may differ.
const DIFFERENCE_MAX: u128 = 100;

/// Which bank.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Transactions: trans_id;account_id;date;type;operation;amount;balance;…
    file: PathBuf,
    /// Through a node, where it listens for the binary protocol; without it, the engine alone.
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
    /// Asset of the accounts. The default fits the built-in demo.
    #[arg(long, requires = "addr", default_value_t = 4)]
    ledger: u32,
}

/// How far balances are from what the bank says.
#[derive(Default)]
struct Tally {
    /// Days on which an account moved.
    days: u64,
    largest: u128,
}

impl Tally {
    /// Compares the balances at the end of a day: each account that moved with the nearest that its rows of the day name.
    fn compare(&mut self, of_day: &[Row], balances: &BTreeMap<u64, i128>) {
        let mut nearest = BTreeMap::new();
        for row in of_day {
            let difference = balances[&row.account].abs_diff(row.balance);
            let known = nearest.entry(row.account).or_insert(difference);
            *known = difference.min(*known);
        }
        for (owner, difference) in nearest {
            self.days += 1;
            if difference > DIFFERENCE_MAX {
                println!("account {owner}, day {}: {}", of_day[0].day, crowns(difference));
            }
            self.largest = self.largest.max(difference);
        }
    }
}

/// A transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    trans: u64,
    account: u64,
    /// Days since 1970-01-01.
    day: u64,
    is_credit: bool,
    amount: u128,
    /// Of the account behind it.
    balance: i128,
}

/// Which accounts of the ledger are the bank's.
struct Chart {
    ledger: AssetId,
    /// The world outside.
    outside: AccountId,
    /// Ids of the others count on from here.
    accounts_from: u128,
}

impl Chart {
    fn id_of(&self, owner: u64) -> AccountId {
        AccountId(self.accounts_from + u128::from(owner))
    }

    /// The world outside, and each owner's.
    fn accounts(&self, owners: &BTreeSet<u64>) -> Vec<AccountRow> {
        let outside = account(self.outside, AccountClass::External, ClientId(0));
        let of_clients =
            owners.iter().map(|owner| account(self.id_of(*owner), AccountClass::Client, ClientId(*owner)));
        let rows = [outside].into_iter().chain(of_clients);
        rows.map(|row| AccountRow { ledger: self.ledger, ..row }).collect()
    }

    fn movement(&self, row: &Row, id: TransferId) -> TransferRow {
        let account = self.id_of(row.account);
        let (debit, credit) = if row.is_credit { (self.outside, account) } else { (account, self.outside) };
        let moved = transfer(id, debit, credit, row.amount);
        TransferRow { ledger: self.ledger, user_data_64: row.trans, ..moved }
    }
}

/// Replays the file and prints how far the ledger is from it.
pub(crate) fn run(args: &Args) -> Result<(), Fault> {
    let mut rows = read(&args.file)?;
    rows.sort_by_key(|row| row.day);
    let owners: BTreeSet<u64> = rows.iter().map(|row| row.account).collect();
    let Tally { days, largest } = match &args.addr {
        Some(addr) => remote::run(args, addr, &rows, &owners)?,
        None => run_in_process(&rows, &owners)?,
    };
    println!("{} accounts, {} transactions", owners.len(), rows.len());
    println!("days={days} largest_difference={}", crowns(largest));
    if largest > DIFFERENCE_MAX {
        return Err(Fault::Engine(format!("a balance is {} from what the bank says", crowns(largest))));
    }
    Ok(())
}

fn run_in_process(rows: &[Row], owners: &BTreeSet<u64>) -> Result<Tally, Fault> {
    let first = rows.first().ok_or(Fault::Arguments("a file without transactions"))?;
    let mut bank = Bank::new(start_of(first.day), "CZK", SCALE)?;
    let chart = Chart { ledger: LEDGER, outside: AccountId(1), accounts_from: 1_000 };
    bank.create_accounts(&chart.accounts(owners))?;
    let mut tally = Tally::default();
    for of_day in rows.chunk_by(|one, next| one.day == next.day) {
        bank.time = bank.time.max(start_of(of_day[0].day));
        bank.create_transfers(of_day.iter().map(|row| chart.movement(row, transfer_id(row))).collect())?;
        let accounts = bank.engine.accounts().filter(|view| view.account != chart.outside);
        let balances =
            accounts.map(|view| (view.client.0, signed(view.credits.0) - signed(view.debits.0))).collect();
        tally.compare(of_day, &balances);
    }
    bank.check()?;
    Ok(tally)
}

/// Midnight.
fn start_of(day: u64) -> UnixNanos {
    UnixNanos(day * NANOS_PER_DAY)
}

/// Of the day on which it happened.
fn transfer_id(row: &Row) -> TransferId {
    TransferId::at_ms(start_of(row.day).0 / NANOS_PER_MILLI, row.trans.into())
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

fn crowns(hundredths: u128) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn read(path: &Path) -> Result<Vec<Row>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| Fault::Read { path: path.to_owned(), error })?;
    let lines = text.lines().enumerate().skip(1);
    lines
        .map(|(index, line)| {
            parse(line).ok_or_else(|| Fault::Format {
                path: path.to_owned(),
                line: Some(index + 1),
                what: "not trans_id;account_id;date;type;operation;amount;balance",
            })
        })
        .collect()
}

fn parse(line: &str) -> Option<Row> {
    let mut fields = line.split(';').map(|field| field.trim_matches('"'));
    let trans = fields.next()?.parse().ok()?;
    let account = fields.next()?.parse().ok()?;
    let day = day_of(fields.next()?)?;
    let is_credit = fields.next()? == "credit";
    let amount = parse_decimal(fields.nth(1)?.as_bytes(), SCALE).ok()?;
    let balance = fields.next()?;
    let (sign, digits) = balance.strip_prefix('-').map_or((1, balance), |digits| (-1, digits));
    let balance = sign * signed(parse_decimal(digits.as_bytes(), SCALE).ok()?);
    Some(Row { trans, account, day, is_credit, amount, balance })
}

/// Days since 1970-01-01 of a YYMMDD of the last century.
fn day_of(date: &str) -> Option<u64> {
    let number: u64 = date.parse().ok().filter(|_| date.len() == 6)?;
    days_since_1970(1_900 + number / 10_000, number / 100 % 100, number % 100)
}

#[cfg(test)]
mod tests {
    use super::{Row, day_of, parse};

    #[test]
    fn rows_are_read_as_they_stand() {
        let row = parse("6456;25;960906;withdrawal;withdrawal in cash;36000.00;-77580.50;;;").unwrap();
        let day = day_of("960906").unwrap();
        let expected =
            Row { trans: 6_456, account: 25, day, is_credit: false, amount: 3_600_000, balance: -7_758_050 };
        assert_eq!(row, expected);
        assert_eq!(parse("6456;25;960906;withdrawal;;12.345;0;;;"), None, "crowns have two decimals");
        assert_eq!(parse("6456;25;9609;credit;;12.34;0;;;"), None);
    }

    #[test]
    fn days_count_from_1970() {
        assert_eq!(day_of("700101"), Some(0));
        assert_eq!(day_of("930101"), Some(8_401));
        assert_eq!(day_of("960301"), Some(9_556), "1996 was a leap year");
        assert_eq!((day_of("691231"), day_of("961301"), day_of("96010")), (None, None, None));
    }
}
