//! The table of a pack: which chunks it holds and where each lies (`docs/format.md`, section 5.2).
//!
//! A [`Table`] is always consistent: it is built only by [`Table::push`] and [`Table::decode`], which check every sum and limit
//! first. Whoever holds one may add up its lengths without looking for overflow.

use crate::bytes::{Reader, Writer};
use crate::crypto::aead::SealedKind;
use crate::format::pack::{HEADER_MAX_BYTES, HEADER_MIN_BYTES, PACK_MAX_BYTES};
use crate::format::{
    DecodeError, UNIT_MIN_BYTES, adds_up, at_most, nothing_follows, raw_limit, stored_limit,
};
use crate::id::ChunkId;

/// Most segments in a pack: 32 MiB of segments that compressed to 512 bytes each.
pub const SEGMENTS_MAX: u32 = 65_536;
/// Most chunks in a pack: their rows are then 8 MB, within what a table may have.
pub const CHUNKS_MAX: u32 = 400_000;

const HEAD_BYTES: usize = 12;
const SEGMENT_ROW_BYTES: usize = 13;
const CHUNK_ROW_BYTES: usize = ChunkId::LEN + 4;

/// What a segment's chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// Pieces of files.
    Data = 1,
    /// Tree nodes.
    Tree = 2,
}

impl SegmentKind {
    /// The kind under which such a segment is sealed.
    pub fn sealed(self) -> SealedKind {
        match self {
            Self::Data => SealedKind::Data,
            Self::Tree => SealedKind::Tree,
        }
    }
}

impl TryFrom<u8> for SegmentKind {
    type Error = DecodeError;

    fn try_from(kind: u8) -> Result<Self, DecodeError> {
        match kind {
            1 => Ok(Self::Data),
            2 => Ok(Self::Tree),
            _ => Err(DecodeError::Value { field: "the kind of a segment", value: kind.into() }),
        }
    }
}

/// What a table says about one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRow {
    /// Length in the pack, sealed.
    pub stored_bytes: u32,
    /// Length of its data, opened and decompressed.
    pub raw_bytes: u32,
    /// What its chunks are.
    pub kind: SegmentKind,
    /// How many chunks it holds.
    pub chunk_count: u32,
}

/// What a table says about one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRow {
    /// The chunk's keyed id.
    pub id: ChunkId,
    /// Length of the chunk, in bytes.
    pub length: u32,
}

/// A segment and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPlace {
    /// Its number in the pack, from 0.
    pub number: u32,
    /// Where it begins in the pack.
    pub offset: u32,
    /// Its lengths and kind.
    pub row: SegmentRow,
}

/// A chunk and where it lies: all that is needed to fetch and cut it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The chunk's keyed id.
    pub id: ChunkId,
    /// The segment that holds it.
    pub segment: SegmentPlace,
    /// Where it begins in the segment's raw data.
    pub offset_in_segment: u32,
    /// Length of the chunk, in bytes.
    pub length: u32,
}

/// The segments of a pack and the chunks in them, in the order in which they lie there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    first_offset: u32,
    ends_at: u32,
    segments: Vec<SegmentRow>,
    chunks: Vec<ChunkRow>,
}

impl Table {
    /// A table without segments, of a pack whose header has `first_offset` bytes.
    pub fn new(first_offset: u32) -> Result<Self, DecodeError> {
        if !(HEADER_MIN_BYTES..=HEADER_MAX_BYTES).contains(&first_offset) {
            let field = "the offset of the first segment";
            return Err(DecodeError::Value { field, value: first_offset.into() });
        }
        Ok(Self { first_offset, ends_at: first_offset, segments: Vec::new(), chunks: Vec::new() })
    }

    /// Adds the segment that follows the ones so far, with the chunks in it, and returns its number.
    ///
    /// `row.chunk_count` must be the number of `chunks`. On an error the table is as before.
    pub fn push(&mut self, row: SegmentRow, chunks: &[ChunkRow]) -> Result<u32, DecodeError> {
        let number = self.segments.len() as u32;
        at_most("the number of segments", u64::from(number) + 1, SEGMENTS_MAX.into())?;
        let chunk_count = self.chunks.len() as u64 + chunks.len() as u64;
        at_most("the number of chunks", chunk_count, CHUNKS_MAX.into())?;
        adds_up("the number of chunks in a segment", row.chunk_count.into(), chunks.len() as u64)?;
        self.ends_at = end_after(self.ends_at, &row, chunks)?;
        self.segments.push(row);
        self.chunks.extend_from_slice(chunks);
        Ok(number)
    }

    /// Where the first segment begins in the pack: the length of the pack's header.
    pub fn first_offset(&self) -> u32 {
        self.first_offset
    }

    /// Where the last segment ends in the pack.
    pub fn ends_at(&self) -> u32 {
        self.ends_at
    }

    /// The rows of the segments.
    pub fn segment_rows(&self) -> &[SegmentRow] {
        &self.segments
    }

    /// The rows of the chunks of all segments.
    pub fn chunk_rows(&self) -> &[ChunkRow] {
        &self.chunks
    }

    /// Every segment with its place.
    pub fn segments(&self) -> impl Iterator<Item = SegmentPlace> + '_ {
        let numbered = (0..).zip(&self.segments);
        numbered.scan(self.first_offset, |next, (number, &row)| {
            let offset = *next;
            *next += row.stored_bytes;
            Some(SegmentPlace { number, offset, row })
        })
    }

    /// Every chunk with its place.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkPlace> + '_ {
        self.segments_with_chunks().flat_map(|(_, chunks)| chunks)
    }

    /// Every segment with the places of the chunks in it.
    pub fn segments_with_chunks(
        &self,
    ) -> impl Iterator<Item = (SegmentPlace, impl Iterator<Item = ChunkPlace> + '_)> + '_ {
        let mut rest = &self.chunks[..];
        self.segments().map(move |segment| {
            let (of_segment, others) = rest.split_at(segment.row.chunk_count as usize);
            rest = others;
            (segment, places_in(segment, of_segment))
        })
    }

    /// Length of the encoding, in bytes.
    pub fn encoded_bytes(&self) -> usize {
        HEAD_BYTES + rows_bytes(self.segments.len(), self.chunks.len())
    }

    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_bytes());
        out.put_u32(self.first_offset);
        out.put_u32(self.segments.len() as u32);
        out.put_u32(self.chunks.len() as u32);
        for row in &self.segments {
            out.put_u32(row.stored_bytes);
            out.put_u32(row.raw_bytes);
            out.put_u8(row.kind as u8);
            out.put_u32(row.chunk_count);
        }
        for row in &self.chunks {
            out.extend_from_slice(row.id.as_bytes());
            out.put_u32(row.length);
        }
    }

    /// Decodes a table that fills the whole input.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(body);
        let mut table = Self::new(input.u32()?)?;
        let (segments, chunks) = (input.u32()?, input.u32()?);
        at_most("the number of segments", segments.into(), SEGMENTS_MAX.into())?;
        at_most("the number of chunks", chunks.into(), CHUNKS_MAX.into())?;
        let mut segment_rows = Reader::new(input.take(rows_bytes(segments as usize, 0))?);
        let mut chunk_rows = Reader::new(input.take(rows_bytes(0, chunks as usize))?);
        nothing_follows(input.remaining())?;

        table.chunks.reserve_exact(chunks as usize);
        while !chunk_rows.is_empty() {
            table.chunks.push(ChunkRow { id: ChunkId::new(chunk_rows.array()?), length: chunk_rows.u32()? });
        }
        table.segments.reserve_exact(segments as usize);
        let mut rest = &table.chunks[..];
        while !segment_rows.is_empty() {
            let row = decode_segment_row(&mut segment_rows)?;
            let too_few = || DecodeError::Sum {
                field: "the number of chunks",
                stated: chunks.into(),
                found: u64::from(chunks) - rest.len() as u64 + u64::from(row.chunk_count),
            };
            let (of_segment, others) = rest.split_at_checked(row.chunk_count as usize).ok_or_else(too_few)?;
            table.ends_at = end_after(table.ends_at, &row, of_segment)?;
            table.segments.push(row);
            rest = others;
        }
        adds_up("the number of chunks", chunks.into(), u64::from(chunks) - rest.len() as u64)?;
        Ok(table)
    }
}

/// How many bytes a table has for so many segments and chunks.
pub(super) fn rows_bytes(segments: usize, chunks: usize) -> usize {
    segments * SEGMENT_ROW_BYTES + chunks * CHUNK_ROW_BYTES
}

fn decode_segment_row(input: &mut Reader<'_>) -> Result<SegmentRow, DecodeError> {
    let (stored_bytes, raw_bytes) = (input.u32()?, input.u32()?);
    let kind = SegmentKind::try_from(input.u8()?)?;
    Ok(SegmentRow { stored_bytes, raw_bytes, kind, chunk_count: input.u32()? })
}

/// Checks a segment against its chunks and returns where it ends if it begins at `offset`.
fn end_after(offset: u32, row: &SegmentRow, chunks: &[ChunkRow]) -> Result<u32, DecodeError> {
    let kind = row.kind.sealed();
    if row.stored_bytes < UNIT_MIN_BYTES {
        return Err(DecodeError::Value {
            field: "the stored length of a segment",
            value: row.stored_bytes.into(),
        });
    }
    at_most("the stored length of a segment", row.stored_bytes.into(), stored_limit(kind).into())?;
    at_most("the raw length of a segment", row.raw_bytes.into(), raw_limit(kind).into())?;
    if chunks.is_empty() {
        return Err(DecodeError::Value { field: "the number of chunks in a segment", value: 0 });
    }
    if chunks.iter().any(|chunk| chunk.length == 0) {
        return Err(DecodeError::Value { field: "the length of a chunk", value: 0 });
    }
    let raw_bytes = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
    adds_up("the raw length of a segment", row.raw_bytes.into(), raw_bytes)?;
    let end = u64::from(offset) + u64::from(row.stored_bytes);
    at_most("the end of a segment", end, PACK_MAX_BYTES.into())?;
    Ok(end as u32)
}

fn places_in(segment: SegmentPlace, chunks: &[ChunkRow]) -> impl Iterator<Item = ChunkPlace> + '_ {
    chunks.iter().scan(0, move |next, &ChunkRow { id, length }| {
        let offset_in_segment = *next;
        *next += length;
        Some(ChunkPlace { id, segment, offset_in_segment, length })
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::format::damage;
    use crate::format::testing::any_table;

    fn chunk(n: u8, length: u32) -> ChunkRow {
        ChunkRow { id: ChunkId::new([n; 16]), length }
    }

    fn two_segments() -> Table {
        let mut table = Table::new(100).unwrap();
        let row = SegmentRow { stored_bytes: 200, raw_bytes: 30, kind: SegmentKind::Data, chunk_count: 2 };
        table.push(row, &[chunk(1, 10), chunk(2, 20)]).unwrap();
        let row = SegmentRow { stored_bytes: 60, raw_bytes: 5, kind: SegmentKind::Tree, chunk_count: 1 };
        table.push(row, &[chunk(3, 5)]).unwrap();
        table
    }

    fn encoded(table: &Table) -> Vec<u8> {
        let mut out = Vec::new();
        table.encode(&mut out);
        out
    }

    /// The two segments with the number at `offset` replaced.
    fn altered(offset: usize, value: u32) -> Result<Table, DecodeError> {
        let mut bytes = encoded(&two_segments());
        bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        Table::decode(&bytes)
    }

    #[test]
    fn a_table_is_encoded_as_documented() {
        let expected = [
            "640000000200000003000000",
            "c80000001e0000000102000000",
            "3c000000050000000201000000",
            "010101010101010101010101010101010a000000",
            "0202020202020202020202020202020214000000",
            "0303030303030303030303030303030305000000",
        ];

        assert_eq!(hex::encode(encoded(&two_segments())), expected.concat());
    }

    #[test]
    fn chunks_lie_one_after_another_in_segments_that_do_too() {
        let table = two_segments();

        let places: Vec<_> = table
            .chunks()
            .map(|p| (p.id.as_bytes()[0], p.segment.number, p.segment.offset, p.offset_in_segment, p.length))
            .collect();

        assert_eq!(places, [(1, 0, 100, 0, 10), (2, 0, 100, 10, 20), (3, 1, 300, 0, 5)]);
        assert_eq!(table.ends_at(), 360);
    }

    #[test]
    fn sums_that_do_not_add_up_are_refused() {
        for (offset, what) in
            [(16, "raw length"), (21, "chunk count"), (34, "chunk count"), (54, "chunk length")]
        {
            for value in [0, 1, 3, 4, 100, u32::MAX] {
                let result = altered(offset, value);
                let same = result.as_ref().is_ok_and(|table| *table == two_segments());
                assert!(result.is_err() || same, "{what} {value}");
            }
        }
    }

    #[test]
    fn counts_beyond_their_limits_or_the_input_are_refused() {
        let limit = |field, value: u32, limit: u32| {
            Err(DecodeError::Limit { field, value: value.into(), limit: limit.into() })
        };

        assert_eq!(altered(4, 65_537), limit("the number of segments", 65_537, SEGMENTS_MAX));
        assert_eq!(altered(8, 400_001), limit("the number of chunks", 400_001, CHUNKS_MAX));
        assert!(matches!(altered(4, 65_536), Err(DecodeError::CutOff(_))));
        assert!(matches!(altered(8, 400_000), Err(DecodeError::CutOff(_))));
    }

    #[test]
    fn lengths_and_offsets_out_of_range_are_refused() {
        assert!(matches!(altered(0, 67), Err(DecodeError::Value { .. })), "first offset");
        assert!(matches!(altered(0, HEADER_MAX_BYTES + 1), Err(DecodeError::Value { .. })), "first offset");
        assert!(matches!(altered(12, UNIT_MIN_BYTES - 1), Err(DecodeError::Value { .. })), "stored length");
        assert!(matches!(altered(12, (16 << 20) + 50), Err(DecodeError::Limit { .. })), "stored length");
        assert!(matches!(altered(16, (16 << 20) + 1), Err(DecodeError::Limit { .. })), "raw length");
    }

    #[test]
    fn a_segment_of_unknown_kind_is_refused() {
        let mut bytes = encoded(&two_segments());
        bytes[20] = 3;

        let error = DecodeError::Value { field: "the kind of a segment", value: 3 };
        assert_eq!(Table::decode(&bytes), Err(error));
    }

    #[test]
    fn segments_beyond_the_largest_pack_are_refused() {
        let mut table = Table::new(68).unwrap();
        let row =
            SegmentRow { stored_bytes: 16 << 20, raw_bytes: 1, kind: SegmentKind::Data, chunk_count: 1 };
        for _ in 0..5 {
            table.push(row, &[chunk(1, 1)]).unwrap();
        }
        let before = table.clone();

        assert!(matches!(table.push(row, &[chunk(1, 1)]), Err(DecodeError::Limit { .. })));
        assert_eq!(table, before);
    }

    #[test]
    fn empty_segments_and_empty_chunks_are_refused() {
        let mut table = Table::new(68).unwrap();
        let row = SegmentRow { stored_bytes: 49, raw_bytes: 0, kind: SegmentKind::Data, chunk_count: 0 };

        assert!(table.push(row, &[]).is_err());
        assert!(table.push(SegmentRow { chunk_count: 1, ..row }, &[chunk(1, 0)]).is_err());
    }

    #[test]
    fn a_damaged_table_is_refused_or_is_another_table() {
        damage::survives(&encoded(&two_segments()), |bytes| Table::decode(bytes).ok().map(|t| encoded(&t)));
    }

    proptest! {
        #[test]
        fn any_table_decodes_to_itself(table in any_table()) {
            let bytes = encoded(&table);

            prop_assert_eq!(bytes.len(), table.encoded_bytes());
            prop_assert_eq!(Table::decode(&bytes), Ok(table));
        }

        #[test]
        fn any_bytes_are_refused_or_are_the_encoding_of_a_table(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(table) = Table::decode(&bytes) {
                prop_assert_eq!(encoded(&table), bytes);
            }
        }
    }
}
