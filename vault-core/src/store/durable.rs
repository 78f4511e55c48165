//! Writing one file, or one directory entry, so that it survives a crash whole or not at all.
//!
//! No name but a temporary one ever stands for a file that is not complete and on the disk. The numbers are the steps of
//! [`super::directory`].

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::io::Errno;

use super::{Put, StoreError};

/// Starts the names of files that are not objects yet. Nothing that starts so is ever read.
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Owner only: what a vault holds is sealed, but sizes, times and the sealed identities are nobody else's business.
const DIRECTORY_MODE: u32 = 0o700;

/// Puts a whole file at `path`, unless something is there. The entry is durable only after [`sync_directory`].
pub(super) fn write_new(directory: &Path, path: &Path, bytes: &[u8]) -> Result<Put, StoreError> {
    // [3] In the same directory, so that renaming stays within one file system. `tempfile` creates with mode 0600, and its
    // destructor removes the file on every error below.
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(directory)
        .map_err(|source| StoreError::from_io("create a file in", directory, source))?;

    // [4]
    temporary.write_all(bytes).map_err(|source| StoreError::from_io("write", path, source))?;

    // [5] After a failed fsync the kernel may have dropped the bytes and call the pages clean, so that a second fsync would
    // succeed over a hole. There is no second one.
    temporary.as_file().sync_all().map_err(|source| StoreError::from_io("flush", path, source))?;

    // [6] `renameat2(RENAME_NOREPLACE)`, or `link` and `unlink` where the file system has no such thing. Both are atomic.
    match temporary.persist_noclobber(path) {
        Ok(_) => Ok(Put::Created),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::AlreadyThere),
        Err(error) => Err(StoreError::from_io("rename a file to", path, error.error)),
    }
}

/// Makes a directory for the owner only, unless it exists; returns whether it was made. Its entry is not durable yet.
pub(super) fn make_directory(path: &Path) -> Result<bool, StoreError> {
    // Looked for first, since some read-only file systems refuse `mkdir` whether or not the directory exists.
    if path.is_dir() {
        return Ok(false);
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(source) => Err(StoreError::from_io("create the directory", path, source)),
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    // [7]
    let failed = |source| StoreError::from_io("flush the directory", path, source);
    match File::open(path).map_err(failed)?.sync_all() {
        // Some network and user-space file systems know no fsync of a directory; they offer nothing better.
        Err(error) if is_errno(&error, Errno::INVAL) || is_errno(&error, Errno::NOTSUP) => Ok(()),
        result => result.map_err(failed),
    }
}

/// Makes the entry of an existing directory durable in its parent, wherever that is.
pub(super) fn sync_parent_of(path: &Path) -> Result<(), StoreError> {
    // `Path::parent` alone would be wrong for `..`, and empty for a relative name.
    let path = fs::canonicalize(path).map_err(|source| StoreError::from_io("open", path, source))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Whether the operating system said exactly this.
pub(super) fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_written_once_and_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");

        assert_eq!(write_new(directory.path(), &path, b"first").unwrap(), Put::Created);
        assert_eq!(write_new(directory.path(), &path, b"second").unwrap(), Put::AlreadyThere);

        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_directory_is_made_once_and_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inner");

        assert!(make_directory(&path).unwrap());
        assert!(!make_directory(&path).unwrap());
        sync_parent_of(&path).unwrap();

        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inner");
        fs::write(&path, "").unwrap();

        assert!(matches!(make_directory(&path), Err(StoreError::Io { .. })));
    }
}
