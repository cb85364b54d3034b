//! Accounts and what moves between them: debits and credits only ever grow, and every posting is one debit and one equal credit.
//!
//! An account's balance is credits − debits; what of it is promised to live orders is `held`, what is reserved by pending transfers is
//! pending. [`transfers`] is the life of a batch and the order of its checks, [`chain`] takes a linked chain back, [`pending`] is what
//! has not been posted yet, [`recent`] the ids that are remembered, [`overdraft`] how far below zero an account may stand, [`calendar`]
//! the business date, [`accounts`] the balances and [`totals`] their sums; [`monitors`] says when one of them crosses a line.

mod accounts;
mod calendar;
mod chain;
mod creation;
mod monitors;
mod overdraft;
mod pending;
mod recent;
mod totals;
mod transfers;

use std::collections::BTreeMap;

use protocol::commands::{Command, Deposit, OpenAccount, SetLedgerLimits, Transfer, UpdateAccount, Withdraw};
use protocol::limits::{
    ACCOUNTS_MAX, ID_AHEAD_DEFAULT_MS, ID_AHEAD_MAX_MS, ID_WINDOW_DEFAULT_MS, ID_WINDOW_MAX_MS,
    LEDGER_ROWS_MAX, LEDGER_TABLE_MAX, PENDING_TRANSFERS_DEFAULT, TRANSFER_IDS_DEFAULT, TRANSFER_IDS_MAX,
};
use protocol::rows::account_flags::{CLOSED, DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::{AccountClass, AccountId, Amount, AssetId, ClientId, RejectReason, TransferId, events};

use crate::broken::{Broken, Stop, difference, ensure, ensure_field, refuse_field, sum};
use crate::effects::Effects;
use crate::index::{Index, hash_u128};
use crate::registry::Registry;
use crate::rows::Rows;

pub(crate) use accounts::{Account, Accounts, Column, TRADING_TURNOVER_MAX};
pub(crate) use calendar::BankCalendar;
pub(crate) use monitors::Monitors;
pub(crate) use overdraft::{Overdraft, Overdrafts};
pub(crate) use pending::{Pending, Pendings};
pub(crate) use recent::{Outcome, Recent, Remembered};
pub(crate) use transfers::{Batch, Payers, Results};

/// A deposit, withdrawal or transfer that was executed.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) id: TransferId,
    pub(crate) command: Command,
}

/// All accounts, the transfers that are pending, and those that will not be executed again.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) accounts: Accounts,
    pub(crate) pendings: Pendings,
    pub(crate) recent: Recent,
    pub(crate) limits: SetLedgerLimits,
    pub(crate) calendar: BankCalendar,
    pub(crate) overdrafts: Overdrafts,
    pub(crate) monitors: Monitors,
    pub(crate) executed: Rows<Executed>,
    by_transfer: Index,
}

impl Default for Ledger {
    fn default() -> Self {
        let limits = SetLedgerLimits {
            id_window_ms: ID_WINDOW_DEFAULT_MS,
            id_ahead_ms: ID_AHEAD_DEFAULT_MS,
            transfer_ids_max: TRANSFER_IDS_DEFAULT,
            pending_transfers_max: PENDING_TRANSFERS_DEFAULT,
        };
        Self {
            accounts: Accounts::default(),
            pendings: Pendings::default(),
            recent: Recent::default(),
            limits,
            calendar: BankCalendar::default(),
            overdrafts: Overdrafts::default(),
            monitors: Monitors::default(),
            executed: Rows::default(),
            by_transfer: Index::default(),
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

    /// Sets what is remembered of transfers. Fewer or shorter takes effect with the next batch.
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
        ensure(self.accounts.at(row).as_updated() != *command, RejectReason::Exists)?;
        self.accounts.update(row, command);
        let &UpdateAccount { account, code, user_data_128, user_data_64, user_data_32 } = command;
        effects.push(events::AccountUpdated { account, code, user_data_128, user_data_64, user_data_32 });
        Ok(())
    }

    pub(crate) fn open(
        &mut self,
        command: &OpenAccount,
        registry: &Registry,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(row) = self.row(command.account) {
            return Err(match self.accounts.at(row).definition().first_difference(command) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        let OpenAccount { account, client, asset, class, code, settlement } = *command;
        let of_client = matches!(class, AccountClass::Client);
        ensure_field(account.0 != 0, "account")?;
        ensure_field(of_client == (client.0 != 0), "client")?;
        ensure_field(!settlement || of_client || matches!(class, AccountClass::House), "settlement")?;
        ensure_field(!settlement || self.settlement(client, asset).is_none(), "settlement")?;
        ensure(self.accounts.len() < ACCOUNTS_MAX, RejectReason::TableFull)?;
        ensure(registry.asset(asset).is_some(), RejectReason::UnknownAsset)?;
        let bound = if matches!(class, AccountClass::External) { 0 } else { DEBITS_MUST_NOT_EXCEED_CREDITS };
        let flags = if settlement { bound | SETTLEMENT } else { bound };
        self.accounts.add(Account {
            class,
            code,
            flags,
            sent_flags: flags,
            ..Account::new(account, client, asset, effects.seq)
        });
        effects.push(events::AccountOpened { account, client, asset, class, settlement });
        Ok(())
    }

    pub(crate) fn deposit(&mut self, command: &Deposit, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let &Deposit { transfer, account, external, amount } = command;
        self.once(transfer, || command.clone().into())?;
        self.at_the_border(account, external)?;
        self.move_once(transfer, external, account, amount, || command.clone().into())?;
        effects.push(events::MoneyDeposited { transfer, external, account, amount });
        Ok(())
    }

    pub(crate) fn withdraw(&mut self, command: &Withdraw, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let &Withdraw { transfer, account, external, amount } = command;
        self.once(transfer, || command.clone().into())?;
        self.at_the_border(account, external)?;
        self.move_once(transfer, account, external, amount, || command.clone().into())?;
        effects.push(events::MoneyWithdrawn { transfer, account, external, amount });
        Ok(())
    }

    pub(crate) fn transfer(&mut self, command: &Transfer, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let &Transfer { transfer, debit, credit, amount, code: _ } = command;
        self.once(transfer, || command.clone().into())?;
        for account in [debit, credit] {
            ensure(self.row(account).is_some(), RejectReason::UnknownAccount)?;
        }
        self.move_once(transfer, debit, credit, amount, || command.clone().into())?;
        effects.push(events::MoneyTransferred { transfer, debit, credit, amount });
        Ok(())
    }

    /// Refuses a transfer id that was executed, or for which there is no room.
    fn once(&self, transfer: TransferId, command: impl Fn() -> Command) -> Result<(), Stop> {
        if let Some(row) = self.executed_row(transfer) {
            return Err(match self.executed.at(row).command.first_difference(&command()) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        ensure_field(transfer.0 != 0, "transfer")?;
        ensure(self.executed.len() < TRANSFER_IDS_MAX, RejectReason::TableFull)
    }

    fn executed_row(&self, transfer: TransferId) -> Option<u32> {
        self.by_transfer.find(hash_u128(transfer.0), |row| self.executed.at(row).id == transfer)
    }

    /// Money enters and leaves through an external account, to and from one of a client or the house.
    fn at_the_border(&self, account: AccountId, external: AccountId) -> Result<(), Stop> {
        let class = |id| self.row(id).map(|row| self.accounts.at(row).class);
        let inside = class(account).ok_or(RejectReason::UnknownAccount)?;
        let outside = class(external).ok_or(RejectReason::UnknownAccount)?;
        ensure(
            matches!(inside, AccountClass::Client | AccountClass::House) && outside == AccountClass::External,
            RejectReason::WrongAccountClass,
        )
    }

    fn move_once(
        &mut self,
        transfer: TransferId,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        command: impl Fn() -> Command,
    ) -> Result<(), Stop> {
        let from = self.row(debit).ok_or(RejectReason::UnknownAccount)?;
        let to = self.row(credit).ok_or(RejectReason::UnknownAccount)?;
        let (payer, payee) = (self.accounts.at(from), self.accounts.at(to));
        ensure(payer.ledger == payee.ledger, RejectReason::AssetMismatch)?;
        ensure(from != to, RejectReason::SameAccount)?;
        let is_open = |account: &Account| !account.has(CLOSED);
        ensure(is_open(payer) && is_open(payee), RejectReason::AccountClosed)?;
        let in_range = |before: u128| {
            amount.0 > 0 && before.checked_add(amount.0).is_some_and(|after| after <= TRADING_TURNOVER_MAX)
        };
        ensure(
            in_range(payer.debits_posted) && in_range(payee.credits_posted),
            RejectReason::AmountOutOfRange,
        )?;
        let covered = payer.may_stand_below_zero() || payer.available().is_some_and(|free| free >= amount.0);
        ensure(covered, RejectReason::InsufficientFunds)?;
        self.post(from, to, amount.0)?;
        self.remember(Executed { id: transfer, command: command() });
        Ok(())
    }

    /// Remembers a transfer whose id is not taken.
    pub(crate) fn remember(&mut self, executed: Executed) {
        let hash = hash_u128(executed.id.0);
        let row = self.executed.push(executed);
        self.by_transfer.insert(hash, row);
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
        if !payer.may_be_below_zero() && payer.available().is_none() {
            return Err(Broken::BelowZero { account: payer.id });
        }
        self.accounts.balanced(debit)
    }

    /// Promises `amount` of an account to an order.
    pub(crate) fn hold(&mut self, account: u32, amount: u128) -> Result<(), Stop> {
        let found = self.accounts.at(account);
        // What it is held for may still be settled when the account is closed later.
        ensure(!found.has(CLOSED), RejectReason::AccountClosed)?;
        let held = found.held;
        let covered = found.available().is_some_and(|free| free >= amount);
        ensure(covered, RejectReason::InsufficientFunds)?;
        self.accounts.set_held(account, sum(held, amount, "hold of an account")?);
        Ok(())
    }

    /// Takes a promise back.
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
        self.check_monitors()?;
        self.recent.check()?;
        let found = |(row, executed): (u32, &Executed)| self.executed_row(executed.id) == Some(row);
        if !self.executed.numbers().zip(self.executed.iter()).all(found) {
            return Err(Broken::Index { what: "transfers" });
        }
        Ok(())
    }

    /// What accounts have pending is the sum of the pending transfers, and each is found, by its deadline too.
    fn check_pendings(&self) -> Result<(), Broken> {
        let mut reserved: BTreeMap<(u32, bool), u128> = BTreeMap::new();
        let mut deadlines = 0_usize;
        for (slot, pending) in self.pendings.sorted() {
            for side in [(pending.debit, true), (pending.credit, false)] {
                let reserved = reserved.entry(side).or_default();
                *reserved = sum(*reserved, pending.amount, "pending transfers of an account")?;
            }
            deadlines = deadlines.saturating_add(usize::from(pending.expires_at.is_some()));
            if self.pendings.slot(pending.id) != Some(slot) || pending.end.is_some() {
                return Err(Broken::Index { what: "pending transfers" });
            }
        }
        for (row, account) in self.accounts.numbered() {
            let of = |is_debit| reserved.get(&(row, is_debit)).copied().unwrap_or_default();
            if (account.debits_pending, account.credits_pending) != (of(true), of(false)) {
                return Err(Broken::PendingMismatch { account: account.id });
            }
        }
        if deadlines == self.pendings.deadlines() { Ok(()) } else { Err(Broken::Index { what: "deadlines" }) }
    }
}
