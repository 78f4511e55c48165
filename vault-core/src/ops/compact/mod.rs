//! `compact`: moves what is needed out of half-empty and small packs into new ones, and deletes the old ones.
//!
//! It prunes as well, since it has to know what is needed anyway; the protocol is that of [`prune`](super::prune), with rounds
//! between its steps \[4\] and \[5\]:
//!
//! ```text
//! [a] choose    packs of one domain with much unused, and small ones, as many as one round may have
//! [b] repack    open their segments, verify each chunk that is needed, store it in new packs; name these in an index object
//! [c] condemn   one statement: the old packs go, the new index object comes. A pack of which a new snapshot needs more than was
//!               copied stays
//! [d] sweep     remove the old packs, then the next round
//! ```
//!
//! Nothing is condemned before what takes its place is durable. A run that ends early has lost one round at most: its new packs
//! are named by nobody, and a later prune deletes them.

mod choose;
mod repack;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chunk::compress::Level;
use crate::error::{Error, ErrorKind};
use crate::id::{DomainId, PackId};
use crate::keys::device::DeviceKeys;
use crate::progress::{Amount, Phase};
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::prune::{
    Appended, Kept, ORPHAN_AGE, Plan, PruneSummary, Pruner, Survey, condemn, condemn_unneeded,
};

/// How often others may condemn packs while this run works, before it gives up.
const ATTEMPTS: u32 = 20;

/// What to compact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactOptions {
    /// Whether to say only what would be done.
    pub dry_run: bool,
    /// Packs with a larger unused share than this are repacked, in hundredths.
    pub max_unused_percent: u8,
    /// Whether packs of earlier epochs are repacked too, so that they are sealed in the one in force: as far as every member can read
    /// them already.
    pub rewrite: bool,
    /// About how many bytes of packs may be read at most.
    pub max_bytes: Option<u64>,
    /// As for a prune.
    pub orphan_age: Duration,
    /// How hard to compress.
    pub level: Level,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            max_unused_percent: 10,
            rewrite: false,
            max_bytes: None,
            orphan_age: ORPHAN_AGE,
            level: Level::DEFAULT,
        }
    }
}

/// What a compaction did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactSummary {
    /// What was pruned: freed bytes count everything, also packs that were repacked.
    pub pruned: PruneSummary,
    /// Packs that were repacked and are gone.
    pub repacked_packs: u64,
    /// Bytes in them.
    pub repacked_bytes: u64,
    /// Packs written.
    pub new_packs: u64,
    /// Bytes in them.
    pub new_bytes: u64,
}

/// Repacks what is worth it, and deletes what no live snapshot needs.
///
/// # Errors
///
/// As [`prune`](super::prune::prune); and a pack that is damaged ends it before the round in which it was read.
pub fn compact(
    vault: &mut Vault,
    reader: &Reader,
    device: &DeviceKeys,
    options: &CompactOptions,
    around: &Surroundings<'_>,
) -> Result<CompactSummary, Error> {
    let mut compaction = Compaction {
        pruner: Pruner::new(vault, reader, device, around)?,
        options,
        summary: CompactSummary::default(),
        abandoned: BTreeSet::new(),
    };
    for _ in 0..ATTEMPTS {
        if let Appended::Done(_) = compaction.run()? {
            return Ok(compaction.summary);
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

struct Compaction<'a> {
    pruner: Pruner<'a>,
    options: &'a CompactOptions,
    summary: CompactSummary,
    /// Packs that this run wrote before it had to begin again.
    abandoned: BTreeSet<PackId>,
}

impl Compaction<'_> {
    fn run(&mut self) -> Result<Appended, Error> {
        let around = self.pruner.around;
        around.progress.phase(Phase::Prune);
        let mut survey = Survey::take(&mut self.pruner)?;
        let plan = Plan::of(&self.pruner, &survey, &self.abandoned, self.options.orphan_age)?;
        self.summary.pruned = plan.summary;
        let sealed_in = |epoch| self.pruner.sealed_in(epoch);
        let rounds = choose::rounds(self.changeable(&plan), &sealed_in, self.options);
        if self.options.dry_run {
            for kept in rounds.iter().flatten() {
                self.summary.repacked_packs += 1;
                self.summary.repacked_bytes += u64::from(kept.pack.bytes);
            }
            return Ok(Appended::Done(Vec::new()));
        }
        let done = condemn_unneeded(&mut self.pruner, &mut survey, &plan, &mut self.summary.pruned)?;
        if done == Appended::Outdated {
            return Ok(done);
        }
        around.progress.phase(Phase::Compact);
        let bytes = rounds.iter().flatten().map(|kept| u64::from(kept.pack.bytes)).sum();
        around.progress.expect(Amount { items: rounds.iter().map(|round| round.len() as u64).sum(), bytes });
        for round in rounds {
            if around.stop.requested() {
                break;
            }
            let done = self.round(&mut survey, &round)?;
            if done == Appended::Outdated {
                return Ok(done);
            }
        }
        self.pruner.finish(&mut survey, self.options.orphan_age, &mut self.summary.pruned)?;
        self.count_kept(&plan);
        Ok(Appended::Done(Vec::new()))
    }

    /// The packs that stay and that the device may condemn.
    fn changeable<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = &'p Kept> {
        plan.kept.iter().filter(|kept| self.pruner.may_change(&kept.domain))
    }

    /// Repacks some packs of one domain \[b\], and condemns them \[c\].
    fn round(&mut self, survey: &mut Survey, round: &[Kept]) -> Result<Appended, Error> {
        let Some(domain) = round.first().map(|kept| kept.domain) else {
            return Ok(Appended::Done(Vec::new()));
        };
        let how = (self.options.level, &mut self.abandoned);
        let repacked = match repack::repack(&self.pruner, survey, (domain, round), how) {
            Err(error) if error.kind() == ErrorKind::Integrity => {
                // Perhaps a pack that was to be repacked is gone for a good reason.
                self.pruner.vault.follow()?;
                return if survey.is_outdated(&self.pruner) { Ok(Appended::Outdated) } else { Err(error) };
            }
            other => other?,
        };
        if repacked.old.is_empty() {
            return Ok(Appended::Done(Vec::new()));
        }
        let condemned = self.condemn(survey, domain, &repacked)?;
        if let Appended::Done(condemned) = &condemned {
            self.abandoned.retain(|id| !repacked.packs.contains(id));
            self.summary.repacked_packs += condemned.len() as u64;
            let size = |id: &PackId| survey.stored.get(id).copied().unwrap_or(0);
            self.summary.repacked_bytes += condemned.iter().map(size).sum::<u64>();
            self.summary.new_packs += repacked.packs.len() as u64;
            self.summary.new_bytes += repacked.bytes;
            self.summary.pruned.new_indexes += repacked.indexes.len() as u64;
            super::prune::sweep_packs(&self.pruner, survey, &mut self.summary.pruned)?; // [d]
        }
        Ok(condemned)
    }

    fn condemn(
        &mut self,
        survey: &mut Survey,
        domain: DomainId,
        repacked: &repack::Repacked,
    ) -> Result<Appended, Error> {
        survey.marks.clear_plan();
        survey.marks.plan(repacked.old.iter().copied());
        condemn(&mut self.pruner, survey, domain, (&repacked.old, &repacked.indexes))
    }

    /// What is kept now, by what was kept before and what has moved.
    fn count_kept(&mut self, plan: &Plan) {
        let state = self.pruner.vault.state();
        let pruned = &mut self.summary.pruned;
        let kept = || plan.kept.iter().filter(|kept| !state.condemned().contains(&kept.pack.id));
        pruned.kept_packs = kept().count() as u64 + self.summary.new_packs;
        pruned.kept_bytes =
            kept().map(|kept| u64::from(kept.pack.bytes)).sum::<u64>() + self.summary.new_bytes;
        pruned.unused_bytes = kept().map(Kept::unused_bytes).sum();
    }
}
