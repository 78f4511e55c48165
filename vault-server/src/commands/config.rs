//! `vault-server config`: whether the configuration is valid, and what it is.

use std::process::ExitCode;

use clap::Subcommand;
use vault_server::config::{self, Config};

use super::{CommandError, print};

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Verb {
    /// Say whether it is valid
    Check,
    /// Print all values, without secrets
    Show,
    /// Print a file with all keys, their defaults and meanings
    Example,
}

pub(crate) fn run(
    verb: Verb,
    load: impl FnOnce() -> Result<Config, CommandError>,
) -> Result<ExitCode, CommandError> {
    let text = match verb {
        Verb::Example => config::example(),
        Verb::Show => load()?.redacted(),
        Verb::Check => {
            load()?;
            "the configuration is valid".to_owned()
        }
    };
    print(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
