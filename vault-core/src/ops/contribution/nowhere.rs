//! The store of a dry run: takes everything and keeps nothing.
//!
//! A backup only ever puts objects into the store it writes to; whatever else is asked finds nothing.

use std::ops::ControlFlow;

use crate::store::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use crate::time::Timestamp;

/// A store that keeps nothing.
pub(super) struct Nowhere;

impl Store for Nowhere {
    fn put_new(&self, _: &ObjectKey, _: &[u8]) -> Result<Put, StoreError> {
        Ok(Put::Created)
    }

    fn get(&self, key: &ObjectKey, _: u64) -> Result<Vec<u8>, StoreError> {
        Err(nothing(key))
    }

    fn get_range(&self, key: &ObjectKey, _: u64, _: u32) -> Result<Vec<u8>, StoreError> {
        Err(nothing(key))
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        Err(nothing(key))
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        Err(nothing(key))
    }

    fn list(
        &self,
        _: ObjectKind,
        _: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        Err(nothing(key))
    }

    fn description(&self) -> String {
        "nowhere".into()
    }
}

fn nothing(key: &ObjectKey) -> StoreError {
    StoreError::NotFound { location: "nowhere".into(), key: *key }
}
