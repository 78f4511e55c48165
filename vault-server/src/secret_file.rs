//! Files with secrets in the data directory: made once, complete or not there, readable for their owner only.
//!
//! A secret is written under another name, made durable, and then given its own, so that no half of one is ever found.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use vault_core::crypto::random::{Random, RandomUnavailable};
use vault_core::crypto::secret::Secret;
use vault_core::crypto::sign::SigningKey;
use zeroize::Zeroizing;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// A file or directory cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could have read it.
    #[error("{path} can be read by others: chmod 600 {path}")]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// Not what belongs there.
    #[error("{path} does not hold a key")]
    Malformed {
        /// Which.
        path: PathBuf,
    },
    /// No randomness for a new key.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

impl SecretFileError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Makes a directory that only its owner can enter, and its parents, unless it is there.
pub fn private_directory(path: &Path) -> Result<(), SecretFileError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(SecretFileError::io(path))
}

/// Reads a secret; `None` if there is no file.
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretFileError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(SecretFileError::io(path))?,
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned() });
    }
    fs::read(path).map(Zeroizing::new).map(Some).map_err(SecretFileError::io(path))
}

/// Writes a secret, and makes it durable.
pub fn write(path: &Path, secret: &[u8]) -> Result<(), SecretFileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    private_directory(directory)?;
    let temporary = path.with_extension("new");
    let at = |source| SecretFileError::Io { path: temporary.clone(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(at)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(at)?;
    file.write_all(secret).and_then(|()| file.sync_all()).map_err(at)?;
    fs::rename(&temporary, path).map_err(SecretFileError::io(path))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(SecretFileError::io(directory))
}

/// The signing key kept in a file, which is made if it is not there.
pub fn signing_key(path: &Path, random: &dyn Random) -> Result<SigningKey, SecretFileError> {
    let Some(text) = read(path)? else {
        let key = SigningKey::generate(random)?;
        let text = Zeroizing::new(hex::encode(key.seed().expose()) + "\n");
        write(path, text.as_bytes())?;
        return Ok(key);
    };
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_ascii(), &mut *seed)
        .map_err(|_| SecretFileError::Malformed { path: path.to_owned() })?;
    Ok(SigningKey::from_seed(Secret::new(*seed)))
}

#[cfg(test)]
mod tests {
    use vault_core::crypto::random::SystemRandom;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/receipt.key");

        let made = signing_key(&path, &SystemRandom::new()).unwrap();
        let read = signing_key(&path, &SystemRandom::new()).unwrap();

        assert_eq!(made.verifying_key(), read.verifying_key());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("receipt.key");
        write(&path, b"not a key").unwrap();

        let malformed = signing_key(&path, &SystemRandom::new());
        assert!(matches!(malformed, Err(SecretFileError::Malformed { .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(signing_key(&path, &SystemRandom::new()), Err(SecretFileError::Exposed { .. })));
    }
}
