//! What can be wrong with one object.
//!
//! A fault names no object: whoever reports it says which one it is of.

use crate::chunk::compress::CompressError;
use crate::crypto::aead::OpenError;
use crate::format::DecodeError;
use crate::id::Epoch;
use crate::keys::keyring::KeyringError;

/// What is wrong with a damaged object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Its bytes do not have the hash that names it.
    #[error("its contents do not have the hash in its name")]
    WrongHash,
    /// It has another length than it should.
    #[error("it has {found} bytes instead of {expected}")]
    WrongSize {
        /// The length recorded.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// It is not the object that its name promises.
    #[error("it belongs to another place: {what} differs")]
    Misplaced {
        /// The field that differs.
        what: &'static str,
    },
    /// A sealed part does not open.
    #[error("segment {segment} does not open")]
    Segment {
        /// Number of the segment in its pack.
        segment: u32,
        /// The failure.
        #[source]
        source: OpenError,
    },
    /// A sealed part of it does not open.
    #[error("{part} does not open")]
    Sealed {
        /// The part.
        part: &'static str,
        /// The failure.
        #[source]
        source: OpenError,
    },
    /// It is well-formed, but makes no sense.
    #[error("{what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A part is not in the format.
    #[error("its structure is not valid")]
    Structure(#[from] DecodeError),
    /// A compressed part does not decompress.
    #[error("its compressed data is not valid")]
    Compressed(#[from] CompressError),
    /// Its keys do not open.
    #[error("its key envelope does not open")]
    Envelope(#[from] KeyringError),
    /// A chunk is not what its hash says.
    #[error("a chunk of segment {segment} does not have its hash")]
    Chunk {
        /// Number of the segment in its pack.
        segment: u32,
    },
    /// It names an epoch that the vault does not have, or whose keys are not at hand.
    #[error("it was written in epoch {epoch}, whose keys are not at hand")]
    NoEpochKeys {
        /// The epoch named.
        epoch: Epoch,
    },
    /// Its table differs from what the index says.
    #[error("its table and the index disagree")]
    TableDiffers,
}
