//! Further names of one file: made when the first one is whole.
//!
//! A name that stands in the target is taken for one of these only if it is of the very file that the first one is.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Stat};

use crate::format::tree::{Entry, EntryKind};
use crate::progress::{Amount, Change};

use super::super::attributes::file_type;
use super::super::os_str;
use super::super::restore::{Engine, count};
use super::super::target;
use super::Directory;

/// The first name of something that has several. It outlives the file without keeping anything open.
pub(in super::super) struct FirstName<'e> {
    engine: &'e Engine<'e>,
    /// Below the target.
    directory: PathBuf,
    name: Vec<u8>,
    /// Counts further names that were made.
    made: &'e AtomicU64,
    links: Mutex<Links<'e>>,
}

#[derive(Default)]
struct Links<'e> {
    /// Further names, to be made when the first one is whole, and what stands there.
    waiting: Vec<(Arc<Directory<'e>>, Vec<u8>, Option<Stat>)>,
    /// Whether the first one became whole; `None` while that is open.
    outcome: Option<bool>,
}

impl<'e> FirstName<'e> {
    /// The first name of something that is not whole yet.
    pub(in super::super) fn new(directory: &Arc<Directory<'e>>, entry: &Entry) -> Arc<Self> {
        let (engine, directory) = (directory.engine, directory.path.clone());
        let made = match entry.kind {
            EntryKind::File { .. } => &engine.counts.files,
            _ => &engine.counts.others,
        };
        Arc::new(Self { engine, directory, name: entry.name.clone(), made, links: Mutex::default() })
    }

    /// Tells what became of it, and makes the names that waited for that.
    pub(in super::super) fn settle(&self, whole: bool) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.outcome = Some(whole);
        for (directory, name, standing) in std::mem::take(&mut links.waiting) {
            self.link(whole, (&directory, &name), standing.as_ref());
        }
    }

    /// Makes a further name, now or when the first one is whole.
    pub(in super::super) fn add(&self, directory: &Arc<Directory<'e>>, name: &[u8], standing: Option<Stat>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        match links.outcome {
            Some(whole) => self.link(whole, (directory, name), standing.as_ref()),
            None => links.waiting.push((Arc::clone(directory), name.to_vec(), standing)),
        }
    }

    fn link(&self, whole: bool, (directory, name): (&Directory<'e>, &[u8]), standing: Option<&Stat>) {
        let path = directory.path.join(os_str(name));
        if !whole {
            return self
                .engine
                .fail(&path, "cannot be restored: it is another name of a file that could not be");
        }
        let (counter, change) = match self.try_link(directory, name, standing) {
            Ok(true) => (self.made, Change::Written),
            Ok(false) => (&self.engine.counts.unchanged_entries, Change::Unchanged),
            Err(error) => return self.engine.fail(&path, &format!("cannot be linked: {error}")),
        };
        count(counter, 1);
        self.engine.changed(&path, change);
        self.engine.around.progress.advance(Amount { items: 1, bytes: 0 });
    }

    /// Makes the further name; false if it was one already.
    fn try_link(&self, directory: &Directory<'e>, name: &[u8], standing: Option<&Stat>) -> io::Result<bool> {
        let engine = self.engine;
        if engine.manner.dry_run && (standing.is_none() || engine.root.is_none()) {
            return Ok(true);
        }
        let root = engine.root.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let from = target::open_below(root.as_fd(), &self.directory);
        let Some(standing) = standing else {
            return target::make_link((from?.as_fd(), &self.name), (directory.fd()?, name)).map(|()| true);
        };
        let first = from.as_ref().ok().and_then(|from| target::look(from.as_fd(), &self.name).ok().flatten());
        let inode = |stat: &Stat| (stat.st_dev, stat.st_ino);
        if first.is_some_and(|first| inode(&first) == inode(standing)) {
            return Ok(false);
        }
        if file_type(standing) == FileType::Directory {
            engine.remove_tree(directory.fd()?, name, &directory.path.join(os_str(name)));
        }
        if engine.manner.dry_run {
            return Ok(true);
        }
        let temporary = engine.names.next();
        target::make_link((from?.as_fd(), &self.name), (directory.fd()?, &temporary))?;
        target::put(directory.fd()?, &temporary, name, true).inspect_err(|_| {
            // The error that is told is the first one.
            let _ = directory.fd().and_then(|fd| target::remove_file(fd, &temporary));
        })?;
        Ok(true)
    }
}
