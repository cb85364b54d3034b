//! The bytes of one file: what processes see, and what a power cut leaves.

use std::collections::BTreeSet;

use journal::segment::SECTOR_BYTES;

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileBytes {
    /// What a read through the page cache returns.
    cur: Vec<u8>,
    /// What is on the medium.
    durable: Vec<u8>,
    /// Sectors whose bytes in `cur` are not on the medium, and which the kernel knows to be so.
    dirty: BTreeSet<usize>,
    /// Sectors whose bytes in `cur` are not on the medium, which the kernel takes for written: their sync failed.
    lost: BTreeSet<usize>,
}

fn sectors(offset: usize, len: usize) -> std::ops::Range<usize> {
    offset / SECTOR_BYTES..(offset + len).div_ceil(SECTOR_BYTES)
}

fn write(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

/// The part of `bytes`, written at `offset`, that falls into `sector`: where, and what.
fn in_sector(offset: usize, bytes: &[u8], sector: usize) -> (usize, &[u8]) {
    let from = (sector * SECTOR_BYTES).max(offset);
    let to = ((sector + 1) * SECTOR_BYTES).min(offset + bytes.len());
    (from, &bytes[from - offset..to - offset])
}

impl FileBytes {
    pub(super) fn len(&self) -> usize {
        self.cur.len()
    }

    /// Bytes that the file takes, whichever state a power cut would leave.
    pub(super) fn extent(&self) -> u64 {
        self.cur.len().max(self.durable.len()) as u64
    }

    /// A write through the page cache.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        write(&mut self.cur, offset, bytes);
        for sector in sectors(offset, bytes.len()) {
            self.dirty.insert(sector);
            self.lost.remove(&sector);
        }
    }

    /// Those sectors of a durable write for which `reaches` says so get to the medium.
    pub(super) fn write_durable(
        &mut self,
        offset: usize,
        bytes: &[u8],
        mut reaches: impl FnMut(usize) -> bool,
    ) {
        for sector in sectors(offset, bytes.len()) {
            if reaches(sector) {
                let (at, part) = in_sector(offset, bytes, sector);
                write(&mut self.cur, at, part);
                write(&mut self.durable, at, part);
                self.dirty.remove(&sector);
                self.lost.remove(&sector);
            }
        }
    }

    /// Those sectors of a write for which `reaches` says so get into the page cache.
    pub(super) fn write_some(&mut self, offset: usize, bytes: &[u8], mut reaches: impl FnMut(usize) -> bool) {
        for sector in sectors(offset, bytes.len()) {
            if reaches(sector) {
                let (at, part) = in_sector(offset, bytes, sector);
                self.write(at, part);
            }
        }
    }

    /// Reads what processes see, or, from the device, what is there once the kernel has written its dirty pages: after a
    /// failed sync the two differ.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8], from_device: bool) -> usize {
        let Some(rest) = self.cur.get(offset..) else { return 0 };
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        if from_device && !self.lost.is_empty() {
            for sector in sectors(offset, len).filter(|s| self.lost.contains(s)) {
                let from = (sector * SECTOR_BYTES).max(offset);
                let to = ((sector + 1) * SECTOR_BYTES).min(offset + len);
                for at in from..to {
                    buf[at - offset] = self.durable.get(at).copied().unwrap_or(0);
                }
            }
        }
        len
    }

    /// What is on the medium.
    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Whether a read from the device finds `bytes` at `offset`.
    pub(super) fn holds(&self, offset: usize, bytes: &[u8]) -> bool {
        if self.lost.is_empty() {
            return self.cur.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
        }
        let mut buf = vec![0; bytes.len()];
        self.read(offset, &mut buf, true) == bytes.len() && buf == bytes
    }

    /// Sectors of `bytes`, written at `offset`, that are on the device.
    pub(super) fn sectors_held(&self, offset: usize, bytes: &[u8]) -> usize {
        let held = |(place, sector): (usize, &[u8])| self.holds(offset + place * SECTOR_BYTES, sector);
        bytes.chunks(SECTOR_BYTES).enumerate().filter(|sector| held(*sector)).count()
    }

    /// The byte at `at`, if it is on the medium and nothing newer waits to take its place.
    pub(super) fn settled(&self, at: usize) -> Option<u8> {
        let sector = at / SECTOR_BYTES;
        let settled = !self.dirty.contains(&sector) && !self.lost.contains(&sector);
        self.durable.get(at).copied().filter(|_| settled && at < self.cur.len())
    }

    /// The kernel has written back the sector of the byte at `at`, without being asked.
    pub(super) fn write_back(&mut self, at: usize) {
        let sector = at / SECTOR_BYTES;
        if self.dirty.remove(&sector) {
            let from = sector * SECTOR_BYTES;
            let to = (from + SECTOR_BYTES).min(self.cur.len());
            write(&mut self.durable, from, &self.cur[from..to]);
        }
    }

    /// The byte at `at` as a process reads it.
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.cur.get(at).copied()
    }

    /// The medium decays: the byte at `at` reads `byte` from now on.
    pub(super) fn decay(&mut self, at: usize, byte: u8) {
        for image in [&mut self.cur, &mut self.durable] {
            if let Some(place) = image.get_mut(at) {
                *place = byte;
            }
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.cur.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR_BYTES;
            let to = (from + SECTOR_BYTES).min(self.cur.len());
            self.durable[from..to].copy_from_slice(&self.cur[from..to]);
        }
    }

    /// A sync that failed: some sectors reached the medium, and the kernel takes the others for written too.
    pub(super) fn fail_sync(&mut self, mut reaches: impl FnMut(usize) -> bool) {
        let dirty = std::mem::take(&mut self.dirty);
        let (written, lost): (BTreeSet<_>, BTreeSet<_>) =
            dirty.into_iter().partition(|sector| reaches(*sector));
        self.dirty = written;
        let lost_tail = std::mem::take(&mut self.lost);
        self.sync();
        self.lost = lost_tail;
        self.lost.extend(lost);
    }

    /// The power fails: of the dirty sectors those survive for which `survives` says so. Returns how many did and did not.
    pub(super) fn lose_power(&mut self, mut survives: impl FnMut(usize) -> bool) -> (u64, u64) {
        let (mut kept, mut gone) = (0, 0);
        for sector in std::mem::take(&mut self.dirty) {
            if survives(sector) {
                let from = sector * SECTOR_BYTES;
                let to = (from + SECTOR_BYTES).min(self.cur.len());
                write(&mut self.durable, from, &self.cur[from..to]);
                kept += 1;
            } else {
                gone += 1;
            }
        }
        if kept + gone > 0 || self.cur.len() != self.durable.len() || !self.lost.is_empty() {
            self.cur.clone_from(&self.durable);
        }
        self.lost.clear();
        (kept, gone)
    }
}
