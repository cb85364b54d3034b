//! A gateway process in front of three nodes: leaders are killed under load, and its clients notice nothing but a delay.

use std::path::PathBuf;

use gateways::fix::initiator::{Initiator, LogonStyle, Message, Settings, State};
use protocol::Side;

use crate::cluster::Cluster;
use crate::process::{Node, run, sicil};
use crate::trading::Client;

/// Makes the files of gateway 1, and starts it.
fn start_gateway(cluster: &Cluster) -> Node {
    let config = write_config(cluster, &cluster.peers);
    Node::of(sicil(["gateway", "--json", "--cluster"]).arg(config))
}

/// With the nodes in `peers`.
fn write_config(cluster: &Cluster, peers: &str) -> PathBuf {
    let pki = cluster.pki();
    if !pki.join("gateway1.pem").exists() {
        let issued = run(sicil(["pki", "issue", "--gateway", "1", "--dir"]).arg(&pki));
        assert_eq!(issued.0, 0, "{}", issued.2);
    }
    let id = std::fs::read_to_string(pki.join("cluster.id")).unwrap();
    let text = format!(
        "[gateway]\nid = 1\n[cluster]\nid = \"{}\"\n[listen]\nfix = \"127.0.0.1:0\"\n\
         http = \"127.0.0.1:0\"\n[tls]\nca = \"pki/ca.pem\"\ncertificate = \"pki/gateway1.pem\"\nkey = \"pki/gateway1.key\"\n{}",
        id.trim(),
        peers,
    );
    cluster.folder.write("gateway.toml", &text)
}

fn founded(name: &str) -> Cluster {
    let mut cluster = Cluster::new(name, "");
    cluster.begin();
    cluster
}

/// What a client is owed of a message whenever it is sent: all but the times of sending, and what follows from them.
fn lasting(message: &Message) -> Vec<(u32, Vec<u8>)> {
    let fields = message.fields().filter(|(tag, _)| ![9, 10, 43, 52, 122].contains(tag));
    fields.map(|(tag, value)| (tag, value.to_vec())).collect()
}

/// One sample of a page.
fn sample(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {metrics}")).parse().unwrap()
}

/// The first page that tells of so many connections: it comes a moment after them.
fn metrics_from(gateway: &Node, connections: u64) -> String {
    loop {
        let metrics = gateway.get("/metrics").1;
        if sample(&metrics, "sicil_connections_accepted_total") >= connections {
            break metrics;
        }
    }
}

#[test]
fn clients_stay_connected_while_leaders_are_killed_and_see_everything_once() {
    let mut cluster = founded("gateway-kills");
    let gateway = start_gateway(&cluster);
    let (mut seller, mut buyer) = (Client::new("CLIENT1"), Client::new("CLIENT2"));
    seller.log_on(&gateway, LogonStyle::Continue);
    buyer.log_on(&gateway, LogonStyle::Continue);
    for round in 0..8 {
        for n in 0..6 {
            let id = format!("rest-{round}-{n}");
            seller.send(&id, Side::Sell, "0.001");
            if n < 3 {
                seller.report(&id, "0");
            } else {
                // Of these nothing is known when the leader ends.
                seller.flush();
            }
        }
        buyer.send(&format!("take-{round}"), Side::Buy, "0.001");
        buyer.flush();
        let leader = cluster.leader();
        cluster.nodes[leader].take().unwrap().kill();
        // Over the connections that have been there all the time.
        buyer.report(&format!("take-{round}"), "F");
        for n in 3..6 {
            seller.report(&format!("rest-{round}-{n}"), "0");
        }
        let back = Node::launch(&cluster.data(leader), &cluster.config(leader));
        cluster.nodes[leader] = Some(Node::when_ready(back));
    }
    let fills = seller.received().iter().filter(|message| message.text(150) == "F").count();
    assert_eq!(fills, 8, "the oldest orders, once each");
    for (client, comp_id) in [(&mut seller, "CLIENT1"), (&mut buyer, "CLIENT2")] {
        assert_eq!(client.session.duplicates(), 0, "nothing came twice, and nothing was asked for");
        assert!(client.heard.iter().all(|message| !message.is_set(43)), "nothing had to be sent again");
        let numbers: Vec<u64> = client.heard.iter().map(Message::msg_seq_num).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "no gap");
        // Asked for again, everything is as it was, whichever leader said it first.
        let state = State { next_in: 1, ..client.session.state() };
        client.session.logout(client.now());
        client.hang_up();
        let mut forgetful = Client::new(comp_id);
        let state = State { next_out: state.next_out + 1, ..state };
        forgetful.session = Initiator::with_state(Settings::new(comp_id, "SICIL"), state);
        forgetful.log_on(&gateway, LogonStyle::Continue);
        let reports = |heard: &[Message]| -> Vec<_> {
            heard.iter().filter(|message| message.kind() == b"8").map(lasting).collect()
        };
        assert_eq!(reports(&forgetful.heard), reports(&client.heard));
    }
    // What an operator sees of it, once the last leader has welcomed it.
    let ready = loop {
        let (code, ready) = gateway.get("/ready");
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        assert_eq!(code == 200, ready["ready"] == true, "{ready}");
        if code == 200 {
            break ready;
        }
    };
    assert!(ready["leader"].is_u64() && ready["nodes_connected"] != 0, "{ready}");
    assert_eq!(gateway.get("/live"), (200, "live\n".to_owned()));
    // Each client was there twice.
    let metrics = metrics_from(&gateway, 4);
    let value = |name: &str| sample(&metrics, name);
    assert!(value("sicil_gateway_welcomes_total") >= 8, "a leader each round");
    assert_eq!((value("sicil_gateway_restarts_total"), value("sicil_gateway_ready")), (0, 1));
    assert!(value("sicil_connections_accepted_total") >= 4 && value("sicil_received_bytes_total") > 0);
    assert_eq!(gateway.stop().code(), Some(0));
    cluster.agree();
}

#[test]
fn a_second_process_of_the_same_id_takes_over_and_the_first_one_says_so() {
    let cluster = founded("gateway-twice");
    let first = start_gateway(&cluster);
    let mut client = Client::new("CLIENT1");
    client.log_on(&first, LogonStyle::Continue);
    client.send("before", Side::Sell, "0.001");
    client.report("before", "0");
    let second = start_gateway(&cluster);
    assert_eq!(first.wait().code(), Some(3));
    client.hang_up();
    client.log_on(&second, LogonStyle::Continue);
    client.send("after", Side::Sell, "0.001");
    client.report("after", "0");
    assert_eq!(client.session.duplicates(), 0);
    assert_eq!(second.stop().code(), Some(0));
}

#[test]
fn nodes_that_are_written_into_the_file_are_dialled_at_a_hangup() {
    let mut cluster = founded("gateway-reload");
    let leader = cluster.leader();
    let peers: Vec<&str> = cluster.peers.split_inclusive("[[peer]]\n").collect();
    let one = format!("[[peer]]\n{}", peers[leader + 1].trim_end_matches("[[peer]]\n"));
    let config = write_config(&cluster, &one);
    let gateway = Node::of(sicil(["gateway", "--json", "--cluster"]).arg(&config));
    let mut client = Client::new("CLIENT1");
    client.log_on(&gateway, LogonStyle::Continue);
    cluster.nodes[leader].take().unwrap().kill();
    client.send("whoever-leads", Side::Sell, "0.001");
    client.flush();
    // A file that cannot be read changes nothing.
    std::fs::write(&config, "[gateway]").unwrap();
    gateway.signal("-HUP");
    write_config(&cluster, &cluster.peers);
    gateway.signal("-HUP");
    client.report("whoever-leads", "0");
    assert_eq!(gateway.stop().code(), Some(0));
}

#[test]
fn what_a_gateway_cannot_start_with_is_said() {
    let cluster = Cluster::new("gateway-wrong", "");
    let gateway = |text: &str| {
        let config = cluster.folder.write("wrong.toml", text);
        let (code, _, err) = run(sicil(["gateway", "--cluster"]).arg(config));
        (code, err)
    };
    let (code, err) = gateway("[gateway]\nid = 0\n");
    assert_eq!(code, 2);
    assert!(err.contains("wrong.toml:"), "{err}");
    let id = std::fs::read_to_string(cluster.folder.join("pki/cluster.id")).unwrap();
    let text = format!(
        "[gateway]\nid = 1\n[cluster]\nid = \"{}\"\n[listen]\nfix = \"127.0.0.1:0\"\n[tls]\nca = \"pki/ca.pem\"\n\
         certificate = \"pki/node1.pem\"\nkey = \"pki/node1.key\"\n{}",
        id.trim(),
        cluster.peers,
    );
    let (code, err) = gateway(&text);
    assert_eq!(code, 2);
    assert!(err.contains("/gateway/1 is needed, found") && err.contains("/node/1"), "{err}");
}
