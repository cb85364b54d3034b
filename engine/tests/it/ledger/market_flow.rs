//! A market between the two ledgers, and random orders on it: what they hold and what trades is money that transfers move too.

use protocol::commands::{CancelOrder, ClOrdId, DefineMarket, NewOrder, ReplaceOrder};
use protocol::rows::AccountRow;
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::terms::RareTerms;
use protocol::{
    AccountClass, AccountId, AssetId, ClientId, Command, MarketId, PriceTicks, QtyLots, Side, Text,
};

use super::flow::{Flow, LEDGERS, OWNERS, Sender, Step};
use super::model::Model;
use crate::definitions;

const QTY_MAX: u64 = 60;
const PRICE_MAX: u64 = 12;
/// Takes the fees.
const FEES: AccountId = AccountId(30);

/// The market. Fees are high, so that they are more than nothing of small orders.
pub(crate) fn market() -> DefineMarket {
    DefineMarket {
        base: AssetId(LEDGERS[0]),
        quote: AssetId(LEDGERS[1]),
        price_ticks_max: PriceTicks(PRICE_MAX),
        qty_lots_max: QtyLots(QTY_MAX),
        client_orders_max: 5,
        maker_fee_ppm: 30_000,
        taker_fee_ppm: 50_000,
        fee_account: FEES,
        ..definitions::market(1)
    }
}

/// The account that takes its fees.
pub(crate) fn fee_account() -> AccountRow {
    AccountRow {
        flags: 0,
        class: AccountClass::Fee.code().into(),
        ..definitions::account_row(FEES.0, LEDGERS[1])
    }
}

impl Flow {
    /// Accounts through which orders settle; now and then somebody has to wait for one.
    pub(crate) fn traders(&mut self) -> Vec<AccountRow> {
        let mut rows = Vec::new();
        for (owner, first) in [(OWNERS[0], 31), (OWNERS[1], 33)] {
            for (ledger, id) in LEDGERS.into_iter().zip(first..) {
                rows.push(AccountRow {
                    owner: ClientId(owner),
                    flags: DEBITS_MUST_NOT_EXCEED_CREDITS | SETTLEMENT,
                    class: AccountClass::Client.code().into(),
                    ..definitions::account_row(id, ledger)
                });
            }
        }
        rows.retain(|_| self.numbers.chance(95));
        rows
    }

    pub(super) fn order(&mut self, model: &Model) -> Step {
        let (sender, client) =
            *self.numbers.pick(&[(Sender::Trader, OWNERS[0]), (Sender::PayerForTwo, OWNERS[1])]);
        self.cl_ord_ids += 1;
        let live: Vec<_> = model.orders.live.iter().filter(|order| order.client == client).collect();
        let kind = self.numbers.below(10);
        if live.is_empty() || kind >= 4 {
            let sender = if self.numbers.chance(3) { Sender::Cashier } else { sender };
            return Step::Order(sender, client, self.new_order(model, client).into());
        }
        let order = self.numbers.pick(&live);
        let orig = if self.numbers.chance(5) { "none" } else { &order.cl_ord_id };
        let orig_cl_ord_id: ClOrdId = Text::new(orig).unwrap();
        let (market, side) = (MarketId(1), order.side);
        let cl_ord_id = self.cl_ord_id();
        let command: Command = if kind < 2 {
            CancelOrder { cl_ord_id, orig_cl_ord_id, order: None, market, side, poss_resend: false }.into()
        } else {
            let price =
                if self.numbers.chance(50) { order.price } else { self.numbers.between(1, PRICE_MAX) };
            let qty = self.qty(model, client, side, price);
            ReplaceOrder {
                cl_ord_id,
                orig_cl_ord_id,
                order: None,
                market,
                side,
                price_ticks: PriceTicks(price),
                qty_lots: QtyLots(qty),
                poss_resend: false,
                terms: RareTerms::NONE,
            }
            .into()
        };
        Step::Order(sender, client, command)
    }

    fn cl_ord_id(&self) -> ClOrdId {
        Text::new(format!("o{}", self.cl_ord_ids)).unwrap()
    }

    fn new_order(&mut self, model: &Model, client: u64) -> NewOrder {
        let side = *self.numbers.pick(Side::ALL);
        let price = self.numbers.between(1, PRICE_MAX);
        let qty = self.qty(model, client, side, price);
        NewOrder {
            cl_ord_id: self.cl_ord_id(),
            client: Some(ClientId(client)),
            ..definitions::limit("", side, qty, price)
        }
    }

    /// Often what the account still covers, without a fee, and one more.
    fn qty(&mut self, model: &Model, client: u64, side: Side, price: u64) -> u64 {
        let (ledger, each) = if side == Side::Sell { (LEDGERS[0], 1) } else { (LEDGERS[1], price) };
        let settles = |account: &&super::model::Account| {
            account.has(SETTLEMENT) && (account.row.owner.0, account.row.ledger.0) == (client, ledger)
        };
        let available = model.accounts.values().find(settles).map_or(0, super::model::Account::available);
        let covered = u64::try_from(available).unwrap_or(u64::MAX) / each;
        if covered < QTY_MAX && self.numbers.chance(50) {
            return covered + self.numbers.below(2);
        }
        self.numbers.between(1, QTY_MAX)
    }
}
