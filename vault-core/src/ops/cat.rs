//! `cat`: the bytes of one file, or a directory as a tar archive; on request an archive of whatever it is.
//!
//! Everything that is handed on was verified first. At damage the stream ends, after all that stands before it, with an error.

mod tar;

use std::path::PathBuf;

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::id::SnapshotId;
use crate::pipeline::stream::{Receive, stream};
use crate::progress::{Amount, Phase};
use crate::vault::reader::DomainReader;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::list::find_path;

/// What to read.
#[derive(Debug, Clone)]
pub struct CatOptions {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// A file or directory below its root; empty for the root.
    pub path: PathBuf,
}

/// What was handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CatSummary {
    /// Bytes of the file, or of the archive.
    pub bytes: u64,
    /// Entries of an archive that it cannot have, each told as a notice.
    pub failed_entries: u64,
}

/// A file or directory that was found, and of which nothing has been read yet.
pub struct Cat<'r> {
    domain: DomainReader<'r>,
    entry: Entry,
}

impl<'r> Cat<'r> {
    /// Finds what is to be read; only files and directories can be.
    pub fn find(vault: &Vault, reader: &'r Reader, options: &CatOptions) -> Result<Self, Error> {
        let (domain, entry, path) = find_path(vault, reader, &options.snapshot, &options.path)?;
        match entry.kind {
            EntryKind::File { .. } | EntryKind::Directory { .. } => Ok(Self { domain, entry }),
            _ => Err(Error::NotAFile { path, snapshot: options.snapshot }),
        }
    }

    /// Whether it is a directory, of which an archive is made.
    pub fn is_archive(&self) -> bool {
        self.entry.is_directory()
    }

    /// Hands on all bytes in order.
    pub fn write(self, around: &Surroundings<'_>, receive: &mut Receive<'_>) -> Result<CatSummary, Error> {
        around.progress.phase(Phase::Restore);
        let mut summary = CatSummary::default();
        let mut counted = |bytes: &[u8]| {
            summary.bytes += bytes.len() as u64;
            around.progress.advance(Amount { items: 0, bytes: bytes.len() as u64 });
            receive(bytes)
        };
        let Self { domain, entry } = self;
        match entry.kind {
            EntryKind::File { size, contents, holes } => {
                around.progress.expect(Amount { items: 0, bytes: size });
                stream(domain, around.stop, |planner| planner.file(contents, holes), &mut counted)?;
            }
            _ => summary.failed_entries = tar::write(domain, &entry, around, &mut counted)?,
        }
        Ok(summary)
    }

    /// Hands on an archive, which has a file alone under its name.
    pub fn write_archive(
        self,
        around: &Surroundings<'_>,
        receive: &mut Receive<'_>,
    ) -> Result<CatSummary, Error> {
        around.progress.phase(Phase::Restore);
        let mut bytes = 0;
        let mut counted = |part: &[u8]| {
            bytes += part.len() as u64;
            around.progress.advance(Amount { items: 0, bytes: part.len() as u64 });
            receive(part)
        };
        let failed_entries = tar::write(self.domain, &self.entry, around, &mut counted)?;
        Ok(CatSummary { bytes, failed_entries })
    }
}
