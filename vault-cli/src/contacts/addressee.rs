//! Contacts as those to whom something is sealed: each by the newest card that their server shows.
//!
//! What is sealed to is what is pinned; that words were never compared is said, and does not hinder.

use vault_core::error::Error;
use vault_core::id::UserId;
use vault_core::keys::recipient::AnyRecipient;
use vault_core::net::{NetErrorKind, Server};

use super::{Contact, newest};
use crate::context::Context;
use crate::error::{CliError, ShareError};

/// A contact, and what is sealed to them.
#[derive(Debug, Clone)]
pub(crate) struct Addressee {
    pub(crate) contact: Contact,
    pub(crate) recipient: AnyRecipient,
}

impl Addressee {
    /// The contact of that name.
    pub(crate) fn named(context: &Context, name: &str) -> Result<Self, CliError> {
        let contact = newest(context, name)?.0;
        let recipient = contact
            .parse_recipient()
            .map_err(|source| CliError::Recipient { text: contact.recipient().to_owned(), source })?;
        Ok(Self { contact, recipient })
    }

    /// What they are called on this machine.
    pub(crate) fn name(&self) -> &str {
        self.contact.name.as_str()
    }

    /// The user, if they are one.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.contact.user()
    }

    /// Whether words were ever compared with them.
    pub(crate) fn is_verified(&self) -> bool {
        self.contact.verified.is_some()
    }

    /// Refuses somebody who has no account on a server: they could not fetch anything from it.
    pub(crate) fn check_account(&self, server: &Server) -> Result<(), CliError> {
        let no_account =
            || ShareError::NoAccount { name: self.name().to_owned(), server: server.url().clone() };
        let user = self.user().ok_or_else(no_account)?;
        if self.contact.listed().is_some_and(|listed| listed.server == *server.url()) {
            return Ok(());
        }
        match server.card(&user, 0) {
            Ok(entries) if entries.is_empty() => Err(no_account().into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == NetErrorKind::NotFound => Err(no_account().into()),
            Err(error) => Err(Error::from(error).into()),
        }
    }
}
