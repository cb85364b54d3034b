//! One replica on a real disk: what it acknowledged is there after a restart, with the same hash.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use engine::Engine;
use journal::{FileDisk, Identity, WriterKind};
use protocol::commands::{DefineAsset, Genesis};
use protocol::event::Event;
use protocol::record::RecordHeader;
use protocol::submit::Submit;
use protocol::{
    ActorId, AssetId, ClusterEpoch, ClusterId, EventBody, MonoNanos, NodeId, RequestNumber, SessionId, Text,
    UnixNanos,
};
use replicas::{Now, Options, Replica, Timing};

const IDENTITY: Identity = Identity { cluster: ClusterId(7), epoch: ClusterEpoch(1), node: NodeId(1) };

fn options() -> Options {
    Options { voters: vec![NodeId(1)], timing: Timing::LAN }
}

fn journal_options() -> journal::Options {
    journal::Options { segment_bytes: 256 << 10, ..journal::Options::new(99) }
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    folder
}

fn disk(folder: &Path) -> FileDisk {
    FileDisk::open(folder, WriterKind::Plain).unwrap()
}

/// Steps on a clock that moves with the turns, until `done`.
fn run(
    replica: &mut Replica<FileDisk>,
    turn: &mut u64,
    events: &mut Vec<Event>,
    done: impl Fn(&Replica<FileDisk>, &[Event]) -> bool,
) {
    while !done(replica, events) {
        *turn += 1;
        let now = Now { mono: MonoNanos(*turn * 1_000), wall: UnixNanos(*turn * 1_000) };
        if !replica.step(now, events).unwrap() {
            std::thread::yield_now();
        }
    }
}

fn replies(events: &[Event]) -> usize {
    events.iter().filter(|e| matches!(e.body, EventBody::Replied(_))).count()
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = folder("restart");
    let genesis = Genesis { cluster: ClusterId(7), operator: ActorId(1), operator_uid: 0, demo: false };
    let mut replica =
        Replica::create(disk(&folder), IDENTITY, journal_options(), &options(), genesis).unwrap();
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    for n in 1..=3_000_u32 {
        let header = RecordHeader {
            session: SessionId::OPERATOR,
            request: RequestNumber(u64::from(n)),
            ..Default::default()
        };
        let code = Text::new(format!("A{n}")).unwrap();
        replica
            .sequencer()
            .submit(&header, MonoNanos(0), &DefineAsset { asset: AssetId(n), code, scale: 2 }.into())
            .unwrap();
    }
    run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 3_000);
    let before = replica.status();
    let state_hash = replica.engine().state_hash();
    drop(replica);

    let mut replica = Replica::open(disk(&folder), journal_options(), &options()).unwrap();
    let mut events = Vec::new();
    assert_eq!(
        replica.engine().state_hash(),
        Engine::new().state_hash(),
        "nothing is applied before it is committed"
    );
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    let after = replica.status();
    assert_eq!(after.seq_applied.0, before.seq_applied.0 + 1, "the new term's first record");
    assert_eq!(replies(&events), 0, "nothing is said twice");
    assert_eq!(replica.engine().definitions().len(), 3_000 + 1);
    assert_ne!(replica.engine().state_hash(), state_hash, "the term is part of the state");
}
