//! A store in a directory: on a local disk, a removable one, or a mounted share.
//!
//! Whatever is interrupted, and whenever, every name of an object stands for a whole object. Paths are those of
//! [`ObjectKey::path`]; directories are made with mode 0700 and files with 0600. Storing an object goes like this:
//!
//! 1. Make the directories above it and flush each one's parent, unless this process has done so before.
//! 2. If something has the name: check it, go to 7.
//! 3. Create a temporary file, `.tmp-…`, in the same directory.
//! 4. Write all bytes.
//! 5. Flush the file. A failed flush is never retried: remove the file, report the error.
//! 6. Rename the file without replacing. If another writer was faster: remove the file, check theirs.
//! 7. Flush the directory. Also when the object was there: who put it may have been killed just before this step.
//!
//! A crash leaves at most a temporary file, which nothing reads and [`DirectoryStore::sweep_temporary`] removes.
//!
//! A new vault becomes one with the last step of its making, the writing of `VAULT`. See [`DirectoryStore::create`].

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::durable;
use super::walk::{key_of, present, remove_file, walk};
use super::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError, vault_file};
use crate::id::VaultId;
use crate::time::Timestamp;

/// Keeps objects as files in a directory.
#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
    vault_id: VaultId,
    /// Directories that exist for sure after a crash: step 1 is done.
    durable_directories: Mutex<BTreeSet<PathBuf>>,
}

impl DirectoryStore {
    /// Opens the vault in a directory. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAVault`], [`StoreError::NewerFormat`] or [`StoreError::MalformedVaultFile`] by what the file `VAULT`
    /// says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::new(path, vault_file::read(path)?))
    }

    pub(super) fn new(root: &Path, vault_id: VaultId) -> Self {
        Self { root: root.to_path_buf(), vault_id, durable_directories: Mutex::default() }
    }

    /// The id of the vault, as the file `VAULT` has it. Proven only by the genesis statement.
    pub fn vault_id(&self) -> VaultId {
        self.vault_id
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.path())
    }

    fn not_found(&self, key: &ObjectKey) -> StoreError {
        StoreError::NotFound { location: self.description(), key: *key }
    }

    /// Fails if the vault is gone: a disk that is not mounted must not look like a vault without objects.
    ///
    /// Every vault has statements. Other directories may be lacking: some copying tools leave empty ones out.
    fn check_present(&self) -> Result<(), StoreError> {
        if self.root.join(ObjectKind::Statement.directory()).is_dir() {
            return Ok(());
        }
        Err(StoreError::Gone { path: self.root.clone() })
    }

    /// Step 1 for one directory: below the root, and with a parent that is durable.
    pub(super) fn ensure_directory(&self, directory: &Path) -> Result<(), StoreError> {
        let mut durable = self.durable_directories.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.contains(directory) {
            return Ok(());
        }
        durable::make_directory(directory)?;
        // Also if it existed: another process may have made it a moment ago, and not flushed it yet.
        durable::sync_directory(directory.parent().unwrap_or(&self.root))?;
        durable.insert(directory.to_path_buf());
        Ok(())
    }

    /// Step 2: whether an object of that name exists, after comparing what can be compared.
    fn check_existing(&self, key: &ObjectKey, expected: u64) -> Result<bool, StoreError> {
        let size = match self.size(key) {
            Ok(size) => size,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if key.kind().is_content_addressed() && size != expected {
            return Err(StoreError::Damaged { location: self.description(), key: *key, expected, size });
        }
        Ok(true)
    }

    /// Opens an object for reading, and returns its length in bytes.
    fn open_object(&self, key: &ObjectKey) -> Result<(File, u64), StoreError> {
        let path = self.path(key);
        // Objects are regular files. Without these flags a link could lead elsewhere, and a named pipe would wait for ever.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
        let file = file.map_err(|source| self.read_error(key, source))?;
        let metadata = file.metadata().map_err(|source| self.read_error(key, source))?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path });
        }
        Ok((file, metadata.len()))
    }

    fn metadata(&self, key: &ObjectKey) -> Result<Metadata, StoreError> {
        let path = self.path(key);
        let metadata = fs::symlink_metadata(&path).map_err(|source| self.read_error(key, source))?;
        if metadata.is_file() { Ok(metadata) } else { Err(StoreError::NotAFile { path }) }
    }

    fn read_error(&self, key: &ObjectKey, source: io::Error) -> StoreError {
        if source.kind() == io::ErrorKind::NotFound {
            return self.check_present().err().unwrap_or_else(|| self.not_found(key));
        }
        if durable::is_errno(&source, Errno::LOOP) || durable::is_errno(&source, Errno::NXIO) {
            return StoreError::NotAFile { path: self.path(key) };
        }
        StoreError::from_io("read", &self.path(key), source)
    }
}

impl Store for DirectoryStore {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        let path = self.path(key);
        let top = self.root.join(key.kind().directory());
        let directory = path.parent().unwrap_or(&top);
        // [1]
        self.check_present()?;
        self.ensure_directory(&top)?;
        self.ensure_directory(directory)?;
        // [2]
        let size = bytes.len() as u64;
        let put = if self.check_existing(key, size)? {
            Put::AlreadyThere
        } else {
            // [3] to [6]
            durable::write_new(directory, &path, bytes)?
        };
        if put == Put::AlreadyThere && !self.check_existing(key, size)? {
            return Err(self.not_found(key));
        }
        // [7]
        durable::sync_directory(directory)?;
        Ok(put)
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        let (file, size) = self.open_object(key)?;
        if size > limit {
            return Err(StoreError::TooLarge { location: self.description(), key: *key, size, limit });
        }
        let mut bytes = allocate(size).map_err(|source| self.read_error(key, source))?;
        // Never more than was looked at, should the file grow under our hands.
        file.take(size).read_to_end(&mut bytes).map_err(|source| self.read_error(key, source))?;
        Ok(bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let (file, size) = self.open_object(key)?;
        let wanted_end = offset.saturating_add(u64::from(length));
        let truncated = StoreError::Truncated { location: self.description(), key: *key, wanted_end, size };
        if wanted_end > size {
            return Err(truncated);
        }
        let mut bytes = allocate(u64::from(length)).map_err(|source| self.read_error(key, source))?;
        bytes.resize(length as usize, 0);
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(truncated),
            Err(source) => Err(self.read_error(key, source)),
        }
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        Ok(self.metadata(key)?.len())
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        let metadata = self.metadata(key)?;
        let nanos = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
        Ok(Timestamp::new(metadata.mtime(), nanos))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.check_present()?;
        let top = self.root.join(kind.directory());
        for entry in walk(&top, kind) {
            let Some(entry) = present(entry, &top)? else { continue };
            let Some(key) = key_of(&entry, kind).filter(|_| entry.file_type().is_file()) else { continue };
            let Some(metadata) = present(entry.metadata(), entry.path())? else { continue };
            if each(key, metadata.len()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        if remove_file(&self.path(key))? {
            return Ok(Removal::Done);
        }
        self.check_present()?;
        Err(self.not_found(key))
    }

    fn description(&self) -> String {
        self.root.display().to_string()
    }
}

/// A buffer for `size` bytes, or an error where `Vec` would abort the process.
fn allocate(size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = usize::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.try_reserve_exact(size)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::id::Seq;
    use crate::store::testing::{PACK, listed, new_vault, vault};
    use crate::store::{StoreErrorKind, conformance};

    #[test]
    fn it_is_a_store() {
        let roots = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        conformance::suite(&|| {
            let name = count.fetch_add(1, Ordering::Relaxed).to_string();
            Box::new(new_vault(&roots.path().join(name)))
        });
    }

    #[test]
    fn two_processes_see_one_log() {
        let (root, store) = vault();
        let other = DirectoryStore::open(root.path()).unwrap();
        let key = ObjectKey::Statement(Seq(0));

        assert_eq!(store.put_new(&key, b"mine").unwrap(), Put::Created);
        assert_eq!(other.put_new(&key, b"theirs").unwrap(), Put::AlreadyThere);

        assert_eq!(other.get(&key, 10).unwrap(), b"mine");
    }

    #[test]
    fn links_and_pipes_are_neither_read_nor_waited_for() {
        let (root, store) = vault();
        symlink("/etc/hostname", root.path().join("log/0000000000")).unwrap();
        symlink("nowhere", root.path().join("log/0000000001")).unwrap();
        fs::create_dir(root.path().join("log/0000000002")).unwrap();
        let pipe = root.path().join("log/0000000003");
        let made = Command::new("mkfifo").arg(&pipe).status();
        let last = if made.is_ok_and(|status| status.success()) { 3 } else { 2 };

        for seq in 0..=last {
            let key = ObjectKey::Statement(Seq(seq));
            assert!(matches!(store.get(&key, 100), Err(StoreError::NotAFile { .. })), "{key}");
            assert!(matches!(store.size(&key), Err(StoreError::NotAFile { .. })), "{key}");
            assert!(matches!(store.put_new(&key, b"x"), Err(StoreError::NotAFile { .. })), "{key}");
        }
    }

    #[test]
    fn a_large_sparse_object_is_refused_before_it_is_read() {
        let (root, store) = vault();
        let key = ObjectKey::Statement(Seq(0));
        File::create(root.path().join(key.path())).unwrap().set_len(1 << 40).unwrap();

        assert!(matches!(store.get(&key, 1 << 20), Err(StoreError::TooLarge { .. })));
        assert_eq!(store.get_range(&key, (1 << 40) - 3, 3).unwrap(), [0; 3]);
    }

    #[test]
    fn a_vault_that_went_away_is_not_an_empty_one() {
        let (root, store) = vault();
        assert_eq!(store.put_new(&PACK, b"whole").unwrap(), Put::Created);
        fs::rename(root.path(), root.path().with_extension("away")).unwrap();
        fs::create_dir(root.path()).unwrap();

        let results = [
            store.get(&PACK, 100).err(),
            store.size(&PACK).err(),
            store.remove(&PACK).err(),
            store.put_new(&PACK, b"whole").err(),
            store.list(ObjectKind::Pack, &mut |_, _| ControlFlow::Continue(())).err(),
        ];
        for error in results {
            assert!(matches!(error, Some(StoreError::Gone { .. })), "{error:?}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing was written into the mount point");
        fs::remove_dir_all(root.path().with_extension("away")).unwrap();
    }

    #[test]
    fn empty_directories_that_a_copy_left_out_are_made_again() {
        let (root, store) = vault();
        for kind in [ObjectKind::Pack, ObjectKind::Index, ObjectKind::Envelope, ObjectKind::Identity] {
            fs::remove_dir(root.path().join(kind.directory())).unwrap();
        }
        drop(store);
        let store = DirectoryStore::open(root.path()).unwrap();

        assert!(listed(&store, ObjectKind::Pack).is_empty());
        assert_eq!(store.get(&PACK, 100).unwrap_err().kind(), StoreErrorKind::Missing);
        assert_eq!(store.put_new(&PACK, b"whole").unwrap(), Put::Created);
        assert_eq!(listed(&store, ObjectKind::Pack), [PACK]);
    }

    /// A small file system of its own, unmounted when dropped.
    struct SmallDisk(TempDir);

    impl SmallDisk {
        /// `None` where mounting is not allowed.
        fn mount() -> Option<Self> {
            let place = tempfile::tempdir().unwrap();
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=256k", "vault-test"])
                .arg(place.path())
                .output()
                .is_ok_and(|output| output.status.success());
            if !mounted {
                eprintln!("skipped: cannot mount a small file system");
            }
            mounted.then_some(Self(place))
        }

        fn make_read_only(&self) {
            let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status();
            assert!(remount.unwrap().success());
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }

    #[test]
    fn a_full_disk_is_reported_and_leaves_nothing_behind() {
        let Some(disk) = SmallDisk::mount() else { return };
        let store = new_vault(&disk.0.path().join("vault"));
        let large = vec![7; 1 << 20];

        let error = store.put_new(&PACK, &large).unwrap_err();

        assert_eq!(error.kind(), StoreErrorKind::Full, "{error:?}");
        assert!(error.to_string().contains(&PACK.path()), "{error}");
        assert!(listed(&store, ObjectKind::Pack).is_empty());
        assert_eq!(fs::read_dir(store.root().join("packs/ab")).unwrap().count(), 0);
        assert_eq!(stored_once_free(&store, &large[..1000]), Put::Created);
    }

    /// Stores what fits: a process that another test starts holds a copy of every open file until it runs its program, and
    /// so for a moment the space of the one that was removed.
    fn stored_once_free(store: &DirectoryStore, bytes: &[u8]) -> Put {
        for _ in 0..1_000_000 {
            match store.put_new(&PACK, bytes) {
                Err(error) if error.kind() == StoreErrorKind::Full => thread::yield_now(),
                other => return other.unwrap(),
            }
        }
        panic!("the space of what was removed is still taken");
    }

    #[test]
    fn a_read_only_disk_can_be_read() {
        let Some(disk) = SmallDisk::mount() else { return };
        let root = disk.0.path().join("vault");
        assert_eq!(new_vault(&root).put_new(&PACK, b"whole").unwrap(), Put::Created);
        disk.make_read_only();

        let store = DirectoryStore::open(&root).unwrap();

        assert_eq!(store.get(&PACK, 100).unwrap(), b"whole");
        assert_eq!(store.put_new(&PACK, b"whole").unwrap(), Put::AlreadyThere);
        let new = store.put_new(&ObjectKey::Statement(Seq(0)), b"x");
        assert!(matches!(new, Err(StoreError::ReadOnly { .. })), "{new:?}");
        assert!(matches!(store.remove(&PACK), Err(StoreError::ReadOnly { .. })));
        assert!(matches!(
            DirectoryStore::create(&disk.0.path().join("second"), VaultId::new([2; 32])),
            Err(StoreError::ReadOnly { .. })
        ));
    }

    #[test]
    fn a_directory_that_may_not_be_written_is_reported() {
        use std::os::unix::fs::PermissionsExt;

        let (root, store) = vault();
        let log = root.path().join("log");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o500)).unwrap();
        if File::create(log.join("probe")).is_ok() {
            eprintln!("skipped: this user may write everywhere");
            return;
        }

        let error = store.put_new(&ObjectKey::Statement(Seq(0)), b"x").unwrap_err();

        assert!(matches!(error, StoreError::Permission { .. }), "{error:?}");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
