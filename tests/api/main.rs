//! The server's API, over real TLS: one file for each noun of its routes, and the attacks on all of them.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as expected")]

mod cards;
mod directory;
mod forgeries;
mod grants;
mod join;
mod limits;
mod log;
mod matrix;
mod objects;
mod proxies;
mod story;
mod timing;
mod trash;
mod world;
