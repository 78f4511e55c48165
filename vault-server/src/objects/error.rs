//! What can go wrong between the server and its object store.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// An object was not stored, read or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// There is not enough place, or would be less than the floor.
    #[error("there is not enough place for objects")]
    StorageFull,
    /// A flush to the disk failed: nothing more is written until a restart.
    #[error("the object store takes no writes since its disk failed")]
    Degraded,
    /// There is no such object.
    #[error("the object is not there")]
    NotThere,
    /// Other bytes have the name.
    #[error("another object has this name")]
    Exists,
    /// The object ends before what was asked for.
    #[error("the object has only {size} bytes")]
    TooShort {
        /// Its length in bytes.
        size: u64,
    },
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ObjectsError {
    pub(super) fn from_io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let is = |errno: Errno| source.raw_os_error() == Some(errno.raw_os_error());
        if is(Errno::NOSPC) || is(Errno::DQUOT) {
            return Self::StorageFull;
        }
        Self::Io { what, path: path.to_path_buf(), source }
    }
}
