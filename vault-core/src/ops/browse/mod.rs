//! `browse`: a vault, or one directory of a snapshot, as a file system to look around in.
//!
//! Nothing here knows how the file system is shown: a front end asks by inode, as a kernel does, and says when it forgets one. The
//! rule that always holds: memory is bounded by the cache, by what is open and by the inodes that the front end refers to, whatever
//! the sizes of the vault, its directories and its files.
//!
//! ```text
//! Browser      what the front end asks                                   mod
//!   Shelf      the directories and links above the snapshots             shelf
//!   Inodes     what each number that is referred to stands for           inodes
//!   Listing    a directory, a page at a time                             listed, directory
//!   OpenFile   a file, any range of bytes, and reading ahead             file
//!     Source   opened segments and decoded nodes, each kept in a Cache   source, cache
//! ```

mod cache;
mod directory;
mod file;
mod inodes;
mod listed;
mod shelf;
mod source;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::id::SnapshotId;
use crate::log::Snapshot;
use crate::ops::list::find_path;
use crate::ops::snapshots;
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

use self::directory::Directory;
use self::file::ReadAhead;
use self::inodes::{Inodes, Node, Stored, attributes_of, number_of, number_of_root};
use self::shelf::{Item, Shelf, Shown, Virtual};
use self::source::{Source, View};

pub use self::file::OpenFile;
pub use self::inodes::{Attributes, FileKind, Inode};
pub use self::listed::{Listed, OpenDirectory};

/// What to show.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All snapshots.
    All,
    /// One directory of one snapshot, as the root.
    Directory {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The path below its root; empty for the root.
        path: PathBuf,
    },
}

/// How to show it.
pub struct BrowseOptions {
    /// What to show.
    pub selection: Selection,
    /// How many bytes of opened segments are kept in memory. Decoded tree nodes take up to half as many again.
    pub cache_bytes: usize,
    /// User and group of the directories that are in no snapshot.
    pub owner: (u32, u32),
    /// What a snapshot of this moment is called.
    pub date_name: Box<dyn Fn(Timestamp) -> String + Send + Sync>,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowseError {
    /// There is no entry of that name.
    #[error("there is no entry of that name")]
    NotThere,
    /// Nobody refers to the inode, or what it was is gone.
    #[error("nothing is known of that inode")]
    Stale,
    /// The inode is not of the kind that was asked for.
    #[error("that is something else")]
    OtherKind,
    /// The vault could not be read.
    #[error(transparent)]
    Vault(#[from] Error),
}

/// A vault to look around in. May be used from many threads at once.
pub struct Browser {
    ahead: ReadAhead,
    source: Arc<Source>,
    inodes: Inodes,
    shelf: RwLock<Arc<Shelf>>,
    /// The one directory that is shown; `None` if all snapshots are.
    root: Option<Arc<Node>>,
    /// What could not be shown, until somebody asks.
    faults: Mutex<Vec<Error>>,
    owner: (u32, u32),
    date_name: Box<dyn Fn(Timestamp) -> String + Send + Sync>,
}

/// What one number or another stands for.
enum Found {
    Virtual(Virtual),
    Stored(Arc<Node>),
}

/// How much there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Snapshots.
    pub snapshots: u64,
    /// Files in all of them.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Inodes that are referred to now.
    pub inodes: u64,
}

impl Browser {
    /// Begins to show a vault.
    pub fn new(vault: Vault, reader: Reader, options: BrowseOptions) -> Result<Self, Error> {
        let root = match &options.selection {
            Selection::All => None,
            Selection::Directory { snapshot, path } => {
                Some((*snapshot, root_node(&vault, &reader, snapshot, path)?))
            }
        };
        let source = Arc::new(Source::new(vault, reader, options.cache_bytes));
        let browser = Self {
            ahead: ReadAhead::new(&source, options.cache_bytes),
            source,
            inodes: Inodes::default(),
            shelf: RwLock::default(),
            root: root.as_ref().map(|(_, node)| Arc::clone(node)),
            faults: Mutex::default(),
            owner: options.owner,
            date_name: options.date_name,
        };
        browser.fill_shelf(root.map(|(snapshot, _)| snapshot));
        Ok(browser)
    }

    /// Shows what other machines have added since, and drops what they forgot; returns whether there was anything.
    pub fn refresh(&self) -> Result<bool, Error> {
        let grown = self.source.follow()?;
        if self.root.is_none() {
            let shown = self.shelf();
            let ids: Vec<_> = shown.snapshots.iter().map(|shown| shown.info.id).collect();
            let reader = self.source.reader();
            let changed = self.source.with_vault(|vault| {
                let readable = vault.state().snapshots().iter().filter(|snapshot| reader.reads(snapshot));
                !readable.map(|snapshot| snapshot.id).eq(ids.iter().copied())
            });
            if grown || changed {
                self.fill_shelf(None);
            }
        }
        Ok(grown)
    }

    /// Why snapshots could not be shown since this was asked last.
    pub fn take_faults(&self) -> Vec<Error> {
        std::mem::take(&mut *self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much there is to look at.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { inodes: self.inodes.len() as u64, ..Totals::default() };
        for shown in &self.shelf().snapshots {
            totals.snapshots += 1;
            totals.files = totals.files.saturating_add(shown.info.files);
            totals.bytes = totals.bytes.saturating_add(shown.info.bytes);
        }
        totals
    }

    /// Finds an entry of a directory by name, and counts a reference to it.
    pub fn look_up(&self, parent: Inode, name: &[u8]) -> Result<Attributes, BrowseError> {
        match self.found(parent)? {
            Found::Virtual(directory) => {
                let item = self.shelf().find(&directory, name).ok_or(BrowseError::NotThere)?;
                Ok(self.refer_to_item(&item))
            }
            Found::Stored(node) => {
                let directory = directory_of(&node)?;
                let found = directory
                    .with_entry(&self.source, name, |entry| self.refer_to_entry(directory, entry))?;
                found.ok_or(BrowseError::NotThere)
            }
        }
    }

    /// Takes back references to an inode.
    pub fn forget(&self, inode: Inode, references: u64) {
        self.inodes.forget(inode, references);
    }

    /// What is known of an inode.
    pub fn attributes(&self, inode: Inode) -> Result<Attributes, BrowseError> {
        match self.found(inode)? {
            Found::Virtual(of) => Ok(self.shelf().attributes(&of, self.owner)),
            Found::Stored(node) => match &*node {
                Node::Stored(stored) => Ok(self.inodes.attributes(inode).unwrap_or(stored.attributes)),
                Node::Virtual(_) => Err(BrowseError::Stale),
            },
        }
    }

    /// What a symbolic link points to.
    pub fn read_link(&self, inode: Inode) -> Result<Vec<u8>, BrowseError> {
        match self.found(inode)? {
            Found::Virtual(link) if link.is_link() => self.shelf().target(&link).ok_or(BrowseError::Stale),
            Found::Virtual(_) => Err(BrowseError::OtherKind),
            Found::Stored(node) => self
                .with_entry(&node, |entry| match &entry.kind {
                    EntryKind::Symlink { target } => Some(target.clone()),
                    _ => None,
                })?
                .ok_or(BrowseError::OtherKind),
        }
    }

    /// The value of an extended attribute; `None` if it has none of that name.
    pub fn xattr(&self, inode: Inode, name: &[u8]) -> Result<Option<Vec<u8>>, BrowseError> {
        match self.found(inode)? {
            Found::Virtual(_) => Ok(None),
            Found::Stored(node) => self.with_entry(&node, |entry| {
                let found = entry.metadata.xattrs.iter().find(|xattr| xattr.name == name);
                found.map(|xattr| xattr.value.clone())
            }),
        }
    }

    /// The names of all extended attributes.
    pub fn xattr_names(&self, inode: Inode) -> Result<Vec<Vec<u8>>, BrowseError> {
        match self.found(inode)? {
            Found::Virtual(_) => Ok(Vec::new()),
            Found::Stored(node) => self.with_entry(&node, |entry| {
                entry.metadata.xattrs.iter().map(|xattr| xattr.name.clone()).collect()
            }),
        }
    }

    /// Opens a file.
    pub fn open_file(&self, inode: Inode) -> Result<OpenFile, BrowseError> {
        let Found::Stored(node) = self.found(inode)? else { return Err(BrowseError::OtherKind) };
        let Node::Stored(stored) = &*node else { return Err(BrowseError::OtherKind) };
        let view = stored.parent.view;
        self.with_entry(&node, |entry| match &entry.kind {
            EntryKind::File { size, contents, holes } => {
                Some(OpenFile::new(view, *size, contents.clone(), holes.clone()))
            }
            _ => None,
        })?
        .ok_or(BrowseError::OtherKind)
    }

    /// Reads at most `length` bytes of a file from `offset` on; fewer only at its end.
    pub fn read(&self, file: &OpenFile, offset: u64, length: u32) -> Result<Vec<u8>, BrowseError> {
        let bytes = file.read(&self.source, offset, length)?;
        file.read_ahead(&self.source, &self.ahead, offset..offset.saturating_add(bytes.len() as u64));
        Ok(bytes)
    }

    /// The first byte of a file from `offset` on that is in no hole; `None` if there is none.
    pub fn next_data(&self, file: &OpenFile, offset: u64) -> Option<u64> {
        file.next_data(offset)
    }

    /// The first byte of a file from `offset` on that is in a hole, or its end; `None` if `offset` is beyond that.
    pub fn next_hole(&self, file: &OpenFile, offset: u64) -> Option<u64> {
        file.next_hole(offset)
    }

    /// Where an inode is, for messages.
    pub fn path_of(&self, inode: Inode) -> Option<PathBuf> {
        let Ok(Found::Stored(node)) = self.found(inode) else { return None };
        let Node::Stored(stored) = &*node else { return None };
        let path = stored.parent.path_of(&stored.name);
        if self.root.is_some() {
            return Some(path);
        }
        let on_shelf = self.shelf();
        let date = on_shelf.date_of(&stored.parent.view.snapshot).unwrap_or_default();
        Some(PathBuf::from("by-date").join(OsStr::from_bytes(date)).join(path))
    }

    fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn found(&self, inode: Inode) -> Result<Found, BrowseError> {
        if let (Some(root), Inode::ROOT) = (&self.root, inode) {
            return Ok(Found::Stored(Arc::clone(root)));
        }
        if self.root.is_none()
            && let Some(of) = Virtual::of_fixed(inode)
        {
            return Ok(Found::Virtual(of));
        }
        let node = self.inodes.get(inode).ok_or(BrowseError::Stale)?;
        match &*node {
            Node::Virtual(of) => Ok(Found::Virtual(of.clone())),
            Node::Stored(_) => Ok(Found::Stored(node)),
        }
    }

    /// Calls `look` with the entry that a node stands for.
    fn with_entry<T>(&self, node: &Node, look: impl FnOnce(&Entry) -> T) -> Result<T, BrowseError> {
        let Node::Stored(stored) = node else { return Err(BrowseError::OtherKind) };
        if let Some(entry) = &stored.root {
            return Ok(look(entry));
        }
        stored.parent.with_entry(&self.source, &stored.name, look)?.ok_or(BrowseError::Stale)
    }

    fn refer_to_item(&self, item: &Item) -> Attributes {
        match item {
            Item::Virtual(of) => {
                let attributes = self.shelf().attributes(of, self.owner);
                let inode = self.inodes.refer(of.inode(), Node::Virtual(of.clone()));
                Attributes { inode, ..attributes }
            }
            Item::Snapshot(shown) => {
                let stored = snapshot_root(shown.view, &shown.root, number_of_root(&shown.info.id));
                let attributes = stored.attributes;
                let inode = self.inodes.refer(attributes.inode, Node::Stored(stored));
                Attributes { inode, ..attributes }
            }
        }
    }

    fn refer_to_entry(&self, directory: &Arc<Directory>, entry: &Entry) -> Attributes {
        let attributes = attributes_of(entry, number_of(directory, entry));
        let name: Box<[u8]> = entry.name[..].into();
        let itself = match &entry.kind {
            EntryKind::Directory { subtree } => Some(Arc::new(Directory {
                view: directory.view,
                inode: attributes.inode.0,
                subtree: *subtree,
                name: name.clone(),
                parent: Some(Arc::clone(directory)),
            })),
            _ => None,
        };
        let stored = Stored {
            parent: Arc::clone(directory),
            name,
            directory: itself,
            root: None,
            link_group: entry.link_group,
            attributes,
        };
        let inode = self.inodes.refer(attributes.inode, Node::Stored(stored));
        self.inodes.attributes(inode).unwrap_or(Attributes { inode, ..attributes })
    }

    /// Puts the snapshots of the log on the shelf, or only one.
    fn fill_shelf(&self, only: Option<SnapshotId>) {
        let (before, reader) = (self.shelf(), self.source.reader());
        let mut faults = Vec::new();
        let records = self.source.with_vault(|vault| vault.state().snapshots().to_vec());
        let mut snapshots = Vec::new();
        let shown = |record: &&Snapshot| only.is_none_or(|only| only == record.id) && reader.reads(record);
        for record in records.iter().filter(shown) {
            if let Some(known) = before.snapshots.iter().find(|shown| shown.info.id == record.id) {
                snapshots.push(Arc::clone(known));
                continue;
            }
            let opened = reader
                .body(record)
                .and_then(|body| Ok((snapshots::info_with(&reader, record, &body)?, body)));
            match opened {
                Ok((info, body)) => snapshots.push(Arc::new(Shown {
                    date: (self.date_name)(body.begin),
                    info,
                    view: View { snapshot: record.id, domain: record.domain },
                    root: body.root,
                })),
                Err(error) => faults.push(error),
            }
        }
        *self.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Shelf::new(snapshots));
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).append(&mut faults);
    }
}

fn directory_of(node: &Node) -> Result<&Arc<Directory>, BrowseError> {
    match node {
        Node::Stored(Stored { directory: Some(directory), .. }) => Ok(directory),
        _ => Err(BrowseError::OtherKind),
    }
}

/// The root of a snapshot under a number.
fn snapshot_root(view: View, entry: &Entry, inode: Inode) -> Stored {
    let attributes = attributes_of(entry, inode);
    // A root that is no directory has no subtree: nothing is ever found in it.
    let subtree = match &entry.kind {
        EntryKind::Directory { subtree } => *subtree,
        _ => crate::id::ChunkHash::new([0; 32]),
    };
    let itself = Arc::new(Directory { view, inode: inode.0, subtree, name: Box::default(), parent: None });
    let directory = entry.is_directory().then(|| Arc::clone(&itself));
    let root = Some(Box::new(entry.clone()));
    Stored { parent: itself, name: Box::default(), directory, root, link_group: None, attributes }
}

/// The one directory that is shown, as the root.
fn root_node(
    vault: &Vault,
    reader: &Reader,
    snapshot: &SnapshotId,
    path: &std::path::Path,
) -> Result<Arc<Node>, Error> {
    let record = vault
        .state()
        .snapshot_by_id(snapshot)
        .ok_or_else(|| Error::NoSuchSnapshot { wanted: snapshot.to_hex() })?;
    let view = View { snapshot: *snapshot, domain: record.domain };
    let (_, entry, _) = find_path(vault, reader, snapshot, path)?;
    if !entry.is_directory() {
        return Err(Error::NotADirectory { path: path.to_owned(), snapshot: *snapshot });
    }
    Ok(Arc::new(Node::Stored(snapshot_root(view, &entry, Inode::ROOT))))
}
