//! What a configuration names that is not there: looked for on this machine, beside what is wrong in the text itself.
//!
//! Nothing found here keeps a configuration from being used: a disk may not be plugged in now.

use std::path::{Path, PathBuf};

use super::file::{self, ConfigError, Configuration};
use super::section::{Located, Problem, Severity};
use crate::ui::human;

/// Finds every problem of a file; `None` if there is no file.
pub(crate) fn check(
    path: &Path,
    named: bool,
    home: Option<&Path>,
) -> Result<Option<(Configuration, Vec<Problem>)>, ConfigError> {
    let Some(text) = file::read(path, named)? else { return Ok(None) };
    let (configuration, mut problems) = file::parse(&text, home);
    problems.extend(absent(&configuration));
    problems.sort_by_key(|problem| problem.line);
    Ok(Some((configuration, problems)))
}

/// Sources and pattern files that do not exist, and profiles that keep nothing in order.
fn absent(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    for profile in configuration.profiles.values() {
        let mut look = |key: &str, item: &Located<PathBuf>| {
            if item.value.try_exists().is_ok_and(|exists| !exists) {
                let message = format!(
                    "profiles.{}.{key}: {} does not exist now",
                    profile.name,
                    human::path(&item.value)
                );
                problems.push(Problem { line: item.line, severity: Severity::Warning, message });
            }
        };
        profile.sources.iter().for_each(|source| look("sources", source));
        profile.exclude_file.iter().for_each(|file| look("exclude-file", file));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_a_warning_on_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let here = directory.path().display();
        let text = format!(
            "[vaults.a]\nlocation = \"/a\"\n[profiles.p]\nvault = \"a\"\nsources = [\"{here}\",\n  \"{here}/none\"]\n"
        );
        std::fs::write(&path, text).unwrap();

        let (_, problems) = check(&path, true, None).unwrap().unwrap();

        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!((problem.line, problem.severity), (6, Severity::Warning));
    }
}
