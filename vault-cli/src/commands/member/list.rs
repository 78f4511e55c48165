//! `vault member list`: who belongs to the vault, as its signed log says. No passphrase is asked for.

use vault_core::id::{Epoch, UserId};
use vault_core::log::Role;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault member list --vault team")]
pub(super) struct List {}

/// A member as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) user: UserId,
    /// What this machine calls them.
    pub(crate) name: Option<String>,
    /// Whether they are the user of this machine.
    pub(crate) is_me: bool,
    pub(crate) role: Role,
    pub(crate) devices: usize,
    /// The first epoch that they can read.
    pub(crate) reads_from: Epoch,
}

impl List {
    pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
        let vault = context.open(&context.location()?)?;
        let (contacts, state) = (context.contacts()?, vault.state());
        let me = context.known_device()?.and_then(|device| state.device(&device.device_id()));
        let me = me.map(|(user, _)| user.id);
        let mut listed = Vec::new();
        for user in state.members().into_iter().flat_map(|members| &members.users) {
            listed.push(Listed {
                user: user.id,
                name: contacts.of_user(&user.id)?.map(|contact| contact.name.to_string()),
                is_me: me == Some(user.id),
                role: user.role,
                devices: user.devices.len(),
                reads_from: user.reads_from,
            });
        }
        let document = json::members::MemberList::new(&vault.id().to_hex(), &listed);
        context
            .ui
            .listing(&document, |out| summary::members::list(out, &listed))
            .map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
