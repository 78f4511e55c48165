//! What can go wrong between here and a server.
//!
//! Every error names the server; none repeats its source in its message. [`NetError::kind`] says what it means, and is all that others
//! match on.

use std::error::Error as StdError;

use super::url::ServerUrl;
use crate::crypto::random::RandomUnavailable;
use crate::wire::PROTOCOL;
use crate::wire::authority::Pin;
use crate::wire::problem::{Code, Problem};

/// A server could not be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// There is no connection, or it broke.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// The server.
        server: ServerUrl,
        /// What the operating system or TLS said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A deadline passed.
    #[error("{server} did not answer in time: {phase}")]
    TimedOut {
        /// The server.
        server: ServerUrl,
        /// What was waited for.
        phase: &'static str,
    },
    /// The server has another key than the pinned one: it is another server, or somebody is in between.
    #[error("{server} is not the server that was joined: its key has the hash {found}, not {expected}")]
    WrongPin {
        /// The server.
        server: ServerUrl,
        /// The pinned hash.
        expected: Pin,
        /// The hash of the key that it showed.
        found: Pin,
    },
    /// The roots of the system do not vouch for the server's certificate.
    #[error("{server} has no certificate that this machine trusts")]
    Certificate {
        /// The server.
        server: ServerUrl,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The server says no.
    #[error("{server} answers: {}", .problem.title)]
    Refused {
        /// The server.
        server: ServerUrl,
        /// Its words.
        problem: Box<Problem>,
    },
    /// The answer is longer than whoever asked can take.
    #[error("{server} answers with {length} bytes, more than the {limit} allowed")]
    TooLong {
        /// The server.
        server: ServerUrl,
        /// The length of the answer in bytes.
        length: u64,
        /// How many were allowed.
        limit: u64,
    },
    /// The server does not speak this program's version of the protocol.
    #[error("{server} speaks {}, and this program version {PROTOCOL}", versions(.theirs))]
    Version {
        /// The server.
        server: ServerUrl,
        /// The versions it speaks, as far as it says.
        theirs: Vec<u32>,
    },
    /// The answer is not one of the protocol.
    #[error("{server} does not speak the protocol: {what}")]
    Protocol {
        /// The server.
        server: ServerUrl,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// Something that the server signed or computed is not right.
    #[error("{server} shows something forged: {what}")]
    Forged {
        /// The server.
        server: ServerUrl,
        /// What does not verify.
        what: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("no randomness for a request")]
    Random(#[from] RandomUnavailable),
    /// The program was asked to stop while it waited for the server.
    #[error("interrupted while waiting for {server}")]
    Stopped {
        /// The server.
        server: ServerUrl,
    },
}

/// What a [`NetError`] means to the person who ran the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetErrorKind {
    /// The network, or a server that is down.
    Network,
    /// This device may not ask the server anything (any more).
    Unauthorized,
    /// The clock of this machine or the server's is wrong.
    ClockSkew,
    /// The device may ask, but not for that.
    Forbidden,
    /// It is not there, or not for this user.
    NotFound,
    /// The number or name is taken.
    Taken,
    /// Another user has the name.
    NameTaken,
    /// An invite or request that is used up or too old.
    Expired,
    /// The user's or the vault's quota is full.
    Quota,
    /// The server's disk is full.
    Full,
    /// The line is too slow for the server, or this client asks too often.
    TooSlow,
    /// What was sent is not valid in the server's eyes.
    Invalid,
    /// The server failed.
    Server,
    /// The two speak different versions, or the other side is no vault-server.
    Protocol,
    /// It is not the server that was joined, or it lies.
    Integrity,
    /// Stopped on request.
    Interrupted,
}

impl NetError {
    /// What the error means to the person who ran the command.
    pub fn kind(&self) -> NetErrorKind {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => NetErrorKind::Network,
            Self::WrongPin { .. } | Self::Certificate { .. } | Self::Forged { .. } => NetErrorKind::Integrity,
            Self::Refused { problem, .. } => kind_of(problem.code, problem.status),
            Self::Protocol { .. } | Self::Version { .. } | Self::TooLong { .. } => NetErrorKind::Protocol,
            Self::Random(_) => NetErrorKind::Server,
            Self::Stopped { .. } => NetErrorKind::Interrupted,
        }
    }
}

fn kind_of(code: Code, status: u16) -> NetErrorKind {
    match code {
        Code::Unauthorized => NetErrorKind::Unauthorized,
        Code::ClockSkew => NetErrorKind::ClockSkew,
        Code::Forbidden => NetErrorKind::Forbidden,
        Code::NotFound => NetErrorKind::NotFound,
        Code::Taken | Code::Differs => NetErrorKind::Taken,
        Code::NameTaken => NetErrorKind::NameTaken,
        Code::InviteUsed | Code::LinkUsedUp | Code::Expired => NetErrorKind::Expired,
        Code::QuotaExceeded => NetErrorKind::Quota,
        Code::StorageFull => NetErrorKind::Full,
        Code::TooSlow | Code::RateLimited => NetErrorKind::TooSlow,
        Code::StatementRefused | Code::EntryRefused | Code::DigestMismatch | Code::TooLarge => {
            NetErrorKind::Invalid
        }
        Code::Internal | Code::Busy | Code::ShuttingDown => NetErrorKind::Server,
        // A newer server has a reason that this program does not know: the status still says what sort it is.
        Code::Unknown if Code::of_status(status) != Code::Unknown => kind_of(Code::of_status(status), status),
        _ => NetErrorKind::Protocol,
    }
}

/// The versions that a server says it speaks.
fn versions(theirs: &[u32]) -> String {
    match theirs {
        [] => "another version of the protocol".to_owned(),
        [one] => format!("version {one} of the protocol"),
        several => {
            let several: Vec<String> = several.iter().map(u32::to_string).collect();
            format!("versions {} of the protocol", several.join(", "))
        }
    }
}
