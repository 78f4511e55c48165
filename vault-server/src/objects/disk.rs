//! Objects as files of a directory on a local disk.
//!
//! ```text
//! <root>/incoming/<random>                  what is arriving
//! <root>/<vault>/<path of the object>       what is there
//! ```
//!
//! How an object becomes durable:
//!
//! ```text
//! write it to a file in incoming/, in the same file system                                     [1]
//! flush the file                                                                               [2]
//! make its directories, and flush each one's parent, unless that was done since the start      [3]
//! rename it, not over another one                                                              [4]
//! flush the directory                                                                          [5]
//! ```
//!
//! A flush that failed is never tried again: the kernel may have dropped the bytes, and say the next time that all is well. From then on
//! nothing is written. Files are for the owner only, and every path is made of ids that were parsed.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use vault_core::id::VaultId;
use vault_core::object::ObjectKey;

use super::files::{Files, System};
use super::incoming::Claim;
use super::{Found, Incoming, Objects, ObjectsError, Space};

/// The directory of what is arriving. No vault has a name like that.
const INCOMING: &str = "incoming";

/// Directories whose entries are known to be on the disk; with more, all are forgotten.
const MAX_KNOWN: usize = 100_000;

/// How many bytes of the file system stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Floor {
    /// A fiftieth of the file system, or 2 GiB if that is more.
    #[default]
    Usual,
    /// So many.
    Bytes(u64),
}

/// See the page above.
pub struct DiskObjects {
    root: PathBuf,
    floor: Floor,
    files: Arc<dyn Files>,
    is_degraded: AtomicBool,
    known: Mutex<HashSet<PathBuf>>,
    /// Bytes of the uploads on their way.
    claimed: Arc<AtomicU64>,
    /// Numbers incoming files, beside the number of the process and the time of the start.
    next: AtomicU64,
    start: u128,
}

impl std::fmt::Debug for DiskObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskObjects").field("root", &self.root).finish_non_exhaustive()
    }
}

impl DiskObjects {
    /// Opens the object store in a directory, which is made unless it is there; its parent must exist.
    pub fn open(root: &Path, floor: Floor) -> Result<Self, ObjectsError> {
        Self::with_files(root, floor, Arc::new(System))
    }

    pub(crate) fn with_files(root: &Path, floor: Floor, files: Arc<dyn Files>) -> Result<Self, ObjectsError> {
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos());
        let store = Self {
            root: root.to_path_buf(),
            floor,
            files,
            is_degraded: AtomicBool::new(false),
            known: Mutex::default(),
            claimed: Arc::default(),
            next: AtomicU64::new(0),
            start,
        };
        // The parent of a directory made by someone else need not be ours to read.
        if !root.is_dir() {
            let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
            store.ensure_directory(root, parent.unwrap_or(Path::new(".")))?;
        }
        store.ensure_directory(&root.join(INCOMING), root)?;
        Ok(store)
    }

    /// Whether a flush has failed.
    pub fn is_degraded(&self) -> bool {
        self.is_degraded.load(Ordering::SeqCst)
    }

    fn path(&self, vault: &VaultId, key: &ObjectKey) -> PathBuf {
        self.root.join(vault.to_hex()).join(key.path())
    }

    fn check_writable(&self) -> Result<(), ObjectsError> {
        if self.is_degraded() { Err(ObjectsError::Degraded) } else { Ok(()) }
    }

    /// Turns the error of a flush into the end of all writing; but a full disk is only full, and only this object is lost.
    fn degrade(&self, what: &'static str, path: &Path, source: io::Error) -> ObjectsError {
        let error = ObjectsError::from_io(what, path, source);
        if let ObjectsError::Io { source, .. } = &error {
            self.is_degraded.store(true, Ordering::SeqCst);
            tracing::error!(path = %path.display(), error = %source, "a flush to the disk failed");
        }
        error
    }

    fn sync_directory(&self, path: &Path) -> Result<(), ObjectsError> {
        self.files.sync_directory(path).map_err(|source| self.degrade("flush the directory", path, source))
    }

    /// Makes a directory whose entry is on the disk.
    fn ensure_directory(&self, path: &Path, parent: &Path) -> Result<(), ObjectsError> {
        let is_known = |known: &HashSet<PathBuf>| known.contains(path);
        if is_known(&self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        self.files
            .make_directory(path)
            .map_err(|source| ObjectsError::from_io("create the directory", path, source))?;
        // Also where it was there: another thread may have made it a moment ago, and not flushed it yet.
        self.sync_directory(parent)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(path.to_path_buf());
        Ok(())
    }

    /// [3] The directory of an object, made durable from the root on.
    fn ensure_parents(&self, path: &Path) -> Result<PathBuf, ObjectsError> {
        let mut directory = self.root.clone();
        let below = path.parent().and_then(|parent| parent.strip_prefix(&self.root).ok());
        for component in below.into_iter().flat_map(Path::components) {
            let inner = directory.join(component);
            self.ensure_directory(&inner, &directory)?;
            directory = inner;
        }
        Ok(directory)
    }

    /// [4], [5]
    fn publish(&self, incoming: Incoming, path: &Path, damaged: bool) -> Result<(), ObjectsError> {
        let directory = self.ensure_parents(path)?;
        let failed = |source| ObjectsError::from_io("rename a file to", path, source);
        match self.files.rename_new(incoming.path(), path) {
            Ok(()) => incoming.keep(),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Err(_) if damaged => {
                self.files.rename_over(incoming.path(), path).map_err(failed)?;
                incoming.keep();
            }
            // A file without a row, or that of an upload that lost: fine if it is the same.
            Err(_) => {
                if !have_same_bytes(incoming.path(), path).map_err(failed)? {
                    return Err(ObjectsError::Exists);
                }
            }
        }
        self.sync_directory(&directory)
    }

    fn open_file(path: &Path) -> Result<File, ObjectsError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ObjectsError::NotThere),
            result => result.map_err(|source| ObjectsError::from_io("open", path, source)),
        }
    }

    /// Links an object that another store of the same file system has; `false` if that cannot be.
    fn link_from(&self, from: &Path, path: &Path) -> Result<bool, ObjectsError> {
        let directory = self.ensure_parents(path)?;
        match fs::hard_link(from, path) {
            Ok(()) => self.sync_directory(&directory).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ObjectsError::NotThere),
            Err(_) => Ok(false),
        }
    }
}

impl Objects for DiskObjects {
    fn incoming(&self, size: u64) -> Result<Incoming, ObjectsError> {
        self.check_writable()?;
        let space = self.space()?;
        // What is on its way counts in full until it is there, and then for a moment twice: never too little.
        let place = space.free.saturating_sub(space.floor);
        let claim = Claim::new(size, place, &self.claimed).ok_or(ObjectsError::StorageFull)?;
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{}-{number}", std::process::id(), self.start);
        Incoming::create(self.root.join(INCOMING).join(name), self.files.clone(), claim) // [1]
    }

    fn put(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
        incoming: Incoming,
        damaged: bool,
    ) -> Result<(), ObjectsError> {
        self.check_writable()?;
        self.files.sync(incoming.file()).map_err(|source| self.degrade("flush", incoming.path(), source))?; // [2]
        self.publish(incoming, &self.path(vault, key), damaged)
    }

    fn open(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, ObjectsError> {
        let path = self.path(vault, key);
        let mut file = Self::open_file(&path)?;
        let failed = |source| ObjectsError::from_io("read", &path, source);
        let size = file.metadata().map_err(failed)?.len();
        if size < range.end {
            return Err(ObjectsError::TooShort { size });
        }
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn size(&self, vault: &VaultId, key: &ObjectKey) -> Result<Option<u64>, ObjectsError> {
        let path = self.path(vault, key);
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ObjectsError::from_io("look at", &path, source)),
        }
    }

    fn remove(&self, vault: &VaultId, key: &ObjectKey) -> Result<(), ObjectsError> {
        let path = self.path(vault, key);
        match self.files.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| ObjectsError::from_io("remove", &path, source)),
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(Found) -> bool) -> Result<(), ObjectsError> {
        for vault in entries(&self.root)? {
            let Some(id) = name_of(&vault).and_then(|name| VaultId::parse(&name).ok()) else { continue };
            let mut directories = vec![vault.clone()];
            while let Some(directory) = directories.pop() {
                for path in entries(&directory)? {
                    // What goes meanwhile is not there, and what is no object of ours is left alone.
                    let Ok(metadata) = path.symlink_metadata() else { continue };
                    if metadata.is_dir() {
                        directories.push(path);
                        continue;
                    }
                    let below = path.strip_prefix(&vault).ok().and_then(Path::to_str);
                    let Some(key) = below.and_then(ObjectKey::parse).filter(|_| metadata.is_file()) else {
                        continue;
                    };
                    let age = age_of(&metadata);
                    if !visit(Found { vault: id, key, size: metadata.len(), age }) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn remove_incoming(&self, age: Duration) -> Result<u64, ObjectsError> {
        let mut count = 0;
        for path in entries(&self.root.join(INCOMING))? {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_file() && age_of(&metadata) > age && self.files.remove(&path).is_ok() {
                count += 1;
            }
        }
        Ok(count)
    }

    fn copy(&self, vault: &VaultId, key: &ObjectKey, to: &DiskObjects) -> Result<(), ObjectsError> {
        if to.size(vault, key)?.is_some() {
            return Ok(());
        }
        let path = self.path(vault, key);
        if to.link_from(&path, &to.path(vault, key))? {
            return Ok(());
        }
        let mut file = Self::open_file(&path)?;
        let failed = |source| ObjectsError::from_io("read", &path, source);
        let mut incoming = to.incoming(file.metadata().map_err(failed)?.len())?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => return to.put(vault, key, incoming, false),
                length => incoming.write(&buffer[..length])?,
            }
        }
    }

    fn space(&self) -> Result<Space, ObjectsError> {
        let space = rustix::fs::statvfs(&self.root)
            .map_err(|errno| ObjectsError::from_io("look at", &self.root, errno.into()))?;
        let total = space.f_blocks.saturating_mul(space.f_frsize);
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let floor = match self.floor {
            Floor::Usual => (total / 50).max(2 << 30),
            Floor::Bytes(bytes) => bytes,
        };
        Ok(Space { total, free, floor })
    }

    fn probe(&self) -> Result<(), ObjectsError> {
        let mut incoming = self.incoming(1)?;
        incoming.write(&[0])?;
        self.files.sync(incoming.file()).map_err(|source| self.degrade("flush", incoming.path(), source))
    }
}

fn age_of(metadata: &fs::Metadata) -> Duration {
    // A time to come is no age at all.
    metadata.modified().ok().and_then(|time| time.elapsed().ok()).unwrap_or_default()
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// The paths in a directory; none if it is not there, or no directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, ObjectsError> {
    let failed = |source| ObjectsError::from_io("list", directory, source);
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(failed(error)),
    }
}

fn have_same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let mut left = a.metadata()?.len();
    if left != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut of_a, mut of_b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    while left > 0 {
        let length = left.min(1 << 16) as usize;
        a.read_exact(&mut of_a[..length])?;
        b.read_exact(&mut of_b[..length])?;
        if of_a[..length] != of_b[..length] {
            return Ok(false);
        }
        left -= length as u64;
    }
    Ok(true)
}
