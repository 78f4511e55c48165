//! Device certificates: a user's word that a device is theirs.
//!
//! A certificate covers the vault and all that makes the device: whose it is, its signing key, its kind, its recipient. So nobody
//! can take a user's device from the log of one vault into that of another. The envelope is not part of it: another one makes no
//! new device.

use super::error::MembershipFault;
use super::members::{Device, DeviceKind, Members, User};
use crate::crypto::hash;
use crate::crypto::labels;
use crate::crypto::sign::{BadSignature, SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::id::{UserId, VaultId};

/// `Ed25519("vault/1 sign device" || 0x00 || vault id || user id || signing public key || kind || recipient)` by the user's root
/// key.
pub fn certify_device(
    root: &SigningKey,
    vault: &VaultId,
    (signing_key, kind): (&VerifyingKey, DeviceKind),
    recipient: &str,
) -> [u8; SIGNATURE_BYTES] {
    let user = hash::user_id(&root.verifying_key().0);
    root.sign(labels::SIGN_DEVICE, &certified(vault, &user, (signing_key, kind), recipient))
}

/// Whether `user` has certified `device` as it stands there for this vault. That the ids are those of the keys is not asked here.
pub fn verify_certificate(vault: &VaultId, user: &User, device: &Device) -> Result<(), BadSignature> {
    let message = certified(vault, &user.id, (&device.signing_key, device.kind), &device.recipient);
    user.root_key.verify(labels::SIGN_DEVICE, &message, &device.certificate)
}

fn certified(
    vault: &VaultId,
    user: &UserId,
    (signing_key, kind): (&VerifyingKey, DeviceKind),
    recipient: &str,
) -> Vec<u8> {
    [vault.as_bytes().as_slice(), user.as_bytes(), &signing_key.0, &[kind.number()], recipient.as_bytes()]
        .concat()
}

/// Whether each device that was not there before, exactly as it stands there now, has its user's certificate.
pub(super) fn check(
    vault: &VaultId,
    before: Option<&Members>,
    after: &Members,
) -> Result<(), MembershipFault> {
    for user in &after.users {
        let known = before.and_then(|members| members.user(&user.id)).map_or(&[][..], |user| &user.devices);
        for device in &user.devices {
            let old = known.iter().find(|old| old.id == device.id);
            let verified_before =
                old.is_some_and(|old| *old == Device { envelope_hash: old.envelope_hash, ..device.clone() });
            if !verified_before && verify_certificate(vault, user, device).is_err() {
                return Err(MembershipFault::Certificate { device: device.id });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Example, Machine, Person, example_vault};
    use super::*;

    fn user_of<'a>(members: &'a mut Members, person: &Person) -> &'a mut User {
        members.users.iter_mut().find(|user| user.id == person.id()).unwrap()
    }

    #[test]
    fn a_certificate_holds_for_its_vault_user_key_kind_and_recipient_only() {
        let (alice, machine) = (Person::new(1), Machine::new(11));
        let user = alice.user(Role::Owner, &[&machine]);
        let device = user.devices[0].clone();
        assert_eq!(verify_certificate(&example_vault(), &user, &device), Ok(()));

        assert_eq!(verify_certificate(&VaultId::new([9; 32]), &user, &device), Err(BadSignature));

        let other_key = Device { signing_key: Machine::new(12).key.verifying_key(), ..device.clone() };
        let other_kind = Device { kind: DeviceKind::AppendOnly, ..device.clone() };
        let other_recipient = Device { recipient: "age1pq1other".into(), ..device.clone() };

        for device in [other_key, other_kind, other_recipient] {
            assert_eq!(verify_certificate(&example_vault(), &user, &device), Err(BadSignature));
        }
        assert_eq!(
            verify_certificate(&example_vault(), &Person::new(2).user(Role::Owner, &[]), &device),
            Err(BadSignature)
        );
        assert_eq!(
            verify_certificate(&example_vault(), &User { id: Person::new(2).id(), ..user }, &device),
            Err(BadSignature)
        );
    }

    #[test]
    fn a_certificate_of_another_user_is_refused() {
        let example = Example::new();
        let mut after = example.members(1);
        let mallory_certifies = Machine::new(15).device_of(&example.carol);
        user_of(&mut after, &example.bob).devices = vec![mallory_certifies];

        let refused = check(&example_vault(), Some(&example.members(1)), &after);

        assert_eq!(refused, Err(MembershipFault::Certificate { device: Machine::new(15).id() }));
    }

    #[test]
    fn a_known_device_that_changes_is_verified_again() {
        let example = Example::new();
        let before = example.members(1);
        let mut envelope = before.clone();
        user_of(&mut envelope, &example.bob).devices[0].envelope_hash = [0; 32];
        let mut kind = before.clone();
        user_of(&mut kind, &example.bob).devices[0].kind = DeviceKind::AppendOnly;

        let refused = check(&example_vault(), Some(&before), &kind);

        assert_eq!(check(&example_vault(), Some(&before), &envelope), Ok(()));
        assert_eq!(refused, Err(MembershipFault::Certificate { device: example.phone.id() }));
    }
}
