//! The objects of a grant on a server, as a store that can only be read.
//!
//! A server shows what is granted; anything else is not there.

use std::ops::ControlFlow;

use super::PARALLEL;
use crate::net::{GrantedObjects, NetError, NetErrorKind, Part};
use crate::object::{ObjectKey, ObjectKind};
use crate::store::{Put, Removal, Store, StoreError};
use crate::time::Timestamp;

impl GrantedObjects {
    fn failed(&self, key: &ObjectKey, source: NetError) -> StoreError {
        let location = self.description();
        match source {
            NetError::TooLong { length: size, limit, .. } => {
                StoreError::TooLarge { location, key: *key, size, limit }
            }
            // That everything is missing at once is no damage.
            source if source.kind() == NetErrorKind::NotFound && self.has_ended() => {
                StoreError::GrantEnded { location }
            }
            source if source.kind() == NetErrorKind::NotFound => StoreError::NotFound { location, key: *key },
            source => StoreError::Server { location, op: "read an object of", source: source.into() },
        }
    }

    fn not_there(&self, key: &ObjectKey) -> StoreError {
        StoreError::NotFound { location: self.description(), key: *key }
    }
}

impl Store for GrantedObjects {
    fn put_new(&self, key: &ObjectKey, _: &[u8]) -> Result<Put, StoreError> {
        Err(self.not_there(key))
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        let read = self.server.granted_object((&self.grant, &self.access), key, limit);
        read.map_err(|source| self.failed(key, source))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let part = self.server.granted_range((&self.grant, &self.access), key, (offset, length));
        match part.map_err(|source| self.failed(key, source))? {
            Part::Bytes(bytes) => Ok(bytes),
            Part::EndsAt(size) => {
                let wanted_end = offset.saturating_add(length.into());
                Err(StoreError::Truncated { location: self.description(), key: *key, wanted_end, size })
            }
        }
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        let size = self.server.granted_size((&self.grant, &self.access), key);
        size.map_err(|source| self.failed(key, source))
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        Err(self.not_there(key))
    }

    fn list(
        &self,
        _: ObjectKind,
        _: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        Err(self.not_there(key))
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    fn description(&self) -> String {
        format!("{}/v1/grants/{}", self.server.url(), self.grant)
    }
}
