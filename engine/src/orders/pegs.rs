//! Pegged orders: limit orders whose price follows the best price of one side, and which never take.
//!
//! One that has a price rests in the book like another. One that has none, because nobody else is on the side that it follows or the price
//! would be none of the market's, is parked: it stands among the armed orders without a trigger, with price 0 and its whole hold. Where
//! pegged orders have to stand follows from four prices, the best ones of each side with them and without them ([`Seen`]).
//! When one of these has changed behind a record, all are looked at round by round, the oldest first, and those that stand elsewhere
//! are moved one at a time, until a round finds nothing to do; at most [`PEGS_MOVED_PER_RECORD_MAX`] behind a record, the others
//! before the next ones. In a round no order moves twice, and two rounds are enough: nobody gives way but to a best price that is not a
//! pegged order's, and what gives way in the first one the others follow in the second.
//!
//! A market without pegged orders pays a comparison for each change of its book.

use std::collections::BTreeMap;

use protocol::commands::{DefineMarket, NewOrder};
use protocol::events::{BookChanged, ExecutionReport, HoldChanged};
use protocol::limits::PEGGED_ORDERS_MAX;
use protocol::terms::{OrderTerms, Peg};
use protocol::{
    Amount, BookAction, ExecType, MarketPhase, OrderId, OrderStatus, PegTo, PriceTicks, QtyLots,
    RejectReason, Side,
};

use super::amend::removed;
use super::reports::live_status;
use super::terms;
use crate::broken::{Broken, Stop, ensure};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Market, Order, Place};
use crate::matching::{Book, BookRefusal, Slot};

/// What the place of a pegged order follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pegged {
    side: Side,
    peg: Peg,
    /// Its limit.
    cap: u64,
    /// Where it stands; 0 = nowhere.
    price: u64,
}

/// The best prices of a book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Of bids and asks that are not pegged.
    reference: [Option<PriceTicks>; 2],
    /// Of all.
    best: [Option<PriceTicks>; 2],
}

/// Pegged orders being looked at, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// The age of the next one.
    pub(crate) from: u64,
    /// Whether the best prices have changed since it began: another one follows.
    pub(crate) again: bool,
}

/// The pegged orders of one market.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pegs {
    by_age: BTreeMap<u64, Pegged>,
    /// How many of them rest at a price.
    at: BTreeMap<(Side, u64), u32>,
    seen: Seen,
    pub(crate) round: Option<Round>,
}

impl Pegged {
    fn of(order: &Order) -> Option<Self> {
        let terms = order.terms.as_ref()?;
        let (peg, cap) = terms.said.peg.zip(terms.cap)?;
        Some(Self { side: order.side, peg, cap: cap.0, price: order.price })
    }

    /// Where it has to stand: away from the price that it follows, no further than its limit, and behind the best price of the other
    /// side. 0 = nowhere.
    fn target(&self, seen: &Seen, market: &DefineMarket) -> u64 {
        let of = |prices: [Option<PriceTicks>; 2], side: Side| match side {
            Side::Buy => prices[0],
            Side::Sell => prices[1],
        };
        let follows = match self.peg.to {
            PegTo::Primary => self.side,
            PegTo::Market => self.side.opposite(),
        };
        let Some(PriceTicks(reference)) = of(seen.reference, follows) else { return 0 };
        let offset = u64::from(self.peg.offset_ticks);
        let behind = of(seen.best, self.side.opposite()).map(|best| self.side.behind(best));
        let price = match self.side {
            Side::Buy => {
                let most = behind.map_or(u64::MAX, |behind| behind.map_or(0, |price| price.0));
                reference.saturating_sub(offset).min(self.cap).min(most)
            }
            Side::Sell => {
                let least = behind.map_or(0, |behind| behind.map_or(u64::MAX, |price| price.0));
                reference.saturating_add(offset).max(self.cap).max(least)
            }
        };
        if super::price_in_range(market, PriceTicks(price)) { price } else { 0 }
    }
}

impl Pegs {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// Notes where an order stands, if it is pegged.
    pub(crate) fn note(&mut self, order: &Order) {
        if let Some(pegged) = Pegged::of(order) {
            self.take_off(order.id);
            self.by_age.insert(order.id.age(), pegged);
            if pegged.price > 0 {
                let count = self.at.entry((pegged.side, pegged.price)).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// The order stands nowhere any more.
    pub(crate) fn forget(&mut self, order: &Order) {
        if order.limit_of_peg().is_some() {
            self.take_off(order.id);
            if self.is_empty() {
                self.seen = Seen::default();
            }
        }
    }

    fn take_off(&mut self, order: OrderId) {
        let Some(Pegged { side, price, .. }) = self.by_age.remove(&order.age()) else { return };
        if let Some(count) = self.at.get_mut(&(side, price)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.at.remove(&(side, price));
            }
        }
    }

    fn look(&self, book: &Book) -> Seen {
        let reference = |side: Side| {
            let own = |price: PriceTicks| self.at.get(&(side, price.0)).copied().unwrap_or(0);
            let level = book.depth(side).find(|level| level.orders > own(level.price));
            level.map(|level| level.price)
        };
        let sides = [Side::Buy, Side::Sell];
        Seen { reference: sides.map(reference), best: sides.map(|side| book.best(side)) }
    }

    /// Nothing is seen while no order is pegged.
    fn look_if_any(&self, book: &Book) -> Seen {
        if self.is_empty() { Seen::default() } else { self.look(book) }
    }

    /// Whether the best prices have changed, so that orders may have to be moved.
    pub(super) fn see(&mut self, book: &Book) -> bool {
        let seen = self.look_if_any(book);
        let has_changed = seen != core::mem::replace(&mut self.seen, seen);
        if has_changed {
            self.round = Some(
                self.round.map_or(Round { from: 0, again: false }, |round| Round { again: true, ..round }),
            );
        }
        has_changed
    }

    /// Looks at the book anew, whatever was seen before.
    pub(crate) fn begin(&mut self, book: &Book, round: Option<Round>) {
        self.seen = self.look_if_any(book);
        self.round = round;
    }

    /// The next order that stands elsewhere than it has to, and where that is; none ends the last round.
    fn next_misplaced(&mut self, market: &DefineMarket) -> Option<(OrderId, u64)> {
        let mut round = self.round.take()?;
        loop {
            for (&age, pegged) in self.by_age.range(round.from..) {
                let target = pegged.target(&self.seen, market);
                if target != pegged.price {
                    self.round = Some(Round { from: age.saturating_add(1), ..round });
                    return Some((OrderId::of_age(age), target));
                }
            }
            if !round.again {
                return None;
            }
            round = Round { from: 0, again: false };
        }
    }

    /// Whether all pegged orders are noted and nothing else, and all stand where they have to, unless a round goes on.
    pub(crate) fn agrees(&self, market: &Market) -> bool {
        let mut expected = Self::default();
        market.live().for_each(|order| expected.note(order));
        let is_settled = || {
            let seen = self.look(&market.book);
            let stands = |pegged: &Pegged| pegged.target(&seen, &market.definition) == pegged.price;
            self.is_empty() || seen == self.seen && self.by_age.values().all(stands)
        };
        (&expected.by_age, &expected.at) == (&self.by_age, &self.at)
            && (market.phase != MarketPhase::Trading || self.round.is_some() || is_settled())
    }
}

impl Order {
    /// The limit of one that is pegged, whose price is another one.
    #[inline]
    pub(crate) fn limit_of_peg(&self) -> Option<PriceTicks> {
        self.terms.as_ref()?.cap
    }

    /// The worst price at which it trades.
    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit_of_peg().map_or(self.price, |limit| limit.0)
    }

    /// Whether it is pegged and stands nowhere.
    pub(crate) fn is_parked(&self) -> bool {
        self.price == 0 && self.limit_of_peg().is_some()
    }

    /// Its price under another limit. One that is pegged stands where it stood, but no further than that.
    #[inline]
    pub(super) fn price_within(&self, limit: PriceTicks) -> u64 {
        let is_within = || self.price == 0 || self.side.reaches(limit, PriceTicks(self.price));
        if self.limit_of_peg().is_some() && is_within() { self.price } else { limit.0 }
    }
}

/// Whether what an order follows, if anything, goes with the rest.
pub(super) fn is_sound(command: &NewOrder, said: &OrderTerms) -> bool {
    said.peg.is_none()
        || terms::may_rest(command)
            && !terms::is_of_an_auction(command)
            && said.trigger.is_none()
            && said.twap.is_none()
            && said.post_only.is_none()
            && said.min_qty_lots == QtyLots(0)
}

/// Whether one more order may be pegged in a market.
pub(super) fn ensure_room(order: &Order, market: &Market) -> Result<(), Stop> {
    let has_room = order.limit_of_peg().is_none() || market.pegs.by_age.len() < PEGGED_ORDERS_MAX;
    ensure(has_room, RejectReason::TooManyPegged)
}

/// The price at which an order of this limit that enters anew has to stand, if it is pegged and its market trades; else `price`.
#[inline]
pub(super) fn follow(order: &Order, (price, limit): (u64, PriceTicks), market: &Market) -> u64 {
    if order.limit_of_peg().is_none() || market.phase != MarketPhase::Trading {
        return price;
    }
    target(order, limit, market)
}

#[cold]
fn target(order: &Order, limit: PriceTicks, market: &Market) -> u64 {
    let seen = market.pegs.look(&market.book);
    let pegged = Pegged::of(order).map(|pegged| Pegged { cap: limit.0, ..pegged });
    pegged.map_or(0, |pegged| pegged.target(&seen, &market.definition))
}

impl Engine {
    /// Puts a pegged order into the book, or to where it waits for a price.
    #[cold]
    pub(super) fn place_pegged(
        &mut self,
        market: u32,
        order: Order,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        if !order.is_parked() {
            return self.rest(market, order, effects);
        }
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        let hold =
            HoldChanged { order: order.id, account: self.ledger.id(account), held: Amount(order.held) };
        let place = Place::armed(market, self.markets.rows.at_mut(market).armed.open(order.id));
        self.list(place, order);
        // What it has not seen may be what changes next.
        self.markets.touch(market);
        effects.push(hold);
        Ok(())
    }

    /// Moves the next pegged order of a market that stands elsewhere than it has to.
    pub(crate) fn move_next_peg(&mut self, market: u32, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let row = self.markets.rows.at_mut(market);
        let id = row.definition.market;
        // Orders that ended since it was looked at may be those that it follows.
        row.pegs.see(&row.book);
        let Some((order, price)) = row.pegs.next_misplaced(&row.definition) else {
            self.markets.pegging.remove(&id);
            return Ok(());
        };
        let place = self.markets.place(market, order).ok_or(Broken::OrderMismatch { market: id, order })?;
        if place.armed_row().is_none() && price > 0 {
            return self.relocate_pegged(place, price, effects);
        }
        let mut taken = if place.armed_row().is_some() {
            self.take_apart(market, order, effects)?
        } else {
            let mismatch = Broken::OrderMismatch { market: id, order };
            let taken = self.markets.order(place).cloned().ok_or(mismatch)?;
            self.take_out(place, effects)?;
            self.unlink(place, &taken)?;
            taken
        };
        taken.price = price;
        self.report_repriced(market, &taken, effects);
        self.place_pegged(market, taken, effects)
    }

    /// Moves a pegged order behind the others at another price; it keeps its slot.
    fn relocate_pegged(&mut self, place: Place, price: u64, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let Market { definition, book, orders, pegs, .. } = self.markets.rows.at_mut(place.market);
        let (id, slot) = (definition.market, Slot(place.slot));
        let mismatch = Broken::OrderMismatch { market: id, order: OrderId(0) };
        let before = book.order(slot).ok_or(mismatch)?;
        match book.relocate(slot, PriceTicks(price), before.qty) {
            Ok(()) => {}
            Err(BookRefusal::LevelsFull) => {
                let state = (ExecType::Expired, OrderStatus::Expired);
                return self.end_at(place, state, RejectReason::BookFull, None, effects);
            }
            Err(refusal) => return Err(Broken::BookRefused { market: id, refusal }),
        }
        let after = book.order(slot).ok_or(mismatch)?;
        let order = orders.at_mut(place.slot).as_mut().ok_or(mismatch)?;
        order.price = price;
        pegs.note(order);
        let order = order.clone();
        effects.push(removed(id, &before));
        self.report_repriced(place.market, &order, effects);
        effects.push(BookChanged { action: BookAction::Added, ..removed(id, &after) });
        self.markets.touch(place.market);
        Ok(())
    }

    fn report_repriced(&mut self, market: u32, order: &Order, effects: &mut Effects<'_>) {
        let report = self.report_of(market, order, ExecType::Restated, live_status(order));
        let report = ExecutionReport { reason: Some(RejectReason::Repriced), ..report };
        self.sessions.rows.at_mut(order.session).send(effects, report);
    }
}
