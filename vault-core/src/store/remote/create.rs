//! Making a vault on a server.
//!
//! A server has no vault without a genesis statement, so what is put before that is kept here until it comes. The vault is whole once its
//! first membership is there; until then nobody has its location.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::RemoteStore;
use crate::id::{Seq, VaultId};
use crate::net::Server;
use crate::store::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use crate::time::Timestamp;

/// Objects that were put and not sent.
type Objects = Vec<(ObjectKey, Vec<u8>)>;

/// A vault on a server that is whole by [`Self::publish`].
#[must_use = "the vault is whole only once it is published"]
pub struct UnpublishedRemote {
    store: RemoteStore,
    /// What waits for the genesis statement; `None` once the vault is there.
    waiting: Mutex<Option<Objects>>,
}

impl RemoteStore {
    /// Starts to make a vault on a server. Nothing is sent before the genesis statement is put.
    pub fn create(server: Arc<Server>, vault: VaultId) -> UnpublishedRemote {
        UnpublishedRemote { store: Self::new(server, vault), waiting: Mutex::new(Some(Vec::new())) }
    }
}

impl UnpublishedRemote {
    /// Makes sure that the vault is whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if its first membership is not there.
    pub fn publish(self) -> Result<RemoteStore, StoreError> {
        self.store.statement(Seq::GENESIS.next())?;
        Ok(self.store)
    }

    /// Makes the vault, then puts what waited for it.
    fn begin(&self, genesis: &[u8], waiting: Objects) -> Result<Put, StoreError> {
        let made = self.store.server.create_vault(&self.store.vault, genesis);
        let made = made.map_err(|source| self.store.failed("make", source))?;
        for (key, bytes) in waiting {
            if self.store.put_new(&key, &bytes)? == Put::AlreadyThere && made {
                return Err(StoreError::Exists { path: self.store.description().into() });
            }
        }
        Ok(if made { Put::Created } else { Put::AlreadyThere })
    }
}

impl Store for UnpublishedRemote {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *waiting, key) {
            (Some(objects), ObjectKey::Statement(Seq::GENESIS)) => {
                let objects = std::mem::take(objects);
                *waiting = None;
                self.begin(bytes, objects)
            }
            (Some(objects), _) => {
                if objects.iter().any(|(there, _)| there == key) {
                    return Ok(Put::AlreadyThere);
                }
                objects.push((*key, bytes.to_vec()));
                Ok(Put::Created)
            }
            (None, _) => {
                drop(waiting);
                self.store.put_new(key, bytes)
            }
        }
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get(key, limit)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.store.get_range(key, offset, length)
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.store.size(key)
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.store.stored_at(key)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.list(kind, each)
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        self.store.remove(key)
    }

    fn description(&self) -> String {
        self.store.description()
    }
}

impl fmt::Debug for UnpublishedRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnpublishedRemote").field(&self.store).finish()
    }
}
