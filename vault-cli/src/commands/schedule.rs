//! `vault schedule`: lets a profile run by itself.
//!
//! What a schedule runs is `vault run`, by its absolute path, with the configuration and directories that are in force now.

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::profile::Profile;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::schedule::systemd::Units;
use crate::schedule::{Change, Plan, Scheduler, cron};
use crate::ui::{human, json, summary};
use crate::{config, paths};

/// Let a profile run by itself
///
/// Writes a timer of systemd for `vault run PROFILE`, or a line in the crontab where there is no systemd. For root the timer is
/// the machine's, for others the user's own. The profile says when: `schedule.calendar` in the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault schedule install home --print\n  \
    vault schedule install home\n  \
    vault schedule show")]
pub(crate) struct Schedule {
    #[command(subcommand)]
    command: Command,

    /// Which to use [default: systemd where it runs]
    #[arg(long, global = true, value_enum, value_name = "SCHEDULER")]
    with: Option<Scheduler>,

    /// Use the user's own timers also as root
    #[arg(long, global = true)]
    user: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the timer of a profile, or bring it up to date
    Install {
        /// Profile of the configuration [default: the only one, or `default`]
        #[arg(value_name = "PROFILE")]
        profile: Option<String>,

        /// Show what would be written, and write nothing
        #[arg(long)]
        print: bool,
    },
    /// Show which profiles run by themselves
    Show,
    /// Remove the timer of a profile
    Remove {
        /// Profile, also one that the configuration no longer has
        #[arg(value_name = "PROFILE")]
        profile: Option<String>,
    },
}

/// How a profile stands with its schedule.
pub(crate) struct Standing {
    pub(crate) profile: String,
    /// When, as the configuration says.
    pub(crate) calendar: Option<String>,
    pub(crate) installed: bool,
    /// Whether what is installed is what the configuration says.
    pub(crate) current: bool,
    /// Whether the timer waits; `None` if that is not known.
    pub(crate) active: Option<bool>,
}

impl Schedule {
    /// Does one of them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let scheduler = self.with.unwrap_or_else(Scheduler::of_this_machine);
        let units = units(self.user)?;
        match self.command {
            Command::Install { profile, print } => {
                let plan = plan(context, chosen(context, profile.as_deref())?)?;
                if print {
                    show_plan(context, &plan, scheduler, &units)
                } else {
                    install(context, &plan, scheduler, &units)
                }
            }
            Command::Show => {
                let standings = standings(context, scheduler, &units)?;
                let document = json::ScheduleShow::new(scheduler, &standings);
                context
                    .ui
                    .answer(&document, &summary::schedule_show(&standings))
                    .map_err(CliError::Output)?;
                Ok(Exit::Done)
            }
            Command::Remove { profile } => {
                let name = match profile {
                    Some(name) => name,
                    None => chosen(context, None)?.name.clone(),
                };
                let changes = match scheduler {
                    Scheduler::Systemd => units.remove(&name)?,
                    Scheduler::Cron => {
                        let old = cron::read()?;
                        let change = cron::replace(&old, &cron::without(&old, &name))?;
                        if change == Change::Written {
                            vec![(PathBuf::from("crontab"), Change::Removed)]
                        } else {
                            vec![]
                        }
                    }
                };
                tell(context, "schedule remove", &name, scheduler, &changes)
            }
        }
    }
}

/// Where units belong.
pub(crate) fn units(user: bool) -> Result<Units, CliError> {
    Ok(if config::is_superuser() && !user { Units::system() } else { Units::user(&paths::config_home()?) })
}

fn chosen<'c>(context: &'c Context, name: Option<&str>) -> Result<&'c Profile, CliError> {
    let configuration = context.configuration()?;
    Ok(match name {
        Some(name) => configuration.profile(name)?,
        None => configuration.usual_profile()?,
    })
}

/// What is to run for a profile, and with which surroundings.
pub(crate) fn plan(context: &Context, profile: &Profile) -> Result<Plan, CliError> {
    let (file, _) = context.configuration_file()?;
    let file = std::path::absolute(&file).unwrap_or(file);
    let program = config::program().map_err(|source| CliError::Program { source })?;
    Ok(Plan::new(profile, file, program, paths::environment())?)
}

fn show_plan(context: &Context, plan: &Plan, scheduler: Scheduler, units: &Units) -> Result<Exit, CliError> {
    let files = match scheduler {
        Scheduler::Systemd => units.plan(plan)?.map(|unit| (human::path(&unit.path), unit.text)).to_vec(),
        Scheduler::Cron => vec![("crontab".to_owned(), cron::block(plan, &config::host())?)],
    };
    let text = files.iter().map(|(name, text)| format!("# {name}\n{text}")).collect::<Vec<_>>().join("\n");
    let document = json::SchedulePlan::new(&plan.profile, scheduler, &files);
    context.ui.answer(&document, &text).map_err(CliError::Output)?;
    Ok(Exit::Done)
}

fn install(context: &Context, plan: &Plan, scheduler: Scheduler, units: &Units) -> Result<Exit, CliError> {
    let changes = match scheduler {
        Scheduler::Systemd => units.install(plan)?,
        Scheduler::Cron => {
            let old = cron::read()?;
            let new = cron::with(&old, plan, &config::host())?;
            vec![(PathBuf::from("crontab"), cron::replace(&old, &new)?)]
        }
    };
    match scheduler {
        Scheduler::Cron => context
            .ui
            .note("cron does not make up for times when the machine was off; choose a time when it is on"),
        Scheduler::Systemd if !units.are_system() && !config::lingers() => context
            .ui
            .note("it runs only while you are logged in, unless you allow more: `loginctl enable-linger`"),
        Scheduler::Systemd => {}
    }
    tell(context, "schedule install", &plan.profile, scheduler, &changes)
}

fn tell(
    context: &Context,
    command: &'static str,
    profile: &str,
    scheduler: Scheduler,
    changes: &[(PathBuf, Change)],
) -> Result<Exit, CliError> {
    let document = json::ScheduleChange::new(command, profile, scheduler, changes);
    let text = summary::schedule_change(profile, changes);
    context.ui.result(&document, &text).map_err(CliError::Output)?;
    Ok(Exit::Done)
}

/// How every profile stands that is configured or installed.
pub(crate) fn standings(
    context: &Context,
    scheduler: Scheduler,
    units: &Units,
) -> Result<Vec<Standing>, CliError> {
    let crontab = if scheduler == Scheduler::Cron { cron::read()? } else { String::new() };
    let installed = match scheduler {
        Scheduler::Systemd => units.installed(),
        Scheduler::Cron => cron::installed(&crontab),
    };
    let profiles = &context.configuration()?.profiles;
    let mut names: Vec<&String> = profiles.keys().chain(&installed).collect();
    names.sort();
    names.dedup();
    let standing = |name: &String| {
        let plan = profiles.get(name).and_then(|profile| plan(context, profile).ok());
        let is_installed = installed.contains(name);
        let current = plan.as_ref().is_some_and(|plan| match scheduler {
            Scheduler::Systemd => units.is_current(plan),
            Scheduler::Cron => cron::with(&crontab, plan, &config::host()).is_ok_and(|new| new == crontab),
        });
        Standing {
            profile: name.clone(),
            calendar: plan.map(|plan| plan.calendar),
            installed: is_installed,
            current: is_installed && current,
            active: match scheduler {
                Scheduler::Systemd if is_installed => units.is_active(name),
                _ => None,
            },
        }
    };
    Ok(names.into_iter().map(standing).collect())
}
