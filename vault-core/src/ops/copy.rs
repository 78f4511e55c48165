//! `copy`: brings snapshots from one vault into another.
//!
//! A tree names its chunks by their hashes, so a copied tree is the same, node by node; only the places and keys of the chunks are the
//! other vault's own. Every chunk is verified when it is read and stored only where the other vault lacks it. As with a backup, the
//! snapshot is appended when everything it needs is in the store, and not if something that it relies on was condemned meanwhile.

use std::collections::HashSet;
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::chunk::compress::{Compressor, Decompressor, Level};
use crate::crypto::hash::{chunk_hash, chunk_id};
use crate::error::Error;
use crate::format::commit::{CommitBody, CommitCounts};
use crate::format::table::SegmentKind;
use crate::format::tree::{Contents, EntryKind, Node};
use crate::id::{ChunkHash, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::log::{self, Body, Commit};
use crate::pipeline::dedup::Known;
use crate::progress::{Amount, Notice, Phase, Severity};
use crate::store::Store;
use crate::vault::chunk_index::Place;
use crate::vault::packer::{FullPack, Gatherer, Packer};
use crate::vault::reader::{DomainReader, chunk_in};
use crate::vault::session::Session;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::backup::job::{Holdings, begin_session};
use super::snapshots::tags_as_far_as_known;

/// How often a snapshot is copied anew for a vault from which others delete what it relies on.
const ROUNDS_MAX: usize = 5;
/// Chunks that are sorted by place together: about 100 bytes each.
const BATCH_CHUNKS: usize = 50_000;
/// Segments that may wait to be opened.
const WAITING_SEGMENTS: usize = 16;

/// What to copy, and how.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// The snapshots; each is copied unless the other vault has it.
    pub snapshots: Vec<SnapshotId>,
    /// How hard to compress.
    pub level: Level,
}

/// What became of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The snapshot in the vault it was copied from.
    pub from: SnapshotId,
    /// The snapshot in the other vault.
    pub to: SnapshotId,
    /// Whether it was there already.
    pub was_there: bool,
    /// Bytes of chunks that the other vault did not have.
    pub added_bytes: u64,
    /// Bytes that its store grew by.
    pub stored_bytes: u64,
}

/// Copies snapshots, in the order given. `from_reader` reads what is copied, `to_reader` what the other vault has.
pub fn copy(
    (from, from_reader): (&Vault, &Reader),
    (to, to_reader): (&mut Vault, &Reader),
    device: &DeviceKeys,
    options: &CopyOptions,
    around: &Surroundings<'_>,
) -> Result<Vec<Copied>, Error> {
    around.progress.phase(Phase::Copy);
    let mut copied = Vec::new();
    for id in &options.snapshots {
        let missing = || Error::NoSuchSnapshot { wanted: id.to_hex() };
        let snapshot = from.state().snapshot_by_id(id).ok_or_else(missing)?;
        let mut body = from_reader.body(snapshot)?;
        let (tags, known) = tags_as_far_as_known(from_reader, snapshot, &body)?;
        body.tags = tags;
        if !known {
            let message = "its newer tags are damaged: it is copied with those that it was made with";
            let subject = id.short();
            let severity = Severity::Note;
            around.progress.notice(&Notice { severity, subject: Path::new(&subject), message });
        }
        if let Some(there) = find_same(to, to_reader, &body)? {
            let nothing = Copied { from: *id, to: there, was_there: true, added_bytes: 0, stored_bytes: 0 };
            copied.push(nothing);
            continue;
        }
        let job = Job { domain: from_reader.domain(snapshot)?, body, partial: snapshot.commit.partial };
        let (to, added_bytes, stored_bytes) = job.copy(to, device, options.level, around)?;
        copied.push(Copied { from: *id, to, was_there: false, added_bytes, stored_bytes });
    }
    Ok(copied)
}

/// The snapshot of the vault that holds the same, of the same machine, paths and time.
fn find_same(vault: &Vault, reader: &Reader, wanted: &CommitBody) -> Result<Option<SnapshotId>, Error> {
    for snapshot in vault.state().snapshots() {
        let body = reader.body(snapshot)?;
        let same = body.root == wanted.root
            && body.begin == wanted.begin
            && body.host == wanted.host
            && body.paths == wanted.paths;
        if same {
            return Ok(Some(snapshot.id));
        }
    }
    Ok(None)
}

/// The copying of one snapshot.
struct Job<'r> {
    domain: DomainReader<'r>,
    body: CommitBody,
    partial: bool,
}

impl Job<'_> {
    fn copy(
        &self,
        to: &mut Vault,
        device: &DeviceKeys,
        level: Level,
        around: &Surroundings<'_>,
    ) -> Result<(SnapshotId, u64, u64), Error> {
        for _ in 0..ROUNDS_MAX {
            let relies_since = to.state().head().seq;
            let writer = to.writer_keys(device)?;
            let holdings = Holdings::of(to, &writer, around)?;
            let known = Known::new(holdings.index);
            let session = begin_session(to, device, writer, around)?;
            let store = to.shared_store();
            let target = Target { session: &session, store: &*store, known: &known, level, around };
            let (added_bytes, stored_bytes) = target.store(self)?;

            let body = CommitBody {
                counts: CommitCounts { added_bytes, stored_bytes, ..self.body.counts },
                ..self.body.clone()
            };
            let commit = Commit {
                epoch: session.epoch(),
                session: session.id(),
                session_envelope: session.envelope().to_vec(),
                number: 0,
                body: session.seal_commit(&body.encode()?, 0, around.random)?,
                indexes: session.indexes_to_name(),
                partial: self.partial,
                replaces: Vec::new(),
            };
            let packs = known.packs();
            let head = to.append_unless(&|state| {
                if state.condemned_since(relies_since).any(|pack| packs.contains(&pack)) {
                    return Ok(None);
                }
                let time = around.clock.now();
                let payload = state.draft(device.device_id(), time, Body::Commit(commit.clone()));
                Ok(Some(log::sign(&payload, device.signing())?))
            })?;
            if let Some(head) = head {
                return Ok((head.hash.into(), added_bytes, stored_bytes));
            }
        }
        Err(Error::Contended { attempts: ROUNDS_MAX as u32 })
    }
}

/// Where chunks are copied to.
#[derive(Clone, Copy)]
struct Target<'a> {
    session: &'a Session,
    store: &'a dyn Store,
    known: &'a Known,
    level: Level,
    around: &'a Surroundings<'a>,
}

/// Chunks of one segment that are to be copied.
type Segment = Vec<(Place, ChunkHash)>;

impl Target<'_> {
    /// Stores everything that a snapshot needs, and index objects for it; returns the bytes of new chunks and of what was stored.
    fn store(self, job: &Job<'_>) -> Result<(u64, u64), Error> {
        let (full, packs) = bounded(0);
        let (added, stored) = thread::scope(|scope| {
            let uploader = scope.spawn(|| self.upload(&packs));
            let packer = Packer::new(self.session, self.around.random, full);
            let added = self.work(job, &packer).and_then(|added| packer.finish().map(|_| added));
            // The uploader ends when the packer, who feeds it, is gone.
            drop(packer);
            (added, uploader.join().unwrap_or(Err(Error::WorkerLost)))
        });
        let (mut stored, added) = (stored?, added?);
        for index in self.session.write_indexes(self.store, self.around.random)? {
            stored += index.bytes;
            self.known.settle(index.id, &index.packs)?;
        }
        Ok((added, stored))
    }

    /// Copies nodes on this thread and chunks of files on others; returns the bytes of new chunks.
    fn work(self, job: &Job<'_>, packer: &Packer<'_>) -> Result<u64, Error> {
        let (segments_in, segments) = bounded(WAITING_SEGMENTS);
        let copy_segments = || self.copy_segments(job.domain, &segments, packer);
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(2, usize::from);
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(copy_segments)).collect();
            let mut added = self.copy_trees(job, segments_in, packer);
            for worker in workers {
                let copied = worker.join().unwrap_or(Err(Error::WorkerLost));
                added = added.and_then(|added| Ok(added + copied?));
            }
            added
        })
    }

    /// Stores packs until there are no more; after a failure it only takes them, so that nobody waits for ever.
    fn upload(self, packs: &Receiver<FullPack>) -> Result<u64, Error> {
        let (mut stored, mut failure) = (0, None);
        for pack in packs {
            if failure.is_none() {
                match self.session.store_pack(self.store, pack) {
                    Ok(bytes) => stored += bytes,
                    Err(error) => failure = Some(error),
                }
            }
        }
        failure.map_or(Ok(stored), Err)
    }

    /// Goes over the tree: copies its nodes, and hands on the chunks of its files, sorted by place.
    fn copy_trees(self, job: &Job<'_>, segments: Sender<Segment>, packer: &Packer<'_>) -> Result<u64, Error> {
        let mut hand = Hand::new(self, packer)?;
        let mut walk =
            Walk { domain: job.domain, seen: HashSet::new(), open: Vec::new(), batch: Vec::new(), segments };
        let EntryKind::Directory { subtree } = job.body.root.kind else {
            return Err(job.domain.damaged_tree("its root is not a directory"));
        };
        walk.open.push(subtree);
        while let Some(h) = walk.open.pop() {
            if self.around.stop.requested() {
                return Err(Error::Interrupted);
            }
            if walk.seen.insert(h) {
                walk.node(&h, &mut hand)?;
            }
        }
        walk.send()?;
        hand.end()
    }

    /// Opens segments until there are no more, and stores the chunks that are wanted of each.
    fn copy_segments(
        self,
        domain: DomainReader<'_>,
        segments: &Receiver<Segment>,
        packer: &Packer<'_>,
    ) -> Result<u64, Error> {
        let mut hand = Hand::new(self, packer)?;
        let mut decompressor = Decompressor::new()?;
        let mut failure = None;
        for segment in segments {
            if failure.is_none() {
                failure = hand.segment(domain, &segment, &mut decompressor).err();
            }
        }
        failure.map_or_else(|| hand.end(), Err)
    }
}

/// The tree while it is gone over.
struct Walk<'r> {
    domain: DomainReader<'r>,
    seen: HashSet<ChunkHash>,
    open: Vec<ChunkHash>,
    batch: Segment,
    segments: Sender<Segment>,
}

impl Walk<'_> {
    fn node(&mut self, h: &ChunkHash, hand: &mut Hand<'_>) -> Result<(), Error> {
        let raw = self.domain.chunk(h)?;
        hand.store(SegmentKind::Tree, h, &raw)?;
        match self.domain.node(h)? {
            Node::Entries(entries) => {
                for entry in entries {
                    match entry.kind {
                        EntryKind::Directory { subtree } => self.open.push(subtree),
                        EntryKind::File { contents, .. } => self.contents(contents, hand)?,
                        _ => {}
                    }
                    hand.target.around.progress.advance(Amount { items: 1, bytes: 0 });
                }
            }
            Node::Branch(parts) => self.open.extend(parts.into_iter().map(|part| part.h)),
            Node::ChunkList(_) => {
                return Err(self.domain.damaged_tree("a chunk list stands for a directory"));
            }
        }
        Ok(())
    }

    fn contents(&mut self, contents: Contents, hand: &mut Hand<'_>) -> Result<(), Error> {
        if let Contents::Lists(lists) = &contents {
            for list in lists {
                hand.store(SegmentKind::Tree, &list.h, &self.domain.chunk(&list.h)?)?;
            }
        }
        for chunk in self.domain.chunks(contents) {
            let h = chunk?.h;
            if !hand.holds(&h)? {
                self.batch.push((self.domain.place(&h)?, h));
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
struct Hand<'a> {
    target: Target<'a>,
    packer: &'a Packer<'a>,
    compressor: Compressor,
    data: Gatherer,
    tree: Gatherer,
    added_bytes: u64,
}

impl<'a> Hand<'a> {
    fn new(target: Target<'a>, packer: &'a Packer<'a>) -> Result<Self, Error> {
        let (data, tree) = (Gatherer::new(SegmentKind::Data), Gatherer::new(SegmentKind::Tree));
        Ok(Self { target, packer, compressor: Compressor::new(target.level)?, data, tree, added_bytes: 0 })
    }

    fn holds(&self, h: &ChunkHash) -> Result<bool, Error> {
        self.target.known.holds(chunk_id(&self.target.session.writer().k_id, h))
    }

    /// Stores a chunk unless the other vault has it.
    fn store(&mut self, kind: SegmentKind, h: &ChunkHash, chunk: &[u8]) -> Result<(), Error> {
        debug_assert_eq!(chunk_hash(chunk), *h);
        let id = chunk_id(&self.target.session.writer().k_id, h);
        if !self.target.known.claim(id)? {
            return Ok(());
        }
        self.added_bytes += chunk.len() as u64;
        let gatherer = match kind {
            SegmentKind::Data => &mut self.data,
            SegmentKind::Tree => &mut self.tree,
        };
        gatherer.push(id, chunk, &mut self.compressor, self.packer)
    }

    fn segment(
        &mut self,
        domain: DomainReader<'_>,
        segment: &Segment,
        decompressor: &mut Decompressor,
    ) -> Result<(), Error> {
        let Some((first, _)) = segment.first() else { return Ok(()) };
        let raw = match domain.reader().segment(&first.pack, &first.segment, decompressor) {
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
            let bytes = place.length.into();
            self.target.around.progress.advance(Amount { items: 0, bytes });
        }
        Ok(())
    }

    /// Seals what was gathered; returns the bytes of new chunks.
    fn end(mut self) -> Result<u64, Error> {
        self.data.flush(&mut self.compressor, self.packer)?;
        self.tree.flush(&mut self.compressor, self.packer)?;
        Ok(self.added_bytes)
    }
}
