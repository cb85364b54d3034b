//! A snapshot that was reported to be durable is there after any loss of power, byte for byte: the log behind it may be
//! dropped because of it.

use std::collections::BTreeMap;

use journal::{Dir, FileRef};

use super::{Violation, ensure};
use crate::disk::SimDisk;

/// Snapshots of one disk that were reported to be durable.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(BTreeMap<FileRef, Vec<u8>>);

impl Snapshots {
    /// These are durable from now on; those that were removed for them are forgotten.
    pub(crate) fn durable(&mut self, files: &[FileRef], disk: &SimDisk) {
        for file in files {
            // What was removed again before the turn was over is promised by nobody.
            if let Some(bytes) = disk.peek(file) {
                self.0.insert(file.clone(), bytes);
            }
        }
        let names = disk.peek_names(Dir::Snapshots);
        self.0.retain(|file, _| names.iter().any(|name| *file.name == **name));
    }

    /// In front of a start.
    pub(crate) fn check(&self, disk: &SimDisk) -> Result<(), Violation> {
        // The newest was not made in order to be removed; those before it may be on their way out.
        let Some((file, bytes)) = self.0.last_key_value() else { return Ok(()) };
        if disk.has_lied() || disk.was_rotten(file) {
            return Ok(());
        }
        let found = disk.peek(file);
        // A store that ended with a fault may have come far enough to make a newer one durable, and remove this one, that no
        // majority was known to agree with.
        let names = disk.peek_names(Dir::Snapshots);
        let has_newer = names.iter().any(|name| name.ends_with(".snap") && **name > *file.name);
        if found.is_none() && has_newer {
            return Ok(());
        }
        ensure(found.as_ref() == Some(bytes), "snapshots_survive", || {
            let found = found.map(|found| found.len());
            format!("{file} was durable with {} bytes; found {found:?} or others", bytes.len())
        })
    }
}
