//! `forget`: takes snapshots away, those named or those that no rule keeps.
//!
//! Nothing is deleted by this: what only they needed goes with `prune`. A group of snapshots never loses its last complete one
//! unless that is forced. Snapshots of different domains are never in one group, whatever host and paths they name: what one
//! domain's devices say cannot push out what another's have saved.
//!
//! A plan is made for one state of the log. If others append before the statement is, the plan is made again, and only what is to be
//! forgotten by both is.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::id::SnapshotId;
use crate::keys::device::DeviceKeys;
use crate::log::{self, Body, Forget, MAX_LISTED_IDS, Snapshot, State};
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::groups::{Filter, Group, GroupBy};
use super::retention::{self, Candidate, CivilHour, Reason, Rules, is_future};
use super::snapshots::{SnapshotInfo, check_right, info};

/// What to forget, and how.
#[derive(Debug, Clone)]
pub struct ForgetOptions {
    /// Which snapshots.
    pub choice: Choice,
    /// Which snapshots are of the same thing.
    pub group_by: GroupBy,
    /// Whether a group may lose its last complete snapshot.
    pub force: bool,
    /// Whether only to tell what would be forgotten.
    pub dry_run: bool,
}

/// Which snapshots are forgotten.
#[derive(Debug, Clone)]
pub enum Choice {
    /// These.
    Named(Vec<SnapshotId>),
    /// Of those that the filter takes, the ones that no rule keeps. Of snapshots that this device may not forget nothing is said.
    Rules(Rules, Filter),
}

/// What was decided of the snapshots of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDecision {
    /// What they have in common.
    pub group: Group,
    /// The snapshots that were chosen from, in the order of the log.
    pub snapshots: Vec<Decision>,
}

/// What was decided of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The snapshot.
    pub snapshot: SnapshotInfo,
    /// Why it is kept; it is forgotten if there is no reason.
    pub reasons: Vec<Reason>,
}

/// What was decided, and done unless it was a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgetSummary {
    /// The groups, in the order of host and paths.
    pub groups: Vec<GroupDecision>,
}

impl Decision {
    /// Whether it is kept.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

impl ForgetSummary {
    /// The snapshots that are forgotten.
    pub fn forgotten(&self) -> impl Iterator<Item = &SnapshotInfo> {
        self.decisions().filter(|decision| !decision.is_kept()).map(|decision| &decision.snapshot)
    }

    /// How many snapshots are kept, of those that were chosen from.
    pub fn kept(&self) -> usize {
        self.decisions().filter(|decision| decision.is_kept()).count()
    }

    fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.groups.iter().flat_map(|group| &group.snapshots)
    }
}

/// Forgets. `calendar` tells the hour of a moment in the calendar by which days begin and end.
///
/// # Errors
///
/// [`Error::NoRight`] for a device that has no right to it, [`Error::LastSnapshot`] if a group would lose its last complete
/// snapshot; then nothing is forgotten.
pub fn forget(
    vault: &mut Vault,
    (reader, device): (&Reader, &DeviceKeys),
    options: &ForgetOptions,
    around: &Surroundings<'_>,
    calendar: &dyn Fn(Timestamp) -> CivilHour,
) -> Result<ForgetSummary, Error> {
    let planner = Planner { reader, device, options, now: around.clock.now(), calendar };
    planner.refuse_unknown(vault.state())?;
    let plan = planner.plan(vault.state())?;
    if options.dry_run {
        return Ok(plan);
    }
    let mut forgotten: Vec<SnapshotId> = plan.forgotten().map(|snapshot| snapshot.id).collect();
    forgotten.sort();
    for batch in forgotten.chunks(MAX_LISTED_IDS) {
        let planned_at = vault.state().head();
        vault.append(&|state| {
            let snapshots = if state.head() == planned_at {
                batch.to_vec()
            } else {
                planner.still_forgotten(state, batch)?
            };
            let body = Body::Forget(Forget { snapshots });
            let payload = state.draft(device.device_id(), around.clock.now(), body);
            Ok(log::sign(&payload, device.signing())?)
        })?;
    }
    Ok(plan)
}

/// Makes plans.
struct Planner<'a> {
    reader: &'a Reader,
    device: &'a DeviceKeys,
    options: &'a ForgetOptions,
    now: Timestamp,
    calendar: &'a dyn Fn(Timestamp) -> CivilHour,
}

impl Planner<'_> {
    fn refuse_unknown(&self, state: &State) -> Result<(), Error> {
        let Choice::Named(ids) = &self.options.choice else { return Ok(()) };
        match ids.iter().find(|id| state.snapshot_by_id(id).is_none()) {
            Some(unknown) => Err(Error::NoSuchSnapshot { wanted: unknown.to_hex() }),
            None => Ok(()),
        }
    }

    /// What is to be forgotten by this state of the log.
    fn plan(&self, state: &State) -> Result<ForgetSummary, Error> {
        let unknown = Error::DeviceUnknown { vault: state.vault() };
        let own = state.domain_of(&self.device.device_id()).ok_or(unknown)?;
        check_right(state, self.device, &own)?;
        let domains: BTreeSet<_> = state.snapshots().iter().map(|snapshot| snapshot.domain).collect();
        let mut plan = ForgetSummary::default();
        for domain in domains {
            let of_domain = state.snapshots().iter().filter(|snapshot| snapshot.domain == domain);
            let snapshots = of_domain.map(|snapshot| self.info(snapshot)).collect::<Result<_, Error>>()?;
            for (group, snapshots) in self.options.group_by.divide(snapshots) {
                let (decisions, others) = self.decide(snapshots);
                let forgets = decisions.iter().any(|decision| !decision.is_kept());
                let may = check_right(state, self.device, &domain);
                match &self.options.choice {
                    Choice::Named(_) if forgets => may?,
                    Choice::Rules(..) if may.is_err() => continue,
                    _ if decisions.is_empty() => continue,
                    _ => {}
                }
                if !self.options.force {
                    self.refuse_last(&group, &decisions, &others)?;
                }
                plan.groups.push(GroupDecision { group, snapshots: decisions });
            }
        }
        plan.groups.sort_by(|one, other| one.group.cmp(&other.group));
        Ok(plan)
    }

    /// What is decided by. Tags that are not known for sure are no reason to forget anything.
    fn info(&self, snapshot: &Snapshot) -> Result<SnapshotInfo, Error> {
        let by_tags = match &self.options.choice {
            Choice::Named(_) => false,
            Choice::Rules(rules, filter) => {
                self.options.group_by.tags || !rules.tags.is_empty() || !filter.tags.is_empty()
            }
        };
        if by_tags {
            self.reader.tags(snapshot)?;
        }
        info(self.reader, snapshot)
    }

    /// What is decided of the snapshots of one group, and those that are not chosen from.
    fn decide(&self, snapshots: Vec<SnapshotInfo>) -> (Vec<Decision>, Vec<SnapshotInfo>) {
        match &self.options.choice {
            Choice::Named(ids) => {
                let (named, others) = snapshots.into_iter().partition(|snapshot| ids.contains(&snapshot.id));
                let forget = |snapshot| Decision { snapshot, reasons: Vec::new() };
                (Vec::into_iter(named).map(forget).collect(), others)
            }
            Choice::Rules(rules, filter) => {
                let (taken, others): (Vec<_>, Vec<_>) =
                    snapshots.into_iter().partition(|snapshot| filter.takes(snapshot));
                let candidates: Vec<_> = taken.iter().map(|snapshot| self.candidate(snapshot)).collect();
                let reasons = retention::decide(rules, &candidates, self.now);
                let decision = |(snapshot, reasons)| Decision { snapshot, reasons };
                (taken.into_iter().zip(reasons).map(decision).collect(), others)
            }
        }
    }

    fn candidate<'s>(&self, snapshot: &'s SnapshotInfo) -> Candidate<'s> {
        Candidate {
            time: snapshot.committed,
            date: (self.calendar)(snapshot.committed),
            partial: snapshot.partial,
            tags: &snapshot.tags,
        }
    }

    /// A group that has complete snapshots keeps one. Those dated in the future do not count: they may be anybody's guess.
    fn refuse_last(
        &self,
        group: &Group,
        decisions: &[Decision],
        others: &[SnapshotInfo],
    ) -> Result<(), Error> {
        let counts = |snapshot: &&SnapshotInfo| !snapshot.partial && !is_future(snapshot.committed, self.now);
        let (kept, forgotten): (Vec<_>, Vec<_>) = decisions.iter().partition(|decision| decision.is_kept());
        let left = kept.iter().map(|decision| &decision.snapshot).chain(others).any(|one| counts(&one));
        let lost = forgotten.iter().map(|decision| &decision.snapshot).filter(counts);
        match lost.max_by_key(|snapshot| snapshot.committed) {
            Some(newest) if !left => {
                Err(Error::LastSnapshot { snapshot: newest.id, group: group.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Of the snapshots, those that are to be forgotten by this state of the log too.
    fn still_forgotten(&self, state: &State, batch: &[SnapshotId]) -> Result<Vec<SnapshotId>, Error> {
        let again: BTreeSet<SnapshotId> = self.plan(state)?.forgotten().map(|snapshot| snapshot.id).collect();
        let both: Vec<_> = batch.iter().copied().filter(|id| again.contains(id)).collect();
        // Nothing is left to say: others have forgotten it, or it is to be kept now.
        if both.is_empty() { Err(Error::Contended { attempts: 1 }) } else { Ok(both) }
    }
}
