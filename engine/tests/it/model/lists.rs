//! Orders that hang together, as docs/MATCHING.md says: every list looked at from scratch whenever one of its orders did something.

use protocol::RejectReason::{self, *};
use protocol::commands::{ClOrdId, NewOrder, NewOrderList};
use protocol::{Contingency, ListRelease, MarketPhase, OrderType, Side};

use super::{Model, ModelOrder};

#[derive(Clone, Debug)]
pub(super) struct ModelLeg {
    order: u64,
    acted: bool,
    ended: bool,
    filled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ModelList {
    id: u64,
    client: u64,
    name: String,
    market: u32,
    contingency: Contingency,
    release: ListRelease,
    released: bool,
    legs: Vec<ModelLeg>,
}

impl ModelList {
    /// The places of the legs that cancel each other.
    fn pair(&self) -> Option<[usize; 2]> {
        match self.contingency {
            Contingency::OneCancelsOther => Some([0, 1]),
            Contingency::OneTriggersOther => None,
            Contingency::OneTriggersOneCancelsOther => Some([1, 2]),
        }
    }

    fn waits_for_first(&self) -> bool {
        self.contingency != Contingency::OneCancelsOther && !self.released
    }

    fn sibling(&self, order: u64) -> Option<&ModelLeg> {
        let pair = self.pair()?.map(|at| &self.legs[at]);
        pair.iter().any(|leg| leg.order == order).then(|| pair.into_iter().find(|leg| leg.order != order))?
    }
}

/// The id of an order of a list.
pub(super) fn leg_id(seq: u64, number: usize) -> u64 {
    seq + (u64::try_from(number).unwrap() << 56)
}

fn is_armed(order: &NewOrder) -> bool {
    order.terms.get().is_some_and(|terms| terms.trigger.is_some())
}

impl Model {
    pub(crate) fn new_list(&mut self, id: u64, client: u64, command: &NewOrderList) -> Option<RejectReason> {
        self.roll(client, None);
        let checked = self.check_list(id, client, command);
        self.legs.clear();
        for (number, order) in command.orders.iter().enumerate() {
            self.remember(client, &order.cl_ord_id.to_string(), leg_id(id, number));
        }
        let legs = match checked {
            Ok(legs) => legs,
            Err(refusal) => return Some(refusal),
        };
        let legs_of_list =
            legs.iter().map(|leg| ModelLeg { order: leg.id, acted: false, ended: false, filled: false });
        self.lists.push(ModelList {
            id,
            client,
            name: command.cl_list_id.to_string(),
            market: command.orders[0].market.0,
            contingency: command.contingency,
            release: command.release,
            released: false,
            legs: legs_of_list.collect(),
        });
        self.place_legs(legs);
        None
    }

    /// The orders of a list, if all of it is good.
    fn check_list(
        &mut self,
        id: u64,
        client: u64,
        command: &NewOrderList,
    ) -> Result<Vec<ModelOrder>, RejectReason> {
        if self.live_list(client, &command.cl_list_id).is_some() {
            return Err(DuplicateClOrdId);
        }
        let orders = &command.orders;
        let pairs = match command.contingency {
            Contingency::OneCancelsOther => Some((&orders[0], &orders[1])),
            Contingency::OneTriggersOther => None,
            Contingency::OneTriggersOneCancelsOther => Some((&orders[1], &orders[2])),
        };
        for (at, order) in orders.iter().enumerate() {
            let is_pegged = order.terms.get().is_some_and(|terms| terms.peg.is_some());
            if order.market != orders[0].market || order.client != orders[0].client || is_pegged {
                return Err(UnsupportedOrder);
            }
            if orders[..at].iter().any(|before| before.cl_ord_id == order.cl_ord_id) {
                return Err(DuplicateClOrdId);
            }
        }
        if let Some((one, two)) = pairs {
            let goes = one.side == two.side
                && super::may_wait(one)
                && super::may_wait(two)
                && (is_armed(one) || is_armed(two));
            if !goes {
                return Err(UnsupportedOrder);
            }
        }
        for (number, order) in orders.iter().enumerate() {
            let waits = number > 0 && command.contingency != Contingency::OneCancelsOther;
            let cl_ord_id = order.cl_ord_id.to_string();
            if let Some(refusal) = self.check_admission(client, &cl_ord_id, order, waits) {
                return Err(refusal);
            }
            let mut leg = self.model_order(leg_id(id, number), client, order, &cl_ord_id);
            leg.list = Some(id);
            leg.waits = waits;
            if !waits {
                leg.price = self.kept_from_taking(&leg).unwrap();
                self.bound(&mut leg);
            }
            self.legs.push(leg);
        }
        let mut legs = std::mem::take(&mut self.legs);
        if command.contingency == Contingency::OneCancelsOther {
            self.share(&mut legs);
        }
        let market = &self.markets[&orders[0].market.0].0;
        if self.is_closed(client, market) {
            return Err(AccountClosed);
        }
        let needed: u128 = legs.iter().map(|leg| self.needed_of(leg)).sum();
        if needed > self.available(client, self.paying_asset(&legs[0])) {
            return Err(InsufficientFunds);
        }
        Ok(legs)
    }

    /// A client's list of this name of which an order lives.
    fn live_list(&self, client: u64, name: &ClOrdId) -> Option<&ModelList> {
        self.lists.iter().find(|list| list.client == client && list.name == name.to_string())
    }

    /// What the oldest live list of a client is called.
    pub(crate) fn list_of(&self, client: u64) -> Option<ClOrdId> {
        let list = self.lists.iter().find(|list| list.client == client)?;
        Some(ClOrdId::new(&list.name).unwrap())
    }

    pub(crate) fn list_status(&mut self, client: u64, name: &ClOrdId) -> Option<RejectReason> {
        self.roll(client, None);
        self.live_list(client, name).is_none().then_some(UnknownOrder)
    }

    pub(crate) fn cancel_list(&mut self, client: u64, name: &ClOrdId) -> Option<RejectReason> {
        self.roll(client, None);
        let Some(list) = self.live_list(client, name) else { return Some(UnknownOrder) };
        let live: Vec<u64> = list.legs.iter().filter(|leg| !leg.ended).map(|leg| leg.order).collect();
        self.live.retain(|order| !live.contains(&order.id));
        live.iter().for_each(|&order| self.end(client, order));
        None
    }

    fn needed_of(&self, leg: &ModelOrder) -> u128 {
        if leg.waits { 0 } else { self.needed(leg).saturating_sub(leg.beside) }
    }

    /// Of two that cancel each other, the one that stands armed beside the other holds only what it needs more.
    fn share(&self, legs: &mut [ModelOrder]) {
        let beside = if legs[0].trigger.is_some() && legs[1].trigger.is_none() { 0 } else { 1 };
        legs[beside].beside = self.needed(&legs[1 - beside]);
    }

    /// Those that wait or are armed take their places, then the others enter.
    fn place_legs(&mut self, legs: Vec<ModelOrder>) {
        let (apart, at_once): (Vec<_>, Vec<_>) =
            legs.into_iter().partition(|leg| leg.waits || leg.trigger.is_some());
        self.live.extend(apart);
        for leg in at_once {
            let minimum = leg.minimum;
            self.enter(leg, minimum);
        }
    }

    fn note(&mut self, order: u64, what: impl Fn(&mut ModelLeg)) {
        let holds = |list: &&mut ModelList| list.legs.iter().any(|leg| leg.order == order);
        let Some(list) = self.lists.iter_mut().find(holds) else { return };
        list.legs.iter_mut().filter(|leg| leg.order == order).for_each(what);
        if !self.due_lists.contains(&list.id) {
            self.due_lists.push(list.id);
        }
    }

    pub(super) fn note_acted(&mut self, order: u64) {
        self.note(order, |leg| leg.acted = true);
    }

    pub(super) fn note_ended(&mut self, order: u64, filled: bool) {
        self.note(order, |leg| (leg.ended, leg.filled) = (true, filled));
    }

    pub(super) fn note_reduced(&mut self, order: u64) {
        if self.lists.iter().any(|list| list.sibling(order).is_some()) {
            self.note_acted(order);
        }
    }

    /// Carries one list on; false where none has to.
    pub(super) fn carry_on(&mut self) -> bool {
        if !self.due_lists.is_empty() {
            let id = self.due_lists.remove(0);
            self.settle(id);
            return true;
        }
        let trades = |market: u32| self.markets[&market].1 == MarketPhase::Trading;
        let next = self.releasing.iter().map(|entry| entry.0).filter(|&market| trades(market)).min();
        let Some(market) = next else { return false };
        let at = self.releasing.iter().position(|entry| entry.0 == market).unwrap();
        let (_, id) = self.releasing.remove(at);
        self.release(id);
        true
    }

    fn settle(&mut self, id: u64) {
        let Some(at) = self.lists.iter().position(|list| list.id == id) else { return };
        let list = &self.lists[at];
        let first = &list.legs[0];
        let releases = list.waits_for_first()
            && match list.release {
                ListRelease::Filled => first.filled,
                ListRelease::Traded => first.acted,
            };
        let mut doomed = Vec::new();
        if list.waits_for_first() && first.ended && !releases {
            doomed.extend(list.legs[1..].iter().filter(|leg| !leg.ended).map(|leg| leg.order));
        }
        if let Some(pair) = list.pair() {
            let pair = pair.map(|at| &list.legs[at]);
            if pair.iter().any(|leg| leg.acted || leg.ended) {
                doomed.extend(pair.iter().filter(|leg| !leg.ended && !leg.acted).map(|leg| leg.order));
            }
        }
        if releases {
            self.releasing.push((self.lists[at].market, id));
            self.lists[at].released = true;
        }
        for order in doomed {
            self.cancel_leg(order);
        }
        self.lists.retain(|list| list.id != id || list.legs.iter().any(|leg| !leg.ended));
    }

    fn cancel_leg(&mut self, order: u64) {
        if let Some(at) = self.live.iter().position(|live| live.id == order) {
            let order = self.live.remove(at);
            self.end(order.client, order.id);
        }
    }

    /// What waited enters as new orders would now; if one of them would be refused, none does.
    fn release(&mut self, id: u64) {
        let Some(list) = self.lists.iter().find(|list| list.id == id) else { return };
        self.released += 1;
        let is_pair = list.pair().is_some();
        let waiting: Vec<u64> = list.legs[1..].iter().filter(|leg| !leg.ended).map(|leg| leg.order).collect();
        let (mut good, mut all) = (Vec::new(), true);
        for order in waiting {
            let at = self.live.iter().position(|live| live.id == order).unwrap();
            self.roll(self.live[at].client, None);
            let mut order = self.live.remove(at);
            order.waits = false;
            if self.may_enter_now(&mut order) {
                good.push(order);
            } else {
                all = false;
                self.end(order.client, order.id);
            }
        }
        if all && is_pair && good.len() == 2 {
            self.share(&mut good);
        }
        let needed: u128 = good.iter().map(|leg| self.needed_of(leg)).sum();
        let is_covered =
            good.first().is_none_or(|leg| needed <= self.available(leg.client, self.paying_asset(leg)));
        if all && is_covered {
            self.place_legs(good);
        } else {
            good.iter().for_each(|leg| self.end(leg.client, leg.id));
        }
    }

    fn may_enter_now(&self, order: &mut ModelOrder) -> bool {
        let market = &self.markets[&order.market].0;
        let receives = if order.side == Side::Buy { market.base.0 } else { market.quote.0 };
        if self.closed.contains(&(order.client, receives)) {
            return false;
        }
        let kind = if order.is_limit { OrderType::Limit } else { OrderType::Market };
        let is_armed = order.trigger.is_some();
        if !is_armed && self.band_refusal(order.market, order.side, kind, order.price).is_some() {
            return false;
        }
        let Some(price) = self.kept_from_taking(order) else { return false };
        order.price = price;
        if order.budget > 0 && !is_armed {
            order.qty = self.budget_lots(order, order.budget);
        }
        self.position_refusal(order, order.qty).is_none()
    }

    /// Before an order fires that another one would cancel, that one is cancelled.
    pub(super) fn decide(&mut self, order: &mut ModelOrder) {
        let list = self.lists.iter().find(|list| list.sibling(order.id).is_some());
        let Some(sibling) = list.and_then(|list| list.sibling(order.id)).map(|leg| leg.order) else { return };
        self.note_acted(order.id);
        self.cancel_leg(sibling);
        order.beside = 0;
    }
}
