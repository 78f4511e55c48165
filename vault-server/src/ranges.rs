//! Which bytes of packs grants give, in memory: so that a download in thousands of ranges does not read their list each time.
//!
//! A list never changes, for it is named by its hash. Whether a grant still holds is asked elsewhere, at every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use vault_core::id::{GrantId, IndexId, VaultId};
use vault_core::object::ObjectKey;
use vault_core::wire::ranges::{PackRanges, RANGES_BYTES, Ranges, RangesError};

use crate::db::{Database, DbError};
use crate::objects::{Objects, ObjectsError};

/// What the lists in memory may take together, in bytes; one alone may take more.
pub const RANGES_IN_MEMORY: usize = 64 << 20;

/// Why a list cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RangesUnread {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// There is no such object.
    #[error("{key} is not there")]
    NotThere {
        /// The object.
        key: ObjectKey,
    },
    /// The object is larger than any list.
    #[error("a list of ranges has no {size} bytes")]
    TooLarge {
        /// Its length in bytes.
        size: u64,
    },
    /// The object is no list.
    #[error(transparent)]
    Invalid(#[from] RangesError),
    /// The list is another grant's.
    #[error("the list of ranges is of another vault or grant")]
    OfAnother,
    /// The object ended early, or could not be read.
    #[error("the list of ranges was not read to its end")]
    Read(#[source] std::io::Error),
    /// A thread ended early.
    #[error("the list of ranges was not read")]
    Interrupted,
}

/// Where the list of a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListOf {
    /// The vault.
    pub vault: VaultId,
    /// The grant.
    pub grant: GrantId,
    /// The object.
    pub ranges: IndexId,
}

/// The lists that were used last.
#[derive(Debug)]
pub struct GrantRanges {
    known: Mutex<Known>,
    /// One list is read at a time, so that what is being read stays small too.
    reading: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Known {
    lists: HashMap<GrantId, Entry>,
    uses: u64,
    bytes: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    ranges: Arc<Ranges>,
    bytes: usize,
    used: u64,
}

impl GrantRanges {
    /// None yet; later about `most_bytes` of them.
    pub fn new(most_bytes: usize) -> Self {
        let known = Known { most_bytes, ..Known::default() };
        Self { known: Mutex::new(known), reading: Arc::new(Semaphore::new(1)) }
    }

    /// What a grant gives, from memory or read.
    pub async fn of(
        &self,
        db: &Database,
        objects: &Arc<dyn Objects>,
        list: &ListOf,
    ) -> Result<Arc<Ranges>, RangesUnread> {
        if let Some(known) = self.with_known(|known| known.get(&list.grant)) {
            return Ok(known);
        }
        let turn = self.turn().await?;
        // Who came first may have read it.
        if let Some(known) = self.with_known(|known| known.get(&list.grant)) {
            return Ok(known);
        }
        let ranges = Arc::new(read(db, objects, list, turn).await?);
        self.with_known(|known| known.keep(list.grant, Arc::clone(&ranges)));
        Ok(ranges)
    }

    /// Reads what a grant is to give, and keeps nothing of it.
    pub async fn read(
        &self,
        db: &Database,
        objects: &Arc<dyn Objects>,
        list: &ListOf,
    ) -> Result<Ranges, RangesUnread> {
        let turn = self.turn().await?;
        read(db, objects, list, turn).await
    }

    /// Drops the list of a grant that was taken back.
    pub fn forget(&self, grant: &GrantId) {
        self.with_known(|known| known.remove(grant));
    }

    async fn turn(&self) -> Result<Turn, RangesUnread> {
        Arc::clone(&self.reading).acquire_owned().await.map_err(|_| RangesUnread::Interrupted)
    }

    fn with_known<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to read a list.
type Turn = tokio::sync::OwnedSemaphorePermit;

async fn read(
    db: &Database,
    objects: &Arc<dyn Objects>,
    list: &ListOf,
    turn: Turn,
) -> Result<Ranges, RangesUnread> {
    let (key, vault) = (ObjectKey::Index(list.ranges), list.vault);
    let object = db.object(&vault, &key).await?.ok_or(RangesUnread::NotThere { key })?;
    if object.size > RANGES_BYTES {
        return Err(RangesUnread::TooLarge { size: object.size });
    }
    let objects = Arc::clone(objects);
    let reading = tokio::task::spawn_blocking(move || -> Result<Ranges, RangesUnread> {
        // Kept to the end, even if nobody waits for it any more.
        let _turn = turn;
        let mut reader = objects.open(&vault, &key, 0..object.size)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut bytes).map_err(RangesUnread::Read)?;
        Ok(Ranges::decode(&bytes)?)
    });
    let ranges = reading.await.map_err(|_| RangesUnread::Interrupted)??;
    if ranges.vault != list.vault || ranges.grant != list.grant {
        return Err(RangesUnread::OfAnother);
    }
    Ok(ranges)
}

impl Known {
    fn get(&mut self, grant: &GrantId) -> Option<Arc<Ranges>> {
        self.uses += 1;
        let entry = self.lists.get_mut(grant)?;
        entry.used = self.uses;
        Some(Arc::clone(&entry.ranges))
    }

    /// Keeps a list, and drops those that were not used for longest until the others fit.
    fn keep(&mut self, grant: GrantId, ranges: Arc<Ranges>) {
        self.remove(&grant);
        self.uses += 1;
        let bytes = weight(&ranges);
        self.bytes += bytes;
        self.lists.insert(grant, Entry { ranges, bytes, used: self.uses });
        while self.bytes > self.most_bytes && self.lists.len() > 1 {
            let others = self.lists.iter().filter(|(other, _)| **other != grant);
            let Some(oldest) = others.min_by_key(|(_, entry)| entry.used).map(|(oldest, _)| *oldest) else {
                return;
            };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, grant: &GrantId) {
        if let Some(entry) = self.lists.remove(grant) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

/// The bytes that a list takes in memory, about.
fn weight(ranges: &Ranges) -> usize {
    /// What an allocation takes besides its contents.
    const EACH: usize = 16;
    let parts = |pack: &PackRanges| pack.parts.capacity() * size_of::<(u32, u32)>() + EACH;
    let packs = ranges.packs.capacity() * size_of::<PackRanges>();
    ranges.packs.iter().map(parts).sum::<usize>() + packs + size_of::<Entry>() + EACH
}

#[cfg(test)]
mod tests {
    use vault_core::crypto::hash::object_hash;
    use vault_core::id::PackId;

    use super::*;
    use crate::db::testing::{NOW, sqlite, with_vault};
    use crate::objects::{Begun, DiskObjects, Finished, Floor, Upload};

    const VAULT: VaultId = VaultId::new([1; 32]);

    fn ranges(grant: u8, packs: u8) -> Ranges {
        let pack = |number| PackRanges { pack: PackId::new([number; 32]), parts: vec![(0, 1), (5, 1)] };
        Ranges { vault: VAULT, grant: GrantId::new([grant; 16]), packs: (0..packs).map(pack).collect() }
    }

    #[test]
    fn the_lists_that_were_not_used_for_longest_go() {
        let each = weight(&ranges(1, 10));
        let mut known = Known { most_bytes: 3 * each, ..Known::default() };
        let grant = |number: u8| GrantId::new([number; 16]);
        for number in 1..=3 {
            known.keep(grant(number), Arc::new(ranges(number, 10)));
        }
        assert!(known.get(&grant(1)).is_some());

        known.keep(grant(4), Arc::new(ranges(4, 10)));
        assert!(known.get(&grant(2)).is_none() && known.get(&grant(1)).is_some());
        known.keep(grant(5), Arc::new(ranges(5, 200)));
        assert_eq!(known.lists.len(), 1, "one that is larger than all stands alone");
        assert!(known.get(&grant(5)).is_some());
        known.remove(&grant(5));
        assert_eq!((known.bytes, known.lists.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_list_is_read_once_and_only_if_it_is_the_grants_own() {
        let test = sqlite().await;
        with_vault(&test.db, 1, 1_000_000).await;
        let directory = test.directory.path().join("objects");
        let objects: Arc<dyn Objects> = Arc::new(DiskObjects::open(&directory, Floor::Bytes(0)).unwrap());
        let known = GrantRanges::new(1000);
        let store = async |bytes: Vec<u8>| {
            let id = IndexId::new(object_hash(&bytes));
            let place = (VAULT, ObjectKey::Index(id), bytes.len() as u64);
            let begun = Upload::begin(&test.db, &objects, place, NOW).await.unwrap();
            let Begun::New(upload, mut incoming) = begun else { panic!() };
            incoming.write(&bytes).unwrap();
            assert_eq!(upload.finish(incoming, NOW, None).await.unwrap(), Finished::Done);
            id
        };
        let stored = store(ranges(1, 3).encode()).await;
        let list = ListOf { vault: VAULT, grant: GrantId::new([1; 16]), ranges: stored };
        let other = ListOf { grant: GrantId::new([2; 16]), ..list };
        let missing = ListOf { grant: other.grant, ranges: IndexId::new([9; 32]), ..list };
        let garbage = ListOf { ranges: store(b"no list".to_vec()).await, ..other };

        let first = known.of(&test.db, &objects, &list).await.unwrap();
        assert_eq!(*first, ranges(1, 3));
        assert!(Arc::ptr_eq(&first, &known.of(&test.db, &objects, &list).await.unwrap()));
        known.forget(&list.grant);
        assert!(!Arc::ptr_eq(&first, &known.of(&test.db, &objects, &list).await.unwrap()));
        let refused = known.of(&test.db, &objects, &other).await;
        assert!(matches!(refused, Err(RangesUnread::OfAnother)), "{refused:?}");
        let refused = known.read(&test.db, &objects, &missing).await;
        assert!(matches!(refused, Err(RangesUnread::NotThere { .. })), "{refused:?}");
        let refused = known.read(&test.db, &objects, &garbage).await;
        assert!(matches!(refused, Err(RangesUnread::Invalid(_))), "{refused:?}");
    }
}
