//! The key and the place of each sealed unit (`docs/format.md`, section 4).
//!
//! Every unit has a key of its own, derived from the place where it stands: a unit that is moved, within its session or to
//! another, does not open.

use crate::crypto::aead::{OpenError, SealContext, SealKey, SealedKind};
use crate::crypto::kdf::derive;
use crate::crypto::labels;
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::secret::Secret;
use crate::format::table::SegmentKind;
use crate::id::{GrantId, SessionId, SnapshotId, VaultId};

/// Where sealed units come from: the vault they are in and the session that sealed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The vault.
    pub vault: VaultId,
    /// The session that sealed the unit, which is not always the one that reads or names it.
    pub session: SessionId,
}

/// Seals or opens the unit at one place.
#[derive(Debug)]
pub struct UnitSeal {
    key: SealKey,
    context: SealContext,
}

impl Origin {
    /// The seal of a segment: `HKDF(S, "vault/1 seal segment", pack number || segment number, 48)`.
    pub fn segment(
        &self,
        s: &Secret<32>,
        kind: SegmentKind,
        pack_number: u32,
        segment_number: u32,
    ) -> UnitSeal {
        let place = [pack_number.to_le_bytes(), segment_number.to_le_bytes()];
        self.unit(kind.sealed(), s, labels::SEAL_SEGMENT, &[&place[0], &place[1]])
    }

    /// The seal of a pack's table: `HKDF(K_index, "vault/1 seal table", session || pack number, 48)`.
    pub fn table(&self, k_index: &Secret<32>, pack_number: u32) -> UnitSeal {
        let fields: [&[u8]; 2] = [self.session.as_bytes(), &pack_number.to_le_bytes()];
        self.unit(SealedKind::Table, k_index, labels::SEAL_TABLE, &fields)
    }

    /// The seal of an index body: `HKDF(K_index, "vault/1 seal index", session || index number, 48)`.
    pub fn index(&self, k_index: &Secret<32>, index_number: u32) -> UnitSeal {
        let fields: [&[u8]; 2] = [self.session.as_bytes(), &index_number.to_le_bytes()];
        self.unit(SealedKind::Index, k_index, labels::SEAL_INDEX, &fields)
    }

    /// The seal of a commit body: `HKDF(S, "vault/1 seal commit", commit number, 48)`.
    pub fn commit(&self, s: &Secret<32>, commit_number: u32) -> UnitSeal {
        self.unit(SealedKind::Commit, s, labels::SEAL_COMMIT, &[&commit_number.to_le_bytes()])
    }

    /// The seal of an annotation: `HKDF(K_index, "vault/1 seal annotation", session || snapshot id, 48)`.
    pub fn annotation(&self, k_index: &Secret<32>, snapshot: &SnapshotId) -> UnitSeal {
        let fields: [&[u8]; 2] = [self.session.as_bytes(), snapshot.as_bytes()];
        self.unit(SealedKind::Annotation, k_index, labels::SEAL_ANNOTATION, &fields)
    }

    /// The seal of what says where a grant's keys stand: `HKDF(S, "vault/1 seal grant", grant, 48)`.
    pub fn grant(&self, s: &Secret<32>, grant: &GrantId) -> UnitSeal {
        self.unit(SealedKind::Grant, s, labels::SEAL_GRANT, &[grant.as_bytes()])
    }

    /// Key and commitment of one segment, to be given to somebody who has no key of the session.
    pub fn segment_key(&self, s: &Secret<32>, pack_number: u32, segment_number: u32) -> Secret<48> {
        let place = [pack_number.to_le_bytes(), segment_number.to_le_bytes()];
        derive(s, &self.vault, labels::SEAL_SEGMENT, &[&place[0], &place[1]])
    }

    /// The seal of a segment whose key and commitment somebody has given.
    pub fn given_segment(&self, key: &Secret<48>, kind: SegmentKind) -> UnitSeal {
        self.with_key(kind.sealed(), key.duplicate())
    }

    fn with_key(&self, kind: SealedKind, key: Secret<48>) -> UnitSeal {
        let context = SealContext { kind, vault: self.vault, session: self.session };
        UnitSeal { key: SealKey::new(key), context }
    }

    fn unit(&self, kind: SealedKind, key: &Secret<32>, label: &str, fields: &[&[u8]]) -> UnitSeal {
        self.with_key(kind, derive(key, &self.vault, label, fields))
    }
}

impl UnitSeal {
    /// What is sealed here.
    pub fn kind(&self) -> SealedKind {
        self.context.kind
    }

    /// Seals a unit where it stands: the body is appended to what [`SealKey::reserve`] returns, then sealed.
    pub fn seal_in_place(&self, random: &dyn Random, unit: &mut Vec<u8>) -> Result<(), RandomUnavailable> {
        self.key.seal_in_place(&self.context, random, unit)
    }

    /// Seals a copy of `body`.
    pub fn seal(&self, random: &dyn Random, body: &[u8]) -> Result<Vec<u8>, RandomUnavailable> {
        self.key.seal(&self.context, random, body)
    }

    /// Opens a unit where it stands and returns the body within it; on failure the buffer holds nothing of use.
    pub fn open_in_place<'a>(&self, unit: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        self.key.open_in_place(&self.context, unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    fn origin() -> Origin {
        Origin { vault: VaultId::new([1; 32]), session: SessionId::new([2; 16]) }
    }

    /// One unit of every kind, and units that differ from the first in one part of their place.
    fn seals(origin: Origin, key: &Secret<32>) -> Vec<UnitSeal> {
        let other = Origin { session: SessionId::new([3; 16]), ..origin };
        vec![
            origin.segment(key, SegmentKind::Data, 1, 2),
            origin.segment(key, SegmentKind::Tree, 1, 2),
            origin.segment(key, SegmentKind::Data, 2, 1),
            origin.segment(key, SegmentKind::Data, 1, 3),
            other.segment(key, SegmentKind::Data, 1, 2),
            origin.table(key, 1),
            origin.table(key, 2),
            other.table(key, 1),
            origin.index(key, 1),
            origin.index(key, 2),
            other.index(key, 1),
            origin.commit(key, 1),
            origin.commit(key, 2),
            other.commit(key, 1),
            origin.annotation(key, &SnapshotId::new([1; 32])),
            origin.annotation(key, &SnapshotId::new([2; 32])),
            other.annotation(key, &SnapshotId::new([1; 32])),
            origin.grant(key, &GrantId::new([1; 16])),
            origin.grant(key, &GrantId::new([2; 16])),
            other.grant(key, &GrantId::new([1; 16])),
        ]
    }

    #[test]
    fn a_unit_opens_only_at_the_place_it_was_sealed_for() {
        let key = Secret::new([7; 32]);
        let random = FixedRandom::new(1);

        for (i, sealing) in seals(origin(), &key).iter().enumerate() {
            let unit = sealing.seal(&random, b"body").unwrap();
            for (j, opening) in seals(origin(), &key).iter().enumerate() {
                let opened = opening.open_in_place(&mut unit.clone()).is_ok();
                assert_eq!(opened, i == j, "{i} sealed, {j} opened");
            }
        }
    }

    #[test]
    fn sealing_in_place_gives_a_unit_that_opens() {
        let seal = origin().table(&Secret::new([7; 32]), 0);
        let mut unit = SealKey::reserve(4);
        unit.extend_from_slice(b"body");

        seal.seal_in_place(&FixedRandom::new(1), &mut unit).unwrap();

        assert_eq!(seal.open_in_place(&mut unit).unwrap(), b"body");
    }

    #[test]
    fn a_segment_key_that_was_given_opens_that_segment_and_no_other() {
        let (s, random) = (Secret::new([7; 32]), FixedRandom::new(1));
        let given = origin().segment_key(&s, 1, 2);
        let open = |kind, pack, segment| {
            let mut unit =
                origin().segment(&s, SegmentKind::Data, pack, segment).seal(&random, b"body").unwrap();
            origin().given_segment(&given, kind).open_in_place(&mut unit).is_ok()
        };

        assert!(open(SegmentKind::Data, 1, 2));
        assert!(
            !open(SegmentKind::Tree, 1, 2)
                && !open(SegmentKind::Data, 1, 3)
                && !open(SegmentKind::Data, 2, 2)
        );
    }

    #[test]
    fn a_segment_key_is_the_documented_derivation() {
        let s = Secret::new([7; 32]);
        let documented = derive(&s, &origin().vault, "vault/1 seal segment", &[&[1, 0, 0, 0, 2, 0, 0, 0]]);
        let context =
            SealContext { kind: SealedKind::Data, vault: origin().vault, session: origin().session };

        let mut unit =
            origin().segment(&s, SegmentKind::Data, 1, 2).seal(&FixedRandom::new(1), b"body").unwrap();

        assert_eq!(SealKey::new(documented).open_in_place(&context, &mut unit).unwrap(), b"body");
    }
}
