//! From a record and its events to what moved.

use protocol::commands::DefineMarket;
use protocol::event::Event;
use protocol::events::{AccountsCreated, Settled, TradeBusted, TransferExpired, TransfersCreated};
use protocol::record::Record;
use protocol::rows::{ArchivedTransferRow, TransferRow, account_flags, transfer_flags};
use protocol::{
    AccountId, Amount, AssetId, ClientId, Command, EventBody, MarketId, Seq, Side, TradePart, TransferId,
    UnixNanos,
};

use super::accounts::{Accounts, Definition};
use super::buffer::Buffer;
use super::days::Days;
use super::exchanges::Exchange;
use super::fault::ViewFault;
use super::markets::{Market, Markets};
use super::movement::{Cause, Change, Fields, Movement, Place};
use super::pending::{Chain, Pending, Reservation};
use super::transfer_id::Stage;

/// Rows whose accounts are looked up together, so that the memory they lie in is fetched at the same time.
const LOOK_AHEAD: usize = 16;

/// Flags of a row whose `pending_id` is what it settles; in any other it is what is corrected.
pub(crate) const SETTLES: u16 = transfer_flags::POST_PENDING_TRANSFER | transfer_flags::VOID_PENDING_TRANSFER;
/// Tells chains that came to be without a batch, which are numbered by their first movement, from those of a batch's rows.
const ENTERED: u32 = 1 << 31;

/// What has to be known of the past to read the next record.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) markets: Markets,
    pub(crate) pending: Pending,
    pub(crate) days: Days,
}

/// Reads one record.
pub(crate) struct Follow<'a> {
    pub(crate) seq: Seq,
    pub(crate) time: UnixNanos,
    pub(crate) step: u32,
    pub(crate) record: &'a Record<'a>,
    pub(crate) accounts: &'a mut Accounts,
    pub(crate) known: &'a mut Known,
    pub(crate) buffer: &'a mut Buffer,
}

/// One posting, before it has its place.
struct Posting {
    cause: Cause,
    id: TransferId,
    debit: u32,
    credit: u32,
    change: Change,
    fields: Fields,
    /// From which day on it counts; 0 = the business date.
    value_date: u32,
    /// Flags of the transfer that closes accounts, or closed them.
    closing_flags: u16,
}

impl Follow<'_> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all else moves nothing and defines nothing that money moves by"
    )]
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), ViewFault> {
        match &event.body {
            EventBody::AccountsCreated(created) => self.create_accounts(created),
            EventBody::Settled(settled) => self.settle_trade(settled),
            EventBody::TradeBusted(busted) => self.bust_trade(busted),
            EventBody::AccountUpdated(updated) => {
                let number = self.number(updated.account)?;
                self.buffer.updates.push((number, updated.clone()));
                Ok(())
            }
            EventBody::TransfersCreated(created) => self.create_transfers(created),
            EventBody::TransfersEntered(entered) => self.enter_transfers(&entered.transfers),
            EventBody::TransferExpired(expired) => self.expire(expired),
            EventBody::MarketDefined(defined) => self.define_market(&defined.definition),
            EventBody::CalendarSet(set) => {
                self.known.days.begin(set.calendar.business_date, self.seq, self.time);
                Ok(())
            }
            EventBody::DayClosed(closed) => {
                self.known.days.begin(closed.next, self.seq, self.time);
                Ok(())
            }
            EventBody::MonitorTriggered(triggered) => {
                self.buffer.triggered(self.seq, self.time, triggered.clone());
                Ok(())
            }
            EventBody::CurrencyExchanged(exchanged) => {
                let (seq, time, event) = (self.seq, self.time, exchanged.clone());
                self.buffer.exchanges.push(Exchange { seq, time, event });
                Ok(())
            }
            EventBody::StandingOrderAttempted(attempted) => {
                self.buffer.attempted(self.seq, self.time, attempted.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn unexplained(&self, what: &'static str) -> ViewFault {
        ViewFault::Unexplained { seq: self.seq, what }
    }

    fn command(&self) -> Result<Command, ViewFault> {
        self.record.command().map_err(|_| self.unexplained("its record has no command"))
    }

    fn number(&self, account: AccountId) -> Result<u32, ViewFault> {
        self.accounts
            .number(account)
            .ok_or_else(|| self.unexplained("it names an account that was not created"))
    }

    fn add_account(&mut self, definition: Definition) -> Result<(), ViewFault> {
        if self.accounts.number(definition.id).is_some() {
            return Err(self.unexplained("it creates an account twice"));
        }
        self.accounts.add(&definition);
        self.buffer.accounts.push(definition);
        Ok(())
    }

    fn create_accounts(&mut self, created: &AccountsCreated) -> Result<(), ViewFault> {
        if created.created == 0 {
            return Ok(());
        }
        let Command::CreateAccounts(command) = self.command()? else {
            return Err(self.unexplained("accounts were created by another command"));
        };
        let mut exceptions = created.exceptions.iter().peekable();
        for (index, row) in (0_u32..).zip(&command.accounts) {
            if exceptions.next_if(|exception| exception.index == index).is_some() {
                continue;
            }
            self.add_account(Definition {
                id: row.id,
                owner: row.owner,
                ledger: row.ledger,
                code: row.code,
                flags: row.flags & !account_flags::LINKED,
                class: row.class,
                user_data_128: row.user_data_128,
                user_data_64: row.user_data_64,
                user_data_32: row.user_data_32,
                seq: self.seq,
                time: self.time,
            })?;
        }
        Ok(())
    }

    fn define_market(&mut self, definition: &DefineMarket) -> Result<(), ViewFault> {
        let market = Market {
            base: definition.base,
            quote: definition.quote,
            lot_base_minor: definition.lot_base_minor,
            fee_account: self.number(definition.fee_account)?,
            tax_account: match definition.tax_account {
                AccountId(0) => None,
                account => Some(self.number(account)?),
            },
        };
        self.known.markets.define(definition.market, market);
        Ok(())
    }

    fn settle_trade(&mut self, settled: &Settled) -> Result<(), ViewFault> {
        let Settled { trade, market, qty_lots, buyer, seller, notional, buyer_fee, seller_fee, .. } =
            *settled;
        let Market { base, quote, lot_base_minor, fee_account, tax_account } = self.market(market)?;
        let (buyer_base, buyer_quote) = (self.settlement(buyer, base)?, self.settlement(buyer, quote)?);
        let (seller_base, seller_quote) = (self.settlement(seller, base)?, self.settlement(seller, quote)?);
        let moved = u128::from(qty_lots.0)
            .checked_mul(lot_base_minor.0)
            .ok_or_else(|| self.unexplained("a trade's base is beyond all numbers"))?;
        let (buyer_is_paid, seller_is_paid) = match settled.taker_side {
            Side::Buy => (false, settled.maker_is_paid),
            Side::Sell => (settled.maker_is_paid, false),
        };
        let fee = |client, is_paid| if is_paid { (fee_account, client) } else { (client, fee_account) };
        let (buyer_pays, buyer_receives) = fee(buyer_quote, buyer_is_paid);
        let (seller_pays, seller_receives) = fee(seller_quote, seller_is_paid);
        let is_taxed = settled.buyer_tax.0 > 0 || settled.seller_tax.0 > 0;
        let no_account = || self.unexplained("a tax in a market without an account for it");
        let tax_account = if is_taxed { tax_account.ok_or_else(no_account)? } else { fee_account };
        let of_buyer = [
            (TradePart::BuyerFee, buyer_pays, buyer_receives, buyer_fee),
            (TradePart::BuyerTax, buyer_quote, tax_account, settled.buyer_tax),
        ];
        let of_seller = [
            (TradePart::SellerFee, seller_pays, seller_receives, seller_fee),
            (TradePart::SellerTax, seller_quote, tax_account, settled.seller_tax),
        ];
        let (of_taker, of_maker) = match settled.taker_side {
            Side::Buy => (of_buyer, of_seller),
            Side::Sell => (of_seller, of_buyer),
        };
        let traded = [
            (TradePart::Base, seller_base, buyer_base, Amount(moved)),
            (TradePart::Quote, buyer_quote, seller_quote, notional),
        ];
        // As they are posted: a rebate comes out of what the taker has just paid.
        for (part, debit, credit, amount) in traded.into_iter().chain(of_taker).chain(of_maker) {
            if amount.0 > 0 {
                let (id, fields) = (TransferId(0), Fields::default());
                let (cause, change) = (Cause::Trade { trade, market, part }, Change::Posted(amount));
                self.post(Posting {
                    cause,
                    id,
                    debit,
                    credit,
                    change,
                    fields,
                    value_date: 0,
                    closing_flags: 0,
                });
            }
        }
        Ok(())
    }

    fn bust_trade(&mut self, busted: &TradeBusted) -> Result<(), ViewFault> {
        let Settled { trade, market, .. } = busted.settled;
        for posting in &busted.postings {
            let (debit, credit) = (self.number(posting.debit_account)?, self.number(posting.credit_account)?);
            let cause = Cause::Trade { trade, market, part: posting.part };
            let (id, change, fields) = (TransferId(0), Change::Posted(posting.amount), Fields::default());
            self.post(Posting { cause, id, debit, credit, change, fields, value_date: 0, closing_flags: 0 });
        }
        Ok(())
    }

    fn market(&self, market: MarketId) -> Result<Market, ViewFault> {
        self.known
            .markets
            .find(market)
            .ok_or_else(|| self.unexplained("a trade in a market that was not defined"))
    }

    fn settlement(&self, client: ClientId, asset: AssetId) -> Result<u32, ViewFault> {
        let number = self.accounts.settlement(client, asset);
        number.ok_or_else(|| self.unexplained("a trade of a client without an account to settle"))
    }

    fn expire(&mut self, expired: &TransferExpired) -> Result<(), ViewFault> {
        let id = expired.transfer;
        let Some(Reservation { debit, credit, amount, code, flags, .. }) = self.known.pending.end(id) else {
            return Err(self.unexplained("a transfer expired that was not pending"));
        };
        let change = Change::Settled { reserved: Amount(amount), posted: Amount(0) };
        let fields = Fields { code, ..Fields::default() };
        self.staged(id, Stage::Expired);
        let (cause, value_date, closing_flags) = (Cause::Expiry, 0, flags);
        self.post(Posting { cause, id, debit, credit, change, fields, value_date, closing_flags });
        Ok(())
    }

    fn create_transfers(&mut self, created: &TransfersCreated) -> Result<(), ViewFault> {
        if created.created == 0 {
            return Ok(());
        }
        let rows = protocol::rows::transfers(self.record.body)
            .map_err(|_| self.unexplained("transfers were created by another command"))?;
        let mut exceptions = created.exceptions.iter().peekable();
        let mut amounts = created.amounts.iter().peekable();
        let (mut chain, mut linked, mut index) = (0, false, 0);
        for rows in rows.chunks(LOOK_AHEAD) {
            let found = self.look_ahead(rows);
            for (row, accounts) in rows.iter().zip(found) {
                let row = row.read();
                if !linked {
                    chain = index;
                }
                linked = row.flags & transfer_flags::LINKED != 0;
                let amount = amounts.next_if(|amount| amount.index == index).map(|amount| amount.amount);
                if exceptions.next_if(|exception| exception.index == index).is_none() {
                    let chain = Chain { seq: self.seq, first: chain };
                    self.create_transfer(&row, accounts, index, chain, amount.unwrap_or(row.amount))?;
                }
                index += 1;
            }
        }
        Ok(())
    }

    /// Transfers that came to be without a batch. One may stand in the same record, and several lists of these.
    fn enter_transfers(&mut self, rows: &[TransferRow]) -> Result<(), ViewFault> {
        let (mut chain, mut linked) = (0, false);
        for (index, row) in (0_u32..).zip(rows) {
            if !linked {
                chain = ENTERED | self.step;
            }
            linked = row.flags & transfer_flags::LINKED != 0;
            let (debit, credit) =
                (self.accounts.number(row.debit_account), self.accounts.number(row.credit_account));
            let chain = Chain { seq: self.seq, first: chain };
            self.create_transfer(row, debit.zip(credit), index, chain, row.amount)?;
        }
        Ok(())
    }

    /// Finds the accounts of several rows without waiting for one before looking for the next.
    fn look_ahead(&self, rows: &[ArchivedTransferRow]) -> [Option<(u32, u32)>; LOOK_AHEAD] {
        let mut found = [None; LOOK_AHEAD];
        for (row, found) in rows.iter().zip(&mut found) {
            let TransferRow { debit_account, credit_account, .. } = row.read();
            let (debit, credit) = (self.accounts.number(debit_account), self.accounts.number(credit_account));
            *found = debit.zip(credit);
        }
        found
    }

    fn create_transfer(
        &mut self,
        row: &TransferRow,
        accounts: Option<(u32, u32)>,
        index: u32,
        chain: Chain,
        amount: Amount,
    ) -> Result<(), ViewFault> {
        self.created(row.id);
        if row.flags & SETTLES != 0 {
            return self.settle(row, index, amount);
        }
        if row.pending_id.0 != 0 {
            self.staged(row.pending_id, Stage::Corrected);
        }
        let missing = || self.unexplained("it names an account that was not created");
        let (debit, credit) = accounts.ok_or_else(missing)?;
        let (mut change, mut closing_flags) = (Change::Posted(amount), 0);
        if row.flags & transfer_flags::PENDING != 0 {
            change = Change::Reserved(amount);
            closing_flags = row.flags;
            let TransferRow { code, flags, value_date, .. } = *row;
            let amount = amount.0;
            let reservation = Reservation { debit, credit, amount, code, flags, value_date, chain, index };
            self.known.pending.begin(row.id, reservation);
        }
        let (cause, fields) = (Cause::Row { index }, fields_of(row, row.code, row.pending_id));
        let (id, value_date) = (row.id, row.value_date);
        self.post(Posting { cause, id, debit, credit, change, fields, value_date, closing_flags });
        Ok(())
    }

    /// Posts or voids what is pending, or all that is pending of a chain.
    fn settle(&mut self, row: &TransferRow, index: u32, amount: Amount) -> Result<(), ViewFault> {
        let posts = row.flags & transfer_flags::POST_PENDING_TRANSFER != 0;
        let whole = row.flags & transfer_flags::WHOLE_CHAIN != 0;
        let settled = if whole { self.known.pending.chain_of(row.pending_id) } else { vec![row.pending_id] };
        for id in settled {
            let Some(Reservation { debit, credit, amount: reserved, code, flags, value_date, .. }) =
                self.known.pending.end(id)
            else {
                return Err(self.unexplained("a transfer was settled that was not pending"));
            };
            let posted = match (posts, whole) {
                (false, _) => 0,
                (true, true) => reserved,
                (true, false) => amount.0.min(reserved),
            };
            let change = Change::Settled { reserved: Amount(reserved), posted: Amount(posted) };
            self.staged(id, if posts { Stage::Posted } else { Stage::Voided });
            let (cause, fields) = (Cause::Row { index }, fields_of(row, code, id));
            let closing_flags = if posts { 0 } else { flags };
            let value_date = if row.value_date == 0 { value_date } else { row.value_date };
            let id = row.id;
            self.post(Posting { cause, id, debit, credit, change, fields, value_date, closing_flags });
        }
        Ok(())
    }

    const fn place(&self) -> Place {
        Place { seq: self.seq, step: self.step }
    }

    fn created(&mut self, id: TransferId) {
        self.staged(id, Stage::Created);
    }

    /// The next movement is a stage in the life of the transfer `id`.
    fn staged(&mut self, id: TransferId, stage: Stage) {
        self.buffer.stage(id, self.place(), stage);
    }

    fn post(&mut self, posting: Posting) {
        let Posting { cause, id, debit, credit, change, fields, value_date, closing_flags } = posting;
        let amount = match change {
            Change::Posted(amount) | Change::Reserved(amount) => amount.0,
            // A post may be of nothing; a void and an expiry are of all that was reserved.
            Change::Settled { posted, .. } if fields.flags & transfer_flags::POST_PENDING_TRANSFER != 0 => {
                posted.0
            }
            Change::Settled { reserved, .. } => reserved.0,
        };
        let (place, time) = (self.place(), self.time);
        let movement = Movement { place, time, cause, id, debit, credit, amount, fields };
        self.buffer.movement(&movement, change, closing_flags);
        let posted = match change {
            Change::Posted(posted) | Change::Settled { posted, .. } => posted,
            Change::Reserved(_) => Amount(0),
        };
        let business_date = self.known.days.business_date();
        if posted.0 > 0 && value_date != 0 && value_date != business_date {
            self.buffer.shift(&movement, posted, business_date, value_date);
        }
        self.step += 1;
    }
}

fn fields_of(row: &TransferRow, code: u16, pending_id: TransferId) -> Fields {
    Fields {
        code,
        flags: row.flags,
        pending_id,
        user_data_128: row.user_data_128,
        user_data_64: row.user_data_64,
        user_data_32: row.user_data_32,
        timeout_s: row.timeout_s,
        value_date: row.value_date,
        reason: row.reason,
    }
}
