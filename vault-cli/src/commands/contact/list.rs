//! `vault contact list`: whom one has, and who of them was verified.
//!
//! Nothing is asked of any server.

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault contact list")]
pub(super) struct List {}

impl List {
    pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
        let contacts = context.contacts()?.all()?;
        let document = json::contacts::ContactList::new(&contacts);
        context
            .ui
            .listing(&document, |out| summary::contacts::list(out, &contacts))
            .map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
