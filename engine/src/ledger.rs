//! Accounts and postings: debits and credits only ever grow, and every posting is one debit and one equal credit.
//!
//! An account's balance is credits − debits; what of it is promised to live orders is `held`. Clients', the house's and
//! fee accounts never have credits − debits − held below zero. [`Ledger::post`] is the only way money moves.

use protocol::commands::{Command, Deposit, OpenAccount, Transfer, Withdraw};
use protocol::limits::{ACCOUNTS_MAX, TRANSFER_IDS_MAX};
use protocol::{AccountClass, AccountId, Amount, AssetId, ClientId, RejectReason, TransferId, events};

use crate::broken::{Broken, Stop, difference, ensure, ensure_field, refuse_field, sum};
use crate::effects::Effects;
use crate::index::{Index, hash_pair, hash_u128};
use crate::registry::Registry;
use crate::rows::Rows;

/// The most that deposits and transfers may bring an account's debits or credits to. What is above, up to u128, is
/// left to trading: 65,536 times the turnover, so that no posting of a fill can overflow.
pub(crate) const ACCOUNT_TURNOVER_MAX: u128 = 1 << 112;

/// One account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) definition: OpenAccount,
    pub(crate) debits: u128,
    pub(crate) credits: u128,
    pub(crate) held: u128,
}

impl Account {
    pub(crate) const fn may_stand_below_zero(&self) -> bool {
        matches!(self.definition.class, AccountClass::External)
    }

    /// What may be spent or held; `None` where the books are broken.
    pub(crate) fn available(&self) -> Option<u128> {
        self.credits.checked_sub(self.debits)?.checked_sub(self.held)
    }
}

/// A deposit, withdrawal or transfer that was executed.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) id: TransferId,
    pub(crate) command: Command,
}

/// All accounts, and the transfers that will not be executed again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) accounts: Rows<Account>,
    by_id: Index,
    /// By (client, asset), the accounts through which orders settle.
    by_owner: Index,
    pub(crate) executed: Rows<Executed>,
    by_transfer: Index,
}

impl Ledger {
    pub(crate) fn row(&self, account: AccountId) -> Option<u32> {
        self.by_id.find(hash_u128(account.0), |row| self.accounts.at(row).definition.account == account)
    }

    /// The account through which a client's orders settle in an asset.
    pub(crate) fn settlement(&self, client: ClientId, asset: AssetId) -> Option<u32> {
        self.by_owner.find(hash_pair(client.0, u64::from(asset.0)), |row| {
            let account = &self.accounts.at(row).definition;
            account.client == client && account.asset == asset
        })
    }

    pub(crate) fn open(
        &mut self,
        command: &OpenAccount,
        registry: &Registry,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        if let Some(row) = self.row(command.account) {
            return Err(match self.accounts.at(row).definition.first_difference(command) {
                Some(field) => refuse_field(RejectReason::ExistsWithDifferent, field),
                None => RejectReason::Exists.into(),
            });
        }
        let OpenAccount { account, client, asset, class, code: _, settlement } = *command;
        let of_client = matches!(class, AccountClass::Client);
        ensure_field(account.0 != 0, "account")?;
        ensure_field(of_client == (client.0 != 0), "client")?;
        ensure_field(!settlement || of_client || matches!(class, AccountClass::House), "settlement")?;
        ensure_field(!settlement || self.settlement(client, asset).is_none(), "settlement")?;
        ensure(self.accounts.len() < ACCOUNTS_MAX, RejectReason::TableFull)?;
        ensure(registry.asset(asset).is_some(), RejectReason::UnknownAsset)?;
        self.add(Account { definition: command.clone(), debits: 0, credits: 0, held: 0 });
        effects.push(events::AccountOpened { account, client, asset, class, settlement });
        Ok(())
    }

    /// Adds an account whose id, and owner and asset if it settles, are not taken.
    pub(crate) fn add(&mut self, account: Account) {
        let OpenAccount { account: id, client, asset, settlement, .. } = account.definition;
        let row = self.accounts.push(account);
        self.by_id.insert(hash_u128(id.0), row);
        if settlement {
            self.by_owner.insert(hash_pair(client.0, u64::from(asset.0)), row);
        }
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
        let class = |id| self.row(id).map(|row| self.accounts.at(row).definition.class);
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
        ensure(payer.definition.asset == payee.definition.asset, RejectReason::AssetMismatch)?;
        ensure(from != to, RejectReason::SameAccount)?;
        let in_range = |before: u128| {
            amount.0 > 0 && before.checked_add(amount.0).is_some_and(|after| after <= ACCOUNT_TURNOVER_MAX)
        };
        ensure(in_range(payer.debits) && in_range(payee.credits), RejectReason::AmountOutOfRange)?;
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
        let payee = self.accounts.at_mut(credit);
        let (payee_id, payee_asset) = (payee.definition.account, payee.definition.asset);
        payee.credits = sum(payee.credits, amount, "credits of an account")?;
        let payer = self.accounts.at_mut(debit);
        payer.debits = sum(payer.debits, amount, "debits of an account")?;
        if payer.definition.asset != payee_asset {
            return Err(Broken::PostingAcrossAssets { debit: payer.definition.account, credit: payee_id });
        }
        if !payer.may_stand_below_zero() && payer.available().is_none() {
            return Err(Broken::BelowZero { account: payer.definition.account });
        }
        Ok(())
    }

    /// Promises `amount` of an account to an order.
    pub(crate) fn hold(&mut self, account: u32, amount: u128) -> Result<(), Stop> {
        let account = self.accounts.at_mut(account);
        let covered = account.available().is_some_and(|free| free >= amount);
        ensure(covered, RejectReason::InsufficientFunds)?;
        account.held = sum(account.held, amount, "hold of an account")?;
        Ok(())
    }

    /// Takes a promise back.
    pub(crate) fn release(&mut self, account: u32, amount: u128) -> Result<(), Broken> {
        let account = self.accounts.at_mut(account);
        account.held = difference(account.held, amount, "hold of an account")?;
        Ok(())
    }

    pub(crate) fn id(&self, account: u32) -> AccountId {
        self.accounts.at(account).definition.account
    }

    /// Σ debits = Σ credits in every asset, nothing below zero, and the indexes lead to every row.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let mut totals: std::collections::BTreeMap<AssetId, (u128, u128)> = std::collections::BTreeMap::new();
        for (row, account) in self.accounts.numbers().zip(self.accounts.iter()) {
            let definition = &account.definition;
            let (debits, credits) = totals.entry(definition.asset).or_default();
            *debits = sum(*debits, account.debits, "debits of an asset")?;
            *credits = sum(*credits, account.credits, "credits of an asset")?;
            let below_zero = !account.may_stand_below_zero() && account.available().is_none();
            if below_zero || (account.may_stand_below_zero() && account.held != 0) {
                return Err(Broken::BelowZero { account: definition.account });
            }
            let settles = self.settlement(definition.client, definition.asset) == Some(row);
            if self.row(definition.account) != Some(row) || settles != definition.settlement {
                return Err(Broken::Index { what: "accounts" });
            }
        }
        for (asset, (debits, credits)) in totals {
            if debits != credits {
                return Err(Broken::Unbalanced { asset, debits, credits });
            }
        }
        let found = |(row, executed): (u32, &Executed)| self.executed_row(executed.id) == Some(row);
        if !self.executed.numbers().zip(self.executed.iter()).all(found) {
            return Err(Broken::Index { what: "transfers" });
        }
        Ok(())
    }
}
