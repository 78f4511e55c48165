//! A session: one run that writes packs, with a data key of its own.
//!
//! The key is sealed to the epoch's recipient when the session begins, and wiped when it ends: afterwards the device that wrote the
//! packs cannot read them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::chunk::compress::{Compressor, Level};
use crate::crypto::aead::SealKey;
use crate::crypto::hash::object_hash;
use crate::crypto::random::Random;
use crate::crypto::secret::Secret;
use crate::error::Error;
use crate::format::index::{self, IndexHeader, IndexedPack};
use crate::format::pack::PackHeader;
use crate::format::seal::Origin;
use crate::format::table::Table;
use crate::id::{DeviceId, Epoch, GrantId, IndexId, PackId, SessionId};
use crate::keys::envelope::{DomainKeys, SessionKey, SessionPlace};
use crate::keys::recipient::AnyRecipient;
use crate::store::{ObjectKey, Store};

use super::packer::FullPack;

/// Chunks that one index object holds at most, unless a single pack has more: about 10 MB of it, and of memory.
const INDEX_CHUNKS: usize = 500_000;
/// Bytes that the body of one index object has at most, before compression: many packs of few chunks reach it first.
const INDEX_BYTES: usize = 32 << 20;

/// An index object that a session has stored.
pub struct WrittenIndex {
    /// Its id.
    pub id: IndexId,
    /// Its size.
    pub bytes: u64,
    /// The packs it names.
    pub packs: Vec<IndexedPack>,
}

/// A running session.
pub struct Session {
    key: SessionKey,
    envelope: Vec<u8>,
    writer: DomainKeys,
    /// Packs that are stored and in no index object yet.
    packs: Mutex<Vec<IndexedPack>>,
    /// Index objects that are stored and in no statement yet.
    indexes: Mutex<Vec<(IndexId, Vec<PackId>)>>,
    next_index: Mutex<u32>,
    /// Where the ids of packs are noted before they are stored.
    notes: Option<Mutex<File>>,
    /// One more than the highest number of a pack that was stored.
    next_pack: Mutex<u32>,
}

impl Session {
    /// Begins a session of `device` in `place`: makes its key and seals it to the epoch's recipient.
    pub fn begin(
        place: SessionPlace,
        device: DeviceId,
        writer: DomainKeys,
        epoch_recipient: &AnyRecipient,
        random: &dyn Random,
    ) -> Result<Self, Error> {
        let key = SessionKey { place, device, key: Secret::generate(random)? };
        Self::with(key, writer, epoch_recipient)
    }

    /// Begins the session of a grant, whose tables and index objects are sealed with keys that follow from its own.
    pub(crate) fn of_grant(
        place: SessionPlace,
        device: DeviceId,
        grant: GrantId,
        epoch_recipient: &AnyRecipient,
        random: &dyn Random,
    ) -> Result<Self, Error> {
        let key = SessionKey { place, device, key: Secret::generate(random)? };
        let writer = DomainKeys::of_grant(&key, grant);
        Self::with(key, writer, epoch_recipient)
    }

    fn with(key: SessionKey, writer: DomainKeys, epoch_recipient: &AnyRecipient) -> Result<Self, Error> {
        let envelope = key.seal(epoch_recipient)?;
        Ok(Self {
            key,
            envelope,
            writer,
            packs: Mutex::default(),
            indexes: Mutex::default(),
            next_index: Mutex::new(0),
            notes: None,
            next_pack: Mutex::new(0),
        })
    }

    /// Notes the id of each pack in a file from now on, before it is stored.
    pub(crate) fn note_packs_in(&mut self, file: File) {
        self.notes = Some(Mutex::new(file));
    }

    /// Notes a pack that is about to be stored, or was.
    pub(crate) fn note(&self, pack: PackId) {
        if let Some(notes) = &self.notes {
            // What is not noted is stored once more after a kill: no more than that is lost.
            let _ = notes.lock().unwrap_or_else(PoisonError::into_inner).write_all(pack.as_bytes());
        }
    }

    /// Goes on where a session of an earlier epoch has ended, with what is stored and not named yet; without it if not everyone who
    /// reads from `readable_from` on could read it.
    pub(crate) fn follow_on(&mut self, before: Self, readable_from: Epoch) {
        let is_readable = before.epoch() >= readable_from;
        self.notes = before.notes;
        if is_readable {
            self.packs = before.packs;
            self.indexes = before.indexes;
        }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.key.place.session
    }

    /// The epoch it writes in.
    pub fn epoch(&self) -> Epoch {
        self.key.place.epoch
    }

    /// Its key, sealed.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Its key.
    pub fn key(&self) -> &Secret<32> {
        &self.key.key
    }

    /// The keys of the device's domain.
    pub fn writer(&self) -> &DomainKeys {
        &self.writer
    }

    /// What its units are sealed for.
    pub fn origin(&self) -> Origin {
        Origin { vault: self.key.place.vault, session: self.id() }
    }

    /// The header of its pack with this number.
    pub fn pack_header(&self, pack_number: u32) -> PackHeader {
        PackHeader {
            vault: self.key.place.vault,
            session: self.id(),
            pack_number,
            epoch: self.epoch(),
            envelope: self.envelope.clone(),
        }
    }

    /// Seals the table of its pack with this number.
    pub fn seal_table(&self, table: &Table, pack_number: u32, random: &dyn Random) -> Result<Vec<u8>, Error> {
        let mut encoded = Vec::new();
        table.encode(&mut encoded);
        let seal = self.origin().table(&self.writer.current.key, pack_number);
        seal_body(&encoded, |unit| seal.seal_in_place(random, unit))
    }

    /// Stores a full pack and remembers it for the index. Returns its size once it is durable.
    pub fn store_pack(&self, store: &dyn Store, pack: FullPack) -> Result<u64, Error> {
        let id = PackId::new(object_hash(&pack.bytes));
        self.note(id);
        // Named by its hash: one that is there already is the same.
        let _ = store.put_new(&ObjectKey::Pack(id), &pack.bytes)?;
        let bytes = pack.bytes.len() as u32;
        let mut next = self.next_pack.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(pack.number + 1);
        drop(next);
        self.adopt(IndexedPack {
            id,
            bytes,
            session: self.id(),
            pack_number: pack.number,
            epoch: self.epoch(),
            table: pack.table,
        });
        Ok(u64::from(bytes))
    }

    /// The number of the next packer's first pack. No two packs of a session may have one number: their segments' keys would be the same.
    pub fn next_pack_number(&self) -> u32 {
        *self.next_pack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a pack that is in the store into this session's next index object.
    pub fn adopt(&self, pack: IndexedPack) {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
    }

    /// How many chunks wait for an index object.
    pub fn unindexed_chunks(&self) -> usize {
        let packs = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        packs.iter().map(|pack| pack.table.chunk_rows().len()).sum()
    }

    /// Writes index objects for all packs that are in none, and returns what each names.
    pub fn write_indexes(&self, store: &dyn Store, random: &dyn Random) -> Result<Vec<WrittenIndex>, Error> {
        let packs = std::mem::take(&mut *self.packs.lock().unwrap_or_else(PoisonError::into_inner));
        let mut written = Vec::new();
        for group in group_by_chunks(packs) {
            let object = self.seal_index(&group, random)?;
            let id = IndexId::new(object_hash(&object));
            let _ = store.put_new(&ObjectKey::Index(id), &object)?;
            let names = group.iter().map(|pack| pack.id).collect();
            self.indexes.lock().unwrap_or_else(PoisonError::into_inner).push((id, names));
            written.push(WrittenIndex { id, bytes: object.len() as u64, packs: group });
        }
        Ok(written)
    }

    /// The index objects that no statement names yet.
    pub fn indexes_to_name(&self) -> Vec<IndexId> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(id, _)| *id).collect()
    }

    /// The packs that its index objects name which no statement names yet.
    pub(crate) fn named_packs(&self) -> Vec<PackId> {
        let indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.iter().flat_map(|(_, packs)| packs.iter().copied()).collect()
    }

    /// Takes note that a statement names these index objects.
    pub fn named(&self, named: &[IndexId]) {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| !named.contains(id));
    }

    /// Names index objects no more of which all packs are condemned: whoever condemned these may remove them.
    pub fn give_up(&self, condemned: &BTreeSet<PackId>) {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.retain(|(_, packs)| !packs.iter().all(|pack| condemned.contains(pack)));
    }

    /// Seals the body of its commit with this number.
    pub fn seal_commit(
        &self,
        body: &[u8],
        commit_number: u32,
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        let seal = self.origin().commit(self.key(), commit_number);
        seal_body(body, |unit| seal.seal_in_place(random, unit))
    }

    fn seal_index(&self, packs: &[IndexedPack], random: &dyn Random) -> Result<Vec<u8>, Error> {
        let mut next = self.next_index.lock().unwrap_or_else(PoisonError::into_inner);
        let header = IndexHeader {
            vault: self.key.place.vault,
            session: self.id(),
            index_number: *next,
            epoch: self.epoch(),
        };
        *next += 1;
        let seal = self.origin().index(&self.writer.current.key, header.index_number);
        let sealed = seal_body(&index::encode_body(packs)?, |unit| seal.seal_in_place(random, unit))?;
        Ok(index::encode(&header, &sealed)?)
    }
}

/// Compresses `raw` and seals it as one unit.
pub(crate) fn seal_body<E>(
    raw: &[u8],
    seal: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, Error>
where
    Error: From<E>,
{
    let mut unit = SealKey::reserve(raw.len());
    Compressor::new(Level::default())?.pack(raw, &mut unit)?;
    seal(&mut unit)?;
    Ok(unit)
}

/// Groups packs so that each group fits an index object, in chunks and in bytes.
fn group_by_chunks(packs: Vec<IndexedPack>) -> Vec<Vec<IndexedPack>> {
    let mut groups: Vec<Vec<IndexedPack>> = Vec::new();
    let (mut chunks, mut bytes) = (0, 0);
    for pack in packs {
        let (more_chunks, more_bytes) = (pack.table.chunk_rows().len(), pack.encoded_bytes());
        if groups.is_empty() || chunks + more_chunks > INDEX_CHUNKS || bytes + more_bytes > INDEX_BYTES {
            groups.push(Vec::new());
            (chunks, bytes) = (0, 0);
        }
        chunks += more_chunks;
        bytes += more_bytes;
        if let Some(group) = groups.last_mut() {
            group.push(pack);
        }
    }
    groups
}
