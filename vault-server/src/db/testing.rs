//! Databases for tests: SQLite in a temporary directory, and PostgreSQL where its programs are installed.
//!
//! One server of PostgreSQL is started for each test program, and ends with it.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use vault_core::crypto::random::SystemRandom;
use vault_core::id::{DeviceId, StatementHash, UserId, VaultId};
use vault_core::log::{DeviceKind, Role};

use super::*;

/// A moment after which tests happen, in ms.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// A database, and what goes when it goes.
pub(crate) struct TestDatabase {
    pub(crate) db: Database,
    pub(crate) directory: TempDir,
}

/// A new SQLite database.
pub(crate) async fn sqlite() -> TestDatabase {
    let directory = tempfile::tempdir().unwrap();
    let options = DatabaseOptions::Sqlite { path: directory.path().join("vault.db"), readers: 4 };
    let db = Database::open(&options, Arc::new(SystemRandom::new())).await.unwrap();
    TestDatabase { db, directory }
}

/// A new PostgreSQL database; `None`, and a notice, where there is no PostgreSQL.
pub(crate) async fn postgres() -> Option<TestDatabase> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Some(server) = SERVER.get_or_init(Server::start) else {
        println!("skipped: PostgreSQL is not installed");
        return None;
    };
    let name = format!("test{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let sql = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    let options = DatabaseOptions::Postgres { url: server.url(&name), connections: 8 };
    let db = Database::open(&options, Arc::new(SystemRandom::new())).await.unwrap();
    Some(TestDatabase { db, directory: tempfile::tempdir().unwrap() })
}

struct Server {
    directory: PathBuf,
    /// Its input is open as long as this program runs.
    _guard: Child,
}

impl Server {
    fn start() -> Option<Self> {
        let programs = programs()?;
        let directory = tempfile::Builder::new().prefix("vault-pg").tempdir().unwrap().keep();
        // PostgreSQL refuses to run as root.
        let user = (directory.metadata().unwrap().uid() == 0).then(unprivileged_user);
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&directory).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = command(&programs.join("initdb"))
            .args(["-U", "vault", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D", "data"])
            .stdin(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            println!("initdb failed");
            return None;
        }
        // When this program ends in whatever way, `cat` does too.
        let script = r#""$0/postgres" -D data -k "$PWD" -c listen_addresses= -c fsync=off >log 2>&1 &
            cat >/dev/null; kill -INT $!; wait; cd /; rm -rf "$1""#;
        let guard = command(Path::new("/bin/sh"))
            .arg("-c")
            .arg(script)
            .args([programs.as_path(), &directory])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { directory, _guard: guard };
        server.wait();
        Some(server)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://vault@localhost/{database}?host={}", self.directory.display())
    }

    /// Waits until it listens.
    fn wait(&self) {
        for _ in 0..600 {
            if std::os::unix::net::UnixStream::connect(self.directory.join(".s.PGSQL.5432")).is_ok()
                && std::fs::read_to_string(self.directory.join("log"))
                    .is_ok_and(|log| log.contains("ready to accept connections"))
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("PostgreSQL did not start: {:?}", std::fs::read_to_string(self.directory.join("log")));
    }
}

/// Where Debian, or the search path, has PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    debian.chain(std::env::split_paths(&paths).collect::<Vec<_>>()).find(|path| path.join("initdb").is_file())
}

/// The numbers of the user `postgres`, or of `nobody`.
fn unprivileged_user() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let numbers = |name: &str| -> Option<(u32, u32)> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    numbers("postgres").or_else(|| numbers("nobody")).unwrap_or((65534, 65534))
}

pub(crate) fn user(n: u8) -> UserId {
    UserId::new([n; 16])
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId::new([n; 16])
}

pub(crate) fn vault(n: u8) -> VaultId {
    VaultId::new([n; 32])
}

pub(crate) fn receipt(time_ms: u64) -> Receipt {
    Receipt { time_ms, signature: [7; 64] }
}

pub(crate) fn card_device(n: u8) -> CardDevice {
    CardDevice { device: device(n), signing_key: [n; 32], kind: DeviceKind::Full }
}

/// An entry that names devices.
pub(crate) fn entry(user_number: u8, seq: u64, devices: &[u8]) -> NewCardEntry {
    NewCardEntry {
        user: user(user_number),
        seq,
        entry: [&[user_number, seq as u8], devices].concat(),
        devices: devices.iter().map(|n| card_device(*n)).collect(),
        now_ms: NOW,
    }
}

pub(crate) fn invite(n: u8, quota: u64) -> NewInvite {
    let label = format!("invite {n}");
    NewInvite { invite: [n; 16], auth: [n; 32], label, quota, now_ms: NOW, expires_ms: NOW + 1000 }
}

pub(crate) fn join(invite: u8, entry: NewCardEntry) -> Join {
    Join { invite: [invite; 16], entry, max_wrong_macs: 5 }
}

/// A user of that number with a device of that number.
pub(crate) async fn with_user(db: &Database, n: u8, quota: u64) -> UserId {
    db.add_invite(invite(n, quota)).await.unwrap();
    assert_eq!(db.join(join(n, entry(n, 0, &[n]))).await.unwrap(), Joined::Done);
    user(n)
}

pub(crate) fn new_vault(n: u8, founder: u8, quota: u64) -> NewVault {
    NewVault {
        vault: vault(n),
        founder: user(founder),
        genesis: vec![n; 10],
        hash: StatementHash::new([n; 32]),
        receipt: receipt(NOW),
        members: vec![Member::User(user(founder), Role::Owner)],
        quota,
        max_vaults: 3,
        audit: None,
    }
}

/// A vault of that number, founded by a new user of that number.
pub(crate) async fn with_vault(db: &Database, n: u8, quota: u64) -> VaultId {
    with_user(db, n, quota).await;
    assert_eq!(db.create_vault(new_vault(n, n, quota)).await.unwrap(), Created::Done);
    vault(n)
}

pub(crate) fn statement(vault_number: u8, seq: u64, effects: Effects) -> NewStatement {
    NewStatement {
        vault: vault(vault_number),
        seq: vault_core::id::Seq(seq),
        statement: seq.to_le_bytes().to_vec(),
        hash: StatementHash::new([seq as u8 ^ 0x80; 32]),
        receipt: receipt(NOW + seq),
        effects,
        hold_from: 0,
        audit: None,
    }
}
