//! A disk of 512-byte sectors behind a page cache, with every fault chosen by the seed.
//!
//! What a process reads and what a power cut leaves are two images. The durable write in flight is a state of its own;
//! names are durable only after their folder is synced; a sync that fails leaves pages that read well and are nowhere.
//!
//! A crash is placed at an operation: from there on the disk is *dead*, every call that would change it fails without an
//! effect until the process has noticed, and [`SimDisk::crash`] decides what is left. So a crash can stand between any two
//! such calls, and in the middle of a write, without a thread and without unwinding. Reads are no places of their own:
//! dying at one is dying before the next change. They succeed even then, because Raft panics when its storage fails; for
//! the same reason a read of the log that fails while the process runs is the process's end.
//!
//! The disk also keeps what it has said to be durable ([`truth`]): the oracle knows from it what may be refused.

mod decay;
mod file;
mod names;
pub mod truth;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use journal::disk::DiskOperation;
use journal::segment::{self, SECTOR_BYTES};
use journal::{BlockWrite, Completion, Dir, Disk, DiskCause, DiskFault, FileRef, ReadFrom, Spare, SpareDone};
use protocol::MonoNanos;
use protocol::limits::BLOCK_ALIGN;

use crate::rng::Rng;
use crate::trace::Trace;
use decay::Rot;
use file::FileBytes;
use names::{Inode, Names};
use truth::Truth;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies, the kernel lives: its page cache stays.
    Process,
    /// The machine loses power.
    Power,
}

/// What is left of writes that were not synced when the power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Survival {
    All,
    None,
    /// Everything before some place, in the order of the sectors.
    Prefix(u64),
    /// Each on its own.
    Each,
}

/// How long durable writes and the steps of making a spare take.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Least.
    pub min_us: u64,
    /// Most, without a stall.
    pub max_us: u64,
    /// How often the disk stalls, in a million operations …
    pub stall_ppm: u64,
    /// … and for how long.
    pub stall_us: u64,
}

/// The next call that matches fails once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In this folder.
    pub dir: Dir,
    /// This operation; durable writes are writes to the journal's folder.
    pub operation: DiskOperation,
    /// With this cause.
    pub cause: DiskCause,
    /// So many that match succeed before: of several syncs in a row any one may fail.
    pub behind: u64,
}

/// Where a process dies, other than at the operation with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With a block, a seal or a segment's header on its way.
    Write,
    /// With a block of several pages on its way, of which a torn write leaves whole pages.
    LongWrite,
    /// With a block on its way that voids entries.
    Truncation,
    /// With a segment's header on its way.
    SegmentHeader,
    /// In an operation on this folder.
    Folder(Dir),
    /// Where a snapshot gets its name.
    SnapshotNamed,
    /// Where a segment is set aside, because the log begins anew.
    SegmentAside,
}

/// When a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// It is here …
    pub place: Place,
    /// … so often from now on, counted from 1 …
    pub nth: u64,
    /// … and has done so many operations since.
    pub behind: u64,
}

/// Input/output error: the number that Linux gives it.
pub const EIO: DiskCause = DiskCause::Os(5);

struct InFlight {
    write: BlockWrite,
    due: MonoNanos,
}

/// A spare being made: the step that comes next, and when.
struct Making {
    spare: Spare,
    written: u64,
    step: MakingStep,
    due: MonoNanos,
}

#[derive(Clone, Copy)]
enum MakingStep {
    Write,
    Sync,
    SyncUnfinishedName,
    Rename,
    SyncName,
}

/// What [`SimDisk::pause`] has set aside.
#[derive(Clone, Debug)]
#[must_use]
pub struct Pause {
    operations: u64,
    dies_at: Option<u64>,
    aims: Vec<Aim>,
    failure: Option<Failure>,
}

struct State {
    files: BTreeMap<Inode, FileBytes>,
    names: Names,
    inodes_made: Inode,
    now: MonoNanos,
    rng: Rng,
    latency: Latency,
    capacity_bytes: u64,
    failure: Option<Failure>,
    in_flight: Option<InFlight>,
    making: Option<Making>,
    operations: u64,
    dies_at: Option<u64>,
    aims: Vec<Aim>,
    dead: bool,
    /// The process is being started: a read of the log that fails is reported, and not its end.
    starting: bool,
    /// Syncs and durable writes are answered and not done.
    lying: bool,
    failures: u64,
    fatal_failures: u64,
    lacked_room: bool,
    truth: Truth,
    rots: Vec<Rot>,
    trace: Trace,
}

/// A handle to one simulated disk; the process has one and the world another.
#[derive(Clone)]
pub struct SimDisk(Rc<RefCell<State>>);

/// How names of segments end that are set aside.
const ASIDE_SUFFIX: &str = ".aside";
/// Bytes of a spare written in one step.
const SPARE_STEP_BYTES: u64 = 64 << 10;

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(rng: Rng, latency: Latency, capacity_bytes: u64, trace: Trace) -> Self {
        Self(Rc::new(RefCell::new(State {
            files: BTreeMap::new(),
            names: Names::default(),
            inodes_made: 0,
            now: MonoNanos(0),
            rng,
            latency,
            capacity_bytes,
            failure: None,
            in_flight: None,
            making: None,
            operations: 0,
            dies_at: None,
            aims: Vec::new(),
            dead: false,
            starting: false,
            lying: false,
            failures: 0,
            fatal_failures: 0,
            lacked_room: false,
            truth: Truth::default(),
            rots: Vec::new(),
            trace,
        })))
    }

    /// Where it notes what happens.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.0.borrow().trace.clone()
    }

    /// Time has come to `now`.
    pub fn set_now(&self, now: MonoNanos) {
        self.0.borrow_mut().now = now;
    }

    /// When it has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<MonoNanos> {
        let state = self.0.borrow();
        let write = state.in_flight.as_ref().map(|w| w.due);
        let making = state.making.as_ref().map(|m| m.due);
        write.into_iter().chain(making).min()
    }

    /// Operations so far: places at which a crash may stand.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// The process dies in the operation with this number.
    pub fn die_at(&self, operation: Option<u64>) {
        self.0.borrow_mut().dies_at = operation;
    }

    /// The process dies there as well.
    pub fn aim(&self, aim: Aim) {
        self.0.borrow_mut().aims.push(aim);
    }

    /// Whether a process is being started on it.
    pub fn set_starting(&self, starting: bool) {
        self.0.borrow_mut().starting = starting;
    }

    /// Whether it says that things are durable which are not.
    pub fn set_lying(&self, lying: bool) {
        self.0.borrow_mut().lying = lying;
    }

    /// Counts a place between two turns of the process, where it may die as well.
    pub fn boundary(&self) {
        let mut state = self.0.borrow_mut();
        state.operations += 1;
        state.dead |= state.dies_at.is_some_and(|at| at <= state.operations);
    }

    /// Whether the process has died and does not know yet.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }

    /// Writes and syncs of the journal and of `meta` that failed in this life.
    #[must_use]
    pub fn fatal_failures(&self) -> u64 {
        self.0.borrow().fatal_failures
    }

    /// Operations that failed in this life because somebody asked for it.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.borrow().failures
    }

    /// Whether there was no room for something in this life.
    #[must_use]
    pub fn lacked_room(&self) -> bool {
        self.0.borrow().lacked_room
    }

    /// Until [`SimDisk::resume`] nothing is counted and nothing fails: a checker reads.
    pub fn pause(&self) -> Pause {
        let mut state = self.0.borrow_mut();
        Pause {
            operations: state.operations,
            dies_at: state.dies_at.take(),
            aims: std::mem::take(&mut state.aims),
            failure: state.failure.take(),
        }
    }

    /// Goes on as before the pause.
    pub fn resume(&self, pause: Pause) {
        let mut state = self.0.borrow_mut();
        let Pause { operations, dies_at, aims, failure } = pause;
        (state.operations, state.dies_at, state.aims, state.failure) = (operations, dies_at, aims, failure);
    }

    /// The next matching call fails.
    pub fn fail_next(&self, failure: Option<Failure>) {
        self.0.borrow_mut().failure = failure;
    }

    /// Whether the failure that was asked for has not happened yet.
    #[must_use]
    pub fn has_failure_to_come(&self) -> bool {
        self.0.borrow().failure.is_some()
    }

    /// Leaves room for `free_bytes` more.
    pub fn set_free(&self, free_bytes: u64) {
        let mut state = self.0.borrow_mut();
        state.capacity_bytes = state.used_bytes().saturating_add(free_bytes);
    }

    /// What durable writes cost from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.0.borrow_mut().latency = latency;
    }

    /// The process is gone: decides what is left on the disk and brings it back to life for the next one.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.0.borrow_mut();
        state.trace.note("crash", u64::from(crash == Crash::Power), state.operations);
        state.dead = false;
        state.dies_at = None;
        state.aims.clear();
        state.failure = None;
        (state.failures, state.fatal_failures, state.lacked_room) = (0, 0, false);
        state.making = None;
        state.end_in_flight(crash);
        if crash == Crash::Power {
            state.lose_power();
        }
        state.collect_garbage();
    }

    /// Bytes of `file` as processes see them; for checkers, not counted.
    #[must_use]
    pub fn peek(&self, file: &FileRef) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        let bytes = state.names.get(file).and_then(|inode| state.files.get(&inode))?;
        let mut buf = vec![0; bytes.len()];
        bytes.read(0, &mut buf, false);
        Some(buf)
    }

    /// Bytes of `file` that are on the medium, whatever the page cache holds; for checkers, not counted.
    #[must_use]
    pub fn peek_durable(&self, file: &FileRef) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        let bytes = state.names.get(file).and_then(|inode| state.files.get(&inode))?;
        Some(bytes.durable().to_vec())
    }

    /// Names in `dir`; for checkers, not counted.
    #[must_use]
    pub fn peek_names(&self, dir: Dir) -> Vec<String> {
        self.0.borrow().names.in_dir(dir)
    }
}

impl State {
    /// Every operation passes here: it may be the process's last, or fail.
    fn enter(&mut self, operation: DiskOperation, dir: Dir, name: &str) -> Result<(), DiskFault> {
        let fault = |cause| DiskFault { operation, file: FileRef::new(dir, name), cause };
        if self.dead {
            return Err(fault(EIO));
        }
        self.operations += 1;
        if self.dies_at.is_some_and(|at| at <= self.operations) {
            self.trace.note("dies", self.operations, operation as u64);
            self.dead = true;
            return Err(fault(EIO));
        }
        if self.is_at(Place::Folder(dir)) {
            self.trace.note("dies there", self.operations, operation as u64);
            self.dead = true;
            return Err(fault(EIO));
        }
        if let Some(failure) = self.take_failure(dir, operation) {
            self.trace.note("fails", self.operations, operation as u64);
            self.trace.sometimes("operation failed");
            self.failures += 1;
            let is_spare = name.is_empty() || name.ends_with(segment::UNFINISHED_SUFFIX);
            let is_write = matches!(operation, DiskOperation::Write | DiskOperation::Sync);
            if is_write && !is_spare && matches!(dir, Dir::Root | Dir::Journal) {
                self.fatal_failures += 1;
            }
            return Err(fault(failure.cause));
        }
        Ok(())
    }

    /// Counts that the process is at `place`; true if it dies there.
    fn is_at(&mut self, place: Place) -> bool {
        let mut dies = false;
        for aim in self.aims.iter_mut().filter(|aim| aim.place == place && aim.nth > 0) {
            aim.nth -= 1;
            if aim.nth == 0 {
                let at = self.operations + aim.behind;
                dies |= aim.behind == 0;
                self.dies_at = Some(self.dies_at.map_or(at, |before| before.min(at)));
            }
        }
        dies
    }

    /// Whether somebody aims at `place`.
    fn is_aimed_at(&self, place: Place) -> bool {
        self.aims.iter().any(|aim| aim.place == place && aim.nth > 0)
    }

    /// The failure that was asked for, if this call is the one that it waits for.
    fn take_failure(&mut self, dir: Dir, operation: DiskOperation) -> Option<Failure> {
        let failure = self.failure.as_mut().filter(|f| f.dir == dir && f.operation == operation)?;
        if failure.behind > 0 {
            failure.behind -= 1;
            return None;
        }
        self.failure.take()
    }

    /// Whether a read fails because somebody asked for it. One of the log by a running process is its end.
    fn read_fails(&mut self, file: &FileRef) -> bool {
        if self.dead || self.take_failure(file.dir, DiskOperation::Read).is_none() {
            return false;
        }
        self.trace.note("read fails", file.dir as u64, u64::from(self.starting));
        self.trace.sometimes("read failed");
        self.failures += 1;
        self.dead = !self.starting && file.dir == Dir::Journal;
        !self.dead
    }

    fn used_bytes(&self) -> u64 {
        self.files.values().map(FileBytes::extent).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    fn file_mut(&mut self, file: &FileRef) -> Option<&mut FileBytes> {
        let inode = self.names.get(file)?;
        self.files.get_mut(&inode)
    }

    fn open_or_create(&mut self, file: &FileRef) -> Inode {
        self.names.get(file).unwrap_or_else(|| {
            self.inodes_made += 1;
            self.files.insert(self.inodes_made, FileBytes::default());
            self.names.create(file, self.inodes_made);
            self.inodes_made
        })
    }

    fn latency_after_now(&mut self) -> MonoNanos {
        let Latency { min_us, max_us, stall_ppm, stall_us } = self.latency;
        let mut us = self.rng.within(min_us..=max_us);
        if self.rng.chance_ppm(stall_ppm) {
            self.trace.sometimes("disk stalled");
            us += self.rng.below(stall_us);
        }
        self.now.plus(us * 1_000)
    }

    fn survival(&mut self) -> Survival {
        let place = self.rng.below(256);
        match self.rng.below(4) {
            0 => Survival::All,
            1 => Survival::None,
            2 => Survival::Prefix(place),
            _ => Survival::Each,
        }
    }

    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let offset = offset as usize;
        let was_dead = self.dead;
        if let Err(fault) = self.enter(DiskOperation::Write, file.dir, &file.name) {
            // A write that fails, or during which the process dies, may have been done in part.
            if !was_dead && self.names.get(file).is_some() {
                let survival = self.survival();
                let inode = self.open_or_create(file);
                let rng = &mut self.rng;
                if let Some(contents) = self.files.get_mut(&inode) {
                    contents.write_some(offset, bytes, |sector| survives(survival, rng, sector));
                }
            }
            return Err(fault);
        }
        let len = self.file_mut(file).map_or(0, |f| f.extent());
        let grows = (offset + bytes.len()) as u64;
        if grows > len && grows - len > self.free_bytes() {
            self.trace.sometimes("no space");
            self.lacked_room = true;
            let file = file.clone();
            return Err(DiskFault { operation: DiskOperation::Write, file, cause: DiskCause::NoSpace });
        }
        let inode = self.open_or_create(file);
        if let Some(contents) = self.files.get_mut(&inode) {
            contents.write(offset, bytes);
        }
        self.trace.note("write", offset as u64, bytes.len() as u64);
        self.trace.bytes(bytes);
        Ok(())
    }

    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        let was_dead = self.dead;
        if let Err(fault) = self.enter(DiskOperation::Sync, file.dir, &file.name) {
            if !was_dead && !self.dead {
                let rng = &mut self.rng;
                if let Some(contents) = self.names.get(file).and_then(|i| self.files.get_mut(&i)) {
                    contents.fail_sync(|_| rng.coin());
                }
            }
            return Err(fault);
        }
        if self.lying && self.names.get(file).is_some() {
            self.truth.lied = true;
            self.trace.sometimes("lied about a sync");
            self.trace.note("sync lied about", file.dir as u64, 0);
            return Ok(());
        }
        match self.file_mut(file) {
            Some(contents) => contents.sync(),
            None => return Err(not_found(DiskOperation::Sync, file)),
        }
        self.settle_synced(file);
        self.trace.note("sync", file.dir as u64, 0);
        Ok(())
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault> {
        self.enter(DiskOperation::Sync, dir, "")?;
        self.names.sync(dir);
        self.trace.note("sync folder", dir as u64, 0);
        Ok(())
    }

    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault> {
        let place = match to.dir {
            Dir::Snapshots => Some(Place::SnapshotNamed),
            Dir::Journal if to.name.ends_with(ASIDE_SUFFIX) => Some(Place::SegmentAside),
            Dir::Journal | Dir::Root | Dir::Outbox => None,
        };
        self.enter(DiskOperation::Rename, from.dir, &from.name)?;
        if place.is_some_and(|place| self.is_at(place)) {
            self.dead = true;
            return Err(DiskFault { operation: DiskOperation::Rename, file: from.clone(), cause: EIO });
        }
        if !self.names.rename(from, to) {
            return Err(not_found(DiskOperation::Rename, from));
        }
        self.truth.renamed(from);
        self.trace.note("rename", from.dir as u64, to.dir as u64);
        self.trace.bytes(to.name.as_bytes());
        Ok(())
    }

    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.enter(DiskOperation::Remove, file.dir, &file.name)?;
        self.names.remove(file);
        self.truth.removed(file);
        self.trace.note("remove", file.dir as u64, 0);
        self.trace.bytes(file.name.as_bytes());
        self.collect_garbage();
        Ok(())
    }

    /// One step of the spare that is due.
    fn make(&mut self, making: &mut Making) -> Result<bool, DiskFault> {
        let file = making.spare.file.clone();
        let unfinished = segment::unfinished(&file);
        making.step = match making.step {
            MakingStep::Write => {
                let len = SPARE_STEP_BYTES.min(making.spare.bytes - making.written);
                let mut bytes = vec![0; len as usize];
                segment::fill(&mut bytes, making.spare.nonce);
                self.write_at(&unfinished, making.written, &bytes)?;
                making.written += len;
                if making.written == making.spare.bytes { MakingStep::Sync } else { MakingStep::Write }
            }
            MakingStep::Sync => {
                self.sync(&unfinished)?;
                MakingStep::SyncUnfinishedName
            }
            MakingStep::SyncUnfinishedName => {
                self.sync_dir(file.dir)?;
                MakingStep::Rename
            }
            MakingStep::Rename => {
                self.rename(&unfinished, &file)?;
                MakingStep::SyncName
            }
            MakingStep::SyncName => {
                self.sync_dir(file.dir)?;
                return Ok(true);
            }
        };
        Ok(false)
    }

    fn poll_spare(&mut self) -> Option<SpareDone> {
        loop {
            let mut making = self.making.take_if(|m| m.due <= self.now)?;
            let made = self.make(&mut making);
            if self.dead {
                return None;
            }
            match made {
                Ok(false) => {
                    making.due = self.latency_after_now();
                    self.making = Some(making);
                }
                Ok(true) => {
                    self.trace.sometimes("spare made");
                    return Some(SpareDone { spare: making.spare, result: Ok(()) });
                }
                Err(fault) => {
                    self.trace.sometimes("spare failed");
                    let unfinished = segment::unfinished(&making.spare.file);
                    let result = self.remove(&unfinished).and(Err(fault));
                    return Some(SpareDone { spare: making.spare, result });
                }
            }
        }
    }

    /// The durable write in flight when the process or the machine went down.
    fn end_in_flight(&mut self, crash: Crash) {
        let Some(InFlight { write, .. }) = self.in_flight.take() else { return };
        self.truth.unsure = Some(write.clone());
        self.trace.sometimes("crash with a write in flight");
        let survival = self.survival();
        // A process that is killed may leave its bytes in the page cache alone (writers mapped and plain).
        let cached_only = crash == Crash::Process && self.rng.coin();
        let rng = &mut self.rng;
        let Some(contents) = self.names.get(&write.file).and_then(|i| self.files.get_mut(&i)) else { return };
        let reaches = |sector| survives(survival, rng, sector);
        if cached_only {
            contents.write_some(write.offset as usize, &write.bytes, reaches);
        } else {
            contents.write_durable(write.offset as usize, &write.bytes, reaches);
        }
    }

    fn lose_power(&mut self) {
        let survival = self.survival();
        let (mut kept, mut gone) = (0, 0);
        for contents in self.files.values_mut() {
            let rng = &mut self.rng;
            let (k, g) = contents.lose_power(|sector| survives(survival, rng, sector));
            kept += k;
            gone += g;
        }
        let of_names = self.survival();
        let rng = &mut self.rng;
        let (names_kept, names_gone) = self.names.lose_power(|place| survives(of_names, rng, place));
        for (what, count) in [
            ("un-synced sectors kept", kept),
            ("un-synced sectors lost", gone),
            ("un-synced names kept", names_kept),
            ("un-synced names lost", names_gone),
        ] {
            if count > 0 {
                self.trace.sometimes(what);
            }
        }
        self.trace.note("power lost", kept, gone);
    }

    fn collect_garbage(&mut self) {
        let named = self.names.inodes();
        self.files.retain(|inode, _| named.contains(inode));
    }
}

fn survives(survival: Survival, rng: &mut Rng, place: usize) -> bool {
    match survival {
        Survival::All => true,
        Survival::None => false,
        // Sectors of a block: their place within 128 KiB tells which come first.
        Survival::Prefix(end) => ((place % (2 * 64 * 1024 / SECTOR_BYTES)) as u64) < end,
        Survival::Each => rng.coin(),
    }
}

fn not_found(operation: DiskOperation, file: &FileRef) -> DiskFault {
    DiskFault { operation, file: file.clone(), cause: DiskCause::NotFound }
}

impl Disk for SimDisk {
    fn list(&mut self, dir: Dir) -> Result<Vec<String>, DiskFault> {
        let mut state = self.0.borrow_mut();
        let mut names = state.names.in_dir(dir);
        state.rng.shuffle(&mut names);
        Ok(names)
    }

    fn len(&mut self, file: &FileRef) -> Result<Option<u64>, DiskFault> {
        let mut state = self.0.borrow_mut();
        Ok(state.file_mut(file).map(|contents| contents.len() as u64))
    }

    fn read(
        &mut self,
        file: &FileRef,
        offset: u64,
        buf: &mut [u8],
        source: ReadFrom,
    ) -> Result<usize, DiskFault> {
        let mut state = self.0.borrow_mut();
        if state.read_fails(file) {
            return Err(DiskFault { operation: DiskOperation::Read, file: file.clone(), cause: EIO });
        }
        let Some(contents) = state.file_mut(file) else {
            return Err(not_found(DiskOperation::Read, file));
        };
        Ok(contents.read(offset as usize, buf, source == ReadFrom::Device))
    }

    fn write_at(&mut self, file: &FileRef, offset: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        self.0.borrow_mut().write_at(file, offset, bytes)
    }

    fn sync(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.0.borrow_mut().sync(file)
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskFault> {
        self.0.borrow_mut().sync_dir(dir)
    }

    fn rename(&mut self, from: &FileRef, to: &FileRef) -> Result<(), DiskFault> {
        self.0.borrow_mut().rename(from, to)
    }

    fn remove(&mut self, file: &FileRef) -> Result<(), DiskFault> {
        self.0.borrow_mut().remove(file)
    }

    fn submit(&mut self, write: BlockWrite) {
        let mut state = self.0.borrow_mut();
        assert!(state.in_flight.is_none(), "two durable writes in flight");
        if state.dead {
            return;
        }
        state.operations += 1;
        let due = state.latency_after_now();
        let is_header = write.offset == 0;
        let is_long = write.bytes.len() > BLOCK_ALIGN;
        let is_truncation = state.is_aimed_at(Place::Truncation) && truth::truncates(&write);
        state.truth.begun();
        state.trace.note("submit", write.offset, write.bytes.len() as u64);
        state.trace.bytes(&write.bytes);
        state.in_flight = Some(InFlight { write, due });
        // The process may die right behind the call, with the write on its way.
        let at_place = state.is_at(Place::Write)
            || (is_header && state.is_at(Place::SegmentHeader))
            || (is_long && state.is_at(Place::LongWrite))
            || (is_truncation && state.is_at(Place::Truncation));
        if at_place || state.dies_at.is_some_and(|at| at <= state.operations) {
            state.dead = true;
        }
    }

    fn poll(&mut self) -> Option<Completion> {
        let mut state = self.0.borrow_mut();
        let now = state.now;
        if state.dead || state.in_flight.as_ref().is_none_or(|w| w.due > now) {
            return None;
        }
        let file = state.in_flight.as_ref().map(|w| w.write.file.clone())?;
        let entered = state.enter(DiskOperation::Write, file.dir, &file.name);
        if state.dead {
            return None;
        }
        let InFlight { write, .. } = state.in_flight.take()?;
        let survival = if entered.is_ok() { Survival::All } else { state.survival() };
        let State { files, names, rng, lying, truth, .. } = &mut *state;
        let result = match names.get(&write.file).and_then(|inode| files.get_mut(&inode)) {
            Some(contents) if *lying => {
                truth.lied = true;
                contents.write_some(write.offset as usize, &write.bytes, |s| survives(survival, rng, s));
                entered
            }
            Some(contents) => {
                contents.write_durable(write.offset as usize, &write.bytes, |s| survives(survival, rng, s));
                entered
            }
            None => Err(not_found(DiskOperation::Write, &write.file)),
        };
        state.trace.note("durable", write.offset, u64::from(result.is_ok()));
        let token = write.token;
        match result {
            Ok(()) => state.truth.durable(write),
            Err(_) => state.truth.unsure = Some(write),
        }
        Some(Completion { token, result })
    }

    fn request_spare(&mut self, spare: Spare) {
        let mut state = self.0.borrow_mut();
        assert!(state.making.is_none(), "two spares being made");
        if state.dead {
            return;
        }
        let due = state.latency_after_now();
        state.making = Some(Making { spare, written: 0, step: MakingStep::Write, due });
    }

    fn poll_spare(&mut self) -> Option<SpareDone> {
        let mut state = self.0.borrow_mut();
        if state.dead { None } else { state.poll_spare() }
    }
}

#[cfg(test)]
mod tests;
