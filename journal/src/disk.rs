//! The one seam of the data path: [`Disk`] is the real disk ([`crate::FileDisk`]) or the simulated one.
//!
//! What must be durable on the request's path is submitted and polled, one write in flight, so that a simulator sees
//! the moment in between. Everything else is a plain call.

use std::fmt;
use std::sync::Arc;

use crate::AlignedBuf;

/// A folder of a node's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dir {
    /// The folder itself: `meta`, `lock`.
    Root,
    /// `j/`: segments.
    Journal,
    /// `snap/`: snapshots.
    Snapshots,
    /// `outbox/`: outputs of sessions, derived.
    Outbox,
}

impl Dir {
    /// Its path below the folder of the data; empty for the root.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Journal => "j",
            Self::Snapshots => "snap",
            Self::Outbox => "outbox",
        }
    }
}

/// A file: its folder and its name in it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRef {
    /// The folder.
    pub dir: Dir,
    /// The name in it, without a separator.
    pub name: Arc<str>,
}

impl FileRef {
    /// The file `name` in `dir`.
    pub fn new(dir: Dir, name: impl Into<Arc<str>>) -> Self {
        Self { dir, name: name.into() }
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dir == Dir::Root {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.dir.path(), self.name)
        }
    }
}

/// What a disk was asked to do when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the call of that name")]
pub enum DiskOperation {
    List,
    Len,
    Read,
    Write,
    Sync,
    Rename,
    Remove,
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCause {
    /// No space left, or a quota is used up.
    NoSpace,
    /// There is no such file.
    NotFound,
    /// Fewer bytes were written than asked for, without an error.
    Short {
        /// Bytes asked for.
        expected: usize,
        /// Bytes done.
        done: usize,
    },
    /// What was read is not what was written.
    Damaged,
    /// The operating system's error number.
    Os(i32),
}

/// A disk did not do what it was asked. Whether that is fatal is the caller's to know: for the journal and `meta` it is
/// ([`crate::JournalFault`]), for spares, snapshots and the outbox it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFault {
    /// What was asked.
    pub operation: DiskOperation,
    /// Of which file; for a folder the file's name is empty.
    pub file: FileRef,
    /// Why not.
    pub cause: DiskCause,
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} failed: ", self.operation, self.file)?;
        match self.cause {
            DiskCause::NoSpace => f.write_str("no space left"),
            DiskCause::NotFound => f.write_str("no such file"),
            DiskCause::Damaged => f.write_str("what is there is not what was written"),
            DiskCause::Short { expected, done } => write!(f, "{done} of {expected} bytes"),
            DiskCause::Os(errno) => std::io::Error::from_raw_os_error(errno).fmt(f),
        }
    }
}

impl std::error::Error for DiskFault {}

/// Where a read may take its bytes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// From the device where the file system allows it: recovery asks what is on disk, and after a failed sync the page
    /// cache shows what is not.
    Device,
    /// From memory if it is there: bytes that this process knows to be durable.
    Cache,
    /// The same of a file that does not change any more: it may be mapped.
    Sealed,
}

/// One durable write. Offset and length are multiples of [`protocol::limits::BLOCK_ALIGN`].
#[derive(Clone, Debug)]
pub struct BlockWrite {
    /// Comes back with the completion.
    pub token: u64,
    /// The segment.
    pub file: FileRef,
    /// Where in it.
    pub offset: u64,
    /// The bytes; shared, because the journal serves reads from them while they are being written.
    pub bytes: Arc<AlignedBuf>,
    /// Whoever submits it does nothing else until it is durable: [`Disk::submit`] may return only then.
    pub is_awaited: bool,
}

/// A durable write has ended.
#[derive(Debug)]
pub struct Completion {
    /// That of the write.
    pub token: u64,
    /// Durable, or not: then what the disk holds there is unknown.
    pub result: Result<(), DiskFault>,
}

/// A segment to be written in the background before it is needed: `bytes` of the pattern of `nonce`, synced, renamed
/// into place, the folder synced ([`crate::segment::prefill`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Its name.
    pub file: FileRef,
    /// Its size.
    pub bytes: u64,
    /// The word it is filled with.
    pub nonce: u64,
}

/// A spare segment is there, or could not be made.
#[derive(Debug)]
pub struct SpareDone {
    /// Which one.
    pub spare: Spare,
    /// No space is the usual fault; nothing is lost by it, and it is asked for again.
    pub result: Result<(), DiskFault>,
}

/// A node's disk.
pub trait Disk {
    /// Names of the files in `dir`, in any order; none if the folder does not exist.
    ///
    /// # Errors
    /// [`DiskFault`], like all calls below.
    fn list(&mut self, dir: Dir) -> Result<Vec<String>, DiskFault>;
    /// Length of `file`; `None` if there is no such file.
    fn len(&mut self, file: &FileRef) -> Result<Option<u64>, DiskFault>;
    /// Reads from `offset` until `buf` is full or the file ends; returns the bytes read.
    fn read(
        &mut self,
        file: &FileRef,
        offset: u64,
        buf: &mut [u8],
        source: ReadFrom,
    ) -> Result<usize, DiskFault>;
    /// Writes all of `bytes` at `offset`; creates and lengthens the file. Durable only after [`Disk::sync`], and a new
    /// file only after [`Disk::sync_dir`].
    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault>;
    /// Makes what was written to `file` durable.
    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault>;
    /// Makes names in `dir` durable.
    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault>;
    /// Gives the file `from` the name `to`, in place of what had that name.
    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault>;
    /// Removes `file`; without a fault if there is none.
    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault>;

    /// Starts a durable write. At most one is in flight: the caller polls its completion first. Never blocks but for a write that is
    /// awaited.
    fn submit(&mut self, write: BlockWrite);
    /// The completion of the write in flight, if it has ended. Never blocks.
    fn poll(&mut self) -> Option<Completion>;
    /// Starts making a spare segment. At most one is being made.
    fn request_spare(&mut self, spare: Spare);
    /// The spare that was asked for, if it is made or has failed. Never blocks.
    fn poll_spare(&mut self) -> Option<SpareDone>;
}
