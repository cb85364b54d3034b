//! Gateway processes at their leader: who is let in under an id, when, and how much is done for them at a time.

use std::collections::BTreeMap;

use protocol::link::{self, FromCluster, FromGateway, LinkFault};
use protocol::record::{Record, RecordHeader};
use protocol::rows::{AccountRow, TransferRow};
use protocol::{Command, EventBody, GatewayId, MonoNanos, NodeId, RequestNumber, SessionId, Term, commands};
use replicas::links::{LinkId, Links};

use super::cluster::Cluster;

const GATEWAY: GatewayId = GatewayId(1);

/// A leader, and the connections of gateways to it.
struct Leader {
    cluster: Cluster,
    leader: u64,
    links: Links,
    next: u64,
}

impl Leader {
    fn new(name: &'static str) -> Self {
        let mut cluster = Cluster::new(name, &[1, 2, 3]);
        cluster.define(1, 10);
        let leader = cluster.leader();
        Self { cluster, leader, links: Links::new(), next: 0 }
    }

    fn now(&self) -> MonoNanos {
        MonoNanos(self.cluster.millis * 1_000_000)
    }

    /// The links' turn, in which nothing is applied.
    fn step(&mut self) {
        let now = self.now();
        let replica = self.cluster.running.get_mut(&self.leader).unwrap();
        self.links.step(now, replica);
    }

    fn say(&mut self, link: LinkId, message: FromGateway<'_>) {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        let now = self.now();
        let replica = self.cluster.running.get_mut(&self.leader).unwrap();
        self.links.receive(link, &bytes, now, replica).unwrap();
    }

    fn connect(&mut self, gateway: GatewayId) -> LinkId {
        let link = LinkId(self.next);
        self.next += 1;
        self.links.connect(link, gateway, self.now());
        link
    }

    /// A process connects and says hello.
    fn greet(&mut self, instance: u64, resume: Option<link::Cursor>) -> LinkId {
        let link = self.connect(GATEWAY);
        self.say(link, FromGateway::Hello { instance, resume });
        self.step();
        link
    }

    /// The kinds of messages that a link has for its gateway.
    fn heard(&mut self, link: LinkId) -> Vec<u8> {
        let replica = self.cluster.running.get_mut(&self.leader).unwrap();
        let mut heard = Vec::new();
        while let Some(message) = self.links.next_message(link, replica) {
            heard.push(message[0]);
        }
        heard
    }

    /// Everything that was submitted is applied.
    fn settle(&mut self) {
        self.cluster.until("all is applied", |cluster| {
            let status = cluster.running[&cluster.serving().unwrap()].status();
            status.queue_records == 0 && status.index_applied == status.index_last
        });
        self.step();
    }

    fn runs(&self) -> Option<u64> {
        self.cluster.running[&self.leader].engine().gateway(GATEWAY).map(|view| view.instance)
    }
}

fn kind(message: &FromCluster<'_>) -> u8 {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes[0]
}

#[test]
fn nobody_is_let_in_while_another_process_of_the_same_id_begins() {
    let mut leader = Leader::new("links-begin");
    let welcome = kind(&FromCluster::Welcome { executed: 0, cursor: Default::default() });
    let superseded = kind(&FromCluster::Superseded);
    let old = leader.greet(7, None);
    leader.settle();
    assert_eq!((leader.heard(old)[0], leader.runs()), (welcome, Some(7)));
    // The second one's start is submitted, and not applied: what the first one now submitted would come behind it.
    leader.greet(8, None);
    assert_eq!(leader.runs(), Some(7));
    for resume in [Some(Default::default()), None] {
        let old = leader.greet(7, resume);
        assert_eq!(leader.heard(old), [], "resume {resume:?}: neither served nor told before it is decided");
    }
    let old = leader.greet(7, Some(Default::default()));
    leader.settle();
    assert_eq!((leader.heard(old), leader.runs()), (vec![superseded], Some(8)));
    assert!(leader.links.should_close(old));
    let new = leader.greet(8, None);
    assert_eq!(leader.heard(new)[0], welcome, "it has begun already");
}

#[test]
fn of_two_processes_that_begin_at_once_the_later_one_runs() {
    let mut leader = Leader::new("links-both");
    let welcome = kind(&FromCluster::Welcome { executed: 0, cursor: Default::default() });
    leader.greet(7, None);
    let second = leader.greet(8, None);
    // Whichever comes last waits for the one before to have begun.
    assert_eq!((leader.heard(second), leader.runs()), (vec![], None));
    leader.settle();
    assert_eq!(leader.runs(), Some(7));
    leader.settle();
    assert_eq!((leader.heard(second)[0], leader.runs()), (welcome, Some(8)));
}

#[test]
fn a_batch_does_not_come_through_a_gateway() {
    let mut leader = Leader::new("links-batch");
    let link = leader.greet(7, None);
    leader.settle();
    let header =
        RecordHeader { session: SessionId(16), request: RequestNumber(1), ..RecordHeader::default() };
    let commands: [Command; 3] = [
        commands::SessionHeartbeat {}.into(),
        commands::CreateTransfers { transfers: vec![TransferRow::default()] }.into(),
        commands::CreateAccounts { accounts: vec![AccountRow::default()] }.into(),
    ];
    let received = commands.map(|command| {
        let mut record = Vec::new();
        header.write(&command, &mut record).unwrap();
        let (mut bytes, record) = (Vec::new(), Record::read(&record).unwrap());
        FromGateway::Command { number: 1, record }.write(&mut bytes);
        let now = leader.now();
        leader.links.receive(link, &bytes, now, leader.cluster.running.get_mut(&leader.leader).unwrap())
    });
    let refused = Err(LinkFault::Field("kind"));
    assert_eq!(received, [Ok(()), refused, refused]);
}

#[test]
fn who_watches_hears_of_each_term_in_which_the_node_leads() {
    let mut leader = Leader::new("links-watch");
    let link = leader.connect(GATEWAY);
    leader.say(link, FromGateway::Watch);
    let told = |leader: &mut Leader| {
        leader.step();
        let replica = leader.cluster.running.get_mut(&leader.leader).unwrap();
        leader.links.next_message(link, replica)
    };
    let leads = |leader: &Leader| {
        let term = leader.cluster.running[&leader.leader].status().term;
        let mut bytes = Vec::new();
        FromCluster::Leads { term: Term(term.0) }.write(&mut bytes);
        Some(bytes)
    };
    assert_eq!(told(&mut leader), leads(&leader));
    assert_eq!(told(&mut leader), None, "once");
    // It gives the lead away, and gets it back.
    let (own, other) = (NodeId(leader.leader), NodeId(leader.leader % 3 + 1));
    for (from, to) in [(own, other), (other, own)] {
        while leader.cluster.serving() != Some(to.0) {
            leader.cluster.running.get_mut(&from.0).unwrap().transfer_leader(to).unwrap_or_default();
            leader.cluster.tick();
            leader.step();
        }
    }
    assert_eq!(told(&mut leader), leads(&leader), "also who has watched all the time");
    assert!(!leader.links.should_close(link));
}

/// All links' turn: every message that there is room for, by link.
fn turn(leader: &mut Leader, links: &[LinkId]) -> Vec<(LinkId, Vec<u8>)> {
    leader.step();
    let replica = leader.cluster.running.get_mut(&leader.leader).unwrap();
    let mut told = Vec::new();
    for link in links {
        while let Some(message) = leader.links.next_message(*link, replica) {
            told.push((*link, message));
        }
    }
    told
}

#[test]
fn a_turn_does_a_bounded_part_for_gateways_and_loses_nothing_of_it() {
    const GATEWAYS: u32 = 20;
    let mut leader = Leader::new("links-turn");
    let links: Vec<LinkId> = (1..=GATEWAYS)
        .map(|gateway| {
            let link = leader.connect(GatewayId(gateway));
            leader.say(link, FromGateway::Hello { instance: 7, resume: None });
            link
        })
        .collect();
    leader.step();
    leader.settle();
    let mut assets: BTreeMap<LinkId, usize> = BTreeMap::new();
    let mut welcomes = 0;
    for defined in [10, 3_000] {
        if defined == 3_000 {
            leader.cluster.define(11, 3_000);
        }
        let mut turns = 0_u32;
        loop {
            let told = turn(&mut leader, &links);
            turns += 1;
            let bytes: usize = told.iter().map(|(_, message)| message.len()).sum();
            assert!(bytes <= (512 << 10) + (65 << 10), "{bytes} bytes in one turn");
            let mut welcomed = 0_u32;
            for (link, message) in told {
                let message = FromCluster::read(&message).unwrap();
                if let FromCluster::Definitions { events } | FromCluster::Events { events, .. } = message {
                    let events = link::events(events).unwrap();
                    let found = events.iter().filter(|e| matches!(e.body, EventBody::AssetDefined(_)));
                    *assets.entry(link).or_default() += found.count();
                } else {
                    assert!(matches!(message, FromCluster::Welcome { .. }), "{message:?}");
                    welcomed += 1;
                }
            }
            // Before the first one there was another, in which nothing was sent.
            assert!(welcomed <= 1 + u32::from(turns == 1), "definitions are copied for one at a time");
            welcomes += welcomed;
            if welcomes == GATEWAYS && !leader.links.is_held_back() {
                break;
            }
        }
        assert!(links.iter().all(|link| assets[link] == defined), "{assets:?}");
        assert!(turns > 4, "{turns} turns");
    }
}
