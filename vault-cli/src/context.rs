//! What a command works with: the vault, the keys and the user, as the global options say.
//!
//! Nothing is opened before a command asks for it; so a command that needs no passphrase never asks for one.

mod access;
mod audit;
mod granted;

use std::cell::{OnceCell, RefCell};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use jiff::tz::TimeZone;
use vault_core::crypto::random::SystemRandom;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::{SnapshotId, VaultId};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::Head;
use vault_core::net::Server;
use vault_core::ops::Surroundings;
use vault_core::ops::snapshots::snapshots;
use vault_core::store::location::{Access, Location};
use vault_core::time::{Clock as _, Timestamp};
use vault_core::vault::{Reader, Vault};

use crate::cli::Globals;
use crate::clock::SystemClock;
use crate::config::file::VaultSettings;
use crate::config::{self, Configuration};
use crate::error::{CliError, ServerError};
use crate::filter::FilterOptions;
use crate::paths::Directories;
use crate::places::{self, Known};
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{Ui, Verbosity};
use crate::unlock::{Configured, KeyOptions};
use crate::{agent, identity, paths, signals};

pub(crate) use self::access::NewPlace;
pub(crate) use self::audit::own_card;

/// The global options, and what was found out with them.
pub(crate) struct Context {
    pub(crate) ui: Ui,
    keys: KeyOptions,
    /// Bytes that may be moved in a second.
    bandwidth: Option<u64>,
    /// What `--vault` says.
    vault: Option<OsString>,
    /// What `--config` says.
    config_file: Option<PathBuf>,
    chosen: OnceCell<Chosen>,
    /// The vault that was made where a name meant none before.
    made: OnceCell<Chosen>,
    configuration: OnceCell<Configuration>,
    directories: OnceCell<Directories>,
    /// Servers that were asked: their connections are kept.
    asked: Rc<RefCell<Vec<Arc<Server>>>>,
    /// Servers to look oneself up on when the work is done.
    due: audit::Due,
    /// The grant that is read in the place of a vault.
    grant: RefCell<Option<granted::OpenGrant>>,
    clock: SystemClock,
    random: SystemRandom,
}

/// The vault to work on.
#[derive(Debug, Clone)]
struct Chosen {
    /// The text that named it.
    text: OsString,
    /// Its name in the configuration.
    name: Option<String>,
    location: Location,
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
            bandwidth: globals.bandwidth,
            vault: globals.vault,
            config_file: globals.config,
            chosen: OnceCell::new(),
            made: OnceCell::new(),
            configuration: OnceCell::new(),
            directories: OnceCell::new(),
            asked: Rc::default(),
            due: Rc::default(),
            grant: RefCell::default(),
            clock: SystemClock,
            random: SystemRandom::new(),
        }
    }

    /// The same user's wishes for another vault of the configuration.
    pub(crate) fn for_vault(&self, name: &str) -> Self {
        Self { vault: Some(name.into()), ..self.again() }
    }

    /// The same user's wishes, with no vault chosen yet.
    pub(crate) fn again(&self) -> Self {
        Self {
            ui: self.ui,
            keys: self.keys.clone(),
            bandwidth: self.bandwidth,
            vault: self.vault.clone(),
            config_file: self.config_file.clone(),
            chosen: OnceCell::new(),
            made: OnceCell::new(),
            configuration: self.configuration.clone(),
            directories: self.directories.clone(),
            asked: Rc::clone(&self.asked),
            due: Rc::clone(&self.due),
            grant: RefCell::default(),
            clock: SystemClock,
            random: SystemRandom::new(),
        }
    }

    /// The text that names the vault, for messages.
    pub(crate) fn vault_text(&self) -> Option<String> {
        let chosen = self.chosen.get().map(|chosen| chosen.text.clone());
        let text = chosen.or_else(|| self.vault.clone()).or_else(config::location)?;
        Some(text.to_string_lossy().into_owned())
    }

    /// Whether an option or the environment names a vault.
    pub(crate) fn names_vault(&self) -> bool {
        self.vault.is_some() || config::location().is_some()
    }

    /// The time of this machine.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The vault's location.
    pub(crate) fn location(&self) -> Result<Location, CliError> {
        Ok(self.chosen()?.location.clone())
    }

    /// The location of the vault that stands before a snapshot, else of the one at hand.
    pub(crate) fn location_of(&self, spec: &Spec) -> Result<Location, CliError> {
        let Some(name) = &spec.vault else { return self.location() };
        match &self.vault {
            Some(option) if option != name.as_str() => {
                return Err(CliError::TwoVaults {
                    option: option.to_string_lossy().into_owned(),
                    named: name.clone(),
                });
            }
            _ => {}
        }
        if let Some(settings) = self.configuration()?.vaults.get(name) {
            let chosen = Chosen {
                text: name.into(),
                name: Some(name.clone()),
                location: Location::parse(&settings.location)?,
            };
            return Ok(self.chosen.get_or_init(|| chosen).location.clone());
        }
        if let Some(chosen) = self.named_on_server(name)? {
            return Ok(self.chosen.get_or_init(|| chosen).location.clone());
        }
        Err(ServerError::UnknownVault { name: name.clone(), known: self.known_names()? }.into())
    }

    /// The vault that the option names, or the environment, or the configuration if it has only one or one called `default`.
    fn chosen(&self) -> Result<&Chosen, CliError> {
        if let Some(chosen) = self.made.get().or_else(|| self.chosen.get()) {
            return Ok(chosen);
        }
        let text = match self.vault.clone().or_else(config::location) {
            Some(text) => text,
            None => self.usual_vault()?.into(),
        };
        // What has a slash is a place: that needs no configuration, and a broken one is not in the way of a restore.
        let name = text.to_str().filter(|text| !text.contains('/'));
        let settings = match name {
            Some(name) => self.configuration()?.vaults.get(name),
            None => None,
        };
        if let Some(name) = name.filter(|_| settings.is_none())
            && let Some(chosen) = self.unconfigured(name)?
        {
            return Ok(self.chosen.get_or_init(|| chosen));
        }
        let location = Location::parse(settings.map_or(&text, |settings| &settings.location))?;
        let name = settings.and(name).map(str::to_owned);
        let chosen = Chosen { text: text.clone(), name, location };
        Ok(self.chosen.get_or_init(|| chosen))
    }

    /// The vault that is meant where none is named.
    fn usual_vault(&self) -> Result<String, CliError> {
        if let Some(configured) = self.configuration()?.usual_vault() {
            return Ok(configured.to_owned());
        }
        let of_server = if self.configuration()?.vaults.is_empty() { self.usual_on_server()? } else { None };
        of_server.ok_or(CliError::NoLocation)
    }

    /// What a bare word means that is not in the configuration: a vault on a server, or else a directory. Who has joined a server
    /// and mistypes a name is told the names.
    fn unconfigured(&self, name: &str) -> Result<Option<Chosen>, CliError> {
        if let Some(chosen) = self.named_on_server(name)? {
            return Ok(Some(chosen));
        }
        if Path::new(name).exists() || self.servers()?.all()?.is_empty() {
            return Ok(None);
        }
        Err(ServerError::UnknownVault { name: name.to_owned(), known: self.known_names()? }.into())
    }

    /// What the configuration says about the vault at hand.
    fn settings(&self) -> Result<Option<&VaultSettings>, CliError> {
        match &self.chosen()?.name {
            Some(name) => Ok(self.configuration()?.vaults.get(name)),
            None => Ok(None),
        }
    }

    /// Where keys come from, with nothing from the configuration.
    pub(crate) fn keys_alone(&self) -> KeyOptions {
        self.keys.clone()
    }

    /// Where keys come from, for the vault at hand.
    pub(crate) fn keys(&self) -> Result<KeyOptions, CliError> {
        let mut keys = self.keys.clone();
        if let Some(settings) = self.settings()? {
            keys.configured = Configured {
                passphrase_command: settings.passphrase_command.clone(),
                identity: settings.identity.clone(),
                unlock_for: settings.unlock_for,
            };
        }
        Ok(keys)
    }

    /// The configuration file, and whether it was named.
    pub(crate) fn configuration_file(&self) -> Result<(PathBuf, bool), CliError> {
        let named = self.config_file.clone().or_else(|| config::configuration().map(PathBuf::from));
        match named {
            Some(path) => Ok((path, true)),
            None => Ok((self.directories()?.configuration(), false)),
        }
    }

    /// What the configuration file says; nothing if there is none.
    pub(crate) fn configuration(&self) -> Result<&Configuration, CliError> {
        if let Some(configuration) = self.configuration.get() {
            return Ok(configuration);
        }
        let read = match self.configuration_file() {
            Ok((path, named)) => Configuration::load(&path, named, paths::home().as_deref())?,
            // Without a home directory there is no file; who needs the directory says so.
            Err(CliError::NoHome(_)) => Configuration::default(),
            Err(error) => return Err(error),
        };
        Ok(self.configuration.get_or_init(|| read))
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
        self.open_knowing(location, None)
    }

    /// As [`Self::open`]; where this machine remembers nothing about the vault, its log must extend `known`.
    pub(crate) fn open_knowing(&self, location: &Location, known: Option<Head>) -> Result<Vault, CliError> {
        self.open_through(location, known, &self.access(location)?)
    }

    /// As [`Self::open_knowing`], by this access.
    pub(crate) fn open_through(
        &self,
        location: &Location,
        known: Option<Head>,
        access: &Access,
    ) -> Result<Vault, CliError> {
        let directories = self.directories()?;
        let store = location.open(access).map_err(Error::from)?;
        let store = self.limited(store);
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
        let vault = Vault::open_knowing(store, local, known).map_err(|error| match error {
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

    /// The keys of this device, if it has any; none are made.
    pub(crate) fn known_device(&self) -> Result<Option<DeviceKeys>, CliError> {
        let directories = self.directories()?;
        if directories.device_key().exists() { identity::device(directories).map(Some) } else { Ok(None) }
    }

    /// Opens the identity of a member: one that the agent keeps, this machine's, or one that the vault keeps.
    pub(crate) fn with_identity<T>(
        &self,
        vault: &Vault,
        accept: &mut dyn FnMut(UserIdentity) -> Result<T, Error>,
    ) -> Result<T, CliError> {
        let keys = self.keys()?;
        if !keys.are_given() {
            for identity in agent::give(&self.directories()?.agent()) {
                match accept(identity) {
                    Err(Error::NotAMember { .. }) => {}
                    result => return Ok(result?),
                }
            }
        }
        let Some(time) = keys.unlock_for() else { return self.with_opened_identity(vault, accept) };
        let mut secret = None;
        let opened = self.with_opened_identity(vault, &mut |identity| {
            let text = identity.to_secret_text();
            let accepted = accept(identity)?;
            secret = Some(text);
            Ok(accepted)
        })?;
        let kept = secret.map(|secret| {
            agent::keep(&self.directories()?.agent(), &secret, time).map_err(CliError::from_agent)
        });
        if let Some(Err(error)) = kept {
            self.ui.warn(&crate::report::in_one_line(&error));
        }
        Ok(opened)
    }

    /// As [`Self::with_identity`], with the passphrase or key itself and not what the agent keeps.
    pub(crate) fn with_opened_identity<T>(
        &self,
        vault: &Vault,
        accept: &mut dyn FnMut(UserIdentity) -> Result<T, Error>,
    ) -> Result<T, CliError> {
        let mut sealed: Vec<Vec<u8>> = identity::local(self.directories()?)?.into_iter().collect();
        let of_vault = vault.sealed_identities()?;
        sealed.extend(of_vault.into_iter().filter(|file| sealed.first() != Some(file)).collect::<Vec<_>>());
        identity::open(&sealed, &self.keys()?, accept)
    }

    /// The identity of a member.
    pub(crate) fn own_identity(&self, vault: &Vault) -> Result<UserIdentity, CliError> {
        self.with_identity(vault, &mut |identity| match vault.state().member(&identity.user_id()) {
            Some(_) => Ok(identity),
            None => Err(Error::NotAMember { vault: *vault.id() }),
        })
    }

    /// Unlocks the vault for reading; a grant has its own keys.
    pub(crate) fn unlock(&self, vault: &Vault) -> Result<Reader, CliError> {
        if let Some(reader) = self.reader_of_grant() {
            return Ok(reader);
        }
        self.with_identity(vault, &mut |identity| vault.unlock(&identity))
    }

    /// Finds the snapshot that the user named.
    pub(crate) fn snapshot(
        &self,
        vault: &Vault,
        reader: &Reader,
        spec: &Spec,
    ) -> Result<SnapshotId, CliError> {
        if let Some(id) = self.snapshot_of_grant(spec)? {
            return Ok(id);
        }
        self.refuse_another_vault(spec)?;
        let id = spec::resolve(&snapshots(vault, reader)?, &spec.snapshot, &TimeZone::system())?;
        self.ui.verbose(&format!("snapshot {id}"));
        Ok(id)
    }

    /// Finds the snapshot that the user named among those that `filter` takes.
    pub(crate) fn snapshot_among(
        &self,
        vault: &Vault,
        reader: &Reader,
        spec: &Spec,
        filter: &FilterOptions,
    ) -> Result<SnapshotId, CliError> {
        if filter.filter().is_empty() || spec.grant().is_some() {
            return self.snapshot(vault, reader, spec);
        }
        self.refuse_another_vault(spec)?;
        let list = filter.narrow(snapshots(vault, reader)?);
        let id = spec::resolve(&list, &spec.snapshot, &TimeZone::system())?;
        self.ui.verbose(&format!("snapshot {id}"));
        Ok(id)
    }

    /// Refuses a snapshot that is said to be in another vault than the one that is open.
    fn refuse_another_vault(&self, spec: &Spec) -> Result<(), CliError> {
        match &spec.vault {
            Some(named) if self.chosen()?.name.as_ref() != Some(named) => Err(CliError::TwoVaults {
                option: self.vault_text().unwrap_or_default(),
                named: named.clone(),
            }),
            _ => Ok(()),
        }
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
