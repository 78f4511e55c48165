//! Members: who belongs to a vault, with which devices and rights, from this statement on.
//!
//! A members statement holds the whole membership after it, never a difference, so the newest one is all that counts. This file
//! holds its form; the rules it must obey are in `membership`.

use super::lists::list;
use crate::cbor::{CborError, Decoder, Encoder, MapReader, required};
use crate::crypto::sign::{SIGNATURE_BYTES, VerifyingKey};
use crate::id::{DeviceId, DomainId, Epoch, Seq, UserId};

/// The whole membership after a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The epoch in force from here on.
    pub epoch: Epoch,
    /// The recipient that sessions of the epoch are sealed to; always post-quantum.
    pub epoch_recipient: String,
    /// Everyone, ascending by id.
    pub users: Vec<User>,
    /// Shows every member the same deduplication root: [`dedup_root_commitment`](crate::crypto::hash::dedup_root_commitment).
    pub dedup_commitment: [u8; 32],
    /// The last statement that counts of each device that this statement removes, ascending by device.
    pub final_heads: Vec<FinalHead>,
}

/// A person in a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The hash of the root key.
    pub id: UserId,
    /// Signs members statements and device certificates.
    pub root_key: VerifyingKey,
    /// What member envelopes are sealed to: the text of an age recipient, opaque here.
    pub recipient: String,
    /// What the user may do.
    pub role: Role,
    /// The user's devices, ascending by id.
    pub devices: Vec<Device>,
    /// SHA-256 of the member envelope of the epoch in force.
    pub envelope_hash: [u8; 32],
    /// The first epoch whose keys are in that envelope: what was sealed before it, the user was never given.
    pub reads_from: Epoch,
}

/// One installation of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The hash of the signing key.
    pub id: DeviceId,
    /// Signs commits.
    pub signing_key: VerifyingKey,
    /// What writer envelopes are sealed to: the text of an age recipient, opaque here.
    pub recipient: String,
    /// Whether it shares the user's domain.
    pub kind: DeviceKind,
    /// The user's signature over all of the above: [`certify_device`](super::certify_device).
    pub certificate: [u8; SIGNATURE_BYTES],
    /// SHA-256 of the writer envelope of the epoch in force.
    pub envelope_hash: [u8; 32],
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, and changes the membership.
    Owner,
    /// Reads, and backs up.
    Editor,
    /// Reads.
    Reader,
}

/// Whether a device shares its user's deduplication domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Deduplicates with the user's other full devices.
    Full,
    /// Is a domain of its own, and holds no key that reads.
    AppendOnly,
}

/// The last statement that counts of a removed device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalHead {
    /// The device.
    pub device: DeviceId,
    /// The statement; earlier than the one that removes the device.
    pub seq: Seq,
}

/// Whether a recipient's text is that of a post-quantum recipient, `age1pq1…`. Whether the rest of it is one, only who seals
/// can tell.
pub fn is_post_quantum(recipient: &str) -> bool {
    recipient.starts_with("age1pq1")
}

impl Role {
    /// Whether the user's devices may back up.
    pub fn may_commit(self) -> bool {
        matches!(self, Self::Owner | Self::Editor)
    }
}

impl DeviceKind {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::AppendOnly => 1,
        }
    }
}

impl Device {
    /// The domain in which the device of that user deduplicates.
    pub fn domain(&self, user: &User) -> DomainId {
        match self.kind {
            DeviceKind::Full => user.id.into(),
            DeviceKind::AppendOnly => self.id.into(),
        }
    }
}

impl Members {
    /// The user of that id.
    pub fn user(&self, id: &UserId) -> Option<&User> {
        self.users.iter().find(|user| user.id == *id)
    }

    /// The device of that id, and whose it is.
    pub fn device(&self, id: &DeviceId) -> Option<(&User, &Device)> {
        self.devices().find(|(_, device)| device.id == *id)
    }

    /// The first epoch whose keys everyone has. What is sealed in an earlier one, somebody cannot read.
    pub fn readable_from(&self) -> Epoch {
        self.users.iter().map(|user| user.reads_from).max().unwrap_or(Epoch::FIRST)
    }

    /// All devices, each with its user.
    pub fn devices(&self) -> impl Iterator<Item = (&User, &Device)> {
        self.users.iter().flat_map(|user| user.devices.iter().map(move |device| (user, device)))
    }

    pub(super) fn pairs(&self) -> usize {
        if self.final_heads.is_empty() { 4 } else { 5 }
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.uint(10).uint(self.epoch.0.into());
        out.uint(11).text(&self.epoch_recipient);
        out.uint(12).array(self.users.len());
        for user in &self.users {
            user.encode(out);
        }
        out.uint(13).bytes(&self.dedup_commitment);
        if !self.final_heads.is_empty() {
            out.uint(14).array(self.final_heads.len());
            for head in &self.final_heads {
                out.array(2).bytes(head.device.as_bytes()).uint(head.seq.0);
            }
        }
    }
}

impl User {
    fn encode(&self, out: &mut Encoder) {
        let is_first = self.reads_from == Epoch::FIRST;
        out.map(6 + usize::from(!is_first)).uint(0).bytes(self.id.as_bytes());
        out.uint(1).bytes(&self.root_key.0);
        out.uint(2).text(&self.recipient);
        out.uint(3).uint(match self.role {
            Role::Owner => 0,
            Role::Editor => 1,
            Role::Reader => 2,
        });
        out.uint(4).array(self.devices.len());
        for device in &self.devices {
            device.encode(out);
        }
        out.uint(5).bytes(&self.envelope_hash);
        if !is_first {
            out.uint(6).uint(self.reads_from.0.into());
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut map = input.map()?;
        let id = UserId::new(field(&mut map, input, 0, |d| d.bytes_array("user id"))?);
        let root_key = VerifyingKey(field(&mut map, input, 1, |d| d.bytes_array("root key"))?);
        let recipient = field(&mut map, input, 2, |d| Ok(d.text()?.to_owned()))?;
        let role = match field(&mut map, input, 3, Decoder::uint)? {
            0 => Role::Owner,
            1 => Role::Editor,
            2 => Role::Reader,
            _ => return Err(CborError::Range { field: "role" }),
        };
        let devices = field(&mut map, input, 4, |d| list(d, Device::decode))?;
        let envelope_hash = field(&mut map, input, 5, |d| d.bytes_array("envelope hash"))?;
        let reads_from = reads_from(&mut map, input)?;
        Ok(Self { id, root_key, recipient, role, devices, envelope_hash, reads_from })
    }
}

impl Device {
    fn encode(&self, out: &mut Encoder) {
        out.map(6).uint(0).bytes(self.id.as_bytes());
        out.uint(1).bytes(&self.signing_key.0);
        out.uint(2).text(&self.recipient);
        out.uint(3).uint(self.kind.number().into());
        out.uint(4).bytes(&self.certificate);
        out.uint(5).bytes(&self.envelope_hash);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CborError> {
        let mut map = input.map()?;
        let id = DeviceId::new(field(&mut map, input, 0, |d| d.bytes_array("device id"))?);
        let signing_key = VerifyingKey(field(&mut map, input, 1, |d| d.bytes_array("signing key"))?);
        let recipient = field(&mut map, input, 2, |d| Ok(d.text()?.to_owned()))?;
        let kind = match field(&mut map, input, 3, Decoder::uint)? {
            0 => DeviceKind::Full,
            1 => DeviceKind::AppendOnly,
            _ => return Err(CborError::Range { field: "device kind" }),
        };
        let certificate = field(&mut map, input, 4, |d| d.bytes_array("certificate"))?;
        let envelope_hash = field(&mut map, input, 5, |d| d.bytes_array("envelope hash"))?;
        end(&mut map, input)?;
        Ok(Self { id, signing_key, recipient, kind, certificate, envelope_hash })
    }
}

/// Reads the field of a map whose keys are all required and read in order.
fn field<'a, T>(
    map: &mut MapReader,
    input: &mut Decoder<'a>,
    key: u64,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, CborError>,
) -> Result<T, CborError> {
    match map.key(input)? {
        Some(found) if found == key => read(input),
        Some(found) if found < key => Err(CborError::UnknownKey { key: found }),
        _ => Err(CborError::MissingKey { key }),
    }
}

/// Reads the last field of a user, which says nothing where it would be the first epoch.
fn reads_from(map: &mut MapReader, input: &mut Decoder<'_>) -> Result<Epoch, CborError> {
    let mut first = Epoch::FIRST;
    while let Some(key) = map.key(input)? {
        match key {
            6 => first = Epoch(input.uint_as("first epoch")?),
            _ => input.unknown_key(key)?,
        }
        if key == 6 && first <= Epoch::FIRST {
            return Err(CborError::Range { field: "first epoch" });
        }
    }
    Ok(first)
}

/// Passes over what follows the last known key of a map.
fn end(map: &mut MapReader, input: &mut Decoder<'_>) -> Result<(), CborError> {
    while let Some(key) = map.key(input)? {
        input.unknown_key(key)?;
    }
    Ok(())
}

/// The fields of a membership, as far as they have been read.
#[derive(Default)]
pub(super) struct MembersFields {
    epoch: Option<Epoch>,
    epoch_recipient: Option<String>,
    users: Option<Vec<User>>,
    dedup_commitment: Option<[u8; 32]>,
    final_heads: Vec<FinalHead>,
}

impl MembersFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.epoch = Some(Epoch(input.uint_as("epoch")?)),
            11 => self.epoch_recipient = Some(input.text()?.to_owned()),
            12 => self.users = Some(list(input, User::decode)?),
            13 => self.dedup_commitment = Some(input.bytes_array("deduplication root commitment")?),
            14 => {
                self.final_heads = list(input, |input| {
                    input.array_of(2, "final head")?;
                    let device = DeviceId::new(input.bytes_array("device id")?);
                    Ok(FinalHead { device, seq: Seq(input.uint()?) })
                })?;
                // None is said by leaving the key out; an empty list would be a second way.
                if self.final_heads.is_empty() {
                    return Err(CborError::Range { field: "final heads" });
                }
            }
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Members, CborError> {
        Ok(Members {
            epoch: required(self.epoch, 10)?,
            epoch_recipient: required(self.epoch_recipient, 11)?,
            users: required(self.users, 12)?,
            dedup_commitment: required(self.dedup_commitment, 13)?,
            final_heads: self.final_heads,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Example, Machine, Person};
    use super::*;

    #[test]
    fn an_append_only_device_is_its_own_domain_and_a_full_one_its_users() {
        let Example { alice, laptop, nas, .. } = Example::new();
        let user = alice.user(Role::Owner, &[]);

        assert_eq!(laptop.device_of(&alice).domain(&user), user.id.into());
        assert_eq!(nas.device_of(&alice).domain(&user), nas.id().into());
    }

    #[test]
    fn no_final_heads_are_said_in_one_way_only() {
        let mut fields = MembersFields::default();

        let empty_list = fields.read(14, &mut Decoder::new(&[0x80]));

        assert_eq!(empty_list, Err(CborError::Range { field: "final heads" }));
    }

    #[test]
    fn maps_of_users_have_all_their_keys_in_order_and_none_below_128_besides() {
        let mut out = Encoder::new();
        Person::new(1).user(Role::Reader, &[]).encode(&mut out);
        let bytes = out.finish();
        // Key 0 and the 16 bytes of the id follow the map's head.
        let without_id = [&[0xa5], &bytes[19..]].concat();
        let with_more = |key: &[u8]| [&[0xa7], &bytes[1..], key, &[0]].concat();
        let decode = |bytes: &[u8]| Decoder::decode_all(bytes, User::decode);

        assert_eq!(decode(&bytes), Ok(Person::new(1).user(Role::Reader, &[])));
        assert_eq!(decode(&without_id), Err(CborError::MissingKey { key: 0 }));
        assert_eq!(decode(&with_more(&[7])), Err(CborError::UnknownKey { key: 7 }));
        assert!(decode(&with_more(&[0x18, 128])).is_ok());
    }

    #[test]
    fn the_first_epoch_of_a_user_is_said_only_where_it_is_a_later_one() {
        let later = User { reads_from: Epoch(2), ..Person::new(1).user(Role::Reader, &[]) };
        let mut out = Encoder::new();
        later.encode(&mut out);
        let mut bytes = out.finish();

        assert_eq!(Decoder::decode_all(&bytes, User::decode), Ok(later));
        *bytes.last_mut().unwrap() = 1;
        let first = Decoder::decode_all(&bytes, User::decode);
        assert_eq!(first, Err(CborError::Range { field: "first epoch" }));
    }

    #[test]
    fn unknown_roles_and_kinds_are_refused() {
        let mut out = Encoder::new();
        Person::new(1).user(Role::Reader, &[&Machine::append_only(2)]).encode(&mut out);
        let bytes = out.finish();
        let replaced = |from: &[u8], to: &[u8]| {
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            [&bytes[..at], to, &bytes[at + from.len()..]].concat()
        };
        let decode = |bytes: &[u8]| Decoder::decode_all(bytes, User::decode);

        // Key 3 with the role, before key 4 with one device; key 3 with the kind, before key 4 with 64 bytes.
        let role = replaced(&[3, 2, 4, 0x81], &[3, 3, 4, 0x81]);
        let kind = replaced(&[3, 1, 4, 0x58], &[3, 2, 4, 0x58]);

        assert_eq!(decode(&role), Err(CborError::Range { field: "role" }));
        assert_eq!(decode(&kind), Err(CborError::Range { field: "device kind" }));
    }
}
