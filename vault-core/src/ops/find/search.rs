//! Goes through trees and keeps what fits, each distinct directory once.
//!
//! What fits stands in an arena that mirrors the directories in which something does; nothing here recurses.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::FoundKind;
use super::patterns::Patterns;
use crate::error::Error;
use crate::format::tree::{Contents, Entry, EntryKind};
use crate::id::ChunkHash;
use crate::pipeline::os_str;
use crate::progress::{Notice, Severity};
use crate::surroundings::Surroundings;
use crate::time::Timestamp;
use crate::vault::reader::DomainReader;
use crate::vault::tree::Entries;

/// Distinct directories that are remembered, at about 50 bytes each; further ones are searched again in each snapshot.
const REMEMBERED_MAX: usize = 2_000_000;
/// Entries that fit and are kept, at about 200 bytes each.
const HITS_MAX: usize = 1_000_000;

/// An entry that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    name: Vec<u8>,
    pub(super) kind: FoundKind,
    pub(super) size: u64,
    pub(super) mtime: Timestamp,
    /// Differs between versions.
    pub(super) digest: [u8; 16],
}

/// A directory in which, or below which, something fits.
#[derive(Debug, Default)]
struct Place {
    hits: Vec<Hit>,
    below: Vec<(Vec<u8>, PlaceId)>,
}

/// The number of a place in the arena.
pub(super) type PlaceId = u32;

/// What tells directories apart in which other things would be found.
type Key = [u8; 16];

/// A directory that is being searched.
struct Open<'r> {
    name: Vec<u8>,
    path: PathBuf,
    key: Key,
    entries: Entries<'r>,
    place: Place,
}

/// A search through many snapshots.
pub(super) struct Search<'o> {
    patterns: Patterns<'o>,
    around: Surroundings<'o>,
    searched: HashMap<Key, Option<PlaceId>>,
    places: Vec<Place>,
    hits: usize,
    failed: u64,
}

impl<'o> Search<'o> {
    pub(super) fn new(patterns: Patterns<'o>, around: Surroundings<'o>) -> Self {
        Self { patterns, around, searched: HashMap::new(), places: Vec::new(), hits: 0, failed: 0 }
    }

    pub(super) fn failed_entries(&self) -> u64 {
        self.failed
    }

    /// Whether something fits that was not kept.
    pub(super) fn is_full(&self) -> bool {
        self.hits >= HITS_MAX
    }

    /// Searches a snapshot's tree; `None` if nothing in it fits.
    pub(super) fn snapshot(
        &mut self,
        domain: DomainReader<'_>,
        root_path: &[u8],
        subtree: ChunkHash,
    ) -> Result<Option<PlaceId>, Error> {
        let root = Path::new(os_str(root_path));
        let key = self.key(root, Path::new(""), &subtree);
        if let Some(&known) = self.searched.get(&key) {
            return Ok(known);
        }
        let open = |name, path, key, subtree: &ChunkHash| Open {
            name,
            path,
            key,
            entries: domain.entries(subtree),
            place: Place::default(),
        };
        let mut stack = vec![open(Vec::new(), PathBuf::new(), key, &subtree)];
        let mut found = None;
        while let Some(directory) = stack.last_mut() {
            if self.around.stop.requested() {
                return Err(Error::Interrupted);
            }
            let entry = directory.entries.next().transpose().unwrap_or_else(|error| {
                self.fail(root, &directory.path, &error);
                None
            });
            let Some(entry) = entry else {
                found = self.close(&mut stack);
                continue;
            };
            self.look(root, directory, &entry);
            if let EntryKind::Directory { subtree } = entry.kind {
                let path = directory.path.join(os_str(&entry.name));
                let key = self.key(root, &path, &subtree);
                match self.searched.get(&key) {
                    Some(Some(known)) => directory.place.below.push((entry.name, *known)),
                    Some(None) => {}
                    None => stack.push(open(entry.name, path, key, &subtree)),
                }
            }
        }
        Ok(found)
    }

    fn look(&mut self, root: &Path, directory: &mut Open<'_>, entry: &Entry) {
        if !self.is_full() && self.patterns.fit(root, &directory.path, entry) {
            self.hits += 1;
            directory.place.hits.push(Hit::new(entry));
        }
    }

    /// Ends the directory on top of the stack, and tells the one above it what was found.
    fn close(&mut self, stack: &mut Vec<Open<'_>>) -> Option<PlaceId> {
        let done = stack.pop()?;
        let is_empty = done.place.hits.is_empty() && done.place.below.is_empty();
        let id = if is_empty {
            None
        } else {
            let id = PlaceId::try_from(self.places.len()).ok()?;
            self.places.push(done.place);
            Some(id)
        };
        if self.searched.len() < REMEMBERED_MAX {
            self.searched.insert(done.key, id);
        }
        if let (Some(id), Some(above)) = (id, stack.last_mut()) {
            above.place.below.push((done.name, id));
        }
        id
    }

    fn key(&self, root: &Path, path: &Path, subtree: &ChunkHash) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(subtree.as_bytes());
        if self.patterns.depend_on_path() {
            hasher.update(root.join(path).as_os_str().as_encoded_bytes());
        }
        first_half(&hasher)
    }

    fn fail(&mut self, root: &Path, path: &Path, error: &Error) {
        self.failed += 1;
        let message = format!("its entries cannot be read: {}", crate::pipeline::restore::chain(error));
        let path = root.join(path);
        self.around.progress.notice(&Notice {
            severity: Severity::Problem,
            subject: &path,
            message: &message,
        });
    }

    /// Visits everything that fits below a place, with its path.
    pub(super) fn replay(&self, root: PlaceId, visit: &mut dyn FnMut(&Path, &Hit)) {
        let mut waiting = vec![(PathBuf::new(), root)];
        while let Some((path, id)) = waiting.pop() {
            let Some(place) = self.places.get(id as usize) else { continue };
            for hit in &place.hits {
                visit(&path.join(os_str(&hit.name)), hit);
            }
            waiting.extend(place.below.iter().map(|(name, id)| (path.join(os_str(name)), *id)));
        }
    }
}

impl Hit {
    fn new(entry: &Entry) -> Self {
        let (size, mtime) = (entry.kind.size(), entry.metadata.mtime);
        let kind = FoundKind::of(&entry.kind);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind as u8]);
        hasher.update(&size.to_le_bytes());
        hasher.update(&mtime.seconds.to_le_bytes());
        hasher.update(&mtime.nanos.to_le_bytes());
        match &entry.kind {
            EntryKind::File { contents: Contents::Chunks(chunks), .. } => chunks.iter().for_each(|chunk| {
                hasher.update(chunk.h.as_bytes());
            }),
            EntryKind::File { contents: Contents::Lists(lists), .. } => lists.iter().for_each(|list| {
                hasher.update(list.h.as_bytes());
            }),
            EntryKind::Symlink { target } => {
                hasher.update(target);
            }
            // A directory is another one when its time is: its own hash changes with anything below it.
            _ => {}
        }
        Self { name: entry.name.clone(), kind, size, mtime, digest: first_half(&hasher) }
    }
}

fn first_half(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    half
}
