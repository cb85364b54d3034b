//! Three initiators that share no code with the acceptor, on lines that break, with a queue that fills, a quorum that
//! goes, and readers that stop: in the end every order was executed once, and every report was received once.

use std::collections::{BTreeMap, BTreeSet};

use gateways::fix::Options;
use gateways::fix::initiator::{Clocks, Initiator, LogonStyle, NewOrder, OrderRef, Phase, Settings};
use protocol::{EventBody, ExecType, OrderType, SessionId, Side, TimeInForce};

use crate::noise::Random;
use crate::world::{SECOND, World};

struct Client {
    initiator: Initiator,
    connection: Option<u64>,
    /// On its way to the acceptor, and to the client.
    there: Vec<u8>,
    back: Vec<u8>,
    orders: u64,
    /// Kind of each message received, by number.
    received: BTreeMap<u64, String>,
}

struct Storm {
    world: World,
    clients: Vec<Client>,
    random: Random,
    connections: u64,
    seed: u64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let options = Options { output_bytes_max: 500 + random.below(4_000), ..Options::default() };
        // Every third storm blows against the shipped engine.
        let mut world = if seed.is_multiple_of(3) { World::shipped(options) } else { World::new(options) };
        world.outbox_batch = 1 + random.below(9);
        let client = |number| Client {
            initiator: Initiator::new(Settings::new(format!("CLIENT{number}"), "SICIL")),
            connection: None,
            there: Vec::new(),
            back: Vec::new(),
            orders: 0,
            received: BTreeMap::new(),
        };
        Self { world, clients: (1..=3).map(client).collect(), random, connections: 0, seed }
    }

    fn now(&self) -> Clocks {
        Clocks { mono: self.world.now(), wall: self.world.wall() }
    }

    fn connect(&mut self, at: usize) {
        self.connections += 1;
        self.world.connect(self.connections);
        let styles = [LogonStyle::Continue, LogonStyle::ContinueNextExpected];
        let style = styles[self.random.below(2)];
        let now = self.now();
        let client = &mut self.clients[at];
        client.connection = Some(self.connections);
        (client.there, client.back) = (Vec::new(), Vec::new());
        client.initiator.connect(style, now);
    }

    fn drop_line(&mut self, at: usize) {
        if let Some(connection) = self.clients[at].connection.take() {
            self.world.drop_connection(connection);
            self.world.slow.remove(&connection);
            self.clients[at].initiator.disconnected();
        }
    }

    fn trade(&mut self, at: usize) {
        let (now, pick) = (self.now(), self.random.below(6));
        let client = &mut self.clients[at];
        let (this, last) = (format!("o{}", client.orders + 1), format!("o{}", client.orders));
        match pick {
            0..=3 => {
                client.orders += 1;
                let order = NewOrder {
                    cl_ord_id: &this,
                    symbol: "BTC-TRY",
                    side: Side::Buy,
                    order_type: OrderType::Limit,
                    time_in_force: [TimeInForce::GoodTillCancel, TimeInForce::ImmediateOrCancel][pick % 2],
                    price: "100.5",
                    qty: "0.25",
                };
                let more: [&[(u32, &str)]; 4] =
                    [&[], &[(18, "9")], &[(110, "0.25"), (2964, "101")], &[(2964, "2")]];
                // What must not take has to rest.
                let more = more[self.random.below(4)];
                let more = if pick % 2 == 1 && more.contains(&(18, "9")) { &[] } else { more };
                client.initiator.new_order_with(&order, more, now);
            }
            4 => {
                let order = OrderRef {
                    cl_ord_id: &format!("c{this}"),
                    orig_cl_ord_id: &last,
                    symbol: "BTC-TRY",
                    side: Side::Buy,
                    qty: "0.25",
                };
                client.initiator.cancel(&order, now);
            }
            _ => {
                client.initiator.status(&last, "BTC-TRY", Side::Buy, now);
            }
        };
    }

    /// Carries some bytes both ways.
    fn carry(&mut self, at: usize, most: usize) {
        let now = self.now();
        let client = &mut self.clients[at];
        let Some(connection) = client.connection else { return };
        client.initiator.take_output(&mut client.there);
        let piece = client.there.len().min(1 + self.random.below(most));
        if piece > 0 && self.world.receive(connection, &client.there[..piece]).is_empty() {
            client.there.drain(..piece);
        }
        client.back.extend(self.world.take_received(connection));
        let piece = client.back.len().min(1 + self.random.below(most));
        let bytes: Vec<u8> = client.back.drain(..piece).collect();
        if let Err(fault) = client.initiator.receive(&bytes, now) {
            panic!("seed {}, client {}: {fault}", self.seed, at + 1);
        }
        for message in client.initiator.take_received() {
            let kind = String::from_utf8(message.kind().to_vec()).unwrap();
            for number in message.msg_seq_num()..message.next_seq_num() {
                let before = client.received.insert(number, kind.clone());
                assert!(before.is_none(), "seed {}: {number} twice, {before:?} and {kind}", self.seed);
            }
        }
        let ended = client.initiator.phase() == Phase::Ended || !self.world.open.contains(&connection);
        if ended && client.back.is_empty() {
            self.drop_line(at);
        }
    }

    fn step(&mut self) {
        let at = self.random.below(3);
        match self.random.below(40) {
            0 => self.drop_line(at),
            1 => self.world.queue.room = self.random.below(4),
            2..=4 => self.world.queue.room = usize::MAX,
            5 => self.world.quorum = !self.world.quorum,
            6..=7 => self.world.quorum = true,
            8 => {
                let slow = self.clients[at].connection.filter(|_| self.random.below(2) == 0);
                self.world.slow = slow.into_iter().collect();
            }
            9..=10 => self.world.wait(self.random.next() % (SECOND / 5)),
            11..=20 => self.trade(at),
            21..=24 if self.clients[at].connection.is_none() => self.connect(at),
            _ => self.carry(at, 700),
        }
        self.world.settle();
    }

    /// Fair weather until everybody has everything.
    fn calm(&mut self) {
        self.world.queue.room = usize::MAX;
        (self.world.quorum, self.world.slow) = (true, BTreeSet::new());
        self.world.settle();
        for round in 0..4_000 {
            for at in 0..3 {
                if self.clients[at].connection.is_none() {
                    self.connect(at);
                }
                self.carry(at, 5_000);
            }
            if round % 50 == 49 {
                // A number that was lost is missed when the next one comes.
                let now = self.now();
                self.clients.iter_mut().for_each(|client| client.initiator.test_request("calm", now));
            }
        }
    }

    fn check(&self) {
        for (at, client) in self.clients.iter().enumerate() {
            let (seed, session) =
                (self.seed, SessionId(SessionId::CLIENTS_FROM.0 + 1 + u32::try_from(at).unwrap()));
            let outputs = self.world.engine.outputs.iter().filter(|e| e.output.unwrap().session == session);
            let mut executed = BTreeMap::new();
            let mut last = 0;
            for event in outputs {
                last = event.output.unwrap().out_seq.0;
                let kind = client.received.get(&last).map_or("nothing", String::as_str);
                match &event.body {
                    EventBody::ExecutionReport(report) => {
                        assert_eq!(kind, "8", "seed {seed}, client {}, output {last}", at + 1);
                        if report.exec_type == ExecType::New {
                            *executed.entry(report.cl_ord_id.to_string()).or_insert(0) += 1;
                        }
                    }
                    EventBody::CancelRejected(_) => assert_eq!(kind, "9", "seed {seed}, output {last}"),
                    EventBody::BusinessRejected(_) | EventBody::RejectSent(_) => {
                        panic!("seed {seed}: {event:?}")
                    }
                    _ => assert_ne!(kind, "nothing", "seed {seed}, client {}, output {last}", at + 1),
                }
            }
            let expected = (1..=client.orders).map(|number| (format!("o{number}"), 1)).collect();
            assert!(executed == expected, "seed {seed}, client {}: {executed:?}", at + 1);
            assert_eq!(client.initiator.state().next_in, last + 1, "seed {seed}");
            assert!(client.orders > 5, "seed {seed}: nothing happened");
        }
    }
}

#[test]
fn every_order_is_executed_once_and_every_report_received_once() {
    for seed in 1..=60 {
        let mut storm = Storm::new(seed);
        for _ in 0..1_500 {
            storm.step();
        }
        storm.calm();
        storm.check();
    }
}
