//! One connection of either engine, with the same few calls.
//!
//! The texts of SQL are static and the same for both engines where these agree; numbers are `BIGINT` and not negative, ids and bytes
//! are blobs. No value is ever written into a text.

use std::future::Future;
use std::pin::Pin;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{PgConnection, Postgres, Row as _, Sqlite, Transaction};
use vault_core::id::{Id, Kind};

use super::DbError;

/// A future that may move between threads.
pub(super) type Boxed<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// What a write does with its input, in a transaction. It may run more than once, where the engine asks to try again.
pub(super) type Operation<I, T> = for<'c> fn(&'c mut Session, &'c I) -> Boxed<'c, Result<T, DbError>>;

/// A connection to read with, or in a transaction to write in.
pub(super) struct Session {
    link: Link,
    is_undone: bool,
    has_changed_rights: bool,
}

/// The connection itself.
pub(super) enum Link {
    /// The one that writes.
    SqliteWriter(SqliteConnection),
    /// One of those that read.
    SqliteReader(PoolConnection<Sqlite>),
    /// A transaction.
    PostgresWriter(Transaction<'static, Postgres>),
    /// Outside a transaction.
    PostgresReader(PoolConnection<Postgres>),
}

/// A text for both engines, or one for each.
#[derive(Clone, Copy)]
pub(super) enum Sql {
    /// Both understand it.
    Both(&'static str),
    /// They differ.
    Each {
        /// For SQLite.
        sqlite: &'static str,
        /// For PostgreSQL.
        postgres: &'static str,
    },
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Both(text)
    }
}

impl Sql {
    fn sqlite(self) -> &'static str {
        match self {
            Self::Both(text) | Self::Each { sqlite: text, .. } => text,
        }
    }

    fn postgres(self) -> &'static str {
        match self {
            Self::Both(text) | Self::Each { postgres: text, .. } => text,
        }
    }
}

/// A value for a text.
pub(super) enum Value {
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
}

/// What can be a value.
pub(super) trait Bind {
    /// The value.
    fn value(&self) -> Value;
}

impl<T: Bind + ?Sized> Bind for &T {
    fn value(&self) -> Value {
        (**self).value()
    }
}

impl Bind for u64 {
    /// What does not fit is the largest: the columns hold lengths, times and numbers that never get there.
    fn value(&self) -> Value {
        Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Bind for [u8] {
    fn value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl<const N: usize> Bind for [u8; N] {
    fn value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl Bind for Vec<u8> {
    fn value(&self) -> Value {
        Value::Bytes(self.clone())
    }
}

impl<K: Kind, const N: usize> Bind for Id<K, N> {
    fn value(&self) -> Value {
        Value::Bytes(self.as_bytes().to_vec())
    }
}

impl Bind for str {
    fn value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Bind for String {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }
}

/// The values of a text, in the order of their numbers from `$1` on.
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::db::session::Bind::value(&$value)),*]
    };
}
pub(super) use args;

/// One row that was read.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Session {
    /// Begins to use a connection.
    pub(super) fn new(link: Link) -> Self {
        Self { link, is_undone: false, has_changed_rights: false }
    }

    /// Has the transaction undone, and answers with a value all the same.
    pub(super) fn undo<T>(&mut self, answer: T) -> T {
        self.is_undone = true;
        answer
    }

    /// Has what is kept in memory of devices and memberships forgotten once the transaction is committed.
    pub(super) fn changes_rights(&mut self) {
        self.has_changed_rights = true;
    }

    /// Whether [`Self::undo`] was called since the last time this was asked.
    pub(super) fn take_undone(&mut self) -> bool {
        std::mem::take(&mut self.is_undone)
    }

    /// Whether [`Self::changes_rights`] was called since the last time this was asked.
    pub(super) fn take_changed_rights(&mut self) -> bool {
        std::mem::take(&mut self.has_changed_rights)
    }

    /// The connection itself.
    pub(super) fn into_link(self) -> Link {
        self.link
    }

    /// Runs a text; how many rows it changed.
    pub(super) async fn execute(&mut self, sql: impl Into<Sql>, values: Vec<Value>) -> Result<u64, DbError> {
        let sql = sql.into();
        Ok(match &mut self.link {
            Link::SqliteWriter(link) => sqlite(sql, values).execute(link).await?.rows_affected(),
            Link::SqliteReader(link) => sqlite(sql, values).execute(&mut **link).await?.rows_affected(),
            link => postgres(sql, values).execute(link.postgres()?).await?.rows_affected(),
        })
    }

    /// The rows that a text gives.
    pub(super) async fn rows(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, DbError> {
        let sql = sql.into();
        let from_sqlite = |rows: Vec<SqliteRow>| rows.into_iter().map(Row::Sqlite).collect();
        Ok(match &mut self.link {
            Link::SqliteWriter(link) => from_sqlite(sqlite(sql, values).fetch_all(link).await?),
            Link::SqliteReader(link) => from_sqlite(sqlite(sql, values).fetch_all(&mut **link).await?),
            link => {
                let rows = postgres(sql, values).fetch_all(link.postgres()?).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row that a text gives, if any.
    pub(super) async fn row(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Option<Row>, DbError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The row of a text that always gives one.
    pub(super) async fn one(&mut self, sql: impl Into<Sql>, values: Vec<Value>) -> Result<Row, DbError> {
        self.row(sql, values).await?.ok_or(DbError::Corrupt { what: "a sum" })
    }
}

impl Link {
    fn postgres(&mut self) -> Result<&mut PgConnection, DbError> {
        match self {
            Self::PostgresWriter(link) => Ok(&mut **link),
            Self::PostgresReader(link) => Ok(&mut **link),
            Self::SqliteWriter(_) | Self::SqliteReader(_) => {
                Err(DbError::Unsupported { what: "a call of PostgreSQL" })
            }
        }
    }
}

fn sqlite(sql: Sql, values: Vec<Value>) -> Query<'static, Sqlite, SqliteArguments> {
    values.into_iter().fold(sqlx::query(sql.sqlite()), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}

fn postgres(sql: Sql, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    values.into_iter().fold(sqlx::query(sql.postgres()), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}

impl Row {
    /// A number of a column, from 0 on.
    pub(super) fn uint(&self, column: usize) -> Result<u64, DbError> {
        let number: i64 = match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        };
        u64::try_from(number).map_err(|_| DbError::Corrupt { what: "a number from 0 on" })
    }

    /// The bytes of a column.
    pub(super) fn bytes(&self, column: usize) -> Result<Vec<u8>, DbError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The text of a column.
    pub(super) fn text(&self, column: usize) -> Result<String, DbError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The bytes of a column that always has as many.
    pub(super) fn array<const N: usize>(&self, column: usize) -> Result<[u8; N], DbError> {
        self.bytes(column)?.try_into().map_err(|_| DbError::Corrupt { what: "of the right length" })
    }

    /// The id in a column.
    pub(super) fn id<K: Kind, const N: usize>(&self, column: usize) -> Result<Id<K, N>, DbError> {
        self.array(column).map(Id::new)
    }
}
