//! The end of a view that is asked.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use protocol::rows::{AccountRow, TransferRow, account_flags, transfer_flags};
use protocol::{AccountId, Amount, AssetId, ClientId, Seq, TransferId, UnixNanos};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTableMetadata};

use super::accounts::{ACCOUNTS, Accounts, Definition};
use super::bodies::{self, BODIES, TIMES};
use super::catalogue::{CATALOGUE, Catalogue};
use super::days::{self, DAYS};
use super::fault::ViewFault;
use super::follow::SETTLES;
use super::leg::Leg;
use super::movement::{Balances, Cause, Movement, Place, Side, Sums};
use super::run::{BlockReader, Blocks, Entry, Run, read_block, table_name};
use super::shift::{Reach, Shift, Shifted};
use super::transfer_id::{Fate, Stage};

/// Answers questions while the feed goes on. Cheap to clone; any thread may ask.
#[derive(Clone)]
pub struct Reader {
    database: Arc<Database>,
    accounts: Arc<RwLock<Accounts>>,
    /// Set where more is asked for than there is.
    wanted: Arc<AtomicBool>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// The view is not there yet: ask again later.
    #[error("the view has come to seq {seq}")]
    Behind {
        /// How far it is.
        seq: Seq,
    },
    /// The view is of no use any more.
    #[error(transparent)]
    View(#[from] ViewFault),
}

/// The ledger as of one seq, for as long as it is kept: everything asked of it fits together.
pub struct Snapshot {
    pub(super) transaction: ReadTransaction,
    accounts: Arc<RwLock<Accounts>>,
    pub(crate) catalogue: Catalogue,
    /// The block of movements that was read last.
    block: RefCell<Option<(Place, Vec<Movement>)>>,
}

/// As of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// As of the snapshot.
    Now,
    /// Behind the record of this seq.
    Seq(Seq),
    /// Behind the last record of this time or before.
    Instant(UnixNanos),
}

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Whose it is; 0 = the house's.
    pub owner: ClientId,
    /// Its asset.
    pub ledger: AssetId,
    /// Its place in the chart of accounts.
    pub code: u16,
    /// Bits of [`account_flags`]; whether it is closed is as of the question.
    pub flags: u16,
    /// Code of an [`protocol::AccountClass`].
    pub class: u16,
    /// Free for the client.
    pub user_data_128: u128,
    /// Free for the client.
    pub user_data_64: u64,
    /// Free for the client.
    pub user_data_32: u32,
    /// When it was created.
    pub created_seq: Seq,
    /// The time of that record.
    pub created: UnixNanos,
    /// As of the question.
    pub balances: Balances,
}

/// What of an account's posted debits and credits counts on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueBalance {
    /// Posted with a value date of that day or before.
    pub debits_posted: Amount,
    /// Posted with a value date of that day or before.
    pub credits_posted: Amount,
    /// The business date then, in days since 1970-01-01; 0 = there was none.
    pub business_date: u32,
}

/// A transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Where it was executed.
    pub place: Place,
    /// The time of that record.
    pub time: UnixNanos,
    /// What it came from.
    pub cause: Cause,
    /// Its id; 0 for what a trade posted.
    pub id: TransferId,
    /// Debited; of a row that settled a whole chain, that of the chain's first transfer.
    pub debit_account: AccountId,
    /// Credited; likewise.
    pub credit_account: AccountId,
    /// What was moved or reserved; of a void, what was released. Of a whole chain, all of it.
    pub amount: Amount,
    /// What it settled; of a whole chain, the first. Of a correction, what it corrected.
    pub pending_id: TransferId,
    /// Of a transfer that settled another and said nothing, that of the other.
    pub user_data_128: u128,
    /// Likewise.
    pub user_data_64: u64,
    /// Likewise.
    pub user_data_32: u32,
    /// After how many seconds it expires; 0 = never.
    pub timeout_s: u32,
    /// The asset of both accounts.
    pub ledger: AssetId,
    /// Why.
    pub code: u16,
    /// Bits of [`transfer_flags`].
    pub flags: u16,
    /// Days since 1970-01-01; 0 = the business date.
    pub value_date: u32,
    /// Why something was corrected; 0 = nothing was.
    pub reason: u16,
    /// What became of it, as of the snapshot.
    pub status: Status,
}

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is final: it moved money, or settled a pending transfer.
    Final,
    /// It is pending.
    Pending,
    /// It was pending, and was posted.
    Posted {
        /// Where.
        at: Place,
        /// How much of it.
        amount: Amount,
    },
    /// It was pending, and was voided.
    Voided {
        /// Where.
        at: Place,
    },
    /// It was pending, and its time was over.
    Expired {
        /// Where.
        at: Place,
    },
}

impl Account {
    /// As it was created, but for the flags.
    #[must_use]
    pub const fn row(&self) -> AccountRow {
        AccountRow {
            id: self.id,
            user_data_128: self.user_data_128,
            owner: self.owner,
            user_data_64: self.user_data_64,
            user_data_32: self.user_data_32,
            ledger: self.ledger,
            code: self.code,
            flags: self.flags,
            class: self.class,
            reserved: 0,
        }
    }
}

impl Transfer {
    /// As a row of a batch: with what it moved and took over.
    #[must_use]
    pub const fn row(&self) -> TransferRow {
        TransferRow {
            id: self.id,
            debit_account: self.debit_account,
            credit_account: self.credit_account,
            amount: self.amount,
            pending_id: self.pending_id,
            user_data_128: self.user_data_128,
            user_data_64: self.user_data_64,
            user_data_32: self.user_data_32,
            timeout_s: self.timeout_s,
            ledger: self.ledger,
            code: self.code,
            flags: self.flags,
            value_date: self.value_date,
            reason: self.reason,
            reserved: 0,
        }
    }

    /// Its place in its batch, from 0; 0 for what no batch created.
    #[must_use]
    pub const fn index(&self) -> u32 {
        match self.cause {
            Cause::Row { index } => index,
            Cause::Trade { .. } | Cause::Expiry => 0,
        }
    }
}

impl Reader {
    pub(crate) const fn new(
        database: Arc<Database>,
        accounts: Arc<RwLock<Accounts>>,
        wanted: Arc<AtomicBool>,
    ) -> Self {
        Self { database, accounts, wanted }
    }

    /// The ledger as of now, which is `min_seq` or later.
    ///
    /// # Errors
    /// [`ReadFault::Behind`] as long as the view has not come to `min_seq`: the feed is told that somebody waits, and the question is
    /// asked again soon.
    pub fn snapshot(&self, min_seq: Seq) -> Result<Snapshot, ReadFault> {
        let transaction = self.database.begin_read().map_err(ViewFault::from)?;
        let table = transaction.open_table(CATALOGUE).map_err(ViewFault::from)?;
        let catalogue = Catalogue::find(&table)?.ok_or(ViewFault::Damaged { what: "its version" })?;
        if catalogue.seq < min_seq {
            self.wanted.store(true, Ordering::Relaxed);
            return Err(ReadFault::Behind { seq: catalogue.seq });
        }
        let (accounts, block) = (Arc::clone(&self.accounts), RefCell::new(None));
        Ok(Snapshot { transaction, accounts, catalogue, block })
    }
}

impl Snapshot {
    /// As of which seq all answers are.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.catalogue.seq
    }

    /// The time of that record.
    #[must_use]
    pub const fn time(&self) -> UnixNanos {
        self.catalogue.time
    }

    /// Everything that ever moved: transfers, postings of trades, expiries.
    #[must_use]
    pub const fn movements(&self) -> u64 {
        self.catalogue.movements
    }

    /// Bytes that the file needs for what it holds; it may be longer.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn stored_bytes(&self) -> Result<u64, ViewFault> {
        let mut bytes = 0;
        for table in self.transaction.list_tables()? {
            let stats = self.transaction.open_untyped_table(table)?.stats()?;
            bytes += stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
        }
        Ok(bytes)
    }

    /// Runs of which the histories of accounts, and the ids of transfers, consist.
    #[must_use]
    pub const fn runs(&self) -> (usize, usize) {
        (self.catalogue.legs.len(), self.catalogue.ids.len())
    }

    /// The seq that is meant. Of an instant, the last at or before it with which money moved; from the snapshot's time on, the
    /// snapshot's.
    ///
    /// # Errors
    /// [`ReadFault::Behind`] for a seq that is ahead.
    pub fn seq_at(&self, at: At) -> Result<Seq, ReadFault> {
        match at {
            At::Now => Ok(self.seq()),
            At::Seq(seq) if seq > self.seq() => Err(ReadFault::Behind { seq: self.seq() }),
            At::Seq(seq) => Ok(seq),
            At::Instant(time) if time >= self.time() => Ok(self.seq()),
            At::Instant(time) => Ok(self.last_moved(time)?),
        }
    }

    /// The seq that is meant, and its time: of one before the snapshot's, the time of the last record until then with which money moved,
    /// 0 if there is none.
    ///
    /// # Errors
    /// As [`Self::seq_at`].
    pub fn moment(&self, at: At) -> Result<(Seq, UnixNanos), ReadFault> {
        let seq = self.seq_at(at)?;
        if seq == self.seq() {
            return Ok((seq, self.time()));
        }
        let bodies = self.transaction.open_table(BODIES).map_err(ViewFault::from)?;
        let mut until = bodies.range(..=(seq.0, u32::MAX)).map_err(ViewFault::from)?;
        let Some(row) = until.next_back() else { return Ok((seq, UnixNanos(0))) };
        let (key, block) = row.map_err(ViewFault::from)?;
        let (first_seq, step) = key.value();
        let movements = bodies::read_block(Place { seq: Seq(first_seq), step }, block.value());
        let movements = movements.map_err(ViewFault::from)?;
        let last = movements.iter().rev().find(|movement| movement.place.seq <= seq);
        Ok((seq, last.map_or(UnixNanos(0), |movement| movement.time)))
    }

    /// The last seq at or before `time` with which money moved; 0 = none.
    pub(crate) fn last_moved(&self, time: UnixNanos) -> Result<Seq, ViewFault> {
        let times = self.transaction.open_table(TIMES)?;
        let Some(begin) = times.range(..=time.0)?.next_back() else { return Ok(Seq::ZERO) };
        let from = begin?.1.value();
        let mut last = Seq::ZERO;
        for row in self.transaction.open_table(BODIES)?.range((from, 0)..)? {
            let (key, block) = row?;
            let (seq, step) = key.value();
            let movements = bodies::read_block(Place { seq: Seq(seq), step }, block.value())?;
            for movement in movements {
                if movement.time > time {
                    return Ok(last);
                }
                last = movement.place.seq;
            }
        }
        Ok(last)
    }

    /// An account with its balances. Before it was created it is not there.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn account(&self, id: AccountId, at: At) -> Result<Option<Account>, ReadFault> {
        let through = self.seq_at(at)?;
        let Some((number, definition)) = self.defined(id, at, through)? else { return Ok(None) };
        let sums = self.sums(number, through)?;
        let closed = if sums.closings == 0 { 0 } else { account_flags::CLOSED };
        Ok(Some(Account {
            id: definition.id,
            owner: definition.owner,
            ledger: definition.ledger,
            code: definition.code,
            flags: definition.flags | closed,
            class: definition.class,
            user_data_128: definition.user_data_128,
            user_data_64: definition.user_data_64,
            user_data_32: definition.user_data_32,
            created_seq: definition.seq,
            created: definition.time,
            balances: sums.balances(),
        }))
    }

    /// Whose an account is: the cheap part of [`Self::account`].
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn owner(&self, id: AccountId) -> Result<Option<ClientId>, ReadFault> {
        let Some(number) = self.number(id) else { return Ok(None) };
        Ok(Some(self.definition(number)?.owner))
    }

    /// An account's balance by value date, as it was known: what has a value date of that day or before, in days since 1970-01-01. What
    /// moved before there was a business date counts from the beginning. `None` = there was no such account.
    ///
    /// # Errors
    /// As [`Self::seq_at`].
    pub fn value_balance(&self, id: AccountId, day: u32, at: At) -> Result<Option<ValueBalance>, ReadFault> {
        let through = self.seq_at(at)?;
        let Some((account, _)) = self.defined(id, at, through)? else { return Ok(None) };
        let days = self.transaction.open_table(DAYS).map_err(ViewFault::from)?;
        let business_date = days::present(&days, at)?;
        let end = days::end(&days, day)?.map_or(through, |end| end.min(through));
        let sums = self.sums(account, end)?;
        let mut shifted = Shifted::default();
        let runs = &self.catalogue.shifts;
        for (at, run) in runs.iter().enumerate().take_while(|(_, run)| run.first_seq <= through.0) {
            let next_seq = runs.get(at + 1).map_or(self.seq().next().0, |next| next.first_seq);
            let of_run = if next_seq <= through.next().0 {
                self.carry_of_run::<Shift>(run, account, Shift::end_of_day(account, day))?
            } else {
                self.shifted_in_part(run, account, (day, through), business_date)?
            };
            shifted = shifted.plus(of_run);
        }
        Ok(Some(ValueBalance {
            debits_posted: Amount(sums.debits_posted.wrapping_add(shifted.debits)),
            credits_posted: Amount(sums.credits_posted.wrapping_add(shifted.credits)),
            business_date,
        }))
    }

    /// What shifts of a run add up to for an account, up to a day and through a seq, behind which this was the business date.
    fn shifted_in_part(
        &self,
        run: &Run,
        account: u32,
        (day, through): (u32, Seq),
        business_date: u32,
    ) -> Result<Shifted, ViewFault> {
        let Reach { back_days, ahead_days } = self.catalogue.shifted;
        // What came later is of no day before this one; what had come is of no day behind that one.
        let whole_before = business_date.saturating_sub(back_days);
        let mut day = day.min(business_date.saturating_add(ahead_days));
        let mut shifted = Shifted::default();
        while day >= whole_before {
            let end = Shift::key_at(account, day, through);
            let Some((last, until_then)) = self.last_of_run::<Shift>(run, account, end)? else {
                return Ok(shifted);
            };
            if last.day < day {
                day = last.day;
                continue;
            }
            let Some(day_before) = day.checked_sub(1) else { return Ok(shifted.plus(until_then)) };
            let end = Shift::end_of_day(account, day_before);
            let Some((last, before)) = self.last_of_run::<Shift>(run, account, end)? else {
                return Ok(shifted.plus(until_then));
            };
            shifted = shifted.plus(until_then.minus(before));
            day = last.day;
        }
        Ok(shifted.plus(self.carry_of_run::<Shift>(run, account, Shift::end_of_day(account, day))?))
    }

    /// A transfer by its id, with what became of it.
    ///
    /// # Errors
    /// [`ReadFault::View`].
    pub fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, ReadFault> {
        let fates = self.fates(id)?;
        let Some(created) = fates.iter().find(|fate| fate.stage == Stage::Created) else { return Ok(None) };
        let movement = self.movement(created.place)?;
        let mut transfer = self.transfer_of(&movement)?;
        if movement.fields.flags & transfer_flags::WHOLE_CHAIN != 0 {
            transfer.amount = self.amount_of_chain(&movement)?;
        }
        Ok(Some(transfer))
    }

    /// What a row moved that settled a whole chain: its movements stand one behind the other.
    fn amount_of_chain(&self, first: &Movement) -> Result<Amount, ViewFault> {
        let (mut amount, mut place) = (0_u128, first.place);
        while let Some(movement) =
            self.find_movement(place)?.filter(|next| (next.id, next.cause) == (first.id, first.cause))
        {
            amount = amount.saturating_add(movement.amount);
            place.step = place.step.saturating_add(1);
        }
        Ok(Amount(amount))
    }

    /// The number of an account that is there as of the snapshot.
    pub(crate) fn number(&self, id: AccountId) -> Option<u32> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.number(id).filter(|number| *number < self.catalogue.accounts)
    }

    pub(super) fn id(&self, number: u32) -> Result<AccountId, ViewFault> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.id(number).ok_or(ViewFault::Damaged { what: "the list of accounts" })
    }

    /// The number and definition of an account that was there.
    fn defined(&self, id: AccountId, at: At, through: Seq) -> Result<Option<(u32, Definition)>, ViewFault> {
        let Some(number) = self.number(id) else { return Ok(None) };
        let definition = self.definition(number)?;
        let is_there = match at {
            // Of an instant, the last movement may lie before the account's creation.
            At::Instant(time) => definition.time <= time,
            At::Now | At::Seq(_) => definition.seq <= through,
        };
        Ok(is_there.then_some((number, definition)))
    }

    fn definition(&self, number: u32) -> Result<Definition, ViewFault> {
        let found = self.transaction.open_table(ACCOUNTS)?.get(number)?;
        let found = found.ok_or(ViewFault::Damaged { what: "the list of accounts" })?;
        Ok(Definition::read(found.value())?)
    }

    /// What an account's history adds up to, through a seq.
    pub(crate) fn sums(&self, account: u32, through: Seq) -> Result<Sums, ViewFault> {
        let runs = self.catalogue.legs.iter().filter(|run| run.first_seq <= through.0);
        let mut sums = Sums::default();
        for run in runs {
            sums = sums.plus(self.sums_of_run(run, account, through)?);
        }
        Ok(sums)
    }

    pub(crate) fn sums_of_run(&self, run: &Run, account: u32, through: Seq) -> Result<Sums, ViewFault> {
        let end = Leg::key_at(account, Place { seq: through, step: u32::MAX }, Side::Credit);
        self.carry_of_run::<Leg>(run, account, end)
    }

    /// What an account's entries of a run add up to, through the one of a key.
    fn carry_of_run<E: Entry>(&self, run: &Run, account: u32, end: E::Key) -> Result<E::Carry, ViewFault> {
        Ok(self.last_of_run::<E>(run, account, end)?.map_or(E::Carry::default(), |(_, carry)| carry))
    }

    /// An account's last entry of a run up to a key, and what all of them until there add up to.
    fn last_of_run<E: Entry>(
        &self,
        run: &Run,
        account: u32,
        end: E::Key,
    ) -> Result<Option<(E, E::Carry)>, ViewFault> {
        let scale = u128::from(account);
        if !(run.low..=run.high).contains(&scale) {
            return Ok(None);
        }
        let table = self.transaction.open_table(Blocks::new(&table_name::<E>(run.number)))?;
        let Some(found) = table.range::<&[u8]>(..=E::key_bytes(end).as_ref())?.next_back() else {
            return Ok(None);
        };
        let found = found?.1;
        let (mut entries, mut last) = (BlockReader::<E>::new(found.value())?, None);
        while let Some((entry, carry)) = entries.next()?.filter(|(entry, _)| entry.key() <= end) {
            if entry.scale() == scale {
                last = Some((entry, carry));
            }
        }
        Ok(last)
    }

    /// All stages of a transfer's life, in order.
    pub(crate) fn fates(&self, id: TransferId) -> Result<Vec<Fate>, ViewFault> {
        let mut fates = Vec::new();
        for run in self.catalogue.ids.iter().filter(|run| (run.low..=run.high).contains(&id.0)) {
            let last = Place { seq: Seq(u64::MAX), step: u32::MAX };
            let end = Fate::key_bytes((id, last));
            let table = self.transaction.open_table(Blocks::new(&table_name::<Fate>(run.number)))?;
            let first = fates.len();
            // A transfer's stages may stand in two blocks of a run.
            for found in table.range::<&[u8]>(..=end.as_ref())?.rev() {
                let entries = read_block::<Fate>(found?.1.value())?;
                let of_id = entries.iter().map(|(fate, ())| *fate).filter(|fate| fate.id == id);
                let here: Vec<Fate> = of_id.collect();
                let goes_back = entries.first().is_some_and(|(fate, ())| fate.id == id);
                fates.splice(first..first, here);
                if !goes_back {
                    break;
                }
            }
        }
        Ok(fates)
    }

    pub(crate) fn movement(&self, place: Place) -> Result<Movement, ViewFault> {
        self.find_movement(place)?.ok_or(ViewFault::Damaged { what: "a movement is not there" })
    }

    fn find_movement(&self, place: Place) -> Result<Option<Movement>, ViewFault> {
        let find = |movements: &[Movement]| {
            let at = movements.binary_search_by_key(&place, |movement| movement.place).ok()?;
            movements.get(at).copied()
        };
        if let Some((first, movements)) = &*self.block.borrow()
            && *first <= place
            && let Some(found) = find(movements)
        {
            return Ok(Some(found));
        }
        let bodies = self.transaction.open_table(BODIES)?;
        let Some(row) = bodies.range(..=(place.seq.0, place.step))?.next_back() else { return Ok(None) };
        let (key, block) = row?;
        let (seq, step) = key.value();
        let first = Place { seq: Seq(seq), step };
        let movements = bodies::read_block(first, block.value())?;
        let found = find(&movements);
        *self.block.borrow_mut() = Some((first, movements));
        Ok(found)
    }

    pub(crate) fn transfer_of(&self, movement: &Movement) -> Result<Transfer, ViewFault> {
        let fields = &movement.fields;
        let mut transfer = Transfer {
            place: movement.place,
            time: movement.time,
            cause: movement.cause,
            id: movement.id,
            debit_account: self.id(movement.debit)?,
            credit_account: self.id(movement.credit)?,
            amount: Amount(movement.amount),
            pending_id: fields.pending_id,
            user_data_128: fields.user_data_128,
            user_data_64: fields.user_data_64,
            user_data_32: fields.user_data_32,
            timeout_s: fields.timeout_s,
            ledger: self.definition(movement.debit)?.ledger,
            code: fields.code,
            flags: fields.flags,
            value_date: fields.value_date,
            reason: fields.reason,
            status: Status::Final,
        };
        if fields.flags & transfer_flags::PENDING != 0 {
            transfer.status = self.status(movement.id)?;
        }
        if fields.flags & SETTLES != 0 {
            self.inherit(&mut transfer)?;
        }
        Ok(transfer)
    }

    /// A transfer that settles another takes over what it does not say.
    fn inherit(&self, transfer: &mut Transfer) -> Result<(), ViewFault> {
        let fates = self.fates(transfer.pending_id)?;
        let created = fates.iter().find(|fate| fate.stage == Stage::Created);
        let created = created.ok_or(ViewFault::Damaged { what: "a pending transfer is not there" })?;
        let pending = self.movement(created.place)?.fields;
        if transfer.user_data_128 == 0 {
            transfer.user_data_128 = pending.user_data_128;
        }
        if transfer.user_data_64 == 0 {
            transfer.user_data_64 = pending.user_data_64;
        }
        if transfer.user_data_32 == 0 {
            transfer.user_data_32 = pending.user_data_32;
        }
        Ok(())
    }

    fn status(&self, id: TransferId) -> Result<Status, ViewFault> {
        for fate in self.fates(id)? {
            let at = fate.place;
            match fate.stage {
                Stage::Created | Stage::Corrected => {}
                Stage::Posted => {
                    let amount = Amount(self.movement(at)?.amount);
                    return Ok(Status::Posted { at, amount });
                }
                Stage::Voided => return Ok(Status::Voided { at }),
                Stage::Expired => return Ok(Status::Expired { at }),
            }
        }
        Ok(Status::Pending)
    }
}
