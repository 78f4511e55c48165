//! What can go wrong between the server and its database.

use std::io;
use std::path::PathBuf;

/// A request to the database that was not done, and changed nothing; but see [`Self::Degraded`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The database refused, or could not be reached.
    #[error("the database failed")]
    Sql(#[source] sqlx::Error),
    /// The tables could not be brought to what this version needs.
    #[error("the tables of the database could not be prepared")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The disk of the database is full.
    #[error("the disk of the database is full")]
    StorageFull,
    /// A flush to the disk failed. What was asked for may have been done or not; nothing more is written until a restart.
    #[error("the database takes no writes since its disk failed")]
    Degraded,
    /// The transaction was rolled back, for reasons that are in the log.
    #[error("the transaction was not committed")]
    Aborted,
    /// More writes wait than are allowed to.
    #[error("too many writes are waiting for the database")]
    Busy,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A row holds what no version ever wrote.
    #[error("the database holds something that is not {what}")]
    Corrupt {
        /// What it should be.
        what: &'static str,
    },
    /// The engine cannot do that.
    #[error("this kind of database does not offer {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// SQLite's locks and its shared memory do not work over a network.
    #[error("{} is on a network or user-space file system ({kind})", path.display())]
    NotLocal {
        /// The directory.
        path: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// The file of the database could not be made or looked at.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] vault_core::crypto::random::RandomUnavailable),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Database(inner) if inner.code().is_some_and(|code| is_full(&code)) => {
                Self::StorageFull
            }
            _ => Self::Sql(error),
        }
    }
}

/// `SQLITE_FULL`, and PostgreSQL's `disk_full`.
fn is_full(code: &str) -> bool {
    matches!(code, "13" | "53100")
}
