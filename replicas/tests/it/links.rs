//! Gateway processes at their leader: who is let in under an id, and when.

use protocol::link::{FromCluster, FromGateway};
use protocol::{GatewayId, MonoNanos};
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

    /// A process connects and says hello.
    fn greet(&mut self, instance: u64, resume: Option<protocol::link::Cursor>) -> LinkId {
        let link = LinkId(self.next);
        self.next += 1;
        self.links.connect(link, GATEWAY, self.now());
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
