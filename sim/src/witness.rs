//! The committed log as witness: what any replica has committed is remembered, may never change, and is re-run from its
//! first record on an engine of its own.

use std::collections::{BTreeMap, BTreeSet};

use engine::Engine;
use journal::FileRef;
use protocol::event::{EffectHash, Event};
use protocol::frame::{Frame, FrameKind};
use protocol::hash::{Hash, blake3};
use protocol::{Command, EventBody, Index, Seq, SessionEpoch, SessionId, Term, UnixNanos};

use crate::checkers::{Violation, ensure};
use crate::mirror::{Beginning, Entry, Mirror};

const NAME: &str = "witness";

/// What follows from the committed log.
#[derive(Default)]
pub struct Witness {
    committed: BTreeMap<Index, Entry>,
    applied: Index,
    engine: Engine,
    effects: EffectHash,
    hashes: BTreeMap<Seq, Hash>,
    events: BTreeMap<Seq, Vec<Event>>,
    /// When each command was recorded.
    times: BTreeMap<Seq, UnixNanos>,
    /// Batches of which something was created: their events do not repeat what the rows say.
    batches: BTreeMap<Seq, Command>,
    /// Terms of a leader whose effects' hash was wrong: what it has recorded is outvoted.
    distrusted: BTreeSet<Term>,
    outputs: BTreeMap<(SessionId, SessionEpoch), Vec<Event>>,
    /// Hash of the bytes of each snapshot that somebody has taken.
    snapshots: BTreeMap<FileRef, Hash>,
}

impl Witness {
    /// A replica has committed `entry`.
    ///
    /// # Errors
    /// [`Violation`] if another has committed another one there.
    pub fn commit(&mut self, index: Index, entry: &Entry) -> Result<(), Violation> {
        if let Some(before) = self.committed.get(&index) {
            return ensure((before.chain, before.term) == (entry.chain, entry.term), NAME, || {
                let (one, two) = ((before.term, before.chain), (entry.term, entry.chain));
                format!("entry {index} was committed as {one:?} and is committed as {two:?}")
            });
        }
        self.committed.insert(index, entry.clone());
        Ok(())
    }

    /// A replica has taken the snapshot `file`.
    ///
    /// # Errors
    /// [`Violation`] if another one's has other bytes.
    pub fn snapshot(&mut self, file: &FileRef, bytes: &[u8]) -> Result<(), Violation> {
        let hash = blake3(&[bytes]);
        let first = *self.snapshots.entry(file.clone()).or_insert(hash);
        ensure(first == hash, NAME, || {
            format!("{file} has the hash {first} on one replica, {hash} on another")
        })
    }

    /// A log begins behind this entry: it must be one that somebody has committed.
    ///
    /// # Errors
    /// [`Violation`] if it is not.
    pub fn has_committed(&self, beginning: &Beginning) -> Result<(), Violation> {
        let known = self.committed.get(&beginning.index).map(|entry| (entry.term, entry.chain));
        ensure(known == Some((beginning.term, beginning.chain)), NAME, || {
            format!("a log begins behind {beginning:?}, and committed was {known:?}")
        })
    }

    /// A log was repaired that had held `durable`: of what was committed of it nothing may be missing.
    ///
    /// # Errors
    /// [`Violation`] if something is.
    pub fn has_back(
        &self,
        durable: &BTreeMap<Index, (Term, Hash)>,
        mirror: &Mirror,
    ) -> Result<(), Violation> {
        for (index, had) in durable.range(mirror.beginning().index.next()..) {
            let was_committed =
                self.committed.get(index).is_some_and(|entry| (entry.term, entry.chain) == *had);
            let has = mirror.entry(*index).map(|entry| (entry.term, entry.chain));
            ensure(!was_committed || has == Some(*had), NAME, || {
                format!("entry {index} was committed as {had:?}, and is {has:?} since its log was repaired")
            })?;
        }
        Ok(())
    }

    /// Re-runs the committed log up to `index`.
    ///
    /// # Errors
    /// [`Violation`] if it is not there, or contradicts itself.
    pub fn run_to(&mut self, index: Index) -> Result<(), Violation> {
        while self.applied < index {
            let next = self.applied.next();
            let entry = self.committed.get(&next).cloned();
            let entry = entry.ok_or_else(|| Violation {
                invariant: NAME,
                what: format!("entry {next} of {index} was applied and not seen to be committed"),
            })?;
            self.apply(next, entry.bytes())?;
        }
        Ok(())
    }

    /// Re-runs everything once more from the first record and compares.
    ///
    /// # Errors
    /// [`Violation`] if the second run comes to something else.
    pub fn run_again(&self) -> Result<(), Violation> {
        let mut again = Self { distrusted: self.distrusted.clone(), ..Self::default() };
        for (index, entry) in self.committed.range(..=self.applied) {
            again.apply(*index, entry.bytes())?;
        }
        let (one, two) = (self.engine.state_hash(), again.engine.state_hash());
        ensure(one == two && self.effects == again.effects, NAME, || {
            format!("two runs: state {one} and {two}")
        })
    }

    fn apply(&mut self, index: Index, bytes: &[u8]) -> Result<(), Violation> {
        let fault = |what: String| Violation { invariant: NAME, what };
        let frame = Frame::read(bytes).map_err(|found| fault(format!("entry {index}: {found:?}")))?;
        self.applied = index;
        if frame.header.kind != FrameKind::Entry {
            return Ok(());
        }
        let recorded = frame.header.effect_hash;
        let computed = self.hashes.get(&frame.header.applied_seq).copied().unwrap_or(Hash::ZERO);
        let counts = !self.distrusted.contains(&frame.header.term);
        ensure(recorded == computed || !counts, NAME, || {
            format!(
                "entry {index} recorded effects {recorded} at seq {}, re-run {computed}",
                frame.header.applied_seq
            )
        })?;
        let mut encoded = Vec::new();
        for (seq, time, record) in frame.records() {
            let record = record.map_err(|found| fault(format!("seq {seq}: {found:?}")))?;
            let mut events = Vec::new();
            self.engine.apply(seq, time, &record, &mut events).map_err(|broken| fault(broken.to_string()))?;
            for event in &events {
                if creates(&event.body) {
                    let command = record.command().map_err(|found| fault(format!("seq {seq}: {found:?}")))?;
                    self.batches.insert(seq, command);
                }
                event.write(&mut encoded);
                if let Some(number) = event.output {
                    self.outputs.entry((number.session, number.epoch)).or_default().push(event.clone());
                }
            }
            self.events.insert(seq, events);
            self.times.insert(seq, time);
        }
        self.effects.fold(&encoded);
        self.hashes.insert(self.engine.seq_applied(), self.effects.0);
        Ok(())
    }

    /// What the leader of `term` records of its effects may be wrong.
    pub(crate) fn distrust(&mut self, term: Term) {
        self.distrusted.insert(term);
    }

    /// The last entry that was re-run.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The state.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Rolling hash of all effects.
    #[must_use]
    pub fn effect_hash(&self) -> Hash {
        self.effects.0
    }

    /// The same behind the frame that ends with `seq`.
    #[must_use]
    pub fn effects_at(&self, seq: Seq) -> Option<Hash> {
        if seq == Seq::ZERO { Some(Hash::ZERO) } else { self.hashes.get(&seq).copied() }
    }

    /// The last seq up to the entry at `index`, if that is committed.
    #[must_use]
    pub fn seq_at(&self, index: Index) -> Option<Seq> {
        let header = Frame::read(self.committed.get(&index)?.bytes()).ok()?.header;
        Some(Seq(header.first_seq.0 + u64::from(header.count) - 1))
    }

    /// What followed from the command at `seq`.
    #[must_use]
    pub fn events_at(&self, seq: Seq) -> &[Event] {
        self.events.get(&seq).map_or(&[], Vec::as_slice)
    }

    /// The command at `seq`, if it is a batch that created something.
    #[must_use]
    pub fn batch_at(&self, seq: Seq) -> Option<&Command> {
        self.batches.get(&seq)
    }

    /// When the commands from `from` on were recorded, in order.
    pub fn times_from(&self, from: Seq) -> impl Iterator<Item = (Seq, UnixNanos)> {
        self.times.range(from..).map(|(seq, time)| (*seq, *time))
    }

    /// What followed from `from` on.
    pub fn events_from(&self, from: Seq) -> impl Iterator<Item = &Event> {
        self.events.range(from..).flat_map(|(_, events)| events)
    }

    /// Numbered outputs of each session and epoch, in order.
    #[must_use]
    pub fn outputs(&self) -> &BTreeMap<(SessionId, SessionEpoch), Vec<Event>> {
        &self.outputs
    }
}

fn creates(body: &EventBody) -> bool {
    if let EventBody::AccountsCreated(made) = body {
        made.created > 0
    } else if let EventBody::TransfersCreated(made) = body {
        made.created > 0
    } else {
        false
    }
}
