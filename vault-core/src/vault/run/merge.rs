//! Merging runs: each is read from front to back, and memory holds no rows of chunks.
//!
//! What is hidden, and what a newer run has too, is left out; that a pack is named is kept.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::{self, Write};

use super::{
    Run, RunPack, RunRow, decode_segment, encode_head, encode_segment, invalid, next_chunk, read_rows,
    write_footer,
};
use crate::id::IndexId;

/// Merges runs into one, reading each from front to back. What they hide is left out.
pub(in crate::vault) fn merge_runs(out: &mut impl Write, runs: &[Run]) -> io::Result<()> {
    let covers: Vec<IndexId> = runs.iter().flat_map(|run| run.covers.iter().copied()).collect();
    let (mut packs, mut first_pack, mut first_cover) = (Vec::new(), 0, 0);
    let mut numbering = Vec::new();
    let mut segment_rows = Vec::new();
    let mut segments = 0_u32;
    let stay = staying_packs(runs);
    for (run, stay) in runs.iter().zip(&stay) {
        packs.extend(run.packs.iter().zip(stay).map(|(pack, stays)| RunPack {
            cover: first_cover + pack.cover,
            segments: if *stays { pack.segments } else { 0 },
            ..*pack
        }));
        let mut reader = run.reader_at(run.segments_at);
        let mut of_run = Vec::with_capacity(run.segment_count as usize);
        for (pack, segment) in read_rows(&mut reader, run.segment_count, decode_segment)? {
            let stays = *stay.get(pack as usize).ok_or_else(invalid)?;
            of_run.push(stays.then_some(segments));
            if stays {
                encode_segment(first_pack + pack, &segment, &mut segment_rows);
                segments += 1;
            }
        }
        numbering.push(of_run);
        first_pack += run.packs.len() as u32;
        first_cover += run.covers.len() as u32;
    }

    let head = encode_head(&covers, &packs, segments as usize);
    out.write_all(&head)?;
    out.write_all(&segment_rows)?;
    merge_chunks(out, runs, &numbering)?;
    write_footer(out, &head)
}

/// Which packs of each run keep their segments when the runs are merged: those that are not hidden and not in a newer run too.
fn staying_packs(runs: &[Run]) -> Vec<Vec<bool>> {
    let mut seen = HashSet::new();
    let mut all: Vec<Vec<bool>> = Vec::new();
    for run in runs.iter().rev() {
        let stays = |(number, pack): (u32, &RunPack)| {
            pack.segments > 0 && !run.hides(number) && seen.insert(pack.place.id)
        };
        all.push((0..).zip(&run.packs).map(stays).collect());
    }
    all.reverse();
    all
}

/// Merges the rows of chunks, of several places of one chunk the newest first. `numbering` has the new number of each segment that
/// stays.
fn merge_chunks(out: &mut impl Write, runs: &[Run], numbering: &[Vec<Option<u32>>]) -> io::Result<()> {
    let mut readers = Vec::new();
    let mut heads = BinaryHeap::new();
    let advance = |readers: &mut Vec<_>, heads: &mut BinaryHeap<_>, number: usize| -> io::Result<()> {
        heads.extend(next_chunk(&mut readers[number])?.map(|row| (Reverse(row.id), number, row)));
        Ok(())
    };
    for (number, run) in runs.iter().enumerate() {
        readers.push((run.reader_at(run.chunks_at), run.chunk_count));
        advance(&mut readers, &mut heads, number)?;
    }
    while let Some((_, number, row)) = heads.pop() {
        if let Some(segment) = *numbering[number].get(row.segment as usize).ok_or_else(invalid)? {
            out.write_all(&RunRow { segment, ..row }.encode())?;
        }
        advance(&mut readers, &mut heads, number)?;
    }
    Ok(())
}
