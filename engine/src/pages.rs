//! A table that grows by pages: no row is moved once its page is full, so that growing costs no pause and no second copy.

use crate::rows::widen;

/// Rows numbered densely from 0, of which only the last is ever removed; 2^`BITS` to a page. The first page grows with its rows, so that
/// a small table is small.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T, const BITS: u32> {
    pages: Vec<Vec<T>>,
    rows: u32,
}

impl<T, const BITS: u32> Default for Pages<T, BITS> {
    fn default() -> Self {
        Self { pages: Vec::new(), rows: 0 }
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
        widen(self.rows)
    }

    /// The number that the next [`Pages::push`] gives.
    pub(crate) fn next_row(&self) -> u32 {
        self.rows
    }

    /// The row numbers.
    pub(crate) fn numbers(&self) -> core::ops::Range<u32> {
        0..self.next_row()
    }

    /// Adds a row. The table's limit, far below 2^32, is checked before.
    pub(crate) fn push(&mut self, row: T) -> u32 {
        let number = self.rows;
        if number & Self::PAGE_MASK == 0 {
            self.add_page();
        }
        if let Some(last) = self.pages.last_mut() {
            last.push(row);
            self.rows = number.saturating_add(1);
        }
        number
    }

    #[cold]
    fn add_page(&mut self) {
        let rows = if self.pages.is_empty() { 0 } else { Self::PAGE_ROWS };
        self.pages.push(Vec::with_capacity(rows));
    }

    /// The row of any number, if there is one.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> Option<&T> {
        let (page, place) = Self::place(row);
        self.pages.get(page)?.get(place)
    }

    /// The row of a number that [`Pages::push`] gave: another one is our bug, and stops the engine.
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline(always)]
    pub(crate) fn at(&self, row: u32) -> &T {
        let (page, place) = Self::place(row);
        &self.pages[page][place]
    }

    /// As [`Pages::at`].
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, row: u32) -> &mut T {
        let (page, place) = Self::place(row);
        &mut self.pages[page][place]
    }

    /// Takes the row away that was added last.
    pub(crate) fn pop(&mut self) {
        if let Some(last) = self.pages.last_mut() {
            last.pop();
            self.rows = self.rows.saturating_sub(1);
            if last.is_empty() {
                self.pages.pop();
            }
        }
    }

    /// The rows, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
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
