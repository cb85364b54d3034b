//! O_DIRECT and O_DSYNC: one call writes and syncs, past the page cache. Measured fastest, so the default.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{cause_of_errno, open, write_full};
use crate::AlignedBuf;
use crate::disk::{DiskCause, DiskOperation};

#[derive(Default)]
pub(super) struct Direct {
    open: Option<(PathBuf, OwnedFd)>,
}

impl Direct {
    pub(super) fn write(
        &mut self,
        path: &Path,
        offset: u64,
        bytes: &AlignedBuf,
    ) -> Result<(), (DiskOperation, DiskCause)> {
        let failed = |cause| (DiskOperation::Write, cause);
        let fd = match self.open.take() {
            Some((open, fd)) if open == path => fd,
            Some(_) | None => open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC)
                .map_err(|e| failed(cause_of_errno(e)))?,
        };
        // Kept only if it worked: after a failed write nothing more is written.
        write_full(&fd, offset, bytes).map_err(failed)?;
        self.open = Some((path.to_owned(), fd));
        Ok(())
    }
}
