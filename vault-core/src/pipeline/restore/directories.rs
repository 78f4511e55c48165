//! The directories of a target: made or opened when the planner goes in, cleared of what does not belong there when it leaves.
//!
//! What stands in the place of a directory is replaced only where everything may be. What the user did not choose, what is protected
//! and what another file system holds stays.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use crate::error::Error;
use crate::format::tree::{Entry, Metadata};
use crate::progress::{Amount, Change};

use super::super::attributes::file_type;
use super::super::choose::Chosen;
use super::super::os_str;
use super::super::output::{Directory, Finish, Opened};
use super::super::target;
use super::super::target::remove::Removal;
use super::planner::{BATCH_DIRECTORIES, Level, Place, Planner};
use super::{Overwrite, count};

/// A directory that was made or opened, and what stands in it.
pub(super) struct Made<'e> {
    pub(super) directory: Arc<Directory<'e>>,
    /// The names in it that may have to go; empty where nothing is deleted.
    pub(super) leftovers: BTreeSet<Vec<u8>>,
}

impl<'e> Planner<'e> {
    /// Makes a directory, or opens the one that stands there.
    pub(super) fn make_directory(
        &mut self,
        parent: &Arc<Directory<'e>>,
        entry: Entry,
        chosen: Chosen,
    ) -> Result<Option<Made<'e>>, Error> {
        let engine = self.engine;
        let path = parent.path.join(os_str(&entry.name));
        if engine.verifying() && engine.has_failed(&path) {
            return Ok(None);
        }
        let opened =
            parent.look(&entry.name).and_then(|standing| self.open_or_make(parent, &entry, standing));
        let ((fd, found), before) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                engine.fail(&path, "cannot be restored: something that is no directory stands in its place");
                return Ok(None);
            }
            Err(error) => {
                if let Err(error) = engine.check_fatal(&path, error) {
                    engine.fail(&path, &format!("cannot be made: {error}"));
                }
                return Ok(None);
            }
        };
        if !found {
            count(&engine.counts.directories, 1);
            engine.changed(&path, Change::Written);
        }
        engine.around.progress.advance(Amount { items: 1, bytes: 0 });
        self.directories += 1;
        if self.directories >= BATCH_DIRECTORIES {
            self.flush()?;
        }
        let finish = self.finish(entry.metadata, before, chosen);
        Ok(Some(self.enter((Some(Arc::clone(parent)), path), (fd, found), finish)))
    }

    /// The directory, and the attributes of one that was found; `None` if something else is in its place.
    fn open_or_make(
        &self,
        parent: &Directory<'e>,
        entry: &Entry,
        standing: Option<Stat>,
    ) -> io::Result<Option<(Opened, Option<Stat>)>> {
        let dry_run = self.engine.manner.dry_run;
        match standing.as_ref().map(file_type) {
            Some(FileType::Directory) if dry_run => {
                let fd = target::open_directory(parent.fd()?, &entry.name)?;
                return Ok(Some(((Some(fd), true), standing)));
            }
            Some(FileType::Directory) => {
                let (fd, stat) = target::open_found(parent.fd()?, &entry.name)?;
                return Ok(Some(((Some(fd), true), Some(stat))));
            }
            Some(_) if self.engine.manner.overwrite != Overwrite::Always || self.engine.verifying() => {
                return Ok(None);
            }
            Some(_) => {
                let path = parent.path.join(os_str(&entry.name));
                self.engine.remove_tree(parent.fd()?, &entry.name, &path);
            }
            None if self.engine.verifying() => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        if dry_run {
            return Ok(Some(((None, false), None)));
        }
        let fd = target::make_directory(parent.fd()?, &entry.name)?;
        Ok(Some(((Some(fd), false), None)))
    }

    /// What is done with a directory in the end.
    pub(super) fn finish(&self, metadata: Metadata, before: Option<Stat>, chosen: Chosen) -> Finish {
        match before {
            Some(before) if self.engine.verifying() => Finish::Again(Box::new(before)),
            Some(before) if self.engine.manner.overwrite == Overwrite::Never || chosen == Chosen::Way => {
                let mode = before.st_mode & 0o7777;
                Finish::Leave((mode & 0o700 != 0o700).then_some(mode))
            }
            _ => Finish::Set(metadata),
        }
    }

    /// Begins with a directory: looks what stands in it, and removes what an earlier run left there.
    pub(super) fn enter(
        &self,
        (parent, path): (Option<Arc<Directory<'e>>>, PathBuf),
        opened: Opened,
        finish: Finish,
    ) -> Made<'e> {
        let engine = self.engine;
        let manner = &engine.manner;
        let found = opened.1;
        let deletes = manner.deletion.as_ref().is_some_and(|deletion| {
            !engine.verifying() && deletion.within.iter().any(|within| path.starts_with(within))
        });
        let directory = Directory::new(engine, (parent, path), opened, finish);
        let mut leftovers = BTreeSet::new();
        let must_look = deletes || !manner.stale_runs.is_empty();
        if !found || !must_look {
            return Made { directory, leftovers };
        }
        let names = directory.fd().and_then(target::names);
        let names = match names {
            Ok(names) => names,
            Err(error) => {
                engine.fail(&directory.path, &format!("cannot be listed: {error}"));
                return Made { directory, leftovers };
            }
        };
        for name in names {
            if target::is_temporary_of(&manner.stale_runs, &name) {
                self.remove_stale(&directory, &name);
            } else if deletes {
                leftovers.insert(name);
            }
        }
        Made { directory, leftovers }
    }

    fn remove_stale(&self, directory: &Directory<'e>, name: &[u8]) {
        if self.engine.manner.dry_run {
            return;
        }
        let removed = directory.fd().and_then(|fd| target::remove_file(fd, name));
        removed.unwrap_or_else(|error| {
            let path = directory.path.join(os_str(name));
            self.engine
                .tell(&path, &format!("is left from an earlier restore and cannot be removed: {error}"));
        });
    }

    /// Removes what was not met in a directory that was gone through to its end.
    pub(super) fn delete_leftovers(&self, level: &Level<'e>) {
        let engine = self.engine;
        let (Some(deletion), Place::Made(directory)) = (&engine.manner.deletion, &level.place) else {
            return;
        };
        let removal = Removal {
            choice: &engine.manner.choice,
            unchosen_too: deletion.unchosen_too,
            protected: &engine.manner.protected,
            dry_run: engine.manner.dry_run,
        };
        let Ok(fd) = directory.fd() else { return };
        for name in &level.leftovers {
            let path = level.path.join(os_str(name));
            removal
                .remove(fd, name, (&path, level.inside), &mut |path, removed| engine.removed(path, removed));
        }
    }
}
