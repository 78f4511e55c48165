//! A store in memory, for tests and benchmarks.
//!
//! It behaves as any other store does, except that nothing survives the process.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ObjectKey, ObjectKind, Put, Store, StoreError};

type Objects = BTreeMap<ObjectKey, Vec<u8>>;

/// Keeps objects in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<Objects>,
}

impl MemoryStore {
    /// Returns a store without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes an object's bytes where they lie, as a failing disk or a lying server would; `false` if it does not exist.
    #[cfg(any(test, feature = "testing"))]
    pub fn damage(&self, key: &ObjectKey, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.objects().get_mut(key).map(change).is_some()
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        // The map is whole whenever the lock is free: no method panics between two changes.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_found(&self, key: &ObjectKey) -> StoreError {
        StoreError::NotFound { location: self.description(), key: *key }
    }
}

impl Store for MemoryStore {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        let mut objects = self.objects();
        let Some(existing) = objects.get(key) else {
            objects.insert(*key, bytes.to_vec());
            return Ok(Put::Created);
        };
        if key.kind().is_content_addressed() && existing.len() != bytes.len() {
            return Err(StoreError::Damaged {
                location: self.description(),
                key: *key,
                expected: bytes.len() as u64,
                size: existing.len() as u64,
            });
        }
        Ok(Put::AlreadyThere)
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        let objects = self.objects();
        let bytes = objects.get(key).ok_or_else(|| self.not_found(key))?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(StoreError::TooLarge { location: self.description(), key: *key, size, limit });
        }
        Ok(bytes.clone())
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let objects = self.objects();
        let bytes = objects.get(key).ok_or_else(|| self.not_found(key))?;
        let wanted_end = offset.saturating_add(u64::from(length));
        let range = usize::try_from(offset).ok().zip(usize::try_from(wanted_end).ok());
        range.and_then(|(start, end)| bytes.get(start..end)).map(<[u8]>::to_vec).ok_or_else(|| {
            StoreError::Truncated {
                location: self.description(),
                key: *key,
                wanted_end,
                size: bytes.len() as u64,
            }
        })
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.objects().get(key).map(|bytes| bytes.len() as u64).ok_or_else(|| self.not_found(key))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // Copied first, so that `each` may call the store.
        let listed: Vec<_> = self
            .objects()
            .iter()
            .filter(|(key, _)| key.kind() == kind)
            .map(|(key, bytes)| (*key, bytes.len() as u64))
            .collect();
        for (key, size) in listed {
            if each(key, size).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn remove(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.objects().remove(key).map(drop).ok_or_else(|| self.not_found(key))
    }

    fn description(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Seq;
    use crate::store::conformance;

    #[test]
    fn it_is_a_store() {
        conformance::suite(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn damage_changes_the_bytes_that_are_read() {
        let store = MemoryStore::new();
        let key = ObjectKey::Statement(Seq(0));

        assert!(!store.damage(&key, Vec::clear));
        assert_eq!(store.put_new(&key, b"whole").unwrap(), Put::Created);
        assert!(store.damage(&key, |bytes| bytes.truncate(2)));

        assert_eq!(store.get(&key, 9).unwrap(), b"wh");
    }
}
