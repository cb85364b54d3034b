//! A view beside a replica: what it is handed, and what it catches up on.

use std::path::Path;

use journal::FileDisk;
use protocol::event::Event;
use protocol::frame::{Frame, FrameHeader};
use protocol::hash::Hash;
use protocol::{EventBody, Seq, UnixNanos};
use replicas::{CatchUp, CatchUpFault, Options, Replica, SnapshotPolicy, Tapped, View};

use super::{IDENTITY, checkpoint, define_assets, folder, journal_options, open_disk, options, run, step};

/// A frame with records: its first seq, its payload, what followed, and the hash behind it.
type Taken = (Seq, Vec<u8>, Vec<Event>, Hash);

fn taken(frame: &Frame<'_>, events: &[Event], effects: Hash) -> Taken {
    (frame.header.first_seq, frame.payload.to_vec(), events.to_vec(), effects)
}

fn last_seq(frame: &Frame<'_>) -> Seq {
    let FrameHeader { first_seq, count, .. } = frame.header;
    Seq(first_seq.0 + u64::from(count) - 1)
}

/// A replica with some commands in it and a snapshot in the middle; all that its tap has given, each with its last seq; and a
/// second handle on its files.
fn tapped(path: &Path) -> (Replica<FileDisk>, u64, Vec<(Seq, Taken)>, FileDisk) {
    let options = Options { snapshots: SnapshotPolicy { journal_bytes: 1, interval_ms: 0 }, ..options() };
    let disk = open_disk(path);
    let mut beside = disk.beside();
    let mut replica = Replica::create(disk.beside(), disk, IDENTITY, journal_options(), &options).unwrap();
    replica.open_tap(View::Ledger, |_| true);
    let (mut turn, mut stepped, mut frames) = (0, Vec::new(), Vec::new());
    run(&mut replica, &mut turn, &mut stepped, |r, _| r.serving());
    for batch in 0..6 {
        define_assets(&mut replica, batch * 100 + 1, batch * 100 + 100);
        let wanted = usize::try_from(batch + 1).unwrap() * 100;
        run(&mut replica, &mut turn, &mut stepped, |_, events| super::replies(events) == wanted);
        if batch == 2 {
            let job = checkpoint(&mut replica, &mut turn);
            let written = job.write(&mut beside);
            assert!(written.is_ok(), "{written:?}");
            replica.end_snapshot(written);
        }
        for tapped in replica.take_tapped(View::Ledger) {
            let Tapped::Applied { frame, events, effects } = tapped else { panic!("{tapped:?}") };
            let frame = Frame::read(&frame).unwrap();
            if frame.header.count > 0 {
                frames.push((last_seq(&frame), taken(&frame, &events, effects)));
            }
        }
    }
    let handed = frames.iter().flat_map(|(_, (_, _, events, _))| events);
    let handed: Vec<&Event> = handed.filter(|event| stepped.contains(event)).collect();
    assert_eq!(handed, stepped.iter().collect::<Vec<_>>(), "the tap gives what the replica's owner gets");
    (replica, turn, frames, beside)
}

fn catch_up(replica: &mut Replica<FileDisk>, turn: &mut u64) -> CatchUp {
    replica.open_tap(View::Ledger, |_| true);
    loop {
        if let Some(catch_up) = replica.begin_catch_up(View::Ledger) {
            assert!(replica.begin_catch_up(View::Ledger).is_none(), "once");
            return catch_up;
        }
        *turn += 1;
        step(replica, *turn, &mut Vec::new());
    }
}

#[test]
fn what_a_view_missed_is_what_it_would_have_been_handed() {
    let path = folder("tap");
    let (mut replica, mut turn, frames, mut beside) = tapped(&path);
    let catch_up = catch_up(&mut replica, &mut turn);
    let mut from = (Seq::ZERO, Hash::ZERO);
    for start in 0..=frames.len() {
        let mut again = Vec::new();
        let ran = catch_up.run(&mut beside, from, &mut |frame, events, effects| {
            again.push((last_seq(frame), taken(frame, events, effects)));
            true
        });
        assert_eq!(ran, Ok(()), "from {from:?}");
        assert!(
            again == frames[start..],
            "from {from:?}: {} frames, not {}",
            again.len(),
            frames.len() - start
        );
        if let Some((seq, (.., effects))) = frames.get(start) {
            from = (*seq, *effects);
        }
    }
    assert!(
        frames.len() > 6
            && frames.iter().any(|(_, (_, _, events, _))| {
                events.iter().any(|event| matches!(event.body, EventBody::CheckpointMarked(_)))
            })
    );
}

#[test]
fn a_view_of_another_log_is_told_so_and_one_that_has_enough_is_left_alone() {
    let path = folder("tap-other");
    let (mut replica, mut turn, frames, mut beside) = tapped(&path);
    let catch_up = catch_up(&mut replica, &mut turn);
    let (seq, (.., effects)) = &frames[1];
    let other = Hash([7; 32]);
    let mut frames_taken = 0;
    let mut run = |from, left: usize| {
        frames_taken = 0;
        catch_up.run(&mut beside, from, &mut |_, _, _| {
            frames_taken += 1;
            frames_taken < left
        })
    };
    assert_eq!(run((*seq, other), usize::MAX), Err(CatchUpFault::Effects { seq: *seq }));
    let ahead = Seq(frames.last().unwrap().0.0 + 1_000);
    assert_eq!(run((ahead, *effects), usize::MAX), Err(CatchUpFault::Effects { seq: ahead }));
    // Where a snapshot ends, its header knows.
    let checkpoint = frames.iter().find(|(_, (_, _, events, _))| {
        events.iter().any(|event| matches!(event.body, EventBody::CheckpointMarked(_)))
    });
    let at_snapshot = checkpoint.unwrap().0;
    assert_eq!(run((at_snapshot, other), usize::MAX), Err(CatchUpFault::Effects { seq: at_snapshot }));
    assert_eq!(run((*seq, *effects), 2), Err(CatchUpFault::Stopped));
    assert_eq!(frames_taken, 2);
}

#[test]
fn a_run_may_begin_at_a_snapshot_too() {
    let path = folder("tap-later");
    let (mut replica, mut turn, frames, mut beside) = tapped(&path);
    let catch_up = catch_up(&mut replica, &mut turn);
    let begins = catch_up.later_beginnings(&mut beside).unwrap();
    let [(seq, time, effects)] = begins[..] else { panic!("{begins:?}") };
    let at = frames.iter().position(|(last, _)| *last == seq).unwrap();
    assert_eq!(frames[at].1.3, effects);
    assert!(time > UnixNanos(0));
    let mut again = Vec::new();
    let ran = catch_up.run(&mut beside, (seq, effects), &mut |frame, events, effects| {
        again.push((last_seq(frame), taken(frame, events, effects)));
        true
    });
    assert_eq!(ran, Ok(()));
    assert!(again == frames[at + 1..] && again.len() > 2, "{} frames", again.len());
}

#[test]
fn a_closed_tap_keeps_nothing() {
    let path = folder("tap-closed");
    let (mut replica, mut turn, ..) = tapped(&path);
    replica.close_tap(View::Ledger);
    define_assets(&mut replica, 601, 700);
    run(&mut replica, &mut turn, &mut Vec::new(), |_, events| super::replies(events) == 100);
    assert!(replica.take_tapped(View::Ledger).is_empty() && replica.begin_catch_up(View::Ledger).is_none());
}
