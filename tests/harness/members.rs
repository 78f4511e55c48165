//! More members and devices of a test's vault, as an owner adds them: with one statement, in the epoch in force.
//!
//! The keys that are sealed to them are the vault's own, so what they write is read like everything else.

use vault_core::crypto::sign::SigningKey;
use vault_core::id::{DomainId, VaultId};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::envelope::{DomainKeys, Envelope, MemberKeys, MemberPlace};
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::{self, Body, Device, DeviceKind, Role, User};
use vault_core::store::{ObjectKey, Put};
use vault_core::vault::Vault;

use crate::TestVault;

/// The most bytes of an envelope.
const ENVELOPE_MAX_BYTES: u64 = 1 << 20;

/// Registers an append-only device of the owner.
pub fn add_append_only_device(owner: &TestVault) -> DeviceKeys {
    let adding = Adding::new(owner);
    let device = DeviceKeys::generate(owner.around().random).unwrap();
    let entry =
        adding.entry(&device, (owner.identity.root(), DeviceKind::AppendOnly), device.device_id().into());
    adding.append(|users| {
        let user = users.iter_mut().find(|user| user.id == owner.identity.user_id()).unwrap();
        user.devices.push(entry);
        user.devices.sort_by_key(|device| device.id);
    });
    device
}

/// Registers an editor with one device, which is returned.
pub fn add_editor(owner: &TestVault) -> DeviceKeys {
    let adding = Adding::new(owner);
    let random = owner.around().random;
    let editor = UserIdentity::generate(random).unwrap();
    let device = DeviceKeys::generate(random).unwrap();
    let id = editor.user_id();
    let entry = adding.entry(&device, (editor.root(), DeviceKind::Full), id.into());
    let sealed = adding.keys.seal(adding.vault.id(), &id, &editor.recipient()).unwrap();
    adding.put(*id.as_bytes(), &sealed);
    let user = User {
        id,
        root_key: editor.root().verifying_key(),
        recipient: editor.recipient().to_string(),
        role: Role::Editor,
        devices: vec![entry],
        envelope_hash: sealed.pin,
    };
    adding.append(|users| {
        users.push(user);
        users.sort_by_key(|user| user.id);
    });
    device
}

/// An owner who is about to change the membership.
struct Adding<'a> {
    owner: &'a TestVault,
    vault: Vault,
    keys: MemberKeys,
}

impl<'a> Adding<'a> {
    fn new(owner: &'a TestVault) -> Self {
        let vault = owner.open().unwrap();
        let (state, user) = (vault.state(), owner.identity.user_id());
        let record = state.epochs().last().unwrap();
        let object = ObjectKey::Envelope { epoch: record.epoch, addressee: *user.as_bytes() };
        let sealed = vault.store().get(&object, ENVELOPE_MAX_BYTES).unwrap();
        let place = MemberPlace {
            vault: *vault.id(),
            epoch: record.epoch,
            user,
            pin: *state.pin(record.epoch, user).unwrap(),
            epoch_recipient: &record.recipient,
            dedup_commitment: record.dedup_commitment,
        };
        let keys = MemberKeys::open(&sealed, &place, owner.identity.age()).unwrap();
        Self { owner, vault, keys }
    }

    /// Seals a domain's keys to a device, which its user's root key certifies.
    fn entry(
        &self,
        device: &DeviceKeys,
        (root, kind): (&SigningKey, DeviceKind),
        domain: DomainId,
    ) -> Device {
        let vault: &VaultId = self.vault.id();
        let id = device.device_id();
        let writer = DomainKeys::from_member(&self.keys, vault, domain);
        let sealed = writer.seal(vault, &id, &device.recipient()).unwrap();
        self.put(*id.as_bytes(), &sealed);
        let (signing_key, recipient) = (device.signing().verifying_key(), device.recipient().to_string());
        Device {
            id,
            signing_key,
            certificate: log::certify_device(root, vault, (&signing_key, kind), &recipient),
            recipient,
            kind,
            envelope_hash: sealed.pin,
        }
    }

    fn put(&self, addressee: [u8; 16], sealed: &Envelope) {
        let object = ObjectKey::Envelope { epoch: self.keys.current.epoch, addressee };
        assert_eq!(self.vault.store().put_new(&object, &sealed.file).unwrap(), Put::Created);
    }

    /// Appends the membership in force with other users.
    fn append(&self, change: impl FnOnce(&mut Vec<User>)) {
        let state = self.vault.state();
        let mut members = state.members().unwrap().clone();
        members.final_heads.clear();
        change(&mut members.users);
        let now = self.owner.clock.now();
        let payload = state.draft(self.owner.identity.user_id(), now, Body::Members(members));
        let stored = log::sign(&payload, self.owner.identity.root()).unwrap();
        state.verify(&stored).unwrap();
        let statement = ObjectKey::Statement(state.next_seq());
        assert_eq!(self.vault.store().put_new(&statement, &stored).unwrap(), Put::Created);
    }
}
