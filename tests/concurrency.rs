//! Concurrency: deleting beside everything else, in every order that the scheduler can think of, and under load.
//!
//! Two actors share a store in memory. Before each of its operations an actor waits for its turn, and a script says whose turn it
//! is. So each test runs the same work in hundreds of interleavings, and after each the vault must be whole, and nobody was
//! overtaken but by a statement of the other. `tests/stress.rs` has no script.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tempfile::TempDir;
use vault_core::error::Error;
use vault_core::id::{SnapshotId, VaultId};
use vault_core::ops::backup::backup;
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::compact::compact;
use vault_core::ops::prune::prune;
use vault_core::ops::restore::restore;
use vault_core::store::location::{Access, OpenStore};
use vault_core::store::{MemoryStore, ObjectKey, ObjectKind, Put, Store};
use vault_core::vault::Vault;
use vault_tests::deleting::{COMPACT_ALL, PRUNE_ALL};
use vault_tests::scan::Tree;
use vault_tests::schedule::{End, Scheduled, Scheduler, Script};
use vault_tests::{TestVault, TreeFixture, local_below, noise};

/// A vault with something to delete and something to repack, to be copied into memory again and again.
struct Scene {
    vault: TestVault,
    id: VaultId,
    objects: Vec<(ObjectKey, Vec<u8>)>,
    /// Live, with what it holds.
    snapshot: SnapshotId,
    tree: TreeFixture,
    expected: Tree,
    /// What a backup will find: some of it was in snapshots that are forgotten now.
    next: TreeFixture,
}

impl Scene {
    fn new() -> Self {
        let vault = TestVault::with_small_chunks();
        let tree = TreeFixture::new();
        tree.file("stays", noise(1, 9_000)).file("goes", noise(2, 12_000)).file("dir/old", noise(3, 5_000));
        let first = vault.backup(&tree.path()).snapshot;
        tree.file("between", noise(4, 6_000));
        let second = vault.backup(&tree.path()).snapshot;
        std::fs::remove_file(tree.at("goes")).unwrap();
        std::fs::remove_file(tree.at("between")).unwrap();
        let snapshot = vault.backup(&tree.path()).snapshot;
        vault.forget(&[first, second]);
        let next = TreeFixture::new();
        next.file("stays", noise(1, 9_000)).file("again", noise(2, 12_000)).file("new", noise(5, 4_000));
        next.file("more/between", noise(4, 6_000));

        let opened = vault.location().open(&Access::local()).unwrap();
        let mut keys = Vec::new();
        for kind in ObjectKind::ALL {
            opened
                .store
                .list(kind, &mut |key, _| {
                    keys.push(key);
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        let objects = keys.into_iter().map(|key| (key, opened.store.get(&key, 1 << 30).unwrap())).collect();
        let expected = Tree::scan(&tree.path());
        Self { vault, id: opened.vault_id, objects, snapshot, tree, expected, next }
    }

    /// Runs two actors on a copy of the vault, in the order of a script; returns how many operations each had.
    fn play(&self, script: Script, actors: [&Act; 2]) -> [usize; 2] {
        let store = Arc::new(MemoryStore::new());
        for (key, bytes) in &self.objects {
            assert_eq!(store.put_new(key, bytes).unwrap(), Put::Created);
        }
        let scheduler = Scheduler::new(script);
        let machines = TempDir::new().unwrap();
        let outcomes: Vec<Outcome> = thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|actor| {
                    let stage = Stage {
                        scene: self,
                        store: Box::new(Scheduled {
                            inner: Arc::clone(&store),
                            scheduler: Arc::clone(&scheduler),
                            actor,
                        }),
                        machine: machines.path().join(actor.to_string()),
                    };
                    let (act, scheduler) = (actors[actor], &scheduler);
                    scope.spawn(move || {
                        let ended = End { scheduler, actor };
                        let outcome = act(stage);
                        drop(ended);
                        outcome
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let made =
            outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|e| panic!("{script:?}: {e:?}")));
        let made: Vec<SnapshotId> = made.flatten().collect();
        self.assert_whole(&store, &machines.path().join("auditor"), &made, &script);
        scheduler.assert_fair();
        [scheduler.done(0), scheduler.done(1)]
    }

    /// Everything that is live can be restored, and a check finds nothing.
    fn assert_whole(
        &self,
        store: &Arc<MemoryStore>,
        machine: &Path,
        made: &[SnapshotId],
        script: &dyn fmt::Debug,
    ) {
        let around = self.vault.around();
        let open = OpenStore { store: Box::new(Arc::clone(store)), vault_id: self.id };
        let vault = Vault::open(open, local_below(machine)).unwrap();
        let reader = vault.unlock(&self.vault.identity).unwrap();
        let summary =
            check(&vault, &reader, CheckOptions { read_data: true, ..CheckOptions::default() }, &around)
                .unwrap();
        assert!(summary.findings.is_empty(), "{script:?}: {:#?}", summary.findings);
        let next = Tree::scan(&self.next.path());
        let made = made.iter().map(|snapshot| (*snapshot, &next));
        for (snapshot, expected) in made.chain([(self.snapshot, &self.expected)]) {
            let target = TempDir::new().unwrap();
            let options = TestVault::restore_options(snapshot, target.path());
            let summary = restore(&vault, &reader, &options, &around).unwrap();
            assert_eq!(summary.failed_entries, 0, "{script:?}");
            assert_eq!(&Tree::scan(target.path()), expected, "{script:?}");
        }
    }

    /// Tries the scripts: every point at which one of the actors can be interrupted by all of the other, and many by chance.
    fn play_all(&self, first: &Act, second: &Act) {
        let [firsts, seconds] = self.play(Script::After(0), [first, second]);
        let step = |operations: usize| operations.div_ceil(scripts()).max(1);
        for count in (0..firsts + 2).step_by(step(firsts)) {
            self.play(Script::After(count), [first, second]);
        }
        for count in (0..seconds + 2).step_by(step(seconds)) {
            self.play(Script::AfterSecond(count), [first, second]);
        }
        for seed in 0..scripts() as u64 {
            self.play(Script::Seed(seed), [first, second]);
        }
    }
}

/// How many scripts of each kind are tried; `INTERLEAVINGS` asks for more.
fn scripts() -> usize {
    std::env::var("INTERLEAVINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What one actor does; the snapshots that it made of the scene's next tree.
type Act = dyn Fn(Stage<'_>) -> Outcome + Sync;
type Outcome = Result<Vec<SnapshotId>, Error>;

/// What one actor has.
struct Stage<'a> {
    scene: &'a Scene,
    store: Box<dyn Store>,
    machine: std::path::PathBuf,
}

impl Stage<'_> {
    fn open(self) -> Result<Vault, Error> {
        Vault::open(OpenStore { store: self.store, vault_id: self.scene.id }, local_below(&self.machine))
    }
}

fn pruning(stage: Stage<'_>) -> Outcome {
    let owner = &stage.scene.vault;
    let mut vault = stage.open()?;
    let reader = vault.unlock(&owner.identity)?;
    prune(&mut vault, &reader, &owner.device, &PRUNE_ALL, &owner.around())?;
    Ok(Vec::new())
}

fn compacting(stage: Stage<'_>) -> Outcome {
    let owner = &stage.scene.vault;
    let mut vault = stage.open()?;
    let reader = vault.unlock(&owner.identity)?;
    compact(&mut vault, &reader, &owner.device, &COMPACT_ALL, &owner.around())?;
    Ok(Vec::new())
}

fn restoring(stage: Stage<'_>) -> Outcome {
    let scene = stage.scene;
    let vault = stage.open()?;
    let reader = vault.unlock(&scene.vault.identity)?;
    let target = TempDir::new().unwrap();
    let options = TestVault::restore_options(scene.snapshot, target.path());
    let summary = restore(&vault, &reader, &options, &scene.vault.around())?;
    assert_eq!(summary.failed_entries, 0, "{:?}", scene.vault.progress.notices());
    assert_eq!(Tree::scan(target.path()), scene.expected);
    Ok(Vec::new())
}

fn checking(stage: Stage<'_>) -> Outcome {
    let scene = stage.scene;
    let vault = stage.open()?;
    let reader = vault.unlock(&scene.vault.identity)?;
    let summary = check(
        &vault,
        &reader,
        CheckOptions { read_data: true, ..CheckOptions::default() },
        &scene.vault.around(),
    )?;
    assert!(summary.findings.is_empty(), "{:#?}", summary.findings);
    Ok(Vec::new())
}

fn backing_up(stage: Stage<'_>) -> Outcome {
    let scene = stage.scene;
    let mut vault = stage.open()?;
    let options = TestVault::options(&[&scene.next.path()]);
    let summary = backup(&mut vault, &scene.vault.device, &options, &scene.vault.around())?;
    Ok(vec![summary.snapshot])
}

#[test]
fn two_prunes_at_once_delete_no_more_than_one() {
    Scene::new().play_all(&pruning, &pruning);
}

#[test]
fn two_compactions_at_once_keep_everything() {
    Scene::new().play_all(&compacting, &compacting);
}

#[test]
fn a_restore_beside_a_compaction_brings_everything_back() {
    Scene::new().play_all(&restoring, &compacting);
}

#[test]
fn a_check_beside_a_compaction_finds_no_damage() {
    Scene::new().play_all(&checking, &compacting);
}

#[test]
fn a_backup_beside_a_prune_saves_everything() {
    Scene::new().play_all(&backing_up, &pruning);
}

#[test]
fn a_backup_beside_a_compaction_saves_everything() {
    Scene::new().play_all(&backing_up, &compacting);
}

#[test]
fn the_scene_has_something_to_delete_and_to_repack() {
    let scene = Scene::new();
    let vault = &scene.vault;
    let mut opened = vault.open().unwrap();
    let reader = opened.unlock(&vault.identity).unwrap();

    let summary = compact(&mut opened, &reader, &vault.device, &COMPACT_ALL, &vault.around()).unwrap();

    assert!(summary.pruned.packs > 0 && summary.repacked_packs > 0, "{summary:?}");
    assert_eq!(Tree::scan(&scene.tree.path()), scene.expected);
}
