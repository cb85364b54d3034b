//! Books as a subscriber knows them: from [`EventBody::BookChanged`] and [`EventBody::Settled`] alone, in lists.

use std::collections::BTreeMap;

use engine::Engine;
use protocol::book::{BookLevel, book_checksum};
use protocol::event::Event;
use protocol::events::BookChanged;
use protocol::{BookAction, EventBody, MarketId, PriceTicks, Side, TradeId};

/// What is visible of a resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    order: u64,
    side: Side,
    price: u64,
    qty: u64,
}

/// Every market's visible orders, the oldest in its place first.
#[derive(Default)]
pub(crate) struct Followed {
    books: BTreeMap<MarketId, Vec<Row>>,
    /// Filled down to nothing visible by the last trade: it has left, unless it is refilled before the next one.
    emptied: Vec<(MarketId, Row)>,
}

impl Followed {
    pub(crate) fn take(&mut self, events: &[Event], context: &str) {
        for event in events {
            if let EventBody::Settled(fill) = &event.body {
                self.emptied.clear();
                if fill.trade == TradeId(0) {
                    // A transfer between two accounts of one group: what it takes off the book is told before.
                    continue;
                }
                let book = self.books.get_mut(&fill.market).unwrap();
                let is_resting = |order| book.iter().any(|row: &Row| row.order == order);
                let is_auction = is_resting(fill.taker_order.0);
                let (maker, taker) = (fill.maker_order.0, fill.taker_order.0);
                let side_of = [(maker, fill.taker_side.opposite()), (taker, fill.taker_side)];
                for (order, side) in side_of.into_iter().take(1 + usize::from(is_auction)) {
                    let at = book.iter().position(|row| row.order == order).unwrap();
                    let row = &mut book[at];
                    assert_eq!(row.side, side, "{context}");
                    let price = fill.price_ticks.0;
                    let accepts = if side == Side::Buy { row.price >= price } else { row.price <= price };
                    assert!(accepts, "{context}: beyond the limit of o{order}");
                    assert!(is_auction || row.price == price, "{context}: not at the maker's price");
                    row.qty = row.qty.checked_sub(fill.qty_lots.0).unwrap();
                    if row.qty == 0 {
                        self.emptied.push((fill.market, book.remove(at)));
                    }
                }
            } else if let EventBody::BookChanged(change) = &event.body {
                self.change(change, context);
            }
        }
    }

    fn change(&mut self, change: &BookChanged, context: &str) {
        let context = format!("{context}: {change:?}");
        let book = self.books.entry(change.market).or_default();
        let row = Row {
            order: change.order.0,
            side: change.side,
            price: change.price_ticks.0,
            qty: change.qty_lots.0,
        };
        assert!(row.qty > 0, "{context}");
        let at = book.iter().position(|known| known.order == row.order);
        match change.action {
            BookAction::Added => {
                assert_eq!(at, None, "{context}");
                book.push(row);
            }
            BookAction::Reduced => {
                let known = &mut book[at.unwrap()];
                assert!(row.qty < known.qty, "{context}");
                *known = Row { qty: row.qty, ..*known };
                assert_eq!(*known, row, "{context}");
            }
            BookAction::Removed => {
                let known = book.remove(at.unwrap());
                assert_eq!(known, row, "{context}");
            }
            BookAction::Refilled => {
                let at = self.emptied.iter().position(|(_, known)| known.order == row.order);
                let (market, known) = self.emptied.remove(at.unwrap());
                assert_eq!(market, change.market, "{context}");
                assert_eq!(Row { qty: row.qty, ..known }, row, "{context}");
                book.push(row);
            }
        }
    }

    /// Each book is the engine's, order by order.
    pub(crate) fn compare(&self, engine: &Engine, context: &str) {
        for market in engine.markets() {
            let market = market.definition.market;
            for side in [Side::Buy, Side::Sell] {
                let found = engine.queue(market, side).map(|resting| Row {
                    order: resting.id.0,
                    side: resting.side,
                    price: resting.price.0,
                    qty: resting.visible().0,
                });
                let found: Vec<Row> = found.collect();
                assert_eq!(found, self.queue(market, side), "{context}: {side:?} of market {market}");
            }
            assert_eq!(self.checksum(market), engine.book_checksum(market), "{context}: market {market}");
        }
    }

    fn checksum(&self, market: MarketId) -> u32 {
        let sides = [Side::Buy, Side::Sell].map(|side| self.queue(market, side));
        let levels = sides.iter().flat_map(|queue| queue.chunk_by(|one, two| one.price == two.price));
        book_checksum(levels.map(|rows| BookLevel {
            price_ticks: PriceTicks(rows[0].price),
            lots: rows.iter().map(|row| u128::from(row.qty)).sum(),
            orders: u32::try_from(rows.len()).unwrap(),
        }))
    }

    fn queue(&self, market: MarketId, side: Side) -> Vec<Row> {
        let book = self.books.get(&market).into_iter().flatten();
        let mut queue: Vec<Row> = book.filter(|row| row.side == side).copied().collect();
        queue.sort_by_key(|row| if side == Side::Buy { u64::MAX - row.price } else { row.price });
        queue
    }
}
