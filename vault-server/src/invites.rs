//! Invites: made by the operator, used once by who joins.
//!
//! The secret is in the URL only; what the server keeps cannot be turned into it.

use vault_core::crypto::random::{Random, RandomUnavailable};
use vault_core::wire::Authority;
use vault_core::wire::authority::Pin;
use vault_core::wire::invite::InviteUrl;

use crate::config::Keeping;
use crate::db::{Database, DbError, NewInvite};

/// The quota of who may store without limit: more than any disk has, and as much as the databases count.
pub const NO_LIMIT: u64 = i64::MAX as u64;

/// How long the first user's invite can be used.
const FIRST_VALID_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Why there is no invite.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// No randomness for a secret.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
    /// The server's address cannot stand in a URL.
    #[error("{url} is not an address that clients could reach: set public_url")]
    Address {
        /// The address.
        url: String,
    },
}

/// What an invite gives.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What the operator calls it.
    pub label: String,
    /// What the user may store, in bytes.
    pub quota: u64,
    /// How long it can be used, in milliseconds.
    pub valid_ms: u64,
}

impl Terms {
    /// Those of the first user.
    pub fn of_first_user(keeping: &Keeping) -> Self {
        Self { label: "first user".to_owned(), quota: quota_of(keeping.user_quota), valid_ms: FIRST_VALID_MS }
    }
}

/// The quota for a configured number of bytes, of which 0 is no limit.
pub fn quota_of(bytes: u64) -> u64 {
    if bytes == 0 { NO_LIMIT } else { bytes }
}

/// Makes an invite to the server at that URL, with the pin of its key; the URL that who joins is given.
pub async fn make(
    db: &Database,
    (url, pin): (&str, Option<[u8; 32]>),
    terms: &Terms,
    now_ms: u64,
    random: &dyn Random,
) -> Result<String, InviteError> {
    let authority = url.strip_prefix("https://").and_then(Authority::parse);
    let authority = authority.ok_or_else(|| InviteError::Address { url: url.to_owned() })?;
    let invite = InviteUrl::generate(authority, pin.map(Pin), random)?;
    db.add_invite(NewInvite {
        invite: *invite.invite.as_bytes(),
        auth: *invite.auth().expose(),
        label: terms.label.clone(),
        quota: terms.quota,
        now_ms,
        expires_ms: now_ms.saturating_add(terms.valid_ms),
    })
    .await?;
    Ok(invite.expose().to_string())
}
