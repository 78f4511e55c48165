//! Killed deletions: whenever `vault prune` or `vault compact` is killed, nothing that a snapshot needs is gone, and the next
//! run does what the killed one left.
//!
//! Half of the kills are spread over the time that a run takes; the others wait for a number of objects to come or go, so that
//! they fall where the store changes. `VAULT_TEST_KILLS` sets how many there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vault_core::id::SnapshotId;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::Unlock;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::restore::restore;
use vault_core::store::location::{Access, Location};
use vault_core::vault::Vault;
use vault_tests::damage::copy_directory;
use vault_tests::vault::PASSPHRASE;
use vault_tests::{Machine, TestVault, Tree, TreeFixture, local_below, noise};

/// Kills of each command where `VAULT_TEST_KILLS` says nothing else.
const KILLS: u32 = 6;

/// A vault in which some snapshots have been forgotten, as it was before anything was deleted.
struct Scene {
    machine: Machine,
    before: TempDir,
    /// The snapshots that are left, with what they hold.
    live: Vec<(SnapshotId, Tree)>,
    /// Surroundings for looking at the vault, and nothing else of this one.
    observer: TestVault,
}

impl Scene {
    /// Each snapshot has a file of its own and one that stays; every other one is forgotten. Of what the forgotten ones stored,
    /// some is still needed, and some packs are needed no more.
    fn new() -> Self {
        let machine = Machine::new();
        machine.init();
        let tree = TreeFixture::new();
        tree.file("stays", noise(100, 200_000)).file("dir/small", "small");
        let mut saved = Vec::new();
        for number in 0..7_u64 {
            tree.file("own", noise(number, 100_000));
            if !matches!(number, 2 | 4) {
                tree.file(format!("dir/{number}"), noise(50 + number, 2_000));
            }
            machine.succeed(["backup".as_ref(), "--quiet".as_ref(), tree.path().as_os_str()]);
            saved.push(Tree::scan(&tree.path()));
        }
        let document = machine.json(["snapshots"]);
        let ids = document["snapshots"].as_array().unwrap().iter();
        let ids: Vec<String> = ids.map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect();
        let forgotten = ids.iter().step_by(2).take(3).map(String::as_str);
        machine.succeed(["forget"].into_iter().chain(forgotten.clone()));

        let forgotten: BTreeSet<&str> = forgotten.collect();
        let live = ids.iter().zip(saved).filter(|(id, _)| !forgotten.contains(id.as_str()));
        let live = live.map(|(id, tree)| (SnapshotId::parse(id).unwrap(), tree)).collect();
        let before = TempDir::new().unwrap();
        copy_directory(&machine.vault(), before.path());
        Self { machine, before, live, observer: TestVault::new() }
    }

    /// The vault as it was, on a machine that has not seen more of it.
    fn reset(&self) {
        fs::remove_dir_all(self.machine.vault()).unwrap();
        copy_directory(self.before.path(), &self.machine.vault());
        fs::remove_dir_all(self.machine.home().join(".local/state")).unwrap();
    }

    fn start(&self, command: &str) -> Child {
        let mut command = self.machine.command([command, "--orphan-age", "0"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What lies in the vault: packs, index objects and statements.
    fn objects(&self) -> BTreeSet<PathBuf> {
        let kinds = ["packs", "index", "log"].map(|kind| self.machine.vault().join(kind));
        kinds.iter().flat_map(|kind| objects_below(kind)).collect()
    }

    /// Somebody who has never seen the vault finds nothing wrong with it, and everything in it.
    fn assert_whole(&self, what: &str) {
        let work = TempDir::new().unwrap();
        let local = local_below(work.path());
        let location = Location::parse(self.machine.vault()).unwrap();
        let vault = Vault::open(location.open(&Access::local()).unwrap(), local).unwrap();
        let passphrase = SecretString::from(PASSPHRASE.to_owned());
        let sealed = vault.sealed_identities().unwrap();
        let identity = UserIdentity::open(&sealed[0], Unlock::Passphrase(&passphrase)).unwrap();
        let reader = vault.unlock(&identity).unwrap();
        let around = self.observer.around();
        let options = CheckOptions { read_data: true, ..CheckOptions::default() };
        let found = check(&vault, &reader, options, &around).unwrap();
        assert!(found.findings.is_empty(), "{what}: {:#?}", found.findings);
        assert_eq!(found.snapshots as usize, self.live.len(), "{what}");
        for (number, (snapshot, expected)) in self.live.iter().enumerate() {
            let target = work.path().join(number.to_string());
            let options = TestVault::restore_options(*snapshot, &target);
            let summary = restore(&vault, &reader, &options, &around).unwrap();
            assert_eq!((summary.failed_entries, summary.failed_attributes), (0, 0), "{what}: {summary:?}");
            assert_eq!(expected.differences(&Tree::scan(&target)), "", "{what}");
        }
    }
}

/// The objects in a directory, without files that are being written; it may change meanwhile.
fn objects_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut objects = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            objects.extend(objects_below(&path));
        } else if !path.file_name().unwrap().as_encoded_bytes().starts_with(b".") {
            objects.push(path);
        }
    }
    objects
}

/// When a run is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// When so many objects have come or gone; never, if it is faster.
    Changes(usize),
}

/// Kills a run at a moment; returns how many objects had come or gone by then.
fn kill_at(scene: &Scene, mut run: Child, moment: Moment, before: &BTreeSet<PathBuf>) -> usize {
    let changes = || scene.objects().symmetric_difference(before).count();
    let started = Instant::now();
    while run.try_wait().unwrap().is_none() {
        let is_now = match moment {
            Moment::After(time) => started.elapsed() >= time,
            Moment::Changes(number) => changes() >= number,
        };
        if is_now {
            break;
        }
        if let Moment::After(time) = moment {
            std::thread::sleep(time.saturating_sub(started.elapsed()).min(Duration::from_millis(1)));
        }
    }
    run.kill().unwrap();
    run.wait().unwrap();
    changes()
}

/// Kills a command at many moments, and lets it finish each time.
fn assert_kills_do_no_harm(command: &str) {
    let kills = std::env::var("VAULT_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let scene = Scene::new();
    let before = scene.objects();
    let begun = Instant::now();
    assert!(scene.start(command).wait().unwrap().success());
    let duration = begun.elapsed();
    let in_the_end = scene.objects();
    let all_changes = in_the_end.symmetric_difference(&before).count();
    assert!(all_changes > 3, "there is something to delete");
    scene.assert_whole("a run to the end");

    for kill in 0..kills {
        scene.reset();
        let moment = match kill % 2 {
            0 => Moment::Changes(1 + kill as usize * all_changes / kills as usize),
            _ => Moment::After(duration * (2 * kill + 1) / (2 * kills)),
        };
        let changes = kill_at(&scene, scene.start(command), moment, &before);
        let what = format!("{command} killed at {moment:?} with {changes} of {all_changes} changes");
        println!("{what}");

        scene.machine.succeed(["check", "--read-data"]);
        scene.assert_whole(&what);
        assert!(scene.start(command).wait().unwrap().success(), "{what}");
        scene.assert_whole(&format!("{what}, then run to its end"));

        for kind in ["packs", "index"] {
            let count = |objects: &BTreeSet<PathBuf>| {
                objects.iter().filter(|path| path.starts_with(scene.machine.vault().join(kind))).count()
            };
            assert_eq!(count(&scene.objects()), count(&in_the_end), "{what}: {kind}");
        }
    }
}

#[test]
fn a_killed_prune_leaves_a_clean_vault_and_the_next_one_ends_it() {
    assert_kills_do_no_harm("prune");
}

#[test]
fn a_killed_compaction_leaves_a_clean_vault_and_the_next_one_ends_it() {
    assert_kills_do_no_harm("compact");
}
