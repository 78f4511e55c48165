//! A vault with a snapshot, and a directory to restore it to.
//!
//! Each case has its own; nothing is restored before the test says so.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use vault_core::id::SnapshotId;
use vault_core::ops::restore::{Overwrite, RestoreOptions, RestoreSummary, restore};
use vault_core::store::DirectoryStore;
use vault_core::store::fault::{FaultyStore, Operation};

use crate::{TestVault, Tree, TreeFixture};

/// A vault with a snapshot of a tree, and a place to restore to.
pub struct Case {
    /// What was backed up.
    pub tree: TreeFixture,
    /// The vault.
    pub vault: TestVault,
    /// The snapshot of the tree.
    pub snapshot: SnapshotId,
    /// A directory for the test.
    pub work: TempDir,
}

impl Case {
    /// Backs a tree up.
    pub fn new(tree: TreeFixture) -> Self {
        let vault = TestVault::with_small_chunks();
        let snapshot = vault.backup(&tree.path()).snapshot;
        Self { tree, vault, snapshot, work: TempDir::new().unwrap() }
    }

    /// Where to restore to.
    pub fn target(&self) -> PathBuf {
        self.work.path().join("target")
    }

    /// A target in which everything was restored.
    #[must_use]
    pub fn restored(self) -> Self {
        self.vault.try_restore(self.snapshot, &self.target()).unwrap();
        self
    }

    /// The options of a restore over what is there.
    pub fn options(&self, overwrite: Overwrite) -> RestoreOptions {
        RestoreOptions {
            overwrite: Some(overwrite),
            ..TestVault::restore_options(self.snapshot, &self.target())
        }
    }

    /// Restores, which must succeed.
    pub fn run(&self, options: &RestoreOptions) -> RestoreSummary {
        let before = self.vault.progress.notices().len();
        let summary = self.vault.try_restore_as(options).unwrap();
        let notices = self.vault.progress.notices().split_off(before);
        assert_eq!((summary.failed_entries, summary.failed_attributes), (0, 0), "{notices:?}");
        summary
    }

    /// What is in the target.
    pub fn names(&self) -> Vec<String> {
        let tree = Tree::scan(&self.target());
        tree.entries().keys().map(|path| path.to_str().unwrap().to_owned()).skip(1).collect()
    }

    /// Restores, and returns the bytes of data that were fetched from packs.
    pub fn fetched(&self, options: &RestoreOptions) -> u64 {
        let store = Arc::new(FaultyStore::new(DirectoryStore::open(&self.vault.root()).unwrap()));
        let opened = self.vault.open_through(Box::new(Arc::clone(&store))).unwrap();
        let reader = opened.unlock(&self.vault.identity).unwrap();
        restore(&opened, &reader, options, &self.vault.around()).unwrap();
        let bytes = |operation: &Operation| match operation {
            Operation::GetRange(_, offset, length) if *offset > 0 => u64::from(*length),
            _ => 0,
        };
        store.operations().iter().map(bytes).sum()
    }
}

/// A tree with a few of everything.
pub fn small() -> TreeFixture {
    let tree = TreeFixture::new();
    tree.file("a", "a").file("dir/b", "b").file("dir/deep/c", "c").symlink("link", "a").dir("empty");
    tree
}
