//! Who asks and what they may do, in memory, so that a signed request need not wait for the database.
//!
//! What is kept is at most a second old, for other processes write too; and nothing is older than the last change by this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vault_core::id::{DeviceId, GrantId, TicketId, UserId, VaultId};

use super::{Access, DeviceRecord, GrantRecord};

/// How long an entry counts.
const LIVES: Duration = Duration::from_secs(1);

/// Entries at most; with more, all are forgotten.
const MAX_ENTRIES: usize = 10_000;

/// What a request is judged by.
#[derive(Default)]
pub(super) struct Rights {
    /// Devices by their ids.
    pub(super) devices: Cache<DeviceId, DeviceRecord>,
    /// What a vault's membership says of a user and a device. Nothing is kept of those it does not name.
    pub(super) access: Cache<(VaultId, UserId, DeviceId), Access>,
    /// Grants by who was given them, as long as they are not revoked. Nothing is kept of those whom they do not name.
    pub(super) given: Cache<(GrantId, UserId), GrantRecord>,
    /// Grants by the hashes of the tokens that were shown, where they are the right ones.
    pub(super) linked: Cache<(GrantId, [u8; 32]), GrantRecord>,
    /// When tickets expire, in ms.
    pub(super) tickets: Cache<(GrantId, TicketId), u64>,
}

impl Rights {
    /// Forgets everything: something was changed.
    pub(super) fn clear(&self) {
        self.devices.clear();
        self.access.clear();
        self.given.clear();
        self.linked.clear();
        self.tickets.clear();
    }
}

/// Entries that were read from the database.
pub(super) struct Cache<K, V> {
    /// Counts the changes.
    generation: AtomicU64,
    entries: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { generation: AtomicU64::new(0), entries: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// To be asked before an entry is read, and handed to [`Self::put`] with it.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// An entry, unless it is too old.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, since) = entries.get(key)?;
        (since.elapsed() < LIVES).then(|| value.clone())
    }

    /// Keeps an entry, unless something changed since it was read.
    pub(super) fn put(&self, key: K, value: V, generation: u64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if self.generation() != generation {
            return;
        }
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(key, (value, Instant::now()));
    }

    fn clear(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::SeqCst);
        entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let cache = Cache::<u8, u8>::default();
        let before = cache.generation();
        cache.put(1, 10, before);
        assert_eq!(cache.get(&1), Some(10));

        cache.clear();
        cache.put(1, 10, before);

        assert_eq!(cache.get(&1), None);
        cache.put(1, 11, cache.generation());
        assert_eq!(cache.get(&1), Some(11));
    }
}
