//! Why a statement or a membership is refused.
//!
//! Every error is a fact about stored bytes at one place of the log; none of them depends on who asks or when.

use super::payload::Author;
use crate::cbor::CborError;
use crate::id::{DeviceId, DomainId, Epoch, GrantId, IndexId, PackId, Seq, SnapshotId, UserId, VaultId};

/// A statement that is not what must stand at its place of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// More bytes than a statement may have.
    #[error("statement {seq} has {bytes} bytes, more than a statement may have")]
    TooLarge {
        /// Where it stands.
        seq: Seq,
        /// Its size.
        bytes: usize,
    },
    /// Not the one encoding of a statement.
    #[error("statement {seq} is malformed")]
    Malformed {
        /// Where it stands.
        seq: Seq,
        /// What is wrong with the encoding.
        source: CborError,
    },
    /// Written in a later version of the format.
    #[error("statement {seq} is in version {version} of the format, which this program does not know")]
    NewerVersion {
        /// Where it stands.
        seq: Seq,
        /// The version it names.
        version: u64,
    },
    /// Of a type that this version of the program does not know.
    #[error("statement {seq} is of type {statement_type}, which this program does not know")]
    UnsupportedType {
        /// Where it stands.
        seq: Seq,
        /// The type it names.
        statement_type: u64,
    },
    /// A statement of another vault.
    #[error("statement {seq} belongs to {found:?}, not to {expected:?}")]
    WrongVault {
        /// Where it stands.
        seq: Seq,
        /// The vault whose log this is.
        expected: VaultId,
        /// The vault it names.
        found: VaultId,
    },
    /// A statement of another place in the log.
    #[error("statement {found} stands where statement {expected} must stand")]
    WrongSeq {
        /// Where it stands.
        expected: Seq,
        /// Where it says it stands.
        found: Seq,
    },
    /// A statement that follows another one than the one before it.
    #[error("statement {seq} does not follow the statement before it")]
    BrokenChain {
        /// Where it stands.
        seq: Seq,
    },
    /// A statement that its author has no right to.
    #[error("statement {seq} by {author} is not allowed")]
    NotAllowed {
        /// Where it stands.
        seq: Seq,
        /// Who says it.
        author: Author,
        /// Why not.
        #[source]
        reason: Refusal,
    },
    /// A membership that breaks a rule that binds owners too.
    #[error("statement {seq} holds a membership that is not valid")]
    InvalidMembership {
        /// Where it stands.
        seq: Seq,
        /// The rule.
        #[source]
        reason: MembershipFault,
    },
    /// The author's signature is missing, or a signature does not fit, or nobody knows its signer.
    #[error("statement {seq} is not signed by {signer}")]
    BadSignature {
        /// Where it stands.
        seq: Seq,
        /// Whose signature it should have been.
        signer: Author,
    },
    /// The genesis of another vault.
    #[error("the log begins with the genesis of {found:?}, not of {expected:?}")]
    GenesisMismatch {
        /// The vault asked for.
        expected: VaultId,
        /// The vault whose genesis it is.
        found: VaultId,
    },
}

/// Why an author may not say a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The log does not begin with a genesis.
    #[error("a log begins with a genesis")]
    GenesisExpected,
    /// The genesis is not followed by a membership.
    #[error("the genesis is followed by the first members")]
    MembersExpected,
    /// Only the founding user may say it.
    #[error("only the founding user may say it")]
    NotFounder,
    /// No user of that id is a member.
    #[error("no such user is a member")]
    UnknownUser,
    /// No device of that id is certified.
    #[error("no such device is certified")]
    UnknownDevice,
    /// The device's user is a reader.
    #[error("a reader's device may not commit")]
    ReaderCommits,
    /// The commit is sealed for another epoch than the one in force.
    #[error("epoch {in_force} is in force, not {found}")]
    WrongEpoch {
        /// The epoch in force.
        in_force: Epoch,
        /// The epoch it names.
        found: Epoch,
    },
    /// Someone who is not an owner changes more than their own devices.
    #[error("who is not an owner may change only their own devices")]
    NotOwner,
    /// The device's user is a reader.
    #[error("a reader's device may not change what is kept")]
    ReaderChanges,
    /// The device is append-only.
    #[error("an append-only device may not change what is kept")]
    AppendOnlyChanges,
    /// Someone who is not an owner changes what another domain holds.
    #[error("who is not an owner may change only what their own domain holds, not domain {domain}")]
    OtherDomain {
        /// The domain concerned.
        domain: DomainId,
    },
    /// An index object is to be replaced that is not in force in that domain.
    #[error("index object {index} is not in force")]
    IndexNotInForce {
        /// The index object.
        index: IndexId,
    },
    /// An index object is to come into force that is so already.
    #[error("index object {index} is in force already")]
    IndexInForce {
        /// The index object.
        index: IndexId,
    },
    /// A pack is condemned a second time.
    #[error("pack {pack} is condemned already")]
    PackCondemned {
        /// The pack.
        pack: PackId,
    },
    /// A grant has the id of another one.
    #[error("there is a grant {grant} already")]
    GrantExists {
        /// The grant.
        grant: GrantId,
    },
    /// A grant is taken back that was never given, or is taken back already.
    #[error("there is no grant {grant}")]
    NoSuchGrant {
        /// The grant.
        grant: GrantId,
    },
    /// A snapshot is annotated that was never there, or is forgotten.
    #[error("there is no snapshot {snapshot}")]
    NoSuchSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
    },
}

/// The rule of memberships that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipFault {
    /// The users are not in ascending order of their ids, or one stands there twice.
    #[error("{user:?} is out of order or repeated")]
    UserOrder {
        /// The user at fault.
        user: UserId,
    },
    /// The devices of a user are not in ascending order of their ids, or one stands there twice.
    #[error("{device:?} is out of order or repeated")]
    DeviceOrder {
        /// The device at fault.
        device: DeviceId,
    },
    /// One device belongs to two users.
    #[error("{device:?} belongs to two users")]
    SharedDevice {
        /// The device at fault.
        device: DeviceId,
    },
    /// A user id that is not the hash of the root key.
    #[error("the root key of {user:?} has another id")]
    UserId {
        /// The id at fault.
        user: UserId,
    },
    /// A device id that is not the hash of the signing key.
    #[error("the signing key of {device:?} has another id")]
    DeviceId {
        /// The id at fault.
        device: DeviceId,
    },
    /// A device that its user has not certified as it stands there.
    #[error("the certificate of {device:?} is not its user's")]
    Certificate {
        /// The device at fault.
        device: DeviceId,
    },
    /// A user's first epoch is later than the one in force, or later than it was, or an owner has not all epochs.
    #[error("the first epoch of {user:?} is not one that they can have")]
    History {
        /// The user at fault.
        user: UserId,
    },
    /// Nobody could change the membership any more.
    #[error("there is no owner")]
    NoOwner,
    /// The founding user is not an owner in the first membership.
    #[error("the founding user is not an owner")]
    FounderNotOwner,
    /// A recipient that must be post-quantum is not.
    #[error("a recipient is not post-quantum")]
    NotPostQuantum,
    /// The epoch is neither the one before nor the next one.
    #[error("epoch {found} does not follow")]
    EpochJump {
        /// The epoch it names.
        found: Epoch,
    },
    /// Someone is removed, and could still read what is sealed from now on.
    #[error("a user or device is removed without a new epoch")]
    RemovedInSameEpoch,
    /// The deduplication root changes: chunks of earlier epochs could no longer be found by their ids.
    #[error("the deduplication root is changed")]
    DedupRootChanged,
    /// The epoch's recipient changes while the epoch stays.
    #[error("the keys of an epoch are changed without a new epoch")]
    KeysChangedInSameEpoch,
    /// A new epoch takes the recipient of an earlier one.
    #[error("a new epoch has the recipient of an earlier one")]
    EpochRecipientReused,
    /// The final heads do not name exactly the devices that are removed, in order, with earlier statements.
    #[error("the final heads are not those of the devices removed")]
    FinalHeads,
}
