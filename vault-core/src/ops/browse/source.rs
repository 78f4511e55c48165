//! Where the bytes of a mounted vault come from: opened segments and decoded tree nodes, kept within bounds of memory.
//!
//! Every byte that leaves here has the hash that was asked for. What is missing is looked for once more after reading what the log
//! has come to say: another machine may have moved it to another pack.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::chunk::compress::Decompressor;
use crate::error::{Error, Fault};
use crate::format::tree::{BranchRef, ChunkRef, Entry, EntryKind, Node};
use crate::id::{ChunkHash, DomainId, PackId, SnapshotId};
use crate::vault::chunk_index::Place;
use crate::vault::reader::chunk_in;
use crate::vault::{Reader, Vault};

use super::cache::Cache;

/// A snapshot as something to read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// The snapshot.
    pub(super) snapshot: SnapshotId,
    /// The domain of its chunks.
    pub(super) domain: DomainId,
}

impl View {
    /// Says that the snapshot's tree is not what a tree must be.
    pub(super) fn damaged_tree(&self, what: &'static str) -> Error {
        Error::Tree { snapshot: self.snapshot, fault: Fault::Malformed { what } }
    }
}

/// A decoded tree node, in the form in which things are found in it.
pub(super) enum Decoded {
    /// Entries by ascending name.
    Entries(Vec<Entry>),
    /// Parts of a large directory.
    Branch(Vec<BranchRef>),
    /// A part of a file's chunk list.
    Chunks(Run),
}

/// Consecutive chunks, and where each ends.
pub(super) struct Run {
    chunks: Vec<ChunkRef>,
    /// Where each chunk ends, in bytes from the beginning of the first.
    ends: Vec<u64>,
}

impl Run {
    pub(super) fn new(chunks: Vec<ChunkRef>) -> Self {
        let ends = chunks
            .iter()
            .scan(0_u64, |end, chunk| {
                *end = end.saturating_add(chunk.length.into());
                Some(*end)
            })
            .collect();
        Self { chunks, ends }
    }

    /// How many bytes the chunks have together.
    pub(super) fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The chunk that holds the byte at `offset`, and where it begins.
    pub(super) fn at(&self, offset: u64) -> Option<(ChunkRef, u64)> {
        let at = self.ends.partition_point(|&end| end <= offset);
        let chunk = *self.chunks.get(at)?;
        Some((chunk, self.ends.get(at)? - u64::from(chunk.length)))
    }
}

/// An opened segment.
pub(super) struct Opened {
    raw: Vec<u8>,
    /// Chunks of it whose hash was compared: where each begins, and its hash.
    verified: Mutex<HashMap<u32, ChunkHash>>,
}

impl Opened {
    /// The chunk at its place; its hash is compared at the first time only.
    pub(super) fn chunk(&self, place: &Place, h: &ChunkHash) -> Result<&[u8], Error> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.get(&place.offset) != Some(h) {
            chunk_in(&self.raw, place, h)?;
            verified.insert(place.offset, *h);
        }
        let start = place.offset as usize;
        Ok(self.raw.get(start..start + place.length as usize).unwrap_or_default())
    }
}

/// The vault, and what was read of it last.
pub(super) struct Source {
    vault: Mutex<Vault>,
    reader: RwLock<Arc<Reader>>,
    segments: Cache<(PackId, u32), Opened>,
    nodes: Cache<ChunkHash, Decoded>,
}

impl Source {
    /// Reads from `vault`. What is kept has at most `cache_bytes` together: a quarter of that decoded nodes, the rest opened segments.
    pub(super) fn new(vault: Vault, reader: Reader, cache_bytes: usize) -> Self {
        Self {
            vault: Mutex::new(vault),
            reader: RwLock::new(Arc::new(reader)),
            segments: Cache::new(cache_bytes - cache_bytes / 4),
            nodes: Cache::new(cache_bytes / 4),
        }
    }

    /// The reader that knows most.
    pub(super) fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls `look` with the vault as its log was read last.
    pub(super) fn with_vault<T>(&self, look: impl FnOnce(&Vault) -> T) -> T {
        look(&self.vault.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what the log has come to say; returns whether there was anything.
    pub(super) fn follow(&self) -> Result<bool, Error> {
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = vault.follow()?;
        if grown {
            let renewed = self.reader().renewed(&vault)?;
            *self.reader.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
        }
        Ok(grown)
    }

    /// What the opened segments in memory have together, in bytes.
    #[cfg(test)]
    pub(super) fn opened_bytes(&self) -> usize {
        self.segments.bytes()
    }

    /// The opened segment that holds a chunk, and where the chunk is in it.
    pub(super) fn segment(&self, view: &View, h: &ChunkHash) -> Result<(Place, Arc<Opened>), Error> {
        match self.try_segment(view, h) {
            Err(Error::Missing { .. } | Error::ChunkMissing { .. }) if self.follow()? => {
                self.try_segment(view, h)
            }
            result => result,
        }
    }

    fn try_segment(&self, view: &View, h: &ChunkHash) -> Result<(Place, Arc<Opened>), Error> {
        let reader = self.reader();
        let place = reader.domain_for(view.snapshot, view.domain)?.place(h)?;
        let opened = self.segments.get((place.pack.id, place.segment.number), || {
            let raw = reader.segment(&place.pack, &place.segment, &mut Decompressor::new()?)?;
            let bytes = raw.len();
            Ok::<_, Error>((Opened { raw, verified: Mutex::default() }, bytes))
        })?;
        Ok((place, opened))
    }

    /// A tree node.
    pub(super) fn node(&self, view: &View, h: &ChunkHash) -> Result<Arc<Decoded>, Error> {
        self.nodes.get(*h, || {
            let (place, opened) = self.segment(view, h)?;
            let decoded = match Node::decode(opened.chunk(&place, h)?) {
                Ok(Node::Entries(entries)) => Decoded::Entries(entries),
                Ok(Node::Branch(parts)) => Decoded::Branch(parts),
                Ok(Node::ChunkList(chunks)) => Decoded::Chunks(Run::new(chunks)),
                Err(fault) => return Err(Error::Tree { snapshot: view.snapshot, fault: fault.into() }),
            };
            let bytes = decoded.bytes();
            Ok((decoded, bytes))
        })
    }
}

impl Decoded {
    /// About how much memory the node takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Entries(entries) => entries.iter().map(entry_bytes).sum(),
            Self::Branch(parts) => {
                parts.iter().map(|part| size_of::<BranchRef>() + part.first_name.len()).sum()
            }
            Self::Chunks(run) => run.chunks.len() * (size_of::<ChunkRef>() + size_of::<u64>()),
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    use crate::format::tree::{Contents, Hole, ListRef, Xattr};
    let of_kind = match &entry.kind {
        EntryKind::File { contents, holes, .. } => {
            let contents = match contents {
                Contents::Chunks(chunks) => size_of_val::<[ChunkRef]>(chunks),
                Contents::Lists(lists) => size_of_val::<[ListRef]>(lists),
            };
            contents + size_of_val::<[Hole]>(holes)
        }
        EntryKind::Symlink { target } => target.len(),
        _ => 0,
    };
    let metadata = &entry.metadata;
    let names = entry.name.len()
        + metadata.user.as_ref().map_or(0, Vec::len)
        + metadata.group.as_ref().map_or(0, Vec::len);
    let xattr_bytes = |xattr: &Xattr| size_of::<Xattr>() + xattr.name.len() + xattr.value.len();
    size_of::<Entry>() + of_kind + names + metadata.xattrs.iter().map(xattr_bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunk_at_an_offset_is_found_with_its_beginning() {
        let chunk = |n: u8, length| ChunkRef { h: ChunkHash::new([n; 32]), length };
        let run = Run::new(vec![chunk(1, 10), chunk(2, 1), chunk(3, 5)]);
        let at = |offset| run.at(offset).map(|(chunk, begin)| (chunk.h.as_bytes()[0], begin));

        assert_eq!(run.bytes(), 16);
        assert_eq!((at(0), at(9)), (Some((1, 0)), Some((1, 0))));
        assert_eq!((at(10), at(11)), (Some((2, 10)), Some((3, 11))));
        assert_eq!((at(15), at(16)), (Some((3, 11)), None));
        assert!(Run::new(Vec::new()).at(0).is_none());
    }
}
