//! Sets attributes as a snapshot has them, and tells whether they are.
//!
//! They are set when nothing below will change any more: owner first, as giving a file away takes its privileged bits, then
//! extended attributes, mode, times. What the snapshot does not have is removed, as far as it is anyone's to remove.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};

use super::super::attributes::{path_at, xattrs_at, xattrs_of};
use crate::format::tree::{Entry, EntryKind, Metadata, Xattr};

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
        let standing = xattrs_of(file).unwrap_or_default();
        for name in surplus(&standing, metadata) {
            note(&mut errors, &xattr_name(name), rustix::fs::fremovexattr(file, name));
        }
        for xattr in &metadata.xattrs {
            let set = rustix::fs::fsetxattr(file, &xattr.name[..], &xattr.value, XattrFlags::empty());
            note(&mut errors, &xattr_name(&xattr.name), set);
        }
        note(&mut errors, "mode", rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode)));
        note(&mut errors, "time", rustix::fs::futimens(file, &times(metadata)));
        errors
    }

    /// Sets the attributes of a link or special file that was made under `name`, which cannot be opened for that.
    pub fn set_at(&self, directory: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Vec<AttributeError> {
        let mut errors = Vec::new();
        let metadata = &entry.metadata;
        if self.owners {
            let (user, group) = self.owner(metadata);
            let set =
                rustix::fs::chownat(directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
            note(&mut errors, "owner", set);
        }
        let path = path_at(directory, name);
        let standing = xattrs_at(directory, name).unwrap_or_default();
        for name in surplus(&standing, metadata) {
            note(&mut errors, &xattr_name(name), rustix::fs::lremovexattr(&path, name));
        }
        for xattr in &metadata.xattrs {
            let set = rustix::fs::lsetxattr(&path, &xattr.name[..], &xattr.value, XattrFlags::empty());
            note(&mut errors, &xattr_name(&xattr.name), set);
        }
        // A symlink has no mode of its own on Linux.
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            note(&mut errors, "mode", set_mode_at(directory, name, metadata));
        }
        let set = rustix::fs::utimensat(directory, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW);
        note(&mut errors, "time", set);
        errors
    }

    /// Whether an open file or directory has these attributes already.
    pub fn are_set(&self, file: BorrowedFd<'_>, stat: &Stat, metadata: &Metadata) -> bool {
        self.fits(stat, metadata)
            && stat.st_mode & 0o7777 == metadata.mode
            && xattrs_of(file).is_ok_and(|standing| same_xattrs(&standing, metadata))
    }

    /// Whether a link or special file has these attributes already.
    pub fn are_set_at(&self, directory: BorrowedFd<'_>, entry: &Entry, stat: &Stat) -> bool {
        let mode_fits =
            matches!(entry.kind, EntryKind::Symlink { .. }) || stat.st_mode & 0o7777 == entry.metadata.mode;
        self.fits(stat, &entry.metadata)
            && mode_fits
            && xattrs_at(directory, &entry.name).is_ok_and(|standing| same_xattrs(&standing, &entry.metadata))
    }

    fn fits(&self, stat: &Stat, metadata: &Metadata) -> bool {
        let owner_fits = || {
            let (user, group) = self.owner(metadata);
            (user.as_raw(), group.as_raw()) == (stat.st_uid, stat.st_gid)
        };
        same_mtime(stat, metadata) && (!self.owners || owner_fits())
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

/// Whether the time of the last change is the snapshot's.
pub fn same_mtime(stat: &Stat, metadata: &Metadata) -> bool {
    (stat.st_mtime, stat.st_mtime_nsec as u32) == (metadata.mtime.seconds, metadata.mtime.nanos)
}

/// Gives a directory back the mode and the time that it had.
pub fn set_back(directory: BorrowedFd<'_>, before: &Stat) -> io::Result<()> {
    let now = rustix::fs::fstat(directory)?;
    let time = |stat: &Stat| Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    if now.st_mode != before.st_mode {
        rustix::fs::fchmod(directory, Mode::from_raw_mode(before.st_mode & 0o7777))?;
    }
    if time(&now) != time(before) {
        let times = Timestamps { last_access: time(before), last_modification: time(before) };
        rustix::fs::futimens(directory, &times)?;
    }
    Ok(())
}

fn set_mode_at(directory: BorrowedFd<'_>, name: &[u8], metadata: &Metadata) -> rustix::io::Result<()> {
    // The handle is of what stands there, were it a symlink by now; its name in /proc leads to that and nothing else.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    if super::file_type(&rustix::fs::fstat(&handle)?) == rustix::fs::FileType::Symlink {
        return Err(rustix::io::Errno::LOOP);
    }
    rustix::fs::chmod(super::path_of(handle.as_fd()), Mode::from_raw_mode(metadata.mode))
}

/// Whether an attribute is the user's or administrator's; others, such as labels, belong to the machine.
fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability"
}

/// The names that the snapshot does not have.
fn surplus<'s>(standing: &'s [Xattr], metadata: &Metadata) -> impl Iterator<Item = &'s [u8]> {
    let has = |name: &[u8]| metadata.xattrs.binary_search_by(|xattr| xattr.name[..].cmp(name)).is_ok();
    let names: Vec<_> =
        standing.iter().map(|xattr| &xattr.name[..]).filter(|name| is_ours(name) && !has(name)).collect();
    names.into_iter()
}

fn same_xattrs(standing: &[Xattr], metadata: &Metadata) -> bool {
    surplus(standing, metadata).next().is_none()
        && metadata.xattrs.iter().all(|xattr| standing.contains(xattr))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str) -> Xattr {
        Xattr { name: name.as_bytes().to_vec(), value: vec![1] }
    }

    #[test]
    fn labels_of_the_machine_stay_and_other_attributes_go() {
        let standing =
            ["security.capability", "security.selinux", "system.posix_acl_access", "user.a", "user.b"];
        let standing: Vec<_> = standing.into_iter().map(xattr).collect();
        let metadata = Metadata { xattrs: vec![xattr("user.b")], ..Metadata::default() };

        let names: Vec<_> = surplus(&standing, &metadata).collect();

        assert_eq!(names, [&b"security.capability"[..], b"system.posix_acl_access", b"user.a"]);
        assert!(!same_xattrs(&standing, &metadata));
        assert!(same_xattrs(&[xattr("security.selinux"), xattr("user.b")], &metadata));
    }

    #[test]
    fn what_was_set_is_found_set() {
        let file = tempfile::tempfile().unwrap();
        let stat = || rustix::fs::fstat(&file).unwrap();
        let attributes = Attributes::new(false);
        let mtime = crate::time::Timestamp::new(1_000_000_000, 42);
        let metadata = Metadata { mode: 0o641, mtime, ..Metadata::default() };
        assert!(!attributes.are_set(file.as_fd(), &stat(), &metadata));

        assert!(attributes.set(file.as_fd(), &metadata).is_empty());

        assert!(attributes.are_set(file.as_fd(), &stat(), &metadata));
        let other = Metadata { mode: 0o640, ..metadata };
        assert!(!attributes.are_set(file.as_fd(), &stat(), &other));
    }
}
