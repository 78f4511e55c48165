//! `vault check`: verifies what is stored, and names everything that is damaged.
//!
//! Damage is told, not repaired.

use std::time::Instant;

use vault_core::ops;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::report;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Verify a vault
///
/// Verifies the history, the keys, the indexes, the hash of every pack, and that every chunk of every snapshot has its place.
/// With --read-data every pack is opened and every chunk compared with its hash too, which takes about as long as restoring.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault check --read-data --vault /mnt/disk/my-vault")]
pub(crate) struct Check {
    /// Open and verify all contents too
    #[arg(long)]
    read_data: bool,
}

impl Check {
    /// Checks and says what was found.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let options = ops::check::CheckOptions { read_data: self.read_data };

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let summary = ops::check::check(&vault, &reader, options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        display.finish();

        for finding in &summary.findings {
            context.ui.damage(&summary::finding(finding));
        }
        let elapsed = begun.elapsed();
        let document = json::Check::new(&vault.id().to_hex(), &summary, elapsed);
        let text = summary::check(&summary, self.read_data, elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        if !summary.findings.is_empty() {
            report::print_damage(context.vault_text().as_deref());
            return Ok(Exit::Integrity);
        }
        Ok(if summary.interrupted { Exit::Interrupted } else { Exit::Done })
    }
}
