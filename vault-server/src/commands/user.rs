//! `vault-server user`: who has an account, and what they may store.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use vault_core::bytes::ByteSize;
use vault_core::id::UserId;
use vault_core::wire::UserName;
use vault_server::Parts;
use vault_server::config::{Config, parse_size};
use vault_server::db::{Named, UserRecord};
use vault_server::invites::{NO_LIMIT, quota_of};

use super::{CommandError, moment, print, with_parts};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// All users
    List,
    /// Refuse all requests of a user's devices, from the next one on
    Suspend {
        /// The user's id, or enough digits of its beginning
        user: String,
    },
    /// Accept them again
    Resume {
        /// The user's id, or enough digits of its beginning
        user: String,
    },
    /// Give a user the name that others find them by, in place of the one they had
    Name {
        /// The user's id, or enough digits of its beginning
        user: String,
        /// Lower-case letters, digits, `.`, `_` and `-`
        name: String,
    },
    /// Set what a user may store
    Quota {
        /// The user's id, or enough digits of its beginning
        user: String,
        /// As in "500 GiB"; "0": no limit
        size: String,
    },
}

pub(crate) fn run(verb: &Verb, config: &Config, json: bool) -> Result<ExitCode, CommandError> {
    with_parts(config, async |parts| match verb {
        Verb::List => list(parts, json).await,
        Verb::Suspend { user } => {
            let user = find(parts, user).await?;
            parts.db.set_suspended(user, true).await?;
            print(&format!("{user} is suspended"))
        }
        Verb::Resume { user } => {
            let user = find(parts, user).await?;
            parts.db.set_suspended(user, false).await?;
            print(&format!("{user} is accepted again"))
        }
        Verb::Name { user, name } => rename(parts, user, name).await,
        Verb::Quota { user, size } => {
            let bytes =
                parse_size(size).ok_or_else(|| CommandError::Usage(format!("{size} is not a size")))?;
            let user = find(parts, user).await?;
            parts.db.set_user_quota(user, quota_of(bytes)).await?;
            print(&format!("{user} may store {}", shown(quota_of(bytes))))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A quota for people.
pub(crate) fn shown(quota: u64) -> String {
    if quota == NO_LIMIT { "without limit".to_owned() } else { ByteSize(quota).to_string() }
}

async fn all(parts: &Parts) -> Result<Vec<UserRecord>, CommandError> {
    let mut users: Vec<UserRecord> = Vec::new();
    loop {
        let page = parts.db.users(users.last().map(|user| &user.user), 1000).await?;
        if page.is_empty() {
            return Ok(users);
        }
        users.extend(page);
    }
}

async fn list(parts: &Parts, json: bool) -> Result<(), CommandError> {
    let users = all(parts).await?;
    if json {
        let users: Vec<_> = users
            .iter()
            .map(|user| {
                serde_json::json!({
                    "user": user.user.to_hex(), "name": (!user.name.is_empty()).then_some(&user.name),
                    "label": user.label, "used": user.used,
                    "quota": (user.quota != NO_LIMIT).then_some(user.quota), "suspended": user.suspended,
                    "created": user.created_ms,
                })
            })
            .collect();
        return print(&serde_json::json!({ "users": users }).to_string());
    }
    let mut text = format!(
        "{:<32}  {:>10}  {:>13}  {:<16}  {:<16}  {}",
        "user", "used", "quota", "joined", "name", "label"
    );
    for user in &users {
        let (used, quota) = (ByteSize(user.used).to_string(), shown(user.quota));
        let suspended = if user.suspended { " (suspended)" } else { "" };
        let joined = moment(user.created_ms);
        let (id, name, label) = (user.user, &user.name, &user.label);
        let _ = write!(text, "\n{id}  {used:>10}  {quota:>13}  {joined:<16}  {name:<16}  {label}{suspended}");
    }
    print(&text)
}

async fn rename(parts: &Parts, user: &str, name: &str) -> Result<(), CommandError> {
    let parsed =
        UserName::parse(name).map_err(|error| CommandError::Usage(format!("{name} is no name: {error}")))?;
    let user = find(parts, user).await?;
    match parts.db.set_name(user, parsed).await? {
        Named::Done => print(&format!("{user} is called {name}")),
        Named::Taken => Err(CommandError::NotInOrder(format!("another user is called {name}"))),
        Named::NoUser => Err(CommandError::Usage(format!("there is no user {user}"))),
    }
}

async fn find(parts: &Parts, text: &str) -> Result<UserId, CommandError> {
    if let Ok(user) = UserId::parse(text) {
        let known = parts.db.user(&user).await?;
        return known
            .map(|known| known.user)
            .ok_or_else(|| CommandError::Usage(format!("there is no user {text}")));
    }
    let users = all(parts).await?;
    let mut found = users.iter().filter(|user| !text.is_empty() && user.user.to_hex().starts_with(text));
    match (found.next(), found.next()) {
        (Some(user), None) => Ok(user.user),
        (None, _) => {
            Err(CommandError::Usage(format!("there is no user {text}; all users: vault-server user list")))
        }
        (Some(_), Some(_)) => Err(CommandError::Usage(format!("several users begin with {text}"))),
    }
}
