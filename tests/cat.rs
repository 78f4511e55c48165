//! What `cat` hands on: the bytes of files, and archives that bring back what is in a directory.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::FileType;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::SnapshotId;
use vault_core::ops::cat::{Cat, CatOptions, CatSummary};
use vault_tests::{Machine, TestVault, Tree, TreeFixture, assert_same_tree, is_root, noise};

/// All bytes up to the end or an error, and which it was.
fn cat(vault: &TestVault, snapshot: SnapshotId, path: &str) -> (Vec<u8>, Result<CatSummary, Error>) {
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let mut bytes = Vec::new();
    let options = CatOptions { snapshot, path: PathBuf::from(path) };
    let result = Cat::find(&open, &reader, &options).and_then(|cat| {
        cat.write(&vault.around(), &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
    });
    (bytes, result)
}

fn whole(vault: &TestVault, snapshot: SnapshotId, path: &str) -> Vec<u8> {
    let (bytes, result) = cat(vault, snapshot, path);
    assert_eq!(result.unwrap().bytes, bytes.len() as u64);
    bytes
}

/// Unpacks an archive with the program `tar`.
fn unpack(archive: &[u8], target: &Path) {
    let mut tar = Command::new("tar")
        .args(["--extract", "--file=-", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--directory"])
        .arg(target)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(tar.wait().unwrap().success());
}

#[test]
fn a_file_comes_out_as_it_went_in() {
    let (vault, tree) = (TestVault::with_small_chunks(), TreeFixture::new());
    let contents = noise(1, 300_000);
    tree.file("a/large", &contents).file("a/empty", "").file("a/repeated", vec![7; 500_000]);
    tree.sparse("a/sparse", 400_000, &[(0, b"begin"), (200_000, &contents[..70_000])]);
    let snapshot = vault.backup(&tree.path()).snapshot;

    for name in ["a/large", "a/empty", "a/repeated", "a/sparse"] {
        assert!(whole(&vault, snapshot, name) == fs::read(tree.at(name)).unwrap(), "{name}");
    }
}

#[test]
fn an_archive_of_a_file_has_it_alone_under_its_name() {
    let (vault, tree) = (TestVault::with_small_chunks(), TreeFixture::new());
    tree.file("a/b/large", noise(1, 300_000)).file("a/b/other", "other");
    let snapshot = vault.backup(&tree.path()).snapshot;
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let options = CatOptions { snapshot, path: PathBuf::from("a/b/large") };

    let mut archive = Vec::new();
    let written = Cat::find(&open, &reader, &options).unwrap().write_archive(&vault.around(), &mut |part| {
        archive.extend_from_slice(part);
        Ok(())
    });

    assert_eq!(written.unwrap(), CatSummary { bytes: archive.len() as u64, failed_entries: 0 });
    let target = tempfile::tempdir().unwrap();
    unpack(&archive, target.path());
    let names: Vec<_> =
        fs::read_dir(target.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["large"]);
    assert!(fs::read(target.path().join("large")).unwrap() == fs::read(tree.at("a/b/large")).unwrap());
}

#[test]
fn an_archive_brings_back_what_is_in_a_directory() {
    let (vault, tree) = (TestVault::with_small_chunks(), TreeFixture::new());
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    tree.file(&long, "long").file("large", noise(1, 100_000)).file(b"caf\xe9", "latin").file("x/y/z", "z");
    tree.file("new\nline", "n").file("ü".repeat(60), "u").dir("empty").fifo("pipe").mode("x/y/z", 0o4711);
    tree.hard_link("x/second", "large").hard_link("third", "large").symlink("link", "l".repeat(300));
    tree.sparse("sparse", 1 << 20, &[(500_000, b"data")]);
    tree.mtime("large", 1_234_567_890, 123_456_789);
    tree.mtime("x/y/z", -5, 500_000_000);
    tree.xattr("x/y", "user.note", b"bytes \0\n=\xff");
    if is_root() {
        tree.device("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)).owner("x", 3_000_000, 7);
    }
    let snapshot = vault.backup(&tree.path()).snapshot;
    let target = tempfile::tempdir().unwrap();

    let archive = whole(&vault, snapshot, "");
    unpack(&archive, target.path());

    // Holes came back as zeros, so that the same bytes take more room.
    let differences = Tree::scan(&tree.path()).differences(&Tree::scan(target.path()));
    assert!(differences.is_empty(), "{differences}");
    assert!(whole(&vault, snapshot, "") == archive, "another run makes another archive");
}

#[test]
fn a_directory_in_a_snapshot_is_an_archive_of_its_own() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("a/f", "f").file("a/b/c", "c").hard_link("a/b/d", "a/f").file("e", "e");
    let snapshot = vault.backup(&tree.path()).snapshot;
    let target = tempfile::tempdir().unwrap();

    unpack(&whole(&vault, snapshot, "a"), target.path());

    assert_same_tree(&tree.at("a"), target.path());
}

#[test]
fn what_has_no_contents_is_refused() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.symlink("link", "target");
    let snapshot = vault.backup(&tree.path()).snapshot;

    assert!(matches!(cat(&vault, snapshot, "link").1, Err(Error::NotAFile { .. })));
    assert!(matches!(cat(&vault, snapshot, "none").1, Err(Error::NoSuchPath { .. })));
}

#[test]
fn at_damage_the_output_ends_after_what_is_right() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    let contents = noise(1, 8 << 20);
    tree.file("large", &contents);
    let snapshot = vault.backup(&tree.path()).snapshot;
    let packs = vault_tests::damage::files_below(&vault.root().join("packs"));
    let pack = packs.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).unwrap();

    let (right, result) = cat(&vault, snapshot, "large");

    assert_eq!(result.unwrap_err().kind(), ErrorKind::Integrity);
    assert!(right.len() > 1 << 20 && right.len() < contents.len() && contents.starts_with(&right));
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let (machine, tree) = (Machine::new(), TreeFixture::new());
    tree.file("large", noise(1, 5 << 20));
    machine.init();
    machine.succeed(["backup", "--quiet", tree.path().to_str().unwrap()]);

    for what in ["latest:large", "latest"] {
        let mut child =
            machine.command(["cat", what]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();

        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}
