//! Where this machine keeps its own files: the directories of the XDG Base Directory specification.
//!
//! Beside `config` this is the only file that reads the environment. Nothing is made here; what is made later is readable
//! by its owner only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use vault_core::id::{GrantId, VaultId};
use vault_core::vault::LocalPaths;

/// Name of our directory inside each of the three.
const NAME: &str = "vault";

/// The directories of the command on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Directories {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    runtime: Option<PathBuf>,
}

/// Neither `HOME` nor the user database says where the home directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no home directory: HOME is not set")]
pub(crate) struct NoHome;

/// The user's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    etcetera::home_dir().ok().filter(|home| !home.as_os_str().is_empty())
}

/// The directory of the user's configurations.
pub(crate) fn config_home() -> Result<PathBuf, NoHome> {
    Ok(etcetera::base_strategy::Xdg::new().map_err(|_| NoHome)?.config_dir())
}

/// The variables that move our directories, as far as they are set: a run that has not the user's environment needs them.
pub(crate) fn environment() -> Vec<(&'static str, OsString)> {
    let value = |name: &'static str| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?));
    VARIABLES.into_iter().filter_map(value).collect()
}

/// The variables that move our directories.
const VARIABLES: [&str; 3] = ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"];

impl Directories {
    /// Finds the directories.
    pub(crate) fn find() -> Result<Self, NoHome> {
        let base = etcetera::base_strategy::Xdg::new().map_err(|_| NoHome)?;
        let state = base.state_dir().unwrap_or_else(|| base.home_dir().join(".local/state"));
        Ok(Self {
            config: base.config_dir().join(NAME),
            state: state.join(NAME),
            cache: base.cache_dir().join(NAME),
            runtime: base.runtime_dir().map(|directory| directory.join(NAME)),
        })
    }

    /// The user's identity, sealed.
    pub(crate) fn identity(&self) -> PathBuf {
        self.config.join("identity.age")
    }

    /// The configuration file, unless another is named.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The keys of this device.
    pub(crate) fn device_key(&self) -> PathBuf {
        self.config.join("device.key")
    }

    /// The directory of the agent's socket: gone when the user logs out, where the system has such a place.
    pub(crate) fn agent(&self) -> PathBuf {
        self.runtime.clone().unwrap_or_else(|| self.state.join("agent"))
    }

    /// Which vault stands at which place.
    pub(crate) fn places(&self) -> PathBuf {
        self.state.join("places")
    }

    /// What is remembered about the servers that were joined.
    pub(crate) fn servers(&self) -> PathBuf {
        self.state.join("servers")
    }

    /// The people one shares with.
    pub(crate) fn contacts(&self) -> PathBuf {
        self.state.join("contacts")
    }

    /// One's own contact card, where no server has it.
    pub(crate) fn own_card(&self) -> PathBuf {
        self.state.join("card.txt")
    }

    /// What is remembered about the runs of a profile.
    pub(crate) fn runs(&self, profile: &str) -> PathBuf {
        self.state.join("runs").join(profile)
    }

    /// The three directories, each with what it is for.
    pub(crate) fn all(&self) -> [(&'static str, &Path); 3] {
        [("config", &self.config), ("state", &self.state), ("cache", &self.cache)]
    }

    /// What is remembered about one vault.
    pub(crate) fn of_vault(&self, vault: &VaultId) -> LocalPaths {
        LocalPaths { state: self.state.join(vault.to_hex()), cache: self.cache.join(vault.to_hex()) }
    }

    /// What is remembered about one grant.
    pub(crate) fn of_grant(&self, grant: &GrantId) -> LocalPaths {
        let below = Path::new("grants").join(grant.to_hex());
        LocalPaths { state: self.state.join(&below), cache: self.cache.join(&below) }
    }

    /// The variable that moves a directory of ours to another place; `None` for a path that is not in one.
    pub(crate) fn variable_for(&self, path: &Path) -> Option<&'static str> {
        [(&self.config, "XDG_CONFIG_HOME"), (&self.state, "XDG_STATE_HOME"), (&self.cache, "XDG_CACHE_HOME")]
            .into_iter()
            .find(|(directory, _)| path.starts_with(directory) || directory.starts_with(path))
            .map(|(_, variable)| variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories() -> Directories {
        Directories {
            config: PathBuf::from("/h/.config/vault"),
            state: PathBuf::from("/h/.local/state/vault"),
            cache: PathBuf::from("/h/.cache/vault"),
            runtime: None,
        }
    }

    #[test]
    fn a_path_of_ours_names_the_variable_that_moves_it() {
        let directories = directories();

        assert_eq!(directories.variable_for(&directories.device_key()), Some("XDG_CONFIG_HOME"));
        assert_eq!(directories.variable_for(Path::new("/h/.cache/vault/00/index")), Some("XDG_CACHE_HOME"));
        assert_eq!(directories.variable_for(Path::new("/h/.local/state")), Some("XDG_STATE_HOME"));
        assert_eq!(directories.variable_for(Path::new("/mnt/vault")), None);
    }

    #[test]
    fn each_vault_has_its_own_directories() {
        let local = directories().of_vault(&VaultId::new([0xab; 32]));

        assert_eq!(local.state, Path::new("/h/.local/state/vault").join("ab".repeat(32)));
        assert_eq!(local.cache, Path::new("/h/.cache/vault").join("ab".repeat(32)));
    }
}
