//! How a failure is told: what happened, why, and what to try next.
//!
//! Every error ends with a line `next:`. Text that comes from elsewhere is escaped: no file name or server can write control
//! characters to the terminal through an error.

use std::error::Error as StdError;
use std::panic::PanicHookInfo;

use vault_core::error::{Error, ErrorKind};
use vault_core::keys::age_file::{OpenError, SealError};
use vault_core::keys::key_file::KeyFileError;
use vault_core::keys::kit::KitError;

use crate::config::file::ConfigError;
use crate::error::CliError;
use crate::schedule::ScheduleError;
use crate::ui::human::{message, shell_word};
use crate::ui::{Label, eprint_line};

/// Tells a failure on stderr; `vault` is the text that names the vault.
pub(crate) fn print(error: &CliError, vault: Option<&str>, colored: bool) {
    eprint_line(&lines(error, vault, colored).join("\n"));
}

/// Tells what to do about damage that a check found.
pub(crate) fn print_damage(vault: Option<&str>) {
    let next = command("restore latest --target ./rescued", vault);
    eprint_line(&message(&format!(
        "  next: save what is whole: `{next}`; then delete damaged packs and back up again: what the source still has is stored anew"
    )));
}

/// The lines that tell a failure.
fn lines(error: &CliError, vault: Option<&str>, colored: bool) -> Vec<String> {
    let told: &(dyn StdError + 'static) = match error {
        // A store's error says by itself what happened, and to what.
        CliError::Core(Error::Store(error)) => error,
        CliError::History { error, .. } => &**error,
        error => error,
    };
    let mut lines = vec![format!("{}: {}", Label::Error.text(colored), message(&told.to_string()))];
    lines.extend(causes(told).into_iter().map(|cause| format!("  caused by: {cause}")));
    lines.push(format!("  next: {}", message(&next_step(error, vault))));
    lines
}

/// What an error was caused by, one text for each link of the chain.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |cause| (*cause).source())
        .map(|cause| message(&cause.to_string()))
        .collect()
}

/// What happened and why, in one line.
pub(crate) fn in_one_line(error: &CliError) -> String {
    let told: &(dyn StdError + 'static) = match error {
        CliError::Core(Error::Store(error)) => error,
        CliError::History { error, .. } => &**error,
        error => error,
    };
    causes(told).into_iter().fold(message(&told.to_string()), |text, cause| text + ": " + &cause)
}

/// Makes a panic one line without backtrace, in whichever thread it happens.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| eprint_line(&panic_line(info))));
}

fn panic_line(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let place =
        info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    format!("internal error{place}: {}; please report this, with the command that led to it", message(text))
}

/// A command line of ours for the vault at hand.
fn command(arguments: &str, vault: Option<&str>) -> String {
    format!("vault {arguments} --vault {}", shell_word(vault.unwrap_or("./my-vault")))
}

/// What to try next.
#[expect(clippy::too_many_lines, reason = "a table with a line for each error")]
pub(crate) fn next_step(error: &CliError, vault: Option<&str>) -> String {
    match error {
        CliError::Core(error) => next_step_of_core(error, vault),
        CliError::OtherVault { places, .. } => format!(
            "do not back up there before you know why; if you replaced the vault yourself, delete its line in {}",
            shell_word(&places.to_string_lossy())
        ),
        CliError::History { error, remembered } if error.is_rollback() => format!(
            "do not write to it; compare it with a copy. Only if you know why it is older, forget it: `rm -r {}`",
            shell_word(&remembered.to_string_lossy())
        ),
        CliError::History { error, .. } => next_step_of_core(error, vault),
        CliError::NoLocation => {
            "name the vault: `vault snapshots --vault ./my-vault`, or set VAULT_LOCATION".to_owned()
        }
        CliError::TwoVaults { named, .. } => {
            format!("name one: `--vault {}`, and only the snapshot after it", shell_word(named))
        }
        CliError::Config(error) => next_step_for_config(error),
        CliError::Hook { name, .. } => {
            format!("see what it does by itself: `hooks.{name}` in the file that `vault config path` names")
        }
        CliError::Location(_) => "give a directory: `--vault ./my-vault`".to_owned(),
        CliError::VaultExists { .. } => {
            format!("back up into it: `{}`, or name another place", command("backup PATH", vault))
        }
        CliError::NotADate { .. } => format!("see what there is: `{}`", command("snapshots", vault)),
        CliError::NothingKept => "name what to keep: `vault forget --keep-daily 7`".to_owned(),
        CliError::NoHome(_) => "set HOME, or XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_CACHE_HOME".to_owned(),
        CliError::StartCommand { program, .. } => {
            format!("look for it: `command -v {}`", shell_word(&program.to_string_lossy()))
        }
        CliError::ReadFile { path, .. } => {
            format!("look at it: `ls -l {}`", shell_word(&path.to_string_lossy()))
        }
        CliError::NotText { path } => format!("look at it: `file {}`", shell_word(&path.to_string_lossy())),
        CliError::OwnDirectory { variable: Some(variable), .. } => {
            format!("make it writable, or set {variable} to a directory of yours")
        }
        CliError::OwnDirectory { path, variable: None, .. } => {
            format!("look at it: `ls -ld {}`", shell_word(&path.to_string_lossy()))
        }
        CliError::KeyFile(error) => next_step_for_key_file(error),
        CliError::DeviceKey { path, .. } => format!(
            "move it away to make another: `mv {0} {0}.old`; the next backup registers it",
            shell_word(&path.to_string_lossy())
        ),
        CliError::Identity { .. } => {
            "give an age identity file or an OpenSSH private key of kind ed25519".to_owned()
        }
        CliError::Unlock(error) => next_step_for_identity(error).to_owned(),
        CliError::IdentityContents(_) => USE_A_COPY.to_owned(),
        CliError::Seal(SealError::MixedRecipients) => {
            "give only recipients that start with age1pq1, or only others".to_owned()
        }
        CliError::OptionsDisagree { one: "--delete", .. } => {
            "--delete-excluded deletes whatever is not restored; look with --dry-run --verbose first"
                .to_owned()
        }
        CliError::OptionsDisagree { one, .. } => format!("leave {one} out"),
        CliError::NotConfirmed { .. } | CliError::DeletesTooMuch { .. } => {
            "look at what would be done with --dry-run --verbose; then give --yes".to_owned()
        }
        CliError::Seal(_) | CliError::Signals(_) | CliError::Interrupted | CliError::Declined => {
            "run the command again".to_owned()
        }
        CliError::Recipient { .. } | CliError::NoRecipients { .. } => {
            "give age1pq1…, age1… or ssh-ed25519 recipients; `age-keygen -y KEY-FILE` prints that of a key"
                .to_owned()
        }
        CliError::NotPostQuantum { .. } => {
            "use a recipient that starts with age1pq1, or leave --pq required out".to_owned()
        }
        CliError::IdentityExists { path } => format!(
            "leave --recipient out to use this identity, or move {} away to make another",
            shell_word(&path.to_string_lossy())
        ),
        CliError::Kit { source, .. } => next_step_for_kit(source).to_owned(),
        CliError::KitOfOtherVault { .. } => "name the vault of the kit: `--vault LOCATION`".to_owned(),
        CliError::KitTooLong => "copy identity.age itself to a safe place".to_owned(),
        CliError::Scratch { .. } => "make room in /tmp, or set TMPDIR to a directory of yours".to_owned(),
        CliError::Schedule(error) => next_step_for_schedule(error),
        CliError::Program { .. } => "run the program by its full path".to_owned(),
        CliError::Agent { .. } => {
            "leave --unlock-for out, or look at the directory in XDG_RUNTIME_DIR".to_owned()
        }
        CliError::NoIdentity => {
            "copy identity.age from the machine that made the vault, beside this machine's device.key"
                .to_owned()
        }
        CliError::NoPassphrase | CliError::PassphraseNotText => {
            "use --passphrase-file FILE, --passphrase-command COMMAND or VAULT_PASSPHRASE, or --identity FILE"
                .to_owned()
        }
        CliError::EmptyPassphrase => "choose a passphrase of several words".to_owned(),
        CliError::PassphrasesDiffer => "run the command again and type the same passphrase twice".to_owned(),
        CliError::PassphraseCommand { command, .. } | CliError::PassphraseCommandFailed { command, .. } => {
            format!("see what it does by itself: `sh -c {}`", shell_word(command))
        }
        CliError::Mount(error) => error.next_step(),
        CliError::Terminal(_) => "run the command again, or use --passphrase-file FILE".to_owned(),
        CliError::JsonNeedsOutput => "name a file for the contents: `--output FILE`".to_owned(),
        CliError::OneSnapshot => format!("name one: `{}`", command("stats latest --by-path", vault)),
        CliError::ArchiveToTerminal => "pass it on: `| tar tvf -`, or `--output FILE`".to_owned(),
        CliError::FileExists { .. } => "name another file, or move away what is there".to_owned(),
        CliError::WriteFile { path, .. } => format!(
            "look at its directory: `ls -ld {}`",
            shell_word(&path.parent().unwrap_or(path).join(".").to_string_lossy())
        ),
        CliError::Output(_) => "look at where the output goes: is the disk full?".to_owned(),
    }
}

fn next_step_for_kit(error: &KitError) -> &'static str {
    match error {
        KitError::Check { .. } | KitError::Mixed => {
            "compare it with the paper, letter by letter, or scan its codes"
        }
        KitError::Version { .. } => "use a newer version of this program",
        _ => "give all of it from BEGIN to END, or the texts of all its QR codes, one on a line",
    }
}

fn next_step_for_schedule(error: &ScheduleError) -> String {
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
        ScheduleError::Foreign { path } => format!(
            "move it away, or call the profile something else: `mv {0} {0}.old`",
            shell_word(&path.to_string_lossy())
        ),
        ScheduleError::File { path, .. } => {
            format!("look at it: `ls -ld {}`", shell_word(&path.to_string_lossy()))
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

fn next_step_for_config(error: &ConfigError) -> String {
    let known = |what: &str, known: &[String]| match known {
        [] => format!("describe one: `vault config example` shows how, `vault config path` where ({what})"),
        known => format!("name one of {}", known.join(", ")),
    };
    match error {
        ConfigError::Problems { path, .. } => format!(
            "see everything that is wrong in it: `vault config check --config {}`",
            shell_word(&path.to_string_lossy())
        ),
        ConfigError::Loose { path } => {
            format!("keep others from writing it: `chmod go-w {}`", shell_word(&path.to_string_lossy()))
        }
        ConfigError::Read { path, .. } => {
            format!("look at it: `ls -l {}`", shell_word(&path.to_string_lossy()))
        }
        ConfigError::NoProfile { known: profiles, .. } => known("[profiles.NAME]", profiles),
        ConfigError::WhichProfile { known: profiles } if profiles.is_empty() => {
            "name what to back up: `vault backup PATH`, or describe a profile: `vault config example`"
                .to_owned()
        }
        ConfigError::WhichProfile { known: profiles } => {
            format!("name paths, or a profile: `--profile {}`", profiles.join("` or `--profile "))
        }
        ConfigError::NoVault { known: vaults, .. } => known("[vaults.NAME]", vaults),
    }
}

fn next_step_for_key_file(error: &KeyFileError) -> String {
    match error {
        KeyFileError::Loose { path, .. } => {
            format!("keep it to yourself: `chmod 600 {}`", shell_word(&path.to_string_lossy()))
        }
        KeyFileError::Write { path, .. } => format!(
            "look at its directory: `ls -ld {}`; XDG_CONFIG_HOME names another",
            shell_word(&path.parent().unwrap_or(path).to_string_lossy())
        ),
        KeyFileError::Exists { path }
        | KeyFileError::NotAKeyFile { path }
        | KeyFileError::Read { path, .. } => {
            format!("look at it: `ls -l {}`", shell_word(&path.to_string_lossy()))
        }
        _ => "look at it: `ls -l`".to_owned(),
    }
}

fn next_step_for_identity(error: &OpenError) -> &'static str {
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

/// What to try next after an error of the library: by variant where there is something to say, else by kind.
fn next_step_of_core(error: &Error, vault: Option<&str>) -> String {
    match error {
        error if error.is_newer_format() => "use a newer version of this program".to_owned(),
        Error::History(_) => {
            "do not write to it: copy the file of the statement from another copy of the vault".to_owned()
        }
        Error::DeviceUnknown { .. } => {
            format!("register this device by a backup: `{}`", command("backup PATH", vault))
        }
        Error::NoRight(_) => "run it on a device of an owner, or of whose snapshots they are".to_owned(),
        Error::NotWhole { .. } => format!(
            "see what is damaged: `{}`; back up again what the source still has, or forget the snapshot",
            command("check", vault)
        ),
        Error::NotAMember { .. } => {
            "use the identity of a member: `--identity FILE`, or the passphrase of theirs".to_owned()
        }
        Error::NoSuchSnapshot { .. } | Error::AmbiguousSnapshot { .. } => {
            format!("see what there is: `{}`", command("snapshots", vault))
        }
        Error::NoSuchPath { snapshot, .. } => {
            format!("see what there is: `{}`", command(&format!("ls {}", snapshot.short()), vault))
        }
        Error::NotAFile { snapshot, .. } => {
            format!("see what it is: `{}`", command(&format!("ls -l {}", snapshot.short()), vault))
        }
        Error::Glob { .. } => {
            "quote it for the shell, and put special characters in brackets: `'[[]a]*'`".to_owned()
        }
        Error::NotADirectory { snapshot, .. } => {
            format!("see what there is: `{}`", command(&format!("ls -R {}", snapshot.short()), vault))
        }
        Error::Stream { .. } => {
            "see what the program prints by itself, and how it ends; then run this again".to_owned()
        }
        Error::Source { path, .. } => format!("look at it: `ls -ld {}`", shell_word(&path.to_string_lossy())),
        Error::Pattern { .. } => "write it as in a .gitignore file: `--exclude '*.tmp'`".to_owned(),
        Error::TargetNotEmpty { .. } => {
            "restore into a new directory, or say what becomes of what is there: `--overwrite if-changed`"
                .to_owned()
        }
        Error::TargetUnfinished { snapshot, .. } => format!(
            "finish it with the same command and {}, or restore into it with `--overwrite if-changed`",
            snapshot.short()
        ),
        Error::TargetBusy { .. } => "wait for the other restore to end, or name another directory".to_owned(),
        Error::DeletesByPartial { .. } => {
            format!("leave --delete out, or take a complete snapshot: `{}`", command("snapshots", vault))
        }
        Error::LastSnapshot { .. } => "back up first; or use --force if it is to be lost".to_owned(),
        Error::Contended { .. } => "run the command again when other backups have ended".to_owned(),
        Error::Damaged { .. } | Error::Missing { .. } | Error::ChunkMissing { .. } | Error::Tree { .. } => {
            format!("find out how far the damage goes: `{}`", command("check --read-data", vault))
        }
        Error::Keyring(_) => {
            "unlock with the identity of a member who holds these keys: `--identity FILE`".to_owned()
        }
        _ => next_step_by_kind(error.kind(), vault),
    }
}

fn next_step_by_kind(kind: ErrorKind, vault: Option<&str>) -> String {
    match kind {
        ErrorKind::Usage => "see `vault help`".to_owned(),
        ErrorKind::Permission => "check who may read and write there: `ls -ld`".to_owned(),
        ErrorKind::Conflict => "name another place, or move away what is there".to_owned(),
        ErrorKind::Full => "make room, then run the command again: what is stored stays stored".to_owned(),
        ErrorKind::Network => "check the connection, then run the command again".to_owned(),
        ErrorKind::Integrity => {
            format!("find out how far the damage goes: `{}`", command("check --read-data", vault))
        }
        ErrorKind::NotFound => {
            format!("check the place, or make a vault there: `{}`", command("init", vault))
        }
        ErrorKind::Interrupted => "run the command again: it continues from what is stored".to_owned(),
        _ => "run the command again with --verbose; if it fails again, please report it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use vault_core::store::StoreError;

    #[test]
    fn an_error_is_told_with_its_causes_and_the_next_step() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = CliError::Core(Error::Source { path: PathBuf::from("/a b"), source });

        assert_eq!(
            lines(&error, None, false),
            [
                "error: cannot back up \"/a b\"",
                "  caused by: no such file",
                "  next: look at it: `ls -ld '/a b'`"
            ]
        );
    }

    #[test]
    fn the_next_step_names_the_vault_at_hand() {
        let error = CliError::Core(Error::NoSuchSnapshot { wanted: "x".to_owned() });

        let next = lines(&error, Some("/mnt/my vault"), false).pop();

        assert_eq!(
            next.as_deref(),
            Some("  next: see what there is: `vault snapshots --vault '/mnt/my vault'`")
        );
    }

    #[test]
    fn a_vault_of_a_newer_format_asks_for_a_newer_program() {
        let newer = StoreError::NewerFormat { path: PathBuf::from("v"), found: 2, supported: 1 };
        let error = CliError::Core(newer.into());

        let next = lines(&error, None, false).pop();

        assert_eq!(next.as_deref(), Some("  next: use a newer version of this program"));
    }

    #[test]
    fn an_error_cannot_write_control_characters() {
        let error = CliError::VaultExists { location: "\x1b[2J\nerror: gone".to_owned() };

        let text = lines(&error, Some("\x07"), true).join("\n");

        assert!(!text.contains("\x1b[2J") && !text.contains('\x07'), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }
}
