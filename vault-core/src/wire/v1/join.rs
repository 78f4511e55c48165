//! `POST /v1/join`: an invite is used up, and a user's card comes to the server or grows by a device.
//!
//! The MACs show both sides that the other one knows the invite's secret: see [`InviteAuth`](crate::wire::invite::InviteAuth).

use serde::{Deserialize, Serialize};

use crate::crypto::sign::VerifyingKey;
use crate::id::{InviteId, UserId};
use crate::wire::encoding::{Binary, ByteText};
use crate::wire::name::UserName;

/// What who joins sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The invite.
    pub invite: InviteId,
    /// A card entry: the first of a new user, or the next of a known one.
    pub entry: ByteText,
    /// Over the entry.
    pub mac: Binary<32>,
    /// The name that who joins wants to have; without one, the invite's label where it is a name that nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<UserName>,
}

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The user whose card it is.
    pub user: UserId,
    /// What the server's receipts verify with.
    pub receipt_key: VerifyingKey,
    /// Over the receipt key and the hash of the entry.
    pub mac: Binary<32>,
}
