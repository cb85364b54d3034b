//! A table that grows by pages: no row is ever moved, so that growing costs no pause and no second copy.

/// Rows of a page, as a power of two.
const PAGE_BITS: u32 = 14;
const PAGE_ROWS: usize = 1 << PAGE_BITS;
const PAGE_MASK: u32 = (1 << PAGE_BITS) - 1;

/// Rows numbered densely from 0 and never removed.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T>(Vec<Vec<T>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

const fn place(row: u32) -> (usize, usize) {
    (widen(row.unbounded_shr(PAGE_BITS)), widen(row & PAGE_MASK))
}

#[expect(
    clippy::as_conversions,
    reason = "lossless on every target that can hold the table; `try_from` is not const"
)]
const fn widen(number: u32) -> usize {
    number as usize
}

impl<T> Pages<T> {
    /// Rows.
    pub(crate) fn len(&self) -> usize {
        let full = self.0.len().saturating_sub(1).saturating_mul(PAGE_ROWS);
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
            Some(last) if last.len() < PAGE_ROWS => last.push(row),
            _ => {
                let mut page = Vec::with_capacity(PAGE_ROWS);
                page.push(row);
                self.0.push(page);
            }
        }
        number
    }

    /// The row of a number that [`Pages::push`] gave: another one is our bug, and stops the engine.
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline(always)]
    pub(crate) fn at(&self, row: u32) -> &T {
        let (page, place) = place(row);
        &self.0[page][place]
    }

    /// As [`Pages::at`].
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, row: u32) -> &mut T {
        let (page, place) = place(row);
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
        let mut pages = Pages::default();
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
