//! What happened before market data began: a thread of its own runs the journal again, from where its file of tapes ends, and hands over what
//! comes of it. Market data go on meanwhile. Now and then, and at the end, it writes the file anew.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use journal::FileDisk;
use protocol::hash::Hash;
use protocol::{MarketId, Seq, UnixNanos};
use replicas::{CatchUp, CatchUpFault};
use views::market::{MarketFault, MarketLimits, Past, PastWriter, TapeEnd};

use super::feed::Shared;
use super::hall::Hall;
use crate::threads::{self, Ending};

/// Between two files. After a crash so much of the journal is run again, and what lies before it up to a snapshot: no longer than snapshots
/// are apart at least, or the oldest one that is kept would lie behind.
const SAVE: Duration = Duration::from_secs(60);
/// How long the end of the node waits for the last one.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the thread is told.
enum Job {
    /// Market data have begun behind this.
    CatchUp(Box<CatchUp>),
    /// The node ends.
    End,
}

/// The thread, from that of market data's side.
pub(super) struct Keeper {
    jobs: Sender<Job>,
    /// The jobs that were given: who runs for another one than the last may stop.
    given: Arc<AtomicU64>,
    ended: Receiver<Ending>,
}

impl Keeper {
    /// Starts the thread: the file is at `path`.
    ///
    /// # Errors
    /// If there is none to be had.
    pub(super) fn start(
        path: PathBuf,
        disk: FileDisk,
        shared: Arc<Shared>,
        hall: Arc<Hall>,
    ) -> io::Result<Self> {
        let (jobs, given_to) = mpsc::channel();
        let given = Arc::new(AtomicU64::new(0));
        let mut work = Work {
            path,
            disk,
            shared,
            hall,
            jobs: given_to,
            given: Arc::clone(&given),
            taken: 0,
            saved: None,
        };
        let ended = threads::start_expendable("market past", move || work.run())?;
        Ok(Self { jobs, given, ended })
    }

    fn give(&self, job: Job) {
        self.given.fetch_add(1, Ordering::AcqRel);
        if self.jobs.send(job).is_err() {
            tracing::error!("nobody is there to run the past of market data again");
        }
    }

    /// Has the past run again that ends where market data began.
    pub(super) fn catch_up(&self, catch_up: Box<CatchUp>) {
        self.give(Job::CatchUp(catch_up));
    }

    /// Has the file written for the last time.
    pub(super) fn end(&self) {
        self.give(Job::End);
    }

    /// Waits until it is, but not for long.
    pub(super) fn wait(self) {
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(GOODBYE) {
            tracing::warn!("the past of market data was not kept: it is run again");
        }
    }
}

/// Why there is no past.
#[derive(Debug, thiserror::Error)]
enum Lack {
    #[error(transparent)]
    CatchUp(#[from] CatchUpFault),
    #[error(transparent)]
    Market(#[from] MarketFault),
}

impl Lack {
    /// It was told to stop, and nothing is wrong.
    const fn is_stop(&self) -> bool {
        matches!(self, Self::CatchUp(CatchUpFault::Stopped))
    }
}

/// The thread's own.
struct Work {
    path: PathBuf,
    disk: FileDisk,
    shared: Arc<Shared>,
    hall: Arc<Hall>,
    jobs: Receiver<Job>,
    given: Arc<AtomicU64>,
    taken: u64,
    /// Where the newest tape of the file ends.
    saved: Option<Seq>,
}

impl Work {
    fn run(&mut self) {
        loop {
            match self.jobs.recv_timeout(SAVE) {
                Ok(Job::CatchUp(catch_up)) => {
                    self.taken += 1;
                    self.catch_up(&catch_up);
                }
                Err(RecvTimeoutError::Timeout) => self.save(),
                Ok(Job::End) | Err(RecvTimeoutError::Disconnected) => return self.save(),
            }
        }
    }

    fn catch_up(&mut self, catch_up: &CatchUp) {
        let kept = Past::read(&self.path, MarketLimits::default()).unwrap_or_else(|error| {
            tracing::warn!(%error, "the tapes of market data are run anew: their file is of no use");
            None
        });
        if let Some(kept) = &kept
            && kept.end().seq > catch_up.seq()
        {
            // The engine began at a snapshot, and is still on its way to where the file ends.
            return self.shared.is_ahead(kept.end().seq);
        }
        match self.run_from_best(catch_up, kept) {
            Ok(past) => self.shared.hand_over(past),
            Err(lack) if lack.is_stop() => {}
            Err(lack) => {
                tracing::error!(%lack, "market data have no past: they count from where they began");
            }
        }
    }

    /// From where the file ends; if that is of no use from the beginning; if the log does not reach back so far, from where it does.
    fn run_from_best(&mut self, catch_up: &CatchUp, kept: Option<Past>) -> Result<Past, Lack> {
        if let Some(kept) = kept {
            match self.run_again(catch_up, kept) {
                Err(lack) if !lack.is_stop() => {
                    tracing::warn!(%lack, "the tapes of market data are run anew");
                    drop(std::fs::remove_file(&self.path));
                }
                ran => return ran,
            }
        }
        let beginning = TapeEnd { seq: Seq::ZERO, time: UnixNanos(0), effects: Hash::ZERO };
        let mut ran = self.run_again(catch_up, Past::begin(MarketLimits::default(), beginning));
        if let Err(Lack::CatchUp(CatchUpFault::Reread(_))) = &ran {
            for (seq, time, effects) in catch_up.later_beginnings(&mut self.disk)? {
                let begin = TapeEnd { seq, time, effects };
                ran = self.run_again(catch_up, Past::begin(MarketLimits::default(), begin));
                if !matches!(ran, Err(Lack::CatchUp(CatchUpFault::Reread(_)))) {
                    break;
                }
            }
        }
        ran
    }

    fn run_again(&mut self, catch_up: &CatchUp, mut past: Past) -> Result<Past, Lack> {
        let (TapeEnd { seq, effects, .. }, mut fault) = (past.end(), None);
        tracing::info!(from_seq = seq.0, to_seq = catch_up.seq().0, "the past of market data is run again");
        let (given, taken) = (&self.given, self.taken);
        let ran = catch_up.run(&mut self.disk, (seq, effects), &mut |frame, events, effects| {
            fault = past.take_frame(&frame.header, events, effects).err();
            fault.is_none() && given.load(Ordering::Acquire) == taken
        });
        match fault {
            Some(fault) => Err(fault.into()),
            None => Ok(ran.map(|()| past)?),
        }
    }

    /// Writes the file anew, market by market, unless nothing has happened since.
    fn save(&mut self) {
        let Some((began, markets)) = self.hall.markets() else { return };
        if let Err(error) = self.write(began, &markets) {
            tracing::warn!(%error, "the tapes of market data are not kept");
        }
    }

    fn write(&mut self, began: (Seq, UnixNanos), markets: &[MarketId]) -> io::Result<()> {
        let Some(&first) = markets.first() else { return Ok(()) };
        let now = self.hall.spool(first).map(|(_, end)| end.seq);
        if now == self.saved {
            return Ok(());
        }
        let path: &Path = &self.path;
        let mut writer = PastWriter::begin(path, began, markets.len())?;
        for &market in markets {
            // Where market data begin again the file is left as it was.
            let Some((tape, end)) = self.hall.spool(market) else { return Ok(()) };
            writer.append(market, &tape, end)?;
        }
        writer.finish(path)?;
        self.saved = now;
        Ok(())
    }
}
