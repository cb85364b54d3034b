//! Accounts and what moves between them: debits and credits only ever grow, and every posting is one debit and one equal credit.
//!
//! An account's balance is credits − debits; what of it is promised to live orders is `held`, what is reserved by pending transfers is
//! pending.
//!
//! In reading order: [`accounts`] are the balances and [`totals`] their sums. [`batch`] is what all rows of a batch have in common; [`creation`]
//! makes its accounts, [`transfers`] its transfers, in the order of their checks; [`chain`] takes a linked chain back. [`pending`] is what has
//! not been posted yet, [`ending`] how it is posted, voided or expires. [`recent`] are the ids that are remembered. [`entry`] is the way in
//! for transfers that no batch brings: [`corrections`], an [`exchange`] between two currencies at a [`rate`], and [`standing_orders`],
//! which execute themselves at the dates of a [`schedule`]. [`overdraft`] is how far below zero an account may stand, [`calendar`] the
//! business date; [`chart`] is what codes stand for; [`monitors`] says when a balance crosses a line.

mod accounts;
mod batch;
mod calendar;
mod chain;
mod chart;
mod corrections;
mod creation;
mod ending;
mod entry;
mod exchange;
mod monitors;
mod overdraft;
mod pending;
mod rate;
mod recent;
mod schedule;
mod standing_orders;
#[cfg(test)]
mod tests;
mod totals;
mod transfers;

use std::collections::BTreeMap;

use protocol::commands::{SetLedgerLimits, UpdateAccount};
use protocol::limits::{
    CORRECTED_TRANSFERS_DEFAULT, CORRECTED_TRANSFERS_MAX, CORRECTION_WINDOW_DEFAULT_MS,
    CORRECTION_WINDOW_MAX_MS, ID_AHEAD_DEFAULT_MS, ID_AHEAD_MAX_MS, ID_WINDOW_DEFAULT_MS, ID_WINDOW_MAX_MS,
    LEDGER_ROWS_MAX, LEDGER_TABLE_MAX, PENDING_TRANSFERS_DEFAULT, TRANSFER_IDS_DEFAULT,
};
use protocol::rows::account_flags::CLOSED;
use protocol::{AccountId, AssetId, ClientId, RejectReason, UnixNanos, events};

use crate::broken::{Broken, Stop, difference, ensure, ensure_field, refuse_account, sum};
use crate::effects::Effects;
use crate::registry::Registry;

pub(crate) use accounts::{Account, Accounts, Column, Particulars, TRADING_TURNOVER_MAX};
pub(crate) use batch::{Batch, Payers, Results};
pub(crate) use calendar::BankCalendar;
pub(crate) use chart::Chart;
pub(crate) use corrections::{Corrected, Corrections, Original};
pub(crate) use entry::EntryStop;
pub(crate) use exchange::{Quote, Quotes};
pub(crate) use monitors::Monitors;
pub(crate) use overdraft::{Overdraft, Overdrafts};
pub(crate) use pending::{Pending, Pendings};
pub(crate) use recent::{Outcome, Recent, Remembered};
pub(crate) use standing_orders::{StandingOrder, StandingOrders};
pub(crate) use totals::Slice;

/// All accounts, the transfers that are pending, and those that will not be executed again.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) accounts: Accounts,
    pub(crate) pendings: Pendings,
    pub(crate) recent: Recent,
    pub(crate) limits: SetLedgerLimits,
    pub(crate) calendar: BankCalendar,
    pub(crate) chart: Chart,
    pub(crate) overdrafts: Overdrafts,
    pub(crate) corrections: Corrections,
    pub(crate) quotes: Quotes,
    pub(crate) standing_orders: StandingOrders,
    pub(crate) monitors: Monitors,
}

impl Default for Ledger {
    fn default() -> Self {
        let limits = SetLedgerLimits {
            id_window_ms: ID_WINDOW_DEFAULT_MS,
            id_ahead_ms: ID_AHEAD_DEFAULT_MS,
            transfer_ids_max: TRANSFER_IDS_DEFAULT,
            pending_transfers_max: PENDING_TRANSFERS_DEFAULT,
            correction_window_ms: CORRECTION_WINDOW_DEFAULT_MS,
            corrected_transfers_max: CORRECTED_TRANSFERS_DEFAULT,
        };
        Self {
            accounts: Accounts::default(),
            pendings: Pendings::default(),
            recent: Recent::default(),
            limits,
            calendar: BankCalendar::default(),
            chart: Chart::default(),
            overdrafts: Overdrafts::default(),
            corrections: Corrections::default(),
            quotes: Quotes::default(),
            standing_orders: StandingOrders::default(),
            monitors: Monitors::default(),
        }
    }
}

impl Ledger {
    /// Before the first account: by what ids that clients choose are mixed.
    pub(crate) const fn seed(&mut self, seed: u64) {
        self.accounts.seed(seed);
        self.pendings.seed(seed);
        self.recent.seed(seed);
    }

    pub(crate) fn row(&self, account: AccountId) -> Option<u32> {
        self.accounts.row(account)
    }

    /// The account through which a client's orders settle in an asset.
    pub(crate) fn settlement(&self, client: ClientId, asset: AssetId) -> Option<u32> {
        self.accounts.settlement(client, asset)
    }

    /// Sets what is remembered of transfers. Fewer or shorter takes effect with the next batch, or correction.
    pub(crate) fn set_limits(
        &mut self,
        command: &SetLedgerLimits,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let ids_min = u32::try_from(LEDGER_ROWS_MAX).unwrap_or(u32::MAX);
        ensure_field((1..=ID_WINDOW_MAX_MS).contains(&command.id_window_ms), "id_window_ms")?;
        ensure_field(command.id_ahead_ms <= ID_AHEAD_MAX_MS, "id_ahead_ms")?;
        ensure_field((ids_min..=LEDGER_TABLE_MAX).contains(&command.transfer_ids_max), "transfer_ids_max")?;
        ensure_field(command.pending_transfers_max <= LEDGER_TABLE_MAX, "pending_transfers_max")?;
        let window = 1..=CORRECTION_WINDOW_MAX_MS;
        ensure_field(window.contains(&command.correction_window_ms), "correction_window_ms")?;
        let is_table = command.corrected_transfers_max <= CORRECTED_TRANSFERS_MAX;
        ensure_field(is_table, "corrected_transfers_max")?;
        ensure(self.limits != *command, RejectReason::Exists)?;
        self.limits = command.clone();
        effects.push(events::LedgerLimitsSet { limits: command.clone() });
        Ok(())
    }

    /// Changes what may change of an account.
    pub(crate) fn update_account(
        &mut self,
        command: &UpdateAccount,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let row = self.row(command.account).ok_or(RejectReason::UnknownAccount)?;
        ensure_field(command.code != 0, "code")?;
        ensure(self.accounts.as_updated(row) != *command, RejectReason::Exists)?;
        let found = self.accounts.at(row);
        if found.code != command.code {
            let judged = self.chart.judge(found.ledger, command.code, found.class, found.flags);
            judged.map_err(|refusal| refuse_account(RejectReason::AccountCodeRefused, refusal))?;
        }
        self.accounts.update(row, command);
        let &UpdateAccount { account, code, user_data_128, user_data_64, user_data_32 } = command;
        effects.push(events::AccountUpdated { account, code, user_data_128, user_data_64, user_data_32 });
        Ok(())
    }

    /// Moves `amount`: one debit, one equal credit, in one asset.
    pub(crate) fn post(&mut self, debit: u32, credit: u32, amount: u128) -> Result<(), Broken> {
        if amount == 0 {
            return Ok(());
        }
        self.accounts.add_to(credit, Column::CreditsPosted, amount)?;
        self.accounts.add_to(debit, Column::DebitsPosted, amount)?;
        let (payer, payee) = (self.accounts.at(debit), self.accounts.at(credit));
        if payer.ledger != payee.ledger {
            return Err(Broken::PostingAcrossAssets { debit: payer.id, credit: payee.id });
        }
        if !payer.may_stand_below_zero() && payer.available().is_none() && !self.is_within_lines(payer) {
            return Err(Broken::BelowZero { account: payer.id });
        }
        self.accounts.balanced(debit)
    }

    /// As much of `amount` as an account can pay at this time: what it has, and its lines.
    pub(crate) fn payable(&self, account: u32, amount: u128, time: UnixNanos) -> u128 {
        let account = self.accounts.at(account);
        if account.may_stand_below_zero() {
            return amount;
        }
        let line = if account.has_overdraft { self.overdrafts.line(account.id, time) } else { 0 };
        let spent = account.spent().unwrap_or(u128::MAX);
        amount.min(account.credits_posted.saturating_add(line).saturating_sub(spent))
    }

    /// Refuses a closed account.
    #[inline]
    pub(crate) fn ensure_open(&self, account: u32) -> Result<(), Stop> {
        ensure(!self.accounts.at(account).has(CLOSED), RejectReason::AccountClosed)
    }

    /// Promises `amount` of an account to an order.
    pub(crate) fn hold(&mut self, account: u32, amount: u128) -> Result<(), Stop> {
        let found = self.accounts.at(account);
        // What it is held for is still settled when the account is closed later.
        ensure(!found.has(CLOSED), RejectReason::AccountClosed)?;
        let covered = found.available().is_some_and(|free| free >= amount);
        ensure(covered, RejectReason::InsufficientFunds)?;
        let held = sum(found.held, amount, "hold of an account")?;
        self.accounts.set_held(account, held);
        Ok(())
    }

    /// Promises `held` to an order in place of `before`. Less is promised, and as much, also of an account that stands below zero.
    #[inline]
    pub(crate) fn change_hold(&mut self, account: u32, before: u128, held: u128) -> Result<(), Stop> {
        if held > before {
            return self.hold(account, held.saturating_sub(before));
        }
        self.ensure_open(account)?;
        Ok(self.release_hold(account, before.saturating_sub(held))?)
    }

    /// Takes a promise back.
    #[inline]
    pub(crate) fn release_hold(&mut self, account: u32, amount: u128) -> Result<(), Broken> {
        let held = difference(self.accounts.at(account).held, amount, "hold of an account")?;
        self.accounts.set_held(account, held);
        Ok(())
    }

    pub(crate) fn id(&self, account: u32) -> AccountId {
        self.accounts.at(account).id
    }

    /// Debits equal credits in every ledger, nothing stands below zero, what is pending is reserved, and the indexes lead to every row.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        self.accounts.check()?;
        self.check_pendings()?;
        self.check_overdrafts()?;
        self.check_calendar()?;
        self.check_chart()?;
        self.check_corrections()?;
        self.check_quotes()?;
        self.check_standing_orders()?;
        self.check_monitors()?;
        self.recent.check()
    }

    /// What accounts have pending is the sum of the pending transfers.
    fn check_pendings(&self) -> Result<(), Broken> {
        let mut reserved: BTreeMap<(u32, bool), u128> = BTreeMap::new();
        for (_, pending) in self.pendings.sorted() {
            for side in [(pending.debit, true), (pending.credit, false)] {
                let reserved = reserved.entry(side).or_default();
                *reserved = sum(*reserved, pending.amount, "pending transfers of an account")?;
            }
        }
        for (row, account) in self.accounts.numbered() {
            let of = |is_debit| reserved.get(&(row, is_debit)).copied().unwrap_or_default();
            if (account.debits_pending, account.credits_pending) != (of(true), of(false)) {
                return Err(Broken::PendingMismatch { account: account.id });
            }
        }
        self.pendings.check()
    }
}
