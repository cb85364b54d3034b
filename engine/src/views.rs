//! What people and tools see of the state: flat copies, in the order of ids, for status pages, replays and tests.

use protocol::book::{BookLevel, book_checksum};
use protocol::commands::{
    ClOrdId, DefineMarket, DefineMonitor, DefineSession, DefineStandingOrder, Genesis, QuoteExchange,
    SetAccountCode, SetCalendar, SetFeeSchedule, SetLedgerLimits, SetOverdraft,
};
use protocol::events::PricePublished;
use protocol::limits::NOTE_BYTES_MAX;
use protocol::rows::account_flags;
use protocol::{
    AccountClass, AccountId, ActorId, Amount, AssetId, ClientId, EventBody, FeeGroupId, GatewayId,
    Generation, MarketId, MarketPhase, MonitorId, OrderId, OutSeq, PriceTicks, ProposalId, ProposedCommand,
    QtyLots, QuoteId, Seq, SessionEpoch, SessionId, Side, StandingOrderId, Term, Text, TradeGroupId,
    UnixNanos,
};

use crate::engine::Engine;
use crate::ledger::{Account, Particulars, Slice};
use crate::markets::{Order, Place};
use crate::matching::{DepthLevel, Resting};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The account.
    pub account: AccountId,
    /// Its owner; 0 = the house.
    pub client: ClientId,
    /// Its asset.
    pub asset: AssetId,
    /// What it is for.
    pub class: AccountClass,
    /// Free for the bank.
    pub code: u16,
    /// Whether its owner's orders settle through it.
    pub settlement: bool,
    /// Bits of [`protocol::rows::account_flags`].
    pub flags: u16,
    /// Free for the client.
    pub user_data_128: u128,
    /// Free for the client.
    pub user_data_64: u64,
    /// Free for the client.
    pub user_data_32: u32,
    /// What may go out, by pending transfers.
    pub debits_pending: Amount,
    /// What may come in, by pending transfers.
    pub credits_pending: Amount,
    /// Everything that went out.
    pub debits: Amount,
    /// Everything that came in.
    pub credits: Amount,
    /// Promised to live orders.
    pub held: Amount,
}

impl AccountView {
    /// credits − debits; `None` where an external account stands below zero.
    #[must_use]
    pub const fn balance(&self) -> Option<Amount> {
        self.credits.checked_sub(self.debits)
    }
}

fn total_view(slice: &Slice) -> TotalView {
    TotalView {
        ledger: slice.ledger,
        code: slice.code,
        class: slice.class,
        accounts: slice.accounts,
        debits_pending: slice.sums.debits_pending.get().map(Amount),
        debits_posted: slice.sums.debits_posted.get().map(Amount),
        credits_pending: slice.sums.credits_pending.get().map(Amount),
        credits_posted: slice.sums.credits_posted.get().map(Amount),
    }
}

fn account_view(account: &Account, particulars: &Particulars) -> AccountView {
    AccountView {
        account: account.id,
        client: account.owner,
        asset: account.ledger,
        class: account.class,
        code: account.code,
        settlement: account.has(account_flags::SETTLEMENT),
        flags: account.flags,
        user_data_128: particulars.user_data_128,
        user_data_64: particulars.user_data_64,
        user_data_32: particulars.user_data_32,
        debits_pending: Amount(account.debits_pending),
        credits_pending: Amount(account.credits_pending),
        debits: Amount(account.debits_posted),
        credits: Amount(account.credits_posted),
        held: Amount(account.held),
    }
}

/// Sums over the accounts of one ledger, code and class; `None` past the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalView {
    /// Their asset.
    pub ledger: AssetId,
    /// Their code.
    pub code: u16,
    /// Their class.
    pub class: AccountClass,
    /// How many.
    pub accounts: u64,
    /// Pending debits.
    pub debits_pending: Option<Amount>,
    /// Posted debits.
    pub debits_posted: Option<Amount>,
    /// Pending credits.
    pub credits_pending: Option<Amount>,
    /// Posted credits.
    pub credits_posted: Option<Amount>,
}

/// A proposal that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalView<'a> {
    /// The seq of the command that made it.
    pub proposal: ProposalId,
    /// Who made it.
    pub actor: ActorId,
    /// What it would execute.
    pub command: &'a ProposedCommand,
    /// The command that would set what was in force when it was made; `None` where that is new, or nothing is set.
    pub before: Option<&'a ProposedCommand>,
    /// Until when it may be approved.
    pub expires_at: UnixNanos,
    /// Why.
    pub note: Text<NOTE_BYTES_MAX>,
}

/// A market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketView {
    /// As defined.
    pub definition: DefineMarket,
    /// The phase that it is in.
    pub phase: MarketPhase,
    /// Live orders.
    pub orders: usize,
    /// The highest bid.
    pub best_bid: Option<PriceTicks>,
    /// The lowest ask.
    pub best_ask: Option<PriceTicks>,
}

/// A live order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// The order.
    pub order: OrderId,
    /// Its latest ClOrdID.
    pub cl_ord_id: ClOrdId,
    /// Who entered it.
    pub session: SessionId,
    /// For whom.
    pub client: ClientId,
    /// Where.
    pub market: MarketId,
    /// Which way.
    pub side: Side,
    /// Its limit.
    pub price_ticks: PriceTicks,
    /// All of it.
    pub qty_lots: QtyLots,
    /// Filled of it.
    pub cum_lots: QtyLots,
    /// Held for it.
    pub held: Amount,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The session.
    pub session: SessionId,
    /// As defined; the operator's as if it had been.
    pub definition: DefineSession,
    /// Its numbers started at 1 so many times.
    pub epoch: SessionEpoch,
    /// Of its current or last connection.
    pub generation: Generation,
    /// The number expected next.
    pub next_in: u64,
    /// The number sent next.
    pub next_out: OutSeq,
    /// The first output that a resend may still get.
    pub floor: OutSeq,
    /// Whether a connection is bound.
    pub connected: bool,
    /// Whose connection it is, or was.
    pub gateway: GatewayId,
    /// HeartBtInt(108) of the connection, seconds.
    pub heartbeat_s: u32,
    /// When it was last heard.
    pub last_heard: UnixNanos,
    /// When its live orders are cancelled, unless it comes back before.
    pub cancel_at: Option<UnixNanos>,
    /// The highest request number of a request session.
    pub highest_request: u64,
}

/// A gateway process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayView {
    /// The gateway.
    pub gateway: GatewayId,
    /// The process, by the number that it drew.
    pub instance: u64,
    /// The number of its last command that was taken.
    pub executed: u64,
}

impl Engine {
    /// The first record.
    #[must_use]
    pub const fn genesis(&self) -> Option<&Genesis> {
        self.registry.genesis.as_ref()
    }

    /// The term that began last.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.registry.term
    }

    /// Trades so far, over all markets.
    #[must_use]
    pub const fn trades(&self) -> u64 {
        self.trades
    }

    /// All accounts, by id.
    pub fn accounts(&self) -> impl Iterator<Item = AccountView> {
        self.ledger
            .accounts
            .sorted()
            .into_iter()
            .map(|(account, particulars)| account_view(account, particulars))
    }

    /// An account.
    #[must_use]
    pub fn account(&self, account: AccountId) -> Option<AccountView> {
        let accounts = &self.ledger.accounts;
        accounts.row(account).map(|row| account_view(accounts.at(row), accounts.particulars(row)))
    }

    /// The bank's calendar with its present business date; `None` before it is set.
    #[must_use]
    pub const fn calendar(&self) -> Option<&SetCalendar> {
        self.ledger.calendar.definition()
    }

    /// How far below zero an account may stand; all 0 = not at all.
    #[must_use]
    pub fn overdraft(&self, account: AccountId) -> SetOverdraft {
        self.ledger.overdrafts.get(account)
    }

    /// Totals by ledger, code and class, in this order.
    pub fn totals(&self) -> impl Iterator<Item = TotalView> {
        self.ledger.accounts.totals.iter().map(total_view)
    }

    /// Totals from a ledger, code and class on, in this order. Among them stands what only a monitor watches: that has no account.
    pub fn totals_from(&self, from: (AssetId, u16, AccountClass)) -> impl Iterator<Item = TotalView> {
        self.ledger.accounts.totals.from(from).map(total_view)
    }

    /// Transfers that are pending.
    #[must_use]
    pub fn pending_transfers(&self) -> usize {
        self.ledger.pendings.len()
    }

    /// Ids of transfers whose time lies below this, in Unix milliseconds, are refused.
    #[must_use]
    pub const fn transfer_id_floor_ms(&self) -> u64 {
        self.ledger.recent.floor_ms()
    }

    /// What the ledger remembers of transfers.
    #[must_use]
    pub const fn ledger_limits(&self) -> &SetLedgerLimits {
        &self.ledger.limits
    }

    /// Exchange quotes whose time is not over, and what may still be sold on each, by id.
    pub fn quotes(&self) -> impl Iterator<Item = (&QuoteExchange, Amount)> {
        self.ledger.quotes.iter().map(|quote| (&quote.definition, Amount(quote.left)))
    }

    /// All standing orders, and when each is executed next, by id.
    pub fn standing_orders(&self) -> impl Iterator<Item = (&DefineStandingOrder, UnixNanos)> {
        self.ledger.standing_orders.iter().map(|order| (&order.definition, order.due))
    }

    /// What was said of a code in the chart of accounts, in a ledger or (0) in every one.
    #[must_use]
    pub fn account_code(&self, ledger: AssetId, code: u16) -> Option<&SetAccountCode> {
        self.ledger.chart.entry(ledger, code)
    }

    /// The chart of accounts from a code and a ledger on, by code, then by ledger.
    pub fn account_codes_from(&self, first: (u16, AssetId)) -> impl Iterator<Item = &SetAccountCode> {
        self.ledger.chart.range(first)
    }

    /// All balance monitors, by id.
    pub fn monitors(&self) -> impl Iterator<Item = &DefineMonitor> {
        self.monitors_from(MonitorId(0))
    }

    /// Balance monitors from an id on, by id.
    pub fn monitors_from(&self, first: MonitorId) -> impl Iterator<Item = &DefineMonitor> {
        self.ledger.monitors.range(first)
    }

    /// Exchange quotes whose time is not over from an id on, and what may still be sold on each, by id.
    pub fn quotes_from(&self, first: QuoteId) -> impl Iterator<Item = (&QuoteExchange, Amount)> {
        self.ledger.quotes.range(first).map(|quote| (&quote.definition, Amount(quote.left)))
    }

    /// Standing orders from an id on, and when each is executed next, by id.
    pub fn standing_orders_from(
        &self,
        first: StandingOrderId,
    ) -> impl Iterator<Item = (&DefineStandingOrder, UnixNanos)> {
        self.ledger.standing_orders.range(first).map(|order| (&order.definition, order.due))
    }

    /// Proposals that are open, from an id on, by id.
    pub fn proposals_from(&self, first: ProposalId) -> impl Iterator<Item = ProposalView<'_>> {
        self.approvals.open.range(first..).map(|(&proposal, open)| ProposalView {
            proposal,
            actor: open.actor,
            command: &open.command,
            before: open.before.as_ref(),
            expires_at: open.expires_at,
            note: open.note,
        })
    }

    /// The schedule of a fee group, and of no other, that is in force in a market at a seq, as far as it is known and remembered.
    #[must_use]
    pub fn fee_schedule(&self, market: MarketId, group: FeeGroupId, at: Seq) -> Option<&SetFeeSchedule> {
        self.markets.fee_schedule(market, group, at)
    }

    /// The fee group of a client; 0 = none.
    #[must_use]
    pub fn fee_group(&self, client: ClientId) -> FeeGroupId {
        self.markets.fees.group(client)
    }

    /// The trade group of a client; 0 = none.
    #[must_use]
    pub fn trade_group(&self, client: ClientId) -> TradeGroupId {
        self.markets.trade_groups.get(&client).copied().unwrap_or_default()
    }

    /// All markets, by id.
    pub fn markets(&self) -> impl Iterator<Item = MarketView> {
        let markets = self.markets.rows.sorted_by_key(|market| market.definition.market);
        markets.into_iter().map(|market| MarketView {
            definition: market.definition.clone(),
            phase: market.phase,
            orders: market.book.len(),
            best_bid: market.book.best(Side::Buy),
            best_ask: market.book.best(Side::Sell),
        })
    }

    /// What was published of markets and still stands, as the events that said so: what auctions would trade, and index prices, by market.
    pub fn published(&self) -> impl Iterator<Item = EventBody> {
        let markets = self.markets.rows.sorted_by_key(|market| market.definition.market);
        markets.into_iter().flat_map(|market| {
            let id = market.definition.market;
            let indicated = market.phases.indicated.clone().map(EventBody::from);
            let index = market.index.map(|index| {
                let (observed_at_ns, valid_until_ns) = (index.observed_at.0, index.valid_until.0);
                PricePublished { market: id, price_ticks: index.price, observed_at_ns, valid_until_ns }.into()
            });
            indicated.into_iter().chain(index)
        })
    }

    /// The levels of one side of a market's book, best first; none for a market that does not exist.
    pub fn depth(&self, market: MarketId, side: Side) -> impl Iterator<Item = DepthLevel> {
        let row = self.markets.row(market);
        row.into_iter().flat_map(move |row| self.markets.rows.at(row).book.depth(side))
    }

    /// The resting orders of one side of a market's book with what is visible of them, in price-time order; none for a market
    /// that does not exist.
    pub fn queue(&self, market: MarketId, side: Side) -> impl Iterator<Item = Resting> {
        let row = self.markets.row(market);
        row.into_iter().flat_map(move |row| self.markets.rows.at(row).book.queue(side))
    }

    /// The checksum of a market's visible book.
    #[must_use]
    pub fn book_checksum(&self, market: MarketId) -> u32 {
        let levels = [Side::Buy, Side::Sell].into_iter().flat_map(|side| self.depth(market, side));
        book_checksum(levels.map(|level| BookLevel {
            price_ticks: level.price,
            lots: level.lots,
            orders: level.orders,
        }))
    }

    /// All live orders: markets by id, in each bids then asks, by price and time, then armed ones by id.
    pub fn orders(&self) -> impl Iterator<Item = OrderView> {
        let mut markets: Vec<u32> = self.markets.rows.numbers().collect();
        markets.sort_unstable_by_key(|&row| self.markets.rows.at(row).definition.market);
        markets.into_iter().flat_map(move |market| {
            let places = self
                .markets
                .rows
                .at(market)
                .book
                .orders()
                .map(move |resting| Place { market, slot: resting.slot.0 });
            let armed = self.markets.rows.at(market).armed.iter();
            let places = places.chain(armed.map(move |(_, row)| Place::armed(market, row)));
            places.filter_map(move |place| Some(self.order_view(place.market, self.markets.order(place)?)))
        })
    }

    fn order_view(&self, market: u32, order: &Order) -> OrderView {
        OrderView {
            order: order.id,
            cl_ord_id: order.cl_ord_id,
            session: self.sessions.rows.at(order.session).definition.session,
            client: self.markets.desks.at(order.desk).client,
            market: self.markets.rows.at(market).definition.market,
            side: order.side,
            price_ticks: PriceTicks(order.price),
            qty_lots: QtyLots(order.qty),
            cum_lots: QtyLots(order.cum),
            held: Amount(order.held),
        }
    }

    /// All sessions, by id; the operator's is the first.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> {
        let sessions = self.sessions.rows.sorted_by_key(|session| session.definition.session);
        sessions.into_iter().map(|session| SessionView {
            session: session.definition.session,
            definition: session.definition.clone(),
            epoch: session.epoch,
            generation: session.generation,
            next_in: session.next_in,
            next_out: OutSeq(session.next_out),
            floor: session.floor(),
            connected: session.connected,
            gateway: session.gateway,
            heartbeat_s: session.heartbeat_s,
            last_heard: session.last_heard,
            cancel_at: session.cancel_at,
            highest_request: session.requests.highest,
        })
    }

    /// The process that runs as this gateway, if one ever began.
    #[must_use]
    pub fn gateway(&self, gateway: GatewayId) -> Option<GatewayView> {
        let found = self.gateways.get(&gateway)?;
        let executed = found.next.saturating_sub(1);
        Some(GatewayView { gateway, instance: found.instance, executed })
    }

    /// Sessions whose connection belongs to a gateway process, and which.
    pub fn held_by_gateways(&self) -> impl Iterator<Item = (SessionId, GatewayId)> {
        let rows = self.sessions.rows.numbers().map(|row| self.sessions.rows.at(row));
        let held = rows.filter(|session| session.connected && session.gateway.is_process());
        held.map(|session| (session.definition.session, session.gateway))
    }

    /// Every gateway process that ever began, by id.
    pub fn gateways(&self) -> impl Iterator<Item = GatewayView> {
        self.gateways.keys().filter_map(|&gateway| self.gateway(gateway))
    }

    /// The next request number of a request session: above the highest so far. `None` for other sessions.
    #[must_use]
    pub fn next_request(&self, session: SessionId) -> Option<u64> {
        let session = self.sessions.rows.at(self.sessions.row(session)?);
        (!session.is_fix()).then(|| session.requests.highest.saturating_add(1))
    }
}
