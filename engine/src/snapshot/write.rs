//! Writing: every table in the order of its ids.

use protocol::commands::SetApprovals;
use protocol::hash::{Hash, blake3};
use protocol::{Command, OrderId, RejectReason, Side};

use super::bytes::Writer;
use crate::engine::Engine;
use crate::fees::volume::PastVolume;
use crate::markets::{Desk, IndexPrice, Market, Order, Place};
use crate::matching::Reserve;
use crate::orders::lists::Ended;
use crate::orders::pegs::Round;
use crate::orders::phases::{Phases, Uncrossing};
use crate::orders::schedule::PhaseSchedule;
use crate::orders::terms::Terms;
use crate::orders::volatility::PriceWindow;
use crate::sessions::Session;
use crate::sessions::cl_ord_ids::Finished;

/// Version of the layout.
pub(super) const SNAPSHOT_VERSION: u8 = 1;

/// A part of the state: its name, and how it is written.
type Part = (&'static str, fn(&Engine, &mut Writer<'_>));

/// All parts, in the order of their bytes.
const PARTS: [Part; 21] = [
    ("clock", Engine::write_clock),
    ("registry", Engine::write_registry),
    ("approvals", Engine::write_approvals),
    ("chart of accounts", Engine::write_chart),
    ("accounts", Engine::write_accounts),
    ("calendar", Engine::write_calendar),
    ("overdrafts", Engine::write_overdrafts),
    ("corrected transfers", Engine::write_corrections),
    ("transfers", Engine::write_transfers),
    ("pending transfers", Engine::write_pendings),
    ("quotes", Engine::write_quotes),
    ("standing orders", Engine::write_standing_orders),
    ("monitors", Engine::write_monitors),
    ("gateways", Engine::write_gateways),
    ("sessions and their timers", Engine::write_sessions),
    ("trade groups", Engine::write_trade_groups),
    ("busted trades", Engine::write_busted),
    ("fee groups", Engine::write_fee_groups),
    ("orders", Engine::write_markets),
    ("order lists", Engine::write_lists),
    ("market maker protection", Engine::write_protections),
];

impl Engine {
    /// Appends the canonical bytes of the state to `out`.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        for (_, write) in PARTS {
            write(self, &mut Writer(out));
        }
    }

    /// As [`Self::snapshot`]; returns the hash of each part under its name, in the order of the bytes: says what differs between two.
    pub fn snapshot_in_parts(&self, out: &mut Vec<u8>) -> Vec<(&'static str, Hash)> {
        let part = |(name, write): Part| {
            let from = out.len();
            write(self, &mut Writer(out));
            (name, blake3(&[out.get(from..).unwrap_or_default()]))
        };
        PARTS.into_iter().map(part).collect()
    }

    /// The hashes of [`Self::snapshot_in_parts`] alone.
    #[must_use]
    pub fn part_hashes(&self) -> Vec<(&'static str, Hash)> {
        self.snapshot_in_parts(&mut Vec::new())
    }

    /// Names of the parts, in the order of [`Self::part_hashes`].
    pub fn part_names(&self) -> impl Iterator<Item = &'static str> {
        PARTS.into_iter().map(|(name, _)| name)
    }

    fn write_clock(&self, w: &mut Writer<'_>) {
        w.u8(SNAPSHOT_VERSION);
        w.u64(self.seq.0);
        w.u64(self.time.0);
        w.u64(self.trades);
    }

    fn write_gateways(&self, w: &mut Writer<'_>) {
        w.count(self.gateways.len());
        for (id, gateway) in &self.gateways {
            w.u32(id.0);
            w.u64(gateway.instance);
            w.u64(gateway.next);
        }
    }

    fn write_sessions(&self, w: &mut Writer<'_>) {
        let sessions = self.sessions.rows.sorted_by_key(|session| session.definition.session);
        w.count(sessions.len());
        for session in sessions {
            write_session(w, session);
        }
    }

    fn write_busted(&self, w: &mut Writer<'_>) {
        w.count(self.busted.len());
        self.busted.iter().for_each(|trade| w.u64(trade.0));
    }

    fn write_fee_groups(&self, w: &mut Writer<'_>) {
        let groups = &self.markets.fees.groups;
        w.count(groups.len());
        for (client, group) in groups {
            w.u64(client.0);
            w.u16(group.0);
        }
    }

    fn write_markets(&self, w: &mut Writer<'_>) {
        let mut markets: Vec<u32> = self.markets.rows.numbers().collect();
        markets.sort_unstable_by_key(|&row| self.markets.rows.at(row).definition.market);
        w.count(markets.len());
        for row in markets {
            self.write_market(w, row);
        }
    }

    fn write_registry(&self, w: &mut Writer<'_>) {
        let registry = &self.registry;
        w.flag(registry.genesis.is_some());
        if let Some(genesis) = &registry.genesis {
            w.command(&Command::Genesis(genesis.clone()));
        }
        w.u64(registry.term.0);
        w.count(registry.actors.len());
        for (id, actor) in &registry.actors {
            w.u32(id.0);
            w.u32(actor.roles);
            w.flag(actor.key.is_some());
            if let Some(key) = actor.key {
                key.0.into_iter().for_each(|byte| w.u8(byte));
            }
        }
        w.count(registry.assets.len());
        for asset in registry.assets.values() {
            w.command(&Command::DefineAsset(asset.clone()));
        }
    }

    fn write_approvals(&self, w: &mut Writer<'_>) {
        w.command(&SetApprovals { kinds: self.approvals.kinds.iter().copied().collect() }.into());
        w.count(self.approvals.open.len());
        for (id, proposal) in &self.approvals.open {
            w.u64(id.0);
            w.u32(proposal.actor.0);
            w.proposed(&proposal.command);
            w.flag(proposal.before.is_some());
            proposal.before.iter().for_each(|before| w.proposed(before));
            w.u64(proposal.expires_at.0);
            w.text(&proposal.note);
        }
    }

    fn write_market(&self, w: &mut Writer<'_>, row: u32) {
        let Market {
            definition,
            phase,
            phases,
            rules,
            index,
            schedule,
            window,
            schedules,
            book,
            armed,
            pegs,
            last_price,
            traded,
            ..
        } = self.markets.rows.at(row);
        w.command(&Command::DefineMarket(definition.clone()));
        w.u8(phase.code());
        w.flag(book.may_cross());
        write_phases(w, phases);
        w.flag(rules.is_some());
        if let Some(rules) = rules {
            w.command(&Command::SetTradingRules(rules.as_ref().clone()));
        }
        w.flag(index.is_some());
        if let Some(IndexPrice { price, observed_at, valid_until }) = index {
            w.u64(price.0);
            w.u64(observed_at.0);
            w.u64(valid_until.0);
        }
        write_schedule(w, schedule.as_deref());
        w.u64(phases.resumes_at.map_or(0, |at| at.0));
        window.iter().for_each(|window| write_window(w, window));
        w.count(schedules.len());
        for schedule in schedules.iter() {
            w.command(&Command::SetFeeSchedule(schedule.clone()));
        }
        self.write_volumes(w, row);
        w.count(book.len());
        for resting in book.orders() {
            if let Some(order) = self.markets.order(Place { market: row, slot: resting.slot.0 }) {
                self.write_order(w, order, resting.reserve);
            }
        }
        w.u64(*last_price);
        w.count(traded.turns().len());
        traded.turns().iter().for_each(|price| w.u64(price.0));
        w.count(armed.len());
        for (id, armed_row) in armed.iter() {
            if let Some(order) = self.markets.order(Place::armed(row, armed_row)) {
                self.write_order(w, order, None);
                let waiting = armed.triggers.get(id);
                w.u64(waiting.and_then(|armed| armed.extreme).map_or(0, |price| price.0));
            }
        }
        let due: Vec<OrderId> = armed.triggers.queue().collect();
        w.count(due.len());
        due.iter().for_each(|id| w.u64(id.0));
        w.flag(pegs.round.is_some());
        if let Some(Round { from, again }) = pegs.round {
            w.u64(from);
            w.flag(again);
        }
    }

    fn write_lists(&self, w: &mut Writer<'_>) {
        w.count(self.lists.by_id.len());
        for (id, list) in &self.lists.by_id {
            w.u64(id.0);
            w.text(&list.cl_list_id);
            w.u32(self.sessions.rows.at(list.session).definition.session.0);
            w.u32(self.markets.rows.at(list.market).definition.market.0);
            w.u8(list.contingency.code());
            w.u8(list.release.code());
            w.flag(list.is_released);
            w.count(list.legs.len());
            for leg in &list.legs {
                w.u64(leg.order.0);
                w.text(&leg.cl_ord_id);
                w.u128(leg.reserve);
                w.flag(leg.has_acted);
                w.u8(leg.ended.map_or(0, |ended| ended.status.code()));
                if let Some(Ended { status: _, qty, cum, cum_ticks_lots }) = leg.ended {
                    w.u64(qty);
                    w.u64(cum);
                    w.u128(cum_ticks_lots);
                }
            }
        }
        w.count(self.lists.due.len());
        self.lists.due.iter().for_each(|id| w.u64(id.0));
        w.count(self.lists.releasing.len());
        for (market, queue) in &self.lists.releasing {
            w.u32(market.0);
            w.count(queue.len());
            queue.iter().for_each(|id| w.u64(id.0));
        }
    }

    fn write_protections(&self, w: &mut Writer<'_>) {
        w.count(self.protections.of.len());
        for ((session, market), protection) in &self.protections.of {
            w.u32(session.0);
            w.u32(market.0);
            w.u32(protection.fills_max);
            w.u64(protection.lots_max.0);
            w.u32(protection.window_ms);
            w.flag(protection.has_tripped);
            w.count(protection.fills.len());
            for (at, lots) in &protection.fills {
                w.u64(at.0);
                w.u64(lots.0);
            }
        }
        w.count(self.protections.due.len());
        for (session, market) in &self.protections.due {
            w.u32(session.0);
            w.u32(market.0);
        }
    }

    fn write_trade_groups(&self, w: &mut Writer<'_>) {
        w.count(self.markets.trade_groups.len());
        for (client, group) in &self.markets.trade_groups {
            w.u64(client.0);
            w.u64(group.0);
        }
    }

    /// What clients traded in a market, day by day, the present one last.
    fn write_volumes(&self, w: &mut Writer<'_>, market: u32) {
        let desks = self.markets.desks.iter().zip(self.markets.past.iter());
        let has_traded = |(desk, past): &(&Desk, &PastVolume)| {
            desk.market == market && (desk.volume > 0 || !past.days().is_empty())
        };
        let mut desks: Vec<_> = desks.filter(has_traded).collect();
        desks.sort_unstable_by_key(|(desk, _)| desk.client);
        w.count(desks.len());
        for (desk, past) in desks {
            w.u64(desk.client.0);
            let today = (desk.volume > 0).then_some((desk.day, desk.volume));
            let days = past.days().iter().copied().chain(today);
            w.count(days.clone().count());
            for (day, volume) in days {
                w.u32(day);
                w.u128(volume);
            }
        }
    }

    fn write_order(&self, w: &mut Writer<'_>, order: &Order, reserve: Option<Reserve>) {
        w.u64(order.id.0);
        w.text(&order.cl_ord_id);
        w.u32(self.sessions.rows.at(order.session).definition.session.0);
        w.u64(self.markets.desks.at(order.desk).client.0);
        w.u8(order.side.code());
        w.u8(order.order_type.code());
        w.u8(order.time_in_force.code());
        w.u64(order.price);
        w.u64(order.qty);
        w.u64(order.cum);
        w.u128(order.cum_ticks_lots);
        w.u128(order.held);
        w.u32(order.fee_residue_ppb);
        w.u32(order.tax_residue);
        w.u32(order.rates.maker_ppb.cast_unsigned());
        w.u32(order.rates.taker_ppb);
        w.u32(order.rates.tax_ppm);
        w.u32(order.amendments);
        write_terms(w, order.terms.as_deref(), reserve);
    }
}

fn write_session(w: &mut Writer<'_>, session: &Session) {
    w.command(&Command::DefineSession(session.definition.clone()));
    w.u32(session.epoch.0);
    w.u32(session.generation.0);
    w.u32(session.gateway.0);
    w.u64(session.next_in);
    w.u64(session.next_out);
    w.u64(session.floor().0);
    w.flag(session.connected);
    w.u32(session.heartbeat_s);
    w.u64(session.last_heard.0);
    w.u64(session.pending_gap);
    w.flag(session.cancel_at.is_some());
    if let Some(deadline) = session.cancel_at {
        w.u64(deadline.0);
        w.flag(session.cancels_all);
    }
    w.u64(session.cancel_all_at.map_or(0, |at| at.0));
    w.u64(session.requests.highest);
    let answered = session.requests.in_window();
    w.count(answered.len());
    for request in answered {
        w.u64(request.request);
        w.u16(request.kind);
        w.u16(request.version);
        w.bytes(&request.body);
        w.u64(request.reply.effective_seq.0);
        w.u8(request.reply.refusal.map_or(0, RejectReason::code));
        w.text(&request.reply.field);
    }
    w.u64(session.ids.day);
    let used = session.ids.sorted_used();
    w.count(used.len());
    for (id, used) in used {
        w.text(&id);
        w.u64(used.order.0);
        w.u32(used.market.0);
    }
    let finished = session.ids.sorted_finished();
    w.count(finished.len());
    for finished in finished {
        write_finished(w, &finished);
    }
}

fn write_window(w: &mut Writer<'_>, window: &PriceWindow) {
    for extremes in [&window.lows, &window.highs] {
        w.count(extremes.len());
        for &(bucket, price) in extremes {
            w.u64(bucket);
            w.u64(price);
        }
    }
}

fn write_schedule(w: &mut Writer<'_>, schedule: Option<&PhaseSchedule>) {
    w.flag(schedule.is_some());
    if let Some(PhaseSchedule { definition, next, day_ends_at }) = schedule {
        w.command(&Command::SetMarketSchedule(definition.clone()));
        w.flag(next.is_some());
        if let Some((at, phase)) = next {
            w.u64(at.0);
            w.u8(phase.code());
        }
        w.u64(day_ends_at.map_or(0, |at| at.0));
    }
}

fn write_phases(w: &mut Writer<'_>, phases: &Phases) {
    w.flag(phases.uncrossing.is_some());
    if let Some(Uncrossing { to, cause, price, lots, trades, is_over }) = phases.uncrossing {
        w.u8(to.code());
        w.u8(cause.code());
        w.u64(price.map_or(0, |price| price.0));
        w.u128(lots);
        w.u32(trades);
        w.flag(is_over);
    }
    w.u64(phases.closes.0);
    w.flag(phases.indicated.is_some());
    if let Some(indicated) = &phases.indicated {
        w.u64(indicated.price_ticks.0);
        w.u128(indicated.lots);
        w.u128(indicated.surplus_lots);
        w.u8(indicated.surplus_side.map_or(0, Side::code));
    }
    w.u64(phases.indicates_at.0);
    w.flag(phases.is_indication_due);
}

/// What an order says that most do not, when it ends, and how much of it is hidden.
fn write_terms(w: &mut Writer<'_>, terms: Option<&Terms>, reserve: Option<Reserve>) {
    w.flag(terms.is_some());
    if let Some(Terms { said, expires_at, legs, list, waits, cap, quote }) = terms {
        let mut bytes = Vec::new();
        said.encode(&mut bytes);
        w.bytes(&bytes);
        w.u64(expires_at.map_or(0, |at| at.0));
        w.u64(reserve.map_or(0, |reserve| reserve.hidden.0));
        w.u16(legs.map_or(0, |legs| legs.left));
        w.u64(legs.map_or(0, |legs| legs.next_at.0));
        w.u64(list.map_or(0, |list| list.0));
        w.flag(*waits);
        w.u64(cap.map_or(0, |cap| cap.0));
        w.flag(quote.is_some());
        w.u32(quote.unwrap_or(0));
    }
}

fn write_finished(w: &mut Writer<'_>, finished: &Finished) {
    w.u64(finished.order.0);
    w.text(&finished.cl_ord_id);
    w.u64(finished.client.0);
    w.u32(finished.market.0);
    w.u8(finished.side.code());
    w.u8(finished.order_type.code());
    w.u8(finished.time_in_force.code());
    w.u8(finished.status.code());
    w.u8(finished.reason.map_or(0, RejectReason::code));
    w.u64(finished.price);
    w.u64(finished.qty);
    w.u64(finished.cum);
    w.u128(finished.cum_ticks_lots);
}
