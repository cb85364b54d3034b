//! Reading: every field checked, nothing allocated by a count that was read, the whole state checked at the end.

use std::collections::{BTreeSet, VecDeque};

use protocol::commands::{DefineSession, SetApprovals, SetTradingRules};
use protocol::events::AuctionIndicated;
use protocol::limits::{
    ACCOUNTS_MAX, ACTORS_MAX, ASSETS_MAX, BOOK_ORDERS_MAX, BUSTED_TRADES_MAX, FEE_GROUP_CLIENTS_MAX,
    FEE_VOLUME_DAYS, GATEWAYS_MAX, MARKET_FEE_SCHEDULES_MAX, MARKETS_MAX, PROPOSALS_MAX,
    PROTECTION_FILLS_MAX, REQUEST_WINDOW, SESSION_CL_ORD_IDS_MAX, SESSIONS_MAX, TRADE_GROUP_CLIENTS_MAX,
};
use protocol::limits::{ARMED_ORDERS_MAX, ORDER_LISTS_MAX, VOLATILITY_BUCKETS};
use protocol::sign::PublicKey;
use protocol::terms::OrderTerms;
use protocol::{
    ActorId, ClientId, Command, Contingency, FeeGroupId, GatewayId, Generation, ListRelease, MarketId,
    MarketPhase, OrderId, OrderListId, OrderStatus, OrderType, PhaseCause, PriceTicks, ProposalId, QtyLots,
    RejectReason, Seq, SessionEpoch, SessionId, Side, Term, TimeInForce, TradeGroupId, TradeId, UnixNanos,
};

use super::bytes::{Reader, SnapshotFault};
use super::write::SNAPSHOT_VERSION;
use crate::approvals::Proposal;
use crate::engine::Engine;
use crate::fees::Rates;
use crate::gateways::Gateway;
use crate::markets::{IndexPrice, Market, Order, Place, fee_accounts};
use crate::matching::triggers::Armed;
use crate::matching::{PricePath, Reserve, Resting, Slot, TURNS_MAX};
use crate::orders::lists::{Ended, Leg, OrderList};
use crate::orders::pegs::Round;
use crate::orders::phases::{Phases, Uncrossing};
use crate::orders::protection::Protection;
use crate::orders::schedule::PhaseSchedule;
use crate::orders::terms::Terms;
use crate::orders::twap::Legs;
use crate::orders::volatility::{PriceWindow, is_watched};
use crate::registry::Actor;
use crate::sessions::Session;
use crate::sessions::cl_ord_ids::Finished;
use crate::sessions::requests::{Answered, Reply};

pub(super) fn field(condition: bool, name: &'static str) -> Result<(), SnapshotFault> {
    if condition { Ok(()) } else { Err(SnapshotFault::Field(name)) }
}

impl Engine {
    /// The state whose [`Engine::snapshot`] wrote `bytes`.
    ///
    /// # Errors
    /// [`SnapshotFault`] for anything else; damaged bytes never panic.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotFault> {
        let mut reader = Reader(bytes);
        let r = &mut reader;
        let version = r.u8()?;
        if version != SNAPSHOT_VERSION {
            return Err(SnapshotFault::Version(version));
        }
        let mut engine = Self::new();
        engine.seq = Seq(r.u64()?);
        engine.time = UnixNanos(r.u64()?);
        engine.trades = r.u64()?;
        engine.read_registry(r)?;
        engine.read_approvals(r)?;
        engine.read_chart(r)?;
        engine.read_accounts(r)?;
        engine.read_calendar(r)?;
        engine.read_overdrafts(r)?;
        engine.read_corrections(r)?;
        engine.read_transfers(r)?;
        engine.read_pendings(r)?;
        engine.read_quotes(r)?;
        engine.read_standing_orders(r)?;
        engine.read_monitors(r)?;
        r.list("gateways", usize::try_from(GATEWAYS_MAX).unwrap_or(usize::MAX), |r| {
            let (id, instance, next) = (GatewayId(r.u32()?), r.u64()?, r.u64()?);
            field(id.is_process() && next > 0, "gateways")?;
            engine.gateways.insert(id, Gateway { instance, next });
            Ok(id)
        })?;
        r.list("sessions", SESSIONS_MAX, |r| engine.read_session(r))?;
        r.list("trade groups", TRADE_GROUP_CLIENTS_MAX, |r| {
            let (client, group) = (ClientId(r.u64()?), TradeGroupId(r.u64()?));
            field(client.0 > 0 && group.0 > 0, "trade groups")?;
            engine.markets.trade_groups.insert(client, group);
            Ok(client)
        })?;
        r.list("busted trades", BUSTED_TRADES_MAX, |r| {
            let trade = TradeId(r.u64()?);
            engine.busted.insert(trade);
            Ok(trade)
        })?;
        r.list("fee groups", FEE_GROUP_CLIENTS_MAX, |r| {
            let (client, group) = (ClientId(r.u64()?), FeeGroupId(r.u16()?));
            engine.markets.fees.groups.insert(client, group);
            Ok(client)
        })?;
        r.list("markets", MARKETS_MAX, |r| engine.read_market(r))?;
        engine.read_lists(r)?;
        engine.read_protections(r)?;
        engine.markets.change_fees(engine.seq);
        if !reader.0.is_empty() {
            return Err(SnapshotFault::Trailing(reader.0.len()));
        }
        engine.check_invariants().map_err(SnapshotFault::Broken)?;
        Ok(engine)
    }

    fn read_registry(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        if r.flag("genesis")? {
            let Command::Genesis(genesis) = r.command("genesis")? else {
                return Err(SnapshotFault::Field("genesis"));
            };
            self.sessions.seed(&genesis);
            self.ledger.seed(self.sessions.hash_seed);
            self.registry.genesis = Some(genesis);
        }
        self.registry.term = Term(r.u64()?);
        r.list("actors", ACTORS_MAX, |r| {
            let (id, roles) = (ActorId(r.u32()?), r.u32()?);
            let key = if r.flag("actors")? { Some(PublicKey(r.array()?)) } else { None };
            self.registry.actors.insert(id, Actor { roles, key });
            Ok(id)
        })?;
        r.list("assets", ASSETS_MAX, |r| {
            let Command::DefineAsset(asset) = r.command("assets")? else {
                return Err(SnapshotFault::Field("assets"));
            };
            let id = asset.asset;
            self.registry.assets.insert(id, asset);
            Ok(id)
        })
    }

    fn read_approvals(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let Command::SetApprovals(SetApprovals { kinds }) = r.command("approvals")? else {
            return Err(SnapshotFault::Field("approvals"));
        };
        self.approvals.kinds = kinds.iter().copied().collect();
        field(self.approvals.kinds.iter().eq(&kinds), "approvals")?;
        r.list("proposals", PROPOSALS_MAX, |r| {
            let (id, actor, command) = (ProposalId(r.u64()?), ActorId(r.u32()?), r.proposed()?);
            let before = if r.flag("proposals")? { Some(r.proposed()?) } else { None };
            let (expires_at, note) = (UnixNanos(r.u64()?), r.text("note")?);
            self.approvals.add(id, Proposal { actor, command, before, expires_at, note });
            Ok(id)
        })
    }

    fn read_session(&mut self, r: &mut Reader<'_>) -> Result<SessionId, SnapshotFault> {
        let Command::DefineSession(definition) = r.command("sessions")? else {
            return Err(SnapshotFault::Field("sessions"));
        };
        let DefineSession { session: id, .. } = definition;
        field(!self.sessions.comp_ids_taken(&definition), "sessions")?;
        let mut session = Session::new(definition);
        session.epoch = SessionEpoch(r.u32()?);
        session.generation = Generation(r.u32()?);
        session.gateway = GatewayId(r.u32()?);
        field(
            session.gateway == GatewayId::IN_NODE || self.gateways.contains_key(&session.gateway),
            "session's gateway",
        )?;
        session.next_in = r.u64()?;
        session.next_out = r.u64()?;
        field(r.u64()? == session.floor().0, "floor")?;
        session.connected = r.flag("connected")?;
        session.heartbeat_s = r.u32()?;
        session.last_heard = UnixNanos(r.u64()?);
        session.pending_gap = r.u64()?;
        if r.flag("cancel_at")? {
            session.cancel_at = Some(UnixNanos(r.u64()?));
            session.cancels_all = r.flag("cancels_all")?;
        }
        let silent_at = r.u64()?;
        session.cancel_all_at = (silent_at > 0).then_some(UnixNanos(silent_at));
        read_requests(r, &mut session)?;
        let seed = self.sessions.hash_seed;
        let ids = &mut session.ids;
        ids.day = r.u64()?;
        r.list("ClOrdIDs", SESSION_CL_ORD_IDS_MAX, |r| {
            let (id, order, market) = (r.text("ClOrdIDs")?, OrderId(r.u64()?), MarketId(r.u32()?));
            ids.remember(ids.look(&id, seed), &id, order, market);
            Ok(id)
        })?;
        // Each has a ClOrdID of its own among those above, or was a quote's, of which there are no more than that.
        r.list("ended orders", SESSION_CL_ORD_IDS_MAX.saturating_mul(2), |r| {
            let finished = read_finished(r)?;
            let order = finished.order;
            ids.finish(&finished);
            Ok(order)
        })?;
        self.sessions.add(session);
        Ok(id)
    }

    fn read_market(&mut self, r: &mut Reader<'_>) -> Result<MarketId, SnapshotFault> {
        let Command::DefineMarket(definition) = r.command("markets")? else {
            return Err(SnapshotFault::Field("markets"));
        };
        let market = definition.market;
        let phase = r.code("market phase", MarketPhase::from_code)?;
        let accounts = fee_accounts(&definition, &self.ledger);
        let (fee_account, tax_account) = accounts.map_err(|_| SnapshotFault::Field("fee account"))?;
        let row = self.markets.add(definition, phase, fee_account, tax_account);
        let added = self.markets.rows.at_mut(row);
        let may_cross = r.flag("crossing")?;
        added.book.set_may_cross(may_cross).map_err(|_| SnapshotFault::Field("crossing"))?;
        field(may_cross || !added.is_collecting(), "crossing")?;
        added.phases = read_phases(r, market)?;
        let phases = &added.phases;
        field(phases.uncrossing.is_none() || may_cross, "auction")?;
        if phases.is_indication_due {
            field(phase == MarketPhase::Auction, "indication")?;
            self.markets.indications.insert((phases.indicates_at, market));
        }
        added.rules = read_rules(r, market)?;
        added.index = read_index(r)?;
        added.schedule = read_schedule(r)?;
        added.phases.resumes_at = Some(UnixNanos(r.u64()?)).filter(|at| at.0 > 0);
        if let Some(at) = added.phases.resumes_at {
            self.markets.resumptions.insert((at, market));
        }
        added.window = read_window(r, added.rules.as_deref())?;
        self.markets.plan(row);
        r.list("fee schedules", MARKET_FEE_SCHEDULES_MAX, |r| {
            let Command::SetFeeSchedule(schedule) = r.command("fee schedules")? else {
                return Err(SnapshotFault::Field("fee schedules"));
            };
            field(schedule.market == market && schedule.effective_seq > Seq::ZERO, "fee schedules")?;
            let key = (schedule.fee_group, schedule.effective_seq);
            self.markets.rows.at_mut(row).schedules.restore(schedule);
            Ok(key)
        })?;
        r.list("volumes", ACCOUNTS_MAX, |r| self.read_volume(r, row))?;
        let mut place_in_book = 0_u64;
        r.list("orders", BOOK_ORDERS_MAX, |r| {
            self.read_resting(r, row)?;
            // Price and time are checked by the book: what rests behind another cannot cross or come twice.
            place_in_book = place_in_book.saturating_add(1);
            Ok(place_in_book)
        })?;
        self.read_armed(r, row)?;
        Ok(market)
    }

    fn read_volume(&mut self, r: &mut Reader<'_>, market: u32) -> Result<ClientId, SnapshotFault> {
        let client = ClientId(r.u64()?);
        let desk = self.markets.desk(client, market, &self.ledger);
        let desk = desk.ok_or(SnapshotFault::Field("client of a volume"))?;
        let days_max = usize::try_from(FEE_VOLUME_DAYS).unwrap_or(usize::MAX).saturating_add(1);
        r.list("days of a volume", days_max, |r| {
            let (day, volume) = (r.u32()?, r.u128()?);
            field(volume > 0, "volume of a day")?;
            self.markets.add_volume(desk, day, volume);
            Ok(day)
        })?;
        Ok(client)
    }

    /// An order that rests.
    fn read_resting(&mut self, r: &mut Reader<'_>, market: u32) -> Result<(), SnapshotFault> {
        let (order, hidden) = self.read_order(r, market)?;
        let display = order.terms.as_ref().map_or(QtyLots(0), |terms| terms.said.display_lots);
        let resting = Resting {
            slot: Slot(0),
            id: order.id,
            side: order.side,
            price: PriceTicks(order.price),
            qty: QtyLots(order.leaves()),
            reserve: (hidden > QtyLots(0)).then_some(Reserve { display, hidden }),
        };
        let book = &mut self.markets.rows.at_mut(market).book;
        let slot = book.restore(&resting).map_err(|_| SnapshotFault::Field("order in book"))?;
        self.list(Place { market, slot: slot.0 }, order);
        Ok(())
    }

    /// The orders that wait for a price, and which of them are due.
    fn read_armed(&mut self, r: &mut Reader<'_>, market: u32) -> Result<(), SnapshotFault> {
        let row = self.markets.rows.at_mut(market);
        row.last_price = r.u64()?;
        let (unseen, mut turns) = ("prices that triggers have not seen", Vec::new());
        r.list(unseen, TURNS_MAX, |r| {
            turns.push(PriceTicks(r.u64()?));
            Ok(turns.len())
        })?;
        row.traded = PricePath::restore(turns).ok_or(SnapshotFault::Field(unseen))?;
        let mut waiting = Vec::new();
        r.list("armed orders", ARMED_ORDERS_MAX, |r| {
            let (order, _) = self.read_order(r, market)?;
            let (id, side) = (order.id, order.side);
            let said =
                order.terms.as_ref().map(|terms| terms.said).ok_or(SnapshotFault::Field("armed order"))?;
            let extreme = r.u64()?;
            let extreme = (extreme > 0).then_some(PriceTicks(extreme));
            if !order.waits() && order.next_leg_at().is_none() && !order.is_parked() {
                let trigger = said.trigger.ok_or(SnapshotFault::Field("armed order"))?;
                waiting.push(Armed { order: id, side, trigger, trail: said.trail, extreme });
            }
            let row = self.markets.rows.at_mut(market).armed.open(id);
            self.list(Place::armed(market, row), order);
            Ok(id)
        })?;
        let mut due = Vec::new();
        let count = r.u32()?;
        for _ in 0..count {
            due.push(OrderId(r.u64()?));
        }
        let Market { armed, definition, .. } = self.markets.rows.at_mut(market);
        let is_due: BTreeSet<OrderId> = due.iter().copied().collect();
        for order in waiting.into_iter().filter(|armed| !is_due.contains(&armed.order)) {
            armed.triggers.arm(order).map_err(|_| SnapshotFault::Field("armed order"))?;
        }
        for &order in &due {
            field(armed.row_of(order).is_some(), "due order")?;
            armed.triggers.queue_again(order).map_err(|_| SnapshotFault::Field("due order"))?;
        }
        if !due.is_empty() {
            self.markets.firing.insert(definition.market);
        }
        self.read_pegs(r, market)
    }

    /// How far pegged orders have been looked at.
    fn read_pegs(&mut self, r: &mut Reader<'_>, market: u32) -> Result<(), SnapshotFault> {
        let round = if r.flag("pegged orders")? {
            Some(Round { from: r.u64()?, again: r.flag("pegged orders")? })
        } else {
            None
        };
        let Market { pegs, book, definition, .. } = self.markets.rows.at_mut(market);
        pegs.begin(book, round);
        if round.is_some() {
            self.markets.pegging.insert(definition.market);
        }
        Ok(())
    }

    fn read_protections(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        let wrong = SnapshotFault::Field("protections");
        r.list("protections", SESSIONS_MAX.saturating_mul(MARKETS_MAX), |r| {
            let (session, market) = (SessionId(r.u32()?), MarketId(r.u32()?));
            let (fills_max, lots_max) = (r.u32()?, QtyLots(r.u64()?));
            let (window_ms, has_tripped) = (r.u32()?, r.flag("protections")?);
            let mut fills = VecDeque::new();
            let count = r.u32()?;
            field(count <= fills_max && fills_max <= PROTECTION_FILLS_MAX, "protections")?;
            for _ in 0..count {
                fills.push_back((UnixNanos(r.u64()?), QtyLots(r.u64()?)));
            }
            let row = self.sessions.row(session).ok_or(wrong)?;
            field(self.markets.row(market).is_some(), "protections")?;
            self.sessions.rows.at_mut(row).is_protected = true;
            let protection = Protection { fills_max, lots_max, window_ms, fills, has_tripped };
            self.protections.of.insert((session, market), protection);
            Ok((session, market))
        })?;
        let count = r.u32()?;
        for _ in 0..count {
            self.protections.due.push_back((SessionId(r.u32()?), MarketId(r.u32()?)));
        }
        Ok(())
    }

    /// Lists of orders; which orders are theirs, the orders say.
    fn read_lists(&mut self, r: &mut Reader<'_>) -> Result<(), SnapshotFault> {
        r.list("order lists", ORDER_LISTS_MAX, |r| {
            let id = OrderListId(r.u64()?);
            let (cl_list_id, session) = (r.text("order lists")?, SessionId(r.u32()?));
            let market = MarketId(r.u32()?);
            let mut list = OrderList {
                cl_list_id,
                session: self.sessions.row(session).ok_or(SnapshotFault::Field("order lists"))?,
                market: self.markets.row(market).ok_or(SnapshotFault::Field("order lists"))?,
                contingency: r.code("order lists", Contingency::from_code)?,
                release: r.code("order lists", ListRelease::from_code)?,
                is_released: r.flag("order lists")?,
                is_due: false,
                legs: Vec::new(),
            };
            let count = r.u32()?;
            for _ in 0..count {
                list.legs.push(Leg {
                    order: OrderId(r.u64()?),
                    cl_ord_id: r.text("order lists")?,
                    reserve: r.u128()?,
                    has_acted: r.flag("order lists")?,
                    ended: read_ended(r)?,
                });
            }
            field(self.lists.named(list.session, &list.cl_list_id).is_none(), "order lists")?;
            self.lists.add(id, list);
            Ok(id)
        })?;
        for id in read_queue(r)? {
            let list = self.lists.by_id.get_mut(&id).ok_or(SnapshotFault::Field("order lists"))?;
            field(!core::mem::replace(&mut list.is_due, true), "order lists")?;
            self.lists.due.push_back(id);
        }
        r.list("lists that enter", MARKETS_MAX, |r| {
            let (market, queue) = (MarketId(r.u32()?), read_queue(r)?);
            field(!queue.is_empty(), "lists that enter")?;
            self.lists.releasing.insert(market, queue.into());
            Ok(market)
        })
    }

    /// An order, and how much of it is hidden.
    fn read_order(&mut self, r: &mut Reader<'_>, market: u32) -> Result<(Order, QtyLots), SnapshotFault> {
        let (id, cl_ord_id) = (OrderId(r.u64()?), r.text("order's ClOrdID")?);
        let session =
            self.sessions.row(SessionId(r.u32()?)).ok_or(SnapshotFault::Field("order's session"))?;
        let client = ClientId(r.u64()?);
        let desk = self.markets.desk(client, market, &self.ledger);
        let order = Order {
            id,
            cl_ord_id,
            session,
            desk: desk.ok_or(SnapshotFault::Field("order's client"))?,
            side: r.code("order's side", Side::from_code)?,
            order_type: r.code("order's type", OrderType::from_code)?,
            time_in_force: r.code("order's time in force", TimeInForce::from_code)?,
            price: r.u64()?,
            qty: r.u64()?,
            cum: r.u64()?,
            cum_ticks_lots: r.u128()?,
            held: r.u128()?,
            fee_residue_ppb: r.u32()?,
            tax_residue: r.u32()?,
            rates: Rates { maker_ppb: r.u32()?.cast_signed(), taker_ppb: r.u32()?, tax_ppm: r.u32()? },
            amendments: r.u32()?,
            newer: Place::NONE,
            older: Place::NONE,
            terms: None,
        };
        let (terms, hidden) = read_terms(r)?;
        Ok((Order { terms, ..order }, hidden))
    }
}

/// What a market demands beside its definition.
fn read_rules(r: &mut Reader<'_>, of: MarketId) -> Result<Option<Box<SetTradingRules>>, SnapshotFault> {
    if !r.flag("trading rules")? {
        return Ok(None);
    }
    let Command::SetTradingRules(rules) = r.command("trading rules")? else {
        return Err(SnapshotFault::Field("trading rules"));
    };
    field(rules.market == of && rules != SetTradingRules::none(of), "trading rules")?;
    Ok(Some(Box::new(rules)))
}

fn read_index(r: &mut Reader<'_>) -> Result<Option<IndexPrice>, SnapshotFault> {
    if !r.flag("index price")? {
        return Ok(None);
    }
    let price = PriceTicks(r.u64()?);
    field(price.0 > 0, "index price")?;
    let (observed_at, valid_until) = (UnixNanos(r.u64()?), UnixNanos(r.u64()?));
    Ok(Some(IndexPrice { price, observed_at, valid_until }))
}

/// The prices that a market watches, if it does. Whether they can be so is an invariant.
fn read_window(
    r: &mut Reader<'_>,
    rules: Option<&SetTradingRules>,
) -> Result<Option<Box<PriceWindow>>, SnapshotFault> {
    if !rules.is_some_and(is_watched) {
        return Ok(None);
    }
    let mut window = PriceWindow::default();
    for extremes in [&mut window.lows, &mut window.highs] {
        let count = r.u32()?;
        field(u64::from(count) <= VOLATILITY_BUCKETS.saturating_add(1), "prices of a window")?;
        for _ in 0..count {
            extremes.push_back((r.u64()?, r.u64()?));
        }
    }
    Ok(Some(Box::new(window)))
}

/// When a market changes its phase by itself. Whether it may be so is an invariant.
fn read_schedule(r: &mut Reader<'_>) -> Result<Option<Box<PhaseSchedule>>, SnapshotFault> {
    if !r.flag("schedule")? {
        return Ok(None);
    }
    let Command::SetMarketSchedule(definition) = r.command("schedule")? else {
        return Err(SnapshotFault::Field("schedule"));
    };
    let mut next = None;
    if r.flag("schedule")? {
        next = Some((UnixNanos(r.u64()?), r.code("schedule", MarketPhase::from_code)?));
    }
    let day_ends_at = Some(UnixNanos(r.u64()?)).filter(|at| at.0 > 0);
    Ok(Some(Box::new(PhaseSchedule { definition, next, day_ends_at })))
}

fn read_phases(r: &mut Reader<'_>, market: MarketId) -> Result<Phases, SnapshotFault> {
    let mut phases = Phases::default();
    if r.flag("auction")? {
        phases.uncrossing = Some(Uncrossing {
            to: r.code("auction", MarketPhase::from_code)?,
            cause: r.code("auction", PhaseCause::from_code)?,
            price: Some(PriceTicks(r.u64()?)).filter(|price| price.0 > 0),
            lots: r.u128()?,
            trades: r.u32()?,
            is_over: r.flag("auction")?,
        });
    }
    phases.closes = Seq(r.u64()?);
    if r.flag("indication")? {
        phases.indicated = Some(AuctionIndicated {
            market,
            price_ticks: PriceTicks(r.u64()?),
            lots: r.u128()?,
            surplus_lots: r.u128()?,
            surplus_side: r.optional_code("indication", Side::from_code)?,
        });
    }
    phases.indicates_at = UnixNanos(r.u64()?);
    phases.is_indication_due = r.flag("indication")?;
    Ok(phases)
}

/// The terms, and how much of the order is hidden.
fn read_terms(r: &mut Reader<'_>) -> Result<(Option<Box<Terms>>, QtyLots), SnapshotFault> {
    if !r.flag("order's terms")? {
        return Ok((None, QtyLots(0)));
    }
    let said = OrderTerms::decode(r.bytes()?).ok_or(SnapshotFault::Field("order's terms"))?;
    field(said.expires_in_s == 0, "order's terms")?;
    let expires_at = r.u64()?;
    let expires_at = (expires_at > 0).then_some(UnixNanos(expires_at));
    let hidden = QtyLots(r.u64()?);
    let (left, next_at) = (r.u16()?, UnixNanos(r.u64()?));
    let legs = (left > 0).then_some(Legs { left, next_at });
    field(legs.is_none() || said.twap.is_some(), "order's terms")?;
    let list = r.u64()?;
    let list = (list > 0).then_some(OrderListId(list));
    let (waits, cap) = (r.flag("order's terms")?, r.u64()?);
    let cap = (cap > 0).then_some(PriceTicks(cap));
    field(cap.is_some() == said.peg.is_some(), "order's terms")?;
    let (is_quote, entry) = (r.flag("order's terms")?, r.u32()?);
    field(is_quote || entry == 0, "order's terms")?;
    let quote = is_quote.then_some(entry);
    let terms = Terms { said, expires_at, legs, list, waits, cap, quote };
    field(terms.list.is_some() || !terms.waits, "order's terms")?;
    Ok((Some(Box::new(terms)), hidden))
}

/// How an order of a list ended, if it has.
fn read_ended(r: &mut Reader<'_>) -> Result<Option<Ended>, SnapshotFault> {
    let Some(status) = r.optional_code("order lists", OrderStatus::from_code)? else { return Ok(None) };
    Ok(Some(Ended { status, qty: r.u64()?, cum: r.u64()?, cum_ticks_lots: r.u128()? }))
}

fn read_queue(r: &mut Reader<'_>) -> Result<Vec<OrderListId>, SnapshotFault> {
    let mut queue = Vec::new();
    let count = r.u32()?;
    for _ in 0..count {
        queue.push(OrderListId(r.u64()?));
    }
    Ok(queue)
}

fn read_requests(r: &mut Reader<'_>, session: &mut Session) -> Result<(), SnapshotFault> {
    let highest = r.u64()?;
    session.requests.highest = highest;
    let window = usize::try_from(REQUEST_WINDOW).unwrap_or(usize::MAX);
    r.list("answered requests", window, |r| {
        let answered = Answered {
            request: r.u64()?,
            kind: r.u16()?,
            version: r.u16()?,
            body: r.bytes()?.to_vec(),
            reply: Reply {
                effective_seq: Seq(r.u64()?),
                refusal: r.optional_code("refusal", RejectReason::from_code)?,
                field: r.text("field")?,
            },
        };
        let request = answered.request;
        let in_window = 0 < request && request <= highest && request.saturating_add(REQUEST_WINDOW) > highest;
        field(in_window, "answered requests")?;
        session.requests.restore(answered);
        Ok(request)
    })
}

fn read_finished(r: &mut Reader<'_>) -> Result<Finished, SnapshotFault> {
    Ok(Finished {
        order: OrderId(r.u64()?),
        cl_ord_id: r.text("ended order's ClOrdID")?,
        client: ClientId(r.u64()?),
        market: MarketId(r.u32()?),
        side: r.code("ended order's side", Side::from_code)?,
        order_type: r.code("ended order's type", OrderType::from_code)?,
        time_in_force: r.code("ended order's time in force", TimeInForce::from_code)?,
        status: r.code("ended order's status", OrderStatus::from_code)?,
        reason: r.optional_code("ended order's reason", RejectReason::from_code)?,
        price: r.u64()?,
        qty: r.u64()?,
        cum: r.u64()?,
        cum_ticks_lots: r.u128()?,
    })
}
