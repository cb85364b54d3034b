//! A ledger is broken on purpose in every way that its own checks speak of, and they find it; and what no dialogue can see of it.

mod services;

use protocol::commands::{DefineAsset, DefineMonitor, SetAccountCode, SetCalendar, SetOverdraft};
use protocol::limits::{ACCOUNT_CODES_MAX, OVERDRAFTS_MAX};
use protocol::rows::TransferRow;
use protocol::rows::account_flags::{DEBITS_MUST_NOT_EXCEED_CREDITS, SETTLEMENT};
use protocol::{
    AccountClass, AccountId, AccountKind, Amount, AssetId, ClientId, MonitorField, MonitorId,
    MonitorOperator, NormalSide, Seq, Text, TransferId, UnixNanos,
};

use super::*;
use crate::broken::refuse_field;
use crate::rows::NO_ROW;
use crate::slab::NONE;

const TRY: AssetId = AssetId(1);
/// May stand below zero.
const EXTERNAL: u32 = 0;
/// May not.
const HOUSE: u32 = 1;
/// Orders of its owner settle through it.
const CLIENT: u32 = 2;
const OWNER: ClientId = ClientId(7);
const TIME: UnixNanos = UnixNanos(1_767_225_600_000_000_000);

fn account(row: u32, owner: ClientId, flags: u16) -> Account {
    Account { flags, ..Account::new(AccountId(100 + u128::from(row)), owner, TRY) }
}

fn add(ledger: &mut Ledger, account: Account) {
    ledger.accounts.add(account, Particulars::default());
}

/// Three accounts of the code 0 and the class house, with 50 paid from the first to the second.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    add(&mut ledger, account(EXTERNAL, ClientId(0), 0));
    add(&mut ledger, account(HOUSE, ClientId(0), DEBITS_MUST_NOT_EXCEED_CREDITS));
    add(&mut ledger, account(CLIENT, OWNER, DEBITS_MUST_NOT_EXCEED_CREDITS | SETTLEMENT));
    ledger.post(EXTERNAL, HOUSE, 50).unwrap();
    assert_eq!((ledger.accounts.len(), ledger.check()), (3, Ok(())));
    ledger
}

/// What the checks say of a ledger that was broken so.
fn found(break_it: impl FnOnce(&mut Ledger)) -> Broken {
    let mut ledger = ledger();
    break_it(&mut ledger);
    ledger.check().unwrap_err()
}

fn index(what: &'static str) -> Broken {
    Broken::Index { what }
}

fn pending(id: u128, amount: u128) -> Pending {
    Pending {
        id: TransferId(id),
        debit: EXTERNAL,
        credit: HOUSE,
        amount,
        expires_at: None,
        ledger: TRY,
        code: 1,
        flags: 0,
        by_payer: false,
        chain: NONE,
        before: NONE,
        behind: NONE,
        recollection: None,
        end: None,
    }
}

fn lines(account: u32, agreed: u128, temporary: u128) -> SetOverdraft {
    SetOverdraft {
        account: AccountId(100 + u128::from(account)),
        agreed: Amount(agreed),
        temporary: Amount(temporary),
        temporary_until_ns: if temporary > 0 { TIME.0 + 1 } else { 0 },
        interest_code: 0,
    }
}

/// Does it, as the command of [`TIME`].
fn command(
    ledger: &mut Ledger,
    run: impl FnOnce(&mut Ledger, &mut Effects<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut events = Vec::new();
    run(ledger, &mut Effects::new(Seq(1), TIME, &mut events))
}

fn set_lines(ledger: &mut Ledger, lines: &SetOverdraft) -> Result<(), Stop> {
    command(ledger, |ledger, effects| ledger.set_overdraft(lines, effects))
}

#[test]
fn money_that_only_one_side_has_is_found() {
    for column in [Column::DebitsPosted, Column::CreditsPosted, Column::DebitsPending, Column::CreditsPending]
    {
        let mut ledger = ledger();
        ledger.accounts.add_to(EXTERNAL, column, 5).unwrap();
        assert!(matches!(ledger.accounts.balanced(HOUSE), Err(Broken::Unbalanced { asset: TRY, .. })));
        assert!(matches!(ledger.accounts.check(), Err(Broken::Unbalanced { asset: TRY, .. })));
    }
}

#[test]
fn totals_that_are_not_the_sums_of_the_accounts_are_found() {
    let broken = found(|ledger| {
        let slice = ledger.accounts.at(HOUSE).slice;
        ledger.accounts.totals.add(slice, Column::DebitsPosted, 5);
        ledger.accounts.totals.add(slice, Column::CreditsPosted, 5);
    });
    assert_eq!(broken, index("totals"));
    // A slice that nobody is in, and nobody watches, is none.
    let unused = found(|ledger| {
        ledger.accounts.totals.slice(TRY, 9, AccountClass::Fee);
    });
    assert_eq!(unused, index("slices of the totals"));
}

fn entry(code: u16, ledger: AssetId) -> SetAccountCode {
    SetAccountCode {
        ledger,
        code,
        kind: Some(AccountKind::Crypto),
        normal_side: Some(NormalSide::Credit),
        classes: AccountClass::House.bit(),
        name: Text::EMPTY,
    }
}

#[test]
fn a_chart_that_means_nothing_or_contradicts_its_accounts_is_found() {
    let charted = |change: fn(&mut SetAccountCode)| {
        let mut ledger = ledger();
        let update = UpdateAccount { code: 5, ..ledger.accounts.as_updated(HOUSE) };
        ledger.accounts.update(HOUSE, &update);
        let mut entry = entry(5, TRY);
        change(&mut entry);
        ledger.chart.insert(entry);
        ledger.check()
    };
    let broken = Err(index("chart of accounts"));
    assert_eq!(charted(|_| {}), Ok(()));
    assert_eq!(charted(|entry| entry.ledger = AssetId(0)), Ok(()));
    // An account of class house has it, and its debits are limited.
    assert_eq!(charted(|entry| entry.classes = AccountClass::Client.bit()), broken);
    assert_eq!(charted(|entry| entry.normal_side = Some(NormalSide::Debit)), broken);
    let unused = |entry: &mut SetAccountCode| entry.code = 77;
    assert_eq!(charted(unused), Ok(()));
    assert_eq!(charted(|entry| (entry.code, entry.classes) = (77, 0)), broken);
    assert_eq!(charted(|entry| (entry.code, entry.normal_side) = (77, None)), broken);
    let nothing: fn(&mut SetAccountCode) =
        |entry| (entry.code, entry.kind, entry.normal_side, entry.classes) = (77, None, None, 0);
    assert_eq!(charted(nothing), broken);
    let mut twice = ledger();
    twice.chart.insert(entry(77, TRY));
    twice.chart.insert(entry(77, AssetId(0)));
    assert_eq!(twice.check(), broken);
}

#[test]
fn a_chart_has_so_many_codes() {
    let mut ledger = ledger();
    let max = u16::try_from(ACCOUNT_CODES_MAX).unwrap();
    (1_000..1_000 + max).for_each(|code| ledger.chart.insert(entry(code, AssetId(0))));
    let mut registry = Registry::default();
    let asset = DefineAsset { asset: TRY, code: Text::truncated("TRY"), scale: 2 };
    command(&mut ledger, |_, effects| registry.define_asset(&asset, effects)).unwrap();
    let mut set = |entry: &SetAccountCode| {
        command(&mut ledger, |ledger, effects| ledger.set_account_code(entry, &registry, effects))
    };
    assert_eq!(set(&entry(77, AssetId(0))), Err(RejectReason::TableFull.into()));
    assert_eq!(set(&SetAccountCode { name: Text::truncated("renamed"), ..entry(1_000, AssetId(0)) }), Ok(()));
    let nothing = SetAccountCode { kind: None, normal_side: None, classes: 0, ..entry(1_001, AssetId(0)) };
    assert_eq!(set(&nothing), Ok(()));
    assert_eq!(set(&entry(77, TRY)), Ok(()));
}

#[test]
fn a_transfer_that_is_reversed_beyond_its_amount_is_found() {
    let reversed = |reversed: u128| {
        let (debit, credit) = (AccountId(100), AccountId(101));
        let original = Some(Original { debit, credit, ledger: TRY, amount: 5 });
        let mut ledger = ledger();
        ledger.corrections.insert(TransferId(9), Corrected { original, reversed });
        ledger.check()
    };
    assert_eq!(reversed(5), Ok(()));
    assert_eq!(reversed(6), Err(index("corrections")));
}

#[test]
fn whoever_is_below_zero_and_may_not_be_is_found() {
    let below_zero = |row: u32| Broken::BelowZero { account: AccountId(100 + u128::from(row)) };
    let overdrawn = |ledger: &mut Ledger, amount| {
        ledger.accounts.add_to(HOUSE, Column::DebitsPosted, amount).unwrap();
        ledger.accounts.add_to(EXTERNAL, Column::CreditsPosted, amount).unwrap();
    };
    assert_eq!(found(|ledger| overdrawn(ledger, 51)), below_zero(HOUSE));
    assert_eq!(ledger().post(HOUSE, EXTERNAL, 51), Err(below_zero(HOUSE)));
    assert_eq!(ledger().post(HOUSE, EXTERNAL, 50), Ok(()));
    // What is held has to be there, and of this account nobody knows what is.
    assert_eq!(found(|ledger| ledger.accounts.set_held(EXTERNAL, 1)), below_zero(EXTERNAL));
    // No line, past or present, went so far.
    let broken = found(|ledger| {
        set_lines(ledger, &lines(HOUSE, 10, 0)).unwrap();
        overdrawn(ledger, 61);
    });
    assert_eq!(broken, below_zero(HOUSE));
    let mut ledger = ledger();
    set_lines(&mut ledger, &lines(HOUSE, 10, 0)).unwrap();
    assert_eq!(ledger.payable(HOUSE, 61, UnixNanos(1)), 60);
    assert_eq!(ledger.post(HOUSE, EXTERNAL, 61), Err(below_zero(HOUSE)));
}

#[test]
fn accounts_that_their_indexes_do_not_lead_to_are_found() {
    let twice = found(|ledger| add(ledger, account(HOUSE, ClientId(0), 0)));
    assert_eq!(twice, index("accounts"));
    let settles = DEBITS_MUST_NOT_EXCEED_CREDITS | SETTLEMENT;
    let two_settle = found(|ledger| add(ledger, account(3, OWNER, settles)));
    assert_eq!(two_settle, index("accounts"));
}

#[test]
fn pending_transfers_that_reserve_nothing_or_have_ended_are_found() {
    let mismatch = Broken::PendingMismatch { account: AccountId(100) };
    let nothing_reserved = found(|ledger| {
        ledger.pendings.add(pending(9, 5));
    });
    assert_eq!(nothing_reserved, mismatch);
    let twice = found(|ledger| {
        ledger.pendings.add(pending(9, 0));
        ledger.pendings.add(pending(9, 0));
    });
    assert_eq!(twice, index("pending transfers"));
    let ended = found(|ledger| {
        let slot = ledger.pendings.add(pending(9, 0));
        ledger.pendings.end(slot, Outcome::Posted).unwrap();
    });
    assert_eq!(ended, index("pending transfers"));
}

#[test]
fn chains_of_pending_transfers_stay_whole_when_one_of_them_goes() {
    let chain = |ledger: &mut Ledger| {
        let [one, two, three] = [9, 10, 11].map(|id| ledger.pendings.add(pending(id, 0)));
        ledger.pendings.tie(one, two);
        ledger.pendings.tie(two, three);
        [one, two, three]
    };
    for at in 0..3 {
        let mut ledger = ledger();
        let mut slots = chain(&mut ledger).to_vec();
        ledger.check().unwrap();
        ledger.pendings.remove(slots.remove(at));
        assert!(slots.iter().all(|&slot| ledger.pendings.chain_of(slot) == slots));
        ledger.check().unwrap();
        slots.into_iter().for_each(|slot| ledger.pendings.remove(slot));
        ledger.check().unwrap();
    }
    let twice = found(|ledger| {
        let [one, _, three] = chain(ledger);
        ledger.pendings.tie(one, three);
    });
    assert_eq!(twice, index("chains of pending transfers"));
}

#[test]
fn an_index_forgets_pending_transfers_that_are_removed() {
    let mut ledger = ledger();
    let expires_at = Some(TIME);
    let slot = ledger.pendings.add(Pending { expires_at, ..pending(9, 0) });
    ledger.pendings.add(pending(10, 0));
    ledger.pendings.remove(slot);
    ledger.check().unwrap();
    assert_eq!((ledger.pendings.len(), ledger.pendings.next_deadline()), (1, None));
}

#[test]
fn a_calendar_that_nobody_could_set_is_found() {
    let calendar = || SetCalendar {
        business_date: 20_454,
        weekend_days: 0x60,
        holidays: vec![20_455],
        value_back_days_max: 0,
        value_ahead_days_max: 0,
        utc_offset_s: 0,
        behind_utc: false,
    };
    let set = |closed: u32, definition: Option<SetCalendar>| {
        let mut ledger = ledger();
        ledger.calendar = BankCalendar { definition, closed };
        ledger.check()
    };
    let broken = Err(index("calendar"));
    assert_eq!(set(0, None), Ok(()));
    assert_eq!(set(20_453, Some(calendar())), Ok(()));
    assert_eq!(set(20_453, None), broken);
    assert_eq!(set(20_454, Some(calendar())), broken);
    assert_eq!(set(20_453, Some(SetCalendar { holidays: vec![0], ..calendar() })), broken);
}

#[test]
fn monitors_that_watch_what_does_not_know_it_are_found() {
    let define = |ledger: &mut Ledger| {
        let monitor = DefineMonitor {
            monitor: MonitorId(1),
            account: AccountId(101),
            ledger: AssetId(0),
            code: 0,
            class: None,
            field: MonitorField::Balance,
            operator: MonitorOperator::AtLeast,
            value: Amount(1_000),
            negative: false,
        };
        assert!(ledger.restore_monitor(monitor));
        ledger.check().unwrap();
    };
    assert_eq!(found(|ledger| ledger.accounts.set_watched(HOUSE, true)), index("monitors"));
    let unwatched = found(|ledger| {
        define(ledger);
        ledger.accounts.set_watched(HOUSE, false);
    });
    assert_eq!(unwatched, index("monitors"));
    let not_judged = found(|ledger| {
        define(ledger);
        ledger.post(EXTERNAL, HOUSE, 1).unwrap();
    });
    assert_eq!(not_judged, index("monitors"));
}

#[test]
fn overdrafts_that_contradict_their_accounts_are_found() {
    let overdraft = |lines: SetOverdraft, most: u128| {
        let row = u32::try_from(lines.account.0 - 100).unwrap();
        let mut ledger = ledger();
        ledger.accounts.set_overdraft(row, true);
        ledger.overdrafts.insert(Overdraft { lines, most });
        ledger.check()
    };
    let broken = Err(index("overdrafts"));
    assert_eq!(overdraft(lines(HOUSE, 3, 4), 7), Ok(()));
    // More than was ever allowed; of one that needs none; a temporary line that nothing ends.
    assert_eq!(overdraft(lines(HOUSE, 3, 4), 6), broken);
    assert_eq!(overdraft(lines(EXTERNAL, 3, 4), 7), broken);
    assert_eq!(overdraft(SetOverdraft { temporary_until_ns: 0, ..lines(HOUSE, 3, 4) }, 7), broken);
    assert_eq!(found(|ledger| ledger.accounts.set_overdraft(HOUSE, true)), index("overdrafts"));
    let unmarked = found(|ledger| {
        set_lines(ledger, &lines(HOUSE, 3, 4)).unwrap();
        ledger.accounts.set_overdraft(HOUSE, false);
    });
    assert_eq!(unmarked, index("overdrafts"));
}

#[test]
fn ids_that_are_remembered_below_the_floor_are_found() {
    let broken = found(|ledger| {
        ledger.recent.advance(TIME, 1_000, 10);
        let row =
            TransferRow { id: TransferId::at_ms(TIME.0 / 1_000_000 - 2_000, 1), ..TransferRow::default() };
        ledger.recent.remember(Remembered { row, amount: 0, seq: Seq(1), outcome: Outcome::Created });
    });
    assert_eq!(broken, index("recent transfers"));
}

/// So many that some have the same hash.
#[test]
fn ids_and_owners_with_the_same_hash_are_told_apart() {
    const COUNT: u32 = 250_000;
    let mut ledger = Ledger::default();
    for row in 0..COUNT {
        add(&mut ledger, account(row, ClientId(row.into()), DEBITS_MUST_NOT_EXCEED_CREDITS | SETTLEMENT));
        ledger.pendings.add(pending(row.into(), 0));
    }
    for row in 0..COUNT {
        assert_eq!(ledger.row(AccountId(100 + u128::from(row))), Some(row));
        assert_eq!(ledger.settlement(ClientId(row.into()), TRY), Some(row));
        assert_eq!(ledger.pendings.slot(TransferId(row.into())), Some(row));
    }
    let rows: Vec<u32> = (0..COUNT).collect();
    for rows in rows.chunks(64) {
        let ids: Vec<_> = rows.iter().map(|row| AccountId(100 + u128::from(*row))).collect();
        let mut found = [NO_ROW; 64];
        ledger.accounts.find_rows(&ids, &mut found);
        assert!(found.iter().zip(rows).all(|(found, row)| found == row));
    }
}

/// Ids that a client has chosen so that their searches begin in one place.
#[test]
fn where_an_id_is_looked_for_depends_on_the_seed() {
    let guessed = |seed: u64, rows: &[u32]| {
        let mut ledger = Ledger::default();
        ledger.seed(seed);
        rows.iter().for_each(|&row| add(&mut ledger, account(row, ClientId(0), 0)));
        let guesses = rows.iter().map(|&row| ledger.accounts.first(AccountId(100 + u128::from(row))));
        guesses.zip(0..).filter(|(guess, row)| guess == row).count()
    };
    let collide: Vec<u32> = (1..10_000).filter(|&row| guessed(0, &[0, row]) == 1).take(20).collect();
    assert_eq!((collide.len(), guessed(0, &collide)), (20, 1));
    assert!(guessed(0xBA2E_0001, &collide) > 10);
}

#[test]
fn there_are_no_more_overdrafts_than_there_may_be() {
    let mut ledger = ledger();
    for other in 1..OVERDRAFTS_MAX {
        let account = AccountId(1_000 + u128::try_from(other).unwrap());
        ledger.overdrafts.insert(Overdraft { lines: SetOverdraft { account, ..lines(0, 1, 0) }, most: 1 });
    }
    assert_eq!(set_lines(&mut ledger, &lines(HOUSE, 1, 0)), Ok(()));
    assert_eq!(set_lines(&mut ledger, &lines(CLIENT, 1, 0)), Err(RejectReason::TableFull.into()));
    assert_eq!(set_lines(&mut ledger, &lines(HOUSE, 2, 0)), Ok(()), "one that is there may change");
}

#[test]
fn lines_that_are_gone_take_no_room() {
    let mut ledger = ledger();
    for (agreed, temporary) in [(5, 0), (0, 5), (5, 5)] {
        set_lines(&mut ledger, &lines(HOUSE, agreed, temporary)).unwrap();
        assert_eq!((ledger.overdrafts.len(), ledger.accounts.at(HOUSE).has_overdraft), (1, true));
        set_lines(&mut ledger, &lines(HOUSE, 0, 0)).unwrap();
        assert_eq!((ledger.overdrafts.len(), ledger.accounts.at(HOUSE).has_overdraft), (0, false));
    }
    // It ends before the command at its time.
    let over = SetOverdraft { temporary_until_ns: TIME.0, ..lines(HOUSE, 0, 5) };
    let refused = refuse_field(RejectReason::FieldOutOfRange, "temporary_until_ns");
    assert_eq!(set_lines(&mut ledger, &over), Err(refused));
}

/// Remembers one id of that time, in Unix milliseconds.
fn remember(recent: &mut Recent, ms: u64) {
    let number = u128::try_from(recent.len()).unwrap();
    let row = TransferRow { id: TransferId::at_ms(ms, number), ..TransferRow::default() };
    recent.remember(Remembered { row, amount: 0, seq: Seq(1), outcome: Outcome::Created });
}

#[test]
fn ids_are_forgotten_only_when_there_are_more_than_may_be_and_never_those_of_the_present() {
    let now_ms = TIME.0 / 1_000_000;
    let mut recent = Recent::default();
    recent.advance(TIME, 60_000, 3);
    for ms in [now_ms - 40, now_ms - 20, now_ms] {
        remember(&mut recent, ms);
    }
    let floor_ms = recent.floor_ms();
    recent.advance(TIME, 60_000, 3);
    assert_eq!((recent.len(), recent.floor_ms()), (3, floor_ms));
    recent.advance(TIME, 60_000, 2);
    assert_eq!((recent.len(), recent.floor_ms() > now_ms - 40), (2, true));
    recent.advance(TIME, 60_000, 0);
    assert_eq!((recent.len(), recent.floor_ms() <= now_ms), (1, true));
}
