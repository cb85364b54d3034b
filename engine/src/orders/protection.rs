//! Market maker protection: when a session's resting orders in a market were filled too often, or too much, in a short time, all its
//! orders there are pulled, and none is taken until it says that it is ready again.
//!
//! Fills are counted where they happen; orders are pulled behind the command, before anything else: not in the middle of a sweep, whose
//! taker was told what it would find. A session without protection pays a flag for each of its fills.

use std::collections::{BTreeMap, VecDeque};

use protocol::commands::{DefineSession, SetCancelAllAfter, SetMarketMakerProtection, roles};
use protocol::events::{CancelAllAfterSet, MarketMakerProtectionSet, QuotesPulled};
use protocol::limits::{PROTECTION_FILLS_MAX, PROTECTION_WINDOW_MAX_MS};
use protocol::time::NANOS_PER_MILLI;
use protocol::{MarketId, QtyLots, RejectReason, SessionId, UnixNanos};

use crate::broken::{Broken, Stop, ensure, ensure_field, refusal_of};
use crate::effects::Effects;
use crate::engine::Engine;

/// What a session may have filled in a market, and what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    pub(crate) fills_max: u32,
    /// 0 = any quantity.
    pub(crate) lots_max: QtyLots,
    pub(crate) window_ms: u32,
    /// (when, lots), the oldest first.
    pub(crate) fills: VecDeque<(UnixNanos, QtyLots)>,
    /// Whether that was too much: nothing is taken until it is set again.
    pub(crate) has_tripped: bool,
}

impl Protection {
    /// Counts a fill of one that has not tripped; true where it is the one too many.
    fn count(&mut self, time: UnixNanos, lots: QtyLots) -> bool {
        let window = u64::from(self.window_ms).saturating_mul(NANOS_PER_MILLI);
        while self.fills.front().is_some_and(|(at, _)| at.plus(window) < time) {
            self.fills.pop_front();
        }
        self.fills.push_back((time, lots));
        let fills = u32::try_from(self.fills.len()).unwrap_or(u32::MAX);
        let is_too_much = self.lots_max.0 > 0 && self.lots() >= u128::from(self.lots_max.0);
        self.has_tripped = is_too_much || fills >= self.fills_max;
        self.has_tripped
    }

    /// Of the fills in the window.
    fn lots(&self) -> u128 {
        self.fills.iter().fold(0, |sum: u128, (_, lots)| sum.saturating_add(lots.0.into()))
    }
}

/// By session and market, and of which orders are to be pulled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protections {
    pub(crate) of: BTreeMap<(SessionId, MarketId), Protection>,
    /// In the order in which they tripped.
    pub(crate) due: VecDeque<(SessionId, MarketId)>,
}

impl Protections {
    /// Counts a fill of a resting order.
    pub(super) fn note_fill(&mut self, key: (SessionId, MarketId), time: UnixNanos, lots: QtyLots) {
        if self
            .of
            .get_mut(&key)
            .is_some_and(|protection| !protection.has_tripped && protection.count(time, lots))
        {
            self.due.push_back(key);
        }
    }

    /// Refuses an order of a session whose orders were pulled.
    pub(super) fn ensure_ready(&self, key: (SessionId, MarketId)) -> Result<(), Stop> {
        let has_tripped = self.of.get(&key).is_some_and(|protection| protection.has_tripped);
        ensure(!has_tripped, RejectReason::MarketMakerProtection)
    }
}

impl Engine {
    /// Sets it, and tells the session that asks.
    pub(crate) fn set_protection(
        &mut self,
        row: u32,
        command: &SetMarketMakerProtection,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetMarketMakerProtection { request_id, session, market, fills_max, lots_max, window_ms } =
            command;
        let session = session.unwrap_or(self.sessions.rows.at(row).definition.session);
        let outcome = self.protect(row, session, command);
        let refusal = refusal_of(&outcome);
        let set =
            MarketMakerProtectionSet { request_id, session, market, fills_max, lots_max, window_ms, refusal };
        self.sessions.rows.at_mut(row).send(effects, set);
        outcome
    }

    fn protect(
        &mut self,
        row: u32,
        session: SessionId,
        command: &SetMarketMakerProtection,
    ) -> Result<(), Stop> {
        let &SetMarketMakerProtection { market, fills_max, lots_max, window_ms, .. } = command;
        let DefineSession { session: own, actor, .. } = self.sessions.rows.at(row).definition;
        // Of its own a trader may say it, of others an administrator.
        self.registry.entitle(actor, if session == own { roles::TRADER } else { roles::ADMIN })?;
        ensure_field(fills_max <= PROTECTION_FILLS_MAX, "fills_max")?;
        let has_bound = fills_max > 0 || lots_max.0 == 0;
        ensure_field(has_bound, "fills_max")?;
        let in_range =
            if fills_max == 0 { window_ms == 0 } else { (1..=PROTECTION_WINDOW_MAX_MS).contains(&window_ms) };
        ensure_field(in_range, "window_ms")?;
        let of = self.sessions.row(session).ok_or(RejectReason::UnknownSession)?;
        self.markets.row(market).ok_or(RejectReason::UnknownMarket)?;
        let key = (session, market);
        self.protections.due.retain(|due| *due != key);
        if fills_max == 0 {
            self.protections.of.remove(&key);
        } else {
            let (fills, has_tripped) = (VecDeque::new(), false);
            let protection = Protection { fills_max, lots_max, window_ms, fills, has_tripped };
            self.protections.of.insert(key, protection);
        }
        let mut others = self.protections.of.range((session, MarketId(0))..=(session, MarketId(u32::MAX)));
        self.sessions.rows.at_mut(of).is_protected = others.next().is_some();
        Ok(())
    }

    /// Sets after which time all orders of a session are cancelled, and tells it.
    pub(crate) fn set_cancel_all_after(
        &mut self,
        row: u32,
        command: &SetCancelAllAfter,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetCancelAllAfter { request_id, timeout_ms } = command;
        let actor = self.sessions.rows.at(row).definition.actor;
        let entitled = self.registry.entitle(actor, roles::TRADER);
        let outcome = entitled.and_then(|()| self.sessions.cancel_all_after(row, timeout_ms, effects.time));
        let set = CancelAllAfterSet { request_id, timeout_ms, refusal: refusal_of(&outcome) };
        self.sessions.rows.at_mut(row).send(effects, set);
        outcome
    }

    /// Pulls the orders of the session whose protection tripped first.
    pub(crate) fn pull_quotes(&mut self, effects: &mut Effects<'_>) -> Result<(), Broken> {
        let Some(key) = self.protections.due.pop_front() else { return Ok(()) };
        let (session, market) = key;
        let missing = Broken::Index { what: "protections" };
        let row = self.sessions.row(session).ok_or(missing)?;
        let of = self.markets.row(market).ok_or(missing)?;
        let protection = self.protections.of.get(&key).ok_or(missing)?;
        let fills = u32::try_from(protection.fills.len()).unwrap_or(u32::MAX);
        let lots = protection.lots();
        effects.push(QuotesPulled { session, market, fills, lots });
        let places = self.places_of(row, |_, place| place.market == of)?;
        self.cancel_places(places, RejectReason::MarketMakerProtection, effects)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_counts_until_its_window_is_over() {
        let mut protection = Protection {
            fills_max: 2,
            lots_max: QtyLots(0),
            window_ms: 1_000,
            fills: VecDeque::new(),
            has_tripped: false,
        };
        let second = 1_000 * NANOS_PER_MILLI;
        assert!(!protection.count(UnixNanos(5), QtyLots(1)));
        assert!(!protection.clone().count(UnixNanos(6 + second), QtyLots(1)), "the first one is forgotten");
        assert!(protection.count(UnixNanos(5 + second), QtyLots(1)));
        protection.fills_max = 9;
        (protection.lots_max, protection.has_tripped) = (QtyLots(4), false);
        assert!(!protection.count(UnixNanos(5 + second), QtyLots(1)));
        assert!(protection.count(UnixNanos(5 + second), QtyLots(1)));
    }
}
