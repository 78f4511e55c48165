//! Who asks, and what they may do.
//!
//! A handler that is given an [`Authenticated`], a [`Permit`], or one of [`ByAddressee`], [`ByToken`] and [`WithTicket`] need not ask
//! again: none can be made but by verifying the request that it belongs to.

mod granted;
mod permit;
mod replay;
mod signature;

pub use granted::{ByAddressee, ByToken, WithTicket};
pub use permit::{
    Action, AppendStatement, Asking, ListGrants, Own, Permit, PutObject, ReadLog, ReadObject, ReadStatement,
    Standing,
};
pub(crate) use signature::verify_by;
pub use signature::{Asker, Authenticated};
