//! The end of a view that is fed, and writes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use protocol::event::Event;
use protocol::events::AccountUpdated;
use protocol::frame::{Frame, FrameHeader};
use protocol::hash::Hash;
use protocol::record::Record;
use protocol::{EventBody, Seq, TransferId, UnixNanos};
use redb::{Database, Durability, ReadableTable, WriteTransaction};

use super::accounts::{ACCOUNTS, Accounts, Definition};
use super::attempts::ATTEMPTS;
use super::bodies::{BODIES, BodyWriter, TIMES};
use super::buffer::Buffer;
use super::catalogue::{CATALOGUE, Catalogue};
use super::days::{DAYS, Days};
use super::exchanges::EXCHANGES;
use super::fault::ViewFault;
use super::follow::{Follow, Known};
use super::leg::Leg;
use super::markets::{MARKETS, Market};
use super::merge::Merges;
use super::pending::{PENDING, Reservation};
use super::read::Reader;
use super::run::{Blocks, Entry, RunWriter, run_of, table_name};
use super::shift::Shift;
use super::transfer_id::Fate;
use super::triggers::TRIGGERS;

/// When what is written has to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persist {
    /// Not now: it can be read, and after a crash is fed again.
    Later,
    /// Now, with all that was written before.
    Now,
}

/// Follows the log: takes each record with its events, and writes what moved.
pub struct Feed {
    database: Arc<Database>,
    accounts: Arc<RwLock<Accounts>>,
    known: Known,
    buffer: Buffer,
    catalogue: Catalogue,
    legs: Merges<Leg>,
    fates: Merges<Fate>,
    shifts: Merges<Shift>,
    /// What was taken last.
    seq: Seq,
    time: UnixNanos,
    effects: Hash,
    /// Somebody waits for what is not written.
    wanted: Arc<AtomicBool>,
}

/// A view that was opened.
pub struct Opened {
    /// Its writing end.
    pub feed: Feed,
    /// Answers, as often as it is cloned.
    pub reader: Reader,
    /// Why what was in the file was thrown away, if it was.
    pub thrown_away: Option<ViewFault>,
}

impl Feed {
    /// Opens the file at `path`, or begins one, with a cache of so many bytes. All pages of the file are read and checked.
    ///
    /// # Errors
    /// [`ViewFault::Storage`] for a disk that fails. A file that is damaged or of another version is thrown away.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Opened, ViewFault> {
        let create = || {
            let mut builder = Database::builder();
            builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
            builder.create(path).map_err(ViewFault::from)
        };
        match create().and_then(Self::restore) {
            Ok(Some((feed, reader))) => Ok(Opened { feed, reader, thrown_away: None }),
            Ok(None) => Self::begin_anew(path, create, ViewFault::Damaged { what: "its version" }),
            Err(fault) if fault.is_in_the_file() => Self::begin_anew(path, create, fault),
            Err(fault) => Err(fault),
        }
    }

    fn begin_anew(
        path: &Path,
        create: impl Fn() -> Result<Database, ViewFault>,
        why: ViewFault,
    ) -> Result<Opened, ViewFault> {
        std::fs::remove_file(path).map_err(redb::StorageError::from)?;
        match Self::restore(create()?)? {
            Some((feed, reader)) => Ok(Opened { feed, reader, thrown_away: Some(why) }),
            None => Err(ViewFault::Damaged { what: "a new file" }),
        }
    }

    /// What is in the file; `None` = of another version.
    pub(crate) fn restore(database: Database) -> Result<Option<(Self, Reader)>, ViewFault> {
        let transaction = database.begin_write()?;
        let found = transaction.open_table(CATALOGUE)?;
        let is_new = found.get(())?.is_none();
        let catalogue = if is_new { Some(Catalogue::default()) } else { Catalogue::find(&found)? };
        drop(found);
        let Some(catalogue) = catalogue else { return Ok(None) };
        if is_new {
            transaction.open_table(CATALOGUE)?.insert((), catalogue.write().as_slice())?;
        }
        drop_unlisted(&transaction, &catalogue)?;
        let (mut accounts, mut known) = (Accounts::default(), Known::default());
        restore_tables(&transaction, &mut accounts, &mut known)?;
        if accounts.count() != catalogue.accounts {
            return Err(ViewFault::Damaged { what: "the list of accounts" });
        }
        let bodies = BodyWriter::resume(&transaction.open_table(BODIES)?)?;
        transaction.open_table(TIMES)?;
        transaction.open_table(TRIGGERS)?;
        transaction.open_table(ATTEMPTS)?;
        transaction.open_table(EXCHANGES)?;
        transaction.commit()?;
        let (database, accounts) = (Arc::new(database), Arc::new(RwLock::new(accounts)));
        let wanted = Arc::new(AtomicBool::new(false));
        let reader = Reader::new(Arc::clone(&database), Arc::clone(&accounts), Arc::clone(&wanted));
        let feed = Self {
            database,
            accounts,
            known,
            buffer: Buffer::before(bodies),
            legs: Merges::new(),
            fates: Merges::new(),
            shifts: Merges::new(),
            seq: catalogue.seq,
            time: catalogue.time,
            effects: catalogue.effects,
            wanted,
            catalogue,
        };
        Ok(Some((feed, reader)))
    }

    /// The record that was taken last: the next one is that behind it.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The rolling hash over all effects up to there, if it was fed by frames.
    #[must_use]
    pub const fn effects(&self) -> Hash {
        self.effects
    }

    /// Whether an event is needed here: of the others nothing is read.
    #[must_use]
    pub const fn wants(body: &EventBody) -> bool {
        matches!(
            body,
            EventBody::Settled(_)
                | EventBody::AccountsCreated(_)
                | EventBody::AccountUpdated(_)
                | EventBody::TransfersCreated(_)
                | EventBody::TransfersEntered(_)
                | EventBody::TransferExpired(_)
                | EventBody::MarketDefined(_)
                | EventBody::CalendarSet(_)
                | EventBody::DayClosed(_)
                | EventBody::MonitorTriggered(_)
                | EventBody::StandingOrderAttempted(_)
                | EventBody::CurrencyExchanged(_)
        )
    }

    /// Takes the records of the next frame with those of their events that are [wanted](Self::wants), in order, and the rolling
    /// hash over all effects behind it.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        events: &[Event],
        effects: Hash,
    ) -> Result<(), ViewFault> {
        let FrameHeader { first_seq, count, time, .. } = frame.header;
        if count == 0 {
            return Ok(());
        }
        if first_seq != self.seq.next() {
            return Err(ViewFault::OutOfOrder { last: self.seq, found: first_seq });
        }
        let mut rest = events;
        for (seq, time, record) in frame.records() {
            // What cannot be read was passed over, with all behind it.
            let Ok(record) = record else { break };
            let (of_it, behind) = rest.split_at(rest.partition_point(|event| event.seq <= seq));
            self.take(seq, time, &record, of_it)?;
            rest = behind;
        }
        self.seq = Seq(first_seq.0.saturating_add(u64::from(count) - 1));
        self.time = time.plus(u64::from(count) - 1);
        self.effects = effects;
        if rest.is_empty() {
            Ok(())
        } else {
            Err(ViewFault::Unexplained { seq: self.seq, what: "events of no record" })
        }
    }

    /// Whether somebody asked for more than is written, since the last time.
    #[must_use]
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Whether something was taken that is not written.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.seq > self.catalogue.seq
    }

    /// Takes the next record with all of its events. It can be read once it is written.
    ///
    /// # Errors
    /// [`ViewFault::OutOfOrder`] for another record than the next, and nothing has changed. [`ViewFault::Unexplained`] if the events
    /// do not follow from what was taken before: the view goes on no more.
    pub fn take(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        record: &Record<'_>,
        events: &[Event],
    ) -> Result<(), ViewFault> {
        if seq != self.seq.next() {
            return Err(ViewFault::OutOfOrder { last: self.seq, found: seq });
        }
        let accounts = &mut *self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let (known, buffer) = (&mut self.known, &mut self.buffer);
        let mut follow = Follow { seq, time, step: 0, record, accounts, known, buffer };
        for event in events {
            follow.event(event)?;
        }
        self.seq = seq;
        self.time = time;
        Ok(())
    }

    /// Movements that were taken and are not written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.legs() / 2
    }

    /// Accounts that were taken and are not written.
    #[must_use]
    pub fn accounts_waiting(&self) -> usize {
        self.buffer.accounts.len()
    }

    /// Bytes of memory, without the cache of the file: those of what waits, and those that grow with accounts and with what is
    /// pending.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        const PENDING_BYTES: usize = 160;
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        self.buffer.bytes() + accounts.bytes() + self.known.pending.len() * PENDING_BYTES
    }

    /// Writes everything that was taken, in one transaction.
    ///
    /// # Errors
    /// [`ViewFault`]: the view goes on no more, and is opened again.
    pub fn write(&mut self, persist: Persist) -> Result<(), ViewFault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(match persist {
            Persist::Later => Durability::None,
            Persist::Now => Durability::Immediate,
        })?;
        self.write_definitions(&transaction)?;
        let first_seq = self.catalogue.seq.next().0;
        self.buffer
            .bodies
            .write(&mut transaction.open_table(BODIES)?, &mut transaction.open_table(TIMES)?)?;
        let Catalogue { legs, ids, shifts, next_run, .. } = &mut self.catalogue;
        let entries = self.buffer.take_legs();
        let written = write_run(&transaction, entries, (legs, next_run), first_seq)?;
        self.legs.step(&transaction, legs, next_run, written)?;
        let written =
            write_run(&transaction, self.buffer.take_fates().into_iter(), (ids, next_run), first_seq)?;
        self.fates.step(&transaction, ids, next_run, written)?;
        let entries = self.buffer.take_shifts().into_iter();
        let written = write_run(&transaction, entries, (shifts, next_run), first_seq)?;
        self.shifts.step(&transaction, shifts, next_run, written)?;
        self.catalogue.seq = self.seq;
        self.catalogue.time = self.time;
        self.catalogue.effects = self.effects;
        self.catalogue.movements += std::mem::take(&mut self.buffer.movements);
        self.catalogue.shifted = self.catalogue.shifted.max(self.buffer.shifted);
        transaction.open_table(CATALOGUE)?.insert((), self.catalogue.write().as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    /// Accounts, markets, what is pending, business dates, what monitors said, what came of standing orders, and exchanges.
    fn write_definitions(&mut self, transaction: &WriteTransaction) -> Result<(), ViewFault> {
        let mut accounts = transaction.open_table(ACCOUNTS)?;
        for definition in self.buffer.accounts.drain(..) {
            accounts.insert(self.catalogue.accounts, definition.write().as_slice())?;
            self.catalogue.accounts += 1;
        }
        for (number, update) in self.buffer.updates.drain(..) {
            let found = accounts.get(number)?.map(|found| Definition::read(found.value())).transpose()?;
            let definition = found.ok_or(ViewFault::Damaged { what: "the list of accounts" })?;
            let AccountUpdated { code, user_data_128, user_data_64, user_data_32, .. } = update;
            let updated = Definition { code, user_data_128, user_data_64, user_data_32, ..definition };
            accounts.insert(number, updated.write().as_slice())?;
        }
        let mut markets = transaction.open_table(MARKETS)?;
        for (id, market) in self.known.markets.take_changed() {
            markets.insert(id.0, market.write().as_slice())?;
        }
        let mut pending = transaction.open_table(PENDING)?;
        for (id, now) in self.known.pending.take_changed() {
            match now {
                Some(reservation) => pending.insert(id.0, reservation.write().as_slice())?,
                None => pending.remove(id.0)?,
            };
        }
        let mut days = transaction.open_table(DAYS)?;
        for (date, (seq, time)) in self.known.days.take_begun() {
            days.insert(date, (seq.0, time.0))?;
        }
        let mut triggers = transaction.open_table(TRIGGERS)?;
        for trigger in self.buffer.triggers.drain(..) {
            triggers.insert((trigger.seq.0, trigger.index), trigger.write().as_slice())?;
        }
        let mut exchanges = transaction.open_table(EXCHANGES)?;
        for exchange in self.buffer.exchanges.drain(..) {
            exchanges.insert(exchange.seq.0, exchange.write().as_slice())?;
        }
        let mut attempts = transaction.open_table(ATTEMPTS)?;
        for attempt in self.buffer.attempts.drain(..) {
            attempts.insert(attempt.key(), attempt.write().as_slice())?;
        }
        Ok(())
    }
}

/// Writes entries that come in order as a run of their own. Returns how many.
fn write_run<E: Entry>(
    transaction: &WriteTransaction,
    mut entries: impl Iterator<Item = E>,
    (runs, next_run): (&mut Vec<super::run::Run>, &mut u32),
    first_seq: u64,
) -> Result<u64, ViewFault> {
    let Some(first) = entries.next() else { return Ok(0) };
    let (number, mut writer) = (*next_run, RunWriter::new());
    *next_run += 1;
    let name = table_name::<E>(number);
    let mut table = transaction.open_table(Blocks::new(&name))?;
    let mut put = |key: &[u8], block: &[u8]| {
        table.insert(key, block)?;
        Ok(())
    };
    writer.push(first, &mut put)?;
    for entry in entries {
        writer.push(entry, &mut put)?;
    }
    let run = writer.end(number, first_seq, &mut put)?;
    runs.push(run);
    Ok(run.entries)
}

/// Drops what merges had written that were under way.
fn drop_unlisted(transaction: &WriteTransaction, catalogue: &Catalogue) -> Result<(), ViewFault> {
    let is_listed = |runs: &[super::run::Run], number| runs.iter().any(|run| run.number == number);
    let names: Vec<String> = transaction
        .list_tables()?
        .map(|table| redb::TableHandle::name(&table).to_owned())
        .filter(|name| {
            run_of::<Leg>(name).is_some_and(|number| !is_listed(&catalogue.legs, number))
                || run_of::<Fate>(name).is_some_and(|number| !is_listed(&catalogue.ids, number))
                || run_of::<Shift>(name).is_some_and(|number| !is_listed(&catalogue.shifts, number))
        })
        .collect();
    for name in names {
        transaction.delete_table(Blocks::new(&name))?;
    }
    Ok(())
}

/// What is in memory beside the file.
fn restore_tables(
    transaction: &WriteTransaction,
    accounts: &mut Accounts,
    known: &mut Known,
) -> Result<(), ViewFault> {
    for row in transaction.open_table(ACCOUNTS)?.iter()? {
        let (number, definition) = row?;
        if accounts.add(&Definition::read(definition.value())?) != number.value() {
            return Err(ViewFault::Damaged { what: "the list of accounts" });
        }
    }
    for row in transaction.open_table(MARKETS)?.iter()? {
        let (id, market) = row?;
        known.markets.restore(protocol::MarketId(id.value()), Market::read(market.value())?);
    }
    for row in transaction.open_table(PENDING)?.iter()? {
        let (id, reservation) = row?;
        known.pending.restore(TransferId(id.value()), Reservation::read(reservation.value())?);
    }
    known.days = Days::restore(&transaction.open_table(DAYS)?)?;
    Ok(())
}
