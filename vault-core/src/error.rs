//! What can go wrong in an operation, in the terms of the operation: which path or object, and why.
//!
//! An error's text never repeats its source. [`Error::kind`] sorts errors for exit codes; it is the only thing a front end needs
//! to match on.

mod fault;
mod kind;

use std::io;
use std::path::PathBuf;

use crate::card::CardError;
use crate::chunk::compress::CompressError;
use crate::chunk::cut::InvalidParams;
use crate::crypto::random::RandomUnavailable;
use crate::format::DecodeError;
use crate::id::{ChunkHash, Epoch, IndexId, PackId, SnapshotId, UserId, VaultId};
use crate::keys::age_file::SealError;
use crate::keys::envelope::EnvelopeError;
use crate::keys::grant::{LinkError, LinkSealError};
use crate::keys::keyring::KeyringError;
use crate::keys::recipient::RecipientError;
use crate::log::{FollowError, LogError, Refusal};
use crate::net::{NetError, ServerUrl};
use crate::store::{ObjectKey, StoreError};

pub use fault::Fault;
pub use kind::ErrorKind;

/// Why an operation did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store could not do its part.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A server could not be asked, or did not do what it was asked.
    #[error("the server failed")]
    Net(#[from] NetError),
    /// The answer to a new device is not one that can be used.
    #[error("the answer to this device cannot be used: {what}")]
    Answer {
        /// Why not.
        what: &'static str,
    },
    /// A card is not one that its user signed.
    #[error("the card of a user cannot be trusted")]
    Card(#[from] CardError),
    /// A server shows an older card than this machine has seen, or another one.
    #[error(
        "{server} shows a card of {user:?} that is older than the one this machine has seen, or another one"
    )]
    CardRolledBack {
        /// The server.
        server: ServerUrl,
        /// Whose card.
        user: UserId,
    },
    /// There is no such grant, or none that one may open.
    #[error("there is no grant {wanted:?}")]
    NoSuchGrant {
        /// As it was asked for.
        wanted: String,
    },
    /// The keys of a grant do not open for whoever asks.
    #[error("the grant does not open")]
    GrantEnvelope(#[source] EnvelopeError),
    /// A link does not open its grant.
    #[error("the link does not open the grant")]
    Link(#[source] LinkError),
    /// A grant is not what it says to be.
    #[error("the grant cannot be trusted: {what}")]
    GrantForged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log does not verify, or does not extend what this machine remembers.
    #[error("the vault's history cannot be trusted")]
    History(#[source] FollowError<StoreError>),
    /// A statement that this program made would not be accepted.
    #[error("a new statement does not fit the log")]
    Statement(#[from] LogError),
    /// A key envelope does not open, or is not the one that the log names.
    #[error("{object} does not open")]
    Envelope {
        /// The envelope.
        object: ObjectKey,
        /// Why not.
        #[source]
        source: EnvelopeError,
    },
    /// Keys that an operation needs are not unlocked.
    #[error("a key is not at hand")]
    Keyring(#[from] KeyringError),
    /// Keys could not be sealed.
    #[error("keys could not be sealed")]
    Seal(#[from] SealError),
    /// A recipient in the log is not one.
    #[error("a recipient is not understood")]
    Recipient(#[from] RecipientError),
    /// Something that is to be stored is beyond the limits of the format.
    #[error("what is to be stored does not fit the format")]
    Encode(#[from] DecodeError),
    /// The vault's sizes of chunks are not ones that this program can cut.
    #[error("the vault's chunk sizes are not usable")]
    Chunker(#[from] InvalidParams),
    /// The compressor failed.
    #[error("compression failed")]
    Compress(#[from] CompressError),
    /// The operating system gave no randomness.
    #[error("no randomness for keys")]
    Random(#[from] RandomUnavailable),
    /// This device has no keys to write to the vault.
    #[error("this device is not registered in vault {vault}")]
    DeviceUnknown {
        /// The vault concerned.
        vault: VaultId,
    },
    /// The device may not delete or change what the vault holds.
    #[error("this device may not do that in the vault")]
    NoRight(#[source] Refusal),
    /// What a snapshot needs cannot be followed to its end, so nobody can say what nothing needs.
    #[error("snapshot {} is not whole, so nothing is deleted", .snapshot.short())]
    NotWhole {
        /// The snapshot concerned.
        snapshot: SnapshotId,
        /// What is missing or damaged.
        #[source]
        source: Box<Error>,
    },
    /// The user may not do this in the vault.
    #[error("this identity is not a member of vault {vault}")]
    NotAMember {
        /// The vault concerned.
        vault: VaultId,
    },
    /// The snapshot is from an epoch whose keys the user was not given.
    #[error("snapshot {} is from before this identity became a member", .snapshot.short())]
    BeforeMembership {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// Something that only who can read everything can do: tell what nothing needs.
    #[error("this identity has the keys of a part of the history only, from epoch {first} on")]
    PartOfHistory {
        /// The first epoch that it can read.
        first: Epoch,
    },
    /// A group of snapshots would be left without a complete one.
    #[error("snapshot {} is the last complete one of {group}", .snapshot.short())]
    LastSnapshot {
        /// The newest of those that would be forgotten.
        snapshot: SnapshotId,
        /// Host and paths.
        group: String,
    },
    /// An object is damaged.
    #[error("{object} is damaged")]
    Damaged {
        /// The object, as it is named in the store.
        object: ObjectKey,
        /// What about it is wrong.
        #[source]
        fault: Fault,
    },
    /// An object that only this program could have put is there already.
    #[error("{object} exists already")]
    AlreadyThere {
        /// The object, as it is named in the store.
        object: ObjectKey,
    },
    /// An object that the log or an index names is not in the store.
    #[error("{object} is missing")]
    Missing {
        /// The object, as it is named in the store.
        object: ObjectKey,
    },
    /// A chunk that a tree needs is in no index.
    #[error("chunk {h} is in no index of the vault")]
    ChunkMissing {
        /// The chunk's hash.
        h: ChunkHash,
    },
    /// A snapshot's tree is not well-formed.
    #[error("the tree of snapshot {} is damaged", .snapshot.short())]
    Tree {
        /// The snapshot concerned.
        snapshot: SnapshotId,
        /// What about it is wrong.
        #[source]
        fault: Fault,
    },
    /// No snapshot fits what was asked for.
    #[error("no snapshot {wanted:?} in this vault")]
    NoSuchSnapshot {
        /// What was asked for.
        wanted: String,
    },
    /// Several snapshots fit what was asked for.
    #[error("snapshot {wanted:?} is not unique: {count} snapshots begin so")]
    AmbiguousSnapshot {
        /// What was asked for.
        wanted: String,
        /// How many fit.
        count: usize,
    },
    /// A path is not in a snapshot.
    #[error("no {path:?} in snapshot {}", .snapshot.short())]
    NoSuchPath {
        /// The path below the snapshot's root.
        path: PathBuf,
        /// The snapshot concerned.
        snapshot: SnapshotId,
    },
    /// Something without contents was asked for its contents.
    #[error("{path:?} in snapshot {} is neither a file nor a directory", .snapshot.short())]
    NotAFile {
        /// The path below the snapshot's root.
        path: PathBuf,
        /// The snapshot concerned.
        snapshot: SnapshotId,
    },
    /// A path in a snapshot is something else than the directory that was asked for.
    #[error("{path:?} in snapshot {} is not a directory", .snapshot.short())]
    NotADirectory {
        /// The path below the snapshot's root.
        path: PathBuf,
        /// The snapshot concerned.
        snapshot: SnapshotId,
    },
    /// A path to back up does not exist or cannot be entered.
    #[error("cannot back up {path:?}")]
    Source {
        /// The path given.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What a program was to write ended early, or the program says that it is not whole.
    #[error("the stream for {name:?} is not whole: nothing was saved")]
    Stream {
        /// The name that its file would have.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A pattern of names is not one.
    #[error("pattern {pattern:?} is not understood")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why not.
        #[source]
        source: ignore::Error,
    },
    /// A pattern of names to find is not one.
    #[error("pattern {pattern:?} is not understood")]
    Glob {
        /// The pattern.
        pattern: String,
        /// Why not.
        #[source]
        source: globset::Error,
    },
    /// The directory to restore into has something in it.
    #[error("target {path:?} is not empty")]
    TargetNotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory to restore into has an unfinished restore in it, of something else or with other options.
    #[error("target {path:?} holds an unfinished restore of snapshot {}", .snapshot.short())]
    TargetUnfinished {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        snapshot: SnapshotId,
    },
    /// Another process restores into the directory right now.
    #[error("something else is being restored into {path:?}")]
    TargetBusy {
        /// The directory.
        path: PathBuf,
    },
    /// What a partial snapshot does not have may have been there.
    #[error("snapshot {} is partial: what it lacks is no reason to delete anything", .snapshot.short())]
    DeletesByPartial {
        /// The snapshot concerned.
        snapshot: SnapshotId,
    },
    /// Something on the local disk failed.
    #[error("cannot {action} {path:?}")]
    Local {
        /// What was tried, as a verb.
        action: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// More vaults were given than one run can back up into.
    #[error("one run backs up into {most} vaults at most")]
    TooManyVaults {
        /// The limit.
        most: usize,
    },
    /// Another process appended to the log each time this one tried.
    #[error("the log grew {attempts} times while this was to be appended")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The operation was asked to stop before there was anything to keep.
    #[error("interrupted")]
    Interrupted,
    /// A part of the program failed; what was written so far is kept.
    #[error("a worker thread stopped unexpectedly")]
    WorkerLost,
}

impl Error {
    /// Blames a pack for a fault.
    pub(crate) fn pack(id: PackId, fault: impl Into<Fault>) -> Self {
        Self::Damaged { object: ObjectKey::Pack(id), fault: fault.into() }
    }

    /// Blames an index object for a fault.
    pub(crate) fn index(id: IndexId, fault: impl Into<Fault>) -> Self {
        Self::Damaged { object: ObjectKey::Index(id), fault: fault.into() }
    }

    /// Says that something on the local disk failed; made to be used with `map_err`.
    pub(crate) fn local<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Local { action, path, source: source.into() }
    }
}
impl From<LinkSealError> for Error {
    fn from(error: LinkSealError) -> Self {
        match error {
            LinkSealError::Age(error) => error.into(),
            LinkSealError::Random(error) => error.into(),
        }
    }
}
