//! A run of the chunk index: a file of fixed-size rows sorted by chunk id, never changed once it is written.
//!
//! Little-endian: magic, counts of index objects, packs and segments as u32, then the rows of each, then rows of chunks, then a
//! footer: checksum of all before the rows of segments u64, magic. Every count is checked against the file's length before it is
//! used. A run that is cut off, or whose first part is damaged, does not open.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
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

const MAGIC: [u8; 8] = *b"VAULTRN1";
pub(super) const HEADER_BYTES: u64 = 8 + 4 + 4 + 4;
pub(super) const PACK_BYTES: u64 = 60;
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

/// A file of sorted rows.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: PathBuf,
    file: File,
    /// The index objects it was made from.
    pub(super) covers: Vec<IndexId>,
    /// The packs they name.
    pub(super) packs: Vec<PackPlace>,
    segments_at: u64,
    segment_count: u32,
    chunks_at: u64,
    chunk_count: u64,
    /// The first eight bytes of every 64th id.
    fence: Vec<u64>,
    /// The segment looked up last: chunks that belong together are looked up together.
    last_segment: Mutex<Option<(u32, PackPlace, SegmentPlace)>>,
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
        let packs = read_rows(&mut rows, pack_count, decode_pack)?;
        let fence = read_fence(&file, chunks_at, chunk_count)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            covers,
            packs,
            segments_at,
            segment_count,
            chunks_at,
            chunk_count,
            fence,
            last_segment: Mutex::default(),
        })
    }

    /// The row of a chunk.
    pub(super) fn find(&self, id: &ChunkId) -> io::Result<Option<RunRow>> {
        let wanted = fence_key(id);
        let mut first = self.fence.partition_point(|&key| key < wanted).saturating_sub(1) * FENCE_ROWS;
        let mut block = [0; FENCE_ROWS * CHUNK_BYTES];
        while (first as u64) < self.chunk_count {
            let rows = FENCE_ROWS.min((self.chunk_count - first as u64) as usize);
            let block = &mut block[..rows * CHUNK_BYTES];
            self.file.read_exact_at(block, self.chunks_at + (first * CHUNK_BYTES) as u64)?;
            let (rows, _) = block.as_chunks::<CHUNK_BYTES>();
            let at = rows.partition_point(|row| row[..ChunkId::LEN] < id.as_bytes()[..]);
            match rows.get(at) {
                Some(row) if row[..ChunkId::LEN] == id.as_bytes()[..] => {
                    return RunRow::decode(row).map(Some).map_err(|_| invalid());
                }
                Some(_) => return Ok(None),
                None => first += FENCE_ROWS,
            }
        }
        Ok(None)
    }

    /// The segment that a row names, and its pack.
    pub(super) fn segment(&self, number: u32) -> io::Result<(PackPlace, SegmentPlace)> {
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
        let pack = *self.packs.get(pack as usize).ok_or_else(invalid)?;
        *last = Some((number, pack, segment));
        Ok((pack, segment))
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a run of the chunk index")
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

fn decode_pack(row: &[u8; PACK_BYTES as usize]) -> Option<PackPlace> {
    let mut reader = Reader::new(row);
    Some(PackPlace {
        id: PackId::new(reader.array().ok()?),
        bytes: reader.u32().ok()?,
        session: SessionId::new(reader.array().ok()?),
        number: reader.u32().ok()?,
        epoch: Epoch(reader.u32().ok()?),
    })
}

fn encode_pack(pack: &PackPlace, out: &mut Vec<u8>) {
    out.extend_from_slice(pack.id.as_bytes());
    out.put_u32(pack.bytes);
    out.extend_from_slice(pack.session.as_bytes());
    out.put_u32(pack.number);
    out.put_u32(pack.epoch.0);
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
fn encode_head(covers: &[IndexId], packs: &[PackPlace], segments: usize) -> Vec<u8> {
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

fn head_checksum(head: &[u8]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(head).as_bytes()[..8]);
    first
}

fn write_footer(out: &mut impl Write, head: &[u8]) -> io::Result<()> {
    out.write_all(&head_checksum(head))?;
    out.write_all(&END_MAGIC)
}

/// Writes the run of some packs. The rows are sorted in memory: one index object holds at most a million or so.
pub(super) fn write_run(out: &mut impl Write, covers: &[IndexId], packs: &[IndexedPack]) -> io::Result<()> {
    let mut places = Vec::new();
    let mut segment_rows = Vec::new();
    let mut segments = 0_u32;
    let mut chunks = Vec::new();
    for (pack_number, pack) in packs.iter().enumerate() {
        places.push(PackPlace {
            id: pack.id,
            bytes: pack.bytes,
            session: pack.session,
            number: pack.pack_number,
            epoch: pack.epoch,
        });
        for (segment, in_segment) in pack.table.segments_with_chunks() {
            encode_segment(pack_number as u32, &segment, &mut segment_rows);
            chunks.extend(in_segment.map(|place| RunRow {
                id: place.id,
                segment: segments,
                offset: place.offset_in_segment,
                length: place.length,
            }));
            segments += 1;
        }
    }
    // Of several places of one chunk the newest counts, as in a look-up.
    chunks.sort_unstable_by_key(|row| (row.id, Reverse(row.segment)));
    chunks.dedup_by_key(|row| row.id);

    let head = encode_head(covers, &places, segments as usize);
    out.write_all(&head)?;
    out.write_all(&segment_rows)?;
    chunks.iter().try_for_each(|row| out.write_all(&row.encode()))?;
    write_footer(out, &head)
}

/// Merges runs into one, reading each from front to back.
pub(super) fn merge_runs(out: &mut impl Write, runs: &[Run]) -> io::Result<()> {
    let covers: Vec<IndexId> = runs.iter().flat_map(|run| run.covers.iter().copied()).collect();
    let packs: Vec<PackPlace> = runs.iter().flat_map(|run| run.packs.iter().copied()).collect();
    let segments: usize = runs.iter().map(|run| run.segment_count as usize).sum();

    let head = encode_head(&covers, &packs, segments);
    out.write_all(&head)?;
    let mut row = Vec::new();
    let mut first_pack = 0;
    for run in runs {
        let mut reader = run.reader_at(run.segments_at);
        for old in read_rows(&mut reader, run.segment_count, decode_segment)? {
            row.clear();
            encode_segment(first_pack + old.0, &old.1, &mut row);
            out.write_all(&row)?;
        }
        first_pack += run.packs.len() as u32;
    }
    merge_chunks(out, runs)?;
    write_footer(out, &head)
}

/// Merges the rows of chunks. Of several places of one chunk that of the newest run is kept, as in a look-up.
fn merge_chunks(out: &mut impl Write, runs: &[Run]) -> io::Result<()> {
    let mut readers = Vec::new();
    let mut heads = BinaryHeap::new();
    let mut first_segment = 0;
    for (number, run) in runs.iter().enumerate() {
        readers.push((run.reader_at(run.chunks_at), run.chunk_count, first_segment));
        first_segment += run.segment_count;
        heads.extend(next_chunk(&mut readers[number])?.map(|row| (Reverse(row.id), number, row)));
    }
    let mut last = None;
    while let Some((_, number, row)) = heads.pop() {
        if last != Some(row.id) {
            out.write_all(&row.encode())?;
            last = Some(row.id);
        }
        heads.extend(next_chunk(&mut readers[number])?.map(|row| (Reverse(row.id), number, row)));
    }
    Ok(())
}

/// The next row of a run, with its segment numbered as in the merged run.
fn next_chunk((reader, left, first_segment): &mut (impl Read, u64, u32)) -> io::Result<Option<RunRow>> {
    if *left == 0 {
        return Ok(None);
    }
    *left -= 1;
    let mut bytes = [0; CHUNK_BYTES];
    reader.read_exact(&mut bytes)?;
    let row = RunRow::decode(&bytes).map_err(|_| invalid())?;
    Ok(Some(RunRow { segment: row.segment + *first_segment, ..row }))
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
