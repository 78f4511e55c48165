//! `vault completions`: what a shell needs to complete the commands and options of `vault`; and its pages for `man`.
//!
//! Both are made from the command line as it is parsed, so they cannot differ from it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::stdout;

/// Print what a shell needs to complete commands and options
///
/// Put it where the shell looks for such files, or load it when the shell starts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault completions bash > ~/.local/share/bash-completion/completions/vault\n  \
    vault completions fish > ~/.config/fish/completions/vault.fish")]
pub(crate) struct Completions {
    /// Shell to complete in
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub(crate) fn run(&self) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "vault", &mut script);
        let mut out = stdout();
        out.write_all(&script).and_then(|()| out.flush()).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

/// Write the pages for man into a directory
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Example:\n  vault man ./man1")]
pub(crate) struct Man {
    /// Directory to write into; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    /// Writes `vault.1` and a page for each command.
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        let failed = |source| CliError::WriteFile { path: self.directory.clone(), source };
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let command = Cli::command().disable_help_subcommand(true);
        clap_mangen::generate_to(command, &self.directory).map_err(failed)?;
        Ok(Exit::Done)
    }
}
