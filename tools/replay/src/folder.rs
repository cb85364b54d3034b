//! The files of a journal: what is there, what of `meta` and of the snapshots is whole, and what is out of place.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use journal::divergence::{self, Divergence};
use journal::meta::{META_BYTES, Meta, MetaView};
use journal::reader::{Reader, ReaderFault, SEGMENT_BYTES_MAX};
use journal::segment::{SECTOR_BYTES, SegmentName};
use journal::snapshot_file::{self, SnapshotHeader};
use protocol::Field;
use protocol::hash::blake3;
use protocol::limits::BLOCK_ALIGN;

use crate::finding::{Finding, Grade};

/// More of a snapshot's file is not read.
const SNAPSHOT_BYTES_MAX: u64 = 16 << 30;
/// Copies of `meta`, each in a page; hints follow.
const META_COPIES: usize = 4;
/// Places in a copy, as docs/FORMAT.md has them.
const SEQUENCE_AT: usize = 16;
const TERM_AT: usize = 56;
const CRC_AT: usize = BLOCK_ALIGN - 4;
const META_PAGES: usize = META_BYTES / BLOCK_ALIGN;

/// A folder could not be opened as a journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFault {
    /// It is something else, or nothing.
    #[error("{}: not a journal: {why}", path.display())]
    NotAJournal {
        /// The folder.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It was a journal: what belongs beside the segments is there, and no segment is.
    #[error("{}: no segment is left of this journal", .0.display())]
    NoSegmentLeft(PathBuf),
    /// The operating system.
    #[error("{}: {error}", path.display())]
    Io {
        /// What it was asked for.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
}

impl From<ReaderFault> for OpenFault {
    fn from(fault: ReaderFault) -> Self {
        match fault {
            ReaderFault::Io { path, error } => Self::Io { path, error },
            ReaderFault::NoSegments { path } => Self::NoSegmentLeft(path),
        }
    }
}

/// A snapshot's file, whole in itself. Its state is read again when it is needed.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) header: SnapshotHeader,
}

/// A folder with a journal.
pub(crate) struct Folder {
    /// Logs that were set aside beside the one that is read.
    pub(crate) set_aside: usize,
    pub(crate) reader: Reader,
    /// Whole ones, by index.
    pub(crate) snapshots: Vec<SnapshotFile>,
    /// Snapshot files, whole or not.
    pub(crate) snapshot_files: usize,
    /// What the replica knew of effects that differed from those of others.
    pub(crate) divergence: Divergence,
    pub(crate) findings: Vec<Finding>,
}

impl Folder {
    /// The folder's log, or the `aside`th of those that were set aside in it.
    pub(crate) fn open(dir: &Path, aside: Option<NonZeroUsize>) -> Result<Self, OpenFault> {
        let not = |why: &str| OpenFault::NotAJournal { path: dir.to_owned(), why: why.to_owned() };
        let kind = std::fs::metadata(dir).map_err(|error| not(&error.to_string()))?;
        if !kind.is_dir() {
            return Err(not("not a folder"));
        }
        let below = dir.join(journal::Dir::Journal.path());
        let segments_in = if below.is_dir() { below } else { dir.to_owned() };
        let snapshots_in = dir.join(journal::Dir::Snapshots.path());
        let logs = Reader::set_aside(dir)?;
        if let Some(wanted) = aside {
            let Some(reader) = logs.get(wanted.get() - 1).cloned() else {
                return Err(not(&format!(
                    "of the logs set aside here, which are {}, none is number {wanted}",
                    logs.len()
                )));
            };
            let mut folder = Self::of(reader, 0);
            folder.look_at_snapshots(&snapshots_in)?;
            folder.look_at_divergence(dir)?;
            // About files that belong to the log of today.
            folder.findings.clear();
            return Ok(folder);
        }
        let reader = match Reader::open(dir) {
            Ok(reader) => reader,
            Err(ReaderFault::NoSegments { .. }) if !dir.join("meta").is_file() && !snapshots_in.is_dir() => {
                return Err(not("neither segments nor meta nor snapshots"));
            }
            Err(fault) => return Err(fault.into()),
        };
        let mut folder = Self::of(reader, logs.len());
        folder.look_at_names(&segments_in)?;
        folder.tell_of_aside(&logs);
        folder.look_at_meta(&dir.join("meta"))?;
        folder.look_at_snapshots(&snapshots_in)?;
        folder.look_at_divergence(dir)?;
        Ok(folder)
    }

    fn of(reader: Reader, set_aside: usize) -> Self {
        Self {
            set_aside,
            reader,
            snapshots: Vec::new(),
            snapshot_files: 0,
            divergence: Divergence::default(),
            findings: Vec::new(),
        }
    }

    fn tell_of_aside(&mut self, logs: &[Reader]) {
        for (number, log) in (1..).zip(logs) {
            let (Some(first), Some(last)) = (log.segments().first(), log.segments().last()) else { continue };
            let what = format!(
                "the log up to {last} was set aside when it began anew behind a peer's snapshot: not read here; `--aside {number}` reads it"
            );
            self.findings.push(Finding::new(Grade::Notice, what).at(first));
        }
    }

    /// The first `bytes_max` bytes of a segment, in `bytes`.
    pub(crate) fn read_segment(
        &self,
        name: SegmentName,
        bytes_max: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), OpenFault> {
        let path = self.path_of(name);
        read(&path, bytes_max.min(SEGMENT_BYTES_MAX), bytes).map_err(|error| OpenFault::Io { path, error })
    }

    /// Size of a segment's file.
    pub(crate) fn segment_len(&self, name: SegmentName) -> Result<u64, OpenFault> {
        let path = self.path_of(name);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) => Err(OpenFault::Io { path, error }),
        }
    }

    fn path_of(&self, name: SegmentName) -> PathBuf {
        self.reader.path_of(name).map_or_else(|| name.to_string().into(), Path::to_owned)
    }

    /// The state in a snapshot, verified.
    pub(crate) fn state_of(&self, snapshot: &SnapshotFile) -> Result<Vec<u8>, String> {
        let (header, state) = load(&snapshot.path)?;
        if header == snapshot.header { Ok(state) } else { Err("it changed while it was read".to_owned()) }
    }

    /// Segments that were renamed or set aside are no longer read, and should not go unnoticed.
    fn look_at_names(&mut self, segments_in: &Path) -> Result<(), OpenFault> {
        let names = names_in(segments_in)?;
        let odd = names.iter().filter(|name| name.contains(".seg") && SegmentName::parse(name).is_none());
        for name in odd.filter(|name| !name.ends_with(".tmp") && !name.ends_with(".aside")) {
            let what = if name.ends_with(".suspect") {
                "an operator's decision set this aside: not read"
            } else {
                "not the name of a segment: not read"
            };
            self.findings.push(Finding::new(Grade::Notice, what).at(name));
        }
        Ok(())
    }

    fn look_at_meta(&mut self, path: &Path) -> Result<(), OpenFault> {
        let mut bytes = Vec::new();
        match read(path, META_BYTES as u64 + 1, &mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what =
                    "meta is not here: without it, newest blocks that are gone as a whole may not be missed";
                self.findings.push(Finding::new(Grade::Notice, what).at("meta"));
                return Ok(());
            }
            Err(error) => return Err(OpenFault::Io { path: path.to_owned(), error }),
        }
        // Hints are written sector by sector: the file may end behind any of them.
        if bytes.len() > META_BYTES {
            let expected = format!("at most {META_BYTES} bytes");
            self.findings.push(Finding::damage("meta is too long").at("meta").differs(expected, "more"));
        }
        let pages: Vec<&[u8]> = bytes.chunks(BLOCK_ALIGN).take(META_COPIES).collect();
        let (whole, bad): (Vec<&[u8]>, Vec<&[u8]>) =
            pages.iter().partition(|page| Meta::read_page(page).is_some());
        let missing = META_COPIES - pages.len();
        let torn = bad.iter().filter(|page| whole.iter().any(|whole| is_torn(page, whole))).count();
        if torn > 0 {
            let what = "copies of meta have the shape of a write that never finished; whole ones are left";
            self.findings.push(Finding::new(Grade::Notice, what).at("meta").differs(0, torn));
        }
        if bad.len() + missing > torn {
            let what = "copies of meta are damaged; the segments do not depend on them";
            self.findings.push(Finding::damage(what).at("meta").differs(META_COPIES, whole.len()));
        }
        for (slot, page) in bytes.chunks(BLOCK_ALIGN).enumerate().take(META_PAGES).skip(META_COPIES) {
            if !is_hint_or_blank(slot, page) {
                let place = format!("meta:{}", slot * BLOCK_ALIGN);
                self.findings.push(Finding::damage("a hint of meta is damaged").at(place));
            }
        }
        Ok(())
    }

    fn look_at_divergence(&mut self, dir: &Path) -> Result<(), OpenFault> {
        let name = divergence::file().name;
        let path = dir.join(&*name);
        let mut bytes = Vec::new();
        match read(&path, divergence::BYTES_MAX as u64 + 1, &mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(OpenFault::Io { path, error }),
        }
        match Divergence::read(&bytes) {
            Some(divergence) => self.divergence = divergence,
            None => {
                let what = "the file is damaged: it may say that this replica was found to be wrong";
                self.findings.push(Finding::damage(what).at(name));
            }
        }
        Ok(())
    }

    fn look_at_snapshots(&mut self, dir: &Path) -> Result<(), OpenFault> {
        if !dir.is_dir() {
            return Ok(());
        }
        for name in names_in(dir)? {
            if Path::new(&name).extension() != Some(OsStr::new("snap")) {
                continue;
            }
            self.snapshot_files += 1;
            let (path, place) = (dir.join(&name), format!("snap/{name}"));
            match check(&path, &name) {
                Ok(header) => self.snapshots.push(SnapshotFile { name, path, header }),
                Err(why) => self.findings.push(Finding::damage(format!("a snapshot: {why}")).at(place)),
            }
        }
        self.snapshots.sort_by_key(|snapshot| snapshot.header.index);
        Ok(())
    }
}

/// Whether a copy of `meta` is, sector by sector, partly the whole copy `other` and partly the one before or after it: that
/// is how a loss of power leaves it. Of the sectors between the first and the last both hold zeros.
fn is_torn(page: &[u8], other: &[u8]) -> bool {
    let (Some(middle), Some(first), Some(last)) =
        (page.get(SECTOR_BYTES..CRC_AT), page.get(..SECTOR_BYTES), page.get(CRC_AT..))
    else {
        return false;
    };
    if middle.iter().any(|byte| *byte != 0) {
        return false;
    }
    let (Some(other_first), Some(other_last)) = (other.get(..SECTOR_BYTES), other.get(CRC_AT..)) else {
        return false;
    };
    // Sequence, term and vote change from one to the next; nothing else does.
    let unchanged = |sector: &[u8]| {
        let mut sector = sector.to_vec();
        for field in [SEQUENCE_AT, TERM_AT, TERM_AT + 8] {
            sector[field..field + 8].fill(0);
        }
        sector
    };
    let next_to = first.u64_at(SEQUENCE_AT).abs_diff(other_first.u64_at(SEQUENCE_AT)) == 1;
    first == other_first || (last == other_last && next_to && unchanged(first) == unchanged(other_first))
}

/// A hint's page that [`MetaView::read`] takes, with zeros behind, or one that was never written.
fn is_hint_or_blank(slot: usize, page: &[u8]) -> bool {
    if page.iter().all(|byte| *byte == 0) {
        return true;
    }
    let mut alone = vec![0; META_BYTES];
    let at = slot * BLOCK_ALIGN;
    if let Some(place) = alone.get_mut(at..at + page.len()) {
        place.copy_from_slice(page);
    }
    let behind = page.get(SECTOR_BYTES..).unwrap_or_default();
    MetaView::read(&alone).durable_hint > 0 && behind.iter().all(|byte| *byte == 0)
}

fn check(path: &Path, name: &str) -> Result<SnapshotHeader, String> {
    let (header, state) = load(path)?;
    if *header.file().name != *name {
        return Err(format!("its header belongs to {}", header.file()));
    }
    let found = blake3(&[&state]);
    if found != header.state_hash {
        return Err(format!("its state has hash {found}, its header says {}", header.state_hash));
    }
    Ok(header)
}

fn load(path: &Path) -> Result<(SnapshotHeader, Vec<u8>), String> {
    let mut bytes = Vec::new();
    read(path, SNAPSHOT_BYTES_MAX, &mut bytes).map_err(|error| error.to_string())?;
    snapshot_file::decode(&bytes).map_err(|fault| fault.to_string())
}

fn read(path: &Path, bytes_max: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.clear();
    File::open(path)?.take(bytes_max).read_to_end(bytes)?;
    Ok(())
}

fn names_in(dir: &Path) -> Result<Vec<String>, OpenFault> {
    let failed = |error| OpenFault::Io { path: dir.to_owned(), error };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{Founders, HardState, Identity};
    use protocol::{ClusterEpoch, ClusterId, NodeId, Term};

    #[test]
    fn a_copy_of_meta_that_a_loss_of_power_left_is_told_from_a_flipped_byte() {
        let page = |sequence: u64| {
            let hard_state = HardState { term: Term(sequence * 3), vote: NodeId(sequence % 2) };
            let (cluster, epoch, node) = (ClusterId(9), ClusterEpoch(1), NodeId(1));
            let identity = Identity { cluster, epoch, node, founders: Founders::alone(node) };
            Meta { sequence, identity, hard_state }.page().to_vec()
        };
        let (old, new) = (page(6), page(7));
        let mix = |first: &[u8], last: &[u8]| [&first[..SECTOR_BYTES], &last[SECTOR_BYTES..]].concat();
        for torn in [mix(&old, &new), mix(&new, &old)] {
            assert!(Meta::read_page(&torn).is_none() && is_torn(&torn, &old) && is_torn(&torn, &new));
        }
        for at in (0..CRC_AT).filter(|at| !(SEQUENCE_AT..SEQUENCE_AT + 8).contains(at)) {
            let mut flipped = old.clone();
            flipped[at] ^= 0x40;
            assert!(!is_torn(&flipped, &old), "byte {at}");
        }
    }
}
