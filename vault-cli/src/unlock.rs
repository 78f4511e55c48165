//! Where secrets come from: passphrases from one of four sources, age identities from files.
//!
//! A secret comes from a file, a command, the environment or the terminal, never from an argument, where every process of
//! the machine could see it.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use vault_core::keys::identity::{AnyIdentity, AskPassphrase, parse_identity_file};
use vault_core::keys::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::error::CliError;
use crate::ui::{human, prompt};
use crate::{config, values};

/// The longest passphrase file or key file that is read: far more than any has.
const LONGEST_FILE: u64 = 1 << 20;

/// Where passphrases and identities come from.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyOptions {
    /// Read the passphrase from the first line of FILE
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Take the first line that COMMAND prints as passphrase
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) passphrase_command: Option<OsString>,

    /// Open with an age identity file or ssh-ed25519 key
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,

    /// Let this passphrase serve for TIME, as in 15m; `vault lock` ends it
    #[arg(long, global = true, value_name = "TIME", value_parser = values::span)]
    pub(crate) unlock_for: Option<Duration>,

    /// What the configuration says for the vault at hand.
    #[arg(skip)]
    pub(crate) configured: Configured,
}

/// Where the configuration says that keys come from; options and the environment come first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configured {
    pub(crate) passphrase_command: Option<OsString>,
    pub(crate) identity: Vec<PathBuf>,
    pub(crate) unlock_for: Option<Duration>,
}

impl KeyOptions {
    /// Whether an option or the environment says what opens the identity.
    pub(crate) fn are_given(&self) -> bool {
        self.has_passphrase() || !self.identity.is_empty()
    }

    /// For how long one passphrase serves; not at all unless that is asked for.
    pub(crate) fn unlock_for(&self) -> Option<Duration> {
        self.unlock_for.or(self.configured.unlock_for).filter(|time| !time.is_zero())
    }

    fn has_passphrase(&self) -> bool {
        self.passphrase_file.is_some() || self.passphrase_command.is_some() || config::passphrase().is_some()
    }

    /// The passphrase, if it comes from anywhere but the terminal.
    pub(crate) fn given_passphrase(&self) -> Result<Option<SecretString>, CliError> {
        if let Some(path) = &self.passphrase_file {
            return first_line_of_file(path).map(Some);
        }
        if let Some(command) = &self.passphrase_command {
            return first_line_of_command(command).map(Some);
        }
        if let Some(passphrase) = config::passphrase() {
            return passphrase.map(Some).map_err(|config::NotText| CliError::PassphraseNotText);
        }
        self.configured.passphrase_command.as_ref().map(first_line_of_command).transpose()
    }

    /// The files to open with instead of a passphrase: those of the options, or where no passphrase is given those configured.
    pub(crate) fn identity_files(&self) -> &[PathBuf] {
        if self.identity.is_empty() && !self.has_passphrase() {
            &self.configured.identity
        } else {
            &self.identity
        }
    }

    /// A new passphrase: on the terminal it is asked for twice.
    pub(crate) fn new_passphrase(&self) -> Result<SecretString, CliError> {
        let passphrase = match self.given_passphrase()? {
            Some(passphrase) => passphrase,
            None => ask_twice("New passphrase")?,
        };
        if passphrase.expose_secret().is_empty() { Err(CliError::EmptyPassphrase) } else { Ok(passphrase) }
    }

    /// The identities in the files given. The passphrase of an encrypted ssh key is asked for when it is used.
    pub(crate) fn identities(&self) -> Result<Vec<AnyIdentity>, CliError> {
        let mut identities = Vec::new();
        for path in self.identity_files() {
            let bytes = read_file(path)?;
            let name = human::path(path);
            let (given, question) = (self.clone(), format!("Passphrase of {name}"));
            let ask = AskPassphrase(move || match given.given_passphrase() {
                Ok(Some(passphrase)) => Some(passphrase),
                Ok(None) => ask(&question).ok(),
                Err(_) => None,
            });
            let of_file = parse_identity_file(&bytes, Some(&name), ask)
                .map_err(|source| CliError::Identity { path: path.clone(), source })?;
            identities.extend(of_file);
        }
        Ok(identities)
    }
}

/// Asks on the terminal.
pub(crate) fn ask(question: &str) -> Result<SecretString, CliError> {
    if !prompt::possible() {
        return Err(CliError::NoPassphrase);
    }
    prompt::passphrase(question).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => CliError::Interrupted,
        _ => CliError::Terminal(error),
    })
}

/// Asks for a passphrase that is made up now, twice.
pub(crate) fn ask_twice(question: &str) -> Result<SecretString, CliError> {
    let first = ask(question)?;
    if first.expose_secret().is_empty() {
        return Err(CliError::EmptyPassphrase);
    }
    let second = ask("The same again")?;
    if first.expose_secret() == second.expose_secret() { Ok(first) } else { Err(CliError::PassphrasesDiffer) }
}

/// Reads a file that an option names.
pub(crate) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
    read_file_of(path, LONGEST_FILE)
}

/// As [`read_file`], of so many bytes at most.
pub(crate) fn read_file_of(path: &Path, longest: u64) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let read = || -> io::Result<_> {
        let mut bytes = Zeroizing::new(Vec::new());
        std::fs::File::open(path)?.take(longest).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| CliError::ReadFile { path: path.to_path_buf(), source })
}

/// The first line of a file, as a passphrase.
pub(crate) fn first_line_of_file(path: &Path) -> Result<SecretString, CliError> {
    let bytes = read_file(path)?;
    first_line(&bytes).ok_or_else(|| CliError::NotText { path: path.to_path_buf() })
}

fn first_line_of_command(command: &OsString) -> Result<SecretString, CliError> {
    let name = || command.to_string_lossy().into_owned();
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| CliError::PassphraseCommand { command: name(), source })?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(CliError::PassphraseCommandFailed { command: name(), status: output.status });
    }
    first_line(&printed).ok_or_else(|| CliError::PassphraseCommand {
        command: name(),
        source: io::Error::new(io::ErrorKind::InvalidData, "what it prints is not text in UTF-8"),
    })
}

/// The first line without its end; `None` if it is not UTF-8.
fn first_line(bytes: &[u8]) -> Option<SecretString> {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    str::from_utf8(line).ok().map(|line| SecretString::from(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(command: &str) -> KeyOptions {
        KeyOptions { passphrase_command: Some(command.into()), ..KeyOptions::default() }
    }

    fn given(options: &KeyOptions) -> String {
        options.given_passphrase().unwrap().unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_passphrase_is_the_first_line_without_its_end() {
        let line = |bytes: &[u8]| first_line(bytes).map(|line| line.expose_secret().to_owned());

        assert_eq!(line(b"correct horse\nsecond"), Some("correct horse".to_owned()));
        assert_eq!(line(b" with spaces \r\n"), Some(" with spaces ".to_owned()));
        assert_eq!(line(b"no end"), Some("no end".to_owned()));
        assert_eq!(line(b""), Some(String::new()));
        assert_eq!(line(b"\xff"), None);
    }

    #[test]
    fn a_command_gives_the_passphrase_and_a_file_comes_first() {
        assert_eq!(given(&options("echo one; echo two")), "one");

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from the file\n").unwrap();
        let both = KeyOptions { passphrase_file: Some(file.path().to_owned()), ..options("echo one") };

        assert_eq!(given(&both), "from the file");
    }

    #[test]
    fn a_command_that_fails_gives_no_passphrase() {
        let result = options("echo secret; exit 3").given_passphrase();

        assert!(matches!(result, Err(CliError::PassphraseCommandFailed { .. })));
    }

    #[test]
    fn a_new_passphrase_is_not_empty() {
        assert!(matches!(options("true").new_passphrase(), Err(CliError::EmptyPassphrase)));
    }
}
