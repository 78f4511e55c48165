//! How large things may be, and how long they may take: the numbers of `docs/protocol.md`, for both sides.
//!
//! A size is compared with its limit before anything is read or allocated.

use crate::object::ObjectKind;

/// The largest pack.
pub const PACK_BYTES: u64 = 100_000_000;
/// The largest index object.
pub const INDEX_BYTES: u64 = 256 << 20;
/// The largest statement.
pub const STATEMENT_BYTES: u64 = crate::log::MAX_STATEMENT_BYTES as u64;
/// The largest envelope, and the largest sealed identity.
pub const ENVELOPE_BYTES: u64 = 1 << 20;
/// The largest card entry.
pub const CARD_BYTES: u64 = crate::card::MAX_ENTRY_BYTES as u64;
/// The largest answer to a device request.
pub const DEVICE_ANSWER_BYTES: u64 = 64 << 10;
/// The size of the consent of a new device.
pub const DEVICE_CONSENT_BYTES: u64 = crate::crypto::sign::SIGNATURE_BYTES as u64;
/// The largest JSON body of a request.
pub const JSON_BYTES: u64 = 256 << 10;
/// The largest JSON body of an answer: a list of 1000 objects is below it.
pub const JSON_ANSWER_BYTES: u64 = 1 << 20;
/// The most bytes of a list of entries, unless its only entry is larger.
pub const ENTRIES_BYTES: usize = 4 << 20;
/// The most objects in one list, one query, or one request to undelete.
pub const LISTED_OBJECTS: usize = 1000;
/// The most entries of an audit in one answer.
pub const LISTED_AUDIT: usize = 1000;
/// The largest head of a request.
pub const HEAD_BYTES: usize = 32 << 10;
/// The most headers of a request.
pub const HEADERS: usize = 48;
/// The longest text of a recipient.
pub const RECIPIENT_BYTES: usize = crate::card::MAX_RECIPIENT_BYTES;

/// The longest that a server lets a client wait for a new head, in seconds.
pub const HEAD_WAIT_SECONDS: u64 = 55;
/// How far `created` of a signature may be from the server's clock, in seconds, either way.
pub const CLOCK_WINDOW_SECONDS: u64 = 300;
/// How long a device request lives, in seconds.
pub const DEVICE_REQUEST_SECONDS: u64 = 15 * 60;
/// How many wrong MACs use up an invite.
pub const INVITE_ATTEMPTS: u32 = 5;
/// The least average rate at which a body must arrive, in bytes per second, after [`RATE_FREE_SECONDS`].
pub const BODY_BYTES_PER_SECOND: u64 = 16 << 10;
/// How long a body may come at any rate.
pub const RATE_FREE_SECONDS: u64 = 10;
/// How long a body may pause.
pub const BODY_PAUSE_SECONDS: u64 = 30;
/// Within how many seconds the head of a request must have come.
pub const HEAD_SECONDS: u64 = 10;

/// The largest object of a kind.
pub const fn object_bytes(kind: ObjectKind) -> u64 {
    match kind {
        ObjectKind::Pack => PACK_BYTES,
        ObjectKind::Index => INDEX_BYTES,
        ObjectKind::Statement => STATEMENT_BYTES,
        ObjectKind::Envelope | ObjectKind::Identity => ENVELOPE_BYTES,
    }
}
