//! Copying between vaults: what arrives is what was there, once.

use std::sync::Arc;

use vault_core::error::Error;
use vault_core::id::SnapshotId;
use vault_core::ops::copy::{Copied, CopyOptions, copy};
use vault_core::store::DirectoryStore;
use vault_core::store::fault::{Fault, FaultyStore, Operation};
use vault_core::vault::Vault;
use vault_tests::{TestVault, TreeFixture, assert_same_tree, noise};

fn source() -> TreeFixture {
    let tree = TreeFixture::new();
    for number in 0..60 {
        tree.file(format!("{}/{number}", number % 4), noise(number, 3_000));
    }
    tree.file("large", noise(1_000, 9 << 20));
    tree.file("empty", Vec::new());
    tree
}

/// Two vaults and a device that both know; the second cuts in other places.
fn vaults() -> (TestVault, TestVault) {
    let from = TestVault::new();
    let to = adopting(&from);
    (from, to)
}

fn adopting(from: &TestVault) -> TestVault {
    let mut to = TestVault::with_small_chunks();
    to.adopt(from);
    to
}

fn copy_into(
    (from, to): (&TestVault, &TestVault),
    opened: &mut Vault,
    snapshots: &[SnapshotId],
) -> Result<Vec<Copied>, Error> {
    let vault = from.open()?;
    let reader = vault.unlock(&from.identity)?;
    let to_reader = opened.unlock(&to.identity)?;
    let options = CopyOptions { snapshots: snapshots.to_vec(), ..CopyOptions::default() };
    copy((&vault, &reader), (opened, &to_reader), &from.device, &options, &from.around())
}

#[test]
fn copies_restore_to_what_was_backed_up_and_are_made_once() {
    let ((from, to), tree) = (vaults(), source());
    let first = from.backup(&tree.path()).snapshot;
    tree.file("1/new", noise(7, 50_000));
    let second = from.backup(&tree.path()).snapshot;

    let copied = copy_into((&from, &to), &mut to.open().unwrap(), &[first, second]).unwrap();
    let again = copy_into((&from, &to), &mut to.open().unwrap(), &[first, second]).unwrap();

    assert!(copied.iter().all(|one| !one.was_there) && copied[1].added_bytes < copied[0].added_bytes / 10);
    assert!(again.iter().all(|one| one.was_there && one.added_bytes == 0), "{again:?}");
    assert_eq!(
        again.iter().map(|one| one.to).collect::<Vec<_>>(),
        copied.iter().map(|one| one.to).collect::<Vec<_>>()
    );
    assert_eq!(to.open().unwrap().state().snapshots().len(), 2);
    to.assert_clean();
    assert_same_tree(&tree.path(), to.restore(copied[1].to).path());
}

#[test]
fn a_file_with_a_list_of_chunks_of_its_own_is_copied_whole() {
    let (to, from, tree) = (TestVault::new(), TestVault::with_small_chunks(), TreeFixture::new());
    let mut to = to;
    to.adopt(&from);
    // In the vault with small chunks this file has thousands of them.
    tree.file("large", noise(1, 24 << 20));
    let snapshot = from.backup(&tree.path()).snapshot;

    let vault = from.open().unwrap();
    let reader = vault.unlock(&from.identity).unwrap();
    let mut opened = to.open().unwrap();
    let to_reader = opened.unlock(&to.identity).unwrap();
    let options = CopyOptions { snapshots: vec![snapshot], ..CopyOptions::default() };
    let copied =
        copy((&vault, &reader), (&mut opened, &to_reader), &from.device, &options, &to.around()).unwrap();

    to.assert_clean();
    assert_same_tree(&tree.path(), to.restore(copied[0].to).path());
}

/// The numbers of the operations that store an object.
fn puts(operations: &[Operation]) -> Vec<usize> {
    let is_put = |operation: &Operation| matches!(operation, Operation::Put(..));
    operations.iter().enumerate().filter(|(_, operation)| is_put(operation)).map(|(nth, _)| nth).collect()
}

#[test]
fn what_an_interrupted_copy_has_stored_is_not_stored_again() {
    let (from, tree) = (TestVault::new(), TreeFixture::new());
    // More than one pack.
    tree.file("large", noise(1, 36 << 20)).file("dir/small", "small");
    let first = from.backup(&tree.path()).snapshot;
    tree.file("dir/new", noise(2, 500_000));
    let snapshots = [first, from.backup(&tree.path()).snapshot];
    let through = |to: &TestVault, fault: Option<usize>| {
        let store = Arc::new(FaultyStore::new(DirectoryStore::open(&to.root()).unwrap()));
        if let Some(nth) = fault {
            store.set_fault(nth, Fault::Stop);
        }
        let outcome = to
            .open_through(Box::new(Arc::clone(&store)))
            .and_then(|mut opened| copy_into((&from, to), &mut opened, &snapshots));
        (outcome, store.operations())
    };
    let whole = adopting(&from);
    let (done, operations) = through(&whole, None);
    let added = |copied: &[Copied]| copied.iter().map(|one| one.added_bytes).sum::<u64>();
    let (whole_bytes, whole_chunks) = (added(&done.unwrap()), whole.assert_clean().chunks);
    let mut spared = Vec::new();

    let [_, second_pack, .., index, statement] = puts(&operations)[..] else { panic!("{operations:?}") };
    for nth in [second_pack, index, statement] {
        let to = adopting(&from);
        assert!(through(&to, Some(nth)).0.is_err(), "at {nth}");
        assert!(to.assert_clean().orphans > 0);
        let rest = copy_into((&from, &to), &mut to.open().unwrap(), &snapshots).unwrap();

        // Each chunk is there once, whoever stored it.
        let found = to.assert_clean();
        assert_eq!((found.chunks, found.orphans), (whole_chunks, 0), "at {nth}");
        assert_same_tree(&tree.path(), to.restore(rest[1].to).path());
        spared.push(whole_bytes - added(&rest));
    }

    // The other pack of the two that are stored at the same time, whichever it is.
    assert!((1..whole_bytes).contains(&spared[0]), "{spared:?}");
    assert_eq!(spared[1..], [whole_bytes; 2]);
}

#[test]
fn a_copy_whose_store_fails_anywhere_leaves_a_vault_that_is_clean_and_can_be_repeated() {
    let ((from, to), tree) = (vaults(), source());
    let snapshot = from.backup(&tree.path()).snapshot;
    for nth in 0.. {
        let store = FaultyStore::failing_at(DirectoryStore::open(&to.root()).unwrap(), nth, Fault::Fail);
        let outcome = to
            .open_through(Box::new(store))
            .and_then(|mut opened| copy_into((&from, &to), &mut opened, &[snapshot]));
        to.assert_clean();
        if outcome.is_ok() {
            break;
        }
        assert!(nth < 100, "{outcome:?}");
    }

    let done = copy_into((&from, &to), &mut to.open().unwrap(), &[snapshot]).unwrap();
    assert_same_tree(&tree.path(), to.restore(done[0].to).path());
}
