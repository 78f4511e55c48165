//! Looking oneself up: once a day, on each server that is asked, whether it shows one's own name and card to others as they are.
//!
//! A command on the account does so before anything else. What stores or reads a vault is not kept from it: the alarm follows the work.

use std::cell::RefCell;
use std::rc::Rc;

use vault_core::card::WholeCard;
use vault_core::error::Error;
use vault_core::net::{NetErrorKind, Server, ServerUrl};
use vault_core::ops::cards::Seen;
use vault_core::ops::contacts::{self, CardChange};
use vault_core::wire::UserName;

use super::Context;
use crate::error::{CliError, ContactError};
use crate::exit::Exit;
use crate::report;
use crate::servers::Joined;

/// How long a look holds.
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Servers to look oneself up on when the work is done.
pub(super) type Due = Rc<RefCell<Vec<ServerUrl>>>;

impl Context {
    /// Looks oneself up on a server, if that was not done within a day.
    ///
    /// # Errors
    ///
    /// [`ContactError::ForeignName`] and [`ContactError::OwnCard`], exit code 8. A server that cannot be asked is no alarm.
    pub(crate) fn audit_oneself(&self, joined: &Joined) -> Result<(), CliError> {
        // What was joined just now, or looked at by a command before, is told by what is remembered.
        let Some(joined) = self.servers()?.get(&joined.url)? else { return Ok(()) };
        let now = self.now().seconds;
        let is_recent = |looked: i64| (0..DAY_SECONDS).contains(&now.saturating_sub(looked));
        if joined.audited.is_some_and(is_recent) {
            return Ok(());
        }
        let looked = self.briefly(&joined).and_then(|server| {
            let name = own_name(&server, &joined)?;
            Ok((name, own_card(&server, &joined)?))
        });
        match looked {
            Ok((name, card)) => self.servers()?.update(&joined.url, |joined| {
                joined.audited = Some(now);
                joined.name = name;
                joined.card = Some(Seen::of(card.chain()));
            }),
            Err(error) if error.exit() == Exit::Integrity => Err(error),
            Err(error) => {
                let why = report::in_one_line(&error);
                self.ui.verbose(&format!("your own card on {} was not looked up: {why}", joined.url));
                Ok(())
            }
        }
    }

    /// Has oneself looked up on a server once the work is done.
    pub(super) fn audit_later(&self, joined: &Joined) {
        let mut due = self.due.borrow_mut();
        if !due.contains(&joined.url) {
            due.push(joined.url.clone());
        }
    }

    /// Looks oneself up where that was put off.
    pub(crate) fn audit_now(&self) -> Result<(), CliError> {
        for url in self.due.take() {
            if let Some(joined) = self.servers()?.get(&url)? {
                self.audit_oneself(&joined)?;
            }
        }
        Ok(())
    }
}

/// What one is called there now, which leads to nobody else.
fn own_name(server: &Server, joined: &Joined) -> Result<Option<UserName>, CliError> {
    let told = || server.me().map(|me| me.name).map_err(Error::from);
    if let Some(known) = &joined.name
        && leads_to_oneself(server, joined, known)?
    {
        return Ok(Some(known.clone()));
    }
    // The operator may have given another.
    match told()? {
        Some(name) if leads_to_oneself(server, joined, &name)? => Ok(Some(name)),
        _ => Ok(None),
    }
}

/// Whether a name leads to oneself; false if it leads to nobody.
fn leads_to_oneself(server: &Server, joined: &Joined, name: &UserName) -> Result<bool, CliError> {
    match server.user_named(name) {
        Ok(Some(found)) if found == joined.user => Ok(true),
        Ok(Some(found)) => {
            let (server, name) = (joined.url.clone(), name.clone());
            Err(ContactError::ForeignName { server, name, expected: joined.user, found }.into())
        }
        Ok(None) => Ok(false),
        // A device that backs up only may not look: others of the same user do.
        Err(error) if error.kind() == NetErrorKind::Forbidden => Ok(true),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// One's own card, which goes on from what this machine has seen.
pub(crate) fn own_card(server: &Server, joined: &Joined) -> Result<WholeCard, CliError> {
    let changed = |source| ContactError::OwnCard { server: joined.url.clone(), source };
    let card = contacts::read(server, &joined.user)?.map_err(changed)?;
    match joined.card {
        Some(expected) if !card.has(expected.seq, &expected.hash) => {
            let found = Seen::of(card.chain());
            Err(changed(CardChange::RolledBack { expected, found }).into())
        }
        _ => Ok(card),
    }
}
