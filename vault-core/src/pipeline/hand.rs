//! A hand: what one thread of a backup has for itself.
//!
//! What fails for one destination ends that destination alone: nothing here returns such an error.

use crate::chunk::compress::Compressor;
use crate::crypto::hash::chunk_hash;
use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::id::ChunkHash;
use crate::vault::packer::Packer;

use super::backup::Engine;
use super::destination::{Counts, Destination, count};

/// The destinations that an entry must be read for, as a set of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted(u32);

impl Wanted {
    /// Adds the destination with this number.
    pub fn add(&mut self, to: usize) {
        self.0 |= 1 << to;
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..u32::BITS as usize).filter(move |to| self.0 & (1 << to) != 0)
    }
}

/// What one thread of a backup has for itself.
pub struct Hand<'e> {
    /// What all share.
    pub engine: &'e Engine<'e>,
    /// Contents of the small file in work; kept to be used again.
    pub buffer: Vec<u8>,
    number: usize,
    packers: &'e [Packer<'e>],
    compressor: Compressor,
}

impl<'e> Hand<'e> {
    /// The hand of the thread with this number.
    pub fn new(engine: &'e Engine<'e>, number: usize, packers: &'e [Packer<'e>]) -> Result<Self, Error> {
        let level = engine.destinations.first().map_or_else(Default::default, |first| first.sink.level());
        Ok(Self { engine, buffer: Vec::new(), number, packers, compressor: Compressor::new(level)? })
    }

    /// All destinations that have not failed.
    pub fn going(&self) -> Wanted {
        let mut going = Wanted::default();
        for (to, destination) in self.engine.destinations.iter().enumerate() {
            if !destination.failed() {
                going.add(to);
            }
        }
        going
    }

    /// The destination with this number.
    pub fn destination(&self, to: usize) -> &'e Destination<'e> {
        &self.engine.destinations[to]
    }

    /// Does a part of the work for each of some destinations; one for which it fails takes no further part in the run.
    pub fn each(
        &mut self,
        wanted: Wanted,
        mut work: impl FnMut(&mut Self, usize, &'e Destination<'e>) -> Result<(), Error>,
    ) {
        for to in wanted.iter() {
            let destination = self.destination(to);
            if !destination.failed()
                && let Err(error) = work(self, to, destination)
            {
                destination.fail(error);
            }
        }
    }

    /// Raises a count of each of some destinations.
    pub fn count(&self, wanted: Wanted, which: impl Fn(&Counts) -> &std::sync::atomic::AtomicU64, more: u64) {
        for to in wanted.iter() {
            count(which(&self.destination(to).counts), more);
        }
    }

    /// Stores a chunk unless the destination's vault has it, and returns its hash.
    pub fn store_chunk(&mut self, to: usize, kind: SegmentKind, chunk: &[u8]) -> Result<ChunkHash, Error> {
        let h = chunk_hash(chunk);
        let sink = &self.destination(to).sink;
        sink.store_chunk(self.number, (kind, &h, chunk), &mut self.compressor, &self.packers[to])?;
        Ok(h)
    }

    /// Seals what this thread has gathered.
    pub fn flush(&mut self) {
        self.each(self.going(), |hand, to, destination| {
            destination.sink.flush(hand.number, &mut hand.compressor, &hand.packers[to])
        });
    }

    /// Seals what all threads have gathered for one destination, and waits until it is in the store and in an index object.
    pub fn settle(&mut self, to: usize) -> Result<(), Error> {
        self.destination(to).sink.settle(&mut self.compressor, &self.packers[to])
    }
}
