//! `vault agent` and `vault lock`: the process that keeps an identity for a while, and its end.
//!
//! Nobody calls `agent` by hand: `--unlock-for` starts it.

use std::io;
use std::path::PathBuf;

use crate::agent::{self, server};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::{json, stdout};

/// Keep an identity for a while; started by --unlock-for
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Example:\n  vault snapshots --unlock-for 15m")]
pub(crate) struct Agent {
    /// Directory of the socket
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Agent {
    /// Runs until nothing is kept.
    pub(crate) fn run(self) -> Result<Exit, CliError> {
        let mut out = stdout();
        server::serve(&self.directory, &mut out).map_err(|source| {
            // Whoever started it reads this.
            let _ = io::Write::write_all(&mut out, format!("{source}\n").as_bytes());
            CliError::Agent { source }
        })?;
        Ok(Exit::Done)
    }
}

/// Forget the passphrase that --unlock-for keeps
///
/// Ends the process that keeps your opened identity, and wipes it from memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault lock")]
pub(crate) struct Lock {}

impl Lock {
    /// Locks and says whether there was anything to lock.
    pub(crate) fn run(context: &Context) -> Result<Exit, CliError> {
        let locked =
            agent::lock(&context.directories()?.agent()).map_err(|source| CliError::Agent { source })?;
        let text = if locked { "locked\n" } else { "nothing was unlocked\n" };
        context.ui.result(&json::Lock::new(locked), text).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
