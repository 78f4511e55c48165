//! Who asks, and what they may do.
//!
//! A handler that is given an [`Authenticated`] or a [`Permit`] need not ask again: neither can be made but by verifying the
//! request that it belongs to.

mod permit;
mod replay;
mod signature;

pub use permit::{
    Action, AppendStatement, Asking, Own, Permit, PutObject, ReadLog, ReadObject, ReadStatement, Standing,
};
pub(crate) use signature::verify_by;
pub use signature::{Asker, Authenticated};
