//! What is set in the ledger beside accounts and transfers: overdraft lines, accounts' codes, the calendar, balance monitors.

use clap::Args;
use client::At;
use protocol::binary::{MonitorState, OverdraftState, TriggerState, ValueBalance};
use protocol::commands::{CloseDay, DefineMonitor, RemoveMonitor, SetCalendar, SetOverdraft, UpdateAccount};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, MonitorField, MonitorId, MonitorOperator, Seq, UnixNanos,
};
use serde::Serialize;

use super::access::Access;
use super::class_name;
use super::proposals::Order;
use crate::fault::NodeFault;
use crate::instant::{self, DAYS};

/// Monitors that are asked for at once.
const PAGE_ROWS: u32 = 1_000;

#[derive(Args)]
pub(crate) struct OverdraftArgs {
    #[command(flatten)]
    order: Order,
    /// The account.
    #[arg(long, value_name = "ACCOUNT")]
    account: u128,
    /// How far, for ever, in minor units.
    #[arg(long, value_name = "UNITS", default_value_t = 0)]
    agreed: u128,
    /// How much further, until --until.
    #[arg(long, value_name = "UNITS", default_value_t = 0, requires = "until")]
    temporary: u128,
    /// When the temporary line ends, such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "TIME", requires = "temporary")]
    until: Option<String>,
    /// How what is used of it bears interest: free for the bank.
    #[arg(long, value_name = "CODE", default_value_t = 0)]
    interest_code: u16,
}

#[derive(Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    order: Order,
    /// The account.
    #[arg(long, value_name = "ACCOUNT")]
    account: u128,
    /// Its place in the chart of accounts.
    #[arg(long)]
    code: Option<u16>,
    /// Free for the bank.
    #[arg(long, value_name = "NUMBER")]
    user_data_128: Option<u128>,
    /// Free for the bank.
    #[arg(long, value_name = "NUMBER")]
    user_data_64: Option<u64>,
    /// Free for the bank.
    #[arg(long, value_name = "NUMBER")]
    user_data_32: Option<u32>,
}

#[derive(Args)]
pub(crate) struct CalendarArgs {
    #[command(flatten)]
    order: Order,
    /// The first day that is booked on, while none is set.
    #[arg(long, value_name = "DATE")]
    business_date: Option<String>,
    /// Days of the week that are no business days, such as sat,sun; none = all are.
    #[arg(long, value_name = "DAYS")]
    weekend: Option<String>,
    /// Other days that are none; may be given for each of them, all together take the place of those before.
    #[arg(long = "holiday", value_name = "DATE")]
    holidays: Vec<String>,
    /// No days but weekends are none.
    #[arg(long, conflicts_with = "holidays")]
    no_holidays: bool,
    /// How many days before the business date a transfer may take value.
    #[arg(long, value_name = "DAYS")]
    value_back_days: Option<u16>,
    /// How many days behind it.
    #[arg(long, value_name = "DAYS")]
    value_ahead_days: Option<u16>,
    /// How far local time is from UTC, such as +03:00.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    utc_offset: Option<String>,
}

#[derive(Args)]
pub(crate) struct MonitorsArgs {
    #[command(flatten)]
    access: Access,
    /// Of this account alone.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<u128>,
}

#[derive(Args)]
pub(crate) struct TriggersArgs {
    #[command(flatten)]
    access: Access,
    /// From this seq on.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from_seq: u64,
    /// At most so many.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

#[derive(Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    order: Order,
    /// Its id.
    #[arg(long, value_name = "MONITOR")]
    id: u64,
    /// The account that it watches.
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "ledger", conflicts_with = "ledger")]
    account: Option<u128>,
    /// Or all accounts of this asset, with --code and --class.
    #[arg(long, value_name = "ASSET", requires = "code", requires = "class")]
    ledger: Option<u32>,
    /// Their place in the chart of accounts.
    #[arg(long, requires = "ledger")]
    code: Option<u16>,
    /// Their class.
    #[arg(long, requires = "ledger")]
    class: Option<String>,
    /// DebitsPosted, CreditsPosted, DebitsPending, CreditsPending, Balance, Available, Inflow or Outflow.
    #[arg(long)]
    field: String,
    /// Below, AtMost, AtLeast or Above.
    #[arg(long)]
    operator: String,
    /// In minor units.
    #[arg(long, value_name = "UNITS", allow_hyphen_values = true)]
    value: String,
}

/// Shows the lines of accounts.
pub(super) fn overdrafts(access: &Access, accounts: &[u128]) -> Result<(), NodeFault> {
    let ids: Vec<AccountId> = accounts.iter().copied().map(AccountId).collect();
    let (_, found) = access.client()?.lookup_overdrafts(&ids, access.freshness())?;
    access.show(&found.iter().map(OverdraftLine::of).collect::<Vec<_>>(), OverdraftLine::HEAD)?;
    super::all_found(ids.len() - found.len(), ids.len())
}

/// Shows what of accounts' sums counts on a day, as it was known at a time.
pub(super) fn value_balances(access: &Access, day: &str, at: At, accounts: &[u128]) -> Result<(), NodeFault> {
    let day = date("--value-date", day)?;
    let (mut client, mut lines) = (access.client()?, Vec::new());
    for account in accounts {
        let found = client.value_balance(AccountId(*account), day, at, access.freshness())?;
        lines.push(ValueLine::of(&found));
    }
    access.show(&lines, ValueLine::HEAD)
}

/// Sets the lines of an account.
pub(super) fn set_overdraft(args: &OverdraftArgs) -> Result<(), NodeFault> {
    let until = args.until.as_deref().map(|text| instant::of_option("--until", text));
    let command = SetOverdraft {
        account: AccountId(args.account),
        agreed: Amount(args.agreed),
        temporary: Amount(args.temporary),
        temporary_until_ns: until.transpose()?.map_or(0, |time| time.0),
        interest_code: args.interest_code,
    };
    args.order.give(&mut args.order.access.client()?, command)
}

/// Changes what is named of an account. Between the question and the command another client may change it, too: the last one counts.
pub(super) fn update(args: &UpdateArgs) -> Result<(), NodeFault> {
    let access = &args.order.access;
    let mut client = access.client()?;
    let (_, found) = client.lookup_accounts(&[AccountId(args.account)], access.freshness())?;
    let Some(state) = found.first() else { return Err(NodeFault::NotFound { missing: 1, asked: 1 }) };
    let command = UpdateAccount {
        account: state.account.id,
        code: args.code.unwrap_or(state.account.code),
        user_data_128: args.user_data_128.unwrap_or(state.account.user_data_128),
        user_data_64: args.user_data_64.unwrap_or(state.account.user_data_64),
        user_data_32: args.user_data_32.unwrap_or(state.account.user_data_32),
    };
    args.order.give(&mut client, command)
}

/// Shows the calendar.
pub(super) fn calendar(access: &Access) -> Result<(), NodeFault> {
    let (seq, calendar) = access.client()?.calendar(access.freshness())?;
    let lines: Vec<CalendarLine> = calendar.iter().map(|calendar| CalendarLine::of(seq, calendar)).collect();
    access.show(&lines, CalendarLine::HEAD)?;
    super::all_found(1 - lines.len(), 1)
}

/// Sets what is named of the calendar.
pub(super) fn set_calendar(args: &CalendarArgs) -> Result<(), NodeFault> {
    let access = &args.order.access;
    let mut client = access.client()?;
    let (_, before) = client.calendar(access.freshness())?;
    let mut calendar = before.unwrap_or(SetCalendar {
        business_date: 0,
        weekend_days: 0,
        holidays: Vec::new(),
        value_back_days_max: 0,
        value_ahead_days_max: 0,
        utc_offset_s: 0,
        behind_utc: false,
    });
    if let Some(text) = &args.business_date {
        calendar.business_date = date("--business-date", text)?;
    }
    if let Some(text) = &args.weekend {
        calendar.weekend_days = weekend(text)?;
    }
    if args.no_holidays || !args.holidays.is_empty() {
        let days = args.holidays.iter().map(|text| date("--holiday", text));
        calendar.holidays = days.collect::<Result<_, _>>()?;
        calendar.holidays.sort_unstable();
        calendar.holidays.dedup();
    }
    calendar.value_back_days_max = args.value_back_days.unwrap_or(calendar.value_back_days_max);
    calendar.value_ahead_days_max = args.value_ahead_days.unwrap_or(calendar.value_ahead_days_max);
    if let Some(text) = &args.utc_offset {
        (calendar.utc_offset_s, calendar.behind_utc) = offset(text)?;
    }
    args.order.give(&mut client, calendar)
}

/// Closes a day.
pub(super) fn close_day(order: &Order, closed: &str, next: &str) -> Result<(), NodeFault> {
    let command = CloseDay { business_date: date("--date", closed)?, next: date("--next", next)? };
    order.give(&mut order.access.client()?, command)
}

/// Shows monitors.
pub(super) fn monitors(args: &MonitorsArgs) -> Result<(), NodeFault> {
    let access = &args.access;
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some(MonitorId(0)));
    while let Some(first) = from {
        let page = client.monitors(first, PAGE_ROWS, access.freshness())?;
        let is_meant =
            |monitor: &&MonitorState| args.account.is_none_or(|account| monitor.account.0 == account);
        lines.extend(page.monitors.iter().filter(is_meant).map(MonitorLine::of));
        from = page.next;
    }
    access.show(&lines, MonitorLine::HEAD)
}

/// Shows what monitors said.
pub(super) fn triggers(args: &TriggersArgs) -> Result<(), NodeFault> {
    let access = &args.access;
    let (mut client, mut lines, mut from) = (access.client()?, Vec::new(), Some((Seq(args.from_seq), 0)));
    while let Some(place) = from.filter(|_| lines.len() < args.limit) {
        let page = client.triggers(place, PAGE_ROWS, access.freshness())?;
        lines.extend(page.triggers.iter().map(TriggerLine::of));
        from = page.next;
    }
    lines.truncate(args.limit);
    access.show(&lines, TriggerLine::HEAD)
}

/// Defines a monitor.
pub(super) fn define_monitor(args: &MonitorArgs) -> Result<(), NodeFault> {
    let (value, negative) = signed(&args.value)?;
    let command = DefineMonitor {
        monitor: MonitorId(args.id),
        account: AccountId(args.account.unwrap_or(0)),
        ledger: AssetId(args.ledger.unwrap_or(0)),
        code: args.code.unwrap_or(0),
        class: args.class.as_deref().map(class).transpose()?,
        field: one_of("--field", &args.field, MonitorField::ALL, MonitorField::name)?,
        operator: one_of("--operator", &args.operator, MonitorOperator::ALL, MonitorOperator::name)?,
        value: Amount(value),
        negative,
    };
    args.order.give(&mut args.order.access.client()?, command)
}

/// Removes a monitor.
pub(super) fn remove_monitor(order: &Order, monitor: u64) -> Result<(), NodeFault> {
    order.give(&mut order.access.client()?, RemoveMonitor { monitor: MonitorId(monitor) })
}

#[derive(Serialize)]
struct OverdraftLine {
    account: String,
    agreed: String,
    temporary: String,
    until: String,
    interest_code: u16,
}

impl OverdraftLine {
    const HEAD: &[&str] = &["account", "agreed", "temporary", "until", "interest_code"];

    fn of(state: &OverdraftState) -> Self {
        let until = state.temporary_until_ns;
        Self {
            account: state.account.to_string(),
            agreed: state.agreed.0.to_string(),
            temporary: state.temporary.0.to_string(),
            until: if until == 0 { String::new() } else { instant::write(UnixNanos(until)) },
            interest_code: state.interest_code,
        }
    }
}

#[derive(Serialize)]
struct ValueLine {
    account: String,
    seq: u64,
    value_date: String,
    debits_posted: String,
    credits_posted: String,
}

impl ValueLine {
    const HEAD: &[&str] = &["account", "seq", "value_date", "debits_posted", "credits_posted"];

    fn of(found: &ValueBalance) -> Self {
        Self {
            account: found.account.to_string(),
            seq: found.journal_seq.0,
            value_date: instant::write_date(found.value_date),
            debits_posted: found.debits_posted.0.to_string(),
            credits_posted: found.credits_posted.0.to_string(),
        }
    }
}

#[derive(Serialize)]
struct CalendarLine {
    business_date: String,
    seq: u64,
    weekend: String,
    value_back_days: u16,
    value_ahead_days: u16,
    utc_offset: String,
    holidays: String,
}

impl CalendarLine {
    const HEAD: &[&str] =
        &["business_date", "seq", "weekend", "value_back_days", "value_ahead_days", "utc_offset", "holidays"];

    fn of(seq: Seq, calendar: &SetCalendar) -> Self {
        let bits = calendar.weekend_days;
        let weekend = (0..).zip(DAYS).filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, day)| day);
        let holidays = calendar.holidays.iter().map(|day| instant::write_date(*day));
        Self {
            business_date: instant::write_date(calendar.business_date),
            seq: seq.0,
            weekend: weekend.collect::<Vec<_>>().join(","),
            value_back_days: calendar.value_back_days_max,
            value_ahead_days: calendar.value_ahead_days_max,
            utc_offset: instant::write_offset(calendar.utc_offset_s, calendar.behind_utc),
            holidays: holidays.collect::<Vec<_>>().join(","),
        }
    }
}

#[derive(Serialize)]
struct MonitorLine {
    monitor: u64,
    account: String,
    ledger: u32,
    code: u16,
    class: String,
    field: &'static str,
    operator: &'static str,
    value: String,
}

impl MonitorLine {
    const HEAD: &[&str] = &["monitor", "account", "ledger", "code", "class", "field", "operator", "value"];

    fn of(state: &MonitorState) -> Self {
        Self {
            monitor: state.monitor.0,
            account: state.account.to_string(),
            ledger: state.ledger.0,
            code: state.code,
            class: state.class.map_or(String::new(), |class| class_name(Some(class))),
            field: state.field.name(),
            operator: state.operator.name(),
            value: sum(state.value, state.negative),
        }
    }
}

#[derive(Serialize)]
struct TriggerLine {
    seq: u64,
    index: u32,
    time: String,
    monitor: u64,
    account: String,
    ledger: u32,
    code: u16,
    class: String,
    value: String,
}

impl TriggerLine {
    const HEAD: &[&str] = &["seq", "index", "time", "monitor", "account", "ledger", "code", "class", "value"];

    fn of(state: &TriggerState) -> Self {
        Self {
            seq: state.seq.0,
            index: state.index,
            time: instant::write(state.time),
            monitor: state.monitor.0,
            account: state.account.to_string(),
            ledger: state.ledger.0,
            code: state.code,
            class: class_name(state.class),
            value: sum(state.value, state.negative),
        }
    }
}

/// A number that may lie below zero.
fn sum(value: Amount, negative: bool) -> String {
    format!("{}{}", if negative { "-" } else { "" }, value.0)
}

/// The class of this name.
pub(super) fn class(text: &str) -> Result<AccountClass, NodeFault> {
    one_of("--class", text, AccountClass::ALL, AccountClass::name)
}

/// One of a list by its name, in capitals or not.
pub(super) fn one_of<T: Copy>(
    what: &str,
    text: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, NodeFault> {
    all.iter().copied().find(|one| name(*one).eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        NodeFault::Usage(format!("{what} {text:?} is not one of {}", names.join(", ").to_lowercase()))
    })
}

pub(super) fn date(what: &str, text: &str) -> Result<u32, NodeFault> {
    let day = instant::read_date(text);
    day.ok_or_else(|| NodeFault::Usage(format!("{what} {text:?} is no date such as 2026-03-01")))
}

fn weekend(text: &str) -> Result<u8, NodeFault> {
    if text == "none" {
        return Ok(0);
    }
    let bit = |day: &str| DAYS.iter().position(|name| name.eq_ignore_ascii_case(day)).map(|at| 1 << at);
    let bits = text.split(',').map(bit).try_fold(0, |bits, bit| Some(bits | bit?));
    bits.ok_or_else(|| NodeFault::Usage(format!("--weekend {text:?} is no list such as sat,sun, nor none")))
}

/// Seconds from UTC, and whether behind it.
fn offset(text: &str) -> Result<(u32, bool), NodeFault> {
    let offset = instant::read_offset(text);
    offset.ok_or_else(|| NodeFault::Usage(format!("--utc-offset {text:?} is no offset such as +03:00")))
}

/// A number, and whether it lies below zero.
fn signed(text: &str) -> Result<(u128, bool), NodeFault> {
    let (digits, negative) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
    let value: Option<u128> =
        digits.parse().ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_digit()));
    let value = value.ok_or_else(|| NodeFault::Usage(format!("--value {text:?} is no number")))?;
    Ok((value, negative && value > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_or_refused() {
        assert_eq!(
            (weekend("sat,sun").unwrap(), weekend("Fri").unwrap(), weekend("none").unwrap()),
            (0x60, 0x10, 0)
        );
        assert_eq!((offset("+03:00").unwrap(), offset("-04:30").unwrap()), ((10_800, false), (16_200, true)));
        assert_eq!(offset("-00:00").unwrap(), (0, false));
        assert_eq!((signed("7").unwrap(), signed("-7").unwrap()), ((7, false), (7, true)));
        assert_eq!((signed("-0").unwrap(), class("Fee").unwrap()), ((0, false), AccountClass::Fee));
        for text in ["", "3", "+3", "+03:60", "+3:00", "+03:0a", "é03:00", "+03:00:00"] {
            assert!(matches!(offset(text), Err(NodeFault::Usage(_))), "{text}");
        }
        for text in ["", "-", "+7", "--7", "7.5", "340282366920938463463374607431768211456"] {
            assert!(matches!(signed(text), Err(NodeFault::Usage(_))), "{text}");
        }
        for text in ["", "saturday", "sat,", "sat sun"] {
            assert!(matches!(weekend(text), Err(NodeFault::Usage(_))), "{text}");
        }
    }
}
