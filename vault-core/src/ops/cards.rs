//! Cards: puts machines on a user's card on a server, and takes them off.
//!
//! What a server shows is verified from the first entry on and compared with what this machine has seen before, so that no older card
//! is taken for the newest. Beside the machines a card lists the *recovery device*, whose key comes from the identity: with it whoever
//! has the identity gets back in when every machine is lost.

use super::Surroundings;
use crate::card::{Card, Chain, ListedDevice};
use crate::crypto::sign::VerifyingKey;
use crate::error::Error;
use crate::id::{CardHash, UserId};
use crate::keys::device::DeviceKeys;
use crate::keys::identity_file::UserIdentity;
use crate::log::DeviceKind;
use crate::net::{CardAppended, NetError, NetErrorKind, Server};
use crate::time::Timestamp;
use crate::wire::UserName;
use crate::wire::invite::InviteUrl;
use crate::wire::v1::devices::NewDevice;

/// How often a change is tried again when another device changes the card at the same time.
const ATTEMPTS: u32 = 8;

/// How far this machine has seen a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The newest entry's number.
    pub seq: u64,
    /// Its hash.
    pub hash: CardHash,
}

impl Seen {
    /// The end of a card.
    pub fn of(chain: &Chain) -> Self {
        Self { seq: chain.card().seq, hash: chain.hash() }
    }
}

/// What joining brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Who one is there.
    pub user: UserId,
    /// By what the server's receipts verify.
    pub receipt_key: VerifyingKey,
    /// The card, with this device.
    pub card: Seen,
    /// Whether the user was known there before.
    pub known: bool,
}

/// A machine as the card of `user` lists it.
pub fn machine(device: &DeviceKeys, user: &UserId) -> ListedDevice {
    ListedDevice::new(device.signing(), user, device.recipient().to_string(), DeviceKind::Full)
}

/// A machine as it asks to be listed.
pub fn asking(device: &DeviceKeys) -> NewDevice {
    NewDevice { signing_key: device.signing().verifying_key(), recipient: device.recipient().to_string() }
}

/// The recovery device of a user, as a card lists it.
pub fn recovery(identity: &UserIdentity) -> ListedDevice {
    let (key, recipient) = (identity.recovery_key(), identity.recipient().to_string());
    ListedDevice::new(&key, &identity.user_id(), recipient, DeviceKind::Full)
}

/// Reads a user's whole card, and verifies it.
///
/// # Errors
///
/// [`Error::CardRolledBack`] if it does not go on from what this machine has `seen`.
pub fn read(server: &Server, user: &UserId, seen: Option<Seen>) -> Result<Chain, Error> {
    let entries = server.card(user, 0)?;
    let rolled_back = || Error::CardRolledBack { server: server.url().clone(), user: *user };
    let is_seen = |chain: &Chain| seen.is_some_and(|seen| Seen::of(chain) == seen);
    let (first, rest) = entries.split_first().ok_or_else(rolled_back)?;
    let mut chain = Chain::begin(user, first)?;
    let mut found = is_seen(&chain);
    for entry in rest {
        chain.append(entry)?;
        found |= is_seen(&chain);
    }
    if seen.is_some() && !found { Err(rolled_back()) } else { Ok(chain) }
}

/// Changes the devices on the user's own card; leaves the card alone where nothing changes.
pub fn change(
    server: &Server,
    identity: &UserIdentity,
    seen: Option<Seen>,
    edit: &dyn Fn(&mut Vec<ListedDevice>),
    around: &Surroundings<'_>,
) -> Result<Chain, Error> {
    let user = identity.user_id();
    for _ in 0..ATTEMPTS {
        let mut chain = read(server, &user, seen)?;
        let next = following(&chain, around.clock.now(), edit);
        if next.devices == chain.card().devices {
            return Ok(chain);
        }
        let entry = next.sign(identity.root())?;
        let verified = chain.verify(&entry)?;
        if server.append_card(&user, next.seq, &entry)? != CardAppended::Taken {
            chain.apply(verified)?;
            return Ok(chain);
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// Uses an invite up: with the first entry of a card, or where the user has one there with its next.
///
/// `server` is asked without signatures, `recovering` by the recovery device of `identity`. A new user gets the name, if one is given.
pub fn join(
    (server, recovering): (&Server, &Server),
    (invite, name): (&InviteUrl, Option<&UserName>),
    (identity, device): (&UserIdentity, &DeviceKeys),
    around: &Surroundings<'_>,
) -> Result<Joined, Error> {
    let (user, now) = (identity.user_id(), around.clock.now());
    let devices = vec![recovery(identity), machine(device, &user)];
    let first = Card::first(
        identity.root().verifying_key(),
        identity.recipient().to_string(),
        devices.clone(),
        milliseconds(now),
    );
    let entry = first.sign(identity.root())?;
    let chain = Chain::begin(&user, &entry)?;
    match use_up(server, (invite, name), &entry) {
        Ok(receipt_key) => return Ok(Joined { user, receipt_key, card: Seen::of(&chain), known: false }),
        Err(error) if matches!(error.kind(), NetErrorKind::Invalid | NetErrorKind::Taken) => {}
        Err(error) => return Err(error.into()),
    }
    let mut chain = read(recovering, &user, None)?;
    let next = following(&chain, now, &|listed| put(listed, &devices));
    let entry = next.sign(identity.root())?;
    chain.append(&entry)?;
    let receipt_key = use_up(server, (invite, name), &entry)?;
    Ok(Joined { user, receipt_key, card: Seen::of(&chain), known: true })
}

/// Puts devices on a list, each once.
pub fn put(listed: &mut Vec<ListedDevice>, devices: &[ListedDevice]) {
    for device in devices {
        listed.retain(|known| known.signing_key != device.signing_key);
        listed.push(device.clone());
    }
}

fn following(chain: &Chain, now: Timestamp, edit: &dyn Fn(&mut Vec<ListedDevice>)) -> Card {
    let mut devices = chain.card().devices.clone();
    edit(&mut devices);
    chain.card().next(chain.hash(), devices, milliseconds(now))
}

/// Joins; if the answer is lost, once more with the same entry, which the server knows again.
fn use_up(
    server: &Server,
    (invite, name): (&InviteUrl, Option<&UserName>),
    entry: &[u8],
) -> Result<VerifyingKey, NetError> {
    match server.join_as(invite, entry, name) {
        Err(error) if error.kind() == NetErrorKind::Network => server.join_as(invite, entry, name),
        result => result,
    }
    .map(|joined| joined.receipt_key)
}

fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.seconds).unwrap_or(0).saturating_mul(1000) + u64::from(time.nanos / 1_000_000)
}
