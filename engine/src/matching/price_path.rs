//! The prices that were traded at since triggers were last asked, as far as it makes a difference to them.

use protocol::PriceTicks;

/// Turning points that are kept: each order of the longest mass quote may be one, and what it meets another.
pub const TURNS_MAX: usize = 256;

/// Where prices turned: of a run that only rises, or only falls, its ends. Whatever fires at a price in between fires at one of these, too, and who
/// trails ends at the same place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PricePath {
    turns: Vec<PriceTicks>,
}

impl PricePath {
    /// A trade at this price.
    pub fn push(&mut self, price: PriceTicks) {
        if let [.., before, last] = self.turns[..]
            && last.cmp(&before) == price.cmp(&last)
        {
            self.turns.pop();
        }
        if self.turns.last() != Some(&price) {
            self.turns.push(price);
        }
        if self.turns.len() > TURNS_MAX {
            self.shorten();
        }
    }

    /// Keeps the first price, the lowest and the highest one in the order in which they came, and the last: auctions may go on trading for
    /// ever without that triggers are asked between them.
    fn shorten(&mut self) {
        let ends = [0, self.turns.len().saturating_sub(1)];
        let [lowest, highest] = [Self::lowest, Self::highest].map(|at| at(&self.turns));
        let mut at = 0_usize;
        self.turns.retain(|_| {
            let stays = ends.contains(&at) || [lowest, highest].contains(&at);
            at = at.saturating_add(1);
            stays
        });
    }

    fn lowest(turns: &[PriceTicks]) -> usize {
        turns.iter().enumerate().min_by_key(|(_, price)| **price).map_or(0, |(at, _)| at)
    }

    fn highest(turns: &[PriceTicks]) -> usize {
        turns.iter().enumerate().max_by_key(|(_, price)| **price).map_or(0, |(at, _)| at)
    }

    /// As they were pushed.
    pub fn turns(&self) -> &[PriceTicks] {
        &self.turns
    }

    /// Nothing was traded since.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    /// Of what [`Self::turns`] gave; `None`: these are none.
    #[must_use]
    pub fn restore(turns: Vec<PriceTicks>) -> Option<Self> {
        let mut path = Self::default();
        turns.iter().for_each(|price| path.push(*price));
        (turns.iter().all(|price| price.0 > 0) && path.turns == turns).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(ticks: &[u64]) -> Vec<PriceTicks> {
        ticks.iter().map(|ticks| PriceTicks(*ticks)).collect()
    }

    fn path(ticks: &[u64]) -> PricePath {
        let mut path = PricePath::default();
        prices(ticks).into_iter().for_each(|price| path.push(price));
        path
    }

    #[test]
    fn the_ends_of_each_run_are_kept() {
        assert_eq!(path(&[]).turns(), []);
        assert_eq!(path(&[5, 5, 5]).turns(), prices(&[5]));
        assert_eq!(path(&[5, 6, 6, 8, 9]).turns(), prices(&[5, 9]));
        assert_eq!(path(&[5, 6, 4, 3, 3, 7, 7, 2]).turns(), prices(&[5, 6, 3, 7, 2]));
        let mut cleared = path(&[1, 2]);
        cleared.clear();
        assert_eq!(cleared, PricePath::default());
    }

    #[test]
    fn what_is_too_long_keeps_its_ends_and_extremes() {
        let extremes = [(100, 7), (151, 999)].into_iter().collect::<std::collections::BTreeMap<u64, u64>>();
        let price = |turn| extremes.get(&turn).copied().unwrap_or(100 + turn % 2);
        let mut ticks: Vec<u64> = (0..256).map(price).collect();
        let whole = path(&ticks);
        assert_eq!(whole.turns(), prices(&ticks));
        ticks.push(50);
        assert_eq!(path(&ticks).turns(), prices(&[100, 7, 999, 50]));
    }

    #[test]
    fn only_turns_are_restored() {
        for ticks in [&[][..], &[1], &[1, 2], &[3, 2, 4]] {
            assert_eq!(PricePath::restore(prices(ticks)), Some(path(ticks)));
        }
        for ticks in [&[0][..], &[1, 1], &[1, 2, 3]] {
            assert_eq!(PricePath::restore(prices(ticks)), None);
        }
    }
}
