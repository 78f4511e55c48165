//! Where a vault's objects lie: the trait every store implements, the names of objects, and what can go wrong.
//!
//! A store keeps opaque immutable objects under names. It knows nothing of cryptography: whoever reads an object checks it.
//! The rule that always holds: an object is whole or it is not there, and once there its bytes never change.

mod create;
mod directory;
mod durable;
mod error;
pub mod granted;
mod limit;
pub mod location;
mod lock;
mod memory;
mod remote;
mod vault_file;
mod walk;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(any(test, feature = "testing"))]
pub mod fault;
#[cfg(test)]
mod testing;

use std::ops::ControlFlow;

pub use self::create::UnpublishedDirectory;
pub use self::directory::DirectoryStore;
pub use self::error::{StoreError, StoreErrorKind};
pub use self::limit::LimitedStore;
pub(crate) use self::lock::Locked;
pub use self::memory::MemoryStore;
pub use self::remote::{RemoteStore, UnpublishedRemote};
pub use self::vault_file::FORMAT;
#[cfg(feature = "testing")]
pub use self::vault_file::decode_any as decode_any_vault_file;
pub use crate::object::{ObjectKey, ObjectKind};

use crate::id::Seq;
use crate::time::Timestamp;

/// What [`Store::put_new`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "for a statement, `AlreadyThere` means that another writer took the number"]
pub enum Put {
    /// The object did not exist; now it does.
    Created,
    /// An object of that name existed and was left as it was.
    AlreadyThere,
}

/// What [`Store::remove`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The object is gone.
    Done,
    /// Nothing: such a store deletes by itself what a `condemn` statement names, and in its own time.
    ByTheLog,
}

/// Keeps the objects of one vault.
///
/// *Callers may rely on this:*
///
/// - **Durable.** When `put_new` has returned `Ok`, with either value, an object of that name survives a crash of the process
///   and of the machine.
/// - **Atomic.** An object becomes visible whole. No method ever shows part of one, whatever was interrupted.
/// - **Never replaced.** Of any number of concurrent `put_new` of one name, in any number of processes, exactly one
///   returns [`Put::Created`]. This is all the coordination that a log needs.
/// - **Shared.** All methods may be called from many threads at once.
/// - **Bounded.** Nothing is allocated for an object before its size has been compared with what the caller asked for.
///
/// *Implementors may assume this:* names of packs and index objects are hashes of their bytes, so two objects under one such
/// name are the same object; objects fit in memory (a pack is below 100 MB); removals are rare; an object that is
/// being removed is not being put; and nothing is removed but what a `condemn` statement has named, and index objects that are in
/// force nowhere any more.
///
/// *Not promised:* that the bytes are the right ones (disks rot and servers lie: the reader compares hashes and opens seals),
/// that a removal survives a crash (removing again does no harm), and streaming.
pub trait Store: Send + Sync {
    /// Stores an object unless one of that name exists.
    ///
    /// For a statement [`Put::AlreadyThere`] is the lost race for a sequence number; read what is there, for after an
    /// interrupted attempt it may be one's own. For a pack or index object it is success. For an envelope or identity it
    /// says that the name is taken: the bytes there are likely to be different ones.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if a pack or index object of that name exists with another length: it cannot be the same bytes.
    /// After any other error the object may or may not exist, but it is not there in part.
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError>;

    /// Returns the whole object.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; [`StoreError::TooLarge`] if it has more than `limit` bytes, without reading it.
    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Returns exactly `length` bytes of the object, from `offset`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`]; [`StoreError::Truncated`] if the object ends before the range does.
    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError>;

    /// Returns the object's length in bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`].
    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError>;

    /// Returns when the object was stored, by the store's clock.
    ///
    /// Good for a courtesy, never for a decision on which safety rests: clocks are wrong, and copying may renew the time.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`].
    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError>;

    /// Calls `each` with the name and length in bytes of every object of one kind, in ascending order of names, until it
    /// breaks.
    ///
    /// What is put or removed meanwhile may or may not be shown. What has no name of an object is passed over.
    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Removes an object, unless the store does that by itself. After a crash it may be there again.
    ///
    /// A store either removes whatever it is told to, or answers [`Removal::ByTheLog`] to everything: it executes the log, and takes
    /// orders from nobody. To whoever calls, both are success.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`].
    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError>;

    /// Returns the highest number of a statement; `None` if there is none.
    fn last_statement(&self) -> Result<Option<Seq>, StoreError> {
        let mut last = None;
        self.list(ObjectKind::Statement, &mut |key, _| {
            if let ObjectKey::Statement(seq) = key {
                last = Some(seq);
            }
            ControlFlow::Continue(())
        })?;
        Ok(last)
    }

    /// Returns how many calls at once it takes to keep the store busy: more where each has to wait for an answer from afar.
    fn parallel(&self) -> usize {
        2
    }

    /// Returns where the store is, for messages: a path or a URL.
    fn description(&self) -> String;
}

/// Lets a pointer to a store stand for it, so that decorators can own, borrow or share what they decorate.
macro_rules! store_through_pointer {
    ($($pointer:ty),*) => {$(
        impl<S: Store + ?Sized> Store for $pointer {
            fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
                (**self).put_new(key, bytes)
            }
            fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
                (**self).get(key, limit)
            }
            fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
                (**self).get_range(key, offset, length)
            }
            fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
                (**self).size(key)
            }
            fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
                (**self).stored_at(key)
            }
            fn list(
                &self,
                kind: ObjectKind,
                each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
            ) -> Result<(), StoreError> {
                (**self).list(kind, each)
            }
            fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
                (**self).remove(key)
            }
            fn last_statement(&self) -> Result<Option<Seq>, StoreError> {
                (**self).last_statement()
            }
            fn parallel(&self) -> usize {
                (**self).parallel()
            }
            fn description(&self) -> String {
                (**self).description()
            }
        }
    )*};
}

store_through_pointer!(&S, Box<S>, std::sync::Arc<S>);
