//! The survey: what the vault holds at one head of its log, and what of it the live snapshots need.
//!
//! A survey is complete or there is none. It can be brought up to date with snapshots that were committed since, but not with
//! packs that others condemned since: then the places that it chose may be gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind};
use crate::id::{DomainId, GrantId, IndexId, PackId, SnapshotId};
use crate::log::Snapshot;
use crate::progress::Amount;
use crate::store::{ObjectKey, ObjectKind, Store};
use crate::vault::marks::{Keys, Marks};
use crate::vault::reader::{domain_keys, following_index};

use super::Pruner;

/// What the vault holds, with marks at what is needed.
pub(in crate::ops) struct Survey {
    /// What is needed.
    pub(in crate::ops) marks: Marks,
    /// The packs that the store has, and their sizes.
    pub(in crate::ops) stored: BTreeMap<PackId, u64>,
    /// The domain of each index object that was ever in force while this run looked.
    pub(in crate::ops) domains: HashMap<IndexId, DomainId>,
    /// The keys of all domains.
    pub(in crate::ops) keys: Keys,
    /// The live snapshots that are marked.
    marked: BTreeSet<SnapshotId>,
    /// The packs that grants need, and the grants that were asked for theirs.
    pub(in crate::ops) held: BTreeSet<PackId>,
    granted: BTreeSet<GrantId>,
    /// How many packs are condemned, as far as this run knows: more are somebody else's.
    condemned: usize,
}

impl Survey {
    /// Looks at everything \[1\] and marks what is needed \[2\]. While others condemn packs, it begins again.
    pub(in crate::ops) fn take(pruner: &mut Pruner<'_>) -> Result<Self, Error> {
        for _ in 1..super::ATTEMPTS {
            let condemned = pruner.vault.state().condemned().len();
            match Self::try_take(pruner) {
                // Perhaps a pack that was to be read is gone for a good reason.
                Err(error) if error.kind() == ErrorKind::Integrity => {
                    pruner.vault.follow()?;
                    if pruner.vault.state().condemned().len() == condemned {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
        Self::try_take(pruner)
    }

    fn try_take(pruner: &mut Pruner<'_>) -> Result<Self, Error> {
        let (keys, mut chunks) = loop {
            let keys = domain_keys(pruner.vault.state(), pruner.reader.keyring())?;
            let (chunks, faults) = following_index(pruner.vault, &keys)?;
            if let Some(fault) = faults.into_iter().next() {
                return Err(fault);
            }
            // While it was read, somebody may have begun a domain.
            if pruner.vault.state().all_indexes().all(|(domain, _)| keys.contains_key(&domain)) {
                break (keys, chunks);
            }
        };
        // Listed after the log was read: what index objects in force name was stored before.
        let stored = stored_packs(pruner.vault.store())?;
        let is_lost = |pack: &&crate::vault::chunk_index::PackPlace| {
            stored.get(&pack.id).is_none_or(|bytes| *bytes != u64::from(pack.bytes))
        };
        let lost: BTreeSet<PackId> = chunks.packs().filter(is_lost).map(|pack| pack.id).collect();
        chunks.hide(&lost);
        let mut survey = Self {
            marks: Marks::new(chunks),
            stored,
            domains: pruner.vault.state().all_indexes().map(|(domain, id)| (id, domain)).collect(),
            keys,
            marked: BTreeSet::new(),
            held: BTreeSet::new(),
            granted: BTreeSet::new(),
            condemned: pruner.vault.state().condemned().len(),
        };
        survey.hold_new(pruner)?;
        survey.mark_new(pruner)?;
        Ok(survey)
    }

    /// Whether others condemned packs since, so that what was marked may be gone.
    pub(in crate::ops) fn is_outdated(&self, pruner: &Pruner<'_>) -> bool {
        pruner.vault.state().condemned().len() != self.condemned
    }

    /// Marks what new snapshots need; packs that they need are no longer planned. The vault has been followed, and the survey is
    /// not outdated.
    pub(super) fn catch_up(&mut self, pruner: &Pruner<'_>) -> Result<(), Error> {
        self.learn_indexes(pruner)?;
        self.hold_new(pruner)?;
        self.mark_new(pruner)
    }

    /// Holds the packs of every grant that holds and was not asked yet; they are no longer planned.
    fn hold_new(&mut self, pruner: &Pruner<'_>) -> Result<(), Error> {
        let now = pruner.around.clock.now().seconds;
        let holding = pruner.vault.state().grants().iter().filter(|granted| granted.holds_at(now));
        for granted in holding {
            if !self.granted.contains(&granted.grant.id) {
                self.held.extend(pruner.vault.ranges_of(granted)?.packs.iter().map(|pack| pack.pack));
                self.granted.insert(granted.grant.id);
            }
        }
        self.marks.keep(&self.held);
        Ok(())
    }

    /// Takes note of a condemn that this run has appended.
    pub(super) fn condemned(&mut self, packs: &[PackId]) {
        self.condemned += packs.len();
        self.marks.hide(&packs.iter().copied().collect());
    }

    fn learn_indexes(&mut self, pruner: &Pruner<'_>) -> Result<(), Error> {
        let state = pruner.vault.state();
        self.keys.extend(domain_keys(state, pruner.reader.keyring())?);
        self.domains.extend(state.all_indexes().map(|(domain, id)| (id, domain)));
        self.marks.extend(pruner.vault, &self.keys)
    }

    /// Marks every live snapshot that is not marked yet, the newest first.
    fn mark_new(&mut self, pruner: &Pruner<'_>) -> Result<(), Error> {
        let state = pruner.vault.state();
        let new: Vec<&Snapshot> =
            state.snapshots().iter().rev().filter(|snapshot| !self.marked.contains(&snapshot.id)).collect();
        let progress = pruner.around.progress;
        progress.expect(Amount { items: (self.marked.len() + new.len()) as u64, bytes: 0 });
        let stopping = || pruner.around.stop.requested();
        for snapshot in new {
            let missing = Error::NoSuchSnapshot { wanted: snapshot.id.to_hex() };
            let keys = self.keys.get(&snapshot.domain).ok_or(missing)?;
            self.marks
                .mark_snapshot(pruner.reader, keys, snapshot, &stopping)
                .map_err(|error| not_whole(snapshot.id, error))?;
            self.marked.insert(snapshot.id);
            progress.advance(Amount { items: 1, bytes: 0 });
        }
        Ok(())
    }
}

/// Names the snapshot whose damage forbids to delete anything.
fn not_whole(snapshot: SnapshotId, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Integrity => Error::NotWhole { snapshot, source: Box::new(error) },
        _ => error,
    }
}

fn stored_packs(store: &dyn Store) -> Result<BTreeMap<PackId, u64>, Error> {
    let mut stored = BTreeMap::new();
    store.list(ObjectKind::Pack, &mut |key, bytes| {
        if let ObjectKey::Pack(id) = key {
            stored.insert(id, bytes);
        }
        ControlFlow::Continue(())
    })?;
    Ok(stored)
}
