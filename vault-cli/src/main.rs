//! The command `vault`: parses the command line, runs one command, and ends with its exit code.
//!
//! Whatever happens, the process ends through `main` with a code of `exit`'s table; a fault of ours is one line and code 1.

mod cli;
mod clock;
mod commands;
mod config;
mod context;
mod error;
mod exit;
mod identity;
mod paths;
mod places;
mod report;
mod signals;
mod spec;
mod ui;
mod unlock;
mod values;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;

fn main() -> ExitCode {
    report::install_panic_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout, an error to stderr; nobody is left to tell if either is closed.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    // The hook has told about a panic already.
    std::panic::catch_unwind(|| cli::run(cli)).unwrap_or(Exit::Failed).into()
}
