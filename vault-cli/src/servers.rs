//! The servers that this machine has joined: how each is recognised, who one is there, and the names of the vaults on it.
//!
//! One file for each server in the state directory, readable by its owner only. It holds no secret, but whoever could change it could
//! put another server in its place. A file is replaced whole; two processes that change one wait for each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_core::crypto::sign::VerifyingKey;
use vault_core::id::{CardHash, UserId, VaultId};
use vault_core::keys::key_file::read_private;
use vault_core::net::{ServerUrl, Trust};
use vault_core::ops::cards::Seen;
use vault_core::store::location::Location;
use vault_core::wire::UserName;
use vault_core::wire::authority::Pin;

use crate::error::{CliError, ServerError};
use crate::{kept, spec};

/// The form of the files that this version reads and writes.
const VERSION: u32 = 1;

/// A server that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) url: ServerUrl,
    /// The server's key; without one, its certificate must chain to the roots of the system.
    pub(crate) pin: Option<Pin>,
    /// By what its receipts verify.
    pub(crate) receipt_key: VerifyingKey,
    /// Who one is there.
    pub(crate) user: UserId,
    /// What one is called there, as far as is known.
    pub(crate) name: Option<UserName>,
    /// When it was joined, in seconds since 1970.
    pub(crate) since: i64,
    /// How far this machine has seen the user's card.
    pub(crate) card: Option<Seen>,
    /// When this machine last looked one's own name and card up there, in seconds since 1970.
    pub(crate) audited: Option<i64>,
    /// The vaults on it by the names that they have on this machine.
    pub(crate) vaults: BTreeMap<String, VaultId>,
}

impl Joined {
    /// By what it is recognised.
    pub(crate) fn trust(&self) -> Trust {
        self.pin.map_or(Trust::System, Trust::Pin)
    }

    /// Where one of its vaults is.
    pub(crate) fn location(&self, vault: VaultId) -> Location {
        Location::Server { server: self.url.clone(), vault: Some(vault) }
    }

    /// The name of one of its vaults on this machine.
    pub(crate) fn name_of(&self, vault: &VaultId) -> Option<&str> {
        self.vaults.iter().find(|(_, known)| *known == vault).map(|(name, _)| name.as_str())
    }
}

/// Whether a text can be the name of a vault: a word that is no snapshot, and not [`spec::INBOX`].
pub(crate) fn is_name(text: &str) -> bool {
    let of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len())
        && text.bytes().all(of_word)
        && !text.starts_with('-')
        && !spec::is_snapshot(text)
        && text != spec::INBOX
}

/// The directory with a file for each server.
#[derive(Debug, Clone)]
pub(crate) struct Servers(PathBuf);

/// What stands in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    url: String,
    pin: Option<String>,
    receipt_key: VerifyingKey,
    user: UserId,
    #[serde(default)]
    name: Option<UserName>,
    joined: i64,
    card: Option<KeptCard>,
    #[serde(default)]
    audited: Option<i64>,
    #[serde(default)]
    vaults: BTreeMap<String, VaultId>,
}

/// An entry of a card, as it stands in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptCard {
    seq: u64,
    hash: CardHash,
}

impl From<Seen> for KeptCard {
    fn from(Seen { seq, hash }: Seen) -> Self {
        Self { seq, hash }
    }
}

impl From<KeptCard> for Seen {
    fn from(KeptCard { seq, hash }: KeptCard) -> Self {
        Self { seq, hash }
    }
}

impl Servers {
    /// The servers that are remembered in a directory, which need not exist.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// All of them, by URL.
    pub(crate) fn all(&self) -> Result<Vec<Joined>, CliError> {
        let mut all = Vec::new();
        for path in kept::files(&self.0)? {
            all.push(read(&path)?);
        }
        all.sort_by(|a: &Joined, b| a.url.cmp(&b.url));
        Ok(all)
    }

    /// The server of that URL, if it was joined.
    pub(crate) fn get(&self, url: &ServerUrl) -> Result<Option<Joined>, CliError> {
        let path = self.path(url);
        match path.try_exists() {
            Ok(true) => read(&path).map(Some),
            Ok(false) => Ok(None),
            Err(source) => Err(CliError::ReadFile { path, source }),
        }
    }

    /// Remembers a server. What is known about its vaults is kept.
    pub(crate) fn join(&self, new: &Joined) -> Result<(), CliError> {
        let _lock = kept::lock(&self.0)?;
        let mut new = new.clone();
        for (name, vault) in self.get(&new.url)?.map(|known| known.vaults).unwrap_or_default() {
            new.vaults.entry(name).or_insert(vault);
        }
        self.write(&new)
    }

    /// Changes what is remembered about a server.
    pub(crate) fn update(&self, url: &ServerUrl, change: impl FnOnce(&mut Joined)) -> Result<(), CliError> {
        let _lock = kept::lock(&self.0)?;
        let Some(mut known) = self.get(url)? else { return Ok(()) };
        let before = known.clone();
        change(&mut known);
        if known == before { Ok(()) } else { self.write(&known) }
    }

    /// The vault of that name, and the server it is on.
    pub(crate) fn named(&self, name: &str) -> Result<Option<(Joined, VaultId)>, CliError> {
        let found = self.all()?.into_iter().find_map(|server| {
            let vault = *server.vaults.get(name)?;
            Some((server, vault))
        });
        Ok(found)
    }

    fn path(&self, url: &ServerUrl) -> PathBuf {
        let authority = url.authority();
        // No host has an `@`, and no port is left out: two servers never share a file.
        self.0.join(format!("{}@{}.json", authority.host(), authority.port()))
    }

    fn write(&self, server: &Joined) -> Result<(), CliError> {
        let kept = Kept {
            version: VERSION,
            url: server.url.to_string(),
            pin: server.pin.map(|pin| pin.to_string()),
            receipt_key: server.receipt_key,
            user: server.user,
            name: server.name.clone(),
            joined: server.since,
            card: server.card.map(Into::into),
            audited: server.audited,
            vaults: server.vaults.clone(),
        };
        kept::replace(&self.path(&server.url), &kept)
    }
}

fn read(path: &Path) -> Result<Joined, CliError> {
    let bytes = read_private(path)?;
    let malformed = || CliError::from(ServerError::ServerFile { path: path.to_owned() });
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    if kept.version != VERSION {
        return Err(malformed());
    }
    let pin = kept.pin.map(|pin| Pin::parse(&pin).ok_or_else(malformed)).transpose()?;
    Ok(Joined {
        url: ServerUrl::parse(&kept.url).map_err(|_| malformed())?,
        pin,
        receipt_key: kept.receipt_key,
        user: kept.user,
        name: kept.name,
        since: kept.joined,
        card: kept.card.map(Into::into),
        audited: kept.audited,
        vaults: kept.vaults,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn server(url: &str) -> Joined {
        Joined {
            url: ServerUrl::parse(url).unwrap(),
            pin: Some(Pin([1; 32])),
            receipt_key: VerifyingKey([2; 32]),
            user: UserId::new([3; 16]),
            name: Some(UserName::parse("alice").unwrap()),
            since: 5,
            card: Some(Seen { seq: 4, hash: CardHash::new([6; 32]) }),
            audited: Some(7),
            vaults: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_remembered_reads_back_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let servers = Servers::new(directory.path().join("servers"));
        assert_eq!(servers.all().unwrap(), []);
        let (one, two) = (server("https://a"), server("https://[::1]:8443"));

        servers.join(&one).unwrap();
        servers.join(&two).unwrap();
        servers
            .update(&two.url, |two| {
                two.vaults.insert("photos".into(), VaultId::new([7; 32]));
            })
            .unwrap();

        let (found, vault) = servers.named("photos").unwrap().unwrap();
        assert_eq!((found.url.clone(), vault), (two.url.clone(), VaultId::new([7; 32])));
        assert_eq!(found.name_of(&vault), Some("photos"));
        assert_eq!(servers.get(&one.url).unwrap(), Some(one.clone()));
        let mode = fs::metadata(servers.path(&one.url)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn joining_again_keeps_the_names() {
        let directory = tempfile::tempdir().unwrap();
        let servers = Servers::new(directory.path().to_owned());
        let mut one = server("https://a");
        one.vaults.insert("photos".to_owned(), VaultId::new([7; 32]));
        servers.join(&one).unwrap();

        servers.join(&Joined { pin: None, ..server("https://a") }).unwrap();

        let again = servers.get(&one.url).unwrap().unwrap();
        assert_eq!((again.pin, again.vaults), (None, one.vaults));
    }

    #[test]
    fn a_file_that_is_not_understood_is_not_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let servers = Servers::new(directory.path().to_owned());
        servers.join(&server("https://a")).unwrap();
        let path = servers.path(&ServerUrl::parse("https://a").unwrap());
        let text = fs::read_to_string(&path).unwrap();

        for other in
            [text.replace("\"version\": 1", "\"version\": 2"), text.replace("https", "http"), String::new()]
        {
            fs::write(&path, other).unwrap();
            let Err(CliError::Server(error)) = servers.all() else { panic!() };
            assert!(matches!(*error, ServerError::ServerFile { .. }));
        }
    }

    #[test]
    fn a_name_is_a_word_that_is_no_snapshot() {
        assert!(is_name("photos") && is_name("my_vault-2"));
        for other in ["", "a/b", "a b", "latest", "inbox", "cafe", "2026-11-22", "-x", "é"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
