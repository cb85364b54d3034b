//! The only `unsafe` of the workspace: maps of files.
#![expect(unsafe_code, reason = "mapping a file is unsafe: another process could shorten it under the map")]

use std::fs::File;

use memmap2::{Advice, Mmap, MmapMut, MmapOptions};

/// Whoever reads so much goes on to what lies behind: a log that is applied, or sent, entry by entry. A call to the system costs little
/// beside it.
const READ_AHEAD_FROM_BYTES: usize = 64 << 10;
/// So much is asked for at a time, whenever less than half of it is left.
const READ_AHEAD_BYTES: usize = 8 << 20;

/// A file mapped for reading. It never changes while it is mapped: a sealed segment.
pub(crate) struct ReadMap {
    map: Mmap,
    /// What lies before has been asked for.
    asked_to: usize,
}

impl ReadMap {
    pub(crate) fn open(file: &File) -> std::io::Result<Self> {
        // SAFETY: sealed segments are neither written nor shortened, and the folder is locked against a second node. If
        // an operator cuts one all the same, the access raises SIGBUS and ends the process: no wrong byte is read.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self { map, asked_to: 0 })
    }

    /// Copies from `offset` to `buf`; returns the bytes copied.
    pub(crate) fn read(&mut self, offset: u64, buf: &mut [u8]) -> usize {
        if buf.len() >= READ_AHEAD_FROM_BYTES {
            self.read_ahead((offset as usize).saturating_add(buf.len()));
        }
        let rest = self.map.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
    }

    /// Asks the system for what lies behind `end`, without waiting for it. Where it cannot do that, the next read waits.
    fn read_ahead(&mut self, end: usize) {
        if !(end..=end.saturating_add(READ_AHEAD_BYTES)).contains(&self.asked_to) {
            self.asked_to = end;
        }
        let len = READ_AHEAD_BYTES.min(self.map.len().saturating_sub(self.asked_to));
        if len > 0 && self.asked_to - end < READ_AHEAD_BYTES / 2 {
            self.map.advise_range(Advice::WillNeed, self.asked_to, len).ok();
            self.asked_to += len;
        }
    }
}

/// A segment mapped for writing.
pub(crate) struct WriteMap(MmapMut);

impl WriteMap {
    pub(crate) fn open(file: &File) -> std::io::Result<Self> {
        // SAFETY: only this process writes the file, which is locked and never shortened while it is in use; it was
        // filled to its full length before, so that no page lies behind its end. The map is private to this struct.
        let map = unsafe { MmapOptions::new().map_mut(file)? };
        // A store dirties the whole folio it falls into: without readahead the kernel brings in single pages.
        map.advise(Advice::Random)?;
        Ok(Self(map))
    }

    /// Stores `bytes` at `offset`; `false` if that is outside the file.
    #[must_use]
    pub(crate) fn store(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let offset = offset as usize;
        let place = offset.checked_add(bytes.len()).and_then(|end| self.0.get_mut(offset..end));
        let Some(place) = place else { return false };
        place.copy_from_slice(bytes);
        true
    }
}
