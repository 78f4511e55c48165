//! Cards: which devices are a user's, said by the user's root key.
//!
//! A card is a chain of entries. Each holds all devices after it, never a difference, so the newest one is all that counts; each
//! names the hash of the one before, so whoever knows one entry sees when an older one is shown. Only a [`Verified`] entry
//! changes a [`Chain`]. A reader of entry n:
//!
//! ```text
//! decodes the stored bytes: bounded, deterministic, at most 64 devices, ascending by id      [1]
//! refuses another version of the format                                                      [2]
//! compares root key, seq and prev with what must come next                                   [3]
//! verifies the signature of the root key                                                     [4]
//! verifies, for each device that is new or changed, its own signature over the user          [5]
//! ```
//!
//! A server that links this can tell devices apart, and open nothing: recipients are opaque here. The bytes are fixed in
//! `docs/protocol.md`.

mod chain;
mod device;
mod entry;
mod error;
mod whole;

pub use chain::{Chain, Verified};
pub use device::{Consent, ListedDevice};
pub use entry::{Card, Entry};
pub use error::CardError;
pub use whole::{CardTextError, WholeCard};

/// The version of the format that this code reads and writes.
pub const FORMAT_VERSION: u64 = 1;

/// The largest entry: [`MAX_DEVICES`] with post-quantum recipients of about 2000 characters each fit.
pub const MAX_ENTRY_BYTES: usize = 160 << 10;

/// The most devices on a card.
pub const MAX_DEVICES: usize = 64;

/// The longest text of a recipient.
pub const MAX_RECIPIENT_BYTES: usize = 2400;
