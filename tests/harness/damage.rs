//! Damage to a vault on disk: what can happen to a file, and to which files it can happen.
//!
//! Damage is always real: after [`Action::apply`] the bytes under the name are other ones, or gone.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use vault_core::store::ObjectKey;

use crate::TestVault;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// One bit of the byte at this many thousandths of its length is another.
    Flip(u32),
    /// It ends after this many thousandths of its length.
    Truncate(u32),
    /// It is gone.
    Delete,
    /// It has the contents of another file of its kind, and that one has its.
    Swap,
}

/// A kind of file in a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A pack.
    Pack,
    /// An index object.
    Index,
    /// A statement of the log.
    Statement,
    /// The envelope with a member's keys.
    MemberEnvelope,
    /// The envelope with a device's keys.
    WriterEnvelope,
    /// A user's sealed identity.
    Identity,
    /// The file that says what the directory is.
    VaultFile,
}

impl Action {
    /// Each action, with the places that have shown to differ: beginning, middle, end.
    pub const ALL: [Self; 9] = [
        Self::Flip(0),
        Self::Flip(500),
        Self::Flip(999),
        Self::Flip(1000),
        Self::Truncate(0),
        Self::Truncate(500),
        Self::Truncate(1000),
        Self::Delete,
        Self::Swap,
    ];

    /// Does it to `file`. `other` is a file of the same kind for [`Action::Swap`].
    pub fn apply(self, file: &Path, other: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let at = |thousandths: u32| (bytes.len() * thousandths as usize / 1000).min(bytes.len() - 1);
        match self {
            Self::Flip(thousandths) => {
                let at = at(thousandths);
                bytes[at] ^= 1;
                fs::write(file, bytes).unwrap();
            }
            Self::Truncate(thousandths) => {
                let length = at(thousandths);
                fs::write(file, &bytes[..length]).unwrap();
            }
            Self::Delete => fs::remove_file(file).unwrap(),
            Self::Swap => {
                let others = fs::read(other).unwrap();
                assert_ne!(bytes, others, "a swap must change something");
                fs::write(file, others).unwrap();
                fs::write(other, bytes).unwrap();
            }
        }
    }
}

impl Target {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Pack,
        Self::Index,
        Self::Statement,
        Self::MemberEnvelope,
        Self::WriterEnvelope,
        Self::Identity,
        Self::VaultFile,
    ];

    /// The files of the kind, by name.
    pub fn files(self, vault: &TestVault) -> Vec<PathBuf> {
        let mut files = files_below(&vault.root());
        let root = vault.root();
        files.retain(|path| self.is(path.strip_prefix(&root).unwrap(), vault));
        files
    }

    fn is(self, path: &Path, vault: &TestVault) -> bool {
        let user = *vault.identity.user_id().as_bytes();
        match ObjectKey::parse(path.to_str().unwrap()) {
            Some(ObjectKey::Pack(_)) => self == Self::Pack,
            Some(ObjectKey::Index(_)) => self == Self::Index,
            Some(ObjectKey::Statement(_)) => self == Self::Statement,
            Some(ObjectKey::Envelope { addressee, .. }) if addressee == user => self == Self::MemberEnvelope,
            Some(ObjectKey::Envelope { .. }) => self == Self::WriterEnvelope,
            Some(ObjectKey::Identity(_)) => self == Self::Identity,
            None => self == Self::VaultFile && path == Path::new("VAULT"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// All regular files below a directory, sorted.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

/// Copies a directory of files and directories.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}
