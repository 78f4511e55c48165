//! Several people in one vault: what each can read, and from when on; and what is over when one is removed.

use std::fs;

use vault_core::chunk::compress::{Compressor, Level};
use vault_core::crypto::hash::{chunk_hash, chunk_id};
use vault_core::error::{Error, ErrorKind};
use vault_core::format::pack::PackHeader;
use vault_core::format::table::SegmentKind;
use vault_core::id::{Epoch, IndexId, SessionId, SnapshotId};
use vault_core::keys::envelope::{DomainKeys, SessionPlace};
use vault_core::keys::keyring::KeyringError;
use vault_core::keys::recipient::AnyRecipient;
use vault_core::log::{Body, Commit, Refusal, Role, sign};
use vault_core::ops::Surroundings;
use vault_core::ops::backup::backup;
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::compact::{CompactOptions, compact};
use vault_core::ops::enroll::enroll;
use vault_core::ops::membership::{self, History};
use vault_core::ops::prune::prune;
use vault_core::ops::snapshots::snapshots;
use vault_core::store::{ObjectKey, ObjectKind, Put};
use vault_core::vault::packer::{Gatherer, Packer};
use vault_core::vault::session::Session;
use vault_tests::damage::files_below;
use vault_tests::deleting::{COMPACT_ALL, PRUNE_ALL};
use vault_tests::members::Member;
use vault_tests::{Meanwhile, TestVault, TreeFixture, assert_same_tree, noise};

fn source() -> TreeFixture {
    let tree = TreeFixture::new();
    for number in 0..40 {
        tree.file(format!("{}/{number}", number % 4), noise(number, 5_000));
    }
    tree.file("large", noise(777, 3 << 20));
    tree
}

/// Whether a member restores exactly what is in the source.
fn assert_restores(member: &Member<'_>, snapshot: SnapshotId, tree: &TreeFixture) {
    let target = tempfile::tempdir().unwrap();
    let summary = member.restore(snapshot, target.path()).unwrap();
    assert_eq!((summary.failed_entries, summary.failed_attributes), (0, 0));
    assert_same_tree(&tree.path(), target.path());
}

#[test]
fn a_member_with_the_full_history_reads_everything_and_one_without_what_comes_after() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let before = vault.backup(&tree.path()).snapshot;

    let all = Member::join(&vault, Role::Reader, History::Full);
    let late = Member::join(&vault, Role::Reader, History::FromNow);
    tree.file("new", noise(1_000, 9_000));
    let after = vault.backup(&tree.path()).snapshot;

    assert_restores(&all, after, &tree);
    assert_restores(&late, after, &tree);
    let target = tempfile::tempdir().unwrap();
    assert!(all.restore(before, target.path()).is_ok());
    let refused = late.restore(before, tempfile::tempdir().unwrap().path());
    assert!(matches!(refused, Err(Error::BeforeMembership { snapshot }) if snapshot == before));
    let reader = late.reader().unwrap();
    assert!(reader.faults().is_empty(), "{:?}", reader.faults());
    let listed: Vec<_> = snapshots(&late.open(), &reader).unwrap().iter().map(|info| info.id).collect();
    assert_eq!(listed, [after]);
    let options = CheckOptions { read_data: true, ..CheckOptions::default() };
    let checked = check(&late.open(), &reader, options, &vault.around()).unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    assert_eq!((checked.snapshots, checked.orphans), (1, 0));
    vault.assert_clean();
}

#[test]
fn what_a_late_member_could_not_read_is_stored_once_more_and_only_once() {
    let (vault, tree) = (TestVault::new(), source());
    vault.backup(&tree.path());
    let _late = Member::join(&vault, Role::Reader, History::FromNow);

    let first = vault.backup(&tree.path());
    let second = vault.backup(&tree.path());

    assert!(first.counts.stored_bytes > 3 << 20, "{:?}", first.counts);
    assert!(second.counts.stored_bytes < 1 << 20, "{:?}", second.counts);
}

#[test]
fn whoever_joins_before_anything_is_backed_up_needs_no_new_epoch() {
    let vault = TestVault::new();

    let late = Member::stranger(&vault);
    let added = late.admit(Role::Reader, History::FromNow).unwrap().unwrap();

    assert!(!added.begins_epoch && added.reads_from == Epoch::FIRST);
    assert_eq!(vault.open().unwrap().state().epoch(), Some(Epoch::FIRST));
}

#[test]
fn what_is_backed_up_while_somebody_is_added_is_from_before_them() {
    let (vault, tree) = (TestVault::new(), source());
    let late = Member::stranger(&vault);
    let mut open = vault.open().unwrap();
    let before = vault.backup(&tree.path()).snapshot;

    // Decided while the vault was empty, appended when it no longer is.
    let added = late.admit_through(&mut open, Role::Reader, History::FromNow).unwrap().unwrap();

    assert!(added.begins_epoch && added.reads_from == Epoch(2), "{added:?}");
    let refused = late.restore(before, tempfile::tempdir().unwrap().path());
    assert!(matches!(refused, Err(Error::BeforeMembership { .. })), "{refused:?}");
}

#[test]
fn the_full_history_can_be_given_later_and_a_role_changed_and_nothing_is_done_twice() {
    let (vault, tree) = (TestVault::new(), source());
    let before = vault.backup(&tree.path()).snapshot;
    let late = Member::join(&vault, Role::Reader, History::FromNow);

    let more = late.admit(Role::Reader, History::Full).unwrap().unwrap();
    let again = late.admit(Role::Reader, History::Full).unwrap();
    let owner = late.admit(Role::Owner, History::FromNow).unwrap().unwrap();

    assert!(more.was_member && more.reads_from == Epoch::FIRST && again.is_none());
    assert!(owner.was_member && !owner.begins_epoch);
    assert_restores(&late, before, &tree);
}

#[test]
fn who_is_no_owner_changes_no_membership_and_stores_nothing_for_it() {
    let vault = TestVault::new();
    let editor = Member::join(&vault, Role::Editor, History::Full);
    let envelopes = || files_below(&vault.root().join("epochs")).len();
    let before = envelopes();

    let removed =
        membership::remove(&mut editor.open(), &editor.identity, &vault.identity.user_id(), &vault.around());
    let rekeyed = membership::rekey(&mut editor.open(), &editor.identity, &vault.around());

    assert_eq!(removed.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(rekeyed.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(envelopes(), before);
}

#[test]
fn a_reader_is_told_before_anything_is_read_that_they_cannot_back_up() {
    let (vault, tree) = (TestVault::new(), source());
    let member = Member::join(&vault, Role::Editor, History::Full);
    member.admit(Role::Reader, History::Full).unwrap().unwrap();
    let reader = Member::join(&vault, Role::Reader, History::Full);

    let before = files_below(&vault.root());
    let refused = member.backup(&tree.path());
    let not_registered = enroll(&mut reader.open(), &reader.identity, &reader.device, &vault.around());

    assert!(matches!(refused, Err(Error::NoRight(Refusal::ReaderCommits))), "{refused:?}");
    assert!(matches!(not_registered, Err(Error::NoRight(Refusal::ReaderCommits))));
    assert_eq!(files_below(&vault.root()), before);
}

/// What a removed member, with all keys that they ever had, can open of what came after: every session, table and index is tried.
#[test]
fn who_was_removed_opens_nothing_that_is_stored_afterwards() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let before = vault.backup(&tree.path()).snapshot;
    let removed = Member::join(&vault, Role::Editor, History::Full);
    let (old_reader, old_keys) = (removed.reader().unwrap(), removed.keyring());
    let old_objects = files_below(&vault.root());

    let outcome =
        membership::remove(&mut vault.open().unwrap(), &vault.identity, &removed.id(), &vault.around());
    let outcome = outcome.unwrap().unwrap();
    tree.file("secret", noise(2_000, 200_000));
    let after = vault.backup(&tree.path()).snapshot;

    assert_eq!((outcome.snapshots_read, outcome.devices, outcome.epoch), (1, 1, Epoch(2)));
    assert!(matches!(removed.reader(), Err(Error::NotAMember { .. })));
    assert!(removed.backup(&tree.path()).is_err());
    let open = vault.open().unwrap();
    let record = open.state().snapshot_by_id(&after).unwrap();
    assert!(matches!(old_reader.body(record), Err(Error::Damaged { .. })));
    let (mut packs, mut envelopes) = (0, 0);
    for path in files_below(&vault.root()).iter().filter(|path| !old_objects.contains(path)) {
        let name = path.strip_prefix(vault.root()).unwrap().to_str().unwrap();
        let bytes = fs::read(path).unwrap();
        match ObjectKey::parse(name).map(|key| key.kind()) {
            Some(ObjectKind::Pack) => {
                packs += 1;
                let header = PackHeader::decode(&bytes).unwrap();
                let place =
                    SessionPlace { vault: header.vault, epoch: header.epoch, session: header.session };
                let opened = old_keys.open_session(&header.envelope, &place);
                assert!(matches!(opened, Err(KeyringError::UnknownEpoch { epoch: Epoch(2) })));
            }
            Some(ObjectKind::Envelope) => {
                envelopes += 1;
                let age = removed.identity.age();
                assert!(vault_core::keys::age_file::open_with(&bytes, &[age]).is_err(), "{name}");
                let device = removed.device.age();
                assert!(vault_core::keys::age_file::open_with(&bytes, &[device]).is_err(), "{name}");
            }
            _ => {}
        }
    }
    assert!(packs > 0 && envelopes == 2, "{packs} {envelopes}");
    vault.restore(before);
    vault.restore(after);
    vault.assert_clean();
}

#[test]
fn owners_who_begin_an_epoch_at_the_same_time_leave_a_vault_that_opens() {
    let (vault, tree) = (TestVault::new(), source());
    let saved = vault.backup(&tree.path()).snapshot;
    let other = Member::join(&vault, Role::Owner, History::Full);
    let reader = Member::join(&vault, Role::Reader, History::Full);

    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    membership::rekey(&mut vault.open().unwrap(), &vault.identity, &vault.around()).unwrap();
                }
            });
            scope.spawn(|| {
                for _ in 0..3 {
                    membership::rekey(&mut other.open(), &other.identity, &vault.around()).unwrap();
                }
            });
        }
    });

    assert_eq!(vault.open().unwrap().state().epoch(), Some(Epoch(13)));
    for member in [&other, &reader] {
        assert!(member.restore(saved, tempfile::tempdir().unwrap().path()).is_ok());
    }
    let after = vault.backup(&tree.path()).snapshot;
    assert_restores(&reader, after, &tree);
    vault.assert_clean();
}

#[test]
fn a_backup_goes_on_in_the_epoch_that_begins_while_it_runs() {
    for history in [None, Some(History::FromNow)] {
        let (vault, tree) = (TestVault::with_small_chunks(), source());
        vault.backup(&tree.path());
        tree.file("more", noise(3_000, 400_000));
        let member = Member::stranger(&vault);

        let change = || match history {
            None => {
                membership::rekey(&mut vault.open().unwrap(), &vault.identity, &vault.around()).unwrap();
            }
            Some(history) => drop(member.admit(Role::Reader, history).unwrap()),
        };
        let progress = Meanwhile::once(change);
        let around = Surroundings { progress: &progress, ..vault.around() };
        let options = TestVault::options(&[&tree.path()]);
        let saved = backup(&mut vault.open().unwrap(), &vault.device, &options, &around).unwrap();

        let open = vault.open().unwrap();
        assert_eq!(open.state().snapshot_by_id(&saved.snapshot).unwrap().commit.epoch, Epoch(2));
        if history.is_some() {
            assert_restores(&member, saved.snapshot, &tree);
        }
        let restored = vault.restore(saved.snapshot);
        assert_same_tree(&tree.path(), restored.path());
        vault.assert_clean();
    }
}

#[test]
fn compacting_and_tidying_bring_nothing_old_within_reach_of_a_late_member() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    for number in 0..12 {
        tree.file("changing", noise(4_000 + number, 60_000));
        vault.backup(&tree.path());
    }
    let late = Member::join(&vault, Role::Reader, History::FromNow);
    let mut open = vault.open().unwrap();
    let old = open.state().snapshots()[0].id;
    vault.forget(&open.state().snapshots()[1..11].iter().map(|one| one.id).collect::<Vec<_>>());
    open.follow().unwrap();

    let reader = open.unlock(&vault.identity).unwrap();
    let done = compact(&mut open, &reader, &vault.device, &COMPACT_ALL, &vault.around()).unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    prune(&mut open, &reader, &vault.device, &PRUNE_ALL, &vault.around()).unwrap();

    assert!(done.repacked_packs > 1, "{done:?}");
    vault.restore(old);
    vault.assert_clean();
    assert!(late.reader().unwrap().faults().is_empty());
    let keys = late.keyring();
    let mut packs = 0;
    for path in files_below(&vault.root().join("packs")) {
        packs += 1;
        let header = PackHeader::decode(&fs::read(path).unwrap()).unwrap();
        let place = SessionPlace { vault: header.vault, epoch: header.epoch, session: header.session };
        assert!(keys.open_session(&header.envelope, &place).is_err());
    }
    assert!(packs > 0);
}

#[test]
fn rewriting_leaves_nothing_that_the_keys_of_a_removed_member_open() {
    let (vault, tree) = (TestVault::with_small_chunks(), source());
    let saved = vault.backup(&tree.path()).snapshot;
    let removed = Member::join(&vault, Role::Reader, History::Full);
    let old_keys = removed.keyring();
    let mut open = vault.open().unwrap();
    membership::remove(&mut open, &vault.identity, &removed.id(), &vault.around()).unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let before = membership::report(open.state(), &reader);

    let options = CompactOptions { rewrite: true, ..COMPACT_ALL };
    compact(&mut open, &reader, &vault.device, &options, &vault.around()).unwrap();

    let reader = open.unlock(&vault.identity).unwrap();
    let after = membership::report(open.state(), &reader);
    let (me, gone) = (vault.identity.user_id(), removed.id());
    assert_eq!((before[0].epoch, &before[0].members, &before[0].others), (Epoch(1), &vec![me], &vec![gone]));
    assert!(before[0].packs > 0 && before[1].packs == 0);
    let [only] = &after[..] else { panic!("{after:?}") };
    assert!(only.epoch == Epoch(2) && only.packs > 0 && only.others.is_empty(), "{only:?}");
    for path in files_below(&vault.root().join("packs")) {
        let header = PackHeader::decode(&fs::read(path).unwrap()).unwrap();
        let place = SessionPlace { vault: header.vault, epoch: header.epoch, session: header.session };
        assert!(old_keys.open_session(&header.envelope, &place).is_err());
    }
    let restored = vault.restore(saved);
    assert_same_tree(&tree.path(), restored.path());
    vault.assert_clean();
}

/// A member has the keys of every domain: they can make a pack that says it holds a chunk of another's, and does not.
struct Poison {
    index: IndexId,
    session: Session,
}

impl Poison {
    /// Stores garbage under the id of the only chunk of a file with that content, and an index object that names it.
    fn store(by: &Member<'_>, victim: &TestVault, content: &[u8]) -> Self {
        let (vault, random) = (by.open(), victim.around().random);
        let domain = victim.identity.user_id().into();
        let keyring = by.keyring();
        let writer = DomainKeys::from_member(keyring.member().unwrap(), vault.id(), domain);
        let id = chunk_id(&writer.k_id, &chunk_hash(content));
        let record = vault.state().epochs().last().unwrap();
        let session = SessionId::new(random.bytes().unwrap());
        let place = SessionPlace { vault: *vault.id(), epoch: record.epoch, session };
        let recipient = AnyRecipient::parse(&record.recipient).unwrap();
        let session = Session::begin(place, by.device.device_id(), writer, &recipient, random).unwrap();
        let (full_in, full) = crossbeam_channel::bounded(1);
        let packer = Packer::new(&session, random, full_in);
        let (mut gatherer, mut compressor) =
            (Gatherer::new(SegmentKind::Data), Compressor::new(Level::DEFAULT).unwrap());
        gatherer.push(id, &noise(666, content.len()), &mut compressor, &packer).unwrap();
        gatherer.flush(&mut compressor, &packer).unwrap();
        packer.finish().unwrap();
        drop(packer);
        session.store_pack(vault.store(), full.recv().unwrap()).unwrap();
        let index = session.write_indexes(vault.store(), random).unwrap()[0].id;
        Self { index, session }
    }

    /// Lets a commit of theirs name that index object.
    fn commit(&self, by: &Member<'_>, victim: &TestVault) {
        let vault = by.open();
        let commit = Commit {
            epoch: self.session.epoch(),
            session: self.session.id(),
            session_envelope: self.session.envelope().to_vec(),
            number: 0,
            body: self.session.seal_commit(b"nothing", 0, victim.around().random).unwrap(),
            indexes: vec![self.index],
            partial: false,
            replaces: Vec::new(),
        };
        let payload = vault.state().draft(by.device.device_id(), victim.clock.now(), Body::Commit(commit));
        let stored = sign(&payload, by.device.signing()).unwrap();
        vault.state().verify(&stored).unwrap();
        let statement = ObjectKey::Statement(vault.state().next_seq());
        assert_eq!(vault.store().put_new(&statement, &stored).unwrap(), Put::Created);
    }
}

#[test]
fn garbage_that_an_editor_stores_under_anothers_chunk_is_never_taken_for_it() {
    for commits in [false, true] {
        let (vault, tree) = (TestVault::new(), source());
        let content = noise(5_555, 5_000);
        vault.backup(&tree.path());
        let editor = Member::join(&vault, Role::Editor, History::Full);
        let poison = Poison::store(&editor, &vault, &content);
        if commits {
            poison.commit(&editor, &vault);
        }
        // As if a run of the owner's had been killed, and the next one looks for what that left.
        fs::write(vault.local().cache.join("running/killed"), []).unwrap();
        tree.file("known", &content);

        let saved = vault.backup(&tree.path());

        assert!(saved.counts.added_bytes >= 5_000, "{:?}", saved.counts);
        let target = tempfile::tempdir().unwrap();
        vault.try_restore(saved.snapshot, target.path()).unwrap();
        assert_same_tree(&tree.path(), target.path());
    }
}

#[test]
fn who_has_a_part_of_the_history_deletes_nothing() {
    let (vault, tree) = (TestVault::new(), source());
    vault.backup(&tree.path());
    let late = Member::join(&vault, Role::Editor, History::FromNow);

    let mut open = late.open();
    let reader = late.reader().unwrap();
    let refused = prune(&mut open, &reader, &late.device, &PRUNE_ALL, &vault.around());

    assert!(matches!(refused, Err(Error::PartOfHistory { first: Epoch(2) })), "{refused:?}");
}
