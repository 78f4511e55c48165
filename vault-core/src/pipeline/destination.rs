//! A destination of a backup: the sink of the vault that takes it, what earlier runs remember of it, and what was counted.
//!
//! A backup reads its source once for all destinations. Each has its own keys, so its own cuts, chunks and packs; and its own
//! failure, which ends the backup into it and no other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chunk::cut::Cutter;
use crate::error::Error;
use crate::format::tree::{Contents, Entry, EntryKind};
use crate::vault::stat_cache::{StatCache, StatCacheWriter};

use super::sink::Sink;

/// What a backup into one vault works with, beside the sink.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Cuts files into chunks.
    pub cutter: &'a Cutter,
    /// What earlier runs remember, the latest first.
    pub remembered: &'a [StatCache],
    /// How far to rely on what they remember.
    pub trust: Trust,
    /// What this run remembers.
    pub remember: &'a StatCacheWriter,
}

/// How far to rely on what earlier runs remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The vault holds all that the remembered snapshot needs.
    Fully,
    /// Something may be gone from the vault: an entry counts as unchanged only if each of its chunks is there.
    Checked,
}

/// One vault that takes the backup.
pub struct Destination<'a> {
    /// Where its chunks go; a failure of the sink is the destination's.
    pub sink: Sink<'a>,
    /// What it works with.
    pub parts: Parts<'a>,
    /// What was found and done.
    pub counts: Counts,
    /// The snapshot's root, once everything below it is finished.
    pub root: OnceLock<Entry>,
}

impl<'a> Destination<'a> {
    /// A destination at rest.
    pub fn new(sink: Sink<'a>, parts: Parts<'a>) -> Self {
        Self { sink, parts, counts: Counts::default(), root: OnceLock::new() }
    }

    /// Whether the backup into it has ended early.
    pub fn failed(&self) -> bool {
        self.sink.failed()
    }

    /// Ends the backup into it.
    pub fn fail(&self, error: Error) {
        self.sink.fail(error);
    }

    /// Whether the vault holds all that a remembered entry needs.
    pub fn holds(&self, encoded: &[u8]) -> Result<bool, Error> {
        if self.parts.trust == Trust::Fully {
            return Ok(true);
        }
        let Ok(entry) = Entry::decode(encoded) else { return Ok(false) };
        match &entry.kind {
            EntryKind::File { contents: Contents::Chunks(chunks), .. } => {
                for chunk in chunks {
                    if !self.sink.holds(&chunk.h)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            // Which chunks such a file has stands in nodes that this device cannot read.
            EntryKind::File { contents: Contents::Lists(_), .. } => Ok(false),
            _ => Ok(true),
        }
    }

    /// The counts so far.
    pub fn summary(&self) -> BackupCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        BackupCounts {
            files: read(&counts.files),
            directories: read(&counts.directories),
            others: read(&counts.others),
            bytes: read(&counts.bytes),
            new_entries: read(&counts.new_entries),
            changed_entries: read(&counts.changed_entries),
            unchanged_entries: read(&counts.unchanged_entries),
            failed_entries: read(&counts.failed_entries),
            skipped_entries: read(&counts.skipped_entries),
            read_bytes: read(&counts.read_bytes),
            added_bytes: self.sink.added_bytes(),
            stored_bytes: self.sink.stored_bytes(),
        }
    }
}

/// Counts of a backup. Entries are files, directories, links and special files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupCounts {
    /// Files in the snapshot.
    pub files: u64,
    /// Directories in the snapshot.
    pub directories: u64,
    /// Links and special files in the snapshot.
    pub others: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Entries that the previous backup of these paths did not have.
    pub new_entries: u64,
    /// Entries that differ from the previous backup.
    pub changed_entries: u64,
    /// Entries that are as in the previous backup.
    pub unchanged_entries: u64,
    /// Entries left out because of an error.
    pub failed_entries: u64,
    /// Sockets and others left out by rule.
    pub skipped_entries: u64,
    /// Bytes that were read from files.
    pub read_bytes: u64,
    /// Bytes of chunks that the vault did not have, before compression.
    pub added_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// Counts that several threads raise; those of bytes stored are the sink's.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files in the snapshot.
    pub files: AtomicU64,
    /// Directories in the snapshot.
    pub directories: AtomicU64,
    /// Links and special files in the snapshot.
    pub others: AtomicU64,
    /// Bytes in those files.
    pub bytes: AtomicU64,
    /// Entries the last backup did not have.
    pub new_entries: AtomicU64,
    /// Entries that differ from the last backup.
    pub changed_entries: AtomicU64,
    /// Entries as in the last backup.
    pub unchanged_entries: AtomicU64,
    /// Entries that could not be read.
    pub failed_entries: AtomicU64,
    /// Entries left out by rule.
    pub skipped_entries: AtomicU64,
    /// Bytes read.
    pub read_bytes: AtomicU64,
}

/// Adds to a count; the order among threads does not matter, only the sum.
pub fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
