//! What the user sees: results on stdout, everything else on stderr.
//!
//! Nothing here panics when a stream is closed: writing to stdout gives an error, a message that cannot be shown is lost.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod listing;
pub(crate) mod metrics;
pub(crate) mod progress;
pub(crate) mod prompt;
pub(crate) mod qr;
pub(crate) mod recovery;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod time;

use std::io::{self, BufWriter, IsTerminal as _, Write};

use serde::Serialize;

use crate::config;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Results that were asked for, problems and errors.
    Quiet,
    /// And summaries, notes and progress.
    Normal,
    /// And what is being done.
    Verbose,
}

/// What introduces a message, and its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// The command ends because of it.
    Error,
    /// Something stored is not what it was.
    Damage,
    /// Something is not as it should be.
    Warning,
    /// Something worth knowing.
    Note,
}

impl Label {
    /// The word, with the escape sequences of its colour if they are wanted.
    pub(crate) fn text(self, colored: bool) -> String {
        let (word, color) = match self {
            Self::Error => ("error", "31"),
            Self::Damage => ("damage", "31"),
            Self::Warning => ("warning", "33"),
            Self::Note => ("note", "36"),
        };
        if colored { format!("\x1b[1;{color}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// How the command talks to its user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    /// Whether the result is one JSON document.
    pub(crate) json: bool,
    /// How much is said.
    pub(crate) verbosity: Verbosity,
    /// Whether progress may be shown.
    pub(crate) progress: bool,
    /// What stderr can show.
    pub(crate) stderr: Stderr,
}

/// What stderr can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr {
    /// Whether it is a terminal, where a line can change.
    pub(crate) terminal: bool,
    /// Whether labels are coloured.
    pub(crate) colored: bool,
}

impl Ui {
    /// Finds out what stderr can show.
    pub(crate) fn new(json: bool, verbosity: Verbosity, progress: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let stderr = Stderr { terminal, colored: terminal && config::colors_wanted() };
        Self { json, verbosity, progress, stderr }
    }

    /// Says something worth knowing.
    pub(crate) fn note(self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.say(Label::Note, text);
        }
    }

    /// Says that something is not as it should be.
    pub(crate) fn warn(self, text: &str) {
        self.say(Label::Warning, text);
    }

    /// Says that something stored is not what it was.
    pub(crate) fn damage(self, text: &str) {
        self.say(Label::Damage, text);
    }

    /// Says what is being done, to those who want to know.
    pub(crate) fn verbose(self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            eprint_line(&human::message(text));
        }
    }

    fn say(self, label: Label, text: &str) {
        eprint_line(&format!("{}: {}", label.text(self.stderr.colored), human::message(text)));
    }

    /// Writes what a command was asked to list: the document with `--json`, else the lines that `write` writes.
    pub(crate) fn listing(
        self,
        document: &impl Serialize,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = stdout();
        if self.json {
            json::write_document(&mut out, document)?;
        } else {
            write(&mut out)?;
        }
        out.flush()
    }

    /// Writes the result of a command: the document with `--json`, else the summary, which `--quiet` leaves out.
    ///
    /// A reader that went away has seen what it wanted: that is no error, and the command keeps its exit code.
    pub(crate) fn result(self, document: &impl Serialize, summary: &str) -> io::Result<()> {
        self.answer(document, if self.verbosity >= Verbosity::Normal { summary } else { "" })
    }

    /// As [`Self::result`] for a text that was asked for, which `--quiet` does not leave out.
    pub(crate) fn answer(self, document: &impl Serialize, text: &str) -> io::Result<()> {
        let mut out = stdout();
        let written =
            if self.json { json::write_document(&mut out, document) } else { out.write_all(text.as_bytes()) };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Where results go.
pub(crate) fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Writes a line to stderr in one piece; nobody is left to tell if that fails.
pub(crate) fn eprint_line(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_plain_words_unless_colours_are_wanted() {
        assert_eq!(Label::Warning.text(false), "warning");
        assert_eq!(Label::Error.text(true), "\x1b[1;31merror\x1b[0m");
    }
}
