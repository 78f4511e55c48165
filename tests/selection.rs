//! Selection: what belongs to a snapshot and what is left out, and that leaving out takes nothing else away.
//!
//! Expected trees are the source's own, minus what the test says.

use std::path::{Path, PathBuf};
use std::process::Command;

use vault_core::error::ErrorKind;
use vault_core::ops::backup::BackupOptions;
use vault_tests::{TestVault, Tree, TreeFixture, assert_same_tree, is_root, noise};

/// Backs up with these options and compares what comes back with the tree at `root` without the paths in `left_out`.
fn assert_left_out(root: &Path, options: &BackupOptions, left_out: &[&str]) {
    let vault = TestVault::new();
    let summary = vault.try_backup(options).unwrap();

    let restored = vault.restore(summary.snapshot);

    let out: Vec<PathBuf> = left_out.iter().map(PathBuf::from).collect();
    let expected = Tree::scan(root).without(|path, _| out.iter().any(|out| path.starts_with(out)));
    assert_eq!(expected.differences(&Tree::scan(restored.path())), "");
}

fn source() -> TreeFixture {
    let tree = TreeFixture::new();
    tree.file("keep.txt", "1").file("drop.log", "2").file("dir/drop.log", "3").file("dir/keep.log", "4");
    tree.file("build/out", "5").file("dir/build/out", "6").file("dir/build.rs", "7").dir("dir/empty");
    tree
}

#[test]
fn patterns_leave_out_what_they_match_at_every_depth() {
    let tree = source();
    let mut options = TestVault::options(&[&tree.path()]);
    options.omit.patterns = vec!["*.log".to_owned(), "!keep.log".to_owned(), "build/".to_owned()];

    assert_left_out(&tree.path(), &options, &["drop.log", "dir/drop.log", "build", "dir/build"]);
}

#[test]
fn anchored_and_absolute_patterns_match_one_place() {
    let tree = source();
    let mut options = TestVault::options(&[&tree.path()]);
    let absolute = tree.path().canonicalize().unwrap().join("dir/drop.log");
    options.omit.patterns = vec!["/build".to_owned(), absolute.to_str().unwrap().to_owned()];

    assert_left_out(&tree.path(), &options, &["build", "dir/drop.log"]);
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let tree = source();
    let mut options = TestVault::options(&[&tree.path()]);
    options.omit.patterns = vec!["[z-a]".to_owned()];

    let error = TestVault::new().try_backup(&options).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
}

#[test]
fn caches_are_left_out_but_for_their_tag() {
    let tree = source();
    tree.file("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# more")
        .file("cache/x", "x");
    tree.file("fake/CACHEDIR.TAG", "Signature: something else").file("fake/x", "x");
    let mut options = TestVault::options(&[&tree.path()]);
    options.omit.caches = true;

    assert_left_out(&tree.path(), &options, &["cache/x"]);
}

#[test]
fn files_above_the_size_are_left_out() {
    let tree = source();
    tree.file("as large as may be", noise(1, 1000)).file("larger", noise(1, 1001)).sparse(
        "huge",
        1 << 26,
        &[],
    );
    let mut options = TestVault::options(&[&tree.path()]);
    options.omit.larger_than = Some(1000);

    assert_left_out(&tree.path(), &options, &["larger", "huge"]);
}

#[test]
fn directories_to_leave_out_are_never_entered() {
    let tree = source();
    let mut options = TestVault::options(&[&tree.path()]);
    options.omit.directories = vec![tree.at("dir/build"), tree.at("no such directory")];

    assert_left_out(&tree.path(), &options, &["dir/build"]);
}

#[test]
fn other_file_systems_are_left_out_when_asked() {
    let tree = source();
    tree.dir("mounted");
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(tree.at("mounted")).status();
        status.is_ok_and(|status| status.success())
    };
    if !is_root() || !mount(&["-t", "tmpfs", "tmpfs"]) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let _unmount = Unmount(tree.at("mounted"));
    tree.file("mounted/inside", "x");
    let mut options = TestVault::options(&[&tree.path()]);

    assert_left_out(&tree.path(), &options, &[]);
    options.omit.other_file_systems = true;
    let vault = TestVault::new();
    let summary = vault.try_backup(&options).unwrap();
    let restored = Tree::scan(vault.restore(summary.snapshot).path());
    let expected = Tree::scan(&tree.path()).without(|path, _| path.starts_with("mounted"));
    let restored = restored.without(|path, _| path == Path::new("mounted"));

    assert_eq!(expected.differences(&restored), "");
}

/// Unmounts on every way out of a test.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn the_root_of_several_paths_is_the_deepest_directory_that_has_them_all() {
    let tree = source();
    let options = TestVault::options(&[&tree.at("dir/build"), &tree.at("dir/drop.log")]);

    assert_left_out(&tree.at("dir"), &options, &["keep.log", "build.rs", "empty"]);
}

#[test]
fn a_single_file_is_restored_into_the_target() {
    let tree = source();
    let others = ["drop.log", "dir", "build"];

    assert_left_out(&tree.path(), &TestVault::options(&[&tree.at("keep.txt")]), &others);
}

#[test]
fn paths_that_lie_in_one_another_are_stored_once() {
    let tree = source();
    let options = TestVault::options(&[&tree.at("dir/build"), &tree.path(), &tree.at("dir")]);
    let vault = TestVault::new();

    let summary = vault.try_backup(&options).unwrap();

    assert_eq!(summary.counts.files, 7);
    assert_same_tree(&tree.path(), vault.restore(summary.snapshot).path());
}

#[test]
fn a_path_that_does_not_exist_is_an_error_and_no_snapshot() {
    let tree = source();
    let vault = TestVault::new();

    let error = vault.try_backup(&TestVault::options(&[&tree.path(), &tree.at("tpyo")])).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
    assert!(vault.open().unwrap().state().snapshots().is_empty());
}
