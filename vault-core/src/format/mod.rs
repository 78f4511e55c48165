//! The stored forms: packs, their tables, index objects and tree nodes, byte by byte as `docs/format.md` has them.
//!
//! Everything here is a pure function between values and bytes: no I/O, no compression, and no key but the one passed in. Each
//! value has one encoding; what a decoder accepts, encoding again gives the same bytes (map keys that may be ignored apart).
//! Numbers from outside are bounded before anything is allocated for them, and added up without overflow.
//!
//! | module | holds | `docs/format.md` |
//! |---|---|---|
//! | [`seal`] | the key and the place of each sealed unit | 4 |
//! | [`pack`] | a pack's header and trailer, and how one is built | 5.1 |
//! | [`table`] | where each chunk of a pack lies | 5.2 |
//! | [`index`] | the tables of many packs | 5.3 |
//! | [`tree`] | directories, entries, chunk lists | 6 |
//! | [`commit`], [`annotation`] | what a snapshot is of, and its later tags | 7.4, 7.8 |

use crate::bytes::UnexpectedEnd;
use crate::cbor::CborError;
use crate::crypto::aead::{OVERHEAD_BYTES, SealedKind};

pub mod annotation;
pub mod commit;
pub mod index;
pub mod pack;
pub mod seal;
pub mod table;
pub mod tree;

#[cfg(test)]
mod testing;

/// What stands in front of the data of an opened unit: the compression, u8, and the raw length, u32.
pub const BODY_HEAD_BYTES: u32 = 5;

/// The least that a sealed unit has, around no data at all.
pub const UNIT_MIN_BYTES: u32 = OVERHEAD_BYTES as u32 + BODY_HEAD_BYTES;

/// Largest raw length of a unit's data, in bytes: a reader refuses a larger one before it allocates.
///
/// Segments gather about 1 MiB and must hold the largest chunk; a table at its limits of counts has 8.9 MB; an index body is
/// split by its writer; the bodies of commits, annotations and grants must fit a statement.
pub const fn raw_limit(kind: SealedKind) -> u32 {
    match kind {
        SealedKind::Data | SealedKind::Tree | SealedKind::Table => 16 << 20,
        SealedKind::Index => 64 << 20,
        SealedKind::Commit | SealedKind::Annotation | SealedKind::Grant => 1 << 20,
    }
}

/// Largest sealed unit of a kind, in bytes: its data stored without compression.
pub const fn stored_limit(kind: SealedKind) -> u32 {
    raw_limit(kind) + UNIT_MIN_BYTES
}

/// Bytes that are not a stored form, or a value that cannot be stored because no reader would take it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input is shorter than the value.
    #[error("the data is cut off")]
    CutOff(#[from] UnexpectedEnd),
    /// A tree node or an entry is not the deterministic CBOR that it must be.
    #[error("the data is not the encoding of its structure")]
    Cbor(#[from] CborError),
    /// The object is of another type, or of none.
    #[error("not {expected}: the magic bytes are others")]
    Magic {
        /// What was looked for, with its article.
        expected: &'static str,
    },
    /// A number is above its limit.
    #[error("{field} is {value}, above the limit of {limit}")]
    Limit {
        /// The number at fault.
        field: &'static str,
        /// What it is.
        value: u64,
        /// What it may be at most.
        limit: u64,
    },
    /// A number has a value that its field does not have.
    #[error("{field} cannot be {value}")]
    Value {
        /// The number at fault.
        field: &'static str,
        /// What it is.
        value: u64,
    },
    /// A total is not the sum of its parts.
    #[error("{field} is {stated}, but its parts add up to {found}")]
    Sum {
        /// The total at fault.
        field: &'static str,
        /// What the structure says.
        stated: u64,
        /// What its parts say.
        found: u64,
    },
    /// A name, or a byte string with rules of its own, breaks them.
    #[error("{field} is not valid")]
    Invalid {
        /// What breaks its rules.
        field: &'static str,
    },
    /// Items that must be sorted are not, or one stands there twice.
    #[error("{field} are not in strictly ascending order")]
    Order {
        /// The items at fault.
        field: &'static str,
    },
    /// An entry has a field that its type does not have.
    #[error("field {key} does not belong to the type of the entry")]
    ForeignField {
        /// The map key of the field.
        key: u64,
    },
    /// Bytes that only fill up are not zero.
    #[error("the padding is not zero")]
    Padding,
    /// Something follows the value.
    #[error("{bytes} bytes follow the data")]
    Trailing {
        /// How many bytes follow.
        bytes: usize,
    },
}

/// Refuses a number above its limit.
fn at_most(field: &'static str, value: u64, limit: u64) -> Result<(), DecodeError> {
    if value > limit { Err(DecodeError::Limit { field, value, limit }) } else { Ok(()) }
}

/// Refuses a total that is not the sum of its parts.
fn adds_up(field: &'static str, stated: u64, found: u64) -> Result<(), DecodeError> {
    if stated == found { Ok(()) } else { Err(DecodeError::Sum { field, stated, found }) }
}

/// Refuses bytes after the value, which a decoder would otherwise pass over.
fn nothing_follows(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { bytes: rest.len() }) }
}

/// Refuses padding that is not zero: whoever stores bytes there would have a place the format does not know.
pub(crate) fn all_zero(padding: &[u8]) -> Result<(), DecodeError> {
    if padding.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(DecodeError::Padding) }
}

#[cfg(test)]
pub(crate) mod damage {
    //! What every decoder must survive: whatever it still accepts has to be the one encoding of what it returns.

    /// Decodes every truncation and every single flipped bit of `encoded`, and some bytes after it.
    ///
    /// `again` decodes and encodes; for damaged bytes it must fail or give the same bytes.
    pub(crate) fn survives(encoded: &[u8], again: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        assert_eq!(again(encoded).as_deref(), Some(encoded), "undamaged");
        for length in 0..encoded.len() {
            assert_eq!(again(&encoded[..length]), None, "truncated to {length} bytes");
        }
        for bit in 0..encoded.len() * 8 {
            let mut damaged = encoded.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let result = again(&damaged);
            assert!(result.is_none() || result == Some(damaged), "bit {bit} flipped");
        }
        for byte in [0, 0xff] {
            let longer = [encoded, &[byte]].concat();
            assert_eq!(again(&longer), None, "followed by {byte}");
        }
    }
}
