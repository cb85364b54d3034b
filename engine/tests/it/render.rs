//! Events in the words of scenarios.

use std::collections::BTreeMap;

use protocol::calendar::date_of;
use protocol::commands::{SetAccountCode, SetFeeSchedule};
use protocol::event::Event;
use protocol::events::{
    AuctionIndicated, BookChanged, CancelRejected, ExecutionReport, MarketMakerProtectionSet,
    MassQuoteAcknowledged, OrderListChanged, Settled, TradeBusted,
};
use protocol::money::format_decimal;
use protocol::rows::{FeeTier, TradePosting};
use protocol::terms::ListedOrder;
use protocol::time::NANOS_PER_DAY;
use protocol::{
    AccountClass, AccountId, Amount, ClientId, EventBody, ExecType, LedgerRefusal, MarketId, OrderId,
    PriceTicks, QtyLots, SessionId, UnixNanos,
};

pub(crate) const PRICE_SCALE: u8 = 12;

pub(crate) struct AssetName {
    pub(crate) code: String,
    pub(crate) scale: u8,
}

pub(crate) struct MarketName {
    pub(crate) symbol: String,
    /// A tick in 10^-12 of quote for one of base.
    pub(crate) tick: u128,
    pub(crate) lot: u128,
    pub(crate) base_scale: u8,
    pub(crate) quote: u32,
}

/// An order as `o24`; of a command that creates several, those behind the first as `o24.1`.
pub(crate) fn order_name(order: OrderId) -> String {
    let (seq, number) = (order.0 << 8 >> 8, order.0 >> 56);
    if number == 0 { format!("o{seq}") } else { format!("o{seq}.{number}") }
}

/// A day as `2026-01-05`.
pub(crate) fn date(day: u32) -> String {
    let (year, month, day) = date_of(UnixNanos(u64::from(day) * NANOS_PER_DAY));
    format!("{year}-{month:02}-{day:02}")
}

/// `2026-01-05 08:00:00`, UTC.
fn instant(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (day, of_day) = (u32::try_from(seconds / 86_400).unwrap(), seconds % 86_400);
    format!("{} {:02}:{:02}:{:02}", date(day), of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// What things are called.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) assets: BTreeMap<u32, AssetName>,
    pub(crate) markets: BTreeMap<u32, MarketName>,
    pub(crate) sessions: BTreeMap<u32, String>,
    pub(crate) clients: BTreeMap<u64, String>,
    /// Name and asset.
    pub(crate) accounts: BTreeMap<u128, (String, u32)>,
    /// Name, and the asset of what it moves.
    pub(crate) transfers: BTreeMap<u128, (String, u32)>,
}

impl Names {
    pub(crate) fn session(&self, id: SessionId) -> String {
        self.sessions.get(&id.0).cloned().unwrap_or_else(|| format!("session {id}"))
    }

    pub(crate) fn client(&self, id: ClientId) -> String {
        self.clients.get(&id.0).cloned().unwrap_or_else(|| format!("client {id}"))
    }

    pub(crate) fn symbol(&self, id: MarketId) -> String {
        self.markets.get(&id.0).map_or_else(|| format!("market {id}"), |market| market.symbol.clone())
    }

    pub(crate) fn amount(&self, amount: Amount, asset: u32) -> String {
        let asset = &self.assets[&asset];
        format!("{} {}", format_decimal(amount.0, asset.scale), asset.code)
    }

    pub(crate) fn quote(&self, amount: Amount, market: MarketId) -> String {
        self.amount(amount, self.markets[&market.0].quote)
    }

    pub(crate) fn account_amount(&self, account: AccountId, amount: Amount) -> String {
        let (name, asset) = &self.accounts[&account.0];
        format!("{name} {}", self.amount(amount, *asset))
    }

    pub(crate) fn price(&self, market: MarketId, price: PriceTicks) -> String {
        match self.markets.get(&market.0) {
            Some(market) => format_decimal(u128::from(price.0) * market.tick, PRICE_SCALE),
            None => price.to_string(),
        }
    }

    pub(crate) fn qty(&self, market: MarketId, qty: QtyLots) -> String {
        match self.markets.get(&market.0) {
            Some(market) => format_decimal(u128::from(qty.0) * market.lot, market.base_scale),
            None => qty.to_string(),
        }
    }

    pub(crate) fn event(&self, event: &Event) -> String {
        let body = self.body(&event.body);
        match event.output {
            Some(number) if number.epoch.0 > 1 => {
                format!("{} epoch {} #{}: {body}", self.session(number.session), number.epoch, number.out_seq)
            }
            Some(number) => format!("{} #{}: {body}", self.session(number.session), number.out_seq),
            None => body,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the markets', the ledger's and the sessions' are told further down"
    )]
    fn body(&self, body: &EventBody) -> String {
        match body {
            EventBody::ExecutionReport(report) => self.report(report),
            EventBody::CancelRejected(rejected) => self.cancel_rejected(rejected),
            EventBody::Settled(settled) => self.settled(settled),
            EventBody::TradeBusted(busted) => self.busted(busted),
            EventBody::BookChanged(change) => self.book_changed(change),
            EventBody::HoldChanged(hold) => {
                format!(
                    "hold of {}: {}",
                    order_name(hold.order),
                    self.account_amount(hold.account, hold.held)
                )
            }
            EventBody::Replied(reply) => {
                let name = self.session(reply.session);
                let refusal = reply.refusal.map_or("done", protocol::RejectReason::name);
                let field =
                    if reply.field.is_empty() { String::new() } else { format!(" ({})", reply.field) };
                format!("reply to {name}/{} at {}: {refusal}{field}", reply.request, reply.effective_seq)
            }
            EventBody::Dropped(dropped) => {
                format!(
                    "dropped {}/{}: {}",
                    self.session(dropped.session),
                    dropped.request,
                    dropped.reason.name()
                )
            }
            EventBody::AssetDefined(asset) => format!("asset {}", asset.definition.code),
            EventBody::ActorDefined(actor) => format!("actor {} roles {}", actor.actor, actor.roles),
            EventBody::ActorKeySet(set) => format!("actor {} key {:?}", set.actor, set.key),
            EventBody::RecordSkipped(skipped) => format!("skipped: {}", skipped.reason),
            EventBody::SessionDefined(session) => {
                format!("session {}", self.session(session.definition.session))
            }
            EventBody::Proposed(proposed) => format!("actor {} proposes", proposed.actor),
            EventBody::ProposalEnded(ended) => format!("proposal {}", ended.end.name()),
            EventBody::ApprovalsSet(set) => format!("kinds {:?} need approval", set.kinds),
            EventBody::ExchangeQuoted(_)
            | EventBody::ExchangeQuoteEnded(_)
            | EventBody::CurrencyExchanged(_)
            | EventBody::StandingOrderDefined(_)
            | EventBody::StandingOrderAttempted(_)
            | EventBody::StandingOrderEnded(_)
            | EventBody::MonitorDefined(_)
            | EventBody::MonitorTriggered(_)
            | EventBody::MonitorRemoved(_) => self.service_event(body),
            EventBody::TermStarted(term) => format!("term {}", term.term),
            EventBody::CheckpointMarked(_) => "checkpoint".to_owned(),
            _ => self.market_event(body),
        }
    }

    fn quotes(&self, ack: &MassQuoteAcknowledged) -> String {
        let refusal = ack.refusal.map_or("done", protocol::RejectReason::name);
        let refused = ack.refused.iter().map(|refused| {
            let market = self.symbol(refused.market);
            format!(", {} in {market} {}", refused.entry, refused.reason.name())
        });
        let refused: String = refused.collect();
        format!(
            "quotes {}: {} entries, {} entered, {} kept, {} withdrawn, {refusal}{refused}",
            ack.quote_id, ack.entries, ack.entered, ack.kept, ack.withdrawn
        )
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the ledger's are told further down")]
    fn market_event(&self, body: &EventBody) -> String {
        match body {
            EventBody::OrderTriggered(triggered) => {
                format!("{} fires in {}", order_name(triggered.order), self.symbol(triggered.market))
            }
            EventBody::TradePrevented(prevented) => format!(
                "prevented ({}): {} and {} would trade {} @ {}",
                prevented.mode.name(),
                order_name(prevented.taker_order),
                order_name(prevented.maker_order),
                self.qty(prevented.market, prevented.prevented_lots),
                self.price(prevented.market, prevented.price_ticks),
            ),
            EventBody::MassCancelReported(report) => {
                let refusal = report.refusal.map_or("done", protocol::RejectReason::name);
                format!("mass cancel {}: {} orders, {refusal}", report.cl_ord_id, report.orders)
            }
            EventBody::MassQuoteAcknowledged(ack) => self.quotes(ack),
            EventBody::QuotesPulled(pulled) => {
                let (name, market) = (self.session(pulled.session), self.symbol(pulled.market));
                let lots = self.qty(pulled.market, QtyLots(u64::try_from(pulled.lots).unwrap()));
                format!("orders of {name} in {market} are pulled: {} fills, {lots}", pulled.fills)
            }
            EventBody::MarketMakerProtectionSet(set) => self.protection(set),
            EventBody::CancelAllAfterSet(set) => {
                let refusal = set.refusal.map_or("done", protocol::RejectReason::name);
                format!("all orders are cancelled after {} ms, {refusal}", set.timeout_ms)
            }
            EventBody::MarketStatusReported(status) => {
                let (id, market) = (status.request_id, self.symbol(status.market));
                format!("status {id} of {market}: {}", status.phase.name())
            }
            EventBody::OrderListChanged(list) => self.order_list(list),
            EventBody::TradingRulesSet(set) => {
                format!("rules of {} are set", self.symbol(set.rules.market))
            }
            EventBody::MarketScheduleSet(set) => {
                let (symbol, entries) = (self.symbol(set.schedule.market), set.schedule.entries.len());
                format!("schedule of {symbol} has {entries} entries")
            }
            EventBody::PricePublished(published) => {
                let (market, price) = (published.market, published.price_ticks);
                format!("index of {} is {}", self.symbol(market), self.price(market, price))
            }
            EventBody::TradeGroupSet(set) => {
                format!("{} is in trade group {}", self.client(set.client), set.trade_group.0)
            }
            EventBody::FeeScheduleSet(set) => self.fee_schedule(&set.schedule),
            EventBody::FeeGroupSet(set) => {
                format!("{} in fee group {}", self.client(set.client), set.fee_group)
            }
            EventBody::MarketDefined(market) => {
                format!("market {} is {}", self.symbol(market.definition.market), market.phase.name())
            }
            EventBody::MarketPhaseChanged(changed) => {
                let market = self.symbol(changed.market);
                let (before, phase) = (changed.before.name(), changed.phase.name());
                format!("market {market} goes from {before} to {phase} ({})", changed.cause.name())
            }
            EventBody::AuctionIndicated(indicated) => self.indicated(indicated),
            EventBody::AuctionUncrossed(auction) => {
                let lots = self.qty(auction.market, QtyLots(u64::try_from(auction.lots).unwrap()));
                let (market, price) = (auction.market, self.price(auction.market, auction.price_ticks));
                format!("auction of {}: {lots} @ {price} in {} trades", self.symbol(market), auction.trades)
            }
            _ => self.ledger_event(body),
        }
    }

    fn protection(&self, set: &MarketMakerProtectionSet) -> String {
        let (name, market) = (self.session(set.session), self.symbol(set.market));
        let refusal = set.refusal.map_or("done", protocol::RejectReason::name);
        format!(
            "protection of {name} in {market}: {} fills in {} ms, {refusal}",
            set.fills_max, set.window_ms
        )
    }

    fn order_list(&self, list: &OrderListChanged) -> String {
        let orders: Vec<_> = list.orders.iter().map(|listed| self.listed(list.market, listed)).collect();
        let (name, state) = (list.contingency.name(), list.state.name());
        let asked = if list.asked { " still" } else { "" };
        format!("list {} ({name} of {}) is{asked} {state}", list.cl_list_id, orders.join(", "))
    }

    fn fee_schedule(&self, schedule: &SetFeeSchedule) -> String {
        let percent = |ppm: u32| format!("{}%", format_decimal(ppm.into(), 4));
        let tier = |tier: &FeeTier| {
            let sign = if tier.maker_is_paid { "-" } else { "" };
            let (maker, taker) = (percent(tier.maker_ppm), percent(tier.taker_ppm));
            format!(
                "; from {} maker {sign}{maker} taker {taker}",
                self.quote(tier.volume_min, schedule.market)
            )
        };
        let SetFeeSchedule { market, fee_group, effective_seq, tiers, tax_ppm } = schedule;
        let tiers: String = tiers.iter().map(tier).collect();
        let tax = if *tax_ppm > 0 { format!(", tax {}", percent(*tax_ppm)) } else { String::new() };
        format!("fees of {} group {fee_group} from {effective_seq}{tax}{tiers}", self.symbol(*market))
    }

    fn indicated(&self, indicated: &AuctionIndicated) -> String {
        let market = indicated.market;
        let symbol = self.symbol(market);
        if indicated.price_ticks.0 == 0 {
            return format!("auction of {symbol} would trade nothing");
        }
        let qty = |lots: u128| self.qty(market, QtyLots(u64::try_from(lots).unwrap()));
        let (lots, price) = (qty(indicated.lots), self.price(market, indicated.price_ticks));
        let surplus = indicated.surplus_side.map_or("nothing left".to_owned(), |side| {
            format!("{} {} left", side.name(), qty(indicated.surplus_lots))
        });
        format!("auction of {symbol} would trade {lots} @ {price}, {surplus}")
    }

    fn ledger_event(&self, body: &EventBody) -> String {
        if let EventBody::AccountsCreated(made) = body {
            format!("{} of {} accounts", made.created, made.count)
        } else if let EventBody::TransfersCreated(made) = body {
            format!("{} of {} transfers", made.created, made.count)
        } else if let EventBody::TransferExpired(expired) = body {
            let (name, ledger) = &self.transfers[&expired.transfer.0];
            format!("expired {name}: {}", self.amount(expired.amount, *ledger))
        } else if let EventBody::OverdraftSet(set) = body {
            let lines = &set.overdraft;
            let (_, ledger) = &self.accounts[&lines.account.0];
            let temporary = self.amount(lines.temporary, *ledger);
            format!("overdraft of {} and {temporary}", self.account_amount(lines.account, lines.agreed))
        } else if let EventBody::OverdraftLineEnded(ended) = body {
            let (_, ledger) = &self.accounts[&ended.account.0];
            let left = self.amount(ended.agreed, *ledger);
            format!("line ended: {}, {left} is left", self.account_amount(ended.account, ended.temporary))
        } else if let EventBody::AccountCodeSet(set) = body {
            let SetAccountCode { ledger, code, kind, normal_side, classes, name } = &set.entry;
            let ledger =
                if ledger.0 == 0 { "every ledger" } else { &self.assets[&ledger.0].code.to_string() };
            let Some((kind, side)) = kind.zip(*normal_side) else {
                return format!("code {code} of {ledger}: nothing");
            };
            let classes = AccountClass::ALL.iter().filter(|class| classes & class.bit() != 0);
            let classes = classes.map(|class| class.name()).collect::<Vec<_>>().join(",");
            let name = if name.is_empty() { String::new() } else { format!(" {name}") };
            format!("code {code} of {ledger}: {} {} {classes}{name}", kind.name(), side.name())
        } else if let EventBody::AccountUpdated(updated) = body {
            let name = &self.accounts[&updated.account.0].0;
            let (one, two, three) = (updated.user_data_128, updated.user_data_64, updated.user_data_32);
            format!("updated {name}: code {}, user data {one} {two} {three}", updated.code)
        } else if let EventBody::CalendarSet(set) = body {
            let calendar = &set.calendar;
            let days = (calendar.value_back_days_max, calendar.value_ahead_days_max);
            format!("business date {}, {} days back, {} ahead", date(calendar.business_date), days.0, days.1)
        } else if let EventBody::DayClosed(closed) = body {
            let totals = closed.totals.iter().map(|total| {
                let ledger = total.ledger.0;
                let [debits, credits, pending] =
                    [total.debits_posted, total.credits_posted, total.debits_pending]
                        .map(|sum| self.amount(sum, ledger));
                format!("{} accounts, debits {debits}, credits {credits}, pending {pending}", total.accounts)
            });
            let totals = totals.collect::<Vec<_>>().join("; ");
            format!("closed {}, next is {}: {totals}", date(closed.business_date), date(closed.next))
        } else if let EventBody::TransfersEntered(entered) = body {
            let lines = entered.transfers.iter().map(|row| {
                let to = &self.accounts[&row.credit_account.0].0;
                format!("{to} from {}", self.account_amount(row.debit_account, row.amount))
            });
            format!("entered: {}", lines.collect::<Vec<_>>().join(", "))
        } else if let EventBody::LedgerLimitsSet(set) = body {
            let limits = &set.limits;
            format!(
                "ids for {} ms and {} ms ahead, at most {}, and {} pending transfers, {} corrected ones for {} ms",
                limits.id_window_ms,
                limits.id_ahead_ms,
                limits.transfer_ids_max,
                limits.pending_transfers_max,
                limits.corrected_transfers_max,
                limits.correction_window_ms
            )
        } else {
            self.session_event(body)
        }
    }

    fn service_event(&self, body: &EventBody) -> String {
        if let EventBody::ExchangeQuoted(quoted) = body {
            let quote = &quoted.definition;
            let most = self.amount(quote.sell_amount_max, quote.sell_ledger.0);
            format!("quote q{}: {} / 10^{} for {most}", quote.quote, quote.rate_mantissa, quote.rate_scale)
        } else if let EventBody::ExchangeQuoteEnded(ended) = body {
            format!("quote q{} ended, {}: {} left", ended.quote, ended.end.name(), ended.left)
        } else if let EventBody::CurrencyExchanged(done) = body {
            let sold = self.account_amount(done.sell_account, done.sell_amount);
            let bought = self.account_amount(done.buy_account, done.buy_amount);
            let (client, rest, source) = (self.client(done.client), done.rounding_amount, &done.source);
            format!("q{} of {client}: {sold} for {bought} and {rest} rounded ({source})", done.quote)
        } else if let EventBody::StandingOrderDefined(defined) = body {
            format!("standing order s{}, first {}", defined.definition.order, instant(defined.next_due_ns))
        } else if let EventBody::StandingOrderAttempted(attempted) = body {
            let outcome = attempted.refusal.map_or("executed", LedgerRefusal::name);
            let next = match (attempted.next_due_ns, attempted.retried) {
                (0, _) => "nothing more".to_owned(),
                (due, true) => format!("again {}", instant(due)),
                (due, false) => format!("next {}", instant(due)),
            };
            let (order, of, attempt) = (attempted.order, date(attempted.occurrence), attempted.attempt);
            format!("s{order} of {of}, attempt {attempt}: {outcome}, {next}")
        } else if let EventBody::StandingOrderEnded(ended) = body {
            format!("standing order s{} ended, {}", ended.order, ended.end.name())
        } else if let EventBody::MonitorDefined(defined) = body {
            format!("monitor m{}", defined.definition.monitor)
        } else if let EventBody::MonitorTriggered(triggered) = body {
            let sign = if triggered.negative { "-" } else { "" };
            let value = self.amount(triggered.value, triggered.ledger.0);
            let of = match self.accounts.get(&triggered.account.0) {
                Some((name, _)) => name.clone(),
                None => format!("code {} {}", triggered.code, triggered.class.name()),
            };
            format!("m{} triggered by {of}: {sign}{value}", triggered.monitor)
        } else if let EventBody::MonitorRemoved(removed) = body {
            format!("no monitor m{}", removed.monitor)
        } else {
            body.name().to_owned()
        }
    }

    fn session_event(&self, body: &EventBody) -> String {
        if let EventBody::LogonSent(logon) = body {
            let reset = if logon.reset { " reset" } else { "" };
            format!("Logon heartbeat {}{reset} next expected {}", logon.heartbeat_s, logon.next_expected)
        } else if let EventBody::HeartbeatSent(heartbeat) = body {
            format!("Heartbeat {:?}", heartbeat.test_req_id)
        } else if let EventBody::ResendRequestSent(request) = body {
            format!("ResendRequest {} to {}", request.begin, request.end)
        } else if let EventBody::RejectSent(reject) = body {
            format!(
                "Reject of {} tag {} reason {}: {}",
                reject.ref_seq_num, reject.ref_tag, reject.reason, reject.note
            )
        } else if let EventBody::BusinessRejected(reject) = body {
            format!("BusinessReject of {} reason {}: {}", reject.ref_seq_num, reject.reason, reject.note)
        } else if let EventBody::LogoutSent(logout) = body {
            format!("Logout {} expected {} received {}", logout.end.name(), logout.expected, logout.received)
        } else if let EventBody::SessionOpened(opened) = body {
            format!(
                "opened {} connection {} generation {} epoch {} next in {} next out {} resend from {}",
                self.session(opened.session),
                opened.connection,
                opened.generation,
                opened.epoch,
                opened.next_in,
                opened.next_out,
                opened.resend_from
            )
        } else if let EventBody::SessionRefused(refused) = body {
            format!(
                "refused {} connection {}: {}",
                self.session(refused.session),
                refused.connection,
                refused.end.name()
            )
        } else if let EventBody::SessionClosed(closed) = body {
            format!(
                "closed {} generation {}: {}",
                self.session(closed.session),
                closed.generation,
                closed.end.name()
            )
        } else if let EventBody::ResendDue(due) = body {
            format!("resend {} {} to {} floor {}", self.session(due.session), due.begin, due.end, due.floor)
        } else {
            body.name().to_owned()
        }
    }

    fn report(&self, report: &ExecutionReport) -> String {
        let market = report.market;
        let orig = if report.orig_cl_ord_id.is_empty() {
            String::new()
        } else {
            format!(" (was {})", report.orig_cl_ord_id)
        };
        let mut text = format!(
            "{} {}{orig} {} {} {}",
            report.exec_type.name(),
            report.cl_ord_id,
            order_name(report.order),
            report.side.name(),
            self.qty(market, report.qty_lots),
        );
        if report.price_ticks.0 > 0 {
            text.push_str(&format!(" @ {}", self.price(market, report.price_ticks)));
        }
        if [ExecType::Trade, ExecType::TradeCancel, ExecType::TradeCorrect].contains(&report.exec_type) {
            text.push_str(&format!(
                ": {} {} @ {} {} {}",
                report.liquidity.unwrap().name(),
                self.qty(market, report.last_qty_lots),
                self.price(market, report.last_price_ticks),
                if report.fee_is_paid { "rebate" } else { "fee" },
                self.quote(report.fee, market),
            ));
            if report.tax.0 > 0 {
                text.push_str(&format!(" tax {}", self.quote(report.tax, market)));
            }
        }
        if report.exec_type == ExecType::Restated && report.last_qty_lots.0 > 0 {
            let price = self.price(market, report.last_price_ticks);
            text.push_str(&format!(": moved {} @ {price}", self.qty(market, report.last_qty_lots)));
        }
        text.push_str(&format!(
            " -> {} filled {} leaves {}",
            report.status.name(),
            self.qty(market, report.cum_lots),
            self.qty(market, report.leaves_lots),
        ));
        if let Some(reason) = report.reason {
            text.push_str(&format!(", {}", reason.name()));
        }
        text
    }

    fn listed(&self, market: MarketId, listed: &ListedOrder) -> String {
        let (order, status) = (order_name(listed.order), listed.status.name());
        if listed.cum_lots.0 == 0 {
            return format!("{order} {status}");
        }
        format!("{order} {status} filled {}", self.qty(market, listed.cum_lots))
    }

    fn cancel_rejected(&self, rejected: &CancelRejected) -> String {
        format!(
            "{} rejected {} of {} {} {}, {}",
            rejected.response_to.name(),
            rejected.cl_ord_id,
            rejected.orig_cl_ord_id,
            order_name(rejected.order),
            rejected.status.name(),
            rejected.reason.name(),
        )
    }

    fn book_changed(&self, change: &BookChanged) -> String {
        format!(
            "book: {} {}, {} {} @ {}",
            order_name(change.order),
            change.action.name(),
            change.side.name(),
            self.qty(change.market, change.qty_lots),
            self.price(change.market, change.price_ticks),
        )
    }

    fn busted(&self, busted: &TradeBusted) -> String {
        let market = busted.settled.market;
        let change = if busted.qty_lots.0 == 0 {
            "taken back".to_owned()
        } else {
            let fees = [busted.buyer_fee, busted.seller_fee, busted.buyer_tax, busted.seller_tax];
            let [buyer_fee, seller_fee, buyer_tax, seller_tax] = fees.map(|fee| self.quote(fee, market));
            format!(
                "is now {} @ {} for {}, fees {buyer_fee} and {seller_fee}, taxes {buyer_tax} and {seller_tax}",
                self.qty(market, busted.qty_lots),
                self.price(market, busted.price_ticks),
                self.quote(busted.notional, market),
            )
        };
        let posting = |posting: &TradePosting| {
            let to = &self.accounts[&posting.credit_account.0].0;
            let amount = self.account_amount(posting.debit_account, posting.amount);
            format!("\n    {} to {to} from {amount}", posting.part.name())
        };
        let postings: String = busted.postings.iter().map(posting).collect();
        format!("trade {} {change}, reason {}{postings}", busted.settled.trade, busted.reason)
    }

    fn settled(&self, settled: &Settled) -> String {
        let market = settled.market;
        let mut text = format!(
            "trade {}: {} buys {} @ {} of {} for {}, fees {} and {}",
            settled.trade,
            self.client(settled.buyer),
            self.qty(market, settled.qty_lots),
            self.price(market, settled.price_ticks),
            self.client(settled.seller),
            self.quote(settled.notional, market),
            self.quote(settled.buyer_fee, market),
            self.quote(settled.seller_fee, market),
        );
        if (settled.buyer_tax.0, settled.seller_tax.0) != (0, 0) {
            let taxes = [settled.buyer_tax, settled.seller_tax].map(|tax| self.quote(tax, market));
            text.push_str(&format!(", taxes {} and {}", taxes[0], taxes[1]));
        }
        if settled.maker_is_paid {
            text.push_str(", that of the maker a rebate");
        }
        text
    }
}
