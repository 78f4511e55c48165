//! `vault member remove`: new keys for everyone else. What the member has read before they may have kept, and that is said.

use vault_core::ops::membership::{self, Removed};

use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault member remove anna --vault team")]
pub(super) struct Remove {
    /// A contact, or the beginning of a member's id
    #[arg(value_name = "NAME")]
    who: String,
}

/// Somebody who is a member no more.
pub(crate) struct Expelled {
    pub(crate) who: String,
    pub(crate) removed: Removed,
}

impl Remove {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let user = super::find(vault.state().members(), &context.contacts()?, &self.who)?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let identity = context.own_identity(&vault)?;
        let removed = membership::remove(&mut vault, &identity, &user, &around)?;
        display.finish();

        let gone = || ShareError::NoSuchMember { who: self.who.clone() };
        let expelled = Expelled { who: self.who.clone(), removed: removed.ok_or_else(gone)? };
        let document = json::members::MemberRemoved::new(&vault.id().to_hex(), (&user, &expelled));
        context.ui.result(&document, &summary::members::removed(&expelled)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
