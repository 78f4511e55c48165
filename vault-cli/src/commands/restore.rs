//! `vault restore`: writes a snapshot, or a path in it, into a directory or back to where it came from.
//!
//! What is in the root of the snapshot, or in the directory at the path, comes straight into the target. What stands there is only
//! touched as far as the user said, and where much is at stake only after a question.

use std::path::{Path, PathBuf};
use std::time::Instant;

use vault_core::id::SnapshotId;
use vault_core::ops::restore::{
    Delete, Destination, Overwrite, RestoreOptions, RestoreSummary, origin, restore,
};
use vault_core::store::location::Location;
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{human, json, prompt, summary};
use crate::{config, patterns};

/// Restore a snapshot, or a path in it
///
/// SNAP is `latest`, `latest~2` (the second before it), the first digits of an id, or a date: 2026-11-22 or 2026-11-22T10:00
/// is the newest snapshot made by then. A path below the snapshot's root may follow after a colon.
///
/// A restore that was interrupted is continued by the same command: what is there already is neither fetched nor written again.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[command(after_help = "Examples:\n  \
    vault restore latest --vault /mnt/disk/my-vault --target ./restored\n  \
    vault restore 3fa94c1e:/Trip --vault /mnt/disk/my-vault --target ./trip\n  \
    vault restore latest:/Trip --in-place --dry-run --verbose\n  \
    vault restore inbox:3fa94c1e --target ./trip")]
pub(crate) struct Restore {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    what: Spec,

    #[command(flatten)]
    place: Place,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Read everything again that was written, and compare
    #[arg(long)]
    verify: bool,

    /// Make holes of zeros, besides the holes that were there
    #[arg(long)]
    sparse: bool,

    /// Do not restore owners and groups, not even as root
    #[arg(long)]
    no_owner: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    standing: Standing,

    #[command(flatten)]
    choice: Choice,

    #[command(flatten)]
    filter: FilterOptions,
}

/// Where to restore to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Directory to restore into: empty, or not there yet
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,

    /// Restore to where it came from; asks first
    #[arg(long)]
    in_place: bool,
}

/// What becomes of what is there.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is there already")]
struct Standing {
    /// Restore into a directory that is not empty
    #[arg(long, value_name = "WHEN", value_enum)]
    overwrite: Option<When>,

    /// Go on with a restore; the same as --overwrite if-changed
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,

    /// Delete what the snapshot does not have
    #[arg(long)]
    delete: bool,

    /// Delete what is left out by --include and --exclude, too
    #[arg(long)]
    delete_excluded: bool,
}

/// When a file that is there is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum When {
    /// What is there stays
    Never,
    /// Files of another size or time are compared, and what differs is written
    IfChanged,
    /// All files are compared; files and directories replace each other
    Always,
}

/// What is done about what stands there; to go on with a restore is to overwrite what changed.
pub(super) fn overwrite(when: Option<When>, resume: bool) -> Option<Overwrite> {
    match when {
        None => resume.then_some(Overwrite::IfChanged),
        Some(When::Never) => Some(Overwrite::Never),
        Some(When::IfChanged) => Some(Overwrite::IfChanged),
        Some(When::Always) => Some(Overwrite::Always),
    }
}

/// How a command that restores ends.
pub(super) fn exit(summary: &RestoreSummary) -> Exit {
    match (summary.interrupted, summary.failed_entries + summary.failed_attributes) {
        (true, _) => Exit::Interrupted,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Incomplete,
    }
}

/// What is restored of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to restore")]
pub(super) struct Choice {
    /// Restore only what matches PATTERN, as in a .gitignore file
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,

    /// Restore what matches a pattern in FILE, one on a line
    #[arg(long, value_name = "FILE")]
    include_file: Vec<PathBuf>,

    /// Leave out what matches PATTERN
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Leave out what matches a pattern in FILE
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
}

impl Choice {
    /// The patterns of what is restored.
    pub(super) fn included(&self) -> Result<Vec<String>, CliError> {
        patterns::all(&self.include, &self.include_file)
    }

    /// The patterns of what is not.
    pub(super) fn excluded(&self) -> Result<Vec<String>, CliError> {
        patterns::all(&self.exclude, &self.exclude_file)
    }
}

impl Restore {
    /// Restores and says what was done.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let delete = self.delete()?;
        if self.verify && self.standing.overwrite == Some(When::Never) {
            return Err(CliError::OptionsDisagree { one: "--verify", other: "--overwrite never" });
        }
        let is_grant = self.what.grant().is_some();
        if is_grant && self.place.in_place {
            return Err(ShareError::NoOrigin.into());
        }
        let vault = context.fetch_for(&self.what)?;
        let reader = context.unlock(&vault)?;
        let snapshot = context.snapshot_among(&vault, &reader, &self.what, &self.filter)?;
        let place = self.place(&vault, &reader, &snapshot)?;
        let location = if is_grant { None } else { Some(context.location()?) };
        let options = RestoreOptions {
            snapshot,
            path: self.what.path.clone(),
            destination: self.place.target.clone().map_or(Destination::Origin, Destination::Directory),
            overwrite: self.overwrite(),
            // No owners are given away.
            owners: !self.no_owner && config::is_superuser() && !is_grant,
            include: self.choice.included()?,
            exclude: self.choice.excluded()?,
            delete,
            protect: own_paths(context, location.as_ref())?,
            verify: self.verify,
            sparse: self.sparse,
            dry_run: self.dry_run,
        };
        self.ask(context, &place)?;

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let summary = restore(&vault, &reader, &options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        let problems = display.finish();

        let run = json::Run { created_vault: false, elapsed: begun.elapsed(), problems: &problems };
        let document = json::Restore::new(&snapshot, &place, &summary, run);
        let text = summary::restore(&place, &summary, run.elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(exit(&summary))
    }

    fn overwrite(&self) -> Option<Overwrite> {
        overwrite(self.standing.overwrite, self.standing.resume)
    }

    fn delete(&self) -> Result<Delete, CliError> {
        let standing = &self.standing;
        let has_includes = !self.choice.include.is_empty() || !self.choice.include_file.is_empty();
        match (standing.delete, standing.delete_excluded) {
            (_, true) => Ok(Delete::SurplusAndUnchosen),
            // With --include, does "the rest" mean the rest of what was included, or all the rest? Nobody shall find out too late.
            (true, false) if has_includes => {
                Err(CliError::OptionsDisagree { one: "--delete", other: "--include" })
            }
            (true, false) => Ok(Delete::Surplus),
            (false, false) => Ok(Delete::Nothing),
        }
    }

    /// The directory, or in place the path, that is restored to.
    fn place(&self, vault: &Vault, reader: &Reader, snapshot: &SnapshotId) -> Result<PathBuf, CliError> {
        match &self.place.target {
            Some(target) => Ok(target.clone()),
            None => Ok(origin(vault, reader, snapshot, &self.what.path)?),
        }
    }

    /// Asks where files of the user's are about to be overwritten or deleted.
    fn ask(&self, context: &Context, place: &Path) -> Result<(), CliError> {
        if self.place.in_place {
            context.ui.note(&format!("restoring in place: {}", human::path(place)));
        }
        if self.dry_run || self.yes {
            return Ok(());
        }
        if (self.standing.delete || self.standing.delete_excluded) && holds_home(place) {
            return Err(CliError::DeletesTooMuch { path: place.to_owned() });
        }
        if !self.place.in_place {
            return Ok(());
        }
        if !prompt::possible() {
            return Err(CliError::NotConfirmed { what: "--in-place".to_owned() });
        }
        let question = format!("Restore over what is in {} now?", human::path(place));
        let confirmed = prompt::confirm(&question).map_err(CliError::Terminal)?;
        if confirmed { Ok(()) } else { Err(CliError::Declined) }
    }
}

/// What is never deleted: the vault, and the keys and the memory of this program.
fn own_paths(context: &Context, location: Option<&Location>) -> Result<Vec<PathBuf>, CliError> {
    let own = context.directories()?.all().map(|(_, directory)| directory);
    let vault = location.and_then(Location::directory);
    Ok(vault.into_iter().chain(own).map(full).collect())
}

fn full(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether the home directory, or the root of all, is there or below.
fn holds_home(place: &Path) -> bool {
    let place = full(place);
    place == Path::new("/") || config::home().is_some_and(|home| full(&home).starts_with(&place))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        restore: Restore,
    }

    fn parse(more: &str) -> Result<Restore, clap::Error> {
        let line = Line::try_parse_from(["restore", "latest"].into_iter().chain(more.split_whitespace()));
        line.map(|line| line.restore)
    }

    #[test]
    fn there_is_one_place_to_restore_to() {
        assert!(parse("").is_err() && parse("--target a --in-place").is_err());
        assert!(parse("--target a").is_ok() && parse("--in-place").is_ok());
    }

    #[test]
    fn to_resume_is_to_overwrite_what_changed() {
        assert_eq!(parse("--in-place --resume").unwrap().overwrite(), Some(Overwrite::IfChanged));
        assert_eq!(parse("--in-place --overwrite always").unwrap().overwrite(), Some(Overwrite::Always));
        assert_eq!(parse("--in-place").unwrap().overwrite(), None);
        assert!(parse("--in-place --resume --overwrite never").is_err());
    }

    #[test]
    fn what_was_not_included_is_deleted_only_if_that_is_said() {
        let delete = |more| parse(more).unwrap().delete();

        assert!(matches!(delete("--in-place --delete"), Ok(Delete::Surplus)));
        assert!(matches!(delete("--in-place --delete --exclude x"), Ok(Delete::Surplus)));
        assert!(delete("--in-place --delete --include x").is_err());
        assert!(matches!(
            delete("--in-place --delete --delete-excluded --include x"),
            Ok(Delete::SurplusAndUnchosen)
        ));
    }

    #[test]
    fn the_root_holds_every_home() {
        assert!(holds_home(Path::new("/")) && holds_home(Path::new("/..")));
        assert!(!holds_home(&std::env::temp_dir().join("not a home")));
    }
}
