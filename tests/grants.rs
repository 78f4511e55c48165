//! What is given to others from a vault: exactly that, to exactly them, until it is taken back.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use tempfile::TempDir;
use vault_core::chunk::compress::Level;
use vault_core::crypto::sign::VerifyingKey;
use vault_core::error::{Error, ErrorKind};
use vault_core::format::tree::{Entry, EntryKind, Metadata};
use vault_core::id::{GrantId, IndexId, SnapshotId};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::{Body, Grant, Refusal, Role};
use vault_core::ops::Surroundings;
use vault_core::ops::compact::compact;
use vault_core::ops::grants::{
    LinkOptions, Means, Offer, Opened, Sender, ShareOptions, ShareTo, Shared, given, revoke, share,
};
use vault_core::ops::list::{ListOptions, list};
use vault_core::ops::membership::History;
use vault_core::ops::prune::prune;
use vault_core::ops::restore::restore;
use vault_core::progress::Severity;
use vault_core::store::location::Access;
use vault_core::store::{ObjectKey, ObjectKind, Store};
use vault_core::vault::LocalPaths;
use vault_core::wire::link::LinkSecret;
use vault_core::wire::ranges::{PackRanges, Ranges};
use vault_tests::deleting::{COMPACT_ALL, PRUNE_ALL};
use vault_tests::members::{Member, add_append_only_device};
use vault_tests::{Meanwhile, TestVault, TreeFixture, assert_same_tree, noise};

/// Somebody who is given things, with a machine of their own.
struct Guest {
    identity: UserIdentity,
    machine: TempDir,
}

impl Guest {
    fn new(vault: &TestVault) -> Self {
        let identity = UserIdentity::generate(vault.around().random).unwrap();
        Self { identity, machine: tempfile::tempdir().unwrap() }
    }

    fn to(&self) -> ShareTo {
        ShareTo { id: *self.identity.user_id().as_bytes(), recipient: self.identity.recipient() }
    }

    fn local(&self, grant: &Grant) -> LocalPaths {
        let below = self.machine.path().join(grant.id.to_hex());
        LocalPaths { state: below.join("state"), cache: below.join("cache") }
    }

    /// Opens a grant that comes from the owner of the vault.
    fn open(&self, vault: &TestVault, offer: &Offer) -> Result<Opened, Error> {
        self.open_from(vault, offer, &vault.device)
    }

    fn open_from(&self, vault: &TestVault, offer: &Offer, device: &DeviceKeys) -> Result<Opened, Error> {
        let sender = Sender { user: vault.identity.user_id(), device_key: device.signing().verifying_key() };
        let id = *self.identity.user_id().as_bytes();
        let means = Means::Addressee { id, identity: self.identity.age(), sender };
        offer.unseal(&means)?.open(store_of(vault), self.local(offer.grant()))
    }

    /// Restores all of a grant.
    fn restore(&self, vault: &TestVault, offer: &Offer, target: &Path) -> Result<(), Error> {
        restore_opened(vault, &self.open(vault, offer)?, target)
    }
}

fn restore_opened(vault: &TestVault, opened: &Opened, target: &Path) -> Result<(), Error> {
    let options = TestVault::restore_options(opened.snapshot, target);
    let summary = restore(&opened.vault, &opened.reader, &options, &vault.around())?;
    assert_eq!((summary.failed_entries, summary.failed_attributes), (0, 0));
    Ok(())
}

fn store_of(vault: &TestVault) -> Arc<dyn Store> {
    vault.location().open(&Access::local()).unwrap().store.into()
}

fn options<'o>(snapshot: SnapshotId, path: &str, to: Vec<ShareTo>) -> ShareOptions<'o> {
    ShareOptions { snapshot, path: path.into(), to, link: None, expires: None, level: Level::FAST }
}

fn share_as(vault: &TestVault, options: &ShareOptions<'_>) -> Result<Shared, Error> {
    let mut open = vault.open()?;
    let reader = open.unlock(&vault.identity)?;
    share(&mut open, &reader, &vault.device, options, &vault.around())
}

fn offer_of(vault: &TestVault, grant: &GrantId) -> Offer {
    let open = vault.open().unwrap();
    let seq = open.state().grant(grant).unwrap().seq;
    Offer::read(&open.store().get(&ObjectKey::Statement(seq), 1 << 20).unwrap()).unwrap()
}

/// Shares a path with a guest, and returns what the guest is offered.
fn give(vault: &TestVault, snapshot: SnapshotId, path: &str, guest: &Guest) -> (Shared, Offer) {
    let shared = share_as(vault, &options(snapshot, path, vec![guest.to()])).unwrap();
    let offer = offer_of(vault, &shared.grant);
    (shared, offer)
}

fn source() -> TreeFixture {
    let tree = TreeFixture::new();
    for number in 0..30 {
        tree.file(format!("Trip/day {}/{number}", number % 3), noise(number, 6_000));
        tree.file(format!("private/{number}"), noise(500 + number, 6_000));
    }
    tree.file("Trip/film", noise(777, 5 << 20)).file("Trip/empty", b"");
    tree.symlink("Trip/best", "day 1/1").hard_link("Trip/again", "Trip/day 0/0");
    tree.sparse("Trip/sparse", 1 << 20, &[(500_000, b"in the middle")]);
    tree
}

/// Every entry of what a guest was given.
fn entries(opened: &Opened) -> Vec<(String, Entry)> {
    let mut all = Vec::new();
    let options = ListOptions { snapshot: opened.snapshot, path: "".into(), recursive: true };
    list(&opened.vault, &opened.reader, &options, &mut |path, entry| {
        all.push((path.display().to_string(), entry.clone()));
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn a_folder_is_given_exactly_as_it_is() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);

    let (shared, offer) = give(&vault, snapshot, "Trip", &guest);

    let target = tempfile::tempdir().unwrap();
    guest.restore(&vault, &offer, target.path()).unwrap();
    assert_same_tree(&tree.at("Trip"), target.path());
    assert_eq!(shared.files, 34);
    vault.assert_clean();
}

#[test]
fn a_whole_snapshot_and_a_single_file_can_be_given() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);

    let (whole, all) = give(&vault, snapshot, "", &guest);
    let (_, one) = give(&vault, snapshot, "Trip/film", &guest);

    let target = tempfile::tempdir().unwrap();
    guest.restore(&vault, &all, target.path()).unwrap();
    assert_same_tree(&tree.path(), target.path());
    assert_eq!(whole.in_place_bytes, (60 * 6_000) + (5 << 20) + (1 << 20) - hole_bytes(&tree));
    let film = tempfile::tempdir().unwrap();
    guest.restore(&vault, &one, film.path()).unwrap();
    assert_eq!(fs::read(film.path().join("film")).unwrap(), fs::read(tree.at("Trip/film")).unwrap());
    assert_eq!(fs::read_dir(film.path()).unwrap().count(), 1);
}

/// How many bytes of the sparse file the file system keeps in holes.
fn hole_bytes(tree: &TreeFixture) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(tree.at("Trip/sparse")).unwrap();
    metadata.size().saturating_sub(metadata.blocks() * 512)
}

#[test]
fn nothing_of_the_machine_or_of_what_is_outside_is_given() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let has_xattrs = tree.xattr("Trip/film", "user.secret", b"where I was");
    tree.fifo("Trip/pipe").mode("Trip/day 1", 0o2775);
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);

    let (_, offer) = give(&vault, snapshot, "Trip", &guest);

    let opened = guest.open(&vault, &offer).unwrap();
    let given = entries(&opened);
    assert!(has_xattrs && given.len() > 30);
    for (path, entry) in &given {
        let Metadata { mode, mtime, .. } = entry.metadata;
        assert_eq!(entry.metadata, Metadata { mode: mode & 0o777, mtime, ..Metadata::default() }, "{path}");
        assert!(!matches!(entry.kind, EntryKind::Fifo), "{path}");
        assert!(entry.link_group.is_none_or(|group| group <= 2), "groups are numbered anew");
    }
    let told = vault.progress.notices();
    let left_out = "is not given: only folders, files and symbolic links are";
    assert_eq!(told, [(Severity::Note, "pipe".into(), left_out.to_owned())]);
    let body = opened.reader.body(&opened.vault.state().snapshots()[0]).unwrap();
    assert_eq!((body.host.as_str(), body.root_path.as_slice(), body.tags.len()), ("", &b"/Trip"[..], 0));
}

#[test]
fn a_grant_is_of_no_use_to_anybody_else() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let (guest, other) = (Guest::new(&vault), Guest::new(&vault));
    let (_, offer) = give(&vault, snapshot, "Trip", &guest);

    let not_theirs = other.open(&vault, &offer).err().unwrap();
    assert!(matches!(not_theirs, Error::NoSuchGrant { .. }), "{not_theirs:?}");

    // They say that it is theirs: the envelope does not open.
    let mut stolen = offer.grant().clone();
    stolen.id = GrantId::new([9; 16]);
    stolen.to[0].id = *other.identity.user_id().as_bytes();
    vault.append(Body::Grant(stolen));
    let error = other.open(&vault, &offer_of(&vault, &GrantId::new([9; 16]))).err().unwrap();
    assert!(matches!(error, Error::GrantEnvelope(_)), "{error:?}");
}

#[test]
fn a_grant_from_somebody_else_than_it_says_is_refused() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let (guest, mallory) = (Guest::new(&vault), Member::join(&vault, Role::Editor, History::Full));
    let (_, offer) = give(&vault, snapshot, "Trip", &guest);

    // Another's key does not verify it.
    let forged = guest.open_from(&vault, &offer, &mallory.device).err().unwrap();
    assert!(matches!(forged, Error::GrantForged { .. }) && forged.kind() == ErrorKind::Integrity);

    // Mallory says the same in her own name: what stands in the envelope tells whose it is.
    let mut copied = offer.grant().clone();
    copied.id = GrantId::new([8; 16]);
    let again = append_as(&vault, &mallory, copied.clone());
    let error = guest.open_from(&vault, &again, &mallory.device).err().unwrap();
    assert!(matches!(error, Error::GrantEnvelope(_)) && error.kind() == ErrorKind::Integrity, "{error:?}");
    // Not even under the same id: that is used up.
    copied.id = offer.grant().id;
    let mut open = vault.open().unwrap();
    open.follow().unwrap();
    let payload =
        open.state().draft(mallory.device.device_id(), vault.around().clock.now(), Body::Grant(copied));
    let stored = vault_core::log::sign(&payload, mallory.device.signing()).unwrap();
    assert!(open.state().verify(&stored).is_err());
}

fn append_as(vault: &TestVault, member: &Member<'_>, grant: Grant) -> Offer {
    let id = grant.id;
    let open = vault.open().unwrap();
    let state = open.state();
    let payload = state.draft(member.device.device_id(), vault.around().clock.now(), Body::Grant(grant));
    let stored = vault_core::log::sign(&payload, member.device.signing()).unwrap();
    state.verify(&stored).unwrap();
    let _ = open.store().put_new(&ObjectKey::Statement(state.next_seq()), &stored).unwrap();
    offer_of(vault, &id)
}

#[test]
fn every_byte_of_a_statement_is_signed() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);
    let (shared, _) = give(&vault, snapshot, "Trip", &guest);
    let open = vault.open().unwrap();
    let seq = open.state().grant(&shared.grant).unwrap().seq;
    let stored = open.store().get(&ObjectKey::Statement(seq), 1 << 20).unwrap();

    for at in (0..stored.len()).step_by(97) {
        let mut damaged = stored.clone();
        damaged[at] ^= 1;
        let opened = Offer::read(&damaged).and_then(|offer| guest.open(&vault, &offer));
        assert!(opened.is_err(), "byte {at}");
    }
}

#[test]
fn a_grant_survives_its_snapshot_and_nothing_of_it_survives_being_taken_back() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);
    let (shared, offer) = give(&vault, snapshot, "Trip", &guest);
    tree.file("private/new", noise(9_000, 50_000));
    vault.backup(&tree.at("private"));
    vault.forget(&[snapshot]);

    delete_all(&vault);
    let target = tempfile::tempdir().unwrap();
    guest.restore(&vault, &offer, target.path()).unwrap();
    assert_same_tree(&tree.at("Trip"), target.path());
    vault.assert_clean();

    let before = stored_bytes(&vault);
    assert!(revoke(&mut vault.open().unwrap(), &vault.device, &shared.grant, &vault.around()).unwrap());
    delete_all(&vault);
    assert!(stored_bytes(&vault) + (5 << 20) < before, "the film is gone");
    assert!(guest.restore(&vault, &offer, tempfile::tempdir().unwrap().path()).is_err());
    let left = index_objects(&vault);
    assert!(
        !left.contains(&offer.grant().ranges) && !offer.grant().indexes.iter().any(|id| left.contains(id))
    );
    vault.assert_clean();
}

/// Deletes and repacks whatever may go.
fn delete_all(vault: &TestVault) {
    let mut open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    compact(&mut open, &reader, &vault.device, &COMPACT_ALL, &vault.around()).unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    prune(&mut open, &reader, &vault.device, &PRUNE_ALL, &vault.around()).unwrap();
}

fn stored_bytes(vault: &TestVault) -> u64 {
    let mut all = 0;
    store_of(vault)
        .list(ObjectKind::Pack, &mut |_, bytes| {
            all += bytes;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    all
}

fn index_objects(vault: &TestVault) -> Vec<IndexId> {
    let mut all = Vec::new();
    store_of(vault)
        .list(ObjectKind::Index, &mut |key, _| {
            if let ObjectKey::Index(id) = key {
                all.push(id);
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    all
}

#[test]
fn what_has_expired_is_kept_no_longer() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);
    let now = u64::try_from(vault.around().clock.now().seconds).unwrap();
    let past = ShareOptions { expires: Some(now - 1), ..options(snapshot, "Trip", vec![guest.to()]) };
    share_as(&vault, &past).unwrap();
    let future = ShareOptions { expires: Some(now + 10), ..options(snapshot, "Trip", vec![guest.to()]) };
    let kept = offer_of(&vault, &share_as(&vault, &future).unwrap().grant);
    vault.forget(&[snapshot]);
    let before = stored_bytes(&vault);

    delete_all(&vault);

    assert!(stored_bytes(&vault) < before);
    guest.restore(&vault, &kept, tempfile::tempdir().unwrap().path()).unwrap();
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let all = given(&open, &reader, &vault.around()).unwrap();
    assert_eq!(all.iter().map(|info| info.holds).collect::<Vec<_>>(), [false, true]);
    let what = all[1].what.as_ref().unwrap();
    assert_eq!((what.name.as_slice(), what.files), (&b"Trip"[..], 34));
}

#[test]
fn what_is_given_while_others_delete_it_is_kept() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    tree.file("other/file", noise(4_000, 9_000));
    vault.backup(&tree.at("other"));
    let guest = Guest::new(&vault);
    let (surveyed, was_surveyed) = mpsc::channel();
    let (granted, was_granted) = mpsc::channel::<()>();

    let shared = thread::scope(|scope| {
        // While the grant is made, its snapshot is forgotten, and a prune finds that nothing needs the packs.
        let vault = &vault;
        let begin_to_delete = Meanwhile::once(move || {
            vault.forget(&[snapshot]);
            scope.spawn(move || {
                let wait = Meanwhile::once(move || {
                    surveyed.send(()).unwrap();
                    was_granted.recv().unwrap();
                });
                let mut open = vault.open().unwrap();
                let reader = open.unlock(&vault.identity).unwrap();
                let around = Surroundings { progress: &wait, ..vault.around() };
                prune(&mut open, &reader, &vault.device, &PRUNE_ALL, &around).unwrap();
            });
            was_surveyed.recv().unwrap();
        });
        let mut open = vault.open().unwrap();
        let reader = open.unlock(&vault.identity).unwrap();
        let around = Surroundings { progress: &begin_to_delete, ..vault.around() };
        let options = options(snapshot, "Trip", vec![guest.to()]);
        let shared = share(&mut open, &reader, &vault.device, &options, &around).unwrap();
        // The statement stands before the prune's: that one is made again, and keeps what is given.
        granted.send(()).unwrap();
        shared
    });

    let target = tempfile::tempdir().unwrap();
    guest.restore(&vault, &offer_of(&vault, &shared.grant), target.path()).unwrap();
    assert_same_tree(&tree.at("Trip"), target.path());
    vault.assert_clean();
}

#[test]
fn little_is_stored_for_what_lies_together() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    for number in 0..8 {
        tree.file(format!("Trip/{number}"), noise(number, 8 << 20));
    }
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);

    let (shared, offer) = give(&vault, snapshot, "Trip", &guest);

    assert_eq!((shared.bytes, shared.in_place_bytes), (64 << 20, 64 << 20));
    assert!(shared.stored_bytes < 100_000, "{}", shared.stored_bytes);
    let ranges = ranges_of(&vault, &offer);
    assert!(
        ranges.packs.iter().map(|pack| pack.parts.len()).sum::<usize>() < 20,
        "ranges side by side are one"
    );
}

fn ranges_of(vault: &TestVault, offer: &Offer) -> Ranges {
    let object = store_of(vault).get(&ObjectKey::Index(offer.grant().ranges), 1 << 20).unwrap();
    Ranges::decode(&object).unwrap()
}

#[test]
fn a_guest_asks_for_no_byte_that_is_not_listed() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);
    let (_, offer) = give(&vault, snapshot, "Trip", &guest);
    let listed =
        Listed { inner: store_of(&vault), ranges: ranges_of(&vault, &offer), grant: offer.grant().clone() };
    let sender =
        Sender { user: vault.identity.user_id(), device_key: vault.device.signing().verifying_key() };
    let id = *guest.identity.user_id().as_bytes();
    let means = Means::Addressee { id, identity: guest.identity.age(), sender };

    let opened = offer.unseal(&means).unwrap().open(Arc::new(listed), guest.local(offer.grant())).unwrap();

    let target = tempfile::tempdir().unwrap();
    restore_opened(&vault, &opened, target.path()).unwrap();
    assert_same_tree(&tree.at("Trip"), target.path());
}

/// A store that keeps to a list of ranges, as a server does.
struct Listed {
    inner: Arc<dyn Store>,
    ranges: Ranges,
    grant: Grant,
}

impl Store for Listed {
    fn put_new(
        &self,
        key: &ObjectKey,
        _: &[u8],
    ) -> Result<vault_core::store::Put, vault_core::store::StoreError> {
        panic!("{key} is written")
    }
    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, vault_core::store::StoreError> {
        let ObjectKey::Index(id) = key else { panic!("{key} is read as a whole") };
        assert!(self.grant.indexes.contains(id), "{key}");
        self.inner.get(key, limit)
    }
    fn get_range(
        &self,
        key: &ObjectKey,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, vault_core::store::StoreError> {
        let ObjectKey::Pack(pack) = key else { panic!("{key} is read in part") };
        assert!(self.ranges.allow(pack, offset..offset + u64::from(length)), "{key} {offset} {length}");
        self.inner.get_range(key, offset, length)
    }
    fn size(&self, key: &ObjectKey) -> Result<u64, vault_core::store::StoreError> {
        assert!(matches!(key, ObjectKey::Index(_)), "{key}");
        self.inner.size(key)
    }
    fn stored_at(
        &self,
        key: &ObjectKey,
    ) -> Result<vault_core::time::Timestamp, vault_core::store::StoreError> {
        panic!("{key} is asked for its age")
    }
    fn list(
        &self,
        kind: ObjectKind,
        _: &mut dyn FnMut(ObjectKey, u64) -> std::ops::ControlFlow<()>,
    ) -> Result<(), vault_core::store::StoreError> {
        panic!("{kind:?} are listed")
    }
    fn remove(&self, key: &ObjectKey) -> Result<vault_core::store::Removal, vault_core::store::StoreError> {
        panic!("{key} is removed")
    }
    fn description(&self) -> String {
        "a list".to_owned()
    }
}

#[test]
fn whoever_has_the_link_and_the_passphrase_has_the_grant() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let around = vault.around();
    let [secret, other] = [1, 2].map(|_| LinkSecret::generate(around.random).unwrap());
    let [right, wrong] = ["right", "wrong"].map(|text| vault_core::keys::SecretString::from(text.to_owned()));
    let link = LinkOptions { secret: &secret, downloads: Some(3), passphrase: Some((&right, Some(2))) };
    let shared =
        share_as(&vault, &ShareOptions { link: Some(link), ..options(snapshot, "Trip", vec![]) }).unwrap();
    let offer = offer_of(&vault, &shared.grant);
    let machine = tempfile::tempdir().unwrap();
    let open_with = |secret, passphrase| {
        let local = LocalPaths { state: machine.path().join("state"), cache: machine.path().join("cache") };
        offer.unseal(&Means::Link { secret, passphrase })?.open(store_of(&vault), local)
    };

    let terms = offer.grant().link.as_ref().unwrap();
    assert_eq!((terms.token_hash, terms.downloads), (secret.token(&shared.grant).hash(), Some(3)));
    assert_eq!(open_with(&secret, None).err().unwrap().kind(), ErrorKind::Permission);
    assert_eq!(open_with(&secret, Some(&wrong)).err().unwrap().kind(), ErrorKind::Permission);
    assert_eq!(open_with(&other, Some(&right)).err().unwrap().kind(), ErrorKind::Integrity);
    let target = tempfile::tempdir().unwrap();
    restore_opened(&vault, &open_with(&secret, Some(&right)).unwrap(), target.path()).unwrap();
    assert_same_tree(&tree.at("Trip"), target.path());
}

#[test]
fn who_may_not_change_things_gives_nothing_away() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let reader = Member::join(&vault, Role::Reader, History::Full);
    let editor = Member::join(&vault, Role::Editor, History::Full);
    let nas = add_append_only_device(&vault);
    let guest = Guest::new(&vault);
    let give = |member: &Member<'_>, device: &DeviceKeys| {
        let mut open = member.open();
        let reader = member.reader().unwrap();
        share(&mut open, &reader, device, &options(snapshot, "Trip", vec![guest.to()]), &vault.around())
    };

    assert!(matches!(give(&reader, &reader.device), Err(Error::DeviceUnknown { .. } | Error::NoRight(_))));
    let refused = give(&editor, &nas);
    assert!(matches!(refused, Err(Error::NoRight(Refusal::AppendOnlyChanges))), "{refused:?}");
    let shared = give(&editor, &editor.device).unwrap();
    let offer = offer_of(&vault, &shared.grant);
    let sender = Sender { user: editor.id(), device_key: editor.device.signing().verifying_key() };
    let id = *guest.identity.user_id().as_bytes();
    let means = Means::Addressee { id, identity: guest.identity.age(), sender };
    let opened = offer.unseal(&means).unwrap().open(store_of(&vault), guest.local(offer.grant()));
    assert!(opened.is_ok());
    // The owner takes back what an editor gave.
    assert!(revoke(&mut vault.open().unwrap(), &vault.device, &shared.grant, &vault.around()).unwrap());
}

#[test]
fn damage_to_what_is_given_is_found_and_never_restored() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);
    let (_, offer) = give(&vault, snapshot, "Trip", &guest);
    let own: Vec<_> = ranges_of(&vault, &offer).packs.into_iter().filter(PackRanges::is_whole).collect();
    let objects = own.iter().map(|pack| ObjectKey::Pack(pack.pack));
    let objects: Vec<_> =
        objects.chain([offer.grant().ranges, offer.grant().indexes[0]].map(ObjectKey::Index)).collect();

    for key in objects {
        let path = vault.root().join(key.path());
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        let at = damaged.len() / 2;
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();

        let findings = vault.try_check().unwrap().findings;

        assert!(findings.iter().any(|finding| finding.object == Some(key)), "{key}: {findings:?}");
        fs::write(&path, whole).unwrap();
    }
    vault.assert_clean();
}

#[test]
fn keys_of_others_are_refused() {
    let key = VerifyingKey([3; 32]);
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let guest = Guest::new(&vault);
    let (_, offer) = give(&vault, snapshot, "Trip", &guest);
    let sender = Sender { user: vault.identity.user_id(), device_key: key };
    let id = *guest.identity.user_id().as_bytes();
    let means = Means::Addressee { id, identity: guest.identity.age(), sender };

    let refused = offer.unseal(&means).err().unwrap();

    assert!(matches!(refused, Error::GrantForged { .. }), "{refused:?}");
}
