//! Snapshot files and the outbox.

use journal::outbox::{self, FoundOutputs, Outbox, OutputsRead};
use journal::snapshot_file::{self, SnapshotFault, SnapshotHeader};
use journal::{Dir, Disk, DiskCause, FileRef, ReadFrom};
use protocol::event::{Event, OutputNumber};
use protocol::events::{EventBody, TransferExpired};
use protocol::hash::Hash;
use protocol::{AccountId, Amount, OutSeq, SessionEpoch, SessionId, TransferId};
use protocol::{ClusterEpoch, ClusterId, Index, Seq, Term, UnixNanos};

use crate::log::IDENTITY;
use crate::mem_disk::MemDisk;

pub(crate) fn header(index: u64) -> SnapshotHeader {
    SnapshotHeader {
        cluster: IDENTITY.cluster,
        epoch: ClusterEpoch(1),
        index: Index(index),
        term: Term(1),
        engine_version: 1,
        next_seq: Seq(index + 1),
        last_time: UnixNanos(9),
        chain: Hash([1; 32]),
        effect_hash: Hash([2; 32]),
        state_hash: Hash([3; 32]),
        conf_state: vec![1, 2, 3],
    }
}

#[test]
fn the_newest_valid_snapshot_wins_and_two_are_kept() {
    let mut disk = MemDisk::default();
    assert_eq!(kept(&mut disk), [0; 0]);
    for index in [10, 20, 30] {
        snapshot_file::store(&mut disk, &header(index), &vec![index as u8; 3 << 20], Index(index)).unwrap();
    }
    let unfinished = FileRef::new(Dir::Snapshots, "00000001-00000000000000000040.snap.tmp");
    disk.write_at(&unfinished, 0, b"half").unwrap();

    let mut after = MemDisk::of(disk.after_power_loss());
    assert_eq!(kept(&mut after), [30, 20]);
    let newest = header(30).file();
    assert_eq!(snapshot_file::load(&mut after, &newest), Ok((header(30), vec![30; 3 << 20])));
    snapshot_file::remove_unfinished(&mut after).unwrap();
    assert_eq!(after.len(&unfinished).unwrap(), None);

    // A damaged one was durable all the same: its name says up to where.
    for at in [500, 100] {
        after.write_at(&newest, at, &[0xff]).unwrap();
        assert!(snapshot_file::load(&mut after, &newest).is_err());
        assert_eq!(kept(&mut after), [30, 20]);
    }
    let foreign = SnapshotHeader { cluster: ClusterId(9), ..header(50) };
    snapshot_file::store(&mut after, &foreign, b"other", foreign.index).unwrap();
    let later = SnapshotHeader { epoch: ClusterEpoch(2), ..header(60) };
    snapshot_file::store(&mut after, &later, b"later", later.index).unwrap();
    assert_eq!(kept(&mut after), [0; 0], "neither is this replica's");
}

#[test]
fn the_newest_that_may_be_handed_on_is_kept_however_many_follow() {
    let mut disk = MemDisk::default();
    for (index, marked, expected) in [
        (10, 0, &[10][..]),
        (20, 10, &[20, 10]),
        (30, 10, &[30, 10]),
        (40, 10, &[40, 10]),
        (50, 40, &[50, 40]),
        (60, 60, &[60, 50]),
    ] {
        snapshot_file::store(&mut disk, &header(index), b"state", Index(marked)).unwrap();
        assert_eq!(kept(&mut disk), expected, "{index}, up to {marked} marked");
    }
    snapshot_file::remove_older(&mut disk, Index(0)).unwrap();
    assert_eq!(kept(&mut disk), [60, 50], "none is marked");
}

fn kept(disk: &mut MemDisk) -> Vec<u64> {
    snapshot_file::kept(disk, &IDENTITY).unwrap().iter().map(|kept| kept.index.0).collect()
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_the_older_ones() {
    let mut disk = MemDisk::default();
    snapshot_file::store(&mut disk, &header(10), b"state", Index(10)).unwrap();
    disk.break_with(DiskCause::NoSpace);
    assert!(matches!(
        snapshot_file::store(&mut disk, &header(20), b"state", Index(20)),
        Err(SnapshotFault::Disk(_))
    ));
    assert_eq!(kept(&mut MemDisk::of(disk.after_power_loss())), [10]);
}

#[test]
fn a_durable_snapshot_counts_although_an_older_one_cannot_be_removed() {
    let mut disk = MemDisk::default();
    for index in [10, 20] {
        snapshot_file::store(&mut disk, &header(index), b"state", Index(index)).unwrap();
    }
    disk.set_stuck(Some(header(10).file()));
    assert_eq!(snapshot_file::store(&mut disk, &header(30), b"state", Index(30)), Ok(header(30).file()));
    assert_eq!(kept(&mut disk), [30, 20, 10]);
    let at = snapshot_file::needed_from(&snapshot_file::kept(&mut disk, &IDENTITY).unwrap());
    // It may be the only one that a majority has, and that may be handed on: the log reaches back to it, which costs time alone.
    assert_eq!(at, Index(10));
    disk.set_stuck(None);
    snapshot_file::store(&mut disk, &header(40), b"state", Index(40)).unwrap();
    assert_eq!(kept(&mut disk), [40, 30], "tried again");
}

pub(crate) fn output(session: u32, out_seq: u64, seq: u64) -> Vec<u8> {
    output_in(session, 1, out_seq, seq)
}

fn output_in(session: u32, epoch: u32, out_seq: u64, seq: u64) -> Vec<u8> {
    let number =
        OutputNumber { session: SessionId(session), epoch: SessionEpoch(epoch), out_seq: OutSeq(out_seq) };
    let body = EventBody::TransferExpired(TransferExpired {
        transfer: TransferId(u128::from(seq)),
        debit_account: AccountId(1),
        credit_account: AccountId(2),
        amount: Amount(u128::from(seq)),
    });
    let mut bytes = Vec::new();
    Event { output: Some(number), seq: Seq(seq), time: UnixNanos(1), body }.write(&mut bytes);
    bytes
}

fn read(outbox: &mut Outbox<MemDisk>, session: u32, from: u64, to: u64) -> (Option<OutputsRead>, Vec<u8>) {
    let mut out = Vec::new();
    let read = outbox
        .read(SessionId(session), SessionEpoch(1), OutSeq(from), OutSeq(to), usize::MAX >> 1, &mut out)
        .unwrap();
    (read, out)
}

const FILE_BYTES: u64 = 2_000;

#[test]
fn outputs_are_read_back_before_and_after_a_restart_and_replay_appends_the_rest_again() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    let mut expected = Vec::new();
    for seq in 1..=100 {
        outbox.append(&output(20, seq, seq));
        outbox.append(&output(21, seq + 500, seq));
        expected.extend(output(20, seq, seq));
        if seq % 7 == 0 {
            outbox.flush();
        }
    }
    let all = OutputsRead { first: OutSeq(1), next: OutSeq(101) };
    assert_eq!(read(&mut outbox, 20, 1, u64::MAX), (Some(all), expected.clone()));
    assert_eq!(read(&mut outbox, 20, 40, 41).1, [output(20, 40, 40), output(20, 41, 41)].concat());
    assert_eq!(read(&mut outbox, 22, 1, 9).0, None);
    outbox.flush();
    assert_eq!(outbox.fault(), None);
    outbox::sync_all(&mut disk.clone()).unwrap();

    let mut again =
        Outbox::with_file_bytes(MemDisk::of(disk.after_power_loss()), Seq(60), FILE_BYTES).unwrap();
    assert_eq!(again.next(SessionId(20), SessionEpoch(1)), Some(OutSeq(61)));
    for seq in 61..=100 {
        again.append(&output(20, seq, seq));
        again.append(&output(21, seq + 500, seq));
    }
    assert_eq!(read(&mut again, 20, 1, u64::MAX), (Some(all), expected));
    assert_eq!(read(&mut again, 21, 600, 600).1, output(21, 600, 100));
    again.flush();
    let through_all =
        Outbox::with_file_bytes(MemDisk::of(again.disk_mut().after_kill()), Seq(100), FILE_BYTES).unwrap();
    assert_eq!(through_all.next(SessionId(21), SessionEpoch(1)), Some(OutSeq(601)));
}

#[test]
fn outputs_that_another_replica_has_are_no_gap_before_they_come_nor_after_a_restart() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    let session = (SessionId(20), SessionEpoch(1));
    outbox.expect(session.0, session.1, OutSeq(1), OutSeq(10));
    (10..=20).for_each(|seq| outbox.append(&output(20, seq, seq)));
    let mut bytes = Vec::new();
    let mut read_from = |outbox: &mut Outbox<MemDisk>, from: u64| {
        bytes.clear();
        outbox
            .read(session.0, session.1, OutSeq(from), OutSeq(20), 1 << 20, &mut bytes)
            .map(|_| bytes.clone())
    };
    let missing = read_from(&mut outbox, 1).unwrap_err();
    assert_eq!(missing.cause, DiskCause::NotFound);
    (4..10).for_each(|seq| outbox.fill(&output(20, seq, seq)));
    assert!(read_from(&mut outbox, 1).is_err());
    (1..3).for_each(|seq| outbox.fill(&output(20, seq, seq)));
    // What cannot be had any more is a gap, and nothing else is.
    outbox.give_up(session.0, session.1, OutSeq(1), OutSeq(10));
    let outputs = |from, to| (from..=to).flat_map(|seq| output(20, seq, seq)).collect::<Vec<_>>();
    assert_eq!(read_from(&mut outbox, 1).unwrap(), outputs(1, 2));
    assert_eq!(read_from(&mut outbox, 3).unwrap(), outputs(4, 20));
    outbox.append(&output(20, 21, 21));
    outbox.flush();

    // On the disk they stand behind later ones.
    let mut again = Outbox::with_file_bytes(disk.clone(), Seq(21), FILE_BYTES).unwrap();
    assert_eq!(read_from(&mut again, 3).unwrap(), outputs(4, 20));
    assert!(again.covers(session.0, session.1, OutSeq(4), OutSeq(22)));
    assert!(!again.covers(session.0, session.1, OutSeq(3), OutSeq(22)));
    // What is still to come behind the range says nothing about it.
    again.expect(session.0, session.1, OutSeq(22), OutSeq(30));
    assert!(again.covers(session.0, session.1, OutSeq(4), OutSeq(22)));
    assert!(!again.covers(session.0, session.1, OutSeq(4), OutSeq(23)));
}

#[test]
fn a_decayed_output_is_a_fault_and_no_gap() {
    let mut disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    (1..=3).for_each(|seq| outbox.append(&output(20, seq, seq)));
    outbox.flush();
    let file = FileRef::new(Dir::Outbox, "0000000001.out");
    let len = output(20, 1, 1).len();
    // Its session, its epoch, its number; its length and the rest are covered by its checksum.
    for at in [8, 12, 16].map(|field| (16 + len + field) as u64) {
        let mut byte = [0];
        disk.read(&file, at, &mut byte, ReadFrom::Cache).unwrap();
        disk.write_at(&file, at, &[!byte[0]]).unwrap();
        let mut bytes = Vec::new();
        let found = outbox.read(SessionId(20), SessionEpoch(1), OutSeq(2), OutSeq(3), 1 << 20, &mut bytes);
        assert_eq!(found.unwrap_err().cause, DiskCause::Damaged, "byte {at}");
        disk.write_at(&file, at, &byte).unwrap();
    }
}

#[test]
fn files_below_the_floor_are_removed_and_gaps_are_not_filled_with_other_numbers() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    for seq in 1..=200 {
        outbox.append(&output(20, seq, seq));
        outbox.flush();
    }
    let files = disk.clone().list(Dir::Outbox).unwrap().len();
    outbox.drop_below(SessionId(20), SessionEpoch(1), OutSeq(150)).unwrap();
    assert!(disk.clone().list(Dir::Outbox).unwrap().len() < files / 2);
    assert_eq!(read(&mut outbox, 20, 1, 151).0, Some(OutputsRead { first: OutSeq(150), next: OutSeq(152) }));
    outbox.append(&output(20, 205, 205));
    assert_eq!(read(&mut outbox, 20, 199, 300).0.unwrap().next, OutSeq(201), "stops before what is gone");
    assert_eq!(read(&mut outbox, 20, 201, 300).0.unwrap().first, OutSeq(205));
}

#[test]
fn an_outbox_that_cannot_be_written_keeps_everything_and_says_so() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::open(disk.clone(), Seq(0)).unwrap();
    disk.break_with(DiskCause::NoSpace);
    outbox.append(&output(20, 1, 1));
    outbox.flush();
    assert_eq!(outbox.fault().map(|fault| fault.cause), Some(DiskCause::NoSpace));
    assert_eq!(read(&mut outbox, 20, 1, 1).1, output(20, 1, 1));
    disk.mend();
    outbox.flush();
    assert_eq!((outbox.fault(), outbox.pending_bytes()), (None, 0));
    assert_eq!(read(&mut outbox, 20, 1, 1).1, output(20, 1, 1));
}

#[test]
fn what_a_full_disk_has_no_room_for_is_bounded_and_nobody_is_told_that_there_was_none() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    let most = (outbox::PENDING_FILES_MAX * FILE_BYTES) as usize;
    // Without a fault nothing waits above the bound, however seldom it is flushed.
    for seq in 1..=1_000 {
        outbox.append(&output(20, seq, seq));
        assert!(outbox.pending_bytes() <= most);
    }
    outbox.flush();
    assert_eq!((outbox.fault(), outbox.pending_bytes()), (None, 16));
    disk.break_with(DiskCause::NoSpace);
    for seq in 1_001..=3_000 {
        outbox.append(&output(20, seq, seq));
        assert!(outbox.pending_bytes() <= most, "at {seq}");
    }
    assert_eq!(outbox.next(SessionId(20), SessionEpoch(1)), Some(OutSeq(3_001)));
    let whole = read(&mut outbox, 20, 1, 3_000).0.unwrap();
    assert!(whole.first == OutSeq(1) && (1_001..2_000).contains(&whole.next.0), "{whole:?}");
    let read_from = |outbox: &mut Outbox<MemDisk>, from: OutSeq| {
        outbox.read(SessionId(20), SessionEpoch(1), from, OutSeq(3_000), 1 << 20, &mut Vec::new())
    };
    for _ in 0..2 {
        let fault = read_from(&mut outbox, whole.next).unwrap_err();
        assert_eq!(fault.cause, DiskCause::NoSpace);
        assert!(!outbox.covers(SessionId(20), SessionEpoch(1), OutSeq(1), OutSeq(3_001)));
        // Room alone does not bring back what was left out.
        disk.mend();
        outbox.flush();
        assert_eq!(outbox.fault().map(|fault| fault.cause), Some(DiskCause::NoSpace));
    }
    // The next process replays it.
    let mut again = Outbox::with_file_bytes(disk, Seq(500), FILE_BYTES).unwrap();
    for seq in 501..=3_000 {
        again.append(&output(20, seq, seq));
    }
    again.flush();
    assert_eq!(again.fault(), None);
    let all = OutputsRead { first: OutSeq(1), next: OutSeq(3_001) };
    assert_eq!(read_from(&mut again, OutSeq(1)), Ok(Some(all)));
    assert!(again.covers(SessionId(20), SessionEpoch(1), OutSeq(1), OutSeq(3_001)));
}

/// An outbox of 100 outputs of session 20, synced; also returns its files, oldest first.
fn hundred_outputs() -> (MemDisk, Vec<FileRef>) {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    for seq in 1..=100 {
        outbox.append(&output(20, seq, seq));
        outbox.flush();
    }
    outbox.flush();
    assert_eq!(outbox.fault(), None);
    outbox::sync_all(&mut disk.clone()).unwrap();
    let mut names = disk.clone().list(Dir::Outbox).unwrap();
    names.sort_unstable();
    assert!(names.len() > 4);
    let files = names.into_iter().map(|name| FileRef::new(Dir::Outbox, name)).collect();
    (MemDisk::of(disk.after_power_loss()), files)
}

/// Whole, cut, and damaged anywhere: what is found is what an opening would keep, and the disk stays as it was.
#[test]
fn outputs_are_found_as_an_opening_would_keep_them_and_nothing_is_written() {
    let session = (SessionId(20), SessionEpoch(1));
    for (through, damaged_at) in
        [(100, None), (60, None), (0, None), (100, Some(700)), (100, Some(3)), (70, Some(1_500))]
    {
        let (mut disk, files) = hundred_outputs();
        if let Some(at) = damaged_at {
            disk.write_at(&files[2], at, &[0xff; 8]).unwrap();
        }
        let before = disk.after_kill();
        let found = FoundOutputs::look(&mut disk, Seq(through)).unwrap();
        let mut kept =
            Outbox::with_file_bytes(MemDisk::of(before.clone()), Seq(through), FILE_BYTES).unwrap();
        for from in 1..=101 {
            let (from, to, mut bytes) = (OutSeq(from), OutSeq(100), [Vec::new(), Vec::new()]);
            let [one, two] = &mut bytes;
            let read = found.read(&mut disk, session, from, to, 1 << 20, one);
            assert_eq!(
                read,
                kept.read(session.0, session.1, from, to, 1 << 20, two),
                "{through} {damaged_at:?}"
            );
            assert_eq!(one, two);
        }
        assert_eq!(disk.after_kill(), before, "{through} {damaged_at:?}");
    }
}

#[test]
fn an_outbox_file_that_goes_while_all_are_synced_fails_no_snapshot() {
    let (mut disk, files) = hundred_outputs();
    disk.vanish(files[1].clone());
    outbox::sync_all(&mut disk).unwrap();
    assert_eq!(disk.list(Dir::Outbox).unwrap().len(), files.len() - 1);
    disk.break_with(DiskCause::Os(5));
    assert!(outbox::sync_all(&mut disk).is_err());
}

fn damaged(outbox: &Outbox<MemDisk>) -> Vec<(FileRef, u64)> {
    outbox.damaged().iter().map(|damage| (damage.file.clone(), damage.offset)).collect()
}

#[test]
fn damage_in_an_old_outbox_file_costs_the_rest_of_that_file_and_is_told_of() {
    let (mut disk, files) = hundred_outputs();
    let event_bytes = output(20, 1, 1).len() as u64;
    let in_file = disk.len(&files[0]).unwrap().unwrap() / event_bytes;
    let at = 16 + 2 * event_bytes;
    disk.write_at(&files[1], at + 60, &[0xee]).unwrap();
    let before = disk.after_kill();

    // The same at every start, and the damaged bytes stay.
    for _ in 0..2 {
        let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(100), FILE_BYTES).unwrap();
        assert_eq!(damaged(&outbox), [(files[1].clone(), at)]);
        assert_eq!(disk.after_kill(), before);
        let readable = OutputsRead { first: OutSeq(1), next: OutSeq(in_file + 3) };
        assert_eq!(read(&mut outbox, 20, 1, 100).0, Some(readable));
        let rest = OutputsRead { first: OutSeq(2 * in_file + 1), next: OutSeq(101) };
        assert_eq!(read(&mut outbox, 20, in_file + 3, 100).0, Some(rest));
    }
    // A file without a header is one that is damaged from its beginning on.
    disk.write_at(&files[2], 0, &[0]).unwrap();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(100), FILE_BYTES).unwrap();
    assert_eq!(damaged(&outbox), [(files[1].clone(), at), (files[2].clone(), 0)]);
    assert_eq!(read(&mut outbox, 20, in_file + 3, 100).0.unwrap().first, OutSeq(3 * in_file + 1));
}

#[test]
fn damage_before_the_snapshot_in_the_newest_outbox_file_is_not_written_over() {
    let (mut disk, files) = hundred_outputs();
    let newest = files.last().unwrap();
    disk.write_at(newest, 16 + 60, &[0xee]).unwrap();
    let before = disk.after_kill();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(100), FILE_BYTES).unwrap();
    assert_eq!(damaged(&outbox), [(newest.clone(), 16)]);
    outbox.append(&output(20, 101, 101));
    outbox.flush();
    assert_eq!(read(&mut outbox, 20, 101, 101).1, output(20, 101, 101));
    assert_eq!(disk.after_kill().get(newest), before.get(newest));
    let mut again = Outbox::with_file_bytes(disk, Seq(101), FILE_BYTES).unwrap();
    assert_eq!(damaged(&again), [(newest.clone(), 16)]);
    assert_eq!(read(&mut again, 20, 101, 101).1, output(20, 101, 101));
}

#[test]
fn damage_behind_the_snapshot_is_cut_silently_because_replay_writes_it_again() {
    for through in 0..100 {
        let (mut disk, files) = hundred_outputs();
        let event_bytes = output(20, 1, 1).len() as u64;
        let in_file = disk.len(&files[0]).unwrap().unwrap() / event_bytes;
        // The first event behind the snapshot.
        let (file, at) = (through / in_file, 16 + through % in_file * event_bytes);
        disk.write_at(&files[file as usize], at + 60, &[0xee]).unwrap();
        let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(through), FILE_BYTES).unwrap();
        assert_eq!(damaged(&outbox), [], "through {through}");
        for seq in through + 1..=100 {
            outbox.append(&output(20, seq, seq));
            outbox.flush();
        }
        let mut again = Outbox::with_file_bytes(disk, Seq(100), FILE_BYTES).unwrap();
        assert_eq!(damaged(&again), [], "through {through}");
        let all = OutputsRead { first: OutSeq(1), next: OutSeq(101) };
        assert_eq!(read(&mut again, 20, 1, 100).0, Some(all), "through {through}");
    }
}

#[test]
fn all_earlier_epochs_of_a_session_are_forgotten_with_their_files() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    for seq in 1..=100 {
        outbox.append(&output_in(20, if seq <= 50 { 1 } else { 2 }, seq, seq));
        outbox.flush();
    }
    outbox.append(&output_in(19, 1, 1, 101));
    outbox.append(&output_in(20, 4, 1, 101));
    outbox.append(&output_in(21, 1, 1, 101));
    outbox.flush();
    // Epoch 3 had no outputs: the one before it counts as well.
    outbox.drop_epochs_before(SessionId(20), SessionEpoch(4)).unwrap();
    assert_eq!(disk.clone().list(Dir::Outbox).unwrap().len(), 1);
    let next = |session, epoch| outbox.next(SessionId(session), SessionEpoch(epoch));
    assert_eq!([next(20, 1), next(20, 2)], [None; 2]);
    assert_eq!([next(19, 1), next(20, 4), next(21, 1)], [Some(OutSeq(2)); 3]);
}

#[test]
fn a_file_that_nothing_is_kept_in_goes_at_the_rollover_and_at_the_opening() {
    let disk = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(disk.clone(), Seq(0), FILE_BYTES).unwrap();
    let mut append = |out_seq, seq| {
        outbox.append(&output(20, out_seq, seq));
        outbox.flush();
        disk.clone().list(Dir::Outbox).unwrap().len()
    };
    for seq in 1..=100 {
        assert!(append(seq, seq) >= 1);
    }
    // Further on than the window: everything before leaves it, without a call of the session's.
    let mut at_rollover = 0;
    for seq in 101..=200 {
        at_rollover = append(seq + (1 << 21), seq);
    }
    let kept = disk.clone().list(Dir::Outbox).unwrap();
    assert!(!kept.contains(&"0000000001.out".to_owned()), "{at_rollover} files");

    // The same outputs leave the window when another start reads them.
    let full = MemDisk::default();
    let mut outbox = Outbox::with_file_bytes(full.clone(), Seq(0), FILE_BYTES).unwrap();
    for seq in 1..=100 {
        outbox.append(&output(20, seq, seq));
        outbox.flush();
    }
    outbox.append(&output(20, 1 << 21, 101));
    outbox.flush();
    let before = full.clone().list(Dir::Outbox).unwrap().len();
    let mut again = Outbox::with_file_bytes(full.clone(), Seq(101), FILE_BYTES).unwrap();
    assert!(before > 1 && full.clone().list(Dir::Outbox).unwrap().len() == 1);
    assert_eq!(read(&mut again, 20, 1, u64::MAX).1, output(20, 1 << 21, 101));
}
