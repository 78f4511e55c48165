//! Devices in memory, so that a signed request need not wait for the database.
//!
//! A record is at most a second old, for other processes write too; and none is older than the last change by this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vault_core::id::DeviceId;

use super::DeviceRecord;

/// How long a record counts.
const LIVES: Duration = Duration::from_secs(1);

/// Devices at most; with more, all are forgotten.
const MAX_DEVICES: usize = 10_000;

#[derive(Default)]
pub(super) struct DeviceCache {
    /// Counts the changes.
    generation: AtomicU64,
    devices: Mutex<HashMap<DeviceId, (DeviceRecord, Instant)>>,
}

impl DeviceCache {
    /// To be asked before a record is read, and handed to [`Self::put`] with it.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// A record, unless it is too old.
    pub(super) fn get(&self, device: &DeviceId) -> Option<DeviceRecord> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let (record, since) = devices.get(device)?;
        (since.elapsed() < LIVES).then(|| record.clone())
    }

    /// Keeps a record, unless something changed since it was read.
    pub(super) fn put(&self, record: &DeviceRecord, generation: u64) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if self.generation() != generation {
            return;
        }
        if devices.len() >= MAX_DEVICES {
            devices.clear();
        }
        devices.insert(record.device, (record.clone(), Instant::now()));
    }

    /// Forgets everything: something was changed.
    pub(super) fn clear(&self) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::SeqCst);
        devices.clear();
    }
}
