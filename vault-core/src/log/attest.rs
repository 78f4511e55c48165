//! Attest: a device says that it has read some packs in full and found them as they should be.
//!
//! It tells others what need not be read again soon. Nobody's data depends on it: a false one delays that damage is noticed.

use super::lists::{ascending_ids, encode_ids};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::id::PackId;

/// Says that packs were verified at the time of the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// The packs, ascending, at least one.
    pub packs: Vec<PackId>,
}

impl Attest {
    pub(super) const PAIRS: usize = 1;

    pub(super) fn encode(&self, out: &mut Encoder) {
        encode_ids(out.uint(10), &self.packs);
    }
}

/// The fields of an attest, as far as they have been read.
#[derive(Default)]
pub(super) struct AttestFields {
    packs: Option<Vec<PackId>>,
}

impl AttestFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.packs = Some(ascending_ids(input, "attested packs")?),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Attest, CborError> {
        Ok(Attest { packs: required(self.packs, 10)? })
    }
}
