//! The armed orders of one market: those that enter the book when a price is seen.
//!
//! An armed order rests nowhere; [`Triggers`] knows its id and what it waits for, and the engine what it becomes. After
//! each command, and after each order that fires, the engine says which prices were seen ([`Triggers::due`]), takes the
//! next order that fires ([`Triggers::next_due`]), and executes it before it asks again.
//!
//! **Order.** Of what one call finds due, rising triggers come before falling ones; within these the last price's before
//! the best price's before the index price's; then rising ones from the lowest trigger price up, falling ones from the
//! highest down: as the market would have met them; then the oldest order. What becomes due later queues behind.
//!
//! **Trailing.** A trailing trigger sleeps until the market reaches its activation price, from there on keeps the best
//! price seen since (the highest, for one that fires falling), and stands an offset behind it, rounded away from the
//! market. Each new extreme moves every trigger that follows it, which is a walk over all of them: so there are at most
//! [`TRAILING_PER_MARKET_MAX`], a few microseconds of an adversary's work. Fixed triggers are in trees and cost what fires.
//!
//! **Costs.** The nearest price of each kind at which anything would happen is kept, so that a price which reaches none
//! costs a comparison for each kind, and a market without armed orders one.
//!
//! **State** is what [`Triggers::armed`] and [`Triggers::queue`] yield, in canonical order; [`Triggers::arm`] and
//! [`Triggers::queue_again`] with these rebuild it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::limits::BOOK_ORDERS_MAX;
use protocol::terms::{Trail, Trigger};
use protocol::{OrderId, PriceTicks, Side, TrailBy, TriggerDirection, TriggerPriceType};

/// Trailing orders of one market: each new extreme of a price may move them all.
pub const TRAILING_PER_MARKET_MAX: usize = 1_024;
const WHOLE_BASIS_POINTS: u64 = 10_000;

/// An order that waits for a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Its id, which tells its age.
    pub order: OrderId,
    /// Its side.
    pub side: Side,
    /// What it waits for.
    pub trigger: Trigger,
    /// How far behind the market its trigger follows it.
    pub trail: Option<Trail>,
    /// Of a trailing one: the best price since it was activated; `None` before.
    pub extreme: Option<PriceTicks>,
}

/// Prices that were seen at one moment; `None` where there is none, or it is not news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Of the last trade.
    pub last: Option<PriceTicks>,
    /// The highest price bid.
    pub best_bid: Option<PriceTicks>,
    /// The lowest price asked.
    pub best_ask: Option<PriceTicks>,
    /// Of the index.
    pub index: Option<PriceTicks>,
}

/// Why an order was not armed, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmRefusal {
    /// A trigger price of zero, unless it is a trailing order's.
    ZeroPrice,
    /// An offset of zero, or of a whole and more.
    OffsetOutOfRange,
    /// An order with this id is armed, or due.
    DuplicateId,
    /// As many orders are armed or due as may rest in a book.
    TooManyArmed,
    /// [`TRAILING_PER_MARKET_MAX`] trailing orders are armed.
    TooManyTrailing,
}

/// What is wrong with the armed orders of a market: our bug, or memory that was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerFault {
    /// The nearest prices remembered are not those of the orders.
    Thresholds,
    /// The orders by price and the orders by id are not the same ones.
    Index,
    /// An order's place in the queue is another's.
    Queue,
}

/// How soon one of several orders fires: the lower, the sooner.
type Turn = (TriggerDirection, TriggerPriceType, u64, u64);

/// A price as a rank, and back: a trigger fires where the price's rank is not below its own, the lowest first.
fn rank(direction: TriggerDirection, price: u64) -> u64 {
    match direction {
        TriggerDirection::Up => price,
        TriggerDirection::Down => !price,
    }
}

/// The trigger price behind an extreme. One that would be zero or below waits until it is not: no price is zero.
fn behind(trail: Trail, direction: TriggerDirection, extreme: u64) -> u64 {
    let ticks = match trail.by {
        TrailBy::Ticks => trail.offset,
        TrailBy::BasisPoints => {
            let share = u128::from(extreme).saturating_mul(u128::from(trail.offset));
            u64::try_from(share.div_ceil(u128::from(WHOLE_BASIS_POINTS))).unwrap_or(u64::MAX)
        }
    };
    match direction {
        TriggerDirection::Up => extreme.saturating_add(ticks),
        TriggerDirection::Down => extreme.saturating_sub(ticks),
    }
}

impl Armed {
    /// The trigger price in force; `None` while a trailing one sleeps.
    #[must_use]
    pub fn trigger_price(&self) -> Option<PriceTicks> {
        match self.trail {
            None => Some(self.trigger.price_ticks),
            Some(trail) => {
                self.extreme.map(|extreme| PriceTicks(behind(trail, self.trigger.direction, extreme.0)))
            }
        }
    }

    /// The lowest rank of a price at which it fires; `None` while it cannot.
    fn fires_from(&self) -> Option<u64> {
        self.trigger_price().map(|price| rank(self.trigger.direction, price.0))
    }

    /// The highest rank of a price that moves it.
    fn moves_until(&self) -> u64 {
        match (self.trail, self.extreme, self.trigger.price_ticks) {
            (None, _, _) => 0,
            (Some(_), Some(extreme), _) => rank(self.trigger.direction, extreme.0).saturating_sub(1),
            (Some(_), None, PriceTicks(0)) => u64::MAX,
            (Some(_), None, activation) => rank(self.trigger.direction, activation.0),
        }
    }

    /// Follows a price that is as good as any since it was activated.
    fn follow(&mut self, at: u64) {
        if self.trail.is_some() && at <= self.moves_until() {
            self.extreme = Some(PriceTicks(rank(self.trigger.direction, at)));
        }
    }

    /// When it fires among others, if it does at the price of a rank.
    fn fires_at(&self, at: u64) -> Option<Turn> {
        let from = self.fires_from().filter(|&from| from <= at)?;
        Some((self.trigger.direction, self.trigger.price_type, from, self.order.age()))
    }

    fn check(&self) -> Result<(), ArmRefusal> {
        let in_range = |trail: Trail| match trail.by {
            TrailBy::Ticks => trail.offset > 0,
            TrailBy::BasisPoints => 0 < trail.offset && trail.offset < WHOLE_BASIS_POINTS,
        };
        let price = if self.trail.is_none() { Some(self.trigger.price_ticks) } else { self.extreme };
        if price == Some(PriceTicks(0)) {
            Err(ArmRefusal::ZeroPrice)
        } else if !self.trail.is_none_or(in_range) {
            Err(ArmRefusal::OffsetOutOfRange)
        } else {
            Ok(())
        }
    }
}

/// The armed orders that see one price and fire the same way.
#[derive(Clone, Debug)]
struct Lane {
    direction: TriggerDirection,
    price_type: TriggerPriceType,
    /// Of the orders; whichever where they watch the same price anyhow.
    side: Side,
    /// By the rank of their trigger price and their age.
    fixed: BTreeSet<(u64, u64)>,
    /// In no order.
    trailing: Vec<Armed>,
    /// Ranks below this fire nobody.
    fires_from: u64,
    /// Ranks above this move nobody.
    moves_until: u64,
}

impl Lane {
    fn new(direction: TriggerDirection, price_type: TriggerPriceType, side: Side) -> Self {
        let (fixed, trailing) = (BTreeSet::new(), Vec::new());
        Self { direction, price_type, side, fixed, trailing, fires_from: u64::MAX, moves_until: 0 }
    }

    fn price_of(&self, prices: &Prices) -> Option<PriceTicks> {
        match (self.price_type, self.side) {
            (TriggerPriceType::Last, _) => prices.last,
            (TriggerPriceType::Best, Side::Buy) => prices.best_ask,
            (TriggerPriceType::Best, Side::Sell) => prices.best_bid,
            (TriggerPriceType::Index, _) => prices.index,
        }
    }

    /// What to compare a price with first, from all that are armed here.
    fn thresholds(&self) -> (u64, u64) {
        let fixed = self.fixed.first().map_or(u64::MAX, |&(rank, _)| rank);
        let fires_from = self.trailing.iter().filter_map(Armed::fires_from).fold(fixed, u64::min);
        (fires_from, self.trailing.iter().map(Armed::moves_until).fold(0, u64::max))
    }

    fn refresh(&mut self) {
        (self.fires_from, self.moves_until) = self.thresholds();
    }

    fn add(&mut self, armed: Armed) {
        let fires_from = armed.fires_from().unwrap_or(u64::MAX);
        self.fires_from = self.fires_from.min(fires_from);
        self.moves_until = self.moves_until.max(armed.moves_until());
        if armed.trail.is_some() {
            self.trailing.push(armed);
        } else {
            self.fixed.insert((fires_from, armed.order.age()));
        }
    }

    fn remove(&mut self, armed: &Armed) {
        if armed.trail.is_some() {
            self.trailing.retain(|other| other.order != armed.order);
        } else {
            self.fixed.remove(&(rank(self.direction, armed.trigger.price_ticks.0), armed.order.age()));
        }
        self.refresh();
    }

    /// Moves what follows a price, and takes out what fires at it.
    #[cold]
    fn see(&mut self, at: u64, fired: &mut Vec<Turn>) {
        while let Some(&(trigger, age)) = self.fixed.first().filter(|(trigger, _)| *trigger <= at) {
            self.fixed.pop_first();
            fired.push((self.direction, self.price_type, trigger, age));
        }
        self.trailing.retain_mut(|armed| {
            armed.follow(at);
            let turn = armed.fires_at(at);
            fired.extend(turn);
            turn.is_none()
        });
        self.refresh();
    }
}

/// The lanes, those of [`lane_of`].
fn lanes() -> [Lane; 8] {
    use TriggerDirection::{Down, Up};
    use TriggerPriceType::{Best, Index, Last};
    [
        Lane::new(Up, Last, Side::Buy),
        Lane::new(Up, Best, Side::Buy),
        Lane::new(Up, Best, Side::Sell),
        Lane::new(Up, Index, Side::Buy),
        Lane::new(Down, Last, Side::Buy),
        Lane::new(Down, Best, Side::Buy),
        Lane::new(Down, Best, Side::Sell),
        Lane::new(Down, Index, Side::Buy),
    ]
}

/// The place of an order's lane.
fn lane_of(armed: &Armed) -> usize {
    let price = match (armed.trigger.price_type, armed.side) {
        (TriggerPriceType::Last, _) => 0,
        (TriggerPriceType::Best, Side::Buy) => 1,
        (TriggerPriceType::Best, Side::Sell) => 2,
        (TriggerPriceType::Index, _) => 3,
    };
    match armed.trigger.direction {
        TriggerDirection::Up => price,
        TriggerDirection::Down => 4_usize.saturating_add(price),
    }
}

/// The armed orders of one market, and those that are due.
#[derive(Clone, Debug)]
pub struct Triggers {
    lanes: [Lane; 8],
    /// Fixed ones, by id.
    fixed: BTreeMap<u64, Armed>,
    trailing: usize,
    /// Due, in the order in which they fire.
    queue: BTreeMap<u64, OrderId>,
    /// Their places in the queue.
    places: BTreeMap<u64, u64>,
    /// The last place given.
    last_place: u64,
    armed_max: usize,
}

impl Default for Triggers {
    fn default() -> Self {
        Self::with_armed_max(BOOK_ORDERS_MAX)
    }
}

impl Triggers {
    /// No armed orders, and room for so many, due ones included.
    #[must_use]
    pub fn with_armed_max(armed_max: usize) -> Self {
        Self {
            lanes: lanes(),
            fixed: BTreeMap::new(),
            trailing: 0,
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
            last_place: 0,
            armed_max,
        }
    }

    /// Armed orders, without those that are due.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fixed.len().saturating_add(self.trailing)
    }

    /// Of these, trailing ones.
    #[must_use]
    pub const fn trailing(&self) -> usize {
        self.trailing
    }

    /// Whether nothing is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Arms an order. What it waits for may be true already: the next call of [`Triggers::due`] tells.
    ///
    /// # Errors
    /// [`ArmRefusal`], and nothing has changed.
    pub fn arm(&mut self, armed: Armed) -> Result<(), ArmRefusal> {
        armed.check()?;
        self.admit(armed.order)?;
        if armed.trail.is_none() {
            self.fixed.insert(armed.order.0, armed);
        } else if self.trailing < TRAILING_PER_MARKET_MAX {
            self.trailing = self.trailing.saturating_add(1);
        } else {
            return Err(ArmRefusal::TooManyTrailing);
        }
        self.lane_mut(&armed).add(armed);
        Ok(())
    }

    fn admit(&self, order: OrderId) -> Result<(), ArmRefusal> {
        if self.get(order).is_some() || self.is_due(order) {
            return Err(ArmRefusal::DuplicateId);
        }
        let room = self.len().saturating_add(self.queue.len()) < self.armed_max;
        if room { Ok(()) } else { Err(ArmRefusal::TooManyArmed) }
    }

    /// An armed order as it waits now.
    #[must_use]
    pub fn get(&self, order: OrderId) -> Option<Armed> {
        let trailing =
            || self.lanes.iter().flat_map(|lane| &lane.trailing).find(|armed| armed.order == order);
        self.fixed.get(&order.0).or_else(trailing).copied()
    }

    /// Whether an order is due and has not been taken yet.
    #[must_use]
    pub fn is_due(&self, order: OrderId) -> bool {
        self.places.contains_key(&order.0)
    }

    /// Takes an order out, armed or due; false where it is neither.
    pub fn remove(&mut self, order: OrderId) -> bool {
        if let Some(place) = self.places.remove(&order.0) {
            self.queue.remove(&place);
            return true;
        }
        let Some(armed) = self.get(order) else { return false };
        if self.fixed.remove(&order.0).is_none() {
            self.trailing = self.trailing.saturating_sub(1);
        }
        self.lane_mut(&armed).remove(&armed);
        true
    }

    /// Queues the orders that fire at what was `seen` since the last call, in the order of time: a sweep's first trade and
    /// its last, so that a price between two commands is not missed.
    #[inline]
    pub fn due(&mut self, seen: impl IntoIterator<Item = Prices>) {
        if !self.is_empty() {
            self.compare(seen);
        }
    }

    fn compare(&mut self, seen: impl IntoIterator<Item = Prices>) {
        let mut fired: Vec<Turn> = Vec::new();
        for prices in seen {
            for lane in &mut self.lanes {
                let Some(price) = lane.price_of(&prices).filter(|price| price.0 > 0) else { continue };
                let at = rank(lane.direction, price.0);
                if at >= lane.fires_from || at <= lane.moves_until {
                    lane.see(at, &mut fired);
                }
            }
        }
        fired.sort_unstable();
        for (_, _, _, age) in fired {
            let order = OrderId::of_age(age);
            if self.fixed.remove(&order.0).is_none() {
                self.trailing = self.trailing.saturating_sub(1);
            }
            self.enqueue(order);
        }
    }

    /// Takes the order that fires next.
    pub fn next_due(&mut self) -> Option<OrderId> {
        let (_, order) = self.queue.pop_first()?;
        self.places.remove(&order.0);
        Some(order)
    }

    /// The orders that are due, in the order in which they fire.
    pub fn queue(&self) -> impl Iterator<Item = OrderId> {
        self.queue.values().copied()
    }

    /// Puts an order behind those that are due, as [`Triggers::queue`] has yielded it.
    ///
    /// # Errors
    /// [`ArmRefusal`], and nothing has changed.
    pub fn queue_again(&mut self, order: OrderId) -> Result<(), ArmRefusal> {
        self.admit(order)?;
        self.enqueue(order);
        Ok(())
    }

    /// Every armed order that is not due, by id.
    #[must_use]
    pub fn armed(&self) -> Vec<Armed> {
        let trailing = self.lanes.iter().flat_map(|lane| &lane.trailing);
        let mut armed: Vec<Armed> = self.fixed.values().chain(trailing).copied().collect();
        armed.sort_unstable_by_key(|armed| armed.order);
        armed
    }

    /// Checks everything that this module promises itself; O(armed orders).
    ///
    /// # Errors
    /// The first [`TriggerFault`] found.
    pub fn check_invariants(&self) -> Result<(), TriggerFault> {
        let (mut fixed, mut trailing) = (0_usize, 0_usize);
        for (number, lane) in self.lanes.iter().enumerate() {
            if (lane.fires_from, lane.moves_until) != lane.thresholds() {
                return Err(TriggerFault::Thresholds);
            }
            let by_id = |&(rank, age): &(u64, u64)| {
                self.fixed
                    .get(&OrderId::of_age(age).0)
                    .is_some_and(|armed| armed.fires_from() == Some(rank) && lane_of(armed) == number)
            };
            if !lane.fixed.iter().all(by_id) || lane.trailing.iter().any(|armed| lane_of(armed) != number) {
                return Err(TriggerFault::Index);
            }
            fixed = fixed.saturating_add(lane.fixed.len());
            trailing = trailing.saturating_add(lane.trailing.len());
        }
        if (fixed, trailing) != (self.fixed.len(), self.trailing) {
            return Err(TriggerFault::Index);
        }
        let is_placed = |(place, order): (&u64, &OrderId)| self.places.get(&order.0) == Some(place);
        if self.places.len() != self.queue.len() || !self.queue.iter().all(is_placed) {
            return Err(TriggerFault::Queue);
        }
        Ok(())
    }

    fn enqueue(&mut self, order: OrderId) {
        self.last_place = self.last_place.saturating_add(1);
        self.queue.insert(self.last_place, order);
        self.places.insert(order.0, self.last_place);
    }

    #[expect(clippy::indexing_slicing, reason = "a lane is below 8")]
    fn lane_mut(&mut self, armed: &Armed) -> &mut Lane {
        &mut self.lanes[lane_of(armed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(damage: impl FnOnce(&mut Triggers)) -> TriggerFault {
        let mut triggers = Triggers::default();
        let armed = |order, price, trail| Armed {
            order: OrderId(order),
            side: Side::Buy,
            trigger: Trigger {
                price_ticks: PriceTicks(price),
                price_type: TriggerPriceType::Last,
                direction: TriggerDirection::Up,
            },
            trail,
            extreme: None,
        };
        triggers.arm(armed(1, 7, None)).unwrap();
        triggers.arm(armed(2, 5, Some(Trail { by: TrailBy::Ticks, offset: 1 }))).unwrap();
        triggers.queue_again(OrderId(3)).unwrap();
        triggers.queue_again(OrderId(4)).unwrap();
        assert_eq!(triggers.check_invariants(), Ok(()));
        damage(&mut triggers);
        triggers.check_invariants().unwrap_err()
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        assert_eq!(fault(|triggers| triggers.lanes[0].fires_from = 8), TriggerFault::Thresholds);
        assert_eq!(fault(|triggers| triggers.lanes[0].moves_until = 6), TriggerFault::Thresholds);
        assert_eq!(fault(|triggers| triggers.trailing = 2), TriggerFault::Index);
        assert_eq!(fault(|triggers| triggers.fixed.clear()), TriggerFault::Index);
        assert_eq!(fault(|triggers| triggers.lanes.swap(0, 1)), TriggerFault::Index);
        let moved = |triggers: &mut Triggers| {
            triggers.lanes[0].fixed.clear();
            triggers.lanes[0].refresh();
        };
        assert_eq!(fault(moved), TriggerFault::Index);
        let elsewhere = |triggers: &mut Triggers| {
            triggers.lanes[0].fixed = BTreeSet::from([(8, OrderId(1).age())]);
            triggers.lanes[0].refresh();
        };
        assert_eq!(fault(elsewhere), TriggerFault::Index, "by price it stands at 8, by id at 7");
        assert_eq!(fault(|triggers| triggers.places.clear()), TriggerFault::Queue);
        let swapped = |triggers: &mut Triggers| {
            triggers.places.insert(3, 2);
        };
        assert_eq!(fault(swapped), TriggerFault::Queue);
    }
}
