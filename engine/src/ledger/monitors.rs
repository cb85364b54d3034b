//! Balance monitors: conditions on an account, or on the accounts of one ledger, code and class, and who says so when one becomes true.
//!
//! What no monitor watches has a bit that says so. Of what one does, [`Watched`] keeps how it stood before it moved; behind each command,
//! and behind each thing that happens by itself, its monitors are judged on both, so that a monitor has no state but its definition.
//! A chain that is taken back has moved nothing.

use core::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{DefineMonitor, RemoveMonitor};
use protocol::limits::{MONITORS_MAX, MONITORS_PER_ACCOUNT_MAX};
use protocol::{AccountId, MonitorField, MonitorId, MonitorOperator, RejectReason, events};

use super::Ledger;
use super::accounts::Account;
use super::totals::{Slice, Sums, WideSum};
use crate::broken::{Broken, Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;
use crate::registry::Registry;

/// What a monitor watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// Row of an account.
    Account(u32),
    /// Row of the totals.
    Slice(u32),
}

/// How something watched stands, or stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    sums: Sums,
    held: WideSum,
    /// Posted credits and debits from which on is counted what flows.
    flows_from: (WideSum, WideSum),
}

impl Standing {
    pub(super) fn of_account(account: &Account) -> Self {
        Self { held: WideSum::of(account.held), ..Self::of_sums(Sums::of(account)) }
    }

    pub(super) const fn of_slice(slice: &Slice) -> Self {
        Self::of_sums(slice.sums)
    }

    const fn of_sums(sums: Sums) -> Self {
        Self { sums, held: WideSum::ZERO, flows_from: (sums.credits_posted, sums.debits_posted) }
    }

    /// An account has come into a slice: what it brings has not flowed.
    fn joined(&mut self, account: &Account) {
        self.flows_from.0.add(account.credits_posted);
        self.flows_from.1.add(account.debits_posted);
    }

    /// An account has gone.
    fn left(&mut self, account: &Account) {
        self.flows_from.0.take(account.credits_posted);
        self.flows_from.1.take(account.debits_posted);
    }
}

/// What of the watched things moved since it was asked last, by row, and how each stood before.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched(BTreeMap<u32, Standing>);

impl Watched {
    /// Keeps how a row stands, unless it has moved before.
    // Seldom: on the hot path nothing is watched.
    #[cold]
    pub(super) fn note(&mut self, row: u32, standing: impl FnOnce() -> Standing) {
        self.0.entry(row).or_insert_with(standing);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An account has come into a slice, with all that it has.
    pub(super) fn joined(&mut self, row: u32, account: &Account) {
        if let Some(before) = self.0.get_mut(&row) {
            before.joined(account);
        }
    }

    /// An account has gone out of a slice, with all that it has.
    pub(super) fn left(&mut self, row: u32, account: &Account) {
        if let Some(before) = self.0.get_mut(&row) {
            before.left(account);
        }
    }
}

/// A number of minor units with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    is_negative: bool,
    amount: WideSum,
}

impl Level {
    /// What `more` has above `less`.
    fn difference(more: WideSum, less: WideSum) -> Self {
        let (is_negative, amount) = more.minus(less);
        Self { is_negative, amount }
    }

    fn compare(self, other: Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.amount.cmp(&other.amount),
            (true, true) => other.amount.cmp(&self.amount),
        }
    }
}

/// What a field says of a standing; of a flow, what the way from `before` to there says, and nothing where nothing flowed.
fn level(field: MonitorField, before: &Standing, now: &Standing) -> Option<Level> {
    let sums = &now.sums;
    let flow = |was: WideSum, is: WideSum| (was != is).then(|| Level::difference(is, was));
    let (more, less) = match field {
        MonitorField::DebitsPosted => (sums.debits_posted, WideSum::ZERO),
        MonitorField::CreditsPosted => (sums.credits_posted, WideSum::ZERO),
        MonitorField::DebitsPending => (sums.debits_pending, WideSum::ZERO),
        MonitorField::CreditsPending => (sums.credits_pending, WideSum::ZERO),
        MonitorField::Balance => (sums.credits_posted, sums.debits_posted),
        MonitorField::Available => {
            (sums.credits_posted, sums.debits_posted.plus(sums.debits_pending).plus(now.held))
        }
        MonitorField::Inflow => return flow(before.flows_from.0, sums.credits_posted),
        MonitorField::Outflow => return flow(before.flows_from.1, sums.debits_posted),
    };
    Some(Level::difference(more, less))
}

/// Whether the condition of a monitor is true of this.
fn is_met(monitor: &DefineMonitor, level: Level) -> bool {
    let value = Level { is_negative: monitor.negative, amount: WideSum::of(monitor.value.0) };
    let found = level.compare(value);
    match monitor.operator {
        MonitorOperator::Below => found.is_lt(),
        MonitorOperator::AtMost => found.is_le(),
        MonitorOperator::AtLeast => found.is_ge(),
        MonitorOperator::Above => found.is_gt(),
    }
}

/// What has made the condition true, if it was not before. Whatever flows was not there before.
fn triggered_by(monitor: &DefineMonitor, before: &Standing, now: &Standing) -> Option<Level> {
    let was_met = level(monitor.field, before, before).is_some_and(|level| is_met(monitor, level));
    level(monitor.field, before, now).filter(|&level| !was_met && is_met(monitor, level))
}

/// All monitors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Monitors {
    rows: BTreeMap<MonitorId, (DefineMonitor, Subject)>,
    by_subject: BTreeMap<Subject, BTreeSet<MonitorId>>,
}

impl Monitors {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The definition of a monitor.
    pub(crate) fn get(&self, monitor: MonitorId) -> Option<&DefineMonitor> {
        self.rows.get(&monitor).map(|(definition, _)| definition)
    }

    /// All definitions, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DefineMonitor> {
        self.rows.values().map(|(definition, _)| definition)
    }

    /// Definitions from an id on, by id.
    pub(crate) fn range(&self, first: MonitorId) -> impl Iterator<Item = &DefineMonitor> {
        self.rows.range(first..).map(|(_, (definition, _))| definition)
    }

    fn of(&self, subject: Subject) -> impl Iterator<Item = &DefineMonitor> {
        let ids = self.by_subject.get(&subject).into_iter().flatten();
        ids.filter_map(|&monitor| self.get(monitor))
    }
}

impl Ledger {
    /// From now on something is said when a condition becomes true; at once if it is.
    pub(crate) fn define_monitor(
        &mut self,
        command: &DefineMonitor,
        registry: &Registry,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(before) = self.monitors.get(command.monitor) {
            return Err(match before.first_difference(command) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        check_monitor(command)?;
        if command.account.0 == 0 {
            ensure(registry.asset(command.ledger).is_some(), RejectReason::UnknownAsset)?;
        }
        ensure(self.monitors.len() < MONITORS_MAX, RejectReason::TableFull)?;
        let subject = self.subject(command).ok_or(RejectReason::UnknownAccount)?;
        let others = self.monitors.by_subject.get(&subject).map_or(0, BTreeSet::len);
        ensure(others < MONITORS_PER_ACCOUNT_MAX, RejectReason::TableFull)?;
        self.watch(command.clone(), subject);
        effects.push(events::MonitorDefined { definition: command.clone() });
        let now = self.standing(subject);
        // Nothing has flowed yet.
        if let Some(level) = level(command.field, &now, &now).filter(|&level| is_met(command, level)) {
            effects.push(self.triggered(command, subject, level));
        }
        Ok(())
    }

    /// Nothing is said of this condition any more.
    pub(crate) fn remove_monitor(
        &mut self,
        command: &RemoveMonitor,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &RemoveMonitor { monitor } = command;
        let (_, subject) = self.monitors.rows.remove(&monitor).ok_or(RejectReason::UnknownMonitor)?;
        if let Some(others) = self.monitors.by_subject.get_mut(&subject) {
            others.remove(&monitor);
            if others.is_empty() {
                self.monitors.by_subject.remove(&subject);
                self.set_watched(subject, false);
            }
        }
        effects.push(events::MonitorRemoved { monitor });
        Ok(())
    }

    /// A monitor of a state that is read; whether there is what it watches.
    pub(crate) fn restore_monitor(&mut self, definition: DefineMonitor) -> bool {
        let subject = self.subject(&definition).filter(|_| check_monitor(&definition).is_ok());
        subject.map(|subject| self.watch(definition, subject)).is_some()
    }

    /// Says which conditions have become true since it was asked last, by the ids of their monitors.
    #[inline]
    pub(crate) fn trigger_monitors(&mut self, effects: &mut Effects<'_>) {
        if self.accounts.has_noted() {
            self.judge_watched(effects);
        }
    }

    #[cold]
    fn judge_watched(&mut self, effects: &mut Effects<'_>) {
        let (accounts, slices) = self.accounts.take_noted();
        let accounts = accounts.0.into_iter().map(|(row, before)| (Subject::Account(row), before));
        let slices = slices.0.into_iter().map(|(row, before)| (Subject::Slice(row), before));
        let mut triggered = BTreeMap::new();
        for (subject, before) in accounts.chain(slices) {
            let now = self.standing(subject);
            for monitor in self.monitors.of(subject) {
                if let Some(level) = triggered_by(monitor, &before, &now) {
                    triggered.insert(monitor.monitor, self.triggered(monitor, subject, level));
                }
            }
        }
        triggered.into_values().for_each(|event| effects.push(event));
    }

    /// What a monitor watches: an account that exists, or a slice, which may have no accounts yet.
    fn subject(&mut self, command: &DefineMonitor) -> Option<Subject> {
        match command.class {
            None => self.row(command.account).map(Subject::Account),
            Some(class) => {
                Some(Subject::Slice(self.accounts.totals.slice(command.ledger, command.code, class)))
            }
        }
    }

    fn watch(&mut self, definition: DefineMonitor, subject: Subject) {
        self.set_watched(subject, true);
        self.monitors.by_subject.entry(subject).or_default().insert(definition.monitor);
        self.monitors.rows.insert(definition.monitor, (definition, subject));
    }

    fn set_watched(&mut self, subject: Subject, is_watched: bool) {
        match subject {
            Subject::Account(row) => self.accounts.set_watched(row, is_watched),
            Subject::Slice(row) => self.accounts.totals.set_watched(row, is_watched),
        }
    }

    fn standing(&self, subject: Subject) -> Standing {
        match subject {
            Subject::Account(row) => Standing::of_account(self.accounts.at(row)),
            Subject::Slice(row) => Standing::of_slice(self.accounts.totals.at(row)),
        }
    }

    fn triggered(&self, monitor: &DefineMonitor, subject: Subject, level: Level) -> events::MonitorTriggered {
        let (account, ledger, code, class) = match subject {
            Subject::Account(row) => {
                let account = self.accounts.at(row);
                (account.id, account.ledger, account.code, account.class)
            }
            Subject::Slice(row) => {
                let slice = self.accounts.totals.at(row);
                (AccountId(0), slice.ledger, slice.code, slice.class)
            }
        };
        let (value, negative) = (level.amount.or_the_largest(), level.is_negative);
        events::MonitorTriggered { monitor: monitor.monitor, account, ledger, code, class, value, negative }
    }

    /// Exactly what a monitor watches has the bit, and everything that moved has been judged.
    pub(super) fn check_monitors(&self) -> Result<(), Broken> {
        let mut by_subject: BTreeMap<Subject, BTreeSet<MonitorId>> = BTreeMap::new();
        for (definition, subject) in self.monitors.rows.values() {
            by_subject.entry(*subject).or_default().insert(definition.monitor);
        }
        let accounts = self.accounts.numbered().filter(|(_, account)| account.is_watched);
        let slices = self.accounts.totals.watched();
        let watched = accounts.map(|(row, _)| Subject::Account(row)).chain(slices.map(Subject::Slice));
        let is_sound = by_subject == self.monitors.by_subject
            && by_subject.keys().copied().eq(watched)
            && !self.accounts.has_noted();
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "monitors" }) }
    }
}

/// What a definition must look like.
fn check_monitor(command: &DefineMonitor) -> Result<(), Stop> {
    let of_account = command.account.0 != 0;
    ensure_field(command.monitor.0 != 0, "monitor")?;
    ensure_field(!of_account || command.ledger.0 == 0, "ledger")?;
    ensure_field(!of_account || command.code == 0, "code")?;
    ensure_field(of_account == command.class.is_none(), "class")?;
    // What is free of one account is of no use to another.
    ensure_field(of_account || command.field != MonitorField::Available, "field")?;
    ensure_field(!command.negative || command.value.0 != 0, "negative")
}
