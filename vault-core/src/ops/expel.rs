//! Takes a device out of a vault: a new epoch, whose keys it does not get, and a last statement of it that counts.
//!
//! What the device has read it may have kept; from here on it reads and writes nothing.

use crate::error::Error;
use crate::id::{DeviceId, DomainId, Epoch};
use crate::keys::envelope::{DomainKeys, MemberEpoch, MemberKeys};
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, DeviceKind, FinalHead, Members};
use crate::store::{ObjectKey, Put, Removal};
use crate::vault::Vault;

use super::Surroundings;

/// Removes a device from the membership; false if it is not in it.
///
/// # Errors
///
/// [`Error::NotAMember`] if `identity` is none, and what the log says if it may not change the membership.
pub fn expel(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &DeviceId,
    around: &Surroundings<'_>,
) -> Result<bool, Error> {
    let Some(before) = vault.state().members().filter(|members| members.device(device).is_some()) else {
        return Ok(false);
    };
    let (before, mut members) = (before.clone(), before.clone());
    let keys = raise(vault.member_keys(identity)?, around)?;
    (members.epoch, members.epoch_recipient) =
        (keys.current.epoch, keys.current.identity.to_recipient().to_string());
    for user in &mut members.users {
        user.devices.retain(|known| known.id != *device);
    }
    seal_to_all(vault, &keys, &mut members)?;
    vault.append(&|state| {
        // The envelopes were made for this membership.
        if state.members() != Some(&before) {
            return Err(Error::Contended { attempts: 1 });
        }
        let final_heads = vec![FinalHead { device: *device, seq: state.head().seq }];
        let members = Members { final_heads, ..members.clone() };
        let payload = state.draft(identity.user_id(), around.clock.now(), Body::Members(members));
        Ok(log::sign(&payload, identity.root())?)
    })?;
    Ok(true)
}

/// The same keys with a new epoch in force.
fn raise(mut keys: MemberKeys, around: &Surroundings<'_>) -> Result<MemberKeys, Error> {
    let next = MemberEpoch::generate(Epoch(keys.current.epoch.0.saturating_add(1)), around.random)?;
    keys.earlier.push(std::mem::replace(&mut keys.current, next));
    Ok(keys)
}

/// Stores an envelope of the new epoch for each member and device, and names it in the membership.
fn seal_to_all(vault: &Vault, keys: &MemberKeys, members: &mut Members) -> Result<(), Error> {
    for user in &mut members.users {
        let sealed = keys.seal(vault.id(), &user.id, &AnyRecipient::parse(&user.recipient)?)?;
        user.envelope_hash = sealed.pin;
        put(vault, keys.current.epoch, *user.id.as_bytes(), &sealed.file)?;
        let user_domain = user.id.into();
        for device in &mut user.devices {
            let domain: DomainId = match device.kind {
                DeviceKind::Full => user_domain,
                DeviceKind::AppendOnly => device.id.into(),
            };
            let writer = DomainKeys::from_member(keys, vault.id(), domain);
            let sealed = writer.seal(vault.id(), &device.id, &AnyRecipient::parse(&device.recipient)?)?;
            device.envelope_hash = sealed.pin;
            put(vault, keys.current.epoch, *device.id.as_bytes(), &sealed.file)?;
        }
    }
    Ok(())
}

/// Puts an envelope in the place of one that an interrupted attempt left, if there is one: nobody has the keys in that.
fn put(vault: &Vault, epoch: Epoch, addressee: [u8; 16], file: &[u8]) -> Result<(), Error> {
    let object = ObjectKey::Envelope { epoch, addressee };
    for _ in 0..2 {
        if vault.store().put_new(&object, file)? == Put::Created {
            return Ok(());
        }
        if vault.store().remove(&object)? == Removal::ByTheLog {
            break;
        }
    }
    Err(Error::AlreadyThere { object })
}
