//! What `forget` decided, for people: a table, and how many.
//!
//! A dry run shows every snapshot that was chosen from, with what keeps it; a real run those that are gone.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use vault_core::ops::forget::{Decision, ForgetSummary, GroupDecision};

use super::super::human::{counted, message, path};
use super::super::table::{Align, Table};
use super::super::time;

/// The table and the headline below it, of a dry run or a real one, and whether what it left behind was pruned.
pub(crate) fn forget(summary: &ForgetSummary, (dry_run, pruned): (bool, bool), zone: &TimeZone) -> String {
    let mut out = Vec::new();
    for group in &summary.groups {
        let table = table(group, dry_run, zone);
        if !table.is_empty() {
            // Writing to memory cannot fail.
            let _ = table.write(&mut out);
            out.push(b'\n');
        }
    }
    let count = summary.forgotten().count();
    let mut text = String::from_utf8_lossy(&out).into_owned();
    let verb = if dry_run { "would forget" } else { "forgot" };
    // Neither can writing to a `String`.
    let _ = writeln!(text, "{verb} {}, kept {}", counted(count as u64, "snapshot"), summary.kept());
    if !dry_run && !pruned && count > 0 {
        text.push_str("  what only they needed is in the vault until `vault prune` deletes it\n");
    }
    text
}

fn table(group: &GroupDecision, dry_run: bool, zone: &TimeZone) -> Table<6> {
    let mut table = Table::new([
        ("Id", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Elastic),
        ("Paths", Align::Path),
        ("Action", Align::Left),
        ("Reasons", Align::Elastic),
    ]);
    for decision in group.snapshots.iter().filter(|decision| dry_run || !decision.is_kept()) {
        table.push(row(decision, zone));
    }
    table
}

fn row(decision: &Decision, zone: &TimeZone) -> [String; 6] {
    let snapshot = &decision.snapshot;
    let reasons: Vec<String> = decision.reasons.iter().map(|reason| message(&reason.to_string())).collect();
    let paths: Vec<String> = snapshot.paths.iter().map(|one| path(one)).collect();
    [
        snapshot.id.short(),
        time::human(snapshot.committed, zone),
        message(&snapshot.host),
        paths.join(" "),
        if decision.is_kept() { "keep" } else { "forget" }.to_owned(),
        reasons.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use vault_core::ops::groups::Group;
    use vault_core::ops::retention::{Period, Reason};
    use vault_core::ops::snapshots::testing::snapshot;

    use super::*;

    fn decision(number: u8, reasons: Vec<Reason>) -> Decision {
        Decision { snapshot: snapshot(number, 1_795_341_605, "h"), reasons }
    }

    #[test]
    fn a_dry_run_shows_what_keeps_each_snapshot_and_a_real_run_what_is_gone() {
        let reasons = vec![Reason::Last(1), Reason::Newest(Period::Daily, 1), Reason::Tag("\x1b".into())];
        let snapshots = vec![decision(0xaa, Vec::new()), decision(0xbb, reasons)];
        let summary = ForgetSummary { groups: vec![GroupDecision { group: Group::default(), snapshots }] };

        assert_eq!(
            forget(&summary, (true, false), &TimeZone::UTC),
            "Id        Time                 Host  Paths  Action  Reasons\n\
             aaaaaaaa  2026-11-22 10:00:05  h     /a     forget\n\
             bbbbbbbb  2026-11-22 10:00:05  h     /a     keep    last 1, daily 1, tag \\u{1b}\n\
             \n\
             would forget 1 snapshot, kept 1\n"
        );
        assert_eq!(
            forget(&summary, (false, false), &TimeZone::UTC),
            "Id        Time                 Host  Paths  Action  Reasons\n\
             aaaaaaaa  2026-11-22 10:00:05  h     /a     forget\n\
             \n\
             forgot 1 snapshot, kept 1\n  what only they needed is in the vault until `vault prune` deletes it\n"
        );
    }

    #[test]
    fn where_nothing_is_forgotten_there_is_no_table() {
        let snapshots = vec![decision(1, vec![Reason::Last(1)])];
        let summary = ForgetSummary { groups: vec![GroupDecision { group: Group::default(), snapshots }] };

        assert_eq!(forget(&summary, (false, false), &TimeZone::UTC), "forgot 0 snapshots, kept 1\n");
    }
}
