//! A sample: which packs to verify in full, when not all are to be.
//!
//! Those that were never verified come first, then those whose verification is longest ago. Run after run, every pack gets its turn.

use std::collections::BTreeMap;

use crate::id::PackId;
use crate::log::State;
use crate::ops::retention::is_future;
use crate::time::Timestamp;

/// Verifies in full only packs whose last verification is long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Packs that were verified since then are left out.
    pub since: Timestamp,
    /// How much to read at most.
    pub budget: Budget,
}

/// How much to read at most. One pack is read in any case, so that every run gets ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Everything that is due.
    All,
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of a percent of all packs' bytes.
    BasisPoints(u32),
}

impl Budget {
    fn bytes(self, of: u64) -> u64 {
        match self {
            Self::All => u64::MAX,
            Self::Bytes(bytes) => bytes,
            Self::BasisPoints(points) => {
                let share = u128::from(of) * u128::from(points) / 10_000;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        }
    }
}

/// What is to be read, and what is left for another time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chosen {
    /// The packs to verify in full.
    pub packs: std::collections::BTreeSet<PackId>,
    /// Packs that are due, and beyond the budget.
    pub left: u64,
}

/// The moment at which a pack was last verified; `None` if never, or if that is said of the future.
pub(crate) fn verified_at(state: &State, pack: &PackId, now: Timestamp) -> Option<Timestamp> {
    state.attested(pack).map(|attestation| attestation.time).filter(|time| !is_future(*time, now))
}

/// Chooses from the packs in use, given with their sizes.
pub(super) fn choose(
    sample: &Sample,
    packs: &BTreeMap<PackId, u64>,
    verified: impl Fn(&PackId) -> Option<Timestamp>,
) -> Chosen {
    let all: u64 = packs.values().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    let due = packs.iter().map(|(pack, bytes)| (verified(pack), *pack, *bytes));
    // `None`, never, is before every moment.
    let mut due: Vec<_> = due.filter(|(at, ..)| at.is_none_or(|at| at < sample.since)).collect();
    due.sort_unstable();
    let (mut chosen, mut budget) = (Chosen::default(), sample.budget.bytes(all));
    for (_, pack, bytes) in due {
        if chosen.packs.is_empty() || (chosen.left == 0 && bytes <= budget) {
            budget = budget.saturating_sub(bytes);
            chosen.packs.insert(pack);
        } else {
            chosen.left += 1;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(number: u8) -> PackId {
        PackId::new([number; 32])
    }

    /// Five packs of 100 bytes: 1 was never verified, the others at that many seconds.
    fn chosen(since: i64, budget: Budget) -> (Vec<u8>, u64) {
        let packs = (1..=5).map(|number| (pack(number), 100)).collect();
        let sample = Sample { since: Timestamp::new(since, 0), budget };
        let verified = |pack: &PackId| match pack.as_bytes()[0] {
            1 => None,
            number => Some(Timestamp::new(60 - i64::from(number) * 10, 0)),
        };
        let chosen = choose(&sample, &packs, verified);
        (chosen.packs.iter().map(|pack| pack.as_bytes()[0]).collect(), chosen.left)
    }

    #[test]
    fn what_was_never_verified_comes_first_and_then_the_oldest() {
        assert_eq!(chosen(100, Budget::All), (vec![1, 2, 3, 4, 5], 0));
        assert_eq!(chosen(100, Budget::Bytes(100)), (vec![1], 4));
        assert_eq!(chosen(100, Budget::Bytes(250)), (vec![1, 5], 3));
        assert_eq!(chosen(100, Budget::BasisPoints(6_000)), (vec![1, 4, 5], 2));
    }

    #[test]
    fn what_was_verified_lately_is_left_out() {
        // 5 at 10, 4 at 20, 3 at 30, 2 at 40.
        assert_eq!(chosen(30, Budget::All), (vec![1, 4, 5], 0));
        assert_eq!(chosen(0, Budget::All), (vec![1], 0));
    }

    #[test]
    fn one_pack_is_read_whatever_the_budget() {
        assert_eq!(chosen(100, Budget::Bytes(0)), (vec![1], 4));
        assert_eq!(chosen(100, Budget::BasisPoints(1)), (vec![1], 4));
    }

    #[test]
    fn a_share_of_any_size_does_not_overflow() {
        assert_eq!(Budget::BasisPoints(u32::MAX).bytes(u64::MAX), u64::MAX);
        assert_eq!(Budget::BasisPoints(500).bytes(2_000), 100);
    }
}
