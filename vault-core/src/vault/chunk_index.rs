//! Where each chunk lies: an on-disk structure, so that memory does not grow with the vault.
//!
//! The index is a few *runs*: files of fixed-size rows sorted by chunk id, each made from some index objects and never changed.
//! A look-up is one search in a sparse table in memory and one read of two kilobytes. Runs are merged when there are many.
//! The whole is a cache: it can be deleted at any time and is made again from the index objects.
//!
//! A pack that is condemned counts as absent whatever index object still names it: look-ups go on to the chunk's next place.
//!
//! Several processes may use one directory at once: a run is read through the handle it was opened by, so it does no harm if
//! another process deletes the file, and no run replaces another.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::index::IndexedPack;
use crate::format::table::SegmentPlace;
use crate::id::{ChunkId, Epoch, IndexId, PackId, SessionId};

use super::run::{Named, Run, RunRow, create, merge_runs, write_run};

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

impl PackPlace {
    /// The place of a pack that an index names.
    pub fn of(pack: &IndexedPack) -> Self {
        Self {
            id: pack.id,
            bytes: pack.bytes,
            session: pack.session,
            number: pack.pack_number,
            epoch: pack.epoch,
        }
    }
}

/// A row of the index: one place of one chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Its number among all rows, which stays the same until the runs are merged.
    pub number: u64,
    run: usize,
    found: RunRow,
}

/// How much of a pack is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The pack.
    pub pack: PackPlace,
    /// The index object from which its rows are.
    pub index: IndexId,
    /// How many chunks it has.
    pub chunks: u64,
    /// Raw bytes of them.
    pub raw_bytes: u64,
    /// Raw bytes of those of its chunks whose rows are marked.
    pub marked_bytes: u64,
}

/// A run that stands on the disk and is not part of an index yet: making one takes long, putting it into its place does not.
#[derive(Debug)]
pub struct NewRun {
    run: Run,
    /// The runs whose place it takes: they were made into it.
    replaced: Vec<PathBuf>,
    next_run: u64,
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

    /// Adds the packs that one index object names; afterwards it is covered.
    pub fn add(&mut self, object: &[IndexId], packs: &[IndexedPack]) -> Result<(), Error> {
        let new = self.prepare(object, packs)?;
        self.put(new)?;
        self.merge_if_many()
    }

    /// Makes a run of the packs that one index object names, to be [`put`](Self::put) into the index.
    pub fn prepare(&self, object: &[IndexId], packs: &[IndexedPack]) -> Result<NewRun, Error> {
        let objects: Vec<Named<'_>> = object.iter().map(|id| (*id, packs)).collect();
        self.create(Vec::new(), |out| write_run(out, &objects, &BTreeSet::new()))
    }

    /// Makes one run of the newest ones if there are many, to be [`put`](Self::put) in their place. Rows then have other numbers.
    ///
    /// A run that is more than twice as long as all newer ones together is left alone, so that a row is written anew about as often
    /// as the index doubles.
    pub fn prepare_merge(&self) -> Result<Option<NewRun>, Error> {
        if self.runs.len() <= MOST_RUNS {
            return Ok(None);
        }
        let merged = &self.runs[first_to_merge(&self.runs)..];
        let replaced = merged.iter().map(|run| run.path.clone()).collect();
        self.create(replaced, |out| merge_runs(out, merged)).map(Some)
    }

    /// Puts a run that was made for this index into its place. One whose parts have been merged otherwise meanwhile is not needed.
    pub fn put(&mut self, new: NewRun) -> Result<(), Error> {
        let NewRun { mut run, replaced, next_run } = new;
        self.next_run = self.next_run.max(next_run);
        let at = match replaced.first() {
            None => self.runs.len(),
            Some(first) => match self.runs.iter().position(|old| old.path == *first) {
                Some(at) => at,
                None => return delete(&run.path),
            },
        };
        let (old, others): (Vec<_>, Vec<_>) =
            self.runs.drain(at..).partition(|old| replaced.contains(&old.path));
        run.hide(&old.iter().flat_map(Run::hidden_packs).collect());
        self.runs.push(run);
        self.runs.extend(others);
        old.iter().try_for_each(|old| delete(&old.path))
    }

    /// Adds the packs that some index objects name, without what is in those that are `condemned`. Never merges, so that rows keep
    /// their numbers.
    pub(crate) fn add_all(
        &mut self,
        objects: &[Named<'_>],
        condemned: &BTreeSet<PackId>,
    ) -> Result<(), Error> {
        let mut new = self.create(Vec::new(), |out| write_run(out, objects, condemned))?;
        new.run.hide(condemned);
        self.put(new)
    }

    /// Makes one run of the newest ones if there are many. Rows then have other numbers.
    pub(crate) fn merge_if_many(&mut self) -> Result<(), Error> {
        self.prepare_merge()?.map_or(Ok(()), |merged| self.put(merged))
    }

    /// Lets packs count as absent from now on: those that are condemned, or that the store has lost.
    pub fn hide(&mut self, packs: &BTreeSet<PackId>) {
        for run in &mut self.runs {
            run.hide(packs);
        }
    }

    /// Lets the packs of epochs before `first` count as absent from now on.
    pub(crate) fn hide_before(&mut self, first: Epoch) {
        let old = self.packs().filter(|pack| pack.epoch < first).map(|pack| pack.id).collect();
        self.hide(&old);
    }

    /// Whether the vault has a chunk.
    pub fn contains(&self, id: &ChunkId) -> Result<bool, Error> {
        Ok(self.search(id)?.is_some())
    }

    /// Where a chunk lies; `None` if no index names it.
    pub fn find(&self, id: &ChunkId) -> Result<Option<Place>, Error> {
        let Some((run, row)) = self.search(id)? else { return Ok(None) };
        place(run, row).map(Some)
    }

    /// All packs named that do not count as absent, with repetitions where several index objects name one.
    pub fn packs(&self) -> impl Iterator<Item = &PackPlace> {
        self.named().filter(|(.., hidden)| !hidden).map(|(_, pack, _)| pack)
    }

    /// All packs named, each with the index object that does and whether it counts as absent.
    pub(crate) fn named(&self) -> impl Iterator<Item = (IndexId, &PackPlace, bool)> {
        self.runs.iter().flat_map(|run| {
            (0..).zip(&run.packs).filter_map(|(number, pack)| {
                let index = run.covers.get(pack.cover as usize)?;
                Some((*index, &pack.place, run.hides(number)))
            })
        })
    }

    /// How many rows there are.
    pub(crate) fn row_count(&self) -> u64 {
        self.runs.iter().map(|run| run.chunk_count).sum()
    }

    /// All rows of a chunk whose packs do not count as absent, the newest first.
    pub(crate) fn rows(&self, id: &ChunkId) -> Result<Vec<(Row, PackId)>, Error> {
        let mut found = Vec::new();
        let mut end = self.row_count();
        for (number, run) in self.runs.iter().enumerate().rev() {
            let begin = end - run.chunk_count;
            let visited = run.visit(id, |at, row| {
                let (pack, _) = run.segment(row.segment)?;
                if !run.hides(pack) {
                    found.push((
                        Row { number: begin + at, run: number, found: row },
                        run.pack(pack)?.place.id,
                    ));
                }
                Ok(true)
            });
            visited.map_err(Error::local("read", &run.path))?;
            end = begin;
        }
        Ok(found)
    }

    /// The place that a row names.
    pub(crate) fn place(&self, row: &Row) -> Result<Place, Error> {
        place(&self.runs[row.run], row.found)
    }

    /// Tallies the rows that are marked, for each pack that has rows and does not count as absent, in the order of the runs.
    pub(crate) fn tally(&self, is_marked: &dyn Fn(u64) -> bool) -> Result<Vec<Tally>, Error> {
        let mut all = Vec::new();
        let mut first = 0;
        for run in &self.runs {
            let mut sums = vec![(0, 0, 0); run.packs.len()];
            let scanned = run.scan(|row, pack, length| {
                if let Some((chunks, raw, marked)) = sums.get_mut(pack as usize) {
                    *chunks += 1;
                    *raw += u64::from(length);
                    *marked += if is_marked(first + row) { u64::from(length) } else { 0 };
                }
            });
            scanned.map_err(Error::local("read", &run.path))?;
            first += run.chunk_count;
            for ((number, pack), (chunks, raw_bytes, marked_bytes)) in (0..).zip(&run.packs).zip(sums) {
                if let Some(&index) = run.covers.get(pack.cover as usize)
                    && pack.segments > 0
                    && !run.hides(number)
                {
                    all.push(Tally { pack: pack.place, index, chunks, raw_bytes, marked_bytes });
                }
            }
        }
        Ok(all)
    }

    fn search(&self, id: &ChunkId) -> Result<Option<(&Run, RunRow)>, Error> {
        for run in self.runs.iter().rev() {
            if let Some(row) = run.find(id).map_err(Error::local("read", &run.path))? {
                return Ok(Some((run, row)));
            }
        }
        Ok(None)
    }

    fn create(
        &self,
        replaced: Vec<PathBuf>,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
    ) -> Result<NewRun, Error> {
        let mut next_run = self.next_run;
        let run = create(&self.directory, &mut next_run, write)?;
        Ok(NewRun { run, replaced, next_run })
    }
}

/// Where the newest runs begin that are worth to be merged: two at least.
fn first_to_merge(runs: &[Run]) -> usize {
    let mut first = runs.len();
    let mut rows = 0;
    while let Some(older) = first.checked_sub(1).and_then(|at| runs.get(at)) {
        if runs.len() - first >= 2 && older.chunk_count > 2 * rows {
            break;
        }
        first -= 1;
        rows += older.chunk_count;
    }
    first
}

fn place(run: &Run, row: RunRow) -> Result<Place, Error> {
    let found = || {
        let (pack, segment) = run.segment(row.segment)?;
        Ok::<_, io::Error>((run.pack(pack)?.place, segment))
    };
    let (pack, segment) = found().map_err(Error::local("read", &run.path))?;
    Ok(Place { pack, segment, offset: row.offset, length: row.length })
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
