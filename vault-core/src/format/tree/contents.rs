//! What a file holds: its chunks, or the lists of them, and the holes between (`docs/format.md`, section 6).
//!
//! A reference is 32 bytes of `h` and a length that is never zero; a list of them is bounded by its input before it is allocated.

use crate::cbor::{CborError, Decoder, Encoder};
use crate::crypto::aead::SealedKind;
use crate::format::{DecodeError, at_most, raw_limit};
use crate::id::ChunkHash;

/// Most chunks that a file's entry lists itself: about 160 KiB; a file with more has chunk lists.
pub const CHUNKS_IN_ENTRY_MAX: usize = 4_096;

/// The shortest encoding of a reference: array of two, 32 bytes with their head, a small number.
const REFERENCE_MIN_BYTES: usize = 1 + 34 + 1;

/// A chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRef {
    /// The hash of its plaintext.
    pub h: ChunkHash,
    /// Its length in bytes.
    pub length: u32,
}

/// A part of a file's chunk list, in a node of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRef {
    /// The hash of the node.
    pub h: ChunkHash,
    /// How many bytes of the file its chunks have together.
    pub bytes: u64,
}

/// Where a file's contents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// The chunks in order, at most [`CHUNKS_IN_ENTRY_MAX`].
    Chunks(Vec<ChunkRef>),
    /// The lists of the chunks in order, at least one.
    Lists(Vec<ListRef>),
}

/// A range of a file that holds nothing but zeros and has no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

impl Contents {
    /// How many bytes the chunks have together; `None` if that is no 64-bit number.
    pub fn bytes(&self) -> Option<u64> {
        let add = |sum: u64, bytes: u64| sum.checked_add(bytes);
        match self {
            Self::Chunks(chunks) => chunks.iter().map(|chunk| chunk.length.into()).try_fold(0, add),
            Self::Lists(lists) => lists.iter().map(|list| list.bytes).try_fold(0, add),
        }
    }

    /// Checks every reference, the holes, and that together they have `size` bytes.
    pub(super) fn check(&self, holes: &[Hole], size: u64) -> Result<(), DecodeError> {
        match self {
            Self::Chunks(chunks) => {
                at_most("the number of chunks", chunks.len() as u64, CHUNKS_IN_ENTRY_MAX as u64)?;
                check_chunks(chunks)?;
            }
            Self::Lists(lists) => {
                if lists.is_empty() || lists.iter().any(|list| list.bytes == 0) {
                    return Err(DecodeError::Invalid { field: "a chunk list" });
                }
            }
        }
        let hole_bytes = check_holes(holes, size)?;
        match self.bytes() {
            // The holes are within the size, so nothing is taken from less than it.
            Some(bytes) if bytes == size - hole_bytes => Ok(()),
            bytes => {
                let found = bytes.and_then(|bytes| bytes.checked_add(hole_bytes)).unwrap_or(u64::MAX);
                Err(DecodeError::Sum { field: "the size of the file", stated: size, found })
            }
        }
    }
}

/// Checks that each chunk has a length that a chunk can have.
pub(super) fn check_chunks(chunks: &[ChunkRef]) -> Result<(), DecodeError> {
    let limit = raw_limit(SealedKind::Data);
    match chunks.iter().find(|chunk| chunk.length == 0 || chunk.length > limit) {
        Some(chunk) => Err(DecodeError::Value { field: "the length of a chunk", value: chunk.length.into() }),
        None => Ok(()),
    }
}

/// Checks that holes ascend, do not touch and end within `size`; returns how many bytes they have.
fn check_holes(holes: &[Hole], size: u64) -> Result<u64, DecodeError> {
    let (mut total, mut last_end) = (0, None);
    for hole in holes {
        if last_end.is_some_and(|end| hole.offset <= end) {
            return Err(DecodeError::Order { field: "the holes" });
        }
        let end = hole.offset.checked_add(hole.length).filter(|&end| end <= size && hole.length > 0);
        let end = end.ok_or(DecodeError::Invalid { field: "a hole" })?;
        total += hole.length;
        last_end = Some(end);
    }
    Ok(total)
}

pub(super) fn encode_chunks(encoder: &mut Encoder, chunks: &[ChunkRef]) {
    encoder.array(chunks.len());
    for chunk in chunks {
        encoder.array(2).bytes(chunk.h.as_bytes()).uint(chunk.length.into());
    }
}

pub(super) fn encode_lists(encoder: &mut Encoder, lists: &[ListRef]) {
    encoder.array(lists.len());
    for list in lists {
        encoder.array(2).bytes(list.h.as_bytes()).uint(list.bytes);
    }
}

pub(super) fn encode_holes(encoder: &mut Encoder, holes: &[Hole]) {
    encoder.array(holes.len());
    for hole in holes {
        encoder.array(2).uint(hole.offset).uint(hole.length);
    }
}

pub(super) fn decode_chunks(input: &mut Decoder<'_>) -> Result<Vec<ChunkRef>, CborError> {
    decode_list(input, REFERENCE_MIN_BYTES, |input| {
        Ok(ChunkRef { h: decode_hash(input)?, length: input.uint_as("the length of a chunk")? })
    })
}

pub(super) fn decode_lists(input: &mut Decoder<'_>) -> Result<Vec<ListRef>, CborError> {
    decode_list(input, REFERENCE_MIN_BYTES, |input| {
        Ok(ListRef { h: decode_hash(input)?, bytes: input.uint()? })
    })
}

pub(super) fn decode_holes(input: &mut Decoder<'_>) -> Result<Vec<Hole>, CborError> {
    decode_list(input, 3, |input| Ok(Hole { offset: input.uint()?, length: input.uint()? }))
}

pub(super) fn decode_hash(input: &mut Decoder<'_>) -> Result<ChunkHash, CborError> {
    input.bytes_array("a chunk hash").map(ChunkHash::new)
}

/// Decodes an array of pairs, each of which has at least `min_bytes`.
pub(super) fn decode_list<'a, T>(
    input: &mut Decoder<'a>,
    min_bytes: usize,
    decode: impl Fn(&mut Decoder<'a>) -> Result<T, CborError>,
) -> Result<Vec<T>, CborError> {
    let count = input.array()?;
    if count > input.remaining().len() / min_bytes {
        return Err(CborError::Range { field: "count" });
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        input.array_of(2, "a pair")?;
        items.push(decode(input)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(lengths: &[u32]) -> Contents {
        let h = ChunkHash::new([1; 32]);
        Contents::Chunks(lengths.iter().map(|&length| ChunkRef { h, length }).collect())
    }

    fn holes(ranges: &[(u64, u64)]) -> Vec<Hole> {
        ranges.iter().map(|&(offset, length)| Hole { offset, length }).collect()
    }

    #[test]
    fn chunks_and_holes_must_add_up_to_the_size() {
        let contents = chunks(&[10, 20]);

        assert_eq!(contents.check(&[], 30), Ok(()));
        assert_eq!(contents.check(&holes(&[(0, 5), (6, 2), (34, 3)]), 40), Ok(()));
        for size in [0, 29, 31, u64::MAX] {
            assert!(matches!(contents.check(&[], size), Err(DecodeError::Sum { .. })), "{size}");
        }
    }

    #[test]
    fn holes_out_of_order_touching_empty_or_outside_are_refused() {
        let fault = |ranges: &[(u64, u64)]| check_holes(&holes(ranges), 100).is_err();

        assert!(fault(&[(10, 1), (0, 1)]), "descending");
        assert!(fault(&[(0, 5), (5, 1)]), "touching");
        assert!(fault(&[(0, 5), (4, 2)]), "overlapping");
        assert!(fault(&[(0, 0)]), "empty");
        assert!(fault(&[(99, 2)]), "beyond the end");
        assert!(fault(&[(u64::MAX, 2)]), "overflow");
        assert!(!fault(&[(0, 5), (6, 94)]));
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let list = ListRef { h: ChunkHash::new([1; 32]), bytes: u64::MAX };

        assert_eq!(Contents::Lists(vec![list, list]).bytes(), None);
        assert!(Contents::Lists(vec![list, list]).check(&[], u64::MAX - 1).is_err());
        assert!(Contents::Lists(vec![list]).check(&holes(&[(0, 1)]), u64::MAX).is_err());
        assert_eq!(Contents::Lists(vec![list]).check(&[], u64::MAX), Ok(()));
    }

    #[test]
    fn empty_and_oversized_chunks_are_refused() {
        assert!(chunks(&[0]).check(&[], 0).is_err());
        assert!(chunks(&[(16 << 20) + 1]).check(&[], (16 << 20) + 1).is_err());
        assert_eq!(chunks(&[16 << 20]).check(&[], 16 << 20), Ok(()));
        assert!(chunks(&vec![1; 4_097]).check(&[], 4_097).is_err());
        assert!(Contents::Lists(Vec::new()).check(&[], 0).is_err());
    }

    #[test]
    fn a_count_that_the_input_cannot_hold_is_refused_before_it_is_allocated() {
        let mut encoder = Encoder::new();
        encoder.array(100);
        let bytes = [encoder.finish(), vec![0; 100]].concat();

        assert_eq!(decode_chunks(&mut Decoder::new(&bytes)), Err(CborError::Range { field: "count" }));
    }
}
