//! Subscriptions to market data, and what each of them gets next.
//!
//! Nothing is queued for a reader: what it has not had yet stands in the market's own state, which is bounded, and is put together when it
//! has room for a packet. A reader that is slow therefore gets less of what came between, and costs no more.

use std::collections::{BTreeMap, BTreeSet};

use protocol::time::NANOS_PER_SECOND;
use protocol::{MarketId, MonoNanos, Seq};

use super::data::MarketData;
use super::packet::Packet;
use super::past::Past;
use super::subscription::{Channel, Cut, Subscription};

/// Names a subscription; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(
    /// The number.
    pub u64,
);

/// Bounds of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherLimits {
    /// Subscriptions of all readers together, of at most 1.5 KB each.
    pub subscriptions_max: usize,
    /// Who leaves something unread for so many nanoseconds, and reads nothing meanwhile, is cut.
    pub stall_ns: u64,
    /// Who is found to have lost its place so often, one time behind the other, is cut at the next.
    pub losses_max: u32,
}

impl Default for PublisherLimits {
    fn default() -> Self {
        Self { subscriptions_max: 65_536, stall_ns: 10 * NANOS_PER_SECOND, losses_max: 3 }
    }
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeRefusal {
    /// There is no such market.
    #[error("no such market")]
    UnknownMarket,
    /// There are as many subscriptions as there may be.
    #[error("too many subscriptions")]
    TooManySubscriptions,
}

/// What a subscription gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This, and perhaps more.
    Packet(Packet),
    /// It has everything.
    Nothing,
    /// It was ended.
    Cut(Cut),
    /// There is no such subscription.
    Unknown,
}

/// Market data, and who reads them.
#[derive(Debug)]
pub struct Publisher {
    data: MarketData,
    limits: PublisherLimits,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Those that were cut, and whose readers do not know it yet.
    stalled: BTreeSet<SubscriptionId>,
    last: SubscriptionId,
}

impl Publisher {
    /// Nobody reads yet.
    #[must_use]
    pub const fn new(data: MarketData, limits: PublisherLimits) -> Self {
        Self {
            data,
            limits,
            subscriptions: BTreeMap::new(),
            stalled: BTreeSet::new(),
            last: SubscriptionId(0),
        }
    }

    /// What is published.
    #[must_use]
    pub const fn data(&self) -> &MarketData {
        &self.data
    }

    /// The same, to feed it.
    pub const fn data_mut(&mut self) -> &mut MarketData {
        &mut self.data
    }

    /// Goes on with market data that begin elsewhere. Every subscription gets its state anew; those of markets that are not there end.
    pub fn begin_again(&mut self, data: MarketData) {
        self.data = data;
        let data = &self.data;
        self.subscriptions.retain(|_, subscription| subscription.begin_again(data));
    }

    /// Puts in front what happened before market data began; their subscriptions go on. Returns whether it ends where they began.
    pub fn prepend(&mut self, past: Past) -> bool {
        let before = self.data.began().1;
        let counts: BTreeMap<MarketId, (u64, u64)> =
            self.data.markets().map(|(id, market)| (id, market.tape().counts())).collect();
        if !self.data.prepend(past) {
            return false;
        }
        let past = self.data.markets().map(|(id, market)| {
            let (trades, changes) = counts.get(&id).copied().unwrap_or_default();
            let (all_trades, all_changes) = market.tape().counts();
            (id, (all_trades - trades, all_changes - changes))
        });
        let past: BTreeMap<MarketId, (u64, u64)> = past.collect();
        for subscription in self.subscriptions.values_mut() {
            subscription.prepend(&self.data, &past, before);
        }
        true
    }

    /// Subscribes to a market, or to [`super::ALL_MARKETS`]. `since`: the reader has the levels or the orders of this seq already, and goes on from there if that is kept.
    ///
    /// # Errors
    /// [`SubscribeRefusal`].
    pub fn subscribe(
        &mut self,
        id: MarketId,
        channel: Channel,
        since: Option<Seq>,
    ) -> Result<SubscriptionId, SubscribeRefusal> {
        // What this node has not seen yet it cannot go on from.
        let since = since.filter(|&since| since <= self.data.seq());
        let subscription = Subscription::new(id, channel, &self.data, since);
        let subscription = subscription.ok_or(SubscribeRefusal::UnknownMarket)?;
        if self.subscriptions.len() >= self.limits.subscriptions_max {
            return Err(SubscribeRefusal::TooManySubscriptions);
        }
        self.last = SubscriptionId(self.last.0 + 1);
        self.subscriptions.insert(self.last, subscription);
        Ok(self.last)
    }

    /// Ends a subscription. Returns whether there was one.
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> bool {
        self.stalled.remove(&id) | self.subscriptions.remove(&id).is_some()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether a subscription was cut because its reader stalls, and [`Self::next`] has not said so yet.
    #[must_use]
    pub fn is_stalled(&self, id: SubscriptionId) -> bool {
        self.stalled.contains(&id)
    }

    /// The next packet for a reader that has room for one.
    pub fn next(&mut self, id: SubscriptionId) -> Next {
        if self.stalled.remove(&id) {
            return Next::Cut(Cut::Stalled);
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return Next::Unknown };
        subscription.behind_since = None;
        let taken = subscription.take(&self.data);
        let Some(body) = taken.body else { return Next::Nothing };
        if subscription.count_loss(taken.is_lost) > self.limits.losses_max {
            self.subscriptions.remove(&id);
            return Next::Cut(Cut::FellBehind);
        }
        let market = subscription.market;
        self.data.stamp(market).map_or(Next::Unknown, |stamp| Next::Packet(Packet { stamp, body }))
    }

    /// Ends the subscriptions that have left something unread for too long; to be called every now and then. Returns how many:
    /// each hears of it by its next call of [`Self::next`].
    pub fn cut_stalled(&mut self, now: MonoNanos) -> usize {
        let (data, stall_ns) = (&self.data, self.limits.stall_ns);
        let before = self.stalled.len();
        self.subscriptions.retain(|&id, subscription| {
            if !subscription.may_have_more(data) {
                subscription.behind_since = None;
                return true;
            }
            let since = *subscription.behind_since.get_or_insert(now);
            let is_stalled = now.since(since) >= stall_ns;
            if is_stalled {
                self.stalled.insert(id);
            }
            !is_stalled
        });
        self.stalled.len() - before
    }
}
