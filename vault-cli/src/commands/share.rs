//! `vault share`: gives a folder or file of a snapshot to contacts.
//!
//! What was given is stored in the vault, and nothing is copied: who is given it reads it there.

use vault_core::log::{MAX_ADDRESSEES, PqPolicy};
use vault_core::ops::grants::{ShareTo, Shared};
use vault_core::vault::Vault;

use super::giving::{Giving, Receivers};
use crate::contacts::Addressee;
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::granted::id_of_recipient;
use crate::ui::{json, summary};

/// Give a folder or file of a snapshot to contacts
///
/// They find it with `vault inbox` and fetch it with `vault get`. They see the names, times and contents of what you give, and nothing
/// else of the vault; owners, attributes and where it came from stay with you. `vault revoke` takes it back, except for what they
/// have fetched.
///
/// In a vault that lies in a directory, whoever can read the directory opens it with `vault get GRANT --vault DIR`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault share photos:latest:/Trip --to anna --to bob --expires 30d\n  \
    vault share 2026-11-22:/letter.odt --to anna --vault ./my-vault")]
pub(crate) struct Share {
    /// A contact to give it to (may be repeated): see `vault contact list`
    #[arg(long, value_name = "NAME", required = true)]
    to: Vec<String>,

    #[command(flatten)]
    giving: Giving,
}

/// What was given to contacts.
pub(crate) struct Given {
    pub(crate) shared: Shared,
    pub(crate) to: Vec<Addressee>,
    /// Until when, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    /// Where those who were given it find it, if that is a directory.
    pub(crate) directory: Option<String>,
}

impl Share {
    /// Gives it, and says to whom.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let expires = self.giving.end(context)?;
        if self.to.len() > MAX_ADDRESSEES {
            return Err(ShareError::TooMany { asked: self.to.len(), most: MAX_ADDRESSEES }.into());
        }
        let location = context.location_of(&self.giving.what)?;
        let mut vault = context.open(&location)?;
        let named = |name: &String| Addressee::named(context, name);
        let to: Vec<_> = self.to.iter().map(named).collect::<Result<_, _>>()?;
        if location.server().is_some() {
            let (server, _) = context.vault_on_server()?;
            to.iter().try_for_each(|addressee| addressee.check_account(&server))?;
        }
        to.iter().try_for_each(|addressee| check_policy(&vault, addressee))?;
        let reader = context.unlock(&vault)?;
        let snapshot = self.giving.snapshot(context, &vault, &reader)?;
        let receivers = Receivers { to: to.iter().map(share_to).collect(), link: None };
        let shared = self.giving.give(context, (&mut vault, &reader, snapshot), (receivers, expires))?;

        let directory = location.directory().map(|_| location.to_string());
        let given = Given { shared, to, expires, directory };
        let document = json::grants::Share::new(&vault.id().to_hex(), &given);
        context.ui.result(&document, &summary::grants::shared(&given)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

fn share_to(addressee: &Addressee) -> ShareTo {
    let id = match addressee.user() {
        Some(user) => *user.as_bytes(),
        None => id_of_recipient(addressee.recipient.as_str()),
    };
    ShareTo { id, recipient: addressee.recipient.clone() }
}

/// Refuses a recipient that the vault would not take as a member's.
fn check_policy(vault: &Vault, addressee: &Addressee) -> Result<(), ShareError> {
    if vault.state().pq() == PqPolicy::Required && !addressee.recipient.is_post_quantum() {
        return Err(ShareError::NotPostQuantum { name: addressee.name().to_owned() });
    }
    Ok(())
}
