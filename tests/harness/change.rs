//! Random changes to a tree on disk, as files come to be changed: the moves of model tests.
//!
//! A change that the tree does not allow does nothing, so any sequence of changes can be applied to any tree.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::{noise, set_mtime};

/// Something that is done to a tree. Where a path has no entry of the kind that a change needs, it does nothing.
#[derive(Debug, Clone)]
pub struct Change(Move);

/// The fields are what their names say.
#[derive(Debug, Clone)]
enum Move {
    /// Writes a file.
    Create { path: PathBuf, seed: u64, length: usize },
    /// Writes into a file.
    Overwrite { path: PathBuf, seed: u64, offset: u64, length: usize },
    /// Writes at the end of a file.
    Append { path: PathBuf, seed: u64, length: usize },
    /// Gives a file another length.
    Truncate { path: PathBuf, length: u64 },
    /// Removes an entry with all below it.
    Delete { path: PathBuf },
    /// Moves an entry.
    Rename { from: PathBuf, to: PathBuf },
    /// Sets permission bits.
    Chmod { path: PathBuf, mode: u32 },
    /// Sets the time of the last change.
    Touch { path: PathBuf, seconds: i64, nanos: i64 },
    /// Makes a directory.
    MakeDirectory { path: PathBuf },
    /// Makes a symbolic link.
    Symlink { path: PathBuf, target: PathBuf },
    /// Gives a file another name.
    HardLink { from: PathBuf, to: PathBuf },
    /// Makes a file that is one hole.
    MakeSparse { path: PathBuf, length: u64 },
}

impl Change {
    /// Does it. Errors that only say that the tree is not such that it can be done are none.
    pub fn apply(&self, root: &Path) {
        match self.0.apply(root) {
            Ok(()) => {}
            Err(error) if is_impossible(&error) => {}
            Err(error) => panic!("{self:?}: {error}"),
        }
    }
}

impl Move {
    fn apply(&self, root: &Path) -> io::Result<()> {
        match self {
            Self::Create { path, seed, length } => fs::write(root.join(path), noise(*seed, *length)),
            Self::Overwrite { path, seed, offset, length } => {
                existing(root, path)?.write_all_at(&noise(*seed, *length), *offset)
            }
            Self::Append { path, seed, length } => {
                let file = existing(root, path)?;
                file.write_all_at(&noise(*seed, *length), file.metadata()?.len())
            }
            Self::Truncate { path, length } => existing(root, path)?.set_len(*length),
            Self::Delete { path } => delete(&root.join(path)),
            Self::Rename { from, to } => fs::rename(root.join(from), root.join(to)),
            Self::Chmod { path, mode } => chmod(&root.join(path), *mode),
            Self::Touch { path, seconds, nanos } => {
                root.join(path).symlink_metadata().map(|_| set_mtime(&root.join(path), *seconds, *nanos))
            }
            Self::MakeDirectory { path } => fs::create_dir(root.join(path)),
            Self::Symlink { path, target } => symlink(target, root.join(path)),
            Self::HardLink { from, to } => fs::hard_link(root.join(from), root.join(to)),
            Self::MakeSparse { path, length } => fs::File::create(root.join(path))?.set_len(*length),
        }
    }
}

fn is_impossible(error: &io::Error) -> bool {
    use rustix::io::Errno as E;
    let impossible = [
        E::NOENT,
        E::EXIST,
        E::ISDIR,
        E::NOTDIR,
        E::NOTEMPTY,
        E::INVAL,
        E::PERM,
        E::ACCESS,
        E::LOOP,
        E::NXIO,
    ];
    E::from_io_error(error).is_some_and(|error| impossible.contains(&error))
}

fn existing(root: &Path, path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).open(root.join(path))
}

fn delete(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Directories stay such that the changes after it, and the scan, can look into them.
fn chmod(path: &Path, mode: u32) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    let usable = if metadata.is_dir() { 0o700 } else { 0o600 };
    if metadata.is_symlink() {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode | usable))
}

/// Few names, so that changes meet; two levels, and bytes that are no text.
fn path() -> impl Strategy<Value = PathBuf> {
    let name = prop::sample::select(vec![&b"a"[..], b"b", b"c", b"d\xff", b"e\n"]);
    vec(name, 1..=3).prop_map(|names| names.into_iter().map(OsStr::from_bytes).collect())
}

/// Lengths around those at which something changes: nothing, one chunk, some, more than a segment.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..4_usize, 8 => 0..20_000_usize, 3 => 0..200_000_usize, 1 => 1_000_000..3_000_000_usize]
}

/// Any change, the common ones more often.
pub fn change() -> impl Strategy<Value = Change> {
    // A few seeds, so that equal contents come up again and again.
    let seed = || 0..6_u64;
    prop_oneof![
        6 => (path(), seed(), length()).prop_map(|(path, seed, length)| Move::Create { path, seed, length }),
        3 => (path(), seed(), 0..100_000_u64, length())
            .prop_map(|(path, seed, offset, length)| Move::Overwrite { path, seed, offset, length }),
        2 => (path(), seed(), length()).prop_map(|(path, seed, length)| Move::Append { path, seed, length }),
        1 => (path(), 0..100_000_u64).prop_map(|(path, length)| Move::Truncate { path, length }),
        2 => path().prop_map(|path| Move::Delete { path }),
        3 => (path(), path()).prop_map(|(from, to)| Move::Rename { from, to }),
        1 => (path(), 0..0o7777_u32).prop_map(|(path, mode)| Move::Chmod { path, mode }),
        1 => (path(), -4_000_000_000..4_000_000_000_i64, 0..1_000_000_000_i64)
            .prop_map(|(path, seconds, nanos)| Move::Touch { path, seconds: seconds / 2, nanos }),
        5 => path().prop_map(|path| Move::MakeDirectory { path }),
        1 => (path(), path()).prop_map(|(path, target)| Move::Symlink { path, target }),
        2 => (path(), path()).prop_map(|(from, to)| Move::HardLink { from, to }),
        1 => (path(), 0..10_000_000_u64).prop_map(|(path, length)| Move::MakeSparse { path, length }),
    ]
    .prop_map(Change)
}
