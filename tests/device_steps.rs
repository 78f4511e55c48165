//! Devices come and go: whichever step of it fails, the same command ends the work, and nobody can put keys of their own in between.
//!
//! Each story is told once for every operation of the store that it takes, with a fault at that one.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::sync::Arc;

use vault_core::crypto::random::SystemRandom;
use vault_core::error::Error;
use vault_core::id::{DeviceId, Epoch};
use vault_core::keys::device::DeviceKeys;
use vault_core::ops::backup::backup;
use vault_core::ops::cards::machine;
use vault_core::ops::enroll::{enroll, enroll_listed};
use vault_core::ops::membership::remove_device;
use vault_core::store::fault::{Fault, FaultyStore};
use vault_core::store::location::Access;
use vault_core::store::{ObjectKey, Put};
use vault_core::vault::Vault;
use vault_tests::{TestVault, TreeFixture, assert_same_tree};

/// More operations than any of the stories takes.
const MANY: usize = 100;

/// What is done with a device.
type Step = dyn Fn(&TestVault, &mut Vault, &DeviceKeys) -> Result<(), Error>;

fn device() -> DeviceKeys {
    DeviceKeys::generate(&SystemRandom::new()).unwrap()
}

fn add(of: &TestVault, vault: &mut Vault, device: &DeviceKeys) -> Result<(), Error> {
    enroll_listed(vault, &of.identity, &machine(device, &of.identity.user_id()), &of.around())
}

fn register(of: &TestVault, vault: &mut Vault, device: &DeviceKeys) -> Result<(), Error> {
    enroll(vault, &of.identity, device, &of.around())
}

fn remove(of: &TestVault, vault: &mut Vault, device: &DeviceKeys) -> Result<(), Error> {
    remove_device(vault, &of.identity, &device.device_id(), &of.around()).map(drop)
}

/// Does a step with a fault at each of its operations in turn, and then again without; `begin` makes what it begins with.
fn is_ended_by_the_next_attempt(
    vault: &TestVault,
    begin: &dyn Fn() -> DeviceKeys,
    step: &Step,
    assert_done: &dyn Fn(&Vault, &DeviceKeys),
) {
    for fault in [Fault::Fail, Fault::LoseAnswer, Fault::Stop] {
        let ended = (0..MANY).find(|number| {
            let device = begin();
            let store = vault.location().open(&Access::local()).unwrap().store;
            let store = Arc::new(FaultyStore::new(store));
            let mut open = vault.open_through(Box::new(Arc::clone(&store))).unwrap();
            let before = store.operations().len();
            store.set_fault(before + number, fault);
            let result = step(vault, &mut open, &device);
            let met = store.operations().len() > before + number;

            let mut open = vault.open().unwrap();
            if met {
                step(vault, &mut open, &device)
                    .unwrap_or_else(|error| panic!("{fault:?} at {number}, {result:?}: then {error:?}"));
            } else {
                result.unwrap();
            }
            assert_done(&vault.open().unwrap(), &device);
            !met
        });
        assert!(ended.is_some_and(|steps| steps >= 3), "{fault:?}: {ended:?}");
    }
}

fn saves(vault: &TestVault, device: &DeviceKeys) {
    let tree = TreeFixture::new();
    tree.file("letter", "Dear friend,");
    let options = TestVault::options(&[&tree.path()]);
    let saved = backup(&mut vault.open().unwrap(), device, &options, &vault.around()).unwrap();
    let target = vault.restore(saved.snapshot);
    assert_same_tree(&tree.path(), target.path());
}

#[test]
fn a_device_whose_registration_was_interrupted_is_registered_by_the_next() {
    let vault = TestVault::new();
    let is_there = |open: &Vault, device: &DeviceKeys| {
        assert!(open.knows_device(device));
        saves(&vault, device);
    };

    for step in [&add as &Step, &register] {
        is_ended_by_the_next_attempt(&vault, &device, step, &is_there);
    }
}

#[test]
fn a_device_whose_removal_was_interrupted_is_removed_by_the_next() {
    let vault = TestVault::new();
    let (stays, listed) = (device(), device());
    register(&vault, &mut vault.open().unwrap(), &stays).unwrap();
    add(&vault, &mut vault.open().unwrap(), &listed).unwrap();
    let added = || {
        let device = device();
        add(&vault, &mut vault.open().unwrap(), &device).unwrap();
        device
    };
    let is_gone = |open: &Vault, device: &DeviceKeys| assert!(!open.knows_device(device));

    is_ended_by_the_next_attempt(&vault, &added, &remove, &is_gone);

    for device in [&vault.device, &stays, &listed] {
        saves(&vault, device);
    }
}

fn envelope(vault: &Vault, epoch: u32, device: DeviceId) -> ObjectKey {
    let Epoch(now) = vault.state().epoch().unwrap();
    ObjectKey::envelope(Epoch(now + epoch), *device.as_bytes())
}

#[test]
fn an_envelope_that_somebody_else_put_is_named_by_no_statement() {
    let vault = TestVault::new();
    let mut open = vault.open().unwrap();
    let (registered, added, removed) = (device(), device(), device());
    add(&vault, &mut open, &removed).unwrap();
    let first = vault.device.device_id();
    let forged = [(0, registered.device_id()), (0, added.device_id()), (1, first)];
    for (epoch, device) in forged {
        let put = open.store().put_new(&envelope(&open, epoch, device), b"with other keys").unwrap();
        assert_eq!(put, Put::Created);
    }

    // What is sealed is stored beside it.
    add(&vault, &mut open, &added).unwrap();
    register(&vault, &mut open, &registered).unwrap();
    for device in [&vault.device, &added, &registered] {
        saves(&vault, device);
    }
    let mut open = vault.open().unwrap();
    remove(&vault, &mut open, &removed).unwrap();

    assert_eq!(open.state().epoch(), Some(Epoch(2)));
    for device in [&vault.device, &added, &registered] {
        saves(&vault, device);
    }
}
