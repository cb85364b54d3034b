//! O_DIRECT and O_DSYNC: one call writes and syncs, past the page cache. Measured fastest, so the default.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::OFlags;

use super::{cause_of_errno, open, path_of, write_full};
use crate::AlignedBuf;
use crate::disk::{DiskCause, DiskOperation, FileRef};

#[derive(Default)]
pub(super) struct Direct {
    open: Option<(FileRef, OwnedFd)>,
}

impl Direct {
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
            Some(_) | None => open(&path_of(root, segment), OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC)
                .map_err(|e| failed(cause_of_errno(e)))?,
        };
        // Kept only if it worked: after a failed write nothing more is written.
        write_full(&fd, offset, bytes).map_err(failed)?;
        self.open = Some((segment.clone(), fd));
        Ok(())
    }
}
