//! From a committed frame to effects: the engine takes each record, the effects are hashed and their outputs kept.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use engine::matching::AHEAD_MAX;
use engine::skip::bytes_at;
use engine::{Engine, Skips};
use journal::Disk;
use journal::outbox::Outbox;
use protocol::event::{EffectHash, Event};
use protocol::frame::{Frame, FrameHeader, FrameKind};
use protocol::hash::{Hash, blake3};
use protocol::skip::Skip;
use protocol::{EventBody, Index, Seq, UnixNanos, events};

use crate::fault::HaltCause;
use crate::history::History;
use crate::snapshots::Base;
use crate::tap::{Tap, Taps, View};
use crate::{Halt, ReplicaFault};

/// What two replicas can have differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Everything that followed up to a seq.
    Effects,
    /// The state behind a checkpoint.
    State,
}

/// A hash of ours is not another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) subject: Subject,
    /// Where.
    pub(crate) seq: Seq,
    /// What a proposer recorded; zero if the doubt came from elsewhere.
    pub(crate) recorded: Hash,
    /// Here.
    pub(crate) computed: Hash,
}

/// What is known of the hash at a seq.
pub(crate) enum Remembered {
    /// It is this.
    Known(Hash),
    /// It is too long ago, or before the snapshot that this life started from.
    Forgotten,
    /// Not applied yet; or no frame ends there.
    NotYet,
}

/// Engine state at one index of the log, with what is needed to prove it.
pub(crate) struct Apply {
    engine: Engine,
    /// Last entry that was applied.
    index: Index,
    effects: EffectHash,
    /// Hash after each of the last frames with records: what a proposer recorded is compared with it.
    recent: VecDeque<(Seq, Hash)>,
    halted: Option<Halt>,
    /// Nothing is applied until it is settled.
    doubt: Option<Doubt>,
    /// Recorded hashes that a majority did not have.
    outvoted: BTreeSet<(Seq, Hash)>,
    /// What operators decided to pass over.
    skips: Skips,
    /// What this run has passed over.
    passed: BTreeSet<Seq>,
    /// Up to here the state came from a snapshot.
    base_seq: Seq,
    /// Outputs up to here are in the outbox: this is the second run over these entries.
    outputs_kept_to: Seq,
    /// The entry that was applied last holds a checkpoint.
    has_checkpoint: bool,
    /// What gateway processes were told.
    history: History,
    /// For the views beside.
    taps: Taps,
    produced: Vec<Event>,
    encoded: Vec<u8>,
}

/// Frames whose effect hashes are remembered: 40 bytes each. A leader records one of at most `IN_FLIGHT_ENTRIES_MAX` frames
/// ago; one that comes to the lead with a long tail to apply may record an older one.
const RECENT_MAX: usize = 65_536;

impl Apply {
    /// Another run behind `base`, which passes over the same records.
    pub(crate) fn again(base: Base, skips: &Skips) -> Self {
        Self { skips: skips.clone(), ..Self::new(base.engine, base.index, base.effect_hash) }
    }

    pub(crate) fn new(engine: Engine, index: Index, effect_hash: Hash) -> Self {
        let base_seq = engine.seq_applied();
        let recent = VecDeque::from([(base_seq, effect_hash)]);
        let history = History::behind(&engine);
        Self {
            engine,
            index,
            effects: EffectHash(effect_hash),
            recent,
            halted: None,
            doubt: None,
            outvoted: BTreeSet::new(),
            skips: Skips::new(),
            passed: BTreeSet::new(),
            base_seq,
            outputs_kept_to: Seq::ZERO,
            has_checkpoint: false,
            history,
            taps: Taps::default(),
            produced: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// Goes on from a state that came from elsewhere.
    pub(crate) fn begin_at(&mut self, engine: Engine, index: Index, effect_hash: Hash) {
        let outvoted = std::mem::take(&mut self.outvoted);
        let taps = std::mem::take(&mut self.taps);
        *self = Self { outvoted, taps, ..Self::new(engine, index, effect_hash) };
    }

    /// Remembers a decision. Returns whether this run has taken the record without it, or stopped in front of it, so that
    /// it has to begin again.
    pub(crate) fn decide(&mut self, skip: Skip) -> bool {
        let seq = skip.seq;
        let is_behind = seq > self.base_seq && seq <= self.taken_to().max(self.halted_at());
        self.skips.entry(seq).or_default().push(skip);
        is_behind && !self.passed.contains(&seq)
    }

    /// Begins again, with the state of a snapshot before `seq`, because a decision about it is known now. What follows
    /// from there on counts, whatever followed before.
    pub(crate) fn run_again(&mut self, seq: Seq, engine: Engine, index: Index, effect_hash: Hash) {
        let skips = std::mem::take(&mut self.skips);
        let kept_to = self.taken_to().max(self.outputs_kept_to);
        let outputs_kept_to = kept_to.min(Seq(seq.0.saturating_sub(1)));
        let outvoted = std::mem::take(&mut self.outvoted);
        let mut taps = std::mem::take(&mut self.taps);
        taps.again(engine.seq_applied().next());
        *self = Self { skips, outvoted, taps, outputs_kept_to, ..Self::new(engine, index, effect_hash) };
    }

    /// The last seq whose record was taken.
    fn taken_to(&self) -> Seq {
        match &self.halted {
            // The engine may have been half way through it.
            Some(halt) => Seq(halt.seq.0.saturating_sub(1)),
            None => self.engine.seq_applied(),
        }
    }

    fn halted_at(&self) -> Seq {
        self.halted.as_ref().map_or(Seq::ZERO, |halt| halt.seq)
    }

    /// Applies the entry at `index`: `frame`, which is read in `data`, or none for an entry without records. Events are appended to
    /// `events`.
    pub(crate) fn apply<D: Disk>(
        &mut self,
        index: Index,
        data: &Bytes,
        frame: Option<&Frame<'_>>,
        outbox: &mut Outbox<D>,
        events: &mut Vec<Event>,
    ) -> Result<(), ReplicaFault> {
        if self.halted.is_some() || self.doubt.is_some() {
            return Ok(());
        }
        if let Some(frame) = frame {
            let FrameHeader { kind, engine_version, first_seq: seq, .. } = frame.header;
            if kind == FrameKind::Skip {
                // It took effect where the record stands, or it is none that counts.
            } else if kind != FrameKind::Entry || engine_version != engine::ENGINE_VERSION {
                self.halted = Some(Halt { seq, cause: HaltCause::Rules { kind, engine_version } });
                return Ok(());
            } else {
                self.compare(frame)?;
                if self.doubt.is_some() {
                    return Ok(());
                }
                self.run(frame);
                self.hash_and_keep(data, outbox);
                events.append(&mut self.produced);
            }
        }
        if self.halted.is_none() {
            self.index = index;
        }
        Ok(())
    }

    /// Feeds the frame's records to the engine; stops in front of the first that it cannot take.
    fn run(&mut self, frame: &Frame<'_>) {
        let mut ahead = frame.records().filter_map(|(seq, _, record)| Some((seq, record.ok()?)));
        let reads_ahead = self.engine.reads_ahead();
        for (place, (seq, time, record)) in frame.records().enumerate() {
            if reads_ahead && place % AHEAD_MAX == 0 {
                self.engine.read_ahead(ahead.by_ref().take(AHEAD_MAX));
            }
            let taken = self.engine.take((seq, time), &record, &self.skips, &mut self.produced);
            if let Err(fault) = taken {
                let record_hash = blake3(&[bytes_at(&record)]);
                self.halted = Some(Halt { seq, cause: HaltCause::Record { record_hash, fault } });
                return;
            }
        }
    }

    fn hash_and_keep<D: Disk>(&mut self, data: &Bytes, outbox: &mut Outbox<D>) {
        self.encoded.clear();
        for event in &self.produced {
            let start = self.encoded.len();
            event.write(&mut self.encoded);
            self.history.take(event, &self.encoded[start..]);
            if let EventBody::RecordSkipped(_) = &event.body {
                self.passed.insert(event.seq);
            }
            if let EventBody::CheckpointMarked(_) = &event.body {
                self.has_checkpoint = true;
            }
            if event.seq <= self.outputs_kept_to {
                continue;
            }
            outbox.append(&self.encoded[start..]);
            if let EventBody::SessionOpened(opened) = &event.body {
                forget_earlier_epochs(outbox, opened);
            }
        }
        self.effects.fold(&self.encoded);
        if self.halted.is_none() {
            self.taps.applied(data, &self.produced, self.effects.0);
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((self.engine.seq_applied(), self.effects.0));
        if self.produced.first().is_some_and(|first| first.seq <= self.outputs_kept_to) {
            self.produced.retain(|event| event.seq > self.outputs_kept_to);
        }
    }

    /// The proposer's effects at an earlier seq must be ours: else one of us is wrong.
    fn compare(&mut self, frame: &Frame<'_>) -> Result<(), ReplicaFault> {
        let (seq, recorded) = (frame.header.applied_seq, frame.header.effect_hash);
        match self.remembered(seq) {
            Remembered::Known(computed) => {
                if computed != recorded && !self.outvoted.contains(&(seq, recorded)) {
                    self.doubt = Some(Doubt { subject: Subject::Effects, seq, recorded, computed });
                }
                Ok(())
            }
            Remembered::Forgotten => Ok(()),
            Remembered::NotYet => {
                Err(ReplicaFault::NoSuchEffects { seq, applied: self.engine.seq_applied() })
            }
        }
    }

    /// What the hash at `seq` was here.
    pub(crate) fn remembered(&self, seq: Seq) -> Remembered {
        match self.recent.binary_search_by_key(&seq, |(seq, _)| *seq) {
            Ok(at) => Remembered::Known(self.recent[at].1),
            Err(0) => Remembered::Forgotten,
            Err(_) => Remembered::NotYet,
        }
    }

    /// The newest seq behind a frame, and the hash there.
    pub(crate) fn newest_effects(&self) -> (Seq, Hash) {
        self.recent.back().copied().unwrap_or_default()
    }

    /// What is not settled.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Another has something else: nothing is applied until it is settled. One at a time.
    pub(crate) fn doubt_it(&mut self, doubt: Doubt) {
        self.doubt.get_or_insert(doubt);
    }

    /// We are right: what was recorded there does not count.
    pub(crate) fn settle(&mut self) {
        if let Some(Doubt { seq, recorded, .. }) = self.doubt.take() {
            self.outvoted.insert((seq, recorded));
        }
    }

    /// Recorded hashes that were settled in an earlier life.
    pub(crate) fn know_outvoted(&mut self, outvoted: impl Iterator<Item = (Seq, Hash)>) {
        self.outvoted.extend(outvoted);
    }

    /// What operators decided to pass over, as far as it is known.
    pub(crate) fn skips(&self) -> &Skips {
        &self.skips
    }

    /// Applies an entry for the state's sake alone: nothing is compared or kept, but shown.
    pub(crate) fn run_alone(
        &mut self,
        index: Index,
        frame: Option<&Frame<'_>>,
        show: &mut dyn FnMut(&[Event]),
    ) {
        if let Some(frame) = frame.filter(|frame| frame.header.kind == FrameKind::Entry) {
            self.run(frame);
            self.encoded.clear();
            self.produced.iter().for_each(|event| event.write(&mut self.encoded));
            self.effects.fold(&self.encoded);
            show(&self.produced);
            self.produced.clear();
        }
        self.index = index;
    }

    /// Whether the entry that was applied last holds a checkpoint; says so once.
    pub(crate) fn take_checkpoint(&mut self) -> bool {
        std::mem::take(&mut self.has_checkpoint)
    }

    pub(crate) fn into_engine(self) -> Engine {
        self.engine
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn index(&self) -> Index {
        self.index
    }

    pub(crate) fn seq(&self) -> Seq {
        self.taken_to()
    }

    pub(crate) fn time(&self) -> UnixNanos {
        self.engine.time()
    }

    pub(crate) fn effect_hash(&self) -> Hash {
        self.effects.0
    }

    pub(crate) fn tap(&mut self, view: View) -> &mut Tap {
        self.taps.of(view)
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn halted(&self) -> Option<&Halt> {
        self.halted.as_ref()
    }
}

/// Nobody can ask for the outputs of earlier epochs. The one before may have none here: they all count.
fn forget_earlier_epochs<D: Disk>(outbox: &mut Outbox<D>, opened: &events::SessionOpened) {
    // The outputs are forgotten in any case; a file that cannot be removed now is when the next epoch is forgotten.
    outbox.drop_epochs_before(opened.session, opened.epoch).ok();
}
