//! What the naive model answers, and whether the view says the same.

use protocol::events::CurrencyExchanged;
use protocol::rows::{account_flags, transfer_flags};
use protocol::{AccountId, Amount, Seq, StandingOrderId, TransferId, UnixNanos};

use super::bank::{Bank, FIRST_DAY, Moved};
use crate::ledger::follow::SETTLES;
use crate::ledger::{
    Account, At, Attempt, BalanceChange, Balances, Cause, Change, Cursor, Exchange, Filter, Order, Side,
    Snapshot, Status, Transfer, Trigger, ValueBalance,
};

/// Asks a number of questions as of a snapshot.
pub(super) fn compare(bank: &mut Bank, snapshot: &Snapshot, context: &str) {
    let (seq, last) = (snapshot.seq(), bank.seq.0);
    let ids: Vec<AccountId> = bank.accounts.iter().map(|known| known.row.id).collect();
    for _ in 0..6 {
        let account = bank.one_of(&ids).unwrap_or(AccountId(9));
        let account = if bank.below(20) == 0 { AccountId(u128::from(bank.below(9)) << 100) } else { account };
        let at = Seq(bank.below(seq.0 + 1));
        let time = some_time(bank);
        for at in [At::Now, At::Seq(at), At::Instant(time)] {
            let found = snapshot.account(account, at).unwrap();
            assert_eq!(found, model_account(bank, seq, account, at), "{context}, account {account}, {at:?}");
            assert_eq!(snapshot.moment(at).unwrap(), model_moment(bank, seq, at), "{context}, {at:?}");
        }
        page_by_page(bank, snapshot, account, context);
        let day = FIRST_DAY - 4 + u32::try_from(bank.below(24)).unwrap();
        for at in [At::Now, At::Seq(at), At::Instant(time)] {
            let found = snapshot.value_balance(account, day, at).unwrap();
            let expected = model_value_balance(bank, (seq, at), account, day);
            assert_eq!(found, expected, "{context}, account {account}, day {day}, {at:?}");
        }
    }
    if seq.0 < last {
        assert!(snapshot.seq_at(At::Seq(seq.next())).is_err());
    }
    for _ in 0..12 {
        let ids = bank.ids.clone();
        let id = bank.one_of(&ids).unwrap_or(TransferId(7));
        let id = if bank.below(20) == 0 { TransferId(id.0 + 1) } else { id };
        let found = snapshot.transfer(id).unwrap();
        assert_eq!(found, model_transfer(bank, seq, id), "{context}, transfer {id}");
        let is_leg = |exchange: &&Exchange| {
            let CurrencyExchanged { sell_transfer, buy_transfer, rounding_transfer, .. } = exchange.event;
            exchange.seq <= seq && [sell_transfer, buy_transfer, rounding_transfer].contains(&id)
        };
        let exchange = bank.exchanges.iter().find(is_leg);
        assert_eq!(snapshot.exchange(id).unwrap().as_ref(), exchange, "{context}, transfer {id}");
        let corrects = |moved: &&Moved| {
            let row = moved.row.filter(|row| row.flags & SETTLES == 0);
            moved.place.seq <= seq && row.is_some_and(|row| row.pending_id == id)
        };
        let corrections: Vec<Transfer> =
            bank.moved.iter().filter(corrects).map(|moved| transfer_of(bank, seq, moved)).collect();
        let size = 1 + usize::try_from(bank.below(3)).unwrap();
        let found = all(size, |cursor| {
            let page = snapshot.corrections(id, cursor, size).unwrap();
            Some((page.entries, page.next))
        });
        assert_eq!(found, Some(corrections), "{context}, transfer {id}");
    }
    triggers(bank, snapshot, context);
    attempts(bank, snapshot, context);
    let moved = bank.moved.iter().filter(|moved| moved.place.seq <= seq).count();
    assert_eq!(snapshot.movements(), u64::try_from(moved).unwrap(), "{context}");
}

/// Everything that monitors said from a place on, page by page.
fn triggers(bank: &mut Bank, snapshot: &Snapshot, context: &str) {
    let from =
        Cursor { seq: Seq(bank.below(snapshot.seq().0 + 2)), entry: u32::try_from(bank.below(3)).unwrap() };
    let (mut found, mut next) = (Vec::new(), Some(from));
    while let Some(place) = next {
        let limit = 1 + usize::try_from(bank.below(5)).unwrap();
        let page = snapshot.triggers(place, limit).unwrap();
        assert_eq!(page.seq, snapshot.seq(), "{context}");
        assert!(page.entries.len() == limit || page.next.is_none(), "{context}: a short page is the last");
        found.extend(page.entries);
        next = page.next;
    }
    let is_there = |trigger: &&Trigger| {
        (trigger.seq, trigger.index) >= (from.seq, from.entry) && trigger.seq <= snapshot.seq()
    };
    let expected: Vec<Trigger> = bank.triggers.iter().filter(is_there).cloned().collect();
    assert_eq!(found, expected, "{context}, triggers from {from:?}");
}

/// Everything that came of an order from a place on, page by page.
fn attempts(bank: &mut Bank, snapshot: &Snapshot, context: &str) {
    let order = StandingOrderId(bank.below(5));
    let from =
        Cursor { seq: Seq(bank.below(snapshot.seq().0 + 2)), entry: u32::try_from(bank.below(3)).unwrap() };
    let (mut found, mut next) = (Vec::new(), Some(from));
    while let Some(place) = next {
        let limit = 1 + usize::try_from(bank.below(5)).unwrap();
        let page = snapshot.attempts(order, place, limit).unwrap();
        assert_eq!(page.seq, snapshot.seq(), "{context}");
        assert!(page.entries.len() == limit || page.next.is_none(), "{context}: a short page is the last");
        found.extend(page.entries);
        next = page.next;
    }
    let is_there = |attempt: &&Attempt| {
        let place = (attempt.seq, attempt.index);
        attempt.event.order == order && place >= (from.seq, from.entry) && attempt.seq <= snapshot.seq()
    };
    let expected: Vec<Attempt> = bank.attempts.iter().filter(is_there).cloned().collect();
    assert_eq!(found, expected, "{context}, attempts of {order:?} from {from:?}");
}

fn some_time(bank: &mut Bank) -> UnixNanos {
    let fed = bank.below(u64::try_from(bank.log.len()).unwrap() + 1);
    let time = bank.log.get(usize::try_from(fed).unwrap()).map_or(UnixNanos(5), |fed| fed.time);
    UnixNanos(time.0 + 1 - bank.below(3))
}

fn through(bank: &Bank, seq: Seq, at: At) -> Seq {
    let time = match at {
        At::Now => return seq,
        At::Seq(seq) => return seq,
        At::Instant(time) => time,
    };
    let fed = bank.log.iter().filter(|fed| fed.seq <= seq && fed.time <= time);
    fed.map(|fed| fed.seq).max().unwrap_or_default()
}

fn model_moment(bank: &Bank, seq: Seq, at: At) -> (Seq, UnixNanos) {
    let time_of = |seq: Seq| bank.log.iter().find(|fed| fed.seq == seq).map_or(UnixNanos(0), |fed| fed.time);
    let newest = (seq, time_of(seq));
    let moved = |through: &dyn Fn(&Moved) -> bool| {
        bank.moved
            .iter()
            .filter(|moved| moved.place.seq <= seq && through(moved))
            .map(|moved| moved.place.seq)
            .max()
    };
    match at {
        At::Now => newest,
        At::Seq(at) if at == seq => newest,
        At::Instant(time) if time >= newest.1 => newest,
        At::Seq(at) => (at, moved(&|moved| moved.place.seq <= at).map_or(UnixNanos(0), time_of)),
        At::Instant(time) => {
            let last = moved(&|moved| moved.time <= time).unwrap_or_default();
            (last, time_of(last))
        }
    }
}

fn sides(moved: &Moved, account: AccountId) -> impl Iterator<Item = Side> {
    let debit = (moved.debit == account).then_some(Side::Debit);
    debit.into_iter().chain((moved.credit == account).then_some(Side::Credit))
}

fn apply(balances: &mut Balances, side: Side, change: Change) {
    let (pending, posted) = match side {
        Side::Debit => (&mut balances.debits_pending, &mut balances.debits_posted),
        Side::Credit => (&mut balances.credits_pending, &mut balances.credits_posted),
    };
    match change {
        Change::Posted(amount) => posted.0 += amount.0,
        Change::Reserved(amount) => pending.0 += amount.0,
        Change::Settled { reserved, posted: now } => {
            pending.0 -= reserved.0;
            posted.0 += now.0;
        }
    }
}

fn model_account(bank: &Bank, seq: Seq, account: AccountId, at: At) -> Option<Account> {
    let through = through(bank, seq, at);
    let known = bank.accounts.iter().find(|known| known.row.id == account && known.seq <= through)?;
    let (mut balances, mut closings) = (Balances::default(), 0);
    for moved in bank.moved.iter().filter(|moved| moved.place.seq <= through) {
        for side in sides(moved, account) {
            apply(&mut balances, side, moved.change);
            closings += if side == Side::Debit { moved.closings.0 } else { moved.closings.1 };
        }
    }
    let closed = if closings == 0 { 0 } else { account_flags::CLOSED };
    // What may change is told as it is now.
    let row = known.updates.iter().rfind(|(since, _)| *since <= seq)?.1;
    Some(Account {
        id: account,
        owner: known.row.owner,
        ledger: known.row.ledger,
        code: row.code,
        flags: known.row.flags | closed,
        class: known.row.class,
        user_data_128: row.user_data_128,
        user_data_64: row.user_data_64,
        user_data_32: row.user_data_32,
        created_seq: known.seq,
        created: known.time,
        balances,
    })
}

fn model_value_balance(
    bank: &Bank,
    (seq, at): (Seq, At),
    account: AccountId,
    day: u32,
) -> Option<ValueBalance> {
    let through = through(bank, seq, at);
    bank.accounts.iter().find(|known| known.row.id == account && known.seq <= through)?;
    let mut balances = Balances::default();
    for moved in bank.moved.iter().filter(|moved| moved.place.seq <= through && moved.value_date <= day) {
        let posted = match moved.change {
            Change::Posted(amount) | Change::Settled { posted: amount, .. } => amount,
            Change::Reserved(_) => Amount(0),
        };
        for side in sides(moved, account) {
            apply(&mut balances, side, Change::Posted(posted));
        }
    }
    let begun = bank.days.iter().rfind(|(_, began)| *began <= through);
    let Balances { debits_posted, credits_posted, .. } = balances;
    Some(ValueBalance { debits_posted, credits_posted, business_date: begun.map_or(0, |(day, _)| *day) })
}

fn amount(moved: &Moved) -> u128 {
    match moved.change {
        Change::Posted(amount) | Change::Reserved(amount) => amount.0,
        Change::Settled { reserved, posted } => {
            let posts = moved.row.is_some_and(|row| row.flags & transfer_flags::POST_PENDING_TRANSFER != 0);
            if posts { posted.0 } else { reserved.0 }
        }
    }
}

fn model_transfer(bank: &Bank, seq: Seq, id: TransferId) -> Option<Transfer> {
    let there = bank.moved.iter().filter(|moved| moved.place.seq <= seq && moved.cause != Cause::Expiry);
    let parts: Vec<&Moved> = there.filter(|moved| moved.id == id).collect();
    let first = parts.first()?;
    let mut transfer = transfer_of(bank, seq, first);
    transfer.amount = Amount(parts.iter().map(|moved| amount(moved)).sum());
    Some(transfer)
}

fn transfer_of(bank: &Bank, seq: Seq, moved: &Moved) -> Transfer {
    let row = moved.row;
    let ledger = bank.accounts.iter().find(|known| known.row.id == moved.debit).unwrap().row.ledger;
    let pending = row.and_then(|row| bank.moved.iter().find(|before| before.id == row.pending_id));
    let pending =
        pending.filter(|_| row.is_some_and(|row| row.flags & SETTLES != 0)).and_then(|moved| moved.row);
    let of = |row: Option<protocol::rows::TransferRow>| {
        row.map_or((0, 0, 0), |row| (row.user_data_128, row.user_data_64, row.user_data_32))
    };
    let ((own_128, own_64, own_32), (pending_128, pending_64, pending_32)) = (of(row), of(pending));
    Transfer {
        place: moved.place,
        time: moved.time,
        cause: moved.cause,
        id: moved.id,
        debit_account: moved.debit,
        credit_account: moved.credit,
        amount: Amount(amount(moved)),
        pending_id: row.map_or(TransferId(0), |row| row.pending_id),
        user_data_128: if own_128 == 0 { pending_128 } else { own_128 },
        user_data_64: if own_64 == 0 { pending_64 } else { own_64 },
        user_data_32: if own_32 == 0 { pending_32 } else { own_32 },
        timeout_s: row.map_or(0, |row| row.timeout_s),
        ledger,
        code: moved.code,
        flags: row.map_or(0, |row| row.flags),
        value_date: row.map_or(0, |row| row.value_date),
        reason: row.map_or(0, |row| row.reason),
        status: status(bank, seq, moved),
    }
}

fn status(bank: &Bank, seq: Seq, moved: &Moved) -> Status {
    if moved.row.is_none_or(|row| row.flags & transfer_flags::PENDING == 0) {
        return Status::Final;
    }
    let end = bank.moved.iter().find(|end| end.settles == Some(moved.id) && end.place.seq <= seq);
    let Some(end) = end else { return Status::Pending };
    let at = end.place;
    match end.row {
        None => Status::Expired { at },
        Some(row) if row.flags & transfer_flags::POST_PENDING_TRANSFER == 0 => Status::Voided { at },
        Some(_) => Status::Posted { at, amount: Amount(amount(end)) },
    }
}

/// Everything that a history or a list should hold, oldest first.
fn model_history(bank: &Bank, seq: Seq, account: AccountId, filter: &Filter) -> Vec<(BalanceChange, Moved)> {
    let (mut balances, mut found) = (Balances::default(), Vec::new());
    for moved in bank.moved.iter().filter(|moved| moved.place.seq <= seq) {
        for side in sides(moved, account) {
            apply(&mut balances, side, moved.change);
            let counterparty = if side == Side::Debit { moved.credit } else { moved.debit };
            let is_wanted = moved.time >= filter.from
                && filter.to.is_none_or(|to| moved.time <= to)
                && filter.code.is_none_or(|code| code == moved.code)
                && filter.counterparty.is_none_or(|account| account == counterparty)
                && filter.side.is_none_or(|wanted| wanted == side);
            if is_wanted {
                let (place, time, cause, transfer) = (moved.place, moved.time, moved.cause, moved.id);
                let (change, code) = (moved.change, moved.code);
                let entry = BalanceChange {
                    place,
                    time,
                    cause,
                    transfer,
                    side,
                    counterparty,
                    change,
                    code,
                    balances,
                };
                found.push((entry, *moved));
            }
        }
    }
    found
}

fn page_by_page(bank: &mut Bank, snapshot: &Snapshot, account: AccountId, context: &str) {
    let mut filter = Filter::default();
    if bank.below(2) == 0 {
        filter.from = some_time(bank);
    }
    if bank.below(2) == 0 {
        filter.to = Some(some_time(bank));
    }
    if bank.below(3) == 0 {
        filter.code = Some(u16::try_from(bank.below(5)).unwrap());
    }
    if bank.below(3) == 0 {
        let ids: Vec<AccountId> = bank.accounts.iter().map(|known| known.row.id).collect();
        filter.counterparty = bank.one_of(&ids);
    }
    if bank.below(3) == 0 {
        filter.side = Some(if bank.below(2) == 0 { Side::Debit } else { Side::Credit });
    }
    let order = if bank.below(2) == 0 { Order::Forwards } else { Order::Backwards };
    let size = 1 + usize::try_from(bank.below(30)).unwrap();
    let seq = snapshot.seq();
    let context = format!("{context}, account {account}, {filter:?}, {order:?} by {size}");

    let is_there = bank.accounts.iter().any(|known| known.row.id == account && known.seq <= seq);
    let mut expected = model_history(bank, seq, account, &filter);
    if order == Order::Backwards {
        expected.reverse();
    }
    let history = all(size, |cursor| {
        let page = snapshot.history(account, &filter, order, cursor, size).unwrap()?;
        Some((page.entries, page.next))
    });
    let entries: Vec<BalanceChange> = expected.iter().map(|(entry, _)| *entry).collect();
    assert_eq!(history, is_there.then_some(entries), "{context}");
    let transfers = all(size, |cursor| {
        let page = snapshot.transfers(account, &filter, order, cursor, size).unwrap()?;
        Some((page.entries, page.next))
    });
    let wanted = expected.iter().filter(|(_, moved)| moved.cause != Cause::Expiry);
    let entries: Vec<Transfer> = wanted.map(|(_, moved)| transfer_of(bank, seq, moved)).collect();
    assert_eq!(transfers, is_there.then_some(entries), "{context}");
}

fn all<T>(
    size: usize,
    mut ask: impl FnMut(Option<Cursor>) -> Option<(Vec<T>, Option<Cursor>)>,
) -> Option<Vec<T>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (entries, next) = ask(cursor)?;
        assert!(entries.len() <= size && (next.is_none() || entries.len() == size));
        all.extend(entries);
        if next.is_none() {
            return Some(all);
        }
        cursor = next;
    }
}
