//! `vault forget`: takes snapshots away, those named or those that no rule keeps.
//!
//! Without a rule and without a name it is refused: that nothing is to be kept is never understood by itself.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::tz::TimeZone;
use vault_core::id::SnapshotId;
use vault_core::ops;
use vault_core::ops::forget::{Choice, ForgetOptions};
use vault_core::ops::groups::GroupBy;
use vault_core::ops::prune::{ORPHAN_AGE, PruneOptions};
use vault_core::ops::retention::Rules;
use vault_core::ops::snapshots::snapshots;
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::{self, FilterOptions};
use crate::spec;
use crate::ui::progress::Display;
use crate::ui::{json, summary, time};
use crate::values::duration::duration;

/// Forget snapshots
///
/// Either those named, or, with rules, all that no rule keeps: of each machine and set of paths by itself. Of each hour, day,
/// week, month or year the newest snapshot counts; where there are fewer than a rule asks for, the oldest is kept too. The last complete
/// snapshot of a machine and set of paths is never forgotten without --force.
///
/// Forgetting frees no room by itself: what only the forgotten snapshots needed stays until it is pruned, by --prune or later.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run\n  \
    vault forget 3fa94c1e --vault /mnt/disk/my-vault")]
#[command(
    override_usage = "vault forget [OPTIONS] <SNAP>...\n       vault forget [OPTIONS] --keep-daily <N> ..."
)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
#[command(group = clap::ArgGroup::new("rules").multiple(true).conflicts_with("snapshots"))]
pub(crate) struct Forget {
    /// Snapshots to forget (latest, an id, a date)
    #[arg(value_name = "SNAP", group = "what")]
    snapshots: Vec<String>,

    /// Forget the last complete snapshot of a group too
    #[arg(long)]
    force: bool,

    /// Only show what would be forgotten, and why the others are kept
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Delete then what no snapshot needs, as `vault prune` does
    #[arg(long, conflicts_with = "dry_run")]
    prune: bool,

    #[command(flatten)]
    keep: Keep,

    #[command(flatten)]
    filter: FilterOptions,

    /// What snapshots of one group share: host, paths, tags, or none
    #[arg(long, value_name = "LIST", value_parser = filter::group_by, default_value = "host,paths", hide_default_value = true, help_heading = "Which snapshots")]
    group_by: GroupBy,
}

/// The rules.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to keep")]
struct Keep {
    /// Keep the N newest
    #[arg(long = "keep-last", value_name = "N", groups = ["what", "rules"])]
    last: Option<u32>,

    /// Keep the newest of each of N hours
    #[arg(long = "keep-hourly", value_name = "N", groups = ["what", "rules"])]
    hourly: Option<u32>,

    /// Keep the newest of each of N days
    #[arg(long = "keep-daily", value_name = "N", groups = ["what", "rules"])]
    daily: Option<u32>,

    /// Keep the newest of each of N weeks
    #[arg(long = "keep-weekly", value_name = "N", groups = ["what", "rules"])]
    weekly: Option<u32>,

    /// Keep the newest of each of N months
    #[arg(long = "keep-monthly", value_name = "N", groups = ["what", "rules"])]
    monthly: Option<u32>,

    /// Keep the newest of each of N years
    #[arg(long = "keep-yearly", value_name = "N", groups = ["what", "rules"])]
    yearly: Option<u32>,

    /// Keep all made within SPAN before the newest, as in 30d
    #[arg(long = "keep-within", value_name = "SPAN", value_parser = duration, groups = ["what", "rules"])]
    within: Option<u64>,

    /// Keep all with this tag (may be repeated)
    #[arg(long = "keep-tag", value_name = "TAG", groups = ["what", "rules"])]
    tagged: Vec<String>,
}

impl Keep {
    fn rules(&self) -> Result<Rules, CliError> {
        let rules = Rules {
            last: self.last.unwrap_or(0),
            hourly: self.hourly.unwrap_or(0),
            daily: self.daily.unwrap_or(0),
            weekly: self.weekly.unwrap_or(0),
            monthly: self.monthly.unwrap_or(0),
            yearly: self.yearly.unwrap_or(0),
            within_seconds: self.within,
            tags: self.tagged.clone(),
        };
        if rules.is_empty() { Err(CliError::NothingKept) } else { Ok(rules) }
    }
}

impl Forget {
    /// Forgets and says what.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        // What cannot be meant is refused before a passphrase is asked for.
        let rules = if self.snapshots.is_empty() { Some(self.keep.rules()?) } else { None };
        let mut vault = context.open(&context.location()?)?;
        let device = context.device()?;
        let reader = context.unlock(&vault)?;
        let zone = TimeZone::system();
        let choice = match rules {
            Some(rules) => Choice::Rules(rules, self.filter.filter()),
            None => Choice::Named(self.named(&vault, &reader, &zone)?),
        };
        let options =
            ForgetOptions { choice, group_by: self.group_by, force: self.force, dry_run: self.dry_run };

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let calendar = |moment| time::civil_hour(moment, &zone);
        let forgotten = ops::forget::forget(&mut vault, (&reader, &device), &options, &around, &calendar)
            .map_err(|error| context.explain(error))?;
        let pruned = if self.prune {
            let options = PruneOptions { dry_run: false, orphan_age: ORPHAN_AGE };
            let pruned = ops::prune::prune(&mut vault, &reader, &device, &options, &around);
            Some(pruned.map_err(|error| context.explain(error))?)
        } else {
            None
        };
        display.finish();

        let id = vault.id().to_hex();
        let elapsed = begun.elapsed();
        let document = json::Forget::new(&id, &forgotten, self.dry_run);
        let mut text = summary::forget::forget(&forgotten, (self.dry_run, self.prune), &zone);
        let pruned_document =
            pruned.as_ref().map(|pruned| json::prune::Prune::new(&id, false, pruned, elapsed));
        if let Some(pruned) = &pruned {
            text.push_str(&summary::prune::prune(false, pruned, elapsed));
        }
        context.ui.result(&document.with_prune(pruned_document), &text).map_err(CliError::Output)?;
        Ok(if pruned.is_some_and(|pruned| pruned.interrupted) { Exit::Interrupted } else { Exit::Done })
    }

    /// The snapshots that are named, each once.
    fn named(&self, vault: &Vault, reader: &Reader, zone: &TimeZone) -> Result<Vec<SnapshotId>, CliError> {
        let list = snapshots(vault, reader)?;
        let found: BTreeSet<_> =
            self.snapshots.iter().map(|text| spec::resolve(&list, text, zone)).collect::<Result<_, _>>()?;
        Ok(found.into_iter().collect())
    }
}
