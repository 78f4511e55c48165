//! A sink: where a run stores new chunks in one vault, with gatherers for each of its threads.
//!
//! A chunk that was claimed here lies in a gatherer, in a pack, or in the store; when [`fill`] returns it is in the store and in an
//! index object, or the sink has failed and nothing may name the chunk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use crate::chunk::compress::{Compressor, Level};
use crate::crypto::hash::chunk_id;
use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::id::{ChunkHash, ChunkId};
use crate::store::Store;
use crate::surroundings::Surroundings;
use crate::vault::packer::{FullPack, Gatherer, Packer};
use crate::vault::session::Session;

use super::dedup::Known;

/// Chunks that may wait in memory for an index object: about 60 bytes each.
const UNINDEXED_CHUNKS: usize = 500_000;

/// What a sink works with.
#[derive(Clone, Copy)]
pub struct SinkParts<'a> {
    /// The running session.
    pub session: &'a Session,
    /// Where packs go.
    pub store: &'a dyn Store,
    /// What need not be stored.
    pub known: &'a Known,
    /// How hard to compress.
    pub level: Level,
    /// Randomness, listener, request to stop.
    pub around: Surroundings<'a>,
}

/// Where new chunks go.
pub struct Sink<'a> {
    parts: SinkParts<'a>,
    /// One pair for each thread.
    gatherers: Vec<Mutex<Gatherers>>,
    added_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    stored_packs: Mutex<u64>,
    progressed: Condvar,
    unindexed_max: usize,
    /// Held while index objects are written, so that whoever has waited for it finds all of them written.
    indexing: Mutex<()>,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// Collects one thread's chunks into segments.
struct Gatherers {
    data: Gatherer,
    tree: Gatherer,
}

/// Runs `work` with a packer for each of some sinks, and stores meanwhile what is packed. Afterwards every chunk that was claimed and
/// flushed is in the store and in an index object of each sink that has not failed.
pub fn fill(sinks: &[&Sink<'_>], work: impl FnOnce(&[Packer<'_>])) {
    // With several, each waits less ahead: packs are what takes memory.
    let (waiting_packs, uploaders) = if sinks.len() > 1 { (0, 1) } else { (1, 2) };
    thread::scope(|scope| {
        let mut packers = Vec::new();
        for &sink in sinks {
            let (full_packs, packs) = bounded(waiting_packs);
            for _ in 0..uploaders {
                let packs = packs.clone();
                scope.spawn(move || sink.upload(&packs));
            }
            packers.push(Packer::new(sink.parts.session, sink.parts.around.random, full_packs));
        }
        work(&packers);
        for (sink, packer) in sinks.iter().zip(&packers) {
            if !sink.failed() {
                packer.finish().map_or_else(|error| sink.fail(error), drop);
            }
        }
        // The uploaders end when the packers, who feed them, are gone; the scope waits for them.
        drop(packers);
    });
    for sink in sinks.iter().filter(|sink| !sink.failed()) {
        sink.write_indexes().unwrap_or_else(|error| sink.fail(error));
    }
}

impl<'a> Sink<'a> {
    /// A sink at rest, for work of that many threads.
    pub fn new(parts: SinkParts<'a>, threads: usize) -> Self {
        let pair =
            || Gatherers { data: Gatherer::new(SegmentKind::Data), tree: Gatherer::new(SegmentKind::Tree) };
        Self {
            parts,
            gatherers: (0..threads).map(|_| Mutex::new(pair())).collect(),
            added_bytes: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            stored_packs: Mutex::default(),
            progressed: Condvar::new(),
            unindexed_max: UNINDEXED_CHUNKS,
            indexing: Mutex::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// How hard to compress what goes into it.
    pub fn level(&self) -> Level {
        self.parts.level
    }

    /// Bytes of chunks that the vault did not have, before compression.
    pub fn added_bytes(&self) -> u64 {
        self.added_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that the store grew by.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    /// Whether it takes nothing more.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Records a failure; the first one is what the work with it ends with.
    pub fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
        // Whoever waits for packs to be stored must look again.
        drop(lock(&self.stored_packs));
        self.progressed.notify_all();
    }

    /// Takes the failure out: the work is over.
    pub fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// Whether the vault has a chunk, or will have it when this sink is filled.
    pub fn holds(&self, h: &ChunkHash) -> Result<bool, Error> {
        self.parts.known.holds(self.chunk_id(h))
    }

    /// Stores a chunk unless the vault has it.
    ///
    /// Claimed and gathered under one lock: whoever flushes all gatherers after he has seen a chunk claimed finds it in a pack.
    pub fn store_chunk(
        &self,
        thread: usize,
        (kind, h, chunk): (SegmentKind, &ChunkHash, &[u8]),
        compressor: &mut Compressor,
        packer: &Packer<'_>,
    ) -> Result<(), Error> {
        let id = self.chunk_id(h);
        let mut own = lock(&self.gatherers[thread]);
        if self.parts.known.claim(id)? {
            self.added_bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            let gatherer = match kind {
                SegmentKind::Data => &mut own.data,
                SegmentKind::Tree => &mut own.tree,
            };
            gatherer.push(id, chunk, compressor, packer)?;
        }
        Ok(())
    }

    /// Seals what one thread has gathered.
    pub fn flush(
        &self,
        thread: usize,
        compressor: &mut Compressor,
        packer: &Packer<'_>,
    ) -> Result<(), Error> {
        let mut own = lock(&self.gatherers[thread]);
        own.data.flush(compressor, packer)?;
        own.tree.flush(compressor, packer)
    }

    /// Seals what all threads have gathered, and waits until every chunk claimed so far is in the store and in an index object.
    pub fn settle(&self, compressor: &mut Compressor, packer: &Packer<'_>) -> Result<(), Error> {
        for thread in 0..self.gatherers.len() {
            self.flush(thread, compressor, packer)?;
        }
        let packs = packer.finish()?;
        let mut stored = lock(&self.stored_packs);
        while *stored < packs && !self.failed() {
            stored = self.progressed.wait(stored).unwrap_or_else(PoisonError::into_inner);
        }
        drop(stored);
        if self.failed() { Err(Error::WorkerLost) } else { self.write_indexes() }
    }

    /// Stores packs until there are no more. After a failure it goes on taking them, so that nobody waits for ever.
    fn upload(&self, packs: &Receiver<FullPack>) {
        for pack in packs {
            if self.failed() {
                continue;
            }
            if let Err(error) = self.store_pack(pack) {
                self.fail(error);
            }
        }
    }

    fn store_pack(&self, pack: FullPack) -> Result<(), Error> {
        let bytes = self.parts.session.store_pack(self.parts.store, pack)?;
        self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
        *lock(&self.stored_packs) += 1;
        self.progressed.notify_all();
        if self.parts.session.unindexed_chunks() > self.unindexed_max {
            self.write_indexes()?;
        }
        Ok(())
    }

    /// Writes index objects for all packs stored so far, and frees the memory that knowing their chunks took.
    fn write_indexes(&self) -> Result<(), Error> {
        let _turn = lock(&self.indexing);
        for index in self.parts.session.write_indexes(self.parts.store, self.parts.around.random)? {
            self.stored_bytes.fetch_add(index.bytes, Ordering::Relaxed);
            self.parts.known.settle(index.id, &index.packs)?;
        }
        Ok(())
    }

    fn chunk_id(&self, h: &ChunkHash) -> ChunkId {
        chunk_id(&self.parts.session.writer().k_id, h)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
