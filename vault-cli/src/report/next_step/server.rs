//! What to try next where a server is in the way.
//!
//! Where somebody may stand between here and the server, the advice is never to go on.

use vault_core::error::Error;
use vault_core::log::FollowError;
use vault_core::net::{NetError, NetErrorKind};
use vault_core::store::StoreError;
use vault_core::wire::PROTOCOL;

use super::command;
use crate::error::ServerError;
use crate::ui::human::shell_word;

/// What to do about a card that cannot be right.
pub(super) const CARD: &str = "do not go on: the server shows something that you did not sign; compare `vault device list` on your other machines";

/// What a server said or did, if that is what went wrong.
pub(super) fn of(error: &Error) -> Option<&NetError> {
    match error {
        Error::Net(error) => Some(error),
        Error::Store(StoreError::Server { source, .. })
        | Error::History(FollowError::Read { source: StoreError::Server { source, .. }, .. }) => Some(source),
        _ => None,
    }
}

pub(super) fn next_step_of_net(error: &NetError, vault: Option<&str>) -> String {
    if let NetError::Version { theirs, .. } = error {
        return of_versions(theirs);
    }
    match error.kind() {
        NetErrorKind::Network => {
            "see whether the server runs and can be reached, then run the command again: what is stored stays stored"
                .to_owned()
        }
        NetErrorKind::Integrity => {
            "do not go on: somebody may stand between here and the server; ask its operator whether its key was \
             changed, and only then join again with a new invite"
                .to_owned()
        }
        NetErrorKind::Unauthorized => {
            "this device is not on your card there, or no more: look on another of yours with `vault device list`, \
             or ask to be taken on: `vault device request URL`"
                .to_owned()
        }
        NetErrorKind::ClockSkew => "set this machine's clock: `timedatectl set-ntp true`".to_owned(),
        NetErrorKind::Forbidden => "ask an owner of the vault, or use a device that may do it".to_owned(),
        NetErrorKind::NotFound => "see which vaults there are: `vault vaults`".to_owned(),
        NetErrorKind::Expired => "ask for another invite: on the server, `vault-server invite`".to_owned(),
        NetErrorKind::Quota => format!(
            "delete what is no longer needed: `{}` and `vault prune`; or ask the operator for more",
            command("forget", vault)
        ),
        NetErrorKind::Full => "the server's operator must make room; what is stored stays stored".to_owned(),
        NetErrorKind::TooSlow => "run the command again on a better line, or later".to_owned(),
        NetErrorKind::Protocol => "compare `vault --version` with that of the server: update the older one".to_owned(),
        NetErrorKind::NameTaken => "choose another name with `vault join … --name NAME`: the invite can still be used".to_owned(),
        NetErrorKind::Taken => "run the command again".to_owned(),
        NetErrorKind::Interrupted => "run the command again: it continues from what is stored".to_owned(),
        _ => "run the command again with --verbose; the server's log has more".to_owned(),
    }
}

/// Which of the two to update.
fn of_versions(theirs: &[u32]) -> String {
    let newest = theirs.iter().max().copied().unwrap_or(0);
    let step = match newest {
        0 => "update the older of this program and the server",
        newest if newest > PROTOCOL => "update this program",
        _ => "ask the server's operator to update it",
    };
    format!("{step}; what is stored stays stored")
}

pub(super) fn next_step(error: &ServerError) -> String {
    match error {
        ServerError::UnknownVault { known, .. } if known.is_empty() => {
            "make it: `vault backup --init --vault NAME PATH`; a directory is written with a slash: `./NAME`".to_owned()
        }
        ServerError::UnknownVault { known, .. } => format!(
            "name one of {}; make a new one with --init; a directory is written with a slash: `./NAME`",
            known.join(", ")
        ),
        ServerError::NotAName { .. } => "choose a word like photos".to_owned(),
        ServerError::NameTaken { .. } => "choose another; see those there are: `vault vaults`".to_owned(),
        ServerError::NewVaultWithoutName => "name it: `vault init --vault NAME --server URL`".to_owned(),
        ServerError::NotJoined { .. } => {
            "join it with an invite: `vault join 'https://…'`, or ask another device of yours: `vault device request URL`"
                .to_owned()
        }
        ServerError::WhichServer { known } => format!("name one: `--server {}`", known.join("` or `--server ")),
        ServerError::JoinedAlready { .. } => "see who you are there: `vault whoami`; to join it anew give --again".to_owned(),
        ServerError::ServerUrl(_) => "write it as https://host or https://host:8443".to_owned(),
        ServerError::Invite(_) => {
            "give the whole URL in quotes, as the server printed it: `vault join 'https://…/join/…#…'`".to_owned()
        }
        ServerError::DeviceRequest(_) => {
            "give the whole URL in quotes, as the new machine shows it: `vault device add 'https://…/device/…#…'`".to_owned()
        }
        ServerError::Impostor { .. } => {
            "do not go on: somebody may stand between here and the server. Compare the invite with what the operator \
             sees; if the server was set up anew, ask for a new invite"
                .to_owned()
        }
        ServerError::ServerFile { path } => format!(
            "move it away and join again: `mv {0} {0}.old`",
            shell_word(&path.to_string_lossy())
        ),
        ServerError::DeviceMismatch { .. } => {
            "do not go on: somebody may stand between the two machines; start again with `vault device request`".to_owned()
        }
        ServerError::AuditBroken { .. } => "ask the server's operator; what the vault itself holds is verified by `vault check`".to_owned(),
        ServerError::WordsNotCompared => "give the words that the other machine shows: `--yes-words '…'`".to_owned(),
        ServerError::NotApproved { .. } => "ask again: `vault device request URL`".to_owned(),
        ServerError::NotAgreed { .. } => "ask again on the new machine: `vault device request URL`".to_owned(),
        ServerError::NoSuchDevice { .. } => "see which there are: `vault device list`".to_owned(),
        ServerError::NotOnServer { .. } => "name a vault on a server; see them with `vault vaults`".to_owned(),
    }
}
