//! `share`: gives a part of a snapshot to people, or to whoever has a link.
//!
//! The statement is appended when everything that it names is in the store, and not if a pack that it relies on was condemned meanwhile: then
//! it is made again from what holds then. What an attempt in vain has stored, nothing names, and prune deletes it.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::chunk::compress::{Compressor, Level};
use crate::crypto::hash::object_hash;
use crate::error::Error;
use crate::format::commit::{CommitBody, CommitCounts};
use crate::format::seal::Origin;
use crate::format::table::SegmentKind;
use crate::format::tree::{ChunkRef, Entry, encode_chunk_list};
use crate::id::{GrantId, IndexId, PackId, Seq, SessionId, SnapshotId};
use crate::keys::SecretString;
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::SessionPlace;
use crate::keys::grant::GrantPlace;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Addressee, Body, Grant, LinkTerms, State};
use crate::ops::list::find_path;
use crate::ops::snapshots::check_right;
use crate::pipeline::dedup::Known;
use crate::pipeline::sink::{self, Sink, SinkParts};
use crate::progress::Phase;
use crate::store::{ObjectKey, Store};
use crate::surroundings::Surroundings;
use crate::vault::chunk_index::ChunkIndex;
use crate::vault::packer::Packer;
use crate::vault::reader::DomainReader;
use crate::vault::session::{Session, seal_body};
use crate::vault::{Reader, Vault, make_private_directory};
use crate::wire::link::LinkSecret;
use crate::wire::ranges::{PackRanges, Ranges};

use super::segments::Sorted;
use super::strip::{Writer, strip};

/// How often a grant is made again because others deleted what it relies on.
const ATTEMPTS: u32 = 5;

/// What to give, and to whom.
pub struct ShareOptions<'o> {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// A path below its root; empty for the root.
    pub path: PathBuf,
    /// The people, at most [`MAX_ADDRESSEES`](crate::log::MAX_ADDRESSEES).
    pub to: Vec<ShareTo>,
    /// Whoever has this link.
    pub link: Option<LinkOptions<'o>>,
    /// Until when, in seconds since 1970 UTC.
    pub expires: Option<u64>,
    /// How hard to compress.
    pub level: Level,
}

/// Somebody to whom something is given.
pub struct ShareTo {
    /// The user, or the first half of the fingerprint of a bare recipient.
    pub id: [u8; 16],
    /// To what the keys are sealed.
    pub recipient: AnyRecipient,
}

/// A link to be made.
pub struct LinkOptions<'o> {
    /// Its secret.
    pub secret: &'o LinkSecret,
    /// How often it may be fetched.
    pub downloads: Option<u32>,
    /// What is asked for beside it, and scrypt's `log2 N`.
    pub passphrase: Option<(&'o SecretString, Option<u8>)>,
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The grant.
    pub grant: GrantId,
    /// Files in it.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Bytes that are given as they lie.
    pub in_place_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// Gives a part of a snapshot.
///
/// # Errors
///
/// [`Error::NoRight`] if the device may not; [`Error::Contended`] if others kept deleting what it relies on.
pub fn share(
    vault: &mut Vault,
    reader: &Reader,
    device: &DeviceKeys,
    options: &ShareOptions<'_>,
    around: &Surroundings<'_>,
) -> Result<Shared, Error> {
    around.progress.phase(Phase::Share);
    vault.follow()?;
    for _ in 0..ATTEMPTS {
        let own = vault.state().domain_of(&device.device_id());
        check_right(vault.state(), device, &own.ok_or(Error::DeviceUnknown { vault: *vault.id() })?)?;
        let reader = reader.renewed(vault)?;
        let made = make(vault, &reader, device, options, around)?;
        let appended = vault.append_unless(&|state| {
            if made.is_overtaken(state) {
                return Ok(None);
            }
            let body = Body::Grant(made.grant.clone());
            Ok(Some(log::sign(&state.draft(device.device_id(), around.clock.now(), body), device.signing())?))
        })?;
        if appended.is_some() {
            return Ok(made.shared);
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// A grant whose objects are in the store.
struct Made {
    grant: Grant,
    /// The packs of other sessions that it gives parts of.
    relies_on: BTreeSet<PackId>,
    /// The newest statement that was known when it was made.
    since: Seq,
    shared: Shared,
}

impl Made {
    fn is_overtaken(&self, state: &State) -> bool {
        state.epoch() != Some(self.grant.epoch)
            || state.condemned_since(self.since).any(|pack| self.relies_on.contains(&pack))
    }
}

/// What stands in the grant's own packs.
struct Contents {
    root: Entry,
    counts: CommitCounts,
    sorted: Sorted,
    keys: Vec<ChunkRef>,
}

fn make(
    vault: &Vault,
    reader: &Reader,
    device: &DeviceKeys,
    options: &ShareOptions<'_>,
    around: &Surroundings<'_>,
) -> Result<Made, Error> {
    let (domain, entry, path) = find_path(vault, reader, &options.snapshot, &options.path)?;
    let unknown = || Error::DeviceUnknown { vault: *vault.id() };
    let record = vault.state().epochs().last().ok_or_else(unknown)?;
    let id = GrantId::new(around.random.bytes()?);
    let place = SessionPlace {
        vault: *vault.id(),
        epoch: record.epoch,
        session: SessionId::new(around.random.bytes()?),
    };
    let recipient = AnyRecipient::parse(&record.recipient)?;
    let session = Session::of_grant(place, device.device_id(), id, &recipient, around.random)?;
    let store = vault.shared_store();
    let (contents, stored_bytes) =
        store_contents(vault, (&session, &*store), (domain, entry), options.level, around)?;
    let Contents { root, counts, sorted, keys } = contents;
    let relies_on: BTreeSet<PackId> = sorted.packs.iter().map(|pack| pack.id).collect();
    let (ranges, ranges_bytes) = store_ranges(&*store, (place, id), &session, sorted.ranges)?;

    let place = GrantPlace {
        vault: place.vault,
        epoch: place.epoch,
        grant: id,
        session: place.session,
        device: device.device_id(),
    };
    let mut indexes = session.indexes_to_name();
    indexes.sort_unstable();
    let body = body_of(root, &path, counts, around);
    let origin = Origin { vault: place.vault, session: place.session };
    let seal = origin.grant(session.key(), &id);
    let list = if keys.is_empty() { Vec::new() } else { encode_chunk_list(&keys) };
    let grant = Grant {
        id,
        epoch: place.epoch,
        session: place.session,
        session_envelope: session.envelope().to_vec(),
        body: session.seal_commit(&body.encode()?, 0, around.random)?,
        keys: seal_body(&list, |unit| seal.seal_in_place(around.random, unit))?,
        indexes,
        ranges,
        to: addressees(&place, &session, &options.to)?,
        link: options.link.as_ref().map(|link| link_terms(&place, &session, link, around)).transpose()?,
        expires: options.expires,
    };
    let shared = Shared {
        grant: id,
        files: counts.files,
        bytes: counts.bytes,
        in_place_bytes: sorted.in_place_bytes,
        stored_bytes: stored_bytes + ranges_bytes,
    };
    Ok(Made { grant, relies_on, since: vault.state().head().seq, shared })
}

/// Writes the grant's own packs and its index.
fn store_contents(
    vault: &Vault,
    (session, store): (&Session, &dyn Store),
    (domain, entry): (DomainReader<'_>, Entry),
    level: Level,
    around: &Surroundings<'_>,
) -> Result<(Contents, u64), Error> {
    make_private_directory(&vault.local().cache)?;
    let scratch = tempfile::Builder::new()
        .prefix("grant-")
        .tempdir_in(&vault.local().cache)
        .map_err(Error::local("make a directory in", &vault.local().cache))?;
    let known = Known::new(ChunkIndex::open(scratch.path(), &BTreeSet::new())?);
    let sink = Sink::new(SinkParts { session, store, known: &known, level, around: *around }, 1);
    let mut contents = None;
    sink::fill(&[&sink], |packers| {
        let Some(packer) = packers.first() else { return };
        match write(domain, entry, (session, &sink), packer, around) {
            Ok(written) => contents = Some(written),
            Err(error) => sink.fail(error),
        }
    });
    if let Some(error) = sink.take_failure() {
        return Err(error);
    }
    let bytes = sink.stored_bytes();
    Ok((contents.ok_or(Error::WorkerLost)?, bytes))
}

fn write(
    domain: DomainReader<'_>,
    entry: Entry,
    (session, sink): (&Session, &Sink<'_>),
    packer: &Packer<'_>,
    around: &Surroundings<'_>,
) -> Result<Contents, Error> {
    let mut writer = Writer { sink, packer, compressor: Compressor::new(sink.level())? };
    let stripped = strip(domain, entry, &mut writer, around)?;
    let sorted = stripped.wanted.give(domain, &session.writer().k_id, &mut writer, around)?;
    let mut keys = Vec::new();
    for chunk in sorted.keys.chunks() {
        keys.push(ChunkRef { h: writer.store(SegmentKind::Data, chunk)?, length: chunk.len() as u32 });
    }
    writer.flush()?;
    for pack in &sorted.packs {
        session.adopt(pack.clone());
    }
    Ok(Contents { root: stripped.root, counts: stripped.counts, sorted, keys })
}

/// Stores the list of what a server may show: these parts, and all of the grant's own packs.
fn store_ranges(
    store: &dyn Store,
    (place, grant): (SessionPlace, GrantId),
    session: &Session,
    parts: Vec<PackRanges>,
) -> Result<(IndexId, u64), Error> {
    let given: BTreeSet<PackId> = parts.iter().map(|pack| pack.pack).collect();
    let own = session.named_packs().into_iter().filter(|pack| !given.contains(pack));
    let mut packs = parts;
    packs.extend(own.map(|pack| PackRanges { pack, parts: Vec::new() }));
    packs.sort_by_key(|pack| pack.pack);
    let object = Ranges { vault: place.vault, grant, packs }.encode();
    let id = IndexId::new(object_hash(&object));
    let _ = store.put_new(&ObjectKey::Index(id), &object)?;
    Ok((id, object.len() as u64))
}

/// What is granted, as the body of a commit that tells nothing else.
fn body_of(root: Entry, path: &Path, counts: CommitCounts, around: &Surroundings<'_>) -> CommitBody {
    let now = around.clock.now();
    let name = path.file_name().map_or_else(Vec::new, |name| name.as_bytes().to_vec());
    let root_path = [b"/".as_slice(), &name].concat();
    CommitBody {
        root,
        paths: vec![root_path.clone()],
        root_path,
        host: String::new(),
        tags: Vec::new(),
        begin: now,
        end: now,
        counts,
        program: String::new(),
    }
}

fn addressees(place: &GrantPlace, session: &Session, to: &[ShareTo]) -> Result<Vec<Addressee>, Error> {
    let seal = |to: &ShareTo| -> Result<Addressee, Error> {
        Ok(Addressee { id: to.id, envelope: place.seal(&to.id, session.key(), &to.recipient)? })
    };
    let mut all = to.iter().map(seal).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|one| one.id);
    all.dedup_by_key(|one| one.id);
    Ok(all)
}

fn link_terms(
    place: &GrantPlace,
    session: &Session,
    link: &LinkOptions<'_>,
    around: &Surroundings<'_>,
) -> Result<LinkTerms, Error> {
    let key = link.secret.envelope_key(&place.grant);
    let envelope = place.seal_link((session.key(), key), link.passphrase, around.random)?;
    Ok(LinkTerms { token_hash: link.secret.token(&place.grant).hash(), downloads: link.downloads, envelope })
}
