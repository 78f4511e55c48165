//! Walking: lists directories depth first, in sorted order, and decides for each entry whether it must be read \[1\].
//!
//! A walker that waits, for a directory or for room in the queue, has handed on everything it held, so the walk cannot stand still.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crossbeam_channel::Sender;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat};

use crate::error::Error;
use crate::format::tree::{DeviceNumber, Entry, EntryKind};
use crate::progress::{Amount, Severity};

use super::attributes::{file_type, link_group_of, stamp, xattrs_at, xattrs_of};
use super::directory::{Directory, Slot, Task};
use super::hand::{Hand, Wanted};
use super::read::FileTask;
use super::select::{CACHE_TAG_NAME, CACHE_TAG_SIGNATURE};

/// A batch is full at this many files or bytes: about what makes a segment, so that neighbours end up in one.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: u64 = 1 << 20;

/// Each directory with files that wait is open: a batch holds few, so that the waiting ones together stay in the hundreds.
const BATCH_DIRECTORIES: usize = 32;

/// Bytes of directory entries asked for in one call.
const LISTING_BYTES: usize = 32 << 10;

/// Directories to be listed, the deepest first: that keeps few of them open, and neighbours together.
pub struct WalkQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    waiting: Vec<Task>,
    /// Directories that are being listed: each may bring more.
    listing: usize,
    closed: bool,
}

impl WalkQueue {
    /// A queue that begins with the root, if there is one.
    pub fn new(root: Option<Task>) -> Self {
        let state = QueueState { waiting: root.into_iter().collect(), listing: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Lists directories until there are none left; several threads do so at once.
    pub fn walk(&self, hand: &mut Hand<'_>, files: &Sender<Vec<FileTask>>) -> Result<(), Error> {
        let mut batch = Batch { files: Vec::new(), bytes: 0, directories: 0, full: files };
        loop {
            let task = if let Some(task) = self.try_next() {
                task
            } else {
                batch.send()?;
                match self.wait_next() {
                    Some(task) => task,
                    None => return Ok(()),
                }
            };
            let outcome = visit(task, hand, &mut batch);
            self.listed(outcome?);
        }
    }

    /// Ends the walk for all threads. Called when one of them ends, in whatever way.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn try_next(&self) -> Option<Task> {
        let mut state = self.lock();
        let task = if state.closed { None } else { state.waiting.pop() };
        state.listing += usize::from(task.is_some());
        task
    }

    fn wait_next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.closed || (state.waiting.is_empty() && state.listing == 0) {
                return None;
            }
            if let Some(task) = state.waiting.pop() {
                state.listing += 1;
                return Some(task);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn listed(&self, found: Vec<Task>) {
        let mut state = self.lock();
        state.listing -= 1;
        let news = !found.is_empty() || (state.listing == 0 && state.waiting.is_empty());
        // The first by name is to be the next.
        state.waiting.extend(found.into_iter().rev());
        drop(state);
        if news {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changed files on their way to the readers.
struct Batch<'q> {
    files: Vec<FileTask>,
    bytes: u64,
    directories: usize,
    full: &'q Sender<Vec<FileTask>>,
}

impl Batch<'_> {
    fn push(&mut self, task: FileTask) -> Result<(), Error> {
        self.bytes += task.size();
        self.files.push(task);
        if self.files.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES { self.send() } else { Ok(()) }
    }

    fn end_directory(&mut self) -> Result<(), Error> {
        self.directories += 1;
        if self.directories >= BATCH_DIRECTORIES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        self.directories = 0;
        if self.files.is_empty() {
            return Ok(());
        }
        self.full.send(std::mem::take(&mut self.files)).map_err(|_| Error::WorkerLost)
    }
}

/// Lists one directory, and returns the directories in it.
fn visit(task: Task, hand: &mut Hand<'_>, batch: &mut Batch<'_>) -> Result<Vec<Task>, Error> {
    if hand.engine.stopping() {
        return Ok(leave(task, hand));
    }
    let (fd, stat, names) = match open(&task) {
        Ok(opened) => opened,
        Err(source) => return fail(task, source, hand),
    };
    let engine = hand.engine;
    let xattrs = xattrs_of(fd.as_fd()).unwrap_or_default();
    let metadata = engine.owners.metadata(&stat, xattrs);
    let only_tag =
        engine.rules.exclude_caches && names.iter().any(|name| name == CACHE_TAG_NAME) && is_cache(&fd);
    let visit = Visit { selection: Arc::clone(&task.selection), device: task.device };
    let directory = Directory::new(task, fd, metadata, hand);

    let mut found = Vec::new();
    for name in names {
        if only_tag && name != CACHE_TAG_NAME {
            count_skipped(hand);
            continue;
        }
        if let Some(task) = visit.entry(&directory, name, hand, batch)? {
            found.push(task);
        }
    }
    directory.listed(hand);
    batch.end_directory()?;
    Ok(found)
}

fn leave(task: Task, hand: &mut Hand<'_>) -> Vec<Task> {
    if let Some(slot) = task.parent {
        slot.skip(hand);
    }
    Vec::new()
}

fn count_skipped(hand: &Hand<'_>) {
    hand.count(hand.going(), |counts| &counts.skipped_entries, 1);
}

fn fail(task: Task, source: io::Error, hand: &mut Hand<'_>) -> Result<Vec<Task>, Error> {
    let Some(slot) = task.parent else { return Err(Error::Source { path: task.path, source }) };
    if source.kind() == io::ErrorKind::NotFound {
        slot.tell(&task.name, Severity::Note, "vanished before it was read", hand);
        slot.skip(hand);
    } else {
        slot.fail(hand.going(), &task.name, &format!("cannot be listed: {source}"), hand);
    }
    Ok(Vec::new())
}

fn open(task: &Task) -> io::Result<(OwnedFd, Stat, Vec<Vec<u8>>)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match &task.parent {
        Some(slot) => rustix::fs::openat(&slot.directory.fd, &task.name[..], flags, Mode::empty())?,
        None => rustix::fs::openat(CWD, &task.path, flags, Mode::empty())?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    let names = names_in(&fd)?;
    Ok((fd, stat, names))
}

/// The names in an open directory, sorted.
pub(crate) fn names_in(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); LISTING_BYTES];
    let mut listing = RawDir::new(directory, &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a directory is tagged as a cache.
pub(crate) fn is_cache(directory: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut head = [0; CACHE_TAG_SIGNATURE.len()];
    let read = rustix::fs::openat(directory, CACHE_TAG_NAME, flags, Mode::empty())
        .and_then(|file| rustix::io::read(&file, &mut head));
    read.is_ok_and(|length| length == head.len()) && head == CACHE_TAG_SIGNATURE
}

/// What holds for all entries of the directory being listed.
struct Visit {
    selection: Arc<super::select::Selection>,
    device: Option<u64>,
}

impl Visit {
    /// Decides about one entry; returns it if it is a directory to be listed.
    fn entry(
        &self,
        directory: &Arc<Directory>,
        name: Vec<u8>,
        hand: &mut Hand<'_>,
        batch: &mut Batch<'_>,
    ) -> Result<Option<Task>, Error> {
        let Some(selection) = self.selection.below(&name) else { return Ok(None) };
        let stat = match rustix::fs::statat(&directory.fd, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => {
                let message = format!("cannot be looked at: {}", io::Error::from(error));
                directory.add_pending().fail(hand.going(), &name, &message, hand);
                return Ok(None);
            }
        };
        let kind = file_type(&stat);
        if self.left_out(directory, &name, &stat, hand) {
            count_skipped(hand);
            return Ok(None);
        }
        if kind == FileType::Directory {
            return Ok(Some(self.below(directory, name, selection, &stat)));
        }
        let (wanted, Some(slot)) = directory.add(&name, &stat, hand) else { return Ok(None) };
        if kind == FileType::RegularFile {
            batch.push(FileTask::new(slot, (wanted, name), &stat))?;
        } else {
            special(slot, (wanted, &name), &stat, hand);
        }
        Ok(None)
    }

    fn left_out(&self, directory: &Directory, name: &[u8], stat: &Stat, hand: &Hand<'_>) -> bool {
        let rules = hand.engine.rules;
        let kind = file_type(stat);
        let is_directory = kind == FileType::Directory;
        (kind == FileType::RegularFile && rules.larger_than.is_some_and(|limit| stat.st_size as u64 > limit))
            || (is_directory && self.device.is_some_and(|device| device != stat.st_dev))
            || (is_directory && rules.forbids(stat.st_dev, stat.st_ino))
            || rules.excludes(&directory.path, name, is_directory)
    }

    fn below(
        &self,
        directory: &Arc<Directory>,
        name: Vec<u8>,
        selection: Arc<super::select::Selection>,
        stat: &Stat,
    ) -> Task {
        // A path that was asked for by name is entered on whatever file system it is; below it the rule holds.
        let named = matches!(*self.selection, super::select::Selection::Only(_));
        let device = self.device.map(|device| if named { stat.st_dev } else { device });
        let path = directory.path.join(super::os_str(&name));
        Task { parent: Some(directory.add_pending()), path, name, selection, device }
    }
}

/// Finishes an entry that has no contents to read.
fn special(slot: Slot, (wanted, name): (Wanted, &[u8]), stat: &Stat, hand: &mut Hand<'_>) {
    let kind = match entry_kind(&slot, name, stat) {
        Ok(Some(kind)) => kind,
        Ok(None) => {
            hand.count(wanted, |counts| &counts.skipped_entries, 1);
            slot.tell(
                name,
                Severity::Note,
                "is a socket, which only its program can make again: skipped",
                hand,
            );
            return slot.skip(hand);
        }
        Err(error) => return slot.fail(wanted, name, &format!("cannot be read: {error}"), hand),
    };
    let xattrs = match xattrs_at(slot.directory.fd.as_fd(), name) {
        Ok(xattrs) => xattrs,
        Err(error) => {
            return slot.fail(wanted, name, &format!("attributes cannot be read: {error}"), hand);
        }
    };
    hand.count(wanted, |counts| &counts.others, 1);
    hand.engine.around.progress.advance(Amount { items: 1, bytes: 0 });
    let entry = Entry {
        name: name.to_vec(),
        kind,
        metadata: hand.engine.owners.metadata(stat, xattrs),
        link_group: link_group_of(stat),
        changed_while_read: false,
    };
    let settled = stamp(stat).settled(hand.engine.around.clock.now());
    slot.fill((wanted, settled), hand, |_, _| Ok(entry.clone()));
}

/// `None` for a socket.
fn entry_kind(slot: &Slot, name: &[u8], stat: &Stat) -> io::Result<Option<EntryKind>> {
    let number = DeviceNumber {
        major: rustix::fs::major(stat.st_rdev as _),
        minor: rustix::fs::minor(stat.st_rdev as _),
    };
    Ok(Some(match file_type(stat) {
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&slot.directory.fd, name, Vec::new())?;
            EntryKind::Symlink { target: target.into_bytes() }
        }
        FileType::Fifo => EntryKind::Fifo,
        FileType::CharacterDevice => EntryKind::CharDevice(number),
        FileType::BlockDevice => EntryKind::BlockDevice(number),
        _ => return Ok(None),
    }))
}
