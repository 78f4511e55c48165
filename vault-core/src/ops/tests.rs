//! The verbs on a vault that is on a server, one that loses answers among others.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::backup::{BackupOptions, backup};
use super::check::{CheckOptions, check};
use super::init::{InitOptions, init};
use super::restore::{RestoreOptions, restore};
use super::{Stop, Surroundings};
use crate::chunk::cut::Params;
use crate::crypto::random::{FixedRandom, SystemRandom};
use crate::keys::device::DeviceKeys;
use crate::keys::identity_file::UserIdentity;
use crate::log::PqPolicy;
use crate::net::testing::fake::Fake;
use crate::net::testing::{NOW, World};
use crate::progress::Silent;
use crate::store::location::{Access, Location};
use crate::time::FixedClock;
use crate::vault::{LocalPaths, Vault};

static GO_ON: Stop = Stop::new();
const CLOCK: FixedClock = FixedClock(NOW);

fn local(root: &Path) -> LocalPaths {
    LocalPaths { state: root.join("state"), cache: root.join("cache") }
}

/// Files that make several packs.
fn write_source(root: &Path) {
    fs::create_dir_all(root.join("source/deep")).unwrap();
    for number in 0..3_u8 {
        let mut noise = vec![0; 15 << 20];
        blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut noise);
        fs::write(root.join(format!("source/deep/{number}")), noise).unwrap();
    }
    fs::write(root.join("source/letter"), "Dear friend,").unwrap();
}

/// Makes a vault on a server, backs up into it, restores from it on another machine, and checks it.
fn backs_up_and_restores(losing_every: usize) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let (random, quiet) = (SystemRandom::new(), Silent);
    let around = Surroundings { clock: &CLOCK, random: &random, progress: &quiet, stop: &GO_ON };
    let identity = UserIdentity::generate(&FixedRandom::new(1)).unwrap();
    let device = DeviceKeys::generate(&FixedRandom::new(2)).unwrap();
    let (fake, server) = Fake::start();
    let access = Access::to(fake.client(&server, &World::default()));
    let here = Location::parse(server.url().to_string()).unwrap();
    write_source(root);

    let made = init(
        &InitOptions {
            location: &here,
            access: &access,
            identity: &identity,
            sealed_identity: None,
            device: &device,
            pq: PqPolicy::Required,
            chunker: Params::default(),
        },
        &around,
    );
    let location = here.of_vault(made.unwrap().vault);
    fake.loses.store(losing_every, Ordering::Relaxed);
    let mut vault = Vault::open(location.open(&access).unwrap(), local(root)).unwrap();
    let options = BackupOptions {
        paths: vec![root.join("source")],
        host: "laptop".to_owned(),
        program: "test".to_owned(),
        ..BackupOptions::default()
    };
    let saved = backup(&mut vault, &device, &options, &around).unwrap();

    let access = Access::to(fake.client(&server, &World::default()));
    let vault = Vault::open(location.open(&access).unwrap(), local(&root.join("elsewhere"))).unwrap();
    let reader = vault.unlock(&identity).unwrap();
    let target = root.join("restored");
    restore(&vault, &reader, &RestoreOptions::new(saved.snapshot, &target), &around).unwrap();
    for name in ["letter", "deep/0", "deep/2"] {
        assert!(fs::read(target.join(name)).unwrap() == fs::read(root.join("source").join(name)).unwrap());
    }
    let options = CheckOptions { read_data: true, ..CheckOptions::default() };
    let checked = check(&vault, &reader, options, &around).unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}

#[test]
fn a_vault_on_a_server_is_a_vault() {
    backs_up_and_restores(0);
}

#[test]
fn a_server_that_loses_every_fifth_answer_loses_nothing_else() {
    backs_up_and_restores(5);
}
