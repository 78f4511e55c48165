//! Restores as people need them: over what is there, in place, and without doing harm to anything else.
//!
//! What is chosen and deleted stands in `restore_deletion`, what holds for any two trees in `restore_model`; here are the cases that one must see to believe.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use vault_core::error::Error;
use vault_core::ops::Surroundings;
use vault_core::ops::restore::{Delete, Destination, Overwrite, RestoreOptions, origin, restore};
use vault_core::progress::{Amount, Notice, Phase, Progress, Severity};
use vault_tests::fixture::set_mtime;
use vault_tests::restoring::{Case, small};
use vault_tests::{Machine, Target, TestVault, Tree, TreeFixture, assert_same_tree, is_root, noise};

#[test]
fn only_what_is_wrong_is_fetched_and_a_wrong_file_is_replaced_not_written_to() {
    let tree = TreeFixture::new();
    tree.file("large", noise(1, 8_000_000)).file("other", noise(2, 2_000_000));
    let case = Case::new(tree).restored();
    let large = case.target().join("large");
    let inode = |name: &str| case.target().join(name).metadata().unwrap().ino();
    let (before, other) = (inode("large"), inode("other"));
    let open = fs::File::open(&large).unwrap();
    fs::File::options().write(true).open(&large).unwrap().write_all_at(b"wrong", 4_000_000).unwrap();

    let fetched = case.fetched(&case.options(Overwrite::IfChanged));

    assert_same_tree(&case.tree.path(), &case.target());
    assert!(fetched < 3_000_000, "{fetched}");
    assert!(inode("large") != before && inode("other") == other);
    let mut byte = [0; 5];
    open.read_exact_at(&mut byte, 4_000_000).unwrap();
    assert_eq!(&byte, b"wrong", "whoever has the old file open keeps it");
}

#[test]
fn what_is_right_is_neither_fetched_nor_touched() {
    let tree = small();
    tree.file("large", noise(1, 3_000_000));
    let case = Case::new(tree).restored();
    let changed = |path: &Path| (path.metadata().unwrap().ctime(), path.metadata().unwrap().ctime_nsec());
    let files = ["", "a", "dir", "large"].map(|name| case.target().join(name));
    let before = files.each_ref().map(|path| changed(path));

    for overwrite in [Overwrite::Never, Overwrite::IfChanged, Overwrite::Always] {
        let fetched = case.fetched(&case.options(overwrite));
        assert!(fetched < 100_000, "{overwrite:?}: {fetched}");
        let summary = case.run(&case.options(overwrite));
        assert_eq!((summary.files, summary.bytes, summary.updated_entries), (0, 0, 0), "{summary:?}");
    }

    assert_eq!(before, files.each_ref().map(|path| changed(path)));
}

#[test]
fn a_changed_file_with_its_old_size_and_time_is_found_if_that_is_asked_for() {
    let case = Case::new(small()).restored();
    let file = case.target().join("a");
    let metadata = file.metadata().unwrap();
    fs::write(&file, "b").unwrap();
    set_mtime(&file, metadata.mtime(), metadata.mtime_nsec());

    case.run(&case.options(Overwrite::IfChanged));
    assert_eq!(fs::read(&file).unwrap(), b"b");

    let verified = RestoreOptions { verify: true, ..case.options(Overwrite::IfChanged) };
    assert_eq!(case.run(&verified).repaired_files, 1);
    assert_same_tree(&case.tree.path(), &case.target());
}

#[test]
fn a_file_with_another_name_elsewhere_leaves_that_one_alone() {
    let case = Case::new(small());
    let outside = case.work.path().join("outside");
    fs::create_dir(case.target()).unwrap();
    for (contents, mode) in [("a", 0o600), ("other", 0o604)] {
        fs::write(&outside, contents).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(mode)).unwrap();
        let _ = fs::remove_file(case.target().join("a"));
        fs::hard_link(&outside, case.target().join("a")).unwrap();

        case.run(&case.options(Overwrite::Always));

        assert_eq!(fs::read_to_string(&outside).unwrap(), contents);
        assert_eq!(outside.metadata().unwrap().mode() & 0o777, mode);
        assert_same_tree(&case.tree.path(), &case.target());
    }
}

#[test]
fn attributes_that_the_snapshot_does_not_have_go() {
    let tree = small();
    if !tree.xattr("a", "user.kept", b"1") {
        return eprintln!("skipped: this file system has no extended attributes");
    }
    let case = Case::new(tree).restored();
    for name in ["a", "dir"] {
        let path = case.target().join(name);
        rustix::fs::setxattr(&path, "user.surplus", b"2", rustix::fs::XattrFlags::empty()).unwrap();
    }

    let summary = case.run(&case.options(Overwrite::IfChanged));

    assert_eq!((summary.files, summary.updated_entries), (0, 2), "{summary:?}");
    assert_same_tree(&case.tree.path(), &case.target());
}

#[test]
fn a_symlink_in_the_target_is_never_followed() {
    for overwrite in [Overwrite::Never, Overwrite::IfChanged, Overwrite::Always] {
        let case = Case::new(small());
        let outside = case.work.path().join("outside");
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("b"), "outside").unwrap();
        fs::create_dir(case.target()).unwrap();
        symlink(&outside, case.target().join("dir")).unwrap();
        symlink(outside.join("b"), case.target().join("a")).unwrap();
        symlink(outside.join("new"), case.target().join("link")).unwrap();
        let before = Tree::scan(&outside);

        let summary = case
            .vault
            .try_restore_as(&RestoreOptions { delete: Delete::Surplus, ..case.options(overwrite) })
            .unwrap();

        assert_eq!(before.differences(&Tree::scan(&outside)), "", "{overwrite:?}");
        if overwrite == Overwrite::Always {
            assert_same_tree(&case.tree.path(), &case.target());
        } else {
            assert_eq!(summary.failed_entries, 1, "the directory is in the way");
        }
    }
}

#[test]
fn a_restore_in_place_goes_back_to_where_it_came_from() {
    let case = Case::new(small());
    let right = Tree::scan(&case.tree.path());
    let options = |path: &str| RestoreOptions {
        destination: Destination::Origin,
        path: PathBuf::from(path),
        ..TestVault::restore_options(case.snapshot, Path::new(""))
    };

    fs::write(case.tree.at("a"), "changed").unwrap();
    fs::write(case.tree.at("mine"), "stays").unwrap();
    case.run(&options("dir"));
    assert_eq!(fs::read(case.tree.at("a")).unwrap(), b"changed", "only the path was asked for");
    case.run(&options("a"));
    assert_eq!(fs::read(case.tree.at("a")).unwrap(), b"a");
    fs::remove_file(case.tree.at("mine")).unwrap();
    case.run(&options(""));
    assert_eq!(right.differences(&Tree::scan(&case.tree.path())), "");

    // The way to it is made again as it was.
    let times = |name: &str| case.tree.at(name).metadata().unwrap().modified().unwrap();
    let before = times("dir");
    fs::remove_dir_all(case.tree.at("dir")).unwrap();
    case.run(&options("dir/deep"));
    assert_eq!(times("dir"), before);
    assert!(case.tree.at("dir/deep/c").exists() && !case.tree.at("dir/b").exists());
    fs::remove_dir_all(case.tree.path()).unwrap();
    case.run(&options(""));
    assert_eq!(right.differences(&Tree::scan(&case.tree.path())), "");

    let opened = case.vault.open().unwrap();
    let reader = opened.unlock(&case.vault.identity).unwrap();
    let came_from = origin(&opened, &reader, &case.snapshot, Path::new("./dir//deep")).unwrap();
    assert_eq!(came_from, case.tree.path().canonicalize().unwrap().join("dir/deep"));
}

#[test]
fn a_symlink_on_the_way_back_is_refused() {
    let case = Case::new(small());
    let outside = case.work.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(case.tree.at("dir")).unwrap();
    symlink(&outside, case.tree.at("dir")).unwrap();
    let in_place = |path: &str| RestoreOptions {
        destination: Destination::Origin,
        path: PathBuf::from(path),
        ..TestVault::restore_options(case.snapshot, Path::new(""))
    };

    for path in ["dir", "dir/deep", "dir/b"] {
        assert!(case.vault.try_restore_as(&in_place(path)).is_err(), "{path}");
    }
    assert_eq!(case.vault.try_restore_as(&in_place("")).unwrap().failed_entries, 1);

    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn damage_fails_its_file_and_leaves_what_stands_there() {
    let tree = TreeFixture::new();
    tree.file("good", "good").file("damaged", noise(1, 100_000));
    let case = Case::new(tree);
    let pack = &Target::Pack.files(&case.vault)[0];
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).unwrap();
    fs::create_dir(case.target()).unwrap();
    fs::write(case.target().join("damaged"), "mine").unwrap();

    let summary = case.vault.try_restore_as(&case.options(Overwrite::Always)).unwrap();

    assert!(summary.failed_entries > 0, "{summary:?}");
    assert_eq!(fs::read(case.target().join("damaged")).unwrap(), b"mine");
    assert!(
        case.names().iter().all(|name| ["damaged", "good"].contains(&name.as_str())),
        "{:?}",
        case.names()
    );
}

/// Writes wrong bytes into a file when it is about to be verified, as a bad disk would.
struct BadDisk(PathBuf);

impl Progress for BadDisk {
    fn phase(&self, phase: Phase) {
        if phase == Phase::Verify {
            let file = fs::File::options().write(true).open(&self.0).unwrap();
            file.write_all_at(b"wrong", 50_000).unwrap();
        }
    }
    fn expect(&self, _: Amount) {}
    fn advance(&self, _: Amount) {}
    fn notice(&self, notice: &Notice<'_>) {
        assert_eq!((notice.severity, notice.subject), (Severity::Note, &*self.0));
    }
}

#[test]
fn what_was_written_wrong_is_found_and_written_again() {
    let tree = small();
    tree.file("large", noise(1, 200_000)).sparse("sparse", 1 << 20, &[(1 << 19, b"x")]).hard_link("b", "a");
    let case = Case::new(tree);
    let progress = BadDisk(case.target().join("large"));
    let opened = case.vault.open().unwrap();
    let reader = opened.unlock(&case.vault.identity).unwrap();
    let around = Surroundings { progress: &progress, ..case.vault.around() };
    let options =
        RestoreOptions { verify: true, ..TestVault::restore_options(case.snapshot, &case.target()) };

    let summary = restore(&opened, &reader, &options, &around).unwrap();

    assert_same_tree(&case.tree.path(), &case.target());
    assert_eq!(
        (summary.repaired_files, summary.verified_files, summary.failed_entries),
        (1, 4, 0),
        "{summary:?}"
    );
}

#[test]
fn zeros_become_holes_if_that_is_asked_for() {
    let tree = TreeFixture::new();
    let mut bytes = vec![0; 8 << 20];
    bytes[..5_000].copy_from_slice(&noise(1, 5_000));
    bytes[5_000_000..5_010_000].copy_from_slice(&noise(2, 10_000));
    tree.file("zeros", &bytes).file("all", vec![0; 1 << 20]).file("odd", vec![0; 5_001]);
    let case = Case::new(tree);
    let blocks = || case.target().join("zeros").metadata().unwrap().blocks();
    case.run(&TestVault::restore_options(case.snapshot, &case.target()));
    assert!(blocks() * 512 >= 8 << 20);

    fs::remove_dir_all(case.target()).unwrap();
    let sparse = RestoreOptions { sparse: true, ..TestVault::restore_options(case.snapshot, &case.target()) };
    case.run(&sparse);

    assert!(blocks() * 512 < 1 << 20, "{} blocks", blocks());
    assert_same_tree(&case.tree.path(), &case.target());
}

#[test]
fn a_dry_run_into_a_new_directory_makes_none() {
    let case = Case::new(small());
    let options = TestVault::restore_options(case.snapshot, &case.target());

    let dry = case.run(&RestoreOptions { dry_run: true, ..options.clone() });

    assert!(!case.target().exists() && dry.dry_run);
    let done = case.run(&options);
    assert_eq!((dry.files, dry.directories, dry.others), (done.files, done.directories, done.others));
}

#[test]
fn a_directory_that_is_being_restored_into_is_not_restored_into_twice() {
    struct Second<'c>(&'c Case, std::sync::Mutex<Option<Error>>);
    impl Progress for Second<'_> {
        fn phase(&self, phase: Phase) {
            if phase == Phase::Restore {
                let options = self.0.options(Overwrite::IfChanged);
                *self.1.lock().unwrap() = self.0.vault.try_restore_as(&options).err();
            }
        }
        fn expect(&self, _: Amount) {}
        fn advance(&self, _: Amount) {}
        fn notice(&self, _: &Notice<'_>) {}
    }
    let case = Case::new(small());
    let second = Second(&case, std::sync::Mutex::default());
    let opened = case.vault.open().unwrap();
    let reader = opened.unlock(&case.vault.identity).unwrap();
    let around = Surroundings { progress: &second, ..case.vault.around() };

    restore(&opened, &reader, &case.options(Overwrite::IfChanged), &around).unwrap();

    let error = second.1.into_inner().unwrap();
    assert!(matches!(error, Some(Error::TargetBusy { .. })), "{error:?}");
    assert_same_tree(&case.tree.path(), &case.target());
}

#[test]
fn someone_who_owns_a_closed_directory_can_restore_into_it() {
    let machine = Machine::new();
    let tree = small();
    tree.mode("dir", 0o555).mode("empty", 0o000);
    if is_root() {
        // The superuser enters everything; the program is asked to do so as nobody.
        return eprintln!("skipped: nothing is closed to the superuser");
    }
    machine.init();
    machine.succeed(["backup".as_ref(), tree.path().as_os_str()]);
    fs::set_permissions(tree.at("dir"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.at("dir/b")).unwrap();
    fs::set_permissions(tree.at("dir"), fs::Permissions::from_mode(0o555)).unwrap();

    machine.succeed(["restore", "latest", "--in-place", "--yes"]);

    assert_eq!(fs::read(tree.at("dir/b")).unwrap(), b"b");
    assert_eq!(tree.at("dir").metadata().unwrap().mode() & 0o777, 0o555);
}

#[test]
fn the_program_asks_before_it_does_harm() {
    let machine = Machine::new();
    let tree = small();
    machine.init();
    machine.succeed(["backup".as_ref(), tree.path().as_os_str()]);
    let home = machine.home().to_owned();
    let run = |arguments: &[&str]| machine.run(arguments).status.code();

    assert_eq!(run(&["restore", "latest", "--in-place"]), Some(2), "nobody can be asked");
    assert_eq!(run(&["restore", "latest", "--in-place", "--dry-run"]), Some(0));
    assert_eq!(run(&["restore", "latest", "--in-place", "--yes"]), Some(0));
    let home = home.to_str().unwrap();
    let delete = ["restore", "latest", "--target", home, "--overwrite", "if-changed", "--delete"];
    assert_eq!(run(&delete), Some(2));
    fs::write(machine.home().join("litter"), "x").unwrap();
    assert_eq!(run(&[&delete[..], &["--yes"]].concat()), Some(0));

    assert!(!machine.home().join("litter").exists());
    // The vault and the keys lie in the directory that was cleared, and are there yet.
    machine.succeed(["check", "--read-data"]);
    assert!(machine.home().join(".config/vault/device.key").exists());
}
