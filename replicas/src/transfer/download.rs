//! A snapshot's file on its way here, in pieces: whoever is asked, and whatever for.

use std::collections::BTreeMap;

use journal::segment::unfinished;
use journal::snapshot_file::{self, Fingerprint, SnapshotFault, SnapshotHeader};
use journal::{Disk, DiskFault, FileRef};
use protocol::hash::Hash;
use protocol::{ClusterEpoch, Field, Index, Term};

use crate::message::transfer::PIECE_BYTES;
use crate::snapshots::Base;

/// Pieces asked for and not there yet.
const WINDOW_PIECES: usize = 8;
/// Longest snapshot that is fetched.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 30;
/// Bytes of a [`Manifest`].
pub(crate) const MANIFEST_BYTES: usize = 72;

/// What its holder says of a snapshot: by it what is fetched is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) file: Fingerprint,
    pub(crate) state_hash: Hash,
}

impl Manifest {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = self.file.len.to_le_bytes().to_vec();
        out.extend_from_slice(&self.file.hash.0);
        out.extend_from_slice(&self.state_hash.0);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != MANIFEST_BYTES {
            return None;
        }
        let file = Fingerprint { len: bytes.u64_at(0), hash: Hash(bytes.array(8)) };
        let fits = (1..=SNAPSHOT_BYTES_MAX).contains(&file.len);
        fits.then_some(Self { file, state_hash: Hash(bytes.array(40)) })
    }
}

/// A snapshot's file that is being fetched.
pub(crate) struct Download {
    pub(crate) manifest: Manifest,
    /// Its last entry.
    pub(crate) index: Index,
    term: Term,
    /// Under its unfinished name.
    file: FileRef,
    pieces: Pieces,
}

struct Pieces {
    done: Vec<bool>,
    missing: usize,
    /// Asked for, and when.
    asked: BTreeMap<usize, u64>,
}

impl Download {
    pub(crate) fn new(epoch: ClusterEpoch, (index, term): (Index, Term), manifest: Manifest) -> Self {
        let file = unfinished(&snapshot_file::file(epoch, index));
        let count = usize::try_from(manifest.file.len.div_ceil(PIECE_BYTES as u64)).unwrap_or(usize::MAX);
        let pieces = Pieces { done: vec![false; count], missing: count, asked: BTreeMap::new() };
        Self { manifest, index, term, file, pieces }
    }

    /// Whether all pieces are here.
    pub(crate) fn is_complete(&self) -> bool {
        self.pieces.missing == 0
    }

    /// Bytes that are not here yet, about.
    pub(crate) fn missing_bytes(&self) -> u64 {
        (self.pieces.missing as u64 * PIECE_BYTES as u64).min(self.manifest.file.len)
    }

    /// The next pieces to ask for: those whose answer is overdue, and further ones up to the window. `now` and `patience` are in
    /// whatever the caller counts time.
    pub(crate) fn due(&mut self, now: u64, patience: u64) -> Vec<u64> {
        let Pieces { done, asked, .. } = &mut self.pieces;
        asked.retain(|_, at| now - *at <= patience);
        let free = WINDOW_PIECES.saturating_sub(asked.len());
        let open = |at: &usize| !done[*at] && !asked.contains_key(at);
        let due: Vec<usize> = (0..done.len()).filter(open).take(free).collect();
        asked.extend(due.iter().map(|at| (*at, now)));
        due.into_iter().map(|at| (at * PIECE_BYTES) as u64).collect()
    }

    /// Writes a piece to its place; returns whether it was one that is wanted.
    pub(crate) fn take_piece<D: Disk>(
        &mut self,
        disk: &mut D,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, DiskFault> {
        let pieces = &mut self.pieces;
        let at = usize::try_from(offset / PIECE_BYTES as u64).unwrap_or(usize::MAX);
        let expected = self.manifest.file.len.saturating_sub(offset).min(PIECE_BYTES as u64);
        if pieces.done.get(at) != Some(&false) || bytes.len() as u64 != expected {
            return Ok(false);
        }
        disk.write_at(&self.file, offset, bytes)?;
        pieces.done[at] = true;
        pieces.missing -= 1;
        pieces.asked.remove(&at);
        Ok(true)
    }

    /// Reads the whole file back from the device, as a start would, and holds it against everything that is known of it.
    pub(crate) fn verify<D: Disk>(
        &self,
        disk: &mut D,
        owner: journal::Identity,
    ) -> Result<(Base, SnapshotHeader), SnapshotFault> {
        disk.sync(&self.file)?;
        disk.sync_dir(self.file.dir)?;
        let (header, file) = snapshot_file::peek(disk, &self.file)?;
        if (header.cluster, header.epoch) != (owner.cluster, owner.epoch) {
            return Err(SnapshotFault::Foreign);
        }
        let is_as_offered = file == self.manifest.file
            && header.state_hash == self.manifest.state_hash
            && (header.index, header.term) == (self.index, self.term);
        if !is_as_offered {
            return Err(SnapshotFault::Hash);
        }
        let base = Base::read(disk, &self.file)?;
        Ok((base, header))
    }

    /// Removes what has come. A file that cannot be removed now is at the next start.
    pub(crate) fn give_up<D: Disk>(&self, disk: &mut D) {
        disk.remove(&self.file).ok();
    }
}
