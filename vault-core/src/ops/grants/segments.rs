//! The chunks of a grant by place: which segments are given as they lie, and which chunks are sealed anew.
//!
//! A segment is given only if every chunk in it is granted: its key opens all of it. Memory is about 110 bytes for each chunk, 25 MB for
//! a hundred gigabytes.

use std::collections::{BTreeMap, HashMap};

use crate::bytes::padme;
use crate::chunk::compress::Decompressor;
use crate::crypto::hash::chunk_id;
use crate::crypto::secret::Secret;
use crate::error::Error;
use crate::format::index::IndexedPack;
use crate::format::pack::HEADER_MAX_BYTES;
use crate::format::table::{ChunkRow, SegmentKind, SegmentPlace, SegmentRow, Table};
use crate::format::{UNIT_MIN_BYTES, stored_limit};
use crate::id::{ChunkHash, ChunkId, PackId};
use crate::surroundings::Surroundings;
use crate::vault::chunk_index::{PackPlace, Place};
use crate::vault::reader::{DomainReader, chunk_in};
use crate::wire::ranges::PackRanges;

use super::key_list::KeyList;
use super::strip::Writer;

/// Chunks that are wanted, each where an index says that it lies.
#[derive(Default)]
pub(super) struct Wanted {
    packs: Vec<PackPlace>,
    numbers: HashMap<PackId, u32>,
    chunks: Vec<WantedChunk>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WantedChunk {
    pack: u32,
    segment: SegmentKey,
    offset: u32,
    length: u32,
    h: ChunkHash,
}

/// A segment in the order of its pack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SegmentKey {
    number: u32,
    offset: u32,
    stored_bytes: u32,
    raw_bytes: u32,
    chunk_count: u32,
}

/// What came of the chunks.
#[derive(Default)]
pub(super) struct Sorted {
    /// Packs of which whole segments are given, as the grant's index has them.
    pub(super) packs: Vec<IndexedPack>,
    /// Which bytes of them.
    pub(super) ranges: Vec<PackRanges>,
    /// By what keys.
    pub(super) keys: KeyList,
    /// Bytes of chunks that are given as they lie.
    pub(super) in_place_bytes: u64,
}

impl Wanted {
    /// Adds a chunk.
    pub(super) fn add(&mut self, place: Place, h: ChunkHash) {
        let next = self.packs.len() as u32;
        let pack = *self.numbers.entry(place.pack.id).or_insert(next);
        if pack == next {
            self.packs.push(place.pack);
        }
        let SegmentPlace { number, offset, row } = place.segment;
        let SegmentRow { stored_bytes, raw_bytes, chunk_count, .. } = row;
        let segment = SegmentKey { number, offset, stored_bytes, raw_bytes, chunk_count };
        self.chunks.push(WantedChunk { pack, segment, offset: place.offset, length: place.length, h });
    }

    /// Gives what can be given as it lies, and seals the rest anew.
    pub(super) fn give(
        mut self,
        domain: DomainReader<'_>,
        k_id: &Secret<32>,
        writer: &mut Writer<'_>,
        around: &Surroundings<'_>,
    ) -> Result<Sorted, Error> {
        self.chunks.sort_unstable();
        self.chunks.dedup();
        let mut sorted = Sorted::default();
        let mut decompressor = Decompressor::new()?;
        let mut by_id: BTreeMap<PackId, (IndexedPack, PackRanges)> = BTreeMap::new();
        for of_pack in self.chunks.chunk_by(|a, b| a.pack == b.pack) {
            let Some(pack) = of_pack.first().and_then(|first| self.packs.get(first.pack as usize)) else {
                continue;
            };
            let mut given = GivenPack::new(pack);
            for chunks in of_pack.chunk_by(|a, b| a.segment == b.segment) {
                if around.stop.requested() {
                    return Err(Error::Interrupted);
                }
                let segment = chunks[0].segment.place();
                if is_whole(&segment, chunks) {
                    given.add(&segment, chunks, k_id)?;
                    given.keys.push((given.last_number(), domain.reader().segment_key(pack, &segment)?));
                    sorted.in_place_bytes += u64::from(segment.row.raw_bytes);
                } else {
                    seal_anew(domain, (pack, &segment), chunks, (writer, &mut decompressor))?;
                }
            }
            if let Some((indexed, ranges)) = given.finish(pack, &mut sorted.keys) {
                by_id.insert(pack.id, (indexed, ranges));
            }
        }
        (sorted.packs, sorted.ranges) = by_id.into_values().unzip();
        Ok(sorted)
    }
}

impl SegmentKey {
    fn place(&self) -> SegmentPlace {
        let Self { number, offset, stored_bytes, raw_bytes, chunk_count } = *self;
        let kind = SegmentKind::Data;
        SegmentPlace { number, offset, row: SegmentRow { stored_bytes, raw_bytes, kind, chunk_count } }
    }
}

/// Whether the chunks are all that the segment holds, one after another.
fn is_whole(segment: &SegmentPlace, chunks: &[WantedChunk]) -> bool {
    let end = chunks
        .iter()
        .try_fold(0_u32, |end, chunk| if chunk.offset == end { end.checked_add(chunk.length) } else { None });
    chunks.len() == segment.row.chunk_count as usize && end == Some(segment.row.raw_bytes)
}

/// Opens a segment, and stores the chunks that are wanted of it as the grant's own.
fn seal_anew(
    domain: DomainReader<'_>,
    (pack, segment): (&PackPlace, &SegmentPlace),
    chunks: &[WantedChunk],
    (writer, decompressor): (&mut Writer<'_>, &mut Decompressor),
) -> Result<(), Error> {
    let raw = domain.reader().segment(pack, segment, decompressor)?;
    for chunk in chunks {
        let place = Place { pack: *pack, segment: *segment, offset: chunk.offset, length: chunk.length };
        writer.store(SegmentKind::Data, chunk_in(&raw, &place, &chunk.h)?)?;
    }
    Ok(())
}

/// A pack of another session, with those of its segments that are given.
struct GivenPack {
    bytes: u32,
    table: Option<Table>,
    parts: Vec<(u32, u32)>,
    keys: Vec<(u32, Secret<48>)>,
}

impl GivenPack {
    fn new(pack: &PackPlace) -> Self {
        Self { bytes: pack.bytes, table: None, parts: Vec::new(), keys: Vec::new() }
    }

    fn add(
        &mut self,
        segment: &SegmentPlace,
        chunks: &[WantedChunk],
        k_id: &Secret<32>,
    ) -> Result<(), Error> {
        let table = match &mut self.table {
            Some(table) => table,
            none => none.insert(Table::new(segment.offset.min(HEADER_MAX_BYTES))?),
        };
        pass_over(table, segment.offset)?;
        let row = |chunk: &WantedChunk| ChunkRow { id: chunk_id(k_id, &chunk.h), length: chunk.length };
        table.push(segment.row, &chunks.iter().map(row).collect::<Vec<_>>())?;
        let (offset, length) = (segment.offset, segment.row.stored_bytes);
        match self.parts.last_mut() {
            Some((first, bytes)) if *first + *bytes == offset => *bytes += length,
            _ => self.parts.push((offset, length)),
        }
        Ok(())
    }

    fn last_number(&self) -> u32 {
        self.table.as_ref().map_or(0, |table| table.segment_rows().len() as u32 - 1)
    }

    fn finish(self, pack: &PackPlace, keys: &mut KeyList) -> Option<(IndexedPack, PackRanges)> {
        debug_assert_eq!(u64::from(self.bytes), padme(self.bytes.into()));
        keys.add(&pack.id, &self.keys);
        let indexed = IndexedPack {
            id: pack.id,
            bytes: pack.bytes,
            session: pack.session,
            pack_number: pack.number,
            epoch: pack.epoch,
            table: self.table?,
        };
        Some((indexed, PackRanges { pack: pack.id, parts: self.parts }))
    }
}

/// Lets a table go on at `offset`. What lies before stands as segments of one byte that is no chunk: a table has no holes.
fn pass_over(table: &mut Table, offset: u32) -> Result<(), Error> {
    let nothing = ChunkRow { id: ChunkId::new([0; ChunkId::LEN]), length: 1 };
    let largest = stored_limit(SegmentKind::Data.sealed());
    loop {
        let gap = offset.saturating_sub(table.ends_at());
        if gap == 0 {
            return Ok(());
        }
        // What is left must not be shorter than a segment can be.
        let stored_bytes = if gap > largest { largest - UNIT_MIN_BYTES } else { gap };
        let row = SegmentRow { stored_bytes, raw_bytes: 1, kind: SegmentKind::Data, chunk_count: 1 };
        table.push(row, &[nothing])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, SessionId};

    fn chunk(offset: u32, length: u32) -> WantedChunk {
        let segment = SegmentKey { number: 1, offset: 100, stored_bytes: 80, raw_bytes: 30, chunk_count: 2 };
        WantedChunk { pack: 0, segment, offset, length, h: ChunkHash::new([offset as u8; 32]) }
    }

    #[test]
    fn only_a_segment_of_which_every_byte_is_granted_is_whole() {
        let place = chunk(0, 10).segment.place();
        let whole = |chunks: &[WantedChunk]| is_whole(&place, chunks);

        assert!(whole(&[chunk(0, 10), chunk(10, 20)]));
        assert!(!whole(&[chunk(0, 10)]) && !whole(&[chunk(10, 20)]));
        assert!(!whole(&[chunk(0, 10), chunk(11, 19)]));
        assert!(!whole(&[chunk(0, 10), chunk(10, 10), chunk(20, 10)]));
    }

    #[test]
    fn a_table_goes_on_behind_any_gap() {
        for gap in [UNIT_MIN_BYTES, 1000, 16 << 20, (16 << 20) + 60, 80 << 20] {
            let mut table = Table::new(2000).unwrap();

            pass_over(&mut table, 2000 + gap).unwrap();

            assert_eq!(table.ends_at(), 2000 + gap, "{gap}");
        }
    }

    #[test]
    fn segments_side_by_side_are_one_range() {
        let place = PackPlace {
            id: PackId::new([1; 32]),
            bytes: 4096,
            session: SessionId::new([2; 16]),
            number: 3,
            epoch: Epoch(1),
        };
        let (mut pack, k_id) = (GivenPack::new(&place), Secret::new([5; 32]));
        for offset in [200, 280, 500] {
            let segment = SegmentPlace { offset, ..chunk(0, 10).segment.place() };
            pack.add(&segment, &[chunk(0, 10), chunk(10, 20)], &k_id).unwrap();
        }

        let (indexed, ranges) = pack.finish(&place, &mut KeyList::default()).unwrap();

        assert_eq!(ranges.parts, [(200, 160), (500, 80)]);
        let at: Vec<u32> = indexed.table.segments().map(|segment| segment.offset).collect();
        assert_eq!(at, [200, 280, 360, 500]);
    }
}
