//! Stores into a map of the segment, then fdatasync.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::{cause_of, cause_of_errno, path_of};
use crate::AlignedBuf;
use crate::disk::{DiskCause, DiskOperation, FileRef};
use crate::sys::WriteMap;

#[derive(Default)]
pub(super) struct Mapped {
    open: Option<(FileRef, File, WriteMap)>,
}

impl Mapped {
    pub(super) fn write(
        &mut self,
        root: &Path,
        segment: &FileRef,
        offset: u64,
        bytes: &AlignedBuf,
    ) -> Result<(), (DiskOperation, DiskCause)> {
        let failed = |error: std::io::Error| (DiskOperation::Write, cause_of(&error));
        let (file, mut map) = match self.open.take() {
            Some((open, file, map)) if open == *segment => (file, map),
            Some(_) | None => {
                let file =
                    OpenOptions::new().read(true).write(true).open(path_of(root, segment)).map_err(failed)?;
                let map = WriteMap::open(&file).map_err(failed)?;
                (file, map)
            }
        };
        if !map.store(offset, bytes) {
            return Err((DiskOperation::Write, DiskCause::Short { expected: bytes.len(), done: 0 }));
        }
        rustix::fs::fdatasync(&file).map_err(|e| (DiskOperation::Sync, cause_of_errno(e)))?;
        self.open = Some((segment.clone(), file, map));
        Ok(())
    }
}
