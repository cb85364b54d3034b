//! What happened: folded into one hash, the newest of it kept for people, and counts of what is worth having seen.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use protocol::MonoNanos;
use protocol::hash::{Hash, Hasher};

/// Happenings kept for the report of a failure.
const RECENT_MAX: usize = 200;

/// One happening: what, and two numbers that say which.
#[derive(Clone, Copy, Debug)]
pub struct Happening {
    /// When.
    pub at: MonoNanos,
    /// What.
    pub what: &'static str,
    /// Which one.
    pub which: u64,
    /// How much, or where.
    pub extent: u64,
}

impl std::fmt::Display for Happening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, what, which, extent } = self;
        write!(f, "{:>12.3} ms  {what} {which} {extent}", at.0 as f64 / 1e6)
    }
}

#[derive(Debug, Default)]
struct Log {
    hasher: Hasher,
    count: u64,
    now: MonoNanos,
    recent: VecDeque<Happening>,
    keeps_all: bool,
    counts: BTreeMap<&'static str, u64>,
}

/// Shared by all parts of one world, which is single-threaded.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<RefCell<Log>>);

impl Trace {
    /// From now on nothing is forgotten.
    pub fn keep_all(&self) {
        self.0.borrow_mut().keeps_all = true;
    }

    /// Time has come to `now`.
    pub fn set_now(&self, now: MonoNanos) {
        self.0.borrow_mut().now = now;
    }

    /// `what` happened.
    pub fn note(&self, what: &'static str, which: u64, extent: u64) {
        let mut log = self.0.borrow_mut();
        let at = log.now;
        log.count += 1;
        for word in [at.0, which, extent] {
            log.hasher.update(&word.to_le_bytes());
        }
        log.hasher.update(what.as_bytes());
        if log.recent.len() >= RECENT_MAX && !log.keeps_all {
            log.recent.pop_front();
        }
        log.recent.push_back(Happening { at, what, which, extent });
    }

    /// Folds `bytes` that somebody saw or wrote.
    pub fn bytes(&self, bytes: &[u8]) {
        self.0.borrow_mut().hasher.update(bytes);
    }

    /// Something that a run is worth more for was seen once more.
    pub fn sometimes(&self, what: &'static str) {
        *self.0.borrow_mut().counts.entry(what).or_default() += 1;
    }

    /// How often it was seen.
    #[must_use]
    pub fn count_of(&self, what: &str) -> u64 {
        self.0.borrow().counts.get(what).copied().unwrap_or(0)
    }

    /// All counts.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.borrow().counts.clone()
    }

    /// Happenings so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.borrow().count
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.0.borrow().hasher.finish()
    }

    /// The newest happenings, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Happening> {
        self.0.borrow().recent.iter().copied().collect()
    }
}
