//! Running a profile by itself: units of systemd, or a line in the crontab where there is no systemd.
//!
//! What is written carries a mark, and only what carries the mark is ever changed or removed. Writing the same again changes
//! nothing.

pub(crate) mod cron;
pub(crate) mod systemd;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use crate::config::profile::Profile;

/// Who runs profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scheduler {
    /// Timers of systemd
    Systemd,
    /// The crontab
    Cron,
}

impl Scheduler {
    /// What this machine has.
    pub(crate) fn of_this_machine() -> Self {
        if std::path::Path::new("/run/systemd/system").exists() { Self::Systemd } else { Self::Cron }
    }
}

/// What is needed to run a profile from anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The profile.
    pub(crate) profile: String,
    /// When, in systemd's words.
    pub(crate) calendar: String,
    /// How much later at most, in seconds.
    pub(crate) jitter: u64,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Variables that the run needs.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Plan {
    /// The plan for a profile, which must have a calendar.
    pub(crate) fn new(
        profile: &Profile,
        config: PathBuf,
        program: PathBuf,
        environment: Vec<(&'static str, OsString)>,
    ) -> Result<Self, ScheduleError> {
        let Some(calendar) = profile.schedule.calendar.clone() else {
            return Err(ScheduleError::NoCalendar { profile: profile.name.clone() });
        };
        let command = vec![
            program.into_os_string(),
            "run".into(),
            profile.name.clone().into(),
            "--quiet".into(),
            "--no-progress".into(),
            "--config".into(),
            config.into_os_string(),
        ];
        Ok(Self {
            profile: profile.name.clone(),
            calendar,
            jitter: profile.schedule.jitter.as_secs(),
            command,
            environment,
        })
    }

    /// The words of the command as text; what is not UTF-8 cannot stand in a unit or crontab.
    fn words(&self) -> Result<Vec<&str>, ScheduleError> {
        self.command.iter().map(|word| text(word)).collect()
    }

    fn variables(&self) -> Result<Vec<(&'static str, &str)>, ScheduleError> {
        self.environment.iter().map(|(name, value)| Ok((*name, text(value)?))).collect()
    }
}

fn text(word: &OsString) -> Result<&str, ScheduleError> {
    let printable = |word: &&str| !word.chars().any(char::is_control);
    word.to_str()
        .filter(printable)
        .ok_or_else(|| ScheduleError::NotText { word: word.to_string_lossy().into_owned() })
}

/// What happened to a file or crontab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new, or says something else now.
    Written,
    /// It said so already.
    Unchanged,
    /// It is gone.
    Removed,
}

/// Why a schedule could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// The profile says nothing about when.
    #[error("profile {profile} has no calendar")]
    NoCalendar {
        /// The profile.
        profile: String,
    },
    /// A time that cron cannot express.
    #[error("cron cannot express {calendar:?}")]
    NotForCron {
        /// The time.
        calendar: String,
    },
    /// A path or value that cannot stand in a unit.
    #[error("{word:?} cannot stand in a unit or crontab")]
    NotText {
        /// It.
        word: String,
    },
    /// A file stands where a unit should, and is not ours.
    #[error("{} was not written by vault", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program cannot be run.
    #[error("cannot run {program}")]
    NotRun {
        /// The program.
        program: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` ended with {status}{}", if stderr.is_empty() { String::new() } else { format!(": {stderr}") })]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
}

/// Runs a program to its end, and returns what it printed.
fn run(program: &'static str, arguments: &[&str]) -> Result<String, ScheduleError> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| ScheduleError::NotRun { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ScheduleError::Failed {
        command: format!("{program} {}", arguments.join(" ")),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Plan;

    /// A plan with everything that needs care.
    pub(crate) fn plan(calendar: &str) -> Plan {
        Plan {
            profile: "home".to_owned(),
            calendar: calendar.to_owned(),
            jitter: 1_800,
            command: ["/opt/my tools/vault", "run", "home", "--config", "/h/50% \"$x\\y.toml"]
                .map(Into::into)
                .to_vec(),
            environment: vec![("XDG_STATE_HOME", "/var/lib/my state".into())],
        }
    }
}
