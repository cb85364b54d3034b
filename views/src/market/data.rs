//! All markets, followed record by record.

use std::collections::BTreeMap;

use protocol::binary::market::Listing;
use protocol::book::BookLevel;
use protocol::commands::{DefineAsset, DefineMarket, SetTradingRules};
use protocol::event::Event;
use protocol::events::{
    AuctionIndicated, AuctionUncrossed, BookChanged, MarketPhaseChanged, PricePublished, Settled,
    TradingRulesSet,
};
use protocol::frame::FrameHeader;
use protocol::hash::Hash;
use protocol::time::NANOS_PER_SECOND;
use protocol::{
    AssetId, BookAction, EventBody, MarketId, MarketPhase, QtyLots, Seq, Side, Text, TradeId, UnixNanos,
};

use super::all_markets::ALL_MARKETS;
use super::book::{Book, Misfit, RestingOrder};
use super::candles::{Candle, Candles};
use super::changes::{Changes, OrderAction, OrderChange, TooOld};
use super::fault::MarketFault;
use super::packet::Stamp;
use super::past::{Past, TapeEnd};
use super::status::{Published, Status};
use super::tape::Tape;
use super::ticker::{Ticker, Window};
use super::trades::{Trade, TradeChange, Trades};

const MINUTE: u64 = 60 * NANOS_PER_SECOND;

/// How much is kept of each market: the oldest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketLimits {
    /// Changes of its book, of 72 bytes.
    pub changes_kept: usize,
    /// Trades, of 64 bytes.
    pub trades_kept: usize,
    /// What became of trades, of 112 bytes.
    pub trade_changes_kept: usize,
    /// Candles with trades of each length, of 96 bytes; not fewer than a day has minutes.
    pub candles_kept: usize,
    /// Those of a quarter of an hour: as far back go candles of days and longer by a local time.
    pub quarter_hours_kept: usize,
}

impl Default for MarketLimits {
    /// At most 1.2 MB of changes, 1.2 MB of trades and 5.6 MB of candles, for a market that is never without a trade for a second: of its
    /// quarters of an hour a year.
    fn default() -> Self {
        Self {
            changes_kept: 16_384,
            trades_kept: 16_384,
            trade_changes_kept: 1_024,
            candles_kept: 1_500,
            quarter_hours_kept: 366 * 24 * 4,
        }
    }
}

impl MarketLimits {
    /// With so many candles at least as tickers are summed up from.
    pub(crate) const fn with_windows(mut self) -> Self {
        if self.candles_kept < Window::MINUTES_MAX {
            self.candles_kept = Window::MINUTES_MAX;
        }
        self
    }
}

const _: () = assert!(size_of::<OrderChange>() == 72 && size_of::<Candle>() == 96);
const _: () = assert!(size_of::<Trade>() == 64 && size_of::<TradeChange>() == 112);

/// One market as everybody may see it.
#[derive(Clone, Debug)]
pub struct Market {
    listing: Listing,
    book: Book,
    changes: Changes,
    tape: Tape,
    published: Published,
    /// The last record that changed the book.
    changed: Seq,
    /// Of the book as it is, once somebody has asked.
    checksum: Option<u32>,
}

impl Market {
    fn new(
        listing: Listing,
        phase: MarketPhase,
        limits: &MarketLimits,
        (seq, time): (Seq, UnixNanos),
    ) -> Self {
        Self {
            listing,
            book: Book::default(),
            changes: Changes::new(limits.changes_kept, seq),
            tape: Tape::new(limits, time),
            published: Published::new(listing.market, phase, seq),
            changed: seq,
            checksum: None,
        }
    }

    /// Its name, and what its ticks and lots are.
    #[must_use]
    pub const fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Its visible book.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Its trades.
    #[must_use]
    pub const fn trades(&self) -> &Trades {
        self.tape.trades()
    }

    /// Its candles.
    #[must_use]
    pub const fn candles(&self) -> &Candles {
        self.tape.candles()
    }

    /// What happened in it.
    #[must_use]
    pub const fn tape(&self) -> &Tape {
        &self.tape
    }

    /// In which state it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.published.status(self.tape.phase(), self.tape.auction())
    }

    /// The last record that changed its state; at first the one that it began with.
    #[must_use]
    pub const fn status_changed(&self) -> Seq {
        self.published.changed
    }

    /// What was traded in a window that ends at `now`, which is not before the last trade. `None` as long as nothing was traded since market
    /// data began.
    #[must_use]
    pub fn ticker(&self, window: Window, now: UnixNanos) -> Option<Ticker> {
        Ticker::of(self.tape.candles(), window, now)
    }

    /// The last record that changed the book; at first the one that it began with.
    #[must_use]
    pub const fn changed(&self) -> Seq {
        self.changed
    }

    /// What changed in the book behind a seq, in order.
    ///
    /// # Errors
    /// [`TooOld`]: the book has to be taken anew.
    pub fn changes_since(&self, seq: Seq) -> Result<impl Iterator<Item = &OrderChange>, TooOld> {
        self.changes.since(seq)
    }

    /// The levels that changed behind a seq as they are now, bids then asks; those without lots are gone.
    ///
    /// # Errors
    /// [`TooOld`]: the book has to be taken anew.
    pub fn levels_since(&self, seq: Seq) -> Result<Vec<(Side, BookLevel)>, TooOld> {
        self.changes.levels_since(seq, &self.book)
    }

    /// The checksum of the book. It is computed once for each state of the book that somebody asks for.
    pub fn checksum(&mut self) -> u32 {
        let book = &self.book;
        *self.checksum.get_or_insert_with(|| book.checksum())
    }

    fn change(&mut self, change: OrderChange) {
        self.changed = change.seq;
        self.checksum = None;
        self.changes.push(change);
    }

    /// A trade takes from the resting order, and from the incoming one too where it rests: in an auction both do.
    ///
    /// What one group of clients moves between its accounts instead of trading with itself is trade 0: nobody's news, and what it takes from
    /// the resting order is said by a [`BookChanged`].
    fn settle(&mut self, settled: &Settled, seq: Seq, time: UnixNanos) -> Result<(), Misfit> {
        if settled.trade == TradeId(0) {
            return Ok(());
        }
        let maker = self.book.order(settled.maker_order).ok_or("a trade with an order that does not rest")?;
        if maker.side == settled.taker_side {
            return Err("a trade of two orders of one side");
        }
        let taker = self.book.order(settled.taker_order);
        if taker.is_none() && maker.price_ticks != settled.price_ticks {
            return Err("a trade at another price than the resting order's");
        }
        for resting in [Some(maker), taker].into_iter().flatten() {
            let left = resting.qty_lots.0.checked_sub(settled.qty_lots.0);
            let left_lots = QtyLots(left.ok_or("a trade of more than is visible")?);
            let RestingOrder { order, side, price_ticks, .. } = resting;
            self.book.lower(order, left_lots)?;
            let action = OrderAction::Executed { trade: settled.trade, qty_lots: settled.qty_lots };
            self.change(OrderChange { seq, time, order, side, price_ticks, left_lots, action });
        }
        self.tape.settle(settled, seq, time);
        Ok(())
    }

    /// What is published of its state.
    fn publish(&mut self, body: &EventBody, seq: Seq, time: UnixNanos) {
        let published = &mut self.published;
        #[expect(clippy::wildcard_enum_match_arm, reason = "all else says nothing of its state")]
        match body {
            EventBody::MarketPhaseChanged(changed) => {
                (published.phase, published.indicated) = (changed.phase, None);
                self.tape.begin_phase(changed, seq, time);
            }
            EventBody::AuctionIndicated(indicated) => published.indicated = Some(indicated.clone()),
            EventBody::AuctionUncrossed(uncrossed) => self.tape.uncross(uncrossed, seq, time),
            EventBody::PricePublished(index) => published.index = Some(index.clone()),
            EventBody::TradingRulesSet(set) => published.rules = set.rules.clone(),
            _ => return,
        }
        published.changed = seq;
    }

    fn move_in_book(&mut self, changed: &BookChanged, seq: Seq, time: UnixNanos) -> Result<(), Misfit> {
        let said = RestingOrder {
            order: changed.order,
            side: changed.side,
            price_ticks: changed.price_ticks,
            qty_lots: changed.qty_lots,
        };
        let (action, left_lots) = match changed.action {
            BookAction::Added => (OrderAction::Added, said.qty_lots),
            BookAction::Refilled => (OrderAction::Refilled, said.qty_lots),
            BookAction::Reduced => (OrderAction::Reduced, said.qty_lots),
            BookAction::Removed => (OrderAction::Removed, QtyLots(0)),
        };
        match changed.action {
            BookAction::Added | BookAction::Refilled => self.book.add(said)?,
            BookAction::Reduced | BookAction::Removed => {
                let before = self.book.lower(said.order, left_lots)?;
                let as_before = RestingOrder { qty_lots: before.qty_lots, ..said };
                if as_before != before || (left_lots.0 == 0 && said != before) {
                    return Err("an order changes that rests otherwise than it is said");
                }
            }
        }
        let RestingOrder { order, side, price_ticks, .. } = said;
        self.change(OrderChange { seq, time, order, side, price_ticks, left_lots, action });
        Ok(())
    }
}

/// Every market, as of one seq.
#[derive(Clone, Debug)]
pub struct MarketData {
    limits: MarketLimits,
    assets: BTreeMap<AssetId, DefineAsset>,
    markets: BTreeMap<MarketId, Market>,
    seq: Seq,
    time: UnixNanos,
    /// What time it is, as far as somebody has said so since.
    clock: UnixNanos,
    /// Behind the frame that was taken last; of market data that have taken none and have no past, zeros.
    effects: Hash,
    began: (Seq, UnixNanos),
    /// The last record with a trade, or with which a trade was taken back or corrected, of any market.
    traded: Seq,
    /// The last record that changed the state of any market.
    status_changed: Seq,
}

/// The last record of a frame that follows `last`, and its time; `None` of a frame without records.
pub(super) fn last_record(frame: &FrameHeader, last: Seq) -> Result<Option<(Seq, UnixNanos)>, MarketFault> {
    let Some(behind_first) = u64::from(frame.count).checked_sub(1) else { return Ok(None) };
    if frame.first_seq != last.next() {
        return Err(MarketFault::OutOfOrder { last, found: frame.first_seq });
    }
    Ok(Some((Seq(frame.first_seq.0.saturating_add(behind_first)), frame.time.plus(behind_first))))
}

impl MarketData {
    /// Begins behind `seq`, whose time is `time`, with what was defined and published until then, assets before markets, and of each market
    /// the visible orders in price-time order.
    ///
    /// # Errors
    /// [`MarketFault::Unexplained`] if they cannot rest together.
    pub fn begin<O: IntoIterator<Item = RestingOrder>>(
        limits: MarketLimits,
        (seq, time): (Seq, UnixNanos),
        definitions: impl IntoIterator<Item = EventBody>,
        orders: impl IntoIterator<Item = (MarketId, O)>,
    ) -> Result<Self, MarketFault> {
        let limits = limits.with_windows();
        let (assets, markets) = (BTreeMap::new(), BTreeMap::new());
        let (effects, began) = (Hash::ZERO, (seq, time));
        let (traded, status_changed) = (Seq::ZERO, Seq::ZERO);
        let mut data =
            Self { limits, assets, markets, seq, time, clock: time, effects, began, traded, status_changed };
        for body in definitions {
            data.event(&Event { output: None, seq, time, body })?;
        }
        for (id, orders) in orders {
            let unexplained = |what| MarketFault::Unexplained { seq, what };
            let market = data.market_mut(id).map_err(unexplained)?;
            for order in orders {
                market.book.add(order).map_err(unexplained)?;
            }
        }
        Ok(data)
    }

    /// Takes the next frame with its events, in order, and the hash over all effects behind it.
    ///
    /// # Errors
    /// [`MarketFault`], after which nothing here is to be believed any more.
    pub fn take_frame(
        &mut self,
        frame: &FrameHeader,
        events: &[Event],
        effects: Hash,
    ) -> Result<(), MarketFault> {
        let Some((seq, time)) = last_record(frame, self.seq)? else { return Ok(()) };
        for event in events {
            self.event(event)?;
        }
        (self.seq, self.time, self.effects) = (seq, time, effects);
        Ok(())
    }

    /// Puts in front what happened before these began. Returns whether it ends where they do.
    pub(crate) fn prepend(&mut self, mut past: Past) -> bool {
        let end = past.end();
        if end.seq != self.began.0 {
            return false;
        }
        if self.seq == end.seq {
            self.effects = end.effects;
        }
        for (&id, market) in &mut self.markets {
            // What was defined later has no past.
            let since = past.began().1;
            let tape = past.take_tape(id).unwrap_or_else(|| Tape::new(&self.limits, since));
            market.tape.prepend(tape);
            // How it came into its phase is known now.
            market.published.changed = self.seq;
        }
        self.began = past.began();
        true
    }

    /// A market's tape as it is, and where it ends; `None` without that market.
    #[must_use]
    pub fn spool(&self, market: MarketId) -> Option<(Tape, TapeEnd)> {
        let end = TapeEnd { seq: self.seq, time: self.time, effects: self.effects };
        Some((self.market(market)?.tape.clone(), end))
    }

    /// Takes the next record's events.
    ///
    /// # Errors
    /// As for [`Self::take_frame`].
    pub fn take(&mut self, seq: Seq, time: UnixNanos, events: &[Event]) -> Result<(), MarketFault> {
        if seq != self.seq.next() {
            return Err(MarketFault::OutOfOrder { last: self.seq, found: seq });
        }
        for event in events {
            self.event(event)?;
        }
        (self.seq, self.time) = (seq, time);
        Ok(())
    }

    /// Whether an event is needed here: of the others nothing is read.
    #[must_use]
    pub const fn wants(body: &EventBody) -> bool {
        matches!(
            body,
            EventBody::Settled(_)
                | EventBody::BookChanged(_)
                | EventBody::MarketDefined(_)
                | EventBody::AssetDefined(_)
                | EventBody::TradeBusted(_)
                | EventBody::MarketPhaseChanged(_)
                | EventBody::AuctionIndicated(_)
                | EventBody::AuctionUncrossed(_)
                | EventBody::PricePublished(_)
                | EventBody::TradingRulesSet(_)
        )
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all else changes no book and is no trade")]
    fn event(&mut self, event: &Event) -> Result<(), MarketFault> {
        let Event { seq, time, .. } = *event;
        let done = match &event.body {
            EventBody::Settled(settled) => {
                self.traded = seq;
                self.market_mut(settled.market).and_then(|market| market.settle(settled, seq, time))
            }
            EventBody::BookChanged(changed) => {
                self.market_mut(changed.market).and_then(|market| market.move_in_book(changed, seq, time))
            }
            EventBody::TradeBusted(busted) => {
                self.traded = seq;
                self.market_mut(busted.settled.market).map(|market| market.tape.bust(busted, seq, time))
            }
            EventBody::MarketPhaseChanged(MarketPhaseChanged { market, .. })
            | EventBody::AuctionIndicated(AuctionIndicated { market, .. })
            | EventBody::AuctionUncrossed(AuctionUncrossed { market, .. })
            | EventBody::PricePublished(PricePublished { market, .. })
            | EventBody::TradingRulesSet(TradingRulesSet { rules: SetTradingRules { market, .. } }) => {
                self.status_changed = seq;
                self.market_mut(*market).map(|market| market.publish(&event.body, seq, time))
            }
            EventBody::MarketDefined(defined) => {
                self.status_changed = seq;
                let (limits, listing) = (&self.limits, self.listing(&defined.definition));
                self.markets
                    .entry(defined.definition.market)
                    .or_insert_with(|| Market::new(listing, defined.phase, limits, (seq, time)));
                Ok(())
            }
            EventBody::AssetDefined(defined) => {
                self.assets.insert(defined.definition.asset, defined.definition.clone());
                Ok(())
            }
            _ => Ok(()),
        };
        done.map_err(|what| MarketFault::Unexplained { seq, what })
    }

    /// An asset that nothing is known of has no name and no decimals.
    fn listing(&self, market: &DefineMarket) -> Listing {
        let known = |asset: AssetId| {
            self.assets.get(&asset).map_or((Text::default(), 0), |asset| (asset.code, asset.scale))
        };
        let ((base_code, base_scale), (quote_code, quote_scale)) = (known(market.base), known(market.quote));
        Listing {
            market: market.market,
            symbol: market.symbol,
            base_asset: market.base,
            base_code,
            base_scale,
            quote_asset: market.quote,
            quote_code,
            quote_scale,
            lot_base_minor: market.lot_base_minor,
            tick_quote_minor: market.tick_quote_minor,
        }
    }

    fn market_mut(&mut self, market: MarketId) -> Result<&mut Market, Misfit> {
        self.markets.get_mut(&market).ok_or("it concerns a market that was not defined")
    }

    /// The record that was taken last.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Time of that record.
    #[must_use]
    pub const fn time(&self) -> UnixNanos {
        self.time
    }

    /// Says what time it is by the cluster's clocks, so that windows move on while no record comes. Returns whether a minute has ended.
    pub const fn pass_time(&mut self, clock: UnixNanos) -> bool {
        let before = self.now();
        self.clock = clock;
        before.0 / MINUTE < self.now().0 / MINUTE
    }

    /// Where windows end: at the time of the last record, or later, as far as somebody has said that it is.
    #[must_use]
    pub const fn now(&self) -> UnixNanos {
        if self.clock.0 > self.time.0 { self.clock } else { self.time }
    }

    /// Where they began: trades, tickers and candles count from behind there.
    #[must_use]
    pub const fn began(&self) -> (Seq, UnixNanos) {
        self.began
    }

    /// A market.
    #[must_use]
    pub fn market(&self, market: MarketId) -> Option<&Market> {
        self.markets.get(&market)
    }

    /// Every market, by id.
    pub fn markets(&self) -> impl Iterator<Item = (MarketId, &Market)> {
        self.markets.iter().map(|(&id, market)| (id, market))
    }

    /// The tickers of all markets in which something was traded, by id.
    pub fn tickers(&self, window: Window, now: UnixNanos) -> impl Iterator<Item = (MarketId, Ticker)> {
        self.markets().filter_map(move |(id, market)| Some((id, market.ticker(window, now)?)))
    }

    /// The last record with a trade, or with which a trade was taken back or corrected, of any market.
    pub(crate) const fn traded(&self) -> Seq {
        self.traded
    }

    /// The last record that changed the state of any market.
    pub(crate) const fn status_changed(&self) -> Seq {
        self.status_changed
    }

    /// What a packet about a market, or about all of them, says of the state that it is from.
    pub fn stamp(&mut self, id: MarketId) -> Option<Stamp> {
        if id == ALL_MARKETS {
            let (market, seq, time) = (id, self.seq, self.time);
            return Some(Stamp { market, seq, time, changed: Seq::ZERO, book_checksum: 0 });
        }
        let market = self.markets.get_mut(&id)?;
        Some(Stamp {
            market: id,
            seq: self.seq,
            time: self.time,
            changed: market.changed,
            book_checksum: market.checksum(),
        })
    }
}
