//! Interruption: whenever a backup ends before its end, the vault is whole, and the next backup goes on from what is there.
//!
//! The program is killed, or asked to stop, as users and machines do it; and the engine's store stops working at every single one
//! of its operations. `VAULT_TEST_KILLS` sets how often the program is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vault_core::ops::backup::backup;
use vault_core::store::DirectoryStore;
use vault_core::store::fault::{Fault, FaultyStore};
use vault_tests::damage::{copy_directory, files_below};
use vault_tests::scan::Kind;
use vault_tests::{Machine, TestVault, Tree, TreeFixture, assert_same_tree, noise};

/// Kills where `VAULT_TEST_KILLS` says nothing else.
const KILLS: u32 = 20;

/// How long to wait for something that must happen, before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A tree of several packs: some large files, and many small ones.
fn source(large_files: u64) -> TreeFixture {
    let tree = TreeFixture::new();
    for number in 0..large_files {
        tree.file(format!("large/{number}"), noise(number, 8 << 20));
    }
    for number in 0..1_000 {
        tree.file(format!("small/{}/{number}", number % 10), noise(1_000_000 + number, 2_000));
    }
    tree
}

fn start_backup(machine: &Machine, tree: &TreeFixture) -> Child {
    let tree = tree.path();
    let mut command = machine.command(["backup".as_ref(), "--json".as_ref(), tree.as_os_str()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The packs that have their names, with the bytes in them.
fn packs(vault: &Path) -> Vec<(PathBuf, u64)> {
    let directory = vault.join("packs");
    if !directory.exists() {
        return Vec::new();
    }
    let is_object = |path: &PathBuf| !path.file_name().unwrap().as_encoded_bytes().starts_with(b".");
    let sized = |path: PathBuf| path.metadata().ok().map(|metadata| (path, metadata.len()));
    files_below(&directory).into_iter().filter(is_object).filter_map(sized).collect()
}

fn stored_bytes(vault: &Path) -> u64 {
    packs(vault).iter().map(|(_, bytes)| bytes).sum()
}

fn assert_restores(machine: &Machine, tree: &TreeFixture) {
    let target = TempDir::new().unwrap();
    machine.succeed(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.path().as_os_str()]);
    assert_same_tree(&tree.path(), target.path());
}

#[test]
fn a_killed_backup_leaves_a_clean_vault_and_is_not_begun_again() {
    let kills = std::env::var("VAULT_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let tree = source(10);
    let machine = Machine::new();
    machine.init();
    let begun = Instant::now();
    assert!(start_backup(&machine, &tree).wait_with_output().unwrap().status.success());
    let (duration, whole_bytes) = (begun.elapsed(), stored_bytes(&machine.vault()));

    let mut saved = 0;
    for kill in 0..kills {
        fs::remove_dir_all(machine.vault()).unwrap();
        machine.init();
        let mut child = start_backup(&machine, &tree);
        // Spread over the whole run: a moment that is not tried cannot fail.
        std::thread::sleep(duration * (2 * kill + 1) / (2 * kills));
        child.kill().unwrap();
        child.wait().unwrap();
        let left = stored_bytes(&machine.vault());

        machine.succeed(["check", "--read-data"]);
        let summary = machine.json(["backup".as_ref(), tree.path().as_os_str()]);
        machine.succeed(["check", "--read-data"]);

        // What the killed run had stored is not stored again; padding and tables may differ.
        let total = stored_bytes(&machine.vault());
        assert!(
            total <= whole_bytes + whole_bytes / 10,
            "kill {kill}: {total} bytes, of them {left} left, {summary}"
        );
        assert_restores(&machine, &tree);
        saved += left;
    }
    assert!(
        kills < 10 || saved > 0,
        "no kill came after the first pack: the tree is too small for this machine"
    );
}

#[test]
fn a_backup_that_is_asked_to_stop_saves_a_partial_snapshot() {
    let tree = source(30);
    let machine = Machine::new();
    machine.init();
    let child = start_backup(&machine, &tree);

    let begun = Instant::now();
    while packs(&machine.vault()).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "no pack appears");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["partial"], true, "{summary}");
    machine.succeed(["check", "--read-data"]);
    let target = TempDir::new().unwrap();
    machine.succeed(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.path().as_os_str()]);
    let expected = Tree::scan(&tree.path());
    let found = Tree::scan(target.path());
    let mut files = 0;
    for (path, facts) in found.entries().iter().filter(|(_, facts)| facts.kind != Kind::Directory) {
        assert_eq!(Some(facts), expected.entries().get(path), "{path:?}");
        files += 1;
    }
    assert!(files > 0 && found.entries().len() < expected.entries().len(), "{files} files came back");

    machine.json(["backup".as_ref(), tree.path().as_os_str()]);
    assert_restores(&machine, &tree);
}

#[test]
fn a_restore_that_is_asked_to_stop_says_so() {
    let tree = source(30);
    let machine = Machine::new();
    machine.init();
    machine.succeed(["backup".as_ref(), tree.path().as_os_str()]);
    let target = TempDir::new().unwrap();
    let arguments = ["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.path().as_os_str()];
    let child = machine.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();

    let begun = Instant::now();
    while fs::read_dir(target.path()).unwrap().next().is_none() {
        assert!(begun.elapsed() < PATIENCE, "nothing is restored");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets the store of a small second backup meet `fault` at its first operation, then at its second, until there is none left.
fn assert_survives_everywhere(fault: Fault) {
    let tree = TreeFixture::new();
    tree.file("old", noise(1, 100_000)).file("dir/changed", "before");
    let mut vault = TestVault::with_small_chunks();
    vault.backup(&tree.path());
    tree.file("new", noise(2, 100_000)).file("dir/changed", "after, and longer");
    let before = TempDir::new().unwrap();
    copy_directory(&vault.root(), before.path());

    for nth in 0.. {
        assert!(nth < 1_000, "a small backup takes fewer operations");
        fs::remove_dir_all(vault.root()).unwrap();
        copy_directory(before.path(), &vault.root());
        vault.move_to_new_machine();

        let store = DirectoryStore::open(&vault.root()).unwrap();
        let store = Arc::new(FaultyStore::failing_at(store, nth, fault));
        let outcome = vault.open_through(Box::new(Arc::clone(&store))).and_then(|mut opened| {
            let options = TestVault::options(&[&tree.path()]);
            backup(&mut opened, &vault.device, &options, &vault.around())
        });
        let was_hit = store.operations().len() > nth;

        assert!(was_hit || outcome.is_ok(), "{fault:?} at {nth}: {outcome:?} without a fault");
        vault.assert_clean();
        if let Ok(summary) = outcome {
            assert_same_tree(&tree.path(), vault.restore(summary.snapshot).path());
        }
        let next = vault.backup(&tree.path());
        vault.assert_clean();
        assert_same_tree(&tree.path(), vault.restore(next.snapshot).path());
        if !was_hit {
            return;
        }
    }
}

#[test]
fn a_store_that_stops_working_anywhere_does_no_harm() {
    assert_survives_everywhere(Fault::Stop);
}

#[test]
fn an_operation_that_fails_anywhere_does_no_harm() {
    assert_survives_everywhere(Fault::Fail);
}

#[test]
fn an_answer_that_is_lost_anywhere_does_no_harm() {
    assert_survives_everywhere(Fault::LoseAnswer);
}

#[test]
fn a_disk_that_is_full_from_anywhere_on_does_no_harm() {
    assert_survives_everywhere(Fault::Full);
}
