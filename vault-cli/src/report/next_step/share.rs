//! What to try next where people are in the way, or something that one of them gave.
//!
//! Where something is not from whom it says, the advice is never to go on.

use super::command;
use crate::error::ShareError;

pub(super) fn next_step(error: &ShareError, vault: Option<&str>) -> String {
    for_people(error, vault)
        .or_else(|| for_terms(error))
        .or_else(|| for_link(error))
        .unwrap_or_else(|| for_received(error).to_owned())
}

/// Whom somebody means.
fn for_people(error: &ShareError, vault: Option<&str>) -> Option<String> {
    Some(match error {
        ShareError::NoSuchMember { .. } => {
            format!("see who they are, and what they are called: `{}`", command("member list", vault))
        }
        ShareError::NoUser { .. } => {
            "ask them for their contact card, `vault whoami --card`, and add that".to_owned()
        }
        ShareError::NoAccount { .. } => {
            "give them a link instead, which needs no account: `vault link SNAP:PATH`; or a file: `vault export`"
                .to_owned()
        }
        ShareError::NotPostQuantum { .. } => {
            "ask them for a recipient that starts with age1pq1; or give them a file: `vault export`".to_owned()
        }
        ShareError::TooMany { .. } => "share it several times, with some of them each".to_owned(),
        _ => return None,
    })
}

/// What was asked for on the command line.
fn for_terms(error: &ShareError) -> Option<String> {
    Some(
        match error {
            ShareError::ExpiresBefore => "name a later end: `--expires 30d`",
            ShareError::Several { .. } => "give more digits of its id",
            ShareError::OneGrant => {
                "restore it, and compare that: `vault get GRANT --target DIR`, then `vault diff … --source DIR`"
            }
            ShareError::NoOrigin => "say where to: `--target DIR`, or with diff `--source DIR`",
            ShareError::Export { .. } => {
                "give only recipients that start with age1pq1, or only others; `vault contact list` shows them"
            }
            _ => return None,
        }
        .to_owned(),
    )
}

/// Links, and who has them.
fn for_link(error: &ShareError) -> Option<String> {
    Some(
        match error {
            ShareError::LinkNeedsServer { .. } => {
                "make a file of it, to hand over as you like: `vault export SNAP:PATH --to NAME -o FILE`"
            }
            ShareError::NoLinkPassphrase => "give it in a file: `--link-passphrase-file FILE`",
            ShareError::LinkPassphrase => {
                "try again with the one that you were told: nothing was counted as a download"
            }
            ShareError::Link(_) => "give the whole URL in quotes, with what stands behind the `#`: `vault get 'https://…/s/…#…' --target DIR`",
            ShareError::LinkUnknown { .. } => {
                "compare it with what you were sent, letter by letter; or ask who sent it for a new one"
            }
            ShareError::LinkUsedUp => "ask who sent it for a new one",
            _ => return None,
        }
        .to_owned(),
    )
}

/// What one was given.
fn for_received(error: &ShareError) -> &'static str {
    match error {
        ShareError::Expired { .. } => "ask who gave it to give it again: `vault share`",
        ShareError::Stranger { .. } => {
            "if you know who it is, ask for their name there and add them: `vault contact add NAME`; to open it as it is: --from-stranger"
        }
        ShareError::NotTheirDevice { .. } | ShareError::Card { .. } => {
            "do not use it: somebody may stand between you and them; ask them, by another way than the server, whether they \
             gave it, and for the words of `vault whoami`"
        }
        _ => "see what you were given: `vault inbox`",
    }
}
