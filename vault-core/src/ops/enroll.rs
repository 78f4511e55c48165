//! Registers another device of a user who is a member already.

use crate::card::ListedDevice;
use crate::error::Error;
use crate::id::UserId;
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::DomainKeys;
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, Device, DeviceKind, Members, State};
use crate::store::ObjectKey;
use crate::vault::{Vault, get_named};

use super::Surroundings;
use super::init::certified;

/// Certifies `device` with the user's root key and gives it writer keys; from then on it backs up alone.
pub fn enroll(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &DeviceKeys,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    enroll_listed(vault, identity, &super::cards::machine(device, &identity.user_id()), around)?;
    vault.writer_keys(device).map(drop)
}

/// As [`enroll`], for a device of which only the public keys are known. The caller has made sure that they are the user's.
pub fn enroll_listed(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &ListedDevice,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let (user, id) = (identity.user_id(), device.id());
    let keys = vault.member_keys(identity)?;
    let epoch = keys.current.epoch;
    let addressee = *id.as_bytes();
    let domain = match device.kind {
        DeviceKind::Full => user.into(),
        DeviceKind::AppendOnly => id.into(),
    };
    let writer = DomainKeys::from_member(&keys, vault.id(), domain);
    let sealed = writer.seal(vault.id(), &id, &AnyRecipient::parse(&device.recipient)?)?;

    // An attempt that was interrupted after this left an envelope nobody names; it serves as well if it is this device's.
    let object = ObjectKey::Envelope { epoch, addressee };
    let _ = vault.store().put_new(&object, &sealed.file)?;
    let pin = crate::crypto::hash::object_hash(&get_named(vault.store(), &object, 1 << 20)?);
    let entry = certified(vault.id(), device, identity.root(), pin);
    vault.append(&|state| {
        let members =
            with_device(state, user, entry.clone()).ok_or(Error::NotAMember { vault: state.vault() })?;
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
