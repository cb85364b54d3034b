//! The newest of something, as many as are kept.

use std::collections::VecDeque;

/// A list that loses its oldest entries.
#[derive(Clone, Debug)]
pub(crate) struct Latest<T> {
    kept: VecDeque<T>,
    kept_max: usize,
    /// Entries that are not kept any more.
    dropped: u64,
}

impl<T> Latest<T> {
    pub(crate) const fn new(kept_max: usize) -> Self {
        Self { kept: VecDeque::new(), kept_max, dropped: 0 }
    }

    pub(crate) fn push(&mut self, entry: T) {
        self.kept.push_back(entry);
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
            self.dropped += 1;
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.dropped + self.kept.len() as u64
    }

    /// How many of them are not kept any more.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What is kept, oldest first.
    pub(crate) const fn kept(&self) -> &VecDeque<T> {
        &self.kept
    }

    pub(crate) const fn kept_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.kept
    }

    /// Puts what came before in front.
    pub(crate) fn prepend(&mut self, mut past: Self) {
        if self.dropped > 0 {
            // Between the two something is lost: nothing is kept of what came before that.
            self.dropped += past.count();
            return;
        }
        std::mem::take(&mut self.kept).into_iter().for_each(|entry| past.push(entry));
        *self = past;
    }

    /// Of so many that went before, and what was kept.
    pub(crate) fn resume(kept_max: usize, dropped: u64, kept: impl IntoIterator<Item = T>) -> Self {
        let mut latest = Self { kept: VecDeque::new(), kept_max, dropped };
        kept.into_iter().for_each(|entry| latest.push(entry));
        latest
    }

    /// Behind the first `count`, as far as they are kept.
    pub(crate) fn behind(&self, count: u64) -> impl Iterator<Item = &T> {
        let skip = usize::try_from(count.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.kept.range(skip.min(self.kept.len())..)
    }
}
