//! `diff`: what differs between two snapshots, or between a snapshot and the disk as it is now.
//!
//! Both sides are streams of entries by ascending name, merged one directory at a time, so memory is bounded by the depth of the
//! trees. A directory that both snapshots have with the same hash is the same in everything below it, and is not opened.

mod disk;
mod merge;

use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::id::SnapshotId;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::list::find_path;
use disk::Found;
use merge::{After, Level, Listing, Merge};

pub use crate::pipeline::select::Omissions;
pub use disk::{DiskOptions, diff_disk};

/// A path in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePath {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The path below its root; empty for the root.
    pub path: PathBuf,
}

/// What to compare.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// What was before.
    pub from: TreePath,
    /// What came after.
    pub to: TreePath,
    /// Whether entries that differ in nothing but their times are told too.
    pub times: bool,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is only there after.
    Added,
    /// It is only there before.
    Removed,
    /// It has other contents: other bytes, another target, another device.
    Contents,
    /// It has another mode, owner or attribute; or, where that was asked for, another time.
    Metadata,
    /// It became something else: a file a directory, and so on.
    Type,
}

/// One entry that differs. Of an entry on disk there are no chunks.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The path below the snapshot's root.
    pub path: &'a Path,
    /// How it differs.
    pub kind: ChangeKind,
    /// What was there.
    pub before: Option<&'a Entry>,
    /// What came after.
    pub after: Option<&'a Entry>,
}

/// How much of one kind of change there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links and special files.
    pub others: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

impl AddAssign<&Entry> for Tally {
    fn add_assign(&mut self, entry: &Entry) {
        match &entry.kind {
            EntryKind::File { size, .. } => {
                self.files += 1;
                // Sizes come from a vault: what is too much for a number is shown as the most there is.
                self.bytes = self.bytes.saturating_add(*size);
            }
            EntryKind::Directory { .. } => self.directories += 1,
            _ => self.others += 1,
        }
    }
}

impl Tally {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.files + self.directories + self.others == 0
    }
}

/// All differences together. What became something else counts as removed and as added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffSummary {
    /// What is only there after.
    pub added: Tally,
    /// What is only there before.
    pub removed: Tally,
    /// What has other contents; bytes as they are after.
    pub changed: Tally,
    /// What has other metadata, and the same contents.
    pub metadata: Tally,
    /// Entries on disk that could not be looked at, each told as a notice.
    pub failed_entries: u64,
}

impl DiffSummary {
    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        ![self.added, self.removed, self.changed, self.metadata].iter().all(Tally::is_empty)
    }
}

/// What gets each change, in order of the paths. It ends the operation by an error.
pub type Visit<'v> = dyn FnMut(&Change<'_>) -> Result<(), Error> + 'v;

/// Compares two snapshots, or paths in them. A path that only one of them has was added, or removed.
pub fn diff(
    vault: &Vault,
    reader: &Reader,
    options: &DiffOptions,
    around: &Surroundings<'_>,
    visit: &mut Visit<'_>,
) -> Result<DiffSummary, Error> {
    let before = look_up(vault, reader, &options.from)?;
    let after = look_up(vault, reader, &options.to)?;
    let record_of = |at: &TreePath| {
        let record = vault.state().snapshot_by_id(&at.snapshot);
        record.ok_or_else(|| Error::NoSuchSnapshot { wanted: at.snapshot.to_hex() })
    };
    let (from, to) = (record_of(&options.from)?, record_of(&options.to)?);
    let mut merge = Merge {
        before: reader.domain(from)?,
        after: After::Snapshot { domain: reader.domain(to)?, same_cuts: from.domain == to.domain },
        times: options.times,
        summary: DiffSummary::default(),
        visit,
    };
    // Two paths that have different names are compared all the same.
    let path = if options.from.path == options.to.path { &options.to.path } else { Path::new("") };
    let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let named = |entry: Option<Entry>| entry.map(|entry| Found::Entry(Entry { name: name.clone(), ..entry }));
    let root = Level {
        path: path.parent().map(Path::to_owned).unwrap_or_default(),
        before: Listing::Nothing,
        after: Listing::Nothing,
        next_before: named(before),
        next_after: named(after),
    };
    if let (None, None) = (&root.next_before, &root.next_after) {
        let TreePath { path, snapshot } = options.from.clone();
        return Err(Error::NoSuchPath { path, snapshot });
    }
    merge.run(root, around)
}

fn look_up(vault: &Vault, reader: &Reader, at: &TreePath) -> Result<Option<Entry>, Error> {
    match find_path(vault, reader, &at.snapshot, &at.path) {
        Ok((_, entry, _)) => Ok(Some(entry)),
        Err(Error::NoSuchPath { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
