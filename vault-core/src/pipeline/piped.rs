//! A stream as source: what a program writes, stored as one file in a directory of its own.
//!
//! A stream is read once and cannot be asked whether it is whole: only its [end](Stream::end) says so, and if that fails there is no
//! snapshot.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::Error;

use super::directory::{Directory, Task};
use super::hand::Hand;
use super::large::{self, Group};
use super::read::ReadFile;
use super::select::Selection;

/// Tells, when a stream has ended, whether all of it was there.
pub type StreamEnd = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// What is to be stored as one file.
pub struct Stream {
    /// The file's name in the snapshot.
    pub name: String,
    /// Its contents.
    pub contents: Box<dyn Read + Send>,
    /// Called at their end.
    pub end: StreamEnd,
}

/// The directory in which the file of a stream stands.
pub const STREAM_ROOT: &str = "/";

impl Stream {
    /// Where the file stands in its snapshot.
    pub fn path(&self) -> PathBuf {
        Path::new(STREAM_ROOT).join(&self.name)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads a stream, stores it for all destinations and fills the root.
pub(super) fn read(
    stream: &Mutex<Option<Stream>>,
    hand: &mut Hand<'_>,
    groups_in: &Sender<Group>,
    groups: &Receiver<Group>,
) -> Result<(), Error> {
    let taken = stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(Stream { name, mut contents, end }) = taken else { return Ok(()) };
    let failed = |source| Error::Stream { name: name.clone(), source };
    let (file, fd) = anonymous_file().map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
    let mut of_root = stat;
    of_root.st_mode = 0o700;
    let task = Task {
        parent: None,
        path: PathBuf::from(STREAM_ROOT),
        name: Vec::new(),
        selection: std::sync::Arc::new(Selection::All),
        device: None,
    };
    let metadata = hand.engine.owners.metadata(&of_root, Vec::new());
    let root = Directory::new(task, fd, metadata, hand);
    let wanted = hand.going();
    let slot = root.add_pending();
    let file = ReadFile {
        slot,
        wanted,
        name: name.clone().into(),
        fd: file,
        stat,
        holes: Vec::new(),
        changed: false,
    };
    large::read_stream(file, &mut *contents, (hand, groups_in, groups))
        .and_then(|()| end().map_err(failed))?;
    root.listed(hand);
    Ok(())
}

/// A file without a name, whose owner and times the stream's file gets, and the root directory's handle.
fn anonymous_file() -> io::Result<(OwnedFd, OwnedFd)> {
    let file = tempfile::tempfile()?;
    let root = rustix::fs::openat(CWD, STREAM_ROOT, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((file.into(), root))
}
