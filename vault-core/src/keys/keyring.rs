//! The keyring: the keys of one vault that are unlocked now, and what follows from them.
//!
//! A keyring opened by a member reads everything its epochs reach; one opened by a device writes in one domain and reads nothing.
//! Nothing can turn the second into the first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::envelope::{DomainKeys, EnvelopeError, IndexKey, MemberKeys, SessionKey, SessionPlace};
use crate::crypto::secret::Secret;
use crate::crypto::{hash, kdf, labels};
use crate::id::{DomainId, Epoch, GrantId, PackId, VaultId};

/// How many opened sessions are kept: a few hundred bytes each, against 150 microseconds to open one again.
const CACHED_SESSIONS: usize = 1024;

/// Why a keyring cannot give a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Only a device's keys are unlocked; reading needs the user's identity.
    #[error("these keys can back up, but not read; unlock the user's identity")]
    CannotRead,
    /// The device writes in another domain.
    #[error("this device has no keys for domain {domain}")]
    OtherDomain {
        /// The domain asked for.
        domain: DomainId,
    },
    /// The member was not given the keys of this epoch.
    #[error("no keys for epoch {epoch}")]
    UnknownEpoch {
        /// The epoch asked for.
        epoch: Epoch,
    },
    /// The grant does not hold this.
    #[error("the grant does not hold this")]
    NotGiven,
    /// The object belongs to another vault.
    #[error("the envelope is for another vault")]
    OtherVault,
    /// The session envelope was refused.
    #[error("the session envelope was refused")]
    Envelope(#[from] EnvelopeError),
}

enum Access {
    Member(Box<MemberKeys>),
    Writer(Arc<DomainKeys>),
    Grant(Box<Given>),
}

/// What an addressee of a grant holds.
struct Given {
    domain: Arc<DomainKeys>,
    session: Arc<SessionKey>,
    segments: SegmentKeys,
}

/// Keys of single segments, each by its pack and its number in that pack as the grant's index has it.
#[derive(Debug, Default)]
pub struct SegmentKeys(BTreeMap<PackId, Vec<(u32, Secret<48>)>>);

impl SegmentKeys {
    /// Adds the keys of a pack's segments, ascending by number.
    pub fn add(&mut self, pack: PackId, segments: Vec<(u32, Secret<48>)>) {
        self.0.insert(pack, segments);
    }

    /// The key of a segment.
    pub fn get(&self, pack: &PackId, segment: u32) -> Option<&Secret<48>> {
        let segments = self.0.get(pack)?;
        let at = segments.binary_search_by_key(&segment, |(number, _)| *number).ok()?;
        segments.get(at).map(|(_, key)| key)
    }
}

impl Access {
    fn name(&self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Writer(_) => "writer",
            Self::Grant(_) => "grant",
        }
    }
}

/// What is unlocked of one vault.
pub struct Keyring {
    vault: VaultId,
    access: Access,
    /// By SHA-256 of the envelope, so that a forged envelope cannot take a session's place. The oldest goes first.
    sessions: Mutex<VecDeque<([u8; 32], Arc<SessionKey>)>>,
}

impl Keyring {
    /// The keyring of a member.
    pub fn of_member(vault: VaultId, keys: MemberKeys) -> Self {
        Self { vault, access: Access::Member(Box::new(keys)), sessions: Mutex::default() }
    }

    /// The keyring of a device.
    pub fn of_writer(vault: VaultId, keys: DomainKeys) -> Self {
        Self { vault, access: Access::Writer(Arc::new(keys)), sessions: Mutex::default() }
    }

    /// The keyring of an addressee of a grant: its session, and segments of others that it names.
    pub fn of_grant(grant: GrantId, session: Arc<SessionKey>, segments: SegmentKeys) -> Self {
        let domain = Arc::new(DomainKeys::of_grant(&session, grant));
        let vault = session.place.vault;
        let access = Access::Grant(Box::new(Given { domain, session, segments }));
        Self { vault, access, sessions: Mutex::default() }
    }

    /// The key of a single segment, if it was given as such.
    pub fn given_segment(&self, pack: &PackId, segment: u32) -> Option<&Secret<48>> {
        match &self.access {
            Access::Grant(given) => given.segments.get(pack, segment),
            Access::Member(_) | Access::Writer(_) => None,
        }
    }

    /// The vault.
    pub fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// Whether it opens sessions, and with them contents.
    pub fn can_read(&self) -> bool {
        !matches!(self.access, Access::Writer(_))
    }

    /// The member's keys, to pass on to others; `None` on a device's keyring.
    pub fn member(&self) -> Option<&MemberKeys> {
        match &self.access {
            Access::Member(keys) => Some(keys),
            Access::Writer(_) | Access::Grant(_) => None,
        }
    }

    /// The first epoch of which it has keys.
    pub fn first_epoch(&self) -> Epoch {
        match &self.access {
            Access::Member(keys) => keys.epochs().next().map_or(keys.current.epoch, |one| one.epoch),
            Access::Writer(keys) => keys.earlier.first().unwrap_or(&keys.current).epoch,
            Access::Grant(given) => given.domain.current.epoch,
        }
    }

    /// The keys of one domain. A member has those of every domain, a device only its own.
    pub fn domain_keys(&self, domain: DomainId) -> Result<Arc<DomainKeys>, KeyringError> {
        match &self.access {
            Access::Member(keys) => Ok(Arc::new(DomainKeys::from_member(keys, &self.vault, domain))),
            Access::Writer(keys) if keys.domain == domain => Ok(Arc::clone(keys)),
            Access::Grant(given) if given.domain.domain == domain => Ok(Arc::clone(&given.domain)),
            Access::Writer(_) | Access::Grant(_) => Err(KeyringError::OtherDomain { domain }),
        }
    }

    /// `S` of the session whose envelope this is; opened ones are remembered.
    pub fn open_session(
        &self,
        envelope: &[u8],
        place: &SessionPlace,
    ) -> Result<Arc<SessionKey>, KeyringError> {
        if place.vault != self.vault {
            return Err(KeyringError::OtherVault);
        }
        let keys = match &self.access {
            Access::Member(keys) => keys,
            Access::Writer(_) => return Err(KeyringError::CannotRead),
            Access::Grant(given) if given.session.place == *place => return Ok(Arc::clone(&given.session)),
            Access::Grant(_) => return Err(KeyringError::NotGiven),
        };
        let name = hash::object_hash(envelope);
        if let Some(known) = self.cached(&name).filter(|known| known.place == *place) {
            return Ok(known);
        }
        let epoch = keys
            .epochs()
            .find(|one| one.epoch == place.epoch)
            .ok_or(KeyringError::UnknownEpoch { epoch: place.epoch })?;
        let opened = Arc::new(SessionKey::open(envelope, place, &epoch.identity)?);
        self.remember(name, &opened);
        Ok(opened)
    }

    fn cached(&self, name: &[u8; 32]) -> Option<Arc<SessionKey>> {
        // A panic elsewhere cannot leave a half-made entry: entries are pushed whole.
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().rev().find(|(known, _)| known == name).map(|(_, key)| Arc::clone(key))
    }

    fn remember(&self, name: [u8; 32], key: &Arc<SessionKey>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() == CACHED_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((name, Arc::clone(key)));
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({}, {})", self.vault.short(), self.access.name())
    }
}

impl DomainKeys {
    /// The keys of `domain`, with `K_index` of every epoch the member has:
    ///
    /// `K_id = HKDF(D, "vault/1 domain id", domain)`, `K_cut = HKDF(D, "vault/1 domain cut", domain)`,
    /// `K_index = HKDF(I_n, "vault/1 domain index", domain)`, 32 bytes each.
    pub fn from_member(member: &MemberKeys, vault: &VaultId, domain: DomainId) -> Self {
        let derive = |root: &Secret<32>, label| kdf::derive(root, vault, label, &[domain.as_bytes()]);
        let index_key = |one: &super::envelope::MemberEpoch| IndexKey {
            epoch: one.epoch,
            key: derive(&one.index_root, labels::DOMAIN_INDEX),
        };
        Self {
            domain,
            k_id: derive(&member.dedup_root, labels::DOMAIN_ID),
            k_cut: derive(&member.dedup_root, labels::DOMAIN_CUT),
            current: index_key(&member.current),
            earlier: member.earlier.iter().map(index_key).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;
    use crate::id::{DeviceId, SessionId};
    use crate::keys::envelope::MemberEpoch;

    const VAULT: VaultId = VaultId::new([1; 32]);
    const MINE: DomainId = DomainId::new([2; 16]);

    fn member_keys() -> MemberKeys {
        let random = FixedRandom::new(1);
        let epoch = |n| MemberEpoch::generate(Epoch(n), &random).unwrap();
        MemberKeys {
            earlier: vec![epoch(1)],
            current: epoch(3),
            dedup_root: Secret::generate(&random).unwrap(),
        }
    }

    fn session(epoch: u32, session: u8) -> (Vec<u8>, SessionPlace) {
        let keys = member_keys();
        let sealed_to = keys.epochs().find(|one| one.epoch == Epoch(epoch)).unwrap_or(&keys.current);
        let place =
            SessionPlace { vault: VAULT, epoch: Epoch(epoch), session: SessionId::new([session; 16]) };
        let key = SessionKey { place, device: DeviceId::new([4; 16]), key: Secret::new([session; 32]) };
        (key.seal(&sealed_to.identity.to_recipient().into()).unwrap(), place)
    }

    #[test]
    fn a_member_opens_sessions_of_every_epoch_it_has() {
        let keyring = Keyring::of_member(VAULT, member_keys());

        for epoch in [1, 3] {
            let (envelope, place) = session(epoch, 7);
            assert_eq!(keyring.open_session(&envelope, &place).unwrap().key.expose(), &[7; 32]);
        }
        let (envelope, place) = session(2, 7);
        let refused = keyring.open_session(&envelope, &place);
        assert!(matches!(refused, Err(KeyringError::UnknownEpoch { epoch: Epoch(2) })));
    }

    #[test]
    fn a_session_is_opened_once_and_then_remembered() {
        let keyring = Keyring::of_member(VAULT, member_keys());
        let (envelope, place) = session(3, 7);

        let first = keyring.open_session(&envelope, &place).unwrap();
        let second = keyring.open_session(&envelope, &place).unwrap();

        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_remembered_session_does_not_pass_for_another() {
        let keyring = Keyring::of_member(VAULT, member_keys());
        let (envelope, place) = session(3, 7);
        keyring.open_session(&envelope, &place).unwrap();

        let elsewhere = SessionPlace { session: SessionId::new([8; 16]), ..place };

        let refused = keyring.open_session(&envelope, &elsewhere);
        let mismatch = EnvelopeError::Mismatch { field: "addressee" };
        assert_eq!(refused.unwrap_err().to_string(), KeyringError::Envelope(mismatch).to_string());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let keyring = Keyring::of_member(VAULT, member_keys());
        let (envelope, place) = session(3, 7);
        let key = keyring.open_session(&envelope, &place).unwrap();

        for n in 0..2 * CACHED_SESSIONS {
            keyring.remember(hash::object_hash(&n.to_le_bytes()), &key);
        }

        assert_eq!(keyring.sessions.lock().unwrap().len(), CACHED_SESSIONS);
    }

    #[test]
    fn a_writer_has_its_own_domain_and_reads_nothing() {
        let keys = DomainKeys::from_member(&member_keys(), &VAULT, MINE);
        let keyring = Keyring::of_writer(VAULT, keys);
        let (envelope, place) = session(3, 7);

        assert!(keyring.domain_keys(MINE).is_ok());
        let other = keyring.domain_keys(DomainId::new([9; 16]));
        assert!(matches!(other, Err(KeyringError::OtherDomain { .. })));
        assert!(matches!(keyring.open_session(&envelope, &place), Err(KeyringError::CannotRead)));
        assert!(!keyring.can_read() && keyring.member().is_none());
    }

    #[test]
    fn derived_keys_differ_by_domain_epoch_and_purpose() {
        let keyring = Keyring::of_member(VAULT, member_keys());
        let (mine, other) =
            (keyring.domain_keys(MINE).unwrap(), keyring.domain_keys(DomainId::new([3; 16])).unwrap());

        let mut all: Vec<[u8; 32]> = Vec::new();
        for keys in [&mine, &other] {
            all.extend([*keys.k_id.expose(), *keys.k_cut.expose()]);
            all.extend([1, 3].map(|n| *keys.k_index(Epoch(n)).unwrap().expose()));
        }

        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
        assert!(mine.k_index(Epoch(2)).is_none());
    }
}
