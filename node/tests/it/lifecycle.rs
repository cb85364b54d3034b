//! Start, refusals to start, stop, kill and return.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use journal::{FileDisk, Founders, Identity, Journal, Options, WriterKind};
use protocol::{ClusterEpoch, ClusterId, NodeId};

use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};

#[test]
fn an_empty_folder_becomes_a_demo_that_serves() {
    let folder = Folder::new("demo");
    let data = folder.data();
    let node = Node::start(&data, &folder.config("demo = true"));
    assert_eq!(node.ready["demo"], true);
    assert_eq!(node.ready["data"], data.to_str().unwrap());
    let seen = status(&data, &[]);
    assert_eq!(seen["role"], "leader");
    assert_eq!(seen["demo"], true);
    assert_eq!(seen["serving"], true);
    assert_eq!(seen["sessions"].as_array().unwrap().len(), 8);
    assert_eq!(seen["sessions"][7]["client_comp_id"], "CLIENT8");
    assert_eq!(seen["fix"], node.ready["fix"]);
    assert_eq!(seen["seq_applied"], seen["seq_committed"]);
    let (_, text, _) = run(sicil(["status", "--data"]).arg(&data));
    assert!(text.starts_with("DEMO"), "{text}");
    assert_eq!(node.get("/live").0, 200);
    let (code, ready) = node.get("/ready");
    assert_eq!(code, 200, "{ready}");
    let (code, metrics) = node.get("/metrics");
    assert_eq!(code, 200);
    assert!(metrics.contains("\nsicil_serving 1\n"), "{metrics}");
    assert!(
        metrics.contains("sicil_stage_latency_seconds_bucket{stage=\"sequenced_to_durable\""),
        "{metrics}"
    );
    assert_eq!(node.get("/else").0, 404);
    let socket = fs::metadata(data.join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600, "the operator's alone");
    assert_eq!(node.stop().code(), Some(0));
    assert!(!data.join("admin.sock").exists());
}

#[test]
fn a_demo_stays_a_demo_and_keeps_its_state_over_sigterm_and_sigkill() {
    let folder = Folder::new("restart");
    let data = folder.data();
    let config = folder.config("demo = true");
    let first = Node::start(&data, &config);
    let before = status(&data, &["--hash"]);
    assert_eq!(first.stop().code(), Some(0));
    // Without `demo`: the genesis record knows.
    let config = folder.config("");
    let second = Node::start(&data, &config);
    assert_eq!(second.ready["demo"], true);
    let between = status(&data, &[]);
    assert!(
        between["seq_applied"].as_u64() > before["seq_applied"].as_u64(),
        "a new term has a first record"
    );
    assert_eq!(between["cluster"], before["cluster"]);
    second.kill();
    let third = Node::start(&data, &config);
    assert!(third.ready["recovered_commands"].as_u64() >= between["seq_applied"].as_u64());
    assert_eq!(status(&data, &[])["sessions"], between["sessions"]);
    assert_eq!(third.stop().code(), Some(0));
}

#[test]
fn a_node_whose_log_nobody_reads_any_more_serves_and_stops_as_ever() {
    let folder = Folder::new("log-gone");
    let (data, config) = (folder.data(), folder.config("demo = true"));
    let mut command = sicil(["start", "--json", "--log", "debug"]);
    let (node, log) = Node::with_log(command.arg("--data").arg(&data).arg("--config").arg(config));
    // As behind `| head`.
    drop(log);
    let before = status(&data, &[])["seq_applied"].as_u64();
    let file = folder.write("definitions.toml", "[[asset]]\nid = 77\ncode = \"XAU\"\nscale = 3\n");
    let (code, _, err) = run(sicil(["apply", "--data"]).arg(&data).arg(file));
    assert_eq!(code, 0, "{err}");
    assert!(status(&data, &[])["seq_applied"].as_u64() > before);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_folder_has_one_process() {
    let folder = Folder::new("locked");
    let config = folder.config("demo = true");
    let node = Node::start(&folder.data(), &config);
    let (code, out, err) = run(sicil(["start", "--data"]).arg(folder.data()).arg("--config").arg(&config));
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.lines().last().unwrap().contains("in use by another process"), "{err}");
    assert_eq!(status(&folder.data(), &[])["serving"], true, "the first one does not notice");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_used_port_is_named() {
    let folder = Folder::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (key, other) in [("fix", "http"), ("http", "fix")] {
        let text = format!("demo = true\n[listen]\n{key} = \"{address}\"\n{other} = \"127.0.0.1:0\"\n");
        let config = folder.write("port.toml", &text);
        let (code, _, err) = run(sicil(["start", "--data"]).arg(folder.data()).arg("--config").arg(&config));
        assert_eq!(code, 4, "{err}");
        let last = err.lines().last().unwrap();
        assert!(last.contains(&address.to_string()) && last.contains(key), "{err}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let folder = Folder::new("key");
    let config = folder.write("bad.toml", "[listen]\nfix = \"127.0.0.1:0\"\nfax = \"127.0.0.1:0\"\n");
    for command in [vec!["config", "check"], vec!["start", "--data", folder.data().to_str().unwrap()]] {
        let (code, out, err) = run(sicil(command).arg("--config").arg(&config));
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("bad.toml:3:1: unknown field `fax`"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    assert!(!folder.data().exists(), "nothing is created for a configuration that is wrong");
}

#[test]
fn the_effective_configuration_shows_origins() {
    let folder = Folder::new("check");
    let (code, out, _) = run(sicil(["config", "check", "--config"]).arg(folder.config("")));
    assert_eq!(code, 0);
    assert!(out.contains("fix = \"127.0.0.1:0\"  # file\n"), "{out}");
    assert!(out.contains("writer = \"direct\"  # default\n"), "{out}");
}

#[test]
fn a_foreign_folder_is_left_alone() {
    let folder = Folder::new("foreign");
    fs::create_dir(folder.data()).unwrap();
    fs::write(folder.data().join("thesis.txt"), "years of work").unwrap();
    let (code, _, err) =
        run(sicil(["start", "--data"]).arg(folder.data()).arg("--config").arg(folder.config("")));
    assert_eq!(code, 5, "{err}");
    let names: Vec<_> =
        fs::read_dir(folder.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
}

#[test]
fn a_demo_binds_loopback_only() {
    let folder = Folder::new("loopback");
    let config = folder.write("open.toml", "demo = true\n[listen]\nfix = \"0.0.0.0:0\"\n");
    let (code, _, err) = run(sicil(["start", "--data"]).arg(folder.data()).arg("--config").arg(config));
    assert_eq!(code, 2);
    assert!(err.contains("open.toml:3:7:") && err.contains("loopback"), "{err}");
}

#[test]
fn without_a_node_there_is_no_status() {
    let folder = Folder::new("none");
    let (code, _, err) = run(sicil(["status", "--data"]).arg(folder.data()));
    assert_eq!(code, 7, "{err}");
}

#[test]
fn a_folder_with_a_long_path_has_an_operator_too() {
    let folder = Folder::new("long");
    let data = folder.join(&"d".repeat(200));
    let node = Node::start(&data, &folder.config("demo = true"));
    assert_eq!(status(&data, &[])["demo"], true);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn what_was_durable_and_is_damaged_is_never_cut_off() {
    let folder = Folder::new("damaged");
    let (data, config) = (folder.data(), folder.config("demo = true"));
    assert_eq!(Node::start(&data, &config).stop().code(), Some(0));
    let recover = |more: &[&str]| run(sicil(["recover"]).args(more).arg("--data").arg(&data));
    let (code, report, _) = recover(&[]);
    assert_eq!(code, 0);
    assert!(report.contains("verdict     Clean"), "{report}");
    let (code, _, err) = recover(&["--adjudicate", "--reason", "a test"]);
    assert_eq!(code, 6, "nothing is in doubt: {err}");
    let segments = fs::read_dir(data.join("j")).unwrap().map(|entry| entry.unwrap().path());
    let first = segments.filter(|path| path.extension().is_some_and(|e| e == "seg")).min().unwrap();
    let damaged = fs::OpenOptions::new().read(true).write(true).open(&first).unwrap();
    let (mut byte, at) = ([0], journal::segment::BLOCKS_AT + 300);
    damaged.read_exact_at(&mut byte, at).unwrap();
    damaged.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let before = fs::read(&first).unwrap();
    for command in [vec!["recover"], vec!["recover", "--adjudicate", "--reason", "a test"], vec!["start"]] {
        let (code, _, err) =
            run(sicil(command).arg("--config").arg(&config).arg("--data").arg(&data).env("RUST_LOG", "off"));
        assert_eq!(code, 6, "{err}");
        assert!(err.contains("durable blocks are damaged"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    assert!(fs::read(&first).unwrap() == before, "nothing was changed");
}

#[test]
fn a_cluster_whose_making_was_interrupted_is_made_again_and_one_that_lost_its_meta_is_not() {
    let folder = Folder::new("unmade");
    let (data, config) = (folder.data(), folder.config("demo = true"));
    // What a loss of power leaves in the middle of the first `create`: no copy of meta is whole.
    let disk = FileDisk::open(&data, WriterKind::Plain).unwrap();
    let identity = Identity {
        cluster: ClusterId(7),
        epoch: ClusterEpoch(1),
        node: NodeId(1),
        founders: Founders::alone(NodeId(1)),
    };
    drop(Journal::create(disk, identity, Options { segment_bytes: 4 << 20, ..Options::new(1) }).unwrap());
    let tear_meta = || {
        let mut meta = fs::read(data.join("meta")).unwrap();
        meta.chunks_mut(4096).for_each(|page| page[512..].fill(0));
        meta[..512].fill(0);
        fs::write(data.join("meta"), meta).unwrap();
    };
    tear_meta();
    let node = Node::start(&data, &config);
    assert_eq!((&node.ready["demo"], &node.ready["recovered_commands"]), (&true.into(), &0.into()));
    assert_eq!(node.stop().code(), Some(0));

    tear_meta();
    let before = fs::read(data.join("meta")).unwrap();
    let (code, out, err) = run(sicil(["start", "--data"]).arg(&data).arg("--config").arg(&config));
    assert_eq!((code, out.as_str()), (6, ""), "{err}");
    assert!(err.contains("meta is lost"), "{err}");
    assert_eq!(fs::read(data.join("meta")).unwrap(), before);
}

#[test]
fn a_folder_keeps_its_node_id() {
    let folder = Folder::new("id");
    let data = folder.data();
    assert_eq!(Node::start(&data, &folder.config("demo = true")).stop().code(), Some(0));
    let config = folder.config("[node]\nid = 2\n");
    let (code, out, err) = run(sicil(["start", "--data"]).arg(&data).arg("--config").arg(&config));
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("node.id = 2, but") && err.contains("node 1"), "{err}");
}

/// `sicil start` below a limit of open files.
fn start_limited(limit: u64, data: &Path, config: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {limit} && exec \"$@\"");
    command
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_sicil"), "start", "--json"])
        .env("RUST_LOG", "warn");
    command.arg("--data").arg(data).arg("--config").arg(config);
    command
}

#[test]
fn without_descriptors_for_clients_a_node_does_not_start() {
    let folder = Folder::new("ulimit");
    let (code, out, err) = run(&mut start_limited(40, &folder.data(), &folder.config("demo = true")));
    assert_eq!((code, out.as_str()), (9, ""), "{err}");
    assert!(err.contains("a limit of 40 open files"), "{err}");
    assert!(!folder.data().exists(), "nothing is created");
}

#[test]
fn connections_from_outside_leave_the_node_its_descriptors() {
    let folder = Folder::new("flood");
    let data = folder.data();
    // What the node keeps for itself, and two.
    let node = Node::of(&mut start_limited(386, &data, &folder.config("demo = true")));
    let connect = |listener: &str| TcpStream::connect(node.ready[listener].as_str().unwrap()).unwrap();
    let fix: Vec<_> = (0..100).map(|_| connect("fix")).collect();
    // Ended at once, all but the first two.
    for mut stream in fix.iter().skip(2) {
        let end = stream.read(&mut [0]);
        assert!(
            end.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |n| *n == 0),
            "{end:?}"
        );
    }
    for stream in fix.iter().take(2) {
        stream.set_nonblocking(true).unwrap();
        assert_eq!((&*stream).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    let http: Vec<_> = (0..150).map(|_| connect("http")).collect();
    assert_eq!(status(&data, &["--hash"])["serving"], true);
    drop(http);
    assert_eq!(node.get("/ready").0, 200);
    assert_eq!(node.stop().code(), Some(0));
}

/// Until the ledger's history answers as of everything that is applied.
fn history_catches_up(data: &Path) {
    loop {
        let seen = status(data, &[]);
        if seen["seq_history"] == seen["seq_applied"] {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_history_follows_the_log_over_kills_and_is_built_anew_where_its_file_is_lost_or_damaged() {
    let folder = Folder::new("history");
    let (data, config) = (folder.data(), folder.config("demo = true"));
    let file = data.join("views/ledger.redb");
    let node = Node::start(&data, &config);
    history_catches_up(&data);
    node.kill();
    let node = Node::start(&data, &config);
    history_catches_up(&data);
    assert_eq!(node.stop().code(), Some(0));
    let inode = fs::metadata(&file).unwrap().ino();
    let node = Node::start(&data, &config);
    history_catches_up(&data);
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "what is whole is gone on with");
    assert_eq!(node.stop().code(), Some(0));
    let bytes = fs::read(&file).unwrap();
    for cut in [bytes.len() / 2, 100, 0] {
        fs::write(&file, &bytes[..cut]).unwrap();
        let node = Node::start(&data, &config);
        history_catches_up(&data);
        assert_eq!(node.stop().code(), Some(0));
    }
    fs::remove_file(&file).unwrap();
    let node = Node::start(&data, &config);
    history_catches_up(&data);
    assert_eq!(node.stop().code(), Some(0));
    assert!(file.exists());
}
