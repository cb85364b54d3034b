//! A table that grows by pages: no row is moved once its page is full, so that growing costs no pause and no second copy.

use crate::rows::widen;

/// Rows numbered densely from 0, of which only the last is ever removed; 2^`BITS` to a page. The first page grows with its rows, so that
/// a small table is small.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T, const BITS: u32>(Vec<Vec<T>>);

impl<T, const BITS: u32> Default for Pages<T, BITS> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const BITS: u32> Pages<T, BITS> {
    const PAGE_ROWS: usize = 1 << BITS;
    const PAGE_MASK: u32 = (1 << BITS) - 1;

    fn place(row: u32) -> (usize, usize) {
        (widen(row.unbounded_shr(BITS)), widen(row & Self::PAGE_MASK))
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        let full = self.0.len().saturating_sub(1).saturating_mul(Self::PAGE_ROWS);
        self.0.last().map_or(0, |last| full.saturating_add(last.len()))
    }

    /// The number that the next [`Pages::push`] gives.
    pub(crate) fn next_row(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Adds a row. The table's limit, far below 2^32, is checked before.
    pub(crate) fn push(&mut self, row: T) -> u32 {
        let number = self.next_row();
        match self.0.last_mut() {
            Some(last) if last.len() < Self::PAGE_ROWS => last.push(row),
            None => self.0.push(vec![row]),
            Some(_) => {
                let mut page = Vec::with_capacity(Self::PAGE_ROWS);
                page.push(row);
                self.0.push(page);
            }
        }
        number
    }

    /// The row of any number, if there is one.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> Option<&T> {
        let (page, place) = Self::place(row);
        self.0.get(page)?.get(place)
    }

    /// The row of a number that [`Pages::push`] gave: another one is our bug, and stops the engine.
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline(always)]
    pub(crate) fn at(&self, row: u32) -> &T {
        let (page, place) = Self::place(row);
        &self.0[page][place]
    }

    /// As [`Pages::at`].
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, row: u32) -> &mut T {
        let (page, place) = Self::place(row);
        &mut self.0[page][place]
    }

    /// Takes the row away that was added last.
    pub(crate) fn pop(&mut self) {
        if let Some(last) = self.0.last_mut() {
            last.pop();
            if last.is_empty() {
                self.0.pop();
            }
        }
    }

    /// The rows, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_numbers_over_pages() {
        let mut pages = Pages::<u32, 14>::default();
        for number in 0..40_000_u32 {
            assert_eq!((pages.next_row(), pages.push(number)), (number, number));
        }
        *pages.at_mut(20_000) = 7;
        assert_eq!((*pages.at(16_383), *pages.at(16_384), *pages.at(20_000)), (16_383, 16_384, 7));
        (32_768..40_000).for_each(|_| pages.pop());
        assert_eq!((pages.len(), pages.push(5)), (32_768, 32_768));
        assert_eq!(pages.iter().count(), 32_769);
    }
}
