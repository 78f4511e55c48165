//! `/v1/inbox`, `/v1/grants`, `/v1/links` and `/v1/vaults/{vault}/grants`: what was given to whom.
//!
//! Statements and objects are binary, as everywhere.

use serde::{Deserialize, Serialize};

use crate::id::{GrantId, Seq, TicketId, UserId, VaultId};
use crate::wire::encoding::{Millis, at_most};

/// The most grants of one answer.
pub const LISTED_GRANTS: usize = 500;

/// Carries the ticket of a download through a link.
pub const TICKET_HEADER: &str = "vault-ticket";

/// The query of a page of grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantsQuery {
    /// Only those that come after this one, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<GrantId>,
}

/// A page of what somebody was given, ascending by id: neither expired nor taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    /// At most [`LISTED_GRANTS`].
    #[serde(deserialize_with = "at_most::<LISTED_GRANTS, _, _>")]
    pub grants: Vec<Received>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// One grant that somebody was given. What it is of stands in the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Its id.
    pub grant: GrantId,
    /// The vault.
    pub vault: VaultId,
    /// Who gave it, as the server says; the statement proves it.
    pub from: UserId,
    /// When the server took the statement.
    pub given_at: Millis,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

/// What a link answers when a download begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkOpened {
    /// Lets this download go on, and be tried again, without being counted again.
    pub ticket: TicketId,
    /// Until when.
    pub until: Millis,
    /// How many downloads are left after this one; without a number, as many as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u32>,
}

/// A page of what was given from a vault, ascending by id: expired or not, but not taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// At most [`LISTED_GRANTS`].
    #[serde(deserialize_with = "at_most::<LISTED_GRANTS, _, _>")]
    pub grants: Vec<GivenGrant>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// How often one grant was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenGrant {
    /// Its id.
    pub grant: GrantId,
    /// Its statement.
    pub seq: Seq,
    /// How often somebody began to fetch it.
    pub fetched: u64,
    /// When that was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Millis>,
}
