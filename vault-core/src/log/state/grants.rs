//! The grants of a state: those that nobody has taken back, in the order of the log.
//!
//! Whether a grant has expired depends on a clock, so the state does not know: whoever asks says what time it is.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use super::objects::Objects;
use super::snapshots::{Snapshot, Snapshots};
use crate::crypto::sign::VerifyingKey;
use crate::id::{DeviceId, GrantId, IndexId, Seq, UserId, VaultId};
use crate::log::commit::Commit;
use crate::log::genesis::{ChunkerParams, Genesis, PqPolicy};
use crate::log::grant::Grant;
use crate::log::head::Head;
use crate::time::Timestamp;

/// One grant: what was said, and what the log knew of its author at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Where the statement stands.
    pub seq: Seq,
    /// The device that gave it.
    pub device: DeviceId,
    /// By what it signed: it may be in no membership any more.
    pub key: VerifyingKey,
    /// Whose device it was.
    pub user: UserId,
    /// The time by the device's clock.
    pub time: Timestamp,
    /// The rest.
    pub grant: Grant,
}

impl Granted {
    /// Whether it still holds at a moment, in seconds since 1970 UTC.
    pub fn holds_at(&self, seconds: i64) -> bool {
        self.grant.expires.is_none_or(|expires| i128::from(seconds) < i128::from(expires))
    }
}

/// The grants that were not taken back.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants {
    given: Vec<Granted>,
    /// All ids there ever were.
    ids: BTreeSet<GrantId>,
    /// All index objects and lists of ranges that grants ever named.
    indexes: BTreeSet<IndexId>,
}

impl Grants {
    pub(super) fn add(&mut self, granted: Granted) {
        self.ids.insert(granted.grant.id);
        self.indexes.extend(granted.grant.indexes.iter().chain([&granted.grant.ranges]));
        self.given.push(granted);
    }

    /// Drops what is sealed of them; how many bytes.
    pub(super) fn drop_sealed(&mut self) -> u64 {
        self.given.iter_mut().map(|granted| granted.grant.drop_sealed()).sum()
    }

    pub(super) fn revoke(&mut self, id: &GrantId) {
        self.given.retain(|granted| granted.grant.id != *id);
    }
}

impl State {
    /// The grants that were not taken back, expired or not, in the order of the log.
    pub fn grants(&self) -> &[Granted] {
        &self.grants.given
    }

    /// The grant of that id, unless it was taken back.
    pub fn grant(&self, id: &GrantId) -> Option<&Granted> {
        self.grants().iter().find(|granted| granted.grant.id == *id)
    }

    /// Whether there ever was a grant of that id.
    pub fn was_granted(&self, id: &GrantId) -> bool {
        self.grants.ids.contains(id)
    }

    /// Whether a grant ever named an index object, or had its ranges in it.
    pub fn was_index_of_grant(&self, index: &IndexId) -> bool {
        self.grants.indexes.contains(index)
    }

    /// Whether a grant that holds at that moment names an index object, or has its ranges in it.
    pub fn is_index_of_grant(&self, index: &IndexId, seconds: i64) -> bool {
        let holding = self.grants().iter().filter(|granted| granted.holds_at(seconds));
        holding
            .map(|granted| &granted.grant)
            .any(|grant| grant.ranges == *index || grant.indexes.contains(index))
    }
}

impl State {
    /// The state of a vault of which nothing is known but one grant: it has one snapshot, which is what was granted, in a domain of
    /// its own. **Nothing is verified here:** by whom the statement is, the caller has seen to.
    pub fn of_grant(vault: VaultId, head: Head, granted: &Granted) -> Self {
        let Granted { seq, device, user, time, grant, .. } = granted;
        let nowhere = Genesis {
            root_key: VerifyingKey([0; 32]),
            pq: PqPolicy::Required,
            chunker: ChunkerParams { min: 0, mask_bits: 0, max: 0 },
            nonce: [0; 32],
        };
        let mut state = Self {
            vault,
            genesis: nowhere,
            head,
            members: None,
            epochs: Vec::new(),
            reach: BTreeMap::new(),
            snapshots: Snapshots::default(),
            objects: Objects::default(),
            grants: Grants::default(),
            keeps_sealed: true,
            dropped_bytes: 0,
        };
        let domain = grant.id.into();
        state.objects.add_indexes(domain, &grant.indexes);
        let commit = Commit {
            epoch: grant.epoch,
            session: grant.session,
            session_envelope: grant.session_envelope.clone(),
            number: 0,
            body: grant.body.clone(),
            indexes: grant.indexes.clone(),
            partial: false,
            replaces: Vec::new(),
        };
        let id = head.hash.into();
        let (seq, device, user, time) = (*seq, *device, *user, *time);
        state.snapshots.commit(Snapshot { id, seq, device, user, domain, time, commit, annotation: None });
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{Example, commit, grant, index};
    use crate::log::{Author, Body, LogError, Refusal, Revoke};

    fn not_allowed(author: impl Into<Author>, reason: Refusal) -> Result<(), LogError> {
        Err(LogError::NotAllowed { seq: Seq(5), author: author.into(), reason })
    }

    #[test]
    fn a_grant_is_there_until_it_is_taken_back_and_its_id_is_used_up() {
        let mut example = Example::new();
        let given = grant(1, 7);
        let id = given.id;
        example.log.push_body(&example.laptop, Body::Grant(given.clone()));

        let state = example.state();
        assert_eq!(state.grant(&id).map(|granted| granted.user), Some(example.alice.id()));
        assert!(state.is_index_of_grant(&index(7), 0) && state.is_index_of_grant(&given.ranges, 0));
        assert!(!state.is_index(&index(7)), "no reader of the vault takes it for its own");

        example.log.push_body(&example.laptop, Body::Revoke(Revoke { grant: id }));
        let state = example.state();
        assert_eq!((state.grant(&id), state.was_granted(&id)), (None, true));
        assert!(!state.is_index_of_grant(&index(7), 0) && state.was_index_of_grant(&index(7)));
        let author = example.laptop.id().into();
        let refused = |reason| Err(LogError::NotAllowed { seq: Seq(7), author, reason });
        let again = example.append_body(&example.laptop, Body::Grant(given));
        assert_eq!(again, refused(Refusal::GrantExists { grant: id }));
        let twice = example.append_body(&example.laptop, Body::Revoke(Revoke { grant: id }));
        assert_eq!(twice, refused(Refusal::NoSuchGrant { grant: id }));
    }

    #[test]
    fn a_grant_holds_until_the_second_it_expires() {
        let mut example = Example::new();
        let expiring = Grant { expires: Some(1000), ..grant(1, 7) };
        example.log.push_body(&example.laptop, Body::Grant(expiring));

        let state = example.state();
        let holds = |seconds| state.grants()[0].holds_at(seconds);
        assert!(holds(999) && holds(-5) && !holds(1000) && !holds(i64::MAX));
        assert!(state.is_index_of_grant(&index(7), 999) && !state.is_index_of_grant(&index(7), 1000));
    }

    #[test]
    fn who_may_not_change_things_may_not_give_them_away() {
        let example = Example::new();
        let give = |machine: &crate::log::testing::Machine, epoch| {
            example.append_body(machine, Body::Grant(grant(epoch, 7)))
        };

        assert_eq!(give(&example.laptop, 1), Ok(()));
        assert_eq!(give(&example.phone, 1), Ok(()), "an editor reads everything, so gives everything");
        assert_eq!(give(&example.tablet, 1), not_allowed(example.tablet.id(), Refusal::ReaderChanges));
        assert_eq!(give(&example.nas, 1), not_allowed(example.nas.id(), Refusal::AppendOnlyChanges));
        let stranger = crate::log::testing::Machine::new(99);
        assert_eq!(give(&stranger, 1), not_allowed(stranger.id(), Refusal::UnknownDevice));
        let wrong = Refusal::WrongEpoch { in_force: crate::id::Epoch(1), found: crate::id::Epoch(2) };
        assert_eq!(give(&example.laptop, 2), not_allowed(example.laptop.id(), wrong));
    }

    #[test]
    fn a_grant_brings_no_index_object_of_a_snapshot_as_its_own() {
        let mut example = Example::new();
        example.log.push_commit(&example.laptop, commit(1, 7));

        let refused = example.append_body(&example.laptop, Body::Grant(grant(1, 7)));

        let reason = Refusal::IndexInForce { index: index(7) };
        let author = example.laptop.id().into();
        assert_eq!(refused, Err(LogError::NotAllowed { seq: Seq(6), author, reason }));
    }

    #[test]
    fn it_is_taken_back_by_its_giver_or_an_owner() {
        let mut example = Example::new();
        let (of_alice, of_bob) = (grant(1, 7), grant(1, 8));
        example.log.push_body(&example.laptop, Body::Grant(of_alice.clone()));
        example.log.push_body(&example.phone, Body::Grant(of_bob.clone()));
        let revoke = |machine: &crate::log::testing::Machine, grant| {
            example.append_body(machine, Body::Revoke(Revoke { grant })).is_ok()
        };

        assert!(revoke(&example.laptop, of_alice.id) && revoke(&example.phone, of_bob.id));
        assert!(revoke(&example.laptop, of_bob.id), "an owner");
        assert!(!revoke(&example.phone, of_alice.id) && !revoke(&example.nas, of_alice.id));
        assert!(!revoke(&example.tablet, of_alice.id));
    }
}
