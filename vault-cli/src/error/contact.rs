//! What can go wrong with contacts, and with who one is to others.
//!
//! Whatever could mean that somebody else stands where a person stood is an alarm of its own, with what was expected and what came.

use std::path::PathBuf;

use vault_core::card::CardTextError;
use vault_core::id::UserId;
use vault_core::net::ServerUrl;
use vault_core::ops::contacts::CardChange;
use vault_core::wire::UserName;
use vault_core::wire::fingerprint::user_words;

use super::server::meant;
use crate::exit::Exit;

/// Why something about contacts was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContactError {
    /// No contact has the name.
    #[error("there is no contact called {name:?}{}", meant(name, known))]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Nobody on the server has the name.
    #[error("nobody on {server} is called {name}")]
    Nobody {
        /// The server.
        server: ServerUrl,
        /// The name.
        name: String,
    },
    /// The contact would be oneself.
    #[error("{name} is you")]
    Yourself {
        /// The name.
        name: String,
    },
    /// The user is a contact already, by another name.
    #[error("this person is your contact {known} already")]
    KnownAs {
        /// The name.
        known: UserName,
    },
    /// A contact of that name has other keys.
    #[error("{name} is another one than before: expected {expected}, found {found}")]
    OtherKeys {
        /// The name.
        name: UserName,
        /// The fingerprint that is known.
        expected: String,
        /// The one that came.
        found: String,
    },
    /// A name leads to another user than before.
    #[error("{name} on {server} is another user than before: expected {}, found {}", user(expected), found.as_ref().map_or_else(|| "nobody".to_owned(), user))]
    OtherUser {
        /// The server.
        server: ServerUrl,
        /// The name there.
        name: UserName,
        /// Who it was.
        expected: UserId,
        /// Who it is.
        found: Option<UserId>,
    },
    /// The card of a contact does not go on from what was seen.
    #[error("the card of {name} that {server} shows is not the one that was seen before")]
    Card {
        /// The contact.
        name: String,
        /// The server.
        server: ServerUrl,
        /// What is not the same.
        #[source]
        source: CardChange,
    },
    /// A card that was handed over is not the one that is known.
    #[error("this card of {name} is not the one that was seen before")]
    CardFileChanged {
        /// The contact.
        name: UserName,
        /// What is not the same.
        #[source]
        source: CardChange,
    },
    /// Words that were given are not those.
    #[error("the words given are not those of {name}: expected {expected}")]
    OtherWords {
        /// The contact.
        name: UserName,
        /// The words.
        expected: String,
    },
    /// The server has another user under one's own name, or in one's own place.
    #[error("{server} shows {} under your name {name}: you are {}", user(found), user(expected))]
    ForeignName {
        /// The server.
        server: ServerUrl,
        /// One's own name there.
        name: UserName,
        /// Who one is.
        expected: UserId,
        /// Who it shows.
        found: UserId,
    },
    /// One's own card is not the one that was seen.
    #[error("your own card that {server} shows is not the one that was seen before")]
    OwnCard {
        /// The server.
        server: ServerUrl,
        /// What is not the same.
        #[source]
        source: CardChange,
    },
    /// A text is no contact card.
    #[error("{path:?} cannot be used as contact card")]
    CardText {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CardTextError,
    },
    /// A file about a contact is not understood.
    #[error("{path:?} does not say what is known about a contact")]
    File {
        /// The file.
        path: PathBuf,
    },
}

impl ContactError {
    /// How a command that fails so ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::OtherKeys { .. }
            | Self::OtherUser { .. }
            | Self::Card { .. }
            | Self::CardFileChanged { .. }
            | Self::OtherWords { .. }
            | Self::ForeignName { .. }
            | Self::OwnCard { .. }
            | Self::CardText { source: CardTextError::Card(_), .. } => Exit::Integrity,
            Self::Unknown { .. } | Self::Nobody { .. } => Exit::NotFound,
            Self::KnownAs { .. } => Exit::Conflict,
            Self::Yourself { .. } | Self::CardText { .. } => Exit::Usage,
            Self::File { .. } => Exit::Failed,
        }
    }
}

/// A user by the id and its words.
fn user(user: &UserId) -> String {
    format!("{} ({})", user.short(), user_words(user).join(" "))
}
