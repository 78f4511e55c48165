//! The engine of a restore: plans what to fetch, fetches each segment once a batch, and writes verified chunks where they belong.
//!
//! The picture is in the [module above](super). Bytes reach a file only after their hash was found right; a file that cannot be made
//! whole is removed again and reported, and the rest goes on.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::chunk::compress::Decompressor;
use crate::error::Error;
use crate::format::tree::{ChunkRef, Entry, EntryKind};
use crate::id::ChunkHash;
use crate::progress::{Amount, Notice, Severity};
use crate::surroundings::Surroundings;
use crate::vault::reader::{DomainReader, chunk_in};
use crate::vault::tree::Entries;

use super::output::{Directory, File, FirstName, Piece};
use super::target::{self, AttributeError, Attributes};

/// Chunks that are sorted by place together: about 6 MB of plan. The more, the less often a scattered segment is opened.
const BATCH_PIECES: usize = 32_768;
/// Directories that one batch may open.
const BATCH_DIRECTORIES: usize = 256;
/// Directories that may be open before the planner waits for the writers to let go of some.
const OPEN_DIRECTORIES: usize = 512;
/// Segments that may wait for a writer.
const WAITING_SEGMENTS: usize = 64;

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreSummary {
    /// Files written whole.
    pub files: u64,
    /// Directories made.
    pub directories: u64,
    /// Symbolic links and special files made.
    pub others: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Entries that could not be restored, each told as a notice.
    pub failed_entries: u64,
    /// Attributes (owner, times, xattrs) that could not be set, each told as a notice.
    pub failed_attributes: u64,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
}

/// What all threads of a restore share.
pub struct Engine<'a> {
    domain: DomainReader<'a>,
    pub(super) around: Surroundings<'a>,
    pub(super) attributes: Attributes,
    pub(super) root: OwnedFd,
    target: PathBuf,
    pub(super) counts: Counts,
    /// Something that no other file would escape either, such as a full disk.
    fatal: Mutex<Option<Error>>,
    stopped: AtomicBool,
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
    pub(super) failed_entries: AtomicU64,
    pub(super) failed_attributes: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl<'a> Engine<'a> {
    /// An engine that writes into the open, empty directory `root`, which is called `target` in messages.
    pub fn new(
        domain: DomainReader<'a>,
        around: Surroundings<'a>,
        owners: bool,
        (root, target): (OwnedFd, PathBuf),
    ) -> Self {
        Self {
            domain,
            around,
            attributes: Attributes::new(owners),
            root,
            target,
            counts: Counts::default(),
            fatal: Mutex::default(),
            stopped: AtomicBool::new(false),
            open_directories: AtomicUsize::new(0),
            in_flight: Mutex::new(0),
            landed: Condvar::new(),
        }
    }

    /// Restores `entry`: a directory's contents straight into the target, anything else as an entry of it.
    pub fn run(&self, entry: Entry) -> Result<RestoreSummary, Error> {
        let (jobs_in, jobs) = bounded(WAITING_SEGMENTS);
        let writers = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|_| {
                    let jobs: Receiver<Vec<Piece<'_>>> = jobs.clone();
                    scope.spawn(move || self.write_all(&jobs))
                })
                .collect();
            drop(jobs);
            let planned = Planner::new(self, jobs_in).plan(entry);
            for thread in threads {
                thread.join().map_err(|_| Error::WorkerLost)?;
            }
            planned
        })?;
        if let Some(error) = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        Ok(self.summary())
    }

    fn summary(&self) -> RestoreSummary {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RestoreSummary {
            files: read(&self.counts.files),
            directories: read(&self.counts.directories),
            others: read(&self.counts.others),
            bytes: read(&self.counts.bytes),
            failed_entries: read(&self.counts.failed_entries),
            failed_attributes: read(&self.counts.failed_attributes),
            interrupted: self.around.stop.requested(),
        }
    }

    fn stopping(&self) -> bool {
        self.around.stop.requested() || self.stopped.load(Ordering::Relaxed)
    }

    fn write_all(&self, jobs: &Receiver<Vec<Piece<'_>>>) {
        let mut decompressor = Decompressor::new();
        for pieces in jobs {
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

    pub(super) fn fail(&self, path: &Path, message: &str) {
        count(&self.counts.failed_entries, 1);
        self.tell(path, message);
    }

    pub(super) fn tell(&self, path: &Path, message: &str) {
        let path = self.target.join(path);
        self.around.progress.notice(&Notice { severity: Severity::Problem, subject: &path, message });
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
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Goes over the tree, makes what has no contents, and plans what has \[1\].
struct Planner<'e> {
    engine: &'e Engine<'e>,
    jobs: Sender<Vec<Piece<'e>>>,
    pieces: Vec<Piece<'e>>,
    directories: usize,
    first_names: HashMap<u64, Arc<FirstName<'e>>>,
}

impl<'e> Planner<'e> {
    fn new(engine: &'e Engine<'e>, jobs: Sender<Vec<Piece<'e>>>) -> Self {
        Self { engine, jobs, pieces: Vec::new(), directories: 0, first_names: HashMap::new() }
    }

    fn plan(mut self, entry: Entry) -> Result<(), Error> {
        let fd = self.engine.root.try_clone().map_err(Error::local("open", &self.engine.target))?;
        let path = PathBuf::new();
        if let EntryKind::Directory { subtree } = entry.kind {
            let root = Directory::new(self.engine, None, (path, fd), entry.metadata);
            count(&self.engine.counts.directories, 1);
            self.plan_tree(root, &subtree)?;
        } else {
            // The target is not part of what is restored: it keeps what it has, but for the time.
            let stat = rustix::fs::fstat(&fd).map_err(Error::local("look at", &self.engine.target))?;
            let metadata = super::attributes::Owners::default().metadata(&stat, Vec::new());
            let root = Directory::new(self.engine, None, (path, fd), metadata);
            self.plan_entry(&root, entry)?;
        }
        self.send()
    }

    fn plan_tree(&mut self, root: Arc<Directory<'e>>, subtree: &ChunkHash) -> Result<(), Error> {
        let mut open: Vec<(Arc<Directory<'e>>, Entries<'e>)> =
            vec![(root, self.engine.domain.entries(subtree))];
        while let Some((directory, entries)) = open.last_mut() {
            let directory = Arc::clone(directory);
            if self.engine.stopping() {
                return Ok(());
            }
            match entries.next() {
                None => {
                    open.pop();
                }
                Some(Err(error)) => {
                    self.engine
                        .fail(&directory.path, &format!("its entries cannot be read: {}", chain(&error)));
                    open.pop();
                }
                Some(Ok(entry)) => {
                    if let Some((made, subtree)) = self.plan_entry(&directory, entry)? {
                        open.push((made, self.engine.domain.entries(&subtree)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes or plans one entry; returns the directory to go into, if it is one.
    fn plan_entry(
        &mut self,
        directory: &Arc<Directory<'e>>,
        entry: Entry,
    ) -> Result<Option<(Arc<Directory<'e>>, ChunkHash)>, Error> {
        if self.linked(directory, &entry) {
            return Ok(None);
        }
        match entry.kind {
            EntryKind::Directory { subtree } => {
                return Ok(self.make_directory(directory, entry)?.map(|made| (made, subtree)));
            }
            EntryKind::File { .. } => self.plan_file(directory, entry)?,
            _ => self.make_special(directory, &entry),
        }
        Ok(None)
    }

    fn make_directory(
        &mut self,
        parent: &Arc<Directory<'e>>,
        entry: Entry,
    ) -> Result<Option<Arc<Directory<'e>>>, Error> {
        let engine = self.engine;
        let path = parent.path.join(super::os_str(&entry.name));
        let fd = match target::make_directory(parent.fd.as_fd(), &entry.name) {
            Ok(fd) => fd,
            Err(error) => {
                if let Err(error) = engine.check_fatal(&path, error) {
                    engine.fail(&path, &format!("cannot be made: {error}"));
                }
                return Ok(None);
            }
        };
        count(&engine.counts.directories, 1);
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        self.directories += 1;
        if self.directories >= BATCH_DIRECTORIES {
            self.send()?;
        }
        let parent = Some(Arc::clone(parent));
        Ok(Some(Directory::new(engine, parent, (path, fd), entry.metadata)))
    }

    fn make_special(&mut self, directory: &Arc<Directory<'e>>, entry: &Entry) {
        let engine = self.engine;
        let path = directory.path.join(super::os_str(&entry.name));
        if let Err(error) = target::make_special(directory.fd.as_fd(), entry) {
            if let Err(error) = engine.check_fatal(&path, error) {
                engine.fail(&path, &format!("cannot be made: {error}"));
            }
            return;
        }
        let errors = engine.attributes.set_at(directory.fd.as_fd(), entry);
        engine.tell_attributes(&path, &errors);
        count(&engine.counts.others, 1);
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        if let Some(first_name) = self.first_name(directory, entry) {
            first_name.settle(true);
        }
    }

    /// What further names of the entry wait for, if it may have any.
    fn first_name(&mut self, directory: &Arc<Directory<'e>>, entry: &Entry) -> Option<Arc<FirstName<'e>>> {
        let first_name = FirstName::new(directory, entry);
        self.first_names.insert(entry.link_group?, Arc::clone(&first_name));
        Some(first_name)
    }

    /// Whether the entry is a further name of a file that stands elsewhere; then it is made, or waits for that file.
    fn linked(&self, directory: &Arc<Directory<'e>>, entry: &Entry) -> bool {
        let first_name = entry.link_group.and_then(|group| self.first_names.get(&group));
        first_name.inspect(|first_name| first_name.add(directory, &entry.name)).is_some()
    }

    fn plan_file(&mut self, directory: &Arc<Directory<'e>>, entry: Entry) -> Result<(), Error> {
        let first_name = self.first_name(directory, &entry);
        let EntryKind::File { size, contents, holes } = entry.kind else { return Ok(()) };
        let file = File::new(directory, (entry.name, entry.metadata), (size, holes), first_name);
        let mut at = 0;
        let planned = self.engine.domain.for_each_chunk(&contents, &mut |chunk| {
            self.plan_chunk(&file, chunk, at)?;
            at += u64::from(chunk.length);
            Ok(())
        });
        match planned {
            Ok(()) => file.settle(),
            Err(Error::WorkerLost) => return Err(Error::WorkerLost),
            Err(error) => file.fail(&chain(&error)),
        }
        Ok(())
    }

    fn plan_chunk(&mut self, file: &Arc<File<'e>>, chunk: &ChunkRef, at: u64) -> Result<(), Error> {
        let place = self.engine.domain.place(&chunk.h)?;
        if place.length != chunk.length {
            return Err(self.engine.domain.damaged_tree("a chunk has another length than the index says"));
        }
        file.add_pending();
        self.pieces.push(Piece { place, h: chunk.h, file: Arc::clone(file), at });
        if self.pieces.len() >= BATCH_PIECES { self.send() } else { Ok(()) }
    }

    /// Sorts what was planned by place, and hands it on a segment at a time.
    fn send(&mut self) -> Result<(), Error> {
        self.directories = 0;
        let mut pieces = std::mem::take(&mut self.pieces);
        // Stable: within a segment the pieces stay in the order of the tree.
        pieces.sort_by_key(|piece| (piece.place.pack.id, piece.place.segment.offset));
        let mut pieces = pieces.into_iter().peekable();
        while let Some(first) = pieces.next() {
            let (pack, offset) = (first.place.pack.id, first.place.segment.offset);
            let mut segment = vec![first];
            while let Some(piece) =
                pieces.next_if(|piece| piece.place.pack.id == pack && piece.place.segment.offset == offset)
            {
                segment.push(piece);
            }
            *self.engine.in_flight.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.jobs.send(segment).map_err(|_| Error::WorkerLost)?;
        }
        self.engine.wait_for_landing();
        Ok(())
    }
}
