//! Trades that are taken back or corrected, once a second actor has approved it.
//!
//! No engine keeps trades for ever: what one was, the command says in the words of its [`Settled`], and who proposed and who approved it answer
//! for that. What can still be told is checked, and no trade is changed twice. Nothing posted is ever changed: each posting of the trade gets one
//! the other way, for all of it or for the difference. A client who has spent meanwhile what it has to give back never
//! stands below zero for it: what is missing is advanced to it by an account that the command names, which holds the claim from then on.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{BustTrade, CorrectTrade};
use protocol::events::{ExecutionReport, Settled, TradeBusted};
use protocol::limits::BUSTED_TRADES_MAX;
use protocol::rows::{TradePosting, account_flags};
use protocol::terms::Rare;
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, ExecType, Liquidity, PriceTicks, QtyLots,
    RejectReason, Side, TradeId, TradePart,
};

use crate::broken::{Broken, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::ledger::{Account, Ledger, TRADING_TURNOVER_MAX};
use crate::markets::Market;
use crate::orders::fees::BILLION;
use crate::rows::NO_ROW;

/// Every trade that was ever busted or corrected.
pub(crate) type Busted = BTreeSet<TradeId>;

/// What a trade moves.
type Amounts = [(TradePart, u128); 6];

/// One posting, not yet made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Movement {
    part: TradePart,
    debit: u32,
    credit: u32,
    amount: u128,
}

/// Whom a trade concerns, by rows of the ledger.
struct Parties {
    buyer_base: u32,
    buyer_quote: u32,
    seller_base: u32,
    seller_quote: u32,
    fees: u32,
    /// [`NO_ROW`] where no fee is taxed.
    taxes: u32,
    /// [`NO_ROW`] where the command names none.
    base_receivable: u32,
    quote_receivable: u32,
}

impl Engine {
    /// Takes a trade back.
    pub(crate) fn bust_trade(&mut self, command: &BustTrade, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let BustTrade { settled, base_receivable, quote_receivable, reason } = command;
        let nothing = Settled {
            price_ticks: PriceTicks(0),
            qty_lots: QtyLots(0),
            notional: Amount::ZERO,
            buyer_fee: Amount::ZERO,
            seller_fee: Amount::ZERO,
            buyer_tax: Amount::ZERO,
            seller_tax: Amount::ZERO,
            ..settled.clone()
        };
        self.change_trade(settled, nothing, [*base_receivable, *quote_receivable], *reason, effects)
    }

    /// Puts another price in the place of a trade's, or less of a quantity.
    pub(crate) fn correct_trade(
        &mut self,
        command: &CorrectTrade,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let CorrectTrade { settled, base_receivable, quote_receivable, reason, .. } = command;
        let &CorrectTrade { price_ticks, qty_lots, notional, buyer_fee, seller_fee, .. } = command;
        let &CorrectTrade { buyer_tax, seller_tax, .. } = command;
        let before = settled.clone();
        let next = Settled {
            price_ticks,
            qty_lots,
            notional,
            buyer_fee,
            seller_fee,
            buyer_tax,
            seller_tax,
            ..before
        };
        ensure_field(qty_lots.0 > 0 && qty_lots <= settled.qty_lots, "qty_lots")?;
        ensure_field(price_ticks.0 > 0, "price_ticks")?;
        ensure_field(next != *settled, "price_ticks")?;
        self.change_trade(settled, next, [*base_receivable, *quote_receivable], *reason, effects)
    }

    fn change_trade(
        &mut self,
        settled: &Settled,
        next: Settled,
        receivables: [AccountId; 2],
        reason: u16,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let trade = settled.trade;
        ensure(!self.busted.contains(&trade), RejectReason::Exists)?;
        ensure_field((1..=self.trades).contains(&trade.0), "trade")?;
        ensure_field(reason != 0, "reason")?;
        ensure(self.busted.len() < BUSTED_TRADES_MAX, RejectReason::TableFull)?;
        let row = self.markets.row(settled.market).ok_or(RejectReason::UnknownMarket)?;
        let market = self.markets.rows.at(row);
        let (was, is) = (amounts(settled, market)?, amounts(&next, market)?);
        let parties = parties(settled, market, receivables, &self.ledger)?;
        self.check_orders(row, settled)?;
        let movements_due = movements(settled, &parties, &was, &is);
        let postings = plan(&self.ledger, movements_due, &parties)?;
        for posting in &postings {
            self.ledger.post(posting.debit, posting.credit, posting.amount)?;
        }
        self.busted.insert(trade);
        let id = |row| self.ledger.id(row);
        let postings = postings.into_iter().map(|movement| TradePosting {
            part: movement.part,
            debit_account: id(movement.debit),
            credit_account: id(movement.credit),
            amount: Amount(movement.amount),
        });
        let busted = TradeBusted {
            settled: settled.clone(),
            price_ticks: next.price_ticks,
            qty_lots: next.qty_lots,
            notional: next.notional,
            buyer_fee: next.buyer_fee,
            seller_fee: next.seller_fee,
            buyer_tax: next.buyer_tax,
            seller_tax: next.seller_tax,
            reason,
            postings: postings.collect(),
        };
        effects.push(busted);
        self.report_change(row, (settled, &next), Liquidity::Maker, effects);
        self.report_change(row, (settled, &next), Liquidity::Taker, effects);
        Ok(())
    }

    /// Where the orders of a trade are still known, they are of its sides and clients, and have filled that much.
    fn check_orders(&mut self, market: u32, settled: &Settled) -> Result<(), Stop> {
        let maker_side = settled.taker_side.opposite();
        for (order, side, field) in [
            (settled.maker_order, maker_side, "maker_order"),
            (settled.taker_order, settled.taker_side, "taker_order"),
        ] {
            let client = match side {
                Side::Buy => settled.buyer,
                Side::Sell => settled.seller,
            };
            let known = self.last_report(market, order);
            let agrees = known.is_none_or(|(_, report)| {
                report.side == side && report.client == client && report.cum_lots >= settled.qty_lots
            });
            ensure_field(agrees, field)?;
        }
        Ok(())
    }

    /// Tells the session of an order that lives or ended on the session's day what was taken back, or how the fill is now; of an older one no
    /// session knows.
    fn report_change(
        &mut self,
        market: u32,
        (settled, next): (&Settled, &Settled),
        liquidity: Liquidity,
        effects: &mut Effects<'_>,
    ) {
        let order = match liquidity {
            Liquidity::Maker => settled.maker_order,
            Liquidity::Taker | Liquidity::Auction => settled.taker_order,
        };
        let Some((session, report)) = self.last_report(market, order) else { return };
        let is_buyer = report.side == Side::Buy;
        let is_cancelled = next.qty_lots.0 == 0;
        let said = if is_cancelled { settled } else { next };
        let report = ExecutionReport {
            exec_type: if is_cancelled { ExecType::TradeCancel } else { ExecType::TradeCorrect },
            last_price_ticks: said.price_ticks,
            last_qty_lots: said.qty_lots,
            trade: said.trade,
            liquidity: Some(liquidity),
            fee: if is_buyer { said.buyer_fee } else { said.seller_fee },
            fee_is_paid: said.maker_is_paid && liquidity == Liquidity::Maker,
            tax: if is_buyer { said.buyer_tax } else { said.seller_tax },
            reason: None,
            details: Rare::NONE,
            ..report
        };
        self.sessions.rows.at_mut(session).send(effects, report);
    }

    /// Every trade that was changed was made.
    pub(crate) fn check_busted(&self) -> Result<(), Broken> {
        let is_sound = self.busted.iter().all(|trade| (1..=self.trades).contains(&trade.0));
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "busted trades" }) }
    }
}

/// What a trade as it is said moves; refused if no trade can have moved that.
fn amounts(settled: &Settled, market: &Market) -> Result<Amounts, Stop> {
    let definition = &market.definition;
    let notional = settled.price_ticks.times(settled.qty_lots).checked_mul(definition.tick_quote_minor.0);
    // As large as a market may make it.
    let computed =
        |notional: &u128| notional.checked_mul(2).and_then(|twice| twice.checked_mul(BILLION)).is_some();
    let notional = notional.filter(computed).filter(|notional| *notional == settled.notional.0);
    ensure_field(notional.is_some(), "notional")?;
    let base = u128::from(settled.qty_lots.0).checked_mul(definition.lot_base_minor.0);
    let base = base.filter(|base| *base <= TRADING_TURNOVER_MAX);
    ensure_field(base.is_some(), "qty_lots")?;
    let fits =
        |fee: Amount, tax: Amount| fee.0.checked_add(tax.0).is_some_and(|sum| sum <= settled.notional.0);
    let (buyer_is_paid, seller_is_paid) = paid_sides(settled);
    let untaxed = |is_paid: bool, tax: Amount| !is_paid || tax == Amount::ZERO;
    let is_buyers = fits(settled.buyer_fee, settled.buyer_tax) && untaxed(buyer_is_paid, settled.buyer_tax);
    ensure_field(is_buyers, "buyer_fee")?;
    let is_sellers =
        fits(settled.seller_fee, settled.seller_tax) && untaxed(seller_is_paid, settled.seller_tax);
    ensure_field(is_sellers, "seller_fee")?;
    let has_tax = settled.buyer_tax.0 > 0 || settled.seller_tax.0 > 0;
    ensure_field(!has_tax || market.tax_account != NO_ROW, "buyer_tax")?;
    Ok([
        (TradePart::Base, base.unwrap_or(0)),
        (TradePart::Quote, settled.notional.0),
        (TradePart::BuyerFee, settled.buyer_fee.0),
        (TradePart::SellerFee, settled.seller_fee.0),
        (TradePart::BuyerTax, settled.buyer_tax.0),
        (TradePart::SellerTax, settled.seller_tax.0),
    ])
}

/// Whether the buyer's fee is a rebate, and whether the seller's is.
const fn paid_sides(settled: &Settled) -> (bool, bool) {
    match settled.taker_side {
        Side::Buy => (false, settled.maker_is_paid),
        Side::Sell => (settled.maker_is_paid, false),
    }
}

fn parties(
    settled: &Settled,
    market: &Market,
    [base_receivable, quote_receivable]: [AccountId; 2],
    ledger: &Ledger,
) -> Result<Parties, Stop> {
    let (base, quote) = (market.definition.base, market.definition.quote);
    let base_receivable = receivable(base_receivable, ledger)?;
    let quote_receivable = receivable(quote_receivable, ledger)?;
    let of = |client: ClientId, asset: AssetId| -> Result<u32, Stop> {
        Ok(ledger.settlement(client, asset).ok_or(RejectReason::NoSettlementAccount)?)
    };
    let parties = Parties {
        buyer_base: of(settled.buyer, base)?,
        buyer_quote: of(settled.buyer, quote)?,
        seller_base: of(settled.seller, base)?,
        seller_quote: of(settled.seller, quote)?,
        fees: market.fee_account,
        taxes: market.tax_account,
        base_receivable,
        quote_receivable,
    };
    let named =
        [(base_receivable, base), (quote_receivable, quote)].into_iter().filter(|(row, _)| *row != NO_ROW);
    for (row, _) in named.clone() {
        let class = ledger.accounts.at(row).class;
        let may_claim = matches!(class, AccountClass::House | AccountClass::Suspense);
        ensure(may_claim, RejectReason::WrongAccountClass)?;
    }
    for (row, asset) in named.clone() {
        ensure(ledger.accounts.at(row).ledger == asset, RejectReason::AssetMismatch)?;
    }
    for (row, _) in named {
        ledger.ensure_open(row)?;
    }
    Ok(parties)
}

fn receivable(account: AccountId, ledger: &Ledger) -> Result<u32, Stop> {
    if account == AccountId(0) {
        return Ok(NO_ROW);
    }
    Ok(ledger.row(account).ok_or(RejectReason::UnknownAccount)?)
}

/// The difference between what a trade moved and what it moves from now on: the other way for what is less, once more for what is more.
fn movements(settled: &Settled, parties: &Parties, was: &Amounts, is: &Amounts) -> Vec<Movement> {
    let &Parties { buyer_base, buyer_quote, seller_base, seller_quote, fees, taxes, .. } = parties;
    let (buyer_is_paid, seller_is_paid) = paid_sides(settled);
    let fee = |client: u32, is_paid: bool| if is_paid { (fees, client) } else { (client, fees) };
    let ways = [
        (seller_base, buyer_base),
        (buyer_quote, seller_quote),
        fee(buyer_quote, buyer_is_paid),
        fee(seller_quote, seller_is_paid),
        (buyer_quote, taxes),
        (seller_quote, taxes),
    ];
    let mut movements = Vec::new();
    for ((debit, credit), (&(part, was), &(_, is))) in ways.into_iter().zip(was.iter().zip(is)) {
        let (back, more) = (was.saturating_sub(is), is.saturating_sub(was));
        if back > 0 {
            movements.push(Movement { part, debit: credit, credit: debit, amount: back });
        } else if more > 0 {
            movements.push(Movement { part, debit, credit, amount: more });
        }
    }
    movements
}

/// The postings in an order in which nobody stands below zero, with advances where that cannot be: next is always the one whose payer lacks least
/// of it, which is nothing while anybody can pay, and with it others may be able to.
fn plan(ledger: &Ledger, mut left: Vec<Movement>, parties: &Parties) -> Result<Vec<Movement>, Stop> {
    let mut free: BTreeMap<u32, u128> = BTreeMap::new();
    let mut postings = Vec::new();
    let free_of = |free: &BTreeMap<u32, u128>, row: u32| {
        free.get(&row).copied().unwrap_or_else(|| payable(ledger.accounts.at(row)))
    };
    let mut post = |free: &mut BTreeMap<u32, u128>, movement: Movement| {
        let debited = free_of(free, movement.debit).saturating_sub(movement.amount);
        free.insert(movement.debit, debited);
        let credited = free_of(free, movement.credit).saturating_add(movement.amount);
        free.insert(movement.credit, credited);
        postings.push(movement);
    };
    loop {
        let lacks = |movement: &Movement| movement.amount.saturating_sub(free_of(&free, movement.debit));
        let least = (0..left.len()).zip(left.iter().map(lacks)).min_by_key(|&(_, missing)| missing);
        let Some((at, missing)) = least else { return Ok(postings) };
        let movement = left.remove(at);
        if missing > 0 {
            let row = match movement.part {
                TradePart::Base => parties.base_receivable,
                TradePart::Quote
                | TradePart::BuyerFee
                | TradePart::SellerFee
                | TradePart::BuyerTax
                | TradePart::SellerTax
                | TradePart::Receivable => parties.quote_receivable,
            };
            ensure(row != NO_ROW && free_of(&free, row) >= missing, RejectReason::InsufficientFunds)?;
            let part = TradePart::Receivable;
            post(&mut free, Movement { part, debit: row, credit: movement.debit, amount: missing });
        }
        post(&mut free, movement);
    }
}

/// What an account may pay for a trade that is taken back: a client what is free of its own, whatever overdraft it has.
fn payable(account: &Account) -> u128 {
    if account.may_stand_below_zero() && !account.has(account_flags::SETTLEMENT) {
        // What its debits may still grow by.
        return u128::MAX.saturating_sub(account.debits_posted.saturating_add(account.debits_pending));
    }
    account.available().unwrap_or(0)
}
