//! The tables, as they came to be: one step for each version that changed them.
//!
//! A step that was published is never edited. A step must leave tables with which the version before still works.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

pub(super) fn sqlite() -> Vec<Migration> {
    vec![step(1, "tables", include_str!("../../migrations/sqlite/0001_tables.sql"))]
}

pub(super) fn postgres() -> Vec<Migration> {
    vec![step(1, "tables", include_str!("../../migrations/postgres/0001_tables.sql"))]
}

fn step(version: i64, description: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql.into_sql_str(), false)
}
