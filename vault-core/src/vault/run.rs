//! A run of the chunk index: a file of fixed-size rows sorted by chunk id, never changed once it is written.
//!
//! Little-endian: magic, counts of index objects, packs and segments as u32, then the rows of each, then rows of chunks, then a
//! footer: checksum of all before the rows of segments u64, magic. Every count is checked against the file's length before it is
//! used. A run that is cut off, or whose first part is damaged, does not open.
//!
//! A chunk has a row for each pack that holds it, the newest first: when one pack is condemned, the next row counts. A pack that
//! several index objects name has a row for each, but only the newest of these has segments and chunks.

mod merge;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::bytes::{Reader, UnexpectedEnd, Writer};
use crate::error::Error;
use crate::format::index::IndexedPack;
use crate::format::table::{SegmentKind, SegmentPlace, SegmentRow};
use crate::id::{ChunkId, Epoch, IndexId, PackId, SessionId};

use super::chunk_index::PackPlace;

pub(super) use merge::merge_runs;

const MAGIC: [u8; 8] = *b"VAULTRN2";
pub(super) const HEADER_BYTES: u64 = 8 + 4 + 4 + 4;
pub(super) const PACK_BYTES: u64 = 60 + 4 + 4;
const SEGMENT_BYTES: u64 = 28;
const CHUNK_BYTES: usize = 28;
const END_MAGIC: [u8; 8] = *b"VAULTRNE";
pub(super) const FOOTER_BYTES: u64 = 8 + 8;
/// Rows between two entries of the sparse table: 10 million chunks take 1.25 MB of it.
const FENCE_ROWS: usize = 64;
/// One row: a chunk and the number of its segment in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunRow {
    pub(super) id: ChunkId,
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl RunRow {
    fn decode(bytes: &[u8; CHUNK_BYTES]) -> Result<Self, UnexpectedEnd> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            id: ChunkId::new(reader.array()?),
            segment: reader.u32()?,
            offset: reader.u32()?,
            length: reader.u32()?,
        })
    }

    fn encode(&self) -> [u8; CHUNK_BYTES] {
        let mut bytes = [0; CHUNK_BYTES];
        bytes[..16].copy_from_slice(self.id.as_bytes());
        bytes[16..20].copy_from_slice(&self.segment.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }
}

/// A pack as a run names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunPack {
    pub(super) place: PackPlace,
    /// Which of the run's index objects names it.
    pub(super) cover: u32,
    /// How many segments of it are in the run: none if another row has them, or if the pack is condemned.
    pub(super) segments: u32,
}

/// An index object and the packs that it names.
pub(super) type Named<'a> = (IndexId, &'a [IndexedPack]);

/// A file of sorted rows.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: PathBuf,
    file: File,
    /// The index objects it was made from.
    pub(super) covers: Vec<IndexId>,
    /// The packs they name.
    pub(super) packs: Vec<RunPack>,
    /// The numbers of those that count as absent; empty while none does.
    hidden: HashSet<u32>,
    /// Whether one of these has rows of chunks, so that look-ups must ask for the pack of a row.
    hides_chunks: bool,
    segments_at: u64,
    segment_count: u32,
    chunks_at: u64,
    pub(super) chunk_count: u64,
    /// The first eight bytes of every 64th id.
    fence: Vec<u64>,
    /// The segment looked up last: chunks that belong together are looked up together.
    last_segment: Mutex<Option<(u32, u32, SegmentPlace)>>,
}

impl Run {
    /// Opens a run; an error of kind `InvalidData` says that the file is none, or not whole.
    pub(super) fn open(path: &Path, file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut header, 0)?;
        let mut fields = Reader::new(&header);
        let counts = (|| Ok((fields.array()?, fields.u32()?, fields.u32()?, fields.u32()?)))();
        let (magic, index_count, pack_count, segment_count) = counts.map_err(|_: UnexpectedEnd| invalid())?;
        let segments_at = HEADER_BYTES + u64::from(index_count) * 32 + u64::from(pack_count) * PACK_BYTES;
        let chunks_at = segments_at + u64::from(segment_count) * SEGMENT_BYTES;
        let chunk_bytes = length.checked_sub(chunks_at + FOOTER_BYTES).ok_or_else(invalid)?;
        let mut footer = [0; FOOTER_BYTES as usize];
        file.read_exact_at(&mut footer, length - FOOTER_BYTES)?;
        if magic != MAGIC || footer[8..] != END_MAGIC || chunk_bytes % CHUNK_BYTES as u64 != 0 {
            return Err(invalid());
        }
        let chunk_count = chunk_bytes / CHUNK_BYTES as u64;

        // The counts are within the file's length, and the rows of index objects and packs are few.
        let mut head = vec![0; segments_at as usize];
        file.read_exact_at(&mut head, 0)?;
        if footer[..8] != head_checksum(&head) {
            return Err(invalid());
        }
        let mut rows = &head[HEADER_BYTES as usize..];
        let covers = read_rows(&mut rows, index_count, |row: &[u8; 32]| Some(IndexId::new(*row)))?;
        let packs =
            read_rows(&mut rows, pack_count, |row| decode_pack(row).filter(|pack| pack.cover < index_count))?;
        let fence = read_fence(&file, chunks_at, chunk_count)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            covers,
            packs,
            hidden: HashSet::new(),
            hides_chunks: false,
            segments_at,
            segment_count,
            chunks_at,
            chunk_count,
            fence,
            last_segment: Mutex::default(),
        })
    }

    /// Lets packs count as absent, beside those that do so already.
    pub(super) fn hide(&mut self, packs: &BTreeSet<PackId>) {
        for (number, pack) in (0..).zip(&self.packs) {
            if packs.contains(&pack.place.id) && self.hidden.insert(number) {
                self.hides_chunks |= pack.segments > 0;
            }
        }
    }

    /// The packs that count as absent.
    pub(super) fn hidden_packs(&self) -> impl Iterator<Item = PackId> {
        (0..).zip(&self.packs).filter(|(number, _)| self.hides(*number)).map(|(_, pack)| pack.place.id)
    }

    /// Whether the pack of this number counts as absent.
    pub(super) fn hides(&self, pack: u32) -> bool {
        self.hidden.contains(&pack)
    }

    /// The newest row of a chunk whose pack does not count as absent.
    pub(super) fn find(&self, id: &ChunkId) -> io::Result<Option<RunRow>> {
        let mut found = None;
        self.visit(id, |_, row| {
            let counts = !self.hides_chunks || !self.hides(self.segment(row.segment)?.0);
            found = counts.then_some(row);
            Ok(!counts)
        })?;
        Ok(found)
    }

    /// Calls `each` with the number of every row of a chunk and the row, the newest first, until it returns false.
    pub(super) fn visit(
        &self,
        id: &ChunkId,
        mut each: impl FnMut(u64, RunRow) -> io::Result<bool>,
    ) -> io::Result<()> {
        let wanted = fence_key(id);
        let mut first = self.fence.partition_point(|&key| key < wanted).saturating_sub(1) * FENCE_ROWS;
        let mut block = [0; FENCE_ROWS * CHUNK_BYTES];
        while (first as u64) < self.chunk_count {
            let rows = FENCE_ROWS.min((self.chunk_count - first as u64) as usize);
            let block = &mut block[..rows * CHUNK_BYTES];
            self.file.read_exact_at(block, self.chunks_at + (first * CHUNK_BYTES) as u64)?;
            let (rows, _) = block.as_chunks::<CHUNK_BYTES>();
            let at = rows.partition_point(|row| row[..ChunkId::LEN] < id.as_bytes()[..]);
            for (number, row) in (first + at..).zip(&rows[at..]) {
                let is_it = row[..ChunkId::LEN] == id.as_bytes()[..];
                if !is_it || !each(number as u64, RunRow::decode(row).map_err(|_| invalid())?)? {
                    return Ok(());
                }
            }
            first += FENCE_ROWS;
        }
        Ok(())
    }

    /// Calls `each` with the number of every row, the number of its pack, and its length, from first to last.
    pub(super) fn scan(&self, mut each: impl FnMut(u64, u32, u32)) -> io::Result<()> {
        let starts = self.pack_starts()?;
        let mut rows = (self.reader_at(self.chunks_at), self.chunk_count);
        for number in 0..self.chunk_count {
            let Some(row) = next_chunk(&mut rows)? else { break };
            each(number, pack_of(&starts, row.segment)? as u32, row.length);
        }
        Ok(())
    }

    /// The number of the first segment of each pack, and that behind the last: the segments stand in the order of the packs.
    fn pack_starts(&self) -> io::Result<Vec<u32>> {
        let mut starts = vec![0];
        let mut next = 0_u32;
        for pack in &self.packs {
            next = next.checked_add(pack.segments).ok_or_else(invalid)?;
            starts.push(next);
        }
        if next == self.segment_count { Ok(starts) } else { Err(invalid()) }
    }

    /// The segment that a row names, and the number of its pack.
    pub(super) fn segment(&self, number: u32) -> io::Result<(u32, SegmentPlace)> {
        let mut last = self.last_segment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pack, segment)) = last.filter(|(known, ..)| *known == number) {
            return Ok((pack, segment));
        }
        if number >= self.segment_count {
            return Err(invalid());
        }
        let mut row = [0; SEGMENT_BYTES as usize];
        self.file.read_exact_at(&mut row, self.segments_at + u64::from(number) * SEGMENT_BYTES)?;
        let (pack, segment) = decode_segment(&row).ok_or_else(invalid)?;
        *last = Some((number, pack, segment));
        Ok((pack, segment))
    }

    /// The pack of this number.
    pub(super) fn pack(&self, number: u32) -> io::Result<&RunPack> {
        self.packs.get(number as usize).ok_or_else(invalid)
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a run of the chunk index")
}

/// The pack that a segment is of, by the [starts](Run::pack_starts) of its run.
fn pack_of(starts: &[u32], segment: u32) -> io::Result<usize> {
    // Of packs that begin in one place the last has segments.
    let at = starts.partition_point(|start| *start <= segment);
    if at < starts.len() { at.checked_sub(1).ok_or_else(invalid) } else { Err(invalid()) }
}

fn fence_key(id: &ChunkId) -> u64 {
    let mut head = [0; 8];
    head.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_be_bytes(head)
}

fn read_rows<const N: usize, T>(
    reader: &mut impl Read,
    count: u32,
    decode: impl Fn(&[u8; N]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut row = [0; N];
    (0..count)
        .map(|_| {
            reader.read_exact(&mut row)?;
            decode(&row).ok_or_else(invalid)
        })
        .collect()
}

/// The first eight bytes of every 64th id, which ascend unless the file is damaged.
fn read_fence(file: &File, chunks_at: u64, chunk_count: u64) -> io::Result<Vec<u64>> {
    let step = (FENCE_ROWS * CHUNK_BYTES) as u64;
    let mut fence = Vec::with_capacity((chunk_count / FENCE_ROWS as u64) as usize + 1);
    let mut key = [0; 8];
    for block in 0..chunk_count.div_ceil(FENCE_ROWS as u64) {
        file.read_exact_at(&mut key, chunks_at + block * step)?;
        fence.push(u64::from_be_bytes(key));
    }
    if fence.is_sorted() { Ok(fence) } else { Err(invalid()) }
}

fn decode_pack(row: &[u8; PACK_BYTES as usize]) -> Option<RunPack> {
    let mut reader = Reader::new(row);
    let place = PackPlace {
        id: PackId::new(reader.array().ok()?),
        bytes: reader.u32().ok()?,
        session: SessionId::new(reader.array().ok()?),
        number: reader.u32().ok()?,
        epoch: Epoch(reader.u32().ok()?),
    };
    Some(RunPack { place, cover: reader.u32().ok()?, segments: reader.u32().ok()? })
}

fn encode_pack(pack: &RunPack, out: &mut Vec<u8>) {
    out.extend_from_slice(pack.place.id.as_bytes());
    out.put_u32(pack.place.bytes);
    out.extend_from_slice(pack.place.session.as_bytes());
    out.put_u32(pack.place.number);
    out.put_u32(pack.place.epoch.0);
    out.put_u32(pack.cover);
    out.put_u32(pack.segments);
}

fn decode_segment(row: &[u8; SEGMENT_BYTES as usize]) -> Option<(u32, SegmentPlace)> {
    let mut reader = Reader::new(row);
    let pack = reader.u32().ok()?;
    let number = reader.u32().ok()?;
    let offset = reader.u32().ok()?;
    let row = SegmentRow {
        stored_bytes: reader.u32().ok()?,
        raw_bytes: reader.u32().ok()?,
        kind: SegmentKind::try_from(u8::try_from(reader.u32().ok()?).ok()?).ok()?,
        chunk_count: reader.u32().ok()?,
    };
    Some((pack, SegmentPlace { number, offset, row }))
}

fn encode_segment(pack: u32, segment: &SegmentPlace, out: &mut Vec<u8>) {
    out.put_u32(pack);
    out.put_u32(segment.number);
    out.put_u32(segment.offset);
    out.put_u32(segment.row.stored_bytes);
    out.put_u32(segment.row.raw_bytes);
    out.put_u32(segment.row.kind as u32);
    out.put_u32(segment.row.chunk_count);
}

/// All of a run before the rows of segments.
fn encode_head(covers: &[IndexId], packs: &[RunPack], segments: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.put_u32(covers.len() as u32);
    out.put_u32(packs.len() as u32);
    out.put_u32(segments as u32);
    for id in covers {
        out.extend_from_slice(id.as_bytes());
    }
    for pack in packs {
        encode_pack(pack, &mut out);
    }
    out
}

pub(super) fn head_checksum(head: &[u8]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(head).as_bytes()[..8]);
    first
}

fn write_footer(out: &mut impl Write, head: &[u8]) -> io::Result<()> {
    out.write_all(&head_checksum(head))?;
    out.write_all(&END_MAGIC)
}

/// Writes the run of some index objects. The rows are sorted in memory: there are a million or so.
///
/// Of packs in `hidden` nothing is written but that they are named.
pub(super) fn write_run(
    out: &mut impl Write,
    objects: &[Named<'_>],
    hidden: &BTreeSet<PackId>,
) -> io::Result<()> {
    let covers: Vec<IndexId> = objects.iter().map(|(id, _)| *id).collect();
    let packs = || (0..).zip(objects).flat_map(|(cover, (_, packs))| packs.iter().map(move |p| (cover, p)));
    let has_segments = newest_of_each(packs().map(|(_, pack)| pack.id), hidden);
    let mut places = Vec::new();
    let mut segment_rows = Vec::new();
    let mut segments = 0_u32;
    let mut chunks = Vec::new();
    for ((cover, pack), has_segments) in packs().zip(has_segments) {
        let first = segments;
        for (segment, in_segment) in pack.table.segments_with_chunks().filter(|_| has_segments) {
            encode_segment(places.len() as u32, &segment, &mut segment_rows);
            chunks.extend(in_segment.map(|place| RunRow {
                id: place.id,
                segment: segments,
                offset: place.offset_in_segment,
                length: place.length,
            }));
            segments += 1;
        }
        places.push(RunPack { place: PackPlace::of(pack), cover, segments: segments - first });
    }
    chunks.sort_unstable_by_key(|row| (row.id, Reverse((row.segment, row.offset))));

    let head = encode_head(&covers, &places, segments as usize);
    out.write_all(&head)?;
    out.write_all(&segment_rows)?;
    chunks.iter().try_for_each(|row| out.write_all(&row.encode()))?;
    write_footer(out, &head)
}

/// Which of some packs, the newest last, are the last of their name and not hidden.
fn newest_of_each(packs: impl Iterator<Item = PackId>, hidden: &BTreeSet<PackId>) -> Vec<bool> {
    let packs: Vec<PackId> = packs.collect();
    let mut seen = HashSet::new();
    let mut newest: Vec<bool> =
        packs.iter().rev().map(|id| !hidden.contains(id) && seen.insert(*id)).collect();
    newest.reverse();
    newest
}

/// The next row of a run.
fn next_chunk((reader, left): &mut (impl Read, u64)) -> io::Result<Option<RunRow>> {
    if *left == 0 {
        return Ok(None);
    }
    *left -= 1;
    let mut bytes = [0; CHUNK_BYTES];
    reader.read_exact(&mut bytes)?;
    RunRow::decode(&bytes).map(Some).map_err(|_| invalid())
}

impl Run {
    fn reader_at(&self, offset: u64) -> impl Read {
        BufReader::with_capacity(1 << 16, ReadAt { file: &self.file, offset })
    }
}

/// Reads a file from an offset without moving the position that its handle has.
struct ReadAt<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Writes a run whole or not at all, under the first number from `next` that is free, and opens it.
pub(super) fn create(
    directory: &Path,
    next: &mut u64,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<Run, Error> {
    let written = || -> io::Result<tempfile::NamedTempFile> {
        let mut temporary = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        let mut out = BufWriter::with_capacity(1 << 16, temporary.as_file_mut());
        write(&mut out)?;
        out.flush()?;
        drop(out);
        temporary.as_file().sync_data()?;
        Ok(temporary)
    };
    let mut temporary = written().map_err(Error::local("write in", directory))?;
    loop {
        let path = directory.join(format!("{next:010}.run"));
        *next += 1;
        match temporary.persist_noclobber(&path) {
            Ok(file) => return Run::open(&path, file).map_err(Error::local("read", &path)),
            // Another process took the number.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => temporary = error.file,
            Err(error) => return Err(Error::local("write", &path)(error.error)),
        }
    }
}
