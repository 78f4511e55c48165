//! PostgreSQL: a pool; each write is a transaction of its own, and tried again where the server says that another was in its way.

#[cfg(any(test, feature = "testing"))]
pub(super) mod testing;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::cache::Rights;
use super::session::{Link, Operation, Session};
use super::{DbError, migrations};

/// How often a write is tried.
const TRIES: u32 = 10;

/// The longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);

pub(super) struct Postgres {
    pool: PgPool,
    rights: Arc<Rights>,
}

impl Postgres {
    pub(super) async fn open(url: &str, connections: u32, rights: Arc<Rights>) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)?.application_name("vault-server").options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(2))
            .acquire_timeout(ACQUIRE)
            .connect_with(options)
            .await?;
        // Under an advisory lock, so that of several servers that start at once one does it.
        Migrator::with_migrations(migrations::postgres()).run(&pool).await.map_err(DbError::Migration)?;
        Ok(Self { pool, rights })
    }

    pub(super) async fn reader(&self) -> Result<Session, DbError> {
        Ok(Session::new(Link::PostgresReader(self.pool.acquire().await?)))
    }

    pub(super) async fn write<I, T>(&self, input: I, run: Operation<I, T>) -> Result<T, DbError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (pool, rights) = (self.pool.clone(), self.rights.clone());
        // A task of its own: it goes on if the request that waits for it is dropped.
        let task = tokio::spawn(async move {
            let mut tries = 0;
            loop {
                tries += 1;
                match write_once(&pool, &rights, &input, run).await {
                    Err(DbError::Sql(error)) if tries < TRIES && is_to_be_retried(&error) => {
                        tokio::time::sleep(Duration::from_millis(u64::from(tries * tries))).await;
                    }
                    result => return result,
                }
            }
        });
        task.await.unwrap_or(Err(DbError::Aborted))
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn write_once<I, T>(
    pool: &PgPool,
    rights: &Rights,
    input: &I,
    run: Operation<I, T>,
) -> Result<T, DbError> {
    // Dropped on the way, a transaction is rolled back.
    let mut session = Session::new(Link::PostgresWriter(pool.begin().await?));
    let answer = run(&mut session, input).await?;
    let (is_undone, has_changed_rights) = (session.take_undone(), session.take_changed_rights());
    let Link::PostgresWriter(transaction) = session.into_link() else { return Err(DbError::Aborted) };
    if is_undone {
        transaction.rollback().await?;
        return Ok(answer);
    }
    let result = transaction.commit().await;
    if has_changed_rights {
        // Also after an error: the commit may have been done.
        rights.clear();
    }
    result?;
    Ok(answer)
}

/// `serialization_failure`, `deadlock_detected`.
fn is_to_be_retried(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(DatabaseError::code)
        .is_some_and(|code| code == "40001" || code == "40P01")
}
