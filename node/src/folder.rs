//! The data folder: whether it is ours, who holds it, and how its journal is opened.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use journal::file_disk::FolderFault;
use journal::meta::MetaView;
use journal::{FileDisk, Identity, Journal, WriterKind};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::Config;
use crate::fault::NodeFault;

/// What a folder may hold before it has a `meta`: what a first start that was killed has left.
const OURS: [&str; 6] = ["lock", "j", "snap", "outbox", "views", "admin.sock"];

/// What a folder is to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Nothing that matters is in it: a cluster begins here.
    Blank,
    /// It holds a replica.
    Replica,
}

/// Looks at `dir` without changing anything.
///
/// # Errors
/// [`NodeFault::Foreign`] if it holds something else.
pub(crate) fn look_at(dir: &Path) -> Result<Folder, NodeFault> {
    let fault = || NodeFault::io(dir.display().to_string());
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Folder::Blank),
        Err(error) => return Err(fault()(error)),
    };
    let mut is_ours = true;
    for entry in entries {
        let name = entry.map_err(fault())?.file_name();
        if name == "meta" {
            return Ok(Folder::Replica);
        }
        is_ours &= OURS.iter().any(|ours| name == *ours);
    }
    if is_ours { Ok(Folder::Blank) } else { Err(NodeFault::Foreign(dir.to_owned())) }
}

/// Opens and locks `dir`; creates what is missing.
///
/// # Errors
/// [`NodeFault::Locked`] if another process holds it.
pub(crate) fn open_disk(dir: &Path, writer: WriterKind) -> Result<FileDisk, NodeFault> {
    let disk = FileDisk::open(dir, writer).map_err(|fault| match fault {
        FolderFault::Locked { .. } => NodeFault::Locked(fault.to_string()),
        FolderFault::Disk { .. } => NodeFault::Folder(fault.to_string()),
    })?;
    if let Some(fault) = disk.fell_back() {
        tracing::warn!(asked = %writer, in_use = %disk.writer(), %fault, "journal writer");
    }
    Ok(disk)
}

/// What the folder of `disk` holds, once nobody else can change it. Where the making of a cluster was interrupted, by a
/// loss of power say, it is made again, although a part of `meta` may be there.
///
/// # Errors
/// If the disk cannot be read.
pub(crate) fn look_inside(disk: &mut FileDisk) -> Result<Folder, NodeFault> {
    let is_unmade = Journal::is_unmade(disk).map_err(|fault| NodeFault::Folder(fault.to_string()))?;
    Ok(if is_unmade { Folder::Blank } else { Folder::Replica })
}

/// Whose folder it is; `None` if no whole `meta` says so.
///
/// # Errors
/// If the disk cannot be read.
pub(crate) fn whose(disk: &mut FileDisk) -> Result<Option<Identity>, NodeFault> {
    let view = MetaView::load(disk).map_err(|fault| NodeFault::Folder(fault.to_string()))?;
    Ok(view.and_then(|view| view.meta).map(|meta| meta.identity))
}

/// The journal's options of this start.
///
/// # Errors
/// If the operating system gives no random bytes.
pub(crate) fn journal_options(config: &Config) -> Result<journal::Options, NodeFault> {
    let options = journal::Options::new(u64::from_le_bytes(random()?));
    Ok(journal::Options { segment_bytes: config.segment_bytes.value, ..options })
}

/// Random bytes of the operating system.
///
/// # Errors
/// If it gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NodeFault> {
    let mut bytes = [0; N];
    // Up to 256 bytes come whole or not at all.
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|errno| NodeFault::io("random bytes")(errno.into()))?;
    Ok(bytes)
}
