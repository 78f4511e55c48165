//! Changes who belongs to a vault: people come, go, and get other rights; devices go; new epochs begin.
//!
//! Whoever is removed gets no key of the epoch that begins with it, so nothing that is sealed from then on opens for them. What they
//! could read before, they may have kept.

mod change;
mod people;
mod report;

pub use people::{Added, History, Newcomer, Removed, add, rekey, remove, remove_device};
pub use report::{Reach, report};
