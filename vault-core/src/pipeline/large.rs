//! Reading large and sparse files: one thread reads and cuts, and any thread stores the chunks \[2\].
//!
//! The reader puts about a mebibyte of chunks at a time into a group. When no thread has room for a group, the reader stores it
//! itself: so work spreads over all threads, and none waits for another. The group that is finished last fills the file's slot.
//! Every destination cuts the file in its own places, in a lane of its own.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::chunk::cut::Stream;
use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{ChunkRef, Hole};
use crate::progress::Amount;

use super::attributes::stamp;
use super::chunk_list::{GrowingList, store_part};
use super::hand::{Hand, Wanted};
use super::read::ReadFile;

/// Bytes read with one call.
const READ_BYTES: usize = 1 << 20;
/// Bytes of chunks in a group, at least: about a segment.
const GROUP_BYTES: usize = 1 << 20;

/// Consecutive chunks of a large file.
pub struct Group {
    file: Arc<LargeFile>,
    lane: usize,
    number: usize,
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

/// A large file whose chunks are being stored.
struct LargeFile {
    lanes: Vec<LaneChunks>,
    /// Groups not stored yet, and one for the reader itself.
    pending: AtomicUsize,
    /// The file, put here by the reader when all groups are on their way; `None` if it is to be dropped.
    finished: Mutex<Option<ReadFile>>,
}

/// The chunks of a large file for one destination.
struct LaneChunks {
    to: usize,
    list: GrowingList,
}

/// Reads a file and fills its slot, now or when the last of its groups is stored.
pub fn read(
    mut file: ReadFile,
    hand: &mut Hand<'_>,
    groups_in: &Sender<Group>,
    groups: &Receiver<Group>,
) -> Result<(), Error> {
    for attempt in 0..2 {
        let large = Arc::new(LargeFile::new(&file));
        let reader = Reader { large: Arc::clone(&large), groups_in, groups };
        let read = match reader.read(&file, hand) {
            Ok(read) => read,
            Err(ReadError::Engine(error)) => return Err(error),
            Err(ReadError::Stopped) => {
                file.slot.skip(hand);
                return Ok(());
            }
            Err(ReadError::Source(error)) => {
                file.slot.fail(file.wanted, &file.name, &format!("cannot be read: {error}"), hand);
                return Ok(());
            }
        };
        let after = match rustix::fs::fstat(&file.fd) {
            Ok(after) => after,
            Err(error) => {
                let message = format!("cannot be looked at: {}", io::Error::from(error));
                file.slot.fail(file.wanted, &file.name, &message, hand);
                return Ok(());
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
        large.settle(hand);
        return Ok(());
    }
    Ok(())
}

/// Reads a stream to its end, and fills the slot of its file.
pub fn read_stream(
    mut file: ReadFile,
    contents: &mut dyn io::Read,
    (hand, groups_in, groups): (&mut Hand<'_>, &Sender<Group>, &Receiver<Group>),
) -> Result<(), Error> {
    let large = Arc::new(LargeFile::new(&file));
    let reader = Reader { large: Arc::clone(&large), groups_in, groups };
    let source = |source| Error::Stream { name: super::os_str(&file.name).to_string_lossy().into(), source };
    match reader.read_to_end(file.wanted, contents, hand) {
        Ok(size) => file.stat.st_size = size as _,
        Err(ReadError::Engine(error)) => return Err(error),
        Err(ReadError::Source(error)) => return Err(source(error)),
        // Nobody can say how much of it is missing: half a stream is not kept.
        Err(ReadError::Stopped) => return Err(Error::Interrupted),
    }
    *large.finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    large.settle(hand);
    Ok(())
}

struct Reader<'q> {
    large: Arc<LargeFile>,
    groups_in: &'q Sender<Group>,
    groups: &'q Receiver<Group>,
}

/// A file on its way to one destination.
struct Lane<'c> {
    stream: Stream<'c>,
    /// Bytes since the last cut, and where in the data they begin.
    uncut: Vec<u8>,
    uncut_at: u64,
    cuts: Vec<u64>,
}

impl Lane<'_> {
    /// Cuts what was appended to `uncut` after its first `before` bytes.
    fn cut(&mut self, before: usize) {
        self.stream.push(&self.uncut[before..], &mut self.cuts);
    }

    /// Bytes up to the last cut.
    fn whole_bytes(&self) -> usize {
        self.cuts.last().map_or(0, |cut| (cut - self.uncut_at) as usize)
    }

    /// Takes out all whole chunks: their bytes and their lengths.
    fn take_whole(&mut self, mut fresh: Vec<u8>) -> (Vec<u8>, Vec<u32>) {
        let whole = self.whole_bytes();
        let lengths = lengths(self.uncut_at, &mut self.cuts);
        fresh.extend_from_slice(&self.uncut[whole..]);
        let mut bytes = std::mem::replace(&mut self.uncut, fresh);
        bytes.truncate(whole);
        self.uncut_at += whole as u64;
        (bytes, lengths)
    }

    /// Ends the file: what is left is the last chunks.
    fn finish(mut self) -> (Vec<u8>, Vec<u32>) {
        self.stream.finish(&mut self.cuts);
        (self.uncut, lengths(self.uncut_at, &mut self.cuts))
    }
}

fn lengths(start: u64, cuts: &mut Vec<u64>) -> Vec<u32> {
    let mut start = start;
    cuts.drain(..).map(|cut| (cut - std::mem::replace(&mut start, cut)) as u32).collect()
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
        let mut lanes: Vec<Lane<'_>> = self.large.lanes.iter().map(|lane| lane.begin(hand)).collect();
        let mut extents = Extents { position: 0, holes: Vec::new() };
        while let Some(data) = extents.next(file)? {
            rustix::fs::seek(&file.fd, SeekFrom::Start(data.offset))?;
            let mut left = data.length;
            while left > 0 {
                if hand.engine.stopping() {
                    return Err(ReadError::Stopped);
                }
                let read = read_more(file, &mut lanes, left)?;
                if read == 0 {
                    extents.position = data.offset + data.length - left;
                    break;
                }
                left -= read;
                hand.count(file.wanted, |counts| &counts.read_bytes, read);
                hand.engine.around.progress.advance(Amount { items: 0, bytes: read });
                self.dispatch(&mut lanes, hand)?;
            }
            if left > 0 {
                break;
            }
        }
        self.finish(lanes, hand)?;
        Ok(Read { size: extents.position, holes: extents.holes })
    }

    /// Reads a stream to its end; returns how long it was.
    fn read_to_end(
        &self,
        wanted: Wanted,
        contents: &mut dyn io::Read,
        hand: &mut Hand<'_>,
    ) -> Result<u64, ReadError> {
        let mut lanes: Vec<Lane<'_>> = self.large.lanes.iter().map(|lane| lane.begin(hand)).collect();
        let mut buffer = vec![0; READ_BYTES];
        let mut size = 0;
        loop {
            if hand.engine.stopping() {
                return Err(ReadError::Stopped);
            }
            let read = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ReadError::Source(error)),
            };
            for lane in &mut lanes {
                let before = lane.uncut.len();
                lane.uncut.extend_from_slice(&buffer[..read]);
                lane.cut(before);
            }
            size += read as u64;
            hand.count(wanted, |counts| &counts.read_bytes, read as u64);
            hand.engine.around.progress.advance(Amount { items: 0, bytes: read as u64 });
            self.dispatch(&mut lanes, hand)?;
        }
        self.finish(lanes, hand)?;
        Ok(size)
    }

    /// Hands on what is left at the end.
    fn finish(&self, lanes: Vec<Lane<'_>>, hand: &mut Hand<'_>) -> Result<(), Error> {
        for (number, lane) in lanes.into_iter().enumerate() {
            let (bytes, lengths) = lane.finish();
            if !lengths.is_empty() {
                self.send(number, (bytes, lengths), hand)?;
            }
        }
        Ok(())
    }

    /// Hands on the whole chunks of each lane that has enough of them for a group.
    fn dispatch(&self, lanes: &mut [Lane<'_>], hand: &mut Hand<'_>) -> Result<(), Error> {
        for (number, lane) in lanes.iter_mut().enumerate() {
            if lane.whole_bytes() >= GROUP_BYTES {
                let (bytes, lengths) = lane.take_whole(hand.engine.take_buffer());
                self.send(number, (bytes, lengths), hand)?;
            }
        }
        Ok(())
    }

    fn send(
        &self,
        lane: usize,
        (bytes, lengths): (Vec<u8>, Vec<u32>),
        hand: &mut Hand<'_>,
    ) -> Result<(), Error> {
        let number = self.large.lanes[lane].list.add_group();
        self.large.pending.fetch_add(1, Ordering::Relaxed);
        let group = Group { file: Arc::clone(&self.large), lane, number, bytes, lengths };
        match self.groups_in.try_send(group) {
            Ok(()) => {}
            // Rather the oldest group than the newest: files then finish in the order in which they were begun.
            Err(TrySendError::Full(group)) => match self.groups.try_recv() {
                Ok(oldest) => {
                    oldest.store(hand);
                    if let Err(refused) = self.groups_in.try_send(group) {
                        refused.into_inner().store(hand);
                    }
                }
                Err(_) => group.store(hand),
            },
            Err(TrySendError::Disconnected(_)) => return Err(Error::WorkerLost),
        }
        Ok(())
    }
}

/// Reads up to about [`READ_BYTES`] into every lane; 0 at the end of the file.
fn read_more(file: &ReadFile, lanes: &mut [Lane<'_>], at_most: u64) -> Result<u64, Errno> {
    let Some((first, others)) = lanes.split_first_mut() else { return Ok(0) };
    let buffer = &mut first.uncut;
    let before = buffer.len();
    buffer.reserve(READ_BYTES);
    let room = buffer.capacity() - before;
    let read = if at_most >= room as u64 {
        // Straight into the free part of the buffer, which is never made zero.
        rustix::io::retry_on_intr(|| {
            rustix::io::read(&file.fd, rustix::buffer::spare_capacity(&mut *buffer))
        })?
    } else {
        buffer.resize(before + at_most as usize, 0);
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&file.fd, &mut buffer[before..]));
        buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read?
    };
    first.cut(before);
    for other in others {
        let start = other.uncut.len();
        other.uncut.extend_from_slice(&first.uncut[before..]);
        other.cut(start);
    }
    Ok(read as u64)
}

impl Group {
    /// Stores the chunks; the last group of a file fills the file's slot.
    pub fn store(self, hand: &mut Hand<'_>) {
        let Self { file, lane, number, bytes, lengths } = self;
        let lane = &file.lanes[lane];
        let mut only = Wanted::default();
        only.add(lane.to);
        hand.each(only, |hand, to, _| {
            let mut stored = Vec::with_capacity(lengths.len());
            let mut rest = &bytes[..];
            for &length in &lengths {
                let (chunk, after) = rest.split_at(length as usize);
                stored.push(ChunkRef { h: hand.store_chunk(to, SegmentKind::Data, chunk)?, length });
                rest = after;
            }
            lane.list.fill(number, stored, &mut |part| store_part(to, part, hand))
        });
        hand.engine.give_buffer(bytes);
        file.settle(hand);
    }
}

impl LaneChunks {
    fn begin<'e>(&self, hand: &Hand<'e>) -> Lane<'e> {
        Lane {
            stream: hand.destination(self.to).parts.cutter.stream(),
            uncut: hand.engine.take_buffer(),
            uncut_at: 0,
            cuts: Vec::new(),
        }
    }
}

impl LargeFile {
    fn new(file: &ReadFile) -> Self {
        Self {
            lanes: file.wanted.iter().map(|to| LaneChunks { to, list: GrowingList::default() }).collect(),
            pending: AtomicUsize::new(1),
            finished: Mutex::default(),
        }
    }

    fn settle(&self, hand: &mut Hand<'_>) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let file = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file {
            file.finish(self.lanes.iter().map(|lane| (lane.to, lane.list.take())).collect(), hand);
        }
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
