//! Orders that show a slice of themselves at a time: the next one comes from a reserve and goes to the back of its level.

use protocol::{OrderId, PriceTicks, QtyLots, Side};

use super::{Book, BookRefusal, Fill, Resting, Slot};

/// Slices that an iceberg may take to trade: a taker pays for each of them with a fill, whatever its size.
pub const ICEBERG_SLICES_MAX: u64 = 100;

/// The part of an iceberg that is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The size of a slice; never zero.
    pub display: QtyLots,
    /// What is left behind the slice that is shown.
    pub hidden: QtyLots,
}

impl Reserve {
    /// What remains of `qty` behind its first slice.
    pub(super) fn of(qty: QtyLots, display: QtyLots) -> Self {
        Self { display, hidden: QtyLots(qty.0.saturating_sub(display.0)) }
    }

    /// Whether it can be what this order hides.
    pub(super) fn may_belong_to(self, order: &Resting) -> bool {
        let visible = order.visible();
        0 < visible.0 && visible <= self.display && !self.is_too_long(order.qty)
    }

    /// Whether `qty` takes too many slices, or endlessly many.
    pub(super) fn is_too_long(self, qty: QtyLots) -> bool {
        self.display.0 == 0 || qty.0.div_ceil(self.display.0) > ICEBERG_SLICES_MAX
    }
}

impl Book {
    /// As [`Book::insert`], with `display` of `qty` shown at a time.
    ///
    /// # Errors
    /// [`BookRefusal`], and nothing has changed.
    pub fn insert_iceberg(
        &mut self,
        id: OrderId,
        side: Side,
        price: PriceTicks,
        qty: QtyLots,
        display: QtyLots,
    ) -> Result<Slot, BookRefusal> {
        let (slot, reserve) = (Slot(0), Some(Reserve::of(qty, display)));
        self.restore(&Resting { slot, id, side, price, qty, reserve })
    }

    /// Rests an order as [`Book::orders`] has yielded it, with the slice that it showed. Its slot is a new one.
    ///
    /// # Errors
    /// [`BookRefusal`], and nothing has changed.
    pub fn restore(&mut self, order: &Resting) -> Result<Slot, BookRefusal> {
        let Resting { id, side, price, qty, reserve, .. } = *order;
        let Some(reserve) = reserve else { return self.insert(id, side, price, qty) };
        if qty.0 == 0 {
            return Err(BookRefusal::ZeroQty);
        }
        if price.0 == 0 {
            return Err(BookRefusal::ZeroPrice);
        }
        if !reserve.may_belong_to(order) {
            return Err(BookRefusal::DisplayOutOfRange);
        }
        let slot = self.insert(id, side, price, order.visible())?;
        self.orders.at_mut(slot.0).is_iceberg = true;
        self.set_reserve(slot.0, reserve);
        Ok(slot)
    }

    #[cold]
    pub(super) fn reserve_of(&self, slot: u32) -> Option<Reserve> {
        self.reserves.get(&slot).copied()
    }

    /// Says what an iceberg that stands in a queue hides, there and in its level.
    pub(super) fn set_reserve(&mut self, slot: u32, reserve: Reserve) {
        let before = self.reserves.insert(slot, reserve);
        self.count_hidden(slot, before.map_or(0, |before| before.hidden.0), reserve.hidden.0);
    }

    /// Forgets what an iceberg hides, which is about to leave.
    #[cold]
    pub(super) fn drop_reserve(&mut self, slot: u32) {
        let before = self.reserves.remove(&slot);
        self.count_hidden(slot, before.map_or(0, |before| before.hidden.0), 0);
    }

    fn count_hidden(&mut self, slot: u32, before: u64, now: u64) {
        let order = self.orders.at(slot);
        let (side, level) = (order.side, order.level);
        let level = self.ladder_mut(side).at_mut(level);
        level.hidden = level.hidden.saturating_sub(u128::from(before)).saturating_add(u128::from(now));
    }

    /// Puts an iceberg with `qty` left behind the others of a rank, with a slice in front.
    #[cold]
    pub(super) fn requeue_iceberg(&mut self, slot: u32, rank: u64, qty: QtyLots, display: QtyLots) {
        let reserve = Reserve::of(qty, display);
        self.drop_reserve(slot);
        self.dequeue(slot);
        self.orders.at_mut(slot).qty = qty.0.saturating_sub(reserve.hidden.0);
        self.enqueue(slot, rank);
        self.set_reserve(slot, reserve);
    }

    /// Completes a fill of an iceberg, whose slice has been counted: one that is used up is followed by the next, or the
    /// order has left.
    #[cold]
    pub(super) fn fill_iceberg(&mut self, fill: Fill) -> Fill {
        let slot = fill.maker.0;
        let Some(Reserve { display, hidden }) = self.reserve_of(slot) else { return fill };
        let maker_left = QtyLots(fill.maker_left.0.saturating_add(hidden.0));
        if fill.maker_left.0 > 0 {
            return Fill { maker_left, ..fill };
        }
        if hidden.0 == 0 {
            self.drop_reserve(slot);
            self.dequeue(slot);
            self.forget(slot, fill.maker_id.0);
            return fill;
        }
        let order = self.orders.at(slot);
        let rank = self.ladder(order.side).at(order.level).rank;
        self.requeue_iceberg(slot, rank, hidden, display);
        Fill { maker_left, refilled: Some(display.min(hidden)), ..fill }
    }
}
