//! The calls to the operating system that change something, behind a trait, so that tests can let each of them fail.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Advice, CWD, RenameFlags, fadvise, renameat_with};
use rustix::io::Errno;

/// What changes files and directories.
pub(crate) trait Files: Send + Sync + 'static {
    /// Makes a file for its owner only that must not exist.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all bytes.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Has the system begin to write bytes of a file to the disk. Only a hint: [`Self::sync`] says when they are there.
    fn begin_sync(&self, file: &File, range: Range<u64>);
    /// Flushes a file to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Renames a file, unless the new name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file in the place of another.
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a directory for its owner only, unless it is there.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Flushes the entries of a directory to the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System;

impl Files for System {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn begin_sync(&self, file: &File, range: Range<u64>) {
        // Linux takes it as the wish to write dirty pages, and drops only those that are clean: what was just written stays.
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        let _ = fadvise(file, range.start, length, Advice::DontNeed);
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system has no such thing. A second name is refused as well if it is taken.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            result => Ok(result?),
        }
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Files whose n-th operation fails.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// Counts down; the operation that comes to 0 fails, those before and after do not.
    #[derive(Clone)]
    pub(crate) struct Faulty {
        pub(crate) left: Arc<AtomicI64>,
        pub(crate) error: Errno,
    }

    impl Faulty {
        fn count(&self) -> io::Result<()> {
            if self.left.fetch_sub(1, Ordering::SeqCst) == 1 { Err(self.error.into()) } else { Ok(()) }
        }
    }

    impl Files for Faulty {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.count()?;
            System.create(path)
        }

        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            // A write that fails leaves a part.
            self.count().inspect_err(|_| System.write(file, &bytes[..bytes.len() / 2]).unwrap())?;
            System.write(file, bytes)
        }

        fn begin_sync(&self, file: &File, range: Range<u64>) {
            System.begin_sync(file, range);
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.count()?;
            System.sync(file)
        }

        fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.count()?;
            System.rename_new(from, to)
        }

        fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.count()?;
            System.rename_over(from, to)
        }

        fn make_directory(&self, path: &Path) -> io::Result<()> {
            self.count()?;
            System.make_directory(path)
        }

        fn sync_directory(&self, path: &Path) -> io::Result<()> {
            self.count()?;
            System.sync_directory(path)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.count()?;
            System.remove(path)
        }
    }
}
