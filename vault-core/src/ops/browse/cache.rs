//! A bounded cache of values that are costly to make, and made once however many threads want them.
//!
//! The sum of what is kept never exceeds the limit, except that the value used last is always kept: whoever comes back to a value
//! larger than the limit does not pay for it each time.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Values by key; the one that was not used for longest goes first.
pub(super) struct Cache<K, V> {
    limit_bytes: usize,
    state: Mutex<State<K, V>>,
    landed: Condvar,
}

struct State<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// The keys of all values, by when each was used last.
    order: BTreeMap<u64, K>,
    uses: u64,
    bytes: usize,
}

enum Slot<V> {
    /// A thread is making the value; the others wait.
    InWork,
    Ready {
        value: Arc<V>,
        bytes: usize,
        used: u64,
    },
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// A cache of values that have at most `limit_bytes` together.
    pub(super) fn new(limit_bytes: usize) -> Self {
        let state = State { slots: HashMap::new(), order: BTreeMap::new(), uses: 0, bytes: 0 };
        Self { limit_bytes, state: Mutex::new(state), landed: Condvar::new() }
    }

    /// The value of `key`, made by `make` with its size in bytes if it is not here.
    ///
    /// While one thread makes a value, others that want it wait; if it fails, the next of them tries.
    pub(super) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<(V, usize), E>) -> Result<Arc<V>, E> {
        let mut state = self.lock();
        loop {
            if let Some(value) = state.touch(key) {
                return Ok(value);
            }
            if !state.slots.contains_key(&key) {
                break;
            }
            state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.slots.insert(key, Slot::InWork);
        drop(state);
        let work = Work { cache: self, key };
        let (value, bytes) = make()?;
        Ok(work.finish(value, bytes))
    }

    /// Whether a value is here, or being made.
    #[cfg(test)]
    pub(super) fn has(&self, key: &K) -> bool {
        self.lock().slots.contains_key(key)
    }

    /// What the values here have together, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V> State<K, V> {
    /// A value that is ready; this counts as a use.
    fn touch(&mut self, key: K) -> Option<Arc<V>> {
        let Some(Slot::Ready { value, used, .. }) = self.slots.get_mut(&key) else { return None };
        self.uses += 1;
        self.order.remove(used);
        self.order.insert(self.uses, key);
        *used = self.uses;
        Some(Arc::clone(value))
    }

    fn shrink(&mut self, limit_bytes: usize) {
        while self.bytes > limit_bytes && self.order.len() > 1 {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            if let Some(Slot::Ready { bytes, .. }) = self.slots.remove(&oldest) {
                self.bytes -= bytes;
            }
        }
    }
}

/// A value that is being made; dropped unfinished, it lets others try.
struct Work<'c, K: Copy + Eq + Hash, V> {
    cache: &'c Cache<K, V>,
    key: K,
}

impl<K: Copy + Eq + Hash, V> Work<'_, K, V> {
    fn finish(self, value: V, bytes: usize) -> Arc<V> {
        let value = Arc::new(value);
        let mut state = self.cache.lock();
        state.uses += 1;
        let used = state.uses;
        state.slots.insert(self.key, Slot::Ready { value: Arc::clone(&value), bytes, used });
        state.order.insert(used, self.key);
        state.bytes += bytes;
        state.shrink(self.cache.limit_bytes);
        value
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Work<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        if matches!(state.slots.get(&self.key), Some(Slot::InWork)) {
            state.slots.remove(&self.key);
        }
        drop(state);
        self.cache.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    fn get(cache: &Cache<u32, u32>, key: u32, bytes: usize) -> bool {
        let mut made = false;
        let value = cache.get(key, || {
            made = true;
            Ok::<_, Infallible>((key, bytes))
        });
        assert_eq!(value.map(|value| *value), Ok(key));
        made
    }

    #[test]
    fn the_value_that_was_not_used_for_longest_goes_first() {
        let cache = Cache::new(30);
        for key in 1..=3 {
            assert!(get(&cache, key, 10));
        }

        assert!(!get(&cache, 1, 10));
        assert!(get(&cache, 4, 10));

        assert!(cache.has(&1) && !cache.has(&2) && cache.has(&3) && cache.has(&4));
        assert_eq!(cache.bytes(), 30);
    }

    #[test]
    fn a_value_above_the_limit_stays_until_the_next_one_comes() {
        let cache = Cache::new(30);
        assert!(get(&cache, 1, 100));

        assert!(!get(&cache, 1, 100));
        assert!(get(&cache, 2, 1));

        assert!(!cache.has(&1));
        assert_eq!(cache.bytes(), 1);
    }

    #[test]
    fn a_value_that_could_not_be_made_is_tried_again() {
        let cache: Cache<u32, u32> = Cache::new(30);

        assert!(cache.get(1, || Err(())).is_err());
        assert!(!cache.has(&1));
        assert!(get(&cache, 1, 10));
    }

    #[test]
    fn many_threads_make_a_value_once() {
        let cache = Cache::new(1_000);
        let made = AtomicU32::new(0);

        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for key in 0..50 {
                        let value = cache.get(key, || {
                            made.fetch_add(1, Ordering::Relaxed);
                            Ok::<_, Infallible>((key, 1))
                        });
                        assert_eq!(value.map(|value| *value), Ok(key));
                    }
                });
            }
        });

        assert_eq!(made.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn a_maker_that_panics_does_not_leave_others_waiting() {
        let cache: Cache<u32, u32> = Cache::new(30);

        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = cache.get(1, || -> Result<_, Infallible> { panic!("on purpose") });
        }));

        assert!(panicked.is_err());
        assert!(get(&cache, 1, 10));
    }
}
