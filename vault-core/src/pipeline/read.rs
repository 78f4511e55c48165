//! Reading changed files: small ones whole \[2\]; large ones go on to [`large`].
//!
//! What is stored is what the file held between two looks at it that agree. A file that keeps changing is read twice, then stored as read
//! and marked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{ChunkRef, Entry, EntryKind, Hole};
use crate::progress::{Amount, Severity};
use crate::vault::stat_cache::Stamp;

use super::attributes::{file_type, link_group_of, stamp, xattrs_of};
use super::chunk_list::{ChunkList, store_part};
use super::destination::count;
use super::directory::Slot;
use super::hand::{Hand, Wanted};
use super::large::{self, Group};

/// Files up to this size are read whole into memory.
const SMALL_BYTES: u64 = 4 << 20;

/// A file that must be read.
pub struct FileTask {
    slot: Slot,
    wanted: Wanted,
    name: Vec<u8>,
    size: u64,
    is_sparse: bool,
}

/// What is known of a file once it has been read.
pub struct ReadFile {
    /// Where its entry goes.
    pub slot: Slot,
    /// The destinations that need it.
    pub wanted: Wanted,
    /// Its name.
    pub name: Vec<u8>,
    /// The file, open.
    pub fd: OwnedFd,
    /// What it was like when reading began.
    pub stat: Stat,
    /// Where it has holes.
    pub holes: Vec<Hole>,
    /// Whether it changed while it was read, twice.
    pub changed: bool,
}

impl FileTask {
    /// The file that `slot` stands for, to be read for the destinations that want it.
    pub fn new(slot: Slot, (wanted, name): (Wanted, Vec<u8>), stat: &Stat) -> Self {
        // Blocks are counted in units of 512 bytes whatever the file system's block size.
        let is_sparse = (stat.st_blocks as u64).saturating_mul(512) < stat.st_size as u64;
        Self { slot, wanted, name, size: stat.st_size as u64, is_sparse }
    }

    /// Its size when it was listed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the file and fills its slot.
    pub fn read(
        self,
        hand: &mut Hand<'_>,
        groups_in: &Sender<Group>,
        groups: &Receiver<Group>,
    ) -> Result<(), Error> {
        if hand.engine.stopping() {
            self.slot.skip(hand);
            return Ok(());
        }
        let opened = open(&self.slot, &self.name);
        let (fd, stat) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.slot.tell(&self.name, Severity::Note, "vanished before it was read", hand);
                self.slot.skip(hand);
                return Ok(());
            }
            Err(error) => {
                self.slot.fail(self.wanted, &self.name, &format!("cannot be read: {error}"), hand);
                return Ok(());
            }
        };
        let Self { slot, wanted, name, is_sparse, .. } = self;
        let file = ReadFile { slot, wanted, name, fd, stat, holes: Vec::new(), changed: false };
        if stat.st_size as u64 > SMALL_BYTES || is_sparse {
            return large::read(file, hand, groups_in, groups);
        }
        read_small(file, hand);
        Ok(())
    }
}

fn open(slot: &Slot, name: &[u8]) -> io::Result<(OwnedFd, Stat)> {
    // Without NONBLOCK, opening what has become a FIFO meanwhile would wait for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&slot.directory.fd, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if file_type(&stat) != FileType::RegularFile {
        return Err(io::Error::other("is no longer a regular file"));
    }
    Ok((fd, stat))
}

fn read_small(mut file: ReadFile, hand: &mut Hand<'_>) {
    let mut buffer = std::mem::take(&mut hand.buffer);
    match read_stable(&mut file, &mut buffer) {
        Ok(()) => {
            let contents = store_small(&file, &buffer, hand);
            file.finish(contents, hand);
        }
        Err(error) => {
            file.slot.fail(file.wanted, &file.name, &format!("cannot be read: {error}"), hand);
        }
    }
    hand.buffer = buffer;
}

/// The chunks of a file by destination; a destination that has failed has none.
pub type ChunksByDestination = Vec<(usize, ChunkList)>;

fn store_small(file: &ReadFile, contents: &[u8], hand: &mut Hand<'_>) -> ChunksByDestination {
    hand.engine.around.progress.advance(Amount { items: 0, bytes: contents.len() as u64 });
    debug_assert_eq!(file.stat.st_size as usize, contents.len());
    let mut stored = Vec::new();
    hand.each(file.wanted, |hand, to, destination| {
        count(&destination.counts.read_bytes, contents.len() as u64);
        let mut chunks = Vec::new();
        let mut start = 0;
        for end in destination.parts.cutter.cut(contents) {
            let chunk = &contents[start..end as usize];
            let h = hand.store_chunk(to, SegmentKind::Data, chunk)?;
            chunks.push(ChunkRef { h, length: chunk.len() as u32 });
            start = end as usize;
        }
        stored.push((to, chunks.into()));
        Ok(())
    });
    stored
}

/// Reads a whole file so that it looks the same before and after; at the second failure to, takes what was read.
fn read_stable(file: &mut ReadFile, buffer: &mut Vec<u8>) -> io::Result<()> {
    for attempt in 0..2 {
        if attempt > 0 {
            rustix::fs::seek(&file.fd, rustix::fs::SeekFrom::Start(0))?;
        }
        read_whole(file, buffer)?;
        let after = rustix::fs::fstat(&file.fd)?;
        let as_before = stamp(&after) == stamp(&file.stat) && buffer.len() as u64 == file.stat.st_size as u64;
        if as_before {
            return Ok(());
        }
        file.changed = attempt == 1;
        file.stat = after;
    }
    // The size in the snapshot is that of the contents in it.
    file.stat.st_size = buffer.len() as _;
    Ok(())
}

fn read_whole(file: &ReadFile, buffer: &mut Vec<u8>) -> io::Result<()> {
    let expected = (file.stat.st_size as usize).min(SMALL_BYTES as usize);
    // One byte more than expected: a call that leaves it free has seen the end.
    let room = expected + 1;
    if buffer.len() < room {
        buffer.resize(room, 0);
    }
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer.resize(length + (64 << 10), 0);
        }
        // A file that grows without end is cut off where it would no longer be small.
        match rustix::io::retry_on_intr(|| rustix::io::read(&file.fd, &mut buffer[length..]))? {
            0 => break,
            more => length += more,
        }
        if length == expected && length < buffer.len() {
            break;
        }
        if length as u64 > 2 * SMALL_BYTES {
            break;
        }
    }
    buffer.truncate(length);
    Ok(())
}

impl ReadFile {
    /// Fills the file's slot with its entry, now that its chunks are known.
    pub fn finish(self, stored: ChunksByDestination, hand: &mut Hand<'_>) {
        let engine = hand.engine;
        let xattrs = match xattrs_of(self.fd.as_fd()) {
            Ok(xattrs) => xattrs,
            Err(error) => {
                let message = format!("attributes cannot be read: {error}");
                return self.slot.fail(self.wanted, &self.name, &message, hand);
            }
        };
        if self.changed {
            self.slot.tell(
                &self.name,
                Severity::Note,
                "changed while it was read: stored as it was read",
                hand,
            );
        }
        let size = self.stat.st_size as u64;
        hand.count(self.wanted, |counts| &counts.files, 1);
        hand.count(self.wanted, |counts| &counts.bytes, size);
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        let settled = stamp(&self.stat).settled(engine.around.clock.now());
        let stamp = if self.changed { Stamp::default() } else { settled };
        let metadata = engine.owners.metadata(&self.stat, xattrs);
        let mut stored = stored.into_iter();
        let (name, holes) = (self.name, self.holes);
        self.slot.fill((self.wanted, stamp), hand, |hand, to| {
            // Both ascend; destinations that have failed are in neither, or only in `stored`.
            let chunks = stored.find(|(of, _)| *of == to).map(|(_, chunks)| chunks);
            let chunks: ChunkList = chunks.ok_or(Error::WorkerLost)?;
            let contents = chunks.into_contents(&mut |part| store_part(to, part, hand))?;
            Ok(Entry {
                name: name.clone(),
                kind: EntryKind::File { size, contents, holes: holes.clone() },
                metadata: metadata.clone(),
                link_group: link_group_of(&self.stat),
                changed_while_read: self.changed,
            })
        });
    }
}
