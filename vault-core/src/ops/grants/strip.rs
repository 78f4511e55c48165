//! The tree of a grant: what is shared, rewritten without everything that it does not need.
//!
//! Of an entry stay its name, what it is, its permissions without setuid and the like, its time and its contents; owners, attributes and
//! device files do not, of which the latter are told. Nothing recurses, and memory is bounded by the directories on the way to the one at hand.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::chunk::compress::Compressor;
use crate::crypto::hash::chunk_hash;
use crate::error::Error;
use crate::format::commit::CommitCounts;
use crate::format::table::SegmentKind;
use crate::format::tree::{Contents, Entry, EntryKind, Metadata, store_directory};
use crate::id::ChunkHash;
use crate::pipeline::sink::Sink;
use crate::progress::{Amount, Notice, Severity};
use crate::surroundings::Surroundings;
use crate::vault::packer::Packer;
use crate::vault::reader::DomainReader;
use crate::vault::tree::Entries;

use super::segments::Wanted;

/// The permissions that are given.
const MODE: u32 = 0o777;

/// Stores what is the grant's own.
pub(super) struct Writer<'w> {
    pub(super) sink: &'w Sink<'w>,
    pub(super) packer: &'w Packer<'w>,
    pub(super) compressor: Compressor,
}

impl Writer<'_> {
    /// Stores a chunk, and returns its hash.
    pub(super) fn store(&mut self, kind: SegmentKind, chunk: &[u8]) -> Result<ChunkHash, Error> {
        let h = chunk_hash(chunk);
        self.sink.store_chunk(0, (kind, &h, chunk), &mut self.compressor, self.packer)?;
        Ok(h)
    }

    /// Seals what is gathered.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush(0, &mut self.compressor, self.packer)
    }
}

/// What came of a tree.
pub(super) struct Stripped {
    /// The root, without a name.
    pub(super) root: Entry,
    /// How much is in it.
    pub(super) counts: CommitCounts,
    /// The chunks of its files, with repetitions.
    pub(super) wanted: Wanted,
}

/// A directory that is being rewritten.
struct Open<'r> {
    name: Vec<u8>,
    metadata: Metadata,
    entries: Entries<'r>,
    /// What is finished of it, encoded.
    done: Vec<Vec<u8>>,
}

struct Strip<'s, 'w> {
    domain: DomainReader<'s>,
    writer: &'s mut Writer<'w>,
    around: &'s Surroundings<'s>,
    counts: CommitCounts,
    wanted: Wanted,
    /// Numbers of groups of hard links, in the order in which they come: the ones of the vault are made of numbers of the disk.
    groups: HashMap<u64, u64>,
}

/// Rewrites what `entry` is: a directory becomes the root; anything else stands in a root of its own.
pub(super) fn strip(
    domain: DomainReader<'_>,
    entry: Entry,
    writer: &mut Writer<'_>,
    around: &Surroundings<'_>,
) -> Result<Stripped, Error> {
    let counts = CommitCounts::default();
    let mut strip =
        Strip { domain, writer, around, counts, wanted: Wanted::default(), groups: HashMap::new() };
    let root = match entry.kind {
        EntryKind::Directory { subtree } => strip.tree(&entry.metadata, &subtree)?,
        _ => strip.alone(entry)?,
    };
    Ok(Stripped { root, counts: strip.counts, wanted: strip.wanted })
}

impl<'s> Strip<'s, '_> {
    fn alone(&mut self, entry: Entry) -> Result<Entry, Error> {
        let metadata = Metadata { mode: 0o755, mtime: entry.metadata.mtime, ..Metadata::default() };
        let name = PathBuf::from(OsString::from_vec(entry.name.clone()));
        let done: Vec<Vec<u8>> = self.entry(entry)?.into_iter().collect();
        if done.is_empty() {
            self.tell_left_out(&name);
        }
        self.directory(Vec::new(), &metadata, &done)
    }

    fn tree(&mut self, metadata: &Metadata, subtree: &ChunkHash) -> Result<Entry, Error> {
        let mut open = vec![self.open(Vec::new(), metadata.clone(), subtree)];
        loop {
            if self.around.stop.requested() {
                return Err(Error::Interrupted);
            }
            let Some(directory) = open.last_mut() else { return Err(Error::WorkerLost) };
            if let Some(entry) = directory.entries.next().transpose()? {
                if let EntryKind::Directory { subtree } = entry.kind {
                    let below = self.open(entry.name, entry.metadata, &subtree);
                    open.push(below);
                    continue;
                }
                let name = entry.name.clone();
                match self.entry(entry)? {
                    Some(done) => directory.done.push(done),
                    None => self.tell_left_out(&path_to(&open, &name)),
                }
                continue;
            }
            let Some(Open { name, metadata, done, .. }) = open.pop() else { return Err(Error::WorkerLost) };
            let finished = self.directory(name, &metadata, &done)?;
            match open.last_mut() {
                Some(parent) => parent.done.push(finished.encode()?),
                None => return Ok(finished),
            }
        }
    }

    fn open(&self, name: Vec<u8>, metadata: Metadata, subtree: &ChunkHash) -> Open<'s> {
        Open { name, metadata, entries: self.domain.entries(subtree), done: Vec::new() }
    }

    /// The entry of something that is no directory; `None` for what is not given away.
    fn entry(&mut self, entry: Entry) -> Result<Option<Vec<u8>>, Error> {
        let kind = match entry.kind {
            EntryKind::File { size, contents, holes } => {
                self.counts.files += 1;
                self.counts.bytes += size;
                EntryKind::File { size, contents: self.contents(contents)?, holes }
            }
            EntryKind::Symlink { target } => {
                self.counts.others += 1;
                EntryKind::Symlink { target }
            }
            _ => return Ok(None),
        };
        let next = self.groups.len() as u64 + 1;
        let link_group = entry.link_group.map(|group| *self.groups.entry(group).or_insert(next));
        let given = Entry {
            name: entry.name,
            kind,
            metadata: stripped(&entry.metadata),
            link_group,
            changed_while_read: entry.changed_while_read,
        };
        self.around.progress.advance(Amount { items: 1, bytes: 0 });
        Ok(Some(given.encode()?))
    }

    fn tell_left_out(&self, subject: &Path) {
        let message = "is not given: only folders, files and symbolic links are";
        self.around.progress.notice(&Notice { severity: Severity::Note, subject, message });
    }

    /// Takes note of a file's chunks; the parts of a long list are stored as they are.
    fn contents(&mut self, contents: Contents) -> Result<Contents, Error> {
        if let Contents::Lists(lists) = &contents {
            for list in lists {
                self.writer.store(SegmentKind::Tree, &self.domain.chunk(&list.h)?)?;
            }
        }
        let (domain, wanted) = (self.domain, &mut self.wanted);
        domain.for_each_chunk(&contents, &mut |chunk| {
            wanted.add(domain.place(&chunk.h)?, chunk.h);
            Ok(())
        })?;
        Ok(contents)
    }

    /// Stores a directory's nodes.
    fn directory(&mut self, name: Vec<u8>, metadata: &Metadata, encoded: &[Vec<u8>]) -> Result<Entry, Error> {
        self.counts.directories += 1;
        let subtree = store_directory(encoded, |node| self.writer.store(SegmentKind::Tree, node))?;
        Ok(Entry {
            name,
            kind: EntryKind::Directory { subtree },
            metadata: stripped(metadata),
            link_group: None,
            changed_while_read: false,
        })
    }
}

/// The path of an entry below the root that is shared.
fn path_to(open: &[Open<'_>], name: &[u8]) -> PathBuf {
    let names = open.iter().map(|directory| &directory.name[..]).chain([name]);
    names.filter(|name| !name.is_empty()).map(OsStr::from_bytes).collect()
}

/// What is given of the metadata.
fn stripped(metadata: &Metadata) -> Metadata {
    Metadata { mode: metadata.mode & MODE, mtime: metadata.mtime, ..Metadata::default() }
}
