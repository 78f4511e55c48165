//! What to try next where people are in the way.

use super::command;
use crate::error::ShareError;

pub(super) fn next_step(error: &ShareError, vault: Option<&str>) -> String {
    match error {
        ShareError::NoSuchMember { .. } => {
            format!("see who they are, and what they are called: `{}`", command("member list", vault))
        }
        ShareError::NoUser { .. } => {
            "ask them for their contact card, `vault whoami --card`, and add that".to_owned()
        }
    }
}
