//! The real disk: a folder that is locked, one thread that makes writes durable and one that makes spare segments.
//!
//! ```text
//! DIR/lock                          flock; holds the owner's process id
//! DIR/meta                          crate::meta
//! DIR/j/{epoch:08x}-{segno:010}.seg crate::segment
//! DIR/snap/…                        crate::snapshot_file
//! DIR/outbox/…                      crate::outbox
//! ```

mod direct;
mod mapped;
mod plain;
mod worker;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::limits::BLOCK_ALIGN;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::disk::{
    BlockWrite, Completion, Dir, Disk, DiskCause, DiskFault, DiskOperation, FileRef, ReadFrom, Spare,
    SpareDone,
};
use crate::sys::ReadMap;
use crate::{AlignedBuf, segment};
use worker::Worker;
use writer::Writer;

/// How bytes become durable; the format on disk is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriterKind {
    /// O_DIRECT and O_DSYNC: the write is the sync, and its error belongs to it.
    #[default]
    Direct,
    /// Stores into a map, then fdatasync.
    Mapped,
    /// pwrite, then fdatasync: where the file system knows no direct writes.
    Plain,
}

impl std::fmt::Display for WriterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Mapped => "mapped",
            Self::Plain => "plain",
        })
    }
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderFault {
    /// Another process holds it.
    #[error("{} is in use by another process{}", dir.display(), owner.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Its process id, as it wrote it down.
        owner: Option<u32>,
    },
    /// It cannot be made, read or written.
    #[error("{}: {fault}", dir.display())]
    Disk {
        /// The folder.
        dir: PathBuf,
        /// Why.
        fault: DiskFault,
    },
}

/// A folder of the operating system. Its threads start with the first write and the first spare.
pub struct FileDisk {
    root: PathBuf,
    lock: Arc<OwnedFd>,
    files: BTreeMap<FileRef, Handles>,
    kind: WriterKind,
    fell_back: Option<DiskFault>,
    writer: Option<Worker<BlockWrite, Completion>>,
    spare_maker: Option<Worker<Spare, SpareDone>>,
    waker: Option<Waker>,
    bounce: AlignedBuf,
}

/// Called by the disk's threads when something has ended.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Files opened at a time; above that all are closed and opened again when wanted.
const FILES_OPEN_MAX: usize = 64;
/// Bytes that a read which is not aligned goes through at a time.
const BOUNCE_BYTES: usize = 64 << 10;

#[derive(Default)]
struct Handles {
    plain: Option<OwnedFd>,
    /// `Some(None)`: the file system knows no direct reads.
    direct: Option<Option<OwnedFd>>,
    map: Option<ReadMap>,
}

impl FileDisk {
    /// Opens `dir`, made if it does not exist, and locks it. Falls back to [`WriterKind::Plain`] where the file system
    /// does not know `writer`: [`Self::fell_back`]. On a full disk the writer is taken untried.
    ///
    /// # Errors
    /// [`FolderFault`], also for any other fault of the trial: a passing one must not slow the whole life of the process.
    pub fn open(dir: &Path, writer: WriterKind) -> Result<Self, FolderFault> {
        let disk = |operation, file: &str, error: &std::io::Error| FolderFault::Disk {
            dir: dir.to_owned(),
            fault: DiskFault { operation, file: FileRef::new(Dir::Root, file), cause: cause_of(error) },
        };
        for folder in [Dir::Root, Dir::Journal, Dir::Snapshots, Dir::Outbox] {
            std::fs::create_dir_all(dir.join(folder.path()))
                .map_err(|error| disk(DiskOperation::Write, folder.path(), &error))?;
        }
        let lock = lock(dir).map_err(|error| disk(DiskOperation::Write, "lock", &error))?;
        let lock = lock.ok_or_else(|| FolderFault::Locked { dir: dir.to_owned(), owner: owner_of(dir) })?;
        let mut opened = Self::with(dir.to_owned(), Arc::new(lock), writer);
        let probed = Writer::new(writer).probe(&opened.root);
        let in_folder = |fault| FolderFault::Disk { dir: dir.to_owned(), fault };
        opened.remove_probe().map_err(in_folder)?;
        match probed {
            Ok(()) => {}
            Err(fault) if is_unsupported(fault.cause) => {
                opened.fell_back = Some(fault);
                opened.kind = WriterKind::Plain;
            }
            // Says nothing about the writer, and the segments have their space already.
            Err(DiskFault { cause: DiskCause::NoSpace, .. }) => {}
            Err(fault) => return Err(in_folder(fault)),
        }
        Ok(opened)
    }

    fn with(root: PathBuf, lock: Arc<OwnedFd>, kind: WriterKind) -> Self {
        Self {
            root,
            lock,
            files: BTreeMap::new(),
            kind,
            fell_back: None,
            writer: None,
            spare_maker: None,
            waker: None,
            bounce: AlignedBuf::with_capacity(BOUNCE_BYTES),
        }
    }

    /// A second handle on the same locked folder: for a thread that writes snapshots while this one writes the journal.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::with(self.root.clone(), Arc::clone(&self.lock), self.kind)
    }

    /// Calls `waker` from the disk's threads whenever a write or a spare has ended, so that a loop that sleeps in its
    /// poller comes back. Set it before the first write.
    pub fn set_waker(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }

    /// The writer in use.
    #[must_use]
    pub fn writer(&self) -> WriterKind {
        self.kind
    }

    /// Why the writer that was asked for is not in use.
    #[must_use]
    pub fn fell_back(&self) -> Option<&DiskFault> {
        self.fell_back.as_ref()
    }

    /// For a caller with nothing else to do: blocks until a completion can be polled, `timeout` is over, or nothing is in
    /// flight. A write that its thread has not begun yet is done here.
    pub fn wait(&mut self, timeout: Duration) {
        if let Some(writer) = &self.writer {
            writer.help(timeout);
        }
    }

    /// Blocks until a spare can be polled, `timeout` is over, or none is being made.
    pub fn wait_spare(&mut self, timeout: Duration) {
        if let Some(maker) = &self.spare_maker {
            maker.wait(timeout);
        }
    }

    fn remove_probe(&mut self) -> Result<(), DiskFault> {
        self.remove(&writer::probe_file())
    }

    fn plain(
        &mut self,
        file: &FileRef,
        operation: DiskOperation,
        create: bool,
    ) -> Result<&OwnedFd, DiskFault> {
        let path = path_of(&self.root, file);
        let handles = handles(&mut self.files, file);
        if handles.plain.is_none() {
            let flags = if create { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDWR };
            handles.plain = Some(open(&path, flags).map_err(|errno| fault(operation, file, errno))?);
        }
        handles.plain.as_ref().ok_or_else(|| fault(operation, file, Errno::BADF))
    }

    fn direct(&mut self, file: &FileRef) -> Result<Option<&OwnedFd>, DiskFault> {
        let path = path_of(&self.root, file);
        let handles = handles(&mut self.files, file);
        if handles.direct.is_none() {
            handles.direct = Some(match open(&path, OFlags::RDONLY | OFlags::DIRECT) {
                Ok(fd) => Some(fd),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => None,
                Err(errno) => return Err(fault(DiskOperation::Read, file, errno)),
            });
        }
        Ok(handles.direct.as_ref().and_then(Option::as_ref))
    }

    /// Reads by direct I/O: in place if everything is aligned, else through a buffer that is.
    fn read_device(&mut self, file: &FileRef, offset: u64, buf: &mut [u8]) -> Result<usize, DiskFault> {
        let align = BLOCK_ALIGN as u64;
        let aligned = offset.is_multiple_of(align)
            && buf.len().is_multiple_of(BLOCK_ALIGN)
            && buf.as_ptr().align_offset(BLOCK_ALIGN) == 0;
        let failed = |errno| fault(DiskOperation::Read, file, errno);
        if aligned {
            return match self.direct(file)? {
                Some(fd) => read_full(fd, offset, buf).map_err(failed),
                None => self.read_plain(file, offset, buf),
            };
        }
        let mut bounce = std::mem::replace(&mut self.bounce, AlignedBuf::with_capacity(0));
        bounce.resize(BOUNCE_BYTES);
        let mut done = 0;
        let result = loop {
            let at = offset + done as u64;
            let from = at - at % align;
            let skip = (at - from) as usize;
            match self.read_device(file, from, &mut bounce) {
                Ok(read) => {
                    let got = bounce.get(skip..read).unwrap_or_default();
                    let len = got.len().min(buf.len() - done);
                    buf[done..done + len].copy_from_slice(&got[..len]);
                    done += len;
                    if done == buf.len() || read < BOUNCE_BYTES {
                        break Ok(done);
                    }
                }
                Err(fault) => break Err(fault),
            }
        };
        self.bounce = bounce;
        result
    }

    fn read_plain(&mut self, file: &FileRef, offset: u64, buf: &mut [u8]) -> Result<usize, DiskFault> {
        let fd = self.plain(file, DiskOperation::Read, false)?;
        read_full(fd, offset, buf).map_err(|errno| fault(DiskOperation::Read, file, errno))
    }

    fn read_sealed(&mut self, file: &FileRef, offset: u64, buf: &mut [u8]) -> Result<usize, DiskFault> {
        let path = path_of(&self.root, file);
        let failed = |error: &std::io::Error| DiskFault {
            operation: DiskOperation::Read,
            file: file.clone(),
            cause: cause_of(error),
        };
        let handles = handles(&mut self.files, file);
        if handles.map.is_none() {
            let opened = File::open(&path).and_then(|file| ReadMap::open(&file));
            handles.map = Some(opened.map_err(|error| failed(&error))?);
        }
        Ok(handles.map.as_mut().map_or(0, |map| map.read(offset, buf)))
    }
}

impl Disk for FileDisk {
    fn list(&mut self, dir: Dir) -> Result<Vec<String>, DiskFault> {
        let failed = |error: std::io::Error| DiskFault {
            operation: DiskOperation::List,
            file: FileRef::new(dir, ""),
            cause: cause_of(&error),
        };
        let mut names = Vec::new();
        let entries = match std::fs::read_dir(self.root.join(dir.path())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_file() {
                // A name that is not text is none of ours.
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn len(&mut self, file: &FileRef) -> Result<Option<u64>, DiskFault> {
        match std::fs::metadata(path_of(&self.root, file)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let cause = cause_of(&error);
                Err(DiskFault { operation: DiskOperation::Len, file: file.clone(), cause })
            }
        }
    }

    fn read(
        &mut self,
        file: &FileRef,
        offset: u64,
        buf: &mut [u8],
        source: ReadFrom,
    ) -> Result<usize, DiskFault> {
        let read = match source {
            ReadFrom::Device => self.read_device(file, offset, buf),
            ReadFrom::Cache => self.read_plain(file, offset, buf),
            ReadFrom::Sealed => self.read_sealed(file, offset, buf),
        };
        if file.dir == Dir::Snapshots {
            // Not kept: another handle removes snapshots, and this one would hold their space.
            self.files.remove(file);
        }
        read
    }

    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let fd = self.plain(file, DiskOperation::Write, true)?;
        write_full(fd, offset, bytes).map_err(|cause| DiskFault {
            operation: DiskOperation::Write,
            file: file.clone(),
            cause,
        })
    }

    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        let failed = |errno| fault(DiskOperation::Sync, file, errno);
        if let Some(fd) = self.files.get(file).and_then(|handles| handles.plain.as_ref()) {
            return rustix::fs::fdatasync(fd).map_err(failed);
        }
        // Not kept: another handle may remove the file and make one of the same name, and this one would go on to sync the
        // first, and hold its space.
        let fd = open(&path_of(&self.root, file), OFlags::RDWR).map_err(failed)?;
        rustix::fs::fdatasync(fd).map_err(failed)
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault> {
        sync_folder(&self.root, dir)
    }

    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault> {
        self.files.remove(from);
        self.files.remove(to);
        std::fs::rename(path_of(&self.root, from), path_of(&self.root, to)).map_err(|error| DiskFault {
            operation: DiskOperation::Rename,
            file: from.clone(),
            cause: cause_of(&error),
        })
    }

    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.files.remove(file);
        match std::fs::remove_file(path_of(&self.root, file)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                let cause = cause_of(&error);
                Err(DiskFault { operation: DiskOperation::Remove, file: file.clone(), cause })
            }
        }
    }

    fn submit(&mut self, write: BlockWrite) {
        let (root, kind, waker) = (&self.root, self.kind, &self.waker);
        let worker = self.writer.get_or_insert_with(|| {
            let root = root.clone();
            let mut writer = Writer::new(kind);
            Worker::start("journal-writer", waker.clone(), move |write: BlockWrite| Completion {
                token: write.token,
                result: writer.write(&root, &write.file, write.offset, &write.bytes),
            })
        });
        if write.is_awaited { worker.ask_and_help(write) } else { worker.ask(write) }
    }

    fn poll(&mut self) -> Option<Completion> {
        self.writer.as_ref().and_then(Worker::poll)
    }

    fn request_spare(&mut self, spare: Spare) {
        let (root, kind, waker) = (&self.root, self.kind, &self.waker);
        let maker = self.spare_maker.get_or_insert_with(|| {
            let root = root.clone();
            Worker::start("journal-spares", waker.clone(), move |spare: Spare| SpareDone {
                result: make_spare(&root, kind, &spare),
                spare,
            })
        });
        maker.ask(spare);
    }

    fn poll_spare(&mut self) -> Option<SpareDone> {
        self.spare_maker.as_ref().and_then(Worker::poll)
    }
}

/// [`segment::prefill`] beside the journal's writes: directly where that works, so that the page cache stays theirs.
fn make_spare(root: &Path, kind: WriterKind, spare: &Spare) -> Result<(), DiskFault> {
    let unfinished = segment::unfinished(&spare.file);
    let result = fill_spare(root, kind, spare, &unfinished);
    if result.is_err() {
        // The space is wanted back. If that fails too, the next start removes it.
        std::fs::remove_file(path_of(root, &unfinished)).ok();
    }
    result
}

fn fill_spare(root: &Path, kind: WriterKind, spare: &Spare, unfinished: &FileRef) -> Result<(), DiskFault> {
    let failed = |operation| move |errno| fault(operation, unfinished, errno);
    let path = path_of(root, unfinished);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
    let direct = if kind == WriterKind::Plain { OFlags::empty() } else { OFlags::DIRECT };
    let fd =
        open(&path, flags | direct).or_else(|_| open(&path, flags)).map_err(failed(DiskOperation::Write))?;
    let mut step = AlignedBuf::zeroed(segment::PREFILL_STEP_BYTES);
    segment::fill(&mut step, spare.nonce);
    let mut written = 0;
    while written < spare.bytes {
        let len = step.len().min((spare.bytes - written) as usize);
        write_full(&fd, written, &step[..len]).map_err(|cause| DiskFault {
            operation: DiskOperation::Write,
            file: unfinished.clone(),
            cause,
        })?;
        written += len as u64;
        if written.is_multiple_of(segment::PREFILL_SYNC_BYTES) {
            rustix::fs::fdatasync(&fd).map_err(failed(DiskOperation::Sync))?;
        }
    }
    rustix::fs::fsync(&fd).map_err(failed(DiskOperation::Sync))?;
    sync_folder(root, spare.file.dir)?;
    rustix::fs::rename(&path, path_of(root, &spare.file)).map_err(failed(DiskOperation::Rename))?;
    sync_folder(root, spare.file.dir)
}

fn sync_folder(root: &Path, dir: Dir) -> Result<(), DiskFault> {
    let failed = |errno| fault(DiskOperation::Sync, &FileRef::new(dir, ""), errno);
    let fd = open(&root.join(dir.path()), OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
    rustix::fs::fsync(fd).map_err(failed)
}

/// The lock on `dir`, held as long as it is open; `None` if another process has it.
fn lock(dir: &Path) -> std::io::Result<Option<OwnedFd>> {
    let file = open(&dir.join("lock"), OFlags::RDWR | OFlags::CREATE)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let mut file = File::from(file);
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Some(file.into()))
}

fn owner_of(dir: &Path) -> Option<u32> {
    std::fs::read_to_string(dir.join("lock")).ok()?.trim().parse().ok()
}

fn handles<'a>(files: &'a mut BTreeMap<FileRef, Handles>, file: &FileRef) -> &'a mut Handles {
    if files.len() >= FILES_OPEN_MAX && !files.contains_key(file) {
        files.clear();
    }
    files.entry(file.clone()).or_default()
}

fn path_of(root: &Path, file: &FileRef) -> PathBuf {
    root.join(file.dir.path()).join(&*file.name)
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
}

fn read_full(fd: &OwnedFd, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buf.len() {
        match rustix::io::pread(fd, &mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        // A direct read that ends off a sector has met the end of the file.
        if !done.is_multiple_of(segment::SECTOR_BYTES) {
            break;
        }
    }
    Ok(done)
}

/// One call: a short write is a fault and not continued, because the second half could fail after the first is durable.
fn write_full(fd: &OwnedFd, offset: u64, bytes: &[u8]) -> Result<(), DiskCause> {
    loop {
        match rustix::io::pwrite(fd, bytes, offset) {
            Ok(done) if done == bytes.len() => return Ok(()),
            Ok(done) => return Err(DiskCause::Short { expected: bytes.len(), done }),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(cause_of_errno(errno)),
        }
    }
}

fn fault(operation: DiskOperation, file: &FileRef, errno: Errno) -> DiskFault {
    DiskFault { operation, file: file.clone(), cause: cause_of_errno(errno) }
}

fn cause_of_errno(errno: Errno) -> DiskCause {
    match errno {
        Errno::NOSPC | Errno::DQUOT => DiskCause::NoSpace,
        Errno::NOENT => DiskCause::NotFound,
        other => DiskCause::Os(other.raw_os_error()),
    }
}

/// What a file system answers to a kind of write that it does not know.
fn is_unsupported(cause: DiskCause) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|errno| cause == DiskCause::Os(errno.raw_os_error()))
}

fn cause_of(error: &std::io::Error) -> DiskCause {
    Errno::from_io_error(error).map_or(DiskCause::Os(0), cause_of_errno)
}
