//! Merging runs: each is read from front to back, and memory holds no rows of segments or chunks.
//!
//! What is hidden, and what a newer run has too, is left out; that a pack is named is kept.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::{self, Read, Write};

use super::{
    Run, RunPack, RunRow, SEGMENT_BYTES, decode_segment, encode_head, encode_segment, invalid, next_chunk,
    pack_of, write_footer,
};
use crate::id::IndexId;

/// Merges runs into one, reading each from front to back. What they hide is left out.
pub(in crate::vault) fn merge_runs(out: &mut impl Write, runs: &[Run]) -> io::Result<()> {
    let covers: Vec<IndexId> = runs.iter().flat_map(|run| run.covers.iter().copied()).collect();
    let (mut packs, mut segments, mut first_cover) = (Vec::new(), 0_u32, 0);
    let mut numberings = Vec::new();
    for (run, stay) in runs.iter().zip(staying_packs(runs)) {
        let mut numbering = Numbering { old: run.pack_starts()?, new: Vec::with_capacity(run.packs.len()) };
        for (pack, stays) in run.packs.iter().zip(stay) {
            numbering.new.push(stays.then_some(segments));
            let kept = if stays { pack.segments } else { 0 };
            segments = segments.checked_add(kept).ok_or_else(invalid)?;
            packs.push(RunPack { cover: first_cover + pack.cover, segments: kept, ..*pack });
        }
        numberings.push(numbering);
        first_cover += run.covers.len() as u32;
    }

    let head = encode_head(&covers, &packs, segments as usize);
    out.write_all(&head)?;
    let mut first_pack = 0;
    for (run, numbering) in runs.iter().zip(&numberings) {
        copy_segments(out, run, numbering, first_pack)?;
        first_pack += run.packs.len() as u32;
    }
    merge_chunks(out, runs, &numberings)?;
    write_footer(out, &head)
}

/// New numbers of a run's segments. Those of one pack stand together, so that it is enough to know each pack's first.
struct Numbering {
    old: Vec<u32>,
    /// `None` where the pack does not keep its segments.
    new: Vec<Option<u32>>,
}

impl Numbering {
    /// The new number of a segment; `None` if it does not stay.
    fn of(&self, segment: u32) -> io::Result<Option<u32>> {
        let pack = pack_of(&self.old, segment)?;
        Ok(self.new[pack].map(|first| first + (segment - self.old[pack])))
    }
}

/// Writes the rows of the segments that stay.
fn copy_segments(out: &mut impl Write, run: &Run, numbering: &Numbering, first_pack: u32) -> io::Result<()> {
    let mut reader = run.reader_at(run.segments_at);
    let (mut bytes, mut encoded) = ([0; SEGMENT_BYTES as usize], Vec::new());
    for ((number, pack), new) in (0..).zip(&run.packs).zip(&numbering.new) {
        for _ in 0..pack.segments {
            reader.read_exact(&mut bytes)?;
            let (of, segment) = decode_segment(&bytes).filter(|(of, _)| *of == number).ok_or_else(invalid)?;
            if new.is_some() {
                encoded.clear();
                encode_segment(first_pack + of, &segment, &mut encoded);
                out.write_all(&encoded)?;
            }
        }
    }
    Ok(())
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

/// Merges the rows of chunks, of several places of one chunk the newest first.
fn merge_chunks(out: &mut impl Write, runs: &[Run], numberings: &[Numbering]) -> io::Result<()> {
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
        if let Some(segment) = numberings[number].of(row.segment)? {
            out.write_all(&RunRow { segment, ..row }.encode())?;
        }
        advance(&mut readers, &mut heads, number)?;
    }
    Ok(())
}
