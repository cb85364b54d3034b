//! Orders in the model: the model of the matching part says what trades; here is what that moves and holds.

use std::collections::BTreeMap;

use protocol::commands::DefineMarket;
use protocol::rows::account_flags::SETTLEMENT;
use protocol::{Command, MarketPhase, RejectReason};

use super::model::{Account, Model};
use crate::model::ModelTrade;

/// Why an order command was refused, and what traded.
pub(crate) type Traded = (Option<RejectReason>, Vec<ModelTrade>);

impl Model {
    pub(crate) fn define_market(&mut self, market: DefineMarket) {
        self.orders.markets.insert(market.market.0, (market, MarketPhase::Trading));
    }

    fn settlement(&self, owner: u64, ledger: u32) -> u128 {
        let is_it = |account: &&Account| {
            account.has(SETTLEMENT) && (account.row.owner.0, account.row.ledger.0) == (owner, ledger)
        };
        self.accounts.values().find(is_it).unwrap().row.id.0
    }

    /// Accounts of clients through which orders settle, by owner and ledger.
    fn traders(&mut self) -> impl Iterator<Item = ((u64, u32), &mut Account)> {
        let traders = self.accounts.values_mut().filter(|account| account.has(SETTLEMENT));
        let traders = traders.filter(|account| account.row.owner.0 != 0);
        traders.map(|account| ((account.row.owner.0, account.row.ledger.0), account))
    }

    /// A command about an order of a client.
    pub(crate) fn trade(&mut self, client: u64, command: &Command) -> Traded {
        let mut balances: BTreeMap<_, _> =
            self.orders.markets.values().map(|(market, _)| ((0, market.quote.0), 0)).collect();
        balances.extend(self.traders().map(|(whose, account)| (whose, account.held + account.available())));
        let closed = self.traders().filter(|(_, account)| account.closed).map(|(whose, _)| whose).collect();
        (self.orders.balances, self.orders.closed) = (balances, closed);
        let before = self.orders.trades.len();
        let refusal = if let Command::NewOrder(order) = command {
            self.orders.new_order(self.seq, client, order)
        } else if let Command::ReplaceOrder(replace) = command {
            self.orders.replace(client, replace)
        } else if let Command::CancelOrder(cancel) = command {
            self.orders.cancel(client, cancel)
        } else {
            panic!("the model does not know {command:?}")
        };
        let trades = self.orders.trades.split_off(before);
        trades.iter().for_each(|trade| self.settle_trade(trade));
        let orders = self.orders.clone();
        for ((owner, ledger), account) in self.traders() {
            account.held = orders.held(owner, ledger);
        }
        (refusal, trades)
    }

    fn settle_trade(&mut self, trade: &ModelTrade) {
        let (market, _) = self.orders.markets.values().next().unwrap().clone();
        let (base, quote, fees) = (market.base.0, market.quote.0, market.fee_account.0);
        let lots = u128::from(trade.qty) * market.lot_base_minor.0;
        let notional = u128::from(trade.qty) * u128::from(trade.price) * market.tick_quote_minor.0;
        let (buyer, seller) = (self.settlement(trade.buyer, quote), self.settlement(trade.seller, quote));
        self.post(self.settlement(trade.seller, base), self.settlement(trade.buyer, base), lots);
        self.post(buyer, seller, notional);
        self.post(buyer, fees, trade.buyer_fee);
        self.post(seller, fees, trade.seller_fee);
    }

    /// Nothing is refused any more.
    fn post(&mut self, debit: u128, credit: u128, amount: u128) {
        self.accounts.get_mut(&debit).unwrap().balances.debits_posted += amount;
        self.accounts.get_mut(&credit).unwrap().balances.credits_posted += amount;
    }
}
