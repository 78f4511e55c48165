//! `vault backup`: stores what changed and makes a snapshot.
//!
//! Asks for a passphrase only where this device is not registered in the vault yet.

use std::path::{Path, PathBuf};
use std::time::Instant;

use vault_core::chunk::compress::Level;
use vault_core::error::{Error, ErrorKind};
use vault_core::keys::device::DeviceKeys;
use vault_core::ops;
use vault_core::store::location::Location;
use vault_core::vault::Vault;

use super::init::NewVault;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::unlock::read_file;
use crate::{config, values};

/// Back up files and directories
///
/// Only what changed since the last backup is read and stored. It needs no passphrase once this device is registered, which
/// the first backup does. Interrupt it with Ctrl-C: what is stored is kept, and the next backup continues from there.
#[derive(Debug, clap::Args)]
#[command(mut_group("NewVault", |group| group.requires("init")))]
#[command(after_help = "Examples:\n  \
    vault backup --vault /mnt/disk/my-vault ~/Documents\n  \
    vault backup --init --vault ./my-vault --exclude '*.tmp' ~/Documents ~/Pictures")]
pub(crate) struct Backup {
    /// Files and directories to back up
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Make the vault if there is none
    #[arg(long)]
    init: bool,

    /// Leave out what matches PATTERN, as in a .gitignore file
    #[arg(long, value_name = "PATTERN", help_heading = "What to leave out")]
    exclude: Vec<String>,

    /// Leave out what matches a pattern in FILE, one on a line
    #[arg(long, value_name = "FILE", help_heading = "What to leave out")]
    exclude_file: Vec<PathBuf>,

    /// Leave out directories that are tagged as caches (CACHEDIR.TAG)
    #[arg(long, help_heading = "What to leave out")]
    exclude_caches: bool,

    /// Leave out files larger than SIZE, as in 500M or 2G
    #[arg(long, value_name = "SIZE", value_parser = values::size, help_heading = "What to leave out")]
    exclude_larger_than: Option<u64>,

    /// Stay on the file systems of the paths given
    #[arg(short = 'x', long, help_heading = "What to leave out")]
    one_file_system: bool,

    /// Find the snapshot by this word later
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// How hard to compress: fast, default, best, or -7 to 19
    #[arg(long, value_name = "LEVEL", value_parser = values::level, allow_negative_numbers = true)]
    compression: Option<Level>,

    /// Name of this machine in the snapshot [default: its host name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    #[command(flatten)]
    new: NewVault,
}

impl Backup {
    /// Backs up and says what was done.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let location = context.location()?;
        let mut options = self.options()?;
        let created_vault = self.init && self.make_vault(context, &location)?;
        let mut vault = context.open(&location)?;
        let device = context.device()?;
        if !vault.knows_device(&device) {
            enroll(context, &mut vault, &device)?;
        }
        options.omit.directories = own_directories(context, &location, &vault)?;

        let begun = Instant::now();
        let display = Display::new(context.ui);
        let summary = ops::backup::backup(&mut vault, &device, &options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        let problems = display.finish();

        let run = json::Run { created_vault, elapsed: begun.elapsed(), problems: &problems };
        let document = json::Backup::new(&vault.id().to_hex(), &summary, run);
        context.ui.result(&document, &summary::backup(&summary, run.elapsed)).map_err(CliError::Output)?;
        Ok(match (summary.partial, summary.counts.failed_entries) {
            (true, _) => Exit::Interrupted,
            (false, 0) => Exit::Done,
            (false, _) => Exit::Incomplete,
        })
    }

    fn options(&self) -> Result<ops::backup::BackupOptions, CliError> {
        Ok(ops::backup::BackupOptions {
            paths: self.paths.clone(),
            omit: ops::backup::Omissions {
                patterns: self.excludes()?,
                directories: Vec::new(),
                caches: self.exclude_caches,
                larger_than: self.exclude_larger_than,
                other_file_systems: self.one_file_system,
            },
            level: self.compression.unwrap_or(Level::DEFAULT),
            tags: self.tag.clone(),
            host: self.host.clone().unwrap_or_else(config::host),
            program: concat!("vault ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    fn excludes(&self) -> Result<Vec<String>, CliError> {
        let mut patterns = self.exclude.clone();
        for path in &self.exclude_file {
            let bytes = read_file(path)?;
            let text = str::from_utf8(&bytes).map_err(|_| CliError::NotText { path: path.clone() })?;
            patterns.extend(values::meaningful_lines(text).map(str::to_owned));
        }
        Ok(patterns)
    }

    /// Makes the vault unless there is one; tells whether it did.
    fn make_vault(&self, context: &Context, location: &Location) -> Result<bool, CliError> {
        match location.open().map_err(Error::from) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Whatever else is wrong is told when the vault is opened.
            _ => return Ok(false),
        }
        self.new.make(context, location)?;
        context.ui.note(&format!("made a vault in {location}"));
        Ok(true)
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
fn own_directories(context: &Context, location: &Location, vault: &Vault) -> Result<Vec<PathBuf>, CliError> {
    let local = context.directories()?.of_vault(vault.id());
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    Ok(location.directory().into_iter().chain([&*local.cache, &*local.state]).map(absolute).collect())
}
