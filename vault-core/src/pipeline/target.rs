//! Writing entries into a directory tree that is being restored.
//!
//! Everything is made relative to an open directory, must not exist before, and is never followed if it is a symlink: what a
//! snapshot contains cannot make a restore write outside its target. Attributes are set when nothing below will change any more:
//! owner first, as giving a file away takes its privileged bits, then xattrs, mode, times.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use crate::format::tree::{Entry, EntryKind, Metadata};

use super::attributes::path_at;

/// Makes a directory that only its owner may enter until it is finished, and opens it.
pub fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    open_directory(parent, name)
}

/// Opens a directory that was made before.
pub fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?)
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the target itself.
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// Opens a directory below `root` step by step, so that no symlink is followed and no path is too long.
pub fn open_below(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut directory = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    for part in path.components() {
        directory = open_directory(directory.as_fd(), part.as_os_str().as_encoded_bytes())?;
    }
    Ok(directory)
}

/// Makes an empty file.
pub fn make_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?)
}

/// Makes a link or special file.
pub fn make_special(directory: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    let name = &entry.name[..];
    match &entry.kind {
        EntryKind::Symlink { target } => rustix::fs::symlinkat(&target[..], directory, name)?,
        EntryKind::Fifo => rustix::fs::mknodat(directory, name, FileType::Fifo, mode, 0)?,
        EntryKind::Socket => rustix::fs::mknodat(directory, name, FileType::Socket, mode, 0)?,
        EntryKind::CharDevice(number) => {
            let device = rustix::fs::makedev(number.major, number.minor);
            rustix::fs::mknodat(directory, name, FileType::CharacterDevice, mode, device)?;
        }
        EntryKind::BlockDevice(number) => {
            let device = rustix::fs::makedev(number.major, number.minor);
            rustix::fs::mknodat(directory, name, FileType::BlockDevice, mode, device)?;
        }
        EntryKind::File { .. } | EntryKind::Directory { .. } => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a special file"));
        }
    }
    Ok(())
}

/// Makes another name for a file.
pub fn make_link(from: (BorrowedFd<'_>, &[u8]), to: (BorrowedFd<'_>, &[u8])) -> io::Result<()> {
    Ok(rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?)
}

/// Removes a file that could not be finished.
pub fn remove_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// An attribute that could not be set.
#[derive(Debug)]
pub struct AttributeError {
    /// Which one, as in "cannot set its …".
    pub what: String,
    /// Why not.
    pub source: io::Error,
}

/// Sets attributes as the snapshot has them.
#[derive(Debug)]
pub struct Attributes {
    owners: bool,
    users: Mutex<HashMap<Vec<u8>, Option<u32>>>,
    groups: Mutex<HashMap<Vec<u8>, Option<u32>>>,
}

impl Attributes {
    /// With `owners`, owners and groups are set too: by name where this machine knows the name, else by number.
    pub fn new(owners: bool) -> Self {
        Self { owners, users: Mutex::default(), groups: Mutex::default() }
    }

    /// Sets the attributes of an open file or directory; goes on after a failure, and returns all of them.
    pub fn set(&self, file: BorrowedFd<'_>, metadata: &Metadata) -> Vec<AttributeError> {
        let mut errors = Vec::new();
        if self.owners {
            let (user, group) = self.owner(metadata);
            note(&mut errors, "owner", rustix::fs::fchown(file, Some(user), Some(group)));
        }
        for xattr in &metadata.xattrs {
            let set = rustix::fs::fsetxattr(file, &xattr.name[..], &xattr.value, XattrFlags::empty());
            note(&mut errors, &xattr_name(&xattr.name), set);
        }
        note(&mut errors, "mode", rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode)));
        note(&mut errors, "time", rustix::fs::futimens(file, &times(metadata)));
        errors
    }

    /// Sets the attributes of a link or special file, which cannot be opened for that.
    pub fn set_at(&self, directory: BorrowedFd<'_>, entry: &Entry) -> Vec<AttributeError> {
        let mut errors = Vec::new();
        let (name, metadata) = (&entry.name[..], &entry.metadata);
        if self.owners {
            let (user, group) = self.owner(metadata);
            let set =
                rustix::fs::chownat(directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
            note(&mut errors, "owner", set);
        }
        let path = path_at(directory, name);
        for xattr in &metadata.xattrs {
            let set = rustix::fs::lsetxattr(&path, &xattr.name[..], &xattr.value, XattrFlags::empty());
            note(&mut errors, &xattr_name(&xattr.name), set);
        }
        // A symlink has no mode of its own on Linux. What is not a symlink was made by us a moment ago.
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            let set =
                rustix::fs::chmodat(directory, name, Mode::from_raw_mode(metadata.mode), AtFlags::empty());
            note(&mut errors, "mode", set);
        }
        let set = rustix::fs::utimensat(directory, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW);
        note(&mut errors, "time", set);
        errors
    }

    fn owner(&self, metadata: &Metadata) -> (Uid, Gid) {
        let user = metadata.user.as_ref().and_then(|name| {
            number(&self.users, name, |name| Some(nix::unistd::User::from_name(name).ok()??.uid.as_raw()))
        });
        let group = metadata.group.as_ref().and_then(|name| {
            number(&self.groups, name, |name| Some(nix::unistd::Group::from_name(name).ok()??.gid.as_raw()))
        });
        (Uid::from_raw(user.unwrap_or(metadata.uid)), Gid::from_raw(group.unwrap_or(metadata.gid)))
    }
}

fn number(
    known: &Mutex<HashMap<Vec<u8>, Option<u32>>>,
    name: &[u8],
    look_up: impl FnOnce(&str) -> Option<u32>,
) -> Option<u32> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(number) = known.get(name) {
        return *number;
    }
    let number = std::str::from_utf8(name).ok().and_then(look_up);
    known.insert(name.to_vec(), number);
    number
}

fn note(errors: &mut Vec<AttributeError>, what: &str, outcome: rustix::io::Result<()>) {
    if let Err(error) = outcome {
        errors.push(AttributeError { what: what.to_owned(), source: error.into() });
    }
}

fn xattr_name(name: &[u8]) -> String {
    format!("attribute {}", String::from_utf8_lossy(name))
}

fn times(metadata: &Metadata) -> Timestamps {
    let mtime = Timespec { tv_sec: metadata.mtime.seconds, tv_nsec: metadata.mtime.nanos.into() };
    Timestamps { last_access: mtime, last_modification: mtime }
}

/// Makes the directory to restore into if it does not exist; refuses one that has something in it.
pub fn prepare(path: &Path) -> Result<OwnedFd, crate::error::Error> {
    use crate::error::Error;
    std::fs::create_dir_all(path).map_err(Error::local("make", path))?;
    let mut entries = std::fs::read_dir(path).map_err(Error::local("list", path))?;
    if entries.next().is_some() {
        return Err(Error::TargetNotEmpty { path: PathBuf::from(path) });
    }
    // The target itself may be named through a symlink: that is the user's wish.
    let path = path.canonicalize().map_err(Error::local("find", path))?;
    open_root(&path).map_err(Error::local("open", path))
}
