//! What to try next after a failure, error by error, in the groups in which they come.
//!
//! Every error has an answer, and none needs anything but the error: nothing is looked up on the disk.

mod contact;
mod library;
mod server;
mod share;

use std::io;
use std::path::Path;

use vault_core::keys::age_file::{OpenError, SealError};
use vault_core::keys::key_file::KeyFileError;
use vault_core::keys::kit::KitError;

use crate::config::file::ConfigError;
use crate::error::CliError;
use crate::schedule::ScheduleError;
use crate::ui::human::shell_word;

/// A path as the shell takes it.
fn word(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// What to try where a path that was given leads to nothing.
fn for_missing(path: &Path) -> String {
    let beside = directory_of(path);
    format!("{} does not exist; see what is beside it: `ls -a {}`", word(path), word(beside))
}

/// What to try where a file cannot be written: its directory is missing, or is another than it should be.
fn for_unwritten(path: &Path, error: &io::Error) -> String {
    let directory = word(directory_of(path));
    if is_missing(error) {
        format!("make its directory: `mkdir -p {directory}`")
    } else {
        format!("look at its directory: `ls -ld {directory}`")
    }
}

/// The directory of a file, as one names it.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// A command line of ours for the vault at hand.
pub(super) fn command(arguments: &str, vault: Option<&str>) -> String {
    format!("vault {arguments} --vault {}", shell_word(vault.unwrap_or("./my-vault")))
}

/// What to try next.
pub(crate) fn next_step(error: &CliError, vault: Option<&str>) -> String {
    match error {
        CliError::Core(error) => library::next_step(error, vault),
        CliError::Server(error) => server::next_step(error),
        CliError::Contact(error) => contact::next_step(error),
        CliError::Share(error) => share::next_step(error, vault),
        CliError::History { error, remembered } if error.is_rollback() => format!(
            "do not write to it; compare it with a copy. Only if you know why it is older, forget it: `rm -r {}`",
            word(remembered)
        ),
        CliError::History { error, .. } => library::next_step(error, vault),
        CliError::Config(error) => for_config(error),
        CliError::KeyFile(error) => for_key_file(error),
        CliError::Unlock(error) => for_identity(error).to_owned(),
        CliError::Kit { source, .. } => for_kit(source).to_owned(),
        CliError::Schedule(error) => for_schedule(error),
        CliError::Mount(error) => error.next_step(),
        error => for_vault(error, vault)
            .or_else(|| for_options(error))
            .or_else(|| for_file(error))
            .or_else(|| for_program(error))
            .or_else(|| for_keys(error))
            .or_else(|| for_passphrase(error))
            .unwrap_or_else(|| "run the command again".to_owned()),
    }
}

/// Which vault or snapshot is meant.
fn for_vault(error: &CliError, vault: Option<&str>) -> Option<String> {
    Some(match error {
        CliError::OtherVault { places, .. } => format!(
            "do not back up there before you know why; if you replaced the vault yourself, delete its line in {}",
            word(places)
        ),
        CliError::NoLocation => {
            "name the vault: `vault snapshots --vault ./my-vault`, or set VAULT_LOCATION".to_owned()
        }
        CliError::PlaceWithoutOption { place } => {
            format!("`vault init --vault {}`", shell_word(place))
        }
        CliError::NoVaultYet(_) => {
            format!("check the place, or make a vault there: `{}`", command("init", vault))
        }
        CliError::TwoVaults { named, .. } => {
            format!("name one: `--vault {}`, and only the snapshot after it", shell_word(named))
        }
        CliError::Location(_) => "give a directory: `--vault ./my-vault`".to_owned(),
        CliError::VaultExists { .. } => {
            format!("back up into it: `{}`, or name another place", command("backup PATH", vault))
        }
        CliError::NotADate { .. } => format!("see what there is: `{}`", command("snapshots", vault)),
        CliError::OneSnapshot => format!("name one: `{}`", command("stats latest --by-path", vault)),
        CliError::KitOfOtherVault { .. } => "name the vault of the kit: `--vault LOCATION`".to_owned(),
        _ => return None,
    })
}

/// Options that do not fit each other, or ask for what is not done without being asked twice.
fn for_options(error: &CliError) -> Option<String> {
    Some(match error {
        CliError::NothingKept => "name what to keep: `vault forget --keep-daily 7`".to_owned(),
        CliError::OptionsDisagree { one: "--delete", .. } => {
            "--delete-excluded deletes whatever is not restored; look with --dry-run --verbose first"
                .to_owned()
        }
        CliError::OptionsDisagree { one, .. } => format!("leave {one} out"),
        CliError::NotConfirmed { .. } | CliError::DeletesTooMuch { .. } => {
            "look at what would be done with --dry-run --verbose; then give --yes".to_owned()
        }
        CliError::JsonNeedsOutput => "name a file for the contents: `--output FILE`".to_owned(),
        CliError::ArchiveToTerminal => "pass it on: `| tar tvf -`, or `--output FILE`".to_owned(),
        _ => return None,
    })
}

/// Files and directories of this machine.
fn for_file(error: &CliError) -> Option<String> {
    Some(match error {
        CliError::NoHome(_) => "set HOME, or XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_CACHE_HOME".to_owned(),
        CliError::ReadFile { path, source } if is_missing(source) => for_missing(path),
        CliError::ReadFile { path, .. } => format!("look at it: `ls -l {}`", word(path)),
        CliError::NotText { path } => format!("look at it: `file {}`", word(path)),
        CliError::OwnDirectory { variable: Some(variable), .. } => {
            format!("make it writable, or set {variable} to a directory of yours")
        }
        CliError::OwnDirectory { path, variable: None, .. } => format!("look at it: `ls -ld {}`", word(path)),
        CliError::Scratch { .. } => "make room in /tmp, or set TMPDIR to a directory of yours".to_owned(),
        CliError::FileExists { .. } => "name another file, or move away what is there".to_owned(),
        CliError::WriteFile { path, source } => for_unwritten(path, source),
        CliError::Output(_) => "look at where the output goes: is the disk full?".to_owned(),
        _ => return None,
    })
}

/// Other programs, and this one as a program.
fn for_program(error: &CliError) -> Option<String> {
    Some(match error {
        CliError::Hook { name, .. } => {
            format!("see what it does by itself: `hooks.{name}` in the file that `vault config path` names")
        }
        CliError::StartCommand { program, .. } => format!("look for it: `command -v {}`", word(program)),
        CliError::Program { .. } => "run the program by its full path".to_owned(),
        CliError::Agent { .. } => {
            "leave --unlock-for out, or look at the directory in XDG_RUNTIME_DIR".to_owned()
        }
        _ => return None,
    })
}

/// Identities, recipients and the keys of this device.
fn for_keys(error: &CliError) -> Option<String> {
    Some(match error {
        CliError::DeviceKey { path, .. } => format!(
            "move it away to make another: `mv {0} {0}.old`; the next backup registers it",
            word(path)
        ),
        CliError::Identity { .. } => {
            "give an age identity file or an OpenSSH private key of kind ed25519".to_owned()
        }
        CliError::IdentityContents(_) => USE_A_COPY.to_owned(),
        CliError::Seal(SealError::MixedRecipients) => {
            "give only recipients that start with age1pq1, or only others".to_owned()
        }
        CliError::Recipient { .. } | CliError::NoRecipients { .. } => {
            "give age1pq1…, age1… or ssh-ed25519 recipients; `age-keygen -y KEY-FILE` prints that of a key"
                .to_owned()
        }
        CliError::NotPostQuantum { .. } => {
            "use a recipient that starts with age1pq1, or leave --pq required out".to_owned()
        }
        CliError::IdentityExists { path } => {
            format!("leave --recipient out to use this identity, or move {} away to make another", word(path))
        }
        CliError::KitTooLong => "copy identity.age itself to a safe place".to_owned(),
        CliError::NoIdentity => {
            "copy identity.age from the machine that made the vault, beside this machine's device.key"
                .to_owned()
        }
        _ => return None,
    })
}

/// Passphrases, and who is asked for them.
fn for_passphrase(error: &CliError) -> Option<String> {
    Some(match error {
        CliError::NoPassphrase | CliError::PassphraseNotText => {
            "use --passphrase-file FILE, --passphrase-command COMMAND or VAULT_PASSPHRASE, or --identity FILE"
                .to_owned()
        }
        CliError::EmptyPassphrase => "choose a passphrase of several words".to_owned(),
        CliError::PassphrasesDiffer => "run the command again and type the same passphrase twice".to_owned(),
        CliError::PassphraseCommand { command, .. } | CliError::PassphraseCommandFailed { command, .. } => {
            format!("see what it does by itself: `sh -c {}`", shell_word(command))
        }
        CliError::Terminal(_) => "run the command again, or use --passphrase-file FILE".to_owned(),
        _ => return None,
    })
}

fn for_kit(error: &KitError) -> &'static str {
    match error {
        KitError::Check { .. } | KitError::Mixed => {
            "compare it with the paper, letter by letter, or scan its codes"
        }
        KitError::Version { .. } => "use a newer version of this program",
        _ => "give all of it from BEGIN to END, or the texts of all its QR codes, one on a line",
    }
}

fn for_schedule(error: &ScheduleError) -> String {
    match error {
        ScheduleError::NoCalendar { profile } => {
            format!(
                "say when: `[profiles.{profile}.schedule]` with `calendar = \"daily\"` in the configuration"
            )
        }
        ScheduleError::NotForCron { .. } => {
            "use hourly, daily, weekly, monthly, or a time like 22:30 or Mon..Fri 22:30".to_owned()
        }
        ScheduleError::NotText { .. } => "use a path without control characters, in UTF-8".to_owned(),
        ScheduleError::Foreign { path } => {
            format!("move it away, or call the profile something else: `mv {0} {0}.old`", word(path))
        }
        ScheduleError::File { path, .. } => {
            format!("look at it: `ls -ld {}`", word(path))
        }
        ScheduleError::NotRun { program: "crontab", .. } => {
            "install cron, or see what would be written: `--print`, with `--with systemd` for units"
                .to_owned()
        }
        ScheduleError::NotRun { .. } | ScheduleError::Failed { .. } => {
            "run it by hand to see more; what was to be written shows `--print`".to_owned()
        }
    }
}

fn for_config(error: &ConfigError) -> String {
    let known = |what: &str, known: &[String]| match known {
        [] => format!("describe one: `vault config example` shows how, `vault config path` where ({what})"),
        known => format!("name one of {}", known.join(", ")),
    };
    match error {
        ConfigError::Problems { path, .. } => {
            format!("see everything that is wrong in it: `vault config check --config {}`", word(path))
        }
        ConfigError::Loose { path } => {
            format!("keep others from writing it: `chmod go-w {}`", word(path))
        }
        ConfigError::Read { path, source } if is_missing(source) => for_missing(path),
        ConfigError::Read { path, .. } => {
            format!("look at it: `ls -l {}`", word(path))
        }
        ConfigError::NoProfile { known: profiles, .. } => known("[profiles.NAME]", profiles),
        ConfigError::WhichProfile { known: profiles } if profiles.is_empty() => {
            "name what to back up: `vault backup PATH`, or describe a profile: `vault config example`"
                .to_owned()
        }
        ConfigError::WhichProfile { known: profiles } => {
            format!("name paths, or a profile: `--profile {}`", profiles.join("` or `--profile "))
        }
    }
}

fn for_key_file(error: &KeyFileError) -> String {
    match error {
        KeyFileError::Loose { path, .. } => {
            format!("keep it to yourself: `chmod 600 {}`", word(path))
        }
        KeyFileError::Write { path, source } => {
            for_unwritten(path, source) + "; XDG_CONFIG_HOME names another"
        }
        KeyFileError::Read { path, source } if is_missing(source) => for_missing(path),
        KeyFileError::Exists { path }
        | KeyFileError::NotAKeyFile { path }
        | KeyFileError::Read { path, .. } => {
            format!("look at it: `ls -l {}`", word(path))
        }
        _ => "look at it: `ls -l`".to_owned(),
    }
}

fn for_identity(error: &OpenError) -> &'static str {
    match error {
        OpenError::NeedsIdentity | OpenError::NotForTheseIdentities => {
            "give the key that it is sealed to: `--identity FILE`"
        }
        OpenError::NeedsPassphrase => "leave --identity out to open it with its passphrase",
        OpenError::WrongPassphrase | OpenError::IdentityLocked => "try again with the right passphrase",
        _ => USE_A_COPY,
    }
}

/// What helps where the identity itself is damaged.
const USE_A_COPY: &str = "move it away, so that the one in the vault is used";
