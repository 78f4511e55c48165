//! `ls`: what is in a snapshot.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::id::SnapshotId;
use crate::vault::reader::DomainReader;
use crate::vault::{Reader, Vault};

/// What to list.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// A path below its root; empty for the root.
    pub path: PathBuf,
    /// Whether to go into directories below it.
    pub recursive: bool,
}

/// Visits the entries at a path in order: a directory's contents, or the one entry that is there.
///
/// `visit` gets each entry's path below the snapshot's root. It stops at the first error that `visit` returns.
pub fn list(
    vault: &Vault,
    reader: &Reader,
    options: &ListOptions,
    visit: &mut dyn FnMut(&Path, &Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let (domain, entry, path) = find_path(vault, reader, &options.snapshot, &options.path)?;
    let EntryKind::Directory { subtree } = entry.kind else { return visit(&path, &entry) };
    let mut open = vec![(path, domain.entries(&subtree))];
    while let Some((directory, entries)) = open.last_mut() {
        let Some(entry) = entries.next().transpose()? else {
            open.pop();
            continue;
        };
        let path = directory.join(OsStr::from_bytes(&entry.name));
        visit(&path, &entry)?;
        if let EntryKind::Directory { subtree } = entry.kind
            && options.recursive
        {
            open.push((path, domain.entries(&subtree)));
        }
    }
    Ok(())
}

/// Finds what stands at `path` below a snapshot's root; also returns the path without `.` and the like.
pub(crate) fn find_path<'r>(
    vault: &Vault,
    reader: &'r Reader,
    snapshot: &SnapshotId,
    path: &Path,
) -> Result<(DomainReader<'r>, Entry, PathBuf), Error> {
    let record = vault
        .state()
        .snapshot_by_id(snapshot)
        .ok_or_else(|| Error::NoSuchSnapshot { wanted: snapshot.to_hex() })?;
    let domain = reader.domain(record)?;
    let mut entry = reader.body(record)?.root;
    let mut found = PathBuf::new();
    for part in path.components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::RootDir | Component::CurDir => continue,
            // No entry has this name, so nothing is found.
            Component::ParentDir | Component::Prefix(_) => OsStr::new(".."),
        };
        let missing = || Error::NoSuchPath { path: path.to_owned(), snapshot: *snapshot };
        let EntryKind::Directory { subtree } = entry.kind else { return Err(missing()) };
        entry = domain.find_entry(&subtree, name.as_bytes())?.ok_or_else(missing)?;
        found.push(name);
    }
    Ok((domain, entry, found))
}
