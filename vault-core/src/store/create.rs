//! Making a vault in a directory.
//!
//! The file `VAULT` is written last, so that a crash on the way leaves no vault, and what it leaves does not stand in the
//! way of another attempt. Nothing of anyone else's is ever removed, and never a pack or an index object.

use std::fs::File;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::directory::DirectoryStore;
use super::durable::{self, make_directory, sync_directory, sync_parent_of};
use super::walk::{is_temporary, key_of, present, remove_file};
use super::{Locked, ObjectKind, Put, StoreError, vault_file};
use crate::id::VaultId;

/// What the root of a fresh file system may hold, and a vault there may live beside.
const LOST_AND_FOUND: &str = "lost+found";

/// A directory that becomes a vault by [`Self::publish`]; dropped before, it is none.
#[derive(Debug)]
#[must_use = "the directory is a vault only once it is published"]
pub struct UnpublishedDirectory {
    store: DirectoryStore,
    /// Held until published: keeps two processes from making two vaults in one place.
    _lock: Locked,
}

impl DirectoryStore {
    /// Starts to make a vault in a directory, which is made too unless it exists; its parent must exist.
    ///
    /// What an attempt that was never published left is removed: if there are only things with names of ours, and no pack
    /// and no index object among them, nothing in them can be anybody's backup.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if there is a vault, [`StoreError::NotEmpty`] if there is anything else,
    /// [`StoreError::Busy`] if another process is at the same.
    pub fn create(path: &Path, vault_id: VaultId) -> Result<UnpublishedDirectory, StoreError> {
        let is_new = make_directory(path)?;
        let lock = lock(path)?;
        for leftover in leftovers(path)? {
            remove_file(&leftover)?;
        }
        match sync_parent_of(path) {
            // The parent of a directory made by someone else need not be ours to read.
            Err(StoreError::Permission { .. }) if !is_new => {}
            result => result?,
        }
        let store = DirectoryStore::new(path, vault_id);
        for kind in ObjectKind::ALL {
            store.ensure_directory(&path.join(kind.directory()))?;
        }
        Ok(UnpublishedDirectory { store, _lock: lock })
    }
}

impl UnpublishedDirectory {
    /// The store, for the objects that the new vault is to start with.
    pub fn store(&self) -> &DirectoryStore {
        &self.store
    }

    /// Makes the directory a vault, with all the objects that have been put.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if there is a file `VAULT` by now.
    pub fn publish(self) -> Result<DirectoryStore, StoreError> {
        let root = self.store.root();
        let text = vault_file::text(&self.store.vault_id());
        match durable::write_new(root, &root.join(vault_file::NAME), text.as_bytes())? {
            Put::Created => {}
            Put::AlreadyThere => return Err(StoreError::Exists { path: root.to_path_buf() }),
        }
        sync_directory(root)?;
        Ok(self.store)
    }
}

/// Takes the lock on a directory, which the system gives back when the process ends in whatever way.
///
/// Some network file systems have no locks on directories. Then the user is trusted to start one `init` at a time.
fn lock(path: &Path) -> Result<Locked, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::from_io("open", path, source))?;
    Locked::take(file).ok_or_else(|| StoreError::Busy { path: path.to_path_buf() })
}

/// The files that an unpublished attempt left. An error if anything else is in the directory.
fn leftovers(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if root.join(vault_file::NAME).symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: root.to_path_buf() });
    }
    let foreign =
        |entry: &Path| Err(StoreError::NotEmpty { path: root.to_path_buf(), entry: entry.to_path_buf() });
    let mut files = Vec::new();
    for entry in WalkDir::new(root).min_depth(1).max_depth(1).sort_by_file_name() {
        let Some(entry) = present(entry, root)? else { continue };
        let kind = ObjectKind::ALL.into_iter().find(|kind| entry.file_name() == kind.directory());
        match kind {
            _ if is_temporary(&entry) => files.push(entry.into_path()),
            Some(kind) if entry.file_type().is_dir() => {
                if let Some(other) = leftovers_of_kind(entry.path(), kind, &mut files)? {
                    return foreign(&other);
                }
            }
            None if entry.file_name() == LOST_AND_FOUND => {}
            _ => return foreign(entry.path()),
        }
    }
    Ok(files)
}

/// Adds the files below one directory of the layout to `files`; returns the first thing that no unpublished attempt leaves.
fn leftovers_of_kind(
    top: &Path,
    kind: ObjectKind,
    files: &mut Vec<PathBuf>,
) -> Result<Option<PathBuf>, StoreError> {
    for entry in WalkDir::new(top).min_depth(1).max_depth(kind.depth()) {
        let Some(entry) = present(entry, top)? else { continue };
        let is_object = entry.file_type().is_file()
            && entry.depth() == kind.depth()
            && !kind.is_content_addressed()
            && key_of(&entry, kind).is_some();
        let is_inner_directory = entry.file_type().is_dir() && entry.depth() < kind.depth();
        if is_object || is_temporary(&entry) {
            files.push(entry.into_path());
        } else if !is_inner_directory {
            return Ok(Some(entry.into_path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::id::{Epoch, IndexId, PackId, Seq, UserId};
    use crate::store::{ObjectKey, Store};

    const ID: VaultId = VaultId::new([9; 32]);
    const GENESIS: ObjectKey = ObjectKey::Statement(Seq::GENESIS);

    /// A directory in which the making of a vault was interrupted after these objects.
    fn interrupted(keys: &[ObjectKey]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let new = DirectoryStore::create(root.path(), VaultId::new([8; 32])).unwrap();
        for key in keys {
            assert_eq!(new.store().put_new(key, b"from the first attempt").unwrap(), Put::Created);
        }
        root
    }

    #[test]
    fn a_vault_is_one_once_it_is_published() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("vault");

        let new = DirectoryStore::create(&root, ID).unwrap();
        assert_eq!(new.store().put_new(&GENESIS, b"genesis").unwrap(), Put::Created);
        assert!(matches!(DirectoryStore::open(&root), Err(StoreError::NotAVault { .. })));
        new.publish().unwrap();

        let store = DirectoryStore::open(&root).unwrap();
        assert_eq!(store.vault_id(), ID);
        assert_eq!(store.get(&GENESIS, 100).unwrap(), b"genesis");
    }

    #[test]
    fn an_interrupted_attempt_is_cleared_away() {
        let envelope = ObjectKey::envelope(Epoch(1), [5; 16]);
        let identity = ObjectKey::Identity(UserId::new([6; 16]));
        let root = interrupted(&[GENESIS, envelope, identity]);
        for path in [".tmp-VAULT", "log/.tmp-1", "packs/.tmp-2"] {
            fs::write(root.path().join(path), "half").unwrap();
        }

        let new = DirectoryStore::create(root.path(), ID).unwrap();
        assert_eq!(new.store().put_new(&GENESIS, b"second").unwrap(), Put::Created);
        let store = new.publish().unwrap();

        assert_eq!(store.get(&GENESIS, 100).unwrap(), b"second");
        assert!(store.size(&envelope).is_err() && store.size(&identity).is_err());
        assert!(!root.path().join(".tmp-VAULT").exists());
    }

    #[test]
    fn backups_are_never_cleared_away() {
        let pack = ObjectKey::Pack(PackId::new([1; 32]));
        let index = ObjectKey::Index(IndexId::new([2; 32]));
        for key in [pack, index] {
            let root = interrupted(&[GENESIS, key]);

            let again = DirectoryStore::create(root.path(), ID);

            assert!(matches!(again, Err(StoreError::NotEmpty { .. })), "{again:?}");
            assert!(root.path().join(key.path()).is_file());
            assert!(root.path().join(GENESIS.path()).is_file(), "nothing is removed before all is looked at");
        }
    }

    #[test]
    fn anything_else_in_the_directory_is_left_alone() {
        for foreign in ["notes", "log/notes", "log/000", "epochs/notes", "identities/me.age", "packs/ab/x"] {
            let root = interrupted(&[GENESIS]);
            let path = root.path().join(foreign);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "text").unwrap();

            let again = DirectoryStore::create(root.path(), ID);

            assert!(matches!(&again, Err(StoreError::NotEmpty { entry, .. }) if *entry == path), "{again:?}");
            assert!(path.is_file() && root.path().join(GENESIS.path()).is_file());
        }
    }

    #[test]
    fn links_are_left_alone() {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("0000000000"), "someone's").unwrap();
        let root = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), root.path().join("log")).unwrap();

        let new = DirectoryStore::create(root.path(), ID);

        assert!(matches!(new, Err(StoreError::NotEmpty { .. })), "{new:?}");
        assert!(elsewhere.path().join("0000000000").is_file());
    }

    #[test]
    fn the_root_of_a_fresh_file_system_will_do() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lost+found")).unwrap();

        DirectoryStore::create(root.path(), ID).unwrap().publish().unwrap();

        assert!(DirectoryStore::open(root.path()).is_ok());
    }

    #[test]
    fn a_vault_is_not_made_over_another() {
        let root = tempfile::tempdir().unwrap();
        DirectoryStore::create(root.path(), ID).unwrap().publish().unwrap();

        let again = DirectoryStore::create(root.path(), VaultId::new([7; 32]));

        assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
        assert_eq!(DirectoryStore::open(root.path()).unwrap().vault_id(), ID);
    }

    #[test]
    fn two_attempts_at_once_do_not_mix() {
        let root = tempfile::tempdir().unwrap();
        let first = DirectoryStore::create(root.path(), ID).unwrap();

        let second = DirectoryStore::create(root.path(), VaultId::new([7; 32]));

        assert!(matches!(second, Err(StoreError::Busy { .. })), "{second:?}");
        assert_eq!(first.publish().unwrap().vault_id(), ID);
    }

    #[test]
    fn missing_parents_and_files_in_the_way_are_errors() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "text").unwrap();

        for path in [parent.path().join("not/mounted"), file.clone(), file.join("below")] {
            let new = DirectoryStore::create(&path, ID);
            assert!(matches!(&new, Err(StoreError::Io { path: named, .. }) if *named == path), "{new:?}");
            assert!(matches!(DirectoryStore::open(&path), Err(StoreError::NotAVault { .. })));
        }
    }
}
