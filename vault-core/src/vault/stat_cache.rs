//! What a device remembers of its last backup, so that it need not read unchanged files and can write old tree entries again
//! although it cannot open the vault.
//!
//! One record per directory: the hash of its node and, for each entry, the entry as it stands in the node and the *stamp* that
//! tells whether the file is still the same. The cache speaks for one snapshot; it is used only while that snapshot is in the log and
//! not forgotten, for then everything it names is in the vault. Losing it, or any damage to it, costs a re-read, never data: every record has
//! a checksum.
//!
//! The file is little-endian: magic, records, the directory of records (key 16, offset u64, length u32, checksum u64), then a
//! footer of fixed size that ends in the magic.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::bytes::{Reader, UnexpectedEnd, Writer};
use crate::error::Error;
use crate::format::tree::encoded_name;
use crate::id::{ChunkHash, SnapshotId};
use crate::time::Timestamp;

const MAGIC: [u8; 8] = *b"VAULTST1";
pub(super) const ROW_BYTES: usize = 16 + 8 + 4 + 8;
/// Snapshot 32, entries u64, bytes u64, offset of the rows u64, number of rows u64, checksum of rows and footer 32, magic 8.
pub(super) const FOOTER_BYTES: usize = 32 + 8 + 8 + 8 + 8 + 32 + 8;
const STAMP_BYTES: usize = 8 + 8 + 4 + 8 + 4 + 8;

/// File systems stamp files with a coarse clock, some only to two seconds: a file touched that shortly before it was looked at could
/// change again without a change of its stamp.
const SETTLING_SECONDS: i64 = 2;

/// What changes whenever a file's contents or metadata change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Number of the inode.
    pub inode: u64,
    /// When contents or metadata changed, by the file system's clock.
    pub ctime: Timestamp,
    /// When contents changed, as programs like to set it.
    pub mtime: Timestamp,
    /// Size in bytes.
    pub size: u64,
}

impl Stamp {
    /// This stamp, or one that fits no file if the file was touched too shortly before `now` to rely on it.
    #[must_use]
    pub fn settled(self, now: Timestamp) -> Self {
        if self.ctime.seconds.saturating_add(SETTLING_SECONDS) < now.seconds { self } else { Self::default() }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.inode);
        out.put_i64(self.ctime.seconds);
        out.put_u32(self.ctime.nanos);
        out.put_i64(self.mtime.seconds);
        out.put_u32(self.mtime.nanos);
        out.put_u64(self.size);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, UnexpectedEnd> {
        Ok(Self {
            inode: reader.u64()?,
            ctime: Timestamp::new(reader.i64()?, reader.u32()?),
            mtime: Timestamp::new(reader.i64()?, reader.u32()?),
            size: reader.u64()?,
        })
    }
}

/// Names a directory in the cache: the hash of its absolute path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryKey([u8; 16]);

impl DirectoryKey {
    /// The key of the directory with these bytes as its absolute path.
    pub fn new(path: &[u8]) -> Self {
        Self(first_bytes(blake3::hash(path)))
    }
}

/// How much the snapshot held that the cache speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files, directories and all others.
    pub entries: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// A cache of an earlier backup.
#[derive(Debug)]
pub struct StatCache {
    file: File,
    snapshot: SnapshotId,
    totals: Totals,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) key: DirectoryKey,
    offset: u64,
    length: u32,
    checksum: u64,
}

impl StatCache {
    /// Opens the cache at `path`; `None` if there is none or it is not whole.
    pub fn open(path: &Path) -> Option<Self> {
        Self::read(File::open(path).ok()?)
    }

    /// Reads the cache in a file; `None` if it is not whole.
    pub(super) fn read(file: File) -> Option<Self> {
        let length = file.metadata().ok()?.len();
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, length.checked_sub(FOOTER_BYTES as u64)?).ok()?;
        let mut fields = Reader::new(&footer);
        let snapshot = SnapshotId::new(fields.array().ok()?);
        let totals = Totals { entries: fields.u64().ok()?, bytes: fields.u64().ok()? };
        let (rows_at, row_count) = (fields.u64().ok()?, fields.u64().ok()?);
        let (checksum, magic): ([u8; 32], [u8; 8]) = (fields.array().ok()?, fields.array().ok()?);
        let row_bytes = row_count.checked_mul(ROW_BYTES as u64)?;
        if magic != MAGIC || rows_at.checked_add(row_bytes)?.checked_add(FOOTER_BYTES as u64)? != length {
            return None;
        }

        let mut encoded = vec![0; row_bytes as usize];
        file.read_exact_at(&mut encoded, rows_at).ok()?;
        if footer_checksum(&encoded, &footer) != checksum {
            return None;
        }
        let mut reader = Reader::new(&encoded);
        let rows = (0..row_count).map(|_| decode_row(&mut reader)).collect::<Result<Vec<_>, _>>().ok()?;
        let records = |row: &Row| row.offset.checked_add(row.length.into()).is_some_and(|end| end <= rows_at);
        let mut magic = [0; 8];
        file.read_exact_at(&mut magic, 0).ok()?;
        (magic == MAGIC && rows.iter().all(records)).then_some(Self { file, snapshot, totals, rows })
    }

    /// The snapshot that this cache speaks for.
    pub fn snapshot(&self) -> SnapshotId {
        self.snapshot
    }

    /// How much that snapshot held.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What is remembered about one directory; `None` if nothing, or if its record is damaged.
    pub fn directory(&self, key: DirectoryKey) -> Option<CachedDirectory> {
        let at = self.rows.binary_search_by_key(&key, |row| row.key).ok()?;
        let row = self.rows.get(at)?;
        let mut record = vec![0; row.length as usize];
        self.file.read_exact_at(&mut record, row.offset).ok()?;
        if checksum(&record) != row.checksum {
            return None;
        }
        CachedDirectory::decode(record)
    }
}

/// What is remembered about one directory: its entries, by ascending name.
#[derive(Debug)]
pub struct CachedDirectory {
    record: Vec<u8>,
    node: ChunkHash,
    entries: Vec<CachedEntry>,
}

/// What is remembered about one entry.
#[derive(Debug, Clone)]
pub struct CachedEntry {
    /// The stamp it had.
    pub stamp: Stamp,
    name: Range<u32>,
    encoded: Range<u32>,
}

impl CachedDirectory {
    /// The hash of the directory's node.
    pub fn node(&self) -> ChunkHash {
        self.node
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the directory had no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The position of the entry with this name.
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| self.slice(&entry.name).cmp(name)).ok()
    }

    /// The stamp of the entry at a position.
    pub fn stamp(&self, position: usize) -> Stamp {
        self.entries[position].stamp
    }

    /// The entry at a position, as it stands in the node.
    pub fn encoded(&self, position: usize) -> &[u8] {
        self.slice(&self.entries[position].encoded)
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.record[range.start as usize..range.end as usize]
    }

    pub(super) fn decode(record: Vec<u8>) -> Option<Self> {
        let mut reader = Reader::new(&record);
        let node = ChunkHash::new(reader.array().ok()?);
        let count = reader.u32().ok()? as usize;
        if count > record.len() / STAMP_BYTES {
            return None;
        }
        let position = |rest: &[u8]| (record.len() - rest.len()) as u32;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let stamp = Stamp::decode(&mut reader).ok()?;
            let length = reader.u32().ok()? as usize;
            let start = position(reader.remaining());
            let encoded = reader.take(length).ok()?;
            let name = encoded_name(encoded)?;
            let name_start = start + (name.as_ptr() as usize - encoded.as_ptr() as usize) as u32;
            entries.push(CachedEntry {
                stamp,
                name: name_start..name_start + name.len() as u32,
                encoded: start..start + length as u32,
            });
        }
        Some(Self { record, node, entries })
    }
}

/// Writes the cache of a running backup; nothing is visible until [`finish`](Self::finish).
#[derive(Debug)]
pub struct StatCacheWriter {
    path: PathBuf,
    inner: Mutex<WriterState>,
}

#[derive(Debug)]
struct WriterState {
    out: BufWriter<tempfile::NamedTempFile>,
    offset: u64,
    rows: Vec<Row>,
}

impl StatCacheWriter {
    /// A new cache in the directory of `path`.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let parent = path.parent().unwrap_or(Path::new("."));
        super::make_private_directory(parent)?;
        let file = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(parent)
            .map_err(Error::local("write in", parent))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(&MAGIC).map_err(Error::local("write", path))?;
        let state = WriterState { out, offset: MAGIC.len() as u64, rows: Vec::new() };
        Ok(Self { path: path.to_owned(), inner: Mutex::new(state) })
    }

    /// Adds a directory: its node, and its entries by ascending name, each with its stamp.
    pub fn add<'a>(
        &self,
        key: DirectoryKey,
        node: ChunkHash,
        entries: impl ExactSizeIterator<Item = (Stamp, &'a [u8])>,
    ) -> Result<(), Error> {
        let mut record = node.as_bytes().to_vec();
        record.put_u32(entries.len() as u32);
        for (stamp, encoded) in entries {
            stamp.encode(&mut record);
            record.put_u32(encoded.len() as u32);
            record.extend_from_slice(encoded);
        }
        let checksum = checksum(&record);

        let mut state = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        state.out.write_all(&record).map_err(Error::local("write", &self.path))?;
        let row = Row { key, offset: state.offset, length: record.len() as u32, checksum };
        state.offset += record.len() as u64;
        state.rows.push(row);
        Ok(())
    }

    /// A second cache that begins with all that was added to this one.
    pub fn fork(&self) -> Result<Self, Error> {
        let fork = Self::create(&self.path)?;
        {
            let mut state = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let mut copy = fork.inner.lock().unwrap_or_else(PoisonError::into_inner);
            copy_records(&mut state, &mut copy).map_err(Error::local("copy", &self.path))?;
        }
        Ok(fork)
    }

    /// How many directories were added.
    pub fn directories(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).rows.len()
    }

    /// Ends the cache without giving it a name: it speaks for no snapshot.
    pub fn into_cache(self, totals: Totals) -> Result<StatCache, Error> {
        let path = self.path.clone();
        let state = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let file =
            write_end(state, SnapshotId::new([0; 32]), totals).map_err(Error::local("write", &path))?;
        StatCache::open(file.path()).ok_or(Error::WorkerLost)
    }

    /// Ends the cache: from now on it is found at `path` and speaks for `snapshot`.
    pub fn finish(self, path: &Path, snapshot: SnapshotId, totals: Totals) -> Result<(), Error> {
        let state = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        write_end(state, snapshot, totals)
            .and_then(|file| file.persist(path).map_err(io::Error::from))
            .map(drop)
            .map_err(Error::local("write", path))
    }
}

fn copy_records(from: &mut WriterState, to: &mut WriterState) -> io::Result<()> {
    from.out.flush()?;
    let mut records = File::open(from.out.get_ref().path())?;
    // The new one has the magic already.
    records.seek(io::SeekFrom::Start(MAGIC.len() as u64))?;
    io::copy(&mut records, &mut to.out)?;
    to.offset = from.offset;
    to.rows.clone_from(&from.rows);
    Ok(())
}

fn write_end(
    mut state: WriterState,
    snapshot: SnapshotId,
    totals: Totals,
) -> io::Result<tempfile::NamedTempFile> {
    state.rows.sort_unstable();
    let mut rows = Vec::with_capacity(state.rows.len() * ROW_BYTES);
    for row in &state.rows {
        rows.extend_from_slice(&row.key.0);
        rows.put_u64(row.offset);
        rows.put_u32(row.length);
        rows.put_u64(row.checksum);
    }
    let mut footer = snapshot.as_bytes().to_vec();
    footer.put_u64(totals.entries);
    footer.put_u64(totals.bytes);
    footer.put_u64(state.offset);
    footer.put_u64(state.rows.len() as u64);
    let checksum = footer_checksum(&rows, &footer);
    footer.extend_from_slice(&checksum);
    footer.extend_from_slice(&MAGIC);

    state.out.write_all(&rows)?;
    state.out.write_all(&footer)?;
    state.out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Covers the rows and the footer up to the checksum itself.
pub(super) fn footer_checksum(rows: &[u8], footer: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(rows).update(&footer[..FOOTER_BYTES - 40]);
    *hasher.finalize().as_bytes()
}

fn decode_row(reader: &mut Reader<'_>) -> Result<Row, UnexpectedEnd> {
    Ok(Row {
        key: DirectoryKey(reader.array()?),
        offset: reader.u64()?,
        length: reader.u32()?,
        checksum: reader.u64()?,
    })
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(first_bytes(blake3::hash(bytes)))
}

fn first_bytes<const N: usize>(hash: blake3::Hash) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&hash.as_bytes()[..N]);
    first
}
