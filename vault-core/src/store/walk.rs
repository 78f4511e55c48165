//! Going over the files of a vault in a directory, and telling objects from all else.
//!
//! Links are never followed, except one that a user put in the place of a whole directory of the layout. What goes away while
//! it is looked at counts as not there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::durable::TEMPORARY_PREFIX;
use super::{DirectoryStore, ObjectKey, ObjectKind, StoreError};
use crate::time::Timestamp;

impl DirectoryStore {
    /// Removes temporary files last written before a moment, and returns how many. A writer that is at work on one that old
    /// will fail, so the moment is better a day ago than an hour.
    pub fn sweep_temporary(&self, older_than: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        // Directories that are not ours hold none of our temporary files.
        let ours = |entry: &DirEntry| {
            entry.depth() != 1
                || !entry.file_type().is_dir()
                || ObjectKind::ALL.iter().any(|kind| entry.file_name() == kind.directory())
        };
        for entry in WalkDir::new(self.root()).max_depth(3).into_iter().filter_entry(ours) {
            let Some(entry) = present(entry, self.root())? else { continue };
            if !is_temporary(&entry) {
                continue;
            }
            let Some(metadata) = present(entry.metadata(), entry.path())? else { continue };
            let written = Timestamp::new(metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or(0));
            if written < older_than && remove_file(entry.path())? {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Walks what stands where objects of a kind stand, in ascending order of their names.
pub(super) fn walk(top: &Path, kind: ObjectKind) -> walkdir::IntoIter {
    // All names have one length per kind, except for numbers, where the shorter one is the smaller.
    let in_order = |a: &DirEntry, b: &DirEntry| {
        let (a, b) = (a.file_name(), b.file_name());
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    };
    WalkDir::new(top).min_depth(kind.depth()).max_depth(kind.depth()).sort_by(in_order).into_iter()
}

/// The object that has the name of a directory entry met on a [`walk`].
pub(super) fn key_of(entry: &DirEntry, kind: ObjectKind) -> Option<ObjectKey> {
    let mut names: Vec<&str> = Vec::with_capacity(kind.depth() + 1);
    for part in entry.path().iter().rev().take(kind.depth()) {
        names.push(part.to_str()?);
    }
    names.push(kind.directory());
    names.reverse();
    ObjectKey::parse(&names.join("/"))
}

/// Whether a directory entry is a file that was not finished.
pub(super) fn is_temporary(entry: &DirEntry) -> bool {
    entry.file_type().is_file()
        && entry.file_name().as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())
}

/// Passes over what went away between being seen and being looked at.
pub(super) fn present<T>(found: walkdir::Result<T>, path: &Path) -> Result<Option<T>, StoreError> {
    let error = match found {
        Ok(value) => return Ok(Some(value)),
        Err(error) => error,
    };
    let path = error.path().unwrap_or(path).to_path_buf();
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other("links form a loop"));
    if source.kind() == io::ErrorKind::NotFound {
        return Ok(None);
    }
    Err(StoreError::from_io("list", &path, source))
}

/// Removes a file; `false` if there is none.
pub(super) fn remove_file(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::from_io("remove", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::id::{PackId, Seq};
    use crate::store::testing::{PACK, listed, vault};
    use crate::store::{Put, Store};

    #[test]
    fn what_an_interrupted_write_leaves_is_never_seen() {
        let (root, store) = vault();
        assert_eq!(store.put_new(&PACK, b"whole").unwrap(), Put::Created);
        let leftovers = ["packs/ab/.tmp-Xa81bc", "log/.tmp-000000", "index/.tmp-1", ".tmp-2"];
        for path in leftovers {
            fs::write(root.path().join(path), "half an obj").unwrap();
        }

        let store = DirectoryStore::open(root.path()).unwrap();

        assert_eq!(listed(&store, ObjectKind::Pack), [PACK]);
        assert!(listed(&store, ObjectKind::Statement).is_empty());
        assert!(listed(&store, ObjectKind::Index).is_empty());
        assert_eq!(store.put_new(&ObjectKey::Statement(Seq(0)), b"first").unwrap(), Put::Created);
    }

    #[test]
    fn old_temporary_files_are_swept_and_nothing_else() {
        let (root, store) = vault();
        assert_eq!(store.put_new(&PACK, b"whole").unwrap(), Put::Created);
        fs::create_dir(root.path().join("photos")).unwrap();
        for path in ["packs/ab/.tmp-1", "log/.tmp-2", ".tmp-3", "photos/.tmp-4", "packs/ab/notes"] {
            fs::write(root.path().join(path), "text").unwrap();
        }

        assert_eq!(store.sweep_temporary(Timestamp::new(0, 0)).unwrap(), 0, "all are younger than that");
        assert_eq!(store.sweep_temporary(Timestamp::new(i64::MAX, 0)).unwrap(), 3);

        for path in ["photos/.tmp-4", "packs/ab/notes", "VAULT", &PACK.path()] {
            assert!(root.path().join(path).is_file(), "{path}");
        }
    }

    #[test]
    fn what_is_not_an_object_is_not_listed() {
        let (root, store) = vault();
        assert_eq!(store.put_new(&PACK, b"whole").unwrap(), Put::Created);
        let name = PackId::new([0xab; 32]).to_hex();
        fs::create_dir(root.path().join("packs/cd")).unwrap();
        for path in [format!("packs/cd/{name}"), format!("packs/{name}"), format!("packs/ab/{name}.bak")] {
            fs::write(root.path().join(path), "text").unwrap();
        }
        let pack_cd = "packs/cd/".to_owned() + &"cd".repeat(32);
        symlink(root.path().join(PACK.path()), root.path().join(&pack_cd)).unwrap();
        fs::create_dir(root.path().join("log/0000000005")).unwrap();

        assert_eq!(listed(&store, ObjectKind::Pack), [PACK]);
        assert!(listed(&store, ObjectKind::Statement).is_empty());
    }
}
