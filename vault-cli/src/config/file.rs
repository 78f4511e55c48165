//! The configuration file: named vaults and profiles, in TOML.
//!
//! A file is used whole or not at all: with one problem in it nothing of it is in force, so that a mistyped key never means that
//! something is silently not done. It may hold commands, so others must not be able to write it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;
use vault_core::store::location::Location;

use super::profile::{self, Profile};
use super::section::{Problem, Section, Source};
use crate::spec;
use crate::values;

/// The longest file that is read.
const LONGEST: u64 = 1 << 20;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Configuration {
    /// The vaults, by name.
    pub(crate) vaults: BTreeMap<String, VaultSettings>,
    /// The profiles, by name.
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// Where a vault is and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VaultSettings {
    /// Where it is, with the home directory put in.
    pub(crate) location: OsString,
    /// Prints the passphrase.
    pub(crate) passphrase_command: Option<OsString>,
    /// Files that open the identity.
    pub(crate) identity: Vec<PathBuf>,
    /// How long one passphrase serves.
    pub(crate) unlock_for: Option<Duration>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may write it.
    #[error("the configuration {path:?} may be written by others, and it holds commands")]
    Loose {
        /// The file.
        path: PathBuf,
    },
    /// Something in it is wrong.
    #[error("the configuration {path:?} cannot be used: {}", first(problems))]
    Problems {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// A profile is named that it does not have.
    #[error("there is no profile {name:?} in the configuration")]
    NoProfile {
        /// The name.
        name: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// No profile is named, and there is not only one.
    #[error("no paths and no profile are given")]
    WhichProfile {
        /// The profiles there are.
        known: Vec<String>,
    },
}

fn first(problems: &[Problem]) -> String {
    let Some(first) = problems.first() else { return "it is not understood".to_owned() };
    let more = match problems.len() {
        1 => String::new(),
        2 => ", and 1 more problem".to_owned(),
        count => format!(", and {} more problems", count - 1),
    };
    match first.line {
        0 => format!("{}{more}", first.message),
        line => format!("line {line}: {}{more}", first.message),
    }
}

impl Configuration {
    /// Reads a file; one that does not exist is empty unless it was asked for by name.
    pub(crate) fn load(path: &Path, named: bool, home: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(text) = read(path, named)? else { return Ok(Self::default()) };
        let (configuration, problems) = parse(&text, home);
        if problems.is_empty() {
            Ok(configuration)
        } else {
            Err(ConfigError::Problems { path: path.to_owned(), problems })
        }
    }

    /// The profile of that name.
    pub(crate) fn profile(&self, name: &str) -> Result<&Profile, ConfigError> {
        self.profiles.get(name).ok_or_else(|| ConfigError::NoProfile {
            name: name.to_owned(),
            known: self.profiles.keys().cloned().collect(),
        })
    }

    /// The profile that is meant where none is named: the only one, or that called `default`.
    pub(crate) fn usual_profile(&self) -> Result<&Profile, ConfigError> {
        usual(&self.profiles)
            .map(|(_, profile)| profile)
            .ok_or_else(|| ConfigError::WhichProfile { known: self.profiles.keys().cloned().collect() })
    }

    /// The vault that is meant where none is named, with its name.
    pub(crate) fn usual_vault(&self) -> Option<&str> {
        usual(&self.vaults).map(|(name, _)| name)
    }
}

/// The only entry, or the one called `default`.
fn usual<T>(entries: &BTreeMap<String, T>) -> Option<(&str, &T)> {
    let mut all = entries.iter();
    let only = all.next().filter(|_| all.next().is_none());
    only.or_else(|| entries.get_key_value("default")).map(|(name, entry)| (name.as_str(), entry))
}

/// Reads the text of the file; `None` if there is none and none was named.
pub(crate) fn read(path: &Path, named: bool) -> Result<Option<String>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        // A directory above it that is a file is as good as none.
        Err(error) if !named && absent(&error) => return Ok(None),
        file => file.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o022 != 0 {
        return Err(ConfigError::Loose { path: path.to_owned() });
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, LONGEST), &mut text).map_err(failed)?;
    Ok(Some(text))
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads a configuration, as far as it can be understood, and finds everything that is wrong with it.
pub(crate) fn parse(text: &str, home: Option<&Path>) -> (Configuration, Vec<Problem>) {
    let source = Source::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        source.error(&error.span().unwrap_or(0..0), error.message().replace('\n', ", "));
    }
    let root = Section::root(&source, table.get_ref());
    let mut configuration = Configuration::default();
    if let Some(vaults) = root.section("vaults") {
        for (name, section) in vaults.named_sections() {
            configuration.vaults.insert(name.to_owned(), vault(name, section, home));
        }
    }
    if let Some(profiles) = root.section("profiles") {
        for (name, section) in profiles.named_sections() {
            check_name(name, &section);
            configuration.profiles.insert(name.to_owned(), profile::read(name, section, home));
        }
    }
    root.finish();
    for profile in configuration.profiles.values() {
        for vault in profile.vaults.iter().filter(|vault| !configuration.vaults.contains_key(&vault.value)) {
            let known = configuration.vaults.keys().map(String::as_str);
            let hint = super::section::alike(&vault.value, known)
                .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            source.error_on(
                vault.line,
                format!("profiles.{}.vaults: there is no vault {:?}{hint}", profile.name, vault.value),
            );
        }
    }
    drop(table);
    (configuration, source.into_problems())
}

fn vault(name: &str, section: Section<'_>, home: Option<&Path>) -> VaultSettings {
    check_name(name, &section);
    if spec::is_snapshot(name) {
        section
            .error("a vault cannot be called what could be a snapshot: latest, a date, or digits of an id");
    }
    if name == spec::INBOX {
        section.error("a vault cannot be called inbox: that is what you were given");
    }
    let location = section.parsed("location", |text| place(text, home));
    if !section.has("location") {
        section.error("location is missing: where is the vault?");
    }
    // Everything is asked for, also where there is no place: what is not asked for counts as unknown.
    let settings = VaultSettings {
        location: location.unwrap_or_default(),
        passphrase_command: section.text("passphrase-command").map(OsString::from),
        identity: unlocated(section.list("identity", |text| absolute(text, home))),
        unlock_for: section.parsed("unlock-for", values::span),
    };
    section.finish();
    settings
}

/// Names stand before colons and in file names.
fn check_name(name: &str, section: &Section<'_>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || name.starts_with('-') {
        section.error("a name has letters, digits, - and _ only, at most 64");
    }
}

/// The values alone.
pub(super) fn unlocated<T>(items: Vec<super::section::Located<T>>) -> Vec<T> {
    items.into_iter().map(|item| item.value).collect()
}

/// A location, with the home directory put in.
fn place(text: &str, home: Option<&Path>) -> Result<OsString, String> {
    let location = if text.contains("://") { OsString::from(text) } else { absolute(text, home)?.into() };
    Location::parse(&location).map_err(|error| error.to_string())?;
    Ok(location)
}

/// A path that means the same wherever the command is run.
pub(super) fn absolute(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_), None) => return Err("~ is used, but there is no home directory".to_owned()),
        (None, Some(home)) if text == "~" => home.to_owned(),
        (None, _) => PathBuf::from(text),
    };
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("{text:?} depends on the working directory; begin it with / or ~/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let (_, problems) = parse(text, Some(Path::new("/h")));
        problems.into_iter().map(|problem| format!("{}: {}", problem.line, problem.message)).collect()
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let (configuration, problems) = parse(super::super::example::TEXT, Some(Path::new("/h")));

        assert_eq!(problems, []);
        assert_eq!(configuration.vaults["photos"].location, "/mnt/disk/photos");
        let profile = configuration.usual_profile().unwrap();
        assert_eq!(profile.name, "home");
        assert_eq!(profile.sources[0].value, Path::new("/h/Documents"));
        assert_eq!(profile.keep.daily, Some(14));
    }

    #[test]
    fn every_problem_is_found_at_once_with_its_line() {
        let text = "\
[vaults.photos]
location = \"relative\"
passwort-command = \"x\"
[vaults.latest]
location = \"/a\"
[profiles.home]
vault = \"foto\"
sources = [\"/a\", 3]
exclude-larger-than = \"big\"
one-file-system = \"yes\"
[profiles.home.keep]
dayly = 3
last = -1
[profiles.home.schedule]
jitter = \"5\"
[profile.x]
";
        let found = problems(text);

        let starts = [
            "2: vaults.photos.location: \"relative\" depends on the working directory",
            "3: vaults.photos.passwort-command: there is no such setting; did you mean passphrase-command?",
            "4: vaults.latest: a vault cannot be called",
            "7: profiles.home.vaults: there is no vault \"foto\"",
            "8: profiles.home.sources: expected texts in quotes, found integer",
            "9: profiles.home.exclude-larger-than: not a size",
            "10: profiles.home.one-file-system: expected true or false, found string",
            "12: profiles.home.keep.dayly: there is no such setting; did you mean daily?",
            "13: profiles.home.keep.last: expected a whole number",
            "15: profiles.home.schedule.jitter: not a span of time",
            "16: profile: there is no such setting; did you mean profiles?",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}\n{start}");
        }
    }

    #[test]
    fn broken_syntax_is_told_with_its_line() {
        let found = problems("[vaults.a]\nlocation = \"/x\"\n[vaults.b\nlocation = /y\n");

        assert!(found.iter().any(|problem| problem.starts_with("3: ")), "{found:#?}");
        assert!(found.iter().any(|problem| problem.starts_with("4: ")), "{found:#?}");
    }

    #[test]
    fn any_text_gives_problems_and_no_panic() {
        for text in [
            "\u{0}",
            "[",
            "[[",
            "a.b.c.d = {",
            "vaults = 3",
            "vaults.x = 3\n",
            "[profiles]\nx=1",
            "é = \"\\u{",
        ] {
            assert!(!problems(text).is_empty(), "{text:?}");
        }
        assert!(problems("").is_empty());
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, "").unwrap();
        let load = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Configuration::load(&path, true, None)
        };

        assert!(load(0o644).is_ok());
        assert!(matches!(load(0o664), Err(ConfigError::Loose { .. })));
        assert!(matches!(load(0o646), Err(ConfigError::Loose { .. })));
    }

    #[test]
    fn only_a_file_that_was_named_must_exist() {
        let path = Path::new("/nonexistent/config.toml");

        assert_eq!(Configuration::load(path, false, None).unwrap(), Configuration::default());
        assert!(matches!(Configuration::load(path, true, None), Err(ConfigError::Read { .. })));
    }
}
