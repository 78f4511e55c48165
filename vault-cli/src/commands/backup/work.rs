//! The work of a backup: into one vault or several, and what is told of each.
//!
//! The source is read once for all vaults. What goes wrong with one of them is its own result.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vault_core::error::Error;
use vault_core::keys::device::DeviceKeys;
use vault_core::ops;
use vault_core::ops::backup::{BackupOptions, Stream};
use vault_core::store::StoreError;
use vault_core::store::location::Location;
use vault_core::vault::Vault;

use crate::config::profile::Profile;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::unattended::record::{Record, Runs};

/// What a backup did, and the vault it was made in.
pub(in crate::commands) struct BackedUp {
    pub(in crate::commands) vault: Vault,
    pub(in crate::commands) summary: ops::backup::BackupSummary,
    pub(in crate::commands) problems: Vec<json::Problem>,
    pub(in crate::commands) elapsed: Duration,
    pub(in crate::commands) created_vault: bool,
    /// Whether nothing was stored.
    pub(in crate::commands) dry_run: bool,
}

/// Backs up into the vault of each context, with one reading of the source; what concerns one vault is its own result.
pub(in crate::commands) fn back_up_all(
    contexts: &[Context],
    (mut options, stream): (BackupOptions, Option<Stream>),
) -> Result<Vec<Result<BackedUp, CliError>>, CliError> {
    let Some(first) = contexts.first() else { return Ok(Vec::new()) };
    let device = first.device()?;
    let mut opened: Vec<Result<Vault, CliError>> = Vec::new();
    for context in contexts {
        opened.push(open(context, &device, &mut options.omit.directories));
    }
    let mut vaults: Vec<&mut Vault> = opened.iter_mut().filter_map(|vault| vault.as_mut().ok()).collect();
    if vaults.is_empty() {
        return Ok(opened.into_iter().filter_map(Result::err).map(Err).collect());
    }

    let begun = Instant::now();
    let display = Display::new(first.ui);
    let around = first.around(&display)?;
    let results = match stream {
        Some(stream) => ops::backup::backup_stream_to_all(&mut vaults, &device, (&options, stream), &around),
        None => ops::backup::backup_to_all(&mut vaults, &device, &options, &around),
    };
    let mut results = results.map_err(|error| first.explain(error))?.into_iter();
    let problems = display.finish();
    let backed_up = |(vault, context): (_, &Context)| {
        let vault: Vault = vault?;
        let summary = results.next().ok_or(CliError::NoLocation)?.map_err(|error| context.explain(error))?;
        let (elapsed, dry_run) = (begun.elapsed(), options.dry_run);
        Ok(BackedUp { vault, summary, problems: problems.clone(), elapsed, created_vault: false, dry_run })
    };
    Ok(opened.into_iter().zip(contexts).map(backed_up).collect())
}

/// Opens the vault of a context, and registers this device in it if need be.
pub(in crate::commands) fn open_registered(
    context: &Context,
    device: &DeviceKeys,
) -> Result<Vault, CliError> {
    let mut vault = context.open(&context.location()?).map_err(or_make)?;
    if !vault.knows_device(device) {
        enroll(context, &mut vault, device)?;
    }
    Ok(vault)
}

/// Says of a place without a vault that one can be made there.
fn or_make(error: CliError) -> CliError {
    match error {
        CliError::Core(Error::Store(error @ StoreError::NotAVault { .. })) => CliError::NoVaultYet(error),
        error => error,
    }
}

/// Opens the vault of a context, registers this device in it if need be, and adds what must not be backed up.
fn open(context: &Context, device: &DeviceKeys, never: &mut Vec<PathBuf>) -> Result<Vault, CliError> {
    let location = context.location()?;
    never.extend(location.directory().map(absolute));
    let vault = open_registered(context, device)?;
    never.extend(own_directories(context, &location, &vault)?);
    Ok(vault)
}

impl BackedUp {
    pub(in crate::commands) fn exit(&self) -> Exit {
        match (self.summary.partial, self.summary.counts.failed_entries) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Done,
            (false, _) => Exit::Incomplete,
        }
    }

    pub(in crate::commands) fn document(&self) -> json::Backup<'_> {
        let run =
            json::Run { created_vault: self.created_vault, elapsed: self.elapsed, problems: &self.problems };
        json::Backup::new(&self.vault.id().to_hex(), &self.summary, run).dry(self.dry_run)
    }

    /// What is told.
    pub(super) fn text(&self) -> String {
        if self.dry_run {
            summary::backup_dry(&self.summary, self.elapsed)
        } else {
            summary::backup(&self.summary, self.elapsed)
        }
    }

    /// The first line of it.
    pub(in crate::commands) fn headline(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    pub(super) fn tell(&self, context: &Context) -> Result<(), CliError> {
        context.ui.result(&self.document(), &self.text()).map_err(CliError::Output)
    }
}

/// Remembers how a backup of a profile ended; that this fails is told and changes nothing.
pub(in crate::commands) fn note_run(
    context: &Context,
    profile: &Profile,
    result: &Result<BackedUp, CliError>,
) {
    let exit = result.as_ref().map_or_else(CliError::exit, BackedUp::exit);
    let now = context.now().seconds;
    let note = |runs: &mut Runs| {
        runs.last_run = Some(now);
        runs.last_exit = Some(exit.code());
        if let (Exit::Done, Ok(done)) = (exit, result) {
            runs.last_success = Some(now);
            runs.last_snapshot = Some(done.summary.snapshot.to_hex());
        }
    };
    let vault = context.vault_text().unwrap_or_default();
    let noted = context
        .directories()
        .map(|directories| Record::update(&directories.runs(&profile.name), &vault, note));
    match noted {
        Ok(Ok(())) => {}
        Ok(Err(error)) => context.ui.warn(&format!("cannot remember how this run ended: {error}")),
        Err(error) => context.ui.warn(&format!("cannot remember how this run ended: {error}")),
    }
}

/// Registers this device, for which the user's identity is opened once.
fn enroll(context: &Context, vault: &mut Vault, device: &DeviceKeys) -> Result<(), CliError> {
    context
        .ui
        .note("this device backs up into the vault for the first time, so your identity is needed once");
    let identity = context.with_identity(vault, &mut Ok)?;
    let display = Display::new(context.ui);
    ops::enroll::enroll(vault, &identity, device, &context.around(&display)?)?;
    display.finish();
    context.ui.note(&format!(
        "registered device {}; from now on it backs up without asking",
        device.device_id().short()
    ));
    Ok(())
}

/// What must not be backed up: the vault itself and what this machine remembers about it.
pub(in crate::commands) fn own_directories(
    context: &Context,
    location: &Location,
    vault: &Vault,
) -> Result<Vec<PathBuf>, CliError> {
    let local = context.directories()?.of_vault(vault.id());
    Ok(location.directory().into_iter().chain([&*local.cache, &*local.state]).map(absolute).collect())
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}
