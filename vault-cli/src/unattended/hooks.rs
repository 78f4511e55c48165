//! The commands of a profile: run by `sh -c`, told how the run went, and ended when they take too long.
//!
//! What they print goes to stderr, so that stdout has the result only. They never see the passphrase.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Ending, result_word};
use crate::config::profile::Profile;
use crate::context::Context;
use crate::error::CliError;
use crate::{config, signals};

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a command has to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Before,
    OnSuccess,
    OnFailure,
    After,
}

/// What a command is told.
pub(crate) struct Told<'a> {
    pub(crate) profile: &'a str,
    /// How the work ended, and the same in one line; `None` before it.
    pub(crate) ending: Option<(&'a Ending, &'a str)>,
}

/// How a command ended that did not succeed.
#[derive(Debug)]
pub(crate) enum HookOutcome {
    /// It could not be run.
    NotRun(io::Error),
    /// It failed.
    Failed(ExitStatus),
    /// It took too long and was ended.
    TimedOut(Duration),
    /// The run was asked to stop.
    Interrupted,
}

impl fmt::Display for HookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(error) => write!(f, "could not be run: {error}"),
            Self::Failed(status) => write!(f, "ended with {status}"),
            Self::TimedOut(after) => {
                write!(f, "took longer than {} and was ended", crate::values::span_text(*after))
            }
            Self::Interrupted => f.write_str("was interrupted"),
        }
    }
}

/// Runs a command of a profile, if it has that one.
pub(crate) fn run(context: &Context, profile: &Profile, call: Call, told: &Told<'_>) -> Result<(), CliError> {
    let hooks = &profile.hooks;
    let (name, command) = match call {
        Call::Before => ("before", &hooks.before),
        Call::OnSuccess => ("on-success", &hooks.on_success),
        Call::OnFailure => ("on-failure", &hooks.on_failure),
        Call::After => ("after", &hooks.after),
    };
    let Some(command) = command else { return Ok(()) };
    context.ui.verbose(&format!("runs the command {name} of profile {}", profile.name));
    let stop = signals::stop_operation().map_err(CliError::Signals)?;
    // What comes after an interruption tells of it, and so is not itself interrupted by it.
    let may_stop = call == Call::Before;
    let outcome = execute(command, call, told, hooks.timeout, &|| may_stop && stop.requested());
    outcome.map_err(|outcome| CliError::Hook { name, profile: profile.name.clone(), outcome })
}

fn execute(
    command: &str,
    call: Call,
    told: &Told<'_>,
    timeout: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<(), HookOutcome> {
    let mut child = spawn(command, call, told).map_err(HookOutcome::NotRun)?;
    let line = told.ending.filter(|_| call == Call::OnFailure).map(|(_, line)| line);
    if let (Some(mut stdin), Some(line)) = (child.stdin.take(), line) {
        // A line fits into the pipe, so this never waits; a command need not read it.
        let _ = stdin.write_all(format!("{line}\n").as_bytes());
    }
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(HookOutcome::NotRun)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(HookOutcome::Failed(status)),
            None if stop() => {
                end(&mut child);
                return Err(HookOutcome::Interrupted);
            }
            None if begun.elapsed() >= timeout => {
                end(&mut child);
                return Err(HookOutcome::TimedOut(timeout));
            }
            None => thread::sleep(LOOK),
        }
    }
}

/// Starts a command in a process group of its own, so that it can be ended with all it has started.
fn spawn(command: &str, call: Call, told: &Told<'_>) -> io::Result<Child> {
    let stderr = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    let stdin = if call == Call::OnFailure { Stdio::piped() } else { Stdio::null() };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).process_group(0);
    shell.stdin(stdin).stdout(stderr()?).stderr(stderr()?);
    shell.env_remove(config::PASSPHRASE).env("VAULT_PROFILE", told.profile);
    if let Some((ending, line)) = told.ending {
        shell
            .env("VAULT_RESULT", result_word(ending.exit))
            .env("VAULT_EXIT", ending.exit.code().to_string())
            .env("VAULT_SNAPSHOT", ending.snapshots.join(" "))
            .env("VAULT_SUMMARY", line);
    }
    shell.spawn()
}

/// Ends a command and everything it has started: first by asking.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(group) = group else { return };
    // Fails only where there is nobody left.
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use crate::exit::Exit;

    use super::*;

    const TOLD: Told<'_> = Told { profile: "home", ending: None };
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_that_fails_says_how() {
        let run = |command| execute(command, Call::Before, &TOLD, LONG, &|| false);

        assert!(run("test \"$VAULT_PROFILE\" = home").is_ok());
        assert!(matches!(run("exit 3"), Err(HookOutcome::Failed(status)) if status.code() == Some(3)));
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alive");
        let command = format!("(sleep 60; touch {}) & sleep 60", file.display());
        let begun = Instant::now();

        let outcome = execute(&command, Call::After, &TOLD, Duration::from_millis(50), &|| false);

        assert!(matches!(outcome, Err(HookOutcome::TimedOut(_))));
        assert!(begun.elapsed() < LONG / 2);
    }

    #[test]
    fn a_command_stops_when_the_run_does() {
        let outcome = execute("sleep 60", Call::Before, &TOLD, LONG, &|| true);

        assert!(matches!(outcome, Err(HookOutcome::Interrupted)));
    }

    #[test]
    fn a_failure_is_told_in_the_environment_and_on_standard_input() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("told");
        let ending =
            Ending { exit: Exit::Full, snapshots: vec!["ab".to_owned()], message: "no room".to_owned() };
        let told = Told { profile: "home", ending: Some((&ending, "vault: no room")) };
        let command = format!(
            "(cat; echo $VAULT_RESULT $VAULT_EXIT $VAULT_SNAPSHOT ${{VAULT_PASSPHRASE-none}}) > {}",
            file.display()
        );

        execute(&command, Call::OnFailure, &told, LONG, &|| false).unwrap();

        assert_eq!(std::fs::read_to_string(file).unwrap(), "vault: no room\nfailed 6 ab none\n");
    }
}
