//! What can go wrong with sharing before a vault is asked: whom somebody means, from whom something is, and which terms were asked for.
//!
//! Facts without advice, as all errors here.

use std::path::PathBuf;

use vault_core::id::{DeviceId, UserId};
use vault_core::net::ServerUrl;
use vault_core::ops::contacts::CardChange;
use vault_core::wire::fingerprint::user_words;
use vault_core::wire::link::ParseLinkError;

use crate::exit::Exit;

/// Why something was not shared, not opened, or not taken back.
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
    /// Somebody who has no account where the vault is, so could not fetch anything.
    #[error("{name} has no account on {server}")]
    NoAccount {
        /// The contact.
        name: String,
        /// The server.
        server: ServerUrl,
    },
    /// More people than one grant takes.
    #[error("one grant is given to {most} people at most, not to {asked}")]
    TooMany {
        /// How many there are.
        asked: usize,
        /// The limit.
        most: usize,
    },
    /// The vault takes post-quantum recipients only.
    #[error("the key of {name} is not post-quantum, and the vault asks for that")]
    NotPostQuantum {
        /// The contact.
        name: String,
    },
    /// A moment that is over.
    #[error("it would have expired already")]
    ExpiresBefore,
    /// A link to what nobody serves.
    #[error("{location} is no vault on a server: there is nobody who would answer a link")]
    LinkNeedsServer {
        /// Where the vault is.
        location: String,
    },
    /// A passphrase for a link is needed, and there is nobody to ask.
    #[error("the passphrase of the link is needed, and there is no terminal to ask for it")]
    NoLinkPassphrase,
    /// The passphrase is not that of the link.
    #[error("wrong passphrase of the link")]
    LinkPassphrase,
    /// A text is no link.
    #[error(transparent)]
    Link(#[from] ParseLinkError),
    /// A link that leads to nothing.
    #[error("{server} knows no such link: it has expired, was taken back, or is not whole")]
    LinkUnknown {
        /// The server.
        server: ServerUrl,
    },
    /// A link that was fetched as often as it may be.
    #[error("the link was used as often as it may be")]
    LinkUsedUp,
    /// The beginning of an id that several grants have.
    #[error("{count} grants begin with {wanted:?}")]
    Several {
        /// What was asked for.
        wanted: String,
        /// How many there are.
        count: usize,
    },
    /// A grant that may not be opened any more.
    #[error("grant {grant} has expired")]
    Expired {
        /// The grant.
        grant: String,
    },
    /// A second grant or snapshot beside one.
    #[error("a grant is looked at by itself: no other one, and no snapshot, can stand beside it")]
    OneGrant,
    /// A grant that would be restored to where it came from.
    #[error("a grant does not say where on a machine it came from")]
    NoOrigin,
    /// It is from somebody who is no contact.
    #[error("it is from a stranger, with the words {}", user_words(user).join(" "))]
    Stranger {
        /// Who they are.
        user: UserId,
    },
    /// It is not from whom it is said to be.
    #[error("it is said to be from {}, but device {device} that gave it is not theirs", giver(name.as_deref(), user))]
    NotTheirDevice {
        /// What this machine calls them.
        name: Option<String>,
        /// Who is said to have given it.
        user: UserId,
        /// The device, in short.
        device: String,
    },
    /// The card of a sender is none, or not the one that was seen.
    #[error("the card of {} that {server} shows cannot be trusted", giver(name.as_deref(), user))]
    Card {
        /// What this machine calls them.
        name: Option<String>,
        /// Who they are.
        user: UserId,
        /// The server.
        server: ServerUrl,
        /// What is wrong.
        #[source]
        source: Box<CardChange>,
    },
    /// What was to be sealed could not be.
    #[error("cannot seal into {path:?}")]
    Export {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<vault_core::keys::age_file::SealError>,
    },
}

impl ShareError {
    /// A device that is not the sender's.
    pub(crate) fn not_theirs(name: Option<&str>, user: UserId, device: &DeviceId) -> Self {
        Self::NotTheirDevice { name: name.map(str::to_owned), user, device: device.short() }
    }

    /// How a command that fails so ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoSuchMember { .. }
            | Self::LinkUnknown { .. }
            | Self::LinkUsedUp
            | Self::Expired { .. } => Exit::NotFound,
            Self::NotTheirDevice { .. } | Self::Card { .. } => Exit::Integrity,
            Self::NoLinkPassphrase | Self::LinkPassphrase | Self::Stranger { .. } => Exit::Keys,
            Self::NoUser { .. }
            | Self::NoAccount { .. }
            | Self::TooMany { .. }
            | Self::NotPostQuantum { .. }
            | Self::ExpiresBefore
            | Self::LinkNeedsServer { .. }
            | Self::Link(_)
            | Self::Several { .. }
            | Self::OneGrant
            | Self::NoOrigin
            | Self::Export { .. } => Exit::Usage,
        }
    }
}

/// Somebody by name, else by the words of their keys.
fn giver(name: Option<&str>, user: &UserId) -> String {
    let words = user_words(user).join(" ");
    name.map_or_else(|| format!("a stranger ({words})"), |name| format!("{name} ({words})"))
}
