//! Writing entries into a directory tree that is being restored.
//!
//! Everything is done relative to an open directory and never follows a symlink: neither what a snapshot contains nor what stands
//! in the target can make a restore write outside it. Contents go into temporary files, which get their names when they are whole.

pub mod attributes;
pub mod remove;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::format::tree::{Entry, EntryKind};

use super::attributes::file_type;
use super::walk::names_in;

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

/// Opens a directory that stands in the target, and makes sure that its owner can write in it.
///
/// Also returns its attributes as they were.
pub fn open_found(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<(OwnedFd, Stat)> {
    let fd = match open_directory(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return open_closed(parent, name);
        }
        other => other?,
    };
    let stat = make_accessible(fd.as_fd())?;
    Ok((fd, stat))
}

/// Makes sure that the owner of a directory can write in it; returns its attributes as they were.
pub fn make_accessible(directory: BorrowedFd<'_>) -> io::Result<Stat> {
    let stat = rustix::fs::fstat(directory)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    if !mode.contains(Mode::RWXU) && stat.st_uid == rustix::process::geteuid().as_raw() {
        rustix::fs::fchmod(directory, mode | Mode::RWXU)?;
    }
    Ok(stat)
}

/// Opens a directory whose owner may not read it, which the owner can change.
fn open_closed(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<(OwnedFd, Stat)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&handle)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    // A handle without rights cannot be passed to `fchmod`; its name in /proc can, and leads to nothing else.
    rustix::fs::chmod(path_of(handle.as_fd()), mode | Mode::RWXU)?;
    Ok((rustix::fs::openat(&handle, c".", DIRECTORY, Mode::empty())?, stat))
}

/// The name in /proc of something open.
fn path_of(handle: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

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

/// Opens an absolute path without following any symlink, and makes the directories that are missing if it may.
pub fn open_absolute(path: &Path, make: bool) -> io::Result<OwnedFd> {
    let mut directory = open_root(Path::new("/"))?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        let name = name.as_encoded_bytes();
        let opened = open_directory(directory.as_fd(), name);
        directory = match opened {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {
                // As `mkdir -p` does it: these directories are not part of what is restored.
                rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o777))?;
                open_directory(directory.as_fd(), name)?
            }
            other => other?,
        };
    }
    Ok(directory)
}

/// What stands at a name; `None` if nothing does.
pub fn look(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names in a directory, sorted.
pub fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    // Listed by a descriptor of its own: how far a listing has come is the descriptor's, and others may use this one.
    names_in(&open_directory(directory, b".")?)
}

/// Opens a regular file that stands in the target, for reading.
pub fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<(OwnedFd, Stat)> {
    // What is a file now may be a pipe a moment later, which must not make anyone wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if file_type(&stat) == FileType::RegularFile {
        return Ok((fd, stat));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}

/// Makes an empty file.
pub fn make_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?)
}

/// Makes a link or special file of the entry's kind under `name`.
pub fn make_special(directory: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
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

/// Whether the link or special file that stands in the target is of the entry's kind, with the same target or device.
pub fn is_special(directory: BorrowedFd<'_>, entry: &Entry, stat: &Stat) -> io::Result<bool> {
    let device = |number: &crate::format::tree::DeviceNumber| {
        rustix::fs::makedev(number.major, number.minor) == stat.st_rdev as rustix::fs::Dev
    };
    Ok(match (&entry.kind, file_type(stat)) {
        (EntryKind::Symlink { target }, FileType::Symlink) => {
            rustix::fs::readlinkat(directory, &entry.name[..], Vec::new())?.as_bytes() == &target[..]
        }
        (EntryKind::Fifo, FileType::Fifo) | (EntryKind::Socket, FileType::Socket) => true,
        (EntryKind::CharDevice(number), FileType::CharacterDevice)
        | (EntryKind::BlockDevice(number), FileType::BlockDevice) => device(number),
        _ => false,
    })
}

/// Makes another name for a file.
pub fn make_link(from: (BorrowedFd<'_>, &[u8]), to: (BorrowedFd<'_>, &[u8])) -> io::Result<()> {
    Ok(rustix::fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())?)
}

/// Gives what has a temporary name its own: in place of what stands there if `replace`, else only if nothing does.
pub fn put(directory: BorrowedFd<'_>, temporary: &[u8], name: &[u8], replace: bool) -> io::Result<()> {
    if !replace {
        match rustix::fs::renameat_with(directory, temporary, directory, name, RenameFlags::NOREPLACE) {
            // The file system has no such rename.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
        if look(directory, name)?.is_some() {
            return Err(Errno::EXIST.into());
        }
    }
    Ok(rustix::fs::renameat(directory, temporary, directory, name)?)
}

/// Removes a file or link.
pub fn remove_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// What temporary names begin with.
const TEMPORARY: &str = ".vault-restore-";

/// Makes the temporary names of one run. No other run makes the same.
#[derive(Debug)]
pub struct TemporaryNames {
    run: String,
    next: AtomicU64,
}

impl TemporaryNames {
    /// Names that carry `run`, a word of its own for each run.
    pub fn new(run: String) -> Self {
        Self { run, next: AtomicU64::new(0) }
    }

    /// A name that was not made before.
    pub fn next(&self) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{TEMPORARY}{}-{number}", self.run).into_bytes()
    }
}

/// Whether a name is a temporary one of one of these runs.
pub fn is_temporary_of(runs: &[String], name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(TEMPORARY.as_bytes()) else { return false };
    runs.iter().any(|run| {
        let number = rest.strip_prefix(run.as_bytes()).and_then(|rest| rest.strip_prefix(b"-"));
        number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir) -> OwnedFd {
        open_root(directory.path()).unwrap()
    }

    #[test]
    fn a_symlink_is_never_followed() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("file"), inside.path().join("file")).unwrap();
        let root = open(&inside);

        assert!(open_directory(root.as_fd(), b"link").is_err());
        assert!(open_found(root.as_fd(), b"link").is_err());
        assert!(open_below(root.as_fd(), Path::new("link")).is_err());
        assert!(open_absolute(&inside.path().join("link/new"), true).is_err());
        assert!(open_file(root.as_fd(), b"file").is_err());
        assert!(make_file(root.as_fd(), b"file").is_err());
        assert!(!outside.path().join("new").exists());
    }

    #[test]
    fn a_rename_replaces_only_where_it_may() {
        let directory = tempfile::tempdir().unwrap();
        let root = open(&directory);
        std::fs::write(directory.path().join("old"), "old").unwrap();
        std::fs::write(directory.path().join("temporary"), "new").unwrap();

        assert!(put(root.as_fd(), b"temporary", b"old", false).is_err());
        assert_eq!(std::fs::read(directory.path().join("old")).unwrap(), b"old");

        put(root.as_fd(), b"temporary", b"old", true).unwrap();
        assert_eq!(std::fs::read(directory.path().join("old")).unwrap(), b"new");
    }

    #[test]
    fn temporary_names_are_known_by_their_run() {
        let names = TemporaryNames::new("ab12".to_owned());
        let runs = ["ab12".to_owned()];

        assert!(is_temporary_of(&runs, &names.next()) && is_temporary_of(&runs, &names.next()));
        assert!(!is_temporary_of(&["ab13".to_owned()], &names.next()));
        for other in
            [&b".vault-restore-ab12"[..], b".vault-restore-ab12-", b".vault-restore-ab12-x", b"ab12-1"]
        {
            assert!(!is_temporary_of(&runs, other), "{other:?}");
        }
    }

    #[test]
    fn a_missing_way_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("a/b");

        assert!(open_absolute(&path, false).is_err());
        open_absolute(&path, true).unwrap();

        assert!(path.is_dir());
    }
}
