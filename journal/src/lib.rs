//! Bytes that survive: segments, group commit, recovery, snapshot files, the outbox.
//!
//! Rule: the only crate with files of its own, and the only one with `unsafe` (in `sys`, one module). It keeps
//! frames without knowing what the commands in them mean; it reads no clock and draws no random number.
//!
//! In reading order: [`disk`] (the one seam between the real disk and a simulated one), the layouts from the outside in
//! ([`segment`], [`block`], [`marks`], [`meta`]), [`survey`] and [`classify`] (what a set of segments is worth after a
//! crash), [`Journal`] (the log, stepped), [`FileDisk`] (the real disk and its writers), [`reader`] (for auditors),
//! [`snapshot_file`] and [`outbox`].
//!
//! What is durable: a mark that [`Journal::durable`] has reached. What a failed write means: [`JournalFault`].
#![deny(missing_docs)]

pub mod aligned;
pub mod block;
pub mod classify;
pub mod disk;
pub mod divergence;
pub mod file_disk;
pub mod founders;
mod journal;
pub mod marks;
pub mod meta;
pub mod outbox;
pub mod reader;
pub mod segment;
pub mod snapshot_file;
pub mod survey;
mod sys;

pub use aligned::AlignedBuf;
pub use disk::{
    BlockWrite, Completion, Dir, Disk, DiskCause, DiskFault, FileRef, ReadFrom, Spare, SpareDone,
};
pub use file_disk::{FileDisk, WriterKind};
pub use founders::Founders;
pub use journal::{
    Adjudication, Damaged, EntryAt, EntryBytes, Identity, Journal, JournalFault, Mark, NotTaken, OpenReport,
    Opened, Options, Progress, ReadFault, Refusal, RereadFault, Space, Stats, reread,
};
pub use marks::HardState;

// Offsets and lengths of files are u64, of memory usize: casts between them are exact.
const _: () = assert!(usize::BITS == 64);
