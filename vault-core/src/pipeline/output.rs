//! The directories and files of a target while they are being restored: whoever lets go of one last finishes it \[3\].
//!
//! A file gets its name when it is whole and has its attributes; until then what stood there stays. One that could not be made
//! whole is removed under its temporary name.

pub(super) mod links;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, FileType, Mode, Stat};

use crate::format::tree::{Contents, Entry, EntryKind, Hole, Metadata};
use crate::id::ChunkHash;
use crate::progress::{Amount, Change};
use crate::vault::chunk_index::Place;

use super::attributes::file_type;
use super::restore::{Engine, count};
use super::target;

use links::FirstName;

/// Zeros of this length, at a multiple of it, become a hole where that is asked for: the block of the usual file systems.
const BLOCK_BYTES: u64 = 4096;

/// A directory of the target. It gets its attributes when the last who needs it lets go of it: then nothing in it will change.
pub(super) struct Directory<'e> {
    pub(super) engine: &'e Engine<'e>,
    parent: Option<Arc<Directory<'e>>>,
    /// Below the target.
    pub(super) path: PathBuf,
    /// The directory, open; `None` only in a dry run, for one that does not exist.
    fd: Option<OwnedFd>,
    /// Whether it stood there before, so that something may be in it.
    found: bool,
    finish: Finish,
}

/// What is done with a directory when nothing in it will change any more.
pub(super) enum Finish {
    /// It gets these attributes.
    Set(Metadata),
    /// It keeps what it has, and gets back this mode if it had to be made accessible.
    Leave(Option<u32>),
    /// It was finished before, and stays as it was then, even in its time.
    Again(Box<Stat>),
}

/// A directory's descriptor, if it has one, and whether it stood there before.
pub(super) type Opened = (Option<OwnedFd>, bool);

impl<'e> Directory<'e> {
    /// A directory that was made or opened just now.
    pub(super) fn new(
        engine: &'e Engine<'e>,
        (parent, path): (Option<Arc<Directory<'e>>>, PathBuf),
        (fd, found): Opened,
        finish: Finish,
    ) -> Arc<Self> {
        engine.open_directories.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { engine, parent, path, fd, found, finish })
    }

    /// The directory, open.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What stands at a name in it; nothing if it was made by this run.
    pub(super) fn look(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match &self.fd {
            Some(fd) if self.found => target::look(fd.as_fd(), name),
            _ => Ok(None),
        }
    }

    fn finish(&self) {
        let engine = self.engine;
        let Some(fd) = self.fd.as_ref().filter(|_| !engine.manner.dry_run) else { return };
        let metadata = match &self.finish {
            Finish::Set(metadata) => metadata,
            Finish::Leave(mode) => {
                // It was loosened by the same call a moment ago, so it can be set again.
                let _ = mode.map(|mode| rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)));
                return;
            }
            Finish::Again(before) => {
                if let Err(error) = target::attributes::set_back(fd.as_fd(), before) {
                    engine.tell(&self.path, &format!("cannot get back its time: {error}"));
                }
                return;
            }
        };
        if self.found {
            let stat = rustix::fs::fstat(fd);
            let set = stat.is_ok_and(|stat| engine.attributes.are_set(fd.as_fd(), &stat, metadata));
            engine.tell_taken(&self.path, set);
            if set {
                return;
            }
        }
        let errors = engine.attributes.set(fd.as_fd(), metadata);
        engine.tell_attributes(&self.path, &errors);
    }
}

impl Drop for Directory<'_> {
    fn drop(&mut self) {
        self.finish();
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
    pub(super) directory: Arc<Directory<'e>>,
    name: Vec<u8>,
    pub(super) size: u64,
    pub(super) contents: Contents,
    pub(super) holes: Vec<Hole>,
    metadata: Metadata,
    /// What stands under its name.
    standing: Option<FileType>,
    /// Whether what stands there is a file whose contents were found wrong.
    pub(super) repairs: AtomicBool,
    /// Whether the temporary file began as a clone, so that holes must be made in it.
    cloned: AtomicBool,
    temporary: OnceLock<Option<Temporary>>,
    failed: AtomicBool,
    /// Chunks not written yet, and one while the file is being planned.
    pending: AtomicUsize,
    /// What further names of it wait for; `None` for a file with one name.
    first_name: Option<Arc<FirstName<'e>>>,
}

/// A file before it has its name.
struct Temporary {
    fd: OwnedFd,
    name: Vec<u8>,
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
    /// A file that is not there yet, for an entry that is one. It is pending until [`settle`](Self::settle) is called once by
    /// who planned it. `None` for an entry of another kind.
    pub(super) fn new(
        directory: &Arc<Directory<'e>>,
        entry: Entry,
        standing: Option<&Stat>,
        first_name: Option<Arc<FirstName<'e>>>,
    ) -> Option<Arc<Self>> {
        let EntryKind::File { size, contents, holes } = entry.kind else { return None };
        Some(Arc::new(Self {
            directory: Arc::clone(directory),
            name: entry.name,
            size,
            contents,
            holes,
            metadata: entry.metadata,
            standing: standing.map(file_type),
            repairs: AtomicBool::new(false),
            cloned: AtomicBool::new(false),
            temporary: OnceLock::new(),
            failed: AtomicBool::new(false),
            pending: AtomicUsize::new(1),
            first_name,
        }))
    }

    /// Counts one more chunk that is to be written.
    pub(super) fn add_pending(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path.join(super::os_str(&self.name))
    }

    /// Opens the file that stands under its name.
    pub(super) fn open_standing(&self) -> io::Result<(OwnedFd, Stat)> {
        target::open_file(self.directory.fd()?, &self.name)
    }

    /// Takes the file that stands there for this one, as its contents are right; then nothing more is to be done.
    ///
    /// False if its attributes differ and other names of it would get them too: it must be replaced.
    pub(super) fn keep(&self, fd: BorrowedFd<'_>, stat: &Stat) -> bool {
        let engine = self.directory.engine;
        let same = engine.attributes.are_set(fd, stat, &self.metadata);
        if !same && stat.st_nlink > 1 {
            return false;
        }
        if !same && !engine.manner.dry_run {
            engine.tell_attributes(&self.path(), &engine.attributes.set(fd, &self.metadata));
        }
        engine.tell_taken(&self.path(), same);
        engine.around.progress.advance(Amount { items: 1, bytes: self.size });
        if let Some(first_name) = &self.first_name {
            first_name.settle(true);
        }
        true
    }

    /// Counts the file as written, in a run that writes nothing.
    pub(super) fn pretend(&self) {
        self.directory.engine.around.progress.advance(Amount { items: 0, bytes: self.size });
        // Fails only if the directory has gone meanwhile.
        let _ = self.directory.fd().map(|fd| self.clear_the_way(fd));
        self.tell_written();
        if let Some(first_name) = &self.first_name {
            first_name.settle(true);
        }
    }

    /// Makes the temporary file a clone of what stands there, if the file system can do that; tells whether it is one.
    pub(super) fn clone_from(&self, base: BorrowedFd<'_>) -> io::Result<bool> {
        let Some(fd) = self.temporary()? else { return Ok(false) };
        if rustix::fs::ioctl_ficlone(fd, base).is_err() {
            return Ok(false);
        }
        self.cloned.store(true, Ordering::Relaxed);
        rustix::fs::ftruncate(fd, self.size)?;
        for hole in &self.holes {
            punch(fd, hole.offset, hole.length)?;
        }
        Ok(true)
    }

    /// The temporary file, made if it is not there yet; `None` if that failed before.
    pub(super) fn temporary(&self) -> io::Result<Option<BorrowedFd<'_>>> {
        let mut opened = Ok(());
        let temporary = self.temporary.get_or_init(|| {
            let name = self.directory.engine.names.next();
            let made = self.directory.fd().and_then(|directory| target::make_file(directory, &name));
            made.map(|fd| Temporary { fd, name }).map_err(|error| opened = Err(error)).ok()
        });
        opened.map(|()| temporary.as_ref().map(|temporary| temporary.fd.as_fd()))
    }

    /// Writes one chunk.
    pub(super) fn write(&self, chunk: &[u8], at: u64) {
        if !self.failed.load(Ordering::Relaxed) {
            self.try_write(chunk, at).unwrap_or_else(|error| self.fail_io(error));
        }
        self.settle();
    }

    /// Writes verified bytes at a position of the data, which does not count holes.
    pub(super) fn try_write(&self, chunk: &[u8], at: u64) -> io::Result<()> {
        let Some(fd) = self.temporary()? else { return Ok(()) };
        for (part, offset) in parts(&self.holes, at, chunk.len() as u64) {
            let bytes = &chunk[part.start as usize..part.end as usize];
            if self.directory.engine.manner.sparse {
                self.write_sparsely(fd, bytes, offset)?;
            } else {
                write_at(fd, bytes, offset)?;
            }
        }
        let engine = self.directory.engine;
        engine.around.progress.advance(Amount { items: 0, bytes: chunk.len() as u64 });
        Ok(())
    }

    /// Writes bytes, and leaves holes for blocks of zeros.
    fn write_sparsely(&self, fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            let position = offset + at as u64;
            let to_boundary = BLOCK_BYTES - position % BLOCK_BYTES;
            let end = bytes.len().min(at + to_boundary as usize);
            let part = &bytes[at..end];
            let cloned = self.cloned.load(Ordering::Relaxed);
            let is_block = part.len() as u64 == BLOCK_BYTES;
            if part.iter().any(|&byte| byte != 0) || (cloned && !is_block) {
                write_at(fd, part, position)?;
            } else if cloned {
                punch(fd, position, BLOCK_BYTES)?;
            }
            // What is never written in a new file is zero.
            at = end;
        }
        Ok(())
    }

    pub(super) fn fail_io(&self, error: io::Error) {
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
        let mut whole = !self.failed.load(Ordering::Relaxed);
        if whole && let Err(error) = self.finish() {
            self.fail_io(error);
            whole = false;
        }
        if !whole && let Some(Some(temporary)) = self.temporary.get() {
            // Half a file must not pass for the whole.
            let removed = self.directory.fd().and_then(|fd| target::remove_file(fd, &temporary.name));
            removed.unwrap_or_else(|error| {
                self.directory.engine.tell(&self.path(), &format!("leaves half a file behind: {error}"));
            });
        }
        if let Some(first_name) = &self.first_name {
            first_name.settle(whole);
        }
    }

    /// Sets size and attributes, and gives the file its name.
    fn finish(&self) -> io::Result<()> {
        let engine = self.directory.engine;
        // A file without data has not been made yet.
        self.try_write(&[], 0)?;
        let Some(Some(temporary)) = self.temporary.get() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let fd = temporary.fd.as_fd();
        if !self.holes.is_empty() || engine.manner.sparse {
            rustix::fs::ftruncate(fd, self.size)?;
        }
        if engine.verifying() {
            engine.read_back(self, fd)?;
        }
        let errors = engine.attributes.set(fd, &self.metadata);
        let directory = self.directory.fd()?;
        self.clear_the_way(directory);
        target::put(directory, &temporary.name, &self.name, self.standing.is_some())?;
        engine.tell_attributes(&self.path(), &errors);
        self.tell_written();
        Ok(())
    }

    /// Removes a directory that stands in its place, now that the file is whole.
    fn clear_the_way(&self, directory: BorrowedFd<'_>) {
        if self.standing == Some(FileType::Directory) {
            self.directory.engine.remove_tree(directory, &self.name, &self.path());
        }
    }

    fn tell_written(&self) {
        let engine = self.directory.engine;
        if !engine.verifying() {
            count(&engine.counts.files, 1);
            count(&engine.counts.bytes, self.size);
        }
        let repaired = self.repairs.load(Ordering::Relaxed);
        count(&engine.counts.repaired_files, u64::from(repaired));
        engine.changed(&self.path(), if repaired { Change::Repaired } else { Change::Written });
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
    }
}

fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        written += rustix::io::pwrite(fd, &bytes[written..], offset + written as u64)?;
    }
    Ok(())
}

fn punch(fd: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(fd, flags, offset, length)?)
}

/// The parts into which the holes divide `length` bytes of data at `position`, each with its place in the file.
///
/// Positions do not count holes; the parts are ranges of the data at hand.
pub(super) fn parts(
    holes: &[Hole],
    position: u64,
    length: u64,
) -> impl Iterator<Item = (std::ops::Range<u64>, u64)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= length {
            return None;
        }
        let (offset, room) = place_in_file(holes, position + done);
        let part = done..length.min(done.saturating_add(room));
        done = part.end;
        Some((part, offset))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_around_holes() {
        let holes = [Hole { offset: 0, length: 10 }, Hole { offset: 15, length: 5 }];

        let all: Vec<_> = parts(&holes, 0, 12).collect();
        let later: Vec<_> = parts(&holes, 7, 3).collect();

        assert_eq!(all, [(0..5, 10), (5..12, 20)]);
        assert_eq!(later, [(0..3, 22)]);
        assert_eq!(parts(&holes, 0, 0).count(), 0);
        assert_eq!(parts(&[], 3, 4).collect::<Vec<_>>(), [(0..4, 3)]);
    }
}
