//! Snapshots, written by a thread of their own while the hot thread goes on.

use std::thread::JoinHandle;

use journal::FileDisk;
use journal::snapshot_file::SnapshotFault;
use protocol::MonoNanos;
use replicas::{Replica, SnapshotWritten};

use crate::threads;

/// The handle that snapshots are written through: here while none is being written, else with the thread.
pub(crate) struct Snapshots {
    disk: Option<FileDisk>,
    writing: Option<JoinHandle<Ended>>,
}

type Ended = (FileDisk, Result<SnapshotWritten, SnapshotFault>);

impl Snapshots {
    /// Writes through `disk`, a handle beside the journal's.
    pub(crate) fn new(disk: FileDisk) -> Self {
        Self { disk: Some(disk), writing: None }
    }

    /// Begins the snapshot that is due, and hands back the one that is done. Never waits, except for the copy of the
    /// state.
    pub(crate) fn step(&mut self, replica: &mut Replica<FileDisk>, now: MonoNanos) {
        if let Some(thread) = self.writing.take_if(|thread| thread.is_finished()) {
            self.end(replica, thread);
        }
        if self.disk.is_none() {
            return;
        }
        let Some(job) = replica.begin_snapshot(now) else { return };
        let Some(mut disk) = self.disk.take() else { return };
        let started = threads::start("snapshot", move || {
            let written = job.write(&mut disk);
            (disk, written)
        });
        match started {
            Ok(thread) => self.writing = Some(thread),
            // The handle went with the thread that was not started: no further snapshot in this process.
            Err(error) => tracing::error!(%error, "no thread for snapshots"),
        }
    }

    fn end(&mut self, replica: &mut Replica<FileDisk>, thread: JoinHandle<Ended>) {
        // In the release build a panic has ended the process.
        let Ok((disk, result)) = thread.join() else { return };
        match &result {
            Ok(_) => tracing::info!("snapshot written"),
            Err(fault) => {
                tracing::warn!(%fault, "snapshot not written; it is tried again when the next one is due")
            }
        }
        self.disk = Some(disk);
        replica.end_snapshot(result);
    }

    /// Waits for the snapshot that is being written, so that a stop leaves no half of one.
    pub(crate) fn finish(&mut self, replica: &mut Replica<FileDisk>) {
        if let Some(thread) = self.writing.take() {
            self.end(replica, thread);
        }
    }
}
