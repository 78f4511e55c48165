//! Running a profile when nobody watches: its commands around the work, and a record of how it ended.
//!
//! However the work ends, the commands that are meant for that run, and what they are told is what the exit code says. A backup
//! that is made stays made when a command after it fails; the run is then incomplete.

pub(crate) mod hooks;
pub(crate) mod record;
pub(crate) mod steps;

use crate::config::profile::Profile;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::report;
use crate::ui::human;

use self::hooks::{Call, Told};

/// How the work of a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The snapshots that were made, as full ids.
    pub(crate) snapshots: Vec<String>,
    /// What happened, in one line.
    pub(crate) message: String,
}

/// Does the work of a profile, with its commands before and after.
pub(crate) fn around(
    context: &Context,
    profile: &Profile,
    work: &mut dyn FnMut() -> Result<Ending, CliError>,
) -> Result<Exit, CliError> {
    let begin = Told { profile: &profile.name, ending: None };
    let result = hooks::run(context, profile, Call::Before, &begin).and_then(|()| work());
    let ending = match &result {
        Ok(ending) => ending.clone(),
        Err(error) => {
            Ending { exit: error.exit(), snapshots: Vec::new(), message: report::in_one_line(error) }
        }
    };
    let line = summary_line(&profile.name, &ending);
    let told = Told { profile: &profile.name, ending: Some((&ending, &line)) };
    let call = if ending.exit == Exit::Done { Call::OnSuccess } else { Call::OnFailure };
    let mut complete = true;
    for call in [call, Call::After] {
        if let Err(error) = hooks::run(context, profile, call, &told) {
            context.ui.warn(&report::in_one_line(&error));
            complete = false;
        }
    }
    let exit = result?.exit;
    Ok(if exit == Exit::Done && !complete { Exit::Incomplete } else { exit })
}

/// How a run ended: fit for the subject of a message.
pub(crate) fn summary_line(profile: &str, ending: &Ending) -> String {
    let (host, word) = (human::message(&crate::config::host()), result_word(ending.exit));
    let code = match ending.exit {
        Exit::Done => String::new(),
        exit => format!(" (exit {})", exit.code()),
    };
    format!("vault: profile {profile} on {host}: {word}{code}: {}", human::message(&ending.message))
}

/// What an exit code means for a run, in a word for scripts.
pub(crate) fn result_word(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "done",
        Exit::Incomplete => "incomplete",
        Exit::Interrupted => "interrupted",
        _ => "failed",
    }
}

/// The exit code of several endings: that of the worst.
pub(crate) fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::Incomplete => 1,
        Exit::Interrupted => 4,
        Exit::Integrity => 3,
        _ => 2,
    };
    // The first of the worst: `max_by_key` alone would take the last.
    exits.into_iter().fold(Exit::Done, |worst, exit| if rank(&exit) > rank(&worst) { exit } else { worst })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_ending_decides() {
        assert_eq!(worst([]), Exit::Done);
        assert_eq!(worst([Exit::Done, Exit::Incomplete]), Exit::Incomplete);
        assert_eq!(worst([Exit::NotFound, Exit::Full, Exit::Incomplete]), Exit::NotFound);
        assert_eq!(worst([Exit::NotFound, Exit::Integrity]), Exit::Integrity);
        assert_eq!(worst([Exit::Integrity, Exit::Interrupted]), Exit::Interrupted);
    }

    #[test]
    fn the_summary_is_one_line() {
        let ending = Ending { exit: Exit::Failed, snapshots: vec![], message: "no\nroom \x1b[2J".to_owned() };

        let line = summary_line("home", &ending);

        assert!(
            line.starts_with("vault: profile home on ") && line.contains(": failed (exit 1): no room"),
            "{line}"
        );
        assert!(!line.contains('\n') && !line.contains('\x1b'));
    }
}
