//! What is in a tree on disk, in full, and whether two trees are the same.
//!
//! Everything that a backup promises to bring back is in a [`Tree`], so two equal trees are the same to every program that looks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Extra blocks of 512 bytes that a restored sparse file may have: file systems allocate in larger steps.
const SPARSE_SLACK_BLOCKS: u64 = 512;

/// All entries of a tree by their paths below its root, whose own path is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Facts>);

/// What is compared of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its type, with the contents that the type has.
    pub kind: Kind,
    /// Permission bits; 0 for a symlink, whose bits nothing looks at.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds of the last change.
    pub mtime: (i64, i64),
    /// Extended attributes; ACLs are among them.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of the same inode, for an entry that has several names.
    pub same_as: Option<PathBuf>,
}

/// The type of an entry, and what only entries of the type have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// SHA-256 of the contents.
        sha256: [u8; 32],
    },
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(u64),
    /// A block device.
    BlockDevice(u64),
    /// A socket.
    Socket,
}

impl Tree {
    /// Looks at everything below `root`, and at `root` itself.
    pub fn scan(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut inodes = BTreeMap::new();
        let mut waiting = vec![PathBuf::new()];
        // Sorted, so that the first name of an inode is the same one in equal trees.
        while let Some(path) = waiting.pop() {
            let full = join(root, &path);
            let facts = facts(&full, &path, &mut inodes);
            if facts.kind == Kind::Directory {
                let mut names: Vec<_> =
                    fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())).collect();
                names.sort_unstable_by(|a, b| b.cmp(a));
                waiting.extend(names);
            }
            entries.insert(path, facts);
        }
        Self(entries)
    }

    /// The entries by path.
    pub fn entries(&self) -> &BTreeMap<PathBuf, Facts> {
        &self.0
    }

    /// The same tree without the entries that `leave_out` picks, and without what the links to them have in common.
    #[must_use]
    pub fn without(mut self, leave_out: impl Fn(&Path, &Facts) -> bool) -> Self {
        self.0.retain(|path, facts| !leave_out(path, facts));
        self
    }

    /// Says how `other` differs; empty if it does not.
    pub fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        for (path, expected) in &self.0 {
            match other.0.get(path) {
                None => writeln!(text, "{path:?}: is missing").unwrap(),
                Some(found) if found != expected => {
                    writeln!(text, "{path:?}:\n  expected {expected:?}\n  found    {found:?}").unwrap();
                }
                Some(_) => {}
            }
        }
        for path in other.0.keys().filter(|path| !self.0.contains_key(*path)) {
            writeln!(text, "{path:?}: is new").unwrap();
        }
        text
    }
}

/// Ends the test unless two trees on disk are the same, and sparse files are about as sparse.
pub fn assert_same_tree(expected: &Path, found: &Path) {
    let (before, after) = (Tree::scan(expected), Tree::scan(found));
    let differences = before.differences(&after);
    assert!(differences.is_empty(), "{differences}");
    assert_as_sparse(&before, expected, found);
}

/// Ends the test if a file that has holes in one tree takes much more room in the other.
fn assert_as_sparse(tree: &Tree, expected: &Path, found: &Path) {
    for (path, facts) in tree.entries() {
        let Kind::File { size, .. } = facts.kind else { continue };
        let blocks = |root: &Path| join(root, path).metadata().unwrap().blocks();
        let (before, after) = (blocks(expected), blocks(found));
        if before * 512 < size {
            assert!(after <= before + SPARSE_SLACK_BLOCKS, "{path:?}: {before} blocks became {after}");
        }
    }
}

/// As [`Path::join`], but without the slash that an empty path would bring.
fn join(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

fn facts(full: &Path, path: &Path, inodes: &mut BTreeMap<u64, PathBuf>) -> Facts {
    let metadata = full.symlink_metadata().unwrap();
    let kind = kind(full, &metadata);
    let several = metadata.nlink() > 1 && kind != Kind::Directory;
    let same_as = several.then(|| inodes.entry(metadata.ino()).or_insert_with(|| path.to_owned()).clone());
    Facts {
        mode: if matches!(kind, Kind::Symlink(_)) { 0 } else { metadata.mode() & 0o7777 },
        kind,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        xattrs: xattrs(full),
        same_as,
    }
}

fn kind(full: &Path, metadata: &fs::Metadata) -> Kind {
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_file() {
        Kind::File { size: metadata.len(), sha256: sha256(full) }
    } else if file_type.is_symlink() {
        Kind::Symlink(fs::read_link(full).unwrap().as_os_str().as_bytes().to_vec())
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else if file_type.is_char_device() {
        Kind::CharDevice(metadata.rdev())
    } else if file_type.is_block_device() {
        Kind::BlockDevice(metadata.rdev())
    } else {
        Kind::Socket
    }
}

fn sha256(path: &Path) -> [u8; 32] {
    let mut file = File::open(path).unwrap();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer).unwrap();
        if length == 0 {
            return hasher.finalize().into();
        }
        hasher.update(&buffer[..length]);
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else { return BTreeMap::new() };
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}
