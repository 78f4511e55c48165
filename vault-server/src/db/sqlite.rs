//! SQLite: one connection that writes, and some that read.
//!
//! A flush to the disk takes milliseconds, so writes that wait are committed together:
//!
//! ```text
//! take a write from the queue, begin a transaction                                        [1]
//! run it between SAVEPOINT and RELEASE; if it fails, roll back to the savepoint           [2]
//! as long as more wait, up to 64 of them or 10 ms, do the same                            [3]
//! commit: one flush                                                                       [4]
//! answer all of them                                                                      [5]
//! ```
//!
//! Nothing is answered as done before [4] returns. If [4] fails for the disk's sake, nothing is written any more: what the disk holds
//! is then not known until SQLite opens the file again.

use std::error::Error as _;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::cache::Rights;
use super::session::{Boxed, Link, Operation, Session};
use super::{DbError, filesystem, migrations};

/// Writes that may wait.
const QUEUE: usize = 1024;

/// Writes in one transaction.
const GROUP: usize = 64;

/// The time after which a transaction takes no further writes.
const GROUP_TIME: Duration = Duration::from_millis(10);

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(15);

pub(super) struct Sqlite {
    queue: mpsc::Sender<Message>,
    readers: SqlitePool,
    is_degraded: Arc<AtomicBool>,
    options: SqliteConnectOptions,
}

enum Message {
    Write(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A write in the queue.
trait Job: Send {
    /// Runs it; whether what it did is to be kept.
    fn run<'c>(&'c mut self, session: &'c mut Session) -> Boxed<'c, bool>;

    /// Tells whoever waits for it what came of it, where the transaction came to `fate`.
    fn answer(self: Box<Self>, fate: Fate);
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    Full,
    Degraded,
}

struct Write<I, T> {
    input: I,
    run: Operation<I, T>,
    result: Option<Result<T, DbError>>,
    answer: oneshot::Sender<Result<T, DbError>>,
}

impl<I: Send + Sync, T: Send> Job for Write<I, T> {
    fn run<'c>(&'c mut self, session: &'c mut Session) -> Boxed<'c, bool> {
        Box::pin(async move {
            let result = (self.run)(session, &self.input).await;
            let is_undone = session.take_undone();
            let is_kept = result.is_ok() && !is_undone;
            self.result = Some(result);
            is_kept
        })
    }

    fn answer(self: Box<Self>, fate: Fate) {
        let result = match (fate, self.result) {
            // What failed by itself says so, whatever came of the others.
            (Fate::Committed, Some(result)) | (_, Some(result @ Err(_))) => result,
            (Fate::Committed | Fate::Aborted, _) => Err(DbError::Aborted),
            (Fate::Full, _) => Err(DbError::StorageFull),
            (Fate::Degraded, _) => Err(DbError::Degraded),
        };
        // Nobody may wait for it any more.
        let _ = self.answer.send(result);
    }
}

impl Sqlite {
    pub(super) async fn open(path: &Path, readers: u32, rights: Arc<Rights>) -> Result<Self, DbError> {
        prepare_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("trusted_schema", "OFF")
            .pragma("journal_size_limit", "67108864")
            .pragma("cell_size_check", "ON");
        let mut writer = options.connect().await?;
        Migrator::with_migrations(migrations::sqlite())
            .run_direct(None, &mut writer, false)
            .await
            .map_err(DbError::Migration)?;
        // To ask a connection to a file whether it is there still would double the time of each read.
        let pool = SqlitePoolOptions::new()
            .max_connections(readers.max(1))
            .acquire_timeout(BUSY)
            .test_before_acquire(false);
        let readers = pool.connect_with(options.clone().pragma("query_only", "ON")).await?;
        let (queue, messages) = mpsc::channel(QUEUE);
        let is_degraded = Arc::new(AtomicBool::new(false));
        let group = Writer {
            session: Session::new(Link::SqliteWriter(writer)),
            rights,
            is_degraded: is_degraded.clone(),
        };
        tokio::spawn(group.run(messages));
        Ok(Self { queue, readers, is_degraded, options })
    }

    pub(super) async fn reader(&self) -> Result<Session, DbError> {
        Ok(Session::new(Link::SqliteReader(self.readers.acquire().await?)))
    }

    pub(super) async fn write<I, T>(&self, input: I, run: Operation<I, T>) -> Result<T, DbError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        if self.is_degraded.load(Ordering::SeqCst) {
            return Err(DbError::Degraded);
        }
        let (answer, result) = oneshot::channel();
        let job = Box::new(Write { input, run, result: None, answer });
        let sent = self.queue.send_timeout(Message::Write(job), BUSY).await;
        sent.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => DbError::Busy,
            mpsc::error::SendTimeoutError::Closed(_) => DbError::Closed,
        })?;
        result.await.unwrap_or(Err(DbError::Closed))
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        self.readers.close().await;
    }

    pub(super) async fn copy_to(&self, path: &Path) -> Result<(), DbError> {
        let io = |source| DbError::Io { path: path.to_path_buf(), source };
        let Some(text) = path.to_str() else {
            return Err(io(std::io::Error::from(std::io::ErrorKind::InvalidFilename)));
        };
        // SQLite takes an empty file, and this one is for the owner only.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let mut connection = self.options.connect().await?;
        sqlx::query("VACUUM INTO $1").bind(text.to_owned()).execute(&mut connection).await?;
        connection.close().await?;
        let path = path.to_path_buf();
        let flushed = tokio::task::spawn_blocking(move || -> Result<(), DbError> {
            let flush = |path: &Path| std::fs::File::open(path)?.sync_all();
            let parent = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
            flush(&path)
                .and_then(|()| flush(&parent))
                .map_err(|source| DbError::Io { path: path.clone(), source })
        });
        flushed.await.unwrap_or(Err(DbError::Aborted))
    }
}

/// The one that writes.
struct Writer {
    session: Session,
    rights: Arc<Rights>,
    is_degraded: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut close = None;
        while close.is_none() {
            let Some(message) = messages.recv().await else { break };
            match message {
                Message::Write(first) => close = self.group(first, &mut messages).await,
                Message::Close(done) => close = Some(done),
            }
        }
        // What was sent before is done before, for the queue keeps the order; what comes after is refused.
        drop(messages);
        if let Link::SqliteWriter(connection) = self.session.into_link() {
            let _ = connection.close().await;
        }
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    /// Commits a write and those that wait behind it. Whom to tell, if it is to close then.
    async fn group(
        &mut self,
        first: Box<dyn Job>,
        messages: &mut mpsc::Receiver<Message>,
    ) -> Option<oneshot::Sender<()>> {
        let (mut jobs, mut close) = (Vec::new(), None);
        let mut fate =
            if self.is_degraded.load(Ordering::SeqCst) { Fate::Degraded } else { self.begin().await }; // [1]
        let (began, mut next) = (Instant::now(), Some(first));
        while let Some(mut job) = next.take() {
            if fate == Fate::Committed {
                fate = self.run_job(&mut *job).await; // [2]
            }
            jobs.push(job);
            if jobs.len() < GROUP && began.elapsed() < GROUP_TIME {
                match messages.try_recv() {
                    Ok(Message::Write(job)) => next = Some(job), // [3]
                    Ok(Message::Close(done)) => close = Some(done),
                    Err(_) => {}
                }
            }
        }
        if fate == Fate::Committed {
            fate = self.statement("COMMIT").await; // [4]
        }
        if fate != Fate::Committed {
            // It fails if SQLite has rolled back already.
            let _ = self.session.execute("ROLLBACK", Vec::new()).await;
        }
        if self.session.take_changed_rights() {
            self.rights.clear();
        }
        jobs.into_iter().for_each(|job| job.answer(fate)); // [5]
        close
    }

    async fn begin(&mut self) -> Fate {
        self.statement("BEGIN IMMEDIATE").await
    }

    async fn run_job(&mut self, job: &mut dyn Job) -> Fate {
        let fate = self.statement("SAVEPOINT job").await;
        if fate != Fate::Committed {
            return fate;
        }
        if !job.run(&mut self.session).await {
            // After some errors SQLite has rolled back everything, and this fails.
            let fate = self.statement("ROLLBACK TO job").await;
            if fate != Fate::Committed {
                return fate;
            }
        }
        self.statement("RELEASE job").await
    }

    /// Runs a text that begins or ends something; what becomes of the transaction by it.
    async fn statement(&mut self, sql: &'static str) -> Fate {
        match self.session.execute(sql, Vec::new()).await {
            Ok(_) => Fate::Committed,
            Err(DbError::StorageFull) => Fate::Full,
            Err(error) => {
                tracing::error!(sql, %error, source = error.source().map(tracing::field::display), "the database refused a step of a transaction");
                if is_io(&error) {
                    self.is_degraded.store(true, Ordering::SeqCst);
                    return Fate::Degraded;
                }
                Fate::Aborted
            }
        }
    }
}

/// `SQLITE_IOERR`, in whatever form.
fn is_io(error: &DbError) -> bool {
    let DbError::Sql(error) = error else { return false };
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 10)
}

/// Makes the file for its owner only, unless it is there; SQLite gives its other files the same rights.
fn prepare_file(path: &Path) -> Result<(), DbError> {
    let io = |source| DbError::Io { path: path.to_path_buf(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(kind) = filesystem::not_local(directory).map_err(io)? {
        return Err(DbError::NotLocal { path: directory.to_path_buf(), kind });
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::pin::Pin;

    use super::super::session::args;
    use super::*;
    use crate::db::testing::{NOW, device, sqlite, user, with_user};

    async fn open(path: &Path) -> Sqlite {
        Sqlite::open(path, 2, Arc::default()).await.unwrap()
    }

    /// Adds a user, and fails afterwards for odd numbers.
    fn add_user<'c>(session: &'c mut Session, n: &'c u8) -> Boxed<'c, Result<u8, DbError>> {
        Box::pin(async move {
            let sql = "INSERT INTO users (user_id, label, quota, used, suspended, card_seq, created_ms)
                       VALUES ($1, '', 0, 0, 0, 0, 0)";
            session.execute(sql, args![[*n; 16]]).await?;
            match n % 4 {
                0 => Ok(*n),
                1 => Err(DbError::Corrupt { what: "even" }),
                2 => Ok(session.undo(*n)),
                // Breaks a rule of the table.
                _ => session.execute("UPDATE users SET used = -1", Vec::new()).await.map(|_| *n),
            }
        })
    }

    #[tokio::test]
    async fn of_writes_in_one_transaction_each_succeeds_or_fails_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let db = Arc::new(open(&directory.path().join("db")).await);
        let tasks: Vec<_> = (0..200_u8)
            .map(|n| {
                let db = db.clone();
                tokio::spawn(async move { db.write(n, add_user).await })
            })
            .collect();

        for (n, task) in tasks.into_iter().enumerate() {
            let result = task.await.unwrap();
            match n % 4 {
                0 | 2 => assert_eq!(result.unwrap(), n as u8),
                1 => assert!(matches!(result, Err(DbError::Corrupt { .. })), "{result:?}"),
                _ => assert!(matches!(result, Err(DbError::Sql(_))), "{result:?}"),
            }
        }

        let mut reader = db.reader().await.unwrap();
        let rows = reader.rows("SELECT user_id FROM users ORDER BY user_id", Vec::new()).await.unwrap();
        let there: Vec<_> = rows.iter().map(|row| row.array::<16>(0).unwrap()[0]).collect();
        assert_eq!(there, (0..200).step_by(4).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_is_done_and_a_closed_database_takes_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let db = open(&path).await;
        {
            let mut write: Pin<Box<_>> = Box::pin(db.write(4, add_user));
            // Once: it is in the queue, and then dropped.
            std::future::poll_fn(|context| {
                let _ = write.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }

        db.close().await;

        assert!(matches!(db.write(8, add_user).await, Err(DbError::Closed)));
        let again = open(&path).await;
        let mut reader = again.reader().await.unwrap();
        let row = reader.one("SELECT COUNT(*) FROM users", Vec::new()).await.unwrap();
        assert_eq!(row.uint(0).unwrap(), 1);
    }

    #[tokio::test]
    async fn the_connections_are_durable_strict_and_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let db = open(&path).await;
        db.write(4, add_user).await.unwrap();

        let mut reader = db.reader().await.unwrap();
        for (pragma, value) in [
            ("PRAGMA synchronous", 2),
            ("PRAGMA foreign_keys", 1),
            ("PRAGMA trusted_schema", 0),
            ("PRAGMA query_only", 1),
        ] {
            assert_eq!(reader.one(pragma, Vec::new()).await.unwrap().uint(0).unwrap(), value, "{pragma}");
        }
        assert_eq!(reader.one("PRAGMA journal_mode", Vec::new()).await.unwrap().text(0).unwrap(), "wal");
        let sql = "SELECT COUNT(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0
                   AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx_%'";
        assert_eq!(reader.one(sql, Vec::new()).await.unwrap().uint(0).unwrap(), 0);
        assert!(reader.execute("DELETE FROM users", Vec::new()).await.is_err(), "it only reads");
        for entry in directory.path().read_dir().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
    }

    #[tokio::test]
    async fn a_degraded_database_takes_no_writes_and_is_read() {
        let test = sqlite().await;
        with_user(&test.db, 1, 100).await;
        let crate::db::Engine::Sqlite(engine) = &test.db.inner.engine else { panic!() };
        engine.is_degraded.store(true, Ordering::SeqCst);

        assert!(matches!(test.db.probe(NOW).await, Err(DbError::Degraded)));
        assert!(matches!(test.db.use_nonce(device(1), [1; 16], NOW).await, Err(DbError::Degraded)));
        assert!(test.db.user(&user(1)).await.unwrap().is_some());
    }
}
