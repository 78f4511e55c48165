//! Reading large and sparse files: one thread reads and cuts, and any thread stores the chunks \[2\].
//!
//! The reader puts about a mebibyte of chunks at a time into a group. When no thread has room for a group, the reader stores it
//! itself: so work spreads over all threads, and none waits for another. The group that is finished last fills the file's slot.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{ChunkRef, Hole};
use crate::progress::Amount;

use super::attributes::stamp;
use super::backup::{Hand, count};
use super::read::ReadFile;

/// Bytes read with one call.
const READ_BYTES: usize = 1 << 20;
/// Bytes of chunks in a group: about a segment.
const GROUP_BYTES: usize = 1 << 20;

/// Consecutive chunks of a large file.
pub struct Group {
    file: Arc<LargeFile>,
    number: usize,
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

/// A large file whose chunks are being stored.
struct LargeFile {
    /// Chunks by group; a group that is not stored yet is empty.
    chunks: Mutex<Vec<Vec<ChunkRef>>>,
    /// Groups not stored yet, and one for the reader itself.
    pending: AtomicUsize,
    /// The file, put here by the reader when all groups are on their way; `None` if it is to be dropped.
    finished: Mutex<Option<ReadFile>>,
}

/// Reads a file and fills its slot, now or when the last of its groups is stored.
pub fn read(
    mut file: ReadFile,
    hand: &mut Hand<'_>,
    groups_in: &Sender<Group>,
    groups: &Receiver<Group>,
) -> Result<(), Error> {
    for attempt in 0..2 {
        let large = Arc::new(LargeFile {
            chunks: Mutex::default(),
            pending: AtomicUsize::new(1),
            finished: Mutex::default(),
        });
        let reader = Reader { large: Arc::clone(&large), groups_in, groups };
        let read = match reader.read(&file, hand) {
            Ok(read) => read,
            Err(ReadError::Engine(error)) => return Err(error),
            Err(ReadError::Stopped) => return file.slot.leave(hand),
            Err(ReadError::Source(error)) => {
                return file.slot.fail(&file.name, &format!("cannot be read: {error}"), hand);
            }
        };
        let after = match rustix::fs::fstat(&file.fd) {
            Ok(after) => after,
            Err(error) => {
                let message = format!("cannot be looked at: {}", io::Error::from(error));
                return file.slot.fail(&file.name, &message, hand);
            }
        };
        let as_before = stamp(&after) == stamp(&file.stat) && read.size == file.stat.st_size as u64;
        if !as_before && attempt == 0 {
            file.stat = after;
            continue;
        }
        file.changed = !as_before;
        file.stat.st_size = read.size as _;
        file.holes = read.holes;
        *large.finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        return large.settle(hand);
    }
    Ok(())
}

struct Reader<'q> {
    large: Arc<LargeFile>,
    groups_in: &'q Sender<Group>,
    groups: &'q Receiver<Group>,
}

/// What was read: where the file ended, and where it had holes.
struct Read {
    size: u64,
    holes: Vec<Hole>,
}

enum ReadError {
    Source(io::Error),
    Engine(Error),
    Stopped,
}

impl From<Errno> for ReadError {
    fn from(error: Errno) -> Self {
        Self::Source(error.into())
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl Reader<'_> {
    fn read(&self, file: &ReadFile, hand: &mut Hand<'_>) -> Result<Read, ReadError> {
        let mut stream = hand.engine.parts.cutter.stream();
        // Bytes since the last cut, and where in the data they begin.
        let mut uncut: Vec<u8> = Vec::with_capacity(4 * READ_BYTES);
        let mut uncut_at = 0_u64;
        let mut cuts = Vec::new();
        let mut extents = Extents { position: 0, holes: Vec::new() };
        while let Some(data) = extents.next(file)? {
            rustix::fs::seek(&file.fd, SeekFrom::Start(data.offset))?;
            let mut left = data.length;
            while left > 0 {
                if hand.engine.stopping() {
                    return Err(ReadError::Stopped);
                }
                let read = read_more(file, &mut uncut, left)?;
                if read == 0 {
                    extents.position = data.offset + data.length - left;
                    break;
                }
                left -= read as u64;
                count(&hand.engine.counts.read_bytes, read as u64);
                hand.engine.around.progress.advance(Amount { items: 0, bytes: read as u64 });
                stream.push(&uncut[uncut.len() - read..], &mut cuts);
                let last = cuts.last().map_or(0, |cut| (cut - uncut_at) as usize);
                if last >= GROUP_BYTES {
                    self.dispatch(&mut uncut, &mut uncut_at, &mut cuts, hand)?;
                }
            }
            if left > 0 {
                break;
            }
        }
        stream.finish(&mut cuts);
        self.dispatch(&mut uncut, &mut uncut_at, &mut cuts, hand)?;
        Ok(Read { size: extents.position, holes: extents.holes })
    }

    /// Hands on all whole chunks, in groups.
    fn dispatch(
        &self,
        uncut: &mut Vec<u8>,
        uncut_at: &mut u64,
        cuts: &mut Vec<u64>,
        hand: &mut Hand<'_>,
    ) -> Result<(), Error> {
        let mut start = 0;
        let mut lengths = Vec::new();
        let mut group_start = 0;
        for cut in cuts.drain(..) {
            let end = (cut - *uncut_at) as usize;
            lengths.push((end - start) as u32);
            start = end;
            if end - group_start >= GROUP_BYTES {
                self.send(uncut[group_start..end].to_vec(), std::mem::take(&mut lengths), hand)?;
                group_start = end;
            }
        }
        if !lengths.is_empty() {
            self.send(uncut[group_start..start].to_vec(), lengths, hand)?;
        }
        uncut.drain(..start);
        *uncut_at += start as u64;
        Ok(())
    }

    fn send(&self, bytes: Vec<u8>, lengths: Vec<u32>, hand: &mut Hand<'_>) -> Result<(), Error> {
        let number = {
            let mut chunks = self.large.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            chunks.push(Vec::new());
            chunks.len() - 1
        };
        self.large.pending.fetch_add(1, Ordering::Relaxed);
        let group = Group { file: Arc::clone(&self.large), number, bytes, lengths };
        match self.groups_in.try_send(group) {
            Ok(()) => Ok(()),
            // Rather the oldest group than the newest: files then finish in the order in which they were begun.
            Err(TrySendError::Full(group)) => match self.groups.try_recv() {
                Ok(oldest) => {
                    oldest.store(hand)?;
                    match self.groups_in.try_send(group) {
                        Ok(()) => Ok(()),
                        Err(refused) => refused.into_inner().store(hand),
                    }
                }
                Err(_) => group.store(hand),
            },
            Err(TrySendError::Disconnected(_)) => Err(Error::WorkerLost),
        }
    }
}

/// Appends up to [`READ_BYTES`] to `buffer`; 0 at the end of the file.
fn read_more(file: &ReadFile, buffer: &mut Vec<u8>, at_most: u64) -> Result<usize, Errno> {
    let before = buffer.len();
    buffer.resize(before + READ_BYTES.min(usize::try_from(at_most).unwrap_or(READ_BYTES)), 0);
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&file.fd, &mut buffer[before..]));
    buffer.truncate(before + *read.as_ref().unwrap_or(&0));
    read
}

impl Group {
    /// Stores the chunks; the last group of a file fills the file's slot.
    pub fn store(self, hand: &mut Hand<'_>) -> Result<(), Error> {
        let mut stored = Vec::with_capacity(self.lengths.len());
        let mut rest = &self.bytes[..];
        for length in self.lengths {
            let (chunk, after) = rest.split_at(length as usize);
            stored.push(ChunkRef { h: hand.store_chunk(SegmentKind::Data, chunk)?, length });
            rest = after;
        }
        self.file.chunks.lock().unwrap_or_else(PoisonError::into_inner)[self.number] = stored;
        self.file.settle(hand)
    }
}

impl LargeFile {
    fn settle(&self, hand: &mut Hand<'_>) -> Result<(), Error> {
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Ok(());
        }
        let Some(file) = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let groups = std::mem::take(&mut *self.chunks.lock().unwrap_or_else(PoisonError::into_inner));
        file.finish(groups.into_iter().flatten().collect(), hand)
    }
}

/// Goes over the parts of a file that hold data, and notes the holes between them.
struct Extents {
    position: u64,
    holes: Vec<Hole>,
}

impl Extents {
    /// The next part with data. A file system that knows no holes shows one part.
    fn next(&mut self, file: &ReadFile) -> Result<Option<Hole>, Errno> {
        let size = file.stat.st_size as u64;
        let start = match rustix::fs::seek(&file.fd, SeekFrom::Data(self.position)) {
            Ok(start) => start,
            Err(Errno::NXIO) => size.max(self.position),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => self.position,
            Err(error) => return Err(error),
        };
        if start > self.position {
            self.holes.push(Hole { offset: self.position, length: start - self.position });
            self.position = start;
        }
        let end = match rustix::fs::seek(&file.fd, SeekFrom::Hole(start)) {
            Ok(end) => end,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => size,
            Err(error) => return Err(error),
        };
        if end <= start {
            return Ok(None);
        }
        self.position = end;
        Ok(Some(Hole { offset: start, length: end - start }))
    }
}
