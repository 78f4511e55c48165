//! The verbs: each file one, with its options, its summary and one function.
//!
//! An operation takes what it depends on as [`Surroundings`]; it never prints or asks. It either returns a summary of what is
//! now true, or an error and leaves the vault as it was before.

pub mod backup;
pub mod check;
pub mod enroll;
pub mod init;
pub mod list;
pub mod restore;
pub mod snapshots;

pub use crate::surroundings::{Stop, Surroundings};
