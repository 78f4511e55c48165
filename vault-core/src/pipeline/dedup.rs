//! Which chunks the vault has, or will have when the running session ends.
//!
//! Each chunk is given to exactly one thread to store: the first that claims it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::error::Error;
use crate::format::index::IndexedPack;
use crate::id::{ChunkId, IndexId, PackId};
use crate::vault::chunk_index::ChunkIndex;

/// Claims fall into this many sets by their first byte, so that threads seldom wait for each other.
const SHARDS: usize = 64;

/// The chunks that need not be stored again.
pub struct Known {
    indexed: RwLock<ChunkIndex>,
    claimed: Vec<Mutex<HashSet<ChunkId>>>,
}

impl Known {
    /// Begins with what the indexes name.
    pub fn new(indexed: ChunkIndex) -> Self {
        Self { indexed: RwLock::new(indexed), claimed: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Lets the index be brought up to date.
    pub fn update<T>(&self, work: impl FnOnce(&mut ChunkIndex) -> T) -> T {
        work(&mut self.indexed.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// No longer counts on packs: those that are condemned, or that the store has lost.
    pub fn hide(&self, packs: &BTreeSet<PackId>) {
        self.update(|index| index.hide(packs));
    }

    /// Whether the caller is the one who must store this chunk. True once for each chunk the vault does not have.
    pub fn claim(&self, id: ChunkId) -> Result<bool, Error> {
        // Held to the end: `settle` forgets claims when the index has them, and must not do so between the two looks.
        let indexed = self.indexed.read().unwrap_or_else(PoisonError::into_inner);
        if indexed.contains(&id)? {
            return Ok(false);
        }
        Ok(self.shard(&id).lock().unwrap_or_else(PoisonError::into_inner).insert(id))
    }

    /// Whether the vault has this chunk, or will have it when the session ends.
    pub fn holds(&self, id: ChunkId) -> Result<bool, Error> {
        let indexed = self.indexed.read().unwrap_or_else(PoisonError::into_inner);
        Ok(indexed.contains(&id)?
            || self.shard(&id).lock().unwrap_or_else(PoisonError::into_inner).contains(&id))
    }

    /// Claims chunks that are in the store although no index names them yet.
    pub fn claim_all(&self, pack: &IndexedPack) {
        for row in pack.table.chunk_rows() {
            self.shard(&row.id).lock().unwrap_or_else(PoisonError::into_inner).insert(row.id);
        }
    }

    /// Moves the chunks of some packs from memory to the index on disk, now that an index object names them.
    ///
    /// Others go on asking meanwhile: what takes long is done before the index is touched.
    pub fn settle(&self, object: IndexId, packs: &[IndexedPack]) -> Result<(), Error> {
        let added = self.ask(|index| index.prepare(&[object], packs))?;
        self.update(|index| index.put(added))?;
        for row in packs.iter().flat_map(|pack| pack.table.chunk_rows()) {
            self.shard(&row.id).lock().unwrap_or_else(PoisonError::into_inner).remove(&row.id);
        }
        match self.ask(ChunkIndex::prepare_merge)? {
            Some(merged) => self.update(|index| index.put(merged)),
            None => Ok(()),
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&ChunkIndex) -> T) -> T {
        question(&self.indexed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The packs that indexes name.
    pub fn packs(&self) -> BTreeSet<PackId> {
        self.ask(|index| index.packs().map(|pack| pack.id).collect())
    }

    fn shard(&self, id: &ChunkId) -> &Mutex<HashSet<ChunkId>> {
        &self.claimed[usize::from(id.as_bytes()[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::format::table::{ChunkRow, SegmentKind, SegmentRow, Table};
    use crate::id::{Epoch, SessionId};

    fn id(n: u16) -> ChunkId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&n.to_le_bytes());
        ChunkId::new(bytes)
    }

    fn known() -> (tempfile::TempDir, Known) {
        let directory = tempfile::tempdir().unwrap();
        let index = ChunkIndex::open(directory.path(), &BTreeSet::new()).unwrap();
        (directory, Known::new(index))
    }

    fn pack(chunks: std::ops::Range<u16>) -> IndexedPack {
        let rows: Vec<_> = chunks.map(|n| ChunkRow { id: id(n), length: 1 }).collect();
        let (raw_bytes, chunk_count) = (rows.len() as u32, rows.len() as u32);
        let mut table = Table::new(100).unwrap();
        table
            .push(SegmentRow { stored_bytes: 100, raw_bytes, kind: SegmentKind::Data, chunk_count }, &rows)
            .unwrap();
        let (id, session) = (PackId::new([1; 32]), SessionId::new([2; 16]));
        IndexedPack { id, bytes: 500, session, pack_number: 0, epoch: Epoch(1), table }
    }

    #[test]
    fn a_chunk_is_claimed_once_before_and_after_it_is_settled() {
        let (_directory, known) = known();

        assert!(known.claim(id(1)).unwrap());
        assert!(!known.claim(id(1)).unwrap());
        known.settle(IndexId::new([3; 32]), &[pack(1..2)]).unwrap();
        assert!(!known.claim(id(1)).unwrap());
        assert_eq!(known.packs(), [PackId::new([1; 32])].into());
        assert!(known.claimed.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn chunks_of_an_adopted_pack_are_claimed_already() {
        let (_directory, known) = known();

        known.claim_all(&pack(1..3));

        assert!(!known.claim(id(1)).unwrap() && !known.claim(id(2)).unwrap());
        assert!(known.claim(id(3)).unwrap());
        assert!(known.packs().is_empty());
    }

    #[test]
    fn of_many_threads_one_gets_each_chunk_while_others_are_settled() {
        let (_directory, known) = known();
        let claim_all = || (0..2000).filter(|&n| known.claim(id(n)).unwrap()).count();

        let claimed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim_all)).collect();
            let settle = scope.spawn(|| {
                // Of a pack whose chunks all were claimed before.
                while known.claimed.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>() < 2000 {
                    thread::yield_now();
                }
                known.settle(IndexId::new([3; 32]), &[pack(0..2000)]).unwrap();
            });
            settle.join().unwrap();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });

        assert_eq!(claimed, 2000);
    }
}
