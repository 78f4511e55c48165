//! `GET /v1/server`: what a server is and allows. Open to everyone, so it tells nothing about anyone.

use serde::{Deserialize, Serialize};

use crate::crypto::sign::VerifyingKey;
use crate::wire::encoding::Millis;
use crate::wire::limits;

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// The version of the program.
    pub version: String,
    /// The versions of the protocol it speaks.
    pub protocol: Vec<u32>,
    /// Its clock.
    pub time: Millis,
    /// What its receipts verify with. **Trusted only from a join.**
    pub receipt_key: VerifyingKey,
    /// The largest bodies it takes.
    pub limits: Limits,
}

/// The largest bodies a server takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// See [`limits::PACK_BYTES`].
    pub pack: u64,
    /// See [`limits::INDEX_BYTES`].
    pub index: u64,
    /// See [`limits::STATEMENT_BYTES`].
    pub statement: u64,
    /// See [`limits::ENVELOPE_BYTES`].
    pub envelope: u64,
    /// See [`limits::CARD_BYTES`].
    pub card: u64,
    /// See [`limits::JSON_BYTES`].
    pub json: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack: limits::PACK_BYTES,
            index: limits::INDEX_BYTES,
            statement: limits::STATEMENT_BYTES,
            envelope: limits::ENVELOPE_BYTES,
            card: limits::CARD_BYTES,
            json: limits::JSON_BYTES,
        }
    }
}
