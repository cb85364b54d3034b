//! Nothing is created and nothing disappears: the engine's own invariants hold, and in every asset what came in and has
//! not gone out is what clients, house and fees have together, counted from batches and events by a ledger that knows
//! nothing of the engine's.

use std::collections::BTreeMap;

use protocol::event::Event;
use protocol::rows::{LedgerTotals, account_flags};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, Command, EventBody, MarketId, Seq, Side, UnixNanos,
    events,
};

use super::days::Days;
use super::standing_orders::StandingOrders;
use super::transfers::Transfers;
use super::{Checker, Served, Violation, created, ensure};

const NAME: &str = "money_conserved";

#[derive(Default)]
pub(super) struct MoneyConserved {
    counted: Seq,
    ledger: NaiveLedger,
}

/// Balances as batches and events tell them.
#[derive(Default)]
struct NaiveLedger {
    balances: BTreeMap<AccountId, (AssetId, AccountClass, i128)>,
    settlement: BTreeMap<(ClientId, AssetId), AccountId>,
    markets: BTreeMap<MarketId, events::MarketDefined>,
    transfers: Transfers,
    standing_orders: StandingOrders,
    days: Days,
    /// What has moved in each ledger: the sum of its debits, and of its credits.
    posted: BTreeMap<AssetId, u128>,
}

impl Checker for MoneyConserved {
    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        for engine in [served.replica.engine(), served.witness.engine()] {
            engine
                .check_invariants()
                .map_err(|broken| Violation { invariant: NAME, what: broken.to_string() })?;
        }
        let witness = served.witness;
        for (seq, time) in witness.times_from(self.counted.next()) {
            let (batch, events) = (witness.batch_at(seq), witness.events_at(seq));
            self.ledger.take_transfers(seq, time, batch, events)?;
            events.iter().try_for_each(|event| self.ledger.take(event, batch))?;
        }
        self.counted = witness.engine().seq_applied();
        self.ledger.check()?;
        self.ledger.transfers.agree(served.workload.payments.known(), self.counted)?;
        self.ledger.standing_orders.agree(served.workload.standing_orders.known(), self.counted)?;
        self.ledger.days.agree(served.workload.days.known(), self.counted)?;
        self.ledger.agrees_with(served.replica.engine())
    }
}

impl NaiveLedger {
    fn take(&mut self, event: &Event, batch: Option<&Command>) -> Result<(), Violation> {
        if matches!(event.body, EventBody::CalendarSet(_) | EventBody::DayClosed(_)) {
            let totals = self.totals();
            self.days.take(event, || totals)
        } else if let EventBody::AccountsCreated(made) = &event.body {
            self.create_accounts(made, batch)
        } else if let EventBody::MarketDefined(defined) = &event.body {
            self.markets.insert(defined.definition.market, defined.clone());
            Ok(())
        } else if let EventBody::Settled(settled) = &event.body {
            self.settle(settled)
        } else if let EventBody::TradeBusted(busted) = &event.body {
            let mut postings = busted.postings.iter();
            postings.try_for_each(|posting| {
                self.move_money(posting.debit_account, posting.credit_account, posting.amount)
            })
        } else {
            Ok(())
        }
    }

    fn create_accounts(
        &mut self,
        made: &events::AccountsCreated,
        batch: Option<&Command>,
    ) -> Result<(), Violation> {
        let Some(Command::CreateAccounts(batch)) = batch else { return nothing(made.created) };
        for row in created(&batch.accounts, &made.exceptions) {
            let class = u8::try_from(row.class).ok().and_then(AccountClass::from_code);
            let class = class.ok_or_else(|| unknown(format!("class {}", row.class)))?;
            let before = self.balances.insert(row.id, (row.ledger, class, 0));
            ensure(before.is_none(), NAME, || format!("account {} was created twice", row.id))?;
            if row.flags & account_flags::SETTLEMENT != 0 {
                self.settlement.insert((row.owner, row.ledger), row.id);
            }
        }
        Ok(())
    }

    fn take_transfers(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        batch: Option<&Command>,
        events: &[Event],
    ) -> Result<(), Violation> {
        let calendar = self.days.calendar();
        let executed = self.standing_orders.take(seq, time, events, calendar)?;
        let transferred = self.transfers.take(seq, time, batch, events, calendar)?;
        for moved in executed.into_iter().chain(transferred) {
            self.move_money(moved.debit, moved.credit, Amount(moved.amount))?;
        }
        Ok(())
    }

    fn settle(&mut self, settled: &events::Settled) -> Result<(), Violation> {
        let market = self.markets.get(&settled.market).map(|market| market.definition.clone());
        let Some(market) = market else { return Err(unknown(format!("market {}", settled.market))) };
        let lots = u128::from(settled.qty_lots.0);
        let base = Amount(lots * market.lot_base_minor.0);
        let price = u128::from(settled.price_ticks.0);
        ensure(settled.notional.0 == lots * price * market.tick_quote_minor.0, NAME, || {
            format!("{settled:?}")
        })?;
        let account = |ledger: &Self, client, asset| {
            ledger
                .settlement
                .get(&(client, asset))
                .copied()
                .ok_or_else(|| unknown(format!("account of {client}")))
        };
        let (buyer, seller) = (settled.buyer, settled.seller);
        let (pays, is_paid) = (account(self, buyer, market.quote)?, account(self, seller, market.quote)?);
        let (gives, receives) = (account(self, seller, market.base)?, account(self, buyer, market.base)?);
        self.move_money(pays, is_paid, settled.notional)?;
        self.move_money(gives, receives, base)?;
        let (buyer_is_paid, seller_is_paid) = match settled.taker_side {
            Side::Buy => (false, settled.maker_is_paid),
            Side::Sell => (settled.maker_is_paid, false),
        };
        for (account, fee, is_rebate) in
            [(pays, settled.buyer_fee, buyer_is_paid), (is_paid, settled.seller_fee, seller_is_paid)]
        {
            let (from, to) =
                if is_rebate { (market.fee_account, account) } else { (account, market.fee_account) };
            self.move_money(from, to, fee)?;
        }
        for (account, tax) in [(pays, settled.buyer_tax), (is_paid, settled.seller_tax)] {
            if tax.0 > 0 {
                self.move_money(account, market.tax_account, tax)?;
            }
        }
        Ok(())
    }

    fn move_money(&mut self, from: AccountId, to: AccountId, amount: Amount) -> Result<(), Violation> {
        let ledger = self.balances.get(&from).map(|(ledger, ..)| *ledger);
        *self.posted.entry(ledger.unwrap_or_default()).or_default() += amount.0;
        let amount = i128::try_from(amount.0).map_err(|_| unknown(format!("amount {amount:?}")))?;
        for (account, by) in [(from, -amount), (to, amount)] {
            let row = self.balances.get_mut(&account).ok_or_else(|| unknown(format!("account {account}")))?;
            row.2 += by;
        }
        Ok(())
    }

    /// Sums of each ledger that has an account.
    fn totals(&self) -> Vec<LedgerTotals> {
        let (pending, mut totals) = (self.transfers.pending(), BTreeMap::new());
        for (account, (ledger, ..)) in &self.balances {
            let posted = Amount(self.posted.get(ledger).copied().unwrap_or(0));
            let sums = totals.entry(*ledger).or_insert(LedgerTotals {
                ledger: *ledger,
                debits_pending: Amount(0),
                debits_posted: posted,
                credits_pending: Amount(0),
                credits_posted: posted,
                accounts: 0,
            });
            let (debits, credits) = pending.get(account).copied().unwrap_or_default();
            sums.accounts += 1;
            sums.debits_pending.0 += debits;
            sums.credits_pending.0 += credits;
        }
        totals.into_values().collect()
    }

    /// The engine's balances are these.
    fn agrees_with(&self, engine: &engine::Engine) -> Result<(), Violation> {
        let mut accounts = 0;
        let pending = self.transfers.pending();
        for view in engine.accounts() {
            accounts += 1;
            let counted = self.balances.get(&view.account).map(|(_, _, balance)| *balance);
            let (credits, debits) = (i128::try_from(view.credits.0), i128::try_from(view.debits.0));
            let same =
                matches!((credits, debits), (Ok(credits), Ok(debits)) if counted == Some(credits - debits));
            let reserved = pending.get(&view.account).copied().unwrap_or_default();
            let same = same && reserved == (view.debits_pending.0, view.credits_pending.0);
            ensure(same, NAME, || format!("{view:?}, counted {counted:?} and pending {reserved:?}"))?;
        }
        ensure(accounts == self.balances.len(), NAME, || {
            format!("{accounts} accounts, {} opened", self.balances.len())
        })
    }

    fn check(&self) -> Result<(), Violation> {
        let mut sums: BTreeMap<AssetId, i128> = BTreeMap::new();
        let pending = self.transfers.pending();
        for (account, (asset, class, balance)) in &self.balances {
            *sums.entry(*asset).or_default() += balance;
            let (debits, _) = pending.get(account).copied().unwrap_or_default();
            let covered = u128::try_from(*balance).is_ok_and(|balance| debits <= balance);
            ensure(covered || *class == AccountClass::External, NAME, || {
                format!("account {account} stands at {balance}, and {debits} may go out")
            })?;
        }
        ensure(sums.values().all(|sum| *sum == 0), NAME, || format!("debits and credits differ: {sums:?}"))
    }
}

/// A batch that nobody has kept created nothing.
fn nothing(created: u32) -> Result<(), Violation> {
    ensure(created == 0, NAME, || format!("{created} rows were created by another command"))
}

fn unknown(what: String) -> Violation {
    Violation { invariant: NAME, what: format!("{what} is not known from batches and events") }
}
