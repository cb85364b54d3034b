//! What a bank says of its accounts and days, in the model: overdrafts, changed accounts, the calendar, monitors.

use std::collections::{BTreeMap, BTreeSet};

use protocol::calendar::DAY_MAX;
use protocol::commands::{
    CloseDay, DefineMonitor, SetCalendar, SetLedgerLimits, SetOverdraft, UpdateAccount,
};
use protocol::limits::{
    CORRECTED_TRANSFERS_MAX, CORRECTION_WINDOW_MAX_MS, ID_AHEAD_MAX_MS, ID_WINDOW_MAX_MS, LEDGER_TABLE_MAX,
};
use protocol::rows::{LedgerTotals, account_flags};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, EventBody, MonitorField, MonitorId, MonitorOperator,
    RejectReason, events,
};

use super::bank_chart::Chart;
use super::bank_corrections::Corrections;
use super::bank_exchange::Quotes;
use super::bank_orders::StandingOrders;
use super::model::{Account, Balances, Model};

/// What follows from a command, before its reply, or why nothing does.
pub(crate) type Answer = Result<Vec<EventBody>, Refusal>;
/// Why, and what is meant.
pub(crate) type Refusal = (RejectReason, String);

/// A number of more than 128 bits: `high` × 2^128 + `low`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Wide {
    high: i64,
    low: u128,
}

impl Wide {
    fn plus(self, by: u128) -> Self {
        let (low, over) = self.low.overflowing_add(by);
        Self { high: self.high + i64::from(over), low }
    }

    fn minus(self, by: u128) -> Self {
        let (low, under) = self.low.overflowing_sub(by);
        Self { high: self.high - i64::from(under), low }
    }

    fn signed(value: Amount, negative: bool) -> Self {
        if negative { Self::default().minus(value.0) } else { Self::default().plus(value.0) }
    }

    /// At most the largest amount, and whether it is below zero.
    fn amount(self) -> (Amount, bool) {
        match (self.high, self.low) {
            (0, low) => (Amount(low), false),
            (-1, low) if low > 0 => (Amount(low.wrapping_neg()), true),
            (high, _) => (Amount(u128::MAX), high < 0),
        }
    }
}

/// A monitor, and whether its condition was true.
#[derive(Clone, Debug)]
struct Monitor {
    definition: DefineMonitor,
    was_true: bool,
}

/// All that the bank has said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bank {
    pub(crate) lines: BTreeMap<u128, SetOverdraft>,
    /// Accounts that were below zero when they had lines no more.
    used: BTreeSet<u128>,
    pub(crate) calendar: Option<SetCalendar>,
    pub(crate) chart: Chart,
    /// The day that was closed last, and the next.
    closed: Option<CloseDay>,
    monitors: BTreeMap<u64, Monitor>,
    pub(super) quotes: Quotes,
    pub(super) standing_orders: StandingOrders,
    /// Debit account and id of every standing order that there ever was.
    pub(super) defined: Vec<(u128, u64)>,
    pub(super) corrections: Corrections,
}

impl Bank {
    /// How far an account's debits may exceed its credits now.
    pub(crate) fn line(&self, account: u128, time: u64) -> u128 {
        let Some(line) = self.lines.get(&account) else { return 0 };
        line.agreed.0 + if time < line.temporary_until_ns { line.temporary.0 } else { 0 }
    }

    pub(crate) fn takes_value(&self, day: u32) -> bool {
        let Some(calendar) = &self.calendar else { return day == 0 };
        let (day, present) = (i64::from(day), i64::from(calendar.business_date));
        let first = present - i64::from(calendar.value_back_days_max);
        let last = present + i64::from(calendar.value_ahead_days_max);
        day == 0 || (first <= day && day <= last)
    }
}

/// Whether `day` is one, by a calendar.
pub(super) fn is_business_day(calendar: &SetCalendar, day: u32) -> bool {
    // The first day of all was a Thursday; bit 0 is Monday.
    let weekday = (day + 3) % 7;
    calendar.weekend_days & (1 << weekday) == 0 && !calendar.holidays.contains(&day)
}

impl Model {
    pub(crate) fn set_limits(&mut self, set: &SetLedgerLimits) -> Answer {
        if set.id_window_ms == 0 || set.id_window_ms > ID_WINDOW_MAX_MS {
            return out_of_range("id_window_ms");
        }
        if set.id_ahead_ms > ID_AHEAD_MAX_MS {
            return out_of_range("id_ahead_ms");
        }
        // As many as the rows of the largest batch.
        if set.transfer_ids_max < 8_189 || set.transfer_ids_max > LEDGER_TABLE_MAX {
            return out_of_range("transfer_ids_max");
        }
        if set.pending_transfers_max > LEDGER_TABLE_MAX {
            return out_of_range("pending_transfers_max");
        }
        if set.correction_window_ms == 0 || set.correction_window_ms > CORRECTION_WINDOW_MAX_MS {
            return out_of_range("correction_window_ms");
        }
        if set.corrected_transfers_max > CORRECTED_TRANSFERS_MAX {
            return out_of_range("corrected_transfers_max");
        }
        if self.limits == *set {
            return refused(RejectReason::Exists);
        }
        self.limits = set.clone();
        Ok(vec![events::LedgerLimitsSet { limits: set.clone() }.into()])
    }

    pub(crate) fn set_overdraft(&mut self, set: &SetOverdraft) -> Answer {
        let SetOverdraft { agreed, temporary, temporary_until_ns: until, interest_code, account } = *set;
        let Some(row) = self.accounts.get(&account.0) else { return refused(RejectReason::UnknownAccount) };
        let is_covered_again = self.bank.used.contains(&account.0) && !row.is_below_zero();
        if self.overdraft(account) == *set && !is_covered_again {
            return refused(RejectReason::Exists);
        }
        let is_nothing = agreed.0 == 0 && temporary.0 == 0;
        if row.row.flags & account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS == 0 {
            return out_of_range("account");
        }
        if agreed.0.checked_add(temporary.0).is_none() {
            return out_of_range("temporary");
        }
        if (temporary.0 == 0) != (until == 0) || (temporary.0 > 0 && until <= self.time) {
            return out_of_range("temporary_until_ns");
        }
        if is_nothing && interest_code != 0 {
            return out_of_range("interest_code");
        }
        self.keep_lines(set.clone());
        Ok(vec![events::OverdraftSet { overdraft: set.clone() }.into()])
    }

    pub(crate) fn overdraft(&self, account: AccountId) -> SetOverdraft {
        let none = SetOverdraft {
            account,
            agreed: Amount(0),
            temporary: Amount(0),
            temporary_until_ns: 0,
            interest_code: 0,
        };
        self.bank.lines.get(&account.0).cloned().unwrap_or(none)
    }

    /// The next temporary line to end: when, and whose.
    pub(crate) fn next_line_end(&self) -> Option<(u64, u128)> {
        let ends = self.bank.lines.iter().filter(|(_, line)| line.temporary.0 > 0);
        ends.map(|(account, line)| (line.temporary_until_ns, *account)).min()
    }

    /// Sets the lines of an account, or that it has none; whether it still uses what it had.
    fn keep_lines(&mut self, lines: SetOverdraft) {
        let account = lines.account.0;
        self.bank.lines.remove(&account);
        self.bank.used.remove(&account);
        if lines.agreed.0 > 0 || lines.temporary.0 > 0 {
            self.bank.lines.insert(account, lines);
        } else if self.accounts[&account].is_below_zero() {
            self.bank.used.insert(account);
        }
    }

    pub(crate) fn end_line(&mut self, account: u128) -> EventBody {
        let line = self.bank.lines[&account].clone();
        let (temporary, agreed) = (line.temporary, line.agreed);
        self.keep_lines(SetOverdraft { temporary: Amount(0), temporary_until_ns: 0, ..line });
        events::OverdraftLineEnded { account: AccountId(account), temporary, agreed }.into()
    }

    pub(crate) fn update_account(&mut self, update: &UpdateAccount) -> Answer {
        let &UpdateAccount { account, code, user_data_128, user_data_64, user_data_32 } = update;
        let Some(there) = self.accounts.get(&account.0) else {
            return refused(RejectReason::UnknownAccount);
        };
        if code == 0 {
            return out_of_range("code");
        }
        let mut row = there.row;
        (row.code, row.user_data_128) = (code, user_data_128);
        (row.user_data_64, row.user_data_32) = (user_data_64, user_data_32);
        if row == there.row {
            return refused(RejectReason::Exists);
        }
        let is_other = row.code != there.row.code;
        if let Some(refusal) = self.refuse_code(&row).filter(|_| is_other) {
            return refused_of(RejectReason::AccountCodeRefused, refusal.name());
        }
        self.accounts.get_mut(&account.0).unwrap().row = row;
        Ok(vec![events::AccountUpdated { account, code, user_data_128, user_data_64, user_data_32 }.into()])
    }

    pub(crate) fn set_calendar(&mut self, set: &SetCalendar) -> Answer {
        if self.bank.calendar.as_ref() == Some(set) {
            return refused(RejectReason::Exists);
        }
        let present = self.bank.calendar.as_ref().map(|calendar| calendar.business_date);
        let mut holidays = set.holidays.clone();
        holidays.sort_unstable();
        holidays.dedup();
        let no_days = |days: &[u32]| days.iter().any(|day| *day == 0 || *day > DAY_MAX);
        if no_days(&[set.business_date]) {
            return out_of_range("business_date");
        }
        if set.weekend_days & 0x7f == 0x7f || set.weekend_days > 0x7f {
            return out_of_range("weekend_days");
        }
        if holidays != set.holidays || no_days(&holidays) || holidays.len() > 512 {
            return out_of_range("holidays");
        }
        if set.utc_offset_s > 14 * 3_600 {
            return out_of_range("utc_offset_s");
        }
        if set.behind_utc && set.utc_offset_s == 0 {
            return out_of_range("behind_utc");
        }
        if present.is_some_and(|present| present != set.business_date) {
            return out_of_range("business_date");
        }
        self.bank.calendar = Some(set.clone());
        let mut happened = vec![events::CalendarSet { calendar: set.clone() }.into()];
        happened.extend(self.reschedule());
        Ok(happened)
    }

    pub(crate) fn close_day(&mut self, close: &CloseDay) -> Answer {
        let Some(calendar) = &self.bank.calendar else { return out_of_range("business_date") };
        if self.bank.closed.as_ref() == Some(close) {
            return refused(RejectReason::Exists);
        }
        if close.business_date != calendar.business_date {
            return out_of_range("business_date");
        }
        let is_later = close.next > close.business_date && close.next <= DAY_MAX;
        if !is_later || !is_business_day(calendar, close.next) {
            return out_of_range("next");
        }
        let totals = self.ledger_totals();
        self.bank.calendar.as_mut().unwrap().business_date = close.next;
        self.bank.closed = Some(close.clone());
        let CloseDay { business_date, next } = *close;
        Ok(vec![events::DayClosed { business_date, next, totals }.into()])
    }

    fn ledger_totals(&self) -> Vec<LedgerTotals> {
        let mut sums: BTreeMap<u32, (u64, Balances)> = BTreeMap::new();
        for Account { row, balances, .. } in self.accounts.values() {
            let (accounts, sum) = sums.entry(row.ledger.0).or_default();
            *accounts += 1;
            sum.debits_pending = sum.debits_pending.saturating_add(balances.debits_pending);
            sum.debits_posted = sum.debits_posted.saturating_add(balances.debits_posted);
            sum.credits_pending = sum.credits_pending.saturating_add(balances.credits_pending);
            sum.credits_posted = sum.credits_posted.saturating_add(balances.credits_posted);
        }
        let of_ledger = |(ledger, (accounts, sum)): (u32, (u64, Balances))| LedgerTotals {
            ledger: AssetId(ledger),
            debits_pending: Amount(sum.debits_pending),
            debits_posted: Amount(sum.debits_posted),
            credits_pending: Amount(sum.credits_pending),
            credits_posted: Amount(sum.credits_posted),
            accounts,
        };
        sums.into_iter().map(of_ledger).collect()
    }

    /// A monitor of an account that is there, or of a slice of a ledger that is. It triggers at once where it is true.
    pub(crate) fn define_monitor(&mut self, definition: &DefineMonitor) -> Answer {
        if let Some(there) = self.bank.monitors.get(&definition.monitor.0) {
            if there.definition == *definition {
                return refused(RejectReason::Exists);
            }
            let field = there.definition.first_difference(definition).unwrap();
            return refused_of(RejectReason::ExistsWithDifferent, field);
        }
        if let Some(field) = wrong_field(definition) {
            return out_of_range(field);
        }
        if definition.account.0 == 0 && !self.assets.contains(&definition.ledger.0) {
            return refused(RejectReason::UnknownAsset);
        }
        if definition.account.0 != 0 && !self.accounts.contains_key(&definition.account.0) {
            return refused(RejectReason::UnknownAccount);
        }
        let watched = |there: &&Monitor| {
            let (one, other) = (&there.definition, definition);
            (one.account, one.ledger, one.code, one.class)
                == (other.account, other.ledger, other.code, other.class)
        };
        if self.bank.monitors.values().filter(watched).count() >= 16 {
            return refused(RejectReason::TableFull);
        }
        let monitor = Monitor { definition: definition.clone(), was_true: false };
        self.bank.monitors.insert(definition.monitor.0, monitor);
        let mut follows = vec![events::MonitorDefined { definition: definition.clone() }.into()];
        // What was true of the others was said before.
        follows.extend(self.judge_monitors(&self.accounts.clone()));
        Ok(follows)
    }

    pub(crate) fn remove_monitor(&mut self, monitor: MonitorId) -> Answer {
        if self.bank.monitors.remove(&monitor.0).is_none() {
            return refused(RejectReason::UnknownMonitor);
        }
        Ok(vec![events::MonitorRemoved { monitor }.into()])
    }

    pub(crate) fn monitors(&self) -> impl Iterator<Item = &DefineMonitor> {
        self.bank.monitors.values().map(|monitor| &monitor.definition)
    }

    /// How high stands what a monitor would watch, and whether that is below zero.
    pub(crate) fn level(&self, definition: &DefineMonitor) -> (Amount, bool) {
        value_of(definition, &self.accounts, &self.accounts).amount()
    }

    /// Which conditions have become true since the accounts were as `before`, by id.
    pub(crate) fn judge_monitors(&mut self, before: &BTreeMap<u128, Account>) -> Vec<EventBody> {
        let mut monitors = std::mem::take(&mut self.bank.monitors);
        let mut triggered = Vec::new();
        for (id, monitor) in &mut monitors {
            let definition = &monitor.definition;
            let now = value_of(definition, before, &self.accounts);
            let is_true = is_met(definition, now);
            let is_said = if is_flow(definition.field) { now != Wide::default() } else { !monitor.was_true };
            if is_true && is_said {
                let (value, negative) = now.amount();
                let account = self.accounts.get(&definition.account.0).map(|account| &account.row);
                let (ledger, code, class) =
                    account.map_or((definition.ledger, definition.code, definition.class), |row| {
                        let class = u8::try_from(row.class).ok().and_then(AccountClass::from_code);
                        (row.ledger, row.code, class)
                    });
                let (monitor, account) = (MonitorId(*id), definition.account);
                let class = class.unwrap();
                let event =
                    events::MonitorTriggered { monitor, account, ledger, code, class, value, negative };
                triggered.push(event.into());
            }
            monitor.was_true = is_true;
        }
        self.bank.monitors = monitors;
        triggered
    }
}

pub(super) fn refused(reason: RejectReason) -> Answer {
    refused_of(reason, "")
}

pub(super) fn refused_of(reason: RejectReason, about: &str) -> Answer {
    Err((reason, about.to_owned()))
}

pub(super) fn out_of_range(field: &str) -> Answer {
    refused_of(RejectReason::FieldOutOfRange, field)
}

/// The field that no monitor has so.
fn wrong_field(monitor: &DefineMonitor) -> Option<&'static str> {
    let of_slice = monitor.account.0 == 0;
    let wrong = [
        (monitor.monitor.0 == 0, "monitor"),
        (!of_slice && monitor.ledger.0 != 0, "ledger"),
        (!of_slice && monitor.code != 0, "code"),
        (of_slice != monitor.class.is_some(), "class"),
        (of_slice && monitor.field == MonitorField::Available, "field"),
        (monitor.negative && monitor.value.0 == 0, "negative"),
    ];
    wrong.iter().find(|(is_wrong, _)| *is_wrong).map(|(_, field)| *field)
}

fn is_flow(field: MonitorField) -> bool {
    matches!(field, MonitorField::Inflow | MonitorField::Outflow)
}

/// What a field says of the accounts that are watched; of a flow, by how much they rose since `before`.
fn value_of(
    monitor: &DefineMonitor,
    before: &BTreeMap<u128, Account>,
    now: &BTreeMap<u128, Account>,
) -> Wide {
    let is_watched = |account: &&Account| {
        let row = &account.row;
        if monitor.account.0 != 0 {
            return row.id == monitor.account;
        }
        let class = u8::try_from(row.class).ok().and_then(AccountClass::from_code);
        (row.ledger, row.code, class) == (monitor.ledger, monitor.code, monitor.class)
    };
    let mut value = Wide::default();
    for Account { row, balances: is, held, .. } in now.values().filter(is_watched) {
        let was = before.get(&row.id.0).map(|account| account.balances.clone()).unwrap_or_default();
        value = match monitor.field {
            MonitorField::DebitsPosted => value.plus(is.debits_posted),
            MonitorField::CreditsPosted => value.plus(is.credits_posted),
            MonitorField::DebitsPending => value.plus(is.debits_pending),
            MonitorField::CreditsPending => value.plus(is.credits_pending),
            MonitorField::Balance => value.plus(is.credits_posted).minus(is.debits_posted),
            MonitorField::Available => {
                value.plus(is.credits_posted).minus(is.debits_posted).minus(is.debits_pending).minus(*held)
            }
            MonitorField::Inflow => value.plus(is.credits_posted).minus(was.credits_posted),
            MonitorField::Outflow => value.plus(is.debits_posted).minus(was.debits_posted),
        };
    }
    value
}

fn is_met(monitor: &DefineMonitor, found: Wide) -> bool {
    let than = Wide::signed(monitor.value, monitor.negative);
    match monitor.operator {
        MonitorOperator::Below => found < than,
        MonitorOperator::AtMost => found <= than,
        MonitorOperator::AtLeast => found >= than,
        MonitorOperator::Above => found > than,
    }
}
