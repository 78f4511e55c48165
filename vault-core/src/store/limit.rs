//! A store that moves no more bytes in a second than it may: for lines and disks that others use too.
//!
//! An object is moved in one piece, and whatever follows waits until its time has passed: on average the limit holds, from one object
//! to the next it does not.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use crate::id::Seq;
use crate::time::{Pace, Timestamp};

/// Passes operations on to another store, and waits as long as the bytes they move take at the limit.
pub struct LimitedStore<S> {
    inner: S,
    pace: Box<dyn Pace>,
    schedule: Mutex<Schedule>,
}

impl<S> LimitedStore<S> {
    /// Limits `inner` to so many bytes in a second, in both directions together; at least one.
    pub fn new(inner: S, bytes_per_second: u64, pace: Box<dyn Pace>) -> Self {
        let schedule = Schedule { bytes_per_second: bytes_per_second.max(1), free_at: pace.elapsed() };
        Self { inner, pace, schedule: Mutex::new(schedule) }
    }

    fn wait_for(&self, bytes: u64) {
        let wait = self.reserve(bytes);
        if !wait.is_zero() {
            self.pace.wait(wait);
        }
    }

    fn reserve(&self, bytes: u64) -> Duration {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        schedule.reserve(self.pace.elapsed(), bytes)
    }
}

/// Until when the line is taken.
struct Schedule {
    bytes_per_second: u64,
    free_at: Duration,
}

impl Schedule {
    /// Takes the line for so many bytes, and returns how long to wait for it.
    fn reserve(&mut self, now: Duration, bytes: u64) -> Duration {
        let begin = self.free_at.max(now);
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.free_at = begin.saturating_add(takes);
        begin.saturating_sub(now)
    }
}

impl<S: Store> Store for LimitedStore<S> {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        self.wait_for(bytes.len() as u64);
        self.inner.put_new(key, bytes)
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.wait_for(0);
        let object = self.inner.get(key, limit)?;
        // Only now its size is known: whoever comes next waits for it.
        self.reserve(object.len() as u64);
        Ok(object)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.wait_for(length.into());
        self.inner.get_range(key, offset, length)
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.inner.size(key)
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.inner.stored_at(key)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list(kind, each)
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        self.inner.remove(key)
    }

    fn last_statement(&self) -> Result<Option<Seq>, StoreError> {
        self.inner.last_statement()
    }

    fn parallel(&self) -> usize {
        self.inner.parallel()
    }

    fn description(&self) -> String {
        self.inner.description()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{MemoryStore, conformance};
    use super::*;
    use crate::id::PackId;

    /// Time that passes only by waiting.
    #[derive(Default, Clone)]
    struct Waited(Arc<Mutex<Duration>>);

    impl Pace for Waited {
        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn wait(&self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }
    }

    #[test]
    fn each_operation_waits_for_the_bytes_before_it() {
        let seconds = Duration::from_secs;
        let mut schedule = Schedule { bytes_per_second: 100, free_at: seconds(0) };

        assert_eq!(schedule.reserve(seconds(0), 200), seconds(0));
        assert_eq!(schedule.reserve(seconds(0), 100), seconds(2));
        assert_eq!(schedule.reserve(seconds(1), 100), seconds(2));
        // What was not used is not saved up.
        assert_eq!(schedule.reserve(seconds(100), 100), seconds(0));
        assert_eq!(schedule.reserve(seconds(100), 1), seconds(1));
    }

    #[test]
    fn what_is_moved_takes_its_time() {
        let waited = Waited::default();
        let store = LimitedStore::new(MemoryStore::new(), 1_000, Box::new(waited.clone()));
        let key = ObjectKey::Pack(PackId::new([1; 32]));

        let _ = store.put_new(&key, &[0; 5_000]).unwrap();
        store.get(&key, 5_000).unwrap();
        store.size(&key).unwrap();
        store.get_range(&key, 0, 1).unwrap();

        assert_eq!(waited.elapsed(), Duration::from_secs(10));
    }

    #[test]
    fn it_is_a_store_like_any_other() {
        conformance::suite(&|| {
            Box::new(LimitedStore::new(MemoryStore::new(), u64::MAX, Box::new(Waited::default())))
        });
    }
}
