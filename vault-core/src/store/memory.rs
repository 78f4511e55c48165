//! A store in memory, for tests and benchmarks.
//!
//! It behaves as any other store does, except that nothing survives the process.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use crate::time::Timestamp;

/// Keeps objects in memory. Its clock stands still at 1970-01-01 until it is set.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    objects: BTreeMap<ObjectKey, Object>,
    now: Timestamp,
}

#[derive(Debug)]
struct Object {
    bytes: Vec<u8>,
    stored_at: Timestamp,
}

impl MemoryStore {
    /// Returns a store without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes an object's bytes where they lie, as a failing disk or a lying server would; `false` if it does not exist.
    #[cfg(any(test, feature = "testing"))]
    pub fn damage(&self, key: &ObjectKey, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.contents().objects.get_mut(key).map(|object| change(&mut object.bytes)).is_some()
    }

    /// Sets the time at which objects are stored from now on.
    pub fn set_now(&self, now: Timestamp) {
        self.contents().now = now;
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // The map is whole whenever the lock is free: no method panics between two changes.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an object.
    fn with_object<T>(
        &self,
        key: &ObjectKey,
        look: impl FnOnce(&Object) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        look(self.contents().objects.get(key).ok_or_else(|| self.not_found(key))?)
    }

    fn not_found(&self, key: &ObjectKey) -> StoreError {
        StoreError::NotFound { location: self.description(), key: *key }
    }
}

impl Store for MemoryStore {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        let mut contents = self.contents();
        let Some(existing) = contents.objects.get(key) else {
            let stored_at = contents.now;
            contents.objects.insert(*key, Object { bytes: bytes.to_vec(), stored_at });
            return Ok(Put::Created);
        };
        if key.kind().is_content_addressed() && existing.bytes.len() != bytes.len() {
            return Err(StoreError::Damaged {
                location: self.description(),
                key: *key,
                expected: bytes.len() as u64,
                size: existing.bytes.len() as u64,
            });
        }
        Ok(Put::AlreadyThere)
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.with_object(key, |Object { bytes, .. }| {
            let size = bytes.len() as u64;
            if size > limit {
                return Err(StoreError::TooLarge { location: self.description(), key: *key, size, limit });
            }
            Ok(bytes.clone())
        })
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.with_object(key, |Object { bytes, .. }| {
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
        })
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.with_object(key, |object| Ok(object.bytes.len() as u64))
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.with_object(key, |object| Ok(object.stored_at))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // Copied first, so that `each` may call the store.
        let listed: Vec<_> = self
            .contents()
            .objects
            .iter()
            .filter(|(key, _)| key.kind() == kind)
            .map(|(key, object)| (*key, object.bytes.len() as u64))
            .collect();
        for (key, size) in listed {
            if each(key, size).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        self.contents().objects.remove(key).map(|_| Removal::Done).ok_or_else(|| self.not_found(key))
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
    fn each_object_has_the_time_that_was_set_when_it_was_stored() {
        let store = MemoryStore::new();
        let (first, second) = (ObjectKey::Statement(Seq(0)), ObjectKey::Statement(Seq(1)));

        assert_eq!(store.put_new(&first, b"first").unwrap(), Put::Created);
        store.set_now(Timestamp::new(5, 6));
        assert_eq!(store.put_new(&first, b"again").unwrap(), Put::AlreadyThere);
        assert_eq!(store.put_new(&second, b"second").unwrap(), Put::Created);

        assert_eq!(store.stored_at(&first).unwrap(), Timestamp::default());
        assert_eq!(store.stored_at(&second).unwrap(), Timestamp::new(5, 6));
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
