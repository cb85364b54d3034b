//! The way out of a halt: a signed decision passes over one record, and everything that comes from it is the same however
//! often the log is run.

use std::path::Path;

use protocol::commands::{DefineAsset, SessionLogon, SessionTestRequest, SetActorKey};
use protocol::event::Event;
use protocol::frame::{self, FrameHeader, FrameKind};
use protocol::hash::{Hash, blake3};
use protocol::record::RecordHeader;
use protocol::sign::PrivateKey;
use protocol::skip::Skip;
use protocol::submit::Submit;
use protocol::{
    ActorId, AssetId, ClusterId, Command, EventBody, Generation, Index, MonoNanos, NodeId, OutSeq,
    RejectReason, RequestNumber, Seq, SessionEpoch, SessionId, Term, Text, UnixNanos,
};
use replicas::{Halt, HaltCause, Options, Replica, SkipNotProposed, SnapshotPolicy};

use super::start::{CLIENT, define_client};
use super::{
    FIRST, IDENTITY, checkpoint, create, define_assets, folder, genesis, open, open_disk, options, replies,
    run, settle,
};
use journal::{FileDisk, Identity, Journal};

const OPERATOR: ActorId = ActorId(1);

fn key() -> PrivateKey {
    PrivateKey::from_seed(&[7; 32])
}

fn record(session: SessionId, request: u64, command: impl Into<Command>) -> Vec<u8> {
    let header = RecordHeader { session, request: RequestNumber(request), ..RecordHeader::default() };
    let mut bytes = Vec::new();
    header.write(&command.into(), &mut bytes).unwrap();
    bytes
}

fn asset(request: u64) -> Vec<u8> {
    let n = u32::try_from(request).unwrap();
    let define = DefineAsset { asset: AssetId(n), code: Text::new(format!("A{n}")).unwrap(), scale: 2 };
    record(SessionId::OPERATOR, request, define)
}

/// An entry: its time, and its records.
type Batch = (u64, Vec<Vec<u8>>);

/// Entries of these records, each with the seq that follows and the time given.
fn write_log(folder: &Path, entries: &[Batch]) {
    write_log_of(folder, IDENTITY, entries);
}

/// The log of a replica that halts at seq 4, and what passes over it.
pub(crate) fn write_poisoned(folder: &Path, identity: Identity) -> Skip {
    let [(_, log, record_hash), _] = poisons();
    write_log_of(folder, identity, &log);
    let mut skip = Skip::new(Seq(4), record_hash, Text::new("case 17").unwrap());
    skip.sign(ClusterId(7), OPERATOR, &key());
    skip
}

fn write_log_of(folder: &Path, identity: Identity, entries: &[Batch]) {
    let mut journal = Journal::create(open_disk(folder), identity, super::journal_options()).unwrap();
    journal.hard_state(journal::HardState { term: Term(1), vote: NodeId(1) });
    let mut header = FrameHeader { index: Index(0), first_seq: Seq(1), ..FIRST };
    for (time, records) in entries {
        header.index = header.index.next();
        header.time = UnixNanos(*time);
        header.count = u32::try_from(records.len()).unwrap();
        let mut buffer = Vec::new();
        frame::begin(&mut buffer);
        records.iter().for_each(|record| buffer.extend_from_slice(record));
        frame::finish(&mut buffer, &header);
        journal.append(&buffer);
        header.first_seq = Seq(header.first_seq.0 + u64::from(header.count));
    }
    settle(&mut journal);
}

/// Appends an entry of the kind of a decision, behind what is there, and makes it durable.
fn append_skip(journal: &mut Journal<FileDisk>, write_payload: impl FnOnce(&mut Vec<u8>)) {
    let end = *journal.log_end();
    let mut buffer = Vec::new();
    frame::begin(&mut buffer);
    write_payload(&mut buffer);
    let header = FrameHeader {
        kind: FrameKind::Skip,
        index: end.last_index.next(),
        term: end.last_term,
        count: 0,
        first_seq: end.next_seq.unwrap(),
        engine_version: 0,
        ..FIRST
    };
    frame::finish(&mut buffer, &header);
    journal.append(&buffer);
    settle(journal);
}

/// The cluster begins and its operator gets a key: seq 1 and 2.
fn beginning() -> Vec<Vec<u8>> {
    let set = SetActorKey { actor: OPERATOR, key: Some(key().public()) };
    vec![record(SessionId::SYSTEM, 0, genesis()), record(SessionId::OPERATOR, 1, set)]
}

fn decision(halt: &Halt) -> Skip {
    let HaltCause::Record { record_hash, .. } = halt.cause else { panic!("{halt}") };
    let mut skip = Skip::new(halt.seq, record_hash, Text::new("case 17").unwrap());
    skip.sign(ClusterId(7), OPERATOR, &key());
    skip
}

fn halt_of(replica: &mut Replica<FileDisk>, turn: &mut u64) -> Halt {
    run(replica, turn, &mut Vec::new(), |r, _| r.status().halted.is_some());
    // Everything that is committed has been handed out, and more turns change nothing.
    for _ in 0..50 {
        let mut left = 1;
        run(replica, turn, &mut Vec::new(), |_, _| {
            left -= 1;
            left < 0
        });
    }
    replica.status().halted.unwrap()
}

fn codes(replica: &Replica<FileDisk>) -> Vec<u32> {
    let assets = replica.engine().definitions().into_iter().filter_map(|definition| {
        if let EventBody::AssetDefined(defined) = definition {
            Some(defined.definition.asset.0)
        } else {
            None
        }
    });
    assets.collect()
}

/// What a run has come to: seq, effect hash, state hash.
fn outcome(replica: &Replica<FileDisk>) -> (Seq, Hash, Hash) {
    let status = replica.status();
    (status.seq_applied, status.effect_hash, replica.engine().state_hash())
}

/// A log that halts at seq 4, inside its second entry, and what stands there.
fn poisons() -> [(&'static str, Vec<Batch>, Hash); 2] {
    // Time goes back: no leader writes that, and the engine takes nothing that was before.
    let late = vec![(10, beginning()), (20, vec![asset(3)]), (15, vec![asset(4)]), (30, vec![asset(5)])];
    let garbage = vec![0xEE; 40];
    let torn = vec![(10, beginning()), (20, vec![asset(3), garbage.clone(), asset(4)]), (30, vec![asset(6)])];
    let rest = [garbage, asset(4)].concat();
    let padding = (rest.len() + asset(3).len()).next_multiple_of(8) - rest.len() - asset(3).len();
    let rest = [rest, vec![0; padding]].concat();
    [("late", late, blake3(&[&asset(4)])), ("garbage", torn, blake3(&[&rest]))]
}

#[test]
fn a_signed_decision_passes_over_the_record_and_every_later_run_agrees() {
    for (name, log, record_hash) in poisons() {
        let folder = folder(&format!("skip-{name}"));
        write_log(&folder, &log);
        let policy = SnapshotPolicy { journal_bytes: 1, interval_ms: 0 };
        let options = Options { snapshots: policy, ..options() };
        let mut replica = open(&folder, &options);
        let mut turn = 0;
        let halt = halt_of(&mut replica, &mut turn);
        assert_eq!(halt.seq, Seq(4), "{name}: {halt}");
        assert!(matches!(halt.cause, HaltCause::Record { record_hash: found, .. } if found == record_hash));
        assert_eq!(codes(&replica), [3]);
        assert!(!replica.serving() && replica.begin_snapshot().is_none());

        replica.propose_skip(&decision(&halt)).unwrap();
        run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
        let expected: &[u32] = if name == "late" { &[3, 5] } else { &[3, 6] };
        assert_eq!(codes(&replica), expected, "{name}: nothing but the record is missing");
        let mut events = Vec::new();
        define_assets(&mut replica, 7, 7);
        run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 1);
        let served = outcome(&replica);
        assert!(matches!(replica.propose_skip(&decision(&halt)).unwrap_err(), SkipNotProposed::NotHalted));
        drop(replica);

        // Again from the beginning: it halts, finds the decision behind the record, and comes to the same.
        let mut again = open(&folder, &options);
        let mut seen = None;
        run(&mut again, &mut turn, &mut Vec::new(), |r, _| {
            if r.status().seq_applied == served.0 {
                seen = Some(outcome(r));
            }
            r.serving()
        });
        assert_eq!(seen, Some(served), "{name}");
        let job = checkpoint(&mut again, &mut turn);
        let mut beside = again.into_disk();
        assert!(job.write(&mut beside).is_ok());
        drop(beside);

        // And from a snapshot behind it, where the decision has no effect any more.
        let mut behind = open(&folder, &options);
        run(&mut behind, &mut turn, &mut Vec::new(), |r, _| r.serving());
        assert_eq!(codes(&behind), [expected, &[7]].concat());
    }
}

#[test]
fn the_sender_of_what_was_passed_over_gets_an_answer_and_its_repetition_the_same() {
    let folder = folder("skip-answer");
    let [(_, log, _), _] = poisons();
    write_log(&folder, &log);
    let mut replica = open(&folder, &options());
    let mut turn = 0;
    let halt = halt_of(&mut replica, &mut turn);
    replica.propose_skip(&decision(&halt)).unwrap();
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
    let mut events: Vec<Event> = Vec::new();
    define_assets(&mut replica, 4, 4);
    run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 1);
    let refusals: Vec<_> = events
        .iter()
        .filter_map(|event| if let EventBody::Replied(reply) = &event.body { reply.refusal } else { None })
        .collect();
    assert_eq!(refusals, [RejectReason::Skipped]);
    assert!(!codes(&replica).contains(&4), "not executed by the repetition either");
}

#[test]
fn a_decision_that_does_not_count_is_refused_and_says_why() {
    let folder = folder("skip-refused");
    let [(_, log, _), _] = poisons();
    write_log(&folder, &log);
    let mut replica = open(&folder, &options());
    let mut turn = 0;
    let halt = halt_of(&mut replica, &mut turn);
    let good = decision(&halt);
    let cluster = ClusterId(7);
    let signed_by = |actor: u32, key: &PrivateKey, base: &Skip| {
        let mut skip = Skip { signatures: Vec::new(), ..base.clone() };
        skip.sign(cluster, ActorId(actor), key);
        skip
    };
    let other_hash = signed_by(1, &key(), &Skip { record_hash: Hash([9; 32]), ..good.clone() });
    let other_seq = signed_by(1, &key(), &Skip { seq: Seq(3), ..good.clone() });
    let twice = Skip { signatures: vec![good.signatures[0]; 2], ..good.clone() };
    let edited = Skip { reason: Text::new("case 18").unwrap(), ..good.clone() };
    for (skip, expected) in [
        (
            other_hash,
            format!("the engine halted at seq 4, record {}: the decision is about", good.record_hash),
        ),
        (other_seq, "the engine halted at seq 4".to_owned()),
        (signed_by(2, &key(), &good), "actor 2 has no key on record".to_owned()),
        (signed_by(1, &PrivateKey::from_seed(&[8; 32]), &good), "the signature is not one of".to_owned()),
        (edited, "the signature is not one of".to_owned()),
        (twice, "actor 1 signed more than once".to_owned()),
    ] {
        let said = replica.propose_skip(&skip).unwrap_err().to_string();
        assert!(said.starts_with(&expected), "{said}");
        assert_eq!(replica.status().halted.as_ref(), Some(&halt));
    }
    replica.propose_skip(&good).unwrap();
}

/// A leader proposes no such entry; an edited log may hold one.
#[test]
fn a_committed_entry_that_does_not_count_leaves_the_engine_where_it_is() {
    let folder = folder("skip-forged");
    let [(_, log, record_hash), _] = poisons();
    write_log(&folder, &log);
    let mut forged = Skip::new(Seq(4), record_hash, Text::new("forged").unwrap());
    forged.sign(ClusterId(7), OPERATOR, &PrivateKey::from_seed(&[8; 32]));
    let opened = Journal::open(open_disk(&folder), super::journal_options()).unwrap();
    let mut journal = opened.journal;
    let (index, entries) = (journal.last_index().next(), u64::try_from(log.len()).unwrap());
    assert_eq!(index.0, entries + 1);
    append_skip(&mut journal, |buffer| forged.write(buffer));
    append_skip(&mut journal, |buffer| buffer.extend_from_slice(b"not a decision"));
    drop(journal);
    let mut replica = open(&folder, &options());
    let mut turn = 0;
    let halt = halt_of(&mut replica, &mut turn);
    assert_eq!(halt.seq, Seq(4));
    replica.propose_skip(&decision(&halt)).unwrap();
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
}

#[test]
fn without_a_halt_there_is_nothing_to_pass_over() {
    let folder = folder("skip-nothing");
    let mut replica = create(&folder, &options());
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    let mut skip = Skip::new(Seq(1), Hash::ZERO, Text::new("x").unwrap());
    skip.sign(ClusterId(7), OPERATOR, &key());
    assert_eq!(replica.propose_skip(&skip), Err(SkipNotProposed::NotHalted));
}

/// A FIX session logs on, asks for a sign of life, and is answered; what it sends next comes with a time gone back.
fn log_with_a_client() -> Vec<Batch> {
    let logon =
        SessionLogon { connection: 1, msg_seq_num: 1, heartbeat_s: 30, reset: false, next_expected: 0 };
    let numbered = |request: u64, command: Command| {
        let header = RecordHeader {
            session: CLIENT,
            generation: Generation(1),
            request: RequestNumber(request),
            ..RecordHeader::default()
        };
        let mut bytes = Vec::new();
        header.write(&command, &mut bytes).unwrap();
        bytes
    };
    let test = |id: &str| Command::from(SessionTestRequest { test_req_id: Text::new(id).unwrap() });
    let mut first = beginning();
    first.push(record(SessionId::OPERATOR, 2, define_client()));
    first.push(record(CLIENT, 1, logon));
    first.push(numbered(2, test("a")));
    vec![(10, first), (5, vec![numbered(3, test("b"))]), (20, vec![numbered(4, test("c"))])]
}

#[test]
fn outputs_are_kept_once_and_the_client_is_told_of_the_record_without_effect() {
    let folder = folder("skip-outputs");
    write_log(&folder, &log_with_a_client());
    let mut replica = open(&folder, &options());
    let mut turn = 0;
    let halt = halt_of(&mut replica, &mut turn);
    replica.propose_skip(&decision(&halt)).unwrap();
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
    let outputs = |replica: &mut Replica<FileDisk>| {
        let (first, last) = (OutSeq(1), OutSeq(100));
        replica.read_outbox(CLIENT, SessionEpoch(1), first, last, usize::MAX).unwrap()
    };
    let live = outputs(&mut replica);
    let names: Vec<_> = live.iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["LogonSent", "HeartbeatSent", "BusinessRejected", "HeartbeatSent"]);
    drop(replica);
    // A copy of the journal alone tells the same.
    std::fs::remove_dir_all(folder.join("outbox")).unwrap();
    let mut again = open(&folder, &options());
    run(&mut again, &mut turn, &mut Vec::new(), |r, _| r.serving());
    assert_eq!(outputs(&mut again), live);
}

#[test]
fn two_decisions_are_known_again_after_a_restart() {
    let folder = folder("skip-two");
    let log = vec![
        (10, beginning()),
        (20, vec![asset(3)]),
        (15, vec![asset(4)]),
        (30, vec![asset(5)]),
        (25, vec![asset(6)]),
        (40, vec![asset(7)]),
    ];
    write_log(&folder, &log);
    let mut replica = open(&folder, &options());
    let mut turn = 0;
    for seq in [4, 6] {
        run(&mut replica, &mut turn, &mut Vec::new(), |r, _| {
            r.status().halted.is_some_and(|halt| halt.seq == Seq(seq))
        });
        let halt = halt_of(&mut replica, &mut turn);
        replica.propose_skip(&decision(&halt)).unwrap();
    }
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
    assert_eq!(codes(&replica), [3, 5, 7]);
    drop(replica);
    let mut again = open(&folder, &options());
    run(&mut again, &mut turn, &mut Vec::new(), |r, _| r.serving());
    assert_eq!(codes(&again), [3, 5, 7]);
}

#[test]
fn a_lost_outbox_is_made_again_also_where_a_snapshot_lies_behind_the_record() {
    let folder = folder("skip-outbox");
    write_log(&folder, &log_with_a_client());
    let policy = SnapshotPolicy { journal_bytes: 1, interval_ms: 0 };
    let options = Options { snapshots: policy, ..options() };
    let mut replica = open(&folder, &options);
    let mut turn = 0;
    let halt = halt_of(&mut replica, &mut turn);
    replica.propose_skip(&decision(&halt)).unwrap();
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
    let outputs = |replica: &mut Replica<FileDisk>| {
        replica.read_outbox(CLIENT, SessionEpoch(1), OutSeq(1), OutSeq(100), usize::MAX).unwrap()
    };
    let before = outputs(&mut replica);
    let job = checkpoint(&mut replica, &mut turn);
    let mut beside = replica.into_disk();
    assert!(job.write(&mut beside).is_ok());
    drop(beside);
    std::fs::remove_dir_all(folder.join("outbox")).unwrap();
    let mut again = open(&folder, &options);
    run(&mut again, &mut turn, &mut Vec::new(), |r, _| r.serving());
    assert_eq!(outputs(&mut again), before);
}

/// A build without the fault takes the record, and finds behind it that it was passed over.
#[test]
fn a_decision_counts_also_where_the_engine_would_not_have_halted() {
    let folder = folder("skip-fixed");
    write_log(
        &folder,
        &[(10, beginning()), (20, vec![asset(3)]), (30, vec![asset(4)]), (40, vec![asset(5)])],
    );
    let mut journal = Journal::open(open_disk(&folder), super::journal_options()).unwrap().journal;
    for seq in [Seq(4), Seq(3)] {
        let mut skip = Skip::new(seq, blake3(&[&asset(seq.0)]), Text::new("case 17").unwrap());
        skip.sign(ClusterId(7), OPERATOR, &key());
        append_skip(&mut journal, |buffer| skip.write(buffer));
    }
    drop(journal);
    let mut replica = open(&folder, &options());
    let mut turn = 0;
    run(&mut replica, &mut turn, &mut Vec::new(), |r, _| r.serving());
    assert_eq!(codes(&replica), [5], "both count: nobody had executed either when it was decided");
}

#[test]
fn what_somebody_had_executed_is_not_passed_over() {
    let folder = folder("skip-executed");
    let mut replica = create(&folder, &options());
    let (mut turn, mut events) = (0, Vec::new());
    run(&mut replica, &mut turn, &mut events, |r, _| r.serving());
    let set = SetActorKey { actor: OPERATOR, key: Some(key().public()) };
    let submit = |replica: &mut Replica<FileDisk>, request: u64, command: Command| {
        let request = RequestNumber(request);
        let header = RecordHeader { session: SessionId::OPERATOR, request, ..RecordHeader::default() };
        replica.sequencer().submit(&header, MonoNanos(0), &command).unwrap();
    };
    submit(&mut replica, 1, set.into());
    run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == 1);
    for n in [2, 3, 4] {
        define_assets(&mut replica, n, n);
        run(&mut replica, &mut turn, &mut events, |_, events| replies(events) == usize::try_from(n).unwrap());
    }
    drop(replica);
    // The record of asset 2 stands under seq 4; entries behind it say that it was applied.
    let mut journal = Journal::open(open_disk(&folder), super::journal_options()).unwrap().journal;
    let mut skip = Skip::new(Seq(4), hash_of_seq(&mut journal, Seq(4)), Text::new("undo").unwrap());
    skip.sign(ClusterId(7), OPERATOR, &key());
    append_skip(&mut journal, |buffer| skip.write(buffer));
    drop(journal);
    let mut again = open(&folder, &options());
    run(&mut again, &mut turn, &mut Vec::new(), |r, _| r.serving());
    assert_eq!(codes(&again), [2, 3, 4]);
}

/// BLAKE3 of the record at a seq, as the journal holds it.
fn hash_of_seq(journal: &mut Journal<FileDisk>, wanted: Seq) -> Hash {
    let mut index = Index(1);
    loop {
        let bytes = journal.entry(index).unwrap();
        let entry = frame::Frame::read(&bytes).unwrap();
        if let Some((_, _, record)) = entry.records().find(|(seq, ..)| *seq == wanted) {
            return blake3(&[record.unwrap().bytes]);
        }
        index = index.next();
    }
}
