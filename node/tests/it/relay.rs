//! FIX clients at the port of a node that does not lead.

use std::io::{Read, Write};
use std::net::TcpStream;

use gateways::fix::initiator::LogonStyle;
use protocol::Side;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::process::{Node, run, sicil, status};
use crate::trading::Client;

fn transfer(cluster: &Cluster, from: usize, to: usize) {
    let mut command = sicil(["transfer-leader", "--to", &(to + 1).to_string(), "--data"]);
    let (code, _, err) = run(command.arg(cluster.data(from)));
    assert_eq!(code, 0, "{err}");
}

/// Whoever asks during a change of the leader may find the line closed: then again.
fn log_on(client: &mut Client, node: &Node) {
    while !client.try_log_on(node, LogonStyle::Continue) {}
}

fn order(client: &mut Client, id: &str) {
    client.send(id, Side::Sell, "0.001");
    client.report(id, "0");
}

#[test]
fn a_client_at_a_followers_port_is_served_across_changes_of_the_leader() {
    let mut cluster = Cluster::new("relay", "");
    cluster.begin();
    let leader = cluster.leader();
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let fix = |place: usize| cluster.nodes[place].as_ref().unwrap().ready["fix"].clone();
    let follower = cluster.nodes[one].as_ref().unwrap();
    let mut client = Client::new("CLIENT1");
    log_on(&mut client, follower);
    order(&mut client, "through-a-follower");

    let seen = status(&cluster.data(one), &[]);
    assert_eq!((&seen["role"], &seen["connections"]), (&"follower".into(), &1.into()), "{seen:#}");
    assert_eq!((&seen["leader"], &seen["leader_fix"]), (&(leader + 1).into(), &fix(leader)), "{seen:#}");
    let (code, ready) = follower.get("/ready");
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((code, &ready["leader_fix"]), (503, &fix(leader)), "{ready:#}");
    assert!(follower.get("/metrics").1.contains("\nsicil_connections_relayed 1\n"));
    let members = run(sicil(["members", "--json", "--data"]).arg(cluster.data(one))).1;
    let members: Value = serde_json::from_str(&members).unwrap();
    assert_eq!(members["members"][other]["fix"], fix(other), "{members:#}");

    // The lead goes to the third node: the line ends, and the same port leads there.
    transfer(&cluster, leader, other);
    client.hang_up();
    log_on(&mut client, follower);
    order(&mut client, "through-it-to-the-next");

    // The node behind the port leads itself.
    transfer(&cluster, other, one);
    client.hang_up();
    log_on(&mut client, follower);
    order(&mut client, "at-the-leader");
    assert_eq!(status(&cluster.data(one), &[])["leader_fix"], fix(one));

    // And it is killed: its clients go on through one of the others.
    cluster.nodes[one].take().unwrap().kill();
    client.hang_up();
    log_on(&mut client, cluster.nodes[other].as_ref().unwrap());
    order(&mut client, "after-the-kill");
}

#[test]
fn what_was_passed_on_once_is_not_passed_on_again() {
    let mut cluster = Cluster::new("relay-once", "");
    cluster.begin();
    let leader = cluster.leader();
    let follower = cluster.nodes[(leader + 1) % 3].as_ref().unwrap();
    let accepted = || {
        // Whoever asks for the status makes the counts new.
        status(&cluster.data(leader), &[]);
        let metrics = cluster.nodes[leader].as_ref().unwrap().get("/metrics").1;
        let line = metrics.lines().find(|line| line.starts_with("sicil_connections_accepted_total"));
        line.unwrap().to_owned()
    };
    let before = accepted();
    let mut stream = TcpStream::connect(follower.ready["fix"].as_str().unwrap()).unwrap();
    stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02").unwrap();
    let mut rest = Vec::new();
    // A reset is an end as well: what was sent was not all read.
    stream.read_to_end(&mut rest).unwrap_or_default();
    assert_eq!(rest, b"");
    assert_eq!(accepted(), before, "the leader was not called");
    // At the leader it stands in front of what the client says.
    let node = cluster.nodes[leader].as_ref().unwrap();
    let mut stream = TcpStream::connect(node.ready["fix"].as_str().unwrap()).unwrap();
    stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff").unwrap();
    assert_eq!(stream.read_to_end(&mut rest).unwrap_or_default(), 0, "a header that is none ends the line");
}
