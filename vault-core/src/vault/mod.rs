//! An open vault: a store whose log has been verified, and what is remembered about it on this machine.
//!
//! A [`Vault`] exists only with a verified log that extends the head this machine remembers. What it hands out, keys and
//! a [`Reader`], is checked against that log first.

pub mod chunk_index;
pub mod contents;
pub(crate) mod envelopes;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod grants;
pub(crate) mod marks;
pub mod orphans;
pub mod packer;
pub mod reader;
mod run;
pub mod session;
pub mod stat_cache;
pub mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::chunk::compress::Decompressor;
use crate::crypto::aead::SealedKind;
use crate::crypto::hash::object_hash;
use crate::error::{Error, Fault};
use crate::format::index::{self, IndexedPack};
use crate::format::{raw_limit, stored_limit};
use crate::id::{DomainId, IndexId, Seq, VaultId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, MemberKeys, MemberPlace, WriterPlace};
use crate::keys::identity_file::UserIdentity;
use crate::keys::keyring::Keyring;
use crate::log::{self, FollowError, Head, State};
use crate::store::location::OpenStore;
use crate::store::{ObjectKey, ObjectKind, Put, Store, StoreError};

pub use reader::Reader;

use chunk_index::ChunkIndex;

/// A statement is at most this long (docs/format.md, section 7.1).
const STATEMENT_MAX_BYTES: u64 = 1 << 20;
/// An age file of a key envelope or identity is far below this.
pub(crate) const AGE_FILE_MAX_BYTES: u64 = 1 << 20;
/// Index objects whose chunks are sorted together in memory into one run of the index.
const RUN_CHUNKS: usize = 500_000;
/// Index objects that are read from afar at the same time: each takes up to about 10 MB.
const INDEXES_AT_ONCE: usize = 4;
/// How often an append is tried again when others append at the same time.
const APPEND_ATTEMPTS: u32 = 100;

/// Makes a statement from the state that it will follow; `None` if it is not to be made after that state.
type Build<'b> = dyn Fn(&State) -> Result<Option<Vec<u8>>, Error> + 'b;

/// Where this machine keeps what it remembers about one vault. Both are made when needed, readable by the owner only.
#[derive(Debug, Clone)]
pub struct LocalPaths {
    /// The last head that was verified: losing it loses the memory that detects a rollback.
    pub state: PathBuf,
    /// Index and stat cache: losing it costs time only.
    pub cache: PathBuf,
}

/// A vault whose log has been verified. Clones share what they know, until one of them follows the log further.
#[derive(Clone)]
pub struct Vault {
    store: Arc<dyn Store>,
    id: VaultId,
    state: Arc<State>,
    local: LocalPaths,
}

impl Vault {
    /// Opens the vault in `store`: verifies the log, and that it extends the head remembered in `local`.
    pub fn open(store: OpenStore, local: LocalPaths) -> Result<Self, Error> {
        Self::open_knowing(store, local, None)
    }

    /// As [`Self::open`]; where this machine remembers nothing, the log must extend `known`, a head from elsewhere.
    pub fn open_knowing(store: OpenStore, local: LocalPaths, known: Option<Head>) -> Result<Self, Error> {
        let (id, store): (_, Arc<dyn Store>) = (store.vault_id, store.store.into());
        let saved = read_head(&local.state)?;
        let remembered = saved.or(known);
        let followed = log::follow(remembered, &id, &mut |seq| read_statement(&*store, seq));
        // Where a statement is missing, that says more than that the log is shorter than it was.
        if let Some(next) = after_the_end(&followed) {
            refuse_gap(&*store, next)?;
        }
        let (state, head) = followed.map_err(log_error)?;
        let vault = Self { store, id, state: Arc::new(state), local };
        if saved != Some(head) {
            vault.remember_head()?;
        }
        Ok(vault)
    }

    /// What a grant gives of a vault, as a vault with one snapshot. Nothing is remembered of it.
    pub(crate) fn of_grant(store: Arc<dyn Store>, state: State, local: LocalPaths) -> Self {
        Self { store, id: state.vault(), state: Arc::new(state), local }
    }

    /// The vault's id.
    pub fn id(&self) -> &VaultId {
        &self.id
    }

    /// What the log says.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Where the objects are.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Where this machine keeps what it remembers.
    pub fn local(&self) -> &LocalPaths {
        &self.local
    }

    /// Whether `device` may back up into this vault.
    pub fn knows_device(&self, device: &DeviceKeys) -> bool {
        self.state.may_commit(&device.device_id())
    }

    /// The sealed identities stored in the vault, for a machine that has none.
    pub fn sealed_identities(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys = Vec::new();
        self.store.list(ObjectKind::Identity, &mut |key, _| {
            keys.push(key);
            ControlFlow::Continue(())
        })?;
        keys.iter().map(|key| Ok(self.store.get(key, AGE_FILE_MAX_BYTES)?)).collect()
    }

    /// Unlocks the vault for reading.
    pub fn unlock(&self, identity: &UserIdentity) -> Result<Reader, Error> {
        let keys = self.member_keys(identity)?;
        Reader::new(self, Keyring::of_member(self.id, keys))
    }

    /// Opens a member's keys for the epoch in force.
    pub(crate) fn member_keys(&self, identity: &UserIdentity) -> Result<MemberKeys, Error> {
        let user = identity.user_id();
        let not_a_member = Error::NotAMember { vault: self.id };
        let Some(record) = self.state.epochs().last() else { return Err(not_a_member) };
        let Some(pin) = self.state.pin(record.epoch, user) else { return Err(not_a_member) };
        let addressee = *user.as_bytes();
        let sealed = envelopes::get(&*self.store, record.epoch, addressee, pin)?;
        let place = MemberPlace {
            vault: self.id,
            epoch: record.epoch,
            user,
            pin: *pin,
            epoch_recipient: &record.recipient,
            dedup_commitment: record.dedup_commitment,
        };
        MemberKeys::open(&sealed, &place, identity.age()).map_err(|source| Error::Envelope {
            object: ObjectKey::envelope(record.epoch, addressee),
            source,
        })
    }

    /// Opens this device's keys for the epoch in force.
    pub(crate) fn writer_keys(&self, device: &DeviceKeys) -> Result<DomainKeys, Error> {
        let id = device.device_id();
        let unknown = Error::DeviceUnknown { vault: self.id };
        let (Some(epoch), Some(domain)) = (self.state.epoch(), self.state.domain_of(&id)) else {
            return Err(unknown);
        };
        let Some(pin) = self.state.pin(epoch, id) else { return Err(unknown) };
        let sealed = envelopes::get(&*self.store, epoch, *id.as_bytes(), pin)?;
        let place = WriterPlace { vault: self.id, epoch, device: id, domain, pin: *pin };
        DomainKeys::open(&sealed, &place, device.age())
            .map_err(|source| Error::Envelope { object: ObjectKey::envelope(epoch, *id.as_bytes()), source })
    }

    /// Reads an object that the log or an index names: that it is not there is damage.
    pub(crate) fn get_named(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, Error> {
        get_named(&*self.store, key, limit)
    }

    /// Appends a statement. `build` makes it from the state that it will follow, and is called again when another came first.
    pub(crate) fn append(&mut self, build: &dyn Fn(&State) -> Result<Vec<u8>, Error>) -> Result<Head, Error> {
        let appended = self.append_unless(&|state| build(state).map(Some))?;
        appended.ok_or(Error::Contended { attempts: 0 })
    }

    /// As [`append`](Self::append), but gives up with `None` when `build` does.
    pub(crate) fn append_unless(&mut self, build: &Build<'_>) -> Result<Option<Head>, Error> {
        for _ in 0..APPEND_ATTEMPTS {
            let Some(stored) = build(&self.state)? else { return Ok(None) };
            if let Some(head) = self.try_append(&stored)? {
                return Ok(Some(head));
            }
            self.follow()?;
        }
        Err(Error::Contended { attempts: APPEND_ATTEMPTS })
    }

    /// Where the objects are, for what goes on without this vault, or while its log is extended.
    pub fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Appends a statement that was made for the state as it is; `None` if another came first.
    pub(crate) fn try_append(&mut self, stored: &[u8]) -> Result<Option<Head>, Error> {
        let verified = self.state.verify(stored)?;
        let seq = self.state.next_seq();
        let put = self.store.put_new(&ObjectKey::Statement(seq), stored)?;
        // An answer that was lost is followed by a conflict with oneself: only other bytes are somebody else's.
        if put == Put::AlreadyThere && read_statement(&*self.store, seq)?.as_deref() != Some(stored) {
            return Ok(None);
        }
        Arc::make_mut(&mut self.state).apply(verified)?;
        self.remember_head()?;
        Ok(Some(self.state.head()))
    }

    /// Reads and verifies what others appended meanwhile; tells whether there was anything.
    pub fn follow(&mut self) -> Result<bool, Error> {
        if read_statement(&*self.store, self.state.next_seq())?.is_none() {
            return Ok(false);
        }
        let store = Arc::clone(&self.store);
        let state = Arc::make_mut(&mut self.state);
        log::extend(state, &mut |seq| read_statement(&*store, seq)).map_err(log_error)?;
        self.remember_head()?;
        Ok(true)
    }

    /// The index of the chunks of some domains, brought up to date. Index objects that cannot be used are returned beside it.
    pub(crate) fn chunk_index<'k>(
        &self,
        keys_of: &dyn Fn(DomainId) -> Option<&'k DomainKeys>,
    ) -> Result<(ChunkIndex, Vec<Error>), Error> {
        let named: BTreeSet<IndexId> = self.state.all_indexes().map(|(_, id)| id).collect();
        // A run must not hide that its index object is gone: other machines could not read what only it names.
        let mut live = BTreeSet::new();
        self.store.list(ObjectKind::Index, &mut |key, _| {
            if let ObjectKey::Index(id) = key
                && named.contains(&id)
            {
                live.insert(id);
            }
            ControlFlow::Continue(())
        })?;
        let mut chunks = ChunkIndex::open(&self.local.cache.join("index"), &live)?;
        chunks.hide(self.state.condemned());
        let faults = self.extend_chunk_index(&mut chunks, keys_of)?;
        chunks.merge_if_many()?;
        Ok((chunks, faults))
    }

    /// Adds what the index objects in force name that the chunk index has not seen yet; rows keep their numbers. Index objects that
    /// cannot be used are returned.
    pub(crate) fn extend_chunk_index<'k>(
        &self,
        chunks: &mut ChunkIndex,
        keys_of: &dyn Fn(DomainId) -> Option<&'k DomainKeys>,
    ) -> Result<Vec<Error>, Error> {
        let (covered, condemned) = (chunks.covered(), self.state.condemned());
        let mut faults = Vec::new();
        let (mut objects, mut rows) = (Vec::<(IndexId, Vec<IndexedPack>)>::new(), 0);
        let mut flush = |objects: &mut Vec<(IndexId, Vec<IndexedPack>)>| {
            let named: Vec<_> = objects.iter().map(|(id, packs)| (*id, &packs[..])).collect();
            let added = if named.is_empty() { Ok(()) } else { chunks.add_all(&named, condemned) };
            objects.clear();
            added
        };
        let new = self.state.all_indexes().filter(|(_, id)| !covered.contains(id));
        let new: Vec<_> = new.filter_map(|(domain, id)| Some((id, keys_of(domain)?))).collect();
        // Where each answer takes its time, several are waited for together.
        let at_once = if self.store.parallel() > 2 { INDEXES_AT_ONCE } else { 1 };
        for group in new.chunks(at_once) {
            for ((id, _), read) in group.iter().zip(self.read_indexes(group)) {
                match read {
                    Ok(named) => {
                        rows += named.iter().map(|pack| pack.table.chunk_rows().len()).sum::<usize>();
                        objects.push((*id, named));
                    }
                    Err(error) => faults.push(error),
                }
            }
            if rows >= RUN_CHUNKS {
                flush(&mut objects)?;
                rows = 0;
            }
        }
        flush(&mut objects)?;
        Ok(faults)
    }

    /// Reads some index objects at the same time.
    fn read_indexes(&self, group: &[(IndexId, &DomainKeys)]) -> Vec<Result<Vec<IndexedPack>, Error>> {
        if let [(id, keys)] = group {
            return vec![self.read_index(*id, keys)];
        }
        thread::scope(|scope| {
            let readers: Vec<_> =
                group.iter().map(|(id, keys)| scope.spawn(move || self.read_index(*id, keys))).collect();
            readers.into_iter().map(|reader| reader.join().unwrap_or(Err(Error::WorkerLost))).collect()
        })
    }

    /// Reads an index object of the domain whose keys these are.
    pub(crate) fn read_index(&self, id: IndexId, keys: &DomainKeys) -> Result<Vec<IndexedPack>, Error> {
        let object = self.get_named(&ObjectKey::Index(id), 2 * u64::from(stored_limit(SealedKind::Index)))?;
        if object_hash(&object) != *id.as_bytes() {
            return Err(Error::index(id, Fault::WrongHash));
        }
        let (header, sealed) = index::decode(&object).map_err(|error| Error::index(id, error))?;
        if header.vault != self.id {
            return Err(Error::index(id, Fault::Misplaced { what: "the vault" }));
        }
        let key = keys
            .k_index(header.epoch)
            .ok_or_else(|| Error::index(id, Fault::NoEpochKeys { epoch: header.epoch }))?;
        let seal = header.origin().index(key, header.index_number);
        let mut unit = sealed.to_vec();
        let body = seal
            .open_in_place(&mut unit)
            .map_err(|source| Error::index(id, Fault::Sealed { part: "its body", source }))?;
        let raw = Decompressor::new()?
            .unpack(body, raw_limit(SealedKind::Index) as usize)
            .map_err(|error| Error::index(id, error))?;
        index::decode_body(&raw).map_err(|error| Error::index(id, error))
    }

    fn remember_head(&self) -> Result<(), Error> {
        make_private_directory(&self.local.state)?;
        let path = self.local.state.join(HEAD_FILE);
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(&self.local.state)?;
            io::Write::write_all(&mut file, self.state.head().to_string().as_bytes())?;
            file.as_file().sync_data()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(Error::local("write", &path))
    }
}

/// Holds the text of the last verified head.
const HEAD_FILE: &str = "head";

fn read_head(state: &Path) -> Result<Option<Head>, Error> {
    let path = state.join(HEAD_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Head::parse(&text).map(Some).map_err(|error| {
            Error::local("understand", path)(io::Error::new(io::ErrorKind::InvalidData, error))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::local("read", path)(error)),
    }
}

fn read_statement(store: &dyn Store, seq: Seq) -> Result<Option<Vec<u8>>, StoreError> {
    match store.get(&ObjectKey::Statement(seq), STATEMENT_MAX_BYTES) {
        Ok(stored) => Ok(Some(stored)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number that the log's next statement would have; `None` if the log does not come to an end.
fn after_the_end(followed: &Result<(State, Head), FollowError<StoreError>>) -> Option<Seq> {
    match followed {
        Ok((state, _)) => Some(state.next_seq()),
        Err(FollowError::RolledBack { found_last: Some(last), .. }) => Some(last.next()),
        Err(FollowError::RolledBack { found_last: None, .. } | FollowError::Empty) => Some(Seq::GENESIS),
        Err(_) => None,
    }
}

/// A statement that stands after the end of the log shows that one in between, `next`, is missing.
fn refuse_gap(store: &dyn Store, next: Seq) -> Result<(), Error> {
    match store.last_statement()? {
        // If it is there now, it was appended a moment ago.
        Some(last) if last >= next && read_statement(store, next)?.is_none() => Err(if last > next {
            Error::History(FollowError::Gap { missing: next, later: last })
        } else {
            Error::Missing { object: ObjectKey::Statement(next) }
        }),
        _ => Ok(()),
    }
}

fn log_error(error: FollowError<StoreError>) -> Error {
    match error {
        FollowError::Read { source, .. } => Error::Store(source),
        error => Error::History(error),
    }
}

/// Reads an object that the log or an index names: that it is not there is damage.
pub(crate) fn get_named(store: &dyn Store, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, Error> {
    match store.get(key, limit) {
        Err(StoreError::NotFound { .. }) => Err(Error::Missing { object: *key }),
        other => Ok(other?),
    }
}

/// Makes a directory, and those above it, that only the owner may enter.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::local("make", path))
}
