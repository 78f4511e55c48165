//! What an error means to the person who ran the command.
//!
//! Every error has exactly one kind, and a front end matches on nothing else.

use std::io;

use super::Error;
use crate::card::CardError;
use crate::keys::age_file::OpenError as AgeOpenError;
use crate::keys::envelope::EnvelopeError;
use crate::keys::grant::LinkError;
use crate::log::{FollowError, LogError};
use crate::net::NetErrorKind;
use crate::store::{StoreError, StoreErrorKind};

/// Sorts errors by what the user can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing more specific.
    Failed,
    /// The request itself is wrong.
    Usage,
    /// Keys, passphrases or permissions.
    Permission,
    /// Something else is in the way.
    Conflict,
    /// No room.
    Full,
    /// The network.
    Network,
    /// Tampering, corruption or rollback.
    Integrity,
    /// No such vault, snapshot or path.
    NotFound,
    /// Stopped on request.
    Interrupted,
}

impl Error {
    /// Whether a newer program wrote what could not be read.
    pub fn is_newer_format(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::NewerFormat { .. })
                | Self::History(FollowError::Invalid(
                    LogError::NewerVersion { .. } | LogError::UnsupportedType { .. }
                ))
        )
    }

    /// Whether the log is well-formed, but not the one that this machine remembers.
    pub fn is_rollback(&self) -> bool {
        matches!(self, Self::History(FollowError::Forked { .. } | FollowError::RolledBack { .. }))
    }

    /// What sort of error this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) | Self::History(FollowError::Read { source: error, .. }) => {
                store_kind(error.kind())
            }
            Self::Net(error) => net_kind(error.kind()),
            Self::Statement(error) => match error {
                LogError::NotAllowed { .. } => ErrorKind::Permission,
                LogError::InvalidMembership { .. } => ErrorKind::Conflict,
                _ => ErrorKind::Failed,
            },
            // Written by a newer program: nothing is wrong with it.
            Self::History(FollowError::Invalid(
                LogError::NewerVersion { .. } | LogError::UnsupportedType { .. },
            ))
            | Self::Seal(_)
            | Self::Recipient(_)
            | Self::Encode(_)
            | Self::Compress(_)
            | Self::Chunker(_)
            | Self::Random(_)
            | Self::Stream { .. }
            | Self::Card(CardError::TooManyDevices { .. } | CardError::NewerVersion { .. })
            | Self::WorkerLost => ErrorKind::Failed,
            Self::Envelope { source: EnvelopeError::Open(AgeOpenError::NotForTheseIdentities), .. }
            | Self::GrantEnvelope(EnvelopeError::Open(
                AgeOpenError::NotForTheseIdentities | AgeOpenError::WrongPassphrase,
            ))
            | Self::Link(
                LinkError::NeedsPassphrase
                | LinkError::Packet(EnvelopeError::Open(AgeOpenError::WrongPassphrase)),
            )
            | Self::Keyring(_)
            | Self::DeviceUnknown { .. }
            | Self::NoRight(_)
            | Self::BeforeMembership { .. }
            | Self::PartOfHistory { .. }
            | Self::NotAMember { .. } => ErrorKind::Permission,
            Self::History(_)
            | Self::Card(_)
            | Self::CardRolledBack { .. }
            | Self::Answer { .. }
            | Self::Envelope { .. }
            | Self::GrantEnvelope(_)
            | Self::GrantForged { .. }
            | Self::Link(_)
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::ChunkMissing { .. }
            | Self::Tree { .. }
            | Self::NotWhole { .. } => ErrorKind::Integrity,
            Self::NoSuchSnapshot { .. } | Self::NoSuchGrant { .. } | Self::NoSuchPath { .. } => {
                ErrorKind::NotFound
            }
            Self::AmbiguousSnapshot { .. }
            | Self::NotADirectory { .. }
            | Self::NotAFile { .. }
            | Self::Glob { .. }
            | Self::Source { .. }
            | Self::Pattern { .. }
            | Self::TooManyVaults { .. } => ErrorKind::Usage,
            Self::TargetNotEmpty { .. }
            | Self::TargetUnfinished { .. }
            | Self::TargetBusy { .. }
            | Self::DeletesByPartial { .. }
            | Self::Contended { .. }
            | Self::AlreadyThere { .. }
            | Self::LastSnapshot { .. } => ErrorKind::Conflict,
            Self::Local { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission,
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Failed,
            },
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }
}

fn net_kind(kind: NetErrorKind) -> ErrorKind {
    match kind {
        NetErrorKind::Network | NetErrorKind::TooSlow | NetErrorKind::Server => ErrorKind::Network,
        NetErrorKind::Unauthorized | NetErrorKind::ClockSkew | NetErrorKind::Forbidden => {
            ErrorKind::Permission
        }
        NetErrorKind::NotFound => ErrorKind::NotFound,
        NetErrorKind::Taken | NetErrorKind::NameTaken | NetErrorKind::Expired => ErrorKind::Conflict,
        NetErrorKind::Quota | NetErrorKind::Full => ErrorKind::Full,
        NetErrorKind::Integrity => ErrorKind::Integrity,
        NetErrorKind::Interrupted => ErrorKind::Interrupted,
        NetErrorKind::Invalid | NetErrorKind::Protocol => ErrorKind::Failed,
    }
}

fn store_kind(kind: StoreErrorKind) -> ErrorKind {
    match kind {
        StoreErrorKind::Missing | StoreErrorKind::NoVault => ErrorKind::NotFound,
        StoreErrorKind::Conflict => ErrorKind::Conflict,
        StoreErrorKind::Integrity => ErrorKind::Integrity,
        StoreErrorKind::Full => ErrorKind::Full,
        StoreErrorKind::Permission => ErrorKind::Permission,
        StoreErrorKind::Network => ErrorKind::Network,
        StoreErrorKind::Interrupted => ErrorKind::Interrupted,
        _ => ErrorKind::Failed,
    }
}
