//! What a server shows of a contact now, compared with what was pinned.
//!
//! ```text
//! the name leads to the same user as before             [1]
//! the card verifies from its first entry to its newest  [2]
//! it begins as before, and goes on from what was seen   [3]
//! only then is what it adds taken up                    [4]
//! ```

use vault_core::card::WholeCard;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::UserId;
use vault_core::keys::recipient::AnyRecipient;
use vault_core::net::Server;
use vault_core::ops::contacts::{self as cards, CardChange};

use super::{Contact, ContactKeys, Listed};
use crate::context::Context;
use crate::error::{CliError, ContactError};
use crate::report;

/// Reads the card of a contact anew, from the server that it came from; a contact without one stays as it is.
///
/// # Errors
///
/// [`ContactError::OtherUser`] and [`ContactError::Card`], both exit code 8, if anything is not as before; nothing is changed then.
pub(crate) fn refresh(context: &Context, name: &str) -> Result<Contact, CliError> {
    refresh_with_card(context, name).map(|(contact, _)| contact)
}

/// As [`refresh`], with the card; where the server cannot be reached, the contact as it is known, with a warning.
pub(crate) fn newest(context: &Context, name: &str) -> Result<(Contact, Option<WholeCard>), CliError> {
    match refresh_with_card(context, name) {
        Err(CliError::Core(error)) if error.kind() == ErrorKind::Network => {
            let why = report::in_one_line(&error.into());
            context.ui.warn(&format!("the card of {name} was not looked at again: {why}"));
            Ok((context.contacts()?.named(name)?, None))
        }
        result => result,
    }
}

/// As [`refresh`], with the card, if the contact has one on a server.
pub(crate) fn refresh_with_card(
    context: &Context,
    name: &str,
) -> Result<(Contact, Option<WholeCard>), CliError> {
    let contacts = context.contacts()?;
    let mut contact = contacts.named(name)?;
    let Some(listed) = contact.listed().cloned() else { return Ok((contact, None)) };
    let server = context.server(&context.joined_server(Some(&listed.server.to_string()))?)?;
    let card = follow(&server, &mut contact, &listed)?; // [1] to [4]
    let keys = contact.keys.clone();
    contacts.update(&contact.name, |known| {
        if known.user() == contact.user() {
            known.keys = keys;
        }
    })?;
    Ok((contact, card))
}

/// Compares the card that the server shows with what is pinned, and takes up what it adds; the card, if the contact has one.
fn follow(server: &Server, contact: &mut Contact, listed: &Listed) -> Result<Option<WholeCard>, CliError> {
    let name = contact.name.clone();
    let ContactKeys::User { pinned, .. } = &mut contact.keys else { return Ok(None) };
    let found = server.user_named(&listed.name).map_err(Error::from)?;
    if found != Some(pinned.user) {
        return Err(other_user(listed, pinned.user, found)); // [1]
    }
    let changed = |source| card_changed(&name.to_string(), listed, source);
    let card = cards::read(server, &pinned.user)?.map_err(changed)?; // [2]
    pinned.follow(&card).map_err(changed)?; // [3] [4]
    check_recipient(&pinned.recipient)?;
    Ok(Some(card))
}

/// Refuses a card that nothing could be sealed to.
pub(crate) fn check_recipient(text: &str) -> Result<(), CliError> {
    let parsed = AnyRecipient::parse(text).map(drop);
    parsed.map_err(|source| CliError::Recipient { text: text.to_owned(), source })
}

fn other_user(listed: &Listed, expected: UserId, found: Option<UserId>) -> CliError {
    let Listed { server, name } = listed.clone();
    ContactError::OtherUser { server, name, expected, found }.into()
}

fn card_changed(name: &str, listed: &Listed, source: CardChange) -> CliError {
    ContactError::Card { name: name.to_owned(), server: listed.server.clone(), source }.into()
}
