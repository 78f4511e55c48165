//! The contacts of a kit: who they are stands there, and the server that they are on shows the rest.
//!
//! A user's id is the hash of their root key, so a card that a server shows is that of the kit's contact or is refused.

use vault_core::error::Error;
use vault_core::keys::kit::{Kit, KitContact};
use vault_core::net::Server;
use vault_core::ops::contacts::{self as cards, Pinned};
use vault_core::wire::UserName;

use crate::contacts::{Contact, ContactKeys, Listed, check_recipient};
use crate::context::Context;
use crate::error::{CliError, ContactError};

use super::place::Place;

/// The contacts that a kit can name: users. Bare recipients stand in no kit.
pub(super) fn of_kit(context: &Context) -> Result<Vec<KitContact>, CliError> {
    let all = context.contacts()?.all()?;
    let users = all.into_iter().filter_map(|contact| {
        let (user, verified) = (contact.user()?, contact.verified);
        Some(KitContact { name: contact.name.to_string(), user, verified })
    });
    Ok(users.collect())
}

/// Remembers the contacts that the kit names, as far as its server shows them; how many.
pub(super) fn restore(kit: &Kit, place: &Place, context: &Context) -> Result<usize, CliError> {
    let Some(server) = place.location.server().filter(|_| place.needs_identity()) else { return Ok(0) };
    let Some(joined) = context.servers()?.get(server)? else { return Ok(0) };
    let server = context.server(&joined)?;
    let mut restored = 0;
    for contact in &kit.contacts {
        match find(contact, &server, context) {
            Ok(Some(contact)) => {
                context.contacts()?.put(&contact)?;
                restored += 1;
            }
            Ok(None) => {}
            // One of them is no reason to be without all the rest.
            Err(error) => {
                let why = crate::report::in_one_line(&error);
                context.ui.warn(&format!("contact {}: {why}", contact.name));
            }
        }
    }
    Ok(restored)
}

/// The contact as the server shows them; `None` if this machine knows somebody of that name.
fn find(of_kit: &KitContact, server: &Server, context: &Context) -> Result<Option<Contact>, CliError> {
    let Ok(name) = UserName::parse(&of_kit.name) else { return Ok(None) };
    if context.contacts()?.get(&name)?.is_some() {
        return Ok(None);
    }
    let changed =
        |source| ContactError::Card { name: of_kit.name.clone(), server: server.url().clone(), source };
    let card = cards::read(server, &of_kit.user)?.map_err(changed)?;
    check_recipient(&card.card().recipient)?;
    let called = server.user_named(&name).map_err(Error::from)?;
    let listed = called.filter(|user| *user == of_kit.user);
    let listed = listed.map(|_| Listed { server: server.url().clone(), name: name.clone() });
    let keys = ContactKeys::User { pinned: Pinned::of(&card), listed };
    Ok(Some(Contact { name, keys, verified: of_kit.verified, added: context.now().seconds }))
}
