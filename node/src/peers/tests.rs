//! Endpoints of one process on loopback: they wait for what happens, never for time to pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::thread::yield_now;

use protocol::limits::LINK_MESSAGE_BYTES_MAX;
use protocol::{GatewayId, MonoNanos};
use replicas::Membership;

use super::accept::{OTHER_FOUNDERS, WRONG_HELLO, WRONG_LENGTH};
use super::greeting::{Greeting, HELLO_BYTES};
use super::roster::{STRANGER_NANOS, STRANGERS_MAX};
use super::*;
use crate::pki;

/// Certificates of one cluster, in a folder that goes with it.
struct Authority {
    dir: PathBuf,
    cluster: ClusterId,
}

impl Authority {
    fn new(cluster: u128) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sicil-peers-{}-{count}", std::process::id()));
        pki::init_for(&dir, ClusterId(cluster)).unwrap();
        Self { dir, cluster: ClusterId(cluster) }
    }

    fn credentials(&self, node: u64) -> Credentials {
        let file = |name: String| self.dir.join(name);
        let (certificate, key) = (file(format!("node{node}.pem")), file(format!("node{node}.key")));
        if !certificate.exists() {
            pki::issue(&self.dir, Party::Node(NodeId(node)), &[]).unwrap();
        }
        Credentials::load(&file("ca.pem".to_owned()), &certificate, &key).unwrap()
    }

    fn settings(&self, node: u64, peers: &[(u64, SocketAddr)]) -> PeerSettings {
        let address =
            |(id, address): &(u64, SocketAddr)| PeerAddress { id: NodeId(*id), address: address.to_string() };
        PeerSettings {
            cluster: self.cluster,
            node: NodeId(node),
            peers: peers.iter().map(address).collect(),
            founders: Founders::alone(NodeId(1)),
            listeners: listeners_of(node),
            credentials: self.credentials(node),
            // The machine may be busy: silence is not what these tests are about.
            timing: PeerTiming::CI,
        }
    }

    fn start(&self, node: u64, socket: UdpSocket, peers: &[(u64, SocketAddr)]) -> Peers {
        Peers::start(self.settings(node, peers), socket, || {}).unwrap()
    }

    /// Nodes 1 to `count`, all connected.
    fn cluster(&self, count: u64) -> Vec<Peers> {
        let sockets: Vec<_> = (0..count).map(|_| socket()).collect();
        let addresses: Vec<_> =
            (1..).zip(&sockets).map(|(id, socket)| (id, socket.local_addr().unwrap())).collect();
        let nodes = (1..).zip(sockets).map(|(id, socket)| self.start(id, socket, &addresses));
        let nodes: Vec<_> = nodes.collect();
        nodes.iter().for_each(connected);
        nodes
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn until(mut fact: impl FnMut() -> bool) {
    while !fact() {
        yield_now();
    }
}

/// Waits until every peer can be sent to on both lanes.
fn connected(node: &Peers) {
    until(|| node.report().iter().all(|peer| peer.connected && peer.bulk_connected));
}

/// Waits for a failed attempt; what it says.
fn fault(node: &Peers) -> String {
    let mut fault = None;
    until(|| {
        let report = &node.report()[0];
        assert!(!report.connected && !report.bulk_connected);
        fault = report.fault.clone();
        fault.is_some()
    });
    fault.unwrap()
}

fn receive(node: &mut Peers) -> (NodeId, Vec<u8>) {
    loop {
        if let Some(message) = node.receive() {
            return message;
        }
        yield_now();
    }
}

fn send(node: &mut Peers, to: u64, lane: Lane, bytes: &[u8]) {
    until(|| node.send(NodeId(to), lane, bytes.to_vec()));
}

/// Where node `node` says that it takes clients: node 3 those of FIX alone.
fn listeners_of(node: u64) -> Listeners {
    let at = |port: u64| SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    Listeners { fix: at(node), binary: (node != 3).then_some(at(100 + node)) }
}

#[test]
fn peers_tell_each_other_where_they_take_clients() {
    let authority = Authority::new(1);
    let nodes = authority.cluster(3);
    for (node, peer) in [(1, 2), (2, 1), (1, 3), (3, 2)] {
        let Listeners { fix, binary } = listeners_of(peer);
        let reached = nodes[node - 1].reached(NodeId(peer));
        assert_eq!(reached, Reached { fix: Some(fix), binary }, "node {node} of {peer}");
    }
    assert_eq!(nodes[0].reached(NodeId(1)), Reached::default(), "its own is not a peer's");
}

#[test]
fn messages_come_whole_and_in_order_on_each_lane() {
    const COUNT: u32 = 300;
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(3);
    // Short, across the limit of what is copied, and longer than a datagram.
    let body = |lane: Lane, number: u32| {
        let length = [4, 100, 8_188, 8_189, 70_000][usize::try_from(number % 5).unwrap()];
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.resize(4 + length, lane.code());
        bytes
    };
    let (mut sent, mut came) = ([[[0; 2]; 3]; 3], [[[0; 2]; 3]; 3]);
    let mut left = 3 * 2 * 2 * COUNT;
    while left > 0 {
        for from in 0..3 {
            for to in (0..3).filter(|to| *to != from) {
                for lane in Lane::ALL {
                    let next = &mut sent[from][to][lane.index()];
                    let peer = NodeId(u64::try_from(to).unwrap() + 1);
                    if *next < COUNT && nodes[from].send(peer, lane, body(lane, *next)) {
                        *next += 1;
                    }
                }
            }
        }
        for to in 0..3 {
            while let Some((from, bytes)) = nodes[to].receive() {
                let lane = Lane::ALL[usize::from(*bytes.last().unwrap())];
                let next = &mut came[usize::try_from(from.0).unwrap() - 1][to][lane.index()];
                assert_eq!(bytes, body(lane, *next), "{from} to {}, {lane:?}", to + 1);
                *next += 1;
                left -= 1;
            }
        }
        yield_now();
    }
    for node in &nodes {
        assert_eq!(node.refused(), 0);
        for peer in node.report() {
            assert_eq!((peer.messages_out, peer.messages_in), (u64::from(2 * COUNT), u64::from(2 * COUNT)));
            assert_eq!((peer.bytes_out, peer.fault), (peer.bytes_in, None));
        }
    }
}

#[test]
fn a_message_of_the_greatest_length_passes_and_none_beyond() {
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(2);
    let longest = vec![7; PEER_MESSAGE_BYTES_MAX];
    send(&mut nodes[0], 2, Lane::Bulk, &longest);
    assert_eq!(receive(&mut nodes[1]), (NodeId(1), longest));
    for wrong in [vec![], vec![7; PEER_MESSAGE_BYTES_MAX + 1]] {
        assert!(!nodes[0].send(NodeId(2), Lane::Bulk, wrong));
    }
    assert!(!nodes[0].send(NodeId(9), Lane::Control, vec![7]), "there is no such peer");
}

#[test]
fn a_certificate_of_another_cluster_is_refused_by_both() {
    let (ours, theirs) = (Authority::new(0xa), Authority::new(0xb));
    let (ours_at, theirs_at) = (socket(), socket());
    let addresses = [(1, ours_at.local_addr().unwrap()), (2, theirs_at.local_addr().unwrap())];
    // One authority may serve two clusters, so the name has to tell them apart.
    let mut settings = theirs.settings(2, &addresses);
    settings.credentials.authority.extend(ours.credentials(1).authority);
    let mut mixed = ours.settings(1, &addresses);
    mixed.credentials.authority.extend(theirs.credentials(2).authority);
    let us = Peers::start(mixed, ours_at, || {}).unwrap();
    let them = Peers::start(settings, theirs_at, || {}).unwrap();
    let said = fault(&us);
    assert!(said.contains("cluster 0000000000000000000000000000000a is expected"), "{said}");
    assert!(said.contains("found 0000000000000000000000000000000b"), "{said}");
    fault(&them);
    until(|| us.refused() > 0 && them.refused() > 0);
}

#[test]
fn a_certificate_of_another_authority_is_refused_by_both() {
    let (ours, theirs) = (Authority::new(1), Authority::new(1));
    let (ours_at, theirs_at) = (socket(), socket());
    let addresses = [(1, ours_at.local_addr().unwrap()), (2, theirs_at.local_addr().unwrap())];
    let us = ours.start(1, ours_at, &addresses);
    let them = theirs.start(2, theirs_at, &addresses);
    for node in [&us, &them] {
        let said = fault(node);
        assert!(said.contains("our authority"), "{said}");
    }
    until(|| us.refused() > 0 && them.refused() > 0);
}

#[test]
fn a_caller_of_another_authority_is_refused_although_it_trusts_us() {
    let (ours, theirs) = (Authority::new(1), Authority::new(1));
    let ours_at = socket();
    let address = ours_at.local_addr().unwrap();
    let us = ours.start(1, ours_at, &[(2, socket().local_addr().unwrap())]);
    let mut settings = theirs.settings(2, &[(1, address)]);
    settings.credentials.authority = ours.credentials(1).authority;
    let mut them = Peers::start(settings, socket(), || {}).unwrap();
    let said = fault(&them);
    assert!(said.contains("refuses our certificate"), "{said}");
    until(|| us.refused() > 0 && !them.take_unreachable().is_empty());
}

#[test]
fn another_node_than_the_one_dialled_is_refused() {
    let authority = Authority::new(1);
    let (one, three) = (socket(), socket());
    let (one_at, three_at) = (one.local_addr().unwrap(), three.local_addr().unwrap());
    let one = authority.start(1, one, &[(2, three_at)]);
    let three = authority.start(3, three, &[(1, one_at)]);
    let said = fault(&one);
    assert!(said.contains("node 2 is expected, found node 3"), "{said}");
    // Its certificate is good, and yet it is nobody that node 1 was told of.
    let said = fault(&three);
    assert!(said.contains("not known yet"), "{said}");
    assert!(one.refused() > 0);
}

#[test]
fn who_calls_before_the_log_tells_of_it_is_called_back_and_who_was_removed_is_not() {
    let authority = Authority::new(1);
    let (first, four_at) = (socket(), socket());
    let first_at = first.local_addr().unwrap();
    let mut first = authority.start(1, first, &[(4, four_at.local_addr().unwrap())]);
    let four = authority.start(4, four_at, &[(1, first_at)]);
    connected(&four);
    let six = authority.start(6, socket(), &[(1, first_at)]);
    // Up to five all ids are used, and two and four are no members: they were removed.
    first.follow(&Membership::of_founders(&[1, 3, 5].map(NodeId)));
    while first.report().iter().all(|peer| peer.node != NodeId(6) || !peer.connected) {
        first.call_back(MonoNanos(0));
        yield_now();
    }
    connected(&six);
    let two = authority.start(2, socket(), &[(1, first_at)]);
    for removed in [&two, &four] {
        until(|| removed.report()[0].fault.as_ref().is_some_and(|said| said.contains("was removed")));
        assert!(removed.report()[0].has_removed_us);
    }
    assert!(!six.report()[0].has_removed_us, "it is not known yet, which is another matter");
    first.call_back(MonoNanos(0));
    assert_eq!(first.report().iter().map(|peer| peer.node.0).collect::<Vec<_>>(), [6]);
}

#[test]
fn who_calls_and_does_not_become_a_member_is_forgotten_and_never_one_of_many() {
    let authority = Authority::new(1);
    let first = socket();
    let first_at = first.local_addr().unwrap();
    let mut first = authority.start(1, first, &[]);
    first.follow(&Membership::of_founders(&[1, 2].map(NodeId)));
    let ids = 10..11 + STRANGERS_MAX as u64;
    let strangers: Vec<_> = ids.map(|id| authority.start(id, socket(), &[(1, first_at)])).collect();
    let peers = |first: &Peers| first.report().iter().map(|peer| peer.node).collect::<Vec<_>>();
    let call_back = |first: &mut Peers, now, count| {
        while peers(first).len() < count {
            first.call_back(MonoNanos(now));
            yield_now();
        }
    };
    call_back(&mut first, 0, STRANGERS_MAX);
    let known = peers(&first);
    let left_out = strangers.iter().find(|stranger| !known.iter().any(|node| stranger.endpoints.is(*node)));
    until(|| left_out.unwrap().report()[0].fault.as_ref().is_some_and(|said| said.contains("not known yet")));
    first.call_back(MonoNanos(STRANGER_NANOS - 1));
    assert_eq!(peers(&first), known, "who calls further on waits");
    // A member that is in nobody's file is no stranger, and one of them becomes one.
    let two = authority.start(2, socket(), &[(1, first_at)]);
    call_back(&mut first, 0, STRANGERS_MAX + 1);
    assert_eq!(peers(&first)[1..], known);
    let member = known[0];
    first.follow(&Membership::of_founders(&[NodeId(1), NodeId(2), member]));
    drop((two, strangers));
    let mut now = 0;
    until(|| {
        // Somebody's last call may be answered only now.
        now += STRANGER_NANOS;
        first.call_back(MonoNanos(now));
        peers(&first).len() == 2
    });
    assert_eq!(peers(&first), [NodeId(2), member]);
}

#[test]
fn a_gateway_has_one_connection_and_is_not_waited_for_when_it_takes_nothing() {
    let authority = Authority::new(1);
    let mut node = authority.start(1, socket(), &[]);
    let party = Party::Gateway(GatewayId(3));
    let (certificate, key) = pki::issue(&authority.dir, party, &[]).unwrap();
    let credentials = Credentials::load(&authority.dir.join("ca.pem"), &certificate, &key).unwrap();
    let settings = authority.settings(2, &[]);
    let identity = Identity { party, credentials: &credentials, ..settings.identity() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoints = Endpoints::new(&identity, socket(), Arc::new(|| {})).unwrap();
        let client = endpoints.client_for(NodeId(1)).unwrap();
        let mut calls = Vec::new();
        let mut lines = Vec::new();
        while lines.len() < 2 {
            let calling = endpoints.endpoint.connect_with(client.clone(), node.local_addr(), "gateway");
            let connection = calling.unwrap().await.unwrap();
            let (mut send, receive) = connection.open_bi().await.unwrap();
            send.write_all(&[1, 0, 0, 0, 7]).await.unwrap();
            let line = loop {
                match node.next_gateway() {
                    Some(line) => break line,
                    None => tokio::task::yield_now().await,
                }
            };
            assert_eq!(line.gateway, GatewayId(3));
            lines.push(line);
            calls.push((connection, send, receive));
        }
        let reason = async |call: usize| {
            let closed = calls[call].0.closed().await;
            let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
            close.reason
        };
        assert_eq!(reason(0).await, "replaced");
        // More than is on its way at once, and nothing of it is read.
        let line = lines.pop().unwrap();
        while let Some(room) = line.room() {
            room.send(vec![0; LINK_MESSAGE_BYTES_MAX]);
        }
        drop(line);
        assert_eq!(reason(1).await, "closed");
    });
}

#[test]
fn a_second_process_with_our_own_certificate_is_refused() {
    let authority = Authority::new(1);
    let first = socket();
    let first_at = first.local_addr().unwrap();
    let first = authority.start(1, first, &[]);
    let second = authority.start(1, socket(), &[(2, first_at)]);
    let said = fault(&second);
    assert!(said.contains("node 2 is expected, found node 1"), "{said}");
    until(|| first.refused() > 0);
}

#[test]
fn nodes_that_count_by_other_founders_say_so_and_are_not_let_in() {
    let authority = Authority::new(1);
    let (first, second) = (socket(), socket());
    let (first_at, second_at) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let first = authority.start(1, first, &[(2, second_at)]);
    let founders = Founders::new(&[2, 1].map(NodeId)).unwrap();
    let settings = PeerSettings { founders, ..authority.settings(2, &[(1, first_at)]) };
    let second = Peers::start(settings, second, || {}).unwrap();
    // Whoever answers finds it out; who calls is told.
    for (node, expected) in
        [(&first, "[2, 1] is expected, found [1]"), (&second, "[1] is expected, found [2, 1]")]
    {
        let said = fault(node);
        assert!(said.contains(&format!("cluster.founders = {expected}")), "{said}");
        until(|| node.refused() > 0);
    }
}

#[test]
fn a_certificate_of_another_node_is_not_started_with() {
    let authority = Authority::new(1);
    let settings = PeerSettings { node: NodeId(2), ..authority.settings(1, &[]) };
    let said = Peers::start(settings, socket(), || {}).err().unwrap().to_string();
    assert!(said.contains("/node/2 is needed, found sicil://") && said.ends_with("/node/1"), "{said}");
}

#[test]
fn a_peer_that_leaves_is_unreachable_and_connected_again_when_it_is_back() {
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(2);
    assert_eq!(nodes[0].take_unreachable(), []);
    let (mut second, mut first) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let addresses = [(1, first.local_addr()), (2, second.local_addr())];
    send(&mut first, 2, Lane::Control, b"before");
    assert_eq!(receive(&mut second), (NodeId(1), b"before".to_vec()));
    drop(second);
    until(|| first.take_unreachable() == [NodeId(2)]);
    until(|| !first.report()[0].connected);
    let dropped = first.report()[0].dropped;
    assert!(!first.send(NodeId(2), Lane::Control, b"into the void".to_vec()));
    assert_eq!(first.report()[0].dropped, dropped + 1);
    let socket = UdpSocket::bind(addresses[1].1).unwrap();
    let mut second = authority.start(2, socket, &addresses);
    connected(&first);
    connected(&second);
    first.take_unreachable();
    send(&mut first, 2, Lane::Control, b"after");
    assert_eq!(receive(&mut second), (NodeId(1), b"after".to_vec()));
    send(&mut second, 1, Lane::Bulk, b"and back");
    assert_eq!(receive(&mut first), (NodeId(2), b"and back".to_vec()));
}

/// A network between one node that calls and one that answers, which can fall silent without a word to either.
struct Network {
    address: SocketAddr,
    /// Where who answers is; `None`: whatever comes is lost.
    target: tokio::sync::watch::Sender<Option<SocketAddr>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    fn to(target: SocketAddr) -> Self {
        let (front, back) = (socket(), socket());
        let address = front.local_addr().unwrap();
        let (sender, receiver) = tokio::sync::watch::channel(Some(target));
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(carry(front, back, receiver));
        };
        Self { address, target: sender, thread: Some(threads::start("network", run).unwrap()) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The thread ends with the sender.
        self.target = tokio::sync::watch::Sender::new(None);
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn carry(
    front: UdpSocket,
    back: UdpSocket,
    mut target: tokio::sync::watch::Receiver<Option<SocketAddr>>,
) {
    let [front, back] = [front, back].map(|socket| {
        socket.set_nonblocking(true).unwrap();
        tokio::net::UdpSocket::from_std(socket).unwrap()
    });
    let (mut calls, mut answers, mut caller) = (vec![0; 1 << 16], vec![0; 1 << 16], None);
    loop {
        // A datagram that cannot be sent on is lost, as on any network.
        tokio::select! {
            changed = target.changed() => if changed.is_err() { return },
            Ok((bytes, from)) = front.recv_from(&mut calls) => {
                caller = Some(from);
                let to = *target.borrow();
                if let Some(to) = to {
                    back.send_to(&calls[..bytes], to).await.unwrap_or_default();
                }
            }
            Ok((bytes, from)) = back.recv_from(&mut answers) => {
                let is_target = *target.borrow() == Some(from);
                if let Some(caller) = caller.filter(|_| is_target) {
                    front.send_to(&answers[..bytes], caller).await.unwrap_or_default();
                }
            }
        }
    }
}

/// Two nodes, the first of which reaches the second through a network.
fn over_a_network(authority: &Authority) -> (Peers, Network, Peers) {
    let (one, two) = (socket(), socket());
    let network = Network::to(two.local_addr().unwrap());
    let second = authority.start(2, two, &[(1, one.local_addr().unwrap())]);
    let first = authority.start(1, one, &[(2, network.address)]);
    connected(&first);
    connected(&second);
    (first, network, second)
}

#[test]
fn silence_is_loss_and_the_return_is_noticed() {
    let authority = Authority::new(1);
    let (mut first, network, mut second) = over_a_network(&authority);
    let at = network.target.borrow().unwrap();
    first.take_unreachable();
    network.target.send_replace(None);
    until(|| first.take_unreachable() == [NodeId(2)]);
    until(|| !first.report()[0].connected && !first.report()[0].bulk_connected);
    assert!(first.report()[0].fault.as_ref().is_some_and(|fault| fault == "timed out"));
    // The other direction is of another network.
    send(&mut second, 1, Lane::Control, b"I hear nothing");
    assert_eq!(receive(&mut first), (NodeId(2), b"I hear nothing".to_vec()));
    network.target.send_replace(Some(at));
    connected(&first);
    send(&mut first, 2, Lane::Bulk, b"now you do");
    assert_eq!(receive(&mut second), (NodeId(1), b"now you do".to_vec()));
}

#[test]
fn a_peer_that_was_killed_is_called_anew_as_soon_as_it_calls() {
    let authority = Authority::new(1);
    let (mut first, network, second) = over_a_network(&authority);
    // It ends without a goodbye that anybody hears, and another process takes its place.
    network.target.send_replace(None);
    drop(second);
    let two = socket();
    network.target.send_replace(Some(two.local_addr().unwrap()));
    let mut second = authority.start(2, two, &[(1, first.local_addr())]);
    // What was said to the process before is gone; that is reported, and what is said from now on arrives.
    until(|| first.take_unreachable() == [NodeId(2)]);
    connected(&first);
    let mut came = None;
    until(|| {
        first.send(NodeId(2), Lane::Control, b"welcome back".to_vec());
        came = second.receive();
        came.is_some()
    });
    assert_eq!(came, Some((NodeId(1), b"welcome back".to_vec())));
}

#[test]
fn peers_come_and_go_while_the_node_runs() {
    let authority = Authority::new(1);
    let mut first = authority.start(1, socket(), &[]);
    let address = first.local_addr();
    let mut second = authority.start(2, socket(), &[(1, address)]);
    fault(&second);
    first.add(PeerAddress { id: NodeId(2), address: second.local_addr().to_string() }).unwrap();
    connected(&first);
    connected(&second);
    send(&mut second, 1, Lane::Control, b"in");
    assert_eq!(receive(&mut first).0, NodeId(2));
    first.remove(NodeId(2));
    assert_eq!(first.report(), []);
    assert!(!first.send(NodeId(2), Lane::Control, b"gone".to_vec()));
    until(|| !second.take_unreachable().is_empty());
}

#[test]
fn a_slow_reader_holds_bulk_back_and_not_control() {
    const BYTES: usize = 64 << 10;
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(2);
    let (mut slow, mut fast) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let message = |number: u32| {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.resize(BYTES, 1);
        bytes
    };
    let mut sent = 0;
    // Until neither end takes more.
    until(|| {
        let taken = fast.send(NodeId(2), Lane::Bulk, message(sent));
        sent += u32::from(taken);
        let has_room = slow.report()[0].bytes_in as usize + 2 * BYTES < QUEUE_BYTES_MAX;
        assert!(slow.report()[0].bytes_in as usize <= QUEUE_BYTES_MAX);
        !taken && !has_room
    });
    for number in 0..100_u32 {
        send(&mut fast, 2, Lane::Control, &number.to_le_bytes());
        // Bulk has its turn in between, when control has none.
        let (from, came) = loop {
            let came = slow.take(Lane::Control);
            if let Some(came) = came {
                break came;
            }
            yield_now();
        };
        assert_eq!((from, came), (NodeId(1), number.to_le_bytes().to_vec()));
    }
    // Nothing that was taken is lost.
    for number in 0..sent {
        assert_eq!(receive(&mut slow).1, message(number));
    }
    assert_eq!(slow.receive(), None);
}

#[test]
fn bulk_has_its_turn_among_control() {
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(2);
    send(&mut nodes[0], 2, Lane::Bulk, b"bulk");
    for _ in 0..100 {
        send(&mut nodes[0], 2, Lane::Control, b"control");
    }
    until(|| nodes[1].report()[0].messages_in == 101);
    let mut order = Vec::new();
    // The last of them may be counted before it is queued.
    while order.len() < 101 {
        order.extend(nodes[1].receive().map(|(_, bytes)| bytes.len()));
    }
    assert_eq!(order.iter().position(|bytes| *bytes == 4), Some(CONTROL_RUN_MAX as usize));
}

/// A node of the cluster that speaks QUIC and TLS as it should, and then whatever it likes; with which code it is hung
/// up on.
fn rogue(authority: &Authority, to: SocketAddr, says: &[u8]) -> quinn::ConnectionError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoints =
            Endpoints::new(&authority.settings(2, &[]).identity(), socket(), Arc::new(|| {})).unwrap();
        let client = endpoints.client_for(NodeId(1)).unwrap();
        let connection = endpoints.endpoint.connect_with(client, to, "rogue").unwrap().await.unwrap();
        let (mut stream, _answer) = connection.open_bi().await.unwrap();
        stream.write_all(says).await.unwrap();
        connection.closed().await
    })
}

#[test]
fn a_breach_of_the_protocol_ends_the_connection() {
    let authority = Authority::new(1);
    let mut node = authority.start(1, socket(), &[(2, socket().local_addr().unwrap())]);
    let greeting = Greeting { instance: 9, listeners: listeners_of(2), founders: Founders::alone(NodeId(1)) };
    let hello = |lane: u8| greeting.hello(lane).to_vec();
    let longer = u32::try_from(PEER_MESSAGE_BYTES_MAX + 1).unwrap();
    for (says, code) in [
        ([hello(0), 0_u32.to_le_bytes().to_vec()].concat(), WRONG_LENGTH),
        ([hello(1), longer.to_le_bytes().to_vec()].concat(), WRONG_LENGTH),
        ([hello(0), u32::MAX.to_le_bytes().to_vec()].concat(), WRONG_LENGTH),
        // A listener of no family.
        (vec![0; HELLO_BYTES], WRONG_HELLO),
        (hello(2), WRONG_HELLO),
        (Greeting { founders: Founders::alone(NodeId(2)), ..greeting }.hello(0).to_vec(), OTHER_FOUNDERS),
        (hello(255), WRONG_HELLO),
    ] {
        let before = node.refused();
        let reason = rogue(&authority, node.local_addr(), &says);
        let quinn::ConnectionError::ApplicationClosed(close) = reason else {
            panic!("{says:?} was not answered by a close: {reason}");
        };
        assert_eq!(close.error_code, code.into(), "{says:?}");
        until(|| node.refused() > before);
    }
    assert_eq!(node.receive(), None);
}

#[test]
fn among_many_that_say_nothing_a_peer_is_let_in() {
    let authority = Authority::new(1);
    let (one, two) = (socket(), socket());
    let addresses = [(1, one.local_addr().unwrap()), (2, two.local_addr().unwrap())];
    let first = authority.start(1, one, &addresses);
    let places = || first.endpoints.handshakes.available_permits();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let silent = runtime.block_on(async {
        let endpoints =
            Endpoints::new(&authority.settings(2, &[]).identity(), socket(), Arc::new(|| {})).unwrap();
        let client = endpoints.client_for(NodeId(1)).unwrap();
        let mut silent = Vec::new();
        // The last of them had to show first that the address was theirs.
        while places() + 4 > endpoint::HANDSHAKES_MAX / 2 {
            let calling = endpoints.endpoint.connect_with(client.clone(), addresses[0].1, "silent").unwrap();
            silent.push(calling.await.unwrap());
        }
        (endpoints, silent)
    });
    let second = authority.start(2, two, &addresses);
    connected(&first);
    connected(&second);
    drop(silent);
}

#[test]
fn garbage_does_nothing() {
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(2);
    let stranger = socket();
    let mut seed = 0x5eed_u64;
    for number in 0..2_000_u32 {
        let length = usize::try_from(number % 1_300).unwrap();
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        // Half of them look like the beginning of a connection.
        if number % 2 == 0 && bytes.len() > 6 {
            bytes[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        for node in &nodes {
            // A full buffer of the receiver is as good.
            stranger.send_to(&bytes, node.local_addr()).unwrap();
        }
    }
    for lane in Lane::ALL {
        send(&mut nodes[0], 2, lane, b"here");
        assert_eq!(receive(&mut nodes[1]), (NodeId(1), b"here".to_vec()));
        send(&mut nodes[1], 1, lane, b"and there");
        assert_eq!(receive(&mut nodes[0]), (NodeId(2), b"and there".to_vec()));
    }
}

#[test]
fn whoever_waits_is_woken_by_a_message() {
    let authority = Authority::new(1);
    let (one, two) = (socket(), socket());
    let addresses = [(1, one.local_addr().unwrap()), (2, two.local_addr().unwrap())];
    let (wake, woken) = std::sync::mpsc::channel();
    let ring = move || wake.send(()).unwrap_or_default();
    let mut one = Peers::start(authority.settings(1, &addresses), one, ring).unwrap();
    let mut two = authority.start(2, two, &addresses);
    connected(&two);
    send(&mut two, 1, Lane::Control, b"wake");
    loop {
        woken.recv().unwrap();
        if let Some(message) = one.receive() {
            assert_eq!(message, (NodeId(2), b"wake".to_vec()));
            return;
        }
    }
}

#[test]
fn keys_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let authority = Authority::new(1);
    let (certificate, key) =
        pki::issue(&authority.dir, Party::Node(NodeId(1)), &["localhost".to_owned()]).unwrap();
    let load = |key: &Path| Credentials::load(&authority.dir.join("ca.pem"), &certificate, key);
    assert!(load(&key).is_ok());
    let said = load(&certificate).err().unwrap().to_string();
    assert!(said.contains("600 or less"), "{said}");
    fs::set_permissions(&certificate, fs::Permissions::from_mode(0o600)).unwrap();
    let said = load(&certificate).err().unwrap().to_string();
    assert!(said.contains("no private key"), "{said}");
    let said = Credentials::load(&key, &certificate, &key).err().unwrap().to_string();
    assert!(said.contains("no certificate"), "{said}");
    let twice = pki::issue(&authority.dir, Party::Node(NodeId(1)), &[]).err().unwrap().to_string();
    assert!(twice.contains("not overwritten"), "{twice}");
}

/// Prints round trips over loopback. By hand:
/// `cargo test --release -p node round_trips -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn round_trips() {
    let authority = Authority::new(1);
    let mut nodes = authority.cluster(2);
    let (mut echo, mut node) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let clock = crate::clock::Clock::start();
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                match echo.receive() {
                    Some((from, bytes)) => assert!(echo.send(from, Lane::Control, bytes)),
                    None => yield_now(),
                }
            }
        });
        for bytes in [512, 4 << 10, 64 << 10] {
            let mut nanos = Vec::new();
            for round in 0..6_000 {
                let before = clock.mono();
                assert!(node.send(NodeId(2), Lane::Control, vec![1; bytes]));
                receive(&mut node);
                if round >= 1_000 {
                    nanos.push(clock.mono().since(before));
                }
            }
            nanos.sort_unstable();
            let at = |share: usize| nanos[nanos.len() * share / 1_000] / 1_000;
            println!("{bytes} B there and back: p50 {} us, p99 {} us, p999 {} us", at(500), at(990), at(999));
        }
        ends.store(true, Ordering::Relaxed);
    });
}
