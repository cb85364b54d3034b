//! Reads a journal, or copies of its files, for auditors and tools: plain reads, no lock, no map, never writes. Damaged
//! input is a finding and never a panic.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::meta::{META_BYTES, MetaView};
use crate::segment::SegmentName;
use crate::survey::{Findings, Survey, Visit};

/// More of a segment's file is not read.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Files of a journal.
#[derive(Clone, Debug)]
pub struct Reader {
    folder: PathBuf,
    segments: Vec<SegmentName>,
    meta: Option<MetaView>,
}

/// A journal cannot be read at all; damage in it is a [`Visit::Damage`] instead.
#[derive(Debug, thiserror::Error)]
pub enum ReaderFault {
    /// The operating system.
    #[error("{}: {error}", path.display())]
    Io {
        /// What it was asked for.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// No file in the folder has the name of a segment.
    #[error("{}: no segments of a journal", path.display())]
    NoSegments {
        /// The folder.
        path: PathBuf,
    },
}

impl Reader {
    /// Opens a node's folder, or one that holds copies of segments. `meta` makes the verdict on the tail sharper, and is
    /// not needed.
    ///
    /// # Errors
    /// [`ReaderFault`].
    pub fn open(dir: &Path) -> Result<Self, ReaderFault> {
        let below = dir.join(crate::Dir::Journal.path());
        let folder = if below.is_dir() { below } else { dir.to_owned() };
        let failed = |error| ReaderFault::Io { path: folder.clone(), error };
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            segments.extend(name.to_str().and_then(SegmentName::parse));
        }
        if segments.is_empty() {
            return Err(ReaderFault::NoSegments { path: folder });
        }
        segments.sort_unstable();
        let mut bytes = Vec::new();
        let path = dir.join(&*crate::meta::file().name);
        let meta = match read_up_to(&path, META_BYTES as u64, &mut bytes) {
            Ok(()) => Some(MetaView::read(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ReaderFault::Io { path, error }),
        };
        Ok(Self { folder, segments, meta })
    }

    /// Its segments, spares included, in order.
    #[must_use]
    pub fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    /// `meta`, if it was there.
    #[must_use]
    pub fn meta(&self) -> Option<&MetaView> {
        self.meta.as_ref()
    }

    /// Walks everything in order, verifying checksums, chain, numbers and links, until `visit` breaks. A TRUNCATE frame
    /// makes entries void that were visited before it; it never reaches below a block's `commit_index`. Damage is
    /// visited where it is met, and whole blocks behind it are visited as unlinked.
    ///
    /// `None` if `visit` broke off.
    ///
    /// # Errors
    /// [`ReaderFault::Io`].
    pub fn scan(
        &self,
        mut visit: impl FnMut(Visit<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Findings>, ReaderFault> {
        let mut survey = Survey::new();
        let mut bytes = Vec::new();
        let mut flow = ControlFlow::Continue(());
        for name in &self.segments {
            let path = self.folder.join(name.to_string());
            read_up_to(&path, SEGMENT_BYTES_MAX, &mut bytes)
                .map_err(|error| ReaderFault::Io { path, error })?;
            survey.segment(*name, &bytes, &mut |visited| {
                if flow.is_continue() {
                    flow = visit(visited);
                }
            });
            if flow.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(survey.finish(self.meta.map_or(0, |meta| meta.durable_hint))))
    }
}

fn read_up_to(path: &Path, bytes_max: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.clear();
    File::open(path)?.take(bytes_max).read_to_end(bytes)?;
    Ok(())
}
