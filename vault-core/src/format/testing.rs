//! Values to test the stored forms with.
//!
//! Whatever a strategy here makes is well-formed: it can be encoded, and decodes to itself.

use proptest::collection::vec;
use proptest::prelude::*;

use super::UNIT_MIN_BYTES;
use super::pack::{HEADER_MAX_BYTES, HEADER_MIN_BYTES};
use super::table::{ChunkRow, SegmentKind, SegmentRow, Table};
use crate::id::ChunkId;

/// Any table with a few segments.
pub(super) fn any_table() -> impl Strategy<Value = Table> {
    let chunk = (any::<[u8; 16]>(), 1..100_000_u32);
    let segment = (UNIT_MIN_BYTES..2_000_000, any::<bool>(), vec(chunk, 1..6));
    (HEADER_MIN_BYTES..=HEADER_MAX_BYTES, vec(segment, 0..5)).prop_map(|(first_offset, segments)| {
        let mut table = Table::new(first_offset).unwrap();
        for (stored_bytes, tree, chunks) in segments {
            let rows: Vec<_> =
                chunks.iter().map(|&(id, length)| ChunkRow { id: ChunkId::new(id), length }).collect();
            let row = SegmentRow {
                stored_bytes,
                raw_bytes: rows.iter().map(|row| row.length).sum(),
                kind: if tree { SegmentKind::Tree } else { SegmentKind::Data },
                chunk_count: rows.len() as u32,
            };
            table.push(row, &rows).unwrap();
        }
        table
    })
}
