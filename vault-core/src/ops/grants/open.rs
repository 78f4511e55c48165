//! Opening a grant: from its statement to a vault with one snapshot.
//!
//! A statement is an offer until it is shown whose it is: by the key of a device that the sender's card or the vault's membership names. A
//! link shows nothing of that kind; whoever has it knows from whom they have it.

use std::sync::Arc;

use crate::chunk::compress::Decompressor;
use crate::crypto::aead::SealedKind;
use crate::crypto::sign::VerifyingKey;
use crate::error::{Error, Fault};
use crate::format::raw_limit;
use crate::format::seal::Origin;
use crate::format::tree::{ChunkRef, Node};
use crate::id::{DeviceId, Seq, SnapshotId, UserId, VaultId};
use crate::keys::SecretString;
use crate::keys::envelope::SessionKey;
use crate::keys::grant::GrantPlace;
use crate::keys::keyring::{Keyring, SegmentKeys};
use crate::log::{Body, Grant, Granted, Head, LogError, State, Statement};
use crate::store::granted::GrantedStore;
use crate::store::{ObjectKey, Store};
use crate::vault::{LocalPaths, Reader, Vault};
use crate::wire::link::LinkSecret;

use super::given::{self, GivenContents};
use super::key_list;

/// A grant as its statement says, before it is shown by whom it is.
pub struct Offer {
    statement: Statement,
    vault: VaultId,
    grant: Grant,
}

/// Who gave a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The user.
    pub user: UserId,
    /// The signing key of the device that gave it.
    pub device_key: VerifyingKey,
}

/// By what a grant is opened.
pub enum Means<'m> {
    /// The identity of an addressee, and who they say has given it.
    Addressee {
        /// The user, or the first half of the fingerprint of a bare recipient.
        id: [u8; 16],
        /// What opens envelopes.
        identity: &'m dyn age::Identity,
        /// Who gave it.
        sender: Sender,
    },
    /// A link.
    Link {
        /// Its secret.
        secret: &'m LinkSecret,
        /// What is asked for beside it.
        passphrase: Option<&'m SecretString>,
    },
}

/// A grant whose keys are open, and of which nothing was read from a store yet.
pub struct Unsealed<'o> {
    offer: &'o Offer,
    sender: Sender,
    session: Arc<SessionKey>,
}

/// A grant that is open.
pub struct Opened {
    /// What was given, as a vault.
    pub vault: Vault,
    /// Reads it.
    pub reader: Reader,
    /// Its one snapshot.
    pub snapshot: SnapshotId,
}

impl Offer {
    /// Reads a statement, as it is stored, that must be a grant.
    pub fn read(stored: &[u8]) -> Result<Self, Error> {
        let statement = Statement::decode(Seq::GENESIS, stored).map_err(|error| match error {
            LogError::NewerVersion { .. } | LogError::UnsupportedType { .. } => Error::from(error),
            _ => forged("it is no statement"),
        })?;
        let payload = statement.payload();
        match (&payload.body, payload.vault) {
            (Body::Grant(grant), Some(vault)) => Ok(Self { vault, grant: grant.clone(), statement }),
            _ => Err(forged("it is another statement")),
        }
    }

    /// What it says.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The vault that it says it is of.
    pub fn vault(&self) -> VaultId {
        self.vault
    }

    /// The device that it says has given it.
    pub fn device(&self) -> DeviceId {
        self.statement.payload().author.as_device()
    }

    /// Whether that device has signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.statement.is_signed_by(key)
    }

    /// Opens its keys. Nothing is read from a store, so nothing counts as fetched.
    ///
    /// # Errors
    ///
    /// [`Error::GrantForged`] if it is not from whom it should be; [`Error::GrantEnvelope`] and [`Error::Link`] if it does not open.
    pub fn unseal(&self, means: &Means<'_>) -> Result<Unsealed<'_>, Error> {
        let sender = match means {
            Means::Addressee { sender, .. } => *sender,
            // Nobody is shown to be it.
            Means::Link { .. } => Sender { user: UserId::new([0; 16]), device_key: VerifyingKey([0; 32]) },
        };
        Ok(Unsealed { offer: self, sender, session: Arc::new(self.session(means)?) })
    }

    fn place(&self) -> GrantPlace {
        GrantPlace {
            vault: self.vault,
            epoch: self.grant.epoch,
            grant: self.grant.id,
            session: self.grant.session,
            device: self.device(),
        }
    }

    /// The session's key, for whom it is given.
    fn session(&self, means: &Means<'_>) -> Result<SessionKey, Error> {
        let (place, missing) = (self.place(), || Error::NoSuchGrant { wanted: self.grant.id.to_hex() });
        match means {
            Means::Addressee { id, identity, sender } => {
                if !self.is_signed_by(&sender.device_key) {
                    return Err(forged("it is not signed by the device of its sender"));
                }
                let envelope = self.grant.envelope_for(id).ok_or_else(missing)?;
                place.open(id, envelope, *identity).map_err(Error::GrantEnvelope)
            }
            Means::Link { secret, passphrase } => {
                let link = self.grant.link.as_ref().ok_or_else(missing)?;
                let key = secret.envelope_key(&self.grant.id);
                place.open_link(&link.envelope, key, *passphrase).map_err(Error::Link)
            }
        }
    }

    /// What the log would say of it.
    fn granted(&self, sender: Sender) -> Granted {
        let payload = self.statement.payload();
        let (seq, time) = (payload.seq, payload.time);
        let (user, key) = (sender.user, sender.device_key);
        Granted { seq, device: self.device(), key, user, time, grant: self.grant.clone() }
    }
}

impl Unsealed<'_> {
    /// What is granted, as the statement itself says it.
    pub fn contents(&self) -> Result<GivenContents, Error> {
        let Self { offer, session, .. } = self;
        Ok(given::contents(&given::open_body(&offer.grant, offer.statement.payload().seq, session)?))
    }

    /// Opens what is granted, whose packs and index objects `store` shows. What is remembered of it goes to `local`.
    pub fn open(&self, store: Arc<dyn Store>, local: LocalPaths) -> Result<Opened, Error> {
        let Self { offer, sender, session } = self;
        let grant = &offer.grant;
        let head = Head { seq: offer.statement.payload().seq, hash: offer.statement.hash() };
        let state = State::of_grant(offer.vault, head, &offer.granted(*sender));
        let store = Arc::new(GrantedStore::new(store, grant.indexes.clone()));
        let vault = Vault::of_grant(store, state, local);
        let snapshot = SnapshotId::from(head.hash);
        let keyring = |segments| Keyring::of_grant(grant.id, Arc::clone(session), segments);
        // First what is the grant's own, where the keys to the rest stand.
        let own = Reader::new(&vault, keyring(SegmentKeys::default()))?;
        if let Some(fault) = own.faults().first() {
            return Err(forged(match fault {
                Error::Missing { .. } => "an index object is missing",
                _ => "an index object is damaged",
            }));
        }
        let segments = segment_keys(offer, session, &own, snapshot)?;
        let reader = Reader::new(&vault, keyring(segments))?;
        Ok(Opened { vault, reader, snapshot })
    }
}

fn segment_keys(
    offer: &Offer,
    session: &SessionKey,
    own: &Reader,
    snapshot: SnapshotId,
) -> Result<SegmentKeys, Error> {
    let domain = own.domain_for(snapshot, offer.grant.id.into())?;
    let mut list = zeroize::Zeroizing::new(Vec::new());
    for chunk in chunks_of_list(offer, session)? {
        if !key_list::is_taken(list.len() as u64 + u64::from(chunk.length)) {
            return Err(forged("its list of keys is too long"));
        }
        list.extend_from_slice(&domain.whole_chunk(&chunk)?);
    }
    key_list::decode(&list).ok_or_else(|| forged("its list of keys is malformed"))
}

/// The chunks of the list of keys.
fn chunks_of_list(offer: &Offer, session: &SessionKey) -> Result<Vec<ChunkRef>, Error> {
    let object = ObjectKey::Statement(offer.statement.payload().seq);
    let damaged = |fault| Error::Damaged { object, fault };
    let origin = Origin { vault: offer.vault, session: offer.grant.session };
    let mut unit = offer.grant.keys.clone();
    let seal = origin.grant(&session.key, &offer.grant.id);
    let opened = seal.open_in_place(&mut unit);
    let body = opened.map_err(|source| damaged(Fault::Sealed { part: "its keys", source }))?;
    let raw = Decompressor::new()?
        .unpack(body, raw_limit(SealedKind::Grant) as usize)
        .map_err(|error| damaged(error.into()))?;
    if raw.is_empty() {
        return Ok(Vec::new());
    }
    match Node::decode(&raw).map_err(|error| damaged(error.into()))? {
        Node::ChunkList(chunks) => Ok(chunks),
        _ => Err(forged("its list of keys is no list of chunks")),
    }
}

fn forged(what: &'static str) -> Error {
    Error::GrantForged { what }
}
