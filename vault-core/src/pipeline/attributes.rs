//! Reads what a file system says of an entry besides its contents: mode, owners, times, extended attributes, links.
//!
//! Nothing here follows a symlink.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::crypto::hash::link_group;
use crate::format::tree::{Metadata, Xattr};
use crate::time::Timestamp;
use crate::vault::stat_cache::Stamp;

/// A list of attribute names, or one attribute's value, is at most this long on Linux.
const XATTR_MAX_BYTES: usize = 64 << 10;

/// The stamp by which the stat cache knows a file.
pub fn stamp(stat: &Stat) -> Stamp {
    Stamp {
        inode: stat.st_ino,
        ctime: Timestamp::new(stat.st_ctime, stat.st_ctime_nsec as u32),
        mtime: mtime(stat),
        size: stat.st_size as u64,
    }
}

/// The type bits of a mode.
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode as _)
}

/// The group of names that this file has; `None` for a file with one name.
pub fn link_group_of(stat: &Stat) -> Option<u64> {
    let several = stat.st_nlink > 1 && file_type(stat) != FileType::Directory;
    several.then(|| link_group(stat.st_dev, stat.st_ino))
}

fn mtime(stat: &Stat) -> Timestamp {
    Timestamp::new(stat.st_mtime, stat.st_mtime_nsec as u32)
}

/// Looks up names of users and groups, each number once.
#[derive(Debug, Default)]
pub struct Owners {
    users: Mutex<HashMap<u32, Option<Vec<u8>>>>,
    groups: Mutex<HashMap<u32, Option<Vec<u8>>>>,
}

impl Owners {
    /// The metadata of an entry with these attributes.
    pub fn metadata(&self, stat: &Stat, xattrs: Vec<Xattr>) -> Metadata {
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        Metadata {
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            user: cached(&self.users, uid, || {
                let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok()??;
                Some(user.name.into_bytes())
            }),
            group: cached(&self.groups, gid, || {
                let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid)).ok()??;
                Some(group.name.into_bytes())
            }),
            mtime: mtime(stat),
            xattrs,
        }
    }
}

fn cached(
    names: &Mutex<HashMap<u32, Option<Vec<u8>>>>,
    number: u32,
    look_up: impl FnOnce() -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    names.entry(number).or_insert_with(look_up).clone()
}

/// The extended attributes of an open file or directory, by ascending name.
pub fn xattrs_of(file: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    collect_xattrs(
        |list| rustix::fs::flistxattr(file, list),
        |name, value| rustix::fs::fgetxattr(file, name, value),
    )
}

/// The extended attributes of an entry that cannot be opened without side effects: a link or special file.
pub fn xattrs_at(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<Xattr>> {
    let path = path_at(directory, name);
    collect_xattrs(
        |list| rustix::fs::llistxattr(&path, list),
        |name, value| rustix::fs::lgetxattr(&path, name, value),
    )
}

/// A path to an entry of an open directory, for the calls that have no form with a descriptor.
pub fn path_at(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(name));
    path
}

fn collect_xattrs(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<Xattr>> {
    // Nearly all files have no attributes or a few short ones: try with a small buffer on the stack first.
    let mut small = [0; 1024];
    let mut large = Vec::new();
    let names = match list(&mut small) {
        Ok(length) => &small[..length],
        Err(Errno::RANGE) => {
            large.resize(XATTR_MAX_BYTES, 0);
            let length = list(&mut large)?;
            &large[..length]
        }
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        match value_of(name, &get) {
            Ok(value) => xattrs.push(Xattr { name: name.to_vec(), value }),
            // Removed since it was listed, or for the kernel's eyes only.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    xattrs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(xattrs)
}

fn value_of(
    name: &[u8],
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 256];
    match get(name, &mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut value = vec![0; XATTR_MAX_BYTES];
            let length = get(name, &mut value)?;
            value.truncate(length);
            Ok(value)
        }
        Err(error) => Err(error),
    }
}
