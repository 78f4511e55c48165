//! Version 1 of the protocol: the body of each route, and where the routes are.
//!
//! A request refuses members it does not know, so that a misspelt one is never silently ignored; an answer ignores them, so
//! that a newer server can say more.

pub mod cards;
pub mod devices;
pub mod directory;
pub mod grants;
pub mod join;
pub mod log;
pub mod me;
pub mod objects;
pub mod paths;
pub mod server;
pub mod trash;
pub mod vaults;

pub use super::audit;
