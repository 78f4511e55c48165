//! The user's identity and this device's key: found, made, opened.
//!
//! Whatever is written here is readable by its owner only and never replaces what is there. An identity is opened in memory;
//! on disk it is sealed.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use vault_core::crypto::random::SystemRandom;
use vault_core::error::Error;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::{OpenError, Unlock};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity::AnyIdentity;
use vault_core::keys::identity_file::{IdentityFileError, UserIdentity};
use vault_core::keys::key_file::{read_private, write_private};

use crate::error::CliError;
use crate::paths::Directories;
use crate::ui::prompt;
use crate::unlock::{KeyOptions, ask};

/// How often a passphrase may be mistyped.
const ATTEMPTS: usize = 3;

/// The sealed identity of this machine, if it has one.
pub(crate) fn local(directories: &Directories) -> Result<Option<Vec<u8>>, CliError> {
    let path = directories.identity();
    if !exists(&path)? {
        return Ok(None);
    }
    Ok(Some(read_private(&path)?.to_vec()))
}

/// Keeps a sealed identity on this machine.
pub(crate) fn keep(directories: &Directories, sealed: &[u8]) -> Result<PathBuf, CliError> {
    let path = directories.identity();
    make_parent(directories, &path)?;
    write_private(&path, sealed)?;
    Ok(path)
}

/// The keys of this device, made at the first use.
pub(crate) fn device(directories: &Directories) -> Result<DeviceKeys, CliError> {
    let path = directories.device_key();
    if !exists(&path)? {
        make_parent(directories, &path)?;
        let keys = DeviceKeys::generate(&SystemRandom::new())?;
        write_private(&path, keys.encode().as_bytes())?;
    }
    let text = read_private(&path)?;
    DeviceKeys::parse(&text).map_err(|source| CliError::DeviceKey { path, source })
}

/// Opens one of several sealed identities, and takes the first that `accept` does not refuse as unknown to the vault.
///
/// With `--identity` these open; else a passphrase, which on a terminal may be mistyped.
pub(crate) fn open<T>(
    sealed: &[Vec<u8>],
    options: &KeyOptions,
    accept: &mut dyn FnMut(UserIdentity) -> Result<T, Error>,
) -> Result<T, CliError> {
    if sealed.is_empty() {
        return Err(CliError::NoIdentity);
    }
    if !options.identity_files().is_empty() {
        let identities = options.identities()?;
        return first_accepted(sealed, Key::Identities(&identities), accept);
    }
    if let Some(passphrase) = options.given_passphrase()? {
        return first_accepted(sealed, Key::Passphrase(&passphrase), accept);
    }
    if !sealed.iter().any(|file| opens_by_passphrase(file)) {
        return Err(CliError::Unlock(OpenError::NeedsIdentity));
    }
    for _ in 1..ATTEMPTS {
        let passphrase = ask("Passphrase")?;
        match first_accepted(sealed, Key::Passphrase(&passphrase), accept) {
            Err(CliError::Unlock(OpenError::WrongPassphrase)) => prompt::again(),
            result => return result,
        }
    }
    first_accepted(sealed, Key::Passphrase(&ask("Passphrase")?), accept)
}

/// Whether a passphrase could open a sealed identity; seen without one.
pub(crate) fn opens_by_passphrase(file: &[u8]) -> bool {
    let without_key = UserIdentity::open(file, Unlock::Identities(&[]));
    matches!(without_key, Err(IdentityFileError::Open(OpenError::NeedsPassphrase)))
}

/// What opens an identity.
#[derive(Clone, Copy)]
enum Key<'a> {
    Passphrase(&'a SecretString),
    Identities(&'a [AnyIdentity]),
}

impl<'a> Key<'a> {
    fn unlock(self) -> Unlock<'a> {
        match self {
            Self::Passphrase(passphrase) => Unlock::Passphrase(passphrase),
            Self::Identities(identities) => Unlock::Identities(identities),
        }
    }
}

/// Tries each sealed identity; where none is accepted, the error that says most is the result.
fn first_accepted<T>(
    sealed: &[Vec<u8>],
    key: Key<'_>,
    accept: &mut dyn FnMut(UserIdentity) -> Result<T, Error>,
) -> Result<T, CliError> {
    let mut refused: Option<CliError> = None;
    for file in sealed {
        let error = match UserIdentity::open(file, key.unlock()) {
            Ok(identity) => match accept(identity) {
                Err(error @ Error::NotAMember { .. }) => error.into(),
                result => return Ok(result?),
            },
            Err(error) => error.into(),
        };
        if refused.as_ref().is_none_or(|earlier| rank(&error) > rank(earlier)) {
            refused = Some(error);
        }
    }
    Err(refused.unwrap_or(CliError::NoIdentity))
}

/// How much an error says about what the user did: a wrong passphrase more than a file that another key would open.
fn rank(error: &CliError) -> u8 {
    match error {
        CliError::Core(_) => 4,
        CliError::Unlock(OpenError::WrongPassphrase | OpenError::IdentityLocked) => 3,
        CliError::Unlock(OpenError::NotForTheseIdentities) => 2,
        CliError::Unlock(OpenError::NeedsIdentity | OpenError::NeedsPassphrase) => 1,
        _ => 5,
    }
}

fn exists(path: &Path) -> Result<bool, CliError> {
    path.try_exists().map_err(|source| CliError::ReadFile { path: path.to_path_buf(), source })
}

fn make_parent(directories: &Directories, path: &Path) -> Result<(), CliError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    make_directory(parent).map_err(|source| own_directory(directories, parent, source))
}

/// Makes sure that a directory of ours exists and can be written.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Says that a directory of ours cannot be used, and which variable moves it.
pub(crate) fn own_directory(directories: &Directories, path: &Path, source: io::Error) -> CliError {
    CliError::OwnDirectory { path: path.to_path_buf(), variable: directories.variable_for(path), source }
}

/// Says which variable moves the directory that the library could not use.
pub(crate) fn explain(directories: &Directories, error: Error) -> CliError {
    match error {
        Error::Local { path, source, .. } if directories.variable_for(&path).is_some() => {
            own_directory(directories, &path, source)
        }
        error => CliError::Core(error),
    }
}

#[cfg(test)]
mod tests {
    use vault_core::id::VaultId;

    use super::*;

    fn passphrase(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn user() -> UserIdentity {
        UserIdentity::generate(&SystemRandom::new()).unwrap()
    }

    fn sealed(user: &UserIdentity, text: &str) -> Vec<u8> {
        user.seal_with_passphrase(&passphrase(text), Some(2)).unwrap()
    }

    #[test]
    fn the_identity_that_the_vault_knows_is_taken() {
        let (stranger, member) = (user(), user());
        let files = [sealed(&stranger, "p"), sealed(&member, "p")];
        let vault = VaultId::new([1; 32]);
        let mut accept = |user: UserIdentity| {
            if user.user_id() == member.user_id() {
                Ok(user.user_id())
            } else {
                Err(Error::NotAMember { vault })
            }
        };

        let found = first_accepted(&files, Key::Passphrase(&passphrase("p")), &mut accept);
        assert_eq!(found.unwrap(), member.user_id());

        let none = first_accepted(&files[..1], Key::Passphrase(&passphrase("p")), &mut accept);
        assert!(matches!(none, Err(CliError::Core(Error::NotAMember { .. }))));
    }

    #[test]
    fn nobody_is_asked_for_a_passphrase_that_opens_nothing() {
        let user = user();

        assert!(opens_by_passphrase(&sealed(&user, "p")));
        assert!(!opens_by_passphrase(&user.seal_to(&[user.recipient()]).unwrap()));
    }

    #[test]
    fn a_wrong_passphrase_says_more_than_a_file_for_another_key() {
        let user = user();
        let files = [sealed(&user, "p"), user.seal_to(&[user.recipient()]).unwrap()];

        let refused = first_accepted(&files, Key::Passphrase(&passphrase("q")), &mut |_| Ok(()));

        assert!(matches!(refused, Err(CliError::Unlock(OpenError::WrongPassphrase))));
    }
}
