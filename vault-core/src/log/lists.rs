//! Arrays in statements, of ids above all.
//!
//! Where the order says nothing, ids ascend, so that a set has one encoding and a look-up is a binary search.

use crate::cbor::{CborError, Decoder, Encoder};
use crate::id::{Id, Kind};

/// Reads an array. Nothing is reserved by its count: memory grows only with items that are really there.
pub(super) fn list<T>(
    input: &mut Decoder<'_>,
    mut item: impl FnMut(&mut Decoder<'_>) -> Result<T, CborError>,
) -> Result<Vec<T>, CborError> {
    let count = input.array()?;
    (0..count).map(|_| item(input)).collect()
}

/// Writes an array of ids.
pub(super) fn encode_ids<K: Kind, const N: usize>(out: &mut Encoder, ids: &[Id<K, N>]) {
    out.array(ids.len());
    for id in ids {
        out.bytes(id.as_bytes());
    }
}

/// Reads an array of ids in any order.
pub(super) fn id_list<K: Kind, const N: usize>(input: &mut Decoder<'_>) -> Result<Vec<Id<K, N>>, CborError> {
    list(input, |input| Ok(Id::new(input.bytes_array(K::NAME)?)))
}

/// The ids, if each is above the one before.
pub(super) fn ascending<K: Kind, const N: usize>(
    ids: Vec<Id<K, N>>,
    field: &'static str,
) -> Result<Vec<Id<K, N>>, CborError> {
    if ids.is_sorted_by(|one, next| one < next) { Ok(ids) } else { Err(CborError::Range { field }) }
}

/// Reads an array of ids, each above the one before, that is not empty.
pub(super) fn ascending_ids<K: Kind, const N: usize>(
    input: &mut Decoder<'_>,
    field: &'static str,
) -> Result<Vec<Id<K, N>>, CborError> {
    let ids = ascending(id_list(input)?, field)?;
    if ids.is_empty() { Err(CborError::Range { field }) } else { Ok(ids) }
}
