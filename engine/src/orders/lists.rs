//! Orders that hang together: one cancels the other, one triggers others, or one triggers two that cancel each other.
//!
//! A list's legs are orders like others, and live where others do. What a leg does is noted in its list ([`OrderLists::note`]), and
//! behind the command its list goes on ([`Engine::advance_list`]): so nothing of it happens in the middle of a sweep. A leg that waits for the
//! first one stands among the armed orders without a trigger, and holds nothing. Two legs that cancel each other hold what the dearer
//! one needs, once: the leg that may rest holds what it needs alone, the other, which is armed, what it needs beyond that; before it
//! fires its sibling is cancelled, and it holds all of it.

use std::collections::{BTreeMap, VecDeque};

use protocol::commands::{CancelList, ClOrdId, NewOrder, NewOrderList, RequestListStatus, roles};
use protocol::events::{BusinessRejected, HoldChanged, OrderListChanged};
use protocol::limits::ORDER_LISTS_MAX;
use protocol::terms::ListedOrder;
use protocol::{
    Amount, Contingency, ExecType, ListRelease, ListState, MarketId, MarketPhase, OrderId, OrderListId,
    OrderStatus, QtyLots, RareText, RejectReason, Text,
};

use super::reports::live_status;
use super::{Admitted, rules, terms};
use crate::broken::{About, Broken, Refusal, Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::{Order, Place};

/// BusinessRejectReason(380) 1 and 6: unknown id; not authorized.
const UNKNOWN_ID: u16 = 1;
const NOT_AUTHORIZED: u16 = 6;

/// One order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) order: OrderId,
    pub(crate) cl_ord_id: ClOrdId,
    /// What it needs held where it stands alone; its budget, while it waits.
    pub(crate) reserve: u128,
    /// Whether it has traded, was reduced by what it met, or has fired while its sibling stood.
    pub(crate) has_acted: bool,
    /// How it ended.
    pub(crate) ended: Option<Ended>,
}

/// An order of a list that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: OrderStatus,
    pub(crate) qty: u64,
    pub(crate) cum: u64,
    /// Σ price × quantity of its fills.
    pub(crate) cum_ticks_lots: u128,
}

impl Leg {
    const fn is_live(&self) -> bool {
        self.ended.is_none()
    }
}

/// Orders that hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderList {
    pub(crate) cl_list_id: ClOrdId,
    /// The session's row.
    pub(crate) session: u32,
    /// The market's row.
    pub(crate) market: u32,
    pub(crate) contingency: Contingency,
    pub(crate) release: ListRelease,
    /// Whether those that waited have entered, or are about to.
    pub(crate) is_released: bool,
    /// Whether it is among those that go on next.
    pub(crate) is_due: bool,
    pub(crate) legs: Vec<Leg>,
}

impl OrderList {
    /// The legs that cancel each other.
    fn pair(&self) -> Option<(Leg, Leg)> {
        let (one, two) = pair_of(self.contingency)?;
        Some((*self.legs.get(one)?, *self.legs.get(two)?))
    }

    /// The leg that cancels this one, and is cancelled by it.
    fn sibling(&self, order: OrderId) -> Option<Leg> {
        let (one, two) = self.pair()?;
        match order {
            order if order == one.order => Some(two),
            order if order == two.order => Some(one),
            _ => None,
        }
    }

    /// The first leg, where others wait for it.
    fn working(&self) -> Option<Leg> {
        let first = *self.legs.first()?;
        (waiting_from(self.contingency) < self.legs.len() && !self.is_released).then_some(first)
    }

    /// Whether the first leg has done what others wait for.
    fn releases(&self) -> bool {
        self.working().is_some_and(|working| match self.release {
            ListRelease::Filled => working.ended.is_some_and(|ended| ended.status == OrderStatus::Filled),
            ListRelease::Traded => working.has_acted,
        })
    }

    /// The live legs that have to be cancelled.
    fn doomed(&self) -> Vec<OrderId> {
        let mut doomed = Vec::new();
        if self.working().is_some_and(|working| !working.is_live()) && !self.releases() {
            doomed.extend(self.legs.iter().skip(1).filter(|leg| leg.is_live()).map(|leg| leg.order));
        }
        if let Some((one, two)) = self.pair() {
            let is_decided = [one, two].iter().any(|leg| leg.has_acted || !leg.is_live());
            let loses = |leg: &&Leg| is_decided && leg.is_live() && !leg.has_acted;
            doomed.extend([one, two].iter().filter(loses).map(|leg| leg.order));
        }
        doomed.dedup();
        doomed
    }
}

/// A live order as its list tells of it.
fn listed(order: &Order) -> ListedOrder {
    ListedOrder {
        order: order.id,
        cl_ord_id: order.cl_ord_id,
        status: live_status(order),
        qty_lots: QtyLots(order.qty),
        leaves_lots: QtyLots(order.leaves()),
        cum_lots: QtyLots(order.cum),
        cum_ticks_lots: order.cum_ticks_lots,
    }
}

/// The same of one that has ended.
const fn listed_as_ended(leg: &Leg, ended: Ended) -> ListedOrder {
    ListedOrder {
        order: leg.order,
        cl_ord_id: leg.cl_ord_id,
        status: ended.status,
        qty_lots: QtyLots(ended.qty),
        leaves_lots: QtyLots(0),
        cum_lots: QtyLots(ended.cum),
        cum_ticks_lots: ended.cum_ticks_lots,
    }
}

/// How many orders a contingency has.
const fn legs_of(contingency: Contingency) -> usize {
    match contingency {
        Contingency::OneCancelsOther | Contingency::OneTriggersOther => 2,
        Contingency::OneTriggersOneCancelsOther => 3,
    }
}

/// The places of the legs that cancel each other.
const fn pair_of(contingency: Contingency) -> Option<(usize, usize)> {
    match contingency {
        Contingency::OneCancelsOther => Some((0, 1)),
        Contingency::OneTriggersOther => None,
        Contingency::OneTriggersOneCancelsOther => Some((1, 2)),
    }
}

/// The place of the first leg that waits for the one before.
const fn waiting_from(contingency: Contingency) -> usize {
    match contingency {
        Contingency::OneCancelsOther => 2,
        Contingency::OneTriggersOther | Contingency::OneTriggersOneCancelsOther => 1,
    }
}

/// All lists of which an order lives, and those that have to go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderLists {
    pub(crate) by_id: BTreeMap<OrderListId, OrderList>,
    /// By the row of their session and the ListID that it gave them.
    by_name: BTreeMap<(u32, ClOrdId), OrderListId>,
    /// Of which a leg has acted or ended, in this order.
    pub(crate) due: VecDeque<OrderListId>,
    /// Whose waiting legs enter once their market trades, in this order.
    pub(crate) releasing: BTreeMap<MarketId, VecDeque<OrderListId>>,
}

impl OrderLists {
    /// Adds a list whose ListID none of its session's has.
    pub(crate) fn add(&mut self, id: OrderListId, list: OrderList) {
        self.by_name.insert((list.session, list.cl_list_id), id);
        self.by_id.insert(id, list);
    }

    fn remove(&mut self, id: OrderListId) {
        if let Some(list) = self.by_id.remove(&id) {
            self.by_name.remove(&(list.session, list.cl_list_id));
        }
    }

    /// The list that a session calls so, while an order of it lives.
    pub(crate) fn named(&self, session: u32, cl_list_id: &ClOrdId) -> Option<OrderListId> {
        self.by_name.get(&(session, *cl_list_id)).copied()
    }

    /// Notes what an order has done in its list, if it is of one.
    fn note(&mut self, order: &Order, what: impl Fn(&mut Leg)) {
        let Some(id) = order.list() else { return };
        let Some(list) = self.by_id.get_mut(&id) else { return };
        list.legs.iter_mut().filter(|leg| leg.order == order.id).for_each(what);
        if !core::mem::replace(&mut list.is_due, true) {
            self.due.push_back(id);
        }
    }

    /// An order has traded, or fires.
    pub(super) fn note_acted(&mut self, order: &Order) {
        self.note(order, |leg| leg.has_acted = true);
    }

    /// An order was reduced by what it met: two that cancel each other shared what it held.
    pub(super) fn note_reduced(&mut self, order: &Order) {
        let list = order.list().and_then(|id| self.by_id.get(&id));
        if list.is_some_and(|list| list.sibling(order.id).is_some()) {
            self.note_acted(order);
        }
    }

    /// An order has ended.
    pub(super) fn note_ended(&mut self, order: &Order, status: OrderStatus) {
        let ended = Ended { status, qty: order.qty, cum: order.cum, cum_ticks_lots: order.cum_ticks_lots };
        self.note(order, |leg| leg.ended = Some(ended));
    }
}

/// What is refused of a list: which leg, and why.
type ListRefusal = (usize, Stop);

impl Engine {
    pub(crate) fn new_order_list(
        &mut self,
        row: u32,
        command: &NewOrderList,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let admitted = match self.admit_list(row, command, effects) {
            Ok(admitted) => admitted,
            Err((_, Stop::Broken(what))) => return Err(what.into()),
            Err((at, Stop::Refused(refusal))) => {
                for (number, order) in (0_u8..).zip(&command.orders) {
                    let is_it = usize::from(number) == at;
                    let refusal = if is_it {
                        refusal
                    } else {
                        Refusal { reason: RejectReason::OrderList, about: About::Nothing }
                    };
                    let look = self.look(row, &order.cl_ord_id);
                    let id = OrderId::nth(effects.seq, number);
                    self.refuse_order(row, (id, order), look, refusal, effects);
                }
                return Err(Stop::Refused(refusal));
            }
        };
        self.enter_list(row, command, admitted, effects)?;
        Ok(())
    }

    /// Checks all legs, and holds what those that enter now need.
    fn admit_list(
        &mut self,
        row: u32,
        command: &NewOrderList,
        effects: &Effects<'_>,
    ) -> Result<Vec<Admitted>, ListRefusal> {
        let at = |at: usize| move |stop: Stop| (at, stop);
        let NewOrderList { contingency, orders, .. } = command;
        ensure_field(!command.cl_list_id.is_empty(), "cl_list_id").map_err(at(0))?;
        ensure_field(orders.len() == legs_of(*contingency), "orders").map_err(at(0))?;
        ensure(self.lists.by_id.len() < ORDER_LISTS_MAX, RejectReason::TableFull).map_err(at(0))?;
        let is_new = self.lists.named(row, &command.cl_list_id).is_none();
        ensure(is_new, RejectReason::DuplicateClOrdId).map_err(at(0))?;
        hang_together(*contingency, orders)?;
        let mut admitted: Vec<Admitted> = Vec::new();
        let mut refused = None;
        for (number, order) in orders.iter().enumerate() {
            let look = self.look(row, &order.cl_ord_id);
            let waits = number >= waiting_from(*contingency);
            match self.admit_order(row, order, Some(look), waits, effects) {
                Ok(leg) => {
                    // Counted while the next ones are judged.
                    self.markets.desks.at_mut(leg.order.desk).add(&leg.order);
                    admitted.push(leg);
                }
                Err(stop) => {
                    refused = Some((number, stop));
                    break;
                }
            }
        }
        for leg in &admitted {
            self.markets.desks.at_mut(leg.order.desk).remove(&leg.order);
        }
        match refused {
            Some(refused) => Err(refused),
            None => self.hold_for_list(*contingency, admitted).map_err(at(0)),
        }
    }

    /// Holds what the legs that enter now need, and says in each how much that is.
    fn hold_for_list(
        &mut self,
        contingency: Contingency,
        mut admitted: Vec<Admitted>,
    ) -> Result<Vec<Admitted>, Stop> {
        if let Some(Admitted { order, .. }) = admitted.first() {
            let desk = self.markets.desks.at(order.desk);
            self.ledger.ensure_open(desk.paying_account(order.side.opposite()))?;
        }
        match (contingency, admitted.as_mut_slice()) {
            (Contingency::OneCancelsOther, [one, two]) => share_hold(one, two),
            (_, [first, ..]) => first.order.held = first.worst_case,
            (_, []) => {}
        }
        ensure(self.hold_together(&admitted), RejectReason::InsufficientFunds)?;
        Ok(admitted)
    }

    /// Tells of an accepted list and of its legs; those that wait or are armed take their places before the others trade.
    fn enter_list(
        &mut self,
        row: u32,
        command: &NewOrderList,
        admitted: Vec<Admitted>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let id = OrderListId(effects.seq.0);
        let mut list = OrderList {
            cl_list_id: command.cl_list_id,
            session: row,
            market: admitted.first().map_or(0, |leg| leg.market),
            contingency: command.contingency,
            release: command.release,
            is_released: false,
            is_due: false,
            legs: Vec::new(),
        };
        let mut entering = Vec::new();
        for (number, (said, leg)) in (0_u8..).zip(command.orders.iter().zip(admitted)) {
            let Admitted { mut order, worst_case, .. } = leg;
            order.id = OrderId::nth(effects.seq, number);
            let waits = usize::from(number) >= waiting_from(command.contingency);
            let terms = order.terms.get_or_insert_default();
            (terms.list, terms.waits) = (Some(id), waits);
            let reserve = if waits { said.budget.0 } else { worst_case };
            let cl_ord_id = order.cl_ord_id;
            list.legs.push(Leg { order: order.id, cl_ord_id, reserve, has_acted: false, ended: None });
            let look = self.look(row, &said.cl_ord_id);
            self.remember_id(row, look, &said.cl_ord_id, order.id, said.market);
            entering.push(order);
        }
        let market = list.market;
        self.lists.add(id, list);
        let orders = entering.iter().map(listed).collect();
        self.tell_list(id, (ListState::Executing, false), orders, effects);
        for order in &entering {
            let (exec_type, status) = if order.waits() {
                (ExecType::PendingNew, OrderStatus::PendingNew)
            } else {
                (ExecType::New, OrderStatus::New)
            };
            self.report(market, order, exec_type, status, None, effects);
        }
        self.enter_legs(market, entering, effects)
    }

    /// Puts orders to their places: those that wait, those that are armed, then those that trade and rest.
    fn enter_legs(
        &mut self,
        market: u32,
        orders: Vec<Order>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let (apart, at_once): (Vec<_>, Vec<_>) =
            orders.into_iter().partition(|order| order.waits() || order.is_armed());
        for order in apart {
            if order.waits() {
                let place = Place::armed(market, self.markets.rows.at_mut(market).armed.open(order.id));
                self.list(place, order);
            } else {
                self.enter(market, order, effects)?;
            }
        }
        for order in at_once {
            self.enter(market, order, effects)?;
        }
        Ok(())
    }

    /// Whether a list goes on now: one of which a leg has acted or ended, or one whose waiting legs enter.
    #[inline]
    pub(crate) fn has_due_list(&self) -> bool {
        // Every record asks, and mostly there is no list.
        !self.lists.due.is_empty() || !self.lists.releasing.is_empty() && self.next_releasing().is_some()
    }

    /// The market in which waiting legs enter next: one that trades.
    fn next_releasing(&self) -> Option<MarketId> {
        let trades = |market: &MarketId| {
            let row = self.markets.row(*market);
            row.is_some_and(|row| self.markets.rows.at(row).phase == MarketPhase::Trading)
        };
        self.lists.releasing.keys().copied().find(trades)
    }

    /// Carries one list on: cancels what has to be, or has enter what waited.
    pub(crate) fn advance_list(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        if let Some(id) = self.lists.due.pop_front() {
            return self.settle_list(id, effects);
        }
        let Some(market) = self.next_releasing() else { return Ok(()) };
        let Some(queue) = self.lists.releasing.get_mut(&market) else { return Ok(()) };
        let id = queue.pop_front();
        if queue.is_empty() {
            self.lists.releasing.remove(&market);
        }
        match id {
            Some(id) => self.release_legs(id, effects),
            None => Ok(()),
        }
    }

    fn settle_list(&mut self, id: OrderListId, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let Some(list) = self.lists.by_id.get_mut(&id) else { return Ok(()) };
        list.is_due = false;
        let (doomed, releases, market) = (list.doomed(), list.releases(), list.market);
        let name = self.markets.rows.at(market).definition.market;
        if releases {
            list.is_released = true;
            self.lists.releasing.entry(name).or_default().push_back(id);
        }
        for order in doomed {
            let missing = Broken::OrderMismatch { market: name, order };
            let place = self.markets.place(market, order).ok_or(missing)?;
            let state = (ExecType::Canceled, OrderStatus::Canceled);
            self.end_at(place, state, RejectReason::OrderList, None, effects)?;
        }
        let list = self.lists.by_id.get(&id).filter(|list| !list.legs.iter().any(Leg::is_live));
        if list.is_some() {
            self.tell_list(id, (ListState::Done, false), self.listed_orders(id), effects);
            self.lists.remove(id);
        }
        Ok(())
    }

    /// The orders of a list as they stand.
    fn listed_orders(&self, id: OrderListId) -> Vec<ListedOrder> {
        let Some(list) = self.lists.by_id.get(&id) else { return Vec::new() };
        let as_it_stands = |leg: &Leg| match leg.ended {
            Some(ended) => Some(listed_as_ended(leg, ended)),
            None => self.markets.order(self.markets.place(list.market, leg.order)?).map(listed),
        };
        list.legs.iter().filter_map(as_it_stands).collect()
    }

    /// Tells the session of a list how it stands.
    fn tell_list(
        &mut self,
        id: OrderListId,
        (state, asked): (ListState, bool),
        orders: Vec<ListedOrder>,
        effects: &mut Effects<'_>,
    ) {
        let Some(list) = self.lists.by_id.get(&id) else { return };
        let market = self.markets.rows.at(list.market).definition.market;
        let (cl_list_id, contingency) = (list.cl_list_id, list.contingency);
        let changed = OrderListChanged { list: id, cl_list_id, market, contingency, state, asked, orders };
        self.sessions.rows.at_mut(list.session).send(effects, changed);
    }

    /// Answers how a list stands; one that has ended is known no more.
    pub(crate) fn list_status(
        &mut self,
        row: u32,
        command: &RequestListStatus,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let Some(id) = self.lists.named(row, &command.cl_list_id) else {
            return Err(self.refuse_list(
                row,
                (b"M", &command.cl_list_id),
                RejectReason::UnknownOrder,
                effects,
            ));
        };
        let orders = self.listed_orders(id);
        let is_released = self.lists.by_id.get(&id).is_some_and(|list| list.is_released)
            && orders.iter().all(|listed| listed.status != OrderStatus::PendingNew);
        let state = if is_released { ListState::Released } else { ListState::Executing };
        self.tell_list(id, (state, true), orders, effects);
        Ok(())
    }

    /// Cancels what lives of a list.
    pub(crate) fn cancel_list(
        &mut self,
        row: u32,
        command: &CancelList,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let asked = (&b"K"[..], &command.cl_list_id);
        let actor = self.sessions.rows.at(row).definition.actor;
        if self.registry.entitle(actor, roles::TRADER).is_err() {
            return Err(self.refuse_list(row, asked, RejectReason::NotEntitled, effects));
        }
        let Some(list) = self.lists.named(row, &command.cl_list_id).and_then(|id| self.lists.by_id.get(&id))
        else {
            return Err(self.refuse_list(row, asked, RejectReason::UnknownOrder, effects));
        };
        let live = list.legs.iter().filter(|leg| leg.is_live());
        let places = live.filter_map(|leg| Some((leg.order, self.markets.place(list.market, leg.order)?)));
        let places = places.collect();
        self.cancel_places(places, RejectReason::ByClient, effects)?;
        Ok(())
    }

    /// Says to a FIX session that a message about a list is refused; another one's reply says so.
    fn refuse_list(
        &mut self,
        row: u32,
        (msg_type, cl_list_id): (&[u8], &ClOrdId),
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) -> Stop {
        let session = self.sessions.rows.at_mut(row);
        if session.is_fix() {
            let rejected = BusinessRejected {
                ref_seq_num: session.next_in.saturating_sub(1),
                ref_msg_type: Text::new(msg_type).unwrap_or_default(),
                reason: if reason == RejectReason::UnknownOrder { UNKNOWN_ID } else { NOT_AUTHORIZED },
                ref_id: *cl_list_id,
                note: Text::EMPTY,
                routing: RareText::EMPTY,
            };
            session.send(effects, rejected);
        }
        reason.into()
    }

    /// The legs that waited enter, as new orders of this moment: one that would be refused expires for that reason.
    fn release_legs(&mut self, id: OrderListId, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let Some(list) = self.lists.by_id.get(&id) else { return Ok(()) };
        let (market, contingency) = (list.market, list.contingency);
        let waiting: Vec<Leg> = list.legs.iter().skip(1).filter(|leg| leg.is_live()).copied().collect();
        self.tell_list(id, (ListState::Released, false), self.listed_orders(id), effects);
        let mut admitted = Vec::new();
        let count = waiting.len();
        for leg in waiting {
            let mut order = self.take_apart(market, leg.order, effects)?;
            match self.judge_waiting(market, &mut order, leg.reserve, effects) {
                Ok(worst_case) => admitted.push(Admitted { market, order, worst_case }),
                Err(Stop::Refused(refusal)) => self.expire(market, order, refusal.reason, effects)?,
                Err(Stop::Broken(what)) => return Err(what),
            }
        }
        if admitted.len() < count {
            return self.expire_legs(admitted, RejectReason::OrderList, effects);
        }
        if let (Some(_), [one, two]) = (pair_of(contingency), admitted.as_mut_slice()) {
            share_hold(one, two);
        } else {
            admitted.iter_mut().for_each(|leg| leg.order.held = leg.worst_case);
        }
        if !self.hold_together(&admitted) {
            admitted.iter_mut().for_each(|leg| leg.order.held = 0);
            return self.expire_legs(admitted, RejectReason::InsufficientFunds, effects);
        }
        let legs = self.lists.by_id.get_mut(&id).map(|list| &mut list.legs);
        for leg in legs.into_iter().flatten() {
            let own = admitted.iter().find(|admitted| admitted.order.id == leg.order);
            leg.reserve = own.map_or(leg.reserve, |own| own.worst_case);
        }
        for leg in &admitted {
            self.report(market, &leg.order, ExecType::New, OrderStatus::New, None, effects);
        }
        let entering = admitted.into_iter().map(|leg| leg.order).collect();
        self.enter_legs(market, entering, effects)
    }

    /// Holds what all of these need, which is in one account; false where there is too little.
    fn hold_together(&mut self, legs: &[Admitted]) -> bool {
        let Some(Admitted { order, .. }) = legs.first() else { return true };
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        let needed = legs.iter().fold(0_u128, |sum, leg| sum.saturating_add(leg.order.held));
        self.ledger.hold(account, needed).is_ok()
    }

    fn expire_legs(
        &mut self,
        legs: Vec<Admitted>,
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        for Admitted { market, order, .. } in legs {
            self.expire(market, order, reason, effects)?;
        }
        Ok(())
    }

    /// Takes an order out that stands among the armed ones, and waits for another one, for its next leg or for a price.
    pub(super) fn take_apart(
        &mut self,
        market: u32,
        order: OrderId,
        effects: &Effects<'_>,
    ) -> Result<Order, Broken> {
        let missing = Broken::OrderMismatch { market: self.markets.rows.at(market).definition.market, order };
        let place = self.markets.place(market, order).ok_or(missing)?;
        let mut taken = self.markets.order(place).cloned().ok_or(missing)?;
        self.roll_day(taken.session, None, effects.time);
        self.unlink(place, &taken)?;
        self.markets.rows.at_mut(market).armed.close(order);
        if let Some(terms) = &mut taken.terms {
            terms.waits = false;
        }
        Ok(taken)
    }

    /// What an order that waited needs held, if a new one would be taken now.
    fn judge_waiting(
        &mut self,
        market: u32,
        order: &mut Order,
        budget: u128,
        effects: &Effects<'_>,
    ) -> Result<u128, Stop> {
        let desk = self.markets.desks.at(order.desk);
        self.ledger.ensure_open(desk.paying_account(order.side.opposite()))?;
        if !order.is_armed() {
            self.may_enter(market, order, effects.time)?;
        }
        order.price = terms::keep_from_taking(order, order.price, self.markets.rows.at(market))?;
        let worst_case = self.worst_case(market, order, budget)?;
        let (row, desk) = (self.markets.rows.at(market), self.markets.desks.at(order.desk));
        rules::ensure_position(row, (desk, order.side), order.leaves(), &self.ledger)?;
        Ok(worst_case)
    }

    /// Before an order fires that another one would cancel: the other one is cancelled, and it holds all that it needs.
    pub(super) fn decide_pair(
        &mut self,
        market: u32,
        order: &mut Order,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let Some(list) = order.list().and_then(|id| self.lists.by_id.get(&id)) else { return Ok(()) };
        let Some(sibling) = list.sibling(order.id) else { return Ok(()) };
        let reserve = list.legs.iter().find(|leg| leg.order == order.id).map_or(0, |leg| leg.reserve);
        self.lists.note_acted(order);
        if let Some(place) = self.markets.place(market, sibling.order).filter(|_| sibling.is_live()) {
            let state = (ExecType::Canceled, OrderStatus::Canceled);
            self.end_at(place, state, RejectReason::OrderList, None, effects)?;
        }
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        self.ledger.change_hold(account, order.held, reserve)?;
        order.held = reserve;
        let hold =
            HoldChanged { order: order.id, account: self.ledger.id(account), held: Amount(order.held) };
        effects.push(hold);
        Ok(())
    }

    /// Whether lists and the orders in them agree.
    pub(crate) fn check_lists(&self) -> Result<(), Broken> {
        let broken = Broken::Index { what: "lists of orders" };
        let mut live = 0_usize;
        for (id, list) in &self.lists.by_id {
            for leg in list.legs.iter().filter(|leg| leg.is_live()) {
                let place = self.markets.place(list.market, leg.order);
                let order = place.and_then(|place| self.markets.order(place)).ok_or(broken)?;
                let is_sound = order.list() == Some(*id)
                    && order.held <= leg.reserve
                    && !(order.waits() && (order.held > 0 || list.is_released && order.cum > 0));
                if !is_sound {
                    return Err(broken);
                }
                live = live.saturating_add(1);
            }
        }
        let markets = self.markets.rows.iter();
        let of_lists = markets.flat_map(|market| market.live()).filter(|order| order.list().is_some());
        let queued = self.lists.due.iter().chain(self.lists.releasing.values().flatten());
        let are_known = queued.into_iter().all(|id| id.0 <= self.seq.0);
        let is_named = |(id, list): (&OrderListId, &OrderList)| {
            self.lists.named(list.session, &list.cl_list_id) == Some(*id)
        };
        let are_named = self.lists.by_id.iter().all(is_named);
        let are_named = are_named && self.lists.by_name.len() == self.lists.by_id.len();
        if of_lists.count() == live && are_known && are_named { Ok(()) } else { Err(broken) }
    }
}

/// Shares the hold of two orders that cancel each other: the one that may trade as it stands holds what it needs.
fn share_hold(one: &mut Admitted, two: &mut Admitted) {
    let (alone, beside) = if one.order.is_armed() && !two.order.is_armed() { (two, one) } else { (one, two) };
    alone.order.held = alone.worst_case;
    beside.order.held = beside.worst_case.saturating_sub(alone.worst_case);
}

/// Whether orders can be those of one list: of one client in one market, none pegged, each with a ClOrdID of its own; and two that cancel each other
/// on the same side, both waiting for something, at most one of them in the book.
fn hang_together(contingency: Contingency, orders: &[NewOrder]) -> Result<(), ListRefusal> {
    let refuse = |at: usize, reason: RejectReason| Err((at, Stop::from(reason)));
    let Some(first) = orders.first() else {
        return Err((0, refuse_field(RejectReason::FieldOutOfRange, "orders")));
    };
    for (at, order) in orders.iter().enumerate() {
        let is_pegged = order.terms.get().is_some_and(|terms| terms.peg.is_some());
        if order.market != first.market || order.client != first.client || is_pegged {
            return refuse(at, RejectReason::UnsupportedOrder);
        }
        if orders.iter().take(at).any(|before| before.cl_ord_id == order.cl_ord_id) {
            return refuse(at, RejectReason::DuplicateClOrdId);
        }
    }
    let Some((one, two)) = pair_of(contingency) else { return Ok(()) };
    let (Some(a), Some(b)) = (orders.get(one), orders.get(two)) else { return Ok(()) };
    let is_armed = |order: &NewOrder| order.terms.get().is_some_and(|terms| terms.trigger.is_some());
    let goes = a.side == b.side && terms::may_wait(a) && terms::may_wait(b) && (is_armed(a) || is_armed(b));
    if goes { Ok(()) } else { refuse(two, RejectReason::UnsupportedOrder) }
}
