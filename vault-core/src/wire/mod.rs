//! What client and server say to each other: the shapes, and the rules both sides keep.
//!
//! Each part of `docs/protocol.md` has one file here, and neither side has a form of its own: what one writes, the other reads
//! with the same code. Whatever comes from the other side is bounded and checked once, where it is parsed; the types say so
//! afterwards. Nothing here opens a connection, reads a clock or keeps anything.

pub mod audit;
pub mod authority;
pub mod encoding;
pub mod entries;
pub mod fingerprint;
pub mod invite;
pub mod limits;
pub mod link;
pub mod name;
pub mod problem;
pub mod ranges;
pub mod receipt;
mod secret_url;
pub mod signing;
pub mod v1;

pub use authority::Authority;
pub use encoding::{Binary, ByteText, Millis, Number};
pub use name::UserName;
pub use problem::{Code, Problem};
pub use receipt::Receipt;

/// The version of the protocol that this code speaks.
pub const PROTOCOL: u32 = 1;

/// Carries the receipt of one statement: see [`Receipt`].
pub const RECEIPT_HEADER: &str = "vault-receipt";

/// Carries when the server stored an object, in milliseconds since 1970 UTC.
pub const STORED_AT_HEADER: &str = "vault-stored-at";

/// The media type of everything that is not JSON.
pub const OCTETS: &str = "application/octet-stream";

/// The media type of small bodies.
pub const JSON: &str = "application/json";
