//! What `schedule` did and found.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::super::human::{message, path};
use crate::commands::schedule::Standing;
use crate::schedule::Change;

/// What was written or removed.
pub(crate) fn schedule_change(profile: &str, changes: &[(PathBuf, Change)]) -> String {
    if changes.is_empty() {
        return format!("there is no schedule for profile {}\n", message(profile));
    }
    changes.iter().fold(String::new(), |mut text, (file, change)| {
        let word = match change {
            Change::Written => "written",
            Change::Unchanged => "unchanged",
            Change::Removed => "removed",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{word:9}  {}", path(file));
        text
    })
}

/// Which profiles run by themselves.
pub(crate) fn schedule_show(standings: &[Standing]) -> String {
    if standings.is_empty() {
        return "there is no profile; `vault config example` shows how to write one\n".to_owned();
    }
    standings.iter().fold(String::new(), |mut text, standing| {
        let _ = writeln!(text, "{}: {}", message(&standing.profile), state(standing));
        text
    })
}

fn state(standing: &Standing) -> String {
    let profile = message(&standing.profile);
    match (&standing.calendar, standing.installed) {
        (None, false) => "has no schedule.calendar, and does not run by itself".to_owned(),
        (None, true) => {
            format!("is installed, but has no calendar any more; `vault schedule remove {profile}`")
        }
        (Some(calendar), false) => {
            format!("{}, not installed; `vault schedule install {profile}`", message(calendar))
        }
        (Some(calendar), true) => {
            let current = if standing.current {
                String::new()
            } else {
                format!(", but what is installed differs; `vault schedule install {profile}`")
            };
            let active = match standing.active {
                Some(true) => ", waiting for its time",
                Some(false) => ", but not active",
                None => "",
            };
            format!("{}{active}{current}", message(calendar))
        }
    }
}
