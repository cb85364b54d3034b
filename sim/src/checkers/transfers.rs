//! Transfers of batches, as the committed log tells them: no id is executed twice, a chain is executed as a whole or not at all, what is
//! pending ends once, and what expires does so before the first command that is not earlier than its time, in order. What
//! clients were told is what the log says.

use std::collections::BTreeMap;

use protocol::commands::CreateTransfers;
use protocol::event::Event;
use protocol::limits::EXPIRIES_PER_RECORD_MAX;
use protocol::rows::TransferRow;
use protocol::rows::transfer_flags::{
    LINKED, PENDING, POST_PENDING_TRANSFER, VOID_PENDING_TRANSFER, WHOLE_CHAIN,
};
use protocol::{AccountId, Command, EventBody, LedgerRefusal, Seq, TransferId, UnixNanos, events};

use super::{Violation, ensure};
use crate::calendar::Calendar;
use crate::workload::payments::Known;

const NAME: &str = "transfers_once";

/// Money that was moved.
pub(super) struct Moved {
    pub(super) debit: AccountId,
    pub(super) credit: AccountId,
    pub(super) amount: u128,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It moved money at once, or ended another.
    Final,
    Pending,
    Posted,
    Voided,
    Expired,
}

/// A transfer that was executed.
#[derive(Debug)]
struct Executed {
    row: TransferRow,
    /// What it moved or reserved.
    amount: u128,
    seq: Seq,
    /// Place of its chain's first row.
    chain: usize,
    state: State,
    expires_at: Option<UnixNanos>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Transfers(BTreeMap<TransferId, Executed>);

/// What became of the rows of a batch.
struct Answer<'a> {
    seq: Seq,
    time: UnixNanos,
    rows: &'a [TransferRow],
    made: &'a events::TransfersCreated,
    /// By which it was judged.
    calendar: &'a Calendar,
}

impl Answer<'_> {
    fn refusal(&self, index: usize) -> Option<(LedgerRefusal, Seq)> {
        let exceptions = &self.made.exceptions;
        let at = exceptions.binary_search_by_key(&index, |exception| exception.index as usize).ok()?;
        Some((exceptions[at].refusal, exceptions[at].seq))
    }

    fn amount(&self, index: usize) -> u128 {
        let other = self.made.amounts.iter().find(|amount| amount.index as usize == index);
        other.map_or(self.rows[index].amount, |other| other.amount).0
    }
}

impl Transfers {
    /// What the command at `seq` did.
    ///
    /// # Errors
    /// [`Violation`] if it may not.
    pub(super) fn take(
        &mut self,
        seq: Seq,
        time: UnixNanos,
        batch: Option<&Command>,
        events: &[Event],
        calendar: &Calendar,
    ) -> Result<Vec<Moved>, Violation> {
        self.expire(seq, time, events)?;
        let mut moved = Vec::new();
        let made = events.iter().find_map(|event| {
            if let EventBody::TransfersCreated(made) = &event.body { Some(made) } else { None }
        });
        let Some(made) = made else { return Ok(moved) };
        let Some(Command::CreateTransfers(CreateTransfers { transfers: rows })) = batch else {
            ensure(made.created == 0, NAME, || format!("{made:?} at {seq} is of another command"))?;
            return Ok(moved);
        };
        let answer = Answer { seq, time, rows, made, calendar };
        let mut first = 0;
        while first < rows.len() {
            let linked = rows[first..].iter().take_while(|row| row.flags & LINKED != 0).count();
            let end = (first + linked + 1).min(rows.len());
            let created = (first..end).filter(|index| answer.refusal(*index).is_none()).count();
            ensure(created == 0 || created == end - first, NAME, || {
                format!("{created} rows of {first}..{end} were created: {made:?} at {seq}")
            })?;
            for index in first..end {
                match answer.refusal(index) {
                    None => self.execute(&answer, index, first, &mut moved)?,
                    Some(refusal) => self.refused(&answer, index, end - first, refusal)?,
                }
            }
            first = end;
        }
        Ok(moved)
    }

    fn expire(&mut self, seq: Seq, time: UnixNanos, events: &[Event]) -> Result<(), Violation> {
        let pending = self.0.iter().filter(|(_, executed)| executed.state == State::Pending);
        let due = pending.filter_map(|(id, executed)| Some((executed.expires_at?, *id)));
        let mut due: Vec<_> = due.filter(|(at, _)| *at <= time).collect();
        due.sort_unstable();
        due.truncate(EXPIRIES_PER_RECORD_MAX);
        let due: Vec<TransferId> = due.into_iter().map(|(_, id)| id).collect();
        let mut expired = Vec::new();
        for event in events {
            if let EventBody::TransferExpired(transfer) = &event.body {
                expired.push(transfer.transfer);
            }
        }
        ensure(expired == due, NAME, || {
            format!("{expired:?} expired at seq {seq}, at {time:?}; due were {due:?}")
        })?;
        for id in expired {
            self.0.entry(id).and_modify(|executed| executed.state = State::Expired);
        }
        Ok(())
    }

    fn execute(
        &mut self,
        answer: &Answer<'_>,
        index: usize,
        chain: usize,
        moved: &mut Vec<Moved>,
    ) -> Result<(), Violation> {
        let (seq, row, amount) = (answer.seq, answer.rows[index], answer.amount(index));
        let has_value = row.value_date == 0 || answer.calendar.admits(row.value_date);
        ensure(has_value, NAME, || format!("{row:?} is executed at {seq}, by {:?}", answer.calendar))?;
        let expires_at =
            (row.timeout_s > 0).then(|| UnixNanos(answer.time.0 + u64::from(row.timeout_s) * 1_000_000_000));
        let state = if row.flags & PENDING != 0 { State::Pending } else { State::Final };
        if row.flags & (POST_PENDING_TRANSFER | VOID_PENDING_TRANSFER) != 0 {
            self.settle(answer, index, amount, moved)?;
        } else if state == State::Final {
            moved.push(Moved { debit: row.debit_account, credit: row.credit_account, amount });
        }
        let executed = Executed { row, amount, seq, chain, state, expires_at };
        let before = self.0.insert(row.id, executed);
        ensure(before.is_none(), NAME, || format!("{row:?} is executed at {seq}, and was before: {before:?}"))
    }

    fn settle(
        &mut self,
        answer: &Answer<'_>,
        index: usize,
        amount: u128,
        moved: &mut Vec<Moved>,
    ) -> Result<(), Violation> {
        let row = answer.rows[index];
        let posts = row.flags & POST_PENDING_TRANSFER != 0;
        let legs = self.legs(&row);
        ensure(!legs.is_empty(), NAME, || format!("{row:?} ends what never was"))?;
        for id in legs {
            let Some(leg) = self.0.get_mut(&id) else { continue };
            let is_over = leg.expires_at.is_some_and(|at| at <= answer.time);
            let whole = if row.flags & WHOLE_CHAIN != 0 { leg.amount } else { amount };
            ensure(leg.state == State::Pending && !is_over && whole <= leg.amount, NAME, || {
                format!("{row:?} ends at {}, {:?}, with {amount}: {leg:?}", answer.seq, answer.time)
            })?;
            leg.state = if posts { State::Posted } else { State::Voided };
            if posts {
                let TransferRow { debit_account: debit, credit_account: credit, .. } = leg.row;
                moved.push(Moved { debit, credit, amount: whole });
            }
        }
        Ok(())
    }

    /// What a row names that posts or voids.
    fn legs(&self, row: &TransferRow) -> Vec<TransferId> {
        let Some(named) = self.0.get(&row.pending_id) else { return Vec::new() };
        if row.flags & WHOLE_CHAIN == 0 {
            return vec![row.pending_id];
        }
        let of_chain = |(_, leg): &(&TransferId, &Executed)| {
            (leg.seq, leg.chain) == (named.seq, named.chain) && leg.state != State::Final
        };
        self.0.iter().filter(of_chain).map(|(id, _)| *id).collect()
    }

    /// A row was not created, in a chain of so many.
    fn refused(
        &self,
        answer: &Answer<'_>,
        index: usize,
        chain_rows: usize,
        (refusal, seq): (LedgerRefusal, Seq),
    ) -> Result<(), Violation> {
        let row = answer.rows[index];
        let told = || format!("{row:?} is refused at {} with {refusal:?}, {seq}", answer.seq);
        if refusal == LedgerRefusal::ValueDateOutOfRange {
            return ensure(row.value_date != 0 && !answer.calendar.admits(row.value_date), NAME, told);
        }
        if refusal == LedgerRefusal::Exists {
            let there = self.0.get(&row.id).is_some_and(|there| there.seq == seq && there.row == row);
            return ensure(there, NAME, told);
        }
        let ends = [
            (LedgerRefusal::PendingTransferAlreadyPosted, State::Posted),
            (LedgerRefusal::PendingTransferAlreadyVoided, State::Voided),
            (LedgerRefusal::PendingTransferExpired, State::Expired),
        ];
        // What a chain did before its row failed has been taken back.
        let Some((_, end)) = ends.into_iter().find(|(told, _)| *told == refusal && chain_rows == 1) else {
            return Ok(());
        };
        let is_so = |id: &TransferId| {
            self.0.get(id).is_some_and(|leg| {
                let is_over = leg.expires_at.is_some_and(|at| at <= answer.time);
                leg.state == end || end == State::Expired && leg.state == State::Pending && is_over
            })
        };
        ensure(self.legs(&row).iter().any(is_so), NAME, told)
    }

    /// Debits and credits that are pending, by account.
    pub(super) fn pending(&self) -> BTreeMap<AccountId, (u128, u128)> {
        let mut pending: BTreeMap<AccountId, (u128, u128)> = BTreeMap::new();
        for executed in self.0.values().filter(|executed| executed.state == State::Pending) {
            pending.entry(executed.row.debit_account).or_default().0 += executed.amount;
            pending.entry(executed.row.credit_account).or_default().1 += executed.amount;
        }
        pending
    }

    /// What a client was told is so.
    ///
    /// # Errors
    /// [`Violation`] if it is not.
    pub(super) fn agree(&self, known: &BTreeMap<TransferId, Known>, to: Seq) -> Result<(), Violation> {
        for (id, known) in known {
            let found = self.0.get(id).map(|executed| executed.seq);
            let is_so = match *known {
                Known::Executed(seq) => found == Some(seq) || seq > to,
                Known::Refused(_, _) => found.is_none(),
            };
            ensure(is_so, NAME, || {
                format!("{id:?} was {known:?} for its client, and is executed at {found:?}")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::commands::SetCalendar;
    use protocol::rows::{RowAmount, RowResult};
    use protocol::{Amount, RequestNumber, SessionId};

    use super::*;

    const fn row(id: u128, flags: u16) -> TransferRow {
        TransferRow {
            id: TransferId(id),
            debit_account: AccountId(1),
            credit_account: AccountId(2),
            amount: Amount(10),
            flags,
            ..EMPTY
        }
    }

    const EMPTY: TransferRow = TransferRow {
        id: TransferId(0),
        debit_account: AccountId(0),
        credit_account: AccountId(0),
        amount: Amount(0),
        pending_id: TransferId(0),
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: protocol::AssetId(1),
        code: 1,
        flags: 0,
        value_date: 0,
        reason: 0,
        reserved: 0,
    };

    const fn reserves(id: u128, timeout_s: u32) -> TransferRow {
        TransferRow { timeout_s, ..row(id, PENDING) }
    }

    const fn ends(id: u128, pending_id: u128, flags: u16) -> TransferRow {
        TransferRow { pending_id: TransferId(pending_id), ..row(id, flags) }
    }

    /// Commands, each a second behind the one before.
    #[derive(Default)]
    struct Log {
        transfers: Transfers,
        seq: u64,
        calendar: Calendar,
    }

    impl Log {
        /// The next command is a batch of `rows`, of which some are refused; before it these expire. Returns how much is moved, unless the
        /// log is wrong.
        fn says(
            &mut self,
            rows: &[TransferRow],
            refused: &[(u32, LedgerRefusal, u64)],
            expired: &[u128],
        ) -> Option<u128> {
            self.seq += 1;
            let (seq, time) = (Seq(self.seq), UnixNanos(self.seq * 1_000_000_000));
            let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let result = |&(index, refusal, seq)| RowResult { index, refusal, seq: Seq(seq) };
            let made = events::TransfersCreated {
                session: SessionId(1),
                request: RequestNumber(1),
                count,
                created: count - u32::try_from(refused.len()).unwrap_or(0),
                exceptions: refused.iter().map(result).collect(),
                amounts: (0..)
                    .zip(rows)
                    .map(|(index, row)| RowAmount { index, amount: row.amount })
                    .collect(),
                balances: 0,
            };
            let expiry = |id: &u128| {
                EventBody::TransferExpired(events::TransferExpired {
                    transfer: TransferId(*id),
                    debit_account: AccountId(1),
                    credit_account: AccountId(2),
                    amount: Amount(10),
                })
            };
            let bodies = expired.iter().map(expiry).chain([EventBody::TransfersCreated(made)]);
            let events: Vec<_> = bodies.map(|body| Event { output: None, seq, time, body }).collect();
            let batch = Command::CreateTransfers(CreateTransfers { transfers: rows.to_vec() });
            let moved = self.transfers.take(seq, time, Some(&batch), &events, &self.calendar).ok()?;
            Some(moved.iter().map(|moved| moved.amount).sum())
        }
    }

    const POST: u16 = POST_PENDING_TRANSFER;
    const VOID: u16 = VOID_PENDING_TRANSFER;

    #[test]
    fn what_is_executed_once_and_as_a_whole_is_right() {
        let mut log = Log::default();
        assert_eq!(log.says(&[row(1, 0), reserves(2, 2), reserves(3, 0)], &[], &[]), Some(10));
        assert_eq!(log.says(&[ends(4, 3, POST), row(1, 0)], &[(1, LedgerRefusal::Exists, 1)], &[]), Some(10));
        assert_eq!(log.transfers.pending()[&AccountId(1)], (10, 0));
        let late = (0, LedgerRefusal::PendingTransferExpired, 3);
        assert_eq!(log.says(&[ends(5, 2, POST)], &[late], &[2]), Some(0));
        let failed = [(0, LedgerRefusal::LinkedEventFailed, 4), (1, LedgerRefusal::ExceedsCredits, 4)];
        assert_eq!(log.says(&[row(6, LINKED), row(7, 0)], &failed, &[]), Some(0));
        assert_eq!(log.says(&[row(8, PENDING | LINKED), row(9, PENDING)], &[], &[]), Some(0));
        assert_eq!(log.says(&[ends(10, 8, POST | WHOLE_CHAIN)], &[], &[]), Some(20));
        assert_eq!(log.transfers.pending(), BTreeMap::new());
    }

    #[test]
    fn what_is_executed_twice_or_in_part_is_found() {
        let mut log = Log::default();
        assert_eq!(log.says(&[row(1, 0)], &[], &[]), Some(10));
        assert_eq!(log.says(&[row(1, 0)], &[], &[]), None, "again");
        assert_eq!(log.says(&[row(1, 0)], &[(0, LedgerRefusal::Exists, 9)], &[]), None, "not at 9");
        assert_eq!(log.says(&[row(2, 0)], &[(0, LedgerRefusal::Exists, 1)], &[]), None, "it was not");
        let failed = (1, LedgerRefusal::ExceedsCredits, 5);
        assert_eq!(log.says(&[row(3, LINKED), row(4, 0)], &[failed], &[]), None, "half a chain");
    }

    #[test]
    fn a_value_date_that_is_taken_or_refused_against_the_calendar_is_found() {
        let calendar = SetCalendar {
            business_date: 20_454,
            weekend_days: 0,
            holidays: Vec::new(),
            value_back_days_max: 0,
            value_ahead_days_max: 1,
            utc_offset_s: 0,
            behind_utc: false,
        };
        let on = |id, value_date| TransferRow { value_date, ..row(id, 0) };
        let refused = [(0, LedgerRefusal::ValueDateOutOfRange, 1)];
        for (value_date, is_admitted) in [(20_453, false), (20_454, true), (20_455, true), (20_456, false)] {
            let log = || Log { calendar: Calendar::of(&calendar), ..Log::default() };
            assert_eq!(log().says(&[on(1, value_date)], &[], &[]).is_some(), is_admitted, "{value_date}");
            assert_eq!(
                log().says(&[on(1, value_date)], &refused, &[]).is_some(),
                !is_admitted,
                "{value_date}"
            );
        }
        assert_eq!(Log::default().says(&[on(1, 20_454)], &[], &[]), None, "there is no calendar");
    }

    #[test]
    fn what_ends_twice_or_at_another_time_is_found() {
        for (first, second) in [(POST, POST), (POST, VOID), (VOID, POST)] {
            let mut log = Log::default();
            assert_eq!(log.says(&[reserves(1, 0)], &[], &[]), Some(0));
            assert!(log.says(&[ends(2, 1, first)], &[], &[]).is_some());
            assert_eq!(log.says(&[ends(3, 1, second)], &[], &[]), None);
        }
        // It expires at 3 s: not before, not later, nor for one that did not.
        for (commands, expired, is_right) in [(2, &[1][..], false), (3, &[][..], false), (3, &[1][..], true)]
        {
            let mut log = Log::default();
            assert_eq!(log.says(&[reserves(1, 2)], &[], &[]), Some(0));
            (2..commands).for_each(|_| assert_eq!(log.says(&[], &[], &[]), Some(0)));
            assert_eq!(log.says(&[], &[], expired).is_some(), is_right, "{expired:?} at {commands}");
        }
        let mut log = Log::default();
        assert_eq!(log.says(&[reserves(1, 0)], &[], &[]), Some(0));
        let refused = (0, LedgerRefusal::PendingTransferAlreadyPosted, 2);
        assert_eq!(log.says(&[ends(2, 1, POST)], &[refused], &[]), None, "nobody has");
        assert_eq!(log.says(&[ends(3, 9, POST)], &[], &[]), None, "it never was");
    }

    #[test]
    fn what_a_client_was_told_and_is_not_so_is_found() {
        let mut log = Log::default();
        assert_eq!(log.says(&[row(1, 0)], &[], &[]), Some(10));
        let agrees =
            |id: u128, known| log.transfers.agree(&BTreeMap::from([(TransferId(id), known)]), Seq(5)).is_ok();
        assert!(agrees(1, Known::Executed(Seq(1))));
        assert!(!agrees(1, Known::Executed(Seq(2))));
        assert!(!agrees(2, Known::Executed(Seq(2))), "an acknowledged one that the log has lost");
        assert!(agrees(2, Known::Executed(Seq(6))), "the log is not read so far");
        assert!(!agrees(1, Known::Refused(LedgerRefusal::ExceedsCredits, Seq(1))));
        assert!(agrees(2, Known::Refused(LedgerRefusal::ExceedsCredits, Seq(1))));
    }
}
