//! `vault compact`: moves what is needed out of half-empty and small packs, and deletes what no snapshot needs.
//!
//! It works in rounds; what was done before an interruption stays done.

use std::time::{Duration, Instant};

use vault_core::chunk::compress::Level;
use vault_core::ops;
use vault_core::ops::compact::CompactOptions;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::json::prune as json;
use crate::ui::progress::Display;
use crate::ui::summary::prune as summary;
use crate::values;

/// Repack half-empty packs, and delete what no snapshot needs
///
/// Reads packs of which much is unused, and small ones, writes what snapshots need of them into new packs, and deletes the old
/// ones. It prunes too. Backups and restores may run meanwhile. Interrupt it with Ctrl-C: what is done stays done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault compact --max-bytes 50G --vault /mnt/disk/my-vault")]
pub(crate) struct Compact {
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Repack packs of which more than this share is unused
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = clap::value_parser!(u8).range(..=100))]
    max_unused: u8,

    /// Read packs of no more than SIZE in this run, those that free most
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_bytes: Option<u64>,

    /// Keep packs that nothing names for this long [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    orphan_age: Option<Duration>,

    /// How hard to compress: fast, default, best, or -7 to 19
    #[arg(long, value_name = "LEVEL", value_parser = values::level, allow_negative_numbers = true)]
    compression: Option<Level>,
}

impl Compact {
    /// Compacts and says what was freed.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let device = context.device()?;
        let options = CompactOptions {
            dry_run: self.dry_run,
            max_unused_percent: self.max_unused,
            rewrite: false,
            max_bytes: self.max_bytes,
            orphan_age: self.orphan_age.unwrap_or(ops::prune::ORPHAN_AGE),
            level: self.compression.unwrap_or(Level::DEFAULT),
        };

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let compacted = ops::compact::compact(&mut vault, &reader, &device, &options, &around)
            .map_err(|error| context.explain(error))?;
        display.finish();

        let elapsed = begun.elapsed();
        let document = json::Compact::new(&vault.id().to_hex(), self.dry_run, &compacted, elapsed);
        let text = summary::compact(self.dry_run, &compacted, elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(if compacted.pruned.interrupted { Exit::Interrupted } else { Exit::Done })
    }
}
