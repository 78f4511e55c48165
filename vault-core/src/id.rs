//! The names of things: one type per kind of identifier, so that two kinds cannot be mixed up.
//!
//! Every id is a fixed number of bytes, written as lower-case hex. An id is public: none of them is a secret.

use std::fmt;
use std::marker::PhantomData;

/// Declares which thing an [`Id`] names and how its text starts in debug output.
pub trait Kind {
    /// The word for the thing, as the glossary has it.
    const NAME: &'static str;
}

/// Identifies one thing of kind `K` by `N` bytes.
pub struct Id<K, const N: usize>([u8; N], PhantomData<fn() -> K>);

/// Text that is not the hex form of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: expected {digits} lower-case hex digits")]
pub struct ParseIdError {
    kind: &'static str,
    digits: usize,
}

impl<K: Kind, const N: usize> Id<K, N> {
    /// Length of the id in bytes.
    pub const LEN: usize = N;

    /// Names the thing whose id has these bytes.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes, PhantomData)
    }

    /// Takes the id from a slice; `None` if the slice does not have exactly `N` bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The full lower-case hex form: the name of the object in a store.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first eight hex digits: enough for people, not for programs.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..N.min(4)])
    }

    /// Parses the full lower-case hex form.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { kind: K::NAME, digits: 2 * N };
        if text.len() != 2 * N || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error);
        }
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| error)?;
        Ok(Self::new(bytes))
    }
}

// Derives would demand the same traits of the marker `K`.
impl<K, const N: usize> Clone for Id<K, N> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, const N: usize> Copy for Id<K, N> {}
impl<K, const N: usize> PartialEq for Id<K, N> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K, const N: usize> Eq for Id<K, N> {}
impl<K, const N: usize> PartialOrd for Id<K, N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K, const N: usize> Ord for Id<K, N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K, const N: usize> std::hash::Hash for Id<K, N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: Kind, const N: usize> fmt::Debug for Id<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", K::NAME, self.short())
    }
}
impl<K: Kind, const N: usize> fmt::Display for Id<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// The kinds of thing that have an id; never constructed.
pub mod kinds {
    use super::Kind;

    /// See [`super::VaultId`].
    pub enum Vault {}
    /// See [`super::UserId`].
    pub enum User {}
    /// See [`super::DeviceId`].
    pub enum Device {}
    /// See [`super::DomainId`].
    pub enum Domain {}
    /// See [`super::SessionId`].
    pub enum Session {}
    /// See [`super::PackId`].
    pub enum Pack {}
    /// See [`super::IndexId`].
    pub enum Index {}
    /// See [`super::SnapshotId`].
    pub enum Snapshot {}
    /// See [`super::ChunkHash`].
    pub enum Hash {}
    /// See [`super::ChunkId`].
    pub enum Chunk {}
    /// See [`super::StatementHash`].
    pub enum Statement {}
    /// See [`super::CardHash`].
    pub enum Card {}
    /// See [`super::InviteId`].
    pub enum Invite {}
    /// See [`super::RequestId`].
    pub enum Request {}
    /// See [`super::GrantId`].
    pub enum Grant {}
    /// See [`super::TicketId`].
    pub enum Ticket {}

    impl Kind for Vault {
        const NAME: &'static str = "vault";
    }
    impl Kind for User {
        const NAME: &'static str = "user";
    }
    impl Kind for Device {
        const NAME: &'static str = "device";
    }
    impl Kind for Domain {
        const NAME: &'static str = "domain";
    }
    impl Kind for Session {
        const NAME: &'static str = "session";
    }
    impl Kind for Pack {
        const NAME: &'static str = "pack";
    }
    impl Kind for Index {
        const NAME: &'static str = "index";
    }
    impl Kind for Snapshot {
        const NAME: &'static str = "snapshot";
    }
    impl Kind for Hash {
        const NAME: &'static str = "chunk hash";
    }
    impl Kind for Chunk {
        const NAME: &'static str = "chunk";
    }
    impl Kind for Statement {
        const NAME: &'static str = "statement";
    }
    impl Kind for Card {
        const NAME: &'static str = "card entry";
    }
    impl Kind for Invite {
        const NAME: &'static str = "invite";
    }
    impl Kind for Request {
        const NAME: &'static str = "device request";
    }
    impl Kind for Grant {
        const NAME: &'static str = "grant";
    }
    impl Kind for Ticket {
        const NAME: &'static str = "ticket";
    }
}

/// A vault: hash of its genesis payload, so the id proves the genesis.
pub type VaultId = Id<kinds::Vault, 32>;
/// A user: hash of their root public key.
pub type UserId = Id<kinds::User, 16>;
/// A device: hash of its signing public key.
pub type DeviceId = Id<kinds::Device, 16>;
/// A deduplication domain: the bytes of a user id, or of an append-only device's id.
pub type DomainId = Id<kinds::Domain, 16>;
/// A session: random.
pub type SessionId = Id<kinds::Session, 16>;
/// A pack: SHA-256 of its bytes.
pub type PackId = Id<kinds::Pack, 32>;
/// An index object: SHA-256 of its bytes.
pub type IndexId = Id<kinds::Index, 32>;
/// A snapshot: the hash of its commit statement.
pub type SnapshotId = Id<kinds::Snapshot, 32>;
/// `h`: BLAKE3 of a chunk's plaintext. Stands only inside sealed tree nodes.
pub type ChunkHash = Id<kinds::Hash, 32>;
/// `id`: `h` under the domain's key. Stands only inside sealed tables and indexes.
pub type ChunkId = Id<kinds::Chunk, 16>;
/// BLAKE3 of a statement's stored bytes; the next statement's `prev`.
pub type StatementHash = Id<kinds::Statement, 32>;
/// Labelled BLAKE3 of a card entry's stored bytes; the next entry's `prev`.
pub type CardHash = Id<kinds::Card, 32>;
/// An invite to a server: random.
pub type InviteId = Id<kinds::Invite, 16>;
/// A new device's request to be taken onto a card: random.
pub type RequestId = Id<kinds::Request, 16>;
/// A grant: random.
pub type GrantId = Id<kinds::Grant, 16>;
/// One download through a link: random, and good for that download only.
pub type TicketId = Id<kinds::Ticket, 16>;

impl From<UserId> for DomainId {
    fn from(user: UserId) -> Self {
        Self::new(*user.as_bytes())
    }
}

impl From<DeviceId> for DomainId {
    fn from(device: DeviceId) -> Self {
        Self::new(*device.as_bytes())
    }
}

impl From<GrantId> for DomainId {
    fn from(grant: GrantId) -> Self {
        Self::new(*grant.as_bytes())
    }
}

impl From<StatementHash> for SnapshotId {
    fn from(statement: StatementHash) -> Self {
        Self::new(*statement.as_bytes())
    }
}

/// Numbers the spans of a vault's membership, from 1. Each has its own key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The one that a vault begins with.
    pub const FIRST: Epoch = Epoch(1);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

/// Numbers the statements of a log, from 0 (the genesis).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The genesis.
    pub const GENESIS: Seq = Seq(0);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_text_parses_back_to_the_same_id() {
        let id = PackId::new([0xab; 32]);

        assert_eq!(PackId::parse(&id.to_hex()), Ok(id));
        assert_eq!(id.short(), "abababab");
    }

    #[test]
    fn upper_case_and_wrong_lengths_are_refused() {
        assert!(UserId::parse(&"AB".repeat(16)).is_err());
        assert!(UserId::parse(&"ab".repeat(15)).is_err());
        assert!(UserId::parse(&"zz".repeat(16)).is_err());
        assert!(UserId::from_slice(&[0; 15]).is_none());
    }
}
