//! Envelopes: the key packets of members, writers and sessions, each an age file (`docs/format.md`, sections 3.2 and 5.1).
//!
//! age does not authenticate who sealed a file. So an envelope of a member or writer is compared with the SHA-256 that the
//! members statement pins before it is opened at all, and every packet repeats what it is for; a difference is an attack.

use super::age_file::{self, OpenError, SealError};
use super::packet::{MEMBER, SESSION, WRITER, begin, decode_member, decode_session, decode_writer};
use super::recipient::AnyRecipient;
use crate::cbor::{CborError, Decoder, Encoder};
use crate::crypto::age_pq::PqIdentity;
use crate::crypto::hash;
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::secret::Secret;
use crate::id::{DeviceId, DomainId, Epoch, SessionId, UserId, VaultId};

/// The longest session envelope; every pack carries one.
pub const MAX_SESSION_BYTES: usize = 16_384;

/// Why an envelope was refused. All but [`Open`](Self::Open) mean that somebody tampered with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The file is not the one that the members statement pins.
    #[error("the envelope is not the one the members statement names: somebody put another in its place")]
    Pin {
        /// SHA-256 in the statement.
        expected: [u8; 32],
        /// SHA-256 of the file.
        found: [u8; 32],
    },
    /// The file does not open with these keys.
    #[error("the envelope does not open")]
    Open(#[from] OpenError),
    /// It opens, but holds no packet.
    #[error("the envelope opens, but its packet is malformed")]
    Packet(#[from] CborError),
    /// The packet was made for something else.
    #[error("the envelope is for another {field}")]
    Mismatch {
        /// What differs.
        field: &'static str,
    },
}

/// A sealed envelope, and the hash that a statement pins it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The age file.
    pub file: Vec<u8>,
    /// SHA-256 of the file.
    pub pin: [u8; 32],
}

/// What a member may read of one epoch.
#[derive(Debug)]
pub struct MemberEpoch {
    /// The epoch's number.
    pub epoch: Epoch,
    /// `E_n`: opens session envelopes.
    pub identity: PqIdentity,
    /// `I_n`: root of the index keys.
    pub index_root: Secret<32>,
}

impl MemberEpoch {
    /// Fresh keys for epoch `epoch`.
    pub fn generate(epoch: Epoch, random: &dyn Random) -> Result<Self, RandomUnavailable> {
        Ok(Self { epoch, identity: PqIdentity::generate(random)?, index_root: Secret::generate(random)? })
    }
}

/// Everything a member receives.
#[derive(Debug)]
pub struct MemberKeys {
    /// The epoch in force.
    pub current: MemberEpoch,
    /// `D`: root of the deduplication keys.
    pub dedup_root: Secret<32>,
    /// Earlier epochs the member is entitled to, ascending.
    pub earlier: Vec<MemberEpoch>,
}

/// What the members statement says about a member's envelope.
#[derive(Debug, Clone, Copy)]
pub struct MemberPlace<'a> {
    /// The vault.
    pub vault: VaultId,
    /// The epoch in force.
    pub epoch: Epoch,
    /// The addressee.
    pub user: UserId,
    /// SHA-256 of the age file.
    pub pin: [u8; 32],
    /// The epoch's recipient, as text.
    pub epoch_recipient: &'a str,
    /// The commitment to `D`.
    pub dedup_commitment: [u8; 32],
}

impl MemberKeys {
    /// All epochs, ascending; the one in force is the last.
    pub fn epochs(&self) -> impl Iterator<Item = &MemberEpoch> {
        self.earlier.iter().chain(std::iter::once(&self.current))
    }

    /// Seals the keys to a member, who gets those of earlier epochs from `first` on.
    pub fn seal(
        &self,
        vault: &VaultId,
        (user, first): (&UserId, Epoch),
        to: &AnyRecipient,
    ) -> Result<Envelope, SealError> {
        let earlier: Vec<_> = self.earlier.iter().filter(|one| one.epoch >= first).collect();
        let mut packet = begin(MEMBER, vault, self.current.epoch, (7, earlier.len()));
        packet.uint(3).bytes(user.as_bytes());
        packet.uint(4).bytes(self.current.identity.seed().expose());
        packet.uint(5).bytes(self.current.index_root.expose());
        packet.uint(6).bytes(self.dedup_root.expose());
        if !earlier.is_empty() {
            packet.uint(8).array(earlier.len());
        }
        for one in earlier {
            packet.array(3).uint(one.epoch.0.into());
            packet.bytes(one.identity.seed().expose()).bytes(one.index_root.expose());
        }
        seal(packet, to)
    }

    /// Opens a member's envelope, which must be exactly the one `place` describes.
    pub fn open(
        file: &[u8],
        place: &MemberPlace<'_>,
        identity: &dyn age::Identity,
    ) -> Result<Self, EnvelopeError> {
        check_pin(file, &place.pin)?;
        let packet = age_file::open_with(file, &[identity])?;
        let (head, keys) = Decoder::decode_all(&packet, decode_member)?;
        head.check(MEMBER, &place.vault, place.epoch, place.user.as_bytes())?;
        if keys.current.identity.to_recipient().to_string() != place.epoch_recipient {
            return Err(EnvelopeError::Mismatch { field: "epoch recipient" });
        }
        if hash::dedup_root_commitment(&place.vault, &keys.dedup_root) != place.dedup_commitment {
            return Err(EnvelopeError::Mismatch { field: "deduplication root" });
        }
        Ok(keys)
    }
}

/// The keys of one deduplication domain: what a writer holds, and what a member derives.
#[derive(Debug)]
pub struct DomainKeys {
    /// The domain.
    pub domain: DomainId,
    /// `K_id`: turns chunk hashes into chunk ids.
    pub k_id: Secret<32>,
    /// `K_cut`: root of the chunker's tables.
    pub k_cut: Secret<32>,
    /// `K_index` of the epoch in force.
    pub current: IndexKey,
    /// `K_index` of earlier epochs, ascending.
    pub earlier: Vec<IndexKey>,
}

/// `K_index` of one epoch: opens and seals tables and indexes.
#[derive(Debug)]
pub struct IndexKey {
    /// The epoch's number.
    pub epoch: Epoch,
    /// The key.
    pub key: Secret<32>,
}

/// What the members statement says about a device's envelope.
#[derive(Debug, Clone, Copy)]
pub struct WriterPlace {
    /// The vault.
    pub vault: VaultId,
    /// The epoch in force.
    pub epoch: Epoch,
    /// The addressee.
    pub device: DeviceId,
    /// The device's domain: its user's, or its own if it is append-only.
    pub domain: DomainId,
    /// SHA-256 of the age file.
    pub pin: [u8; 32],
}

impl DomainKeys {
    /// `K_index` of `epoch`; `None` if these keys do not reach there.
    pub fn k_index(&self, epoch: Epoch) -> Option<&Secret<32>> {
        self.earlier
            .iter()
            .chain(std::iter::once(&self.current))
            .find(|one| one.epoch == epoch)
            .map(|one| &one.key)
    }

    /// The same without those of epochs before `first`.
    #[must_use]
    pub fn since(mut self, first: Epoch) -> Self {
        self.earlier.retain(|one| one.epoch >= first);
        self
    }

    /// The same as they were in `epoch`; `None` if these keys do not reach there.
    pub fn as_of(mut self, epoch: Epoch) -> Option<Self> {
        if epoch != self.current.epoch {
            let at = self.earlier.iter().position(|one| one.epoch == epoch)?;
            self.earlier.truncate(at + 1);
            self.current = self.earlier.pop()?;
        }
        Some(self)
    }

    /// Seals the keys to a device.
    pub fn seal(&self, vault: &VaultId, device: &DeviceId, to: &AnyRecipient) -> Result<Envelope, SealError> {
        let mut packet = begin(WRITER, vault, self.current.epoch, (8, self.earlier.len()));
        packet.uint(3).bytes(device.as_bytes());
        packet.uint(4).bytes(self.domain.as_bytes());
        packet.uint(5).bytes(self.k_id.expose());
        packet.uint(6).bytes(self.k_cut.expose());
        packet.uint(7).bytes(self.current.key.expose());
        if !self.earlier.is_empty() {
            packet.uint(8).array(self.earlier.len());
        }
        for one in &self.earlier {
            packet.array(2).uint(one.epoch.0.into()).bytes(one.key.expose());
        }
        seal(packet, to)
    }

    /// Opens a device's envelope, which must be exactly the one `place` describes.
    pub fn open(
        file: &[u8],
        place: &WriterPlace,
        identity: &dyn age::Identity,
    ) -> Result<Self, EnvelopeError> {
        check_pin(file, &place.pin)?;
        let packet = age_file::open_with(file, &[identity])?;
        let (head, keys) = Decoder::decode_all(&packet, decode_writer)?;
        head.check(WRITER, &place.vault, place.epoch, place.device.as_bytes())?;
        if keys.domain == place.domain { Ok(keys) } else { Err(EnvelopeError::Mismatch { field: "domain" }) }
    }
}

/// What a pack's header or a commit says about a session envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPlace {
    /// The vault.
    pub vault: VaultId,
    /// The epoch it is sealed to.
    pub epoch: Epoch,
    /// The session.
    pub session: SessionId,
}

/// `S`, the key of one session.
#[derive(Debug)]
pub struct SessionKey {
    /// Where it belongs.
    pub place: SessionPlace,
    /// The device that wrote in the session. It says so itself; the commit's signature proves it.
    pub device: DeviceId,
    /// `S`.
    pub key: Secret<32>,
}

impl SessionKey {
    /// Seals `S` to the recipient of the epoch.
    pub fn seal(&self, to: &AnyRecipient) -> Result<Vec<u8>, SealError> {
        let mut packet = begin(SESSION, &self.place.vault, self.place.epoch, (6, 0));
        packet.uint(3).bytes(self.place.session.as_bytes());
        packet.uint(4).bytes(self.device.as_bytes());
        packet.uint(5).bytes(self.key.expose());
        seal(packet, to).map(|envelope| envelope.file)
    }

    /// Opens a session envelope, which must be for `place`.
    pub fn open(
        file: &[u8],
        place: &SessionPlace,
        identity: &dyn age::Identity,
    ) -> Result<Self, EnvelopeError> {
        if file.len() > MAX_SESSION_BYTES {
            return Err(OpenError::TooLong { bytes: file.len() }.into());
        }
        let packet = age_file::open_with(file, &[identity])?;
        let (head, device, key) = Decoder::decode_all(&packet, decode_session)?;
        head.check(SESSION, &place.vault, place.epoch, place.session.as_bytes())?;
        Ok(Self { place: *place, device, key })
    }
}

fn seal(packet: Encoder, to: &AnyRecipient) -> Result<Envelope, SealError> {
    let packet = zeroize::Zeroizing::new(packet.finish());
    let file = age_file::seal(std::slice::from_ref(to), &packet)?;
    Ok(Envelope { pin: hash::object_hash(&file), file })
}

fn check_pin(file: &[u8], pin: &[u8; 32]) -> Result<(), EnvelopeError> {
    let found = hash::object_hash(file);
    if found == *pin { Ok(()) } else { Err(EnvelopeError::Pin { expected: *pin, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    const VAULT: VaultId = VaultId::new([1; 32]);
    const USER: UserId = UserId::new([2; 16]);
    const DEVICE: DeviceId = DeviceId::new([3; 16]);
    const DOMAIN: DomainId = DomainId::new([2; 16]);

    fn identity(seed: u64) -> PqIdentity {
        PqIdentity::generate(&FixedRandom::new(seed)).unwrap()
    }

    fn recipient(seed: u64) -> AnyRecipient {
        identity(seed).to_recipient().into()
    }

    fn member_keys(earlier: &[u32]) -> MemberKeys {
        let random = FixedRandom::new(7);
        let epoch = |n: &u32| MemberEpoch::generate(Epoch(*n), &random).unwrap();
        MemberKeys {
            current: epoch(&4),
            dedup_root: Secret::generate(&random).unwrap(),
            earlier: earlier.iter().map(epoch).collect(),
        }
    }

    fn writer_keys(earlier: &[u32]) -> DomainKeys {
        DomainKeys::from_member(&member_keys(earlier), &VAULT, DOMAIN)
    }

    fn member_place<'a>(keys: &MemberKeys, epoch_recipient: &'a str, pin: [u8; 32]) -> MemberPlace<'a> {
        let dedup_commitment = hash::dedup_root_commitment(&VAULT, &keys.dedup_root);
        MemberPlace { vault: VAULT, epoch: Epoch(4), user: USER, pin, epoch_recipient, dedup_commitment }
    }

    fn writer_place(pin: [u8; 32]) -> WriterPlace {
        WriterPlace { vault: VAULT, epoch: Epoch(4), device: DEVICE, domain: DOMAIN, pin }
    }

    fn mismatch<T>(result: Result<T, EnvelopeError>) -> &'static str {
        match result.err().unwrap() {
            EnvelopeError::Mismatch { field } => field,
            other => panic!("not a mismatch: {other:?}"),
        }
    }

    #[test]
    fn a_member_receives_all_epochs() {
        for earlier in [&[][..], &[1, 3]] {
            let keys = member_keys(earlier);
            let envelope = keys.seal(&VAULT, (&USER, Epoch::FIRST), &recipient(1)).unwrap();
            let text = keys.current.identity.to_recipient().to_string();

            let opened =
                MemberKeys::open(&envelope.file, &member_place(&keys, &text, envelope.pin), &identity(1))
                    .unwrap();

            let bytes = |keys: &MemberKeys| {
                keys.epochs()
                    .map(|one| (one.epoch, *one.identity.seed().expose(), *one.index_root.expose()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(bytes(&opened), bytes(&keys));
            assert_eq!(opened.dedup_root.expose(), keys.dedup_root.expose());
        }
    }

    #[test]
    fn a_writer_receives_its_domains_keys() {
        for earlier in [&[][..], &[1, 3]] {
            let keys = writer_keys(earlier);
            let envelope = keys.seal(&VAULT, &DEVICE, &recipient(1)).unwrap();

            let opened = DomainKeys::open(&envelope.file, &writer_place(envelope.pin), &identity(1)).unwrap();

            assert_eq!(opened.k_id.expose(), keys.k_id.expose());
            assert_eq!(opened.k_cut.expose(), keys.k_cut.expose());
            for n in 1..=5 {
                let bytes = |keys: &DomainKeys| keys.k_index(Epoch(n)).map(|key| *key.expose());
                assert_eq!(bytes(&opened), bytes(&keys));
            }
        }
    }

    #[test]
    fn an_envelope_that_is_not_pinned_is_not_opened() {
        let envelope = writer_keys(&[]).seal(&VAULT, &DEVICE, &recipient(1)).unwrap();
        // A stranger's identity: opening would fail differently, so this shows that the pin comes first.
        let stranger = identity(9);

        let refused = DomainKeys::open(&envelope.file, &writer_place([0; 32]), &stranger);

        assert!(matches!(refused, Err(EnvelopeError::Pin { .. })));
        let refused = DomainKeys::open(&envelope.file, &writer_place(envelope.pin), &stranger);
        assert!(matches!(refused, Err(EnvelopeError::Open(OpenError::NotForTheseIdentities))));
    }

    #[test]
    fn an_envelope_for_another_place_is_refused() {
        let envelope = writer_keys(&[]).seal(&VAULT, &DEVICE, &recipient(1)).unwrap();
        let good = writer_place(envelope.pin);
        let open = |place: WriterPlace| mismatch(DomainKeys::open(&envelope.file, &place, &identity(1)));

        assert_eq!(open(WriterPlace { vault: VaultId::new([9; 32]), ..good }), "vault");
        assert_eq!(open(WriterPlace { epoch: Epoch(5), ..good }), "epoch");
        assert_eq!(open(WriterPlace { device: DeviceId::new([9; 16]), ..good }), "addressee");
        assert_eq!(open(WriterPlace { domain: DomainId::new([9; 16]), ..good }), "domain");
    }

    #[test]
    fn member_keys_that_do_not_fit_the_statement_are_refused() {
        let keys = member_keys(&[]);
        let envelope = keys.seal(&VAULT, (&USER, Epoch::FIRST), &recipient(1)).unwrap();
        let text = keys.current.identity.to_recipient().to_string();
        let good = member_place(&keys, &text, envelope.pin);
        let open = |place: MemberPlace<'_>| mismatch(MemberKeys::open(&envelope.file, &place, &identity(1)));

        assert_eq!(open(MemberPlace { epoch_recipient: "age1pq1other", ..good }), "epoch recipient");
        assert_eq!(open(MemberPlace { dedup_commitment: [0; 32], ..good }), "deduplication root");
        assert_eq!(open(MemberPlace { user: UserId::new([9; 16]), ..good }), "addressee");
    }

    #[test]
    fn a_packet_of_one_purpose_does_not_pass_for_another() {
        let place =
            SessionPlace { vault: VAULT, epoch: Epoch(4), session: SessionId::new(*DEVICE.as_bytes()) };
        let file =
            SessionKey { place, device: DEVICE, key: Secret::new([5; 32]) }.seal(&recipient(1)).unwrap();
        let pin = hash::object_hash(&file);

        let as_writer = DomainKeys::open(&file, &writer_place(pin), &identity(1));

        assert!(matches!(as_writer, Err(EnvelopeError::Packet(_))));
        assert!(SessionKey::open(&file, &place, &identity(1)).is_ok());
    }

    #[test]
    fn a_session_envelope_is_bound_to_its_header_and_fits_a_pack() {
        let place = SessionPlace { vault: VAULT, epoch: Epoch(4), session: SessionId::new([6; 16]) };
        let file =
            SessionKey { place, device: DEVICE, key: Secret::new([5; 32]) }.seal(&recipient(1)).unwrap();
        let open = |place| SessionKey::open(&file, &place, &identity(1));

        let opened = open(place).unwrap();
        assert_eq!((opened.place, opened.device, opened.key.expose()), (place, DEVICE, &[5; 32]));
        assert_eq!(mismatch(open(SessionPlace { session: SessionId::new([7; 16]), ..place })), "addressee");
        assert_eq!(mismatch(open(SessionPlace { epoch: Epoch(3), ..place })), "epoch");
        assert!(file.len() < MAX_SESSION_BYTES);
        let too_long = SessionKey::open(&vec![0; MAX_SESSION_BYTES + 1], &place, &identity(1));
        assert!(matches!(too_long, Err(EnvelopeError::Open(OpenError::TooLong { .. }))));
    }

    #[test]
    fn earlier_epochs_out_of_order_or_not_earlier_are_refused() {
        for earlier in [&[3, 1][..], &[2, 2], &[4], &[5], &[0]] {
            let envelope = writer_keys(earlier).seal(&VAULT, &DEVICE, &recipient(1)).unwrap();

            let refused = DomainKeys::open(&envelope.file, &writer_place(envelope.pin), &identity(1));

            assert!(matches!(refused, Err(EnvelopeError::Packet(CborError::Range { .. }))), "{earlier:?}");
        }
    }
}
