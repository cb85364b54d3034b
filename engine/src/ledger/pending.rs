//! Transfers that reserve and have moved nothing yet: found by id, expiring in the order (deadline, id), and tied to those that
//! became pending in the same linked chain.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{AssetId, TransferId, UnixNanos};

use super::recent::{Outcome, Recollection};
use crate::broken::Broken;
use crate::id_index::IdIndex;
use crate::index::mix_u128;
use crate::slab::{NONE, Slab};

/// A transfer that is pending.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: TransferId,
    /// Row of the account.
    pub(crate) debit: u32,
    /// Row of the account.
    pub(crate) credit: u32,
    /// Reserved.
    pub(crate) amount: u128,
    /// When it expires.
    pub(crate) expires_at: Option<UnixNanos>,
    pub(crate) ledger: AssetId,
    pub(crate) code: u16,
    /// As it was sent.
    pub(crate) flags: u16,
    /// A PAYER made it, and may end it.
    pub(crate) by_payer: bool,
    /// What became pending in the same linked chain; [`NONE`] if it is alone.
    pub(crate) chain: u32,
    /// The one before it there, or [`NONE`].
    pub(crate) before: u32,
    /// The one behind it there, or [`NONE`].
    pub(crate) behind: u32,
    /// Where it is remembered by its id.
    pub(crate) recollection: Option<Recollection>,
    /// How it ended; it is removed when its command's chain is done.
    pub(crate) end: Option<Outcome>,
}

/// Transfers that became pending in one linked chain, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pub(crate) first: u32,
    /// Those that have not been removed.
    pub(crate) live: u32,
    /// How one of them ended before all did: together they cannot any more.
    pub(crate) end: Option<Outcome>,
    /// When the first of them expires that does: right as long as none has ended.
    pub(crate) expires_at: Option<UnixNanos>,
}

/// The earlier of two times, where both are one.
fn earlier(one: Option<UnixNanos>, other: Option<UnixNanos>) -> Option<UnixNanos> {
    [one, other].into_iter().flatten().min()
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Pendings {
    slots: Slab<Option<Pending>>,
    chains: Slab<Option<Reserved>>,
    by_id: IdIndex,
    deadlines: BTreeSet<(UnixNanos, TransferId, u32)>,
    /// Those that PAYERs made and that have not ended.
    by_payers: usize,
    seed: u64,
}

impl Default for Pendings {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            chains: Slab::new(),
            by_id: IdIndex::new(),
            deadlines: BTreeSet::new(),
            by_payers: 0,
            seed: 0,
        }
    }
}

impl Pendings {
    pub(crate) const fn seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.live()
    }

    /// Those that PAYERs made and that have not ended.
    pub(crate) const fn by_payers(&self) -> usize {
        self.by_payers
    }

    #[inline]
    pub(crate) fn slot(&self, id: TransferId) -> Option<u32> {
        self.by_id.get(mix_u128(id.0, self.seed), |slot| self.has(slot, id))
    }

    fn has(&self, slot: u32, id: TransferId) -> bool {
        self.slots.at(slot).as_ref().is_some_and(|pending| pending.id == id)
    }

    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&Pending> {
        self.slots.get(slot)?.as_ref()
    }

    fn at_mut(&mut self, slot: u32) -> Option<&mut Pending> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Adds one whose id is not there, alone in its chain.
    pub(crate) fn add(&mut self, pending: Pending) -> u32 {
        let (id, expires_at) = (pending.id, pending.expires_at);
        self.by_payers = self.by_payers.saturating_add(usize::from(pending.by_payer));
        let slot = self.slots.insert(Some(pending));
        self.by_id.insert(mix_u128(id.0, self.seed), slot, |_| false);
        if let Some(deadline) = expires_at {
            self.deadlines.insert((deadline, id, slot));
        }
        slot
    }

    /// One has ended so, and is removed later; whether it is the first of its chain.
    pub(crate) fn end(&mut self, slot: u32, end: Outcome) -> Result<bool, Broken> {
        let pending = self.at_mut(slot).ok_or(Broken::Index { what: "pending transfers" })?;
        pending.end = Some(end);
        let (chain, by_payer) = (pending.chain, pending.by_payer);
        self.by_payers = self.by_payers.saturating_sub(usize::from(by_payer));
        let Some(chain) = self.chain_mut(chain) else { return Ok(false) };
        let is_first = chain.end.is_none();
        chain.end = chain.end.or(Some(end));
        Ok(is_first)
    }

    /// Takes [`Pendings::end`] back.
    pub(crate) fn go_on(&mut self, slot: u32, was_first: bool) {
        let Some(pending) = self.at_mut(slot) else { return };
        pending.end = None;
        let (chain, by_payer) = (pending.chain, pending.by_payer);
        self.by_payers = self.by_payers.saturating_add(usize::from(by_payer));
        if was_first && let Some(chain) = self.chain_mut(chain) {
            chain.end = None;
        }
    }

    /// Removes one that has ended, or that never was.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(pending) = self.slots.at_mut(slot).take() else { return };
        self.by_id.remove(mix_u128(pending.id.0, self.seed), |other| other == slot);
        if let Some(deadline) = pending.expires_at {
            self.deadlines.remove(&(deadline, pending.id, slot));
        }
        self.slots.release(slot);
        let never_was = pending.end.is_none() && pending.by_payer;
        self.by_payers = self.by_payers.saturating_sub(usize::from(never_was));
        self.leave_chain(&pending);
    }

    /// The others of its chain go on without it; together they end only all at once.
    fn leave_chain(&mut self, gone: &Pending) {
        if let Some(before) = self.at_mut(gone.before) {
            before.behind = gone.behind;
        }
        if let Some(behind) = self.at_mut(gone.behind) {
            behind.before = gone.before;
        }
        let is_first = gone.before == NONE;
        let Some(chain) = self.chain_mut(gone.chain) else { return };
        chain.live = chain.live.saturating_sub(1);
        if is_first {
            chain.first = gone.behind;
        }
        if chain.live == 0 {
            *self.chains.at_mut(gone.chain) = None;
            self.chains.release(gone.chain);
        }
    }

    /// Ties `slot`, which is alone, to the one that became pending before it in the same linked chain.
    pub(crate) fn tie(&mut self, before: u32, slot: u32) {
        let Some(last) = self.at(before) else { return };
        let (mut chain, end, expires_at) = (last.chain, last.end, last.expires_at);
        if chain == NONE {
            chain = self.chains.insert(Some(Reserved { first: before, live: 1, end, expires_at }));
        }
        if let Some(last) = self.at_mut(before) {
            (last.chain, last.behind) = (chain, slot);
        }
        let mut expires_at = None;
        if let Some(pending) = self.at_mut(slot) {
            (pending.chain, pending.before) = (chain, before);
            expires_at = pending.expires_at;
        }
        if let Some(chain) = self.chain_mut(chain) {
            chain.live = chain.live.saturating_add(1);
            chain.expires_at = earlier(chain.expires_at, expires_at);
        }
    }

    /// One of the chain of `slot` has ended so: of a state that is read.
    pub(crate) fn restore_chain(&mut self, slot: u32, end: Option<Outcome>) {
        let Some((chain, expires_at)) = self.at(slot).map(|pending| (pending.chain, pending.expires_at))
        else {
            return;
        };
        if let Some(chain) = self.chain_mut(chain) {
            chain.end = end;
            return;
        }
        let chain = self.chains.insert(Some(Reserved { first: slot, live: 1, end, expires_at }));
        if let Some(pending) = self.at_mut(slot) {
            pending.chain = chain;
        }
    }

    fn chain_mut(&mut self, chain: u32) -> Option<&mut Reserved> {
        self.chains.get_mut(chain)?.as_mut()
    }

    /// What became pending together with this one.
    pub(crate) fn chain(&self, pending: &Pending) -> Option<Reserved> {
        *self.chains.get(pending.chain)?
    }

    /// Slots of the chain that a pending transfer belongs to, in its order.
    pub(crate) fn chain_of(&self, slot: u32) -> Vec<u32> {
        let Some(chain) = self.at(slot).and_then(|pending| self.chain(pending)) else { return vec![slot] };
        core::iter::successors(Some(chain.first), |&slot| {
            self.at(slot).map(|pending| pending.behind).filter(|&behind| behind != NONE)
        })
        .collect()
    }

    /// The next one to expire.
    pub(crate) fn next_deadline(&self) -> Option<(UnixNanos, u32)> {
        self.deadlines.first().map(|&(deadline, _, slot)| (deadline, slot))
    }

    /// All of them, with their slots, by id.
    pub(crate) fn sorted(&self) -> Vec<(u32, &Pending)> {
        let slots = 0..u32::try_from(self.slots.slots()).unwrap_or(NONE);
        let mut all: Vec<_> = slots.filter_map(|slot| Some((slot, self.at(slot)?))).collect();
        all.sort_unstable_by_key(|(_, pending)| pending.id);
        all
    }

    /// Each is found by its id, and by its deadline if it has one; nothing that has ended is here, nor in an index.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let (mut deadlines, mut by_payers) = (0_usize, 0_usize);
        for (slot, pending) in self.sorted() {
            if self.slot(pending.id) != Some(slot) || pending.end.is_some() {
                return Err(Broken::Index { what: "pending transfers" });
            }
            deadlines = deadlines.saturating_add(usize::from(pending.expires_at.is_some()));
            by_payers = by_payers.saturating_add(usize::from(pending.by_payer));
        }
        if (self.by_id.live(), self.deadlines.len(), self.by_payers) != (self.len(), deadlines, by_payers) {
            return Err(Broken::Index { what: "pending transfers" });
        }
        self.check_chains()
    }

    /// Each chain begins where it says, has as many as are counted, and is gone with the last; neighbours know each other.
    fn check_chains(&self) -> Result<(), Broken> {
        let broken = Err(Broken::Index { what: "chains of pending transfers" });
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for (slot, pending) in self.sorted().into_iter().filter(|(_, pending)| pending.chain != NONE) {
            let Some(chain) = self.chain(pending) else { return broken };
            let begins = (pending.before == NONE) == (chain.first == slot);
            let is_known = self
                .at(pending.behind)
                .is_none_or(|behind| (behind.chain, behind.before) == (pending.chain, slot));
            if !begins || !is_known {
                return broken;
            }
            let count = counts.entry(pending.chain).or_default();
            *count = count.saturating_add(1);
        }
        let mut chains = counts.iter().map(|(&chain, &count)| (self.chains.at(chain).as_ref(), count));
        let is_counted = chains.all(|(chain, count)| chain.is_some_and(|chain| chain.live == count));
        if is_counted && counts.len() == self.chains.live() { Ok(()) } else { broken }
    }
}
