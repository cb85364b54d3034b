//! The bounded queue between the hot thread and that of market data.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use engine::Engine;
use journal::Disk;
use protocol::event::Event;
use protocol::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use protocol::{EventBody, MarketId, MonoNanos, Seq, Side, UnixNanos};
use replicas::{CatchUp, Now, Replica, Tapped, View};
use tokio::sync::Notify;
use views::market::{MarketData, Past, RestingOrder};

use crate::clock::Clock;
use crate::fault::NodeFault;
use crate::threads::{self, Ending};

/// Bytes of frames and events that may wait. Few in tests, so that some are lost.
const QUEUE_BYTES_MAX: usize = if cfg!(test) { 4 << 10 } else { 64 << 20 };
/// How often the thread looks for more while something comes: the hot thread does not have to wake it up.
const LOOK: Duration = Duration::from_millis(1);
/// Before the thread begins again that has died.
const AGAIN_NANOS: u64 = if cfg!(test) { 1 } else { 1_000 * NANOS_PER_MILLI };
/// A thread that has died keeps what it had, so it does not do so for ever.
const LIVES_MAX: u32 = 16;
/// How often the thread is told what time it is.
const TELL_TIME_NANOS: u64 = NANOS_PER_SECOND;
/// How long the end of the node waits for that of the thread.
const GOODBYE: Duration = Duration::from_secs(2);
/// After so many looks in vain it sleeps.
const LOOKS: u32 = 50;

/// What market data begin with.
pub(super) struct Begin {
    /// Behind this record, and its time.
    pub(super) at: (Seq, UnixNanos),
    /// Assets, markets, and what was published of these.
    pub(super) definitions: Vec<EventBody>,
    /// What is visible of each market's orders, in price-time order.
    pub(super) orders: Vec<(MarketId, Vec<RestingOrder>)>,
}

impl Begin {
    /// As the engine stands, between two frames.
    fn of(engine: &Engine) -> Self {
        let mut definitions = engine.definitions();
        definitions.retain(MarketData::wants);
        definitions.extend(engine.published());
        let orders = engine.markets().map(|market| {
            let market = market.definition.market;
            let sides = [Side::Buy, Side::Sell].into_iter().flat_map(|side| engine.queue(market, side));
            let visible = sides.map(|resting| RestingOrder {
                order: resting.id,
                side: resting.side,
                price_ticks: resting.price,
                qty_lots: resting.visible(),
            });
            (market, visible.collect())
        });
        Self { at: (engine.seq_applied(), engine.time()), orders: orders.collect(), definitions }
    }
}

/// What comes out of the queue.
pub(super) enum Fed {
    /// All that was asked for, from the beginning.
    Begin(Begin),
    /// What was applied behind it.
    Applied(Vec<Tapped>),
    /// How what was applied before it is to be had.
    CatchUp(Box<CatchUp>),
    /// What happened before it.
    Past(Box<Past>),
    /// The past is kept up to here, and they began before: they begin again when they have come to it.
    Ahead(Seq),
    /// So late it is by the cluster's clocks.
    Time(UnixNanos),
    /// Something is missing from here on.
    Gap,
    /// The node ends.
    End,
}

/// Between the two threads.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Something is in the queue, for a thread that sleeps.
    filled: Notify,
    /// Whoever follows wants to begin.
    lost: AtomicBool,
    stopping: AtomicBool,
    /// What time it is, until somebody has looked.
    time_ns: AtomicU64,
}

#[derive(Default)]
struct Queue {
    begin: Option<Begin>,
    catch_up: Option<Box<CatchUp>>,
    past: Option<Box<Past>>,
    ahead: Option<Seq>,
    tapped: Vec<Tapped>,
    bytes: usize,
    /// What came behind was dropped, and nothing more is put in.
    has_gap: bool,
    asleep: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a beginning: it is the next that comes.
    pub(super) fn begin(&self) {
        *self.queue() = Queue::default();
        self.lost.store(true, Ordering::Release);
    }

    /// Hands over what happened before market data began.
    pub(super) fn hand_over(&self, past: Past) {
        self.queue().past = Some(Box::new(past));
        self.filled.notify_one();
    }

    /// Tells that the past is kept up to a record that is still to come.
    pub(super) fn is_ahead(&self, seq: Seq) {
        self.queue().ahead = Some(seq);
        self.filled.notify_one();
    }

    /// Waits for what comes next.
    pub(super) async fn next(&self) -> Fed {
        let mut looks = 0;
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Fed::End;
            }
            {
                let mut queue = self.queue();
                if let Some(begin) = queue.begin.take() {
                    return Fed::Begin(begin);
                }
                if let Some(catch_up) = queue.catch_up.take() {
                    return Fed::CatchUp(catch_up);
                }
                if let Some(past) = queue.past.take() {
                    return Fed::Past(past);
                }
                if let Some(seq) = queue.ahead.take() {
                    return Fed::Ahead(seq);
                }
                if !queue.tapped.is_empty() {
                    queue.bytes = 0;
                    return Fed::Applied(std::mem::take(&mut queue.tapped));
                }
                if queue.has_gap {
                    return Fed::Gap;
                }
                let time = self.time_ns.swap(0, Ordering::AcqRel);
                if time > 0 {
                    return Fed::Time(UnixNanos(time));
                }
                queue.asleep = looks >= LOOKS;
            }
            if looks >= LOOKS {
                self.filled.notified().await;
                looks = 0;
            } else {
                tokio::time::sleep(LOOK).await;
                looks += 1;
            }
        }
    }
}

/// What the thread does in each of its lives.
type Run = dyn Fn(&Arc<Shared>) + Send + Sync;

/// The queue, and the thread behind it, from the hot thread's side.
pub(crate) struct Feeder {
    shared: Arc<Shared>,
    run: Arc<Run>,
    ended: mpsc::Receiver<Ending>,
    /// It has died, and begins again then.
    again_at: Option<MonoNanos>,
    lives: u32,
    /// A tap was opened, and what comes before it is not durable yet.
    opening: bool,
    /// When it was last told what time it is.
    told_time: MonoNanos,
    clock: Clock,
}

impl Feeder {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there is none to be had.
    pub(super) fn start(
        clock: Clock,
        run: impl Fn(&Arc<Shared>) + Send + Sync + 'static,
    ) -> Result<Self, NodeFault> {
        let (shared, run): (_, Arc<Run>) = (Arc::new(Shared::default()), Arc::new(run));
        let ended = live(&shared, &run).map_err(NodeFault::io("a thread"))?;
        Ok(Self {
            shared,
            run,
            ended,
            again_at: None,
            lives: 1,
            opening: false,
            told_time: MonoNanos(0),
            clock,
        })
    }

    /// Bytes that wait, and whether something is missing behind them.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, bool) {
        let queue = self.shared.queue();
        (queue.bytes, queue.has_gap)
    }

    /// One bounded bite, but for a beginning, which copies what rests: hands on what was applied. Never waits but for the queue's lock,
    /// which nobody holds for long. `now` is the cluster's time.
    pub(crate) fn step<D: Disk>(&mut self, now: Now, replica: &mut Replica<D>) {
        if let Ok(ending) = self.ended.try_recv() {
            let lives = self.lives;
            tracing::error!(?ending, lives, "market data have died; trading goes on");
            // What the dead one may still hold is of no use to anybody.
            self.shared = Arc::new(Shared::default());
            replica.close_tap(View::Market);
            self.opening = false;
            self.again_at = (lives < LIVES_MAX).then(|| now.mono.plus(AGAIN_NANOS));
        }
        if self.again_at.is_some_and(|at| now.mono >= at) {
            self.again_at = None;
            self.lives += 1;
            match live(&self.shared, &self.run) {
                Ok(ended) => self.ended = ended,
                Err(error) => tracing::error!(%error, "there is no thread for market data"),
            }
        }
        let begins = self.shared.lost.swap(false, Ordering::AcqRel);
        if begins {
            let since = self.clock.mono();
            let begin = Begin::of(replica.engine());
            replica.open_tap(View::Market, MarketData::wants);
            let orders: usize = begin.orders.iter().map(|(_, orders)| orders.len()).sum();
            let micros = self.clock.mono().since(since) / 1_000;
            tracing::info!(seq = begin.at.0.0, orders, micros, "market data begin");
            *self.shared.queue() = Queue { begin: Some(begin), ..Queue::default() };
            self.opening = true;
        }
        if self.opening
            && let Some(catch_up) = replica.begin_catch_up(View::Market)
        {
            self.opening = false;
            self.shared.queue().catch_up = Some(Box::new(catch_up));
            self.shared.filled.notify_one();
        }
        if now.mono.since(self.told_time) >= TELL_TIME_NANOS {
            self.told_time = now.mono;
            self.shared.time_ns.store(now.wall.0, Ordering::Release);
            self.shared.filled.notify_one();
        }
        let tapped = replica.take_tapped(View::Market);
        if tapped.is_empty() && !begins {
            return;
        }
        let mut queue = self.shared.queue();
        queue.bytes += tapped.iter().map(bytes_of).sum::<usize>();
        queue.tapped.extend(tapped);
        if queue.bytes > QUEUE_BYTES_MAX {
            *queue = Queue { has_gap: true, asleep: queue.asleep, ..Queue::default() };
            replica.close_tap(View::Market);
            self.opening = false;
        }
        let is_asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if is_asleep || begins {
            self.shared.filled.notify_one();
        }
    }
}

impl Drop for Feeder {
    /// Readers are told that the node ends, if the thread still can.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.filled.notify_one();
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.ended.recv_timeout(GOODBYE) {
            tracing::warn!("readers of market data were not told that the node stops");
        }
    }
}

/// Begins a life of the thread.
fn live(shared: &Arc<Shared>, run: &Arc<Run>) -> io::Result<mpsc::Receiver<Ending>> {
    let (shared, run) = (Arc::clone(shared), Arc::clone(run));
    threads::start_expendable("market", move || run(&shared))
}

fn bytes_of(tapped: &Tapped) -> usize {
    match tapped {
        Tapped::Applied { frame, events, .. } => frame.len() + events.len() * size_of::<Event>(),
        Tapped::Again { .. } => size_of::<Tapped>(),
    }
}
