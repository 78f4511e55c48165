//! The server of Vault.
//!
//! It keeps objects that it cannot open and logs that it verifies; `docs/protocol.md` says what it answers.
//!
//! From the bottom; a module imports only from rows above its own (`docs/architecture.md` has the exact table, and
//! `tests/architecture.rs` enforces it):
//!
//! | layer | modules |
//! |---|---|
//! | how it runs | [`proxies`], [`config`], [`secret_file`], [`tls`], [`limits`], [`telemetry`] |
//! | what is kept | [`db`], [`objects`], [`logs`], [`ranges`], [`invites`], [`jobs`] |
//! | what handlers share | [`state`], [`body`], [`error`], [`front`] |
//! | who may do what | [`auth`] |
//! | what it answers | [`api`], [`routes`] |
//!
//! [`Server::start`] is the whole of it: the program only reads the configuration and waits for signals.

pub mod api;
pub mod auth;
pub mod body;
pub mod config;
mod connections;
pub mod db;
pub mod error;
pub mod front;
mod in_path;
pub mod invites;
pub mod jobs;
pub mod limits;
pub mod logs;
pub mod objects;
pub mod proxies;
pub mod ranges;
pub mod routes;
mod running;
pub mod secret_file;
pub mod state;
pub mod telemetry;
pub mod tls;

pub use running::{Parts, RECEIPT_KEY_FILE, Running, Server, StartError, jobs_of, known_url, open};
