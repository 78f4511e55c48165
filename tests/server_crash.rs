//! The server is killed at any moment: what it acknowledged is there afterwards, whole, and its clients go on by themselves.
//!
//! The real program is killed as a power cut would end it, but for what the operating system still has in memory. `VAULT_TEST_SERVER_KILLS`
//! sets how often, `VAULT_TEST_UPLOAD_BYTES` the size of each of 64 uploads at once.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "what was measured is told")]

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use vault_core::crypto::hash;
use vault_core::id::{PackId, SnapshotId, VaultId};
use vault_core::net::Stored;
use vault_core::store::ObjectKey;
use vault_core::time::{Clock, Timestamp};
use vault_server::config::Config;
use vault_server::db::ObjectState;
use vault_tests::damage::files_below;
use vault_tests::{Account, ServerProcess, TreeFixture, assert_same_tree, noise};

/// Kills where the environment says nothing else.
const KILLS: u64 = 6;
/// Clients at work at once.
const CLIENTS: u64 = 4;
/// Uploads at once where memory is measured, and bytes in each.
const UPLOADS: usize = 64;
const UPLOAD_BYTES: usize = 8 << 20;
/// What 64 uploads at once may take of the server's memory, in KiB.
const MEMORY_KIB: u64 = 256 << 10;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What one client knows that the server has.
struct Client {
    account: Account,
    vault: VaultId,
    tree: TreeFixture,
    packs: Vec<Vec<u8>>,
    snapshots: Vec<SnapshotId>,
}

impl Client {
    fn new(server: &ServerProcess, number: u64) -> Self {
        let account = Account::join_by(&server.invite());
        let vault = account.init().unwrap();
        let tree = TreeFixture::new();
        tree.file("noise", noise(number, 3_000_000)).file("letter", "Dear friend,");
        Self { account, vault, tree, packs: Vec::new(), snapshots: Vec::new() }
    }

    /// Uploads and backs up until told to stop. Whatever fails for longer than a client's patience ends the test.
    fn work(&mut self, number: u64, stop: &AtomicBool) {
        for round in 0.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let pack = noise(1_000 + number * 1_000 + round, 700_000);
            let key = ObjectKey::Pack(PackId::new(hash::object_hash(&pack)));
            let stored = self.account.server().put_object(&self.vault, &key, &pack).unwrap();
            assert!(matches!(stored, Stored::New | Stored::Same), "{stored:?}");
            self.packs.push(pack);

            self.tree.file(format!("round-{round}"), noise(round, 200_000));
            let mut vault = self.account.open(self.vault).unwrap();
            self.snapshots.push(self.account.backup(&mut vault, &self.tree.path()).unwrap().snapshot);
        }
    }

    /// Everything that was acknowledged is there.
    fn assert_all_there(&mut self) {
        for pack in &self.packs {
            let key = ObjectKey::Pack(PackId::new(hash::object_hash(pack)));
            let read = self.account.server().object(&self.vault, &key, 1 << 20).unwrap();
            assert!(read == *pack, "{key} is another one");
        }
        self.account.move_to_new_machine();
        let vault = self.account.open(self.vault).unwrap();
        let there: Vec<_> = vault.state().snapshots().iter().map(|snapshot| snapshot.id).collect();
        assert_eq!(there, self.snapshots);
        if let Some(last) = self.snapshots.last() {
            let target = tempfile::tempdir().unwrap();
            let restored = self.account.restore(&vault, *last, target.path()).unwrap();
            assert_eq!(restored.failed_entries, 0);
            assert_same_tree(&self.tree.path(), target.path());
        }
        self.account.assert_clean(&vault);
    }
}

/// Tells the clients to stop when it goes.
struct StopAtEnd<'s>(&'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn what_was_acknowledged_outlives_every_kill_and_clients_go_on() {
    let kills = number("VAULT_TEST_SERVER_KILLS", KILLS);
    let mut server = ServerProcess::start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(&server, number)).collect();
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        let stop = &stop;
        // Also if this ends early: the clients would go on for ever.
        let ending = StopAtEnd(stop);
        let working: Vec<_> = (0..)
            .zip(&mut clients)
            .map(|(number, client)| scope.spawn(move || client.work(number, stop)))
            .collect();
        for kill in 0..kills {
            // Between a moment and a second, differently each time.
            let moment = u64::from(noise(kill, 1)[0]) * 4;
            thread::sleep(Duration::from_millis(50 + moment));
            server.kill();
            server.restart();
            if working.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        thread::sleep(Duration::from_millis(300));
        drop(ending);
        for client in working {
            client.join().unwrap();
        }
    });
    server.kill();
    server.restart();

    let acknowledged: usize = clients.iter().map(|client| client.packs.len() + client.snapshots.len()).sum();
    println!("{kills} kills, {acknowledged} uploads and backups acknowledged");
    for client in &mut clients {
        client.assert_all_there();
    }
    let checked = server.command(&["check", "--read-data"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    server.kill();
    assert_no_orphans(&server.data());
}

/// A clock that is days ahead.
#[derive(Debug)]
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::new(since.as_secs().cast_signed() + 3 * 86_400, 0)
    }
}

/// Once the server has swept, there are as many files as rows, and none that was on its way.
fn assert_no_orphans(data: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    for file in files_below(&data.join("objects")) {
        File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_times(FileTimes::new().set_modified(long_ago))
            .unwrap();
    }
    let mut config = Config::defaults_in(data).unwrap();
    config.keeping.keep_free = Some(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (rows, drift) = runtime.block_on(async {
        let parts = vault_server::open(&config).await.unwrap();
        let jobs = vault_server::jobs_of(&config, &parts, Arc::new(Later));
        let now_ms = vault_server::state::millis(Later.now());
        let swept = vault_server::jobs::sweep(&jobs, now_ms).await.unwrap();
        println!("{swept:?}");
        let rows = parts.db.all_objects(None, u32::MAX >> 1).await.unwrap();
        let drift = vault_server::jobs::recount(&jobs).await.unwrap();
        parts.db.close().await;
        (rows, drift)
    });
    assert!(rows.iter().all(|row| matches!(row.state, ObjectState::Stored | ObjectState::Trash)), "{rows:?}");
    let of_row = |row: &vault_server::db::ObjectRecord| format!("{}/{}", row.vault, row.key.path());
    let rows: BTreeSet<_> = rows.iter().map(of_row).collect();
    let root = data.join("objects");
    let name = |file: PathBuf| file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let files: BTreeSet<_> = files_below(&root).into_iter().map(name).collect();
    assert_eq!(files.symmetric_difference(&rows).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(drift.is_empty(), "{drift:?}");
}

#[test]
fn sixty_four_uploads_at_once_take_little_memory() {
    let bytes = number("VAULT_TEST_UPLOAD_BYTES", UPLOAD_BYTES as u64) as usize;
    let server = ServerProcess::start();
    let before = server.peak_memory();
    // Sixteen each, so that no device is told to wait.
    let accounts: Vec<_> = (0..4).map(|_| Account::join_by(&server.invite())).collect();
    let vaults: Vec<_> = accounts.iter().map(|account| account.init().unwrap()).collect();
    let all = noise(1, bytes + UPLOADS);
    let refused = Mutex::new(Vec::new());

    thread::scope(|scope| {
        for upload in 0..UPLOADS {
            let (account, vault, pack) =
                (&accounts[upload % 4], vaults[upload % 4], &all[upload..upload + bytes]);
            let refused = &refused;
            scope.spawn(move || {
                let key = ObjectKey::Pack(PackId::new(hash::object_hash(pack)));
                if let Err(error) = account.server().put_object(&vault, &key, pack) {
                    refused.lock().unwrap().push(error);
                }
            });
        }
    });

    let peak = server.peak_memory();
    println!("{UPLOADS} uploads of {bytes} bytes at once: {peak} KiB at most, {before} KiB at the start");
    assert!(refused.lock().unwrap().is_empty(), "{:?}", refused.lock().unwrap());
    assert!(peak <= MEMORY_KIB, "{peak} KiB");
    let files = files_below(&server.data().join("objects"));
    let is_upload = |file: &&PathBuf| fs::metadata(file).unwrap().len() == bytes as u64;
    assert_eq!(files.iter().filter(is_upload).count(), UPLOADS);
}
