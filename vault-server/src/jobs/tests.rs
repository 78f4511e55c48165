//! The jobs, on SQLite and a directory.

use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use vault_core::crypto::hash::object_hash;
use vault_core::id::{PackId, VaultId};
use vault_core::object::ObjectKey;

use super::*;
use crate::db::testing::{NOW, receipt, sqlite, statement, with_vault};
use crate::db::{Appended, Effects, NewStatement, Reserved};
use crate::objects::{Begun, DiskObjects, Finished, Floor, Upload};

const VAULT: VaultId = VaultId::new([1; 32]);

/// A clock that a test sets, in ms.
struct TestClock(Mutex<u64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ms = *self.0.lock().unwrap();
        Timestamp::new((ms / 1000) as i64, (ms % 1000) as u32 * 1_000_000)
    }
}

struct Fixture {
    jobs: Jobs,
    clock: Arc<TestClock>,
    directory: TempDir,
}

async fn fixture() -> Fixture {
    let test = sqlite().await;
    with_vault(&test.db, 1, 1_000_000).await;
    let objects = DiskObjects::open(&test.directory.path().join("objects"), Floor::Bytes(0)).unwrap();
    let clock = Arc::new(TestClock(Mutex::new(NOW)));
    let settings = JobSettings {
        grace: Duration::from_secs(1),
        min_age: Duration::from_secs(5),
        scrub_percent: 100,
        ..JobSettings::default()
    };
    let jobs = Jobs { db: test.db, objects: Arc::new(objects), clock: clock.clone(), settings };
    Fixture { jobs, clock, directory: test.directory }
}

fn bytes(n: u8) -> Vec<u8> {
    vec![n; 100]
}

fn pack(n: u8) -> ObjectKey {
    ObjectKey::Pack(PackId::new(object_hash(&bytes(n))))
}

async fn store(jobs: &Jobs, n: u8) {
    let begun = Upload::begin(&jobs.db, &jobs.objects, (VAULT, pack(n), 100), NOW).await.unwrap();
    let Begun::New(upload, mut incoming) = begun else { panic!() };
    incoming.write(&bytes(n)).unwrap();
    assert_eq!(upload.finish(incoming, NOW, None).await.unwrap(), Finished::Done);
}

async fn condemn(jobs: &Jobs, seq: u64, n: u8, now_ms: u64) {
    let packs_to_trash = vec![PackId::new(object_hash(&bytes(n)))];
    let new = statement(1, seq, Effects { packs_to_trash, ..Effects::default() });
    let new = NewStatement { receipt: receipt(now_ms), ..new };
    assert!(matches!(jobs.db.append(new).await.unwrap(), Appended::Done { .. }));
}

fn path(directory: &Path, n: u8) -> std::path::PathBuf {
    directory.join("objects").join(VAULT.to_hex()).join(pack(n).path())
}

fn make_old(path: &Path) {
    let old = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

#[tokio::test]
async fn the_trash_is_emptied_after_grace_and_minimum_age() {
    let Fixture { jobs, directory, .. } = fixture().await;
    for n in 1..=5 {
        store(&jobs, n).await;
    }
    condemn(&jobs, 1, 1, NOW + 10).await;
    condemn(&jobs, 2, 2, NOW + 4500).await;

    assert_eq!(empty_trash(&jobs, NOW + 1010).await.unwrap(), 0, "grace is over, the minimum age is not");
    assert_eq!(empty_trash(&jobs, NOW + 5000).await.unwrap(), 1);
    assert!(!path(directory.path(), 1).exists() && path(directory.path(), 2).exists());
    jobs.db.set_held(VAULT, true).await.unwrap();
    assert_eq!(empty_trash(&jobs, NOW + 9000).await.unwrap(), 0, "on hold");
    jobs.db.set_held(VAULT, false).await.unwrap();
    assert_eq!(empty_trash(&jobs, NOW + 9000).await.unwrap(), 1);

    assert_eq!(jobs.db.vault(&VAULT).await.unwrap().unwrap().used, 300);
    assert!(recount(&jobs).await.unwrap().is_empty());
    assert_eq!(check(&jobs, true).await.unwrap(), CheckReport { objects: 3, bytes: 300, faults: vec![] });
}

#[tokio::test]
async fn what_a_crash_leaves_is_swept_and_nothing_else() {
    let Fixture { jobs, directory, .. } = fixture().await;
    store(&jobs, 1).await;
    // An upload whose file was there already when the server was killed, and one whose file has no row.
    let Reserved::New(_) = jobs.db.reserve(VAULT, pack(2), 100, NOW).await.unwrap() else { panic!() };
    for n in [2, 3, 4] {
        let mut incoming = jobs.objects.incoming(100).unwrap();
        incoming.write(&bytes(n)).unwrap();
        jobs.objects.put(&VAULT, &pack(n), incoming, false).unwrap();
    }
    make_old(&path(directory.path(), 1));
    make_old(&path(directory.path(), 3));

    let report = sweep(&jobs, NOW + 6 * HOUR_MS).await.unwrap();
    assert_eq!((report.stale, report.orphans), (0, 1));
    assert!(!path(directory.path(), 3).exists());
    assert!(path(directory.path(), 4).exists(), "too young");
    let report = sweep(&jobs, NOW + 6 * HOUR_MS + 1).await.unwrap();
    assert_eq!((report.stale, report.orphans), (1, 0));

    assert!(!path(directory.path(), 2).exists());
    assert_eq!(jobs.db.vault(&VAULT).await.unwrap().unwrap().used, 100);
    assert!(recount(&jobs).await.unwrap().is_empty());
    assert!(check(&jobs, true).await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn a_changed_object_is_found_no_longer_served_and_may_be_put_again() {
    let Fixture { jobs, directory, .. } = fixture().await;
    for n in 1..=3 {
        store(&jobs, n).await;
    }
    std::fs::write(path(directory.path(), 1), bytes(9)).unwrap();
    std::fs::write(path(directory.path(), 2), "short").unwrap();
    let faults = check(&jobs, false).await.unwrap().faults;
    assert_eq!(faults, [(VAULT, pack(2), Fault::Length { found: 5 })]);
    assert!(check(&jobs, true).await.unwrap().faults.contains(&(VAULT, pack(1), Fault::Hash)));

    let (mut read, mut damaged) = (0, 0);
    for hour in 0..48 {
        let report = scrub(&jobs, NOW + DAY_MS + hour * HOUR_MS).await.unwrap();
        read += report.read;
        damaged += report.damaged;
    }

    assert!(read >= 4, "{read}");
    assert_eq!(damaged, 2);
    for (n, is_served) in [(1, false), (2, false), (3, true)] {
        assert_eq!(jobs.db.object(&VAULT, &pack(n)).await.unwrap().is_some(), is_served);
    }
    store(&jobs, 1).await;
    std::fs::remove_file(path(directory.path(), 3)).unwrap();
    let faults = check(&jobs, true).await.unwrap().faults;
    assert_eq!(faults.len(), 2);
    assert!(faults.contains(&(VAULT, pack(2), Fault::Damaged)));
    assert!(faults.contains(&(VAULT, pack(3), Fault::Missing)));
}

#[tokio::test]
async fn a_backup_of_the_server_is_whole() {
    let Fixture { jobs, directory, .. } = fixture().await;
    for n in 1..=5 {
        store(&jobs, n).await;
    }
    condemn(&jobs, 1, 1, NOW).await;
    let key = directory.path().join("receipt.key");
    std::fs::write(&key, "secret").unwrap();
    let to = directory.path().join("copy");

    let report = backup(&jobs, &to, std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(report, BackupReport { objects: 5, bytes: 500, missing: 0, keys: 1 });
    assert!(backup(&jobs, &to, &[]).await.is_err(), "it is not made over another");
    jobs.db.close().await;

    let options = crate::db::DatabaseOptions::Sqlite { path: to.join("vault.db"), readers: 1 };
    let random = Arc::new(vault_core::crypto::random::SystemRandom::new());
    let db = Database::open(&options, random).await.unwrap();
    let objects = Arc::new(DiskObjects::open(&to.join("objects"), Floor::Bytes(0)).unwrap());
    let copy = Jobs { db, objects, ..jobs };
    assert_eq!(check(&copy, true).await.unwrap(), CheckReport { objects: 5, bytes: 500, faults: vec![] });
    assert_eq!(std::fs::read(to.join("receipt.key")).unwrap(), b"secret");
}

#[tokio::test]
async fn jobs_run_when_they_are_due() {
    let Fixture { jobs, clock, directory } = fixture().await;
    for n in 1..=5 {
        store(&jobs, n).await;
    }
    jobs.run_due().await;
    condemn(&jobs, 1, 1, NOW).await;
    *clock.0.lock().unwrap() = NOW + HOUR_MS - 1;
    jobs.run_due().await;
    assert!(path(directory.path(), 1).exists(), "an hour is not over");

    *clock.0.lock().unwrap() = NOW + HOUR_MS;
    jobs.run_due().await;
    assert!(!path(directory.path(), 1).exists());
    let (stop, stopped) = watch::channel(true);
    jobs.run(stopped).await;
    drop(stop);
}

#[tokio::test]
async fn after_a_crash_everything_half_done_is_gone_before_the_first_request() {
    let Fixture { jobs, directory, .. } = fixture().await;
    store(&jobs, 1).await;
    let Reserved::New(_) = jobs.db.reserve(VAULT, pack(2), 100, NOW).await.unwrap() else { panic!() };
    let Reserved::New(left) = jobs.db.reserve(VAULT, pack(3), 100, NOW).await.unwrap() else { panic!() };
    jobs.db.abandon(left, NOW).await.unwrap();
    std::fs::write(directory.path().join("objects/incoming/left"), "half").unwrap();

    let report = recover(&jobs, NOW).await.unwrap();

    assert_eq!((report.stale, report.incoming), (2, 1));
    assert_eq!(recover(&jobs, NOW).await.unwrap(), SweepReport::default());
    assert_eq!(jobs.db.vault(&VAULT).await.unwrap().unwrap().used, 100);
    store(&jobs, 3).await;
}
