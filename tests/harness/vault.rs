//! A vault in a temporary directory, with its user, its device, and the machine it is used from.
//!
//! Nothing of it outlives the value, and two of them share nothing.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vault_core::chunk::cut::Params;
use vault_core::crypto::random::SystemRandom;
use vault_core::error::Error;
use vault_core::id::SnapshotId;
use vault_core::keys::SecretString;
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::{self, Body, Forget, PqPolicy};
use vault_core::ops::backup::{BackupOptions, BackupSummary, backup};
use vault_core::ops::check::{CheckOptions, CheckSummary, check};
use vault_core::ops::enroll::enroll;
use vault_core::ops::init::{InitOptions, init};
use vault_core::ops::restore::{RestoreOptions, RestoreSummary, restore};
use vault_core::ops::{Stop, Surroundings};
use vault_core::progress::Recording;
use vault_core::store::location::{Access, Location, OpenStore};
use vault_core::store::{ObjectKey, Put, Store};
use vault_core::time::{Clock, FixedClock, Timestamp};
use vault_core::vault::{LocalPaths, Vault};

/// The passphrase of every test's identity.
pub const PASSPHRASE: &str = "vier Hasen, ein Igel";

/// So far in the future that no file was changed "just now" (it would be read again, whatever the stat cache says).
const FAR_FUTURE: Timestamp = Timestamp::new(32_503_680_000, 0);

/// scrypt's `log2 N`: tests have nothing to protect, and many vaults to make.
const WORK_FACTOR: u8 = 2;

/// Where a machine whose files are all below one directory keeps what it remembers of a vault.
pub fn local_below(machine: &Path) -> LocalPaths {
    LocalPaths { state: machine.join("state"), cache: machine.join("cache") }
}

/// A vault and all that belongs to it.
pub struct TestVault {
    directory: TempDir,
    machine: u32,
    /// Its owner.
    pub identity: UserIdentity,
    /// The device that backs up.
    pub device: DeviceKeys,
    /// What time the device believes it is; [`FixedClock`] in the far future unless replaced.
    pub clock: Box<dyn Clock>,
    /// What operations told.
    pub progress: Recording,
    /// Set to interrupt operations.
    pub stop: Stop,
    random: SystemRandom,
}

impl Default for TestVault {
    fn default() -> Self {
        Self::new()
    }
}

impl TestVault {
    /// A new vault with the usual sizes of chunks.
    pub fn new() -> Self {
        Self::with_chunks(Params::default())
    }

    /// A new vault with chunks of a few kilobytes, so that small files have several.
    pub fn with_small_chunks() -> Self {
        Self::with_chunks(Params::new(1 << 10, 11, 16 << 10).unwrap())
    }

    /// A new vault with these sizes of chunks.
    pub fn with_chunks(chunker: Params) -> Self {
        let random = SystemRandom::new();
        let identity = UserIdentity::generate(&random).unwrap();
        let device = DeviceKeys::generate(&random).unwrap();
        let vault = Self {
            directory: tempfile::tempdir().unwrap(),
            machine: 0,
            identity,
            device,
            clock: Box::new(FixedClock(FAR_FUTURE)),
            progress: Recording::default(),
            stop: Stop::new(),
            random,
        };
        let options = InitOptions {
            location: &vault.location(),
            access: &Access::local(),
            identity: &vault.identity,
            sealed_identity: Some(&seal(&vault.identity)),
            device: &vault.device,
            pq: PqPolicy::Required,
            chunker,
        };
        init(&options, &vault.around()).unwrap();
        vault
    }

    /// Gives this vault the device and the owner of another one's machine: the device is registered here too.
    pub fn adopt(&mut self, other: &TestVault) {
        let mut vault = self.open().unwrap();
        enroll(&mut vault, &self.identity, &other.device, &self.around()).unwrap();
    }

    /// The directory of the vault.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("vault")
    }

    /// Where the vault is, as a user would say it.
    pub fn location(&self) -> Location {
        Location::parse(self.root()).unwrap()
    }

    /// What this machine remembers of the vault.
    pub fn local(&self) -> LocalPaths {
        let machine = self.directory.path().join(format!("machine-{}", self.machine));
        local_below(&machine)
    }

    /// Goes on from a machine that has never seen the vault: nothing is remembered, nothing cached.
    pub fn move_to_new_machine(&mut self) {
        self.machine += 1;
    }

    /// What an operation needs from outside.
    pub fn around(&self) -> Surroundings<'_> {
        Surroundings { clock: &*self.clock, random: &self.random, progress: &self.progress, stop: &self.stop }
    }

    /// Opens the vault.
    pub fn open(&self) -> Result<Vault, Error> {
        Vault::open(self.location().open(&Access::local())?, self.local())
    }

    /// Opens the vault through another store over its directory: one that fails on demand.
    pub fn open_through(&self, store: Box<dyn Store>) -> Result<Vault, Error> {
        let vault_id = self.location().open(&Access::local())?.vault_id;
        Vault::open(OpenStore { store, vault_id }, self.local())
    }

    /// The options of a backup of these paths, with nothing left out.
    pub fn options(paths: &[&Path]) -> BackupOptions {
        BackupOptions {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            host: "test".to_owned(),
            program: "vault-tests".to_owned(),
            ..BackupOptions::default()
        }
    }

    /// Backs up with these options.
    pub fn try_backup(&self, options: &BackupOptions) -> Result<BackupSummary, Error> {
        backup(&mut self.open()?, &self.device, options, &self.around())
    }

    /// Backs up one directory, which must succeed.
    pub fn backup(&self, path: &Path) -> BackupSummary {
        self.try_backup(&Self::options(&[path])).unwrap()
    }

    /// Forgets snapshots, whatever they are.
    pub fn forget(&self, snapshots: &[SnapshotId]) {
        let mut snapshots = snapshots.to_vec();
        snapshots.sort_unstable();
        self.append(Body::Forget(Forget { snapshots }));
    }

    /// Appends a statement of the device, whatever it says.
    pub fn append(&self, body: Body) {
        let vault = self.open().unwrap();
        let state = vault.state();
        let payload = state.draft(self.device.device_id(), self.clock.now(), body);
        let stored = log::sign(&payload, self.device.signing()).unwrap();
        state.verify(&stored).unwrap();
        let put = vault.store().put_new(&ObjectKey::Statement(state.next_seq()), &stored).unwrap();
        assert_eq!(put, Put::Created);
    }

    /// Restores a snapshot into `target`.
    pub fn try_restore(&self, snapshot: SnapshotId, target: &Path) -> Result<RestoreSummary, Error> {
        self.try_restore_as(&Self::restore_options(snapshot, target))
    }

    /// The options of a restore of all there is into an empty directory.
    pub fn restore_options(snapshot: SnapshotId, target: &Path) -> RestoreOptions {
        RestoreOptions { owners: crate::is_root(), ..RestoreOptions::new(snapshot, target) }
    }

    /// Restores with these options.
    pub fn try_restore_as(&self, options: &RestoreOptions) -> Result<RestoreSummary, Error> {
        let vault = self.open()?;
        let reader = vault.unlock(&self.identity)?;
        restore(&vault, &reader, options, &self.around())
    }

    /// Restores a snapshot into a new directory, which must succeed without a single complaint.
    pub fn restore(&self, snapshot: SnapshotId) -> TempDir {
        let target = tempfile::tempdir().unwrap();
        let before = self.progress.notices().len();

        let summary = self.try_restore(snapshot, target.path()).unwrap();

        let notices = self.progress.notices().split_off(before);
        assert_eq!((summary.failed_entries, summary.failed_attributes), (0, 0), "{notices:?}");
        assert!(!summary.interrupted && notices.is_empty(), "{notices:?}");
        target
    }

    /// Verifies everything there is, data included.
    pub fn try_check(&self) -> Result<CheckSummary, Error> {
        let vault = self.open()?;
        let reader = vault.unlock(&self.identity)?;
        check(&vault, &reader, CheckOptions { read_data: true, ..CheckOptions::default() }, &self.around())
    }

    /// Verifies everything there is; nothing may be wrong.
    pub fn assert_clean(&self) -> CheckSummary {
        let summary = self.try_check().unwrap();
        assert!(summary.findings.is_empty(), "{:#?}", summary.findings);
        assert!(!summary.interrupted);
        summary
    }
}

/// The identity as it is stored in the vault.
pub fn seal(identity: &UserIdentity) -> Vec<u8> {
    let passphrase = SecretString::from(PASSPHRASE.to_owned());
    identity.seal_with_passphrase(&passphrase, Some(WORK_FACTOR)).unwrap()
}
