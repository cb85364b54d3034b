//! Names in folders: a change is durable once its folder is synced; before, a power cut may undo it.

use std::collections::{BTreeMap, BTreeSet};

use journal::{Dir, FileRef};

/// A file behind its names.
pub(super) type Inode = u64;

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Create(FileRef, Inode),
    Rename(FileRef, FileRef, Inode),
    Remove(FileRef),
}

impl Change {
    fn dir(&self) -> Dir {
        match self {
            Self::Create(file, _) | Self::Remove(file) | Self::Rename(_, file, _) => file.dir,
        }
    }

    fn apply(&self, names: &mut BTreeMap<FileRef, Inode>) {
        match self {
            Self::Create(file, inode) => {
                names.insert(file.clone(), *inode);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Remove(file) => {
                names.remove(file);
            }
        }
    }
}

/// All names of one disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    cur: BTreeMap<FileRef, Inode>,
    durable: BTreeMap<FileRef, Inode>,
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, file: &FileRef) -> Option<Inode> {
        self.cur.get(file).copied()
    }

    pub(super) fn in_dir(&self, dir: Dir) -> Vec<String> {
        self.cur.keys().filter(|file| file.dir == dir).map(|file| file.name.to_string()).collect()
    }

    pub(super) fn create(&mut self, file: &FileRef, inode: Inode) {
        self.change(Change::Create(file.clone(), inode));
    }

    /// Whether there was such a file.
    pub(super) fn rename(&mut self, from: &FileRef, to: &FileRef) -> bool {
        let Some(inode) = self.get(from) else { return false };
        self.change(Change::Rename(from.clone(), to.clone(), inode));
        true
    }

    pub(super) fn remove(&mut self, file: &FileRef) {
        if self.cur.contains_key(file) {
            self.change(Change::Remove(file.clone()));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cur);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self, dir: Dir) {
        for change in self.pending.extract_if(.., |change| change.dir() == dir) {
            change.apply(&mut self.durable);
        }
    }

    /// The power fails: of the changes that are not durable, those survive for which `survives` says so. Returns how many
    /// did and did not.
    pub(super) fn lose_power(&mut self, mut survives: impl FnMut(usize) -> bool) -> (u64, u64) {
        let (mut kept, mut gone) = (0, 0);
        for (place, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if survives(place) {
                change.apply(&mut self.durable);
                kept += 1;
            } else {
                gone += 1;
            }
        }
        self.cur.clone_from(&self.durable);
        (kept, gone)
    }

    /// Files that some name leads to, or may lead to again.
    pub(super) fn inodes(&self) -> BTreeSet<Inode> {
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Create(_, inode) | Change::Rename(_, _, inode) => Some(*inode),
            Change::Remove(_) => None,
        });
        self.cur.values().chain(self.durable.values()).copied().chain(pending).collect()
    }
}
