//! A file that an object is written to while it arrives.
//!
//! It goes when it is dropped, unless it became an object.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ObjectsError;
use super::files::Files;

/// After how many bytes the disk is given work, so that a flush at the end need not wait for all of it.
const BEGIN_EVERY: u64 = 4 << 20;

/// See [`super::Objects::incoming`]. Its calls block.
pub struct Incoming {
    file: File,
    path: PathBuf,
    files: Arc<dyn Files>,
    written: u64,
    /// Up to where the system was asked to write to the disk.
    begun: u64,
    is_kept: bool,
    _claim: Claim,
}

/// Bytes that are on their way: as long as it lives, they count as taken.
pub(super) struct Claim {
    bytes: u64,
    all: Arc<AtomicU64>,
}

impl Claim {
    /// Claims bytes, if together with all other claims they are not more than there is place for.
    pub(super) fn new(bytes: u64, place: u64, all: &Arc<AtomicU64>) -> Option<Self> {
        let fits = |claimed: u64| claimed.checked_add(bytes).filter(|sum| *sum <= place);
        all.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).ok()?;
        Some(Self { bytes, all: all.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Incoming {
    pub(super) fn create(path: PathBuf, files: Arc<dyn Files>, claim: Claim) -> Result<Self, ObjectsError> {
        let file = files.create(&path).map_err(|source| ObjectsError::from_io("create", &path, source))?;
        Ok(Self { file, path, files, written: 0, begun: 0, is_kept: false, _claim: claim })
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ObjectsError> {
        self.files
            .write(&mut self.file, bytes)
            .map_err(|source| ObjectsError::from_io("write", &self.path, source))?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written - self.begun >= BEGIN_EVERY {
            self.files.begin_sync(&self.file, self.begun..self.written);
            self.begun = self.written;
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Has the file left alone: it has another name by now.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("path", &self.path)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What cannot be removed now, the sweep removes.
        if !self.is_kept {
            let _ = self.files.remove(&self.path);
        }
    }
}
