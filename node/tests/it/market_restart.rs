//! Market data of a node that ends in the middle, and of one whose leader does: what was traded is known again, and a book goes on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command};
use std::thread::JoinHandle;

use client::{MarketBook, MarketFault, MarketReader};
use protocol::binary::market::MarketMessage;
use protocol::binary::{MarketChannel, MarketRejectReason};
use protocol::{Seq, Side};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::folder::Folder;
use crate::market_data::{Flow, HANGS, LAST, audited, door, metric, rest_last, start, subscription};
use crate::process::{Node, run, sicil, status};
use crate::trading::Client;

const INTERVALS: [&str; 16] =
    ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"];

/// Until everything that was executed is in market data, with what happened before they began.
pub(crate) fn await_past(node: &Node, folder: &Folder) {
    let applied = status(&folder.data(), &[])["seq_applied"].as_u64().unwrap();
    while metric(node, "sicil_market_data_has_past") == 0 || metric(node, "sicil_market_data_seq") < applied {
    }
}

/// All trades, candles with trades and tickers, as everybody is told of them.
fn told(node: &Node) -> Vec<Value> {
    let address = door(node, "market");
    let ask = |arguments: &[&str]| -> Vec<Value> {
        let all = [&["market"], arguments, &["--json", "--addr", &address]].concat();
        let (code, out, err) = run(&mut sicil(all));
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut told = ask(&["trades", "BTC-TRY", "--limit", "4000"]);
    for interval in INTERVALS {
        let candles = ask(&["candles", "BTC-TRY", "--interval", interval]);
        told.extend(candles.into_iter().filter(|candle| candle["trades"] != "0"));
    }
    for mut ticker in ask(&["ticker"]) {
        // Windows end with the last record.
        ticker["open_time"].take();
        told.push(ticker);
    }
    told.extend(ask(&["status"]));
    told
}

/// Starts the node again, and waits until the past is there. Returns the seq from behind which it was run again; and the log, which nobody
/// has to read, but a node that cannot write it does not go on.
fn start_again(folder: &Folder) -> (Node, u64, BufReader<ChildStderr>) {
    let mut command: Command = sicil(["start", "--json"]);
    command
        .env("RUST_LOG", "info")
        .arg("--data")
        .arg(folder.data())
        .arg("--config")
        .arg(folder.join("node.toml"));
    let (node, mut log) = Node::with_log(&mut command);
    await_past(&node, folder);
    let mut line = String::new();
    while !line.contains("the past of market data is run again") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the log ended");
    }
    let from = line.split_once("from_seq").unwrap().1;
    let digits: String =
        from.chars().skip_while(|char| !char.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    (node, digits.parse().unwrap(), log)
}

#[test]
fn what_was_traded_is_known_again_after_any_end() {
    let folder = Folder::new("market-restart");
    let tapes = folder.data().join("views/market.tapes");
    let node = start(&folder);
    let mut flow = Flow::log_on(&node);
    (0..300).for_each(|_| flow.step());
    flow.settle();
    await_past(&node, &folder);
    let before = told(&node);
    assert!(before.len() > 40, "{} rows", before.len());
    node.kill();
    assert!(!tapes.exists(), "it is written now and then, and at the end");
    let (node, from, _log) = start_again(&folder);
    assert_eq!(from, 0, "from the beginning of the journal");
    assert_eq!(told(&node), before);
    assert_eq!(node.stop().code(), Some(0));
    assert!(tapes.exists());

    let (node, from_file, _log) = start_again(&folder);
    assert!(from_file > 0, "from where the file ends");
    assert_eq!(told(&node), before);
    let mut flow = Flow::log_on(&node);
    // Under names that were not used before.
    flow.sent = 10_000;
    (0..300).for_each(|_| flow.step());
    flow.settle();
    await_past(&node, &folder);
    let more = told(&node);
    assert_ne!(more, before);
    node.kill();
    let (node, from, _log) = start_again(&folder);
    assert_eq!(from, from_file, "the rest comes out of the journal");
    assert_eq!(told(&node), more);
    assert_eq!(node.stop().code(), Some(0));

    let mut bytes = std::fs::read(&tapes).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&tapes, bytes).unwrap();
    let (node, from, _log) = start_again(&folder);
    assert_eq!(from, 0, "a damaged file is run anew");
    assert_eq!(told(&node), more);
    assert_eq!(node.stop().code(), Some(0));
}

/// What a reader has seen.
struct Kept {
    book: MarketBook,
    /// At the seq of every packet that was whole.
    checksums: BTreeMap<Seq, u32>,
    /// Of each connection behind the first: whether it went on from the seq that was there.
    went_on: Vec<bool>,
}

/// Reads the orders of a market from the first node of a list, goes on from its seq at the next one when that ends, and so on, until the last
/// change is in the book.
#[expect(clippy::disallowed_methods, reason = "readers read while the test trades")]
fn keep(nodes: Vec<String>) -> JoinHandle<Kept> {
    std::thread::spawn(move || {
        let mut kept = Kept { book: MarketBook::default(), checksums: BTreeMap::new(), went_on: Vec::new() };
        for node in nodes.iter().cycle() {
            let since = kept.book.seq();
            // One that is dead is passed by.
            let Ok(mut reader) = MarketReader::connect(std::slice::from_ref(node)) else { continue };
            reader.subscribe(subscription(MarketChannel::Orders), since).unwrap();
            let mut is_first = since.is_some();
            loop {
                let message = match reader.next(HANGS) {
                    Ok(message) => message.expect("a packet"),
                    Err(MarketFault::Connection(_)) => break,
                    Err(fault) => panic!("{fault}"),
                };
                if let MarketMessage::MarketReject(reject) = message {
                    assert_eq!(reject.reason, MarketRejectReason::NotReady);
                    break;
                }
                // No packet has another checksum than the book that is kept, and none leaves a gap.
                if !kept.book.take(&message).unwrap() {
                    continue;
                }
                if std::mem::take(&mut is_first) {
                    kept.went_on.push(matches!(message, MarketMessage::OrdersChangedPacket(_)));
                }
                let (seq, checksum) = (kept.book.seq().unwrap(), kept.book.checksum());
                let before = kept.checksums.insert(seq, checksum);
                assert!(before.is_none_or(|before| before == checksum), "two books at seq {seq}");
                let lowest = kept.book.levels(Side::Buy).next_back().map(|level| level.price_ticks.0);
                if lowest == Some(LAST) {
                    return kept;
                }
            }
        }
        unreachable!("a cycle has no end")
    })
}

#[test]
fn a_book_goes_on_at_another_node_when_the_leader_is_killed() {
    let mut cluster = Cluster::new("market-cluster", "");
    for place in 0..3 {
        let text = std::fs::read_to_string(cluster.config(place)).unwrap();
        let text = text.replacen("[listen]\n", "[listen]\nmarket = \"127.0.0.1:0\"\n", 1);
        std::fs::write(cluster.config(place), text).unwrap();
    }
    cluster.begin();
    let leader = cluster.leader();
    let others: Vec<usize> = (0..3).filter(|place| *place != leader).collect();
    let addresses: Vec<String> =
        cluster.nodes.iter().map(|node| door(node.as_ref().unwrap(), "market")).collect();
    let mut flow = Flow::log_on(cluster.nodes[leader].as_ref().unwrap());
    (0..100).for_each(|_| flow.step());
    // One reads from a follower all the time, the other from the leader as long as it lives.
    let of_follower = keep(vec![addresses[others[0]].clone()]);
    let of_leader = keep(vec![addresses[leader].clone(), addresses[others[1]].clone()]);
    (0..400).for_each(|_| flow.step());
    flow.traders.iter_mut().for_each(Client::flush);
    cluster.nodes[leader].take().unwrap().kill();
    drop(flow);
    let next = cluster.leader();
    let mut flow = Flow::log_on(cluster.nodes[next].as_ref().unwrap());
    flow.sent = 10_000;
    (0..300).for_each(|_| flow.step());
    flow.settle();
    rest_last(&mut flow);
    let [of_follower, of_leader] = [of_follower, of_leader].map(|reader| reader.join().unwrap());
    let packets = [&of_follower, &of_leader].map(|kept| kept.checksums.len());
    assert!(packets.into_iter().all(|packets| packets > 20), "{packets:?}");
    assert!(of_follower.went_on.is_empty(), "nothing happened to its node");
    assert_eq!(of_leader.went_on.len(), 1);
    for side in [Side::Buy, Side::Sell] {
        assert_eq!(of_follower.book.orders(side), of_leader.book.orders(side));
    }
    for (seq, checksum) in &of_leader.checksums {
        let theirs = of_follower.checksums.get(seq);
        assert!(theirs.is_none_or(|theirs| theirs == checksum), "two books at seq {seq}");
    }

    go_on_from_node_to_node(&cluster, &addresses, &others, &mut flow.traders[0]);
    let seqs: Vec<_> = of_leader.checksums.iter().map(|(seq, checksum)| (*seq, *checksum)).collect();
    for node in cluster.nodes.iter_mut().filter_map(Option::take) {
        assert_eq!(node.stop().code(), Some(0));
    }
    for &(seq, checksum) in seqs.iter().step_by(seqs.len() / 6).chain(seqs.last()) {
        assert_eq!(checksum, audited(&cluster.data(others[0]), seq), "at seq {seq}");
    }
    all_know_what_was_traded(&cluster);
}

/// Who has the book of a seq that both nodes have come to is sent what has changed since, wherever it asks.
fn go_on_from_node_to_node(cluster: &Cluster, addresses: &[String], others: &[usize], trader: &mut Client) {
    let mut kept = MarketBook::default();
    for (round, place) in [others[0], others[1], others[0]].into_iter().enumerate() {
        let mut reader = MarketReader::connect(std::slice::from_ref(&addresses[place])).unwrap();
        let since = kept.seq();
        reader.subscribe(subscription(MarketChannel::Orders), since).unwrap();
        let id = format!("more-{round}");
        trader.send(&id, Side::Sell, "0.001");
        trader.report(&id, "0");
        loop {
            let message = reader.next(HANGS).unwrap().expect("a packet");
            if kept.take(&message).unwrap() {
                let goes_on = matches!(message, MarketMessage::OrdersChangedPacket(_));
                assert_eq!(goes_on, since.is_some(), "round {round}");
                break;
            }
        }
        // Until the other node has come as far.
        let has = |place: usize| metric(cluster.nodes[place].as_ref().unwrap(), "sicil_market_data_seq");
        while others.iter().any(|place| has(*place) < kept.seq().unwrap().0) {}
    }
}

/// All come back, two with files of tapes and one without.
fn all_know_what_was_traded(cluster: &Cluster) {
    let launched = [0, 1, 2].map(|place| Node::launch(&cluster.data(place), &cluster.config(place)));
    let nodes = launched.map(Node::when_ready);
    let all_told = loop {
        let seqs = [0, 1, 2].map(|place| metric(&nodes[place], "sicil_market_data_seq"));
        let has_past = nodes.iter().all(|node| metric(node, "sicil_market_data_has_past") == 1);
        if has_past && seqs[0] > 0 && seqs.iter().all(|seq| *seq == seqs[0]) {
            break [0, 1, 2].map(|place| told(&nodes[place]));
        }
    };
    let [first, second, third] = all_told;
    assert!(first.len() > 40 && first == second && second == third);
    for node in nodes {
        assert_eq!(node.stop().code(), Some(0));
    }
}
