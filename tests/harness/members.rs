//! More people and devices in a test's vault, added as an owner adds them.

use std::path::Path;

use tempfile::TempDir;
use vault_core::card::ListedDevice;
use vault_core::error::Error;
use vault_core::id::{SnapshotId, UserId};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::envelope::{MemberKeys, MemberPlace};
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::keyring::Keyring;
use vault_core::log::{DeviceKind, Role};
use vault_core::ops::backup::{BackupSummary, backup};
use vault_core::ops::cards::machine;
use vault_core::ops::enroll::{enroll, enroll_listed};
use vault_core::ops::membership::{self, Added, History, Newcomer};
use vault_core::ops::restore::{RestoreSummary, restore};
use vault_core::store::ObjectKey;
use vault_core::store::location::Access;
use vault_core::vault::{Reader, Vault};

use crate::{TestVault, local_below};

/// The most bytes of an envelope.
const ENVELOPE_MAX_BYTES: u64 = 1 << 20;

/// Registers an append-only device of the owner.
pub fn add_append_only_device(owner: &TestVault) -> DeviceKeys {
    let device = DeviceKeys::generate(owner.around().random).unwrap();
    let listed = ListedDevice { kind: DeviceKind::AppendOnly, ..machine(&device, &owner.identity.user_id()) };
    enroll_listed(&mut owner.open().unwrap(), &owner.identity, &listed, &owner.around()).unwrap();
    device
}

/// Registers an editor with one device, which is returned.
pub fn add_editor(owner: &TestVault) -> DeviceKeys {
    Member::join(owner, Role::Editor, History::Full).device
}

/// Another person in a vault, with one machine.
pub struct Member<'v> {
    owner: &'v TestVault,
    /// Who they are.
    pub identity: UserIdentity,
    /// Their device, which is registered unless they are a reader.
    pub device: DeviceKeys,
    machine: TempDir,
}

impl<'v> Member<'v> {
    /// Somebody who is no member.
    pub fn stranger(owner: &'v TestVault) -> Self {
        let random = owner.around().random;
        let identity = UserIdentity::generate(random).unwrap();
        let device = DeviceKeys::generate(random).unwrap();
        Self { owner, identity, device, machine: tempfile::tempdir().unwrap() }
    }

    /// Somebody whom the owner adds, and who then registers their machine if they may back up.
    pub fn join(owner: &'v TestVault, role: Role, history: History) -> Self {
        let member = Self::stranger(owner);
        member.admit(role, history).unwrap().unwrap();
        if role.may_commit() {
            enroll(&mut member.open(), &member.identity, &member.device, &owner.around()).unwrap();
        }
        member
    }

    /// The owner adds them, or gives them another role or more history.
    pub fn admit(&self, role: Role, history: History) -> Result<Option<Added>, Error> {
        self.admit_through(&mut self.owner.open().unwrap(), role, history)
    }

    /// The same through a vault that the owner has opened before.
    pub fn admit_through(
        &self,
        vault: &mut Vault,
        role: Role,
        history: History,
    ) -> Result<Option<Added>, Error> {
        let newcomer = Newcomer {
            root_key: self.identity.root().verifying_key(),
            recipient: self.identity.recipient().to_string(),
            role,
            history,
        };
        let owner = self.owner;
        membership::add(vault, &owner.identity, &newcomer, &owner.around())
    }

    /// Who they are.
    pub fn id(&self) -> UserId {
        self.identity.user_id()
    }

    /// The vault as their machine sees it.
    pub fn open(&self) -> Vault {
        let store = self.owner.location().open(&Access::local()).unwrap();
        Vault::open(store, local_below(self.machine.path())).unwrap()
    }

    /// What they can read.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.open().unlock(&self.identity)
    }

    /// The keys that they were given, to be tried on whatever there is.
    pub fn keyring(&self) -> Keyring {
        let vault = self.open();
        let (state, user) = (vault.state(), self.id());
        let record = state.epochs().last().unwrap();
        let place = MemberPlace {
            vault: *vault.id(),
            epoch: record.epoch,
            user,
            pin: *state.pin(record.epoch, user).unwrap(),
            epoch_recipient: &record.recipient,
            dedup_commitment: record.dedup_commitment,
        };
        let envelope = ObjectKey::envelope(record.epoch, *user.as_bytes());
        let sealed = vault.store().get(&envelope, ENVELOPE_MAX_BYTES).unwrap();
        Keyring::of_member(*vault.id(), MemberKeys::open(&sealed, &place, self.identity.age()).unwrap())
    }

    /// Backs up one directory.
    pub fn backup(&self, path: &Path) -> Result<BackupSummary, Error> {
        backup(&mut self.open(), &self.device, &TestVault::options(&[path]), &self.owner.around())
    }

    /// Restores a snapshot into a directory.
    pub fn restore(&self, snapshot: SnapshotId, target: &Path) -> Result<RestoreSummary, Error> {
        let options = TestVault::restore_options(snapshot, target);
        restore(&self.open(), &self.reader()?, &options, &self.owner.around())
    }
}
