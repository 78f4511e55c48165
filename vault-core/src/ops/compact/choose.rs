//! Which packs are worth repacking: a pure choice.
//!
//! A pack is repacked if too much of it is unused, or if it is small and not the only small one of its domain.

use std::collections::BTreeMap;

use crate::format::pack::PACK_TARGET_BYTES;
use crate::id::{DomainId, Epoch};

use super::CompactOptions;
use crate::ops::prune::Kept;

/// A pack below this is small.
const SMALL_BYTES: u32 = PACK_TARGET_BYTES / 4;
/// Bytes of packs in one round: few enough to lose little by an interruption, many enough to fill new packs.
const ROUND_BYTES: u64 = 512 << 20;
/// Packs in one round, so that its statement stays small.
const ROUND_PACKS: usize = 5_000;

/// The packs to repack, in rounds of one domain each, and of one epoch in which they are sealed again, as `sealed_in` says of the one
/// in which they are; in a round they stand in the order of the chunk index, so that what was stored together stays together.
pub(super) fn rounds<'a>(
    kept: impl Iterator<Item = &'a Kept>,
    sealed_in: &dyn Fn(Epoch) -> Epoch,
    options: &CompactOptions,
) -> Vec<Vec<Kept>> {
    let mut groups: BTreeMap<(DomainId, Epoch), Vec<Kept>> = BTreeMap::new();
    for kept in kept.filter(|kept| !kept.is_held) {
        groups.entry((kept.domain, sealed_in(kept.pack.epoch))).or_default().push(*kept);
    }
    let mut left = options.max_bytes.unwrap_or(u64::MAX);
    let mut rounds = Vec::new();
    for kept in groups.into_values() {
        rounds.extend(divide(affordable(worthwhile(kept, sealed_in, options), &mut left)));
    }
    rounds
}

/// The packs of a domain that are worth it.
fn worthwhile(kept: Vec<Kept>, sealed_in: &dyn Fn(Epoch) -> Epoch, options: &CompactOptions) -> Vec<Kept> {
    let is_small = |kept: &Kept| kept.pack.bytes < SMALL_BYTES;
    let small = kept.iter().filter(|kept| is_small(kept)).count();
    let is_wasteful = |kept: &Kept| {
        let unused = u128::from(kept.raw_bytes.saturating_sub(kept.used_bytes));
        unused * 100 > u128::from(kept.raw_bytes) * u128::from(options.max_unused_percent)
    };
    let is_old = |kept: &Kept| options.rewrite && sealed_in(kept.pack.epoch) > kept.pack.epoch;
    kept.into_iter()
        .filter(|kept| is_wasteful(kept) || is_old(kept) || (small > 1 && is_small(kept)))
        .collect()
}

/// As many packs as may be read, rather those that free most.
fn affordable(chosen: Vec<Kept>, left: &mut u64) -> Vec<Kept> {
    let mut by_gain: Vec<usize> = (0..chosen.len()).collect();
    by_gain.sort_by_key(|&at| std::cmp::Reverse(chosen[at].unused_bytes()));
    let mut takes = vec![false; chosen.len()];
    for at in by_gain {
        let bytes = u64::from(chosen[at].pack.bytes);
        if bytes <= *left {
            *left -= bytes;
            takes[at] = true;
        }
    }
    chosen.into_iter().zip(takes).filter(|(_, takes)| *takes).map(|(kept, _)| kept).collect()
}

fn divide(chosen: Vec<Kept>) -> Vec<Vec<Kept>> {
    let (mut rounds, mut bytes) = (Vec::<Vec<Kept>>::new(), 0);
    for kept in chosen {
        let more = u64::from(kept.pack.bytes);
        let is_full =
            rounds.last().is_none_or(|round| bytes + more > ROUND_BYTES || round.len() == ROUND_PACKS);
        if is_full {
            rounds.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(round) = rounds.last_mut() {
            round.push(kept);
        }
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PackId, SessionId};
    use crate::vault::chunk_index::PackPlace;

    fn kept(number: u8, bytes: u32, used_percent: u64) -> Kept {
        let (id, session) = (PackId::new([number; 32]), SessionId::new([1; 16]));
        let pack = PackPlace { id, bytes, session, number: 0, epoch: Epoch(1) };
        Kept {
            pack,
            domain: DomainId::new([1; 16]),
            raw_bytes: 1_000,
            used_bytes: 10 * used_percent,
            is_held: false,
        }
    }

    fn chosen(packs: &[Kept], options: &CompactOptions) -> Vec<Vec<u8>> {
        let rounds = rounds(packs.iter(), &|epoch| epoch, options);
        rounds.iter().map(|round| round.iter().map(|kept| kept.pack.id.as_bytes()[0]).collect()).collect()
    }

    const LARGE: u32 = PACK_TARGET_BYTES;

    #[test]
    fn wasteful_packs_and_small_ones_with_company_are_chosen() {
        let options = CompactOptions::default();

        assert_eq!(chosen(&[kept(1, LARGE, 90), kept(2, LARGE, 89), kept(3, 100, 100)], &options), [[2]]);
        assert_eq!(chosen(&[kept(3, 100, 100), kept(1, LARGE, 100), kept(4, 100, 100)], &options), [[3, 4]]);
        assert!(chosen(&[kept(3, 100, 95)], &options).is_empty());
    }

    #[test]
    fn packs_that_are_sealed_again_in_different_epochs_are_in_different_rounds() {
        let older = |number| {
            let kept = kept(number, LARGE, 50);
            Kept { pack: PackPlace { epoch: Epoch(0), ..kept.pack }, ..kept }
        };
        let packs = [kept(1, LARGE, 50), older(2), kept(3, LARGE, 50)];

        assert_eq!(chosen(&packs, &CompactOptions::default()), [vec![2], vec![1, 3]]);
    }

    #[test]
    fn packs_of_earlier_epochs_are_chosen_where_they_are_to_be_sealed_again() {
        let options = CompactOptions { rewrite: true, ..CompactOptions::default() };
        let packs = [kept(1, LARGE, 100)];
        let chosen = |next: u32| rounds(packs.iter(), &|_| Epoch(next), &options).len();

        assert_eq!((chosen(1), chosen(2)), (0, 1));
    }

    #[test]
    fn what_may_be_read_goes_to_the_packs_that_free_most() {
        let options = CompactOptions { max_bytes: Some(2 * u64::from(LARGE)), ..CompactOptions::default() };
        let packs = [kept(1, LARGE, 80), kept(2, LARGE, 20), kept(3, LARGE, 50)];

        assert_eq!(chosen(&packs, &options), [[2, 3]]);
    }

    #[test]
    fn rounds_are_bounded_in_bytes() {
        let packs: Vec<Kept> = (0..40).map(|number| kept(number, LARGE, 50)).collect();

        let rounds = chosen(&packs, &CompactOptions::default());

        assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 8]);
    }
}
