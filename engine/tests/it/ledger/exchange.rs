//! Exchanges at seeded rates beside plain arithmetic: what each account gains and loses, to the last unit; a refused one changes nothing.

use engine::Engine;
use protocol::commands::{CreateAccounts, CreateTransfers, ExchangeCurrency, QuoteExchange};
use protocol::rows::AccountRow;
use protocol::{
    AccountClass, AccountId, Amount, AssetId, ClientId, EventBody, QuoteId, RejectReason, Text, TransferId,
};

use crate::definitions;
use crate::numbers::Numbers;
use crate::world::World;

const WORLD: [u128; 2] = [301, 302];
const DESK: [u128; 2] = [311, 312];
const REST: [u128; 2] = [321, 322];
const ANN: [u128; 2] = [331, 332];
const ALL: [[u128; 2]; 4] = [WORLD, DESK, REST, ANN];

/// Two currencies, a client in both, and less on the bank's desks than some will ask for.
fn world() -> World {
    let mut world = World::with_genesis();
    world.set_up(definitions::asset(1, "USD", 2));
    world.set_up(definitions::asset(2, "TRY", 2));
    let row = |id: u128, class: AccountClass| AccountRow {
        class: class.code().into(),
        owner: ClientId(if class == AccountClass::Client { 7 } else { 0 }),
        flags: if class == AccountClass::External { 0 } else { definitions::account_row(1, 1).flags },
        ..definitions::account_row(id, u32::try_from(id % 10).unwrap())
    };
    let classes = [AccountClass::External, AccountClass::Liquidity, AccountClass::Fee, AccountClass::Client];
    let accounts = ALL.iter().zip(classes).flat_map(|(ids, class)| ids.map(|id| row(id, class)));
    world.operator(CreateAccounts { accounts: accounts.collect() });
    let ms = world.time / 1_000_000;
    let fund = [(1, DESK), (2, ANN)].into_iter().flat_map(|(n, to)| {
        [0, 1].map(|at| {
            let id = definitions::transfer_id(ms, n * 2 + u64::try_from(at).unwrap());
            let row = definitions::transfer_row(id, WORLD[at], to[at], 1_000_000);
            protocol::rows::TransferRow { ledger: AssetId(u32::try_from(at + 1).unwrap()), ..row }
        })
    });
    world.operator(CreateTransfers { transfers: fund.collect() });
    world
}

/// Credits − debits.
fn worth(engine: &Engine, account: u128) -> i128 {
    let view = engine.account(AccountId(account)).unwrap();
    i128::try_from(view.credits.0).unwrap() - i128::try_from(view.debits.0).unwrap()
}

fn all_worth(engine: &Engine) -> Vec<i128> {
    ALL.iter().flatten().map(|&account| worth(engine, account)).collect()
}

fn refusal(events: &[protocol::event::Event]) -> Option<RejectReason> {
    events.iter().find_map(|event| {
        let EventBody::Replied(reply) = &event.body else { return None };
        reply.refusal
    })
}

/// What the exchange does to each account, in the order of [`ALL`]; `None` if it cannot be.
fn expected(
    world: &World,
    quote: &QuoteExchange,
    left: u128,
    command: &ExchangeCurrency,
) -> Option<Vec<i128>> {
    let (sell, buy) = if quote.sell_ledger == AssetId(1) { (0, 1) } else { (1, 0) };
    let sold = command.sell_amount.0;
    let product = sold * u128::from(quote.rate_mantissa);
    let unit = 10_u128.pow(quote.rate_scale.into());
    let (down, up) = (product / unit, product.div_ceil(unit));
    let signed = |amount: u128| i128::try_from(amount).unwrap();
    let covers = |account, amount: u128| worth(&world.engine, account) >= signed(amount);
    let may = sold > 0 && sold <= left && down > 0 && down >= command.buy_amount_min.0;
    if !may || !covers(ANN[sell], sold) || !covers(DESK[buy], up) {
        return None;
    }
    let mut change = [[0, 0]; 4];
    change[3][sell] -= signed(sold);
    change[1][sell] += signed(sold);
    change[3][buy] += signed(down);
    change[1][buy] -= signed(up);
    change[2][buy] += signed(up - down);
    Some(change.concat())
}

fn run(seed: u64) -> (u32, u32) {
    let mut numbers = Numbers(seed);
    let mut world = world();
    let (mut done, mut refused) = (0, 0);
    for n in 1..=40_u64 {
        let (sell, buy) = if numbers.below(2) == 0 { (0, 1) } else { (1, 0) };
        let ledger = |at: usize| AssetId(u32::try_from(at + 1).unwrap());
        let quote = QuoteExchange {
            quote: QuoteId(n.into()),
            client: ClientId(if numbers.below(2) == 0 { 0 } else { 7 }),
            sell_ledger: ledger(sell),
            buy_ledger: ledger(buy),
            rate_mantissa: numbers.between(1, 1_000_000),
            rate_scale: u8::try_from(numbers.between(2, 7)).unwrap(),
            sell_liquidity: AccountId(DESK[sell]),
            buy_liquidity: AccountId(DESK[buy]),
            rounding: AccountId(REST[buy]),
            sell_amount_max: Amount(numbers.between(1, 100_000).into()),
            valid_until_ns: world.time + 1_000_000_000,
            source: Text::new("ECB").unwrap(),
        };
        world.set_up(quote.clone());
        let mut left = quote.sell_amount_max.0;
        for _ in 0..numbers.between(1, 6) {
            let sell_amount = Amount(u128::from(numbers.below(60_000) >> numbers.below(16)));
            let ms = world.time / 1_000_000;
            let mut id = || TransferId(u128::from(ms) << 80 | u128::from(numbers.next()));
            let (sell_transfer, buy_transfer, rounding_transfer) = (id(), id(), id());
            let command = ExchangeCurrency {
                quote: quote.quote,
                sell_account: AccountId(ANN[sell]),
                buy_account: AccountId(ANN[buy]),
                sell_amount,
                buy_amount_min: Amount(if numbers.below(3) == 0 { numbers.below(2_000).into() } else { 0 }),
                sell_transfer,
                buy_transfer,
                rounding_transfer,
                code: 1,
            };
            let expected = expected(&world, &quote, left, &command);
            let (before, remembered) = (all_worth(&world.engine), world.engine.account(AccountId(ANN[0])));
            let events = world.operator(command.clone());
            let changes = all_worth(&world.engine).into_iter().zip(before).map(|(now, before)| now - before);
            let changes: Vec<i128> = changes.collect();
            match expected {
                Some(expected) => {
                    assert_eq!(refusal(&events), None, "seed {seed}: {quote:?} {command:?}");
                    assert_eq!(changes, expected, "seed {seed}: {quote:?} {command:?}");
                    left -= sell_amount.0;
                    done += 1;
                }
                None => {
                    assert!(refusal(&events).is_some(), "seed {seed}: {quote:?} {command:?}");
                    assert!(changes.iter().all(|&change| change == 0), "seed {seed}: {command:?}");
                    assert_eq!(world.engine.account(AccountId(ANN[0])), remembered, "seed {seed}");
                    refused += 1;
                }
            }
        }
        if numbers.below(5) == 0 {
            let mut bytes = Vec::new();
            world.engine.snapshot(&mut bytes);
            world.engine = Engine::restore(&bytes).unwrap();
        }
    }
    (done, refused)
}

#[test]
fn an_exchange_is_exact_and_a_refused_one_changes_nothing() {
    let counts = (0..40).map(run).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(counts.0 > 1_000 && counts.1 > 1_000, "{counts:?}");
}
