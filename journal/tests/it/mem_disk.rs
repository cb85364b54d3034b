//! A disk in memory that tells apart what a process sees and what survives a loss of power, and that ends each durable
//! write only when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use journal::disk::DiskOperation;
use journal::segment;
use journal::{BlockWrite, Completion, Dir, Disk, DiskCause, DiskFault, FileRef, ReadFrom, Spare, SpareDone};

pub(crate) type Files = BTreeMap<FileRef, Vec<u8>>;

/// Shared, so that a test keeps a handle while a journal has the disk.
#[derive(Clone, Default)]
pub(crate) struct MemDisk(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// What the process reads.
    live: Files,
    /// What is there after a loss of power. A rename and a removal are durable at once: tests of the order of syncs
    /// are the simulator's.
    durable: Files,
    in_flight: Option<BlockWrite>,
    completed: Option<Completion>,
    spare: Option<Spare>,
    /// Everything that was made durable by `submit`, in order.
    writes: Vec<BlockWrite>,
    /// Bytes that were read of each file since the last look.
    reads: BTreeMap<FileRef, usize>,
    /// The longest read of all.
    longest_read: usize,
    /// Fails with this from now on.
    broken: Option<DiskCause>,
    no_space: bool,
    /// The removal of this file fails.
    stuck: Option<FileRef>,
    /// The next list of its folder names this file, and then it is gone.
    vanishing: Option<FileRef>,
    /// Ends writes by itself at the next poll.
    manual: bool,
}

impl MemDisk {
    pub(crate) fn of(files: Files) -> Self {
        Self(Rc::new(RefCell::new(State { live: files.clone(), durable: files, ..State::default() })))
    }

    /// A machine whose page cache is ahead of its device.
    pub(crate) fn split(live: Files, durable: Files) -> Self {
        Self(Rc::new(RefCell::new(State { live, durable, ..State::default() })))
    }

    /// What is on disk if power is lost now, without the write in flight.
    pub(crate) fn after_power_loss(&self) -> Files {
        self.0.borrow().durable.clone()
    }

    /// What a new process reads if this one is killed now.
    pub(crate) fn after_kill(&self) -> Files {
        self.0.borrow().live.clone()
    }

    pub(crate) fn writes(&self) -> Vec<BlockWrite> {
        self.0.borrow().writes.clone()
    }

    /// Bytes that were read of each file since the last call.
    pub(crate) fn take_reads(&self) -> BTreeMap<FileRef, usize> {
        std::mem::take(&mut self.0.borrow_mut().reads)
    }

    /// Bytes of the longest read so far.
    pub(crate) fn longest_read(&self) -> usize {
        self.0.borrow().longest_read
    }

    pub(crate) fn in_flight(&self) -> Option<BlockWrite> {
        self.0.borrow().in_flight.clone()
    }

    pub(crate) fn set_manual(&self, manual: bool) {
        self.0.borrow_mut().manual = manual;
    }

    pub(crate) fn finish_write(&self) {
        self.0.borrow_mut().finish_write();
    }

    pub(crate) fn break_with(&self, cause: DiskCause) {
        self.0.borrow_mut().broken = Some(cause);
    }

    pub(crate) fn mend(&self) {
        self.0.borrow_mut().broken = None;
    }

    pub(crate) fn set_stuck(&self, stuck: Option<FileRef>) {
        self.0.borrow_mut().stuck = stuck;
    }

    /// Somebody else removes `file` right behind the next list of its folder.
    pub(crate) fn vanish(&self, file: FileRef) {
        self.0.borrow_mut().vanishing = Some(file);
    }

    pub(crate) fn set_no_space(&self, no_space: bool) {
        self.0.borrow_mut().no_space = no_space;
    }
}

impl State {
    fn finish_write(&mut self) {
        let Some(write) = self.in_flight.take() else { return };
        let result = match self.broken {
            Some(cause) => {
                Err(DiskFault { operation: DiskOperation::Write, file: write.file.clone(), cause })
            }
            None => {
                for files in [&mut self.live, &mut self.durable] {
                    store(files.get_mut(&write.file).expect("a segment"), write.offset, &write.bytes);
                }
                Ok(())
            }
        };
        self.completed = Some(Completion { token: write.token, result });
        self.writes.push(write);
    }

    fn check(&self, operation: DiskOperation, file: &FileRef) -> Result<(), DiskFault> {
        self.broken.map_or(Ok(()), |cause| Err(DiskFault { operation, file: file.clone(), cause }))
    }
}

pub(crate) fn store(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset as usize..end].copy_from_slice(bytes);
}

impl Disk for MemDisk {
    fn list(&mut self, dir: Dir) -> Result<Vec<String>, DiskFault> {
        let mut state = self.0.borrow_mut();
        let names = state.live.keys().filter(|file| file.dir == dir).map(|file| file.name.to_string());
        let names = names.collect();
        if let Some(file) = state.vanishing.take_if(|file| file.dir == dir) {
            state.live.remove(&file);
            state.durable.remove(&file);
        }
        Ok(names)
    }

    fn len(&mut self, file: &FileRef) -> Result<Option<u64>, DiskFault> {
        Ok(self.0.borrow().live.get(file).map(|bytes| bytes.len() as u64))
    }

    fn read(&mut self, file: &FileRef, offset: u64, buf: &mut [u8], _: ReadFrom) -> Result<usize, DiskFault> {
        let mut state = self.0.borrow_mut();
        let State { live, reads, longest_read, .. } = &mut *state;
        *longest_read = buf.len().max(*longest_read);
        let missing =
            DiskFault { operation: DiskOperation::Read, file: file.clone(), cause: DiskCause::NotFound };
        let bytes = live.get(file).ok_or(missing)?.get(offset as usize..).unwrap_or_default();
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        *reads.entry(file.clone()).or_default() += len;
        Ok(len)
    }

    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let mut state = self.0.borrow_mut();
        state.check(DiskOperation::Write, file)?;
        store(state.live.entry(file.clone()).or_default(), offset, bytes);
        Ok(())
    }

    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        let mut state = self.0.borrow_mut();
        state.check(DiskOperation::Sync, file)?;
        let missing =
            DiskFault { operation: DiskOperation::Sync, file: file.clone(), cause: DiskCause::NotFound };
        let bytes = state.live.get(file).cloned().ok_or(missing)?;
        state.durable.insert(file.clone(), bytes);
        Ok(())
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault> {
        self.0.borrow().check(DiskOperation::Sync, &FileRef::new(dir, ""))
    }

    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault> {
        let mut state = self.0.borrow_mut();
        let State { live, durable, .. } = &mut *state;
        for files in [live, durable] {
            if let Some(bytes) = files.remove(from) {
                files.insert(to.clone(), bytes);
            }
        }
        Ok(())
    }

    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        let mut state = self.0.borrow_mut();
        if state.stuck.as_ref() == Some(file) {
            let cause = DiskCause::Os(5);
            return Err(DiskFault { operation: DiskOperation::Remove, file: file.clone(), cause });
        }
        state.live.remove(file);
        state.durable.remove(file);
        Ok(())
    }

    fn submit(&mut self, write: BlockWrite) {
        let mut state = self.0.borrow_mut();
        assert!(state.in_flight.is_none() && state.completed.is_none(), "one write in flight");
        assert!(write.offset.is_multiple_of(4096) && write.bytes.len().is_multiple_of(4096));
        state.in_flight = Some(write);
    }

    fn poll(&mut self) -> Option<Completion> {
        let mut state = self.0.borrow_mut();
        if !state.manual {
            state.finish_write();
        }
        state.completed.take()
    }

    fn request_spare(&mut self, spare: Spare) {
        let before = self.0.borrow_mut().spare.replace(spare);
        assert!(before.is_none(), "one spare at a time");
    }

    fn poll_spare(&mut self) -> Option<SpareDone> {
        let spare = self.0.borrow_mut().spare.take()?;
        let result = if self.0.borrow().no_space {
            Err(DiskFault {
                operation: DiskOperation::Write,
                file: spare.file.clone(),
                cause: DiskCause::NoSpace,
            })
        } else {
            segment::prefill(self, &spare.file, spare.bytes, spare.nonce)
        };
        Some(SpareDone { spare, result })
    }
}
