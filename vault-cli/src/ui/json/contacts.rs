//! The documents of `contact`, and of one's own card.

use serde::Serialize;
use vault_core::card::WholeCard;
use vault_core::time::Timestamp;
use vault_core::wire::fingerprint::user_words;

use super::devices::kind;
use crate::commands::contact::{Added, Shown, Verified};
use crate::contacts::Contact;
use crate::ui::time;

/// A contact as every document has it.
#[derive(Debug, Serialize)]
struct OneContact {
    name: String,
    user: Option<String>,
    words: Vec<&'static str>,
    recipient: String,
    server: Option<String>,
    called: Option<String>,
    verified: Option<String>,
    added: String,
}

impl OneContact {
    fn new(contact: &Contact) -> Self {
        let iso = |seconds| time::iso(Timestamp::new(seconds, 0));
        Self {
            name: contact.name.to_string(),
            user: contact.user().map(|user| user.to_hex()),
            words: contact.words().to_vec(),
            recipient: contact.recipient().to_owned(),
            server: contact.listed().map(|listed| listed.server.to_string()),
            called: contact.listed().map(|listed| listed.name.to_string()),
            verified: contact.verified.map(iso),
            added: iso(contact.added),
        }
    }
}

/// A contact that was added.
#[derive(Debug, Serialize)]
pub(crate) struct ContactAdded {
    command: &'static str,
    /// Whether it was there already, with the same keys.
    known: bool,
    contact: OneContact,
}

impl ContactAdded {
    pub(crate) fn new(added: &Added) -> Self {
        Self { command: "contact add", known: added.known, contact: OneContact::new(&added.contact) }
    }
}

/// A contact that words were compared with.
#[derive(Debug, Serialize)]
pub(crate) struct ContactVerified<'a> {
    command: &'static str,
    name: String,
    words: &'a [&'static str],
}

impl<'a> ContactVerified<'a> {
    pub(crate) fn new(verified: &'a Verified) -> Self {
        Self { command: "contact verify", name: verified.name.to_string(), words: &verified.words }
    }
}

/// All contacts.
#[derive(Debug, Serialize)]
pub(crate) struct ContactList {
    command: &'static str,
    contacts: Vec<OneContact>,
}

impl ContactList {
    pub(crate) fn new(contacts: &[Contact]) -> Self {
        Self { command: "contact list", contacts: contacts.iter().map(OneContact::new).collect() }
    }
}

/// One contact, with all there is to say.
#[derive(Debug, Serialize)]
pub(crate) struct ContactShown<'a> {
    command: &'static str,
    contact: OneContact,
    /// The words that both sides see.
    compare: &'a [&'static str],
    devices: Vec<OneDevice>,
}

#[derive(Debug, Serialize)]
struct OneDevice {
    device: String,
    kind: &'static str,
}

impl<'a> ContactShown<'a> {
    pub(crate) fn new(shown: &'a Shown) -> Self {
        let devices = shown.devices.iter();
        let devices = devices.map(|(device, of)| OneDevice { device: device.to_hex(), kind: kind(*of) });
        Self {
            command: "contact show",
            contact: OneContact::new(&shown.contact),
            compare: &shown.words,
            devices: devices.collect(),
        }
    }
}

/// A contact that was forgotten.
#[derive(Debug, Serialize)]
pub(crate) struct ContactRemoved {
    command: &'static str,
    contact: OneContact,
}

impl ContactRemoved {
    pub(crate) fn new(contact: &Contact) -> Self {
        Self { command: "contact remove", contact: OneContact::new(contact) }
    }
}

/// One's own card.
#[derive(Debug, Serialize)]
pub(crate) struct OwnCard<'a> {
    command: &'static str,
    user: String,
    words: Vec<&'static str>,
    entries: usize,
    /// The text, unless it was written to a file.
    card: Option<&'a str>,
}

impl<'a> OwnCard<'a> {
    pub(crate) fn new(card: &WholeCard, text: Option<&'a str>) -> Self {
        Self {
            command: "whoami card",
            user: card.user().to_hex(),
            words: user_words(&card.user()).to_vec(),
            entries: card.entries().len(),
            card: text,
        }
    }
}
