//! Packs: each is read once, from front to back, hashed on the way, and compared with what the index says of it.
//!
//! Memory is bounded by one segment and one window for each thread, whatever the size of the packs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::chunk::compress::Decompressor;
use crate::crypto::aead::SealedKind;
use crate::crypto::hash::{ObjectHasher, chunk_hash, chunk_id};
use crate::error::{Error, Fault};
use crate::format::index::IndexedPack;
use crate::format::pack::{PackHeader, TRAILER_BYTES, Trailer};
use crate::format::table::Table;
use crate::format::{all_zero, raw_limit};
use crate::id::{DomainId, PackId};
use crate::keys::envelope::{DomainKeys, SessionKey};
use crate::ops::Surroundings;
use crate::progress::{Amount, Progress};
use crate::store::{ObjectKey, Store, StoreError};
use crate::vault::chunk_index::PackPlace;
use crate::vault::{Reader, Vault};

/// Threads that read: more than a few only compete for the disk, and each holds a segment.
const THREADS_MAX: usize = 4;
/// How much is read at a time: enough to keep a disk streaming.
const WINDOW_BYTES: usize = 2 << 20;

/// A pack that an index names.
pub(super) struct NamedPack {
    /// The domain of the index.
    pub domain: DomainId,
    /// What the index says of the pack.
    pub pack: IndexedPack,
}

/// How many chunks of a sound pack were opened and verified, or what is wrong with it.
type Outcome = Result<u64, Error>;

/// Verifies packs.
pub(super) struct Verifier<'a> {
    pub vault: &'a Vault,
    pub reader: &'a Reader,
    /// Whether segments are opened.
    pub read_data: bool,
    pub around: &'a Surroundings<'a>,
}

impl Verifier<'_> {
    /// Verifies packs on several threads. `None` for those that a request to stop came before.
    pub(super) fn verify(&self, batch: &[NamedPack]) -> Vec<Option<Outcome>> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(batch.iter().map(|_| None).collect::<Vec<_>>());
        let work = || {
            let mut decompressor = Decompressor::new();
            while !self.around.stop.requested() {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(named) = batch.get(number) else { break };
                let outcome = match &mut decompressor {
                    Ok(decompressor) => self.pack(named, decompressor),
                    Err(_) => Decompressor::new().map_err(Error::from).map(|_| 0),
                };
                outcomes.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(outcome);
            }
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.max(self.vault.store().parallel()).min(THREADS_MAX);
        thread::scope(|scope| {
            for _ in 0..threads.min(batch.len()) {
                scope.spawn(work);
            }
        });
        outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn pack(&self, named: &NamedPack, decompressor: &mut Decompressor) -> Outcome {
        let pack = &named.pack;
        let mut bytes = PackBytes::open(self.vault.store(), pack, self.around.progress)?;
        let verified = self.parts(&mut bytes, named, decompressor);
        // The hash says more than which part is wrong: that it is not what was written.
        if bytes.finish()? != *pack.id.as_bytes() {
            return Err(Error::pack(pack.id, Fault::WrongHash));
        }
        verified
    }

    /// Follows the parts of a pack from its header to its padding.
    fn parts(
        &self,
        bytes: &mut PackBytes<'_>,
        named: &NamedPack,
        decompressor: &mut Decompressor,
    ) -> Outcome {
        let pack = &named.pack;
        let keys = self.reader.keys_of(named.domain)?;
        let trailer = bytes.trailer()?;
        let head = bytes.next(pack.table.first_offset() as usize)?;
        let (header_bytes, key) = self.header(pack, head)?;
        trailer.check_table(&pack.table, header_bytes).map_err(|error| Error::pack(pack.id, error))?;
        let chunks = if self.read_data { self.segments(bytes, pack, keys, (&key, decompressor))? } else { 0 };
        bytes.skip_to(u64::from(trailer.table_offset))?;
        let unit = bytes.next(trailer.table_bytes as usize)?;
        let table = open_table(self.vault, pack, keys, (unit, decompressor))
            .map_err(|fault| Error::pack(pack.id, fault))?;
        if table != pack.table {
            return Err(Error::pack(pack.id, Fault::TableDiffers));
        }
        let padding = bytes.rest_before(TRAILER_BYTES)?;
        all_zero(padding).map_err(|error| Error::pack(pack.id, error))?;
        let end = bytes.next(TRAILER_BYTES as usize)?;
        // What was read first is what is hashed.
        if *end == trailer.encode() { Ok(chunks) } else { Err(Error::pack(pack.id, Fault::TableDiffers)) }
    }

    /// The length of a pack's header, and the key that its envelope opens to.
    fn header(&self, pack: &IndexedPack, head: &[u8]) -> Result<(usize, std::sync::Arc<SessionKey>), Error> {
        let damaged = |fault: Fault| Error::pack(pack.id, fault);
        let header = PackHeader::decode(head).map_err(|error| damaged(error.into()))?;
        let key = self.reader.verify_header(&place(pack), &header).map_err(damaged)?;
        Ok((header.encoded_bytes(), key))
    }

    /// Opens every segment and compares every chunk with its id.
    fn segments(
        &self,
        bytes: &mut PackBytes<'_>,
        pack: &IndexedPack,
        keys: &DomainKeys,
        (key, decompressor): (&SessionKey, &mut Decompressor),
    ) -> Outcome {
        let place = place(pack);
        let mut verified = 0;
        for (segment, chunks) in pack.table.segments_with_chunks() {
            let unit = bytes.next(segment.row.stored_bytes as usize)?;
            let raw = self
                .reader
                .open_segment(key, &place, &segment, unit, decompressor)
                .map_err(|fault| Error::pack(pack.id, fault))?;
            for chunk in chunks {
                let start = chunk.offset_in_segment as usize;
                let is_it = raw
                    .get(start..start + chunk.length as usize)
                    .is_some_and(|raw| chunk_id(&keys.k_id, &chunk_hash(raw)) == chunk.id);
                if !is_it {
                    return Err(Error::pack(pack.id, Fault::Chunk { segment: segment.number }));
                }
                verified += 1;
            }
        }
        Ok(verified)
    }
}

/// The size of a pack in the store.
pub(super) fn size(store: &dyn Store, id: PackId) -> Result<u64, Error> {
    match store.size(&ObjectKey::Pack(id)) {
        Err(StoreError::NotFound { .. }) => Err(Error::Missing { object: ObjectKey::Pack(id) }),
        other => Ok(other?),
    }
}

fn place(pack: &IndexedPack) -> PackPlace {
    PackPlace {
        id: pack.id,
        bytes: pack.bytes,
        session: pack.session,
        number: pack.pack_number,
        epoch: pack.epoch,
    }
}

/// Opens and decodes a pack's sealed table.
fn open_table(
    vault: &Vault,
    pack: &IndexedPack,
    keys: &DomainKeys,
    (unit, decompressor): (&mut [u8], &mut Decompressor),
) -> Result<Table, Fault> {
    let origin = crate::format::seal::Origin { vault: *vault.id(), session: pack.session };
    let k_index = keys.k_index(pack.epoch).ok_or(Fault::NoEpochKeys { epoch: pack.epoch })?;
    let body = origin
        .table(k_index, pack.pack_number)
        .open_in_place(unit)
        .map_err(|source| Fault::Sealed { part: "its table", source })?;
    Ok(Table::decode(&decompressor.unpack(body, raw_limit(SealedKind::Table) as usize)?)?)
}

/// The bytes of a pack, read once from front to back, and hashed on the way.
struct PackBytes<'a> {
    store: &'a dyn Store,
    progress: &'a dyn Progress,
    id: PackId,
    size: u64,
    /// How many bytes were read and hashed.
    read: u64,
    hasher: ObjectHasher,
    /// What was read last; before `taken` stands what was given out.
    window: Vec<u8>,
    taken: usize,
}

impl<'a> PackBytes<'a> {
    /// The bytes of a pack that has the size that its index says.
    fn open(store: &'a dyn Store, pack: &IndexedPack, progress: &'a dyn Progress) -> Result<Self, Error> {
        let expected = u64::from(pack.bytes);
        let bytes = Self {
            store,
            progress,
            id: pack.id,
            size: expected,
            read: 0,
            hasher: ObjectHasher::new(),
            window: Vec::new(),
            taken: 0,
        };
        let found = store.size(&ObjectKey::Pack(pack.id)).map_err(|error| bytes.error(error))?;
        if found == expected {
            Ok(bytes)
        } else {
            Err(Error::pack(pack.id, Fault::WrongSize { expected, found }))
        }
    }

    /// The trailer, ahead of its turn.
    fn trailer(&self) -> Result<Trailer, Error> {
        let wrong = || Error::pack(self.id, Fault::TableDiffers);
        let offset = self.size.checked_sub(u64::from(TRAILER_BYTES)).ok_or_else(wrong)?;
        let end = self
            .store
            .get_range(&ObjectKey::Pack(self.id), offset, TRAILER_BYTES)
            .map_err(|error| self.error(error))?;
        let end = end.try_into().map_err(|_| wrong())?;
        Trailer::decode(&end, self.size).map_err(|error| Error::pack(self.id, error))
    }

    /// The next `length` bytes.
    fn next(&mut self, length: usize) -> Result<&mut [u8], Error> {
        while self.window.len() - self.taken < length {
            self.fill(length)?;
        }
        let begin = self.taken;
        self.taken += length;
        Ok(&mut self.window[begin..self.taken])
    }

    /// What is left before the last `length` bytes.
    fn rest_before(&mut self, length: u32) -> Result<&mut [u8], Error> {
        let rest = self.size.saturating_sub(u64::from(length)).saturating_sub(self.position());
        self.next(rest as usize)
    }

    /// Passes over the bytes before `offset`.
    fn skip_to(&mut self, offset: u64) -> Result<(), Error> {
        while self.position() < offset {
            let step = (offset - self.position()).min(WINDOW_BYTES as u64);
            self.next(step as usize)?;
        }
        Ok(())
    }

    /// Reads what is left and returns the hash of all bytes.
    fn finish(mut self) -> Result<[u8; 32], Error> {
        self.skip_to(self.size)?;
        self.progress.advance(Amount { items: 1, bytes: 0 });
        Ok(self.hasher.finish())
    }

    fn position(&self) -> u64 {
        self.read - (self.window.len() - self.taken) as u64
    }

    /// Reads at least one byte more, and so much that `wanted` can be given out unless the pack ends before.
    fn fill(&mut self, wanted: usize) -> Result<(), Error> {
        self.window.drain(..self.taken);
        self.taken = 0;
        let missing = wanted.saturating_sub(self.window.len()).max(WINDOW_BYTES) as u64;
        let length = missing.min(self.size - self.read) as u32;
        if length == 0 {
            return Err(Error::pack(self.id, Fault::TableDiffers));
        }
        let bytes = self
            .store
            .get_range(&ObjectKey::Pack(self.id), self.read, length)
            .map_err(|error| self.error(error))?;
        self.hasher.update(&bytes);
        self.read += u64::from(length);
        self.progress.advance(Amount { items: 0, bytes: u64::from(length) });
        if self.window.is_empty() {
            self.window = bytes;
        } else {
            self.window.extend_from_slice(&bytes);
        }
        Ok(())
    }

    fn error(&self, error: StoreError) -> Error {
        match error {
            StoreError::NotFound { .. } => Error::Missing { object: ObjectKey::Pack(self.id) },
            StoreError::Truncated { size, .. } => {
                Error::pack(self.id, Fault::WrongSize { expected: self.size, found: size })
            }
            other => other.into(),
        }
    }
}
