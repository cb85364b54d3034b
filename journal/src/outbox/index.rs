//! Which output of which session is where in the outbox: 8 bytes each, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use protocol::event::OutputNumber;
use protocol::limits::{EVENT_HEADER_BYTES, OUTBOX_PER_SESSION_MAX};
use protocol::{OutSeq, SessionEpoch, SessionId};

/// Outputs of all sessions.
#[derive(Default)]
pub(super) struct OutboxIndex {
    sessions: BTreeMap<(SessionId, SessionEpoch), Outputs>,
    /// Kept outputs of each file; one that has none is removed.
    files: BTreeMap<u32, u64>,
}

/// Outputs of one session in one epoch: those from `first` on, without gaps in the numbering.
#[derive(Default)]
struct Outputs {
    first: u64,
    places: VecDeque<Place>,
}

impl Outputs {
    /// The number behind the last one.
    fn next(&self) -> u64 {
        self.first + self.places.len() as u64
    }
}

/// Where an output is: in a file, or in memory on its way there. File 0 stands for one that is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) offset: u32,
}

impl Place {
    /// It is gone for good: a gap fill answers for it.
    pub(super) const GONE: Self = Self { file: 0, offset: 0 };
    /// There was no room for it: nobody may be told that there was none.
    pub(super) const LEFT_OUT: Self = Self { file: 0, offset: 1 };
    /// Another replica has it: nobody may be told either, until it is here.
    pub(super) const TO_COME: Self = Self { file: 0, offset: 2 };

    pub(super) fn is_kept(self) -> bool {
        self.file != 0
    }
}

impl OutboxIndex {
    fn place_of(&self, number: OutputNumber) -> Option<Place> {
        let outputs = self.sessions.get(&(number.session, number.epoch))?;
        let at = number.out_seq.0.checked_sub(outputs.first)?;
        outputs.places.get(at as usize).copied()
    }

    /// Where the outputs from `from` to `to` are, as many as may fit `bytes_max`; those that are gone at the front are skipped.
    pub(super) fn places(
        &self,
        session: SessionId,
        epoch: SessionEpoch,
        from: OutSeq,
        to: OutSeq,
        bytes_max: usize,
    ) -> Vec<(u64, Place)> {
        let Some(outputs) = self.sessions.get(&(session, epoch)) else { return Vec::new() };
        let skip = from.0.saturating_sub(outputs.first);
        let start = (skip as usize).min(outputs.places.len());
        let wanted = (outputs.first + start as u64..=to.0).zip(outputs.places.range(start..));
        wanted
            .map(|(number, place)| (number, *place))
            .skip_while(|(_, place)| *place == Place::GONE)
            .take(bytes_max / EVENT_HEADER_BYTES + 1)
            .collect()
    }

    /// Notes where the next output of a session is; what is there of it and of later ones is appended again.
    pub(super) fn append(&mut self, number: OutputNumber, place: Place) {
        let outputs = self.sessions.entry((number.session, number.epoch)).or_default();
        let out_seq = number.out_seq.0;
        let next = outputs.next();
        if outputs.places.is_empty()
            || out_seq < outputs.first
            || out_seq - next.min(out_seq) > OUTBOX_PER_SESSION_MAX
        {
            for place in outputs.places.drain(..) {
                forget(&mut self.files, place);
            }
            outputs.first = out_seq;
        } else if out_seq < next {
            // Appended again: the newer copy counts.
            while outputs.next() > out_seq
                && let Some(place) = outputs.places.pop_back()
            {
                forget(&mut self.files, place);
            }
        } else {
            outputs.places.extend((next..out_seq).map(|_| Place::GONE));
        }
        outputs.places.push_back(place);
        if place.is_kept() {
            *self.files.entry(place.file).or_default() += 1;
        }
        while outputs.places.len() as u64 > OUTBOX_PER_SESSION_MAX
            && let Some(place) = outputs.places.pop_front()
        {
            outputs.first += 1;
            forget(&mut self.files, place);
        }
    }

    /// Notes where an output is, whatever is there of later ones.
    pub(super) fn fill_in(&mut self, number: OutputNumber, place: Place) {
        let outputs = self.sessions.entry((number.session, number.epoch)).or_default();
        let out_seq = number.out_seq.0;
        let next = outputs.next();
        if outputs.places.is_empty() || out_seq >= next {
            return self.append(number, place);
        }
        if next - out_seq > OUTBOX_PER_SESSION_MAX {
            return;
        }
        while out_seq < outputs.first {
            outputs.first -= 1;
            outputs.places.push_front(Place::GONE);
        }
        let slot = outputs.places.get_mut((out_seq - outputs.first) as usize);
        let before = slot.map(|slot| std::mem::replace(slot, place));
        before.into_iter().for_each(|before| forget(&mut self.files, before));
        if place.is_kept() {
            *self.files.entry(place.file).or_default() += 1;
        }
    }

    pub(super) fn fill_in_unless_kept(
        &mut self,
        session: SessionId,
        epoch: SessionEpoch,
        numbers: Range<OutSeq>,
        place: Place,
    ) {
        for out_seq in (numbers.start.0..numbers.end.0).map(OutSeq) {
            let number = OutputNumber { session, epoch, out_seq };
            if !self.place_of(number).is_some_and(Place::is_kept) {
                self.fill_in(number, place);
            }
        }
    }

    /// Forgets a session's outputs below `floor`.
    pub(super) fn drop_below(&mut self, session: SessionId, epoch: SessionEpoch, floor: OutSeq) {
        let Some(outputs) = self.sessions.get_mut(&(session, epoch)) else { return };
        while outputs.first < floor.0
            && let Some(place) = outputs.places.pop_front()
        {
            outputs.first += 1;
            forget(&mut self.files, place);
        }
        if outputs.places.is_empty() {
            self.sessions.remove(&(session, epoch));
        }
    }

    /// Forgets a session's outputs in all epochs before `epoch`.
    pub(super) fn drop_epochs_before(&mut self, session: SessionId, epoch: SessionEpoch) {
        let earlier = (session, SessionEpoch(0))..(session, epoch);
        let keys: Vec<_> = self.sessions.range(earlier).map(|(key, _)| *key).collect();
        for key in keys {
            for place in self.sessions.remove(&key).unwrap_or_default().places {
                forget(&mut self.files, place);
            }
        }
    }

    /// The number behind a session's last output; `None` if it has none here.
    pub(super) fn next(&self, session: SessionId, epoch: SessionEpoch) -> Option<OutSeq> {
        Some(OutSeq(self.sessions.get(&(session, epoch))?.next()))
    }

    /// Whether all outputs of a session from `from` up to, but not with, `to` are here.
    pub(super) fn covers(&self, session: SessionId, epoch: SessionEpoch, from: OutSeq, to: OutSeq) -> bool {
        if from >= to {
            return true;
        }
        let Some(outputs) = self.sessions.get(&(session, epoch)) else { return false };
        from.0 >= outputs.first
            && to.0 <= outputs.next()
            && outputs
                .places
                .range((from.0 - outputs.first) as usize..(to.0 - outputs.first) as usize)
                .all(|place| place.is_kept())
    }

    /// From here on a file is looked after, although nothing in it is kept.
    pub(super) fn know_file(&mut self, number: u32) {
        self.files.entry(number).or_default();
    }

    pub(super) fn forget_file(&mut self, number: u32) {
        self.files.remove(&number);
    }

    /// The oldest file in which something is kept.
    pub(super) fn oldest_kept(&self) -> Option<u32> {
        self.files.iter().find(|(_, kept)| **kept > 0).map(|(number, _)| *number)
    }

    /// Files in which nothing is kept.
    pub(super) fn empty_files(&self) -> impl Iterator<Item = u32> + '_ {
        self.files.iter().filter(|(_, kept)| **kept == 0).map(|(number, _)| *number)
    }
}

fn forget(files: &mut BTreeMap<u32, u64>, place: Place) {
    if let Some(kept) = files.get_mut(&place.file) {
        *kept = kept.saturating_sub(1);
    }
}
