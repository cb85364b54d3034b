//! A record that no engine can take, and the operator's way past it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use journal::{FileDisk, Journal, Options, WriterKind};
use protocol::commands::DefineActor;
use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::Hash;
use protocol::record::RecordHeader;
use protocol::{ActorId, RequestNumber, Seq, SessionId, UnixNanos};

use crate::folder::Folder;
use crate::process::{Node, run, sicil, status};

/// Appends an entry whose time went back, which no engine takes. Returns its seq.
fn poison(data: &Path) -> Seq {
    let disk = FileDisk::open(data, WriterKind::Plain).unwrap();
    let mut journal = Journal::open(disk, Options::new(5)).unwrap().journal;
    let (index, first_seq) = (journal.last_index().next(), journal.log_end().next_seq.unwrap());
    let mut bytes = Vec::new();
    frame::begin(&mut bytes);
    let request = RequestNumber(1_000_000);
    let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
    header.write(&DefineActor { actor: ActorId(9), roles: 0 }.into(), &mut bytes).unwrap();
    let header = FrameHeader {
        kind: FrameKind::Entry,
        index,
        term: journal.log_end().last_term,
        time: UnixNanos(1),
        first_seq,
        count: 1,
        engine_version: 1,
        applied_seq: Seq::ZERO,
        effect_hash: Hash::ZERO,
    };
    frame::finish(&mut bytes, &header);
    journal.append(&bytes);
    while journal.gathered() || journal.in_flight() {
        journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        journal.disk_mut().wait(Duration::from_millis(1));
    }
    first_seq
}

fn skip(data: &Path, seq: Seq, key: &Path) -> (i32, String, String) {
    let mut command = sicil(["skip", "--reason", "case 17", "--seq", &seq.to_string()]);
    run(command.arg("--data").arg(data).arg("--key").arg(key))
}

#[test]
fn an_operator_signs_and_the_engine_goes_on_behind_the_record() {
    let folder = Folder::new("skip");
    let (data, config, key) = (folder.data(), folder.config("demo = false"), folder.join("operator.key"));
    let (code, public_key, err) = run(sicil(["key", "--out"]).arg(&key));
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = run(sicil(["key", "--out"]).arg(&key));
    assert_eq!(code, 9, "a key is not overwritten: {err}");
    let file = format!("[[actor]]\nid = 1\nroles = [\"admin\", \"cashier\", \"trader\"]\n{public_key}");
    let file = folder.write("operator.toml", &file);
    let node = Node::start(&data, &config);
    for expected in ["changed", "unchanged"] {
        let (code, out, err) = run(sicil(["apply", "--data"]).arg(&data).arg(&file));
        assert_eq!(code, 0, "{err}");
        assert!(out.lines().last().unwrap().contains(expected), "{out}");
    }
    let (code, _, err) = skip(&data, Seq(3), &key);
    assert_eq!(code, 8, "{err}");
    assert!(err.contains("has not halted"), "{err}");
    assert!(node.stop().success());

    let seq = poison(&data);
    let mut halted = Node::launch(&data, &config);
    // It halts and is never ready; the operator's socket answers as soon as the beginning is read.
    let said = loop {
        let (_, _, err) = skip(&data, Seq(1), &key);
        if err.contains("halted at seq") {
            break err;
        }
        assert!(halted.try_wait().unwrap().is_none(), "{err}");
    };
    assert!(said.contains(&format!("halted at seq {seq}, record ")), "{said}");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = skip(&data, seq, &key);
    assert_eq!(code, 2, "{err}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let other = folder.join("other.key");
    assert_eq!(run(sicil(["key", "--out"]).arg(&other)).0, 0);
    let (code, _, err) = skip(&data, seq, &other);
    assert_eq!(code, 8, "{err}");
    assert!(err.contains("not one of actor 1's key"), "{err}");

    let (code, out, err) = skip(&data, seq, &key);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with(&format!("passed over seq {seq}, record ")), "{out}");
    let node = Node::when_ready(halted);
    let report = status(&data, &[]);
    assert!(report["halted"].is_null(), "{report:#}");
    assert!(node.stop().success());

    let (code, out, err) = run(sicil(["replay", "verify"]).arg(&data));
    assert_eq!(code, 0, "{out} {err}");
    assert!(out.contains("passed over") && out.contains("case 17"), "{out}");
    // And every start from now on comes past it by itself.
    assert!(Node::start(&data, &config).stop().success());
}
