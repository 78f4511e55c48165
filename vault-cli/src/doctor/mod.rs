//! Looking for what keeps backups from working: on this machine, and between it and its vaults.
//!
//! Looking never stops at a fault: each check gives its line, whatever the others found. What is said can be shown to others: no
//! secret stands in it, and the home directory is written `~`.

mod machine;
mod servers;
mod vaults;

use std::path::Path;

use crate::context::Context;
use crate::paths;
use crate::report;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Something to know about.
    Warn,
    /// Something that keeps backups or restores from working.
    Fail,
}

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// The lines so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    lines: Vec<Line>,
    home: Option<String>,
}

impl Findings {
    fn new() -> Self {
        let home = paths::home().map(|home| home.to_string_lossy().into_owned());
        // A home of `/` stands at the beginning of every path.
        Self { lines: Vec::new(), home: home.filter(|home| home.len() > 1) }
    }

    fn ok(&mut self, check: &'static str, text: impl AsRef<str>) {
        self.push(check, Verdict::Ok, text.as_ref(), None);
    }

    fn warn(&mut self, check: &'static str, text: impl AsRef<str>, hint: &str) {
        self.push(check, Verdict::Warn, text.as_ref(), Some(hint));
    }

    fn fail(&mut self, check: &'static str, text: impl AsRef<str>, hint: &str) {
        self.push(check, Verdict::Fail, text.as_ref(), Some(hint));
    }

    /// An error that a command would end with, and what that would advise.
    fn fail_with(&mut self, check: &'static str, error: &crate::error::CliError, vault: Option<&str>) {
        self.fail(check, report::in_one_line(error), &report::next_step(error, vault));
    }

    fn push(&mut self, check: &'static str, verdict: Verdict, text: &str, hint: Option<&str>) {
        let line = Line { check, verdict, text: self.tilde(text), hint: hint.map(|hint| self.tilde(hint)) };
        self.lines.push(line);
    }

    /// The text with the home directory written `~`.
    fn tilde(&self, text: &str) -> String {
        let Some(home) = &self.home else { return text.to_owned() };
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(home.as_str()) {
            let after = &rest[at + home.len()..];
            // `/home/me` is not the beginning of `/home/melanie`.
            let whole = !after.starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
            shown += &rest[..at];
            shown += if whole { "~" } else { home };
            rest = after;
        }
        shown + rest
    }
}

/// Looks at everything.
pub(crate) fn examine(context: &Context) -> Vec<Line> {
    let mut findings = Findings::new();
    machine::examine(context, &mut findings);
    servers::examine(context, &mut findings);
    vaults::examine(context, &mut findings);
    findings.lines
}

/// The worst verdict.
pub(crate) fn worst(lines: &[Line]) -> Verdict {
    lines.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Ok)
}

/// Temporary files below a directory that an interrupted run left behind: older than a day. Stops counting at a thousand.
fn leftovers(directory: &Path, depth: usize) -> usize {
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let mut found = 0;
    for entry in entries.flatten() {
        if found >= 1_000 {
            break;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            found += leftovers(&entry.path(), depth - 1);
        } else if kind.is_file() && entry.file_name().as_encoded_bytes().starts_with(b".tmp-") {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > DAY));
            found += usize::from(is_old);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_directory_is_not_shown() {
        let findings = Findings { lines: vec![], home: Some("/home/me".to_owned()) };

        assert_eq!(findings.tilde("in /home/me, /home/me/.config"), "in ~, ~/.config");
        assert_eq!(findings.tilde("/home/melanie/x"), "/home/melanie/x");
        assert_eq!(findings.tilde("'/home/me'"), "'~'");
    }

    #[test]
    fn only_old_temporary_files_are_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("packs/ab");
        std::fs::create_dir_all(&below).unwrap();
        for name in [".tmp-old", ".tmp-new", "pack"] {
            std::fs::write(below.join(name), "").unwrap();
        }
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
        for name in [".tmp-old", "pack"] {
            std::fs::File::options().write(true).open(below.join(name)).unwrap().set_modified(old).unwrap();
        }

        assert_eq!(leftovers(directory.path(), 2), 1);
        assert_eq!(leftovers(directory.path(), 1), 0);
    }
}
