//! What all connections share: the publisher, the word that there is something new, and the places.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::binary::market::MarketMessage;
use protocol::{MarketId, MonoNanos, Seq, UnixNanos};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use views::market::{
    MarketData, OutOfTurn, Past, Publisher, PublisherLimits, Session, SessionLimits, Stalled, Tape, TapeEnd,
};

use super::Counts;

/// Bytes that are put together for a reader at once, and the packet that they end with.
const GATHERED_BYTES: usize = 64 << 10;
/// How long connections may take to end.
const CLOSE: Duration = Duration::from_secs(1);

/// Is shared by the tasks of one thread, and by the one that keeps the past: nobody waits for its lock for long.
pub(super) struct Hall {
    state: Mutex<State>,
    /// Everything up to here can be read; or the end, once the sender is gone.
    news: Mutex<Option<watch::Sender<Seq>>>,
    places: Arc<Semaphore>,
    connections_max: usize,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct State {
    publisher: Option<Publisher>,
    /// What the publisher has is to be believed.
    is_ready: bool,
    /// What happened before it began is in it.
    has_past: bool,
}

impl State {
    /// The publisher, while what it has is to be believed.
    fn ready(&mut self) -> Option<&mut Publisher> {
        self.publisher.as_mut().filter(|_| self.is_ready)
    }
}

/// A place for one connection.
pub(super) struct Place {
    hall: Arc<Hall>,
    session: Session,
    news: watch::Receiver<Seq>,
    _permit: OwnedSemaphorePermit,
}

impl Hall {
    pub(super) fn new(counts: Arc<Counts>, connections_max: usize) -> Self {
        for count in [&counts.connections, &counts.subscriptions, &counts.has_past] {
            // Those of the life before are gone.
            count.store(0, Ordering::Relaxed);
        }
        Self {
            state: Mutex::new(State::default()),
            news: Mutex::new(Some(watch::Sender::new(Seq::ZERO))),
            places: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            counts,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, Option<watch::Sender<Seq>>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn connections_max(&self) -> usize {
        self.connections_max
    }

    fn tell_all(&self, seq: Seq) {
        self.counts.seq.store(seq.0, Ordering::Relaxed);
        if let Some(news) = &*self.news() {
            news.send_replace(seq);
        }
    }

    /// Goes on with market data that begin.
    pub(super) fn begin(&self, data: MarketData) {
        let mut state = self.state();
        let seq = data.seq();
        state.publisher = Some(match state.publisher.take() {
            Some(mut publisher) => {
                publisher.begin_again(data);
                publisher
            }
            None => Publisher::new(data, PublisherLimits::default()),
        });
        (state.is_ready, state.has_past) = (true, false);
        drop(state);
        self.counts.has_past.store(0, Ordering::Relaxed);
        self.counts.begins.fetch_add(1, Ordering::Relaxed);
        self.tell_all(seq);
    }

    /// Nothing is to be believed until they begin again.
    pub(super) fn shut(&self) {
        self.state().is_ready = false;
    }

    /// Feeds the publisher, if there is one. Returns how far it has come.
    pub(super) fn feed<F>(&self, feed: impl FnOnce(&mut Publisher) -> Result<(), F>) -> Result<Seq, F> {
        let mut state = self.state();
        let Some(publisher) = &mut state.publisher else { return Ok(Seq::ZERO) };
        feed(publisher)?;
        let seq = publisher.data().seq();
        drop(state);
        self.tell_all(seq);
        Ok(seq)
    }

    /// How far it has come.
    pub(super) fn seq(&self) -> Seq {
        self.state().publisher.as_ref().map_or(Seq::ZERO, |publisher| publisher.data().seq())
    }

    /// Says what time it is. Readers hear of it when a minute has ended: windows begin with one.
    pub(super) fn pass_time(&self, time: UnixNanos) {
        let mut state = self.state();
        let Some(publisher) = state.ready() else { return };
        if publisher.data_mut().pass_time(time) {
            let seq = publisher.data().seq();
            drop(state);
            self.tell_all(seq);
        }
    }

    /// Puts in front what happened before market data began. What ends elsewhere is of market data that are gone.
    pub(super) fn prepend(&self, past: Past) {
        let mut state = self.state();
        let Some(publisher) = state.ready() else { return };
        if !publisher.prepend(past) {
            return;
        }
        let (seq, began) = (publisher.data().seq(), publisher.data().began().0);
        state.has_past = true;
        drop(state);
        self.counts.has_past.store(1, Ordering::Relaxed);
        tracing::info!(seq = seq.0, from_seq = began.0, "market data have their past");
        self.tell_all(seq);
    }

    /// The markets, and where their tapes begin; `None` as long as the past is lacking.
    pub(super) fn markets(&self) -> Option<((Seq, UnixNanos), Vec<MarketId>)> {
        let mut state = self.state();
        let has_past = state.has_past;
        let publisher = state.ready().filter(|_| has_past)?;
        let markets = publisher.data().markets().map(|(id, _)| id).collect();
        Some((publisher.data().began(), markets))
    }

    /// A market's tape as it is, and where it ends; `None` where market data have begun again meanwhile.
    pub(super) fn spool(&self, market: MarketId) -> Option<(Tape, TapeEnd)> {
        let mut state = self.state();
        let has_past = state.has_past;
        state.ready().filter(|_| has_past)?.data().spool(market)
    }

    pub(super) fn cut_stalled(&self, now: MonoNanos) {
        let mut state = self.state();
        let Some(publisher) = state.ready() else { return };
        publisher.cut_stalled(now);
        let subscriptions = u64::try_from(publisher.subscriptions()).unwrap_or(u64::MAX);
        self.counts.subscriptions.store(subscriptions, Ordering::Relaxed);
    }

    /// A place for a connection; `None` = there is none left.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        let news = self.news().as_ref().map(watch::Sender::subscribe);
        let (Ok(permit), Some(mut news)) = (permit, news) else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        news.mark_changed();
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(SessionLimits::default());
        Some(Place { hall: Arc::clone(self), session, news, _permit: permit })
    }

    /// Tells all connections that the node ends, and waits for a moment until they have.
    pub(super) async fn close(&self) {
        *self.news() = None;
        let all = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        // Who does not end in time is left behind.
        drop(tokio::time::timeout(CLOSE, self.places.acquire_many(all)).await);
    }
}

impl Place {
    /// Takes a request, and appends the answer.
    pub(super) fn hear(&mut self, message: &MarketMessage<'_>, out: &mut Vec<u8>) -> Result<(), OutOfTurn> {
        self.session.hear(self.hall.state().ready(), message, out)
    }

    /// Appends what the reader has not had yet.
    pub(super) fn tell(&mut self, out: &mut Vec<u8>) -> Result<(), Stalled> {
        let mut state = self.hall.state();
        let Some(publisher) = state.ready() else { return Ok(()) };
        let fell_behind = &self.hall.counts.fell_behind;
        let before = self.session.subscriptions();
        let told = self.session.tell(publisher, GATHERED_BYTES, out);
        let ended = before - self.session.subscriptions();
        fell_behind.fetch_add(u64::try_from(ended).unwrap_or(u64::MAX), Ordering::Relaxed);
        told
    }

    /// Appends a sign of life, if there is anything to be told of.
    pub(super) fn heartbeat(&self, out: &mut Vec<u8>) {
        if let Some(publisher) = &self.hall.state().publisher {
            Session::heartbeat(publisher, out);
        }
    }

    /// Whether the reader was cut meanwhile.
    pub(super) fn is_stalled(&self) -> bool {
        let state = self.hall.state();
        state.publisher.as_ref().is_some_and(|publisher| self.session.is_stalled(publisher))
    }

    /// Counts a connection that was cut because nothing was read.
    pub(super) fn count_stalled(&self) {
        self.hall.counts.stalled.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for something new. False at the end of the node.
    pub(super) async fn news(&mut self) -> bool {
        self.news.changed().await.is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(publisher) = &mut self.hall.state().publisher {
            self.session.finish(publisher);
        }
        self.hall.counts.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
