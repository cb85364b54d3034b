//! The common matching workload: the same flow that other engines were measured on, from a seed.
//!
//! Recipe: about 1,000 orders a side, 45 % adds near a drifting mid, 10 % IOC orders that take up to 50 lots within five
//! ticks, 40 % cancels, 2.5 % reduces, 2.5 % moves. The generator keeps a naive book (trees of queues), which says what
//! every price-time book must arrive at: trades, volume, and a checksum over each trade in order.
//! The tests of `engine` include this file too, so it names nothing but `protocol`.

use std::collections::{BTreeMap, VecDeque};

use protocol::Side;

/// What an operation does. The numbers are those of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rest a limit order.
    Add,
    /// Trade within `price`, and forget the rest.
    Ioc,
    /// Cancel `id`.
    Cancel,
    /// Lower the quantity of `id` by `qty`; it keeps its place.
    Reduce,
    /// Move `id`, which has `qty` left, to `price`; it loses its place.
    Move,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    pub(crate) side: Side,
    pub(crate) symbol: u16,
    pub(crate) qty: u32,
    pub(crate) id: u64,
    pub(crate) price: u64,
}

/// What the trades of a run add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) trades: u64,
    pub(crate) volume: u64,
    pub(crate) checksum: u64,
}

impl Tally {
    #[inline]
    pub(crate) fn trade(&mut self, maker_id: u64, price: u64, qty: u64) {
        let folded = maker_id
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(price.wrapping_mul(0xC2B2_AE3D_27D4_EB4F))
            .wrapping_add(qty);
        self.trades += 1;
        self.volume += qty;
        self.checksum = (self.checksum ^ folded).rotate_left(5);
    }
}

/// A flow and what it must arrive at.
pub(crate) struct Workload {
    pub(crate) symbols: usize,
    /// Builds the books; not timed.
    pub(crate) prefill: Vec<Op>,
    pub(crate) ops: Vec<Op>,
    /// Of `ops`; the prefill does not trade.
    pub(crate) expected: Tally,
    /// Resting orders at the end.
    pub(crate) live: u64,
}

/// Resting orders of the recipe, both sides.
pub(crate) const RESTING: usize = 2_000;
const MID_START: u64 = 100_000;

/// xorshift64*.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(2_685_821_657_736_338_717)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    fn below_len(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}

#[derive(Clone, Copy, Default)]
struct Known {
    price: u64,
    qty: u64,
    /// Place in the list of live orders.
    place: usize,
}

/// One side of the naive book. Which end is best depends on the side.
#[derive(Default)]
struct NaiveSide {
    levels: BTreeMap<u64, VecDeque<u64>>,
    /// Ids in the order in which a uniform draw picks them.
    live: Vec<u64>,
}

struct Symbol {
    mid: u64,
    steps: u64,
    bids: NaiveSide,
    asks: NaiveSide,
}

impl Symbol {
    fn side(&self, side: Side) -> &NaiveSide {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut NaiveSide {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn best(&self, side: Side) -> Option<u64> {
        match side {
            Side::Buy => self.bids.levels.keys().next_back().copied(),
            Side::Sell => self.asks.levels.keys().next().copied(),
        }
    }
}

struct Generator {
    draw: Draw,
    orders_a_side_max: usize,
    orders_a_side_min: usize,
    /// Ticks from the mid within which orders rest: one for ten orders of a side.
    depth_ticks: u64,
    symbols: Vec<Symbol>,
    /// By order id, which is the number of the operation.
    known: Vec<Known>,
    tally: Tally,
}

/// The flow of a seed. `symbols` is at least 1 and below 65,536; each book holds about `resting` orders, at least 200, on
/// levels of as many each as the recipe's.
pub(crate) fn generate(symbols: u16, resting: usize, ops: usize, seed: u64) -> Workload {
    let orders_a_side = resting / 2;
    let depth_ticks = orders_a_side as u64 / 10;
    let prefill_ops = usize::from(symbols) * 2 * orders_a_side;
    let mid = MID_START.max(2 * depth_ticks);
    let mut generator = Generator {
        draw: Draw(seed),
        orders_a_side_max: orders_a_side + orders_a_side / 10,
        orders_a_side_min: orders_a_side - orders_a_side / 10,
        depth_ticks,
        symbols: (0..symbols)
            .map(|_| Symbol { mid, steps: 0, bids: NaiveSide::default(), asks: NaiveSide::default() })
            .collect(),
        known: vec![Known::default(); prefill_ops + ops + 1],
        tally: Tally::default(),
    };
    let count = u64::from(symbols);
    let prefill = (0..prefill_ops as u64).map(|i| {
        let side = if (i / count).is_multiple_of(2) { Side::Buy } else { Side::Sell };
        generator.add(i + 1, (i % count) as usize, side)
    });
    let prefill = prefill.collect();
    let ops = (0..ops).map(|i| {
        let symbol = if symbols == 1 { 0 } else { generator.draw.below(count) as usize };
        generator.step((prefill_ops + i) as u64 + 1, symbol)
    });
    let ops = ops.collect();
    let live = generator.symbols.iter().map(|s| (s.bids.live.len() + s.asks.live.len()) as u64).sum();
    Workload { symbols: usize::from(symbols), prefill, ops, expected: generator.tally, live }
}

impl Generator {
    fn op(&self, kind: Kind, symbol: usize, side: Side, id: u64, qty: u64, price: u64) -> Op {
        Op { kind, side, symbol: symbol as u16, qty: qty as u32, id, price }
    }

    fn step(&mut self, id: u64, symbol: usize) -> Op {
        self.symbols[symbol].steps += 1;
        if self.symbols[symbol].steps.is_multiple_of(1_000) {
            match self.draw.below(4) {
                0 => self.symbols[symbol].mid -= 1,
                1 => self.symbols[symbol].mid += 1,
                _ => {}
            }
        }
        let mix = self.draw.below(1_000);
        let side = if self.draw.below(2) == 0 { Side::Buy } else { Side::Sell };
        let orders = self.symbols[symbol].side(side).live.len();
        match mix {
            0..450 if orders >= self.orders_a_side_max => self.cancel(symbol, side),
            0..450 => self.add(id, symbol, side),
            450..550 => self.ioc(id, symbol, side),
            550..950 if orders <= self.orders_a_side_min => self.add(id, symbol, side),
            550..950 => self.cancel(symbol, side),
            950..975 => self.reduce(symbol, side),
            _ => self.relocate(symbol, side),
        }
    }

    /// A price that does not cross, most likely near the mid.
    fn passive_price(&mut self, symbol: usize, side: Side) -> u64 {
        let (a, b) = (self.draw.below(self.depth_ticks), self.draw.below(self.depth_ticks));
        let distance = 1 + a.min(b);
        let symbol = &self.symbols[symbol];
        let opposite = symbol.best(side.opposite());
        match side {
            Side::Buy => opposite.map_or(u64::MAX, |ask| ask - 1).min(symbol.mid - distance),
            Side::Sell => opposite.map_or(0, |bid| bid + 1).max(symbol.mid + distance),
        }
    }

    fn add(&mut self, id: u64, symbol: usize, side: Side) -> Op {
        let price = self.passive_price(symbol, side);
        let qty = 1 + self.draw.below(100);
        let naive = self.symbols[symbol].side_mut(side);
        self.known[id as usize] = Known { price, qty, place: naive.live.len() };
        naive.live.push(id);
        naive.levels.entry(price).or_default().push_back(id);
        self.op(Kind::Add, symbol, side, id, qty, price)
    }

    fn pick(&mut self, symbol: usize, side: Side) -> u64 {
        let live = &self.symbols[symbol].side(side).live;
        live[self.draw.below_len(live.len())]
    }

    fn cancel(&mut self, symbol: usize, side: Side) -> Op {
        let id = self.pick(symbol, side);
        let Known { price, qty, .. } = self.known[id as usize];
        self.leave_level(symbol, side, id);
        self.leave_live(symbol, side, id);
        self.op(Kind::Cancel, symbol, side, id, qty, price)
    }

    fn reduce(&mut self, symbol: usize, side: Side) -> Op {
        let mut id = self.pick(symbol, side);
        while self.known[id as usize].qty < 2 {
            id = self.pick(symbol, side);
        }
        let known = &mut self.known[id as usize];
        let by = 1 + self.draw.below(known.qty - 1);
        known.qty -= by;
        let price = known.price;
        self.op(Kind::Reduce, symbol, side, id, by, price)
    }

    fn relocate(&mut self, symbol: usize, side: Side) -> Op {
        let id = self.pick(symbol, side);
        let Known { price: from, qty, .. } = self.known[id as usize];
        let mut price = self.passive_price(symbol, side);
        if price == from {
            price = match side {
                Side::Buy => price - 1,
                Side::Sell => price + 1,
            };
        }
        self.leave_level(symbol, side, id);
        self.known[id as usize].price = price;
        self.symbols[symbol].side_mut(side).levels.entry(price).or_default().push_back(id);
        self.op(Kind::Move, symbol, side, id, qty, price)
    }

    fn ioc(&mut self, id: u64, symbol: usize, side: Side) -> Op {
        let wanted = 1 + self.draw.below(50);
        let makers = side.opposite();
        let best = self.symbols[symbol].best(makers).expect("a side never runs empty in this flow");
        let limit = match side {
            Side::Buy => best + 5,
            Side::Sell => best - 5,
        };
        let mut left = wanted;
        while left > 0 {
            let Some(price) = self.symbols[symbol].best(makers) else { break };
            let beyond = match side {
                Side::Buy => price > limit,
                Side::Sell => price < limit,
            };
            if beyond {
                break;
            }
            let maker = self.symbols[symbol].side(makers).levels[&price][0];
            let traded = left.min(self.known[maker as usize].qty);
            self.tally.trade(maker, price, traded);
            left -= traded;
            self.known[maker as usize].qty -= traded;
            if self.known[maker as usize].qty == 0 {
                self.leave_level(symbol, makers, maker);
                self.leave_live(symbol, makers, maker);
            }
        }
        self.op(Kind::Ioc, symbol, side, id, wanted, limit)
    }

    fn leave_level(&mut self, symbol: usize, side: Side, id: u64) {
        let price = self.known[id as usize].price;
        let levels = &mut self.symbols[symbol].side_mut(side).levels;
        let queue = levels.get_mut(&price).expect("a live order's level");
        queue.retain(|&queued| queued != id);
        if queue.is_empty() {
            levels.remove(&price);
        }
    }

    fn leave_live(&mut self, symbol: usize, side: Side, id: u64) {
        let place = self.known[id as usize].place;
        let live = &mut self.symbols[symbol].side_mut(side).live;
        live.swap_remove(place);
        if let Some(&moved) = live.get(place) {
            self.known[moved as usize].place = place;
        }
    }
}
