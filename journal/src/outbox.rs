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

mod found;
mod index;

use protocol::event::{Event, OutputNumber};
use protocol::limits::EVENT_HEADER_BYTES;
use protocol::mutant::{Mutant, planted};
use protocol::{Field, OutSeq, Seq, SessionEpoch, SessionId};

use crate::disk::{Dir, Disk, DiskCause, DiskFault, DiskOperation, FileRef, ReadFrom};
use index::{OutboxIndex, Place};

pub use found::FoundOutputs;

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
    index: OutboxIndex,
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
            index: OutboxIndex::default(),
            file: 1,
            flushed: 0,
            pending: Vec::new(),
            fault: None,
            left_out: None,
            damaged: Vec::new(),
        };
        let mut found = Vec::new();
        for number in file_numbers(&mut outbox.disk)? {
            found.push(load(&mut outbox.disk, number, through, &mut outbox.index)?);
        }
        outbox.settle(&found)?;
        // Damaged files outlive the start that tells of them. What cannot be removed now is at the next rollover.
        if outbox.damaged.is_empty() {
            outbox.remove_empty_files().ok();
        }
        Ok(outbox)
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
            self.index.know_file(file.number);
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
        self.index.append(number, place);
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
        self.index.fill_in_unless_kept(session, epoch, from..to, Place::TO_COME);
    }

    /// Nobody has these outputs any more: a gap fill answers for them.
    pub fn give_up(&mut self, session: SessionId, epoch: SessionEpoch, from: OutSeq, to: OutSeq) {
        self.index.fill_in_unless_kept(session, epoch, from..to, Place::GONE);
    }

    /// Takes an event that another replica wrote, in the place of one that was [expected](Self::expect): it stands behind
    /// later ones of its session. In memory until [`Self::flush`].
    ///
    /// # Panics
    /// If `event` is not one event: the caller has read it.
    pub fn fill(&mut self, event: &[u8]) {
        let Some(number) = number_in(event) else { return };
        let place = self.keep(event).unwrap_or(Place::TO_COME);
        self.index.fill_in(number, place);
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
        let places = self.index.places(session, epoch, from, to, bytes_max);
        let front = places.first().map(|(_, place)| *place);
        if let Some(fault) = self.left_out.as_ref().filter(|_| front == Some(Place::LEFT_OUT)) {
            return Err(fault.clone());
        }
        let Self { disk, file, flushed, pending, file_bytes, .. } = self;
        let read = |place: Place, out: &mut Vec<u8>| match u64::from(place.offset).checked_sub(*flushed) {
            Some(at) if place.file == *file => {
                let rest = pending.get(at as usize..).unwrap_or_default();
                let len = if rest.len() >= 4 { rest.u32_at(0) as usize } else { 0 };
                out.extend_from_slice(rest.get(..len).unwrap_or_default());
                Ok(())
            }
            Some(_) | None => read_event(disk, place, *file_bytes, out),
        };
        read_outputs((session, epoch), &places, bytes_max, out, read)
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
        self.index.drop_below(session, epoch, floor);
        self.remove_empty_files()
    }

    /// Forgets a session's outputs in all epochs before `epoch`, and files in which nothing is kept any more.
    ///
    /// # Errors
    /// [`DiskFault`] from removing a file; nothing else is lost by it.
    pub fn drop_epochs_before(&mut self, session: SessionId, epoch: SessionEpoch) -> Result<(), DiskFault> {
        self.index.drop_epochs_before(session, epoch);
        self.remove_empty_files()
    }

    /// The number behind a session's last output; `None` if it has none here.
    #[must_use]
    pub fn next(&self, session: SessionId, epoch: SessionEpoch) -> Option<OutSeq> {
        self.index.next(session, epoch)
    }

    /// Whether all outputs of a session from `from` up to, but not with, `to` are here.
    #[must_use]
    pub fn covers(&self, session: SessionId, epoch: SessionEpoch, from: OutSeq, to: OutSeq) -> bool {
        self.index.covers(session, epoch, from, to)
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

    fn remove_empty_files(&mut self) -> Result<(), DiskFault> {
        let current = self.file;
        let oldest_kept = self.index.oldest_kept().unwrap_or(current);
        // What a damaged file held is wanted as long as what is older.
        let wanted = |number| {
            number >= oldest_kept && self.damaged.iter().any(|damage| damage.file == file_of(number))
        };
        let is_removable = |number: &u32| *number != current && !wanted(*number);
        let empty: Vec<u32> = self.index.empty_files().filter(is_removable).collect();
        for file in empty {
            self.disk.remove(&file_of(file))?;
            self.index.forget_file(file);
        }
        Ok(())
    }
}

/// Numbers of the files, in order.
fn file_numbers<D: Disk>(disk: &mut D) -> Result<Vec<u32>, DiskFault> {
    let names = disk.list(Dir::Outbox)?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Indexes what file `number` holds of commands up to `through`, up to the first event that cannot be read.
fn load<D: Disk>(
    disk: &mut D,
    number: u32,
    through: Seq,
    index: &mut OutboxIndex,
) -> Result<Loaded, DiskFault> {
    let file = file_of(number);
    let len = disk.len(&file)?.unwrap_or(0) as usize;
    let mut bytes = vec![0; len];
    let read = disk.read(&file, 0, &mut bytes, ReadFrom::Cache)?;
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
            index.fill_in(number_of_event, Place { file: number, offset: end as u32 });
        }
        end += event_bytes;
    };
    Ok(Loaded { number, len, end, rest })
}

/// Appends to `out` what `read` finds at `places`, as [`Outbox::read`] says.
fn read_outputs(
    (session, epoch): (SessionId, SessionEpoch),
    places: &[(u64, Place)],
    bytes_max: usize,
    out: &mut Vec<u8>,
    mut read: impl FnMut(Place, &mut Vec<u8>) -> Result<(), DiskFault>,
) -> Result<Option<OutputsRead>, DiskFault> {
    let Some((first, place)) = places.first().copied() else { return Ok(None) };
    if place == Place::TO_COME {
        let file = FileRef::new(Dir::Outbox, format!("output {first} of session {session}"));
        return Err(DiskFault { operation: DiskOperation::Read, file, cause: DiskCause::NotFound });
    }
    let start = out.len();
    let mut next = first;
    for (number, place) in places.iter().copied().take_while(|(_, place)| place.is_kept()) {
        let before = out.len();
        read(place, out)?;
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

/// Appends the event at `place` of a file that has at most `file_bytes` and one event.
fn read_event<D: Disk>(
    disk: &mut D,
    place: Place,
    file_bytes: u64,
    out: &mut Vec<u8>,
) -> Result<(), DiskFault> {
    let (file, offset) = (file_of(place.file), u64::from(place.offset));
    let start = out.len();
    out.resize(start + READ_BYTES, 0);
    let read = disk.read(&file, offset, &mut out[start..], ReadFrom::Cache)?;
    out.truncate(start + read);
    let len = if read >= 4 { out[start..].u32_at(0) as usize } else { 0 };
    if len > read && read == READ_BYTES && len as u64 <= file_bytes {
        out.resize(start + len, 0);
        let more = disk.read(&file, offset + read as u64, &mut out[start + read..], ReadFrom::Cache)?;
        out.truncate(start + read + more);
    }
    out.truncate(start + len);
    Ok(())
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

fn file_of(number: u32) -> FileRef {
    FileRef::new(Dir::Outbox, format!("{number:010}.out"))
}

fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".out")?.parse().ok()?;
    (number != 0 && *file_of(number).name == *name).then_some(number)
}
