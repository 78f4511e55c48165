//! The directories and files of a target while they are being restored: whoever lets go of one last finishes it \[3\].
//!
//! A file that is there when the restore ends is whole and has its attributes; one that could not be made whole is removed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::format::tree::{Entry, EntryKind, Hole, Metadata};
use crate::id::ChunkHash;
use crate::progress::Amount;
use crate::vault::chunk_index::Place;

use super::restore::{Engine, count};
use super::target;

/// A directory of the target. It gets its attributes when the last who needs it lets go of it: then nothing in it will change.
pub(super) struct Directory<'e> {
    engine: &'e Engine<'e>,
    parent: Option<Arc<Directory<'e>>>,
    /// Below the target.
    pub(super) path: PathBuf,
    /// The directory, open.
    pub(super) fd: OwnedFd,
    metadata: Metadata,
}

impl<'e> Directory<'e> {
    /// A directory that was made or opened just now.
    pub(super) fn new(
        engine: &'e Engine<'e>,
        parent: Option<Arc<Directory<'e>>>,
        (path, fd): (PathBuf, OwnedFd),
        metadata: Metadata,
    ) -> Arc<Self> {
        engine.open_directories.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { engine, parent, path, fd, metadata })
    }
}

impl Drop for Directory<'_> {
    fn drop(&mut self) {
        let errors = self.engine.attributes.set(self.fd.as_fd(), &self.metadata);
        self.engine.tell_attributes(&self.path, &errors);
        self.engine.open_directories.fetch_sub(1, Ordering::Relaxed);
        // Parents are let go of one by one: a deep tree must not need a deep stack.
        let mut parent = self.parent.take();
        while let Some(mut directory) = parent.and_then(Arc::into_inner) {
            parent = directory.parent.take();
        }
    }
}

/// A file of the target, until its last chunk is written.
pub(super) struct File<'e> {
    directory: Arc<Directory<'e>>,
    name: Vec<u8>,
    size: u64,
    holes: Vec<Hole>,
    metadata: Metadata,
    fd: OnceLock<Option<OwnedFd>>,
    failed: AtomicBool,
    /// Chunks not written yet, and one while the file is being planned.
    pending: AtomicUsize,
    /// What further names of it wait for; `None` for a file with one name.
    first_name: Option<Arc<FirstName<'e>>>,
}

/// The first name of something that has several. It outlives the file without keeping anything open.
pub(super) struct FirstName<'e> {
    engine: &'e Engine<'e>,
    /// Below the target.
    directory: PathBuf,
    name: Vec<u8>,
    /// Counts further names that were made.
    made: &'e AtomicU64,
    links: Mutex<Links<'e>>,
}

#[derive(Default)]
struct Links<'e> {
    /// Further names, to be made when the first one is whole.
    waiting: Vec<(Arc<Directory<'e>>, Vec<u8>)>,
    /// Whether the first one became whole; `None` while that is open.
    outcome: Option<bool>,
}

/// A chunk and the place in a file where it belongs.
pub(super) struct Piece<'e> {
    /// Where the chunk lies.
    pub(super) place: Place,
    /// Its hash.
    pub(super) h: ChunkHash,
    /// Where it belongs.
    pub(super) file: Arc<File<'e>>,
    /// Where in the file's data, not counting holes, it begins.
    pub(super) at: u64,
}

impl<'e> File<'e> {
    /// A file that is not there yet. It is pending until [`settle`](Self::settle) is called once by who planned it.
    pub(super) fn new(
        directory: &Arc<Directory<'e>>,
        (name, metadata): (Vec<u8>, Metadata),
        (size, holes): (u64, Vec<Hole>),
        first_name: Option<Arc<FirstName<'e>>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory: Arc::clone(directory),
            name,
            size,
            holes,
            metadata,
            fd: OnceLock::new(),
            failed: AtomicBool::new(false),
            pending: AtomicUsize::new(1),
            first_name,
        })
    }

    /// Counts one more chunk that is to be written.
    pub(super) fn add_pending(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    fn path(&self) -> PathBuf {
        self.directory.path.join(super::os_str(&self.name))
    }

    /// Writes one chunk.
    pub(super) fn write(&self, chunk: &[u8], at: u64) {
        if !self.failed.load(Ordering::Relaxed) {
            self.try_write(chunk, at).unwrap_or_else(|error| self.fail_io(error));
        }
        self.settle();
    }

    fn try_write(&self, chunk: &[u8], at: u64) -> io::Result<()> {
        let mut opened = Ok(());
        let fd = self.fd.get_or_init(|| {
            let made = target::make_file(self.directory.fd.as_fd(), &self.name);
            made.map_err(|error| opened = Err(error)).ok()
        });
        opened?;
        let Some(fd) = fd else { return Ok(()) };
        let mut rest = chunk;
        let mut position = at;
        while !rest.is_empty() {
            let (offset, room) = place_in_file(&self.holes, position);
            let (part, after) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let mut written = 0;
            while written < part.len() {
                written += rustix::io::pwrite(fd, &part[written..], offset + written as u64)?;
            }
            position += part.len() as u64;
            rest = after;
        }
        let engine = self.directory.engine;
        engine.around.progress.advance(Amount { items: 0, bytes: chunk.len() as u64 });
        Ok(())
    }

    fn fail_io(&self, error: io::Error) {
        if self.failed.swap(true, Ordering::Relaxed) {
            return;
        }
        let path = self.path();
        if let Err(error) = self.directory.engine.check_fatal(&path, error) {
            self.directory.engine.fail(&path, &format!("cannot be written: {error}"));
        }
    }

    /// Gives up one chunk of the file because it cannot be read.
    pub(super) fn fail(&self, message: &dyn std::fmt::Display) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.directory.engine.fail(&self.path(), &format!("cannot be restored: {message}"));
        }
        self.settle();
    }

    /// Gives up one chunk because everything ends.
    pub(super) fn abandon(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.settle();
    }

    /// Takes back one pending count; the last one finishes the file.
    pub(super) fn settle(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let whole = !self.failed.load(Ordering::Relaxed) && self.finish();
        if !whole && self.fd.get().is_some_and(Option::is_some) {
            // Half a file must not pass for the whole.
            let removed = target::remove_file(self.directory.fd.as_fd(), &self.name);
            removed.unwrap_or_else(|error| {
                self.directory.engine.tell(&self.path(), &format!("stays incomplete: {error}"));
            });
        }
        if let Some(first_name) = &self.first_name {
            first_name.settle(whole);
        }
    }

    /// Sets size and attributes; false if the file is not as it should be.
    fn finish(&self) -> bool {
        let engine = self.directory.engine;
        // A file without data has not been made yet.
        if let Err(error) = self.try_write(&[], 0) {
            self.fail_io(error);
            return false;
        }
        let Some(fd) = self.fd.get().and_then(Option::as_ref) else { return false };
        if !self.holes.is_empty()
            && let Err(error) = rustix::fs::ftruncate(fd, self.size)
        {
            self.fail_io(error.into());
            return false;
        }
        let errors = engine.attributes.set(fd.as_fd(), &self.metadata);
        engine.tell_attributes(&self.path(), &errors);
        count(&engine.counts.files, 1);
        count(&engine.counts.bytes, self.size);
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        true
    }
}

impl<'e> FirstName<'e> {
    /// The first name of something that is not whole yet.
    pub(super) fn new(directory: &Arc<Directory<'e>>, entry: &Entry) -> Arc<Self> {
        let (engine, directory) = (directory.engine, directory.path.clone());
        let made = match entry.kind {
            EntryKind::File { .. } => &engine.counts.files,
            _ => &engine.counts.others,
        };
        Arc::new(Self { engine, directory, name: entry.name.clone(), made, links: Mutex::default() })
    }

    /// Tells what became of it, and makes the names that waited for that.
    pub(super) fn settle(&self, whole: bool) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.outcome = Some(whole);
        for (directory, name) in std::mem::take(&mut links.waiting) {
            self.link(whole, &directory, &name);
        }
    }

    /// Makes a further name, now or when the first one is whole.
    pub(super) fn add(&self, directory: &Arc<Directory<'e>>, name: &[u8]) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        match links.outcome {
            Some(whole) => self.link(whole, directory, name),
            None => links.waiting.push((Arc::clone(directory), name.to_vec())),
        }
    }

    fn link(&self, whole: bool, directory: &Directory<'e>, name: &[u8]) {
        let path = directory.path.join(super::os_str(name));
        if !whole {
            return self
                .engine
                .fail(&path, "cannot be restored: it is another name of a file that could not be");
        }
        let linked = target::open_below(self.engine.root.as_fd(), &self.directory)
            .and_then(|from| target::make_link((from.as_fd(), &self.name), (directory.fd.as_fd(), name)));
        match linked {
            Ok(()) => {
                count(self.made, 1);
                self.engine.around.progress.advance(Amount { items: 1, bytes: 0 });
            }
            Err(error) => self.engine.fail(&path, &format!("cannot be linked: {error}")),
        }
    }
}

/// Where the data at `position`, which does not count holes, lies in the file, and how much of it until the next hole.
fn place_in_file(holes: &[Hole], position: u64) -> (u64, u64) {
    let mut offset = position;
    for hole in holes {
        if hole.offset > offset {
            return (offset, hole.offset - offset);
        }
        offset += hole.length;
    }
    (offset, u64::MAX)
}
