//! Armed orders beside a list of them that is searched for each price.

use std::collections::BTreeSet;

use engine::matching::triggers::{ArmRefusal, Armed, Prices, TRAILING_PER_MARKET_MAX, Triggers};
use protocol::TriggerDirection::{self, Down, Up};
use protocol::TriggerPriceType::{self, Best, Index, Last};
use protocol::terms::{Trail, Trigger};
use protocol::{OrderId, PriceTicks, Side, TrailBy};

use crate::draw::{Draw, OPERATIONS_A_SEED, seeds};

const ARMED_MAX: usize = 60;

/// The armed orders in a list, and the due ones in another.
#[derive(Default)]
struct Naive {
    armed: Vec<Armed>,
    due: Vec<u64>,
}

fn price_of(armed: &Armed, prices: &Prices) -> Option<u64> {
    let price = match (armed.trigger.price_type, armed.side) {
        (Last, _) => prices.last,
        (Best, Side::Buy) => prices.best_ask,
        (Best, Side::Sell) => prices.best_bid,
        (Index, _) => prices.index,
    };
    price.map(|price| price.0).filter(|&price| price > 0)
}

/// The trigger price of a trailing order: rational numbers, rounded once.
fn trailing_price(direction: TriggerDirection, trail: Trail, extreme: u64) -> u64 {
    let (extreme, offset) = (i128::from(extreme), i128::from(trail.offset));
    let price = match (trail.by, direction) {
        (TrailBy::Ticks, Up) => extreme + offset,
        (TrailBy::Ticks, Down) => extreme - offset,
        (TrailBy::BasisPoints, Up) => {
            let exact = extreme * (10_000 + offset);
            exact / 10_000 + i128::from(exact % 10_000 > 0)
        }
        (TrailBy::BasisPoints, Down) => extreme * (10_000 - offset) / 10_000,
    };
    u64::try_from(price.clamp(0, i128::from(u64::MAX))).unwrap()
}

impl Naive {
    /// Lets one order see one price; the trigger price if it fires.
    fn see(armed: &mut Armed, price: u64) -> Option<u64> {
        let Trigger { price_ticks, direction, .. } = armed.trigger;
        let trigger = match armed.trail {
            None => price_ticks.0,
            Some(trail) => {
                let activated = price_ticks.0 == 0
                    || match direction {
                        Up => price <= price_ticks.0,
                        Down => price >= price_ticks.0,
                    };
                armed.extreme = match (armed.extreme, direction) {
                    (None, _) => activated.then_some(PriceTicks(price)),
                    (Some(extreme), Up) => Some(PriceTicks(extreme.0.min(price))),
                    (Some(extreme), Down) => Some(PriceTicks(extreme.0.max(price))),
                };
                trailing_price(direction, trail, armed.extreme?.0)
            }
        };
        let fires = match direction {
            Up => price >= trigger,
            Down => price <= trigger,
        };
        fires.then_some(trigger)
    }

    fn due(&mut self, seen: &[Prices]) {
        let mut fired: Vec<(Armed, u64)> = Vec::new();
        for prices in seen {
            self.armed.retain_mut(|armed| {
                let trigger = price_of(armed, prices).and_then(|price| Self::see(armed, price));
                fired.extend(trigger.map(|trigger| (*armed, trigger)));
                trigger.is_none()
            });
        }
        for direction in [Up, Down] {
            for price_type in [Last, Best, Index] {
                let of_kind = |(armed, _): &&(Armed, u64)| {
                    armed.trigger.direction == direction && armed.trigger.price_type == price_type
                };
                let mut kind: Vec<(u64, u64)> =
                    fired.iter().filter(of_kind).map(|(armed, trigger)| (*trigger, armed.order.0)).collect();
                kind.sort_by(|a, b| match direction {
                    Up => a.cmp(b),
                    Down => b.0.cmp(&a.0).then(a.1.cmp(&b.1)),
                });
                self.due.extend(kind.iter().map(|(_, order)| order));
            }
        }
    }

    fn arm(&mut self, armed: Armed) -> Result<(), ArmRefusal> {
        match armed.trail {
            None if armed.trigger.price_ticks.0 == 0 => return Err(ArmRefusal::ZeroPrice),
            Some(Trail { offset: 0, .. } | Trail { by: TrailBy::BasisPoints, offset: 10_000.. }) => {
                return Err(ArmRefusal::OffsetOutOfRange);
            }
            None | Some(_) => {}
        }
        if self.armed.iter().any(|other| other.order == armed.order) || self.due.contains(&armed.order.0) {
            return Err(ArmRefusal::DuplicateId);
        }
        if self.armed.len() + self.due.len() >= ARMED_MAX {
            return Err(ArmRefusal::TooManyArmed);
        }
        self.armed.push(armed);
        Ok(())
    }

    fn remove(&mut self, order: u64) -> bool {
        let before = self.armed.len() + self.due.len();
        self.armed.retain(|armed| armed.order.0 != order);
        self.due.retain(|&due| due != order);
        before > self.armed.len() + self.due.len()
    }
}

/// Prices of a market whose mid walks, and the orders drawn for it.
struct Flow {
    draw: Draw,
    mid: u64,
    next_id: u64,
    ids: Vec<u64>,
}

impl Flow {
    fn price(&mut self) -> u64 {
        match self.draw.below(60) {
            0 => self.draw.below(3),
            1 => u64::MAX - self.draw.below(3),
            _ => self.mid.saturating_add(self.draw.below(41)).saturating_sub(20),
        }
    }

    fn prices(&mut self) -> Prices {
        let mut price = || match self.draw.below(300) {
            0..100 => None,
            100 => Some(PriceTicks(u64::MAX - self.draw.below(2))),
            101 => Some(PriceTicks(self.draw.below(2))),
            _ => Some(PriceTicks(self.mid + self.draw.below(9) - 4)),
        };
        Prices { last: price(), best_bid: price(), best_ask: price(), index: price() }
    }

    fn target(&mut self) -> u64 {
        if self.ids.is_empty() {
            return 0;
        }
        self.ids[self.draw.below(self.ids.len() as u64) as usize]
    }

    fn armed(&mut self) -> Armed {
        // Ids come in no order: a list's legs are armed when another one has ended.
        let order = if self.draw.below(30) == 0 { self.target() } else { self.next_id ^ self.draw.below(4) };
        self.next_id += 4;
        self.ids.push(order);
        let price_type = [Last, Best, Index][self.draw.below(3) as usize];
        let direction = [Up, Down][self.draw.below(2) as usize];
        let (by, offset) = match self.draw.below(4) {
            0 => (TrailBy::BasisPoints, self.draw.below(200)),
            1 => (TrailBy::BasisPoints, 9_990 + self.draw.below(12)),
            _ => (TrailBy::Ticks, self.draw.below(12)),
        };
        let (price, trail) = match self.draw.below(5) {
            0 => (self.price(), Some(Trail { by, offset })),
            1 => (0, Some(Trail { by, offset })),
            _ => (self.price(), None),
        };
        let trigger = Trigger { price_ticks: PriceTicks(price), price_type, direction };
        Armed { order: OrderId(order), side: self.draw.side(), trigger, trail, extreme: None }
    }
}

/// The same orders armed again from what the snapshot would hold.
fn restored(triggers: &Triggers) -> Triggers {
    let mut copy = Triggers::with_armed_max(ARMED_MAX);
    for order in triggers.queue() {
        copy.queue_again(order).unwrap();
    }
    for armed in triggers.armed() {
        copy.arm(armed).unwrap();
    }
    copy
}

/// One seed's operations; what happened.
fn run(seed: u64) -> BTreeSet<String> {
    let mut flow = Flow { draw: Draw(seed), mid: 1_000, next_id: 4, ids: Vec::new() };
    let (mut triggers, mut naive) = (Triggers::with_armed_max(ARMED_MAX), Naive::default());
    let mut seen = BTreeSet::new();
    for step in 0..OPERATIONS_A_SEED {
        match flow.draw.below(20) {
            0..=7 => {
                let armed = flow.armed();
                let got = triggers.arm(armed);
                assert_eq!(got, naive.arm(armed), "SEED={seed}, step {step}: {armed:?}");
                seen.insert(format!("{got:?}"));
            }
            8..=9 => {
                let order = flow.target();
                assert_eq!(triggers.remove(OrderId(order)), naive.remove(order), "SEED={seed}, step {step}");
            }
            10..=12 => {
                let next = (!naive.due.is_empty()).then(|| naive.due.remove(0));
                assert_eq!(triggers.next_due().map(|order| order.0), next, "SEED={seed}, step {step}");
            }
            _ => {
                flow.mid = (flow.mid + flow.draw.below(13) - 6).max(40);
                let prices = [flow.prices(), flow.prices()];
                let prices = &prices[..flow.draw.below(3) as usize];
                triggers.due(prices.iter().copied());
                naive.due(prices);
            }
        }
        let due: Vec<u64> = triggers.queue().map(|order| order.0).collect();
        assert_eq!(due, naive.due, "SEED={seed}, step {step}");
        if due.len() > 1 {
            seen.insert("several are due".to_owned());
        }
        if step % 16 == 0 {
            naive.armed.sort_by_key(|armed| armed.order);
            assert_eq!(triggers.armed(), naive.armed, "SEED={seed}, step {step}");
            triggers.check_invariants().unwrap();
        }
        if step % 101 == 0 {
            triggers = restored(&triggers);
        }
        if flow.ids.len() > 200 {
            flow.ids.drain(..100);
        }
    }
    seen
}

#[test]
fn armed_orders_agree_with_a_list_of_them() {
    for seed in seeds() {
        let expected = [
            "Err(DuplicateId)",
            "Err(OffsetOutOfRange)",
            "Err(TooManyArmed)",
            "Err(ZeroPrice)",
            "Ok(())",
            "several are due",
        ];
        assert_eq!(run(seed).iter().map(String::as_str).collect::<Vec<_>>(), expected, "SEED={seed}");
    }
}

fn armed(
    order: u64,
    direction: TriggerDirection,
    price_type: TriggerPriceType,
    price: u64,
    trail: Option<Trail>,
) -> Armed {
    let trigger = Trigger { price_ticks: PriceTicks(price), price_type, direction };
    Armed { order: OrderId(order), side: Side::Sell, trigger, trail, extreme: None }
}

fn everywhere(price: u64) -> Prices {
    let price = Some(PriceTicks(price));
    Prices { last: price, best_bid: price, best_ask: price, index: price }
}

fn drain(triggers: &mut Triggers) -> Vec<u64> {
    std::iter::from_fn(|| triggers.next_due()).map(|order| order.0).collect()
}

#[test]
fn orders_fire_as_the_market_would_have_met_them() {
    let mut triggers = Triggers::default();
    for (order, direction, price_type, price) in [
        (1, Down, Last, 101),
        (2, Down, Last, 103),
        (3, Up, Index, 90),
        (4, Up, Best, 99),
        (5, Up, Last, 100),
        (7, Up, Last, 98),
        (6, Up, Last, 98),
        (8, Up, Last, 101),
    ] {
        triggers.arm(armed(order, direction, price_type, price, None)).unwrap();
    }
    triggers.due([everywhere(100)]);
    assert_eq!(drain(&mut triggers), [6, 7, 5, 4, 3, 2, 1]);
    assert_eq!(triggers.len(), 1);
}

#[test]
fn a_trailing_stop_follows_its_market_and_never_goes_back() {
    let mut triggers = Triggers::default();
    let (order, trail) = (OrderId(1), Trail { by: TrailBy::BasisPoints, offset: 150 });
    triggers.arm(armed(1, Down, Last, 1_000, Some(trail))).unwrap();
    let trigger = |triggers: &Triggers| triggers.get(order).unwrap().trigger_price().map(|price| price.0);
    // 1.5 % of 1,001 is 15.015 ticks: the trigger stands 16 behind.
    for (last, expected) in
        [(900, None), (999, None), (1_001, Some(985)), (990, Some(985)), (1_000, Some(985))]
    {
        triggers.due([everywhere(last)]);
        assert_eq!((trigger(&triggers), triggers.next_due()), (expected, None), "at {last}");
    }
    triggers.due([everywhere(1_100)]);
    assert_eq!(trigger(&triggers), Some(1_083));
    triggers.due([everywhere(1_083)]);
    assert_eq!(drain(&mut triggers), [1]);
    assert!(triggers.is_empty());
}

/// Only the ends of a sweep are told, and what lies between was passed.
#[test]
fn a_price_within_one_command_is_not_missed() {
    let mut triggers = Triggers::default();
    triggers.arm(armed(1, Down, Last, 95, None)).unwrap();
    triggers.arm(armed(2, Up, Last, 105, None)).unwrap();
    triggers.due([everywhere(94), everywhere(110)]);
    assert_eq!(drain(&mut triggers), [2, 1], "rising ones first, whenever they became due");
}

#[test]
fn trailing_orders_are_bounded() {
    let mut triggers = Triggers::default();
    let trail = Trail { by: TrailBy::Ticks, offset: 1 };
    let armed = |order| armed(order, Up, Last, 0, Some(trail));
    for order in 0..TRAILING_PER_MARKET_MAX as u64 {
        triggers.arm(armed(order)).unwrap();
    }
    assert_eq!(triggers.arm(armed(5_000)), Err(ArmRefusal::TooManyTrailing));
    assert!(triggers.remove(OrderId(17)));
    triggers.arm(armed(5_000)).unwrap();
    triggers.due([everywhere(10), everywhere(11)]);
    assert_eq!(drain(&mut triggers).len(), TRAILING_PER_MARKET_MAX);
    triggers.arm(armed(5_001)).unwrap();
}
