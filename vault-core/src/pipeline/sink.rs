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

/// Chunks that may wait in memory for an index object: about 60 bytes each, and as much again while it is written.
const UNINDEXED_CHUNKS: usize = 250_000;
/// Packs that are on their way to one store at the same time, at most: each is 32 MiB of memory.
const UPLOADERS_MAX: usize = 4;

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
    // Packs are what takes memory: none waits for an uploader, and with several sinks each has one uploader.
    let several = sinks.len() > 1;
    thread::scope(|scope| {
        let mut packers = Vec::new();
        for &sink in sinks {
            let uploaders = if several { 1 } else { sink.parts.store.parallel().clamp(1, UPLOADERS_MAX) };
            let (full_packs, packs) = bounded(0);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::ControlFlow;

    use super::*;
    use crate::crypto::hash::chunk_hash;
    use crate::crypto::random::FixedRandom;
    use crate::crypto::secret::Secret;
    use crate::id::{DeviceId, DomainId, Epoch, SessionId, VaultId};
    use crate::keys::envelope::{DomainKeys, MemberEpoch, MemberKeys, SessionPlace};
    use crate::progress::Silent;
    use crate::store::fault::{Fault, FaultyStore};
    use crate::store::{DirectoryStore, ObjectKind};
    use crate::surroundings::Stop;
    use crate::time::{FixedClock, Timestamp};
    use crate::vault::chunk_index::ChunkIndex;

    static NOON: FixedClock = FixedClock(Timestamp::new(43_200, 0));

    /// A store, and what else a sink needs.
    struct Bench {
        _directory: tempfile::TempDir,
        store: FaultyStore<DirectoryStore>,
        session: Session,
        known: Known,
        random: FixedRandom,
        stop: Stop,
    }

    impl Bench {
        fn new() -> Self {
            let (directory, random) = (tempfile::tempdir().unwrap(), FixedRandom::new(1));
            let (vault, domain) = (VaultId::new([1; 32]), DomainId::new([2; 16]));
            let member = MemberKeys {
                current: MemberEpoch::generate(Epoch(1), &random).unwrap(),
                dedup_root: Secret::generate(&random).unwrap(),
                earlier: Vec::new(),
            };
            let writer = DomainKeys::from_member(&member, &vault, domain);
            let place = SessionPlace { vault, epoch: Epoch(1), session: SessionId::new([3; 16]) };
            let recipient = member.current.identity.to_recipient().into();
            let session = Session::begin(place, DeviceId::new([4; 16]), writer, &recipient, &random).unwrap();
            let index = ChunkIndex::open(&directory.path().join("index"), &BTreeSet::new()).unwrap();
            let store = DirectoryStore::create(&directory.path().join("vault"), vault).unwrap();
            let store = FaultyStore::new(store.publish().unwrap());
            let known = Known::new(index);
            Self { _directory: directory, store, session, known, random, stop: Stop::new() }
        }

        fn sink(&self) -> Sink<'_> {
            let (random, stop) = (&self.random, &self.stop);
            let around = Surroundings { clock: &NOON, random, progress: &Silent, stop };
            let (session, store, known) = (&self.session, &self.store, &self.known);
            Sink::new(SinkParts { session, store, known, level: Level::default(), around }, 1)
        }

        fn count(&self, kind: ObjectKind) -> usize {
            let mut count = 0;
            let mut each = |_, _| {
                count += 1;
                ControlFlow::Continue(())
            };
            self.store.inner().list(kind, &mut each).unwrap();
            count
        }
    }

    /// Stores four packs of four chunks.
    fn store_packs(sink: &Sink<'_>) {
        fill(&[sink], |packers| {
            let mut compressor = Compressor::new(sink.level()).unwrap();
            for number in 0..16_u8 {
                let (chunk, packer) = ([number; 100], &packers[0]);
                let part = (SegmentKind::Data, &chunk_hash(&chunk), &chunk[..]);
                sink.store_chunk(0, part, &mut compressor, packer).unwrap();
                if number % 4 == 3 {
                    sink.flush(0, &mut compressor, packer).unwrap();
                    // Nobody takes a pack from a packer whose sink has failed: that is no error of the test.
                    let _ = packer.finish();
                }
            }
        });
    }

    #[test]
    fn what_it_was_filled_with_is_stored_and_indexed() {
        let bench = Bench::new();
        let sink = bench.sink();

        store_packs(&sink);

        assert!(sink.take_failure().is_none());
        assert_eq!((bench.count(ObjectKind::Pack), bench.count(ObjectKind::Index)), (4, 1));
        assert_eq!((bench.session.unindexed_chunks(), bench.known.packs().len()), (0, 4));
        assert_eq!(sink.added_bytes(), 1_600);
        assert!(sink.holds(&chunk_hash(&[7; 100])).unwrap() && !sink.holds(&chunk_hash(b"other")).unwrap());
    }

    #[test]
    fn chunks_that_wait_for_an_index_object_are_bounded() {
        let bench = Bench::new();
        let sink = Sink { unindexed_max: 3, ..bench.sink() };

        store_packs(&sink);

        // Two uploaders have at most two packs between storing one and looking.
        assert!(sink.take_failure().is_none());
        assert!(bench.count(ObjectKind::Index) >= 2);
        assert_eq!((bench.session.unindexed_chunks(), bench.known.packs().len()), (0, 4));
    }

    #[test]
    fn a_sink_that_fails_says_why_and_names_nothing() {
        let bench = Bench::new();
        bench.store.set_fault(2, Fault::Stop);
        let sink = bench.sink();

        store_packs(&sink);

        assert!(matches!(sink.take_failure(), Some(Error::Store(_))));
        assert!(sink.failed() && bench.session.indexes_to_name().is_empty());
        assert_eq!(bench.count(ObjectKind::Index), 0);
    }
}
