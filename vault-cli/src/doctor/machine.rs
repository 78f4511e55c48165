//! What this machine itself can tell: versions, clock, configuration, directories, keys, runs and schedules.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, access};
use vault_core::bytes::ByteSize;
use vault_core::keys::key_file::read_private;

use super::{Findings, leftovers};
use crate::commands::schedule;
use crate::config::{self, Severity, check};
use crate::context::Context;
use crate::paths::{self, Directories};
use crate::schedule::Scheduler;
use crate::ui::human;
use crate::unattended::record::Record;

/// When this program was young: a clock that is earlier is wrong.
const EARLIEST: i64 = 1_767_225_600;
/// How far two clocks may be apart.
pub(super) const SKEW: Duration = Duration::from_secs(600);

pub(super) fn examine(context: &Context, findings: &mut Findings) {
    let system = rustix::system::uname();
    findings.ok(
        "version",
        format!(
            "vault {}, {} {} {}",
            env!("CARGO_PKG_VERSION"),
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
    );
    configuration(context, findings);
    match context.directories() {
        Err(error) => findings.fail_with("directories", &error, None),
        Ok(directories) => {
            clock(context, directories, findings);
            own_directories(directories, findings);
            keys(context, directories, findings);
            runs(context, directories, findings);
        }
    }
    schedules(context, findings);
}

fn configuration(context: &Context, findings: &mut Findings) {
    let (path, named) = match context.configuration_file() {
        Ok(file) => file,
        Err(error) => return findings.fail_with("configuration", &error, None),
    };
    let shown = human::path(&path);
    match check::check(&path, named, paths::home().as_deref()) {
        Err(error) => findings.fail_with("configuration", &error.into(), None),
        Ok(None) => findings.ok("configuration", format!("none in {shown}")),
        Ok(Some((configuration, problems))) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
            let text = format!(
                "{shown}: {}, {}",
                human::counted(configuration.vaults.len() as u64, "vault"),
                human::counted(configuration.profiles.len() as u64, "profile")
            );
            match (errors, problems.len()) {
                (0, 0) => findings.ok("configuration", text),
                (0, warnings) => findings.warn(
                    "configuration",
                    format!("{text}, {}", human::counted(warnings as u64, "warning")),
                    "see them: `vault config check`",
                ),
                (errors, _) => findings.fail(
                    "configuration",
                    format!("{shown}: {}", human::counted(errors as u64, "error")),
                    "see all of them: `vault config check`",
                ),
            }
        }
    }
}

/// The clock, against the earliest time it can be, and the file system's.
fn clock(context: &Context, directories: &Directories, findings: &mut Findings) {
    const HINT: &str = "set the clock, best by a time service: `timedatectl set-ntp true`";
    if context.now().seconds < EARLIEST {
        return findings.fail("clock", "it is earlier than this program", HINT);
    }
    let there = directories.all().into_iter().map(|(_, path)| path).find(|path| path.is_dir());
    let modified = there.and_then(|directory| {
        let file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory).ok()?;
        file.as_file().metadata().ok()?.modified().ok()
    });
    let now = SystemTime::now();
    match modified {
        Some(file) if apart(file, now) > SKEW => findings.warn(
            "clock",
            format!("the file system's is {} off", human::duration(apart(file, now))),
            HINT,
        ),
        _ => findings.ok("clock", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
    }
}

fn apart(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}

fn own_directories(directories: &Directories, findings: &mut Findings) {
    for (name, path) in directories.all() {
        let shown = human::path(path);
        let variable = directories.variable_for(path).unwrap_or_default();
        let hint = format!("make it writable, or set {variable} to a directory of yours");
        let Some(there) = path.ancestors().find(|path| path.exists()) else { continue };
        if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            findings.fail(name, format!("{shown} cannot be written"), &hint);
            continue;
        }
        if there != path {
            findings.ok(name, format!("{shown}, not made yet"));
            continue;
        }
        let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
        let stale = leftovers(path, 3);
        let text = format!("{shown}, {}", ByteSize(size(path, 6)));
        if mode & 0o022 != 0 {
            let hint =
                format!("keep others out: `chmod go-w {}`", human::shell_word(&path.to_string_lossy()));
            findings.warn(name, format!("{text}, but others may write there"), &hint);
        } else if stale > 0 {
            let hint =
                format!("delete what interrupted runs left: `find {shown} -name '.tmp-*' -mtime +1 -delete`");
            findings.warn(
                name,
                format!("{text}, {}", human::counted(stale as u64, "old temporary file")),
                &hint,
            );
        } else {
            findings.ok(name, text);
        }
        space(name, path, findings);
    }
}

/// Bytes of the files below a directory.
fn size(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && depth > 0 => size(&entry.path(), depth - 1),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    };
    entries.flatten().map(of).fold(0, u64::saturating_add)
}

/// Says so where a file system is nearly full.
pub(super) fn space(check: &'static str, path: &Path, findings: &mut Findings) {
    const LITTLE: u64 = 1 << 30;
    const NOTHING: u64 = 64 << 20;
    let Ok(system) = rustix::fs::statvfs(path) else { return };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let text = format!("{} free where {} is", ByteSize(free), human::path(path));
    if free < NOTHING {
        findings.fail(check, text, "make room: nothing can be stored");
    } else if free < LITTLE {
        findings.warn(check, text, "make room before it is full");
    }
}

fn keys(context: &Context, directories: &Directories, findings: &mut Findings) {
    let files = [("identity", directories.identity()), ("device key", directories.device_key())];
    for (name, path) in files {
        let shown = human::path(&path);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(_) if name == "identity" => {
                findings.ok(name, "none on this machine; vaults keep yours too");
                continue;
            }
            Err(_) => {
                findings.ok(name, "none yet; the first backup makes it");
                continue;
            }
        };
        if metadata.uid() != rustix::process::geteuid().as_raw() && !config::is_superuser() {
            findings.fail(
                name,
                format!("{shown} belongs to somebody else"),
                &format!("make it yours: `chown $USER {shown}`"),
            );
            continue;
        }
        let read = match name {
            "device key" => context.device().map(|device| format!(", device {}", device.device_id().short())),
            _ => read_private(&path).map(|_| String::new()).map_err(Into::into),
        };
        match read {
            Ok(more) => findings.ok(name, format!("{shown}{more}")),
            Err(error) => findings.fail_with(name, &error, None),
        }
    }
}

/// When each profile last succeeded.
fn runs(context: &Context, directories: &Directories, findings: &mut Findings) {
    let Ok(configuration) = context.configuration() else { return };
    let now = context.now().seconds;
    for profile in configuration.profiles.values() {
        let record = Record::load(&directories.runs(&profile.name));
        for vault in &profile.vaults {
            let runs = record.vaults.get(&vault.value).cloned().unwrap_or_default();
            let name = format!("{} into {}", profile.name, vault.value);
            let hint = format!("back up now: `vault run {}`", profile.name);
            let Some(success) = runs.last_success else {
                let tried = runs.last_exit.map(|exit| format!("; the last run ended with exit code {exit}"));
                findings.warn("backup", format!("{name}: never{}", tried.unwrap_or_default()), &hint);
                continue;
            };
            let age = Duration::from_secs(u64::try_from(now.saturating_sub(success)).unwrap_or(0));
            let text = format!("{name}: {} ago", age_text(age));
            let failed = runs.last_exit.is_some_and(|exit| exit != 0);
            if age > profile.schedule.stale_after {
                let limit = crate::values::span_text(profile.schedule.stale_after);
                findings.fail("backup", format!("{text}, overdue after {limit}"), &hint);
            } else if failed {
                let exit = runs.last_exit.unwrap_or_default();
                findings.warn("backup", format!("{text}; the last run ended with exit code {exit}"), &hint);
            } else {
                findings.ok("backup", text);
            }
        }
    }
}

/// How long ago something was, as precise as it matters.
fn age_text(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..7_200 => human::counted(seconds / 60, "minute"),
        seconds @ 7_200..172_800 => human::counted(seconds / 3_600, "hour"),
        seconds => human::counted(seconds / 86_400, "day"),
    }
}

/// Whether what should run by itself does.
fn schedules(context: &Context, findings: &mut Findings) {
    let scheduler = Scheduler::of_this_machine();
    let wanted = |context: &Context| -> Option<PathBuf> {
        let configuration = context.configuration().ok()?;
        let any = configuration.profiles.values().any(|profile| profile.schedule.calendar.is_some());
        any.then(|| context.configuration_file().ok().map(|(path, _)| path))?
    };
    if wanted(context).is_none() {
        return;
    }
    let standings = schedule::units(false).and_then(|units| schedule::standings(context, scheduler, &units));
    let standings = match standings {
        Ok(standings) => standings,
        Err(error) => {
            let hint = crate::report::next_step(&error, None);
            return findings.warn("schedule", crate::report::in_one_line(&error), &hint);
        }
    };
    for standing in standings.iter().filter(|standing| standing.calendar.is_some()) {
        let name = &standing.profile;
        let install = format!("`vault schedule install {name}`");
        match (standing.installed, standing.current, standing.active) {
            (false, ..) => findings.warn("schedule", format!("{name} does not run by itself"), &install),
            (_, false, _) => {
                findings.warn("schedule", format!("{name} runs other than configured"), &install);
            }
            (_, _, Some(false)) => {
                findings.fail("schedule", format!("the timer of {name} is not active"), &install);
            }
            _ => findings.ok("schedule", format!("{name} runs by itself")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_precise_as_it_matters() {
        let text = |seconds| age_text(Duration::from_secs(seconds));

        assert_eq!(text(60), "1 minute");
        assert_eq!(text(7_199), "119 minutes");
        assert_eq!(text(172_799), "47 hours");
        assert_eq!(text(172_800), "2 days");
    }
}
