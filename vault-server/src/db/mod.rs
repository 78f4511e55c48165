//! What the server remembers: one [`Database`] over SQLite or PostgreSQL.
//!
//! What is answered as done is committed and flushed to the disk before the answer. A write runs in one transaction that no
//! dropped request interrupts. Every text of SQL is static and stands in the file of its noun; a column is never `NULL`.
//!
//! | file | what it keeps |
//! |---|---|
//! | `accounts` | users, their cards, the devices on the newest entries |
//! | `invites` | what a new user comes with |
//! | `names` | which user has which name |
//! | `device_requests` | devices that wait to be put on a card |
//! | `vaults` | vaults, who founded them, who may what in them, quota and usage |
//! | `log` | statements, their receipts, and what they change |
//! | `grants` | what was given to whom, and how often it was fetched |
//! | `objects` | which objects there are, and in which state |
//! | `nonces` | signatures that were used |
//! | `audit` | what was done, in one hash chain for each vault |
//! | `meta` | when each job ran |
//!
//! # Transactions
//!
//! With SQLite there is one writer, so that writes never wait for each other but in its queue. PostgreSQL runs them side by side as
//! `READ COMMITTED`: a transaction about a vault begins by updating the vault's row, and so do those about a user or an invite with
//! theirs. What is read after that cannot change until the commit. Rows are locked in the order invite, vault, user, name.

mod accounts;
mod audit;
mod cache;
mod device_requests;
mod error;
mod filesystem;
mod grants;
mod invites;
mod log;
mod meta;
mod migrations;
mod names;
mod nonces;
mod objects;
mod postgres;
mod session;
mod sqlite;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod vaults;

use std::path::PathBuf;
use std::sync::Arc;

use vault_core::crypto::random::Random;

pub use self::accounts::{CardDevice, CardEntry, DeviceRecord, EntryPut, NewCardEntry, UserRecord};
pub use self::audit::{AuditEntry, AuditRecord};
pub use self::device_requests::{DeviceRequest, RequestAnswered};
pub use self::error::DbError;
pub use self::grants::{ByLink, GivenRecord, GrantRecord, NEVER, NewGrant, NewTicket, Opened, Opening};
pub use self::invites::{Invite, Join, Joined, NewInvite};
pub use self::log::{Appended, Effects, LogEntry, NewStatement, Receipt};
pub use self::names::Named;
pub use self::objects::{
    Committed, Cursor, ObjectRecord, ObjectState, Removal, Reservation, Reserved, StoredObject, Undelete,
};
#[cfg(any(test, feature = "testing"))]
pub use self::postgres::testing::PostgresServer;
pub use self::vaults::{Access, Created, Member, NewVault, Recount, VaultOfUser, VaultRecord};
use cache::Rights;
use session::{Operation, Session};

/// An invite: random.
pub type InviteId = [u8; 16];
/// A request of a new device: random.
pub type RequestId = [u8; 16];

/// Where the database is.
#[derive(Debug, Clone)]
pub enum DatabaseOptions {
    /// A file on a local disk, made if there is none.
    Sqlite {
        /// The file; its directory must exist.
        path: PathBuf,
        /// Connections that read; there is one that writes.
        readers: u32,
    },
    /// A server, as `postgres://user:password@host/database`.
    Postgres {
        /// The address, with the password: never logged.
        url: String,
        /// Connections at most.
        connections: u32,
    },
}

/// The database. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    rights: Arc<Rights>,
    random: Arc<dyn Random>,
}

enum Engine {
    Sqlite(Box<sqlite::Sqlite>),
    Postgres(postgres::Postgres),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("engine", &self.engine_name()).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database, and brings its tables to what this version needs.
    ///
    /// # Errors
    ///
    /// [`DbError::NotLocal`] if a SQLite file would lie on a network file system.
    pub async fn open(options: &DatabaseOptions, random: Arc<dyn Random>) -> Result<Self, DbError> {
        let rights = Arc::new(Rights::default());
        let engine = match options {
            DatabaseOptions::Sqlite { path, readers } => {
                Engine::Sqlite(Box::new(sqlite::Sqlite::open(path, *readers, rights.clone()).await?))
            }
            DatabaseOptions::Postgres { url, connections } => {
                Engine::Postgres(postgres::Postgres::open(url, *connections, rights.clone()).await?)
            }
        };
        Ok(Self { inner: Arc::new(Inner { engine, rights, random }) })
    }

    /// `sqlite` or `postgres`.
    pub fn engine_name(&self) -> &'static str {
        match self.inner.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Finishes the writes that were asked for, refuses further ones, and closes all connections.
    pub async fn close(&self) {
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Writes a consistent copy of a SQLite database to a file that must not exist.
    ///
    /// # Errors
    ///
    /// [`DbError::Unsupported`] with PostgreSQL, which has its own tools for it.
    pub async fn copy_to(&self, path: &std::path::Path) -> Result<(), DbError> {
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => sqlite.copy_to(path).await,
            Engine::Postgres(_) => Err(DbError::Unsupported { what: "a copy of the database" }),
        }
    }

    /// Runs a write in a transaction of its own, to the end, even if the caller stops waiting.
    async fn write<I, T>(&self, input: I, run: Operation<I, T>) -> Result<T, DbError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => sqlite.write(input, run).await,
            Engine::Postgres(postgres) => postgres.write(input, run).await,
        }
    }

    /// A connection to read with; each statement sees what was committed when it began.
    async fn reader(&self) -> Result<Session, DbError> {
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => sqlite.reader().await,
            Engine::Postgres(postgres) => postgres.reader().await,
        }
    }
}
