//! Cancels, replaces, status requests, and cancels that nobody asked the session for.

use protocol::commands::{
    CancelAll, CancelOrder, CancelReplaceOrder, ClOrdId, MassCancel, ReplaceOrder, RequestOrderStatus, roles,
};
use protocol::events::{BookChanged, CancelRejected, ExecutionReport, HoldChanged, MassCancelReported};
use protocol::{
    Amount, BookAction, CancelRejectTo, CancelReplaceMode, ClientId, ExecType, FirmId, MarketId, OrderId,
    OrderStatus, OrderType, PriceTicks, QtyLots, RejectReason, Side, Text, TimeInForce, UnixNanos,
};

use super::execution::lower_hold;
use super::terms::Amended;
use super::{fees, notional_in_range, pegs, phases, price_in_range, reports, rules, terms};
use crate::broken::{Broken, Refusal, Stop, ensure, ensure_field};
use crate::effects::Effects;
use crate::engine::Engine;
use crate::fees::Rates;
use crate::markets::{Market, Order, Place};
use crate::matching::{Book, Resting, Slot};
use crate::sessions::cl_ord_ids::{Finished, Look};

/// What a request's ids lead to.
#[derive(Clone, Copy, Debug)]
enum Found {
    Live(Place),
    /// Its row among those of the session that have ended.
    Ended(u32),
    Unknown,
}

/// Which live orders a mass cancel means: those of all that is named.
struct Wanted {
    /// Its row.
    market: Option<u32>,
    side: Option<Side>,
    client: Option<ClientId>,
    firm: Option<FirmId>,
}

/// A cancel or replace, as far as both are alike.
struct Amendment<'a> {
    cl_ord_id: &'a ClOrdId,
    look: &'a Look,
    orig_cl_ord_id: &'a ClOrdId,
    order: Option<OrderId>,
    market: MarketId,
    side: Side,
    response_to: CancelRejectTo,
}

/// What a replacement changes of an order, beside its ClOrdID. What that needs is held.
struct Replacement {
    limit: PriceTicks,
    /// Where it stands, which is elsewhere if it is pegged.
    price: u64,
    qty: u64,
    held: u128,
    rates: Rates,
    keeps_place: bool,
    /// Of its terms, if it says any.
    amended: Option<Amended>,
}

impl Replacement {
    /// Returns the ClOrdID that the order had before.
    fn apply(&self, order: &mut Order, cl_ord_id: &ClOrdId) -> ClOrdId {
        order.amendments = order.amendments.saturating_add(1);
        let before = core::mem::replace(&mut order.cl_ord_id, *cl_ord_id);
        order.price = self.price;
        if let Some(cap) = order.terms.as_mut().and_then(|terms| terms.cap.as_mut()) {
            *cap = self.limit;
        }
        order.qty = self.qty;
        order.held = self.held;
        if self.rates.tax_ppm != order.rates.tax_ppm {
            order.tax_residue = 0;
        }
        order.rates = self.rates;
        if let Some(amended) = &self.amended {
            amended.apply(order);
        }
        before
    }
}

impl Engine {
    pub(crate) fn cancel_order(
        &mut self,
        row: u32,
        command: &CancelOrder,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let look = self.look(row, &command.cl_ord_id);
        if command.poss_resend && self.answer_repetition(row, look, command.cl_ord_id, effects) {
            return Err(RejectReason::Exists.into());
        }
        let request = Amendment {
            cl_ord_id: &command.cl_ord_id,
            look: &look,
            orig_cl_ord_id: &command.orig_cl_ord_id,
            order: command.order,
            market: command.market,
            side: command.side,
            response_to: CancelRejectTo::Cancel,
        };
        let found = self.find(row, request.orig_cl_ord_id, request.order, request.market);
        // A cancel is taken even where no room is left to remember its id: it can only lower the risk.
        let checked = check_id(&request).and_then(|()| self.check_found(row, found, &request));
        let place = match checked {
            Ok((place, _)) => place,
            Err(stop) => return Err(self.refuse_request(row, &request, found, stop, effects)),
        };
        self.remember_request(row, &request, place);
        let orig = command.orig_cl_ord_id;
        self.cancel_at(place, RejectReason::ByClient, Some((command.cl_ord_id, orig)), effects)?;
        Ok(())
    }

    pub(crate) fn replace_order(
        &mut self,
        row: u32,
        command: &ReplaceOrder,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let look = self.look(row, &command.cl_ord_id);
        if command.poss_resend && self.answer_repetition(row, look, command.cl_ord_id, effects) {
            return Err(RejectReason::Exists.into());
        }
        let request = Amendment {
            cl_ord_id: &command.cl_ord_id,
            look: &look,
            orig_cl_ord_id: &command.orig_cl_ord_id,
            order: command.order,
            market: command.market,
            side: command.side,
            response_to: CancelRejectTo::Replace,
        };
        let found = self.find(row, request.orig_cl_ord_id, request.order, request.market);
        let (place, replacement) = match self.replaced(row, command, found, &request, effects) {
            Ok(replaced) => replaced,
            Err(stop) => return Err(self.refuse_request(row, &request, found, stop, effects)),
        };
        self.remember_request(row, &request, place);
        self.replace_at(place, &command.cl_ord_id, &replacement, effects)?;
        Ok(())
    }

    /// Cancels an order and enters another one. Its result is that of the order that enters, or of the cancel that stopped it.
    pub(crate) fn cancel_replace(
        &mut self,
        row: u32,
        command: &CancelReplaceOrder,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let CancelReplaceOrder { cancel, order, mode } = command;
        match (self.cancel_order(row, cancel, effects), mode) {
            (Err(Stop::Refused(why)), CancelReplaceMode::StopOnFailure) => {
                let look = self.look(row, &order.cl_ord_id);
                let refusal = Refusal { reason: RejectReason::CancelFailed, ..why };
                self.refuse_order(row, (OrderId(effects.seq.0), order), look, refusal, effects);
                Err(Stop::Refused(why))
            }
            (Ok(()) | Err(Stop::Refused(_)), _) => self.new_order(row, order, effects),
            (Err(Stop::Broken(what)), _) => Err(what.into()),
        }
    }

    pub(crate) fn order_status(
        &mut self,
        row: u32,
        command: &RequestOrderStatus,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let found = self.find(row, &command.cl_ord_id, command.order, command.market);
        let is_known = !matches!(found, Found::Unknown);
        self.report_status(row, found, command.cl_ord_id, (command.market, command.side), effects);
        ensure(is_known, RejectReason::UnknownOrder)
    }

    /// Answers a message that may have come before under another number: with the state of the order that it concerned.
    /// Returns whether its ClOrdID was used.
    pub(super) fn answer_repetition(
        &mut self,
        row: u32,
        look: Look,
        cl_ord_id: ClOrdId,
        effects: &mut Effects<'_>,
    ) -> bool {
        let session = self.sessions.rows.at(row);
        let Some(used) = look.used else { return false };
        if session.is_fix() {
            // Ignored, as the published cases have it: what became of it was told when it came first.
            return true;
        }
        let (order, market) = (used.order, used.market);
        let found = self.find(row, &Text::EMPTY, Some(order), market);
        self.report_status(row, found, cl_ord_id, (market, Side::Buy), effects);
        true
    }

    fn report_status(
        &mut self,
        row: u32,
        found: Found,
        asked: ClOrdId,
        (market, side): (MarketId, Side),
        effects: &mut Effects<'_>,
    ) {
        let live = |place: Place| {
            let order = self.markets.order(place)?;
            let status = reports::live_status(order);
            Some(self.report_of(place.market, order, ExecType::OrderStatus, status))
        };
        let report = match found {
            Found::Live(place) => live(place),
            Found::Ended(ended) => {
                let finished = self.sessions.rows.at(row).ids.ended(ended);
                Some(reports::of_finished(&finished, ExecType::OrderStatus))
            }
            Found::Unknown => None,
        };
        let report = report.unwrap_or_else(|| {
            let unknown = unknown_order(asked, self.sessions.client(row, None), market, side);
            reports::of_finished(&unknown, ExecType::OrderStatus)
        });
        self.sessions.rows.at_mut(row).send(effects, report);
    }

    /// Cancels the live orders that are of everything named, the oldest first, and says how many.
    pub(crate) fn cancel_all(&mut self, command: &CancelAll, effects: &mut Effects<'_>) -> Result<(), Stop> {
        let &CancelAll { session, client, market, side, firm } = command;
        let session = session
            .map(|session| self.sessions.row(session).ok_or(RejectReason::UnknownSession))
            .transpose()?;
        let only =
            market.map(|market| self.markets.row(market).ok_or(RejectReason::UnknownMarket)).transpose()?;
        let wanted = Wanted { market: only, side, client, firm };
        let mut places = Vec::new();
        if let Some(row) = session {
            places = self.places_of(row, |order, place| self.is_wanted(&wanted, order, place))?;
        } else {
            let markets = self.markets.rows.numbers().filter(|&row| only.is_none_or(|only| only == row));
            for row in markets {
                let market = self.markets.rows.at(row);
                let resting = market.book.orders().map(|order| Place { market: row, slot: order.slot.0 });
                let armed = market.armed.iter().map(|(_, armed)| Place::armed(row, armed));
                let orders =
                    resting.chain(armed).filter_map(|place| Some((self.markets.order(place)?, place)));
                let orders = orders.filter(|&(order, place)| self.is_wanted(&wanted, order, place));
                places.extend(orders.map(|(order, place)| (order.id, place)));
            }
        }
        let orders = self.cancel_places(places, RejectReason::ByOperator, effects)?;
        let cl_ord_id = Text::EMPTY;
        effects.push(MassCancelReported { cl_ord_id, market, side, client, orders, refusal: None });
        Ok(())
    }

    /// Cancels live orders of the session that asks, and reports how many.
    pub(crate) fn mass_cancel(
        &mut self,
        row: u32,
        command: &MassCancel,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &MassCancel { cl_ord_id, market, side, client } = command;
        let look = self.look(row, &cl_ord_id);
        let checked = self.check_mass_cancel(row, command, look);
        self.remember_id(row, look, &cl_ord_id, OrderId(0), market.unwrap_or_default());
        let mut report = MassCancelReported { cl_ord_id, market, side, client, orders: 0, refusal: None };
        match checked {
            Ok(wanted) => {
                let places = self.places_of(row, |order, place| self.is_wanted(&wanted, order, place))?;
                report.orders = self.cancel_places(places, RejectReason::ByClient, effects)?;
                self.sessions.rows.at_mut(row).send(effects, report);
                Ok(())
            }
            Err(stop) => {
                if let Stop::Refused(refusal) = stop {
                    report.refusal = Some(refusal.reason);
                    self.sessions.rows.at_mut(row).send(effects, report);
                }
                Err(stop)
            }
        }
    }

    fn check_mass_cancel(&self, row: u32, command: &MassCancel, look: Look) -> Result<Wanted, Stop> {
        let session = self.sessions.rows.at(row);
        self.registry.entitle(session.definition.actor, roles::TRADER)?;
        ensure_field(!command.cl_ord_id.is_empty(), "cl_ord_id")?;
        let market = command.market;
        let market =
            market.map(|market| self.markets.row(market).ok_or(RejectReason::UnknownMarket)).transpose()?;
        let is_its_own = command.client.is_none_or(|client| session.is_for(client));
        ensure(is_its_own, RejectReason::ClientNotEntitled)?;
        ensure(look.used.is_none(), RejectReason::DuplicateClOrdId)?;
        Ok(Wanted { market, side: command.side, client: command.client, firm: None })
    }

    fn is_wanted(&self, wanted: &Wanted, order: &Order, place: Place) -> bool {
        let firm = || self.sessions.rows.at(order.session).definition.firm;
        let client = || self.markets.desks.at(order.desk).client;
        wanted.market.is_none_or(|only| only == place.market)
            && wanted.side.is_none_or(|only| only == order.side)
            && wanted.client.is_none_or(|only| only == client())
            && wanted.firm.is_none_or(|only| only == firm())
    }

    /// A session's connection has ended and has not come back.
    pub(crate) fn cancel_on_disconnect(&mut self, row: u32, effects: &mut Effects<'_>) -> Result<(), Broken> {
        self.sessions.disarm(row);
        let cancels_all = self.sessions.rows.at(row).cancels_all;
        let places = self.places_of(row, |order, _| order.says_on_disconnect().unwrap_or(cancels_all))?;
        self.cancel_places(places, RejectReason::OnDisconnect, effects).map(|_| ())
    }

    /// A session has not said in time that it is there.
    pub(crate) fn cancel_for_silence(&mut self, row: u32, effects: &mut Effects<'_>) -> Result<(), Broken> {
        self.sessions.disarm_dead_man(row);
        let places = self.places_of(row, |_, _| true)?;
        self.cancel_places(places, RejectReason::CancelAllAfter, effects).map(|_| ())
    }

    /// Those of a session's live orders that are wanted.
    pub(super) fn places_of(
        &self,
        row: u32,
        wanted: impl Fn(&Order, Place) -> bool,
    ) -> Result<Vec<(OrderId, Place)>, Broken> {
        let mut places = Vec::new();
        let mut place = self.sessions.rows.at(row).orders;
        while place != Place::NONE {
            let Some(order) = self.markets.order(place) else {
                let session = self.sessions.rows.at(row).definition.session;
                return Err(Broken::SessionMismatch { session, what: "live orders" });
            };
            if wanted(order, place) {
                places.push((order.id, place));
            }
            place = order.older;
        }
        Ok(places)
    }

    /// Cancels orders, the oldest first. Returns how many.
    pub(super) fn cancel_places(
        &mut self,
        mut places: Vec<(OrderId, Place)>,
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) -> Result<u32, Broken> {
        places.sort_unstable_by_key(|&(order, _)| order.age());
        for &(_, place) in &places {
            self.cancel_at(place, reason, None, effects)?;
        }
        Ok(u32::try_from(places.len()).unwrap_or(u32::MAX))
    }

    /// Takes out an order whose time has come.
    pub(crate) fn expire_order(
        &mut self,
        market: u32,
        order: OrderId,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let missing = Broken::OrderMismatch { market: self.markets.rows.at(market).definition.market, order };
        let place = self.markets.place(market, order).ok_or(missing)?;
        let is_dated = self.markets.order(place).ok_or(missing)?.time_in_force == TimeInForce::GoodTillDate;
        let reason = if is_dated { RejectReason::GoodTillDate } else { RejectReason::EndOfDay };
        self.end_order(market, order, reason, effects)
    }

    /// Takes out an order that ends by itself.
    pub(super) fn end_order(
        &mut self,
        market: u32,
        order: OrderId,
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let missing = Broken::OrderMismatch { market: self.markets.rows.at(market).definition.market, order };
        let place = self.markets.place(market, order).ok_or(missing)?;
        self.end_at(place, (ExecType::Expired, OrderStatus::Expired), reason, None, effects)
    }

    /// Takes a live order out. `request`: the ClOrdID of the request, and the one it named.
    fn cancel_at(
        &mut self,
        place: Place,
        reason: RejectReason,
        request: Option<(ClOrdId, ClOrdId)>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.end_at(place, (ExecType::Canceled, OrderStatus::Canceled), reason, request, effects)
    }

    /// As [`Self::cancel_at`], with what its report says.
    pub(super) fn end_at(
        &mut self,
        place: Place,
        state: (ExecType, OrderStatus),
        reason: RejectReason,
        request: Option<(ClOrdId, ClOrdId)>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let order = self.remove_live(place, state.1, reason, effects)?;
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        let ids = match request {
            Some((cl_ord_id, _)) => (cl_ord_id, order.cl_ord_id),
            None => (order.cl_ord_id, Text::EMPTY),
        };
        self.report_request(place.market, &order, state, Some(reason), ids, effects);
        effects.push(HoldChanged { order: order.id, account: self.ledger.id(account), held: Amount::ZERO });
        Ok(())
    }

    /// Takes a live order out and releases what it held. Returns it as it was.
    pub(super) fn remove_live(
        &mut self,
        place: Place,
        status: OrderStatus,
        reason: RejectReason,
        effects: &mut Effects<'_>,
    ) -> Result<Order, Broken> {
        self.take_out(place, effects)?;
        let market = self.markets.rows.at(place.market);
        let mismatch = Broken::OrderMismatch { market: market.definition.market, order: OrderId(0) };
        let order = market.entry(place).cloned().ok_or(mismatch)?;
        self.unlink(place, &order)?;
        self.markets.rows.at_mut(place.market).armed.close(order.id);
        self.keep_finished(place.market, &order, status, Some(reason), effects);
        let account = self.markets.desks.at(order.desk).paying_account(order.side);
        self.ledger.release_hold(account, order.held)?;
        Ok(order)
    }

    /// Takes so much off what an order asks for.
    pub(super) fn lower_qty(&mut self, place: Place, lots: u64) -> Result<&Order, Broken> {
        let market = self.markets.rows.at_mut(place.market);
        let mismatch = Broken::OrderMismatch { market: market.definition.market, order: OrderId(0) };
        let order = market.entry_mut(place).as_mut().ok_or(mismatch)?;
        let before = order.buy_lots();
        order.qty = order.qty.saturating_sub(lots);
        let desk = self.markets.desks.at_mut(order.desk);
        desk.buy_lots = desk.buy_lots.saturating_sub(before).saturating_add(order.buy_lots());
        Ok(order)
    }

    /// Takes so much off what rests of an order that asks for less, in its place, and releases what that held.
    pub(super) fn reduce_in_place(
        &mut self,
        place: Place,
        lots: u64,
        effects: &mut Effects<'_>,
    ) -> Result<Order, Broken> {
        let Market { definition, book, orders, .. } = self.markets.rows.at_mut(place.market);
        let mismatch = Broken::OrderMismatch { market: definition.market, order: OrderId(0) };
        let order = orders.at_mut(place.slot).as_mut().ok_or(mismatch)?;
        reduce_resting(book, definition.market, Slot(place.slot), QtyLots(lots), effects)?;
        let held = fees::worst_case(order, definition)?;
        lower_hold(&mut self.ledger, order, self.markets.desks.at(order.desk), held)?;
        let order = order.clone();
        self.markets.touch(place.market);
        Ok(order)
    }

    /// Takes a live order out of the book, or from among the armed ones.
    pub(super) fn take_out(&mut self, place: Place, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let market = self.markets.rows.at_mut(place.market);
        let mismatch = Broken::OrderMismatch { market: market.definition.market, order: OrderId(0) };
        if place.armed_row().is_some() {
            let order = market.entry(place).ok_or(mismatch)?.id;
            self.markets.disarm(place.market, order);
            return Ok(());
        }
        let resting = market.book.cancel(Slot(place.slot)).ok_or(mismatch)?;
        effects.push(removed(market.definition.market, &resting));
        self.markets.touch(place.market);
        Ok(())
    }

    /// Puts an order to where a replacement wants it: in its place if only the quantity shrank, else anew.
    fn replace_at(
        &mut self,
        place: Place,
        cl_ord_id: &ClOrdId,
        replacement: &Replacement,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        let market = self.markets.rows.at_mut(place.market);
        let id = market.definition.market;
        let missing = Broken::OrderMismatch { market: id, order: OrderId(0) };
        let before = market.entry(place).ok_or(missing)?;
        let (order, side, desk, bought) = (before.id, before.side, before.desk, before.buy_lots());
        let from = (PriceTicks(before.price), QtyLots(before.leaves()));
        let to = (PriceTicks(replacement.price), QtyLots(replacement.qty.saturating_sub(before.cum)));
        let by = QtyLots(before.qty.saturating_sub(replacement.qty));
        let (is_apart, is_iceberg, slot) = (is_apart(before), before.is_iceberg(), Slot(place.slot));
        let moved = |action, (price_ticks, qty_lots)| BookChanged {
            market: id,
            order,
            side,
            action,
            price_ticks,
            qty_lots,
        };
        let added = if is_apart {
            None
        } else if replacement.keeps_place {
            reduce_resting(&mut market.book, id, slot, by, effects)?;
            None
        } else if !is_iceberg && market.book.relocate(slot, to.0, to.1).is_ok() {
            effects.push(moved(BookAction::Removed, from));
            Some(moved(BookAction::Added, to))
        } else {
            return self.enter_anew(place, cl_ord_id, replacement, effects);
        };
        if let Some(amended) = &replacement.amended {
            self.markets.amend(place, amended).ok_or(missing)?;
        }
        let market = self.markets.rows.at_mut(place.market);
        let next = market.entry_mut(place).as_mut().ok_or(missing)?;
        let orig_cl_ord_id = replacement.apply(next, cl_ord_id);
        let wanted = next.buy_lots();
        if next.limit_of_peg().is_some() {
            market.note_peg(place);
        }
        let desk = self.markets.desks.at_mut(desk);
        desk.buy_lots = desk.buy_lots.saturating_sub(bought).saturating_add(wanted);
        let account = self.ledger.id(desk.paying_account(side));
        self.markets.touch(place.market);
        let next = self.markets.order(place).ok_or(missing)?;
        let session = next.session;
        // Both have just been written: read together, as they lie, they would be waited for.
        let (price_ticks, qty_lots) = (PriceTicks(replacement.price), QtyLots(replacement.qty));
        let report = self.report_replaced(place.market, next, orig_cl_ord_id);
        let report = ExecutionReport { price_ticks, qty_lots, ..report };
        self.sessions.rows.at_mut(session).send(effects, report);
        effects.push(HoldChanged { order, account, held: Amount(replacement.held) });
        if let Some(added) = added {
            effects.push(added);
        }
        Ok(())
    }

    /// What trades, finds no room or shows a slice of itself leaves the book and enters anew.
    fn enter_anew(
        &mut self,
        place: Place,
        cl_ord_id: &ClOrdId,
        replacement: &Replacement,
        effects: &mut Effects<'_>,
    ) -> Result<(), Broken> {
        self.take_out(place, effects)?;
        let market = self.markets.rows.at(place.market);
        let missing = Broken::OrderMismatch { market: market.definition.market, order: OrderId(0) };
        let mut next = market.entry(place).cloned().ok_or(missing)?;
        self.unlink(place, &next)?;
        let orig_cl_ord_id = replacement.apply(&mut next, cl_ord_id);
        let report = self.report_replaced(place.market, &next, orig_cl_ord_id);
        self.sessions.rows.at_mut(next.session).send(effects, report);
        if next.limit_of_peg().is_some() {
            self.place_pegged(place.market, next, effects)
        } else {
            self.execute_order(place.market, next, effects)
        }
    }

    /// Where an order stands, and how the request wants it. What that needs is held; nothing else has changed.
    fn replaced(
        &mut self,
        row: u32,
        command: &ReplaceOrder,
        found: Found,
        request: &Amendment<'_>,
        effects: &Effects<'_>,
    ) -> Result<(Place, Replacement), Stop> {
        self.check_replace(row, command, found, *request.look, effects.time)?;
        let (place, before) = self.check_found(row, found, request)?;
        ensure(command.qty_lots.0 > before.cum, RejectReason::QtyBelowFilled)?;
        let is_plain = before.order_type == OrderType::Limit
            && before.list().is_none()
            && before.next_leg_at().is_none()
            && before.quote().is_none();
        ensure(is_plain, RejectReason::UnsupportedOrder)?;
        let amended = match command.terms.get() {
            Some(said) => Some(terms::amended(before, said, effects.time)?),
            None => None,
        };
        rules::ensure_amendable(before, self.markets.rows.at(place.market))?;
        let (limit, qty) = (command.price_ticks, command.qty_lots.0);
        let stays = keeps_place(before, limit, qty);
        // What enters anew enters under today's schedule.
        let (before_rates, desk) = (before.rates, before.desk);
        let rates = if stays { before_rates } else { self.markets.rates(desk, effects) };
        let market = self.markets.rows.at(place.market);
        let before = market.entry(place).ok_or(RejectReason::UnknownOrder)?;
        let mut price = before.price_within(limit);
        if !stays {
            price = terms::keep_from_taking(before, price, market)?;
            price = pegs::follow(before, (price, limit), market);
        }
        let is_pegged = before.limit_of_peg().is_some();
        // One that slides may come to stand where it stood.
        let keeps_place = stays || !is_pegged && keeps_place(before, PriceTicks(price), qty);
        let worst = if is_pegged { limit.0 } else { price };
        let leaves = qty.saturating_sub(before.cum);
        terms::check_display(before, QtyLots(leaves))?;
        let desk = self.markets.desks.at(desk);
        let more = leaves.saturating_sub(before.leaves());
        rules::ensure_position(market, (desk, before.side), more, &self.ledger)?;
        self.ledger.ensure_open(desk.paying_account(before.side.opposite()))?;
        let held = fees::worst_case_at(before, (worst, leaves), rates, &market.definition)?;
        self.ledger.change_hold(desk.paying_account(before.side), before.held, held)?;
        Ok((place, Replacement { limit, price, qty, held, rates, keeps_place, amended }))
    }

    /// The checks of a replace that need no order.
    fn check_replace(
        &self,
        row: u32,
        command: &ReplaceOrder,
        found: Found,
        look: Look,
        time: UnixNanos,
    ) -> Result<(), Stop> {
        let session = self.sessions.rows.at(row);
        self.registry.entitle(session.definition.actor, roles::TRADER)?;
        ensure_field(!command.cl_ord_id.is_empty(), "cl_ord_id")?;
        let is_used = look.used.is_some();
        ensure(is_used || !session.ids.is_full(), RejectReason::TableFull)?;
        let market = self.market_named(command.market, found).ok_or(RejectReason::UnknownMarket)?;
        ensure(!is_used, RejectReason::DuplicateClOrdId)?;
        let (side, price) = (command.side, command.price_ticks);
        self.check_change(row, market, (price, command.qty_lots))?;
        // An armed order is judged when it fires, by the prices of then.
        let judged = rules::ensure_in_band(market, (side, OrderType::Limit, price), time);
        Ok(judged.or_else(|refusal| if self.is_armed(found) { Ok(()) } else { Err(refusal) })?)
    }

    fn is_armed(&self, found: Found) -> bool {
        matches!(found, Found::Live(place) if self.markets.order(place).is_some_and(Order::is_armed))
    }

    /// What a market asks of an order that changes its price or quantity without being a new one, but for its bands.
    #[inline(always)]
    pub(super) fn check_change(
        &self,
        row: u32,
        market: &Market,
        (price, qty): (PriceTicks, QtyLots),
    ) -> Result<(), Stop> {
        let session = self.sessions.rows.at(row);
        let definition = &market.definition;
        ensure(phases::takes_replacements(market), RejectReason::MarketClosed)?;
        if session.is_protected {
            self.protections.ensure_ready((session.definition.session, definition.market))?;
        }
        ensure(price_in_range(definition, price), RejectReason::PriceOutOfRange)?;
        let in_range = definition.qty_lots_min <= qty && qty <= definition.qty_lots_max;
        ensure(in_range, RejectReason::QtyOutOfRange)?;
        ensure(notional_in_range(definition, price, qty), RejectReason::NotionalOutOfRange)
    }

    /// The market that a request names: mostly that of the order found, which needs not be looked for.
    #[inline(always)]
    fn market_named(&self, market: MarketId, found: Found) -> Option<&Market> {
        let of_order = match found {
            Found::Live(place) => Some(self.markets.rows.at(place.market)),
            Found::Ended(_) | Found::Unknown => None,
        };
        let of_order = of_order.filter(|row| row.definition.market == market);
        of_order.or_else(|| self.markets.row(market).map(|row| self.markets.rows.at(row)))
    }

    /// Where the live order is that a request's ids lead to, by its latest ClOrdID, with the symbol and side that it says.
    #[inline(always)]
    fn check_found(&self, row: u32, found: Found, request: &Amendment<'_>) -> Result<(Place, &Order), Stop> {
        let place = match found {
            Found::Live(place) => place,
            Found::Ended(ended) => {
                let is_refused = self.sessions.rows.at(row).ids.ended(ended).status == OrderStatus::Rejected;
                let reason = if is_refused { RejectReason::UnknownOrder } else { RejectReason::TooLate };
                return Err(reason.into());
            }
            Found::Unknown => return Err(RejectReason::UnknownOrder.into()),
        };
        let order = self.markets.order(place).ok_or(RejectReason::UnknownOrder)?;
        let is_latest = request.orig_cl_ord_id.is_empty() || *request.orig_cl_ord_id == order.cl_ord_id;
        ensure(is_latest, RejectReason::UnknownOrder)?;
        let market = self.markets.rows.at(place.market).definition.market;
        let is_same = market == request.market
            && order.side == request.side
            && request.order.is_none_or(|named| named == order.id);
        ensure(is_same, RejectReason::OrderMismatch)?;
        Ok((place, order))
    }

    /// Remembers the ClOrdID of a request that has been granted, and which order it concerned.
    #[inline(always)]
    fn remember_request(&mut self, row: u32, request: &Amendment<'_>, place: Place) {
        let order = request.order.or_else(|| self.markets.order(place).map(|order| order.id));
        let order = order.unwrap_or(OrderId(0));
        self.remember_id(row, *request.look, request.cl_ord_id, order, request.market);
    }

    /// Remembers the ClOrdID of a request that is refused, and reports that. Returns the refusal.
    #[cold]
    fn refuse_request(
        &mut self,
        row: u32,
        request: &Amendment<'_>,
        found: Found,
        stop: Stop,
        effects: &mut Effects<'_>,
    ) -> Stop {
        let unknown = (OrderId(0), OrderStatus::Rejected, request.market);
        let (order, status, market) = match found {
            Found::Live(place) => self.markets.order(place).map_or(unknown, |order| {
                let market = self.markets.rows.at(place.market).definition.market;
                (order.id, reports::live_status(order), market)
            }),
            Found::Ended(ended) => {
                let ended = self.sessions.rows.at(row).ids.ended(ended);
                (ended.order, ended.status, ended.market)
            }
            Found::Unknown => unknown,
        };
        self.remember_id(row, *request.look, request.cl_ord_id, order, market);
        if let Stop::Refused(refusal) = stop {
            let is_refused = status == OrderStatus::Rejected;
            let rejected = CancelRejected {
                order: if is_refused { OrderId(0) } else { order },
                cl_ord_id: *request.cl_ord_id,
                orig_cl_ord_id: *request.orig_cl_ord_id,
                status,
                response_to: request.response_to,
                reason: refusal.reason,
            };
            self.sessions.rows.at_mut(row).send(effects, rejected);
        }
        stop
    }

    /// What a session's ids lead to: by ClOrdID where there is one, else by OrderID in the market named.
    #[inline(always)]
    fn find(&mut self, row: u32, cl_ord_id: &ClOrdId, order: Option<OrderId>, market: MarketId) -> Found {
        // Who names a live order and its latest ClOrdID means that one: the ids, which fill no cache, need not be asked.
        let named = order.and_then(|order| self.live(row, market, order));
        if let Some((place, _)) = named.filter(|(_, order)| order.cl_ord_id == *cl_ord_id) {
            return Found::Live(place);
        }
        self.find_by_id(row, cl_ord_id, order, market)
    }

    fn find_by_id(
        &mut self,
        row: u32,
        cl_ord_id: &ClOrdId,
        order: Option<OrderId>,
        market: MarketId,
    ) -> Found {
        // Those of quotes are not among the ids, whatever they are called.
        let ids = &mut self.sessions.rows.at_mut(row).ids;
        let ended = order.and_then(|order| ids.find_ended(order));
        if let Some(ended) = ended.filter(|&ended| ids.ended(ended).cl_ord_id == *cl_ord_id) {
            return Found::Ended(ended);
        }
        let (order, market) = if cl_ord_id.is_empty() {
            let Some(order) = order else { return Found::Unknown };
            (order, market)
        } else {
            let ids = &self.sessions.rows.at(row).ids;
            let Some(used) = ids.look(cl_ord_id, self.sessions.hash_seed).used else { return Found::Unknown };
            (used.order, used.market)
        };
        if let Some((place, _)) = self.live(row, market, order) {
            return Found::Live(place);
        }
        self.sessions.rows.at_mut(row).ids.find_ended(order).map_or(Found::Unknown, Found::Ended)
    }

    /// A live order of a session.
    #[inline(always)]
    fn live(&self, row: u32, market: MarketId, order: OrderId) -> Option<(Place, &Order)> {
        let place = self.markets.place(self.markets.row(market)?, order)?;
        let order = self.markets.order(place).filter(|order| order.session == row)?;
        Some((place, order))
    }
}

fn check_id(request: &Amendment<'_>) -> Result<(), Stop> {
    ensure_field(!request.cl_ord_id.is_empty(), "cl_ord_id")?;
    ensure(request.look.used.is_none(), RejectReason::DuplicateClOrdId)
}

/// The same price, of a pegged one the same limit, and less of it keeps an order's place; what stands apart has none that it could lose.
fn keeps_place(before: &Order, limit: PriceTicks, qty: u64) -> bool {
    is_apart(before) || before.limit() == limit.0 && qty < before.qty
}

/// Whether an order stands among the armed ones.
fn is_apart(order: &Order) -> bool {
    order.is_armed() || order.is_parked()
}

/// Takes so much off a resting order, which keeps its place, and says what that changes of the visible book.
pub(super) fn reduce_resting(
    book: &mut Book,
    market: MarketId,
    slot: Slot,
    by: QtyLots,
    effects: &mut Effects<'_>,
) -> Result<(), Broken> {
    let mismatch = Broken::OrderMismatch { market, order: OrderId(0) };
    let before = book.order(slot).ok_or(mismatch)?;
    book.reduce(slot, by).map_err(|refusal| Broken::BookRefused { market, refusal })?;
    let after = book.order(slot).ok_or(mismatch)?;
    if after.visible() != before.visible() {
        effects.push(BookChanged {
            market,
            order: after.id,
            side: after.side,
            action: BookAction::Reduced,
            price_ticks: after.price,
            qty_lots: after.visible(),
        });
    }
    Ok(())
}

/// What the book says of an order that left it, or leaves its place.
pub(super) fn removed(market: MarketId, resting: &Resting) -> BookChanged {
    BookChanged {
        market,
        order: resting.id,
        side: resting.side,
        action: BookAction::Removed,
        price_ticks: resting.price,
        qty_lots: resting.visible(),
    }
}

fn unknown_order(cl_ord_id: ClOrdId, client: Option<ClientId>, market: MarketId, side: Side) -> Finished {
    Finished {
        order: OrderId(0),
        cl_ord_id,
        client: client.unwrap_or(ClientId(0)),
        market,
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::GoodTillCancel,
        status: OrderStatus::Rejected,
        reason: Some(RejectReason::UnknownOrder),
        price: PriceTicks(0).0,
        qty: 0,
        cum: 0,
        cum_ticks_lots: 0,
    }
}
