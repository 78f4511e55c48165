//! A user who has joined a test server, with one device, and their vault there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vault_core::card::Card;
use vault_core::chunk::cut::Params;
use vault_core::crypto::random::SystemRandom;
use vault_core::crypto::secret::Secret;
use vault_core::crypto::sign::SigningKey;
use vault_core::error::Error;
use vault_core::id::{SnapshotId, VaultId};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::{self, Body, Forget, PqPolicy};
use vault_core::net::{Joined, Means, Server, Trust};
use vault_core::ops::backup::{BackupSummary, backup};
use vault_core::ops::cards::machine;
use vault_core::ops::check::{CheckOptions, check};
use vault_core::ops::init::{InitOptions, init};
use vault_core::ops::prune::{PruneOptions, PruneSummary, prune};
use vault_core::ops::restore::{RestoreSummary, restore};
use vault_core::ops::{Stop, Surroundings};
use vault_core::progress::Recording;
use vault_core::store::location::{Access, Location};
use vault_core::store::{ObjectKey, Put};
use vault_core::time::{Clock, Pace, Timestamp};
use vault_core::vault::{LocalPaths, Vault};
use vault_core::wire::invite::InviteUrl;

use crate::{TestServer, TestVault, local_below};

/// Someone who has joined.
pub struct Account {
    directory: TempDir,
    /// The user.
    pub identity: UserIdentity,
    /// Their device.
    pub device: DeviceKeys,
    /// What the operations told.
    pub progress: Recording,
    /// Set to interrupt operations.
    pub stop: Stop,
    /// Who the server says they are.
    pub joined: Joined,
    /// The entry of their card.
    pub card: Card,
    server: Arc<Server>,
    random: SystemRandom,
    machine: u32,
}

/// The clock and the patience of this machine.
struct Here(Instant);

impl Clock for Here {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::new(since.as_secs().cast_signed(), since.subsec_nanos())
    }
}

impl Pace for Here {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// What a client needs, from this machine.
pub fn means() -> Means {
    let here = Arc::new(Here(Instant::now()));
    Means {
        clock: Arc::<Here>::clone(&here),
        random: Arc::new(SystemRandom::new()),
        pace: here,
        stopped: Arc::new(|| false),
    }
}

/// Waiting in earnest.
pub fn pace() -> Box<dyn Pace> {
    Box::new(Here(Instant::now()))
}

impl Account {
    /// Joins without a limit.
    pub fn join(server: &TestServer) -> Self {
        Self::join_with_quota(server, u64::MAX / 4)
    }

    /// Joins with an invite for so many bytes.
    pub fn join_with_quota(server: &TestServer, quota: u64) -> Self {
        Self::join_by(&server.invite(quota))
    }

    /// Joins with this invite, at the server that it names.
    pub fn join_by(invite: &InviteUrl) -> Self {
        let random = SystemRandom::new();
        let identity = UserIdentity::generate(&random).unwrap();
        let device = DeviceKeys::generate(&random).unwrap();
        let root = identity.root();
        let card = Card::first(
            root.verifying_key(),
            identity.recipient().to_string(),
            vec![machine(&device, &identity.user_id())],
            1,
        );
        let entry = card.sign(root).unwrap();
        let joined = Server::of_invite(invite, means()).unwrap().join(invite, &entry).unwrap();
        let client = client_of(invite, &device, &joined);
        Self {
            directory: tempfile::tempdir().unwrap(),
            identity,
            device,
            progress: Recording::default(),
            stop: Stop::new(),
            joined,
            card,
            server: Arc::new(client),
            random,
            machine: 0,
        }
    }

    /// The server, asked by the device.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// What it takes to open vaults there.
    pub fn access(&self) -> Access {
        Access::to(Arc::clone(&self.server))
    }

    /// What an operation needs from outside.
    pub fn around<'a>(&'a self, clock: &'a dyn Clock) -> Surroundings<'a> {
        Surroundings { clock, random: &self.random, progress: &self.progress, stop: &self.stop }
    }

    /// Makes a vault on the server.
    pub fn init(&self) -> Result<VaultId, Error> {
        let options = InitOptions {
            location: &Location::Server { server: self.server.url().clone(), vault: None },
            access: &self.access(),
            identity: &self.identity,
            sealed_identity: None,
            device: &self.device,
            pq: PqPolicy::Required,
            chunker: Params::default(),
        };
        Ok(init(&options, &self.around(&Here(Instant::now())))?.vault)
    }

    /// Where a vault on the server is.
    pub fn location(&self, vault: VaultId) -> Location {
        Location::Server { server: self.server.url().clone(), vault: Some(vault) }
    }

    /// Goes on from a machine that has never seen the vault.
    pub fn move_to_new_machine(&mut self) {
        self.machine += 1;
    }

    /// Goes on from the machine of that number, which may have seen the vault.
    pub fn move_to_machine(&mut self, machine: u32) {
        self.machine = machine;
    }

    /// What this machine remembers of the vault.
    pub fn local(&self) -> LocalPaths {
        local_below(&self.path(&format!("machine-{}", self.machine)))
    }

    /// A path in a directory of their own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens a vault on the server.
    pub fn open(&self, vault: VaultId) -> Result<Vault, Error> {
        Vault::open(self.location(vault).open(&self.access())?, self.local())
    }

    /// Opens a vault on the server, over a line of so many bytes per second.
    pub fn open_slowly(&self, vault: VaultId, bytes_per_second: u64) -> Result<Vault, Error> {
        let store = self.location(vault).open(&self.access())?.limited(bytes_per_second, pace());
        Vault::open(store, self.local())
    }

    /// Backs up one directory.
    pub fn backup(&self, vault: &mut Vault, path: &Path) -> Result<BackupSummary, Error> {
        let clock = Here(Instant::now());
        backup(vault, &self.device, &TestVault::options(&[path]), &self.around(&clock))
    }

    /// Restores a snapshot.
    pub fn restore(
        &self,
        vault: &Vault,
        snapshot: SnapshotId,
        target: &Path,
    ) -> Result<RestoreSummary, Error> {
        let reader = vault.unlock(&self.identity)?;
        let clock = Here(Instant::now());
        restore(vault, &reader, &TestVault::restore_options(snapshot, target), &self.around(&clock))
    }

    /// Forgets a snapshot, whatever it is.
    pub fn forget(&self, vault: &mut Vault, snapshot: SnapshotId) {
        let body = Body::Forget(Forget { snapshots: vec![snapshot] });
        let state = vault.state();
        let payload = state.draft(self.device.device_id(), Here(Instant::now()).now(), body);
        let stored = log::sign(&payload, self.device.signing()).unwrap();
        let put = vault.store().put_new(&ObjectKey::Statement(state.next_seq()), &stored).unwrap();
        assert_eq!(put, Put::Created);
        assert!(vault.follow().unwrap());
    }

    /// Condemns everything that nothing needs, however new.
    pub fn prune(&self, vault: &mut Vault) -> PruneSummary {
        let reader = vault.unlock(&self.identity).unwrap();
        let (clock, options) =
            (Here(Instant::now()), PruneOptions { orphan_age: Duration::ZERO, dry_run: false });
        prune(vault, &reader, &self.device, &options, &self.around(&clock)).unwrap()
    }

    /// Verifies everything there is; nothing may be wrong.
    pub fn assert_clean(&self, vault: &Vault) {
        let reader = vault.unlock(&self.identity).unwrap();
        let options = CheckOptions { read_data: true, ..CheckOptions::default() };
        let checked = check(vault, &reader, options, &self.around(&Here(Instant::now()))).unwrap();
        assert!(checked.findings.is_empty() && !checked.interrupted, "{:#?}", checked.findings);
    }
}

/// The server, asked by a device.
pub fn client(server: &TestServer, device: &DeviceKeys, joined: &Joined) -> Server {
    client_of(&server.invite(0), device, joined)
}

/// The server that an invite names, asked by a device.
pub fn client_of(invite: &InviteUrl, device: &DeviceKeys, joined: &Joined) -> Server {
    let trust = invite.pin.map_or(Trust::System, Trust::Pin);
    let key = SigningKey::from_seed(Secret::new(*device.signing().seed().expose()));
    Server::new(invite.authority.clone().into(), trust, means())
        .unwrap()
        .asked_by(key)
        .with_receipt_key(joined.receipt_key)
}
