//! Small vaults in temporary directories, looked at through a [`Browser`] as a kernel would, and compared with what was backed up.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::chunk::compress::Level;
use crate::chunk::cut::Params;
use crate::crypto::random::FixedRandom;
use crate::keys::device::DeviceKeys;
use crate::keys::identity_file::UserIdentity;
use crate::log::PqPolicy;
use crate::ops::backup::{BackupOptions, backup};
use crate::ops::init::{InitOptions, init};
use crate::ops::{Stop, Surroundings};
use crate::progress::Silent;
use crate::store::location::{Access, Location};
use crate::time::FixedClock;
use crate::vault::LocalPaths;

const CLOCK: FixedClock = FixedClock(Timestamp::new(1_700_000_000, 0));
static GO_ON: Stop = Stop::new();
/// Enough for everything in these tests.
const LARGE_CACHE: usize = 64 << 20;

/// A vault, and the directory that is backed up into it.
struct Subject {
    root: TempDir,
    identity: UserIdentity,
    device: DeviceKeys,
    random: FixedRandom,
}

impl Subject {
    /// Chunks of a few kilobytes, so that small files have many.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let random = FixedRandom::new(1);
        let identity = UserIdentity::generate(&random).unwrap();
        let device = DeviceKeys::generate(&random).unwrap();
        let subject = Self { root, identity, device, random };
        let sealed = subject.identity.seal_to(&[subject.identity.recipient()]).unwrap();
        let options = InitOptions {
            location: &subject.location(),
            access: &Access::local(),
            identity: &subject.identity,
            sealed_identity: Some(&sealed),
            device: &subject.device,
            pq: PqPolicy::Required,
            chunker: Params::new(1 << 10, 11, 16 << 10).unwrap(),
        };
        init(&options, &subject.around()).unwrap();
        fs::create_dir(subject.source()).unwrap();
        subject
    }

    fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    fn write(&self, name: &str, contents: &[u8]) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn location(&self) -> Location {
        Location::Directory(self.root.path().join("vault"))
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings { clock: &CLOCK, random: &self.random, progress: &Silent, stop: &GO_ON }
    }

    fn open(&self) -> Vault {
        let local =
            LocalPaths { state: self.root.path().join("state"), cache: self.root.path().join("cache") };
        Vault::open(self.location().open(&Access::local()).unwrap(), local).unwrap()
    }

    fn back_up(&self) -> SnapshotId {
        let options = BackupOptions {
            paths: vec![self.source()],
            level: Level::FAST,
            host: "laptop".to_owned(),
            program: "test".to_owned(),
            ..BackupOptions::default()
        };
        backup(&mut self.open(), &self.device, &options, &self.around()).unwrap().snapshot
    }

    fn browse(&self, selection: Selection, cache_bytes: usize) -> Result<Browser, Error> {
        let vault = self.open();
        let reader = vault.unlock(&self.identity)?;
        let date_name = Box::new(|time: Timestamp| format!("day {}", time.seconds));
        Browser::new(vault, reader, BrowseOptions { selection, cache_bytes, owner: (7, 8), date_name })
    }

    /// The newest snapshot as the root.
    fn browse_latest(&self, cache_bytes: usize) -> Browser {
        let snapshot = self.open().state().snapshots().last().unwrap().id;
        self.browse(Selection::Directory { snapshot, path: PathBuf::new() }, cache_bytes).unwrap()
    }
}

fn walk_to(browser: &Browser, path: &str) -> Attributes {
    let root = browser.attributes(Inode::ROOT).unwrap();
    let names = path.split('/').filter(|name| !name.is_empty());
    names.fold(root, |at, name| browser.look_up(at.inode, name.as_bytes()).unwrap())
}

fn names_in(browser: &Browser, inode: Inode) -> Vec<String> {
    let directory = browser.open_directory(inode).unwrap();
    let mut names = Vec::new();
    browser
        .list(&directory, 0, &mut |listed| {
            names.push(String::from_utf8(listed.name.to_vec()).unwrap());
            true
        })
        .unwrap();
    names
}

fn read_all(browser: &Browser, inode: Inode) -> Vec<u8> {
    let file = browser.open_file(inode).unwrap();
    let mut bytes = Vec::new();
    loop {
        let more = browser.read(&file, bytes.len() as u64, 100_000).unwrap();
        if more.is_empty() {
            return bytes;
        }
        bytes.extend(more);
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn snapshots_stand_by_date_and_everything_else_links_there() {
    let subject = Subject::new();
    subject.write("file", b"contents");
    let id = subject.back_up();
    let browser = subject.browse(Selection::All, LARGE_CACHE).unwrap();

    let link =
        |path: &str| String::from_utf8(browser.read_link(walk_to(&browser, path).inode).unwrap()).unwrap();
    assert_eq!(names_in(&browser, Inode::ROOT), ["by-date", "by-host", "by-id", "latest"]);
    assert_eq!(names_in(&browser, walk_to(&browser, "by-date").inode), ["day 1700000000"]);
    assert_eq!(link("latest"), "by-date/day 1700000000");
    assert_eq!(link(&format!("by-id/{}", id.short())), "../by-date/day 1700000000");
    assert_eq!(link("by-host/laptop/day 1700000000"), "../../by-date/day 1700000000");
    let file = walk_to(&browser, "by-date/day 1700000000/file");
    assert_eq!(read_all(&browser, file.inode), b"contents");
    assert_eq!(browser.path_of(file.inode).unwrap(), Path::new("by-date/day 1700000000/file"));
    let above = walk_to(&browser, "by-host/laptop");
    assert_eq!((above.uid, above.gid, above.mode, above.lasting), (7, 8, 0o555, false));
    assert_eq!((browser.totals().snapshots, browser.totals().files, browser.totals().bytes), (1, 1, 8));
}

#[test]
fn new_snapshots_appear_when_asked_for() {
    let subject = Subject::new();
    subject.write("file", b"1");
    subject.back_up();
    let browser = subject.browse(Selection::All, LARGE_CACHE).unwrap();
    let by_date = walk_to(&browser, "by-date").inode;
    assert!(!browser.refresh().unwrap());

    subject.write("more", &noise(1, 50_000));
    let second = subject.back_up();
    assert!(browser.refresh().unwrap());

    let name = format!("day 1700000000_{}", second.to_hex());
    assert_eq!(names_in(&browser, by_date), ["day 1700000000", &name]);
    // Its chunks are in an index object that the browser had not seen before.
    let file = walk_to(&browser, &format!("by-date/{name}/more"));
    assert_eq!(read_all(&browser, file.inode), noise(1, 50_000));
}

#[test]
fn a_directory_of_a_snapshot_can_be_the_root() {
    let subject = Subject::new();
    subject.write("a/b/file", b"contents");
    fs::set_permissions(subject.source().join("a/b"), fs::Permissions::from_mode(0o751)).unwrap();
    let snapshot = subject.back_up();
    let at = |path: &str| Selection::Directory { snapshot, path: path.into() };

    let browser = subject.browse(at("a/b"), LARGE_CACHE).unwrap();
    assert_eq!(names_in(&browser, Inode::ROOT), ["file"]);
    assert_eq!(browser.attributes(Inode::ROOT).unwrap().mode, 0o751);
    assert!(browser.xattr_names(Inode::ROOT).is_ok());
    assert_eq!(browser.path_of(walk_to(&browser, "file").inode).unwrap(), Path::new("file"));

    let refused = |path| subject.browse(at(path), LARGE_CACHE).err();
    assert!(matches!(refused("a/b/file"), Some(Error::NotADirectory { .. })));
    assert!(matches!(refused("a/c"), Some(Error::NoSuchPath { .. })));
}

#[test]
fn attributes_are_those_of_the_source() {
    let subject = Subject::new();
    subject.write("file", &noise(1, 12_345));
    fs::set_permissions(subject.source().join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("to/where", subject.source().join("link")).unwrap();
    let metadata = fs::metadata(subject.source().join("file")).unwrap();
    subject.back_up();
    let browser = subject.browse_latest(LARGE_CACHE);

    let file = walk_to(&browser, "file");
    assert_eq!((file.kind, file.size, file.data_bytes, file.mode), (FileKind::File, 12_345, 12_345, 0o640));
    assert_eq!((file.uid, file.gid, file.links), (metadata.uid(), metadata.gid(), 1));
    assert_eq!(file.mtime, Timestamp::new(metadata.mtime(), metadata.mtime_nsec() as u32));
    let link = walk_to(&browser, "link");
    assert_eq!((link.kind, link.size), (FileKind::Symlink, 8));
    assert_eq!(browser.read_link(link.inode).unwrap(), b"to/where");
}

#[test]
fn names_of_one_file_share_an_inode_and_are_counted_as_they_are_seen() {
    let subject = Subject::new();
    subject.write("a", b"linked");
    for name in ["b", "c"] {
        fs::hard_link(subject.source().join("a"), subject.source().join(name)).unwrap();
    }
    subject.back_up();
    let browser = subject.browse_latest(LARGE_CACHE);

    let first = walk_to(&browser, "a");
    assert_eq!((first.links, first.lasting), (2, false));
    let others = [walk_to(&browser, "b"), walk_to(&browser, "c"), walk_to(&browser, "c")];

    assert!(others.iter().all(|other| other.inode == first.inode));
    assert_eq!(browser.attributes(first.inode).unwrap().links, 3);
    assert_eq!(read_all(&browser, first.inode), b"linked");
}

#[test]
fn what_is_forgotten_takes_no_room() {
    let subject = Subject::new();
    subject.write("a/b", b"1");
    subject.back_up();
    let browser = subject.browse_latest(LARGE_CACHE);

    let file = walk_to(&browser, "a/b");
    assert_eq!(walk_to(&browser, "a/b"), file);
    assert_eq!(browser.totals().inodes, 2);
    browser.forget(file.inode, 1);
    assert_eq!(browser.attributes(file.inode).unwrap(), file);
    browser.forget(file.inode, 1);

    assert!(matches!(browser.attributes(file.inode), Err(BrowseError::Stale)));
    assert_eq!(browser.totals().inodes, 1);
    assert_eq!(walk_to(&browser, "a/b"), file, "the same number as before");
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let subject = Subject::new();
    subject.write("file", b"1");
    subject.back_up();
    let browser = subject.browse(Selection::All, LARGE_CACHE).unwrap();
    let file = walk_to(&browser, "by-date/day 1700000000/file").inode;

    assert!(matches!(browser.look_up(Inode::ROOT, b"absent"), Err(BrowseError::NotThere)));
    assert!(matches!(browser.look_up(file, b"x"), Err(BrowseError::OtherKind)));
    assert!(matches!(browser.open_directory(file), Err(BrowseError::OtherKind)));
    assert!(matches!(browser.open_file(Inode::ROOT), Err(BrowseError::OtherKind)));
    assert!(matches!(browser.read_link(file), Err(BrowseError::OtherKind)));
    assert!(matches!(browser.attributes(Inode(12_345)), Err(BrowseError::Stale)));
    browser.forget(Inode(12_345), 1);
}

#[test]
fn a_listing_goes_on_from_any_position() {
    let subject = Subject::new();
    for number in 0..500 {
        subject.write(&format!("{number:03}"), b"");
    }
    subject.back_up();
    let browser = subject.browse_latest(LARGE_CACHE);

    let directory = browser.open_directory(Inode::ROOT).unwrap();
    let mut positions = vec![0];
    let all = names_in(&browser, Inode::ROOT);
    browser
        .list(&directory, 0, &mut |listed| {
            positions.push(listed.next);
            true
        })
        .unwrap();

    assert_eq!(all.len(), 500);
    for (number, &position) in positions.iter().enumerate().rev() {
        let mut found = None;
        let again = browser.open_directory(Inode::ROOT).unwrap();
        browser
            .list(&again, position, &mut |listed| {
                found = Some(listed.name.to_vec());
                false
            })
            .unwrap();
        assert_eq!(found.as_deref(), all.get(number).map(String::as_bytes));
    }
}

#[test]
fn any_range_of_a_file_is_read_also_through_a_tiny_cache() {
    let subject = Subject::new();
    let contents = noise(1, 3_000_000);
    subject.write("file", &contents);
    subject.back_up();

    for cache_bytes in [0, 100_000, LARGE_CACHE] {
        let browser = subject.browse_latest(cache_bytes);
        let file = browser.open_file(walk_to(&browser, "file").inode).unwrap();
        for seed in 0..200_u64 {
            let offset = (seed * 7_919_317) % 3_100_000;
            let length = (seed * 104_729) % 70_000;
            let from = contents.len().min(offset as usize);
            let to = contents.len().min((offset + length) as usize);
            assert_eq!(browser.read(&file, offset, length as u32).unwrap(), contents[from..to]);
        }
        assert_eq!(browser.read(&file, u64::MAX, u32::MAX).unwrap(), b"");
    }
}

#[test]
fn holes_are_zeros_and_are_found() {
    let subject = Subject::new();
    let path = subject.source().join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(&noise(1, 5_000), 300_000).unwrap();
    drop(file);
    subject.back_up();
    let browser = subject.browse_latest(LARGE_CACHE);

    let attributes = walk_to(&browser, "sparse");
    let opened = browser.open_file(attributes.inode).unwrap();

    assert_eq!(read_all(&browser, attributes.inode), fs::read(&path).unwrap());
    if attributes.data_bytes < attributes.size {
        let data = browser.next_data(&opened, 0).unwrap();
        assert!((1..=300_000).contains(&data));
        assert!((305_000..1 << 20).contains(&browser.next_hole(&opened, data).unwrap()));
        assert_eq!(browser.next_hole(&opened, 0), Some(0));
        assert_eq!(browser.next_data(&opened, (1 << 20) - 1), None);
    }
    assert_eq!(browser.next_hole(&opened, 1 << 20), None);
    assert_eq!(browser.next_data(&opened, 1 << 20), None);
}

#[test]
fn a_file_with_chunk_lists_is_read_anywhere() {
    let subject = Subject::new();
    // More chunks than an entry lists itself, at about three kilobytes each.
    let contents = noise(1, 16 << 20);
    subject.write("file", &contents);
    subject.back_up();
    let browser = subject.browse_latest(1 << 20);

    let file = walk_to(&browser, "file");
    let lists = browser.source.with_vault(|vault| {
        let snapshot = vault.state().snapshots().last().unwrap().id;
        let (_, entry, _) = find_path(vault, &browser.source.reader(), &snapshot, Path::new("file")).unwrap();
        matches!(entry.kind, EntryKind::File { contents: crate::format::tree::Contents::Lists(_), .. })
    });
    assert!(lists, "the file is too small for this test");
    assert_eq!(read_all(&browser, file.inode), contents);
    let opened = browser.open_file(file.inode).unwrap();
    for at in [0, 1, 2_345_678, contents.len() - 1] {
        assert_eq!(browser.read(&opened, at as u64, 1).unwrap(), contents[at..=at]);
    }
}

#[test]
fn many_threads_read_at_once() {
    let subject = Subject::new();
    let contents: Vec<_> = (0..20_u64).map(|seed| noise(seed, 100_000)).collect();
    for (number, contents) in contents.iter().enumerate() {
        subject.write(&format!("{number}"), contents);
    }
    subject.back_up();
    let browser = subject.browse_latest(300_000);

    thread::scope(|scope| {
        for worker in 0..8_usize {
            let (browser, contents) = (&browser, &contents);
            scope.spawn(move || {
                for round in 0..40 {
                    let number = (worker * 7 + round * 3) % contents.len();
                    let file = walk_to(browser, &number.to_string());
                    assert_eq!(read_all(browser, file.inode), contents[number]);
                    browser.forget(file.inode, 1);
                }
            });
        }
    });

    assert_eq!(browser.totals().inodes, 0);
}

#[test]
fn damage_costs_only_what_is_in_it() {
    let subject = Subject::new();
    subject.write("old", &noise(1, 2_000_000));
    subject.back_up();
    let packs = |subject: &Subject| {
        let mut found = Vec::new();
        for directory in fs::read_dir(subject.root.path().join("vault/packs")).unwrap() {
            found.extend(fs::read_dir(directory.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
        found
    };
    let pack = packs(&subject).remove(0);
    subject.write("new", &noise(2, 50_000));
    subject.back_up();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let browser = subject.browse_latest(LARGE_CACHE);

    let old = browser.open_file(walk_to(&browser, "old").inode).unwrap();
    let failed = AtomicUsize::new(0);
    for at in (0..2_000_000).step_by(10_000) {
        match browser.read(&old, at, 10_000) {
            Ok(bytes) => assert_eq!(bytes, noise(1, 2_000_000)[at as usize..][..10_000]),
            Err(BrowseError::Vault(Error::Damaged { .. })) => {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    assert!((1..150).contains(&failed.into_inner()));
    assert_eq!(read_all(&browser, walk_to(&browser, "new").inode), noise(2, 50_000));
    fs::remove_file(&pack).unwrap();
    let browser = subject.browse_latest(LARGE_CACHE);
    let old = browser.open_file(walk_to(&browser, "old").inode).unwrap();
    assert!(matches!(browser.read(&old, 0, 10), Err(BrowseError::Vault(Error::Missing { .. }))));
}

#[test]
fn a_sequential_reader_finds_the_next_segments_open() {
    let subject = Subject::new();
    subject.write("file", &noise(1, 8 << 20));
    subject.back_up();
    let browser = subject.browse_latest(LARGE_CACHE);
    let file = browser.open_file(walk_to(&browser, "file").inode).unwrap();

    for at in 0..4 {
        browser.read(&file, at * 100_000, 100_000).unwrap();
    }
    // Dropped, the threads end what they were asked for.
    let Browser { ahead, source, .. } = browser;
    drop(ahead);

    assert!(source.opened_bytes() > 1 << 20, "{}", source.opened_bytes());
}
