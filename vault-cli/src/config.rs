//! What the environment says: the variables that the command reads, and the name of the machine.
//!
//! Beside `paths` this is the only file that reads the environment. A variable that is set to nothing counts as not set.

use std::env;
use std::ffi::OsString;

use vault_core::keys::SecretString;

/// Names a vault where `--vault` is not given.
pub(crate) const LOCATION: &str = "VAULT_LOCATION";
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

/// The name of this machine, for the snapshots it makes.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether the process may give files to other owners.
pub(crate) fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}
