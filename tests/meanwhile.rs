//! What happens while a backup runs: checkpoints of its own, deletions by others, failures of one of several vaults.
//!
//! Nothing waits for time to pass: a listener to the backup does what is to happen meanwhile, in the middle of it.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vault_core::error::Error;
use vault_core::id::{PackId, SnapshotId};
use vault_core::log::{Body, Condemn, Forget, sign};
use vault_core::ops::Surroundings;
use vault_core::ops::backup::{
    BackupOptions, BackupSummary, Stream, backup, backup_stream_to_all, backup_to_all,
};
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::copy::{Copied, CopyOptions, copy};
use vault_core::progress::Progress;
use vault_core::store::fault::{Fault, FaultyStore};
use vault_core::store::{DirectoryStore, ObjectKey, ObjectKind, Put};
use vault_core::vault::Vault;
use vault_core::vault::stat_cache::StatCache;
use vault_tests::damage::files_below;
use vault_tests::{Meanwhile, TestVault, TreeFixture, assert_same_tree, local_below, noise};

fn source() -> TreeFixture {
    let tree = TreeFixture::new();
    for number in 0..600 {
        tree.file(format!("{}/{}/{number}", number % 3, number % 7), noise(number, 3_000));
    }
    tree.file("large", noise(7_777, 6 << 20));
    tree
}

fn around<'a>(vault: &'a TestVault, progress: &'a dyn Progress) -> Surroundings<'a> {
    Surroundings { progress, ..vault.around() }
}

/// Lets a backup of `tree` make checkpoints all the time, and copies the vault and the machine's memory of it in the middle, when
/// there is one.
fn copied_at_a_checkpoint(vault: &TestVault, tree: &TreeFixture, to: &Path) -> BackupSummary {
    let meanwhile = Meanwhile::after(300, || while !copy_is_whole(vault, to) {});
    let options =
        BackupOptions { partial_every: Some(Duration::ZERO), ..TestVault::options(&[&tree.path()]) };
    let around = around(vault, &meanwhile);
    let summary = backup(&mut vault.open().unwrap(), &vault.device, &options, &around).unwrap();
    assert!(meanwhile.has_happened());
    summary
}

/// Copies what a kill would leave; `false` if no checkpoint was there, or another one was made meanwhile.
fn copy_is_whole(vault: &TestVault, to: &Path) -> bool {
    let partial = |vault: &TestVault| {
        let vault = vault.open().unwrap();
        vault.state().snapshots().first().map(|snapshot| snapshot.id)
    };
    let before = partial(vault);
    for (from, name) in [(vault.root(), "vault"), (vault.local().cache, "cache")] {
        let _ = fs::remove_dir_all(to.join(name));
        copy_what_stays(&from, &to.join(name));
    }
    let caches = files_below(&to.join("cache"));
    // One that was made when much was done, so that there is something to be remembered.
    let is_late = |cache: &StatCache| cache.totals().entries >= 250;
    let caches = caches.iter().filter_map(|path| StatCache::open(path)).filter(is_late);
    let mut remembered = caches.map(|cache| cache.snapshot());
    before.is_some() && before == remembered.next_back() && before == partial(vault)
}

/// Copies a directory in which files come and go.
fn copy_what_stays(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_what_stays(&entry.path(), &target);
        } else {
            let _ = fs::copy(entry.path(), target);
        }
    }
}

#[test]
fn a_checkpoint_is_a_partial_snapshot_that_restores_and_that_the_next_run_continues() {
    let (vault, tree) = (TestVault::new(), source());
    let copy = tempfile::tempdir().unwrap();
    copied_at_a_checkpoint(&vault, &tree, copy.path());

    // As if the run had been killed then.
    let local = local_below(copy.path());
    let location = vault_core::store::location::Location::parse(copy.path().join("vault")).unwrap();
    let mut killed =
        Vault::open(location.open(&vault_core::store::location::Access::local()).unwrap(), local).unwrap();
    let [partial] = killed.state().snapshots() else { panic!("{:?}", killed.state().snapshots()) };
    assert!(partial.commit.partial);
    let reader = killed.unlock(&vault.identity).unwrap();
    let found =
        check(&killed, &reader, CheckOptions { read_data: true, ..CheckOptions::default() }, &vault.around())
            .unwrap();
    assert!(found.findings.is_empty(), "{:#?}", found.findings);
    let files = reader.body(partial).unwrap().counts.files;

    let options = TestVault::options(&[&tree.path()]);
    let next = backup(&mut killed, &vault.device, &options, &vault.around()).unwrap();

    assert_eq!(next.counts.files, 601);
    assert!(files >= 200 && next.counts.unchanged_entries > 0, "{files}: {:?}", next.counts);
    // The complete one has replaced the partial one.
    assert_eq!(killed.state().snapshots().len(), 1);
    assert!(!killed.state().snapshots()[0].commit.partial);
}

#[test]
fn a_complete_snapshot_replaces_the_checkpoints_before_it() {
    let (vault, tree) = (TestVault::new(), source());
    let copy = tempfile::tempdir().unwrap();

    let summary = copied_at_a_checkpoint(&vault, &tree, copy.path());

    let opened = vault.open().unwrap();
    let ids: Vec<_> = opened.state().snapshots().iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(ids, [summary.snapshot]);
    assert!(!summary.partial);
    vault.assert_clean();
    assert_same_tree(&tree.path(), vault.restore(summary.snapshot).path());
}

/// Forgets all snapshots and condemns all packs, as another device may at any time.
fn condemn_everything(vault: &TestVault) {
    let mut opened = vault.open().unwrap();
    if opened.state().snapshots().is_empty() {
        return;
    }
    let snapshots = opened.state().snapshots().iter().map(|snapshot| snapshot.id).collect();
    append(vault, &mut opened, &Body::Forget(Forget { snapshots }));
    let mut packs: Vec<PackId> = Vec::new();
    let _ = opened.store().list(ObjectKind::Pack, &mut |key, _| {
        if let ObjectKey::Pack(id) = key {
            packs.push(id);
        }
        std::ops::ControlFlow::Continue(())
    });
    let domain = opened.state().domain_of(&vault.device.device_id()).unwrap();
    let condemn = Condemn { domain, packs: packs.clone(), replaced: Vec::new(), replacements: Vec::new() };
    append(vault, &mut opened, &Body::Condemn(condemn));
    for pack in packs {
        opened.store().remove(&ObjectKey::Pack(pack)).unwrap();
    }
}

/// Appends a statement, however often the backup is faster.
fn append(vault: &TestVault, opened: &mut Vault, body: &Body) {
    loop {
        let payload =
            opened.state().draft(vault.device.device_id(), vault.around().clock.now(), body.clone());
        let stored = sign(&payload, vault.device.signing()).unwrap();
        let put = opened.store().put_new(&ObjectKey::Statement(payload.seq), &stored).unwrap();
        *opened = vault.open().unwrap();
        if put == Put::Created {
            return;
        }
    }
}

#[test]
fn what_is_condemned_while_a_backup_runs_is_stored_anew_before_its_snapshot() {
    for after in [1, 200, 400, 620] {
        let (vault, tree) = (TestVault::new(), source());
        let first = vault.backup(&tree.path());
        tree.file("0/new", noise(1, 5_000));
        let meanwhile = Meanwhile::after(after, || condemn_everything(&vault));

        let options = TestVault::options(&[&tree.path()]);
        let around = around(&vault, &meanwhile);
        let second = backup(&mut vault.open().unwrap(), &vault.device, &options, &around).unwrap();

        assert!(meanwhile.has_happened(), "after {after}");
        assert!(vault.open().unwrap().state().snapshot_by_id(&first.snapshot).is_none());
        vault.assert_clean();
        assert_same_tree(&tree.path(), vault.restore(second.snapshot).path());
        // And the run after that may trust its cache again.
        let third = vault.backup(&tree.path());
        assert_eq!((third.counts.read_bytes, third.counts.added_bytes), (0, 0), "after {after}");
    }
}

#[test]
fn packs_of_a_running_backup_may_be_condemned_too() {
    let (vault, tree) = (TestVault::new(), source());
    for number in 0..8 {
        tree.file(format!("more/{number}"), noise(100 + number, 8 << 20));
    }
    let meanwhile = Meanwhile::after(610, || condemn_everything(&vault));
    // Checkpoints name packs early, so that they are there to be condemned.
    let options =
        BackupOptions { partial_every: Some(Duration::ZERO), ..TestVault::options(&[&tree.path()]) };
    let around = around(&vault, &meanwhile);

    let saved = backup(&mut vault.open().unwrap(), &vault.device, &options, &around).unwrap();

    assert!(meanwhile.has_happened());
    vault.assert_clean();
    assert_same_tree(&tree.path(), vault.restore(saved.snapshot).path());
}

#[test]
fn one_reading_of_the_source_fills_several_vaults() {
    let (one, mut other, tree) = (TestVault::new(), TestVault::with_small_chunks(), source());
    other.adopt(&one);
    // One of them knows half of it already.
    one.backup(&tree.path().join("1"));
    let options = TestVault::options(&[&tree.path()]);

    for round in 0..2 {
        let (mut first, mut second) = (one.open().unwrap(), other.open().unwrap());
        let results =
            backup_to_all(&mut [&mut first, &mut second], &one.device, &options, &one.around()).unwrap();
        let [first, second] = results.try_into().unwrap();
        let (first, second) = (first.unwrap(), second.unwrap());

        assert_eq!(first.counts.files, second.counts.files);
        assert!(first.counts.added_bytes < second.counts.added_bytes, "round {round}");
        // The second time only one of them had to have the new files read.
        assert_eq!((first.counts.read_bytes == 0, second.counts.read_bytes == 0), (round == 1, false));
        for (vault, saved) in [(&one, &first), (&other, &second)] {
            vault.assert_clean();
            assert_same_tree(&tree.path(), vault.restore(saved.snapshot).path());
        }
        tree.file("2/changed", noise(9, 40_000));
        tree.file("large", noise(7_778, 6 << 20));
        one.backup(&tree.path());
    }
}

#[test]
fn what_is_condemned_while_a_copy_runs_is_stored_anew_before_its_snapshot() {
    for after in [1, 300, 620] {
        let (from, mut to, tree) = (TestVault::new(), TestVault::new(), source());
        to.adopt(&from);
        let first = from.backup(&tree.path()).snapshot;
        tree.file("0/new", noise(1, 5_000));
        let second = from.backup(&tree.path()).snapshot;
        let meanwhile = Meanwhile::after(after, || condemn_everything(&to));
        // The first one is there when the second is begun.
        copy_all(&from, &to, &[first], &from.around());

        let copied = copy_all(&from, &to, &[first, second], &around(&from, &meanwhile));

        assert!(meanwhile.has_happened(), "after {after}");
        assert!(copied[0].was_there && !copied[1].was_there);
        to.assert_clean();
        assert_same_tree(&tree.path(), to.restore(copied[1].to).path());
    }
}

fn copy_all(
    from: &TestVault,
    to: &TestVault,
    snapshots: &[SnapshotId],
    around: &Surroundings<'_>,
) -> Vec<Copied> {
    let (vault, mut opened) = (from.open().unwrap(), to.open().unwrap());
    let (reader, to_reader) = (vault.unlock(&from.identity).unwrap(), opened.unlock(&to.identity).unwrap());
    let options = CopyOptions { snapshots: snapshots.to_vec(), ..CopyOptions::default() };
    copy((&vault, &reader), (&mut opened, &to_reader), &from.device, &options, around).unwrap()
}

#[test]
fn a_vault_that_fails_leaves_the_others_alone() {
    let (one, mut other, tree) = (TestVault::new(), TestVault::new(), source());
    other.adopt(&one);
    let options = TestVault::options(&[&tree.path()]);
    let store = Arc::new(FaultyStore::new(DirectoryStore::open(&other.root()).unwrap()));
    let (mut first, mut second) =
        (one.open().unwrap(), other.open_through(Box::new(Arc::clone(&store))).unwrap());
    store.set_fault(store.operations().len() + 4, Fault::Full);

    let results =
        backup_to_all(&mut [&mut second, &mut first], &one.device, &options, &one.around()).unwrap();

    let [failed, saved] = results.try_into().unwrap();
    assert!(failed.is_err());
    one.assert_clean();
    other.assert_clean();
    assert_same_tree(&tree.path(), one.restore(saved.unwrap().snapshot).path());
}

fn stream(contents: impl Read + Send + 'static, end: io::Result<()>) -> Stream {
    Stream { name: "dump.sql".into(), contents: Box::new(contents), end: Box::new(|| end) }
}

fn back_up_stream(vault: &TestVault, stream: Stream) -> Result<BackupSummary, Error> {
    let mut opened = vault.open().unwrap();
    let options = TestVault::options(&[]);
    let mut results =
        backup_stream_to_all(&mut [&mut opened], &vault.device, (&options, stream), &vault.around())?;
    results.pop().unwrap()
}

#[test]
fn a_stream_becomes_a_file_and_the_next_one_stores_only_what_is_new() {
    let vault = TestVault::new();
    let contents = noise(1, 5 << 20);

    let first = back_up_stream(&vault, stream(io::Cursor::new(contents.clone()), Ok(()))).unwrap();
    let mut grown = contents.clone();
    grown.extend(noise(2, 1 << 20));
    let second = back_up_stream(&vault, stream(io::Cursor::new(grown.clone()), Ok(()))).unwrap();

    assert_eq!((first.counts.files, first.counts.bytes), (1, 5 << 20));
    assert!(second.counts.added_bytes < 4 << 20, "{:?}", second.counts);
    assert_eq!(fs::read(vault.restore(first.snapshot).path().join("dump.sql")).unwrap(), contents);
    assert_eq!(fs::read(vault.restore(second.snapshot).path().join("dump.sql")).unwrap(), grown);
    back_up_stream(&vault, stream(io::empty(), Ok(()))).unwrap();
    vault.assert_clean();
}

#[test]
fn a_stream_that_fails_at_its_end_or_before_makes_no_snapshot() {
    let vault = TestVault::new();
    let broken = io::Cursor::new(noise(1, 3 << 20)).chain(Broken);

    let ended_badly = back_up_stream(&vault, stream(io::empty(), Err(io::Error::other("exit status 1"))));
    let broke = back_up_stream(&vault, stream(broken, Ok(())));

    for outcome in [ended_badly, broke] {
        assert!(matches!(outcome, Err(Error::Stream { .. })), "{outcome:?}");
    }
    assert!(vault.open().unwrap().state().snapshots().is_empty());
    vault.assert_clean();
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
}

#[test]
fn a_dry_run_tells_what_a_backup_would_do_and_stores_nothing() {
    let (vault, tree) = (TestVault::new(), source());
    let before = files_below(&vault.root());
    let options = TestVault::options(&[&tree.path()]);
    let dry = BackupOptions { dry_run: true, ..options.clone() };

    let would = vault.try_backup(&dry).unwrap();
    assert_eq!(files_below(&vault.root()), before);
    let did = vault.try_backup(&options).unwrap();

    assert_eq!((would.counts.files, would.counts.added_bytes), (did.counts.files, did.counts.added_bytes));
    let nothing_new = vault.try_backup(&dry).unwrap();
    assert_eq!((nothing_new.counts.read_bytes, nothing_new.counts.added_bytes), (0, 0));
    vault.assert_clean();
}
