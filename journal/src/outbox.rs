//! The outbox: what sessions were sent, for resends. Derived: replay writes it again, so nothing here is synced except
//! before a snapshot ([`sync_all`]), and a torn end is overwritten with zeros, which end a file. Replay begins at a
//! snapshot: damage before it stays as it is and is told of ([`Outbox::damaged`]), and later files count.
//!
//! Files `outbox/{number:010}.out`, from 1, each begun when the one before has its size:
//!
//! ```text
//! magic "SICLOUTB" | format u16 | reserved 6 bytes                  (16 bytes)
//! | events (protocol::event), one behind the other
//! ```
//! Only events that carry an output number are kept. The index by (session, epoch, out_seq) is in memory: 8 bytes each.
//!
//! While the disk takes nothing, outputs wait in memory, up to [`PENDING_FILES_MAX`] files of them; nobody is served then, but
//! a replay goes on. What comes above that is not kept, and nobody is told that there was none: to read it is a fault, and
//! [`Outbox::fault`] stays, so that no snapshot is taken and no command either, until a process with room replays it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use protocol::event::{Event, OutputNumber};
use protocol::limits::{EVENT_HEADER_BYTES, OUTBOX_PER_SESSION_MAX};
use protocol::mutant::{Mutant, planted};
use protocol::{Field, OutSeq, Seq, SessionEpoch, SessionId};

use crate::disk::{Dir, Disk, DiskCause, DiskFault, DiskOperation, FileRef, ReadFrom};

const MAGIC: &[u8; 8] = b"SICLOUTB";
const FORMAT: u16 = 1;
const FILE_HEADER_BYTES: usize = 16;
/// Size at which a file is full.
pub const FILE_BYTES: u64 = 16 << 20;
/// Files that wait in memory for a disk without room, at most: 256 MiB.
pub const PENDING_FILES_MAX: u64 = 16;
/// Bytes read at first for one event: most are shorter.
const READ_BYTES: usize = 512;
/// Where an event has its seq: protocol::event.
const EVENT_SEQ_AT: usize = 24;
/// Longest event that is looked for in damaged bytes, so that a garbled length costs no checksum over a whole file.
const EVENT_BYTES_SCANNED_MAX: usize = 4 << 10;

/// Outputs of all sessions.
pub struct Outbox<D> {
    disk: D,
    file_bytes: u64,
    sessions: BTreeMap<(SessionId, SessionEpoch), Outputs>,
    /// Kept outputs of each file; one that has none is removed.
    files: BTreeMap<u32, u64>,
    file: u32,
    /// Bytes of `file` that the disk has.
    flushed: u64,
    /// Bytes behind them that it has not.
    pending: Vec<u8>,
    fault: Option<DiskFault>,
    /// Why outputs had to be left out that a resend may ask for.
    left_out: Option<DiskFault>,
    damaged: Vec<Damage>,
}

/// Bytes of an outbox file that cannot be read, from an offset to the file's end: they held outputs which replay does
/// not write again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: FileRef,
    /// Where the damage begins.
    pub offset: u64,
}

/// What the opening has found in a file.
struct Loaded {
    number: u32,
    len: usize,
    /// Behind the last event that was indexed; 0 if not even the header can be read.
    end: usize,
    rest: Rest,
}

/// What stands behind the last event that was indexed.
enum Rest {
    Zeros,
    /// Events of commands that replay runs again.
    ToBeReplayed,
    /// Something else; `lost` if outputs that replay does not write again are certainly among it.
    Damaged {
        lost: bool,
    },
}

impl Loaded {
    /// Whether the file has, or had, outputs that replay does not write again.
    fn has_outputs(&self) -> bool {
        self.end > FILE_HEADER_BYTES || matches!(self.rest, Rest::Damaged { lost: true })
    }
}

/// Outputs of one session in one epoch: those from `first` on, without gaps in the numbering.
#[derive(Default)]
struct Outputs {
    first: u64,
    places: VecDeque<Place>,
}

/// Where an output is: in a file, or in memory on its way there. File 0 stands for one that is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    offset: u32,
}

impl Place {
    /// It is gone for good: a gap fill answers for it.
    const GONE: Self = Self { file: 0, offset: 0 };
    /// There was no room for it: nobody may be told that there was none.
    const LEFT_OUT: Self = Self { file: 0, offset: 1 };
    /// Another replica has it: nobody may be told either, until it is here.
    const TO_COME: Self = Self { file: 0, offset: 2 };

    fn is_kept(self) -> bool {
        self.file != 0
    }
}

/// What a read has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputsRead {
    /// The first number whose bytes were appended; numbers before it are gone: a gap fill answers them.
    pub first: OutSeq,
    /// The number behind the last one appended: where the next read goes on.
    pub next: OutSeq,
}

impl<D: Disk> Outbox<D> {
    /// Opens the outbox and keeps what follows from commands up to `through`: replay appends the rest again.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn open(disk: D, through: Seq) -> Result<Self, DiskFault> {
        Self::with_file_bytes(disk, through, FILE_BYTES)
    }

    /// [`Self::open`] with files of another size, for tests.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn with_file_bytes(disk: D, through: Seq, file_bytes: u64) -> Result<Self, DiskFault> {
        let mut outbox = Self {
            disk,
            file_bytes: file_bytes.min(FILE_BYTES),
            sessions: BTreeMap::new(),
            files: BTreeMap::new(),
            file: 1,
            flushed: 0,
            pending: Vec::new(),
            fault: None,
            left_out: None,
            damaged: Vec::new(),
        };
        let names = outbox.disk.list(Dir::Outbox)?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        let mut found = Vec::with_capacity(numbers.len());
        for number in numbers {
            found.push(outbox.load(number, through)?);
        }
        outbox.settle(&found)?;
        // Damaged files outlive the start that tells of them. What cannot be removed now is at the next rollover.
        if outbox.damaged.is_empty() {
            outbox.remove_empty_files().ok();
        }
        Ok(outbox)
    }

    /// Indexes what file `number` holds of commands up to `through`, up to the first event that cannot be read.
    fn load(&mut self, number: u32, through: Seq) -> Result<Loaded, DiskFault> {
        let file = file_of(number);
        let len = self.disk.len(&file)?.unwrap_or(0) as usize;
        let mut bytes = vec![0; len];
        let read = self.disk.read(&file, 0, &mut bytes, ReadFrom::Cache)?;
        bytes.truncate(read);
        let known = bytes.len() >= FILE_HEADER_BYTES && bytes.array(0) == *MAGIC && bytes.u16_at(8) == FORMAT;
        if !known {
            let rest = Rest::Damaged { lost: holds_outputs(&bytes, through) };
            return Ok(Loaded { number, len, end: 0, rest });
        }
        let mut end = FILE_HEADER_BYTES;
        let rest = loop {
            let rest = bytes.get(end..).unwrap_or_default();
            // Zeros are what an earlier start made of a torn end.
            if rest.iter().all(|byte| *byte == 0) {
                break Rest::Zeros;
            }
            let Ok((event, event_bytes)) = Event::read(rest) else {
                break Rest::Damaged { lost: holds_outputs(rest, through) };
            };
            if event.seq > through {
                break Rest::ToBeReplayed;
            }
            if let Some(number_of_event) = event.output {
                // One that came from elsewhere stands behind later ones.
                self.fill_in(number_of_event, Place { file: number, offset: end as u32 });
            }
            end += event_bytes;
        };
        Ok(Loaded { number, len, end, rest })
    }

    /// Decides where the outputs up to `through` end, cuts what is behind, and leaves what is damaged before as it is.
    fn settle(&mut self, found: &[Loaded]) -> Result<(), DiskFault> {
        let newest = found.iter().rposition(Loaded::has_outputs);
        let (kept, void) = found.split_at(newest.map_or(0, |at| at + 1));
        // The newest first: a start that ends in between leaves no gap.
        for file in void.iter().rev() {
            self.disk.remove(&file_of(file.number))?;
        }
        let Some((last, _)) = kept.split_last() else {
            self.begin_file(found.first().map_or(1, |file| file.number));
            return Ok(());
        };
        for file in kept {
            self.files.entry(file.number).or_default();
            // What stands behind a torn end is replayed. With outputs behind it that are not, it is no torn end.
            let lost = match file.rest {
                Rest::Zeros => continue,
                Rest::ToBeReplayed => false,
                Rest::Damaged { lost } => lost || file.number != last.number,
            };
            if lost {
                self.damaged.push(Damage { file: file_of(file.number), offset: file.end as u64 });
            } else {
                // In place, because what a snapshot relies on stands before it: a shorter copy would have to be synced
                // before it takes this one's place, and a full disk has no room for one.
                self.disk.write_at(&file_of(file.number), file.end as u64, &vec![0; file.len - file.end])?;
            }
        }
        if matches!(last.rest, Rest::Damaged { lost: true }) {
            // Not written over: the bytes are all that is left of those outputs.
            self.begin_file(last.number.saturating_add(1));
        } else {
            self.file = last.number;
            self.flushed = last.end as u64;
        }
        Ok(())
    }

    /// Where outputs were lost that replay does not write again, as found at the opening. Resends of them are gap fills;
    /// everything before the offset and in other files is there.
    #[must_use]
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    fn begin_file(&mut self, number: u32) {
        self.file = number;
        self.flushed = 0;
        self.pending.clear();
        self.pending.extend_from_slice(MAGIC);
        self.pending.extend_from_slice(&FORMAT.to_le_bytes());
        self.pending.extend_from_slice(&[0; 6]);
    }

    /// Appends one event as [`Event::write`] wrote it; one without an output number is passed over. In memory until
    /// [`Self::flush`].
    ///
    /// # Panics
    /// If `event` is not one event: its writer is ours.
    pub fn append(&mut self, event: &[u8]) {
        let Some(number) = number_in(event) else { return };
        let place = self.keep(event).unwrap_or(Place::LEFT_OUT);
        self.index(number, place);
    }

    /// Puts an event behind what waits to be flushed; `None` if there is no room.
    fn keep(&mut self, event: &[u8]) -> Option<Place> {
        let pending_max = (PENDING_FILES_MAX * self.file_bytes) as usize;
        if self.pending.len() + event.len() > pending_max {
            if self.fault.is_none() {
                self.flush();
            }
            if let Some(fault) = &self.fault {
                self.left_out.get_or_insert_with(|| fault.clone());
                return None;
            }
        }
        // A file and what may wait are far below 4 GiB.
        let offset = (self.flushed + self.pending.len() as u64) as u32;
        self.pending.extend_from_slice(event);
        Some(Place { file: self.file, offset })
    }

    /// Outputs of a session from `from` up to, but not with, `to` that are not here are to come from another replica
    /// ([`Self::fill`]). Until then a read of them is a fault.
    pub fn expect(&mut self, session: SessionId, epoch: SessionEpoch, from: OutSeq, to: OutSeq) {
        self.set_unless_kept(session, epoch, from..to, Place::TO_COME);
    }

    /// Nobody has these outputs any more: a gap fill answers for them.
    pub fn give_up(&mut self, session: SessionId, epoch: SessionEpoch, from: OutSeq, to: OutSeq) {
        self.set_unless_kept(session, epoch, from..to, Place::GONE);
    }

    fn set_unless_kept(
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

    /// Takes an event that another replica wrote, in the place of one that was [expected](Self::expect): it stands behind
    /// later ones of its session. In memory until [`Self::flush`].
    ///
    /// # Panics
    /// If `event` is not one event: the caller has read it.
    pub fn fill(&mut self, event: &[u8]) {
        let Some(number) = number_in(event) else { return };
        let place = self.keep(event).unwrap_or(Place::TO_COME);
        self.fill_in(number, place);
    }

    fn place_of(&self, number: OutputNumber) -> Option<Place> {
        let outputs = self.sessions.get(&(number.session, number.epoch))?;
        let at = number.out_seq.0.checked_sub(outputs.first)?;
        outputs.places.get(at as usize).copied()
    }

    /// Notes where an output is, whatever is there of later ones.
    fn fill_in(&mut self, number: OutputNumber, place: Place) {
        let outputs = self.sessions.entry((number.session, number.epoch)).or_default();
        let out_seq = number.out_seq.0;
        let next = outputs.first + outputs.places.len() as u64;
        if outputs.places.is_empty() || out_seq >= next {
            return self.index(number, place);
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

    /// Hands what was appended to the disk, unsynced. On a failure everything stays in memory and is tried again by the
    /// next call; [`Self::fault`] says so, and the node is read-only until then.
    pub fn flush(&mut self) {
        self.fault = self.try_flush().err().or_else(|| self.left_out.clone());
    }

    fn try_flush(&mut self) -> Result<(), DiskFault> {
        if !self.pending.is_empty() {
            self.disk.write_at(&file_of(self.file), self.flushed, &self.pending)?;
            self.flushed += self.pending.len() as u64;
            self.pending.clear();
        }
        if self.flushed >= self.file_bytes {
            self.begin_file(self.file.saturating_add(1));
            // Outputs leave the window of their session without a call. What was appended is on disk in any case: a file
            // that cannot be removed now is at the next rollover.
            self.remove_empty_files().ok();
        }
        Ok(())
    }

    /// Why the outbox cannot be written, or could not when there was most to be written; `None` if it is complete.
    #[must_use]
    pub fn fault(&self) -> Option<&DiskFault> {
        self.fault.as_ref()
    }

    /// Appends to `out` the outputs of a session from number `from` to `to`, at least one, further ones while they fit
    /// `bytes_max`. Stops at one that is gone; those that are gone at the front are skipped. `None` if none is left.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn read(
        &mut self,
        session: SessionId,
        epoch: SessionEpoch,
        from: OutSeq,
        to: OutSeq,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<OutputsRead>, DiskFault> {
        let Some(outputs) = self.sessions.get(&(session, epoch)) else { return Ok(None) };
        let skip = from.0.saturating_sub(outputs.first);
        let start = (skip as usize).min(outputs.places.len());
        let wanted = (outputs.first + start as u64..=to.0).zip(outputs.places.range(start..));
        let places: Vec<(u64, Place)> = wanted
            .map(|(number, place)| (number, *place))
            .skip_while(|(_, place)| *place == Place::GONE)
            .take(bytes_max / EVENT_HEADER_BYTES + 1)
            .collect();
        let Some((first, place)) = places.first().copied() else { return Ok(None) };
        if let Some(fault) = self.left_out.as_ref().filter(|_| place == Place::LEFT_OUT) {
            return Err(fault.clone());
        }
        if place == Place::TO_COME {
            let file = FileRef::new(Dir::Outbox, format!("output {first} of session {session}"));
            return Err(DiskFault { operation: DiskOperation::Read, file, cause: DiskCause::NotFound });
        }
        let start = out.len();
        let mut next = first;
        for (number, place) in places.into_iter().take_while(|(_, place)| place.is_kept()) {
            let before = out.len();
            self.read_event(place, out)?;
            let event = &out[before..];
            let right = event.len() >= EVENT_HEADER_BYTES
                && (event.u32_at(8), event.u32_at(12), event.u64_at(16)) == (session.0, epoch.0, number);
            if !right && next == first && !planted(Mutant::GapOverUnreadable) {
                // Decayed. Nobody is told that there was none.
                out.truncate(before);
                let file = file_of(place.file);
                return Err(DiskFault { operation: DiskOperation::Read, file, cause: DiskCause::Damaged });
            }
            if !right || (next > first && out.len() - start > bytes_max) {
                out.truncate(before);
                break;
            }
            next = number + 1;
        }
        Ok((next > first).then_some(OutputsRead { first: OutSeq(first), next: OutSeq(next) }))
    }

    fn read_event(&mut self, place: Place, out: &mut Vec<u8>) -> Result<(), DiskFault> {
        let (file, offset) = (place.file, u64::from(place.offset));
        if file == self.file && offset >= self.flushed {
            let rest = self.pending.get((offset - self.flushed) as usize..).unwrap_or_default();
            let len = if rest.len() >= 4 { rest.u32_at(0) as usize } else { 0 };
            out.extend_from_slice(rest.get(..len).unwrap_or_default());
            return Ok(());
        }
        let start = out.len();
        out.resize(start + READ_BYTES, 0);
        let read = self.disk.read(&file_of(file), offset, &mut out[start..], ReadFrom::Cache)?;
        out.truncate(start + read);
        let len = if read >= 4 { out[start..].u32_at(0) as usize } else { 0 };
        if len > read && read == READ_BYTES && len as u64 <= self.file_bytes {
            out.resize(start + len, 0);
            let at = offset + read as u64;
            let more = self.disk.read(&file_of(file), at, &mut out[start + read..], ReadFrom::Cache)?;
            out.truncate(start + read + more);
        }
        out.truncate(start + len);
        Ok(())
    }

    /// Forgets a session's outputs below `floor`, and files in which nothing is kept any more.
    ///
    /// # Errors
    /// [`DiskFault`] from removing a file; nothing else is lost by it.
    pub fn drop_below(
        &mut self,
        session: SessionId,
        epoch: SessionEpoch,
        floor: OutSeq,
    ) -> Result<(), DiskFault> {
        let Some(outputs) = self.sessions.get_mut(&(session, epoch)) else {
            return self.remove_empty_files();
        };
        while outputs.first < floor.0
            && let Some(place) = outputs.places.pop_front()
        {
            outputs.first += 1;
            forget(&mut self.files, place);
        }
        if outputs.places.is_empty() {
            self.sessions.remove(&(session, epoch));
        }
        self.remove_empty_files()
    }

    /// Forgets a session's outputs in all epochs before `epoch`, and files in which nothing is kept any more.
    ///
    /// # Errors
    /// [`DiskFault`] from removing a file; nothing else is lost by it.
    pub fn drop_epochs_before(&mut self, session: SessionId, epoch: SessionEpoch) -> Result<(), DiskFault> {
        let earlier = (session, SessionEpoch(0))..(session, epoch);
        let keys: Vec<_> = self.sessions.range(earlier).map(|(key, _)| *key).collect();
        for key in keys {
            for place in self.sessions.remove(&key).unwrap_or_default().places {
                forget(&mut self.files, place);
            }
        }
        self.remove_empty_files()
    }

    /// The number behind a session's last output; `None` if it has none here.
    #[must_use]
    pub fn next(&self, session: SessionId, epoch: SessionEpoch) -> Option<OutSeq> {
        let outputs = self.sessions.get(&(session, epoch))?;
        Some(OutSeq(outputs.first + outputs.places.len() as u64))
    }

    /// Whether all outputs of a session from `from` up to, but not with, `to` are here.
    #[must_use]
    pub fn covers(&self, session: SessionId, epoch: SessionEpoch, from: OutSeq, to: OutSeq) -> bool {
        if from >= to {
            return true;
        }
        let Some(outputs) = self.sessions.get(&(session, epoch)) else { return false };
        let behind = outputs.first + outputs.places.len() as u64;
        from.0 >= outputs.first
            && to.0 <= behind
            && outputs
                .places
                .range((from.0 - outputs.first) as usize..(to.0 - outputs.first) as usize)
                .all(|place| place.is_kept())
    }

    /// Ends it, and gives the disk back. What is not flushed is gone.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Bytes that wait to be flushed.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The disk.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    fn index(&mut self, number: OutputNumber, place: Place) {
        let outputs = self.sessions.entry((number.session, number.epoch)).or_default();
        let out_seq = number.out_seq.0;
        let next = outputs.first + outputs.places.len() as u64;
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
            while outputs.first + outputs.places.len() as u64 > out_seq
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

    fn remove_empty_files(&mut self) -> Result<(), DiskFault> {
        let current = self.file;
        let oldest_kept =
            self.files.iter().find(|(_, kept)| **kept > 0).map_or(current, |(number, _)| *number);
        // What a damaged file held is wanted as long as what is older.
        let wanted = |number| {
            number >= oldest_kept && self.damaged.iter().any(|damage| damage.file == file_of(number))
        };
        let empty: Vec<u32> = self
            .files
            .iter()
            .filter(|(number, kept)| **kept == 0 && **number != current && !wanted(**number))
            .map(|(number, _)| *number)
            .collect();
        for file in empty {
            self.disk.remove(&file_of(file))?;
            self.files.remove(&file);
        }
        Ok(())
    }
}

/// Whether damaged bytes hold outputs of commands up to `through`: the first event says so of itself, or there is a whole
/// one anywhere behind it. A torn end holds none, because a snapshot syncs the outbox first.
fn holds_outputs(bytes: &[u8], through: Seq) -> bool {
    let claims = |header: &[u8]| (1..=through.0).contains(&header.u64_at(EVENT_SEQ_AT));
    let mut headers = bytes.windows(EVENT_HEADER_BYTES).enumerate();
    // The checks in front of the checksum keep this linear in practice.
    headers.any(|(at, header)| {
        let len = header.u32_at(0) as usize;
        claims(header)
            && (at == 0
                || len <= EVENT_BYTES_SCANNED_MAX && bytes.get(at..).is_some_and(|b| Event::read(b).is_ok()))
    })
}

/// Makes all that was flushed durable, through any handle of the disk: before a snapshot that replay would start from.
/// A file that has gone meanwhile held nothing that is kept.
///
/// # Errors
/// [`DiskFault`]: take no snapshot.
pub fn sync_all<D: Disk>(disk: &mut D) -> Result<(), DiskFault> {
    for name in disk.list(Dir::Outbox)? {
        match disk.sync(&FileRef::new(Dir::Outbox, name)) {
            Ok(()) | Err(DiskFault { cause: DiskCause::NotFound, .. }) => {}
            Err(fault) => return Err(fault),
        }
    }
    disk.sync_dir(Dir::Outbox)
}

/// The number of an event as [`Event::write`] wrote it, if it is an output.
fn number_in(event: &[u8]) -> Option<OutputNumber> {
    assert!(event.len() >= EVENT_HEADER_BYTES && event.u32_at(0) as usize == event.len(), "one event");
    let number = OutputNumber {
        session: SessionId(event.u32_at(8)),
        epoch: SessionEpoch(event.u32_at(12)),
        out_seq: OutSeq(event.u64_at(16)),
    };
    (number.out_seq.0 > 0).then_some(number)
}

fn forget(files: &mut BTreeMap<u32, u64>, place: Place) {
    if let Some(kept) = files.get_mut(&place.file) {
        *kept = kept.saturating_sub(1);
    }
}

fn file_of(number: u32) -> FileRef {
    FileRef::new(Dir::Outbox, format!("{number:010}.out"))
}

fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".out")?.parse().ok()?;
    (number != 0 && *file_of(number).name == *name).then_some(number)
}
