//! `divergence`: what a replica has learned about effects that differ from those of others. It exists only where they have.
//!
//! ```text
//! magic "SICLDIVG" | format u16 | quarantined u8 (0 or 1) | part_bytes u8 | count u32
//! | seq u64 | ours [32] | theirs [32] | part, part_bytes long, UTF-8 | zeros to 160          (160 bytes)
//! | count times: seq u64 | recorded [32] | computed [32]
//! | crc32c u32 of everything before
//! ```
//! Without a quarantine everything from `seq` on is zero. It is written whole beside the old one and renamed into its place.

use protocol::hash::{Hash, crc32c};
use protocol::{Field, Seq, put};

use crate::disk::{Dir, Disk, DiskFault, FileRef, ReadFrom};

const MAGIC: &[u8; 8] = b"SICLDIVG";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 160;
const PART_AT: usize = 88;
const OUTVOTED_BYTES: usize = 72;
/// Claims that are remembered; a leader that went wrong has far fewer under way.
const OUTVOTED_MAX: usize = 65_536;
/// Bytes of the file.
pub const BYTES_MAX: usize = HEADER_BYTES + OUTVOTED_MAX * OUTVOTED_BYTES + 4;

/// This replica was found to be wrong, and takes part in nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Where effects were compared.
    pub seq: Seq,
    /// Hash of ours up to there.
    pub ours: Hash,
    /// That of a majority.
    pub theirs: Hash,
    /// The first part of the state that differs from a run over the journal; empty if none does, or none was made.
    pub part: String,
}

/// A proposer recorded a hash that a majority did not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outvoted {
    /// Where.
    pub seq: Seq,
    /// In the frame.
    pub recorded: Hash,
    /// By the majority, this replica among it.
    pub computed: Hash,
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// Set for ever, unless an operator replaces the node.
    pub quarantine: Option<Quarantine>,
    /// What stands in the log and does not count.
    pub outvoted: Vec<Outvoted>,
}

/// The file.
#[must_use]
pub fn file() -> FileRef {
    FileRef::new(Dir::Root, "divergence")
}

impl Divergence {
    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        put(&mut out, 0, MAGIC);
        put(&mut out, 8, &FORMAT.to_le_bytes());
        let newest = self.outvoted.len().saturating_sub(OUTVOTED_MAX);
        let outvoted = &self.outvoted[newest..];
        put(&mut out, 12, &u32::try_from(outvoted.len()).unwrap_or(u32::MAX).to_le_bytes());
        if let Some(Quarantine { seq, ours, theirs, part }) = &self.quarantine {
            let part = part.as_bytes();
            let part = &part[..part.len().min(HEADER_BYTES - PART_AT)];
            put(&mut out, 10, &[1, u8::try_from(part.len()).unwrap_or(0)]);
            put(&mut out, 16, &seq.0.to_le_bytes());
            put(&mut out, 24, &ours.0);
            put(&mut out, 56, &theirs.0);
            put(&mut out, PART_AT, part);
        }
        for Outvoted { seq, recorded, computed } in outvoted {
            out.extend_from_slice(&seq.0.to_le_bytes());
            out.extend_from_slice(&recorded.0);
            out.extend_from_slice(&computed.0);
        }
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out
    }

    /// Reads the file; `None` if it is not whole.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (header, list) = body.split_at_checked(HEADER_BYTES)?;
        let known = header.array(0) == *MAGIC && header.u16_at(8) == FORMAT;
        let (outvoted, rest) = list.as_chunks::<OUTVOTED_BYTES>();
        let is_whole = rest.is_empty() && u32::try_from(outvoted.len()) == Ok(header.u32_at(12));
        if !known || !is_whole || u32::from_le_bytes(*crc) != crc32c(body) {
            return None;
        }
        let [quarantined, part_bytes]: [u8; 2] = header.array(10);
        let part = header.get(PART_AT..PART_AT + usize::from(part_bytes))?;
        let part = String::from_utf8(part.to_vec()).ok()?;
        let quarantine = match quarantined {
            0 => None,
            1 => Some(Quarantine {
                seq: Seq(header.u64_at(16)),
                ours: Hash(header.array(24)),
                theirs: Hash(header.array(56)),
                part,
            }),
            _ => return None,
        };
        let outvoted = outvoted.iter().map(|bytes| Outvoted {
            seq: Seq(bytes.u64_at(0)),
            recorded: Hash(bytes.array(8)),
            computed: Hash(bytes.array(40)),
        });
        Some(Self { quarantine, outvoted: outvoted.collect() })
    }

    /// What the disk has; nothing where there is no file. `None` if the file is damaged: it may have held a quarantine.
    ///
    /// # Errors
    /// [`DiskFault`].
    pub fn load<D: Disk>(disk: &mut D) -> Result<Option<Self>, DiskFault> {
        let Some(len) = disk.len(&file())? else { return Ok(Some(Self::default())) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        let read = disk.read(&file(), 0, &mut bytes, ReadFrom::Device)?;
        Ok(Self::read(&bytes[..read]))
    }

    /// Makes this the durable content of the file.
    ///
    /// # Errors
    /// [`DiskFault`]: the old content may still stand.
    pub fn store<D: Disk>(&self, disk: &mut D) -> Result<(), DiskFault> {
        let making = FileRef::new(Dir::Root, "divergence.tmp");
        disk.remove(&making)?;
        disk.write_at(&making, 0, &self.to_bytes())?;
        disk.sync(&making)?;
        disk.rename(&making, &file())?;
        disk.sync_dir(Dir::Root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written_and_no_damage_is_taken_for_it() {
        let outvoted = |seq| Outvoted { seq: Seq(seq), recorded: Hash([1; 32]), computed: Hash([2; 32]) };
        let quarantine = Quarantine {
            seq: Seq(9),
            ours: Hash([3; 32]),
            theirs: Hash([4; 32]),
            part: "accounts".to_owned(),
        };
        for divergence in [
            Divergence::default(),
            Divergence { quarantine: None, outvoted: vec![outvoted(1), outvoted(2)] },
            Divergence { quarantine: Some(quarantine), outvoted: vec![outvoted(3)] },
        ] {
            let bytes = divergence.to_bytes();
            assert_eq!(Divergence::read(&bytes).as_ref(), Some(&divergence));
            for at in 0..bytes.len() {
                assert_eq!(Divergence::read(&bytes[..at]), None, "cut at {at}");
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                assert_eq!(Divergence::read(&damaged), None, "damaged at {at}");
            }
        }
    }
}
