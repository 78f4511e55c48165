//! The objects of a state: index objects in force, packs condemned, packs attested.
//!
//! An index object is in force from the commit or condemn that brings it until a condemn replaces it. A condemned pack stays
//! condemned: ids of packs are never used again, since their nonces are random.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use crate::id::{DomainId, IndexId, PackId, Seq};
use crate::log::attest::Attest;
use crate::log::condemn::Condemn;
use crate::time::Timestamp;

/// The newest word that a pack was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attestation {
    /// Where the statement stands.
    pub seq: Seq,
    /// The time of the statement, by its author's clock.
    pub time: Timestamp,
}

/// What the log says of index objects and packs.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    /// The index objects in force, numbered in the order in which they came into force.
    in_force: BTreeMap<u64, (DomainId, IndexId)>,
    /// The number of each.
    numbers: BTreeMap<(IndexId, DomainId), u64>,
    next_number: u64,
    /// Index objects that a condemn replaced.
    replaced: BTreeSet<IndexId>,
    condemned: BTreeSet<PackId>,
    /// By statement, ascending.
    condemned_by: Vec<(Seq, Vec<PackId>)>,
    attested: BTreeMap<PackId, Attestation>,
}

impl Objects {
    /// Brings index objects into force, unless they are.
    pub(super) fn add_indexes(&mut self, domain: DomainId, indexes: &[IndexId]) {
        for &index in indexes {
            if self.is_in_force(domain, index) {
                continue;
            }
            self.numbers.insert((index, domain), self.next_number);
            self.in_force.insert(self.next_number, (domain, index));
            self.next_number += 1;
        }
    }

    pub(super) fn condemn(&mut self, seq: Seq, condemn: Condemn) {
        let Condemn { domain, packs, replaced, replacements } = condemn;
        for index in replaced {
            if let Some(number) = self.numbers.remove(&(index, domain)) {
                self.in_force.remove(&number);
            }
            self.replaced.insert(index);
        }
        self.add_indexes(domain, &replacements);
        for pack in &packs {
            self.attested.remove(pack);
        }
        self.condemned.extend(&packs);
        self.condemned_by.push((seq, packs));
    }

    pub(super) fn attest(&mut self, attestation: Attestation, attest: Attest) {
        let kept = attest.packs.into_iter().filter(|pack| !self.condemned.contains(pack));
        self.attested.extend(kept.map(|pack| (pack, attestation)));
    }

    fn is_in_force(&self, domain: DomainId, index: IndexId) -> bool {
        self.numbers.contains_key(&(index, domain))
    }
}

impl State {
    /// The index objects of a domain in force, in the order of the log.
    pub fn indexes(&self, domain: DomainId) -> impl Iterator<Item = IndexId> {
        self.all_indexes().filter(move |(of, _)| *of == domain).map(|(_, index)| index)
    }

    /// All index objects in force, each with its domain, in the order of the log.
    pub fn all_indexes(&self) -> impl Iterator<Item = (DomainId, IndexId)> {
        self.objects.in_force.values().copied()
    }

    /// Whether an index object is in force in a domain.
    pub fn is_index_of(&self, domain: DomainId, index: &IndexId) -> bool {
        self.objects.is_in_force(domain, *index)
    }

    /// Whether an index object is in force in any domain.
    pub fn is_index(&self, index: &IndexId) -> bool {
        let from = (*index, DomainId::new([0; 16]));
        self.objects.numbers.range(from..).next().is_some_and(|((found, _), _)| found == index)
    }

    /// Whether an index object was in force once, was replaced, and is in force nowhere now.
    pub fn was_index(&self, index: &IndexId) -> bool {
        self.objects.replaced.contains(index) && !self.is_index(index)
    }

    /// All packs that count as absent, whatever index object still names them.
    pub fn condemned(&self) -> &BTreeSet<PackId> {
        &self.objects.condemned
    }

    /// The packs that statements after `seq` condemned.
    pub fn condemned_since(&self, seq: Seq) -> impl Iterator<Item = PackId> {
        let from = self.objects.condemned_by.partition_point(|(by, _)| *by <= seq);
        self.objects.condemned_by[from..].iter().flat_map(|(_, packs)| packs.iter().copied())
    }

    /// The newest word that a pack was verified; `None` if there is none, or if it is condemned.
    pub fn attested(&self, pack: &PackId) -> Option<Attestation> {
        self.objects.attested.get(pack).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Body;
    use crate::log::testing::{Example, attest, commit, condemn, index, pack};

    #[test]
    fn replaced_index_objects_leave_and_their_replacements_join_at_the_end() {
        let mut example = Example::new();
        let alice = example.alice.id().into();

        example.log.push_body(&example.laptop, Body::Condemn(condemn(alice, &[1], &[1], &[7, 8])));
        example.log.push_commit(&example.phone, commit(1, 9));

        let state = example.state();
        let all: Vec<_> = state.all_indexes().map(|(_, index)| index).collect();
        assert_eq!(all, [2, 3, 7, 8, 9].map(index));
        assert_eq!(state.indexes(alice).collect::<Vec<_>>(), [7, 8].map(index));
        assert!(state.is_index(&index(8)) && !state.is_index(&index(1)));
        assert!(state.is_index_of(alice, &index(8)) && !state.is_index_of(alice, &index(2)));
        assert!(state.was_index(&index(1)) && !state.was_index(&index(8)) && !state.was_index(&index(99)));
    }

    #[test]
    fn an_index_object_that_two_commits_name_is_in_force_once() {
        let mut example = Example::new();

        example.log.push_commit(&example.laptop, commit(1, 1)).push_commit(&example.phone, commit(1, 1));

        // Once in each domain.
        let state = example.state();
        assert_eq!(state.indexes(example.alice.id().into()).count(), 1);
        assert_eq!(state.all_indexes().filter(|(_, found)| *found == index(1)).count(), 2);
    }

    #[test]
    fn what_was_condemned_since_a_head_is_told() {
        let mut example = Example::new();
        let alice = example.alice.id().into();
        let body = |packs: &[u8]| Body::Condemn(condemn(alice, packs, &[], &[]));
        example.log.push_body(&example.laptop, body(&[5, 6]));
        example.log.push_commit(&example.laptop, commit(1, 9));
        example.log.push_body(&example.laptop, body(&[1]));

        let state = example.state();

        let since = |seq| state.condemned_since(Seq(seq)).collect::<Vec<_>>();
        assert_eq!(since(4), [5, 6, 1].map(pack));
        assert_eq!((since(5), since(6)), (vec![pack(1)], vec![pack(1)]));
        assert_eq!(since(7), []);
        assert_eq!(state.condemned(), &[1, 5, 6].map(pack).into());
    }

    #[test]
    fn the_newest_attestation_of_a_pack_is_known_until_it_is_condemned() {
        let mut example = Example::new();
        let alice = example.alice.id().into();
        example.log.push_body(&example.tablet, Body::Attest(attest(&[1, 2, 3])));
        example.log.push_body(&example.nas, Body::Attest(attest(&[2])));

        let before = example.state();
        example.log.push_body(&example.laptop, Body::Condemn(condemn(alice, &[2], &[], &[])));
        example.log.push_body(&example.laptop, Body::Attest(attest(&[2, 4])));
        let after = example.state();

        let seq = |state: &State, number| state.attested(&pack(number)).map(|attestation| attestation.seq);
        assert_eq!([1, 2, 3, 4].map(|n| seq(&before, n)), [Some(Seq(5)), Some(Seq(6)), Some(Seq(5)), None]);
        assert_eq!([1, 2, 3, 4].map(|n| seq(&after, n)), [Some(Seq(5)), None, Some(Seq(5)), Some(Seq(8))]);
        assert_eq!(after.attested(&pack(1)).map(|a| a.time), Some(Timestamp::new(1_700_000_005, 5)));
    }
}
