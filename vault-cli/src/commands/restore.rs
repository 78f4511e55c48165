//! `vault restore`: writes a snapshot, or a path in it, into a directory.
//!
//! What is in the root of the snapshot, or in the directory at the path, comes straight into the target.

use std::path::PathBuf;
use std::time::Instant;

use vault_core::ops;

use crate::config;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Restore a snapshot, or a path in it
///
/// SNAP is `latest`, `latest~2` (the second before it), the first digits of an id, or a date: 2026-11-22 or 2026-11-22T10:00
/// is the newest snapshot made by then. A path below the snapshot's root may follow after a colon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault restore latest --vault /mnt/disk/my-vault --target ./restored\n  \
    vault restore 3fa94c1e:/Trip --vault /mnt/disk/my-vault --target ./trip")]
pub(crate) struct Restore {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    what: Spec,

    /// Directory to restore into: empty, or not there yet
    #[arg(long, value_name = "DIR")]
    target: PathBuf,

    /// Do not restore owners and groups, not even as root
    #[arg(long)]
    no_owner: bool,
}

impl Restore {
    /// Restores and says what was done.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let snapshot = context.snapshot(&vault, &reader, &self.what)?;
        let options = ops::restore::RestoreOptions {
            snapshot,
            path: self.what.path,
            target: self.target,
            owners: !self.no_owner && config::is_superuser(),
        };

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let summary = ops::restore::restore(&vault, &reader, &options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        let problems = display.finish();

        let run = json::Run { created_vault: false, elapsed: begun.elapsed(), problems: &problems };
        let document = json::Restore::new(&snapshot, &options.target, &summary, run);
        let text = summary::restore(&options.target, &summary, run.elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(match (summary.interrupted, summary.failed_entries + summary.failed_attributes) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Done,
            (false, _) => Exit::Incomplete,
        })
    }
}
