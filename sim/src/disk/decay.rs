//! Bit rot: a bit of a durable sector flips, and can be flipped back where a copy of the disk would be restored.

use journal::{Dir, FileRef};

use super::SimDisk;
use super::names::Inode;

/// A bit that flipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rot {
    inode: Inode,
    at: usize,
    was: u8,
    is: u8,
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
        let inode = state.names.get(&file)?;
        let contents = state.files.get_mut(&inode)?;
        // Blocks stand at the front of a segment: half of the flips go there.
        let end = if state.rng.coin() { contents.len() } else { contents.len().min(48 << 10) };
        let at = state.rng.below(end as u64) as usize;
        let was = contents.settled(at)?;
        let is = was ^ (1 << state.rng.below(8));
        contents.decay(at, is);
        state.rots.push(Rot { inode, at, was, is });
        state.trace.note("bit rots", dir as u64, at as u64);
        state.trace.sometimes(match dir {
            Dir::Root => "bit rot in meta",
            Dir::Journal => "bit rot in the journal",
            Dir::Snapshots => "bit rot in a snapshot",
            Dir::Outbox => "bit rot in the outbox",
        });
        Some(file)
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

    /// Somebody brings the bytes back from a copy.
    pub fn restore(&self) {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        // The newest first: a byte may have rotted twice.
        for rot in state.rots.drain(..).rev() {
            if let Some(contents) = state.files.get_mut(&rot.inode)
                && contents.byte(rot.at) == Some(rot.is)
            {
                contents.decay(rot.at, rot.was);
            }
        }
        state.trace.note("restored from a copy", 0, 0);
    }
}
