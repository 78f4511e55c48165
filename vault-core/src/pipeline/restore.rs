//! The engine of a restore: plans what to fetch, fetches each segment once a batch, and writes verified chunks where they belong.
//!
//! The picture is in the [module above](super). Bytes reach a file only after their hash was found right; a file that cannot be made
//! whole is reported, what stood there stays, and the rest goes on.

mod compare;
mod directories;
mod planner;

use std::collections::HashSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::chunk::compress::Decompressor;
use crate::error::Error;
use crate::format::tree::Entry;
use crate::progress::{Change, Notice, Phase, Severity};
use crate::surroundings::Surroundings;
use crate::vault::reader::{DomainReader, chunk_in};

use super::choose::Choice;
use super::output::Piece;
use super::target::TemporaryNames;
use super::target::attributes::{AttributeError, Attributes};
use super::target::remove::{Removal, Removed};

use compare::{Answer, Candidate, Compared};
use planner::Planner;

/// Directories that may be open before the planner waits for the writers to let go of some.
const OPEN_DIRECTORIES: usize = 512;
/// Jobs that may wait for a writer.
const WAITING_JOBS: usize = 64;

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreSummary {
    /// Files written whole.
    pub files: u64,
    /// Directories made.
    pub directories: u64,
    /// Symbolic links and special files made.
    pub others: u64,
    /// Bytes in the files that were written.
    pub bytes: u64,
    /// Files among them that stood there with other contents.
    pub repaired_files: u64,
    /// Bytes among them that were right in what stood there, and not fetched.
    pub reused_bytes: u64,
    /// Entries that were as they should be.
    pub unchanged_entries: u64,
    /// Entries with the right contents that got attributes.
    pub updated_entries: u64,
    /// Entries that stand in the target and were not to be touched.
    pub kept_entries: u64,
    /// Entries removed because the snapshot does not have them.
    pub deleted_entries: u64,
    /// Files read again after they were written, and found right.
    pub verified_files: u64,
    /// Entries that could not be restored, each told as a notice.
    pub failed_entries: u64,
    /// Attributes (owner, times, xattrs) that could not be set, each told as a notice.
    pub failed_attributes: u64,
    /// Whether it went on where an earlier run was interrupted.
    pub resumed: bool,
    /// Whether nothing was done but told what would be.
    pub dry_run: bool,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
}

/// What is done about what stands in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overwrite {
    /// It stays.
    Never,
    /// A file with the size and time of the snapshot's is taken for right; of others what is wrong is written.
    IfChanged,
    /// Contents are compared whatever the time says, and a directory gives way to a file and the reverse.
    Always,
}

/// How a restore goes about its target.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Manner {
    /// Whether owners and groups are set.
    pub owners: bool,
    /// What is done about what stands there.
    pub overwrite: Overwrite,
    /// Whether nothing stands there.
    pub fresh: bool,
    /// Whether contents are compared even where size and time are right, and read again after they were written.
    pub verify: bool,
    /// Whether blocks of zeros become holes.
    pub sparse: bool,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// What is restored.
    pub choice: Choice,
    /// What is removed; `None` for nothing.
    pub deletion: Option<Deletion>,
    /// Device and inode of what is never removed.
    pub protected: Vec<(u64, u64)>,
    /// Earlier runs whose temporary files are removed.
    pub stale_runs: Vec<String>,
}

/// What is removed because the snapshot does not have it.
#[derive(Debug)]
pub struct Deletion {
    /// The directories, below what is restored, of which the snapshot knows everything.
    pub within: Vec<PathBuf>,
    /// Whether what is not chosen is removed too.
    pub unchosen_too: bool,
}

/// Where a restore writes.
#[derive(Debug)]
pub struct Target {
    /// The directory, open; `None` in a dry run if it does not exist.
    pub root: Option<OwnedFd>,
    /// What it is called in messages.
    pub path: PathBuf,
    /// A word that no other run uses.
    pub run: String,
}

/// What all threads of a restore share.
pub struct Engine<'a> {
    domain: DomainReader<'a>,
    pub(super) around: Surroundings<'a>,
    pub(super) manner: Manner,
    pub(super) attributes: Attributes,
    pub(super) root: Option<OwnedFd>,
    pub(super) names: TemporaryNames,
    target: PathBuf,
    pub(super) counts: Counts,
    everything: Choice,
    /// Something that no other file would escape either, such as a full disk.
    fatal: Mutex<Option<Error>>,
    stopped: AtomicBool,
    /// Whether what was written is being read again.
    verifying: AtomicBool,
    /// What failed, kept only where it is to be verified what did not.
    failed: Mutex<HashSet<PathBuf>>,
    pub(super) open_directories: AtomicUsize,
    /// Segments on their way to the writers, or in their hands.
    in_flight: Mutex<usize>,
    landed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: AtomicU64,
    pub(super) directories: AtomicU64,
    pub(super) others: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) repaired_files: AtomicU64,
    pub(super) reused_bytes: AtomicU64,
    pub(super) unchanged_entries: AtomicU64,
    pub(super) updated_entries: AtomicU64,
    pub(super) kept_entries: AtomicU64,
    pub(super) deleted_entries: AtomicU64,
    pub(super) verified_files: AtomicU64,
    pub(super) failed_entries: AtomicU64,
    pub(super) failed_attributes: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// What a writer is given to do.
enum Job<'e> {
    /// All chunks of one segment that a batch needs.
    Write(Vec<Piece<'e>>),
    /// A file that stands in the target.
    Compare(Candidate<'e>),
}

impl<'a> Engine<'a> {
    /// An engine that writes into `target`.
    pub fn new(domain: DomainReader<'a>, around: Surroundings<'a>, manner: Manner, target: Target) -> Self {
        Self {
            domain,
            around,
            attributes: Attributes::new(manner.owners),
            manner,
            root: target.root,
            names: TemporaryNames::new(target.run),
            target: target.path,
            counts: Counts::default(),
            everything: Choice::everything(),
            fatal: Mutex::default(),
            stopped: AtomicBool::new(false),
            verifying: AtomicBool::new(false),
            failed: Mutex::default(),
            open_directories: AtomicUsize::new(0),
            in_flight: Mutex::new(0),
            landed: Condvar::new(),
        }
    }

    /// Restores `entry`: a directory's contents straight into the target, anything else as an entry of it.
    pub fn run(&self, entry: &Entry) -> Result<RestoreSummary, Error> {
        self.pass(entry.clone())?;
        if self.manner.verify && !self.manner.dry_run && !self.stopping() {
            self.around.progress.phase(Phase::Verify);
            if let Some(root) = &self.root {
                rustix::fs::syncfs(root).map_err(Error::local("flush", &self.target))?;
            }
            self.verifying.store(true, Ordering::Relaxed);
            self.pass(entry.clone())?;
        }
        Ok(self.summary())
    }

    /// Goes over the tree once.
    fn pass(&self, entry: Entry) -> Result<(), Error> {
        let (jobs_in, jobs) = bounded(WAITING_JOBS);
        // As many answers as candidates, and the planner limits those; so no writer ever waits for the planner.
        let (answers_in, answers) = unbounded();
        let writers = self.domain.threads();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|_| {
                    let (jobs, answers_in) = (jobs.clone(), answers_in.clone());
                    scope.spawn(move || self.work(&jobs, &answers_in))
                })
                .collect();
            drop((jobs, answers_in));
            let planned = Planner::new(self, jobs_in, answers).plan(entry);
            for thread in threads {
                thread.join().map_err(|_| Error::WorkerLost)?;
            }
            planned
        })?;
        match self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn summary(&self) -> RestoreSummary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        RestoreSummary {
            files: read(&counts.files),
            directories: read(&counts.directories),
            others: read(&counts.others),
            bytes: read(&counts.bytes),
            repaired_files: read(&counts.repaired_files),
            reused_bytes: read(&counts.reused_bytes),
            unchanged_entries: read(&counts.unchanged_entries),
            updated_entries: read(&counts.updated_entries),
            kept_entries: read(&counts.kept_entries),
            deleted_entries: read(&counts.deleted_entries),
            verified_files: read(&counts.verified_files),
            failed_entries: read(&counts.failed_entries),
            failed_attributes: read(&counts.failed_attributes),
            resumed: false,
            dry_run: self.manner.dry_run,
            interrupted: self.around.stop.requested(),
        }
    }

    fn stopping(&self) -> bool {
        self.around.stop.requested() || self.stopped.load(Ordering::Relaxed)
    }

    /// Whether what was written is being read again.
    pub(super) fn verifying(&self) -> bool {
        self.verifying.load(Ordering::Relaxed)
    }

    fn work<'e>(&self, jobs: &Receiver<Job<'e>>, answers: &Sender<Option<Compared<'e>>>) {
        let mut decompressor = Decompressor::new();
        for job in jobs {
            let pieces = match job {
                Job::Write(pieces) => pieces,
                Job::Compare(candidate) => {
                    self.compare(candidate, Answer::new(answers));
                    continue;
                }
            };
            match &mut decompressor {
                Ok(decompressor) => self.write_segment(&pieces, decompressor),
                Err(error) => fail_all(&pieces, &chain(error)),
            }
            // Files and directories are let go of before the segment counts as landed.
            drop(pieces);
            *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            self.landed.notify_one();
        }
    }

    /// Waits until few directories are open, or only those that the planner itself holds.
    fn wait_for_landing(&self) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        while *in_flight > 0 && self.open_directories.load(Ordering::Relaxed) > OPEN_DIRECTORIES {
            in_flight = self.landed.wait(in_flight).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Fetches and opens one segment, and writes all chunks of it that the batch needs \[2\].
    fn write_segment(&self, pieces: &[Piece<'_>], decompressor: &mut Decompressor) {
        let Some(first) = pieces.first() else { return };
        if self.stopping() {
            for piece in pieces {
                piece.file.abandon();
            }
            return;
        }
        let raw = match self.domain.reader().segment(&first.place.pack, &first.place.segment, decompressor) {
            Ok(raw) => raw,
            Err(Error::Missing { .. }) => return self.write_moved(pieces),
            Err(error) => {
                return fail_all(pieces, &chain(&error));
            }
        };
        for piece in pieces {
            match chunk_in(&raw, &piece.place, &piece.h) {
                Ok(chunk) => piece.file.write(chunk, piece.at),
                Err(error) => piece.file.fail(&chain(&error)),
            }
        }
    }

    /// Writes chunks whose pack is gone: somebody may have moved them to another one since they were planned.
    fn write_moved(&self, pieces: &[Piece<'_>]) {
        for piece in pieces {
            match self.domain.chunk(&piece.h) {
                Ok(chunk) => piece.file.write(&chunk, piece.at),
                Err(error) => piece.file.fail(&chain(&error)),
            }
        }
    }

    /// Removes what stands in the place of something that is not a directory.
    pub(super) fn remove_tree(&self, directory: BorrowedFd<'_>, name: &[u8], path: &Path) {
        let removal = Removal {
            choice: &self.everything,
            unchosen_too: true,
            protected: &self.manner.protected,
            dry_run: self.manner.dry_run,
        };
        removal.remove(directory, name, (path, true), &mut |path, removed| self.removed(path, removed));
    }

    /// Counts and tells what became of something that was to go.
    fn removed(&self, path: &Path, removed: Removed) {
        match removed {
            Removed::Gone => {
                count(&self.counts.deleted_entries, 1);
                self.changed(path, Change::Deleted);
            }
            Removed::Protected => self.note(path, "belongs to this program or its vault: not deleted"),
            Removed::Failed(error) => self.fail(path, &format!("cannot be deleted: {error}")),
        }
    }

    /// Counts and tells that something that stands there is taken for what belongs there.
    pub(super) fn tell_taken(&self, path: &Path, unchanged: bool) {
        let counts = &self.counts;
        let (counter, change) = if unchanged {
            (&counts.unchanged_entries, Change::Unchanged)
        } else {
            (&counts.updated_entries, Change::Updated)
        };
        count(counter, 1);
        self.changed(path, change);
    }

    pub(super) fn changed(&self, path: &Path, change: Change) {
        self.around.progress.change(path, change);
    }

    pub(super) fn fail(&self, path: &Path, message: &str) {
        count(&self.counts.failed_entries, 1);
        if self.manner.verify {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        }
        self.tell(path, message);
    }

    fn has_failed(&self, path: &Path) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    pub(super) fn tell(&self, path: &Path, message: &str) {
        self.notice(Severity::Problem, path, message);
    }

    fn note(&self, path: &Path, message: &str) {
        self.notice(Severity::Note, path, message);
    }

    fn notice(&self, severity: Severity, path: &Path, message: &str) {
        let path = self.target.join(path);
        self.around.progress.notice(&Notice { severity, subject: &path, message });
    }

    pub(super) fn tell_attributes(&self, path: &Path, errors: &[AttributeError]) {
        for error in errors {
            count(&self.counts.failed_attributes, 1);
            self.tell(path, &format!("cannot set its {}: {}", error.what, error.source));
        }
    }

    /// Ends everything if an error would hit every other file too.
    pub(super) fn check_fatal(&self, path: &Path, error: io::Error) -> Result<(), io::Error> {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        if !matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem) {
            return Err(error);
        }
        self.stopped.store(true, Ordering::Relaxed);
        let fatal = Error::local("write", self.target.join(path))(error);
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fatal);
        Ok(())
    }
}

fn fail_all(pieces: &[Piece<'_>], message: &str) {
    for piece in pieces {
        piece.file.fail(&message);
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
