//! Small vaults in temporary directories, made by `init` and `backup`; each test damages one and looks at what is found.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::chunk::cut::Params;
use crate::crypto::random::FixedRandom;
use crate::keys::device::DeviceKeys;
use crate::keys::identity_file::UserIdentity;
use crate::log::PqPolicy;
use crate::ops::Stop;
use crate::ops::backup::{BackupOptions, backup};
use crate::ops::init::{InitOptions, init};
use crate::progress::{Recording, Silent};
use crate::store::location::{Access, Location};
use crate::time::{FixedClock, Timestamp};
use crate::vault::LocalPaths;

/// A vault of two snapshots, each with a pack and an index of its own.
struct TestVault {
    root: TempDir,
    identity: UserIdentity,
    random: FixedRandom,
    snapshots: Vec<SnapshotId>,
}

const CLOCK: FixedClock = FixedClock(Timestamp::new(1_700_000_000, 0));
static GO_ON: Stop = Stop::new();

impl TestVault {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let random = FixedRandom::new(1);
        let identity = UserIdentity::generate(&random).unwrap();
        let device = DeviceKeys::generate(&random).unwrap();
        let mut vault = Self { root, identity, random, snapshots: Vec::new() };
        let sealed = vault.identity.seal_to(&[vault.identity.recipient()]).unwrap();
        let options = InitOptions {
            location: &vault.location(),
            access: &Access::local(),
            identity: &vault.identity,
            sealed_identity: Some(&sealed),
            device: &device,
            pq: PqPolicy::Required,
            chunker: Params::default(),
        };
        init(&options, &vault.around(&Silent)).unwrap();

        let source = vault.root.path().join("source");
        fs::create_dir_all(source.join("deep/er")).unwrap();
        fs::write(source.join("deep/er/shared"), noise(1, 50_000)).unwrap();
        for number in 0..2 {
            fs::write(source.join(format!("file{number}")), noise(number + 2, 100_000)).unwrap();
            let mut open = vault.open().unwrap();
            let around = vault.around(&Silent);
            let made = backup(&mut open, &device, &backup_options(&source), &around).unwrap();
            vault.snapshots.push(made.snapshot);
        }
        vault
    }

    fn location(&self) -> Location {
        Location::Directory(self.root.path().join("vault"))
    }

    fn around<'a>(&'a self, progress: &'a dyn crate::progress::Progress) -> Surroundings<'a> {
        Surroundings { clock: &CLOCK, random: &self.random, progress, stop: &GO_ON }
    }

    fn open(&self) -> Result<Vault, Error> {
        let local =
            LocalPaths { state: self.root.path().join("state"), cache: self.root.path().join("cache") };
        Vault::open(self.location().open(&Access::local())?, local)
    }

    /// Checks with an empty cache, as another machine would.
    fn check(&self, read_data: bool) -> Result<CheckSummary, Error> {
        let _ = fs::remove_dir_all(self.root.path().join("cache/index"));
        self.check_with_cache(read_data)
    }

    fn check_with_cache(&self, read_data: bool) -> Result<CheckSummary, Error> {
        let vault = self.open()?;
        let reader = vault.unlock(&self.identity)?;
        check(&vault, &reader, CheckOptions { read_data, ..CheckOptions::default() }, &self.around(&Silent))
    }

    /// The objects of a kind, in order.
    fn objects(&self, kind: ObjectKind) -> Vec<ObjectKey> {
        let mut keys = Vec::new();
        let store = self.location().open(&Access::local()).unwrap().store;
        store
            .list(kind, &mut |key, _| {
                keys.push(key);
                ControlFlow::Continue(())
            })
            .unwrap();
        keys
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.path().join("vault").join(key.path())
    }
}

fn backup_options(source: &Path) -> BackupOptions {
    BackupOptions {
        paths: vec![source.to_owned()],
        host: "host".into(),
        program: "test".into(),
        ..BackupOptions::default()
    }
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// Damages the first file; a swap takes the second one's bytes.
type Inflict = fn(&Path, &Path);

const DAMAGES: [(&str, Inflict); 4] = [
    ("flip", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        // Every object has its first byte within what can be checked of it without keys.
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("truncate", |path, _| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("delete", |path, _| fs::remove_file(path).unwrap()),
    ("swap", |path, other| {
        let (bytes, others) = (fs::read(path).unwrap(), fs::read(other).unwrap());
        fs::write(path, others).unwrap();
        fs::write(other, bytes).unwrap();
    }),
];

#[test]
fn an_undamaged_vault_has_no_findings() {
    let vault = TestVault::new();

    for read_data in [false, true] {
        let summary = vault.check(read_data).unwrap();

        assert!(summary.findings.is_empty(), "{:?}", summary.findings);
        assert_eq!((summary.snapshots, summary.orphans, summary.interrupted), (2, 0, false));
        // Four statements, two envelopes, an identity, two indexes, two packs.
        assert_eq!(summary.objects, 11);
        // Three files, and the nodes of two roots and of two directories below them.
        assert_eq!(summary.chunks, if read_data { 7 } else { 0 });
    }
}

#[test]
fn progress_tells_of_every_object_and_byte() {
    let vault = TestVault::new();
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let heard = Recording::default();

    let summary = check(&open, &reader, CheckOptions::default(), &vault.around(&heard)).unwrap();

    let stored: u64 = ObjectKind::ALL
        .into_iter()
        .flat_map(|kind| vault.objects(kind))
        .map(|key| fs::metadata(vault.path(&key)).unwrap().len())
        .sum();
    assert_eq!((heard.done().bytes, summary.bytes), (stored, stored));
    assert_eq!(heard.done().items, summary.objects + 2);
    assert!(heard.notices().is_empty());
}

#[test]
fn every_damage_to_every_kind_of_object_is_named() {
    for kind in ObjectKind::ALL {
        for (damage, inflict) in DAMAGES {
            let vault = TestVault::new();
            let keys = vault.objects(kind);
            let victim = keys[0];
            // There is one identity, and one without its file is a vault whose owner keeps it elsewhere.
            if kind == ObjectKind::Identity && damage != "flip" {
                continue;
            }
            let other = *keys.last().unwrap();
            inflict(&vault.path(&victim), &vault.path(&other));

            for read_data in [false, true] {
                let named = match vault.check(read_data) {
                    Ok(summary) => summary.findings.iter().any(|finding| finding.object == Some(victim)),
                    // A swap damages both, and what does not open first is named.
                    Err(error) => names(&error, &victim) || damage == "swap" && names(&error, &other),
                };
                assert!(named, "{damage} of {victim}");
            }
        }
    }
}

/// Whether an error that kept the vault from opening says which object is at fault.
fn names(error: &Error, victim: &ObjectKey) -> bool {
    let mut texts = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        texts = format!("{texts}: {next}");
        source = next.source();
    }
    match victim {
        // A log that lost its first statement is as one that was rolled back.
        ObjectKey::Statement(seq) => texts.contains(&seq.to_string()) || matches!(error, Error::History(_)),
        other => texts.contains(&other.path()),
    }
}

#[test]
fn a_finding_lists_the_snapshots_that_suffer() {
    for (damage, inflict) in &DAMAGES[..3] {
        let vault = TestVault::new();
        let open = vault.open().unwrap();
        let indexes: Vec<_> = open.state().all_indexes().map(|(_, id)| id).collect();
        let packs_of = |index: usize| {
            let reader = open.unlock(&vault.identity).unwrap();
            let keys = reader.keys_of(open.state().all_indexes().next().unwrap().0).unwrap();
            open.read_index(indexes[index], keys).unwrap()[0].id
        };
        // The first pack holds what both snapshots share, the second what only the later one has.
        let (first, second) = (ObjectKey::Pack(packs_of(0)), ObjectKey::Pack(packs_of(1)));

        let second_bytes = fs::read(vault.path(&second)).unwrap();
        inflict(&vault.path(&second), Path::new(""));
        let summary = vault.check(false).unwrap();
        assert_eq!(summary.findings.len(), 1, "{damage}: {:?}", summary.findings);
        assert_eq!(summary.findings[0].object, Some(second));
        assert_eq!(summary.findings[0].snapshots, vault.snapshots[1..]);
        assert_eq!(summary.snapshots, 1);

        fs::write(vault.path(&second), second_bytes).unwrap();
        inflict(&vault.path(&first), Path::new(""));
        let summary = vault.check(true).unwrap();
        assert_eq!(summary.findings.len(), 1, "{damage}: {:?}", summary.findings);
        assert_eq!(summary.findings[0].object, Some(first));
        assert_eq!(summary.findings[0].snapshots, [vault.snapshots[1], vault.snapshots[0]], "{damage}");
        assert_eq!(summary.snapshots, 0);
    }
}

#[test]
fn snapshots_suffer_from_a_damaged_index_whether_or_not_it_is_cached() {
    for cached in [false, true] {
        let vault = TestVault::new();
        let (_, index) = vault.open().unwrap().state().all_indexes().nth(1).unwrap();
        let victim = ObjectKey::Index(index);
        vault.check(false).unwrap();
        fs::remove_file(vault.path(&victim)).unwrap();

        let summary = if cached { vault.check_with_cache(true) } else { vault.check(true) }.unwrap();

        assert_eq!(summary.findings.len(), 1, "{:?}", summary.findings);
        assert_eq!(summary.findings[0].object, Some(victim));
        assert_eq!(summary.findings[0].snapshots, vault.snapshots[1..]);
        assert_eq!((summary.snapshots, summary.orphans), (1, 1));
    }
}

#[test]
fn flipped_bytes_anywhere_in_a_pack_are_found() {
    let vault = TestVault::new();
    let victim = vault.objects(ObjectKind::Pack)[0];
    let good = fs::read(vault.path(&victim)).unwrap();

    for offset in (0..good.len()).step_by(good.len() / 40).chain(good.len() - 20..good.len()) {
        let mut bad = good.clone();
        bad[offset] ^= 0x10;
        fs::write(vault.path(&victim), bad).unwrap();

        let summary = vault.check(offset % 2 == 0).unwrap();

        assert_eq!(summary.findings.len(), 1, "byte {offset}: {:?}", summary.findings);
        assert_eq!(summary.findings[0].object, Some(victim));
    }
}

#[test]
fn a_pack_that_no_index_names_is_no_damage() {
    let vault = TestVault::new();
    let store = vault.location().open(&Access::local()).unwrap().store;
    let _ = store.put_new(&ObjectKey::Pack(PackId::new([7; 32])), b"left behind").unwrap();

    let summary = vault.check(true).unwrap();

    assert_eq!((summary.findings.len(), summary.orphans, summary.objects), (0, 1, 11));
}

#[test]
fn a_vault_without_identities_gets_a_note() {
    let vault = TestVault::new();
    fs::remove_file(vault.path(&vault.objects(ObjectKind::Identity)[0])).unwrap();
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let heard = Recording::default();

    let summary = check(&open, &reader, CheckOptions::default(), &vault.around(&heard)).unwrap();

    assert!(summary.findings.is_empty());
    assert_eq!(heard.notices().len(), 1);
    assert_eq!(heard.notices()[0].0, Severity::Note);
}

#[test]
fn a_request_to_stop_ends_the_check_with_what_was_found() {
    let vault = TestVault::new();
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let stop = Stop::new();
    stop.request();
    let around = Surroundings { stop: &stop, ..vault.around(&Silent) };

    let summary =
        check(&open, &reader, CheckOptions { read_data: true, ..CheckOptions::default() }, &around).unwrap();

    assert!(summary.interrupted && summary.findings.is_empty());
    assert_eq!((summary.snapshots, summary.chunks), (0, 0));
}
