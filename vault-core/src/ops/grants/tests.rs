//! The attack of somebody who was given a folder: every key they hold, tried on every segment of every pack.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use crate::bytes::Reader as Bytes;
use crate::chunk::compress::{Decompressor, Level};
use crate::chunk::cut::Params;
use crate::crypto::hash::chunk_hash;
use crate::crypto::random::FixedRandom;
use crate::crypto::secret::Secret;
use crate::format::raw_limit;
use crate::format::seal::Origin;
use crate::format::tree::{EntryKind, Node};
use crate::id::{ChunkHash, PackId, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, SessionPlace};
use crate::keys::grant::GrantPlace;
use crate::keys::identity_file::UserIdentity;
use crate::log::{Grant, PqPolicy};
use crate::ops::backup::{BackupOptions, backup};
use crate::ops::init::{InitOptions, init};
use crate::progress::Silent;
use crate::store::location::{Access, Location};
use crate::store::{ObjectKey, ObjectKind};
use crate::surroundings::{Stop, Surroundings};
use crate::time::{FixedClock, Timestamp};
use crate::vault::{LocalPaths, Reader, Vault, orphans};

const CLOCK: FixedClock = FixedClock(Timestamp::new(1_700_000_000, 0));
static GO_ON: Stop = Stop::new();

/// A vault, its owner, and a guest.
struct World {
    root: tempfile::TempDir,
    owner: UserIdentity,
    guest: UserIdentity,
    device: DeviceKeys,
    random: FixedRandom,
}

impl World {
    fn new() -> Self {
        let (root, random) = (tempfile::tempdir().unwrap(), FixedRandom::new(1));
        let [owner, guest] = [(); 2].map(|()| UserIdentity::generate(&random).unwrap());
        let device = DeviceKeys::generate(&random).unwrap();
        let world = Self { root, owner, guest, device, random };
        let options = InitOptions {
            location: &world.location(),
            access: &Access::local(),
            identity: &world.owner,
            sealed_identity: None,
            device: &world.device,
            pq: PqPolicy::Required,
            chunker: Params::new(1 << 10, 11, 16 << 10).unwrap(),
        };
        init(&options, &world.around()).unwrap();
        world
    }

    fn location(&self) -> Location {
        Location::Directory(self.root.path().join("vault"))
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings { clock: &CLOCK, random: &self.random, progress: &Silent, stop: &GO_ON }
    }

    fn open(&self) -> Vault {
        let local =
            LocalPaths { state: self.root.path().join("state"), cache: self.root.path().join("cache") };
        Vault::open(self.location().open(&Access::local()).unwrap(), local).unwrap()
    }

    fn back_up(&self, source: &Path) -> SnapshotId {
        let options =
            BackupOptions { paths: vec![source.to_owned()], host: "host".into(), ..BackupOptions::default() };
        backup(&mut self.open(), &self.device, &options, &self.around()).unwrap().snapshot
    }
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// The chunks of files below a directory, by the cuts of the vault: asked of the owner's tree.
fn chunks_below(reader: &Reader, vault: &Vault, snapshot: SnapshotId, path: &str) -> BTreeSet<ChunkHash> {
    let (domain, entry, _) = crate::ops::list::find_path(vault, reader, &snapshot, Path::new(path)).unwrap();
    let (mut all, mut open) = (BTreeSet::new(), vec![entry]);
    while let Some(entry) = open.pop() {
        match entry.kind {
            EntryKind::Directory { subtree } => open.extend(domain.entries(&subtree).map(Result::unwrap)),
            EntryKind::File { contents, .. } => {
                let mut note = |chunk: &crate::format::tree::ChunkRef| {
                    all.insert(chunk.h);
                    Ok(())
                };
                domain.for_each_chunk(&contents, &mut note).unwrap();
            }
            _ => {}
        }
    }
    all
}

/// Every key that a guest has: that of the grant's session, and those of segments.
struct Held {
    s: Secret<32>,
    segments: Vec<Secret<48>>,
}

fn held(world: &World, vault: &Vault, grant: &Grant, opened: &Opened) -> Held {
    let place = GrantPlace {
        vault: *vault.id(),
        epoch: grant.epoch,
        grant: grant.id,
        session: grant.session,
        device: world.device.device_id(),
    };
    let user = *world.guest.user_id().as_bytes();
    let session = place.open(&user, grant.envelope_for(&user).unwrap(), world.guest.age()).unwrap();
    // The list of keys, as it stands in the grant's own chunks.
    let origin = Origin { vault: *vault.id(), session: grant.session };
    let mut unit = grant.keys.clone();
    let seal = origin.grant(&session.key, &grant.id);
    let raw = Decompressor::new().unwrap().unpack(seal.open_in_place(&mut unit).unwrap(), 1 << 20).unwrap();
    let mut segments = Vec::new();
    if !raw.is_empty() {
        let Node::ChunkList(chunks) = Node::decode(&raw).unwrap() else { panic!("a list") };
        let domain = opened.reader.domain_for(opened.snapshot, grant.id.into()).unwrap();
        let list: Vec<u8> = chunks.iter().flat_map(|chunk| domain.whole_chunk(chunk).unwrap()).collect();
        let mut input = Bytes::new(&list);
        while !input.is_empty() {
            let _pack = PackId::new(input.array().unwrap());
            for _ in 0..input.u32().unwrap() {
                input.u32().unwrap();
                segments.push(Secret::from_slice(input.take(48).unwrap()).unwrap());
            }
        }
    }
    Held { s: session.key, segments }
}

#[test]
fn the_keys_of_a_grant_open_what_is_granted_and_no_other_segment_of_any_pack() {
    let world = World::new();
    let source = world.root.path().join("source");
    for number in 0..40 {
        for folder in ["Trip", "private"] {
            fs::create_dir_all(source.join(folder)).unwrap();
            let seed = number + if folder == "Trip" { 0 } else { 100 };
            fs::write(source.join(folder).join(number.to_string()), noise(seed, 60_000)).unwrap();
        }
    }
    let snapshot = world.back_up(&source);
    let mut vault = world.open();
    let owner = vault.unlock(&world.owner).unwrap();
    let to = ShareTo { id: *world.guest.user_id().as_bytes(), recipient: world.guest.recipient() };
    let options = ShareOptions {
        snapshot,
        path: "Trip".into(),
        to: vec![to],
        link: None,
        expires: None,
        level: Level::FAST,
    };
    let shared = share(&mut vault, &owner, &world.device, &options, &world.around()).unwrap();
    assert!(
        shared.in_place_bytes > 0 && shared.in_place_bytes < shared.bytes,
        "both ways are taken: {shared:?}"
    );
    let granted = vault.state().grant(&shared.grant).unwrap().clone();
    let stored = vault.store().get(&ObjectKey::Statement(granted.seq), 1 << 20).unwrap();
    let sender = Sender { user: world.owner.user_id(), device_key: world.device.signing().verifying_key() };
    let means =
        Means::Addressee { id: *world.guest.user_id().as_bytes(), identity: world.guest.age(), sender };
    let local =
        LocalPaths { state: world.root.path().join("g/state"), cache: world.root.path().join("g/cache") };
    let offer = Offer::read(&stored).unwrap();
    let opened = offer.unseal(&means).unwrap().open(vault.shared_store(), local).unwrap();
    let held = held(&world, &vault, &granted.grant, &opened);

    let trip = chunks_below(&owner, &vault, snapshot, "Trip");
    let private = chunks_below(&owner, &vault, snapshot, "private");
    assert!(trip.is_disjoint(&private) && !trip.is_empty());
    let own_domain = owner.keyring().domain_keys(vault.state().snapshots()[0].domain).unwrap();
    let place =
        SessionPlace { vault: *vault.id(), epoch: granted.grant.epoch, session: granted.grant.session };
    let session = owner.keyring().open_session(&granted.grant.session_envelope, &place).unwrap();
    let of_grant = DomainKeys::of_grant(&session, granted.grant.id);

    let (mut reached, mut closed) = (BTreeSet::new(), 0);
    for (pack, bytes) in packs(&vault) {
        let table = orphans::read_table(&vault, &own_domain, pack, bytes)
            .or_else(|_| orphans::read_table(&vault, &of_grant, pack, bytes))
            .unwrap();
        let origin = Origin { vault: *vault.id(), session: table.session };
        for (segment, chunks) in table.table.segments_with_chunks() {
            let unit = vault
                .store()
                .get_range(&ObjectKey::Pack(pack), segment.offset.into(), segment.row.stored_bytes)
                .unwrap();
            let by_session = origin.segment(&held.s, segment.row.kind, table.pack_number, segment.number);
            let given = held.segments.iter().map(|key| origin.given_segment(key, segment.row.kind));
            let opened = std::iter::once(by_session).chain(given).find_map(|seal| {
                let mut unit = unit.clone();
                let body = seal.open_in_place(&mut unit).ok()?;
                let limit = raw_limit(segment.row.kind.sealed()) as usize;
                Some(Decompressor::new().unwrap().unpack(body, limit).unwrap())
            });
            let Some(raw) = opened else {
                closed += 1;
                continue;
            };
            for chunk in chunks {
                let start = chunk.offset_in_segment as usize;
                reached.insert(chunk_hash(&raw[start..start + chunk.length as usize]));
            }
        }
    }

    assert!(closed > 0, "there was something to be kept from");
    assert!(reached.is_superset(&trip), "all that was granted");
    assert!(reached.is_disjoint(&private), "and nothing else");
}

fn packs(vault: &Vault) -> Vec<(PackId, u64)> {
    let mut all = Vec::new();
    vault
        .store()
        .list(ObjectKind::Pack, &mut |key, bytes| {
            if let ObjectKey::Pack(id) = key {
                all.push((id, bytes));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}
