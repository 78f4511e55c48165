//! `vault-server`: the server, and its operator's commands. Standard output is for results, standard error for everything else.
//!
//! Nothing is decided here: a command reads its arguments and the configuration, and calls the library.

mod commands;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use commands::{CommandError, config, health, invite, keep, serve, user, vault};
use vault_server::config::Config;
use vault_server::telemetry::Causes;

/// Keeps vaults for many users, and can open none of them.
#[derive(Debug, Parser)]
#[command(name = "vault-server", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What all commands take.
#[derive(Debug, Args)]
struct Common {
    /// The configuration; `$VAULT_SERVER_CONFIG`, or ./vault-server.toml if it is there
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where keys, objects and the database lie; stands above the configuration
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until stopped
    Serve(serve::Arguments),
    /// Make an invite for one new user, and print its URL
    Invite(invite::Arguments),
    /// List, suspend or resume users, or set their quota
    #[command(subcommand)]
    User(user::Verb),
    /// List vaults, or release what is held
    #[command(subcommand)]
    Vault(vault::Verb),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Verb),
    /// Compare the database with the objects that are there
    Check(keep::CheckArguments),
    /// Copy database, keys and objects to a directory
    Backup(keep::BackupArguments),
    /// Look for what would keep the server from serving well
    Doctor,
    /// Ask the running server whether it serves; for container checks
    Health,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            commands::say(&format!("vault-server: {}", Causes(&error)));
            if let Some(next) = error.next_step() {
                commands::say(&format!("  {next}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, CommandError> {
    let Common { json, .. } = cli.common;
    if let Command::Config(verb) = &cli.command {
        return config::run(*verb, || load(&cli.common));
    }
    let config = load(&cli.common)?;
    match &cli.command {
        Command::Serve(arguments) => serve::run(arguments, config),
        Command::Invite(arguments) => invite::run(arguments, &config, json),
        Command::User(verb) => user::run(verb, &config, json),
        Command::Vault(verb) => vault::run(verb, &config, json),
        Command::Check(arguments) => keep::check(arguments, &config, json),
        Command::Backup(arguments) => keep::backup(arguments, &config, json),
        Command::Doctor => health::doctor(&config, json),
        Command::Health => health::health(&config),
        Command::Config(_) => Ok(ExitCode::SUCCESS),
    }
}

/// The configuration of the file, the environment and the arguments.
fn load(common: &Common) -> Result<Config, CommandError> {
    let beside = Path::new("vault-server.toml");
    let named = || std::env::var_os("VAULT_SERVER_CONFIG").map(PathBuf::from);
    let file = common.config.clone().or_else(named).or_else(|| beside.exists().then(|| beside.to_owned()));
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut config = Config::load(file.as_deref(), &variables)?;
    if let Some(data) = &common.data {
        config.data.clone_from(data);
    }
    Ok(config)
}
