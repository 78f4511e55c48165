//! A directory while it is being backed up: who finishes its last entry finishes the directory.
//!
//! Invariant: `pending` counts the entries that some thread still works on, plus one while the directory is being listed. An entry has
//! the same slot in the view of every destination.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::Stat;

use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{Entry, EntryKind, Metadata, store_directory};
use crate::id::ChunkHash;
use crate::progress::{Amount, Notice, Severity};
use crate::vault::stat_cache::{CachedDirectory, DirectoryKey, Stamp, StatCacheWriter};

use super::attributes::stamp;
use super::destination::{Destination, Trust, count};
use super::hand::{Hand, Wanted};
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
    views: Vec<View>,
    pending: AtomicUsize,
}

/// A directory as one destination will have it.
struct View {
    cached: Option<CachedDirectory>,
    entries: Mutex<Vec<Outcome>>,
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
    /// A directory in work.
    Open(Weak<Directory>),
    /// As the cache has it, at this position, stamp and all.
    Cached(usize),
    /// Read anew. `position` is where the cache has the very same entry, if it does.
    Read { stamp: Stamp, encoded: Vec<u8>, position: Option<usize> },
}

impl Directory {
    /// A directory whose entries are about to be handed out.
    pub fn new(task: Task, fd: OwnedFd, metadata: Metadata, hand: &Hand<'_>) -> Arc<Self> {
        let key = DirectoryKey::new(task.path.as_os_str().as_encoded_bytes());
        let view = |destination: &Destination<'_>| View {
            cached: destination.parts.remembered.iter().find_map(|cache| cache.directory(key)),
            entries: Mutex::default(),
        };
        let directory = Arc::new(Self {
            fd,
            path: task.path,
            parent: task.parent,
            name: task.name,
            metadata,
            views: hand.engine.destinations.iter().map(view).collect(),
            pending: AtomicUsize::new(1),
        });
        match &directory.parent {
            Some(slot) => slot.open(&directory),
            None => hand.engine.begin_at(&directory),
        }
        directory
    }

    /// Makes room for an entry that will be worked on, and counts it as pending. Entries are added by ascending name.
    pub fn add_pending(self: &Arc<Self>) -> Slot {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let mut number = 0;
        for view in &self.views {
            let mut entries = view.entries();
            number = entries.len();
            entries.push(Outcome::Absent);
        }
        Slot { directory: Arc::clone(self), number }
    }

    /// Adds an entry that may be as it was: for which destinations it must be read, and where it then goes.
    pub fn add(self: &Arc<Self>, name: &[u8], stat: &Stat, hand: &mut Hand<'_>) -> (Wanted, Option<Slot>) {
        let slot = self.add_pending();
        let mut wanted = Wanted::default();
        hand.each(hand.going(), |_, to, destination| {
            let view = &self.views[to];
            match view.unchanged(name, stat, destination)? {
                Some(position) => {
                    view.entries()[slot.number] = Outcome::Cached(position);
                    count_unchanged(destination, stat);
                }
                None => wanted.add(to),
            }
            Ok(())
        });
        if wanted.is_empty() {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            hand.engine.around.progress.advance(Amount { items: 1, bytes: file_bytes(stat) });
            return (wanted, None);
        }
        (wanted, Some(slot))
    }

    /// Tells that listing is over: the count that stood for it is taken back.
    pub fn listed(self: &Arc<Self>, hand: &mut Hand<'_>) {
        settle(Arc::clone(self), hand);
    }

    /// Encodes the directory's node, and returns the directory's own entry.
    fn finish(&self, to: usize, hand: &mut Hand<'_>) -> Result<Entry, Error> {
        let view = &self.views[to];
        let destination = hand.destination(to);
        let outcomes = view.entries();
        let entries: Vec<(Stamp, &[u8])> =
            outcomes.iter().filter_map(|outcome| view.entry_of(outcome)).collect();
        let same = |(at, outcome): (usize, &Outcome)| match outcome {
            Outcome::Cached(position) | Outcome::Read { position: Some(position), .. } => *position == at,
            _ => false,
        };
        let node = match &view.cached {
            Some(cached)
                if cached.len() == outcomes.len()
                    && destination.parts.trust == Trust::Fully
                    && outcomes.iter().enumerate().all(same) =>
            {
                cached.node()
            }
            _ => store_entries(to, hand, entries.iter().map(|(_, encoded)| *encoded))?,
        };
        destination.parts.remember.add(self.key(), node, entries.into_iter())?;
        count(&destination.counts.directories, 1);
        Ok(self.entry(node))
    }

    /// The directories in it that are in work, each with the number of its slot.
    pub fn open_below(&self, to: usize) -> Vec<(usize, Arc<Directory>)> {
        let entries = self.views[to].entries();
        let open = entries.iter().enumerate().filter_map(|(number, outcome)| match outcome {
            Outcome::Open(directory) => Some((number, directory.upgrade()?)),
            _ => None,
        });
        open.collect()
    }

    /// Stores a node of what is finished so far, with these entries in the slots of directories in work.
    pub fn store_partial(
        &self,
        to: usize,
        below: &[(usize, Vec<u8>)],
        hand: &mut Hand<'_>,
        remember: &StatCacheWriter,
    ) -> Result<Entry, Error> {
        let view = &self.views[to];
        let outcomes = view.entries();
        let finished = |(number, outcome): (usize, &'_ Outcome)| match outcome {
            Outcome::Open(_) => below.iter().find(|(slot, _)| *slot == number).map(|_| number),
            Outcome::Absent => None,
            _ => Some(number),
        };
        let numbers: Vec<usize> = outcomes.iter().enumerate().filter_map(finished).collect();
        let of_slot = |number: &usize| match &outcomes[*number] {
            Outcome::Open(_) => {
                let (_, encoded) = below.iter().find(|(slot, _)| slot == number)?;
                Some((Stamp::default(), &encoded[..]))
            }
            outcome => view.entry_of(outcome),
        };
        let entries: Vec<(Stamp, &[u8])> = numbers.iter().filter_map(of_slot).collect();
        let node = store_entries(to, hand, entries.iter().map(|(_, encoded)| *encoded))?;
        remember.add(self.key(), node, entries.into_iter())?;
        Ok(self.entry(node))
    }

    fn key(&self) -> DirectoryKey {
        DirectoryKey::new(self.path.as_os_str().as_encoded_bytes())
    }

    fn entry(&self, subtree: ChunkHash) -> Entry {
        Entry {
            name: self.name.clone(),
            kind: EntryKind::Directory { subtree },
            metadata: self.metadata.clone(),
            link_group: None,
            changed_while_read: false,
        }
    }
}

impl View {
    fn entries(&self) -> MutexGuard<'_, Vec<Outcome>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the entry in the cache, if the cache has it with the same stamp and the vault has its contents.
    fn unchanged(
        &self,
        name: &[u8],
        stat: &Stat,
        destination: &Destination<'_>,
    ) -> Result<Option<usize>, Error> {
        let Some(cached) = &self.cached else { return Ok(None) };
        let Some(position) = cached.position(name) else { return Ok(None) };
        let same = cached.stamp(position) == stamp(stat) && destination.holds(cached.encoded(position))?;
        Ok(same.then_some(position))
    }

    fn entry_of<'d>(&'d self, outcome: &'d Outcome) -> Option<(Stamp, &'d [u8])> {
        match outcome {
            Outcome::Absent | Outcome::Open(_) => None,
            Outcome::Cached(position) => {
                self.cached.as_ref().map(|cached| (cached.stamp(*position), cached.encoded(*position)))
            }
            Outcome::Read { stamp, encoded, .. } => Some((*stamp, encoded)),
        }
    }
}

fn file_bytes(stat: &Stat) -> u64 {
    let is_file = super::attributes::file_type(stat) == rustix::fs::FileType::RegularFile;
    if is_file { stat.st_size as u64 } else { 0 }
}

fn count_unchanged(destination: &Destination<'_>, stat: &Stat) {
    let counts = &destination.counts;
    count(&counts.unchanged_entries, 1);
    if super::attributes::file_type(stat) == rustix::fs::FileType::RegularFile {
        count(&counts.files, 1);
        count(&counts.bytes, stat.st_size as u64);
    } else {
        count(&counts.others, 1);
    }
}

impl Slot {
    /// Tells the parent that this directory is in work.
    fn open(&self, directory: &Arc<Directory>) {
        for view in &self.directory.views {
            view.entries()[self.number] = Outcome::Open(Arc::downgrade(directory));
        }
    }

    /// Puts the entry that `make` gives for each of some destinations in its place.
    pub fn fill<'e>(
        self,
        (wanted, stamp): (Wanted, Stamp),
        hand: &mut Hand<'e>,
        mut make: impl FnMut(&mut Hand<'e>, usize) -> Result<Entry, Error>,
    ) {
        let mut told = false;
        hand.each(wanted, |hand, to, destination| {
            let entry = make(hand, to)?;
            match entry.encode() {
                Ok(encoded) => self.record(to, (&entry.name, encoded, stamp), destination),
                // Hundreds of thousands of holes, say: no reason to lose all the rest.
                Err(error) => {
                    count(&destination.counts.failed_entries, 1);
                    if !std::mem::replace(&mut told, true) {
                        let message = format!("cannot be stored: {error}");
                        self.tell(&entry.name, Severity::Problem, &message, hand);
                    }
                }
            }
            Ok(())
        });
        settle(self.directory, hand);
    }

    fn record(
        &self,
        to: usize,
        (name, encoded, stamp): (&[u8], Vec<u8>, Stamp),
        destination: &Destination<'_>,
    ) {
        let view = &self.directory.views[to];
        let cached = view.cached.as_ref();
        let known = cached.and_then(|cached| Some((cached, cached.position(name)?)));
        let same = known.filter(|(cached, position)| cached.encoded(*position) == encoded);
        let counts = &destination.counts;
        match (known, same) {
            (None, _) => count(&counts.new_entries, 1),
            (Some(_), None) => count(&counts.changed_entries, 1),
            (Some(_), Some(_)) => count(&counts.unchanged_entries, 1),
        }
        let outcome = Outcome::Read { stamp, encoded, position: same.map(|(_, position)| position) };
        if let Some(place) = view.entries().get_mut(self.number) {
            *place = outcome;
        }
    }

    /// Leaves the entry out where it is `wanted`, saying why; the backup ends as incomplete.
    pub fn fail(self, wanted: Wanted, name: &[u8], message: &str, hand: &mut Hand<'_>) {
        hand.count(wanted, |counts| &counts.failed_entries, 1);
        self.tell(name, Severity::Problem, message, hand);
        self.skip(hand);
    }

    /// Leaves the entry out without a word: it is not there any more, or the run was asked to stop.
    pub fn skip(self, hand: &mut Hand<'_>) {
        settle(self.directory, hand);
    }

    /// Tells something about the entry.
    pub fn tell(&self, name: &[u8], severity: Severity, message: &str, hand: &Hand<'_>) {
        let path = self.directory.path.join(super::os_str(name));
        hand.engine.around.progress.notice(&Notice { severity, subject: &path, message });
    }
}

/// Takes back one pending count; the last one finishes the directory, which is an entry of its parent, and so on \[6\].
fn settle(mut directory: Arc<Directory>, hand: &mut Hand<'_>) {
    while directory.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
        hand.each(hand.going(), |hand, to, destination| {
            let entry = directory.finish(to, hand)?;
            match &directory.parent {
                // A directory's stamp says nothing about what lies below it: none is kept.
                Some(slot) => {
                    slot.record(to, (&entry.name, entry.encode()?, Stamp::default()), destination);
                }
                // There is one root, and it is finished once.
                None => drop(destination.root.set(entry)),
            }
            Ok(())
        });
        hand.engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        let Some(slot) = directory.parent.clone() else { return };
        directory = slot.directory;
    }
}

/// Stores the nodes of a directory with these entries, and returns the hash that stands for it.
fn store_entries<'d>(
    to: usize,
    hand: &mut Hand<'_>,
    entries: impl Iterator<Item = &'d [u8]>,
) -> Result<ChunkHash, Error> {
    let entries: Vec<&[u8]> = entries.collect();
    store_directory(&entries, |node| hand.store_chunk(to, SegmentKind::Tree, node))
}
