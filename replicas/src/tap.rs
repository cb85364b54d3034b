//! What is applied, for the views beside the replica: each frame, with those of its events that the view asked for.
//!
//! A view that lags, or begins, has missed some: what it wants of them comes out of a second run over the replica's own journal, as
//! a snapshot's state does, from the newest snapshot before where it stands. It costs that run, and for as long the memory of a
//! second engine; the running one is not disturbed.
//!
//! ```text
//! open_tap ─> every frame from here on ─> take_tapped
//!         └─> the last frame before is durable ─> CatchUp ─> run: every frame from where the view stands up to there
//! ```

use bytes::Bytes;
use engine::Skips;
use journal::snapshot_file::{self, Kept};
use journal::{Disk, DiskFault, EntryAt, Identity, RereadFault, reread};
use protocol::event::Event;
use protocol::frame::Frame;
use protocol::hash::Hash;
use protocol::{EventBody, Index, Seq, UnixNanos};

use crate::apply::Apply;
use crate::replica::Replica;
use crate::snapshots::Base;

/// Who is told what is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The ledger's history.
    Ledger,
    /// Market data.
    Market,
}

/// Whether a view wants an event.
pub type Wants = fn(&EventBody) -> bool;

/// What comes out of a tap.
#[derive(Debug)]
pub enum Tapped {
    /// A frame was applied.
    Applied {
        /// Its bytes, which are those of the log in memory.
        frame: Bytes,
        /// What followed, as far as it was wanted, in order.
        events: Vec<Event>,
        /// The rolling hash over all effects behind it.
        effects: Hash,
    },
    /// What followed from this seq on does not count: the engine runs again from before it.
    Again {
        /// The first seq.
        from: Seq,
    },
}

/// Filled by apply, emptied by the replica's owner in every turn.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    wants: Option<Wants>,
    tapped: Vec<Tapped>,
    /// Up to here a view has to catch up.
    begins_behind: Option<Behind>,
}

/// One for each view.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    ledger: Tap,
    market: Tap,
}

impl Taps {
    pub(crate) const fn of(&mut self, view: View) -> &mut Tap {
        match view {
            View::Ledger => &mut self.ledger,
            View::Market => &mut self.market,
        }
    }

    /// A frame was applied, and all of this followed.
    pub(crate) fn applied(&mut self, frame: &Bytes, events: &[Event], effects: Hash) {
        self.ledger.applied(frame, events, effects);
        self.market.applied(frame, events, effects);
    }

    /// The engine begins again in front of `from`.
    pub(crate) fn again(&mut self, from: Seq) {
        self.ledger.again(from);
        self.market.again(from);
    }
}

#[derive(Clone, Copy, Debug)]
struct Behind {
    index: Index,
    seq: Seq,
    effects: Hash,
}

impl Tap {
    fn applied(&mut self, frame: &Bytes, events: &[Event], effects: Hash) {
        let Some(wants) = self.wants else { return };
        let events = events.iter().filter(|event| wants(&event.body)).cloned().collect();
        self.tapped.push(Tapped::Applied { frame: frame.clone(), events, effects });
    }

    fn again(&mut self, from: Seq) {
        if self.wants.is_some() {
            self.tapped.push(Tapped::Again { from });
        }
    }
}

/// What a view has missed, detached from the replica.
pub struct CatchUp {
    to: EntryAt,
    /// What the engine had behind it.
    to_seq: Seq,
    to_effects: Hash,
    owner: Identity,
    skips: Skips,
    wants: Wants,
}

/// Why a view cannot catch up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatchUpFault {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskFault),
    /// The journal's files, from a snapshot that serves.
    #[error(transparent)]
    Reread(#[from] RereadFault),
    /// The second run had other effects at a seq than were known: by the view, and then it followed another log; or by the engine.
    #[error("other effects up to seq {seq} than were known")]
    Effects {
        /// Where.
        seq: Seq,
    },
    /// The view took no more.
    #[error("stopped")]
    Stopped,
}

impl CatchUp {
    /// Where it ends.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.to_seq
    }

    /// Where else than at the beginning a run may begin: the snapshots that serve, oldest first; of each its seq, the time there and the hash over
    /// all effects. For a view that has nothing yet, and a log whose files do not reach back to the beginning because it began anew behind
    /// another replica's snapshot.
    ///
    /// # Errors
    /// [`CatchUpFault::Disk`].
    pub fn later_beginnings<D: Disk>(
        &self,
        disk: &mut D,
    ) -> Result<Vec<(Seq, UnixNanos, Hash)>, CatchUpFault> {
        let mut found = Vec::new();
        for Kept { file, .. } in snapshot_file::kept(disk, &self.owner)? {
            if let Ok(base) = Base::read(disk, &file)
                && base.index <= self.to.index
            {
                found.push((base.engine.seq_applied(), base.engine.time(), base.effect_hash));
            }
        }
        found.reverse();
        Ok(found)
    }

    /// Runs the journal again, and hands `take` every frame with records behind the one that ends at `from`, with what followed and
    /// the hash of all effects behind it, until it returns false. `from` is a seq and that hash there, or zeros for the beginning.
    ///
    /// # Errors
    /// [`CatchUpFault`]: what was taken until then is the log's.
    pub fn run<D: Disk>(
        &self,
        disk: &mut D,
        from: (Seq, Hash),
        take: &mut dyn FnMut(&Frame<'_>, &[Event], Hash) -> bool,
    ) -> Result<(), CatchUpFault> {
        if from.0 > self.to_seq {
            return Err(CatchUpFault::Effects { seq: from.0 });
        }
        let base = self.base(disk, from.0)?;
        let (seq, effects) = (base.engine.seq_applied(), base.effect_hash);
        let begin = EntryAt { index: base.index, chain: base.chain };
        let mut again = Apply::again(base, &self.skips);
        let mut fault = (seq == from.0 && effects != from.1).then_some(CatchUpFault::Effects { seq });
        if self.to.index > begin.index {
            reread(disk, begin, self.to, &mut |frame| {
                if fault.is_none() {
                    fault = self.one(&mut again, frame, from, take).err();
                }
            })?;
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        let agrees = (again.seq(), again.effect_hash()) == (self.to_seq, self.to_effects);
        if agrees { Ok(()) } else { Err(CatchUpFault::Effects { seq: self.to_seq }) }
    }

    fn one(
        &self,
        again: &mut Apply,
        frame: &Frame<'_>,
        from: (Seq, Hash),
        take: &mut dyn FnMut(&Frame<'_>, &[Event], Hash) -> bool,
    ) -> Result<(), CatchUpFault> {
        let (wants, mut wanted) = (self.wants, Vec::new());
        let before = again.seq();
        again.run_alone(frame.header.index, Some(frame), &mut |events| {
            wanted.extend(events.iter().filter(|event| wants(&event.body)).cloned());
        });
        let (seq, effects) = (again.seq(), again.effect_hash());
        if again.halted().is_some() || (seq == from.0 && effects != from.1) {
            return Err(CatchUpFault::Effects { seq });
        }
        if seq > before && seq > from.0 && !take(frame, &wanted, effects) {
            return Err(CatchUpFault::Stopped);
        }
        Ok(())
    }

    /// The newest state at or before `from`; the beginning, where no snapshot of it serves.
    fn base<D: Disk>(&self, disk: &mut D, from: Seq) -> Result<Base, CatchUpFault> {
        for Kept { file, .. } in snapshot_file::kept(disk, &self.owner)? {
            // One that is damaged is found by those who start from it, too, and told of there.
            let base = Base::read(disk, &file);
            let serves = |base: &Base| base.engine.seq_applied() <= from && base.index <= self.to.index;
            if let Some(base) = base.ok().filter(serves) {
                return Ok(base);
            }
        }
        Ok(Base::beginning())
    }
}

impl<D: Disk> Replica<D> {
    /// From here on every frame that is applied comes out of [`Self::take_tapped`], with what follows as far as it is wanted; and
    /// what was applied before, once it is durable, of [`Self::begin_catch_up`].
    pub fn open_tap(&mut self, view: View, wants: Wants) {
        let (index, seq, effects) = (self.apply.index(), self.apply.seq(), self.apply.effect_hash());
        let begins_behind = Some(Behind { index, seq, effects });
        *self.apply.tap(view) = Tap { wants: Some(wants), tapped: Vec::new(), begins_behind };
    }

    /// Nothing comes out any more.
    pub fn close_tap(&mut self, view: View) {
        *self.apply.tap(view) = Tap::default();
    }

    /// What was applied since the last time.
    pub fn take_tapped(&mut self, view: View) -> Vec<Tapped> {
        std::mem::take(&mut self.apply.tap(view).tapped)
    }

    /// What a view has missed when the tap was opened; `None` = it is not durable yet, or was handed out before.
    pub fn begin_catch_up(&mut self, view: View) -> Option<CatchUp> {
        let tap = self.apply.tap(view);
        let (wants, Behind { index, seq, effects }) = (tap.wants?, tap.begins_behind?);
        if self.apply.halted().is_some() || self.apply.doubt().is_some() {
            return None;
        }
        let mut journal = self.raft.store().journal();
        if journal.durable_index() < index {
            return None;
        }
        // Where it cannot be read now, it is tried again.
        let chain = if index == Index(0) { Hash::ZERO } else { journal.chain(index).ok()? };
        let owner = journal.identity();
        drop(journal);
        let skips = self.apply.skips().clone();
        self.apply.tap(view).begins_behind = None;
        let (to, to_seq, to_effects) = (EntryAt { index, chain }, seq, effects);
        Some(CatchUp { to, to_seq, to_effects, owner, skips, wants })
    }
}
