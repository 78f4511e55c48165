//! The disk as one side of a comparison: what a backup would take now, listed as a snapshot lists it.
//!
//! Nothing here follows a symlink, and nothing is written. What a backup would leave out is as if it were not there on either side.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, Stat};

use crate::crypto::hash::chunk_hash;
use crate::error::Error;
use crate::format::tree::{Contents, DeviceNumber, Entry, EntryKind, Hole};
use crate::id::{ChunkHash, SnapshotId};
use crate::pipeline::attributes::{Owners, file_type, xattrs_at};
use crate::pipeline::limits::raise_open_files;
use crate::pipeline::os_str;
use crate::pipeline::select::{CACHE_TAG_NAME, Omissions, Rules, Selection};
use crate::pipeline::walk::{is_cache, names_in};
use crate::progress::{Notice, Severity};
use crate::surroundings::Surroundings;
use crate::vault::reader::DomainReader;
use crate::vault::{Reader, Vault};

use super::merge::{After, Level, Listing, Merge};
use super::{DiffSummary, TreePath, Visit};
use crate::ops::list::find_path;

/// A directory on disk has no hash, and nothing asks for it.
const NO_HASH: ChunkHash = ChunkHash::new([0; 32]);

/// What to compare with the disk.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// What was before.
    pub from: TreePath,
    /// What stands on disk in its place; `None` for where it was backed up from.
    pub source: Option<PathBuf>,
    /// What a backup leaves out.
    pub omit: Omissions,
    /// Whether files are read even if their size and time are those of the snapshot.
    pub contents: bool,
    /// Whether entries that differ in nothing but their times are told too.
    pub times: bool,
}

/// Compares a snapshot, or a path in it, with the disk.
///
/// A file with another size is another one; one with the same size and another time is read and compared chunk by chunk.
pub fn diff_disk(
    vault: &Vault,
    reader: &Reader,
    options: &DiskOptions,
    around: &Surroundings<'_>,
    visit: &mut Visit<'_>,
) -> Result<DiffSummary, Error> {
    raise_open_files();
    let snapshot = &options.from.snapshot;
    let (domain, entry, path) = find_path(vault, reader, snapshot, &options.from.path)?;
    let origin = Origin::find(vault, reader, snapshot, &path)?;
    let at = options.source.as_deref().unwrap_or(&origin.path);
    // A root that is missing is a disk that is not mounted or a typing mistake; below it, something was removed.
    let must_exist = options.source.is_some() || path.as_os_str().is_empty();
    let (at, is_directory) =
        resolve(at, entry.is_directory(), must_exist).map_err(Error::local("read", at))?;
    let top = if is_directory { &*at } else { at.parent().unwrap_or(&at) };
    let rules_root = if options.source.is_some() { top } else { &origin.root };
    let disk = Disk {
        rules: Rules::new(&options.omit, rules_root)?,
        owners: Owners::default(),
        read_all: options.contents,
        domain,
        around: *around,
        failed: AtomicU64::new(0),
    };
    let (fd, stat) = open_directory(CWD.as_fd(), top).map_err(Error::local("read", top))?;
    let device = options.omit.other_file_systems.then_some(stat.st_dev);
    let mut listing = DiskListing::new(fd, (top.to_owned(), origin.selection), device, &disk.rules)
        .map_err(Error::local("read", top))?;

    let root_after = entry_of(&disk, &listing, &entry.name, &stat);
    let mut merge = Merge {
        before: domain,
        after: After::Disk(Box::new(disk)),
        times: options.times,
        summary: DiffSummary::default(),
        visit,
    };
    let level = if let (EntryKind::Directory { subtree }, true) = (&entry.kind, is_directory) {
        merge.compare_roots(&path, &entry, &root_after)?;
        let before = Listing::Snapshot(domain.entries(subtree));
        Level { path, before, after: Listing::Disk(listing), next_before: None, next_after: None }
    } else {
        let name = at.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        listing.only(name.clone());
        let path = path.parent().map(Path::to_owned).unwrap_or_default();
        let next_before = Some(Found::Entry(Entry { name, ..entry }));
        Level { path, before: Listing::Nothing, after: Listing::Disk(listing), next_before, next_after: None }
    };
    merge.run(level, around)
}

/// The path without symlinks, but for its last part unless that is to be a directory and is; tells whether it is one.
fn resolve(path: &Path, directory: bool, must_exist: bool) -> io::Result<(PathBuf, bool)> {
    if must_exist {
        path.symlink_metadata()?;
    }
    if directory && path.is_dir() {
        return Ok((path.canonicalize()?, true));
    }
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent.canonicalize()?.join(name), false)),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Where a path of a snapshot was backed up from.
struct Origin {
    root: PathBuf,
    path: PathBuf,
    selection: Arc<Selection>,
}

impl Origin {
    fn find(vault: &Vault, reader: &Reader, snapshot: &SnapshotId, path: &Path) -> Result<Self, Error> {
        let record = vault
            .state()
            .snapshot_by_id(snapshot)
            .ok_or_else(|| Error::NoSuchSnapshot { wanted: snapshot.to_hex() })?;
        let body = reader.body(record)?;
        let root = PathBuf::from(os_str(&body.root_path));
        let paths: Vec<PathBuf> = body.paths.iter().map(|path| PathBuf::from(os_str(path))).collect();
        let mut selection = Selection::recorded(&root, &paths);
        for name in path {
            // What is in the snapshot was asked for.
            selection = selection.below(name.as_encoded_bytes()).unwrap_or(Arc::new(Selection::All));
        }
        let path = if path.as_os_str().is_empty() { root.clone() } else { root.join(path) };
        Ok(Self { root, path, selection })
    }
}

/// What stands under a name.
pub(super) enum Found {
    /// Something that a backup takes.
    Entry(Entry),
    /// Something that it leaves out, or that cannot be looked at.
    LeftOut(Vec<u8>),
}

impl Found {
    pub(super) fn name(&self) -> &[u8] {
        match self {
            Self::Entry(entry) => &entry.name,
            Self::LeftOut(name) => name,
        }
    }

    pub(super) fn entry(self) -> Option<Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::LeftOut(_) => None,
        }
    }
}

/// What holds for the whole of the disk's side.
pub(super) struct Disk<'r> {
    rules: Rules,
    owners: Owners,
    read_all: bool,
    domain: DomainReader<'r>,
    around: Surroundings<'r>,
    failed: AtomicU64,
}

/// The entries of one directory on disk.
pub(super) struct DiskListing {
    fd: OwnedFd,
    path: PathBuf,
    selection: Arc<Selection>,
    device: Option<u64>,
    only_tag: bool,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl DiskListing {
    fn new(
        fd: OwnedFd,
        (path, selection): (PathBuf, Arc<Selection>),
        device: Option<u64>,
        rules: &Rules,
    ) -> io::Result<Self> {
        let names = names_in(&fd)?;
        let only_tag =
            rules.exclude_caches && names.iter().any(|name| name == CACHE_TAG_NAME) && is_cache(&fd);
        Ok(Self { fd, path, selection, device, only_tag, names: names.into_iter() })
    }

    /// Lists nothing but one name, whatever was asked for.
    fn only(&mut self, name: Vec<u8>) {
        self.selection = Arc::new(Selection::All);
        self.only_tag = false;
        self.names = vec![name].into_iter();
    }

    pub(super) fn next(&mut self, disk: &Disk<'_>) -> Option<Found> {
        loop {
            let name = self.names.next()?;
            if self.selection.below(&name).is_none() {
                continue;
            }
            let stat = match rustix::fs::statat(&self.fd, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => {
                    disk.fail(&self.path.join(os_str(&name)), "cannot be looked at", &error.into());
                    return Some(Found::LeftOut(name));
                }
            };
            if file_type(&stat) == FileType::Socket {
                continue;
            }
            if disk.leaves_out(self, &name, &stat) {
                return Some(Found::LeftOut(name));
            }
            return Some(Found::Entry(entry_of(disk, self, &name, &stat)));
        }
    }
}

impl Disk<'_> {
    pub(super) fn failed_entries(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn fail(&self, path: &Path, what: &str, error: &io::Error) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let message = format!("{what}: {error}");
        self.around.progress.notice(&Notice {
            severity: Severity::Problem,
            subject: path,
            message: &message,
        });
    }

    fn leaves_out(&self, listing: &DiskListing, name: &[u8], stat: &Stat) -> bool {
        let is_directory = file_type(stat) == FileType::Directory;
        (listing.only_tag && name != CACHE_TAG_NAME)
            || (file_type(stat) == FileType::RegularFile
                && self.rules.larger_than.is_some_and(|limit| stat.st_size as u64 > limit))
            || (is_directory && listing.device.is_some_and(|device| device != stat.st_dev))
            || (is_directory && self.rules.forbids(stat.st_dev, stat.st_ino))
            || self.rules.excludes(&listing.path, name, is_directory)
    }

    /// Whether a pattern leaves out what the snapshot has and the disk has not.
    pub(super) fn excludes(&self, listing: &DiskListing, entry: &Entry) -> bool {
        self.rules.excludes(&listing.path, &entry.name, entry.is_directory())
    }

    /// Opens a directory; `None` if that fails, which is told.
    pub(super) fn below(&self, parent: &DiskListing, name: &[u8]) -> Option<DiskListing> {
        let path = parent.path.join(os_str(name));
        let selection = parent.selection.below(name)?;
        let named = matches!(*parent.selection, Selection::Only(_));
        let opened = open_directory(parent.fd.as_fd(), Path::new(os_str(name))).and_then(|(fd, stat)| {
            let device = parent.device.map(|device| if named { stat.st_dev } else { device });
            DiskListing::new(fd, (path.clone(), selection), device, &self.rules)
        });
        opened.map_err(|error| self.fail(&path, "cannot be listed", &error)).ok()
    }

    /// Whether a file of the size that the snapshot says has other bytes; one that cannot be read is told, and taken as the same.
    pub(super) fn contents_differ(
        &self,
        listing: &DiskListing,
        before: &Entry,
        same_time: bool,
    ) -> Result<bool, Error> {
        if same_time && !self.read_all {
            return Ok(false);
        }
        let EntryKind::File { contents, holes, .. } = &before.kind else { return Ok(false) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let compared = rustix::fs::openat(&listing.fd, &before.name[..], flags, Mode::empty())
            .map_err(|error| Compare::Disk(error.into()))
            .and_then(|fd| has_contents(File::from(fd), self.domain, contents, holes));
        match compared {
            Ok(same) => Ok(!same),
            Err(Compare::Vault(error)) => Err(error),
            Err(Compare::Disk(error)) => {
                self.fail(&listing.path.join(os_str(&before.name)), "cannot be read", &error);
                Ok(false)
            }
        }
    }
}

fn open_directory(at: std::os::fd::BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, Stat)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(at, path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    Ok((fd, stat))
}

/// What stands on disk, as an entry without chunks.
fn entry_of(disk: &Disk<'_>, listing: &DiskListing, name: &[u8], stat: &Stat) -> Entry {
    let number = DeviceNumber {
        major: rustix::fs::major(stat.st_rdev as _),
        minor: rustix::fs::minor(stat.st_rdev as _),
    };
    let kind = match file_type(stat) {
        FileType::Directory => EntryKind::Directory { subtree: NO_HASH },
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&listing.fd, name, Vec::new());
            // One that vanished just now differs from any.
            EntryKind::Symlink { target: target.map(std::ffi::CString::into_bytes).unwrap_or_default() }
        }
        FileType::Fifo => EntryKind::Fifo,
        FileType::CharacterDevice => EntryKind::CharDevice(number),
        FileType::BlockDevice => EntryKind::BlockDevice(number),
        FileType::Socket => EntryKind::Socket,
        _ => EntryKind::File {
            size: stat.st_size as u64,
            contents: Contents::Chunks(Vec::new()),
            holes: Vec::new(),
        },
    };
    let xattrs = xattrs_at(listing.fd.as_fd(), if name.is_empty() { b"." } else { name }).unwrap_or_default();
    Entry {
        name: name.to_vec(),
        kind,
        metadata: disk.owners.metadata(stat, xattrs),
        link_group: None,
        changed_while_read: false,
    }
}

/// Why a comparison ended early.
enum Compare {
    Vault(Error),
    Disk(io::Error),
}

/// Whether an open file has the chunks of a snapshot's, and zeros where that has holes.
fn has_contents(
    file: File,
    domain: DomainReader<'_>,
    contents: &Contents,
    holes: &[Hole],
) -> Result<bool, Compare> {
    let mut data = DataReader { file, holes: holes.iter().copied(), hole: None, offset: 0 };
    data.hole = data.holes.next();
    let mut buffer = Vec::new();
    for chunk in domain.chunks(contents.clone()) {
        let chunk = chunk.map_err(Compare::Vault)?;
        buffer.resize(chunk.length as usize, 0);
        if !data.read(&mut buffer).map_err(Compare::Disk)? || chunk_hash(&buffer) != chunk.h {
            return Ok(false);
        }
    }
    data.read(&mut []).map_err(Compare::Disk)
}

/// Reads what lies outside of holes.
struct DataReader<H> {
    file: File,
    holes: H,
    hole: Option<Hole>,
    offset: u64,
}

impl<H: Iterator<Item = Hole>> DataReader<H> {
    /// Fills the buffer; false if the file ends before, or if a hole on the way is none.
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            match self.hole {
                Some(hole) if hole.offset <= self.offset => {
                    if !self.is_zero(hole)? {
                        return Ok(false);
                    }
                    self.offset += hole.length;
                    self.hole = self.holes.next();
                    continue;
                }
                _ if buffer.is_empty() => return Ok(true),
                _ => {}
            }
            let until = self.hole.map_or(u64::MAX, |hole| hole.offset - self.offset);
            let length = buffer.len().min(usize::try_from(until).unwrap_or(usize::MAX));
            let (part, rest) = buffer.split_at_mut(length);
            match self.file.read_exact_at(part, self.offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                result => result?,
            }
            self.offset += length as u64;
            buffer = rest;
        }
    }

    /// Whether there is nothing but zeros in a range; what the file system knows to be a hole is not read.
    fn is_zero(&self, range: Hole) -> io::Result<bool> {
        let (mut at, end) = (range.offset, range.offset + range.length);
        let mut buffer = vec![0; 64 << 10];
        while at < end {
            at = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(rustix::io::Errno::NXIO) => return Ok(true),
                // The file system cannot tell.
                Err(_) => at,
            };
            if at >= end {
                break;
            }
            let length = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let read = self.file.read_at(&mut buffer[..length], at)?;
            if read == 0 || buffer[..read].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += read as u64;
        }
        Ok(true)
    }
}
