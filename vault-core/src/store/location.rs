//! From the text a user gives to the store it means: the one list of stores.
//!
//! A text without a scheme is a path, whatever it contains; a text with an unknown scheme is never taken for a path.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub use super::limit::Pace;
use super::{DirectoryStore, LimitedStore, Store, StoreError, UnpublishedDirectory};
use crate::id::VaultId;

/// What [`Location::parse`] accepts, for messages.
pub const SUPPORTED: &str = "a directory path or file:///path";

/// Where a vault is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory.
    Directory(PathBuf),
}

/// Text that is not a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLocationError {
    /// There is no text.
    #[error("the location is empty: expected {SUPPORTED}")]
    Empty,
    /// The text names a kind of store that this version does not have.
    #[error("locations that start with `{scheme}://` are not supported: expected {SUPPORTED}")]
    UnsupportedScheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// A `file:` URL that names another machine, or is not well formed.
    #[error("{url} is not of the form file:///path")]
    FileUrl {
        /// The text.
        url: String,
    },
}

/// A store that was opened.
pub struct OpenStore {
    /// The store.
    pub store: Box<dyn Store>,
    /// The id of the vault, as the store has it. Proven only by the genesis statement.
    pub vault_id: VaultId,
}

/// A store that is no vault before [`Self::publish`]; dropped before, it never is.
#[derive(Debug)]
#[must_use = "the vault exists only once it is published"]
pub struct NewStore(New);

/// The kinds of store that can be made, one variant each.
#[derive(Debug)]
enum New {
    Directory(UnpublishedDirectory),
}

impl Location {
    /// Reads the location that a user wrote: a path, or a URL.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, ParseLocationError> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(ParseLocationError::Empty);
        }
        match split_scheme(text.as_encoded_bytes()) {
            None => Ok(Self::Directory(PathBuf::from(text))),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => path_of_file_url(rest)
                .map(Self::Directory)
                .ok_or_else(|| ParseLocationError::FileUrl { url: text.to_string_lossy().into_owned() }),
            Some((scheme, _)) => Err(ParseLocationError::UnsupportedScheme { scheme: scheme.to_owned() }),
        }
    }

    /// The directory, if the vault is in one: so that it is not backed up into itself.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
        }
    }

    /// Opens the vault there. Nothing is written.
    pub fn open(&self) -> Result<OpenStore, StoreError> {
        match self {
            Self::Directory(path) => DirectoryStore::open(path).map(OpenStore::from),
        }
    }

    /// Starts to make a vault there.
    pub fn create(&self, vault_id: VaultId) -> Result<NewStore, StoreError> {
        match self {
            Self::Directory(path) => {
                DirectoryStore::create(path, vault_id).map(|new| NewStore(New::Directory(new)))
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

impl NewStore {
    /// The store, for the objects that the new vault is to start with.
    pub fn store(&self) -> &dyn Store {
        match &self.0 {
            New::Directory(new) => new.store(),
        }
    }

    /// Makes it a vault, with all the objects that have been put.
    pub fn publish(self) -> Result<OpenStore, StoreError> {
        match self.0 {
            New::Directory(new) => new.publish().map(OpenStore::from),
        }
    }
}

impl OpenStore {
    /// The same store, which moves at most so many bytes in a second.
    #[must_use]
    pub fn limited(self, bytes_per_second: u64, pace: Box<dyn Pace>) -> Self {
        Self { store: Box::new(LimitedStore::new(self.store, bytes_per_second, pace)), ..self }
    }
}

impl From<DirectoryStore> for OpenStore {
    fn from(store: DirectoryStore) -> Self {
        Self { vault_id: store.vault_id(), store: Box::new(store) }
    }
}

impl fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStore")
            .field("store", &self.store.description())
            .field("vault_id", &self.vault_id)
            .finish()
    }
}

/// Splits `scheme://rest` (RFC 3986, section 3.1); `None` if the text does not start with a scheme.
fn split_scheme(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.windows(3).position(|window| window == b"://")?;
    let scheme = str::from_utf8(&text[..end]).ok()?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, &text[end + 3..]))
}

/// The path of `file:///path`, percent-decoded; `None` if it names a host or is not well formed.
fn path_of_file_url(rest: &[u8]) -> Option<PathBuf> {
    if rest.first() != Some(&b'/') {
        return None;
    }
    let mut path = Vec::with_capacity(rest.len());
    let mut rest = rest;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let mut decoded = [0];
        hex::decode_to_slice(digits, &mut decoded).ok()?;
        path.push(decoded[0]);
        rest = tail;
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Seq;
    use crate::store::{ObjectKey, Put};

    fn directory(path: &str) -> Location {
        Location::Directory(PathBuf::from(path))
    }

    #[test]
    fn paths_are_taken_as_they_are() {
        for path in
            ["/mnt/disk/vault", "vault", "..", "a b%20c", "host:path", "C:/x", "://x", "a/b://c", "é://"]
        {
            assert_eq!(Location::parse(path), Ok(directory(path)), "{path}");
        }
    }

    #[test]
    fn file_urls_are_decoded() {
        assert_eq!(Location::parse("file:///mnt/a%20b%C3%A9"), Ok(directory("/mnt/a bé")));
        assert_eq!(Location::parse("FILE:///mnt"), Ok(directory("/mnt")));
        for url in ["file://host/mnt", "file://", "file:///a%2", "file:///a%zz"] {
            assert_eq!(Location::parse(url), Err(ParseLocationError::FileUrl { url: url.to_owned() }));
        }
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for (url, scheme) in
            [("https://host/v/1", "https"), ("s3://bucket", "s3"), ("svn+ssh://x", "svn+ssh")]
        {
            let expected = ParseLocationError::UnsupportedScheme { scheme: scheme.to_owned() };
            assert_eq!(Location::parse(url), Err(expected.clone()));
            assert!(expected.to_string().contains("a directory path"), "{expected}");
        }
        assert_eq!(Location::parse(""), Err(ParseLocationError::Empty));
    }

    #[test]
    fn a_created_vault_opens_again_with_its_objects() {
        let root = tempfile::tempdir().unwrap();
        let location = Location::parse(root.path().join("vault")).unwrap();
        let id = VaultId::new([3; 32]);
        let genesis = ObjectKey::Statement(Seq::GENESIS);

        let new = location.create(id).unwrap();
        assert_eq!(new.store().put_new(&genesis, b"genesis").unwrap(), Put::Created);
        assert!(matches!(location.open(), Err(StoreError::NotAVault { .. })));
        assert_eq!(new.publish().unwrap().vault_id, id);

        let open = location.open().unwrap();
        assert_eq!(open.vault_id, id);
        assert_eq!(open.store.get(&genesis, 100).unwrap(), b"genesis");
        assert_eq!(open.store.description(), location.to_string());
    }
}
