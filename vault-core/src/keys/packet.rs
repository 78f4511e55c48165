//! The CBOR of key packets: what stands inside an envelope (`docs/format.md`, sections 3.2 and 5.1).
//!
//! Keys 0 to 3 say what a packet is for. Decoding does not judge them: the caller compares them through [`Head::check`] before it
//! uses anything else.

use super::envelope::{DomainKeys, EnvelopeError, IndexKey, MemberEpoch, MemberKeys};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::crypto::age_pq::PqIdentity;
use crate::crypto::secret::Secret;
use crate::id::{DeviceId, DomainId, Epoch, GrantId, SessionId, VaultId};

pub(super) const MEMBER: &str = "member";
pub(super) const WRITER: &str = "writer";
pub(super) const SESSION: &str = "session";
pub(super) const GRANT: &str = "grant";

/// More than any packet needs besides its history.
const FIXED_BYTES: usize = 512;
/// More than one earlier epoch needs.
const EARLIER_BYTES: usize = 96;

/// Keys 0 to 3, which all packets have: what the packet is for.
#[derive(Default)]
pub(super) struct Head {
    purpose: Option<String>,
    vault: Option<[u8; 32]>,
    epoch: Option<u32>,
    addressee: Option<[u8; 16]>,
}

impl Head {
    /// Reads one of the keys 0 to 3.
    fn field(&mut self, key: u64, d: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            0 => self.purpose = Some(d.text()?.to_owned()),
            1 => self.vault = Some(d.bytes_array("vault id")?),
            2 => self.epoch = Some(d.uint_as("epoch")?),
            3 => self.addressee = Some(d.bytes_array("addressee")?),
            _ => return d.unknown_key(key),
        }
        Ok(())
    }

    /// The epoch's number; decoding needs it to order the earlier ones.
    fn epoch(&self) -> Result<Epoch, CborError> {
        required(self.epoch, 2).map(Epoch)
    }

    /// Compares all four with what they must be here.
    pub(super) fn check(
        &self,
        purpose: &str,
        vault: &VaultId,
        epoch: Epoch,
        addressee: &[u8; 16],
    ) -> Result<(), EnvelopeError> {
        let fields = [
            ("purpose", self.purpose.as_deref() == Some(purpose)),
            ("vault", self.vault.as_ref() == Some(vault.as_bytes())),
            ("epoch", self.epoch == Some(epoch.0)),
            ("addressee", self.addressee.as_ref() == Some(addressee)),
        ];
        match fields.into_iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(EnvelopeError::Mismatch { field }),
            None => Ok(()),
        }
    }
}

/// Begins a packet with keys 0 to 2. `(keys, earlier)`: how many keys the map has without a history, and the history's length.
pub(super) fn begin(
    purpose: &str,
    vault: &VaultId,
    epoch: Epoch,
    (keys, earlier): (usize, usize),
) -> Encoder {
    let mut packet = Encoder::with_capacity(FIXED_BYTES + earlier * EARLIER_BYTES);
    packet.map(keys + usize::from(earlier > 0));
    packet.uint(0).text(purpose).uint(1).bytes(vault.as_bytes()).uint(2).uint(epoch.0.into());
    packet
}

fn secret(d: &mut Decoder<'_>, field: &'static str) -> Result<Secret<32>, CborError> {
    Secret::from_slice(d.bytes()?).ok_or(CborError::Range { field })
}

/// Decodes a member packet; the caller checks its head.
pub(super) fn decode_member(d: &mut Decoder<'_>) -> Result<(Head, MemberKeys), CborError> {
    let (mut head, [mut seed, mut index_root, mut dedup_root]) = (Head::default(), [const { None }; 3]);
    let mut earlier = Vec::new();
    let mut map = d.map()?;
    while let Some(key) = map.key(d)? {
        match key {
            4 => seed = Some(secret(d, "epoch identity")?),
            5 => index_root = Some(secret(d, "index root")?),
            6 => dedup_root = Some(secret(d, "deduplication root")?),
            8 => {
                earlier = decode_earlier(
                    d,
                    head.epoch()?,
                    |d, epoch| {
                        let identity = PqIdentity::from_seed(secret(d, "epoch identity")?);
                        Ok(MemberEpoch { epoch, identity, index_root: secret(d, "index root")? })
                    },
                    3,
                )?;
            }
            _ => head.field(key, d)?,
        }
    }
    let current = MemberEpoch {
        epoch: head.epoch()?,
        identity: PqIdentity::from_seed(required(seed, 4)?),
        index_root: required(index_root, 5)?,
    };
    Ok((head, MemberKeys { current, dedup_root: required(dedup_root, 6)?, earlier }))
}

/// Decodes a writer packet; the caller checks its head.
pub(super) fn decode_writer(d: &mut Decoder<'_>) -> Result<(Head, DomainKeys), CborError> {
    let (mut head, [mut k_id, mut k_cut, mut k_index]) = (Head::default(), [const { None }; 3]);
    let (mut domain, mut earlier) = (None, Vec::new());
    let mut map = d.map()?;
    while let Some(key) = map.key(d)? {
        match key {
            4 => domain = Some(DomainId::new(d.bytes_array("domain")?)),
            5 => k_id = Some(secret(d, "K_id")?),
            6 => k_cut = Some(secret(d, "K_cut")?),
            7 => k_index = Some(secret(d, "K_index")?),
            8 => {
                earlier = decode_earlier(
                    d,
                    head.epoch()?,
                    |d, epoch| Ok(IndexKey { epoch, key: secret(d, "K_index")? }),
                    2,
                )?;
            }
            _ => head.field(key, d)?,
        }
    }
    let keys = DomainKeys {
        domain: required(domain, 4)?,
        k_id: required(k_id, 5)?,
        k_cut: required(k_cut, 6)?,
        current: IndexKey { epoch: head.epoch()?, key: required(k_index, 7)? },
        earlier,
    };
    Ok((head, keys))
}

/// Decodes a session packet; the caller checks its head.
pub(super) fn decode_session(d: &mut Decoder<'_>) -> Result<(Head, DeviceId, Secret<32>), CborError> {
    let (mut head, mut device, mut session_key) = (Head::default(), None, None);
    let mut map = d.map()?;
    while let Some(key) = map.key(d)? {
        match key {
            4 => device = Some(DeviceId::new(d.bytes_array("device id")?)),
            5 => session_key = Some(secret(d, "S")?),
            _ => head.field(key, d)?,
        }
    }
    Ok((head, required(device, 4)?, required(session_key, 5)?))
}

/// What a grant packet says besides its head.
pub(super) struct GrantFields {
    pub(super) grant: GrantId,
    pub(super) session: SessionId,
    pub(super) device: DeviceId,
    pub(super) s: Secret<32>,
}

/// Decodes a grant packet; the caller checks its head.
pub(super) fn decode_grant(d: &mut Decoder<'_>) -> Result<(Head, GrantFields), CborError> {
    let (mut head, mut grant, mut session, mut device, mut s) = (Head::default(), None, None, None, None);
    let mut map = d.map()?;
    while let Some(key) = map.key(d)? {
        match key {
            4 => grant = Some(GrantId::new(d.bytes_array("grant id")?)),
            5 => session = Some(SessionId::new(d.bytes_array("session id")?)),
            6 => device = Some(DeviceId::new(d.bytes_array("device id")?)),
            7 => s = Some(secret(d, "S")?),
            _ => head.field(key, d)?,
        }
    }
    let fields = GrantFields {
        grant: required(grant, 4)?,
        session: required(session, 5)?,
        device: required(device, 6)?,
        s: required(s, 7)?,
    };
    Ok((head, fields))
}

/// Arrays `[epoch, …]` of `items` items, ascending and below `current`; at least one, as the key is absent otherwise.
fn decode_earlier<T>(
    d: &mut Decoder<'_>,
    current: Epoch,
    mut decode: impl FnMut(&mut Decoder<'_>, Epoch) -> Result<T, CborError>,
    items: usize,
) -> Result<Vec<T>, CborError> {
    let out_of_range = || CborError::Range { field: "earlier epochs" };
    let count = d.array()?;
    if count == 0 {
        return Err(out_of_range());
    }
    let (mut earlier, mut last) = (Vec::new(), Epoch(0));
    for _ in 0..count {
        d.array_of(items, "earlier epochs")?;
        let epoch = Epoch(d.uint_as("epoch")?);
        if epoch <= last || epoch >= current {
            return Err(out_of_range());
        }
        earlier.push(decode(d, epoch)?);
        last = epoch;
    }
    Ok(earlier)
}

/// Decodes bytes as each kind of packet, for fuzzing: all that can go wrong is a panic.
#[cfg(feature = "testing")]
pub fn decode_any(bytes: &[u8]) {
    let _ = Decoder::decode_all(bytes, decode_member);
    let _ = Decoder::decode_all(bytes, decode_writer);
    let _ = Decoder::decode_all(bytes, decode_session);
    let _ = Decoder::decode_all(bytes, decode_grant);
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: VaultId = VaultId::new([1; 32]);

    /// A session packet with `more` between its head and its end.
    fn session_packet(keys: usize, more: impl FnOnce(&mut Encoder)) -> Vec<u8> {
        let mut packet = begin(SESSION, &VAULT, Epoch(4), (keys, 0));
        packet.uint(3).bytes(&[2; 16]).uint(4).bytes(&[3; 16]).uint(5).bytes(&[4; 32]);
        more(&mut packet);
        packet.finish()
    }

    fn decode(packet: &[u8]) -> Result<(), CborError> {
        Decoder::decode_all(packet, decode_session).map(drop)
    }

    #[test]
    fn every_truncated_packet_is_refused() {
        let packet = session_packet(6, |_| ());

        assert_eq!(decode(&packet), Ok(()));
        for length in 0..packet.len() {
            assert!(decode(&packet[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn only_keys_from_128_on_may_be_unknown() {
        let with = |key: u64| {
            decode(&session_packet(7, |packet| {
                packet.uint(key).uint(0);
            }))
        };

        assert_eq!(with(6), Err(CborError::UnknownKey { key: 6 }));
        assert_eq!(with(128), Ok(()));
    }

    #[test]
    fn an_empty_history_is_refused_since_its_key_must_be_absent() {
        let mut packet = begin(WRITER, &VAULT, Epoch(4), (5, 0));
        packet.uint(3).bytes(&[2; 16]).uint(8).array(0);

        let refused = Decoder::decode_all(&packet.finish(), decode_writer).err();

        assert_eq!(refused, Some(CborError::Range { field: "earlier epochs" }));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let _ = Decoder::decode_all(&bytes, decode_member);
            let _ = Decoder::decode_all(&bytes, decode_writer);
            let _ = Decoder::decode_all(&bytes, decode_session);
        }
    }
}
