//! The journal as witness: read from the disk as a stranger would, re-run from its first record on an engine of its own.
//!
//! Frames are remembered when they are first read, because a replica drops segments behind its snapshots. What was read
//! as durable once may never change.

use std::collections::BTreeMap;

use engine::Engine;
use journal::Dir;
use journal::marks::LocalMark;
use journal::meta::{self, MetaView};
use journal::segment::SegmentName;
use journal::survey::{Findings, Survey, Visit};
use protocol::event::{EffectHash, Event};
use protocol::frame::{Frame, FrameKind};
use protocol::hash::Hash;
use protocol::{Index, Seq, SessionEpoch, SessionId};

use crate::checkers::{Violation, ensure};
use crate::disk::SimDisk;

const NAME: &str = "witness";

/// What follows from the journal.
#[derive(Default)]
pub struct Witness {
    frames: BTreeMap<Index, Vec<u8>>,
    applied: Index,
    engine: Engine,
    effects: EffectHash,
    hashes: BTreeMap<Seq, Hash>,
    events: BTreeMap<Seq, Vec<Event>>,
    outputs: BTreeMap<(SessionId, SessionEpoch), Vec<Event>>,
}

impl Witness {
    /// Reads what is on `disk` and re-runs it up to `committed`.
    ///
    /// # Errors
    /// [`Violation`] if the journal is not what it was, or contradicts itself.
    pub fn read(&mut self, disk: &SimDisk, committed: Index) -> Result<Findings, Violation> {
        let mut names: Vec<SegmentName> =
            disk.peek_names(Dir::Journal).iter().filter_map(|name| SegmentName::parse(name)).collect();
        names.sort_unstable();
        let mut survey = Survey::new();
        let mut result = Ok(());
        for name in names {
            let bytes = disk.peek(&name.file()).unwrap_or_default();
            survey.segment(name, &bytes, &mut |visit| {
                if let Visit::Frame { frame, unlinked: false, .. } = visit
                    && result.is_ok()
                {
                    result = self.take(&frame);
                }
            });
        }
        result?;
        while self.applied < committed {
            let next = self.applied.next();
            let bytes = self.frames.get(&next).cloned();
            ensure(bytes.is_some(), NAME, || format!("entry {next} of {committed} is not in the journal"))?;
            self.apply(next, &bytes.unwrap_or_default())?;
        }
        let hint = disk.peek(&meta::file()).map_or(0, |bytes| MetaView::read(&bytes).durable_hint);
        Ok(survey.finish(hint))
    }

    /// Re-runs everything once more from the first record and compares.
    ///
    /// # Errors
    /// [`Violation`] if the second run comes to something else.
    pub fn run_again(&self) -> Result<(), Violation> {
        let mut again = Self::default();
        for (index, bytes) in self.frames.range(..=self.applied) {
            again.apply(*index, bytes)?;
        }
        let (one, two) = (self.engine.state_hash(), again.engine.state_hash());
        ensure(one == two && self.effects == again.effects, NAME, || {
            format!("two runs: state {one} and {two}")
        })
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        if let Some(LocalMark::Truncate { from, .. }) = LocalMark::read(frame) {
            let applied = self.applied;
            ensure(from > applied, NAME, || format!("entry {from} truncated, {applied} was committed"))?;
            self.frames.split_off(&from);
        }
        if !frame.header.kind.is_entry() {
            return Ok(());
        }
        let index = frame.header.index;
        let before = self.frames.entry(index).or_insert_with(|| frame.bytes.to_vec());
        ensure(before == frame.bytes || index > self.applied, NAME, || {
            format!("committed entry {index} is another one now")
        })?;
        frame.bytes.clone_into(before);
        Ok(())
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
        ensure(recorded == computed, NAME, || {
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
                event.write(&mut encoded);
                if let Some(number) = event.output {
                    self.outputs.entry((number.session, number.epoch)).or_default().push(event.clone());
                }
            }
            self.events.insert(seq, events);
        }
        self.effects.fold(&encoded);
        self.hashes.insert(self.engine.seq_applied(), self.effects.0);
        Ok(())
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

    /// What followed from the command at `seq`.
    #[must_use]
    pub fn events_at(&self, seq: Seq) -> &[Event] {
        self.events.get(&seq).map_or(&[], Vec::as_slice)
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
