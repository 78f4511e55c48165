//! Condemn: a device says which packs are deleted, and which index objects stand for others from now on.
//!
//! Both in one statement, so that no reader ever sees the one without the other. The log shows neither what is in a pack nor what
//! an index object names: whoever condemns has seen to it that nothing needed is lost.

use super::lists::{ascending, encode_ids, id_list};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::id::{DomainId, IndexId, PackId};

/// Takes packs away for ever, and replaces index objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemn {
    /// The domain of all that is named.
    pub domain: DomainId,
    /// Packs that count as absent from here on, ascending.
    pub packs: Vec<PackId>,
    /// Index objects in force that no longer are, ascending.
    pub replaced: Vec<IndexId>,
    /// Index objects that are in force instead, ascending.
    pub replacements: Vec<IndexId>,
}

impl Condemn {
    pub(super) const PAIRS: usize = 4;

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.uint(10).bytes(self.domain.as_bytes());
        encode_ids(out.uint(11), &self.packs);
        encode_ids(out.uint(12), &self.replaced);
        encode_ids(out.uint(13), &self.replacements);
    }
}

/// The fields of a condemn, as far as they have been read.
#[derive(Default)]
pub(super) struct CondemnFields {
    domain: Option<DomainId>,
    packs: Option<Vec<PackId>>,
    replaced: Option<Vec<IndexId>>,
    replacements: Option<Vec<IndexId>>,
}

impl CondemnFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.domain = Some(DomainId::new(input.bytes_array("domain")?)),
            11 => self.packs = Some(ascending(id_list(input)?, "condemned packs")?),
            12 => self.replaced = Some(ascending(id_list(input)?, "replaced index objects")?),
            13 => self.replacements = Some(ascending(id_list(input)?, "replacing index objects")?),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Condemn, CborError> {
        let condemn = Condemn {
            domain: required(self.domain, 10)?,
            packs: required(self.packs, 11)?,
            replaced: required(self.replaced, 12)?,
            replacements: required(self.replacements, 13)?,
        };
        if condemn.packs.is_empty() && condemn.replaced.is_empty() && condemn.replacements.is_empty() {
            return Err(CborError::Range { field: "what is condemned" });
        }
        Ok(condemn)
    }
}
