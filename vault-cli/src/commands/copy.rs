//! `vault copy`: brings snapshots into another vault.
//!
//! Both vaults are opened for reading: the one to read what is copied, the other to see what it has.

use std::time::Instant;

use jiff::tz::TimeZone;
use vault_core::chunk::compress::Level;
use vault_core::id::SnapshotId;
use vault_core::ops;
use vault_core::ops::copy::CopyOptions;
use vault_core::ops::snapshots::snapshots;
use vault_core::vault::{Reader, Vault};

use super::backup::open_registered;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::{report, spec, values};

/// Copy snapshots to another vault
///
/// Copies the snapshots named, or all that there are. What the other vault has already is neither read nor stored again, and a
/// snapshot that was copied before is not copied twice. Copies keep their time, machine, paths and tags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault copy --vault ./my-vault --to /mnt/second/my-vault\n  \
    vault copy latest 3fa94c1e --to /mnt/second/my-vault")]
pub(crate) struct Copy {
    /// Snapshots to copy (latest, an id, a date) [default: all]
    #[arg(value_name = "SNAP")]
    snapshots: Vec<String>,

    /// Vault to copy to, which must exist
    #[arg(long, value_name = "LOCATION")]
    to: String,

    /// How hard to compress: fast, default, best, or -7 to 19
    #[arg(long, value_name = "LEVEL", value_parser = values::level, allow_negative_numbers = true)]
    compression: Option<Level>,

    #[command(flatten)]
    filter: FilterOptions,
}

impl Copy {
    /// Copies and says what.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let other = context.for_vault(&self.to);
        let device = context.device()?;
        let from = context.open(&context.location()?)?;
        let from_reader = context.unlock(&from)?;
        let mut to = match open_registered(&other, &device) {
            Ok(to) => to,
            Err(error) => {
                // Told here, so that what is said of the next step names the vault that is meant.
                report::print(&error, other.vault_text().as_deref(), context.ui.stderr.colored);
                return Ok(error.exit());
            }
        };
        let to_reader = other.unlock(&to)?;
        let options = CopyOptions {
            snapshots: self.chosen(&from, &from_reader)?,
            level: self.compression.unwrap_or_default(),
        };

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let copied =
            ops::copy::copy((&from, &from_reader), (&mut to, &to_reader), &device, &options, &around)
                .map_err(|error| context.explain(error))?;
        display.finish();

        let elapsed = begun.elapsed();
        let document = json::Copy::new((&from.id().to_hex(), &to.id().to_hex()), &copied, elapsed);
        let text = summary::copy(&copied, elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    /// The snapshots that are named, or all that the filter takes.
    fn chosen(&self, vault: &Vault, reader: &Reader) -> Result<Vec<SnapshotId>, CliError> {
        let list = self.filter.narrow(snapshots(vault, reader)?);
        if self.snapshots.is_empty() {
            return Ok(list.iter().map(|snapshot| snapshot.id).collect());
        }
        let zone = TimeZone::system();
        let named = self.snapshots.iter().map(|text| spec::resolve(&list, text, &zone));
        let mut ids: Vec<SnapshotId> = Vec::new();
        for id in named {
            let id = id?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}
