//! FIX clients over TCP against the process: an order's way, SIGTERM, SIGKILL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateways::fix::initiator::{Clocks, Initiator, LogonStyle, Message, NewOrder, Phase, Settings, State};
use protocol::{MonoNanos, OrderType, Side, TimeInForce, UnixNanos};

use crate::folder::Folder;
use crate::process::{Node, status};

/// A test that waits longer than this for a byte has failed.
const HANGS: Duration = Duration::from_secs(60);

/// One FIX client: the session outlives its connections.
pub(crate) struct Client {
    pub(crate) session: Initiator,
    stream: Option<TcpStream>,
    started: Instant,
    received: Vec<Message>,
    /// Everything that came, in the order of the numbers.
    pub(crate) heard: Vec<Message>,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "a client has clocks of its own")]
    pub(crate) fn new(comp_id: &str) -> Self {
        let session = Initiator::new(Settings::new(comp_id, "SICIL"));
        Self { session, stream: None, started: Instant::now(), received: Vec::new(), heard: Vec::new() }
    }

    #[expect(clippy::disallowed_methods, reason = "a client has clocks of its own")]
    pub(crate) fn now(&self) -> Clocks {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let mono = self.started.elapsed().as_nanos();
        Clocks { mono: MonoNanos(mono.try_into().unwrap()), wall: UnixNanos(wall.try_into().unwrap()) }
    }

    pub(crate) fn log_on(&mut self, node: &Node, style: LogonStyle) {
        assert!(self.try_log_on(node, style), "the node closed the connection: {:?}", self.kinds());
    }

    /// As [`Self::log_on`]; false if the node does not lead, or ends.
    pub(crate) fn try_log_on(&mut self, node: &Node, style: LogonStyle) -> bool {
        let Ok(stream) = TcpStream::connect(node.ready["fix"].as_str().unwrap()) else { return false };
        stream.set_read_timeout(Some(HANGS)).unwrap();
        self.stream = Some(stream);
        self.session.connect(style, self.now());
        self.exchange(|client| client.session.phase() == Phase::Active && client.session.caught_up())
    }

    /// Sends what waits, and does not wait for answers.
    pub(crate) fn flush(&mut self) {
        let mut output = Vec::new();
        self.session.take_output(&mut output);
        self.stream.as_mut().unwrap().write_all(&output).unwrap_or_default();
    }

    /// Reads until the node ends the connection.
    pub(crate) fn hang_up(&mut self) {
        assert!(!self.exchange(|_| false));
    }

    /// Says good-bye, and reads until the node has closed.
    pub(crate) fn log_out(&mut self) {
        self.session.logout(self.now());
        self.hang_up();
    }

    /// Everything received and not taken by [`Self::report`].
    pub(crate) fn received(&self) -> &[Message] {
        &self.received
    }

    /// Exchanges bytes until `done`; false if the node closed the connection before.
    fn exchange(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let mut bytes = [0; 4096];
        loop {
            let mut output = Vec::new();
            self.session.take_output(&mut output);
            let stream = self.stream.as_mut().unwrap();
            // A peer that has closed already is met by the read below.
            stream.write_all(&output).unwrap_or_default();
            let came = self.session.take_received();
            self.heard.extend(came.iter().cloned());
            self.received.extend(came);
            if done(self) {
                return true;
            }
            match self.stream.as_mut().unwrap().read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.session.receive(&bytes[..count], self.now()).unwrap(),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn until(&mut self, done: impl Fn(&Self) -> bool) {
        assert!(self.exchange(done), "the node closed the connection: {:?}", self.kinds());
    }

    fn kinds(&self) -> Vec<String> {
        self.received.iter().map(|m| String::from_utf8_lossy(m.kind()).into_owned()).collect()
    }

    pub(crate) fn send(&mut self, cl_ord_id: &str, side: Side, qty: &str) {
        let order = NewOrder {
            cl_ord_id,
            symbol: "BTC-TRY",
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::GoodTillCancel,
            price: "4200000",
            qty,
        };
        self.session.new_order(&order, self.now());
    }

    /// Waits for a report on this ClOrdID with this ExecType.
    pub(crate) fn report(&mut self, cl_ord_id: &str, exec_type: &str) -> Message {
        let is_it = |m: &Message| m.kind() == b"8" && m.text(11) == cl_ord_id && m.text(150) == exec_type;
        self.until(|client| client.received.iter().any(is_it));
        let at = self.received.iter().position(is_it).unwrap();
        self.received.remove(at)
    }
}

#[test]
fn acknowledged_orders_and_numbers_survive_sigkill() {
    let folder = Folder::new("sigkill");
    let (data, config) = (folder.data(), folder.config("demo = true"));
    let (mut seller, mut buyer) = (Client::new("CLIENT1"), Client::new("CLIENT2"));
    for round in 1..=3 {
        let node = Node::start(&data, &config);
        for client in [&mut seller, &mut buyer] {
            client.log_on(&node, LogonStyle::Continue);
        }
        seller.send(&format!("rest-{round}"), Side::Sell, "0.3");
        seller.report(&format!("rest-{round}"), "0");
        buyer.send(&format!("take-{round}"), Side::Buy, "0.1");
        let fill = buyer.report(&format!("take-{round}"), "F");
        assert_eq!((fill.text(31), fill.text(32)), ("4200000".to_owned(), "0.1".to_owned()));
        seller.report("rest-1", "F");
        // The first order has the best place in every round, so it is known to be the same one after each kill.
        seller.session.status("rest-1", "BTC-TRY", Side::Sell, seller.now());
        let stands = seller.report("rest-1", "I");
        let leaves = ["0.2", "0.1", "0"][round - 1];
        assert_eq!(stands.text(151), leaves);
        let sessions = status(&data, &[])["sessions"].clone();
        assert_eq!(sessions[0]["next_in"], seller.session.state().next_out);
        assert_eq!(sessions[0]["next_out"], seller.session.state().next_in);
        node.kill();
        assert!(!seller.exchange(|_| false) && !buyer.exchange(|_| false));
    }
    let duplicates = seller.session.duplicates() + buyer.session.duplicates();
    assert_eq!(duplicates, 0, "nothing was sent twice");
}

#[test]
fn a_start_from_a_snapshot_replays_what_came_after_it_and_resends_what_came_before() {
    let folder = Folder::new("snapshot");
    let data = folder.data();
    let config = folder.config("demo = true\n[snapshots]\njournal_bytes = 1048576\ninterval_ms = 100");
    let mut seller = Client::new("CLIENT1");
    let node = Node::start(&data, &config);
    seller.log_on(&node, LogonStyle::Continue);
    let mut orders = 0;
    // Each order waits for its own durable block of 4 KiB, so that some hundreds of them make a snapshot due.
    while status(&data, &[])["disk"]["snapshot_index"].is_null() {
        for _ in 0..50 {
            orders += 1;
            seller.send(&format!("rest-{orders}"), Side::Sell, "0.001");
            seller.report(&format!("rest-{orders}"), "0");
        }
    }
    let before = status(&data, &["--hash"]);
    node.kill();

    let node = Node::start(&data, &config);
    let replayed = node.ready["recovered_commands"].as_u64().unwrap();
    assert!(replayed < orders, "{replayed} of {orders} orders were replayed");
    assert_eq!(node.ready["seq"].as_u64(), before["seq_applied"].as_u64().map(|seq| seq + 1));
    let mut returned = Client::new("CLIENT1");
    returned.session = Initiator::with_state(Settings::new("CLIENT1", "SICIL"), seller.session.state());
    returned.log_on(&node, LogonStyle::Continue);
    returned.session.status("rest-1", "BTC-TRY", Side::Sell, returned.now());
    assert_eq!(returned.report("rest-1", "I").text(151), "0.001");
    node.kill();

    // Without its outbox the snapshot is of no use: what was sent is produced again from the beginning.
    std::fs::remove_dir_all(data.join("outbox")).unwrap();
    let node = Node::start(&data, &config);
    assert!(node.ready["recovered_commands"].as_u64().unwrap() > orders);
    let mut forgetful = Client::new("CLIENT1");
    let state = State { next_in: 1, ..returned.session.state() };
    forgetful.session = Initiator::with_state(Settings::new("CLIENT1", "SICIL"), state);
    forgetful.log_on(&node, LogonStyle::Continue);
    for order in 1..=orders {
        forgetful.report(&format!("rest-{order}"), "0");
    }
}

#[test]
fn sigterm_logs_every_session_out() {
    let folder = Folder::new("sigterm");
    let node = Node::start(&folder.data(), &folder.config("demo = true"));
    let mut client = Client::new("CLIENT3");
    client.log_on(&node, LogonStyle::Reset);
    assert_eq!(status(&folder.data(), &[])["sessions"][2]["connected"], true);
    client.send("last", Side::Buy, "1");
    client.report("last", "0");
    node.signal("-TERM");
    assert!(!client.exchange(|_| false), "the node ends the connection");
    assert_eq!(client.kinds().last().map(String::as_str), Some("5"), "after a Logout");
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn connections_above_the_limit_are_closed() {
    let folder = Folder::new("limit");
    let config = folder.config("demo = true\n[fix]\nconnections_max = 1");
    let node = Node::start(&folder.data(), &config);
    let mut first = Client::new("CLIENT1");
    first.log_on(&node, LogonStyle::Reset);
    let mut second = TcpStream::connect(node.ready["fix"].as_str().unwrap()).unwrap();
    second.set_read_timeout(Some(HANGS)).unwrap();
    assert_eq!(second.read(&mut [0; 16]).unwrap(), 0);
    first.session.test_request("still here", first.now());
    first.until(|client| client.kinds().iter().any(|kind| kind == "0"));
    assert_eq!(node.stop().code(), Some(0));
}
