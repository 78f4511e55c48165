//! Asks on the terminal: for passphrases, without showing them, and whether something is really wanted.
//!
//! Asks only where a person can answer: when stdin or stderr is a terminal, and always on the terminal itself, so that neither
//! a pipe nor a file is ever taken for an answer.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};

use rpassword::ConfigBuilder;
use vault_core::keys::SecretString;

use crate::signals;

/// The terminal of the process.
const TERMINAL: &str = "/dev/tty";

/// Whether there is somebody to ask.
pub(crate) fn possible() -> bool {
    (io::stdin().is_terminal() || io::stderr().is_terminal()) && File::open(TERMINAL).is_ok()
}

/// Asks for one passphrase, and returns what was typed.
pub(crate) fn passphrase(question: &str) -> io::Result<SecretString> {
    let config = ConfigBuilder::new()
        .input_file_path(TERMINAL)
        .output_file_path(TERMINAL)
        .password_feedback_hide()
        .build();
    let ask = || rpassword::prompt_password_with_config(format!("{question}: "), config);
    signals::during_prompt(ask).map(SecretString::from)
}

/// Asks whether to go on; only `y` and `yes` mean so.
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    File::options().write(true).open(TERMINAL)?.write_all(format!("{question} [y/N] ").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(File::open(TERMINAL)?).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Says on the terminal that the passphrase was wrong, before it is asked for again.
pub(crate) fn again() {
    super::eprint_line("That passphrase does not open it; try again.");
}
