//! The plan: which packs nothing needs. It only asks; nothing is changed by making one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::error::Error;
use crate::id::{DomainId, PackId};
use crate::store::{ObjectKey, StoreError};
use crate::time::Timestamp;
use crate::vault::chunk_index::{PackPlace, Tally};
use crate::vault::orphans;

use super::{PruneSummary, Pruner, Survey};

/// A pack that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) struct Doomed {
    /// Its id.
    pub(in crate::ops) id: PackId,
    /// Whether no index object names it.
    pub(in crate::ops) is_orphan: bool,
}

/// A pack that stays, and how much of it is needed.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Kept {
    /// The pack.
    pub(in crate::ops) pack: PackPlace,
    /// The domain of the index object that names it.
    pub(in crate::ops) domain: DomainId,
    /// Raw bytes of its chunks.
    pub(in crate::ops) raw_bytes: u64,
    /// Raw bytes of those that are needed here.
    pub(in crate::ops) used_bytes: u64,
    /// Whether a grant needs it as it is.
    pub(in crate::ops) is_held: bool,
}

impl Kept {
    /// About how many of its bytes in the store nothing needs.
    pub(in crate::ops) fn unused_bytes(&self) -> u64 {
        let unused = u128::from(self.raw_bytes.saturating_sub(self.used_bytes));
        (u128::from(self.pack.bytes) * unused / u128::from(self.raw_bytes.max(1))) as u64
    }
}

/// What is to be deleted, and what stays.
pub(in crate::ops) struct Plan {
    doomed: BTreeMap<DomainId, Vec<Doomed>>,
    /// The packs that stay, in the order of the chunk index.
    pub(in crate::ops) kept: Vec<Kept>,
    /// What following the plan comes to.
    pub(in crate::ops) summary: PruneSummary,
}

impl Plan {
    /// Plans by a survey. Packs in `abandoned` were written by this run in vain, and need not be old.
    pub(in crate::ops) fn of(
        pruner: &Pruner<'_>,
        survey: &Survey,
        abandoned: &BTreeSet<PackId>,
        orphan_age: Duration,
    ) -> Result<Self, Error> {
        let mut plan = Self { doomed: BTreeMap::new(), kept: Vec::new(), summary: PruneSummary::default() };
        let tallies = by_pack(survey.marks.tally()?);
        let mut named = BTreeSet::new();
        let condemned = pruner.vault.state().condemned();
        for (pack, domains) in naming_domains(survey) {
            if condemned.contains(&pack.id) {
                continue;
            }
            named.insert(pack.id);
            let tally = tallies.get(&pack.id);
            let used_bytes = tally.map_or(0, |tally| tally.marked_bytes);
            let mine = domains.iter().all(|domain| pruner.may_change(domain));
            let Some(&domain) = domains.first() else { continue };
            let is_held = survey.held.contains(&pack.id);
            if used_bytes == 0 && mine && !is_held {
                plan.doom(survey, domain, Doomed { id: pack.id, is_orphan: false });
            } else {
                let raw_bytes = tally.map_or(0, |tally| tally.raw_bytes);
                plan.keep(Kept { pack, domain, raw_bytes, used_bytes, is_held });
            }
        }
        plan.order_kept(&tallies);
        for (id, bytes) in &survey.stored {
            if condemned.contains(id) {
                plan.summary.leftovers += 1;
                plan.summary.freed_bytes += bytes;
            } else if !named.contains(id)
                && !survey.held.contains(id)
                && (abandoned.contains(id) || is_older(pruner, &ObjectKey::Pack(*id), orphan_age)?)
                && let Some(domain) = orphan_domain(pruner, survey, *id, *bytes)
            {
                plan.doom(survey, domain, Doomed { id: *id, is_orphan: true });
            }
        }
        Ok(plan)
    }

    /// All packs to delete, each with its domain.
    pub(in crate::ops) fn packs(&self) -> impl Iterator<Item = (&DomainId, &Doomed)> {
        self.doomed.iter().flat_map(|(domain, doomed)| doomed.iter().map(move |one| (domain, one)))
    }

    /// The packs to delete, ascending for each domain.
    pub(super) fn by_domain(&self) -> &BTreeMap<DomainId, Vec<Doomed>> {
        &self.doomed
    }

    fn doom(&mut self, survey: &Survey, domain: DomainId, doomed: Doomed) {
        self.summary.packs += 1;
        self.summary.orphans += u64::from(doomed.is_orphan);
        self.summary.freed_bytes += survey.stored.get(&doomed.id).copied().unwrap_or(0);
        let of_domain = self.doomed.entry(domain).or_default();
        let at = of_domain.partition_point(|other| other.id < doomed.id);
        of_domain.insert(at, doomed);
    }

    fn keep(&mut self, kept: Kept) {
        self.summary.kept_packs += 1;
        self.summary.kept_bytes += u64::from(kept.pack.bytes);
        self.summary.unused_bytes += kept.unused_bytes();
        self.kept.push(kept);
    }

    fn order_kept(&mut self, tallies: &BTreeMap<PackId, Sum>) {
        self.kept.sort_by_key(|kept| tallies.get(&kept.pack.id).map_or(usize::MAX, |sum| sum.order));
    }
}

/// The sums over all rows of one pack.
struct Sum {
    order: usize,
    raw_bytes: u64,
    marked_bytes: u64,
}

/// Several runs may have rows of one pack; each chunk is marked in one of them.
fn by_pack(tallies: Vec<Tally>) -> BTreeMap<PackId, Sum> {
    let mut sums = BTreeMap::new();
    for (order, tally) in tallies.into_iter().enumerate() {
        let sum = sums.entry(tally.pack.id).or_insert(Sum { order, raw_bytes: 0, marked_bytes: 0 });
        sum.raw_bytes = sum.raw_bytes.max(tally.raw_bytes);
        sum.marked_bytes += tally.marked_bytes;
    }
    sums
}

/// The packs that index objects in force name, each with the domains of these objects.
fn naming_domains(survey: &Survey) -> Vec<(PackPlace, Vec<DomainId>)> {
    let mut all: BTreeMap<PackId, (PackPlace, Vec<DomainId>)> = BTreeMap::new();
    for (index, pack, _) in survey.marks.chunks().named() {
        let Some(domain) = survey.domains.get(&index) else { continue };
        let (_, domains) = all.entry(pack.id).or_insert((*pack, Vec::new()));
        if !domains.contains(domain) {
            domains.push(*domain);
        }
    }
    all.into_values().collect()
}

/// The domain in whose name an orphan is condemned: the one whose keys open it, or the device's own where none does.
fn orphan_domain(pruner: &Pruner<'_>, survey: &Survey, id: PackId, bytes: u64) -> Option<DomainId> {
    let opens = |domain: &DomainId| {
        let keys = survey.keys.get(domain);
        keys.is_some_and(|keys| orphans::read_table(pruner.vault, keys, id, bytes).is_ok())
    };
    let own = pruner.vault.state().domain_of(&pruner.device.device_id())?;
    let domain = std::iter::once(&own).chain(survey.keys.keys()).find(|domain| opens(domain));
    match domain {
        Some(domain) => pruner.may_change(domain).then_some(*domain),
        // Whose it is cannot be told: only who may delete everything deletes it.
        None => survey.keys.keys().all(|domain| pruner.may_change(domain)).then_some(own),
    }
}

/// Whether an object was stored at least that long ago; not if it is gone.
pub(super) fn is_older(pruner: &Pruner<'_>, key: &ObjectKey, age: Duration) -> Result<bool, Error> {
    match pruner.vault.store().stored_at(key) {
        Ok(stored_at) => Ok(is_past(stored_at, age, pruner.around.clock.now())),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `age` has passed between two moments.
fn is_past(from: Timestamp, age: Duration, now: Timestamp) -> bool {
    let nanos = |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let passed = nanos(now) - nanos(from);
    u128::try_from(passed).is_ok_and(|passed| passed >= age.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_reached_to_the_nanosecond_and_never_before_the_beginning() {
        let day = Duration::from_secs(86_400);
        let begin = Timestamp::new(-10, 5);

        assert!(is_past(begin, day, Timestamp::new(86_390, 5)));
        assert!(!is_past(begin, day, Timestamp::new(86_390, 4)));
        assert!(is_past(begin, Duration::ZERO, begin));
        assert!(!is_past(begin, Duration::ZERO, Timestamp::new(-10, 4)));
    }
}
