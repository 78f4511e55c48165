//! Ways for fuzzing into the decoders of what this machine remembers of a vault. Only for tests.
//!
//! Checksums are made to fit before anything is opened: they are there against accidents, and what is behind them must not
//! panic either.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use super::run::{self, Run, head_checksum, merge_runs};
use super::stat_cache::{self, CachedDirectory, StatCache};
use crate::bytes::Reader;
use crate::format::tree::encoded_name;
use crate::id::ChunkId;

/// Opens bytes as a run of the chunk index; if they are one, looks at all that is in it, and merges it with itself.
pub fn open_any_run(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let _ = fit_run(&mut bytes);
    let Ok(run) = run_in(&bytes) else { return };
    let _ = run.scan(|_, pack, _| drop(run.pack(pack)));
    let _ = (0..).try_for_each(|number| run.segment(number).map(drop));
    let (ids, _) = bytes.as_chunks::<{ ChunkId::LEN }>();
    for id in ids {
        let _ = run.find(&ChunkId::new(*id));
    }
    let again = run_in(&bytes).expect("it was opened before");
    let _ = merge_runs(&mut Vec::new(), &[run, again]);
}

/// Opens bytes as a stat cache, and as the record of a directory in one; looks at all that is in them.
pub fn open_any_stat_cache(bytes: &[u8]) {
    if let Some(directory) = CachedDirectory::decode(bytes.to_vec()) {
        visit(&directory);
    }
    let mut bytes = bytes.to_vec();
    let _ = fit_stat_cache(&mut bytes);
    let Some(cache) = file_of(&bytes).ok().and_then(StatCache::read) else { return };
    for row in &cache.rows {
        if let Some(directory) = cache.directory(row.key) {
            visit(&directory);
        }
    }
}

fn visit(directory: &CachedDirectory) {
    for position in 0..directory.len() {
        let name = encoded_name(directory.encoded(position)).expect("an entry has a name");
        assert!(directory.position(name).is_none_or(|found| found < directory.len()));
        let _ = directory.stamp(position);
    }
}

/// Sets the checksum of a run to what it should be, if there is room for one.
fn fit_run(bytes: &mut [u8]) -> Option<()> {
    let mut header = Reader::new(bytes.get(8..)?);
    let (covers, packs) = (u64::from(header.u32().ok()?), u64::from(header.u32().ok()?));
    let head_bytes = run::HEADER_BYTES + covers * 32 + packs * run::PACK_BYTES;
    let checksum = head_checksum(bytes.get(..usize::try_from(head_bytes).ok()?)?);
    let at = bytes.len().checked_sub(run::FOOTER_BYTES as usize)?;
    bytes.get_mut(at..at + 8)?.copy_from_slice(&checksum);
    Some(())
}

/// Sets the checksums of a stat cache and of its records to what they should be, as far as they are there.
fn fit_stat_cache(bytes: &mut [u8]) -> Option<()> {
    let (records, footer) = bytes.split_at_mut_checked(bytes.len().checked_sub(stat_cache::FOOTER_BYTES)?)?;
    let mut fields = Reader::new(footer.get(48..)?);
    let rows_at = usize::try_from(fields.u64().ok()?).ok()?;
    let (records, rows) = records.split_at_mut_checked(rows_at)?;
    for row in rows.chunks_exact_mut(stat_cache::ROW_BYTES) {
        let mut fields = Reader::new(&row[16..]);
        let (offset, length) = (fields.u64().ok()?, fields.u32().ok()?);
        let begin = usize::try_from(offset).ok()?;
        let record = records.get(begin..).and_then(|rest| rest.get(..length as usize));
        let checksum = record.map_or(0, stat_cache::checksum);
        row[28..].copy_from_slice(&checksum.to_le_bytes());
    }
    let checksum = stat_cache::footer_checksum(rows, footer);
    footer[64..96].copy_from_slice(&checksum);
    Some(())
}

fn run_in(bytes: &[u8]) -> io::Result<Run> {
    Run::open(Path::new("fuzzing"), file_of(bytes)?)
}

/// A file that is only in memory.
fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("fuzzing", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}
