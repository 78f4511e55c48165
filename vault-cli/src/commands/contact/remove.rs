//! `vault contact remove`: forgets a contact on this machine.
//!
//! Nothing else changes: a member of a vault stays one.

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault contact remove alice")]
pub(super) struct Remove {
    /// The contact
    #[arg(value_name = "NAME")]
    name: String,
}

impl Remove {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let contacts = context.contacts()?;
        let contact = contacts.named(&self.name)?;
        contacts.remove(&contact.name)?;
        let document = json::contacts::ContactRemoved::new(&contact);
        context.ui.result(&document, &summary::contacts::removed(&contact)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
