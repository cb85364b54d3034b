//! Transfer ids that are remembered: no id is executed twice, and memory is bounded.
//!
//! An id has Unix milliseconds in its upper 48 bits (RFC 9562, version 7). Ids are kept by that time in slices of [`SLICE_MS`]; the
//! *floor* is where the first slice kept begins. It rises, before each batch, to what lies a window behind the batch's time, and
//! further, by whole slices but never past the slice of that time, while more ids are kept than there may be: a slice is dropped as
//! a whole, and whatever lies below the floor is refused from then on by its own time. So an id is either found here or can never
//! have been executed. Ids that lie ahead of the present may take a quarter of the room: whoever sends them cannot make others' ids be
//! forgotten, and PAYERs leave CASHIERs a part of it.

use core::hint::black_box;
use std::collections::BTreeMap;

use protocol::commands::SetLedgerLimits;
use protocol::rows::TransferRow;
use protocol::time::NANOS_PER_MILLI;
use protocol::{LedgerRefusal, Seq, TransferId, UnixNanos};

use super::batch::{Payers, of_payers};
use super::transfers::LOOK_AHEAD;
use crate::broken::Broken;
use crate::index::{Index, hash_seeded};
use crate::pages::Pages;
use crate::rows::widen;
use crate::slab::{NONE, Slab};

/// Milliseconds of a slice: a power of two, at 2,000,000 ids a second 32,000 ids.
const SLICE_MS: u64 = 16;

/// Ids ahead of the present may be one in so many.
const AHEAD_PART: u32 = 4;

/// Slices that are found without a search, where they follow each other: those of about a second.
const NEAR: u64 = 64;

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Refused for a reason that may be gone by now: a retry gets the same answer.
    Refused(LedgerRefusal),
    /// Created, and posted at once.
    Created,
    /// Created, and pending.
    Pending,
    /// Was pending, and was posted by the transfer that named it.
    Posted,
    /// Was pending, and was voided.
    Voided,
    /// Was pending until its time was over.
    Expired,
    /// Was pending, and was posted in full with its chain, of which another part was named.
    PostedWithChain,
}

impl Outcome {
    /// As it is written: what, and the refusal or 0.
    pub(crate) const fn codes(self) -> (u8, u8) {
        match self {
            Self::Refused(refusal) => (0, refusal.code()),
            Self::Created => (1, 0),
            Self::Pending => (2, 0),
            Self::Posted => (3, 0),
            Self::Voided => (4, 0),
            Self::Expired => (5, 0),
            Self::PostedWithChain => (6, 0),
        }
    }

    /// What these codes mean.
    pub(crate) fn from_codes(outcome: u8, refusal: u8) -> Option<Self> {
        Some(match (outcome, refusal) {
            (0, refusal) => Self::Refused(LedgerRefusal::from_code(refusal)?),
            (1, 0) => Self::Created,
            (2, 0) => Self::Pending,
            (3, 0) => Self::Posted,
            (4, 0) => Self::Voided,
            (5, 0) => Self::Expired,
            (6, 0) => Self::PostedWithChain,
            _ => return None,
        })
    }
}

/// A transfer that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// As it was sent.
    pub(crate) row: TransferRow,
    /// What it moved or reserved.
    pub(crate) amount: u128,
    /// Where.
    pub(crate) seq: Seq,
    pub(crate) outcome: Outcome,
}

/// Where a transfer is remembered, as long as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recollection {
    slice: u64,
    row: u32,
}

#[derive(Clone, Debug, Default)]
struct Slice {
    rows: Pages<Remembered, 8>,
    by_id: Index,
}

impl Slice {
    #[inline]
    fn find(&self, id: TransferId, seed: u64) -> Option<u32> {
        self.by_id.find(hash_seeded(id.0, seed), |row| self.rows.at(row).row.id == id)
    }
}

/// The window.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    /// None that is empty, but for places that are free.
    slices: Slab<Slice>,
    by_number: BTreeMap<u64, u32>,
    /// The slice begun last of all whose numbers leave the same rest, its number first.
    near: Vec<(u64, u32)>,
    len: usize,
    /// Number of the first slice whose ids may be executed.
    floor: u64,
    /// Number of the slice of the last batch's time.
    present: u64,
    /// Ids that lie in slices behind it.
    ahead: usize,
    seed: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            slices: Slab::new(),
            by_number: BTreeMap::new(),
            near: (0..NEAR).map(|_| (0, NONE)).collect(),
            len: 0,
            floor: 0,
            present: 0,
            ahead: 0,
            seed: 0,
        }
    }
}

fn slice_of(id: TransferId) -> u64 {
    id.ms() / SLICE_MS
}

impl Recent {
    pub(crate) const fn seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Ids whose time lies below this, in Unix milliseconds, are refused.
    pub(crate) const fn floor_ms(&self) -> u64 {
        self.floor.saturating_mul(SLICE_MS)
    }

    /// Sets the floor of a state that is read.
    pub(crate) const fn restore_floor_ms(&mut self, floor_ms: u64) -> bool {
        self.floor = floor_ms / SLICE_MS;
        self.floor_ms() == floor_ms
    }

    /// The present is this time: raises the floor to where it has to be.
    pub(crate) fn advance(&mut self, time: UnixNanos, window_ms: u64, ids_max: u32) {
        let millis = time.0 / NANOS_PER_MILLI;
        let present = millis / SLICE_MS;
        if present > self.present {
            let reached = self.by_number.range(self.present.saturating_add(1)..=present);
            let reached =
                reached.fold(0, |ids: usize, (_, slot)| ids.saturating_add(self.slices.at(*slot).rows.len()));
            self.ahead = self.ahead.saturating_sub(reached);
            self.present = present;
        }
        self.floor = self.floor.max(millis.saturating_sub(window_ms) / SLICE_MS);
        self.drop_below_floor();
        while self.len > widen(ids_max) {
            let oldest = self.by_number.first_key_value().map(|(&oldest, _)| oldest);
            let Some(oldest) = oldest.filter(|oldest| *oldest < self.present) else { break };
            self.floor = oldest.saturating_add(1);
            self.drop_below_floor();
        }
    }

    fn drop_below_floor(&mut self) {
        while let Some((&first, _)) = self.by_number.first_key_value().filter(|first| *first.0 < self.floor) {
            let ids = self.end_slice(first);
            self.len = self.len.saturating_sub(ids);
        }
    }

    #[inline]
    fn near(&self, number: u64) -> Option<&(u64, u32)> {
        self.near.get(usize::try_from(number % NEAR).ok()?)
    }

    fn near_mut(&mut self, number: u64) -> Option<&mut (u64, u32)> {
        self.near.get_mut(usize::try_from(number % NEAR).ok()?)
    }

    #[inline]
    fn slot(&self, number: u64) -> Option<u32> {
        match self.near(number) {
            Some(&(near, slot)) if near == number && slot != NONE => Some(slot),
            _ => self.by_number.get(&number).copied(),
        }
    }

    #[inline]
    fn slice(&self, number: u64) -> Option<&Slice> {
        self.slot(number).map(|slot| self.slices.at(slot))
    }

    /// A slice that will have about as many ids as the one before it has, or, where all of the last second still fill, as the one that
    /// lies that long before it.
    #[cold]
    fn begin_slice(&mut self, number: u64) -> u32 {
        let ids = |before| self.slice(number.checked_sub(before)?).map(|slice| slice.rows.len());
        let ids = ids(1).max(ids(NEAR)).unwrap_or_default();
        let slice = Slice { rows: Pages::default(), by_id: Index::for_rows(ids) };
        let slot = self.slices.insert(slice);
        self.by_number.insert(number, slot);
        if let Some(near) = self.near_mut(number) {
            *near = (number, slot);
        }
        slot
    }

    /// Drops a slice; how many ids it had.
    fn end_slice(&mut self, number: u64) -> usize {
        let Some(slot) = self.by_number.remove(&number) else { return 0 };
        if let Some(near) = self.near_mut(number).filter(|near| near.0 == number) {
            near.1 = NONE;
        }
        let slice = core::mem::take(self.slices.at_mut(slot));
        self.slices.release(slot);
        slice.rows.len()
    }

    /// Refuses an id whose time lies outside the window.
    pub(crate) fn judge(
        &self,
        id: TransferId,
        time: UnixNanos,
        payers: Payers<'_>,
        limits: &SetLedgerLimits,
    ) -> Result<(), LedgerRefusal> {
        let slice = slice_of(id);
        if slice < self.floor {
            return Err(LedgerRefusal::IdTooOld);
        }
        let far = id.ms() > (time.0 / NANOS_PER_MILLI).saturating_add(limits.id_ahead_ms);
        let ahead_max = limits.transfer_ids_max / AHEAD_PART;
        let ahead_max = if payers.are_everybody() { ahead_max } else { of_payers(ahead_max) };
        let no_room = slice > self.present && self.ahead >= widen(ahead_max);
        // A retry of what was executed is no new id.
        if (far || no_room) && self.find(id).is_none() { Err(LedgerRefusal::IdTooFarAhead) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn find(&self, id: TransferId) -> Option<&Remembered> {
        let slice = self.slice(slice_of(id))?;
        let row = slice.find(id, self.seed)?;
        Some(slice.rows.at(row))
    }

    /// Whether nothing is known of it any more: its time lies below the floor.
    pub(crate) fn is_forgotten(&self, id: TransferId) -> bool {
        slice_of(id) < self.floor
    }

    /// Has the memory fetched that [`Recent::find`] will read first, for up to [`LOOK_AHEAD`] ids at once: what one short loop asks for is
    /// on its way at the same time.
    #[inline]
    pub(crate) fn fetch(&self, ids: impl Iterator<Item = TransferId>) {
        let mut homes = [(None, 0); LOOK_AHEAD];
        for (id, home) in ids.zip(&mut homes) {
            *home = (self.slice(slice_of(id)), hash_seeded(id.0, self.seed));
        }
        let cells = homes.iter().filter_map(|(slice, hash)| slice.as_ref()?.by_id.home(*hash));
        black_box(cells.fold(0, |fetched, cell| fetched ^ cell));
    }

    /// Where a transfer is remembered, if it is.
    pub(crate) fn recollect(&self, id: TransferId) -> Option<Recollection> {
        let number = slice_of(id);
        let row = self.slice(number)?.find(id, self.seed)?;
        Some(Recollection { slice: number, row })
    }

    /// Remembers a transfer that [`Recent::find`] does not find.
    #[inline]
    pub(crate) fn remember(&mut self, transfer: Remembered) -> Recollection {
        let (number, hash) = (slice_of(transfer.row.id), hash_seeded(transfer.row.id.0, self.seed));
        let slot = self.slot(number).unwrap_or_else(|| self.begin_slice(number));
        let slice = self.slices.at_mut(slot);
        let row = slice.rows.push(transfer);
        slice.by_id.insert(hash, row);
        self.len = self.len.saturating_add(1);
        self.ahead = self.ahead.saturating_add(usize::from(number > self.present));
        Recollection { slice: number, row }
    }

    /// Forgets the transfer of that slice that was remembered last: the chain that created it failed.
    pub(crate) fn forget(&mut self, last: Recollection) {
        let Some(slot) = self.slot(last.slice) else { return };
        let slice = self.slices.at_mut(slot);
        let id = slice.rows.at(last.row).row.id;
        slice.by_id.remove(hash_seeded(id.0, self.seed), last.row);
        slice.rows.pop();
        self.len = self.len.saturating_sub(1);
        self.ahead = self.ahead.saturating_sub(usize::from(last.slice > self.present));
        if self.slices.at(slot).rows.len() == 0 {
            self.end_slice(last.slice);
        }
    }

    /// What became of a pending transfer, if it is still remembered.
    pub(crate) fn settle(&mut self, transfer: Recollection, outcome: Outcome) {
        if let Some(slot) = self.slot(transfer.slice) {
            let slice = self.slices.at_mut(slot);
            slice.rows.at_mut(transfer.row).outcome = outcome;
        }
    }

    /// All that are remembered: by slice, and in each in the order of their execution.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Remembered> {
        self.by_number.values().flat_map(|slot| self.slices.at(*slot).rows.iter())
    }

    /// Every one is found by its id, none lies below the floor, and they are as many as are counted, also ahead of the present.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let is_found = |remembered: &Remembered| {
            slice_of(remembered.row.id) >= self.floor && self.find(remembered.row.id) == Some(remembered)
        };
        let ahead = self.by_number.range(self.present.saturating_add(1)..);
        let ahead = ahead.map(|(_, slot)| self.slices.at(*slot).rows.len()).sum::<usize>();
        let counted = (self.iter().count(), ahead) == (self.len, self.ahead);
        let mut near = self.near.iter().filter(|near| near.1 != NONE);
        let is_near = near.all(|(number, slot)| self.by_number.get(number) == Some(slot));
        if counted && is_near && self.iter().all(is_found) {
            Ok(())
        } else {
            Err(Broken::Index { what: "recent transfers" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(id: TransferId) -> Remembered {
        let row = TransferRow { id, ..TransferRow::default() };
        Remembered { row, amount: 1, seq: Seq(1), outcome: Outcome::Created }
    }

    /// Times lie over several times [`NEAR`] slices, so that many share a place among the near ones.
    #[test]
    fn a_slice_is_found_whether_it_is_near_or_not() {
        const IDS_MAX: u32 = 400;
        let mut recent = Recent::default();
        let mut naive = std::collections::BTreeSet::new();
        let mut draw = 7_u64;
        for turn in 0..20_000_u64 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let time_ms = turn;
            let id_ms = (time_ms + (draw >> 33) % 4_000).saturating_sub(3_800);
            let id = TransferId::at_ms(id_ms, (draw >> 40).into());
            assert_eq!(recent.find(id).is_some(), naive.contains(&id));
            if id.ms() >= recent.floor_ms() && recent.find(id).is_none() {
                let place = recent.remember(remembered(id));
                if turn % 5 == 0 {
                    recent.forget(place);
                } else {
                    naive.insert(id);
                }
            }
            recent.advance(UnixNanos(time_ms * NANOS_PER_MILLI), 3_600, IDS_MAX);
            naive = naive.split_off(&TransferId::at_ms(recent.floor_ms(), 0));
            if turn % 97 == 0 {
                recent.check().unwrap();
                assert_eq!(
                    recent.iter().map(|of| of.row.id).collect::<std::collections::BTreeSet<_>>(),
                    naive
                );
            }
        }
        assert!(recent.slices.slots() < 400, "places of slices are used again");
    }
}
