//! `vault config`: checks, shows and explains the configuration file.
//!
//! None of these needs the file to be right: they are what one uses when it is not.

use std::io::Write as _;

use clap::Subcommand;

use crate::config::{Problem, Severity, check, example, show};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::paths;
use crate::ui::{human, json, stdout, summary};

/// Check, show or explain the configuration
///
/// The configuration is a file in TOML with named vaults, and profiles that say what is backed up, what is kept, and when.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault config example > ~/.config/vault/config.toml\n  \
    vault config check")]
pub(crate) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find everything that is wrong in the configuration, with line numbers
    Check,
    /// Show what is in force, with the values that hold where none is set
    Show,
    /// Print a configuration with every setting and what it means
    Example,
    /// Print where the configuration file is, or would be
    Path,
}

impl Config {
    /// Does one of them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self.command {
            Command::Check => check(context),
            Command::Show => show(context),
            Command::Example => {
                stdout().write_all(example::TEXT.as_bytes()).map_err(CliError::Output)?;
                Ok(Exit::Done)
            }
            Command::Path => {
                let (path, _) = context.configuration_file()?;
                let document = json::ConfigPath::new(&path, path.exists());
                context
                    .ui
                    .answer(&document, &format!("{}\n", human::path(&path)))
                    .map_err(CliError::Output)?;
                Ok(Exit::Done)
            }
        }
    }
}

fn check(context: &Context) -> Result<Exit, CliError> {
    let (path, named) = context.configuration_file()?;
    let found = check::check(&path, named, paths::home().as_deref())?;
    let (configuration, problems) = match &found {
        Some((configuration, problems)) => (Some(configuration), &problems[..]),
        None => (None, &[] as &[Problem]),
    };
    let document = json::ConfigCheck::new(&path, configuration.is_some(), problems);
    let text = summary::config_check(&path, configuration, problems);
    context.ui.answer(&document, &text).map_err(CliError::Output)?;
    let wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    Ok(if wrong { Exit::Usage } else { Exit::Done })
}

fn show(context: &Context) -> Result<Exit, CliError> {
    let (path, _) = context.configuration_file()?;
    let tables = show::effective(context.configuration()?);
    let document = json::ConfigShow::new(&path, &tables);
    context.ui.answer(&document, &show::to_toml(&tables)).map_err(CliError::Output)?;
    if tables.is_empty() {
        context.ui.note(&format!("there is nothing in {}", human::path(&path)));
    }
    Ok(Exit::Done)
}
