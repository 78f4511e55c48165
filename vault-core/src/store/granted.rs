//! What a store shows to somebody who was given a grant: its index objects and its packs, and nothing else.
//!
//! There is no log here, nothing can be written, and a list names only what the grant does. Which bytes may be read is for whoever keeps
//! the packs to decide.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::id::IndexId;
use crate::object::{ObjectKey, ObjectKind};
use crate::time::Timestamp;

use super::{Put, Removal, Store, StoreError};

/// A store as far as a grant shows it.
pub struct GrantedStore {
    inner: Arc<dyn Store>,
    indexes: Vec<IndexId>,
}

impl GrantedStore {
    /// Shows these index objects of a store, and its packs.
    pub fn new(inner: Arc<dyn Store>, indexes: Vec<IndexId>) -> Self {
        Self { inner, indexes }
    }

    fn shown(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match key {
            ObjectKey::Pack(_) => Ok(()),
            ObjectKey::Index(id) if self.indexes.contains(id) => Ok(()),
            _ => Err(StoreError::NotFound { location: self.description(), key: *key }),
        }
    }
}

impl Store for GrantedStore {
    fn put_new(&self, key: &ObjectKey, _: &[u8]) -> Result<Put, StoreError> {
        Err(StoreError::NotFound { location: self.description(), key: *key })
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.shown(key)?;
        self.inner.get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.shown(key)?;
        self.inner.get_range(key, offset, length)
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.shown(key)?;
        self.inner.size(key)
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.shown(key)?;
        self.inner.stored_at(key)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if kind != ObjectKind::Index {
            return Ok(());
        }
        for id in &self.indexes {
            let key = ObjectKey::Index(*id);
            match self.inner.size(&key) {
                Ok(size) => {
                    if each(key, size).is_break() {
                        return Ok(());
                    }
                }
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        Err(StoreError::NotFound { location: self.description(), key: *key })
    }

    fn parallel(&self) -> usize {
        self.inner.parallel()
    }

    fn description(&self) -> String {
        self.inner.description()
    }
}
