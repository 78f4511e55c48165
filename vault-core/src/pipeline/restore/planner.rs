//! The planner of a restore: goes over the tree, makes what has no contents, and plans what has \[1\].
//!
//! It decides by what the snapshot has, what stands in the target, and what the user chose. Nothing is deleted in a directory of
//! which not every entry could be read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{FileType, Stat};

use crate::error::Error;
use crate::format::tree::{ChunkRef, Entry, EntryKind};
use crate::progress::{Amount, Change};
use crate::vault::tree::Entries;

use super::super::attributes::file_type;
use super::super::choose::Chosen;
use super::super::os_str;
use super::super::output::links::FirstName;
use super::super::output::{Directory, File, Finish, Piece};
use super::super::target;
use super::super::target::attributes::same_mtime;
use super::{Candidate, Compared, Engine, Job, Overwrite, chain, count};

/// Chunks that are sorted by place together: about 6 MB of plan. The more, the less often a scattered segment is opened.
const BATCH_PIECES: usize = 32_768;
/// Directories that one batch may open.
pub(super) const BATCH_DIRECTORIES: usize = 256;
/// Files compared in one batch: each may have a temporary file open until its last chunk is written.
const BATCH_CANDIDATES: usize = 512;

/// Goes over the tree.
pub(super) struct Planner<'e> {
    pub(super) engine: &'e Engine<'e>,
    jobs: Sender<Job<'e>>,
    answers: Receiver<Option<Compared<'e>>>,
    /// Files that were handed out for comparison, and not answered for.
    candidates: usize,
    pieces: Vec<Piece<'e>>,
    pub(super) directories: usize,
    first_names: HashMap<u64, Arc<FirstName<'e>>>,
    /// Device and inode of files with several names that were taken for a group of the snapshot.
    claimed: HashSet<(u64, u64)>,
}

/// A directory that the planner is in.
pub(super) struct Level<'e> {
    entries: Entries<'e>,
    pub(super) path: PathBuf,
    pub(super) place: Place<'e>,
    /// Whether all in it is chosen that is not excluded.
    pub(super) inside: bool,
    /// What stands in it and was not met in the snapshot so far; empty where nothing is deleted.
    pub(super) leftovers: BTreeSet<Vec<u8>>,
}

/// Whether a directory is there.
pub(super) enum Place<'e> {
    Made(Arc<Directory<'e>>),
    /// Made when the first entry in it is chosen.
    Way(Box<Entry>),
    Failed,
}

impl<'e> Planner<'e> {
    pub(super) fn new(
        engine: &'e Engine<'e>,
        jobs: Sender<Job<'e>>,
        answers: Receiver<Option<Compared<'e>>>,
    ) -> Self {
        Self {
            engine,
            jobs,
            answers,
            candidates: 0,
            pieces: Vec::new(),
            directories: 0,
            first_names: HashMap::new(),
            claimed: HashSet::new(),
        }
    }

    pub(super) fn plan(mut self, entry: Entry) -> Result<(), Error> {
        let engine = self.engine;
        let root = engine.root.as_ref().map(std::os::fd::OwnedFd::try_clone).transpose();
        let root = root.map_err(Error::local("open", &engine.target))?;
        // In the second pass it stands there whatever it was in the first.
        let found = root.is_some() && (!engine.manner.fresh || engine.verifying());
        if let EntryKind::Directory { subtree } = entry.kind {
            let inside = !engine.manner.choice.has_includes();
            let chosen = if inside { Chosen::In } else { Chosen::Way };
            let before = root.as_ref().filter(|_| found).map(|root| {
                if engine.manner.dry_run {
                    Ok(rustix::fs::fstat(root)?)
                } else {
                    target::make_accessible(root.as_fd())
                }
            });
            let before = before.transpose().map_err(Error::local("look at", &engine.target))?;
            let finish = self.finish(entry.metadata, before, chosen);
            if !found {
                count(&engine.counts.directories, 1);
            }
            let made = self.enter((None, PathBuf::new()), (root, found), finish);
            self.plan_tree(Level {
                entries: engine.domain.entries(&subtree),
                path: PathBuf::new(),
                place: Place::Made(made.directory),
                inside,
                leftovers: made.leftovers,
            })?;
        } else {
            // The target is not part of what is restored: it keeps what it has.
            let root = Directory::new(engine, (None, PathBuf::new()), (root, found), Finish::Leave(None));
            self.plan_entry(&root, entry)?;
        }
        self.flush()
    }

    fn plan_tree(&mut self, root: Level<'e>) -> Result<(), Error> {
        let mut levels = vec![root];
        while let Some(level) = levels.last_mut() {
            if self.engine.stopping() {
                return Ok(());
            }
            if matches!(level.place, Place::Failed) {
                levels.pop();
                continue;
            }
            match level.entries.next() {
                None => {
                    let level = levels.pop();
                    level.into_iter().for_each(|level| self.delete_leftovers(&level));
                }
                Some(Err(error)) => {
                    self.engine.fail(&level.path, &format!("its entries cannot be read: {}", chain(&error)));
                    levels.pop();
                }
                Some(Ok(entry)) => self.plan_in(&mut levels, entry)?,
            }
        }
        Ok(())
    }

    /// Plans an entry of the innermost directory, if it is chosen.
    fn plan_in(&mut self, levels: &mut Vec<Level<'e>>, entry: Entry) -> Result<(), Error> {
        let Some(level) = levels.last_mut() else { return Ok(()) };
        let path = level.path.join(os_str(&entry.name));
        let chosen = self.engine.manner.choice.of(&path, entry.is_directory(), level.inside);
        let below = match &entry.kind {
            EntryKind::Directory { subtree } => Some(self.engine.domain.entries(subtree)),
            _ => None,
        };
        let (place, leftovers) = match (chosen, below.is_some()) {
            (Chosen::Out, _) | (Chosen::Way, false) => return Ok(()),
            (Chosen::Way, true) => (Place::Way(Box::new(entry)), BTreeSet::new()),
            (Chosen::In, is_directory) => {
                level.leftovers.remove(&entry.name);
                let Some(directory) = self.made(levels)? else { return Ok(()) };
                if !is_directory {
                    return self.plan_entry(&directory, entry);
                }
                let Some(made) = self.make_directory(&directory, entry, chosen)? else { return Ok(()) };
                (Place::Made(made.directory), made.leftovers)
            }
        };
        let inside = chosen == Chosen::In;
        levels.extend(below.map(|entries| Level { entries, path, place, inside, leftovers }));
        Ok(())
    }

    /// The innermost directory, after it and those above it were made as far as they are not there; `None` if that failed.
    fn made(&mut self, levels: &mut [Level<'e>]) -> Result<Option<Arc<Directory<'e>>>, Error> {
        let mut above: Option<Arc<Directory<'e>>> = None;
        for at in 0..levels.len() {
            if let Place::Way(entry) = &levels[at].place {
                let entry = Entry::clone(entry);
                if let Some(parent) = at.checked_sub(1).and_then(|parent| levels.get_mut(parent)) {
                    parent.leftovers.remove(&entry.name);
                }
                let Some(parent) = above.take() else { return Ok(None) };
                match self.make_directory(&parent, entry, Chosen::Way)? {
                    Some(made) => {
                        levels[at].place = Place::Made(made.directory);
                        levels[at].leftovers = made.leftovers;
                    }
                    None => levels[at..].iter_mut().for_each(|level| level.place = Place::Failed),
                }
            }
            let Place::Made(directory) = &levels[at].place else { return Ok(None) };
            above = Some(Arc::clone(directory));
        }
        Ok(above)
    }

    /// Makes or plans an entry that is not a directory.
    fn plan_entry(&mut self, directory: &Arc<Directory<'e>>, entry: Entry) -> Result<(), Error> {
        let engine = self.engine;
        let path = directory.path.join(os_str(&entry.name));
        let standing = match directory.look(&entry.name) {
            Ok(standing) => standing,
            Err(error) => {
                engine.fail(&path, &format!("cannot be looked at: {error}"));
                return Ok(());
            }
        };
        if engine.verifying() {
            return self.plan_again(directory, entry, standing);
        }
        if let Some(stat) = &standing {
            if file_type(stat) == FileType::Directory && engine.manner.overwrite != Overwrite::Always {
                engine.fail(&path, "cannot be restored: a directory stands in its place");
                return Ok(());
            }
            if engine.manner.overwrite == Overwrite::Never {
                count(&engine.counts.kept_entries, 1);
                engine.changed(&path, Change::Kept);
                return Ok(());
            }
        }
        let first_name = entry.link_group.and_then(|group| self.first_names.get(&group));
        if let Some(first_name) = first_name {
            first_name.add(directory, &entry.name, standing);
            return Ok(());
        }
        if matches!(entry.kind, EntryKind::File { .. }) {
            return self.plan_file(directory, entry, standing);
        }
        self.make_special(directory, &entry, standing.as_ref());
        Ok(())
    }

    /// Plans to read a file that was restored.
    fn plan_again(
        &mut self,
        directory: &Arc<Directory<'e>>,
        entry: Entry,
        standing: Option<Stat>,
    ) -> Result<(), Error> {
        let path = directory.path.join(os_str(&entry.name));
        let failed = self.engine.has_failed(&path);
        let first_of_group = entry.link_group.is_none_or(|group| !self.first_names.contains_key(&group));
        if failed || !first_of_group || !matches!(entry.kind, EntryKind::File { .. }) {
            return Ok(());
        }
        self.first_name(directory, &entry);
        match File::new(directory, entry, standing.as_ref(), None) {
            Some(file) if standing.is_some() => self.compare(file, true),
            _ => {
                self.engine.fail(&path, "is gone since it was restored");
                Ok(())
            }
        }
    }

    fn make_special(&mut self, directory: &Arc<Directory<'e>>, entry: &Entry, standing: Option<&Stat>) {
        let engine = self.engine;
        let path = directory.path.join(os_str(&entry.name));
        let may_stay = standing.is_some_and(|stat| self.may_stay(stat, entry.link_group));
        let change = match self.try_make_special(directory, entry, standing.filter(|_| may_stay), standing) {
            Ok(change) => change,
            Err(error) => {
                if let Err(error) = engine.check_fatal(&path, error) {
                    engine.fail(&path, &format!("cannot be made: {error}"));
                }
                return;
            }
        };
        let counts = &engine.counts;
        count(if change == Change::Unchanged { &counts.unchanged_entries } else { &counts.others }, 1);
        engine.changed(&path, change);
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        if let Some(first_name) = self.first_name(directory, entry) {
            first_name.settle(true);
        }
    }

    /// Makes a link or special file, unless `usable` is it already. What stands there is replaced as a whole.
    fn try_make_special(
        &self,
        directory: &Directory<'e>,
        entry: &Entry,
        usable: Option<&Stat>,
        standing: Option<&Stat>,
    ) -> std::io::Result<Change> {
        let engine = self.engine;
        if let Some(stat) = usable
            && target::is_special(directory.fd()?, entry, stat)?
            && engine.attributes.are_set_at(directory.fd()?, entry, stat)
        {
            return Ok(Change::Unchanged);
        }
        let path = directory.path.join(os_str(&entry.name));
        let in_the_way = standing.is_some_and(|stat| file_type(stat) == FileType::Directory);
        if engine.manner.dry_run {
            if in_the_way {
                engine.remove_tree(directory.fd()?, &entry.name, &path);
            }
            return Ok(Change::Written);
        }
        let fd = directory.fd()?;
        if standing.is_none() {
            target::make_special(fd, &entry.name, entry)?;
            engine.tell_attributes(&path, &engine.attributes.set_at(fd, &entry.name, entry));
            return Ok(Change::Written);
        }
        let temporary = engine.names.next();
        target::make_special(fd, &temporary, entry)?;
        engine.tell_attributes(&path, &engine.attributes.set_at(fd, &temporary, entry));
        if in_the_way {
            engine.remove_tree(fd, &entry.name, &path);
        }
        target::put(fd, &temporary, &entry.name, true).inspect_err(|_| {
            // The error that is told is the first one.
            let _ = target::remove_file(fd, &temporary);
        })?;
        Ok(Change::Written)
    }

    /// What further names of the entry wait for, if it may have any.
    fn first_name(&mut self, directory: &Arc<Directory<'e>>, entry: &Entry) -> Option<Arc<FirstName<'e>>> {
        let group = entry.link_group?;
        let first_name = FirstName::new(directory, entry);
        self.first_names.insert(group, Arc::clone(&first_name));
        Some(first_name)
    }

    /// Whether what stands there may be taken for the entry, were it right: no other file of the snapshot may share it.
    fn may_stay(&mut self, standing: &Stat, group: Option<u64>) -> bool {
        standing.st_nlink <= 1 || (group.is_some() && self.claimed.insert((standing.st_dev, standing.st_ino)))
    }

    fn plan_file(
        &mut self,
        directory: &Arc<Directory<'e>>,
        entry: Entry,
        standing: Option<Stat>,
    ) -> Result<(), Error> {
        let engine = self.engine;
        let manner = &engine.manner;
        let first_name = self.first_name(directory, &entry);
        let same_time = standing.as_ref().is_some_and(|stat| same_mtime(stat, &entry.metadata));
        let may_stay = standing.as_ref().is_some_and(|stat| self.may_stay(stat, entry.link_group));
        let Some(file) = File::new(directory, entry, standing.as_ref(), first_name) else { return Ok(()) };
        let is_file = standing.as_ref().map(file_type) == Some(FileType::RegularFile);
        if !is_file {
            if manner.dry_run {
                file.pretend();
                return Ok(());
            }
            return self.plan_contents(&file, &[]);
        }
        let trusted = manner.overwrite == Overwrite::IfChanged && !manner.verify;
        if trusted
            && may_stay
            && same_time
            && let Ok((fd, stat)) = file.open_standing()
            && stat.st_size as u64 == file.size
            && file.keep(fd.as_fd(), &stat)
        {
            return Ok(());
        }
        self.compare(file, may_stay)
    }

    /// Hands a file out to be compared with what stands there.
    fn compare(&mut self, file: Arc<File<'e>>, may_stay: bool) -> Result<(), Error> {
        self.jobs.send(Job::Compare(Candidate { file, may_stay })).map_err(|_| Error::WorkerLost)?;
        self.candidates += 1;
        if self.candidates >= BATCH_CANDIDATES { self.flush() } else { Ok(()) }
    }

    /// Plans to fetch all chunks of a file but those that are right already.
    fn plan_contents(&mut self, file: &Arc<File<'e>>, right: &[bool]) -> Result<(), Error> {
        let mut number = 0;
        let engine = self.engine;
        let planned = engine.for_each_chunk(file, &mut |chunk, at| {
            let is_right = right.get(number).copied().unwrap_or(false);
            number += 1;
            if is_right { Ok(()) } else { self.plan_chunk(file, chunk, at) }
        });
        match planned {
            Ok(()) => file.settle(),
            Err(Error::WorkerLost) => return Err(Error::WorkerLost),
            Err(error) => file.fail(&chain(&error)),
        }
        Ok(())
    }

    fn plan_chunk(&mut self, file: &Arc<File<'e>>, chunk: &ChunkRef, at: u64) -> Result<(), Error> {
        let place = self.engine.domain.place(&chunk.h)?;
        if place.length != chunk.length {
            return Err(self.engine.domain.damaged_tree("a chunk has another length than the index says"));
        }
        file.add_pending();
        self.pieces.push(Piece { place, h: chunk.h, file: Arc::clone(file), at });
        if self.pieces.len() >= BATCH_PIECES { self.send() } else { Ok(()) }
    }

    /// Hands on everything there is to do.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        while self.candidates > 0 {
            self.candidates -= 1;
            if let Some(Compared { file, right }) = self.answers.recv().map_err(|_| Error::WorkerLost)? {
                self.plan_contents(&file, &right)?;
            }
        }
        self.send()
    }

    /// Sorts what was planned by place, and hands it on a segment at a time.
    fn send(&mut self) -> Result<(), Error> {
        self.directories = 0;
        let mut pieces = std::mem::take(&mut self.pieces);
        // Stable: within a segment the pieces stay in the order of the tree.
        pieces.sort_by_key(|piece| (piece.place.pack.id, piece.place.segment.offset));
        let mut pieces = pieces.into_iter().peekable();
        while let Some(first) = pieces.next() {
            let (pack, offset) = (first.place.pack.id, first.place.segment.offset);
            let mut segment = vec![first];
            while let Some(piece) =
                pieces.next_if(|piece| piece.place.pack.id == pack && piece.place.segment.offset == offset)
            {
                segment.push(piece);
            }
            *self.engine.in_flight.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.jobs.send(Job::Write(segment)).map_err(|_| Error::WorkerLost)?;
        }
        self.engine.wait_for_landing();
        Ok(())
    }
}
