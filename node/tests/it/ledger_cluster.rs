//! Clients of the ledger and three node processes: the leader is killed under batches and questions.

use client::{At, BatchResult, Client, Credentials, Freshness, Options, Page, Reply, Request, TransferIds};
use protocol::rows::{AccountRow, TransferRow, account_flags};
use protocol::*;

use crate::cluster::Cluster;
use crate::ledger::{account, transfer};
use crate::ledger_settings::{administrator, define_administrator};
use crate::process::Node;

const FROM: u128 = 70_001;
const TO: u128 = 70_002;

fn connect(nodes: Vec<String>) -> Client {
    let options = Options::new(nodes, Credentials::demo());
    Client::connect(Options { patience_ms: 120_000, ..options }).unwrap()
}

fn address(node: &Node) -> String {
    node.ready["binary"].as_str().unwrap().to_owned()
}

#[test]
fn a_follower_names_the_leader_and_the_client_follows() {
    let mut cluster = Cluster::new("ledger-hint", "");
    cluster.begin();
    let leader = cluster.leader();
    for follower in (0..3).filter(|place| *place != leader) {
        // It knows this one alone, and is told of the other.
        let mut client = connect(vec![address(cluster.nodes[follower].as_ref().unwrap())]);
        let ids = [AccountId(FROM)];
        client.lookup_accounts(&ids, Freshness::LINEARIZABLE).unwrap();
    }
}

/// Batches that are under way, and their rows.
struct Load {
    client: Client,
    ids: TransferIds,
    rows: Vec<TransferRow>,
    standing: u32,
}

impl Load {
    fn submit(&mut self) {
        let rows: Vec<TransferRow> =
            (0..50).map(|_| transfer(self.ids.next(self.client.now()), FROM, TO, 1)).collect();
        self.client.submit(Request::create_transfers(&rows).unwrap()).unwrap();
        self.rows.extend(rows);
    }

    fn answer(&mut self) {
        let (_, reply) = self.client.wait_for_any().unwrap();
        let Reply::Created(result @ BatchResult { count: 50, .. }) = reply else { panic!("{reply:?}") };
        self.standing += result.standing();
    }
}

#[test]
fn batches_and_questions_go_on_when_the_leader_is_killed_and_each_transfer_is_there_once() {
    let mut cluster = Cluster::new("ledger-kills", "");
    cluster.begin();
    for round in 0..2_u64 {
        let leader = cluster.leader();
        let nodes = cluster.nodes.iter().map(|node| address(node.as_ref().unwrap())).collect();
        let mut load =
            Load { client: connect(nodes), ids: TransferIds::new(round), rows: Vec::new(), standing: 0 };
        load.client.create_accounts(&[account(FROM), account(TO)]).unwrap();
        let before = load.client.balance_at(AccountId(TO), At::Now, Freshness::LINEARIZABLE).unwrap();
        (0..20).for_each(|_| load.submit());
        (0..10).for_each(|_| load.answer());
        (0..20).for_each(|_| load.submit());
        cluster.nodes[leader].take().unwrap().kill();
        (10..40).for_each(|_| load.answer());
        assert_eq!(load.standing, 40 * 50, "each row stands, whenever it was created");
        let freshness = Freshness::LINEARIZABLE;
        let after = load.client.balance_at(AccountId(TO), At::Now, freshness).unwrap();
        assert_eq!(after.credits_posted.0 - before.credits_posted.0, 40 * 50, "and once");
        let past = load.client.balance_at(AccountId(TO), At::Seq(before.journal_seq), freshness).unwrap();
        assert_eq!(past.credits_posted, before.credits_posted);
        // The next leader's history has them all, in the order in which they were sent.
        let page = Page { limit: 777, ..Page::of(AccountId(TO)) };
        let listed: Vec<TransferRow> =
            load.client.all_account_transfers(page, freshness).map(|found| found.unwrap().transfer).collect();
        let sent: Vec<TransferId> = load.rows.iter().map(|row| row.id).collect();
        let mut found: Vec<TransferId> = listed.iter().map(|row| row.id).collect();
        let mut found = found.split_off(found.len() - sent.len());
        found.sort_unstable();
        assert_eq!(found, sent);
        assert_eq!(u128::try_from(listed.len()).unwrap(), after.credits_posted.0);
        drop(load);
        cluster.nodes[leader] = Some(Node::start(&cluster.data(leader), &cluster.config(leader)));
    }
    cluster.agree();
}

#[test]
fn commands_go_on_when_the_leader_is_killed_and_each_takes_effect_once() {
    let mut cluster = Cluster::new("ledger-commands", "");
    cluster.begin();
    let leader = cluster.leader();
    define_administrator(&cluster.folder, &cluster.data(leader));
    let nodes = cluster.nodes.iter().map(|node| address(node.as_ref().unwrap())).collect();
    let mut client = Client::connect(administrator(nodes)).unwrap();
    let bounded = AccountRow { flags: account_flags::DEBITS_MUST_NOT_EXCEED_CREDITS, ..account(FROM) };
    client.create_accounts(&[bounded]).unwrap();
    let command = |agreed: u128| commands::SetOverdraft {
        account: AccountId(FROM),
        agreed: Amount(agreed),
        temporary: Amount(0),
        temporary_until_ns: 0,
        interest_code: 0,
    };
    let submit = |n: u128, client: &mut Client| client.submit(Request::command(command(n)).unwrap()).unwrap();
    let mut tickets: Vec<_> = (1..=30).map(|n| submit(n, &mut client)).collect();
    let mut seqs = Vec::new();
    let mut answer = |ticket, client: &mut Client| {
        let Reply::Executed(executed) = client.wait_for(ticket).unwrap() else { panic!() };
        seqs.push(executed.seq);
    };
    tickets.drain(..10).for_each(|ticket| answer(ticket, &mut client));
    tickets.extend((31..=60).map(|n| submit(n, &mut client)));
    cluster.nodes[leader].take().unwrap().kill();
    tickets.into_iter().for_each(|ticket| answer(ticket, &mut client));
    assert_eq!(seqs.len(), 60);
    assert!(seqs.is_sorted_by(|one, next| one < next), "each took effect once, in its turn: {seqs:?}");
    let (_, lines) = client.lookup_overdrafts(&[AccountId(FROM)], Freshness::LINEARIZABLE).unwrap();
    assert_eq!(lines[0].agreed, Amount(60));
    drop(client);
    cluster.nodes[leader] = Some(Node::start(&cluster.data(leader), &cluster.config(leader)));
    cluster.agree();
}
