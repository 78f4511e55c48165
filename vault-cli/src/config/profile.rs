//! A profile: what is backed up unattended, where to, when, what is kept, and what runs around it.
//!
//! Values are checked when the file is read; a profile in hand needs no further look at its texts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_core::chunk::compress::Level;
use vault_core::ops::check::Budget;

use super::file::{absolute, unlocated};
use super::section::{Located, Section};
use crate::values::{self, duration::NotADuration};

/// How long a hook may run where nothing else is said.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How much later than planned a run may begin, so that machines do not all begin at once.
pub(crate) const JITTER: Duration = Duration::from_secs(30 * 60);
/// Age from which on the newest backup is a matter of concern.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(3 * 86_400);

/// One profile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Names of the vaults, at least one.
    pub(crate) vaults: Vec<Located<String>>,
    /// What is backed up, at least one absolute path.
    pub(crate) sources: Vec<Located<PathBuf>>,
    pub(crate) exclude: Vec<String>,
    pub(crate) exclude_file: Vec<Located<PathBuf>>,
    pub(crate) exclude_caches: bool,
    pub(crate) exclude_larger_than: Option<u64>,
    pub(crate) one_file_system: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) compression: Option<Level>,
    pub(crate) host: Option<String>,
    pub(crate) keep: Keep,
    pub(crate) hooks: Hooks,
    pub(crate) schedule: Schedule,
}

/// Which snapshots are kept; nothing is forgotten where all of it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) last: Option<u32>,
    pub(crate) hourly: Option<u32>,
    pub(crate) daily: Option<u32>,
    pub(crate) weekly: Option<u32>,
    pub(crate) monthly: Option<u32>,
    pub(crate) yearly: Option<u32>,
    /// Everything younger than this.
    pub(crate) within: Option<Duration>,
    /// Everything with one of these tags.
    pub(crate) tag: Vec<String>,
}

impl Keep {
    /// Whether there is no rule, so that nothing is ever forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Commands around a run, for `sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hooks {
    /// Before anything else; if it fails there is no backup.
    pub(crate) before: Option<String>,
    /// At the end, however it ended.
    pub(crate) after: Option<String>,
    /// When something failed or is missing.
    pub(crate) on_failure: Option<String>,
    /// When all was done.
    pub(crate) on_success: Option<String>,
    /// How long each may run.
    pub(crate) timeout: Duration,
}

/// When a profile runs by itself, and what it then does beside the backup.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    /// When, as systemd writes it.
    pub(crate) calendar: Option<String>,
    /// How much later at most.
    pub(crate) jitter: Duration,
    /// From which age on a backup is overdue.
    pub(crate) stale_after: Duration,
    /// The rolling check of contents; `None` where none is wanted.
    pub(crate) verify: Option<Verify>,
    /// How often to prune; `None` where it is not wanted.
    pub(crate) prune: Option<Duration>,
}

/// The rolling check: everything is read again within some time, a part in each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verify {
    /// What was verified longer ago is verified again.
    pub(crate) max_age: Duration,
    /// How much is verified in one run.
    pub(crate) budget: Budget,
}

/// Reads how often something is due: a word or a time span; `None` for `never`.
fn interval(text: &str) -> Result<Option<Duration>, NotADuration> {
    let days = match text {
        "never" => return Ok(None),
        "daily" => 1,
        "weekly" => 7,
        "monthly" => 30,
        other => return values::span(other).map(Some),
    };
    Ok(Some(Duration::from_secs(days * 86_400)))
}

/// Reads a profile; what is wrong is noted and left out.
pub(super) fn read(name: &str, section: Section<'_>, home: Option<&Path>) -> Profile {
    let text = |text: &str| if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) };
    let path = |text: &str| absolute(text, home);
    let mut vaults = section.list("vaults", text);
    vaults.extend(section.list("vault", text));
    if vaults.is_empty() {
        section.error("vault is missing: the name of a vault in [vaults]");
    }
    let sources = section.list("sources", path);
    if sources.is_empty() {
        section.error("sources are missing: the directories to back up");
    }
    let profile = Profile {
        name: name.to_owned(),
        vaults,
        sources,
        exclude: unlocated(section.list("exclude", text)),
        exclude_file: section.list("exclude-file", path),
        exclude_caches: section.flag("exclude-caches"),
        exclude_larger_than: section.parsed("exclude-larger-than", values::size),
        one_file_system: section.flag("one-file-system"),
        tags: unlocated(section.list("tags", text)),
        compression: section.text_or_number("compression", values::level),
        host: section.parsed("host", text),
        keep: section.section("keep").map(keep).unwrap_or_default(),
        hooks: hooks(section.section("hooks")),
        schedule: schedule(section.section("schedule")),
    };
    section.finish();
    profile
}

fn keep(section: Section<'_>) -> Keep {
    let keep = Keep {
        last: section.number("last"),
        hourly: section.number("hourly"),
        daily: section.number("daily"),
        weekly: section.number("weekly"),
        monthly: section.number("monthly"),
        yearly: section.number("yearly"),
        within: section.parsed("within", values::span),
        tag: unlocated(section.list("tag", |text| Ok::<_, String>(text.to_owned()))),
    };
    section.finish();
    keep
}

fn hooks(section: Option<Section<'_>>) -> Hooks {
    let Some(section) = section else {
        return Hooks {
            before: None,
            after: None,
            on_failure: None,
            on_success: None,
            timeout: HOOK_TIMEOUT,
        };
    };
    let command = |key| section.text(key).map(str::to_owned);
    let hooks = Hooks {
        before: command("before"),
        after: command("after"),
        on_failure: command("on-failure"),
        on_success: command("on-success"),
        timeout: section.parsed("timeout", values::span).unwrap_or(HOOK_TIMEOUT),
    };
    section.finish();
    hooks
}

fn schedule(section: Option<Section<'_>>) -> Schedule {
    let usual = Schedule {
        calendar: None,
        jitter: JITTER,
        stale_after: STALE_AFTER,
        verify: None,
        prune: Some(Duration::from_secs(7 * 86_400)),
    };
    let Some(section) = section else { return usual };
    let schedule = Schedule {
        calendar: section.parsed("calendar", calendar),
        jitter: section.parsed("jitter", values::span).unwrap_or(usual.jitter),
        stale_after: section.parsed("stale-after", values::span).unwrap_or(usual.stale_after),
        verify: section.section("verify").and_then(verify),
        prune: section.parsed("prune", interval).unwrap_or(usual.prune),
    };
    section.finish();
    schedule
}

fn verify(section: Section<'_>) -> Option<Verify> {
    let max_age = section.parsed("max-age", values::span);
    let budget = section.parsed("budget", values::budget);
    if !section.has("max-age") {
        section.error("max-age is missing, as in {max-age = \"30d\", budget = \"5%\"}");
    }
    section.finish();
    Some(Verify { max_age: max_age?, budget: budget.unwrap_or(Budget::All) })
}

/// Something that can stand in a unit file: one line of printable ASCII.
fn calendar(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.len() > 200 || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Err("expected daily, weekly, a time like 22:30, or another calendar event of systemd");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_words_or_time_spans() {
        assert_eq!(interval("never"), Ok(None));
        assert_eq!(interval("weekly"), Ok(Some(Duration::from_secs(7 * 86_400))));
        assert_eq!(interval("12h"), Ok(Some(Duration::from_secs(12 * 3_600))));
        assert!(interval("sometimes").is_err());
    }

    #[test]
    fn a_calendar_event_is_one_line() {
        assert_eq!(calendar(" Mon..Fri 22:30 "), Ok("Mon..Fri 22:30".to_owned()));
        assert!(calendar("daily\nExecStart=/bin/sh").is_err());
        assert!(calendar("").is_err());
    }
}
