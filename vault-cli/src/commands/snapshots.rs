//! `vault snapshots`: lists what can be restored.
//!
//! Oldest first, so that the latest stands where the eye is when the list is long.

use std::io::Write as _;

use jiff::tz::TimeZone;
use vault_core::ops::snapshots::snapshots;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{json, listing, stdout};

/// List the snapshots of a vault
///
/// Each line is a snapshot: the beginning of its id, when the backup began, on which machine, and what was backed up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault snapshots --vault /mnt/disk/my-vault")]
pub(crate) struct Snapshots {}

impl Snapshots {
    /// Lists them.
    pub(crate) fn run(context: &Context) -> Result<Exit, CliError> {
        let vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let list = snapshots(&vault, &reader)?;
        let mut out = stdout();
        let written = if context.ui.json {
            json::write_document(&mut out, &json::Snapshots::new(&vault.id().to_hex(), &list))
        } else if list.is_empty() {
            context.ui.note("there is no snapshot in this vault yet; `vault backup PATH` makes one");
            Ok(())
        } else {
            listing::snapshots(&list, &TimeZone::system()).write(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
