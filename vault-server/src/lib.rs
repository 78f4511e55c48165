//! The server of Vault.
//!
//! It keeps objects that it cannot open and logs that it verifies; `docs/protocol.md` says what it answers.
//!
//! | layer | modules |
//! |---|---|
//! | what is kept | [`db`], [`objects`], [`jobs`] |
//! | how it runs | [`config`], [`telemetry`], [`tls`], [`limits`] |
//! | who may do what | [`auth`] |
//! | what it answers | [`api`], [`routes`], [`error`] |
//!
//! [`Server::start`] is the whole of it: the program only reads the configuration and waits for signals.

pub mod api;
pub mod auth;
pub mod body;
pub mod config;
pub mod db;
pub mod error;
pub mod front;
pub mod invites;
pub mod jobs;
pub mod limits;
pub mod logs;
pub mod objects;
pub mod routes;
mod running;
pub mod secret_file;
pub mod state;
pub mod telemetry;
pub mod tls;

pub use running::{Parts, RECEIPT_KEY_FILE, Running, Server, StartError, jobs_of, known_url, open};
