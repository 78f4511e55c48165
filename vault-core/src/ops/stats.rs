//! `stats`: how much snapshots hold, what that takes in the store, and what each of them alone needs.
//!
//! Memory grows with the rows of the chunk index only, by four bytes and two bits each; a tree node that two snapshots share is read
//! twice at most, however many have it.

mod owners;
mod profile;

use std::path::PathBuf;

use crate::error::Error;
use crate::id::SnapshotId;
use crate::time::Timestamp;
use crate::vault::chunk_index::Place;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use owners::Owners;

pub use profile::{Profile, ProfileOptions, profile};

/// Room that chunks take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// How many there are.
    pub chunks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Bytes of the store: their share of the segments that they lie in, compressed and sealed.
    pub stored_bytes: u64,
}

impl Room {
    /// The room of the chunk at a place.
    fn of(place: &Place) -> Self {
        let row = &place.segment.row;
        let stored = u64::from(row.stored_bytes) * u64::from(place.length) / u64::from(row.raw_bytes.max(1));
        Self { chunks: 1, bytes: place.length.into(), stored_bytes: stored }
    }

    fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.stored_bytes += other.stored_bytes;
    }

    /// Takes away what was added before.
    fn take(&mut self, other: Self) {
        self.chunks -= other.chunks;
        self.bytes -= other.bytes;
        self.stored_bytes -= other.stored_bytes;
    }
}

/// What is known of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotStats {
    /// The snapshot.
    pub id: SnapshotId,
    /// When it began.
    pub time: Timestamp,
    /// The machine.
    pub host: String,
    /// Files in it.
    pub files: u64,
    /// Bytes in them: what a restore writes.
    pub bytes: u64,
    /// What no other snapshot of the vault needs: so much is freed if it is forgotten alone.
    pub only: Room,
}

/// What snapshots hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatsSummary {
    /// Each of them, oldest first.
    pub snapshots: Vec<SnapshotStats>,
    /// Contents of files, each chunk once.
    pub data: Room,
    /// Directories, each node once.
    pub trees: Room,
    /// Packs in the store.
    pub packs: u64,
    /// Bytes in them.
    pub pack_bytes: u64,
}

impl StatsSummary {
    /// Bytes that restoring all of them would write.
    pub fn restored_bytes(&self) -> u64 {
        self.snapshots.iter().fold(0, |sum, snapshot| sum.saturating_add(snapshot.bytes))
    }
}

/// Adds up these snapshots. All others are looked at as well, to know what only one needs.
pub fn stats(
    vault: &Vault,
    reader: &Reader,
    chosen: &[SnapshotId],
    around: &Surroundings<'_>,
) -> Result<StatsSummary, Error> {
    if let Some(unknown) = chosen.iter().find(|id| vault.state().snapshot_by_id(id).is_none()) {
        return Err(Error::NoSuchSnapshot { wanted: unknown.to_hex() });
    }
    let all = vault.state().snapshots();
    let is_chosen = |id: &SnapshotId| chosen.contains(id);
    let mut owners = Owners::new(reader, *around);
    let mut snapshots = Vec::new();
    for record in all.iter().filter(|record| is_chosen(&record.id)) {
        let body = reader.body(record)?;
        owners.add(record, &body)?;
        snapshots.push(SnapshotStats {
            id: record.id,
            time: body.begin,
            host: body.host,
            files: body.counts.files,
            bytes: body.counts.bytes,
            only: Room::default(),
        });
    }
    let (data, trees) = owners.needed();
    for record in all.iter().filter(|record| !is_chosen(&record.id) && reader.reads(record)) {
        owners.add(record, &reader.body(record)?)?;
    }
    for (snapshot, only) in snapshots.iter_mut().zip(owners.only()) {
        snapshot.only = *only;
    }
    let packs: std::collections::BTreeMap<_, _> =
        reader.chunks().packs().map(|pack| (pack.id, u64::from(pack.bytes))).collect();
    Ok(StatsSummary { snapshots, data, trees, packs: packs.len() as u64, pack_bytes: packs.values().sum() })
}

/// How many files have a size up to some limit, and above the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeClass {
    /// The greatest size in the class; `None` for the last, which has no end.
    pub up_to: Option<u64>,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What is in a directory, and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryStats {
    /// The path below the snapshot's root; empty for the root.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Bytes in them: what a restore writes.
    pub bytes: u64,
    /// Contents that stand nowhere else in the snapshot.
    pub only: Room,
}
