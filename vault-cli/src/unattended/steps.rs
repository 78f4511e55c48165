//! What a run does after its backup: forget, prune and the rolling check, each as the profile says.
//!
//! A step that is not wanted or not due is skipped and says why; it never counts as failed. One that is wanted and needs an
//! identity that nothing here opens is incomplete: nobody should believe that it was done.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use vault_core::id::SnapshotId;
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::ops;
use vault_core::ops::check::{CheckOptions, Sample};
use vault_core::ops::forget::{Choice, ForgetOptions};
use vault_core::ops::groups::{Filter, GroupBy};
use vault_core::ops::prune::{ORPHAN_AGE, PruneOptions};
use vault_core::ops::retention::Rules;
use vault_core::time::Timestamp;
use vault_core::vault::Vault;

use super::record::Runs;
use crate::config::profile::{Keep, Profile, Verify};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{human, json, summary, time};

/// What a step did.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Which: `backup`, `forget`, `prune` or `verify`.
    pub(crate) name: &'static str,
    /// How it ended; `None` if it was skipped.
    pub(crate) exit: Option<Exit>,
    /// What it did, or why not, in one line.
    pub(crate) text: String,
    /// The document that the command of this name prints, where it ran.
    pub(crate) document: Option<serde_json::Value>,
}

impl Step {
    /// A step that was not taken.
    pub(crate) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, exit: None, text: why.into(), document: None }
    }
}

/// The vault after its backup, and what opens it.
pub(crate) struct Steps<'a> {
    context: &'a Context,
    vault: &'a mut Vault,
    /// `None` where nothing here opens it.
    keys: Option<(UserIdentity, DeviceKeys)>,
}

impl<'a> Steps<'a> {
    /// Opens the identity if a step needs it; nobody is asked where nobody can answer.
    pub(crate) fn new(
        context: &'a Context,
        vault: &'a mut Vault,
        profile: &Profile,
        due: &Due<'_>,
    ) -> Result<Self, CliError> {
        let schedule = &profile.schedule;
        let prunes = schedule.prune.is_some_and(|every| due.left(every).is_none());
        if profile.keep.is_empty() && !prunes && schedule.verify.is_none() {
            return Ok(Self { context, vault, keys: None });
        }
        let opened = context.with_identity(vault, &mut |identity| {
            vault.unlock(&identity)?;
            Ok(identity)
        });
        let identity = match opened {
            Err(CliError::NoPassphrase | CliError::NoIdentity) => None,
            opened => Some(opened?),
        };
        let keys = identity.map(|identity| Ok::<_, CliError>((identity, context.device()?))).transpose()?;
        Ok(Self { context, vault, keys })
    }

    /// Forgets the snapshots like the one just made that no rule keeps: of this machine, and of the same paths.
    pub(crate) fn forget(&mut self, keep: &Keep, like: &SnapshotId) -> Result<Step, CliError> {
        if keep.is_empty() {
            return Ok(Step::skipped("forget", "no rules: every snapshot is kept"));
        }
        let Some((identity, device)) = &self.keys else { return Ok(locked("forget")) };
        let reader = self.vault.unlock(identity)?;
        let zone = TimeZone::system();
        let calendar = |moment| time::civil_hour(moment, &zone);
        let display = Display::new(self.context.ui);
        let around = self.context.around(&display)?;
        let mut forget = |choice, dry_run| {
            let options = ForgetOptions { choice, group_by: GroupBy::default(), force: false, dry_run };
            ops::forget::forget(self.vault, (&reader, device), &options, &around, &calendar)
                .map_err(|error| self.context.explain(error))
        };
        // What other profiles have saved is in other groups, and none of this one's business.
        let planned = forget(Choice::Rules(rules(keep), Filter::default()), true)?;
        let own =
            planned.groups.iter().find(|group| group.snapshots.iter().any(|one| one.snapshot.id == *like));
        let decisions = own.map_or(&[][..], |group| &group.snapshots);
        let out: Vec<SnapshotId> =
            decisions.iter().filter(|one| !one.is_kept()).map(|one| one.snapshot.id).collect();
        let text = format!(
            "{} forgotten, {} kept",
            human::counted(out.len() as u64, "snapshot"),
            human::count((decisions.len() - out.len()) as u64)
        );
        let document = if out.is_empty() {
            None
        } else {
            let forgotten = forget(Choice::Named(out), false)?;
            serde_json::to_value(json::Forget::new(&self.vault.id().to_hex(), &forgotten, false)).ok()
        };
        display.finish();
        Ok(Step { name: "forget", exit: Some(Exit::Done), text, document })
    }

    /// Deletes what no snapshot needs, if the last time is longer ago than `every`.
    pub(crate) fn prune(&mut self, every: Option<Duration>, due: &Due<'_>) -> Result<Step, CliError> {
        let Some(every) = every else { return Ok(Step::skipped("prune", "not wanted")) };
        if let Some(left) = due.left(every) {
            return Ok(Step::skipped("prune", format!("not due for {} yet", days(left))));
        }
        let Some((identity, device)) = &self.keys else { return Ok(locked("prune")) };
        let reader = self.vault.unlock(identity)?;
        let begun = Instant::now();
        let display = Display::new(self.context.ui);
        let options = PruneOptions { dry_run: false, orphan_age: ORPHAN_AGE };
        let around = self.context.around(&display)?;
        let pruned = ops::prune::prune(self.vault, &reader, device, &options, &around)
            .map_err(|error| self.context.explain(error))?;
        display.finish();
        let document = json::prune::Prune::new(&self.vault.id().to_hex(), false, &pruned, begun.elapsed());
        Ok(Step {
            name: "prune",
            exit: Some(if pruned.interrupted { Exit::Interrupted } else { Exit::Done }),
            text: headline(&summary::prune::prune(false, &pruned, begun.elapsed())),
            document: serde_json::to_value(document).ok(),
        })
    }

    /// Verifies a part of the contents, and notes in the vault what is as it should be.
    pub(crate) fn verify(&mut self, verify: Option<Verify>, now: Timestamp) -> Result<Step, CliError> {
        let Some(verify) = verify else { return Ok(Step::skipped("verify", "not wanted")) };
        let Some((identity, device)) = &self.keys else { return Ok(locked("verify")) };
        let reader = self.vault.unlock(identity)?;
        let age = i64::try_from(verify.max_age.as_secs()).unwrap_or(i64::MAX);
        let since = Timestamp::new(now.seconds.saturating_sub(age), now.nanos);
        let options =
            CheckOptions { read_data: false, sample: Some(Sample { since, budget: verify.budget }) };
        let begun = Instant::now();
        let display = Display::new(self.context.ui);
        let around = self.context.around(&display)?;
        let checked = ops::check::check(self.vault, &reader, options, &around)
            .map_err(|error| self.context.explain(error))?;
        let mut noted = false;
        if !checked.verified.is_empty() {
            ops::attest::attest(self.vault, device, &checked.verified, &around)
                .map_err(|error| self.context.explain(error))?;
            noted = true;
        }
        display.finish();
        for finding in &checked.findings {
            self.context.ui.damage(&summary::finding(finding));
        }
        let elapsed = begun.elapsed();
        let exit = match (checked.findings.is_empty(), checked.interrupted) {
            (false, _) => Exit::Integrity,
            (true, true) => Exit::Interrupted,
            (true, false) => Exit::Done,
        };
        let document = json::Check::new(&self.vault.id().to_hex(), &checked, noted, elapsed);
        Ok(Step {
            name: "verify",
            exit: Some(exit),
            text: headline(&summary::check(&checked, &options, elapsed)),
            document: serde_json::to_value(document).ok(),
        })
    }
}

/// A step that is wanted, where nothing opens the identity.
fn locked(name: &'static str) -> Step {
    let text =
        "it needs your identity, and nothing here opens it: give the vault a passphrase-command".to_owned();
    Step { name, exit: Some(Exit::Incomplete), text, document: None }
}

fn rules(keep: &Keep) -> Rules {
    Rules {
        last: keep.last.unwrap_or(0),
        hourly: keep.hourly.unwrap_or(0),
        daily: keep.daily.unwrap_or(0),
        weekly: keep.weekly.unwrap_or(0),
        monthly: keep.monthly.unwrap_or(0),
        yearly: keep.yearly.unwrap_or(0),
        within_seconds: keep.within.map(|span| span.as_secs()),
        tags: keep.tag.clone(),
    }
}

fn headline(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What is due now.
pub(crate) struct Due<'a> {
    /// What happened before.
    pub(crate) runs: &'a Runs,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

impl Due<'_> {
    /// How long until the next prune; `None` if it is due. A time in the future, from a wrong clock, counts as none.
    fn left(&self, every: Duration) -> Option<Duration> {
        let last = self.runs.last_prune.filter(|last| *last <= self.now)?;
        let since = Duration::from_secs(self.now.abs_diff(last));
        every.checked_sub(since).filter(|left| !left.is_zero())
    }
}

fn days(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..86_400 => human::counted(seconds.div_ceil(3_600), "hour"),
        seconds => human::counted(seconds.div_ceil(86_400), "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prune_is_due_when_the_last_one_is_old_enough_or_not_known() {
        let left = |last_prune, now| {
            let runs = Runs { last_prune, ..Runs::default() };
            Due { runs: &runs, now }.left(Duration::from_secs(100))
        };

        assert_eq!(left(None, 1_000), None);
        assert_eq!(left(Some(900), 1_000), None);
        assert_eq!(left(Some(950), 1_000), Some(Duration::from_secs(50)));
        assert_eq!(left(Some(2_000), 1_000), None);
    }

    #[test]
    fn what_is_wanted_and_cannot_be_done_is_no_success() {
        assert_eq!(locked("prune").exit, Some(Exit::Incomplete));
        assert_eq!(Step::skipped("prune", "not wanted").exit, None);
    }
}
