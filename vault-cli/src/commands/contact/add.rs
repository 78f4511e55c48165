//! `vault contact add`: pins somebody's keys, as a server, a card or a recipient shows them.
//!
//! What is pinned under a name already is compared, never replaced.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use vault_core::card::WholeCard;
use vault_core::error::Error;
use vault_core::keys::recipient::AnyRecipient;
use vault_core::ops::contacts::{self as cards, CardChange, Pinned};
use vault_core::wire::UserName;

use crate::commands::whoami::known_user;
use crate::contacts::{Contact, ContactKeys, Listed, check_recipient, refresh};
use crate::context::Context;
use crate::error::{CliError, ContactError};
use crate::exit::Exit;
use crate::ui::{json, summary};
use crate::{unlock, values};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault contact add alice\n  \
    vault contact add bob --card bob.card\n  \
    vault contact add carol --recipient age1…")]
pub(super) struct Add {
    /// What they are called: on the server, or by you
    #[arg(value_name = "NAME", value_parser = values::user_name)]
    name: UserName,

    /// Look them up on this server, where several were joined
    #[arg(long, value_name = "URL", conflicts_with_all = ["card", "recipient"])]
    server: Option<String>,

    /// Call them so on this machine
    #[arg(long = "as", value_name = "LOCAL", conflicts_with_all = ["card", "recipient"], value_parser = values::user_name)]
    local: Option<UserName>,

    /// Their card, as `vault whoami --card` wrote it; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    card: Option<PathBuf>,

    /// Their age or ssh-ed25519 key: good for sealing to, and nothing else
    #[arg(long, value_name = "KEY")]
    recipient: Option<String>,
}

/// A contact that was added.
pub(crate) struct Added {
    pub(crate) contact: Contact,
    /// Whether it was there already, with the same keys.
    pub(crate) known: bool,
    /// Devices on their card.
    pub(crate) devices: usize,
}

impl Add {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let added = match (&self.card, &self.recipient) {
            (Some(path), _) => self.take_card(context, path)?,
            (None, Some(text)) => self.take_recipient(context, text.trim())?,
            (None, None) => self.look_up(context)?,
        };
        let document = json::contacts::ContactAdded::new(&added);
        context.ui.result(&document, &summary::contacts::added(&added)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    fn look_up(&self, context: &Context) -> Result<Added, CliError> {
        let joined = context.joined_server(self.server.as_deref())?;
        let server = context.server(&joined)?;
        let local = self.local.as_ref().unwrap_or(&self.name);
        let listed = Listed { server: joined.url.clone(), name: self.name.clone() };
        let known = context.contacts()?.get(local)?;
        let is_same_place = |contact: &Contact| contact.listed() == Some(&listed);
        if known.as_ref().is_some_and(is_same_place) {
            let contact = refresh(context, local.as_str())?;
            return Ok(Added { contact, known: true, devices: 0 });
        }
        let user = server.user_named(&self.name).map_err(Error::from)?;
        let nobody = || ContactError::Nobody { server: joined.url.clone(), name: self.name.to_string() };
        let user = user.ok_or_else(nobody)?;
        let changed =
            |source| ContactError::Card { name: self.name.to_string(), server: joined.url.clone(), source };
        let card = cards::read(&server, &user)?.map_err(changed)?;
        self.pin(context, (local, known), (&card, Some(listed)))
    }

    fn take_card(&self, context: &Context, path: &Path) -> Result<Added, CliError> {
        let text = text_of(path)?;
        let card = WholeCard::parse(text.as_bytes())
            .map_err(|source| ContactError::CardText { path: path.to_owned(), source })?;
        let known = context.contacts()?.get(&self.name)?;
        self.pin(context, (&self.name, known), (&card, None))
    }

    fn take_recipient(&self, context: &Context, text: &str) -> Result<Added, CliError> {
        AnyRecipient::parse_own(text)
            .map_err(|source| CliError::Recipient { text: text.to_owned(), source })?;
        let keys = ContactKeys::Recipient(text.to_owned());
        let new = Contact { name: self.name.clone(), keys, verified: None, added: context.now().seconds };
        let contacts = context.contacts()?;
        match contacts.get(&self.name)? {
            Some(known) if known.keys == new.keys => Ok(Added { contact: known, known: true, devices: 0 }),
            Some(known) => Err(other_keys(&known, &new)),
            None => {
                contacts.put(&new)?;
                Ok(Added { contact: new, known: false, devices: 0 })
            }
        }
    }

    /// Pins a card under a name; where the name has a contact, it must be the same person.
    fn pin(
        &self,
        context: &Context,
        (name, known): (&UserName, Option<Contact>),
        (card, listed): (&WholeCard, Option<Listed>),
    ) -> Result<Added, CliError> {
        check_recipient(&card.card().recipient)?;
        if known_user(context)? == Some(card.user()) {
            return Err(ContactError::Yourself { name: self.name.to_string() }.into());
        }
        let keys = ContactKeys::User { pinned: Pinned::of(card), listed };
        let new = Contact { name: name.clone(), keys, verified: None, added: context.now().seconds };
        if let Some(known) = known {
            return keep(context, merged(known, &new, card)?, (card, true));
        }
        if let Some(other) = context.contacts()?.of_user(&card.user())? {
            return Err(ContactError::KnownAs { known: other.name }.into());
        }
        keep(context, new, (card, false))
    }
}

/// What is known of a contact, and what a card of the same person adds to it.
///
/// A person has a card on each server, and one from before they joined any: all signed by the same root key. One that begins otherwise
/// takes the place of a card that was handed over, and never of one that a server showed.
fn merged(mut known: Contact, new: &Contact, card: &WholeCard) -> Result<Contact, CliError> {
    let (ContactKeys::User { pinned, listed }, ContactKeys::User { pinned: found, listed: place }) =
        (&mut known.keys, &new.keys)
    else {
        return Err(other_keys(&known, new));
    };
    if pinned.user != card.user() || pinned.root_key != card.card().root_key {
        return Err(other_keys(&known, new));
    }
    match pinned.follow(card) {
        Ok(()) => {
            if listed.is_none() {
                listed.clone_from(place);
            }
        }
        Err(CardChange::OtherBeginning { .. }) if pinned.has_same_keys(card) => {
            if listed.is_none() && place.is_some() {
                (*pinned, *listed) = (found.clone(), place.clone());
            }
        }
        // An older copy of a file adds nothing, and takes nothing away; a server has no business showing one.
        Err(CardChange::RolledBack { .. }) if place.is_none() && pinned.has_same_keys(card) => {}
        Err(source) => return Err(ContactError::CardFileChanged { name: known.name, source }.into()),
    }
    Ok(known)
}

fn keep(context: &Context, contact: Contact, (card, known): (&WholeCard, bool)) -> Result<Added, CliError> {
    context.contacts()?.put(&contact)?;
    Ok(Added { contact, known, devices: card.card().devices.len() })
}

fn other_keys(known: &Contact, new: &Contact) -> CliError {
    let (expected, found) = (known.words().join(" "), new.words().join(" "));
    ContactError::OtherKeys { name: known.name.clone(), expected, found }.into()
}

/// The text of a card, in its one form: mail changes the ends of lines.
fn text_of(path: &Path) -> Result<String, CliError> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(LONGEST_CARD).read_to_end(&mut bytes);
        read.map_err(|source| CliError::ReadFile { path: path.to_owned(), source })?;
        bytes
    } else {
        unlock::read_file_of(path, LONGEST_CARD)?.to_vec()
    };
    let text = String::from_utf8(bytes).map_err(|_| CliError::NotText { path: path.to_owned() })?;
    Ok(format!("{}\n", text.replace("\r\n", "\n").trim()))
}

/// More than any card has.
const LONGEST_CARD: u64 = 16 << 20;
