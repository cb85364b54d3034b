//! Mass quotes: a market maker's bids and offers, all of them in one command.
//!
//! The orders of a quote live like others: they are of their session and client, count among its orders, pay, are filled, pulled and
//! cancelled like those. They have no ClOrdID: reports on them carry the id of their command, and nothing of that is remembered, so that a
//! session's ids do not grow with its quotes. What a command brings about is told once, by [`MassQuoteAcknowledged`]; of fills, and of
//! what ends without a command, there are reports as usual.
//!
//! A quote is found by its session, its desk, its entry and its side ([`Markets::quotes`]), which follows from the live orders.

use std::collections::BTreeSet;

use protocol::commands::{MassQuote, NewOrder, decision_flags, roles};
use protocol::events::{HoldChanged, MassQuoteAcknowledged};
use protocol::limits::MASS_QUOTE_ENTRIES_MAX;
use protocol::rows::{QuoteEntry, QuoteRefusal};
use protocol::terms::OrderTerms;
use protocol::{
    Amount, ClientId, MarketId, OrderId, OrderStatus, OrderType, PriceTicks, QtyLots, RejectReason, Side,
    TimeInForce,
};

use super::amend::reduce_resting;
use super::execution::lower_hold;
use super::{Admitted, check_terms, fees, phases};
use crate::broken::{Broken, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Order, Place};
use crate::matching::Slot;

/// Where the orders of quotes are found: (session, desk, entry, side), by their rows.
pub(crate) type QuoteKey = (u32, u32, u32, Side);

/// What a quote says of one side.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// The number of its order among those of the command.
    number: u8,
    side: Side,
    price: PriceTicks,
    lots: QtyLots,
}

impl Order {
    /// The entry of the quote that it is a side of.
    pub(crate) fn quote(&self) -> Option<u32> {
        self.terms.as_ref()?.quote
    }

    /// Where it is found as a side of its quote.
    pub(crate) fn quote_key(&self) -> Option<QuoteKey> {
        self.quote().map(|entry| (self.session, self.desk, entry, self.side))
    }
}

impl Engine {
    pub(crate) fn mass_quote(
        &mut self,
        row: u32,
        command: &MassQuote,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let mut acknowledged = MassQuoteAcknowledged {
            quote_id: command.quote_id,
            client: ClientId(0),
            entries: u32::try_from(command.entries.len()).unwrap_or(u32::MAX),
            entered: 0,
            kept: 0,
            withdrawn: 0,
            refused: Vec::new(),
            refusal: None,
        };
        let outcome = self.check_mass_quote(row, command).map(|client| acknowledged.client = client);
        match outcome {
            Ok(()) => self.take_quotes(row, command, &mut acknowledged, effects)?,
            Err(Stop::Refused(refusal)) => acknowledged.refusal = Some(refusal.reason),
            Err(Stop::Broken(what)) => return Err(what.into()),
        }
        self.sessions.rows.at_mut(row).send(effects, acknowledged);
        outcome
    }

    /// What is asked of the command as a whole. Returns whom it is for.
    fn check_mass_quote(&self, row: u32, command: &MassQuote) -> Result<ClientId, Stop> {
        let session = self.sessions.rows.at(row);
        self.registry.entitle(session.definition.actor, roles::TRADER)?;
        ensure_field(!command.quote_id.is_empty(), "quote_id")?;
        let says_something = command.withdraws_others || !command.entries.is_empty();
        ensure_field(says_something && command.entries.len() <= MASS_QUOTE_ENTRIES_MAX, "entries")?;
        let is_known = command.withdraws_market.is_none_or(|market| self.markets.row(market).is_some());
        ensure(is_known, RejectReason::UnknownMarket)?;
        let client = self.sessions.client(row, command.client).ok_or(RejectReason::ClientNotEntitled)?;
        ensure(session.is_for(client), RejectReason::ClientNotEntitled)?;
        Ok(client)
    }

    fn take_quotes(
        &mut self,
        row: u32,
        command: &MassQuote,
        acknowledged: &mut MassQuoteAcknowledged,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        if command.withdraws_others {
            self.withdraw_others(row, command, acknowledged, effects)?;
        }
        for (at, entry) in (0_u8..).zip(&command.entries) {
            match self.take_quote(row, command, (at, entry), acknowledged, effects) {
                Ok(()) => {}
                Err(Stop::Refused(refusal)) => {
                    let &QuoteEntry { entry, market, .. } = entry;
                    acknowledged.refused.push(QuoteRefusal { entry, market, reason: refusal.reason });
                }
                Err(Stop::Broken(what)) => return Err(what),
            }
        }
        Ok(())
    }

    /// Withdraws the client's quotes that the command does not name, the oldest first.
    fn withdraw_others(
        &mut self,
        row: u32,
        command: &MassQuote,
        acknowledged: &mut MassQuoteAcknowledged,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let named: BTreeSet<(MarketId, u32)> =
            command.entries.iter().map(|entry| (entry.market, entry.entry)).collect();
        let mut places = self.places_of(row, |order, place| {
            let market = self.markets.rows.at(place.market).definition.market;
            order.quote().is_some_and(|entry| !named.contains(&(market, entry)))
                && self.markets.desks.at(order.desk).client == acknowledged.client
                && command.withdraws_market.is_none_or(|only| only == market)
        })?;
        places.sort_unstable_by_key(|&(order, _)| order.age());
        for (_, place) in places {
            self.withdraw(place, acknowledged, effects)?;
        }
        Ok(())
    }

    /// Puts a quote in the place of the one before it. Of one that is refused nothing stands.
    fn take_quote(
        &mut self,
        row: u32,
        command: &MassQuote,
        (at, entry): (u8, &QuoteEntry),
        acknowledged: &mut MassQuoteAcknowledged,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let market = self.markets.row(entry.market).ok_or(RejectReason::UnknownMarket)?;
        let desk = self.markets.desk(acknowledged.client, market, &self.ledger);
        let desk = desk.ok_or(RejectReason::NoSettlementAccount)?;
        let number = at.saturating_mul(2);
        let sides = [
            (number, Side::Buy, entry.bid_price_ticks, entry.bid_lots),
            (number.saturating_add(1), Side::Sell, entry.offer_price_ticks, entry.offer_lots),
        ];
        let (mut kept, mut entering) = (Vec::new(), Vec::new());
        for (number, side, price, lots) in sides {
            let wanted = Wanted { number, side, price, lots };
            let former = self.markets.quotes.get(&(row, desk, entry.entry, side)).copied();
            let place = former.and_then(|order| self.markets.place(market, order));
            let order = place.and_then(|place| self.markets.order(place));
            let stays = order.is_some_and(|order| order.price == price.0 && lots.0 <= order.leaves());
            match place {
                Some(place) if stays && lots.0 > 0 => kept.push((place, wanted)),
                Some(place) => {
                    self.withdraw(place, acknowledged, effects)?;
                    entering.push(wanted);
                }
                None => entering.push(wanted),
            }
        }
        entering.retain(|wanted| wanted.lots.0 > 0);
        let admitted =
            self.admit_quote(row, command, (entry, &kept, &entering), acknowledged.client, effects);
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(stop) => {
                for (place, _) in kept {
                    self.withdraw(place, acknowledged, effects)?;
                }
                return Err(stop);
            }
        };
        for (place, wanted) in kept {
            self.shrink_quote(place, wanted.lots, effects)?;
            acknowledged.kept = acknowledged.kept.saturating_add(1);
        }
        for order in admitted {
            acknowledged.entered = acknowledged.entered.saturating_add(1);
            self.enter(market, order, effects)?;
        }
        Ok(())
    }

    /// Checks both sides of a quote, and holds what those need that enter.
    fn admit_quote(
        &mut self,
        row: u32,
        command: &MassQuote,
        (entry, kept, entering): (&QuoteEntry, &[(Place, Wanted)], &[Wanted]),
        client: ClientId,
        effects: &Effects<'_>,
    ) -> Result<Vec<Order>, Stop> {
        let has_both = entry.bid_lots.0 > 0 && entry.offer_lots.0 > 0;
        let is_crossed = has_both && entry.bid_price_ticks >= entry.offer_price_ticks;
        ensure(!is_crossed, RejectReason::InvalidSpread)?;
        for (place, wanted) in kept {
            let market = self.markets.rows.at(place.market);
            ensure(phases::takes_replacements(market), RejectReason::MarketClosed)?;
            let session = self.sessions.rows.at(row);
            if session.is_protected {
                self.protections.ensure_ready((session.definition.session, entry.market))?;
            }
            let leaves = self.markets.order(*place).map_or(0, Order::leaves);
            if wanted.lots.0 < leaves {
                check_terms(&market.definition, &as_order(command, entry.market, client, wanted))?;
            }
        }
        let mut admitted: Vec<Admitted> = Vec::new();
        let mut refused = None;
        for wanted in entering {
            let said = as_order(command, entry.market, client, wanted);
            match self.admit_order(row, &said, None, false, effects) {
                Ok(mut side) => {
                    side.order.id = OrderId::nth(effects.seq, wanted.number);
                    side.order.terms.get_or_insert_default().quote = Some(entry.entry);
                    // Counted while the other side is judged.
                    self.markets.desks.at_mut(side.order.desk).add(&side.order);
                    admitted.push(side);
                }
                Err(stop) => {
                    refused = Some(stop);
                    break;
                }
            }
        }
        for side in &admitted {
            self.markets.desks.at_mut(side.order.desk).remove(&side.order);
        }
        match refused {
            Some(stop) => Err(stop),
            None => self.hold_for_quote(admitted),
        }
    }

    /// Holds what the sides of a quote need: each in an account of its own.
    fn hold_for_quote(&mut self, admitted: Vec<Admitted>) -> Result<Vec<Order>, Stop> {
        let mut orders: Vec<Order> = Vec::new();
        for Admitted { mut order, worst_case, .. } in admitted {
            let desk = self.markets.desks.at(order.desk);
            let (pays, receives) =
                (desk.paying_account(order.side), desk.paying_account(order.side.opposite()));
            let held = self.ledger.ensure_open(receives).and_then(|()| self.ledger.hold(pays, worst_case));
            if let Err(stop) = held {
                for mut before in orders {
                    self.release_hold(&mut before)?;
                }
                return Err(stop);
            }
            order.held = worst_case;
            orders.push(order);
        }
        Ok(orders)
    }

    /// Takes an order of a quote out, without a report on it.
    fn withdraw(
        &mut self,
        place: Place,
        acknowledged: &mut MassQuoteAcknowledged,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let order = self.remove_live(place, OrderStatus::Canceled, RejectReason::ByClient, effects)?;
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        effects.push(HoldChanged { order: order.id, account: self.ledger.id(account), held: Amount::ZERO });
        acknowledged.withdrawn = acknowledged.withdrawn.saturating_add(1);
        Ok(())
    }

    /// Leaves so much of an order of a quote, in its place.
    fn shrink_quote(&mut self, place: Place, lots: QtyLots, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let Market { definition, book, orders, .. } = self.markets.rows.at_mut(place.market);
        let id = definition.market;
        let mismatch = Broken::OrderMismatch { market: id, order: OrderId(0) };
        let order = orders.at_mut(place.slot).as_mut().ok_or(mismatch)?;
        let by = QtyLots(order.leaves().saturating_sub(lots.0));
        if by == QtyLots(0) {
            return Ok(());
        }
        let before = order.buy_lots();
        order.qty = order.qty.saturating_sub(by.0);
        let desk = self.markets.desks.at_mut(order.desk);
        desk.buy_lots = desk.buy_lots.saturating_sub(before).saturating_add(order.buy_lots());
        reduce_resting(book, id, Slot(place.slot), by, effects)?;
        let held = fees::worst_case(order, definition)?;
        lower_hold(&mut self.ledger, order, desk, held)?;
        let account = self.ledger.id(desk.paying_account(order.side));
        effects.push(HoldChanged { order: order.id, account, held: Amount(held) });
        Ok(())
    }
}

/// A side of a quote, as the order that says the same.
fn as_order(command: &MassQuote, market: MarketId, client: ClientId, wanted: &Wanted) -> NewOrder {
    let &MassQuote { quote_id, post_only, self_trade_prevention, .. } = command;
    NewOrder {
        cl_ord_id: quote_id,
        client: Some(client),
        market,
        side: wanted.side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::GoodTillCancel,
        price_ticks: wanted.price,
        qty_lots: wanted.lots,
        budget: Amount::ZERO,
        capacity: None,
        firm: None,
        investment_decision: None,
        execution_decision: None,
        decision_flags: decision_flags::LIQUIDITY_PROVISION,
        poss_resend: false,
        terms: OrderTerms { post_only, self_trade_prevention, ..OrderTerms::default() }.into(),
    }
}
