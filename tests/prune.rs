//! Pruning: what no snapshot needs is deleted, everything else is as before, and a run may end at any moment.
//!
//! Snapshots are forgotten by hand here, with a statement of the device's; `forget` has tests of its own.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vault_core::crypto::random::SystemRandom;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::SnapshotId;
use vault_core::keys::device::DeviceKeys;
use vault_core::ops::compact::{CompactOptions, CompactSummary, compact};
use vault_core::ops::prune::{PruneOptions, PruneSummary, prune};
use vault_core::store::DirectoryStore;
use vault_core::store::fault::{Fault, FaultyStore};
use vault_core::time::{FixedClock, Timestamp};
use vault_core::vault::Vault;
use vault_tests::damage::{copy_directory, files_below};
use vault_tests::deleting::{COMPACT_ALL, PRUNE_ALL};
use vault_tests::{Machine, TestVault, TreeFixture, assert_same_tree, noise};

fn try_prune(vault: &TestVault, options: &PruneOptions) -> Result<PruneSummary, Error> {
    let mut opened = vault.open()?;
    let reader = opened.unlock(&vault.identity)?;
    prune(&mut opened, &reader, &vault.device, options, &vault.around())
}

fn prune_all(vault: &TestVault) -> PruneSummary {
    try_prune(vault, &PRUNE_ALL).unwrap()
}

fn bytes_of(vault: &TestVault) -> u64 {
    let kinds = ["packs", "index"].map(|kind| vault.root().join(kind));
    let files = kinds.iter().flat_map(|kind| files_below(kind));
    files.map(|file| file.metadata().unwrap().len()).sum()
}

fn count(vault: &TestVault, kind: &str) -> usize {
    files_below(&vault.root().join(kind)).len()
}

/// Three snapshots of a tree that changes: two files come and go, one stays.
struct Story {
    vault: TestVault,
    tree: TreeFixture,
    snapshots: Vec<SnapshotId>,
    trees: Vec<TempDir>,
}

impl Story {
    fn new() -> Self {
        let tree = TreeFixture::new();
        let mut story =
            Self { vault: TestVault::with_small_chunks(), tree, snapshots: Vec::new(), trees: Vec::new() };
        story.tree.file("stays/a", noise(1, 60_000)).file("goes", noise(2, 40_000));
        story.save();
        fs::remove_file(story.tree.at("goes")).unwrap();
        story.tree.file("comes", noise(3, 40_000)).file("stays/large", noise(4, 100_000));
        story.save();
        fs::remove_file(story.tree.at("comes")).unwrap();
        story.tree.file("last", noise(5, 20_000));
        story.save();
        story
    }

    fn save(&mut self) {
        self.snapshots.push(self.vault.backup(&self.tree.path()).snapshot);
        let copy = TempDir::new().unwrap();
        let status =
            std::process::Command::new("cp").arg("-a").arg(self.tree.path()).arg(copy.path()).status();
        assert!(status.unwrap().success());
        self.trees.push(copy);
    }

    fn assert_restores(&self, number: usize) {
        let restored = self.vault.restore(self.snapshots[number]);
        assert_same_tree(&self.trees[number].path().join("tree"), restored.path());
    }
}

#[test]
fn what_a_forgotten_snapshot_alone_needed_is_deleted() {
    let mut story = Story::new();
    story.vault.forget(&[story.snapshots[0]]);
    let before = bytes_of(&story.vault);

    let summary = prune_all(&story.vault);

    // The first pack holds what stays as well; the third snapshot's own is needed.
    assert_eq!((summary.packs, summary.orphans, summary.kept_packs), (0, 0, 3), "{summary:?}");
    assert!(summary.unused_bytes > 30_000, "{summary:?}");

    story.vault.forget(&[story.snapshots[1], story.snapshots[2]]);
    let summary = prune_all(&story.vault);
    assert_eq!((summary.packs, summary.kept_packs, summary.kept_bytes), (3, 0, 0), "{summary:?}");
    assert_eq!((count(&story.vault, "packs"), count(&story.vault, "index")), (0, 0));
    assert_eq!(summary.freed_bytes, before);
    story.vault.assert_clean();
    story.vault.move_to_new_machine();
    story.vault.assert_clean();
}

#[test]
fn what_live_snapshots_need_stays_and_a_second_run_finds_nothing() {
    let mut story = Story::new();
    story.tree.file("alone", noise(9, 50_000));
    let alone = story.vault.backup(&story.tree.path()).snapshot;
    fs::remove_file(story.tree.at("alone")).unwrap();
    story.vault.forget(&[alone]);

    let summary = prune_all(&story.vault);
    let again = prune_all(&story.vault);

    assert_eq!((summary.packs, summary.replaced_indexes, summary.new_indexes), (1, 1, 0), "{summary:?}");
    assert_eq!((again.packs, again.freed_bytes, again.replaced_indexes), (0, 0, 0), "{again:?}");
    story.vault.assert_clean();
    for number in 0..3 {
        story.assert_restores(number);
    }
    story.vault.move_to_new_machine();
    story.vault.assert_clean();
    story.assert_restores(2);
    let next = story.vault.backup(&story.tree.path());
    assert_same_tree(&story.tree.path(), story.vault.restore(next.snapshot).path());
}

#[test]
fn a_backup_after_a_prune_stores_again_what_is_gone() {
    let story = Story::new();
    story.vault.forget(&story.snapshots);
    prune_all(&story.vault);

    let next = story.vault.backup(&story.tree.path());

    assert_same_tree(&story.tree.path(), story.vault.restore(next.snapshot).path());
    story.vault.assert_clean();
}

#[test]
fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let story = Story::new();
    story.vault.forget(&story.snapshots[1..]);
    let before = TempDir::new().unwrap();
    copy_directory(&story.vault.root(), before.path());

    let said = try_prune(&story.vault, &PruneOptions { dry_run: true, ..PRUNE_ALL }).unwrap();

    let files = |root: &Path| files_below(root).len();
    assert_eq!(files(&story.vault.root()), files(before.path()));
    let done = prune_all(&story.vault);
    assert_eq!(
        (said.packs, said.kept_packs, said.unused_bytes),
        (done.packs, done.kept_packs, done.unused_bytes)
    );
    assert!(said.packs > 0 && said.freed_bytes <= done.freed_bytes, "{said:?} {done:?}");
}

#[test]
fn nothing_is_deleted_while_a_snapshot_is_not_whole() {
    let story = Story::new();
    story.vault.forget(&[story.snapshots[0]]);
    let lost = fs::read_dir(story.vault.root().join("packs")).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(lost).unwrap();
    let before = files_below(&story.vault.root());

    let refused = try_prune(&story.vault, &PRUNE_ALL).unwrap_err();

    assert!(matches!(refused, Error::NotWhole { .. }), "{refused:?}");
    assert_eq!(refused.kind(), ErrorKind::Integrity);
    assert_eq!(files_below(&story.vault.root()), before);
}

#[test]
fn a_missing_index_object_forbids_to_delete_anything() {
    let story = Story::new();
    fs::remove_file(&files_below(&story.vault.root().join("index"))[0]).unwrap();
    let before = files_below(&story.vault.root());

    let refused = try_prune(&story.vault, &PRUNE_ALL).unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Integrity, "{refused:?}");
    assert_eq!(files_below(&story.vault.root()), before);
}

#[test]
fn a_lost_pack_that_nothing_needs_any_more_is_condemned_and_check_stops_naming_it() {
    let story = Story::new();
    for file in files_below(&story.vault.root().join("packs")) {
        fs::remove_file(file).unwrap();
    }
    story.vault.forget(&story.snapshots[..2]);
    story.vault.backup(&story.tree.path());
    assert!(!story.vault.try_check().unwrap().findings.is_empty());

    let summary = prune_all(&story.vault);

    assert_eq!((summary.packs, summary.kept_packs), (3, 1), "{summary:?}");
    story.vault.assert_clean();
    story.assert_restores(2);
}

#[test]
fn many_small_index_objects_become_one() {
    let tree = TreeFixture::new();
    let mut vault = TestVault::with_small_chunks();
    for number in 0..12 {
        tree.file(format!("file{number}"), noise(number, 3_000));
        vault.backup(&tree.path());
    }
    assert_eq!(count(&vault, "index"), 12);

    let summary = prune_all(&vault);

    assert_eq!((summary.packs, summary.replaced_indexes, summary.new_indexes), (0, 12, 1), "{summary:?}");
    assert_eq!(count(&vault, "index"), 1);
    vault.assert_clean();
    vault.move_to_new_machine();
    vault.assert_clean();
}

#[test]
fn orphans_are_deleted_when_they_are_old_and_not_before() {
    let mut story = Story::new();
    let faulty = Arc::new(FaultyStore::new(DirectoryStore::open(&story.vault.root()).unwrap()));
    story.tree.file("new", noise(7, 50_000));
    // The store stops before the statement: packs and an index object are there, and nobody names them.
    let mut opened = story.vault.open_through(Box::new(Arc::clone(&faulty))).unwrap();
    for more in 0..100 {
        if count(&story.vault, "index") > 3 {
            break;
        }
        faulty.set_fault(faulty.operations().len() + more, Fault::Stop);
        let options = TestVault::options(&[&story.tree.path()]);
        let stopped = vault_core::ops::backup::backup(
            &mut opened,
            &story.vault.device,
            &options,
            &story.vault.around(),
        );
        assert!(stopped.is_err());
        faulty.heal();
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let far_future = std::mem::replace(
        &mut story.vault.clock,
        Box::new(FixedClock(Timestamp::new(since_1970.as_secs() as i64, 0))),
    );

    let kept = try_prune(&story.vault, &PruneOptions::default()).unwrap();
    story.vault.clock = far_future;
    let deleted = try_prune(&story.vault, &PruneOptions::default()).unwrap();

    assert_eq!(kept.orphans, 0, "{kept:?}");
    assert!(deleted.orphans > 0, "{deleted:?}");
    assert_eq!(count(&story.vault, "index"), 3);
    story.vault.assert_clean();
}

/// Lets the store of some work meet every fault at its first operation, then at its second, until there is none left.
fn assert_survives_everywhere(work: &dyn Fn(&Story, &mut Vault) -> Result<(), Error>) {
    for fault in [Fault::Stop, Fault::Fail, Fault::LoseAnswer, Fault::Full] {
        let mut story = Story::new();
        story.vault.forget(&story.snapshots[..2]);
        let before = TempDir::new().unwrap();
        copy_directory(&story.vault.root(), before.path());
        for nth in 0.. {
            assert!(nth < 1_000, "so small a vault takes fewer operations");
            fs::remove_dir_all(story.vault.root()).unwrap();
            copy_directory(before.path(), &story.vault.root());
            story.vault.move_to_new_machine();

            let directory = DirectoryStore::open(&story.vault.root()).unwrap();
            let faulty = Arc::new(FaultyStore::failing_at(directory, nth, fault));
            let opened = story.vault.open_through(Box::new(Arc::clone(&faulty)));
            let outcome = opened.and_then(|mut opened| work(&story, &mut opened));
            let was_hit = faulty.operations().len() > nth;

            assert!(was_hit || outcome.is_ok(), "{fault:?} at {nth}: {outcome:?} without a fault");
            story.vault.assert_clean();
            story.assert_restores(2);
            if outcome.is_err() {
                prune_all(&story.vault);
                story.vault.assert_clean();
                story.assert_restores(2);
            }
            if !was_hit {
                break;
            }
        }
    }
}

#[test]
fn a_prune_whose_store_fails_anywhere_leaves_a_vault_that_is_clean() {
    assert_survives_everywhere(&|story, opened| {
        let reader = opened.unlock(&story.vault.identity)?;
        prune(opened, &reader, &story.vault.device, &PRUNE_ALL, &story.vault.around()).map(drop)
    });
}

#[test]
fn a_compaction_whose_store_fails_anywhere_leaves_a_vault_that_is_clean() {
    assert_survives_everywhere(&|story, opened| {
        let reader = opened.unlock(&story.vault.identity)?;
        compact(opened, &reader, &story.vault.device, &COMPACT_ALL, &story.vault.around()).map(drop)
    });
}

fn try_compact(vault: &TestVault, options: &CompactOptions) -> Result<CompactSummary, Error> {
    let mut opened = vault.open()?;
    let reader = opened.unlock(&vault.identity)?;
    compact(&mut opened, &reader, &vault.device, options, &vault.around())
}

#[test]
fn compacting_leaves_only_what_is_needed_and_a_second_run_finds_nothing() {
    let mut story = Story::new();
    story.vault.forget(&story.snapshots[..2]);
    let before = bytes_of(&story.vault);

    let said = try_compact(&story.vault, &CompactOptions { dry_run: true, ..COMPACT_ALL }).unwrap();
    let summary = try_compact(&story.vault, &COMPACT_ALL).unwrap();
    let again = try_compact(&story.vault, &COMPACT_ALL).unwrap();

    assert_eq!((said.repacked_packs, said.repacked_bytes), (summary.repacked_packs, summary.repacked_bytes));
    assert_eq!((summary.repacked_packs, summary.new_packs), (3, 1), "{summary:?}");
    assert_eq!((summary.pruned.kept_packs, summary.pruned.unused_bytes), (1, 0), "{summary:?}");
    assert_eq!((again.repacked_packs, again.pruned.packs, again.pruned.freed_bytes), (0, 0, 0), "{again:?}");
    assert_eq!((count(&story.vault, "packs"), count(&story.vault, "index")), (1, 1));
    assert!(bytes_of(&story.vault) < before - 70_000, "{before} {}", bytes_of(&story.vault));
    assert_eq!(
        before - summary.pruned.freed_bytes + summary.new_bytes,
        bytes_of_packs_and_old_indexes(&story.vault)
    );
    story.vault.assert_clean();
    story.assert_restores(2);
    story.vault.move_to_new_machine();
    story.vault.assert_clean();
    story.assert_restores(2);
    let next = story.vault.backup(&story.tree.path());
    assert_eq!(next.counts.added_bytes, 0, "everything is there");
}

/// What is there but for the one index object that compacting brought.
fn bytes_of_packs_and_old_indexes(vault: &TestVault) -> u64 {
    files_below(&vault.root().join("packs")).iter().map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn compacting_reads_no_more_than_it_may() {
    let story = Story::new();
    story.vault.forget(&story.snapshots[..2]);

    let summary = try_compact(&story.vault, &CompactOptions { max_bytes: Some(0), ..COMPACT_ALL }).unwrap();

    assert_eq!((summary.repacked_packs, summary.new_packs), (0, 0), "{summary:?}");
    assert!(summary.pruned.unused_bytes > 0);
    story.vault.assert_clean();
}

#[test]
fn a_damaged_pack_is_not_repacked() {
    let story = Story::new();
    story.vault.forget(&story.snapshots[..2]);
    let pack = &files_below(&story.vault.root().join("packs"))[0];
    let mut bytes = fs::read(pack).unwrap();
    // More than what is not needed in any pack, and not the table.
    let damaged = bytes.len() * 3 / 4;
    for byte in bytes.iter_mut().take(damaged).skip(64) {
        *byte ^= 1;
    }
    fs::write(pack, bytes).unwrap();

    let refused = try_compact(&story.vault, &COMPACT_ALL).unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Integrity, "{refused:?}");
    assert!(pack.exists());
}

#[test]
fn a_device_that_the_vault_does_not_know_deletes_nothing() {
    let story = Story::new();
    let stranger = DeviceKeys::generate(&SystemRandom::new()).unwrap();
    let mut opened = story.vault.open().unwrap();
    let reader = opened.unlock(&story.vault.identity).unwrap();

    let refused = prune(&mut opened, &reader, &stranger, &PRUNE_ALL, &story.vault.around()).unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Permission, "{refused:?}");
}

#[test]
fn a_compaction_that_is_asked_to_stop_says_so_or_is_done() {
    let machine = Machine::new();
    machine.init();
    let tree = TreeFixture::new();
    for number in 0..4 {
        tree.file(format!("file{number}"), noise(number, 2_000_000));
        machine.succeed(["backup".as_ref(), tree.path().as_os_str()]);
    }
    let child = machine.command(["compact"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(150));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();

    // A signal that comes before the work begins ends the process as usual.
    assert!(matches!(output.status.code(), Some(0 | 130) | None), "{output:?}");
    machine.succeed(["check", "--read-data"]);
}
