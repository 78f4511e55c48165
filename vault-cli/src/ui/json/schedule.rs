//! The documents of `schedule`.

use std::path::PathBuf;

use serde::Serialize;

use super::PathText;
use crate::commands::schedule::Standing;
use crate::schedule::{Change, Scheduler};

fn name(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::Systemd => "systemd",
        Scheduler::Cron => "cron",
    }
}

/// What `schedule install` or `schedule remove` changed.
#[derive(Debug, Serialize)]
pub(crate) struct ScheduleChange<'a> {
    command: &'static str,
    profile: &'a str,
    scheduler: &'static str,
    files: Vec<File>,
}

#[derive(Debug, Serialize)]
struct File {
    #[serde(flatten)]
    path: PathText,
    change: &'static str,
}

impl<'a> ScheduleChange<'a> {
    pub(crate) fn new(
        command: &'static str,
        profile: &'a str,
        scheduler: Scheduler,
        changes: &[(PathBuf, Change)],
    ) -> Self {
        let file = |(path, change): &(PathBuf, Change)| File {
            path: PathText::new(path),
            change: match change {
                Change::Written => "written",
                Change::Unchanged => "unchanged",
                Change::Removed => "removed",
            },
        };
        Self { command, profile, scheduler: name(scheduler), files: changes.iter().map(file).collect() }
    }
}

/// What `schedule install --print` would write.
#[derive(Debug, Serialize)]
pub(crate) struct SchedulePlan<'a> {
    command: &'static str,
    profile: &'a str,
    scheduler: &'static str,
    files: Vec<Planned<'a>>,
}

#[derive(Debug, Serialize)]
struct Planned<'a> {
    path: &'a str,
    text: &'a str,
}

impl<'a> SchedulePlan<'a> {
    pub(crate) fn new(profile: &'a str, scheduler: Scheduler, files: &'a [(String, String)]) -> Self {
        let files = files.iter().map(|(path, text)| Planned { path, text }).collect();
        Self { command: "schedule install", profile, scheduler: name(scheduler), files }
    }
}

/// What `schedule show` found.
#[derive(Debug, Serialize)]
pub(crate) struct ScheduleShow<'a> {
    command: &'static str,
    scheduler: &'static str,
    profiles: Vec<Shown<'a>>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    profile: &'a str,
    calendar: Option<&'a str>,
    installed: bool,
    current: bool,
    active: Option<bool>,
}

impl<'a> ScheduleShow<'a> {
    pub(crate) fn new(scheduler: Scheduler, standings: &'a [Standing]) -> Self {
        let shown = |standing: &'a Standing| Shown {
            profile: &standing.profile,
            calendar: standing.calendar.as_deref(),
            installed: standing.installed,
            current: standing.current,
            active: standing.active,
        };
        Self {
            command: "schedule show",
            scheduler: name(scheduler),
            profiles: standings.iter().map(shown).collect(),
        }
    }
}
