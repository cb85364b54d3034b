//! Monitors beside a naive judge: all balances before and after each command, in signed numbers, one monitor after the other.

use std::collections::BTreeMap;

use engine::Engine;
use protocol::commands::{
    CreateAccounts, CreateTransfers, DefineMonitor, Pulse, RemoveMonitor, UpdateAccount,
};
use protocol::event::Event;
use protocol::limits::{MONITORS_MAX, MONITORS_PER_ACCOUNT_MAX};
use protocol::rows::{AccountRow, TransferRow, transfer_flags};
use protocol::{
    AccountClass, AccountId, Amount, AssetId, EventBody, MonitorField, MonitorId, MonitorOperator,
    RejectReason,
};

use crate::definitions;
use crate::numbers::Numbers;
use crate::world::World;

const ACCOUNTS: u64 = 6;

/// Debits posted and pending, credits posted and pending.
type Balances = [i128; 4];

fn balances(engine: &Engine) -> BTreeMap<(u128, u16), Balances> {
    let signed = |amount: Amount| i128::try_from(amount.0).unwrap();
    let of = |view: engine::views::AccountView| {
        let sums = [view.debits, view.debits_pending, view.credits, view.credits_pending];
        ((view.account.0, view.code), sums.map(signed))
    };
    engine.accounts().map(of).collect()
}

fn watched(monitor: &DefineMonitor, all: &BTreeMap<(u128, u16), Balances>) -> Balances {
    let is = |account: u128, code: u16| match monitor.class {
        None => account == monitor.account.0,
        Some(_) => code == monitor.code,
    };
    let rows = all.iter().filter(|&(&(account, code), _)| is(account, code)).map(|(_, row)| *row);
    rows.fold([0; 4], |sums, row| core::array::from_fn(|at| sums[at] + row[at]))
}

fn is_flow(monitor: &DefineMonitor) -> bool {
    matches!(monitor.field, MonitorField::Inflow | MonitorField::Outflow)
}

fn level(monitor: &DefineMonitor, before: Balances, now: Balances) -> i128 {
    let [debits, debits_pending, credits, credits_pending] = now;
    match monitor.field {
        MonitorField::DebitsPosted => debits,
        MonitorField::CreditsPosted => credits,
        MonitorField::DebitsPending => debits_pending,
        MonitorField::CreditsPending => credits_pending,
        MonitorField::Balance => credits - debits,
        MonitorField::Available => credits - debits - debits_pending,
        MonitorField::Inflow => credits - before[2],
        MonitorField::Outflow => debits - before[0],
    }
}

fn is_met(monitor: &DefineMonitor, level: i128) -> bool {
    let sign = if monitor.negative { -1 } else { 1 };
    let value = sign * i128::try_from(monitor.value.0).unwrap();
    match monitor.operator {
        MonitorOperator::Below => level < value,
        MonitorOperator::AtMost => level <= value,
        MonitorOperator::AtLeast => level >= value,
        MonitorOperator::Above => level > value,
    }
}

/// What is found where the condition has become true.
fn judge(monitor: &DefineMonitor, before: Balances, now: Balances) -> Option<i128> {
    let (was, is) = (level(monitor, before, before), level(monitor, before, now));
    let is_new = if is_flow(monitor) { is != 0 } else { !is_met(monitor, was) };
    Some(is).filter(|&is| is_new && is_met(monitor, is))
}

fn triggers(events: &[Event]) -> Vec<(u64, i128)> {
    let trigger = |event: &Event| {
        let EventBody::MonitorTriggered(triggered) = &event.body else { return None };
        let sign = if triggered.negative { -1 } else { 1 };
        Some((triggered.monitor.0, sign * i128::try_from(triggered.value.0).unwrap()))
    };
    events.iter().filter_map(trigger).collect()
}

fn random_monitor(numbers: &mut Numbers, id: u64) -> DefineMonitor {
    let of_slice = numbers.below(4) == 0;
    let code = if of_slice { u16::try_from(numbers.between(1, 3)).unwrap() } else { 0 };
    // Available is of an account alone.
    let mut field = *numbers.pick(MonitorField::ALL);
    if of_slice && field == MonitorField::Available {
        field = MonitorField::Balance;
    }
    let value = u128::from(numbers.below(60));
    DefineMonitor {
        monitor: MonitorId(id),
        account: AccountId(if of_slice { 0 } else { u128::from(numbers.between(301, 300 + ACCOUNTS)) }),
        ledger: AssetId(if of_slice { 2 } else { 0 }),
        code,
        class: of_slice.then_some(AccountClass::House),
        field,
        operator: *numbers.pick(MonitorOperator::ALL),
        value: Amount(value),
        negative: value > 0 && numbers.below(3) == 0,
    }
}

/// Transfers of every kind, some in chains that fail.
fn random_batch(numbers: &mut Numbers, world: &World, next_id: &mut u64) -> CreateTransfers {
    let ms = world.time / 1_000_000;
    let mut transfers = Vec::new();
    for _ in 0..numbers.between(1, 6) {
        *next_id += 1;
        let (debit, credit) = (numbers.between(301, 300 + ACCOUNTS), numbers.between(301, 300 + ACCOUNTS));
        let amount = u128::from(numbers.below(40));
        let id = definitions::transfer_id(ms, *next_id);
        let mut row = definitions::transfer_row(id, debit.into(), credit.into(), amount);
        match numbers.below(6) {
            0 => row.flags = transfer_flags::PENDING,
            1 => (row.flags, row.timeout_s) = (transfer_flags::PENDING, 1),
            2 => {
                let pending_id = definitions::transfer_id(ms, numbers.between(1, *next_id));
                let flags = transfer_flags::VOID_PENDING_TRANSFER;
                row = TransferRow { id, pending_id, flags, ..TransferRow::default() };
            }
            _ => {}
        }
        row.flags |= if numbers.below(3) == 0 { transfer_flags::LINKED } else { 0 };
        transfers.push(row);
    }
    transfers.last_mut().unwrap().flags &= !transfer_flags::LINKED;
    CreateTransfers { transfers }
}

fn run(seed: u64) -> usize {
    let mut numbers = Numbers(seed);
    let mut world = World::with_genesis();
    world.set_up(definitions::asset(2, "TRY", 2));
    let row = |n: u64| AccountRow {
        code: u16::try_from(n % 3 + 1).unwrap(),
        // Some are bounded, so that chains fail.
        flags: if n.is_multiple_of(2) { 0 } else { definitions::account_row(1, 2).flags },
        ..definitions::account_row(u128::from(300 + n), 2)
    };
    world.operator(CreateAccounts { accounts: (1..=ACCOUNTS).map(row).collect() });
    let mut monitors: BTreeMap<u64, DefineMonitor> = BTreeMap::new();
    let (mut next_id, mut seen) = (0, 0);
    for step in 1..=300_u64 {
        let before = balances(&world.engine);
        match numbers.below(5) {
            0 => {
                let monitor = random_monitor(&mut numbers, step);
                let events = world.operator(monitor.clone());
                if matches!(events[0].body, EventBody::MonitorDefined(_)) {
                    let now = watched(&monitor, &before);
                    let level = level(&monitor, now, now);
                    let at_once = !is_flow(&monitor) && is_met(&monitor, level);
                    let expected: Vec<_> = at_once.then_some((step, level)).into_iter().collect();
                    assert_eq!(triggers(&events), expected, "seed {seed} step {step}: {monitor:?}");
                    monitors.insert(step, monitor);
                }
                continue;
            }
            1 if !monitors.is_empty() => {
                let id = *numbers.pick(&monitors.keys().copied().collect::<Vec<_>>());
                world.set_up(RemoveMonitor { monitor: MonitorId(id) });
                monitors.remove(&id);
                continue;
            }
            _ => {}
        }
        // What expires is a command of its own here: nothing else follows then.
        let events = if numbers.below(4) == 0 {
            world.wait_ns(1_000_000_000);
            world.system(Pulse {})
        } else {
            let batch = random_batch(&mut numbers, &world, &mut next_id);
            world.operator(batch)
        };
        let expiries = events.iter().filter(|event| matches!(event.body, EventBody::TransferExpired(_)));
        if expiries.count() > 1 {
            // Each is judged by itself: the way between is not seen from here.
            continue;
        }
        let now = balances(&world.engine);
        let expected = monitors.iter().filter_map(|(&id, monitor)| {
            judge(monitor, watched(monitor, &before), watched(monitor, &now)).map(|level| (id, level))
        });
        let found = triggers(&events);
        assert_eq!(found, expected.collect::<Vec<_>>(), "seed {seed} step {step}");
        seen += found.len();
        if numbers.below(20) == 0 {
            let mut bytes = Vec::new();
            world.engine.snapshot(&mut bytes);
            world.engine = Engine::restore(&bytes).unwrap();
        }
    }
    seen
}

/// The invariants, checked behind each command, hold no slice that has neither accounts nor a monitor.
#[test]
fn slices_of_the_totals_go_with_their_last_account_and_monitor() {
    let mut world = World::with_genesis();
    world.set_up(definitions::asset(1, "TRY", 2));
    world.set_up(CreateAccounts { accounts: vec![definitions::account_row(10, 1)] });
    for code in 2..200_u16 {
        let monitor = MonitorId(code.into());
        world.set_up(DefineMonitor {
            monitor,
            account: AccountId(0),
            ledger: AssetId(1),
            code,
            class: Some(AccountClass::House),
            field: MonitorField::Balance,
            operator: MonitorOperator::Above,
            value: Amount(10),
            negative: false,
        });
        // Some are watched before they have the account and some while they do, some never have it.
        if code % 3 == 0 {
            world.set_up(RemoveMonitor { monitor });
        }
        if code % 2 == 0 {
            let account = AccountId(10);
            world.set_up(UpdateAccount { account, code, user_data_128: 0, user_data_64: 0, user_data_32: 0 });
        }
        if code % 3 == 1 {
            world.set_up(RemoveMonitor { monitor });
        }
        if code % 3 == 2 && code > 5 {
            world.set_up(RemoveMonitor { monitor: MonitorId(u64::from(code) - 3) });
        }
    }
    assert_eq!(world.engine.totals().count(), 1);
}

#[test]
fn monitors_say_what_a_naive_judge_says() {
    let seen: usize = (0..60).map(run).sum();
    assert!(seen > 1_000, "only {seen} conditions became true");
}

#[test]
fn there_are_no_more_monitors_than_there_may_be() {
    let mut world = World::with_genesis();
    world.checks = false;
    world.set_up(definitions::asset(2, "TRY", 2));
    let each = u64::try_from(MONITORS_PER_ACCOUNT_MAX).unwrap();
    let most = u64::try_from(MONITORS_MAX).unwrap();
    let rows = (1..=most / each + 1).map(|n| definitions::account_row(u128::from(n), 2));
    world.set_up(CreateAccounts { accounts: rows.collect() });
    let monitor = |n: u64| DefineMonitor {
        monitor: MonitorId(n),
        account: AccountId(u128::from((n - 1) / each + 1)),
        ledger: AssetId(0),
        code: 0,
        class: None,
        field: MonitorField::Balance,
        operator: MonitorOperator::Above,
        value: Amount(n.into()),
        negative: false,
    };
    (1..=most).for_each(|n| world.set_up(monitor(n)));
    let events = world.operator(monitor(most + 1));
    let EventBody::Replied(reply) = &events[0].body else { panic!("{events:?}") };
    assert_eq!(reply.refusal, Some(RejectReason::TableFull));
    world.set_up(RemoveMonitor { monitor: MonitorId(1) });
    world.set_up(monitor(most + 1));
    world.engine.check_invariants().unwrap();
}
