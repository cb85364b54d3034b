//! Mass quotes: a market maker's bids and offers, all of them in one command.
//!
//! The orders of a quote live like others: they are of their session and client, count among its orders, pay, are filled, pulled and
//! cancelled like those. They have no ClOrdID: reports on them carry the id of their command, and nothing of that is remembered, so that a
//! session's ids do not grow with its quotes. What a command brings about is told once, by [`MassQuoteAcknowledged`]; of fills, and of
//! what ends without a command, there are reports as usual.
//!
//! A quote is found by its session, its desk, its entry and its side ([`Markets::quotes`]), which follows from the live orders.

use std::collections::BTreeSet;

use protocol::commands::{MassQuote, NewOrder, roles};
use protocol::events::{HoldChanged, MassQuoteAcknowledged};
use protocol::limits::MASS_QUOTE_ENTRIES_MAX;
use protocol::rows::{QuoteEntry, QuoteRefusal};
use protocol::terms::OrderTerms;
use protocol::{
    Amount, ClientId, MarketId, OrderId, OrderStatus, OrderType, PriceTicks, QtyLots, RejectReason,
    SelfTradePrevention, Side, TimeInForce,
};

use super::terms::{Terms, keep_from_taking};
use super::{Admitted, rules};
use crate::broken::{Broken, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Order, Place};

/// Where the orders of quotes are found: (session, desk, entry, side), by their rows.
pub(crate) type QuoteKey = (u32, u32, u32, Side);

/// What a quote says of one side.
#[derive(Clone, Copy, Debug)]
struct QuoteSide {
    /// The number of its order among those of the command.
    number: u8,
    side: Side,
    price: PriceTicks,
    lots: QtyLots,
}

impl QuoteSide {
    /// The two sides of the quote that comes at this place in its command.
    fn both(at: u8, entry: &QuoteEntry) -> [Self; 2] {
        let number = at.saturating_mul(2);
        let (bid, offer) = (entry.bid_price_ticks, entry.offer_price_ticks);
        [
            Self { number, side: Side::Buy, price: bid, lots: entry.bid_lots },
            Self { number: number.saturating_add(1), side: Side::Sell, price: offer, lots: entry.offer_lots },
        ]
    }
}

impl Order {
    /// The entry of the quote that it is a side of.
    pub(crate) fn quote(&self) -> Option<u32> {
        self.terms.as_ref()?.quote
    }

    /// Whether it is such as a side of a quote may be: it rests, and says nothing else than what a mass quote can.
    pub(crate) fn can_be_quoted(&self) -> bool {
        let Some(terms) = &self.terms else { return false };
        let OrderTerms { post_only, self_trade_prevention, .. } = terms.said;
        let said = OrderTerms { post_only, self_trade_prevention, ..OrderTerms::default() };
        let plain = Terms { said, quote: terms.quote, ..Terms::default() };
        (self.order_type, self.time_in_force) == (OrderType::Limit, TimeInForce::GoodTillCancel)
            && **terms == plain
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
        let named: BTreeSet<_> = command.entries.iter().map(|entry| (entry.market, entry.entry)).collect();
        let is_each_once = named.len() == command.entries.len() && named.len() <= MASS_QUOTE_ENTRIES_MAX;
        ensure_field(says_something && is_each_once, "entries")?;
        let is_meant = command.withdraws_others || command.withdraws_market.is_none();
        ensure_field(is_meant, "withdraws_market")?;
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
        // Of all quotes first: what one of them held another may need.
        for entry in &command.entries {
            self.withdraw_changed(row, command, entry, acknowledged, effects)?;
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

    /// Withdraws the client's quotes that the command does not name, the oldest first; where it names neither quotes nor a client those of
    /// all clients.
    fn withdraw_others(
        &mut self,
        row: u32,
        command: &MassQuote,
        acknowledged: &mut MassQuoteAcknowledged,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let named: BTreeSet<(MarketId, u32)> =
            command.entries.iter().map(|entry| (entry.market, entry.entry)).collect();
        let is_of_all = command.client.is_none() && command.entries.is_empty();
        let mut places = self.places_of(row, |order, place| {
            let market = self.markets.rows.at(place.market).definition.market;
            order.quote().is_some_and(|entry| !named.contains(&(market, entry)))
                && (is_of_all || self.markets.desks.at(order.desk).client == acknowledged.client)
                && command.withdraws_market.is_none_or(|only| only == market)
        })?;
        places.sort_unstable_by_key(|&(order, _)| order.age());
        for (_, place) in places {
            self.withdraw(place, acknowledged, effects)?;
        }
        Ok(())
    }

    /// Withdraws the sides of the quote before that do not stay.
    fn withdraw_changed(
        &mut self,
        row: u32,
        command: &MassQuote,
        entry: &QuoteEntry,
        acknowledged: &mut MassQuoteAcknowledged,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        for said in QuoteSide::both(0, entry) {
            let former = self.former_side(row, acknowledged.client, entry, said.side);
            if let Some(place) = former.filter(|&place| !self.stays(command, place, &said)) {
                self.withdraw(place, acknowledged, effects)?;
            }
        }
        Ok(())
    }

    /// Where a side of the quote of that name rests.
    fn former_side(&self, row: u32, client: ClientId, entry: &QuoteEntry, side: Side) -> Option<Place> {
        let market = self.markets.row(entry.market)?;
        let desk = self.markets.known_desk(client, market)?;
        let order = *self.markets.quotes.get(&(row, desk, entry.entry, side))?;
        self.markets.place(market, order)
    }

    /// Whether what is said of a side leaves it in its place: of the same kind, where it stands, and no more of it. One that slides stands
    /// where it would come to stand.
    fn stays(&self, command: &MassQuote, place: Place, said: &QuoteSide) -> bool {
        let market = self.markets.rows.at(place.market);
        let Some(order) = market.entry(place) else { return false };
        let Some(terms) = &order.terms else { return false };
        let prevention = |said: Option<SelfTradePrevention>| said.unwrap_or(SelfTradePrevention::None);
        let wanted = command.self_trade_prevention.or_else(|| rules::prevention_by_default(market));
        let is_same_kind = terms.said.post_only == command.post_only
            && prevention(terms.said.self_trade_prevention) == prevention(wanted);
        let is_there =
            || keep_from_taking(order, said.price.0, market).is_ok_and(|price| price == order.price);
        said.lots.0 > 0 && said.lots.0 <= order.leaves() && is_same_kind && is_there()
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
        ensure(desk.is_some(), RejectReason::NoSettlementAccount)?;
        // The quotes in front of it may have traded with what stayed.
        self.withdraw_changed(row, command, entry, acknowledged, effects)?;
        let (mut kept, mut entering) = (Vec::new(), Vec::new());
        for said in QuoteSide::both(at, entry) {
            match self.former_side(row, acknowledged.client, entry, said.side) {
                Some(place) => kept.push((place, said)),
                None => entering.push(said),
            }
        }
        entering.retain(|said| said.lots.0 > 0);
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
        for (place, said) in kept {
            self.shrink_quote(place, said.lots, effects)?;
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
        (entry, kept, entering): (&QuoteEntry, &[(Place, QuoteSide)], &[QuoteSide]),
        client: ClientId,
        effects: &Effects<'_>,
    ) -> Result<Vec<Order>, Stop> {
        let has_both = entry.bid_lots.0 > 0 && entry.offer_lots.0 > 0;
        let is_crossed = has_both && entry.bid_price_ticks >= entry.offer_price_ticks;
        ensure(!is_crossed, RejectReason::InvalidSpread)?;
        for (place, said) in kept {
            let market = self.markets.rows.at(place.market);
            self.check_change(row, market, (said.price, said.lots))?;
            rules::ensure_in_band(market, (said.side, OrderType::Limit, said.price), effects.time)?;
            let order = self.markets.order(*place).ok_or(RejectReason::UnknownOrder)?;
            let desk = self.markets.desks.at(order.desk);
            self.ledger.ensure_open(desk.paying_account(said.side.opposite()))?;
        }
        let mut admitted: Vec<Admitted> = Vec::new();
        let mut refused = None;
        for said in entering {
            let order = as_order(command, entry.market, client, said);
            match self.admit_order(row, &order, None, false, effects) {
                Ok(mut side) => {
                    side.order.id = OrderId::nth(effects.seq, said.number);
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
        let leaves = self.markets.order(place).map_or(0, Order::leaves);
        let by = leaves.saturating_sub(lots.0);
        if by > 0 {
            self.lower_qty(place, by)?;
            let order = self.reduce_in_place(place, by, effects)?;
            let account = self.markets.desks.at(order.desk).paying_account(order.side);
            let held = Amount(order.held);
            effects.push(HoldChanged { order: order.id, account: self.ledger.id(account), held });
        }
        Ok(())
    }
}

/// A side of a quote, as the order that says the same.
fn as_order(command: &MassQuote, market: MarketId, client: ClientId, said: &QuoteSide) -> NewOrder {
    let &MassQuote { quote_id, post_only, self_trade_prevention, .. } = command;
    NewOrder {
        client: Some(client),
        terms: OrderTerms { post_only, self_trade_prevention, ..OrderTerms::default() }.into(),
        ..NewOrder::limit(quote_id, market, said.side, said.price, said.lots)
    }
}
