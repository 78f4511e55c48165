//! The engine of Vault: chunks, compresses, seals, stores and restores directories, end-to-end encrypted.
//!
//! Layers, from the bottom; a module imports only from layers above it in this list (`tests/architecture.rs` holds the table):
//!
//! | layer | modules |
//! |---|---|
//! | values | [`id`], [`bytes`], [`cbor`], [`time`], [`progress`] |
//! | primitives | [`crypto`] |
//! | stored forms | [`format`] |
//! | history and authority | [`log`] |
//! | who can open what | [`keys`] |
//! | file contents to chunks | [`chunk`] |
//! | where objects lie | [`store`] |
//! | an open vault | [`vault`] |
//! | threads and queues | [`pipeline`] |
//! | the verbs | [`ops`] |
//!
//! Rules that hold in the whole crate: nothing prints, prompts, or reads the environment or a clock; time and randomness are
//! passed in; no panic on any input; secrets are wiped and never shown.
//!
//! Without the default feature `client` only what a server needs is compiled: ids, encodings, hashes, signatures and the log.
//! Nothing that opens or seals is then in the binary.

pub mod bytes;
pub mod cbor;
pub mod crypto;
pub mod id;
pub mod log;
pub mod progress;
pub mod time;

#[cfg(feature = "client")]
pub mod chunk;
#[cfg(feature = "client")]
pub mod error;
#[cfg(feature = "client")]
pub mod format;
#[cfg(feature = "client")]
pub mod keys;
#[cfg(feature = "client")]
pub mod ops;
#[cfg(feature = "client")]
pub mod pipeline;
#[cfg(feature = "client")]
pub mod store;
#[cfg(feature = "client")]
pub mod vault;
