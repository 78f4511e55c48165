//! A marker says that a run has begun and not ended, so that a later run looks for what it left in the store.
//!
//! Each run locks a marker of its own while it lives; one that nobody holds is of a run that was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::crypto::random::Random;
use crate::error::Error;
use crate::store::Locked;

/// The marker of this run, and those that killed runs left.
pub(super) struct RunMarker {
    own: PathBuf,
    left: Vec<PathBuf>,
    _locked: Option<Locked>,
}

impl RunMarker {
    /// Sets a marker in `directory`.
    pub(super) fn set(directory: &Path, random: &dyn Random) -> Result<Self, Error> {
        crate::vault::make_private_directory(directory)?;
        let mut left = Vec::new();
        for entry in fs::read_dir(directory).map_err(Error::local("read", directory))? {
            let path = entry.map_err(Error::local("read", directory))?.path();
            // Where locks do not work, every marker counts as left: looking in vain only costs time.
            let lives = File::open(&path).is_ok_and(|file| Locked::take(file).is_none());
            if !lives {
                left.push(path);
            }
        }
        let own = directory.join(hex::encode(random.bytes::<8>()?));
        let file = File::create(&own).map_err(Error::local("write", &own))?;
        // Whether it is locked or not, the marker is there, and that is what counts.
        Ok(Self { own, left, _locked: Locked::take(file) })
    }

    /// Whether an earlier run was killed.
    pub(super) fn was_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Takes back the marker, and those of the runs whose work this one has taken over.
    pub(super) fn clear(self) -> Result<(), Error> {
        for path in self.left.iter().chain([&self.own]) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::local("delete", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    #[test]
    fn a_marker_of_a_run_that_lives_is_not_taken_for_one_that_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let random = FixedRandom::new(1);

        let first = RunMarker::set(directory.path(), &random).unwrap();
        let second = RunMarker::set(directory.path(), &random).unwrap();
        assert!(!first.was_left() && !second.was_left());
        second.clear().unwrap();
        // As if it had been killed: the lock goes with the process.
        drop(first);

        let third = RunMarker::set(directory.path(), &random).unwrap();
        assert!(third.was_left());
        third.clear().unwrap();
        assert!(!RunMarker::set(directory.path(), &random).unwrap().was_left());
    }
}
