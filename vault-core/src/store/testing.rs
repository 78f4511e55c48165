//! Small vaults in directories, for tests: new ones, and what is in them.
//!
//! Each is in a temporary directory of its own, so that no test sees what another one does.

use std::ops::ControlFlow;
use std::path::Path;

use tempfile::TempDir;

use super::{DirectoryStore, ObjectKey, ObjectKind, Store};
use crate::id::{PackId, VaultId};

/// The name of a pack.
pub(super) const PACK: ObjectKey = ObjectKey::Pack(PackId::new([0xab; 32]));

/// A vault in a new directory.
pub(super) fn new_vault(root: &Path) -> DirectoryStore {
    DirectoryStore::create(root, VaultId::new([1; 32])).unwrap().publish().unwrap()
}

/// A vault in a directory that lives as long as the first value.
pub(super) fn vault() -> (TempDir, DirectoryStore) {
    let root = tempfile::tempdir().unwrap();
    let store = new_vault(root.path());
    (root, store)
}

/// What a list of the store tells of.
pub(super) fn listed(store: &DirectoryStore, kind: ObjectKind) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    let collect = &mut |key, _| {
        keys.push(key);
        ControlFlow::Continue(())
    };
    store.list(kind, collect).unwrap();
    keys
}
