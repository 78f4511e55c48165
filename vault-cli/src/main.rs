//! The command `vault`: parses the command line, runs one command, and ends with its exit code.
//!
//! Whatever happens, the process ends through `main` with a code of `exit`'s table; a fault of ours is one line and code 1.

mod agent;
mod cli;
mod clock;
mod commands;
mod config;
mod contacts;
mod context;
mod doctor;
mod error;
mod exit;
mod filter;
mod granted;
mod identity;
mod kept;
mod omit;
mod paths;
mod patterns;
mod places;
#[cfg(test)]
mod reference;
mod report;
mod schedule;
mod servers;
mod signals;
mod spec;
mod ui;
mod unattended;
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
