//! From the text a user gives to the store it means: the one list of stores.
//!
//! A text without a scheme is a path, whatever it contains; a text with an unknown scheme is never taken for a path.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    DirectoryStore, LimitedStore, RemoteStore, Store, StoreError, UnpublishedDirectory, UnpublishedRemote,
};
use crate::id::VaultId;
use crate::net::{Server, ServerUrl};
pub use crate::time::Pace;

/// What [`Location::parse`] accepts, for messages.
pub const SUPPORTED: &str = "a directory path, file:///path, or https://host/v/vault";

/// Where a vault is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory.
    Directory(PathBuf),
    /// A vault on a server.
    Server {
        /// The server.
        server: ServerUrl,
        /// The vault; `None` where one is to be made.
        vault: Option<VaultId>,
    },
}

/// What it takes to open a location besides its text: nothing for a directory, and for a vault on a server that server.
#[derive(Debug, Clone, Default)]
pub struct Access {
    server: Option<Arc<Server>>,
}

impl Access {
    /// Access to directories.
    pub fn local() -> Self {
        Self::default()
    }

    /// Access also to the vaults on a server, as far as it lets whoever asks.
    pub fn to(server: Arc<Server>) -> Self {
        Self { server: Some(server) }
    }

    fn server(&self, url: &ServerUrl) -> Result<Arc<Server>, StoreError> {
        let known = self.server.as_ref().filter(|server| server.url() == url);
        known.cloned().ok_or_else(|| StoreError::NotJoined { server: url.clone() })
    }
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
    /// An `https:` URL that is not the one of a vault.
    #[error("{url} is not of the form https://host/v/vault, with the vault's id")]
    ServerUrl {
        /// The text.
        url: String,
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
    Remote(UnpublishedRemote),
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
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                let url = text.to_string_lossy();
                vault_on_server(&url).ok_or_else(|| ParseLocationError::ServerUrl { url: url.into_owned() })
            }
            Some((scheme, _)) => Err(ParseLocationError::UnsupportedScheme { scheme: scheme.to_owned() }),
        }
    }

    /// The directory, if the vault is in one: so that it is not backed up into itself.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Server { .. } => None,
        }
    }

    /// The server, if the vault is on one: so that whoever opens it can say who asks.
    pub fn server(&self) -> Option<&ServerUrl> {
        match self {
            Self::Directory(_) => None,
            Self::Server { server, .. } => Some(server),
        }
    }

    /// Where a vault with this id is once it has been made here.
    #[must_use]
    pub fn of_vault(&self, id: VaultId) -> Self {
        match self {
            Self::Directory(_) => self.clone(),
            Self::Server { server, .. } => Self::Server { server: server.clone(), vault: Some(id) },
        }
    }

    /// Opens the vault there. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotJoined`] if `access` is not to the server that it is on.
    pub fn open(&self, access: &Access) -> Result<OpenStore, StoreError> {
        match self {
            Self::Directory(path) => DirectoryStore::open(path).map(OpenStore::from),
            Self::Server { server, vault } => {
                let vault = vault.ok_or_else(|| StoreError::WrongVault { location: self.to_string() })?;
                RemoteStore::open(access.server(server)?, vault).map(OpenStore::from)
            }
        }
    }

    /// Starts to make a vault there.
    pub fn create(&self, vault_id: VaultId, access: &Access) -> Result<NewStore, StoreError> {
        let new = match self {
            Self::Directory(path) => New::Directory(DirectoryStore::create(path, vault_id)?),
            Self::Server { server, vault } if vault.is_none_or(|named| named == vault_id) => {
                New::Remote(RemoteStore::create(access.server(server)?, vault_id))
            }
            Self::Server { .. } => return Err(StoreError::Exists { path: self.to_string().into() }),
        };
        Ok(NewStore(new))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Server { server, vault: Some(vault) } => write!(f, "{server}/v/{vault}"),
            Self::Server { server, vault: None } => server.fmt(f),
        }
    }
}

impl NewStore {
    /// The store, for the objects that the new vault is to start with.
    pub fn store(&self) -> &dyn Store {
        match &self.0 {
            New::Directory(new) => new.store(),
            New::Remote(new) => new,
        }
    }

    /// Makes it a vault, with all the objects that have been put.
    pub fn publish(self) -> Result<OpenStore, StoreError> {
        match self.0 {
            New::Directory(new) => new.publish().map(OpenStore::from),
            New::Remote(new) => new.publish().map(OpenStore::from),
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

impl From<RemoteStore> for OpenStore {
    fn from(store: RemoteStore) -> Self {
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

/// Reads `https://host[:port]/v/vault`, or the server alone, where a vault is to be made.
fn vault_on_server(url: &str) -> Option<Location> {
    let (server, vault) = match url.split_once("/v/") {
        Some((server, id)) => (server, Some(VaultId::parse(id.strip_suffix('/').unwrap_or(id)).ok()?)),
        None => (url, None),
    };
    Some(Location::Server { server: ServerUrl::parse(server).ok()?, vault })
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
    fn vaults_on_servers_have_one_text() {
        let id = VaultId::new([0xab; 32]);
        let server = ServerUrl::parse("https://vault.example.org:8443").unwrap();
        let (here, somewhere) = (Some(id), None);
        for (text, vault) in [
            (format!("https://vault.example.org:8443/v/{id}"), here),
            (format!("HTTPS://Vault.example.org:8443/v/{id}/"), here),
            ("https://vault.example.org:8443/".to_owned(), somewhere),
        ] {
            let location = Location::parse(&text).unwrap();
            assert_eq!(location, Location::Server { server: server.clone(), vault });
            assert_eq!(Location::parse(location.to_string()), Ok(location.clone()));
            assert!(matches!(
                location.open(&Access::local()),
                Err(StoreError::NotJoined { .. } | StoreError::WrongVault { .. })
            ));
            assert_eq!(location.of_vault(id).to_string(), format!("{server}/v/{id}"));
        }
        for url in
            ["https://", "https://host/v/", "https://host/v/12", "https://host/x", "https://host/v/ab#x"]
        {
            assert_eq!(Location::parse(url), Err(ParseLocationError::ServerUrl { url: url.to_owned() }));
        }
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for (url, scheme) in [("http://host/v/1", "http"), ("s3://bucket", "s3"), ("svn+ssh://x", "svn+ssh")]
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

        let new = location.create(id, &Access::local()).unwrap();
        assert_eq!(new.store().put_new(&genesis, b"genesis").unwrap(), Put::Created);
        assert!(matches!(location.open(&Access::local()), Err(StoreError::NotAVault { .. })));
        assert_eq!(new.publish().unwrap().vault_id, id);

        let open = location.open(&Access::local()).unwrap();
        assert_eq!(open.vault_id, id);
        assert_eq!(open.store.get(&genesis, 100).unwrap(), b"genesis");
        assert_eq!(open.store.description(), location.to_string());
    }
}
