//! A PostgreSQL server for tests, where its programs are installed.
//!
//! One is started for each test program, and ends with it in whatever way that ends.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as expected"
)]

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A server of PostgreSQL in a temporary directory.
#[derive(Debug)]
pub struct PostgresServer {
    directory: PathBuf,
    databases: AtomicU32,
    /// Its input is open as long as this program runs.
    _guard: Child,
}

impl PostgresServer {
    /// The one server of this program, started when it is first asked for; `None`, and a notice, where PostgreSQL is not installed.
    pub fn of_this_program() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<PostgresServer>> = OnceLock::new();
        let server = SERVER.get_or_init(Self::start).as_ref();
        if server.is_none() {
            println!("skipped: PostgreSQL is not installed");
        }
        server
    }

    /// Makes an empty database; its address.
    pub async fn new_database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let sql = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        self.url(&name)
    }

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
        let server = Self { directory, databases: AtomicU32::new(0), _guard: guard };
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
