//! What can go wrong with sharing before a vault is asked: whom somebody means.
//!
//! Facts without advice, as all errors here.

use crate::exit::Exit;

/// Why something was not shared, or not taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShareError {
    /// No member, or several, are meant.
    #[error("{who:?} is no member of the vault, or several are meant")]
    NoSuchMember {
        /// What was asked for.
        who: String,
    },
    /// A contact of which only a recipient is known.
    #[error("of {name:?} only a recipient is known: that can be sealed to, and is nobody's identity")]
    NoUser {
        /// The contact.
        name: String,
    },
}

impl ShareError {
    /// How a command that fails so ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoSuchMember { .. } => Exit::NotFound,
            Self::NoUser { .. } => Exit::Usage,
        }
    }
}
