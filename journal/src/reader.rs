//! Reads a journal, or copies of its files, for auditors and tools: plain reads, no lock, no map, never writes. Damaged
//! input is a finding and never a panic.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::journal::ASIDE_SUFFIX;
use crate::meta::{META_BYTES, MetaView};
use crate::segment::{BLOCKS_AT, HEADER_PAGE_BYTES, SegmentHeader, SegmentName};
use crate::survey::{Findings, Survey, Visit};

/// More of a segment's file is not read.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Files of a journal.
#[derive(Clone, Debug)]
pub struct Reader {
    paths: BTreeMap<SegmentName, PathBuf>,
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
        let folder = folder_of(dir);
        let mut paths = BTreeMap::new();
        for (name, path) in files_in(&folder)? {
            paths.extend(SegmentName::parse(&name).map(|segment| (segment, path)));
        }
        if paths.is_empty() {
            return Err(ReaderFault::NoSegments { path: folder });
        }
        let mut bytes = Vec::new();
        let path = dir.join(&*crate::meta::file().name);
        let meta = match read_up_to(&path, META_BYTES as u64, &mut bytes) {
            Ok(()) => Some(MetaView::read(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ReaderFault::Io { path, error }),
        };
        Ok(Self { segments: paths.keys().copied().collect(), paths, meta })
    }

    /// The logs that were set aside in a folder whenever its log began anew behind a peer's snapshot, oldest first. Each is one of its
    /// own; `meta`, as it is now, says nothing of them.
    ///
    /// # Errors
    /// [`ReaderFault::Io`].
    pub fn set_aside(dir: &Path) -> Result<Vec<Self>, ReaderFault> {
        let files = files_in(&folder_of(dir))?;
        let mut files: Vec<_> =
            files.into_iter().filter_map(|(name, path)| Some((aside_name(&name)?, path))).collect();
        files.sort_unstable();
        let mut logs: Vec<Self> = Vec::new();
        for ((name, _), path) in files {
            let goes_on = !begins_anew(&path)?;
            match logs.last_mut().filter(|log| goes_on && !log.paths.contains_key(&name)) {
                Some(log) => {
                    log.segments.push(name);
                    log.paths.insert(name, path);
                }
                None => {
                    let paths = BTreeMap::from([(name, path)]);
                    logs.push(Self { paths, segments: vec![name], meta: None });
                }
            }
        }
        Ok(logs)
    }

    /// The file of one of its segments.
    #[must_use]
    pub fn path_of(&self, name: SegmentName) -> Option<&Path> {
        self.paths.get(&name).map(PathBuf::as_path)
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
        for (name, path) in &self.paths {
            read_up_to(path, SEGMENT_BYTES_MAX, &mut bytes)
                .map_err(|error| ReaderFault::Io { path: path.clone(), error })?;
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

/// Where the segments of a node's folder are, or of one that holds copies of segments.
fn folder_of(dir: &Path) -> PathBuf {
    let below = dir.join(crate::Dir::Journal.path());
    if below.is_dir() { below } else { dir.to_owned() }
}

/// Names that are text, and their files.
fn files_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, ReaderFault> {
    let failed = |error| ReaderFault::Io { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        files.extend(entry.file_name().into_string().map(|name| (name, entry.path())));
    }
    Ok(files)
}

/// The segment that was set aside under this name, and for which time.
fn aside_name(name: &str) -> Option<(SegmentName, u32)> {
    let stem = name.strip_suffix(ASIDE_SUFFIX)?;
    if let Some(segment) = SegmentName::parse(stem) {
        return Some((segment, 1));
    }
    let (stem, number) = stem.rsplit_once('-')?;
    Some((SegmentName::parse(stem)?, number.parse().ok()?))
}

/// Whether a segment's header says, in one of its copies, that the log began anew with it.
fn begins_anew(path: &Path) -> Result<bool, ReaderFault> {
    let mut pages = Vec::new();
    read_up_to(path, BLOCKS_AT, &mut pages)
        .map_err(|error| ReaderFault::Io { path: path.to_owned(), error })?;
    let mut headers = pages.chunks(HEADER_PAGE_BYTES).filter_map(|page| SegmentHeader::read(page).ok());
    Ok(headers.next().is_some_and(|header| header.begins_anew))
}

fn read_up_to(path: &Path, bytes_max: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.clear();
    File::open(path)?.take(bytes_max).read_to_end(bytes)?;
    Ok(())
}
