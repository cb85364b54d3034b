//! Clients' batches of up to 1 MiB go the way of every other command: to followers, to those who were away, into a repair and through
//! a change of leader.

use protocol::commands::CreateTransfers;
use protocol::event::Event;
use protocol::limits::{FRAME_BYTES_MAX, IN_FLIGHT_BYTES_MAX, LEDGER_ROWS_MAX, RECORD_BYTES_LARGE};
use protocol::record::{EncodedCommand, RecordHeader};
use protocol::rows::{TRANSFER_ROW_BYTES, end_rows};
use protocol::submit::{Full, Submit};
use protocol::{EventBody, MonoNanos, SessionId};
use replicas::{Repair, RepairRow, RepairWait, Role};

use super::cluster::Cluster;
use super::crashing::Mood;
use super::journal_options;
use super::repair::{Part, comes_back, damage, flip, stop_at_rest, with_entries};

/// Three replicas with segments as long as a node's at least.
fn cluster(name: &'static str) -> Cluster {
    let mut cluster = Cluster::empty(name);
    cluster.journal = journal::Options { segment_bytes: 4 << 20, ..journal_options() };
    [1, 2, 3].iter().for_each(|node| cluster.create(*node));
    cluster
}

/// Hands `leader` a full batch of rows that nobody can take: they are zeros.
fn submit(cluster: &mut Cluster, leader: u64) -> Result<(), Full> {
    let rows = vec![0; LEDGER_ROWS_MAX * TRANSFER_ROW_BYTES];
    let (mut end, count) = (Vec::new(), u32::try_from(LEDGER_ROWS_MAX).unwrap());
    end_rows(count, u32::try_from(TRANSFER_ROW_BYTES).unwrap(), &mut end);
    let (kind, version) = (CreateTransfers::KIND, CreateTransfers::VERSION);
    let batch = EncodedCommand { kind, version, body: &[&rows, &end] };
    let header = RecordHeader { session: SessionId::OPERATOR, ..RecordHeader::default() };
    cluster.running.get_mut(&leader).unwrap().sequencer().submit_encoded(&header, MonoNanos(0), &batch)
}

fn answers(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event.body, EventBody::TransfersCreated(_))).count()
}

/// The leader takes and answers so many full batches.
fn send(cluster: &mut Cluster, count: usize) {
    let leader = cluster.leader();
    cluster.events.clear();
    let mut sent = 0;
    while sent < count {
        match submit(cluster, leader) {
            Ok(()) => sent += 1,
            Err(Full) => cluster.tick(),
        }
    }
    cluster.until("answers", |c| c.events.get(&leader).is_some_and(|events| answers(events) == count));
}

#[test]
fn batches_reach_everybody_and_survive_a_change_of_leader() {
    let mut cluster = cluster("batches");
    cluster.define(1, 10);
    send(&mut cluster, 12);
    cluster.define(11, 20);
    cluster.agree(20);
    let leader = cluster.serving().unwrap();
    cluster.stop(leader);
    send(&mut cluster, 6);
    cluster.define(21, 30);
    // Who was away gets them from the log, in more messages than one.
    cluster.open(leader);
    cluster.agree(30);
    let status = cluster.running[&leader].status();
    assert_eq!(status.role, Role::Follower);
    assert!(status.journal.segments > 0, "segments of 4 MiB were rolled");
}

#[test]
fn a_leader_has_a_bounded_number_of_bytes_in_flight_and_takes_no_more_than_fit_in_front_of_them() {
    let mut cluster = cluster("batches-bounded");
    cluster.define(1, 10);
    cluster.agree(10);
    let leader = cluster.leader();
    // Nothing arrives anywhere, so that nothing is committed; a lease is longer than this.
    cluster.network = |_, _, _| None;
    let last_before = cluster.running[&leader].status().index_last;
    let mut taken = 0;
    for _ in 0..60 {
        while submit(&mut cluster, leader).is_ok() {
            taken += 1;
        }
        cluster.tick();
    }
    let status = cluster.running[&leader].status();
    assert_eq!(status.role, Role::Leader);
    let in_flight = usize::try_from(status.index_last.0 - last_before.0).unwrap();
    assert_eq!(in_flight, IN_FLIGHT_BYTES_MAX / RECORD_BYTES_LARGE);
    assert_eq!(taken, in_flight + 7, "and what waits in front of them");
    cluster.network = |_, _, outbound| Some(outbound);
    let applied =
        |cluster: &Cluster| cluster.statuses().iter().all(|s| s.index_applied.0 >= last_before.0 + 7);
    cluster.until("they are applied", applied);
}

#[test]
fn a_damaged_block_of_a_batch_is_repaired_from_others() {
    let mut cluster = cluster("batches-repair");
    cluster.define(1, 10);
    send(&mut cluster, 5);
    cluster.define(11, 20);
    cluster.agree(20);
    let damaged = 3;
    stop_at_rest(&mut cluster, &[damaged]);
    let folder = cluster.folder(damaged);
    let large = with_entries(&folder);
    let large: Vec<_> = large.iter().filter(|(.., header)| header.len as usize > FRAME_BYTES_MAX).collect();
    assert_eq!(large.len(), 5);
    let (path, at, header) = large[2];
    flip(path, at + u64::from(header.len) / 2);
    cluster.open_or_repair(damaged).unwrap();
    comes_back(&mut cluster, damaged, RepairRow::LostFetched);
    cluster.agree(20);
}

/// Nothing but the clock asks again for a segment that could not be made.
#[test]
fn a_repair_that_finds_no_room_goes_on_once_there_is_some() {
    let mut cluster = cluster("repair-full");
    cluster.define(1, 10);
    send(&mut cluster, 16);
    stop_at_rest(&mut cluster, &[3]);
    let folder = cluster.folder(3);
    let first = with_entries(&folder).len() - 1;
    damage(&folder, first, Part::Body);
    cluster.open_or_repair(3).unwrap();
    cluster.besides[&3].set_mood(Mood::Full);
    cluster.until("a full disk", |cluster| {
        let repair = cluster.repairing.get(&3).map(Repair::status);
        repair.is_some_and(|status| (status.wait, status.row) == (RepairWait::Room, None))
    });
    cluster.besides[&3].set_mood(Mood::Well);
    comes_back(&mut cluster, 3, RepairRow::LostFetched);
    cluster.agree(10);
}
