//! The keys of a grant: the session that wrote what is the grant's own, sealed to whom it is given.
//!
//! Whoever has them opens what was written for the grant, and by what they find there single segments of other sessions; nothing
//! leads from here to a key of the vault. A packet repeats what it is for and who gave it, so that it is of no use in another grant.

use super::SecretString;
use super::age_file::{self, OpenError, SealError};
use super::envelope::{DomainKeys, EnvelopeError, IndexKey, SessionKey, SessionPlace};
use super::packet::{GRANT, begin, decode_grant};
use super::recipient::AnyRecipient;
use crate::cbor::Decoder;
use crate::crypto::aead::{OpenError as SealedError, SealContext, SealKey, SealedKind};
use crate::crypto::kdf::derive;
use crate::crypto::labels;
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::secret::Secret;
use crate::id::{DeviceId, Epoch, GrantId, SessionId, VaultId};

/// Stands in front of a link's packet that a passphrase seals once more.
const WITH_PASSPHRASE: u8 = 1;
/// Stands in front of one that the link alone opens.
const LINK_ALONE: u8 = 0;

/// What a statement says about the envelopes of its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantPlace {
    /// The vault.
    pub vault: VaultId,
    /// The epoch that was in force.
    pub epoch: Epoch,
    /// The grant.
    pub grant: GrantId,
    /// The grant's session.
    pub session: SessionId,
    /// The device that gave it: the author of the statement.
    pub device: DeviceId,
}

/// Why the envelope of a link was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It was not sealed under this link.
    #[error("the link does not open it")]
    Link(#[from] SealedError),
    /// A passphrase is needed beside the link.
    #[error("it needs a passphrase beside the link")]
    NeedsPassphrase,
    /// What the link opens is not the packet of this grant.
    #[error("it is not the packet of this grant")]
    Packet(#[from] EnvelopeError),
}

/// Seals or opens what is given, for one grant.
impl GrantPlace {
    /// Where the session's envelope for the members belongs.
    pub fn session_place(&self) -> SessionPlace {
        SessionPlace { vault: self.vault, epoch: self.epoch, session: self.session }
    }

    fn context(&self) -> SealContext {
        SealContext { kind: SealedKind::Grant, vault: self.vault, session: self.session }
    }

    /// Seals the session's key to an addressee.
    pub fn seal(
        &self,
        addressee: &[u8; 16],
        s: &Secret<32>,
        to: &AnyRecipient,
    ) -> Result<Vec<u8>, SealError> {
        age_file::seal(std::slice::from_ref(to), &self.packet(addressee, s))
    }

    /// Opens the envelope of an addressee.
    pub fn open(
        &self,
        addressee: &[u8; 16],
        envelope: &[u8],
        identity: &dyn age::Identity,
    ) -> Result<SessionKey, EnvelopeError> {
        self.unpack(addressee, &age_file::open_with(envelope, &[identity])?)
    }

    /// Seals the session's key under the key of a link; with a passphrase, inside it to that passphrase. Only who has the link can
    /// try passphrases.
    pub fn seal_link(
        &self,
        (s, link): (&Secret<32>, Secret<48>),
        passphrase: Option<(&SecretString, Option<u8>)>,
        random: &dyn Random,
    ) -> Result<Vec<u8>, LinkSealError> {
        let packet = self.packet(self.grant.as_bytes(), s);
        let mut unit = SealKey::reserve(packet.len() + 1024);
        match passphrase {
            None => {
                unit.push(LINK_ALONE);
                unit.extend_from_slice(&packet);
            }
            Some((passphrase, work_factor)) => {
                unit.push(WITH_PASSPHRASE);
                unit.extend(age_file::seal_with_passphrase(passphrase, work_factor, &packet)?);
            }
        }
        SealKey::new(link).seal_in_place(&self.context(), random, &mut unit)?;
        Ok(unit)
    }

    /// Opens the envelope of a link.
    pub fn open_link(
        &self,
        envelope: &[u8],
        link: Secret<48>,
        passphrase: Option<&SecretString>,
    ) -> Result<SessionKey, LinkError> {
        let mut unit = zeroize::Zeroizing::new(envelope.to_vec());
        let body = SealKey::new(link).open_in_place(&self.context(), &mut unit)?;
        match (body.split_first(), passphrase) {
            (Some((&LINK_ALONE, packet)), _) => Ok(self.unpack(self.grant.as_bytes(), packet)?),
            (Some((&WITH_PASSPHRASE, _)), None) => Err(LinkError::NeedsPassphrase),
            (Some((&WITH_PASSPHRASE, sealed)), Some(passphrase)) => {
                let packet = age_file::open(sealed, age_file::Unlock::Passphrase(passphrase));
                Ok(self.unpack(self.grant.as_bytes(), &packet.map_err(EnvelopeError::Open)?)?)
            }
            _ => Err(EnvelopeError::Open(OpenError::Malformed).into()),
        }
    }

    fn packet(&self, addressee: &[u8; 16], s: &Secret<32>) -> zeroize::Zeroizing<Vec<u8>> {
        let mut packet = begin(GRANT, &self.vault, self.epoch, (8, 0));
        packet.uint(3).bytes(addressee);
        packet.uint(4).bytes(self.grant.as_bytes());
        packet.uint(5).bytes(self.session.as_bytes());
        packet.uint(6).bytes(self.device.as_bytes());
        packet.uint(7).bytes(s.expose());
        zeroize::Zeroizing::new(packet.finish())
    }

    fn unpack(&self, addressee: &[u8; 16], packet: &[u8]) -> Result<SessionKey, EnvelopeError> {
        let (head, fields) = Decoder::decode_all(packet, decode_grant)?;
        head.check(GRANT, &self.vault, self.epoch, addressee)?;
        let same = [
            ("grant", fields.grant == self.grant),
            ("session", fields.session == self.session),
            ("sender", fields.device == self.device),
        ];
        match same.into_iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(EnvelopeError::Mismatch { field }),
            None => Ok(SessionKey { place: self.session_place(), device: fields.device, key: fields.s }),
        }
    }
}

/// A link's packet could not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkSealError {
    /// The passphrase's part.
    #[error(transparent)]
    Age(#[from] SealError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

impl DomainKeys {
    /// The keys of what is a grant's own, from its session's key: `K_id = HKDF(S, "vault/1 grant id", grant)` and
    /// `K_index = HKDF(S, "vault/1 grant index", grant)`, 32 bytes each. Nothing is cut with them.
    pub fn of_grant(session: &SessionKey, grant: GrantId) -> Self {
        let of = |label| derive(&session.key, &session.place.vault, label, &[grant.as_bytes()]);
        Self {
            domain: grant.into(),
            k_id: of(labels::GRANT_ID),
            k_cut: of(labels::DOMAIN_CUT),
            current: IndexKey { epoch: session.place.epoch, key: of(labels::GRANT_INDEX) },
            earlier: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::age_pq::PqIdentity;
    use crate::crypto::random::FixedRandom;

    const PLACE: GrantPlace = GrantPlace {
        vault: VaultId::new([1; 32]),
        epoch: Epoch(3),
        grant: GrantId::new([2; 16]),
        session: SessionId::new([3; 16]),
        device: DeviceId::new([4; 16]),
    };
    const ANNA: [u8; 16] = [5; 16];

    fn others() -> [GrantPlace; 5] {
        [
            GrantPlace { vault: VaultId::new([9; 32]), ..PLACE },
            GrantPlace { epoch: Epoch(4), ..PLACE },
            GrantPlace { grant: GrantId::new([9; 16]), ..PLACE },
            GrantPlace { session: SessionId::new([9; 16]), ..PLACE },
            GrantPlace { device: DeviceId::new([9; 16]), ..PLACE },
        ]
    }

    #[test]
    fn an_envelope_opens_for_its_addressee_in_its_grant_only() {
        let random = FixedRandom::new(1);
        let [anna, bob] = [1, 2].map(|seed| PqIdentity::generate(&FixedRandom::new(seed)).unwrap());
        let s = Secret::generate(&random).unwrap();

        let envelope = PLACE.seal(&ANNA, &s, &anna.to_recipient().into()).unwrap();

        let opened = PLACE.open(&ANNA, &envelope, &anna).unwrap();
        assert_eq!((opened.key.expose(), opened.device), (s.expose(), PLACE.device));
        assert!(PLACE.open(&ANNA, &envelope, &bob).is_err());
        assert!(matches!(
            PLACE.open(&[6; 16], &envelope, &anna),
            Err(EnvelopeError::Mismatch { field: "addressee" })
        ));
        for other in others() {
            let refused = other.open(&ANNA, &envelope, &anna);
            assert!(matches!(refused, Err(EnvelopeError::Mismatch { .. })), "{other:?}");
        }
    }

    #[test]
    fn a_link_opens_its_grant_and_needs_the_passphrase_if_there_is_one() {
        let random = FixedRandom::new(1);
        let (s, link, other_link) =
            (Secret::generate(&random).unwrap(), || Secret::new([8; 48]), Secret::new([9; 48]));
        let [right, wrong] = ["right", "wrong"].map(|text| SecretString::from(text.to_owned()));
        let alone = PLACE.seal_link((&s, link()), None, &random).unwrap();
        let both = PLACE.seal_link((&s, link()), Some((&right, Some(2))), &random).unwrap();

        assert_eq!(PLACE.open_link(&alone, link(), None).unwrap().key.expose(), s.expose());
        assert_eq!(PLACE.open_link(&both, link(), Some(&right)).unwrap().key.expose(), s.expose());
        assert!(matches!(PLACE.open_link(&both, link(), None), Err(LinkError::NeedsPassphrase)));
        assert!(matches!(PLACE.open_link(&both, link(), Some(&wrong)), Err(LinkError::Packet(_))));
        assert!(matches!(PLACE.open_link(&both, other_link, Some(&right)), Err(LinkError::Link(_))));
        for other in others() {
            assert!(other.open_link(&alone, link(), None).is_err(), "{other:?}");
        }
    }
}
