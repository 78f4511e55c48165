//! The client of a server: who is asked, how, and what the answers mean.
//!
//! A [`Server`] sends signed requests over TLS 1.3 to the one server it was joined with; each part of the protocol has its methods in one
//! file. The rule that always holds: nothing waits without a deadline, nothing is read without a bound, and what a server says is either
//! verified or said to be its word only.

mod account;
mod client;
mod connect;
mod error;
mod grants;
mod objects;
mod request;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod vault;

pub use self::account::{CardAppended, Joined};
pub use self::client::{Means, Server};
pub use self::connect::Deadlines;
pub use self::error::{NetError, NetErrorKind};
pub use self::grants::{GrantAccess, GrantedObjects};
pub use self::objects::{ObjectHead, Part, Stored};
pub use self::retry::Patience;
pub use self::tls::Trust;
pub use self::url::{ParseServerUrlError, ServerUrl};
pub use self::vault::{Appended, HEAD_WAIT_MAX, Stated};
