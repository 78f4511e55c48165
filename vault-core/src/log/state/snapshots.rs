//! The snapshots of a state: those that are live, in the order of the log.
//!
//! A snapshot is live from its commit until it is forgotten or, if it is partial, until a later commit of its device replaces it.

use super::State;
use crate::id::{DeviceId, DomainId, Epoch, Seq, SessionId, SnapshotId, UserId};
use crate::log::annotate::Annotate;
use crate::log::commit::Commit;
use crate::time::Timestamp;

/// One snapshot: its commit, and what the log knew of its author at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The hash of the commit statement.
    pub id: SnapshotId,
    /// Where the commit stands.
    pub seq: Seq,
    /// The device that made it.
    pub device: DeviceId,
    /// Whose device it was.
    pub user: UserId,
    /// The domain in which its chunks are deduplicated.
    pub domain: DomainId,
    /// The time by the device's clock.
    pub time: Timestamp,
    /// The rest, with the session envelope and the sealed body for opening it later.
    pub commit: Commit,
    /// The newest annotation, if there is one.
    pub annotation: Option<Annotation>,
}

/// What an annotate statement says of a snapshot, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where the statement stands.
    pub seq: Seq,
    /// The epoch whose index key seals the body.
    pub epoch: Epoch,
    /// What makes its key differ from other annotations'.
    pub session: SessionId,
    /// The sealed body, opaque here.
    pub body: Vec<u8>,
}

/// The live snapshots.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshots {
    live: Vec<Snapshot>,
}

impl Snapshots {
    /// Adds a snapshot, and takes away the partial ones of its device that it replaces.
    pub(super) fn commit(&mut self, snapshot: Snapshot) {
        let replaces = &snapshot.commit.replaces;
        if !replaces.is_empty() {
            let is_replaced = |old: &Snapshot| {
                old.commit.partial && old.device == snapshot.device && replaces.binary_search(&old.id).is_ok()
            };
            self.live.retain(|old| !is_replaced(old));
        }
        self.live.push(snapshot);
    }

    /// Drops what is sealed of them; how many bytes.
    pub(super) fn drop_sealed(&mut self) -> u64 {
        let of = |live: &mut Snapshot| {
            let annotation = live.annotation.as_mut().map(|annotation| std::mem::take(&mut annotation.body));
            live.commit.drop_sealed() + annotation.map_or(0, |body| body.len() as u64)
        };
        self.live.iter_mut().map(of).sum()
    }

    /// Takes away those of the snapshots that are there. The ids are ascending.
    pub(super) fn forget(&mut self, ids: &[SnapshotId]) {
        self.live.retain(|snapshot| ids.binary_search(&snapshot.id).is_err());
    }

    /// Puts an annotation in the place of earlier ones.
    pub(super) fn annotate(&mut self, seq: Seq, annotate: Annotate) {
        let Annotate { snapshot, epoch, session, body } = annotate;
        if let Some(annotated) = self.live.iter_mut().find(|live| live.id == snapshot) {
            annotated.annotation = Some(Annotation { seq, epoch, session, body });
        }
    }
}

impl State {
    /// The live snapshots, in the order of the log.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots.live
    }

    /// The live snapshot of that id.
    pub fn snapshot_by_id(&self, id: &SnapshotId) -> Option<&Snapshot> {
        self.snapshots().iter().find(|snapshot| snapshot.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{Example, annotate, commit};
    use crate::log::{Body, Commit, Forget};

    fn live(example: &Example) -> Vec<u64> {
        example.state().snapshots().iter().map(|snapshot| snapshot.seq.0).collect()
    }

    fn id(example: &Example, seq: usize) -> SnapshotId {
        example.log.head(seq).hash.into()
    }

    fn forget(example: &Example, seqs: &[usize]) -> Body {
        let mut snapshots: Vec<_> = seqs.iter().map(|&seq| id(example, seq)).collect();
        snapshots.sort();
        Body::Forget(Forget { snapshots })
    }

    #[test]
    fn forgotten_snapshots_are_not_live_and_their_index_objects_stay_in_force() {
        let mut example = Example::new();
        let before: Vec<_> = example.state().all_indexes().collect();

        let body = forget(&example, &[2, 4]);
        example.log.push_body(&example.laptop, body);

        let state = example.state();
        assert_eq!(live(&example), [3]);
        assert_eq!(state.snapshot_by_id(&id(&example, 2)), None);
        assert_eq!(state.all_indexes().collect::<Vec<_>>(), before);
    }

    #[test]
    fn forgetting_again_or_what_was_never_there_has_no_effect() {
        let mut example = Example::new();
        for _ in 0..2 {
            let body = forget(&example, &[2]);
            example.log.push_body(&example.laptop, body);
        }
        let unknown = Body::Forget(Forget { snapshots: vec![SnapshotId::new([9; 32])] });

        example.log.push_body(&example.phone, unknown);

        assert_eq!(live(&example), [3, 4]);
    }

    #[test]
    fn a_commit_replaces_partial_snapshots_of_its_own_device_only() {
        let mut example = Example::new();
        let partial = |number| Commit { partial: true, ..commit(1, number) };
        // 5 and 6 are partial ones of the laptop, 7 is one of the phone; 2 is a complete one of the laptop.
        example
            .log
            .push_commit(&example.laptop, partial(5))
            .push_commit(&example.laptop, partial(6))
            .push_commit(&example.phone, partial(7));
        let mut replaces = [2, 5, 7].map(|seq| id(&example, seq)).to_vec();
        replaces.push(SnapshotId::new([9; 32]));
        replaces.sort();

        example.log.push_commit(&example.laptop, Commit { replaces, ..partial(8) });

        assert_eq!(live(&example), [2, 3, 4, 6, 7, 8]);
        assert_eq!(example.state().all_indexes().count(), 7);
    }

    #[test]
    fn an_append_only_device_replaces_its_own_partial_snapshots_too() {
        let mut example = Example::new();
        example.log.push_commit(&example.nas, Commit { partial: true, ..commit(1, 5) });
        let replaces = vec![id(&example, 5)];

        example.log.push_commit(&example.nas, Commit { replaces, ..commit(1, 6) });

        assert_eq!(live(&example), [2, 3, 4, 6]);
    }

    #[test]
    fn the_newest_annotation_is_the_one_that_counts() {
        let mut example = Example::new();
        let (first, second) = (annotate(1, id(&example, 2), 1), annotate(1, id(&example, 2), 2));

        example.log.push_body(&example.laptop, Body::Annotate(first));
        example.log.push_body(&example.laptop, Body::Annotate(second.clone()));

        let state = example.state();
        let Annotate { epoch, session, body, .. } = second;
        let expected = Annotation { seq: Seq(6), epoch, session, body };
        assert_eq!(state.snapshots()[0].annotation, Some(expected));
        assert_eq!(state.snapshots()[1].annotation, None);
    }
}
