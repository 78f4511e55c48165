//! `find`: where something is, and was, in all snapshots, with the history of each path.
//!
//! A directory that several snapshots have with the same hash is searched once: it is remembered by what of it fits, so memory
//! grows with what is found, and with the number of distinct directories only up to a limit.

mod history;
mod patterns;
mod search;

use std::path::PathBuf;

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::id::SnapshotId;
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use history::History;
use patterns::Patterns;
use search::Search;

/// What to find. An entry fits if one pattern and all other conditions do.
#[derive(Debug, Clone, Default)]
pub struct FindOptions {
    /// Globs: of a name, or, where they have a slash, of the path below a snapshot's root or the absolute path.
    pub patterns: Vec<String>,
    /// Whether upper and lower case are the same.
    pub ignore_case: bool,
    /// What the entry is; anything where this is empty.
    pub kinds: Vec<FoundKind>,
    /// The least size, in bytes; only files have one.
    pub min_size: Option<u64>,
    /// The greatest size, in bytes.
    pub max_size: Option<u64>,
    /// Changed at this moment or after it.
    pub newer: Option<Timestamp>,
    /// Changed before this moment.
    pub older: Option<Timestamp>,
    /// The snapshots to search, oldest first.
    pub snapshots: Vec<SnapshotId>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoundKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe, device or socket.
    Special,
}

impl FoundKind {
    fn of(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::File { .. } => Self::File,
            EntryKind::Directory { .. } => Self::Directory,
            EntryKind::Symlink { .. } => Self::Symlink,
            _ => Self::Special,
        }
    }
}

/// A path, and what stood there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPath {
    /// The machine.
    pub host: String,
    /// The directory that the root of the snapshots stands for.
    pub root: PathBuf,
    /// The path below it.
    pub path: PathBuf,
    /// Everything distinct that stood there and fits, by its first snapshot.
    pub versions: Vec<Version>,
}

/// What stood at a path in some snapshots: the same kind, size, time and contents in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What it is.
    pub kind: FoundKind,
    /// Bytes of a file; 0 for anything else.
    pub size: u64,
    /// When it last changed.
    pub mtime: Timestamp,
    /// The oldest snapshot that has it.
    pub first: SnapshotId,
    /// The newest.
    pub last: SnapshotId,
    /// How many have it.
    pub count: u64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FindSummary {
    /// The paths, by machine and root, then by name.
    pub found: Vec<FoundPath>,
    /// Snapshots that were searched.
    pub snapshots: u64,
    /// Directories that could not be read, each told as a notice.
    pub failed_entries: u64,
    /// Whether there is more than is kept in memory: then some paths or versions are missing.
    pub truncated: bool,
}

/// Searches snapshots.
pub fn find(
    vault: &Vault,
    reader: &Reader,
    options: &FindOptions,
    around: &Surroundings<'_>,
) -> Result<FindSummary, Error> {
    let mut search = Search::new(Patterns::new(options)?, *around);
    let mut history = History::default();
    for id in &options.snapshots {
        let record =
            vault.state().snapshot_by_id(id).ok_or_else(|| Error::NoSuchSnapshot { wanted: id.to_hex() })?;
        let body = reader.body(record)?;
        let EntryKind::Directory { subtree } = body.root.kind else { continue };
        let hits = search.snapshot(reader.domain(record)?, &body.root_path, subtree)?;
        history.begin(*id, (&body.host, &body.root_path));
        if let Some(hits) = hits {
            search.replay(hits, &mut |path, hit| history.add(path, hit));
        }
        if history.is_full() {
            break;
        }
    }
    let truncated = history.is_full() || search.is_full();
    let failed_entries = search.failed_entries();
    let (found, snapshots) = history.finish();
    Ok(FindSummary { found, snapshots, failed_entries, truncated })
}

/// Whether an entry fits but for its name.
fn fits(options: &FindOptions, entry: &Entry) -> bool {
    let size = match entry.kind {
        EntryKind::File { size, .. } => Some(size),
        _ => None,
    };
    let mtime = entry.metadata.mtime;
    (options.kinds.is_empty() || options.kinds.contains(&FoundKind::of(&entry.kind)))
        && options.min_size.is_none_or(|least| size.is_some_and(|size| size >= least))
        && options.max_size.is_none_or(|most| size.is_some_and(|size| size <= most))
        && options.newer.is_none_or(|newer| mtime >= newer)
        && options.older.is_none_or(|older| mtime < older)
}
