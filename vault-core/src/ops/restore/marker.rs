//! A note, among what this machine remembers, of a restore that is under way: what it restores, where, and which runs worked on it.
//!
//! With it the same command goes on after an interruption, temporary files of a run that was killed are known for what they are,
//! and two runs do not restore into one directory at the same time. It is removed when nothing is left to do. Losing it costs only that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};

use crate::crypto::hash::object_hash;
use crate::error::Error;
use crate::id::SnapshotId;
use crate::store::Locked;
use crate::vault::make_private_directory;

use super::RestoreOptions;
use super::place::Place;

/// The directory of the notes, in that of the vault's state.
const DIRECTORY: &str = "restores";
/// A note has a few lines; nobody's patterns are so many.
const NOTE_MAX_BYTES: u64 = 1 << 20;
/// What begins the line of a run.
const RUN: &str = "run ";
/// What begins the line of the snapshot.
const SNAPSHOT: &str = "snapshot ";

/// What is restored, and where.
pub(super) struct Request {
    target: PathBuf,
    shown: PathBuf,
    /// One line for each thing that makes it another restore, without what stood in the target.
    lines: String,
}

/// What the note says of earlier runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Previous {
    /// Whether the restore that is noted is the one that was asked for, and the target was empty when it began.
    pub(super) same: bool,
    /// The snapshot that is noted.
    pub(super) snapshot: Option<SnapshotId>,
    /// The runs that are noted.
    pub(super) runs: Vec<String>,
}

/// The note of this restore, which no other process holds.
pub(super) struct Marker {
    file: Locked,
    path: PathBuf,
    lines: String,
    /// What was noted before.
    pub(super) previous: Previous,
}

impl Request {
    /// What was asked for.
    pub(super) fn new(options: &RestoreOptions, path: &Path, place: &Place) -> Result<Self, Error> {
        let escape = |path: &Path| path.as_os_str().as_encoded_bytes().escape_ascii().to_string();
        let mut lines = format!(
            "restore 1\ntarget {} {}\n{SNAPSHOT}{}\npath {}\n",
            escape(&place.path),
            identity(place)?,
            options.snapshot,
            escape(path)
        );
        for (word, patterns) in [("include", &options.include), ("exclude", &options.exclude)] {
            lines.extend(patterns.iter().map(|pattern| format!("{word} {}\n", pattern.escape_default())));
        }
        Ok(Self { target: place.path.clone(), shown: place.shown.clone(), lines })
    }

    fn file(&self, state: &Path) -> PathBuf {
        let name = object_hash(self.target.as_os_str().as_encoded_bytes());
        state.join(DIRECTORY).join(hex::encode(&name[..16]))
    }

    /// The lines of a restore into a directory that was empty, or was not.
    fn begun(&self, empty: bool) -> String {
        format!("{}begun {}\n", self.lines, if empty { "empty" } else { "full" })
    }

    fn previous(&self, text: &str) -> Previous {
        let after = |prefix| text.lines().filter_map(move |line| line.strip_prefix(prefix));
        let is_run = |run: &&str| run.len() == 16 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
        Previous {
            same: text.starts_with(&self.begun(true)),
            snapshot: after(SNAPSHOT).find_map(|id| SnapshotId::parse(id).ok()),
            runs: after(RUN).filter(is_run).map(str::to_owned).collect(),
        }
    }
}

/// Which directory it is: one that was made anew under the same path is another.
fn identity(place: &Place) -> Result<String, Error> {
    let Some(root) = &place.root else { return Ok("new".to_owned()) };
    let stat = rustix::fs::fstat(root).map_err(Error::local("look at", &place.path))?;
    // Not every file system knows when something was made; then its number must do.
    let born = rustix::fs::statx(root, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok();
    let born = born.filter(|statx| statx.stx_mask & StatxFlags::BTIME.bits() != 0);
    let born = born.map_or((0, 0), |statx| (statx.stx_btime.tv_sec, statx.stx_btime.tv_nsec));
    Ok(format!("{}:{}:{}.{:09}", stat.st_dev, stat.st_ino, born.0, born.1))
}

impl Previous {
    /// Reads the note without taking hold of it; nothing if there is none or it cannot be read.
    pub(super) fn read(state: &Path, request: &Request) -> Self {
        let text = File::open(request.file(state)).and_then(|file| read(&file));
        text.map_or_else(|_| Self::default(), |text| request.previous(&text))
    }
}

impl Marker {
    /// Takes hold of the note, or begins one.
    ///
    /// # Errors
    ///
    /// [`Error::TargetBusy`] if another process holds it.
    pub(super) fn open(state: &Path, request: &Request) -> Result<Self, Error> {
        make_private_directory(&state.join(DIRECTORY))?;
        let path = request.file(state);
        let local = |error: io::Error| Error::local("write", &path)(error);
        loop {
            let mut open = OpenOptions::new();
            open.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = Locked::take(open.open(&path).map_err(local)?)
                .ok_or_else(|| Error::TargetBusy { path: request.shown.clone() })?;
            // The last holder may have removed it between the two calls.
            let is_there = path.metadata().is_ok_and(|there| {
                file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
            });
            if is_there {
                let previous = request.previous(&read(&file).map_err(local)?);
                return Ok(Self { file, path: path.clone(), lines: request.lines.clone(), previous });
            }
        }
    }

    /// Notes that a run begins. `empty` says whether anything is in the target.
    pub(super) fn begin(&self, run: &str, empty: bool) -> Result<(), Error> {
        let request = Request { target: PathBuf::new(), shown: PathBuf::new(), lines: self.lines.clone() };
        let mut text = request.begun(empty || self.previous.same);
        let runs = self.previous.runs.iter().map(String::as_str).chain([run]);
        text.extend(runs.map(|run| format!("{RUN}{run}\n")));
        let mut file: &File = &self.file;
        let mut write = || {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)
        };
        write().map_err(Error::local("write", &self.path))
    }

    /// Removes the note: nothing is left to be done.
    pub(super) fn remove(self) {
        // If it stays, the next restore into the directory compares what is there, and removes it.
        let _ = fs::remove_file(&self.path);
    }
}

fn read(file: &File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(NOTE_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Decodes bytes as a note, for fuzzing; returns the names of the runs in it, which become parts of names of files.
#[cfg(feature = "testing")]
pub fn decode_any(bytes: &[u8]) -> Vec<String> {
    let request = Request { target: PathBuf::new(), shown: PathBuf::new(), lines: "restore 1\n".to_owned() };
    request.previous(&String::from_utf8_lossy(bytes)).runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &str) -> Request {
        Request { target: PathBuf::from("/t"), shown: PathBuf::from("t"), lines: lines.to_owned() }
    }

    #[test]
    fn the_same_restore_is_recognised_until_it_is_done() {
        let state = tempfile::tempdir().unwrap();
        let (one, other) = (request("restore 1\n"), request("restore 1\npath x\n"));

        let marker = Marker::open(state.path(), &one).unwrap();
        assert_eq!(marker.previous, Previous::default());
        marker.begin("0123456789abcdef", true).unwrap();
        assert!(matches!(Marker::open(state.path(), &one), Err(Error::TargetBusy { .. })));
        drop(marker);

        assert!(!Previous::read(state.path(), &other).same);
        let marker = Marker::open(state.path(), &one).unwrap();
        assert!(marker.previous.same);
        marker.begin("fedcba9876543210", false).unwrap();
        drop(marker);

        let marker = Marker::open(state.path(), &one).unwrap();
        assert!(marker.previous.same, "it began in an empty directory");
        assert_eq!(marker.previous.runs, ["0123456789abcdef", "fedcba9876543210"]);
        marker.remove();
        assert_eq!(Previous::read(state.path(), &one), Previous::default());
    }

    #[test]
    fn a_restore_into_a_full_directory_is_not_continued_unasked() {
        let state = tempfile::tempdir().unwrap();
        let one = request(&format!("restore 1\n{SNAPSHOT}{}\n", SnapshotId::new([7; 32])));

        Marker::open(state.path(), &one).unwrap().begin("0123456789abcdef", false).unwrap();

        let previous = Previous::read(state.path(), &one);
        assert_eq!((previous.same, previous.snapshot), (false, Some(SnapshotId::new([7; 32]))));
    }

    #[test]
    fn a_note_that_is_no_note_says_nothing() {
        let one = request("restore 1\n");

        for text in ["", "\0\u{fffd}", "run ../../x\nrun 0123\n", "snapshot zz\n"] {
            assert_eq!(one.previous(text), Previous::default(), "{text:?}");
        }
    }
}
