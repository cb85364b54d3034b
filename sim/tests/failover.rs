//! A gateway process in front of three replicas, in memory: the leader is lost at every position of the journal that a script
//! fills, in each of three moments, noticed by the gateway or not, or the way to it is cut, and what every client has assembled is what it would have without that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use gateways::fix::initiator::{Clocks, Initiator, LogonStyle, Message, NewOrder, OrderRef, Phase, Settings};
use gateways::fix::{Acceptor, ConnectionId, Options};
use gateways::uplink::{Heard, Uplink};
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{
    ClusterEpoch, GatewayId, MonoNanos, NodeId, OrderType, RequestNumber, SessionId, Side, TimeInForce,
    UnixNanos,
};
use replicas::links::{LEASE_NANOS, LinkId, Links};
use replicas::{Now, Replica, SnapshotPolicy, Timing};
use sim::disk::{Crash, Latency, SimDisk};
use sim::rng::Rng;
use sim::trace::Trace;
use sim::workload::setup;

const MILLI: u64 = 1_000_000;
/// 2026-01-05 12:00:00 UTC.
const T0: u64 = 1_767_614_400_000 * MILLI;
const NODES: usize = 3;
const CLIENTS: usize = 2;
const GATEWAY: GatewayId = GatewayId(1);
/// Nothing takes longer than this; in milliseconds of the simulated clock.
const HANGS_MS: u64 = 60_000;
/// How long a process is down.
const DOWN_MS: u64 = 40;
/// How long a connection is silent before the gateway takes it for lost.
const IDLE_MS: u64 = 500;
/// Bytes that a client sends at once.
const BITE_BYTES: usize = 48;

/// When the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Its log has come to the position, and nothing of it has left. The gateway does not notice.
    Written,
    /// The entry is applied, and the gateway has not been told, nor notices.
    Applied,
    /// The gateway has been told, and notices.
    Told,
    /// It lives on; the way to it is cut when commands have just gone, so that they go a second time and come twice.
    Cut,
}

const MOMENTS: [Moment; 4] = [Moment::Cut, Moment::Written, Moment::Applied, Moment::Told];

/// One client, on a connection that it keeps.
struct Client {
    session: Initiator,
    connection: ConnectionId,
    /// What it has sent and the gateway has not read.
    sent: Vec<u8>,
    heard: Vec<Message>,
}

/// A replica's process.
struct Process {
    replica: Replica<SimDisk>,
    links: Links,
}

struct World {
    millis: u64,
    disks: Vec<SimDisk>,
    processes: Vec<Option<Process>>,
    uplink: Uplink,
    acceptor: Acceptor,
    /// Where the gateway is connected, and by which connection.
    lines: BTreeMap<usize, LinkId>,
    next_link: u64,
    /// Connections whose node has ended, and when the gateway notices.
    dead: Vec<(usize, LinkId, u64)>,
    clients: Vec<Client>,
    /// Lose the leader when its log has come so far: the first of these next.
    losses: Vec<(u64, Moment)>,
    /// Processes that are down, and when each comes back.
    down: Vec<(usize, u64)>,
}

fn open(disk: &SimDisk, place: usize) -> Replica<SimDisk> {
    let genesis = setup::genesis();
    let mut journal_options = journal::Options::new(place as u64);
    journal_options.segment_bytes = 1 << 20;
    let options = replicas::Options {
        timing: Timing::LAN,
        snapshots: SnapshotPolicy { journal_bytes: u64::MAX, interval_ms: u64::MAX },
        genesis: genesis.clone(),
    };
    let node = NodeId(place as u64 + 1);
    let nodes: Vec<NodeId> = (1..=NODES as u64).map(NodeId).collect();
    let founders = journal::Founders::new(&nodes).unwrap();
    let identity = journal::Identity { cluster: genesis.cluster, epoch: ClusterEpoch(1), node, founders };
    match Replica::open(disk.clone(), disk.clone(), journal_options, &options) {
        Ok(replica) => replica,
        Err(_) => Replica::create(disk.clone(), disk.clone(), identity, journal_options, &options).unwrap(),
    }
}

impl World {
    fn new(losses: &[(u64, Moment)]) -> Self {
        let latency = Latency { min_us: 10, max_us: 20, stall_ppm: 0, stall_us: 0 };
        let disks: Vec<SimDisk> = (0..NODES)
            .map(|place| SimDisk::new(Rng::new(place as u64), latency, 64 << 20, Trace::default()))
            .collect();
        let start = |(place, disk)| Some(Process { replica: open(disk, place), links: Links::new() });
        let processes = disks.iter().enumerate().map(start).collect();
        let mut acceptor = Acceptor::new(Options::default());
        let connections = (1..).map(|number| ConnectionId(GATEWAY.connections_from() + number));
        let clients: Vec<Client> = (0..CLIENTS)
            .zip(connections)
            .map(|(place, connection)| {
                acceptor.connect(connection, MonoNanos(0));
                let settings = Settings::new(setup::comp_id(place), setup::OUR_COMP_ID);
                Client { session: Initiator::new(settings), connection, sent: Vec::new(), heard: Vec::new() }
            })
            .collect();
        let mut world = Self {
            millis: 0,
            disks,
            processes,
            uplink: Uplink::new(7),
            acceptor,
            lines: BTreeMap::new(),
            next_link: 0,
            dead: Vec::new(),
            clients,
            losses: Vec::new(),
            down: Vec::new(),
        };
        world.set_up();
        world.losses = losses.to_vec();
        world
    }

    fn now(&self) -> Now {
        Now { mono: MonoNanos(self.millis * MILLI), wall: UnixNanos(T0 + self.millis * MILLI) }
    }

    fn clocks(&self) -> Clocks {
        let Now { mono, wall } = self.now();
        Clocks { mono, wall }
    }

    fn leader(&self) -> Option<usize> {
        let serves = |process: &Option<Process>| process.as_ref().is_some_and(|p| p.replica.serving());
        self.processes.iter().position(serves)
    }

    /// The operator defines who trades, and the gateway finds the leader.
    fn set_up(&mut self) {
        self.until("a leader", |world| world.leader().is_some());
        let leader = self.leader().unwrap();
        let Now { mono: now, wall } = self.now();
        let replica = &mut self.processes[leader].as_mut().unwrap().replica;
        for (request, command) in (1..).zip(setup::commands(CLIENTS, wall)) {
            let request = RequestNumber(request);
            let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
            replica.sequencer().submit(&header, now, &command).unwrap();
        }
        let sessions = CLIENTS + 1;
        self.until("definitions", |world| {
            let engine = world.processes[leader].as_ref().unwrap().replica.engine();
            engine.sessions().count() == sessions
        });
        self.until("a welcome", |world| world.uplink.is_open());
        // Everything that belongs to setting up is applied everywhere.
        self.run(50);
    }

    /// The last position in the leader's journal.
    fn position(&self) -> u64 {
        let leader = self.leader().unwrap();
        self.processes[leader].as_ref().unwrap().replica.status().index_last.0
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = self.millis + HANGS_MS;
        while !done(self) {
            assert!(self.millis < deadline, "no {what}, with the losses {:?} to come", self.losses);
            self.tick();
        }
    }

    fn run(&mut self, millis: u64) {
        (0..millis).for_each(|_| self.tick());
    }

    /// A millisecond for everybody.
    fn tick(&mut self) {
        self.millis += 1;
        self.restart();
        self.notice();
        let now = self.now();
        // Several turns in a millisecond: the disk takes some microseconds, the network none.
        for turn in 0..6 {
            let now = Now { mono: MonoNanos(now.mono.0 + turn * 100_000), ..now };
            self.disks.iter().for_each(|disk| disk.set_now(now.mono));
            self.turn_replicas(now);
            self.turn_gateway(now);
            self.turn_clients();
        }
    }

    /// Time passes for the replicas alone.
    fn replicas_until(&mut self, millis: u64) {
        while self.millis < millis {
            self.millis += 1;
            let now = self.now();
            self.disks.iter().for_each(|disk| disk.set_now(now.mono));
            self.turn_replicas(now);
        }
    }

    fn loses(&self, place: usize, moment: Moment) -> bool {
        let Some(&(position, at)) = self.losses.first() else { return false };
        let Some(process) = &self.processes[place] else { return false };
        let status = process.replica.status();
        let reached = match at {
            Moment::Written => status.index_last.0,
            // What waits is not in the log yet.
            Moment::Cut => status.index_last.0 + 1,
            Moment::Applied | Moment::Told => status.index_applied.0,
        };
        at == moment && process.replica.serving() && reached >= position
    }

    /// Whoever has been down for long enough comes back with what is on its disk.
    fn restart(&mut self) {
        let due = self.down.iter().position(|(_, at)| *at <= self.millis);
        if let Some((place, _)) = due.map(|at| self.down.remove(at)) {
            self.disks[place].crash(Crash::Process);
            let replica = open(&self.disks[place], place);
            self.processes[place] = Some(Process { replica, links: Links::new() });
        }
    }

    fn lose(&mut self, place: usize) {
        self.processes[place] = None;
        self.losses.remove(0);
        self.down.push((place, self.millis + DOWN_MS));
        self.dead.extend(self.lines.get(&place).map(|link| (place, *link, self.millis + IDLE_MS)));
    }

    /// The gateway notices what has been silent for long enough.
    fn notice(&mut self) {
        let due: Vec<_> = self.dead.extract_if(.., |(_, _, at)| *at <= self.millis).collect();
        for (place, link, _) in due {
            if self.lines.get(&place) == Some(&link) {
                self.hang_up(place);
            }
        }
    }

    /// The connection to a node is no more. Both ends know.
    fn hang_up(&mut self, place: usize) {
        let Some(link) = self.lines.remove(&place) else { return };
        if let Some(process) = &mut self.processes[place] {
            process.links.disconnect(link);
        }
        self.uplink.disconnected(node(place));
    }

    /// The way to the leader is gone for a moment, and the leader is not.
    fn cut(&mut self, place: usize) {
        self.losses.remove(0);
        self.hang_up(place);
    }

    fn turn_replicas(&mut self, now: Now) {
        let mut sent = Vec::new();
        for place in 0..NODES {
            let Some(Process { replica, links }) = &mut self.processes[place] else { continue };
            replica.step(now, &mut Vec::new()).unwrap();
            links.step(now.mono, replica);
            let outbound = replica.take_outbound();
            if self.loses(place, Moment::Written) || self.loses(place, Moment::Applied) {
                self.lose(place);
                continue;
            }
            sent.extend(outbound.into_iter().map(|outbound| (NodeId(place as u64 + 1), outbound)));
        }
        for (from, outbound) in sent {
            let to = usize::try_from(outbound.to.0).unwrap() - 1;
            if let Some(process) = &mut self.processes[to] {
                process.replica.receive_from(from, &outbound.bytes).unwrap();
            }
        }
    }

    fn turn_gateway(&mut self, now: Now) {
        self.connect(now);
        self.uplink.tick(now.mono);
        for place in 0..NODES {
            self.turn_line(place, now);
        }
    }

    fn turn_line(&mut self, place: usize, now: Now) {
        let Some(&link) = self.lines.get(&place) else { return };
        let Some(Process { replica, links }) = &mut self.processes[place] else { return };
        while links.wants(link)
            && let Some(message) = self.uplink.next_message(node(place))
        {
            links.receive(link, &message, now.mono, replica).unwrap();
        }
        let waiting = replica.status().queue_records > 0;
        if waiting && self.loses(place, Moment::Cut) {
            self.cut(place);
            return;
        }
        let Some(Process { replica, links }) = &mut self.processes[place] else { return };
        let mut told = Vec::new();
        while let Some(message) = links.next_message(link, replica) {
            told.push(message);
        }
        for message in told {
            let heard = self.uplink.receive(node(place), &message).unwrap();
            self.obey(place, heard, now);
        }
        if self.loses(place, Moment::Told) {
            self.lose(place);
            self.hang_up(place);
        }
    }

    /// As a process does it: to every node.
    fn connect(&mut self, now: Now) {
        for place in 0..NODES {
            let Some(process) = &mut self.processes[place] else { continue };
            if self.lines.contains_key(&place) {
                continue;
            }
            let link = LinkId(self.next_link);
            self.next_link += 1;
            process.links.connect(link, GATEWAY, now.mono);
            self.uplink.connected(node(place));
            self.lines.insert(place, link);
        }
    }

    fn obey(&mut self, place: usize, heard: Heard, now: Now) {
        match heard {
            Heard::Welcome | Heard::OutOfDate => {}
            Heard::Leads(before) => before.into_iter().for_each(|node| self.hang_up(place_of(node))),
            Heard::Elsewhere(_) => self.hang_up(place),
            Heard::Definitions(events) => {
                events.iter().for_each(|event| self.acceptor.define(&event.body));
            }
            Heard::Events(events) => {
                for event in &events {
                    self.acceptor.deliver(event, now.mono, now.wall);
                }
                self.acceptor.resume(now.mono, now.wall, &mut self.uplink);
            }
            Heard::Outputs(read, events) => self.acceptor.outbox_done(&read, &events, now.mono, now.wall),
            Heard::Superseded | Heard::TooFarBehind | Heard::Unreadable(_) => panic!("{heard:?}"),
        }
    }

    /// Carries bytes between clients and acceptor, and what the acceptor wants from the outbox.
    fn turn_clients(&mut self) {
        let (now, clocks) = (self.now(), self.clocks());
        self.acceptor.tick(now.mono, now.wall, &mut self.uplink);
        while let Some(read) = self.acceptor.outbox_read() {
            self.uplink.read(read);
        }
        for client in &mut self.clients {
            let id = client.connection;
            client.session.take_output(&mut client.sent);
            if self.acceptor.wants_read(id) {
                // A bite at a time, so that what is sent at once does not become one entry.
                let bite = client.sent.len().min(BITE_BYTES);
                let bytes: Vec<u8> = client.sent.drain(..bite).collect();
                self.acceptor.receive(id, &bytes, now.mono, now.wall, &mut self.uplink);
            }
            let bytes = self.acceptor.output(id).to_vec();
            self.acceptor.sent(id, bytes.len());
            client.session.receive(&bytes, clocks).unwrap();
            client.heard.extend(client.session.take_received());
            if !matches!(client.session.phase(), Phase::Down | Phase::Ended) {
                assert!(!self.acceptor.should_close(id), "a client's connection outlives every leader");
            }
        }
    }
}

fn node(place: usize) -> NodeId {
    NodeId(place as u64 + 1)
}

fn place_of(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap() - 1
}

type Step = fn(&mut World);

fn order(world: &mut World, client: usize, id: &str, side: Side, qty: &str, price: &str) {
    let order = NewOrder {
        cl_ord_id: id,
        symbol: setup::SYMBOL,
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::GoodTillCancel,
        price,
        qty,
    };
    let clocks = world.clocks();
    world.clients[client].session.new_order(&order, clocks);
}

fn named<'a>(id: &'a str, orig: &'a str, side: Side, qty: &'a str) -> OrderRef<'a> {
    OrderRef { cl_ord_id: id, orig_cl_ord_id: orig, symbol: setup::SYMBOL, side, qty }
}

fn client(world: &mut World, place: usize) -> (&mut Initiator, Clocks) {
    let clocks = world.clocks();
    (&mut world.clients[place].session, clocks)
}

/// What clients do. A step waits until everything has come that followed from the one before.
const SCRIPT: &[Step] = &[
    |world| {
        let (session, now) = client(world, 0);
        session.connect(LogonStyle::Continue, now);
    },
    |world| {
        let (session, now) = client(world, 1);
        session.connect(LogonStyle::ContinueNextExpected, now);
    },
    |world| {
        for n in 0..4 {
            order(world, 0, &format!("rest-{n}"), Side::Sell, "10", "100");
        }
    },
    |world| order(world, 1, "take-1", Side::Buy, "15", "100"),
    |world| {
        let (session, now) = client(world, 0);
        session.replace(&named("less", "rest-2", Side::Sell, "4"), "100", now);
        session.cancel(&named("gone", "rest-3", Side::Sell, "10"), now);
        session.status("rest-1", setup::SYMBOL, Side::Sell, now);
        session.test_request("are you there", now);
    },
    |world| {
        // The session layer's own: a Reject, a business reject, an order that is refused.
        let (session, now) = client(world, 1);
        session.application("D", b"11=half\x01".to_vec(), now);
        session.application("V", b"262=1\x01263=0\x01264=0\x01".to_vec(), now);
        order(world, 1, "dear", Side::Buy, "1000", "9999");
    },
    |world| {
        // Everything so far again.
        let (session, now) = client(world, 0);
        session.application("2", b"7=1\x0116=0\x01".to_vec(), now);
        order(world, 0, "behind", Side::Sell, "1", "101");
    },
    |world| order(world, 1, "take-2", Side::Buy, "9", "101"),
    |world| {
        let (session, now) = client(world, 1);
        session.logout(now);
    },
];

/// A message without what may differ: when it was sent, and what counts the records of the journal, of which a term more has
/// one more. Order ids are told by the order in which they first appear.
fn lasting(message: &Message, orders: &mut BTreeMap<String, usize>) -> Vec<(u32, String)> {
    let fields = message.fields().filter(|(tag, _)| ![9, 10, 43, 52, 60, 122].contains(tag));
    let lasting = fields.map(|(tag, value)| {
        let value = String::from_utf8(value.to_vec()).unwrap();
        let count = orders.len();
        let value = match tag {
            37 => orders.entry(value).or_insert(count).to_string(),
            17 => value.split_once('-').map_or(value.clone(), |(_, number)| number.to_owned()),
            _ => value,
        };
        (tag, value)
    });
    lasting.collect()
}

type Streams = Vec<Vec<Vec<(u32, String)>>>;

fn streams(world: &World) -> Streams {
    let streams = world.clients.iter().map(|client| {
        let mut orders = BTreeMap::new();
        client.heard.iter().map(|message| lasting(message, &mut orders)).collect()
    });
    streams.collect()
}

fn counts(world: &World) -> Vec<usize> {
    world.clients.iter().map(|client| client.heard.len()).collect()
}

/// Runs the script; `awaited` says how many messages each client has after each step, if that is known.
fn play(world: &mut World, awaited: Option<&[Vec<usize>]>) -> Vec<Vec<usize>> {
    let mut after = Vec::new();
    for (place, step) in SCRIPT.iter().enumerate() {
        step(world);
        match awaited {
            Some(awaited) => {
                world.until("end of a step", |world| {
                    counts(world).iter().zip(&awaited[place]).all(|(found, awaited)| found >= awaited)
                });
            }
            None => world.run(100),
        }
        after.push(counts(world));
    }
    // Nothing more comes.
    world.run(100);
    after
}

#[test]
fn with_the_leader_lost_at_every_position_every_client_assembles_the_same_stream() {
    let mut undisturbed = World::new(&[]);
    let first = undisturbed.position() + 1;
    let awaited = play(&mut undisturbed, None);
    let last = undisturbed.position();
    let expected = streams(&undisturbed);
    let resent = undisturbed.clients.iter().map(|client| client.session.duplicates()).sum::<u64>();
    assert!(resent > 5, "the script has something sent again");
    assert!(last > first + 15, "the script fills the journal from {first} to {last}");
    assert!(expected.iter().all(|stream| stream.len() > 8));
    let executed = undisturbed.uplink.waiting();
    assert_eq!(executed, 0, "the gateway has heard of all that it sent");

    let mut tried = 0;
    let mut lose = |losses: &[(u64, Moment)]| {
        let mut world = World::new(losses);
        play(&mut world, Some(&awaited));
        assert_eq!(world.losses, [], "{losses:?}: the leader was lost");
        assert_eq!(streams(&world), expected, "{losses:?}");
        let again = world.clients.iter().map(|client| client.session.duplicates()).sum::<u64>();
        assert_eq!(again, resent, "{losses:?}: nothing comes twice that was not asked for");
        assert_eq!(world.uplink.waiting(), 0, "{losses:?}");
        tried += 1;
    };
    for moment in MOMENTS {
        for position in first..=last {
            lose(&[(position, moment)]);
            // And the next leader too, soon after.
            for (later, then) in (1..).zip(MOMENTS) {
                if position + later <= last {
                    lose(&[(position, moment), (position + later, then)]);
                }
            }
        }
    }
    println!("tried={tried} positions={}", last + 1 - first);
}

#[test]
fn a_gateway_that_is_not_heard_for_its_lease_loses_its_sessions_and_one_that_is_keeps_them() {
    let mut world = World::new(&[]);
    SCRIPT[0](&mut world);
    let connected = |world: &World| {
        let leader = world.leader().unwrap();
        let engine = world.processes[leader].as_ref().unwrap().replica.engine();
        engine.held_by_gateways().count()
    };
    world.until("session", |world| connected(world) == 1);
    let lease_ms = LEASE_NANOS / MILLI;
    world.run(2 * lease_ms);
    assert_eq!(connected(&world), 1, "signs of life are enough");
    // It is cut off: nothing of it arrives any more.
    (0..NODES).for_each(|place| world.hang_up(place));
    let until = world.millis + lease_ms;
    let leader = world.leader().unwrap();
    world.replicas_until(until - 500);
    assert_eq!((connected(&world), world.leader()), (1, Some(leader)));
    world.replicas_until(until + 500);
    assert_eq!(connected(&world), 0, "its lease has ended");
    // It comes back, and hears what became of its client.
    world.clients.clear();
    world.until("a welcome", |world| world.uplink.is_open());
    world.run(10);
    let id = ConnectionId(GATEWAY.connections_from() + 1);
    assert!(world.acceptor.should_close(id), "the client finds the line down, and logs on again");
}
