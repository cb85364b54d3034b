//! Tables whose rows are numbered densely and never removed: the numbers are links between them.

/// No row: the end of a chain of links, an entry that points nowhere.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// A vector addressed by u32. Row numbers come from [`Rows::push`] and are links inside the engine; they follow the order
/// in which things were created, so they never enter an event, a hash or a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T>(Vec<T>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Widens a row number to an index.
pub(crate) fn widen(row: u32) -> usize {
    // Lossless on every target that can hold the table; elsewhere the access behind it fails its bounds check.
    usize::try_from(row).unwrap_or(usize::MAX)
}

impl<T> Rows<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number that the next [`Rows::push`] gives.
    pub(crate) fn next_row(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(NO_ROW)
    }

    /// Adds a row. The tables' limits, all far below 2^32, are checked before.
    pub(crate) fn push(&mut self, row: T) -> u32 {
        let number = self.next_row();
        self.0.push(row);
        number
    }

    /// The row of a number that [`Rows::push`] gave: another one is our bug, and stops the engine.
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline]
    pub(crate) fn at(&self, row: u32) -> &T {
        &self.0[widen(row)]
    }

    /// As [`Rows::at`].
    #[expect(
        clippy::indexing_slicing,
        reason = "row numbers are only ever those that push gave, and rows stay"
    )]
    #[inline]
    pub(crate) fn at_mut(&mut self, row: u32) -> &mut T {
        &mut self.0[widen(row)]
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The row numbers.
    pub(crate) fn numbers(&self) -> core::ops::Range<u32> {
        0..self.next_row()
    }

    /// The rows in the order of a key: how they are written and shown.
    pub(crate) fn sorted_by_key<K: Ord>(&self, key: impl Fn(&T) -> K) -> Vec<&T> {
        let mut rows: Vec<&T> = self.0.iter().collect();
        rows.sort_unstable_by_key(|row| key(row));
        rows
    }

    /// Grows to hold row `row`, filling with defaults.
    pub(crate) fn reach(&mut self, row: u32)
    where
        T: Default,
    {
        let needed = widen(row).saturating_add(1);
        if self.0.len() < needed {
            self.0.resize_with(needed, T::default);
        }
    }
}
