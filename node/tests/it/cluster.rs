//! Three node processes on loopback: the leader is killed again and again under load.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::PathBuf;

use gateways::fix::initiator::LogonStyle;
use protocol::Side;

use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};
use crate::trading::Client;

/// Only the leader lets clients log on.
const NO_RELAY: &str = "[fix]\nrelay = false\n";

/// Three configured nodes; those that run are there.
pub(crate) struct Cluster {
    pub(crate) folder: Folder,
    pub(crate) nodes: Vec<Option<Node>>,
    /// As a configuration lists the nodes.
    pub(crate) peers: String,
}

impl Cluster {
    /// With `more` at the end of each configuration.
    pub(crate) fn new(name: &str, more: &str) -> Self {
        let folder = Folder::new(name);
        let pki = folder.join("pki");
        assert_eq!(run(sicil(["pki", "init", "--dir"]).arg(&pki)).0, 0);
        let cluster = std::fs::read_to_string(pki.join("cluster.id")).unwrap();
        // Free ones; nobody else on this machine asks for these.
        let sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let addresses = sockets.map(|socket| socket.local_addr().unwrap());
        let peers: String = (1..)
            .zip(&addresses)
            .map(|(node, address)| format!("[[peer]]\nid = {node}\naddress = \"{address}\"\n"))
            .collect();
        for (node, address) in (1..).zip(&addresses) {
            let issued = run(sicil(["pki", "issue", "--node", &node.to_string(), "--dir"]).arg(&pki));
            assert_eq!(issued.0, 0, "{}", issued.2);
            let text = format!(
                "demo = true\n[node]\nid = {node}\n[cluster]\nid = \"{}\"\nfounders = [1, 2, 3]\n\
                 [listen]\nfix = \"127.0.0.1:0\"\nbinary = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\npeers = \"{address}\"\n\
                 [tls]\nca = \"pki/ca.pem\"\ncertificate = \"pki/node{node}.pem\"\nkey = \"pki/node{node}.key\"\n\
                 [timing]\nprofile = \"ci\"\n[journal]\nsegment_bytes = 4194304\n{peers}{more}",
                cluster.trim(),
            );
            folder.write(&format!("node{node}.toml"), &text);
        }
        Self { folder, nodes: vec![None, None, None], peers }
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.folder.join("pki")
    }

    pub(crate) fn data(&self, place: usize) -> PathBuf {
        self.folder.join(&format!("data{}", place + 1))
    }

    pub(crate) fn config(&self, place: usize) -> PathBuf {
        self.folder.join(&format!("node{}.toml", place + 1))
    }

    pub(crate) fn init(&self, place: usize, more: &[&str]) -> (i32, String, String) {
        let mut command = sicil(["init", "--data"]);
        run(command.arg(self.data(place)).arg("--config").arg(self.config(place)).args(more))
    }

    /// Makes all folders, and starts all nodes.
    pub(crate) fn begin(&mut self) {
        for place in 0..3 {
            let (code, _, err) = self.init(place, &[]);
            assert_eq!(code, 0, "{err}");
        }
        self.start_all();
    }

    /// The place of the leader, as soon as a node says that it leads.
    pub(crate) fn leader(&self) -> usize {
        loop {
            for (place, _) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_some()) {
                if status(&self.data(place), &[])["serving"] == true {
                    return place;
                }
            }
        }
    }

    fn start_all(&mut self) {
        let launched = [0, 1, 2].map(|place| Node::launch(&self.data(place), &self.config(place)));
        self.nodes = launched.map(|child| Some(Node::when_ready(child))).into();
    }

    /// Waits until all have come to the same seq, and compares what they have there.
    pub(crate) fn agree(&self) {
        loop {
            let reports: Vec<_> = (0..3).map(|place| status(&self.data(place), &["--hash"])).collect();
            let [first, others @ ..] = &reports[..] else { unreachable!() };
            if others.iter().all(|other| other["seq_applied"] == first["seq_applied"]) {
                assert!(
                    others.iter().all(|other| other["state_hash"] == first["state_hash"]),
                    "{reports:#?}"
                );
                assert!(others.iter().all(|other| other["effect_hash"] == first["effect_hash"]));
                return;
            }
        }
    }

    /// Logs on wherever the leader is.
    pub(crate) fn log_on(&self, client: &mut Client) -> usize {
        loop {
            for (place, node) in self.nodes.iter().enumerate() {
                if node.as_ref().is_some_and(|node| client.try_log_on(node, LogonStyle::Continue)) {
                    return place;
                }
            }
        }
    }
}

#[test]
fn twenty_kills_of_the_leader_lose_nothing_and_double_nothing() {
    let mut cluster = Cluster::new("kills", NO_RELAY);
    let (code, _, err) =
        run(sicil(["start", "--data"]).arg(cluster.data(0)).arg("--config").arg(cluster.config(0)));
    assert_eq!(code, 2);
    assert!(err.contains("sicil init"), "a blank member does not begin by itself: {err}");
    for place in 0..3 {
        let (code, _, err) = cluster.init(place, &[]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(cluster.init(place, &[]).0, 2, "once");
    }
    cluster.start_all();
    let mut client = Client::new("CLIENT1");
    let mut sent = Vec::new();
    for round in 0..20 {
        let leader = cluster.log_on(&mut client);
        for n in 0..6 {
            let id = format!("order-{round}-{n}");
            client.send(&id, Side::Sell, "0.001");
            if n < 4 {
                client.report(&id, "0");
            } else {
                // Of these nothing is known when the leader ends.
                client.flush();
            }
            sent.push(id);
        }
        cluster.nodes[leader].take().unwrap().kill();
        client.hang_up();
        let back = Node::launch(&cluster.data(leader), &cluster.config(leader));
        cluster.nodes[leader] = Some(Node::when_ready(back));
    }
    cluster.log_on(&mut client);
    // Those that nobody answered are sent again by the session itself, and answered once.
    for id in sent.iter().filter(|id| id.ends_with("-4") || id.ends_with("-5")) {
        client.report(id, "0");
    }
    let mut again = BTreeMap::new();
    for report in client.received().iter().filter(|message| message.kind() == b"8") {
        *again.entry(report.text(11)).or_insert(0) += 1;
    }
    assert_eq!(again, BTreeMap::new(), "no order was taken twice");

    // What clients were told of is seen on every node, by whoever asks so.
    let seq =
        |place: usize, more: &[&str]| status(&cluster.data(place), more)["seq_applied"].as_u64().unwrap();
    let applied = (0..3).map(|place| seq(place, &[])).max().unwrap();
    for place in 0..3 {
        assert!(seq(place, &["--linearizable"]) >= applied);
        assert!(seq(place, &["--min-seq", &applied.to_string()]) >= applied);
    }

    cluster.agree();
    assert_eq!(sent.len(), 120);
    for node in cluster.nodes.iter_mut().filter_map(Option::take) {
        assert!(node.stop().success());
    }
    for place in 0..3 {
        let (code, out, err) = run(sicil(["replay", "verify"]).arg(cluster.data(place)));
        assert_eq!(code, 0, "{out} {err}");
    }
}

#[test]
fn an_operator_sees_the_members_and_moves_the_lead() {
    let mut cluster = Cluster::new("members", NO_RELAY);
    for place in 0..3 {
        assert_eq!(cluster.init(place, &[]).0, 0);
    }
    let (code, _, err) = cluster.init(0, &["--join"]);
    assert_eq!(code, 2, "{err}");
    cluster.start_all();
    let mut client = Client::new("CLIENT1");
    let leader = cluster.log_on(&mut client);
    let (old, new) = (leader as u64 + 1, (leader as u64 + 1) % 3 + 1);
    let order = |name: &str, data: PathBuf, flag: &str, node: u64| {
        run(sicil([name, flag, &node.to_string(), "--json", "--data"]).arg(data))
    };
    for (node, reason) in [(old, "not a voter beside the leader"), (9, "node 9 is not a member")] {
        let (code, _, err) = order("transfer-leader", cluster.data(leader), "--to", node);
        assert_eq!(code, 8, "{err}");
        assert!(err.contains(reason), "{err}");
    }
    let follower = cluster.data(usize::try_from(new - 1).unwrap());
    let (code, _, err) = order("transfer-leader", follower.clone(), "--to", new);
    assert_eq!(code, 8);
    assert!(err.contains(&format!("does not lead; the leader is node {old}")), "{err}");

    // What it has not is new to the cluster, so that there is something to execute.
    let file = cluster.folder.write("one.toml", "[[actor]]\nid = 77\nroles = [\"admin\"]\n");
    let (code, _, err) = run(sicil(["apply", "--data"]).arg(&follower).arg(file));
    assert_eq!(code, 8, "{err}");
    let address =
        cluster.peers.lines().filter_map(|line| line.strip_prefix("address = ")).nth(leader).unwrap();
    let who = format!("node {old} at {} leads", address.trim_matches('"'));
    assert!(err.contains("does not take commands now") && err.contains(&who), "{err}");

    let (code, out, err) = order("transfer-leader", cluster.data(leader), "--to", new);
    assert_eq!(code, 0, "{err}");
    let members: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(members["leader"], new, "{members:#}");
    let seen = &members["elections"];
    assert!(seen["leader_changes"] == 1 && seen["terms"].as_u64() >= Some(1), "{members:#}");
    assert_eq!((&seen["last_end"]["reason"], &seen["ends"]["ordered"]), (&"ordered".into(), &1.into()));
    // The page is a copy, which is made anew for whoever asks for the status.
    status(&cluster.data(leader), &[]);
    let metrics = cluster.nodes[leader].as_ref().unwrap().get("/metrics").1;
    assert!(metrics.contains("sicil_lead_ends_total{reason=\"ordered\"} 1\n"), "{metrics}");
    let next = usize::try_from(new - 1).unwrap();
    let elections = &status(&cluster.data(next), &[])["elections"];
    assert!(elections["stood"] == 1 && elections["won"] == 1, "{elections:#}");
    let clock = &status(&cluster.data(next), &[])["clock"];
    assert!(clock["synchronized"] == true && clock["alarm"].is_null(), "one host has one clock: {clock:#}");
    assert!(clock["offset_ms"].as_i64().unwrap().abs() < 250, "{clock:#}");
    let metrics = cluster.nodes[next].as_ref().unwrap().get("/metrics").1;
    for line in [
        "sicil_elections_won_total 1".to_owned(),
        "sicil_clock_synchronized 1".to_owned(),
        format!("sicil_member_lag_entries{{node=\"{old}\"}} "),
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(&line)), "{line} is not in {metrics}");
    }
    client.hang_up();
    assert_eq!(cluster.log_on(&mut client) as u64 + 1, new);
    client.send("after", Side::Sell, "0.001");
    client.report("after", "0");
    let (code, out, err) = run(sicil(["members", "--json", "--data"]).arg(&follower));
    assert_eq!(code, 0, "{err}");
    let members: serde_json::Value = serde_json::from_str(&out).unwrap();
    let list = members["members"].as_array().unwrap();
    assert_eq!((&members["role"], &members["term"]), (&"leader".into(), &status(&follower, &[])["term"]));
    assert_eq!(list.iter().map(|member| member["node"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(list.iter().all(|member| member["role"] == "voter" && member["active"] == true), "{members:#}");
}
