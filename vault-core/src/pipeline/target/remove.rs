//! Removes from a target what a snapshot does not have.
//!
//! No symlink is followed, no other file system entered, and nothing touched that is protected or not chosen. Nothing recurses: a
//! tree that is to go may be as deep as it likes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use super::super::attributes::file_type;
use super::super::choose::{Choice, Chosen};
use super::super::os_str;
use super::{look, names, open_directory, open_found};

/// What may be removed.
#[derive(Debug)]
pub struct Removal<'a> {
    /// What the user chose; what is not chosen stays.
    pub choice: &'a Choice,
    /// Whether what is not chosen goes as well.
    pub unchosen_too: bool,
    /// Device and inode of what always stays.
    pub protected: &'a [(u64, u64)],
    /// Whether it is only told what would go.
    pub dry_run: bool,
}

/// What became of one entry.
#[derive(Debug)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// It stays because it is protected.
    Protected,
    /// It could not be removed.
    Failed(io::Error),
}

/// A directory that is being emptied.
struct Frame {
    fd: OwnedFd,
    name: Vec<u8>,
    path: PathBuf,
    names: std::vec::IntoIter<Vec<u8>>,
    inside: bool,
    /// Whether it goes itself: it is chosen, and everything in it is gone.
    goes: bool,
}

/// What is to be done about one entry.
enum Visit {
    /// Nothing stands there any more.
    Nothing,
    /// It stays, and the directories above with it; told unless the user chose so.
    Stays(Option<Removed>),
    /// It is gone.
    Gone,
    /// It is a directory: what is in it comes first.
    Enter(Frame),
}

impl Removal<'_> {
    /// Removes what stands at a name in `directory`, with everything below it. `path` is its path below the target, and `inside`
    /// says whether its directory is chosen.
    ///
    /// `each` hears what became of every entry that was to go.
    pub fn remove(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        (path, inside): (&Path, bool),
        each: &mut dyn FnMut(&Path, Removed),
    ) {
        let mut open: Vec<Frame> = Vec::new();
        let mut visit = self.visit(directory, name, (path, inside));
        let mut path = path.to_owned();
        loop {
            match visit {
                Ok(Visit::Nothing) => {}
                Ok(Visit::Gone) => each(&path, Removed::Gone),
                Ok(Visit::Enter(frame)) => open.push(frame),
                Ok(Visit::Stays(outcome)) => {
                    outcome.into_iter().for_each(|outcome| each(&path, outcome));
                    keep(&mut open);
                }
                Err(error) => {
                    each(&path, Removed::Failed(error));
                    keep(&mut open);
                }
            }
            let Some(frame) = open.last_mut() else { return };
            if let Some(name) = frame.names.next() {
                path = frame.path.join(os_str(&name));
                visit = self.visit(frame.fd.as_fd(), &name, (&path, frame.inside));
                continue;
            }
            let Some(frame) = open.pop() else { return };
            let above = open.last().map_or(directory, |above| above.fd.as_fd());
            visit = if frame.goes {
                self.unlink(above, &frame.name, AtFlags::REMOVEDIR)
            } else {
                Ok(Visit::Stays(None))
            };
            path = frame.path;
        }
    }

    fn unlink(&self, directory: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> io::Result<Visit> {
        if !self.dry_run {
            rustix::fs::unlinkat(directory, name, flags)?;
        }
        Ok(Visit::Gone)
    }

    /// Removes one entry that is no directory, or opens one that is.
    fn visit(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        (path, inside): (&Path, bool),
    ) -> io::Result<Visit> {
        let Some(stat) = look(directory, name)? else { return Ok(Visit::Nothing) };
        let is_directory = file_type(&stat) == FileType::Directory;
        let chosen = self.choice.of(path, is_directory, inside);
        if chosen == Chosen::Out && !self.unchosen_too {
            return Ok(Visit::Stays(None));
        }
        if self.protected.contains(&(stat.st_dev, stat.st_ino)) {
            return Ok(Visit::Stays(Some(Removed::Protected)));
        }
        if !is_directory {
            return self.unlink(directory, name, AtFlags::empty());
        }
        if stat.st_dev != rustix::fs::fstat(directory)?.st_dev {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let fd = if self.dry_run { open_directory(directory, name)? } else { open_found(directory, name)?.0 };
        Ok(Visit::Enter(Frame {
            names: names(fd.as_fd())?.into_iter(),
            fd,
            name: name.to_vec(),
            path: path.to_owned(),
            inside: chosen == Chosen::In,
            goes: chosen == Chosen::In || self.unchosen_too,
        }))
    }
}

/// Something in the innermost directory stays, so it stays too.
fn keep(open: &mut [Frame]) {
    if let Some(above) = open.last_mut() {
        above.goes = false;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("gone/a/b")).unwrap();
        fs::create_dir_all(tree.path().join("gone/c")).unwrap();
        for name in ["gone/a/b/1", "gone/a/2.log", "gone/c/3", "stays"] {
            fs::write(tree.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(tree.path().join("stays"), tree.path().join("gone/c/link")).unwrap();
        tree
    }

    fn remove(tree: &tempfile::TempDir, removal: &Removal<'_>) -> Vec<String> {
        let root = super::super::open_root(tree.path()).unwrap();
        let mut told = Vec::new();
        removal.remove(root.as_fd(), b"gone", (Path::new("gone"), true), &mut |path, removed| {
            told.push(format!("{} {removed:?}", path.display()));
        });
        told
    }

    #[test]
    fn a_tree_goes_with_all_that_is_in_it_and_nothing_else() {
        let tree = tree();
        let everything = Choice::everything();
        let removal = Removal { choice: &everything, unchosen_too: false, protected: &[], dry_run: false };

        let told = remove(&tree, &removal);

        assert_eq!(told.len(), 8, "{told:?}");
        assert!(!tree.path().join("gone").exists() && tree.path().join("stays").exists());
    }

    #[test]
    fn a_dry_run_tells_the_same_and_removes_nothing() {
        let tree = tree();
        let everything = Choice::everything();
        let dry = Removal { choice: &everything, unchosen_too: false, protected: &[], dry_run: true };

        let told = remove(&tree, &dry);

        assert!(tree.path().join("gone/a/b/1").exists());
        assert_eq!(told, remove(&tree, &Removal { dry_run: false, ..dry }));
    }

    #[test]
    fn what_is_not_chosen_stays_with_the_directories_above_it() {
        let tree = tree();
        let choice = Choice::new(&[], &["*.log".to_owned()], Path::new("/")).unwrap();
        let removal = Removal { choice: &choice, unchosen_too: false, protected: &[], dry_run: false };

        remove(&tree, &removal);

        assert!(tree.path().join("gone/a/2.log").exists());
        assert!(!tree.path().join("gone/a/b").exists() && !tree.path().join("gone/c").exists());

        remove(&tree, &Removal { unchosen_too: true, ..removal });
        assert!(!tree.path().join("gone").exists());
    }

    #[test]
    fn what_is_protected_stays() {
        let tree = tree();
        let metadata = tree.path().join("gone/a/b").metadata().unwrap();
        let everything = Choice::everything();
        let protected = [(metadata.dev(), metadata.ino())];
        let removal =
            Removal { choice: &everything, unchosen_too: true, protected: &protected, dry_run: false };

        let told = remove(&tree, &removal);

        assert!(tree.path().join("gone/a/b/1").exists() && !tree.path().join("gone/c").exists());
        assert!(told.contains(&"gone/a/b Protected".to_owned()), "{told:?}");
    }

    #[test]
    fn a_tree_of_any_depth_goes() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("gone").join("d/".repeat(900))).unwrap();
        let everything = Choice::everything();
        let removal = Removal { choice: &everything, unchosen_too: false, protected: &[], dry_run: false };
        crate::pipeline::limits::raise_open_files();

        let told = remove(&tree, &removal);

        assert_eq!(told.len(), 901);
        assert!(!tree.path().join("gone").exists());
    }
}
