//! Storing one object, in the order that leaves nothing dangling.
//!
//! ```text
//! reserve its row, and with it the quota          [1]
//! write its bytes, and make them durable          [2]
//! commit the row                                  [3]
//! answer                                          [4]
//! ```
//!
//! An upload that ends before [3], in whatever way, gives back what it reserved: file first, row later. After a crash the sweep does
//! it.

use std::sync::Arc;

use vault_core::id::VaultId;
use vault_core::object::ObjectKey;

use super::{Incoming, Objects, ObjectsError};
use crate::db::{AuditRecord, Committed, Database, DbError, Removal, Reservation, Reserved};

/// An upload that has its place. Dropped, it is given up.
#[must_use = "an upload that is dropped is given up"]
pub struct Upload {
    db: Database,
    objects: Arc<dyn Objects>,
    /// `None` once it is committed or abandoned.
    reservation: Option<Reservation>,
    now_ms: u64,
}

/// What became of the wish to store an object.
pub enum Begun {
    /// Its bytes may come: to [`Incoming::write`], then [`Upload::finish`].
    New(Upload, Incoming),
    /// The database says otherwise; never [`Reserved::New`].
    Not(Reserved),
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The object is stored.
    Done,
    /// Someone else began to store the same object; to be tried again.
    Lost,
    /// Other bytes have the name, and no row: to be tried again, they are gone.
    InTheWay,
}

/// Either side failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The thread that was to write ended early.
    #[error("a thread of the object store ended early")]
    Thread,
}

impl Upload {
    /// Reserves place for an object of `size` bytes.
    pub async fn begin(
        db: &Database,
        objects: &Arc<dyn Objects>,
        (vault, key, size): (VaultId, ObjectKey, u64),
        now_ms: u64,
    ) -> Result<Begun, UploadError> {
        // [1]
        let reservation = match db.reserve(vault, key, size, now_ms).await? {
            Reserved::New(reservation) => reservation,
            other => return Ok(Begun::Not(other)),
        };
        let upload =
            Self { db: db.clone(), objects: objects.clone(), reservation: Some(reservation), now_ms };
        let store = objects.clone();
        match blocking(move || store.incoming(size)).await {
            Ok(incoming) => Ok(Begun::New(upload, incoming)),
            Err(error) => {
                upload.abandon().await?;
                Err(error)
            }
        }
    }

    /// Stores the bytes, whose length and hash are the caller's to check. Returns once they are there for good.
    pub async fn finish(
        mut self,
        incoming: Incoming,
        now_ms: u64,
        audit: Option<AuditRecord>,
    ) -> Result<Finished, UploadError> {
        let Some(reservation) = self.reservation else { return Ok(Finished::Lost) };
        let store = self.objects.clone();
        let put = move || store.put(&reservation.vault, &reservation.key, incoming, reservation.replaces);
        // [2]
        match blocking(put).await {
            Ok(()) => {}
            Err(UploadError::Objects(ObjectsError::Exists)) => {
                self.abandon().await?;
                return Ok(Finished::InTheWay);
            }
            Err(error) => {
                self.abandon().await?;
                return Err(error);
            }
        }
        // [3] Dropped or failed from here on, it may be committed or not: the row says which, and abandoning does nothing to a
        // committed one.
        match self.db.commit(reservation, now_ms, audit).await? {
            Committed::Done => {
                self.reservation = None;
                Ok(Finished::Done)
            }
            // The file is whose row it is now.
            Committed::Lost => {
                self.reservation = None;
                Ok(Finished::Lost)
            }
        }
    }

    /// Gives back what was reserved. To the end, even if whoever waits for it goes away.
    pub async fn abandon(mut self) -> Result<(), UploadError> {
        let Some(reservation) = self.reservation.take() else { return Ok(()) };
        let (db, objects, now_ms) = (self.db.clone(), self.objects.clone(), self.now_ms);
        let abandoned = tokio::spawn(abandon(db, objects, reservation, now_ms));
        abandoned.await.map_err(|_| UploadError::Thread)?
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(reservation) = self.reservation.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (db, objects, now_ms) = (self.db.clone(), self.objects.clone(), self.now_ms);
        runtime.spawn(async move {
            if let Err(error) = abandon(db, objects, reservation, now_ms).await {
                tracing::warn!(%error, "an upload could not be given up; the sweep will");
            }
        });
    }
}

async fn abandon(
    db: Database,
    objects: Arc<dyn Objects>,
    reservation: Reservation,
    now_ms: u64,
) -> Result<(), UploadError> {
    match db.abandon(reservation, now_ms).await? {
        Some(removal) => remove(&db, &objects, vec![removal]).await.map(drop),
        None => Ok(()),
    }
}

/// Removes the files of objects that are leaving, then their rows. How many; those whose files cannot be removed stay.
pub(crate) async fn remove(
    db: &Database,
    objects: &Arc<dyn Objects>,
    removals: Vec<Removal>,
) -> Result<u64, UploadError> {
    let store = objects.clone();
    let gone = blocking(move || {
        let is_gone = |removal: &Removal| match store.remove(&removal.vault, &removal.key) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(vault = %removal.vault, %error, "an object cannot be removed");
                false
            }
        };
        Ok(removals.into_iter().filter(is_gone).collect::<Vec<_>>())
    })
    .await?;
    let count = gone.len() as u64;
    db.removed(gone).await?;
    Ok(count)
}

/// Runs calls of the object store on a thread where they may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectsError> + Send + 'static,
) -> Result<T, UploadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(UploadError::Thread),
    }
}
