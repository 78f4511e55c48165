//! `vault backup`: stores what changed and makes a snapshot.
//!
//! Asks for a passphrase only where this device is not registered in the vault yet.

mod input;
mod work;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use vault_core::chunk::compress::Level;
use vault_core::error::{Error, ErrorKind};
use vault_core::ops;
use vault_core::ops::backup::BackupOptions;
use vault_core::store::location::Location;
use vault_core::time::Timestamp;

use super::init::NewVault;
use crate::config::profile::Profile;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::omit::OmitOptions;
use crate::ui::json;
use crate::unattended::{self, Ending};
use crate::{config, patterns, report, spec, values};

pub(super) use self::work::{BackedUp, back_up_all, note_run, open_registered, own_directories};

use self::input::{Lists, Streams};

/// How long a run goes on before what it has stored becomes a partial snapshot.
const PARTIAL_EVERY: Duration = Duration::from_secs(600);

/// Back up files and directories
///
/// Only what changed since the last backup is read and stored. It needs no passphrase once this device is registered, which
/// the first backup does. Interrupt it with Ctrl-C: what is stored is kept, and the next backup continues from there.
///
/// Without paths it backs up those of a profile in the configuration: the only one there is, or the one called `default`.
/// Options come before what a profile says; what it excludes and its tags are added to.
#[derive(Debug, clap::Args)]
#[command(mut_group("NewVault", |group| group.requires("init")))]
#[command(after_help = "Examples:\n  \
    vault backup --vault /mnt/disk/my-vault ~/Documents\n  \
    vault backup --init --vault ./my-vault --exclude '*.tmp' ~/Documents ~/Pictures\n  \
    vault backup --profile home")]
pub(crate) struct Backup {
    /// Files and directories to back up [default: those of the profile]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Take paths and settings from this profile of the configuration
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Back up into this vault too, with one reading of the files
    #[arg(long, value_name = "LOCATION")]
    also: Vec<String>,

    /// Make the vault if there is none
    #[arg(long)]
    init: bool,

    #[command(flatten)]
    omit: OmitOptions,

    /// Find the snapshot by this word later
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// How hard to compress: fast, default, best, or -7 to 19
    #[arg(long, value_name = "LEVEL", value_parser = values::level, allow_negative_numbers = true)]
    compression: Option<Level>,

    /// Name of this machine in the snapshot [default: its host name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Show this time for the snapshot, as in 2026-11-22T10:00; retention goes by the real one
    #[arg(long, value_name = "TIME", value_parser = spec::begin_of)]
    time: Option<Timestamp>,

    /// Store nothing; say what would be
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    lists: Lists,

    #[command(flatten)]
    streams: Streams,

    /// Seconds between two partial snapshots of a long run
    #[arg(long, value_name = "SECONDS", default_value_t = PARTIAL_EVERY.as_secs(), hide = true)]
    partial_every: u64,

    #[command(flatten)]
    new: NewVault,
}

impl Backup {
    /// Backs up and says what was done.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let Some(profile) = self.chosen_profile(context)? else {
            let contexts = self.contexts(context, None);
            let results = self.back_up(&contexts, None)?;
            let exit = exit(&results);
            return tell(&contexts, results).map(|()| exit);
        };
        unattended::around(context, profile, &mut || {
            let contexts = self.contexts(context, Some(profile));
            let results = self.back_up(&contexts, Some(profile))?;
            for (context, result) in contexts.iter().zip(&results) {
                note_run(context, profile, result);
            }
            let ending = ending(&results);
            tell(&contexts, results)?;
            Ok(ending)
        })
    }

    /// One context for each vault: the one that is named, else those of the profile; and those that are named besides.
    fn contexts(&self, context: &Context, profile: Option<&Profile>) -> Vec<Context> {
        let mut contexts = match profile {
            Some(profile) if !context.names_vault() => {
                profile.vaults.iter().map(|vault| context.for_vault(&vault.value)).collect()
            }
            _ => vec![context.again()],
        };
        contexts.extend(self.also.iter().map(|location| context.for_vault(location)));
        contexts
    }

    /// The profile to take settings from: that which is named, or where no paths are given the usual one.
    fn chosen_profile<'c>(&self, context: &'c Context) -> Result<Option<&'c Profile>, CliError> {
        match &self.profile {
            Some(name) => Ok(Some(context.configuration()?.profile(name)?)),
            None if self.reads_nothing() => Ok(Some(context.configuration()?.usual_profile()?)),
            None => Ok(None),
        }
    }

    /// Whether nothing is named to be backed up.
    fn reads_nothing(&self) -> bool {
        self.paths.is_empty() && self.lists.is_empty() && !self.streams.is_stdin()
    }

    /// Backs up as the options say, and where they say nothing as the profile does.
    fn back_up(
        &self,
        contexts: &[Context],
        profile: Option<&Profile>,
    ) -> Result<Vec<Result<BackedUp, CliError>>, CliError> {
        let options = self.options(profile)?;
        let mut created = Vec::new();
        for context in contexts {
            created.push(self.init && !self.dry_run && self.make_vault(context)?);
        }
        let mut results = back_up_all(contexts, (options, self.streams.open(&self.paths)?))?;
        for (result, created_vault) in results.iter_mut().zip(created) {
            if let Ok(done) = result {
                done.created_vault = created_vault;
            }
        }
        Ok(results)
    }

    fn options(&self, profile: Option<&Profile>) -> Result<BackupOptions, CliError> {
        let mut options = profile.map_or_else(|| Ok(no_options()), options_of)?;
        let named = if self.streams.takes_command() { &[][..] } else { &self.paths[..] };
        let listed = self.lists.paths()?;
        if !named.is_empty() || !self.lists.is_empty() {
            options.paths = named.iter().cloned().chain(listed).collect();
        }
        options.recorded_time = self.time;
        options.dry_run = self.dry_run;
        options.partial_every = Some(Duration::from_secs(self.partial_every));
        let omit = self.omit.rules(Vec::new())?;
        options.omit.patterns.extend(omit.patterns);
        options.omit.caches |= omit.caches;
        options.omit.larger_than = omit.larger_than.or(options.omit.larger_than);
        options.omit.other_file_systems |= omit.other_file_systems;
        options.level = self.compression.unwrap_or(options.level);
        options
            .tags
            .extend(self.tag.iter().filter(|tag| !options.tags.contains(tag)).cloned().collect::<Vec<_>>());
        options.host = self.host.clone().unwrap_or(options.host);
        Ok(options)
    }

    /// Makes the vault unless there is one; tells whether it did.
    fn make_vault(&self, context: &Context) -> Result<bool, CliError> {
        let place = self.new.place(context)?;
        let is_to_be_named = matches!(place.location, Location::Server { vault: None, .. });
        match place.location.open(&context.access(&place.location)?).map_err(Error::from) {
            Err(error) if is_to_be_named || error.kind() == ErrorKind::NotFound => {}
            // Whatever else is wrong is told when the vault is opened.
            _ => return Ok(false),
        }
        let made = self.new.make(context, &place)?;
        context.ui.note(&format!("made a vault in {}", made.location));
        Ok(true)
    }
}

/// Says what was done in each vault: one document, or one summary after the other.
fn tell(contexts: &[Context], results: Vec<Result<BackedUp, CliError>>) -> Result<(), CliError> {
    let [context, ..] = contexts else { return Ok(()) };
    if let [_] = contexts {
        return results.into_iter().try_for_each(|result| result?.tell(context));
    }
    let documents = contexts.iter().zip(&results).map(|(context, result)| {
        let location = context.vault_text().unwrap_or_default();
        json::BackupOfMany::new(location, result.as_ref().map(BackedUp::document))
    });
    let documents = json::Backups::new(documents.collect());
    let mut text = String::new();
    for (context, result) in contexts.iter().zip(&results) {
        let vault = context.vault_text();
        match result {
            Ok(done) => {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "{}:\n{}", vault.unwrap_or_default(), done.text());
            }
            Err(error) => report::print(error, vault.as_deref(), context.ui.stderr.colored),
        }
    }
    context.ui.result(&documents, &text).map_err(CliError::Output)
}

/// The exit code of all results: if some vaults have the backup and others do not, it is incomplete.
fn exit(results: &[Result<BackedUp, CliError>]) -> Exit {
    let exits = || results.iter().map(|result| result.as_ref().map_or_else(CliError::exit, BackedUp::exit));
    let some_done = results.iter().any(Result::is_ok) && results.len() > 1;
    match unattended::worst(exits()) {
        Exit::Done => Exit::Done,
        Exit::Interrupted => Exit::Interrupted,
        _ if some_done => Exit::Incomplete,
        worst => worst,
    }
}

fn ending(results: &[Result<BackedUp, CliError>]) -> Ending {
    let snapshots = results.iter().flatten().map(|done| done.summary.snapshot.to_hex()).collect();
    let told =
        results.iter().map(|result| result.as_ref().map_or_else(report::in_one_line, BackedUp::headline));
    Ending { exit: exit(results), snapshots, message: told.collect::<Vec<_>>().join("; ") }
}

/// What a profile says, with nothing added.
pub(super) fn options_of(profile: &Profile) -> Result<BackupOptions, CliError> {
    let files: Vec<PathBuf> = profile.exclude_file.iter().map(|file| file.value.clone()).collect();
    let patterns = patterns::all(&profile.exclude, &files)?;
    let usual = no_options();
    Ok(BackupOptions {
        paths: profile.sources.iter().map(|source| source.value.clone()).collect(),
        omit: ops::backup::Omissions {
            patterns,
            directories: Vec::new(),
            caches: profile.exclude_caches,
            larger_than: profile.exclude_larger_than,
            other_file_systems: profile.one_file_system,
        },
        level: profile.compression.unwrap_or(usual.level),
        tags: profile.tags.clone(),
        host: profile.host.clone().unwrap_or(usual.host),
        ..usual
    })
}

/// What holds where nothing is said.
fn no_options() -> BackupOptions {
    BackupOptions {
        host: config::host(),
        program: concat!("vault ", env!("CARGO_PKG_VERSION")).to_owned(),
        partial_every: Some(PARTIAL_EVERY),
        ..BackupOptions::default()
    }
}
