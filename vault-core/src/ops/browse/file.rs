//! Open files: any range of bytes, reading no more segments than hold it, and the next ones ahead of a reader that goes on.
//!
//! What is kept of an open file is bounded by its entry; of a chunk list in nodes of its own only the part at hand is in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::Error;
use crate::format::tree::{ChunkRef, Contents, Hole, ListRef};
use crate::id::ChunkHash;

use super::source::{Decoded, Run, Source, View};

/// How far a read may be from where the last one ended and still be its continuation: readers have several requests under way.
const NEAR_BYTES: u64 = 1 << 20;
/// Reads in a row that make a reader one that will go on.
const STREAK: u32 = 2;
/// How far ahead of a reader segments are opened.
const AHEAD_BYTES: u64 = 4 << 20;
/// In a smaller cache the segments opened ahead would take the place of those that are being read.
const AHEAD_LEAST_CACHE_BYTES: usize = 16 << 20;
/// Chunks that may wait to be read ahead.
const WAITING_CHUNKS: usize = 64;
/// Threads that read ahead: more do not help one reader.
const AHEAD_THREADS: usize = 4;

/// A file that is open for reading. May be used from many threads at once.
pub struct OpenFile {
    view: View,
    size: u64,
    layout: Layout,
    holes: Holes,
    reading: Mutex<Reading>,
}

/// Where the bytes are that no hole covers.
enum Layout {
    Chunks(Run),
    Lists {
        lists: Vec<ListRef>,
        /// Where each list ends in the bytes that no hole covers.
        ends: Vec<u64>,
    },
}

/// What the reads so far tell about the next.
#[derive(Default)]
struct Reading {
    end: u64,
    streak: u32,
    /// How far was read ahead.
    ahead: u64,
}

impl OpenFile {
    /// Opens the file with these contents.
    pub(super) fn new(view: View, size: u64, contents: Contents, holes: Vec<Hole>) -> Self {
        let layout = match contents {
            Contents::Chunks(chunks) => Layout::Chunks(Run::new(chunks)),
            Contents::Lists(lists) => {
                let ends = lists.iter().scan(0_u64, |end, list| {
                    *end = end.saturating_add(list.bytes);
                    Some(*end)
                });
                Layout::Lists { ends: ends.collect(), lists }
            }
        };
        Self { view, size, layout, holes: Holes::new(holes), reading: Mutex::default() }
    }

    /// At most `length` bytes from `offset` on; fewer only at the end of the file.
    pub(super) fn read(&self, source: &Source, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let end = self.size.min(offset.saturating_add(length.into()));
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        let (mut at, mut rest) = (offset, &mut bytes[..]);
        while !rest.is_empty() {
            let piece = self.holes.piece_at(at);
            let piece_bytes = (piece.end.min(end) - at) as usize;
            let (now, later) = rest.split_at_mut(piece_bytes);
            // What stands in a hole is zero already.
            if let Some(stored_at) = piece.stored_at {
                self.read_stored(source, stored_at, now)?;
            }
            (at, rest) = (piece.end, later);
        }
        Ok(bytes)
    }

    /// The first byte from `offset` on that is in no hole; `None` if there is none.
    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        let piece = self.holes.piece_at(offset);
        let at = if piece.stored_at.is_some() { offset } else { piece.end };
        (at < self.size).then_some(at)
    }

    /// The first byte from `offset` on that is in a hole, as is what follows the end; `None` if `offset` is not in the file.
    pub(super) fn next_hole(&self, offset: u64) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        let piece = self.holes.piece_at(offset);
        Some(if piece.stored_at.is_some() { piece.end.min(self.size) } else { offset })
    }

    /// Fills `rest` from the bytes that no hole covers.
    fn read_stored(&self, source: &Source, mut at: u64, mut rest: &mut [u8]) -> Result<(), Error> {
        while !rest.is_empty() {
            let Some((chunk, begin)) = self.chunk_at(source, at)? else {
                return Err(self.view.damaged_tree("a file has fewer bytes than its size"));
            };
            let (place, opened) = source.segment(&self.view, &chunk.h)?;
            if place.length != chunk.length {
                return Err(self.view.damaged_tree("a chunk has another length than the index says"));
            }
            let bytes = opened.chunk(&place, &chunk.h)?.get((at - begin) as usize..).unwrap_or_default();
            let (now, later) = rest.split_at_mut(bytes.len().min(rest.len()));
            now.copy_from_slice(&bytes[..now.len()]);
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// The chunk that holds a byte, and where it begins; both counted without holes.
    fn chunk_at(&self, source: &Source, at: u64) -> Result<Option<(ChunkRef, u64)>, Error> {
        let (lists, ends) = match &self.layout {
            Layout::Chunks(run) => return Ok(run.at(at)),
            Layout::Lists { lists, ends } => (lists, ends),
        };
        let number = ends.partition_point(|&end| end <= at);
        let (Some(list), Some(end)) = (lists.get(number), ends.get(number)) else { return Ok(None) };
        let begin = end - list.bytes;
        match &*source.node(&self.view, &list.h)? {
            Decoded::Chunks(run) if run.bytes() == list.bytes => {
                Ok(run.at(at - begin).map(|(chunk, within)| (chunk, begin + within)))
            }
            Decoded::Chunks(_) => {
                Err(self.view.damaged_tree("a list of chunks has another length than its entry says"))
            }
            _ => Err(self.view.damaged_tree("a directory stands in place of a list of chunks")),
        }
    }

    /// Asks for the chunks after a read if it continues the reads before it.
    pub(super) fn read_ahead(&self, source: &Source, ahead: &ReadAhead, read: std::ops::Range<u64>) {
        let stored = |offset| self.holes.stored_before(offset);
        let (from, to) = {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let continues = read.start.abs_diff(reading.end) <= NEAR_BYTES;
            reading.streak = if continues { reading.streak.saturating_add(1) } else { 0 };
            reading.end = if continues { reading.end.max(read.end) } else { read.end };
            if reading.streak < STREAK {
                reading.ahead = 0;
                return;
            }
            let end = stored(reading.end);
            let (from, to) = (reading.ahead.max(end), end.saturating_add(ahead.window_bytes));
            reading.ahead = reading.ahead.max(to);
            (from, to)
        };
        let mut at = from;
        while at < to {
            // What cannot be found is told when it is read.
            let Ok(Some((chunk, begin))) = self.chunk_at(source, at) else { return };
            if !ahead.ask(self.view, chunk.h) {
                return;
            }
            at = begin + u64::from(chunk.length);
        }
    }
}

/// The holes of a file.
struct Holes {
    holes: Vec<Hole>,
    /// How many bytes the holes have together before each of them, and before the end.
    before: Vec<u64>,
}

/// A stretch of a file that is one hole, or has none.
struct Stretch {
    /// Where it ends in the file; `u64::MAX` after the last hole.
    end: u64,
    /// For a byte in no hole: its place among the bytes that no hole covers.
    stored_at: Option<u64>,
}

impl Holes {
    fn new(holes: Vec<Hole>) -> Self {
        let mut total = 0_u64;
        let mut before = vec![0];
        before.extend(holes.iter().map(|hole| {
            total = total.saturating_add(hole.length);
            total
        }));
        Self { holes, before }
    }

    /// The rest of the stretch that holds the byte at `offset`.
    fn piece_at(&self, offset: u64) -> Stretch {
        let number = self.passed(offset);
        match self.holes.get(number) {
            Some(hole) if hole.offset <= offset => {
                Stretch { end: hole.offset.saturating_add(hole.length), stored_at: None }
            }
            next => Stretch {
                end: next.map_or(u64::MAX, |hole| hole.offset),
                stored_at: Some(self.stored_before(offset)),
            },
        }
    }

    /// How many bytes before `offset` no hole covers.
    fn stored_before(&self, offset: u64) -> u64 {
        let number = self.passed(offset);
        let within = self.holes.get(number).map_or(0, |hole| offset.saturating_sub(hole.offset));
        offset.saturating_sub(self.before.get(number).copied().unwrap_or(0)).saturating_sub(within)
    }

    /// How many holes end at or before `offset`.
    fn passed(&self, offset: u64) -> usize {
        self.holes.partition_point(|hole| hole.offset.saturating_add(hole.length) <= offset)
    }
}

/// Threads that open segments before they are asked for. They end when this is dropped.
pub(super) struct ReadAhead {
    wishes: Option<Sender<(View, ChunkHash)>>,
    threads: Vec<JoinHandle<()>>,
    window_bytes: u64,
}

impl ReadAhead {
    /// Starts the threads. For a small cache they have nothing to do.
    pub(super) fn new(source: &Arc<Source>, cache_bytes: usize) -> Self {
        let (wishes, waiting) = bounded(WAITING_CHUNKS);
        let count = thread::available_parallelism().map_or(1, usize::from).min(AHEAD_THREADS);
        // Where no thread can be had, nothing is read ahead.
        let threads = (0..count).filter_map(|_| {
            let (source, waiting): (_, Receiver<(View, ChunkHash)>) = (Arc::clone(source), waiting.clone());
            let work = move || {
                for (view, h) in waiting {
                    // What fails is told when it is read.
                    let _ = source.segment(&view, &h);
                }
            };
            let name = "read ahead".to_owned();
            thread::Builder::new().name(name).spawn(work).ok()
        });
        let threads = threads.collect();
        let window_bytes = if cache_bytes < AHEAD_LEAST_CACHE_BYTES { 0 } else { AHEAD_BYTES };
        Self { wishes: Some(wishes), threads, window_bytes }
    }

    /// Asks for a chunk; false if too many wait.
    fn ask(&self, view: View, h: ChunkHash) -> bool {
        self.wishes.as_ref().is_some_and(|wishes| wishes.try_send((view, h)).is_ok())
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.wishes = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has told so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holes_are_found_as_in_a_map_of_every_byte(covered in proptest::collection::vec(any::<bool>(), 1..60)) {
            let mut holes: Vec<Hole> = Vec::new();
            for (offset, _) in covered.iter().enumerate().filter(|(_, covered)| **covered) {
                match holes.last_mut() {
                    Some(hole) if hole.offset + hole.length == offset as u64 => hole.length += 1,
                    _ => holes.push(Hole { offset: offset as u64, length: 1 }),
                }
            }
            let holes = Holes::new(holes);

            let mut stored = 0;
            for (offset, &covered) in covered.iter().enumerate() {
                let piece = holes.piece_at(offset as u64);
                prop_assert_eq!(piece.stored_at, (!covered).then_some(stored));
                prop_assert_eq!(holes.stored_before(offset as u64), stored);
                prop_assert!(piece.end > offset as u64);
                stored += u64::from(!covered);
            }
        }
    }
}
