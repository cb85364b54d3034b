//! A book that is too simple to be wrong: two sorted vectors, and loops.

use engine::matching::{BookLimits, BookRefusal, ICEBERG_SLICES_MAX, Sweep};
use protocol::{PriceTicks, Side};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NaiveOrder {
    pub(crate) id: u64,
    pub(crate) price: u64,
    pub(crate) visible: u64,
    pub(crate) hidden: u64,
    /// Of an iceberg; otherwise 0.
    pub(crate) display: u64,
}

impl NaiveOrder {
    pub(crate) fn total(&self) -> u64 {
        self.visible + self.hidden
    }

    /// Shows as much of `total` as it may.
    fn show(&mut self, total: u64) {
        self.visible = if self.display == 0 { total } else { total.min(self.display) };
        self.hidden = total - self.visible;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NaiveFill {
    pub(crate) id: u64,
    pub(crate) price: u64,
    pub(crate) qty: u64,
    pub(crate) maker_left: u64,
    pub(crate) refilled: Option<u64>,
}

/// Both sides in price-time order.
#[derive(Clone, Default)]
pub(crate) struct Naive {
    pub(crate) bids: Vec<NaiveOrder>,
    pub(crate) asks: Vec<NaiveOrder>,
    pub(crate) may_cross: bool,
}

impl Naive {
    pub(crate) fn side(&self, side: Side) -> &Vec<NaiveOrder> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Vec<NaiveOrder> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    /// A side's prices, best first.
    pub(crate) fn prices(&self, side: Side) -> Vec<u64> {
        let mut prices: Vec<u64> = self.side(side).iter().map(|order| order.price).collect();
        prices.dedup();
        prices
    }

    pub(crate) fn best(&self, side: Side) -> Option<u64> {
        self.side(side).first().map(|order| order.price)
    }

    fn levels(&self) -> usize {
        self.prices(Side::Buy).len() + self.prices(Side::Sell).len()
    }

    pub(crate) fn find(&self, id: u64) -> Option<(Side, NaiveOrder)> {
        [Side::Buy, Side::Sell]
            .into_iter()
            .find_map(|side| self.side(side).iter().find(|order| order.id == id).map(|&order| (side, order)))
    }

    fn crosses(&self, side: Side, price: u64) -> bool {
        let best = self.best(side.opposite());
        !self.may_cross && best.is_some_and(|best| within(side, Some(price), best))
    }

    /// Puts an order behind all that are better or as good.
    fn push(&mut self, side: Side, order: NaiveOrder) {
        let queue = self.side_mut(side);
        let better = |other: &NaiveOrder| match side {
            Side::Buy => other.price >= order.price,
            Side::Sell => other.price <= order.price,
        };
        let place = queue.iter().take_while(|other| better(other)).count();
        queue.insert(place, order);
    }

    fn check(&self, side: Side, price: u64, total: u64, display: Option<u64>) -> Result<(), BookRefusal> {
        let slices = |display| if display == 0 { u64::MAX } else { total.div_ceil(display) };
        if total == 0 {
            Err(BookRefusal::ZeroQty)
        } else if price == 0 {
            Err(BookRefusal::ZeroPrice)
        } else if display.is_some_and(|display| slices(display) > ICEBERG_SLICES_MAX) {
            Err(BookRefusal::DisplayOutOfRange)
        } else if self.crosses(side, price) {
            Err(BookRefusal::WouldCross)
        } else {
            Ok(())
        }
    }

    pub(crate) fn insert(
        &mut self,
        limits: BookLimits,
        (id, side, price): (u64, Side, u64),
        qty: u64,
        display: Option<u64>,
    ) -> Result<(), BookRefusal> {
        let full = self.bids.len() + self.asks.len() >= limits.orders_max as usize;
        match self.check(side, price, qty, display) {
            // Room comes after the order's own faults, and before the market's.
            Ok(()) | Err(BookRefusal::WouldCross) if full => return Err(BookRefusal::BookFull),
            checked => checked?,
        }
        if self.levels() >= limits.levels_max as usize && !self.prices(side).contains(&price) {
            return Err(BookRefusal::LevelsFull);
        }
        if self.find(id).is_some() {
            return Err(BookRefusal::DuplicateId);
        }
        let mut order = NaiveOrder { id, price, visible: 0, hidden: 0, display: display.unwrap_or(0) };
        order.show(qty);
        self.push(side, order);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<(Side, NaiveOrder)> {
        let found = self.find(id)?;
        self.side_mut(found.0).retain(|order| order.id != id);
        Some(found)
    }

    pub(crate) fn reduce(&mut self, id: u64, by: u64) -> Result<u64, BookRefusal> {
        let (side, order) = self.find(id).ok_or(BookRefusal::NoSuchOrder)?;
        if by == 0 {
            return Err(BookRefusal::ZeroQty);
        }
        if by >= order.total() {
            return Err(BookRefusal::NothingLeft);
        }
        let order = self.side_mut(side).iter_mut().find(|order| order.id == id).unwrap();
        let of_hidden = by.min(order.hidden);
        order.hidden -= of_hidden;
        order.visible -= by - of_hidden;
        Ok(order.total())
    }

    pub(crate) fn relocate(
        &mut self,
        limits: BookLimits,
        id: u64,
        price: u64,
        qty: u64,
    ) -> Result<(), BookRefusal> {
        let (side, mut order) = self.find(id).ok_or(BookRefusal::NoSuchOrder)?;
        self.check(side, price, qty, (order.display > 0).then_some(order.display))?;
        let closes = self.side(side).iter().filter(|other| other.price == order.price).count() == 1;
        let levels = self.levels() - usize::from(closes);
        if levels >= limits.levels_max as usize && !self.prices(side).contains(&price) {
            return Err(BookRefusal::LevelsFull);
        }
        self.remove(id);
        order.price = price;
        order.show(qty);
        self.push(side, order);
        Ok(())
    }

    /// One trade with the first order of the other side.
    pub(crate) fn fill_front(&mut self, taker: Side, limit: Option<u64>, qty: u64) -> Option<NaiveFill> {
        let maker = taker.opposite();
        let mut order =
            *self.side(maker).first().filter(|order| qty > 0 && within(taker, limit, order.price))?;
        let traded = qty.min(order.visible);
        order.visible -= traded;
        let mut refilled = None;
        self.side_mut(maker).remove(0);
        if order.visible > 0 {
            self.side_mut(maker).insert(0, order);
        } else if order.hidden > 0 {
            order.show(order.hidden);
            refilled = Some(order.visible);
            self.push(maker, order);
        }
        Some(NaiveFill { id: order.id, price: order.price, qty: traded, maker_left: order.total(), refilled })
    }

    pub(crate) fn match_against(
        &mut self,
        taker: Side,
        limit: Option<u64>,
        mut qty: u64,
    ) -> (u64, Vec<NaiveFill>) {
        let mut fills = Vec::new();
        while let Some(fill) = self.fill_front(taker, limit, qty) {
            qty -= fill.qty;
            fills.push(fill);
        }
        (qty, fills)
    }

    /// Trades on a copy, slice by slice, where the book sums up levels.
    pub(crate) fn sweep(&self, taker: Side, limit: Option<u64>, qty: u64, budget: Option<u128>) -> Sweep {
        let mut copy = self.clone();
        let mut sweep = Sweep::default();
        while let Some(price) = copy.best(taker.opposite()) {
            let mut lots = qty - sweep.lots.0;
            if let Some(budget) = budget {
                let affordable = (budget - sweep.notional) / u128::from(price);
                lots = lots.min(u64::try_from(affordable).unwrap_or(u64::MAX));
            }
            let Some(fill) = copy.fill_front(taker, limit, lots) else { break };
            sweep.lots.0 += fill.qty;
            sweep.notional += u128::from(price) * u128::from(fill.qty);
            sweep.worst_price = Some(PriceTicks(price));
        }
        sweep
    }
}

/// Whether a taker with this limit trades at a price.
pub(crate) fn within(taker: Side, limit: Option<u64>, price: u64) -> bool {
    match (taker, limit) {
        (_, None) => true,
        (Side::Buy, Some(limit)) => price <= limit,
        (Side::Sell, Some(limit)) => price >= limit,
    }
}
