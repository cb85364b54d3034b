//! The view beside the engine itself: fed with what the engine says, it arrives at the engine's balances.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exchange;
mod market;

use std::collections::BTreeMap;

use exchange::Exchange;
use protocol::event::Event;
use protocol::record::Record;
use protocol::rows::account_flags;
use protocol::{AccountId, Amount, Seq, UnixNanos};
use views::ledger::{At, Balances, Feed, Opened, Persist, Snapshot};

/// What the engine says of every account behind each record: its balances and whether it is closed.
type Past = Vec<(Seq, UnixNanos, BTreeMap<AccountId, (Balances, u16)>)>;

fn of_engine(exchange: &Exchange) -> BTreeMap<AccountId, (Balances, u16)> {
    let accounts = exchange.engine.accounts().map(|account| {
        let balances = Balances {
            debits_pending: account.debits_pending,
            debits_posted: account.debits,
            credits_pending: account.credits_pending,
            credits_posted: account.credits,
        };
        (account.account, (balances, account.flags))
    });
    accounts.collect()
}

fn of_view(
    snapshot: &Snapshot,
    past: &BTreeMap<AccountId, (Balances, u16)>,
    at: At,
) -> BTreeMap<AccountId, (Balances, u16)> {
    let found = past.keys().filter_map(|&id| snapshot.account(id, at).unwrap());
    found.map(|account| (account.id, (account.balances, account.flags))).collect()
}

fn feed_on(feed: &mut Feed, log: &[(Seq, UnixNanos, Vec<u8>, Vec<Event>)]) {
    for (seq, time, record, events) in log {
        feed.take(*seq, *time, &Record::read(record).unwrap(), events).unwrap();
    }
}

#[test]
fn balances_are_the_engines_at_every_seq_and_instant() {
    let mut closed = 0;
    let mut expired = 0;
    for seed in 1..=6 {
        let path = std::env::temp_dir().join(format!("sicil-views-it-{}-{seed}.redb", std::process::id()));
        let Opened { mut feed, mut reader, .. } = Feed::open(&path, 1 << 20).unwrap();
        let mut exchange = Exchange::new(seed);
        let mut past: Past = Vec::new();
        let mut fed = 0;
        for round in 0..150 {
            for _ in 0..1 + exchange.below(8) {
                exchange.step();
                past.push((exchange.engine.seq_applied(), exchange.engine.time(), of_engine(&exchange)));
            }
            feed_on(&mut feed, &exchange.log[fed..]);
            fed = exchange.log.len();
            feed.write(if round % 5 == 0 { Persist::Now } else { Persist::Later }).unwrap();
            let snapshot = reader.snapshot(exchange.engine.seq_applied()).unwrap();
            let at = usize::try_from(exchange.below(past.len().try_into().unwrap())).unwrap();
            let (seq, time, then) = &past[at];
            let (_, _, now) = past.last().unwrap();
            let context = format!("seed {seed}, round {round}, seq {seq}");
            assert_eq!(&of_view(&snapshot, now, At::Now), now, "{context}");
            assert_eq!(&of_view(&snapshot, now, At::Seq(*seq)), then, "{context}");
            assert_eq!(&of_view(&snapshot, now, At::Instant(*time)), then, "{context}");
            if round % 40 == 39 {
                drop((feed, reader, snapshot));
                let opened = Feed::open(&path, 1 << 20).unwrap();
                (feed, reader) = (opened.feed, opened.reader);
                // What was not durable is fed again.
                fed = usize::try_from(feed.seq().0 - exchange.first_seq()).unwrap();
            }
        }
        let flags = past.iter().flat_map(|(_, _, accounts)| accounts.values().map(|(_, flags)| flags));
        closed += flags.filter(|flags| **flags & account_flags::CLOSED != 0).count();
        expired += exchange.expired;
        assert!(exchange.engine.trades() > 20, "seed {seed}: {} trades", exchange.engine.trades());
        assert!(past.last().unwrap().2.values().any(|(balances, _)| balances.debits_posted > Amount(0)));
        drop((feed, reader));
        std::fs::remove_file(&path).unwrap();
    }
    assert!(closed > 20 && expired > 20, "{closed} closed, {expired} expired");
}
