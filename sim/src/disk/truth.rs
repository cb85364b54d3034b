//! What the disk has said to be durable, kept beside the images: what a process found later may be less only where the
//! medium decayed or the device lied, and the oracle can tell.

use journal::marks::LocalMark;
use journal::{BlockWrite, FileRef};
use protocol::frame::Frame;
use protocol::limits::BLOCK_HEADER_BYTES;

use super::SimDisk;

/// A durable write that ended well.
#[derive(Clone, Debug)]
pub struct Durable {
    /// The write.
    pub write: BlockWrite,
    /// How many before it were durable when it was begun.
    pub begun_behind: usize,
    /// Its file was removed, or set aside, since.
    pub removed: bool,
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(super) struct Truth {
    writes: Vec<Durable>,
    /// The write under way when the last life ended: it may have become whole, or not.
    pub(super) unsure: Option<BlockWrite>,
    /// How many were durable when the write under way was begun.
    pub(super) begun_behind: usize,
    /// The device has said of something that it is durable which was not.
    pub(super) lied: bool,
    /// Files that got another name.
    renames: u64,
}

impl Truth {
    /// A write is begun.
    pub(super) fn begun(&mut self) {
        self.begun_behind = self.writes.len();
    }

    /// The write that was begun last is durable.
    pub(super) fn durable(&mut self, write: BlockWrite) {
        self.writes.push(Durable { write, begun_behind: self.begun_behind, removed: false });
    }

    /// The durable block that is the `nth` from the end, counted from 1.
    pub(super) fn newest(&self, nth: usize) -> Option<BlockWrite> {
        let blocks = self.writes.iter().filter(|durable| !durable.removed && durable.write.offset > 0);
        blocks.rev().nth(nth - 1).map(|durable| durable.write.clone())
    }

    /// `from` has another name now: what was written under the old one is not looked for there.
    pub(super) fn renamed(&mut self, from: &FileRef) {
        self.renames += 1;
        self.removed(from);
    }

    pub(super) fn removed(&mut self, file: &FileRef) {
        self.writes.iter_mut().filter(|durable| durable.write.file == *file).for_each(|d| d.removed = true);
    }
}

/// Whether a block voids entries of the log before it.
pub(super) fn truncates(write: &BlockWrite) -> bool {
    let mut rest = write.bytes.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
    while let Ok(frame) = Frame::read(rest) {
        if let Some(LocalMark::Truncate { .. }) = LocalMark::read(&frame) {
            return true;
        }
        rest = rest.get(frame.bytes.len()..).unwrap_or_default();
    }
    false
}

impl SimDisk {
    /// Durable writes from number `from` on.
    #[must_use]
    pub fn durable_writes(&self, from: usize) -> Vec<Durable> {
        let state = self.0.borrow();
        state.truth.writes.get(from..).unwrap_or_default().to_vec()
    }

    /// Those durable writes that a read from the device does not find any more.
    #[must_use]
    pub fn damaged_writes(&self) -> Vec<BlockWrite> {
        let state = self.0.borrow();
        let kept = state.truth.writes.iter().filter(|durable| !durable.removed);
        kept.filter(|durable| !state.holds(&durable.write)).map(|durable| durable.write.clone()).collect()
    }

    /// Sectors that are there of the write that was under way when the last life ended, and all of its sectors.
    #[must_use]
    pub fn unsure_sectors(&self) -> Option<(usize, usize)> {
        let state = self.0.borrow();
        let write = state.truth.unsure.as_ref()?;
        let contents = state.names.get(&write.file).and_then(|inode| state.files.get(&inode))?;
        let held = contents.sectors_held(write.offset as usize, &write.bytes);
        Some((held, write.bytes.len() / journal::segment::SECTOR_BYTES))
    }

    /// A process has recovered, and counts what it has found: so does the write that was under way, if it is whole.
    pub fn settle(&self) {
        self.0.borrow_mut().settle();
    }

    /// How often a file got another name.
    #[must_use]
    pub fn renames(&self) -> u64 {
        self.0.borrow().truth.renames
    }

    /// Whether the device has lied about anything.
    #[must_use]
    pub fn has_lied(&self) -> bool {
        self.0.borrow().truth.lied
    }
}

impl super::State {
    fn settle(&mut self) {
        if let Some(write) = self.truth.unsure.take()
            && self.holds(&write)
        {
            self.truth.durable(write);
        }
    }

    /// `file` was synced, and in it the write that was under way when an earlier process died, if it is there as a whole.
    pub(super) fn settle_synced(&mut self, file: &FileRef) {
        if self.truth.unsure.as_ref().is_some_and(|write| write.file == *file) {
            self.settle();
        }
    }

    fn holds(&self, write: &BlockWrite) -> bool {
        let contents = self.names.get(&write.file).and_then(|inode| self.files.get(&inode));
        contents.is_some_and(|contents| contents.holds(write.offset as usize, &write.bytes))
    }
}
