//! `tag`: gives snapshots other tags.
//!
//! A commit is never changed: an annotation says what its tags are from now on.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::format::annotation::AnnotationBody;
use crate::format::seal::Origin;
use crate::id::{SessionId, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::log::{self, Annotate, Body, Snapshot, State};
use crate::vault::session::seal_body;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::snapshots::{check_right, tags_as_far_as_known};

/// How tags are changed: first all are set, then some added, then some removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagChange {
    /// The tags that stand in the place of all; `None` to begin with those in force.
    pub set: Option<Vec<String>>,
    /// Tags that are added, unless they are there.
    pub add: Vec<String>,
    /// Tags that are removed, if they are there.
    pub remove: Vec<String>,
}

/// A snapshot and the tags in force after the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether they were others before.
    pub changed: bool,
}

impl TagChange {
    /// The tags that come of those in force: without repetitions, in the order in which they came.
    fn apply(&self, in_force: Vec<String>) -> Vec<String> {
        let first = self.set.clone().unwrap_or(in_force);
        let mut seen = BTreeSet::new();
        first
            .into_iter()
            .chain(self.add.iter().cloned())
            .filter(|tag| !self.remove.contains(tag) && seen.insert(tag.clone()))
            .collect()
    }
}

/// Changes the tags of some snapshots; those that have the right ones already are left alone.
///
/// Where the annotation in force is damaged, the commit's tags are changed, and take its place.
pub fn tag(
    vault: &mut Vault,
    (reader, device): (&Reader, &DeviceKeys),
    snapshots: &[SnapshotId],
    change: &TagChange,
    around: &Surroundings<'_>,
) -> Result<Vec<Tagged>, Error> {
    for id in snapshots {
        check_right(vault.state(), device, &live(vault.state(), id)?.domain)?;
    }
    let mut tagged = Vec::new();
    for &snapshot in snapshots {
        let (in_force, sound) = tags_of(reader, live(vault.state(), &snapshot)?)?;
        let tags = change.apply(in_force.clone());
        let changed = !sound || tags != in_force;
        if changed {
            vault.append(&|state| {
                // Whoever came first may have tagged it too: the change is made to what is in force then.
                let snapshot = live(state, &snapshot)?;
                let tags = change.apply(tags_of(reader, snapshot)?.0);
                let body = Body::Annotate(annotate(state, reader, (snapshot, tags), around)?);
                let payload = state.draft(device.device_id(), around.clock.now(), body);
                Ok(log::sign(&payload, device.signing())?)
            })?;
        }
        tagged.push(Tagged { snapshot, tags, changed });
    }
    Ok(tagged)
}

/// The tags of a snapshot, and whether they are known to be those in force.
fn tags_of(reader: &Reader, snapshot: &Snapshot) -> Result<(Vec<String>, bool), Error> {
    tags_as_far_as_known(reader, snapshot, &reader.body(snapshot)?)
}

fn live<'s>(state: &'s State, id: &SnapshotId) -> Result<&'s Snapshot, Error> {
    state.snapshot_by_id(id).ok_or_else(|| Error::NoSuchSnapshot { wanted: id.to_hex() })
}

/// Seals tags as an annotation of a snapshot, with the domain's key of the epoch in force.
fn annotate(
    state: &State,
    reader: &Reader,
    (snapshot, tags): (&Snapshot, Vec<String>),
    around: &Surroundings<'_>,
) -> Result<Annotate, Error> {
    let key = &reader.keys_of(snapshot.domain)?.current;
    let session = SessionId::new(around.random.bytes()?);
    let seal = Origin { vault: state.vault(), session }.annotation(&key.key, &snapshot.id);
    let body = seal_body(&AnnotationBody { tags }.encode(), |unit| seal.seal_in_place(around.random, unit))?;
    Ok(Annotate { snapshot: snapshot.id, epoch: key.epoch, session, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(set: Option<&[&str]>, add: &[&str], remove: &[&str]) -> TagChange {
        let owned = |tags: &[&str]| tags.iter().copied().map(str::to_owned).collect();
        TagChange { set: set.map(owned), add: owned(add), remove: owned(remove) }
    }

    fn after(change: &TagChange) -> Vec<String> {
        change.apply(vec!["a".into(), "b".into()])
    }

    #[test]
    fn tags_are_set_then_added_then_removed() {
        assert_eq!(after(&change(None, &["c"], &["a"])), ["b", "c"]);
        assert_eq!(after(&change(Some(&["x"]), &["y"], &[])), ["x", "y"]);
        assert_eq!(after(&change(None, &["c"], &["c"])), ["a", "b"]);
        assert!(after(&change(Some(&[]), &[], &[])).is_empty());
    }

    #[test]
    fn no_tag_stands_twice() {
        assert_eq!(after(&change(None, &["b", "c", "c"], &[])), ["a", "b", "c"]);
        assert_eq!(after(&change(Some(&["x", "x"]), &["x"], &[])), ["x"]);
    }
}
