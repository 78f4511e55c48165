//! A job: the backup into one vault, as a contribution that remembers for the next run what it has read.
//!
//! A stat cache is believed only as far as the vault holds what it names: in full if everything was there when the run began, and
//! chunk by chunk after something was lost, or condemned while the job ran.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chunk::compress::Level;
use crate::chunk::cut::{Cutter, Params};
use crate::error::Error;
use crate::format::commit::{CommitBody, CommitCounts};
use crate::format::tree::Entry;
use crate::id::SnapshotId;
use crate::keys::device::DeviceKeys;
use crate::ops::contribution::{Commitment, Contribution};
use crate::pipeline::backup::threads;
use crate::pipeline::checkpoint::Checkpoint;
use crate::pipeline::destination::{BackupCounts, Destination, Parts, Trust};
use crate::surroundings::Surroundings;
use crate::vault::Vault;
use crate::vault::stat_cache::{StatCache, StatCacheWriter, Totals};

use super::caches::Caches;
use super::{BackupSummary, Run};

/// The backup into one vault.
pub(super) struct Job<'v> {
    contribution: Contribution<'v>,
    cutter: Cutter,
    caches: Caches,
    remembered: Vec<StatCache>,
    trust: Trust,
    /// The newest partial snapshot of this run, which the next one replaces.
    partial: Mutex<Option<SnapshotId>>,
}

/// How one round ended.
pub(super) enum Ended {
    /// With a snapshot.
    Saved(BackupSummary),
    /// Something that it may rely on was condemned meanwhile: nothing was appended.
    Overtaken,
}

impl<'v> Job<'v> {
    /// Looks at what the vault holds and what is remembered, and begins a session.
    pub(super) fn begin(vault: &'v mut Vault, device: &'v DeviceKeys, run: &Run<'_>) -> Result<Self, Error> {
        let is_dry = run.options.dry_run;
        let begin = if is_dry { Contribution::rehearse } else { Contribution::begin };
        let contribution = begin(vault, device, run.around)?;
        let vault = contribution.vault();
        let params = vault.state().chunker();
        let params = Params::new(params.min, params.mask_bits.into(), params.max)?;
        let cutter = Cutter::new(&contribution.writer().k_cut, vault.id(), params);
        let caches = Caches::of(&vault, &run.sources.paths);
        let remembered = caches.open(&vault);
        let trusted =
            contribution.found_all() && remembered.iter().all(|cache| speaks_for_all(&vault, cache));
        let trust = if trusted { Trust::Fully } else { Trust::Checked };
        drop(vault);
        Ok(Self { contribution, cutter, caches, remembered, trust, partial: Mutex::default() })
    }

    /// Looks again at what the vault holds, after it was overtaken, for one more round that takes nothing for granted.
    pub(super) fn renew(mut self, around: &Surroundings<'_>) -> Result<Self, Error> {
        self.contribution.renew(around)?;
        self.trust = Trust::Checked;
        Ok(self)
    }

    /// What the engine fills in a round.
    pub(super) fn destination<'p>(
        &'p self,
        level: Level,
        remember: &'p StatCacheWriter,
        around: &Surroundings<'p>,
    ) -> Destination<'p> {
        let Self { cutter, remembered, trust, .. } = self;
        let parts = Parts { cutter, remembered, trust: *trust, remember };
        Destination::new(self.contribution.sink(level, threads(), around), parts)
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
        let replaced = *self.partial();
        let Some(snapshot) = self.commit((root, &counts), true, run)? else {
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
        if self.contribution.is_dry() {
            let snapshot = SnapshotId::new([0; 32]);
            return Ok(Ended::Saved(BackupSummary { snapshot, partial, counts }));
        }
        let replaced = *self.partial();
        let Some(snapshot) = self.commit((root, &counts), partial, run)? else {
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

    /// The run is over, and has left nothing behind.
    pub(super) fn end(self) -> Result<(), Error> {
        self.contribution.end()
    }

    /// Appends a commit; `None` if something was condemned that its tree may rely on.
    fn commit(
        &self,
        (root, counts): (Entry, &BackupCounts),
        partial: bool,
        run: &Run<'_>,
    ) -> Result<Option<SnapshotId>, Error> {
        let mut of_this_run = self.partial();
        let body = commit_body(run, root, counts);
        let replaces = self.replaced(*of_this_run, partial);
        let snapshot = self.contribution.commit(Commitment { body, partial, replaces }, run.around)?;
        if snapshot.is_some() {
            *of_this_run = snapshot.filter(|_| partial);
        }
        Ok(snapshot)
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

    fn partial(&self) -> MutexGuard<'_, Option<SnapshotId>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether everyone can read what the snapshot of a cache needs.
fn speaks_for_all(vault: &Vault, cache: &StatCache) -> bool {
    let snapshot = vault.state().snapshot_by_id(&cache.snapshot());
    snapshot.is_some_and(|snapshot| snapshot.commit.epoch >= vault.state().readable_from())
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
