//! `vault grants`: what was given away from a vault, to whom, and whether they have fetched it.
//!
//! Who was given what stands in the vault's own log; how often it was fetched is the server's word.

use std::collections::BTreeMap;

use vault_core::error::Error;
use vault_core::id::{GrantId, UserId};
use vault_core::log::State;
use vault_core::ops::grants::{GivenInfo, given};
use vault_core::time::Timestamp;
use vault_core::wire::v1::grants::GivenGrant;

use crate::contacts::{Contact, ContactKeys};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::granted::id_of_recipient;
use crate::report;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// List what was given away from a vault
///
/// Shows what was given with `vault share` and `vault link` and not taken back, and how often it was fetched, where the vault is on a
/// server. What has expired is fetched by nobody any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault grants --vault photos")]
pub(crate) struct Grants {}

/// A grant as it is listed.
pub(crate) struct Listed {
    pub(crate) info: GivenInfo,
    /// To whom, as this machine calls them; links have no name.
    pub(crate) to: Vec<String>,
    /// Who gave it, if that was not this machine's user.
    pub(crate) by: Option<String>,
    /// How often it was fetched, and when last, as a server says.
    pub(crate) fetched: Option<(u64, Option<Timestamp>)>,
}

/// What this machine calls those whom grants name.
pub(crate) struct Names(Vec<([u8; 16], String)>);

impl Names {
    /// Those of the contacts.
    pub(crate) fn of(contacts: &[Contact]) -> Self {
        let id = |contact: &Contact| match &contact.keys {
            ContactKeys::User { pinned, .. } => *pinned.user.as_bytes(),
            ContactKeys::Recipient(text) => id_of_recipient(text),
        };
        Self(contacts.iter().map(|contact| (id(contact), contact.name.to_string())).collect())
    }

    /// The name, or where there is none the beginning of the id.
    pub(crate) fn get(&self, id: &[u8; 16]) -> String {
        let known = self.0.iter().find(|(known, _)| known == id);
        known.map_or_else(|| UserId::new(*id).short(), |(_, name)| name.clone())
    }
}

impl Grants {
    /// Lists them.
    pub(crate) fn run(context: &Context) -> Result<Exit, CliError> {
        let location = context.location()?;
        let vault = context.open(&location)?;
        let reader = context.unlock(&vault)?;
        let display = Display::new(context.ui);
        let infos = given(&vault, &reader, &context.around(&display)?)?;
        display.finish();
        let mut exit = Exit::Done;
        let fetched = if location.server().is_some() {
            fetched(context).unwrap_or_else(|error| {
                let why = report::in_one_line(&error);
                context.ui.warn(&format!("how often they were fetched is not known: {why}"));
                exit = Exit::Incomplete;
                None
            })
        } else {
            None
        };
        let names = Names::of(&context.contacts()?.all()?);
        let me = own_user(context, vault.state())?;
        let of = |info: GivenInfo| Listed {
            to: info.to.iter().map(|id| names.get(id)).collect(),
            by: (me != Some(info.user)).then(|| names.get(info.user.as_bytes())),
            fetched: fetched.as_ref().and_then(|fetched| {
                let one = fetched.get(&info.grant)?;
                Some((one.fetched, one.last_at.map(vault_core::wire::Millis::to_timestamp)))
            }),
            info,
        };
        let listed: Vec<Listed> = infos.into_iter().map(of).collect();
        let document = json::grants::Grants::new(&vault.id().to_hex(), &listed);
        context.ui.listing(&document, |out| summary::grants::list(out, &listed)).map_err(CliError::Output)?;
        Ok(exit)
    }
}

/// The user of this machine, as the vault knows them.
pub(super) fn own_user(context: &Context, state: &State) -> Result<Option<UserId>, CliError> {
    let device = context.known_device()?;
    Ok(device.and_then(|device| state.device(&device.device_id())).map(|(user, _)| user.id))
}

/// What the server says about fetching.
fn fetched(context: &Context) -> Result<Option<BTreeMap<GrantId, GivenGrant>>, CliError> {
    let (server, vault) = context.vault_on_server()?;
    let told = server.vault_grants(&vault).map_err(Error::from)?;
    Ok(Some(told.into_iter().map(|one| (one.grant, one)).collect()))
}
