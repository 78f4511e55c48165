//! A job: the backup into one vault, from the head it begins at to the statement that it appends.
//!
//! The order of the log decides between a backup and those who delete. A job relies on what the vault held at the head it began
//! with; if a statement after that condemns a pack it may rely on, it does not append, but goes over the source once more and
//! looks for each chunk. So every snapshot in the log is whole, with no lock held and no time agreed on
//! (`docs/decisions/0011-order-of-the-log-instead-of-locks.md`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chunk::compress::Level;
use crate::chunk::cut::{Cutter, Params};
use crate::error::Error;
use crate::format::commit::{CommitBody, CommitCounts};
use crate::format::tree::Entry;
use crate::id::{PackId, Seq, SessionId, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, SessionPlace};
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, Commit, State};
use crate::pipeline::checkpoint::Checkpoint;
use crate::pipeline::dedup::Known;
use crate::pipeline::destination::{BackupCounts, Parts, Trust};
use crate::progress::{Notice, Severity};
use crate::store::{ObjectKey, ObjectKind, Store};
use crate::surroundings::Surroundings;
use crate::vault::chunk_index::{ChunkIndex, PackPlace};
use crate::vault::session::Session;
use crate::vault::stat_cache::{StatCache, StatCacheWriter, Totals};
use crate::vault::{Vault, orphans};

use super::caches::Caches;
use super::marker::RunMarker;
use super::nowhere::Nowhere;
use super::{BackupSummary, Run};

/// How often to look again when objects vanish while the log grows.
const LOOKS: usize = 5;

/// The backup into one vault.
pub(super) struct Job<'v> {
    vault: Mutex<&'v mut Vault>,
    device: &'v DeviceKeys,
    store: Arc<dyn Store>,
    session: Session,
    known: Known,
    cutter: Cutter,
    /// `None` in a dry run.
    marker: Option<RunMarker>,
    caches: Caches,
    remembered: Vec<StatCache>,
    trust: Trust,
    /// What was condemned up to here is not relied on.
    relies_since: Seq,
    commits: Mutex<Commits>,
}

/// The statements of one job.
#[derive(Default)]
struct Commits {
    /// The number of the next one: each is sealed with a key of its own.
    next: u32,
    /// The newest partial snapshot of this run, which the next one replaces.
    partial: Option<SnapshotId>,
}

/// How one round ended.
pub(super) enum Ended {
    /// With a snapshot.
    Saved(BackupSummary),
    /// Something that it may rely on was condemned meanwhile: nothing was appended.
    Overtaken,
}

impl<'v> Job<'v> {
    /// Looks at what the vault holds, and begins a session.
    pub(super) fn begin(vault: &'v mut Vault, device: &'v DeviceKeys, run: &Run<'_>) -> Result<Self, Error> {
        let around = run.around;
        let writer = vault.writer_keys(device)?;
        let params = vault.state().chunker();
        let params = Params::new(params.min, params.mask_bits.into(), params.max)?;
        let cutter = Cutter::new(&writer.k_cut, vault.id(), params);
        let holdings = Holdings::of(vault, &writer, around)?;
        let known = Known::new(holdings.index);
        let session = begin_session(vault, device, writer, around)?;
        let is_dry = run.options.dry_run;
        let marker = if is_dry { None } else { Some(take_over(vault, &session, &known, around)?) };
        let store: Arc<dyn Store> = if is_dry { Arc::new(Nowhere) } else { vault.shared_store() };
        let caches = Caches::of(vault, &run.sources.paths);
        Ok(Self {
            device,
            store,
            session,
            known,
            cutter,
            marker,
            remembered: caches.open(vault),
            caches,
            trust: if holdings.whole { Trust::Fully } else { Trust::Checked },
            relies_since: vault.state().head().seq,
            commits: Mutex::default(),
            vault: Mutex::new(vault),
        })
    }

    /// Looks again at what the vault holds, after it was overtaken, for one more round that takes nothing for granted.
    pub(super) fn renew(mut self, around: &Surroundings<'_>) -> Result<Self, Error> {
        let vault = self.vault.get_mut().unwrap_or_else(PoisonError::into_inner);
        let writer = self.session.writer();
        let keys_of = |domain| (domain == writer.domain).then_some(writer);
        // What cannot be read is not relied on: its chunks are stored again.
        for fault in self.known.update(|index| vault.extend_chunk_index(index, &keys_of))? {
            tell_lost(vault, &fault, around);
        }
        self.known.hide(vault.state().condemned());
        self.session.give_up(vault.state().condemned());
        self.trust = Trust::Checked;
        self.relies_since = vault.state().head().seq;
        Ok(self)
    }

    /// What the engine works with.
    pub(super) fn parts<'p>(&'p self, level: Level, remember: &'p StatCacheWriter) -> Parts<'p> {
        Parts {
            session: &self.session,
            store: &*self.store,
            known: &self.known,
            cutter: &self.cutter,
            level,
            remembered: &self.remembered,
            trust: self.trust,
            remember,
        }
    }

    /// A new stat cache for a round.
    pub(super) fn remember(&self) -> Result<StatCacheWriter, Error> {
        self.caches.begin()
    }

    /// How much the last backup of these paths held.
    pub(super) fn expected(&self) -> Option<Totals> {
        self.remembered.last().map(StatCache::totals)
    }

    /// Makes a partial snapshot of what is stored so far; `false` if that no longer works in this round.
    pub(super) fn keep(&self, checkpoint: Checkpoint, run: &Run<'_>) -> Result<bool, Error> {
        let Checkpoint { root, counts, remember, .. } = checkpoint;
        let replaced = self.commits().partial;
        let Some(snapshot) = self.commit(Commitment { root, counts, partial: true }, run)? else {
            return Ok(false);
        };
        let replaced: Vec<SnapshotId> = replaced.into_iter().collect();
        self.caches.save_partial(remember, (snapshot, totals(&counts)), &replaced)?;
        Ok(true)
    }

    /// Appends the snapshot of a round, whose chunks are all in the store, and keeps what is remembered of it.
    pub(super) fn save(
        &mut self,
        (root, counts): (Option<Entry>, BackupCounts),
        remember: StatCacheWriter,
        run: &Run<'_>,
    ) -> Result<Ended, Error> {
        let partial = run.around.stop.requested();
        let root = root.ok_or(Error::Interrupted)?;
        if self.marker.is_none() {
            let snapshot = SnapshotId::new([0; 32]);
            return Ok(Ended::Saved(BackupSummary { snapshot, partial, counts }));
        }
        let replaced = self.commits().partial;
        let Some(snapshot) = self.commit(Commitment { root, counts, partial }, run)? else {
            self.remembered.insert(0, remember.into_cache(totals(&counts))?);
            return Ok(Ended::Overtaken);
        };
        let spoken_for = (snapshot, totals(&counts));
        if partial {
            let replaced: Vec<SnapshotId> = replaced.into_iter().collect();
            self.caches.save_partial(remember, spoken_for, &replaced)?;
        } else {
            self.caches.save_complete(remember, spoken_for)?;
        }
        Ok(Ended::Saved(BackupSummary { snapshot, partial, counts }))
    }

    /// Takes back the marker of the run.
    pub(super) fn end(self) -> Result<(), Error> {
        self.marker.map_or(Ok(()), RunMarker::clear)
    }

    /// Appends a commit; `None` if something was condemned that its tree may rely on.
    fn commit(&self, commitment: Commitment, run: &Run<'_>) -> Result<Option<SnapshotId>, Error> {
        let Commitment { root, counts, partial } = commitment;
        let around = run.around;
        let mut commits = self.commits();
        let number = commits.next;
        commits.next += 1;
        let body = commit_body(run, root, &counts);
        let indexes = self.session.indexes_to_name();
        let commit = Commit {
            epoch: self.session.epoch(),
            session: self.session.id(),
            session_envelope: self.session.envelope().to_vec(),
            number,
            body: self.session.seal_commit(&body.encode()?, number, around.random)?,
            indexes: indexes.clone(),
            partial,
            replaces: self.replaced(commits.partial, partial),
        };
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = vault.append_unless(&|state| {
            if self.is_overtaken(state) {
                return Ok(None);
            }
            let payload =
                state.draft(self.device.device_id(), around.clock.now(), Body::Commit(commit.clone()));
            Ok(Some(log::sign(&payload, self.device.signing())?))
        })?;
        let Some(head) = appended else { return Ok(None) };
        self.session.named(&indexes);
        let snapshot = SnapshotId::from(head.hash);
        commits.partial = partial.then_some(snapshot);
        Ok(Some(snapshot))
    }

    /// The partial snapshots that the next one makes needless: the one before it in this run, and if it is complete all others.
    fn replaced(&self, of_this_run: Option<SnapshotId>, partial: bool) -> Vec<SnapshotId> {
        let mut replaced: Vec<SnapshotId> = of_this_run.into_iter().collect();
        if !partial {
            replaced.extend(self.caches.partial_ids());
        }
        replaced.sort_unstable();
        replaced.dedup();
        replaced
    }

    /// Whether a statement condemned a pack that this run may rely on.
    fn is_overtaken(&self, state: &State) -> bool {
        let mut condemned = state.condemned_since(self.relies_since).peekable();
        if condemned.peek().is_none() {
            return false;
        }
        let relied_on = self.known.packs();
        condemned.any(|pack| relied_on.contains(&pack))
    }

    fn commits(&self) -> std::sync::MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a commit says.
struct Commitment {
    root: Entry,
    counts: BackupCounts,
    partial: bool,
}

/// What the store holds of this device's domain.
pub(in crate::ops) struct Holdings {
    /// Where its chunks lie.
    pub(in crate::ops) index: ChunkIndex,
    /// Whether everything is there that the log says is there.
    whole: bool,
}

impl Holdings {
    /// Compares the indexes with the objects that the store has. What was lost is stored again as far as the source still has it:
    /// then new snapshots are whole, and old ones that shared it become whole again.
    pub(in crate::ops) fn of(
        vault: &mut Vault,
        writer: &DomainKeys,
        around: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        for look in 1.. {
            let (mut index, faults) =
                vault.chunk_index(&|domain| (domain == writer.domain).then_some(writer))?;
            let lost = lost_packs(vault, &index)?;
            let whole = faults.is_empty() && lost.is_empty();
            // Perhaps they were condemned just now, and nothing is wrong.
            if !whole && look < LOOKS && vault.follow()? {
                continue;
            }
            let missing = lost.iter().map(|id| Error::Missing { object: ObjectKey::Pack(*id) });
            for fault in faults.into_iter().chain(missing) {
                tell_lost(vault, &fault, around);
            }
            index.hide(&lost);
            return Ok(Self { index, whole });
        }
        Err(Error::WorkerLost)
    }
}

/// Packs that the index names and the store does not have, or not whole.
fn lost_packs(vault: &Vault, index: &ChunkIndex) -> Result<BTreeSet<PackId>, Error> {
    let mut there = BTreeSet::new();
    vault.store().list(ObjectKind::Pack, &mut |key, bytes| {
        if let ObjectKey::Pack(id) = key {
            there.insert((id, bytes));
        }
        ControlFlow::Continue(())
    })?;
    let is_lost = |pack: &&PackPlace| !there.contains(&(pack.id, pack.bytes.into()));
    Ok(index.packs().filter(is_lost).map(|pack| pack.id).collect())
}

fn tell_lost(vault: &Vault, fault: &Error, around: &Surroundings<'_>) {
    around.progress.notice(&Notice {
        severity: Severity::Note,
        subject: Path::new(&vault.store().description()),
        message: &format!("{fault}: what the source still has of it is stored again; run `vault check`"),
    });
}

/// Begins a session of this device in the epoch in force.
pub(in crate::ops) fn begin_session(
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

/// Marks that a run has begun, and takes over what earlier runs left that did not end.
fn take_over(
    vault: &Vault,
    session: &Session,
    known: &Known,
    around: &Surroundings<'_>,
) -> Result<RunMarker, Error> {
    // Without a cache there is no telling what earlier runs left.
    let is_new = !vault.local().cache.join("stat").exists();
    let marker = RunMarker::set(&vault.local().cache.join("running"), around.random)?;
    if marker.was_left() || is_new {
        adopt_orphans(vault, session, known)?;
    }
    Ok(marker)
}

/// Takes packs that an interrupted run left into this session, so that their chunks are not stored again.
fn adopt_orphans(vault: &Vault, session: &Session, known: &Known) -> Result<(), Error> {
    for (id, bytes) in orphans::orphans(vault.store(), &known.packs())? {
        if vault.state().condemned().contains(&id) {
            continue;
        }
        // Packs of other devices' running backups are among them, and do not open: leave all that do not.
        if let Ok(pack) = orphans::read_table(vault, session.writer(), id, bytes) {
            known.claim_all(&pack);
            session.adopt(pack);
        }
    }
    Ok(())
}

fn totals(counts: &BackupCounts) -> Totals {
    Totals { entries: counts.files + counts.directories + counts.others, bytes: counts.bytes }
}

fn commit_body(run: &Run<'_>, root: Entry, counts: &BackupCounts) -> CommitBody {
    use std::os::unix::ffi::OsStrExt;
    let Run { options, sources, around, begin, .. } = run;
    let (begin, end) = match options.recorded_time {
        Some(time) => (time, time),
        None => (*begin, around.clock.now()),
    };
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
