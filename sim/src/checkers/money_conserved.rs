//! Nothing is created and nothing disappears: the engine's own invariants hold, and in every asset what came in and has
//! not gone out is what clients, house and fees have together, counted from the events by a ledger that knows nothing of
//! the engine's.

use std::collections::BTreeMap;

use protocol::event::Event;
use protocol::{AccountClass, AccountId, Amount, AssetId, ClientId, EventBody, MarketId, Seq, events};

use super::{Checker, Served, Violation, ensure};

const NAME: &str = "money_conserved";

#[derive(Default)]
pub(super) struct MoneyConserved {
    counted: Seq,
    ledger: NaiveLedger,
}

/// Balances as the events tell them.
#[derive(Default)]
struct NaiveLedger {
    balances: BTreeMap<AccountId, (AssetId, AccountClass, i128)>,
    settlement: BTreeMap<(ClientId, AssetId), AccountId>,
    markets: BTreeMap<MarketId, events::MarketDefined>,
}

impl Checker for MoneyConserved {
    fn served(&mut self, served: &mut Served<'_>) -> Result<(), Violation> {
        for engine in [served.replica.engine(), served.witness.engine()] {
            engine
                .check_invariants()
                .map_err(|broken| Violation { invariant: NAME, what: broken.to_string() })?;
        }
        for event in served.witness.events_from(self.counted.next()) {
            self.ledger.take(event)?;
        }
        self.counted = served.witness.engine().seq_applied();
        self.ledger.check()?;
        self.ledger.agrees_with(served.replica.engine())
    }
}

impl NaiveLedger {
    fn take(&mut self, event: &Event) -> Result<(), Violation> {
        if let EventBody::AccountOpened(opened) = &event.body {
            self.balances.insert(opened.account, (opened.asset, opened.class, 0));
            if opened.settlement {
                self.settlement.insert((opened.client, opened.asset), opened.account);
            }
        } else if let EventBody::MarketDefined(defined) = &event.body {
            self.markets.insert(defined.definition.market, defined.clone());
        } else if let EventBody::MoneyDeposited(money) = &event.body {
            self.move_money(money.external, money.account, money.amount)?;
        } else if let EventBody::MoneyWithdrawn(money) = &event.body {
            self.move_money(money.account, money.external, money.amount)?;
        } else if let EventBody::MoneyTransferred(money) = &event.body {
            self.move_money(money.debit, money.credit, money.amount)?;
        } else if let EventBody::Settled(settled) = &event.body {
            self.settle(settled)?;
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
        self.move_money(pays, market.fee_account, settled.buyer_fee)?;
        self.move_money(is_paid, market.fee_account, settled.seller_fee)
    }

    fn move_money(&mut self, from: AccountId, to: AccountId, amount: Amount) -> Result<(), Violation> {
        let amount = i128::try_from(amount.0).map_err(|_| unknown(format!("amount {amount:?}")))?;
        for (account, by) in [(from, -amount), (to, amount)] {
            let row = self.balances.get_mut(&account).ok_or_else(|| unknown(format!("account {account}")))?;
            row.2 += by;
        }
        Ok(())
    }

    /// The engine's balances are these.
    fn agrees_with(&self, engine: &engine::Engine) -> Result<(), Violation> {
        let mut accounts = 0;
        for view in engine.accounts() {
            accounts += 1;
            let counted = self.balances.get(&view.account).map(|(_, _, balance)| *balance);
            let (credits, debits) = (i128::try_from(view.credits.0), i128::try_from(view.debits.0));
            let same =
                matches!((credits, debits), (Ok(credits), Ok(debits)) if counted == Some(credits - debits));
            ensure(same, NAME, || format!("{view:?}, counted {counted:?}"))?;
        }
        ensure(accounts == self.balances.len(), NAME, || {
            format!("{accounts} accounts, {} opened", self.balances.len())
        })
    }

    fn check(&self) -> Result<(), Violation> {
        let mut sums: BTreeMap<AssetId, i128> = BTreeMap::new();
        for (account, (asset, class, balance)) in &self.balances {
            *sums.entry(*asset).or_default() += balance;
            ensure(*balance >= 0 || *class == AccountClass::External, NAME, || {
                format!("account {account} stands at {balance}")
            })?;
        }
        ensure(sums.values().all(|sum| *sum == 0), NAME, || format!("debits and credits differ: {sums:?}"))
    }
}

fn unknown(what: String) -> Violation {
    Violation { invariant: NAME, what: format!("{what} is not known from the events") }
}
