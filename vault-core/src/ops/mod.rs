//! The verbs: each file one, with its options, its summary and one function.
//!
//! An operation takes what it depends on as [`Surroundings`]; it never prints or asks. It either returns a summary of what is
//! now true, or an error and leaves the vault as it was before.

pub mod answer;
pub mod attest;
pub mod backup;
pub mod browse;
pub mod cards;
pub mod cat;
pub mod check;
pub mod compact;
pub mod contacts;
mod contribution;
pub mod copy;
pub mod diff;
pub mod enroll;
pub mod find;
pub mod forget;
pub mod grants;
pub mod groups;
pub mod init;
pub mod list;
pub mod membership;
pub mod prune;
pub mod restore;
pub mod retention;
pub mod snapshots;
pub mod stats;
pub mod status;
pub mod tag;
#[cfg(test)]
mod tests;

pub use crate::surroundings::{Stop, Surroundings};
