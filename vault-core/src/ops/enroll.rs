//! Registers another device of a user who is a member already.
//!
//! An envelope that is found where one is to be put is never named because it is there: whoever keeps the store could have made it,
//! with keys of their own. So whatever an interrupted attempt has left is used only where it can be seen to be right.

use crate::card::ListedDevice;
use crate::crypto::hash::object_hash;
use crate::error::Error;
use crate::id::{DomainId, UserId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, WriterPlace};
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, Device, DeviceKind, Members, State};
use crate::store::{ObjectKey, Put, StoreErrorKind};
use crate::vault::{AGE_FILE_MAX_BYTES, Vault, get_named};

use super::Surroundings;
use super::cards::machine;
use super::init::certified;

/// Certifies `device` with the user's root key and gives it writer keys; from then on it backs up alone.
pub fn enroll(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &DeviceKeys,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let (user, id) = (identity.user_id(), device.device_id());
    let keys = vault.member_keys(identity)?;
    let writer = DomainKeys::from_member(&keys, vault.id(), user.into());
    let mut sealed = writer.seal(vault.id(), &id, &device.recipient())?;
    let epoch = keys.current.epoch;
    let object = ObjectKey::Envelope { epoch, addressee: *id.as_bytes() };
    if vault.store().put_new(&object, &sealed.file)? == Put::AlreadyThere {
        sealed.file = get_named(vault.store(), &object, AGE_FILE_MAX_BYTES)?;
        sealed.pin = object_hash(&sealed.file);
        let place = WriterPlace { vault: *vault.id(), epoch, device: id, domain: user.into(), pin: sealed.pin };
        let found = DomainKeys::open(&sealed.file, &place, device.age());
        if !found.is_ok_and(|found| found.are_the_same(&writer)) {
            return Err(Error::AlreadyThere { object });
        }
    }
    let entry = certified(vault.id(), &machine(device, &user), identity.root(), sealed.pin);
    append(vault, identity, &entry, around)?;
    vault.writer_keys(device).map(drop)
}

/// As [`enroll`], for a device of which only the public keys are known, so that nobody here can open what is sealed to it. The caller has
/// made sure that they are the user's.
///
/// The statement comes first: where an interruption leaves an envelope, a statement of the user names it.
pub fn enroll_listed(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &ListedDevice,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let id = device.id();
    let keys = vault.member_keys(identity)?;
    let object = ObjectKey::Envelope { epoch: keys.current.epoch, addressee: *id.as_bytes() };
    if let Some(there) = find(vault, &object)? {
        let named = named(vault.state(), device).map(|device| device.envelope_hash);
        let is_done = named == Some(object_hash(&there));
        return if is_done { Ok(()) } else { Err(Error::AlreadyThere { object }) };
    }
    let domain: DomainId = match device.kind {
        DeviceKind::Full => identity.user_id().into(),
        DeviceKind::AppendOnly => id.into(),
    };
    let writer = DomainKeys::from_member(&keys, vault.id(), domain);
    let sealed = writer.seal(vault.id(), &id, &AnyRecipient::parse(&device.recipient)?)?;
    let entry = certified(vault.id(), device, identity.root(), sealed.pin);
    append(vault, identity, &entry, around)?;
    put_own(vault, &object, &sealed.file)
}

/// Puts an object that nobody else can have put.
///
/// # Errors
///
/// [`Error::AlreadyThere`] if there is another one.
pub(super) fn put_own(vault: &Vault, object: &ObjectKey, bytes: &[u8]) -> Result<(), Error> {
    // An answer that was lost is followed by a conflict with oneself.
    if vault.store().put_new(object, bytes)? == Put::Created || find(vault, object)?.as_deref() == Some(bytes) {
        return Ok(());
    }
    Err(Error::AlreadyThere { object: *object })
}

/// An envelope, if it is there.
fn find(vault: &Vault, object: &ObjectKey) -> Result<Option<Vec<u8>>, Error> {
    match vault.store().get(object, AGE_FILE_MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == StoreErrorKind::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The device as the membership has it, if it is the same there.
fn named<'s>(state: &'s State, device: &ListedDevice) -> Option<&'s Device> {
    let (_, known) = state.device(&device.id())?;
    (known.recipient == device.recipient && known.kind == device.kind).then_some(known)
}

/// Puts the device into the membership, in place of what stands there of it.
fn append(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &Device,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let user = identity.user_id();
    let not_a_member = Error::NotAMember { vault: *vault.id() };
    let epoch = vault.state().epoch().ok_or(not_a_member)?;
    vault.append(&|state| {
        // The envelope is one of this epoch.
        if state.epoch() != Some(epoch) {
            return Err(Error::Contended { attempts: 1 });
        }
        let members =
            with_device(state, user, device.clone()).ok_or(Error::NotAMember { vault: state.vault() })?;
        let payload = state.draft(user, around.clock.now(), Body::Members(members));
        Ok(log::sign(&payload, identity.root())?)
    })?;
    Ok(())
}

/// The membership in force, with one more device of one user; `None` if the user is not in it.
fn with_device(state: &State, user: UserId, device: Device) -> Option<Members> {
    let mut members = state.members()?.clone();
    members.final_heads.clear();
    let entry = members.users.iter_mut().find(|entry| entry.id == user)?;
    entry.devices.retain(|known| known.id != device.id);
    entry.devices.push(device);
    entry.devices.sort_by_key(|known| known.id);
    Some(members)
}
