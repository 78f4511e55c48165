//! `backup`: stores what changed under some paths, in one vault or several at once, and appends a snapshot to each.
//!
//! The source is read once for all vaults. What goes wrong with one of them is its own result and leaves the others alone; only what is
//! wrong with the source ends everything.

mod caches;
mod job;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::chunk::compress::Level;
use crate::error::Error;
use crate::format::tree::Entry;
use crate::id::SnapshotId;
use crate::keys::device::DeviceKeys;
use crate::pipeline::backup::{DESTINATIONS_MAX, Engine, Source};
use crate::pipeline::checkpoint::{Checkpoint, Checkpoints};
pub use crate::pipeline::destination::BackupCounts;
use crate::pipeline::destination::Destination;
use crate::pipeline::directory::Task;
use crate::pipeline::limits::raise_open_files;
use crate::pipeline::piped::STREAM_ROOT;
pub use crate::pipeline::piped::{Stream, StreamEnd};
use crate::pipeline::scan::scan;
pub use crate::pipeline::select::Omissions;
use crate::pipeline::select::{Rules, Selection, Sources};
use crate::progress::{Amount, Phase};
use crate::time::Timestamp;
use crate::vault::Vault;
use crate::vault::stat_cache::StatCacheWriter;

use super::Surroundings;
use super::contribution::ROUNDS_MAX;
use job::{Ended, Job};

/// What to back up, and how.
#[derive(Debug, Clone, Default)]
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
    /// How long a run goes on before what it has stored becomes a partial snapshot, each time; `None` for never.
    pub partial_every: Option<Duration>,
    /// The time that the snapshot shows instead of that of the backup. Retention never looks at it.
    pub recorded_time: Option<Timestamp>,
    /// Whether nothing is to be stored: only what would be is found out.
    pub dry_run: bool,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// The new snapshot; of no meaning after a dry run.
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
    let mut results = backup_to_all(&mut [vault], device, options, around)?;
    results.pop().unwrap_or(Err(Error::WorkerLost))
}

/// Backs up into several vaults with one reading of the source; gives the result of each, in the order of the vaults.
///
/// # Errors
///
/// Only what concerns the source, or the number of vaults, which is at most [`VAULTS_MAX`].
pub fn backup_to_all(
    vaults: &mut [&mut Vault],
    device: &DeviceKeys,
    options: &BackupOptions,
    around: &Surroundings<'_>,
) -> Result<Vec<Result<BackupSummary, Error>>, Error> {
    let sources = Sources::resolve(&options.paths)?;
    run(vaults, device, (options, &sources, None), around)
}

/// As [`backup_to_all`], of what a program writes instead of `options.paths`.
///
/// If the stream fails, or its end says that it is not whole, there is no snapshot.
pub fn backup_stream_to_all(
    vaults: &mut [&mut Vault],
    device: &DeviceKeys,
    (options, stream): (&BackupOptions, Stream),
    around: &Surroundings<'_>,
) -> Result<Vec<Result<BackupSummary, Error>>, Error> {
    let sources = Sources {
        root: PathBuf::from(STREAM_ROOT),
        selection: Arc::new(Selection::All),
        paths: vec![stream.path()],
    };
    run(vaults, device, (options, &sources, Some(stream)), around)
}

fn run(
    vaults: &mut [&mut Vault],
    device: &DeviceKeys,
    (options, sources, stream): (&BackupOptions, &Sources, Option<Stream>),
    around: &Surroundings<'_>,
) -> Result<Vec<Result<BackupSummary, Error>>, Error> {
    around.progress.phase(Phase::Open);
    raise_open_files();
    if vaults.len() > VAULTS_MAX {
        return Err(Error::TooManyVaults { most: VAULTS_MAX });
    }
    let rules = Rules::new(&options.omit, &sources.root)?;
    let run = Run { options, sources, rules: &rules, around, begin: around.clock.now() };
    // A stream can be read once: for it there is one round.
    let rounds_max = if stream.is_some() { 1 } else { ROUNDS_MAX };
    let mut stream = stream;

    let mut results: Vec<Option<Result<BackupSummary, Error>>> = Vec::new();
    let mut jobs = Vec::new();
    for (number, vault) in vaults.iter_mut().enumerate() {
        let job = Job::begin(vault, device, &run);
        results.push(job.map_or_else(
            |error| Some(Err(error)),
            |job| {
                jobs.push((number, job));
                None
            },
        ));
    }
    around.progress.phase(Phase::Backup);
    for round in 1.. {
        if jobs.is_empty() {
            break;
        }
        let mut again = Vec::new();
        for ((number, job), ended) in run.round(jobs, stream.take())? {
            match ended {
                Ok(Ended::Saved(summary)) => results[number] = Some(job.end().map(|()| summary)),
                Ok(Ended::Overtaken) if round < rounds_max => match job.renew(around) {
                    Ok(job) => again.push((number, job)),
                    Err(error) => results[number] = Some(Err(error)),
                },
                Ok(Ended::Overtaken) => {
                    results[number] = Some(Err(Error::Contended { attempts: round as u32 }));
                }
                Err(error) => results[number] = Some(Err(error)),
            }
        }
        jobs = again;
    }
    Ok(results.into_iter().map(|result| result.unwrap_or(Err(Error::WorkerLost))).collect())
}

/// Vaults that one run may back up into: each takes memory for packs of its own.
pub const VAULTS_MAX: usize = DESTINATIONS_MAX;

/// What is the same for all vaults.
struct Run<'a> {
    options: &'a BackupOptions,
    sources: &'a Sources,
    rules: &'a Rules,
    around: &'a Surroundings<'a>,
    begin: Timestamp,
}

type Numbered<'v> = (usize, Job<'v>);

/// A job and how its round ended.
type EndedJob<'v> = (Numbered<'v>, Result<Ended, Error>);

/// What a round has read and stored for one job: the snapshot's root, unless it was interrupted before that, and the counts.
type Read = Result<(Option<Entry>, BackupCounts), Error>;

impl Run<'_> {
    /// Goes over the source once, and appends a snapshot for each job.
    fn round<'v>(
        &self,
        mut jobs: Vec<Numbered<'v>>,
        stream: Option<Stream>,
    ) -> Result<Vec<EndedJob<'v>>, Error> {
        let remember = jobs.iter().map(|(_, job)| job.remember()).collect::<Result<Vec<_>, _>>()?;
        let read = self.read(&jobs, &remember, stream)?;
        let save = |((_, job), read, remember): (&mut Numbered<'v>, _, _)| {
            let (root, counts) = read?;
            job.save((root, counts), remember, self)
        };
        let each = jobs.iter_mut().zip(read).zip(remember);
        let ended: Vec<_> = each.map(|((job, read), remember)| save((job, read, remember))).collect();
        Ok(jobs.into_iter().zip(ended).collect())
    }

    /// Reads the source and stores what is new of it for each job.
    fn read(
        &self,
        jobs: &[Numbered<'_>],
        remember: &[StatCacheWriter],
        stream: Option<Stream>,
    ) -> Result<Vec<Read>, Error> {
        let destinations = jobs
            .iter()
            .zip(remember)
            .map(|((_, job), remember)| job.destination(self.options.level, remember, self.around));
        let destinations: Vec<Destination<'_>> = destinations.collect();
        let keep = |checkpoint: Checkpoint| jobs[checkpoint.to].1.keep(checkpoint, self);
        let engine = Engine::new(&destinations, self.rules, *self.around);
        if let Some(stream) = stream {
            // Half a stream is nothing to restore from.
            engine.run(Source::Stream(stream), &Checkpoints::none())?;
        } else {
            let every = self.options.partial_every.filter(|_| !self.options.dry_run);
            let root = Source::Tree(self.root()?);
            self.telling_total(jobs, || engine.run(root, &Checkpoints { every, keep: &keep }))?;
        }
        let read = |destination: &Destination<'_>| match destination.sink.take_failure() {
            Some(error) => Err(error),
            None => Ok((destination.root.get().cloned(), destination.summary())),
        };
        Ok(destinations.iter().map(read).collect())
    }

    fn root(&self) -> Result<Task, Error> {
        let root = &self.sources.root;
        let device = self.options.omit.other_file_systems.then(|| device_of(root)).transpose()?;
        Ok(Task {
            parent: None,
            path: root.clone(),
            name: Vec::new(),
            selection: Arc::clone(&self.sources.selection),
            device,
        })
    }

    /// Runs the backup, and tells how much it will be: as much as last time, or else what counting beside it finds.
    fn telling_total(
        &self,
        jobs: &[Numbered<'_>],
        run: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let progress = self.around.progress;
        let totals = jobs.iter().filter_map(|(_, job)| job.expected()).max_by_key(|totals| totals.entries);
        if let Some(totals) = totals {
            progress.expect(Amount { items: totals.entries, bytes: totals.bytes });
            return run();
        }
        if !progress.wants_total() {
            return run();
        }
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| scan(self.sources, self.rules, progress, &done));
            let outcome = run();
            done.store(true, Ordering::Relaxed);
            outcome
        })
    }
}

fn device_of(root: &Path) -> Result<u64, Error> {
    root.metadata()
        .map(|metadata| metadata.dev())
        .map_err(|source| Error::Source { path: root.to_owned(), source })
}
