//! Snapshots as bytes: the layout of version 1 is frozen, and damaged bytes are refused without a panic.

use engine::{Engine, SnapshotFault};
use protocol::commands::{
    Approve, CloseDay, CorrectTransfers, CreateAccounts, CreateTransfers, DefineActor, DefineMonitor,
    DefineSession, DefineStandingOrder, ExchangeCurrency, GatewayStart, MassQuote, NewOrder, Propose, Pulse,
    QuoteExchange, SetAccountCode, SetActorKey, SetApprovals, SetCalendar, SetMarketPhase, SetMarketSchedule,
    SetOverdraft, SetTradingRules, TermStart, roles,
};
use protocol::record::GatewayNumber;
use protocol::rows::{AccountRow, QuoteEntry, ScheduledPhase, TransferRow, transfer_flags};
use protocol::sign::PrivateKey;
use protocol::terms::{OrderTerms, Peg};
use protocol::{
    AccountClass, AccountId, AccountKind, ActorId, Amount, AssetId, CancelOnDisconnect, ClientId, DayRule,
    EventBody, GatewayId, MarketId, MarketPhase, MonitorField, MonitorId, MonitorOperator, NodeId,
    NormalSide, PegTo, PriceTicks, ProposalId, ProposedCommand, QtyLots, QuoteId, Schedule, SessionId,
    SessionProtocol, Side, StandingOrderId, Term, Text, TimeInForce,
};

use crate::definitions;
use crate::numbers::Numbers;
use crate::world::World;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/snapshot_v1.hex");

/// One of everything: accounts, transfers, both kinds of sessions, live and ended orders, a timer, cached replies, batches.
fn example() -> Engine {
    let mut world = World::with_genesis();
    world.system(TermStart { term: Term(3), node: NodeId(1) });
    for (asset, code) in [(1, "BTC"), (2, "TRY")] {
        world.set_up(definitions::asset(asset, code, 2));
        world.set_up(definitions::account(u128::from(asset) * 10, 0, asset, AccountClass::External));
    }
    world.set_up(definitions::account(2, 0, 2, AccountClass::Fee));
    world.set_up(definitions::market(1));
    for (client, asset) in [(100, 1), (100, 2), (200, 1), (200, 2)] {
        let account = u128::from(client) + u128::from(asset);
        world.set_up(definitions::account(account, client, asset, AccountClass::Client));
        let outside = u128::from(asset) * 10;
        world.set_up(definitions::deposit(client + u64::from(asset), outside, account, asset, 1_000_000));
    }
    let mut fix = definitions::session(16, SessionProtocol::Fix, 100);
    fix.cancel_on_disconnect = CancelOnDisconnect::OnLoss;
    fix.cancel_window_ms = 5_000;
    world.set_up(fix);
    world.set_up(definitions::session(17, SessionProtocol::Request, 200));
    let (alice, bob) = (SessionId(16), SessionId(17));
    world.submit(alice, 0, 0, definitions::logon(1));
    world.next(alice, definitions::limit("a1", Side::Buy, 10, 100));
    world.next(alice, definitions::limit("a2", Side::Buy, 10, 99));
    world.next(alice, definitions::limit("a3", Side::Buy, 0, 99));
    world.next(bob, definitions::limit("b1", Side::Sell, 13, 100));
    world.next(bob, definitions::limit("b2", Side::Sell, 4, 120));
    world.next(alice, definitions::replace("a4", "a2", Side::Buy, 8, 99));
    pegged(&mut world, bob);
    auction(&mut world, bob);
    schedule(&mut world, bob);
    volatility(&mut world, bob);
    mass_quote(&mut world, bob);
    world.submit(alice, 1, 0, protocol::commands::SessionDown { end: protocol::SessionEnd::Lost });
    let gateway = GatewayId(3);
    world.set_up(definitions::session(18, SessionProtocol::Fix, 100));
    world.system(GatewayStart { gateway, instance: 0x1234 });
    world.through(GatewayNumber { gateway, number: 1 }, (SessionId(18), 0, 0), definitions::logon(1));
    batches(&mut world);
    monitors(&mut world);
    quotes(&mut world);
    standing_orders(&mut world);
    chart(&mut world);
    world.set_up(DefineActor { actor: ActorId(4), roles: roles::ADMIN });
    for (actor, seed) in [(definitions::OPERATOR_ACTOR, 1), (ActorId(4), 4)] {
        let key = Some(PrivateKey::from_seed(&[seed; 32]).public());
        world.set_up(SetActorKey { actor, key });
    }
    world.set_up(SetApprovals { kinds: vec![DefineActor::KIND] });
    let command = ProposedCommand::new(&DefineActor { actor: ActorId(4), roles: roles::CASHIER }.into());
    world.set_up(Propose { command, expires_in_s: 60, note: Text::truncated("why") });
    world.engine
}

/// One that rests, and one that has no price.
fn pegged(world: &mut World, session: SessionId) {
    for (cl_ord_id, offset_ticks) in [("p1", 2), ("p2", 4_000_000)] {
        let peg = Some(Peg { to: PegTo::Primary, offset_ticks });
        let terms = OrderTerms { peg, ..OrderTerms::default() }.into();
        world.next(session, NewOrder { terms, ..definitions::limit(cl_ord_id, Side::Sell, 3, 110) });
    }
}

/// A market whose book is crossed, in an auction of which more is to be told.
fn auction(world: &mut World, session: SessionId) {
    world.set_up(definitions::market(2));
    world.set_up(SetMarketPhase { market: MarketId(2), phase: MarketPhase::Auction });
    for (cl_ord_id, side, price) in [("x1", Side::Buy, 105), ("x2", Side::Sell, 95)] {
        let order = definitions::limit(cl_ord_id, side, 3, price);
        world.next(session, NewOrder { market: MarketId(2), ..order });
        world.wait_ns(1_500_000_000);
    }
}

/// A market that changes its phase by a schedule, after one that closed it.
fn schedule(world: &mut World, session: SessionId) {
    world.set_up(definitions::market(3));
    let entry = |at_ms, phase| ScheduledPhase { days: 0x1F, at_ms, phase };
    let mut schedule = SetMarketSchedule {
        utc_offset_s: 10_800,
        entries: vec![entry(36_000_000, MarketPhase::Auction), entry(64_800_000, MarketPhase::Closed)],
        holidays: vec![20_455],
        short_days: vec![20_456, 20_457],
        ..SetMarketSchedule::none(MarketId(3))
    };
    world.set_up(schedule.clone());
    let day = NewOrder {
        market: MarketId(3),
        time_in_force: TimeInForce::Day,
        ..definitions::limit("d1", Side::Sell, 2, 130)
    };
    world.next(session, day);
    schedule.entries.truncate(1);
    world.set_up(schedule);
}

/// A market that has paused for its price, and one that has traded and does not.
fn volatility(world: &mut World, session: SessionId) {
    for (market, prices) in [(4, [100, 120].as_slice()), (5, [100, 102, 101].as_slice())] {
        let market = MarketId(market);
        world.set_up(definitions::market(market.0));
        world.set_up(SetTradingRules {
            volatility_ppm: 100_000,
            volatility_window_ms: 60_000,
            volatility_phase: MarketPhase::Auction,
            volatility_pause_ms: 30_000,
            ..SetTradingRules::none(market)
        });
        for price in prices {
            for (name, side) in [("s", Side::Sell), ("b", Side::Buy)] {
                let order = definitions::limit(&format!("v{}{name}{price}", market.0), side, 1, *price);
                world.next(session, NewOrder { market, ..order });
            }
        }
    }
}

/// A quote that stands on both sides, and one of which nothing stands.
fn mass_quote(world: &mut World, session: SessionId) {
    let entry = |entry, bid, offer| QuoteEntry {
        entry,
        market: MarketId(5),
        bid_price_ticks: PriceTicks(bid),
        bid_lots: QtyLots(2),
        offer_price_ticks: PriceTicks(offer),
        offer_lots: QtyLots(3),
    };
    let quotes = MassQuote {
        entries: vec![entry(7, 90, 110), entry(8, 95, 95)],
        ..MassQuote::empty(Text::new("quotes").unwrap())
    };
    world.next(session, quotes);
}

/// Transfers that are posted, pending alone and in chains, voided and refused, all remembered.
fn batches(world: &mut World) {
    world.set_up(DefineActor { actor: ActorId(6), roles: roles::CASHIER });
    let session = definitions::session(19, SessionProtocol::Request, 100);
    world.set_up(DefineSession { actor: ActorId(6), ..session });
    let account = |id| AccountRow { user_data_128: 7, user_data_32: 9, ..definitions::account_row(id, 2) };
    world.operator(CreateAccounts { accounts: [301, 302].map(account).into() });
    let calendar = SetCalendar {
        business_date: 20_454,
        weekend_days: 0x60,
        holidays: vec![20_455, 20_500],
        value_back_days_max: 5,
        value_ahead_days_max: 6,
        utc_offset_s: 10_800,
        behind_utc: false,
    };
    world.set_up(calendar);
    world.set_up(CloseDay { business_date: 20_454, next: 20_458 });
    world.set_up(SetOverdraft {
        account: AccountId(302),
        agreed: Amount(0),
        temporary: Amount(3),
        temporary_until_ns: world.time + 90_000_000_000,
        interest_code: 4,
    });
    let ms = world.time / 1_000_000;
    let row = |n, flags, timeout_s| TransferRow {
        flags,
        timeout_s,
        ..definitions::transfer_row(definitions::transfer_id(ms, n), 20, 301, 5)
    };
    let void = TransferRow {
        pending_id: definitions::transfer_id(ms, 5),
        ..definitions::transfer_row(definitions::transfer_id(ms, 6), 0, 0, 0)
    };
    world.operator(CreateTransfers {
        transfers: vec![
            row(1, 0, 0),
            row(2, transfer_flags::PENDING | transfer_flags::LINKED, 0),
            row(3, transfer_flags::PENDING, 60),
            row(4, transfer_flags::PENDING, 30),
            row(5, transfer_flags::PENDING, 0),
            TransferRow { flags: transfer_flags::VOID_PENDING_TRANSFER, ..void },
            TransferRow { debit_account: AccountId(302), ..row(7, 0, 0) },
        ],
    });
    correct(
        world,
        TransferRow {
            pending_id: definitions::transfer_id(ms, 1),
            flags: transfer_flags::CORRECTION,
            reason: 7,
            ..definitions::transfer_row(definitions::transfer_id(ms, 8), 301, 20, 2)
        },
    );
    correct(
        world,
        TransferRow {
            pending_id: definitions::transfer_id(ms - 3_600_000, 5),
            flags: transfer_flags::CORRECTION,
            reason: 7,
            ..definitions::transfer_row(definitions::transfer_id(ms, 9), 20, 301, 2)
        },
    );
}

/// The operator proposes, another cashier approves.
fn correct(world: &mut World, row: TransferRow) {
    let command = CorrectTransfers { reason: 7, transfers: vec![row] };
    let proposal = ProposalId(world.engine.seq_applied().0 + 1);
    let command = ProposedCommand::new(&command.into());
    world.set_up(Propose { command, expires_in_s: 60, note: Text::EMPTY });
    let events = world.next(SessionId(19), Approve { proposal });
    assert_eq!(events.len(), 3, "{events:?}");
}

/// A code that nobody has in every ledger, and one in two of them.
fn chart(world: &mut World) {
    let entry = SetAccountCode {
        ledger: AssetId(0),
        code: 1_010,
        kind: Some(AccountKind::Nostro),
        normal_side: Some(NormalSide::Debit),
        classes: AccountClass::External.bit(),
        name: Text::truncated("correspondents"),
    };
    let own = SetAccountCode { classes: AccountClass::House.bit(), code: 1_020, ..entry.clone() };
    world.set_up(entry);
    for ledger in [AssetId(2), AssetId(1)] {
        world.set_up(SetAccountCode { ledger, ..own.clone() });
    }
}

/// Of an account, and of a slice that has no account yet.
fn monitors(world: &mut World) {
    let of_account = DefineMonitor {
        monitor: MonitorId(7),
        account: AccountId(301),
        ledger: AssetId(0),
        code: 0,
        class: None,
        field: MonitorField::Available,
        operator: MonitorOperator::AtMost,
        value: Amount(5),
        negative: true,
    };
    let of_slice = DefineMonitor {
        monitor: MonitorId(9),
        account: AccountId(0),
        ledger: AssetId(2),
        code: 3,
        class: Some(AccountClass::Suspense),
        field: MonitorField::Inflow,
        ..of_account.clone()
    };
    world.set_up(of_account);
    world.set_up(of_slice);
}

/// A quote of which something has been exchanged.
fn quotes(world: &mut World) {
    let desk = |id, ledger| AccountRow {
        flags: 0,
        class: AccountClass::Liquidity.code().into(),
        ..definitions::account_row(id, ledger)
    };
    let ours = definitions::account_row(313, 1);
    world.operator(CreateAccounts { accounts: vec![desk(311, 1), desk(312, 2), ours] });
    world.set_up(QuoteExchange {
        quote: QuoteId(5),
        client: ClientId(0),
        sell_ledger: AssetId(2),
        buy_ledger: AssetId(1),
        rate_mantissa: 25,
        rate_scale: 1,
        sell_liquidity: AccountId(312),
        buy_liquidity: AccountId(311),
        rounding: AccountId(313),
        sell_amount_max: Amount(10),
        valid_until_ns: world.time + 60_000_000_000,
        source: Text::truncated("ECB"),
    });
    let ms = world.time / 1_000_000;
    let [sell, buy, rounding] = [31, 32, 33].map(|n| definitions::transfer_id(ms, n));
    world.operator(ExchangeCurrency {
        quote: QuoteId(5),
        sell_account: AccountId(301),
        buy_account: AccountId(313),
        sell_amount: Amount(3),
        buy_amount_min: Amount(7),
        sell_transfer: sell,
        buy_transfer: buy,
        rounding_transfer: rounding,
        code: 4,
    });
}

/// One that is attempted again, and one that was never due.
fn standing_orders(world: &mut World) {
    let local_s = world.time / 1_000_000_000 + 10_800;
    let (day, of_day) = (local_s / 86_400, local_s % 86_400);
    let order = |order: u64, amount, from_now_s: u64| DefineStandingOrder {
        order: StandingOrderId(order),
        debit_account: AccountId(301),
        credit_account: AccountId(302),
        amount: Amount(amount),
        ledger: AssetId(2),
        code: 3,
        schedule: Schedule::Monthly,
        first_date: u32::try_from(day).unwrap(),
        last_date: 0,
        time_of_day_s: u32::try_from(of_day + from_now_s).unwrap(),
        day_rule: DayRule::Next,
        retry_days: 3,
        user_data_128: 12,
    };
    world.set_up(order(4, 1_000, 1));
    world.set_up(order(6, 1, 60));
    world.wait_ns(1_000_000_000);
    let events = world.system(Pulse {});
    assert!(events.iter().any(|event| matches!(event.body, EventBody::StandingOrderAttempted(_))));
}

fn hex(bytes: &[u8]) -> String {
    let lines =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    lines.map(|line| line + "\n").collect()
}

fn snapshot(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.snapshot(&mut bytes);
    bytes
}

#[test]
fn the_layout_of_version_1_is_frozen() {
    let found = hex(&snapshot(&example()));
    if std::env::var_os("CREATE_GOLDEN").is_some() && !std::path::Path::new(GOLDEN).exists() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(GOLDEN).unwrap(), "a new layout is a new version");
}

#[test]
fn a_snapshot_restores_to_the_same_hash_and_the_same_bytes() {
    let engine = example();
    let bytes = snapshot(&engine);
    let restored = Engine::restore(&bytes).unwrap();
    assert_eq!(restored.state_hash(), engine.state_hash());
    assert_eq!(snapshot(&restored), bytes);
    assert_eq!(restored.next_timer(), engine.next_timer());
    assert_eq!(restored.definitions(), engine.definitions());
    assert_eq!(Engine::restore(&snapshot(&Engine::new())).unwrap().state_hash(), Engine::new().state_hash());
}

#[test]
fn every_prefix_and_every_appended_byte_is_refused() {
    let mut bytes = snapshot(&example());
    for length in 0..bytes.len() {
        assert!(Engine::restore(&bytes[..length]).is_err(), "{length} bytes were enough");
    }
    bytes.push(0);
    assert_eq!(Engine::restore(&bytes).unwrap_err(), SnapshotFault::Trailing(1));
    bytes[0] = 2;
    assert_eq!(Engine::restore(&bytes).unwrap_err(), SnapshotFault::Version(2));
}

#[test]
fn flipped_bytes_never_panic_and_what_is_taken_is_consistent() {
    let bytes = snapshot(&example());
    let check = |damaged: &[u8], what: &str| {
        if let Ok(engine) = Engine::restore(damaged) {
            engine.check_invariants().unwrap_or_else(|broken| panic!("{what}: {broken}"));
        }
    };
    for at in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            check(&damaged, &format!("byte {at} = {value}"));
        }
    }
    for seed in 0..3_000 {
        let mut numbers = Numbers(seed);
        let mut damaged = bytes.clone();
        for _ in 0..numbers.between(1, 8) {
            let at = usize::try_from(numbers.below(u64::try_from(damaged.len()).unwrap())).unwrap();
            damaged[at] ^= u8::try_from(numbers.between(1, 255)).unwrap();
        }
        check(&damaged, &format!("seed {seed}"));
    }
}
