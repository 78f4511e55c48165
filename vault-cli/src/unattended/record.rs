//! What this machine remembers about the runs of a profile: for each vault, when it last ran, and when it last succeeded.
//!
//! It is for people and for what is due; nothing in a vault depends on it. A record that cannot be read counts as none.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::identity::make_directory;

/// The runs of one profile, by the name or place of the vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(default)]
    pub(crate) vaults: BTreeMap<String, Runs>,
}

/// Runs into one vault; times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the fields are those of the file")]
pub(crate) struct Runs {
    /// When a backup last ended, however.
    pub(crate) last_run: Option<i64>,
    /// How: the exit code.
    pub(crate) last_exit: Option<u8>,
    /// When a backup last ended with nothing missing.
    pub(crate) last_success: Option<i64>,
    /// The snapshot it made.
    pub(crate) last_snapshot: Option<String>,
    /// When prune last ended well.
    pub(crate) last_prune: Option<i64>,
}

impl Record {
    /// Reads the record.
    pub(crate) fn load(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Changes what is remembered about one vault.
    pub(crate) fn update(path: &Path, vault: &str, change: impl FnOnce(&mut Runs)) -> io::Result<()> {
        let mut record = Self::load(path);
        change(record.vaults.entry(vault.to_owned()).or_default());
        let directory = path.parent().unwrap_or(Path::new("."));
        make_directory(directory)?;
        let mut temporary = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        serde_json::to_writer(&mut temporary, &record)?;
        temporary.write_all(b"\n")?;
        temporary.as_file().sync_data()?;
        temporary.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vault_has_runs_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs/home");

        Record::update(&path, "photos", |runs| runs.last_run = Some(5)).unwrap();
        Record::update(&path, "usb", |runs| runs.last_run = Some(6)).unwrap();
        Record::update(&path, "photos", |runs| runs.last_success = Some(7)).unwrap();

        let record = Record::load(&path);
        assert_eq!(
            (record.vaults["photos"].last_run, record.vaults["photos"].last_success),
            (Some(5), Some(7))
        );
        assert_eq!(record.vaults["usb"].last_run, Some(6));
    }

    #[test]
    fn a_record_that_cannot_be_read_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        assert_eq!(Record::load(&path), Record::default());

        fs::write(&path, "{\"vaults\": 3").unwrap();

        assert_eq!(Record::load(&path), Record::default());
    }
}
