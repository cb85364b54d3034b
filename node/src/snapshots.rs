//! Snapshots, written by a thread of their own while the hot thread goes on.

use std::io;
use std::thread::JoinHandle;

use journal::disk::DiskOperation;
use journal::snapshot_file::SnapshotFault;
use journal::{Dir, DiskCause, DiskFault, FileDisk, FileRef};
use replicas::{Replica, SnapshotWritten};

use crate::clock::Clock;
use crate::threads;

/// Each snapshot is written through a handle of its own, so that nothing that becomes of its thread ends the next one.
pub(crate) struct Snapshots {
    disk: FileDisk,
    writing: Option<JoinHandle<Ended>>,
}

type Ended = Result<SnapshotWritten, SnapshotFault>;

impl Snapshots {
    /// Writes through `disk`, a handle beside the journal's.
    pub(crate) fn new(disk: FileDisk) -> Self {
        Self { disk, writing: None }
    }

    /// Begins the snapshot that is due, and hands back the one that is done. Never waits: returns how long it took to begin one.
    pub(crate) fn step(&mut self, replica: &mut Replica<FileDisk>, clock: Clock) -> Option<u64> {
        if let Some(thread) = self.writing.take_if(|thread| thread.is_finished()) {
            // In the release build a panic has ended the process.
            if let Ok(result) = thread.join() {
                settle(replica, result);
            }
        }
        if self.writing.is_some() {
            return None;
        }
        let began = clock.mono();
        let job = replica.begin_snapshot()?;
        let nanos = clock.mono().since(began);
        let mut disk = self.disk.beside();
        match threads::start("snapshot", move || job.write(&mut disk)) {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => settle(replica, Err(not_started(&error))),
        }
        Some(nanos)
    }
}

fn settle(replica: &mut Replica<FileDisk>, result: Ended) {
    match &result {
        Ok(_) => tracing::info!("snapshot written"),
        Err(fault) => {
            tracing::warn!(%fault, "snapshot not written; it is tried again later");
        }
    }
    replica.end_snapshot(result);
}

/// What was not written because there was no thread to write it.
fn not_started(error: &io::Error) -> SnapshotFault {
    let file = FileRef::new(Dir::Snapshots, "");
    let cause = DiskCause::Os(error.raw_os_error().unwrap_or_default());
    SnapshotFault::Disk(DiskFault { operation: DiskOperation::Write, file, cause })
}
