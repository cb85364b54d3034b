//! The page of OPERATIONS.md on a dead host, followed as it stands there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gateways::fix::initiator::LogonStyle;
use protocol::Side;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::process::{Node, run, sicil, status};
use crate::trading::Client;

/// The process on the old disk, which never gets ready and ends with the test.
struct Returned(Child);

impl Drop for Returned {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The commands of the section, in order.
fn commands() -> Vec<String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md");
    let text = fs::read_to_string(manual).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("A host is dead")).unwrap();
    section.lines().filter(|line| line.starts_with("sicil ")).map(ToOwned::to_owned).collect()
}

/// Where an operator sits, and what the words in capitals stand for there.
struct Host<'a> {
    data: &'a Path,
    config: &'a Path,
    pki: &'a Path,
    address: &'a str,
}

impl Host<'_> {
    fn command(&self, line: &str) -> Command {
        let words = line.split_whitespace().skip(1).map(|word| match word {
            "DIR" => self.data.display().to_string(),
            "FILE" => self.config.display().to_string(),
            "PKI" => self.pki.display().to_string(),
            "10.0.0.4:9884" => self.address.to_owned(),
            word => word.to_owned(),
        });
        sicil(words)
    }

    fn run(&self, line: &str) -> String {
        let (code, out, err) = run(&mut self.command(line));
        assert_eq!(code, 0, "{line}: {out}{err}");
        out
    }
}

fn order(client: &mut Client, cluster: &Cluster, id: &str) {
    let node = cluster.nodes[cluster.leader()].as_ref().unwrap();
    while !client.try_log_on(node, LogonStyle::Continue) {}
    client.send(id, Side::Sell, "0.001");
    client.report(id, "0");
    client.log_out();
}

fn members(data: &Path) -> Value {
    let (code, out, err) = run(sicil(["members", "--json", "--data"]).arg(data));
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// The new node's file, made from another one's as the page says.
pub(crate) fn write_config(cluster: &Cluster, address: &str) -> PathBuf {
    let other = fs::read_to_string(cluster.config(0)).unwrap();
    let listens = other.lines().find(|line| line.starts_with("peers = ")).unwrap();
    let text = other
        .replace("\nid = 1\n[cluster]", "\nid = 4\n[cluster]")
        .replace(listens, &format!("peers = \"{address}\""))
        .replace("node1.pem", "node4.pem")
        .replace("node1.key", "node4.key");
    fs::write(cluster.config(3), text).unwrap();
    cluster.config(3)
}

/// All that run have the same state, at the same seq.
fn agree(folders: &[PathBuf]) {
    loop {
        let reports: Vec<_> = folders.iter().map(|data| status(data, &["--hash"])).collect();
        if reports.iter().all(|report| report["state_seq"] == reports[0]["state_seq"]) {
            assert!(reports.iter().all(|report| report["state_hash"] == reports[0]["state_hash"]));
            assert!(reports.iter().all(|report| report["effect_hash"] == reports[0]["effect_hash"]));
            return;
        }
    }
}

#[test]
fn a_dead_node_is_replaced_by_following_the_manual() {
    let mut cluster = Cluster::new("replacement", "");
    cluster.begin();
    let mut client = Client::new("CLIENT1");
    order(&mut client, &cluster, "before");
    cluster.nodes[2].take().unwrap().kill();
    order(&mut client, &cluster, "while-it-is-dead");

    let page = commands();
    let [look, issue, init, start, replace, look_again] = &page[..] else { panic!("{page:#?}") };
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (pki, data, config) = (cluster.pki(), cluster.data(3), cluster.config(3));
    let new_host = Host { data: &data, config: &config, pki: &pki, address: &address };
    let leader = cluster.leader();
    let leaders = cluster.data(leader);
    let at_leader = Host { data: &leaders, ..new_host };
    assert!(at_leader.run(look).contains("node 3"));
    at_leader.run(issue);
    write_config(&cluster, &address);
    new_host.run(init);
    // As the page says it, but for what the test reads.
    let launched = new_host.command(&format!("{start} --json")).stdout(Stdio::piped()).spawn();
    at_leader.run(replace);
    cluster.nodes.push(Some(Node::when_ready(launched.unwrap())));
    let shown = at_leader.run(look_again);
    assert!(shown.contains("node 4    voter") && !shown.contains("node 3"), "{shown}");
    assert!(shown.contains(&address), "{shown}");
    agree(&[0, 1, 3].map(|place| cluster.data(place)));

    // Whoever is started again knows the new node, with its file as it was; the leader last.
    for place in [1 - leader, leader] {
        cluster.nodes[place].take().unwrap().kill();
        cluster.nodes[place] = Some(Node::start(&cluster.data(place), &cluster.config(place)));
        let four = loop {
            let members = members(&cluster.data(place));
            let four = members["members"].as_array().unwrap().iter().find(|member| member["node"] == 4);
            if let Some(four) = four.filter(|four| four["connected"] == true) {
                break four.clone();
            }
        };
        assert_eq!((&four["role"], &four["address"]), (&"voter".into(), &address.as_str().into()));
    }
    // The old disk turns up: nobody takes its word.
    let term = members(&cluster.data(0))["term"].clone();
    let mut returned = sicil(["start", "--data"]);
    returned.arg(cluster.data(2)).arg("--config").arg(cluster.config(2));
    let mut returned = Returned(returned.stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(returned.0.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("takes part in nothing")));
    assert_eq!(members(&cluster.data(0))["term"], term);
    let shown = members(&cluster.data(2));
    assert_eq!((&shown["role"], &shown["removed"]), (&"removed".into(), &true.into()), "{shown:#}");
    let own = shown["members"].as_array().unwrap().iter().find(|member| member["node"] == 3);
    assert!(own.is_none_or(|own| own["role"] == "removed"), "{shown:#}");
    let (code, shown, err) = run(sicil(["status", "--data"]).arg(cluster.data(2)));
    assert_eq!(code, 0, "{err}");
    assert!(shown.contains("role      removed") && shown.contains("REMOVED   this node"), "{shown}");

    // The new one counts: with it, the cluster survives the end of its leader.
    order(&mut client, &cluster, "with-the-new-node");
    let leader = cluster.leader();
    cluster.nodes[leader].take().unwrap().kill();
    order(&mut client, &cluster, "after-a-further-kill");
    let left: Vec<_> = [0, 1, 3].into_iter().filter(|place| *place != leader).collect();
    agree(&left.iter().map(|place| cluster.data(*place)).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_replaced_is_said() {
    let mut cluster = Cluster::new("replacement-refused", "");
    cluster.begin();
    // On a busy machine the lead may move between the look and the command, whose answer then says so.
    let at_leader = |arguments: &[&str]| loop {
        let leader = cluster.data(cluster.leader());
        let said = run(sicil(arguments).arg("--data").arg(leader));
        if !said.2.contains("does not lead") && !said.2.contains("another change is under way") {
            break said;
        }
    };
    let leads = cluster.leader();
    let (leader, leading) = (cluster.data(leads), (leads + 1).to_string());
    let other = ((leads + 1) % 3 + 1).to_string();
    let refused = |arguments: &[&str]| {
        let (code, _, err) = at_leader(arguments);
        assert_eq!(code, 8, "{err}");
        err
    };
    let used = refused(&["add-member", "--node", "3", "--address", "127.0.0.1:1", "--timeout-s", "0"]);
    assert!(used.contains("node 3 is a member already"), "{used}");
    let wrong = refused(&["add-member", "--node", "4", "--address", "nowhere"]);
    assert!(wrong.contains("not host:port"), "{wrong}");
    let high = refused(&["add-member", "--node", "18446744073709551615", "--address", "127.0.0.1:1"]);
    assert!(high.contains("above 3 and at most 1003"), "{high}");
    let gone = refused(&["remove-member", "--node", &leading]);
    assert!(gone.contains(&format!("node {leading} leads: transfer the lead first")), "{gone}");
    let replace = |old: &str| {
        let address = ["--address", "127.0.0.1:1", "--timeout-s", "0"];
        refused(&[&["replace-member", "--old", old, "--new", "4"][..], &address].concat())
    };
    assert!(replace("9").contains("node 9 is not a member"));
    assert!(replace(&leading).contains("leads: transfer the lead first"));
    assert_eq!(members(&leader)["members"].as_array().unwrap().len(), 3, "no learner for nothing");
    let absent = replace(&other);
    assert!(absent.contains("node 4 has not caught up yet"), "{absent}");
    // The learner that was asked for comes all the same.
    while members(&cluster.data(0))["members"].as_array().unwrap().len() < 4 {}
    let (code, out, err) = at_leader(&["remove-member", "--node", "4", "--json"]);
    assert_eq!(code, 0, "{err}");
    let members: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(members["members"].as_array().unwrap().len(), 3, "{members:#}");
    let again = refused(&["add-member", "--node", "4", "--address", "127.0.0.1:1"]);
    assert!(again.contains("a new node gets an id above 4"), "{again}");
}
