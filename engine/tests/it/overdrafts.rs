//! Overdrafts where a dialogue does not reach: more lines at a time than end before one record, and what a proposal shows.

use protocol::commands::{CreateAccounts, CreateTransfers, Propose, Pulse, SetOverdraft};
use protocol::limits::TIMERS_PER_RECORD_MAX;
use protocol::{AccountId, Amount, EventBody, LedgerRefusal, ProposedCommand, Text};

use crate::definitions;
use crate::world::World;

const EXTERNAL: u128 = 10;
const FIRST: u128 = 100;

/// So many accounts of the house, from [`FIRST`] on, that may not be below zero.
fn world(accounts: u128) -> World {
    let mut world = World::with_genesis();
    world.set_up(definitions::asset(1, "TRY", 2));
    world.set_up(definitions::account(EXTERNAL, 0, 1, protocol::AccountClass::External));
    let rows = (FIRST..FIRST + accounts).map(|id| definitions::account_row(id, 1));
    world.operator(CreateAccounts { accounts: rows.collect() });
    world
}

fn temporary(account: u128, until: u64) -> SetOverdraft {
    SetOverdraft {
        account: AccountId(account),
        agreed: Amount(0),
        temporary: Amount(5),
        temporary_until_ns: until,
        interest_code: 0,
    }
}

#[test]
fn a_line_whose_turn_to_end_has_not_come_covers_nothing_after_its_time() {
    let lines = u128::try_from(TIMERS_PER_RECORD_MAX).unwrap() + 2;
    let mut world = world(lines);
    let until = world.time + 60_000_000_000;
    for account in FIRST..FIRST + lines {
        world.set_up(temporary(account, until));
    }
    world.wait_ns(60_000_000_000 - 1_000_000);
    let last = FIRST + lines - 1;
    let debit = |world: &mut World, n| {
        let row =
            definitions::transfer_row(definitions::transfer_id(world.time / 1_000_000, n), last, EXTERNAL, 1);
        let row = protocol::rows::TransferRow { ledger: protocol::AssetId(1), ..row };
        let events = world.operator(CreateTransfers { transfers: vec![row] });
        let refusals = events.iter().find_map(|event| {
            let EventBody::TransfersCreated(made) = &event.body else { return None };
            made.exceptions.first().map(|exception| exception.refusal)
        });
        let ended =
            events.iter().filter(|event| matches!(event.body, EventBody::OverdraftLineEnded(_))).count();
        (refusals, ended)
    };
    assert_eq!(debit(&mut world, 1), (None, 0));
    world.time = until - 1_000;
    assert_eq!(debit(&mut world, 2), (Some(LedgerRefusal::ExceedsCredits), TIMERS_PER_RECORD_MAX));
    assert_eq!(world.engine.overdraft(AccountId(last)), temporary(last, until));
    assert_eq!(world.system(Pulse {}).len(), 2, "the others end before the next record");
    assert_eq!(world.engine.overdraft(AccountId(last)).temporary, Amount(0));
    assert!(world.engine.next_timer().is_none());
}

#[test]
fn a_proposal_shows_the_lines_that_are() {
    let mut world = world(1);
    let shown = |world: &mut World| {
        let command = ProposedCommand::new(&temporary(FIRST, world.time + 1_000_000_000_000).into());
        let events = world.operator(Propose { command, expires_in_s: 60, note: Text::EMPTY });
        let proposed = events.into_iter().find_map(|event| {
            if let EventBody::Proposed(proposed) = event.body { proposed.before } else { None }
        });
        proposed.unwrap().command().unwrap()
    };
    let none = SetOverdraft { temporary: Amount(0), ..temporary(FIRST, 0) };
    assert_eq!(shown(&mut world), none.into());
    let agreed = SetOverdraft { agreed: Amount(7), temporary: Amount(0), ..temporary(FIRST, 0) };
    world.set_up(agreed.clone());
    assert_eq!(shown(&mut world), agreed.into());
}
