//! What a command works with: the vault, the keys and the user, as the global options say.
//!
//! Nothing is opened before a command asks for it; so a command that needs no passphrase never asks for one.

use std::cell::OnceCell;

use jiff::tz::TimeZone;
use vault_core::crypto::random::SystemRandom;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::{SnapshotId, VaultId};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::ops::Surroundings;
use vault_core::ops::snapshots::snapshots;
use vault_core::store::location::Location;
use vault_core::vault::{Reader, Vault};

use crate::cli::Globals;
use crate::clock::SystemClock;
use crate::error::CliError;
use crate::paths::Directories;
use crate::places::{self, Known};
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{Ui, Verbosity};
use crate::unlock::KeyOptions;
use crate::{config, identity, signals};

/// The global options, and what was found out with them.
pub(crate) struct Context {
    pub(crate) ui: Ui,
    pub(crate) keys: KeyOptions,
    vault: Option<std::ffi::OsString>,
    directories: OnceCell<Directories>,
    clock: SystemClock,
    random: SystemRandom,
}

impl Context {
    /// Takes the global options.
    pub(crate) fn new(globals: Globals) -> Self {
        let verbosity = match (globals.quiet, globals.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        };
        Self {
            ui: Ui::new(globals.json, verbosity, !globals.no_progress),
            keys: globals.keys,
            vault: globals.vault.or_else(config::location),
            directories: OnceCell::new(),
            clock: SystemClock,
            random: SystemRandom::new(),
        }
    }

    /// The text that names the vault, for messages.
    pub(crate) fn vault_text(&self) -> Option<String> {
        self.vault.as_ref().map(|text| text.to_string_lossy().into_owned())
    }

    /// The vault's location.
    pub(crate) fn location(&self) -> Result<Location, CliError> {
        let text = self.vault.as_ref().ok_or(CliError::NoLocation)?;
        Ok(Location::parse(text)?)
    }

    /// Where this machine keeps its own files.
    pub(crate) fn directories(&self) -> Result<&Directories, CliError> {
        if let Some(directories) = self.directories.get() {
            return Ok(directories);
        }
        let found = Directories::find()?;
        Ok(self.directories.get_or_init(|| found))
    }

    /// Opens the vault and verifies its log.
    pub(crate) fn open(&self, location: &Location) -> Result<Vault, CliError> {
        let directories = self.directories()?;
        let store = location.open().map_err(Error::from)?;
        let found = store.vault_id;
        let local = directories.of_vault(&found);
        self.ui.verbose(&format!("vault {} in {location}", store.vault_id));
        for path in [&local.state, &local.cache] {
            self.ui.verbose(&format!("remembered in {}", path.display()));
            identity::make_directory(path)
                .map_err(|error| identity::own_directory(directories, path, error))?;
        }
        self.recognise(location, found)?;
        let remembered = local.state.clone();
        let vault = Vault::open(store, local).map_err(|error| match error {
            Error::History(_) if error.kind() == ErrorKind::Integrity => {
                CliError::History { error: error.into(), remembered }
            }
            error => identity::explain(directories, error),
        })?;
        self.remember_place(location, found)?;
        Ok(vault)
    }

    /// Refuses a vault that stands where another one stood before.
    fn recognise(&self, location: &Location, found: VaultId) -> Result<(), CliError> {
        let places = self.directories()?.places();
        let known = places::look_up(&places, location)
            .map_err(|source| CliError::ReadFile { path: places.clone(), source })?;
        match known {
            Known::Vault(expected) if expected != found => Err(CliError::OtherVault {
                location: location.to_string(),
                expected: expected.short(),
                found: found.short(),
                places,
            }),
            _ => Ok(()),
        }
    }

    /// Remembers which vault stands at a place, if that is news.
    pub(crate) fn remember_place(&self, location: &Location, vault: VaultId) -> Result<(), CliError> {
        let directories = self.directories()?;
        let places = directories.places();
        let write = || {
            if places::look_up(&places, location)? == Known::Vault(vault) {
                return Ok(());
            }
            places.parent().map_or(Ok(()), identity::make_directory)?;
            places::remember(&places, location, vault)
        };
        write().map_err(|source| CliError::OwnDirectory {
            variable: directories.variable_for(&places),
            path: places,
            source,
        })
    }

    /// The keys of this device.
    pub(crate) fn device(&self) -> Result<DeviceKeys, CliError> {
        identity::device(self.directories()?)
    }

    /// Opens the identity of a member: this machine's, or one that the vault keeps.
    pub(crate) fn with_identity<T>(
        &self,
        vault: &Vault,
        accept: &mut dyn FnMut(UserIdentity) -> Result<T, Error>,
    ) -> Result<T, CliError> {
        let mut sealed: Vec<Vec<u8>> = identity::local(self.directories()?)?.into_iter().collect();
        let of_vault = vault.sealed_identities()?;
        sealed.extend(of_vault.into_iter().filter(|file| sealed.first() != Some(file)).collect::<Vec<_>>());
        identity::open(&sealed, &self.keys, accept)
    }

    /// Unlocks the vault for reading.
    pub(crate) fn unlock(&self, vault: &Vault) -> Result<Reader, CliError> {
        self.with_identity(vault, &mut |identity| vault.unlock(&identity))
    }

    /// Finds the snapshot that the user named.
    pub(crate) fn snapshot(
        &self,
        vault: &Vault,
        reader: &Reader,
        spec: &Spec,
    ) -> Result<SnapshotId, CliError> {
        let id = spec::resolve(&snapshots(vault, reader)?, &spec.snapshot, &TimeZone::system())?;
        self.ui.verbose(&format!("snapshot {id}"));
        Ok(id)
    }

    /// What an operation needs, shown by `display`. From the first call on, Ctrl-C asks the operation to stop.
    pub(crate) fn around<'a>(&'a self, display: &'a Display) -> Result<Surroundings<'a>, CliError> {
        let stop = signals::stop_operation().map_err(CliError::Signals)?;
        Ok(Surroundings { clock: &self.clock, random: &self.random, progress: display, stop })
    }

    /// Says which variable moves a directory of ours, where that is what failed.
    pub(crate) fn explain(&self, error: Error) -> CliError {
        match self.directories.get() {
            Some(directories) => identity::explain(directories, error),
            None => error.into(),
        }
    }

    /// Randomness for keys.
    pub(crate) fn random(&self) -> &SystemRandom {
        &self.random
    }
}
