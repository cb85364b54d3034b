//! The three ways to a durable write, and the test which of them a file system knows.

use std::path::Path;

use super::direct::Direct;
use super::mapped::Mapped;
use super::plain::Plain;
use super::{WriterKind, open, path_of, write_full};
use crate::AlignedBuf;
use crate::disk::{Dir, DiskFault, DiskOperation, FileRef};
use protocol::limits::BLOCK_ALIGN;
use rustix::fs::OFlags;

/// Makes blocks durable, one after the other. Each keeps the segment it wrote to last open.
pub(super) enum Writer {
    Direct(Direct),
    Mapped(Mapped),
    Plain(Plain),
}

impl Writer {
    pub(super) fn new(kind: WriterKind) -> Self {
        match kind {
            WriterKind::Direct => Self::Direct(Direct::default()),
            WriterKind::Mapped => Self::Mapped(Mapped::default()),
            WriterKind::Plain => Self::Plain(Plain::default()),
        }
    }

    /// Returns when `bytes` are durable at `offset` of `file`, which is long enough.
    pub(super) fn write(
        &mut self,
        root: &Path,
        file: &FileRef,
        offset: u64,
        bytes: &AlignedBuf,
    ) -> Result<(), DiskFault> {
        let done = match self {
            Self::Direct(direct) => direct.write(root, file, offset, bytes),
            Self::Mapped(mapped) => mapped.write(root, file, offset, bytes),
            Self::Plain(plain) => plain.write(root, file, offset, bytes),
        };
        done.map_err(|(operation, cause)| DiskFault { operation, file: file.clone(), cause })
    }

    /// Tries one write in a file of its own.
    pub(super) fn probe(mut self, root: &Path) -> Result<(), DiskFault> {
        let file = probe_file();
        let zeros = AlignedBuf::zeroed(BLOCK_ALIGN);
        let failed = |cause| DiskFault { operation: DiskOperation::Write, file: file.clone(), cause };
        let path = path_of(root, &file);
        let made = open(&path, OFlags::RDWR | OFlags::CREATE);
        let made = made.map_err(|errno| failed(super::cause_of_errno(errno)))?;
        write_full(&made, 0, &zeros).map_err(failed)?;
        self.write(root, &file, 0, &zeros)
    }
}

pub(super) fn probe_file() -> FileRef {
    FileRef::new(Dir::Journal, "probe.tmp")
}
