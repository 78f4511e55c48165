//! Round trips: after any changes to a tree, each snapshot restores to what the tree was when it was made.
//!
//! The model is a full scan of the source at the moment of each backup. `PROPTEST_CASES` sets how many histories are tried.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use vault_core::time::{Clock, Timestamp};
use vault_tests::fixture::set_mtime;
use vault_tests::{TestVault, Tree, noise, wait_for_next_tick};

/// Histories tried where `PROPTEST_CASES` says nothing else: enough to find a fault in an hour of pushes, in seconds each.
const CASES: u32 = 32;

/// Something that is done to a tree. Where a path has no entry of the kind that a change needs, it does nothing.
#[derive(Debug, Clone)]
enum Change {
    Create { path: PathBuf, seed: u64, length: usize },
    Overwrite { path: PathBuf, seed: u64, offset: u64, length: usize },
    Append { path: PathBuf, seed: u64, length: usize },
    Truncate { path: PathBuf, length: u64 },
    Delete { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Chmod { path: PathBuf, mode: u32 },
    Touch { path: PathBuf, seconds: i64, nanos: i64 },
    MakeDirectory { path: PathBuf },
    Symlink { path: PathBuf, target: PathBuf },
    HardLink { from: PathBuf, to: PathBuf },
    MakeSparse { path: PathBuf, length: u64 },
}

impl Change {
    /// Does it. Errors that only say that the tree is not such that it can be done are none.
    fn apply(&self, root: &Path) {
        match self.try_apply(root) {
            Ok(()) => {}
            Err(error) if is_impossible(&error) => {}
            Err(error) => panic!("{self:?}: {error}"),
        }
    }

    fn try_apply(&self, root: &Path) -> io::Result<()> {
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

fn change() -> impl Strategy<Value = Change> {
    // A few seeds, so that equal contents come up again and again.
    let seed = || 0..6_u64;
    prop_oneof![
        6 => (path(), seed(), length()).prop_map(|(path, seed, length)| Change::Create { path, seed, length }),
        3 => (path(), seed(), 0..100_000_u64, length())
            .prop_map(|(path, seed, offset, length)| Change::Overwrite { path, seed, offset, length }),
        2 => (path(), seed(), length()).prop_map(|(path, seed, length)| Change::Append { path, seed, length }),
        1 => (path(), 0..100_000_u64).prop_map(|(path, length)| Change::Truncate { path, length }),
        2 => path().prop_map(|path| Change::Delete { path }),
        3 => (path(), path()).prop_map(|(from, to)| Change::Rename { from, to }),
        1 => (path(), 0..0o7777_u32).prop_map(|(path, mode)| Change::Chmod { path, mode }),
        1 => (path(), -4_000_000_000..4_000_000_000_i64, 0..1_000_000_000_i64)
            .prop_map(|(path, seconds, nanos)| Change::Touch { path, seconds: seconds / 2, nanos }),
        5 => path().prop_map(|path| Change::MakeDirectory { path }),
        1 => (path(), path()).prop_map(|(path, target)| Change::Symlink { path, target }),
        2 => (path(), path()).prop_map(|(from, to)| Change::HardLink { from, to }),
        1 => (path(), 0..10_000_000_u64).prop_map(|(path, length)| Change::MakeSparse { path, length }),
    ]
}

/// Makes each history's backups with a clock of its own.
#[derive(Debug, Clone, Copy)]
enum Time {
    /// Files changed a moment ago are read again: as in real life.
    Real,
    /// All files seem old, so that everything the stat cache says is believed.
    FarAhead,
}

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::new(since.as_secs() as i64, since.subsec_nanos())
    }
}

fn assert_history_comes_back(history: &[Vec<Change>], time: Time) {
    let source = TempDir::new().unwrap();
    let root = source.path().join("tree");
    fs::create_dir(&root).unwrap();
    let mut vault = TestVault::with_small_chunks();
    if let Time::Real = time {
        vault.clock = Box::new(RealClock);
    }

    let mut snapshots = Vec::new();
    for changes in history {
        wait_for_next_tick(source.path());
        changes.iter().for_each(|change| change.apply(&root));
        let summary = vault.backup(&root);
        assert_eq!(summary.counts.failed_entries, 0, "{:?}", vault.progress.notices());
        snapshots.push((summary.snapshot, Tree::scan(&root)));
    }

    vault.assert_clean();
    vault.move_to_new_machine();
    for (snapshot, expected) in snapshots {
        let restored = vault.restore(snapshot);
        let differences = expected.differences(&Tree::scan(restored.path()));
        assert!(differences.is_empty(), "{differences}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES),
        max_shrink_iters: 200,
        // A failure is kept as a test of its own, not in a file beside this one.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_snapshot_restores_to_what_the_tree_was(
        history in vec(vec(change(), 0..25), 1..5),
        time in prop::sample::select(vec![Time::Real, Time::FarAhead]),
    ) {
        assert_history_comes_back(&history, time);
    }
}

#[test]
fn a_backup_of_an_unchanged_tree_reads_nothing_and_adds_nothing() {
    let source = TempDir::new().unwrap();
    let root = source.path().join("tree");
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), noise(1, 3_000_000)).unwrap();
    let vault = TestVault::new();
    let first = vault.backup(&root);

    let second = vault.backup(&root);

    assert_eq!((second.counts.read_bytes, second.counts.added_bytes), (0, 0), "{second:?}");
    assert!(second.counts.stored_bytes < 10_000 && first.counts.stored_bytes > 3_000_000, "{second:?}");
    vault.assert_clean();
}

#[test]
fn a_machine_without_a_cache_reads_everything_and_adds_nothing() {
    let source = TempDir::new().unwrap();
    let root = source.path().join("tree");
    fs::create_dir_all(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), noise(1, 3_000_000)).unwrap();
    let mut vault = TestVault::new();
    vault.backup(&root);

    vault.move_to_new_machine();
    let second = vault.backup(&root);

    assert_eq!((second.counts.read_bytes, second.counts.added_bytes), (3_000_000, 0), "{second:?}");
}
