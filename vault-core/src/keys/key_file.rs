//! Files that only their owner may read: how device keys and other secrets lie on this machine.
//!
//! A file is complete or not there, never replaces another, and is refused when others could have read or changed it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Longer than any key file.
const MAX_BYTES: u64 = 1 << 20;
/// Any access for group or others.
const LOOSE_BITS: u32 = 0o077;

/// Why a key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Others have access to the file.
    #[error("{} has mode {mode:03o}, so others have access to it; run: chmod 600 {}", path.display(), path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a file already; it is left as it is.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A directory, device or pipe, or longer than a key file can be.
    #[error("{} is not a key file", path.display())]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Writing failed; nothing is there under the name.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes a new file of mode 0600, in a directory that exists.
///
/// Order: temporary file beside it, write, fsync, rename without replacing, fsync the directory.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Where the directory is missing that is said of it, not of the temporary file.
    std::fs::metadata(directory).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.write_all(contents).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => failed(error.error),
    })?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Reads a file that nobody but its owner has access to.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    // Without NONBLOCK opening a named pipe would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(KeyFileError::NotAKeyFile { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & LOOSE_BITS != 0 {
        return Err(KeyFileError::Loose { path: path.to_owned(), mode });
    }
    let length = metadata.len();
    // One byte more than the file has, so that reading to its end does not move the buffer.
    let mut contents = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    (&file).take(length).read_to_end(&mut contents).map_err(failed)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_written_file_is_private_and_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.key");

        write_private(&path, b"secret").unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_private(&path).unwrap().as_slice(), b"secret");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_file_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.key");
        write_private(&path, b"first").unwrap();

        let refused = write_private(&path, b"second");

        assert!(matches!(refused, Err(KeyFileError::Exists { .. })));
        assert_eq!(read_private(&path).unwrap().as_slice(), b"first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_to_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.key");
        write_private(&path, b"secret").unwrap();

        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let message = read_private(&path).unwrap_err().to_string();
            assert!(message.contains(&format!("chmod 600 {}", path.display())), "{message}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();

        assert!(matches!(read_private(directory.path()), Err(KeyFileError::NotAKeyFile { .. })));
        assert!(matches!(read_private(&directory.path().join("none")), Err(KeyFileError::Read { .. })));
    }
}
