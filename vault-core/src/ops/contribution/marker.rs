//! A marker says that a run has begun and not ended, and holds the ids of the packs that it has stored, so that a later run takes
//! these over.
//!
//! Each run locks a marker of its own while it lives; one that nobody holds is of a run that was killed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::crypto::random::Random;
use crate::error::Error;
use crate::id::PackId;
use crate::store::Locked;

/// The marker of this run, and those that killed runs left.
pub(super) struct RunMarker {
    own: PathBuf,
    left: Vec<PathBuf>,
    _locked: Option<Locked>,
}

impl RunMarker {
    /// Sets a marker in `directory`; in the file that is returned beside it the run notes the ids of its packs.
    pub(super) fn set(directory: &Path, random: &dyn Random) -> Result<(Self, File), Error> {
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
        let create = || File::create(&own).and_then(|file| Ok((file.try_clone()?, file)));
        let (notes, file) = create().map_err(Error::local("write", &own))?;
        // Whether it is locked or not, the marker is there, and that is what counts.
        Ok((Self { own, left, _locked: Locked::take(file) }, notes))
    }

    /// The packs that runs which were killed had stored, or were about to.
    pub(super) fn left_packs(&self) -> Result<BTreeSet<PackId>, Error> {
        let mut packs = BTreeSet::new();
        for path in &self.left {
            match fs::read(path) {
                // A note that was not written to its end is none.
                Ok(notes) => packs.extend(notes.chunks_exact(PackId::LEN).filter_map(PackId::from_slice)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::local("read", path)(error)),
            }
        }
        Ok(packs)
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
    use std::io::Write;

    use super::*;
    use crate::crypto::random::FixedRandom;

    #[test]
    fn what_a_run_noted_is_told_once_it_is_killed_and_not_while_it_lives() {
        let directory = tempfile::tempdir().unwrap();
        let random = FixedRandom::new(1);

        let (first, mut notes) = RunMarker::set(directory.path(), &random).unwrap();
        // The second note was not written to its end.
        notes.write_all(&[7; 32 + 5]).unwrap();
        let (second, _) = RunMarker::set(directory.path(), &random).unwrap();
        assert!(second.left_packs().unwrap().is_empty());
        second.clear().unwrap();
        // As if it had been killed: the lock goes with the process.
        drop((first, notes));

        let (third, _) = RunMarker::set(directory.path(), &random).unwrap();
        assert_eq!(third.left_packs().unwrap(), [PackId::new([7; 32])].into());
        third.clear().unwrap();
        let (fourth, _) = RunMarker::set(directory.path(), &random).unwrap();
        assert!(fourth.left_packs().unwrap().is_empty());
    }
}
