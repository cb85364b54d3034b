//! The model itself: what may be lost is lost in some run, what may not never is.

use super::*;
use std::collections::BTreeSet;
use std::sync::Arc;

use journal::AlignedBuf;

const QUICK: Latency = Latency { min_us: 10, max_us: 10, stall_ppm: 0, stall_us: 0 };

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(Rng::new(seed), QUICK, 1 << 20, Trace::default())
}

fn file() -> FileRef {
    FileRef::new(Dir::Journal, "f")
}

/// A file of `sectors` sectors of `byte`, all of it durable.
fn with_durable(seed: u64, sectors: usize, byte: u8) -> SimDisk {
    let mut disk = disk(seed);
    disk.write_at(&file(), 0, &vec![byte; sectors * SECTOR_BYTES]).unwrap();
    disk.sync(&file()).unwrap();
    disk.sync_dir(Dir::Journal).unwrap();
    disk
}

fn first_bytes(disk: &SimDisk) -> Vec<u8> {
    disk.peek(&file()).unwrap_or_default().chunks(SECTOR_BYTES).map(|sector| sector[0]).collect()
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_any_part_of_what_was_not() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let mut disk = with_durable(seed, 3, 1);
        disk.write_at(&file(), SECTOR_BYTES as u64, &[2; 2 * SECTOR_BYTES]).unwrap();
        disk.crash(Crash::Power);
        let left = first_bytes(&disk);
        assert_eq!(left[0], 1, "seed {seed}");
        seen.insert(left);
    }
    let subsets = [vec![1, 1, 1], vec![1, 2, 1], vec![1, 1, 2], vec![1, 2, 2]];
    assert_eq!(seen, BTreeSet::from(subsets));
}

#[test]
fn a_dead_process_leaves_the_page_cache() {
    let mut disk = with_durable(1, 1, 1);
    disk.write_at(&file(), 0, &[2; SECTOR_BYTES]).unwrap();
    disk.crash(Crash::Process);
    assert_eq!(first_bytes(&disk), [2]);
    disk.crash(Crash::Process);
    disk.sync(&file()).unwrap();
    disk.crash(Crash::Power);
    assert_eq!(first_bytes(&disk), [2]);
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_nowhere() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut disk = with_durable(seed, 1, 1);
        disk.write_at(&file(), 0, &[2; SECTOR_BYTES]).unwrap();
        disk.fail_next(Some(Failure {
            dir: Dir::Journal,
            operation: DiskOperation::Sync,
            cause: EIO,
            behind: 0,
        }));
        assert!(disk.sync(&file()).is_err());
        disk.sync(&file()).unwrap();
        let (mut cached, mut device) = ([0; 1], [0; 1]);
        disk.read(&file(), 0, &mut cached, ReadFrom::Cache).unwrap();
        disk.read(&file(), 0, &mut device, ReadFrom::Device).unwrap();
        assert_eq!(cached, [2]);
        disk.crash(Crash::Power);
        assert_eq!(first_bytes(&disk), device, "what the device said is what is left");
        lost += u32::from(device == [1]);
    }
    assert!((10..40).contains(&lost), "{lost}");
}

#[test]
fn names_are_durable_after_their_folder_is_synced() {
    let to = FileRef::new(Dir::Journal, "g");
    let (mut kept, mut gone) = (0, 0);
    for seed in 0..100 {
        let mut disk = with_durable(seed, 1, 1);
        disk.rename(&file(), &to).unwrap();
        disk.crash(Crash::Power);
        match (disk.peek(&file()), disk.peek(&to)) {
            (Some(_), None) => gone += 1,
            (None, Some(_)) => kept += 1,
            both_or_none => panic!("seed {seed}: {both_or_none:?}"),
        }
        disk.remove(&file()).unwrap();
        disk.remove(&to).unwrap();
        disk.sync_dir(Dir::Journal).unwrap();
        disk.crash(Crash::Power);
        assert_eq!(disk.peek_names(Dir::Journal), Vec::<String>::new());
    }
    assert!(kept > 20 && gone > 20, "{kept} kept, {gone} gone");
}

#[test]
fn a_durable_write_in_flight_is_torn_by_sector_and_a_finished_one_stays() {
    let bytes = Arc::new(AlignedBuf::from(&[2; 4096][..]));
    let write = |token, offset| BlockWrite {
        token,
        file: file(),
        offset,
        bytes: Arc::clone(&bytes),
        is_awaited: false,
    };
    let mut torn = 0;
    for seed in 0..100 {
        let mut disk = with_durable(seed, 16, 1);
        disk.submit(write(1, 0));
        assert!(disk.poll().is_none());
        disk.set_now(disk.next_due().unwrap());
        let completion = disk.poll().unwrap();
        assert_eq!((completion.token, completion.result), (1, Ok(())));
        disk.submit(write(2, 4096));
        disk.crash(Crash::Power);
        let left = first_bytes(&disk);
        assert_eq!(left[..8], [2; 8], "seed {seed}");
        let new = left[8..].iter().filter(|byte| **byte == 2).count();
        torn += u32::from(new != 0 && new != 8);
    }
    assert!(torn > 20, "{torn}");
}

#[test]
fn death_at_an_operation_stops_every_later_one_and_a_full_disk_refuses_growth_alone() {
    let mut disk = with_durable(5, 2, 1);
    disk.die_at(Some(disk.operations() + 2));
    disk.write_at(&file(), 0, &[2; SECTOR_BYTES]).unwrap();
    assert!(disk.sync(&file()).is_err() && disk.is_dead());
    assert!(disk.write_at(&file(), 512, &[3; SECTOR_BYTES]).is_err());
    disk.crash(Crash::Process);
    assert_eq!(first_bytes(&disk), [2, 1]);

    disk.set_free(100);
    assert_eq!(disk.0.borrow().free_bytes(), 100);
    disk.write_at(&file(), 0, &[4; 2 * SECTOR_BYTES]).unwrap();
    let refused = disk.write_at(&file(), 1_000, &[4; SECTOR_BYTES]).map_err(|fault| fault.cause);
    assert_eq!(refused, Err(DiskCause::NoSpace));
}

#[test]
fn a_spare_is_made_in_steps_and_found_whole_or_not_at_all() {
    let spare = Spare { file: FileRef::new(Dir::Journal, "s"), bytes: 128 << 10, nonce: 9 };
    let mut outcomes = BTreeSet::new();
    for steps in 0..7 {
        let mut disk = disk(steps);
        disk.request_spare(spare.clone());
        let mut done = None;
        for _ in 0..steps {
            disk.set_now(disk.next_due().unwrap());
            done = disk.poll_spare();
            if done.is_some() {
                break;
            }
        }
        disk.crash(Crash::Power);
        let found = disk.peek(&spare.file);
        if let Some(found) = &found {
            assert_eq!(found.len(), 128 << 10, "after {steps} steps");
            assert!(segment::is_prefill(found, spare.nonce));
        }
        assert!(done.is_none() || found.is_some());
        outcomes.insert(found.is_some());
    }
    assert_eq!(outcomes.len(), 2);
}

#[test]
fn a_process_dies_so_many_operations_behind_the_place_that_somebody_aims_at() {
    let [made, named] = ["1.snap.making", "1.snap"].map(|name| FileRef::new(Dir::Snapshots, name));
    for behind in 0..3 {
        let mut disk = with_durable(1, 1, 1);
        disk.write_at(&made, 0, &[1]).unwrap();
        disk.aim(Aim { place: Place::SnapshotNamed, nth: 1, behind });
        let done = [
            disk.rename(&made, &named).is_ok(),
            disk.write_at(&file(), 0, &[2]).is_ok(),
            disk.sync_dir(Dir::Snapshots).is_ok(),
        ];
        assert_eq!(done.iter().filter(|ok| **ok).count() as u64, behind, "{done:?}");
        assert!(disk.is_dead(), "{behind} behind");
    }
}

#[test]
fn of_several_calls_the_one_fails_that_somebody_asked_for() {
    let mut disk = with_durable(1, 1, 1);
    disk.fail_next(Some(Failure {
        dir: Dir::Journal,
        operation: DiskOperation::Sync,
        cause: EIO,
        behind: 1,
    }));
    let done = [disk.sync(&file()).is_ok(), disk.sync_dir(Dir::Journal).is_ok(), disk.sync(&file()).is_ok()];
    assert_eq!(done, [true, false, true]);
}

#[test]
fn outputs_decay_that_nobody_has_synced_and_the_newest_most() {
    let outbox = FileRef::new(Dir::Outbox, "1.out");
    let output = |len: usize| {
        let mut bytes = vec![7; len];
        bytes[..4].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        bytes
    };
    let bytes: Vec<u8> = std::iter::once(vec![0; 16]).chain((0..100).map(|_| output(64))).flatten().collect();
    let (mut newest, mut headers) = (0, 0);
    for seed in 0..200 {
        let mut disk = disk(seed);
        disk.write_at(&outbox, 0, &bytes).unwrap();
        disk.sync_dir(Dir::Outbox).unwrap();
        let Some(_) = disk.rot_outbox() else { continue };
        let found = disk.peek(&outbox).unwrap();
        let at = (0..bytes.len()).find(|at| found[*at] != bytes[*at]).unwrap();
        newest += u32::from(at >= 16 + 76 * 64);
        headers += u32::from((at - 16) % 64 < 48);
        disk.crash(Crash::Power);
        assert!(disk.is_rotten(&outbox), "seed {seed}: what has decayed is on the medium");
    }
    assert!(newest > 120 && headers > 100, "{newest} of the newest, {headers} in headers");
}

#[test]
fn a_write_that_was_under_way_counts_once_its_file_is_synced_and_not_before() {
    let bytes = Arc::new(AlignedBuf::from(&[2; 4096][..]));
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut disk = with_durable(seed, 8, 1);
        let bytes = Arc::clone(&bytes);
        disk.submit(BlockWrite { token: 1, file: file(), offset: 0, bytes, is_awaited: false });
        disk.crash(Crash::Process);
        let is_whole = first_bytes(&disk) == [2; 8];
        assert!(disk.durable_writes(0).is_empty(), "seed {seed}: nobody has synced");
        if seed % 2 == 0 {
            disk.sync(&FileRef::new(Dir::Journal, "g")).unwrap_err();
            disk.crash(Crash::Power);
            lost += u32::from(is_whole && first_bytes(&disk) != [2; 8]);
            assert!(disk.durable_writes(0).is_empty(), "seed {seed}: nobody has synced");
        } else {
            disk.sync(&file()).unwrap();
            assert_eq!(disk.durable_writes(0).len(), usize::from(is_whole), "seed {seed}");
            disk.crash(Crash::Power);
            assert_eq!(first_bytes(&disk) == [2; 8], is_whole, "seed {seed}");
            assert!(disk.damaged_writes().is_empty(), "seed {seed}");
            (kept, torn) = (kept + u32::from(is_whole), torn + u32::from(!is_whole));
        }
    }
    assert!(lost > 5 && kept > 20 && torn > 20, "{lost} lost, {kept} kept, {torn} torn");
}
