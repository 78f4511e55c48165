//! What a restore chooses and what it deletes: only what was asked for, and nothing that it does not know everything about.
//!
//! What is written over what is there stands in `restore`.

use std::fs;
use std::path::Path;

use vault_core::error::{Error, ErrorKind};
use vault_core::ops::restore::{Delete, Destination, Overwrite, RestoreOptions};
use vault_tests::restoring::{Case, small};
use vault_tests::{TestVault, Tree, TreeFixture, assert_same_tree, is_root};

#[test]
fn patterns_choose_what_is_restored_with_the_directories_on_the_way() {
    let tree = TreeFixture::new();
    tree.file("a.jpg", "1").file("b.txt", "2").file("dir/c.jpg", "3").file("dir/d.txt", "4");
    tree.file("no/e.txt", "5")
        .file("Trip/f.txt", "6")
        .file("Trip/g.tmp", "7")
        .dir("Trip/empty")
        .mode("dir", 0o750);
    let case = Case::new(tree);
    let only = |include: &[&str], exclude: &[&str]| RestoreOptions {
        include: include.iter().map(|&text| text.to_owned()).collect(),
        exclude: exclude.iter().map(|&text| text.to_owned()).collect(),
        ..TestVault::restore_options(case.snapshot, &case.target())
    };

    case.run(&only(&["*.jpg", "/Trip/"], &["*.tmp"]));

    assert_eq!(case.names(), ["Trip", "Trip/empty", "Trip/f.txt", "a.jpg", "dir", "dir/c.jpg"]);
    let out =
        |path: &Path| ["b.txt", "dir/d.txt", "Trip/g.tmp", "no"].iter().any(|out| path.starts_with(out));
    let expected = Tree::scan(&case.tree.path()).without(|path, _| out(path));
    assert_eq!(expected.differences(&Tree::scan(&case.target())), "");

    fs::remove_dir_all(case.target()).unwrap();
    case.run(&only(&[], &["*.txt", "no/", "/Trip"]));
    assert_eq!(case.names(), ["a.jpg", "dir", "dir/c.jpg"]);
    assert_eq!(case.vault.try_restore_as(&only(&["[z-a]"], &[])).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn deletion_honours_the_patterns() {
    let case = Case::new(small()).restored();
    let delete = |delete, include: &[&str], exclude: &[&str]| RestoreOptions {
        delete,
        include: include.iter().map(|&text| text.to_owned()).collect(),
        exclude: exclude.iter().map(|&text| text.to_owned()).collect(),
        ..case.options(Overwrite::IfChanged)
    };
    let litter = || {
        fs::create_dir_all(case.target().join("new/below")).unwrap();
        for name in ["x.log", "new/y.log", "new/below/z", "dir/w"] {
            fs::write(case.target().join(name), name).unwrap();
        }
    };

    litter();
    assert_eq!(case.run(&delete(Delete::Nothing, &[], &[])).deleted_entries, 0);
    let summary = case.run(&delete(Delete::Surplus, &[], &["*.log"]));
    assert_eq!(summary.deleted_entries, 3, "{summary:?}");
    assert!(case.target().join("x.log").exists() && case.target().join("new/y.log").exists());
    assert!(!case.target().join("new/below").exists() && !case.target().join("dir/w").exists());

    litter();
    case.run(&delete(Delete::Surplus, &[], &[]));
    assert_same_tree(&case.tree.path(), &case.target());

    litter();
    case.run(&delete(Delete::SurplusAndUnchosen, &["dir/"], &["b"]));
    assert_eq!(case.names(), ["dir", "dir/deep", "dir/deep/c"]);
}

#[test]
fn deletion_spares_what_is_protected() {
    let case = Case::new(small()).restored();
    fs::create_dir_all(case.target().join("new/vault/packs")).unwrap();
    fs::write(case.target().join("new/key"), "key").unwrap();
    let options = RestoreOptions {
        delete: Delete::SurplusAndUnchosen,
        protect: vec![case.target().join("new/vault"), case.target().join("no such file")],
        ..case.options(Overwrite::Always)
    };

    case.run(&options);

    assert!(case.target().join("new/vault/packs").exists() && !case.target().join("new/key").exists());
}

#[test]
fn a_snapshot_deletes_only_where_it_knows_everything() {
    let tree = small();
    let vault = TestVault::new();
    let options = TestVault::options(&[&tree.at("dir"), &tree.at("empty")]);
    let snapshot = vault.try_backup(&options).unwrap().snapshot;
    tree.file("dir/new", "goes").file("empty/new", "goes");
    let in_place = RestoreOptions {
        destination: Destination::Origin,
        delete: Delete::SurplusAndUnchosen,
        ..TestVault::restore_options(snapshot, Path::new(""))
    };

    let summary = vault.try_restore_as(&in_place).unwrap();

    assert_eq!(summary.deleted_entries, 2);
    assert!(tree.at("a").exists() && tree.at("link").is_symlink() && !tree.at("dir/new").exists());
}

#[test]
fn a_partial_snapshot_deletes_nothing() {
    let case = Case::new(small());
    case.vault.stop.request();
    let partial = case.vault.try_backup(&TestVault::options(&[&case.tree.path()]));
    // Where the stop came before anything was stored there is no partial snapshot.
    let Ok(partial) = partial.map(|summary| summary.snapshot) else { return };
    let options = RestoreOptions {
        delete: Delete::Surplus,
        overwrite: Some(Overwrite::IfChanged),
        ..TestVault::restore_options(partial, &case.target())
    };

    let error = case.vault.try_restore_as(&options).unwrap_err();

    assert!(matches!(error, Error::DeletesByPartial { .. }), "{error:?}");
}

#[test]
fn another_file_system_in_the_target_is_not_emptied() {
    let case = Case::new(small()).restored();
    let mounted = case.target().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&mounted).status();
    if !is_root() || !mount.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: no file system can be mounted here");
    }
    fs::write(mounted.join("file"), "stays").unwrap();
    let options = RestoreOptions { delete: Delete::Surplus, ..case.options(Overwrite::Always) };

    let summary = case.vault.try_restore_as(&options);
    let stays = mounted.join("file").exists();
    let _ = std::process::Command::new("umount").arg("--lazy").arg(&mounted).status();

    assert!(stays && summary.unwrap().failed_entries == 1);
}
