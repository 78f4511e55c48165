//! `vault prune`: deletes what no snapshot needs.
//!
//! Backups and restores may run meanwhile, here and on other machines.

use std::time::{Duration, Instant};

use vault_core::ops;
use vault_core::ops::prune::PruneOptions;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::json::prune as json;
use crate::ui::progress::Display;
use crate::ui::summary::prune as summary;
use crate::values;

/// Delete what no snapshot needs
///
/// Forgetting a snapshot frees nothing by itself: this does. It deletes packs of which no snapshot needs anything; `vault compact`
/// frees the rest. Backups and restores may run meanwhile. If a snapshot is damaged, nothing is deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault prune --dry-run --vault /mnt/disk/my-vault")]
pub(crate) struct Prune {
    /// Only say what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Keep packs that nothing names for this long [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    orphan_age: Option<Duration>,
}

impl Prune {
    /// Prunes and says what was freed.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let device = context.device()?;
        let orphan_age = self.orphan_age.unwrap_or(ops::prune::ORPHAN_AGE);
        let options = PruneOptions { dry_run: self.dry_run, orphan_age };

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let pruned = ops::prune::prune(&mut vault, &reader, &device, &options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        display.finish();

        let elapsed = begun.elapsed();
        let document = json::Prune::new(&vault.id().to_hex(), self.dry_run, &pruned, elapsed);
        let text = summary::prune(self.dry_run, &pruned, elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(if pruned.interrupted { Exit::Interrupted } else { Exit::Done })
    }
}
