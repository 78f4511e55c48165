//! `prune`: deletes what no snapshot needs, while others back up, restore and prune.
//!
//! Nothing is locked and no clock decides; why that is safe stands in `docs/decisions/0015-prune-without-locks.md`. In short:
//!
//! ```text
//! [1] survey     read the log to its end and every index object it names; list the packs that the store has
//! [2] mark       what every live snapshot needs; if anything of it is missing, stop: nothing is deleted
//! [3] plan       packs in which nothing is marked, and old packs that no index object names
//! [4] condemn    append a statement that names them. If the log has grown meanwhile: mark what new snapshots need, take
//!                packs that they need out of the plan, try again. If others have condemned packs: begin again at [1]
//! [5] sweep      remove condemned packs from the store: also those that an earlier run left
//! [6] reindex    replace index objects that name condemned packs, and many small ones by one; then remove the replaced ones
//! ```
//!
//! So whatever a commit before the condemn needs is kept. Whoever commits after it sees the condemn first and stores anew what it
//! relied on. A run may end at any moment: condemned packs count as absent wherever they still lie, and the next run removes them.

mod condemn;
mod plan;
mod reindex;
mod survey;
mod sweep;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::Error;
use crate::id::{DomainId, Epoch, PackId};
use crate::keys::device::DeviceKeys;
use crate::progress::Phase;
use crate::vault::{Reader, Vault};

use super::Surroundings;

pub(super) use condemn::{Appended, condemn};
pub(super) use plan::{Kept, Plan};
pub(super) use reindex::writer_keys_of;
pub(super) use survey::Survey;
pub(super) use sweep::packs as sweep_packs;

/// How often others may condemn packs while this run looks around, before it gives up.
const ATTEMPTS: u32 = 20;

/// How old a pack that no index object names must be to be deleted, if nothing else is said: a backup may be about to name it.
pub const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What to prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneOptions {
    /// Whether to say only what would be deleted.
    pub dry_run: bool,
    /// How old packs and index objects that nothing names must be. A courtesy: a backup that loses packs in this way stores them
    /// again.
    pub orphan_age: Duration,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { dry_run: false, orphan_age: ORPHAN_AGE }
    }
}

/// What a prune did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneSummary {
    /// Packs condemned: nothing needs them.
    pub packs: u64,
    /// Those of them that no index object named.
    pub orphans: u64,
    /// Packs removed that earlier runs had condemned.
    pub leftovers: u64,
    /// Bytes of packs and index objects that the store no longer has.
    pub freed_bytes: u64,
    /// Packs that stay.
    pub kept_packs: u64,
    /// Bytes in them.
    pub kept_bytes: u64,
    /// Of these, about how many nothing needs: what compacting could free.
    pub unused_bytes: u64,
    /// Index objects that others took the place of.
    pub replaced_indexes: u64,
    /// Those others.
    pub new_indexes: u64,
    /// Whether it was stopped before the end; the next run does the rest.
    pub interrupted: bool,
}

/// Deletes what no live snapshot needs. `reader` unlocks what the snapshots hold, and `device` signs.
///
/// # Errors
///
/// [`Error::NotWhole`] if a snapshot cannot be followed to its end, [`Error::NoRight`] if the device may not delete: then nothing
/// was deleted. [`Error::Contended`] if others kept condemning packs meanwhile.
pub fn prune(
    vault: &mut Vault,
    reader: &Reader,
    device: &DeviceKeys,
    options: &PruneOptions,
    around: &Surroundings<'_>,
) -> Result<PruneSummary, Error> {
    let mut pruner = Pruner::new(vault, reader, device, around)?;
    around.progress.phase(Phase::Prune);
    for _ in 0..ATTEMPTS {
        let mut survey = Survey::take(&mut pruner)?; // [1], [2]
        let plan = Plan::of(&pruner, &survey, &BTreeSet::new(), options.orphan_age)?; // [3]
        let mut summary = plan.summary;
        if options.dry_run {
            return Ok(summary);
        }
        if condemn_unneeded(&mut pruner, &mut survey, &plan, &mut summary)? == Appended::Outdated {
            continue;
        }
        pruner.finish(&mut survey, options.orphan_age, &mut summary)?;
        return Ok(summary);
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// Condemns what is planned \[4\], and counts what came of it.
pub(super) fn condemn_unneeded(
    pruner: &mut Pruner<'_>,
    survey: &mut Survey,
    plan: &Plan,
    summary: &mut PruneSummary,
) -> Result<Appended, Error> {
    survey.marks.clear_plan();
    survey.marks.plan(plan.packs().map(|(_, doomed)| doomed.id));
    summary.packs = 0;
    summary.orphans = 0;
    summary.freed_bytes = 0;
    for (domain, doomed) in plan.by_domain() {
        for part in doomed.chunks(crate::log::MAX_LISTED_IDS) {
            let packs: Vec<_> = part.iter().map(|doomed| doomed.id).collect();
            match condemn(pruner, survey, *domain, (&packs, &[]))? {
                Appended::Outdated => return Ok(Appended::Outdated),
                Appended::Done(condemned) => {
                    let is_orphan =
                        |id: &&PackId| part.iter().any(|doomed| doomed.id == **id && doomed.is_orphan);
                    summary.packs += condemned.len() as u64;
                    summary.orphans += condemned.iter().filter(is_orphan).count() as u64;
                }
            }
        }
    }
    Ok(Appended::Done(Vec::new()))
}

/// What all steps work with.
pub(super) struct Pruner<'a> {
    pub(super) vault: &'a mut Vault,
    pub(super) reader: &'a Reader,
    pub(super) device: &'a DeviceKeys,
    pub(super) around: &'a Surroundings<'a>,
}

impl<'a> Pruner<'a> {
    /// Follows the log, and asks it whether the device may delete anything at all.
    pub(super) fn new(
        vault: &'a mut Vault,
        reader: &'a Reader,
        device: &'a DeviceKeys,
        around: &'a Surroundings<'a>,
    ) -> Result<Self, Error> {
        vault.follow()?;
        let id = device.device_id();
        let domain = vault.state().domain_of(&id).ok_or(Error::DeviceUnknown { vault: *vault.id() })?;
        vault.state().right_to_change(&id, &domain).map_err(Error::NoRight)?;
        // Only who can read every snapshot can tell what none needs.
        let first = reader.keyring().first_epoch();
        if first > Epoch::FIRST {
            return Err(Error::PartOfHistory { first });
        }
        Ok(Self { vault, reader, device, around })
    }

    /// The epoch in which what is sealed in `epoch` is sealed again: the one in force if everyone can read it already. Otherwise its own,
    /// so that nobody comes to read what they were not given.
    pub(super) fn sealed_in(&self, epoch: Epoch) -> Epoch {
        let state = self.vault.state();
        let in_force = state.epoch().unwrap_or(epoch);
        if epoch < state.readable_from() { epoch } else { in_force }
    }

    /// Whether the device may delete what is of a domain.
    pub(super) fn may_change(&self, domain: &DomainId) -> bool {
        self.vault.state().right_to_change(&self.device.device_id(), domain).is_ok()
    }

    /// Removes what is condemned \[5\], tidies the index objects \[6\].
    pub(super) fn finish(
        &mut self,
        survey: &mut Survey,
        orphan_age: Duration,
        summary: &mut PruneSummary,
    ) -> Result<(), Error> {
        sweep::packs(self, survey, summary)?;
        if !self.stopping() {
            reindex::reindex(self, survey, summary)?;
        }
        if !self.stopping() {
            sweep::indexes(self, orphan_age, summary)?;
        }
        summary.interrupted |= self.stopping();
        Ok(())
    }

    fn stopping(&self) -> bool {
        self.around.stop.requested()
    }
}
