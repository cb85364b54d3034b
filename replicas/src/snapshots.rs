//! Snapshots: how far they are, and how a replica starts from one ([`Base`]). When one is taken, and how:
//! [`crate::checkpoint`].

use std::collections::VecDeque;

use engine::Engine;
use journal::meta::MetaView;
use journal::outbox::{Damage, Outbox};
use journal::snapshot_file::{self, Kept, SnapshotFault, SnapshotHeader};
use journal::{Disk, FileRef, Journal, ReadFault, Refusal};
use protocol::event::OutputNumber;
use protocol::hash::{Hash, blake3};
use protocol::{Index, MonoNanos, Seq, Term};

use crate::StartFault;
use crate::checkpoint::hashes;
use crate::membership::Membership;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Bytes of journal since the last one …
    pub journal_bytes: u64,
    /// … and at least this long after it.
    pub interval_ms: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { journal_bytes: 1 << 30, interval_ms: 60_000 }
    }
}

/// What has been taken, and since when the next one is counted.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Index of the newest durable snapshot.
    pub(crate) newest: Option<Index>,
    /// Bytes of journal behind the snapshot that this process began with: the journal's counters leave them out.
    pub(crate) replayed_bytes: u64,
    /// Journal bytes at the checkpoint of the newest snapshot.
    pub(crate) counted_bytes: u64,
    /// When we have marked a checkpoint last.
    pub(crate) marked_at: MonoNanos,
    /// It is not applied yet.
    pub(crate) marking: bool,
    /// The last seq in the snapshot that was written last: behind it nothing is new.
    pub(crate) written_seq: Seq,
    /// A checkpoint that was reached, and whose snapshot is to be made.
    pub(crate) due: Option<Reached>,
    pub(crate) writing: Option<Reached>,
    /// The last attempt, if it failed, and the tick at which it is made again.
    pub(crate) failed: Option<(Reached, u64)>,
    /// Durable, and no majority is known to have the same; oldest first.
    pub(crate) unverified: VecDeque<SnapshotHeader>,
    /// Why the last attempt failed, or what is wrong with a snapshot newer than the one that this process began with.
    pub(crate) fault: Option<SnapshotFault>,
}

/// A checkpoint that was reached.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// Of its snapshot, but for the hash of the state.
    pub(crate) header: SnapshotHeader,
    /// Journal bytes there.
    pub(crate) journal_bytes: u64,
}

impl Progress {
    /// Whether a checkpoint was marked behind which no snapshot has been written yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.marking || self.due.is_some() || self.writing.is_some()
    }

    /// A snapshot came from a peer; the next is counted from here.
    pub(crate) fn installed(&mut self, index: Index, written_bytes: u64) {
        self.newest = self.newest.max(Some(index));
        self.replayed_bytes = 0;
        self.counted_bytes = written_bytes;
        if let Some(writing) = &mut self.writing {
            writing.journal_bytes = written_bytes;
        }
        (self.due, self.failed, self.fault) = (None, None, None);
        self.unverified.clear();
    }
}

/// Where a replica starts: behind the newest snapshot that serves, or at the beginning.
pub(crate) struct Base {
    pub(crate) engine: Engine,
    pub(crate) index: Index,
    pub(crate) effect_hash: Hash,
    /// `None`: the membership of a new cluster.
    pub(crate) membership: Option<Membership>,
    /// That entry's term and chain, by the snapshot.
    term: Term,
    pub(crate) chain: Hash,
    /// Hashes of the state's parts; none at the beginning.
    pub(crate) parts: Vec<Hash>,
    /// What is wrong with the newest snapshot, if this is not it.
    pub(crate) damaged: Option<SnapshotFault>,
    /// The first output below the newest snapshot that is gone: everything is replayed, so that it is there again.
    pub(crate) outputs_were_missing: Option<OutputNumber>,
    /// Outputs below this state are gone, and the journal does not reach back to where they were produced.
    pub(crate) is_incomplete: bool,
    /// What the outbox said of its files, before anything was replayed.
    pub(crate) outbox_damage: Vec<Damage>,
}

impl Base {
    /// Chooses a state to start from, then opens the journal behind it: from the older of two snapshots on, or from the
    /// beginning where no snapshot serves. One that does not is passed over, and told of.
    pub(crate) fn recover<D: Disk>(
        mut disk: D,
        mut beside: D,
        options: journal::Options,
    ) -> Result<(Self, Journal<D>, Outbox<D>), StartFault> {
        let Some(meta) = MetaView::load(&mut disk)?.and_then(|view| view.meta) else {
            // Recovery says what that means.
            return Err(Journal::open(disk, options).err().unwrap_or(Refusal::MetaLost).into());
        };
        snapshot_file::remove_unfinished(&mut beside)?;
        let kept = snapshot_file::kept(&mut beside, &meta.identity)?;
        let mut others = snapshot_file::files(&mut beside)?;
        others.retain(|file| kept.iter().all(|kept| kept.file != *file));
        let mut choice = Choice {
            kept,
            faults: others.into_iter().map(|file| (file, SnapshotFault::Foreign)).collect(),
            missing: None,
            outbox_damage: None,
            takes_incomplete: false,
        };
        let needed_from = snapshot_file::needed_from(&choice.kept);
        loop {
            let (base, outputs) = choice.best(beside)?;
            let mut journal = Journal::open_for_peers(disk, options, needed_from.min(base.index))?.journal;
            if !choice.serves(&base, &mut journal)? {
                disk = journal.into_disk();
                beside = outputs.into_disk();
                continue;
            }
            let outbox = match outputs {
                Outputs::Kept(outbox) => *outbox,
                // Not before recovery has agreed to the journal: it empties the outbox.
                Outputs::Replayed(beside) => Outbox::open(beside, Seq::ZERO)?,
            };
            let base = Self {
                damaged: first_fault(choice.faults),
                outputs_were_missing: choice.missing,
                is_incomplete: choice.takes_incomplete,
                outbox_damage: choice.outbox_damage.unwrap_or_default(),
                ..base
            };
            return Ok((base, journal, outbox));
        }
    }

    /// The newest state before `seq` that fits an open journal, for an engine that begins again in front of it.
    pub(crate) fn load_before<D: Disk>(
        beside: &mut D,
        journal: &mut Journal<D>,
        seq: Seq,
    ) -> Result<Self, StartFault> {
        let owner = journal.identity();
        let mut damaged = Vec::new();
        for Kept { file, .. } in snapshot_file::kept(beside, &owner)? {
            match Self::read(beside, &file).and_then(|base| base.fits(journal).map(|()| base)) {
                Ok(base) if base.engine.seq_applied() >= seq => {}
                Ok(base) => return Ok(Self { damaged: first_fault(damaged), ..base }),
                Err(fault) => damaged.push((file, fault)),
            }
        }
        let first_index = journal.first_index();
        if first_index > Index(1) {
            return Err(StartFault::NoSnapshot { first_index, damaged });
        }
        Ok(Self { damaged: first_fault(damaged), ..Self::beginning() })
    }

    /// The state of a new cluster.
    pub(crate) fn beginning() -> Self {
        Self {
            engine: Engine::new(),
            index: Index(0),
            effect_hash: Hash::ZERO,
            membership: None,
            term: Term(0),
            chain: Hash::ZERO,
            parts: Vec::new(),
            damaged: None,
            outputs_were_missing: None,
            is_incomplete: false,
            outbox_damage: Vec::new(),
        }
    }

    /// Reads a snapshot and holds it against what its header says.
    pub(crate) fn read<D: Disk>(beside: &mut D, file: &FileRef) -> Result<Self, SnapshotFault> {
        let (header, state) = snapshot_file::load(beside, file)?;
        if header.engine_version != engine::ENGINE_VERSION {
            return Err(SnapshotFault::Rules(header.engine_version));
        }
        let engine = Engine::restore(&state).map_err(|_| SnapshotFault::State)?;
        let mut bytes = Vec::new();
        let parts = hashes(engine.snapshot_in_parts(&mut bytes));
        let is_as_named = blake3(&[&bytes]) == header.state_hash
            && engine.seq_applied().next() == header.next_seq
            && engine.time() == header.last_time;
        let membership = Membership::read(&header.conf_state).filter(|_| is_as_named);
        Ok(Self {
            engine,
            index: header.index,
            effect_hash: header.effect_hash,
            membership: Some(membership.ok_or(SnapshotFault::State)?),
            term: header.term,
            chain: header.chain,
            parts,
            ..Self::beginning()
        })
    }

    /// The journal has the very entry that the snapshot ends with.
    pub(crate) fn fits<D: Disk>(&self, journal: &mut Journal<D>) -> Result<(), SnapshotFault> {
        match (journal.term(self.index), journal.chain(self.index)) {
            (Some(term), Ok(chain)) if (term, chain) == (self.term, self.chain) => Ok(()),
            (_, Err(ReadFault::Disk(fault))) => Err(SnapshotFault::Disk(fault)),
            _ => Err(SnapshotFault::History),
        }
    }
}

/// Snapshots that a replica may start from, and what was found out about them.
struct Choice {
    /// Newest first. One that does not serve is taken out.
    kept: Vec<Kept>,
    faults: Vec<(FileRef, SnapshotFault)>,
    missing: Option<OutputNumber>,
    outbox_damage: Option<Vec<Damage>>,
    /// The journal has no beginning: a snapshot has to serve although outputs below it are gone.
    takes_incomplete: bool,
}

/// The outputs below the state that was chosen.
enum Outputs<D> {
    /// They are all there.
    Kept(Box<Outbox<D>>),
    /// The replay produces them all.
    Replayed(D),
}

impl<D: Disk> Outputs<D> {
    fn into_disk(self) -> D {
        match self {
            Self::Kept(outbox) => outbox.into_disk(),
            Self::Replayed(disk) => disk,
        }
    }
}

impl Choice {
    /// The newest snapshot that is whole and whose outputs are there, or the beginning. A replay from a snapshot does not
    /// produce the outputs below it again, so that where one is gone the snapshot is passed over, and nobody is told
    /// that there was none.
    fn best<D: Disk>(&mut self, mut beside: D) -> Result<(Base, Outputs<D>), StartFault> {
        let mut at = 0;
        while let Some(Kept { file, .. }) = self.kept.get(at) {
            let base = match Base::read(&mut beside, file) {
                Ok(base) => base,
                Err(fault) => {
                    self.take_out(at, fault);
                    continue;
                }
            };
            let outbox = Outbox::open(beside, base.engine.seq_applied())?;
            self.outbox_damage.get_or_insert_with(|| outbox.damaged().to_vec());
            let missing = missing_output(&base.engine, &outbox);
            self.missing = self.missing.or(missing);
            if missing.is_none() || self.takes_incomplete {
                return Ok((base, Outputs::Kept(Box::new(outbox))));
            }
            beside = outbox.into_disk();
            at += 1;
        }
        Ok((Base::beginning(), Outputs::Replayed(beside)))
    }

    /// Whether `journal` goes on from `base`; if not, the next choice is another one.
    fn serves<D: Disk>(&mut self, base: &Base, journal: &mut Journal<D>) -> Result<bool, StartFault> {
        if base.index.0 > 0 {
            let Err(fault) = base.fits(journal) else { return Ok(true) };
            if let Some(at) = self.kept.iter().position(|kept| kept.index == base.index) {
                self.take_out(at, fault);
            }
            return Ok(false);
        }
        let first_index = journal.first_index();
        if first_index > Index(1) && (self.takes_incomplete || self.kept.is_empty()) {
            return Err(StartFault::NoSnapshot { first_index, damaged: std::mem::take(&mut self.faults) });
        }
        self.takes_incomplete = first_index > Index(1);
        Ok(!self.takes_incomplete)
    }

    fn take_out(&mut self, at: usize, fault: SnapshotFault) {
        let kept = self.kept.remove(at);
        self.faults.push((kept.file, fault));
    }
}

/// A session's first output that a resend may still ask for and that is not kept.
fn missing_output<D: Disk>(engine: &Engine, outbox: &Outbox<D>) -> Option<OutputNumber> {
    let missing = engine.sessions().find(|s| !outbox.covers(s.session, s.epoch, s.floor, s.next_out))?;
    Some(OutputNumber { session: missing.session, epoch: missing.epoch, out_seq: missing.floor })
}

fn first_fault(damaged: Vec<(FileRef, SnapshotFault)>) -> Option<SnapshotFault> {
    damaged.into_iter().next().map(|(_, fault)| fault)
}
