//! Reads committed entries back from the files of a journal that another handle goes on writing: a snapshot is made by running
//! again what lies behind the one before.
//!
//! Nothing is asked of the journal in memory. What is looked for ends with an entry that is committed and durable, and its
//! chain says which of the entries that ever stood at an index are the ones in front of it.

use std::collections::VecDeque;

use protocol::Index;
use protocol::frame::Frame;
use protocol::hash::Hash;

use super::open::{first_needed, read_segment, segment_names};
use crate::aligned::AlignedBuf;
use crate::disk::{Disk, DiskFault};
use crate::marks::LocalMark;
use crate::survey::{Damage, Survey, Visit};

/// Bytes that are read at a time: a commit block that comes in between waits for one of these, and not for a whole segment.
const STEP_BYTES: usize = 256 << 10;

/// An entry at its place in the history: no other has this chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAt {
    /// Its index; 0 for the beginning of the log.
    pub index: Index,
    /// Its chain, which covers everything before it; zero at the beginning.
    pub chain: Hash,
}

/// Why entries could not be read back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RereadFault {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskFault),
    /// The files do not lead to the last one.
    #[error("the journal's files do not lead to entry {to}{}", describe(damage.as_deref()))]
    Missing {
        /// The last entry that was wanted.
        to: Index,
        /// What lies in the way.
        damage: Option<Box<Damage>>,
    },
    /// The entries do not go on from there.
    #[error("the journal has another entry {0} than the one to go on from")]
    Unlinked(Index),
}

fn describe(damage: Option<&Damage>) -> String {
    damage.map_or_else(String::new, |damage| format!(": {:?} at {}", damage.kind, damage.place))
}

/// Visits the frames of all entries behind `from` up to `to`, in order, none of which was replaced later. `to` is committed
/// and durable.
///
/// # Errors
/// [`RereadFault`]: what was visited until then is part of the log if `from` is.
pub fn reread<D: Disk>(
    disk: &mut D,
    from: EntryAt,
    to: EntryAt,
    visit: &mut dyn FnMut(&Frame<'_>),
) -> Result<(), RereadFault> {
    let names = segment_names(disk)?;
    let first = first_needed(disk, &names, from.index.next())?;
    let (mut survey, mut buffer) = (Survey::new(), AlignedBuf::with_capacity(0));
    let mut walk = Walk::new(from, to);
    for name in names.iter().skip(first) {
        read_segment(disk, *name, &mut buffer, STEP_BYTES)?;
        survey.segment(*name, &buffer, &mut |visited| walk.take(&visited, visit));
        if let Some(end) = walk.end.take() {
            return end;
        }
    }
    Err(walk.missing())
}

/// The way through the files.
struct Walk {
    from: EntryAt,
    to: EntryAt,
    /// The entry at `from` as it stands now.
    found: Hash,
    /// The last entry that was handed on.
    handed_on: Index,
    /// The entries behind it, until it is known that nothing takes their place.
    waiting: VecDeque<(Index, Vec<u8>)>,
    /// Committed, by the block that is visited.
    commit: Index,
    damage: Option<Damage>,
    end: Option<Result<(), RereadFault>>,
}

impl Walk {
    fn new(from: EntryAt, to: EntryAt) -> Self {
        Self {
            from,
            to,
            found: Hash::ZERO,
            handed_on: from.index,
            waiting: VecDeque::new(),
            commit: Index(0),
            damage: None,
            end: None,
        }
    }

    fn take(&mut self, visited: &Visit<'_>, visit: &mut dyn FnMut(&Frame<'_>)) {
        if self.end.is_some() {
            return;
        }
        match visited {
            Visit::Segment(_, header) => {
                self.damage = None;
                if header.first_index == self.from.index.next() {
                    self.found = header.prev_chain;
                }
            }
            // What the block before says of commits holds with all of its frames.
            Visit::Block { header, unlinked: false, .. } => {
                self.hand_on(self.commit, visit);
                self.commit = header.commit_index;
            }
            Visit::Frame { frame, unlinked: false, .. } => self.take_frame(frame, visit),
            Visit::Damage(damage) => {
                self.damage.get_or_insert(*damage);
            }
            Visit::Block { .. } | Visit::Frame { .. } => {}
        }
    }

    fn take_frame(&mut self, frame: &Frame<'_>, visit: &mut dyn FnMut(&Frame<'_>)) {
        let index = frame.header.index;
        if let Some(LocalMark::Truncate { from, .. }) = LocalMark::read(frame) {
            self.forget(from);
        }
        if !frame.header.kind.is_entry() {
            return;
        }
        self.forget(index);
        if index == self.from.index {
            self.found = frame.chain;
        }
        // A repair writes again what was handed on before.
        if index <= self.handed_on {
            return;
        }
        self.waiting.push_back((index, frame.bytes.to_vec()));
        if (EntryAt { index, chain: frame.chain }) == self.to {
            self.hand_on(index, visit);
            self.end.get_or_insert(Ok(()));
        }
    }

    fn missing(&self) -> RereadFault {
        RereadFault::Missing { to: self.to.index, damage: self.damage.map(Box::new) }
    }

    /// Entries from `from` on are void.
    fn forget(&mut self, from: Index) {
        while self.waiting.pop_back_if(|(index, _)| *index >= from).is_some() {}
    }

    fn hand_on(&mut self, to: Index, visit: &mut dyn FnMut(&Frame<'_>)) {
        while self.end.is_none()
            && let Some((index, bytes)) = self.waiting.pop_front_if(|(index, _)| *index <= to)
        {
            if index != self.handed_on.next() {
                self.end = Some(Err(self.missing()));
                return;
            }
            if self.handed_on == self.from.index && self.found != self.from.chain {
                self.end = Some(Err(RereadFault::Unlinked(self.from.index)));
                return;
            }
            self.handed_on = index;
            let Ok(frame) = Frame::read(&bytes) else { unreachable!("the survey has read it") };
            visit(&frame);
        }
    }
}
