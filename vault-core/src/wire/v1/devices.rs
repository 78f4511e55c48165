//! `/v1/device-requests`: a new device asks to be taken onto a card.
//!
//! Nothing here is believed: who approves compares the fingerprint of these keys with what the new device shows.

use serde::{Deserialize, Serialize};

use crate::crypto::sign::VerifyingKey;
use crate::id::RequestId;
use crate::wire::encoding::Millis;

/// The public keys of the new device: what it posts, and what who approves reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Verifies its requests.
    pub signing_key: VerifyingKey,
    /// The text of its age recipient; at most [`RECIPIENT_BYTES`](crate::wire::limits::RECIPIENT_BYTES).
    pub recipient: String,
}

/// The same as an answer, which may have more members one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedDevice {
    /// Verifies its requests.
    pub signing_key: VerifyingKey,
    /// The text of its age recipient.
    pub recipient: String,
}

/// The answer to a posted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMade {
    /// Under which id it waits.
    pub request: RequestId,
    /// Until when.
    pub expires: Millis,
}
