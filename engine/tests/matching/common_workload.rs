//! The workload that every engine is measured with.

use engine::matching::{Book, BookLimits, Fill};
use protocol::{OrderId, PriceTicks, QtyLots, Side};

use crate::workload::{Kind, Op, RESTING, Tally, Workload, generate};

/// A book and its restored copy, fed the same operations, give the same outcomes from the middle of a flow on.
#[test]
fn a_restored_book_goes_on_as_the_original() {
    let flow = generate(1, RESTING, 6_000, 77);
    let mut original = Replay::new(1);
    flow.prefill.iter().for_each(|op| original.apply(op));
    for chunk in flow.ops.chunks(1_500) {
        let mut restored = original.restored();
        for op in chunk {
            original.apply(op);
            restored.apply(op);
        }
        assert_eq!(original.tally, restored.tally);
        assert_eq!(plain(&original.books[0]), plain(&restored.books[0]));
        restored.books[0].check_invariants().unwrap();
    }
    assert_eq!(original.tally, flow.expected);
}

fn plain(book: &Book) -> Vec<(Side, u64, u64, u64)> {
    book.orders().map(|order| (order.side, order.price.0, order.id.0, order.qty.0)).collect()
}

/// Replays the common workload, as `perf matching` does.
struct Replay {
    books: Vec<Book>,
    tally: Tally,
}

impl Replay {
    fn new(symbols: usize) -> Self {
        Self { books: vec![Book::new(BookLimits::default()); symbols], tally: Tally::default() }
    }

    fn restored(&self) -> Self {
        let mut copy = Self { tally: self.tally, ..Self::new(self.books.len()) };
        for (from, to) in self.books.iter().zip(&mut copy.books) {
            for order in from.orders() {
                to.insert(order.id, order.side, order.price, order.qty).unwrap();
            }
        }
        copy
    }

    fn apply(&mut self, op: &Op) {
        let book = &mut self.books[usize::from(op.symbol)];
        let (id, price, qty) = (OrderId(op.id), PriceTicks(op.price), QtyLots(u64::from(op.qty)));
        let done = match op.kind {
            Kind::Add => book.insert(id, op.side, price, qty).is_ok(),
            Kind::Ioc => {
                let trade = |fill: Fill| self.tally.trade(fill.maker_id.0, fill.price.0, fill.qty.0);
                book.match_against(op.side, Some(price), qty, trade) < qty
            }
            Kind::Cancel => book.cancel_id(id).is_some(),
            Kind::Reduce => book.slot_of(id).is_some_and(|slot| book.reduce(slot, qty).is_ok()),
            Kind::Move => book.slot_of(id).is_some_and(|slot| book.relocate(slot, price, qty).is_ok()),
        };
        assert!(done, "{op:?}");
    }
}

/// The figures were printed by the generator that other engines are measured with, and are not ours to change.
#[test]
fn the_common_workload_gives_the_published_trades() {
    let published = [
        (
            1,
            20_000,
            20_261_120,
            Tally { trades: 2_965, volume: 51_622, checksum: 2_771_294_447_867_310_639 },
            1_918,
        ),
        (3, 20_000, 7, Tally { trades: 2_944, volume: 50_222, checksum: 3_676_171_726_992_088_095 }, 6_093),
    ];
    for (symbols, ops, seed, tally, live) in published {
        let Workload { symbols, prefill, ops, expected, live: expected_live } =
            generate(symbols, RESTING, ops, seed);
        assert_eq!((expected, expected_live), (tally, live), "the generator follows the recipe");
        let mut replay = Replay::new(symbols);
        prefill.iter().chain(&ops).for_each(|op| replay.apply(op));
        assert_eq!(replay.tally, tally);
        assert_eq!(replay.books.iter().map(|book| book.len() as u64).sum::<u64>(), live);
        replay.books.iter().for_each(|book| book.check_invariants().unwrap());
    }
}

/// Books that are much deeper than the recipe's, and shallower, come to the generator's trades too, and to the memory that
/// docs/ARCHITECTURE.md names.
#[test]
fn books_of_every_depth_give_the_trades_of_their_generator() {
    for (resting, bytes_max) in [(200, 400), (40_000, 100)] {
        let Workload { symbols, prefill, ops, expected, live } = generate(1, resting, 20_000, 5);
        let mut replay = Replay::new(symbols);
        prefill.iter().for_each(|op| replay.apply(op));
        let book = &replay.books[0];
        assert!(book.memory_bytes() / book.len() < bytes_max, "{} for {}", book.memory_bytes(), book.len());
        ops.iter().for_each(|op| replay.apply(op));
        assert_eq!((replay.tally, replay.books[0].len() as u64), (expected, live));
        replay.books[0].check_invariants().unwrap();
    }
}
