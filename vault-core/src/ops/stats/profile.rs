//! What is big in one snapshot: by directory, and by size of file.
//!
//! A chunk that stands in several directories belongs to the deepest one that contains them all: what a directory is said to have
//! alone is what leaving it out would have saved.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Arc;

use crate::crypto::hash::chunk_id;
use crate::error::Error;
use crate::format::tree::{ChunkRef, EntryKind};
use crate::id::SnapshotId;
use crate::keys::envelope::DomainKeys;
use crate::pipeline::os_str;
use crate::surroundings::Surroundings;
use crate::vault::chunk_index::ChunkIndex;
use crate::vault::{Reader, Vault};

use super::{DirectoryStats, Room, SizeClass};

/// The greatest sizes of the classes; one more has what is above.
const CLASSES: [u64; 7] = [0, 1 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20, 1 << 30];

/// Which snapshot to look at, and how closely.
#[derive(Debug, Clone, Copy)]
pub struct ProfileOptions {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// How deep directories are told apart; those below count for the one at this depth. 0 is the root alone.
    pub depth: usize,
    /// How many directories to return at most: those that take the most room in the store.
    pub top: usize,
}

/// What is in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The directories, by the room that they alone take, largest first; among equals by their bytes, then by path.
    pub directories: Vec<DirectoryStats>,
    /// The files by size.
    pub sizes: Vec<SizeClass>,
}

/// Looks at all that is in a snapshot.
pub fn profile(
    vault: &Vault,
    reader: &Reader,
    options: &ProfileOptions,
    around: &Surroundings<'_>,
) -> Result<Profile, Error> {
    let record = vault
        .state()
        .snapshot_by_id(&options.snapshot)
        .ok_or_else(|| Error::NoSuchSnapshot { wanted: options.snapshot.to_hex() })?;
    let domain = reader.domain(record)?;
    let mut places = Places::new(reader.chunks(), reader.keys_of(record.domain)?);
    let mut sizes: Vec<SizeClass> = Vec::new();
    let limits = CLASSES.into_iter().map(Some).chain([None]);
    sizes.extend(limits.map(|up_to| SizeClass { up_to, files: 0, bytes: 0 }));

    let EntryKind::Directory { subtree } = reader.body(record)?.root.kind else {
        return Ok(Profile { directories: Vec::new(), sizes });
    };
    let root = places.directory(PathBuf::new(), None);
    let mut open = vec![(root, 0, domain.entries(&subtree))];
    while let Some((directory, depth, entries)) = open.last_mut() {
        let (directory, depth) = (*directory, *depth);
        if around.stop.requested() {
            return Err(Error::Interrupted);
        }
        let Some(entry) = entries.next().transpose()? else {
            open.pop();
            continue;
        };
        match entry.kind {
            EntryKind::Directory { subtree } => {
                let below = if depth < options.depth {
                    let path = places.directories[directory].stats.path.join(os_str(&entry.name));
                    places.directory(path, Some(directory))
                } else {
                    directory
                };
                open.push((below, depth + 1, domain.entries(&subtree)));
            }
            EntryKind::File { size, contents, .. } => {
                count_size(&mut sizes, size);
                places.file(directory, size);
                domain.for_each_chunk(&contents, &mut |chunk| places.chunk(directory, chunk))?;
            }
            _ => {}
        }
    }
    Ok(Profile { directories: places.finish(options.top), sizes })
}

fn count_size(sizes: &mut [SizeClass], size: u64) {
    let class = sizes.iter_mut().find(|class| class.up_to.is_none_or(|limit| size <= limit));
    if let Some(class) = class {
        class.files += 1;
        class.bytes = class.bytes.saturating_add(size);
    }
}

struct Directory {
    parent: Option<usize>,
    depth: usize,
    stats: DirectoryStats,
}

/// The directories, and which of them each chunk belongs to.
struct Places<'k> {
    chunks: Arc<ChunkIndex>,
    keys: &'k DomainKeys,
    /// By row of the chunk index: one more than the number of a directory; 0 for a chunk that did not come yet.
    owner: Vec<u32>,
    /// Each after the one that it is in.
    directories: Vec<Directory>,
}

impl<'k> Places<'k> {
    fn new(chunks: Arc<ChunkIndex>, keys: &'k DomainKeys) -> Self {
        let rows = chunks.row_count() as usize;
        Self { chunks, keys, owner: vec![0; rows], directories: Vec::new() }
    }

    fn directory(&mut self, path: PathBuf, parent: Option<usize>) -> usize {
        let depth = parent.map_or(0, |parent| self.directories[parent].depth + 1);
        let stats = DirectoryStats { path, files: 0, bytes: 0, only: Room::default() };
        self.directories.push(Directory { parent, depth, stats });
        self.directories.len() - 1
    }

    fn file(&mut self, directory: usize, size: u64) {
        let stats = &mut self.directories[directory].stats;
        stats.files += 1;
        stats.bytes = stats.bytes.saturating_add(size);
    }

    fn chunk(&mut self, directory: usize, chunk: &ChunkRef) -> Result<(), Error> {
        let missing = || Error::ChunkMissing { h: chunk.h };
        let rows = self.chunks.rows(&chunk_id(&self.keys.k_id, &chunk.h))?;
        let (row, _) = rows.first().ok_or_else(missing)?;
        let room = Room::of(&self.chunks.place(row)?);
        let at = row.number as usize;
        let before = *self.owner.get(at).ok_or_else(missing)?;
        let after = match before {
            0 => directory,
            before => self.common(before as usize - 1, directory),
        };
        if before != 0 {
            self.directories[before as usize - 1].stats.only.take(room);
        }
        self.directories[after].stats.only.add(room);
        self.owner[at] = after as u32 + 1;
        Ok(())
    }

    /// The deepest directory that contains both.
    fn common(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            let deeper = if self.directories[a].depth >= self.directories[b].depth { &mut a } else { &mut b };
            match self.directories[*deeper].parent {
                Some(parent) => *deeper = parent,
                None => return *deeper,
            }
        }
        a
    }

    /// Adds each directory to the one that it is in, and returns those that take the most room.
    fn finish(mut self, top: usize) -> Vec<DirectoryStats> {
        for at in (0..self.directories.len()).rev() {
            let Directory { parent, stats, .. } = &self.directories[at];
            let (parent, files, bytes, only) = (*parent, stats.files, stats.bytes, stats.only);
            if let Some(parent) = parent {
                let above = &mut self.directories[parent].stats;
                above.files += files;
                above.bytes = above.bytes.saturating_add(bytes);
                above.only.add(only);
            }
        }
        let mut all: Vec<_> = self.directories.into_iter().map(|directory| directory.stats).collect();
        all.sort_by(|a, b| {
            let key = |stats: &DirectoryStats| Reverse((stats.only.stored_bytes, stats.bytes));
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        all.truncate(top);
        all
    }
}
