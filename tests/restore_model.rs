//! Restoring into what is there already: whatever stands in the target, what comes out is what a simple model says.
//!
//! The model knows the tree that was backed up and the tree that stood in the target, and says path by path which of the two wins.
//! `PROPTEST_CASES` sets how many pairs of trees are tried, each in every manner.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use vault_core::id::SnapshotId;
use vault_core::ops::restore::{Delete, Overwrite, RestoreOptions, RestoreSummary};
use vault_tests::change::{Change, change};
use vault_tests::fixture::set_mtime;
use vault_tests::scan::{Facts, Kind};
use vault_tests::{TestVault, Tree, proptest_config};

/// Pairs of trees tried where `PROPTEST_CASES` says nothing else.
const CASES: u32 = 24;

/// What stands in the target before the restore.
#[derive(Debug, Clone)]
enum Before {
    /// What was made there by itself.
    Other(Vec<Change>),
    /// What was restored there, and changed since.
    Restored(Vec<Change>),
    /// What was restored there, and the bytes of some files changed without a trace.
    Tampered,
}

/// What the model says of one path.
struct Expected<'t> {
    facts: &'t Facts,
    /// Whether it is an entry of the snapshot.
    restored: bool,
    /// Whether its time is as said: that of a directory that keeps its attributes changes with what is put into it.
    time_is_known: bool,
}

struct Model<'t> {
    source: &'t Tree,
    before: &'t Tree,
    overwrite: Overwrite,
    delete: bool,
    /// Files whose wrong contents are not noticed, as size and time are right.
    unnoticed: BTreeSet<PathBuf>,
}

impl<'t> Model<'t> {
    /// The tree after the restore, and how many entries could not be restored.
    fn outcome(&self) -> (BTreeMap<&'t Path, Expected<'t>>, u64) {
        let mut after = BTreeMap::new();
        let mut blocked: Vec<&Path> = Vec::new();
        let is_directory = |facts: &Facts| facts.kind == Kind::Directory;
        for (path, facts) in self.source.entries() {
            // Ancestors come first, so what is below something that is in the way is known.
            if blocked.iter().any(|blocked| path.starts_with(blocked)) {
                continue;
            }
            let standing = self.before.entries().get(path);
            let winner = match standing {
                Some(standing) if is_directory(standing) != is_directory(facts) => {
                    if self.overwrite != Overwrite::Always {
                        blocked.push(path);
                        continue;
                    }
                    facts
                }
                Some(standing) if self.overwrite == Overwrite::Never => standing,
                _ => facts,
            };
            let own = std::ptr::eq(winner, facts);
            let time_is_known = own || !is_directory(winner);
            after.insert(&**path, Expected { facts: winner, restored: own, time_is_known });
        }
        for (path, facts) in self.before.entries() {
            let is_blocked = blocked.iter().any(|blocked| path.starts_with(blocked));
            let in_the_way = path
                .ancestors()
                .skip(1)
                .any(|above| self.source.entries().get(above).is_some_and(|above| !is_directory(above)));
            let surplus = !self.source.entries().contains_key(path) && !in_the_way;
            if is_blocked || (surplus && !self.delete) {
                after.insert(path, Expected { facts, restored: false, time_is_known: true });
            }
        }
        (after, blocked.len() as u64)
    }

    fn check(&self, target: &Path, summary: &RestoreSummary) -> Result<(), String> {
        let (expected, blocked) = self.outcome();
        let found = Tree::scan(target);
        if summary.failed_entries != blocked {
            return Err(format!("{blocked} entries are in the way: {summary:?}"));
        }
        for (path, expected) in &expected {
            let found = found.entries().get(*path).ok_or_else(|| format!("{path:?} is missing"))?;
            let mut right = Facts { same_as: None, ..expected.facts.clone() };
            let mut found = Facts { same_as: None, ..found.clone() };
            if !expected.time_is_known {
                (right.mtime, found.mtime) = Default::default();
            }
            if self.unnoticed.contains(*path) {
                found.kind = right.kind.clone();
            }
            if right != found {
                return Err(format!("{path:?}:\n  expected {right:?}\n  found    {found:?}"));
            }
        }
        if let Some(new) = found.entries().keys().find(|path| !expected.contains_key(&***path)) {
            return Err(format!("{new:?} should not be there"));
        }
        check_links(target, &expected)
    }
}

/// Of what was restored, those and only those are one file that were one file.
fn check_links(target: &Path, expected: &BTreeMap<&Path, Expected<'_>>) -> Result<(), String> {
    let mut first_names: BTreeMap<u64, &Path> = BTreeMap::new();
    let mut groups: BTreeMap<&Path, &Path> = BTreeMap::new();
    for (path, expected) in expected.iter().filter(|(_, expected)| expected.restored) {
        if expected.facts.kind == Kind::Directory {
            continue;
        }
        let inode = target.join(path).symlink_metadata().unwrap().ino();
        let found = *first_names.entry(inode).or_insert(path);
        let group = expected.facts.same_as.as_deref().unwrap_or(path);
        let right = *groups.entry(group).or_insert(path);
        if found != right {
            return Err(format!("{path:?} is one file with {found:?} instead of {right:?}"));
        }
    }
    Ok(())
}

/// Gives all entries times that differ from each other's, and from those of another `base`.
fn stamp(root: &Path, base: i64) {
    for (number, path) in Tree::scan(root).entries().keys().rev().enumerate() {
        set_mtime(&root.join(path), base + number as i64, 7);
    }
}

/// Changes a byte of every file that has one name, and gives it back its time. Returns which.
fn tamper(root: &Path) -> BTreeSet<PathBuf> {
    let tree = Tree::scan(root);
    let files = tree.entries().iter().filter(|(_, facts)| {
        matches!(facts.kind, Kind::File { size, .. } if size > 0) && facts.same_as.is_none()
    });
    files
        .map(|(path, facts)| {
            let full = root.join(path);
            let Kind::File { size, .. } = facts.kind else { unreachable!() };
            let file = fs::File::options().read(true).write(true).open(&full).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, size / 2).unwrap();
            file.write_all_at(&[!byte[0]], size / 2).unwrap();
            set_mtime(&full, facts.mtime.0, facts.mtime.1);
            path.clone()
        })
        .collect()
}

/// Makes what stands in the target; returns the files that were tampered with.
fn prepare(vault: &TestVault, snapshot: SnapshotId, before: &Before, target: &Path) -> BTreeSet<PathBuf> {
    let mut options = TestVault::restore_options(snapshot, target);
    match before {
        Before::Other(changes) => {
            fs::create_dir(target).unwrap();
            changes.iter().for_each(|change| change.apply(target));
            stamp(target, 2_000_000_000);
            return BTreeSet::new();
        }
        Before::Restored(changes) => {
            vault.try_restore_as(&options).unwrap();
            changes.iter().for_each(|change| change.apply(target));
        }
        Before::Tampered => {
            options.overwrite = Some(Overwrite::Always);
            vault.try_restore_as(&options).unwrap();
            return tamper(target);
        }
    }
    BTreeSet::new()
}

/// A dry run must leave everything as it is, and say what the real one will do.
fn assert_foretold(dry: &RestoreSummary, done: &RestoreSummary) {
    let counts = |summary: &RestoreSummary| {
        [
            summary.files,
            summary.directories,
            summary.others,
            summary.bytes,
            summary.repaired_files,
            summary.kept_entries,
            summary.deleted_entries,
            summary.failed_entries,
        ]
    };
    assert_eq!(counts(dry), counts(done), "{dry:?}\n{done:?}");
}

fn assert_comes_out(source: &[Change], before: &Before) {
    let work = TempDir::new().unwrap();
    let root = work.path().join("tree");
    fs::create_dir(&root).unwrap();
    source.iter().for_each(|change| change.apply(&root));
    stamp(&root, 1_000_000_000);
    let vault = TestVault::with_small_chunks();
    let snapshot = vault.backup(&root).snapshot;
    let source = Tree::scan(&root);

    let manners = [
        (Overwrite::Never, false, true),
        (Overwrite::IfChanged, false, false),
        (Overwrite::IfChanged, true, true),
        (Overwrite::Always, false, false),
        (Overwrite::Always, true, true),
    ];
    for (number, (overwrite, verify, delete)) in manners.into_iter().enumerate() {
        let target = work.path().join(format!("target {number}"));
        let tampered = prepare(&vault, snapshot, before, &target);
        let standing = Tree::scan(&target);
        let options = RestoreOptions {
            overwrite: Some(overwrite),
            verify,
            delete: if delete { Delete::Surplus } else { Delete::Nothing },
            ..TestVault::restore_options(snapshot, &target)
        };

        let dry = vault.try_restore_as(&RestoreOptions { dry_run: true, ..options.clone() }).unwrap();
        assert_eq!(standing.differences(&Tree::scan(&target)), "", "a dry run changed something");
        let summary = vault.try_restore_as(&options).unwrap();

        let noticed = overwrite == Overwrite::Always || verify;
        let unnoticed = if noticed { BTreeSet::new() } else { tampered };
        let model = Model { source: &source, before: &standing, overwrite, delete, unnoticed };
        if let Err(why) = model.check(&target, &summary) {
            panic!("{overwrite:?}, verify {verify}, delete {delete}: {why}");
        }
        assert_foretold(&dry, &summary);
        let again = vault.try_restore_as(&options).unwrap();
        assert_eq!((again.files, again.directories, again.others, again.deleted_entries), (0, 0, 0, 0));
    }
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        3 => vec(change(), 0..15).prop_map(Before::Other),
        5 => vec(change(), 0..10).prop_map(Before::Restored),
        1 => Just(Before::Tampered),
    ]
}

proptest! {
    #![proptest_config(proptest_config(CASES))]

    #[test]
    fn a_restore_into_anything_comes_out_as_the_model_says(source in vec(change(), 0..20), before in before()) {
        assert_comes_out(&source, &before);
    }
}
