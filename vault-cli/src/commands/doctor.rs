//! `vault doctor`: looks for what keeps backups from working, and says what to do about it.

use crate::context::Context;
use crate::doctor::{self, Verdict};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{json, summary};

/// Look for what keeps backups from working
///
/// Looks at clock, configuration, directories, keys, disk space, vaults, the last run of each profile and its schedule. Needs no
/// passphrase, and shows no secret: what it prints can be sent to others. Ends with code 1 if something fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  vault doctor\n  vault doctor --vault /mnt/disk/my-vault")]
pub(crate) struct Doctor {}

impl Doctor {
    /// Looks at everything and says what it found.
    pub(crate) fn run(context: &Context) -> Result<Exit, CliError> {
        let lines = doctor::examine(context);
        let document = json::Doctor::new(&lines);
        context.ui.answer(&document, &summary::doctor(&lines)).map_err(CliError::Output)?;
        Ok(if doctor::worst(&lines) == Verdict::Fail { Exit::Failed } else { Exit::Done })
    }
}
