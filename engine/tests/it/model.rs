//! The rules once more, naively: vectors, loops and sums from scratch, no index, no running total, no shared code.
//!
//! What is held is never stored but computed from the live orders; a fee is the ceiling of everything owed less
//! everything charged; what is in force and what was traded is looked up in everything that ever happened. Slow, and short
//! enough to be read beside docs of the rules.

mod amend;
mod auction;
mod exits;
mod fees;
mod lists;
mod pegs;
mod protection;
pub(crate) mod quotes;
mod rules;
mod schedule;
mod self_trade;
mod timers;
mod twap;
mod volatility;

use std::collections::{BTreeMap, BTreeSet};

use fees::{ModelRates, ceiling, signed, unsigned};
use protocol::RejectReason::{self, *};
use protocol::commands::{
    CancelOrder, DefineMarket, NewOrder, ReplaceOrder, SetFeeSchedule, SetTradingRules,
};
use protocol::terms::{Peg, Trail, Trigger};
use protocol::{
    MarketPhase, OrderType, PostOnly, SelfTradePrevention, Side, TimeInForce, TrailBy, TriggerDirection,
    TriggerPriceType,
};

/// Whose the balances of the fee and the tax accounts are.
pub(crate) const FEES: u64 = 0;
pub(crate) const TAXES: u64 = u64::MAX;
const DAY: u64 = 86_400_000_000_000;
const RESTING: [TimeInForce; 3] = [TimeInForce::GoodTillCancel, TimeInForce::GoodTillDate, TimeInForce::Day];

#[derive(Clone, Debug)]
pub(crate) struct ModelOrder {
    pub(crate) id: u64,
    pub(crate) client: u64,
    pub(crate) market: u32,
    pub(crate) side: Side,
    pub(crate) price: u64,
    pub(crate) qty: u64,
    pub(crate) cum: u64,
    pub(crate) cl_ord_id: String,
    /// Orders at one price trade in this order.
    rank: u64,
    /// In billionths of a minor unit, rebates off it.
    owed: i128,
    charged: i128,
    /// Fees with their taxes, and of these the taxes.
    fees: i128,
    taxes: i128,
    rates: ModelRates,
    /// The largest = never.
    expires_at: u64,
    post_only: Option<PostOnly>,
    prevention: SelfTradePrevention,
    /// How much is shown at a time; 0 = all.
    display: u64,
    /// How much is shown now.
    shown: u64,
    is_limit: bool,
    time_in_force: TimeInForce,
    budget: u128,
    trigger: Option<Trigger>,
    trail: Option<Trail>,
    extreme: Option<u64>,
    amendments: u32,
    /// Of one that trades leg by leg: (legs left, when the next one trades, nanoseconds between them).
    legs: Option<(u64, u64, u64)>,
    /// What the leg that trades now leaves.
    keeps: u64,
    minimum: u64,
    /// The list that it is of, whether it waits there, and what of its hold an order beside it has.
    list: Option<u64>,
    waits: bool,
    beside: u128,
    /// The price around which its collar lies.
    collar: Option<u64>,
    /// What its price follows, and its limit then.
    peg: Option<Peg>,
    cap: u64,
    /// The entry of the quote that it is a side of.
    quote: Option<u32>,
}

impl ModelOrder {
    /// Where its trigger stands, if it watches at all.
    fn stands_at(&self) -> Option<u64> {
        let trigger = self.trigger?;
        let Some(trail) = self.trail else { return Some(trigger.price_ticks.0) };
        let extreme = self.extreme?;
        let away = match trail.by {
            TrailBy::Ticks => trail.offset,
            TrailBy::BasisPoints => (extreme * trail.offset).div_ceil(10_000),
        };
        Some(match trigger.direction {
            TriggerDirection::Up => extreme.saturating_add(away),
            TriggerDirection::Down => extreme.saturating_sub(away),
        })
    }

    /// Follows a price, and says where its trigger stands then.
    fn fires_at(&mut self, price: u64) -> Option<u64> {
        let trigger = self.trigger?;
        if self.trail.is_some() {
            let from = trigger.price_ticks.0;
            self.extreme = match (self.extreme, trigger.direction) {
                (Some(extreme), TriggerDirection::Down) => Some(extreme.max(price)),
                (Some(extreme), TriggerDirection::Up) => Some(extreme.min(price)),
                (None, TriggerDirection::Down) => (from == 0 || price >= from).then_some(price),
                (None, TriggerDirection::Up) => (from == 0 || price <= from).then_some(price),
            };
        }
        self.stands_at()
    }

    /// Shows a slice, or all.
    fn show(&mut self) {
        let left = self.qty - self.cum;
        self.shown = if self.display > 0 { left.min(self.display) } else { left };
    }

    /// It has lost something: what is hidden first.
    fn shrink(&mut self) {
        self.shown = self.shown.min(self.qty - self.cum);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelTrade {
    pub(crate) maker: u64,
    pub(crate) taker: u64,
    pub(crate) price: u64,
    pub(crate) qty: u64,
    pub(crate) buyer: u64,
    pub(crate) seller: u64,
    pub(crate) buyer_fee: u128,
    pub(crate) seller_fee: u128,
    pub(crate) buyer_tax: u128,
    pub(crate) seller_tax: u128,
    pub(crate) maker_is_paid: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) markets: BTreeMap<u32, (DefineMarket, MarketPhase)>,
    /// By (client, asset); [`FEES`] and [`TAXES`] are clients here.
    pub(crate) balances: BTreeMap<(u64, u32), u128>,
    /// How often trades were prevented, by the code of the mode and whether the incoming order trades leg by leg.
    pub(crate) prevented: BTreeMap<(u8, bool), u32>,
    /// Overdraft lines of an account that takes fees: (asset, agreed, temporary, until when).
    pub(crate) fee_lines: Option<(u32, u128, u128, u64)>,
    /// By asset, how far that account stands below zero: it has nothing then.
    pub(crate) fees_owed: BTreeMap<u32, u128>,
    /// Those of them that are closed.
    pub(crate) closed: BTreeSet<(u64, u32)>,
    pub(crate) live: Vec<ModelOrder>,
    pub(crate) trades: Vec<ModelTrade>,
    used: Vec<(u64, String, u64)>,
    /// (client, order)
    ended: Vec<(u64, u64)>,
    /// Of whom the ids were last cleaned on which day.
    days: BTreeMap<u64, u64>,
    ranks: u64,
    /// Markets whose books may be crossed.
    crossing: BTreeSet<u32>,
    /// Schedules of phases, and the markets in which something goes on before theirs does.
    schedules_of_phases: BTreeMap<u32, schedule::ModelSchedule>,
    unsettled: BTreeMap<u32, schedule::Unsettled>,
    /// (when, price) of what was traded at since a market began to watch that, or last paused.
    prices: BTreeMap<u32, Vec<(u64, u64)>>,
    exceeded: BTreeSet<u32>,
    resumes: BTreeMap<u32, u64>,
    /// How often a market paused for its price, and went on by itself.
    pub(crate) paused: u32,
    pub(crate) resumed: u32,
    /// How often a schedule changed a phase, and how often one was more than a week behind.
    pub(crate) scheduled: u32,
    pub(crate) caught_up: u32,
    /// Clients in trade groups.
    pub(crate) groups: BTreeMap<u64, u64>,
    /// Armed orders that are due, each with its market, in the order in which they fire.
    due: Vec<(u32, u64)>,
    /// The prices of trades since triggers were last looked at, and the last price, of each market.
    traded: BTreeMap<u32, Vec<u64>>,
    last: BTreeMap<u32, u64>,
    rules: BTreeMap<u32, SetTradingRules>,
    /// The last index price: (price, observed at, valid until).
    index: BTreeMap<u32, (u64, u64, u64)>,
    protections: BTreeMap<(u64, u32), protection::ModelProtection>,
    /// (client, market) whose orders are pulled next.
    pulls: Vec<(u64, u32)>,
    /// How often orders were pulled.
    pub(crate) pulled: u32,
    /// Markets in which pegged orders have to be moved, and how often one was.
    pegging: BTreeSet<u32>,
    pub(crate) repriced: u32,
    /// What came of the last mass quote.
    pub(crate) quoted: quotes::Quoted,
    lists: Vec<lists::ModelList>,
    /// Those of which an order did something, and (market, list) of those whose waiting orders enter.
    due_lists: Vec<u64>,
    releasing: Vec<(u32, u64)>,
    /// Orders of a list that is being judged, which count beside the live ones.
    legs: Vec<ModelOrder>,
    /// How many lists had their waiting orders enter.
    pub(crate) released: u32,
    /// How many orders expired at a collar.
    pub(crate) collared: u32,
    /// Of the command that comes next.
    pub(crate) now: u64,
    pub(crate) seq: u64,
    /// As they were set, with the seq from which on they count.
    schedules: Vec<SetFeeSchedule>,
    fee_groups: BTreeMap<u64, u16>,
    /// Day, market, client, notional of every side of every trade outside a trade group.
    volumes: Vec<(u64, u32, u64, u128)>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            markets: BTreeMap::new(),
            balances: BTreeMap::new(),
            closed: BTreeSet::new(),
            live: Vec::new(),
            trades: Vec::new(),
            used: Vec::new(),
            ended: Vec::new(),
            days: BTreeMap::new(),
            ranks: 0,
            crossing: BTreeSet::new(),
            schedules_of_phases: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            prevented: BTreeMap::new(),
            fee_lines: None,
            fees_owed: BTreeMap::new(),
            prices: BTreeMap::new(),
            exceeded: BTreeSet::new(),
            resumes: BTreeMap::new(),
            paused: 0,
            resumed: 0,
            scheduled: 0,
            caught_up: 0,
            groups: BTreeMap::new(),
            due: Vec::new(),
            traded: BTreeMap::new(),
            last: BTreeMap::new(),
            rules: BTreeMap::new(),
            index: BTreeMap::new(),
            protections: BTreeMap::new(),
            pulls: Vec::new(),
            pulled: 0,
            pegging: BTreeSet::new(),
            repriced: 0,
            quoted: quotes::Quoted::default(),
            lists: Vec::new(),
            due_lists: Vec::new(),
            releasing: Vec::new(),
            legs: Vec::new(),
            released: 0,
            collared: 0,
            now: 0,
            seq: 0,
            schedules: Vec::new(),
            fee_groups: BTreeMap::new(),
            volumes: Vec::new(),
        }
    }

    fn end(&mut self, client: u64, order: u64) {
        self.end_as(client, order, false);
    }

    fn end_as(&mut self, client: u64, order: u64, filled: bool) {
        self.note_ended(order, filled);
        self.due.retain(|due| due.1 != order);
        self.roll(client, Some(order));
        self.ended.push((client, order));
    }

    /// On another day a client's ids are forgotten, but those of live orders and of the one that just ends.
    fn roll(&mut self, client: u64, ending: Option<u64>) {
        let today = self.now / DAY;
        if self.days.insert(client, today).is_some_and(|day| day != today) {
            let is_live = |order: u64| Some(order) == ending || self.live.iter().any(|live| live.id == order);
            self.used.retain(|used| used.0 != client || is_live(used.2));
            self.ended.retain(|ended| ended.0 != client);
        }
    }

    /// The price at which an order that must not take rests; `None` = nowhere.
    fn kept_from_taking(&self, order: &ModelOrder) -> Option<u64> {
        let is_met = self.best(order.market, order.side, order.price);
        let must_not = match self.markets[&order.market].1 {
            MarketPhase::PreOpen | MarketPhase::Auction => false,
            MarketPhase::PostOnly => order.trigger.is_none(),
            MarketPhase::Trading | MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed => {
                order.post_only.is_some()
            }
        };
        let Some(best) = is_met.filter(|_| must_not) else { return Some(order.price) };
        let best = self.live[best].price;
        let behind = if order.side == Side::Buy { best - 1 } else { best + 1 };
        let (market, _) = &self.markets[&order.market];
        let is_in_range = market.price_ticks_min.0 <= behind && behind <= market.price_ticks_max.0;
        (order.post_only == Some(PostOnly::Slide) && is_in_range).then_some(behind)
    }

    fn paying_asset(&self, order: &ModelOrder) -> u32 {
        let market = &self.markets[&order.market].0;
        if order.side == Side::Buy { market.quote.0 } else { market.base.0 }
    }

    pub(crate) fn worst_case(&self, order: &ModelOrder) -> u128 {
        let market = &self.markets[&order.market].0;
        let left = u128::from(order.qty - order.cum);
        if order.waits {
            return 0;
        }
        if order.trigger.is_some() && order.budget > 0 {
            return order.budget;
        }
        if order.side == Side::Sell {
            return left * market.lot_base_minor.0;
        }
        let notional = left * u128::from(order.limit()) * market.tick_quote_minor.0;
        let owed = order.owed + signed(notional) * order.rates.maker.max(order.rates.taker);
        notional + unsigned(ceiling(owed) - order.charged)
    }

    pub(crate) fn held(&self, client: u64, asset: u32) -> u128 {
        let pays = |order: &&ModelOrder| order.client == client && self.paying_asset(order) == asset;
        let held = |order: &ModelOrder| self.worst_case(order).saturating_sub(order.beside);
        self.live.iter().filter(pays).map(held).sum()
    }

    fn available(&self, client: u64, asset: u32) -> u128 {
        self.balances[&(client, asset)] - self.held(client, asset)
    }

    /// The best resting order that a taker would meet.
    fn best(&self, market: u32, taker: Side, limit: u64) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (at, order) in self.live.iter().enumerate() {
            let acceptable = match taker {
                Side::Buy => order.side == Side::Sell && (limit == 0 || order.price <= limit),
                Side::Sell => order.side == Side::Buy && (limit == 0 || order.price >= limit),
            };
            if order.market != market || !acceptable || !order.is_in_book() {
                continue;
            }
            let better = best.is_none_or(|other| {
                let other = &self.live[other];
                let price_better =
                    if taker == Side::Buy { order.price < other.price } else { order.price > other.price };
                price_better || (order.price == other.price && order.rank < other.rank)
            });
            if better {
                best = Some(at);
            }
        }
        best
    }

    /// Where nothing of an order is shown, the next slice comes to the back of its price.
    fn refill(&mut self, at: usize) {
        let order = &mut self.live[at];
        if order.shown == 0 && order.cum < order.qty {
            self.ranks += 1;
            order.rank = self.ranks;
            order.show();
        }
    }

    /// What a taker would meet, as (price, quantity, whether it trades), on a copy of the book.
    fn rehearse(&self, taker: &ModelOrder, qty: u64) -> Vec<(u64, u64, bool)> {
        use SelfTradePrevention::*;
        let mut copy = Self {
            live: self.live.clone(),
            groups: self.groups.clone(),
            ranks: self.ranks,
            rules: self.rules.clone(),
            ..Self::new()
        };
        let (mut met, mut left) = (Vec::new(), qty);
        while left > 0 {
            let Some(at) = copy.best(taker.market, taker.side, taker.price) else { break };
            if copy.is_beyond_collar(taker, copy.live[at].price) {
                break;
            }
            let prevented = copy.prevented(taker, &copy.live[at]);
            if prevented && taker.prevention == ExpireMaker {
                copy.live.remove(at);
                continue;
            }
            if prevented && [ExpireTaker, ExpireBoth].contains(&taker.prevention) {
                break;
            }
            let maker = &copy.live[at];
            let lots = left.min(if prevented { maker.qty - maker.cum } else { maker.shown });
            met.push((maker.price, lots, !prevented));
            left -= lots;
            copy.live[at].cum += lots;
            if prevented {
                copy.live[at].shrink();
            } else {
                copy.live[at].shown -= lots;
                copy.refill(at);
            }
            copy.live.retain(|order| order.cum < order.qty);
        }
        met
    }

    fn used_for(&self, client: u64, cl_ord_id: &str) -> Option<u64> {
        self.used.iter().find(|used| used.0 == client && used.1 == cl_ord_id).map(|used| used.2)
    }

    fn remember(&mut self, client: u64, cl_ord_id: &str, order: u64) {
        if self.used_for(client, cl_ord_id).is_none() {
            self.used.push((client, cl_ord_id.to_owned(), order));
        }
    }

    fn model_order(&self, id: u64, client: u64, command: &NewOrder, cl_ord_id: &str) -> ModelOrder {
        let now = self.now;
        let terms = command.terms.get().copied().unwrap_or_default();
        ModelOrder {
            id,
            client,
            market: command.market.0,
            side: command.side,
            price: command.price_ticks.0,
            qty: command.qty_lots.0,
            cum: 0,
            cl_ord_id: cl_ord_id.to_owned(),
            rank: 0,
            owed: 0,
            charged: 0,
            fees: 0,
            taxes: 0,
            rates: self.rates(client, command.market.0),
            expires_at: if command.time_in_force == TimeInForce::Day {
                if self.ends_the_day(command.market.0) { u64::MAX } else { (now / DAY + 1) * DAY }
            } else if command.time_in_force == TimeInForce::GoodTillDate {
                terms.expires_at_ns.max(now + u64::from(terms.expires_in_s) * 1_000_000_000)
            } else {
                u64::MAX
            },
            post_only: terms.post_only,
            prevention: terms.self_trade_prevention.unwrap_or(self.prevention_by_default(command.market.0)),
            display: terms.display_lots.0,
            shown: 0,
            is_limit: command.order_type == OrderType::Limit,
            time_in_force: command.time_in_force,
            budget: command.budget.0,
            trigger: terms.trigger,
            trail: terms.trail,
            extreme: None,
            amendments: 0,
            legs: terms.twap.map(|twap| (twap.legs.into(), now, u64::from(twap.interval_ms) * 1_000_000)),
            keeps: 0,
            minimum: terms.min_qty_lots.0,
            list: None,
            waits: false,
            beside: 0,
            collar: None,
            peg: terms.peg,
            cap: command.price_ticks.0,
            quote: None,
        }
    }

    pub(crate) fn new_order(&mut self, id: u64, client: u64, command: &NewOrder) -> Option<RejectReason> {
        self.roll(client, None);
        let cl_ord_id = command.cl_ord_id.to_string();
        let refusal = self.check_new(client, &cl_ord_id, command);
        self.remember(client, &cl_ord_id, id);
        if refusal.is_some() {
            return refusal;
        }
        let mut order = self.model_order(id, client, command, &cl_ord_id);
        order.price = self.kept_from_taking(&order).unwrap();
        self.follow(&mut order);
        self.bound(&mut order);
        if order.trigger.is_some() {
            self.live.push(order);
        } else {
            let minimum = command.terms.get().map_or(0, |terms| terms.min_qty_lots.0);
            self.enter(order, minimum);
        }
        None
    }

    /// A market order that waits for an auction holds for the worst price there is.
    fn bound(&self, order: &mut ModelOrder) {
        let market = &self.markets[&order.market].0;
        if self.collects(order.market) && order.trigger.is_none() && order.price == 0 {
            let worst = if order.side == Side::Buy { market.price_ticks_max } else { market.price_ticks_min };
            order.price = worst.0;
        }
    }

    fn rest(&mut self, mut order: ModelOrder) {
        self.ranks += 1;
        order.rank = self.ranks;
        order.show();
        self.live.push(order);
    }

    fn enter(&mut self, mut order: ModelOrder, minimum: u64) {
        if order.legs.is_some() {
            return self.take_leg(order);
        }
        if order.peg.is_some() {
            return self.rest(order);
        }
        if self.collects(order.market) {
            return self.rest(order);
        }
        if order.budget > 0 {
            order.qty = self.budget_lots(&order, order.budget);
        }
        order.collar = self.collar_of(order.market);
        let rests = order.is_limit && RESTING.contains(&order.time_in_force);
        let least = if order.time_in_force == TimeInForce::FillOrKill { order.qty } else { minimum };
        let met = self.rehearse(&order, least);
        if met.iter().filter(|met| met.2).map(|met| met.1).sum::<u64>() < least {
            return self.end(order.client, order.id);
        }
        self.trade(order, rests);
    }

    /// Looks at what the last command brought about, and executes the armed orders that it fires.
    pub(crate) fn fire(&mut self) {
        self.see_all();
        self.run_due();
    }

    /// Carries lists on, and executes the armed orders that are due, until nothing is.
    fn run_due(&mut self) {
        let is_open = |model: &Self, market: u32| model.markets[&market].1 == MarketPhase::Trading;
        loop {
            if self.pull() || self.carry_on() || self.move_pegs() {
                self.see_all();
                continue;
            }
            let open = self.due.iter().map(|due| due.0).filter(|&m| is_open(self, m)).min();
            let Some(market) = open else { break };
            let at = self.due.iter().position(|due| due.0 == market).unwrap();
            let (_, id) = self.due.remove(at);
            let at = self.live.iter().position(|order| order.id == id).unwrap();
            self.roll(self.live[at].client, None);
            let mut order = self.live.remove(at);
            order.trigger = None;
            self.decide(&mut order);
            if self.may_fire(&mut order) {
                self.enter(order, 0);
            } else {
                self.end(order.client, order.id);
            }
            self.see_all();
        }
    }

    /// What its market demands of an order that fires, which has its size by then.
    fn may_fire(&self, order: &mut ModelOrder) -> bool {
        if order.budget > 0 {
            order.qty = self.budget_lots(order, order.budget);
        }
        let kind = if order.is_limit { OrderType::Limit } else { OrderType::Market };
        self.band_refusal(order.market, order.side, kind, order.price).is_none()
            && self.position_refusal(order, order.qty).is_none()
    }

    fn see(&mut self, market: u32) {
        if self.markets[&market].1 != MarketPhase::Trading {
            return;
        }
        self.look_at_pegs(market);
        let best = |side: Side| self.best(market, side, 0).map(|at| self.live[at].price);
        let (best_ask, best_bid) = (best(Side::Buy), best(Side::Sell));
        let traded = self.traded.remove(&market).unwrap_or_default();
        let last = self.last.get(&market).copied();
        let index = self.index_now(market);
        let mut fired = Vec::new();
        let seen: Vec<Option<u64>> =
            if traded.is_empty() { vec![last] } else { traded.into_iter().map(Some).collect() };
        for last in seen {
            for order in self.live.iter_mut().filter(|order| order.market == market) {
                let Some(trigger) = order.trigger.filter(|_| !order.waits) else { continue };
                if self.due.iter().chain(&fired).any(|due| due.1 == order.id) {
                    continue;
                }
                let price = match (trigger.price_type, order.side) {
                    (TriggerPriceType::Last, _) => last,
                    (TriggerPriceType::Best, Side::Buy) => best_ask,
                    (TriggerPriceType::Best, Side::Sell) => best_bid,
                    (TriggerPriceType::Index, _) => index,
                };
                let Some(price) = price else { continue };
                let up = trigger.direction == TriggerDirection::Up;
                if order.fires_at(price).is_some_and(|at| if up { price >= at } else { price <= at }) {
                    fired.push((market, order.id));
                }
            }
        }
        let turn = |&(_, id): &(u32, u64)| {
            let order = self.live.iter().find(|order| order.id == id).unwrap();
            let trigger = order.trigger.unwrap();
            let at = order.stands_at().unwrap();
            let at = if trigger.direction == TriggerDirection::Up { at } else { u64::MAX - at };
            (trigger.direction, trigger.price_type, at, id.rotate_left(8))
        };
        fired.sort_by_key(turn);
        self.due.extend(fired);
    }

    fn check_new(&self, client: u64, cl_ord_id: &str, command: &NewOrder) -> Option<RejectReason> {
        if let Some(refusal) = self.check_admission(client, cl_ord_id, command, false) {
            return Some(refusal);
        }
        if self.is_closed(client, &self.markets[&command.market.0].0) {
            return Some(AccountClosed);
        }
        let mut order = self.model_order(0, client, command, cl_ord_id);
        order.price = self.kept_from_taking(&order).unwrap();
        self.bound(&mut order);
        (self.needed(&order) > self.available(client, self.paying_asset(&order))).then_some(InsufficientFunds)
    }

    /// Everything but whether it can be paid. Of an order that waits, what is of a moment is asked when it enters.
    fn check_admission(
        &self,
        client: u64,
        cl_ord_id: &str,
        command: &NewOrder,
        waits: bool,
    ) -> Option<RejectReason> {
        let Some((market, _)) = self.markets.get(&command.market.0) else { return Some(UnknownMarket) };
        if [market.base, market.quote].iter().any(|asset| !self.balances.contains_key(&(client, asset.0))) {
            return Some(NoSettlementAccount);
        }
        if self.used_for(client, cl_ord_id).is_some() {
            return Some(DuplicateClOrdId);
        }
        if !self.takes(command, waits) {
            return Some(MarketClosed);
        }
        if self.has_tripped(client, command.market.0) {
            return Some(MarketMakerProtection);
        }
        let is_limit = command.order_type == OrderType::Limit;
        let by_budget = command.budget.0 > 0;
        let (price, qty) = (command.price_ticks, command.qty_lots);
        if (is_limit || price.0 > 0) && (price < market.price_ticks_min || price > market.price_ticks_max) {
            return Some(PriceOutOfRange);
        }
        let qty_max = if is_limit { market.qty_lots_max } else { market.market_qty_lots_max };
        if !by_budget && (qty < market.qty_lots_min || qty > qty_max) {
            return Some(QtyOutOfRange);
        }
        let notional = u128::from(price.0) * u128::from(qty.0) * market.tick_quote_minor.0;
        if is_limit && !by_budget && (notional < market.notional_min.0 || notional > market.notional_max.0) {
            return Some(NotionalOutOfRange);
        }
        let is_fok = command.time_in_force == TimeInForce::FillOrKill;
        if by_budget && (is_limit || command.side == Side::Sell || qty.0 > 0 || is_fok) {
            return Some(UnsupportedOrder);
        }
        if let Some(refusal) = self.check_terms(command) {
            return Some(refusal);
        }
        let is_armed = command.terms.get().is_some_and(|terms| terms.trigger.is_some());
        if !is_armed && !waits {
            let refusal = self.band_refusal(command.market.0, command.side, command.order_type, price.0);
            if refusal.is_some() {
                return refusal;
            }
        }
        let live = self.own(client, command.market.0).count();
        let may_wait = waits || may_wait(command) || self.collects(command.market.0);
        if may_wait && live >= usize::try_from(market.client_orders_max).unwrap() {
            return Some(TooManyOrders);
        }
        let mut order = self.model_order(0, client, command, cl_ord_id);
        if let Some(refusal) = self.count_refusal(&order).filter(|_| may_wait) {
            return Some(refusal);
        }
        if waits {
            return None;
        }
        match self.kept_from_taking(&order) {
            Some(price) => order.price = price,
            None => return Some(WouldTake),
        }
        let more = if by_budget && !is_armed { self.budget_lots(&order, order.budget) } else { order.qty };
        self.position_refusal(&order, more)
    }

    /// A client's live orders in a market, and those of a list that is being judged.
    fn own(&self, client: u64, market: u32) -> impl Iterator<Item = &ModelOrder> {
        let is_own = move |order: &&ModelOrder| order.client == client && order.market == market;
        self.live.iter().chain(&self.legs).filter(is_own)
    }

    /// What to hold for a new order.
    fn needed(&self, order: &ModelOrder) -> u128 {
        if order.budget > 0 {
            return order.budget;
        }
        if order.is_limit || order.side == Side::Sell || self.collects(order.market) {
            return self.worst_case(order);
        }
        let tick = self.markets[&order.market].0.tick_quote_minor.0;
        let met = self.rehearse(order, order.qty);
        let cost: u128 = met.iter().map(|&(p, q, _)| u128::from(p) * u128::from(q) * tick).sum();
        cost + unsigned(ceiling(signed(cost) * order.rates.taker))
    }

    fn is_closed(&self, client: u64, market: &DefineMarket) -> bool {
        [market.base, market.quote].iter().any(|asset| self.closed.contains(&(client, asset.0)))
    }

    /// Whether what it waits for, if it does, goes with the rest.
    fn may_be_armed(&self, command: &NewOrder) -> bool {
        let terms = command.terms.get().copied().unwrap_or_default();
        let Some(trigger) = terms.trigger else { return terms.trail.is_none() };
        let sound = terms
            .trail
            .is_none_or(|trail| trail.offset > 0 && (trail.by == TrailBy::Ticks || trail.offset < 10_000));
        let is_market_buy = command.order_type == OrderType::Market && command.side == Side::Buy;
        (terms.trail.is_some() || trigger.price_ticks.0 > 0)
            && sound
            && (!is_market_buy || command.budget.0 > 0)
            && terms.post_only.is_none()
            && terms.min_qty_lots.0 == 0
    }

    /// What an order says beside price and quantity.
    fn check_terms(&self, command: &NewOrder) -> Option<RejectReason> {
        use TimeInForce::*;
        let terms = command.terms.get().copied().unwrap_or_default();
        let of_auction = matches!(command.time_in_force, AtTheOpening | AtTheClose);
        let rests = command.order_type == OrderType::Limit
            && (RESTING.contains(&command.time_in_force) || of_auction);
        let waits = rests || of_auction || terms.trigger.is_some();
        let unsupported = [
            of_auction && terms.trigger.is_some(),
            matches!(command.time_in_force, Day | GoodTillDate) && !waits,
            [terms.expires_at_ns != 0, terms.expires_in_s != 0].iter().filter(|is_said| **is_said).count()
                != usize::from(command.time_in_force == GoodTillDate),
            terms.post_only.is_some() && !rests,
            terms.display_lots.0 > 0 && !rests,
            terms.display_lots.0 > 0
                && (terms.display_lots > command.qty_lots
                    || command.qty_lots.0.div_ceil(terms.display_lots.0) > 100),
            terms.cancel_on_disconnect.is_some() && !waits,
            !self.may_be_armed(command),
            !twap::is_sound(command, &terms),
            terms.peg.is_some() && !pegs::goes_with(command, &terms),
            self.forbids(command.market.0, terms.self_trade_prevention),
            terms.min_qty_lots.0 > 0 && terms.min_qty_lots > command.qty_lots,
            terms.min_qty_lots.0 > 0 && terms.post_only.is_some(),
            terms.min_qty_lots.0 > 0 && command.time_in_force == FillOrKill,
        ];
        if unsupported.contains(&true) {
            return Some(UnsupportedOrder);
        }
        let late = command.time_in_force == GoodTillDate
            && terms.expires_in_s == 0
            && terms.expires_at_ns <= self.now
            || terms.valid_until_ns > 0 && terms.valid_until_ns < self.now;
        late.then_some(TooLateToEnter)
    }

    /// Lot by lot, as many as the budget pays with its fee.
    fn budget_lots(&self, order: &ModelOrder, budget: u128) -> u64 {
        let market = &self.markets[&order.market].0;
        let (mut lots, mut cost) = (0, 0);
        for (price, qty, _) in self.rehearse(order, market.market_qty_lots_max.0) {
            for _ in 0..qty {
                let next = cost + u128::from(price) * market.tick_quote_minor.0;
                if next + unsigned(ceiling(signed(next) * order.rates.taker)) > budget {
                    return lots;
                }
                cost = next;
                lots += 1;
            }
        }
        lots
    }

    fn trade(&mut self, mut taker: ModelOrder, rests: bool) {
        while taker.qty - taker.cum > taker.keeps {
            let Some(at) = self.best(taker.market, taker.side, taker.price) else { break };
            if self.is_beyond_collar(&taker, self.live[at].price) {
                if taker.legs.is_some() {
                    break;
                }
                self.collared += 1;
                return self.end(taker.client, taker.id);
            }
            if self.prevented(&taker, &self.live[at]) {
                if self.prevent(&mut taker, at) && taker.cum < taker.qty {
                    continue;
                }
                return self.end(taker.client, taker.id);
            }
            self.fill(&mut taker, at);
        }
        if taker.legs.is_some() {
            return self.after_leg(taker);
        }
        if taker.cum < taker.qty && rests {
            self.rest(taker);
        } else {
            self.end_as(taker.client, taker.id, taker.cum > 0 && taker.cum == taker.qty);
        }
    }

    pub(crate) fn cancel(&mut self, client: u64, command: &CancelOrder) -> Option<RejectReason> {
        self.roll(client, None);
        let cl_ord_id = command.cl_ord_id.to_string();
        let found = self.used_for(client, &command.orig_cl_ord_id.to_string());
        if self.used_for(client, &cl_ord_id).is_some() {
            return Some(DuplicateClOrdId);
        }
        self.remember(client, &cl_ord_id, found.unwrap_or(0));
        let at = match self.find(found, &command.orig_cl_ord_id.to_string(), command.market.0, command.side) {
            Ok(at) => at,
            Err(reason) => return Some(reason),
        };
        let order = self.live.remove(at);
        self.end(order.client, order.id);
        None
    }

    fn find(&self, id: Option<u64>, orig: &str, market: u32, side: Side) -> Result<usize, RejectReason> {
        let id = id.ok_or(UnknownOrder)?;
        let Some(at) = self.live.iter().position(|order| order.id == id) else {
            return Err(if self.ended.iter().any(|ended| ended.1 == id) { TooLate } else { UnknownOrder });
        };
        let order = &self.live[at];
        if order.cl_ord_id != orig {
            return Err(UnknownOrder);
        }
        if order.market != market || order.side != side { Err(OrderMismatch) } else { Ok(at) }
    }

    pub(crate) fn replace(&mut self, client: u64, command: &ReplaceOrder) -> Option<RejectReason> {
        self.roll(client, None);
        let cl_ord_id = command.cl_ord_id.to_string();
        let found = self.used_for(client, &command.orig_cl_ord_id.to_string());
        let outcome = self.check_replace(client, found, command);
        self.remember(client, &cl_ord_id, found.unwrap_or(0));
        let (at, next) = match outcome {
            Ok(replaced) => replaced,
            Err(reason) => return Some(reason),
        };
        if next.trigger != self.live[at].trigger {
            self.due.retain(|due| due.1 != next.id);
        }
        if next.keeps_place(&self.live[at]) {
            self.live[at] = next;
            self.live[at].shrink();
        } else {
            self.live.remove(at);
            if self.collects(next.market) || next.peg.is_some() {
                self.rest(next);
            } else {
                let collar = self.collar_of(next.market);
                self.trade(ModelOrder { collar, ..next }, true);
            }
        }
        None
    }

    fn check_replace(
        &self,
        client: u64,
        found: Option<u64>,
        command: &ReplaceOrder,
    ) -> Result<(usize, ModelOrder), RejectReason> {
        let (market, phase) = self.markets.get(&command.market.0).ok_or(UnknownMarket)?;
        if self.used_for(client, &command.cl_ord_id.to_string()).is_some() {
            return Err(DuplicateClOrdId);
        }
        if matches!(phase, MarketPhase::CancelOnly | MarketPhase::Halt | MarketPhase::Closed) {
            return Err(MarketClosed);
        }
        if self.has_tripped(client, command.market.0) {
            return Err(MarketMakerProtection);
        }
        let (price, qty) = (command.price_ticks, command.qty_lots);
        self.check_change(market, (price, qty))?;
        let waits = self.live.iter().any(|order| Some(order.id) == found && order.trigger.is_some());
        if let Some(refusal) =
            self.band_refusal(market.market.0, command.side, OrderType::Limit, price.0).filter(|_| !waits)
        {
            return Err(refusal);
        }
        let at = self.find(found, &command.orig_cl_ord_id.to_string(), command.market.0, command.side)?;
        let before = &self.live[at];
        if qty.0 <= before.cum {
            return Err(QtyBelowFilled);
        }
        let mut next = before.clone();
        next.cl_ord_id = command.cl_ord_id.to_string();
        next.set_limit(price.0);
        next.qty = qty.0;
        next.amendments += 1;
        if !before.is_limit || before.list.is_some() || before.legs.is_some() || before.quote.is_some() {
            return Err(UnsupportedOrder);
        }
        amend::said_again(&mut next, command.terms.get(), self.now)?;
        if !self.may_amend(before) {
            return Err(TooManyAmendments);
        }
        if !next.keeps_place(before) {
            next.rates = self.rates(client, command.market.0);
            if next.rates.tax_ppm != before.rates.tax_ppm {
                (next.fees, next.taxes) = (0, 0);
            }
            next.price = self.kept_from_taking(&next).ok_or(WouldTake)?;
            self.follow(&mut next);
        }
        let left = next.qty - next.cum;
        if next.display > 0 && left.div_ceil(next.display) > 100 {
            return Err(UnsupportedOrder);
        }
        let more = (next.qty - next.cum).saturating_sub(before.qty - before.cum);
        if let Some(refusal) = self.position_refusal(&next, more) {
            return Err(refusal);
        }
        if self.is_closed(client, market) {
            return Err(AccountClosed);
        }
        let available = self.available(client, self.paying_asset(before)) + self.worst_case(before);
        if self.worst_case(&next) > available { Err(InsufficientFunds) } else { Ok((at, next)) }
    }
}

/// Whether an order may live behind its own record.
fn may_wait(command: &NewOrder) -> bool {
    let is_armed = command.terms.get().is_some_and(|terms| terms.trigger.is_some());
    let ends_at_once = [TimeInForce::ImmediateOrCancel, TimeInForce::FillOrKill];
    let of_auction = [TimeInForce::AtTheOpening, TimeInForce::AtTheClose].contains(&command.time_in_force);
    is_armed
        || of_auction
        || command.order_type == OrderType::Limit && !ends_at_once.contains(&command.time_in_force)
}
