//! Who has given something: the device that signed it must be theirs, and this machine says whether it knows them.
//!
//! A server only says who somebody is. What counts is the card that their root key has signed, for a contact the one that goes on from
//! what was pinned.

use std::cell::RefCell;

use vault_core::card::WholeCard;
use vault_core::crypto::sign::VerifyingKey;
use vault_core::error::Error;
use vault_core::id::UserId;
use vault_core::net::{Server, ServerUrl};
use vault_core::ops::contacts::{self as cards, CardChange};
use vault_core::ops::grants::{Offer, Sender};
use vault_core::vault::Vault;

use super::{Offered, Place};
use crate::contacts::{self, Contact};
use crate::context::{self, Context};
use crate::error::{CliError, ShareError};
use crate::servers::Joined;

/// How this machine knows somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// The user.
    Me,
    /// A contact.
    Contact {
        name: String,
        /// Whether words were ever compared with them.
        verified: bool,
    },
    /// Nobody it knows.
    Stranger,
}

/// Who has given something, which they have signed.
#[derive(Debug, Clone)]
pub(crate) struct Giver {
    pub(crate) user: UserId,
    pub(crate) who: Who,
    key: VerifyingKey,
}

impl Giver {
    /// As what was given is opened.
    pub(super) fn sender(&self) -> Sender {
        Sender { user: self.user, device_key: self.key }
    }
}

impl Who {
    fn of(contact: &Contact) -> Self {
        Self::Contact { name: contact.name.to_string(), verified: contact.verified.is_some() }
    }

    /// What this machine calls them.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Contact { name, .. } => Some(name),
            Self::Me | Self::Stranger => None,
        }
    }
}

/// A card that was read from a server, and whose it is.
struct Read {
    server: ServerUrl,
    user: UserId,
    who: Who,
    card: WholeCard,
}

/// Finds out who has given things; reads each card once.
pub(crate) struct Givers<'c> {
    context: &'c Context,
    read: RefCell<Vec<Read>>,
}

impl<'c> Givers<'c> {
    pub(crate) fn new(context: &'c Context) -> Self {
        Self { context, read: RefCell::default() }
    }

    /// Who has given this.
    ///
    /// # Errors
    ///
    /// [`ShareError::NotTheirDevice`] and [`Error::GrantForged`], exit code 8, if it is not by whom it is said to be.
    pub(crate) fn of(&self, offered: &Offered, offer: &Offer) -> Result<Giver, CliError> {
        let (user, device) = (offered.from, offer.device());
        let (who, key) = match &*offered.place {
            Place::Server { joined, server } => self.on_server((joined, server), user, |card| {
                card.card().device(&device).map(|listed| listed.signing_key)
            })?,
            // The log has verified whose device it was when it gave this, whoever is a member now.
            Place::Vault(vault) => {
                let granted = vault.state().grant(&offered.grant);
                let granted = granted.filter(|granted| granted.device == device && granted.user == user);
                (self.in_vault(vault, &user)?, granted.map(|granted| granted.key))
            }
        };
        let key = key.ok_or_else(|| ShareError::not_theirs(who.name(), user, &device))?;
        if !offer.is_signed_by(&key) {
            return Err(Error::GrantForged { what: "it is not signed by the device of its sender" }.into());
        }
        Ok(Giver { user, who, key })
    }

    /// Who a user of a server is, and what `look` finds on their card.
    fn on_server<T>(
        &self,
        (joined, server): (&Joined, &Server),
        user: UserId,
        look: impl Fn(&WholeCard) -> Option<T>,
    ) -> Result<(Who, Option<T>), CliError> {
        let is_it = |read: &&Read| read.user == user && read.server == joined.url;
        if let Some(read) = self.read.borrow().iter().find(is_it) {
            return Ok((read.who.clone(), look(&read.card)));
        }
        let (who, card) = self.card((joined, server), user)?;
        let found = look(&card);
        let read = Read { server: joined.url.clone(), user, who: who.clone(), card };
        self.read.borrow_mut().push(read);
        Ok((who, found))
    }

    fn card(&self, (joined, server): (&Joined, &Server), user: UserId) -> Result<(Who, WholeCard), CliError> {
        if user == joined.user {
            return Ok((Who::Me, context::own_card(server, joined)?));
        }
        let contact = self.context.contacts()?.of_user(&user)?;
        let untrusted = |source: CardChange| ShareError::Card {
            name: contact.as_ref().map(|contact| contact.name.to_string()),
            user,
            server: joined.url.clone(),
            source: Box::new(source),
        };
        if let Some(contact) = &contact
            && contact.listed().is_some_and(|listed| listed.server == joined.url)
        {
            let (contact, card) = contacts::refresh_with_card(self.context, contact.name.as_str())?;
            return Ok((Who::of(&contact), card.ok_or_else(|| untrusted(CardChange::Gone))?));
        }
        // A person has a card on each server. That it is theirs shows its root key, whose hash is the id.
        let card = cards::read(server, &user)?.map_err(untrusted)?;
        Ok((contact.as_ref().map_or(Who::Stranger, Who::of), card))
    }

    /// Who a user of a vault is.
    fn in_vault(&self, vault: &Vault, user: &UserId) -> Result<Who, CliError> {
        if let Some(contact) = self.context.contacts()?.of_user(user)? {
            return Ok(Who::of(&contact));
        }
        let device = self.context.known_device()?.map(|device| device.device_id());
        let me = device.and_then(|device| vault.state().device(&device)).map(|(me, _)| me.id);
        let is_me =
            me == Some(*user) || self.context.servers()?.all()?.iter().any(|joined| joined.user == *user);
        Ok(if is_me { Who::Me } else { Who::Stranger })
    }
}
