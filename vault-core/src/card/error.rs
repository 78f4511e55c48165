//! Why a card entry is refused.
//!
//! Every error is a fact about stored bytes at one place of a card; none depends on who asks or when.

use crate::cbor::CborError;
use crate::id::{DeviceId, UserId};

/// An entry that is not what must stand at its place of the card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// More bytes than an entry may have.
    #[error("the card entry has {bytes} bytes, more than one may have")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the one encoding of an entry.
    #[error("the card entry is malformed")]
    Malformed(#[from] CborError),
    /// Written in a later version of the format.
    #[error("the card entry is in version {version} of the format, which this program does not know")]
    NewerVersion {
        /// The version it names.
        version: u64,
    },
    /// More devices than a card may have.
    #[error("the card has {devices} devices, more than one may have")]
    TooManyDevices {
        /// Their number.
        devices: usize,
    },
    /// The devices are not in ascending order of their ids, or one stands there twice.
    #[error("{device:?} is out of order or repeated on the card")]
    DeviceOrder {
        /// The device at fault.
        device: DeviceId,
    },
    /// An entry by another root key.
    #[error("the card entry belongs to {found:?}, not to {expected:?}")]
    WrongUser {
        /// The user whose card this is.
        expected: UserId,
        /// The user whose root key it names.
        found: UserId,
    },
    /// An entry of another place on the card.
    #[error("card entry {found} stands where entry {expected} must stand")]
    WrongSeq {
        /// Where it stands.
        expected: u64,
        /// Where it says it stands.
        found: u64,
    },
    /// An entry that follows another one than the one before it.
    #[error("card entry {seq} does not follow the entry before it")]
    BrokenChain {
        /// Where it stands.
        seq: u64,
    },
    /// The signature is not that of the root key.
    #[error("card entry {seq} is not signed by its user")]
    BadSignature {
        /// Where it stands.
        seq: u64,
    },
    /// A device does not say itself that it is the user's.
    #[error("card entry {seq} lists {device:?}, which does not say itself that it is this user's")]
    NoConsent {
        /// Where it stands.
        seq: u64,
        /// The device.
        device: DeviceId,
    },
}
