//! Orders that leave many at a time, or to make room for another one.

use protocol::CancelReplaceMode;
use protocol::RejectReason::{self, *};
use protocol::commands::{CancelReplaceOrder, MassCancel};

use super::{Model, ModelOrder};

impl Model {
    pub(crate) fn cancel_replace(
        &mut self,
        id: u64,
        client: u64,
        command: &CancelReplaceOrder,
    ) -> Option<RejectReason> {
        let refusal = self.cancel(client, &command.cancel);
        if refusal.is_some() && command.mode == CancelReplaceMode::StopOnFailure {
            self.remember(client, &command.order.cl_ord_id.to_string(), id);
            return refusal;
        }
        self.new_order(id, client, &command.order)
    }

    pub(crate) fn mass_cancel(&mut self, client: u64, command: &MassCancel) -> Option<RejectReason> {
        self.roll(client, None);
        let cl_ord_id = command.cl_ord_id.to_string();
        if command.client.is_some_and(|other| other.0 != client) {
            self.remember(client, &cl_ord_id, 0);
            return Some(ClientNotEntitled);
        }
        if self.used_for(client, &cl_ord_id).is_some() {
            return Some(DuplicateClOrdId);
        }
        self.remember(client, &cl_ord_id, 0);
        let is_meant = |order: &ModelOrder| {
            order.client == client
                && command.market.is_none_or(|market| market.0 == order.market)
                && command.side.is_none_or(|side| side == order.side)
        };
        let mut meant: Vec<ModelOrder> = self.live.iter().filter(|o| is_meant(o)).cloned().collect();
        meant.sort_by_key(|order| order.id.rotate_left(8));
        self.live.retain(|order| !is_meant(order));
        meant.iter().for_each(|order| self.end(client, order.id));
        None
    }
}
