//! `vault run`: does everything that a profile says, for each of its vaults.
//!
//! A vault that fails does not keep the others from their turn; the worst of them decides the exit code.

use std::time::Instant;

use super::backup::{self, BackedUp};
use crate::config::profile::Profile;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::report;
use crate::ui::{eprint_line, json, summary};
use crate::unattended::record::Record;
use crate::unattended::steps::{Due, Step, Steps};
use crate::unattended::{self, Ending};

/// Run a profile: back up, forget, prune, verify
///
/// Backs up what the profile says into each of its vaults; then forgets the snapshots that its rules do not keep, prunes when
/// that is due, and verifies a part of the contents. Its commands run before and after. What `vault schedule` calls.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  vault run home\n  vault run home --quiet")]
pub(crate) struct Run {
    /// Profile of the configuration [default: the only one, or `default`]
    #[arg(value_name = "PROFILE")]
    profile: Option<String>,
}

/// What was done for one vault.
pub(crate) struct VaultRun {
    /// The vault as it is named.
    pub(crate) vault: String,
    /// The steps, as far as they came.
    pub(crate) steps: Vec<Step>,
}

impl Run {
    /// Runs the profile and says what was done.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let configuration = context.configuration()?;
        let profile = match &self.profile {
            Some(name) => configuration.profile(name)?,
            None => configuration.usual_profile()?,
        };
        let begun = Instant::now();
        let mut failure = None;
        let exit = unattended::around(context, profile, &mut || {
            let contexts = contexts(context, profile);
            let backed_up = backup::back_up_all(&contexts, (backup::options_of(profile)?, None))?;
            let runs: Vec<VaultRun> = contexts
                .iter()
                .zip(backed_up)
                .map(|(one, backed_up)| run_vault(one, profile, backed_up))
                .collect();
            let exit = unattended::worst(runs.iter().flat_map(|run| &run.steps).filter_map(|step| step.exit));
            let ending = Ending { exit, snapshots: snapshots(&runs), message: message(&runs) };
            let document = json::RunProfile::new(&profile.name, exit, &runs, begun.elapsed());
            let text = summary::run(&profile.name, exit, &runs, begun.elapsed());
            context.ui.result(&document, &text).map_err(CliError::Output)?;
            if exit != Exit::Done {
                failure = Some(unattended::summary_line(&profile.name, &ending));
            }
            Ok(ending)
        })?;
        // Last, so that it is what one sees of a long log.
        if let Some(line) = failure {
            eprint_line(&line);
        }
        Ok(exit)
    }
}

/// One context for each vault: the one that is named, else those of the profile.
fn contexts(context: &Context, profile: &Profile) -> Vec<Context> {
    if context.names_vault() {
        return vec![context.again()];
    }
    profile.vaults.iter().map(|vault| context.for_vault(&vault.value)).collect()
}

/// Does the steps after the backup for one vault. What fails is told at once, and ends the steps for this vault.
fn run_vault(context: &Context, profile: &Profile, backed_up: Result<BackedUp, CliError>) -> VaultRun {
    let mut run = VaultRun { vault: context.vault_text().unwrap_or_default(), steps: Vec::new() };
    if let Err(failed) = take_steps((context, profile), backed_up, &mut run.steps) {
        let (name, error) = *failed;
        report::print(&error, context.vault_text().as_deref(), context.ui.stderr.colored);
        let text = report::in_one_line(&error);
        run.steps.push(Step { name, exit: Some(error.exit()), text, document: None });
    }
    run
}

fn take_steps(
    (context, profile): (&Context, &Profile),
    backed_up: Result<BackedUp, CliError>,
    done: &mut Vec<Step>,
) -> Result<(), Box<(&'static str, CliError)>> {
    let at = |name: &'static str| move |error| Box::new((name, error));
    backup::note_run(context, profile, &backed_up);
    let mut backed_up = backed_up.map_err(at("backup"))?;
    done.push(Step {
        name: "backup",
        exit: Some(backed_up.exit()),
        text: backed_up.headline(),
        document: serde_json::to_value(backed_up.document()).ok(),
    });
    if backed_up.exit() == Exit::Interrupted {
        return Ok(());
    }
    let made = backed_up.summary.snapshot;
    let name = context.vault_text().unwrap_or_default();
    let path = context.directories().map_err(at("forget"))?.runs(&profile.name);
    let runs = Record::load(&path).vaults.remove(&name).unwrap_or_default();
    let now = context.now();
    let due = Due { runs: &runs, now: now.seconds };
    let mut steps = Steps::new(context, &mut backed_up.vault, profile, &due).map_err(at("forget"))?;

    done.push(steps.forget(&profile.keep, &made).map_err(at("forget"))?);
    let pruned = steps.prune(profile.schedule.prune, &due).map_err(at("prune"))?;
    if pruned.exit == Some(Exit::Done)
        && let Err(error) = Record::update(&path, &name, |runs| runs.last_prune = Some(due.now))
    {
        context.ui.warn(&format!("cannot remember when prune ran: {error}"));
    }
    done.push(pruned);
    done.push(steps.verify(profile.schedule.verify, now).map_err(at("verify"))?);
    Ok(())
}

/// The snapshots that were made.
fn snapshots(runs: &[VaultRun]) -> Vec<String> {
    let documents = runs.iter().flat_map(|run| &run.steps).filter(|step| step.name == "backup");
    let ids = documents.filter_map(|step| step.document.as_ref()?.get("snapshot")?.as_str());
    ids.map(str::to_owned).collect()
}

/// What went wrong first, or what was done.
fn message(runs: &[VaultRun]) -> String {
    let steps = || runs.iter().flat_map(|run| run.steps.iter().map(move |step| (&run.vault, step)));
    let wrong = steps().find(|(_, step)| !matches!(step.exit, None | Some(Exit::Done)));
    let told = wrong.or_else(|| steps().next());
    told.map_or_else(String::new, |(vault, step)| format!("{vault}: {}: {}", step.name, step.text))
}
