//! A real disk whose process dies: after a number of operations that change something, all fail.

use std::cell::Cell;
use std::rc::Rc;

use journal::disk::DiskOperation;
use journal::{
    BlockWrite, Completion, Dir, Disk, DiskCause, DiskFault, FileDisk, FileRef, ReadFrom, Spare, SpareDone,
};

/// All handles of a disk share the count.
pub(crate) struct Crashing {
    inner: FileDisk,
    left: Rc<Cell<u64>>,
    failed_write: Option<Completion>,
}

impl Crashing {
    pub(crate) fn new(inner: FileDisk, operations: u64) -> Self {
        Self { inner, left: Rc::new(Cell::new(operations)), failed_write: None }
    }

    pub(crate) fn beside(&self) -> Self {
        Self { inner: self.inner.beside(), left: Rc::clone(&self.left), failed_write: None }
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
        self.inner.read(file, offset, buf, source)
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
        match self.count(DiskOperation::Write, &write.file) {
            Ok(()) => self.inner.submit(write),
            Err(fault) => self.failed_write = Some(Completion { token: write.token, result: Err(fault) }),
        }
    }

    fn poll(&mut self) -> Option<Completion> {
        self.failed_write.take().or_else(|| self.inner.poll())
    }

    fn request_spare(&mut self, spare: Spare) {
        self.inner.request_spare(spare);
    }

    fn poll_spare(&mut self) -> Option<SpareDone> {
        self.inner.poll_spare()
    }
}
