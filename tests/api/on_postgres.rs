//! The server's API once more, with PostgreSQL in the place of SQLite: the same tests, but for those that ask no database.
//!
//! The harness gives every server of this program a database of its own; where there is no PostgreSQL it says so, and gives SQLite.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as expected")]

mod cards;
mod grants;
mod join;
mod log;
mod matrix;
mod objects;
mod story;
mod trash;
mod world;

#[test]
fn these_tests_ask_postgresql() {
    let server = vault_tests::TestServer::start();
    let engine = server.with_db(async |db| db.engine_name());

    let is_there = vault_server::db::PostgresServer::of_this_program().is_some();
    assert_eq!(engine, if is_there { "postgres" } else { "sqlite" });
}
