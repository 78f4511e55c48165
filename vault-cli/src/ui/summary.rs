//! What an operation did, for people: a headline, then aligned rows.
//!
//! A summary never says more than is true: what is partial, missing or damaged stands in its headline.

pub(crate) mod audit;
mod cat;
mod config;
pub(crate) mod contacts;
mod copy;
pub(crate) mod devices;
mod diff;
mod doctor;
mod export;
mod find;
pub(crate) mod forget;
pub(crate) mod grants;
pub(crate) mod members;
mod mount;
pub(crate) mod prune;
mod recovery;
mod restore;
mod schedule;
pub(crate) mod servers;
mod stats;
pub(crate) mod status;
pub(crate) mod tag;

pub(crate) use self::config::{config_check, run};
pub(crate) use self::copy::copy;
pub(crate) use self::doctor::doctor;
pub(crate) use self::export::export;
pub(crate) use self::recovery::{recovery_kit, recovery_restore, recovery_test};
pub(crate) use self::schedule::{schedule_change, schedule_show};

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use vault_core::bytes::ByteSize;
use vault_core::ops::backup::BackupSummary;
use vault_core::ops::check::{CheckOptions, CheckSummary, Finding};

pub(crate) use self::restore::restore;

pub(crate) use self::cat::cat;
pub(crate) use self::diff::{change, diff};
pub(crate) use self::find::find;
pub(crate) use self::stats::{by_path, stats};

use super::human::{count, counted, duration, message, path};
use crate::report;

pub(crate) use self::mount::mount;

/// Width of the first column.
const LABEL: usize = 9;

/// A headline and rows below it.
struct Lines(String);

impl Lines {
    fn new(headline: &str) -> Self {
        Self(format!("{headline}\n"))
    }

    fn row(&mut self, label: &str, value: &str) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "  {label:LABEL$}  {value}");
    }
}

/// What `backup` would do.
pub(crate) fn backup_dry(summary: &BackupSummary, elapsed: Duration) -> String {
    let counts = &summary.counts;
    let mut lines = Lines::new(&format!("dry run in {}: nothing was stored", duration(elapsed)));
    lines.row("files", &count(counts.files));
    lines.row("entries", &entries_of_backup(summary));
    lines.row("read", &format!("{} of {}", ByteSize(counts.read_bytes), ByteSize(counts.bytes)));
    let (added, stored) = (ByteSize(counts.added_bytes), ByteSize(counts.stored_bytes));
    lines.row("would add", &format!("{added}, store {stored}"));
    lines.0
}

/// What `backup` did.
pub(crate) fn backup(summary: &BackupSummary, elapsed: Duration) -> String {
    let counts = &summary.counts;
    let headline = match (summary.partial, counts.failed_entries) {
        (true, _) => format!("partial snapshot {} saved after", summary.snapshot.short()),
        (false, 0) => format!("snapshot {} saved in", summary.snapshot.short()),
        (false, _) => format!("incomplete snapshot {} saved in", summary.snapshot.short()),
    };
    let mut lines = Lines::new(&format!("{headline} {}", duration(elapsed)));
    lines.row("files", &count(counts.files));
    lines.row("entries", &entries_of_backup(summary));
    lines.row("read", &format!("{} of {}", ByteSize(counts.read_bytes), ByteSize(counts.bytes)));
    lines
        .row("added", &format!("{}, stored {}", ByteSize(counts.added_bytes), ByteSize(counts.stored_bytes)));
    if counts.failed_entries > 0 {
        lines.row("missing", &format!("{}, see above", counted(counts.failed_entries, "entry")));
    }
    if summary.partial {
        lines.row("next", "run the same backup again: it continues from here");
    }
    lines.0
}

fn entries_of_backup(summary: &BackupSummary) -> String {
    let counts = &summary.counts;
    let mut text = format!(
        "{} new, {} changed, {} unchanged",
        count(counts.new_entries),
        count(counts.changed_entries),
        count(counts.unchanged_entries)
    );
    if counts.skipped_entries > 0 {
        let _ = write!(text, ", {} skipped", count(counts.skipped_entries));
    }
    text
}

/// What `check` found.
pub(crate) fn check(summary: &CheckSummary, options: &CheckOptions, elapsed: Duration) -> String {
    let findings = summary.findings.len() as u64;
    let headline = match (findings, summary.interrupted) {
        (0, false) => format!("no damage found in {}", duration(elapsed)),
        (0, true) => format!("interrupted after {}: no damage found so far", duration(elapsed)),
        (_, false) => format!("{} found in {}", counted(findings, "fault"), duration(elapsed)),
        (_, true) => {
            format!("interrupted after {}: {} found so far", duration(elapsed), counted(findings, "fault"))
        }
    };
    let mut lines = Lines::new(&headline);
    lines.row("objects", &format!("{}, {}", count(summary.objects), ByteSize(summary.bytes)));
    lines.row("snapshots", &count(summary.snapshots));
    if options.read_data || options.sample.is_some() {
        lines.row("chunks", &count(summary.chunks));
    }
    if options.sample.is_some() {
        lines.row("contents", &contents_of_sample(summary));
    } else if !options.read_data {
        lines.row("contents", "not opened; `--read-data` opens every pack and verifies every chunk");
    }
    if summary.orphans > 0 {
        lines.row(
            "unused",
            &format!("{} left by interrupted backups, no damage", counted(summary.orphans, "pack")),
        );
    }
    lines.0
}

fn contents_of_sample(summary: &CheckSummary) -> String {
    let verified = counted(summary.verified.len() as u64, "pack");
    match summary.left {
        0 => format!("{verified} opened and verified; nothing else was due"),
        left => format!("{verified} opened and verified; {} due are left", counted(left, "pack")),
    }
}

/// One thing that is wrong, for stderr.
pub(crate) fn finding(finding: &Finding) -> String {
    let mut text = message(&finding.error.to_string());
    for cause in report::causes(&finding.error) {
        let _ = write!(text, ": {cause}");
    }
    if !finding.snapshots.is_empty() {
        let snapshots: Vec<String> =
            finding.snapshots.iter().map(vault_core::id::SnapshotId::short).collect();
        let _ = write!(
            text,
            " (in {} {})",
            if snapshots.len() == 1 { "snapshot" } else { "snapshots" },
            snapshots.join(", ")
        );
    }
    text
}

/// What `init` made.
pub(crate) fn init(vault: &str, location: &str, identity: &Path) -> String {
    let mut lines = Lines::new(&format!("vault made in {}", message(location)));
    lines.row("id", vault);
    lines.row("identity", &path(identity));
    lines.0
}

#[cfg(test)]
mod tests {
    use vault_core::error::Error;
    use vault_core::id::SnapshotId;
    use vault_core::ops::backup::BackupCounts;

    use super::*;

    const SNAPSHOT: SnapshotId = SnapshotId::new([0xab; 32]);

    fn counts() -> BackupCounts {
        BackupCounts {
            files: 78_624,
            bytes: 1_288_490_188,
            new_entries: 12,
            changed_entries: 3,
            unchanged_entries: 81_002,
            read_bytes: 1_258_291,
            added_bytes: 1_153_433,
            stored_bytes: 317_644,
            ..BackupCounts::default()
        }
    }

    #[test]
    fn a_backup_is_told_in_aligned_rows() {
        let summary = BackupSummary { snapshot: SNAPSHOT, partial: false, counts: counts() };

        assert_eq!(
            backup(&summary, Duration::from_millis(2_400)),
            "snapshot abababab saved in 2.4 s\n  \
               files      78,624\n  \
               entries    12 new, 3 changed, 81,002 unchanged\n  \
               read       1.2 MiB of 1.2 GiB\n  \
               added      1.1 MiB, stored 310.2 KiB\n"
        );
    }

    #[test]
    fn a_backup_that_is_not_whole_says_so_first() {
        let summary = |partial, failed_entries| BackupSummary {
            snapshot: SNAPSHOT,
            partial,
            counts: BackupCounts { failed_entries, ..counts() },
        };
        let text = |summary| backup(&summary, Duration::from_secs(1));

        assert!(text(summary(true, 0)).starts_with("partial snapshot abababab saved after 1.0 s\n"));
        assert!(text(summary(true, 0)).contains("it continues from here"));
        assert!(text(summary(false, 1)).starts_with("incomplete snapshot abababab"));
        assert!(text(summary(false, 1)).ends_with("  missing    1 entry, see above\n"));
    }

    #[test]
    fn a_check_never_promises_more_than_it_did() {
        let options = |read_data| CheckOptions { read_data, ..CheckOptions::default() };
        let finding = || Finding { object: None, snapshots: vec![SNAPSHOT], error: Error::Interrupted };
        let headline = |findings: Vec<Finding>, interrupted| {
            let summary = CheckSummary { findings, interrupted, ..CheckSummary::default() };
            check(&summary, &options(false), Duration::from_secs(1))
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        };

        assert_eq!(headline(vec![], false), "no damage found in 1.0 s");
        assert_eq!(headline(vec![], true), "interrupted after 1.0 s: no damage found so far");
        assert_eq!(headline(vec![finding()], false), "1 fault found in 1.0 s");
        assert_eq!(headline(vec![finding()], true), "interrupted after 1.0 s: 1 fault found so far");
        let without = check(&CheckSummary::default(), &options(false), Duration::ZERO);
        assert!(without.contains("not opened"));
        let with = check(&CheckSummary::default(), &options(true), Duration::ZERO);
        assert!(!with.contains("not opened"));
    }
}
