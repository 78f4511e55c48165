//! Marks: which chunks the snapshots need, one bit for each row of the chunk index.
//!
//! Of a chunk with several places one row is marked, and always the same one. Memory is two bits for each row, whatever is in it,
//! and a tree node that was entered before is not entered again: what snapshots have in common is followed once. A mark is
//! complete or an error: nothing may be deleted by what is known of half a tree.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::crypto::hash::chunk_id;
use crate::error::{Error, Fault};
use crate::format::table::ChunkPlace;
use crate::format::tree::{ChunkRef, Contents, Entry, EntryKind, Node};
use crate::id::{ChunkHash, DomainId, PackId, SnapshotId};
use crate::keys::envelope::DomainKeys;
use crate::log::Snapshot;

use super::chunk_index::{ChunkIndex, Row, Tally};
use super::{Reader, Vault};

/// The keys of domains.
pub(crate) type Keys = HashMap<DomainId, Arc<DomainKeys>>;

/// A chunk index, and which of its rows are needed.
pub(crate) struct Marks {
    chunks: ChunkIndex,
    used: Bits,
    /// Nodes whose contents are marked too. A file may have the bytes of a node: being used says nothing about this.
    entered: Bits,
    /// Packs that will be deleted unless something turns out to need them.
    planned: BTreeSet<PackId>,
}

/// What a node must be, by the place where it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Directory,
    ChunkList,
}

impl Marks {
    /// Begins without a mark. What `chunks` hides counts as absent.
    pub(crate) fn new(chunks: ChunkIndex) -> Self {
        Self { chunks, used: Bits::default(), entered: Bits::default(), planned: BTreeSet::new() }
    }

    /// The chunk index.
    pub(crate) fn chunks(&self) -> &ChunkIndex {
        &self.chunks
    }

    /// Plans to delete packs in which nothing is marked, or whose marked chunks have been copied. If a snapshot that is marked
    /// later needs something else in one of them, it is taken out of the plan.
    pub(crate) fn plan(&mut self, packs: impl IntoIterator<Item = PackId>) {
        self.planned.extend(packs);
    }

    /// Whether a pack is to be deleted.
    pub(crate) fn is_planned(&self, pack: &PackId) -> bool {
        self.planned.contains(pack)
    }

    /// Takes packs out of the plan, whatever is in them.
    pub(crate) fn keep<'p>(&mut self, packs: impl IntoIterator<Item = &'p PackId>) {
        for pack in packs {
            self.planned.remove(pack);
        }
    }

    /// Gives up what is planned.
    pub(crate) fn clear_plan(&mut self) {
        self.planned.clear();
    }

    /// Lets packs count as absent, because they are condemned now.
    pub(crate) fn hide(&mut self, packs: &BTreeSet<PackId>) {
        self.chunks.hide(packs);
        self.planned.retain(|pack| !packs.contains(pack));
    }

    /// Adds what new index objects name.
    pub(crate) fn extend(&mut self, vault: &Vault, keys: &Keys) -> Result<(), Error> {
        let keys_of = |domain| keys.get(&domain).map(|keys: &Arc<DomainKeys>| &**keys);
        let faults = vault.extend_chunk_index(&mut self.chunks, &keys_of)?;
        faults.into_iter().next().map_or(Ok(()), Err)
    }

    /// How much of each pack is marked, in the order of the chunk index.
    pub(crate) fn tally(&self) -> Result<Vec<Tally>, Error> {
        self.chunks.tally(&|row| self.used.get(row))
    }

    /// Whether a chunk is marked at this place of a pack.
    pub(crate) fn is_marked_at(&self, pack: &PackId, chunk: &ChunkPlace) -> Result<bool, Error> {
        let rows = self.chunks.rows(&chunk.id)?;
        let Some((row, _)) = rows.iter().find(|(row, of)| of == pack && self.used.get(row.number)) else {
            return Ok(false);
        };
        let place = self.chunks.place(row)?;
        Ok(place.segment.number == chunk.segment.number && place.offset == chunk.offset_in_segment)
    }

    /// Marks everything that a snapshot needs. Memory is bounded by the nodes on the way to the one at hand.
    pub(crate) fn mark_snapshot(
        &mut self,
        reader: &Reader,
        keys: &DomainKeys,
        snapshot: &Snapshot,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let id = snapshot.id;
        let EntryKind::Directory { subtree } = reader.body(snapshot)?.root.kind else {
            return Err(damaged(id, "its root is not a directory"));
        };
        let mut open = vec![(subtree, Expected::Directory)];
        while let Some((h, expected)) = open.pop() {
            let row = self.mark(keys, &h)?;
            if !self.entered.set(row.number) {
                continue;
            }
            if stopping() {
                return Err(Error::Interrupted);
            }
            let chunk = reader.chunk_at(&self.chunks.place(&row)?, &h)?;
            let node =
                Node::decode(&chunk).map_err(|error| Error::Tree { snapshot: id, fault: error.into() })?;
            match (node, expected) {
                (Node::Entries(entries), Expected::Directory) => {
                    entries.iter().try_for_each(|entry| self.mark_entry(keys, entry, &mut open))?;
                }
                (Node::Branch(parts), Expected::Directory) => {
                    open.extend(parts.iter().map(|part| (part.h, Expected::Directory)));
                }
                (Node::ChunkList(chunks), Expected::ChunkList) => self.mark_all(keys, &chunks)?,
                _ => return Err(damaged(id, "a list of chunks and a directory stand in each other's place")),
            }
        }
        Ok(())
    }

    fn mark_entry(
        &mut self,
        keys: &DomainKeys,
        entry: &Entry,
        open: &mut Vec<(ChunkHash, Expected)>,
    ) -> Result<(), Error> {
        match &entry.kind {
            EntryKind::Directory { subtree } => open.push((*subtree, Expected::Directory)),
            EntryKind::File { contents: Contents::Chunks(chunks), .. } => self.mark_all(keys, chunks)?,
            EntryKind::File { contents: Contents::Lists(lists), .. } => {
                open.extend(lists.iter().map(|list| (list.h, Expected::ChunkList)));
            }
            _ => {}
        }
        Ok(())
    }

    fn mark_all(&mut self, keys: &DomainKeys, chunks: &[ChunkRef]) -> Result<(), Error> {
        chunks.iter().try_for_each(|chunk| self.mark(keys, &chunk.h).map(drop))
    }

    /// Marks one row of a chunk, unless one is marked: rather in a pack that stays, and else the pack stays now.
    fn mark(&mut self, keys: &DomainKeys, h: &ChunkHash) -> Result<Row, Error> {
        let rows = self.chunks.rows(&chunk_id(&keys.k_id, h))?;
        if let Some((row, _)) = rows.iter().find(|(row, _)| self.used.get(row.number)) {
            return Ok(*row);
        }
        let stays = rows.iter().find(|(_, pack)| !self.planned.contains(pack));
        let Some((row, pack)) = stays.or(rows.first()) else { return Err(Error::ChunkMissing { h: *h }) };
        self.planned.remove(pack);
        self.used.set(row.number);
        Ok(*row)
    }
}

fn damaged(snapshot: SnapshotId, what: &'static str) -> Error {
    Error::Tree { snapshot, fault: Fault::Malformed { what } }
}

/// One bit for each number, all zero at first.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    fn get(&self, number: u64) -> bool {
        self.0.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Sets a bit; false if it was set.
    pub(crate) fn set(&mut self, number: u64) -> bool {
        let at = (number / 64) as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let before = self.0[at];
        self.0[at] |= 1 << (number % 64);
        self.0[at] != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_set_once_and_leaves_its_neighbours_alone() {
        let mut bits = Bits::default();

        assert!(bits.set(64) && bits.set(1_000) && bits.set(63));
        assert!(!bits.set(64));

        let set: Vec<u64> = (0..2_000).filter(|number| bits.get(*number)).collect();
        assert_eq!(set, [63, 64, 1_000]);
    }
}
