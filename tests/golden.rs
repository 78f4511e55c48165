//! Golden vaults: what was written with a released format is read for ever.
//!
//! Each directory in `tests/golden/` is named after the version of the format and never changes once it is published:
//!
//! | name | what it is |
//! |---|---|
//! | `vault/` | the vault |
//! | `passphrase` | what opens the identity in it |
//! | `manifest` | what its newest snapshot restores to, one line for each entry |
//!
//! `cargo test -p vault-tests --test golden -- --ignored` makes the one of the current format, if there is none.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vault_core::chunk::cut::Params;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::Unlock;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::FORMAT_VERSION;
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::restore::{RestoreOptions, restore};
use vault_core::store::location::{Access, Location};
use vault_core::vault::Vault;
use vault_tests::damage::{copy_directory, files_below};
use vault_tests::fixture::set_mtime;
use vault_tests::scan::Kind;
use vault_tests::vault::PASSPHRASE;
use vault_tests::{TestVault, Tree, TreeFixture, local_below, noise, workspace};

/// A golden vault is in the repository for ever, so it must be small.
const MAX_BYTES: u64 = 300_000;

fn golden() -> PathBuf {
    workspace().join("tests/golden")
}

/// The directories of golden vaults; none before the first format is published.
fn versions() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(golden()) else { return Vec::new() };
    let mut versions: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    versions
}

/// What is compared: all that every file system keeps and every user may set.
fn manifest(root: &Path) -> String {
    let mut text = String::new();
    for (path, facts) in Tree::scan(root).entries() {
        let name = path.as_os_str().as_bytes().escape_ascii();
        let kind = match &facts.kind {
            Kind::File { size, sha256 } => format!("file {size} {}", hex::encode(sha256)),
            Kind::Directory => "directory".to_owned(),
            Kind::Symlink(target) => format!("symlink {}", target.escape_ascii()),
            Kind::Fifo => "fifo".to_owned(),
            other => panic!("{other:?} cannot be in a golden vault"),
        };
        let same_as = facts.same_as.as_ref().map(|same| same.as_os_str().as_bytes().escape_ascii());
        let same_as = same_as.map_or(String::new(), |same| format!(" same as \"{same}\""));
        let (seconds, nanos) = facts.mtime;
        writeln!(text, "\"{name}\" {:04o} {seconds}.{nanos:09} {kind}{same_as}", facts.mode).unwrap();
    }
    text
}

#[test]
fn every_golden_vault_opens_checks_and_restores() {
    let versions = versions();
    if versions.is_empty() {
        eprintln!("skipped: no format is published yet");
    }
    let machine = TestVault::new();
    for version in versions {
        let name = version.display();
        let work = TempDir::new().unwrap();
        let local = local_below(work.path());
        let location = Location::parse(version.join("vault")).unwrap();
        let passphrase = SecretString::from(fs::read_to_string(version.join("passphrase")).unwrap());

        let vault = Vault::open(location.open(&Access::local()).unwrap(), local).unwrap();
        let sealed = vault.sealed_identities().unwrap();
        let identity = UserIdentity::open(&sealed[0], Unlock::Passphrase(&passphrase)).unwrap();
        let reader = vault.unlock(&identity).unwrap();
        let checked = check(
            &vault,
            &reader,
            CheckOptions { read_data: true, ..CheckOptions::default() },
            &machine.around(),
        )
        .unwrap();
        assert!(checked.findings.is_empty(), "{name}: {:#?}", checked.findings);
        assert!(checked.chunks > 0 && checked.snapshots > 1, "{name}: {checked:?}");

        let snapshot = vault.state().snapshots().last().unwrap().id;
        let target = work.path().join("restored");
        let options = RestoreOptions::new(snapshot, &target);
        let restored = restore(&vault, &reader, &options, &machine.around()).unwrap();
        assert_eq!((restored.failed_entries, restored.failed_attributes), (0, 0), "{name}");
        assert_eq!(manifest(&target), fs::read_to_string(version.join("manifest")).unwrap(), "{name}");
    }
}

#[test]
fn there_is_a_golden_vault_of_each_format_and_nothing_else() {
    let names: Vec<_> = versions().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    let expected: Vec<_> = (1..=FORMAT_VERSION).map(|version| format!("v{version}")).collect();

    assert!(
        names.is_empty() || names == expected.iter().map(AsRef::as_ref).collect::<Vec<&std::ffi::OsStr>>(),
        "{names:?}"
    );
    for version in versions() {
        let bytes: u64 = files_below(&version).iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(bytes < MAX_BYTES, "{}: {bytes} bytes", version.display());
    }
}

/// A tree with one of everything that any user can make.
fn tree() -> TreeFixture {
    let tree = TreeFixture::new();
    tree.file("large", noise(1, 60_000)).file("text", "frozen for ever\n".repeat(4_000)).file("empty", "");
    tree.file("dir/sub/deep", "deep").dir("dir/nothing").file(b"\xff\n\x1b", "a name in bytes");
    tree.file("linked", "two names").hard_link("dir/linked too", "linked").fifo("fifo");
    tree.symlink("link", "dir/sub").symlink("dangling", b"\xfe nowhere/");
    tree.sparse("sparse", 3 << 20, &[(1 << 20, &noise(2, 5_000))]);
    tree.mode("text", 0o4711).mode("dir/sub", 0o1750).mode("empty", 0o400);
    for number in 0..200 {
        tree.file(format!("many/{number:03}"), format!("file {number}\n"));
    }
    tree
}

/// Gives all entries fixed times, before 1970 some of them, directories last.
fn set_times(root: &Path) {
    let paths: Vec<PathBuf> = Tree::scan(root).entries().keys().rev().map(|path| root.join(path)).collect();
    for (number, path) in paths.iter().enumerate() {
        let number = number as i64;
        set_mtime(path, number * 10_000_000 - 400_000_000, number * 1_234_567 % 1_000_000_000);
    }
}

#[test]
#[ignore = "makes the golden vault of the current format; run once, when the format is published"]
fn make_the_golden_vault() {
    let target = golden().join(format!("v{FORMAT_VERSION}"));
    assert!(!target.exists(), "{} exists: golden vaults never change", target.display());
    let tree = tree();
    let vault = TestVault::with_chunks(Params::new(2 << 10, 12, 32 << 10).unwrap());
    vault.backup(&tree.path());
    tree.file("added later", noise(3, 10_000)).file("dir/sub/deep", "changed");
    set_times(&tree.path());
    vault.backup(&tree.path());

    copy_directory(&vault.root(), &target.join("vault"));
    fs::write(target.join("passphrase"), PASSPHRASE).unwrap();
    fs::write(target.join("manifest"), manifest(&tree.path())).unwrap();
}
