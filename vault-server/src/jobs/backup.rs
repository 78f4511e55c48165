//! A copy of all that the server keeps, made while it runs.
//!
//! ```text
//! copy every object that is stored or in the trash                                        [1]
//! copy the database                                                                       [2]
//! copy what was stored meanwhile                                                          [3]
//! copy the files of keys                                                                  [4]
//! ```
//!
//! So every object that the copied database names is in the copy: what came before [2] is copied by [1] or [3], unless it came after [1]
//! and left before [3], and no trash is so quick. Objects never change, so in the same file system a copy is a second name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Jobs;
use crate::db::{Cursor, DbError, ObjectState};
use crate::objects::{DiskObjects, Floor, ObjectsError, UploadError, blocking};

/// The database in the copy.
const DATABASE: &str = "vault.db";
/// The objects in the copy.
const OBJECTS: &str = "objects";

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Objects in the copy.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that the database has and the object store has not.
    pub missing: u64,
    /// Files of keys.
    pub keys: u64,
}

/// The copy is not whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store, or the copy's.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A file or directory of the copy.
    #[error("cannot copy to {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Copies the database, the objects, and the files in `keys`, into a directory that must not exist.
///
/// # Errors
///
/// [`DbError::Unsupported`] with PostgreSQL: its database is copied by its own tools.
pub async fn backup(jobs: &Jobs, directory: &Path, keys: &[PathBuf]) -> Result<BackupReport, BackupError> {
    DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .map_err(|source| BackupError::Io { path: directory.to_path_buf(), source })?;
    let root = directory.join(OBJECTS);
    let to = Arc::new(blocking(move || DiskObjects::open(&root, Floor::default())).await?);

    copy_objects(jobs, &to).await?; // [1]
    jobs.db.copy_to(&directory.join(DATABASE)).await?; // [2]
    let mut report = copy_objects(jobs, &to).await?; // [3]
    for key in keys {
        copy_key(key, directory)?; // [4]
        report.keys += 1;
    }
    sync(directory)?;
    Ok(report)
}

/// Copies every object that the database has, unless it is there.
async fn copy_objects(jobs: &Jobs, to: &Arc<DiskObjects>) -> Result<BackupReport, BackupError> {
    let (mut report, mut after) = (BackupReport::default(), None);
    loop {
        let rows = jobs.db.all_objects(after.as_ref(), 500).await?;
        let Some(last) = rows.last() else { return Ok(report) };
        after = Some(Cursor { vault: last.vault, key: last.key });
        for row in rows {
            if !matches!(row.state, ObjectState::Stored | ObjectState::Trash) {
                continue;
            }
            let (objects, to) = (jobs.objects.clone(), to.clone());
            match blocking(move || objects.copy(&row.vault, &row.key, &to)).await {
                Ok(()) => {
                    report.objects += 1;
                    report.bytes = report.bytes.saturating_add(row.size);
                }
                Err(UploadError::Objects(ObjectsError::NotThere)) => report.missing += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn copy_key(key: &Path, directory: &Path) -> Result<(), BackupError> {
    let to = directory.join(key.file_name().unwrap_or_default());
    let failed = |source| BackupError::Io { path: to.clone(), source };
    let bytes = fs::read(key).map_err(failed)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
    let mut file = file.map_err(failed)?;
    io::Write::write_all(&mut file, &bytes).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn sync(directory: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::Io { path: directory.to_path_buf(), source };
    File::open(directory).map_err(failed)?.sync_all().map_err(failed)
}
