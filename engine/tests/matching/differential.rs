//! Every operation of the book beside the naive one's.

use std::collections::BTreeSet;

use engine::matching::{
    Book, BookLimits, BookRefusal, Cross, DepthLevel, Fill, MarketLots, Resting, Slot, Uncross,
};
use protocol::{OrderId, PriceTicks, QtyLots, Side};

use crate::auctions;
use crate::draw::{Draw, OPERATIONS_A_SEED, seeds};
use crate::naive::{Naive, NaiveFill, NaiveOrder, within};
use crate::shape::{SHAPES, Shape};

fn plain(order: &Resting) -> NaiveOrder {
    NaiveOrder {
        id: order.id.0,
        price: order.price.0,
        visible: order.visible().0,
        hidden: order.reserve.map_or(0, |reserve| reserve.hidden.0),
        display: order.reserve.map_or(0, |reserve| reserve.display.0),
    }
}

/// The book, the naive one, and what the engine would keep: which order owns which slot.
struct Pair {
    shape: Shape,
    book: Book,
    naive: Naive,
    owners: Vec<Option<u64>>,
    /// Ids that rest or rested lately: targets of cancels, reduces and moves.
    ids: Vec<u64>,
    draw: Draw,
    mid: u64,
    next_id: u64,
    /// What happened in this run: a flow that never fills a book proves nothing about full books.
    seen: BTreeSet<String>,
}

impl Pair {
    fn new(shape: Shape, seed: u64) -> Self {
        let (book, draw) = (Book::new(shape.limits()), Draw(seed));
        let (owners, ids) = (Vec::new(), Vec::new());
        Self {
            shape,
            book,
            naive: Naive::default(),
            owners,
            ids,
            draw,
            mid: 1_000_000,
            next_id: 1,
            seen: BTreeSet::new(),
        }
    }

    fn see(&mut self, refused: Option<BookRefusal>, operation: &str) {
        self.seen.insert(match refused {
            Some(refusal) => format!("{operation}: {refusal:?}"),
            None => operation.to_owned(),
        });
    }

    fn own(&mut self, slot: Slot, id: u64) {
        if self.owners.len() <= slot.index() {
            self.owners.resize(slot.index() + 1, None);
        }
        assert_eq!(self.owners[slot.index()].replace(id), None, "a slot was given out twice");
    }

    fn disown(&mut self, slot: Slot, id: u64) {
        assert_eq!(self.owners[slot.index()].take(), Some(id), "a slot changed its order");
    }

    fn target(&mut self) -> u64 {
        if self.ids.is_empty() || self.draw.below(50) == 0 {
            return self.next_id + 7;
        }
        let place = self.draw.below(self.ids.len() as u64) as usize;
        self.ids[place]
    }

    fn limit(&mut self, taker: Side) -> Option<u64> {
        (self.draw.below(5) > 0).then(|| self.shape.price(&mut self.draw, self.mid, taker.opposite()))
    }

    fn step(&mut self) {
        if self.draw.below(100) == 0 {
            if matches!(self.shape, Shape::Jumping) && self.draw.below(4) == 0 {
                self.mid = self.draw.next() | 1_024;
            } else if !matches!(self.shape, Shape::OneLevel) {
                self.mid = self.mid.wrapping_add(self.draw.below(5)).wrapping_sub(2);
            }
        }
        let inserts = if matches!(self.shape, Shape::Deep) { 52 } else { 42 };
        match self.draw.below(100) {
            n if n < inserts => self.insert(),
            0..=56 => self.trade(),
            57 => self.auction(),
            58..=64 => self.trade_by_front(),
            65..=70 => self.sweep(),
            71..=82 => self.cancel(),
            83..=91 => self.reduce(),
            _ => self.relocate(),
        }
        for side in [Side::Buy, Side::Sell] {
            assert_eq!(self.book.best(side).map(|price| price.0), self.naive.best(side));
        }
        assert_eq!(self.book.len(), self.owners.iter().flatten().count());
    }

    fn insert(&mut self) {
        let side = self.draw.side();
        let price = self.shape.price(&mut self.draw, self.mid, side);
        let qty = self.shape.qty(&mut self.draw);
        let id = if self.draw.below(40) == 0 { self.target() } else { self.next_id };
        self.next_id += 1 + self.draw.below(3);
        let display = (self.draw.below(3) == 0).then(|| self.shape.display(&mut self.draw, qty));
        let expected = self.naive.insert(self.shape.limits(), (id, side, price), qty, display);
        let (order, price, qty) = (OrderId(id), PriceTicks(price), QtyLots(qty));
        let got = match display {
            None => self.book.insert(order, side, price, qty),
            Some(display) => self.book.insert_iceberg(order, side, price, qty, QtyLots(display)),
        };
        assert_eq!(got.map(|_| ()), expected);
        self.see(expected.err(), "insert");
        if let Ok(slot) = got {
            self.own(slot, id);
            self.ids.push(id);
        }
    }

    fn compare_fills(&mut self, got: &[Fill], expected: &[NaiveFill]) {
        let plain = got.iter().map(|fill| NaiveFill {
            id: fill.maker_id.0,
            price: fill.price.0,
            qty: fill.qty.0,
            maker_left: fill.maker_left.0,
            refilled: fill.refilled.map(|slice| slice.0),
        });
        assert_eq!(plain.collect::<Vec<_>>(), expected);
        if let [first, .., last] = got
            && first.price.0 >> 6 != last.price.0 >> 6
        {
            self.see(None, "fills in several blocks");
        }
        for fill in got {
            if fill.refilled.is_some() {
                self.see(None, "refill");
            }
            assert_eq!(self.owners[fill.maker.index()], Some(fill.maker_id.0));
            if fill.maker_left.0 == 0 {
                self.disown(fill.maker, fill.maker_id.0);
            }
        }
    }

    fn trade(&mut self) {
        let taker = self.draw.side();
        let limit = self.limit(taker);
        let qty = self.shape.qty(&mut self.draw);
        let foretold = self.book.fillable(taker, limit.map(PriceTicks), QtyLots(qty));
        let (left, expected) = self.naive.match_against(taker, limit, qty);
        let mut got = Vec::new();
        let got_left =
            self.book.match_against(taker, limit.map(PriceTicks), QtyLots(qty), |fill| got.push(fill));
        assert_eq!(got_left.0, left);
        assert_eq!(foretold.lots.0, qty - left, "what is fillable is what fills");
        let cost: u128 = expected.iter().map(|fill| u128::from(fill.price) * u128::from(fill.qty)).sum();
        assert_eq!(foretold.notional, cost);
        self.compare_fills(&got, &expected);
    }

    /// Maker by maker, as an engine does that looks at each maker first.
    fn trade_by_front(&mut self) {
        let taker = self.draw.side();
        let limit = self.limit(taker);
        let qty = self.shape.qty(&mut self.draw);
        let (left, expected) = self.naive.match_against(taker, limit, qty);
        let (mut got, mut got_left) = (Vec::new(), qty);
        while got_left > 0 {
            let Some(front) = self.book.front(taker, limit.map(PriceTicks)) else { break };
            let fill = self.book.fill_front(taker, limit.map(PriceTicks), QtyLots(got_left)).unwrap();
            assert_eq!((fill.maker, fill.maker_id, fill.price), (front.slot, front.id, front.price));
            assert_eq!(fill.maker_left.0, front.qty.0 - fill.qty.0);
            assert_eq!(fill.qty.0, got_left.min(front.visible().0));
            got_left -= fill.qty.0;
            got.push(fill);
        }
        assert_eq!(got_left, left);
        assert_eq!(self.book.fill_front(taker, limit.map(PriceTicks), QtyLots(0)), None);
        self.compare_fills(&got, &expected);
    }

    fn sweep(&mut self) {
        let taker = self.draw.side();
        let limit = self.limit(taker);
        let qty = self.shape.qty(&mut self.draw);
        let budget = match self.draw.below(4) {
            0 => 0,
            1 => u128::MAX,
            2 => u128::from(self.mid) * u128::from(self.draw.below(300)) + u128::from(self.draw.below(99)),
            _ => u128::from(self.draw.next()),
        };
        let side = limit.map(PriceTicks);
        assert_eq!(self.book.fillable(taker, side, QtyLots(qty)), self.naive.sweep(taker, limit, qty, None));
        let affordable = self.book.affordable(taker, side, budget);
        assert_eq!(affordable, self.naive.sweep(taker, limit, u64::MAX, Some(budget)));
        assert!(affordable.notional <= budget);
        if affordable.lots.0 == u64::MAX {
            self.see(None, "more than u64 lots for sale");
        }
    }

    /// Orders gather at prices that cross, are changed meanwhile, and trade at one price.
    fn auction(&mut self) {
        self.book.set_may_cross(true).unwrap();
        self.naive.may_cross = true;
        for _ in 0..self.draw.below(12) {
            match self.draw.below(6) {
                0 => self.relocate(),
                1 => self.reduce(),
                2 => self.cancel(),
                _ => self.insert(),
            }
        }
        self.compare_all();
        let reference =
            (self.draw.below(3) > 0).then(|| self.shape.price(&mut self.draw, self.mid, Side::Buy));
        let mut lots = || if self.draw.below(3) == 0 { u128::from(self.draw.below(90)) } else { 0 };
        let market = MarketLots { buy: lots(), sell: lots() };
        let levels = |side| auctions::levels_of(self.naive.side(side));
        let expected = auctions::best_price(&levels(Side::Buy), &levels(Side::Sell), market, reference);
        let uncross = self.book.uncross(market, reference.map(PriceTicks));
        assert_eq!(uncross, expected);
        let crossed = self.naive.best(Side::Buy) >= self.naive.best(Side::Sell)
            && self.naive.best(Side::Sell).is_some();
        assert_eq!(self.book.crossed().is_some(), crossed);
        assert!(!crossed || uncross.is_some(), "what crosses can trade");
        if crossed {
            assert_eq!(self.book.set_may_cross(false), Err(BookRefusal::WouldCross));
        }
        if let Some(Uncross { price, lots, .. }) = uncross {
            self.trade_at(price, market, lots);
        }
        self.book.set_may_cross(false).unwrap();
        self.naive.may_cross = false;
        self.see(None, if uncross.is_some() { "an auction trades" } else { "an auction without trades" });
        self.compare_all();
    }

    /// Market orders first, as an engine does, then the pairs: both together are the `lots` foretold.
    fn trade_at(&mut self, price: PriceTicks, market: MarketLots, lots: u128) {
        let among_market_orders = market.buy.min(market.sell);
        let mut traded = among_market_orders;
        for (taker, all) in [(Side::Buy, market.buy), (Side::Sell, market.sell)] {
            let qty = u64::try_from(all - among_market_orders).unwrap();
            let (left, expected) = self.naive.match_against(taker, Some(price.0), qty);
            let mut got = Vec::new();
            self.book.match_against(taker, Some(price), QtyLots(qty), |fill| got.push(fill));
            self.compare_fills(&got, &expected);
            traded += u128::from(qty - left);
        }
        let (mut bids, mut asks) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        while let Some(Cross { bid, ask }) = self.book.cross_at(price) {
            assert_eq!(bid.qty, ask.qty);
            bids.0.push(bid);
            asks.0.push(ask);
        }
        traded += bids.0.iter().map(|fill| u128::from(fill.qty.0)).sum::<u128>();
        assert_eq!(traded, lots);
        // The first of each side, as much as both show, over and over.
        let limit = Some(price.0);
        loop {
            let first = |side: Side| {
                let first =
                    self.naive.side(side).first().filter(|order| within(side.opposite(), limit, order.price));
                first.map(|order| order.visible)
            };
            let (Some(bid), Some(ask)) = (first(Side::Buy), first(Side::Sell)) else { break };
            bids.1.extend(self.naive.fill_front(Side::Sell, limit, bid.min(ask)));
            asks.1.extend(self.naive.fill_front(Side::Buy, limit, bid.min(ask)));
        }
        self.compare_fills(&bids.0, &bids.1);
        self.compare_fills(&asks.0, &asks.1);
    }

    fn cancel(&mut self) {
        let id = self.target();
        let expected = self.naive.remove(id);
        let slot = self.book.slot_of(OrderId(id));
        let got = match slot {
            Some(slot) if self.draw.below(2) == 0 => self.book.cancel(slot),
            _ => self.book.cancel_id(OrderId(id)),
        };
        assert_eq!(got.map(|order| (order.side, plain(&order))), expected);
        self.see(expected.is_none().then_some(BookRefusal::NoSuchOrder), "cancel");
        if let Some(order) = got {
            assert_eq!((Some(order.slot), order.id.0), (slot, id));
            self.disown(order.slot, id);
            assert_eq!(self.book.order(order.slot), None);
            assert_eq!(self.book.cancel(order.slot), None);
        }
    }

    fn slot_or_free(&self, id: u64) -> Slot {
        let free = self.owners.iter().position(Option::is_none).unwrap_or(self.owners.len());
        self.book.slot_of(OrderId(id)).unwrap_or(Slot(u32::try_from(free).unwrap()))
    }

    fn reduce(&mut self) {
        let id = self.target();
        let by = self.shape.qty(&mut self.draw);
        let slot = self.slot_or_free(id);
        let expected = self.naive.reduce(id, by);
        assert_eq!(self.book.reduce(slot, QtyLots(by)).map(|left| left.0), expected);
        self.see(expected.err(), "reduce");
    }

    fn relocate(&mut self) {
        let id = self.target();
        let found = self.naive.find(id);
        let side = found.map_or(Side::Buy, |found| found.0);
        let price = self.shape.price(&mut self.draw, self.mid, side);
        let qty = self.shape.qty(&mut self.draw);
        if let Some((_, order)) = found
            && order.display > 0
        {
            self.see(None, "an iceberg moves");
        }
        let slot = self.slot_or_free(id);
        let got = self.book.relocate(slot, PriceTicks(price), QtyLots(qty));
        assert_eq!(got, self.naive.relocate(self.shape.limits(), id, price, qty));
        self.see(got.err(), "relocate");
        if got.is_ok() {
            assert_eq!(self.book.slot_of(OrderId(id)), Some(slot), "a moved order keeps its slot");
        }
    }

    fn compare_all(&mut self) {
        self.book.check_invariants().unwrap();
        let resting = self.naive.side(Side::Buy).len() + self.naive.side(Side::Sell).len();
        assert_eq!((self.book.len(), self.book.is_empty()), (resting, resting == 0));
        for side in [Side::Buy, Side::Sell] {
            let got = self.book.queue(side).map(|order| plain(&order));
            assert_eq!(got.collect::<Vec<_>>(), *self.naive.side(side));
            let all = self.naive.clone().match_against(side.opposite(), None, u64::MAX).1;
            let mut sold = 0;
            for (slice, fill) in self.book.slices(side).zip(&all) {
                sold += fill.qty;
                let (order, qty) = slice;
                // The last one may be cut short by the most that a taker can want.
                let same_qty = qty.0 == fill.qty || (sold == u64::MAX && qty.0 > fill.qty);
                assert_eq!((order.id.0, order.price.0, same_qty), (fill.id, fill.price, true));
            }
            let slices = self.book.slices(side).count();
            assert!(slices == all.len() || (sold == u64::MAX && slices > all.len()));
            let expected = self.naive.prices(side).into_iter().map(|price| {
                let queue = self.naive.side(side).iter().filter(|order| order.price == price);
                DepthLevel {
                    price: PriceTicks(price),
                    lots: queue.clone().map(|order| u128::from(order.visible)).sum(),
                    orders: u32::try_from(queue.count()).unwrap(),
                }
            });
            assert_eq!(self.book.depth(side).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        for order in self.book.orders() {
            assert_eq!(self.owners[order.slot.index()], Some(order.id.0));
            assert_eq!(self.book.order(order.slot), Some(order));
        }
        self.ids.retain(|&id| self.book.slot_of(OrderId(id)).is_some());
    }

    /// Goes on with a book restored from the canonical order. Slots are new, nothing else is.
    fn restore(&mut self) {
        let mut restored = Book::new(self.shape.limits());
        self.owners.clear();
        for order in self.book.orders() {
            let slot = restored.restore(&order).unwrap();
            if self.owners.len() <= slot.index() {
                self.owners.resize(slot.index() + 1, None);
            }
            self.owners[slot.index()] = Some(order.id.0);
        }
        self.book = restored;
    }
}

/// Prints where a run stopped when it panics.
struct Where(Shape, u64, u64);

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("shape {:?}, step {}: run again with SEED={}", self.0, self.2, self.1);
        }
    }
}

fn run(shape: Shape, seed: u64) -> BTreeSet<String> {
    let mut pair = Pair::new(shape, seed);
    let mut place = Where(shape, seed, 0);
    for step in 1..=OPERATIONS_A_SEED / SHAPES.len() as u64 {
        place.2 = step;
        pair.step();
        if step.is_multiple_of(97) {
            pair.compare_all();
        }
        if step.is_multiple_of(1_009) {
            pair.restore();
            pair.compare_all();
        }
    }
    pair.seen
}

#[test]
fn every_operation_agrees_with_a_naive_book() {
    let runs = seeds().into_iter().flat_map(|seed| SHAPES.map(|shape| (shape, seed)));
    let mut seen: BTreeSet<String> = runs.flat_map(|(shape, seed)| run(shape, seed)).collect();
    for expected in EXPECTED_TO_HAPPEN {
        assert!(seen.remove(expected), "`{expected}` never happened");
    }
    assert_eq!(seen, BTreeSet::new(), "an outcome that this list does not name");
}

/// Every outcome that an operation has.
const EXPECTED_TO_HAPPEN: [&str; 27] = [
    "insert",
    "insert: ZeroQty",
    "insert: ZeroPrice",
    "insert: DisplayOutOfRange",
    "insert: BookFull",
    "insert: WouldCross",
    "insert: LevelsFull",
    "insert: DuplicateId",
    "refill",
    "fills in several blocks",
    "more than u64 lots for sale",
    "an auction trades",
    "an auction without trades",
    "cancel",
    "cancel: NoSuchOrder",
    "reduce",
    "reduce: NoSuchOrder",
    "reduce: ZeroQty",
    "reduce: NothingLeft",
    "an iceberg moves",
    "relocate",
    "relocate: NoSuchOrder",
    "relocate: ZeroQty",
    "relocate: ZeroPrice",
    "relocate: DisplayOutOfRange",
    "relocate: WouldCross",
    "relocate: LevelsFull",
];

#[test]
fn an_iceberg_takes_no_more_slices_than_it_may() {
    let mut book = Book::new(BookLimits::default());
    let mut insert = |id, qty| {
        book.insert_iceberg(OrderId(id), Side::Buy, PriceTicks(9), QtyLots(qty), QtyLots(7)).map(|_| ())
    };
    assert_eq!(insert(1, 700), Ok(()));
    assert_eq!(insert(2, 701), Err(BookRefusal::DisplayOutOfRange));
    let slices = book.slices(Side::Buy).map(|(_, slice)| slice.0);
    assert_eq!(slices.collect::<Vec<_>>(), [7; 100]);
}
