//! A destination of a backup: the vault that takes it, how far it has come, and what went wrong with it.
//!
//! A backup reads its source once for all destinations. Each has its own keys, so its own cuts, chunks and packs; and its own
//! failure, which ends the backup into it and no other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_channel::Receiver;

use crate::chunk::compress::{Compressor, Level};
use crate::chunk::cut::Cutter;
use crate::crypto::hash::chunk_id;
use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{Contents, Entry, EntryKind};
use crate::id::{ChunkHash, ChunkId};
use crate::store::Store;
use crate::surroundings::Surroundings;
use crate::vault::packer::{FullPack, Gatherer, Packer};
use crate::vault::session::Session;
use crate::vault::stat_cache::{StatCache, StatCacheWriter};

use super::dedup::Known;

/// Chunks that may wait in memory for an index object: about 60 bytes each.
const UNINDEXED_CHUNKS: usize = 500_000;

/// What a backup into one vault works with.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The running session.
    pub session: &'a Session,
    /// Where packs go.
    pub store: &'a dyn Store,
    /// What need not be stored.
    pub known: &'a Known,
    /// Cuts files into chunks.
    pub cutter: &'a Cutter,
    /// How hard to compress.
    pub level: Level,
    /// What earlier runs remember, the latest first.
    pub remembered: &'a [StatCache],
    /// How far to rely on what they remember.
    pub trust: Trust,
    /// What this run remembers.
    pub remember: &'a StatCacheWriter,
}

/// How far to rely on what earlier runs remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The vault holds all that the remembered snapshot needs.
    Fully,
    /// Something may be gone from the vault: an entry counts as unchanged only if each of its chunks is there.
    Checked,
}

/// One vault that takes the backup.
pub struct Destination<'a> {
    /// What it works with.
    pub parts: Parts<'a>,
    /// What was found and done.
    pub counts: Counts,
    /// The snapshot's root, once everything below it is finished.
    pub root: OnceLock<Entry>,
    /// One pair of gatherers for each thread.
    gatherers: Vec<Mutex<Gatherers>>,
    /// Packs stored so far.
    stored: Mutex<u64>,
    progressed: Condvar,
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

impl<'a> Destination<'a> {
    /// A destination at rest, for a backup of that many threads.
    pub fn new(parts: Parts<'a>, threads: usize) -> Self {
        let pair =
            || Gatherers { data: Gatherer::new(SegmentKind::Data), tree: Gatherer::new(SegmentKind::Tree) };
        Self {
            parts,
            counts: Counts::default(),
            root: OnceLock::new(),
            gatherers: (0..threads).map(|_| Mutex::new(pair())).collect(),
            stored: Mutex::default(),
            progressed: Condvar::new(),
            indexing: Mutex::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// Whether the backup into it has ended early.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Records a failure; the first one is what the backup into it ends with.
    pub fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
        // Whoever waits for packs to be stored must look again.
        drop(lock(&self.stored));
        self.progressed.notify_all();
    }

    /// Takes the failure out: the backup is over.
    pub fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
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
            count(&self.counts.added_bytes, chunk.len() as u64);
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
    pub fn settle(
        &self,
        compressor: &mut Compressor,
        packer: &Packer<'_>,
        around: &Surroundings<'_>,
    ) -> Result<(), Error> {
        for thread in 0..self.gatherers.len() {
            self.flush(thread, compressor, packer)?;
        }
        let packs = packer.finish()?;
        let mut stored = lock(&self.stored);
        while *stored < packs && !self.failed() {
            stored = self.progressed.wait(stored).unwrap_or_else(PoisonError::into_inner);
        }
        drop(stored);
        if self.failed() { Err(Error::WorkerLost) } else { self.write_indexes(around) }
    }

    /// Stores packs until there are no more. After a failure it goes on taking them, so that nobody waits for ever.
    pub fn upload(&self, packs: &Receiver<FullPack>, around: &Surroundings<'_>) {
        for pack in packs {
            if self.failed() {
                continue;
            }
            if let Err(error) = self.store_pack(pack, around) {
                self.fail(error);
            }
        }
    }

    fn store_pack(&self, pack: FullPack, around: &Surroundings<'_>) -> Result<(), Error> {
        let bytes = self.parts.session.store_pack(self.parts.store, pack)?;
        count(&self.counts.stored_bytes, bytes);
        *lock(&self.stored) += 1;
        self.progressed.notify_all();
        if self.parts.session.unindexed_chunks() > UNINDEXED_CHUNKS {
            self.write_indexes(around)?;
        }
        Ok(())
    }

    /// Writes index objects for all packs stored so far, and frees the memory that knowing their chunks took.
    pub fn write_indexes(&self, around: &Surroundings<'_>) -> Result<(), Error> {
        let _turn = lock(&self.indexing);
        for index in self.parts.session.write_indexes(self.parts.store, around.random)? {
            count(&self.counts.stored_bytes, index.bytes);
            self.parts.known.settle(index.id, &index.packs)?;
        }
        Ok(())
    }

    /// Whether the vault holds all that a remembered entry needs.
    pub fn holds(&self, encoded: &[u8]) -> Result<bool, Error> {
        if self.parts.trust == Trust::Fully {
            return Ok(true);
        }
        let Ok(entry) = Entry::decode(encoded) else { return Ok(false) };
        match &entry.kind {
            EntryKind::File { contents: Contents::Chunks(chunks), .. } => {
                for chunk in chunks {
                    if !self.parts.known.holds(self.chunk_id(&chunk.h))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            // Which chunks such a file has stands in nodes that this device cannot read.
            EntryKind::File { contents: Contents::Lists(_), .. } => Ok(false),
            _ => Ok(true),
        }
    }

    fn chunk_id(&self, h: &ChunkHash) -> ChunkId {
        chunk_id(&self.parts.session.writer().k_id, h)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts of a backup. Entries are files, directories, links and special files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupCounts {
    /// Files in the snapshot.
    pub files: u64,
    /// Directories in the snapshot.
    pub directories: u64,
    /// Links and special files in the snapshot.
    pub others: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Entries that the previous backup of these paths did not have.
    pub new_entries: u64,
    /// Entries that differ from the previous backup.
    pub changed_entries: u64,
    /// Entries that are as in the previous backup.
    pub unchanged_entries: u64,
    /// Entries left out because of an error.
    pub failed_entries: u64,
    /// Sockets and others left out by rule.
    pub skipped_entries: u64,
    /// Bytes that were read from files.
    pub read_bytes: u64,
    /// Bytes of chunks that the vault did not have, before compression.
    pub added_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// Counts that several threads raise.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files in the snapshot.
    pub files: AtomicU64,
    /// Directories in the snapshot.
    pub directories: AtomicU64,
    /// Links and special files in the snapshot.
    pub others: AtomicU64,
    /// Bytes in those files.
    pub bytes: AtomicU64,
    /// Entries the last backup did not have.
    pub new_entries: AtomicU64,
    /// Entries that differ from the last backup.
    pub changed_entries: AtomicU64,
    /// Entries as in the last backup.
    pub unchanged_entries: AtomicU64,
    /// Entries that could not be read.
    pub failed_entries: AtomicU64,
    /// Entries left out by rule.
    pub skipped_entries: AtomicU64,
    /// Bytes read.
    pub read_bytes: AtomicU64,
    /// Bytes of new chunks.
    pub added_bytes: AtomicU64,
    /// Bytes stored.
    pub stored_bytes: AtomicU64,
}

/// Adds to a count; the order among threads does not matter, only the sum.
pub fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counts {
    /// The counts so far.
    pub fn summary(&self) -> BackupCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BackupCounts {
            files: read(&self.files),
            directories: read(&self.directories),
            others: read(&self.others),
            bytes: read(&self.bytes),
            new_entries: read(&self.new_entries),
            changed_entries: read(&self.changed_entries),
            unchanged_entries: read(&self.unchanged_entries),
            failed_entries: read(&self.failed_entries),
            skipped_entries: read(&self.skipped_entries),
            read_bytes: read(&self.read_bytes),
            added_bytes: read(&self.added_bytes),
            stored_bytes: read(&self.stored_bytes),
        }
    }
}
