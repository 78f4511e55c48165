//! Directories of a mounted vault: where each stands, what is in it, and how it is listed a page at a time.
//!
//! A directory of any length is never decoded whole: a listing holds one of its nodes, and a position in it needs no memory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::format::tree::{BRANCH_DEPTH_MAX, BranchRef, Entry};
use crate::id::ChunkHash;

use super::source::{Decoded, Source, View};

/// A directory that something below it is known of.
pub(super) struct Directory {
    /// The snapshot that it is in.
    pub(super) view: View,
    /// Its inode.
    pub(super) inode: u64,
    /// Its node.
    pub(super) subtree: ChunkHash,
    /// Its name; empty for the root of a snapshot.
    pub(super) name: Box<[u8]>,
    /// The directory that it is in; `None` for the root of a snapshot.
    pub(super) parent: Option<Arc<Self>>,
}

impl Drop for Directory {
    /// Lets go of the directories above one after another: a hostile tree is as deep as it likes, a stack is not.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut directory) = next.and_then(Arc::into_inner) {
            next = directory.parent.take();
        }
    }
}

impl Directory {
    /// The path below the snapshot's root of the entry `name` in this directory.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        let mut names = vec![name];
        let mut directory = Some(self);
        while let Some(above) = directory {
            names.push(&above.name);
            directory = above.parent.as_deref();
        }
        names.iter().rev().filter(|name| !name.is_empty()).map(|name| OsStr::from_bytes(name)).collect()
    }

    /// Calls `look` with the entry of that name; `None` if there is none.
    pub(super) fn with_entry<T>(
        &self,
        source: &Source,
        name: &[u8],
        look: impl FnOnce(&Entry) -> T,
    ) -> Result<Option<T>, Error> {
        let mut h = self.subtree;
        for _ in 0..=BRANCH_DEPTH_MAX {
            match &*source.node(&self.view, &h)? {
                Decoded::Entries(entries) => {
                    let found = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name));
                    return Ok(found.ok().and_then(|at| entries.get(at)).map(look));
                }
                Decoded::Branch(parts) => {
                    let after = parts.partition_point(|part| part.first_name.as_slice() <= name);
                    let Some(part) = after.checked_sub(1).and_then(|at| parts.get(at)) else {
                        return Ok(None);
                    };
                    h = part.h;
                }
                Decoded::Chunks(_) => return Err(self.not_a_directory()),
            }
        }
        Err(self.too_deep())
    }

    fn not_a_directory(&self) -> Error {
        self.view.damaged_tree("a list of chunks stands in place of a directory")
    }

    fn too_deep(&self) -> Error {
        self.view.damaged_tree("a directory is split too often")
    }
}

/// A directory that is being listed. May be used from many threads at once.
pub(super) struct Listing {
    directory: Arc<Directory>,
    parts: Mutex<Parts>,
}

/// How far the nodes of a directory are known.
struct Parts {
    /// Nodes by ascending first name, each with the number of branches above it. The first has no name if it is the only one.
    nodes: Vec<(BranchRef, u32)>,
    /// So many from the front are known to hold entries; any other may be a branch.
    settled: usize,
    /// The node that was read last.
    at_hand: Option<(usize, Arc<Decoded>)>,
}

impl Listing {
    /// Begins to list a directory.
    pub(super) fn new(directory: Arc<Directory>) -> Self {
        let root = BranchRef { first_name: Vec::new(), h: directory.subtree };
        let parts = Parts { nodes: vec![(root, 0)], settled: 0, at_hand: None };
        Self { directory, parts: Mutex::new(parts) }
    }

    /// The directory that is listed.
    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Calls `visit` with the entries from `position` on, each with the position after it, until it returns false.
    ///
    /// A position is the number of a node in the upper half, and that of an entry in it in the lower.
    pub(super) fn visit(
        &self,
        source: &Source,
        position: u64,
        visit: &mut dyn FnMut(&Entry, u64) -> bool,
    ) -> Result<(), Error> {
        let (mut leaf, mut at) = ((position >> 32) as usize, (position & u64::from(u32::MAX)) as usize);
        while let Some(decoded) = self.leaf(source, leaf)? {
            let Decoded::Entries(entries) = &*decoded else { return Err(self.directory.not_a_directory()) };
            for entry in entries.get(at..).unwrap_or_default() {
                at += 1;
                if !visit(entry, (leaf as u64) << 32 | at as u64) {
                    return Ok(());
                }
            }
            (leaf, at) = (leaf + 1, 0);
        }
        Ok(())
    }

    /// The node with entries of this number; `None` after the last one.
    fn leaf(&self, source: &Source, number: usize) -> Result<Option<Arc<Decoded>>, Error> {
        let mut state = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, decoded)) = state.at_hand.as_ref().filter(|(at, _)| *at == number) {
            return Ok(Some(Arc::clone(decoded)));
        }
        loop {
            let at = state.settled.min(number);
            let Some((part, depth)) = state.nodes.get(at).cloned() else { return Ok(None) };
            let decoded = source.node(&self.directory.view, &part.h)?;
            let next_name = state.nodes.get(at + 1).map(|(next, _)| next.first_name.as_slice());
            match &*decoded {
                Decoded::Entries(entries) => {
                    let first = entries.first().map(|entry| entry.name.as_slice());
                    let last = entries.last().map(|entry| entry.name.as_slice());
                    self.check_names(&part, (first, last), next_name)?;
                    state.settled = state.settled.max(at + 1);
                    if at == number {
                        state.at_hand = Some((number, Arc::clone(&decoded)));
                        return Ok(Some(decoded));
                    }
                }
                Decoded::Branch(parts) => {
                    if depth >= BRANCH_DEPTH_MAX {
                        return Err(self.directory.too_deep());
                    }
                    let first = parts.first().map(|part| part.first_name.as_slice());
                    let last = parts.last().map(|part| part.first_name.as_slice());
                    self.check_names(&part, (first, last), next_name)?;
                    state.nodes.splice(at..=at, parts.iter().map(|part| (part.clone(), depth + 1)));
                }
                Decoded::Chunks(_) => return Err(self.directory.not_a_directory()),
            }
        }
    }

    /// Checks that the names in a node begin as the branch above it says, and end before those of the next node begin.
    fn check_names(
        &self,
        part: &BranchRef,
        (first, last): (Option<&[u8]>, Option<&[u8]>),
        next: Option<&[u8]>,
    ) -> Result<(), Error> {
        if !part.first_name.is_empty() && first != Some(&part.first_name) {
            return Err(self.directory.view.damaged_tree("a part of a directory begins with another name"));
        }
        if next.is_some_and(|next| last.is_some_and(|last| last >= next)) {
            return Err(self.directory.view.damaged_tree("its entries are not in order"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DomainId, SnapshotId};

    fn directory(name: &[u8], parent: Option<Arc<Directory>>) -> Arc<Directory> {
        let view = View { snapshot: SnapshotId::new([1; 32]), domain: DomainId::new([2; 16]) };
        let (subtree, name) = (ChunkHash::new([3; 32]), name.into());
        Arc::new(Directory { view, inode: 1, subtree, name, parent })
    }

    #[test]
    fn a_path_begins_at_the_root_of_the_snapshot() {
        let root = directory(b"", None);
        let inner = directory(b"b", Some(directory(b"a", Some(Arc::clone(&root)))));

        assert_eq!(root.path_of(b"x").to_str(), Some("x"));
        assert_eq!(inner.path_of(b"x").to_str(), Some("a/b/x"));
        assert_eq!(root.path_of(b"").to_str(), Some(""));
    }

    #[test]
    fn directories_of_any_depth_are_let_go_of() {
        let mut deepest = directory(b"", None);
        for _ in 0..1_000_000 {
            deepest = directory(b"d", Some(deepest));
        }

        drop(deepest);
    }
}
