//! A directory while it is being backed up: who finishes its last entry finishes the directory.
//!
//! Invariant: `pending` counts the entries that some thread still works on, plus one while the directory is being listed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{self, BranchRef, Entry, EntryKind, Metadata};
use crate::id::ChunkHash;
use crate::progress::{Amount, Notice, Severity};
use crate::vault::stat_cache::{CachedDirectory, DirectoryKey, Stamp, entry_name};

use super::backup::{Hand, count};
use super::select::Selection;

/// A directory to be listed.
pub struct Task {
    /// Where its finished entry goes; `None` for the root.
    pub parent: Option<Slot>,
    /// Its absolute path.
    pub path: PathBuf,
    /// Its name in its parent; empty for the root.
    pub name: Vec<u8>,
    /// What of it was asked for.
    pub selection: Arc<Selection>,
    /// The only file system that may be entered; `None` for all.
    pub device: Option<u64>,
}

/// A directory that has been listed.
pub struct Directory {
    /// The open directory, for its entries to be opened by name.
    pub fd: OwnedFd,
    /// Its absolute path, for messages and the stat cache.
    pub path: PathBuf,
    parent: Option<Slot>,
    name: Vec<u8>,
    metadata: Metadata,
    cached: Option<CachedDirectory>,
    entries: Mutex<Vec<Outcome>>,
    pending: AtomicUsize,
}

/// One entry's place in its directory.
#[derive(Clone)]
pub struct Slot {
    /// The directory.
    pub directory: Arc<Directory>,
    /// The entry's number in it.
    pub number: usize,
}

/// What became of an entry.
enum Outcome {
    /// Not in the snapshot: unfinished, vanished, failed or left out.
    Absent,
    /// As the cache has it, at this position, stamp and all.
    Cached(usize),
    /// Read anew. `position` is where the cache has the very same entry, if it does.
    Read { stamp: Stamp, encoded: Vec<u8>, position: Option<usize> },
}

impl Directory {
    /// A directory whose entries are about to be handed out.
    pub fn new(task: Task, fd: OwnedFd, metadata: Metadata, cached: Option<CachedDirectory>) -> Self {
        Self {
            fd,
            path: task.path,
            parent: task.parent,
            name: task.name,
            metadata,
            cached,
            entries: Mutex::default(),
            pending: AtomicUsize::new(1),
        }
    }

    /// What the cache remembers of it.
    pub fn cached(&self) -> Option<&CachedDirectory> {
        self.cached.as_ref()
    }

    /// Makes room for an entry that will be worked on, and counts it as pending. Entries are added by ascending name.
    pub fn add_pending(self: &Arc<Self>) -> Slot {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.add(Outcome::Absent)
    }

    /// Adds an entry that is as the cache has it.
    pub fn add_cached(self: &Arc<Self>, position: usize) {
        self.add(Outcome::Cached(position));
    }

    fn add(self: &Arc<Self>, outcome: Outcome) -> Slot {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(outcome);
        Slot { directory: Arc::clone(self), number: entries.len() - 1 }
    }

    /// Tells that listing is over: the count that stood for it is taken back.
    pub fn listed(self: &Arc<Self>, hand: &mut Hand<'_>) -> Result<(), Error> {
        settle(Arc::clone(self), hand)
    }

    /// Encodes the directory's node, and returns the directory's own entry.
    fn finish(&self, hand: &mut Hand<'_>) -> Result<Entry, Error> {
        let outcomes = std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner));
        let entries: Vec<(Stamp, &[u8])> =
            outcomes.iter().filter_map(|outcome| self.entry_of(outcome)).collect();
        let same = |(at, outcome): (usize, &Outcome)| match outcome {
            Outcome::Cached(position) | Outcome::Read { position: Some(position), .. } => *position == at,
            _ => false,
        };
        let node = match &self.cached {
            Some(cached) if cached.len() == outcomes.len() && outcomes.iter().enumerate().all(same) => {
                cached.node()
            }
            _ => store_entries(hand, &entries.iter().map(|(_, encoded)| *encoded).collect::<Vec<_>>())?,
        };
        let key = DirectoryKey::new(self.path.as_os_str().as_encoded_bytes());
        hand.engine.parts.remember.add(key, node, entries.into_iter())?;
        count(&hand.engine.counts.directories, 1);
        Ok(Entry {
            name: self.name.clone(),
            kind: EntryKind::Directory { subtree: node },
            metadata: self.metadata.clone(),
            link_group: None,
            changed_while_read: false,
        })
    }

    fn entry_of<'d>(&'d self, outcome: &'d Outcome) -> Option<(Stamp, &'d [u8])> {
        match outcome {
            Outcome::Absent => None,
            Outcome::Cached(position) => {
                self.cached.as_ref().map(|cached| (cached.stamp(*position), cached.encoded(*position)))
            }
            Outcome::Read { stamp, encoded, .. } => Some((*stamp, encoded)),
        }
    }
}

impl Slot {
    /// Puts a finished entry in its place.
    pub fn fill(self, entry: &Entry, stamp: Stamp, hand: &mut Hand<'_>) -> Result<(), Error> {
        match entry.encode() {
            Ok(encoded) => self.record(&entry.name, encoded, stamp, hand),
            // Hundreds of thousands of holes, say: no reason to lose all the rest.
            Err(error) => return self.fail(&entry.name, &format!("cannot be stored: {error}"), hand),
        }
        settle(self.directory, hand)
    }

    fn record(&self, name: &[u8], encoded: Vec<u8>, stamp: Stamp, hand: &Hand<'_>) {
        let cached = self.directory.cached.as_ref();
        let known = cached.and_then(|cached| Some((cached, cached.position(name)?)));
        let same = known.filter(|(cached, position)| cached.encoded(*position) == encoded);
        let counts = &hand.engine.counts;
        match (known, same) {
            (None, _) => count(&counts.new_entries, 1),
            (Some(_), None) => count(&counts.changed_entries, 1),
            (Some(_), Some(_)) => count(&counts.unchanged_entries, 1),
        }
        let outcome = Outcome::Read { stamp, encoded, position: same.map(|(_, position)| position) };
        let mut entries = self.directory.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = entries.get_mut(self.number) {
            *place = outcome;
        }
    }

    /// Leaves the entry out, saying why; the backup ends as incomplete.
    pub fn fail(self, name: &[u8], message: &str, hand: &mut Hand<'_>) -> Result<(), Error> {
        count(&hand.engine.counts.failed_entries, 1);
        self.tell(name, Severity::Problem, message, hand);
        settle(self.directory, hand)
    }

    /// Leaves the entry out because the run was asked to stop.
    pub fn leave(self, hand: &mut Hand<'_>) -> Result<(), Error> {
        count(&hand.engine.counts.unfinished, 1);
        settle(self.directory, hand)
    }

    /// Leaves the entry out without a word.
    pub fn skip(self, hand: &mut Hand<'_>) -> Result<(), Error> {
        settle(self.directory, hand)
    }

    /// Tells something about the entry.
    pub fn tell(&self, name: &[u8], severity: Severity, message: &str, hand: &Hand<'_>) {
        let path = self.directory.path.join(super::os_str(name));
        hand.engine.around.progress.notice(&Notice { severity, subject: &path, message });
    }
}

/// Takes back one pending count; the last one finishes the directory, which is an entry of its parent, and so on \[6\].
fn settle(mut directory: Arc<Directory>, hand: &mut Hand<'_>) -> Result<(), Error> {
    while directory.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
        let entry = directory.finish(hand)?;
        hand.engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        let Some(slot) = directory.parent.clone() else {
            // There is one root, and it is finished once.
            let _ = hand.engine.root.set(entry);
            return Ok(());
        };
        // A directory's stamp says nothing about what lies below it: none is kept.
        slot.record(&entry.name, entry.encode()?, Stamp::default(), hand);
        directory = slot.directory;
    }
    Ok(())
}

/// Stores the node of a directory with these entries, split where it would be too large, and returns its hash.
fn store_entries(hand: &mut Hand<'_>, entries: &[&[u8]]) -> Result<ChunkHash, Error> {
    let parts = tree::split(entries.iter().map(|entry| entry.len()), tree::NODE_SPLIT_BYTES);
    if parts.len() <= 1 {
        return hand.store_chunk(SegmentKind::Tree, &tree::encode_entries(entries));
    }
    let mut branches = Vec::with_capacity(parts.len());
    for part in parts {
        let part = &entries[part];
        let h = hand.store_chunk(SegmentKind::Tree, &tree::encode_entries(part))?;
        let first_name = part.first().and_then(|entry| entry_name(entry)).unwrap_or_default().to_vec();
        branches.push(BranchRef { first_name, h });
    }
    store_branches(hand, branches)
}

/// Stores the branches over a split directory, in levels until one node holds them all.
fn store_branches(hand: &mut Hand<'_>, mut branches: Vec<BranchRef>) -> Result<ChunkHash, Error> {
    loop {
        let parts = tree::split(branches.iter().map(BranchRef::encoded_bytes), tree::NODE_SPLIT_BYTES);
        if parts.len() <= 1 {
            return hand.store_chunk(SegmentKind::Tree, &tree::encode_branch(&branches));
        }
        let mut above = Vec::with_capacity(parts.len());
        for part in parts {
            let part = &branches[part];
            let h = hand.store_chunk(SegmentKind::Tree, &tree::encode_branch(part))?;
            above.push(BranchRef { first_name: part[0].first_name.clone(), h });
        }
        branches = above;
    }
}
