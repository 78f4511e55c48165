//! The inodes that somebody refers to: from a number to what it stands for, for as long as it is referred to.
//!
//! A number is a hash of the snapshot and the path, or of the snapshot and the link group, so the same entry has the same one
//! whenever it is looked up; where two hashes meet, the second takes the next free number.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::format::tree::{DeviceNumber, Entry, EntryKind};
use crate::id::SnapshotId;
use crate::time::Timestamp;

use super::directory::Directory;
use super::shelf::Virtual;

/// The number of a file, directory or link of a mounted vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inode(pub u64);

impl Inode {
    /// The directory that everything is in.
    pub const ROOT: Self = Self(1);
}

/// Numbers below are those of directories that no snapshot has.
const FIRST_HASH: u64 = 64;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A socket.
    Socket,
}

/// What is known of an inode without looking into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Its number.
    pub inode: Inode,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// When its contents last changed.
    pub mtime: Timestamp,
    /// Length in bytes: of a file, or of the target of a link.
    pub size: u64,
    /// Bytes that no hole covers.
    pub data_bytes: u64,
    /// Names of a file, as far as they are known: more may come to light. 1 for a directory: how many it has is not known.
    pub links: u32,
    /// Whether nothing here will ever be another.
    pub lasting: bool,
}

/// What a number stands for.
pub(super) enum Node {
    /// Something that is in no snapshot.
    Virtual(Virtual),
    /// An entry of a snapshot, or its root.
    Stored(Stored),
}

/// An entry of a snapshot, without what is large of it: that is found again by its name.
pub(super) struct Stored {
    /// The directory that it is in; for the root of what is shown, the directory itself.
    pub(super) parent: Arc<Directory>,
    /// Its name there; empty for the root.
    pub(super) name: Box<[u8]>,
    /// The entry itself where it is in no directory, as a snapshot's root.
    pub(super) root: Option<Box<Entry>>,
    /// The directory that it is.
    pub(super) directory: Option<Arc<Directory>>,
    pub(super) link_group: Option<u64>,
    pub(super) attributes: Attributes,
}

impl Node {
    /// Whether both are the same thing under a number.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Virtual(one), Self::Virtual(other)) => one == other,
            (Self::Stored(one), Self::Stored(other)) => {
                one.parent.view == other.parent.view
                    && match (one.link_group, other.link_group) {
                        (Some(group), Some(other)) => group == other,
                        (None, None) => one.parent.subtree == other.parent.subtree && one.name == other.name,
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

/// What is known of an entry from itself.
pub(super) fn attributes_of(entry: &Entry, inode: Inode) -> Attributes {
    let (kind, size, data_bytes) = match &entry.kind {
        EntryKind::File { size, holes, .. } => {
            let hole_bytes: u64 = holes.iter().map(|hole| hole.length).sum();
            (FileKind::File, *size, size.saturating_sub(hole_bytes))
        }
        EntryKind::Directory { .. } => (FileKind::Directory, 0, 0),
        EntryKind::Symlink { target } => (FileKind::Symlink, target.len() as u64, 0),
        EntryKind::Fifo => (FileKind::Fifo, 0, 0),
        EntryKind::CharDevice(number) => (FileKind::CharDevice(*number), 0, 0),
        EntryKind::BlockDevice(number) => (FileKind::BlockDevice(*number), 0, 0),
        EntryKind::Socket => (FileKind::Socket, 0, 0),
    };
    let metadata = &entry.metadata;
    // An entry of a link group has another name somewhere, unless the backup did not see it.
    let links = if entry.link_group.is_some() { 2 } else { 1 };
    Attributes {
        inode,
        kind,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: metadata.mtime,
        size,
        data_bytes,
        links,
        lasting: entry.link_group.is_none(),
    }
}

/// The number of an entry of a directory.
pub(super) fn number_of(directory: &Directory, entry: &Entry) -> Inode {
    match entry.link_group {
        Some(group) => hashed(&(directory.view.snapshot, "link group", group)),
        None => hashed(&(directory.inode, &entry.name)),
    }
}

/// The number of a snapshot's root.
pub(super) fn number_of_root(snapshot: &SnapshotId) -> Inode {
    hashed(&(snapshot, "root"))
}

/// The number of what has this value.
pub(super) fn hashed(value: &impl Hash) -> Inode {
    // Without random keys, so that a number is the same each time. Numbers that meet cost nothing but a detour.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    let number = hasher.finish();
    Inode(if number < FIRST_HASH { number + FIRST_HASH } else { number })
}

/// All inodes that somebody refers to.
#[derive(Default)]
pub(super) struct Inodes(Mutex<HashMap<u64, Known>>);

struct Known {
    references: u64,
    node: Arc<Node>,
    /// Hashes of the names seen of a file with several.
    names: Option<HashSet<u64>>,
}

impl Inodes {
    /// What a number stands for; `None` if nobody refers to it.
    pub(super) fn get(&self, inode: Inode) -> Option<Arc<Node>> {
        self.lock().get(&inode.0).map(|known| Arc::clone(&known.node))
    }

    /// The attributes of an inode that somebody refers to, with the links known by now.
    pub(super) fn attributes(&self, inode: Inode) -> Option<Attributes> {
        let known = self.lock();
        let known = known.get(&inode.0)?;
        match &*known.node {
            Node::Stored(stored) => Some(known.with_links(stored.attributes)),
            Node::Virtual(_) => None,
        }
    }

    /// Counts a reference to an inode, and returns the number that it has.
    pub(super) fn refer(&self, inode: Inode, node: Node) -> Inode {
        let mut all = self.lock();
        let mut number = inode.0;
        while all.get(&number).is_some_and(|known| !known.node.is_same(&node)) {
            number = number.wrapping_add(1).max(FIRST_HASH);
        }
        let name = match &node {
            Node::Stored(stored) if stored.link_group.is_some() => {
                Some(hashed(&(stored.parent.inode, &stored.name)).0)
            }
            _ => None,
        };
        let known = all.entry(number).or_insert_with(|| Known {
            references: 0,
            node: Arc::new(node.numbered(Inode(number))),
            names: None,
        });
        known.references += 1;
        if let Some(name) = name {
            known.names.get_or_insert_default().insert(name);
        }
        Inode(number)
    }

    /// Takes back so many references; what has none left is let go of.
    pub(super) fn forget(&self, inode: Inode, references: u64) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(&inode.0) else { return };
        known.references = known.references.saturating_sub(references);
        let gone = if known.references == 0 { all.remove(&inode.0) } else { None };
        // Directories above may go with it, one by one: not while others wait.
        drop(all);
        drop(gone);
    }

    /// How many inodes are referred to.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn with_links(&self, attributes: Attributes) -> Attributes {
        let names = self.names.as_ref().map_or(0, |names| u32::try_from(names.len()).unwrap_or(u32::MAX));
        Attributes { links: attributes.links.max(names), ..attributes }
    }
}

impl Node {
    fn numbered(self, inode: Inode) -> Self {
        match self {
            Self::Stored(stored) => {
                Self::Stored(Stored { attributes: Attributes { inode, ..stored.attributes }, ..stored })
            }
            node @ Self::Virtual(_) => node,
        }
    }
}
