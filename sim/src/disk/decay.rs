//! Bit rot: a bit of a durable sector flips, and can be flipped back where a copy of the disk would be restored.

use journal::{Dir, FileRef};

use protocol::Field;
use protocol::limits::{BLOCK_HEADER_BYTES, EVENT_HEADER_BYTES};

use super::names::Inode;
use super::{SimDisk, State};

/// A bit that flipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rot {
    inode: Inode,
    at: usize,
    was: u8,
    is: u8,
    /// The journal has gone on behind it.
    stays: bool,
}

/// Blocks from the end of the journal that are hit more often.
const NEWEST: u64 = 2;
/// Where the outputs of an outbox file begin.
const OUTPUTS_AT: usize = 16;
/// Outputs from its end that are hit more often: clients that come back ask for them.
const NEWEST_OUTPUTS: usize = 24;

impl State {
    /// Flips a bit of a durable byte; returns whether there was one.
    fn flip(&mut self, file: &FileRef, at: usize) -> bool {
        let Some(inode) = self.names.get(file) else { return false };
        let Some(contents) = self.files.get_mut(&inode) else { return false };
        let Some(was) = contents.settled(at) else { return false };
        let is = was ^ (1 << self.rng.below(8));
        contents.decay(at, is);
        self.rots.push(Rot { inode, at, was, is, stays: false });
        self.trace.note("bit rots", file.dir as u64, at as u64);
        self.trace.sometimes(match file.dir {
            Dir::Root => "bit rot in meta",
            Dir::Journal => "bit rot in the journal",
            Dir::Snapshots => "bit rot in a snapshot",
            Dir::Outbox => "bit rot in the outbox",
        });
        true
    }
}

impl SimDisk {
    /// Flips a bit somewhere in the files of `dir`, if there is a durable byte. Returns which file.
    pub fn rot(&self, dir: Dir) -> Option<FileRef> {
        let mut state = self.0.borrow_mut();
        let names = state.names.in_dir(dir);
        if names.is_empty() {
            return None;
        }
        let state = &mut *state;
        let name = &names[state.rng.below(names.len() as u64) as usize];
        let file = FileRef::new(dir, name.as_str());
        let len = state.names.get(&file).and_then(|inode| state.files.get(&inode))?.len();
        // Blocks stand at the front of a segment: half of the flips go there.
        let end = if state.rng.coin() { len } else { len.min(48 << 10) };
        let at = state.rng.below(end as u64) as usize;
        state.flip(&file, at).then_some(file)
    }

    /// Flips a bit in the journal: anywhere, or in one of the newest blocks, of whose being durable nothing else may tell.
    pub fn rot_journal(&self) -> Option<FileRef> {
        if self.0.borrow_mut().rng.below(4) == 0 {
            return self.rot(Dir::Journal);
        }
        let state = &mut *self.0.borrow_mut();
        let write = state.truth.newest(state.rng.within(1..=NEWEST) as usize)?;
        // Without its header nobody knows which entries a block held.
        let end = if state.rng.coin() { BLOCK_HEADER_BYTES } else { write.bytes.len() };
        let at = write.offset as usize + state.rng.below(end as u64) as usize;
        state.flip(&write.file, at).then_some(write.file)
    }

    /// Flips a bit in the outbox: anywhere, or in one of the newest outputs. Nobody syncs those; the kernel has written them back.
    pub fn rot_outbox(&self) -> Option<FileRef> {
        if self.0.borrow_mut().rng.below(4) == 0 {
            return self.rot(Dir::Outbox);
        }
        let state = &mut *self.0.borrow_mut();
        let name = state.names.in_dir(Dir::Outbox).into_iter().max()?;
        let file = FileRef::new(Dir::Outbox, name);
        let contents = state.file_mut(&file)?;
        let mut bytes = vec![0; contents.len()];
        contents.read(0, &mut bytes, false);
        let outputs = outputs_in(&bytes);
        let newest = outputs.get(outputs.len().saturating_sub(NEWEST_OUTPUTS)..).filter(|n| !n.is_empty())?;
        let output = newest[state.rng.below(newest.len() as u64) as usize].clone();
        // Its header says whose it is, and which.
        let len = if state.rng.coin() { EVENT_HEADER_BYTES } else { output.len() };
        let at = output.start + state.rng.below(len as u64) as usize;
        state.file_mut(&file)?.write_back(at);
        state.flip(&file, at).then_some(file)
    }

    /// Whether a bit of `file` has flipped that was not written over since.
    #[must_use]
    pub fn is_rotten(&self, file: &FileRef) -> bool {
        let state = self.0.borrow();
        let Some(inode) = state.names.get(file) else { return false };
        let stands = |rot: &&Rot| state.files.get(&inode).and_then(|f| f.byte(rot.at)) == Some(rot.is);
        state.rots.iter().filter(|rot| rot.inode == inode).any(|rot| stands(&rot))
    }

    /// Whether a bit of `file` has ever flipped.
    #[must_use]
    pub fn was_rotten(&self, file: &FileRef) -> bool {
        let state = self.0.borrow();
        let inode = state.names.get(file);
        state.rots.iter().any(|rot| Some(rot.inode) == inode)
    }

    /// Whether a file of `dir` is rotten.
    #[must_use]
    pub fn has_rotten(&self, dir: Dir) -> bool {
        self.peek_names(dir).into_iter().any(|name| self.is_rotten(&FileRef::new(dir, name)))
    }

    /// The journal goes on behind what has decayed: nobody brings that back any more.
    pub fn repaired(&self) {
        self.0.borrow_mut().rots.iter_mut().for_each(|rot| rot.stays = true);
    }

    /// Somebody brings the bytes back from a copy.
    pub fn restore(&self) {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        // The newest first: a byte may have rotted twice.
        for rot in state.rots.extract_if(.., |rot| !rot.stays).collect::<Vec<_>>().into_iter().rev() {
            if let Some(contents) = state.files.get_mut(&rot.inode)
                && contents.byte(rot.at) == Some(rot.is)
            {
                contents.decay(rot.at, rot.was);
            }
        }
        state.trace.note("restored from a copy", 0, 0);
    }
}

/// Where the outputs of an outbox file stand, up to the first that has no length.
fn outputs_in(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut outputs = Vec::new();
    let mut at = OUTPUTS_AT;
    while at + EVENT_HEADER_BYTES <= bytes.len() {
        let end = at + bytes.u32_at(at) as usize;
        if end < at + EVENT_HEADER_BYTES || end > bytes.len() {
            break;
        }
        outputs.push(at..end);
        at = end;
    }
    outputs
}
