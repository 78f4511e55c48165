//! The engine of a backup: what its threads share, what each has for itself, and how they are started and joined.
//!
//! The picture is in the [module above](super). Chunks whose store failed are never named: a failure ends the run without a
//! statement, and what reached the store is adopted by the next run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::chunk::compress::{Compressor, Level};
use crate::chunk::cut::Cutter;
use crate::crypto::hash::{chunk_hash, chunk_id};
use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::Entry;
use crate::id::ChunkHash;
use crate::store::Store;
use crate::surroundings::Surroundings;
use crate::vault::packer::{FullPack, Gatherer, Packer};
use crate::vault::session::Session;
use crate::vault::stat_cache::{StatCache, StatCacheWriter};

use super::attributes::Owners;
use super::dedup::Known;
use super::directory::Task;
use super::large::Group;
use super::read::FileTask;
use super::select::Rules;
use super::walk::WalkQueue;

/// Directory listing waits on the kernel more than on the processor: two walkers keep it busy, more only fight over the queue.
const WALKERS: usize = 2;
/// Batches of files that may wait for a reader: enough that readers never wait for the walk.
const WAITING_BATCHES: usize = 16;
/// Groups of chunks of large files that may wait: each holds about a mebibyte.
const WAITING_GROUPS: usize = 4;
/// Packs that may wait for an uploader, beside the one that is being filled and those being stored: 32 MiB each.
const WAITING_PACKS: usize = 1;
/// One stores while the other hashes.
const UPLOADERS: usize = 2;
/// Chunks that may wait in memory for an index object: about 60 bytes each.
const UNINDEXED_CHUNKS: usize = 500_000;

/// What a backup works with.
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
    /// What is left out.
    pub rules: &'a Rules,
    /// What earlier runs remember, the latest first.
    pub remembered: &'a [StatCache],
    /// What this run remembers.
    pub remember: &'a StatCacheWriter,
}

/// What all threads of a backup share.
pub struct Engine<'a> {
    /// What it works with.
    pub parts: Parts<'a>,
    /// Clock, randomness, listener, request to stop.
    pub around: Surroundings<'a>,
    /// Names of owners.
    pub owners: Owners,
    /// What was found and done.
    pub counts: Counts,
    /// The snapshot's root, once everything below it is finished.
    pub root: OnceLock<Entry>,
    /// The first failure.
    failure: Mutex<Option<Error>>,
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
    /// Entries missing because of a request to stop.
    pub unfinished: AtomicU64,
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

impl<'a> Engine<'a> {
    /// An engine at rest.
    pub fn new(parts: Parts<'a>, around: Surroundings<'a>) -> Self {
        Self {
            parts,
            around,
            owners: Owners::default(),
            counts: Counts::default(),
            root: OnceLock::new(),
            failure: Mutex::default(),
        }
    }

    /// Whether threads should end early, because of a failure or a request.
    pub fn stopping(&self) -> bool {
        self.around.stop.requested() || self.failed()
    }

    fn failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Records a failure; the first one is what the run ends with.
    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Runs the whole backup below `root`; afterwards every chunk of it is in the store.
    pub fn run(&self, root: Task) -> Result<(), Error> {
        let (full_packs, packs) = bounded(WAITING_PACKS);
        thread::scope(|scope| {
            let uploaders: Vec<_> = (0..UPLOADERS)
                .map(|_| {
                    let packs = packs.clone();
                    scope.spawn(move || self.upload(&packs))
                })
                .collect();
            let packer = Packer::new(self.parts.session, self.around.random, full_packs);
            self.walk_and_read(root, &packer);
            if !self.failed() {
                packer.finish().unwrap_or_else(|error| self.fail(error));
            }
            drop(packer);
            for uploader in uploaders {
                uploader.join().unwrap_or_else(|_| self.fail(Error::WorkerLost));
            }
        });
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    fn walk_and_read(&self, root: Task, packer: &Packer<'_>) {
        let queue = WalkQueue::new(root);
        let (batches_in, batches) = bounded(WAITING_BATCHES);
        let (groups_in, groups) = bounded(WAITING_GROUPS);
        let readers = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..WALKERS {
                let (queue, batches_in) = (&queue, batches_in.clone());
                threads.push(scope.spawn(move || {
                    self.with_hand(packer, |hand| queue.walk(hand, &batches_in));
                    queue.close();
                }));
            }
            for _ in 0..readers {
                let (batches, groups, groups_in) = (batches.clone(), groups.clone(), groups_in.clone());
                threads.push(scope.spawn(move || {
                    self.with_hand(packer, |hand| read_all(hand, &batches, &groups, groups_in));
                }));
            }
            // A queue ends when its last sender is gone: these are the threads' own.
            drop((batches_in, groups_in));
            for thread in threads {
                thread.join().unwrap_or_else(|_| self.fail(Error::WorkerLost));
            }
        });
    }

    /// Runs one thread's work with gatherers of its own, and flushes them at its end.
    fn with_hand(&self, packer: &Packer<'_>, work: impl FnOnce(&mut Hand<'_>) -> Result<(), Error>) {
        let outcome = Hand::new(self, packer).and_then(|mut hand| {
            work(&mut hand)?;
            hand.flush()
        });
        outcome.unwrap_or_else(|error| self.fail(error));
    }

    /// Stores packs until there are no more. After a failure it goes on taking them, so that nobody waits for ever.
    fn upload(&self, packs: &Receiver<FullPack>) {
        for pack in packs {
            if self.failed() {
                continue;
            }
            let stored = self.parts.session.store_pack(self.parts.store, pack).and_then(|bytes| {
                count(&self.counts.stored_bytes, bytes);
                if self.parts.session.unindexed_chunks() > UNINDEXED_CHUNKS {
                    self.write_indexes()
                } else {
                    Ok(())
                }
            });
            stored.unwrap_or_else(|error| self.fail(error));
        }
    }

    /// Writes index objects for all packs stored so far, and frees the memory that knowing their chunks took.
    pub fn write_indexes(&self) -> Result<(), Error> {
        for index in self.parts.session.write_indexes(self.parts.store, self.around.random)? {
            count(&self.counts.stored_bytes, index.bytes);
            self.parts.known.settle(index.id, &index.packs)?;
        }
        Ok(())
    }
}

/// Takes groups of chunks first, as their memory is the scarcest, then batches of files, until both have ended.
fn read_all(
    hand: &mut Hand<'_>,
    batches: &Receiver<Vec<FileTask>>,
    groups: &Receiver<Group>,
    groups_in: Sender<Group>,
) -> Result<(), Error> {
    loop {
        if let Ok(group) = groups.try_recv() {
            group.store(hand)?;
            continue;
        }
        crossbeam_channel::select! {
            recv(groups) -> group => if let Ok(group) = group { group.store(hand)? },
            recv(batches) -> batch => match batch {
                Ok(batch) => for task in batch { task.read(hand, &groups_in, groups)? },
                Err(_) => break,
            },
        }
    }
    drop(groups_in);
    groups.iter().try_for_each(|group| group.store(hand))
}

/// What one thread of a backup has for itself.
pub struct Hand<'e> {
    /// What all share.
    pub engine: &'e Engine<'e>,
    /// Contents of the small file in work; kept to be used again.
    pub buffer: Vec<u8>,
    packer: &'e Packer<'e>,
    compressor: Compressor,
    data: Gatherer,
    tree: Gatherer,
}

impl<'e> Hand<'e> {
    fn new(engine: &'e Engine<'e>, packer: &'e Packer<'e>) -> Result<Self, Error> {
        Ok(Self {
            engine,
            buffer: Vec::new(),
            packer,
            compressor: Compressor::new(engine.parts.level)?,
            data: Gatherer::new(SegmentKind::Data),
            tree: Gatherer::new(SegmentKind::Tree),
        })
    }

    /// Stores a chunk unless the vault has it, and returns its hash.
    pub fn store_chunk(&mut self, kind: SegmentKind, chunk: &[u8]) -> Result<ChunkHash, Error> {
        let h = chunk_hash(chunk);
        let id = chunk_id(&self.engine.parts.session.writer().k_id, &h);
        if self.engine.parts.known.claim(id)? {
            count(&self.engine.counts.added_bytes, chunk.len() as u64);
            let gatherer = match kind {
                SegmentKind::Data => &mut self.data,
                SegmentKind::Tree => &mut self.tree,
            };
            gatherer.push(id, chunk, &mut self.compressor, self.packer)?;
        }
        Ok(h)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.data.flush(&mut self.compressor, self.packer)?;
        self.tree.flush(&mut self.compressor, self.packer)
    }
}
