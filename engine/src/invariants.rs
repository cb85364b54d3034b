//! What must hold between the parts of the state after every command, checked by walking all of it.

use std::collections::BTreeMap;

use protocol::time::NANOS_PER_MILLI;
use protocol::{MarketPhase, OrderId, SessionId};

use crate::broken::{Broken, InvariantBroken, sum};
use crate::engine::Engine;
use crate::markets::{Market, Order, Place};
use crate::matching::Resting;
use crate::orders::fees;
use crate::orders::volatility::is_watched;
use crate::rows::NO_ROW;
use crate::sessions::Session;

impl Engine {
    /// Checks that debits equal credits in every asset, that nothing is below zero, that holds are those of the live
    /// orders, and that books, orders, sessions, timers and indexes agree. O(state).
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check_invariants(&self) -> Result<(), InvariantBroken> {
        self.check_all().map_err(|what| InvariantBroken { seq: self.seq, what })
    }

    fn check_all(&self) -> Result<(), Broken> {
        self.ledger.check()?;
        self.check_approvals()?;
        let may_be_corrected = self.ledger.corrections.floor_ms() <= self.time.0 / NANOS_PER_MILLI;
        if !may_be_corrected {
            return Err(Broken::Index { what: "corrections" });
        }
        self.markets.check_fees(self.seq)?;
        self.check_busted()?;
        let mut holds: BTreeMap<u32, u128> = BTreeMap::new();
        let mut live_of_session: BTreeMap<u32, usize> = BTreeMap::new();
        let mut live_of_desk: BTreeMap<u32, [u128; 4]> = BTreeMap::new();
        for row in self.markets.rows.numbers() {
            let market = self.markets.rows.at(row);
            let id = market.definition.market;
            market.book.check_invariants().map_err(|violation| Broken::Book { market: id, violation })?;
            if self.markets.row(id) != Some(row) {
                return Err(Broken::Index { what: "markets" });
            }
            let resting = market.book.orders().map(|resting| self.check_order(row, market, &resting));
            let armed = market.armed.iter().map(|(id, armed)| self.check_armed(row, market, id, armed));
            for order in resting.chain(armed) {
                let order = order?;
                let account = self.markets.desks.at(order.desk).paying_account(order.side);
                let held = holds.entry(account).or_default();
                *held = sum(*held, order.held, "holds of an account")?;
                let live = live_of_session.entry(order.session).or_default();
                *live = live.saturating_add(1);
                let live = live_of_desk.entry(order.desk).or_default();
                let one = [1, order.is_armed().into(), order.is_iceberg().into(), order.buy_lots()];
                live.iter_mut().zip(one).for_each(|(all, one)| *all = all.saturating_add(one));
            }
            if market.orders.iter().flatten().count() != market.book.len() {
                return Err(Broken::Index { what: "orders beside a book" });
            }
            self.check_phase(row, market)?;
            let due = market.armed.triggers.queue().count();
            let waiting = market
                .armed
                .rows
                .iter()
                .flatten()
                .filter(|order| order.waits() || order.next_leg_at().is_some() || order.is_parked())
                .count();
            let is_sound = market.armed.triggers.check_invariants().is_ok()
                && market.armed.rows.iter().flatten().count() == market.armed.len()
                && market.armed.triggers.len().saturating_add(due).saturating_add(waiting)
                    == market.armed.len()
                && self.markets.firing.contains(&id) == (due > 0);
            if !is_sound {
                return Err(Broken::Index { what: "armed orders" });
            }
        }
        for (row, account) in self.ledger.accounts.numbered() {
            let orders = holds.get(&row).copied().unwrap_or_default();
            if account.held != orders {
                return Err(Broken::HoldMismatch { account: account.id, held: account.held, orders });
            }
        }
        for (row, desk) in self.markets.desks.numbers().zip(self.markets.desks.iter()) {
            let counted = [desk.live.into(), desk.stops.into(), desk.icebergs.into(), desk.buy_lots];
            if counted != live_of_desk.get(&row).copied().unwrap_or_default() {
                return Err(Broken::Index { what: "live orders of a client" });
            }
        }
        self.check_expiries()?;
        self.check_lists()?;
        self.check_protections()?;
        self.check_sessions(&live_of_session)
    }

    /// Whether sessions know that they are protected, and what is due has tripped.
    fn check_protections(&self) -> Result<(), Broken> {
        let is_protected = |session: SessionId| self.protections.of.keys().any(|(of, _)| *of == session);
        let mut sessions = self.sessions.rows.iter();
        let know = sessions.all(|session| session.is_protected == is_protected(session.definition.session));
        let has_tripped = |key| self.protections.of.get(key).is_some_and(|protection| protection.has_tripped);
        let is_sound = know && self.protections.due.iter().all(has_tripped);
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "protections" }) }
    }

    /// Whether pegged orders stand where they have to, whether what ends with an auction or the day is noted, and whether what goes on by
    /// itself does.
    fn check_phase(&self, row: u32, market: &Market) -> Result<(), Broken> {
        let id = market.definition.market;
        let phases = &market.phases;
        let resting = market.orders.iter().flatten().map(|order| (order, false));
        let armed = market.armed.rows.iter().flatten().map(|order| (order, true));
        let due = (phases.indicates_at, id);
        let is_followed =
            market.pegs.agrees(market) && self.markets.pegging.contains(&id) == market.pegs.round.is_some();
        if !is_followed {
            return Err(Broken::Index { what: "pegged orders" });
        }
        let is_sound = phases.notes(resting.chain(armed))
            && self.markets.unsettled.contains(&id) == phases.is_unsettled()
            && self.markets.indications.contains(&due) == phases.is_indication_due
            && self.markets.indications.len() <= self.markets.rows.len()
            && self.check_schedule(market)
            && self.check_pause(market)
            && (market.book.may_cross() || !market.is_collecting())
            && self.markets.row(id) == Some(row);
        if is_sound { Ok(()) } else { Err(Broken::Index { what: "phases" }) }
    }

    /// Whether its schedule waits for its next change, or for the market.
    fn check_schedule(&self, market: &Market) -> bool {
        let Market { definition, phases, schedule, .. } = market;
        let due = schedule.as_ref().and_then(|schedule| schedule.due());
        let is_sound = schedule.as_ref().is_none_or(|schedule| {
            schedule.is_sound(self.time) && schedule.definition.market == definition.market
        });
        let due = due.filter(|_| !phases.is_unsettled());
        let is_noted = due.is_none_or(|at| self.markets.changes.contains(&(at, definition.market)));
        is_sound
            && phases.changes_at == due
            && is_noted
            && self.markets.changes.len() <= self.markets.rows.len()
    }

    /// Whether a market watches its prices as its rules say, and pauses for as long.
    fn check_pause(&self, market: &Market) -> bool {
        let Market { definition, phase, phases, rules, window, .. } = market;
        let rules = rules.as_ref().filter(|rules| is_watched(rules));
        let is_sound = match (rules, window) {
            (Some(rules), Some(window)) => window.is_sound(rules, self.time),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let resumptions = &self.markets.resumptions;
        let is_noted = phases.resumes_at.is_none_or(|at| {
            resumptions.contains(&(at, definition.market))
                && matches!(phase, MarketPhase::Halt | MarketPhase::Auction)
                && phases.uncrossing.is_none()
        });
        is_sound
            && is_noted
            && resumptions.len() <= self.markets.rows.len()
            && self.markets.exceeded.is_empty()
    }

    /// Whether what ends by itself, and what trades leg by leg, is noted, and nothing else.
    fn check_expiries(&self) -> Result<(), Broken> {
        let markets = &self.markets;
        let (mut expiries, mut legs, mut quotes) = (0_usize, 0_usize, 0_usize);
        for row in markets.rows.numbers() {
            for order in markets.rows.at(row).live() {
                let expiry = order.expires_at().map(|at| markets.expiries.contains(&(at, order.id, row)));
                let leg = order.next_leg_at().map(|at| markets.legs.contains(&(at, order.id, row)));
                if expiry == Some(false) || leg == Some(false) {
                    return Err(Broken::Index { what: "timers of orders" });
                }
                expiries = expiries.saturating_add(usize::from(expiry.is_some()));
                legs = legs.saturating_add(usize::from(leg.is_some()));
                quotes = quotes.saturating_add(usize::from(order.quote().is_some()));
            }
        }
        let is_whole =
            (expiries, legs, quotes) == (markets.expiries.len(), markets.legs.len(), markets.quotes.len());
        if is_whole { Ok(()) } else { Err(Broken::Index { what: "timers of orders" }) }
    }

    fn check_order(&self, row: u32, market: &Market, resting: &Resting) -> Result<&Order, Broken> {
        let place = Place { market: row, slot: resting.slot.0 };
        let mismatch = Broken::OrderMismatch { market: market.definition.market, order: resting.id };
        let order = self.markets.order(place).ok_or(mismatch)?;
        let agrees = order.id == resting.id
            && order.side == resting.side
            && order.price == resting.price.0
            && order.leaves() == resting.qty.0
            && order.cum < order.qty
            && order.held == fees::worst_case(order, &market.definition)?
            && is_priced(market, order);
        if agrees && self.is_known(market, order) { Ok(order) } else { Err(mismatch) }
    }

    fn check_armed<'m>(
        &self,
        row: u32,
        market: &'m Market,
        id: OrderId,
        armed: u32,
    ) -> Result<&'m Order, Broken> {
        let mismatch = Broken::OrderMismatch { market: market.definition.market, order: id };
        let order = market.entry(Place::armed(row, armed)).ok_or(mismatch)?;
        let is_watching = market.armed.triggers.get(id).is_some() || market.armed.triggers.is_due(id);
        // What an order of a list holds follows from its list.
        let holds_enough = order.is_market_buy()
            || order.list().is_some()
            || order.held == fees::worst_case(order, &market.definition)?;
        let is_apart = order.waits() || order.next_leg_at().is_some() || order.is_parked();
        let is_in_place =
            if is_apart { !is_watching } else { order.is_armed() && is_watching && order.cum == 0 };
        let agrees = order.id == id && is_in_place && holds_enough && is_priced(market, order);
        if agrees && self.is_known(market, order) { Ok(order) } else { Err(mismatch) }
    }

    /// Whether an order's session leads to it by its latest ClOrdID, or to that of a quote by what that is.
    fn is_known(&self, market: &Market, order: &Order) -> bool {
        if let Some(key) = order.quote_key() {
            return order.can_be_quoted() && self.markets.quotes.get(&key) == Some(&order.id);
        }
        let session = self.sessions.rows.at(order.session);
        let used = session.ids.look(&order.cl_ord_id, self.sessions.hash_seed).used;
        used.is_some_and(|used| used.order == order.id && used.market == market.definition.market)
    }

    fn check_sessions(&self, live: &BTreeMap<u32, usize>) -> Result<(), Broken> {
        let (mut timers, mut dead_man_timers) = (0_usize, 0_usize);
        for (row, session) in self.sessions.rows.numbers().zip(self.sessions.rows.iter()) {
            let id = session.definition.session;
            let mismatch = |what| Broken::SessionMismatch { session: id, what };
            if self.sessions.row(id) != Some(row) || id == SessionId::SYSTEM {
                return Err(Broken::Index { what: "sessions" });
            }
            if !session.ids.is_indexed(self.sessions.hash_seed) {
                return Err(mismatch("ClOrdIDs"));
            }
            if let Some(deadline) = session.cancel_at {
                timers = timers.saturating_add(1);
                if session.connected || !self.sessions.has_timer(deadline, id) {
                    return Err(mismatch("timer"));
                }
            }
            if let Some(deadline) = session.cancel_all_at {
                dead_man_timers = dead_man_timers.saturating_add(1);
                if !self.sessions.has_dead_man_timer(deadline, id) {
                    return Err(mismatch("timer"));
                }
            }
            if self.listed(row, session) != live.get(&row).copied().or(Some(0)) {
                return Err(mismatch("live orders"));
            }
        }
        if (timers, dead_man_timers) == self.sessions.timers() {
            Ok(())
        } else {
            Err(Broken::Index { what: "timers" })
        }
    }

    /// How many orders a session's list holds; `None` where its links are wrong.
    fn listed(&self, row: u32, session: &Session) -> Option<usize> {
        let (mut count, mut newer, mut place) = (0_usize, Place::NONE, session.orders);
        let mut volatile = 0_u32;
        while place != Place::NONE {
            let order =
                self.markets.order(place).filter(|order| order.newer == newer && order.session == row)?;
            count = count.saturating_add(1);
            volatile = volatile.saturating_add(u32::from(order.says_on_disconnect() == Some(true)));
            newer = place;
            place = order.older;
        }
        (volatile == session.volatile_orders).then_some(count)
    }
}

/// Whether an order's fees are such as it can have, and its taxes have somewhere to go.
fn is_priced(market: &Market, order: &Order) -> bool {
    fees::is_sound(order) && (order.rates.tax_ppm == 0 || market.tax_account != NO_ROW)
}
