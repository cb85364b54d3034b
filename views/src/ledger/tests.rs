//! The view against a naive model: a list of everything that moved, and loops over it.

mod bank;
mod compare;
mod disk;

use super::*;
use bank::Bank;
use compare::compare;

use disk::SimulatedDisk;
use protocol::{Amount, Seq};
use redb::Database;

fn open(disk: &SimulatedDisk, cache_bytes: usize) -> (Feed, Reader) {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    let database = builder.create_with_backend(disk.clone()).unwrap();
    Feed::restore(database).unwrap().unwrap()
}

/// Feeds a bank's whole log from where the view is, up to a seq.
fn catch_up(feed: &mut Feed, bank: &Bank, to: u64) {
    for fed in &bank.log[usize::try_from(feed.seq().0).unwrap()..usize::try_from(to).unwrap()] {
        feed.take(fed.seq, fed.time, &fed.record(), &fed.events).unwrap();
    }
}

#[test]
fn every_answer_is_that_of_the_model() {
    for seed in 0..12 {
        let mut bank = Bank::new(seed);
        let disk = SimulatedDisk::default();
        let cache = if seed % 2 == 0 { 1 << 20 } else { 0 };
        let (mut feed, mut reader) = open(&disk, cache);
        let mut held: Option<(Snapshot, Seq)> = None;
        for round in 0..60 {
            let steps = if bank.below(4) == 0 { bank.below(60) } else { bank.below(6) };
            for _ in 0..steps {
                bank.step();
            }
            catch_up(&mut feed, &bank, bank.seq.0);
            let persist = if bank.below(3) == 0 { Persist::Now } else { Persist::Later };
            feed.write(persist).unwrap();
            let snapshot = reader.snapshot(bank.seq).unwrap();
            assert!(
                matches!(reader.snapshot(bank.seq.next()), Err(ReadFault::Behind { seq }) if seq == bank.seq)
            );
            compare(&mut bank, &snapshot, &format!("seed {seed}, round {round}"));
            // What was asked of first does not change under the hands of who goes on asking.
            if let Some((held, seq)) = &held {
                assert_eq!(held.seq(), *seq, "seed {seed}, round {round}");
                compare(&mut bank, held, &format!("seed {seed}, round {round}, held"));
            }
            held = (bank.below(3) == 0).then_some((snapshot, bank.seq));
            if bank.below(8) == 0 {
                held = None;
                let seq = feed.seq();
                feed.write(Persist::Now).unwrap();
                drop((feed, reader));
                (feed, reader) = open(&disk, cache);
                assert_eq!(feed.seq(), seq);
                // Nothing is left of merges that were under way.
                let snapshot = reader.snapshot(Seq::ZERO).unwrap();
                let others =
                    "accounts attempts bodies catalogue days exchanges markets pending times triggers";
                let others = others.split(' ').count();
                let ((legs, ids), shifts) = (snapshot.runs(), snapshot.catalogue.shifts.len());
                assert_eq!(snapshot.transaction.list_tables().unwrap().count(), others + legs + ids + shifts);
            }
        }
    }
}

#[test]
fn after_a_crash_the_view_is_as_of_an_earlier_seq_and_catches_up() {
    let mut crashes_with_loss = 0;
    for seed in 0..16 {
        let mut bank = Bank::new(seed);
        let disk = SimulatedDisk::default();
        let (mut feed, mut reader) = open(&disk, 1 << 16);
        let mut durable = Seq::ZERO;
        for round in 0..25 {
            for _ in 0..bank.below(20) {
                bank.step();
            }
            catch_up(&mut feed, &bank, bank.seq.0);
            let persist = if bank.below(4) == 0 { Persist::Now } else { Persist::Later };
            let crash_in_it = bank.below(6) == 0;
            if crash_in_it {
                disk.fail_after(bank.below(40));
            }
            let written = feed.write(persist);
            if written.is_ok() && persist == Persist::Now {
                durable = feed.seq();
            }
            assert!(crash_in_it || written.is_ok(), "seed {seed}, round {round}: {written:?}");
            if crash_in_it || bank.below(10) == 0 {
                drop((feed, reader));
                disk.crash(bank.below(1 << 30));
                (feed, reader) = open(&disk, 1 << 16);
                assert!(feed.seq() >= durable, "seed {seed}, round {round}");
                crashes_with_loss += u32::from(feed.seq() < bank.seq);
                let snapshot = reader.snapshot(Seq::ZERO).unwrap();
                assert_eq!(snapshot.seq(), feed.seq());
                compare(&mut bank, &snapshot, &format!("seed {seed}, round {round}, crashed"));
                drop(snapshot);
                catch_up(&mut feed, &bank, bank.seq.0);
                feed.write(Persist::Later).unwrap();
            }
            let snapshot = reader.snapshot(bank.seq).unwrap();
            compare(&mut bank, &snapshot, &format!("seed {seed}, round {round}"));
        }
    }
    assert!(crashes_with_loss > 20, "{crashes_with_loss}");
}

#[test]
fn a_flipped_bit_is_found_or_changes_no_answer() {
    let mut bank = Bank::new(77);
    let written = SimulatedDisk::default();
    let (mut feed, reader) = open(&written, 1 << 20);
    for _ in 0..60 {
        bank.step();
        catch_up(&mut feed, &bank, bank.seq.0);
        feed.write(Persist::Now).unwrap();
    }
    drop((feed, reader));
    let (mut found, mut harmless) = (0, 0);
    for _ in 0..400 {
        let disk = written.copy();
        let at = usize::try_from(bank.below(disk.bytes().try_into().unwrap())).unwrap();
        disk.damage(at, u32::try_from(bank.below(8)).unwrap());
        let mut builder = Database::builder();
        builder.set_cache_size(1 << 20).set_check_integrity_on_open(true);
        let opened = builder.create_with_backend(disk).map_err(ViewFault::from).and_then(Feed::restore);
        match opened {
            Ok(Some((feed, reader))) => {
                assert_eq!(feed.seq(), bank.seq, "byte {at}");
                compare(&mut bank, &reader.snapshot(Seq::ZERO).unwrap(), &format!("byte {at}"));
                harmless += 1;
            }
            Ok(None) => found += 1,
            Err(fault) => {
                assert!(fault.is_in_the_file(), "byte {at}: {fault}");
                found += 1;
            }
        }
    }
    assert!(found > 20 && harmless > 20, "{found} found, {harmless} harmless");
}

#[test]
fn a_file_of_another_kind_or_version_is_thrown_away() {
    let path = std::env::temp_dir().join(format!("sicil-views-{}.redb", std::process::id()));
    let mut bank = Bank::new(5);
    bank.step();
    std::fs::write(&path, b"this is no view").unwrap();
    let Opened { mut feed, reader, thrown_away } = Feed::open(&path, 1 << 20).unwrap();
    assert!(thrown_away.is_some());
    catch_up(&mut feed, &bank, 1);
    feed.write(Persist::Now).unwrap();
    drop((feed, reader));
    let Opened { feed, reader, thrown_away } = Feed::open(&path, 1 << 20).unwrap();
    assert!(thrown_away.is_none() && feed.seq() == Seq(1));
    drop((feed, reader));
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut other = catalogue::Catalogue::default().write();
    other[4] ^= 2;
    run::seal(&mut other);
    transaction.open_table(catalogue::CATALOGUE).unwrap().insert((), other.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let Opened { feed, thrown_away, .. } = Feed::open(&path, 1 << 20).unwrap();
    assert!(thrown_away.is_some() && feed.seq() == Seq::ZERO);
    drop(feed);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn records_come_in_order_or_not_at_all() {
    let mut bank = Bank::new(9);
    for _ in 0..3 {
        bank.step();
    }
    let (mut feed, _) = open(&SimulatedDisk::default(), 1 << 20);
    catch_up(&mut feed, &bank, 1);
    for wrong in [0, 2] {
        let fed = &bank.log[wrong];
        let refused = feed.take(fed.seq, fed.time, &fed.record(), &fed.events);
        assert!(matches!(refused, Err(ViewFault::OutOfOrder { last: Seq(1), .. })), "{refused:?}");
    }
    catch_up(&mut feed, &bank, 3);
    assert_eq!(feed.seq(), Seq(3));
}

/// What passes the checksum and is not what this version writes is damaged, or other entries; nothing panics.
#[test]
fn any_bytes_under_a_right_checksum_are_read_or_refused() {
    let mut bank = Bank::new(31);
    let legs = (0..200).map(|number| leg::Leg {
        account: number / 40,
        counterparty: number,
        place: Place { seq: Seq(1 + u64::from(number)), step: number % 3 },
        change: Change::Settled { reserved: Amount(u128::from(number) << 90), posted: Amount(3) },
        code: 4,
        side: Side::Credit,
        closing: movement::Closing::No,
        expiry: false,
    });
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut writer = run::RunWriter::new();
    let mut keep = |_: &[u8], block: &[u8]| {
        blocks.push(block.to_vec());
        Ok(())
    };
    for leg in legs {
        writer.push(leg, &mut keep).unwrap();
    }
    writer.end(1, 1, &mut keep).unwrap();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let at = usize::try_from(bank.below(blocks.len().try_into().unwrap())).unwrap();
        let mut block = blocks[at].clone();
        for _ in 0..1 + bank.below(3) {
            let byte = 4 + usize::try_from(bank.below(u64::try_from(block.len()).unwrap() - 4)).unwrap();
            block[byte] = u8::try_from(bank.below(256)).unwrap();
        }
        if bank.below(4) == 0 {
            block.truncate(5 + usize::try_from(bank.below(u64::try_from(block.len()).unwrap() - 5)).unwrap());
        }
        run::seal(&mut block);
        let results = [
            run::read_block::<leg::Leg>(&block).is_ok(),
            run::read_block::<transfer_id::Fate>(&block).is_ok(),
            run::read_block::<shift::Shift>(&block).is_ok(),
            bodies::read_block(Place { seq: Seq(3), step: 0 }, &block).is_ok(),
            pending::Reservation::read(&block).is_ok(),
            markets::Market::read(&block).is_ok(),
            catalogue::Catalogue::read(&block).is_ok(),
            accounts::Definition::read(&block).is_ok(),
        ];
        read += results.iter().filter(|read| **read).count();
        refused += results.iter().filter(|read| !**read).count();
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}
