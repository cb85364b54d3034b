//! Snapshots: the whole state behind one entry, in a file that is either whole or not there.
//!
//! Name: `snap/{epoch:08x}-{index:020}.snap`. Written under another name, synced, read back, renamed, the folder synced.
//! Nothing in it differs between replicas.
//!
//! ```text
//! magic "SICLSNAP" | format u16 | reserved 6 bytes | cluster u128 | epoch u64 | index u64 | term u64      (56 bytes)
//! | engine_version u32 | conf_bytes u32 | next_seq u64 | last_time_ns u64 | chain 32 | effect_hash 32     (144 bytes)
//! | state_hash 32 | state_bytes u64 | chunks u32 | header_crc u32 of the 188 bytes before and conf_state  (192 bytes)
//! | conf_state conf_bytes
//! | chunks: packed_bytes u32 | bytes u32 | crc32c u32 of the packed bytes | reserved u32 | zstd frame of at most 1 MiB
//! | magic "SNAPEND1" | BLAKE3 of everything before this magic                                             (40 bytes)
//! ```

use protocol::hash::{Hash, blake3, crc32c, crc32c_append};
use protocol::limits::BLOCK_ALIGN;
use protocol::mutant::{Mutant, planted};
use protocol::{ClusterEpoch, ClusterId, Field, Index, Seq, Term, UnixNanos, put};

use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};
use crate::segment::{UNFINISHED_SUFFIX, unfinished};
use crate::{AlignedBuf, Identity, RereadFault};

const MAGIC: &[u8; 8] = b"SICLSNAP";
const END_MAGIC: &[u8; 8] = b"SNAPEND1";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 192;
const HEADER_CRC_AT: usize = 188;
const CHUNK_HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 40;
/// Bytes of state in one chunk.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of a membership.
pub const CONF_BYTES_MAX: usize = 64 << 10;
/// Part of the format: replicas compress to the same bytes.
const ZSTD_LEVEL: i32 = 1;
/// Snapshots that are kept: the log is needed only behind the older one.
pub const SNAPSHOTS_KEPT: usize = 2;

/// What a snapshot says about its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its epoch.
    pub epoch: ClusterEpoch,
    /// The last entry in it.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// Version of the rules in force behind it.
    pub engine_version: u32,
    /// Seq of the next record.
    pub next_seq: Seq,
    /// Time of the last record.
    pub last_time: UnixNanos,
    /// The last entry's chain.
    pub chain: Hash,
    /// Rolling hash of all effects.
    pub effect_hash: Hash,
    /// Hash of the state.
    pub state_hash: Hash,
    /// Membership, as Raft encodes it.
    pub conf_state: Vec<u8>,
}

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskFault),
    /// It ends too early, or goes on behind its end.
    #[error("the snapshot's length is wrong")]
    Length,
    /// Not a snapshot, or of a later format.
    #[error("not a snapshot of a known format")]
    Format,
    /// The header's checksum differs.
    #[error("the snapshot's header is damaged")]
    Header,
    /// A chunk is damaged.
    #[error("chunk {0} of the snapshot is damaged")]
    Chunk(u32),
    /// The hash over everything differs.
    #[error("the snapshot's hash differs")]
    Hash,
    /// What was read back is not what was written.
    #[error("what was read back is not what was written")]
    ReadBack,
    /// The membership is longer than [`CONF_BYTES_MAX`].
    #[error("a membership of {0} bytes")]
    Conf(usize),
    /// It is another cluster's or epoch's.
    #[error("the snapshot is another cluster's or epoch's")]
    Foreign,
    /// It was taken under rules that this program does not have.
    #[error("the snapshot was taken under version {0} of the rules")]
    Rules(u32),
    /// The state does not load, or is not the one that the header names by hash, seq and time.
    #[error("the snapshot does not hold the state that its header names")]
    State,
    /// The journal has another entry, or none, where the snapshot was taken.
    #[error("the snapshot was taken behind another history than the journal's")]
    History,
    /// The entries behind the snapshot before could not be read back.
    #[error(transparent)]
    Reread(#[from] RereadFault),
    /// Run again, the journal gives other effects than the running engine has had: one of the two is wrong.
    #[error("run again up to seq {seq}, the journal gives effects {again}, and the engine has had {ours}")]
    Effects {
        /// The last seq.
        seq: Seq,
        /// Hash of the effects of the second run.
        again: Hash,
        /// Hash of those of the engine.
        ours: Hash,
    },
}

/// The file of a snapshot whose last entry is `index`.
#[must_use]
pub fn file(epoch: ClusterEpoch, index: Index) -> FileRef {
    FileRef::new(Dir::Snapshots, format!("{:08x}-{:020}.snap", epoch.0, index.0))
}

impl SnapshotHeader {
    /// Its file.
    #[must_use]
    pub fn file(&self) -> FileRef {
        file(self.epoch, self.index)
    }

    /// BLAKE3 of everything it says: the state by its hash, what led to it, and who the members are. Equal on all replicas.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut bytes = Vec::new();
        self.write(0, &mut bytes);
        blake3(&[&bytes])
    }

    fn write(&self, state_bytes: usize, out: &mut Vec<u8>) {
        out.resize(HEADER_BYTES, 0);
        put(out, 0, MAGIC);
        put(out, 8, &FORMAT.to_le_bytes());
        put(out, 16, &self.cluster.0.to_le_bytes());
        put(out, 32, &self.epoch.0.to_le_bytes());
        put(out, 40, &self.index.0.to_le_bytes());
        put(out, 48, &self.term.0.to_le_bytes());
        put(out, 56, &self.engine_version.to_le_bytes());
        put(out, 60, &(self.conf_state.len() as u32).to_le_bytes());
        put(out, 64, &self.next_seq.0.to_le_bytes());
        put(out, 72, &self.last_time.0.to_le_bytes());
        put(out, 80, &self.chain.0);
        put(out, 112, &self.effect_hash.0);
        put(out, 144, &self.state_hash.0);
        put(out, 176, &(state_bytes as u64).to_le_bytes());
        put(out, 184, &(state_bytes.div_ceil(CHUNK_BYTES) as u32).to_le_bytes());
        let crc = crc32c_append(crc32c(&out[..HEADER_CRC_AT]), &self.conf_state);
        put(out, HEADER_CRC_AT, &crc.to_le_bytes());
        out.extend_from_slice(&self.conf_state);
    }

    /// Reads the header of a snapshot; also returns the bytes and the chunks of its state, and where they begin.
    ///
    /// # Errors
    /// [`SnapshotFault`].
    pub fn read(bytes: &[u8]) -> Result<(Self, u64, u32, usize), SnapshotFault> {
        let header = bytes.get(..HEADER_BYTES).ok_or(SnapshotFault::Length)?;
        if header.array(0) != *MAGIC || header.u16_at(8) != FORMAT || header.array(10) != [0; 6] {
            return Err(SnapshotFault::Format);
        }
        let conf_bytes = header.u32_at(60) as usize;
        if conf_bytes > CONF_BYTES_MAX {
            return Err(SnapshotFault::Header);
        }
        let end = HEADER_BYTES + conf_bytes;
        let conf_state = bytes.get(HEADER_BYTES..end).ok_or(SnapshotFault::Length)?;
        if header.u32_at(HEADER_CRC_AT) != crc32c_append(crc32c(&header[..HEADER_CRC_AT]), conf_state) {
            return Err(SnapshotFault::Header);
        }
        let read = Self {
            cluster: ClusterId(header.u128_at(16)),
            epoch: ClusterEpoch(header.u64_at(32)),
            index: Index(header.u64_at(40)),
            term: Term(header.u64_at(48)),
            engine_version: header.u32_at(56),
            next_seq: Seq(header.u64_at(64)),
            last_time: UnixNanos(header.u64_at(72)),
            chain: Hash(header.array(80)),
            effect_hash: Hash(header.array(112)),
            state_hash: Hash(header.array(144)),
            conf_state: conf_state.to_vec(),
        };
        Ok((read, header.u64_at(176), header.u32_at(184), end))
    }
}

/// The bytes of a snapshot of `state`.
///
/// # Errors
/// [`SnapshotFault::Conf`]; [`SnapshotFault::Chunk`] if a chunk cannot be compressed, for want of memory.
pub fn encode(header: &SnapshotHeader, state: &[u8]) -> Result<Vec<u8>, SnapshotFault> {
    if header.conf_state.len() > CONF_BYTES_MAX {
        return Err(SnapshotFault::Conf(header.conf_state.len()));
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + header.conf_state.len() + state.len() / 3);
    header.write(state.len(), &mut out);
    for (number, chunk) in (0..).zip(state.chunks(CHUNK_BYTES)) {
        let packed = zstd::bulk::compress(chunk, ZSTD_LEVEL).map_err(|_| SnapshotFault::Chunk(number))?;
        out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        out.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32c(&packed).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&packed);
    }
    let hash = blake3(&[&out]);
    out.extend_from_slice(END_MAGIC);
    out.extend_from_slice(&hash.0);
    Ok(out)
}

/// Reads and verifies all of a snapshot.
///
/// # Errors
/// [`SnapshotFault`].
pub fn decode(bytes: &[u8]) -> Result<(SnapshotHeader, Vec<u8>), SnapshotFault> {
    let (header, state_bytes, chunks, mut at) = SnapshotHeader::read(bytes)?;
    let end = bytes.len().checked_sub(FOOTER_BYTES).ok_or(SnapshotFault::Length)?;
    let (body, footer) = bytes.split_at(end);
    if footer.array(0) != *END_MAGIC {
        return Err(SnapshotFault::Length);
    }
    let mut state = Vec::new();
    for number in 0..chunks {
        let damaged = SnapshotFault::Chunk(number);
        let prefix = body.get(at..at + CHUNK_HEADER_BYTES).ok_or(damaged.clone())?;
        let (packed_bytes, raw_bytes) = (prefix.u32_at(0) as usize, prefix.u32_at(4) as usize);
        at += CHUNK_HEADER_BYTES;
        let packed = body.get(at..at + packed_bytes).ok_or(damaged.clone())?;
        at += packed_bytes;
        if crc32c(packed) != prefix.u32_at(8) || prefix.u32_at(12) != 0 || raw_bytes > CHUNK_BYTES {
            return Err(damaged);
        }
        let raw = zstd::bulk::decompress(packed, raw_bytes).map_err(|_| damaged.clone())?;
        if raw.len() != raw_bytes {
            return Err(damaged);
        }
        state.extend_from_slice(&raw);
    }
    if at != end || state.len() as u64 != state_bytes {
        return Err(SnapshotFault::Length);
    }
    if blake3(&[body]).0 != footer.array(8) {
        return Err(SnapshotFault::Hash);
    }
    Ok((header, state))
}

/// Makes a snapshot of `state` durable, read back before it gets its name, and removes older ones ([`remove_older`]). One that
/// cannot be removed costs room and nothing else: the next call tries again.
///
/// # Errors
/// [`SnapshotFault`]: the log is still needed then; try again later.
pub fn store<D: Disk>(
    disk: &mut D,
    header: &SnapshotHeader,
    state: &[u8],
    marked: Index,
) -> Result<FileRef, SnapshotFault> {
    let bytes = encode(header, state)?;
    let file = header.file();
    let making = unfinished(&file);
    let written = write_and_read_back(disk, &making, &bytes);
    if let Err(fault) = written {
        // The space is wanted back; if that fails too, the next start removes it.
        return disk.remove(&making).map_err(SnapshotFault::Disk).and(Err(fault));
    }
    disk.rename(&making, &file)?;
    if !planted(Mutant::SnapshotNotSynced) {
        disk.sync_dir(Dir::Snapshots)?;
    }
    // The new one is durable and counts, whatever becomes of the older ones.
    remove_older(disk, marked).ok();
    Ok(file)
}

/// Gives a snapshot its name that is whole under its unfinished one, and synced: from here on it counts.
///
/// # Errors
/// [`DiskFault`]: it has its name, or it has not.
pub fn give_name<D: Disk>(disk: &mut D, header: &SnapshotHeader) -> Result<(), DiskFault> {
    let file = header.file();
    disk.rename(&unfinished(&file), &file)?;
    if planted(Mutant::InstallNotSynced) {
        return Ok(());
    }
    disk.sync_dir(Dir::Snapshots)
}

/// Removes all snapshots but [`SNAPSHOTS_KEPT`]: the newest, and the one before it. Where the newest one is not `marked` yet (the last
/// entry of the newest one that may be handed on), the newest that is: however many follow that no majority is known to agree with, there is
/// one for a peer that needs it, and the log reaches back to it.
///
/// # Errors
/// [`DiskFault`] from syncing the folder; one that is stuck is tried again by the next call.
pub fn remove_older<D: Disk>(disk: &mut D, marked: Index) -> Result<(), DiskFault> {
    let mut older = files(disk)?;
    older.drain(..older.len().min(1));
    let is_marked = |file: &FileRef| parse_name(&file.name).is_some_and(|(_, index)| index <= marked);
    let kept = older.iter().position(is_marked).unwrap_or(0);
    for (_, old) in older.iter().enumerate().filter(|(at, _)| *at != kept) {
        // Each on its own: one that is stuck keeps no other.
        disk.remove(old).ok();
    }
    disk.sync_dir(Dir::Snapshots)
}

fn write_and_read_back<D: Disk>(disk: &mut D, file: &FileRef, bytes: &[u8]) -> Result<(), SnapshotFault> {
    disk.remove(file)?;
    for (chunk, at) in bytes.chunks(CHUNK_BYTES).zip((0..).step_by(CHUNK_BYTES)) {
        disk.write_at(file, at, chunk)?;
    }
    disk.sync(file)?;
    disk.sync_dir(file.dir)?;
    let mut read_back = AlignedBuf::zeroed(CHUNK_BYTES);
    for (chunk, at) in bytes.chunks(CHUNK_BYTES).zip((0..).step_by(CHUNK_BYTES)) {
        let read = disk.read(file, at, &mut read_back, ReadFrom::Device)?;
        if read_back.get(..read) != Some(chunk) {
            return Err(SnapshotFault::ReadBack);
        }
    }
    Ok(())
}

/// Snapshot files, newest first.
///
/// # Errors
/// [`DiskFault`].
pub fn files<D: Disk>(disk: &mut D) -> Result<Vec<FileRef>, DiskFault> {
    let mut names = disk.list(Dir::Snapshots)?;
    names.retain(|name| name.ends_with(".snap"));
    // The names are of fixed width: they sort by epoch and index.
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names.into_iter().map(|name| FileRef::new(Dir::Snapshots, name)).collect())
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its file.
    pub file: FileRef,
    /// The last entry in it.
    pub index: Index,
}

/// The snapshots of a replica, newest first. Also damaged ones, by their names: a snapshot has its name only after it was
/// durable, so that its last entry was committed whatever has become of the state. Those of other clusters are left out.
///
/// # Errors
/// [`DiskFault`].
pub fn kept<D: Disk>(disk: &mut D, owner: &Identity) -> Result<Vec<Kept>, DiskFault> {
    let mut kept = Vec::new();
    let mut bytes = AlignedBuf::zeroed((HEADER_BYTES + CONF_BYTES_MAX).next_multiple_of(BLOCK_ALIGN));
    for file in files(disk)? {
        let read = disk.read(&file, 0, &mut bytes, ReadFrom::Device)?;
        let named = match SnapshotHeader::read(bytes.get(..read).unwrap_or_default()) {
            Ok((header, ..)) if header.cluster != owner.cluster => None,
            Ok((header, ..)) => Some((header.epoch, header.index)),
            Err(_) => parse_name(&file.name),
        };
        if let Some((_, index)) = named.filter(|(epoch, _)| *epoch == owner.epoch) {
            kept.push(Kept { file, index });
        }
    }
    kept.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.index));
    Ok(kept)
}

/// Where the journal has to be read from for whoever starts from one of the `kept` snapshots, newest first: the oldest,
/// so that damage to the newest costs nothing but time, and that the one that may be handed on is not cut off where a crash has
/// left others between the two; the beginning without two.
#[must_use]
pub fn needed_from(kept: &[Kept]) -> Index {
    kept.last().filter(|_| kept.len() >= SNAPSHOTS_KEPT).map_or(Index(0), |oldest| oldest.index)
}

fn parse_name(name: &str) -> Option<(ClusterEpoch, Index)> {
    let (epoch, index) = name.strip_suffix(".snap")?.split_once('-')?;
    Some((ClusterEpoch(u64::from_str_radix(epoch, 16).ok()?), Index(index.parse().ok()?)))
}

/// Removes what an earlier process began to write.
///
/// # Errors
/// [`DiskFault`].
pub fn remove_unfinished<D: Disk>(disk: &mut D) -> Result<(), DiskFault> {
    for name in disk.list(Dir::Snapshots)? {
        if name.ends_with(UNFINISHED_SUFFIX) {
            disk.remove(&FileRef::new(Dir::Snapshots, name))?;
        }
    }
    Ok(())
}

/// What tells whether bytes that came from elsewhere are this snapshot, without having read all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes of the file.
    pub len: u64,
    /// BLAKE3 of everything before the footer, as the footer says.
    pub hash: Hash,
}

/// A snapshot's header and fingerprint, by its first and its last bytes.
///
/// # Errors
/// [`SnapshotFault`].
pub fn peek<D: Disk>(disk: &mut D, file: &FileRef) -> Result<(SnapshotHeader, Fingerprint), SnapshotFault> {
    let len = disk.len(file)?.unwrap_or(0);
    let mut bytes = AlignedBuf::zeroed((HEADER_BYTES + CONF_BYTES_MAX).next_multiple_of(BLOCK_ALIGN));
    let read = disk.read(file, 0, &mut bytes, ReadFrom::Cache)?;
    let (header, ..) = SnapshotHeader::read(bytes.get(..read).unwrap_or_default())?;
    let mut footer = [0; FOOTER_BYTES];
    let at = len.checked_sub(FOOTER_BYTES as u64).ok_or(SnapshotFault::Length)?;
    let read = disk.read(file, at, &mut footer, ReadFrom::Cache)?;
    if read != FOOTER_BYTES || footer.array(0) != *END_MAGIC {
        return Err(SnapshotFault::Length);
    }
    Ok((header, Fingerprint { len, hash: Hash(footer.array(8)) }))
}

/// Loads and verifies one snapshot.
///
/// # Errors
/// [`SnapshotFault`].
pub fn load<D: Disk>(disk: &mut D, file: &FileRef) -> Result<(SnapshotHeader, Vec<u8>), SnapshotFault> {
    let len = disk.len(file)?.unwrap_or(0) as usize;
    let mut bytes = AlignedBuf::zeroed(len.next_multiple_of(BLOCK_ALIGN));
    let read = disk.read(file, 0, &mut bytes, ReadFrom::Device)?;
    decode(bytes.get(..read.min(len)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> (SnapshotHeader, Vec<u8>) {
        let header = SnapshotHeader {
            cluster: ClusterId(1),
            epoch: ClusterEpoch(1),
            index: Index(77),
            term: Term(3),
            engine_version: 1,
            next_seq: Seq(900),
            last_time: UnixNanos(5),
            chain: Hash([1; 32]),
            effect_hash: Hash([2; 32]),
            state_hash: Hash([3; 32]),
            conf_state: vec![8, 1],
        };
        let state = (0..(CHUNK_BYTES + 1_000)).map(|n| (n / 7) as u8).collect();
        (header, state)
    }

    #[test]
    fn reads_what_was_written_and_refuses_every_flipped_byte_and_every_cut() {
        let (header, state) = sample();
        let bytes = encode(&header, &state).unwrap();
        assert_eq!(decode(&bytes), Ok((header.clone(), state)));
        let small = encode(&header, &[5; 100]).unwrap();
        for at in 0..small.len() {
            let mut damaged = small.clone();
            damaged[at] ^= 0x10;
            assert!(decode(&damaged).is_err(), "byte {at}");
            assert!(decode(&small[..at]).is_err(), "cut at {at}");
        }
        assert!(decode(&encode(&header, &[]).unwrap()).is_ok());
    }
}
