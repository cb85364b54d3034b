//! Market maker protection: all fills ever are kept, and those in the window counted anew each time.

use protocol::RejectReason::{self, *};
use protocol::commands::SetMarketMakerProtection;

use super::{Model, ModelOrder};

#[derive(Clone, Debug)]
pub(super) struct ModelProtection {
    fills_max: u32,
    lots_max: u64,
    window: u64,
    fills: Vec<(u64, u64)>,
    tripped: bool,
}

impl Model {
    pub(crate) fn protect(
        &mut self,
        client: u64,
        command: &SetMarketMakerProtection,
    ) -> Option<RejectReason> {
        if command.fills_max == 0 && (command.lots_max.0 > 0 || command.window_ms > 0)
            || command.fills_max > 0 && command.window_ms == 0
        {
            return Some(FieldOutOfRange);
        }
        let key = (client, command.market.0);
        self.pulls.retain(|due| *due != key);
        self.protections.remove(&key);
        if command.fills_max > 0 {
            let protection = ModelProtection {
                fills_max: command.fills_max,
                lots_max: command.lots_max.0,
                window: u64::from(command.window_ms) * 1_000_000,
                fills: Vec::new(),
                tripped: false,
            };
            self.protections.insert(key, protection);
        }
        None
    }

    pub(super) fn has_tripped(&self, client: u64, market: u32) -> bool {
        self.protections.get(&(client, market)).is_some_and(|protection| protection.tripped)
    }

    pub(super) fn note_fill(&mut self, maker: &ModelOrder, lots: u64) {
        let (key, now) = ((maker.client, maker.market), self.now);
        let Some(protection) = self.protections.get_mut(&key).filter(|protection| !protection.tripped) else {
            return;
        };
        protection.fills.push((now, lots));
        let recent = protection.fills.iter().filter(|fill| fill.0 + protection.window >= now);
        let lots: u64 = recent.clone().map(|fill| fill.1).sum();
        let fills = u32::try_from(recent.count()).unwrap();
        if fills >= protection.fills_max || protection.lots_max > 0 && lots >= protection.lots_max {
            protection.tripped = true;
            self.pulls.push(key);
        }
    }

    /// Pulls the orders of one client in one market; false where nobody's are to be.
    pub(super) fn pull(&mut self) -> bool {
        if self.pulls.is_empty() {
            return false;
        }
        let (client, market) = self.pulls.remove(0);
        self.pulled += 1;
        let is_meant = |order: &ModelOrder| order.client == client && order.market == market;
        let mut meant: Vec<ModelOrder> = self.live.iter().filter(|o| is_meant(o)).cloned().collect();
        meant.sort_by_key(|order| order.id.rotate_left(8));
        self.live.retain(|order| !is_meant(order));
        meant.iter().for_each(|order| self.end(client, order.id));
        true
    }
}
