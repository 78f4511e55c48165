//! Registers another device of a user who is a member already.
//!
//! A statement names an envelope that was just sealed, never one that was found: whoever keeps the store could have put that there, with
//! keys of their own.

use crate::card::ListedDevice;
use crate::error::Error;
use crate::id::UserId;
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::DomainKeys;
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, Device, DeviceKind, Members, Refusal, State};
use crate::vault::{Vault, envelopes};

use super::Surroundings;
use super::cards::machine;
use super::init::certified;

/// How often it is tried again when others begin new epochs at the same time.
const ATTEMPTS: u32 = 20;

/// Certifies `device` with the user's root key and gives it writer keys; from then on it backs up alone.
///
/// # Errors
///
/// [`Error::NoRight`] if the user is a reader: their devices have nothing to write.
pub fn enroll(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &DeviceKeys,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let user = identity.user_id();
    if vault.state().member(&user).is_some_and(|member| !member.role.may_commit()) {
        return Err(Error::NoRight(Refusal::ReaderCommits));
    }
    enroll_listed(vault, identity, &machine(device, &user), around)?;
    vault.writer_keys(device).map(drop)
}

/// As [`enroll`], for a device of which only the public keys are known. The caller has made sure that they are the user's. Nothing is done
/// where it is registered already, and its envelope is there.
pub fn enroll_listed(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &ListedDevice,
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let (user, id) = (identity.user_id(), device.id());
    for _ in 0..ATTEMPTS {
        if is_done(vault, device) {
            return Ok(());
        }
        let keys = vault.member_keys(identity)?;
        let epoch = keys.current.epoch;
        let domain = match device.kind {
            DeviceKind::Full => user.into(),
            DeviceKind::AppendOnly => id.into(),
        };
        let writer = DomainKeys::from_member(&keys, vault.id(), domain);
        let sealed = writer.seal(vault.id(), &id, &AnyRecipient::parse(&device.recipient)?)?;
        envelopes::put(vault.store(), epoch, *id.as_bytes(), &sealed)?;
        let entry = certified(vault.id(), device, identity.root(), sealed.pin);
        let appended = vault.append_unless(&|state| {
            // The envelope is one of this epoch.
            if state.epoch() != Some(epoch) {
                return Ok(None);
            }
            let members =
                with_device(state, user, entry.clone()).ok_or(Error::NotAMember { vault: state.vault() })?;
            let payload = state.draft(user, around.clock.now(), Body::Members(members));
            Ok(Some(log::sign(&payload, identity.root())?))
        })?;
        if appended.is_some() {
            return Ok(());
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// Whether the membership has the device as it is, and the envelope that it names is there.
fn is_done(vault: &Vault, device: &ListedDevice) -> bool {
    let (state, id) = (vault.state(), device.id());
    let known = state.device(&id).map(|(_, known)| known);
    let same = known.filter(|known| known.recipient == device.recipient && known.kind == device.kind);
    same.zip(state.epoch()).is_some_and(|(known, epoch)| {
        envelopes::get(vault.store(), epoch, *id.as_bytes(), &known.envelope_hash).is_ok()
    })
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
