//! Markets: their definitions, their books, and what stands beside each resting order.

use std::collections::{BTreeMap, BTreeSet};

use protocol::commands::{ClOrdId, DefineMarket, SetTradeGroup, SetTradingRules};
use protocol::limits::BOOK_ORDERS_MAX;
use protocol::limits::{FEE_PPM_MAX, MARKETS_MAX, TRADE_GROUP_CLIENTS_MAX};
use protocol::terms::Trigger;
use protocol::{
    AccountClass, AccountId, ClientId, MarketId, MarketPhase, OrderId, OrderListId, OrderType, PriceTicks,
    QtyLots, RejectReason, Side, TimeInForce, TradeGroupId, UnixNanos, events,
};

use crate::broken::{Stop, ensure, ensure_field, refuse_field};
use crate::effects::Effects;
use crate::fees::schedules::Schedules;
use crate::fees::volume::PastVolume;
use crate::fees::{Fees, Rates};
use crate::index::{Index, hash_pair, hash_u64};
use crate::ledger::{Ledger, TRADING_TURNOVER_MAX};
use crate::matching::triggers::Armed;
use crate::matching::{Book, BookLimits, PricePath, Slot};
use crate::orders::armed::ArmedOrders;
use crate::orders::fees::BILLION;
use crate::orders::pegs::Pegs;
use crate::orders::phases::Phases;
use crate::orders::quotes::QuoteKey;
use crate::orders::schedule::PhaseSchedule;
use crate::orders::terms::{Amended, Terms};
use crate::orders::volatility::PriceWindow;
use crate::registry::Registry;
use crate::rows::{NO_ROW, Rows};

/// Where a live order rests: a market's row and a slot of its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) market: u32,
    pub(crate) slot: u32,
}

impl Place {
    /// No order: the end of a session's list.
    pub(crate) const NONE: Self = Self { market: NO_ROW, slot: NO_ROW };
    /// Set in the slot of an order that is armed and stands beside no slot of the book.
    const ARMED: u32 = 1 << 31;

    /// Where an armed order waits: a row of its market's armed ones.
    pub(crate) const fn armed(market: u32, row: u32) -> Self {
        Self { market, slot: row | Self::ARMED }
    }

    /// The row among its market's armed orders; `None` of one that rests in the book.
    pub(crate) const fn armed_row(self) -> Option<u32> {
        if self.slot & Self::ARMED == 0 { None } else { Some(self.slot & !Self::ARMED) }
    }
}

const _: () = assert!(BOOK_ORDERS_MAX < 1 << 31, "a slot of a book is never taken for an armed order's");

/// An index price, and how long it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexPrice {
    pub(crate) price: PriceTicks,
    pub(crate) observed_at: UnixNanos,
    pub(crate) valid_until: UnixNanos,
}

/// A live order: what the book does not know of it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// The latest of its ClOrdIDs.
    pub(crate) cl_ord_id: ClOrdId,
    pub(crate) session: u32,
    pub(crate) desk: u32,
    pub(crate) side: Side,
    pub(crate) order_type: OrderType,
    pub(crate) time_in_force: TimeInForce,
    /// 0 = a market order without a worst price, or a pegged one that stands nowhere.
    pub(crate) price: u64,
    pub(crate) qty: u64,
    pub(crate) cum: u64,
    /// Σ price × quantity of its fills.
    pub(crate) cum_ticks_lots: u128,
    /// Held for it: quote of a buyer, base of a seller.
    pub(crate) held: u128,
    /// How much more than the exact fee of its fills, tax included, was charged, in billionths of a minor unit of quote.
    pub(crate) fee_residue_ppb: u32,
    /// How much more than it shows the exact tax in what was charged is: below a minor unit, in parts of (10^6 + `tax_ppm`).
    pub(crate) tax_residue: u32,
    /// In force when it was accepted.
    pub(crate) rates: Rates,
    /// How often it was replaced.
    pub(crate) amendments: u32,
    /// What most orders do not say.
    pub(crate) terms: Option<Box<Terms>>,
    /// Neighbours in the list of its session's live orders.
    pub(crate) newer: Place,
    pub(crate) older: Place,
}

impl Order {
    pub(crate) const fn leaves(&self) -> u64 {
        self.qty.saturating_sub(self.cum)
    }

    /// What is left of it, if it is a purchase.
    pub(crate) fn buy_lots(&self) -> u128 {
        if self.side == Side::Buy { self.leaves().into() } else { 0 }
    }

    /// Whether what it may cost follows from the book and not from its price.
    pub(crate) fn is_market_buy(&self) -> bool {
        self.order_type == OrderType::Market && self.side == Side::Buy
    }

    /// Whether it says that it is cancelled when its session's connection ends, or that it is not.
    pub(crate) fn says_on_disconnect(&self) -> Option<bool> {
        self.terms.as_ref().and_then(|terms| terms.said.cancel_on_disconnect)
    }

    /// The list that it is of.
    pub(crate) fn list(&self) -> Option<OrderListId> {
        self.terms.as_ref()?.list
    }

    /// Whether it waits for another order of its list.
    pub(crate) fn waits(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.waits)
    }

    /// When its next leg trades, if it trades leg by leg and does not wait for another order.
    pub(crate) fn next_leg_at(&self) -> Option<UnixNanos> {
        let terms = self.terms.as_ref().filter(|terms| !terms.waits)?;
        terms.legs.map(|legs| legs.next_at)
    }

    /// What it waits for.
    pub(crate) fn trigger(&self) -> Option<Trigger> {
        self.terms.as_ref().and_then(|terms| terms.said.trigger)
    }

    /// Whether it waits for a price: the terms of one that has fired have no trigger.
    pub(crate) fn is_armed(&self) -> bool {
        self.trigger().is_some()
    }

    /// Whether it shows a slice of itself at a time, if more than that is left.
    pub(crate) fn is_iceberg(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.said.display_lots > QtyLots(0))
    }

    /// How much of it is shown at a time, where that is not all that is left.
    pub(crate) fn display(&self) -> Option<QtyLots> {
        let display = self.terms.as_ref()?.said.display_lots;
        (display > QtyLots(0) && display < QtyLots(self.leaves())).then_some(display)
    }

    /// When it ends by itself.
    pub(crate) fn expires_at(&self) -> Option<UnixNanos> {
        self.terms.as_ref().and_then(|terms| terms.expires_at)
    }
}

/// A client in a market: where its orders settle, how many live, and what they pay.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// What it traded on `day`, in quote.
    pub(crate) volume: u128,
    pub(crate) client: ClientId,
    pub(crate) market: u32,
    pub(crate) base_account: u32,
    pub(crate) quote_account: u32,
    pub(crate) live: u32,
    /// Of these, orders that wait for a price.
    pub(crate) stops: u32,
    /// Of these, orders that show a part of themselves.
    pub(crate) icebergs: u32,
    /// What is left of its live purchases.
    pub(crate) buy_lots: u128,
    /// 0 = none but its own.
    trade_group: TradeGroupId,
    /// A UTC day, from 1970-01-01; what it traded before is [`Markets::past`].
    pub(crate) day: u32,
    /// Of the orders that it sends on that day, in that epoch of [`Fees`].
    pub(crate) rates: Rates,
    pub(crate) rates_epoch: u32,
}

impl Desk {
    /// Whether orders of both are those of one group.
    pub(crate) fn is_of_group(&self, other: &Self) -> bool {
        self.client == other.client
            || (self.trade_group == other.trade_group && self.trade_group != TradeGroupId::default())
    }

    /// Counts an order that lives from now on.
    pub(crate) fn add(&mut self, order: &Order) {
        self.live = self.live.saturating_add(1);
        self.stops = self.stops.saturating_add(u32::from(order.is_armed()));
        self.icebergs = self.icebergs.saturating_add(u32::from(order.is_iceberg()));
        self.buy_lots = self.buy_lots.saturating_add(order.buy_lots());
    }

    /// Counts an order no more that has lived until now.
    pub(crate) fn remove(&mut self, order: &Order) {
        self.live = self.live.saturating_sub(1);
        self.stops = self.stops.saturating_sub(u32::from(order.is_armed()));
        self.icebergs = self.icebergs.saturating_sub(u32::from(order.is_iceberg()));
        self.buy_lots = self.buy_lots.saturating_sub(order.buy_lots());
    }

    /// Where the hold of an order of this side lies.
    pub(crate) const fn paying_account(&self, side: Side) -> u32 {
        match side {
            Side::Buy => self.quote_account,
            Side::Sell => self.base_account,
        }
    }
}

/// One market.
#[derive(Clone, Debug)]
pub(crate) struct Market {
    pub(crate) definition: DefineMarket,
    pub(crate) phase: MarketPhase,
    pub(crate) fee_account: u32,
    /// [`NO_ROW`] while no fee is taxed.
    pub(crate) tax_account: u32,
    pub(crate) schedules: Schedules,
    /// What it demands beside its definition; most say nothing.
    pub(crate) rules: Option<Box<SetTradingRules>>,
    /// The last one published, whether it still counts or not.
    pub(crate) index: Option<IndexPrice>,
    pub(crate) book: Book,
    /// Beside the book's slots; what stands in a free slot means nothing.
    pub(crate) orders: Rows<Option<Order>>,
    /// Orders that wait for a price.
    pub(crate) armed: ArmedOrders,
    pub(crate) pegs: Pegs,
    /// Price of the last trade; 0 = there was none.
    pub(crate) last_price: u64,
    /// What was traded at since triggers were last asked, while there are any.
    pub(crate) traded: PricePath,
    pub(crate) phases: Phases,
    /// When it changes its phase by itself; most do not.
    pub(crate) schedule: Option<Box<PhaseSchedule>>,
    /// What it traded at lately, if its rules ask for that.
    pub(crate) window: Option<Box<PriceWindow>>,
}

impl Market {
    #[inline(always)]
    pub(crate) fn entry(&self, place: Place) -> Option<&Order> {
        match place.armed_row() {
            Some(row) => self.armed.rows.at(row).as_ref(),
            None => self.orders.at(place.slot).as_ref(),
        }
    }

    #[inline(always)]
    pub(crate) fn entry_mut(&mut self, place: Place) -> &mut Option<Order> {
        match place.armed_row() {
            Some(row) => self.armed.rows.at_mut(row),
            None => self.orders.at_mut(place.slot),
        }
    }

    /// Notes where the order at a place stands now, if it is pegged.
    pub(crate) fn note_peg(&mut self, place: Place) {
        let order = match place.armed_row() {
            Some(row) => self.armed.rows.at(row),
            None => self.orders.at(place.slot),
        };
        order.iter().for_each(|order| self.pegs.note(order));
    }

    /// Whether somebody waits for its prices, or follows them.
    fn is_watched(&self) -> bool {
        !self.armed.triggers.is_empty() || !self.pegs.is_empty()
    }

    /// All live orders, those in the book and those that are armed.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().chain(self.armed.rows.iter()).flatten()
    }
}

/// All markets, and the clients in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Markets {
    pub(crate) rows: Rows<Market>,
    by_id: Index,
    /// (when, order, market's row) of the live orders that end by themselves: in this order.
    pub(crate) expiries: BTreeSet<(UnixNanos, OrderId, u32)>,
    /// (when, order, market's row) of the next legs of orders that trade leg by leg.
    pub(crate) legs: BTreeSet<(UnixNanos, OrderId, u32)>,
    /// Markets in which armed orders are to be asked whether they fire, behind the command that is executed.
    pub(crate) touched: Vec<u32>,
    /// Markets in which pegged orders may have to be moved.
    pub(crate) pegging: BTreeSet<MarketId>,
    /// Markets in which orders are due that have not fired yet.
    pub(crate) firing: BTreeSet<MarketId>,
    /// Markets in which an auction is carried out or orders of the day end, behind this record and before the next ones.
    pub(crate) unsettled: BTreeSet<MarketId>,
    /// When which market's schedule has something to do.
    pub(crate) changes: BTreeSet<(UnixNanos, MarketId)>,
    /// Markets whose price has moved too far, in the command that is executed.
    pub(crate) exceeded: Vec<u32>,
    /// When which market that pauses trades again.
    pub(crate) resumptions: BTreeSet<(UnixNanos, MarketId)>,
    /// When in which market it is published again what its auction would trade.
    pub(crate) indications: BTreeSet<(UnixNanos, MarketId)>,
    /// The live orders of quotes; follows from these.
    pub(crate) quotes: BTreeMap<QuoteKey, OrderId>,
    /// Of the clients who are in one.
    pub(crate) trade_groups: BTreeMap<ClientId, TradeGroupId>,
    /// Derived from the ledger's accounts as orders come; of them only what was traded is written.
    pub(crate) desks: Rows<Desk>,
    /// By the same numbers, what they traded on days that are over.
    pub(crate) past: Rows<PastVolume>,
    pub(crate) fees: Fees,
    by_client: Index,
}

impl Markets {
    pub(crate) fn row(&self, market: MarketId) -> Option<u32> {
        self.by_id.find(hash_u64(u64::from(market.0)), |row| self.rows.at(row).definition.market == market)
    }

    /// The client's desk in a market, if it has one already.
    pub(crate) fn known_desk(&self, client: ClientId, market: u32) -> Option<u32> {
        self.by_client.find(hash_pair(client.0, u64::from(market)), |row| {
            let desk = self.desks.at(row);
            desk.client == client && desk.market == market
        })
    }

    /// The client's desk in a market; `None` without a settlement account in both of its assets.
    pub(crate) fn desk(&mut self, client: ClientId, market: u32, ledger: &Ledger) -> Option<u32> {
        let known = self.known_desk(client, market);
        if known.is_some() {
            return known;
        }
        let definition = &self.rows.at(market).definition;
        let base_account = ledger.settlement(client, definition.base)?;
        let quote_account = ledger.settlement(client, definition.quote)?;
        let trade_group = self.trade_groups.get(&client).copied().unwrap_or_default();
        let desk = self.desks.push(Desk {
            volume: 0,
            client,
            market,
            base_account,
            quote_account,
            live: 0,
            stops: 0,
            icebergs: 0,
            buy_lots: 0,
            trade_group,
            day: 0,
            rates: Rates::default(),
            rates_epoch: 0,
        });
        self.past.push(PastVolume::default());
        self.by_client.insert(hash_pair(client.0, u64::from(market)), desk);
        Some(desk)
    }

    /// Something has happened in a market that armed orders may wait for, pegged ones follow, or that changes what its auction would trade.
    #[inline]
    pub(crate) fn touch(&mut self, market: u32) {
        let row = self.rows.at(market);
        if row.is_watched() || row.phase == MarketPhase::Auction {
            self.note_touched(market);
        }
    }

    #[cold]
    fn note_touched(&mut self, market: u32) {
        let row = self.rows.at_mut(market);
        if row.is_watched() && self.touched.last() != Some(&market) {
            self.touched.push(market);
        }
        if row.phase == MarketPhase::Auction && !row.phases.is_indication_due {
            row.phases.is_indication_due = true;
            self.indications.insert((row.phases.indicates_at, row.definition.market));
        }
    }

    /// What an auction would trade has been published, or there is none any more.
    pub(crate) fn indicated(&mut self, market: u32, again_at: UnixNanos) {
        let Market { definition, phases, .. } = self.rows.at_mut(market);
        self.indications.remove(&(phases.indicates_at, definition.market));
        (phases.indicates_at, phases.is_indication_due) = (again_at, false);
    }

    /// A trade at this price; in a market without a volatility rule that is one comparison more.
    pub(crate) fn saw_trade(&mut self, market: u32, price: PriceTicks, time: UnixNanos) {
        let row = self.rows.at_mut(market);
        row.last_price = price.0;
        let has_window = row.window.is_some();
        if !row.armed.triggers.is_empty() {
            row.traded.push(price);
        }
        if row.is_watched() {
            self.touch(market);
        }
        if has_window {
            self.watch_price(market, price, time);
        }
    }

    /// The market in which a pegged order is moved next: an open one.
    #[inline]
    pub(crate) fn next_pegging(&self) -> Option<(MarketId, u32)> {
        if self.pegging.is_empty() { None } else { self.first_open(&self.pegging) }
    }

    /// The market in which an order fires next: an open one.
    #[inline]
    pub(crate) fn next_firing(&self) -> Option<(MarketId, u32)> {
        // Every record asks, and mostly nothing fires.
        if self.firing.is_empty() { None } else { self.first_open(&self.firing) }
    }

    fn first_open(&self, markets: &BTreeSet<MarketId>) -> Option<(MarketId, u32)> {
        let rows = markets.iter().filter_map(|&market| Some((market, self.row(market)?)));
        rows.into_iter().find(|&(_, row)| self.rows.at(row).phase == MarketPhase::Trading)
    }

    /// The order that rests at a place.
    #[inline(always)]
    pub(crate) fn order(&self, place: Place) -> Option<&Order> {
        self.rows.at(place.market).entry(place)
    }

    /// Where an order of a market rests.
    pub(crate) fn place(&self, market: u32, order: OrderId) -> Option<Place> {
        let row = self.rows.at(market);
        let resting = row.book.slot_of(order).map(|Slot(slot)| Place { market, slot });
        resting.or_else(|| row.armed.row_of(order).map(|armed| Place::armed(market, armed)))
    }

    /// Puts an order beside its slot, at the head of its session's list. Returns the new head.
    pub(crate) fn link(&mut self, place: Place, mut order: Order, head: Place) -> Place {
        order.newer = Place::NONE;
        order.older = head;
        self.set_newer(head, place);
        self.desks.at_mut(order.desk).add(&order);
        if let Some(at) = order.expires_at() {
            self.expiries.insert((at, order.id, place.market));
        }
        if let Some(key) = order.quote_key() {
            self.quotes.insert(key, order.id);
        }
        if let Some(at) = order.next_leg_at() {
            self.legs.insert((at, order.id, place.market));
        }
        let market = self.rows.at_mut(place.market);
        if place.armed_row().is_none() {
            market.orders.reach(place.slot);
        }
        market.phases.note(&order, place.armed_row().is_some());
        market.pegs.note(&order);
        *market.entry_mut(place) = Some(order);
        place
    }

    /// Takes an order from beside its slot and out of its session's list. Returns the new head.
    pub(crate) fn unlink(&mut self, place: Place, head: Place) -> Option<Place> {
        let market = self.rows.at_mut(place.market);
        let order = market.entry_mut(place).take()?;
        let Order { newer, older, .. } = order;
        self.desks.at_mut(order.desk).remove(&order);
        let expiry = order.expires_at().map(|at| (at, order.id, place.market));
        let leg = order.next_leg_at().map(|at| (at, order.id, place.market));
        let quote = order.quote_key();
        market.phases.forget(&order, place.armed_row().is_some());
        market.pegs.forget(&order);
        self.set_newer(older, newer);
        if newer != Place::NONE
            && let Some(newer) = self.rows.at_mut(newer.market).entry_mut(newer)
        {
            newer.older = older;
        }
        if let Some(expiry) = expiry {
            self.expiries.remove(&expiry);
        }
        if let Some(leg) = leg {
            self.legs.remove(&leg);
        }
        if let Some(quote) = quote {
            self.quotes.remove(&quote);
        }
        Some(if head == place { older } else { head })
    }

    /// An order that stands somewhere will end at another time, or waits for another price, as it is about to say.
    pub(crate) fn amend(&mut self, place: Place, amended: &Amended) -> Option<()> {
        let market = self.rows.at_mut(place.market);
        let order = market.entry(place)?;
        let (id, side, ends_at) = (order.id, order.side, order.expires_at());
        if let Some(trigger) = amended.trigger.filter(|trigger| order.trigger() != Some(*trigger)) {
            let armed = Armed { order: id, side, trigger, trail: None, extreme: None };
            self.disarm(place.market, id);
            self.rows.at_mut(place.market).armed.triggers.arm(armed).ok()?;
        }
        if let (Some(before), Some(at)) = (ends_at, amended.expires_at)
            && before != at
        {
            self.expiries.remove(&(before, id, place.market));
            self.expiries.insert((at, id, place.market));
        }
        Some(())
    }

    /// An order waits for its price no more. If it was the last one that was due, nothing fires.
    pub(crate) fn disarm(&mut self, market: u32, order: OrderId) {
        let Market { definition, armed, .. } = self.rows.at_mut(market);
        armed.triggers.remove(order);
        if armed.triggers.queue().next().is_none() {
            self.firing.remove(&definition.market);
        }
    }

    fn set_newer(&mut self, of: Place, newer: Place) {
        if of != Place::NONE
            && let Some(order) = self.rows.at_mut(of.market).entry_mut(of)
        {
            order.newer = newer;
        }
    }

    pub(crate) fn define(
        &mut self,
        command: &DefineMarket,
        registry: &Registry,
        ledger: &Ledger,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let row = self.row(command.market);
        if let Some(row) = row {
            let before = &self.rows.at(row).definition;
            ensure(before != command, RejectReason::Exists)?;
            if let Some(field) = immutable_difference(before, command) {
                return Err(refuse_field(RejectReason::ExistsWithDifferent, field));
            }
            let rebate_max = self.rows.at(row).schedules.rebate_max_ppm(effects.seq);
            ensure_field(command.taker_fee_ppm >= rebate_max, "taker_fee_ppm")?;
            // Orders whose fees are taxed may be live.
            let is_kept = before.tax_account == AccountId(0) || command.tax_account != AccountId(0);
            ensure_field(is_kept, "tax_account")?;
        }
        check_fields(command)?;
        let taken = |market: &Market| {
            market.definition.symbol == command.symbol && market.definition.market != command.market
        };
        ensure_field(!command.symbol.is_empty() && !self.rows.iter().any(taken), "symbol")?;
        ensure(row.is_some() || self.rows.len() < MARKETS_MAX, RejectReason::TableFull)?;
        for asset in [command.base, command.quote] {
            ensure(registry.asset(asset).is_some(), RejectReason::UnknownAsset)?;
        }
        let (fee_account, tax_account) = fee_accounts(command, ledger)?;
        let phase = match row {
            Some(row) => {
                let market = self.rows.at_mut(row);
                market.definition = command.clone();
                (market.fee_account, market.tax_account) = (fee_account, tax_account);
                market.phase
            }
            None => {
                self.add(command.clone(), MarketPhase::Trading, fee_account, tax_account);
                MarketPhase::Trading
            }
        };
        self.change_fees(effects.seq);
        effects.push(events::MarketDefined { definition: command.clone(), phase });
        Ok(())
    }

    /// Adds a market whose id is not taken.
    pub(crate) fn add(
        &mut self,
        definition: DefineMarket,
        phase: MarketPhase,
        fee_account: u32,
        tax_account: u32,
    ) -> u32 {
        let hash = hash_u64(u64::from(definition.market.0));
        let book = Book::new(BookLimits::default());
        let market = Market {
            definition,
            phase,
            fee_account,
            tax_account,
            schedules: Schedules::default(),
            rules: None,
            index: None,
            book,
            orders: Rows::default(),
            armed: ArmedOrders::default(),
            pegs: Pegs::default(),
            last_price: 0,
            traded: PricePath::default(),
            phases: Phases::default(),
            schedule: None,
            window: None,
        };
        let row = self.rows.push(market);
        self.by_id.insert(hash, row);
        row
    }

    /// Puts a client into a trade group, or takes it out of one.
    pub(crate) fn set_trade_group(
        &mut self,
        command: &SetTradeGroup,
        effects: &mut Effects<'_>,
    ) -> Result<(), Stop> {
        let &SetTradeGroup { client, trade_group } = command;
        ensure_field(client.0 > 0, "client")?;
        let before = self.trade_groups.get(&client).copied().unwrap_or_default();
        ensure(before != trade_group, RejectReason::Exists)?;
        if trade_group == TradeGroupId::default() {
            self.trade_groups.remove(&client);
        } else {
            let is_known = self.trade_groups.contains_key(&client);
            ensure(is_known || self.trade_groups.len() < TRADE_GROUP_CLIENTS_MAX, RejectReason::TableFull)?;
            self.trade_groups.insert(client, trade_group);
        }
        for row in self.desks.numbers() {
            let desk = self.desks.at_mut(row);
            if desk.client == client {
                desk.trade_group = trade_group;
            }
        }
        effects.push(events::TradeGroupSet { client, trade_group });
        Ok(())
    }
}

/// Where a market's fees go, and its taxes, [`NO_ROW`] for none. What is not the house's own but owed, until it is handed over, is of
/// class suspense.
pub(crate) fn fee_accounts(definition: &DefineMarket, ledger: &Ledger) -> Result<(u32, u32), Stop> {
    let row = |account| ledger.row(account).ok_or(RejectReason::UnknownAccount);
    let fees = row(definition.fee_account)?;
    let has_taxes = definition.tax_account != AccountId(0);
    let taxes = if has_taxes { row(definition.tax_account)? } else { NO_ROW };
    let tax_account = || ledger.accounts.at(taxes);
    let fee_account = ledger.accounts.at(fees);
    ensure(fee_account.class == AccountClass::Fee, RejectReason::WrongAccountClass)?;
    ensure(!has_taxes || tax_account().class == AccountClass::Suspense, RejectReason::WrongAccountClass)?;
    ensure(fee_account.ledger == definition.quote, RejectReason::AssetMismatch)?;
    ensure(!has_taxes || tax_account().ledger == definition.quote, RejectReason::AssetMismatch)?;
    Ok((fees, taxes))
}

/// The first field that never changes and differs.
fn immutable_difference(before: &DefineMarket, after: &DefineMarket) -> Option<&'static str> {
    [
        (before.symbol != after.symbol, "symbol"),
        (before.base != after.base, "base"),
        (before.quote != after.quote, "quote"),
        (before.lot_base_minor != after.lot_base_minor, "lot_base_minor"),
        (before.tick_quote_minor != after.tick_quote_minor, "tick_quote_minor"),
    ]
    .into_iter()
    .find_map(|(differs, field)| differs.then_some(field))
}

/// Checks the ranges, and that no product of an admitted order can leave u128.
fn check_fields(market: &DefineMarket) -> Result<(), Stop> {
    ensure_field(market.base != market.quote, "quote")?;
    ensure_field(market.lot_base_minor.0 > 0, "lot_base_minor")?;
    ensure_field(market.tick_quote_minor.0 > 0, "tick_quote_minor")?;
    ensure_field(market.price_ticks_min.0 > 0, "price_ticks_min")?;
    ensure_field(market.price_ticks_min <= market.price_ticks_max, "price_ticks_max")?;
    ensure_field(market.qty_lots_min.0 > 0, "qty_lots_min")?;
    ensure_field(market.qty_lots_min <= market.qty_lots_max, "qty_lots_max")?;
    ensure_field(market.qty_lots_min <= market.market_qty_lots_max, "market_qty_lots_max")?;
    ensure_field(market.notional_min <= market.notional_max, "notional_max")?;
    ensure_field(market.client_orders_max > 0, "client_orders_max")?;
    ensure_field(market.maker_fee_ppm <= FEE_PPM_MAX, "maker_fee_ppm")?;
    ensure_field(market.taker_fee_ppm <= FEE_PPM_MAX, "taker_fee_ppm")?;
    let qty_max = market.qty_lots_max.max(market.market_qty_lots_max);
    // A notional in billionths, twice over for the fee, is the largest number that is ever computed.
    let notional = market.price_ticks_max.times(qty_max).checked_mul(market.tick_quote_minor.0);
    let computed = notional.and_then(|notional| notional.checked_mul(2)?.checked_mul(BILLION));
    ensure_field(computed.is_some(), "tick_quote_minor")?;
    let base = market.lot_base_minor.0.checked_mul(u128::from(qty_max.0));
    ensure_field(base.is_some_and(|base| base <= TRADING_TURNOVER_MAX), "lot_base_minor")
}
