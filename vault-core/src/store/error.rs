//! What can go wrong in a store.
//!
//! Every error names the place it is about; none repeats its source in its message.

use std::io;
use std::path::{Path, PathBuf};

use crate::bytes::ByteSize;
use crate::net::{NetError, NetErrorKind, ServerUrl};
use crate::object::ObjectKey;

/// A store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The object does not exist.
    #[error("{location}/{key} does not exist")]
    NotFound {
        /// Where the store is.
        location: String,
        /// The object asked for.
        key: ObjectKey,
    },
    /// The object has more bytes than the caller can take.
    #[error("{location}/{key} has {}, more than the {} allowed", ByteSize(*size), ByteSize(*limit))]
    TooLarge {
        /// Where the store is.
        location: String,
        /// The object asked for.
        key: ObjectKey,
        /// Its length in bytes.
        size: u64,
        /// How many bytes the caller allowed.
        limit: u64,
    },
    /// The object ends before the range asked for does.
    #[error("{location}/{key} ends at byte {size}, before byte {wanted_end}")]
    Truncated {
        /// Where the store is.
        location: String,
        /// The object asked for.
        key: ObjectKey,
        /// The end of the range asked for.
        wanted_end: u64,
        /// The object's length in bytes.
        size: u64,
    },
    /// An object is there under the hash of other bytes: its length shows it.
    #[error("{location}/{key} is damaged: it has {size} bytes instead of {expected}")]
    Damaged {
        /// Where the store is.
        location: String,
        /// The object.
        key: ObjectKey,
        /// The length in bytes that its name stands for.
        expected: u64,
        /// The length in bytes that it has.
        size: u64,
    },
    /// Something that is not a regular file has the name of an object.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The directories of a vault that was open are no longer there.
    #[error("the vault at {} is no longer there", path.display())]
    Gone {
        /// Where the vault was.
        path: PathBuf,
    },
    /// There is no vault, or none that was made to the end.
    #[error("{} is not a vault", path.display())]
    NotAVault {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// The file `VAULT` does not say what it must.
    #[error("{} has no well-formed line `{line}`", path.display())]
    MalformedVaultFile {
        /// The file.
        path: PathBuf,
        /// How the line starts.
        line: &'static str,
    },
    /// The vault was made by a later version of the program.
    #[error("{} has format {found}, later than the latest known one, {supported}", path.display())]
    NewerFormat {
        /// Where the vault is.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that this version knows.
        supported: u32,
    },
    /// A new vault was to be made where one is.
    #[error("{} is a vault already", path.display())]
    Exists {
        /// Where the vault is.
        path: PathBuf,
    },
    /// A new vault was to be made in a directory that holds something else.
    #[error("{} is not empty: it holds {}", path.display(), entry.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        entry: PathBuf,
    },
    /// Another process is making a vault in the same place.
    #[error("another process is making a vault in {}", path.display())]
    Busy {
        /// The place.
        path: PathBuf,
    },
    /// The disk or the quota is full.
    #[error("no space left to {op} {}", path.display())]
    Full {
        /// What was being done, as a verb.
        op: &'static str,
        /// To what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file system can only be read.
    #[error("cannot {op} {}: the file system is read-only", path.display())]
    ReadOnly {
        /// What was being done, as a verb.
        op: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// The operating system does not permit it.
    #[error("not permitted to {op} {}", path.display())]
    Permission {
        /// What was being done, as a verb.
        op: &'static str,
        /// To what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A server has no such vault, or none for this user.
    #[error("there is no vault at {location}, or not for this user")]
    NoSuchVault {
        /// Where it was looked for.
        location: String,
    },
    /// What was given at a server ended while it was read, or was taken back.
    #[error("what was given at {location} has ended, or was taken back")]
    GrantEnded {
        /// Where it was.
        location: String,
    },
    /// The location is a vault on a server, and nothing is known of that server.
    #[error("this machine has not joined {server}")]
    NotJoined {
        /// The server.
        server: ServerUrl,
    },
    /// The location names a server, and no vault on it; or a new vault was to be made where another one is named.
    #[error("{location} does not name the vault")]
    WrongVault {
        /// The location.
        location: String,
    },
    /// A server could not be asked, or did not do what it was asked.
    #[error("cannot {op} {location}")]
    Server {
        /// Where the store is.
        location: String,
        /// What was being done, as a verb.
        op: &'static str,
        /// What went wrong.
        #[source]
        source: Box<NetError>,
    },
    /// The operating system reports another error.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        op: &'static str,
        /// To what.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// What a [`StoreError`] means to the person who ran the command; exit codes go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// An object is not there. What that means depends on who asked for it.
    Missing,
    /// There is no vault.
    NoVault,
    /// A vault or something else is in the way.
    Conflict,
    /// An object is not what its name says.
    Integrity,
    /// There is no more space.
    Full,
    /// It is not allowed.
    Permission,
    /// This version of the program is too old.
    Unsupported,
    /// A server cannot be reached, or is not able to answer.
    Network,
    /// The program was asked to stop while it waited.
    Interrupted,
    /// The operating system failed.
    Io,
}

impl StoreError {
    /// What the error means to the person who ran the command.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotFound { .. } => StoreErrorKind::Missing,
            Self::NotAVault { .. }
            | Self::Gone { .. }
            | Self::NoSuchVault { .. }
            | Self::GrantEnded { .. }
            | Self::WrongVault { .. } => StoreErrorKind::NoVault,
            Self::Exists { .. } | Self::NotEmpty { .. } | Self::Busy { .. } => StoreErrorKind::Conflict,
            Self::TooLarge { .. }
            | Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::NotAFile { .. }
            | Self::MalformedVaultFile { .. } => StoreErrorKind::Integrity,
            Self::Full { .. } => StoreErrorKind::Full,
            Self::ReadOnly { .. } | Self::Permission { .. } | Self::NotJoined { .. } => {
                StoreErrorKind::Permission
            }
            Self::Server { source, .. } => kind_of_server(source.kind()),
            Self::NewerFormat { .. } => StoreErrorKind::Unsupported,
            Self::Io { .. } => StoreErrorKind::Io,
        }
    }

    /// Classifies what the operating system said when told to `op` (a verb) `path`.
    pub(super) fn from_io(op: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { op, path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { op, path },
            io::ErrorKind::PermissionDenied => Self::Permission { op, path, source },
            _ => Self::Io { op, path, source },
        }
    }
}

fn kind_of_server(kind: NetErrorKind) -> StoreErrorKind {
    match kind {
        // What is asked of a vault that is not there (any more): that an object is not has an error of its own.
        NetErrorKind::NotFound => StoreErrorKind::NoVault,
        NetErrorKind::Unauthorized | NetErrorKind::ClockSkew | NetErrorKind::Forbidden => {
            StoreErrorKind::Permission
        }
        NetErrorKind::Taken | NetErrorKind::NameTaken => StoreErrorKind::Conflict,
        NetErrorKind::Quota | NetErrorKind::Full => StoreErrorKind::Full,
        NetErrorKind::Integrity => StoreErrorKind::Integrity,
        NetErrorKind::Protocol => StoreErrorKind::Unsupported,
        NetErrorKind::Interrupted => StoreErrorKind::Interrupted,
        NetErrorKind::Network | NetErrorKind::TooSlow | NetErrorKind::Server => StoreErrorKind::Network,
        NetErrorKind::Expired | NetErrorKind::Invalid => StoreErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn errors_of_the_system_are_told_apart() {
        let kinds = [
            (Errno::NOSPC, StoreErrorKind::Full),
            (Errno::DQUOT, StoreErrorKind::Full),
            (Errno::ROFS, StoreErrorKind::Permission),
            (Errno::ACCESS, StoreErrorKind::Permission),
            (Errno::PERM, StoreErrorKind::Permission),
            (Errno::IO, StoreErrorKind::Io),
        ];

        for (errno, kind) in kinds {
            let error = StoreError::from_io("write", Path::new("/somewhere"), errno.into());
            assert_eq!(error.kind(), kind, "{errno}");
            assert!(error.to_string().contains("/somewhere"), "{error}");
        }
    }

    #[test]
    fn a_message_does_not_repeat_its_source() {
        let error = StoreError::from_io("write", Path::new("/somewhere"), io::Error::other("broken"));

        assert_eq!(error.to_string(), "cannot write /somewhere");
    }
}
