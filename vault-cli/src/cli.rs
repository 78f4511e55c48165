//! The command line: global options, and one line for each command.
//!
//! A command is found under one name here, in `commands/` and in the library's `ops/`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    agent, audit, backup, cat, check, compact, completions, config, contact, copy, device, diff, doctor,
    export, find, forget, get, grants, inbox, init, join, link, ls, member, mount, prune, recovery, rekey,
    restore, revoke, run, schedule, share, snapshots, stats, status, tag, undelete, vaults, whoami,
};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::report;
use crate::unattended::worst;
use crate::unlock::KeyOptions;
use crate::values;

/// End-to-end encrypted backups of directories
///
/// A vault keeps snapshots of your directories: deduplicated, compressed, and encrypted before they leave this machine.
#[derive(Debug, Parser)]
#[command(
    name = "vault",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = EXAMPLES,
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  vault backup --init --vault /mnt/disk/my-vault ~/Documents
  vault snapshots --vault /mnt/disk/my-vault
  vault restore latest --vault /mnt/disk/my-vault --target ./restored";

/// Options that every command takes.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    /// Vault to work on: a directory, the URL of one on a server, or a name
    /// [default: that in `VAULT_LOCATION`, or the only one with a name]
    #[arg(long, global = true, value_name = "LOCATION")]
    pub(crate) vault: Option<OsString>,

    /// Configuration file [default: that in `VAULT_CONFIG`]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say what is being done
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,

    /// Move at most SIZE bytes in a second, as in 2M
    #[arg(long, global = true, value_name = "SIZE", value_parser = values::size)]
    pub(crate) bandwidth: Option<u64>,

    #[command(flatten)]
    pub(crate) keys: KeyOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Backup(backup::Backup),
    Snapshots(snapshots::Snapshots),
    Ls(ls::Ls),
    Cat(cat::Cat),
    Diff(diff::Diff),
    Find(find::Find),
    Stats(stats::Stats),
    Restore(restore::Restore),
    Check(check::Check),
    Forget(forget::Forget),
    Tag(tag::Tag),
    Status(status::Status),
    Prune(prune::Prune),
    Compact(compact::Compact),
    Copy(copy::Copy),
    Run(run::Run),
    Config(config::Config),
    Schedule(schedule::Schedule),
    Recovery(recovery::Recovery),
    Doctor(doctor::Doctor),
    Join(join::Join),
    Device(device::Device),
    Contact(contact::ContactCommand),
    Member(member::Member),
    Rekey(rekey::Rekey),
    Share(share::Share),
    Link(link::Link),
    Grants(grants::Grants),
    Revoke(revoke::Revoke),
    Inbox(inbox::Inbox),
    Get(get::Get),
    Export(export::Export),
    Audit(audit::Audit),
    Undelete(undelete::Undelete),
    Vaults(vaults::Vaults),
    Whoami(whoami::Whoami),
    Mount(mount::Mount),
    Lock(agent::Lock),
    Agent(agent::Agent),
    Completions(completions::Completions),
    Man(completions::Man),
}

impl Command {
    fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Backup(command) => command.run(context),
            Self::Snapshots(command) => command.run(context),
            Self::Ls(command) => command.run(context),
            Self::Cat(command) => command.run(context),
            Self::Diff(command) => command.run(context),
            Self::Find(command) => command.run(context),
            Self::Stats(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Forget(command) => command.run(context),
            Self::Tag(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Prune(command) => command.run(context),
            Self::Compact(command) => command.run(context),
            Self::Copy(command) => command.run(context),
            Self::Run(command) => command.run(context),
            Self::Config(command) => command.run(context),
            Self::Schedule(command) => command.run(context),
            Self::Recovery(command) => command.run(context),
            Self::Doctor(doctor::Doctor {}) => doctor::Doctor::run(context),
            Self::Join(command) => command.run(context),
            Self::Device(command) => command.run(context),
            Self::Contact(command) => command.run(context),
            Self::Member(command) => command.run(context),
            Self::Rekey(command) => command.run(context),
            Self::Share(command) => command.run(context),
            Self::Link(command) => command.run(context),
            Self::Grants(grants::Grants {}) => grants::Grants::run(context),
            Self::Revoke(command) => command.run(context),
            Self::Inbox(command) => command.run(context),
            Self::Get(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::Audit(command) => command.run(context),
            Self::Undelete(command) => command.run(context),
            Self::Vaults(command) => command.run(context),
            Self::Whoami(command) => command.run(context),
            Self::Mount(command) => command.run(context),
            Self::Lock(agent::Lock {}) => agent::Lock::run(context),
            Self::Agent(command) => command.run(),
        }
    }
}

/// Runs a command and tells what went wrong.
pub(crate) fn run(cli: Cli) -> Exit {
    let context = Context::new(cli.globals);
    match cli.command.run(&context) {
        Ok(exit) => after(&context, exit),
        Err(error) if error.is_broken_pipe() => Exit::Done,
        Err(error) => {
            report::print(&error, context.vault_text().as_deref(), context.ui.stderr.colored);
            error.exit()
        }
    }
}

/// How a command ends that has done its work: what was put off for it follows.
fn after(context: &Context, exit: Exit) -> Exit {
    match context.audit_now() {
        Ok(()) => exit,
        Err(error) => {
            report::print(&error, context.vault_text().as_deref(), context.ui.stderr.colored);
            worst([exit, error.exit()])
        }
    }
}

fn long_help() -> String {
    format!(
        "The passphrase comes from --passphrase-file, --passphrase-command, the variable\n\
         VAULT_PASSPHRASE, the configuration, or the terminal, in this order; with\n\
         --unlock-for one passphrase serves for a while.\n\n{}\n\n{EXAMPLES}",
        Exit::help()
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_fits_80_columns_and_has_an_example() {
        let mut root = Cli::command().term_width(80);
        root.build();
        for command in std::iter::once(&root).chain(root.get_subcommands()) {
            if command.get_name() == "help" {
                continue;
            }
            let help = command.clone().term_width(80).render_help().to_string();
            let long = command.clone().term_width(80).render_long_help().to_string();
            let widest = help.lines().chain(long.lines()).map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{}: {widest:?}", command.get_name());
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn global_options_may_stand_after_the_command() {
        let cli = Cli::try_parse_from(["vault", "snapshots", "--vault", "/v", "--json", "-q"]).unwrap();

        assert_eq!(cli.globals.vault.as_deref(), Some("/v".as_ref()));
        assert!(cli.globals.json && cli.globals.quiet);
    }

    #[test]
    fn options_of_a_new_vault_need_init() {
        let parse = |more: &[&str]| Cli::try_parse_from(["vault", "backup", "/a"].iter().chain(more)).is_ok();

        assert!(parse(&["--init", "--pq", "required"]));
        assert!(!parse(&["--pq", "required"]));
        assert!(!parse(&["--recipient", "age1x"]));
    }
}
