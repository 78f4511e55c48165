//! What can go wrong with servers before one is asked for a vault: joining, names, devices.
//!
//! Facts without advice, as all errors here.

use std::path::PathBuf;

use vault_core::net::{NetError, ParseServerUrlError, ServerUrl};
use vault_core::wire::fingerprint::ParseRequestError;
use vault_core::wire::invite::ParseInviteError;

use crate::exit::Exit;

/// Why something about servers was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// A bare name that is no vault.
    #[error("there is no vault called {name:?}{}", meant(name, known))]
    UnknownVault {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A word that cannot be the name of a vault.
    #[error(
        "{name:?} cannot be the name of a vault: expected letters, digits, `-` and `_`, and neither `inbox` nor anything like a snapshot"
    )]
    NotAName {
        /// The word.
        name: String,
    },
    /// A name that another vault has.
    #[error("another vault is called {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A vault is to be made on a server, and has no name.
    #[error("a new vault on a server needs a name")]
    NewVaultWithoutName,
    /// No server was joined, or not that one.
    #[error("{}", server.as_ref().map_or_else(|| "this machine has joined no server".to_owned(), |server| format!("this machine has not joined {server}")))]
    NotJoined {
        /// The server.
        server: Option<ServerUrl>,
    },
    /// Several servers were joined, and none is named.
    #[error("this machine has joined several servers")]
    WhichServer {
        /// Their URLs.
        known: Vec<String>,
    },
    /// The server was joined before.
    #[error("this machine has joined {server} already")]
    JoinedAlready {
        /// The server.
        server: ServerUrl,
    },
    /// A text is no URL of a server.
    #[error(transparent)]
    ServerUrl(#[from] ParseServerUrlError),
    /// A text is no invite.
    #[error(transparent)]
    Invite(#[from] ParseInviteError),
    /// A text is no request of a device.
    #[error(transparent)]
    DeviceRequest(#[from] ParseRequestError),
    /// Somebody else than whoever made the invite answers.
    #[error("somebody else answers at {server} than the server that the invite was made for")]
    Impostor {
        /// The server.
        server: ServerUrl,
        /// What shows it.
        #[source]
        source: NetError,
    },
    /// A file about a server is not understood.
    #[error("{path:?} does not say what is known about a server")]
    ServerFile {
        /// The file.
        path: PathBuf,
    },
    /// A new machine and this one do not see the same.
    #[error("{what}")]
    DeviceMismatch {
        /// What is not the same.
        what: String,
    },
    /// What was done before is told otherwise than before.
    #[error("the server tells the past of {location} otherwise than when this machine last looked")]
    AuditBroken {
        /// The vault.
        location: String,
    },
    /// Words should be compared, and there is nobody to ask.
    #[error("two machines must show the same words, and there is no terminal to ask whether they do")]
    WordsNotCompared,
    /// Nobody answered the request of a device in time.
    #[error("nobody has approved this device within {minutes} minutes")]
    NotApproved {
        /// How long was waited.
        minutes: u64,
    },
    /// The new machine did not agree in time.
    #[error("the new machine has not agreed within {minutes} minutes")]
    NotAgreed {
        /// How long was waited.
        minutes: u64,
    },
    /// No device of that id is on the card.
    #[error("{device:?} is no device of yours, or of several")]
    NoSuchDevice {
        /// What was asked for.
        device: String,
    },
    /// The vault is not on a server, which this needs.
    #[error("{location} is not on a server")]
    NotOnServer {
        /// Where it is.
        location: String,
    },
}

impl ServerError {
    /// How a command that fails so ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Impostor { .. } | Self::DeviceMismatch { .. } | Self::AuditBroken { .. } => Exit::Integrity,
            Self::UnknownVault { .. } | Self::NoSuchDevice { .. } => Exit::NotFound,
            Self::JoinedAlready { .. } | Self::NameTaken { .. } => Exit::Conflict,
            Self::NotJoined { .. } | Self::NotApproved { .. } | Self::NotAgreed { .. } => Exit::Keys,
            Self::ServerFile { .. } => Exit::Failed,
            Self::WordsNotCompared
            | Self::NotAName { .. }
            | Self::NewVaultWithoutName
            | Self::WhichServer { .. }
            | Self::ServerUrl(_)
            | Self::Invite(_)
            | Self::DeviceRequest(_)
            | Self::NotOnServer { .. } => Exit::Usage,
        }
    }
}

/// A hint at the name that was probably meant.
pub(super) fn meant(name: &str, known: &[String]) -> String {
    let meant = crate::config::alike(name, known.iter().map(String::as_str));
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}
