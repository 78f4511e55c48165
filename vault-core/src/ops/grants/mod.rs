//! `share` and what belongs to it: giving a part of a snapshot to others, and reading what was given.
//!
//! Nothing is uploaded a second time that need not be. A segment all of whose chunks are granted is given as it lies, by its key and its
//! place; the chunks of other segments are sealed anew, and so is the tree, without owners, attributes, host and everything outside:
//!
//! ```text
//! the tree, rewritten            strip       names, kinds, times and contents; nothing else of a node
//!   the chunks in it, by place   segments    whole segments by their keys, parts sealed anew
//!     the list of keys           key_list    chunks of the grant itself
//! packs, index, ranges           share       ordinary packs and index objects of a session of the grant's own
//! statement                      share       one envelope for each addressee
//! ```
//!
//! Whoever opens it has a vault with one snapshot: everything that reads snapshots reads a grant.

mod given;
mod key_list;
mod open;
mod segments;
mod share;
mod strip;
#[cfg(test)]
mod tests;

pub use given::{GivenContents, GivenInfo, given, revoke};
pub use open::{Means, Offer, Opened, Sender, Unsealed};
pub use share::{LinkOptions, ShareOptions, ShareTo, Shared, share};
