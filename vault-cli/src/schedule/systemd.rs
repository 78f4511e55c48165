//! A timer and a service of systemd for each profile.
//!
//! Units lie with the user's own, or root's in the system's directory. A unit that does not begin with the mark is never
//! touched.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Change, Plan, ScheduleError, run};

/// How each unit begins that is ours.
const MARK: &str = "# Written by `vault schedule`, which overwrites changes.\n";

/// Where units are, and how systemd is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Units {
    directory: PathBuf,
    /// Whether they are the machine's, not a user's.
    system: bool,
}

/// The two units of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Units {
    /// The machine's units.
    pub(crate) fn system() -> Self {
        Self { directory: PathBuf::from("/etc/systemd/system"), system: true }
    }

    /// A user's units; `config` is the directory of the user's configurations.
    pub(crate) fn user(config: &Path) -> Self {
        Self { directory: config.join("systemd/user"), system: false }
    }

    /// Whether they are the machine's.
    pub(crate) fn are_system(&self) -> bool {
        self.system
    }

    fn path(&self, profile: &str, kind: &str) -> PathBuf {
        self.directory.join(format!("vault-{profile}.{kind}"))
    }

    /// What would be written: first the service, then the timer.
    pub(crate) fn plan(&self, plan: &Plan) -> Result<[Unit; 2], ScheduleError> {
        Ok([
            Unit { path: self.path(&plan.profile, "service"), text: service(plan)? },
            Unit { path: self.path(&plan.profile, "timer"), text: timer(plan) },
        ])
    }

    /// Writes the units and starts the timer.
    pub(crate) fn install(&self, plan: &Plan) -> Result<Vec<(PathBuf, Change)>, ScheduleError> {
        let units = self.plan(plan)?;
        // All are looked at before any is written.
        for unit in &units {
            read_ours(&unit.path)?;
        }
        let changes =
            units.iter().map(|unit| Ok((unit.path.clone(), write(unit)?))).collect::<Result<_, _>>()?;
        self.systemctl(&["daemon-reload"])?;
        self.systemctl(&["enable", "--now", &format!("vault-{}.timer", plan.profile)])?;
        Ok(changes)
    }

    /// Stops the timer of a profile and removes its units.
    pub(crate) fn remove(&self, profile: &str) -> Result<Vec<(PathBuf, Change)>, ScheduleError> {
        let paths = ["timer", "service"].map(|kind| self.path(profile, kind));
        let mut there = Vec::new();
        for path in paths {
            if read_ours(&path)?.is_some() {
                there.push(path);
            }
        }
        if there.is_empty() {
            return Ok(Vec::new());
        }
        let stopped = self.systemctl(&["disable", "--now", &format!("vault-{profile}.timer")]);
        for path in &there {
            fs::remove_file(path).map_err(|source| ScheduleError::File { path: path.clone(), source })?;
        }
        stopped?;
        self.systemctl(&["daemon-reload"])?;
        Ok(there.into_iter().map(|path| (path, Change::Removed)).collect())
    }

    /// The profiles that have a timer of ours.
    pub(crate) fn installed(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let name = |entry: io::Result<fs::DirEntry>| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix("vault-")?.strip_suffix(".timer")?.to_owned();
            read_ours(&path).ok().flatten().map(|_| name)
        };
        let mut profiles: Vec<String> = entries.filter_map(name).collect();
        profiles.sort();
        profiles
    }

    /// Whether the units of a profile say what they should.
    pub(crate) fn is_current(&self, plan: &Plan) -> bool {
        let is = |unit: &Unit| fs::read_to_string(&unit.path).is_ok_and(|text| text == unit.text);
        self.plan(plan).is_ok_and(|units| units.iter().all(is))
    }

    /// Whether systemd waits for the timer; `None` if it cannot be asked.
    pub(crate) fn is_active(&self, profile: &str) -> Option<bool> {
        match self.systemctl(&["is-active", &format!("vault-{profile}.timer")]) {
            Ok(_) => Some(true),
            Err(ScheduleError::Failed { status, .. }) if status.code() == Some(3) => Some(false),
            Err(_) => None,
        }
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<String, ScheduleError> {
        let user: &[&str] = if self.system { &[] } else { &["--user"] };
        run("systemctl", &[user, arguments].concat())
    }
}

/// The text of a unit of ours; `None` if there is no file.
fn read_ours(path: &Path) -> Result<Option<String>, ScheduleError> {
    match fs::read_to_string(path) {
        Ok(text) if text.starts_with(MARK) => Ok(Some(text)),
        Ok(_) => Err(ScheduleError::Foreign { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(ScheduleError::Foreign { path: path.to_owned() })
        }
        Err(source) => Err(ScheduleError::File { path: path.to_owned(), source }),
    }
}

fn write(unit: &Unit) -> Result<Change, ScheduleError> {
    if read_ours(&unit.path)?.as_ref() == Some(&unit.text) {
        return Ok(Change::Unchanged);
    }
    let write = || -> io::Result<()> {
        let directory = unit.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        file.write_all(unit.text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(&unit.path)?;
        Ok(())
    };
    write().map_err(|source| ScheduleError::File { path: unit.path.clone(), source })?;
    Ok(Change::Written)
}

fn service(plan: &Plan) -> Result<String, ScheduleError> {
    let words: Vec<String> = plan.words()?.into_iter().map(|word| quoted(&word.replace('$', "$$"))).collect();
    let mut variables = String::new();
    for (name, value) in plan.variables()? {
        // Writing to a `String` cannot fail.
        let _ = writeln!(variables, "Environment={}", quoted(&format!("{name}={value}")));
    }
    Ok(format!(
        "{MARK}[Unit]\n\
         Description=Back up profile {profile} with vault\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={command}\n\
         {variables}\
         Nice=10\n\
         IOSchedulingClass=idle\n\
         CPUWeight=20\n\
         IOWeight=20\n\
         UMask=0077\n\
         # A backup that is asked to stop keeps what it has stored.\n\
         TimeoutStopSec=5min\n",
        profile = plan.profile,
        command = words.join(" "),
    ))
}

fn timer(plan: &Plan) -> String {
    format!(
        "{MARK}[Unit]\n\
         Description=Time to back up profile {profile} with vault\n\
         \n\
         [Timer]\n\
         OnCalendar={calendar}\n\
         RandomizedDelaySec={jitter}\n\
         # A time that the machine slept through is made up for.\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        profile = plan.profile,
        calendar = plan.calendar,
        jitter = plan.jitter,
    )
}

/// A word as systemd takes it: in double quotes, with its specifiers doubled.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%$".contains(c);
    if !escaped.is_empty() && escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan;
    use super::*;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        let service = service(&plan("daily")).unwrap();

        assert!(
            service.contains(
                "ExecStart=\"/opt/my tools/vault\" run home --config \"/h/50%% \\\"$$x\\\\y.toml\"\n"
            ),
            "{service}"
        );
        assert!(service.contains("Environment=\"XDG_STATE_HOME=/var/lib/my state\"\n"));
    }

    #[test]
    fn systemd_finds_nothing_wrong_in_the_units() {
        let directory = tempfile::tempdir().unwrap();
        let units = Units { directory: directory.path().to_owned(), system: true };
        // The program must exist for systemd to be content.
        let plan =
            Plan { command: vec!["/bin/sh".into(), "run".into(), "50% $x".into()], ..plan("Mon..Fri 22:30") };
        let written = units.plan(&plan).unwrap();
        for unit in &written {
            write(unit).unwrap();
        }
        let paths = written.map(|unit| unit.path.to_str().unwrap().to_owned());

        match run("systemd-analyze", &["verify", &paths[0], &paths[1]]) {
            // Not every machine has it.
            Err(ScheduleError::NotRun { .. }) => {}
            outcome => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }

    #[test]
    fn a_unit_of_somebody_else_is_never_touched() {
        let directory = tempfile::tempdir().unwrap();
        let units = Units { directory: directory.path().to_owned(), system: false };
        let [service, timer] = units.plan(&plan("daily")).unwrap();
        fs::write(&timer.path, "[Timer]\n").unwrap();

        assert!(matches!(units.install(&plan("daily")), Err(ScheduleError::Foreign { .. })));
        assert!(matches!(units.remove("home"), Err(ScheduleError::Foreign { .. })));
        assert!(!service.path.exists() && units.installed().is_empty());
        assert_eq!(fs::read_to_string(&timer.path).unwrap(), "[Timer]\n");
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let units = Units { directory: directory.path().join("new"), system: false };
        let changes = |calendar| {
            units.plan(&plan(calendar)).unwrap().iter().map(|unit| write(unit).unwrap()).collect::<Vec<_>>()
        };

        assert_eq!(changes("daily"), [Change::Written, Change::Written]);
        assert_eq!(changes("daily"), [Change::Unchanged, Change::Unchanged]);
        assert_eq!(changes("weekly"), [Change::Unchanged, Change::Written]);
        assert!(units.is_current(&plan("weekly")) && !units.is_current(&plan("daily")));
        assert_eq!(units.installed(), ["home"]);
    }
}
