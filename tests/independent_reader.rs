//! What the program stores, the Python reader in `reader/` restores: it knows docs/format.md and nothing of this code.
//!
//! Needs python3 with venv, node and npm; `reader/setup.sh` installs the pinned packages once. Where they are missing, the tests
//! say that they were skipped, unless `CI` is set: there they fail.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::print_stdout, reason = "a skipped test must say so")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use tempfile::TempDir;
use vault_core::chunk::cut::Params;
use vault_core::crypto::random::{Random as _, SystemRandom};
use vault_core::id::{PackId, SnapshotId};
use vault_core::keys::SecretString;
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::{self, Body, Condemn, Forget, PqPolicy};
use vault_core::ops::backup::{BackupOptions, BackupSummary, backup};
use vault_core::ops::enroll::enroll;
use vault_core::ops::init::{InitOptions, init};
use vault_core::ops::tag::{TagChange, tag};
use vault_core::ops::{Stop, Surroundings};
use vault_core::progress::Silent;
use vault_core::store::ObjectKey;
use vault_core::store::location::{Access, Location};
use vault_core::time::{FixedClock, Timestamp};
use vault_core::vault::Vault;
use vault_tests::local_below;

const PASSPHRASE: &str = "a passphrase of words";

/// scrypt's cheapest that age's implementations accept: the format is what is tested.
const WORK_FACTOR: u8 = 2;

const TINY_FILES: usize = 3_000;
/// Empty files with the longest names: 320 bytes each in a node.
const CROWD: usize = 15_000;

const LARGE_FILE_BYTES: usize = 9 << 20;
const SPARSE_FILE_BYTES: u64 = 64 << 20;

/// The interpreter with the reader's packages; `None` where they cannot be had.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python");
        let setup = Command::new(tests.join("reader/setup.sh")).arg(environment).output().unwrap();
        if setup.status.success() {
            return Some(PathBuf::from(String::from_utf8(setup.stdout).unwrap().trim()));
        }
        let said = String::from_utf8_lossy(&setup.stderr);
        assert!(std::env::var_os("CI").is_none(), "the Python reader must run here: {said}");
        println!("skipped: {said}");
        None
    });
    found.as_deref()
}

/// A vault in a temporary directory, with its user and a device.
struct Fixture {
    directory: TempDir,
    identity: UserIdentity,
    device: DeviceKeys,
    random: SystemRandom,
    clock: FixedClock,
    stop: Stop,
}

impl Fixture {
    fn new() -> Self {
        Self::with_chunker(Params::default())
    }

    fn with_chunker(chunker: Params) -> Self {
        let random = SystemRandom::new();
        let fixture = Self {
            directory: TempDir::new().unwrap(),
            identity: UserIdentity::generate(&random).unwrap(),
            device: DeviceKeys::generate(&random).unwrap(),
            random,
            clock: FixedClock(Timestamp::new(1_700_000_000, 5)),
            stop: Stop::new(),
        };
        let passphrase = SecretString::from(PASSPHRASE.to_owned());
        let options = InitOptions {
            location: &fixture.location(),
            access: &Access::local(),
            identity: &fixture.identity,
            sealed_identity: Some(
                &fixture.identity.seal_with_passphrase(&passphrase, Some(WORK_FACTOR)).unwrap(),
            ),
            device: &fixture.device,
            pq: PqPolicy::Required,
            chunker,
        };
        init(&options, &fixture.around()).unwrap();
        fs::write(fixture.path("identity"), fixture.identity.to_secret_text().as_bytes()).unwrap();
        fs::write(fixture.path("passphrase"), PASSPHRASE).unwrap();
        fs::create_dir(fixture.path("source")).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn location(&self) -> Location {
        Location::parse(self.path("vault")).unwrap()
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings { clock: &self.clock, random: &self.random, progress: &Silent, stop: &self.stop }
    }

    fn open(&self) -> Vault {
        Vault::open(self.location().open(&Access::local()).unwrap(), local_below(self.directory.path()))
            .unwrap()
    }

    /// Backs `source` up by the first device.
    fn backup(&self) -> BackupSummary {
        self.backup_by(&self.device)
    }

    fn backup_by(&self, device: &DeviceKeys) -> BackupSummary {
        let options = BackupOptions {
            paths: vec![self.path("source")],
            tags: vec!["reader".to_owned()],
            host: "host".to_owned(),
            program: "test".to_owned(),
            ..BackupOptions::default()
        };
        let summary = backup(&mut self.open(), device, &options, &self.around()).unwrap();
        assert_eq!(summary.counts.failed_entries, 0);
        summary
    }

    /// Appends a statement of the first device, which must be allowed.
    fn append(&self, body: Body) {
        let vault = self.open();
        let payload = vault.state().draft(self.device.device_id(), self.clock.0, body);
        let stored = log::sign(&payload, self.device.signing()).unwrap();
        vault.state().verify(&stored).unwrap();
        let _ = vault.store().put_new(&ObjectKey::Statement(payload.seq), &stored).unwrap();
    }

    fn forget(&self, snapshot: SnapshotId) {
        self.append(Body::Forget(Forget { snapshots: vec![snapshot] }));
    }

    /// The packs of the vault.
    fn packs(&self) -> Vec<PathBuf> {
        files_in(&self.path("vault/packs"))
    }

    /// Condemns packs, replaces all index objects of the domain but the last by none, and deletes what is condemned.
    fn condemn(&self, packs: &[PathBuf], indexes: usize) {
        let domain = self.identity.user_id().into();
        let named = |path: &PathBuf| PackId::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let mut condemned: Vec<_> = packs.iter().map(named).collect();
        condemned.sort();
        let mut replaced: Vec<_> = self.open().state().indexes(domain).take(indexes).collect();
        replaced.sort();
        for index in &replaced {
            fs::remove_file(self.path("vault/index").join(index.to_hex())).unwrap();
        }
        self.append(Body::Condemn(Condemn { domain, packs: condemned, replaced, replacements: Vec::new() }));
        packs.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    }

    /// Restores a snapshot by the reader, and compares it with `source`.
    fn assert_restored(&self, python: &Path, snapshot: &str) {
        let restored = self.path("restored");
        self.read_well(python, "extract", &[snapshot.as_ref(), restored.as_ref()]);

        let (expected, found) = (look(&self.path("source")), look(&restored));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (path, seen) in &expected {
            assert!(found[path] == *seen, "{} is not what it was", path.display());
        }
    }

    /// Runs a command of the reader on the vault.
    fn read(&self, python: &Path, command: &str, arguments: &[&OsStr]) -> Output {
        Command::new(python)
            .args(["-m", "vault_reader", command])
            .arg(self.path("vault"))
            .args(arguments)
            .env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("reader"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap()
    }

    /// Runs a command of the reader that must succeed, with the user's identity.
    fn read_well(&self, python: &Path, command: &str, arguments: &[&OsStr]) -> String {
        let identity = self.path("identity");
        let output =
            self.read(python, command, &[arguments, &["--identity".as_ref(), identity.as_ref()]].concat());
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a tree with everything that a snapshot can hold.
    fn make_tree(&self) {
        let root = self.path("source");
        make_files(&root, &self.random);
        make_others(&root);
        // Directories last: what is made in one changes its time.
        set_time(&root.join("nested/deep"), 1_000_000_000, 1);
        set_time(&root.join("nested"), 0, 0);
        set_time(&root, 1_234_567_890, 123_456_789);
    }
}

fn make_files(root: &Path, random: &SystemRandom) {
    fs::create_dir_all(root.join("nested/deep/empty directory")).unwrap();
    fs::create_dir(root.join("tiny")).unwrap();
    for number in 0..TINY_FILES {
        fs::write(root.join(format!("tiny/{number}")), format!("contents of {number}\n").repeat(number % 7))
            .unwrap();
    }
    let mut large = vec![0; LARGE_FILE_BYTES];
    random.fill(&mut large[..LARGE_FILE_BYTES / 2]).unwrap();
    fs::write(root.join("large"), &large).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("nested/deep/mode"), "x").unwrap();
    fs::set_permissions(root.join("nested/deep/mode"), fs::Permissions::from_mode(0o4751)).unwrap();
    set_time(&root.join("nested/deep/mode"), 4_000_000_000, 999_999_999);
    fs::write(root.join(OsStr::from_bytes(b"not UTF-8 \xff\xfe")), "named by bytes").unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(SPARSE_FILE_BYTES).unwrap();
    sparse.write_all_at(&large[..100_000], 3 << 20).unwrap();
    sparse.write_all_at(b"end", SPARSE_FILE_BYTES / 2).unwrap();
    File::create(root.join("only a hole")).unwrap().set_len(1 << 20).unwrap();
}

fn make_others(root: &Path) {
    symlink("nested/deep", root.join("link")).unwrap();
    symlink(OsStr::from_bytes(b"/nowhere/\xff"), root.join("dangling")).unwrap();
    fs::write(root.join("hard one"), "linked").unwrap();
    fs::hard_link(root.join("hard one"), root.join("nested/hard two")).unwrap();
    fs::hard_link(root.join("hard one"), root.join("tiny/hard three")).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    // Not every file system has user attributes; where they are refused, there is nothing to compare.
    let _ = setxattr(root.join("large"), "user.vault.test", b"value \0 \xff", XattrFlags::empty());
    let _ = setxattr(root.join("nested"), "user.vault.empty", b"", XattrFlags::empty());
}

fn set_time(path: &Path, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// All that is compared of one entry. `same_as` is the first path with its inode: equal trees have equal link structure.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    mtime: (i64, i64),
    owner: (u32, u32),
    contents: Vec<u8>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    same_as: PathBuf,
}

/// Describes everything below and including `root`, by relative path.
fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let (mut seen, mut inodes, mut waiting) = (BTreeMap::new(), BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(relative) = waiting.pop() {
        let path = root.join(&relative);
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut contents = Vec::new();
        if metadata.is_dir() {
            let mut names: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            waiting.extend(names.iter().rev().map(|name| relative.join(name)));
        } else if metadata.is_symlink() {
            contents = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
        } else if metadata.is_file() {
            contents = fs::read(&path).unwrap();
        }
        let same_as = inodes.entry(metadata.ino()).or_insert_with(|| relative.clone()).clone();
        let described = Seen {
            mode: metadata.mode(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            owner: (metadata.uid(), metadata.gid()),
            contents,
            xattrs: xattrs(&path),
            same_as,
        };
        seen.insert(relative, described);
    }
    seen
}

/// The attributes of an entry that the fixture may have set.
fn xattrs(path: &Path) -> Vec<(OsString, Vec<u8>)> {
    let read = |name: &str| {
        let mut value = vec![0; 100];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some((OsString::from(name), value))
    };
    ["user.vault.test", "user.vault.empty"].into_iter().filter_map(read).collect()
}

/// Turns one bit around in a file that is there.
fn damage(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// The files in a folder of the vault, those in folders of it included.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[test]
fn a_reader_that_knows_only_the_format_restores_everything() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    fixture.make_tree();

    let snapshot = fixture.backup().snapshot.to_hex();
    fixture.assert_restored(python, &snapshot[..12]);

    let blocks = |root: &str| fs::metadata(fixture.path(root).join("sparse")).unwrap().blocks();
    assert!(blocks("restored") <= blocks("source"), "holes were filled");
}

#[test]
fn directories_and_chunk_lists_of_several_nodes_are_read() {
    let Some(python) = python() else { return };
    let fixture = Fixture::with_chunker(Params::new(256, 8, 4_096).unwrap());
    let source = fixture.path("source");
    // Entries of more than 4 MiB, and more chunks than one entry holds.
    fs::create_dir(source.join("crowd")).unwrap();
    for number in 0..CROWD {
        File::create(source.join(format!("crowd/{number:0255}"))).unwrap();
    }
    let mut contents = vec![0; 4 << 20];
    fixture.random.fill(&mut contents).unwrap();
    fs::write(source.join("many chunks"), contents).unwrap();

    fixture.backup();

    let verified = fixture.read_well(python, "verify", &[]);
    for what in ["chunk lists", "nodes of large directories"] {
        let some = verified.lines().any(|line| line.ends_with(what) && !line.trim_start().starts_with("0 "));
        assert!(some, "the vault has no {what}: {verified}");
    }
    fixture.assert_restored(python, "latest");
}

#[test]
fn the_reader_refuses_what_the_format_forbids() {
    let Some(python) = python() else { return };
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("reader");

    let output = Command::new(python).args(["-B", "-m", "unittest"]).current_dir(reader).output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("OK"), "{said}");
}

#[test]
fn every_object_of_a_vault_is_what_the_format_says() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    fixture.make_tree();
    fixture.backup();
    fs::write(fixture.path("source/large"), "changed").unwrap();
    fs::write(fixture.path("source/new"), "new").unwrap();
    let other = DeviceKeys::generate(&fixture.random).unwrap();
    enroll(&mut fixture.open(), &fixture.identity, &other, &fixture.around()).unwrap();
    let second = fixture.backup_by(&other).snapshot.to_hex();

    let verified = fixture.read_well(python, "verify", &[]);
    let listed = fixture.read_well(python, "list", &[]);
    let entries = fixture.read_well(python, "ls", &[second.as_ref()]);

    assert!(verified.contains("2 snapshots"), "{verified}");
    assert!(listed.lines().nth(1).unwrap().starts_with(&second), "{listed}");
    assert!(entries.lines().any(|line| line.ends_with(" new")), "{entries}");
    assert_eq!(entries.lines().count(), look(&fixture.path("source")).len() - 1);
}

#[test]
fn a_passphrase_and_the_directory_suffice() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    fs::write(fixture.path("source/file"), "contents").unwrap();
    fixture.backup();

    let passphrase = fixture.path("passphrase");
    let restored = fixture.path("restored");
    let arguments =
        ["latest".as_ref(), restored.as_os_str(), "--passphrase-file".as_ref(), passphrase.as_os_str()];
    let output = fixture.read(python, "extract", &arguments);

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(restored.join("file")).unwrap(), b"contents");
}

#[test]
fn a_byte_turned_around_anywhere_is_found() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    fs::write(fixture.path("source/file"), "contents").unwrap();
    fixture.backup();
    fixture.read_well(python, "verify", &[]);

    let user = fixture.identity.user_id().to_hex();
    let member = fixture.path("vault").join("epochs/1").join(format!("{user}.age"));
    let [packs, indexes, log] =
        ["packs", "index", "log"].map(|folder| files_in(&fixture.path("vault").join(folder)));
    for path in [packs, indexes, log, vec![member]].concat() {
        let middle = fs::metadata(&path).unwrap().len() / 2;
        damage(&path, middle);

        let identity = fixture.path("identity");
        let output = fixture.read(python, "verify", &["--identity".as_ref(), identity.as_ref()]);

        assert_eq!(output.status.code(), Some(1), "{} was damaged unseen", path.display());
        assert!(!String::from_utf8_lossy(&output.stderr).contains("Traceback"), "{}", path.display());
        damage(&path, middle);
    }
}

#[test]
fn a_vault_after_forget_and_prune_is_read() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    fs::write(fixture.path("source/one"), "first contents").unwrap();
    let first = fixture.backup().snapshot;
    let packs = fixture.packs();
    fs::remove_file(fixture.path("source/one")).unwrap();
    fs::write(fixture.path("source/two"), "second contents").unwrap();
    let second = fixture.backup().snapshot;

    fixture.forget(first);
    let forgotten = fixture.read_well(python, "list", &[]);
    fixture.condemn(&packs, 1);
    let verified = fixture.read_well(python, "verify", &[]);

    assert_eq!(forgotten.lines().count(), 1);
    assert!(forgotten.starts_with(&second.to_hex()), "{forgotten}");
    assert!(verified.contains("1 snapshots") && verified.contains("1 indexes"), "{verified}");
    fixture.assert_restored(python, "latest");
    let identity = fixture.path("identity");
    let arguments = [first.to_hex(), "nowhere".to_owned(), "--identity".to_owned()];
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).chain([identity.as_os_str()]).collect();
    assert_eq!(fixture.read(python, "extract", &arguments).status.code(), Some(1));
}

#[test]
fn a_condemned_pack_is_absent_although_an_index_object_names_it() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    fs::write(fixture.path("source/one"), "contents").unwrap();
    let snapshot = fixture.backup().snapshot.to_hex();
    // While the first packs are lost, a backup stores their chunks anew.
    let first = fixture.packs();
    let away = |pack: &PathBuf| fixture.path(pack.file_name().unwrap().to_str().unwrap());
    first.iter().for_each(|pack| fs::rename(pack, away(pack)).unwrap());
    fixture.backup();
    let again = fixture.packs();
    first.iter().for_each(|pack| fs::rename(away(pack), pack).unwrap());

    fixture.condemn(&again, 0);

    let verified = fixture.read_well(python, "verify", &[]);
    assert!(verified.contains("2 snapshots"), "{verified}");
    fixture.assert_restored(python, &snapshot);
}

#[test]
fn tags_are_those_of_the_newest_annotation() {
    let Some(python) = python() else { return };
    let fixture = Fixture::new();
    let snapshot = fixture.backup().snapshot;
    let mut vault = fixture.open();
    let reader = vault.unlock(&fixture.identity).unwrap();
    for tags in [&["one"][..], &["two", "three"]] {
        let set = Some(tags.iter().copied().map(str::to_owned).collect());
        let change = TagChange { set, ..TagChange::default() };
        tag(&mut vault, (&reader, &fixture.device), &[snapshot], &change, &fixture.around()).unwrap();
    }

    let listed = fixture.read_well(python, "list", &[]);
    let verified = fixture.read_well(python, "verify", &[]);

    assert!(listed.contains(" two,three "), "{listed}");
    assert!(verified.contains("5 statements"), "{verified}");
}
