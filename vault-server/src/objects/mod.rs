//! Where the bytes of objects lie: [`Objects`], and the directory that is one.
//!
//! What [`Objects::put`] has returned from is on the disk, whole, under its name. Which objects there are, is in the database: a
//! file that has no row is nothing. [`Upload`] keeps the order in which both are written.

mod disk;
mod error;
mod files;
mod incoming;
#[cfg(test)]
mod tests;
mod upload;

use std::io::Read;
use std::ops::Range;
use std::time::Duration;

use vault_core::id::VaultId;
use vault_core::object::ObjectKey;

pub use self::disk::{DiskObjects, Floor};
pub use self::error::ObjectsError;
pub use self::incoming::Incoming;
pub use self::upload::{Begun, Finished, Upload, UploadError};
pub(crate) use self::upload::{blocking, remove};

/// A file of the object store, for whoever looks for those without a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The vault by its directory.
    pub vault: VaultId,
    /// The object by its path.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// How long ago it was written.
    pub age: Duration,
}

/// How much place there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the file system.
    pub total: u64,
    /// Bytes that are free for us.
    pub free: u64,
    /// Bytes that stay free: uploads stop before.
    pub floor: u64,
}

/// Keeps objects. All calls block: from asynchronous code they go to a thread of their own.
pub trait Objects: Send + Sync + 'static {
    /// A file to write an object of `size` bytes to, while it arrives.
    ///
    /// # Errors
    ///
    /// [`ObjectsError::StorageFull`] below the floor, [`ObjectsError::Degraded`] after a failed flush.
    fn incoming(&self, size: u64) -> Result<Incoming, ObjectsError>;

    /// Gives a written file its name, durably. The same bytes under that name are as good. What is `damaged` there is replaced.
    ///
    /// # Errors
    ///
    /// [`ObjectsError::Exists`] if other bytes have the name.
    fn put(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
        incoming: Incoming,
        damaged: bool,
    ) -> Result<(), ObjectsError>;

    /// Opens a range of an object.
    ///
    /// # Errors
    ///
    /// [`ObjectsError::NotThere`] without such an object, [`ObjectsError::TooShort`] if it ends before the range.
    fn open(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, ObjectsError>;

    /// The length of an object; `None` if there is none.
    fn size(&self, vault: &VaultId, key: &ObjectKey) -> Result<Option<u64>, ObjectsError>;

    /// Removes an object, if it is there. After a crash it may be there again.
    fn remove(&self, vault: &VaultId, key: &ObjectKey) -> Result<(), ObjectsError>;

    /// Shows every object, in no particular order, until `visit` wants no more.
    fn visit(&self, visit: &mut dyn FnMut(Found) -> bool) -> Result<(), ObjectsError>;

    /// Removes what uploads left that began longer ago than `age`; how many files.
    fn remove_incoming(&self, age: Duration) -> Result<u64, ObjectsError>;

    /// Puts a copy of an object into a directory of the same layout, or a second name for it where that is possible.
    fn copy(&self, vault: &VaultId, key: &ObjectKey, to: &DiskObjects) -> Result<(), ObjectsError>;

    /// How much place there is.
    fn space(&self) -> Result<Space, ObjectsError>;

    /// Whether it takes writes: tries one.
    fn probe(&self) -> Result<(), ObjectsError>;
}
