//! What `diff` tells: between snapshots, and between a snapshot and the disk.
//!
//! Every kind of change is made once in a tree and must be told once, by the right letter, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use vault_core::error::Error;
use vault_core::id::SnapshotId;
use vault_core::ops::diff::{
    ChangeKind, DiffOptions, DiffSummary, DiskOptions, Omissions, TreePath, diff, diff_disk,
};
use vault_tests::fixture::set_mtime;
use vault_tests::{TestVault, TreeFixture, noise};

/// The letters and paths of all changes, as a list shows them.
type Lines = Vec<String>;

fn line(kind: ChangeKind, path: &Path) -> String {
    let letter = match kind {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Contents => 'M',
        ChangeKind::Metadata => 'U',
        ChangeKind::Type => 'T',
    };
    format!("{letter} {}", path.display())
}

fn at(snapshot: SnapshotId, path: &str) -> TreePath {
    TreePath { snapshot, path: PathBuf::from(path) }
}

fn compare(vault: &TestVault, from: TreePath, to: TreePath, times: bool) -> (Lines, DiffSummary) {
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let mut lines = Vec::new();
    let summary = diff(&open, &reader, &DiffOptions { from, to, times }, &vault.around(), &mut |change| {
        lines.push(line(change.kind, change.path));
        Ok(())
    });
    (lines, summary.unwrap())
}

fn disk(from: TreePath) -> DiskOptions {
    DiskOptions { from, source: None, omit: Omissions::default(), contents: false, times: false }
}

fn compare_disk(vault: &TestVault, options: &DiskOptions) -> (Lines, DiffSummary) {
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let mut lines = Vec::new();
    let summary = diff_disk(&open, &reader, options, &vault.around(), &mut |change| {
        lines.push(line(change.kind, change.path));
        Ok(())
    });
    (lines, summary.unwrap())
}

/// A tree with something to change in every way.
fn tree() -> TreeFixture {
    let tree = TreeFixture::new();
    tree.file("a/changed", noise(1, 20_000))
        .file("a/same", "same")
        .file("a/mode", "mode")
        .file("a/touched", "t");
    tree.file("gone/x", "x").file("gone/deep/y", "y").file("swapped", "file").symlink("link", "one");
    tree.file("untouched/1", "1").file(b"caf\xe9", "e").dir("empty");
    for name in ["a/changed", "a/touched"] {
        tree.mtime(name, 1_000_000_000, 5);
    }
    tree
}

/// Changes it in every way.
fn change(tree: &TreeFixture) {
    let mut bytes = noise(1, 20_000);
    bytes[19_999] ^= 1;
    tree.file("a/changed", bytes).file("a/new", "12345").mode("a/mode", 0o600).mtime(
        "a/touched",
        1_100_000_000,
        0,
    );
    fs::remove_dir_all(tree.at("gone")).unwrap();
    fs::remove_file(tree.at("swapped")).unwrap();
    tree.file("swapped/inside", "in");
    fs::remove_file(tree.at("link")).unwrap();
    tree.symlink("link", "other");
}

const CHANGES: [&str; 10] = [
    "M a/changed",
    "U a/mode",
    "+ a/new",
    "- gone",
    "- gone/deep",
    "- gone/deep/y",
    "- gone/x",
    "M link",
    "T swapped",
    "+ swapped/inside",
];

#[test]
fn every_change_between_snapshots_is_told_once() {
    let (vault, tree) = (TestVault::with_small_chunks(), tree());
    let first = vault.backup(&tree.path()).snapshot;
    change(&tree);
    let second = vault.backup(&tree.path()).snapshot;

    let (lines, summary) = compare(&vault, at(first, ""), at(second, ""), false);

    assert_eq!(lines, CHANGES);
    assert_eq!((summary.added.files, summary.added.bytes, summary.added.directories), (2, 7, 1));
    assert_eq!((summary.removed.files, summary.removed.directories), (3, 2));
    assert_eq!((summary.changed.files, summary.changed.bytes, summary.changed.others), (1, 20_000, 1));
    assert_eq!(summary.metadata.files, 1);
    let (lines, summary) = compare(&vault, at(second, ""), at(second, ""), true);
    assert!(lines.is_empty() && !summary.differs());
}

#[test]
fn times_are_told_only_where_asked_for() {
    let (vault, tree) = (TestVault::new(), tree());
    let first = vault.backup(&tree.path()).snapshot;
    tree.mtime("a/touched", 1_100_000_000, 0);
    let second = vault.backup(&tree.path()).snapshot;

    assert!(compare(&vault, at(first, ""), at(second, ""), false).0.is_empty());
    assert_eq!(compare(&vault, at(first, ""), at(second, ""), true).0, ["U a/touched"]);
}

#[test]
fn a_path_in_both_snapshots_is_compared_alone() {
    let (vault, tree) = (TestVault::new(), tree());
    let first = vault.backup(&tree.path()).snapshot;
    change(&tree);
    let second = vault.backup(&tree.path()).snapshot;

    assert_eq!(
        compare(&vault, at(first, "gone/deep"), at(second, "gone/deep"), false).0,
        ["- gone/deep", "- gone/deep/y"]
    );
    assert_eq!(compare(&vault, at(first, "a/changed"), at(second, "a/changed"), false).0, ["M a/changed"]);
    assert_eq!(compare(&vault, at(first, "untouched"), at(second, "untouched"), false).0, [""; 0]);
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let options = DiffOptions { from: at(first, "none"), to: at(second, "none"), times: false };
    let missing = diff(&open, &reader, &options, &vault.around(), &mut |_| Ok(()));
    assert!(matches!(missing, Err(Error::NoSuchPath { .. })));
}

#[test]
fn the_disk_is_compared_as_the_snapshot_that_a_backup_would_make() {
    let (vault, tree) = (TestVault::with_small_chunks(), tree());
    let snapshot = vault.backup(&tree.path()).snapshot;
    let options = disk(at(snapshot, ""));
    assert_eq!(compare_disk(&vault, &DiskOptions { contents: true, ..options.clone() }).0, [""; 0]);

    change(&tree);

    assert_eq!(compare_disk(&vault, &options).0, CHANGES);
    assert_eq!(compare_disk(&vault, &disk(at(snapshot, "a"))).0, CHANGES[..3]);
    assert_eq!(compare_disk(&vault, &disk(at(snapshot, "link"))).0, ["M link"]);
}

#[test]
fn a_change_that_keeps_size_and_time_is_found_by_reading() {
    let (vault, tree) = (TestVault::with_small_chunks(), TreeFixture::new());
    tree.file("f", noise(1, 50_000)).sparse("s", 1 << 20, &[(70_000, b"data")]);
    for name in ["f", "s"] {
        tree.mtime(name, 1_000_000_000, 0);
    }
    let snapshot = vault.backup(&tree.path()).snapshot;
    let mut bytes = noise(1, 50_000);
    bytes[49_000] ^= 1;
    tree.file("f", bytes).sparse("s", 1 << 20, &[(70_000, b"data"), (900_000, b"x")]);
    for name in ["f", "s"] {
        tree.mtime(name, 1_000_000_000, 0);
    }

    let options = disk(at(snapshot, ""));
    assert_eq!(compare_disk(&vault, &options).0, [""; 0]);
    assert_eq!(compare_disk(&vault, &DiskOptions { contents: true, ..options }).0, ["M f", "M s"]);
}

#[test]
fn a_touched_file_with_the_same_bytes_has_not_changed() {
    let (vault, tree) = (TestVault::with_small_chunks(), TreeFixture::new());
    tree.file("f", noise(1, 50_000)).sparse("s", 1 << 20, &[(70_000, b"data")]);
    let snapshot = vault.backup(&tree.path()).snapshot;
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join("f"), noise(1, 50_000)).unwrap();
    // The hole is filled with zeros: other room on disk, the same bytes.
    let mut bytes = vec![0; 1 << 20];
    bytes[70_000..70_004].copy_from_slice(b"data");
    fs::write(copy.path().join("s"), bytes).unwrap();
    for name in ["f", "s"] {
        fs::set_permissions(copy.path().join(name), tree.at(name).metadata().unwrap().permissions()).unwrap();
        set_mtime(&copy.path().join(name), 5, 0);
    }
    fs::set_permissions(copy.path(), tree.path().metadata().unwrap().permissions()).unwrap();

    let options = DiskOptions { source: Some(copy.path().to_owned()), ..disk(at(snapshot, "")) };
    assert_eq!(compare_disk(&vault, &options).0, [""; 0]);
    let (lines, _) = compare_disk(&vault, &DiskOptions { times: true, ..options });
    assert_eq!(lines, ["U ", "U f", "U s"]);
}

#[test]
fn what_a_backup_leaves_out_is_not_told() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("keep/a", "a").file("other/b", "b").file("keep/was.tmp", "t");
    let paths = [tree.at("keep"), tree.at("missing-later")];
    tree.file("missing-later/c", "c");
    let options = TestVault::options(&[&paths[0], &paths[1]]);
    let snapshot = vault.try_backup(&options).unwrap().snapshot;
    tree.file("keep/new.tmp", "t").file("keep/cache/big", "b").file("keep/large", [0; 5_000]);
    tree.file("keep/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    fs::remove_file(tree.at("keep/was.tmp")).unwrap();
    fs::remove_dir_all(tree.at("missing-later")).unwrap();
    std::os::unix::net::UnixListener::bind(tree.at("keep/socket")).unwrap();

    let omit = Omissions {
        patterns: vec!["*.tmp".to_owned()],
        caches: true,
        larger_than: Some(4_000),
        ..Omissions::default()
    };
    let (lines, _) = compare_disk(&vault, &DiskOptions { omit, ..disk(at(snapshot, "")) });

    assert_eq!(lines, ["+ keep/cache", "+ keep/cache/CACHEDIR.TAG", "- missing-later", "- missing-later/c"]);
}

#[test]
fn what_cannot_be_listed_is_told_and_not_taken_for_removed() {
    if vault_tests::is_root() {
        eprintln!("skipped: the superuser can list everything");
        return;
    }
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("locked/a", "a");
    let snapshot = vault.backup(&tree.path()).snapshot;
    fs::set_permissions(tree.at("locked"), fs::Permissions::from_mode(0o000)).unwrap();

    let (lines, summary) = compare_disk(&vault, &disk(at(snapshot, "")));

    fs::set_permissions(tree.at("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!((lines, summary.failed_entries), (vec!["U locked".to_owned()], 1));
}
