//! Clients of the ledger over TCP against the process: batches, questions, SIGKILL under load, the command line.

use std::net::TcpListener;
use std::task::{Context, Poll, Waker};

use client::{
    AsyncClient, At, BatchResult, Client, ClientFault, Credentials, Freshness, Options, Reply, Request,
    TransferIds,
};
use protocol::rows::{AccountRow, TransferRow};
use protocol::*;
use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Node, run, sicil};

const TRY: AssetId = AssetId(4);

pub(crate) fn account(id: u128) -> AccountRow {
    AccountRow {
        id: AccountId(id),
        user_data_128: 5,
        user_data_64: 6,
        user_data_32: 7,
        ledger: TRY,
        code: 10,
        class: u16::from(AccountClass::House.code()),
        ..AccountRow::default()
    }
}

pub(crate) fn transfer(id: TransferId, debit: u128, credit: u128, amount: u128) -> TransferRow {
    TransferRow {
        id,
        debit_account: AccountId(debit),
        credit_account: AccountId(credit),
        amount: Amount(amount),
        ledger: TRY,
        code: 1,
        ..TransferRow::default()
    }
}

/// A port that was free a moment ago, for a node that comes back under the same address.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn config(folder: &Folder, binary: u16) -> std::path::PathBuf {
    let text = format!(
        "demo = true\n[listen]\nfix = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nbinary = \"127.0.0.1:{binary}\"\n"
    );
    folder.write("node.toml", &text)
}

pub(crate) fn options(node: &Node) -> Options {
    Options::new(vec![node.ready["binary"].as_str().unwrap().to_owned()], Credentials::demo())
}

#[test]
fn batches_and_questions_over_tcp() {
    let folder = Folder::new("ledger");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    let mut client = Client::connect(options(&node)).unwrap();
    let mut ids = TransferIds::new(1);
    let made = client.create_accounts(&[account(70_001), account(70_002)]).unwrap();
    assert_eq!((made.count, made.created, made.attempts), (2, 2, 1));
    let again = client.create_accounts(&[account(70_001)]).unwrap();
    assert_eq!((again.created, again.standing()), (0, 1));
    let rows: Vec<TransferRow> =
        (0..8_189).map(|_| transfer(ids.next(client.now()), 70_001, 70_002, 3)).collect();
    let moved = client.create_transfers(&rows).unwrap();
    assert_eq!((moved.count, moved.created, moved.exceptions.len()), (8_189, 8_189, 0));
    // Many requests at a time, answered in their order.
    let tickets: Vec<_> = (0..500)
        .map(|_| {
            let row = transfer(ids.next(client.now()), 70_002, 70_001, 1);
            client.enqueue(Request::create_transfers(&[row]).unwrap()).unwrap()
        })
        .collect();
    for ticket in tickets {
        let (answered, reply) = client.wait_for_any().unwrap();
        let Reply::Created(BatchResult { created: 1, .. }) = reply else { panic!("{reply:?}") };
        assert_eq!(answered, ticket);
    }
    let freshness = Freshness { min_seq: moved.seq, linearizable: true };
    let ids = [AccountId(70_001), AccountId(1), AccountId(70_002)];
    let (seq, found) = client.lookup_accounts(&ids, freshness).unwrap();
    assert!(seq > moved.seq);
    assert_eq!(
        found.iter().map(|state| state.account).collect::<Vec<_>>(),
        [account(70_001), account(70_002)]
    );
    assert_eq!((found[0].debits_posted, found[0].credits_posted), (Amount(8_189 * 3), Amount(500)));
    let balance = client.balance_at(AccountId(70_002), At::Now, freshness).unwrap();
    assert_eq!((balance.credits_posted, balance.debits_posted), (Amount(8_189 * 3), Amount(500)));
    let ahead = Freshness { min_seq: Seq(u64::MAX), linearizable: false };
    let unknown = client.balance_at(AccountId(1), At::Now, Freshness::ANY);
    assert!(matches!(unknown, Err(ClientFault::Rejected { .. })), "{unknown:?}");
    let late = client.submit(Request::balance_at(AccountId(70_002), At::Now, ahead)).unwrap();
    client.forget(late);
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn what_a_caller_gave_up_is_not_sent_later() {
    let folder = Folder::new("ledger-gave-up");
    let (data, config) = (folder.data(), config(&folder, free_port()));
    let node = Node::start(&data, &config);
    let mut client = Client::connect(Options { patience_ms: 2_000, ..options(&node) }).unwrap();
    let mut ids = TransferIds::new(3);
    client.create_accounts(&[account(70_001), account(70_002)]).unwrap();
    node.kill();
    let row = transfer(ids.next(client.now()), 70_001, 70_002, 1);
    let given_up = client.create_transfers(&[row]);
    assert!(matches!(given_up, Err(ClientFault::Patience { waiting: 1, .. })), "{given_up:?}");
    let node = Node::start(&data, &config);
    // A disk that is slow to start may take more than one of its patiences.
    let found = loop {
        match client.lookup_transfers(&[row.id], Freshness::LINEARIZABLE) {
            Ok((_, found)) => break found,
            Err(fault) => assert!(matches!(fault, ClientFault::Patience { .. }), "{fault}"),
        }
    };
    assert_eq!(found, []);
    assert_eq!(client.unanswered(), 0);
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it_and_nothing_twice() {
    let folder = Folder::new("ledger-kill");
    let (data, config) = (folder.data(), config(&folder, free_port()));
    let node = Node::start(&data, &config);
    let mut client = Client::connect(Options { patience_ms: 60_000, ..options(&node) }).unwrap();
    let mut ids = TransferIds::new(2);
    client.create_accounts(&[account(70_001), account(70_002)]).unwrap();
    let mut under_way = 0_u32;
    let mut submit = |client: &mut Client| {
        let rows: Vec<TransferRow> =
            (0..100).map(|_| transfer(ids.next(client.now()), 70_001, 70_002, 1)).collect();
        client.submit(Request::create_transfers(&rows).unwrap()).unwrap();
        under_way += 1;
    };
    (0..20).for_each(|_| submit(&mut client));
    let mut standing = 0;
    let answer = |client: &mut Client| {
        let (_, reply) = client.wait_for_any().unwrap();
        let Reply::Created(result) = reply else { panic!("{reply:?}") };
        result.standing()
    };
    (0..10).for_each(|_| standing += answer(&mut client));
    (0..20).for_each(|_| submit(&mut client));
    node.kill();
    let node = Node::start(&data, &config);
    (10..under_way).for_each(|_| standing += answer(&mut client));
    assert_eq!(client.unanswered(), 0);
    assert_eq!(standing, under_way * 100, "each row stands once, whenever it was created");
    let (_, found) = client.lookup_accounts(&[AccountId(70_002)], Freshness::ANY).unwrap();
    assert_eq!(found[0].credits_posted, Amount(u128::from(standing)));
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn futures_are_answered_and_a_stranger_is_refused() {
    let folder = Folder::new("ledger-async");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    let client = AsyncClient::start(options(&node)).unwrap();
    let asked: Vec<_> = (1..=40)
        .map(|n| {
            let accounts = [account(70_000 + n)];
            client.call(Request::create_accounts(&accounts).unwrap())
        })
        .collect();
    for pending in asked {
        let Reply::Created(result) = block_on(pending).unwrap() else { panic!() };
        assert_eq!(result.created, 1);
    }
    let balance = Request::balance_at(AccountId(70_001), At::Now, Freshness::LINEARIZABLE);
    assert!(matches!(block_on(client.call(balance)).unwrap(), Reply::Balance(_)));
    drop(client);
    let key = sign::PrivateKey::from_seed(&[1; 32]);
    let stranger = Credentials { session: SessionId(120), key };
    let client = AsyncClient::start(Options { credentials: stranger, ..options(&node) }).unwrap();
    let refused = block_on(client.call(Request::balance_at(AccountId(1), At::Now, Freshness::ANY)));
    assert!(matches!(refused, Err(ClientFault::Refused(_))), "{refused:?}");
    drop(client);
    assert_eq!(node.stop().code(), Some(0));
}

/// An executor that polls again when it is woken.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn the_command_line_moves_money_and_shows_it() {
    let folder = Folder::new("ledger-cli");
    let node = Node::start(&folder.data(), &config(&folder, 0));
    let address = node.ready["binary"].as_str().unwrap().to_owned();
    let ledger = |words: &[&str]| {
        let (code, out, err) = run(sicil(["ledger"]).args(words).args(["--addr", &address]));
        (code, out, err)
    };
    let open = |id| ledger(&["open", "--id", id, "--ledger", "4", "--code", "10", "--class", "house"]);
    assert_eq!(open("70001").0, 0);
    assert_eq!(open("70002").0, 0);
    let (code, out, _) = open("70002");
    assert!(code == 0 && out.contains("Exists"), "{out}");
    let (code, out, _) = ledger(&[
        "transfer",
        "--debit",
        "70001",
        "--credit",
        "70002",
        "--amount",
        "340282366920938463463",
        "--ledger",
        "4",
        "--json",
    ]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, line["result"].as_str()), (0, Some("Created")));
    let (code, out, _) = ledger(&["accounts", "70001", "70002", "--linearizable"]);
    assert_eq!(code, 0);
    let cells: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0][..3], ["account", "ledger", "code"]);
    assert_eq!((cells[1][0], cells[1][7]), ("70001", "340282366920938463463"));
    let (code, out, _) = ledger(&["balances", "70002", "--json"]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, line["credits_posted"].as_str()), (0, Some("340282366920938463463")));
    let (code, _, err) = ledger(&["accounts", "70001", "9"]);
    assert!(code == 1 && err.contains("1 of 2 do not exist"), "{err}");
    let (code, out, _) =
        ledger(&["transfer", "--debit", "70001", "--credit", "9", "--amount", "1", "--ledger", "4"]);
    assert!(code == 1 && out.contains("CreditAccountNotFound"), "{out}");
    let (code, _, err) = ledger(&["balances", "70002", "--at", "noon"]);
    assert!(code == 2 && err.contains("noon"), "{err}");
    assert_eq!(node.stop().code(), Some(0));
}
