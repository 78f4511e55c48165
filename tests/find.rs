//! What `find` tells about paths in many snapshots.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use vault_core::error::Error;
use vault_core::id::SnapshotId;
use vault_core::ops::find::{FindOptions, FindSummary, FoundKind, find};
use vault_core::time::Timestamp;
use vault_tests::{TestVault, TreeFixture};

fn search(vault: &TestVault, options: &FindOptions) -> Result<FindSummary, Error> {
    let open = vault.open()?;
    let reader = open.unlock(&vault.identity)?;
    let all = open.state().snapshots().iter().map(|snapshot| snapshot.id).collect();
    let snapshots = if options.snapshots.is_empty() { all } else { options.snapshots.clone() };
    find(&open, &reader, &FindOptions { snapshots, ..options.clone() }, &vault.around())
}

fn named(pattern: &str) -> FindOptions {
    FindOptions { patterns: vec![pattern.to_owned()], ..FindOptions::default() }
}

/// The first and the last snapshot of a version, by number, and how many have it.
type Span = (usize, usize, u64);

/// Each path with its versions: first, last and number of snapshots.
fn versions(summary: &FindSummary, snapshots: &[SnapshotId]) -> Vec<(String, Vec<Span>)> {
    let number = |id| snapshots.iter().position(|snapshot| *snapshot == id).unwrap();
    let of = |found: &vault_core::ops::find::FoundPath| {
        let versions = found.versions.iter().map(|v| (number(v.first), number(v.last), v.count)).collect();
        (found.path.to_str().unwrap().to_owned(), versions)
    };
    summary.found.iter().map(of).collect()
}

#[test]
fn each_version_names_the_snapshots_that_have_it() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("a/report.odt", "one").file("a/other", "x").file("b/c/report.odt", "same").dir("empty");
    let mut snapshots = vec![vault.backup(&tree.path()).snapshot];
    tree.file("a/other", "y");
    snapshots.push(vault.backup(&tree.path()).snapshot);
    tree.file("a/report.odt", "two");
    snapshots.push(vault.backup(&tree.path()).snapshot);
    fs::remove_file(tree.at("b/c/report.odt")).unwrap();
    snapshots.push(vault.backup(&tree.path()).snapshot);

    let summary = search(&vault, &named("report.*")).unwrap();

    assert_eq!(
        versions(&summary, &snapshots),
        [
            ("a/report.odt".to_owned(), vec![(0, 1, 2), (2, 3, 2)]),
            ("b/c/report.odt".to_owned(), vec![(0, 2, 3)]),
        ]
    );
    assert_eq!((summary.snapshots, summary.truncated), (4, false));
    assert_eq!(summary.found[0].root, tree.path().canonicalize().unwrap());
    assert_eq!(summary.found[0].host, "test");
}

#[test]
fn a_version_that_comes_back_is_the_same_version() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    let put = |text: &str, seconds| {
        tree.file("f", text).mtime("f", seconds, 0);
        vault.backup(&tree.path()).snapshot
    };
    let snapshots = [put("one", 5), put("two", 6), put("one", 5)];

    let summary = search(&vault, &named("f")).unwrap();

    assert_eq!(versions(&summary, &snapshots), [("f".to_owned(), vec![(0, 2, 2), (1, 1, 1)])]);
}

#[test]
fn the_same_directory_at_two_places_is_found_at_both() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    for name in ["one", "two/three"] {
        tree.file(format!("{name}/f"), "f").mtime(format!("{name}/f"), 5, 0);
        tree.mtime(name, 5, 0);
    }
    let snapshot = vault.backup(&tree.path()).snapshot;
    let paths = |pattern: &str| {
        let found = search(&vault, &named(pattern)).unwrap().found;
        found.iter().map(|found| found.path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(paths("f"), ["one/f", "two/three/f"]);
    assert_eq!(paths("one/f"), ["one/f"]);
    assert_eq!(paths("**/f"), ["one/f", "two/three/f"]);
    assert_eq!(
        paths(&format!("{}/two/**", tree.path().canonicalize().unwrap().display())),
        ["two/three", "two/three/f"]
    );
    assert_eq!(paths("nothing"), [""; 0]);
    let unknown = FindOptions { snapshots: vec![SnapshotId::new([0; 32])], ..named("f") };
    assert!(matches!(search(&vault, &unknown), Err(Error::NoSuchSnapshot { .. })));
    assert_eq!(
        search(&vault, &FindOptions { snapshots: vec![snapshot], ..named("f") }).unwrap().snapshots,
        1
    );
}

#[test]
fn kinds_sizes_and_times_narrow_a_search() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("small", [0; 10]).file("large", [0; 5_000]).symlink("link", "small").dir("dir").fifo("pipe");
    tree.file(b"caf\xe9", [0; 100]).mtime("small", 100, 0);
    vault.backup(&tree.path());
    let names = |options: FindOptions| {
        let found = search(&vault, &options).unwrap().found;
        found.into_iter().map(|found| found.path).collect::<Vec<_>>()
    };
    let any = named("*");

    assert_eq!(names(any.clone()).len(), 6);
    assert_eq!(names(FindOptions { kinds: vec![FoundKind::Directory], ..any.clone() }), [Path::new("dir")]);
    assert_eq!(names(FindOptions { kinds: vec![FoundKind::Special], ..any.clone() }), [Path::new("pipe")]);
    assert_eq!(names(FindOptions { min_size: Some(101), ..any.clone() }), [Path::new("large")]);
    assert_eq!(
        names(FindOptions { min_size: Some(11), max_size: Some(4_999), ..any.clone() }),
        [Path::new(OsStr::from_bytes(b"caf\xe9"))]
    );
    assert_eq!(names(FindOptions { older: Some(Timestamp::new(101, 0)), ..any }), [Path::new("small")]);
    assert_eq!(names(FindOptions { ignore_case: true, ..named("LARGE") }), [Path::new("large")]);
}

#[test]
fn a_directory_that_cannot_be_read_is_told_once_and_the_rest_is_searched() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("a/f", "1").file("b/f", "2");
    vault.backup(&tree.path());
    tree.file("b/f", "3");
    vault.backup(&tree.path());
    // The newest pack goes: what it brought is lost, and the rest is not.
    let packs = vault_tests::damage::files_below(&vault.root().join("packs"));
    let newest = packs.iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap();
    fs::remove_file(newest).unwrap();

    let summary = search(&vault, &named("f")).unwrap();

    assert_eq!(summary.found.len(), 2);
    assert_eq!(summary.failed_entries, 1);
}
