//! What the environment says: the variables that the command reads, and the name of the machine.
//!
//! Beside `paths` no other file reads the environment. A variable that is set to nothing counts as not set.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use vault_core::keys::SecretString;

/// Names a vault where `--vault` is not given.
pub(crate) const LOCATION: &str = "VAULT_LOCATION";
/// Names the configuration file where `--config` is not given.
pub(crate) const CONFIG: &str = "VAULT_CONFIG";
/// Holds the passphrase of the identity.
pub(crate) const PASSPHRASE: &str = "VAULT_PASSPHRASE";
/// Turns colours off (<https://no-color.org>).
const NO_COLOR: &str = "NO_COLOR";

/// The value of a variable.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The vault that the environment names.
pub(crate) fn location() -> Option<OsString> {
    variable(LOCATION)
}

/// The configuration file that the environment names.
pub(crate) fn configuration() -> Option<OsString> {
    variable(CONFIG)
}

/// The passphrase in the environment.
///
/// # Errors
///
/// The value is not text.
pub(crate) fn passphrase() -> Option<Result<SecretString, NotText>> {
    variable(PASSPHRASE).map(|value| value.into_string().map(SecretString::from).map_err(|_| NotText))
}

/// A value that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotText;

/// Whether colours may be used on a terminal.
pub(crate) fn colors_wanted() -> bool {
    variable(NO_COLOR).is_none() && variable("TERM").is_none_or(|term| term != "dumb")
}

/// The home directory, if there is one.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// The name of this machine, for the snapshots it makes.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// This program, by its absolute path.
pub(crate) fn program() -> std::io::Result<std::path::PathBuf> {
    env::current_exe()
}

/// Whether the user's services run while the user is not logged in, as far as that can be seen.
pub(crate) fn lingers() -> bool {
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    user.is_none_or(|user| std::path::Path::new("/var/lib/systemd/linger").join(user).exists())
}

/// User and group that the process acts as.
pub(crate) fn user_and_group() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Where a program is, among the directories that are searched for programs.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Whether the process may give files to other owners.
pub(crate) fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}
