//! The engine of a copy: from the packs of one vault into the sink of another.
//!
//! The picture is in the [module above](super). Each chunk is verified when it is read, and its plaintext goes into the sink: places
//! and keys are the other vault's own.

use std::collections::HashSet;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::chunk::compress::{Compressor, Decompressor};
use crate::crypto::hash::chunk_hash;
use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{Contents, Entry, EntryKind, Node};
use crate::id::ChunkHash;
use crate::progress::Amount;
use crate::surroundings::Surroundings;
use crate::vault::chunk_index::Place;
use crate::vault::packer::Packer;
use crate::vault::reader::{DomainReader, chunk_in};

use super::sink::{self, Sink};

/// Chunks that are sorted by place together: about 100 bytes each.
const BATCH_CHUNKS: usize = 50_000;
/// Segments that may wait to be opened.
const WAITING_SEGMENTS: usize = 16;

/// Chunks of one segment that are to be copied.
type Segment = Vec<(Place, ChunkHash)>;

/// Threads that store chunks in a copy: the sink needs gatherers for as many.
pub fn threads() -> usize {
    // The first goes over the tree.
    1 + copiers()
}

fn copiers() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

/// Copies everything that the tree below `root` needs into a sink; afterwards it is in the store and in an index object.
pub fn transfer(
    (domain, root): (DomainReader<'_>, &Entry),
    into: &Sink<'_>,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    sink::fill(&[into], |packers| {
        for packer in packers {
            Transfer { domain, sink: into, packer, around }.work(root);
        }
    });
    into.take_failure().map_or(Ok(()), Err)
}

/// What all threads of a copy share.
#[derive(Clone, Copy)]
struct Transfer<'t> {
    domain: DomainReader<'t>,
    sink: &'t Sink<'t>,
    packer: &'t Packer<'t>,
    around: &'t Surroundings<'t>,
}

impl Transfer<'_> {
    /// Copies nodes on this thread and chunks of files on others; a failure of any of them is the sink's.
    fn work(self, root: &Entry) {
        let (segments_in, segments) = bounded(WAITING_SEGMENTS);
        thread::scope(|scope| {
            let mut copying = Vec::new();
            for number in 1..threads() {
                let segments = segments.clone();
                let copy = move || self.with_hand(number, |hand| hand.copy_segments(&segments));
                copying.push(scope.spawn(copy));
            }
            // When the last of those who take segments is gone, the walker must see that.
            drop(segments);
            self.with_hand(0, |hand| Walk::new(segments_in).go_over(root, hand));
            for thread in copying {
                thread.join().unwrap_or_else(|_| self.sink.fail(Error::WorkerLost));
            }
        });
    }

    /// Runs one thread's work with gatherers of its own, and flushes them at its end.
    fn with_hand(self, number: usize, work: impl FnOnce(&mut Hand<'_>) -> Result<(), Error>) {
        let outcome = Hand::new(self, number).and_then(|mut hand| {
            work(&mut hand)?;
            hand.flush()
        });
        outcome.unwrap_or_else(|error| self.sink.fail(error));
    }
}

/// The tree while it is gone over \[1\].
struct Walk {
    seen: HashSet<ChunkHash>,
    open: Vec<ChunkHash>,
    batch: Segment,
    segments: Sender<Segment>,
}

impl Walk {
    fn new(segments: Sender<Segment>) -> Self {
        Self { seen: HashSet::new(), open: Vec::new(), batch: Vec::new(), segments }
    }

    /// Copies nodes, and hands on the chunks of files, sorted by place.
    fn go_over(mut self, root: &Entry, hand: &mut Hand<'_>) -> Result<(), Error> {
        let EntryKind::Directory { subtree } = root.kind else {
            return Err(hand.shared.domain.damaged_tree("its root is not a directory"));
        };
        self.open.push(subtree);
        while let Some(h) = self.open.pop() {
            if hand.shared.around.stop.requested() {
                return Err(Error::Interrupted);
            }
            if hand.shared.sink.failed() {
                return Ok(());
            }
            if self.seen.insert(h) {
                self.node(&h, hand)?;
            }
        }
        self.send()
    }

    fn node(&mut self, h: &ChunkHash, hand: &mut Hand<'_>) -> Result<(), Error> {
        let domain = hand.shared.domain;
        let node = domain.chunk(h)?;
        hand.store(SegmentKind::Tree, h, &node)?;
        match domain.node_in(&node)? {
            Node::Entries(entries) => {
                for entry in entries {
                    match entry.kind {
                        EntryKind::Directory { subtree } => self.open.push(subtree),
                        EntryKind::File { contents, .. } => self.contents(contents, hand)?,
                        _ => {}
                    }
                    hand.shared.around.progress.advance(Amount { items: 1, bytes: 0 });
                }
            }
            Node::Branch(parts) => self.open.extend(parts.into_iter().map(|part| part.h)),
            Node::ChunkList(_) => {
                return Err(domain.damaged_tree("a chunk list stands for a directory"));
            }
        }
        Ok(())
    }

    fn contents(&mut self, contents: Contents, hand: &mut Hand<'_>) -> Result<(), Error> {
        let domain = hand.shared.domain;
        if let Contents::Lists(lists) = &contents {
            for list in lists {
                hand.store(SegmentKind::Tree, &list.h, &domain.chunk(&list.h)?)?;
            }
        }
        for chunk in domain.chunks(contents) {
            let h = chunk?.h;
            if !hand.shared.sink.holds(&h)? {
                self.batch.push((domain.place(&h)?, h));
            }
            if self.batch.len() >= BATCH_CHUNKS {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Hands on what was collected, a segment at a time.
    fn send(&mut self) -> Result<(), Error> {
        let place = |(place, _): &(Place, ChunkHash)| (place.pack.id, place.segment.number);
        self.batch.sort_by_key(|piece| (place(piece), piece.0.offset));
        for segment in self.batch.chunk_by(|a, b| place(a) == place(b)) {
            self.segments.send(segment.to_vec()).map_err(|_| Error::WorkerLost)?;
        }
        self.batch.clear();
        Ok(())
    }
}

/// What one thread has for itself.
struct Hand<'t> {
    shared: Transfer<'t>,
    number: usize,
    compressor: Compressor,
    decompressor: Decompressor,
}

impl<'t> Hand<'t> {
    fn new(shared: Transfer<'t>, number: usize) -> Result<Self, Error> {
        let compressor = Compressor::new(shared.sink.level())?;
        Ok(Self { shared, number, compressor, decompressor: Decompressor::new()? })
    }

    /// Opens segments until there are no more, and stores the chunks that are wanted of each \[2\].
    fn copy_segments(&mut self, segments: &Receiver<Segment>) -> Result<(), Error> {
        let sink = self.shared.sink;
        segments.iter().take_while(|_| !sink.failed()).try_for_each(|segment| self.copy(&segment))
    }

    fn copy(&mut self, segment: &Segment) -> Result<(), Error> {
        let Some((first, _)) = segment.first() else { return Ok(()) };
        let domain = self.shared.domain;
        let raw = match domain.reader().segment(&first.pack, &first.segment, &mut self.decompressor) {
            Ok(raw) => raw,
            // The pack may have been replaced: one chunk at a time is looked up again.
            Err(Error::Missing { .. }) => {
                return segment
                    .iter()
                    .try_for_each(|(_, h)| self.store(SegmentKind::Data, h, &domain.chunk(h)?));
            }
            Err(error) => return Err(error),
        };
        for (place, h) in segment {
            self.store(SegmentKind::Data, h, chunk_in(&raw, place, h)?)?;
            self.shared.around.progress.advance(Amount { items: 0, bytes: place.length.into() });
        }
        Ok(())
    }

    /// Stores a chunk unless the other vault has it.
    fn store(&mut self, kind: SegmentKind, h: &ChunkHash, chunk: &[u8]) -> Result<(), Error> {
        debug_assert_eq!(chunk_hash(chunk), *h);
        let Transfer { sink, packer, .. } = self.shared;
        sink.store_chunk(self.number, (kind, h, chunk), &mut self.compressor, packer)
    }

    /// Seals what this thread has gathered.
    fn flush(&mut self) -> Result<(), Error> {
        self.shared.sink.flush(self.number, &mut self.compressor, self.shared.packer)
    }
}
