//! A line in the user's crontab for each profile, between two marks.
//!
//! Only what stands between the marks is changed. Cron does not make up for times when the machine was off, and has no
//! delay of its own: simple words like `daily` get a minute that depends on machine and profile, always the same.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Change, Plan, ScheduleError};
use crate::ui::human::shell_word;

/// The crontab with a profile's line put in.
pub(crate) fn with(crontab: &str, plan: &Plan, host: &str) -> Result<String, ScheduleError> {
    let block = block(plan, host)?;
    let mut text = without(crontab, &plan.profile);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text + &block)
}

/// The crontab without a profile's line.
pub(crate) fn without(crontab: &str, profile: &str) -> String {
    let (begin, end) = (begin(profile), end(profile));
    let mut inside = false;
    let mut text = String::with_capacity(crontab.len());
    for line in crontab.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == begin {
            inside = true;
        }
        if !inside {
            text.push_str(line);
        }
        if bare == end {
            inside = false;
        }
    }
    text
}

/// The profiles that have a line of ours.
pub(crate) fn installed(crontab: &str) -> Vec<String> {
    let name = |line: &str| Some(line.trim_end().strip_prefix("# vault ")?.strip_suffix(BEGIN)?.to_owned());
    crontab.lines().filter_map(name).collect()
}

/// The lines of a profile.
pub(crate) fn block(plan: &Plan, host: &str) -> Result<String, ScheduleError> {
    let fields = fields(&plan.calendar, spread(host, &plan.profile, plan.jitter / 60))
        .ok_or_else(|| ScheduleError::NotForCron { calendar: plan.calendar.clone() })?;
    let mut words = vec!["nice".to_owned(), "-n".to_owned(), "10".to_owned()];
    let variables = plan.variables()?;
    if !variables.is_empty() {
        words.push("env".to_owned());
        words.extend(variables.into_iter().map(|(name, value)| shell_word(&format!("{name}={value}"))));
    }
    words.extend(plan.words()?.into_iter().map(shell_word));
    // To cron a percent sign ends the command.
    let command = words.join(" ").replace('%', "\\%");
    Ok(format!("{}\n{fields} {command}\n{}\n", begin(&plan.profile), end(&plan.profile)))
}

const BEGIN: &str = ": written by `vault schedule`, which overwrites changes";

fn begin(profile: &str) -> String {
    format!("# vault {profile}{BEGIN}")
}

fn end(profile: &str) -> String {
    format!("# vault {profile}: end")
}

/// A minute below `jitter` (at most an hour's) that is always the same for this machine and profile.
fn spread(host: &str, profile: &str, jitter: u64) -> u64 {
    let hash =
        host.bytes().chain([0]).chain(profile.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            // FNV-1a: any function that spreads names will do.
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    (hash >> 32) % jitter.clamp(1, 60)
}

/// The five fields of a crontab line; `minute` is that of simple words.
fn fields(calendar: &str, minute: u64) -> Option<String> {
    match calendar {
        "hourly" => return Some(format!("{minute} * * * *")),
        "daily" => return Some(format!("{minute} 0 * * *")),
        "weekly" => return Some(format!("{minute} 0 * * 1")),
        "monthly" => return Some(format!("{minute} 0 1 * *")),
        _ => {}
    }
    if let Some(step) = calendar.strip_prefix("*:0/") {
        let step: u8 = step.parse().ok().filter(|step| (1..60).contains(step))?;
        return Some(format!("*/{step} * * * *"));
    }
    let mut words: Vec<&str> = calendar.split_whitespace().filter(|word| *word != "*-*-*").collect();
    let time = words.pop()?;
    let (hours, rest) = time.split_once(':')?;
    let minutes = rest.strip_suffix(":00").unwrap_or(rest);
    let number = |text: &str, limit: u8| text.parse::<u8>().ok().filter(|number| *number < limit);
    let minute = number(minutes, 60)?;
    let hours: Vec<String> =
        hours.split(',').map(|hour| Some(number(hour, 24)?.to_string())).collect::<Option<_>>()?;
    let days = match words[..] {
        [] => "*".to_owned(),
        [days] => days.split(',').map(days_of_week).collect::<Option<Vec<_>>>()?.join(","),
        _ => return None,
    };
    Some(format!("{minute} {} * * {days}", hours.join(",")))
}

/// `Mon` or `Mon..Fri` in cron's words.
fn days_of_week(text: &str) -> Option<String> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = |text: &str| {
        let text = text.to_ascii_lowercase();
        DAYS.iter().position(|day| text.len() >= 3 && text.starts_with(day)).map(|at| at + 1)
    };
    match text.split_once("..") {
        None => Some(day(text)?.to_string()),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            (first <= last).then(|| format!("{first}-{last}"))
        }
    }
}

/// The user's crontab; empty if there is none.
pub(crate) fn read() -> Result<String, ScheduleError> {
    match super::run("crontab", &["-l"]) {
        // `no crontab for …`: the exit code says no more.
        Err(ScheduleError::Failed { stderr, .. }) if stderr.contains("no crontab") => Ok(String::new()),
        result => result,
    }
}

/// Puts another crontab in the place of the old one, unless it is the same.
pub(crate) fn replace(old: &str, new: &str) -> Result<Change, ScheduleError> {
    if old == new {
        return Ok(Change::Unchanged);
    }
    let failed = |source| ScheduleError::NotRun { program: "crontab", source };
    let mut child = Command::new("crontab")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(new.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(Change::Written);
    }
    Err(ScheduleError::Failed {
        command: "crontab -".to_owned(),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan;
    use super::*;

    #[test]
    fn times_are_said_in_crons_words() {
        let fields = |calendar| fields(calendar, 7);

        assert_eq!(fields("hourly").as_deref(), Some("7 * * * *"));
        assert_eq!(fields("daily").as_deref(), Some("7 0 * * *"));
        assert_eq!(fields("weekly").as_deref(), Some("7 0 * * 1"));
        assert_eq!(fields("22:30").as_deref(), Some("30 22 * * *"));
        assert_eq!(fields("*-*-* 06,18:00:00").as_deref(), Some("0 6,18 * * *"));
        assert_eq!(fields("Mon..Fri 12:05").as_deref(), Some("5 12 * * 1-5"));
        assert_eq!(fields("Sat,Sunday 1:00").as_deref(), Some("0 1 * * 6,7"));
        assert_eq!(fields("*:0/15").as_deref(), Some("*/15 * * * *"));
        for calendar in
            ["", "25:00", "12:60", "quarterly", "*-*-01 00:00", "Fri..Mon 12:00", "12:00:30", "*:0/99"]
        {
            assert_eq!(fields(calendar), None, "{calendar}");
        }
    }

    #[test]
    fn other_lines_of_the_crontab_stay_as_they_are() {
        let others = "# mine\n0 1 * * * other % command\n@reboot x";

        let once = with(others, &plan("22:30"), "den").unwrap();
        let twice = with(&once, &plan("22:30"), "den").unwrap();
        let moved = with(&once, &plan("23:30"), "den").unwrap();

        assert!(once.starts_with(&format!("{others}\n# vault home: written by")), "{once}");
        assert!(once.contains(
            "\n30 22 * * * nice -n 10 env 'XDG_STATE_HOME=/var/lib/my state' '/opt/my tools/vault' run home \
             --config '/h/50\\% \"$x\\y.toml'\n"
        ), "{once}");
        assert_eq!(once, twice);
        assert!(moved.contains("30 23") && !moved.contains("30 22"));
        assert_eq!(without(&moved, "home"), format!("{others}\n"));
        assert_eq!((installed(&once), installed(others)), (vec!["home".to_owned()], vec![]));
    }

    #[test]
    fn a_minute_is_always_the_same_and_within_the_jitter() {
        assert_eq!(spread("den", "home", 30), spread("den", "home", 30));
        assert!((0..100).all(|n| spread(&n.to_string(), "home", 30) < 30));
        assert_eq!(spread("den", "home", 0), 0);
    }
}
