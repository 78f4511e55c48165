//! Interrupted restores: whenever one ends before its end, what is in the target under its own name is right, and the same
//! command brings the rest and nothing else.
//!
//! The engine is stopped and killed at every single step, its store fails at every operation, and the program is killed as users and
//! machines do it. `VAULT_TEST_KILLS` sets how often.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tempfile::TempDir;
use vault_core::crypto::random::SystemRandom;
use vault_core::error::ErrorKind;
use vault_core::id::SnapshotId;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::Unlock;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::ops::restore::{RestoreOptions, restore};
use vault_core::ops::{Stop, Surroundings};
use vault_core::progress::{Amount, Notice, Phase, Progress};
use vault_core::store::DirectoryStore;
use vault_core::store::fault::{Fault, FaultyStore, Operation};
use vault_core::store::location::{Access, Location};
use vault_core::time::{FixedClock, Timestamp};
use vault_core::vault::Vault;
use vault_tests::scan::Kind;
use vault_tests::vault::{PASSPHRASE, seal};
use vault_tests::{Machine, TestVault, Tree, TreeFixture, assert_same_tree, is_root, local_below, noise};

/// Kills where `VAULT_TEST_KILLS` says nothing else.
const KILLS: u32 = 10;

/// What a restore's temporary files are called.
const TEMPORARY: &[u8] = b".vault-restore-";

fn source() -> TreeFixture {
    let tree = TreeFixture::new();
    tree.file("large", noise(1, 200_000)).file("dir/small", "small").file("dir/empty", "").dir("dir/nothing");
    tree.hard_link("dir/same as large", "large").symlink("link", "dir").fifo("dir/fifo");
    tree.sparse("sparse", 1 << 20, &[(1 << 19, b"data")]);
    for number in 0..6 {
        tree.file(format!("many/{number}"), noise(10 + number, 9_000));
    }
    tree
}

/// Everything that has its own name is as it was, contents and attributes; only directories may lack theirs.
fn assert_nothing_is_wrong(source: &Tree, target: &Path) {
    if !target.exists() {
        return;
    }
    for (path, found) in Tree::scan(target).entries() {
        let is_temporary =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY));
        if found.kind == Kind::Directory || is_temporary {
            continue;
        }
        let right = &source.entries()[path];
        // A link or pipe is complete by its name; its attributes follow.
        let attributes_follow = !matches!(found.kind, Kind::File { .. });
        assert_eq!(found.kind, right.kind, "{path:?}");
        assert!(attributes_follow || (found.mtime, found.mode) == (right.mtime, right.mode), "{path:?}");
    }
}

/// Requests a stop at one step of an operation, or ends the process there.
struct Interrupter<'s> {
    left: AtomicU64,
    stop: Option<&'s Stop>,
}

impl Progress for Interrupter<'_> {
    fn phase(&self, _: Phase) {}
    fn expect(&self, _: Amount) {}
    fn advance(&self, _: Amount) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            match self.stop {
                Some(stop) => stop.request(),
                None => std::process::abort(),
            }
        }
    }
    fn notice(&self, _: &Notice<'_>) {}
}

#[test]
fn a_restore_that_is_stopped_anywhere_goes_on_with_the_same_command() {
    let tree = source();
    let expected = Tree::scan(&tree.path());
    let vault = TestVault::with_small_chunks();
    let snapshot = vault.backup(&tree.path()).snapshot;

    for step in 1.. {
        assert!(step < 1_000, "a small restore takes fewer steps");
        let work = TempDir::new().unwrap();
        let target = work.path().join("target");
        let stop = Stop::new();
        let progress = Interrupter { left: AtomicU64::new(step), stop: Some(&stop) };
        let around = Surroundings { progress: &progress, stop: &stop, ..vault.around() };
        let options = TestVault::restore_options(snapshot, &target);
        let opened = vault.open().unwrap();
        let reader = opened.unlock(&vault.identity).unwrap();

        let summary = restore(&opened, &reader, &options, &around).unwrap();
        assert_nothing_is_wrong(&expected, &target);
        let rest = if summary.interrupted { vault.try_restore_as(&options).unwrap() } else { summary };

        assert!(!rest.interrupted && rest.failed_entries == 0, "step {step}: {rest:?}");
        assert_same_tree(&tree.path(), &target);
        assert!(
            !summary.interrupted || rest.files <= 11 - summary.files,
            "step {step}: {summary:?} {rest:?}"
        );
        if !summary.interrupted {
            return;
        }
    }
}

/// Where the process below finds what it is to do; not set where all tests are run.
const CHILD: &str = "VAULT_TEST_RESTORE_CHILD";

/// Not a test: the process that the next one lets die. It restores, and ends at one step without any destructor.
#[test]
fn child_that_dies_while_it_restores() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let mut words = task.split('\n');
    let mut word = || words.next().unwrap();
    let (vault, local, target) = (word(), PathBuf::from(word()), PathBuf::from(word()));
    let snapshot = SnapshotId::parse(word()).unwrap();
    let progress = Interrupter { left: AtomicU64::new(word().parse().unwrap()), stop: None };
    let local = local_below(&local);
    let vault = Vault::open(Location::parse(vault).unwrap().open(&Access::local()).unwrap(), local).unwrap();
    let passphrase = SecretString::from(PASSPHRASE.to_owned());
    let sealed = fs::read(target.with_extension("identity")).unwrap();
    let identity = UserIdentity::open(&sealed, Unlock::Passphrase(&passphrase)).unwrap();
    let reader = vault.unlock(&identity).unwrap();
    let clock = FixedClock(Timestamp::new(0, 0));
    let (random, stop) = (SystemRandom::new(), Stop::new());
    let around = Surroundings { clock: &clock, random: &random, progress: &progress, stop: &stop };

    restore(&vault, &reader, &TestVault::restore_options(snapshot, &target), &around).unwrap();
}

#[test]
fn a_restore_that_is_killed_anywhere_goes_on_with_the_same_command() {
    let tree = source();
    let expected = Tree::scan(&tree.path());
    let vault = TestVault::with_small_chunks();
    let snapshot = vault.backup(&tree.path()).snapshot;
    let mut left_halves = 0;

    for step in 1.. {
        assert!(step < 1_000, "a small restore takes fewer steps");
        let work = TempDir::new().unwrap();
        let target = work.path().join("target");
        fs::write(target.with_extension("identity"), seal(&vault.identity)).unwrap();
        let local = vault.local().state.parent().unwrap().to_owned();
        let words = [vault.root(), local, target.clone()].map(|path| path.to_str().unwrap().to_owned());
        let task = format!("{}\n{snapshot}\n{step}", words.join("\n"));
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child_that_dies_while_it_restores"]).env(CHILD, task);
        let died = !child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success();

        assert_nothing_is_wrong(&expected, &target);
        let temporary = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY))
        };
        left_halves += Tree::scan(&target).entries().keys().filter(|path| temporary(path)).count();
        if died {
            let rest = vault.try_restore(snapshot, &target).unwrap();
            assert!(
                rest.failed_entries == 0 && (rest.resumed || rest.directories > 2),
                "step {step}: {rest:?}"
            );
        }
        assert_same_tree(&tree.path(), &target);
        if !died {
            assert!(left_halves > 0, "no kill came while a file was written: nothing was shown of those");
            return;
        }
    }
}

/// Bytes of packs that a store was asked for.
fn pack_bytes(operations: &[Operation]) -> u64 {
    operations
        .iter()
        .map(|operation| match operation {
            Operation::GetRange(_, offset, length) if *offset > 0 => u64::from(*length),
            _ => 0,
        })
        .sum()
}

/// Restores through a store in which something fails; returns what it was asked for.
fn restore_through(
    vault: &TestVault,
    options: &RestoreOptions,
    fault: Option<(usize, Fault)>,
) -> (Vec<Operation>, bool) {
    let store = DirectoryStore::open(&vault.root()).unwrap();
    let store = Arc::new(FaultyStore::new(store));
    let done = vault.open_through(Box::new(Arc::clone(&store))).and_then(|opened| {
        let reader = opened.unlock(&vault.identity)?;
        let before = store.operations().len();
        if let Some((nth, fault)) = fault {
            store.set_fault(before + nth, fault);
        }
        let summary = restore(&opened, &reader, options, &vault.around())?;
        Ok((summary.failed_entries == 0, before))
    });
    let (whole, before) = done.unwrap_or((false, 0));
    (store.operations().split_off(before), whole)
}

#[test]
fn a_store_that_stops_working_anywhere_costs_only_the_rest() {
    let tree = source();
    // Several segments, whichever thread gathered what.
    tree.file("larger", noise(2, 5 << 20));
    let expected = Tree::scan(&tree.path());
    let vault = TestVault::with_small_chunks();
    let snapshot = vault.backup(&tree.path()).snapshot;

    for nth in 0.. {
        let work = TempDir::new().unwrap();
        let target = work.path().join("target");
        let options = TestVault::restore_options(snapshot, &target);
        let (first, whole) = restore_through(&vault, &options, Some((nth, Fault::Stop)));
        assert_nothing_is_wrong(&expected, &target);
        if whole {
            assert!(nth > 3 && first.len() <= nth);
            assert_same_tree(&tree.path(), &target);
            return;
        }

        let (_, whole) = restore_through(&vault, &options, None);

        assert!(whole, "{nth}");
        assert_same_tree(&tree.path(), &target);
    }
}

#[test]
fn what_is_right_is_not_fetched_again() {
    let tree = TreeFixture::new();
    // Every thread ends what it has begun: there must be more than all of them can begin.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2) as u64;
    let all = 20 * threads;
    for number in 0..all {
        tree.file(format!("{number}"), noise(number, 300_000));
    }
    let vault = TestVault::new();
    let snapshot = vault.backup(&tree.path()).snapshot;
    let work = TempDir::new().unwrap();
    let target = work.path().join("target");
    let options = TestVault::restore_options(snapshot, &target);
    let stop = Stop::new();
    let opened = vault.open().unwrap();
    let reader = opened.unlock(&vault.identity).unwrap();
    let progress = Interrupter { left: AtomicU64::new(30), stop: Some(&stop) };
    let around = Surroundings { progress: &progress, stop: &stop, ..vault.around() };

    let part = restore(&opened, &reader, &options, &around).unwrap();
    let (operations, whole) = restore_through(&vault, &options, None);

    assert!(part.interrupted && part.files > 5 && part.files < all && whole, "{part:?}");
    let (fetched, missing) = (pack_bytes(&operations), (all - part.files) * 300_000);
    // Segments of about a megabyte are the unit of reading, and the tree is read again.
    assert!(fetched <= missing + ((threads + 1) << 20), "{fetched} bytes for {missing}");
    assert_same_tree(&tree.path(), &target);
}

#[test]
fn a_finished_restore_is_not_continued_but_refused() {
    let tree = source();
    let vault = TestVault::new();
    let snapshot = vault.backup(&tree.path()).snapshot;
    let target = vault.restore(snapshot);

    let error = vault.try_restore(snapshot, target.path()).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(fs::read_dir(vault.local().state.join("restores")).unwrap().count(), 0);
}

#[test]
fn an_unfinished_restore_of_something_else_is_not_mixed_up_with_this_one() {
    let tree = source();
    let vault = TestVault::new();
    let first = vault.backup(&tree.path()).snapshot;
    let second = vault.backup(&tree.path()).snapshot;
    let work = TempDir::new().unwrap();
    let stop = Stop::new();
    let opened = vault.open().unwrap();
    let reader = opened.unlock(&vault.identity).unwrap();
    let progress = Interrupter { left: AtomicU64::new(3), stop: Some(&stop) };
    let around = Surroundings { progress: &progress, stop: &stop, ..vault.around() };
    let options = TestVault::restore_options(first, work.path());
    assert!(restore(&opened, &reader, &options, &around).unwrap().interrupted);

    let other = vault.try_restore(second, work.path()).unwrap_err();
    let narrower = RestoreOptions { include: vec!["large".to_owned()], ..options.clone() };
    let narrower = vault.try_restore_as(&narrower).unwrap_err();

    for error in [other, narrower] {
        assert!(error.to_string().contains(&first.short()), "{error}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    // A directory made anew under the same path is not the one in which the restore began.
    fs::remove_dir_all(work.path()).unwrap();
    fs::create_dir(work.path()).unwrap();
    fs::write(work.path().join("mine"), "mine").unwrap();
    assert!(vault.try_restore_as(&options).is_err());
    assert_eq!(fs::read(work.path().join("mine")).unwrap(), b"mine");
}

#[test]
fn a_program_that_is_killed_again_and_again_comes_to_the_end() {
    let kills = std::env::var("VAULT_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let tree = TreeFixture::new();
    for number in 0..8 {
        tree.file(format!("large/{number}"), noise(number, 8 << 20));
    }
    for number in 0..1_000 {
        tree.file(format!("small/{}/{number}", number % 10), noise(1_000_000 + number, 2_000));
    }
    let machine = Machine::new();
    machine.init();
    machine.succeed(["backup".as_ref(), tree.path().as_os_str()]);
    let expected = Tree::scan(&tree.path());
    let work = TempDir::new().unwrap();
    let once = work.path().join("once");
    let begun = Instant::now();
    machine.succeed(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), once.as_os_str()]);
    let duration = begun.elapsed();

    let target = work.path().join("target");
    let arguments = ["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.as_os_str()];
    for kill in 0..kills {
        let mut child =
            machine.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(duration * (kill + 1) / (2 * kills));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_nothing_is_wrong(&expected, &target);
        if ended {
            break;
        }
    }
    let last = machine.run(arguments);

    // The last one may find everything done, and then refuses the directory that is full.
    assert!(matches!(last.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&last.stderr));
    assert_same_tree(&tree.path(), &target);
}

#[test]
fn a_disk_that_was_full_is_filled_up_after_there_is_room() {
    let work = TempDir::new().unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(work.path()).status();
        status.is_ok_and(|status| status.success())
    };
    if !is_root() || !mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let _unmount = Unmount(work.path().to_owned());
    let tree = TreeFixture::new();
    for number in 0..30 {
        tree.file(format!("{number}"), noise(number, 100_000));
    }
    let vault = TestVault::with_small_chunks();
    let snapshot = vault.backup(&tree.path()).snapshot;
    let expected = Tree::scan(&tree.path());
    let target = work.path().join("target");

    let error = vault.try_restore(snapshot, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert_nothing_is_wrong(&expected, &target);
    let names = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.as_encoded_bytes().starts_with(TEMPORARY)), "halves are left");
    assert!(mount(&["-o", "remount,size=16m"]));
    let rest = vault.try_restore(snapshot, &target).unwrap();

    assert!(rest.resumed && rest.files < 30 && rest.unchanged_entries > 0, "{rest:?}");
    assert_same_tree(&tree.path(), &target);
}

/// Unmounts on every way out of a test.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
