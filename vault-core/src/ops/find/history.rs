//! The versions of each path that was found, in the order of the snapshots.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::search::Hit;
use super::{FoundPath, Version};
use crate::id::SnapshotId;
use crate::pipeline::os_str;

/// Versions of all paths together that are kept, at about 300 bytes each.
const VERSIONS_MAX: usize = 1_000_000;

/// A version, and the digest that tells it from others.
type Known = ([u8; 16], Version);

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Machines and roots, in the order in which they first came.
    places: Vec<(String, Vec<u8>)>,
    /// By place and path.
    paths: BTreeMap<(usize, PathBuf), Vec<Known>>,
    place: usize,
    snapshot: Option<SnapshotId>,
    snapshots: u64,
    versions: usize,
}

impl History {
    /// Whether something could not be kept.
    pub(super) fn is_full(&self) -> bool {
        self.versions >= VERSIONS_MAX
    }

    /// Begins a snapshot of this machine and root.
    pub(super) fn begin(&mut self, id: SnapshotId, (host, root): (&str, &[u8])) {
        let known = self.places.iter().position(|(h, r)| h == host && r == root);
        self.place = known.unwrap_or_else(|| {
            self.places.push((host.to_owned(), root.to_vec()));
            self.places.len() - 1
        });
        self.snapshot = Some(id);
        self.snapshots += 1;
    }

    /// Adds something that the snapshot has.
    pub(super) fn add(&mut self, path: &Path, hit: &Hit) {
        let Some(id) = self.snapshot.filter(|_| !self.is_full()) else { return };
        let versions = self.paths.entry((self.place, path.to_owned())).or_default();
        if let Some((_, version)) = versions.iter_mut().rev().find(|(digest, _)| *digest == hit.digest) {
            version.last = id;
            version.count += 1;
            return;
        }
        self.versions += 1;
        let Hit { kind, size, mtime, .. } = *hit;
        versions.push((hit.digest, Version { kind, size, mtime, first: id, last: id, count: 1 }));
    }

    /// The paths with their versions, and how many snapshots there were.
    pub(super) fn finish(self) -> (Vec<FoundPath>, u64) {
        let places = self.places;
        let found = self.paths.into_iter().map(|((place, path), versions)| FoundPath {
            host: places[place].0.clone(),
            root: PathBuf::from(os_str(&places[place].1)),
            path,
            versions: versions.into_iter().map(|(_, version)| version).collect(),
        });
        (found.collect(), self.snapshots)
    }
}
