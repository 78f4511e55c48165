//! Round trips: after any changes to a tree, each snapshot restores to what the tree was when it was made.
//!
//! The model is a full scan of the source at the moment of each backup. `PROPTEST_CASES` sets how many histories are tried.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use vault_core::time::{Clock, Timestamp};
use vault_tests::change::{Change, change};
use vault_tests::{TestVault, Tree, noise, proptest_config, wait_for_next_tick};

/// Histories tried where `PROPTEST_CASES` says nothing else: enough to find a fault in an hour of pushes, in seconds each.
const CASES: u32 = 32;

/// Makes each history's backups with a clock of its own.
#[derive(Debug, Clone, Copy)]
enum Time {
    /// Files changed a moment ago are read again: as in real life.
    Real,
    /// All files seem old, so that everything the stat cache says is believed.
    FarAhead,
}

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::new(since.as_secs() as i64, since.subsec_nanos())
    }
}

fn assert_history_comes_back(history: &[Vec<Change>], time: Time) {
    let source = TempDir::new().unwrap();
    let root = source.path().join("tree");
    fs::create_dir(&root).unwrap();
    let mut vault = TestVault::with_small_chunks();
    if let Time::Real = time {
        vault.clock = Box::new(RealClock);
    }

    let mut snapshots = Vec::new();
    for changes in history {
        wait_for_next_tick(source.path());
        changes.iter().for_each(|change| change.apply(&root));
        let summary = vault.backup(&root);
        assert_eq!(summary.counts.failed_entries, 0, "{:?}", vault.progress.notices());
        snapshots.push((summary.snapshot, Tree::scan(&root)));
    }

    vault.assert_clean();
    vault.move_to_new_machine();
    for (snapshot, expected) in snapshots {
        let restored = vault.restore(snapshot);
        let differences = expected.differences(&Tree::scan(restored.path()));
        assert!(differences.is_empty(), "{differences}");
    }
}

proptest! {
    #![proptest_config(proptest_config(CASES))]

    #[test]
    fn every_snapshot_restores_to_what_the_tree_was(
        history in vec(vec(change(), 0..25), 1..5),
        time in prop::sample::select(vec![Time::Real, Time::FarAhead]),
    ) {
        assert_history_comes_back(&history, time);
    }
}

#[test]
fn a_backup_of_an_unchanged_tree_reads_nothing_and_adds_nothing() {
    let source = TempDir::new().unwrap();
    let root = source.path().join("tree");
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), noise(1, 3_000_000)).unwrap();
    let vault = TestVault::new();
    let first = vault.backup(&root);

    let second = vault.backup(&root);

    assert_eq!((second.counts.read_bytes, second.counts.added_bytes), (0, 0), "{second:?}");
    assert!(second.counts.stored_bytes < 10_000 && first.counts.stored_bytes > 3_000_000, "{second:?}");
    vault.assert_clean();
}

#[test]
fn a_machine_without_a_cache_reads_everything_and_adds_nothing() {
    let source = TempDir::new().unwrap();
    let root = source.path().join("tree");
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), noise(1, 3_000_000)).unwrap();
    let mut vault = TestVault::new();
    vault.backup(&root);

    vault.move_to_new_machine();
    let second = vault.backup(&root);

    assert_eq!((second.counts.read_bytes, second.counts.added_bytes), (3_000_000, 0), "{second:?}");
}
