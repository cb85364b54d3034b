//! What goes wrong around a node: descriptors run out, snapshots cannot be written, an outbox file is damaged. It says so,
//! goes on, and takes up again what failed.

use std::fs;
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gateways::fix::initiator::{Initiator, LogonStyle, Settings};
use protocol::Side;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};
use crate::trading::Client;

/// As often as they are allowed to be.
const SNAPSHOTS: &str = "demo = true\n[snapshots]\njournal_bytes = 1048576\ninterval_ms = 100";

/// Sends orders, each of which waits for its own durable block, until `done` of the disk's status.
fn trade_until(client: &mut Client, orders: &mut u64, data: &Path, done: impl Fn(&Value) -> bool) {
    while !done(&status(data, &[])["disk"]) {
        for _ in 0..50 {
            *orders += 1;
            let id = format!("rest-{orders}");
            client.send(&id, Side::Sell, "0.001");
            client.report(&id, "0");
        }
    }
}

/// The lowest number that no open file of this process has: below a limit of so many, none can be opened.
fn first_free_descriptor(pid: u32) -> u64 {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<u64> =
        open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}

#[test]
fn out_of_descriptors_a_node_waits_and_says_so_once_and_takes_connections_again() {
    let folder = Folder::new("descriptors");
    let data = folder.data();
    let mut command = sicil(["start", "--json"]);
    command.arg("--data").arg(&data).arg("--config").arg(folder.config("demo = true"));
    let (node, mut log) = Node::with_log(&mut command);
    // What the journal opens ahead is open.
    while status(&data, &[])["disk"]["spare_segments"] != 2 {}
    let pid = Pid::from_raw(node.pid().try_into().unwrap());
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = |current| {
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    };
    limit(Some(first_free_descriptor(node.pid())));
    let waits = std::net::TcpStream::connect(node.ready["fix"].as_str().unwrap()).unwrap();
    let mut line = String::new();
    while !line.contains("no connections are taken") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the node has ended");
    }
    limit(maximum);
    let mut client = Client::new("CLIENT1");
    client.log_on(&node, LogonStyle::Reset);
    client.send("behind", Side::Buy, "1");
    client.report("behind", "0");
    assert_eq!(status(&data, &[])["connections"], 2, "the one that waited, too");
    drop(waits);
    node.signal("-TERM");
    let rest: Vec<String> = log.lines().map(Result::unwrap).collect();
    assert!(!rest.iter().any(|line| line.contains("no connections are taken")), "{rest:?}");
}

#[test]
fn a_snapshot_that_cannot_be_written_is_told_of_and_tried_again() {
    let folder = Folder::new("unwritable");
    let data = folder.data();
    let node = Node::start(&data, &folder.config(SNAPSHOTS));
    let (snapshots, aside) = (data.join("snap"), folder.join("aside"));
    fs::rename(&snapshots, &aside).unwrap();
    let mut client = Client::new("CLIENT1");
    client.log_on(&node, LogonStyle::Reset);
    let mut orders = 0;
    trade_until(&mut client, &mut orders, &data, |disk| !disk["snapshot_fault"].is_null());
    let (_, text, _) = run(sicil(["status", "--data"]).arg(&data));
    assert!(text.contains("snapshot  FAILED: "), "{text}");
    assert!(status(&data, &[])["disk"]["snapshot_index"].is_null());
    fs::rename(&aside, &snapshots).unwrap();
    trade_until(&mut client, &mut orders, &data, |disk| disk["snapshot_fault"].is_null());
    assert!(status(&data, &[])["disk"]["snapshot_index"].is_u64());
    node.kill();
    let node = Node::start(&data, &folder.config(""));
    assert!(node.ready["recovered_commands"].as_u64().unwrap() < orders, "it starts from the snapshot");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn recover_says_what_a_start_says() {
    let folder = Folder::new("recover-says");
    let data = folder.data();
    let config = folder.config(SNAPSHOTS);
    let node = Node::start(&data, &config);
    let mut client = Client::new("CLIENT1");
    client.log_on(&node, LogonStyle::Reset);
    let mut orders = 0;
    // Until the first segment is needed no more.
    for _ in 0..6 {
        let before = status(&data, &[])["disk"]["snapshot_index"].clone();
        trade_until(&mut client, &mut orders, &data, |disk| disk["snapshot_index"] != before);
    }
    assert_eq!(node.stop().code(), Some(0));
    let both = || {
        ["recover", "start"].map(|command| {
            let (code, _, err) = run(sicil([command, "--data"])
                .arg(&data)
                .arg("--config")
                .arg(&config)
                .env("RUST_LOG", "off"));
            // What else an operator can do is `recover`'s to say.
            (code, err.trim_end().split("; in a cluster").next().unwrap().to_owned())
        })
    };
    let flip = |file: &Path, at: u64| {
        let file = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    // An old block that nobody needs, as long as a snapshot serves.
    flip(&data.join("j/00000001-0000000001.seg"), journal::segment::BLOCKS_AT + 300);
    assert_eq!(run(sicil(["recover", "--data"]).arg(&data).arg("--config").arg(&config)).0, 0);
    for snapshot in fs::read_dir(data.join("snap")).unwrap().map(|entry| entry.unwrap().path()) {
        flip(&snapshot, fs::metadata(&snapshot).unwrap().len() - 100);
    }
    let [(code, said), started] = both();
    assert!(code == 6 && said.contains("durable blocks are damaged"), "{said}");
    assert_eq!((code, said), started);
    // What both say of less than that.
    for lost in ["j", "meta"] {
        let (path, aside) = (data.join(lost), folder.join("aside"));
        fs::rename(&path, &aside).unwrap();
        let [(code, said), started] = both();
        assert_eq!((code, &said), (6, &started.1), "without {lost}");
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn damage_in_an_outbox_file_is_shown_and_what_was_in_it_is_produced_again() {
    let folder = Folder::new("outbox");
    let data = folder.data();
    let node = Node::start(&data, &folder.config(SNAPSHOTS));
    let mut client = Client::new("CLIENT1");
    client.log_on(&node, LogonStyle::Reset);
    let mut orders = 0;
    trade_until(&mut client, &mut orders, &data, |disk| !disk["snapshot_index"].is_null());
    assert_eq!(status(&data, &[])["disk"]["outbox_damage"], Value::Array(Vec::new()));
    node.kill();

    let file =
        fs::OpenOptions::new().read(true).write(true).open(data.join("outbox/0000000001.out")).unwrap();
    let (mut byte, at) = ([0], 1_000);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let node = Node::start(&data, &folder.config(SNAPSHOTS));
    let disk = status(&data, &[])["disk"].clone();
    let damage = disk["outbox_damage"][0].as_str().unwrap();
    assert!(damage.contains("0000000001.out from byte "), "{damage}");
    assert_eq!(disk["outputs_replayed"], true);
    let (_, text, _) = run(sicil(["status", "--data"]).arg(&data));
    assert!(text.contains("outbox    DAMAGED: "), "{text}");
    // All of it can be asked for.
    let mut forgetful = Client::new("CLIENT1");
    let state = gateways::fix::initiator::State { next_in: 1, ..client.session.state() };
    forgetful.session = Initiator::with_state(Settings::new("CLIENT1", "SICIL"), state);
    forgetful.log_on(&node, LogonStyle::Continue);
    for order in 1..=orders {
        forgetful.report(&format!("rest-{order}"), "0");
    }
    node.kill();
    // It was written anew, so that the next start finds nothing.
    let node = Node::start(&data, &folder.config(SNAPSHOTS));
    assert_eq!(status(&data, &[])["disk"]["outbox_damage"], Value::Array(Vec::new()));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn wrong_flags_are_named_and_nothing_is_created() {
    let folder = Folder::new("flags");
    let data = folder.data();
    let path = data.to_str().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage: sicil"),
        (&["serve"], "'serve'"),
        (&["start"], "--data"),
        (&["start", "--data", path, "--jsno"], "'--jsno'"),
        (&["start", "--data", path, "--log", "info,sicil=loud"], "sicil=loud"),
        (&["recover", "--data", path, "--adjudicate"], "--reason"),
        (&["recover", "--data", path, "--reason", "none"], "--adjudicate"),
        (&["apply", "--data", path], "<FILE>"),
    ];
    for (flags, named) in cases {
        let (code, out, err) = run(&mut sicil(flags));
        assert_eq!((code, out.as_str()), (2, ""), "{flags:?}: {err}");
        assert!(err.contains(named), "{flags:?}: {err}");
    }
    assert!(!data.exists());
}
