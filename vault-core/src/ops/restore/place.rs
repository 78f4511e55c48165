//! Where a restore writes: the directory, opened, and what leads to it.
//!
//! A directory that the user names may be named through symlinks. The path that a snapshot remembers had none when it was backed
//! up, so none is followed on the way back: whoever put one there since must not decide where files go.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::format::commit::CommitBody;
use crate::format::tree::{EntryKind, Metadata};
use crate::pipeline::target::{self, attributes::Attributes};
use crate::progress::{Notice, Severity};
use crate::vault::reader::DomainReader;

use super::super::Surroundings;
use super::{Destination, RestoreOptions};

/// A directory to restore into.
pub(super) struct Place {
    /// The directory, open; `None` in a dry run if it does not exist.
    pub(super) root: Option<OwnedFd>,
    /// Its path without symlinks.
    pub(super) path: PathBuf,
    /// Its path as messages have it.
    pub(super) shown: PathBuf,
    /// Whether nothing is in it.
    pub(super) empty: bool,
    /// Directories that were made on the way to it.
    pub(super) way: Way,
}

/// Directories of the snapshot that were made above what is restored, outermost first.
#[derive(Default)]
pub(super) struct Way(Vec<(PathBuf, OwnedFd, Metadata)>);

impl Place {
    /// Opens the directory, which is made if it is not there, unless the run is dry.
    pub(super) fn open(
        options: &RestoreOptions,
        domain: &DomainReader<'_>,
        body: &CommitBody,
        path: &Path,
    ) -> Result<Self, Error> {
        match &options.destination {
            Destination::Directory(target) => Self::directory(target, !options.dry_run),
            Destination::Origin => Self::origin(domain, body, path, !options.dry_run),
        }
    }

    fn directory(target: &Path, make: bool) -> Result<Self, Error> {
        if make {
            std::fs::create_dir_all(target).map_err(Error::local("make", target))?;
        }
        let shown = target.to_owned();
        let path = match target.canonicalize() {
            Ok(path) => path,
            Err(error) if !make && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { root: None, path: shown.clone(), shown, empty: true, way: Way::default() });
            }
            Err(error) => return Err(Error::local("find", target)(error)),
        };
        let root = target::open_root(&path).map_err(Error::local("open", &path))?;
        Self::new(Some(root), (path, shown), Way::default())
    }

    fn origin(domain: &DomainReader<'_>, body: &CommitBody, path: &Path, make: bool) -> Result<Self, Error> {
        let mut at = path_of(&body.root_path);
        let mut way = Way::default();
        let mut root = match target::open_absolute(&at, make) {
            Err(error) if !make && error.kind() == std::io::ErrorKind::NotFound => None,
            opened => Some(opened.map_err(Error::local("open", &at))?),
        };
        let mut entry = body.root.clone();
        for part in path.components() {
            let (Component::Normal(name), EntryKind::Directory { subtree }) = (part, &entry.kind) else {
                break;
            };
            let Some(below) = domain.find_entry(subtree, name.as_bytes())? else { break };
            if !below.is_directory() {
                break;
            }
            at.push(name);
            entry = below;
            let Some(parent) = root.take() else { continue };
            root = match target::open_directory(parent.as_fd(), name.as_bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !make => None,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let fresh = target::make_directory(parent.as_fd(), name.as_bytes());
                    let fresh = fresh.map_err(Error::local("make", &at))?;
                    let copy = fresh.try_clone().map_err(Error::local("open", &at))?;
                    way.0.push((at.clone(), copy, entry.metadata.clone()));
                    Some(fresh)
                }
                opened => Some(opened.map_err(Error::local("open", &at))?),
            };
        }
        Self::new(root, (at.clone(), at), way)
    }

    fn new(root: Option<OwnedFd>, (path, shown): (PathBuf, PathBuf), way: Way) -> Result<Self, Error> {
        let names = root.as_ref().map(|root| target::names(root.as_fd())).transpose();
        let empty = names.map_err(Error::local("list", &path))?.is_none_or(|names| names.is_empty());
        Ok(Self { root, path, shown, empty, way })
    }
}

impl Way {
    /// Gives the directories their attributes, innermost first; returns how many could not be set.
    pub(super) fn finish(self, owners: bool, around: &Surroundings<'_>) -> u64 {
        let attributes = Attributes::new(owners);
        let mut failed = 0;
        for (path, fd, metadata) in self.0.iter().rev() {
            for error in attributes.set(fd.as_fd(), metadata) {
                failed += 1;
                let message = format!("cannot set its {}: {}", error.what, error.source);
                let notice = Notice { severity: Severity::Problem, subject: path, message: &message };
                around.progress.notice(&notice);
            }
        }
        failed
    }
}

/// Where something was when it was backed up.
pub(super) fn origin(body: &CommitBody, path: &Path) -> PathBuf {
    // Not `join`, which would end in a slash where the path is empty.
    path_of(&body.root_path).components().chain(path.components()).collect()
}

/// A path as a snapshot has it.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
