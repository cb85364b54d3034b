//! A real disk whose process dies: after a number of operations that change something, all fail.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use journal::disk::DiskOperation;
use journal::{
    BlockWrite, Completion, Dir, Disk, DiskCause, DiskFault, FileDisk, FileRef, ReadFrom, Spare, SpareDone,
};

/// All handles of a disk share the count.
pub(crate) struct Crashing {
    inner: FileDisk,
    left: Rc<Cell<u64>>,
    mood: Rc<Cell<Mood>>,
    /// Whether the last block was awaited.
    awaited: Rc<Cell<bool>>,
    failed_write: Option<Completion>,
    makes_segment: bool,
}

/// What else is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// There is no room for further segments.
    Full,
    /// Blocks that are submitted are not answered.
    Hangs,
    /// A segment that is being made is never done.
    MakesNoSegment,
    /// What is read of the journal is not what was written.
    Garbles,
}

impl Crashing {
    pub(crate) fn new(inner: FileDisk, operations: u64) -> Self {
        Self {
            inner,
            left: Rc::new(Cell::new(operations)),
            mood: Rc::default(),
            awaited: Rc::default(),
            failed_write: None,
            makes_segment: false,
        }
    }

    pub(crate) fn beside(&self) -> Self {
        Self {
            inner: self.inner.beside(),
            left: Rc::clone(&self.left),
            mood: Rc::clone(&self.mood),
            awaited: Rc::clone(&self.awaited),
            failed_write: None,
            makes_segment: false,
        }
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.mood.set(mood);
    }

    pub(crate) fn hangs(&self) -> bool {
        self.mood.get() == Mood::Hangs
    }

    pub(crate) fn last_was_awaited(&self) -> bool {
        self.awaited.get()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.left.get() == 0
    }

    fn count(&self, operation: DiskOperation, file: &FileRef) -> Result<(), DiskFault> {
        let left = self.left.get();
        if left == 0 {
            return Err(DiskFault { operation, file: file.clone(), cause: DiskCause::Os(5) });
        }
        self.left.set(left - 1);
        Ok(())
    }
}

impl Disk for Crashing {
    fn list(&mut self, dir: Dir) -> Result<Vec<String>, DiskFault> {
        self.inner.list(dir)
    }

    fn len(&mut self, file: &FileRef) -> Result<Option<u64>, DiskFault> {
        self.inner.len(file)
    }

    fn read(
        &mut self,
        file: &FileRef,
        offset: u64,
        buf: &mut [u8],
        source: ReadFrom,
    ) -> Result<usize, DiskFault> {
        let read = self.inner.read(file, offset, buf, source)?;
        if self.mood.get() == Mood::Garbles && file.dir == Dir::Journal && read > 0 {
            buf[read / 2] ^= 1;
        }
        Ok(read)
    }

    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let counted = self.count(DiskOperation::Write, file);
        // The last write is a part of what it should be.
        let done = if counted.is_ok() && self.has_failed() { bytes.len() / 2 } else { bytes.len() };
        counted.and_then(|()| self.inner.write_at(file, offset, &bytes[..done]))
    }

    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.count(DiskOperation::Sync, file)?;
        self.inner.sync(file)
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault> {
        self.count(DiskOperation::Sync, &FileRef::new(dir, ""))?;
        self.inner.sync_dir(dir)
    }

    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault> {
        self.count(DiskOperation::Rename, from)?;
        self.inner.rename(from, to)
    }

    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.count(DiskOperation::Remove, file)?;
        self.inner.remove(file)
    }

    fn submit(&mut self, write: BlockWrite) {
        self.awaited.set(write.is_awaited);
        match self.count(DiskOperation::Write, &write.file) {
            Ok(()) => self.inner.submit(write),
            Err(fault) => self.failed_write = Some(Completion { token: write.token, result: Err(fault) }),
        }
    }

    fn poll(&mut self) -> Option<Completion> {
        if self.hangs() {
            return None;
        }
        self.failed_write.take().or_else(|| self.inner.poll())
    }

    fn request_spare(&mut self, spare: Spare) {
        self.makes_segment = true;
        self.inner.request_spare(spare);
    }

    fn poll_spare(&mut self) -> Option<SpareDone> {
        if self.mood.get() == Mood::MakesNoSegment || !self.makes_segment {
            return None;
        }
        // The clock of the tests is not the disk's: a busy machine makes a segment in no time, too.
        let done = loop {
            self.inner.wait_spare(Duration::from_secs(1));
            if let Some(done) = self.inner.poll_spare() {
                break done;
            }
        };
        self.makes_segment = false;
        if self.mood.get() != Mood::Full {
            return Some(done);
        }
        let (operation, file) = (DiskOperation::Write, done.spare.file.clone());
        self.inner.remove(&file).unwrap();
        let result = Err(DiskFault { operation, file, cause: DiskCause::NoSpace });
        Some(SpareDone { result, ..done })
    }
}
