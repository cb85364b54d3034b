//! The engine once more, over the entries of a log: what follows from each command, and whether it is what was recorded.

use std::collections::VecDeque;

use engine::skip::bytes_at;
use engine::{CannotTake, ENGINE_VERSION, Engine, Skips};
use protocol::event::{EffectHash, Event};
use protocol::frame::FrameKind;
use protocol::hash::Hash;
use protocol::record::{Record, RecordHeader};
use protocol::{Index, Seq, UnixNanos};

use crate::entries::Entry;
use crate::finding::{Finding, Grade};
use crate::log::Log;
use crate::outvoted::Verdicts;

/// Entries whose hashes are remembered. A proposer records that of at most `IN_FLIGHT_ENTRIES_MAX` entries ago, or of
/// the last one before its term began.
const RECENT_MAX: usize = 65_536;

/// A command and what followed.
pub(crate) struct Applied<'a> {
    pub(crate) entry: &'a Entry<'a>,
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
    /// Of kind 0 and of nobody where the bytes are no record, and operators passed over them.
    pub(crate) record: &'a Record<'a>,
    pub(crate) events: &'a [Event],
}

/// An engine at an entry of the log.
pub(crate) struct Rerun {
    pub(crate) engine: Engine,
    /// The last entry, whole.
    pub(crate) index: Index,
    /// Last seq of that entry, and the hash of all effects up to there.
    pub(crate) effects: (Seq, EffectHash),
    /// Recorded hashes that were compared, and agreed.
    pub(crate) compared: u64,
    /// Recorded hashes of a time before this run began.
    pub(crate) not_compared: u64,
    /// Up to here the journal has recorded what followed.
    pub(crate) recorded_to: Seq,
    pub(crate) origin: String,
    /// What replicas have decided about effects that differed.
    pub(crate) verdicts: Verdicts,
    skips: Skips,
    recent: VecDeque<(Seq, Hash)>,
    produced: Vec<Event>,
    encoded: Vec<u8>,
}

impl Rerun {
    fn new(log: &Log, engine: Engine, index: Index, effect_hash: Hash, origin: String) -> Self {
        let seq = engine.seq_applied();
        Self {
            engine,
            index,
            effects: (seq, EffectHash(effect_hash)),
            compared: 0,
            not_compared: 0,
            recorded_to: Seq::ZERO,
            origin,
            verdicts: Verdicts::of(&log.folder.divergence),
            skips: log.skips.clone(),
            recent: VecDeque::from([(seq, effect_hash)]),
            produced: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// At the newest usable snapshot whose last seq is at most `seq`, or at the beginning; where the journal no longer has
    /// its beginning, at the oldest snapshot that it has.
    pub(crate) fn start(log: &Log, seq: Seq, from_genesis: bool) -> Result<Self, Box<Finding>> {
        let base = log.survey.log.base_index;
        let mut usable: Vec<_> =
            log.folder.snapshots.iter().filter(|file| log.agrees_on(&file.header)).collect();
        // By index; those at or before `seq` first, newest first, then the others, oldest first.
        let split = usable.partition_point(|file| file.header.next_seq <= seq.next());
        if let Some(before) = usable.get_mut(..split) {
            before.reverse();
        }
        let mut why = String::new();
        for (place, file) in usable.iter().enumerate() {
            let is_before = place < split;
            if base == Index(0) && (from_genesis || !is_before) {
                break;
            }
            let restored = log
                .folder
                .state_of(file)
                .and_then(|state| Engine::restore(&state).map_err(|fault| fault.to_string()));
            match restored {
                Ok(engine) if engine.seq_applied().next() == file.header.next_seq => {
                    let origin = format!("snapshot at seq {}", engine.seq_applied());
                    return Ok(Self::new(log, engine, file.header.index, file.header.effect_hash, origin));
                }
                Ok(engine) => why = format!("; {} is at seq {}", file.name, engine.seq_applied()),
                Err(fault) => why = format!("; {}: {fault}", file.name),
            }
        }
        if base == Index(0) {
            return Ok(Self::new(log, Engine::new(), base, Hash::ZERO, "genesis".to_owned()));
        }
        let what = format!(
            "the journal begins behind entry {base} and no snapshot stands in for what was before: \
             the state cannot be re-run{why}"
        );
        Err(Box::new(Finding::new(Grade::Doubt, what).index(base.next())))
    }

    /// Applies an entry up to `until`; `each` sees every command. A finding ends the run: what follows would mean nothing.
    pub(crate) fn apply(
        &mut self,
        entry: &Entry<'_>,
        until: Seq,
        each: &mut dyn FnMut(&Applied<'_>, &Engine),
    ) -> Result<(), Box<Finding>> {
        let header = &entry.frame.header;
        let bad = |finding: Finding, seq: Seq| Box::new(finding.at(entry.place).index(header.index).seq(seq));
        let next = self.engine.seq_applied().next();
        if header.first_seq != next {
            let finding = Finding::damage("seqs have a gap or come twice");
            return Err(bad(finding.differs(next, header.first_seq), next));
        }
        match header.kind {
            FrameKind::Entry => {}
            // What was passed over took effect where the record stands.
            FrameKind::Skip
            | FrameKind::Conf
            | FrameKind::Noop
            | FrameKind::HardState
            | FrameKind::Truncate
            | FrameKind::SnapMark
            | FrameKind::Seal => {
                self.index = header.index;
                return Ok(());
            }
        }
        if header.engine_version != ENGINE_VERSION {
            let finding = Finding::new(Grade::Doubt, "an entry under rules that this version does not know");
            return Err(bad(finding.differs(ENGINE_VERSION, header.engine_version), next));
        }
        self.compare(entry).map_err(|finding| bad(*finding, next))?;
        let whole = self.run(entry, until, each).map_err(|(finding, seq)| bad(*finding, seq))?;
        if whole {
            self.fold(header.index);
        }
        Ok(())
    }

    /// Feeds the entry's records to the engine; whether all of them.
    fn run(
        &mut self,
        entry: &Entry<'_>,
        until: Seq,
        each: &mut dyn FnMut(&Applied<'_>, &Engine),
    ) -> Result<bool, (Box<Finding>, Seq)> {
        self.produced.clear();
        let mut left = entry.frame.payload.len();
        for (seq, time, mut record) in entry.frame.records() {
            if seq > until {
                return Ok(false);
            }
            let records = match &mut record {
                Ok(record) => {
                    left -= record.bytes.len();
                    1
                }
                Err(unreadable) => {
                    left = 0;
                    unreadable.records =
                        unreadable.records.min((until.0 - seq.0 + 1).try_into().unwrap_or(u32::MAX));
                    unreadable.records
                }
            };
            let (before, bytes) = (self.produced.len(), bytes_at(&record));
            self.engine
                .take((seq, time), &record, &self.skips, &mut self.produced)
                .map_err(|fault| (Box::new(Finding::damage(halt(&fault))), seq))?;
            let mut events = self.produced.get(before..).unwrap_or_default();
            for place in 0..u64::from(records) {
                let seq = Seq(seq.0 + place);
                let (own, others) = events.split_at(events.partition_point(|event| event.seq <= seq));
                events = others;
                let nobodys =
                    Record { bytes, body: bytes, header: RecordHeader::default(), kind: 0, version: 0 };
                let record = record.as_ref().unwrap_or(&nobodys);
                each(&Applied { entry, seq, time: time.plus(place), record, events: own }, &self.engine);
            }
        }
        if self.engine.seq_applied() < entry.last_seq() {
            return Ok(false);
        }
        let padding = entry.frame.payload.get(entry.frame.payload.len() - left..).unwrap_or_default();
        if padding.len() > 7 || padding.iter().any(|byte| *byte != 0) {
            let finding = Finding::damage("bytes behind the last record that are no padding");
            return Err((Box::new(finding), self.engine.seq_applied().next()));
        }
        Ok(true)
    }

    fn fold(&mut self, index: Index) {
        self.encoded.clear();
        for event in &self.produced {
            event.write(&mut self.encoded);
        }
        let (seq, effects) = &mut self.effects;
        effects.fold(&self.encoded);
        *seq = self.engine.seq_applied();
        self.index = index;
        if self.recent.back().is_some_and(|(last, _)| last == seq) {
            return;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((*seq, effects.0));
        self.verdicts.reach(*seq, effects.0);
    }

    /// What the proposer had seen follow must be what followed here.
    fn compare(&mut self, entry: &Entry<'_>) -> Result<(), Box<Finding>> {
        let (seq, recorded) = (entry.frame.header.applied_seq, entry.frame.header.effect_hash);
        let applied = self.engine.seq_applied();
        if seq > applied {
            let finding = Finding::damage("effects were recorded of a seq that had no place yet");
            return Err(Box::new(finding.differs(format!("at most {applied}"), seq)));
        }
        if self.recent.front().is_some_and(|(oldest, _)| seq < *oldest) {
            self.not_compared += 1;
            return Ok(());
        }
        let Ok(at) = self.recent.binary_search_by_key(&seq, |(seq, _)| *seq) else {
            let what = format!("effects were recorded at seq {seq}, with which no entry ends");
            return Err(Box::new(Finding::damage(what)));
        };
        let computed = self.recent.get(at).map_or(Hash::ZERO, |(_, hash)| *hash);
        if computed != recorded
            && self.verdicts.is_outvoted(entry.frame.header.index, seq, recorded, computed)
        {
            return Ok(());
        }
        if computed != recorded {
            let what = format!("the effects up to seq {seq} are others than were recorded");
            return Err(Box::new(Finding::damage(what).differs(recorded, computed)));
        }
        self.compared += 1;
        self.recorded_to = self.recorded_to.max(seq);
        Ok(())
    }
}

fn halt(fault: &CannotTake) -> String {
    match fault {
        CannotTake::Invariant(broken) => format!("the engine halts: {:?}", broken.what),
        CannotTake::NotARecord(fault) => format!("not a record ({fault:?})"),
    }
}
