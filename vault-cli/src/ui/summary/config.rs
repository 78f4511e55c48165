//! What `config check` found, and what `run` did.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::super::human::{counted, duration, message, path};
use crate::commands::run::VaultRun;
use crate::config::{Configuration, Problem, Severity};
use crate::exit::Exit;
use crate::unattended::result_word;

/// What is wrong in the configuration at `file`; `None` if there is no file.
pub(crate) fn config_check(
    file: &Path,
    configuration: Option<&Configuration>,
    problems: &[Problem],
) -> String {
    let Some(configuration) = configuration else {
        return format!(
            "there is no configuration in {}; `vault config example` prints one to begin with\n",
            path(file)
        );
    };
    let mut text = String::new();
    for problem in problems {
        let word = match problem.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}:{}: {word}{}", path(file), problem.line, message(&problem.message));
    }
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let names = |count: usize, noun| counted(count as u64, noun);
    let _ = match errors {
        0 => writeln!(
            text,
            "{} can be used: {}, {}",
            path(file),
            names(configuration.vaults.len(), "vault"),
            names(configuration.profiles.len(), "profile")
        ),
        _ => writeln!(text, "{}: nothing in it is in force", names(errors, "error")),
    };
    text
}

/// What `run` did.
pub(crate) fn run(profile: &str, exit: Exit, runs: &[VaultRun], elapsed: Duration) -> String {
    let mut text = format!("profile {profile}: {} in {}\n", result_word(exit), duration(elapsed));
    for run in runs {
        let _ = writeln!(text, "  {}", message(&run.vault));
        for step in &run.steps {
            let word = match step.exit {
                None => "skipped: ",
                Some(Exit::Done | Exit::Incomplete) => "",
                Some(exit) => &format!("{}: ", result_word(exit)),
            };
            let _ = writeln!(text, "    {:7}  {word}{}", step.name, message(&step.text));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unattended::steps::Step;

    #[test]
    fn a_run_is_told_vault_by_vault() {
        let steps = vec![
            Step {
                name: "backup",
                exit: Some(Exit::Done),
                text: "snapshot ab saved".to_owned(),
                document: None,
            },
            Step::skipped("forget", "no rules"),
            Step { name: "prune", exit: Some(Exit::Full), text: "no room".to_owned(), document: None },
        ];
        let runs = [VaultRun { vault: "photos".to_owned(), steps }];

        assert_eq!(
            run("home", Exit::Full, &runs, Duration::from_secs(2)),
            "profile home: failed in 2.0 s\n  photos\n    backup   snapshot ab saved\n    \
             forget   skipped: no rules\n    prune    failed: no room\n"
        );
    }

    #[test]
    fn problems_stand_with_file_and_line() {
        let problems = [Problem { line: 3, severity: Severity::Error, message: "x: bad".to_owned() }];

        let text = config_check(Path::new("/c.toml"), Some(&Configuration::default()), &problems);

        assert_eq!(text, "/c.toml:3: x: bad\n1 error: nothing in it is in force\n");
    }
}
