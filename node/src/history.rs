//! The ledger's history: a view with a thread of its own behind the hot one, fed by what is applied.
//!
//! The hot thread puts each applied frame into a bounded queue, without copying it, and never waits. Where the queue is full, or
//! the view begins or was away, what it has missed comes out of a second run over the journal, in the view's thread
//! ([`replicas::CatchUp`]). The view follows at its own pace: what it has not written yet is not answered from, and who wants it asks
//! again. Nothing is answered before it is known that the file belongs to this log: the effect hash at its place says so.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use journal::FileDisk;
use protocol::event::Event;
use protocol::frame::{Frame, FrameHeader};
use protocol::hash::Hash;
use protocol::time::NANOS_PER_MILLI;
use protocol::{MonoNanos, Seq};
use replicas::{CatchUp, CatchUpFault, Replica, Tapped, View};
use views::ledger::{Feed, Opened, Persist, Reader, ViewFault};

use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::threads;

/// Below the data folder.
const FOLDER: &str = "views";
const FILE: &str = "ledger.redb";
/// Bytes of frames that may wait for the view. Few in tests, so that frames are lost.
const QUEUE_BYTES_MAX: usize = if cfg!(test) { 4 << 10 } else { 64 << 20 };
/// Movements of one write.
const WRITE_MOVEMENTS: usize = 1 << 18;
/// What is taken is written after this at the latest, at once if somebody waits for it.
const WRITE_NANOS: u64 = 20 * NANOS_PER_MILLI;
/// The file is made durable at the end, and whenever so many movements could be lost by a crash, and would be run again.
const DURABLE_MOVEMENTS: usize = 1 << 22;
/// How often the view looks for frames while they come: the hot thread does not have to wake it up.
const LOOK: Duration = Duration::from_millis(1);
/// After so many looks in vain it sleeps.
const LOOKS: u32 = 50;
/// After a fault; twice as long after each one more.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// Why the view's thread begins again.
#[derive(Debug, thiserror::Error)]
enum Stumble {
    #[error(transparent)]
    View(#[from] ViewFault),
    #[error(transparent)]
    CatchUp(#[from] CatchUpFault),
    #[error("what followed from seq {0} on does not count any more")]
    Again(Seq),
    #[error("the file is another log's: it has other effects at seq {0}")]
    OtherLog(Seq),
    #[error("a frame that does not read back")]
    Frame,
}

/// Whoever asks.
#[derive(Clone, Default)]
pub(crate) struct History {
    shared: Arc<Shared>,
}

/// Why nothing is answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Absence {
    /// It is not known yet whether the file belongs to this log.
    #[error("the history is being opened")]
    Opening,
    /// It was given up, and begins again in a while.
    #[error("there is no history: {0}")]
    Broken(
        /// Why.
        String,
    ),
}

/// The view, from the hot thread's side.
pub(crate) struct Historian {
    shared: Arc<Shared>,
    /// A tap was opened, and what comes before it is not durable yet.
    opening: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something is in the queue, for a thread that sleeps.
    filled: Condvar,
    /// The view has lost its place, and wants the tap opened.
    lost: AtomicBool,
    stopping: AtomicBool,
    /// The file is open: there may be something to be made durable.
    is_open: AtomicBool,
}

#[derive(Default)]
struct Queue {
    tapped: VecDeque<Tapped>,
    bytes: usize,
    /// Frames were dropped, or none are put in.
    has_gap: bool,
    catch_up: Option<CatchUp>,
    asleep: bool,
    reader: Option<Reader>,
    /// Why the view has stumbled, until it stands again.
    stumbled: Option<String>,
    /// What somebody who asked has found.
    found: Option<ViewFault>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits in the view's thread. Returns at the end of the node, too.
    fn wait(&self, mut queue: MutexGuard<'_, Queue>, at_most: Option<Duration>) {
        if self.is_stopping() {
            return;
        }
        queue.asleep = at_most.is_none();
        let mut queue = match at_most {
            None => self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
            Some(at_most) => {
                self.filled.wait_timeout(queue, at_most).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        queue.asleep = false;
    }
}

impl History {
    /// Answers from the file. For threads that may wait for a disk, and not for long: the file is not closed before.
    ///
    /// # Errors
    /// [`Absence`].
    pub(crate) fn reader(&self) -> Result<Reader, Absence> {
        let queue = self.shared.queue();
        let absence = || queue.stumbled.clone().map_or(Absence::Opening, Absence::Broken);
        queue.reader.clone().ok_or_else(absence)
    }

    /// The file is not what was written: it is built anew.
    pub(crate) fn report(&self, fault: ViewFault) {
        if fault.is_in_the_file() {
            let mut queue = self.shared.queue();
            queue.reader = None;
            queue.found = Some(fault);
            drop(queue);
            self.shared.filled.notify_one();
        }
    }

    /// As of which seq it would answer.
    pub(crate) fn seq(&self) -> Option<Seq> {
        self.reader().ok()?.snapshot(Seq::ZERO).ok().map(|snapshot| snapshot.seq())
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

impl Historian {
    /// Starts the view's thread over the files of `disk`, a handle beside the journal's, in the node's folder.
    ///
    /// # Errors
    /// If there is no folder or no thread to be had.
    pub(crate) fn start(
        history: History,
        dir: &Path,
        cache_bytes: usize,
        disk: FileDisk,
        clock: Clock,
    ) -> Result<Self, NodeFault> {
        let folder = dir.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(NodeFault::io(folder.display().to_string()))?;
        let shared = history.shared;
        shared.stopping.store(false, Ordering::Release);
        let writer = Writer {
            shared: Arc::clone(&shared),
            path: folder.join(FILE),
            cache_bytes,
            disk,
            clock,
            written_at: MonoNanos(0),
            volatile: 0,
            retry: RETRY,
            unconfirmed: None,
        };
        let thread =
            threads::start_behind("history", move || writer.run()).map_err(NodeFault::io("a thread"))?;
        Ok(Self { shared, opening: false, thread: Some(thread) })
    }

    /// One bounded bite: hands on what was applied. Never waits but for the queue's lock, which nobody holds for long.
    pub(crate) fn step(&mut self, replica: &mut Replica<FileDisk>) {
        if self.shared.lost.swap(false, Ordering::AcqRel) {
            self.shared.queue().empty();
            replica.open_tap(View::Ledger, Feed::wants);
            self.opening = true;
        }
        if self.opening
            && let Some(catch_up) = replica.begin_catch_up(View::Ledger)
        {
            self.opening = false;
            self.shared.queue().catch_up = Some(catch_up);
            self.shared.filled.notify_one();
        }
        let tapped = replica.take_tapped(View::Ledger);
        if tapped.is_empty() {
            return;
        }
        let mut queue = self.shared.queue();
        queue.bytes += tapped.iter().map(bytes_of).sum::<usize>();
        queue.tapped.extend(tapped);
        if queue.bytes > QUEUE_BYTES_MAX {
            // The view finds a gap in the end, and catches up.
            queue.empty();
            queue.has_gap = true;
            replica.close_tap(View::Ledger);
            self.opening = false;
        }
        let asleep = queue.asleep;
        drop(queue);
        if asleep {
            self.shared.filled.notify_one();
        }
    }
}

impl Drop for Historian {
    /// What was fed is durable when the node ends.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        drop(self.shared.queue());
        self.shared.filled.notify_all();
        // A file that is still being checked, which may take minutes, is left as it is.
        let is_open = self.shared.is_open.load(Ordering::Acquire);
        if let Some(thread) = self.thread.take_if(|_| is_open) {
            // In the release build a panic has ended the process.
            drop(thread.join());
        }
    }
}

impl Queue {
    fn empty(&mut self) {
        self.tapped.clear();
        self.bytes = 0;
        self.catch_up = None;
        self.has_gap = false;
    }
}

fn bytes_of(tapped: &Tapped) -> usize {
    match tapped {
        Tapped::Applied { frame, events, .. } => frame.len() + events.len() * size_of::<Event>(),
        Tapped::Again { .. } => size_of::<Tapped>(),
    }
}

/// The view's thread.
struct Writer {
    shared: Arc<Shared>,
    path: PathBuf,
    cache_bytes: usize,
    disk: FileDisk,
    clock: Clock,
    written_at: MonoNanos,
    /// Movements that were written and are not durable.
    volatile: usize,
    /// How long it waits after the next fault.
    retry: Duration,
    /// Answers once it is known that the file belongs to the log.
    unconfirmed: Option<Reader>,
}

impl Writer {
    fn run(mut self) {
        while !self.shared.is_stopping() {
            let ended = self.follow();
            self.shared.is_open.store(false, Ordering::Release);
            // Who still asks holds the file open for a moment.
            self.shared.queue().reader = None;
            let Err(stumble) = ended else { return };
            self.shared.queue().stumbled = Some(stumble.to_string());
            tracing::error!(fault = %stumble, "the ledger's history begins again from its file");
            let is_void = match &stumble {
                Stumble::View(fault) => fault.is_in_the_file(),
                Stumble::CatchUp(CatchUpFault::Effects { .. }) | Stumble::Again(_) | Stumble::OtherLog(_) => {
                    true
                }
                Stumble::CatchUp(_) | Stumble::Frame => false,
            };
            if is_void && let Err(error) = std::fs::remove_file(&self.path) {
                tracing::error!(%error, "the file of the ledger's history cannot be removed");
            }
            self.shared.wait(self.shared.queue(), Some(self.retry));
            self.retry = RETRY_MAX.min(self.retry * 2);
        }
    }

    /// Opens the file and follows the log until the node ends.
    fn follow(&mut self) -> Result<(), Stumble> {
        let Opened { mut feed, reader, thrown_away } = Feed::open(&self.path, self.cache_bytes)?;
        if let Some(fault) = thrown_away {
            tracing::warn!(%fault, "the file of the ledger's history is built anew");
        }
        self.shared.is_open.store(true, Ordering::Release);
        self.unconfirmed = Some(reader);
        while self.catch_up(&mut feed)? && self.live(&mut feed)? {}
        self.write(&mut feed, Persist::Now)?;
        Ok(())
    }

    /// Takes what came before the tap. Returns false at the end of the node.
    fn catch_up(&mut self, feed: &mut Feed) -> Result<bool, Stumble> {
        self.shared.lost.store(true, Ordering::Release);
        let catch_up = loop {
            let mut queue = self.shared.queue();
            if let Some(catch_up) = queue.catch_up.take() {
                break catch_up;
            }
            if self.shared.is_stopping() {
                return Ok(false);
            }
            if std::mem::take(&mut queue.has_gap) {
                self.shared.lost.store(true, Ordering::Release);
            }
            self.shared.wait(queue, Some(LOOK));
        };
        if feed.seq() > catch_up.seq() {
            // The engine begins at a snapshot, and is still on its way to where the file ends.
            return Ok(true);
        }
        let (from, mut disk, mut fault) = ((feed.seq(), feed.effects()), self.disk.beside(), None);
        let ran = catch_up.run(&mut disk, from, &mut |frame, events, effects| {
            self.confirm();
            fault = self.take(feed, frame, events, effects).err();
            fault.is_none() && !self.shared.is_stopping()
        });
        match (fault, ran) {
            (Some(fault), _) => Err(fault.into()),
            (None, Err(CatchUpFault::Stopped)) => Ok(false),
            (None, Err(fault)) => Err(fault.into()),
            (None, Ok(())) => {
                self.confirm();
                self.retry = RETRY;
                Ok(true)
            }
        }
    }

    /// Takes what comes out of the tap. Returns false at the end of the node, true where something is missing.
    fn live(&mut self, feed: &mut Feed) -> Result<bool, Stumble> {
        let mut looks = 0;
        loop {
            if self.shared.is_stopping() {
                return Ok(false);
            }
            let mut queue = self.shared.queue();
            if let Some(fault) = queue.found.take() {
                return Err(fault.into());
            }
            if queue.has_gap {
                return Ok(true);
            }
            let tapped = std::mem::take(&mut queue.tapped);
            queue.bytes = 0;
            if tapped.is_empty() {
                let may_sleep = looks >= LOOKS && !feed.is_ahead();
                self.shared.wait(queue, (!may_sleep).then_some(LOOK));
                looks = if may_sleep { 0 } else { looks.saturating_add(1) };
                self.write_if_due(feed)?;
                continue;
            }
            drop(queue);
            looks = 0;
            for tapped in tapped {
                match tapped {
                    Tapped::Again { from } if from <= feed.seq() => return Err(Stumble::Again(from)),
                    Tapped::Again { .. } => {}
                    Tapped::Applied { frame, events, effects } => {
                        let frame = Frame::read(&frame).map_err(|_| Stumble::Frame)?;
                        if frame.header.first_seq > feed.seq().next() {
                            return Ok(true);
                        }
                        self.take_live(feed, &frame, &events, effects)?;
                    }
                }
            }
        }
    }

    /// Takes a frame, unless the file has it already.
    fn take_live(
        &mut self,
        feed: &mut Feed,
        frame: &Frame<'_>,
        events: &[Event],
        effects: Hash,
    ) -> Result<(), Stumble> {
        let FrameHeader { first_seq, count, .. } = frame.header;
        let behind = first_seq.0.saturating_add(count.into());
        let has_it = behind <= feed.seq().next().0;
        if has_it && behind < feed.seq().next().0 || count == 0 {
            return Ok(());
        }
        if has_it && effects != feed.effects() || !has_it && first_seq != feed.seq().next() {
            return Err(Stumble::OtherLog(feed.seq()));
        }
        self.confirm();
        if has_it { Ok(()) } else { Ok(self.take(feed, frame, events, effects)?) }
    }

    /// The file belongs to the log: it may be answered from.
    fn confirm(&mut self) {
        if let Some(reader) = self.unconfirmed.take() {
            let mut queue = self.shared.queue();
            (queue.reader, queue.stumbled) = (Some(reader), None);
        }
    }

    fn take(
        &mut self,
        feed: &mut Feed,
        frame: &Frame<'_>,
        events: &[Event],
        effects: Hash,
    ) -> Result<(), ViewFault> {
        feed.take_frame(frame, events, effects)?;
        self.write_if_due(feed)
    }

    fn write_if_due(&mut self, feed: &mut Feed) -> Result<(), ViewFault> {
        let now = self.clock.mono();
        let is_late = now.since(self.written_at) >= WRITE_NANOS;
        let is_due = feed.waiting() >= WRITE_MOVEMENTS || feed.is_ahead() && (is_late || feed.take_wanted());
        if !is_due {
            return Ok(());
        }
        self.written_at = now;
        let is_much = self.volatile + feed.waiting() >= DURABLE_MOVEMENTS;
        self.write(feed, if is_much { Persist::Now } else { Persist::Later })
    }

    fn write(&mut self, feed: &mut Feed, persist: Persist) -> Result<(), ViewFault> {
        self.volatile = if persist == Persist::Now { 0 } else { self.volatile + feed.waiting() };
        feed.write(persist)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use journal::{Founders, Identity, WriterKind};
    use protocol::commands::{CreateAccounts, CreateTransfers, DefineAsset, Genesis};
    use protocol::record::RecordHeader;
    use protocol::rows::{AccountRow, TransferRow};
    use protocol::submit::Submit;
    use protocol::{
        AccountClass, AccountId, ActorId, Amount, AssetId, ClientId, ClusterEpoch, ClusterId, Command,
        NodeId, RequestNumber, SessionId, Text, TransferId, UnixNanos,
    };
    use replicas::{Now, Options, SnapshotPolicy, Timing};
    use views::ledger::At;

    use super::*;

    const ACCOUNTS: u32 = 20;

    pub(crate) struct World {
        pub(crate) replica: Replica<FileDisk>,
        turn: u64,
        requests: u64,
    }

    impl World {
        fn step(&mut self, historian: &mut Historian) {
            self.turn();
            historian.step(&mut self.replica);
        }

        /// Of the last turn.
        pub(crate) fn now(&self) -> Now {
            Now { mono: MonoNanos(self.turn * 1_000), wall: UnixNanos(self.turn * 1_000) }
        }

        pub(crate) fn turn(&mut self) {
            self.turn += 1;
            let now = self.now();
            if !self.replica.step(now, &mut Vec::new()).unwrap() {
                std::thread::yield_now();
            }
        }

        pub(crate) fn submit(&mut self, command: impl Into<Command>) {
            self.requests += 1;
            let request = RequestNumber(self.requests);
            let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
            self.replica.sequencer().submit(&header, MonoNanos(0), &command.into()).unwrap();
        }

        fn deposit(&mut self) {
            let number = u128::from(self.requests);
            let account = AccountId(1 + number % u128::from(ACCOUNTS - 1));
            let row = TransferRow {
                id: TransferId::at_ms(0, 1 + number),
                debit_account: AccountId(0xe),
                credit_account: account,
                amount: Amount(number),
                ledger: AssetId(1),
                code: 1,
                ..TransferRow::default()
            };
            self.submit(CreateTransfers { transfers: vec![row] });
        }

        /// Until the history answers as of all that was submitted; then its balances are the engine's.
        fn settle(&mut self, historian: &mut Historian, history: &History) {
            let is_done = |world: &Self| {
                let status = world.replica.status();
                let is_applied = status.queue_records == 0 && status.index_applied == status.index_last;
                is_applied && history.seq() == Some(status.seq_applied)
            };
            while !is_done(self) {
                self.step(historian);
            }
            let snapshot = history.reader().unwrap().snapshot(self.replica.status().seq_applied).unwrap();
            for account in self.replica.engine().accounts() {
                let found = snapshot.account(account.account, At::Now).unwrap().unwrap().balances;
                assert_eq!((found.debits_posted, found.credits_posted), (account.debits, account.credits));
            }
        }
    }

    pub(crate) fn world(dir: &Path) -> (World, FileDisk) {
        let disk = FileDisk::open(dir, WriterKind::Plain).unwrap();
        let node = NodeId(1);
        let founders = Founders::alone(node);
        let identity = Identity { cluster: ClusterId(7), epoch: ClusterEpoch(1), node, founders };
        let genesis = Genesis { cluster: ClusterId(7), operator: ActorId(1), operator_uid: 0, demo: false };
        let options = Options { timing: Timing::LAN, snapshots: SnapshotPolicy::default(), genesis };
        let beside = disk.beside();
        let journal = journal::Options { segment_bytes: 4 << 20, ..journal::Options::new(99) };
        let replica = Replica::create(disk.beside(), disk, identity, journal, &options).unwrap();
        (World { replica, turn: 0, requests: 0 }, beside)
    }

    #[test]
    fn a_view_that_loses_frames_catches_up_on_them() {
        let dir = std::env::temp_dir().join(format!("sicil-history-{}", std::process::id()));
        let (mut world, disk) = world(&dir);
        let clock = Clock::start();
        let history = History::default();
        let start = || Historian::start(history.clone(), &dir, 1 << 20, disk.beside(), clock).unwrap();
        let mut historian = start();
        while !world.replica.serving() {
            world.step(&mut historian);
        }
        let asset = AssetId(1);
        world.submit(DefineAsset { asset, code: Text::new("TRY").unwrap(), scale: 2 });
        let mut open = |id: u128, owner: u64, class: AccountClass| {
            let (id, owner, class) = (AccountId(id), ClientId(owner), class.code().into());
            let row = AccountRow { id, owner, ledger: asset, code: 1, class, ..AccountRow::default() };
            world.submit(CreateAccounts { accounts: vec![row] });
        };
        open(0xe << 100, 0, AccountClass::External);
        open(0xe, 0, AccountClass::External);
        (1..ACCOUNTS).filter(|&n| n != 0xe).for_each(|n| open(n.into(), 1, AccountClass::Client));
        world.settle(&mut historian, &history);
        // Some come one by one, some in frames that are longer than the queue.
        for round in 0..30 {
            for _ in 0..if round % 3 == 0 { 1_000 } else { 1 } {
                world.deposit();
            }
            if round % 4 == 0 {
                world.settle(&mut historian, &history);
            } else {
                world.step(&mut historian);
            }
            if round == 20 {
                // Away for a while, and back behind what it has missed.
                drop(historian);
                world.replica.close_tap(View::Ledger);
                historian = start();
            }
        }
        world.settle(&mut historian, &history);
        drop(historian);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
