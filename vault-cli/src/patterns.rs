//! Patterns of names, given as options and in files.
//!
//! A file has one on a line; empty lines and comments are passed over.

use std::path::PathBuf;

use crate::error::CliError;
use crate::unlock::read_file;
use crate::values;

/// The patterns given, and those in the files.
pub(crate) fn all(given: &[String], files: &[PathBuf]) -> Result<Vec<String>, CliError> {
    let mut patterns = given.to_vec();
    for path in files {
        let bytes = read_file(path)?;
        let text = str::from_utf8(&bytes).map_err(|_| CliError::NotText { path: path.clone() })?;
        patterns.extend(values::meaningful_lines(text).map(str::to_owned));
    }
    Ok(patterns)
}
