//! Merges two trees, entry by entry, and judges each pair.
//!
//! Nothing recurses: a hostile tree is as deep as it likes. A directory that cannot be listed on disk is told and left out whole.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::id::ChunkHash;
use crate::pipeline::os_str;
use crate::surroundings::Surroundings;
use crate::vault::contents::FileBytes;
use crate::vault::reader::DomainReader;
use crate::vault::tree::Entries;

use super::disk::{Disk, DiskListing, Found};
use super::{Change, ChangeKind, DiffSummary, Visit};

/// Where what came after comes from.
pub(super) enum After<'r> {
    /// A snapshot.
    Snapshot {
        domain: DomainReader<'r>,
        /// Whether both snapshots were cut by the same keys: then other chunks are other contents.
        same_cuts: bool,
    },
    /// The disk.
    Disk(Box<Disk<'r>>),
}

/// The entries of one directory, or of one that is not there.
pub(super) enum Listing<'r> {
    Snapshot(Entries<'r>),
    Disk(DiskListing),
    Nothing,
}

impl Listing<'_> {
    fn next(&mut self, after: &After<'_>) -> Result<Option<Found>, Error> {
        match self {
            Self::Snapshot(entries) => Ok(entries.next().transpose()?.map(Found::Entry)),
            Self::Disk(listing) => match after {
                After::Disk(disk) => Ok(listing.next(disk)),
                After::Snapshot { .. } => Ok(None),
            },
            Self::Nothing => Ok(None),
        }
    }
}

/// What stands under one name, before and after.
type Pair = (Option<Found>, Option<Found>);

/// One directory of each side while they are merged.
pub(super) struct Level<'r> {
    pub(super) path: PathBuf,
    pub(super) before: Listing<'r>,
    pub(super) after: Listing<'r>,
    pub(super) next_before: Option<Found>,
    pub(super) next_after: Option<Found>,
}

impl Level<'_> {
    /// What both sides have under the next name; `None` at the end.
    fn next(&mut self, after: &After<'_>) -> Result<Option<Pair>, Error> {
        if self.next_before.is_none() {
            self.next_before = self.before.next(after)?;
        }
        if self.next_after.is_none() {
            self.next_after = self.after.next(after)?;
        }
        let order = match (&self.next_before, &self.next_after) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.name().cmp(after.name()),
        };
        let before = if order.is_le() { self.next_before.take() } else { None };
        let after = if order.is_ge() { self.next_after.take() } else { None };
        Ok(Some((before, after)))
    }
}

/// A comparison of two trees.
pub(super) struct Merge<'r, 'v> {
    pub(super) before: DomainReader<'r>,
    pub(super) after: After<'r>,
    /// Whether entries that differ in nothing but their times are told.
    pub(super) times: bool,
    pub(super) summary: DiffSummary,
    pub(super) visit: &'v mut Visit<'v>,
}

impl<'r> Merge<'r, '_> {
    /// Compares all that is at a level and below it.
    pub(super) fn run(&mut self, root: Level<'r>, around: &Surroundings<'_>) -> Result<DiffSummary, Error> {
        let mut open = vec![root];
        while let Some(level) = open.last_mut() {
            if around.stop.requested() {
                return Err(Error::Interrupted);
            }
            let Some(pair) = level.next(&self.after)? else {
                open.pop();
                continue;
            };
            if let Some(below) = self.compare(level, pair)? {
                open.push(below);
            }
        }
        if let After::Disk(disk) = &self.after {
            self.summary.failed_entries = disk.failed_entries();
        }
        Ok(self.summary)
    }

    /// Judges one name; returns the directories to go into.
    fn compare(&mut self, level: &Level<'r>, pair: Pair) -> Result<Option<Level<'r>>, Error> {
        let (before, after) = match pair {
            (_, Some(Found::LeftOut(_))) | (Some(Found::LeftOut(_)), _) => return Ok(None),
            (before, after) => (before.and_then(Found::entry), after.and_then(Found::entry)),
        };
        let Some(name) = before.as_ref().or(after.as_ref()).map(|entry| os_str(&entry.name)) else {
            return Ok(None);
        };
        let path = level.path.join(name);
        if let (Some(gone), None, After::Disk(disk), Listing::Disk(listing)) =
            (&before, &after, &self.after, &level.after)
            && disk.excludes(listing, gone)
        {
            return Ok(None);
        }
        if let Some(kind) = self.judge(level, before.as_ref(), after.as_ref())? {
            self.tell(&Change { path: &path, kind, before: before.as_ref(), after: after.as_ref() })?;
        }
        Ok(self.below(level, path, before.as_ref(), after.as_ref()))
    }

    /// How the entry differs; `None` if it does not.
    fn judge(
        &self,
        level: &Level<'r>,
        before: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Result<Option<ChangeKind>, Error> {
        let (before, after) = match (before, after) {
            (Some(before), Some(after)) => (before, after),
            (Some(_), None) => return Ok(Some(ChangeKind::Removed)),
            (None, Some(_)) => return Ok(Some(ChangeKind::Added)),
            (None, None) => return Ok(None),
        };
        if std::mem::discriminant(&before.kind) != std::mem::discriminant(&after.kind) {
            return Ok(Some(ChangeKind::Type));
        }
        if self.contents_differ(level, before, after)? {
            return Ok(Some(ChangeKind::Contents));
        }
        Ok(self.metadata_differs(before, after).then_some(ChangeKind::Metadata))
    }

    /// Whether two entries of one type have different contents. Directories have none of their own.
    fn contents_differ(&self, level: &Level<'r>, before: &Entry, after: &Entry) -> Result<bool, Error> {
        let (
            EntryKind::File { size, contents, holes },
            EntryKind::File { size: size_after, contents: contents_after, holes: holes_after },
        ) = (&before.kind, &after.kind)
        else {
            return Ok(!before.is_directory() && before.kind != after.kind);
        };
        if size != size_after {
            return Ok(true);
        }
        match (&self.after, &level.after) {
            (After::Disk(disk), Listing::Disk(listing)) => {
                let same_time = before.metadata.mtime == after.metadata.mtime;
                disk.contents_differ(listing, before, same_time)
            }
            (After::Snapshot { .. }, _) if contents == contents_after && holes == holes_after => Ok(false),
            (After::Snapshot { same_cuts: true, .. }, _) if holes == holes_after => Ok(true),
            (After::Snapshot { domain, .. }, _) => {
                let ours = FileBytes::new(self.before, contents.clone(), holes.clone());
                let theirs = FileBytes::new(*domain, contents_after.clone(), holes_after.clone());
                Ok(!ours.same(theirs)?)
            }
            (After::Disk(_), _) => Ok(false),
        }
    }

    fn metadata_differs(&self, before: &Entry, after: &Entry) -> bool {
        let (a, b) = (&before.metadata, &after.metadata);
        (a.mode, a.uid, a.gid) != (b.mode, b.uid, b.gid)
            || a.xattrs != b.xattrs
            || (self.times && a.mtime != b.mtime)
    }

    /// Counts a change and shows it.
    pub(super) fn tell(&mut self, change: &Change<'_>) -> Result<(), Error> {
        let summary = &mut self.summary;
        match change.kind {
            ChangeKind::Added | ChangeKind::Removed | ChangeKind::Type => {
                change.before.into_iter().for_each(|entry| summary.removed += entry);
                change.after.into_iter().for_each(|entry| summary.added += entry);
            }
            ChangeKind::Contents => change.after.into_iter().for_each(|entry| summary.changed += entry),
            ChangeKind::Metadata => change.after.into_iter().for_each(|entry| summary.metadata += entry),
        }
        (self.visit)(change)
    }

    /// Tells that the roots of both sides have other metadata, if they have.
    pub(super) fn compare_roots(&mut self, path: &Path, before: &Entry, after: &Entry) -> Result<(), Error> {
        if !self.metadata_differs(before, after) {
            return Ok(());
        }
        self.tell(&Change { path, kind: ChangeKind::Metadata, before: Some(before), after: Some(after) })
    }

    /// The directories to go into, if one side has one and the other has not the same.
    fn below(
        &self,
        level: &Level<'r>,
        path: PathBuf,
        before: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Option<Level<'r>> {
        let (tree_before, tree_after) = (subtree(before), subtree(after));
        if tree_before.is_none() && tree_after.is_none() {
            return None;
        }
        let listing_after = match (&self.after, tree_after, after, &level.after) {
            (After::Snapshot { .. }, Some(_), ..) if tree_before == tree_after => return None,
            (After::Snapshot { domain, .. }, Some(subtree), ..) => {
                Listing::Snapshot(domain.entries(&subtree))
            }
            // One that cannot be listed is not gone into on the other side either.
            (After::Disk(disk), Some(_), Some(entry), Listing::Disk(listing)) => {
                Listing::Disk(disk.below(listing, &entry.name)?)
            }
            _ => Listing::Nothing,
        };
        let listing = |subtree| Listing::Snapshot(self.before.entries(&subtree));
        let before = tree_before.map_or(Listing::Nothing, listing);
        Some(Level { path, before, after: listing_after, next_before: None, next_after: None })
    }
}

fn subtree(entry: Option<&Entry>) -> Option<ChunkHash> {
    match entry?.kind {
        EntryKind::Directory { subtree } => Some(subtree),
        _ => None,
    }
}
