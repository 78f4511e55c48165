//! Options that say what a backup leaves out, for the backup and for commands that look at the disk as it would.

use std::path::PathBuf;

use vault_core::ops::backup::Omissions;

use crate::error::CliError;
use crate::{patterns, values};

/// What a backup leaves out.
#[derive(Debug, clap::Args)]
pub(crate) struct OmitOptions {
    /// Leave out what matches PATTERN, as in a .gitignore file
    #[arg(long, value_name = "PATTERN", help_heading = HEADING)]
    exclude: Vec<String>,

    /// Leave out what matches a pattern in FILE, one on a line
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    exclude_file: Vec<PathBuf>,

    /// Leave out directories that are tagged as caches (CACHEDIR.TAG)
    #[arg(long, help_heading = HEADING)]
    exclude_caches: bool,

    /// Leave out files larger than SIZE, as in 500M or 2G
    #[arg(long, value_name = "SIZE", value_parser = values::size, help_heading = HEADING)]
    exclude_larger_than: Option<u64>,

    /// Stay on the file systems of the paths backed up
    #[arg(short = 'x', long, help_heading = HEADING)]
    one_file_system: bool,
}

const HEADING: &str = "What to leave out";

impl OmitOptions {
    /// The rules, with `directories` that are never looked at.
    pub(crate) fn rules(&self, directories: Vec<PathBuf>) -> Result<Omissions, CliError> {
        Ok(Omissions {
            patterns: patterns::all(&self.exclude, &self.exclude_file)?,
            directories,
            caches: self.exclude_caches,
            larger_than: self.exclude_larger_than,
            other_file_systems: self.one_file_system,
        })
    }
}
