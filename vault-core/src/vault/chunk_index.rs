//! Where each chunk lies: an on-disk structure, so that memory does not grow with the vault.
//!
//! The index is a few *runs*: files of fixed-size rows sorted by chunk id, each made from some index objects and never changed.
//! A look-up is one search in a sparse table in memory and one read of two kilobytes. Runs are merged when there are many.
//! The whole is a cache: it can be deleted at any time and is made again from the index objects.
//!
//! Several processes may use one directory at once: a run is read through the handle it was opened by, so it does no harm if
//! another process deletes the file, and no run replaces another.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::index::IndexedPack;
use crate::format::table::SegmentPlace;
use crate::id::{ChunkId, Epoch, IndexId, PackId, SessionId};

use super::run::{Run, RunRow, create, merge_runs, write_run};

/// Runs that may stand beside each other; each costs every look-up one read.
const MOST_RUNS: usize = 8;

/// Where one chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The pack that holds it.
    pub pack: PackPlace,
    /// The segment within the pack.
    pub segment: SegmentPlace,
    /// Where the chunk begins in the segment's raw bytes.
    pub offset: u32,
    /// Its length in raw bytes.
    pub length: u32,
}

/// A pack, with what is needed to derive its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackPlace {
    /// Its id.
    pub id: PackId,
    /// Its size.
    pub bytes: u32,
    /// The session that wrote it.
    pub session: SessionId,
    /// Its number in that session.
    pub number: u32,
    /// The epoch whose key opens the session's envelope.
    pub epoch: Epoch,
}

/// All runs of one vault.
#[derive(Debug)]
pub struct ChunkIndex {
    directory: PathBuf,
    runs: Vec<Run>,
    next_run: u64,
}

impl ChunkIndex {
    /// Opens the runs in `directory`, making it when needed. Runs that name an index object which is not `live` any more are deleted.
    pub fn open(directory: &Path, live: &BTreeSet<IndexId>) -> Result<Self, Error> {
        super::make_private_directory(directory)?;
        let mut index = Self { directory: directory.to_owned(), runs: Vec::new(), next_run: 0 };
        let entries = std::fs::read_dir(directory).map_err(Error::local("read", directory))?;
        for entry in entries {
            let path = entry.map_err(Error::local("read", directory))?.path();
            let Some(number) = run_number(&path) else { continue };
            index.next_run = index.next_run.max(number + 1);
            match File::open(&path).and_then(|file| Run::open(&path, file)) {
                Ok(run) if run.covers.iter().all(|id| live.contains(id)) => index.runs.push(run),
                _ => delete(&path)?,
            }
        }
        index.runs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(index)
    }

    /// The index objects that need not be fetched again.
    pub fn covered(&self) -> BTreeSet<IndexId> {
        self.runs.iter().flat_map(|run| run.covers.iter().copied()).collect()
    }

    /// Adds the packs that some index objects name; afterwards these objects are covered.
    pub fn add(&mut self, covers: &[IndexId], packs: &[IndexedPack]) -> Result<(), Error> {
        let run = create(&self.directory, &mut self.next_run, |out| write_run(out, covers, packs))?;
        self.runs.push(run);
        if self.runs.len() > MOST_RUNS { self.merge() } else { Ok(()) }
    }

    /// Whether the vault has a chunk.
    pub fn contains(&self, id: &ChunkId) -> Result<bool, Error> {
        Ok(self.search(id)?.is_some())
    }

    /// Where a chunk lies; `None` if no index names it.
    pub fn find(&self, id: &ChunkId) -> Result<Option<Place>, Error> {
        let Some((run, row)) = self.search(id)? else { return Ok(None) };
        let (pack, segment) = run.segment(row.segment).map_err(Error::local("read", &run.path))?;
        Ok(Some(Place { pack, segment, offset: row.offset, length: row.length }))
    }

    /// All packs named, with repetitions where several index objects name one.
    pub fn packs(&self) -> impl Iterator<Item = &PackPlace> {
        self.runs.iter().flat_map(|run| run.packs.iter())
    }

    fn search(&self, id: &ChunkId) -> Result<Option<(&Run, RunRow)>, Error> {
        for run in self.runs.iter().rev() {
            if let Some(row) = run.find(id).map_err(Error::local("read", &run.path))? {
                return Ok(Some((run, row)));
            }
        }
        Ok(None)
    }

    fn merge(&mut self) -> Result<(), Error> {
        let Self { directory, runs, next_run } = self;
        let merged = create(directory, next_run, |out| merge_runs(out, runs))?;
        std::mem::replace(runs, vec![merged]).iter().try_for_each(|old| delete(&old.path))
    }
}

/// Deletes a run, unless another process was faster.
fn delete(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::local("delete", path)(error)),
        _ => Ok(()),
    }
}

fn run_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".run")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::run::{FOOTER_BYTES, HEADER_BYTES, PACK_BYTES};
    use super::*;
    use crate::format::table::{ChunkRow as TableRow, Table};
    use crate::format::table::{SegmentKind, SegmentRow};

    /// A pack of one segment for each list of chunks; a chunk is a number and its length.
    fn pack(number: u8, segments: &[Vec<(u16, u32)>]) -> IndexedPack {
        let mut table = Table::new(100).unwrap();
        for chunks in segments {
            let rows: Vec<_> = chunks.iter().map(|&(n, length)| TableRow { id: id(n), length }).collect();
            let row = SegmentRow {
                stored_bytes: 200,
                raw_bytes: rows.iter().map(|row| row.length).sum(),
                kind: SegmentKind::Data,
                chunk_count: rows.len() as u32,
            };
            table.push(row, &rows).unwrap();
        }
        IndexedPack {
            id: PackId::new([number; 32]),
            bytes: 1000 + u32::from(number),
            session: SessionId::new([number; 16]),
            pack_number: number.into(),
            epoch: Epoch(1),
            table,
        }
    }

    fn id(n: u16) -> ChunkId {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
        // Many share their first eight bytes: the sparse table cannot tell these apart.
        let shared = bytes[0] % 4;
        bytes[..8].fill(shared);
        ChunkId::new(bytes)
    }

    fn object(number: u8) -> IndexId {
        IndexId::new([number; 32])
    }

    fn open(directory: &TempDir, live: impl IntoIterator<Item = u8>) -> ChunkIndex {
        ChunkIndex::open(directory.path(), &live.into_iter().map(object).collect()).unwrap()
    }

    fn run_files(directory: &TempDir) -> Vec<PathBuf> {
        let mut paths: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn model(packs: &[IndexedPack]) -> BTreeMap<ChunkId, Place> {
        let places = packs.iter().flat_map(|pack| {
            let place = PackPlace {
                id: pack.id,
                bytes: pack.bytes,
                session: pack.session,
                number: pack.pack_number,
                epoch: pack.epoch,
            };
            pack.table.chunks().map(move |chunk| {
                let (segment, offset, length) = (chunk.segment, chunk.offset_in_segment, chunk.length);
                (chunk.id, Place { pack: place, segment, offset, length })
            })
        });
        places.collect()
    }

    fn agrees(index: &ChunkIndex, model: &BTreeMap<ChunkId, Place>) {
        for n in 0..1000 {
            let found = index.find(&id(n)).unwrap();
            // Of two places in one segment either will do: the bytes are the same.
            let expected = model.get(&id(n));
            assert_eq!(found.map(|f| (f.pack, f.segment)), expected.map(|e| (e.pack, e.segment)), "{n}");
            assert_eq!(index.contains(&id(n)).unwrap(), expected.is_some());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn look_ups_agree_with_a_map_through_merging_and_reopening(
            packs in vec(vec(vec((0..1000_u16, 1..100_u32), 1..60), 1..5), 1..20),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let packs: Vec<_> = (0..).zip(&packs).map(|(n, segments)| pack(n, segments)).collect();
            let live = 0..packs.len() as u8;
            let mut index = open(&directory, live.clone());
            for (n, pack) in (0..).zip(&packs) {
                index.add(&[object(n)], std::slice::from_ref(pack)).unwrap();
            }
            let model = model(&packs);

            agrees(&index, &model);
            prop_assert!(run_files(&directory).len() <= MOST_RUNS);
            let again = open(&directory, live.clone());
            agrees(&again, &model);
            prop_assert_eq!(again.covered(), live.map(object).collect());
            prop_assert_eq!(again.packs().count(), packs.len());
        }
    }

    #[test]
    fn runs_of_index_objects_that_are_not_live_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let mut index = open(&directory, []);
        index.add(&[object(1)], &[pack(1, &[vec![(1, 10)]])]).unwrap();
        index.add(&[object(2), object(3)], &[pack(2, &[vec![(2, 10)]])]).unwrap();

        let index = open(&directory, [1, 2]);

        assert_eq!(index.covered(), [object(1)].into());
        assert!(index.contains(&id(1)).unwrap() && !index.contains(&id(2)).unwrap());
        assert_eq!(run_files(&directory).len(), 1);
    }

    #[test]
    fn a_run_that_is_cut_off_or_damaged_at_its_ends_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let mut index = open(&directory, []);
        index.add(&[object(1)], &[pack(1, &[vec![(1, 10), (2, 20)], vec![(3, 5)]])]).unwrap();
        let path = run_files(&directory).remove(0);
        let good = fs::read(&path).unwrap();
        let head = (HEADER_BYTES + 32 + PACK_BYTES) as usize;

        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(open(&directory, [1]).covered().is_empty(), "cut off at {length}");
            assert!(!path.exists());
        }
        for at in (0..head).chain(good.len() - FOOTER_BYTES as usize..good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            assert!(open(&directory, [1]).covered().is_empty(), "byte {at}");
        }
        fs::write(&path, &good).unwrap();
        assert_eq!(open(&directory, [1]).covered(), [object(1)].into());
    }

    #[test]
    fn two_processes_share_a_directory_without_harm() {
        let directory = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (open(&directory, []), open(&directory, []));
        for n in 0..=MOST_RUNS as u8 {
            one.add(&[object(n)], &[pack(n, &[vec![(n.into(), 10)]])]).unwrap();
            other.add(&[object(100 + n)], &[pack(100 + n, &[vec![(100 + u16::from(n), 10)]])]).unwrap();
            // A third, with an older log, deletes what it does not know.
            drop(open(&directory, []));
        }

        for n in 0..=MOST_RUNS as u16 {
            assert!(one.contains(&id(n)).unwrap() && !one.contains(&id(100 + n)).unwrap());
            assert!(other.contains(&id(100 + n)).unwrap() && !other.contains(&id(n)).unwrap());
        }
    }
}
