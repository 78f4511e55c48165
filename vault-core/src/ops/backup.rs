//! `backup`: stores what changed under some paths and appends a snapshot.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::chunk::compress::Level;
use crate::chunk::cut::{Cutter, Params};
use crate::error::Error;
use crate::format::commit::{CommitBody, CommitCounts};
use crate::format::tree::Entry;
use crate::id::{PackId, SessionId, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, SessionPlace};
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, Commit};
pub use crate::pipeline::backup::BackupCounts;
use crate::pipeline::backup::{Engine, Parts};
use crate::pipeline::dedup::Known;
use crate::pipeline::directory::Task;
use crate::pipeline::limits::raise_open_files;
use crate::pipeline::scan::scan;
pub use crate::pipeline::select::Omissions;
use crate::pipeline::select::{Rules, Sources};
use crate::progress::{Amount, Notice, Phase, Severity};
use crate::store::{ObjectKey, ObjectKind};
use crate::time::Timestamp;
use crate::vault::chunk_index::{ChunkIndex, PackPlace};
use crate::vault::session::Session;
use crate::vault::stat_cache::{StatCache, StatCacheWriter, Totals};
use crate::vault::{Vault, orphans};

use super::Surroundings;

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// What of them is left out.
    pub omit: Omissions,
    /// How hard to compress.
    pub level: Level,
    /// Words to find the snapshot by.
    pub tags: Vec<String>,
    /// Name of this machine, for the snapshot.
    pub host: String,
    /// Name and version of the program, for the snapshot.
    pub program: String,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// The new snapshot.
    pub snapshot: SnapshotId,
    /// Whether it holds only part of what was asked for, because of an interruption.
    pub partial: bool,
    /// What was found and done.
    pub counts: BackupCounts,
}

/// Stores what changed and appends a snapshot. Needs no passphrase: the device's own keys suffice.
pub fn backup(
    vault: &mut Vault,
    device: &DeviceKeys,
    options: &BackupOptions,
    around: &Surroundings<'_>,
) -> Result<BackupSummary, Error> {
    around.progress.phase(Phase::Open);
    raise_open_files();
    let begin = around.clock.now();
    let sources = Sources::resolve(&options.paths)?;
    let rules = Rules::new(&options.omit, &sources.root)?;
    let writer = vault.writer_keys(device)?;
    let cutter = cutter(vault, &writer)?;
    let holdings = holdings(vault, &writer, around)?;
    let known = Known::new(holdings.index, holdings.lost);
    let session = begin_session(vault, device, writer, around)?;
    let marker = RunMarker::set(vault)?;
    if marker.was_set {
        adopt_orphans(vault, &session, &known)?;
    }
    let caches = Caches::of(vault, &sources);
    // What is remembered relies on everything being there that the log says is there.
    let remembered = if holdings.whole { caches.open(vault) } else { Vec::new() };
    let remember = StatCacheWriter::create(&caches.complete)?;

    around.progress.phase(Phase::Backup);
    let engine = Engine::new(
        Parts {
            session: &session,
            store: vault.store(),
            known: &known,
            cutter: &cutter,
            level: options.level,
            rules: &rules,
            remembered: &remembered,
            remember: &remember,
        },
        *around,
    );
    let root = Task {
        parent: None,
        path: sources.root.clone(),
        name: Vec::new(),
        selection: Arc::clone(&sources.selection),
        device: options.omit.other_file_systems.then(|| device_of(&sources.root)).transpose()?,
    };
    telling_total(&sources, &rules, &remembered, around, || engine.run(root))?;
    engine.write_indexes()?;
    let partial = around.stop.requested();
    let root = engine.root.get().cloned().ok_or(Error::Interrupted)?;
    let counts = engine.counts.summary();

    let body = commit_body(options, &sources, root, &counts, (begin, around.clock.now()));
    let sealed = session.seal_commit(&body.encode()?, 0, around.random)?;
    let commit = Commit {
        epoch: session.epoch(),
        session: session.id(),
        session_envelope: session.envelope().to_vec(),
        number: 0,
        body: sealed,
        indexes: session.take_indexes(),
        partial,
    };
    let head = vault.append(&|state| {
        let payload = state.draft(device.device_id(), around.clock.now(), Body::Commit(commit.clone()));
        Ok(log::sign(&payload, device.signing())?)
    })?;
    let snapshot = SnapshotId::from(head.hash);
    let entries = counts.files + counts.directories + counts.others;
    let totals = Totals { entries, bytes: counts.bytes };
    caches.save(remember, snapshot, partial, totals)?;
    marker.clear()?;
    Ok(BackupSummary { snapshot, partial, counts })
}

/// Runs the backup, and tells how much it will be: as much as last time, or else what counting beside it finds.
fn telling_total(
    sources: &Sources,
    rules: &Rules,
    remembered: &[StatCache],
    around: &Surroundings<'_>,
    run: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    if let Some(cache) = remembered.last() {
        let totals = cache.totals();
        around.progress.expect(Amount { items: totals.entries, bytes: totals.bytes });
    }
    if !remembered.is_empty() || !around.progress.wants_total() {
        return run();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| scan(sources, rules, around.progress, &done));
        let outcome = run();
        done.store(true, Ordering::Relaxed);
        outcome
    })
}

fn cutter(vault: &Vault, writer: &DomainKeys) -> Result<Cutter, Error> {
    let chunker = vault.state().chunker();
    let params = Params::new(chunker.min, chunker.mask_bits.into(), chunker.max)?;
    Ok(Cutter::new(&writer.k_cut, vault.id(), params))
}

/// What the store holds of this device's domain.
struct Holdings {
    index: ChunkIndex,
    /// Packs that the index names and the store does not have, or not whole.
    lost: BTreeSet<PackId>,
    /// Whether everything is there that the log says is there.
    whole: bool,
}

/// Compares the indexes with the objects that the store has. What was lost is stored again as far as the source still has it: then
/// new snapshots are whole, and old ones that shared it become whole again.
fn holdings(vault: &Vault, writer: &DomainKeys, around: &Surroundings<'_>) -> Result<Holdings, Error> {
    let (index, faults) = vault.chunk_index(&|domain| (domain == writer.domain).then_some(writer))?;
    let mut there = BTreeSet::new();
    vault.store().list(ObjectKind::Pack, &mut |key, bytes| {
        if let ObjectKey::Pack(id) = key {
            there.insert((id, bytes));
        }
        ControlFlow::Continue(())
    })?;
    let is_lost = |pack: &&PackPlace| !there.contains(&(pack.id, pack.bytes.into()));
    let lost: BTreeSet<PackId> = index.packs().filter(is_lost).map(|pack| pack.id).collect();
    let missing = lost.iter().map(|id| Error::Missing { object: ObjectKey::Pack(*id) });
    let whole = faults.is_empty() && lost.is_empty();
    for fault in faults.into_iter().chain(missing) {
        around.progress.notice(&Notice {
            severity: Severity::Note,
            subject: Path::new(&vault.store().description()),
            message: &format!("{fault}: what the source still has of it is stored again; run `vault check`"),
        });
    }
    Ok(Holdings { index, lost, whole })
}

fn begin_session(
    vault: &Vault,
    device: &DeviceKeys,
    writer: DomainKeys,
    around: &Surroundings<'_>,
) -> Result<Session, Error> {
    let unknown = Error::DeviceUnknown { vault: *vault.id() };
    let record = vault.state().epochs().last().ok_or(unknown)?;
    let place = SessionPlace {
        vault: *vault.id(),
        epoch: record.epoch,
        session: SessionId::new(around.random.bytes()?),
    };
    let recipient = AnyRecipient::parse(&record.recipient)?;
    Session::begin(place, device.device_id(), writer, &recipient, around.random)
}

/// Takes packs that an interrupted run left into this session, so that their chunks are not stored again.
fn adopt_orphans(vault: &Vault, session: &Session, known: &Known) -> Result<(), Error> {
    for (id, bytes) in orphans::orphans(vault.store(), &known.packs())? {
        // Packs of other devices' running backups are among them, and do not open: leave all that do not.
        if let Ok(pack) = orphans::read_table(vault, session.writer(), id, bytes) {
            known.claim_all(&pack);
            session.adopt(pack);
        }
    }
    Ok(())
}

/// Tells the next run that one began and did not end.
struct RunMarker {
    path: PathBuf,
    was_set: bool,
}

impl RunMarker {
    fn set(vault: &Vault) -> Result<Self, Error> {
        let path = vault.local().cache.join("running");
        // Without a cache there is no telling what earlier runs left.
        let was_set = path.exists() || !vault.local().cache.join("stat").exists();
        fs::write(&path, b"").map_err(Error::local("write", &path))?;
        Ok(Self { path, was_set })
    }

    fn clear(self) -> Result<(), Error> {
        fs::remove_file(&self.path).map_err(Error::local("delete", &self.path))
    }
}

/// The stat caches of one set of paths: of the last complete snapshot, and of the partial one after it.
struct Caches {
    complete: PathBuf,
    partial: PathBuf,
}

impl Caches {
    fn of(vault: &Vault, sources: &Sources) -> Self {
        let mut hasher = blake3::Hasher::new();
        for path in &sources.paths {
            hasher.update(path.as_os_str().as_bytes()).update(&[0]);
        }
        let name = &hasher.finalize().to_hex()[..32];
        let directory = vault.local().cache.join("stat");
        Self { complete: directory.join(name), partial: directory.join(format!("{name}.partial")) }
    }

    /// The caches whose snapshots are in the log: what they name is in the vault.
    fn open(&self, vault: &Vault) -> Vec<StatCache> {
        [&self.partial, &self.complete]
            .into_iter()
            .filter_map(|path| StatCache::open(path))
            .filter(|cache| vault.state().snapshot_by_id(&cache.snapshot()).is_some())
            .collect()
    }

    fn save(
        &self,
        remember: StatCacheWriter,
        snapshot: SnapshotId,
        partial: bool,
        totals: Totals,
    ) -> Result<(), Error> {
        if partial {
            return remember.finish(&self.partial, snapshot, totals);
        }
        remember.finish(&self.complete, snapshot, totals)?;
        match fs::remove_file(&self.partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::local("delete", &self.partial)(error))
            }
            _ => Ok(()),
        }
    }
}

fn device_of(root: &Path) -> Result<u64, Error> {
    root.metadata()
        .map(|metadata| metadata.dev())
        .map_err(|source| Error::Source { path: root.to_owned(), source })
}

fn commit_body(
    options: &BackupOptions,
    sources: &Sources,
    root: Entry,
    counts: &BackupCounts,
    (begin, end): (Timestamp, Timestamp),
) -> CommitBody {
    CommitBody {
        root,
        paths: sources.paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect(),
        root_path: sources.root.as_os_str().as_bytes().to_vec(),
        host: options.host.clone(),
        tags: options.tags.clone(),
        begin,
        end,
        counts: CommitCounts {
            files: counts.files,
            directories: counts.directories,
            others: counts.others,
            bytes: counts.bytes,
            added_bytes: counts.added_bytes,
            stored_bytes: counts.stored_bytes,
        },
        program: options.program.clone(),
    }
}
