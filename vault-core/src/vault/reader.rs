//! Reading: from a chunk's hash to its plaintext.
//!
//! Every byte that a [`Reader`] returns has the hash that was asked for. Failures name the object at fault.
//!
//! While a reader is at work, others may move chunks to new packs and delete the old ones. So whoever misses a chunk or a pack
//! follows the log first, and looks again; only what is missing then is lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::chunk::compress::Decompressor;
use crate::crypto::aead::SealedKind;
use crate::crypto::hash::{chunk_hash, chunk_id};
use crate::crypto::secret::Secret;
use crate::error::{Error, Fault};
use crate::format::annotation::AnnotationBody;
use crate::format::commit::CommitBody;
use crate::format::pack::{HEADER_MAX_BYTES, PackHeader};
use crate::format::raw_limit;
use crate::format::seal::{Origin, UnitSeal};
use crate::format::table::SegmentPlace;
use crate::format::tree::{ChunkRef, Node};
use crate::id::{ChunkHash, DomainId, PackId, SessionId, SnapshotId, VaultId};
use crate::keys::envelope::{DomainKeys, SessionKey, SessionPlace};
use crate::keys::keyring::{Keyring, KeyringError};
use crate::log::{Annotation, Snapshot, State};
use crate::store::{ObjectKey, Store, StoreError};

use super::Vault;
use super::chunk_index::{ChunkIndex, PackPlace, Place};

/// Opened segments kept for the next chunk of them: tree nodes lie together, and a walk comes back to them.
const KEPT_SEGMENTS: usize = 24;

/// How often an index object may vanish while the index is made, because somebody replaced it, before that is called damage.
const FOLLOW_ATTEMPTS: usize = 20;

/// A vault's contents, unlocked for reading. May be used from many threads at once.
pub struct Reader {
    store: Arc<dyn Store>,
    vault: VaultId,
    keyring: Arc<Keyring>,
    domains: HashMap<DomainId, Arc<DomainKeys>>,
    /// The vault as far as its log was followed.
    followed: Mutex<Vault>,
    chunks: RwLock<Arc<ChunkIndex>>,
    faults: Vec<Error>,
    sessions: Mutex<HashMap<SessionId, Arc<SessionKey>>>,
    kept: Mutex<Vec<KeptSegment>>,
}

struct KeptSegment {
    pack: PackId,
    number: u32,
    raw: Arc<Vec<u8>>,
}

impl Reader {
    pub(crate) fn new(vault: &Vault, keyring: Keyring) -> Result<Self, Error> {
        Self::with_keyring(vault, Arc::new(keyring))
    }

    /// A reader with the same keys that knows what the vault's log has come to say since this one was made.
    pub(crate) fn renewed(&self, vault: &Vault) -> Result<Self, Error> {
        Self::with_keyring(vault, Arc::clone(&self.keyring))
    }

    fn with_keyring(vault: &Vault, keyring: Arc<Keyring>) -> Result<Self, Error> {
        let mut followed = vault.clone();
        let domains = domain_keys(vault.state(), &keyring)?;
        let (chunks, mut faults) = following_index(&mut followed, &domains)?;
        faults.retain(|fault| !is_from_before(fault, &keyring));
        Ok(Self {
            store: Arc::clone(&vault.store),
            vault: *vault.id(),
            keyring,
            domains,
            followed: Mutex::new(followed),
            chunks: RwLock::new(Arc::new(chunks)),
            faults,
            sessions: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// The chunk index as it is now.
    pub(crate) fn chunks(&self) -> Arc<ChunkIndex> {
        Arc::clone(&self.chunks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the log and makes the chunk index anew, unless another thread has done so since the caller `used` it. False if the
    /// log says nothing new.
    fn refresh(&self, used: &Arc<ChunkIndex>) -> Result<bool, Error> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(used, &self.chunks()) {
            return Ok(true);
        }
        if !followed.follow()? {
            return Ok(false);
        }
        let (chunks, _) = following_index(&mut followed, &self.domains)?;
        *self.chunks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(chunks);
        Ok(true)
    }

    /// Follows the log to its end, and returns what it says there.
    pub(crate) fn newest_state(&self) -> Result<State, Error> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.follow()?;
        Ok(followed.state().clone())
    }

    /// What unlocks the vault.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Index objects that could not be used: what only they name cannot be read.
    pub fn faults(&self) -> &[Error] {
        &self.faults
    }

    /// The packs that index objects in force name, with repetitions.
    pub(crate) fn packs(&self) -> Vec<PackPlace> {
        self.chunks().packs().copied().collect()
    }

    /// The keys of a domain that something in force is of.
    pub(crate) fn keys_of(&self, domain: DomainId) -> Result<&DomainKeys, Error> {
        let keys = self.domains.get(&domain).ok_or(KeyringError::OtherDomain { domain })?;
        Ok(keys)
    }

    /// Whether the snapshot is of an epoch of which it has the keys.
    pub fn reads(&self, snapshot: &Snapshot) -> bool {
        snapshot.commit.epoch >= self.keyring.first_epoch()
    }

    /// Opens the body of a snapshot's commit.
    pub fn body(&self, snapshot: &Snapshot) -> Result<CommitBody, Error> {
        if !self.reads(snapshot) {
            return Err(Error::BeforeMembership { snapshot: snapshot.id });
        }
        let damaged = |fault| Error::Damaged { object: ObjectKey::Statement(snapshot.seq), fault };
        let commit = &snapshot.commit;
        let place = SessionPlace { vault: self.vault, epoch: commit.epoch, session: commit.session };
        let key = self.session_key(place, &commit.session_envelope).map_err(damaged)?;
        if key.device != snapshot.device {
            return Err(damaged(Fault::Misplaced { what: "the device of its session" }));
        }
        let origin = Origin { vault: self.vault, session: commit.session };
        let mut unit = commit.body.clone();
        let body = origin
            .commit(&key.key, commit.number)
            .open_in_place(&mut unit)
            .map_err(|source| damaged(Fault::Sealed { part: "its body", source }))?;
        let raw = Decompressor::new()?
            .unpack(body, raw_limit(SealedKind::Commit) as usize)
            .map_err(|error| damaged(error.into()))?;
        CommitBody::decode(&raw).map_err(|error| damaged(error.into()))
    }

    /// The tags of a snapshot that are in force: those of its newest annotation, or else of its commit.
    pub fn tags(&self, snapshot: &Snapshot) -> Result<Vec<String>, Error> {
        match &snapshot.annotation {
            Some(annotation) => Ok(self.annotation(snapshot, annotation)?.tags),
            None => Ok(self.body(snapshot)?.tags),
        }
    }

    /// Opens the body of a snapshot's annotation.
    fn annotation(&self, snapshot: &Snapshot, annotation: &Annotation) -> Result<AnnotationBody, Error> {
        let damaged = |fault| Error::Damaged { object: ObjectKey::Statement(annotation.seq), fault };
        let key = self.keys_of(snapshot.domain)?.k_index(annotation.epoch);
        let key = key.ok_or_else(|| damaged(Fault::NoEpochKeys { epoch: annotation.epoch }))?;
        let origin = Origin { vault: self.vault, session: annotation.session };
        let mut unit = annotation.body.clone();
        let body = origin
            .annotation(key, &snapshot.id)
            .open_in_place(&mut unit)
            .map_err(|source| damaged(Fault::Sealed { part: "its body", source }))?;
        let raw = Decompressor::new()?
            .unpack(body, raw_limit(SealedKind::Annotation) as usize)
            .map_err(|error| damaged(error.into()))?;
        AnnotationBody::decode(&raw).map_err(|error| damaged(error.into()))
    }

    /// The snapshot's domain as a view on chunks.
    pub fn domain(&self, snapshot: &Snapshot) -> Result<DomainReader<'_>, Error> {
        self.domain_for(snapshot.id, snapshot.domain)
    }

    /// As [`domain`](Self::domain), for a snapshot of which only this much is at hand.
    pub(crate) fn domain_for(
        &self,
        snapshot: SnapshotId,
        domain: DomainId,
    ) -> Result<DomainReader<'_>, Error> {
        let keys = self.domains.get(&domain).ok_or(Error::NoSuchSnapshot { wanted: snapshot.to_hex() })?;
        Ok(DomainReader { reader: self, keys, snapshot })
    }

    /// Opens a segment and decompresses it; nothing is kept.
    pub fn segment(
        &self,
        pack: &PackPlace,
        segment: &SegmentPlace,
        decompressor: &mut Decompressor,
    ) -> Result<Vec<u8>, Error> {
        let seal = self.segment_seal(pack, segment)?;
        let mut unit = self.range(pack, segment.offset, segment.row.stored_bytes)?;
        open_unit(&seal, segment, &mut unit, decompressor).map_err(|fault| Error::pack(pack.id, fault))
    }

    /// What opens a segment: its own key if it was given as such, or else that of its session.
    fn segment_seal(&self, pack: &PackPlace, segment: &SegmentPlace) -> Result<UnitSeal, Error> {
        let origin = Origin { vault: self.vault, session: pack.session };
        if let Some(key) = self.keyring.given_segment(&pack.id, segment.number) {
            return Ok(origin.given_segment(key, segment.row.kind));
        }
        let key = self.pack_session(pack)?;
        Ok(origin.segment(&key.key, segment.row.kind, pack.number, segment.number))
    }

    /// Key and commitment of one segment, to be given away.
    pub(crate) fn segment_key(&self, pack: &PackPlace, segment: &SegmentPlace) -> Result<Secret<48>, Error> {
        let origin = Origin { vault: self.vault, session: pack.session };
        Ok(origin.segment_key(&self.pack_session(pack)?.key, pack.number, segment.number))
    }

    /// Opens a segment whose sealed bytes are at hand.
    pub(crate) fn open_segment(
        &self,
        key: &SessionKey,
        pack: &PackPlace,
        segment: &SegmentPlace,
        unit: &mut [u8],
        decompressor: &mut Decompressor,
    ) -> Result<Vec<u8>, Fault> {
        let origin = Origin { vault: self.vault, session: pack.session };
        let seal = origin.segment(&key.key, segment.row.kind, pack.number, segment.number);
        open_unit(&seal, segment, unit, decompressor)
    }

    /// The session key of a pack, from the envelope in its header.
    pub(crate) fn pack_session(&self, pack: &PackPlace) -> Result<Arc<SessionKey>, Error> {
        if let Some(key) = self.known_session(&pack.session) {
            return Ok(key);
        }
        let head = self.range(pack, 0, HEADER_MAX_BYTES.min(pack.bytes))?;
        self.header_session(pack, &head).map_err(|fault| Error::pack(pack.id, fault))
    }

    /// Bytes of a pack that an index names: that it is not there, or ends before them, is damage.
    fn range(&self, pack: &PackPlace, offset: u32, length: u32) -> Result<Vec<u8>, Error> {
        let object = ObjectKey::Pack(pack.id);
        match self.store.get_range(&object, offset.into(), length) {
            Err(StoreError::NotFound { .. }) => Err(Error::Missing { object }),
            Err(StoreError::Truncated { size, .. }) => {
                Err(Error::pack(pack.id, Fault::WrongSize { expected: pack.bytes.into(), found: size }))
            }
            other => Ok(other?),
        }
    }

    /// As [`pack_session`](Self::pack_session), with the first bytes of the pack at hand.
    pub(crate) fn header_session(&self, pack: &PackPlace, head: &[u8]) -> Result<Arc<SessionKey>, Fault> {
        let header = PackHeader::decode(head)?;
        self.check_header(pack, &header)?;
        let place = SessionPlace { vault: self.vault, epoch: header.epoch, session: header.session };
        self.session_key(place, &header.envelope)
    }

    /// As [`header_session`](Self::header_session), but opens this pack's own envelope whether or not its session is known.
    pub(crate) fn verify_header(
        &self,
        pack: &PackPlace,
        header: &PackHeader,
    ) -> Result<Arc<SessionKey>, Fault> {
        self.check_header(pack, header)?;
        let place = SessionPlace { vault: self.vault, epoch: header.epoch, session: header.session };
        let key = self.keyring.open_session(&header.envelope, &place)?;
        match self.known_session(&header.session) {
            Some(known) if known.key.expose() != key.key.expose() => {
                Err(Fault::Misplaced { what: "the key of its session" })
            }
            _ => Ok(key),
        }
    }

    fn check_header(&self, pack: &PackPlace, header: &PackHeader) -> Result<(), Fault> {
        let as_indexed = header.vault == self.vault
            && header.session == pack.session
            && header.pack_number == pack.number
            && header.epoch == pack.epoch;
        if as_indexed { Ok(()) } else { Err(Fault::Misplaced { what: "the header" }) }
    }

    fn known_session(&self, session: &SessionId) -> Option<Arc<SessionKey>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(session).cloned()
    }

    fn session_key(&self, place: SessionPlace, envelope: &[u8]) -> Result<Arc<SessionKey>, Fault> {
        if let Some(key) = self.known_session(&place.session) {
            return Ok(key);
        }
        let key = self.keyring.open_session(envelope, &place)?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(sessions.entry(place.session).or_insert(key)))
    }

    /// Reads a chunk where an index says it lies.
    pub(crate) fn chunk_at(&self, place: &Place, h: &ChunkHash) -> Result<Vec<u8>, Error> {
        chunk_in(&self.kept_segment(place)?, place, h).map(<[u8]>::to_vec)
    }

    fn kept_segment(&self, place: &Place) -> Result<Arc<Vec<u8>>, Error> {
        let is_it = |kept: &KeptSegment| kept.pack == place.pack.id && kept.number == place.segment.number;
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = kept.iter().position(is_it) {
                // The last one is the one used last.
                let segment = kept.remove(at);
                let raw = Arc::clone(&segment.raw);
                kept.push(segment);
                return Ok(raw);
            }
        }
        let raw = Arc::new(self.segment(&place.pack, &place.segment, &mut Decompressor::new()?)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_SEGMENTS {
            kept.remove(0);
        }
        kept.push(KeptSegment { pack: place.pack.id, number: place.segment.number, raw: Arc::clone(&raw) });
        Ok(raw)
    }
}

/// A reader of one snapshot's chunks: those of the domain it was made in.
#[derive(Clone, Copy)]
pub struct DomainReader<'r> {
    reader: &'r Reader,
    keys: &'r DomainKeys,
    snapshot: SnapshotId,
}

impl<'r> DomainReader<'r> {
    /// How many threads keep store and processors busy: some wait for the store while others open what has come.
    pub(crate) fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        processors.max(self.reader.store.parallel())
    }

    /// The reader it is a view on.
    pub fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// The snapshot that is read.
    pub fn snapshot(&self) -> SnapshotId {
        self.snapshot
    }

    /// Where a chunk lies.
    pub fn place(&self, h: &ChunkHash) -> Result<Place, Error> {
        let id = chunk_id(&self.keys.k_id, h);
        loop {
            let chunks = self.reader.chunks();
            if let Some(place) = chunks.find(&id)? {
                return Ok(place);
            }
            if !self.reader.refresh(&chunks)? {
                return Err(Error::ChunkMissing { h: *h });
            }
        }
    }

    /// Reads a tree node.
    pub fn node(&self, h: &ChunkHash) -> Result<Node, Error> {
        self.with_chunk(h, |chunk| self.node_in(chunk))
    }

    /// Decodes a tree node that was read as a chunk.
    pub(crate) fn node_in(&self, chunk: &[u8]) -> Result<Node, Error> {
        Node::decode(chunk).map_err(|error| Error::Tree { snapshot: self.snapshot, fault: error.into() })
    }

    /// Says that the snapshot's tree is not what a tree must be.
    pub fn damaged_tree(&self, what: &'static str) -> Error {
        Error::Tree { snapshot: self.snapshot, fault: Fault::Malformed { what } }
    }

    /// Reads one chunk.
    pub fn chunk(&self, h: &ChunkHash) -> Result<Vec<u8>, Error> {
        self.with_chunk(h, |chunk| Ok(chunk.to_vec()))
    }

    /// Reads one chunk of a file, which has the length that the file says.
    pub fn whole_chunk(&self, chunk: &ChunkRef) -> Result<Vec<u8>, Error> {
        let bytes = self.chunk(&chunk.h)?;
        if bytes.len() == chunk.length as usize { Ok(bytes) } else { Err(self.other_length()) }
    }

    /// Says that a file and the index disagree on a chunk.
    pub(crate) fn other_length(&self) -> Error {
        self.damaged_tree("a chunk has another length than the index says")
    }

    fn with_chunk<T>(&self, h: &ChunkHash, look: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            let chunks = self.reader.chunks();
            let place = self.place(h)?;
            match self.reader.kept_segment(&place) {
                Ok(raw) => return look(chunk_in(&raw, &place, h)?),
                Err(error @ Error::Missing { .. }) => {
                    if !self.reader.refresh(&chunks)? {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn open_unit(
    seal: &UnitSeal,
    segment: &SegmentPlace,
    unit: &mut [u8],
    decompressor: &mut Decompressor,
) -> Result<Vec<u8>, Fault> {
    let body =
        seal.open_in_place(unit).map_err(|source| Fault::Segment { segment: segment.number, source })?;
    let raw = decompressor.unpack(body, raw_limit(segment.row.kind.sealed()) as usize)?;
    if raw.len() == segment.row.raw_bytes as usize { Ok(raw) } else { Err(Fault::TableDiffers) }
}

/// Whether something could not be opened only because it is from before its reader became a member, as it should be.
pub(crate) fn is_from_before(fault: &Error, keyring: &Keyring) -> bool {
    matches!(fault, Error::Damaged { fault: Fault::NoEpochKeys { epoch }, .. } if *epoch < keyring.first_epoch())
}

/// The keys of every domain that something in force is of.
pub(crate) fn domain_keys(
    state: &State,
    keyring: &Keyring,
) -> Result<HashMap<DomainId, Arc<DomainKeys>>, Error> {
    let of_snapshots = state.snapshots().iter().map(|snapshot| snapshot.domain);
    // A domain can have index objects in force after its last snapshot is forgotten.
    let of_indexes = state.all_indexes().map(|(domain, _)| domain);
    let domains: BTreeSet<_> = of_snapshots.chain(of_indexes).collect();
    domains.into_iter().map(|domain| Ok((domain, keyring.domain_keys(domain)?))).collect()
}

/// The chunk index of some domains. An index object that has vanished was perhaps replaced: the log tells.
pub(crate) fn following_index(
    vault: &mut Vault,
    domains: &HashMap<DomainId, Arc<DomainKeys>>,
) -> Result<(ChunkIndex, Vec<Error>), Error> {
    let keys_of = |domain| domains.get(&domain).map(|keys: &Arc<DomainKeys>| &**keys);
    for _ in 1..FOLLOW_ATTEMPTS {
        let (chunks, faults) = vault.chunk_index(&keys_of)?;
        let vanished = |error: &Error| matches!(error, Error::Missing { object: ObjectKey::Index(_) });
        if !faults.iter().any(vanished) || !vault.follow()? {
            return Ok((chunks, faults));
        }
    }
    vault.chunk_index(&keys_of)
}

/// The chunk at its place in an opened segment, verified.
pub fn chunk_in<'s>(raw: &'s [u8], place: &Place, h: &ChunkHash) -> Result<&'s [u8], Error> {
    let start = place.offset as usize;
    let chunk = raw.get(start..start + place.length as usize).filter(|chunk| chunk_hash(chunk) == *h);
    chunk.ok_or_else(|| Error::pack(place.pack.id, Fault::Chunk { segment: place.segment.number }))
}
