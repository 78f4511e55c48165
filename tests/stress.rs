//! Stress: writers of every kind, a reader and a deleter use one vault at once, with real threads.
//!
//! Among the writers are an append-only device and an editor, so there are several domains. The vault must be whole at the end,
//! and no writer may be left behind: an append that comes second is tried again, and must succeed within a few rounds. It goes on
//! for as many seconds as `STRESS_SECONDS` says, and longer where the machine was too busy for anything to happen.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use vault_core::crypto::random::SystemRandom;
use vault_core::error::ErrorKind;
use vault_core::id::{Seq, SnapshotId};
use vault_core::keys::device::DeviceKeys;
use vault_core::log::{self, Body, Forget};
use vault_core::ops::backup::backup;
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::compact::{CompactOptions, compact};
use vault_core::ops::enroll::enroll;
use vault_core::ops::prune::{PruneOptions, prune};
use vault_core::ops::restore::restore;
use vault_core::ops::{Stop, Surroundings};
use vault_core::progress::Silent;
use vault_core::store::location::{Access, OpenStore};
use vault_core::store::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use vault_core::time::{Clock, Timestamp};
use vault_core::vault::Vault;
use vault_tests::deleting::COMPACT_ALL;
use vault_tests::members::{add_append_only_device, add_editor};
use vault_tests::scan::Tree;
use vault_tests::{TestVault, TreeFixture, local_below, noise};

/// How often in a row a writer may come second, before the test says that it is left behind. Each time costs it a few
/// operations, and each statement of another costs that one a whole backup.
const MOST_LOST: usize = 50;

/// How many of its runs in a row may fail because others delete what they rely on.
const MOST_LOST_RUNS: usize = 20;

/// Longer than the least amount of work takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// How the appends of one writer went.
#[derive(Debug, Default)]
struct Appends {
    /// The number that was tried last.
    last: Option<Seq>,
    /// How often in a row another came first, now and at most.
    lost: usize,
    most_lost: usize,
}

impl Appends {
    /// A number is tried once: if another was first, its statement stands there, and the next try is for a later number.
    fn note(&mut self, seq: Seq, put: Put) {
        assert!(self.last.is_none_or(|last| last < seq), "{self:?} {seq}");
        self.last = Some(seq);
        self.lost = if put == Put::Created { 0 } else { self.lost + 1 };
        self.most_lost = self.most_lost.max(self.lost);
    }
}

/// A store that notes the appends of one writer.
struct Noted {
    inner: Box<dyn Store>,
    appends: Arc<Mutex<Appends>>,
}

impl Store for Noted {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        let put = self.inner.put_new(key, bytes)?;
        if let ObjectKey::Statement(seq) = key {
            self.appends.lock().unwrap().note(*seq, put);
        }
        Ok(put)
    }
    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.inner.get(key, limit)
    }
    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(key, offset, length)
    }
    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.inner.size(key)
    }
    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.inner.stored_at(key)
    }
    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list(kind, each)
    }
    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        self.inner.remove(key)
    }
    fn description(&self) -> String {
        self.inner.description()
    }
}

/// The real time, which the stress needs: what is old must be old.
struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::new(now.as_secs() as i64, now.subsec_nanos())
    }
}

/// What the threads of the stress share.
struct Stress {
    vault: TestVault,
    random: SystemRandom,
    stop: Stop,
    begun: Instant,
    seconds: u64,
    failed: AtomicBool,
    /// Live snapshots, with what they hold.
    live: Mutex<BTreeMap<SnapshotId, Tree>>,
    saved: AtomicUsize,
    restored: AtomicUsize,
    deleted: AtomicUsize,
}

impl Stress {
    fn around(&self) -> Surroundings<'_> {
        Surroundings { clock: &RealClock, random: &self.random, progress: &Silent, stop: &self.stop }
    }

    /// Until the time is over and something of everything has happened.
    fn goes_on(&self) -> bool {
        let elapsed = self.begun.elapsed();
        let enough = self.saved.load(Ordering::Relaxed) >= 8
            && self.restored.load(Ordering::Relaxed) > 0
            && self.deleted.load(Ordering::Relaxed) > 0;
        let time_is_over = elapsed >= Duration::from_secs(self.seconds);
        assert!(elapsed < PATIENCE || enough || self.failed.load(Ordering::Relaxed), "too little happens");
        let may_end = time_is_over && enough;
        !may_end && !self.failed.load(Ordering::Relaxed)
    }

    fn open(&self, machine: &Path) -> Vault {
        Vault::open(self.vault.location().open(&Access::local()).unwrap(), local_below(machine)).unwrap()
    }

    /// Runs a thread's work; if it panics, the others end too.
    fn run(&self, work: impl FnOnce(&Path)) {
        struct Guard<'a>(&'a AtomicBool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let _guard = Guard(&self.failed);
        let machine = TempDir::new().unwrap();
        work(machine.path());
    }

    /// Opens the vault and notes what is appended through it.
    fn open_noted(&self, machine: &Path, appends: &Arc<Mutex<Appends>>) -> Vault {
        let OpenStore { store, vault_id } = self.vault.location().open(&Access::local()).unwrap();
        let store = Box::new(Noted { inner: store, appends: Arc::clone(appends) });
        Vault::open(OpenStore { store, vault_id }, local_below(machine)).unwrap()
    }

    /// Registers another device of the owner, beside what others do.
    fn enrolled(&self, machine: &Path) -> DeviceKeys {
        let device = DeviceKeys::generate(&self.random).unwrap();
        enroll(&mut self.open(machine), &self.vault.identity, &device, &self.around()).unwrap();
        device
    }

    /// A device that backs up a tree that changes all the time.
    fn write(&self, number: u64, device: &DeviceKeys, machine: &Path) {
        let tree = TreeFixture::new();
        let appends = Arc::default();
        let mut saved = 0;
        let (mut lost, mut most_lost_runs) = (0, 0);
        for round in 0.. {
            // When nobody deletes any more, it comes through.
            if !self.goes_on() && (saved > 0 || self.failed.load(Ordering::Relaxed)) {
                break;
            }
            // Some contents are every writer's, some come back after they were gone.
            tree.file(format!("own/{}", round % 3), noise(1_000 * number + round, 60_000))
                .file("shared", noise(round % 5, 90_000))
                .file(format!("seldom/{}", round % 7), noise(77 + round % 2, 50_000));
            let expected = Tree::scan(&tree.path());
            let options = TestVault::options(&[&tree.path()]);
            let mut vault = self.open_noted(machine, &appends);
            match backup(&mut vault, device, &options, &self.around()) {
                Ok(summary) => {
                    self.live.lock().unwrap().insert(summary.snapshot, expected);
                    self.saved.fetch_add(1, Ordering::Relaxed);
                    (saved, lost) = (saved + 1, 0);
                }
                // What it relied on was deleted in each of its rounds.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
                    lost += 1;
                    most_lost_runs = most_lost_runs.max(lost);
                }
            }
            assert!(lost <= MOST_LOST_RUNS, "writer {number} is left behind");
        }
        let most_lost = appends.lock().unwrap().most_lost;
        println!(
            "writer {number}: {saved} snapshots; in a row lost at most {most_lost} appends, {most_lost_runs} runs"
        );
        assert!(most_lost <= MOST_LOST, "writer {number} is left behind");
    }

    /// Forgets all but a few, prunes and compacts.
    fn delete(&self, machine: &Path) {
        let device = &self.vault.device;
        for round in 0_u32.. {
            if !self.goes_on() {
                break;
            }
            let forgotten: Vec<SnapshotId> = {
                let mut live = self.live.lock().unwrap();
                let ids: Vec<SnapshotId> = live.keys().copied().collect();
                let forgotten: Vec<_> = ids.into_iter().skip(4).collect();
                forgotten.iter().for_each(|id| drop(live.remove(id)));
                forgotten
            };
            self.forget(machine, &forgotten);
            let mut vault = self.open(machine);
            let reader = vault.unlock(&self.vault.identity).unwrap();
            let orphan_age = Duration::from_secs(u64::from(round % 3));
            let deleted = if round % 2 == 0 {
                let options = PruneOptions { dry_run: false, orphan_age };
                prune(&mut vault, &reader, device, &options, &self.around()).map(|summary| summary.packs)
            } else {
                let options = CompactOptions { orphan_age, ..COMPACT_ALL };
                compact(&mut vault, &reader, device, &options, &self.around())
                    .map(|summary| summary.pruned.packs + summary.repacked_packs)
            };
            match deleted {
                Ok(packs) => drop(self.deleted.fetch_add(packs as usize, Ordering::Relaxed)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
            }
        }
    }

    fn forget(&self, machine: &Path, snapshots: &[SnapshotId]) {
        let mut snapshots = snapshots.to_vec();
        snapshots.sort_unstable();
        while !snapshots.is_empty() {
            let vault = self.open(machine);
            let (state, device) = (vault.state(), &self.vault.device);
            let body = Body::Forget(Forget { snapshots: snapshots.clone() });
            let payload = state.draft(device.device_id(), RealClock.now(), body);
            let stored = log::sign(&payload, device.signing()).unwrap();
            if vault.store().put_new(&ObjectKey::Statement(state.next_seq()), &stored).unwrap()
                == Put::Created
            {
                break;
            }
        }
    }

    /// Restores live snapshots all the time; what is forgotten meanwhile may fail.
    fn read(&self, machine: &Path) {
        while self.goes_on() {
            let picked = self.live.lock().unwrap().iter().next().map(|(id, tree)| (*id, tree.clone()));
            let Some((snapshot, expected)) = picked else {
                thread::yield_now();
                continue;
            };
            let vault = self.open(machine);
            let reader = vault.unlock(&self.vault.identity).unwrap();
            let target = TempDir::new().unwrap();
            let restored = restore(
                &vault,
                &reader,
                &TestVault::restore_options(snapshot, target.path()),
                &self.around(),
            );
            if self.live.lock().unwrap().contains_key(&snapshot) {
                assert_eq!(restored.unwrap().failed_entries, 0);
                assert_eq!(Tree::scan(target.path()), expected);
                self.restored.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn audit(&self, machine: &Path) {
        let vault = self.open(machine);
        let reader = vault.unlock(&self.vault.identity).unwrap();
        let summary = check(
            &vault,
            &reader,
            CheckOptions { read_data: true, ..CheckOptions::default() },
            &self.around(),
        )
        .unwrap();
        assert!(summary.findings.is_empty(), "{:#?}", summary.findings);
        for (snapshot, expected) in &*self.live.lock().unwrap() {
            let target = TempDir::new().unwrap();
            let options = TestVault::restore_options(*snapshot, target.path());
            assert_eq!(restore(&vault, &reader, &options, &self.around()).unwrap().failed_entries, 0);
            assert_eq!(&Tree::scan(target.path()), expected);
        }
    }
}

#[test]
fn writers_a_reader_and_a_deleter_do_each_other_no_harm() {
    let seconds = std::env::var("STRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let stress = Stress {
        vault: TestVault::with_small_chunks(),
        random: SystemRandom::new(),
        stop: Stop::new(),
        begun: Instant::now(),
        seconds,
        failed: AtomicBool::new(false),
        live: Mutex::default(),
        saved: AtomicUsize::new(0),
        restored: AtomicUsize::new(0),
        deleted: AtomicUsize::new(0),
    };
    let others = [add_append_only_device(&stress.vault), add_editor(&stress.vault)];
    thread::scope(|scope| {
        let stress = &stress;
        for (number, device) in (0..).zip(&others) {
            scope.spawn(move || stress.run(|machine| stress.write(number, device, machine)));
        }
        for number in 2..4 {
            scope.spawn(move || {
                stress.run(|machine| stress.write(number, &stress.enrolled(machine), machine));
            });
        }
        scope.spawn(|| stress.run(|machine| stress.delete(machine)));
        scope.spawn(|| stress.run(|machine| stress.read(machine)));
    });

    stress.run(|machine| stress.audit(machine));
    let counts =
        [&stress.saved, &stress.restored, &stress.deleted].map(|count| count.load(Ordering::Relaxed));
    println!("{} snapshots saved, {} restored, {} packs deleted", counts[0], counts[1], counts[2]);
    assert!(counts[0] >= 4 && counts[2] > 0, "{counts:?}");
}
