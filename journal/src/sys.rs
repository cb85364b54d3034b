//! The only `unsafe` of the workspace: maps of files.
#![expect(unsafe_code, reason = "mapping a file is unsafe: another process could shorten it under the map")]

use std::fs::File;

use memmap2::{Advice, Mmap, MmapMut, MmapOptions};

/// A file mapped for reading. It never changes while it is mapped: a sealed segment.
pub(crate) struct ReadMap(Mmap);

impl ReadMap {
    pub(crate) fn open(file: &File) -> std::io::Result<Self> {
        // SAFETY: sealed segments are neither written nor shortened, and the folder is locked against a second node. If
        // an operator cuts one all the same, the access raises SIGBUS and ends the process: no wrong byte is read.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(map))
    }

    /// Copies from `offset` to `buf`; returns the bytes copied.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
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
