//! An entry: all devices of a user from here on, and the user's signature.
//!
//! An entry has one encoding: what the decoder accepts, encoding again gives byte for byte, but for map keys from 128 on, which
//! are passed over; that is why the signature is verified over the bytes that were received.

use super::device::{Consent, ListedDevice};
use super::error::CardError;
use super::{FORMAT_VERSION, MAX_DEVICES, MAX_ENTRY_BYTES, MAX_RECIPIENT_BYTES};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::crypto::hash;
use crate::crypto::labels::SIGN_CARD;
use crate::crypto::sign::{SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::id::{CardHash, DeviceId, UserId};
use crate::log::DeviceKind;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The user's root key, which signs every entry.
    pub root_key: VerifyingKey,
    /// The place on the card, from 0.
    pub seq: u64,
    /// The hash of the entry before; zeros in the first.
    pub prev: CardHash,
    /// The time by the author's clock in milliseconds since 1970 UTC: shown, never relied on.
    pub time: u64,
    /// What is sealed to the user: the text of an age recipient, opaque here.
    pub recipient: String,
    /// All devices, ascending by id.
    pub devices: Vec<ListedDevice>,
}

/// An entry as it was read; nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    card: Card,
    signed: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
    hash: CardHash,
}

impl Card {
    /// The first card of a user.
    pub fn first(root_key: VerifyingKey, recipient: String, devices: Vec<ListedDevice>, time: u64) -> Self {
        let prev = CardHash::new([0; CardHash::LEN]);
        Self { root_key, seq: 0, prev, time, recipient, devices }.sorted()
    }

    /// The same user's next card, after the entry with this hash.
    #[must_use]
    pub fn next(&self, prev: CardHash, devices: Vec<ListedDevice>, time: u64) -> Self {
        Self { seq: self.seq.saturating_add(1), prev, time, devices, ..self.clone() }.sorted()
    }

    fn sorted(mut self) -> Self {
        self.devices.sort_by_key(ListedDevice::id);
        self
    }

    /// The user: the hash of the root key.
    pub fn user(&self) -> UserId {
        hash::user_id(&self.root_key.0)
    }

    /// The device of that id.
    pub fn device(&self, id: &DeviceId) -> Option<&ListedDevice> {
        self.devices.iter().find(|device| device.id() == *id)
    }

    /// Encodes an entry that the root key signs.
    ///
    /// # Errors
    ///
    /// Those that a reader would have: too large, too many devices, out of order.
    pub fn sign(&self, root: &SigningKey) -> Result<Vec<u8>, CardError> {
        self.check()?;
        let payload = self.encode();
        let mut out = Encoder::new();
        out.map(2).uint(0).bytes(&payload).uint(1).bytes(&root.sign(SIGN_CARD, &payload));
        let stored = out.finish();
        check_size(&stored)?;
        Ok(stored)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.map(7).uint(0).uint(FORMAT_VERSION).uint(1).bytes(&self.root_key.0).uint(2).uint(self.seq);
        out.uint(3).bytes(self.prev.as_bytes()).uint(4).uint(self.time).uint(5).text(&self.recipient);
        out.uint(6).array(self.devices.len());
        for device in &self.devices {
            out.map(4).uint(0).bytes(&device.signing_key.0).uint(1).text(&device.recipient);
            out.uint(2).uint(kind_number(device.kind)).uint(3).bytes(&device.consent.0);
        }
        out.finish()
    }

    fn check(&self) -> Result<(), CardError> {
        check_count(self.devices.len())?;
        let mut last = None;
        for device in &self.devices {
            let id = device.id();
            if last.is_some_and(|last| id <= last) {
                return Err(CardError::DeviceOrder { device: id });
            }
            last = Some(id);
        }
        Ok(())
    }
}

impl Entry {
    /// Decodes the stored bytes of an entry.
    pub fn decode(stored: &[u8]) -> Result<Self, CardError> {
        // [1]
        check_size(stored)?;
        let (signed, signature) = Decoder::decode_all(stored, read_entry)?;
        // [2]
        let version = version(signed)?;
        if version != FORMAT_VERSION {
            return Err(CardError::NewerVersion { version });
        }
        let mut input = Decoder::new(signed);
        let card = read_card(&mut input)?;
        match input.remaining().len() {
            0 => {}
            bytes => return Err(CborError::Trailing { bytes }.into()),
        }
        card.check()?;
        Ok(Self { card, signed: signed.to_vec(), signature, hash: hash::card_hash(stored) })
    }

    /// What it says.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The hash of its stored bytes, which the next entry names.
    pub fn hash(&self) -> CardHash {
        self.hash
    }

    /// Whether the root key that it names has signed it.
    pub(super) fn check_signature(&self) -> Result<(), CardError> {
        let Card { root_key, seq, .. } = &self.card;
        root_key
            .verify(SIGN_CARD, &self.signed, &self.signature)
            .map_err(|_| CardError::BadSignature { seq: *seq })
    }
}

fn check_size(stored: &[u8]) -> Result<(), CardError> {
    match stored.len() {
        bytes if bytes > MAX_ENTRY_BYTES => Err(CardError::TooLarge { bytes }),
        _ => Ok(()),
    }
}

fn check_count(devices: usize) -> Result<(), CardError> {
    if devices > MAX_DEVICES { Err(CardError::TooManyDevices { devices }) } else { Ok(()) }
}

fn kind_number(kind: DeviceKind) -> u64 {
    match kind {
        DeviceKind::Full => 0,
        DeviceKind::AppendOnly => 1,
    }
}

fn read_entry<'a>(input: &mut Decoder<'a>) -> Result<(&'a [u8], [u8; SIGNATURE_BYTES]), CborError> {
    let (mut payload, mut signature) = (None, None);
    let mut map = input.map()?;
    while let Some(key) = map.key(input)? {
        match key {
            0 => payload = Some(input.bytes()?),
            1 => signature = Some(input.bytes_array("signature")?),
            // Nothing here is signed, so nothing may be passed over: an entry would have many forms, and many hashes.
            _ => return Err(CborError::UnknownKey { key }),
        }
    }
    Ok((required(payload, 0)?, required(signature, 1)?))
}

/// The first field, which every version has: it decides whether the rest can be understood.
fn version(payload: &[u8]) -> Result<u64, CborError> {
    let mut input = Decoder::new(payload);
    match input.map()?.key(&mut input)? {
        Some(0) => input.uint(),
        _ => Err(CborError::MissingKey { key: 0 }),
    }
}

fn read_card(input: &mut Decoder<'_>) -> Result<Card, CardError> {
    let (mut root_key, mut seq, mut prev, mut time, mut recipient, mut devices) =
        (None, None, None, None, None, None);
    let mut map = input.map()?;
    while let Some(key) = map.key(input)? {
        match key {
            // Read before, by `version`.
            0 => drop(input.uint()?),
            1 => root_key = Some(VerifyingKey(input.bytes_array("root key")?)),
            2 => seq = Some(input.uint()?),
            3 => prev = Some(CardHash::new(input.bytes_array("prev")?)),
            4 => time = Some(input.uint()?),
            5 => recipient = Some(read_recipient(input)?),
            6 => devices = Some(read_devices(input)?),
            _ => input.unknown_key(key)?,
        }
    }
    Ok(Card {
        root_key: required(root_key, 1)?,
        seq: required(seq, 2)?,
        prev: required(prev, 3)?,
        time: required(time, 4)?,
        recipient: required(recipient, 5)?,
        devices: required(devices, 6)?,
    })
}

fn read_devices(input: &mut Decoder<'_>) -> Result<Vec<ListedDevice>, CardError> {
    let count = input.array()?;
    check_count(count)?;
    (0..count).map(|_| Ok(read_device(input)?)).collect()
}

fn read_device(input: &mut Decoder<'_>) -> Result<ListedDevice, CborError> {
    let (mut signing_key, mut recipient, mut kind, mut consent) = (None, None, None, None);
    let mut map = input.map()?;
    while let Some(key) = map.key(input)? {
        match key {
            0 => signing_key = Some(VerifyingKey(input.bytes_array("signing key")?)),
            1 => recipient = Some(read_recipient(input)?),
            2 => {
                kind = Some(match input.uint()? {
                    0 => DeviceKind::Full,
                    1 => DeviceKind::AppendOnly,
                    _ => return Err(CborError::Range { field: "kind" }),
                });
            }
            3 => consent = Some(Consent(input.bytes_array("consent")?)),
            _ => input.unknown_key(key)?,
        }
    }
    Ok(ListedDevice {
        signing_key: required(signing_key, 0)?,
        recipient: required(recipient, 1)?,
        kind: required(kind, 2)?,
        consent: required(consent, 3)?,
    })
}

fn read_recipient(input: &mut Decoder<'_>) -> Result<String, CborError> {
    let text = input.text()?;
    // Printed to people: an age recipient is one word.
    let is_word = (1..=MAX_RECIPIENT_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_word { Ok(text.to_owned()) } else { Err(CborError::Range { field: "recipient" }) }
}
