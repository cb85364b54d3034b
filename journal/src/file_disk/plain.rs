//! pwrite, then fdatasync: works on every file system, and under a preloaded library that injects faults.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::OFlags;

use super::{cause_of_errno, open, path_of, write_full};
use crate::AlignedBuf;
use crate::disk::{DiskCause, DiskOperation, FileRef};

#[derive(Default)]
pub(super) struct Plain {
    open: Option<(FileRef, OwnedFd)>,
}

impl Plain {
    pub(super) fn write(
        &mut self,
        root: &Path,
        segment: &FileRef,
        offset: u64,
        bytes: &AlignedBuf,
    ) -> Result<(), (DiskOperation, DiskCause)> {
        let failed = |cause| (DiskOperation::Write, cause);
        let fd = match self.open.take() {
            Some((open, fd)) if open == *segment => fd,
            Some(_) | None => {
                open(&path_of(root, segment), OFlags::WRONLY).map_err(|e| failed(cause_of_errno(e)))?
            }
        };
        write_full(&fd, offset, bytes).map_err(failed)?;
        // A sync that fails is not tried again: the kernel may have dropped the dirty pages, and the next one succeeds.
        rustix::fs::fdatasync(&fd).map_err(|e| (DiskOperation::Sync, cause_of_errno(e)))?;
        self.open = Some((segment.clone(), fd));
        Ok(())
    }
}
