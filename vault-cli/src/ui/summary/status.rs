//! Whether a vault is safe, for people: one line that says it, and a line for each thing that is backed up.
//!
//! The first line never says `safe` where something is overdue.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::ops::status::{GroupStatus, Overdue, PackStatus, Status, Subject};
use vault_core::time::Timestamp;

use super::super::human::{count, counted};
use super::super::listing::group_name;
use super::super::table::{Align, Table};
use super::super::time;

/// The answer, and what it comes from.
pub(crate) fn status(status: &Status, zone: &TimeZone) -> String {
    let mut text = headline(status, zone);
    text.push('\n');
    if status.groups.len() > 1 {
        let mut table = Table::new([
            ("Newest", Align::Left),
            ("Age", Align::Left),
            ("Complete", Align::Left),
            ("Of", Align::Path),
        ]);
        for group in &status.groups {
            table.push(row(group, status.now, zone));
        }
        let mut out = Vec::new();
        // Writing to memory cannot fail.
        let _ = table.write(&mut out);
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&out));
    }
    if status.future_dated > 0 {
        let _ = writeln!(
            text,
            "\n{} dated in the future: a clock is wrong, or a device was broken into",
            counted(status.future_dated, "snapshot")
        );
    }
    text
}

fn headline(status: &Status, zone: &TimeZone) -> String {
    if !status.overdue.is_empty() {
        let reasons: Vec<String> =
            status.overdue.iter().map(|overdue| reason(overdue, status, zone)).collect();
        return format!("OVERDUE: {}", reasons.join("; "));
    }
    let (oldest, newest) = (status.groups.first(), status.groups.last());
    let age = |group: Option<&GroupStatus>| group.and_then(|group| group.newest).map(|(_, time)| time);
    let newest = match (age(oldest), age(newest), status.groups.len()) {
        (Some(time), _, 1) => format!(
            "newest complete snapshot {} ago ({})",
            span(status.now, time),
            oldest.map_or_else(String::new, |group| subject(&group.subject))
        ),
        (Some(oldest), Some(newest), groups) => format!(
            "newest complete snapshots {} to {} ago ({groups} groups)",
            span(status.now, newest),
            span(status.now, oldest)
        ),
        _ => "no complete snapshot".to_owned(),
    };
    format!("safe: {newest}, {}", verification(&status.packs, zone))
}

fn reason(overdue: &Overdue, status: &Status, zone: &TimeZone) -> String {
    match overdue {
        Overdue::NoSnapshot => "there is no complete snapshot".to_owned(),
        Overdue::Snapshot { subject: of, newest: Some(time) } => {
            format!("no complete snapshot for {} ({})", span(status.now, *time), subject(of))
        }
        Overdue::Snapshot { subject: of, newest: None } => format!("no complete snapshot ({})", subject(of)),
        Overdue::Verification { .. } => verification(&status.packs, zone),
        _ => "something else is overdue".to_owned(),
    }
}

/// Since when every byte in use is known to be readable.
fn verification(packs: &PackStatus, zone: &TimeZone) -> String {
    match packs.verified_since {
        Some(since) => {
            let moment = time::human(since, zone);
            let day = moment.split(' ').next().unwrap_or(&moment);
            format!("all data verified since {day}")
        }
        None if packs.count == 0 => "no data yet".to_owned(),
        None if packs.never == packs.count => {
            format!("data never verified ({})", ByteSize(packs.bytes))
        }
        None => format!("{} of {} never verified", count(packs.never), counted(packs.count, "pack")),
    }
}

fn row(group: &GroupStatus, now: Timestamp, zone: &TimeZone) -> [String; 4] {
    let newest = group.newest.map(|(_, time)| time);
    [
        newest.map_or_else(|| "never".to_owned(), |newest| time::human(newest, zone)),
        newest.map_or_else(String::new, |newest| span(now, newest))
            + if group.overdue { " OVERDUE" } else { "" },
        count(group.complete),
        subject(&group.subject),
    ]
}

/// Names what snapshots are of.
pub(crate) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Group(group) => group_name(group),
        Subject::Device(device) => format!("device {}", device.short()),
    }
}

/// The time from one moment to another as people say it: `3 hours`.
fn span(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.seconds.saturating_sub(then.seconds).max(0).unsigned_abs();
    match seconds {
        0..120 => counted(seconds, "second"),
        120..7_200 => counted(seconds / 60, "minute"),
        7_200..172_800 => counted(seconds / 3_600, "hour"),
        _ => counted(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use vault_core::id::{DeviceId, SnapshotId};
    use vault_core::ops::groups::Group;

    use super::*;

    const NOW: Timestamp = Timestamp::new(1_795_341_605, 0);

    fn group(host: &str, seconds_ago: Option<i64>, overdue: bool) -> GroupStatus {
        let paths = Some(vec![PathBuf::from("/a")]);
        let time = |ago| (SnapshotId::new([1; 32]), Timestamp::new(NOW.seconds - ago, 0));
        GroupStatus {
            subject: Subject::Group(Group { host: Some(host.to_owned()), paths, tags: None }),
            newest: seconds_ago.map(time),
            complete: 2,
            overdue,
        }
    }

    fn of(groups: Vec<GroupStatus>, packs: PackStatus, overdue: Vec<Overdue>) -> String {
        status(&Status { now: NOW, groups, packs, future_dated: 0, overdue }, &TimeZone::UTC)
    }

    fn verified() -> PackStatus {
        PackStatus {
            count: 4,
            bytes: 5 << 20,
            never: 0,
            verified_since: Some(Timestamp::new(NOW.seconds - 86_400, 0)),
        }
    }

    #[test]
    fn one_line_says_that_a_vault_is_safe() {
        assert_eq!(
            of(vec![group("h", Some(3 * 3_600), false)], verified(), vec![]),
            "safe: newest complete snapshot 3 hours ago (h /a), all data verified since 2026-11-21\n"
        );
        let unverified = PackStatus { never: 4, verified_since: None, ..verified() };
        assert_eq!(
            of(vec![group("h", Some(60), false)], unverified, vec![]),
            "safe: newest complete snapshot 60 seconds ago (h /a), data never verified (5.0 MiB)\n"
        );
    }

    #[test]
    fn what_is_overdue_is_said_first() {
        let late = group("h", Some(9 * 86_400), true);
        let overdue =
            Overdue::Snapshot { subject: late.subject.clone(), newest: late.newest.map(|(_, time)| time) };
        let packs = PackStatus { never: 1, verified_since: None, ..verified() };

        assert_eq!(
            of(vec![late], packs, vec![overdue, Overdue::Verification { since: None }]),
            "OVERDUE: no complete snapshot for 9 days (h /a); 1 of 4 packs never verified\n"
        );
        assert_eq!(
            of(vec![], PackStatus::default(), vec![Overdue::NoSnapshot]),
            "OVERDUE: there is no complete snapshot\n"
        );
    }

    #[test]
    fn several_groups_have_a_line_each() {
        let groups = vec![group("g", Some(200_000), true), group("h", Some(300), false)];

        assert_eq!(
            of(groups, verified(), vec![]),
            "safe: newest complete snapshots 5 minutes to 2 days ago (2 groups), all data verified since 2026-11-21\n\
             \n\
             Newest               Age             Complete  Of\n\
             2026-11-20 02:26:45  2 days OVERDUE  2         g /a\n\
             2026-11-22 09:55:05  5 minutes       2         h /a\n"
        );
    }

    #[test]
    fn without_keys_devices_stand_for_hosts_and_paths() {
        assert_eq!(subject(&Subject::Device(DeviceId::new([0xcd; 16]))), "device cdcdcdcd");
    }
}
