//! Takes a device out of a vault: a new epoch, whose keys it does not get, and a last statement of it that counts.
//!
//! What the device has read it may have kept; from here on it reads and writes nothing. The statement comes last, so an interruption
//! leaves the membership as it was, and envelopes of an epoch that never comes into force; the next attempt takes another number.

use crate::error::Error;
use crate::id::{DeviceId, DomainId, Epoch};
use crate::keys::envelope::{DomainKeys, MemberEpoch, MemberKeys};
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, DeviceKind, EPOCH_STEP_MAX, FinalHead, Members};
use crate::store::ObjectKey;
use crate::vault::Vault;

use super::Surroundings;
use super::enroll::put_own;

/// How often the removal is tried again when others change the membership at the same time.
const ATTEMPTS: u32 = 8;

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
    for _ in 0..ATTEMPTS {
        let Some(before) = vault.state().members().filter(|members| members.device(device).is_some()) else {
            return Ok(false);
        };
        let before = before.clone();
        let mut after = before.clone();
        for user in &mut after.users {
            user.devices.retain(|known| known.id != *device);
        }
        let after = in_a_new_epoch(vault, identity, after, around)?;
        let appended = vault.append_unless(&|state| {
            // The envelopes were made for this membership.
            if state.members() != Some(&before) {
                return Ok(None);
            }
            let final_heads = vec![FinalHead { device: *device, seq: state.head().seq }];
            let members = Members { final_heads, ..after.clone() };
            let payload = state.draft(identity.user_id(), around.clock.now(), Body::Members(members));
            Ok(Some(log::sign(&payload, identity.root())?))
        })?;
        if appended.is_some() {
            return Ok(true);
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// The same members in the next epoch that has no envelopes, with theirs stored.
fn in_a_new_epoch(
    vault: &Vault,
    identity: &UserIdentity,
    members: Members,
    around: &Surroundings<'_>,
) -> Result<Members, Error> {
    let mut taken = None;
    for step in 1..=EPOCH_STEP_MAX {
        let keys = raise(vault.member_keys(identity)?, step, around)?;
        let mut members = Members {
            epoch: keys.current.epoch,
            epoch_recipient: keys.current.identity.to_recipient().to_string(),
            ..members.clone()
        };
        match seal_to_all(vault, &keys, &mut members) {
            Ok(()) => return Ok(members),
            Err(error @ Error::AlreadyThere { .. }) => taken = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(taken.unwrap_or(Error::Contended { attempts: EPOCH_STEP_MAX }))
}

/// The same keys with a new epoch in force.
fn raise(mut keys: MemberKeys, step: u32, around: &Surroundings<'_>) -> Result<MemberKeys, Error> {
    let next = MemberEpoch::generate(Epoch(keys.current.epoch.0.saturating_add(step)), around.random)?;
    keys.earlier.push(std::mem::replace(&mut keys.current, next));
    Ok(keys)
}

/// Stores an envelope of the new epoch for each member and device, and names it in the membership.
///
/// # Errors
///
/// [`Error::AlreadyThere`] if there is another envelope in the epoch already.
fn seal_to_all(vault: &Vault, keys: &MemberKeys, members: &mut Members) -> Result<(), Error> {
    let epoch = keys.current.epoch;
    for user in &mut members.users {
        let sealed = keys.seal(vault.id(), &user.id, &AnyRecipient::parse(&user.recipient)?)?;
        user.envelope_hash = sealed.pin;
        put_own(vault, &ObjectKey::Envelope { epoch, addressee: *user.id.as_bytes() }, &sealed.file)?;
        let user_domain = user.id.into();
        for device in &mut user.devices {
            let domain: DomainId = match device.kind {
                DeviceKind::Full => user_domain,
                DeviceKind::AppendOnly => device.id.into(),
            };
            let writer = DomainKeys::from_member(keys, vault.id(), domain);
            let sealed = writer.seal(vault.id(), &device.id, &AnyRecipient::parse(&device.recipient)?)?;
            device.envelope_hash = sealed.pin;
            put_own(vault, &ObjectKey::Envelope { epoch, addressee: *device.id.as_bytes() }, &sealed.file)?;
        }
    }
    Ok(())
}
