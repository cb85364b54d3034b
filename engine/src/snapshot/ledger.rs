//! The ledger's tables, written and read.

use std::collections::BTreeMap;

use protocol::limits::{
    ACCOUNT_CODES_MAX, ACCOUNTS_MAX, CORRECTED_TRANSFERS_MAX, LEDGER_TABLE_MAX, MONITORS_MAX, OVERDRAFTS_MAX,
    QUOTES_MAX, STANDING_ORDERS_MAX,
};
use protocol::mutant::{Mutant, planted};
use protocol::rows::TransferRow;
use protocol::{
    AccountClass, AccountId, AssetId, ClientId, Command, Seq, StandingOrderId, TransferId, UnixNanos,
};

use super::bytes::{Reader, SnapshotFault, Writer};
use super::restore::field;
use crate::engine::Engine;
use crate::ledger::{
    Account, BankCalendar, Corrected, Original, Outcome, Overdraft, Particulars, Pending, Quote, Remembered,
    StandingOrder,
};
use crate::slab::NONE;

/// Pending transfers by id, each with its slot, the id of the one before in its chain, and how one of the chain ended.
type Chains = BTreeMap<TransferId, (u32, TransferId, Option<Outcome>)>;

impl Engine {
    pub(super) fn write_chart(&self, w: &mut Writer<'_>) {
        w.count(self.ledger.chart.len());
        for entry in self.ledger.chart.range((0, AssetId(0))) {
            w.command(&entry.clone().into());
        }
    }

    pub(super) fn read_chart(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        r.list("account codes", ACCOUNT_CODES_MAX, |r| {
            let Command::SetAccountCode(entry) = r.command("account codes")? else {
                return Err(SnapshotFault::Field("account codes"));
            };
            let key = (entry.code, entry.ledger);
            let is_known = entry.ledger.0 == 0 || self.registry.asset(entry.ledger).is_some();
            field(is_known, "account code's ledger")?;
            self.ledger.chart.insert(entry);
            Ok(key)
        })
    }

    pub(super) fn write_accounts(&self, w: &mut Writer<'_>) {
        let accounts = self.ledger.accounts.sorted();
        w.count(accounts.len());
        for (account, particulars) in accounts {
            w.u128(account.id.0);
            w.u64(account.owner.0);
            w.u32(account.ledger.0);
            w.u64(particulars.created.0);
            w.u64(particulars.sent);
            w.u128(particulars.user_data_128);
            w.u64(particulars.user_data_64);
            w.u32(particulars.user_data_32);
            w.u16(account.code);
            w.u16(account.flags);
            w.u16(particulars.sent_flags);
            w.u8(account.class.code());
            w.u128(account.debits_pending);
            w.u128(account.debits_posted);
            w.u128(account.credits_pending);
            w.u128(account.credits_posted);
            w.u128(account.held);
        }
    }

    pub(super) fn write_calendar(&self, w: &mut Writer<'_>) {
        let BankCalendar { definition, closed } = &self.ledger.calendar;
        w.flag(definition.is_some());
        if let Some(calendar) = definition {
            w.command(&Command::SetCalendar(calendar.clone()));
        }
        w.u32(*closed);
    }

    pub(super) fn write_overdrafts(&self, w: &mut Writer<'_>) {
        w.count(self.ledger.overdrafts.len());
        for Overdraft { lines, most } in self.ledger.overdrafts.iter() {
            w.command(&Command::SetOverdraft(lines.clone()));
            w.u128(*most);
        }
    }

    pub(super) fn write_corrections(&self, w: &mut Writer<'_>) {
        w.u64(self.ledger.corrections.floor_ms());
        w.count(self.ledger.corrections.len());
        for (id, Corrected { original, reversed }) in self.ledger.corrections.iter() {
            w.u128(id.0);
            w.u128(*reversed);
            w.flag(original.is_some());
            if let Some(original) = original {
                w.u128(original.debit.0);
                w.u128(original.credit.0);
                w.u32(original.ledger.0);
                w.u128(original.amount);
            }
        }
    }

    pub(super) fn write_transfers(&self, w: &mut Writer<'_>) {
        w.command(&Command::SetLedgerLimits(self.ledger.limits.clone()));
        w.u64(self.ledger.recent.floor_ms());
        w.count(self.ledger.recent.len());
        for Remembered { row, amount, seq, outcome } in self.ledger.recent.iter() {
            row.write(w.0);
            w.u128(*amount);
            w.u64(seq.0);
            w.outcome(*outcome);
        }
    }

    pub(super) fn write_pendings(&self, w: &mut Writer<'_>) {
        let pendings = &self.ledger.pendings;
        let sorted = pendings.sorted();
        w.count(sorted.len());
        for (_, pending) in sorted {
            w.u128(pending.id.0);
            w.u128(self.ledger.id(pending.debit).0);
            w.u128(self.ledger.id(pending.credit).0);
            w.u128(pending.amount);
            w.flag(pending.expires_at.is_some());
            if let Some(expires_at) = pending.expires_at {
                w.u64(expires_at.0);
            }
            w.u32(pending.ledger.0);
            w.u16(pending.code);
            w.u16(pending.flags);
            w.flag(pending.by_payer);
            let chain = pendings.chain(pending);
            let before = pendings.at(pending.before).map_or(pending.id, |before| before.id);
            w.u128(chain.map_or(0, |_| before.0));
            w.u8(chain.and_then(|chain| chain.end).map_or(0, |end| end.codes().0));
        }
    }

    pub(super) fn read_accounts(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        r.list("accounts", ACCOUNTS_MAX, |r| {
            let (id, owner, ledger) = (AccountId(r.u128()?), ClientId(r.u64()?), AssetId(r.u32()?));
            let mut account = Account::new(id, owner, ledger);
            let (created, sent, user_data_128) = (Seq(r.u64()?), r.u64()?, r.u128()?);
            let (user_data_64, user_data_32) = (r.u64()?, r.u32()?);
            account.code = r.u16()?;
            account.flags = r.u16()?;
            let sent_flags = r.u16()?;
            account.class = r.code("account's class", AccountClass::from_code)?;
            account.debits_pending = r.u128()?;
            account.debits_posted = r.u128()?;
            account.credits_pending = r.u128()?;
            account.credits_posted = r.u128()?;
            account.held = r.u128()?;
            let particulars =
                Particulars { user_data_128, user_data_64, created, sent, user_data_32, sent_flags };
            self.ledger.accounts.add(account, particulars);
            Ok(id)
        })
    }

    pub(super) fn read_calendar(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        if r.flag("calendar")? {
            let Command::SetCalendar(calendar) = r.command("calendar")? else {
                return Err(SnapshotFault::Field("calendar"));
            };
            self.ledger.calendar.definition = Some(calendar);
        }
        self.ledger.calendar.closed = r.u32()?;
        Ok(())
    }

    pub(super) fn read_overdrafts(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        r.list("overdrafts", OVERDRAFTS_MAX, |r| {
            let Command::SetOverdraft(lines) = r.command("overdrafts")? else {
                return Err(SnapshotFault::Field("overdrafts"));
            };
            let (account, most) = (lines.account, r.u128()?);
            let row = self.ledger.row(account).ok_or(SnapshotFault::Field("overdraft's account"))?;
            self.ledger.accounts.set_overdraft(row, true);
            self.ledger.overdrafts.insert(Overdraft { lines, most });
            Ok(account)
        })
    }

    pub(super) fn read_corrections(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        self.ledger.corrections.restore_floor_ms(r.u64()?);
        let max = usize::try_from(CORRECTED_TRANSFERS_MAX).unwrap_or(usize::MAX);
        r.list("corrected transfers", max, |r| {
            let (id, reversed) = (TransferId(r.u128()?), r.u128()?);
            let original = if r.flag("corrected transfers")? {
                let (debit, credit) = (AccountId(r.u128()?), AccountId(r.u128()?));
                Some(Original { debit, credit, ledger: AssetId(r.u32()?), amount: r.u128()? })
            } else {
                None
            };
            self.ledger.corrections.insert(id, Corrected { original, reversed });
            Ok(id)
        })
    }

    pub(super) fn read_transfers(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let Command::SetLedgerLimits(limits) = r.command("limits")? else {
            return Err(SnapshotFault::Field("limits"));
        };
        self.ledger.limits = limits;
        field(self.ledger.recent.restore_floor_ms(r.u64()?), "floor")?;
        // As many as there are: a batch may come on top of what the limits say, and nothing is allocated by the count.
        for _ in 0..r.u32()? {
            let row = TransferRow::from_bytes(&r.array()?).ok_or(SnapshotFault::Field("remembered"))?;
            let (amount, seq, outcome) = (r.u128()?, Seq(r.u64()?), r.outcome("remembered")?);
            field(self.ledger.recent.find(row.id).is_none(), "remembered")?;
            if !planted(Mutant::TransferIdsNotInSnapshot) {
                self.ledger.recent.remember(Remembered { row, amount, seq, outcome });
            }
        }
        Ok(())
    }

    pub(super) fn read_pendings(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let mut chains = Chains::new();
        let max = usize::try_from(LEDGER_TABLE_MAX).unwrap_or(usize::MAX);
        r.list("pending transfers", max, |r| {
            let id = TransferId(r.u128()?);
            let account =
                |id| self.ledger.row(AccountId(id)).ok_or(SnapshotFault::Field("pending transfer's account"));
            let pending = Pending {
                id,
                debit: account(r.u128()?)?,
                credit: account(r.u128()?)?,
                amount: r.u128()?,
                expires_at: if r.flag("expires_at")? {
                    Some(UnixNanos(r.u64()?)).filter(|_| !planted(Mutant::DeadlinesNotInSnapshot))
                } else {
                    None
                },
                ledger: AssetId(r.u32()?),
                code: r.u16()?,
                flags: r.u16()?,
                by_payer: r.flag("by_payer")?,
                chain: NONE,
                before: NONE,
                behind: NONE,
                recollection: self.ledger.recent.recollect(id),
                end: None,
            };
            let before = TransferId(r.u128()?);
            let end = match r.u8()? {
                0 => None,
                code => Some(Outcome::from_codes(code, 0).ok_or(SnapshotFault::Field("chain's end"))?),
            };
            let slot = self.ledger.pendings.add(pending);
            if before.0 != 0 {
                chains.insert(id, (slot, before, end));
            }
            Ok(id)
        })?;
        self.tie_chains(&chains)
    }

    pub(super) fn write_quotes(&self, w: &mut Writer<'_>) {
        w.count(self.ledger.quotes.len());
        for Quote { definition, left } in self.ledger.quotes.iter() {
            w.command(&definition.clone().into());
            w.u128(*left);
        }
    }

    pub(super) fn read_quotes(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        r.list("quotes", QUOTES_MAX, |r| {
            let Command::QuoteExchange(definition) = r.command("quotes")? else {
                return Err(SnapshotFault::Field("quotes"));
            };
            let (id, left) = (definition.quote, r.u128()?);
            self.ledger.quotes.add(Quote { definition, left });
            Ok(id)
        })
    }

    pub(super) fn write_standing_orders(&self, w: &mut Writer<'_>) {
        w.u64(self.ledger.standing_orders.outdated_from.map_or(0, |order| order.0));
        w.count(self.ledger.standing_orders.len());
        for StandingOrder { definition, occurrence, day, attempt, due } in self.ledger.standing_orders.iter()
        {
            w.command(&definition.clone().into());
            w.u32(*occurrence);
            w.u32(*day);
            w.u8(*attempt);
            w.u64(due.0);
        }
        w.count(self.ledger.standing_orders.taken().len());
        for (debit, order) in self.ledger.standing_orders.taken() {
            w.u128(debit.0);
            w.u64(order.0);
        }
    }

    pub(super) fn read_standing_orders(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let outdated_from = Some(StandingOrderId(r.u64()?));
        self.ledger.standing_orders.outdated_from = outdated_from.filter(|order| order.0 != 0);
        r.list("standing orders", STANDING_ORDERS_MAX, |r| {
            let Command::DefineStandingOrder(definition) = r.command("standing orders")? else {
                return Err(SnapshotFault::Field("standing orders"));
            };
            let id = definition.order;
            let (occurrence, day, attempt, due) = (r.u32()?, r.u32()?, r.u8()?, UnixNanos(r.u64()?));
            self.ledger.standing_orders.add(StandingOrder { definition, occurrence, day, attempt, due });
            Ok(id)
        })?;
        r.list("ids of standing orders", ACCOUNTS_MAX, |r| {
            let (debit, order) = (AccountId(r.u128()?), StandingOrderId(r.u64()?));
            self.ledger.standing_orders.take_id(debit, order);
            Ok(debit)
        })
    }

    pub(super) fn write_monitors(&self, w: &mut Writer<'_>) {
        w.count(self.ledger.monitors.len());
        for monitor in self.ledger.monitors.iter() {
            w.command(&monitor.clone().into());
        }
    }

    pub(super) fn read_monitors(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        r.list("monitors", MONITORS_MAX, |r| {
            let Command::DefineMonitor(monitor) = r.command("monitors")? else {
                return Err(SnapshotFault::Field("monitors"));
            };
            let id = monitor.monitor;
            let is_known = monitor.account.0 != 0 || self.registry.asset(monitor.ledger).is_some();
            field(is_known, "monitored ledger")?;
            field(self.ledger.restore_monitor(monitor), "monitors")?;
            Ok(id)
        })
    }

    /// Every chain begins with the one that has none before it, and goes on with the one that has that before it.
    fn tie_chains(&mut self, chains: &Chains) -> Result<(), SnapshotFault> {
        let behind: BTreeMap<TransferId, TransferId> = chains
            .iter()
            .filter(|(id, (_, before, _))| before != *id)
            .map(|(&id, &(_, before, _))| (before, id))
            .collect();
        let mut tied = 0_usize;
        for (&first, &(_, _, end)) in chains.iter().filter(|(id, (_, before, _))| before == *id) {
            let ids = core::iter::successors(Some(first), |id| behind.get(id).copied());
            let members: Vec<_> = ids.filter_map(|id| chains.get(&id)).collect();
            field(members.iter().all(|(.., of)| *of == end), "chain's end")?;
            let slots: Vec<u32> = members.into_iter().map(|&(slot, ..)| slot).collect();
            for (&before, &slot) in slots.iter().zip(slots.iter().skip(1)) {
                self.ledger.pendings.tie(before, slot);
            }
            slots.first().into_iter().for_each(|&first| self.ledger.pendings.restore_chain(first, end));
            tied = tied.saturating_add(slots.len());
        }
        // What is in no chain with a first one is in none.
        field(tied == chains.len(), "chains")
    }
}

impl Writer<'_> {
    fn outcome(&mut self, outcome: Outcome) {
        let (code, refusal) = outcome.codes();
        self.u8(code);
        self.u8(refusal);
    }
}

impl Reader<'_> {
    fn outcome(&mut self, name: &'static str) -> Result<Outcome, SnapshotFault> {
        let (code, refusal) = (self.u8()?, self.u8()?);
        Outcome::from_codes(code, refusal).ok_or(SnapshotFault::Field(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last batch before a snapshot may have filled the table beyond all limits that may be set.
    #[test]
    fn as_many_transfers_are_read_as_were_remembered() {
        let mut bytes = Vec::new();
        let mut w = Writer(&mut bytes);
        w.command(&Command::SetLedgerLimits(Engine::new().ledger.limits));
        w.u64(0);
        w.u32(LEDGER_TABLE_MAX + 1);
        let read = Engine::new().read_transfers(&mut Reader(&bytes));
        assert!(matches!(read, Err(SnapshotFault::Short { found: 0, .. })), "{read:?}");
    }
}
