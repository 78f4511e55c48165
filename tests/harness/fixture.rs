//! Builds trees on disk, with every kind of entry that a file system has.
//!
//! Contents come from [`noise`], so every tree is the same in every run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dev, FileType, Mode, Timespec, Timestamps, XattrFlags};
use tempfile::TempDir;

/// A tree that is being built in a temporary directory. Paths are bytes below its root.
pub struct TreeFixture {
    directory: TempDir,
}

impl Default for TreeFixture {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeFixture {
    /// An empty directory.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tree")).unwrap();
        Self { directory }
    }

    /// The root of the tree.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    /// Where an entry is on disk.
    pub fn at(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.path().join(OsStr::from_bytes(name.as_ref()))
    }

    /// Makes a directory and those above it.
    pub fn dir(&self, name: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(self.at(name)).unwrap();
        self
    }

    /// Writes a file, and makes the directories above it.
    pub fn file(&self, name: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> &Self {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    /// Writes a file of which only `parts` (offset and bytes) take room on disk.
    pub fn sparse(&self, name: impl AsRef<[u8]>, size: u64, parts: &[(u64, &[u8])]) -> &Self {
        let file = File::create(self.at(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in parts {
            file.write_all_at(bytes, *offset).unwrap();
        }
        self
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> &Self {
        std::os::unix::fs::symlink(OsStr::from_bytes(target.as_ref()), self.at(name)).unwrap();
        self
    }

    /// Gives an entry, of whatever kind, another name.
    pub fn hard_link(&self, name: impl AsRef<[u8]>, existing: impl AsRef<[u8]>) -> &Self {
        // linkat does not follow symlinks unless asked to.
        rustix::fs::linkat(CWD, self.at(existing), CWD, self.at(name), AtFlags::empty()).unwrap();
        self
    }

    /// Makes a named pipe.
    pub fn fifo(&self, name: impl AsRef<[u8]>) -> &Self {
        rustix::fs::mknodat(CWD, self.at(name), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        self
    }

    /// Makes a device node; only the superuser can.
    pub fn device(&self, name: impl AsRef<[u8]>, kind: FileType, number: Dev) -> &Self {
        rustix::fs::mknodat(CWD, self.at(name), kind, Mode::from_raw_mode(0o600), number).unwrap();
        self
    }

    /// Sets the permission bits.
    pub fn mode(&self, name: impl AsRef<[u8]>, mode: u32) -> &Self {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Sets owner and group, of a link itself too; only the superuser can.
    pub fn owner(&self, name: impl AsRef<[u8]>, uid: u32, gid: u32) -> &Self {
        std::os::unix::fs::lchown(self.at(name), Some(uid), Some(gid)).unwrap();
        self
    }

    /// Sets the time of the last change, of a link itself too. Returns whether the file system keeps it exactly.
    pub fn mtime(&self, name: impl AsRef<[u8]>, seconds: i64, nanos: i64) -> bool {
        let path = self.at(name);
        set_mtime(&path, seconds, nanos);
        let metadata = path.symlink_metadata().unwrap();
        (metadata.mtime(), metadata.mtime_nsec()) == (seconds, nanos)
    }

    /// Sets an extended attribute. Returns whether the file system has such attributes.
    pub fn xattr(&self, name: impl AsRef<[u8]>, attribute: &str, value: &[u8]) -> bool {
        rustix::fs::lsetxattr(self.at(name), attribute, value, XattrFlags::empty()).is_ok()
    }
}

/// Sets the time of the last change of an entry, of a link itself too.
pub fn set_mtime(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that do not compress, the same for the same `seed` (xorshift64*; nothing about them is secret).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// Waits until a change gets another time than any change before.
///
/// File systems take the time of a change from a clock with coarse steps: of two changes within a step nobody can tell which was first.
pub fn wait_for_next_tick(directory: &Path) {
    let probe = tempfile::NamedTempFile::new_in(directory).unwrap();
    let touched = || {
        probe.as_file().write_all_at(b"x", 0).unwrap();
        let metadata = probe.as_file().metadata().unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let first = touched();
    while touched() == first {
        std::thread::yield_now();
    }
}
