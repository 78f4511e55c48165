//! `copy`: brings snapshots from one vault into another.
//!
//! A tree names its chunks by their hashes, so a copied tree is the same, node by node; only the places and keys of the chunks are the
//! other vault's own. Every chunk is verified when it is read and stored only where the other vault lacks it. As with a backup, the
//! snapshot is appended when everything it needs is in the store, and not if something that it relies on was condemned meanwhile; and
//! what a copy that did not end has stored is taken over by the next run.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::chunk::compress::Level;
use crate::error::Error;
use crate::format::commit::{CommitBody, CommitCounts};
use crate::id::SnapshotId;
use crate::keys::device::DeviceKeys;
use crate::pipeline::transfer;
use crate::progress::{Notice, Phase, Severity};
use crate::time::Timestamp;
use crate::vault::reader::DomainReader;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::contribution::{Commitment, Contribution, ROUNDS_MAX};
use super::snapshots::tags_as_far_as_known;

/// What to copy, and how.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// The snapshots; each is copied unless the other vault has it.
    pub snapshots: Vec<SnapshotId>,
    /// How hard to compress.
    pub level: Level,
}

/// What became of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The snapshot in the vault it was copied from.
    pub from: SnapshotId,
    /// The snapshot in the other vault.
    pub to: SnapshotId,
    /// Whether it was there already.
    pub was_there: bool,
    /// Bytes of chunks that the other vault did not have.
    pub added_bytes: u64,
    /// Bytes that its store grew by.
    pub stored_bytes: u64,
}

/// Copies snapshots, in the order given. `from_reader` reads what is copied, `to_reader` what the other vault has.
pub fn copy(
    (from, from_reader): (&Vault, &Reader),
    (to, to_reader): (&mut Vault, &Reader),
    device: &DeviceKeys,
    options: &CopyOptions,
    around: &Surroundings<'_>,
) -> Result<Vec<Copied>, Error> {
    around.progress.phase(Phase::Copy);
    let wanted = options.snapshots.iter().map(|id| Wanted::open(from, from_reader, id, around));
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    let mut there = There::default();
    there.look(to, to_reader)?;
    let found: Vec<_> = wanted.iter().map(|wanted| there.find(to, wanted)).collect();
    if found.iter().all(Option::is_some) {
        let both = wanted.iter().zip(found.into_iter().flatten());
        return Ok(both.map(|(wanted, to)| Copied::was_there(wanted, to)).collect());
    }
    let mut contribution = Contribution::begin(to, device, around)?;
    let mut copied = Vec::new();
    for wanted in &wanted {
        // Among what others may have appended meanwhile are the snapshots that this run has copied.
        there.look(&contribution.vault(), to_reader)?;
        let found = there.find(&contribution.vault(), wanted);
        copied.push(match found {
            Some(to) => Copied::was_there(wanted, to),
            None => wanted.copy(&mut contribution, options.level, around)?,
        });
    }
    contribution.end()?;
    Ok(copied)
}

impl Copied {
    fn was_there(wanted: &Wanted<'_>, to: SnapshotId) -> Self {
        Self { from: wanted.id, to, was_there: true, added_bytes: 0, stored_bytes: 0 }
    }
}

/// One snapshot that is to be copied.
struct Wanted<'r> {
    id: SnapshotId,
    domain: DomainReader<'r>,
    /// With the tags that are in force.
    body: CommitBody,
    contents: Contents,
    partial: bool,
}

impl<'r> Wanted<'r> {
    fn open(
        vault: &Vault,
        reader: &'r Reader,
        id: &SnapshotId,
        around: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        let missing = || Error::NoSuchSnapshot { wanted: id.to_hex() };
        let snapshot = vault.state().snapshot_by_id(id).ok_or_else(missing)?;
        let body = reader.body(snapshot)?;
        let (tags, known) = tags_as_far_as_known(reader, snapshot, &body)?;
        let body = CommitBody { tags, ..body };
        if !known {
            let message = "its newer tags are damaged: it is copied with those that it was made with";
            let subject = id.short();
            let severity = Severity::Note;
            around.progress.notice(&Notice { severity, subject: Path::new(&subject), message });
        }
        let (domain, contents) = (reader.domain(snapshot)?, Contents::of(&body)?);
        Ok(Self { id: *id, domain, body, contents, partial: snapshot.commit.partial })
    }

    /// Stores what the snapshot needs and appends it; once more as long as others condemn what it relies on.
    fn copy(
        &self,
        contribution: &mut Contribution<'_>,
        level: Level,
        around: &Surroundings<'_>,
    ) -> Result<Copied, Error> {
        for _ in 0..ROUNDS_MAX {
            let sink = contribution.sink(level, transfer::threads(), around);
            transfer::transfer((self.domain, &self.body.root), &sink, around)?;
            let (added_bytes, stored_bytes) = (sink.added_bytes(), sink.stored_bytes());
            let counts = CommitCounts { added_bytes, stored_bytes, ..self.body.counts };
            let body = CommitBody { counts, ..self.body.clone() };
            let commitment = Commitment { body, partial: self.partial, replaces: Vec::new() };
            if let Some(to) = contribution.commit(commitment, around)? {
                return Ok(Copied { from: self.id, to, was_there: false, added_bytes, stored_bytes });
            }
            contribution.renew(around)?;
        }
        Err(Error::Contended { attempts: ROUNDS_MAX as u32 })
    }
}

/// The snapshots that the other vault has, by what they hold. Each is opened once.
#[derive(Default)]
struct There {
    seen: HashSet<SnapshotId>,
    by_contents: HashMap<Contents, Vec<SnapshotId>>,
}

/// What makes two snapshots the same: the tree, with the machine, paths and time of it.
#[derive(PartialEq, Eq, Hash)]
struct Contents {
    root: Vec<u8>,
    begin: Timestamp,
    host: String,
    paths: Vec<Vec<u8>>,
}

impl There {
    /// Takes in the snapshots that were not there when it looked last.
    fn look(&mut self, vault: &Vault, reader: &Reader) -> Result<(), Error> {
        for snapshot in vault.state().snapshots() {
            if reader.reads(snapshot) && self.seen.insert(snapshot.id) {
                let contents = Contents::of(&reader.body(snapshot)?)?;
                self.by_contents.entry(contents).or_default().push(snapshot.id);
            }
        }
        Ok(())
    }

    /// The first live snapshot of the vault that holds what is wanted.
    fn find(&self, vault: &Vault, wanted: &Wanted<'_>) -> Option<SnapshotId> {
        let is_live = |id: &&SnapshotId| vault.state().snapshot_by_id(id).is_some();
        self.by_contents.get(&wanted.contents)?.iter().find(is_live).copied()
    }
}

impl Contents {
    fn of(body: &CommitBody) -> Result<Self, Error> {
        Ok(Self {
            root: body.root.encode()?,
            begin: body.begin,
            host: body.host.clone(),
            paths: body.paths.clone(),
        })
    }
}
