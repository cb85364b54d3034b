//! A replica whose memory has gone wrong: a bit of its effects' hash had flipped when it took a snapshot, which therefore is whole and
//! says so. It has to be found out by the others and to take part in nothing any more, and they have to go on.
//!
//! What it tells its clients is right all the time, because its state is. So every other invariant holds for it, too.

use journal::snapshot_file::{self, SnapshotHeader};
use journal::{Dir, FileRef};

use crate::disk::SimDisk;
use crate::mirror::newest_mark;

/// Puts a wrong hash into the newest snapshot on the disk of a machine that is down. Not into one that a majority has agreed with: that
/// one was right, and may be handed on. Returns which file.
pub(crate) fn corrupt(disk: &SimDisk) -> Option<FileRef> {
    let names = disk.peek_names(Dir::Snapshots);
    let newest = names.into_iter().filter(|name| name.ends_with(".snap")).max()?;
    let file = FileRef::new(Dir::Snapshots, newest);
    let (header, state) = snapshot_file::decode(&disk.peek(&file)?).ok()?;
    if header.index <= newest_mark(disk) {
        return None;
    }
    let mut effect_hash = header.effect_hash;
    effect_hash.0[0] ^= 1;
    let pause = disk.pause();
    let header = SnapshotHeader { effect_hash, ..header };
    let stored = snapshot_file::store(&mut disk.clone(), &header, &state, newest_mark(disk));
    disk.resume(pause);
    stored.ok()
}
