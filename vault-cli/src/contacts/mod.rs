//! The people one shares with: who they are, as this machine has pinned it, and whether somebody compared words with them.
//!
//! One file for each contact in the state directory, readable by its owner only. What is pinned changes only by what the contact's
//! own card adds; see [`refresh()`].

mod addressee;
mod refresh;

pub(crate) use self::addressee::Addressee;
pub(crate) use self::refresh::{check_recipient, newest, refresh, refresh_with_card};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vault_core::crypto::sign::VerifyingKey;
use vault_core::id::{CardHash, UserId};
use vault_core::keys::key_file::read_private;
use vault_core::keys::recipient::{AnyRecipient, RecipientError};
use vault_core::net::ServerUrl;
use vault_core::ops::contacts::Pinned;
use vault_core::wire::UserName;
use vault_core::wire::fingerprint::{recipient_words, user_words};

use crate::error::{CliError, ContactError};
use crate::kept;
use crate::servers::KeptCard;

/// The form of the files that this version reads and writes.
const VERSION: u32 = 1;

/// Somebody one shares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    /// What they are called on this machine.
    pub(crate) name: UserName,
    pub(crate) keys: ContactKeys,
    /// When words were compared with them, in seconds since 1970.
    pub(crate) verified: Option<i64>,
    /// When they were added, in seconds since 1970.
    pub(crate) added: i64,
}

/// What is sealed to a contact, and what it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContactKeys {
    /// A user with a card.
    User {
        /// What is pinned of it.
        pinned: Pinned,
        /// Where it can be read anew.
        listed: Option<Listed>,
    },
    /// An age or ssh recipient, and nothing else.
    Recipient(String),
}

/// Where a contact is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) server: ServerUrl,
    /// What they are called there.
    pub(crate) name: UserName,
}

impl Contact {
    /// The user, if the contact is one.
    pub(crate) fn user(&self) -> Option<UserId> {
        match &self.keys {
            ContactKeys::User { pinned, .. } => Some(pinned.user),
            ContactKeys::Recipient(_) => None,
        }
    }

    /// What is sealed to them: the text of an age or ssh recipient.
    pub(crate) fn recipient(&self) -> &str {
        match &self.keys {
            ContactKeys::User { pinned, .. } => &pinned.recipient,
            ContactKeys::Recipient(text) => text,
        }
    }

    /// The same, parsed: a key that was typed here may be a plugin's, one on a card may not.
    pub(crate) fn parse_recipient(&self) -> Result<AnyRecipient, RecipientError> {
        match &self.keys {
            ContactKeys::User { pinned, .. } => AnyRecipient::parse(&pinned.recipient),
            ContactKeys::Recipient(text) => AnyRecipient::parse_own(text),
        }
    }

    /// Where the card can be read anew.
    pub(crate) fn listed(&self) -> Option<&Listed> {
        match &self.keys {
            ContactKeys::User { listed, .. } => listed.as_ref(),
            ContactKeys::Recipient(_) => None,
        }
    }

    /// The words that their keys have.
    pub(crate) fn words(&self) -> [&'static str; 6] {
        match &self.keys {
            ContactKeys::User { pinned, .. } => user_words(&pinned.user),
            ContactKeys::Recipient(text) => recipient_words(text),
        }
    }

    /// The contact by name and fingerprint, as every output has it.
    pub(crate) fn in_words(&self) -> String {
        format!("{} ({})", self.name, self.words().join(" "))
    }
}

/// The directory with a file for each contact.
#[derive(Debug, Clone)]
pub(crate) struct Contacts(PathBuf);

/// What stands in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    name: UserName,
    keys: KeptKeys,
    verified: Option<i64>,
    added: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptKeys {
    User(Box<KeptUser>),
    Recipient(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptUser {
    user: UserId,
    root_key: VerifyingKey,
    recipient: String,
    first: CardHash,
    seen: KeptCard,
    server: Option<String>,
    called: Option<UserName>,
}

impl Contacts {
    /// The contacts that are remembered in a directory, which need not exist.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Result<Vec<Contact>, CliError> {
        let mut all = Vec::new();
        for path in kept::files(&self.0)? {
            all.push(read(&path)?);
        }
        all.sort_by(|a: &Contact, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The contact of that name, if there is one.
    pub(crate) fn get(&self, name: &UserName) -> Result<Option<Contact>, CliError> {
        let path = self.path(name);
        match path.try_exists() {
            Ok(true) => read(&path).map(Some),
            Ok(false) => Ok(None),
            Err(source) => Err(CliError::ReadFile { path, source }),
        }
    }

    /// The contact of that name, as somebody wrote it.
    ///
    /// # Errors
    ///
    /// [`ContactError::Unknown`] if there is none.
    pub(crate) fn named(&self, name: &str) -> Result<Contact, CliError> {
        let found = match UserName::parse(name) {
            Ok(name) => self.get(&name)?,
            Err(_) => None,
        };
        if let Some(contact) = found {
            return Ok(contact);
        }
        let known = self.all()?.into_iter().map(|contact| contact.name.to_string()).collect();
        Err(ContactError::Unknown { name: name.to_owned(), known }.into())
    }

    /// The contact who is that user.
    pub(crate) fn of_user(&self, user: &UserId) -> Result<Option<Contact>, CliError> {
        Ok(self.all()?.into_iter().find(|contact| contact.user() == Some(*user)))
    }

    /// Remembers a contact, in place of what is remembered under that name.
    pub(crate) fn put(&self, contact: &Contact) -> Result<(), CliError> {
        let _lock = kept::lock(&self.0)?;
        self.write(contact)
    }

    /// Changes what is remembered of a contact, if it is still what it was.
    pub(crate) fn update(&self, name: &UserName, change: impl FnOnce(&mut Contact)) -> Result<(), CliError> {
        let _lock = kept::lock(&self.0)?;
        let Some(mut known) = self.get(name)? else { return Ok(()) };
        let before = known.clone();
        change(&mut known);
        if known == before { Ok(()) } else { self.write(&known) }
    }

    /// Forgets a contact.
    pub(crate) fn remove(&self, name: &UserName) -> Result<(), CliError> {
        let _lock = kept::lock(&self.0)?;
        let path = self.path(name);
        std::fs::remove_file(&path).map_err(|source| CliError::WriteFile { path, source })
    }

    fn path(&self, name: &UserName) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    fn write(&self, contact: &Contact) -> Result<(), CliError> {
        let keys = match &contact.keys {
            ContactKeys::Recipient(text) => KeptKeys::Recipient(text.clone()),
            ContactKeys::User { pinned, listed } => KeptKeys::User(Box::new(KeptUser {
                user: pinned.user,
                root_key: pinned.root_key,
                recipient: pinned.recipient.clone(),
                first: pinned.first,
                seen: pinned.seen.into(),
                server: listed.as_ref().map(|listed| listed.server.to_string()),
                called: listed.as_ref().map(|listed| listed.name.clone()),
            })),
        };
        let name = contact.name.clone();
        let kept = Kept { version: VERSION, name, keys, verified: contact.verified, added: contact.added };
        kept::replace(&self.path(&contact.name), &kept)
    }
}

fn read(path: &Path) -> Result<Contact, CliError> {
    let bytes = read_private(path)?;
    let contact = serde_json::from_slice(&bytes).ok().and_then(understand);
    let of_this_file = contact.filter(|contact| path.file_stem() == Some(contact.name.as_str().as_ref()));
    of_this_file.ok_or_else(|| ContactError::File { path: path.to_owned() }.into())
}

fn understand(kept: Kept) -> Option<Contact> {
    let keys = match kept.keys {
        KeptKeys::Recipient(text) => ContactKeys::Recipient(text),
        KeptKeys::User(user) => {
            let listed = match (user.server, user.called) {
                (Some(server), Some(name)) => Some(Listed { server: ServerUrl::parse(&server).ok()?, name }),
                (None, None) => None,
                _ => return None,
            };
            let pinned = Pinned {
                user: user.user,
                root_key: user.root_key,
                recipient: user.recipient,
                first: user.first,
                seen: user.seen.into(),
            };
            ContactKeys::User { pinned, listed }
        }
    };
    let contact = Contact { name: kept.name, keys, verified: kept.verified, added: kept.added };
    // What is sealed to somebody is never a text that only looks like a recipient.
    (kept.version == VERSION && contact.parse_recipient().is_ok()).then_some(contact)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use vault_core::ops::cards::Seen;

    use super::*;

    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn alice() -> Contact {
        let pinned = Pinned {
            user: UserId::new([1; 16]),
            root_key: VerifyingKey([2; 32]),
            recipient: RECIPIENT.to_owned(),
            first: CardHash::new([3; 32]),
            seen: Seen { seq: 4, hash: CardHash::new([5; 32]) },
        };
        let listed = Listed { server: ServerUrl::parse("https://a").unwrap(), name: name("alice") };
        let keys = ContactKeys::User { pinned, listed: Some(listed) };
        Contact { name: name("al"), keys, verified: Some(6), added: 5 }
    }

    fn bob() -> Contact {
        let keys = ContactKeys::Recipient(RECIPIENT.to_owned());
        Contact { name: name("bob"), keys, verified: None, added: 5 }
    }

    #[test]
    fn what_is_remembered_reads_back_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let contacts = Contacts::new(directory.path().join("contacts"));
        assert_eq!(contacts.all().unwrap(), []);

        contacts.put(&bob()).unwrap();
        contacts.put(&alice()).unwrap();
        contacts.update(&name("bob"), |bob| bob.verified = Some(9)).unwrap();

        assert_eq!(contacts.all().unwrap(), [alice(), Contact { verified: Some(9), ..bob() }]);
        assert_eq!(contacts.of_user(&UserId::new([1; 16])).unwrap(), Some(alice()));
        assert_eq!(contacts.named("al").unwrap(), alice());
        let mode = fs::metadata(contacts.path(&name("al"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        contacts.remove(&name("al")).unwrap();
        assert_eq!(contacts.get(&name("al")).unwrap(), None);
    }

    #[test]
    fn an_unknown_name_is_told_one_that_is_like_it() {
        let directory = tempfile::tempdir().unwrap();
        let contacts = Contacts::new(directory.path().to_owned());
        contacts.put(&bob()).unwrap();

        let error = contacts.named("bobb").unwrap_err();

        assert_eq!(error.to_string(), "there is no contact called \"bobb\"; did you mean bob?");
        assert!(contacts.named("../bob").is_err());
    }

    #[test]
    fn a_file_that_is_not_understood_is_not_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let contacts = Contacts::new(directory.path().to_owned());
        contacts.put(&alice()).unwrap();
        let path = contacts.path(&name("al"));
        let text = fs::read_to_string(&path).unwrap();

        for other in [
            text.replace("\"version\": 1", "\"version\": 2"),
            text.replace("https://a", "a"),
            text.replace("\"al\"", "\"bob\""),
            text.replace(RECIPIENT, "age1"),
            String::new(),
        ] {
            assert_ne!(other, text);
            fs::write(&path, other).unwrap();
            let Err(CliError::Contact(error)) = contacts.all() else { panic!() };
            assert!(matches!(*error, ContactError::File { .. }));
        }
    }
}
