//! Trades that are taken back or corrected.
//!
//! ```text
//! admin ada                                                  who may propose and approve it
//! ada bust 3 7 [base owed-btc] [quote owed-try]              proposes to take trade 3 back, for reason 7
//! ada correct-trade 3 7 1.5 @ 90 fees 0.1 0.2 [taxes 0 0.01] [base owed-btc] [quote owed-try]
//! ada bust-alone 3 7          ada approve
//! ```
//! The trade is said as it was settled; `of:notional=5` sets a field of that, `notional=5` one of the correction.

use protocol::{ProposedCommand, TradeId};

use super::*;

impl Script {
    /// Proposes it, or has one do it alone.
    pub(super) fn bust(&mut self, name: &str, session: SessionId, words: &mut Words<'_>) -> Vec<String> {
        let command = self.bust_command(name.trim_end_matches("-alone"), words);
        let (_, request) = self.world.next_number(session);
        if name.ends_with("-alone") {
            return self.submit(session, 0, request, command);
        }
        let command = ProposedCommand::new(&command);
        let propose = Propose { command, expires_in_s: 600, note: Text::EMPTY };
        let events = self.world.submit(session, 0, request, propose);
        for event in &events {
            let EventBody::Proposed(proposed) = &event.body else { continue };
            self.proposals.push(proposed.proposal);
        }
        events.iter().map(|event| self.names.event(event)).collect()
    }

    fn bust_command(&self, name: &str, words: &mut Words<'_>) -> Command {
        let number: usize = words.next().parse().unwrap();
        let reason = words.next().parse().unwrap();
        let mut settled = self.trades.get(number - 1).unwrap_or_else(|| &self.trades[0]).clone();
        settled.trade = TradeId(u64::try_from(number).unwrap());
        let account = |name: Option<&str>| {
            let is = |account: &(String, u32)| Some(account.0.as_str()) == name;
            AccountId(if name.is_some() { by_name(&self.names.accounts, is).unwrap_or(998) } else { 0 })
        };
        let (base_receivable, quote_receivable) =
            (account(words.option("base")), account(words.option("quote")));
        let set: Vec<(&str, &str)> = words
            .words
            .extract_if(.., |word| word.contains('='))
            .map(|word| word.split_once('=').unwrap())
            .collect();
        for (field, value) in &set {
            if let Some(field) = field.strip_prefix("of:") {
                set_field(&mut settled, field, value);
            }
        }
        if name == "bust" {
            return BustTrade { settled, base_receivable, quote_receivable, reason }.into();
        }
        let market = settled.market;
        let quote = self.names.markets[&market.0].quote;
        let scale = self.names.assets[&quote].scale;
        let (qty, _at, price) = (words.next(), words.next(), words.next());
        let mut next = settled.clone();
        (next.qty_lots, next.price_ticks) = (self.lots(market, qty), self.ticks(market, price));
        let tick = self.world.engine.markets().find(|view| view.definition.market == market).unwrap();
        next.notional = Amount(next.price_ticks.times(next.qty_lots) * tick.definition.tick_quote_minor.0);
        let mut amounts = |name: &str| {
            let first = words.option(name).map(|text| Amount(decimal(text, scale)));
            first.map(|first| (first, Amount(decimal(words.next(), scale))))
        };
        (next.buyer_fee, next.seller_fee) =
            amounts("fees").unwrap_or((settled.buyer_fee, settled.seller_fee));
        (next.buyer_tax, next.seller_tax) =
            amounts("taxes").unwrap_or((settled.buyer_tax, settled.seller_tax));
        for (field, value) in set.iter().filter(|(field, _)| !field.starts_with("of:")) {
            set_field(&mut next, field, value);
        }
        let Settled { price_ticks, qty_lots, notional, buyer_fee, seller_fee, buyer_tax, seller_tax, .. } =
            next;
        CorrectTrade {
            settled,
            price_ticks,
            qty_lots,
            notional,
            buyer_fee,
            seller_fee,
            buyer_tax,
            seller_tax,
            base_receivable,
            quote_receivable,
            reason,
        }
        .into()
    }
}

fn set_field(settled: &mut Settled, field: &str, value: &str) {
    let number: u64 = value.parse().unwrap();
    let amount = Amount(number.into());
    match field {
        "market" => settled.market = MarketId(u32::try_from(number).unwrap()),
        "price_ticks" => settled.price_ticks = PriceTicks(number),
        "qty_lots" => settled.qty_lots = QtyLots(number),
        "notional" => settled.notional = amount,
        "buyer" => settled.buyer = ClientId(number),
        "seller" => settled.seller = ClientId(number),
        "buyer_fee" => settled.buyer_fee = amount,
        "seller_fee" => settled.seller_fee = amount,
        "buyer_tax" => settled.buyer_tax = amount,
        "seller_tax" => settled.seller_tax = amount,
        "maker_order" => settled.maker_order = OrderId(number),
        "taker_order" => settled.taker_order = OrderId(number),
        field => panic!("no field {field}"),
    }
}
