//! What to try next after an error of the library: by variant where there is something to say, else by kind.
//!
//! Each function answers only for errors of its group, so that it can be read by itself.

use vault_core::error::{Error, ErrorKind};
use vault_core::log::Refusal;
use vault_core::store::StoreError;

use super::server;
use super::{command, for_missing, is_missing, word};

/// What to try next.
pub(super) fn next_step(error: &Error, vault: Option<&str>) -> String {
    for_server(error, vault)
        .or_else(|| for_log(error))
        .or_else(|| for_access(error, vault))
        .or_else(|| for_grant(error))
        .or_else(|| for_snapshot(error, vault))
        .or_else(|| for_file(error))
        .or_else(|| for_target(error, vault))
        .or_else(|| for_contents(error, vault))
        .unwrap_or_else(|| by_kind(error.kind(), vault))
}

/// A server, and who may stand between here and there.
fn for_server(error: &Error, vault: Option<&str>) -> Option<String> {
    if let Some(error) = server::of(error) {
        return Some(server::next_step_of_net(error, vault));
    }
    Some(match error {
        Error::Store(StoreError::NotJoined { server }) => {
            format!("join it with an invite: `vault join '{server}/join/…'`")
        }
        Error::Card(_) | Error::CardRolledBack { .. } => server::CARD.to_owned(),
        _ => return None,
    })
}

/// The log, and what others wrote into it.
fn for_log(error: &Error) -> Option<String> {
    Some(match error {
        error if error.is_newer_format() => "use a newer version of this program".to_owned(),
        Error::History(_) => {
            "do not write to it: copy the file of the statement from another copy of the vault".to_owned()
        }
        Error::Contended { .. } => "run the command again when other backups have ended".to_owned(),
        _ => return None,
    })
}

/// Who may do what, and with which keys.
fn for_access(error: &Error, vault: Option<&str>) -> Option<String> {
    Some(match error {
        Error::DeviceUnknown { .. } => {
            format!("register this device by a backup: `{}`", command("backup PATH", vault))
        }
        Error::NoRight(Refusal::ReaderCommits) => {
            "ask an owner for more: `vault member add YOUR-NAME --role editor`".to_owned()
        }
        Error::BeforeMembership { .. } => {
            "ask an owner for the history: `vault member add YOUR-NAME --role ROLE --history full`".to_owned()
        }
        Error::PartOfHistory { .. } => {
            "leave it to an owner: only who can read every snapshot can tell what none needs".to_owned()
        }
        Error::NoRight(_) => "run it on a device of an owner, or of whose snapshots they are".to_owned(),
        Error::NotAMember { .. } => {
            "use the identity of a member: `--identity FILE`, or the passphrase of theirs".to_owned()
        }
        Error::Keyring(_) => {
            "unlock with the identity of a member who holds these keys: `--identity FILE`".to_owned()
        }
        _ => return None,
    })
}

/// What was given, and from whom.
fn for_grant(error: &Error) -> Option<String> {
    Some(match error {
        Error::NoSuchGrant { .. } => {
            "see what you were given: `vault inbox`; what you gave away: `vault grants`".to_owned()
        }
        Error::Store(StoreError::GrantEnded { .. }) => {
            "ask who gave it for another; what is in the target is whole files, without the rest".to_owned()
        }
        Error::GrantForged { .. } | Error::Link(_) => {
            "do not use it: it was changed on its way, or is from somebody else; ask who gave it".to_owned()
        }
        Error::GrantEnvelope(_) => {
            "open it with the key that it was given to: `--identity FILE`, or your own passphrase".to_owned()
        }
        _ => return None,
    })
}

/// Snapshots, and what is in them.
fn for_snapshot(error: &Error, vault: Option<&str>) -> Option<String> {
    Some(match error {
        Error::NoSuchSnapshot { .. } | Error::AmbiguousSnapshot { .. } => {
            format!("see what there is: `{}`", command("snapshots", vault))
        }
        Error::NoSuchPath { snapshot, .. } => {
            format!("see what there is: `{}`", command(&format!("ls {}", snapshot.short()), vault))
        }
        Error::NotAFile { snapshot, .. } => {
            format!("see what it is: `{}`", command(&format!("ls -l {}", snapshot.short()), vault))
        }
        Error::NotADirectory { snapshot, .. } => {
            format!("see what there is: `{}`", command(&format!("ls -R {}", snapshot.short()), vault))
        }
        Error::LastSnapshot { .. } => "back up first; or use --force if it is to be lost".to_owned(),
        _ => return None,
    })
}

/// What is read from this machine, and the patterns that choose from it.
fn for_file(error: &Error) -> Option<String> {
    Some(match error {
        Error::Glob { .. } => {
            "quote it for the shell, and put special characters in brackets: `'[[]a]*'`".to_owned()
        }
        Error::Pattern { .. } => {
            "write it as in a .gitignore file: `--exclude '*.tmp'`; brackets of a name as `[[]` and `[]]`"
                .to_owned()
        }
        Error::Stream { .. } => {
            "see what the program prints by itself, and how it ends; then run this again".to_owned()
        }
        Error::Source { path, source } | Error::Local { path, source, .. } if is_missing(source) => {
            for_missing(path)
        }
        Error::Source { path, .. } => format!("look at it: `ls -ld {}`", word(path)),
        _ => return None,
    })
}

/// Where something is restored.
fn for_target(error: &Error, vault: Option<&str>) -> Option<String> {
    Some(match error {
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
        _ => return None,
    })
}

/// Objects that are not as they should be.
fn for_contents(error: &Error, vault: Option<&str>) -> Option<String> {
    Some(match error {
        Error::NotWhole { .. } => format!(
            "see what is damaged: `{}`; back up again what the source still has, or forget the snapshot",
            command("check", vault)
        ),
        Error::Damaged { .. } | Error::Missing { .. } | Error::ChunkMissing { .. } | Error::Tree { .. } => {
            format!("find out how far the damage goes: `{}`", command("check --read-data", vault))
        }
        _ => return None,
    })
}

fn by_kind(kind: ErrorKind, vault: Option<&str>) -> String {
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
            "check the place; a vault is a directory with a file VAULT in it, or a name that `vault vaults` shows"
                .to_owned()
        }
        ErrorKind::Interrupted => "run the command again: it continues from what is stored".to_owned(),
        _ => "run the command again with --verbose; if it fails again, please report it".to_owned(),
    }
}
