//! `vault stats`: how much snapshots hold, and what takes the room.
//!
//! Figures are of the snapshots that are named, or of all; what only one snapshot needs is told against all others.

use std::io::Write;

use vault_core::id::SnapshotId;
use vault_core::ops::snapshots::snapshots;
use vault_core::ops::stats::{Profile, ProfileOptions, profile, stats};
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Show how much snapshots hold and take
///
/// Of each snapshot: its files, what a restore writes, and what no other snapshot needs, which is freed if it alone is forgotten.
/// Of all together: distinct contents, and the room they take in the store.
///
/// With --by-path the directories of one snapshot: what a restore writes, and what stands nowhere else in the snapshot, as it is
/// and as it is stored. So a directory that is there twice takes no room of its own, but the one that contains both does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault stats --vault /mnt/disk/my-vault\n  \
    vault stats latest --by-path --depth 4 --vault /mnt/disk/my-vault")]
pub(crate) struct Stats {
    /// Snapshots (latest, an id, a date) [default: all]
    #[arg(value_name = "SNAP", value_parser = spec::parser())]
    snapshots: Vec<Spec>,

    /// Show the largest directories of one snapshot [default: latest]
    #[arg(long)]
    by_path: bool,

    /// Tell directories apart down to this depth
    #[arg(long, value_name = "N", default_value_t = 3, requires = "by_path")]
    depth: usize,

    /// Show at most N directories
    #[arg(long, value_name = "N", default_value_t = 20, requires = "by_path")]
    top: usize,

    #[command(flatten)]
    filter: FilterOptions,
}

impl Stats {
    /// Adds up and shows the sums.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = match self.snapshots.first() {
            Some(spec) => context.open_for(spec)?,
            None => context.open(&context.location()?)?,
        };
        let reader = context.unlock(&vault)?;
        if self.by_path {
            self.by_path(context, &vault, &reader)
        } else {
            self.sums(context, &vault, &reader)
        }
    }

    fn sums(&self, context: &Context, vault: &Vault, reader: &Reader) -> Result<Exit, CliError> {
        let chosen: Vec<SnapshotId> = if self.snapshots.is_empty() {
            let list = self.filter.narrow(snapshots(vault, reader)?);
            list.iter().map(|snapshot| snapshot.id).collect()
        } else {
            let find = |spec| context.snapshot_among(vault, reader, spec, &self.filter);
            self.snapshots.iter().map(find).collect::<Result<_, _>>()?
        };
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let sums = stats(vault, reader, &chosen, &around).map_err(|error| context.explain(error))?;
        display.finish();

        let is_all = chosen.len() == vault.state().snapshots().len();
        let document = json::Stats::new(&vault.id().to_hex(), &sums);
        let write = |out: &mut dyn Write| summary::stats(out, &sums, is_all);
        context.ui.listing(&document, write).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    fn by_path(&self, context: &Context, vault: &Vault, reader: &Reader) -> Result<Exit, CliError> {
        let latest = Spec::parse("latest".as_ref()).ok();
        let spec = match (&self.snapshots[..], &latest) {
            ([], Some(latest)) => latest,
            ([one], _) => one,
            _ => return Err(CliError::OneSnapshot),
        };
        let snapshot = context.snapshot_among(vault, reader, spec, &self.filter)?;
        let options = ProfileOptions { snapshot, depth: self.depth, top: self.top };
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let profile: Profile =
            profile(vault, reader, &options, &around).map_err(|error| context.explain(error))?;
        display.finish();

        let document = json::StatsByPath::new(&snapshot, &profile);
        let write = |out: &mut dyn Write| summary::by_path(out, &profile);
        context.ui.listing(&document, write).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
