//! Execution reports, from live orders and from orders that have ended.

use protocol::commands::ClOrdId;
use protocol::events::ExecutionReport;
use protocol::terms::{OrderDetails, OrderTerms, Rare};
use protocol::{Amount, ExecType, OrderId, OrderStatus, PriceTicks, QtyLots, RejectReason, Text, TradeId};

use super::terms::Terms;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::markets::Order;
use crate::sessions::cl_ord_ids::Finished;

/// The report on an order that has ended; one that was refused has no number to show.
pub(super) fn of_finished(finished: &Finished, exec_type: ExecType) -> ExecutionReport {
    let is_refused = finished.status == OrderStatus::Rejected;
    ExecutionReport {
        order: if is_refused { OrderId(0) } else { finished.order },
        cl_ord_id: finished.cl_ord_id,
        orig_cl_ord_id: Text::EMPTY,
        client: finished.client,
        market: finished.market,
        side: finished.side,
        order_type: finished.order_type,
        time_in_force: finished.time_in_force,
        exec_type,
        status: finished.status,
        price_ticks: PriceTicks(finished.price),
        qty_lots: QtyLots(finished.qty),
        leaves_lots: QtyLots(0),
        cum_lots: QtyLots(finished.cum),
        cum_ticks_lots: finished.cum_ticks_lots,
        last_price_ticks: PriceTicks(0),
        last_qty_lots: QtyLots(0),
        trade: TradeId(0),
        liquidity: None,
        fee: Amount::ZERO,
        fee_is_paid: false,
        tax: Amount::ZERO,
        reason: finished.reason,
        details: Rare::NONE,
    }
}

/// Status of an order that is live.
pub(super) fn live_status(order: &Order) -> OrderStatus {
    if order.waits() {
        OrderStatus::PendingNew
    } else if order.cum == 0 {
        OrderStatus::New
    } else {
        OrderStatus::PartiallyFilled
    }
}

impl Engine {
    /// The report on an order at this moment, for its session.
    #[inline(always)]
    pub(super) fn report_of(
        &self,
        market: u32,
        order: &Order,
        exec_type: ExecType,
        status: OrderStatus,
    ) -> ExecutionReport {
        let is_live =
            matches!(status, OrderStatus::New | OrderStatus::PartiallyFilled | OrderStatus::PendingNew);
        ExecutionReport {
            order: order.id,
            cl_ord_id: order.cl_ord_id,
            orig_cl_ord_id: Text::EMPTY,
            client: self.markets.desks.at(order.desk).client,
            market: self.markets.rows.at(market).definition.market,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            exec_type,
            status,
            price_ticks: PriceTicks(order.price),
            qty_lots: QtyLots(order.qty),
            leaves_lots: QtyLots(if is_live { order.leaves() } else { 0 }),
            cum_lots: QtyLots(order.cum),
            cum_ticks_lots: order.cum_ticks_lots,
            last_price_ticks: PriceTicks(0),
            last_qty_lots: QtyLots(0),
            trade: TradeId(0),
            liquidity: None,
            fee: Amount::ZERO,
            fee_is_paid: false,
            tax: Amount::ZERO,
            reason: None,
            details: match &order.terms {
                Some(terms) if exec_type != ExecType::Trade => self.details(terms),
                _ => Rare::NONE,
            },
        }
    }

    /// What a report says of an order's terms.
    #[cold]
    fn details(&self, terms: &Terms) -> Rare<OrderDetails> {
        let list = terms.list.and_then(|list| self.lists.by_id.get(&list));
        let cl_list_id = list.map_or(Text::EMPTY, |list| list.cl_list_id);
        // Which orders of a market may all have, though they did not say it.
        let said = OrderTerms { self_trade_prevention: None, ..terms.said };
        OrderDetails { terms: said, cl_list_id }.into()
    }

    /// The session of an order that lives, or ended on the day of its session, and what the last report on it would say.
    pub(crate) fn last_report(&mut self, market: u32, order: OrderId) -> Option<(u32, ExecutionReport)> {
        if let Some(place) = self.markets.place(market, order) {
            let order = self.markets.order(place)?;
            let report = self.report_of(market, order, ExecType::OrderStatus, live_status(order));
            return Some((order.session, report));
        }
        let id = self.markets.rows.at(market).definition.market;
        self.sessions.rows.numbers().find_map(|row| {
            let ids = &mut self.sessions.rows.at_mut(row).ids;
            let finished = ids.find_ended(order).map(|row| ids.ended(row))?;
            (finished.market == id).then(|| (row, of_finished(&finished, ExecType::OrderStatus)))
        })
    }

    /// Sends a report on an order to its session.
    pub(super) fn report(
        &mut self,
        market: u32,
        order: &Order,
        exec_type: ExecType,
        status: OrderStatus,
        reason: Option<RejectReason>,
        effects: &mut Effects<'_>,
    ) {
        let report = ExecutionReport { reason, ..self.report_of(market, order, exec_type, status) };
        self.sessions.rows.at_mut(order.session).send(effects, report);
    }

    /// The report on an order that has been replaced, by the ClOrdID that it had before.
    #[inline(always)]
    pub(super) fn report_replaced(
        &self,
        market: u32,
        order: &Order,
        orig_cl_ord_id: ClOrdId,
    ) -> ExecutionReport {
        let report = self.report_of(market, order, ExecType::Replaced, live_status(order));
        ExecutionReport { orig_cl_ord_id, ..report }
    }

    /// Sends a report on a request that changed an order: it carries the request's ClOrdID and the one before.
    pub(super) fn report_request(
        &mut self,
        market: u32,
        order: &Order,
        (exec_type, status): (ExecType, OrderStatus),
        reason: Option<RejectReason>,
        (cl_ord_id, orig_cl_ord_id): (ClOrdId, ClOrdId),
        effects: &mut Effects<'_>,
    ) {
        let report = self.report_of(market, order, exec_type, status);
        let report = ExecutionReport { reason, cl_ord_id, orig_cl_ord_id, ..report };
        self.sessions.rows.at_mut(order.session).send(effects, report);
    }
}
