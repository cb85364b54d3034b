//! The same log on the real disk, with each writer; and the lock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use journal::file_disk::FolderFault;
use journal::outbox::{self, Outbox};
use journal::{Dir, Disk, FileDisk, FileRef, Journal, Options, ReadFrom, WriterKind};
use protocol::{Index, Seq};

use crate::files::output;
use crate::log::{IDENTITY, entry, options};

/// A folder of its own below the build's, removed when the test has passed.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-{name}-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

pub(crate) fn settle(journal: &mut Journal<FileDisk>) {
    while journal.durable() != journal.appended() {
        let progress = journal.step().unwrap_or_else(|fault| panic!("{fault}"));
        if !progress.completed {
            journal.disk_mut().wait(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_lone_record_that_is_awaited_is_durable_before_the_step_ends() {
    for kind in [WriterKind::Direct, WriterKind::Mapped, WriterKind::Plain] {
        let folder = Folder::new(&format!("awaited-{kind}"));
        let mut journal =
            Journal::create(FileDisk::open(&folder.0, kind).unwrap(), IDENTITY, options()).unwrap();
        settle(&mut journal);
        journal.await_lone_records(true);
        // As long as the block is one page, and after a longer one, which its thread writes.
        for (index, bytes) in [(1, 100), (2, 2_000), (3, 9_000), (4, 100), (5, 100)] {
            journal.append(&entry(index, 1, bytes, 3));
            assert!(journal.step().unwrap_or_else(|fault| panic!("{fault}")).submitted, "{kind}");
            if bytes < 4_000 {
                // Nobody has waited.
                let progress = journal.step().unwrap_or_else(|fault| panic!("{fault}"));
                assert_eq!((progress.completed, progress.durable_index), (true, Index(index)), "{kind}");
            }
            settle(&mut journal);
        }
        drop(journal);
        let opened = Journal::open(FileDisk::open(&folder.0, WriterKind::Plain).unwrap(), options()).unwrap();
        assert_eq!(opened.journal.last_index(), Index(5), "{kind}");
    }
}

#[test]
fn a_sealed_file_is_read_in_any_order_and_to_its_end() {
    const BYTES: usize = 20 << 20;
    let folder = Folder::new("sealed");
    let mut disk = FileDisk::open(&folder.0, WriterKind::Direct).unwrap();
    let file = FileRef::new(Dir::Journal, "sealed");
    let written: Vec<u8> =
        (0..BYTES / 4).flat_map(|word| u32::try_from(word).unwrap().to_le_bytes()).collect();
    disk.write_at(&file, 0, &written).unwrap();
    // On and on, as a log is applied; back; over what has not been asked for; over the end, and behind it.
    let on = (0..BYTES / 300_000).map(|turn| turn * 300_000);
    for offset in on.chain([0, 12 << 20, 5, BYTES - 100, BYTES, BYTES + 4_096, usize::MAX]) {
        let mut bytes = vec![0; 300_000];
        let read = disk.read(&file, offset as u64, &mut bytes, ReadFrom::Sealed).unwrap();
        let expected = written.get(offset..).unwrap_or_default();
        let expected = &expected[..expected.len().min(bytes.len())];
        assert!(bytes[..read] == *expected, "at {offset}");
    }
}

#[test]
fn every_writer_leaves_the_same_log() {
    for kind in [WriterKind::Direct, WriterKind::Mapped, WriterKind::Plain] {
        let folder = Folder::new(&kind.to_string());
        let disk = FileDisk::open(&folder.0, kind).unwrap();
        let mut journal = Journal::create(disk, IDENTITY, options()).unwrap();
        for index in 1..=60 {
            journal.append(&entry(index, 1, 9_000, 3));
            if index % 2 == 0 {
                settle(&mut journal);
            }
        }
        assert!(journal.stats().segments >= 1, "{kind}");
        let chain = journal.last_chain();
        for index in [1, 30, 60] {
            assert_eq!(journal.entry(Index(index)).unwrap()[..9_096], entry(index, 1, 9_000, 3)[..9_096]);
        }
        drop(journal);
        let disk = FileDisk::open(&folder.0, WriterKind::Plain).unwrap();
        let mut opened = Journal::open(disk, Options { tail_bytes: 0, ..options() }).unwrap();
        assert_eq!((opened.journal.last_index(), opened.journal.last_chain()), (Index(60), chain), "{kind}");
        for index in 1..=60 {
            assert_eq!(
                opened.journal.entry(Index(index)).unwrap()[..9_096],
                entry(index, 1, 9_000, 3)[..9_096]
            );
        }
    }
}

#[test]
fn a_second_process_is_told_who_holds_the_folder() {
    let folder = Folder::new("lock");
    let disk = FileDisk::open(&folder.0, WriterKind::Direct).unwrap();
    let beside = disk.beside();
    drop(disk);
    let Err(FolderFault::Locked { owner, .. }) = FileDisk::open(&folder.0, WriterKind::Direct) else {
        panic!("opened twice");
    };
    assert_eq!(owner, Some(std::process::id()));
    drop(beside);
    assert!(FileDisk::open(&folder.0, WriterKind::Direct).is_ok());
}

/// A folder in which the file that a writer is tried on leads to `target`.
fn folder_with_probe(name: &str, target: &str) -> Folder {
    let folder = Folder::new(name);
    std::fs::create_dir_all(folder.0.join("j")).unwrap();
    std::os::unix::fs::symlink(target, folder.0.join("j/probe.tmp")).unwrap();
    folder
}

#[test]
fn only_a_file_system_that_does_not_know_the_writer_makes_it_fall_back() {
    for kind in [WriterKind::Direct, WriterKind::Mapped] {
        let full = folder_with_probe("probe-full", "/dev/full");
        let disk = FileDisk::open(&full.0, kind).unwrap();
        assert_eq!(
            (disk.writer(), disk.fell_back()),
            (kind, None),
            "a full disk says nothing about the writer"
        );

        let elsewhere = folder_with_probe("probe-fault", "no/such/folder");
        let fault = FileDisk::open(&elsewhere.0, kind).err().expect("neither tried nor unknown");
        assert!(matches!(fault, FolderFault::Disk { .. }), "{fault}");
        assert!(!elsewhere.0.join("j/probe.tmp").is_symlink());
    }
    // A device without direct writes: EINVAL.
    let unknown = folder_with_probe("probe-unknown", "/dev/null");
    let disk = FileDisk::open(&unknown.0, WriterKind::Direct).unwrap();
    assert_eq!((disk.writer(), disk.fell_back().is_some()), (WriterKind::Plain, true));
}

#[test]
fn a_handle_that_syncs_the_outbox_holds_none_of_its_files() {
    let folder = Folder::new("outbox-sync");
    let mut disk = FileDisk::open(&folder.0, WriterKind::Plain).unwrap();
    let mut outbox = Outbox::open(disk.beside(), Seq::ZERO).unwrap();
    outbox.append(&output(20, 1, 1));
    outbox.flush();
    outbox::sync_all(&mut disk).unwrap();
    outbox.disk_mut().remove(&FileRef::new(Dir::Outbox, "0000000001.out")).unwrap();
    let open: Vec<PathBuf> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter(|path| path.to_string_lossy().contains("journal-outbox-sync-"))
        .collect();
    assert!(open.iter().all(|path| path.ends_with("lock")), "{open:?}");
}
